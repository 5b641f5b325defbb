//! Who wrote a manifest: anyone can encrypt to a public key, so encryption does not tell.
//!
//! A host that holds the repository's identity authenticates with HMAC-SHA-256, under a key derived from it. A host that holds
//! recipients only signs with Ed25519 and a [`SigningKey`] of its own; readers name the [`Signer`]s they trust.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bech32::{Bech32m, Hrp};
use ed25519_dalek::{Signature, Signer as _, SigningKey as DalekSigningKey, VerifyingKey};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::RepositoryKeys;
use crate::error::{Code, Error, Result};
use crate::secret::{Key, Secret};

const PURPOSE: &str = "lastgood/1 manifest authentication";
const SIGNER_PREFIX: &str = "lastgood-signer";
const SIGNING_KEY_PREFIX: &str = "lastgood-signing-key-";

/// The authentication of a manifest, as it is stored in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "scheme", deny_unknown_fields)]
pub enum Auth {
    /// By a host that holds the repository's identity.
    #[serde(rename = "hmac-sha256")]
    HmacSha256 {
        /// The epoch of the identity.
        epoch: u32,
        /// The tag, in hex.
        tag: String,
    },
    /// By a host that can only encrypt.
    #[serde(rename = "ed25519")]
    Ed25519 {
        /// The host's public key.
        signer: Signer,
        /// The signature, in base64.
        signature: String,
    },
    /// In an unencrypted store: shows an accident, and stops nobody who means to alter it.
    #[serde(rename = "sha256")]
    Sha256 {
        /// SHA-256 of the message, in hex.
        digest: String,
    },
}

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
        Ok(Secret::new(encode(SIGNING_KEY_PREFIX, self.0.as_bytes())?.to_ascii_uppercase()))
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

/// Authenticates what this host writes.
#[derive(Debug, Clone)]
pub struct Authenticator(Author);

#[derive(Debug, Clone)]
enum Author {
    Hmac { epoch: u32, key: Key },
    Ed25519(SigningKey),
    Nobody,
}

impl Authenticator {
    /// Without any key, for an unencrypted store.
    #[must_use]
    pub fn of_nobody() -> Self {
        Self(Author::Nobody)
    }

    /// With the newest epoch's identity.
    ///
    /// # Errors
    /// `Internal`, which does not happen.
    pub fn of_keys(keys: &RepositoryKeys) -> Result<Self> {
        let epoch = keys.epoch();
        match keys.derive(epoch, PURPOSE)? {
            Some(key) => Ok(Self(Author::Hmac { epoch, key })),
            None => Err(Error::new(Code::Internal, "the repository has no identity")),
        }
    }

    /// With this host's own key.
    #[must_use]
    pub fn of_signing_key(key: SigningKey) -> Self {
        Self(Author::Ed25519(key))
    }

    /// Authenticates these bytes.
    ///
    /// # Errors
    /// `Internal`, which does not happen.
    pub fn sign(&self, message: &[u8]) -> Result<Auth> {
        Ok(match &self.0 {
            Author::Hmac { epoch, key } => {
                Auth::HmacSha256 { epoch: *epoch, tag: hex::encode(mac(key, message)?.finalize().into_bytes()) }
            }
            Author::Ed25519(key) => {
                Auth::Ed25519 { signer: key.signer(), signature: STANDARD.encode(key.0.sign(message).to_bytes()) }
            }
            Author::Nobody => Auth::Sha256 { digest: hex::encode(Sha256::digest(message)) },
        })
    }
}

/// Checks who wrote something.
#[derive(Debug, Clone, Default)]
pub struct Verifier {
    keys: Option<RepositoryKeys>,
    trusted: Vec<Signer>,
    anybody: bool,
}

impl Verifier {
    /// Believes hosts that hold the repository's identity, where it is at hand, and these signers.
    #[must_use]
    pub fn new(keys: Option<RepositoryKeys>, trusted: Vec<Signer>) -> Self {
        Self { keys, trusted, anybody: false }
    }

    /// Believes whoever can write to the store: for an unencrypted one.
    #[must_use]
    pub fn of_anybody() -> Self {
        Self { anybody: true, ..Self::default() }
    }

    /// Checks that a host that is believed authenticated exactly these bytes.
    ///
    /// # Errors
    /// `Unauthenticated` when it did not, or when that cannot be told here.
    pub fn check(&self, message: &[u8], auth: &Auth) -> Result<()> {
        let refuse = |what: String, next: &str| Err(Error::new(Code::Unauthenticated, what).next(next));
        match auth {
            Auth::Sha256 { digest } => {
                if !self.anybody {
                    return refuse(
                        "it carries no authentication, in a store that asks for it".to_owned(),
                        "use another backup",
                    );
                }
                if *digest != hex::encode(Sha256::digest(message)) {
                    return refuse("it was altered".to_owned(), "use another backup");
                }
            }
            Auth::HmacSha256 { epoch, tag } => {
                let Some(keys) = &self.keys else {
                    return refuse(
                        "it was written by a host with the repository's key, which is not at hand to check it"
                            .to_owned(),
                        "open the vault with a key",
                    );
                };
                let Some(key) = keys.derive(*epoch, PURPOSE)? else {
                    return refuse(
                        format!("it was written under epoch {epoch}, which this key slot does not hold"),
                        "use a newer key slot",
                    );
                };
                // Lower case only: one tag has one form.
                let tag = hex::decode(tag).ok().filter(|bytes| hex::encode(bytes) == *tag).unwrap_or_default();
                if mac(&key, message)?.verify_slice(&tag).is_err() {
                    return refuse(
                        "it was altered, or written by somebody without the key".to_owned(),
                        "use another backup",
                    );
                }
            }
            Auth::Ed25519 { signer, signature } => {
                if !self.trusted.contains(signer) {
                    return refuse(
                        format!("it was signed by `{signer}`, who is not trusted here"),
                        "if that is one of your hosts, name it as a trusted signer",
                    );
                }
                let signature = STANDARD.decode(signature).ok().and_then(|bytes| Signature::from_slice(&bytes).ok());
                if signature.is_none_or(|signature| signer.0.verify_strict(message, &signature).is_err()) {
                    return refuse(
                        format!("the signature of `{signer}` does not fit: it was altered"),
                        "use another backup",
                    );
                }
            }
        }
        Ok(())
    }
}

fn mac(key: &Key, message: &[u8]) -> Result<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.expose())
        .map_err(|_| Error::new(Code::Internal, "the authentication key has a wrong length"))?;
    mac.update(message);
    Ok(mac)
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

    const MESSAGE: &[u8] = b"lastgood/1 manifest\nabc\ndef\n";

    fn refused(verifier: &Verifier, message: &[u8], auth: &Auth) -> bool {
        verifier.check(message, auth).is_err_and(|e| e.code() == Code::Unauthenticated)
    }

    #[test]
    fn a_host_with_the_key_is_believed_and_nobody_else() {
        let keys = RepositoryKeys::generate();
        let auth = Authenticator::of_keys(&keys).unwrap().sign(MESSAGE).unwrap();
        let verifier = Verifier::new(Some(keys.next_epoch().unwrap()), Vec::new());
        verifier.check(MESSAGE, &auth).unwrap();

        assert!(refused(&verifier, b"another message", &auth));
        assert!(refused(&Verifier::new(Some(RepositoryKeys::generate()), Vec::new()), MESSAGE, &auth));
        assert!(refused(&Verifier::default(), MESSAGE, &auth));
        let Auth::HmacSha256 { tag, .. } = auth else { panic!() };
        for bad in ["", "zz", &tag[..62], &format!("{tag}00"), &tag.replace(&tag[..1], "")] {
            assert!(refused(&verifier, MESSAGE, &Auth::HmacSha256 { epoch: 1, tag: bad.to_owned() }), "{bad}");
        }
        for epoch in [0, 2, 3] {
            assert!(refused(&verifier, MESSAGE, &Auth::HmacSha256 { epoch, tag: tag.clone() }), "{epoch}");
        }
    }

    #[test]
    fn a_trusted_signer_is_believed_and_no_other() {
        let key = SigningKey::generate().unwrap();
        let auth = Authenticator::of_signing_key(key.clone()).sign(MESSAGE).unwrap();
        let verifier = Verifier::new(None, vec![key.signer().to_string().parse().unwrap()]);
        verifier.check(MESSAGE, &auth).unwrap();
        assert!(refused(&verifier, b"another message", &auth));
        assert!(refused(&Verifier::default(), MESSAGE, &auth));

        let other = SigningKey::generate().unwrap();
        let Auth::Ed25519 { signature, .. } = auth else { panic!() };
        assert!(refused(&verifier, MESSAGE, &Auth::Ed25519 { signer: other.signer(), signature: signature.clone() }));
        let forged = Authenticator::of_signing_key(other).sign(MESSAGE).unwrap();
        let Auth::Ed25519 { signature: theirs, .. } = forged else { panic!() };
        for bad in ["", "AA==", &theirs] {
            let auth = Auth::Ed25519 { signer: key.signer(), signature: bad.to_owned() };
            assert!(refused(&verifier, MESSAGE, &auth), "{bad}");
        }
    }

    #[test]
    fn the_stored_form_is_stable() {
        let keys = RepositoryKeys::from_raw(&Key::new([9; 32])).unwrap();
        let auth = Authenticator::of_keys(&keys).unwrap().sign(MESSAGE).unwrap();
        let json = serde_json::to_string(&auth).unwrap();
        assert_eq!(json, HMAC_JSON);
        let key = SigningKey(DalekSigningKey::from_bytes(&[9; 32]));
        let signed = Authenticator::of_signing_key(key).sign(MESSAGE).unwrap();
        let signed_json = serde_json::to_string(&signed).unwrap();
        assert_eq!(signed_json, ED25519_JSON);
        assert_eq!(serde_json::from_str::<Auth>(&json).unwrap(), auth);
        assert_eq!(serde_json::from_str::<Auth>(&signed_json).unwrap(), signed);
        assert!(serde_json::from_str::<Auth>(r#"{"scheme":"none"}"#).is_err());
    }

    const HMAC_JSON: &str = "";
    const ED25519_JSON: &str = "";

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

        let auth = Authenticator::of_signing_key(key.clone());
        let hmac = Authenticator::of_keys(&RepositoryKeys::generate()).unwrap();
        assert_eq!(format!("{key:?} {auth:?}"), "SigningKey(..) Authenticator(Ed25519(SigningKey(..)))");
        assert_eq!(format!("{hmac:?}"), "Authenticator(Hmac { epoch: 1, key: Key(..) })");
    }
}
