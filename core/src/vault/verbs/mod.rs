//! The verbs: one a file, with its options and what awaiting it does.

mod backup;
mod drill;
mod export;
mod list;
mod restore;
mod rotate_key;
mod show;
mod verify;

use std::fmt;
use std::future::IntoFuture;
use std::sync::Arc;

use futures::future::BoxFuture;

pub use backup::Backup;
pub use drill::Drill;
pub use export::Export;
pub use list::List;
pub use restore::Restore;
pub use rotate_key::RotateKey;
pub use show::Show;
pub use verify::Verify;

use super::Vault;
use crate::error::Result;
use crate::progress::{CancellationToken, Progress, Run};
use crate::report::{
    BackupDetails, BackupReport, BackupSummary, DrillReport, ExportReport, RestoreReport, RotateKeyReport, VerifyReport,
};

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

/// What a verb does with its options.
pub(crate) trait Perform: Send + 'static {
    type Report: Send + 'static;

    fn perform(self, vault: Vault, run: Run) -> impl Future<Output = Result<Self::Report>> + Send;
}

macro_rules! awaited {
    ($($options:ty => $report:ty,)*) => {
        $(
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

awaited! {
    Backup => BackupReport,
    List => Vec<BackupSummary>,
    Show => BackupDetails,
    Verify => VerifyReport,
    Drill => DrillReport,
    Restore => RestoreReport,
    Export => ExportReport,
    RotateKey => RotateKeyReport,
}
