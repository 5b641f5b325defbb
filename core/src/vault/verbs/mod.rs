//! The verbs: one a file, with its options and what awaiting it does.

mod artifacts;
mod backup;
mod database_stats;
pub(crate) mod doctor;
mod drill;
mod export;
mod health;
mod hold;
mod import;
mod keys;
mod list;
mod metrics;
pub(crate) mod prune;
mod restore;
mod rotate_key;
pub(crate) mod run_due;
mod select;
mod show;
mod verify;

use std::fmt;
use std::future::IntoFuture;
use std::sync::Arc;

use futures::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tracing::Instrument as _;

pub use artifacts::Artifacts;
pub use backup::Backup;
pub use database_stats::AskDatabase;
pub use doctor::Doctor;
pub use drill::Drill;
pub use export::{Export, ExportFormat};
pub use health::Health;
pub use hold::{Hold, Release};
pub use import::Import;
pub use keys::{Keys, Reencrypt, Rewrap};
pub use list::List;
pub use metrics::Metrics;
pub use prune::Prune;
pub use restore::Restore;
pub use rotate_key::{AddKey, RemoveKey, RotateKey};
pub use run_due::RunDue;
pub use select::Selects;
pub use show::Show;
pub use verify::Verify;

use super::Vault;
use crate::error::{Code, Error, Result};
use crate::observe::watch::{operation, watched};
use crate::progress::{CancellationToken, Progress, ProgressCallback, Run};
use crate::report::{
    AddKeyReport, ArtifactSummary, BackupDetails, BackupReport, BackupSummary, DatabaseStats, DoctorReport,
    DrillReport, ExportReport, HealthReport, HoldReport, KeysReport, PruneReport, ReencryptReport, RemoveKeyReport,
    RestoreReport, RewrapReport, RotateKeyReport, VerifyReport,
};
use crate::schedule::RunDueReport;

/// A verb with its options: await it to run it.
///
/// # Cancellation
/// Dropping the future stops the work; what was sent to the store so far may stay as invisible orphans.
/// A [`CancellationToken`] also cleans up behind itself before the future ends with `cancelled`.
#[must_use = "a verb does nothing until it is awaited"]
pub struct Verb<O> {
    vault: Vault,
    options: O,
    on_progress: Option<ProgressCallback>,
    cancel: CancellationToken,
}

impl<O> Verb<O> {
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

    /// Changes the options in place, for those that have no builder method.
    pub fn options_with(self, change: impl FnOnce(&mut O)) -> Self {
        self.with(change)
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

/// What a verb does with its options.
pub(crate) trait Perform: Send + 'static {
    type Report: Send + 'static;

    fn perform(self, vault: Vault, run: Run) -> impl Future<Output = Result<Self::Report>> + Send;
}

/// Runs a verb, and tells those who want to be alerted.
pub(super) async fn told<R: Serialize>(
    vault: &Vault,
    verb: &'static str,
    run: &Run,
    work: impl Future<Output = Result<R>>,
) -> Result<R> {
    told_within(vault, verb, run, Box::pin(work)).instrument(operation(verb)).await
}

async fn told_within<R: Serialize>(
    vault: &Vault,
    verb: &'static str,
    run: &Run,
    work: impl Future<Output = Result<R>>,
) -> Result<R> {
    let work = watched(verb, run, work);
    let Some(alerter) = &vault.0.alerter else { return work.await };
    let result = alerter.while_told(verb, work).await;
    if result.as_ref().is_err_and(|e| e.code() == Code::Cancelled) {
        // Who cancels knows.
        return result;
    }
    let answer = match &result {
        Ok(report) => Ok(serde_json::to_value(report).unwrap_or_default()),
        Err(e) => Err(e.told()),
    };
    alerter.ended(verb, &vault.alert_source(), vault.0.clock.now(), &answer).await;
    result
}

/// Options are read from JSON for callers in other languages.
///
/// Boxed: a future with room for any verb in it, once in each frame that passes it on, fills the stack of a worker
/// thread (2 MiB) in a build without optimization.
fn perform_json<O>(vault: &Vault, verb: &'static str, options: Value, run: Run) -> BoxFuture<'static, Result<Value>>
where
    O: Perform + DeserializeOwned,
    O::Report: Serialize,
{
    let vault = vault.clone();
    Box::pin(async move {
        let options: O = serde_json::from_value(options)
            .map_err(|e| Error::new(Code::InvalidOption, format!("options of {verb}: {e}")))?;
        let report = told(&vault, verb, &run, options.perform(vault.clone(), run.clone())).await?;
        serde_json::to_value(report).map_err(|e| Error::new(Code::Internal, format!("report of {verb}: {e}")))
    })
}

/// The table of verbs: for each its name, what it takes beside its options, the options and the report.
macro_rules! verbs {
    ($($(#[doc = $doc:literal])+ $verb:ident($($given:ident)?): $options:ident => $report:ty;)*) => {
        impl Vault {
            $(
                $(#[doc = $doc])+
                #[allow(clippy::needless_update, reason = "some verbs have no further options")]
                pub fn $verb(&self $(, $given: impl AsRef<str>)?) -> Verb<$options> {
                    let options = $options { $($given: $given.as_ref().to_owned(),)? ..$options::default() };
                    Verb { vault: self.clone(), options, on_progress: None, cancel: CancellationToken::new() }
                }
            )*

            /// Runs the verb of this name with its options as a JSON object, and answers its report as JSON.
            ///
            /// This is how other languages call: the names, options and reports are those of the verbs here.
            ///
            /// # Errors
            /// `invalid_option` for a verb or an option that does not exist; otherwise those of the verb.
            pub async fn call(
                &self,
                verb: &str,
                options: Value,
                cancel: CancellationToken,
                on_progress: Option<ProgressCallback>,
            ) -> Result<Value> {
                let run = Run::new(cancel, on_progress);
                match verb {
                    $(stringify!($verb) => perform_json::<$options>(self, stringify!($verb), options, run).await,)*
                    _ => Err(Error::new(Code::InvalidOption, format!("there is no verb `{verb}`"))
                        .next(format!("the verbs are {}", [$(stringify!($verb)),*].join(", ")))),
                }
            }
        }

        $(
            impl IntoFuture for Verb<$options> {
                type Output = Result<$report>;
                type IntoFuture = BoxFuture<'static, Self::Output>;

                fn into_future(self) -> Self::IntoFuture {
                    let run = Run::new(self.cancel, self.on_progress);
                    Box::pin(async move {
                        let work = self.options.perform(self.vault.clone(), run.clone());
                        told(&self.vault, stringify!($verb), &run, work).await
                    })
                }
            }
        )*

        /// Describes the verbs in the order of the table.
        #[cfg(feature = "schema")]
        pub(crate) fn describe(types: &mut schemars::SchemaGenerator) -> Vec<Value> {
            vec![$(serde_json::json!({
                "name": stringify!($verb),
                "doc": ([$($doc.trim()),+].join("\n")),
                "takes": ([$(stringify!($given))?] as [&str; _]),
                "options": types.subschema_for::<$options>(),
                "report": types.subschema_for::<$report>(),
            })),*]
        }
    };
}

verbs! {
    /// Makes one backup of the database. The first one also makes the store.
    backup(): Backup => BackupReport;
    /// Lists the backups there are, newest first. Needs no key.
    list(): List => Vec<BackupSummary>;
    /// Lists the dumps of old scripts that lie in the store. Needs no key, and no store of ours.
    artifacts(): Artifacts => Vec<ArtifactSummary>;
    /// Turns the dump of an old script into a backup: restored into a scratch database, and backed up from there.
    import(artifact): Import => BackupReport;
    /// Shows one backup in full. `backup` is an id, the beginning of one, or `latest`; so everywhere.
    show(backup): Show => BackupDetails;
    /// Opens and checks every stored byte of one backup, and keeps the proof. Takes the dumps of old scripts as well.
    verify(backup): Verify => VerifyReport;
    /// Restores one backup into a scratch database, compares counts and hashes, drops it, and keeps the proof.
    drill(backup): Drill => DrillReport;
    /// Restores one backup into an empty database; or the dump of an old script: its name in the store, a path or a URL.
    restore(backup): Restore => RestoreReport;
    /// Writes one backup's dump into a folder, as stock tools load it.
    export(backup): Export => ExportReport;
    /// Deletes the backups that no rule keeps, and what dead runs left behind. Marks first, deletes after a time of grace.
    prune(): Prune => PruneReport;
    /// Keeps one backup from being deleted, until a date or until `release`.
    hold(backup): Hold => HoldReport;
    /// Takes back every hold on one backup.
    release(backup): Release => HoldReport;
    /// Does what the plan says is due: each slot once, however many hosts try. Says what it did, and what failed.
    run_due(): RunDue => RunDueReport;
    /// Shows what opens what: key slots, epochs, and the backups under each. Without a key, the slots alone.
    keys(): Keys => KeysReport;
    /// Makes a new key open the store, and retires the one that opened it; with `new_epoch`, under a new identity.
    rotate_key(): RotateKey => RotateKeyReport;
    /// Makes another key open the store, beside those that do.
    add_key(): AddKey => AddKeyReport;
    /// Makes a key open the store no more. `slot` is as `keys` shows it. Never the last one.
    remove_key(slot): RemoveKey => RemoveKeyReport;
    /// Wraps the data keys of all backups to the newest epoch, and to the recipients of the settings, alone.
    rewrap(): Rewrap => RewrapReport;
    /// Seals all backups of earlier epochs anew, with new data keys under the newest epoch: after somebody saw a key.
    reencrypt(): Reencrypt => ReencryptReport;
    /// Tells whether database, store, backups and drills are as they should be; what fails is in the report.
    health(): Health => HealthReport;
    /// Gives everything that is known of the vault and of this process as Prometheus text (format 0.0.4).
    metrics(): Metrics => String;
    /// Asks the database how it is doing: connections, sizes, slow queries, locks, replication.
    database_stats(): AskDatabase => DatabaseStats;
    /// Looks at everything that backups and restores depend on; changes nothing but a probe object in the store. What is
    /// broken is a failed check, never an error. Where a vault cannot even be opened: [`VaultBuilder::doctor`](super::VaultBuilder::doctor).
    doctor(): Doctor => DoctorReport;
}
