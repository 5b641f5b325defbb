//! A choice in the making: what comes along with what was picked, and what cannot be without something that is missing.

use std::collections::HashMap;

use crate::engine::postgres::archive::Entry;
use crate::engine::postgres::belong::{is_content, is_frame, is_relation};
use crate::engine::postgres::statements::describe;
use crate::error::{Code, Error, Result};
use crate::report::Warning;

use super::{Mark, Picks};

/// What becomes of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Out,
    Taken,
    /// The target has it.
    There,
}

/// A choice in the making.
pub(super) struct Work<'a> {
    pub(super) picks: &'a Picks,
    pub(super) entries: &'a [Entry],
    /// The entries' places in `entries`, by their numbers.
    pub(super) place: &'a HashMap<i32, usize>,
    pub(super) state: Vec<State>,
    /// Entries that need another which does not come along.
    pub(super) lacks: Vec<(usize, usize)>,
}

impl Work<'_> {
    /// What belongs to something that is taken is taken as well.
    pub(super) fn add_belongings(&mut self) -> bool {
        let mut any = false;
        // Belongings of belongings (the comment on an index) may come in any order.
        loop {
            let mut changed = false;
            for (i, entry) in self.entries.iter().enumerate() {
                if self.state[i] != State::Out || self.picks.marks[i] == Mark::Excluded {
                    continue;
                }
                let home = self.picks.homes.of[i];
                let at_home = match home.and_then(|id| self.place.get(&id)) {
                    Some(&home) => self.state[home],
                    // Of a thing that has no entry: the schema `public`, what the server and extensions bring along.
                    None if home.is_some() && !self.picks.selection.names_some() => State::Taken,
                    None => continue,
                };
                let without_definitions = self.picks.selection.data_only && home.is_some();
                let taken = match at_home {
                    State::Taken => State::Taken,
                    // With rows alone their tables are not taken, but named all the same.
                    State::Out if without_definitions && self.named(i) => State::Taken,
                    _ => continue,
                };
                if self.picks.wants(entry, home) && self.both_ends(entry) {
                    (self.state[i], changed) = (taken, true);
                }
            }
            any |= changed;
            if !changed {
                return any;
            }
        }
    }

    /// Whether the entry at the end of the chain of homes was named.
    fn named(&self, i: usize) -> bool {
        let mut at = i;
        for _ in 0..8 {
            match self.picks.homes.of[at].and_then(|id| self.place.get(&id)) {
                Some(&home) => at = home,
                None => break,
            }
        }
        at != i && self.picks.marks[at] == Mark::Picked
    }

    /// A sequence is owned by a column only if its table is here; a publication has a table only if it is here itself.
    pub(super) fn both_ends(&self, entry: &Entry) -> bool {
        let here = |id: &i32| self.place.get(id).is_none_or(|&i| self.picks.marks[i] == Mark::Picked);
        match entry.desc.as_str() {
            "SEQUENCE OWNED BY" => {
                let sequence = entry.dependencies.first();
                let mut owners = self.picks.homes.parents.iter().filter(|(of, _)| Some(of) == sequence);
                owners.any(|(_, table)| here(table))
            }
            "PUBLICATION TABLE" | "PUBLICATION TABLES IN SCHEMA" => entry.dependencies.iter().all(here),
            _ => true,
        }
    }

    /// Types, functions, schemas and the like that something taken needs.
    pub(super) fn add_needed(&mut self, schemas: &HashMap<&str, usize>, there: &impl Fn(&Entry) -> bool) {
        let mut looked_at = vec![false; self.entries.len()];
        loop {
            let mut changed = false;
            for (i, looked_at) in looked_at.iter_mut().enumerate() {
                if self.state[i] != State::Taken || *looked_at || is_frame(&self.entries[i]) {
                    continue;
                }
                (*looked_at, changed) = (true, true);
                let entry = &self.entries[i];
                let of_schema = entry.namespace.as_deref().and_then(|n| schemas.get(n)).copied();
                let needs = entry.dependencies.iter().filter_map(|id| self.place.get(id)).copied().chain(of_schema);
                for need in needs.collect::<Vec<_>>() {
                    if self.state[need] != State::Out {
                        continue;
                    }
                    let needed = &self.entries[need];
                    let whole = self.picks.homes.of[need].is_none();
                    let comes_along = !is_relation(needed) || needed.desc == "SEQUENCE";
                    if whole && comes_along && self.picks.marks[need] != Mark::Excluded {
                        self.state[need] = if there(needed) { State::There } else { State::Taken };
                    } else {
                        self.lacks.push((i, need));
                    }
                }
            }
            if !(self.add_belongings() || changed) {
                return;
            }
        }
    }

    /// Takes out what lacks something, and what lacks that in turn.
    pub(super) fn leave_out(&mut self, there: &impl Fn(&Entry) -> bool, warnings: &mut Vec<Warning>) -> Result<()> {
        let is_out = |state: State| state == State::Out;
        let mut lacks = std::mem::take(&mut self.lacks);
        // What came along after it was missed is no longer missing.
        lacks.retain(|(_, need)| is_out(self.state[*need]));
        let mut at = 0;
        while let Some(&(i, need)) = lacks.get(at) {
            at += 1;
            let (entry, needed) = (&self.entries[i], &self.entries[need]);
            if is_out(self.state[i]) {
                continue;
            }
            let foreign_key = entry.desc == "FK CONSTRAINT";
            if !foreign_key && self.is_there(need, there) {
                continue;
            }
            let why = format!("it needs {}, which was not selected", describe(self.whole(need)));
            let quiet = matches!(entry.desc.as_str(), "COMMENT" | "ACL" | "SECURITY LABEL" | "INDEX ATTACH")
                || is_content(entry) && entry.desc != "TABLE DATA";
            if matches!(entry.desc.as_str(), "TABLE" | "TABLE DATA" | "FOREIGN TABLE") {
                return Err(Error::new(
                    Code::IncompleteSelection,
                    format!("{} cannot be without: {why}", describe(entry)),
                )
                .next(format!(
                    "select {} as well, or exclude {}",
                    describe(self.whole(need)),
                    describe(self.whole(i))
                )));
            }
            if !quiet {
                let code = if foreign_key { "foreign_key_left_out" } else { "left_out" };
                let target = if foreign_key { self.whole(need) } else { needed };
                let why = if foreign_key {
                    format!("it refers to {}, which was not selected", describe(target))
                } else {
                    why
                };
                warnings.push(Warning::new(code, format!("{} is left out: {why}", describe(entry))));
            }
            self.state[i] = State::Out;
            for (other, dependent) in self.entries.iter().enumerate() {
                if !is_out(self.state[other]) && dependent.dependencies.contains(&entry.dump_id) {
                    lacks.push((other, i));
                }
            }
        }
        Ok(())
    }

    /// The object that an entry is or belongs to.
    fn whole(&self, i: usize) -> &Entry {
        let home = self.picks.homes.of[i].and_then(|id| self.place.get(&id));
        home.map_or(&self.entries[i], |&home| &self.entries[home])
    }

    fn is_there(&self, i: usize, there: &impl Fn(&Entry) -> bool) -> bool {
        there(&self.entries[i]) || (self.picks.homes.of[i].is_some() && there(self.whole(i)))
    }
}
