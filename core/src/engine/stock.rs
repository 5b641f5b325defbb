//! Dumps that stock tools made, as the files of the engine's own dump directory.
//!
//! Whatever such a dump looks like, it is read as the files that a backup of ours would hold: schema files first, then
//! data files one after the other. So it goes through the same [`Target`](super::Target) as any backup.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Cursor, Read};

use bytes::Bytes;
use jiff::civil::DateTime;

use super::StoredFile;
pub(crate) use super::ending::{Ending, Watched};
use crate::error::{Code, Error, Result};
use crate::id::EngineKind;

/// The first bytes, by which kinds of files are told apart.
pub(crate) const HEAD: usize = 4 << 10;

/// A dump that is read from its beginning to its end.
pub(crate) struct StockDump {
    /// The engine that it is of.
    pub(crate) engine: EngineKind,
    /// What it tells of itself.
    pub(crate) about: About,
    /// Files that a target takes whole, before any data.
    pub(crate) schema: Vec<(String, Bytes)>,
    /// The data files that will come, in whatever order.
    pub(crate) data: Vec<StoredFile>,
    /// How some of them must end.
    pub(crate) ends: HashMap<String, Ending>,
    /// The data.
    pub(crate) files: Box<dyn FileReader>,
}

/// What a dump tells of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct About {
    /// `custom`, `directory`, `tar`, `sql` or `archive`.
    pub(crate) format: &'static str,
    /// When it was made, by the clock of the machine that made it.
    pub(crate) created: Option<DateTime>,
}

/// Data files, one after the other.
pub(crate) trait FileReader: Send {
    /// Goes on to the next file and tells its name; none when all were read and the dump ended as it should.
    fn next_file(&mut self) -> Result<Option<String>>;

    /// The next raw bytes of the file; none at its end.
    fn read(&mut self) -> Result<Bytes>;
}

/// Which file of a folder is what.
pub(crate) struct StockFolder {
    /// The engine that it is of.
    pub(crate) engine: EngineKind,
    /// What it tells of itself.
    pub(crate) about: About,
    /// Files that a target takes whole, before any data.
    pub(crate) schema: Vec<(String, Bytes)>,
    /// The data files: how a target knows them, and what they are called in the folder.
    pub(crate) data: Vec<(StoredFile, String)>,
    /// How some of them must end.
    pub(crate) ends: HashMap<String, Ending>,
}

/// A dump directory as one file.
pub(crate) struct OneFile {
    /// What stands before everything else.
    pub(crate) head: Vec<u8>,
    /// What follows, in this order.
    pub(crate) pieces: Vec<Piece>,
    /// What stands before each chunk of a file's bytes, by the chunk's length.
    pub(crate) chunk: fn(usize) -> Result<Vec<u8>>,
}

/// A piece of such a file.
#[cfg_attr(
    not(all(any(feature = "postgres", feature = "mysql"), feature = "mongodb")),
    allow(dead_code, reason = "each engine has its own")
)]
pub(crate) enum Piece {
    /// These bytes.
    Bytes(Vec<u8>),
    /// The bytes of a file of the directory, in chunks.
    File(String),
    /// The same, and their CRC-64/XZ is kept for what follows.
    Summed(String),
    /// What is made of that checksum.
    End(Box<dyn FnOnce(u64) -> Vec<u8> + Send>),
}

/// How an engine's dump directory of these schema files and these data files becomes the one file that old runbooks know.
///
/// # Errors
/// `UnsupportedDatabase` for an engine that has no such file; `Damaged`.
pub(crate) fn one_file(engine: EngineKind, schema: &[(String, Bytes)], data: &[&str]) -> Result<OneFile> {
    #[cfg(feature = "postgres")]
    if engine == EngineKind::Postgres {
        return super::postgres::one_file(schema);
    }
    #[cfg(feature = "mysql")]
    if engine == EngineKind::Mysql {
        return super::mysql::one_file(schema);
    }
    #[cfg(feature = "mongodb")]
    if engine == EngineKind::Mongodb {
        return super::mongodb::one_file(schema, data);
    }
    let _ = (schema, data);
    Err(Error::new(Code::UnsupportedDatabase, format!("there are no classic artifacts of {engine}"))
        .next("export it as a directory"))
}

/// Opens a dump by what it begins with. A script that tells nothing of whose it is, is of the engine it is wanted for.
///
/// # Errors
/// `UnsupportedDatabase` when it is none that is known; `Damaged`.
#[cfg_attr(not(feature = "mysql"), allow(unused_variables))]
pub(crate) fn open(input: Box<dyn Read + Send>, wanted: Option<EngineKind>) -> Result<StockDump> {
    let (head, input) = peek(input)?;
    #[cfg(feature = "mongodb")]
    if super::mongodb::is_stock_dump(&head) {
        return super::mongodb::open_stock_dump(input);
    }
    #[cfg(feature = "mysql")]
    {
        use super::mysql;
        let wanted = wanted == Some(EngineKind::Mysql) && mysql::may_be_stock_dump(&head);
        if mysql::is_stock_dump(&head) || (wanted && !head.starts_with(b"--\n-- PostgreSQL")) {
            return Ok(mysql::open_stock_dump(input));
        }
    }
    #[cfg(feature = "postgres")]
    if let Some(result) = super::postgres::open_stock_dump(&head, input) {
        return result;
    }
    #[cfg(not(feature = "postgres"))]
    drop((head, input));
    Err(Error::new(Code::UnsupportedDatabase, "its content is no dump that is known here").next(
        "give a dump of pg_dump, pg_dumpall, mysqldump or mariadb-dump, or an archive of mongodump, as it is or compressed by gzip, zstd or lz4",
    ))
}

/// Which files of a folder have to be read whole before it can be opened, by the names of all of them. None: it holds no
/// dump.
pub(crate) fn folder_heads(names: &[String]) -> Option<Vec<String>> {
    if names.iter().any(|name| name == TOC) {
        return Some(vec![TOC.to_owned()]);
    }
    #[cfg(feature = "mongodb")]
    return super::mongodb::stock_folder_heads(names);
    #[cfg(not(feature = "mongodb"))]
    None
}

/// What makes a folder one of pg_dump's.
const TOC: &str = "toc.dat";

/// Opens a dump that is a folder of this name: the files that [`folder_heads`] named, and the names of all its files.
///
/// # Errors
/// `Damaged`, `NewerFormat`, `UnsupportedDatabase`.
#[allow(unused_variables, reason = "the features decide which engines are asked")]
pub(crate) fn open_folder(folder: &str, heads: Vec<(String, Bytes)>, names: &[String]) -> Result<StockFolder> {
    if let [(name, toc)] = heads.as_slice()
        && name == TOC
    {
        #[cfg(feature = "postgres")]
        return super::postgres::open_stock_folder(toc, names);
        #[cfg(not(feature = "postgres"))]
        return Err(Error::new(Code::NotCompiledIn, "dumps of pg_dump were not compiled in")
            .next("build with the feature postgres"));
    }
    #[cfg(feature = "mongodb")]
    return super::mongodb::open_stock_folder(folder, heads, names);
    #[cfg(not(feature = "mongodb"))]
    Err(Error::new(Code::NotCompiledIn, "dumps of mongodump were not compiled in")
        .next("build with the feature mongodb"))
}

/// Whether a file begins as a dump does that [`open`] opens.
pub(crate) fn is_known(head: &[u8]) -> bool {
    #[cfg(feature = "mongodb")]
    if super::mongodb::is_stock_dump(head) {
        return true;
    }
    #[cfg(feature = "mysql")]
    if super::mysql::is_stock_dump(head) {
        return true;
    }
    #[cfg(feature = "postgres")]
    return super::postgres::is_stock_dump(head);
    #[cfg(all(feature = "mysql", not(feature = "postgres")))]
    return super::mysql::may_be_stock_dump(head);
    #[cfg(not(any(feature = "mysql", feature = "postgres")))]
    {
        let _ = head;
        false
    }
}

/// The first bytes of an input, at most [`HEAD`], and the input with them still in it.
pub(crate) fn peek(mut input: Box<dyn Read + Send>) -> Result<(Vec<u8>, Box<dyn BufRead + Send>)> {
    let mut head = Vec::new();
    input.by_ref().take(HEAD as u64).read_to_end(&mut head).map_err(|e| Error::of_reader(e, "its beginning"))?;
    let whole = BufReader::with_capacity(64 << 10, Cursor::new(head.clone()).chain(input));
    Ok((head, Box::new(whole)))
}
