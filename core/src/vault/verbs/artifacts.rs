//! `artifacts`: the dumps of old scripts that lie in the store.

use serde::Deserialize;

use super::Perform;
use crate::error::Result;
use crate::ops;
use crate::progress::Run;
use crate::report::ArtifactSummary;
use crate::vault::Vault;

/// Options of [`Vault::artifacts`].
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Artifacts {}

impl Perform for Artifacts {
    type Report = Vec<ArtifactSummary>;

    async fn perform(self, vault: Vault, run: Run) -> Result<Vec<ArtifactSummary>> {
        run.until_cancelled(async { ops::artifact::list(&vault.0.place.repository(false)?).await }).await
    }
}
