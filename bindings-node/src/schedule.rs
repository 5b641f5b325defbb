//! A schedule that runs in this process, as a handle.

use std::fmt;

use lastgood::{CancellationToken, ScheduleHandle, ScheduleStatus};
use napi_derive::napi;
use serde_json::Value;

use crate::run::{Running, Tell, start};
use crate::vault::{json, read};

/// One schedule. It goes on when this object is gone.
#[napi]
pub struct Schedule {
    handle: ScheduleHandle,
    /// Ends the waits of whoever left it.
    left: CancellationToken,
}

impl Schedule {
    pub(crate) fn new(handle: ScheduleHandle) -> Self {
        Self { handle, left: CancellationToken::new() }
    }
}

#[napi]
impl Schedule {
    /// How it is, as JSON.
    #[napi]
    pub fn status(&self) -> String {
        serde_json::to_string(&self.handle.status()).unwrap_or_default()
    }

    /// Waits until something was done or failed since this status; tells how it is then, or null when it has stopped.
    #[napi]
    pub fn changed(&self, seen: Option<String>, tell: Tell) -> napi::Result<Running> {
        let handle = self.handle.clone();
        start(self.left.child_token(), tell, |left, _| async move {
            let seen = seen.map_or_else(|| Ok(ScheduleStatus::default()), |seen| read(&seen, "the status"))?;
            json(&left.run_until_cancelled(handle.changed(&seen)).await.flatten())
        })
    }

    /// Stops it; tells null when a job that runs has cleaned up.
    #[napi]
    pub fn stop(&self, tell: Tell) -> napi::Result<Running> {
        self.stopping(true, tell)
    }

    /// Stops it unless somebody else has started it since; tells null.
    #[napi]
    pub fn leave(&self, tell: Tell) -> napi::Result<Running> {
        self.left.cancel();
        self.stopping(self.handle.leave(), tell)
    }

    fn stopping(&self, stop: bool, tell: Tell) -> napi::Result<Running> {
        let handle = self.handle.clone();
        start(CancellationToken::new(), tell, |_, _| async move {
            if stop {
                handle.stop().await;
            }
            Ok(Value::Null)
        })
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schedule").finish_non_exhaustive()
    }
}
