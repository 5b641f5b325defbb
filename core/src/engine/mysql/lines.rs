//! The rows in a file of rows: one a line, between the words of INSERT statements.

use bytes::BytesMut;
use memchr::memchr;

use crate::error::{Code, Error, Result};

/// What a file of rows holds, piece by piece.
#[derive(Debug, Default)]
pub(super) struct Lines {
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
    pub(super) fn take(&mut self, piece: &[u8], rows: &mut BytesMut) {
        let mut rest = piece;
        while let Some(first) = rest.first() {
            match self.state {
                State::LineStart if matches!(first, b'(' | b',') => self.state = State::Row,
                State::LineStart => self.state = State::Text,
                State::Row => {
                    let end = memchr(b'\n', rest).map(|at| at + 1);
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

    /// Takes the end of a file.
    ///
    /// # Errors
    /// `Damaged` if it ends in the middle.
    pub(super) fn end(&self, file: &str) -> Result<()> {
        if self.is_whole() {
            return Ok(());
        }
        Err(Error::new(Code::Damaged, format!("{file} ends in the middle of a row"))
            .next("use another copy of this dump or another backup"))
    }
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
    fn a_file_that_was_cut_is_noticed() {
        let file = b"INSERT INTO `a` (`x`) VALUES\n(1)\n,(2)\n;\n";
        for cut in 1..file.len() {
            let (mut lines, mut rows) = (Lines::default(), BytesMut::new());
            lines.take(&file[..cut], &mut rows);
            assert!(!lines.is_whole(), "cut at {cut}");
        }
    }
}
