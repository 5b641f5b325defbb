//! Plain SQL scripts of pg_dump and pg_dumpall: read by ourselves, statement by statement, never by an interpreter.

mod command;
mod rows;
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

pub(super) use run::{Rules, inserts, run};
use split::Splitter;

/// The one data file of a dump that is a script.
pub(super) const SCRIPT: &str = "script.sql";

/// Bytes that are handed on at once.
const PIECE: usize = 128 << 10;

/// Whether a file begins as text does.
pub(super) fn is_script(head: &[u8]) -> bool {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        // The head may end within a character.
        Err(e) if e.error_len().is_none() => std::str::from_utf8(&head[..e.valid_up_to()]).unwrap_or_default(),
        Err(_) => return false,
    };
    !text.is_empty() && text.chars().all(|c| !c.is_control() || matches!(c, '\n' | '\r' | '\t'))
}

/// A script as the one data file of a dump. It is checked to be whole as it passes.
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
            self.splitter.finish()?;
            self.state = State::Done;
        } else {
            self.splitter.feed(piece.clone());
            while let Some(event) = self.splitter.next()? {
                if let split::Event::Command { text, line } = event {
                    command::parse(&text, line)?;
                }
            }
        }
        Ok(piece)
    }
}
