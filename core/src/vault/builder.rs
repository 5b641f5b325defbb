//! Builds a vault: explicit arguments first, then the environment, then a clear error.

use std::fmt;
use std::sync::{Arc, Mutex};

use object_store::ObjectStore;
use object_store::path::Path;
use tracing::Instrument as _;

use super::artifacts::passphrase;
use super::verbs::Doctor;
use super::verbs::doctor::examine;
use super::{Inner, Vault};
use crate::clock::{Clock, SystemClock};
use crate::crypto::auth::{Signer, SigningKey};
use crate::crypto::{Credential, Recipients};
use crate::engine::{self, Engine};
use crate::error::{Code, Error, Result};
use crate::format::marker::Marker;
use crate::id::DatabaseName;
use crate::observe::alert::Alerter;
use crate::observe::watch::operation;
use crate::observe::{Alerts, Facts};
use crate::ops::doctor::{PlaceKind, Subject};
use crate::ops::keys::{KeyOptions, Keys};
use crate::ops::session::open_store;
use crate::report::DoctorReport;
use crate::secret::{Key, Secret};
use crate::settings::Settings;
use crate::storage::{Repository, StoreUrl, options_from};

/// What a vault is made of.
#[derive(Default)]
pub struct VaultBuilder {
    pub(super) database: Option<Secret>,
    pub(super) store: Option<String>,
    pub(super) name: Option<String>,
    pub(super) keys: KeyOptions,
    pub(super) settings: Settings,
    pub(super) store_options: Vec<(String, String)>,
    object_store: Option<Arc<dyn ObjectStore>>,
    engine: Option<Arc<dyn Engine>>,
    clock: Option<Arc<dyn Clock>>,
    pub(super) alerts: Option<Alerts>,
    pub(super) errors: Vec<Error>,
    pub(super) storeless: bool,
}

impl VaultBuilder {
    /// The database to back up: `postgres://…`, `mysql://…`, `sqlite:path`.
    #[must_use]
    pub fn database(mut self, url: impl Into<String>) -> Self {
        self.database = Some(Secret::new(url.into()));
        self
    }

    /// A database engine of the caller's own, instead of a URL.
    #[must_use]
    pub fn engine(mut self, engine: Arc<dyn Engine>) -> Self {
        self.engine = Some(engine);
        self
    }

    /// Where backups lie: `s3://bucket/prefix`, `az://container/prefix`, `gs://bucket/prefix`, `file:///folder`, or a path.
    #[must_use]
    pub fn store(mut self, url: impl Into<String>) -> Self {
        self.store = Some(url.into());
        self
    }

    /// An option of the store's client, as `object_store` names it: `aws_access_key_id`, `azure_storage_account_key` …
    #[must_use]
    pub fn store_option(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.store_options.push((key.into(), value.into()));
        self
    }

    /// A store of the caller's own, instead of a URL.
    #[must_use]
    pub fn object_store(mut self, store: Arc<dyn ObjectStore>) -> Self {
        self.object_store = Some(store);
        self
    }

    /// Opens also when no store is given: to verify and restore artifacts by their paths or URLs.
    #[must_use]
    pub fn without_store(mut self) -> Self {
        self.storeless = true;
        self
    }

    /// The database's name in the store. Default: the database's own name, made safe.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The passphrase that opens the store.
    #[must_use]
    pub fn passphrase(self, passphrase: impl Into<Secret>) -> Self {
        self.credential(Credential::Passphrase(passphrase.into()))
    }

    /// 32 random bytes that open the store.
    #[must_use]
    pub fn raw_key(self, key: Key) -> Self {
        self.credential(Credential::Raw(key))
    }

    /// Any way to open the store: a passphrase, a raw key, age identities, a key provider. Several are tried in order.
    #[must_use]
    pub fn credential(mut self, credential: Credential) -> Self {
        self.keys.credentials.push(credential);
        self
    }

    /// Further recipients (`age1…`, `ssh-ed25519 …`) of each backup's data key. Without a credential this host can back
    /// up and open nothing.
    #[must_use]
    pub fn recipients(mut self, recipients: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let list: Vec<String> = recipients.into_iter().map(Into::into).collect();
        match Recipients::parse(&list.join("\n")) {
            Ok(more) => self.keys.recipients = std::mem::take(&mut self.keys.recipients).and(&more),
            Err(e) => self.errors.push(e),
        }
        self
    }

    /// The key with which a host that holds only recipients signs its manifests.
    #[must_use]
    pub fn signing_key(mut self, key: SigningKey) -> Self {
        self.keys.signing_key = Some(key);
        self
    }

    /// A public key of a host that holds only recipients, whose backups are to be believed.
    #[must_use]
    pub fn trust_signer(mut self, signer: Signer) -> Self {
        self.keys.trusted_signers.push(signer);
        self
    }

    /// Makes and expects a store without encryption.
    #[must_use]
    pub fn unencrypted(mut self) -> Self {
        self.keys.unencrypted = true;
        self
    }

    /// Takes a passphrase although it is weak.
    #[must_use]
    pub fn allow_weak_passphrase(mut self) -> Self {
        self.keys.allow_weak = true;
        self
    }

    /// The scrypt work factor (log2 of N, 1 to 18) of passphrase slots that are written. Default: 16, which takes 64 MiB once.
    #[must_use]
    pub fn work_factor(mut self, log_n: u8) -> Self {
        self.keys.work_factor = Some(log_n);
        self
    }

    /// Who is told when something failed, works again, or looks odd.
    #[must_use]
    pub fn alerts(mut self, alerts: Alerts) -> Self {
        self.alerts = Some(alerts);
        self
    }

    /// Numbers and choices.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// The time of day.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Looks at everything that backups depend on, as [`Vault::doctor`] does, also where no vault can be opened: what is
    /// wrong with the settings, the key or the store is a failed check.
    pub async fn doctor(self) -> DoctorReport {
        self.doctor_for(Doctor::default()).await
    }

    /// The same, with tables and indexes that must be there.
    pub async fn doctor_for(self, options: Doctor) -> DoctorReport {
        let mut errors = self.errors;
        kept(self.settings.check(), &mut errors);
        let engine = self.engine.or_else(|| {
            let url = self.database.as_ref()?;
            kept(engine::open(url.expose(), &self.settings), &mut errors)
        });
        let name = self.name.and_then(|n| kept(n.parse::<DatabaseName>(), &mut errors));
        let store = match (self.object_store, self.store) {
            (Some(store), _) => Some(StorePlace::Given(store)),
            (None, Some(url)) => {
                kept(StoreUrl::parse(&url), &mut errors).map(|url| StorePlace::Url(url, self.store_options))
            }
            (None, None) => {
                errors.push(no_store());
                None
            }
        };
        let place = store.map(|store| Place { store, keys: KeyOptions::default() });
        let subject = Subject {
            errors,
            engine,
            store: place.as_ref().map(|place| (place.repository(false), place.to_string())),
            place: place.as_ref().map_or(PlaceKind::Given, Place::kind),
            tables: options.tables,
            indexes: options.indexes,
            keys: &self.keys,
            name,
            settings: &self.settings,
            clock: self.clock.unwrap_or_else(|| Arc::new(SystemClock)),
        };
        examine(subject).instrument(operation("doctor")).await
    }

    /// Opens the vault. A store that exists is opened with the key; one that does not is made by the first backup.
    ///
    /// # Errors
    /// `missing_setting`, `invalid_url`, `invalid_option`; `wrong_key`, `key_required`, `weak_passphrase`; `store_unavailable`,
    /// `store_denied`, `not_a_store`, `newer_format`.
    pub async fn open(mut self) -> Result<Vault> {
        if let Some(error) = self.errors.drain(..).next() {
            return Err(error);
        }
        self.settings.check()?;
        let engine = match (self.engine, &self.database) {
            (Some(engine), _) => Some(engine),
            (None, url) => url.as_ref().map(|url| engine::open(url.expose(), &self.settings)).transpose()?,
        };
        let name = self.name.map(|n| n.parse::<DatabaseName>()).transpose()?;
        let store = match (self.object_store, self.store) {
            (Some(store), _) => StorePlace::Given(store),
            (None, Some(url)) => StorePlace::Url(StoreUrl::parse(&url)?, self.store_options),
            (None, None) if self.storeless => StorePlace::Nowhere(self.store_options),
            (None, None) => return Err(no_store()),
        };
        let vault = Vault(Arc::new(Inner {
            engine,
            place: Place { store, keys: self.keys },
            name,
            settings: self.settings,
            clock: self.clock.unwrap_or_else(|| Arc::new(SystemClock)),
            session: Mutex::default(),
            opening: tokio::sync::Mutex::default(),
            facts: Facts::default(),
            alerter: self.alerts.map(Alerter::new).transpose()?.map(Arc::new),
        }));
        // A wrong key or a foreign store is told now, not at two in the morning. What is not there yet may come.
        match vault.session().await {
            Ok(_) => Ok(vault),
            Err(e) if is_not_there_yet(&e) => Ok(vault),
            Err(e) => Err(e),
        }
    }
}

/// Keeps what is wrong, and goes on without it.
fn kept<T>(result: Result<T>, errors: &mut Vec<Error>) -> Option<T> {
    result.map_err(|e| errors.push(e)).ok()
}

fn is_not_there_yet(e: &Error) -> bool {
    matches!(e.code(), Code::StoreNotFound | Code::BackupNotFound | Code::MissingSetting | Code::KeyRequired)
}

impl fmt::Debug for VaultBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VaultBuilder")
            .field("name", &self.name)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// Where the store is and what opens it.
pub(super) struct Place {
    store: StorePlace,
    keys: KeyOptions,
}

enum StorePlace {
    Url(StoreUrl, Vec<(String, String)>),
    Given(Arc<dyn ObjectStore>),
    Nowhere(Vec<(String, String)>),
}

fn no_store() -> Error {
    Error::new(Code::MissingSetting, "no store was given").next("give `store` or set BACKUP_STORE_URL")
}

impl Place {
    pub(super) fn keys(&self) -> &KeyOptions {
        &self.keys
    }

    /// What kind of place it is.
    pub(super) fn kind(&self) -> PlaceKind {
        match &self.store {
            StorePlace::Url(StoreUrl::Folder(folder), _) => PlaceKind::Folder(folder.clone()),
            StorePlace::Url(StoreUrl::Remote(_), _) => PlaceKind::Bucket,
            StorePlace::Given(_) | StorePlace::Nowhere(_) => PlaceKind::Given,
        }
    }

    pub(super) fn repository(&self, create: bool) -> Result<Repository> {
        Ok(match &self.store {
            StorePlace::Given(store) => Repository::new(Arc::clone(store), Path::default()),
            StorePlace::Nowhere(_) => return Err(no_store()),
            StorePlace::Url(url, options) => open_url(url, options, create)?,
        })
    }

    /// Another place, with the options of the store.
    pub(super) fn elsewhere(&self, url: &str) -> Result<Repository> {
        let options = match &self.store {
            StorePlace::Url(_, options) | StorePlace::Nowhere(options) => options.as_slice(),
            StorePlace::Given(_) => &[],
        };
        open_url(&StoreUrl::parse(url)?, options, false)
    }

    /// The passphrase among what opens the store.
    pub(super) fn passphrase(&self) -> Option<Secret> {
        passphrase(&self.keys.credentials)
    }

    pub(super) async fn open(&self, create: bool) -> Result<(Repository, Marker, Keys)> {
        let repository = self.repository(create)?;
        let (marker, keys) = open_store(&repository, &self.keys, create).await.map_err(|e| match e.code() {
            Code::StoreNotFound | Code::NotAStore | Code::ObjectMissing => e.at(self),
            _ => e,
        })?;
        Ok((repository, marker, keys))
    }

    /// The store's URL, where it has one.
    pub(super) fn url(&self) -> Option<String> {
        match &self.store {
            StorePlace::Url(url, _) => Some(url.to_string()),
            StorePlace::Given(_) | StorePlace::Nowhere(_) => None,
        }
    }

    pub(super) async fn databases(&self) -> Result<Vec<DatabaseName>> {
        let folders = self.repository(false)?.folders().await?;
        Ok(folders.iter().filter_map(|f| f.parse().ok()).collect())
    }
}

fn open_url(url: &StoreUrl, options: &[(String, String)], create: bool) -> Result<Repository> {
    let environment = options_from(std::env::vars());
    let (store, root) = url.open(&[environment, options.to_vec()].concat(), create)?;
    Ok(Repository::new(store, root))
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.store {
            StorePlace::Url(url, _) => url.fmt(f),
            StorePlace::Given(store) => store.fmt(f),
            StorePlace::Nowhere(_) => f.write_str("no store"),
        }
    }
}
