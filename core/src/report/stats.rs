//! What a database tells about itself.

use serde::{Deserialize, Serialize};

use crate::id::EngineKind;

/// How a database is doing, as far as it says. What it does not say, or not to this role, is absent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct DatabaseStats {
    /// The engine.
    pub engine: EngineKind,
    /// The server's version.
    pub version: String,
    /// Size of the database on disk, in bytes.
    pub size_bytes: Option<u64>,
    /// Bytes of files that no longer hold data (SQLite's free pages).
    pub free_bytes: Option<u64>,
    /// Connections of the whole server.
    pub connections: Option<ConnectionStats>,
    /// The largest tables, the largest first; at most ten.
    pub largest_tables: Vec<TableStats>,
    /// The largest indexes that were never used since statistics began; at most ten.
    pub unused_indexes: Vec<IndexStats>,
    /// The statements that took the most time in all, where the server keeps such records; at most ten.
    pub slow_queries: Vec<QueryStats>,
    /// Deadlocks since statistics began.
    pub deadlocks: Option<u64>,
    /// Share of block reads that the server's cache answered, 0 to 1.
    pub cache_hit_ratio: Option<f64>,
    /// Age of the oldest transaction that is open, in seconds.
    pub longest_transaction_seconds: Option<f64>,
    /// Sessions that wait for a lock.
    pub waiting_locks: Option<u64>,
    /// Replicas that are fed by this server.
    pub replicas: Vec<ReplicaStats>,
    /// How far this server is behind its primary, in seconds, if it is a replica.
    pub replication_lag_seconds: Option<f64>,
}

impl DatabaseStats {
    #[allow(dead_code, reason = "a build without engines has nobody to make one")]
    pub(crate) fn new(engine: EngineKind, version: String) -> Self {
        Self {
            engine,
            version,
            size_bytes: None,
            free_bytes: None,
            connections: None,
            largest_tables: Vec::new(),
            unused_indexes: Vec::new(),
            slow_queries: Vec::new(),
            deadlocks: None,
            cache_hit_ratio: None,
            longest_transaction_seconds: None,
            waiting_locks: None,
            replicas: Vec::new(),
            replication_lag_seconds: None,
        }
    }
}

/// Connections of a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ConnectionStats {
    /// Connections that are open.
    pub used: u64,
    /// Connections that are allowed.
    pub allowed: u64,
    /// Of those open, how many run a statement.
    pub active: u64,
    /// Of those open, how many are in a transaction and do nothing.
    pub idle_in_transaction: u64,
}

/// A table's size and state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TableStats {
    /// The table, with its schema where there is one.
    pub name: String,
    /// Bytes with its indexes and out-of-line values.
    pub bytes: u64,
    /// Rows, as the server estimates them.
    pub rows: u64,
    /// Rows that are deleted and not yet cleaned up, as the server estimates them.
    pub dead_rows: u64,
}

/// An index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct IndexStats {
    /// The index, with its schema where there is one.
    pub name: String,
    /// Its table.
    pub table: String,
    /// Its bytes.
    pub bytes: u64,
}

/// A statement that was run many times, or long.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct QueryStats {
    /// The statement with its constants taken out, at most 300 characters.
    pub query: String,
    /// How often it was run.
    pub calls: u64,
    /// Milliseconds in all.
    pub total_ms: f64,
    /// Milliseconds of one call, on average.
    pub mean_ms: f64,
}

/// A replica, as its primary sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ReplicaStats {
    /// The name it connects with.
    pub name: String,
    /// What it does, for example `streaming`.
    pub state: String,
    /// Bytes of the log that it has not replayed.
    pub lag_bytes: Option<u64>,
    /// Seconds it is behind.
    pub lag_seconds: Option<f64>,
}
