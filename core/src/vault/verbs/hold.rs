//! `hold` and `release`: a backup that must not be deleted, and its end.

use jiff::Timestamp;
use serde::Deserialize;

use super::{Perform, Verb};
use crate::error::{Code, Error, Result};
use crate::ops;
use crate::progress::Run;
use crate::report::HoldReport;
use crate::vault::Vault;

/// Options of [`Vault::hold`].
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Hold {
    /// The backup: an id, the beginning of one, or `latest`.
    pub backup: String,
    /// The hold ends then by itself. Absent: it ends with `release`.
    pub until: Option<Timestamp>,
    /// Why, for those who meet the hold later.
    pub reason: String,
}

impl Verb<Hold> {
    /// The hold ends then by itself.
    pub fn until(self, until: Timestamp) -> Self {
        self.with(|o| o.until = Some(until))
    }

    /// Why, for those who meet the hold later.
    pub fn reason(self, reason: impl Into<String>) -> Self {
        self.with(|o| o.reason = reason.into())
    }
}

impl Perform for Hold {
    type Report = HoldReport;

    async fn perform(self, vault: Vault, run: Run) -> Result<HoldReport> {
        run.until_cancelled(async {
            let session = vault.session().await?;
            let id = session.resolve(&self.backup).await?;
            let until = self.until.map_or_else(for_ever, Ok)?;
            ops::hold::hold(&session, &id, until, &self.reason).await
        })
        .await
    }
}

/// As good as never.
fn for_ever() -> Result<Timestamp> {
    "9999-01-01T00:00:00Z".parse().map_err(|e| Error::new(Code::Internal, format!("a date: {e}")))
}

/// Options of [`Vault::release`].
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Release {
    /// The backup: an id, the beginning of one, or `latest`.
    pub backup: String,
}

impl Perform for Release {
    type Report = HoldReport;

    async fn perform(self, vault: Vault, run: Run) -> Result<HoldReport> {
        run.until_cancelled(async {
            let session = vault.session().await?;
            ops::hold::release(&session, &session.resolve(&self.backup).await?).await
        })
        .await
    }
}
