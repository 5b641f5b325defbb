//! `verify`: opens and checks every stored byte.

use serde::Deserialize;

use super::{Perform, Verb};
use crate::error::Result;
use crate::ops;
use crate::progress::Run;
use crate::report::VerifyReport;
use crate::secret::Secret;
use crate::vault::Vault;

/// Options of [`Vault::verify`].
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Verify {
    /// The backup: an id, the beginning of one, or `latest`; or an artifact's name, path or URL.
    pub backup: String,
    /// The passphrase that openssl encrypted the artifact with. Absent: the vault's.
    pub artifact_passphrase: Option<Secret>,
}

impl Verb<Verify> {
    /// Opens an artifact with this passphrase instead of the vault's.
    pub fn artifact_passphrase(self, passphrase: impl Into<Secret>) -> Self {
        self.with(|o| o.artifact_passphrase = Some(passphrase.into()))
    }
}

impl Perform for Verify {
    type Report = VerifyReport;

    async fn perform(self, vault: Vault, run: Run) -> Result<VerifyReport> {
        if let Some(artifact) = vault.artifact(&self.backup, self.artifact_passphrase).await? {
            return ops::artifact::verify(&artifact, &run).await;
        }
        let session = vault.session().await?;
        ops::verify::verify(&session, &session.resolve(&self.backup).await?, &run).await
    }
}
