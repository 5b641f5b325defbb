//! Loads one file of rows by the statements that they come in.

use bytes::BytesMut;
use futures::TryStreamExt as _;
use memchr::memchr;
use mysql_async::Conn;
use mysql_async::prelude::Queryable as _;
use tokio::sync::Semaphore;

use crate::engine::ByteStream;
use crate::engine::turns::LARGE_ROW;
use crate::error::Result;

use super::catalog::Object;
use super::failure::failure;
use super::infile::{self, Begun};
use super::lines::Lines;
use super::taken;

/// The largest statement that is put together of rows, unless one row is larger.
const STATEMENT: usize = 1 << 20;

/// What is done with a row that is too large to be held while it goes out.
#[derive(Debug, Clone, Copy)]
pub(super) enum Large<'a> {
    /// It goes in by LOAD DATA LOCAL, in pieces, and so do the rows after it.
    InPieces,
    /// It waits until no other such row goes out: the driver holds a statement more than once.
    InTurn(&'a Semaphore),
}

/// Loads rows by statements, in one transaction.
pub(super) async fn insert(
    conn: &mut Conn,
    database: &str,
    table: &Object,
    file: &str,
    mut data: ByteStream<'_>,
    large: Large<'_>,
) -> Result<()> {
    let doing = format!("loading {file}");
    let failed = |e| failure(&doing, e);
    taken::expect(conn, table, &doing).await?;
    conn.query_drop("SET NAMES binary").await.map_err(failed)?;
    conn.query_drop("START TRANSACTION").await.map_err(failed)?;
    let mut lines = Lines::default();
    let mut rows = BytesMut::new();
    let mut statement = Statement::new(super::rows::insert_into(&table.name, &table.columns).into_bytes());
    let mut turn = None;
    let mut begun = None;
    while let Some(piece) = data.try_next().await? {
        rows.clear();
        lines.take(&piece, &mut rows);
        let mut rest = &rows[..];
        while statement.take(&mut rest) {
            while let Some(full) = statement.full() {
                conn.query_drop(full).await.map_err(failed)?;
                taken::check(conn, database, table, &doing).await?;
                statement.sent();
            }
        }
        match large {
            _ if (statement.text.len() as u64) < LARGE_ROW => turn = None,
            Large::InTurn(turns) if turn.is_none() => turn = turns.acquire().await.ok(),
            Large::InTurn(_) => {}
            Large::InPieces => {
                begun = Some(statement.begun());
                break;
            }
        }
    }
    if let Some(last) = statement.rows() {
        conn.query_drop(last).await.map_err(failed)?;
        taken::check(conn, database, table, &doing).await?;
    }
    match begun {
        Some(row) => infile::load_data(conn, database, table, file, Begun { lines, row }, data).await?,
        None => lines.end(file)?,
    }
    conn.query_drop("COMMIT").await.map_err(failed)?;
    conn.query_drop("SET NAMES utf8mb4").await.map_err(failed)
}

/// A statement that is put together of rows.
struct Statement {
    /// The statement's text so far, from its head on.
    text: Vec<u8>,
    head: usize,
    /// Where the text's last row begins, complete or not.
    last: usize,
    complete: bool,
}

impl Statement {
    fn new(head: Vec<u8>) -> Self {
        Self { head: head.len(), last: head.len(), text: head, complete: true }
    }

    /// Takes lines up to the end of a row. Returns whether there was one; else all was taken.
    fn take(&mut self, lines: &mut &[u8]) -> bool {
        let Some(first) = lines.first() else { return false };
        if self.complete {
            self.last = self.text.len();
            *lines = &lines[usize::from(*first == b',')..];
            if self.last > self.head {
                self.text.push(b',');
            }
        }
        let end = memchr(b'\n', lines).map(|at| at + 1);
        let (line, rest) = lines.split_at(end.unwrap_or(lines.len()));
        self.text.extend_from_slice(line);
        *lines = rest;
        self.complete = end.is_some();
        self.complete
    }

    /// The statement to be sent now: without its last row if that is one too many.
    fn full(&self) -> Option<&[u8]> {
        let alone = self.last == self.head;
        (self.text.len() - self.head > STATEMENT).then(|| &self.text[..if alone { self.text.len() } else { self.last }])
    }

    /// Goes on behind what [`Self::full`] gave.
    fn sent(&mut self) {
        match self.last == self.head {
            true => self.text.truncate(self.head),
            // With the comma before it.
            false => drop(self.text.drain(self.head..=self.last)),
        }
        self.last = self.head;
        self.text.shrink_to(2 * STATEMENT);
    }

    /// Takes out the last row, which is not complete.
    fn begun(&mut self) -> Vec<u8> {
        let row = self.text.split_off(self.last);
        (self.last, self.complete) = (self.head, true);
        row
    }

    /// The statement, if there are rows in it.
    fn rows(&self) -> Option<&[u8]> {
        (self.text.len() > self.head).then_some(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_put_together_to_statements_whatever_their_size() {
        let long = format!("({})", "7".repeat(STATEMENT));
        let rows = ["(1)", "(2)", &long, "(3)", &long, &long, "(4)"];
        // Where the file has a new statement there is no comma.
        let text =
            format!("{}\n,{}\n{}\n,{}\n,{}\n,{}\n,{}\n", rows[0], rows[1], rows[2], rows[3], rows[4], rows[5], rows[6]);
        for step in [5, 1000, text.len()] {
            let mut statement = Statement::new(b"INSERT ".to_vec());
            let mut sent = Vec::new();
            for piece in text.as_bytes().chunks(step) {
                let mut rest = piece;
                while statement.take(&mut rest) {
                    while let Some(full) = statement.full() {
                        sent.push(String::from_utf8_lossy(full).into_owned());
                        statement.sent();
                    }
                }
            }
            sent.extend(statement.rows().map(|text| String::from_utf8_lossy(text).into_owned()));
            let all = |from: usize, to: usize| format!("INSERT {}\n", rows[from..to].join("\n,"));
            assert_eq!(sent, [all(0, 2), all(2, 3), all(3, 4), all(4, 5), all(5, 6), all(6, 7)], "{step}");
        }
    }
}
