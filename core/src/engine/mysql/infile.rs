//! Loads one file of rows: by LOAD DATA LOCAL where the server takes it, else by its own statements.
//!
//! The lines of an INSERT statement's rows are what LOAD DATA reads as well, so nothing is translated: what is not a row
//! is left out. Only this stream is ever sent, whatever file the server asks for.

use bytes::{Bytes, BytesMut};
use futures::{SinkExt as _, StreamExt as _, TryStreamExt as _};
use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Row};
use tokio::sync::Semaphore;

use crate::engine::ByteStream;
use crate::engine::turns::LARGE_ROW;
use crate::error::{Code, Error, Result};

use super::catalog::Object;
use super::failure::failure;
use super::quote::{idents, qualified};

/// Pieces that wait for the server.
const AHEAD: usize = 4;

/// The largest statement that is put together of rows, unless one row is larger.
const STATEMENT: usize = 1 << 20;

/// What a file of rows holds, piece by piece.
#[derive(Debug, Default)]
struct Lines {
    state: State,
    /// A statement's text that is not complete yet.
    statement: Vec<u8>,
    quoted: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Between rows: a statement's beginning, a comment, or a setting.
    #[default]
    Text,
    /// At the beginning of a line after `VALUES`.
    LineStart,
    /// Within a row's line.
    Row,
}

impl Lines {
    /// Puts the rows' lines of a piece into `rows`; a line begins with `(` or `,(`.
    fn take(&mut self, piece: &[u8], rows: &mut BytesMut) {
        let mut rest = piece;
        while let Some(first) = rest.first() {
            match self.state {
                State::LineStart if matches!(first, b'(' | b',') => self.state = State::Row,
                State::LineStart => self.state = State::Text,
                State::Row => {
                    let end = rest.iter().position(|b| *b == b'\n').map(|at| at + 1);
                    rows.extend_from_slice(&rest[..end.unwrap_or(rest.len())]);
                    rest = &rest[end.unwrap_or(rest.len())..];
                    if end.is_some() {
                        self.state = State::LineStart;
                    }
                }
                State::Text => {
                    self.quoted ^= *first == b'`';
                    if *first != b'\n' || self.quoted {
                        self.statement.push(*first);
                    } else {
                        if self.statement.ends_with(b"VALUES") {
                            self.state = State::LineStart;
                        }
                        self.statement.clear();
                    }
                    rest = &rest[1..];
                }
            }
        }
    }

    /// Whether everything ended where it should.
    fn is_whole(&self) -> bool {
        self.state == State::Text && self.statement.is_empty()
    }
}

/// Loads rows by LOAD DATA LOCAL, in one transaction.
pub(super) async fn load_data(
    conn: &mut Conn,
    database: &str,
    table: &Object,
    file: &str,
    data: ByteStream<'_>,
) -> Result<()> {
    let doing = format!("loading {file}");
    let sql = format!(
        "LOAD DATA LOCAL INFILE 'lastgood' INTO TABLE {} CHARACTER SET binary \
         FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '\\'' ESCAPED BY '\\\\' \
         LINES STARTING BY '(' TERMINATED BY ')\\n' ({})",
        qualified(database, &table.name),
        idents(&table.columns)
    );
    // What the server calculates it may round, and tells that in notes; nothing else of ours is rounded.
    let calculates = table.sql.contains(" GENERATED ALWAYS AS ");
    conn.query_drop(if calculates { "SET SESSION sql_notes = 0" } else { "SET SESSION sql_notes = 1" })
        .await
        .map_err(|e| failure(&doing, e))?;
    let (sender, receiver) = futures::channel::mpsc::channel::<std::io::Result<Bytes>>(AHEAD);
    conn.set_infile_handler(async move { Ok(receiver.boxed()) });
    let mut expected = 0;
    let loaded = {
        let mut sending = std::pin::pin!(send(sender, data, file, &mut expected));
        let mut loading = std::pin::pin!(conn.query_drop(&sql));
        let mut sent = None;
        let loaded = loop {
            tokio::select! {
                biased;
                result = &mut sending, if sent.is_none() => sent = Some(result),
                // A server that refuses the statement does not ask for the data: nobody waits for that.
                result = &mut loading => break result,
            }
        };
        // What went wrong with the data is told before what the server makes of it.
        sent.unwrap_or(Ok(()))?;
        loaded
    };
    loaded.map_err(|e| failure(&doing, e))?;
    check(conn, database, table, &doing, expected).await
}

/// Sends the rows, and counts their lines.
async fn send(
    mut sender: futures::channel::mpsc::Sender<std::io::Result<Bytes>>,
    mut data: ByteStream<'_>,
    file: &str,
    expected: &mut u64,
) -> Result<()> {
    let mut lines = Lines::default();
    loop {
        let piece = match data.try_next().await {
            Ok(Some(piece)) => piece,
            Ok(None) if lines.is_whole() => return Ok(()),
            Ok(None) => {
                drop(sender.send(Err(std::io::Error::other("incomplete"))).await);
                return Err(cut(file));
            }
            Err(e) => {
                drop(sender.send(Err(std::io::Error::other("unreadable"))).await);
                return Err(e);
            }
        };
        let mut rows = BytesMut::with_capacity(piece.len());
        lines.take(&piece, &mut rows);
        *expected += rows.iter().filter(|b| **b == b'\n').count() as u64;
        if !rows.is_empty() && sender.send(Ok(rows.freeze())).await.is_err() {
            // The server did not ask for it or does not listen any more: it says why.
            return Ok(());
        }
    }
}

/// LOAD DATA LOCAL skips what does not fit and only warns: neither is let pass.
async fn check(conn: &mut Conn, database: &str, table: &Object, doing: &str, expected: u64) -> Result<()> {
    let (loaded, warnings) = (conn.affected_rows(), conn.get_warnings());
    if warnings > 0 {
        let rows: Vec<Row> = conn.query("SHOW WARNINGS LIMIT 1000").await.map_err(|e| failure(doing, e))?;
        let told = rows.into_iter().filter_map(|row| mysql_async::from_row_opt::<(String, u16, String)>(row).ok());
        for (_, code, message) in told {
            if code == TRUNCATED && is_invalid_enum(conn, database, table, &message).await? {
                continue;
            }
            let e = mysql_async::ServerError { code, message, state: "01000".to_owned() };
            return Err(failure(doing, mysql_async::Error::Server(e)));
        }
    }
    if loaded != expected {
        let message = format!("{doing}: the server took {loaded} of {expected} rows");
        return Err(Error::new(Code::DatabaseError, message).next("see the server's log; restore into a new database"));
    }
    Ok(())
}

/// The server's number for a value that was changed to fit.
const TRUNCATED: u16 = 1265;

/// Whether a warning is about the value that an ENUM has for what it does not know: it goes in with a warning only.
async fn is_invalid_enum(conn: &mut Conn, database: &str, table: &Object, message: &str) -> Result<bool> {
    let Some(column) = message.split('\'').nth(1) else { return Ok(false) };
    let sql = format!(
        "SELECT COUNT(*) FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {} \
         AND COLUMN_NAME = {} AND DATA_TYPE = 'enum'",
        super::quote::literal(database),
        super::quote::literal(&table.name),
        super::quote::literal(column)
    );
    let count: Option<u64> = conn.query_first(sql).await.map_err(|e| failure("looking at a column", e))?;
    Ok(count == Some(1))
}

/// Loads rows by the statements they come in, in one transaction. Whoever has a large row waits for `large`: the driver
/// holds a statement more than once while it goes out.
pub(super) async fn insert(
    conn: &mut Conn,
    table: &Object,
    file: &str,
    mut data: ByteStream<'_>,
    large: &Semaphore,
) -> Result<()> {
    let doing = format!("loading {file}");
    let head = super::rows::insert_into(&table.name, &table.columns).into_bytes();
    let failed = |e| failure(&doing, e);
    conn.query_drop("SET NAMES binary").await.map_err(failed)?;
    conn.query_drop("START TRANSACTION").await.map_err(failed)?;
    let mut lines = Lines::default();
    let mut rows = BytesMut::new();
    let mut statement = Statement::new(head);
    let mut turn = None;
    while let Some(piece) = data.try_next().await? {
        rows.clear();
        lines.take(&piece, &mut rows);
        let mut rest = &rows[..];
        while statement.take(&mut rest) {
            while let Some(full) = statement.full() {
                conn.query_drop(full).await.map_err(failed)?;
                statement.sent();
            }
        }
        if (statement.text.len() as u64) < LARGE_ROW {
            turn = None;
        } else if turn.is_none() {
            turn = large.acquire().await.ok();
        }
    }
    if !lines.is_whole() {
        return Err(cut(file));
    }
    if let Some(last) = statement.rows() {
        conn.query_drop(last).await.map_err(failed)?;
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
        let end = lines.iter().position(|b| *b == b'\n').map(|at| at + 1);
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

    /// The statement, if there are rows in it.
    fn rows(&self) -> Option<&[u8]> {
        (self.text.len() > self.head).then_some(&self.text)
    }
}

fn cut(file: &str) -> Error {
    Error::new(Code::Damaged, format!("{file} ends in the middle of a row"))
        .next("use another copy of this dump or another backup")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &[u8] = b"/*!40101 SET NAMES binary*/;\nINSERT INTO `a` (`x`,\n`o\n(dd`) VALUES\n(1,'a)b')\n,(2,NULL)\n;\nINSERT INTO `a` (`x`) VALUES\n(3,'(')\n;\n";

    #[test]
    fn rows_are_told_from_statements_wherever_pieces_end() {
        // Only names between backticks hold line breaks.
        let file = String::from_utf8_lossy(FILE).replace("`x`,\n", "`x`,");
        for cut in 0..=file.len() {
            let (mut lines, mut rows) = (Lines::default(), BytesMut::new());
            let (a, b) = file.as_bytes().split_at(cut);
            lines.take(a, &mut rows);
            lines.take(b, &mut rows);
            assert!(lines.is_whole(), "cut at {cut}");
            assert_eq!(&rows[..], b"(1,'a)b')\n,(2,NULL)\n(3,'(')\n", "cut at {cut}");
        }
    }

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

    #[test]
    fn a_file_that_was_cut_is_noticed() {
        let file = b"INSERT INTO `a` (`x`) VALUES\n(1)\n,(2)\n;\n";
        for cut in 1..file.len() {
            let (mut lines, mut rows) = (Lines::default(), BytesMut::new());
            lines.take(&file[..cut], &mut rows);
            assert!(!lines.is_whole(), "cut at {cut}");
        }
    }
}
