//! `keys`, `rewrap` and `reencrypt`: what opens what, and how backups follow a new epoch.

use serde::Deserialize;

use super::{Perform, Verb};
use crate::error::Result;
use crate::ops;
use crate::progress::Run;
use crate::report::{KeysReport, ReencryptReport, RewrapReport};
use crate::vault::Vault;

/// Options of [`Vault::keys`].
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Keys {}

impl Perform for Keys {
    type Report = KeysReport;

    async fn perform(self, vault: Vault, run: Run) -> Result<KeysReport> {
        run.until_cancelled(async { ops::key_report::keys(&vault.store_session().await?).await }).await
    }
}

/// Options of [`Vault::rewrap`].
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Rewrap {
    /// Also what looks as it should: after one recipient took the place of another, which key files do not tell.
    pub all: bool,
}

impl Verb<Rewrap> {
    /// Wraps also what looks as it should.
    pub fn all(self) -> Self {
        self.with(|o| o.all = true)
    }
}

impl Perform for Rewrap {
    type Report = RewrapReport;

    async fn perform(self, vault: Vault, run: Run) -> Result<RewrapReport> {
        run.until_cancelled(async { ops::rewrap::rewrap(&vault.store_session().await?, self.all).await }).await
    }
}

/// Options of [`Vault::reencrypt`].
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Reencrypt {}

impl Perform for Reencrypt {
    type Report = ReencryptReport;

    async fn perform(self, vault: Vault, run: Run) -> Result<ReencryptReport> {
        let session = run.until_cancelled(vault.store_session()).await?;
        ops::reencrypt::reencrypt(&session, &run).await
    }
}
