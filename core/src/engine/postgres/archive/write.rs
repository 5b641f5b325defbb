//! Writes `toc.dat`, and archives in the custom format.

use crate::engine::stock::{OneFile, Piece};
use crate::error::{Code, Error, Result};

use super::{Archive, Entry, MAGIC, Section, VERSION, blob_file};

/// How an archive lies on the disk, by the number that its header has for it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Layout {
    Custom = 1,
    /// A directory's toc.dat says "tar", whose members are the same files.
    Files = 3,
}

/// The bytes of the `toc.dat` of a directory archive.
///
/// # Errors
/// `Internal` when a text is longer than the format can say (2 GiB).
pub(crate) fn write(archive: &Archive) -> Result<Vec<u8>> {
    contents(archive, Layout::Files)
}

/// A directory archive as one file in the custom format: what stands between the bytes of its files.
///
/// # Errors
/// As [`write`].
pub(crate) fn write_custom(archive: &Archive, blobs: &[u32]) -> Result<OneFile> {
    let mut pieces = Vec::new();
    for entry in archive.entries.iter().filter(|e| e.file.is_some()) {
        // pg_restore reads a pipe in the order of the entries.
        let block = |kind: u8| {
            let mut out = Out(vec![kind]);
            out.int(entry.dump_id);
            out.0
        };
        if entry.desc != "BLOBS" {
            let file = entry.file.clone().unwrap_or_default();
            pieces.extend([Piece::Bytes(block(1)), Piece::File(file), Piece::Bytes(integer(0))]);
            continue;
        }
        pieces.push(Piece::Bytes(block(3)));
        for oid in blobs {
            let number = integer(i32::from_ne_bytes(oid.to_ne_bytes()));
            pieces.extend([Piece::Bytes(number), Piece::File(blob_file(*oid)), Piece::Bytes(integer(0))]);
        }
        pieces.push(Piece::Bytes(integer(0)));
    }
    Ok(OneFile { head: contents(archive, Layout::Custom)?, pieces, chunk: |bytes| length(bytes).map(integer) })
}

fn integer(n: i32) -> Vec<u8> {
    let mut out = Out(Vec::new());
    out.int(n);
    out.0
}

fn contents(archive: &Archive, layout: Layout) -> Result<Vec<u8>> {
    let mut out = Out(Vec::with_capacity(256 + archive.entries.len() * 512));
    out.0.extend_from_slice(MAGIC);
    // Version, size of integers, size of file offsets.
    out.0.extend_from_slice(&[VERSION.0, VERSION.1, VERSION.2, 4, 8, layout as u8]);
    out.int(0); // Compression: none; of a directory pg_restore goes by what files it finds.
    let created = archive.header.created;
    for part in [created.second(), created.minute(), created.hour(), created.day(), created.month() - 1] {
        out.int(part.into());
    }
    out.int(i32::from(created.year()) - 1900);
    out.int(0); // Not daylight saving time.
    for text in [&archive.header.database, &archive.header.server_version, &archive.header.tool_version] {
        out.text(text)?;
    }
    out.int(length(archive.entries.len())?);
    for entry in &archive.entries {
        out.entry(entry)?;
        match layout {
            Layout::Files => out.text(entry.file.as_deref().unwrap_or_default())?,
            // Where the data lies: not told, as by pg_dump into a pipe; or that there is none.
            Layout::Custom => {
                out.0.extend_from_slice(&[if entry.file.is_some() { 1 } else { 3 }, 0, 0, 0, 0, 0, 0, 0, 0])
            }
        }
    }
    Ok(out.0)
}

fn length(n: usize) -> Result<i32> {
    i32::try_from(n).map_err(|_| Error::new(Code::Internal, format!("{n} is too much for an archive")))
}

struct Out(Vec<u8>);

impl Out {
    fn int(&mut self, n: i32) {
        self.0.push(u8::from(n < 0));
        self.0.extend_from_slice(&n.unsigned_abs().to_le_bytes());
    }

    fn text(&mut self, text: &str) -> Result<()> {
        self.int(length(text.len())?);
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }

    fn maybe(&mut self, text: Option<&str>) -> Result<()> {
        match text {
            Some(text) => self.text(text),
            None => {
                self.int(-1);
                Ok(())
            }
        }
    }

    fn entry(&mut self, entry: &Entry) -> Result<()> {
        self.int(entry.dump_id);
        self.int(entry.file.is_some().into());
        self.text(&entry.catalog.to_string())?;
        self.text(&entry.oid.to_string())?;
        self.text(&entry.tag)?;
        self.text(&entry.desc)?;
        self.int(match entry.section {
            Section::None => 1,
            Section::PreData => 2,
            Section::Data => 3,
            Section::PostData => 4,
        });
        self.text(&entry.defn)?;
        self.text(&entry.drop)?;
        self.maybe(entry.copy.as_deref())?;
        self.maybe(entry.namespace.as_deref())?;
        self.maybe(entry.tablespace.as_deref())?;
        self.maybe(entry.table_am.as_deref())?;
        self.text(&entry.owner)?;
        self.text("false")?; // WITH OIDS, which no supported server has.
        for dependency in &entry.dependencies {
            self.text(&dependency.to_string())?;
        }
        self.maybe(None)
    }
}
