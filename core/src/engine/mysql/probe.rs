//! Questions to a database: who it is, what its tables hold, and whether a query is satisfied.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use futures::TryStreamExt as _;
use mysql_async::prelude::Queryable as _;
use mysql_async::{Row, Value};
use tokio::sync::MappedMutexGuard;

use crate::engine::pool::open_up_to;
use crate::error::{Code, Error, Result};
use crate::format::checksum::RowHasher;
use crate::id::EngineKind;
use crate::report::{Probe, TableSummary};

use super::catalog::tables::{self, TableData};
use super::connect::{Role, Server, Session};
use super::databases::{Databases, OWN, parse_summary, plain};
use super::failure::failure;
use super::names::Names;
use super::plan;
use super::rows::rows_out;

/// Bytes that are counted and hashed by one statement, about.
const PIECE_BYTES: u64 = 64 << 20;

/// Connects and asks for the version and the size.
pub(super) async fn probe(server: &Server) -> Result<Probe> {
    let mut session = server.connect(Role::Catalog).await?;
    let sql = format!(
        "SELECT CAST(COALESCE(SUM(DATA_LENGTH + INDEX_LENGTH), 0) AS UNSIGNED) FROM information_schema.TABLES \
         WHERE {}",
        server.databases().within("TABLE_SCHEMA")
    );
    let size = session.query_one(&sql, "asking for the size").await?;
    let version = session.version.text.clone();
    session.close().await;
    Ok(Probe { engine: EngineKind::Mysql, version, size_bytes: size.and_then(|n| n.parse().ok()) })
}

/// Runs a query as the database's users would. False if the first column of its first row says so.
pub(super) async fn smoke(server: &Server, sql: &str) -> Result<bool> {
    let sql = match server.databases() {
        Databases::One(_) => sql.to_owned(),
        Databases::All { .. } => among_several(server, sql).await?,
    };
    let mut conn = server.connect_plain().await?;
    let doing = "running a smoke query";
    conn.query_drop("SET SESSION TRANSACTION READ ONLY").await.map_err(|e| failure("setting up the session", e))?;
    let row: Option<Row> = conn.query_first(sql).await.map_err(|e| failure(doing, e))?;
    drop(conn.disconnect().await);
    let first = row.and_then(|row| row.unwrap().into_iter().next());
    Ok(!matches!(first, Some(Value::Bytes(value)) if matches!(value.as_slice(), b"f" | b"false" | b"0")))
}

/// A query in which the databases of a dump have the names that they have here. One that names others of the same server
/// is none of ours to answer: it would tell of those that live there.
async fn among_several(server: &Server, sql: &str) -> Result<String> {
    let mut session = server.connect(Role::Catalog).await?;
    let here = session.databases(server).await?;
    let all = session.query("SHOW DATABASES", "listing the databases").await?.into_iter().flatten().flatten();
    let all: Vec<String> = all.collect();
    session.close().await;
    let dumped = |name: &String| match server.databases() {
        Databases::All { prefix: Some(prefix) } => {
            name.strip_prefix(prefix).and_then(|name| name.strip_prefix('_')).map(str::to_owned)
        }
        _ => Some(name.clone()),
    };
    let candidates: Vec<String> = here.iter().filter_map(dumped).chain(all.iter().cloned()).collect();
    let pairs = candidates.iter().map(|name| (name.as_str(), server.databases().here(name)));
    let pairs: Vec<(&str, String)> = pairs.filter(|(_, there)| here.contains(there)).collect();
    let names: Names = pairs.iter().map(|(name, there)| (*name, there.as_str())).collect();
    let (text, others) = names.in_query(sql);
    match others.iter().find(|name| !OWN.contains(&name.as_str()) && all.contains(name)) {
        None => Ok(text),
        Some(name) => Err(Error::new(Code::DatabaseError, format!("database {name} is not in the backup"))
            .next("name databases of the backup: `shop.orders`")),
    }
}

/// A piece of a table to count and hash.
struct Piece {
    index: usize,
    condition: Option<String>,
}

/// Counts and hashes these tables' rows on `jobs` connections. What is not there gives no entry.
pub(super) async fn summarize(server: &Server, wanted: &[TableSummary], jobs: usize) -> Result<Vec<TableSummary>> {
    let mut session = server.connect(Role::Reader).await?;
    // Names come as they are stored: in UTF-8, or whatever the connection asks for.
    session.execute("SET SESSION character_set_results = utf8mb4", "setting up the session").await?;
    let wanted_in = places(&mut session, server, wanted).await?;
    let mut there = HashMap::new();
    for database in wanted_in.iter().flatten().map(|(database, _)| database).collect::<BTreeSet<_>>() {
        let tables = tables::read(&mut session, database).await?;
        there.extend(tables.into_iter().map(|t| ((database.clone(), plain(&t.name)), t)));
    }
    let mut pieces = Vec::new();
    let mut found = Vec::with_capacity(wanted.len());
    for (index, (summary, place)) in wanted.iter().zip(wanted_in).enumerate() {
        let table = place.and_then(|place| there.get(&place)).and_then(|table| with_columns(table, &summary.columns));
        if let Some(table) = &table {
            let ranges = plan::ranges(&mut session, &table.database, table, PIECE_BYTES).await?;
            pieces.extend(ranges.into_iter().map(|range| Piece { index, condition: range.condition }));
        }
        found.push(table.map(|table| (table, RowHasher::default())));
    }
    session.execute("SET SESSION character_set_results = NULL", "setting up the session").await?;
    let mut sessions = vec![session];
    let more = jobs.min(pieces.len()).saturating_sub(1);
    sessions.extend(open_up_to(more, || server.connect(Role::Reader)).await?.0);
    let queue = Mutex::new(pieces.into_iter());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let (next, tables, for_large) = (&next, &found, &tokio::sync::Mutex::new(None));
    let work = sessions.iter_mut().map(|session| async move {
        let mut done = Vec::new();
        while let Some(Piece { index, condition }) = next() {
            let Some((table, _)) = &tables[index] else { continue };
            let mut hasher = RowHasher::default();
            let (conn, condition) = (&mut session.conn, condition.as_deref());
            let rows = rows_out(conn, &table.database, table, condition, &mut hasher, alone(server, for_large));
            rows.try_for_each(|_| async { Ok(()) }).await?;
            done.push((index, hasher));
        }
        Ok::<_, Error>(done)
    });
    let done: Vec<Vec<(usize, RowHasher)>> = futures::future::try_join_all(work).await?;
    for (index, hasher) in done.into_iter().flatten() {
        if let Some((_, sum)) = &mut found[index] {
            sum.merge(&hasher);
        }
    }
    for session in sessions {
        session.close().await;
    }
    let summary = |(summary, found): (&TableSummary, Option<(TableData, RowHasher)>)| {
        found.map(|(_, sum)| TableSummary { rows: sum.rows(), hash: sum.hash(), ..summary.clone() })
    };
    Ok(wanted.iter().zip(found).filter_map(summary).collect())
}

/// The database here and the name between backticks where it has to be, of each of these tables; none if it is not here.
async fn places(
    session: &mut Session,
    server: &Server,
    wanted: &[TableSummary],
) -> Result<Vec<Option<(String, String)>>> {
    let here = session.databases(server).await?;
    let place = |summary: &TableSummary| {
        let (dumped, table) = parse_summary(&summary.name);
        let database = match (dumped, here.as_slice()) {
            (Some(dumped), _) => server.databases().here(&dumped),
            // Of a dump of one database.
            (None, [only]) => only.clone(),
            (None, _) => return None,
        };
        here.contains(&database).then(|| (database, table.to_owned()))
    };
    Ok(wanted.iter().map(place).collect())
}

/// The connection that reads all large rows, opened for the first of them.
async fn alone<'a>(
    server: &Server,
    connection: &'a tokio::sync::Mutex<Option<Session>>,
) -> Result<Option<MappedMutexGuard<'a, Session>>> {
    let mut connection = connection.lock().await;
    if connection.is_none() {
        *connection = Some(server.connect(Role::Reader).await?);
    }
    Ok(tokio::sync::MutexGuard::try_map(connection, Option::as_mut).ok())
}

/// The table with these columns only, in this order; none if one is not there.
fn with_columns(table: &TableData, columns: &[String]) -> Option<TableData> {
    let column = |name: &String| table.columns.iter().find(|c| c.name == *name).cloned();
    let columns = columns.iter().map(column).collect::<Option<Vec<_>>>()?;
    Some(TableData { columns, ..table.clone() })
}
