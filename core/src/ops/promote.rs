//! Lets a restored database take the place of the live one, after it was found to be what was backed up.

use super::compare::{differences, first_of};
use super::session::Opened;
use crate::engine::{Suffix, Target};
use crate::error::{Code, Error, Result};
use crate::progress::{Phase, Run};
use crate::report::{Promoted, Warning};

/// How a restored database is promoted.
#[derive(Debug)]
pub(crate) struct Promotion {
    /// The caller's own checks, which come after those of the content.
    pub(crate) queries: Vec<String>,
    /// What the live database is called afterwards.
    pub(crate) suffix: Suffix,
}

/// Builds what is loaded, checks it while nobody else sees it, and swaps it with the live database.
pub(super) async fn promote(
    target: &mut dyn Target,
    backup: &Opened,
    promotion: &Promotion,
    jobs: usize,
    run: &Run,
) -> Result<(Promoted, Vec<Warning>)> {
    let (staged, mut warnings) = run.until_cancelled(target.stage()).await?;
    let problems = differences(&*staged, &backup.body.tables, &promotion.queries, jobs, run).await?;
    drop(staged);
    if let Some(first) = first_of(&problems) {
        let id = &backup.stored.header.id;
        let message = format!("{id} was restored and differs, so the live database was left as it was: {first}");
        return Err(
            Error::new(Code::DrillMismatch, message).next("restore another backup; `drill` tells all differences")
        );
    }
    run.begin(Phase::Finishing, None);
    // The last moment to turn back: the swap itself takes seconds at most, and whoever is told that it was cancelled
    // must find the live database where it was.
    run.until_cancelled(async {
        // What is ready at once is never cancelled.
        tokio::task::yield_now().await;
        Ok(())
    })
    .await?;
    let (promoted, more) = target.promote(&promotion.suffix).await?;
    warnings.extend(more);
    Ok((promoted, warnings))
}
