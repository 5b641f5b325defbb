//! A schedule in this process: one a vault's database and store, however often it is started.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use super::Vault;
use super::verbs::run_due::{agenda, run_due};
use super::verbs::told;
use crate::error::{Code, Error, Result};
use crate::retention::Keep;
use crate::schedule::{Plan, ScheduleHandle};

/// The schedules that run in the process of this id, by what they are of.
static RUNNING: Mutex<Option<(u32, Running)>> = Mutex::new(None);

type Running = HashMap<String, (Plan, ScheduleHandle)>;

/// A schedule with its options: start it.
#[derive(Debug)]
#[must_use = "a schedule does nothing until it is started"]
pub struct Schedule {
    vault: Vault,
    plan: Plan,
}

impl Vault {
    /// A schedule whose backups run by this cron expression. What is not said has the defaults of [`Plan`].
    ///
    /// # Example
    /// ```no_run
    /// # async fn example(vault: lastgood::Vault) -> lastgood::Result<()> {
    /// use lastgood::Keep;
    /// let job = vault.schedule("0 2 * * *").time_zone("Europe/Berlin").keep(Keep::gfs(7, 4, 12)).start()?;
    /// println!("{:?}", job.next_run());
    /// job.stop().await;
    /// # Ok(()) }
    /// ```
    pub fn schedule(&self, cron: impl Into<String>) -> Schedule {
        let plan = Plan { backup: Some(cron.into()), ..Plan::default() };
        Schedule { vault: self.clone(), plan }
    }

    /// Starts a schedule from a plan as a JSON object: how other languages start one.
    ///
    /// # Errors
    /// `invalid_option` for a plan that cannot be understood; otherwise those of [`Schedule::start`].
    pub fn start_schedule(&self, plan: Value) -> Result<ScheduleHandle> {
        let plan = serde_json::from_value(plan)
            .map_err(|e| Error::new(Code::InvalidOption, format!("the plan of a schedule: {e}")))?;
        Schedule { vault: self.clone(), plan }.start()
    }

    /// What a schedule of this vault is known by in its process.
    fn place(&self) -> String {
        let name = self.0.name.as_ref().map_or_else(
            || self.0.engine.as_ref().map(|e| e.database().to_owned()).unwrap_or_default(),
            ToString::to_string,
        );
        // A store that was given as an object has no name: it is the vault's own.
        let store = self.0.place.url().unwrap_or_else(|| format!("{:p}", Arc::as_ptr(&self.0)));
        format!("{store}\n{name}")
    }
}

impl Schedule {
    /// The time zone of the cron expressions, for example `Europe/Berlin`.
    pub fn time_zone(mut self, name: impl Into<String>) -> Self {
        self.plan.time_zone = Some(name.into());
        self
    }

    /// What a prune keeps.
    pub fn keep(mut self, keep: Keep) -> Self {
        self.plan.keep = Some(keep);
        self
    }

    /// The cron expression of verifications, or `off`.
    pub fn verify(mut self, cron: impl Into<String>) -> Self {
        self.plan.verify = Some(cron.into());
        self
    }

    /// The cron expression of drills, or `off`.
    pub fn drill(mut self, cron: impl Into<String>) -> Self {
        self.plan.drill = Some(cron.into());
        self
    }

    /// The cron expression of prunes, or `off`.
    pub fn prune(mut self, cron: impl Into<String>) -> Self {
        self.plan.prune = Some(cron.into());
        self
    }

    /// The whole plan, for callers that have it as data.
    pub fn plan(mut self, plan: Plan) -> Self {
        self.plan = plan;
        self
    }

    /// Starts it on the present tokio runtime, and does at once what is due. Started again with the same plan it is the
    /// one that runs already; with another one, it takes its place.
    ///
    /// # Errors
    /// `invalid_option` for an expression, a time zone or a number that cannot be used, or outside of a tokio runtime.
    pub fn start(self) -> Result<ScheduleHandle> {
        let Self { vault, plan } = self;
        let agenda = agenda(plan.clone())?;
        tokio::runtime::Handle::try_current().map_err(|_| {
            Error::new(Code::InvalidOption, "a schedule was started outside of a tokio runtime")
                .next("start it inside of one, which it then runs on")
        })?;
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        let running = of_this_process(&mut running);
        running.retain(|_, (_, handle)| handle.is_running());
        let place = vault.place();
        if let Some((_, handle)) = running.get(&place).filter(|(old, handle)| *old == plan && !handle.is_ending()) {
            return Ok(handle.started_again());
        }
        if let Some((_, old)) = running.remove(&place) {
            // Its run, if there is one, cleans up; the lease keeps the new one waiting until then.
            old.cancel();
        }
        let (of, by) = (vault.clone(), Arc::new(agenda.clone()));
        let due = Box::new(move |run| {
            let (vault, agenda) = (of.clone(), Arc::clone(&by));
            let doing = async move { told(&vault, "run_due", &run, run_due(&vault, &agenda, None, &run)).await };
            Box::pin(doing) as futures::future::BoxFuture<'static, _>
        });
        let handle = ScheduleHandle::start(agenda, Arc::clone(&vault.0.clock), due);
        running.insert(place, (plan, handle.clone()));
        Ok(handle)
    }
}

/// A forked child has what its parent wrote down, and none of the threads that would follow it. Nothing of that is looked
/// at: its locks may have been copied while they were held.
fn of_this_process(running: &mut Option<(u32, Running)>) -> &mut Running {
    let id = std::process::id();
    if let Some(of_parent) = running.take_if(|(of, _)| *of != id) {
        std::mem::forget(of_parent);
    }
    &mut running.get_or_insert_with(|| (id, Running::new())).1
}
