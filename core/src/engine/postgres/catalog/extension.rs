//! Extensions, and stand-ins for what they bring along.

use std::collections::HashMap;

use crate::engine::postgres::order::{Kind, Node};
use crate::engine::postgres::quote::ident;
use crate::error::Result;

use super::draft::{Body, Draft, Named};
use super::reader::{FIRST_USER_OID, Key, Reader, class};

/// Reads the extensions. Returns their configuration tables, whose rows are dumped, each with its condition.
pub(super) async fn read(reader: &mut Reader<'_>) -> Result<HashMap<u32, String>> {
    let mut tables = HashMap::new();
    let sql = "SELECT x.oid, x.extname, n.nspname, x.extconfig, x.extcondition \
         FROM pg_catalog.pg_extension x JOIN pg_catalog.pg_namespace n ON n.oid = x.extnamespace ORDER BY x.extname";
    for row in reader.query(sql).await? {
        let (oid, name) = (row.oid("oid")?, row.text("extname")?);
        if oid < FIRST_USER_OID {
            // Every new database has it.
            let node = Node::new(Kind::Extension, None, &name);
            reader.add(Key::Object(class::EXTENSION, oid), node, Body::Silent);
            continue;
        }
        let quoted = ident(&name);
        let named = Named { kind: "EXTENSION", schema: None, name: &quoted, owner: "" };
        let draft = Draft::new("EXTENSION", None, &name, "")
            .sql(
                // Without a version: the target has what it has. It may also exist already.
                format!("CREATE EXTENSION IF NOT EXISTS {quoted} WITH SCHEMA {};\n", ident(&row.text("nspname")?)),
                format!("DROP EXTENSION {quoted};\n"),
            )
            .with(reader.remarks(class::EXTENSION, oid, named));
        reader.add_whole(class::EXTENSION, oid, Kind::Extension, &name, draft);
        let conditions = row.list("extcondition")?;
        for (table, condition) in row.list("extconfig")?.iter().zip(conditions) {
            if let Ok(table) = table.parse() {
                tables.insert(table, condition);
            }
        }
    }
    // Members exist once the extension does; what depends on them thereby comes after it.
    let mut members: Vec<_> = reader.members.iter().map(|(&object, &extension)| (object, extension)).collect();
    members.sort_unstable();
    for ((catalog, oid), extension) in members {
        let body = if tables.contains_key(&oid) { Body::Present(Vec::new()) } else { Body::Silent };
        let node = reader.add(Key::Object(catalog, oid), Node::new(Kind::Extension, None, ""), body);
        reader.need_object(node, class::EXTENSION, extension);
    }
    Ok(tables)
}
