//! Reads the table of contents of archives in every format, as pg_dump 9.0 to 18 writes them.

use std::io::Read;

use jiff::civil::DateTime;

use crate::error::{Code, Error, Result};

use super::{Archive, Entry, Header, MAGIC, Section};
use crate::engine::postgres::quote::{ident, qualified};

/// A table of contents that is longer than this is refused: 1 GiB.
const MAX_BYTES: u64 = 1 << 30;

/// The kind of a partitioned table, `p`.
const PARTITIONED: i32 = 0x70;

/// Entries for which room is made at once, whatever their number is said to be.
const ROOM: usize = 4096;

/// How an archive lies on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// One file: the table of contents, then blocks of data.
    Custom,
    /// Files in a folder or in a tar archive.
    Files,
}

/// How the data of an archive in the custom layout is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    /// zlib streams in the custom layout, gzip files in a directory.
    Gzip,
    Lz4,
    Zstd,
}

/// What stands before the data.
#[derive(Debug)]
pub(crate) struct Contents {
    pub(crate) archive: Archive,
    pub(crate) layout: Layout,
    pub(crate) compression: Compression,
}

/// Reads the table of contents of a directory archive, whole.
///
/// # Errors
/// `Damaged` for anything that is no whole archive, `NewerFormat` for a version not known here,
/// `UnsupportedDatabase` for one that is too old or not in UTF-8.
pub(crate) fn read(mut bytes: &[u8]) -> Result<Archive> {
    let contents = read_contents(&mut bytes)?;
    if contents.layout != Layout::Custom && !bytes.is_empty() {
        return Err(damaged(format!("{} bytes follow the last entry", bytes.len())));
    }
    Ok(contents.archive)
}

/// Reads a table of contents and leaves the reader behind it.
///
/// # Errors
/// As [`read`], and the reader's own.
pub(crate) fn read_contents(reader: &mut impl Read) -> Result<Contents> {
    let mut input = Input { reader, left: MAX_BYTES, minor: 0, int_size: 4, offset_size: 8, layout: Layout::Files };
    let (header, compression) = input.header()?;
    let count = input.int()?;
    let count = usize::try_from(count).map_err(|_| damaged(format!("{count} entries")))?;
    let mut entries = Vec::with_capacity(count.min(ROOM));
    for number in 1..=count {
        entries.push(input.entry().map_err(|e| e.at(format!("entry {number} of {count}")))?);
    }
    let layout = input.layout;
    Ok(Contents { archive: Archive { header, entries }, layout, compression })
}

fn damaged(what: impl std::fmt::Display) -> Error {
    Error::new(Code::Damaged, format!("toc.dat: {what}")).next("use another copy of this dump or another backup")
}

struct Input<'a, R> {
    reader: &'a mut R,
    /// Bytes that may still be read.
    left: u64,
    minor: u8,
    int_size: u8,
    offset_size: u8,
    layout: Layout,
}

impl<R: Read> Input<'_, R> {
    fn header(&mut self) -> Result<(Header, Compression)> {
        if self.take(MAGIC.len()).ok().as_deref() != Some(MAGIC.as_slice()) {
            return Err(damaged("not an archive of pg_dump"));
        }
        let (major, minor, revision) = (self.byte()?, self.byte()?, self.byte()?);
        let version = format!("archive version {major}.{minor}.{revision}");
        match (major, minor) {
            (1, 12..=16) => self.minor = minor,
            (0, _) | (1, 0..12) => {
                return Err(Error::new(Code::UnsupportedDatabase, format!("{version} is too old"))
                    .next("restore it with the pg_restore of its time and dump again"));
            }
            _ => return Err(Error::new(Code::NewerFormat, version).next("update this program")),
        }
        (self.int_size, self.offset_size) = (self.byte()?, self.byte()?);
        if self.int_size != 4 || !(4..=8).contains(&self.offset_size) {
            let (int, offset) = (self.int_size, self.offset_size);
            return Err(damaged(format!("integers of {int} and offsets of {offset} bytes")));
        }
        match self.byte()? {
            1 => self.layout = Layout::Custom,
            3 | 5 => {}
            other => return Err(damaged(format!("unknown archive format {other}"))),
        }
        let compression = self.compression()?;
        let created = self.created()?;
        let (database, server_version, tool_version) = (self.text()?, self.text()?, self.text()?);
        Ok((Header { created, database, server_version, tool_version }, compression))
    }

    /// A level of gzip; since 1.15 the number of a method.
    fn compression(&mut self) -> Result<Compression> {
        if self.minor < 15 {
            return Ok(if self.int()? == 0 { Compression::None } else { Compression::Gzip });
        }
        match self.byte()? {
            0 => Ok(Compression::None),
            1 => Ok(Compression::Gzip),
            2 => Ok(Compression::Lz4),
            3 => Ok(Compression::Zstd),
            other => Err(damaged(format!("unknown compression {other}"))),
        }
    }

    fn created(&mut self) -> Result<DateTime> {
        let mut parts = [0_i32; 6];
        for part in &mut parts {
            *part = self.int()?;
        }
        self.int()?; // Daylight saving time.
        let [second, minute, hour, day, month, year] = parts;
        // A leap second is the one thing that a broken-down time may have and jiff does not.
        let small = |n: i32| i8::try_from(n).ok();
        let time = || {
            let year = i16::try_from(year.checked_add(1900)?).ok()?;
            let month = small(month.checked_add(1)?)?;
            DateTime::new(year, month, small(day)?, small(hour)?, small(minute)?, small(second.min(59))?, 0).ok()
        };
        time().ok_or_else(|| damaged("the time of creation is none"))
    }

    fn entry(&mut self) -> Result<Entry> {
        let dump_id = self.int()?;
        if dump_id <= 0 {
            return Err(damaged(format!("entry number {dump_id}")));
        }
        let had_data = self.int()? != 0;
        let (catalog, oid) = (self.number("OID")?, self.number("OID")?);
        let (tag, desc) = (self.text()?, self.text()?);
        let section = match self.int()? {
            1 => Section::None,
            2 => Section::PreData,
            3 => Section::Data,
            4 => Section::PostData,
            other => return Err(damaged(format!("{desc} {tag} is in section {other}"))),
        };
        let (mut defn, drop) = (self.text()?, self.text()?);
        let (copy, namespace, tablespace) = (self.maybe()?, self.maybe()?, self.maybe()?);
        let mut table_am = if self.minor >= 14 { self.maybe()? } else { None };
        if self.minor >= 16
            && self.int()? == PARTITIONED
            && let (Some(name), Some(schema)) = (table_am.take(), &namespace)
        {
            // Nothing is stored in it, so it heeds no default.
            defn += &format!("ALTER TABLE {} SET ACCESS METHOD {};\n", qualified(schema, &tag), ident(&name));
        }
        let owner = self.text()?;
        self.text()?; // WITH OIDS, which the COPY statement says as well.
        let mut dependencies = Vec::new();
        while let Some(text) = self.maybe()? {
            dependencies.push(number(&text, "dependency")?);
        }
        let file = match self.layout {
            Layout::Files => Some(self.text()?).filter(|name| !name.is_empty()),
            Layout::Custom => {
                // Where the data lies, which a pipe could not tell; 3: there is none.
                let state = self.byte()?;
                self.take(self.offset_size.into())?;
                match state {
                    1 | 2 => had_data.then(|| format!("{dump_id}.dat")),
                    3 => None,
                    other => return Err(damaged(format!("{desc} {tag} has data in state {other}"))),
                }
            }
        };
        Ok(Entry {
            dump_id,
            catalog,
            oid,
            tag,
            desc,
            section,
            defn,
            drop,
            copy,
            namespace,
            tablespace,
            table_am,
            owner,
            dependencies,
            file,
        })
    }

    /// The next bytes. Room is made as they come, so that a length alone allocates nothing.
    fn take(&mut self, n: usize) -> Result<Vec<u8>> {
        let wanted = u64::try_from(n).unwrap_or(u64::MAX);
        self.left =
            self.left.checked_sub(wanted).ok_or_else(|| damaged(format!("it is longer than {MAX_BYTES} bytes")))?;
        let mut bytes = Vec::new();
        self.reader.by_ref().take(wanted).read_to_end(&mut bytes).map_err(|e| Error::of_reader(e, "toc.dat"))?;
        if bytes.len() < n {
            return Err(damaged(format!("ends {} bytes too early", n - bytes.len())));
        }
        Ok(bytes)
    }

    fn byte(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    fn int(&mut self) -> Result<i32> {
        let bytes = self.take(5)?;
        int(&bytes).ok_or_else(|| damaged("a number is out of range"))
    }

    /// A text or NULL.
    fn maybe(&mut self) -> Result<Option<String>> {
        let Ok(length) = usize::try_from(self.int()?) else { return Ok(None) };
        String::from_utf8(self.take(length)?).map(Some).map_err(|_| {
            Error::new(Code::UnsupportedDatabase, "toc.dat: the dump is not in UTF-8")
                .next("dump again with --encoding=UTF8")
        })
    }

    /// A text; NULL is empty, as it is wherever the archive's readers do not tell the two apart.
    fn text(&mut self) -> Result<String> {
        Ok(self.maybe()?.unwrap_or_default())
    }

    fn number<T: std::str::FromStr>(&mut self, what: &str) -> Result<T> {
        number(&self.text()?, what)
    }
}

/// An integer of the format: a sign and four bytes of magnitude.
pub(super) fn int(bytes: &[u8]) -> Option<i32> {
    let (sign, magnitude) = bytes.split_first()?;
    let magnitude = i64::from(u32::from_le_bytes(magnitude.try_into().ok()?));
    i32::try_from(if *sign == 0 { magnitude } else { -magnitude }).ok()
}

fn number<T: std::str::FromStr>(text: &str, what: &str) -> Result<T> {
    text.parse().map_err(|_| damaged(format!("`{}` is no {what}", text.chars().take(20).collect::<String>())))
}
