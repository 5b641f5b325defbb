//! Who wrote a manifest: anyone can encrypt to a public key, so encryption does not tell.
//!
//! A host that holds the repository's identity authenticates with HMAC-SHA-256, under a key derived from it. A host that holds
//! recipients only signs with Ed25519 and a [`SigningKey`] of its own; readers name the [`Signer`]s they trust.

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::RepositoryKeys;
use crate::error::{Code, Error, Result};
use crate::secret::Key;

pub use super::signer::{Signer, SigningKey};

const PURPOSE: &str = "lastgood/1 manifest authentication";

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
            Author::Ed25519(key) => Auth::Ed25519 { signer: key.signer(), signature: key.sign(message) },
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
                if !signer.signed(message, signature) {
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
        for bad in ["", "zz", &tag[..62], &format!("{tag}00"), &tag.to_uppercase()] {
            assert!(refused(&verifier, MESSAGE, &Auth::HmacSha256 { epoch: 1, tag: bad.to_owned() }), "{bad}");
        }
        for epoch in [0, 2, 3] {
            assert!(refused(&verifier, MESSAGE, &Auth::HmacSha256 { epoch, tag: tag.clone() }), "{epoch}");
        }
    }

    #[test]
    fn a_digest_is_enough_only_where_nothing_is_encrypted() {
        let auth = Authenticator::of_nobody().sign(MESSAGE).unwrap();
        let anybody = Verifier::of_anybody();
        anybody.check(MESSAGE, &auth).unwrap();
        assert!(refused(&anybody, b"another message", &auth));
        let key = SigningKey::generate().unwrap();
        let strict = Verifier::new(Some(RepositoryKeys::generate()), vec![key.signer()]);
        assert!(refused(&strict, MESSAGE, &auth));
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
        let key = SigningKey::from_bytes(&[9; 32]);
        let signed = Authenticator::of_signing_key(key).sign(MESSAGE).unwrap();
        let signed_json = serde_json::to_string(&signed).unwrap();
        assert_eq!(signed_json, ED25519_JSON);
        assert_eq!(serde_json::from_str::<Auth>(&json).unwrap(), auth);
        assert_eq!(serde_json::from_str::<Auth>(&signed_json).unwrap(), signed);
        assert!(serde_json::from_str::<Auth>(r#"{"scheme":"none"}"#).is_err());
    }

    // Both computed with Python's `cryptography`.
    const HMAC_JSON: &str = r#"{"scheme":"hmac-sha256","epoch":1,"tag":"fa5d9f41a7b518e542924164b216ed697a1a40f31b56e65dcad984b5666f3d1b"}"#;
    const ED25519_JSON: &str = r#"{"scheme":"ed25519","signer":"lastgood-signer1l5tjgwz65rr4ke8m0rxkqtapmxglm6lhdvfutrkhqt4vsd0f7cvqznexy6","signature":"eyGuorPRyNhj3aPm1ENnI3gvxfwTuMGYTOiS7G+YlWzI0N4c4/eDnEjq3joWjcT2W7bOkuavcB9dWqDp7gC2CA=="}"#;

    #[test]
    fn nothing_prints_a_key() {
        let auth = Authenticator::of_signing_key(SigningKey::generate().unwrap());
        let hmac = Authenticator::of_keys(&RepositoryKeys::generate()).unwrap();
        assert_eq!(format!("{auth:?}"), "Authenticator(Ed25519(SigningKey(..)))");
        assert_eq!(format!("{hmac:?}"), "Authenticator(Hmac { epoch: 1, key: Key(..) })");
    }
}
