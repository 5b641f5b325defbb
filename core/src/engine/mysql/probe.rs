//! Questions to a database: who it is, what its tables hold, and whether a query is satisfied.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use futures::TryStreamExt as _;
use mysql_async::prelude::Queryable as _;
use mysql_async::{Row, Value};

use crate::engine::pool::open_up_to;
use crate::error::{Error, Result};
use crate::format::checksum::RowHasher;
use crate::id::EngineKind;
use crate::report::{Probe, TableSummary};

use super::catalog::tables::{self, TableData};
use super::connect::{Role, Server};
use super::dump::summary_name;
use super::failure::failure;
use super::plan;
use super::quote::literal;
use super::rows::{rows_out, select};

/// Bytes that are counted and hashed by one statement, about.
const PIECE_BYTES: u64 = 64 << 20;

/// Connects and asks for the version and the size.
pub(super) async fn probe(server: &Server) -> Result<Probe> {
    let mut session = server.connect(Role::Catalog).await?;
    let sql = format!(
        "SELECT CAST(COALESCE(SUM(DATA_LENGTH + INDEX_LENGTH), 0) AS UNSIGNED) FROM information_schema.TABLES \
         WHERE TABLE_SCHEMA = {}",
        literal(server.database())
    );
    let size = session.query_one(&sql, "asking for the size").await?;
    let version = session.version.text.clone();
    session.close().await;
    Ok(Probe { engine: EngineKind::Mysql, version, size_bytes: size.and_then(|n| n.parse().ok()) })
}

/// Runs a query as the database's users would. False if the first column of its first row says so.
pub(super) async fn smoke(server: &Server, sql: &str) -> Result<bool> {
    let mut conn = server.connect_plain().await?;
    let doing = "running a smoke query";
    conn.query_drop("SET SESSION TRANSACTION READ ONLY").await.map_err(|e| failure("setting up the session", e))?;
    let row: Option<Row> = conn.query_first(sql).await.map_err(|e| failure(doing, e))?;
    drop(conn.disconnect().await);
    let first = row.and_then(|row| row.unwrap().into_iter().next());
    Ok(!matches!(first, Some(Value::Bytes(value)) if matches!(value.as_slice(), b"f" | b"false" | b"0")))
}

/// A piece of a table to count and hash.
struct Piece {
    index: usize,
    condition: Option<String>,
}

/// Counts and hashes these tables' rows on `jobs` connections. What is not there gives no entry.
pub(super) async fn summarize(server: &Server, wanted: &[TableSummary], jobs: usize) -> Result<Vec<TableSummary>> {
    let database = server.database();
    let mut session = server.connect(Role::Reader).await?;
    // Names come as they are stored: in UTF-8, or whatever the connection asks for.
    session.execute("SET SESSION character_set_results = utf8mb4", "setting up the session").await?;
    let there: HashMap<String, TableData> =
        tables::read(&mut session, database).await?.into_iter().map(|t| (summary_name(&t.name), t)).collect();
    let mut pieces = Vec::new();
    let mut found = Vec::with_capacity(wanted.len());
    for (index, summary) in wanted.iter().enumerate() {
        let table = there.get(&summary.name).and_then(|table| with_columns(table, &summary.columns));
        if let Some(table) = &table {
            let ranges = plan::ranges(&mut session, database, table, PIECE_BYTES).await?;
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
    let (next, tables) = (&next, &found);
    let work = sessions.iter_mut().map(|session| async move {
        let mut done = Vec::new();
        while let Some(Piece { index, condition }) = next() {
            let Some((table, _)) = &tables[index] else { continue };
            let mut hasher = RowHasher::default();
            let sql = select(database, table, condition.as_deref());
            let doing = format!("reading {}", table.name);
            rows_out(&mut session.conn, sql, table, doing, &mut hasher).try_for_each(|_| async { Ok(()) }).await?;
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

/// The table with these columns only, in this order; none if one is not there.
fn with_columns(table: &TableData, columns: &[String]) -> Option<TableData> {
    let column = |name: &String| table.columns.iter().find(|c| c.name == *name).cloned();
    let columns = columns.iter().map(column).collect::<Option<Vec<_>>>()?;
    Some(TableData { columns, ..table.clone() })
}
