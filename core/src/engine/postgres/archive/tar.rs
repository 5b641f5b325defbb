//! The tar format: the files of a directory archive, one after the other, the table of contents first.

use std::collections::HashMap;
use std::io::{self, BufRead, Read};

use bytes::Bytes;

use crate::engine::stock::FileReader;
use crate::error::{Code, Error, Result};

use super::canonical::Data;
use super::custom::read_piece;
use super::{Missing, blob_oid};

/// tar counts in blocks of this size.
const BLOCK: usize = 512;

type Input = Box<dyn BufRead + Send>;

/// Whether a file begins as tar archives do.
pub(crate) fn is_tar(head: &[u8]) -> bool {
    head.get(..BLOCK).is_some_and(|block| block[257..].starts_with(b"ustar") || Member::parse(block).is_some())
}

/// The members of a tar archive.
pub(crate) struct Tar {
    input: Input,
    /// Bytes of the open member, and of the padding behind it.
    left: u64,
    padding: u64,
}

#[derive(Debug, PartialEq, Eq)]
struct Member {
    name: String,
    bytes: u64,
    file: bool,
}

impl Member {
    fn parse(block: &[u8]) -> Option<Self> {
        let sum: u64 =
            block.iter().enumerate().map(|(i, b)| u64::from(if (148..156).contains(&i) { b' ' } else { *b })).sum();
        if number(block.get(148..156)?)? != sum {
            return None;
        }
        let text = |range: std::ops::Range<usize>| {
            let field = block.get(range)?;
            let end = field.iter().position(|b| *b == 0).unwrap_or(field.len());
            std::str::from_utf8(&field[..end]).ok().map(str::to_owned)
        };
        let name = text(0..100)?;
        Some(Self { name, bytes: number(block.get(124..136)?)?, file: matches!(block.get(156)?, 0 | b'0') })
    }
}

/// Octal digits, or for large sizes a binary number.
fn number(field: &[u8]) -> Option<u64> {
    let (first, rest) = field.split_first()?;
    if *first == 0x80 {
        return rest.iter().try_fold(0_u64, |n, b| n.checked_mul(256)?.checked_add((*b).into()));
    }
    let digits = field.iter().skip_while(|b| **b == b' ').take_while(|b| !matches!(**b, 0 | b' '));
    digits.into_iter().try_fold(0_u64, |n, b| {
        let digit = b.checked_sub(b'0').filter(|d| *d < 8)?;
        n.checked_mul(8)?.checked_add(digit.into())
    })
}

impl Tar {
    pub(crate) fn new(input: Input) -> Self {
        Self { input, left: 0, padding: 0 }
    }

    /// The name of the next member, whose content is then read from here; none at the end.
    pub(crate) fn next_member(&mut self) -> Result<Option<String>> {
        let rest = self.left + self.padding;
        let skipped = io::copy(&mut self.input.by_ref().take(rest), &mut io::sink()).map_err(broken)?;
        if skipped < rest {
            return Err(damaged("it ends too early"));
        }
        (self.left, self.padding) = (0, 0);
        let mut block = [0; BLOCK];
        self.input.read_exact(&mut block).map_err(broken)?;
        if block == [0; BLOCK] {
            // The second block of zeros, and what fills the tape's last record.
            io::copy(&mut self.input, &mut io::sink()).map_err(broken)?;
            return Ok(None);
        }
        let member = Member::parse(&block).ok_or_else(|| damaged("a member's header is damaged"))?;
        if !member.file {
            return Err(Error::new(
                Code::UnsupportedDatabase,
                format!("the tar archive holds {}, which is no file", member.name),
            )
            .next("unpack it and give the folder"));
        }
        self.left = member.bytes;
        self.padding = (BLOCK as u64 - member.bytes % BLOCK as u64) % BLOCK as u64;
        Ok(Some(member.name))
    }
}

impl Read for Tar {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let most = out.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let n = self.input.read(&mut out[..most])?;
        if n == 0 && most > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= n as u64;
        Ok(n)
    }
}

/// The data of an archive, whose table of contents was read.
pub(crate) struct TarFiles {
    tar: Tar,
    /// What the archive calls its tables' files, and what they are called here.
    names: HashMap<String, String>,
    missing: Missing,
    open: bool,
}

impl TarFiles {
    pub(crate) fn new(tar: Tar, data: HashMap<i32, Data>, missing: Missing) -> Self {
        let table = |data| match data {
            Data::Table { theirs, ours } => Some((theirs, ours)),
            Data::Blobs { .. } => None,
        };
        Self { tar, names: data.into_values().filter_map(table).collect(), missing, open: false }
    }
}

impl FileReader for TarFiles {
    fn next_file(&mut self) -> Result<Option<String>> {
        while let Some(member) = self.tar.next_member()? {
            let blob = blob_oid(&member).map(|_| member.clone());
            if let Some(name) = self.names.get(&member).cloned().or(blob) {
                self.missing.seen(&name)?;
                self.open = true;
                return Ok(Some(name));
            }
            // Lists of large objects, and a script for those who unpack the archive by hand.
        }
        self.open = false;
        self.missing.check()?;
        Ok(None)
    }

    fn read(&mut self) -> Result<Bytes> {
        if !self.open {
            return Ok(Bytes::new());
        }
        read_piece(&mut self.tar).map_err(broken)
    }
}

fn broken(e: io::Error) -> Error {
    Error::of_reader(e, "the tar archive")
}

fn damaged(what: &str) -> Error {
    Error::new(Code::Damaged, format!("the tar archive: {what}")).next("use another copy of it")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn header(name: &str, size: &[u8]) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        block[..name.len()].copy_from_slice(name.as_bytes());
        block[124..124 + size.len()].copy_from_slice(size);
        block[156] = b'0';
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        block
    }

    #[test]
    fn sizes_are_octal_or_binary() {
        let member = Member::parse(&header("3.dat", b"00000000021\0")).unwrap();
        assert_eq!(member, Member { name: "3.dat".into(), bytes: 17, file: true });
        let member = Member::parse(&header("3.dat", b"\x80\0\0\0\0\0\0\x02\0\0\0\0")).unwrap();
        assert_eq!(member.bytes, 8 << 30);
        assert_eq!(Member::parse(&header("3.dat", b"00000000091\0")), None);
    }

    #[test]
    fn members_are_skipped_and_read() {
        let mut bytes = header("a", b"00000000003\0").to_vec();
        bytes.extend_from_slice(&[1; BLOCK]);
        bytes.extend_from_slice(&header("b", b"00000000002\0"));
        bytes.extend_from_slice(&[2; BLOCK]);
        bytes.extend_from_slice(&[0; 2 * BLOCK]);
        for end in 0..bytes.len() {
            let mut tar = Tar::new(Box::new(io::Cursor::new(bytes[..end].to_vec())));
            let whole = (|| {
                while tar.next_member()?.is_some() {}
                Ok::<_, Error>(())
            })();
            assert_eq!(whole.is_ok(), end >= bytes.len() - BLOCK, "cut at {end}");
        }
        let mut tar = Tar::new(Box::new(io::Cursor::new(bytes)));
        assert_eq!(tar.next_member().unwrap().as_deref(), Some("a"));
        assert_eq!(tar.next_member().unwrap().as_deref(), Some("b"));
        let mut content = Vec::new();
        tar.read_to_end(&mut content).unwrap();
        assert_eq!(content, [2, 2]);
        assert_eq!(tar.next_member().unwrap(), None);
    }
}
