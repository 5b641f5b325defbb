//! Views and materialized views.

use crate::engine::postgres::order::{Kind, Node};
use crate::engine::postgres::quote::{ident, qualified};

use super::draft::{Body, Draft};
use super::reader::{Key, Reader, class};
use super::relation::Relation;
use super::table;

/// Adds a view. What it selects is a rule, which `rule.rs` adds as its part.
pub(super) fn add(reader: &mut Reader<'_>, view: &Relation) {
    let draft = Draft::new("VIEW", Some(&view.schema), &view.name, &view.owner)
        .sql(definition(view, ""), format!("DROP VIEW {};\n", view.path()))
        .with(table::extras(reader, view));
    let node = Node::new(Kind::View, Some(&view.schema), &view.name);
    let body = Body::View { whole: Box::new(draft), placeholder: placeholder(view, "") };
    let node = reader.add(Key::Object(class::RELATION, view.oid), node, body);
    for column in &view.columns {
        table::add_default(reader, view, node, column, true);
    }
}

/// `CREATE [or replace] VIEW …`.
pub(super) fn definition(view: &Relation, or_replace: &str) -> String {
    let options = if view.options.is_empty() { String::new() } else { format!(" WITH ({})", view.options) };
    let check = view.check_option.as_ref().map(|c| format!("\n  WITH {c} CHECK OPTION")).unwrap_or_default();
    format!("CREATE {or_replace}VIEW {}{options} AS\n{}{check};\n", view.path(), view.query)
}

/// A view of the same columns that depends on nothing.
pub(super) fn placeholder(view: &Relation, or_replace: &str) -> String {
    let columns: Vec<String> = view
        .columns
        .iter()
        .map(|c| format!("\n    NULL::{}{} AS {}", c.type_name, c.collation, ident(&c.name)))
        .collect();
    format!("CREATE {or_replace}VIEW {} AS\nSELECT{};\n", view.path(), columns.join(","))
}

/// Adds a materialized view, empty, and its refresh if it is populated.
pub(super) fn add_materialized(reader: &mut Reader<'_>, view: &Relation) {
    let options = if view.options.is_empty() { String::new() } else { format!("\nWITH ({})", view.options) };
    let path = view.path();
    let defn = format!(
        "CREATE MATERIALIZED VIEW {path}{options} AS\n{}\n  WITH NO DATA;\n{}{}{}",
        view.query,
        table::column_settings(reader, view),
        table::relation_settings(view),
        reader.bind_to_extensions(class::RELATION, view.oid, "MATERIALIZED VIEW", &qualified(&view.schema, &view.name))
    );
    let mut draft = Draft::new("MATERIALIZED VIEW", Some(&view.schema), &view.name, &view.owner)
        .sql(defn, format!("DROP MATERIALIZED VIEW {path};\n"))
        .with(table::extras(reader, view));
    draft.tablespace = Some(view.tablespace.clone());
    draft.table_am = view.table_am.clone();
    let node = reader.add_whole(class::RELATION, view.oid, Kind::MaterializedView, &view.name, draft);
    if view.populated {
        super::data::add_refresh(reader, view, node);
    }
}
