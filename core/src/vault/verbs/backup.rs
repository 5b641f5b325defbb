//! `backup`: makes one backup of the database.

use std::sync::Arc;

use serde::Deserialize;

use super::{Perform, Verb};
use crate::error::Result;
use crate::ops;
use crate::progress::Run;
use crate::report::BackupReport;
use crate::vault::Vault;

/// Options of [`Vault::backup`].
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Backup {
    /// Labels to keep in the manifest.
    pub tags: Vec<String>,
}

impl Verb<Backup> {
    /// Adds a label.
    pub fn tag(self, tag: impl Into<String>) -> Self {
        self.with(|o| o.tags.push(tag.into()))
    }
}

impl Perform for Backup {
    type Report = BackupReport;

    async fn perform(self, vault: Vault, run: Run) -> Result<BackupReport> {
        let engine = Arc::clone(vault.engine()?);
        let session = vault.session_or_create().await?;
        ops::backup::backup(&session, &*engine, self.tags, &run).await
    }
}
