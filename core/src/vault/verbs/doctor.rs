//! `doctor`: whether backups can be relied on here.

use serde::Deserialize;

use super::Perform;
use crate::error::Result;
use crate::ops;
use crate::progress::Run;
use crate::report::DoctorReport;
use crate::vault::Vault;

/// Options of [`Vault::doctor`]: there are none yet.
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Doctor {}

impl Perform for Doctor {
    type Report = DoctorReport;

    async fn perform(self, vault: Vault, run: Run) -> Result<DoctorReport> {
        run.until_cancelled(async { Ok(ops::doctor::doctor(vault.0.subject()).await) }).await
    }
}
