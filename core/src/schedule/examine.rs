//! What the doctor says of the schedule: whether one runs, what failed, and what nobody does.

use jiff::Timestamp;

use super::plan::Job;
use super::record::{JobRecord, read_all};
use crate::ops::doctor::in_time;
use crate::ops::session::Session;
use crate::report::Check;

const NAME: &str = "schedule";

/// Looks at the records that jobs left; `None` for a store that cannot be opened, or is not there yet.
pub(crate) async fn examine(session: Option<&Session>) -> Check {
    let Some(session) = session else { return Check::not_checked(NAME, "there is no store to look into") };
    match in_time("reading what ran", read_all(session)).await {
        Ok(jobs) => judge(&jobs, session.clock.now()),
        Err(e) => Check::failed(NAME, &e),
    }
}

fn judge(jobs: &[JobRecord], now: Timestamp) -> Check {
    if jobs.is_empty() {
        return Check::warn(
            NAME,
            "no schedule has run here: backups are made only when somebody asks for one",
            "run `schedule`, or `run-due` by cron or a timer",
        );
    }
    let (failed, late): (Vec<_>, Vec<_>) = jobs
        .iter()
        .filter_map(|record| record.wrong(now).map(|what| (record, what)))
        .partition(|(record, _)| record.error.is_some() || record.job == Job::Backup);
    let told =
        |found: &[(&JobRecord, String)]| found.iter().map(|(_, what)| what.as_str()).collect::<Vec<_>>().join("; ");
    if !failed.is_empty() {
        let all = [failed, late].concat();
        return Check::fail(NAME, told(&all), "see the log of the host that runs the schedule, and whether it runs");
    }
    if !late.is_empty() {
        return Check::warn(
            NAME,
            told(&late),
            "start the schedule again; if the job was switched off, remove its record in control/jobs",
        );
    }
    let next = jobs.iter().filter_map(|record| Some((record.due_at()?, record.job))).min();
    let next = next.map(|(at, job)| format!("; next is the {job} of {at}")).unwrap_or_default();
    Check::pass(NAME, format!("{} jobs ran last when they were due{next}", jobs.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::CheckStatus;
    use crate::schedule::JobError;

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_second(hours * 3_600).unwrap()
    }

    fn record(job: Job, next: i64, error: Option<&str>) -> JobRecord {
        JobRecord {
            job,
            slot: at(0),
            attempt: 1,
            started_at: at(0),
            ended_at: at(0),
            ok: error.is_none(),
            backup: None,
            error: error.map(|code| JobError { code: code.to_owned(), message: "no answer".to_owned() }),
            next_at: Some(at(next)),
            retry_at: None,
            last_ok_at: None,
            failures: 0,
            host: "h:1".to_owned(),
        }
    }

    #[test]
    fn what_failed_and_what_nobody_does_is_told() {
        let judged = |jobs: &[JobRecord]| {
            let check = judge(jobs, at(100));
            (check.status, check.message)
        };
        let fine = record(Job::Backup, 101, None);
        assert_eq!(judged(&[]).0, CheckStatus::Warn);
        assert_eq!(judged(std::slice::from_ref(&fine)).0, CheckStatus::Pass);
        let (status, message) = judged(&[fine.clone(), record(Job::Drill, 101, Some("drill_mismatch"))]);
        assert!(status == CheckStatus::Fail && message.contains("drill failed [drill_mismatch]"), "{message}");
        let (status, message) = judged(&[record(Job::Backup, 90, None)]);
        assert!(status == CheckStatus::Fail && message.contains("has not run"), "{message}");
        assert_eq!(judged(&[fine, record(Job::Verify, 90, None)]).0, CheckStatus::Warn);
    }
}
