//! The repository's identity: the X25519 keys that every backup's data key is wrapped to.

use std::fmt;

use age::secrecy::ExposeSecret;
use hkdf::Hkdf;
use sha2::{Digest, Sha256, Sha512};
use zeroize::Zeroizing;

use super::{Recipients, age_file};
use crate::error::{Code, Error, Result};
use crate::secret::{Key, Secret};

const SECRET_PREFIX: &str = "age-secret-key-";

/// The private keys of a repository: one for each epoch, the newest first.
///
/// A new epoch makes a new identity for future backups; the earlier ones stay, so that old backups open.
#[derive(Clone)]
pub struct RepositoryKeys {
    epochs: Vec<EpochKey>,
}

#[derive(Clone)]
struct EpochKey {
    epoch: u32,
    text: Secret,
    identity: age::x25519::Identity,
}

impl EpochKey {
    fn new(epoch: u32, identity: age::x25519::Identity) -> Self {
        Self { epoch, text: Secret::from(identity.to_string().expose_secret()), identity }
    }
}

impl RepositoryKeys {
    /// A new random identity, of epoch 1.
    #[must_use]
    pub fn generate() -> Self {
        Self { epochs: vec![EpochKey::new(1, age::x25519::Identity::generate())] }
    }

    /// The identity that follows from a raw key, of epoch 1.
    ///
    /// Its X25519 key is HKDF-SHA-512 of the raw key, without salt, for `lastgood/1 raw key`.
    ///
    /// # Errors
    /// `Internal`, which does not happen.
    pub fn from_raw(key: &Key) -> Result<Self> {
        let internal = || Error::new(Code::Internal, "the raw key gives no identity");
        let mut secret = Zeroizing::new([0_u8; 32]);
        Hkdf::<Sha512>::new(None, key.expose()).expand(b"lastgood/1 raw key", &mut *secret).map_err(|_| internal())?;
        let hrp = bech32::Hrp::parse(SECRET_PREFIX).map_err(|_| internal())?;
        let text = Zeroizing::new(bech32::encode_upper::<bech32::Bech32>(hrp, &*secret).map_err(|_| internal())?);
        Ok(Self { epochs: vec![EpochKey::new(1, text.parse().map_err(|_| internal())?)] })
    }

    /// These keys and a new random identity in front of them.
    ///
    /// # Errors
    /// `Internal` after four billion epochs.
    pub fn next_epoch(&self) -> Result<Self> {
        let next = self.epoch().checked_add(1).ok_or_else(|| Error::new(Code::Internal, "there are no more epochs"))?;
        let mut epochs = vec![EpochKey::new(next, age::x25519::Identity::generate())];
        epochs.extend_from_slice(&self.epochs);
        Ok(Self { epochs })
    }

    /// Every epoch there is a key of, the newest first.
    #[must_use]
    pub fn epochs(&self) -> Vec<u32> {
        self.epochs.iter().map(|key| key.epoch).collect()
    }

    /// Whether all the keys of `older` are among these.
    pub(crate) fn includes(&self, older: &Self) -> bool {
        older.epochs.iter().all(|key| self.epochs.iter().any(|own| own.epoch == key.epoch && own.text == key.text))
    }

    /// The public key of one epoch.
    #[must_use]
    pub fn recipients_of(&self, epoch: u32) -> Recipients {
        let key = self.epochs.iter().find(|key| key.epoch == epoch);
        key.map(|key| key.identity.to_public().into()).unwrap_or_default()
    }

    /// The epochs whose key opens a wrapped data key.
    pub(crate) fn epochs_opening(&self, wrapped: &[u8]) -> Vec<u32> {
        let opens = |key: &&EpochKey| age_file::decrypt(wrapped, &[&key.identity]).is_ok();
        self.epochs.iter().filter(opens).map(|key| key.epoch).collect()
    }

    /// The newest epoch: new backups belong to it.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.epochs.first().map_or(0, |key| key.epoch)
    }

    /// The public key of the newest epoch: new data keys are wrapped to it.
    #[must_use]
    pub fn recipients(&self) -> Recipients {
        self.epochs.first().map(|key| key.identity.to_public().into()).unwrap_or_default()
    }

    /// The keys as an `age` identity file: what a key slot holds, and what `age -i` takes.
    #[must_use]
    pub fn identity_file(&self) -> Secret {
        // Room for all of it, so that no copy is left behind by a growing string.
        let mut file = String::with_capacity(100 + self.epochs.len() * 200);
        file.push_str("# identity of a lastgood store, newest epoch first\n");
        for key in &self.epochs {
            file.push_str(&format!("# epoch {}, public key {}\n", key.epoch, key.identity.to_public()));
            file.push_str(key.text.expose());
            file.push('\n');
        }
        Secret::new(file)
    }

    /// Reads what [`identity_file`](Self::identity_file) wrote.
    ///
    /// # Errors
    /// `Damaged` when it is not the identity file of a store.
    pub fn from_identity_file(text: &str) -> Result<Self> {
        let damaged = |line: usize, what: &str| {
            Error::new(Code::Damaged, format!("the store's identity file: line {line}: {what}"))
                .next("use another key slot or another copy of the store")
        };
        let (mut epochs, mut announced) = (Vec::<EpochKey>::new(), None);
        for (line, number) in text.lines().map(str::trim).zip(1..) {
            if let Some(rest) = line.strip_prefix("# epoch ") {
                let digits = rest.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
                announced = Some(digits.parse().map_err(|_| damaged(number, "the epoch is not a number"))?);
            } else if !line.is_empty() && !line.starts_with('#') {
                let identity = line.parse().map_err(|_| damaged(number, "it is not an age secret key"))?;
                let epoch = announced.take().ok_or_else(|| damaged(number, "the key has no epoch"))?;
                if epochs.last().is_some_and(|newer| newer.epoch <= epoch) {
                    return Err(damaged(number, "epochs are not in order"));
                }
                epochs.push(EpochKey::new(epoch, identity));
            }
        }
        if epochs.is_empty() {
            return Err(damaged(text.lines().count(), "there is no key"));
        }
        Ok(Self { epochs })
    }

    /// Opens a backup's wrapped data key, of whichever epoch.
    ///
    /// # Errors
    /// `WrongKey` when it was wrapped to other keys, `Damaged` when it was altered.
    pub fn unwrap_data_key(&self, wrapped: &[u8]) -> Result<Key> {
        let digits = age_file::decrypt(wrapped, &self.age())?;
        let mut key = Zeroizing::new([0_u8; 32]);
        hex::decode_to_slice(digits.trim_ascii(), &mut *key)
            .map_err(|_| Error::new(Code::Damaged, "it does not hold 64 hex digits").next("use another backup"))?;
        Ok(Key::new(*key))
    }

    pub(super) fn age(&self) -> Vec<&dyn age::Identity> {
        self.epochs.iter().map(|key| &key.identity as _).collect()
    }

    /// A key for one purpose, derived from the identity of one epoch: HKDF-SHA-256 of its 32 bytes, without salt.
    pub(super) fn derive(&self, epoch: u32, purpose: &str) -> Result<Option<Key>> {
        let Some(key) = self.epochs.iter().find(|key| key.epoch == epoch) else { return Ok(None) };
        let internal = || Error::new(Code::Internal, "the identity gives no key");
        let (_, secret) = bech32::decode(key.text.expose()).map_err(|_| internal())?;
        let secret = Zeroizing::new(secret);
        let mut derived = Zeroizing::new([0_u8; 32]);
        Hkdf::<Sha256>::new(None, &secret).expand(purpose.as_bytes(), &mut *derived).map_err(|_| internal())?;
        Ok(Some(Key::new(*derived)))
    }

    /// Names the identity of the newest epoch without revealing it: 16 hex digits, of its public key's SHA-256.
    #[must_use]
    pub fn key_id(&self) -> String {
        let mut id = hex::encode(Sha256::digest(self.recipients().to_string()));
        id.truncate(16);
        id
    }
}

impl fmt::Debug for RepositoryKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RepositoryKeys").field("epoch", &self.epoch()).finish_non_exhaustive()
    }
}
