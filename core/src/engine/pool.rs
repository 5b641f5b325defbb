//! A fixed set of connections that are handed out one at a time and never replaced.

use std::ops::{Deref, DerefMut};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::error::{Code, Error, Result};
use crate::report::Warning;

/// Opens up to `wanted` connections: as many as the server has room for, and a warning if they are fewer.
pub(in crate::engine) async fn open_up_to<T, F: Future<Output = Result<T>>>(
    wanted: usize,
    mut open: impl FnMut() -> F,
) -> Result<(Vec<T>, Option<Warning>)> {
    let mut opened = Vec::with_capacity(wanted);
    while opened.len() < wanted {
        match open().await {
            Ok(connection) => opened.push(connection),
            Err(e) if e.code() == Code::TooManyConnections => {
                let warning = fewer_connections(opened.len(), wanted, &e);
                return Ok((opened, Some(warning)));
            }
            Err(e) => return Err(e),
        }
    }
    Ok((opened, None))
}

/// That the server had room for some connections only.
pub(in crate::engine) fn fewer_connections(had: usize, wanted: usize, why: &Error) -> Warning {
    Warning::new("fewer_connections", format!("{had} of {wanted} connections could be had: {}", why.message()))
}

/// Connections that share something a new one would not have: a snapshot, the state of a restore.
#[derive(Debug)]
pub(in crate::engine) struct Pool<T> {
    idle: Mutex<Vec<T>>,
    free: Semaphore,
    lost: AtomicBool,
}

impl<T> Pool<T> {
    pub(in crate::engine) fn new(connections: Vec<T>) -> Self {
        Self { free: Semaphore::new(connections.len()), idle: Mutex::new(connections), lost: AtomicBool::new(false) }
    }

    /// Waits for a connection. Once one was lost, nobody gets any: what they were to do together has failed.
    pub(in crate::engine) async fn lease(&self) -> Result<Lease<'_, T>> {
        let lost = || {
            Error::new(Code::DatabaseUnavailable, "another connection to the database broke or was given up")
                .next("see the first error; then try again")
        };
        let permit = self.free.acquire().await.map_err(|_| lost())?;
        if self.lost.load(Ordering::Acquire) {
            return Err(lost());
        }
        let connection = self.lock().pop().ok_or_else(lost)?;
        Ok(Lease { pool: self, connection: Some(connection), _permit: permit })
    }

    /// All connections that are not lent out.
    pub(in crate::engine) fn drain(&self) -> Vec<T> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<T>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection on loan. It goes back by [`Lease::done`]; dropped in the middle of its work it is lost.
#[derive(Debug)]
pub(in crate::engine) struct Lease<'p, T> {
    pool: &'p Pool<T>,
    connection: Option<T>,
    _permit: SemaphorePermit<'p>,
}

impl<T> Lease<'_, T> {
    /// Gives the connection back: it is ready for its next statement.
    pub(in crate::engine) fn done(mut self) {
        if let Some(connection) = self.connection.take() {
            self.pool.lock().push(connection);
        }
    }
}

impl<T> Deref for Lease<'_, T> {
    type Target = T;

    #[expect(clippy::expect_used, reason = "only `done`, which consumes the lease, takes the connection out")]
    fn deref(&self) -> &T {
        self.connection.as_ref().expect("a lease holds a connection")
    }
}

impl<T> DerefMut for Lease<'_, T> {
    #[expect(clippy::expect_used, reason = "only `done`, which consumes the lease, takes the connection out")]
    fn deref_mut(&mut self) -> &mut T {
        self.connection.as_mut().expect("a lease holds a connection")
    }
}

impl<T> Drop for Lease<'_, T> {
    fn drop(&mut self) {
        if self.connection.is_some() {
            // Before the permit goes, so that whoever waits for it sees this.
            self.pool.lost.store(true, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[tokio::test]
    async fn a_lost_connection_fails_everyone_after_it() {
        let pool = Pool::new(vec![1, 2]);
        let (a, b) = (pool.lease().await.unwrap(), pool.lease().await.unwrap());
        a.done();
        drop(b);
        assert_eq!(pool.lease().await.unwrap_err().code(), Code::DatabaseUnavailable);
        assert_eq!(pool.drain(), [2]);
    }

    #[tokio::test]
    async fn connections_go_round() {
        let pool = Pool::new(vec![1]);
        for _ in 0..3 {
            let lease = pool.lease().await.unwrap();
            assert_eq!(*lease, 1);
            lease.done();
        }
    }
}
