//! Takes one consistent snapshot of a database: locks, snapshot, schema.

use std::collections::HashSet;

use jiff::Timestamp;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};

use crate::error::{Code, Error, Result};
use crate::report::{ConsistencyPoint, Warning};
use crate::selection::Selection;

use super::catalog::marks::{self, Marked};
use super::catalog::{self, Catalog};
use super::connect::{Role, Server, execute, query, query_one};
use super::failure::{failure, state};
use super::privileges::Closed;
use super::select::{Picks, Scope, keep};

/// How often a snapshot is tried while tables and definitions come and go.
const ATTEMPTS: usize = 8;

/// Tables locked by one statement.
const LOCKS_PER_STATEMENT: usize = 200;

/// A snapshot, and the schema in it.
pub(super) struct Taken {
    /// Exported the snapshot, and holds a lock on every table until it ends its transaction.
    pub(super) conn: PgConnection,
    /// The name under which other connections share the snapshot.
    pub(super) exported: String,
    pub(super) catalog: Catalog,
    pub(super) point: ConsistencyPoint,
    pub(super) server_version: String,
}

impl Taken {
    /// Takes a snapshot of what was selected. Tries again when tables change while it is being taken.
    pub(super) async fn new(server: &Server, select: &Selection) -> Result<Self> {
        for _ in 1..ATTEMPTS {
            match Self::attempt(server, select).await {
                Err(e) if e.code() == Code::DatabaseChanged => tracing::debug!(%e, "taking the snapshot again"),
                result => return result,
            }
        }
        Self::attempt(server, select).await
    }

    async fn attempt(server: &Server, select: &Selection) -> Result<Self> {
        let scope = Scope::new(select)?;
        let mut conn = server.connect(Role::Catalog).await?;
        let to_lock = catalog::tables_to_lock(&mut conn, &scope).await?;
        // Before anything is locked or read: nobody wants to hear of the second closed table after an hour.
        let mut closed = Closed::read(&mut conn).await?;
        if !scope.is_everything() {
            closed.only(&to_lock);
        }
        closed.check()?;
        // Locks first, snapshot second: what TRUNCATE or ALTER did before a lock is seen by the snapshot, and nothing
        // of the kind happens after it. LOCK is one of the statements that take no snapshot of their own.
        execute(&mut conn, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", "opening the snapshot").await?;
        lock(&mut conn, &to_lock).await?;
        let Answer { exported, transactions, point, server_version } = Answer::ask(&mut conn).await?;
        let locked: HashSet<&String> = to_lock.iter().collect();
        if let Some(name) = catalog::tables_to_lock(&mut conn, &scope).await?.iter().find(|name| !locked.contains(name))
        {
            return Err(changed(&format!("table {name} appeared while the snapshot was taken")));
        }
        let mut catalog = read_catalog(&mut conn, server, &transactions).await?;
        reduce(&mut catalog, select)?;
        catalog::read_sequences(&mut conn, &mut catalog).await?;
        Ok(Self { conn, exported, catalog, point, server_version })
    }
}

/// Locks the tables against changes of their definition; rows can be written as before.
async fn lock(conn: &mut PgConnection, tables: &[String]) -> Result<()> {
    for batch in tables.chunks(LOCKS_PER_STATEMENT) {
        let sql = format!("LOCK TABLE ONLY {} IN ACCESS SHARE MODE", batch.join(", ONLY "));
        if let Err(e) = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *conn).await {
            let deadlock = state(&e).as_deref() == Some("40P01");
            let gone = is_gone(&e);
            let e = failure("locking the tables", e);
            return Err(if gone || deadlock { changed(e.message()) } else { e });
        }
    }
    Ok(())
}

/// What the server said when the snapshot was taken.
struct Answer {
    exported: String,
    /// The transactions that the snapshot sees.
    transactions: String,
    point: ConsistencyPoint,
    server_version: String,
}

impl Answer {
    async fn ask(conn: &mut PgConnection) -> Result<Self> {
        let sql = "SELECT pg_catalog.pg_export_snapshot(), \
             (extract(epoch FROM pg_catalog.clock_timestamp()) * 1000000)::pg_catalog.int8, \
             CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn() \
             ELSE pg_catalog.pg_current_wal_lsn() END, \
             pg_catalog.current_setting('server_version'), pg_catalog.pg_current_snapshot()";
        let rows = query(conn, sql, "taking the snapshot").await?;
        let values: Option<[String; 5]> =
            rows.into_iter().next().and_then(|row| row.into_iter().collect::<Option<Vec<_>>>()?.try_into().ok());
        let internal = || Error::new(Code::Internal, "taking the snapshot: the server's answer is not as expected");
        let [exported, micros, position, version, transactions] = values.ok_or_else(internal)?;
        let at =
            micros.parse().ok().and_then(|micros| Timestamp::from_microsecond(micros).ok()).ok_or_else(internal)?;
        // `15.20 (Debian 15.20-0+deb12u1)`: the packager's part says nothing about the data.
        let server_version = version.split(' ').next().unwrap_or_default().to_owned();
        Ok(Self {
            exported,
            transactions,
            point: ConsistencyPoint { at, kind: "lsn".to_owned(), position },
            server_version,
        })
    }
}

/// Reads the catalog, and makes sure that no definition changed since the snapshot: the server prints functions, views
/// and triggers as they are now, not as they were in the snapshot.
async fn read_catalog(conn: &mut PgConnection, server: &Server, transactions: &String) -> Result<Catalog> {
    let mut catalog = catalog::read(conn).await?;
    match unchanged(conn, server, Marked::Definitions, Some(transactions)).await? {
        Some(true) => Ok(catalog),
        Some(false) => Err(changed("definitions changed while they were read")),
        None => {
            catalog.warnings.push(unchecked("whether definitions changed while they were read"));
            Ok(catalog)
        }
    }
}

/// Whether the catalogs are now as the snapshot of `conn` shows them. None: no connection was left to ask.
async fn unchanged(
    conn: &mut PgConnection,
    server: &Server,
    marked: Marked,
    transactions: Option<&String>,
) -> Result<Option<bool>> {
    let mut now = match server.connect(Role::Catalog).await {
        Ok(now) => now,
        Err(e) if e.code() == Code::TooManyConnections => return Ok(None),
        Err(e) => return Err(e),
    };
    let sql = "SELECT pg_catalog.pg_current_snapshot()";
    let unchanged = (transactions.is_some()
        && query_one(&mut now, sql, "comparing snapshots").await?.as_ref() == transactions)
        || marks::read(conn, marked).await? == marks::read(&mut now, marked).await?;
    drop(now.close().await);
    Ok(Some(unchanged))
}

fn unchecked(what: &str) -> Warning {
    Warning::new("unchecked_definitions", format!("no connection was left to see {what}"))
}

/// Leaves in the catalog what was selected, and what has to come along with it.
fn reduce(catalog: &mut Catalog, select: &Selection) -> Result<()> {
    if select.is_everything() {
        return Ok(());
    }
    let chosen = Picks::new(&catalog.entries, select)?.choose(&catalog.entries, |_| false)?;
    keep(&mut catalog.entries, &chosen.ids);
    catalog.tables.retain(|table| chosen.ids.contains(&table.dump_id));
    if !catalog.entries.iter().any(|e| e.desc == "BLOBS") {
        catalog.large_objects.clear();
    }
    if select.names_some() {
        // How it was created, so that it can be created again; not what was said of it or granted on it.
        catalog.database.retain(|e| e.desc == "DATABASE");
    }
    catalog.warnings.extend(chosen.warnings);
    Ok(())
}

/// Makes sure that enum labels and names of schemas are still those of the snapshot that `conn` shows: rows were read with
/// those of the moment of reading.
pub(super) async fn rows_are_of_one_moment(conn: &mut PgConnection, server: &Server) -> Result<Option<Warning>> {
    match unchanged(conn, server, Marked::Rows, None).await? {
        Some(true) => Ok(None),
        Some(false) => Err(changed("a schema or an enum was changed while rows were read")),
        None => Ok(Some(unchecked("whether a schema or an enum was changed while rows were read"))),
    }
}

/// Whether a table was dropped, moved or replaced by a view after it was listed.
pub(super) fn is_gone(e: &sqlx::Error) -> bool {
    matches!(state(e).as_deref(), Some("42P01" | "3F000" | "42809"))
}

pub(super) fn changed(what: &str) -> Error {
    Error::new(Code::DatabaseChanged, what).next("run the backup again when no migration is running")
}
