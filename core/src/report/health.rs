//! Whether everything is as it should be, in the shape that health routes serve.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::id::BackupId;

/// How something is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    /// As it should be.
    Ok,
    /// It works, and somebody should look at it.
    Degraded,
    /// It does not work.
    Down,
}

impl HealthStatus {
    /// The status as a word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::Down => "down",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct HealthCheck {
    /// What it is, for example `database`.
    pub name: String,
    /// How it is doing.
    pub status: HealthStatus,
    /// What was found, where there is something to say.
    #[serde(default)]
    pub message: Option<String>,
}

/// The state of the database, of its store and of its backups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct HealthReport {
    /// The worst of all checks that count: a database that is down is `down`, a backup that is missing is `degraded`.
    pub status: HealthStatus,
    /// What a route answers: 200, or 503 when `status` is `down`.
    pub http_status: u16,
    /// The database; absent when the vault has none.
    pub db: Option<HealthStatus>,
    /// The same as `connected` or `disconnected`; absent when the vault has none.
    pub database: Option<String>,
    /// The store.
    pub store: HealthStatus,
    /// The newest backup.
    pub backup: BackupHealth,
    /// The newest drill.
    pub drill: DrillHealth,
    /// Everything that was looked at, the caller's own checks among it.
    pub checks: Vec<HealthCheck>,
    /// When it was looked at.
    pub timestamp: Timestamp,
    /// The same as `application/health+json`, if it was asked for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub health_json: Option<serde_json::Value>,
}

/// The newest backup, and how old it may be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BackupHealth {
    /// The newest backup.
    pub id: Option<BackupId>,
    /// When the newest backup was started: the moment it brings back.
    pub last_success_at: Option<Timestamp>,
    /// Seconds since then.
    pub age_seconds: Option<u64>,
    /// Seconds that are allowed.
    pub max_age_seconds: u64,
}

/// The newest drill, and how old it may be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DrillHealth {
    /// When the newest successful drill ended.
    pub last_success_at: Option<Timestamp>,
    /// Whether the newest drill of all succeeded; absent when there was none.
    pub ok: Option<bool>,
    /// Seconds that are allowed since the newest success.
    pub max_age_seconds: u64,
}
