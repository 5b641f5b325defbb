//! Proves a backup: restores it into a scratch database and compares that with what was backed up.

use std::sync::Arc;
use std::time::Instant;

use super::compare::{differences, first_of};
use super::restore::{Loaded, load};
use super::session::{Opened, Session, millis_since};
use super::verify::keep;
use crate::engine::{Engine, RestoreOptions};
use crate::error::{Code, Error, Result};
use crate::id::{BackupId, random_hex};
use crate::progress::Run;
use crate::report::{DrillReport, ProofKind, ProofSummary};

/// Where a drill restores to, and what it asks there.
pub(crate) struct Scratch {
    /// The database that is restored into.
    pub(crate) engine: Arc<dyn Engine>,
    /// Whether it is ours to drop.
    pub(crate) ours: bool,
    /// The caller's own checks.
    pub(crate) queries: Vec<String>,
}

/// A name for a scratch database that nobody else has.
pub(crate) fn scratch_name() -> Result<String> {
    Ok(format!("lastgood_drill_{}", random_hex::<4>()?))
}

pub(crate) async fn drill(session: &Arc<Session>, id: &BackupId, scratch: &Scratch, run: &Run) -> Result<DrillReport> {
    let began = Instant::now();
    let backup = run.until_cancelled(session.open_backup(id)).await?;
    let result = rehearse(session, &backup, scratch, run, began).await;
    if scratch.ours
        && let Err(e) = scratch.engine.discard().await
    {
        tracing::warn!(backup_id = %id, scratch = scratch.engine.describe(), error = %e, "the scratch database could not be dropped");
    }
    let problems = match &result {
        Ok((_, problems)) => problems.clone(),
        Err(e) if e.code() == Code::Damaged || e.code() == Code::ObjectMissing => vec![e.to_string()],
        // An unreachable scratch server says nothing about the backup.
        Err(_) => return Err(result.err().unwrap_or_else(Error::cancelled)),
    };
    let summary = ProofSummary {
        kind: ProofKind::Drill,
        at: session.clock.now(),
        ok: problems.is_empty(),
        duration_ms: millis_since(began),
        problems,
    };
    keep(session, &backup, summary.clone()).await?;
    let (mut report, problems) = result?;
    if let Some(first) = first_of(&problems) {
        return Err(Error::new(Code::DrillMismatch, format!("{id} was restored and differs: {first}"))
            .next("make a new backup now; `show` lists all differences"));
    }
    report.duration_ms = summary.duration_ms;
    Ok(report)
}

async fn rehearse(
    session: &Arc<Session>,
    backup: &Arc<Opened>,
    scratch: &Scratch,
    run: &Run,
    began: Instant,
) -> Result<(DrillReport, Vec<String>)> {
    let jobs = session.settings.jobs;
    // A drill proves the data: who owns it at home need not exist where it is rehearsed.
    let options = RestoreOptions {
        jobs,
        no_owner: true,
        no_privileges: true,
        no_superuser: true,
        rehearsal: true,
        ..RestoreOptions::default()
    };
    let Loaded { mut warnings, .. } = load(session, Arc::clone(backup), &*scratch.engine, &options, None, run).await?;
    // What is compared with nothing is proven by nothing.
    warnings.extend(backup.body.warnings.iter().filter(|warning| warning.code == "not_compared").cloned());
    let restore_ms = millis_since(began);
    let tables = &backup.body.tables;
    let problems = differences(&*scratch.engine, tables, &scratch.queries, jobs, run).await?;
    let report = DrillReport {
        id: backup.stored.header.id.clone(),
        tables: tables.len() as u64,
        rows: tables.iter().map(|t| t.rows).sum(),
        queries: scratch.queries.len() as u64,
        restore_ms,
        duration_ms: 0,
        warnings,
    };
    Ok((report, problems))
}
