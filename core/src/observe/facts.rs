//! What health and metrics are made of, asked for at most once in a while: such routes are called often, and by many.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use super::records::{self, Records};
use crate::engine::Engine;
use crate::error::{Code, Error, Result};
use crate::ops::session::Session;
use crate::report::{DatabaseStats, Probe};

/// How long answers are waited for and kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    pub(crate) timeout: Duration,
    pub(crate) max_age: Duration,
}

impl Patience {
    pub(crate) fn seconds(timeout: u64, max_age: u64) -> Self {
        Self { timeout: Duration::from_secs(timeout), max_age: Duration::from_secs(max_age) }
    }
}

/// The answers of the database and of the store.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    probe: Kept<Probe>,
    stats: Kept<DatabaseStats>,
    records: Kept<Records>,
}

/// An answer, or why there is none.
pub(crate) type Answer<T> = Arc<Result<T>>;

impl Facts {
    /// Who the database is.
    pub(crate) async fn probe(&self, engine: &dyn Engine, patience: Patience) -> Answer<Probe> {
        self.probe.get(patience, Code::DatabaseUnavailable, "the database", engine.probe()).await
    }

    /// How the database is doing.
    pub(crate) async fn stats(&self, engine: &dyn Engine, patience: Patience) -> Answer<DatabaseStats> {
        self.stats.get(patience, Code::DatabaseUnavailable, "the database", engine.stats()).await
    }

    /// What the store holds; nothing if it is not there yet, for the first backup makes it.
    pub(crate) async fn records(
        &self,
        session: impl Future<Output = Result<Arc<Session>>>,
        patience: Patience,
    ) -> Answer<Records> {
        let read = async {
            match session.await {
                Ok(session) => records::read(&session).await,
                Err(e) if e.code() == Code::StoreNotFound => Ok(Records::default()),
                Err(e) => Err(e),
            }
        };
        self.records.get(patience, Code::StoreUnavailable, "the store", read).await
    }
}

/// The last answer. Callers that come together wait for one.
#[derive(Debug)]
struct Kept<T>(Mutex<Option<(Instant, Answer<T>)>>);

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T> Kept<T> {
    async fn get(&self, patience: Patience, late: Code, what: &str, ask: impl Future<Output = Result<T>>) -> Answer<T> {
        let mut last = self.0.lock().await;
        if let Some((_, answer)) = last.as_ref().filter(|(at, _)| at.elapsed() < patience.max_age) {
            return Arc::clone(answer);
        }
        let answer = tokio::time::timeout(patience.timeout, ask).await.unwrap_or_else(|_| {
            Err(Error::new(late, format!("{what} did not answer within {} s", patience.timeout.as_secs()))
                .next("look at it and at the network between"))
        });
        let answer = Arc::new(answer);
        *last = Some((Instant::now(), Arc::clone(&answer)));
        answer
    }
}
