//! Runs work on threads of our own, and tells JavaScript what becomes of it.

use std::sync::{Arc, LazyLock};

use lastgood::{CancellationToken, Code, Error, ProgressCallback, Result};
use napi::Status;
use napi::bindgen_prelude::Unknown;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi_derive::napi;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

/// What JavaScript is told, as JSON: `{"Progress": …}` any number of times, then once `{"Ok": …}` or `{"Err": …}`.
///
/// One function for both, so that they arrive in order. As long as Rust holds it, the process stays alive.
pub type Tell = ThreadsafeFunction<String, Unknown<'static>, String, Status, false>;

/// What a main thread has: the futures of an unoptimized build want more than tokio's 2 MiB.
const STACK_BYTES: usize = 8 << 20;

static RUNTIME: LazyLock<std::io::Result<Runtime>> = LazyLock::new(|| {
    let mut threads = tokio::runtime::Builder::new_multi_thread();
    threads.thread_name("lastgood").thread_stack_size(STACK_BYTES).enable_all().build()
});

/// Stops the work that was started, which then tells `cancelled`.
#[napi]
#[derive(Debug)]
pub struct Running(CancellationToken);

#[napi]
impl Running {
    #[napi]
    pub fn cancel(&self) {
        self.0.cancel();
    }
}

pub(crate) fn runtime() -> napi::Result<&'static Runtime> {
    RUNTIME.as_ref().map_err(|e| napi::Error::from_reason(format!("no threads can be started: {e}")))
}

/// Starts the work and comes back at once.
pub(crate) fn start<F>(
    cancel: CancellationToken,
    tell: Tell,
    work: impl FnOnce(CancellationToken, ProgressCallback) -> F,
) -> napi::Result<Running>
where
    F: Future<Output = Result<Value>> + Send + 'static,
{
    let runtime = runtime()?;
    let tell = Arc::new(tell);
    let teller = Arc::clone(&tell);
    let task =
        runtime.spawn(work(cancel.clone(), Arc::new(move |progress| say(&teller, &json!({ "Progress": progress })))));
    runtime.spawn(async move {
        // A promise must settle whatever happens.
        let panicked = |e| Err(Error::new(Code::Internal, format!("the operation broke off: {e}")));
        say(&tell, &task.await.unwrap_or_else(panicked));
    });
    Ok(Running(cancel))
}

fn say(tell: &Tell, message: &impl Serialize) {
    if let Ok(json) = serde_json::to_string(message) {
        // It fails only when the JavaScript that would listen is gone.
        tell.call(json, ThreadsafeFunctionCallMode::NonBlocking);
    }
}
