//! Whether everything is as it should be.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::records::Records;
use crate::error::Result;
use crate::report::{BackupHealth, DrillHealth, HealthCheck, HealthReport, HealthStatus, Probe};
use crate::schedule::JobRecord;

/// What is still well.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) max_age_seconds: u64,
    pub(crate) max_drill_age_seconds: u64,
}

/// Judges the answers of the database, if there is one, and of the store. Only a database that does not answer, or a
/// check of the caller's, means `down`: an application that lost its backups still works.
pub(crate) fn judge(
    database: Option<&Result<Probe>>,
    records: &Result<Records>,
    own: Vec<HealthCheck>,
    limits: Limits,
    now: Timestamp,
) -> HealthReport {
    let mut checks = Vec::new();
    let db = database.map(|database| match database {
        Ok(probe) => {
            check(&mut checks, "database", HealthStatus::Ok, Some(format!("{} {}", probe.engine, probe.version)))
        }
        Err(e) => check(&mut checks, "database", HealthStatus::Down, Some(e.to_string())),
    });
    let store = match records {
        Ok(_) => check(&mut checks, "store", HealthStatus::Ok, None),
        Err(e) => check(&mut checks, "store", HealthStatus::Degraded, Some(e.to_string())),
    };
    let mut backup =
        BackupHealth { id: None, last_success_at: None, age_seconds: None, max_age_seconds: limits.max_age_seconds };
    let mut drill = DrillHealth { last_success_at: None, ok: None, max_age_seconds: limits.max_drill_age_seconds };
    if let Ok(records) = records {
        backup.id = records.newest.as_ref().map(|newest| newest.id.clone());
        backup.last_success_at = records.newest.as_ref().map(|newest| newest.started_at);
        backup.age_seconds = backup.last_success_at.map(|at| seconds(at, now));
        drill.ok = records.drill.newest_ok;
        drill.last_success_at = records.drill.last_success;
        judge_backup(&mut checks, &backup);
        judge_drill(&mut checks, &drill, records, now);
        judge_jobs(&mut checks, &records.jobs, now);
    }
    checks.extend(own);
    let status = checks.iter().map(|c| c.status).max().unwrap_or(HealthStatus::Ok);
    HealthReport {
        status,
        http_status: if status == HealthStatus::Down { 503 } else { 200 },
        db,
        database: db.map(|s| if s == HealthStatus::Ok { "connected" } else { "disconnected" }.to_owned()),
        store,
        backup,
        drill,
        checks,
        timestamp: now,
        health_json: None,
    }
}

fn judge_backup(checks: &mut Vec<HealthCheck>, backup: &BackupHealth) {
    let (status, message) = match (&backup.id, backup.age_seconds) {
        (Some(id), Some(age)) if age <= backup.max_age_seconds => (HealthStatus::Ok, id.to_string()),
        (Some(id), Some(age)) => (
            HealthStatus::Degraded,
            format!(
                "the newest backup, {id}, is {} old; at most {} is allowed",
                span(age),
                span(backup.max_age_seconds)
            ),
        ),
        _ => (HealthStatus::Degraded, "there is no backup yet".to_owned()),
    };
    check(checks, "backup", status, Some(message));
}

fn judge_drill(checks: &mut Vec<HealthCheck>, drill: &DrillHealth, records: &Records, now: Timestamp) {
    let overdue = |since: Timestamp| seconds(since, now) > drill.max_age_seconds;
    let (status, message) = match (drill.ok, drill.last_success_at) {
        (Some(false), _) => (HealthStatus::Degraded, "the newest drill failed".to_owned()),
        (_, Some(at)) if overdue(at) => {
            (HealthStatus::Degraded, format!("the newest drill was {} ago", span(seconds(at, now))))
        }
        (_, Some(_)) => (HealthStatus::Ok, "the newest drill succeeded".to_owned()),
        // A new store has time for its first drill.
        (_, None) if records.oldest.is_some_and(overdue) => {
            (HealthStatus::Degraded, "no backup was ever drilled".to_owned())
        }
        _ => (HealthStatus::Ok, "no backup was drilled yet".to_owned()),
    };
    check(checks, "drill", status, Some(message));
}

/// A schedule that never ran is none of health's business: backups may be made by other means.
fn judge_jobs(checks: &mut Vec<HealthCheck>, jobs: &[JobRecord], now: Timestamp) {
    if jobs.is_empty() {
        return;
    }
    let troubles: Vec<String> = jobs.iter().filter_map(|job| job.trouble(now)).collect();
    let (status, message) = match (troubles.is_empty(), jobs.iter().filter_map(JobRecord::due_at).min()) {
        (false, _) => (HealthStatus::Degraded, Some(troubles.join("; "))),
        (true, next) => (HealthStatus::Ok, next.map(|at| format!("the next job is due at {at}"))),
    };
    check(checks, "schedule", status, message);
}

fn check(checks: &mut Vec<HealthCheck>, name: &str, status: HealthStatus, message: Option<String>) -> HealthStatus {
    checks.push(HealthCheck { name: name.to_owned(), status, message });
    status
}

/// The report as `application/health+json` (draft-inadarei-api-health-check-06).
pub(crate) fn health_json(report: &HealthReport) -> Value {
    let word = |status| match status {
        HealthStatus::Ok => "pass",
        HealthStatus::Degraded => "warn",
        HealthStatus::Down => "fail",
    };
    let checks: serde_json::Map<String, Value> = report
        .checks
        .iter()
        .map(|c| {
            let mut entry = json!({ "status": word(c.status), "time": report.timestamp });
            if let Some(message) = &c.message {
                entry["output"] = message.as_str().into();
            }
            (c.name.clone(), json!([entry]))
        })
        .collect();
    json!({ "status": word(report.status), "checks": checks })
}

/// Whole seconds from then to now; 0 when the clocks disagree.
fn seconds(then: Timestamp, now: Timestamp) -> u64 {
    u64::try_from(now.as_second() - then.as_second()).unwrap_or(0)
}

/// A number of seconds for people.
fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::error::{Code, Error};
    use crate::id::EngineKind;
    use crate::observe::records::Proven;

    const LIMITS: Limits = Limits { max_age_seconds: 100, max_drill_age_seconds: 1000 };

    fn sound() -> Result<Probe> {
        Ok(Probe { engine: EngineKind::Sqlite, version: "3".to_owned(), size_bytes: None })
    }

    fn records(drill: Proven, oldest: i64) -> Result<Records> {
        Ok(Records { oldest: Some(Timestamp::from_second(oldest).unwrap()), drill, ..Records::default() })
    }

    fn now() -> Timestamp {
        Timestamp::from_second(10_000).unwrap()
    }

    fn status_of(report: &HealthReport, name: &str) -> HealthStatus {
        report.checks.iter().find(|c| c.name == name).unwrap().status
    }

    #[test]
    fn only_the_database_takes_everything_down() {
        let there = records(Proven::default(), 9_999);
        let report = judge(Some(&sound()), &there, vec![], LIMITS, now());
        assert_eq!(report.status, HealthStatus::Degraded, "there is no backup");
        let gone = Err(Error::new(Code::StoreUnavailable, "no answer"));
        let report = judge(Some(&sound()), &gone, vec![], LIMITS, now());
        let degraded = HealthStatus::Degraded;
        assert_eq!((report.status, report.store, report.http_status), (degraded, degraded, 200));
        let silent = Err(Error::new(Code::DatabaseUnavailable, "no answer"));
        let report = judge(Some(&silent), &there, vec![], LIMITS, now());
        assert_eq!((report.status, report.http_status), (HealthStatus::Down, 503));
        assert_eq!(report.database.as_deref(), Some("disconnected"));
        assert_eq!(health_json(&report)["checks"]["database"][0]["status"], "fail");
    }

    #[test]
    fn a_drill_is_overdue_only_when_there_was_time_for_it() {
        let drill = |proven, oldest| {
            status_of(&judge(Some(&sound()), &records(proven, oldest), vec![], LIMITS, now()), "drill")
        };
        assert_eq!(drill(Proven::default(), 9_500), HealthStatus::Ok);
        assert_eq!(drill(Proven::default(), 8_000), HealthStatus::Degraded);
        let at = |second| Proven {
            newest_ok: Some(true),
            last_success: Some(Timestamp::from_second(second).unwrap()),
            duration_ms: None,
        };
        assert_eq!(drill(at(9_500), 1), HealthStatus::Ok);
        assert_eq!(drill(at(8_000), 1), HealthStatus::Degraded);
        assert_eq!(drill(Proven { newest_ok: Some(false), ..at(9_500) }, 1), HealthStatus::Degraded);
    }

    #[test]
    fn checks_of_the_caller_count_and_a_database_is_not_needed() {
        let own = HealthCheck { name: "queue".to_owned(), status: HealthStatus::Down, message: None };
        let report = judge(None, &records(Proven::default(), 9_999), vec![own], LIMITS, now());
        assert_eq!((report.status, status_of(&report, "queue")), (HealthStatus::Down, HealthStatus::Down));
        assert_eq!((report.db, report.database), (None, None));
    }
}
