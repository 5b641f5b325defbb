//! `list`: the backups there are.

use serde::Deserialize;

use super::{Perform, Verb};
use crate::error::Result;
use crate::ops;
use crate::progress::Run;
use crate::report::BackupSummary;
use crate::vault::Vault;

/// Options of [`Vault::list`].
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct List {
    /// At most so many, the newest. Absent: all.
    pub limit: Option<usize>,
}

impl Verb<List> {
    /// At most so many, the newest.
    pub fn limit(self, limit: usize) -> Self {
        self.with(|o| o.limit = Some(limit))
    }
}

impl Perform for List {
    type Report = Vec<BackupSummary>;

    async fn perform(self, vault: Vault, run: Run) -> Result<Vec<BackupSummary>> {
        run.until_cancelled(async { ops::list::list(&vault.session().await?, self.limit).await }).await
    }
}
