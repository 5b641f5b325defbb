//! How a server and a database on it are doing.

use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use crate::error::{Code, Result};
use crate::id::EngineKind;
use crate::report::{ConnectionStats, DatabaseStats, IndexStats, QueryStats, ReplicaStats, TableStats};

use super::connect::{Role, Server, query};
use super::failure::failure;

/// Asks the server's statistics views. What this role may not see is left out.
pub(super) async fn stats(server: &Server) -> Result<DatabaseStats> {
    let mut conn = server.connect(Role::Catalog).await?;
    let mut stats = database(&mut conn).await?;
    stats.connections = one(&mut conn, CONNECTIONS, |row| {
        Some(ConnectionStats {
            used: number(row, 0)?,
            allowed: number(row, 1)?,
            active: number(row, 2)?,
            idle_in_transaction: number(row, 3)?,
        })
    })
    .await?;
    stats.largest_tables = all(&mut conn, LARGEST_TABLES, |row| {
        Some(TableStats {
            name: text(row, 0)?,
            bytes: number(row, 1)?,
            rows: number(row, 2)?,
            dead_rows: number(row, 3)?,
        })
    })
    .await?;
    stats.unused_indexes = all(&mut conn, UNUSED_INDEXES, |row| {
        Some(IndexStats { name: text(row, 0)?, table: text(row, 1)?, bytes: number(row, 2)? })
    })
    .await?;
    stats.slow_queries = slow_queries(&mut conn).await?;
    stats.replicas = all(&mut conn, REPLICAS, |row| {
        Some(ReplicaStats {
            name: text(row, 0)?,
            state: text(row, 1)?,
            lag_bytes: number(row, 2),
            lag_seconds: real(row, 3),
        })
    })
    .await?;
    conn.close().await.map_err(|e| failure("closing the connection", e))?;
    Ok(stats)
}

const DATABASE: &str = "SELECT pg_catalog.current_setting('server_version'), \
    pg_catalog.pg_database_size(pg_catalog.current_database()), d.deadlocks, \
    d.blks_hit::pg_catalog.float8 / nullif(d.blks_hit + d.blks_read, 0), \
    (SELECT coalesce(pg_catalog.max(extract(epoch FROM pg_catalog.now() - a.xact_start)), \
      CASE WHEN pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE') THEN 0 END) FROM pg_catalog.pg_stat_activity a \
     WHERE a.datname = pg_catalog.current_database() AND a.pid <> pg_catalog.pg_backend_pid()), \
    (SELECT pg_catalog.count(DISTINCT l.pid) FROM pg_catalog.pg_locks l WHERE NOT l.granted), \
    CASE WHEN pg_catalog.pg_is_in_recovery() \
     THEN extract(epoch FROM pg_catalog.now() - pg_catalog.pg_last_xact_replay_timestamp()) END \
    FROM pg_catalog.pg_stat_database d WHERE d.datname = pg_catalog.current_database()";

const CONNECTIONS: &str = "SELECT pg_catalog.count(*), pg_catalog.current_setting('max_connections'), \
    pg_catalog.count(*) FILTER (WHERE state = 'active'), \
    pg_catalog.count(*) FILTER (WHERE state LIKE 'idle in transaction%') \
    FROM pg_catalog.pg_stat_activity WHERE backend_type = 'client backend'";

const LARGEST_TABLES: &str = "SELECT s.schemaname || '.' || s.relname, pg_catalog.pg_total_relation_size(s.relid), \
    s.n_live_tup, s.n_dead_tup FROM pg_catalog.pg_stat_user_tables s \
    WHERE pg_catalog.pg_total_relation_size(s.relid) IS NOT NULL ORDER BY 2 DESC, 1 LIMIT 10";

const UNUSED_INDEXES: &str = "SELECT s.schemaname || '.' || s.indexrelname, s.schemaname || '.' || s.relname, \
    pg_catalog.pg_relation_size(s.indexrelid) FROM pg_catalog.pg_stat_user_indexes s \
    JOIN pg_catalog.pg_index i ON i.indexrelid = s.indexrelid \
    WHERE s.idx_scan = 0 AND NOT i.indisunique AND pg_catalog.pg_relation_size(s.indexrelid) > 0 \
    ORDER BY 3 DESC, 1 LIMIT 10";

const REPLICAS: &str = "SELECT coalesce(nullif(application_name, ''), client_addr::pg_catalog.text, pid::pg_catalog.text), \
    state, pg_catalog.pg_wal_lsn_diff(CASE WHEN pg_catalog.pg_is_in_recovery() \
     THEN pg_catalog.pg_last_wal_receive_lsn() ELSE pg_catalog.pg_current_wal_lsn() END, replay_lsn)::pg_catalog.int8, \
    extract(epoch FROM replay_lag) FROM pg_catalog.pg_stat_replication WHERE state IS NOT NULL ORDER BY 1";

async fn database(conn: &mut PgConnection) -> Result<DatabaseStats> {
    let rows = query(conn, DATABASE, "reading the statistics").await?;
    let row = rows.into_iter().next().unwrap_or_default();
    let version = text(&row, 0).unwrap_or_default();
    let mut stats = DatabaseStats::new(EngineKind::Postgres, version.split(' ').next().unwrap_or_default().to_owned());
    stats.size_bytes = number(&row, 1);
    stats.deadlocks = number(&row, 2);
    stats.cache_hit_ratio = real(&row, 3);
    stats.longest_transaction_seconds = real(&row, 4);
    stats.waiting_locks = number(&row, 5);
    stats.replication_lag_seconds = real(&row, 6);
    Ok(stats)
}

/// From pg_stat_statements, if the extension is there, loaded and visible.
async fn slow_queries(conn: &mut PgConnection) -> Result<Vec<QueryStats>> {
    let find = "SELECT pg_catalog.quote_ident(n.nspname) FROM pg_catalog.pg_extension e \
        JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pg_stat_statements'";
    let Some(schema) = one(conn, find, |row| text(row, 0)).await? else { return Ok(Vec::new()) };
    let sql = format!(
        "SELECT pg_catalog.left(query, 300), calls, total_exec_time, mean_exec_time FROM {schema}.pg_stat_statements \
         WHERE dbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) \
         ORDER BY total_exec_time DESC LIMIT 10"
    );
    all(conn, &sql, |row| {
        Some(QueryStats {
            query: text(row, 0)?,
            calls: number(row, 1)?,
            total_ms: real(row, 2)?,
            mean_ms: real(row, 3)?,
        })
    })
    .await
}

type Row = [Option<String>];

/// The rows of a query that `read` understands; none if the server refuses to answer it.
async fn all<T>(conn: &mut PgConnection, sql: &str, read: impl Fn(&Row) -> Option<T>) -> Result<Vec<T>> {
    match query(conn, sql, "reading the statistics").await {
        Ok(rows) => Ok(rows.iter().filter_map(|row| read(row)).collect()),
        Err(e) if matches!(e.code(), Code::DatabaseDenied | Code::DatabaseError) => {
            tracing::debug!(error = %e, "a statistic is left out");
            Ok(Vec::new())
        }
        Err(e) => Err(e),
    }
}

async fn one<T>(conn: &mut PgConnection, sql: &str, read: impl Fn(&Row) -> Option<T>) -> Result<Option<T>> {
    Ok(all(conn, sql, read).await?.into_iter().next())
}

fn text(row: &Row, at: usize) -> Option<String> {
    row.get(at).cloned().flatten()
}

fn number(row: &Row, at: usize) -> Option<u64> {
    row.get(at)?.as_deref()?.parse().ok()
}

fn real(row: &Row, at: usize) -> Option<f64> {
    row.get(at)?.as_deref()?.parse().ok()
}
