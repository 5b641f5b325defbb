//! `show`: one backup in full.

use serde::Deserialize;

use super::Perform;
use crate::error::Result;
use crate::ops;
use crate::progress::Run;
use crate::report::BackupDetails;
use crate::vault::Vault;

/// Options of [`Vault::show`].
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Show {
    /// The backup: an id, the beginning of one, or `latest`.
    pub backup: String,
}

impl Perform for Show {
    type Report = BackupDetails;

    async fn perform(self, vault: Vault, run: Run) -> Result<BackupDetails> {
        run.until_cancelled(async {
            let session = vault.session().await?;
            ops::list::show(&session, &session.resolve(&self.backup).await?).await
        })
        .await
    }
}
