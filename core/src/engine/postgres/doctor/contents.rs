//! What the database holds, and what of it a backup has.

use crate::engine::findings::listed;
use crate::engine::{self, DoctorOptions};
use crate::error::{Code, Result};
use crate::report::Check;

use super::Visit;
use crate::engine::postgres::catalog;
use crate::engine::postgres::connect::execute;
use crate::engine::postgres::privileges::Closed;
use crate::engine::postgres::quote::literal;

/// A relation's name, quoted; and only those that are neither the server's nor an extension's.
const RELATIONS: &str = "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_class c \
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     WHERE n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema' \
     AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = c.tableoid AND d.objid = c.oid \
         AND d.deptype = 'e') AND ";

pub(super) async fn privileges(v: &mut Visit<'_>) -> Result<Check> {
    const NAME: &str = "privileges";
    let closed = Closed::read(&mut v.conn).await?;
    let check = match closed.denied() {
        Some(e) => Check::failed(NAME, &e),
        None => Check::pass(NAME, "the role may read every table, sequence and large object"),
    };
    v.closed = Some(closed);
    Ok(check)
}

#[expect(clippy::unused_async, reason = "a check like the others")]
pub(super) async fn row_security(v: &mut Visit<'_>) -> Result<Check> {
    const NAME: &str = "row_security";
    Ok(match v.closed.as_ref().map(Closed::hidden) {
        None => Check::not_checked(NAME, "the privileges could not be read"),
        Some(Some(e)) => Check::failed(NAME, &e),
        Some(None) => Check::pass(NAME, "no row-level security policy hides rows from the role"),
    })
}

pub(super) async fn large_objects(v: &mut Visit<'_>) -> Result<Check> {
    const NAME: &str = "large_objects";
    /// Each is a file of the dump.
    const MANY: u64 = 100_000;
    let [count] = v.row("SELECT pg_catalog.count(*) FROM pg_catalog.pg_largeobject_metadata").await?;
    if count.parse::<u64>().unwrap_or(0) > MANY {
        let message = format!("{count} large objects: each is read and stored as a file of its own");
        return Ok(Check::warn(NAME, message, "remove orphans with vacuumlo, or move them to bytea columns"));
    }
    Ok(Check::pass(NAME, format!("{count} large objects, which are in the backup")))
}

pub(super) async fn unlogged_tables(v: &mut Visit<'_>) -> Result<Check> {
    const NAME: &str = "unlogged_tables";
    let names = v.column(&format!("{RELATIONS}c.relkind IN ('r', 'S') AND c.relpersistence = 'u' ORDER BY 1")).await?;
    Ok(match (names.is_empty(), v.standby) {
        (true, _) => Check::pass(NAME, "there are none"),
        (false, false) => Check::pass(NAME, format!("{}: their rows are in the backup", listed(&names))),
        (false, true) => Check::warn(
            NAME,
            format!("{}: a standby does not have their content, nor will the backup", listed(&names)),
            "back up the primary, or ALTER TABLE … SET LOGGED",
        ),
    })
}

pub(super) async fn foreign_tables(v: &mut Visit<'_>) -> Result<Check> {
    const NAME: &str = "foreign_tables";
    let names = v.column(&format!("{RELATIONS}c.relkind = 'f' ORDER BY 1")).await?;
    if names.is_empty() {
        return Ok(Check::pass(NAME, "there are none"));
    }
    let message = format!("{}: their definitions are in the backup, their rows are not", listed(&names));
    Ok(Check::warn(NAME, message, "back up the servers that hold the rows"))
}

pub(super) async fn extensions(v: &mut Visit<'_>) -> Result<Check> {
    let sql = "SELECT extname || ' ' || extversion FROM pg_catalog.pg_extension ORDER BY extname";
    let names = v.column(sql).await?;
    Ok(Check::pass("extensions", format!("a restore needs a server that offers {}", listed(&names))))
}

/// Reads the schema as a backup does.
pub(super) async fn objects(v: &mut Visit<'_>) -> Result<Check> {
    const NAME: &str = "objects";
    if v.closed.as_ref().is_none_or(|closed| closed.denied().is_some()) {
        return Ok(Check::not_checked(NAME, "the role may not read everything"));
    }
    execute(&mut v.conn, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", "reading the schema").await?;
    let read = catalog::read(&mut v.conn).await;
    // Whatever it brought, the transaction has served.
    execute(&mut v.conn, "ROLLBACK", "reading the schema").await?;
    let catalog = match read {
        Ok(catalog) => catalog,
        // A migration holds a lock at this moment; the backup would wait for it.
        Err(e) if e.code() == Code::DatabaseChanged => {
            return Ok(Check::warn(NAME, e.message(), "run the doctor again when no migration is running"));
        }
        Err(e) => return Err(e),
    };
    let found: Vec<String> = catalog.warnings.into_iter().map(|w| w.message).collect();
    if found.is_empty() {
        let tables = catalog.tables.len();
        return Ok(Check::pass(
            NAME,
            format!("everything can be dumped: {} entries, {tables} tables", catalog.entries.len()),
        ));
    }
    Ok(Check::warn(
        NAME,
        found.join("; "),
        "each is a warning in the manifest; `strict` makes unsupported objects an error",
    ))
}

/// Looks for what the caller requires: `orders` in any schema, or `sales.orders`.
pub(super) async fn required(v: &mut Visit<'_>, options: &DoctorOptions) -> Result<Check> {
    let mut missing = Vec::new();
    let kinds = [("table", "'r', 'p', 'v', 'm', 'f'", &options.tables), ("index", "'i', 'I'", &options.indexes)];
    for (kind, relkinds, names) in kinds {
        if names.is_empty() {
            continue;
        }
        let array = names.iter().map(|name| literal(name)).collect::<Vec<_>>().join(", ");
        // An index whose concurrent building failed is there and of no use.
        let sql = format!(
            "SELECT '{kind} ' || w FROM pg_catalog.unnest(ARRAY[{array}]::pg_catalog.text[]) w WHERE NOT EXISTS (\
                 SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                 LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid WHERE c.relkind IN ({relkinds}) \
                 AND (n.nspname || '.' || c.relname = w OR c.relname = w AND n.nspname NOT LIKE 'pg\\_%' \
                     AND n.nspname <> 'information_schema') \
                 AND i.indisvalid IS NOT FALSE)"
        );
        missing.extend(v.column(&sql).await?);
    }
    Ok(engine::required(options, &missing).unwrap_or_else(|| Check::pass("required", "nothing is required")))
}
