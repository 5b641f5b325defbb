//! Database backups that have been restored.

mod clock;
mod error;
mod id;
mod progress;
mod report;
mod secret;
mod settings;

pub mod engine;
pub mod format;
pub(crate) mod storage;
pub(crate) mod volume;

pub use clock::{Clock, SystemClock};
pub use error::{Code, Error, ErrorKind, Result};
pub use id::{BackupId, DatabaseName, EngineKind, RepositoryId};
pub use progress::{CancellationToken, Phase, Progress, Run};
pub use report::*;
pub use secret::{Key, Secret};
pub use settings::{Codec, ReadBack, Settings};
