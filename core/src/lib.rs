//! Database backups that have been restored.
//!
//! A [`Vault`] is one database and the store that its backups lie in. Its verbs are builders: set options, then await.
//!
//! ```no_run
//! # async fn example() -> lastgood::Result<()> {
//! use lastgood::Vault;
//!
//! let vault = Vault::from_env().await?; // DATABASE_URL, BACKUP_STORE_URL, BACKUP_ENCRYPTION_KEY
//! let backup = vault.backup().tag("nightly").on_progress(|p| println!("{:?} {}", p.phase, p.bytes_done)).await?;
//! vault.verify(&backup.id).await?; // every stored byte
//! vault.drill(&backup.id).await?; // a real restore, compared by counts and content hashes
//! # Ok(()) }
//! ```
//!
//! Where to look: [`vault`](Vault) is the facade; `ops` has one verb a file; [`engine`] says what a database must offer and holds
//! one folder an engine; `storage` and `volume` are where backups lie; [`mod@format`] and [`crypto`] are pure functions over bytes.
//! The files of a store are described in `docs/format.md`.

mod clock;
mod error;
mod id;
mod observe;
mod ops;
mod progress;
mod report;
mod retention;
mod schedule;
mod secret;
mod selection;
mod settings;
mod storage;
#[cfg(test)]
mod tests;
mod vault;
mod volume;

#[cfg(feature = "cli")]
pub mod cli;
pub mod crypto;
pub mod engine;
pub mod format;
#[cfg(feature = "schema")]
pub mod schema;

pub use clock::{Clock, SystemClock};
pub use crypto::auth::{Signer, SigningKey};
pub use crypto::{Credential, KeyProvider};
pub use error::{Code, Error, ErrorKind, Result};
pub use id::{BackupId, DatabaseName, EngineKind, RepositoryId};
pub use observe::{AlertEvent, Alerts, METRICS_CONTENT_TYPE, Severity};
pub use progress::{CancellationToken, Phase, Progress, ProgressCallback};
pub use report::*;
pub use retention::Keep;
pub use schedule::{Job, JobError, JobNext, JobRecord, Plan, RunDueReport, ScheduleHandle, ScheduleStatus};
pub use secret::{Key, Secret};
pub use selection::{Mapping, Selection};
pub use settings::{Codec, ReadBack, Settings};
pub use vault::*;
