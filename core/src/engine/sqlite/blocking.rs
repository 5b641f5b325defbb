//! Work that blocks a thread, and how it is told to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Code, Error, Result};

/// Tells work on another thread to stop. SQLite asks it while it works, so a long statement ends within milliseconds.
#[derive(Debug, Clone, Default)]
pub(super) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Whether the work has become pointless.
    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Fails once the work has become pointless.
    pub(super) fn check(&self) -> Result<()> {
        if self.is_set() { Err(Error::cancelled()) } else { Ok(()) }
    }

    /// Stops the work when the guard is dropped: with the future or the snapshot that wanted it.
    pub(super) fn on_drop(&self) -> StopOnDrop {
        StopOnDrop(self.clone())
    }
}

/// See [`Stop::on_drop`].
#[derive(Debug)]
pub(super) struct StopOnDrop(Stop);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

/// Runs work on a blocking thread; dropping the future stops it.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce(&Stop) -> Result<T> + Send + 'static) -> Result<T> {
    let stop = Stop::default();
    let _guard = stop.on_drop();
    let span = tracing::Span::current();
    joined(tokio::task::spawn_blocking(move || span.in_scope(|| work(&stop)))).await
}

/// The result of work on another thread.
pub(super) async fn joined<T>(task: tokio::task::JoinHandle<Result<T>>) -> Result<T> {
    match task.await {
        Ok(result) => result,
        Err(e) if e.is_cancelled() => Err(Error::cancelled()),
        Err(e) => Err(Error::new(Code::Internal, format!("a worker thread of the SQLite engine failed: {e}"))),
    }
}
