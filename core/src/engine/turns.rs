//! Whose turn it is when there are fewer connections than parts that are read at the same time.
//!
//! A dump is stored in the order of its parts, and a part that is ahead waits until those before it are stored. It must
//! not hold meanwhile the connection that one of them needs.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::engine::PartRef;

/// The parts of a dump in their order, and which of them were read to their end.
#[derive(Debug)]
pub(in crate::engine) struct Turns {
    /// The position of each file's first part.
    starts: Vec<usize>,
    state: Mutex<State>,
    moved: Notify,
}

#[derive(Debug)]
struct State {
    done: Vec<bool>,
    /// All parts before this one are done.
    first: usize,
}

impl Turns {
    /// Files in their order, by their numbers of parts.
    pub(in crate::engine) fn new(parts: impl Iterator<Item = usize>) -> Self {
        let mut starts = Vec::new();
        let mut total = 0;
        for parts in parts {
            starts.push(total);
            total += parts;
        }
        let state = State { done: vec![false; total], first: 0 };
        Self { starts, state: Mutex::new(state), moved: Notify::new() }
    }

    /// Waits until fewer than `connections` parts before this one are still being read.
    pub(in crate::engine) async fn wait(&self, part: PartRef, connections: usize) {
        loop {
            let moved = self.moved.notified();
            if self.before(part) < connections {
                return;
            }
            moved.await;
        }
    }

    /// A part was read to its end.
    pub(in crate::engine) fn done(&self, part: PartRef) {
        let mut state = self.state();
        if let Some(done) = state.done.get_mut(self.position(part)) {
            *done = true;
        }
        while state.done.get(state.first) == Some(&true) {
            state.first += 1;
        }
        drop(state);
        self.moved.notify_waiters();
    }

    /// How many parts were read to their end, and how many there are.
    pub(in crate::engine) fn progress(&self) -> (usize, usize) {
        let state = self.state();
        (state.done.iter().filter(|done| **done).count(), state.done.len())
    }

    fn before(&self, part: PartRef) -> usize {
        let state = self.state();
        let earlier = state.done.get(state.first..self.position(part)).unwrap_or_default();
        earlier.iter().filter(|done| !**done).count()
    }

    fn position(&self, part: PartRef) -> usize {
        self.starts.get(part.file).map_or(usize::MAX, |start| start + part.part)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn the_first_parts_that_are_not_done_have_the_connections() {
        let part = |file, part| PartRef { file, part };
        let turns = Turns::new([1, 3].into_iter());
        let may = |p, connections| turns.wait(p, connections).now_or_never().is_some();
        assert!(may(part(0, 0), 1) && !may(part(1, 0), 1) && may(part(1, 0), 2));
        turns.done(part(1, 0));
        assert!(!may(part(1, 1), 1), "the first one is still being read");
        let mut waiting = Box::pin(turns.wait(part(1, 1), 1));
        assert!((&mut waiting).now_or_never().is_none());
        turns.done(part(0, 0));
        waiting.await;
        assert_eq!(turns.progress(), (2, 4));
    }
}
