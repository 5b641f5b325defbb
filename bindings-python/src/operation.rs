//! One verb while it runs: what it has to tell, in order, for the thread that called it.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lastgood::{CancellationToken, Code, Error, Progress, Result};
use pyo3::prelude::*;
use serde_json::Value;
use tokio::sync::Notify;

use crate::process::Process;

/// A verb that runs. Dropping it cancels.
#[pyclass(frozen)]
pub(crate) struct Operation {
    process: Arc<Process>,
    cancel: CancellationToken,
    events: Arc<Events>,
}

#[pymethods]
impl Operation {
    /// Waits up to `timeout` seconds for the next thing that the verb tells.
    ///
    /// `("log", record)`, `("progress", progress)`, and once, as the last one, `("done", report)` or `("failed", error)`;
    /// the second is JSON. `None` when there was nothing.
    fn next(&self, py: Python<'_>, timeout: f64) -> Option<(&'static str, String)> {
        // In a child the verb's threads do not exist, and its locks may have been copied while they were held.
        if !self.process.is_this() {
            let error = Error::new(Code::Internal, "the operation runs in the parent process").next("start it again");
            return Some(("failed", json(&error)));
        }
        let take = || self.process.logs().take().map(|record| ("log", record)).or_else(|| self.events.take());
        let timeout = Duration::try_from_secs_f64(timeout.max(0.0)).unwrap_or(Duration::MAX);
        if timeout.is_zero() {
            return take();
        }
        py.detach(|| {
            take().or_else(|| {
                self.events.wait(timeout);
                take()
            })
        })
    }

    /// Tells the verb to stop and to clean up behind itself; its last event tells when it has.
    fn cancel(&self) {
        if self.process.is_this() {
            self.cancel.cancel();
        }
    }
}

impl Operation {
    /// Runs this work. `wake` is called, on some other thread, whenever there is something to take.
    pub(crate) fn start<W>(
        process: Arc<Process>,
        wake: Option<Py<PyAny>>,
        work: impl FnOnce(CancellationToken, Arc<Events>) -> W,
    ) -> Self
    where
        W: Future<Output = Result<Value>> + Send + 'static,
    {
        let (cancel, events) = (CancellationToken::new(), Arc::new(Events::default()));
        let work = process.runtime().spawn(work(cancel.clone(), Arc::clone(&events)));
        let told = Arc::clone(&events);
        process.runtime().spawn(async move {
            let result = work.await.unwrap_or_else(|e| {
                Err(Error::new(Code::Internal, format!("the operation panicked: {e}")).next("please report it"))
            });
            told.end(match result {
                Ok(report) => ("done", report.to_string()),
                Err(error) => ("failed", json(&error)),
            });
        });
        if let Some(wake) = wake {
            process.runtime().spawn(keep_awake(Arc::clone(&process), Arc::clone(&events), wake));
        }
        Self { process, cancel, events }
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        self.cancel();
    }
}

/// Calls `wake` after each event until the last one.
async fn keep_awake(process: Arc<Process>, events: Arc<Events>, wake: Py<PyAny>) {
    let wake = Arc::new(wake);
    loop {
        tokio::select! {
            () = events.more.notified() => {}
            () = process.logs().more.notified() => {}
        }
        let ended = events.lock().ended;
        let callable = Arc::clone(&wake);
        // Waiting for the interpreter's lock blocks a thread; none of those that do the work.
        let called = tokio::task::spawn_blocking(move || {
            // The loop may be closed, or the interpreter about to end: then nobody is left to be told.
            Python::try_attach(|py| callable.call0(py).map(drop))
        });
        if !matches!(called.await, Ok(Some(Ok(())))) || ended {
            return;
        }
    }
}

/// The queue of one operation.
#[derive(Default)]
pub(crate) struct Events {
    state: Mutex<State>,
    arrived: Condvar,
    more: Notify,
}

#[derive(Default)]
struct State {
    progress: VecDeque<Progress>,
    last: Option<(&'static str, String)>,
    ended: bool,
}

impl Events {
    /// Keeps a report of progress; one that nobody took yet gives way to its successor in the same phase.
    pub(crate) fn progress(&self, progress: Progress) {
        let mut state = self.lock();
        if state.progress.back().is_some_and(|last| last.phase == progress.phase && last.bytes_done > 0) {
            state.progress.pop_back();
        }
        state.progress.push_back(progress);
        self.tell(state);
    }

    fn end(&self, event: (&'static str, String)) {
        let mut state = self.lock();
        state.last = Some(event);
        state.ended = true;
        self.tell(state);
    }

    fn tell(&self, state: MutexGuard<'_, State>) {
        drop(state);
        self.arrived.notify_all();
        self.more.notify_one();
    }

    fn take(&self) -> Option<(&'static str, String)> {
        let mut state = self.lock();
        match state.progress.pop_front() {
            Some(progress) => Some(("progress", json(&progress))),
            None => state.last.take(),
        }
    }

    fn wait(&self, timeout: Duration) {
        let state = self.lock();
        let nothing = |state: &mut State| state.progress.is_empty() && state.last.is_none();
        drop(self.arrived.wait_timeout_while(state, timeout, nothing));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Errors, progress and statuses are made of texts and numbers, so that this cannot fail.
pub(crate) fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
