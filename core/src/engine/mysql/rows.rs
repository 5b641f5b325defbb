//! Rows as they stand in a dump: one a line, `(1,'text',NULL)`, as a part of an INSERT statement.
//!
//! Every line break within a value is escaped, so a line is a row. The same lines are what LOAD DATA takes.

use async_stream::try_stream;
use bytes::{Bytes, BytesMut};
use futures::{Stream, TryStreamExt as _};
use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Row, Value};

use crate::error::{Code, Error, Result};
use crate::format::checksum::RowHasher;

use super::catalog::tables::{Column, Form, TableData};
use super::failure::{failure, is_gone};
use super::quote::{ident, idents};
use super::snapshot::changed;

/// Rows are passed on in pieces of this size, about.
const PIECE: usize = 256 << 10;

/// A statement ends after this many bytes. Servers take 16 MiB or more; other tools write 1 MB.
const STATEMENT: usize = 1 << 20;

/// What each file of rows begins with: what any client has to set before it runs the statements.
pub(super) const HEAD: &str = "/*!40101 SET NAMES binary*/;\n\
    /*!40014 SET FOREIGN_KEY_CHECKS=0*/;\n\
    /*!40014 SET UNIQUE_CHECKS=0*/;\n\
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

/// The query that reads rows of a table, where a condition may say which.
pub(super) fn select(database: &str, table: &TableData, condition: Option<&str>) -> String {
    let columns: Vec<&str> = table.columns.iter().map(|c| c.select.as_str()).collect();
    let columns = if columns.is_empty() { "1".to_owned() } else { columns.join(", ") };
    let history = if table.history { " FOR SYSTEM_TIME ALL" } else { "" };
    let condition = condition.map_or_else(String::new, |c| format!(" WHERE {c}"));
    format!("SELECT {columns} FROM {}{history}{condition}", super::quote::qualified(database, &table.name))
}

/// Runs a query for rows, adds each row to the hash, and passes on statements in pieces.
pub(super) fn rows_out<'a>(
    conn: &'a mut Conn,
    sql: String,
    table: &'a TableData,
    doing: String,
    hasher: &'a mut RowHasher,
) -> impl Stream<Item = Result<Bytes>> + Send + 'a {
    try_stream! {
        let insert = insert_into(&table.name, &table.names());
        let mut result = conn.query_iter(sql).await.map_err(|e| unreadable(&doing, e))?;
        let rows = result.stream::<Row>().await.map_err(|e| failure(&doing, e))?;
        let mut rows = rows.ok_or_else(|| Error::new(Code::Internal, format!("{doing}: no rows were promised")))?;
        let mut piece = BytesMut::new();
        let mut statement = 0;
        while let Some(row) = rows.try_next().await.map_err(|e| failure(&doing, e))? {
            if piece.capacity() == 0 {
                piece.reserve(PIECE + PIECE / 8);
            }
            piece.extend_from_slice(if statement == 0 { insert.as_bytes() } else { b"," });
            let start = piece.len();
            write_row(&mut piece, row.unwrap(), &table.columns);
            hasher.add(&piece[start..]);
            piece.extend_from_slice(b"\n");
            statement += piece.len() - start;
            if statement >= STATEMENT {
                piece.extend_from_slice(END.as_bytes());
                statement = 0;
            }
            if piece.len() >= PIECE {
                yield std::mem::take(&mut piece).freeze();
            }
        }
        if statement > 0 {
            piece.extend_from_slice(END.as_bytes());
        }
        if !piece.is_empty() {
            yield piece.freeze();
        }
    }
}

/// A table that was there a moment ago is not, or is another one.
fn unreadable(doing: &str, e: mysql_async::Error) -> Error {
    let gone = is_gone(&e);
    let e = failure(doing, e);
    if gone { changed(e.message()) } else { e }
}

fn write_row(out: &mut BytesMut, values: Vec<Value>, columns: &[Column]) {
    out.extend_from_slice(b"(");
    for (index, (value, column)) in values.into_iter().zip(columns).enumerate() {
        if index > 0 {
            out.extend_from_slice(b",");
        }
        match (value, column.form) {
            (Value::Bytes(bytes), Form::Number) => out.extend_from_slice(&bytes),
            (Value::Bytes(bytes), Form::Text) => quoted(out, &bytes),
            (Value::Bytes(bytes), Form::Json) => {
                out.extend_from_slice(b"_utf8mb4");
                quoted(out, &bytes);
            }
            // The text protocol sends text or NULL.
            _ => out.extend_from_slice(b"NULL"),
        }
    }
    out.extend_from_slice(b")");
}

/// What stands for a byte behind a backslash; 0 for bytes that stay as they are.
const ESCAPES: [u8; 256] = {
    let mut table = [0; 256];
    table[0] = b'0';
    table[b'\n' as usize] = b'n';
    table[b'\r' as usize] = b'r';
    table[b'\\' as usize] = b'\\';
    table[b'\'' as usize] = b'\'';
    table[0x1a] = b'Z';
    table
};

/// Bytes as a literal in which no line breaks.
fn quoted(out: &mut BytesMut, bytes: &[u8]) {
    out.reserve(bytes.len() + 2);
    out.extend_from_slice(b"'");
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|b| ESCAPES[usize::from(*b)] != 0) {
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
        let column = |form| Column { name: "c".into(), select: "`c`".into(), form };
        let columns = [column(Form::Number), column(Form::Text), column(Form::Text), column(Form::Json)];
        let mut out = BytesMut::new();
        let text = b"a'b\\c\nd\re\0f\x1ag\t\"\xff";
        let values = vec![
            Value::Bytes(b"-1.5e3".to_vec()),
            Value::Bytes(text.to_vec()),
            Value::NULL,
            Value::Bytes(b"{}".to_vec()),
        ];
        write_row(&mut out, values, &columns);
        assert_eq!(&out[..], b"(-1.5e3,'a\\'b\\\\c\\nd\\re\\0f\\Zg\t\"\xff',NULL,_utf8mb4'{}')");
        assert!(!out.contains(&b'\n'));
    }
}
