//! Values that never print themselves and are wiped when dropped.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::error::{Code, Error, Result};

/// A passphrase, an identity or another secret text.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(with = "String"))]
pub struct Secret(String);

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        // The usual message would show what was given instead of a text, for example a number that is a password.
        String::deserialize(deserializer).map(Self).map_err(|_| D::Error::custom("a secret must be a text"))
    }
}

impl Secret {
    /// Takes ownership of a secret text.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself: call this only where the secret is used.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// In a time that does not depend on where two secrets differ.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for Secret {}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<&String> for Secret {
    fn from(text: &String) -> Self {
        Self(text.clone())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// 32 secret bytes: a data key, a raw repository key or a key derived from one.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Key([u8; 32]);

impl Key {
    /// Takes ownership of 32 key bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// 32 bytes of the system's randomness.
    ///
    /// # Errors
    /// `Internal` when the system has none to give.
    pub fn random() -> Result<Self> {
        let mut bytes = [0_u8; 32];
        getrandom::fill(&mut bytes)
            .map_err(|e| Error::new(Code::Internal, format!("the system gave no random bytes: {e}")))?;
        Ok(Self(bytes))
    }

    /// The bytes themselves: call this only where the key is used.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_text_is_refused_without_being_shown() {
        let error = serde_json::from_str::<Secret>("271828182").unwrap_err().to_string();
        assert!(error.contains("a secret must be a text") && !error.contains("271828182"), "{error}");
    }
}
