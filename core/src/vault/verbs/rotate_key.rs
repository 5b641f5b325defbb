//! `rotate_key`, `add_key` and `remove_key`: what opens the store from now on.

use serde::Deserialize;

use super::{Perform, Verb};
use crate::crypto::keyring::SlotKey;
use crate::crypto::{Credential, Recipients};
use crate::error::{Code, Error, Result};
use crate::ops;
use crate::ops::rotate::NewKey;
use crate::progress::Run;
use crate::report::{AddKeyReport, RemoveKeyReport, RotateKeyReport};
use crate::secret::Secret;
use crate::vault::Vault;

/// Options of [`Vault::rotate_key`].
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RotateKey {
    /// The key that opens the store from now on: a passphrase, or `raw:` and 32 bytes in hex or base64.
    pub to_passphrase: Option<Secret>,
    /// Or the public keys (`age1…`, `ssh-ed25519 …`) whose identities open the store from now on. One of them must
    /// be given here as well, so that the new slot can be tried before the old one goes.
    pub to_recipients: Vec<String>,
    /// Make a new identity for the backups to come: after somebody saw the old one. Without a new key, the one that opened
    /// the store opens it on.
    pub new_epoch: bool,
    /// Take the passphrase although it is weak.
    pub allow_weak: bool,
    /// The scrypt work factor (log2 of N) of a passphrase slot. Absent: 16.
    pub work_factor: Option<u8>,
}

impl Verb<RotateKey> {
    /// From now on, this passphrase opens the store; or this raw key, written `raw:` and 32 bytes in hex or base64.
    pub fn to_passphrase(self, passphrase: impl Into<Secret>) -> Self {
        self.with(|o| o.to_passphrase = Some(passphrase.into()))
    }

    /// From now on, the identities of these recipients (`age1…`, `ssh-ed25519 …`) open the store.
    pub fn to_recipients(self, recipients: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.with(|o| o.to_recipients.extend(recipients.into_iter().map(Into::into)))
    }

    /// Makes a new identity for the backups to come.
    pub fn new_epoch(self) -> Self {
        self.with(|o| o.new_epoch = true)
    }

    /// Takes the passphrase although it is weak.
    pub fn allow_weak(self) -> Self {
        self.with(|o| o.allow_weak = true)
    }

    /// The scrypt work factor (log2 of N) of the passphrase slot.
    pub fn work_factor(self, log_n: u8) -> Self {
        self.with(|o| o.work_factor = Some(log_n))
    }
}

impl Perform for RotateKey {
    type Report = RotateKeyReport;

    async fn perform(self, vault: Vault, run: Run) -> Result<RotateKeyReport> {
        run.until_cancelled(async {
            let session = vault.store_session().await?;
            let to = match new_key(self.to_passphrase, &self.to_recipients, self.allow_weak, self.work_factor)? {
                Some(to) => to,
                None if self.new_epoch => {
                    let open = session.keys.opened()?;
                    // What opened the store was taken as strong enough before.
                    let credential = open.with.clone();
                    let lock = work_factor(SlotKey::of(&credential, true)?, self.work_factor)?;
                    NewKey { lock, credential: Some(credential) }
                }
                None => return Err(no_key("say to_passphrase, to_recipients or new_epoch")),
            };
            let (report, keys) = ops::rotate::rotate(&session, to, self.new_epoch).await?;
            vault.0.keep(session.with_keys(keys));
            Ok(report)
        })
        .await
    }
}

/// Options of [`Vault::add_key`].
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct AddKey {
    /// Another key that opens the store: a passphrase, or `raw:` and 32 bytes in hex or base64.
    pub passphrase: Option<Secret>,
    /// Or public keys (`age1…`, `ssh-ed25519 …`), each of whose identities opens the store.
    pub recipients: Vec<String>,
    /// What the slot is called, so that people know whose it is: `safe`. Of a-z, 0-9 and `-`.
    pub name: Option<String>,
    /// Take the passphrase although it is weak.
    pub allow_weak: bool,
    /// The scrypt work factor (log2 of N) of a passphrase slot. Absent: 16.
    pub work_factor: Option<u8>,
}

impl Verb<AddKey> {
    /// Another passphrase that opens the store; or a raw key, written `raw:` and 32 bytes in hex or base64.
    pub fn passphrase(self, passphrase: impl Into<Secret>) -> Self {
        self.with(|o| o.passphrase = Some(passphrase.into()))
    }

    /// Public keys (`age1…`, `ssh-ed25519 …`), each of whose identities opens the store.
    pub fn recipients(self, recipients: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.with(|o| o.recipients.extend(recipients.into_iter().map(Into::into)))
    }

    /// What the slot is called, so that people know whose it is.
    pub fn name(self, name: impl Into<String>) -> Self {
        self.with(|o| o.name = Some(name.into()))
    }

    /// Takes the passphrase although it is weak.
    pub fn allow_weak(self) -> Self {
        self.with(|o| o.allow_weak = true)
    }

    /// The scrypt work factor (log2 of N) of the passphrase slot.
    pub fn work_factor(self, log_n: u8) -> Self {
        self.with(|o| o.work_factor = Some(log_n))
    }
}

impl Perform for AddKey {
    type Report = AddKeyReport;

    async fn perform(self, vault: Vault, run: Run) -> Result<AddKeyReport> {
        if let Some(name) = &self.name {
            ops::key_slots::check_name(name)?;
        }
        let to = new_key(self.passphrase, &self.recipients, self.allow_weak, self.work_factor)?;
        let to = to.ok_or_else(|| no_key("say passphrase or recipients"))?;
        run.until_cancelled(async {
            ops::rotate::add_key(&vault.store_session().await?, to, self.name.as_deref()).await
        })
        .await
    }
}

/// Options of [`Vault::remove_key`].
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RemoveKey {
    /// The slot, as `keys` shows it: `1-safe`.
    pub slot: String,
}

impl Perform for RemoveKey {
    type Report = RemoveKeyReport;

    async fn perform(self, vault: Vault, run: Run) -> Result<RemoveKeyReport> {
        run.until_cancelled(async { ops::rotate::remove_key(&vault.store_session().await?, &self.slot).await }).await
    }
}

/// The key that was given, if any.
fn new_key(
    passphrase: Option<Secret>,
    recipients: &[String],
    allow_weak: bool,
    log_n: Option<u8>,
) -> Result<Option<NewKey>> {
    let (lock, credential) = match (passphrase, recipients) {
        (None, []) => return Ok(None),
        (Some(text), []) => {
            let credential = Credential::from_setting(text.expose())?;
            (SlotKey::of(&credential, allow_weak)?, Some(credential))
        }
        (None, list) => (SlotKey::recipients(Recipients::parse(&list.join("\n"))?)?, None),
        (Some(_), _) => {
            return Err(Error::new(Code::InvalidOption, "a passphrase and recipients were given")
                .next("give one of them; the other one gets a slot of its own with `add_key`"));
        }
    };
    Ok(Some(NewKey { lock: work_factor(lock, log_n)?, credential }))
}

fn work_factor(lock: SlotKey, log_n: Option<u8>) -> Result<SlotKey> {
    log_n.map_or(Ok(lock.clone()), |log_n| lock.work_factor(log_n))
}

fn no_key(next: &str) -> Error {
    Error::new(Code::MissingSetting, "no new key was given").next(next)
}
