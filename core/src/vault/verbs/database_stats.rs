//! `database_stats`: how the database is doing, as far as it says.

use serde::Deserialize;

use super::Perform;
use crate::error::Result;
use crate::progress::Run;
use crate::report::DatabaseStats;
use crate::vault::Vault;

/// Options of [`Vault::database_stats`].
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct AskDatabase {}

impl Perform for AskDatabase {
    type Report = DatabaseStats;

    async fn perform(self, vault: Vault, run: Run) -> Result<DatabaseStats> {
        run.until_cancelled(vault.engine()?.stats()).await
    }
}
