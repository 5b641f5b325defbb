//! `health`: whether database, store, backups and drills are as they should be.

use std::time::Duration;

use serde::Deserialize;

use super::{Perform, Verb};
use crate::error::Result;
use crate::observe::{Patience, health};
use crate::progress::Run;
use crate::report::{HealthCheck, HealthReport};
use crate::vault::Vault;

/// Options of [`Vault::health`].
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Health {
    /// Seconds that the newest backup may be old. Default: 93,600 (26 hours).
    pub max_age_seconds: u64,
    /// Seconds that may pass without a successful drill. Default: 3,024,000 (35 days).
    pub max_drill_age_seconds: u64,
    /// Seconds that the database and the store each have for an answer. Default: 5.
    pub timeout_seconds: u64,
    /// Seconds that an answer is kept and given again. Default: 15.
    pub cache_seconds: u64,
    /// What the caller looked at by himself; it counts like the rest.
    pub checks: Vec<HealthCheck>,
    /// Give the report as `application/health+json` too.
    pub health_json: bool,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            max_age_seconds: 26 * 3600,
            max_drill_age_seconds: 35 * 86_400,
            timeout_seconds: 5,
            cache_seconds: 15,
            checks: Vec::new(),
            health_json: false,
        }
    }
}

impl Verb<Health> {
    /// The newest backup may be so old.
    pub fn max_age(self, age: Duration) -> Self {
        self.with(|o| o.max_age_seconds = age.as_secs())
    }

    /// So much time may pass without a successful drill.
    pub fn max_drill_age(self, age: Duration) -> Self {
        self.with(|o| o.max_drill_age_seconds = age.as_secs())
    }

    /// The database and the store each have so long to answer.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.with(|o| o.timeout_seconds = timeout.as_secs())
    }

    /// Adds what the caller looked at by himself.
    pub fn check(self, check: HealthCheck) -> Self {
        self.with(|o| o.checks.push(check))
    }
}

impl Perform for Health {
    type Report = HealthReport;

    async fn perform(self, vault: Vault, run: Run) -> Result<HealthReport> {
        let patience = Patience::seconds(self.timeout_seconds, self.cache_seconds);
        let facts = &vault.0.facts;
        let probe = async {
            match &vault.0.engine {
                Some(engine) => Some(facts.probe(&**engine, patience).await),
                None => None,
            }
        };
        let both = async { Ok(tokio::join!(probe, facts.records(vault.session(), patience))) };
        let (probe, records) = run.until_cancelled(both).await?;
        let limits =
            health::Limits { max_age_seconds: self.max_age_seconds, max_drill_age_seconds: self.max_drill_age_seconds };
        let mut report = health::judge(probe.as_deref(), &records, self.checks, limits, vault.0.clock.now());
        report.health_json = self.health_json.then(|| health::health_json(&report));
        Ok(report)
    }
}
