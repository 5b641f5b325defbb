//! `rotate_key`: what opens the store from now on.

use serde::Deserialize;

use super::{Perform, Verb};
use crate::crypto::keyring::SlotKey;
use crate::crypto::{Credential, Recipients};
use crate::error::{Code, Error, Result};
use crate::ops;
use crate::progress::Run;
use crate::report::RotateKeyReport;
use crate::secret::Secret;
use crate::vault::Vault;

/// Options of [`Vault::rotate_key`].
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RotateKey {
    /// The passphrase that opens the store from now on.
    pub to_passphrase: Option<Secret>,
    /// Or the public keys (`age1…`, `ssh-ed25519 …`) whose identities open the store from now on.
    pub to_recipients: Vec<String>,
    /// Leave the slot that was opened in place: both keys work.
    pub keep_old: bool,
    /// Take the passphrase although it is weak.
    pub allow_weak: bool,
    /// The scrypt work factor (log2 of N) of a passphrase slot. Absent: 16.
    pub work_factor: Option<u8>,
}

impl Verb<RotateKey> {
    /// From now on, this passphrase opens the store.
    pub fn to_passphrase(self, passphrase: impl Into<Secret>) -> Self {
        self.with(|o| o.to_passphrase = Some(passphrase.into()))
    }

    /// From now on, the identities of these recipients (`age1…`, `ssh-ed25519 …`) open the store.
    pub fn to_recipients(self, recipients: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.with(|o| o.to_recipients.extend(recipients.into_iter().map(Into::into)))
    }

    /// Leaves the slot that was opened in place: both keys work.
    pub fn keep_old(self) -> Self {
        self.with(|o| o.keep_old = true)
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
        let session = vault.session().await?;
        let (to, proof) = match (self.to_passphrase, self.to_recipients.as_slice()) {
            (Some(passphrase), []) => {
                let make = if self.allow_weak { SlotKey::weak_passphrase } else { SlotKey::passphrase };
                (make(passphrase.clone())?, Some(Credential::Passphrase(passphrase)))
            }
            (None, list @ [_, ..]) => (SlotKey::recipients(Recipients::parse(&list.join("\n"))?)?, None),
            (None, []) => {
                return Err(
                    Error::new(Code::MissingSetting, "no new key was given").next("say to_passphrase or to_recipients")
                );
            }
            (Some(_), _) => {
                return Err(Error::new(Code::InvalidOption, "a new passphrase and recipients were given")
                    .next("give one of them"));
            }
        };
        let to = self.work_factor.map_or(Ok(to.clone()), |log_n| to.work_factor(log_n))?;
        run.until_cancelled(ops::rotate::rotate(&session, to, proof, self.keep_old)).await
    }
}
