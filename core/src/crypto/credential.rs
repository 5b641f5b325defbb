//! What a caller gives to open a repository.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::{Recipients, RepositoryKeys, age_file, keyring};
use crate::error::{Code, Error, Result};
use crate::secret::{Key, Secret};

/// Seals key slots with something of the caller's own: a cloud's key management, a hardware module.
///
/// It is asked once when a repository is opened, and once for each new slot; backups never wait for it. The calls come on a
/// thread that may block; an asynchronous client is driven there with `tokio::runtime::Handle::current().block_on(…)`.
pub trait KeyProvider: Send + Sync {
    /// A short name, kept in the slot so that another provider is not asked to open it. One line.
    fn name(&self) -> &str;

    /// Seals an identity file of some hundred bytes, so that only [`unwrap`](Self::unwrap) opens it.
    ///
    /// # Errors
    /// Whatever the provider meets.
    fn wrap(&self, identity_file: &[u8]) -> Result<Vec<u8>>;

    /// Opens what [`wrap`](Self::wrap) sealed, and refuses it when it was altered.
    ///
    /// # Errors
    /// `WrongKey` when the provider's key is another one; whatever else the provider meets.
    fn unwrap(&self, sealed: &[u8]) -> Result<Vec<u8>>;
}

/// What opens a repository.
#[derive(Clone)]
#[non_exhaustive]
pub enum Credential {
    /// A passphrase.
    Passphrase(Secret),
    /// 32 bytes of key, from which the repository's identity follows.
    Raw(Key),
    /// The text of an identity file: `AGE-SECRET-KEY-1…` lines, SSH private keys without a passphrase, or what a key slot held.
    Identities(Secret),
    /// A key provider.
    Provider(Arc<dyn KeyProvider>),
}

impl Credential {
    /// Reads a setting such as `BACKUP_ENCRYPTION_KEY`: a passphrase, whatever it looks like, unless it is `raw:` followed by 32
    /// bytes in hex or base64.
    ///
    /// # Errors
    /// `MissingSetting` when it is empty.
    ///
    /// # Example
    /// ```
    /// use lastgood::crypto::Credential;
    /// let raw = Credential::from_setting("raw:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")?;
    /// assert!(matches!(raw, Credential::Raw(_)));
    /// assert!(matches!(Credential::from_setting("raw: a passphrase")?, Credential::Passphrase(_)));
    /// # Ok::<(), lastgood::Error>(())
    /// ```
    pub fn from_setting(text: &str) -> Result<Self> {
        if text.is_empty() {
            return Err(Error::new(Code::MissingSetting, "the encryption key is empty")
                .next("set a passphrase of at least 32 characters, for example from `openssl rand -base64 32`"));
        }
        let raw = text.strip_prefix("raw:").and_then(raw_bytes);
        Ok(raw.map_or_else(|| Self::Passphrase(Secret::from(text)), Self::Raw))
    }

    /// Whether both are the same key, given twice.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Passphrase(a), Self::Passphrase(b)) | (Self::Identities(a), Self::Identities(b)) => a == b,
            (Self::Raw(a), Self::Raw(b)) => bool::from(a.expose().ct_eq(b.expose())),
            (Self::Provider(a), Self::Provider(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }

    /// Opens the bytes of an age slot. Providers do not get here.
    pub(super) fn open_age(&self, slot: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        match self {
            Self::Passphrase(passphrase) => {
                let mut identity = age::scrypt::Identity::new(passphrase.expose().to_owned().into());
                identity.set_max_work_factor(keyring::MAX_WORK_FACTOR);
                age_file::decrypt(slot, &[&identity])
            }
            Self::Raw(key) => age_file::decrypt(slot, &RepositoryKeys::from_raw(key)?.age()),
            Self::Identities(text) => {
                let identities = parse_identities(text.expose())?;
                let identities: Vec<_> = identities.iter().map(Private::age).collect();
                age_file::decrypt(slot, &identities)
            }
            Self::Provider(provider) => Err(Error::new(
                Code::WrongKey,
                format!("it is an age file, which the key provider `{}` did not make", provider.name()),
            )
            .next("give the passphrase or the identity file that opens it")),
        }
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passphrase(_) => f.write_str("Passphrase(..)"),
            Self::Raw(_) => f.write_str("Raw(..)"),
            Self::Identities(_) => f.write_str("Identities(..)"),
            Self::Provider(provider) => write!(f, "Provider({})", provider.name()),
        }
    }
}

/// 32 bytes in hex or in base64 of either alphabet, with or without padding.
fn raw_bytes(text: &str) -> Option<Key> {
    let mut bytes = Zeroizing::new([0_u8; 32]);
    if hex::decode_to_slice(text, &mut *bytes).is_ok() {
        return Some(Key::new(*bytes));
    }
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    [alphabet::STANDARD, alphabet::URL_SAFE].iter().find_map(|alphabet| {
        let decoded = Zeroizing::new(GeneralPurpose::new(alphabet, config).decode(text).ok()?);
        bytes.copy_from_slice(decoded.get(..).filter(|d| d.len() == 32)?);
        Some(Key::new(*bytes))
    })
}

/// A private key out of an identity file.
enum Private {
    X25519(age::x25519::Identity),
    Ssh(age::ssh::Identity),
}

impl Private {
    fn age(&self) -> &dyn age::Identity {
        match self {
            Self::X25519(identity) => identity,
            Self::Ssh(identity) => identity,
        }
    }
}

/// The public keys that belong to an identity file.
pub(super) fn public_keys(text: &str) -> Result<Recipients> {
    let mut keys = Recipients::default();
    for identity in parse_identities(text)? {
        let key = match identity {
            Private::X25519(identity) => identity.to_public().to_string(),
            Private::Ssh(identity) => age::ssh::Recipient::try_from(identity)
                .map_err(|_| Error::new(Code::InvalidOption, "the SSH key has no public key that can be used"))?
                .to_string(),
        };
        keys = keys.and(&Recipients::parse(&key)?);
    }
    Ok(keys)
}

fn parse_identities(text: &str) -> Result<Vec<Private>> {
    let mut identities = Vec::new();
    let mut lines = text.lines().zip(1..);
    while let Some((line, number)) = lines.next() {
        let line = line.trim();
        if line.starts_with("-----BEGIN ") {
            let mut pem = Zeroizing::new(format!("{line}\n"));
            for (line, _) in lines.by_ref() {
                pem.push_str(line.trim());
                pem.push('\n');
                if line.starts_with("-----END ") {
                    break;
                }
            }
            identities.push(Private::Ssh(ssh_identity(&pem, number)?));
        } else if !line.is_empty() && !line.starts_with('#') {
            identities.push(Private::X25519(line.parse().map_err(|_| {
                if line.starts_with("AGE-PLUGIN-") {
                    return unusable(number, "age plugins are not run from here")
                        .next("decrypt the key slot with `age -d -i` and give the result as the identity file");
                }
                unusable(number, "it is neither an age secret key nor an SSH private key")
                    .next("give a file that `age-keygen` or `ssh-keygen` made")
            })?));
        }
    }
    if identities.is_empty() {
        return Err(Error::new(Code::InvalidOption, "the identity file holds no key")
            .next("give a file that `age-keygen` or `ssh-keygen` made"));
    }
    Ok(identities)
}

fn ssh_identity(pem: &str, number: usize) -> Result<age::ssh::Identity> {
    match age::ssh::Identity::from_buffer(pem.as_bytes(), None) {
        Ok(identity @ age::ssh::Identity::Unencrypted(_)) => Ok(identity),
        Ok(age::ssh::Identity::Encrypted(_)) => Err(unusable(number, "the SSH key is locked with a passphrase")
            .next("unlock a copy with `ssh-keygen -p -N '' -f COPY`, or give a key made with `age-keygen`")),
        _ => {
            Err(unusable(number, "the SSH key cannot be used")
                .next("give an ed25519 or RSA key made with `ssh-keygen`"))
        }
    }
}

// The line's number in place of the line: it may be a secret.
fn unusable(number: usize, why: &str) -> Error {
    Error::new(Code::InvalidOption, format!("the identity file: line {number}: {why}"))
}
