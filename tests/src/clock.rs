//! A clock that stands still until it is moved.

use std::sync::{Arc, Mutex};

use jiff::{SignedDuration, Timestamp};
use lastgood::Clock;

/// A clock for tests; clones show the same time.
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<Mutex<Timestamp>>);

impl ManualClock {
    /// A clock that shows this time, for example `2025-11-21T02:00:01Z`.
    ///
    /// # Panics
    /// When `time` is not a timestamp.
    #[must_use]
    pub fn at(time: &str) -> Self {
        Self(Arc::new(Mutex::new(time.parse().unwrap())))
    }

    /// Moves the clock, backwards too.
    ///
    /// # Panics
    /// When the time cannot be represented.
    pub fn advance(&self, by: SignedDuration) {
        let mut now = self.0.lock().unwrap();
        *now += by;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}
