//! `restore`: one backup into a database.

use serde::Deserialize;

use super::{Perform, Verb};
use crate::engine;
use crate::error::{Code, Error, Result};
use crate::ops;
use crate::progress::Run;
use crate::report::RestoreReport;
use crate::secret::Secret;
use crate::vault::Vault;

/// Options of [`Vault::restore`].
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Restore {
    /// The backup: an id, the beginning of one, or `latest`.
    pub backup: String,
    /// URL of the database to restore into: empty, or not there yet.
    pub target: Option<Secret>,
    /// Restore even though the target holds something.
    pub overwrite: bool,
    /// Leave everything to the restoring user.
    pub no_owner: bool,
    /// Leave out grants.
    pub no_privileges: bool,
}

impl Verb<Restore> {
    /// Restores into this database: empty, or not there yet.
    pub fn target(self, url: impl Into<Secret>) -> Self {
        self.with(|o| o.target = Some(url.into()))
    }

    /// Restores even though the target holds something.
    pub fn overwrite(self) -> Self {
        self.with(|o| o.overwrite = true)
    }

    /// Leaves everything to the restoring user.
    pub fn no_owner(self) -> Self {
        self.with(|o| o.no_owner = true)
    }

    /// Leaves out grants.
    pub fn no_privileges(self) -> Self {
        self.with(|o| o.no_privileges = true)
    }
}

impl Perform for Restore {
    type Report = RestoreReport;

    async fn perform(self, vault: Vault, run: Run) -> Result<RestoreReport> {
        let session = vault.session().await?;
        let id = session.resolve(&self.backup).await?;
        let target = match &self.target {
            Some(url) => engine::open(url.expose(), &session.settings)?,
            None => {
                return Err(Error::new(Code::MissingSetting, "no target was given")
                    .next("name the database to restore into; the vault's own is never the default"));
            }
        };
        let options = engine::RestoreOptions {
            jobs: session.settings.jobs,
            overwrite: self.overwrite,
            no_owner: self.no_owner,
            no_privileges: self.no_privileges,
        };
        let backup = run.until_cancelled(session.open_backup(&id)).await?;
        ops::restore::restore(&session, backup, &*target, &options, &run).await
    }
}
