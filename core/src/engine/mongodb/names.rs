//! What mongodump calls its files.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The longest name before the extension; with `.metadata.json.gz` it makes 255 bytes.
const LONGEST: usize = 238;

/// What is kept of a longer name, before the hash of all of it.
const KEPT: usize = 208;

/// The file of a collection's documents.
pub(super) fn data_file(database: &str, collection: &str) -> String {
    format!("{database}/{}.bson", escaped(collection))
}

/// The file of its options and indexes.
pub(super) fn metadata_file(database: &str, collection: &str) -> String {
    format!("{database}/{}.metadata.json", escaped(collection))
}

/// The database that a file is of, its name without the extension, and which of a collection's two files it is.
pub(super) fn parse(file: &str) -> Option<(&str, &str, Kind)> {
    let (database, name) = file.rsplit_once('/')?;
    let database = database.rsplit('/').next()?;
    Some(match name.strip_suffix(".metadata.json") {
        Some(stem) => (database, stem, Kind::Metadata),
        None => (database, name.strip_suffix(".bson")?, Kind::Data),
    })
}

/// Which of a collection's files one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Data,
    Metadata,
}

/// As Go's `url.QueryEscape` writes a name, cut as mongodump cuts it.
fn escaped(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => text.push(char::from(byte)),
            b' ' => text.push('+'),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    if text.len() > LONGEST {
        text.truncate(KEPT);
        text.push_str("%24");
        text.push_str(&URL_SAFE_NO_PAD.encode(sha1(name.as_bytes())));
    }
    text
}

fn sha1(bytes: &[u8]) -> Vec<u8> {
    use sha1::Digest as _;
    sha1::Sha1::digest(bytes).to_vec()
}

/// The collection of a file without metadata; none if its name was cut.
pub(super) fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => {
                let mut byte = [0_u8];
                hex::decode_to_slice(rest.get(..2)?, &mut byte).ok()?;
                bytes.push(byte[0]);
                rest = &rest[2..];
            }
            _ => bytes.push(*first),
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn names_are_escaped_as_mongodump_does() {
        assert_eq!(data_file("shop", "orders"), "shop/orders.bson");
        assert_eq!(data_file("shop", "a b/c+d%é.$x"), "shop/a+b%2Fc%2Bd%25%C3%A9.%24x.bson");
        assert_eq!(metadata_file("shop", "fs.files"), "shop/fs.files.metadata.json");
        for name in ["orders", "a b/c+d%é.$x", "~a-b_c.d", "x.metadata.json", "y.bson"] {
            for (file, kind) in [(data_file("shop", name), Kind::Data), (metadata_file("shop", name), Kind::Metadata)] {
                let (database, stem, found) = parse(&file).unwrap();
                assert_eq!((database, unescaped(stem).as_deref(), found), ("shop", Some(name), kind));
            }
        }
        assert_eq!(parse("dump/shop/orders.bson").unwrap().0, "shop");
        assert_eq!(parse("oplog.bson"), None);
    }

    #[test]
    fn names_too_long_for_a_file_end_in_their_hash() {
        let name = "x".repeat(250);
        let file = metadata_file("shop", &name);
        assert_eq!(file.len(), "shop/".len() + 238 + ".metadata.json".len());
        assert!(file.starts_with(&format!("shop/{}%24", "x".repeat(208))), "{file}");
    }
}
