//! What the verbs answer: plain data that serializes the same way in every language.

mod doctor;
mod health;
mod keys;
mod stats;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::id::{BackupId, DatabaseName, EngineKind};
use crate::selection::Selection;

pub use doctor::{Check, CheckStatus, DoctorReport};
pub use health::{BackupHealth, DrillHealth, HealthCheck, HealthReport, HealthStatus};
pub use keys::{
    AddKeyReport, BackupKey, KeyEpoch, KeyRefusal, KeySlot, KeySlotKind, KeysReport, ReencryptReport, Reencrypted,
    RemoveKeyReport, RewrapReport, RotateKeyReport,
};
pub use stats::{ConnectionStats, DatabaseStats, IndexStats, QueryStats, ReplicaStats, TableStats};

/// The single moment that a backup shows, in the database's own terms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ConsistencyPoint {
    /// When the snapshot was taken, by the database's clock where it has one.
    pub at: Timestamp,
    /// What `position` is: `lsn` (PostgreSQL), `binlog` or `time` (MySQL and MariaDB), `cluster_time` or `oplog` (MongoDB: of
    /// a snapshot, or of the last entry of the oplog that goes along; `none` where there is neither, and the position is the
    /// server's clock) or `change_counter` (SQLite, of the file header).
    pub kind: String,
    /// The position, as the database writes it.
    pub position: String,
}

/// The content of one table: how many rows, and a hash that does not depend on their order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TableSummary {
    /// The table, quoted as the engine quotes it when it has to be, with its schema where there is one: `public.orders`.
    pub name: String,
    /// The columns that were hashed, in this order.
    pub columns: Vec<String>,
    /// Number of rows.
    pub rows: u64,
    /// Sum over all rows of XXH3-128 of the row's text, modulo 2^128, as 32 hex digits.
    pub hash: String,
}

/// What a file of the dump is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum FileRole {
    /// Small, read whole before anything is loaded, never compressed: `toc.dat`.
    Schema,
    /// Loaded part by part.
    Data,
}

/// Something a caller should know about a backup or a restore that did not stop it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Warning {
    /// A stable name of the kind of warning, for example `unsupported_object`.
    pub code: String,
    /// What it is about, and what follows from it.
    pub message: String,
}

impl Warning {
    /// A warning of this code.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into() }
    }
}

/// What a database answered when it was asked who it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Probe {
    /// The engine.
    pub engine: EngineKind,
    /// The server's version, for example `15.18`.
    pub version: String,
    /// Size of the database on disk, in bytes, where the engine tells.
    pub size_bytes: Option<u64>,
}

/// A backup that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct BackupReport {
    /// The new backup.
    pub id: BackupId,
    /// Its database's name in the store.
    pub database: DatabaseName,
    /// When the run began.
    pub started_at: Timestamp,
    /// When the manifest was about to be written.
    pub finished_at: Timestamp,
    /// Milliseconds from start to commit.
    pub duration_ms: u64,
    /// Raw bytes of the dump.
    pub source_bytes: u64,
    /// Bytes of the volumes in the store.
    pub stored_bytes: u64,
    /// Tables and rows found.
    pub tables: u64,
    /// Rows in all tables.
    pub rows: u64,
    /// What the caller should know.
    pub warnings: Vec<Warning>,
}

/// One backup, as its manifest's header and its proofs tell without a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct BackupSummary {
    /// The backup.
    pub id: BackupId,
    /// Its database's name in the store.
    pub database: DatabaseName,
    /// The engine it is of.
    pub engine: EngineKind,
    /// The server's version.
    pub server_version: String,
    /// When the run began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Timestamp,
    /// Raw bytes of the dump.
    pub source_bytes: u64,
    /// Bytes of its volumes in the store.
    pub stored_bytes: u64,
    /// Tables in it.
    pub tables: u64,
    /// Rows in it.
    pub rows: u64,
    /// Labels given by the caller.
    pub tags: Vec<String>,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// Number of warnings in the manifest.
    pub warnings: u64,
    /// Whether only a part of the database was backed up.
    pub partial: bool,
    /// The newest successful verification, if any.
    pub verified_at: Option<Timestamp>,
    /// The newest successful drill, if any: the backup is proven.
    pub drilled_at: Option<Timestamp>,
    /// Whether the newest proof of all failed.
    pub failing: bool,
    /// Until when a hold keeps it, if there is one.
    #[serde(default)]
    pub held_until: Option<Timestamp>,
    /// Since when it is marked for deletion, if it is: a later `prune` deletes it, and `hold` takes the mark back.
    #[serde(default)]
    pub marked_at: Option<Timestamp>,
}

/// One backup in full, as `show` gives it; what is sealed is opened with the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct BackupDetails {
    /// What the header tells.
    #[serde(flatten)]
    pub summary: BackupSummary,
    /// The consistency point of the dump.
    pub point: ConsistencyPoint,
    /// Each file of the dump.
    pub files: Vec<FileDetails>,
    /// Each table's count and hash.
    pub table_summaries: Vec<TableSummary>,
    /// What the caller should know.
    pub warning_list: Vec<Warning>,
    /// What of the database was backed up, if not all of it.
    pub selection: Option<Selection>,
    /// Each proof there is, oldest first.
    pub proofs: Vec<ProofSummary>,
}

/// One file of a dump.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FileDetails {
    /// Its name in the dump directory, without the codec's suffix.
    pub name: String,
    /// Raw bytes.
    pub bytes: u64,
    /// Bytes as stored.
    pub stored_bytes: u64,
}

/// What was proven of a backup, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ProofSummary {
    /// `verify` or `drill`.
    pub kind: ProofKind,
    /// When the check ended.
    pub at: Timestamp,
    /// Whether everything was as it should be.
    pub ok: bool,
    /// Milliseconds the check took; for a drill, the measured recovery time.
    pub duration_ms: u64,
    /// What was found wrong, empty when `ok`.
    pub problems: Vec<String>,
}

/// The two ways to prove a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum ProofKind {
    /// Every byte was read, authenticated and decompressed.
    Verify,
    /// The backup was restored and compared.
    Drill,
}

impl ProofKind {
    /// The kind's name, as in object names.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Verify => "verify",
            Self::Drill => "drill",
        }
    }
}

/// A verification that found everything as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct VerifyReport {
    /// The backup's id, or the artifact's name.
    pub id: String,
    /// Stored bytes read.
    pub stored_bytes: u64,
    /// Raw bytes decompressed and hashed.
    pub raw_bytes: u64,
    /// Parts checked; of an artifact its data files.
    pub parts: u64,
    /// What the caller should know.
    pub warnings: Vec<Warning>,
    /// Milliseconds it took.
    pub duration_ms: u64,
}

/// A drill that restored the backup and found the same content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct DrillReport {
    /// The backup.
    pub id: BackupId,
    /// Tables compared.
    pub tables: u64,
    /// Rows compared.
    pub rows: u64,
    /// Smoke queries that ran.
    pub queries: u64,
    /// Milliseconds of the restore alone: the measured recovery time.
    pub restore_ms: u64,
    /// Milliseconds in all.
    pub duration_ms: u64,
    /// What the restore had to say.
    pub warnings: Vec<Warning>,
}

/// A restore that ended well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct RestoreReport {
    /// The backup's id, or the artifact's name.
    pub id: String,
    /// Where it was restored, with credentials left out.
    pub target: String,
    /// Raw bytes loaded.
    pub bytes: u64,
    /// Milliseconds it took.
    pub duration_ms: u64,
    /// What was created on the server beside the database: `role app`, `tablespace fast`.
    pub created: Vec<String>,
    /// What became of the database that was there, when the restored one was promoted.
    pub promoted: Option<Promoted>,
    /// What could not be restored exactly.
    pub warnings: Vec<Warning>,
}

/// A restored database that took the place of the live one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Promoted {
    /// What the database that was there is called now (for SQLite, its path); absent when there was none.
    pub kept: Option<String>,
    /// How to go back to it: SQL for any other database of the server, or commands of a shell.
    pub go_back: Vec<String>,
    /// How to drop it once nobody will go back.
    pub drop_kept: Vec<String>,
}

/// An export: the dump as a directory that stock tools load.
/// A dump that scripts made, as its name tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ArtifactSummary {
    /// Its object name in the store; for a directory dump its folder's.
    pub name: String,
    /// Bytes as stored.
    pub bytes: u64,
    /// The time in its name, taken as UTC.
    pub started_at: Option<Timestamp>,
    /// Whether its name says that it is encrypted.
    pub encrypted: bool,
    /// Whether its SHA-256 lies beside it.
    pub checksum: bool,
}

/// An export: the dump as stock tools load it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ExportReport {
    /// The backup.
    pub id: BackupId,
    /// The folder that was written.
    #[cfg_attr(feature = "schema", schemars(extend("format" = "path")))]
    pub folder: String,
    /// Files in it.
    pub files: u64,
    /// Bytes in it.
    pub bytes: u64,
}

/// A hold that was placed or taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct HoldReport {
    /// The backup.
    pub id: BackupId,
    /// Until when it is held now.
    pub held_until: Option<Timestamp>,
}

/// What a prune did, or would do, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct PruneReport {
    /// Whether it was only asked what would be done.
    pub dry_run: bool,
    /// The policy, as text.
    pub keep: String,
    /// Each backup, newest first, with what becomes of it.
    pub decisions: Vec<PruneDecision>,
    /// What runs that died left behind, and what deletions that were cut short left: removed now.
    pub swept: Vec<BackupId>,
    /// Bytes that were freed.
    pub freed_bytes: u64,
    /// What the store did not allow.
    pub refused: Vec<Refusal>,
}

/// What becomes of one backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PruneDecision {
    /// The backup.
    pub backup: BackupId,
    /// What is done now.
    pub action: PruneAction,
    /// Why.
    pub reasons: Vec<String>,
    /// From when on a marked backup is deleted.
    pub deletes_at: Option<Timestamp>,
}

/// What a prune does with a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum PruneAction {
    /// It stays.
    Keep,
    /// It is marked now; a prune after the time of grace deletes it.
    Mark,
    /// It was marked before, and its time has not come.
    Wait,
    /// It is deleted now.
    Delete,
}

impl PruneAction {
    /// The action's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Mark => "mark",
            Self::Wait => "wait",
            Self::Delete => "delete",
        }
    }
}

/// Something that the store did not allow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Refusal {
    /// The backup that stays for now.
    pub backup: BackupId,
    /// The stable code of the error.
    pub code: String,
    /// What the store said.
    pub message: String,
}
