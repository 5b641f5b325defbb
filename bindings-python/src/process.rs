//! What one process shares: the runtime that verbs run on, and the log records that wait for Python.

use std::sync::{Arc, Mutex, PoisonError};

use pyo3::PyResult;
use pyo3::marker::Python;
use tokio::runtime::{Builder, Handle, Runtime};

use crate::logs::{self, Logs};

/// The runtime of one process, made at its first use and kept until the process ends.
///
/// A forked child has the memory of its parent and none of its threads. So whatever hangs on threads belongs to a
/// process id, and a child makes its own.
pub(crate) struct Process {
    id: u32,
    runtime: Runtime,
    logs: Arc<Logs>,
}

/// Taken only by threads that hold the interpreter's lock, and never while they give it up. A fork happens under that
/// lock too, so that a child never inherits this one taken.
static CURRENT: Mutex<Option<Arc<Process>>> = Mutex::new(None);

impl Process {
    /// The one of this process.
    pub(crate) fn current(_attached: Python<'_>) -> PyResult<Arc<Self>> {
        let mut current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
        match &*current {
            Some(process) if process.is_this() => Ok(Arc::clone(process)),
            _ => {
                let process = Arc::new(Self::new()?);
                // Dropping a parent's runtime would wait for threads that are not here.
                std::mem::forget(current.replace(Arc::clone(&process)));
                Ok(process)
            }
        }
    }

    fn new() -> std::io::Result<Self> {
        let logs = Arc::new(Logs::default());
        let of_threads = Arc::clone(&logs);
        let runtime = Builder::new_multi_thread()
            .enable_all()
            .thread_name("lastgood")
            // What a program's main thread has; builds without optimization need more than tokio's 2 MiB.
            .thread_stack_size(8 << 20)
            .on_thread_start(move || logs::attach(&of_threads))
            .build()?;
        Ok(Self { id: std::process::id(), runtime, logs })
    }

    /// Whether this is the process that made it, not a child.
    pub(crate) fn is_this(&self) -> bool {
        self.id == std::process::id()
    }

    pub(crate) fn runtime(&self) -> &Handle {
        self.runtime.handle()
    }

    pub(crate) fn logs(&self) -> &Logs {
        &self.logs
    }
}
