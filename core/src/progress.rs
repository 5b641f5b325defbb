//! What an operation tells about itself while it runs, and how it is told to stop.

use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;
pub use tokio_util::sync::CancellationToken;

use crate::error::{Error, Result};

/// What an operation is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Phase {
    /// Opening connections, reading the catalog, taking the snapshot.
    Preparing,
    /// Reading the database and writing volumes.
    Dumping,
    /// Comparing what the store holds with what was sent, writing the manifest.
    Committing,
    /// Reading and checking stored bytes.
    Verifying,
    /// Loading data into the target.
    Loading,
    /// Building indexes and constraints, checking, making the result visible.
    Finishing,
    /// Counting and hashing restored rows.
    Comparing,
    /// Sealing stored backups under a new key.
    Reencrypting,
}

impl Phase {
    /// The phase as in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Preparing => "preparing",
            Self::Dumping => "dumping",
            Self::Committing => "committing",
            Self::Verifying => "verifying",
            Self::Loading => "loading",
            Self::Finishing => "finishing",
            Self::Comparing => "comparing",
            Self::Reencrypting => "reencrypting",
        }
    }
}

/// One report of progress. Bytes are raw (uncompressed) bytes of the dump.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Progress {
    /// What is being done now.
    pub phase: Phase,
    /// Bytes done in this phase.
    pub bytes_done: u64,
    /// Bytes expected in this phase; an estimate while dumping, absent where unknown.
    pub bytes_total: Option<u64>,
    /// Bytes per second since the phase began.
    pub bytes_per_second: u64,
}

/// What is told the progress of an operation. It is called from the threads that do the work: be quick.
pub type ProgressCallback = Arc<dyn Fn(Progress) + Send + Sync>;

/// How often a callback is called at most, apart from the first and the last of each phase.
const EVERY: Duration = Duration::from_millis(100);

/// One run of an operation: carries its cancellation and its progress. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Run {
    cancel: CancellationToken,
    callback: Option<ProgressCallback>,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    done: AtomicU64,
    /// Bytes of the phase that had most, of those that are over.
    most: AtomicU64,
    phase: Mutex<Option<PhaseState>>,
}

#[derive(Clone, Copy)]
struct PhaseState {
    phase: Phase,
    total: Option<u64>,
    began: Instant,
    told: Instant,
}

impl Run {
    pub(crate) fn new(cancel: CancellationToken, callback: Option<ProgressCallback>) -> Self {
        Self { cancel, callback, state: Arc::default() }
    }

    /// Begins a phase and reports it.
    pub(crate) fn begin(&self, phase: Phase, bytes_total: Option<u64>) {
        self.over();
        let now = Instant::now();
        tracing::Span::current().record("phase", phase.as_str());
        tracing::debug!(bytes_total, "a phase begins");
        let state = PhaseState { phase, total: bytes_total, began: now, told: now };
        *self.lock() = Some(state);
        self.tell(state, now);
    }

    /// Adds to the bytes done in this phase.
    pub(crate) fn advance(&self, bytes: u64) {
        self.state.done.fetch_add(bytes, Ordering::Relaxed);
        if self.callback.is_none() {
            return;
        }
        let now = Instant::now();
        let mut guard = self.lock();
        let Some(state) = guard.as_mut().filter(|s| now - s.told >= EVERY) else { return };
        state.told = now;
        let state = *state;
        drop(guard);
        self.tell(state, now);
    }

    /// Reports the end of the current phase.
    pub(crate) fn end(&self) {
        let state = *self.lock();
        if let Some(state) = state {
            self.tell(state, Instant::now());
        }
    }

    /// Bytes that went through this run's hands: those of the phase that had most.
    pub(crate) fn bytes(&self) -> u64 {
        self.state.most.load(Ordering::Relaxed).max(self.state.done.load(Ordering::Relaxed))
    }

    /// A run within this one, with the same caller and a count of its own.
    pub(crate) fn another(&self) -> Self {
        Self { state: Arc::default(), ..self.clone() }
    }

    /// Logs the phase that is over, if there was one.
    pub(crate) fn over(&self) {
        let now = Instant::now();
        let bytes = self.state.done.swap(0, Ordering::Relaxed);
        self.state.most.fetch_max(bytes, Ordering::Relaxed);
        if let Some(over) = self.lock().take() {
            let duration_ms = u64::try_from((now - over.began).as_millis()).unwrap_or(u64::MAX);
            tracing::debug!(bytes, duration_ms, "a phase is over");
        }
    }

    /// The same run with a token of its own, which is cancelled with this one's or alone.
    pub(crate) fn limited(&self) -> (Self, CancellationToken) {
        let token = self.cancel.child_token();
        (Self { cancel: token.clone(), ..self.clone() }, token)
    }

    /// Whether the caller has cancelled.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// Runs a future until it ends or the caller cancels.
    ///
    /// # Errors
    /// The future's own, or `Cancelled`.
    pub(crate) async fn until_cancelled<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        match self.cancel.run_until_cancelled(work).await {
            Some(result) => result,
            None => Err(Error::cancelled()),
        }
    }

    fn tell(&self, state: PhaseState, now: Instant) {
        let Some(callback) = &self.callback else { return };
        let bytes_done = self.state.done.load(Ordering::Relaxed);
        let millis = u64::try_from((now - state.began).as_millis()).unwrap_or(u64::MAX).max(1);
        callback(Progress {
            phase: state.phase,
            bytes_done,
            bytes_total: state.total,
            bytes_per_second: bytes_done.saturating_mul(1000) / millis,
        });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<PhaseState>> {
        // A poisoned lock only means that a callback panicked elsewhere; the state is still whole.
        self.state.phase.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run").field("cancelled", &self.cancel.is_cancelled()).finish_non_exhaustive()
    }
}
