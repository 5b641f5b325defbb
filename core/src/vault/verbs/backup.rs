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
    /// Back up the server's roles and tablespaces as well (PostgreSQL).
    pub globals: bool,
}

impl Verb<Backup> {
    /// Adds a label.
    pub fn tag(self, tag: impl Into<String>) -> Self {
        self.with(|o| o.tags.push(tag.into()))
    }

    /// Backs up the server's roles and tablespaces as well (PostgreSQL), with the verifiers of passwords if the store is
    /// encrypted and the role may read them.
    pub fn globals(self) -> Self {
        self.with(|o| o.globals = true)
    }
}

impl Perform for Backup {
    type Report = BackupReport;

    async fn perform(self, vault: Vault, run: Run) -> Result<BackupReport> {
        let engine = Arc::clone(vault.engine()?);
        let session = vault.session_or_create().await?;
        ops::backup::backup(&session, &*engine, self.tags, self.globals, &run).await
    }
}
