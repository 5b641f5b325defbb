//! Scripts of mysqldump and mariadb-dump: read by ourselves, statement by statement, never by a client.

mod modes;
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

pub(super) use run::{Event, Rules, create_events, run};
use split::{Splitter, Statement, refused};
use words::{Kind, kind};

/// The one data file of a dump that is a script.
pub(super) const SCRIPT: &str = "script.sql";

/// Bytes that are handed on at once.
const PIECE: usize = 128 << 10;

/// Whether a file begins as text does, of which these or other databases may be meant.
pub(super) fn is_text(head: &[u8]) -> bool {
    !head.is_empty() && head.iter().all(|byte| !byte.is_ascii_control() || byte.is_ascii_whitespace())
}

/// Whether a file begins as a script for MySQL or MariaDB does, and as no other.
pub(super) fn is_script(head: &[u8]) -> bool {
    let has = |words: &[u8]| head.windows(words.len()).any(|window| window.eq_ignore_ascii_case(words));
    let telling: [&[u8]; 7] =
        [b"-- MySQL dump ", b"-- MariaDB dump ", b"/*!", b"/*M!", b"`", b"\nDELIMITER ", b" ENGINE="];
    is_text(head) && telling.iter().any(|words| has(words)) && !has(b"PostgreSQL database")
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
                check(&statement)?;
            }
            self.state = State::Done;
        } else {
            self.splitter.feed(piece.clone());
            while let Some(statement) = self.splitter.next()? {
                check(&statement)?;
            }
        }
        Ok(piece)
    }
}

fn check(statement: &Statement) -> Result<()> {
    match kind(&statement.sql) {
        Kind::Refused(why) => Err(refused(statement.line, why)),
        _ => Ok(()),
    }
}
