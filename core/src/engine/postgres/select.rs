//! Which entries of an archive a selection names, and what has to come along with them.

use std::collections::{HashMap, HashSet};

use crate::error::{Code, Error, Result};
use crate::report::Warning;
use crate::selection::Selection;

use super::archive::Entry;
use super::belong::{Homes, is_content, is_frame, is_large_object, is_relation, schema};
use super::database::is_property;
use super::plan::VIA_ROOT;
use super::quote::qualified;
use crate::engine::pattern::{Pattern, near};

mod work;

use work::{State, Work};

/// What a selection says of an entry by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Picked,
    /// Neither named nor excluded: it comes along where something needs it.
    Idle,
    Excluded,
}

/// What patterns named in an archive.
#[derive(Debug)]
pub(super) struct Picks {
    selection: Selection,
    marks: Vec<Mark>,
    /// Relations of which the definition alone is wanted, by number.
    without_rows: HashSet<i32>,
    homes: Homes,
}

/// Which tables a selection may be about, by their names alone.
#[derive(Debug, Default)]
pub(super) struct Scope {
    schemas: Vec<Pattern>,
    tables: Vec<Pattern>,
    not_schemas: Vec<Pattern>,
    not_tables: Vec<Pattern>,
}

impl Scope {
    /// # Errors
    /// `InvalidOption` for a pattern that is none.
    pub(super) fn new(selection: &Selection) -> Result<Self> {
        Ok(Self {
            schemas: Pattern::parse_all(&selection.schemas, false)?,
            tables: Pattern::parse_all(&selection.tables, true)?,
            not_schemas: Pattern::parse_all(&selection.exclude_schemas, false)?,
            not_tables: Pattern::parse_all(&selection.exclude_tables, true)?,
        })
    }

    /// Whether every table is wanted.
    pub(super) fn is_everything(&self) -> bool {
        [&self.schemas, &self.tables, &self.not_schemas, &self.not_tables].iter().all(|patterns| patterns.is_empty())
    }

    /// Whether a table of this name is named, and not excluded.
    pub(super) fn wants(&self, schema: &str, table: &str) -> bool {
        let of_schema = |patterns: &[Pattern]| patterns.iter().any(|p| p.fits("", schema));
        let of_table = |patterns: &[Pattern]| patterns.iter().any(|p| p.fits(schema, table));
        let all = self.schemas.is_empty() && self.tables.is_empty();
        let excluded = of_schema(&self.not_schemas) || of_table(&self.not_tables);
        !excluded && (all || of_schema(&self.schemas) || of_table(&self.tables))
    }
}

/// What came of a selection.
#[derive(Debug, Default)]
pub(super) struct Chosen {
    /// Entries to restore or to dump, by number.
    pub(super) ids: HashSet<i32>,
    pub(super) warnings: Vec<Warning>,
}

impl Picks {
    /// Finds what the patterns name.
    ///
    /// # Errors
    /// `NothingSelected` for a pattern that names nothing; `InvalidOption` for one that is none.
    pub(super) fn new(entries: &[Entry], selection: &Selection) -> Result<Self> {
        selection.check()?;
        let homes = Homes::new(entries);
        let schemas = Pattern::parse_all(&selection.schemas, false)?;
        let tables = Pattern::parse_all(&selection.tables, true)?;
        let not_schemas = Pattern::parse_all(&selection.exclude_schemas, false)?;
        let not_tables = Pattern::parse_all(&selection.exclude_tables, true)?;
        let not_rows = Pattern::parse_all(&selection.exclude_data, true)?;
        all_name_something(entries, &homes, [&schemas, &not_schemas], [&tables, &not_tables, &not_rows])?;

        let of_schema = |patterns: &[Pattern], entry: &Entry| {
            schema(entry).is_some_and(|schema| patterns.iter().any(|p| p.fits("", schema)))
        };
        let of_table = |patterns: &[Pattern], entry: &Entry| {
            let schema = entry.namespace.as_deref().unwrap_or_default();
            (is_relation(entry) || is_content(entry)) && patterns.iter().any(|p| p.fits(schema, &entry.tag))
        };
        let mark = |(entry, home): (&Entry, &Option<i32>)| {
            if is_frame(entry) {
                Mark::Picked
            } else if home.is_some() {
                Mark::Idle
            } else if of_schema(&not_schemas, entry) || of_table(&not_tables, entry) {
                Mark::Excluded
            } else if !selection.names_some() || of_schema(&schemas, entry) || of_table(&tables, entry) {
                Mark::Picked
            } else {
                Mark::Idle
            }
        };
        let marks = entries.iter().zip(&homes.of).map(mark).collect();
        let named = entries.iter().filter(|e| of_table(&not_rows, e)).map(|e| e.dump_id).collect();
        let mut picks = Self { selection: selection.clone(), marks, without_rows: named, homes };
        picks.follow_parents(entries);
        Ok(picks)
    }

    /// Partitions and other children go with their parents, whose rows theirs are, and sequences with the column that owns them.
    fn follow_parents(&mut self, entries: &[Entry]) {
        let place: HashMap<i32, usize> = entries.iter().enumerate().map(|(i, e)| (e.dump_id, i)).collect();
        // A partition may be partitioned itself: as many rounds as there are levels.
        loop {
            let mut changed = false;
            for (child, parent) in &self.homes.parents {
                let (Some(&c), Some(&p)) = (place.get(child), place.get(parent)) else { continue };
                let mark = match (self.marks[p], self.marks[c]) {
                    (Mark::Excluded, _) | (_, Mark::Excluded) => Mark::Excluded,
                    (Mark::Picked, Mark::Idle) => Mark::Picked,
                    (_, mark) => mark,
                };
                changed |= mark != self.marks[c];
                self.marks[c] = mark;
                changed |= self.without_rows.contains(parent) && self.without_rows.insert(*child);
            }
            if !changed {
                return;
            }
        }
    }

    /// Whether the selection wants the content or the definition that this entry is.
    fn wants(&self, entry: &Entry, home: Option<i32>) -> bool {
        let selection = &self.selection;
        if is_frame(entry) {
            return true;
        }
        // Of the database as a whole, and not of what was named.
        if is_property(entry) {
            return !selection.names_some() && !selection.data_only;
        }
        if is_large_object(entry) {
            return !selection.names_some() && !selection.schema_only;
        }
        if !is_content(entry) {
            return !selection.data_only;
        }
        let without =
            self.without_rows.contains(&entry.dump_id) || home.is_some_and(|h| self.without_rows.contains(&h));
        !selection.schema_only && (!without || entry.desc == "SEQUENCE SET")
    }

    /// `entries` are those that it was made of. Adds what has to come along and leaves out what cannot be without something that is missing. `there` says what
    /// the target has already.
    ///
    /// # Errors
    /// `IncompleteSelection` when a table cannot be without something that was not selected.
    pub(super) fn choose(&self, entries: &[Entry], there: impl Fn(&Entry) -> bool) -> Result<Chosen> {
        let place: HashMap<i32, usize> = entries.iter().enumerate().map(|(i, e)| (e.dump_id, i)).collect();
        let schemas: HashMap<&str, usize> =
            entries.iter().enumerate().filter(|(_, e)| e.desc == "SCHEMA").map(|(i, e)| (e.tag.as_str(), i)).collect();
        let mut work =
            Work { picks: self, entries, place: &place, state: vec![State::Out; entries.len()], lacks: vec![] };
        for (i, entry) in entries.iter().enumerate() {
            if self.marks[i] == Mark::Picked && self.wants(entry, None) && work.both_ends(entry) {
                work.state[i] = State::Taken;
            }
        }
        work.add_belongings();
        if !self.selection.data_only {
            work.add_needed(&schemas, &there);
        }
        let mut chosen = Chosen::default();
        work.leave_out(&there, &mut chosen.warnings)?;
        for (entry, state) in entries.iter().zip(&work.state) {
            if *state == State::Taken {
                chosen.ids.insert(entry.dump_id);
            }
        }
        Ok(chosen)
    }
}

/// Every pattern names at least one thing.
fn all_name_something(
    entries: &[Entry],
    homes: &Homes,
    of_schemas: [&Vec<Pattern>; 2],
    of_tables: [&Vec<Pattern>; 3],
) -> Result<()> {
    let mut schemas: Vec<&str> = entries.iter().filter_map(schema).collect();
    schemas.sort_unstable();
    schemas.dedup();
    for pattern in of_schemas.into_iter().flatten() {
        if !schemas.iter().any(|schema| pattern.fits("", schema)) {
            return Err(nothing("schema", pattern, &schemas));
        }
    }
    let tables = entries.iter().zip(&homes.of).filter(|(e, home)| is_relation(e) && home.is_none());
    let tables: Vec<(&str, &str)> =
        tables.map(|(e, _)| (e.namespace.as_deref().unwrap_or_default(), e.tag.as_str())).collect();
    for pattern in of_tables.into_iter().flatten() {
        if !tables.iter().any(|(schema, name)| pattern.fits(schema, name)) {
            let names: Vec<String> = tables.iter().map(|(schema, name)| qualified(schema, name)).collect();
            return Err(nothing("table", pattern, &names.iter().map(String::as_str).collect::<Vec<_>>()));
        }
    }
    Ok(())
}

fn nothing(kind: &str, pattern: &Pattern, names: &[&str]) -> Error {
    let near = near(&pattern.letters(), names.iter().copied());
    let next = match near.as_slice() {
        [] => format!("name a {kind} that is there; `show` lists the tables"),
        near => format!("did you mean {}?", near.join(", ")),
    };
    Error::new(Code::NothingSelected, format!("there is no {kind} `{}` in the backup", pattern.text)).next(next)
}

/// Keeps what was chosen. Rows of a partition whose root was not are loaded into the partition itself.
pub(super) fn keep(entries: &mut Vec<Entry>, chosen: &HashSet<i32>) {
    entries.retain(|e| chosen.contains(&e.dump_id));
    let tables: HashSet<String> = entries
        .iter()
        .filter(|e| e.desc == "TABLE")
        .map(|e| qualified(e.namespace.as_deref().unwrap_or_default(), &e.tag))
        .collect();
    for entry in entries.iter_mut().filter(|e| e.desc == "TABLE DATA") {
        let own = qualified(entry.namespace.as_deref().unwrap_or_default(), &entry.tag);
        let Some(root) = entry.defn.strip_prefix(VIA_ROOT).map(str::trim_end) else { continue };
        if !tables.contains(root)
            && tables.contains(&own)
            && let Some(rest) = entry.copy.as_deref().and_then(|c| c.strip_prefix("COPY ")?.strip_prefix(root))
        {
            entry.copy = Some(format!("COPY {own}{rest}"));
            entry.defn = String::new();
        }
    }
}

#[cfg(test)]
mod tests;
