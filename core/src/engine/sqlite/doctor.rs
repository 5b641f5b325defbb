//! What the doctor looks at: the file, its log, its health, and room for the copy that a backup makes.

use std::path::Path;
use std::time::Duration;

use super::blocking::Stop;
use super::check::{Depth, check};
use super::ffi;
use super::live::Task;
use super::source::Source;
use super::temp::need_space;
use serde::{Deserialize, Serialize};

use crate::engine::{DoctorOptions, required};
use crate::error::{Code, Error, Result};
use crate::report::Check;

/// How long the file is looked at for damage; a backup looks at all of it, however long that takes.
const PATIENCE: Duration = Duration::from_secs(120);

/// The checks that need an open database, in their order.
const WITHIN: [&str; 4] = ["journal", "tables", "work_dir", INTEGRITY];

const INTEGRITY: &str = "integrity";

/// Makes all checks of a database file, in another process where `command` says so.
pub(super) async fn doctor(path: &Path, command: &[String], options: &DoctorOptions) -> Vec<Check> {
    let work_dir = options.work_dir.clone().unwrap_or_else(std::env::temp_dir);
    let (tables, indexes) = (options.tables.clone(), options.indexes.clone());
    let look = Task::Look { path: path.to_owned(), work_dir, tables, indexes };
    let mut checks: Vec<Check> = match tokio::time::timeout(PATIENCE, look.run::<Seen>(command)).await {
        Ok(Ok(Seen { mut checks, missing })) => {
            checks.extend(required(options, &missing));
            checks
        }
        Ok(Err(e)) => return unreadable(&e),
        Err(_) => {
            let e = Error::new(Code::Busy, format!("{} could not be opened in time", path.display()));
            return unreadable(&e.next("check what holds it open"));
        }
    };
    let check = Task::Check { path: path.to_owned() };
    checks.push(match tokio::time::timeout(PATIENCE, check.run::<Check>(command)).await {
        Ok(Ok(check)) => check,
        Ok(Err(e)) => Check::failed(INTEGRITY, &e),
        Err(_) => Check::not_checked(INTEGRITY, format!("the check was stopped after {} s", PATIENCE.as_secs())),
    });
    checks
}

fn unreadable(e: &Error) -> Vec<Check> {
    let rest = WITHIN.iter().map(|name| Check::not_checked(name, "the file cannot be read"));
    std::iter::once(Check::failed("database", e)).chain(rest).collect()
}

/// What a look at a file finds.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Seen {
    checks: Vec<Check>,
    /// Of what is required, what is not there.
    missing: Vec<String>,
}

/// Opens the file and looks at all but the rows. `wanted` are names by their type in the schema.
pub(super) fn look(path: &Path, work_dir: &Path, wanted: &[(&str, Vec<String>)], stop: &Stop) -> Result<Seen> {
    let source = Source::open(path, stop)?;
    let bytes = source.bytes()?;
    let database = format!("{}: SQLite {}, {} KiB", path.display(), ffi::version(), bytes.div_ceil(1024));
    let checks = vec![
        Check::pass("database", database),
        journal(&source),
        tables(&source)?,
        match need_space(work_dir, bytes) {
            Ok(()) => Check::pass("work_dir", format!("{} has room for the copy", work_dir.display())),
            Err(e) => Check::failed("work_dir", &e),
        },
    ];
    let mut missing = Vec::new();
    for (kind, name) in wanted.iter().flat_map(|(kind, names)| names.iter().map(move |name| (kind, name))) {
        let name_sql = name.replace('\'', "\'\'");
        let there = source.connection.integer(&format!(
            "SELECT count(*) FROM sqlite_schema WHERE type = '{kind}' AND name = '{name_sql}' COLLATE NOCASE"
        ))?;
        if there == 0 {
            missing.push(format!("{kind} {name}"));
        }
    }
    source.end()?;
    Ok(Seen { checks, missing })
}

fn journal(source: &Source) -> Check {
    const NAME: &str = "journal";
    if source.wal {
        return Check::pass(NAME, "a write-ahead log: writers go on while the copy is made");
    }
    Check::warn(
        NAME,
        "no write-ahead log: writers wait while the copy is made",
        "PRAGMA journal_mode = WAL, if the application allows it",
    )
}

fn tables(source: &Source) -> Result<Check> {
    let count = source.connection.integer("SELECT count(*) FROM sqlite_schema WHERE type = 'table'")?;
    Ok(Check::pass("tables", format!("{count} tables")))
}

/// Looks for damage of the whole file.
pub(super) fn integrity(path: &Path, stop: &Stop) -> Result<Check> {
    let source = Source::open(path, stop)?;
    let warnings = check(&source.connection, Depth::Quick)?.into_warnings(path)?;
    source.end()?;
    if warnings.is_empty() {
        return Ok(Check::pass(INTEGRITY, "no damage was found (quick_check)"));
    }
    let found: Vec<String> = warnings.into_iter().map(|w| w.message).collect();
    Ok(Check::warn(INTEGRITY, found.join("; "), "repair it before the damage grows"))
}
