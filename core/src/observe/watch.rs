//! What every run of a verb has in common, whoever starts it: it is counted, and its log records are told from those of
//! other runs by stable keys.
//!
//! Each record has `op` and `run_id`, and `backup_id` and `phase` from when they are known; a phase's end has `bytes` and
//! `duration_ms`, and so has the last record of all, with `error.code` where it failed.

use std::time::Instant;

use tracing::field::Empty;
use tracing::{Span, error_span};

use super::counters::counted;
use crate::error::{Code, Result};
use crate::id::random_hex;
use crate::progress::Run;

/// What the records of one run are told by. Whatever is done for the run is done within it.
pub(crate) fn operation(op: &'static str) -> Span {
    // Without randomness nothing that matters works; the log is not what tells it.
    let run_id = random_hex::<8>().unwrap_or_default();
    // Of the highest level, so that no filter takes the keys from the records that it lets through.
    error_span!("operation", op, run_id, backup_id = Empty, phase = Empty)
}

/// Runs a verb under the eyes of counters and logs.
pub(crate) async fn watched<T>(op: &'static str, run: &Run, work: impl Future<Output = Result<T>>) -> Result<T> {
    let began = Instant::now();
    let result = counted(op, work).await;
    run.over();
    let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let bytes = run.bytes();
    match &result {
        Ok(_) => tracing::info!(bytes, duration_ms, "done"),
        // Who cancels knows.
        Err(e) if e.code() == Code::Cancelled => {
            tracing::info!(bytes, duration_ms, error = %e, error.code = %e.code(), "cancelled");
        }
        Err(e) => tracing::error!(bytes, duration_ms, error = %e, error.code = %e.code(), "failed"),
    }
    result
}
