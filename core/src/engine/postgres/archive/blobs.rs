//! `blobs.toc`: which large object lies in which file of a directory archive.

use crate::error::{Code, Error, Result};

/// The name of the file of a large object.
pub(crate) fn blob_file(oid: u32) -> String {
    format!("blob_{oid}.dat")
}

/// The large object that lies in this file, if it is one of a large object.
pub(crate) fn blob_oid(file: &str) -> Option<u32> {
    file.strip_prefix("blob_")?.strip_suffix(".dat")?.parse().ok()
}

/// The bytes of `blobs.toc`.
pub(crate) fn write_blobs(oids: &[u32]) -> Vec<u8> {
    oids.iter().map(|oid| format!("{oid} {}\n", blob_file(*oid))).collect::<String>().into_bytes()
}

/// The large objects that a `blobs.toc` lists.
///
/// # Errors
/// `Damaged`.
pub(crate) fn read_blobs(bytes: &[u8]) -> Result<Vec<u32>> {
    let damaged = |line: &str| {
        let line: String = line.chars().take(40).collect();
        Error::new(Code::Damaged, format!("blobs.toc: no large object in line `{line}`"))
            .next("use another copy of this dump or another backup")
    };
    let text = std::str::from_utf8(bytes).map_err(|_| damaged("(not UTF-8)"))?;
    let parse = |line: &str| {
        let (oid, file) = line.split_once(' ')?;
        let oid = oid.parse().ok()?;
        (blob_oid(file) == Some(oid)).then_some(oid)
    };
    text.lines().map(|line| parse(line).ok_or_else(|| damaged(line))).collect()
}
