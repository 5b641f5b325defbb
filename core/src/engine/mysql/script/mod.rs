//! Scripts of mysqldump and mariadb-dump: read by ourselves, statement by statement, never by a client.

mod modes;
mod restore;
mod run;
mod split;
#[cfg(test)]
mod tests;
mod words;

use std::io::BufRead;

use crate::engine::script::ScriptFile;
use crate::engine::stock::FileReader;

pub(super) use restore::{blank, check, fill, made};
use split::Splitter;

/// A script as the file of a dump.
pub(super) fn file(input: Box<dyn BufRead + Send>) -> Box<dyn FileReader> {
    Box::new(ScriptFile::<Splitter>::new(input))
}

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
