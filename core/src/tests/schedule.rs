//! The schedule under virtual time: what is due, retries, deadlines, a whole year; and how it is started and stopped.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::SignedDuration;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use serde_json::json;
use tokio::time::sleep;

use super::fake::Fake;
use super::observe::{sample, seen};
use super::prune::{World, open};
use super::sim::{Fault, SimClock, SimStore, Trouble};
use crate::{Alerts, Clock, Code, HealthStatus, Job, JobRecord, Keep, Plan, RunDueReport, Vault};

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// Backups by this expression, and nothing else.
fn only(backup: &str) -> Plan {
    let off = Some("off".to_owned());
    Plan { backup: Some(backup.to_owned()), verify: off.clone(), drill: off.clone(), prune: off, ..Plan::default() }
}

async fn run_due(vault: &Vault, plan: &Plan) -> RunDueReport {
    vault.run_due().plan(plan.clone()).await.unwrap()
}

fn jobs(report: &RunDueReport) -> Vec<(Job, bool)> {
    report.ran.iter().map(|ran| (ran.job, ran.ok)).collect()
}

#[tokio::test(start_paused = true)]
async fn what_is_due_is_done_once_and_in_order() {
    let world = World::new().await;
    let plan = Plan::default();
    let first = run_due(&world.vault, &plan).await;
    let all_ok = [(Job::Backup, true), (Job::Verify, true), (Job::Drill, true), (Job::Prune, true)];
    assert_eq!(jobs(&first), all_ok, "a new schedule catches up: {first:?}");
    assert_eq!(first.next[0].at, "2026-11-02T02:00:00Z".parse().unwrap());
    assert!(run_due(&world.vault, &plan).await.ran.is_empty());
    sleep(4 * HOUR).await;
    assert_eq!(jobs(&run_due(&world.vault, &plan).await), [(Job::Drill, true), (Job::Prune, true)], "it is the first");
    sleep(20 * HOUR).await;
    assert_eq!(jobs(&run_due(&world.vault, &plan).await), [(Job::Backup, true)]);
    sleep(4 * HOUR).await;
    assert_eq!(jobs(&run_due(&world.vault, &plan).await), [(Job::Verify, true), (Job::Prune, true)], "it is a Monday");
    // Days without anybody to run it are made up for by one run of each job.
    sleep(DAY * 20).await;
    assert_eq!(run_due(&world.vault, &plan).await.ran.len(), 3);
    assert_eq!(world.vault.list().await.unwrap().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_told_and_tried_again_later_and_later() {
    let world = World::new().await;
    let plan = Plan { retries: Some(3), ..only("0 0 * * *") };
    world.fake.down.store(true, Ordering::Relaxed);
    let mut waits = Vec::new();
    loop {
        let report = run_due(&world.vault, &plan).await;
        let failed = &report.ran[0];
        assert_eq!(failed.error.as_ref().unwrap().code, "database_unavailable");
        assert_eq!((failed.attempt as usize, failed.failures as usize), (waits.len() + 1, waits.len() + 1));
        let Some(at) = failed.retry_at else { break };
        let next = report.next[0].clone();
        assert!(next.retry && next.at == at);
        assert!(run_due(&world.vault, &plan).await.ran.is_empty(), "it waits");
        let wait = at.duration_since(world.clock.now());
        waits.push(wait.as_secs());
        sleep(Duration::try_from(wait).unwrap()).await;
    }
    assert_eq!(waits, [60, 120, 240]);
    assert!(run_due(&world.vault, &plan).await.ran.is_empty(), "this slot is given up");
    world.fake.down.store(false, Ordering::Relaxed);
    sleep(DAY).await;
    let next = run_due(&world.vault, &plan).await;
    assert!(next.ran[0].ok && next.ran[0].attempt == 1 && next.ran[0].failures == 0);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_is_kept_and_what_it_cut_short_is_done_next_time() {
    let world = World::new().await;
    let plan = only("0 0 * * *");
    let calls = {
        let other = World::new().await;
        other.store.trouble(Trouble::Nothing);
        run_due(&other.vault, &plan).await;
        other.store.calls()
    };
    for n in 4..calls {
        let before = world.vault.list().await.map_or(0, |l| l.len());
        world.store.trouble(Trouble::At(n, Fault::Hang));
        let began = tokio::time::Instant::now();
        let report = world.vault.run_due().plan(plan.clone()).within_seconds(20).await;
        // A store that hangs longer than the deadline delays its cleaning up, and no more.
        assert!(began.elapsed() < Duration::from_secs(700), "call {n}: {:?}", began.elapsed());
        world.store.trouble(Trouble::Nothing);
        sleep(HOUR).await;
        run_due(&world.vault, &plan).await;
        let after = world.vault.list().await.unwrap().len();
        assert_eq!(after, before + 1, "call {n}: {report:?}");
        sleep(DAY).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_whose_clock_is_wrong_follows_the_stores() {
    let world = World::new().await;
    let plan = only("0 * * * *");
    assert_eq!(run_due(&world.vault, &plan).await.ran.len(), 1);
    let ahead = open(&world.clock.off_by(SignedDuration::from_hours(5)), &world.store, &world.fake).await;
    let report = run_due(&ahead, &plan).await;
    assert!(report.ran.is_empty(), "its slots are still to come: {report:?}");
    assert_eq!(report.clock_ahead_seconds, Some(5 * 3_600));
    sleep(HOUR).await;
    assert_eq!(run_due(&ahead, &plan).await.ran.len(), 1, "the store's hour is over");
    assert!(run_due(&world.vault, &plan).await.ran.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_schedule_is_one_however_often_it_is_started() {
    let world = World::new().await;
    let start = |cron: &str| world.vault.schedule(cron).verify("off").drill("off").prune("off").start().unwrap();
    let (one, same) = (start("0 2 * * *"), start("0 2 * * *"));
    sleep(HOUR).await;
    assert_eq!(one.status(), same.status());
    assert_eq!(one.next_run(), Some("2026-11-02T02:00:00Z".parse().unwrap()));
    assert_eq!(one.status().last.unwrap().ran.len(), 1);
    let other = start("0 4 * * *");
    sleep(HOUR).await;
    assert!(!one.is_running() && other.is_running(), "a new plan takes the place of the old one");
    other.stop().await;
    assert!(!other.status().running);
    let again = start("0 4 * * *");
    assert!(again.is_running());
    again.stop().await;
    sleep(DAY * 3).await;
    assert_eq!(world.vault.list().await.unwrap().len(), 2, "what was stopped makes no backups");
}

#[tokio::test(start_paused = true)]
async fn a_schedule_belongs_to_whoever_started_it_last() {
    let world = World::new().await;
    let start = || world.vault.schedule("0 2 * * *").start().unwrap();
    let (first, second) = (start(), start());
    assert!(!first.leave());
    assert!(first.is_running() && second.is_running());
    assert!(second.leave());
    second.stop().await;
    assert!(!first.is_running() && !second.is_running());
    let third = start();
    assert!(third.clone().leave(), "a clone is not another start");
    let fourth = start();
    third.stop().await;
    assert!(fourth.is_running(), "one that is about to end is not what was started");
    fourth.stop().await;
}

#[tokio::test(start_paused = true)]
async fn other_languages_start_it_from_json() {
    let world = World::new().await;
    let plan = json!({ "backup": "0 2 * * *", "time_zone": "Europe/Berlin", "keep": { "daily": 7 }, "verify": "off", "drill": "off", "prune": "off" });
    let handle = world.vault.start_schedule(plan).unwrap();
    sleep(HOUR).await;
    let status = serde_json::to_value(handle.status()).unwrap();
    assert_eq!(status["running"], true);
    assert_eq!(status["next_run_at"], "2026-11-02T01:00:00Z");
    assert_eq!(status["last"]["ran"][0]["job"], "backup");
    handle.stop().await;
    for bad in [json!({ "backups": "0 2 * * *" }), json!({ "backup": "at noon" }), json!({ "keep": { "daily": 0 } })] {
        assert_eq!(world.vault.start_schedule(bad).unwrap_err().code(), Code::InvalidOption);
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_without_a_database_verifies_and_prunes() {
    let world = World::new().await;
    world.vault.backup().await.unwrap();
    let store: Arc<dyn ObjectStore> = Arc::new(world.store.clone());
    let builder = Vault::builder()
        .object_store(store)
        .name("home")
        .passphrase("a passphrase for tests that nobody would ever use elsewhere");
    let vault = builder.clock(Arc::new(world.clock.clone())).open().await.unwrap();
    let off = Some("off".to_owned());
    let plan = Plan { backup: off.clone(), drill: off, ..Plan::default() };
    assert_eq!(jobs(&run_due(&vault, &plan).await), [(Job::Verify, true), (Job::Prune, true)]);
    let failed = run_due(&vault, &only("0 2 * * *")).await;
    assert_eq!(failed.ran[0].error.as_ref().unwrap().code, "missing_setting");
}

/// Attempts of a job that failed since its last success, as the metrics tell.
fn failures(text: &str, job: &str) -> f64 {
    let label = format!("job=\"{job}\"");
    let line = text.lines().find(|line| line.starts_with("lastgood_schedule_failures{") && line.contains(&label));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_else(|| panic!("no {job} in {text}"))
}

/// A year with a database that is away for two days in March, a store that fails now and then in May, and a defect that
/// is planted before the drill of September.
#[tokio::test(start_paused = true)]
async fn a_year_of_schedule() {
    let clock = SimClock::new("2026-01-01T00:30:00Z");
    let store = SimStore::new(&clock);
    let fake = Fake::new([("toc.dat".to_owned(), vec![1; 50]), ("1.dat".to_owned(), vec![7; 300])].into(), 1_000);
    let object_store: Arc<dyn ObjectStore> = Arc::new(store.clone());
    let builder = Vault::builder().engine(Arc::new(fake.clone())).object_store(object_store).unencrypted();
    let builder = builder.clock(Arc::new(clock.clone())).alerts(Alerts::default());
    let vault = builder.open().await.unwrap();
    let handle = vault.schedule("0 2 * * *").keep(Keep::standard()).start().unwrap();
    let watching = handle.clone();
    let watcher = tokio::spawn(async move {
        let mut records: Vec<JobRecord> = Vec::new();
        let mut seen = watching.status();
        while let Some(now) = watching.changed(&seen).await {
            if now.last != seen.last {
                records.extend(now.last.iter().flat_map(|report| report.ran.clone()));
            }
            seen = now;
        }
        records
    });
    let until = |date: &str| {
        let at: jiff::Timestamp = date.parse().unwrap();
        sleep(Duration::try_from(at.duration_since(clock.now())).unwrap())
    };
    until("2026-03-10T12:00:00Z").await;
    let (status, said, text) = seen(&vault).await;
    assert_eq!(status, HealthStatus::Ok, "{said}");
    assert_eq!(failures(&text, "backup"), 0.0);
    let told = vault.take_told();
    assert!(told.len() > 130 && told.iter().all(|event| event.event.ends_with(".succeeded")), "{told:?}");
    fake.down.store(true, Ordering::Relaxed);
    until("2026-03-12T12:00:00Z").await;
    let (status, said, text) = seen(&vault).await;
    assert_eq!(status, HealthStatus::Degraded, "without a database that can be read nothing is down: a fake answers");
    assert!(said.contains("is 2 days old") && said.contains("backup failed [database_unavailable]"), "{said}");
    assert_eq!(failures(&text, "backup"), 14.0, "a try and six more on each of two days");
    let failed: Vec<_> = vault.take_told().into_iter().filter(|event| event.event == "backup.failed").collect();
    assert_eq!(failed.len(), 14);
    assert_eq!(failed.iter().filter(|event| !event.repeated).count(), 2, "people hear of it once a day");
    fake.down.store(false, Ordering::Relaxed);
    until("2026-03-13T12:00:00Z").await;
    let (status, said, text) = seen(&vault).await;
    assert_eq!((status, failures(&text, "backup")), (HealthStatus::Ok, 0.0), "{said}");
    assert_eq!(vault.take_told().iter().filter(|event| event.event == "backup.recovered").count(), 1);
    until("2026-05-01T12:00:00Z").await;
    vault.take_told();
    store.trouble(Trouble::Chance(super::sim::Dice::new(5), 20));
    until("2026-05-31T12:00:00Z").await;
    store.trouble(Trouble::Nothing);
    until("2026-09-01T03:00:00Z").await;
    let newest = vault.list().limit(1).await.unwrap().remove(0).id;
    let volume = Path::from(format!("home/{newest}/volume-0001.zip"));
    let mut bytes = store.get(&volume).await.unwrap().bytes().await.unwrap().to_vec();
    bytes[60] ^= 1;
    store.put(&volume, bytes.into()).await.unwrap();
    let (status, said, text) = seen(&vault).await;
    assert_eq!(status, HealthStatus::Ok, "nobody has looked yet: {said}");
    assert_eq!(sample(&text, "lastgood_drill_last_success{"), 1.0);
    vault.take_told();
    until("2026-09-01T06:30:00Z").await;
    let (status, said, text) = seen(&vault).await;
    assert_eq!(status, HealthStatus::Degraded);
    assert!(said.contains("the newest drill failed [damaged]"), "{said}");
    assert_eq!((sample(&text, "lastgood_drill_last_success{"), failures(&text, "drill")), (0.0, 1.0));
    let told: Vec<_> = vault.take_told().into_iter().map(|event| event.event).collect();
    assert_eq!(told, ["drill.failed", "prune.succeeded"]);
    until("2026-10-01T06:30:00Z").await;
    let (status, said, text) = seen(&vault).await;
    assert_eq!(status, HealthStatus::Ok, "{said}");
    assert_eq!((sample(&text, "lastgood_drill_last_success{"), failures(&text, "drill")), (1.0, 0.0));
    assert_eq!(vault.take_told().iter().filter(|event| event.event == "drill.recovered").count(), 1);
    until("2027-01-01T00:00:00Z").await;
    handle.stop().await;
    let records = watcher.await.unwrap();

    let mut done: BTreeMap<Job, usize> = BTreeMap::new();
    for record in records.iter().filter(|record| record.ok) {
        *done.entry(record.job).or_default() += 1;
    }
    // The catch-up at the start, then every slot; two days of March have none. An answer that was lost in May may have
    // cost the record of what was done.
    assert!((362..=1 + 365 - 2).contains(&done[&Job::Backup]), "{done:?}");
    assert!((52..=53).contains(&done[&Job::Verify]), "{done:?}");
    assert!((363..=1 + 365).contains(&done[&Job::Prune]), "{done:?}");
    assert_eq!(done[&Job::Drill], 12, "{done:?}");
    let failed: Vec<_> =
        records.iter().filter(|r| !r.ok && r.job == Job::Drill && r.slot.to_string().starts_with("2026-09")).collect();
    assert_eq!(failed.len(), 1);
    assert_eq!((failed[0].error.as_ref().unwrap().code.as_str(), failed[0].retry_at), ("damaged", None));
    let away = records.iter().filter(|r| r.error.as_ref().is_some_and(|e| e.code == "database_unavailable")).count();
    assert_eq!(away, 2 * 7, "a try and six more on each of two days");
    let listed = vault.list().await.unwrap();
    assert!((30..=33).contains(&listed.len()), "{}", listed.len());
    assert!(listed.iter().any(|b| b.drilled_at.is_some()));
}
