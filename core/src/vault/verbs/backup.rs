//! `backup`: makes one backup of the database.

use std::sync::Arc;

use serde::Deserialize;

use super::{Perform, Selects, Verb};
use crate::error::{Code, Error, Result};
use crate::ops;
use crate::ops::backup::BackupOrder;
use crate::progress::Run;
use crate::report::BackupReport;
use crate::selection::Selection;
use crate::vault::Vault;

/// Options of [`Vault::backup`].
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Backup {
    /// Labels to keep in the manifest.
    pub tags: Vec<String>,
    /// Back up what belongs to the server as well: roles, users, tablespaces.
    pub globals: bool,
    /// What of the database is backed up; the default is everything.
    pub select: Selection,
}

impl Verb<Backup> {
    /// Adds a label.
    pub fn tag(self, tag: impl Into<String>) -> Self {
        self.with(|o| o.tags.push(tag.into()))
    }

    /// Backs up what belongs to the server as well (roles, users, tablespaces), with the verifiers of passwords if the
    /// store is encrypted and they may be read. Not for SQLite.
    pub fn globals(self) -> Self {
        self.with(|o| o.globals = true)
    }
}

impl Selects for Backup {
    fn selection(&mut self) -> &mut Selection {
        &mut self.select
    }
}

impl Perform for Backup {
    type Report = BackupReport;

    async fn perform(self, vault: Vault, run: Run) -> Result<BackupReport> {
        if self.select.data_only {
            return Err(Error::new(
                Code::InvalidOption,
                "a backup without definitions could not be restored by itself",
            )
            .next("back up definitions as well, and restore rows alone (data_only)"));
        }
        let engine = Arc::clone(vault.engine()?);
        let session = vault.session_or_create().await?;
        let order =
            BackupOrder { tags: self.tags, globals: self.globals, select: self.select, ..BackupOrder::default() };
        ops::backup::backup(&session, &*engine, order, &run).await
    }
}
