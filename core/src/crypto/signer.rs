//! Keys of hosts that hold recipients only, and sign what they write.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bech32::{Bech32m, Hrp};
use ed25519_dalek::{Signature, Signer as _, SigningKey as DalekSigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::error::{Code, Error, Result};
use crate::secret::{Key, Secret};

const SIGNER_PREFIX: &str = "lastgood-signer";
const SIGNING_KEY_PREFIX: &str = "lastgood-signing-key-";

/// The public key of a host that signs: `lastgood-signer1…` (Bech32m of 32 bytes).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Signer(VerifyingKey);

/// The private key of a host that signs: `LASTGOOD-SIGNING-KEY-1…` (Bech32m of 32 bytes).
#[derive(Clone)]
pub struct SigningKey(DalekSigningKey);

impl SigningKey {
    /// A new random key.
    ///
    /// # Errors
    /// `Internal` when the system gives no random bytes.
    pub fn generate() -> Result<Self> {
        Ok(Self(DalekSigningKey::from_bytes(Key::random()?.expose())))
    }

    #[cfg(test)]
    pub(super) fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(DalekSigningKey::from_bytes(bytes))
    }

    /// The public key that goes with it.
    #[must_use]
    pub fn signer(&self) -> Signer {
        Signer(self.0.verifying_key())
    }

    /// The key as text, to be kept as a secret.
    ///
    /// # Errors
    /// `Internal`, which does not happen.
    pub fn to_secret(&self) -> Result<Secret> {
        // In upper case, as age writes its secrets: hard to mistake for a public key.
        let mut text = encode(SIGNING_KEY_PREFIX, self.0.as_bytes())?;
        text.make_ascii_uppercase();
        Ok(Secret::new(text))
    }

    /// Reads the text of a key.
    ///
    /// # Errors
    /// `InvalidOption` when it is not one; the message does not repeat it.
    pub fn parse(text: &Secret) -> Result<Self> {
        match decode(SIGNING_KEY_PREFIX, text.expose().trim()) {
            Some(bytes) => Ok(Self(DalekSigningKey::from_bytes(&bytes))),
            None => Err(Error::new(Code::InvalidOption, "the signing key is mistyped or cut")
                .next("a signing key begins with LASTGOOD-SIGNING-KEY-1")),
        }
    }

    /// The signature of these bytes, in base64.
    pub(super) fn sign(&self, message: &[u8]) -> String {
        STANDARD.encode(self.0.sign(message).to_bytes())
    }
}

impl Signer {
    /// Whether this host signed exactly these bytes.
    pub(super) fn signed(&self, message: &[u8], signature: &str) -> bool {
        let signature = STANDARD.decode(signature).ok().and_then(|bytes| Signature::from_slice(&bytes).ok());
        signature.is_some_and(|signature| self.0.verify_strict(message, &signature).is_ok())
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

impl FromStr for Signer {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let key = decode(SIGNER_PREFIX, text.trim()).and_then(|bytes| VerifyingKey::from_bytes(&bytes).ok());
        key.filter(|key| !key.is_weak()).map(Self).ok_or_else(|| {
            Error::new(Code::InvalidOption, format!("`{text}` is not a signer's public key"))
                .next("a signer begins with lastgood-signer1")
        })
    }
}

impl TryFrom<String> for Signer {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Signer> for String {
    fn from(signer: Signer) -> Self {
        signer.to_string()
    }
}

impl fmt::Display for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&encode(SIGNER_PREFIX, self.0.as_bytes()).map_err(|_| fmt::Error)?)
    }
}

fn encode(prefix: &str, bytes: &[u8; 32]) -> Result<String> {
    let internal = || Error::new(Code::Internal, "a key cannot be written as text");
    let hrp = Hrp::parse(prefix).map_err(|_| internal())?;
    bech32::encode_lower::<Bech32m>(hrp, bytes).map_err(|_| internal())
}

fn decode(prefix: &str, text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let parsed = bech32::primitives::decode::CheckedHrpstring::new::<Bech32m>(text).ok()?;
    if !parsed.hrp().as_str().eq_ignore_ascii_case(prefix) {
        return None;
    }
    let bytes = Zeroizing::new(parsed.byte_iter().collect::<Vec<u8>>());
    Some(Zeroizing::new(<[u8; 32]>::try_from(&bytes[..]).ok()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn keys_round_trip_as_text_and_never_print() {
        let key = SigningKey::generate().unwrap();
        let text = key.to_secret().unwrap();
        assert!(text.expose().starts_with("LASTGOOD-SIGNING-KEY-1"));
        assert_eq!(SigningKey::parse(&text).unwrap().signer(), key.signer());
        assert_eq!(SigningKey::parse(&text.expose().to_lowercase().into()).unwrap().signer(), key.signer());
        let cut = Secret::from(&text.expose()[..40]);
        let e = SigningKey::parse(&cut).unwrap_err();
        assert!(!format!("{e:?}{e}").contains(cut.expose()));
        for bad in ["", "lastgood-signer1", text.expose(), &format!("{}q", key.signer())] {
            assert!(bad.parse::<Signer>().is_err());
        }
        // Of small order: anybody could sign for it.
        let weak = encode(
            SIGNER_PREFIX,
            &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        );
        assert!(weak.unwrap().parse::<Signer>().is_err());
        assert_eq!(format!("{key:?}"), "SigningKey(..)");
    }
}
