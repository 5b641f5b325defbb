//! Extended statistics.

use crate::engine::postgres::order::Kind;
use crate::engine::postgres::quote::ident;
use crate::error::Result;

use super::draft::{Draft, Named};
use super::reader::{Reader, class};

pub(super) async fn read(reader: &mut Reader<'_>) -> Result<()> {
    let sql = format!(
        "SELECT oid, stxname, stxnamespace, stxowner, stxrelid, COALESCE(stxstattarget, -1) AS target, \
         pg_get_statisticsobjdef(oid) AS definition FROM pg_catalog.pg_statistic_ext WHERE {} ORDER BY oid",
        reader.in_dumped_schemas("stxnamespace")
    );
    for row in reader.query(&sql).await? {
        let (oid, name) = (row.oid("oid")?, row.text("stxname")?);
        let of_member = reader.relations.get(&row.oid("stxrelid")?).is_none_or(|t| t.member);
        if of_member || reader.is_member(class::STATISTICS, oid) {
            continue;
        }
        let (schema, owner) = (reader.schema(row.oid("stxnamespace")?), reader.owner(&row, "stxowner")?);
        let quoted = ident(&name);
        let named = Named { kind: "STATISTICS", schema: Some(&schema), name: &quoted, owner: &owner };
        let path = named.path();
        let target: i32 = row.number("target")?;
        let set =
            if target >= 0 { format!("ALTER STATISTICS {path} SET STATISTICS {target};\n") } else { String::new() };
        let draft = Draft::new("STATISTICS", Some(&schema), &name, &owner)
            .post_data()
            .sql(format!("{};\n{set}", row.text("definition")?), format!("DROP STATISTICS {path};\n"))
            .with(reader.remarks(class::STATISTICS, oid, named));
        reader.add_whole(class::STATISTICS, oid, Kind::Statistics, &name, draft);
    }
    Ok(())
}
