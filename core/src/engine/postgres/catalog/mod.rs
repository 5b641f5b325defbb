//! Reads a database's schema from its catalogs and writes it as archive entries, as pg_dump does and without it.
//!
//! Each kind of object has a file with one query and the text of its statement. All of them add nodes to one graph;
//! the server's own record of dependencies adds the edges; `order` sorts it, and what is part of a table or a view
//! becomes a statement of its own where a loop demands it. The number of queries does not depend on the database.

mod acl;
mod aggregate;
mod base_type;
mod check;
mod collation;
mod conversion;
mod data;
mod database;
mod default_acl;
mod depend;
mod domain;
mod draft;
mod emit;
mod event_trigger;
mod extension;
mod facts;
mod foreign;
mod foreign_key;
mod function;
mod given_acl;
mod globals;
mod index;
mod language;
pub(crate) mod marks;
mod operator;
mod policy;
mod publication;
mod reader;
mod relation;
mod row;
mod rule;
mod schema;
mod sequence;
mod statistics;
mod subscription;
mod table;
mod text_search;
mod trigger;
mod types;
mod unsupported;
mod view;

use sqlx::postgres::PgConnection;

use crate::engine::postgres::archive::Entry;
use crate::engine::postgres::quote::qualified;
use crate::engine::postgres::select::Scope;
use crate::error::Result;
use crate::report::Warning;

pub(crate) use globals::{read_globals, read_roles};
use reader::Reader;

/// A database's schema, ready for the archive.
#[derive(Debug, Clone)]
pub(crate) struct Catalog {
    /// All entries in order of restore, numbered, with dependencies. Data entries have no file yet.
    pub(crate) entries: Vec<Entry>,
    /// What `pg_restore --create` creates the database from: DATABASE with its comment and privileges, and DATABASE
    /// PROPERTIES. An archive has them right after its three settings; a restore into a database that exists skips
    /// them. Their numbers follow on those of `entries`.
    pub(crate) database: Vec<Entry>,
    /// The tables whose rows are dumped: one for each `TABLE DATA` entry, in the same order.
    pub(crate) tables: Vec<TableData>,
    /// The large objects.
    pub(crate) large_objects: Vec<u32>,
    /// What could not be dumped, and other things to know.
    pub(crate) warnings: Vec<Warning>,
}

/// A table whose rows are dumped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TableData {
    /// The number of its `TABLE DATA` entry.
    pub(crate) dump_id: i32,
    /// Its OID.
    pub(crate) oid: u32,
    /// Its schema, unquoted.
    pub(crate) schema: String,
    /// Its name, unquoted.
    pub(crate) name: String,
    /// Its columns but for generated ones, unquoted, in order. A table may have none.
    pub(crate) columns: Vec<String>,
    /// Its `relkind`, which is `r`.
    pub(crate) kind: char,
    /// Blocks of its main fork, at this moment.
    pub(crate) blocks: u64,
    /// Bytes of its main fork and its out-of-line values.
    pub(crate) bytes: u64,
    /// Those of its columns that can hold large values, if it holds any out of line that may be large.
    pub(crate) wide: Vec<String>,
    /// For an extension's configuration table the `WHERE …` that selects the rows to dump.
    pub(crate) filter: Option<String>,
}

/// The tables to lock in ACCESS SHARE mode before [`read`], quoted, so that they stay as they are. Of extensions'
/// tables only those with rows to dump: the others are not ours, and may be closed to us. Children of a table
/// that is wanted are as well.
///
/// # Errors
/// `DatabaseUnavailable`, `DatabaseError`.
pub(crate) async fn tables_to_lock(conn: &mut PgConnection, scope: &Scope) -> Result<Vec<String>> {
    // Each table with all it is a child of, where that matters.
    let family = if scope.is_everything() {
        "ARRAY[n.nspname, c.relname]"
    } else {
        "ARRAY(WITH RECURSIVE up(oid) AS (SELECT c.oid UNION \
           SELECT i.inhparent FROM up JOIN pg_catalog.pg_inherits i ON i.inhrelid = up.oid) \
         SELECT x FROM up JOIN pg_catalog.pg_class p ON p.oid = up.oid \
           JOIN pg_catalog.pg_namespace s ON s.oid = p.relnamespace, \
           unnest(ARRAY[s.nspname, p.relname]) WITH ORDINALITY u(x, n) ORDER BY p.oid, n)"
    };
    let sql = format!(
        "SELECT n.nspname, c.relname, {family} AS family FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' \
         AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema' \
         AND (NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = c.tableoid AND d.objid = c.oid \
                 AND d.deptype = 'e') \
              OR EXISTS (SELECT FROM pg_catalog.pg_extension e WHERE c.oid = ANY (e.extconfig))) ORDER BY c.oid"
    );
    let mut tables = Vec::new();
    for row in row::query(conn, &sql).await? {
        if row.list("family")?.chunks_exact(2).any(|member| scope.wants(&member[0], &member[1])) {
            tables.push(qualified(&row.text("nspname")?, &row.text("relname")?));
        }
    }
    Ok(tables)
}

/// Reads the schema. The connection is in the dump's snapshot, and the tables are locked.
///
/// Leaves the session with an empty search path and standard-conforming strings.
///
/// # Errors
/// `DatabaseUnavailable`, `DatabaseDenied`, `DatabaseChanged` when an object went away meanwhile, `DatabaseError`.
pub(crate) async fn read(conn: &mut PgConnection) -> Result<Catalog> {
    let mut reader = Reader::open(conn).await?;
    let reader = &mut reader;
    let encoding = row::query(reader.conn, "SELECT current_setting('client_encoding') AS encoding").await?;
    let encoding = encoding.first().map_or(Ok(String::new()), |row| row.text("encoding"))?;
    schema::read(reader).await?;
    let configuration = extension::read(reader).await?;
    relation::read(reader).await?;
    let checks = check::read(reader).await?;
    types::read(reader, &checks).await?;
    base_type::read(reader).await?;
    collation::read(reader).await?;
    function::read(reader).await?;
    aggregate::read(reader).await?;
    operator::read(reader).await?;
    conversion::read(reader).await?;
    language::read(reader).await?;
    text_search::read(reader).await?;
    foreign::read(reader).await?;
    for relation in reader.relations.values().filter(|r| !r.member).cloned().collect::<Vec<_>>() {
        match relation.kind {
            'r' | 'p' | 'f' => {
                let checks = checks.of_table.get(&relation.oid).map(Vec::as_slice).unwrap_or_default();
                table::add(reader, &relation, checks)?;
            }
            'v' => view::add(reader, &relation),
            'm' => view::add_materialized(reader, &relation),
            _ => {}
        }
    }
    sequence::read(reader).await?;
    index::read(reader).await?;
    foreign_key::read(reader).await?;
    trigger::read(reader).await?;
    rule::read(reader).await?;
    policy::read(reader).await?;
    statistics::read(reader).await?;
    publication::read(reader).await?;
    subscription::read(reader).await?;
    event_trigger::read(reader).await?;
    default_acl::read(reader).await?;
    let large_objects = data::read_large_objects(reader).await?;
    data::read_configuration(reader, configuration).await?;
    data::order_refreshes(reader).await?;
    given_acl::read(reader).await?;
    depend::read(reader).await?;
    unsupported::report(reader).await?;
    let database = database::read(reader).await?;
    let emitted = emit::emit(
        std::mem::take(&mut reader.nodes),
        std::mem::take(&mut reader.bodies),
        emit::settings(&encoding),
        database,
        std::mem::take(&mut reader.tables),
    )?;
    Ok(Catalog {
        entries: emitted.entries,
        database: emitted.database,
        tables: emitted.tables,
        large_objects,
        warnings: std::mem::take(&mut reader.warnings),
    })
}

/// Reads what sequences stand at, once it is known which of them are dumped: the role may not be let near the others.
///
/// # Errors
/// As [`read`].
pub(crate) async fn read_sequences(conn: &mut PgConnection, catalog: &mut Catalog) -> Result<()> {
    data::read_sequences(conn, &mut catalog.entries).await
}

#[cfg(test)]
mod tests;
