//! Reads the table of contents of archives in the directory and the custom format, as pg_dump 9.0 to 18 writes them.

use jiff::civil::DateTime;

use crate::error::{Code, Error, Result};

use super::{Archive, Entry, Header, MAGIC, Section};

/// An entry takes more bytes than this, however empty it is: a bound for how many there can be.
const LEAST_ENTRY: usize = 60;

/// Reads a table of contents; data that follows it in the custom format is not looked at.
///
/// # Errors
/// `Damaged` for anything that is no whole archive, `NewerFormat` for a version not known here,
/// `UnsupportedDatabase` for one that is too old or not in UTF-8.
pub(crate) fn read(bytes: &[u8]) -> Result<Archive> {
    let mut input = Input { rest: bytes, minor: 0, custom: false };
    let header = input.header()?;
    let count = input.count()?;
    let mut entries = Vec::with_capacity(count);
    for number in 1..=count {
        entries.push(input.entry().map_err(|e| e.at(format!("entry {number} of {count}")))?);
    }
    if !input.custom && !input.rest.is_empty() {
        return Err(damaged(format!("{} bytes follow the last entry", input.rest.len())));
    }
    Ok(Archive { header, entries })
}

fn damaged(what: impl std::fmt::Display) -> Error {
    Error::new(Code::Damaged, format!("toc.dat: {what}")).next("use another copy of this dump or another backup")
}

struct Input<'a> {
    rest: &'a [u8],
    minor: u8,
    custom: bool,
}

impl<'a> Input<'a> {
    fn header(&mut self) -> Result<Header> {
        if self.take(MAGIC.len()).ok() != Some(MAGIC.as_slice()) {
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
        let (int_size, offset_size) = (self.byte()?, self.byte()?);
        if (int_size, offset_size) != (4, 8) {
            return Err(damaged(format!("integers of {int_size} and offsets of {offset_size} bytes")));
        }
        match self.byte()? {
            1 => self.custom = true,
            3 | 5 => {}
            other => return Err(damaged(format!("unknown archive format {other}"))),
        }
        // Compression: a level, since 1.15 the number of a method.
        if self.minor >= 15 {
            self.byte()?;
        } else {
            self.int()?;
        }
        let created = self.created()?;
        let (database, server_version, tool_version) = (self.text()?, self.text()?, self.text()?);
        Ok(Header { created, database, server_version, tool_version })
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
        let (defn, drop) = (self.text()?, self.text()?);
        let (copy, namespace, tablespace) = (self.maybe()?, self.maybe()?, self.maybe()?);
        let table_am = if self.minor >= 14 { self.maybe()? } else { None };
        if self.minor >= 16 {
            self.int()?; // relkind
        }
        let owner = self.text()?;
        self.text()?; // WITH OIDS
        let mut dependencies = Vec::new();
        while let Some(text) = self.maybe()? {
            dependencies.push(number(&text, "dependency")?);
        }
        let file = if self.custom {
            self.take(9)?; // Where the data lies in the archive.
            had_data.then(|| format!("{dump_id}.dat"))
        } else {
            Some(self.text()?).filter(|name| !name.is_empty())
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

    fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        let (head, rest) = self
            .rest
            .split_at_checked(n)
            .ok_or_else(|| damaged(format!("ends {} bytes too early", n - self.rest.len())))?;
        self.rest = rest;
        Ok(head)
    }

    fn byte(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    fn int(&mut self) -> Result<i32> {
        let sign = self.byte()?;
        let mut bytes = [0; 4];
        bytes.copy_from_slice(self.take(4)?);
        let magnitude = i64::from(u32::from_le_bytes(bytes));
        i32::try_from(if sign == 0 { magnitude } else { -magnitude }).map_err(|_| damaged("a number is out of range"))
    }

    fn count(&mut self) -> Result<usize> {
        let count = self.int()?;
        usize::try_from(count)
            .ok()
            .filter(|n| *n <= self.rest.len() / LEAST_ENTRY)
            .ok_or_else(|| damaged(format!("{count} entries in {} bytes", self.rest.len())))
    }

    /// A text or NULL. The length is held against what is left before anything is allocated.
    fn maybe(&mut self) -> Result<Option<String>> {
        let Ok(length) = usize::try_from(self.int()?) else { return Ok(None) };
        let bytes = self.take(length)?;
        std::str::from_utf8(bytes).map(|text| Some(text.to_owned())).map_err(|_| {
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

fn number<T: std::str::FromStr>(text: &str, what: &str) -> Result<T> {
    text.parse().map_err(|_| damaged(format!("`{}` is no {what}", text.chars().take(20).collect::<String>())))
}
