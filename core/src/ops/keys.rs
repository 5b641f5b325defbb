//! What a host can do with a store's keys: wrap and unwrap data keys, write and check authentication.

use crate::crypto::auth::{Auth, Authenticator, Signer, SigningKey, Verifier};
use crate::crypto::keyring::{SlotKey, seal_slot, unlock, wrap_data_key};
use crate::crypto::{Credential, Recipients, RepositoryKeys};
use crate::error::{Code, Error, Result};
use crate::format::layout;
use crate::secret::Key;
use crate::storage::{Created, Repository};

/// A slot larger than this is refused before it is read.
pub(super) const MAX_SLOT_BYTES: u64 = 1 << 20;

/// What the caller gave to open a store with.
#[derive(Debug, Default)]
pub(crate) struct KeyOptions {
    /// Tried in this order.
    pub(crate) credentials: Vec<Credential>,
    pub(crate) recipients: Recipients,
    pub(crate) signing_key: Option<SigningKey>,
    pub(crate) trusted_signers: Vec<Signer>,
    pub(crate) unencrypted: bool,
    pub(crate) allow_weak: bool,
    pub(crate) work_factor: Option<u8>,
}

/// What this host can do.
#[derive(Debug)]
pub(crate) enum Keys {
    /// The store is not encrypted, and the caller knows.
    Unencrypted,
    /// Nothing was given: what needs no key can be read.
    Locked { encrypted: bool },
    /// The repository's identity was opened.
    Open(Box<OpenKeys>),
    /// Recipients only: new backups can be sealed and signed, none opened.
    Sealing { recipients: Recipients, epoch: u32, authenticator: Box<Authenticator>, verifier: Verifier },
}

/// The repository's identity, and what opened it.
#[derive(Debug)]
pub(crate) struct OpenKeys {
    pub(crate) repository: RepositoryKeys,
    /// The slot's object name.
    pub(crate) slot: String,
    recipients: Recipients,
    authenticator: Authenticator,
    verifier: Verifier,
}

impl Keys {
    /// Opens the keys of a store that exists.
    pub(crate) async fn open(repository: &Repository, encrypted: bool, options: &KeyOptions) -> Result<Self> {
        if !encrypted {
            // A store that claims to be unencrypted gets no plaintext from a caller who did not say so.
            return Ok(if options.unencrypted { Self::Unencrypted } else { Self::Locked { encrypted } });
        }
        if !options.credentials.is_empty() {
            return Self::unlock(repository, options).await;
        }
        match &options.signing_key {
            _ if options.recipients.is_empty() => Ok(Self::Locked { encrypted }),
            Some(key) => {
                let epoch = slots(repository).await?.iter().map(|s| s.epoch).max().unwrap_or(1);
                let authenticator = Box::new(Authenticator::of_signing_key(key.clone()));
                // It believes itself, and whom it is told to believe.
                let trusted = options.trusted_signers.iter().cloned().chain([key.signer()]).collect();
                let verifier = Verifier::new(None, trusted);
                Ok(Self::Sealing { recipients: options.recipients.clone(), epoch, authenticator, verifier })
            }
            None => Err(Error::new(Code::MissingSetting, "recipients were given without a key that opens the store")
                .next("give the key as well, or a signing key that readers trust")),
        }
    }

    async fn unlock(repository: &Repository, options: &KeyOptions) -> Result<Self> {
        let mut contents = Vec::new();
        for slot in slots(repository).await? {
            let bytes = repository.get(&slot.object, MAX_SLOT_BYTES).await?;
            contents.extend(bytes.map(|bytes| (slot.object, bytes.to_vec())));
        }
        if contents.is_empty() {
            return Err(Error::new(Code::ObjectMissing, "the store has no key slots")
                .next("put the folder `keys` back from another copy"));
        }
        let (keys, slot) = unlock_any(contents, options.credentials.clone()).await?;
        Ok(Self::Open(Box::new(OpenKeys {
            authenticator: Authenticator::of_keys(&keys)?,
            verifier: Verifier::new(Some(keys.clone()), options.trusted_signers.clone()),
            recipients: keys.recipients().and(&options.recipients),
            repository: keys,
            slot,
        })))
    }

    /// Makes the repository's identity and its first slot, unless another host was faster.
    pub(crate) async fn create(repository: &Repository, options: &KeyOptions) -> Result<()> {
        let key = Self::first_slot(options)?;
        let sealed = seal(RepositoryKeys::generate(), key).await?;
        repository.create(&layout::key_slot(1, "main"), sealed).await?;
        Ok(())
    }

    /// The slot that a new store would get from these options.
    pub(super) fn first_slot(options: &KeyOptions) -> Result<SlotKey> {
        let mut key = match options.credentials.first() {
            Some(Credential::Passphrase(passphrase)) if options.allow_weak => {
                SlotKey::weak_passphrase(passphrase.clone())?
            }
            Some(Credential::Passphrase(passphrase)) => SlotKey::passphrase(passphrase.clone())?,
            Some(Credential::Raw(raw)) => SlotKey::recipients(RepositoryKeys::from_raw(raw)?.recipients())?,
            Some(Credential::Provider(provider)) => SlotKey::provider(provider.clone()),
            Some(Credential::Identities(_)) => SlotKey::recipients(options.recipients.clone()).map_err(|e| {
                e.at("the store is new")
                    .next("give the identities' public keys as recipients, so that a key slot can be made")
            })?,
            None => {
                return Err(Error::new(Code::KeyRequired, "the store is new and no key was given")
                    .next("give a passphrase or key file, or say that it is to be unencrypted"));
            }
        };
        if let Some(log_n) = options.work_factor {
            key = key.work_factor(log_n)?;
        }
        Ok(key)
    }

    pub(crate) fn epoch(&self) -> Option<u32> {
        match self {
            Self::Unencrypted | Self::Locked { .. } => None,
            Self::Open(keys) => Some(keys.repository.epoch()),
            Self::Sealing { epoch, .. } => Some(*epoch),
        }
    }

    /// A fresh data key and its wrapping; none in an unencrypted store.
    pub(crate) fn new_data_key(&self) -> Result<Option<(Key, Vec<u8>)>> {
        let recipients = match self {
            Self::Unencrypted => return Ok(None),
            Self::Locked { encrypted } => return Err(locked(*encrypted)),
            Self::Open(keys) => &keys.recipients,
            Self::Sealing { recipients, .. } => recipients,
        };
        let key = Key::random()?;
        let wrapped = wrap_data_key(&key, recipients)?;
        Ok(Some((key, wrapped)))
    }

    pub(crate) fn unwrap_data_key(&self, wrapped: &[u8]) -> Result<Key> {
        self.opened()?.repository.unwrap_data_key(wrapped)
    }

    /// Authenticates what this host writes.
    pub(crate) fn sign(&self, bytes: &[u8]) -> Result<Auth> {
        match self {
            Self::Unencrypted => Authenticator::of_nobody().sign(bytes),
            Self::Locked { encrypted } => Err(locked(*encrypted)),
            Self::Open(keys) => keys.authenticator.sign(bytes),
            Self::Sealing { authenticator, .. } => authenticator.sign(bytes),
        }
    }

    /// Checks who wrote something.
    pub(crate) fn check(&self, auth: &Auth, bytes: &[u8]) -> Result<()> {
        match self {
            Self::Unencrypted => Verifier::of_anybody().check(bytes, auth),
            Self::Sealing { verifier, .. } => verifier.check(bytes, auth),
            _ => self.opened()?.verifier.check(bytes, auth),
        }
    }

    /// Whether this host can back up and open nothing.
    pub(crate) fn is_sealing(&self) -> bool {
        matches!(self, Self::Sealing { .. })
    }

    /// Refuses a host that cannot tell its backups from what somebody else put there.
    pub(crate) fn can_tell(&self) -> Result<()> {
        match self {
            Self::Locked { encrypted } => Err(locked(*encrypted)),
            _ => Ok(()),
        }
    }

    pub(crate) fn opened(&self) -> Result<&OpenKeys> {
        match self {
            Self::Open(keys) => Ok(keys),
            Self::Locked { encrypted } => Err(locked(*encrypted)),
            Self::Unencrypted => Err(locked(false)),
            Self::Sealing { .. } => {
                Err(Error::new(Code::KeyRequired, "this host holds only recipients: it can back up and open nothing")
                    .next("give the passphrase, key file or identity that opens the store"))
            }
        }
    }
}

fn locked(encrypted: bool) -> Error {
    if encrypted {
        Error::new(Code::KeyRequired, "the store is encrypted and no key was given")
            .next("give the passphrase or key file")
    } else {
        Error::new(Code::KeyRequired, "the store is not encrypted")
            .next("say `unencrypted` if that is meant, or use another store")
    }
}

impl OpenKeys {
    /// What new data keys are wrapped to.
    pub(crate) fn recipients(&self) -> &Recipients {
        &self.recipients
    }
}

/// A key slot in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) object: String,
    pub(crate) epoch: u32,
    pub(crate) name: String,
}

/// The store's slots, the newest epoch first.
pub(crate) async fn slots(repository: &Repository) -> Result<Vec<Slot>> {
    let mut slots: Vec<_> =
        repository.list(layout::KEYS).await?.into_keys().filter_map(|name| Slot::parse(&name)).collect();
    slots.sort_by_key(|s| std::cmp::Reverse(s.epoch));
    Ok(slots)
}

impl Slot {
    fn parse(file: &str) -> Option<Self> {
        let (epoch, rest) = file.split_once('-')?;
        let name = rest.strip_suffix(".age")?;
        Some(Self { object: format!("{}/{file}", layout::KEYS), epoch: epoch.parse().ok()?, name: name.to_owned() })
    }
}

/// Seals the repository's identity to another key in a slot of its own; gives the slot's object name.
pub(crate) async fn add_slot(repository: &Repository, keys: &RepositoryKeys, key: SlotKey) -> Result<String> {
    let sealed = seal(keys.clone(), key).await?;
    let taken: Vec<_> = slots(repository).await?.into_iter().map(|s| s.name).collect();
    for n in 1..1_000 {
        let name = if n == 1 { "main".to_owned() } else { format!("main-{n}") };
        let object = layout::key_slot(keys.epoch(), &name);
        if !taken.contains(&name) && repository.create(&object, sealed.clone()).await? == Created::New {
            return Ok(object);
        }
    }
    Err(Error::new(Code::KeySlot, "the store has a thousand key slots").next("remove some"))
}

/// Tries each credential on each slot, away from the runtime's own threads: a passphrase is slow on purpose.
pub(super) async fn unlock_any(
    slots: Vec<(String, Vec<u8>)>,
    credentials: Vec<Credential>,
) -> Result<(RepositoryKeys, String)> {
    aside(move || {
        let mut refused = None;
        for credential in &credentials {
            match unlock(&slots, credential) {
                Err(e) if e.code() == Code::WrongKey => refused = Some(refused.unwrap_or(e)),
                other => return other,
            }
        }
        Err(refused.unwrap_or_else(|| locked(true)))
    })
    .await
}

async fn seal(keys: RepositoryKeys, key: SlotKey) -> Result<Vec<u8>> {
    aside(move || seal_slot(&keys, &key)).await
}

async fn aside<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let result = tokio::task::spawn_blocking(work).await;
    result.unwrap_or_else(|e| Err(Error::new(Code::Internal, format!("a key task failed: {e}"))))
}
