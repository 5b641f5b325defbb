//! Proves a backup: restores it into a scratch database, compares counts and hashes, runs the caller's queries.

use std::sync::Arc;
use std::time::Instant;

use super::restore::{Loaded, load};
use super::session::{Opened, Session, millis_since};
use super::verify::keep;
use crate::engine::{Engine, RestoreOptions};
use crate::error::{Code, Error, Result};
use crate::id::{BackupId, random_hex};
use crate::progress::{Phase, Run};
use crate::report::{DrillReport, ProofKind, ProofSummary, TableSummary};

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
    if let Some(first) = problems.first() {
        let more = if problems.len() > 1 { format!(" (and {} more)", problems.len() - 1) } else { String::new() };
        return Err(Error::new(Code::DrillMismatch, format!("{id} was restored and differs: {first}{more}"))
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
    let options =
        RestoreOptions { jobs, no_owner: true, no_privileges: true, no_superuser: true, ..RestoreOptions::default() };
    let Loaded { warnings, .. } = load(session, Arc::clone(backup), &*scratch.engine, &options, run).await?;
    let restore_ms = millis_since(began);
    run.begin(Phase::Comparing, None);
    let tables = &backup.body.tables;
    let found = run.until_cancelled(scratch.engine.summarize(tables, jobs)).await?;
    let mut problems = compare(tables, &found);
    for query in &scratch.queries {
        match run.until_cancelled(scratch.engine.smoke(query)).await {
            Ok(true) => {}
            Ok(false) => problems.push(format!("the query `{query}` said no")),
            Err(e) if e.code() == Code::DatabaseError => {
                problems.push(format!("the query `{query}` failed: {}", e.message()))
            }
            Err(e) => return Err(e),
        }
    }
    run.end();
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

/// What differs between what was backed up and what was restored.
fn compare(expected: &[TableSummary], found: &[TableSummary]) -> Vec<String> {
    let mut problems = Vec::new();
    for table in expected {
        match found.iter().find(|f| f.name == table.name) {
            None => problems.push(format!("table {} is missing", table.name)),
            Some(f) if f.rows != table.rows => {
                problems.push(format!("table {} has {} rows instead of {}", table.name, f.rows, table.rows))
            }
            Some(f) if f.hash != table.hash => problems.push(format!("table {} has other content", table.name)),
            Some(_) => {}
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_difference_is_found() {
        let table =
            |name: &str, rows, hash: &str| TableSummary { name: name.into(), columns: vec![], rows, hash: hash.into() };
        let expected = [table("a", 1, "x"), table("b", 2, "y"), table("c", 3, "z"), table("d", 4, "w")];
        let found = [table("d", 4, "w"), table("b", 1, "y"), table("a", 1, "other")];
        let problems = compare(&expected, &found);
        assert_eq!(problems, ["table a has other content", "table b has 1 rows instead of 2", "table c is missing"]);
    }
}
