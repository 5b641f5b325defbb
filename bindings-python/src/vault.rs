//! A vault's options, and the vault opened with them in this process.

use std::sync::{Arc, Mutex, PoisonError};

use lastgood::{Code, Error, Result, VaultOptions};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use tokio::sync::OnceCell;
use zeroize::Zeroizing;

use crate::logs;
use crate::operation::{Operation, json};
use crate::process::Process;
use crate::schedule::Schedule;

/// A vault that is opened at its first use, once in each process.
#[pyclass(frozen)]
pub(crate) struct Vault {
    options: Arc<Zeroizing<String>>,
    /// As [`Process::current`]'s: taken only under the interpreter's lock.
    opened: Mutex<Option<Opened>>,
}

#[derive(Clone)]
struct Opened {
    process: Arc<Process>,
    vault: Arc<OnceCell<lastgood::Vault>>,
}

#[pymethods]
impl Vault {
    /// Takes the options of a vault as JSON.
    #[new]
    fn new(options: String) -> Self {
        Self { options: Arc::new(Zeroizing::new(options)), opened: Mutex::new(None) }
    }

    /// Starts a verb with its options as JSON; no verb opens the vault and answers how it describes itself.
    ///
    /// `log_level` is that of Python's logger; `wake` is called, on another thread, when the operation has something to tell.
    #[pyo3(signature = (verb, options, log_level, wake))]
    fn start(
        &self,
        py: Python<'_>,
        verb: Option<String>,
        options: String,
        log_level: u8,
        wake: Option<Py<PyAny>>,
    ) -> PyResult<Operation> {
        logs::listen(log_level);
        let Opened { process, vault } = self.opened(py)?;
        let (given, options) = (Arc::clone(&self.options), Zeroizing::new(options));
        Ok(Operation::start(process, wake, |cancel, events| async move {
            let opening = vault.get_or_try_init(|| async { open(&given).await });
            let vault = cancel.run_until_cancelled(opening).await.unwrap_or_else(|| Err(cancelled()))?;
            let Some(verb) = verb else { return Ok(vault.to_string().into()) };
            let on_progress = Arc::new(move |progress| events.progress(progress));
            vault.call(&verb, parse(&options)?, cancel, Some(on_progress)).await
        }))
    }

    /// Starts a schedule by this plan, which is JSON. The vault was opened in this process before; what is raised is an
    /// error as JSON.
    fn schedule(&self, py: Python<'_>, plan: &str) -> PyResult<Schedule> {
        let Opened { process, vault } = self.opened(py)?;
        // A schedule runs on the threads that it is started on. The interpreter's lock is kept, so that no child is made
        // while the core writes down that it runs.
        let on = process.runtime().enter();
        let started = vault.get().ok_or_else(not_opened).and_then(|vault| vault.start_schedule(parse(plan)?));
        drop(on);
        let handle = started.map_err(|e| PyValueError::new_err(json(&e)))?;
        Ok(Schedule::new(process, handle))
    }
}

impl Vault {
    fn opened(&self, py: Python<'_>) -> PyResult<Opened> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        match &*opened {
            Some(here) if here.process.is_this() => Ok(here.clone()),
            _ => {
                let here = Opened { process: Process::current(py)?, vault: Arc::default() };
                // Closing the parent's connections here would end them there.
                std::mem::forget(opened.replace(here.clone()));
                Ok(here)
            }
        }
    }
}

impl Drop for Vault {
    fn drop(&mut self) {
        let opened = self.opened.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        match opened {
            Some(Opened { process, vault }) if process.is_this() => {
                // Connections say goodbye on the runtime they were made on.
                let _guard = process.runtime().enter();
                drop(vault);
            }
            of_the_parent => std::mem::forget(of_the_parent),
        }
    }
}

async fn open(options: &str) -> Result<lastgood::Vault> {
    let options: VaultOptions = parse(options)?;
    lastgood::Vault::builder().options(options).open().await
}

fn parse<T: serde::de::DeserializeOwned>(options: &str) -> Result<T> {
    serde_json::from_str(options).map_err(|e| Error::new(Code::InvalidOption, format!("options: {e}")))
}

fn cancelled() -> Error {
    Error::new(Code::Cancelled, "the operation was cancelled")
}

fn not_opened() -> Error {
    Error::new(Code::Internal, "the vault was not opened in this process").next("call one of its verbs first")
}
