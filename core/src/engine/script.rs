//! What SQL scripts of all dialects share: they are read by ourselves, statement by statement, never by a client.

use std::collections::BTreeMap;
use std::io::BufRead;

use bytes::Bytes;
use futures::StreamExt as _;

use super::stock::FileReader;
use super::{ByteStream, StoredFile};
use crate::error::{Code, Error, Result};
use crate::report::Warning;

/// The one data file of a dump that is a script.
pub(crate) const SCRIPT: &str = "script.sql";

/// INSERT statements are sent together until they have this size.
pub(crate) const BATCH: usize = 256 << 10;

/// Bytes that are handed on at once.
const PIECE: usize = 128 << 10;

/// A statement of more bytes than this is refused; no server takes one of more than 1 GiB.
const MAX_STATEMENT: usize = 1 << 30;

/// Splits a script as its stock client does. Takes its bytes in pieces that end anywhere.
pub(crate) trait Split: Default + Send {
    /// What a script consists of.
    type Event;

    /// Gives it more bytes, once [`Self::next`] has none left.
    fn feed(&mut self, piece: Bytes);

    /// The next event; none when more bytes are needed.
    ///
    /// # Errors
    /// `UnsupportedScript`, `UnsupportedDatabase` for text in an encoding that is not read, `Damaged`.
    fn next(&mut self) -> Result<Option<Self::Event>>;

    /// Checks that the script may end here, and gives a last event that its end completes.
    ///
    /// # Errors
    /// `Damaged` when it is cut off.
    fn finish(&mut self) -> Result<Option<Self::Event>>;

    /// Checks that an event is none that is refused wherever the script is restored.
    ///
    /// # Errors
    /// `UnsupportedScript`.
    fn check(event: &Self::Event) -> Result<()>;
}

/// Checks that a statement so far, which began on this line, is none that no server takes.
///
/// # Errors
/// `UnsupportedScript`.
pub(crate) fn check_length(statement: &[u8], began: u64) -> Result<()> {
    if statement.len() <= MAX_STATEMENT { Ok(()) } else { Err(refused(began, "a statement is longer than 1 GiB")) }
}

/// The error for what is not run.
pub(crate) fn refused(line: u64, what: &str) -> Error {
    Error::new(Code::UnsupportedScript, format!("line {line}: {what}"))
        .next("restore a script as its dump tool wrote it, or restore it with the client that it was written for")
}

/// The error for a script that ends where it may not.
pub(crate) fn cut_off(line: u64, why: &str) -> Error {
    Error::new(Code::Damaged, format!("the script is cut off at line {line}: {why}"))
        .next("use another copy of it, or another backup")
}

/// Whether a dump is a script: it then has no other file.
pub(crate) fn is_all(schema: usize, data: &[StoredFile]) -> bool {
    schema == 0 && matches!(data, [only] if only.name == SCRIPT)
}

/// A script as the one data file of a dump. It is checked to be whole, and to hold nothing that is refused, as it passes.
pub(crate) struct ScriptFile<S> {
    input: Box<dyn BufRead + Send>,
    splitter: S,
    state: State,
}

#[derive(PartialEq, Eq)]
enum State {
    Before,
    Open,
    Done,
}

impl<S: Split> ScriptFile<S> {
    pub(crate) fn new(input: Box<dyn BufRead + Send>) -> Self {
        Self { input, splitter: S::default(), state: State::Before }
    }
}

impl<S: Split> FileReader for ScriptFile<S> {
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
            self.splitter.finish()?.as_ref().map_or(Ok(()), S::check)?;
            self.state = State::Done;
        } else {
            self.splitter.feed(piece.clone());
            while let Some(event) = self.splitter.next()? {
                S::check(&event)?;
            }
        }
        Ok(piece)
    }
}

/// The events of a script that arrives in pieces.
pub(crate) struct Events<'a, S> {
    pub(crate) splitter: S,
    data: ByteStream<'a>,
    ended: bool,
}

impl<'a, S: Split> Events<'a, S> {
    pub(crate) fn of(data: ByteStream<'a>) -> Self {
        Self { splitter: S::default(), data, ended: false }
    }

    /// The next event; none at the end.
    ///
    /// # Errors
    /// Those of [`Split`], and what reading the script says.
    pub(crate) async fn next(&mut self) -> Result<Option<S::Event>> {
        loop {
            if let Some(event) = self.splitter.next()? {
                return Ok(Some(event));
            }
            if self.ended {
                return Ok(None);
            }
            match self.data.next().await.transpose()? {
                Some(piece) => self.splitter.feed(piece),
                None => {
                    self.ended = true;
                    return self.splitter.finish();
                }
            }
        }
    }
}

/// Follows a script that may hold several databases. One is restored: the one that was asked for, or else the only one.
#[derive(Debug, Default)]
pub(crate) struct Databases {
    wanted: Option<String>,
    /// Whether one was named at all.
    named: bool,
    /// The one whose content was run.
    chosen: Option<String>,
}

impl Databases {
    pub(crate) fn new(wanted: Option<String>) -> Self {
        Self { wanted, ..Self::default() }
    }

    /// The content of this database follows, which may be one that every server has. Says whether it is to be run.
    ///
    /// # Errors
    /// `InvalidOption` when it is not clear which database is meant.
    pub(crate) fn enter(&mut self, name: String, line: u64, every_server_has_it: bool) -> Result<bool> {
        self.named = true;
        if !self.wanted.as_ref().map_or(!every_server_has_it, |wanted| *wanted == name) {
            return Ok(false);
        }
        if let Some(first) = self.chosen.as_ref().filter(|first| **first != name) {
            let message = format!("line {line}: the script holds the databases {first} and {name}, and maybe more");
            return Err(
                Error::new(Code::InvalidOption, message).next("say which one is to be restored (from_database)")
            );
        }
        self.chosen = Some(name);
        Ok(true)
    }

    /// Checks that there was something to run. A script may name no database at all, unless it must.
    ///
    /// # Errors
    /// `DatabaseNotFound`.
    pub(crate) fn finish(&self, must_name: bool) -> Result<()> {
        if !(self.named || must_name) || self.chosen.is_some() {
            return Ok(());
        }
        let what = match &self.wanted {
            Some(name) => format!("the script holds no database {name}"),
            None => "the script holds no database but those that every server has".to_owned(),
        };
        Err(Error::new(Code::DatabaseNotFound, what).next("say which one is to be restored (from_database)"))
    }
}

/// Statements that were left out: by the warning's code how often, and why the first one.
#[derive(Debug, Default)]
pub(crate) struct LeftOut(BTreeMap<&'static str, (u64, String)>);

impl LeftOut {
    pub(crate) fn add(&mut self, code: &'static str, why: String) {
        self.0.entry(code).or_insert((0, why)).0 += 1;
    }

    /// A warning for each code.
    pub(crate) fn warnings(self) -> Vec<Warning> {
        let message = |count, why| match count {
            1 => format!("a statement was left out: {why}"),
            _ => format!("{count} statements were left out, the first one: {why}"),
        };
        self.0.into_iter().map(|(code, (count, why))| Warning::new(code, message(count, why))).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn enter(databases: &mut Databases, name: &str) -> Result<bool> {
        databases.enter(name.to_owned(), 1, name == "common")
    }

    #[test]
    fn one_database_is_found_by_itself_and_several_must_be_chosen_from() {
        let mut any = Databases::new(None);
        any.finish(false).unwrap();
        assert_eq!(any.finish(true).unwrap_err().code(), Code::DatabaseNotFound);
        assert!(!enter(&mut any, "common").unwrap());
        assert_eq!(any.finish(false).unwrap_err().code(), Code::DatabaseNotFound);
        assert!(enter(&mut any, "shop").unwrap());
        assert!(enter(&mut any, "shop").unwrap());
        assert_eq!(enter(&mut any, "crm").unwrap_err().code(), Code::InvalidOption);

        let mut crm = Databases::new(Some("crm".into()));
        assert!(!enter(&mut crm, "shop").unwrap());
        assert_eq!(crm.finish(false).unwrap_err().code(), Code::DatabaseNotFound);
        assert!(enter(&mut crm, "crm").unwrap());
        crm.finish(false).unwrap();
    }
}
