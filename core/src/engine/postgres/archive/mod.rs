//! pg_dump's archive format: the table of contents (`toc.dat`) that pg_restore reads, and the list of large objects.
//!
//! Pure functions from bytes to values and back. Archives that pg_dump made in any of its formats (`custom`, `tar`, a
//! directory) are read as directory archives of ours (`canonical`, `stock`).

mod blobs;
mod canonical;
mod custom;
mod entry;
mod read;
mod stock;
mod tar;
mod write;

use jiff::civil::DateTime;

pub(crate) use blobs::{blob_file, blob_oid, read_blobs, write_blobs};
pub(crate) use entry::{Entry, Section};
pub(crate) use read::read;
use stock::Missing;
pub(crate) use stock::{is_custom, open_custom, open_folder, open_tar};
pub(crate) use tar::is_tar;
pub(crate) use write::{write, write_custom};

/// The first bytes of every archive.
const MAGIC: &[u8; 5] = b"PGDMP";

/// The version of archives written here: 1.14 is read by pg_restore 12 and later.
const VERSION: (u8, u8, u8) = (1, 14, 0);

/// What the data of a text-format COPY ends with in a file of a directory archive.
pub(crate) const END_OF_COPY: &[u8; 5] = b"\\.\n\n\n";

/// What an archive tells of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Header {
    /// When the dump was made; the format knows no time zone, this crate writes UTC.
    pub(crate) created: DateTime,
    /// The database's name.
    pub(crate) database: String,
    /// The server's version.
    pub(crate) server_version: String,
    /// The version of the program that wrote the archive.
    pub(crate) tool_version: String,
}

/// A table of contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Archive {
    pub(crate) header: Header,
    pub(crate) entries: Vec<Entry>,
}

#[cfg(test)]
mod tests;
