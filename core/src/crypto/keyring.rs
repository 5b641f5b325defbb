//! Key slots, which hold the repository's identity, and data keys, which are wrapped to it.
//!
//! A passphrase is stretched once when a repository is opened, not once for each backup: it opens a *slot* (`keys/1-main.age`), which is
//! an `age` file that holds the repository's identity. Each backup's random data key is wrapped to that identity's public key. So
//! a new passphrase is one new slot, however many backups there are, and `age` alone opens all of it:
//!
//! ```text
//! age -d -i keys/1-main.age shop/backup-20251121-020001/key-0001.age
//! ```

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::{Credential, KeyProvider, Recipients, RepositoryKeys, age_file, check_passphrase, credential};
use crate::error::{Code, Error, Result};
use crate::secret::{Key, Secret};

/// The scrypt work factor of new slots: 2^16 rounds, 64 MiB of memory.
pub const WORK_FACTOR: u8 = 16;
/// The largest work factor that is obeyed when a slot is opened: 256 MiB of memory. It is what the `age` program writes.
pub const MAX_WORK_FACTOR: u8 = 18;

/// The first bytes of a slot that a key provider sealed; its name and a line feed follow, then its bytes.
pub(super) const PROVIDER_MAGIC: &str = "lastgood-provider/1 ";

/// What a new key slot is locked with.
#[derive(Clone)]
pub struct SlotKey(Lock);

#[derive(Clone)]
enum Lock {
    Passphrase(Secret, u8),
    Recipients(Recipients),
    Provider(Arc<dyn KeyProvider>),
}

impl SlotKey {
    /// A passphrase, which must be a strong one.
    ///
    /// # Errors
    /// `WeakPassphrase`, as [`check_passphrase`] says; `InvalidOption` when nobody could type it at a prompt.
    pub fn passphrase(passphrase: Secret) -> Result<Self> {
        check_passphrase(&passphrase)?;
        Self::weak_passphrase(passphrase)
    }

    /// A passphrase, however weak: for a caller who insists.
    ///
    /// # Errors
    /// `InvalidOption` when it is empty or nobody could type it at a prompt.
    pub fn weak_passphrase(passphrase: Secret) -> Result<Self> {
        // The age program reads one line from the terminal; a passphrase that cannot be given there cannot be recovered with.
        if passphrase.expose().is_empty() || passphrase.expose().chars().any(char::is_control) {
            return Err(Error::new(
                Code::InvalidOption,
                "the passphrase is empty, or has a line end or another control character",
            )
            .next("remove it: such a passphrase cannot be typed when a backup has to be recovered by hand"));
        }
        Ok(Self(Lock::Passphrase(passphrase, WORK_FACTOR)))
    }

    /// Whoever holds one of the private keys can open the slot.
    ///
    /// # Errors
    /// `InvalidOption` when there are none.
    pub fn recipients(recipients: Recipients) -> Result<Self> {
        if recipients.is_empty() {
            return Err(
                Error::new(Code::InvalidOption, "a key slot needs at least one recipient").next("give a public key")
            );
        }
        Ok(Self(Lock::Recipients(recipients)))
    }

    /// What this credential opens: a slot that is sealed anew for whoever opened the store.
    ///
    /// # Errors
    /// As [`passphrase`](Self::passphrase), unless `weak` is allowed; `InvalidOption` for identities that cannot be used.
    pub fn of(credential: &Credential, weak: bool) -> Result<Self> {
        match credential {
            Credential::Passphrase(passphrase) if weak => Self::weak_passphrase(passphrase.clone()),
            Credential::Passphrase(passphrase) => Self::passphrase(passphrase.clone()),
            Credential::Raw(raw) => Self::recipients(RepositoryKeys::from_raw(raw)?.recipients()),
            Credential::Identities(text) => Self::recipients(credential::public_keys(text.expose())?),
            Credential::Provider(provider) => Ok(Self::provider(provider.clone())),
        }
    }

    /// The provider seals the slot.
    #[must_use]
    pub fn provider(provider: Arc<dyn KeyProvider>) -> Self {
        Self(Lock::Provider(provider))
    }

    /// Another scrypt work factor for the passphrase: 2^`log_n` KiB of memory.
    ///
    /// # Errors
    /// `InvalidOption` unless it is from 1 to [`MAX_WORK_FACTOR`].
    pub fn work_factor(mut self, log_n: u8) -> Result<Self> {
        if !(1..=MAX_WORK_FACTOR).contains(&log_n) {
            return Err(Error::new(Code::InvalidOption, format!("the scrypt work factor is {log_n}"))
                .next(format!("give a value from 1 to {MAX_WORK_FACTOR}; {WORK_FACTOR} is the default")));
        }
        if let Lock::Passphrase(_, factor) = &mut self.0 {
            *factor = log_n;
        }
        Ok(self)
    }
}

impl fmt::Debug for SlotKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Lock::Passphrase(..) => f.write_str("Passphrase(..)"),
            Lock::Recipients(recipients) => write!(f, "Recipients({recipients:?})"),
            Lock::Provider(provider) => write!(f, "Provider({})", provider.name()),
        }
    }
}

/// Makes a key slot: the repository's identity, locked.
///
/// A passphrase costs some 0.2 s of one CPU before this returns.
///
/// # Errors
/// What the provider says.
pub fn seal_slot(keys: &RepositoryKeys, lock: &SlotKey) -> Result<Vec<u8>> {
    let file = keys.identity_file();
    let file = file.expose().as_bytes();
    match &lock.0 {
        Lock::Passphrase(passphrase, work_factor) => {
            let mut recipient = age::scrypt::Recipient::new(passphrase.expose().to_owned().into());
            recipient.set_work_factor(*work_factor);
            age_file::encrypt(&[&recipient], file)
        }
        Lock::Recipients(recipients) => age_file::encrypt(&recipients.age(), file),
        Lock::Provider(provider) => {
            let mut slot = format!("{PROVIDER_MAGIC}{}\n", provider.name()).into_bytes();
            slot.extend(provider.wrap(file)?);
            Ok(slot)
        }
    }
}

/// Opens a key slot.
///
/// A passphrase costs some 0.2 s of one CPU before this returns.
///
/// # Errors
/// `WrongKey` when the credential does not fit, `KeySlot` when a passphrase asks for more work than is obeyed, `Damaged` when the slot was
/// altered, and what the provider says.
pub fn open_slot(slot: &[u8], credential: &Credential) -> Result<RepositoryKeys> {
    let file = match (slot.strip_prefix(PROVIDER_MAGIC.as_bytes()), credential) {
        (None, credential) => credential.open_age(slot)?,
        (Some(rest), Credential::Provider(provider)) => {
            let sealed = rest.strip_prefix(provider.name().as_bytes()).and_then(|rest| rest.strip_prefix(b"\n"));
            let sealed = sealed.ok_or_else(|| other_provider(rest))?;
            Zeroizing::new(provider.unwrap(sealed)?)
        }
        (Some(rest), _) => return Err(other_provider(rest)),
    };
    let text =
        std::str::from_utf8(&file).map_err(|_| Error::new(Code::Damaged, "it does not hold an identity file"))?;
    RepositoryKeys::from_identity_file(text)
}

/// Opens a repository: tries its key slots, the newest epoch first, and says which one opened.
///
/// `slots` are names and contents. A raw key needs no slot: where there is none, it gives the identity itself. An identity file
/// that was taken out of a slot by hand opens the repository too; the name is then empty.
///
/// # Errors
/// `WrongKey` when none opens, which names each slot and its reason; `KeySlot` when there is none.
pub fn unlock(slots: &[(String, Vec<u8>)], credential: &Credential) -> Result<(RepositoryKeys, String)> {
    if let (Credential::Raw(key), true) = (credential, slots.is_empty()) {
        return Ok((RepositoryKeys::from_raw(key)?, String::new()));
    }
    let mut refused: Vec<(&str, Error)> = Vec::new();
    let mut opened: Option<(RepositoryKeys, &String)> = None;
    let mut order: Vec<_> = slots.iter().collect();
    order.sort_by_key(|(name, _)| std::cmp::Reverse(epoch_of(name)));
    // Anybody can seal a slot to a public key, so slots of that kind must agree with each other. A passphrase is
    // stretched no further once it has opened one: nobody else can have made that.
    let anybody_could_seal = matches!(credential, Credential::Raw(_) | Credential::Identities(_));
    for (name, bytes) in order {
        match (open_slot(bytes, credential), &opened) {
            (Ok(keys), None) if anybody_could_seal => opened = Some((keys, name)),
            (Ok(keys), None) => return Ok((keys, name.clone())),
            (Ok(older), Some((keys, newer))) if !keys.includes(&older) => {
                return Err(Error::new(
                    Code::KeySlot,
                    format!("{newer} and {name} hold different identities: somebody may have put one of them there"),
                )
                .next(
                    "compare the folder `keys` with another copy of the store, and remove the one that is not yours",
                ));
            }
            (Ok(_), Some(_)) => {}
            (Err(e), _) => refused.push((name, e)),
        }
    }
    if let Some((keys, name)) = opened {
        return Ok((keys, name.clone()));
    }
    if let Credential::Identities(text) = credential
        && let Ok(keys) = RepositoryKeys::from_identity_file(text.expose())
    {
        return Ok((keys, String::new()));
    }
    let Some((_, first)) = refused.first() else {
        return Err(
            Error::new(Code::KeySlot, "the store has no key slot").next("put back the folder `keys` from another copy")
        );
    };
    let wrong = refused.iter().any(|(_, e)| e.code() == Code::WrongKey);
    let reasons: Vec<_> = refused.iter().map(|(name, e)| format!("{name}: {}", e.message())).collect();
    Err(Error::new(
        if wrong { Code::WrongKey } else { first.code() },
        format!("the key opens no key slot of this store ({})", reasons.join("; ")),
    )
    .next("check the key; after a rotation only the new one fits"))
}

/// Wraps a backup's data key: an age file that holds 64 hex digits.
///
/// # Errors
/// `Internal` when there is no recipient.
pub fn wrap_data_key(key: &Key, recipients: &Recipients) -> Result<Vec<u8>> {
    let mut digits = Zeroizing::new([0_u8; 64]);
    hex::encode_to_slice(key.expose(), &mut *digits)
        .map_err(|_| Error::new(Code::Internal, "the data key cannot be written"))?;
    age_file::encrypt(&recipients.age(), &*digits)
}

/// The number in front of a slot's name: `keys/2-main.age` is of epoch 2.
fn epoch_of(name: &str) -> u32 {
    let file = name.rsplit('/').next().unwrap_or(name);
    file.split('-').next().and_then(|epoch| epoch.parse().ok()).unwrap_or(0)
}

fn other_provider(slot: &[u8]) -> Error {
    let name: String = slot
        .iter()
        .take_while(|b| **b != b'\n')
        .take(80)
        .map(|b| char::from(*b).escape_default().to_string())
        .collect();
    Error::new(Code::WrongKey, format!("it was sealed by the key provider `{name}`"))
        .next("open the vault with that provider")
}

#[cfg(test)]
mod tests;
