//! The vault, as a handle.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lastgood::{CancellationToken, Code, Error};
use napi::Env;
use napi_derive::napi;
use serde::Serialize;
use serde_json::Value;

use crate::run::{Running, Tell, runtime, start};
use crate::schedule::Schedule;

/// One vault: opened once, called any number of times, closed.
#[napi]
#[derive(Default)]
pub struct Vault {
    vault: Arc<Mutex<Option<lastgood::Vault>>>,
    /// The parent of each call's own token.
    cancel: CancellationToken,
}

#[napi]
impl Vault {
    #[napi(constructor)]
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens the vault with these options; tells null.
    #[napi]
    pub fn open(&self, options: String, tell: Tell) -> napi::Result<Running> {
        let place = Arc::clone(&self.vault);
        start(self.cancel.child_token(), tell, |_, _| async move {
            let options = read(&options, "the vault")?;
            let vault = lastgood::Vault::builder().options(options).open().await?;
            *lock(&place) = Some(vault);
            Ok(Value::Null)
        })
    }

    /// Runs the verb of this name; tells its progress and then its report.
    #[napi]
    pub fn call(&self, verb: String, options: String, tell: Tell) -> napi::Result<Running> {
        let vault = self.opened();
        start(self.cancel.child_token(), tell, |cancel, on_progress| async move {
            vault?.call(&verb, read(&options, &verb)?, cancel, Some(on_progress)).await
        })
    }

    /// Starts a schedule by this plan. What is thrown is an error as JSON.
    #[napi]
    pub fn schedule(&self, env: Env, plan: String) -> napi::Result<Schedule> {
        // A schedule runs on the threads that it is started on.
        let _on = runtime()?.enter();
        let started = self.opened().and_then(|vault| vault.start_schedule(read(&plan, "schedule")?));
        let handle = started.map_err(|e| napi::Error::from_reason(json(&e).unwrap_or_default().to_string()))?;
        // The thread of a worker may end without a word.
        env.add_env_cleanup_hook(handle.clone(), |handle| _ = handle.leave())?;
        Ok(Schedule::new(handle))
    }

    /// Cancels what still runs, and lets go of the vault.
    #[napi]
    pub fn close(&self) {
        self.cancel.cancel();
        lock(&self.vault).take();
    }
}

impl Vault {
    fn opened(&self) -> lastgood::Result<lastgood::Vault> {
        lock(&self.vault).clone().ok_or_else(|| {
            Error::new(Code::InvalidOption, "the vault is closed").next("open another one with Vault.open")
        })
    }
}

/// The object in JavaScript is gone, perhaps with the whole thread: nobody waits for what still runs.
impl Drop for Vault {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").finish_non_exhaustive()
    }
}

fn lock(place: &Mutex<Option<lastgood::Vault>>) -> MutexGuard<'_, Option<lastgood::Vault>> {
    place.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn read<T: serde::de::DeserializeOwned>(options: &str, of: &str) -> lastgood::Result<T> {
    serde_json::from_str(options).map_err(|e| Error::new(Code::InvalidOption, format!("options of {of}: {e}")))
}

pub(crate) fn json(value: &impl Serialize) -> lastgood::Result<Value> {
    serde_json::to_value(value).map_err(|e| Error::new(Code::Internal, e.to_string()))
}
