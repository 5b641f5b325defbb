//! `run_due`: does what the plan says is due, for cron routes and hosts that do not stay.

use std::time::Duration;

use serde::Deserialize;

use super::prune::{GRACE_SECONDS, ORPHAN_GRACE, policy};
use super::{Perform, Verb};
use crate::error::{Error, Result};
use crate::progress::Run;
use crate::schedule::{self, Agenda, Host, Plan, RunDueReport};
use crate::vault::{Vault, env};

/// Options of [`Vault::run_due`].
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RunDue {
    /// What runs when.
    pub plan: Plan,
    /// Be done within so many seconds: what runs then is cancelled and cleans up, and is due again.
    /// Give a little less than the host allows.
    pub within_seconds: Option<u64>,
}

impl Verb<RunDue> {
    /// What runs when.
    pub fn plan(self, plan: Plan) -> Self {
        self.with(|o| o.plan = plan)
    }

    /// Is done within so many seconds.
    pub fn within_seconds(self, seconds: u64) -> Self {
        self.with(|o| o.within_seconds = Some(seconds))
    }
}

/// The plan, with what the environment and the defaults say of the rest.
pub(crate) fn agenda(plan: Plan) -> Result<Agenda> {
    let keep = policy(plan.keep.clone())?;
    let plan = match env::var("BACKUP_SCHEDULE")? {
        Some(text) => plan.or_text(&text).map_err(|e: Error| e.at("BACKUP_SCHEDULE"))?,
        None => plan,
    };
    plan.resolve(keep, GRACE_SECONDS)
}

/// Does what is due by this agenda.
pub(crate) async fn run_due(
    vault: &Vault,
    agenda: &Agenda,
    within: Option<Duration>,
    run: &Run,
) -> Result<RunDueReport> {
    // Only a host with a database can make the first backup, and with it the store.
    let session = match &vault.0.engine {
        Some(_) => vault.session_or_create().await?,
        None => vault.session().await?,
    };
    let host = Host {
        session,
        engine: vault.0.engine.clone(),
        name: host_name(),
        orphan_grace: ORPHAN_GRACE,
        alerter: vault.0.alerter.clone(),
        source: vault.alert_source(),
        ends: within.and_then(|within| tokio::time::Instant::now().checked_add(within)),
    };
    Box::pin(schedule::run_due(&host, agenda, run)).await
}

/// This process, for people who wonder who is at work.
fn host_name() -> String {
    let known = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let known = known.or_else(|| std::env::var("HOSTNAME").or_else(|_| std::env::var("COMPUTERNAME")).ok());
    let host: String = known.as_deref().map_or("unknown", str::trim).chars().take(100).collect();
    format!("{host}:{}", std::process::id())
}

impl Perform for RunDue {
    type Report = RunDueReport;

    async fn perform(self, vault: Vault, run: Run) -> Result<RunDueReport> {
        run_due(&vault, &agenda(self.plan)?, self.within_seconds.map(Duration::from_secs), &run).await
    }
}
