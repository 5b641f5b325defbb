//! Looking for damage in a database file.

use std::collections::BTreeMap;
use std::path::Path;

use libsqlite3_sys as ffi;

use super::failure::{Failure, damaged};
use super::ffi::Connection;
use super::summary::{quoted, shown, tables};
use crate::error::{Error, Result};
use crate::report::Warning;

/// How thoroughly to look.
#[derive(Debug, Clone, Copy)]
pub(super) enum Depth {
    /// Every page and every row, in the order of the file.
    Quick,
    /// Also each index against its table: random reads, several times slower.
    Full,
}

/// Findings to ask for. Damage of the file itself comes first.
const FINDINGS: usize = 1000;

/// What was found wrong.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Findings {
    /// Pages or rows cannot be trusted.
    damage: Vec<String>,
    /// The tables are whole, but an index does not agree with its table: `REINDEX` or a rebuild repairs it.
    index: Vec<String>,
    /// A value that the schema does not allow, usually older than the rule it breaks.
    content: Vec<String>,
    /// What only the application could check.
    unchecked: Vec<String>,
}

/// Looks for damage.
pub(super) fn check(connection: &Connection, depth: Depth) -> Result<Findings> {
    // Rows may break a CHECK constraint that came later, or one that calls a function only the application has.
    connection.execute("PRAGMA ignore_check_constraints = ON")?;
    let pragma = match depth {
        Depth::Quick => "quick_check",
        Depth::Full => "integrity_check",
    };
    let mut findings = Findings::default();
    let whole = findings.run(connection, &format!("PRAGMA main.{pragma}({FINDINGS})"));
    match whole {
        // Something in the schema needs the application (a collation, say): check what can be, table by table.
        Err(failure) if failure.primary() == ffi::SQLITE_ERROR => {
            for table in tables(connection)? {
                match findings.run(connection, &format!("PRAGMA main.{pragma}({})", quoted(&table.raw))) {
                    Err(failure) if failure.primary() == ffi::SQLITE_ERROR => {
                        findings.unchecked.push(format!("{}: {}", table.name, failure.message));
                    }
                    other => other?,
                }
            }
        }
        other => other?,
    }
    Ok(findings)
}

impl Findings {
    fn run(&mut self, connection: &Connection, pragma: &str) -> Result<(), Failure> {
        let mut query = connection.prepare(pragma)?;
        while query.step()? {
            let text = query.text(0)?;
            if text != "ok" {
                self.sort_in(text);
            }
        }
        Ok(())
    }

    /// The words are SQLite's own (pragma.c); what is not known to be harmless counts as damage.
    fn sort_in(&mut self, text: String) {
        let has = |part: &str| text.contains(part);
        if has(" missing from index ")
            || has(" values differ from index ")
            || text.starts_with("wrong # of entries in index ")
            || text.starts_with("non-unique entry in index ")
            || text.starts_with("rowid not at end-of-record for row ")
            || text.starts_with("malformed inverted index for ")
        {
            self.index.push(text);
        } else if text.starts_with("NULL value in ")
            || text.starts_with("NUMERIC value in ")
            || text.starts_with("TEXT value in ")
            || text.starts_with("CHECK constraint failed in ")
            || (text.starts_with("non-") && has(" value in "))
        {
            self.content.push(text);
        } else if text.starts_with("unable to validate the inverted index for ") {
            self.unchecked.push(text);
        } else {
            self.damage.push(text);
        }
    }

    /// Fails on damage; the rest becomes warnings.
    pub(super) fn into_warnings(self, path: &Path) -> Result<Vec<Warning>, Error> {
        if !self.damage.is_empty() {
            return Err(damaged(path, &some_of(&self.damage)));
        }
        let kinds = [
            ("damaged_index", self.index, "the tables are whole; run REINDEX (or a full-text table's 'rebuild')"),
            ("invalid_value", self.content, "the schema does not allow these values; they are kept as they are"),
            ("unchecked_table", self.unchecked, "only the application that made it can check this"),
        ];
        Ok(kinds
            .into_iter()
            .filter(|(_, found, _)| !found.is_empty())
            .map(|(code, found, advice)| Warning::new(code, format!("{}; {advice}", some_of(&found))))
            .collect())
    }
}

fn some_of(findings: &[String]) -> String {
    let shown: Vec<String> = findings.iter().take(3).map(|f| f.replace('\n', ", ")).collect();
    let more = findings.len().saturating_sub(3);
    match more {
        0 => shown.join("; "),
        _ => format!("{}; and {more} more", shown.join("; ")),
    }
}

/// Counts rows that refer to rows which do not exist. They are never a fault of the restore, whose bytes are those of
/// the backup: SQLite lets them in wherever foreign keys are not switched on.
pub(super) fn orphans(connection: &Connection) -> Result<Vec<Warning>> {
    let mut counts = BTreeMap::<(String, String), u64>::new();
    let outcome = (|| -> Result<(), Failure> {
        let mut query = connection.prepare("PRAGMA main.foreign_key_check")?;
        while query.step()? {
            *counts.entry((shown(&query.text(0)?), shown(&query.text(2)?))).or_default() += 1;
        }
        Ok(())
    })();
    let mut warnings: Vec<Warning> = counts
        .into_iter()
        .map(|((child, parent), rows)| {
            let message = format!(
                "{rows} rows of {child} refer to rows of {parent} that do not exist; so they did in the source"
            );
            Warning::new("orphaned_rows", message)
        })
        .collect();
    match outcome {
        // For example a foreign key on a parent column that is not unique.
        Err(failure) if failure.primary() == ffi::SQLITE_ERROR => {
            warnings.push(Warning::new("unchecked_foreign_keys", failure.message));
            Ok(warnings)
        }
        Err(failure) => Err(failure.into()),
        Ok(()) => Ok(warnings),
    }
}
