//! Rules, of which one makes a view.

use crate::engine::postgres::order::{Kind, Node};
use crate::engine::postgres::quote::ident;
use crate::error::Result;

use super::draft::{Body, Draft, Named};
use super::reader::{Key, Reader, class};
use super::view;

pub(super) async fn read(reader: &mut Reader<'_>) -> Result<()> {
    let sql = format!(
        "SELECT r.oid, r.rulename, r.ev_class, r.ev_type, r.is_instead, r.ev_enabled, \
         CASE WHEN r.ev_type <> '1' THEN pg_get_ruledef(r.oid) END AS definition \
         FROM pg_catalog.pg_rewrite r JOIN pg_catalog.pg_class c ON c.oid = r.ev_class \
         WHERE {} ORDER BY r.oid",
        reader.in_dumped_schemas("c.relnamespace")
    );
    for row in reader.query(&sql).await? {
        let (oid, name) = (row.oid("oid")?, row.text("rulename")?);
        let Some(table) = reader.relations.get(&row.oid("ev_class")?).filter(|t| !t.member).cloned() else { continue };
        let Some(on) = reader.find(class::RELATION, table.oid) else { continue };
        let (quoted, on_table, path) = (ident(&name), ident(&table.name), table.path());
        let state = match row.char("ev_enabled")? {
            'A' => "ENABLE ALWAYS",
            'R' => "ENABLE REPLICA",
            'D' => "DISABLE",
            _ => "",
        };
        let state =
            if state.is_empty() { String::new() } else { format!("ALTER TABLE {path} {state} RULE {quoted};\n") };
        let kind = format!("RULE {quoted} ON");
        let named = Named { kind: &kind, schema: Some(&table.schema), name: &on_table, owner: &table.owner };
        let draft = Draft::new("RULE", Some(&table.schema), format!("{} {name}", table.name), &table.owner)
            .post_data()
            .with(reader.remarks(class::REWRITE, oid, named));
        let makes_view = matches!(table.kind, 'v' | 'm') && row.char("ev_type")? == '1' && row.flag("is_instead")?;
        if makes_view {
            // It is written as the view, which is replaced if it had to start as a placeholder.
            let or_replace = "OR REPLACE ";
            let draft = draft.sql(view::definition(&table, or_replace) + &state, view::placeholder(&table, or_replace));
            let mut rule = Node::new(Kind::ViewRule, Some(&table.schema), &name);
            rule.detail.clone_from(&table.name);
            rule.part_of = Some(on);
            let rule = reader.add(Key::Object(class::REWRITE, oid), rule, Body::Part(Box::new(draft)));
            reader.need(on, rule);
        } else {
            let definition = format!("{}\n{state}", row.text("definition")?);
            let draft = draft.sql(definition, format!("DROP RULE {quoted} ON {path};\n"));
            let node = reader.add_whole(class::REWRITE, oid, Kind::Rule, &name, draft);
            reader.nodes[node].detail.clone_from(&table.name);
            reader.need(node, on);
        }
    }
    Ok(())
}
