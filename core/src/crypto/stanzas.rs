//! What an age file or a key slot says of its lock to somebody without a key.

use std::io::Read;

use age::armor::ArmoredReader;

use super::keyring::PROVIDER_MAGIC;

/// A header is far smaller; what is longer is not read on.
const MAX_HEADER: u64 = 64 << 10;

/// What a file is locked with, as far as its header tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LockedWith {
    /// A passphrase, and log2 of the rounds of scrypt.
    Passphrase(u8),
    /// Public keys by their kinds, sorted (`X25519`, `ssh-ed25519`). Whose they are is not told.
    Recipients(Vec<String>),
    /// A key provider, by its name.
    Provider(String),
    /// It is no key slot.
    Unknown,
}

/// Reads the header. Nothing in it is authenticated.
pub(crate) fn locked_with(file: &[u8]) -> LockedWith {
    if let Some(rest) = file.strip_prefix(PROVIDER_MAGIC.as_bytes()) {
        let name = rest.iter().take_while(|b| **b != b'\n').take(80);
        return LockedWith::Provider(name.map(|b| char::from(*b).escape_default().to_string()).collect());
    }
    let mut kinds = Vec::new();
    for stanza in stanzas(file).unwrap_or_default() {
        match stanza.split(' ').collect::<Vec<_>>()[..] {
            ["scrypt", _, log_n] => return log_n.parse().map_or(LockedWith::Unknown, LockedWith::Passphrase),
            // Other implementations add stanzas that nobody is meant to understand.
            [kind, ..] if !kind.ends_with("-grease") => kinds.push(kind.to_owned()),
            _ => {}
        }
    }
    kinds.sort();
    if kinds.is_empty() { LockedWith::Unknown } else { LockedWith::Recipients(kinds) }
}

/// The first line of each stanza, without its arrow.
fn stanzas(file: &[u8]) -> Option<Vec<String>> {
    let mut header = Vec::new();
    // The payload behind the header is binary: what was read before an error is enough.
    let _ = ArmoredReader::new(file).take(MAX_HEADER).read_to_end(&mut header);
    let mut lines = header.split(|b| *b == b'\n');
    if lines.next()? != b"age-encryption.org/v1" {
        return None;
    }
    let until_mac = lines.take_while(|line| !line.starts_with(b"---"));
    let text = |line: &[u8]| String::from_utf8_lossy(line).into_owned();
    Some(until_mac.filter_map(|line| line.strip_prefix(b"-> ").map(text)).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::keyring::{SlotKey, seal_slot, wrap_data_key};
    use super::super::{Recipients, RepositoryKeys};
    use super::*;
    use crate::secret::Key;

    const SSH: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHsKLqeplhpW+uObz5dvMgjz1OxfM/XXUB+VHtZ6isGN";

    #[test]
    fn a_lock_is_told_from_its_header() {
        let keys = RepositoryKeys::generate();
        let lock = SlotKey::weak_passphrase("x".into()).unwrap().work_factor(3).unwrap();
        assert_eq!(locked_with(&seal_slot(&keys, &lock).unwrap()), LockedWith::Passphrase(3));
        let both = keys.recipients().and(&Recipients::parse(SSH).unwrap());
        let kinds = LockedWith::Recipients(vec!["X25519".to_owned(), "ssh-ed25519".to_owned()]);
        assert_eq!(locked_with(&wrap_data_key(&Key::new([1; 32]), &both).unwrap()), kinds);
        assert_eq!(locked_with(b"lastgood-provider/1 kms\nsealed"), LockedWith::Provider("kms".to_owned()));
        for nonsense in [&b""[..], b"age-encryption.org/v1", b"age-encryption.org/v1\n-> scrypt a b\n---", b"{}"] {
            assert_eq!(locked_with(nonsense), LockedWith::Unknown);
        }
    }
}
