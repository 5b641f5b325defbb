//! Counting and hashing the rows of tables.

use std::collections::VecDeque;
use std::ffi::c_int;
use std::sync::{Arc, Mutex, PoisonError};

use libsqlite3_sys as ffi;

use super::failure::Failure;
use super::ffi::{Connection, Statement, Value, is_keyword};
use crate::error::Result;
use crate::format::checksum::RowHasher;
use crate::report::{TableSummary, Warning};

/// A table whose rows are stored in the file.
#[derive(Debug, Clone)]
pub(super) struct Table {
    /// As people write it, quoted where it must be.
    pub(super) name: String,
    /// As the schema has it.
    pub(super) raw: String,
    columns: Vec<String>,
}

/// Every table with rows of its own: shadow tables of virtual tables and SQLite's own statistics and sequences are
/// among them; virtual tables, which only show what lies elsewhere, are not.
pub(super) fn tables(connection: &Connection) -> Result<Vec<Table>> {
    let mut names = Vec::new();
    let mut query =
        connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage > 0 ORDER BY name")?;
    while query.step()? {
        names.push(query.text(0)?);
    }
    names.into_iter().map(|raw| table(connection, raw)).collect()
}

fn table(connection: &Connection, raw: String) -> Result<Table> {
    // Columns of the answer: cid, name, type, notnull, default, pk, hidden. Of the kinds of hidden columns only
    // stored generated ones (3) are in the file; virtual generated ones (2) would be computed, perhaps by a function
    // that only the application has.
    let mut columns = Vec::new();
    let mut query = connection.prepare(&format!("PRAGMA main.table_xinfo({})", quoted(&raw)))?;
    while query.step()? {
        if matches!(query.value(6)?, Value::Integer(0 | 3)) {
            columns.push(query.text(1)?);
        }
    }
    Ok(Table { name: shown(&raw), raw, columns })
}

/// Counts and hashes one table's rows. The bytes that are hashed for a row are its values in the order of the
/// columns, each as a type byte and a content, so that no two different rows have the same bytes:
///
/// | value | type | content |
/// |---|---|---|
/// | NULL | 0 | none |
/// | integer | 1 | 8 bytes, two's complement, little-endian |
/// | real | 2 | 8 bytes, IEEE 754, little-endian |
/// | text | 3 | length in bytes (4 bytes, little-endian), then UTF-8 whatever the database's encoding |
/// | blob | 4 | length in bytes (4 bytes, little-endian), then the bytes |
fn summarize(connection: &Connection, table: &Table) -> Result<TableSummary, Failure> {
    // A bare name in quotes that is no column would be a string; a qualified one is an error.
    let columns: Vec<String> = table.columns.iter().map(|c| format!("t.{}", quoted(c))).collect();
    // NOT INDEXED: the table's own rows, not what an index that covers them says.
    let sql = format!("SELECT {} FROM main.{} AS t NOT INDEXED", columns.join(", "), quoted(&table.raw));
    let mut query = connection.prepare(&sql)?;
    let count = query.columns();
    let mut hasher = RowHasher::default();
    let mut row = Vec::new();
    while query.step()? {
        row.clear();
        encode(&query, count, &mut row)?;
        hasher.add(&row);
    }
    Ok(TableSummary {
        name: table.name.clone(),
        columns: table.columns.clone(),
        rows: hasher.rows(),
        hash: hasher.hash(),
    })
}

fn encode(query: &Statement<'_>, columns: c_int, row: &mut Vec<u8>) -> Result<(), Failure> {
    for column in 0..columns {
        let (kind, bytes) = match query.value(column)? {
            Value::Null => {
                row.push(0);
                continue;
            }
            Value::Integer(value) => {
                row.push(1);
                row.extend_from_slice(&value.to_le_bytes());
                continue;
            }
            Value::Real(value) => {
                row.push(2);
                row.extend_from_slice(&value.to_le_bytes());
                continue;
            }
            Value::Text(bytes) => (3, bytes),
            Value::Blob(bytes) => (4, bytes),
        };
        row.push(kind);
        // SQLite's values are shorter than 2^31 bytes.
        row.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
        row.extend_from_slice(bytes);
    }
    Ok(())
}

/// What became of tables.
#[derive(Debug, Default)]
pub(super) struct Summaries {
    pub(super) tables: Vec<TableSummary>,
    pub(super) warnings: Vec<Warning>,
}

/// Tables that several connections, each on a thread of its own, take one after the other.
#[derive(Debug, Clone)]
pub(super) struct Queue(Arc<Mutex<VecDeque<Table>>>);

impl Queue {
    pub(super) fn new(tables: Vec<Table>) -> Self {
        Self(Arc::new(Mutex::new(tables.into())))
    }

    /// Summarizes tables until none is left.
    pub(super) fn drain(&self, connection: &Connection) -> Result<Summaries> {
        let mut done = Summaries::default();
        loop {
            // No panic can happen under this lock, so the queue is whole even if the lock says otherwise.
            let next = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some(table) = next else { return Ok(done) };
            match summarize(connection, &table) {
                Ok(summary) => done.tables.push(summary),
                // For example a WITHOUT ROWID table, sorted by a collation that only the application has. Its pages
                // are in the file like all others; only its rows cannot be compared.
                Err(failure) if failure.primary() == ffi::SQLITE_ERROR => {
                    let message = format!("the rows of {} could not be counted: {}", table.name, failure.message);
                    done.warnings.push(Warning::new("uncounted_table", message));
                }
                Err(failure) => return Err(failure.into()),
            }
        }
    }
}

/// An identifier for use in a statement.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// An identifier for people: in quotes only where SQL needs them.
pub(super) fn shown(name: &str) -> String {
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && name.bytes().next().is_some_and(|b| !b.is_ascii_digit());
    if plain && !is_keyword(name) { name.to_owned() } else { quoted(name) }
}
