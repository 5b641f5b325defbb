//! The plan: which job runs when, as data, and its defaults.

use std::fmt;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::cron::{Cron, zone};
use crate::error::{Code, Error, Result};
use crate::ops::prune::duration;
use crate::retention::Keep;
use crate::secret::Secret;
use crate::selection::Selection;

/// Something that runs by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Job {
    /// Makes a backup.
    Backup,
    /// Opens and checks every stored byte of the newest backup.
    Verify,
    /// Restores the newest backup into a scratch database and compares.
    Drill,
    /// Deletes what no rule keeps.
    Prune,
}

impl Job {
    /// Every job, in the order in which they run when several are due.
    pub const ALL: [Self; 4] = [Self::Backup, Self::Verify, Self::Drill, Self::Prune];

    /// The job's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Verify => "verify",
            Self::Drill => "drill",
            Self::Prune => "prune",
        }
    }

    /// When it runs, where nothing is said.
    fn standard(self) -> &'static str {
        match self {
            Self::Backup => "0 2 * * *",
            Self::Verify => "0 4 * * 1",
            Self::Drill => "0 5 1 * *",
            Self::Prune => "0 6 * * *",
        }
    }
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What runs by itself, and when. What is absent has its default; `off` switches a job off.
///
/// As text (`BACKUP_SCHEDULE`): the backup's expression alone, or several separated by semicolons:
/// `0 2 * * *; verify=0 4 * * 1; drill=off; tz=Europe/Berlin`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Plan {
    /// Cron expression of the backups. Absent: BACKUP_SCHEDULE, or daily at 02:00.
    pub backup: Option<String>,
    /// Cron expression of the verifications. Absent: Mondays at 04:00.
    pub verify: Option<String>,
    /// Cron expression of the drills. Absent: the first of each month at 05:00.
    pub drill: Option<String>,
    /// Cron expression of the prunes. Absent: daily at 06:00.
    pub prune: Option<String>,
    /// The time zone of the expressions, for example `Europe/Berlin`. Absent: UTC.
    pub time_zone: Option<String>,
    /// What a prune keeps. Absent: BACKUP_RETENTION, or everything of the last 30 days.
    pub keep: Option<Keep>,
    /// Seconds from a prune's mark to the deletion. Absent: 86400, a day.
    pub grace_seconds: Option<u64>,
    /// Labels of the backups.
    pub tags: Vec<String>,
    /// Back up what belongs to the server as well: roles, users, tablespaces.
    pub globals: bool,
    /// What of the database is backed up; the default is everything.
    pub select: Selection,
    /// URL of an empty database for drills. Absent: one is created beside the vault's database and dropped afterwards.
    pub drill_target: Option<Secret>,
    /// Queries to run on the restored database of a drill.
    pub drill_queries: Vec<String>,
    /// A running schedule waits up to so many seconds, by chance, before each job. Absent: 0.
    pub jitter_seconds: Option<u64>,
    /// Leave out a slot that was missed by more than an hour, instead of doing it late.
    pub skip_missed: bool,
    /// How often a job that failed is tried again before its next slot. Absent: 6.
    pub retries: Option<u32>,
    /// Seconds before the first of those; each wait is twice the one before, up to an hour. Absent: 60.
    pub retry_seconds: Option<u64>,
    /// A job is cancelled after so many seconds. Absent: 43200, twelve hours.
    pub deadline_seconds: Option<u64>,
    /// A host that gave no sign of life for so many seconds is given up (1 to 3600). Absent: 60.
    pub lease_seconds: Option<u64>,
}

/// A missed slot that is older than this is left out where that was asked for.
const MISSED: SignedDuration = SignedDuration::from_hours(1);
/// The longest wait between two attempts.
const LONGEST_WAIT: u64 = 3_600;

/// A plan with nothing left open.
#[derive(Debug, Clone)]
pub(crate) struct Agenda {
    jobs: Vec<(Job, Cron)>,
    pub(crate) keep: Keep,
    pub(crate) grace: SignedDuration,
    pub(crate) tags: Vec<String>,
    pub(crate) globals: bool,
    pub(crate) select: Selection,
    pub(crate) drill_target: Option<Secret>,
    pub(crate) drill_queries: Vec<String>,
    pub(crate) jitter_seconds: u64,
    skip_missed: bool,
    retries: u32,
    retry_seconds: u64,
    pub(crate) deadline: Duration,
    pub(crate) lease: Duration,
}

impl Plan {
    /// Takes what this plan leaves open from a text like that of `BACKUP_SCHEDULE`.
    pub(crate) fn or_text(mut self, text: &str) -> Result<Self> {
        for entry in text.split(';').map(str::trim).filter(|entry| !entry.is_empty()) {
            let (name, value) = entry.split_once('=').unwrap_or(("backup", entry));
            let place = match name.trim() {
                "backup" => &mut self.backup,
                "verify" => &mut self.verify,
                "drill" => &mut self.drill,
                "prune" => &mut self.prune,
                "tz" => &mut self.time_zone,
                other => {
                    return Err(Error::new(Code::InvalidOption, format!("`{other}` is no job"))
                        .next("write it like `0 2 * * *; verify=0 4 * * 1; drill=off; tz=Europe/Berlin`"));
                }
            };
            place.get_or_insert_with(|| value.trim().to_owned());
        }
        Ok(self)
    }

    /// Fills in the defaults and checks everything.
    pub(crate) fn resolve(self, keep: Keep, grace_seconds: u64) -> Result<Agenda> {
        keep.check()?;
        let zone = zone(self.time_zone.as_deref().unwrap_or("UTC"))?;
        let mut jobs = Vec::new();
        for (job, given) in Job::ALL.into_iter().zip([&self.backup, &self.verify, &self.drill, &self.prune]) {
            let text = given.as_deref().unwrap_or(job.standard());
            if text.trim() != "off" {
                jobs.push((job, Cron::parse(text, &zone).map_err(|e| e.at(job))?));
            }
        }
        if self.select.data_only {
            return Err(Error::new(
                Code::InvalidOption,
                "a backup without definitions could not be restored by itself",
            )
            .next("back up definitions as well, and restore rows alone (data_only)"));
        }
        let lease_seconds = self.lease_seconds.unwrap_or(60);
        if !(1..=3_600).contains(&lease_seconds) {
            return Err(Error::new(Code::InvalidOption, format!("lease_seconds is {lease_seconds}"))
                .next("give a value from 1 to 3600"));
        }
        let deadline_seconds = self.deadline_seconds.unwrap_or(12 * 3_600);
        duration(deadline_seconds, "deadline_seconds")?;
        Ok(Agenda {
            jobs,
            keep,
            grace: duration(self.grace_seconds.unwrap_or(grace_seconds), "grace_seconds")?,
            tags: self.tags,
            globals: self.globals,
            select: self.select,
            drill_target: self.drill_target,
            drill_queries: self.drill_queries,
            jitter_seconds: self.jitter_seconds.unwrap_or(0).min(24 * 3_600),
            skip_missed: self.skip_missed,
            retries: self.retries.unwrap_or(6),
            retry_seconds: self.retry_seconds.unwrap_or(60).clamp(1, LONGEST_WAIT),
            deadline: Duration::from_secs(deadline_seconds),
            lease: Duration::from_secs(lease_seconds),
        })
    }
}

impl Agenda {
    /// The newest slot of each job that is over, in the order in which the jobs run.
    pub(crate) fn slots(&self, now: Timestamp) -> Vec<(Job, Timestamp)> {
        let slot = |(job, cron): &(Job, Cron)| Some((*job, cron.last(now)?));
        let in_time = |(_, at): &(Job, Timestamp)| !self.skip_missed || now.duration_since(*at) <= MISSED;
        self.jobs.iter().filter_map(slot).filter(in_time).collect()
    }

    /// The next slot of each job.
    pub(crate) fn next(&self, now: Timestamp) -> Vec<(Job, Timestamp)> {
        self.jobs.iter().filter_map(|(job, cron)| Some((*job, cron.next(now)?))).collect()
    }

    /// When to try again after so many attempts (from 1) of which the last one ended at `ended`; `None`: not in this slot.
    pub(crate) fn retry_at(&self, attempts: u32, ended: Timestamp) -> Option<Timestamp> {
        if attempts > self.retries {
            return None;
        }
        let doubled = self.retry_seconds.saturating_mul(1 << (attempts - 1).min(12)).min(LONGEST_WAIT);
        ended.checked_add(SignedDuration::from_secs(i64::try_from(doubled).unwrap_or(3_600))).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agenda(plan: Plan) -> Agenda {
        plan.resolve(Keep::standard(), 0).unwrap()
    }

    #[test]
    fn the_defaults_are_those_of_the_documentation() {
        let now = "2026-11-20T12:00:00Z".parse().unwrap();
        let next: Vec<_> = agenda(Plan::default()).next(now).iter().map(|(job, at)| format!("{job} {at}")).collect();
        assert_eq!(
            next,
            [
                "backup 2026-11-21T02:00:00Z",
                "verify 2026-11-23T04:00:00Z",
                "drill 2026-12-01T05:00:00Z",
                "prune 2026-11-21T06:00:00Z"
            ]
        );
    }

    #[test]
    fn text_fills_what_was_left_open_and_no_more() {
        let given = Plan { verify: Some("off".to_owned()), ..Plan::default() };
        let plan = given.or_text("0 3 * * *; verify=0 1 * * *; drill = off; tz=Europe/Berlin").unwrap();
        assert_eq!(plan.backup.as_deref(), Some("0 3 * * *"));
        let now = "2026-11-20T12:00:00Z".parse().unwrap();
        let next: Vec<_> = agenda(plan).next(now).iter().map(|(job, at)| format!("{job} {at}")).collect();
        assert_eq!(next, ["backup 2026-11-21T02:00:00Z", "prune 2026-11-21T05:00:00Z"]);
        assert!(Plan::default().or_text("restore=0 1 * * *").unwrap_err().to_string().contains("restore"));
    }

    #[test]
    fn waits_double_and_end() {
        let agenda = agenda(Plan { retries: Some(3), retry_seconds: Some(100), ..Plan::default() });
        let ended: Timestamp = "2026-11-20T12:00:00Z".parse().unwrap();
        let waits: Vec<_> =
            (1..=4).map(|n| agenda.retry_at(n, ended).map(|at| at.duration_since(ended).as_secs())).collect();
        assert_eq!(waits, [Some(100), Some(200), Some(400), None]);
    }

    #[test]
    fn a_missed_slot_is_left_out_where_that_was_asked_for() {
        let agenda = agenda(Plan {
            skip_missed: true,
            verify: Some("off".into()),
            drill: Some("off".into()),
            ..Plan::default()
        });
        let slots = |now: &str| agenda.slots(now.parse().unwrap()).len();
        assert_eq!([slots("2026-11-20T02:30:00Z"), slots("2026-11-20T03:30:00Z")], [1, 0]);
    }
}
