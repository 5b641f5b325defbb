//! Sequences, and those that are columns' identities.

use crate::engine::postgres::order::Kind;
use crate::engine::postgres::quote::ident;
use crate::error::Result;

use super::data;
use super::draft::Draft;
use super::reader::{Reader, class};
use super::table;

pub(super) async fn read(reader: &mut Reader<'_>) -> Result<()> {
    let sql = format!(
        "SELECT s.seqrelid, format_type(s.seqtypid, NULL) AS type, s.seqstart, s.seqincrement, s.seqmax, s.seqmin, \
         s.seqcache, s.seqcycle, d.refobjid, d.refobjsubid, d.deptype \
         FROM pg_catalog.pg_sequence s JOIN pg_catalog.pg_class c ON c.oid = s.seqrelid \
         LEFT JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = s.seqrelid \
              AND d.objsubid = 0 AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.deptype IN ('a', 'i') \
         WHERE {} ORDER BY s.seqrelid",
        reader.in_dumped_schemas("c.relnamespace")
    );
    for row in reader.query(&sql).await? {
        let Some(sequence) = reader.relations.get(&row.oid("seqrelid")?).cloned() else { continue };
        if sequence.member {
            continue;
        }
        let table = reader.relations.get(&row.oid("refobjid")?).cloned();
        let column = table.as_ref().and_then(|t| t.column(row.number("refobjsubid").unwrap_or_default()));
        let path = sequence.path();
        let unlogged = sequence.persistence == 'u';
        let identity = row.char("deptype")? == 'i';
        let mut sql = String::new();
        match (&table, column) {
            // An identity of a column that an extension brought along comes with it.
            (Some(table), _) if identity && table.member => continue,
            (Some(table), Some(column)) if identity => {
                let always = if column.identity == 'a' { "ALWAYS" } else { "BY DEFAULT" };
                sql.push_str(&format!(
                    "ALTER TABLE {} ALTER COLUMN {} ADD GENERATED {always} AS IDENTITY (\n    SEQUENCE NAME {path}\n",
                    table.path(),
                    ident(&column.name)
                ));
            }
            _ => {
                sql.push_str(&format!("CREATE {}SEQUENCE {path}\n", if unlogged { "UNLOGGED " } else { "" }));
                let kind = row.text("type")?;
                if kind != "bigint" {
                    sql.push_str(&format!("    AS {kind}\n"));
                }
            }
        }
        sql.push_str(&options(
            &row.text("type")?,
            [row.number("seqstart")?, row.number("seqincrement")?, row.number("seqmin")?, row.number("seqmax")?],
            &row.text("seqcache")?,
            row.flag("seqcycle")?,
        ));
        sql.push_str(if identity { "\n);\n" } else { ";\n" });
        if let Some(table) = table.as_ref().filter(|_| identity) {
            // Which persistence an identity starts with differs between minor versions.
            if unlogged || table.persistence == 'u' {
                sql.push_str(&format!("ALTER SEQUENCE {path} SET {};\n", if unlogged { "UNLOGGED" } else { "LOGGED" }));
            }
        }
        // An identity goes with its column.
        let drop = if identity { String::new() } else { format!("DROP SEQUENCE {path};\n") };
        let mut draft = Draft::new("SEQUENCE", Some(&sequence.schema), &sequence.name, &sequence.owner).sql(sql, drop);
        if let (Some(table), Some(column), false) = (&table, column, identity)
            && !table.member
        {
            draft = draft.with([data::owned_by(&sequence, table, &column.name)]);
        }
        let draft = draft.with(table::extras(reader, &sequence));
        let node = reader.add_whole(class::RELATION, sequence.oid, Kind::Table, &sequence.name, draft);
        data::add_sequence(reader, &sequence, node);
    }
    Ok(())
}

/// From START to CYCLE; limits only where they are not the type's own.
fn options(kind: &str, [start, increment, min, max]: [i64; 4], cache: &str, cycle: bool) -> String {
    let (type_min, type_max) = match kind {
        "smallint" => (i64::from(i16::MIN), i64::from(i16::MAX)),
        "integer" => (i64::from(i32::MIN), i64::from(i32::MAX)),
        _ => (i64::MIN, i64::MAX),
    };
    let (usual_min, usual_max) = if increment > 0 { (1, type_max) } else { (type_min, -1) };
    let limit = |name: &str, value: i64, usual: i64| {
        if value == usual { format!("    NO {name}\n") } else { format!("    {name} {value}\n") }
    };
    format!(
        "    START WITH {start}\n    INCREMENT BY {increment}\n{}{}    CACHE {cache}{}",
        limit("MINVALUE", min, usual_min),
        limit("MAXVALUE", max, usual_max),
        if cycle { "\n    CYCLE" } else { "" }
    )
}

#[cfg(test)]
mod tests {
    use super::options;

    #[test]
    fn only_unusual_limits_are_written() {
        let usual = options("integer", [1, 1, 1, 2_147_483_647], "1", false);
        assert_eq!(usual, "    START WITH 1\n    INCREMENT BY 1\n    NO MINVALUE\n    NO MAXVALUE\n    CACHE 1");
        let down = options("bigint", [-1, -2, -100, -1], "20", true);
        assert_eq!(
            down,
            "    START WITH -1\n    INCREMENT BY -2\n    MINVALUE -100\n    NO MAXVALUE\n    CACHE 20\n    CYCLE"
        );
    }
}
