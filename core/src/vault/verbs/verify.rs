//! `verify`: opens and checks every stored byte.

use serde::Deserialize;

use super::Perform;
use crate::error::Result;
use crate::ops;
use crate::progress::Run;
use crate::report::VerifyReport;
use crate::vault::Vault;

/// Options of [`Vault::verify`].
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Verify {
    /// The backup: an id, the beginning of one, or `latest`.
    pub backup: String,
}

impl Perform for Verify {
    type Report = VerifyReport;

    async fn perform(self, vault: Vault, run: Run) -> Result<VerifyReport> {
        let session = vault.session().await?;
        ops::verify::verify(&session, &session.resolve(&self.backup).await?, &run).await
    }
}
