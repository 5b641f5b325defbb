//! `metrics`: everything that is known, as Prometheus text.

use serde::Deserialize;

use super::Perform;
use crate::error::Result;
use crate::observe::{Patience, metrics};
use crate::progress::Run;
use crate::vault::Vault;

/// Options of [`Vault::metrics`].
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Metrics {
    /// Seconds that the database and the store each have for an answer. Default: 5.
    pub timeout_seconds: u64,
    /// Seconds that an answer is kept and given again. Default: 15.
    pub cache_seconds: u64,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { timeout_seconds: 5, cache_seconds: 15 }
    }
}

impl Perform for Metrics {
    type Report = String;

    async fn perform(self, vault: Vault, run: Run) -> Result<String> {
        let patience = Patience::seconds(self.timeout_seconds, self.cache_seconds);
        let facts = &vault.0.facts;
        let stats = async {
            match &vault.0.engine {
                Some(engine) => Some(facts.stats(&**engine, patience).await),
                None => None,
            }
        };
        let both = async { Ok(tokio::join!(stats, facts.records(vault.session(), patience))) };
        let (stats, records) = run.until_cancelled(both).await?;
        Ok(metrics::text(stats.as_deref(), &records, &vault.0.place.to_string(), &vault.label()))
    }
}
