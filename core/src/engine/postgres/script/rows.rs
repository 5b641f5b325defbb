//! Rows of COPY in a script, up to the line `\.`.

use bytes::Bytes;
use memchr::memchr;

use super::split::Event;

/// Passes rows on in pieces as large as they come. A line that begins as `\.` does waits until it is known to be
/// something else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rows {
    waiting: Vec<u8>,
    line_start: bool,
}

impl Default for Rows {
    fn default() -> Self {
        Self { waiting: Vec::new(), line_start: true }
    }
}

impl Rows {
    /// The next rows of a piece from `at` on, or their end; none at the end of the piece. Lines are counted.
    pub(super) fn next(&mut self, piece: &Bytes, at: &mut usize, line: &mut u64) -> Option<Event> {
        if *at == piece.len() {
            return None;
        }
        if !self.line_start && self.waiting.is_empty() {
            return Some(self.lines(piece, at, line));
        }
        let start = *at;
        // Byte by byte as long as this may be the mark.
        while let Some(&byte) = piece.get(*at) {
            self.waiting.push(byte);
            *at += 1;
            match self.waiting.as_slice() {
                b"\\.\n" | b"\\.\r\n" => {
                    *line += 1;
                    return Some(Event::EndOfRows);
                }
                b"\\" | b"\\." | b"\\.\r" => {}
                _ => {
                    let held = std::mem::take(&mut self.waiting);
                    if *at - start == held.len() {
                        // All of it lies in this piece.
                        *at = start;
                        self.line_start = false;
                        return Some(self.lines(piece, at, line));
                    }
                    self.line_start = byte == b'\n';
                    *line += u64::from(self.line_start);
                    return Some(Event::Rows(held.into()));
                }
            }
        }
        self.line_start = false;
        None
    }

    /// The lines from here to the next one that begins with a backslash.
    fn lines(&mut self, piece: &Bytes, at: &mut usize, line: &mut u64) -> Event {
        let start = *at;
        let mut end = start;
        while end < piece.len() && !(self.line_start && piece[end] == b'\\') {
            let length = memchr(b'\n', &piece[end..]);
            self.line_start = length.is_some();
            *line += u64::from(self.line_start);
            end = length.map_or(piece.len(), |length| end + length + 1);
        }
        *at = end;
        Event::Rows(piece.slice(start..end))
    }
}
