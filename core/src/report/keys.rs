//! What opens a store, and what was changed about it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::id::{BackupId, DatabaseName};

/// What opens what: the key slots, the epochs of the store's identity, and the backups under each of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct KeysReport {
    /// The newest epoch: new backups belong to it. Absent without a key.
    pub epoch: Option<u32>,
    /// The public keys that new backups' data keys are wrapped to. Empty without a key.
    pub recipients: Vec<String>,
    /// The key slots, the newest epoch first.
    pub slots: Vec<KeySlot>,
    /// The epochs, the newest first. Empty without a key.
    pub epochs: Vec<KeyEpoch>,
    /// Backups whose key files an earlier epoch still opens, or whose data keys an earlier epoch has known.
    pub behind: Vec<BackupKey>,
    /// Backups whose data keys cannot be opened here, and why.
    pub unopened: Vec<KeyRefusal>,
}

/// One key slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct KeySlot {
    /// Its name: `1-main` is the object `keys/1-main.age`.
    pub slot: String,
    /// The newest epoch that it holds: it opens the backups of this epoch and of those before it.
    pub epoch: u32,
    /// What it is locked with.
    pub kind: KeySlotKind,
    /// log2 of the rounds of scrypt, of a passphrase.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub work_factor: Option<u8>,
    /// The kinds of its public keys (`X25519`, `ssh-ed25519`), one each. Whose they are, the store does not tell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recipient_kinds: Vec<String>,
    /// The key provider's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// When it was written, by the store's clock.
    pub written_at: Timestamp,
    /// Whether a key that was given here opens it.
    pub opens_here: bool,
    /// Whether it opens every backup, those to come included. One of an earlier epoch does not.
    pub current: bool,
    /// Somebody began to remove it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub being_removed: bool,
    /// The backups that it opens: how many. Absent without a key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backups: Option<u64>,
}

/// What a key slot is locked with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum KeySlotKind {
    /// A passphrase.
    Passphrase,
    /// Public keys: of age or SSH identities, or of a raw key.
    Recipients,
    /// A key provider.
    Provider,
    /// It cannot be read.
    Unknown,
}

impl KeySlotKind {
    /// The kind as in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passphrase => "passphrase",
            Self::Recipients => "recipients",
            Self::Provider => "provider",
            Self::Unknown => "unknown",
        }
    }
}

/// One epoch of the store's identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct KeyEpoch {
    /// Its number, from 1.
    pub epoch: u32,
    /// Its public key.
    pub public_key: String,
    /// Backups whose data keys it opens.
    pub opens: u64,
    /// Backups that were sealed under it: it has known their data keys.
    pub sealed: u64,
}

/// A backup, and the epochs that matter for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct BackupKey {
    /// The database.
    pub database: DatabaseName,
    /// The backup.
    pub backup: BackupId,
    /// The epochs that open it, the newest first. `rewrap` leaves the newest of all.
    pub opened_by: Vec<u32>,
    /// The epoch that it was sealed under. `reencrypt` seals it under the newest.
    pub sealed_under: u32,
}

/// A backup about which something could not be done, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct KeyRefusal {
    /// The database.
    pub database: DatabaseName,
    /// The backup.
    pub backup: BackupId,
    /// The code of the error.
    pub code: String,
    /// What happened.
    pub message: String,
}

/// What became of a key slot that was added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct AddKeyReport {
    /// The slot: `1-safe`.
    pub slot: String,
    /// Whether a key that was given here opens it. What was sealed to somebody else's public key, only they can try.
    pub proven: bool,
}

/// What became of a key slot that was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct RemoveKeyReport {
    /// The slot that is gone.
    pub slot: String,
    /// A slot that stays, and that a key given here opens.
    pub opens_with: String,
}

/// What a key rotation did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct RotateKeyReport {
    /// The slot written.
    pub added: String,
    /// The slot removed.
    pub removed: Option<String>,
    /// The epoch that new backups belong to.
    pub epoch: u32,
    /// Slots of earlier epochs that stay: they open no backup of this epoch. Add their keys again, or remove them.
    pub behind: Vec<String>,
}

/// What a rewrap did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct RewrapReport {
    /// The epoch that opens every backup now, but for what was refused.
    pub epoch: u32,
    /// Backups whose data keys were wrapped anew.
    pub rewrapped: u64,
    /// Backups that were as they should be.
    pub unchanged: u64,
    /// What could not be done.
    pub refused: Vec<KeyRefusal>,
    /// Milliseconds it took.
    pub duration_ms: u64,
}

/// What a reencryption did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ReencryptReport {
    /// The epoch that every backup is sealed under now, but for what was refused.
    pub epoch: u32,
    /// Backups that were sealed anew.
    pub reencrypted: Vec<Reencrypted>,
    /// Backups that were as they should be.
    pub unchanged: u64,
    /// What could not be done. A backup whose copy is there and that was not let go is among these.
    pub refused: Vec<KeyRefusal>,
    /// Milliseconds it took.
    pub duration_ms: u64,
}

/// A backup that was sealed anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Reencrypted {
    /// The database.
    pub database: DatabaseName,
    /// The backup that there was.
    pub backup: BackupId,
    /// The backup that took its place.
    pub by: BackupId,
    /// Whether the one that there was is gone.
    pub removed: bool,
}
