//! Questions to a database: who it is, what its tables hold, whether a query holds.

use std::path::Path;

use super::blocking::Stop;
use super::ffi::{self, Connection, Value};
use super::source::Source;
use super::summary::{Queue, tables};
use crate::error::{Code, Error, Result};
use crate::id::EngineKind;
use crate::report::{Probe, TableSummary};

pub(super) fn probe(path: &Path, stop: &Stop) -> Result<Probe> {
    let source = Source::open(path, stop)?;
    let probe = Probe { engine: EngineKind::Sqlite, version: ffi::version(), size_bytes: Some(source.bytes()?) };
    source.end()?;
    Ok(probe)
}

/// Summarizes those of the named tables that are there, with as many threads as `jobs` says.
pub(super) fn summarize(path: &Path, names: &[String], jobs: usize, stop: &Stop) -> Result<Vec<TableSummary>> {
    // Held until the workers are done: the last connection to go takes SQLite's side files away.
    let source = Source::open(path, stop)?;
    let tables: Vec<_> = tables(&source.connection)?.into_iter().filter(|table| names.contains(&table.name)).collect();
    let jobs = jobs.clamp(1, tables.len().max(1));
    let others = (1..jobs).map(|_| source.another(stop)).collect::<Result<Vec<_>>>()?;
    let queue = Queue::new(tables);
    let mut done = std::thread::scope(|scope| {
        let drain = |connection: Connection| {
            let queue = queue.clone();
            scope.spawn(move || queue.drain(&connection))
        };
        let workers: Vec<_> = others.into_iter().map(drain).collect();
        let mut done = queue.drain(&source.connection)?.tables;
        for worker in workers {
            let mut more = worker.join().map_err(|_| Error::new(Code::Internal, "a worker thread panicked"))??;
            done.append(&mut more.tables);
        }
        Ok::<_, Error>(done)
    })?;
    source.end()?;
    done.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(done)
}

/// Runs one query that reads; `false` when the first column of its first row is `false`, `f` or `0`.
pub(super) fn smoke(path: &Path, query: &str, stop: &Stop) -> Result<bool> {
    let source = Source::open(path, stop)?;
    let mut statement = source.connection.prepare(query).map_err(|e| Error::from(e).at("smoke query"))?;
    if !statement.is_read_only() {
        return Err(Error::new(Code::DatabaseError, "the smoke query would write").next("give a SELECT"));
    }
    if !statement.step().map_err(|e| Error::from(e).at("smoke query"))? {
        return Ok(true);
    }
    Ok(match statement.value(0)? {
        Value::Integer(value) => value != 0,
        Value::Real(value) => value != 0.0,
        Value::Text(text) => !matches!(text, b"false" | b"f" | b"0"),
        Value::Null | Value::Blob(_) => true,
    })
}
