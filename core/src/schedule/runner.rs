//! Does what is due: under the lease of the database, each slot once, and says what it did.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::Value;
use tokio::task::JoinSet;
use tracing::Instrument as _;

use super::plan::{Agenda, Job};
use super::record::{self, JobNext, JobRecord, RunDueReport};
use crate::engine::{self, Engine};
use crate::error::{Code, Error, Result};
use crate::format::layout;
use crate::id::BackupId;
use crate::observe::alert::{Alerter, Source};
use crate::observe::watch::{operation, watched};
use crate::ops;
use crate::ops::backup::BackupOrder;
use crate::ops::drill::{Scratch, scratch_name};
use crate::ops::prune::PruneOrder;
use crate::ops::session::Session;
use crate::ops::slot::{self, Slot};
use crate::progress::{CancellationToken, Run};
use crate::storage::{Lease, Taken};

/// A clock that differs from the store's by more than this is not believed.
const SKEW: SignedDuration = SignedDuration::from_mins(5);

/// Where jobs run.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) session: Arc<Session>,
    pub(crate) engine: Option<Arc<dyn Engine>>,
    /// For people: host and process.
    pub(crate) name: String,
    pub(crate) orphan_grace: SignedDuration,
    /// When everything must have ended.
    pub(crate) ends: Option<tokio::time::Instant>,
    /// Who tells of each job as of a verb, and where the jobs are.
    pub(crate) alerter: Option<Arc<Alerter>>,
    pub(crate) source: Source,
}

/// What a job did.
struct Done {
    /// The backup that was made, or looked at.
    backup: Option<BackupId>,
    /// The verb's report.
    report: Value,
}

impl Done {
    fn new(backup: Option<BackupId>, report: &impl Serialize) -> Self {
        Self { backup, report: serde_json::to_value(report).unwrap_or_default() }
    }
}

/// A slot that is to be done.
struct Due {
    job: Job,
    slot: Timestamp,
    last: Option<JobRecord>,
}

pub(crate) async fn run_due(host: &Host, agenda: &Agenda, run: &Run) -> Result<RunDueReport> {
    let mut report = RunDueReport {
        at: host.session.clock.now(),
        clock_ahead_seconds: None,
        ran: Vec::new(),
        next: Vec::new(),
        held_by: None,
    };
    let (due, mut waiting) = run.until_cancelled(find_due(host, agenda, report.at)).await?;
    if !due.is_empty() {
        waiting = Box::pin(run_under_lease(host, agenda, run, &mut report)).await?;
    }
    report.next = agenda.next(report.at).into_iter().map(|(job, at)| JobNext { job, at, retry: false }).collect();
    for retry in waiting {
        match report.next.iter_mut().find(|next| next.job == retry.job) {
            Some(next) if retry.at < next.at => *next = retry,
            _ => {}
        }
    }
    Ok(report)
}

/// The slots that nobody has done, and the jobs that wait for another attempt.
async fn find_due(host: &Host, agenda: &Agenda, now: Timestamp) -> Result<(Vec<Due>, Vec<JobNext>)> {
    let (mut due, mut waiting) = (Vec::new(), Vec::new());
    for (job, slot) in agenda.slots(now) {
        if slot::look(&host.session, job.as_str(), slot).await? == slot::Progress::Done {
            continue;
        }
        let last = record::read(&host.session, job).await?;
        let failed = last.as_ref().filter(|last| last.slot == slot && !last.ok);
        match failed.map(|last| last.retry_at) {
            // Its attempts are used up: its next slot is the next chance.
            Some(None) => {}
            Some(Some(at)) if at > now => waiting.push(JobNext { job, at, retry: true }),
            _ => due.push(Due { job, slot, last }),
        }
    }
    Ok((due, waiting))
}

async fn run_under_lease(host: &Host, agenda: &Agenda, run: &Run, report: &mut RunDueReport) -> Result<Vec<JobNext>> {
    let session = &host.session;
    let (folder, clock) = (layout::lease(&session.database), layout::clock(&session.database));
    let taken =
        run.until_cancelled(Lease::take(&session.repository, &folder, &clock, &host.name, agenda.lease)).await?;
    let lease = match taken {
        Taken::Ours(lease) => lease,
        Taken::Theirs(holder) => {
            report.held_by = Some(holder.map_or_else(|| "another host".to_owned(), |holder| holder.holder));
            return Ok(Vec::new());
        }
    };
    let ahead = session.clock.now().duration_since(lease.taken_at());
    report.clock_ahead_seconds = Some(ahead.as_secs());
    if ahead.abs() > SKEW {
        tracing::warn!(seconds = ahead.as_secs(), "this host's clock differs from the store's, which counts");
        report.at = lease.taken_at();
    }
    let epoch = lease.epoch();
    let lost = CancellationToken::new();
    let mut keeper = JoinSet::new();
    let (told, done) = (lost.clone(), CancellationToken::new());
    let stop = done.clone();
    // Dropped with this future, the set ends the task, and the lease runs out by itself.
    keeper.spawn(
        async move {
            let mut lease = lease;
            if stop.run_until_cancelled(lease.until_lost()).await.is_some() {
                tracing::warn!("another host took over");
                told.cancel();
            }
            lease
        }
        .in_current_span(),
    );
    let result = Box::pin(work(host, agenda, epoch, &lost, run, report)).await;
    done.cancel();
    if let Some(Ok(lease)) = keeper.join_next().await
        && let Err(e) = lease.release().await
    {
        tracing::warn!(error = %e, "the lease could not be given back; it runs out by itself");
    }
    result
}

/// Does every job that is due now that others are kept away.
async fn work(
    host: &Host,
    agenda: &Agenda,
    epoch: u64,
    lost: &CancellationToken,
    run: &Run,
    report: &mut RunDueReport,
) -> Result<Vec<JobNext>> {
    let (due, mut waiting) = run.until_cancelled(find_due(host, agenda, report.at)).await?;
    for due in due {
        if host.ends.is_some_and(|ends| ends <= tokio::time::Instant::now()) {
            break;
        }
        let job = due.job;
        let doing = Box::pin(one(host, agenda, due, epoch, lost, run, report.at));
        let Some(record) = doing.instrument(operation(job.as_str())).await? else { continue };
        waiting.extend(record.retry_at.map(|at| JobNext { job, at, retry: true }));
        report.ran.push(record);
    }
    Ok(waiting)
}

/// Does one job, tells of it and records it. `None` when there was nothing to do, or another host did it.
async fn one(
    host: &Host,
    agenda: &Agenda,
    Due { job, slot, last }: Due,
    epoch: u64,
    lost: &CancellationToken,
    run: &Run,
    now: Timestamp,
) -> Result<Option<JobRecord>> {
    let session = &host.session;
    let Some(slot) = slot::open(session, job.as_str(), slot, epoch).await? else { return Ok(None) };
    if matches!(job, Job::Verify | Job::Drill) && session.committed().await?.is_empty() {
        return Ok(None);
    }
    let started_at = session.clock.now();
    let run = &run.another();
    let attempt = watched(job.as_str(), run, Box::pin(attempt(host, agenda, job, &slot, lost, run)));
    let result = match &host.alerter {
        Some(alerter) => Box::pin(alerter.while_told(job.as_str(), attempt)).await,
        None => attempt.await,
    };
    if lost.is_cancelled() && result.is_err() {
        return Err(Error::new(Code::Busy, format!("another host took over while {job} ran"))
            .next("nothing needs to be done: the other one goes on"));
    }
    if result.as_ref().is_err_and(|e| e.code() == Code::Cancelled) && run.is_cancelled() {
        return Err(Error::cancelled());
    }
    if result.is_err() && slot::look(session, job.as_str(), slot.at).await? == slot::Progress::Done {
        // Another host did it meanwhile: it is its success, not our failure.
        return Ok(None);
    }
    host.tell(job, &result).await;
    let record = conclude(host, agenda, job, &slot, last, (now, started_at), result.map(|done| done.backup));
    if let Err(e) = record::write(session, &record).await {
        // What was done is done, and its claim says so.
        tracing::warn!(error = %e, "what a job did could not be recorded");
    }
    Ok(Some(record))
}

fn conclude(
    host: &Host,
    agenda: &Agenda,
    job: Job,
    slot: &Slot,
    last: Option<JobRecord>,
    (now, started_at): (Timestamp, Timestamp),
    result: Result<Option<BackupId>>,
) -> JobRecord {
    let ended_at = host.session.clock.now();
    let attempt = last.as_ref().filter(|last| last.slot == slot.at).map_or(1, |last| last.attempt + 1);
    let (last_ok_at, failures) = last.map_or((None, 0), |last| (last.last_ok_at, last.failures));
    let error = result.as_ref().err();
    if let Some(e) = error {
        tracing::warn!(attempt, error = %e, error.code = %e.code(), "a scheduled job failed");
    }
    // What was found damaged does not heal by looking again.
    let retry = error.filter(|e| e.kind() != crate::error::ErrorKind::Damaged);
    JobRecord {
        job,
        slot: slot.at,
        attempt,
        started_at,
        ended_at,
        ok: error.is_none(),
        error: error.map(Into::into),
        next_at: agenda.next(now).into_iter().find(|(of, _)| *of == job).map(|(_, at)| at),
        retry_at: retry.and_then(|_| agenda.retry_at(attempt, ended_at)),
        last_ok_at: if error.is_none() { Some(ended_at) } else { last_ok_at },
        failures: if error.is_none() { 0 } else { failures + 1 },
        backup: result.ok().flatten(),
        host: host.name.clone(),
    }
}

/// Runs one job until it ends, its deadline passes, another host takes over or the caller cancels.
async fn attempt(
    host: &Host,
    agenda: &Agenda,
    job: Job,
    slot: &Slot,
    lost: &CancellationToken,
    run: &Run,
) -> Result<Done> {
    let (limited, stop) = run.limited();
    // On the heap: the state of a whole verb is too much for the stacks of small threads.
    let mut doing = Box::pin(perform(host, agenda, job, slot, &limited));
    let left = host.ends.map(|ends| ends.saturating_duration_since(tokio::time::Instant::now()));
    let deadline: Duration = agenda.deadline.min(left.unwrap_or(Duration::MAX));
    let late = tokio::select! {
        result = &mut doing => return result,
        () = tokio::time::sleep(deadline) => true,
        () = lost.cancelled() => false,
    };
    // It cleans up behind itself, and may have ended well at the last moment.
    stop.cancel();
    doing.await.map_err(|e| match e.code() {
        Code::Cancelled if late => {
            Error::new(Code::Cancelled, format!("{job} took more than {} s", deadline.as_secs()))
                .next("give it a longer deadline")
        }
        _ => e,
    })
}

async fn perform(host: &Host, agenda: &Agenda, job: Job, slot: &Slot, run: &Run) -> Result<Done> {
    let session = &host.session;
    match job {
        Job::Backup => {
            let engine = host.engine()?;
            let order = BackupOrder {
                tags: agenda.tags.clone(),
                globals: agenda.globals,
                select: agenda.select.clone(),
                slot: Some(slot),
                ..BackupOrder::default()
            };
            let report = Box::pin(ops::backup::backup(session, &**engine, order, run)).await?;
            Ok(Done::new(Some(report.id.clone()), &report))
        }
        Job::Verify => {
            let id = session.resolve("latest").await?;
            let report = Box::pin(ops::verify::verify(session, &id, run)).await?;
            slot.claim(session, Some(&id)).await?;
            Ok(Done::new(Some(id), &report))
        }
        Job::Drill => {
            let id = session.resolve("latest").await?;
            let (engine, ours) = match &agenda.drill_target {
                Some(url) => (engine::open(url.expose(), &session.settings)?, false),
                None => (host.engine()?.sibling(&scratch_name()?, session.settings.work_dir.as_deref())?, true),
            };
            let scratch = Scratch { engine, ours, queries: agenda.drill_queries.clone() };
            let report = Box::pin(ops::drill::drill(session, &id, &scratch, run)).await?;
            slot.claim(session, Some(&id)).await?;
            Ok(Done::new(Some(id), &report))
        }
        Job::Prune => {
            let order = PruneOrder {
                keep: agenda.keep.clone(),
                dry_run: false,
                grace: agenda.grace,
                orphan_grace: host.orphan_grace,
            };
            let report = Box::pin(run.until_cancelled(ops::prune::prune(session, &order))).await?;
            slot.claim(session, None).await?;
            Ok(Done::new(None, &report))
        }
    }
}

impl Host {
    /// Tells how a job ended, whoever asked for the run that it was due in.
    async fn tell(&self, job: Job, result: &Result<Done>) {
        let Some(alerter) = &self.alerter else { return };
        let answer = match result {
            Ok(done) => Ok(done.report.clone()),
            Err(e) => Err(e.told()),
        };
        alerter.ended(job.as_str(), &self.source, self.session.clock.now(), &answer).await;
    }

    fn engine(&self) -> Result<&Arc<dyn Engine>> {
        self.engine.as_ref().ok_or_else(|| {
            Error::new(Code::MissingSetting, "no database was given").next("give `database` or set DATABASE_URL")
        })
    }
}
