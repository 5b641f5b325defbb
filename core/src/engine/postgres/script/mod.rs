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

use crate::engine::script::ScriptFile;
use crate::engine::stock::FileReader;

pub(super) use run::{Rules, inserts, run};
use split::Splitter;

/// A script as the file of a dump.
pub(super) fn file(input: Box<dyn BufRead + Send>) -> Box<dyn FileReader> {
    Box::new(ScriptFile::<Splitter>::new(input))
}

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
