//! `prune`: deletes the backups that no rule keeps.

use jiff::SignedDuration;
use serde::Deserialize;

use super::{Perform, Verb};
use crate::error::{Code, Error, Result};
use crate::ops;
use crate::ops::prune::{PruneOrder, duration};
use crate::progress::Run;
use crate::report::PruneReport;
use crate::retention::Keep;
use crate::vault::{Vault, env};

/// A backup that is marked is deleted after this time, where nothing else is said: a day to take it back.
pub(crate) const GRACE_SECONDS: u64 = 24 * 3_600;
/// What a run left behind is swept when nothing was written under its name for so long.
pub(crate) const ORPHAN_GRACE: SignedDuration = SignedDuration::from_hours(24);

/// Options of [`Vault::prune`].
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Prune {
    /// What is kept. Absent: BACKUP_RETENTION, or else everything of the last 30 days.
    pub keep: Option<Keep>,
    /// Tell what would be done, and do nothing.
    pub dry_run: bool,
    /// Seconds from the mark to the deletion. Absent: 86400, a day. 0 deletes at once.
    pub grace_seconds: Option<u64>,
}

impl Verb<Prune> {
    /// What is kept.
    pub fn keep(self, keep: Keep) -> Self {
        self.with(|o| o.keep = Some(keep))
    }

    /// Tells what would be done, and does nothing.
    pub fn dry_run(self) -> Self {
        self.with(|o| o.dry_run = true)
    }

    /// Seconds from the mark to the deletion; 0 deletes at once.
    pub fn grace_seconds(self, seconds: u64) -> Self {
        self.with(|o| o.grace_seconds = Some(seconds))
    }
}

/// The policy that was given, or the environment's, or the standard one.
pub(crate) fn policy(given: Option<Keep>) -> Result<Keep> {
    if let Some(keep) = given {
        return Ok(keep);
    }
    match env::var("BACKUP_RETENTION")? {
        Some(text) => text.parse().map_err(|e: Error| {
            Error::new(Code::InvalidOption, format!("BACKUP_RETENTION: {}", e.message()))
                .next("write it like `7d 4w 12m`, `within=30d`, `5` or `tag=release`")
        }),
        None => Ok(Keep::standard()),
    }
}

impl Perform for Prune {
    type Report = PruneReport;

    async fn perform(self, vault: Vault, run: Run) -> Result<PruneReport> {
        let order = PruneOrder {
            keep: policy(self.keep)?,
            dry_run: self.dry_run,
            grace: duration(self.grace_seconds.unwrap_or(GRACE_SECONDS), "grace_seconds")?,
            orphan_grace: ORPHAN_GRACE,
        };
        run.until_cancelled(async { ops::prune::prune(&vault.session().await?, &order).await }).await
    }
}
