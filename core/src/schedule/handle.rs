//! A schedule that runs in this process until it is stopped.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::plan::Agenda;
use super::record::{JobError, JobNext, RunDueReport};
use crate::clock::Clock;
use crate::error::Result;
use crate::progress::{CancellationToken, Run};

/// The clock is looked at this often while nothing is due: it may be set, and the machine may sleep.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// The wait after something that kept `run_due` itself from working, like a store that does not answer.
const AFTER_ERROR: SignedDuration = SignedDuration::from_secs(60);

/// How a running schedule is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ScheduleStatus {
    /// Whether it was not stopped.
    pub running: bool,
    /// When this process looks at the plan again.
    pub next_run_at: Option<Timestamp>,
    /// When each job is due next.
    pub next: Vec<JobNext>,
    /// What was done last. Looks that found nothing to do leave it as it is.
    pub last: Option<RunDueReport>,
    /// Why the last look failed, if it did.
    pub error: Option<JobError>,
}

/// A schedule that runs in this process. Clones are the same schedule; dropping them does not stop it.
#[derive(Debug, Clone)]
pub struct ScheduleHandle {
    state: Arc<State>,
    /// Which of the starts of this schedule gave the handle, from 0.
    start: u32,
}

#[derive(Debug)]
struct State {
    cancel: CancellationToken,
    status: watch::Receiver<ScheduleStatus>,
    /// The newest start.
    newest: AtomicU32,
}

/// What does everything that is due.
pub(crate) type RunDueFn = Box<dyn Fn(Run) -> BoxFuture<'static, Result<RunDueReport>> + Send + Sync>;

impl ScheduleHandle {
    /// Starts a schedule on the present tokio runtime.
    pub(crate) fn start(agenda: Agenda, clock: Arc<dyn Clock>, run_due: RunDueFn) -> Self {
        let cancel = CancellationToken::new();
        let (sender, status) = watch::channel(ScheduleStatus { running: true, ..ScheduleStatus::default() });
        let stop = cancel.clone();
        tokio::spawn(async move {
            Loop { agenda, clock, run_due, stop, status: sender }.run().await;
        });
        Self { state: Arc::new(State { cancel, status, newest: AtomicU32::new(0) }), start: 0 }
    }

    /// The handle for somebody who started it once more.
    pub(crate) fn started_again(&self) -> Self {
        let start = self.state.newest.fetch_add(1, Ordering::Relaxed) + 1;
        Self { state: Arc::clone(&self.state), start }
    }

    /// How it is.
    #[must_use]
    pub fn status(&self) -> ScheduleStatus {
        let status = self.state.status.borrow().clone();
        // A runtime that was shut down takes its tasks with it.
        ScheduleStatus { running: status.running && self.is_running(), ..status }
    }

    /// When this process looks at the plan again.
    #[must_use]
    pub fn next_run(&self) -> Option<Timestamp> {
        self.state.status.borrow().next_run_at
    }

    /// Whether it was not stopped.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.state.status.has_changed().is_ok() && self.state.status.borrow().running
    }

    /// Whether it was told to stop, and may still be cleaning up.
    pub(crate) fn is_ending(&self) -> bool {
        self.state.cancel.is_cancelled()
    }

    /// Tells it to stop, without waiting. A job that runs is cancelled and cleans up.
    pub fn cancel(&self) {
        self.state.cancel.cancel();
    }

    /// Stops it, and waits until a job that runs has cleaned up.
    pub async fn stop(&self) {
        self.cancel();
        let mut status = self.state.status.clone();
        // An error says that the task is gone, which is as good.
        let _ = status.wait_for(|status| !status.running).await;
    }

    /// Tells it to stop, without waiting, unless it was started once more since this handle was given: then it is the
    /// other one's, and goes on. So what a module opened can be closed after its successor, loaded anew, has started
    /// the same. Says whether it was told.
    #[must_use = "whoever wants it to be over has to wait with `stop`"]
    pub fn leave(&self) -> bool {
        let last = self.state.newest.load(Ordering::Relaxed) == self.start;
        if last {
            self.cancel();
        }
        last
    }

    /// Waits until something was done or failed, and tells how it is then; `None` when it has stopped.
    pub async fn changed(&self, seen: &ScheduleStatus) -> Option<ScheduleStatus> {
        let mut status = self.state.status.clone();
        let differs = |now: &ScheduleStatus| !now.running || now.last != seen.last || now.error != seen.error;
        let now = status.wait_for(differs).await.ok()?.clone();
        now.running.then_some(now)
    }
}

struct Loop {
    agenda: Agenda,
    clock: Arc<dyn Clock>,
    run_due: RunDueFn,
    stop: CancellationToken,
    status: watch::Sender<ScheduleStatus>,
}

impl Loop {
    async fn run(self) {
        while !self.stop.is_cancelled() {
            let wake = self.once().await;
            self.status.send_modify(|status| status.next_run_at = Some(wake));
            if self.stop.run_until_cancelled(self.sleep_until(wake)).await.is_none() {
                break;
            }
        }
        self.status
            .send_modify(|status| *status = ScheduleStatus { running: false, next_run_at: None, ..status.clone() });
    }

    /// Does what is due; gives the time of the next look.
    async fn once(&self) -> Timestamp {
        let before = self.clock.now();
        let result = (self.run_due)(Run::new(self.stop.clone(), None)).await;
        let soon = self.later(AFTER_ERROR);
        let report = match result {
            Ok(report) => report,
            Err(e) => {
                if !self.stop.is_cancelled() {
                    self.status.send_modify(|status| status.error = Some((&e).into()));
                }
                return soon;
            }
        };
        // These times are the store's where this host's clock is not believed. What became due while something ran is
        // due at once, because they were counted from its beginning.
        let off = before.duration_since(report.at);
        let times = report.next.iter().map(|next| if next.retry { next.at } else { self.by_chance(next.at) });
        let mut wake = times.min().and_then(|at| at.checked_add(off).ok()).unwrap_or(Timestamp::MAX);
        if report.held_by.is_some() {
            // The other host may fail, or die.
            let patience = i64::try_from(self.agenda.lease.as_secs()).unwrap_or(60) + 1;
            wake = wake.min(self.later(SignedDuration::from_secs(patience)));
        } else if report.clock_ahead_seconds.is_some() && report.ran.is_empty() {
            // By the store's clock it is not yet due.
            wake = wake.max(soon);
        }
        self.status.send_modify(|status| {
            status.next.clone_from(&report.next);
            status.error = None;
            if !report.ran.is_empty() {
                status.last = Some(report);
            }
        });
        wake
    }

    fn by_chance(&self, at: Timestamp) -> Timestamp {
        let mut bytes = [0_u8; 8];
        // Without randomness there is no jitter, and nothing worse.
        let _ = getrandom::fill(&mut bytes);
        let wait = u64::from_le_bytes(bytes) % (self.agenda.jitter_seconds + 1);
        at.checked_add(SignedDuration::from_secs(i64::try_from(wait).unwrap_or(0))).unwrap_or(at)
    }

    fn later(&self, by: SignedDuration) -> Timestamp {
        self.clock.now().checked_add(by).unwrap_or(Timestamp::MAX)
    }

    async fn sleep_until(&self, wake: Timestamp) {
        loop {
            let left = wake.duration_since(self.clock.now());
            if !left.is_positive() {
                return;
            }
            tokio::time::sleep(Duration::try_from(left).unwrap_or(LOOK_EVERY).min(LOOK_EVERY)).await;
        }
    }
}
