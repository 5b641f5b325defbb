//! The store's key slots: listed, added and removed so that at every moment one opens the store.
//!
//! A slot is added first and removed last. Of two hosts that change slots at the same time each writes first and looks
//! afterwards, so that one of the two sees the other and backs out: a new epoch is the slot `main` of its number, which only
//! one can create; a removal is announced by an object of its own, and slots that are announced count no more.

use jiff::Timestamp;

use super::keys::MAX_SLOT_BYTES;
use crate::crypto::keyring::{SlotKey, open_slot, seal_slot, unlock};
use crate::crypto::{Credential, RepositoryKeys};
use crate::error::{Code, Error, Result};
use crate::format::layout;
use crate::id::random_hex;
use crate::storage::{Created, Repository};

/// The longest name of a slot.
const MAX_NAME: usize = 40;

/// A key slot in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Slot {
    /// Its object: `keys/1-main.age`.
    pub(crate) object: String,
    pub(crate) epoch: u32,
    /// The part of its name behind the epoch: `main`.
    pub(crate) name: String,
    /// By the store's clock.
    pub(crate) written_at: Timestamp,
    /// Somebody began to remove it.
    pub(crate) being_removed: bool,
}

impl Slot {
    fn parse(file: &str, written_at: Timestamp) -> Option<Self> {
        let (epoch, rest) = file.split_once('-')?;
        let name = rest.strip_suffix(".age")?.to_owned();
        let object = format!("{}/{file}", layout::KEYS);
        Some(Self { object, epoch: epoch.parse().ok()?, name, written_at, being_removed: false })
    }

    /// `1-main`: what people call it.
    pub(crate) fn id(&self) -> String {
        format!("{}-{}", self.epoch, self.name)
    }
}

/// `1-main` of `keys/1-main.age`.
pub(crate) fn slot_id(object: &str) -> String {
    let file = object.rsplit('/').next().unwrap_or(object);
    file.strip_suffix(".age").unwrap_or(file).to_owned()
}

/// The store's slots, the newest epoch first.
pub(crate) async fn slots(repository: &Repository) -> Result<Vec<Slot>> {
    let listed = repository.list(layout::KEYS).await?;
    let removal = |slot: &Slot| layout::slot_removal(&slot.object);
    let announced: Vec<String> = listed.keys().map(|name| format!("{}/{name}", layout::KEYS)).collect();
    let mut slots: Vec<_> = listed.iter().filter_map(|(name, meta)| Slot::parse(name, meta.modified)).collect();
    for slot in &mut slots {
        slot.being_removed = announced.contains(&removal(slot));
    }
    slots.sort_by(|a, b| (b.epoch, &a.name).cmp(&(a.epoch, &b.name)));
    Ok(slots)
}

/// The slot that somebody means by `1-safe`, `safe` or `keys/1-safe.age`.
pub(crate) fn find<'a>(slots: &'a [Slot], wanted: &str) -> Result<&'a Slot> {
    let id = slot_id(wanted);
    let there = || slots.iter().map(Slot::id).collect::<Vec<_>>().join(", ");
    let found: Vec<_> = slots.iter().filter(|slot| slot.id() == id || slot.name == id).collect();
    match found[..] {
        [slot] => Ok(slot),
        [] => Err(Error::new(Code::KeySlot, format!("there is no key slot `{wanted}`; there are {}", there()))
            .next("`keys` shows them")),
        _ => Err(Error::new(Code::KeySlot, format!("several key slots are called `{wanted}`: {}", there()))
            .next("give the number in front as well")),
    }
}

/// Refuses a name that a slot cannot have.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if (1..=MAX_NAME).contains(&name.len()) && name.chars().all(fits) && name.starts_with(|c: char| c != '-') {
        return Ok(());
    }
    Err(Error::new(Code::InvalidOption, format!("`{name}` cannot be a key slot's name"))
        .next(format!("use up to {MAX_NAME} of a-z, 0-9 and -")))
}

/// Which of these credentials opens a sealed slot, and finds these keys in it.
pub(crate) async fn proof(
    sealed: &[u8],
    keys: &RepositoryKeys,
    credentials: &[Credential],
) -> Result<Option<Credential>> {
    let (sealed, keys, credentials) = (sealed.to_vec(), keys.clone(), credentials.to_vec());
    let opens = move |c: &Credential| open_slot(&sealed, c).is_ok_and(|opened| opened.includes(&keys));
    aside(move || Ok(credentials.into_iter().find(opens))).await
}

/// Seals the repository's identity to another key.
pub(crate) async fn seal(keys: &RepositoryKeys, key: SlotKey) -> Result<Vec<u8>> {
    let keys = keys.clone();
    aside(move || seal_slot(&keys, &key)).await
}

/// Stores a sealed slot beside those there are. `was` is the newest epoch of the store as far as this host knows: when
/// the slot is of a later one, it makes that epoch.
///
/// # Errors
/// `Busy` when another host made an epoch meanwhile: its slots hold what this one lacks.
pub(crate) async fn add(
    repository: &Repository,
    sealed: Vec<u8>,
    epoch: u32,
    was: u32,
    name: Option<&str>,
) -> Result<Slot> {
    let there = slots(repository).await?;
    overtaken(&there, was)?;
    let added = if epoch > was {
        // Only one host can create this one.
        let object = layout::key_slot(epoch, "main");
        if repository.create(&object, sealed.clone()).await? == Created::Exists {
            return Err(busy(epoch));
        }
        object
    } else {
        create_free(repository, &sealed, epoch, name).await?
    };
    let now = slots(repository).await?;
    let others: Vec<_> = now.iter().filter(|slot| slot.object != added).cloned().collect();
    if let Err(e) = overtaken(&others, was) {
        repository.delete(&added).await?;
        return Err(e);
    }
    let stored = repository.get(&added, MAX_SLOT_BYTES).await?;
    if stored.as_deref() != Some(&sealed[..]) {
        return Err(Error::new(
            Code::StoreUnavailable,
            format!("{added} was written and is not there as it was written"),
        )
        .next("check the store, then run again"));
    }
    now.into_iter().find(|slot| slot.object == added).ok_or_else(|| {
        Error::new(Code::StoreUnavailable, format!("{added} was written and is not listed")).next("check the store")
    })
}

async fn create_free(repository: &Repository, sealed: &[u8], epoch: u32, name: Option<&str>) -> Result<String> {
    let base = name.unwrap_or("main");
    for n in 1..1_000 {
        let name = if n == 1 { base.to_owned() } else { format!("{base}-{n}") };
        let object = layout::key_slot(epoch, &name);
        // A removal that was announced must not meet another slot.
        let free = repository.size(&layout::slot_removal(&object)).await?.is_none();
        if free && repository.create(&object, sealed.to_vec()).await? == Created::New {
            return Ok(object);
        }
    }
    Err(Error::new(Code::KeySlot, "the store has a thousand key slots").next("remove some"))
}

/// Refuses to go on from an epoch that is not the newest any more.
fn overtaken(slots: &[Slot], was: u32) -> Result<()> {
    match slots.iter().map(|slot| slot.epoch).max() {
        Some(newest) if newest > was => Err(busy(newest)),
        _ => Ok(()),
    }
}

fn busy(epoch: u32) -> Error {
    Error::new(Code::Busy, format!("another host made epoch {epoch}")).next(
        "open the store again with a key of that epoch (`keys` shows the slots), then run again if it is still needed",
    )
}

/// Removes a slot, and gives one that stays: of the newest epoch, and opened with one of these credentials.
///
/// # Errors
/// `KeySlot` when there is none such; nothing is removed then.
pub(crate) async fn remove(repository: &Repository, slot: &Slot, credentials: &[Credential]) -> Result<Slot> {
    let announced = layout::slot_removal(&slot.object);
    let record = serde_json::json!({ "slot": slot.id(), "nonce": random_hex::<8>()? });
    // Somebody else who removes it as well is no harm.
    let ours = repository.create(&announced, format!("{record}\n").into_bytes()).await? == Created::New;
    let stays = match stays(repository, slot, credentials).await {
        Ok(stays) => stays,
        Err(e) => {
            if ours {
                repository.delete(&announced).await?;
            }
            return Err(e);
        }
    };
    if let Err(e) = repository.delete(&slot.object).await {
        if !e.is_retryable() && ours {
            repository.delete(&announced).await?;
        }
        return Err(e);
    }
    repository.delete(&announced).await?;
    Ok(stays)
}

/// A slot that opens everything and that nobody removes, beside this one.
async fn stays(repository: &Repository, slot: &Slot, credentials: &[Credential]) -> Result<Slot> {
    let there = slots(repository).await?;
    let newest = there.iter().map(|s| s.epoch).max().unwrap_or(slot.epoch);
    for other in there.into_iter().filter(|s| s.object != slot.object && s.epoch == newest) {
        // Asked for by its name: no listing may hide what was announced meanwhile.
        if repository.size(&layout::slot_removal(&other.object)).await?.is_some() {
            continue;
        }
        let Some(sealed) = repository.get(&other.object, MAX_SLOT_BYTES).await? else { continue };
        let (sealed, credentials) = (sealed.to_vec(), credentials.to_vec());
        let opens = aside(move || Ok(credentials.iter().any(|c| open_slot(&sealed, c).is_ok()))).await?;
        if opens {
            return Ok(other);
        }
    }
    Err(Error::new(
        Code::KeySlot,
        format!("{} is the last key slot that opens every backup and that a key given here opens", slot.id()),
    )
    .next("add another key first, or give that key here as well, so that it can be tried"))
}

/// The repository's identity, and what opened it.
#[derive(Debug)]
pub(crate) struct Unlocked {
    pub(crate) keys: RepositoryKeys,
    /// The slot's object; empty when the identity itself was given.
    pub(crate) slot: String,
    pub(crate) with: Credential,
}

/// Tries each credential on each slot, away from the runtime's own threads: a passphrase is slow on purpose. The newest epoch
/// that any of them opens counts.
pub(crate) async fn unlock_any(
    slots: Vec<(String, Vec<u8>)>,
    newest: u32,
    credentials: Vec<Credential>,
) -> Result<Unlocked> {
    aside(move || {
        let (mut refused, mut best) = (None, None::<Unlocked>);
        for credential in credentials {
            match unlock(&slots, &credential) {
                Ok((keys, slot)) => {
                    let epoch = keys.epoch();
                    if best.as_ref().is_none_or(|best| best.keys.epoch() < epoch) {
                        best = Some(Unlocked { keys, slot, with: credential });
                    }
                    if epoch >= newest {
                        break;
                    }
                }
                Err(e) if e.code() == Code::WrongKey => refused = Some(refused.unwrap_or(e)),
                Err(e) => return Err(e),
            }
        }
        let none = || Error::new(Code::KeyRequired, "the store is encrypted and no key was given");
        best.ok_or_else(|| refused.unwrap_or_else(|| none().next("give the passphrase or key file")))
    })
    .await
}

pub(super) async fn aside<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let result = tokio::task::spawn_blocking(work).await;
    result.unwrap_or_else(|e| Err(Error::new(Code::Internal, format!("a key task failed: {e}"))))
}
