//! The vault, as a handle.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lastgood::{CancellationToken, Code, Error};
use napi_derive::napi;
use serde_json::Value;

use crate::run::{Running, Tell, start};

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
        let vault = lock(&self.vault).clone();
        start(self.cancel.child_token(), tell, |cancel, on_progress| async move {
            let vault = vault.ok_or_else(|| {
                Error::new(Code::InvalidOption, "the vault is closed").next("open another one with Vault.open")
            })?;
            vault.call(&verb, read(&options, &verb)?, cancel, Some(on_progress)).await
        })
    }

    /// Cancels what still runs, and lets go of the vault.
    #[napi]
    pub fn close(&self) {
        self.cancel.cancel();
        lock(&self.vault).take();
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

fn read<T: serde::de::DeserializeOwned>(options: &str, of: &str) -> lastgood::Result<T> {
    serde_json::from_str(options).map_err(|e| Error::new(Code::InvalidOption, format!("options of {of}: {e}")))
}
