//! The verbs' options, and what awaiting one of them does.

use std::fmt;
use std::future::IntoFuture;
use std::path::PathBuf;
use std::sync::Arc;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::Vault;
use crate::crypto::keyring::SlotKey;
use crate::crypto::{Credential, Recipients};
use crate::engine::{self, Engine};
use crate::error::{Code, Error, Result};
use crate::ops;
use crate::progress::{CancellationToken, Progress, Run};
use crate::report::{
    BackupDetails, BackupReport, BackupSummary, DrillReport, ExportReport, RestoreReport, RotateKeyReport, VerifyReport,
};
use crate::secret::Secret;

/// A verb with its options: await it to run it.
///
/// # Cancellation
/// Dropping the future stops the work; what was sent to the store so far may stay as invisible orphans.
/// A [`CancellationToken`] also cleans up behind itself before the future ends with `cancelled`.
#[must_use = "a verb does nothing until it is awaited"]
pub struct Verb<O> {
    vault: Vault,
    options: O,
    on_progress: Option<Arc<dyn Fn(Progress) + Send + Sync>>,
    cancel: CancellationToken,
}

impl<O> Verb<O> {
    pub(super) fn new(vault: &Vault, options: O) -> Self {
        Self { vault: vault.clone(), options, on_progress: None, cancel: CancellationToken::new() }
    }

    /// Calls back at each change of phase and up to ten times a second in between.
    pub fn on_progress(mut self, callback: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        self.on_progress = Some(Arc::new(callback));
        self
    }

    /// Stops when the token is cancelled, with the code `cancelled`.
    pub fn cancel(mut self, token: CancellationToken) -> Self {
        self.cancel = token;
        self
    }

    /// Replaces all options, for callers that have them as data.
    pub fn options(mut self, options: O) -> Self {
        self.options = options;
        self
    }

    fn with(mut self, change: impl FnOnce(&mut O)) -> Self {
        change(&mut self.options);
        self
    }
}

impl<O: fmt::Debug> fmt::Debug for Verb<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.options.fmt(f)
    }
}

/// Stands in a `Debug` print for a database's URL, which may hold a password.
struct Hidden;

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("..")
    }
}

/// What a verb does with its options.
trait Perform: Send + 'static {
    type Report: Send + 'static;

    fn perform(self, vault: Vault, run: Run) -> impl Future<Output = Result<Self::Report>> + Send;
}

macro_rules! verbs {
    ($($options:ty => $report:ty, |$self:ident, $vault:ident, $run:ident| $body:block)*) => {
        $(
            impl Perform for $options {
                type Report = $report;

                async fn perform($self, $vault: Vault, $run: Run) -> Result<$report> $body
            }

            impl IntoFuture for Verb<$options> {
                type Output = Result<$report>;
                type IntoFuture = BoxFuture<'static, Self::Output>;

                fn into_future(self) -> Self::IntoFuture {
                    Box::pin(self.options.perform(self.vault, Run::new(self.cancel, self.on_progress)))
                }
            }
        )*
    };
}

verbs! {
    Backup => BackupReport, |self, vault, run| {
        let engine = Arc::clone(vault.engine()?);
        let session = vault.session_or_create().await?;
        ops::backup::backup(&session, &*engine, self.tags, &run).await
    }
    List => Vec<BackupSummary>, |self, vault, run| {
        run.until_cancelled(async { ops::list::list(&vault.session().await?, self.limit).await }).await
    }
    Show => BackupDetails, |self, vault, run| {
        run.until_cancelled(async {
            let session = vault.session().await?;
            ops::list::show(&session, &session.resolve(&self.backup).await?).await
        }).await
    }
    Verify => VerifyReport, |self, vault, run| {
        let session = vault.session().await?;
        ops::verify::verify(&session, &session.resolve(&self.backup).await?, &run).await
    }
    Drill => DrillReport, |self, vault, run| {
        let session = vault.session().await?;
        let id = session.resolve(&self.backup).await?;
        let (engine, ours) = match &self.target {
            Some(url) => (engine::open(url)?, false),
            None => (vault.engine()?.sibling(&ops::drill::scratch_name()?, session.settings.work_dir.as_deref())?, true),
        };
        let scratch = ops::drill::Scratch { engine, ours, queries: self.queries };
        ops::drill::drill(&session, &id, &scratch, &run).await
    }
    Restore => RestoreReport, |self, vault, run| {
        let session = vault.session().await?;
        let id = session.resolve(&self.backup).await?;
        let target: Arc<dyn Engine> = match &self.target {
            Some(url) => engine::open(url)?,
            None => {
                return Err(Error::new(Code::MissingSetting, "no target was given")
                    .next("name the database to restore into; the vault's own is never the default"));
            }
        };
        let options = engine::RestoreOptions {
            jobs: session.settings.jobs,
            overwrite: self.overwrite,
            no_owner: self.no_owner,
            no_privileges: self.no_privileges,
        };
        let backup = run.until_cancelled(session.open_backup(&id)).await?;
        ops::restore::restore(&session, backup, &*target, &options, &run).await
    }
    Export => ExportReport, |self, vault, run| {
        let session = vault.session().await?;
        let id = session.resolve(&self.backup).await?;
        let folder = self.folder.ok_or_else(|| Error::new(Code::MissingSetting, "no folder was given").next("name the folder to export into"))?;
        ops::export::export(&session, &id, &folder, self.keep_compression, &run).await
    }
    RotateKey => RotateKeyReport, |self, vault, run| {
        let session = vault.session().await?;
        let (to, proof) = match self.to {
            Some(NewKey::Passphrase(passphrase)) => {
                let make = if self.allow_weak { SlotKey::weak_passphrase } else { SlotKey::passphrase };
                (make(passphrase.clone())?, Some(Credential::Passphrase(passphrase)))
            }
            Some(NewKey::Recipients(list)) => (SlotKey::recipients(Recipients::parse(&list)?)?, None),
            None => return Err(Error::new(Code::MissingSetting, "no new key was given").next("say to_passphrase or to_recipients")),
        };
        let to = self.work_factor.map_or(Ok(to.clone()), |log_n| to.work_factor(log_n))?;
        run.until_cancelled(ops::rotate::rotate(&session, to, proof, self.keep_old)).await
    }
}

/// Options of [`Vault::backup`].
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Backup {
    /// Labels to keep in the manifest.
    pub tags: Vec<String>,
}

impl Verb<Backup> {
    /// Adds a label.
    pub fn tag(self, tag: impl Into<String>) -> Self {
        self.with(|o| o.tags.push(tag.into()))
    }
}

/// Options of [`Vault::list`].
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct List {
    /// At most so many, the newest. Absent: all.
    pub limit: Option<usize>,
}

impl Verb<List> {
    /// At most so many, the newest.
    pub fn limit(self, limit: usize) -> Self {
        self.with(|o| o.limit = Some(limit))
    }
}

/// Options of [`Vault::show`].
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Show {
    /// The backup: an id, the beginning of one, or `latest`.
    pub backup: String,
}

/// Options of [`Vault::verify`].
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Verify {
    /// The backup: an id, the beginning of one, or `latest`.
    pub backup: String,
}

/// Options of [`Vault::drill`].
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Drill {
    /// The backup: an id, the beginning of one, or `latest`.
    pub backup: String,
    /// URL of an empty database to use. Absent: one is created beside the vault's database and dropped afterwards.
    pub target: Option<String>,
    /// Queries to run on the restored database; each must succeed, and not answer `false` or `0`.
    pub queries: Vec<String>,
}

impl fmt::Debug for Drill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { backup, target, queries } = self;
        let target = target.as_ref().map(|_| Hidden);
        f.debug_struct("Drill").field("backup", backup).field("target", &target).field("queries", queries).finish()
    }
}

impl Verb<Drill> {
    /// Restores into this empty database instead of one of our own making.
    pub fn target(self, url: impl Into<String>) -> Self {
        self.with(|o| o.target = Some(url.into()))
    }

    /// Adds a query that must succeed on the restored database, and not answer `false` or `0`.
    pub fn query(self, query: impl Into<String>) -> Self {
        self.with(|o| o.queries.push(query.into()))
    }
}

/// Options of [`Vault::restore`].
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Restore {
    /// The backup: an id, the beginning of one, or `latest`.
    pub backup: String,
    /// URL of the database to restore into: empty, or not there yet.
    pub target: Option<String>,
    /// Restore even though the target holds something.
    pub overwrite: bool,
    /// Leave everything to the restoring user.
    pub no_owner: bool,
    /// Leave out grants.
    pub no_privileges: bool,
}

impl fmt::Debug for Restore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { backup, target, overwrite, no_owner, no_privileges } = self;
        let target = target.as_ref().map(|_| Hidden);
        f.debug_struct("Restore")
            .field("backup", backup)
            .field("target", &target)
            .field("overwrite", overwrite)
            .field("no_owner", no_owner)
            .field("no_privileges", no_privileges)
            .finish()
    }
}

impl Verb<Restore> {
    /// Restores into this database: empty, or not there yet.
    pub fn target(self, url: impl Into<String>) -> Self {
        self.with(|o| o.target = Some(url.into()))
    }

    /// Restores even though the target holds something.
    pub fn overwrite(self) -> Self {
        self.with(|o| o.overwrite = true)
    }

    /// Leaves everything to the restoring user.
    pub fn no_owner(self) -> Self {
        self.with(|o| o.no_owner = true)
    }

    /// Leaves out grants.
    pub fn no_privileges(self) -> Self {
        self.with(|o| o.no_privileges = true)
    }
}

/// Options of [`Vault::export`].
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Export {
    /// The backup: an id, the beginning of one, or `latest`.
    pub backup: String,
    /// The folder to write: new, or empty.
    pub folder: Option<PathBuf>,
    /// Leave the files compressed as they are stored.
    pub keep_compression: bool,
}

impl Verb<Export> {
    /// Writes into this folder: new, or empty.
    pub fn folder(self, folder: impl Into<PathBuf>) -> Self {
        self.with(|o| o.folder = Some(folder.into()))
    }

    /// Leaves the files compressed as they are stored.
    pub fn keep_compression(self) -> Self {
        self.with(|o| o.keep_compression = true)
    }
}

/// Options of [`Vault::rotate_key`].
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct RotateKey {
    /// What opens the store from now on.
    pub to: Option<NewKey>,
    /// Leave the slot that was opened in place: both keys work.
    pub keep_old: bool,
    /// Take the passphrase although it is weak.
    pub allow_weak: bool,
    /// The scrypt work factor (log2 of N) of a passphrase slot. Absent: 16.
    pub work_factor: Option<u8>,
}

/// What a rotated key slot is locked with.
#[derive(Debug)]
pub enum NewKey {
    /// A passphrase.
    Passphrase(Secret),
    /// Public keys (`age1…`, `ssh-ed25519 …`), separated by commas or line ends.
    Recipients(String),
}

impl Verb<RotateKey> {
    /// From now on, this passphrase opens the store.
    pub fn to_passphrase(self, passphrase: impl Into<Secret>) -> Self {
        self.with(|o| o.to = Some(NewKey::Passphrase(passphrase.into())))
    }

    /// From now on, the identities of these recipients (`age1…`, `ssh-ed25519 …`) open the store.
    pub fn to_recipients(self, recipients: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let list: Vec<String> = recipients.into_iter().map(Into::into).collect();
        self.with(|o| o.to = Some(NewKey::Recipients(list.join("\n"))))
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
