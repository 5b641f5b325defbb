//! The data of tables and sequences, refreshes of materialized views, large objects.

use sqlx::postgres::PgConnection;

use crate::engine::postgres::archive::{Entry, Section};
use crate::engine::postgres::large_row;
use crate::engine::postgres::order::{Kind, Node};
use crate::engine::postgres::quote::{ident, idents, literal, qualified};
use crate::error::Result;

use super::TableData;
use super::acl::Class;
use super::draft::{Body, Draft, Named};
use super::reader::{Key, Reader, class};
use super::relation::Relation;
use super::row;

/// Sequences whose values are asked for in one query.
const SEQUENCES_PER_QUERY: usize = 100;

/// Adds the data of a table. `filter` is the condition of an extension's configuration table.
pub(super) fn add_table(reader: &mut Reader<'_>, table: &Relation, node: usize, filter: Option<String>) {
    if !reader.has_data(table) {
        return;
    }
    let columns: Vec<String> =
        table.columns.iter().filter(|c| !c.dropped && c.generated == '\0').map(|c| c.name.clone()).collect();
    // Rows of these partitions may belong elsewhere in the restored database: let the root distribute them.
    let root = root_if_unstable(reader, table).map(Relation::path);
    let list = if columns.is_empty() { String::new() } else { format!(" ({})", idents(&columns)) };
    let mut draft = Draft::new("TABLE DATA", Some(&table.schema), &table.name, &table.owner);
    draft.section = Section::Data;
    draft.oid = table.oid;
    draft.copy = Some(format!("COPY {}{list} FROM stdin;\n", root.clone().unwrap_or_else(|| table.path())));
    if let Some(root) = root {
        // pg_restore knows this text: it does not truncate the partition before it loads.
        draft.defn = format!("-- load via partition root {root}");
    }
    let data = Node::new(Kind::TableData, Some(&table.schema), &table.name);
    let data = reader.add(Key::Data(table.oid), data, Body::Whole(Box::new(draft)));
    reader.need(data, node);
    reader.tables.push((
        data,
        TableData {
            dump_id: 0,
            oid: table.oid,
            schema: table.schema.clone(),
            name: table.name.clone(),
            columns,
            kind: table.kind,
            blocks: table.blocks,
            bytes: table.bytes,
            wide: wide(table),
            filter,
        },
    ));
}

/// The columns that can hold large values, where there are enough bytes out of line for one.
fn wide(table: &Relation) -> Vec<String> {
    let can = |c: &&super::relation::Column| !c.dropped && c.generated == '\0' && c.storage != 'p';
    let columns = table.columns.iter().filter(|_| table.toast_bytes > large_row::FEW);
    columns.filter(can).map(|c| c.name.clone()).collect()
}

fn root_if_unstable<'r>(reader: &'r Reader<'_>, table: &'r Relation) -> Option<&'r Relation> {
    let mut root = None;
    let mut unstable = false;
    let mut at = table;
    while at.partition {
        at = at.parents.first().and_then(|p| reader.relations.get(p))?;
        unstable |= at.unstable_hash;
        root = Some(at);
    }
    root.filter(|_| unstable)
}

/// Adds the rows of extensions' configuration tables, which CREATE EXTENSION does not bring back.
pub(super) async fn read_configuration(
    reader: &mut Reader<'_>,
    tables: std::collections::HashMap<u32, String>,
) -> Result<()> {
    let mut tables: Vec<_> = tables.into_iter().collect();
    tables.sort_unstable();
    for (oid, filter) in &tables {
        let Some(relation) = reader.relations.get(oid).cloned() else { continue };
        let Some(node) = reader.find(class::RELATION, *oid) else { continue };
        match relation.kind {
            'r' => add_table(reader, &relation, node, Some(filter.clone()).filter(|f| !f.is_empty())),
            'S' => add_sequence(reader, &relation, node),
            'm' => add_refresh(reader, &relation, node),
            _ => {}
        }
    }
    if tables.is_empty() {
        return Ok(());
    }
    // Their foreign keys exist before the data.
    let sql = "SELECT conrelid, confrelid FROM pg_catalog.pg_constraint WHERE contype = 'f'";
    for row in reader.query(sql).await? {
        let (from, to) = (row.oid("conrelid")?, row.oid("confrelid")?);
        if tables.iter().any(|t| t.0 == from)
            && let (Some(&from), Some(&to)) = (reader.index.get(&Key::Data(from)), reader.index.get(&Key::Data(to)))
        {
            reader.need(from, to);
        }
    }
    Ok(())
}

/// Adds the value of a sequence; it is read by [`read_sequences`].
pub(super) fn add_sequence(reader: &mut Reader<'_>, sequence: &Relation, node: usize) {
    if !reader.has_data(sequence) {
        return;
    }
    let mut draft = Draft::new("SEQUENCE SET", Some(&sequence.schema), &sequence.name, &sequence.owner);
    draft.section = Section::Data;
    let value = Node::new(Kind::SequenceValue, Some(&sequence.schema), &sequence.name);
    let value = reader.add(Key::Data(sequence.oid), value, Body::Whole(Box::new(draft)));
    reader.need(value, node);
}

/// Reads the values of the sequences among these entries, which lie in the sequences themselves. That locks them, and a
/// server has room for some thousands of locks only: these end with their query, at its savepoint.
pub(super) async fn read_sequences(conn: &mut PgConnection, entries: &mut [Entry]) -> Result<()> {
    let mut sequences: Vec<&mut Entry> = entries.iter_mut().filter(|e| e.desc == "SEQUENCE SET").collect();
    for batch in sequences.chunks_mut(SEQUENCES_PER_QUERY) {
        let path = |entry: &Entry| qualified(entry.namespace.as_deref().unwrap_or_default(), &entry.tag);
        let parts: Vec<String> = batch
            .iter()
            .enumerate()
            .map(|(at, entry)| format!("SELECT {at} AS at, last_value, is_called FROM {}", path(entry)))
            .collect();
        let query = parts.join(" UNION ALL ");
        let query =
            format!("SAVEPOINT sequences; {query}; ROLLBACK TO SAVEPOINT sequences; RELEASE SAVEPOINT sequences");
        for row in row::query(conn, &query).await? {
            let (value, called) = (row.text("last_value")?, row.flag("is_called")?);
            if let Some(entry) = batch.get_mut(row.number::<usize>("at")?) {
                entry.defn = format!("SELECT pg_catalog.setval({}, {value}, {called});\n", literal(&path(entry)));
            }
        }
    }
    Ok(())
}

/// Adds the refresh of a populated materialized view.
pub(super) fn add_refresh(reader: &mut Reader<'_>, view: &Relation, node: usize) {
    let draft = Draft::new("MATERIALIZED VIEW DATA", Some(&view.schema), &view.name, &view.owner)
        .post_data()
        .sql(format!("REFRESH MATERIALIZED VIEW {};\n", view.path()), "");
    let refresh = Node::new(Kind::Refresh, Some(&view.schema), &view.name);
    let refresh = reader.add(Key::Data(view.oid), refresh, Body::Whole(Box::new(draft)));
    reader.need(refresh, node);
}

/// Lets refreshes come after those of the materialized views they read from, directly or through views; one that
/// reads from a view that is not populated is left unpopulated too.
pub(super) async fn order_refreshes(reader: &mut Reader<'_>) -> Result<()> {
    let sql = "WITH RECURSIVE reads AS ( \
         SELECT r.ev_class AS reader, d.refobjid AS source FROM pg_catalog.pg_rewrite r \
         JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.objid = r.oid \
              AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid <> r.ev_class \
         JOIN pg_catalog.pg_class c ON c.oid = d.refobjid AND c.relkind IN ('v', 'm')), \
         w AS (SELECT reader, source FROM reads JOIN pg_catalog.pg_class c ON c.oid = reader AND c.relkind = 'm' \
               UNION SELECT w.reader, reads.source FROM w JOIN reads ON reads.reader = w.source) \
         SELECT w.reader, w.source, c.relispopulated FROM w JOIN pg_catalog.pg_class c ON c.oid = w.source \
         AND c.relkind = 'm' ORDER BY 1, 2";
    for row in reader.query(sql).await? {
        let Some(&refresh) = reader.index.get(&Key::Data(row.oid("reader")?)) else { continue };
        if !row.flag("relispopulated")? {
            reader.bodies[refresh] = Body::Silent;
        } else if let Some(&source) = reader.index.get(&Key::Data(row.oid("source")?)) {
            reader.need(refresh, source);
        }
    }
    Ok(())
}

/// Adds the large objects. Returns their OIDs.
pub(super) async fn read_large_objects(reader: &mut Reader<'_>) -> Result<Vec<u32>> {
    let sql = "SELECT oid, lomowner, lomacl AS acl, acldefault('L', lomowner) AS acldefault \
         FROM pg_catalog.pg_largeobject_metadata ORDER BY oid";
    let mut oids = Vec::new();
    for row in reader.query(sql).await? {
        let oid = row.oid("oid")?;
        let owner = reader.owner(&row, "lomowner")?;
        let name = oid.to_string();
        let named = Named { kind: "LARGE OBJECT", schema: None, name: &name, owner: &owner };
        let mut extras = reader.remarks(class::LARGE_OBJECT, oid, named);
        extras.extend(reader.privileges(&row, class::LARGE_OBJECT, oid, Class::LargeObject, named)?);
        let draft = Draft::new("BLOB", None, &name, &owner)
            .sql(format!("SELECT pg_catalog.lo_create('{oid}');\n"), format!("SELECT pg_catalog.lo_unlink('{oid}');\n"))
            .with(extras);
        reader.add_whole(class::LARGE_OBJECT, oid, Kind::LargeObject, &format!("{oid:010}"), draft);
        oids.push(oid);
    }
    if !oids.is_empty() {
        let mut draft = Draft::new("BLOBS", None, "BLOBS", "");
        draft.section = Section::Data;
        reader.add(Key::None, Node::new(Kind::LargeObjectData, None, "BLOBS"), Body::Whole(Box::new(draft)));
    }
    Ok(oids)
}

/// The sequence's owning column, where it has one: `OWNED BY` comes after the sequence got its table's owner.
pub(super) fn owned_by(sequence: &Relation, table: &Relation, column: &str) -> super::draft::Extra {
    let quoted = ident(&sequence.name);
    let named = Named { kind: "SEQUENCE", schema: Some(&sequence.schema), name: &quoted, owner: &sequence.owner };
    let defn = format!("ALTER SEQUENCE {} OWNED BY {}.{};\n", sequence.path(), table.path(), ident(column));
    let mut extra = named.extra("SEQUENCE OWNED BY", sequence.name.clone(), defn);
    extra.section = Section::PreData;
    extra
}
