//! A schedule that runs in the process that started it.

use std::sync::Arc;

use lastgood::{CancellationToken, Code, Error, ScheduleHandle, ScheduleStatus};
use pyo3::prelude::*;
use serde_json::Value;

use crate::logs;
use crate::operation::{Operation, json};
use crate::process::Process;

/// A schedule. It goes on when this object is gone. In a forked child it is none: there is nothing to wait for or to stop.
#[pyclass(frozen)]
pub(crate) struct Schedule {
    process: Arc<Process>,
    handle: ScheduleHandle,
    /// Ends the waits of whoever left it.
    left: CancellationToken,
}

impl Schedule {
    pub(crate) fn new(process: Arc<Process>, handle: ScheduleHandle) -> Self {
        Self { process, handle, left: CancellationToken::new() }
    }

    fn start<W>(
        &self,
        wake: Option<Py<PyAny>>,
        work: impl FnOnce(ScheduleHandle, CancellationToken) -> W,
    ) -> Option<Operation>
    where
        W: Future<Output = lastgood::Result<Value>> + Send + 'static,
    {
        let handle = self.handle.clone();
        let process = self.process.is_this().then(|| Arc::clone(&self.process))?;
        Some(Operation::start(process, wake, |cancel, _| work(handle, cancel)))
    }
}

#[pymethods]
impl Schedule {
    /// How it is, as JSON.
    fn status(&self) -> String {
        // The locks of a parent's may have been copied while they were held.
        json(&if self.process.is_this() { self.handle.status() } else { ScheduleStatus::default() })
    }

    /// Waits until something was done or failed since this status; tells how it is then, or null when it has stopped.
    #[pyo3(signature = (seen, log_level, wake))]
    fn changed(&self, seen: Option<String>, log_level: u8, wake: Option<Py<PyAny>>) -> Option<Operation> {
        logs::listen(log_level);
        let left = self.left.clone();
        self.start(wake, |handle, cancel| async move {
            let seen = seen.map_or_else(|| Ok(ScheduleStatus::default()), |seen| serde_json::from_str(&seen));
            let seen = seen.map_err(|e| Error::new(Code::InvalidOption, format!("the status: {e}")))?;
            tokio::select! {
                now = handle.changed(&seen) => Ok(serde_json::to_value(now).unwrap_or_default()),
                () = left.cancelled() => Ok(Value::Null),
                () = cancel.cancelled() => Err(Error::new(Code::Cancelled, "the operation was cancelled")),
            }
        })
    }

    /// Stops it; tells null when a job that runs has cleaned up.
    #[pyo3(signature = (wake))]
    fn stop(&self, wake: Option<Py<PyAny>>) -> Option<Operation> {
        self.start(wake, |handle, _| async move {
            handle.stop().await;
            Ok(Value::Null)
        })
    }

    /// Stops it unless somebody else has started it since; tells null.
    #[pyo3(signature = (wake))]
    fn leave(&self, wake: Option<Py<PyAny>>) -> Option<Operation> {
        let left = self.left.clone();
        self.start(wake, |handle, _| async move {
            left.cancel();
            if handle.leave() {
                handle.stop().await;
            }
            Ok(Value::Null)
        })
    }
}
