//! What this process has done so far: how often each verb ran, how it ended, and how long it took.
//!
//! Kept here for the Prometheus text of `metrics`, and told to the `metrics` facade for hosts that record through it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::error::{Code, Result};

/// One verb's past.
#[derive(Debug, Clone, Default)]
pub(crate) struct Count {
    /// Runs that are going on.
    pub(crate) running: u64,
    /// Runs that ended, by outcome: `ok`, `cancelled`, or an error's code.
    pub(crate) ended: BTreeMap<&'static str, u64>,
    /// Seconds of all runs that ended.
    pub(crate) seconds: f64,
}

static ALERTS: Mutex<BTreeMap<(&'static str, &'static str), u64>> = Mutex::new(BTreeMap::new());

/// Counts an alert to a receiver: `delivered` or `failed`.
pub(crate) fn alert(receiver: &'static str, outcome: &'static str) {
    *ALERTS.lock().unwrap_or_else(PoisonError::into_inner).entry((receiver, outcome)).or_default() += 1;
    ::metrics::counter!("lastgood_alerts_total", "receiver" => receiver, "outcome" => outcome).increment(1);
}

/// All alerts, by receiver and outcome.
pub(crate) fn alerts() -> BTreeMap<(&'static str, &'static str), u64> {
    ALERTS.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

static COUNTS: Mutex<BTreeMap<&'static str, Count>> = Mutex::new(BTreeMap::new());

/// All counts, by verb.
pub(crate) fn all() -> BTreeMap<&'static str, Count> {
    counts().clone()
}

/// Runs a verb and counts it. One whose future is dropped counts as cancelled.
pub(crate) async fn counted<T>(op: &'static str, work: impl Future<Output = Result<T>>) -> Result<T> {
    let mut running = Running::begin(op);
    let result = work.await;
    running.outcome = match &result {
        Ok(_) => "ok",
        Err(e) => e.code().as_str(),
    };
    result
}

struct Running {
    op: &'static str,
    began: Instant,
    outcome: &'static str,
}

impl Running {
    fn begin(op: &'static str) -> Self {
        counts().entry(op).or_default().running += 1;
        ::metrics::gauge!("lastgood_operation_in_progress", "op" => op).increment(1);
        Self { op, began: Instant::now(), outcome: Code::Cancelled.as_str() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let seconds = self.began.elapsed().as_secs_f64();
        let mut counts = counts();
        let count = counts.entry(self.op).or_default();
        count.running = count.running.saturating_sub(1);
        *count.ended.entry(self.outcome).or_default() += 1;
        count.seconds += seconds;
        drop(counts);
        ::metrics::gauge!("lastgood_operation_in_progress", "op" => self.op).decrement(1);
        ::metrics::counter!("lastgood_operations_total", "op" => self.op, "outcome" => self.outcome).increment(1);
        ::metrics::histogram!("lastgood_operation_duration_seconds", "op" => self.op).record(seconds);
    }
}

fn counts() -> MutexGuard<'static, BTreeMap<&'static str, Count>> {
    // A poisoned lock only means that something panicked elsewhere; the counts are whole.
    COUNTS.lock().unwrap_or_else(PoisonError::into_inner)
}
