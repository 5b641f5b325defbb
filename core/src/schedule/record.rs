//! What a job did last, kept in the store, and what `run_due` answers.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::plan::Job;
use crate::error::{Code, Error, Result};
use crate::format::layout;
use crate::format::manifest::to_json;
use crate::id::BackupId;
use crate::ops::session::Session;

/// A record larger than this is none of ours.
const MAX_BYTES: u64 = 16 << 10;

/// What a job did last. Kept in `control/jobs/<job>.json`, written anew by the holder of the lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct JobRecord {
    /// The job.
    pub job: Job,
    /// The slot that it was for.
    pub slot: Timestamp,
    /// The number of this attempt in its slot, from 1.
    pub attempt: u32,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// Whether it did what it was to do.
    pub ok: bool,
    /// The backup that was made, or looked at.
    pub backup: Option<BackupId>,
    /// Why it failed.
    pub error: Option<JobError>,
    /// When it is tried again; absent when not before its next slot.
    pub retry_at: Option<Timestamp>,
    /// The job's next slot by the plan that it ran by.
    #[serde(default)]
    pub next_at: Option<Timestamp>,
    /// The newest end of an attempt that did what it was to do.
    pub last_ok_at: Option<Timestamp>,
    /// Attempts that failed since then.
    pub failures: u32,
    /// Host and process.
    pub host: String,
}

/// A job that is late by more than this is overdue: whoever should run it does not.
const OVERDUE: SignedDuration = SignedDuration::from_hours(1);
/// A verification, drill or prune that nobody runs for so long was switched off.
const SWITCHED_OFF: SignedDuration = SignedDuration::from_hours(7 * 24);

impl JobRecord {
    /// What is wrong with the job, in words; nothing, where it seems to have been switched off.
    pub(crate) fn trouble(&self, now: Timestamp) -> Option<String> {
        self.wrong(now).filter(|_| self.job == Job::Backup || self.late(now) <= SWITCHED_OFF)
    }

    /// What is wrong with the job, in words.
    pub(crate) fn wrong(&self, now: Timestamp) -> Option<String> {
        if let Some(error) = &self.error {
            return Some(format!("the newest {} failed [{}]: {}", self.job, error.code, error.message));
        }
        let due = self.due_at().filter(|_| self.late(now) > OVERDUE)?;
        Some(format!("the {} that was due at {due} has not run", self.job))
    }

    fn late(&self, now: Timestamp) -> SignedDuration {
        self.due_at().map_or(SignedDuration::ZERO, |due| now.duration_since(due))
    }

    /// When it is due next: another attempt after a failure, or the next slot.
    pub(crate) fn due_at(&self) -> Option<Timestamp> {
        self.retry_at.into_iter().chain(self.next_at).min()
    }
}

/// Why a job failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct JobError {
    /// The stable code of the error.
    pub code: String,
    /// What went wrong, and what to do next.
    pub message: String,
}

impl From<&Error> for JobError {
    fn from(e: &Error) -> Self {
        Self { code: e.code().to_string(), message: e.to_string() }
    }
}

/// When a job is due next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct JobNext {
    /// The job.
    pub job: Job,
    /// When.
    pub at: Timestamp,
    /// Whether that is another attempt after a failure.
    pub retry: bool,
}

/// What `run_due` did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct RunDueReport {
    /// The time that counted: this host's, or the store's where the two differ by minutes.
    pub at: Timestamp,
    /// Seconds by which this host's clock is ahead of the store's; absent where nobody had to look.
    pub clock_ahead_seconds: Option<i64>,
    /// What was done, in this order.
    pub ran: Vec<JobRecord>,
    /// When each job is due next.
    pub next: Vec<JobNext>,
    /// Another host is at work: nothing was done. Its name.
    pub held_by: Option<String>,
}

impl RunDueReport {
    /// The first failure among what was done, as an error.
    #[must_use]
    pub fn first_failure(&self) -> Option<Error> {
        let failed = self.ran.iter().find_map(|ran| Some((ran.job, ran.error.as_ref()?)));
        failed.map(|(job, error)| {
            let code = Code::ALL.iter().copied().find(|code| code.as_str() == error.code);
            Error::new(code.unwrap_or(Code::Internal), error.message.clone()).at(job)
        })
    }
}

/// Reads what every job did last, as far as any has run.
pub(crate) async fn read_all(session: &Session) -> Result<Vec<JobRecord>> {
    let found = futures::future::try_join_all(Job::ALL.map(|job| read(session, job))).await?;
    Ok(found.into_iter().flatten().collect())
}

/// Reads what a job did last. A record that cannot be read is as good as none: it only says when to try again.
pub(crate) async fn read(session: &Session, job: Job) -> Result<Option<JobRecord>> {
    let name = layout::job(&session.database, job.as_str());
    let Some(bytes) = session.repository.get(&name, MAX_BYTES).await? else { return Ok(None) };
    Ok(serde_json::from_slice(&bytes).ok())
}

pub(super) async fn write(session: &Session, record: &JobRecord) -> Result<()> {
    let name = layout::job(&session.database, record.job.as_str());
    session.repository.put(&name, format!("{}\n", to_json(record)?).into_bytes()).await
}
