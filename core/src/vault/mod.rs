//! The facade: one database, one store, and the verbs.

mod artifacts;
mod builder;
mod env;
mod options;
mod schedule;
mod verbs;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

pub use builder::VaultBuilder;
#[cfg(feature = "cli")]
pub(crate) use env::{new_key_of_env, read_secret};
pub use options::VaultOptions;
pub use schedule::Schedule;
#[cfg(feature = "schema")]
pub(crate) use verbs::describe as describe_verbs;
pub use verbs::*;

use crate::clock::Clock;
use crate::engine::Engine;
use crate::error::{Code, Error, Result};
use crate::id::DatabaseName;
use crate::observe::Facts;
use crate::observe::alert::{Alerter, Source};
use crate::ops::doctor::Subject;
use crate::ops::session::Session;
use crate::report::Probe;
use crate::settings::Settings;
use builder::Place;

/// One database and the store that its backups lie in. Cheap to clone.
///
/// # Example
/// ```
/// # async fn example(folder: &std::path::Path) -> lastgood::Result<()> {
/// use lastgood::Vault;
/// let vault = Vault::builder()
///     .database("sqlite:shop.db")
///     .store("/var/backups")
///     .passphrase("correct horse battery staple and eleven more words")
///     .open()
///     .await?;
/// let backup = vault.backup().tag("nightly").await?;
/// vault.drill(&backup.id).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Vault(Arc<Inner>);

struct Inner {
    engine: Option<Arc<dyn Engine>>,
    place: Place,
    name: Option<DatabaseName>,
    settings: Settings,
    clock: Arc<dyn Clock>,
    session: Mutex<Option<Arc<Session>>>,
    /// Held by whoever opens the store, so that others wait for it.
    opening: tokio::sync::Mutex<()>,
    facts: Facts,
    alerter: Option<Arc<Alerter>>,
}

impl Vault {
    /// Begins a vault: say which database, which store and which key.
    #[must_use]
    pub fn builder() -> VaultBuilder {
        VaultBuilder::default()
    }

    /// Opens the vault that the environment describes (`DATABASE_URL`, `BACKUP_STORE_URL`, `BACKUP_ENCRYPTION_KEY` …).
    ///
    /// # Errors
    /// `missing_setting` names the variable that is needed; otherwise those of [`VaultBuilder::open`].
    pub async fn from_env() -> Result<Self> {
        Self::builder().env().open().await
    }

    /// Connects to the database and asks it who it is.
    ///
    /// # Errors
    /// `missing_setting` without a database; `database_unavailable`, `database_denied`, `database_not_found`.
    pub async fn probe(&self) -> Result<Probe> {
        self.engine()?.probe().await
    }

    /// The public keys that new data keys are wrapped to: what a host needs that is to back up and open nothing.
    ///
    /// # Errors
    /// `key_required` when the store was not opened with a key.
    pub async fn recipients(&self) -> Result<String> {
        Ok(self.session().await?.keys.opened()?.recipients().to_string())
    }

    /// The databases that the store holds backups of.
    ///
    /// # Errors
    /// `store_unavailable`, `store_denied`, `store_not_found`.
    pub async fn databases(&self) -> Result<Vec<DatabaseName>> {
        self.0.place.databases().await
    }

    /// What its alerts told since this was last asked.
    #[cfg(test)]
    pub(crate) fn take_told(&self) -> Vec<crate::AlertEvent> {
        self.0.alerter.as_ref().map(|alerter| alerter.take_told()).unwrap_or_default()
    }

    /// Where this vault's alerts come from.
    pub(crate) fn alert_source(&self) -> Source {
        let (vault, database) = (self.0.place.to_string(), self.label());
        Source { vault, database, session: self.0.cached() }
    }

    /// The database's name in the store, as far as it is known without asking.
    fn label(&self) -> String {
        let session = self.0.cached().map(|session| session.database.to_string());
        let named = || self.0.name.as_ref().map(ToString::to_string);
        let own = || self.0.engine.as_ref().map(|engine| DatabaseName::sanitize(engine.database()).to_string());
        session.or_else(named).or_else(own).unwrap_or_default()
    }

    fn engine(&self) -> Result<&Arc<dyn Engine>> {
        self.0.engine.as_ref().ok_or_else(|| {
            Error::new(Code::MissingSetting, "no database was given").next("give `database` or set DATABASE_URL")
        })
    }

    /// The store, which must exist.
    pub(crate) async fn session(&self) -> Result<Arc<Session>> {
        self.0.session(false).await
    }

    /// The store, made if it does not exist.
    async fn session_or_create(&self) -> Result<Arc<Session>> {
        self.0.session(true).await
    }

    /// The store, whichever database is meant: for what is about all of them.
    async fn store_session(&self) -> Result<Arc<Session>> {
        match self.session().await {
            Err(e) if matches!(e.code(), Code::MissingSetting | Code::BackupNotFound) => {
                // No database has this name, for nothing is ever written under it.
                let name = self.0.place.databases().await?.pop().map_or_else(|| "any".parse(), Ok)?;
                self.0.open(false, Some(name)).await
            }
            other => other,
        }
    }
}

impl Inner {
    fn cached(&self) -> Option<Arc<Session>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What verbs work with from now on.
    fn keep(&self, session: Arc<Session>) -> Arc<Session> {
        *self.session.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&session));
        session
    }

    /// The open store. Its keys are opened again when another host changed the slots.
    async fn session(&self, create: bool) -> Result<Arc<Session>> {
        let session = match self.cached() {
            Some(session) => session,
            None => {
                let _opening = self.opening.lock().await;
                match self.cached() {
                    Some(session) => session,
                    None => return Ok(self.keep(self.open(create, None).await?)),
                }
            }
        };
        match session.keys.refreshed(&session.repository).await? {
            Some(keys) => Ok(self.keep(session.with_keys(keys))),
            None => Ok(session),
        }
    }

    async fn open(&self, create: bool, database: Option<DatabaseName>) -> Result<Arc<Session>> {
        let (repository, marker, keys) = self.place.open(create).await?;
        let database = match (database.as_ref().or(self.name.as_ref()), &self.engine) {
            (Some(name), _) => name.clone(),
            (None, Some(engine)) => DatabaseName::sanitize(engine.database()),
            (None, None) => only(self.place.databases().await?)?,
        };
        let (settings, clock) = (self.settings.clone(), Arc::clone(&self.clock));
        Ok(Arc::new(Session { repository, marker, keys, database, settings, clock }))
    }
}

impl Inner {
    /// What the doctor is to look at.
    fn subject(&self) -> Subject<'_> {
        Subject {
            errors: Vec::new(),
            engine: self.engine.clone(),
            store: Some((self.place.repository(false), self.place.to_string())),
            place: self.place.kind(),
            tables: Vec::new(),
            indexes: Vec::new(),
            keys: self.place.keys(),
            name: self.name.clone(),
            settings: &self.settings,
            clock: Arc::clone(&self.clock),
        }
    }
}

/// Which database is meant when none was named.
fn only(mut databases: Vec<DatabaseName>) -> Result<DatabaseName> {
    match (databases.pop(), databases.is_empty()) {
        (Some(name), true) => Ok(name),
        (Some(last), false) => {
            let names: Vec<_> = databases.iter().chain([&last]).map(DatabaseName::as_str).collect();
            Err(Error::new(Code::MissingSetting, format!("the store holds backups of {}", names.join(", ")))
                .next("say which with `name`"))
        }
        (None, _) => {
            Err(Error::new(Code::BackupNotFound, "the store holds no backups yet").next("make one with `backup`"))
        }
    }
}

/// Where the database and the store are, without credentials: `postgres://app@db/shop in s3://acme-backups/prod`.
impl fmt::Display for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.engine {
            Some(engine) => write!(f, "{} in {}", engine.describe(), self.0.place),
            None => write!(f, "any database in {}", self.0.place),
        }
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let database = self.0.engine.as_ref().map(|e| e.describe());
        f.debug_struct("Vault")
            .field("database", &database)
            .field("store", &self.0.place.to_string())
            .finish_non_exhaustive()
    }
}
