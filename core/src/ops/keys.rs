//! What a host can do with a store's keys: wrap and unwrap data keys, write and check authentication.

use std::sync::Arc;

use super::key_slots::{Slot, Unlocked, seal, slots, unlock_any};
use crate::crypto::auth::{Auth, Authenticator, Signer, SigningKey, Verifier};
use crate::crypto::keyring::{SlotKey, wrap_data_key};
use crate::crypto::{Credential, Recipients, RepositoryKeys};
use crate::error::{Code, Error, Result};
use crate::format::layout;
use crate::secret::Key;
use crate::storage::Repository;

/// A slot larger than this is refused before it is read.
pub(super) const MAX_SLOT_BYTES: u64 = 1 << 20;

/// What the caller gave to open a store with.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeyOptions {
    /// Tried in this order.
    pub(crate) credentials: Vec<Credential>,
    /// Which of them is to take the place of the others, while a rotation runs.
    pub(crate) pending: Option<usize>,
    pub(crate) recipients: Recipients,
    pub(crate) signing_key: Option<SigningKey>,
    pub(crate) trusted_signers: Vec<Signer>,
    pub(crate) unencrypted: bool,
    pub(crate) allow_weak: bool,
    pub(crate) work_factor: Option<u8>,
}

/// What this host can do.
#[derive(Debug, Clone)]
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
#[derive(Debug, Clone)]
pub(crate) struct OpenKeys {
    pub(crate) repository: RepositoryKeys,
    /// The slot's object name.
    pub(crate) slot: String,
    pub(crate) with: Credential,
    /// The slots there were then: where there are others now, the keys are opened again.
    slots: Vec<String>,
    /// What it was opened with.
    pub(crate) options: Arc<KeyOptions>,
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
        let (listed, contents) = read_slots(repository).await?;
        let newest = listed.iter().map(|slot| slot.epoch).max().unwrap_or(0);
        if contents.is_empty() {
            return Err(Error::new(Code::ObjectMissing, "the store has no key slots")
                .next("put the folder `keys` back from another copy"));
        }
        let unlocked = unlock_any(contents, newest, options.credentials.clone()).await?;
        let slots = listed.into_iter().map(|slot| slot.object).collect();
        Ok(Self::Open(Box::new(OpenKeys::new(unlocked, slots, Arc::new(options.clone()))?)))
    }

    /// The keys as they are now, if another host changed the slots since these were opened.
    ///
    /// A process that runs for months must learn of a new epoch, or what others back up under it would look foreign. One whose key
    /// opens nothing any more goes on with what it has: tonight's backup is worth more, and every key of a later epoch opens it.
    pub(crate) async fn refreshed(&self, repository: &Repository) -> Result<Option<Self>> {
        let Self::Open(open) = self else { return Ok(None) };
        let now: Vec<_> = slots(repository).await?.into_iter().map(|slot| slot.object).collect();
        // Opened by an identity file beside the slots; or a listing that cannot be true, for the store was opened with one.
        if now == open.slots || now.is_empty() {
            return Ok(None);
        }
        match Self::unlock(repository, &open.options).await {
            // Only what holds the keys of this process as well can be the same store's: anybody can seal to a public key.
            Ok(Self::Open(keys)) if keys.repository.includes(&open.repository) => return Ok(Some(Self::Open(keys))),
            Ok(_) => {
                tracing::warn!("the store's key slots were changed, and hold another identity: they are not believed")
            }
            Err(e) if e.is_retryable() => return Err(e),
            Err(e) => {
                tracing::warn!(error = %e, "the store's key slots were changed, and the key of this process opens none: give it the new one");
            }
        }
        let same = OpenKeys { slots: now, ..(**open).clone() };
        Ok(Some(Self::Open(Box::new(same))))
    }

    /// Makes the repository's identity and its first slot, unless another host was faster.
    pub(crate) async fn create(repository: &Repository, options: &KeyOptions) -> Result<()> {
        let key = Self::first_slot(options)?;
        let sealed = seal(&RepositoryKeys::generate(), key).await?;
        repository.create(&layout::key_slot(1, "main"), sealed).await?;
        Ok(())
    }

    /// The slot that a new store would get from these options.
    pub(super) fn first_slot(options: &KeyOptions) -> Result<SlotKey> {
        let mut key = match options.credentials.first() {
            // The identities on this host need not be those of everybody who is to open the store.
            Some(Credential::Identities(_)) => SlotKey::recipients(options.recipients.clone()).map_err(|e| {
                e.at("the store is new")
                    .next("give the identities' public keys as recipients, so that a key slot can be made")
            })?,
            Some(credential) => SlotKey::of(credential, options.allow_weak)?,
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

/// The slots and what is in them. One that another host removes at this moment has a successor: the list is read again.
async fn read_slots(repository: &Repository) -> Result<(Vec<Slot>, Vec<(String, Vec<u8>)>)> {
    const ATTEMPTS: usize = 10;
    let mut found = (Vec::new(), Vec::new());
    for _ in 0..ATTEMPTS {
        found = (slots(repository).await?, Vec::new());
        for slot in &found.0 {
            let bytes = repository.get(&slot.object, MAX_SLOT_BYTES).await?;
            found.1.extend(bytes.map(|bytes| (slot.object.clone(), bytes.to_vec())));
        }
        if found.0.len() == found.1.len() {
            break;
        }
    }
    Ok(found)
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
    pub(crate) fn new(unlocked: Unlocked, slots: Vec<String>, options: Arc<KeyOptions>) -> Result<Self> {
        let Unlocked { keys: repository, slot, with } = unlocked;
        Ok(Self {
            authenticator: Authenticator::of_keys(&repository)?,
            verifier: Verifier::new(Some(repository.clone()), options.trusted_signers.clone()),
            recipients: repository.recipients().and(&options.recipients),
            repository,
            slot,
            with,
            slots,
            options,
        })
    }

    /// What new data keys are wrapped to.
    pub(crate) fn recipients(&self) -> &Recipients {
        &self.recipients
    }
}
