//! Archives that pg_dump made, as the files of a directory archive of ours.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, Read};

use bytes::Bytes;

use crate::engine::StoredFile;
use crate::engine::stock::{About, Ending, StockDump, StockFolder};
use crate::error::{Code, Error, Result};
use crate::id::EngineKind;

use super::canonical::{BLOBS, Canonical, Data, canonical};
use super::custom::CustomFiles;
use super::read::{Layout, read_contents};
use super::tar::{Tar, TarFiles};
use super::{Archive, END_OF_COPY, Entry, Header, MAGIC, blob_file, write, write_blobs};

/// A table of contents in a tar archive is not longer than this: 1 GiB.
const MAX_TOC: u64 = 1 << 30;

/// Suffixes of a directory's data files.
const SUFFIXES: [&str; 4] = ["", ".gz", ".lz4", ".zst"];

/// Whether a file begins as archives in the custom format do.
pub(crate) fn is_custom(head: &[u8]) -> bool {
    head.starts_with(MAGIC)
}

/// Opens an archive in the custom format.
pub(crate) fn open_custom(mut input: Box<dyn BufRead + Send>) -> Result<StockDump> {
    let contents = read_contents(&mut input)?;
    if contents.layout != Layout::Custom {
        return Err(Error::new(
            Code::UnsupportedDatabase,
            "it is the table of contents of a directory, without its data",
        )
        .next("give the folder that toc.dat lies in"));
    }
    let made = canonical(contents.archive)?;
    let (schema, data) = files(&made)?;
    let missing = Missing::new(&data);
    let about = about("custom", &made.archive.header);
    let ends = ends(&made.archive);
    let files = CustomFiles::new(input, contents.compression, made.data, missing);
    Ok(StockDump { engine: EngineKind::Postgres, about, schema, data, ends, files: Box::new(files) })
}

/// Opens an archive in the tar format.
pub(crate) fn open_tar(input: Box<dyn BufRead + Send>) -> Result<StockDump> {
    let mut tar = Tar::new(input);
    let first = tar.next_member()?.unwrap_or_default();
    if first != "toc.dat" {
        return Err(Error::new(
            Code::UnsupportedDatabase,
            format!("the tar archive begins with `{first}`, not with toc.dat"),
        )
        .next("pg_dump -Ft writes toc.dat first; unpack other archives and give the folder"));
    }
    let made = canonical(read_whole(&mut tar)?)?;
    let (schema, data) = files(&made)?;
    let missing = Missing::new(&data);
    let about = about("tar", &made.archive.header);
    let ends = ends(&made.archive);
    let files = TarFiles::new(tar, made.data, missing);
    Ok(StockDump { engine: EngineKind::Postgres, about, schema, data, ends, files: Box::new(files) })
}

fn read_whole(tar: &mut Tar) -> Result<Archive> {
    let mut toc = Vec::new();
    tar.by_ref().take(MAX_TOC).read_to_end(&mut toc).map_err(|e| Error::of_reader(e, "toc.dat"))?;
    super::read(&toc)
}

/// Tells which files of a directory archive hold what.
pub(crate) fn open_folder(toc: &[u8], names: &[String]) -> Result<StockFolder> {
    let made = canonical(super::read(toc)?)?;
    let (schema, data) = files(&made)?;
    let names: HashSet<&str> = names.iter().map(String::as_str).collect();
    let theirs = |ours: &str| {
        let table = made.data.values().find_map(|data| match data {
            Data::Table { theirs, ours: name } if name == ours => Some(theirs.as_str()),
            _ => None,
        });
        let name = table.unwrap_or(ours);
        let found = SUFFIXES.iter().map(|suffix| format!("{name}{suffix}")).find(|name| names.contains(name.as_str()));
        found.ok_or_else(|| gone(name, 0))
    };
    let data = data.into_iter().map(|file| theirs(&file.name).map(|name| (file, name))).collect::<Result<_>>()?;
    let about = about("directory", &made.archive.header);
    let ends = ends(&made.archive);
    Ok(StockFolder { engine: EngineKind::Postgres, about, schema, data, ends })
}

/// Rows of COPY end with a mark of their own.
fn ends(archive: &Archive) -> HashMap<String, Ending> {
    let copied =
        |entry: &&Entry| entry.desc == "TABLE DATA" && entry.copy.as_ref().is_some_and(|copy| !copy.is_empty());
    let files = archive.entries.iter().filter(copied).filter_map(|entry| entry.file.clone());
    files.map(|file| (file, Ending::With(END_OF_COPY))).collect()
}

fn about(format: &'static str, header: &Header) -> About {
    About { format, created: Some(header.created) }
}

/// Whole files by name.
type SchemaFiles = Vec<(String, Bytes)>;

/// The schema files and the data files that an archive has as a directory of ours.
fn files(made: &Canonical) -> Result<(SchemaFiles, Vec<StoredFile>)> {
    let mut schema = vec![("toc.dat".to_owned(), Bytes::from(write(&made.archive)?))];
    let file = |name: String| StoredFile { name, bytes: None };
    let mut data: Vec<StoredFile> = Vec::new();
    for entry in &made.archive.entries {
        match made.data.get(&entry.dump_id) {
            Some(Data::Table { ours, .. }) => data.push(file(ours.clone())),
            Some(Data::Blobs { .. }) if entry.file.as_deref() == Some(BLOBS) => {
                schema.push((BLOBS.to_owned(), Bytes::from(write_blobs(&made.blobs))));
                data.extend(made.blobs.iter().map(|oid| file(blob_file(*oid))));
            }
            _ => {}
        }
    }
    Ok((schema, data))
}

/// Data files that are listed and have not come yet.
#[derive(Debug)]
pub(crate) struct Missing(HashSet<String>);

impl Missing {
    fn new(data: &[StoredFile]) -> Self {
        Self(data.iter().map(|file| file.name.clone()).collect())
    }

    /// A file has come.
    pub(super) fn seen(&mut self, name: &str) -> Result<()> {
        if self.0.remove(name) {
            return Ok(());
        }
        Err(Error::new(Code::Damaged, format!("the archive holds {name} twice, or does not list it"))
            .next("use another copy of it"))
    }

    /// No more files will come.
    pub(super) fn check(&self) -> Result<()> {
        self.0.iter().min().map_or(Ok(()), |first| Err(gone(first, self.0.len() - 1)))
    }
}

fn gone(file: &str, others: usize) -> Error {
    let others = if others == 0 { String::new() } else { format!(" and {others} more files") };
    Error::new(Code::Damaged, format!("the dump is not whole: {file}{others} is missing"))
        .next("use another copy of it, or another backup")
}
