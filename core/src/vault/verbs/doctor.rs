//! `doctor`: whether backups can be relied on here.

use serde::Deserialize;

use super::{Perform, Verb};
use crate::error::Result;
use crate::ops;
use crate::ops::doctor::Subject;
use crate::progress::Run;
use crate::report::DoctorReport;
use crate::schedule;
use crate::vault::Vault;

/// Options of [`Vault::doctor`].
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Doctor {
    /// Tables or collections that must be there: `orders`, `sales.orders`.
    pub tables: Vec<String>,
    /// Indexes that must be there, and usable.
    pub indexes: Vec<String>,
}

impl Verb<Doctor> {
    /// A table or collection that must be there.
    pub fn table(self, name: impl Into<String>) -> Self {
        self.with(|o| o.tables.push(name.into()))
    }

    /// An index that must be there, and usable.
    pub fn index(self, name: impl Into<String>) -> Self {
        self.with(|o| o.indexes.push(name.into()))
    }
}

/// Everything that there is to look at: what backups depend on, and what runs them.
pub(crate) async fn examine(subject: Subject<'_>) -> DoctorReport {
    let (report, session) = ops::doctor::doctor(subject).await;
    let mut checks = report.checks;
    checks.push(schedule::examine(session.as_deref()).await);
    DoctorReport::of(checks, report.duration_ms)
}

impl Perform for Doctor {
    type Report = DoctorReport;

    async fn perform(self, vault: Vault, run: Run) -> Result<DoctorReport> {
        let subject = Subject { tables: self.tables, indexes: self.indexes, ..vault.0.subject() };
        run.until_cancelled(async { Ok(examine(subject).await) }).await
    }
}
