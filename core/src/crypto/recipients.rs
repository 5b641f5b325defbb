//! Public keys that something is encrypted to.

use std::fmt;

use crate::error::{Code, Error, Result};

/// Public keys: `age1…`, `ssh-ed25519 …` and `ssh-rsa …`. Whoever holds one of the private keys can open what is wrapped to them.
///
/// # Example
/// ```
/// use lastgood::crypto::Recipients;
/// let text = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p  # the safe";
/// assert_eq!(Recipients::parse(text)?.to_string(), text[..62]);
/// # Ok::<(), lastgood::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Recipients(Vec<Recipient>);

#[derive(Clone)]
enum Recipient {
    X25519(age::x25519::Recipient),
    Ssh(age::ssh::Recipient),
}

impl Recipients {
    /// Reads public keys from lines or a comma-separated list; `#` begins a comment.
    ///
    /// # Errors
    /// `InvalidOption` for a key that cannot be used, and when there is none.
    pub fn parse(text: &str) -> Result<Self> {
        let mut keys = Self::default();
        for line in text.lines() {
            let line = line.split_once('#').map_or(line, |(key, _)| key);
            for key in line.split(',').map(str::trim).filter(|key| !key.is_empty()) {
                keys.push(Recipient::parse(key)?);
            }
        }
        if keys.0.is_empty() {
            return Err(Error::new(Code::InvalidOption, "there is no recipient")
                .next("give at least one public key: `age1…`, `ssh-ed25519 …` or `ssh-rsa …`"));
        }
        Ok(keys)
    }

    /// These recipients and more.
    #[must_use]
    pub fn and(mut self, more: &Self) -> Self {
        more.0.iter().for_each(|key| self.push(key.clone()));
        self
    }

    /// How many public keys these are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn age(&self) -> Vec<&dyn age::Recipient> {
        self.0.iter().map(Recipient::age).collect()
    }

    fn push(&mut self, key: Recipient) {
        if !self.0.iter().any(|known| known.to_string() == key.to_string()) {
            self.0.push(key);
        }
    }
}

impl From<age::x25519::Recipient> for Recipients {
    fn from(key: age::x25519::Recipient) -> Self {
        Self(vec![Recipient::X25519(key)])
    }
}

impl Recipient {
    fn parse(text: &str) -> Result<Self> {
        if text.starts_with("ssh-") {
            return text
                .parse()
                .map(Self::Ssh)
                .map_err(|_| unusable(text, "it is not a usable SSH key of 2048 bits or more"));
        }
        if text.to_ascii_uppercase().starts_with("AGE-SECRET-KEY-") {
            // Not repeated in the message: it is a secret.
            return Err(unusable("a recipient", "a private key was given in place of a public one"));
        }
        let key: age::x25519::Recipient = text.parse().map_err(|_| {
            let why = match bech32::decode(text) {
                Ok((hrp, _)) if hrp.as_str().starts_with("age1") => "keys of age plugins cannot be used here",
                _ => "it is mistyped or cut",
            };
            unusable(text, why)
        })?;
        match bech32::decode(text) {
            Ok((_, bytes)) if !is_low_order(&bytes) => Ok(Self::X25519(key)),
            _ => Err(unusable(text, "everybody knows its private key")),
        }
    }

    fn age(&self) -> &dyn age::Recipient {
        match self {
            Self::X25519(key) => key,
            Self::Ssh(key) => key,
        }
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::X25519(key) => key.fmt(f),
            Self::Ssh(key) => key.fmt(f),
        }
    }
}

/// One key a line, without comments.
impl fmt::Display for Recipients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, key) in self.0.iter().enumerate() {
            write!(f, "{}{key}", if i == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Recipients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(ToString::to_string)).finish()
    }
}

fn unusable(text: &str, why: &str) -> Error {
    Error::new(Code::InvalidOption, format!("`{text}` cannot be used as a recipient: {why}"))
        .next("give public keys `age1…`, `ssh-ed25519 …` or `ssh-rsa …`; `age-keygen` and `ssh-keygen` make them")
}

/// Points of X25519 with which every shared secret is zero (RFC 7748, section 7): `age` panics on them.
const LOW_ORDER: [&str; 7] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

fn is_low_order(point: &[u8]) -> bool {
    let mut point = point.to_vec();
    if let Some(last) = point.last_mut() {
        *last &= 0x7f; // X25519 ignores the highest bit.
    }
    LOW_ORDER.contains(&hex::encode(point).as_str())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    const SSH: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHsKLqeplhpW+uObz5dvMgjz1OxfM/XXUB+VHtZ6isGN";

    #[test]
    fn lists_lines_and_comments_are_read_and_doubles_dropped() {
        let one = age::x25519::Identity::generate().to_public().to_string();
        let two = age::x25519::Identity::generate().to_public().to_string();
        let text = format!("# the team\n{one},{two}\n\n{SSH} alice@host # laptop\n{one}\n");
        let keys = Recipients::parse(&text).unwrap();
        assert_eq!(keys.to_string(), format!("{one}\n{two}\n{SSH}"));
        assert_eq!(Recipients::parse(&one).unwrap().and(&keys).len(), 3);
    }

    #[test]
    fn unusable_keys_are_refused_and_secrets_not_repeated() {
        let secret =
            age::secrecy::ExposeSecret::expose_secret(&age::x25519::Identity::generate().to_string()).to_owned();
        let short_rsa = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAQQC";
        for bad in ["", "# nothing", "age1qqqq", "hello", "ssh-dss AAAA", short_rsa, &secret] {
            let e = Recipients::parse(bad).unwrap_err();
            assert_eq!(e.code(), Code::InvalidOption, "{bad}");
            assert!(!e.to_string().contains(&secret) && !format!("{e:?}").contains(&secret));
        }
    }

    #[test]
    fn points_of_low_order_are_refused_with_and_without_the_ignored_bit() {
        for point in LOW_ORDER {
            for high in [0, 0x80] {
                let mut bytes = hex::decode(point).unwrap();
                bytes[31] |= high;
                let text = bech32::encode::<bech32::Bech32>(bech32::Hrp::parse("age").unwrap(), &bytes).unwrap();
                let key: age::x25519::Recipient = text.parse().unwrap();
                let wraps = std::panic::catch_unwind(|| super::super::age_file::encrypt(&[&key], b"").is_ok());
                assert!(wraps.is_err(), "{point} is not of low order");
                assert!(Recipients::parse(&text).is_err(), "{point}");
            }
        }
    }
}
