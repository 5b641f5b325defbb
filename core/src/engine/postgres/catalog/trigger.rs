//! Triggers.

use crate::engine::postgres::order::Kind;
use crate::engine::postgres::quote::ident;
use crate::error::Result;

use super::draft::{Draft, Named};
use super::reader::{Reader, class};

pub(super) async fn read(reader: &mut Reader<'_>) -> Result<()> {
    // A partition's copy of its parent's trigger matters only if it was enabled or disabled by itself.
    let sql = format!(
        "SELECT t.oid, t.tgname, t.tgrelid, t.tgenabled, t.tgparentid <> 0 AS inherited, \
         CASE WHEN t.tgparentid = 0 THEN pg_get_triggerdef(t.oid) END AS definition \
         FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid \
         LEFT JOIN pg_catalog.pg_trigger u ON u.oid = t.tgparentid \
         WHERE (NOT t.tgisinternal AND t.tgparentid = 0 OR t.tgenabled <> u.tgenabled) AND {} ORDER BY t.oid",
        reader.in_dumped_schemas("c.relnamespace")
    );
    for row in reader.query(&sql).await? {
        let (oid, name) = (row.oid("oid")?, row.text("tgname")?);
        let Some(table) = reader.relations.get(&row.oid("tgrelid")?).filter(|t| !t.member).cloned() else { continue };
        if reader.is_member(class::TRIGGER, oid) {
            continue;
        }
        let (quoted, on_table, path) = (ident(&name), ident(&table.name), table.path());
        let kind = format!("TRIGGER {quoted} ON");
        let named = Named { kind: &kind, schema: Some(&table.schema), name: &on_table, owner: &table.owner };
        let inherited = row.flag("inherited")?;
        let state = match row.char("tgenabled")? {
            'D' => Some("DISABLE"),
            'A' => Some("ENABLE ALWAYS"),
            'R' => Some("ENABLE REPLICA"),
            _ if inherited => Some("ENABLE"),
            _ => None,
        };
        let set_state = state.map(|s| format!("\nALTER {}TABLE {path} {s} TRIGGER {quoted};\n", table.foreign()));
        let set_state = set_state.unwrap_or_default();
        let (defn, drop) = if inherited {
            (set_state, String::new())
        } else {
            let bound = reader.bind_to_extensions(class::TRIGGER, oid, "TRIGGER", &format!("{quoted} ON {path}"));
            (format!("{};\n{bound}{set_state}", row.text("definition")?), format!("DROP TRIGGER {quoted} ON {path};\n"))
        };
        let draft = Draft::new("TRIGGER", Some(&table.schema), format!("{} {name}", table.name), &table.owner)
            .post_data()
            .sql(defn, drop)
            .with(reader.remarks(class::TRIGGER, oid, named));
        let node = reader.add_whole(class::TRIGGER, oid, Kind::Trigger, &name, draft);
        reader.nodes[node].detail.clone_from(&table.name);
    }
    Ok(())
}
