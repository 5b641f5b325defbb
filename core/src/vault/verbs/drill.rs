//! `drill`: a real restore, compared, dropped.

use serde::Deserialize;

use super::{Perform, Verb};
use crate::engine;
use crate::error::Result;
use crate::ops;
use crate::progress::Run;
use crate::report::DrillReport;
use crate::secret::Secret;
use crate::vault::Vault;

/// Options of [`Vault::drill`].
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Drill {
    /// The backup: an id, the beginning of one, or `latest`.
    pub backup: String,
    /// URL of an empty database to use. Absent: one is created beside the vault's database and dropped afterwards.
    pub target: Option<Secret>,
    /// Queries to run on the restored database; each must succeed, and not answer `false` or `0`.
    pub queries: Vec<String>,
}

impl Verb<Drill> {
    /// Restores into this empty database instead of one of our own making.
    pub fn target(self, url: impl Into<Secret>) -> Self {
        self.with(|o| o.target = Some(url.into()))
    }

    /// Adds a query that must succeed on the restored database, and not answer `false` or `0`.
    pub fn query(self, query: impl Into<String>) -> Self {
        self.with(|o| o.queries.push(query.into()))
    }
}

impl Perform for Drill {
    type Report = DrillReport;

    async fn perform(self, vault: Vault, run: Run) -> Result<DrillReport> {
        let session = vault.session().await?;
        let id = session.resolve(&self.backup).await?;
        let (engine, ours) = match &self.target {
            Some(url) => (engine::open(url.expose(), &session.settings)?, false),
            None => {
                (vault.engine()?.sibling(&ops::drill::scratch_name()?, session.settings.work_dir.as_deref())?, true)
            }
        };
        let scratch = ops::drill::Scratch { engine, ours, queries: self.queries };
        ops::drill::drill(&session, &id, &scratch, &run).await
    }
}
