//! `import`: an artifact as a backup of ours.

use std::sync::Arc;

use serde::Deserialize;

use super::{Perform, Verb};
use crate::engine::RestoreOptions;
use crate::error::{Code, Error, Result};
use crate::ops;
use crate::progress::Run;
use crate::report::BackupReport;
use crate::secret::Secret;
use crate::vault::Vault;

/// Options of [`Vault::import`].
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Import {
    /// The artifact: its name in the store, a path, or a URL.
    pub artifact: String,
    /// The passphrase that openssl encrypted it with. Absent: the vault's.
    pub artifact_passphrase: Option<Secret>,
    /// Labels to keep in the manifest.
    pub tags: Vec<String>,
    /// Leave everything to the importing user.
    pub no_owner: bool,
    /// Leave out grants.
    pub no_privileges: bool,
    /// Which database of a dump that holds several: a script of pg_dumpall.
    pub from_database: Option<String>,
}

impl Verb<Import> {
    /// Opens it with this passphrase instead of the vault's.
    pub fn artifact_passphrase(self, passphrase: impl Into<Secret>) -> Self {
        self.with(|o| o.artifact_passphrase = Some(passphrase.into()))
    }

    /// Adds a label.
    pub fn tag(self, tag: impl Into<String>) -> Self {
        self.with(|o| o.tags.push(tag.into()))
    }

    /// Leaves everything to the importing user.
    pub fn no_owner(self) -> Self {
        self.with(|o| o.no_owner = true)
    }

    /// Leaves out grants.
    pub fn no_privileges(self) -> Self {
        self.with(|o| o.no_privileges = true)
    }

    /// Imports this database of a dump that holds several: a script of pg_dumpall.
    pub fn from_database(self, name: impl Into<String>) -> Self {
        self.with(|o| o.from_database = Some(name.into()))
    }
}

impl Perform for Import {
    type Report = BackupReport;

    async fn perform(self, vault: Vault, run: Run) -> Result<BackupReport> {
        let engine = Arc::clone(vault.engine()?);
        let found = vault.artifact(&self.artifact, self.artifact_passphrase).await?;
        let artifact = found.ok_or_else(|| {
            Error::new(Code::InvalidOption, format!("`{}` is no artifact", self.artifact))
                .next("name a file such as backup-20240101-020000.dump.gz; `artifacts` lists those of the store")
        })?;
        let session = vault.session_or_create().await?;
        let scratch = engine.sibling(&ops::drill::scratch_name()?, session.settings.work_dir.as_deref())?;
        let options = RestoreOptions {
            jobs: session.settings.jobs,
            no_owner: self.no_owner,
            no_privileges: self.no_privileges,
            from_database: self.from_database,
            ..RestoreOptions::default()
        };
        ops::import::import(&session, &artifact, &*scratch, &options, self.tags, &run).await
    }
}
