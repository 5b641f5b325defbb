//! Collations.

use crate::engine::postgres::order::Kind;
use crate::engine::postgres::quote::{ident, literal};
use crate::error::Result;

use super::draft::{Draft, Named};
use super::reader::{Reader, class};

pub(super) async fn read(reader: &mut Reader<'_>) -> Result<()> {
    let (locale, rules) = match reader.major {
        ..=15 => ("colliculocale", "NULL"),
        16 => ("colliculocale", "collicurules"),
        _ => ("colllocale", "collicurules"),
    };
    let sql = format!(
        "SELECT oid, collname, collnamespace, collowner, collprovider, collisdeterministic, collcollate, collctype, \
         {locale} AS locale, {rules} AS rules FROM pg_catalog.pg_collation WHERE {} ORDER BY oid",
        reader.in_dumped_schemas("collnamespace")
    );
    for row in reader.query(&sql).await? {
        let (oid, name) = (row.oid("oid")?, row.text("collname")?);
        if reader.is_member(class::COLLATION, oid) {
            continue;
        }
        let (schema, owner) = (reader.schema(row.oid("collnamespace")?), reader.owner(&row, "collowner")?);
        let quoted = ident(&name);
        let named = Named { kind: "COLLATION", schema: Some(&schema), name: &quoted, owner: &owner };
        let provider = match row.char("collprovider")? {
            'c' => "libc",
            'i' => "icu",
            'b' => "builtin",
            _ => "default",
        };
        let mut parts = vec![format!("provider = {provider}")];
        if !row.flag("collisdeterministic")? {
            parts.push("deterministic = false".to_owned());
        }
        let (collate, ctype) = (row.text("collcollate")?, row.text("collctype")?);
        match row.opt("locale")? {
            Some(locale) => parts.push(format!("locale = {}", literal(locale))),
            None if collate == ctype => parts.push(format!("locale = {}", literal(&collate))),
            None => {
                parts.extend([format!("lc_collate = {}", literal(&collate)), format!("lc_ctype = {}", literal(&ctype))])
            }
        }
        parts.extend(row.opt("rules")?.map(|r| format!("rules = {}", literal(r))));
        let path = named.path();
        let draft = Draft::new("COLLATION", Some(&schema), &name, &owner)
            .sql(format!("CREATE COLLATION {path} ({});\n", parts.join(", ")), format!("DROP COLLATION {path};\n"))
            .with(reader.remarks(class::COLLATION, oid, named));
        reader.add_whole(class::COLLATION, oid, Kind::Collation, &name, draft);
    }
    Ok(())
}
