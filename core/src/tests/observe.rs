//! What can be seen of a vault under virtual time: how much is read for it, and what a red drill does to it.

use std::time::Duration;

use tokio::time::sleep;

use super::prune::{World, open};
use super::sim::Trouble;
use crate::{HealthStatus, Job, Plan, Vault};

const DAY: Duration = Duration::from_secs(86_400);

/// Calls to the store that each of these verbs makes, by a vault that was just opened.
async fn calls(world: &World) -> Vec<(&'static str, usize)> {
    let store = world.store.another();
    let vault = open(&world.clock, &store, &world.fake).await;
    let mut counted = Vec::new();
    for verb in ["health", "metrics", "list"] {
        store.trouble(Trouble::Nothing);
        match verb {
            "health" => drop(vault.health().options_with(|o| o.cache_seconds = 0).await.unwrap()),
            "metrics" => drop(vault.metrics().options_with(|o| o.cache_seconds = 0).await.unwrap()),
            _ => drop(vault.list().limit(2).await.unwrap()),
        }
        counted.push((verb, store.calls()));
    }
    counted
}

#[tokio::test(start_paused = true)]
async fn health_and_metrics_read_as_much_of_many_backups_as_of_few() {
    let world = World::new().await;
    let mut counts = Vec::new();
    for days in [4, 36] {
        for _ in 0..days {
            let id = world.vault.backup().await.unwrap().id;
            world.vault.verify(&id).await.unwrap();
            world.vault.drill(&id).await.unwrap();
            sleep(DAY).await;
        }
        counts.push(calls(&world).await);
    }
    assert_eq!(world.vault.list().await.unwrap().len(), 40);
    assert_eq!(counts[0], counts[1], "of 4 backups, and of 40");
}

/// The value of a sample.
pub(super) fn sample(text: &str, name: &str) -> f64 {
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name} in {text}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

pub(super) async fn seen(vault: &Vault) -> (HealthStatus, String, String) {
    let health = vault.health().options_with(|o| o.cache_seconds = 0).await.unwrap();
    let text = vault.metrics().options_with(|o| o.cache_seconds = 0).await.unwrap();
    let said = health.checks.iter().filter(|c| c.status != HealthStatus::Ok).filter_map(|c| c.message.clone());
    (health.status, said.collect::<Vec<_>>().join("; "), text)
}

#[tokio::test(start_paused = true)]
async fn a_smoke_query_that_fails_makes_a_scheduled_drill_red_until_it_succeeds() {
    let world = World::new().await;
    let mut plan = Plan { drill_queries: vec!["true".to_owned()], ..Plan::default() };
    world.vault.run_due().plan(plan.clone()).await.unwrap();
    let (status, said, text) = seen(&world.vault).await;
    assert_eq!(status, HealthStatus::Ok, "{said}");
    assert_eq!(sample(&text, "lastgood_drill_last_success{"), 1.0);

    plan.drill_queries.push("false".to_owned());
    plan.drill = Some("0 5 * * *".to_owned());
    sleep(DAY).await;
    let report = world.vault.run_due().plan(plan.clone()).await.unwrap();
    let failed = report.ran.iter().find(|ran| ran.job == Job::Drill).unwrap();
    assert_eq!(failed.error.as_ref().unwrap().code, "drill_mismatch");
    assert_eq!(failed.retry_at, None, "a difference does not go away by looking again");
    let (status, said, text) = seen(&world.vault).await;
    assert_eq!(status, HealthStatus::Degraded);
    assert!(said.contains("the newest drill failed [drill_mismatch]") && said.contains("false"), "{said}");
    assert_eq!(sample(&text, "lastgood_drill_last_success{"), 0.0);
    assert_eq!(sample(&text, "lastgood_schedule_failures{vault=\"SimStore\",database=\"home\",job=\"drill\"}"), 1.0);

    plan.drill_queries.pop();
    sleep(DAY).await;
    world.vault.run_due().plan(plan).await.unwrap();
    let (status, said, text) = seen(&world.vault).await;
    assert_eq!(status, HealthStatus::Ok, "{said}");
    assert_eq!(sample(&text, "lastgood_drill_last_success{"), 1.0);
}

#[tokio::test(start_paused = true)]
async fn the_next_run_is_known_to_every_process_and_so_is_one_that_does_not_come() {
    let world = World::new().await;
    world.vault.run_due().await.unwrap();
    // Another process, which has no plan.
    let other = open(&world.clock, &world.store.another(), &world.fake).await;
    let (status, said, text) = seen(&other).await;
    assert_eq!(status, HealthStatus::Ok, "{said}");
    let due: jiff::Timestamp = "2026-11-02T02:00:00Z".parse().unwrap();
    let line =
        text.lines().find(|l| l.starts_with("lastgood_schedule_next_run") && l.contains("job=\"backup\"")).unwrap();
    assert!(line.ends_with(&format!(" {}", due.as_second())), "{line}");
    sleep(DAY + Duration::from_secs(2 * 3_600)).await;
    let (status, said, _) = seen(&other).await;
    assert_eq!(status, HealthStatus::Degraded);
    assert!(said.contains("the backup that was due at 2026-11-02T02:00:00Z has not run"), "{said}");
}
