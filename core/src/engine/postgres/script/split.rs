//! Splits a script as psql does: statements, rows of COPY, and commands for psql itself.

use bytes::Bytes;

use crate::engine::script::{Split, check_length, cut_off, refused};
use crate::error::{Code, Error, Result};

use super::command;
use super::rows::Rows;
use super::words::copies_from_stdin;

/// A command for psql is not longer than this.
const MAX_COMMAND: usize = 64 << 10;

/// What a script consists of. Lines count from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// A statement without its semicolon and without comments.
    Statement { sql: String, line: u64 },
    /// `COPY … FROM stdin`; rows follow, then their end.
    Copy { sql: String, line: u64 },
    /// Whole or partial lines of rows.
    Rows(Bytes),
    /// `\.`
    EndOfRows,
    /// A line for psql, with its backslash.
    Command { text: String, line: u64 },
    /// A dump of a whole cluster begins.
    Cluster,
}

/// Holds one statement, or a piece of rows.
#[derive(Debug)]
pub(super) struct Splitter {
    piece: Bytes,
    at: usize,
    line: u64,
    mode: Mode,
    /// The statement so far, and the line that it began on.
    statement: Vec<u8>,
    began: u64,
    /// The name or keyword that is being read.
    word: Vec<u8>,
    /// Initials of the first words, lower-case, and how many words there were.
    initials: [u8; 4],
    words: usize,
    parentheses: u32,
    /// Depth of `BEGIN ATOMIC` and `CASE` in a function's body.
    body: u32,
    previous: u8,
    backslashes_escape: bool,
    /// Dumps that were begun and not completed, by the remarks that pg_dump and pg_dumpall write.
    open: Vec<&'static str>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Mode {
    Plain,
    /// `-- …`, as far as it may be one of the remarks.
    LineComment(Vec<u8>),
    BlockComment {
        depth: u32,
        previous: u8,
    },
    Quoted {
        escapes: bool,
        escaped: bool,
    },
    Identifier,
    /// `$tag`, before its second dollar.
    Tag(Vec<u8>),
    /// `$tag$ … $tag$`: the tag with both dollars, and how many of its bytes were just seen.
    Dollar {
        tag: Vec<u8>,
        seen: usize,
    },
    Command(Vec<u8>),
    /// Behind `COPY … FROM stdin;`, up to the end of that line.
    BeforeRows,
    /// In rows, up to their end.
    Rows(Rows),
}

/// Remarks by which a script tells that it is whole.
const REMARKS: [(&str, &str); 2] = [
    (" PostgreSQL database dump", " PostgreSQL database dump complete"),
    (" PostgreSQL database cluster dump", " PostgreSQL database cluster dump complete"),
];

impl Default for Splitter {
    fn default() -> Self {
        Self {
            piece: Bytes::new(),
            at: 0,
            line: 1,
            mode: Mode::Plain,
            statement: Vec::new(),
            began: 1,
            word: Vec::new(),
            initials: [0; 4],
            words: 0,
            parentheses: 0,
            body: 0,
            previous: 0,
            backslashes_escape: false,
            open: Vec::new(),
        }
    }
}

impl Split for Splitter {
    type Event = Event;

    fn feed(&mut self, piece: Bytes) {
        debug_assert_eq!(self.at, self.piece.len());
        (self.piece, self.at) = (piece, 0);
    }

    fn next(&mut self) -> Result<Option<Event>> {
        loop {
            if let Mode::Rows(rows) = &mut self.mode {
                let event = rows.next(&self.piece, &mut self.at, &mut self.line);
                if event == Some(Event::EndOfRows) {
                    self.mode = Mode::Plain;
                }
                return Ok(event);
            }
            let Some(&byte) = self.piece.get(self.at) else { return Ok(None) };
            self.at += 1;
            let event = self.step(byte)?;
            if byte == b'\n' {
                self.line += 1;
            }
            if event.is_some() {
                return Ok(event);
            }
        }
    }

    fn finish(&mut self) -> Result<Option<Event>> {
        let event = match self.mode {
            Mode::LineComment(_) | Mode::Command(_) => self.step(b'\n')?,
            _ => None,
        };
        if event.is_some() {
            return Ok(event);
        }
        match (&self.mode, self.open.last()) {
            (Mode::Plain, None) if self.parentheses == 0 && self.body == 0 => self.end_statement(),
            (Mode::Plain, Some(remark)) => {
                Err(cut_off(self.line, &format!("its last line `--{remark} complete` is missing")))
            }
            (Mode::Rows(_) | Mode::BeforeRows, _) => Err(cut_off(self.line, "rows of COPY have no end")),
            _ => Err(cut_off(self.line, &format!("the statement of line {} has no end", self.began))),
        }
    }

    fn check(event: &Event) -> Result<()> {
        match event {
            Event::Command { text, line } => command::parse(text, *line).map(drop),
            _ => Ok(()),
        }
    }
}

impl Splitter {
    /// The line that is being read.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    fn step(&mut self, byte: u8) -> Result<Option<Event>> {
        match &mut self.mode {
            Mode::Plain => return self.plain(byte),
            Mode::LineComment(text) => {
                if byte == b'\n' {
                    let text = std::mem::take(text);
                    self.leave(byte);
                    return Ok(self.remark(&text));
                }
                if text.len() < 64 {
                    text.push(byte);
                }
            }
            Mode::BlockComment { depth, previous } => {
                match (*previous, byte) {
                    (b'*', b'/') => (*depth, *previous) = (*depth - 1, 0),
                    (b'/', b'*') => (*depth, *previous) = (*depth + 1, 0),
                    _ => *previous = byte,
                }
                if *depth == 0 {
                    self.leave(b' ');
                }
            }
            Mode::Quoted { escapes, escaped } => {
                self.statement.push(byte);
                match byte {
                    _ if *escaped => *escaped = false,
                    b'\\' if *escapes => *escaped = true,
                    // A doubled quote is the end of one text and the beginning of another one, with the same rule.
                    b'\'' => {
                        let escapes = *escapes;
                        self.leave_quoted(escapes);
                    }
                    _ => {}
                }
            }
            Mode::Identifier => {
                self.statement.push(byte);
                if byte == b'"' {
                    (self.mode, self.previous) = (Mode::Plain, 0);
                }
            }
            Mode::Tag(tag) => match byte {
                b'$' => {
                    tag.push(byte);
                    let tag = std::mem::take(tag);
                    self.statement.extend_from_slice(&tag);
                    self.mode = Mode::Dollar { tag, seen: 0 };
                }
                _ if is_word(byte) && !(tag.len() == 1 && byte.is_ascii_digit()) => tag.push(byte),
                // A parameter, or a dollar on its own.
                _ => {
                    let tag = std::mem::take(tag);
                    self.statement.extend_from_slice(&tag);
                    (self.mode, self.previous) = (Mode::Plain, 0);
                    return self.plain(byte);
                }
            },
            Mode::Dollar { tag, seen } => {
                self.statement.push(byte);
                *seen = match () {
                    () if tag.get(*seen) == Some(&byte) => *seen + 1,
                    // Tags hold no dollar but at their ends, so a new beginning is all that can be left of a match.
                    () => usize::from(byte == b'$'),
                };
                if *seen == tag.len() {
                    (self.mode, self.previous) = (Mode::Plain, 0);
                }
            }
            Mode::Command(text) => {
                if byte == b'\n' {
                    let text = String::from_utf8_lossy(text).trim_end().to_owned();
                    let line = self.line;
                    self.leave(byte);
                    return Ok(Some(Event::Command { text, line }));
                }
                if text.len() >= MAX_COMMAND {
                    return Err(refused(self.line, "a line for psql is too long"));
                }
                text.push(byte);
            }
            Mode::BeforeRows => match byte {
                b'\n' => self.mode = Mode::Rows(Rows::default()),
                _ if byte.is_ascii_whitespace() => {}
                _ => return Err(refused(self.line, "something follows COPY … FROM stdin on its line")),
            },
            Mode::Rows(_) => {}
        }
        check_length(&self.statement, self.began)?;
        Ok(None)
    }

    fn plain(&mut self, byte: u8) -> Result<Option<Event>> {
        if is_word(byte) && !(byte == b'$' && self.word.is_empty()) {
            if self.blank() {
                self.began = self.line;
            }
            self.word.push(byte.to_ascii_lowercase());
            self.statement.push(byte);
            self.previous = byte;
            check_length(&self.statement, self.began)?;
            return Ok(None);
        }
        let escape_string = self.word == b"e";
        self.end_word();
        let previous = std::mem::replace(&mut self.previous, byte);
        match byte {
            b'-' if previous == b'-' => {
                self.statement.pop();
                self.mode = Mode::LineComment(Vec::new());
                return Ok(None);
            }
            b'*' if previous == b'/' => {
                self.statement.pop();
                self.mode = Mode::BlockComment { depth: 1, previous: 0 };
                return Ok(None);
            }
            b'\'' => {
                // Directly behind a text: a doubled quote.
                let escapes = match previous {
                    QUOTE_WITH_ESCAPES => true,
                    QUOTE => false,
                    _ => escape_string || self.backslashes_escape,
                };
                self.mode = Mode::Quoted { escapes, escaped: false };
            }
            b'"' => self.mode = Mode::Identifier,
            b'$' => {
                self.mode = Mode::Tag(vec![b'$']);
                return Ok(None);
            }
            b'(' | b'[' => self.parentheses += 1,
            b')' | b']' => self.parentheses = self.parentheses.saturating_sub(1),
            b';' if self.parentheses == 0 && self.body == 0 => return self.end_statement(),
            b'\\' if self.blank() => {
                self.mode = Mode::Command(vec![byte]);
                return Ok(None);
            }
            b'\\' => return Err(refused(self.line, "a command for psql stands within a statement")),
            _ if byte.is_ascii_whitespace() && self.statement.is_empty() => return Ok(None),
            0 => return Err(refused(self.line, "it holds a zero byte")),
            _ => {}
        }
        if self.blank() && !byte.is_ascii_whitespace() {
            self.began = self.line;
        }
        self.statement.push(byte);
        check_length(&self.statement, self.began)?;
        Ok(None)
    }

    /// Whether the statement has not begun.
    fn blank(&self) -> bool {
        // What stands there at most is the first byte of a comment.
        self.statement.iter().all(u8::is_ascii_whitespace)
    }

    fn leave(&mut self, byte: u8) {
        (self.mode, self.previous) = (Mode::Plain, 0);
        if !self.statement.is_empty() {
            self.statement.push(byte);
        }
    }

    fn leave_quoted(&mut self, escapes: bool) {
        (self.mode, self.previous) = (Mode::Plain, if escapes { QUOTE_WITH_ESCAPES } else { QUOTE });
    }

    fn end_word(&mut self) {
        if self.word.is_empty() {
            return;
        }
        if self.words < self.initials.len() {
            let telling = matches!(self.word.as_slice(), b"create" | b"or" | b"replace" | b"function" | b"procedure");
            self.initials[self.words] = if telling { self.word[0] } else { b'-' };
        }
        self.words += 1;
        let routine = matches!(self.initials, [b'c', b'f' | b'p', ..] | [b'c', b'o', b'r', b'f' | b'p']);
        if routine && self.parentheses == 0 {
            match self.word.as_slice() {
                b"begin" => self.body += 1,
                b"case" if self.body > 0 => self.body += 1,
                b"end" => self.body = self.body.saturating_sub(1),
                _ => {}
            }
        }
        self.word.clear();
    }

    fn end_statement(&mut self) -> Result<Option<Event>> {
        self.end_word();
        let bytes = std::mem::take(&mut self.statement);
        (self.words, self.initials, self.parentheses, self.body, self.previous) = (0, [0; 4], 0, 0, 0);
        let line = self.began;
        let sql = String::from_utf8(bytes).map_err(|_| {
            Error::new(Code::UnsupportedDatabase, format!("line {line}: the script is not in UTF-8"))
                .next("dump again with --encoding=UTF8")
        })?;
        let sql = sql.trim_end();
        if sql.is_empty() {
            return Ok(None);
        }
        if let Some(value) = sql.strip_prefix("SET standard_conforming_strings = ") {
            self.backslashes_escape = value == "off";
        }
        if copies_from_stdin(sql) {
            self.mode = Mode::BeforeRows;
            return Ok(Some(Event::Copy { sql: sql.to_owned(), line }));
        }
        Ok(Some(Event::Statement { sql: sql.to_owned(), line }))
    }

    /// Remarks of pg_dump and pg_dumpall that tell where a dump begins and ends.
    fn remark(&mut self, text: &[u8]) -> Option<Event> {
        if !self.blank() {
            return None;
        }
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        for (begin, end) in REMARKS {
            if text == begin.as_bytes() {
                self.open.push(begin);
                return (begin == REMARKS[1].0).then_some(Event::Cluster);
            }
            if text == end.as_bytes() && self.open.last() == Some(&begin) {
                self.open.pop();
            }
        }
        None
    }
}

/// In place of a previous byte: the end of a text.
const QUOTE: u8 = 0x01;
const QUOTE_WITH_ESCAPES: u8 = 0x02;

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || byte >= 0x80
}
