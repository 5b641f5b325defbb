//! What a vault is made of, as data: for callers that have it as such, like the command line and other languages.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::VaultBuilder;
use super::env::read_secret;
use crate::crypto::Credential;
use crate::crypto::auth::SigningKey;
use crate::error::Result;
use crate::observe::Alerts;
use crate::secret::Secret;
use crate::settings::Settings;

/// What a vault is made of. What is absent is taken from the environment, as [`VaultBuilder::env`] says.
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct VaultOptions {
    /// URL of the database to back up: `postgres://…`, `mysql://…`, `sqlite:path`.
    pub database: Option<Secret>,
    /// Where backups lie: `s3://bucket/prefix`, `az://container/prefix`, `gs://bucket/prefix`, `file:///folder`, or a path.
    #[cfg_attr(feature = "schema", schemars(extend("format" = "url-or-path")))]
    pub store: Option<String>,
    /// Open also when no store is given: to verify and restore artifacts by their paths or URLs.
    pub without_store: bool,
    /// Options of the store's client, by the names of `object_store`: `aws_access_key_id`, `azure_storage_account_key` …
    pub store_options: BTreeMap<String, Secret>,
    /// The database's name in the store. Absent: the database's own name, made safe.
    pub name: Option<String>,
    /// What opens the store: a passphrase, or `raw:` and 32 bytes in hex or base64.
    pub key: Option<Secret>,
    /// File that holds the key.
    #[cfg_attr(feature = "schema", schemars(extend("format" = "path")))]
    pub key_file: Option<PathBuf>,
    /// File with age or SSH identities that open the store.
    #[cfg_attr(feature = "schema", schemars(extend("format" = "path")))]
    pub identity_file: Option<PathBuf>,
    /// Further recipients (`age1…`, `ssh-ed25519 …`) of each backup's data key.
    pub recipients: Vec<String>,
    /// File with the key with which a host that holds only recipients signs its manifests.
    #[cfg_attr(feature = "schema", schemars(extend("format" = "path")))]
    pub signing_key_file: Option<PathBuf>,
    /// Public keys of hosts that hold only recipients, whose backups are to be believed.
    pub trusted_signers: Vec<String>,
    /// Make and expect a store without encryption.
    pub unencrypted: bool,
    /// Take a passphrase although it is weak.
    pub allow_weak_passphrase: bool,
    /// The scrypt work factor (log2 of N, 1 to 18) of passphrase slots that are written. Absent: 16.
    pub work_factor: Option<u8>,
    /// Who is told when something failed, works again, or looks odd. Absent: as the environment says.
    pub alerts: Option<Alerts>,
    /// Numbers and choices.
    pub settings: Settings,
}

impl VaultBuilder {
    /// Takes these options, then the environment for what they leave open.
    ///
    /// Errors in them are told by [`open`](Self::open).
    #[must_use]
    pub fn options(mut self, options: VaultOptions) -> Self {
        if let Err(e) = self.take(options) {
            self.errors.push(e);
        }
        self.env()
    }

    fn take(&mut self, options: VaultOptions) -> Result<()> {
        let given = std::mem::take(self);
        *self = given.settings(options.settings);
        self.database = options.database;
        self.store = options.store;
        self.storeless = options.without_store;
        self.name = options.name;
        self.alerts = options.alerts;
        let store_options = options.store_options.into_iter();
        self.store_options.extend(store_options.map(|(key, value)| (key, value.expose().to_owned())));
        self.keys.unencrypted = options.unencrypted;
        self.keys.allow_weak = options.allow_weak_passphrase;
        self.keys.work_factor = options.work_factor;
        let files = options.key_file.map(|path| read_secret(&path)).transpose()?;
        for key in options.key.into_iter().chain(files) {
            self.keys.credentials.push(Credential::from_setting(key.expose())?);
        }
        if let Some(path) = options.identity_file {
            self.keys.credentials.push(Credential::Identities(read_secret(&path)?));
        }
        if let Some(path) = options.signing_key_file {
            self.keys.signing_key = Some(SigningKey::parse(&read_secret(&path)?)?);
        }
        for signer in options.trusted_signers {
            self.keys.trusted_signers.push(signer.parse()?);
        }
        let given = std::mem::take(self);
        *self = if options.recipients.is_empty() { given } else { given.recipients(options.recipients) };
        Ok(())
    }
}
