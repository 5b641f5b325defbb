//! Rows as they stand in a dump: one a line, `(1,'text',NULL)`, as a part of an INSERT statement.
//!
//! Every line break within a value is escaped, so a line is a row. The same lines are what LOAD DATA takes.

use async_stream::try_stream;
use bytes::{Bytes, BytesMut};
use futures::{Stream, TryStreamExt as _};
use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Row, Value};
use tokio::sync::MappedMutexGuard;

use crate::error::{Code, Error, Result};
use crate::format::checksum::RowHasher;

use super::catalog::tables::{Column, Form, TableData};
use super::connect::Session;
use super::failure::{failure, is_gone};
use super::large_row;
use super::quote::{ident, idents};
use super::snapshot::changed;

/// Rows are passed on in pieces of this size, about.
const PIECE: usize = 256 << 10;

/// A statement ends after this many bytes. Servers take 16 MiB or more; other tools write 1 MB.
const STATEMENT: usize = 1 << 20;

/// What each file of rows begins with: what any client has to set before it runs the statements. Uniqueness is checked:
/// without, MariaDB locks an empty table whole for the first who fills it, and two of `myloader`'s threads would deadlock.
pub(super) const HEAD: &str = "/*!40101 SET NAMES binary*/;\n\
    /*!40014 SET FOREIGN_KEY_CHECKS=0*/;\n\
    /*!40101 SET SQL_MODE='NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES'*/;\n\
    /*!40103 SET TIME_ZONE='+00:00' */;\n";

/// The same for rows with their history.
pub(super) const HISTORY: &str = "/*M!101100 SET SYSTEM_VERSIONING_INSERT_HISTORY=1*/;\n";

/// What stands before the rows of a statement.
pub(super) fn insert_into(table: &str, columns: &[String]) -> String {
    format!("INSERT INTO {} ({}) VALUES\n", ident(table), idents(columns))
}

/// What follows the rows of a statement.
pub(super) const END: &str = ";\n";

/// Which rows of a table are read: those of a range, without the large ones or only these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    /// In place of each large row one without its large values. One more value says by `1` which these are.
    Small,
    Large,
}

/// The query that reads rows of a table, where a condition may say which.
fn select(database: &str, table: &TableData, condition: Option<&str>, which: Which) -> String {
    let large = large_row::conditions(&table.columns);
    let mut columns: Vec<String> = table.columns.iter().map(|c| c.select.clone()).collect();
    let mut conditions: Vec<String> = condition.iter().map(|c| format!("({c})")).collect();
    match (large, which) {
        (Some(large), Which::Small) => {
            for (column, large) in columns.iter_mut().zip(&large) {
                if let Some(large) = large {
                    *column = format!("IF({large}, NULL, {column})");
                }
            }
            columns.push(large_row::any(&large));
        }
        (Some(large), Which::Large) => conditions.push(format!("({})", large_row::any(&large))),
        (None, _) => {}
    }
    let columns = if columns.is_empty() { "1".to_owned() } else { columns.join(", ") };
    let history = if table.history { " FOR SYSTEM_TIME ALL" } else { "" };
    let condition = if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) };
    format!("SELECT {columns} FROM {}{history}{condition}", super::quote::qualified(database, &table.name))
}

/// Reads the rows of a table that a condition selects, adds each row to the hash, and passes on statements in pieces. Large
/// rows come last, when `alone` says that no others are being read, and through the connection that it gives, if any.
pub(super) fn rows_out<'a>(
    conn: &'a mut Conn,
    database: &'a str,
    table: &'a TableData,
    condition: Option<&'a str>,
    hasher: &'a mut RowHasher,
    alone: impl Future<Output = Result<Option<MappedMutexGuard<'a, Session>>>> + Send + 'a,
) -> impl Stream<Item = Result<Bytes>> + Send + 'a {
    try_stream! {
        let doing = format!("reading {}", table.name);
        let mut statements = Statements::new(table, hasher);
        let mut large = 0;
        {
            let sql = select(database, table, condition, Which::Small);
            let mut result = conn.query_iter(sql).await.map_err(|e| unreadable(&doing, e))?;
            let mut rows = rows_of(&mut result, &doing).await?;
            while let Some(row) = rows.try_next().await.map_err(|e| failure(&doing, e))? {
                if is_large(&row, table.columns.len()) {
                    large += 1;
                } else if let Some(piece) = statements.add(&row) {
                    yield piece;
                }
            }
        }
        if large > 0 {
            tracing::debug!(table = table.name, large, "reading large rows one at a time");
            let mut alone = alone.await?;
            let conn = alone.as_mut().map_or(conn, |other| &mut other.conn);
            statements.end();
            let sql = select(database, table, condition, Which::Large);
            let mut result = conn.query_iter(sql).await.map_err(|e| unreadable(&doing, e))?;
            let mut rows = rows_of(&mut result, &doing).await?;
            while let Some(row) = rows.try_next().await.map_err(|e| failure(&doing, e))? {
                let piece = statements.add(&row);
                // Two of them would be here at once.
                drop(row);
                if let Some(piece) = piece {
                    yield piece;
                }
            }
        }
        statements.end();
        let last = std::mem::take(&mut statements.piece);
        if !last.is_empty() {
            yield last.freeze();
        }
    }
}

type Rows<'r, 'c> = mysql_async::ResultSetStream<'r, 'c, 'static, Row, mysql_async::TextProtocol>;

async fn rows_of<'r, 'c>(
    result: &'r mut mysql_async::QueryResult<'c, 'static, mysql_async::TextProtocol>,
    doing: &str,
) -> Result<Rows<'r, 'c>> {
    let rows = result.stream::<Row>().await.map_err(|e| failure(doing, e))?;
    rows.ok_or_else(|| Error::new(Code::Internal, format!("{doing}: no rows were promised")))
}

/// Whether a row is there only to say that it is large.
fn is_large(row: &Row, columns: usize) -> bool {
    // A table without columns to read gives one value all the same.
    columns > 0 && matches!(row.as_ref(columns), Some(Value::Bytes(mark)) if mark == b"1")
}

/// Rows on their way into statements.
struct Statements<'a> {
    table: &'a TableData,
    insert: String,
    hasher: &'a mut RowHasher,
    /// What was not passed on yet.
    piece: BytesMut,
    /// The size of the statement that is being written; 0 between two of them.
    statement: usize,
}

impl<'a> Statements<'a> {
    fn new(table: &'a TableData, hasher: &'a mut RowHasher) -> Self {
        let insert = insert_into(&table.name, &table.names());
        Self { table, insert, hasher, piece: BytesMut::new(), statement: 0 }
    }

    /// Adds a row; gives what is to be passed on.
    fn add(&mut self, row: &Row) -> Option<Bytes> {
        if self.piece.capacity() == 0 {
            self.piece.reserve(PIECE + PIECE / 8);
        }
        self.piece.extend_from_slice(if self.statement == 0 { self.insert.as_bytes() } else { b"," });
        let start = self.piece.len();
        write_row(&mut self.piece, |index| row.as_ref(index), &self.table.columns);
        self.hasher.add(&self.piece[start..]);
        self.piece.extend_from_slice(b"\n");
        self.statement += self.piece.len() - start;
        if self.statement >= STATEMENT {
            self.end();
        }
        (self.piece.len() >= PIECE).then(|| std::mem::take(&mut self.piece).freeze())
    }

    /// Ends the statement.
    fn end(&mut self) {
        if self.statement > 0 {
            self.piece.extend_from_slice(END.as_bytes());
            self.statement = 0;
        }
    }
}

/// A table that was there a moment ago is not, or is another one.
fn unreadable(doing: &str, e: mysql_async::Error) -> Error {
    let gone = is_gone(&e);
    let e = failure(doing, e);
    if gone { changed(e.message()) } else { e }
}

fn write_row<'v>(out: &mut BytesMut, value: impl Fn(usize) -> Option<&'v Value>, columns: &[Column]) {
    out.extend_from_slice(b"(");
    for (index, column) in columns.iter().enumerate() {
        if index > 0 {
            out.extend_from_slice(b",");
        }
        match (value(index), column.form) {
            (Some(Value::Bytes(bytes)), Form::Number) => out.extend_from_slice(bytes),
            (Some(Value::Bytes(bytes)), Form::Text) => quoted(out, bytes),
            (Some(Value::Bytes(bytes)), Form::Json) => {
                out.extend_from_slice(b"_utf8mb4");
                quoted(out, bytes);
            }
            // The text protocol sends text or NULL.
            _ => out.extend_from_slice(b"NULL"),
        }
    }
    out.extend_from_slice(b")");
}

/// Bytes that are written as a backslash and another.
const ESCAPED: [(u8, u8); 6] = [(0, b'0'), (b'\n', b'n'), (b'\r', b'r'), (b'\\', b'\\'), (b'\'', b'\''), (0x1a, b'Z')];

/// What stands for a byte behind a backslash; 0 for bytes that stay as they are.
const ESCAPES: [u8; 256] = {
    let mut table = [0; 256];
    let mut at = 0;
    while at < ESCAPED.len() {
        table[ESCAPED[at].0 as usize] = ESCAPED[at].1;
        at += 1;
    }
    table
};

/// So many bytes are looked at together, which compilers turn into a few instructions.
const TOGETHER: usize = 32;

/// Where the first byte is that has to be escaped.
fn first_to_escape(bytes: &[u8]) -> Option<usize> {
    // Numbers, not truths: of those a compiler makes jumps, a byte at a time.
    let escaped = |b: &u8| ESCAPED.iter().fold(0, |any, (escaped, _)| any | u8::from(b == escaped));
    let (whole, _) = bytes.as_chunks::<TOGETHER>();
    let clean = whole.iter().take_while(|chunk| chunk.iter().fold(0, |any, b| any | escaped(b)) == 0).count();
    let from = clean * TOGETHER;
    bytes[from..].iter().position(|b| escaped(b) != 0).map(|at| from + at)
}

/// Bytes as a literal in which no line breaks.
fn quoted(out: &mut BytesMut, bytes: &[u8]) {
    out.reserve(bytes.len() + 2);
    out.extend_from_slice(b"'");
    let mut rest = bytes;
    while let Some(at) = first_to_escape(rest) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(&[b'\\', ESCAPES[usize::from(rest[at])]]);
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.extend_from_slice(b"'");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_a_line_whatever_is_in_it() {
        let column = |form| Column { name: "c".into(), select: "`c`".into(), form, most: 0 };
        let columns = [column(Form::Number), column(Form::Text), column(Form::Text), column(Form::Json)];
        let mut out = BytesMut::new();
        let text = b"a'b\\c\nd\re\0f\x1ag\t\"\xff";
        let values =
            [Value::Bytes(b"-1.5e3".to_vec()), Value::Bytes(text.to_vec()), Value::NULL, Value::Bytes(b"{}".to_vec())];
        write_row(&mut out, |index| values.get(index), &columns);
        assert_eq!(&out[..], b"(-1.5e3,'a\\'b\\\\c\\nd\\re\\0f\\Zg\t\"\xff',NULL,_utf8mb4'{}')");
        assert!(!out.contains(&b'\n'));
    }

    #[test]
    fn what_has_to_be_escaped_is_found_wherever_it_is() {
        for b in 0..=255_u8 {
            let escaped = ESCAPES[usize::from(b)] != 0;
            for at in 0..70 {
                let mut bytes = vec![b'x'; 70];
                bytes[at] = b;
                assert_eq!(first_to_escape(&bytes), escaped.then_some(at), "{b} at {at}");
            }
        }
        assert_eq!(first_to_escape(b""), None);
    }
}
