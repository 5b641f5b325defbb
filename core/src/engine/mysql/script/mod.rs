//! Scripts of mysqldump and mariadb-dump: read by ourselves, statement by statement, never by a client.

mod modes;
mod restore;
mod run;
mod sections;
mod split;
#[cfg(test)]
mod tests;
mod words;

use std::io::BufRead;

use bytes::Bytes;

use crate::engine::stock::FileReader;
use crate::error::{Error, Result};

pub(super) use restore::{blank, check, fill, is_all, made};
use split::{Splitter, Statement, refused};
use words::{Kind, kind};

/// The one data file of a dump that is a script.
pub(super) const SCRIPT: &str = "script.sql";

/// Bytes that are handed on at once.
const PIECE: usize = 128 << 10;

/// Beginnings that only dumps for these servers have.
const BEGINNINGS: [&[u8]; 4] = [b"-- MySQL dump ", b"-- MariaDB dump ", b"/*!999999\\-", b"/*M!999999\\-"];

/// What a script for these servers holds near its beginning, and one for others hardly.
const TELLING: [&str; 5] = ["/*!", "/*M!", "`", "\nDELIMITER ", " ENGINE="];

/// Bytes of text that are enough to tell a script by.
const ENOUGH: usize = 256;

/// Whether a file begins as text does.
pub(super) fn is_text(head: &[u8]) -> bool {
    let text = text(head);
    // The head may end within a character.
    !text.is_empty() && std::str::from_utf8(&head[text.len()..]).is_err_and(|e| e.error_len().is_none())
        || text.len() == head.len() && !head.is_empty()
}

/// What is text at the beginning.
fn text(head: &[u8]) -> &str {
    let valid = head.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    let control = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    &valid[..valid.find(control).unwrap_or(valid.len())]
}

/// Whether a file begins as a script for MySQL or MariaDB does, and as no other.
pub(super) fn is_script(head: &[u8]) -> bool {
    // Values without `--hex-blob` are no text, and may stand near the beginning.
    let text = text(head);
    let tells = || TELLING.iter().any(|telling| text.contains(telling)) && !text.contains("PostgreSQL database");
    BEGINNINGS.iter().any(|beginning| head.starts_with(beginning)) || text.len() >= head.len().min(ENOUGH) && tells()
}

/// A script as the one data file of a dump. It is checked to be whole, and to hold nothing that is refused, as it passes.
pub(super) struct ScriptFile {
    input: Box<dyn BufRead + Send>,
    splitter: Splitter,
    state: State,
}

#[derive(PartialEq, Eq)]
enum State {
    Before,
    Open,
    Done,
}

impl ScriptFile {
    pub(super) fn new(input: Box<dyn BufRead + Send>) -> Self {
        Self { input, splitter: Splitter::default(), state: State::Before }
    }
}

impl FileReader for ScriptFile {
    fn next_file(&mut self) -> Result<Option<String>> {
        while self.state == State::Open {
            self.read()?;
        }
        let begins = self.state == State::Before;
        self.state = if begins { State::Open } else { State::Done };
        Ok(begins.then(|| SCRIPT.to_owned()))
    }

    fn read(&mut self) -> Result<Bytes> {
        if self.state != State::Open {
            return Ok(Bytes::new());
        }
        let filled = self.input.fill_buf().map_err(|e| Error::of_reader(e, "the script"))?;
        let piece = Bytes::copy_from_slice(&filled[..filled.len().min(PIECE)]);
        self.input.consume(piece.len());
        if piece.is_empty() {
            if let Some(statement) = self.splitter.finish()? {
                checked(&statement)?;
            }
            self.state = State::Done;
        } else {
            self.splitter.feed(piece.clone());
            while let Some(statement) = self.splitter.next()? {
                checked(&statement)?;
            }
        }
        Ok(piece)
    }
}

fn checked(statement: &Statement) -> Result<()> {
    match kind(&statement.sql) {
        Kind::Refused(why) => Err(refused(statement.line, why)),
        _ => Ok(()),
    }
}
