//! The time of day, as something that can be replaced in tests.

use std::fmt::Debug;

use jiff::Timestamp;

/// Tells the time. Only names and records use it; correctness never rests on it.
pub trait Clock: Send + Sync + Debug {
    /// The present instant.
    fn now(&self) -> Timestamp;
}

/// The machine's own clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}
