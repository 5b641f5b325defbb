//! How a server and a database on it are doing.

use mysql_async::prelude::Queryable as _;
use mysql_async::{Row as MyRow, from_value_opt};

use crate::error::{Code, Result};
use crate::id::EngineKind;
use crate::report::{ConnectionStats, DatabaseStats, IndexStats, QueryStats, ReplicaStats, TableStats};

use super::connect::{Role, Server, Session};
use super::databases::Databases;
use super::failure::{failure, is_denied, number};

/// Nothing is written, and no lock and no statement is waited for for long.
pub(super) async fn careful(session: &mut Session) -> Result<()> {
    let patience = match session.version.mariadb {
        true => "max_statement_time = 30",
        false => "max_execution_time = 30000",
    };
    let doing = "setting up the session";
    session.execute(&format!("SET SESSION lock_wait_timeout = 5, {patience}"), doing).await?;
    session.execute("SET SESSION TRANSACTION READ ONLY", doing).await
}

/// Asks the server's statistics. What this account may not see is left out.
pub(super) async fn stats(server: &Server) -> Result<DatabaseStats> {
    let mut session = server.connect(Role::Catalog).await?;
    careful(&mut session).await?;
    // Times of transactions are the server's own.
    session.execute("SET SESSION time_zone = 'SYSTEM'", "setting up the session").await?;
    let session = &mut session;
    let databases = server.databases();
    let mut stats = DatabaseStats::new(EngineKind::Mysql, session.version.text.clone());
    let sizes = format!(
        "SELECT CAST(SUM(DATA_LENGTH + INDEX_LENGTH) AS UNSIGNED), CAST(SUM(DATA_FREE) AS UNSIGNED) \
         FROM information_schema.TABLES WHERE {}",
        databases.within("TABLE_SCHEMA")
    );
    if let Some((size, free)) = one(session, &sizes, |row| Some((natural(row, 0)?, natural(row, 1)))).await? {
        (stats.size_bytes, stats.free_bytes) = (Some(size), free);
    }
    let status = Status::read(session).await?;
    let transactions = one(session, TRANSACTIONS, |row| Some((natural(row, 0)?, real(row, 1)))).await?;
    if let (Some(used), Some(allowed)) = (status.natural("Threads_connected"), status.natural("max_connections")) {
        stats.connections = Some(ConnectionStats {
            used,
            allowed,
            active: status.natural("Threads_running").unwrap_or(0),
            idle_in_transaction: transactions.map_or(0, |(idle, _)| idle),
        });
    }
    stats.longest_transaction_seconds = transactions.and_then(|(_, longest)| longest);
    stats.waiting_locks = status.natural("Innodb_row_lock_current_waits");
    stats.cache_hit_ratio = status.cache_hits();
    stats.deadlocks = match status.natural("Innodb_deadlocks") {
        Some(deadlocks) => Some(deadlocks),
        None => one(session, DEADLOCKS, |row| natural(row, 0)).await?,
    };
    stats.largest_tables = all(session, &largest_tables(databases), |row| {
        Some(TableStats { name: text(row, 0)?, bytes: natural(row, 1)?, rows: natural(row, 2)?, dead_rows: 0 })
    })
    .await?;
    if status.on("performance_schema") {
        stats.unused_indexes = all(session, &unused_indexes(databases), |row| {
            Some(IndexStats { name: text(row, 0)?, table: text(row, 1)?, bytes: natural(row, 2)? })
        })
        .await?;
        stats.slow_queries = all(session, &slow_queries(databases), |row| {
            Some(QueryStats {
                query: text(row, 0)?,
                calls: natural(row, 1)?,
                total_ms: real(row, 2)?,
                mean_ms: real(row, 3)?,
            })
        })
        .await?;
    }
    stats.replicas = all(session, REPLICAS, |row| {
        Some(ReplicaStats { name: text(row, 0)?, state: text(row, 1)?, lag_bytes: None, lag_seconds: None })
    })
    .await?;
    #[expect(clippy::cast_precision_loss, reason = "seconds")]
    let lag = replication(session).await?.flatten().map(|seconds| seconds as f64);
    stats.replication_lag_seconds = lag;
    Ok(stats)
}

/// Transactions that are open, of everybody: idle ones, and the age of the oldest.
const TRANSACTIONS: &str = "SELECT COALESCE(SUM(p.COMMAND = 'Sleep'), 0), \
    COALESCE(MAX(TIMESTAMPDIFF(SECOND, t.trx_started, NOW())), 0) FROM information_schema.INNODB_TRX t \
    JOIN information_schema.PROCESSLIST p ON p.ID = t.trx_mysql_thread_id WHERE p.ID <> CONNECTION_ID()";

/// Of MySQL, where it counts them.
const DEADLOCKS: &str =
    "SELECT `COUNT` FROM information_schema.INNODB_METRICS WHERE NAME = 'lock_deadlocks' AND STATUS = 'enabled'";

const REPLICAS: &str = "SELECT CONCAT(USER, '@', HOST), COALESCE(NULLIF(STATE, ''), COMMAND) \
    FROM information_schema.PROCESSLIST WHERE COMMAND LIKE 'Binlog Dump%' ORDER BY 1";

fn largest_tables(databases: &Databases) -> String {
    format!(
        "SELECT {}, DATA_LENGTH + INDEX_LENGTH, TABLE_ROWS FROM information_schema.TABLES \
         WHERE {} AND DATA_LENGTH IS NOT NULL ORDER BY 2 DESC, 1 LIMIT 10",
        databases.called("TABLE_SCHEMA", "TABLE_NAME"),
        databases.within("TABLE_SCHEMA")
    )
}

fn unused_indexes(databases: &Databases) -> String {
    format!(
        "SELECT w.INDEX_NAME, {}, COALESCE(s.stat_value, 0) * @@innodb_page_size \
         FROM performance_schema.table_io_waits_summary_by_index_usage w \
         JOIN information_schema.STATISTICS i ON i.TABLE_SCHEMA = w.OBJECT_SCHEMA AND i.TABLE_NAME = w.OBJECT_NAME \
          AND i.INDEX_NAME = w.INDEX_NAME AND i.SEQ_IN_INDEX = 1 AND i.NON_UNIQUE = 1 \
         LEFT JOIN mysql.innodb_index_stats s ON s.database_name = w.OBJECT_SCHEMA AND s.table_name = w.OBJECT_NAME \
          AND s.index_name = w.INDEX_NAME AND s.stat_name = 'size' \
         WHERE {} AND w.COUNT_STAR = 0 ORDER BY 3 DESC, 2, 1 LIMIT 10",
        databases.called("w.OBJECT_SCHEMA", "w.OBJECT_NAME"),
        databases.within("w.OBJECT_SCHEMA")
    )
}

/// Times are in picoseconds.
fn slow_queries(databases: &Databases) -> String {
    format!(
        "SELECT LEFT(DIGEST_TEXT, 300), COUNT_STAR, SUM_TIMER_WAIT / 1e9, AVG_TIMER_WAIT / 1e9 \
         FROM performance_schema.events_statements_summary_by_digest \
         WHERE {} AND DIGEST_TEXT IS NOT NULL ORDER BY SUM_TIMER_WAIT DESC LIMIT 10",
        databases.within("SCHEMA_NAME")
    )
}

/// How far the server is behind what it replicates, in seconds: the inner one is absent while replication stands still,
/// the outer one if there is none, or the account may not see it.
pub(super) async fn replication(session: &mut Session) -> Result<Option<Option<u64>>> {
    for sql in ["SHOW REPLICA STATUS", "SHOW SLAVE STATUS"] {
        match session.conn.query::<MyRow, _>(sql).await {
            Ok(rows) => return Ok(lag(rows)),
            // Each version knows one of them at least.
            Err(e) if is_denied(&e) || number(&e) == Some(SYNTAX) => {}
            Err(e) => return Err(failure("asking for the state of replication", e)),
        }
    }
    Ok(None)
}

/// The server's number for a statement that it does not know.
const SYNTAX: u16 = 1064;

/// The largest lag of all sources.
fn lag(rows: Vec<MyRow>) -> Option<Option<u64>> {
    let mut largest = None;
    for row in rows {
        let named = |name: &str| ["Seconds_Behind_Master", "Seconds_Behind_Source"].contains(&name);
        let at = row.columns_ref().iter().position(|column| named(&column.name_str()));
        let seconds =
            at.and_then(|at| row.as_ref(at)).and_then(|v| from_value_opt::<Option<u64>>(v.clone()).ok()).flatten();
        let Some(seconds) = seconds else { return Some(None) };
        largest = Some(Some(largest.flatten().unwrap_or(0).max(seconds)));
    }
    largest
}

/// Counters and settings of the server.
struct Status(Vec<Vec<Option<String>>>);

impl Status {
    async fn read(session: &mut Session) -> Result<Self> {
        let status = "SHOW GLOBAL STATUS WHERE Variable_name IN ('Threads_connected', 'Threads_running', \
            'Innodb_row_lock_current_waits', 'Innodb_deadlocks', 'Innodb_buffer_pool_reads', \
            'Innodb_buffer_pool_read_requests')";
        let variables = "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('max_connections', 'performance_schema')";
        let mut rows = session.query(status, "reading the statistics").await?;
        rows.extend(session.query(variables, "reading the statistics").await?);
        Ok(Self(rows))
    }

    fn text(&self, name: &str) -> Option<&str> {
        let is = |row: &&Vec<Option<String>>| {
            row.first().and_then(Option::as_deref).is_some_and(|n| n.eq_ignore_ascii_case(name))
        };
        self.0.iter().find(is)?.get(1)?.as_deref()
    }

    fn natural(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }

    fn on(&self, name: &str) -> bool {
        matches!(self.text(name), Some("ON" | "1"))
    }

    #[expect(clippy::cast_precision_loss, reason = "a ratio")]
    fn cache_hits(&self) -> Option<f64> {
        let (missed, asked) =
            (self.natural("Innodb_buffer_pool_reads")?, self.natural("Innodb_buffer_pool_read_requests")?);
        (asked > 0).then(|| 1.0 - missed as f64 / asked as f64)
    }
}

type Row = [Option<String>];

/// The rows of a query that `read` understands; none if the server refuses to answer it.
async fn all<T>(session: &mut Session, sql: &str, read: impl Fn(&Row) -> Option<T>) -> Result<Vec<T>> {
    match session.query(sql, "reading the statistics").await {
        Ok(rows) => Ok(rows.iter().filter_map(|row| read(row)).collect()),
        Err(e) if matches!(e.code(), Code::DatabaseDenied | Code::DatabaseError) => {
            tracing::debug!(error = %e, "a statistic is left out");
            Ok(Vec::new())
        }
        Err(e) => Err(e),
    }
}

async fn one<T>(session: &mut Session, sql: &str, read: impl Fn(&Row) -> Option<T>) -> Result<Option<T>> {
    Ok(all(session, sql, read).await?.into_iter().next())
}

fn text(row: &Row, at: usize) -> Option<String> {
    row.get(at).cloned().flatten()
}

fn natural(row: &Row, at: usize) -> Option<u64> {
    row.get(at)?.as_deref()?.parse().ok()
}

fn real(row: &Row, at: usize) -> Option<f64> {
    row.get(at)?.as_deref()?.parse().ok()
}
