//! Splits a script into statements as the stock clients do.
//!
//! Text of dumps is bytes: a `mysqldump` without `--hex-blob` writes binary values as they are.

use bytes::Bytes;

use crate::engine::script::{Split, check_length, cut_off, refused};
use crate::error::Result;

use super::modes::Modes;
use super::words::{Kind, kind};

/// What `DELIMITER` names is not longer than this.
const MAX_DELIMITER: usize = 64;

/// What opens the comment by which a dump tells its client to run no commands (and old servers to skip it).
const SANDBOX: [&[u8]; 2] = [b"/*!999999", b"/*M!999999"];

/// Remarks by which a script tells that it is one of a dump tool, which ends with [`END`].
const BEGIN: [&[u8]; 2] = [b" MySQL dump ", b" MariaDB dump "];

/// The last remark of a dump.
const END: &[u8] = b" Dump completed";

/// A statement without its delimiter, and the line it begins on, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statement {
    pub(super) sql: Vec<u8>,
    pub(super) line: u64,
}

/// Holds one statement.
#[derive(Debug)]
pub(super) struct Splitter {
    piece: Bytes,
    at: usize,
    line: u64,
    mode: Mode,
    /// The statement so far, and the line that it began on.
    statement: Vec<u8>,
    began: u64,
    /// Bytes at the end of the statement that are neither quoted nor of a comment.
    plain: usize,
    delimiter: Vec<u8>,
    modes: Modes,
    /// Dumps that were begun and not completed, by their remarks.
    open: u32,
    /// Whether it begins as dumps do, and nothing else.
    of_tool: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Mode {
    Plain,
    /// `-- …` or `# …`, as far as it may be one of the remarks. Within a statement it is kept: it may be of a routine's body.
    LineComment {
        text: Vec<u8>,
        kept: bool,
    },
    /// `/*` and perhaps `M`, after which a `!` makes it no comment.
    Opening {
        m: bool,
    },
    BlockComment {
        star: bool,
        kept: bool,
    },
    /// The comment that turns the client's commands off.
    Sandbox {
        star: bool,
    },
    /// After an opening quote; the next byte counts for nothing after a backslash or a lead byte.
    Quoted {
        quote: u8,
        escapes: bool,
        skip: bool,
    },
    /// `DELIMITER …`, up to the end of its line.
    Delimiter(Vec<u8>),
}

impl Default for Splitter {
    fn default() -> Self {
        Self {
            piece: Bytes::new(),
            at: 0,
            line: 1,
            mode: Mode::Plain,
            statement: Vec::new(),
            began: 1,
            plain: 0,
            delimiter: b";".to_vec(),
            modes: Modes::default(),
            open: 0,
            of_tool: false,
        }
    }
}

impl Split for Splitter {
    type Event = Statement;

    fn feed(&mut self, piece: Bytes) {
        debug_assert_eq!(self.at, self.piece.len());
        (self.piece, self.at) = (piece, 0);
    }

    fn next(&mut self) -> Result<Option<Statement>> {
        loop {
            self.pass_quoted();
            let Some(&byte) = self.piece.get(self.at) else { return Ok(None) };
            self.at += 1;
            let statement = self.step(byte)?;
            if byte == b'\n' {
                self.line += 1;
            }
            if statement.is_some() {
                return Ok(statement);
            }
        }
    }

    fn finish(&mut self) -> Result<Option<Statement>> {
        let ended = match &self.mode {
            // What a line's end ends, the script's end ends as well.
            Mode::LineComment { .. } | Mode::Delimiter(_) => self.step(b'\n')?,
            Mode::Plain if !self.statement.is_empty() => self.step(b'\n')?,
            _ => None,
        };
        if ended.is_some() {
            return Ok(ended);
        }
        if self.mode != Mode::Plain || !self.statement.is_empty() {
            return Err(cut_off(self.line, &format!("the statement of line {} has no end", self.began)));
        }
        if self.open > 0 {
            return Err(cut_off(self.line, "its last line, `-- Dump completed`, is missing"));
        }
        Ok(None)
    }

    fn check(statement: &Statement) -> Result<()> {
        match kind(&statement.sql) {
            Kind::Refused(why) => Err(refused(statement.line, why)),
            _ => Ok(()),
        }
    }
}

impl Splitter {
    /// Whether a dump tool wrote the script, as far as that was seen.
    pub(super) fn is_of_tool(&self) -> bool {
        self.of_tool
    }

    /// Takes at once what lies between quotes and is neither quote nor escape: most of a dump.
    fn pass_quoted(&mut self) {
        let Mode::Quoted { quote, escapes, skip: false } = self.mode else { return };
        let rest = &self.piece[self.at..];
        let lead = self.modes.has_lead_bytes();
        let telling = |byte: u8| byte == quote || (escapes && byte == b'\\') || (lead && byte >= 0x80);
        let end = rest.iter().position(|byte| telling(*byte)).unwrap_or(rest.len());
        // Its length is looked at with the next byte that tells.
        self.line += rest[..end].iter().map(|byte| u64::from(*byte == b'\n')).sum::<u64>();
        self.statement.extend_from_slice(&rest[..end]);
        self.at += end;
    }

    fn step(&mut self, byte: u8) -> Result<Option<Statement>> {
        match &mut self.mode {
            Mode::Plain => return self.plain(byte),
            Mode::LineComment { text, kept } => {
                if *kept {
                    self.statement.push(byte);
                } else if text.len() < 64 && byte != b'\n' {
                    text.push(byte);
                }
                if byte == b'\n' {
                    let text = std::mem::take(text);
                    self.remark(&text);
                    self.end_mode();
                }
            }
            Mode::Opening { m } => match byte {
                b'!' => {
                    self.statement.push(byte);
                    self.end_mode();
                }
                b'M' if !*m => {
                    self.statement.push(byte);
                    *m = true;
                }
                _ => {
                    let begin = self.statement.len() - if *m { 3 } else { 2 };
                    let kept = !self.statement[..begin].is_empty();
                    if !kept {
                        self.statement.clear();
                    }
                    self.mode = Mode::BlockComment { star: false, kept };
                    return self.step(byte);
                }
            },
            Mode::BlockComment { star, kept } => {
                if *kept {
                    self.statement.push(byte);
                }
                let ended = *star && byte == b'/';
                *star = byte == b'*';
                if ended {
                    self.end_mode();
                }
            }
            Mode::Sandbox { star } => {
                let ended = *star && byte == b'/';
                *star = byte == b'*';
                if ended {
                    self.end_mode();
                }
            }
            Mode::Quoted { quote, escapes, skip } => {
                self.statement.push(byte);
                if *skip {
                    *skip = false;
                } else if byte == *quote {
                    // A doubled quote is the end of one text and the beginning of another one.
                    self.end_mode();
                } else {
                    *skip = (*escapes && byte == b'\\') || self.modes.is_lead(byte);
                }
            }
            Mode::Delimiter(text) => {
                if byte != b'\n' {
                    text.push(byte);
                    if text.len() > MAX_DELIMITER {
                        return Err(refused(self.line, "DELIMITER names something too long"));
                    }
                    return Ok(None);
                }
                let text = String::from_utf8_lossy(text).into_owned();
                let delimiter = text.split_ascii_whitespace().next().unwrap_or_default();
                if delimiter.is_empty() || delimiter.contains(['\\', '\'', '"', '`']) {
                    return Err(refused(self.line, "DELIMITER names nothing that could be one"));
                }
                self.delimiter = delimiter.as_bytes().to_vec();
                self.end_mode();
            }
        }
        check_length(&self.statement, self.began)?;
        Ok(None)
    }

    fn plain(&mut self, byte: u8) -> Result<Option<Statement>> {
        if self.statement.is_empty() {
            if byte.is_ascii_whitespace() {
                return Ok(None);
            }
            self.began = self.line;
        }
        let before = self.statement.len();
        let after_dashes = self.plain >= 2 && self.statement.ends_with(b"--");
        // Of a line of its own, any remark; within a statement two dashes may be those of `1--1`.
        if after_dashes && (before == 2 || byte.is_ascii_whitespace() || byte.is_ascii_control()) {
            return self.line_comment(2, byte);
        }
        if byte.is_ascii_whitespace() {
            if before == 9 && self.statement.eq_ignore_ascii_case(b"delimiter") {
                self.statement.clear();
                self.mode = Mode::Delimiter(Vec::new());
                return self.step(byte);
            }
            // The one command of the client that dumps hold, and it needs no delimiter.
            if byte == b'\n' && before < 400 && is_use(&self.statement) {
                return Ok(self.end_statement());
            }
        }
        self.statement.push(byte);
        self.plain += 1;
        if self.plain >= self.delimiter.len() && self.statement.ends_with(&self.delimiter) {
            self.statement.truncate(self.statement.len() - self.delimiter.len());
            return Ok(self.end_statement());
        }
        match byte {
            b'\'' | b'"' | b'`' => {
                let escapes = byte != b'`' && self.modes.backslashes_escape(byte);
                self.mode = Mode::Quoted { quote: byte, escapes, skip: false };
            }
            b'#' => {
                self.statement.pop();
                return self.line_comment(0, b' ');
            }
            b'*' if self.plain >= 2 && self.statement.ends_with(b"/*") => self.mode = Mode::Opening { m: false },
            b'\\' if SANDBOX.iter().any(|sandbox| self.statement[..before].ends_with(sandbox)) => {
                let begin = self.statement.windows(2).rposition(|two| two == b"/*").unwrap_or(0);
                self.statement.truncate(begin);
                self.of_tool = true;
                self.mode = Mode::Sandbox { star: false };
            }
            b'\\' => {
                return Err(refused(self.line, "it holds a command for the client (a backslash outside of quotes)"));
            }
            0 => return Err(refused(self.line, "it holds a zero byte outside of quotes")),
            _ => {}
        }
        check_length(&self.statement, self.began)?;
        Ok(None)
    }

    /// A comment up to the end of the line begins, whose first bytes stand at the end of the statement.
    fn line_comment(&mut self, opening: usize, byte: u8) -> Result<Option<Statement>> {
        let begin = self.statement.len() - opening;
        let kept = !self.statement[..begin].is_empty();
        if kept && opening == 0 {
            self.statement.push(b'#');
        }
        if !kept {
            self.statement.clear();
        }
        self.mode = Mode::LineComment { text: Vec::new(), kept };
        if opening == 0 { Ok(None) } else { self.step(byte) }
    }

    fn end_mode(&mut self) {
        (self.mode, self.plain) = (Mode::Plain, 0);
    }

    fn end_statement(&mut self) -> Option<Statement> {
        let mut sql = std::mem::take(&mut self.statement);
        self.plain = 0;
        sql.truncate(sql.trim_ascii_end().len());
        if sql.is_empty() {
            return None;
        }
        self.modes.follow(&sql);
        Some(Statement { sql, line: self.began })
    }

    /// Remarks of the dump tools that tell where a dump begins and ends.
    fn remark(&mut self, text: &[u8]) {
        if BEGIN.iter().any(|begin| text.starts_with(begin)) {
            self.open += 1;
            self.of_tool = true;
        } else if text.starts_with(END) {
            self.open = self.open.saturating_sub(1);
        }
    }
}

/// Whether a statement is `USE name` so far.
fn is_use(statement: &[u8]) -> bool {
    statement.len() > 4 && statement[..3].eq_ignore_ascii_case(b"use") && statement[3].is_ascii_whitespace()
}
