//! Which parts have been read, and whose turn it is.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use crate::engine::{DumpFile, PartRef};

/// Parts are stored in their order, however many are read at once: a part that comes too early fills its queue and waits
/// for those before it. So whoever needs something that only one may have must wait for his turn, not for the other.
pub(super) struct Turns {
    /// Parts of each file.
    files: Vec<usize>,
    state: Mutex<State>,
    moved: Notify,
}

struct State {
    read: HashSet<PartRef>,
    /// The first part that was not read to its end.
    first: PartRef,
}

impl Turns {
    pub(super) fn new(files: &[DumpFile]) -> Self {
        let state = State { read: HashSet::new(), first: PartRef { file: 0, part: 0 } };
        let files = files.iter().map(|f| f.parts.len()).collect();
        Self { files, state: Mutex::new(state), moved: Notify::new() }
    }

    /// Parts that were read to their end.
    pub(super) fn read(&self) -> usize {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).read.len()
    }

    /// Parts that are to be read.
    pub(super) fn planned(&self) -> usize {
        self.files.iter().sum()
    }

    /// A part was read to its end.
    pub(super) fn done(&self, part: PartRef) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.read.insert(part);
        while state.read.contains(&state.first) {
            let PartRef { file, part } = state.first;
            let last = self.files.get(file).is_none_or(|parts| part + 1 >= *parts);
            state.first = if last { PartRef { file: file + 1, part: 0 } } else { PartRef { file, part: part + 1 } };
        }
        drop(state);
        self.moved.notify_waiters();
    }

    /// Waits until all parts before this one were read to their end.
    pub(super) async fn of(&self, part: PartRef) {
        loop {
            // Before the look, or a move right after it would go unnoticed.
            let moved = self.moved.notified();
            let first = self.state.lock().unwrap_or_else(PoisonError::into_inner).first;
            if (first.file, first.part) >= (part.file, part.part) {
                return;
            }
            moved.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;
    use crate::engine::FileRole;

    #[test]
    fn a_turn_comes_when_all_before_it_are_done() {
        let file = |parts: usize| DumpFile { name: String::new(), role: FileRole::Data, parts: vec![0; parts] };
        let turns = Turns::new(&[file(1), file(2), file(1)]);
        let part = |file, part| PartRef { file, part };
        assert!(turns.of(part(0, 0)).now_or_never().is_some());
        assert!(turns.of(part(1, 1)).now_or_never().is_none());
        turns.done(part(1, 0));
        assert!(turns.of(part(1, 1)).now_or_never().is_none());
        let mut waiting = Box::pin(turns.of(part(1, 1)));
        assert!((&mut waiting).now_or_never().is_none());
        turns.done(part(0, 0));
        assert!(waiting.now_or_never().is_some());
        assert!(turns.of(part(2, 0)).now_or_never().is_none());
        turns.done(part(1, 1));
        assert!(turns.of(part(2, 0)).now_or_never().is_some());
        turns.done(part(2, 0));
        assert_eq!((turns.read(), turns.planned()), (4, 4));
    }
}
