//! Which file a database URL means.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use crate::error::{Code, Error, Result};

/// The path of the database file that a URL or a plain path names.
///
/// Understood are `sqlite:path`, `sqlite://path`, `sqlite:///absolute/path`, SQLite's own `file:` URIs (as Prisma
/// writes them, too) and plain paths that end in `.db`, `.sqlite` or `.sqlite3`. URLs are percent-decoded and their
/// parameters are ignored, since they tune connections that we do not make; plain paths are taken as they are.
pub(super) fn parse(url: &str) -> Result<PathBuf> {
    let path = if let Some(rest) = url.strip_prefix("sqlite:") {
        let path = rest.split('?').next().unwrap_or_default();
        refuse_memory(url, path.strip_prefix("//").unwrap_or(path))?;
        decode(url, path.strip_prefix("//").unwrap_or(path))?
    } else if let Some(rest) = url.strip_prefix("file:") {
        let path = rest.split(['?', '#']).next().unwrap_or_default();
        refuse_memory(url, path)?;
        decode(url, without_authority(url, path)?)?
    } else {
        refuse_memory(url, url)?;
        if !is_path(url) {
            return Err(invalid(url, "does not look like an SQLite database"));
        }
        PathBuf::from(url)
    };
    if path.as_os_str().is_empty() || path.file_name().is_none() {
        return Err(invalid(url, "names no file"));
    }
    Ok(path)
}

/// Whether a text without a scheme looks like the path of a database file.
pub(super) fn is_path(text: &str) -> bool {
    let extension = text.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    !text.contains("://") && matches!(extension.as_deref(), Some("db" | "sqlite" | "sqlite3"))
}

/// `file:` URIs may carry an authority, which must be empty or `localhost`: `file:///a`, `file://localhost/a`.
fn without_authority<'a>(url: &str, path: &'a str) -> Result<&'a str> {
    let Some(rest) = path.strip_prefix("//") else { return Ok(path) };
    let start = rest.find('/').unwrap_or(rest.len());
    match rest.split_at(start) {
        ("" | "localhost", path) => Ok(path),
        _ => Err(invalid(url, "names a file on another host")),
    }
}

fn refuse_memory(url: &str, path: &str) -> Result<()> {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    if path == ":memory:" || query.split(['&', '#']).any(|p| p == "mode=memory") {
        return Err(Error::new(Code::InvalidUrl, "an in-memory database cannot be backed up or restored")
            .next("give the path of a database file, for example sqlite:shop.db"));
    }
    Ok(())
}

fn decode(url: &str, text: &str) -> Result<PathBuf> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = rest.get(..2).ok_or_else(|| invalid(url, "ends within a percent escape"))?;
        let mut byte = [0_u8];
        hex::decode_to_slice(digits, &mut byte).map_err(|_| invalid(url, "has a malformed percent escape"))?;
        bytes.push(byte[0]);
        rest = &rest[2..];
    }
    if bytes.contains(&0) {
        return Err(invalid(url, "has a zero byte in its path"));
    }
    Ok(PathBuf::from(OsString::from_vec(bytes)))
}

fn invalid(url: &str, what: &str) -> Error {
    // A URL of another kind may hold a password, and a parameter may be a key: neither is shown.
    let shown = match url.split_once(':') {
        Some(("sqlite" | "file", _)) => url.split('?').next().unwrap_or_default(),
        Some(_) => "the URL",
        None => url,
    };
    Error::new(Code::InvalidUrl, format!("`{shown}` {what}")).next(
        "write sqlite:path/to/file.db, sqlite:///absolute/path/to/file.db or a path ending in .db, .sqlite or .sqlite3",
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn each_way_of_naming_a_file_is_understood() {
        for (url, path) in [
            ("sqlite:shop.db", "shop.db"),
            ("sqlite:data/shop", "data/shop"),
            ("sqlite://shop.db", "shop.db"),
            ("sqlite://./shop.db?mode=rwc", "./shop.db"),
            ("sqlite:///var/lib/shop.db", "/var/lib/shop.db"),
            ("sqlite:////var/lib/shop.db", "//var/lib/shop.db"),
            ("sqlite:///a%20b%3F%25.db", "/a b?%.db"),
            ("file:shop.db", "shop.db"),
            ("file:./dev.db?connection_limit=1", "./dev.db"),
            ("file:/var/shop.db#x", "/var/shop.db"),
            ("file:///var/shop.db?cache=shared", "/var/shop.db"),
            ("file://localhost/var/shop.db", "/var/shop.db"),
            ("shop.db", "shop.db"),
            ("/var/100%20.SQLite3", "/var/100%20.SQLite3"),
            ("./a?b.sqlite", "./a?b.sqlite"),
        ] {
            assert_eq!(parse(url).unwrap(), PathBuf::from(path), "{url}");
        }
    }

    #[test]
    fn secrets_in_a_url_are_not_repeated() {
        for url in
            ["postgres://user:canary@host/shop", "sqlite:?key=canary", "file://host/x?key=canary", "x://canary/shop.db"]
        {
            let e = parse(url).unwrap_err();
            assert!(!format!("{e} {e:?}").contains("canary"), "{e}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for url in [
            "",
            ":memory:",
            "sqlite:",
            "sqlite://",
            "sqlite::memory:",
            "sqlite://:memory:",
            "file::memory:?cache=shared",
            "file:shop.db?mode=memory&cache=shared",
            "file://elsewhere/shop.db",
            "sqlite:a%",
            "sqlite:a%2",
            "sqlite:a%zz",
            "sqlite:a%00b",
            "sqlite:..",
            "sqlite:/",
            "notes.txt",
            "postgres://localhost/shop",
        ] {
            assert_eq!(parse(url).unwrap_err().code(), Code::InvalidUrl, "{url}");
        }
    }
}
