//! Alerts as a real listener receives them.

use hmac::{Hmac, KeyInit, Mac};
use lastgood::{AlertEvent, Alerts, HealthStatus, Job, Plan, Vault};
use serde_json::Value;
use sha2::Sha256;
use testkit::Listener;

use crate::world::{SMALL, World};

fn alerts(listener: &Listener) -> Alerts {
    let mut alerts = Alerts::default();
    alerts.slack_url = Some(listener.url("/slack").into());
    alerts.discord_url = Some(listener.url("/discord").into());
    alerts.pagerduty_key = Some("pagerduty-canary".into());
    alerts.pagerduty_url = Some(listener.url("/pagerduty"));
    alerts.webhook_url = Some(listener.url("/webhook?token=canary").into());
    alerts.webhook_secret = Some("signing-canary".into());
    alerts.ping_url = Some(listener.url("/ping/uuid").into());
    alerts
}

async fn vault(world: &World, listener: &Listener, file: &str) -> Vault {
    world.builder(&world.sqlite(file)).name("shop").alerts(alerts(listener)).open().await.unwrap()
}

/// The bodies that a path got, in order.
fn to(received: &[testkit::Received], path: &str) -> Vec<String> {
    received.iter().filter(|r| r.path == path).map(|r| r.body.clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_told_and_so_is_the_recovery_though_the_process_has_changed() {
    let world = World::new();
    let listener = Listener::start();
    world.make("shop.db", SMALL);
    vault(&world, &listener, "shop.db").await.backup().await.unwrap();
    let received = listener.take();
    assert_eq!(to(&received, "/ping/uuid/start").len(), 1);
    assert_eq!(to(&received, "/ping/uuid").len(), 1);
    assert!(to(&received, "/slack").is_empty(), "nobody is told that all is as ever");

    let broken = vault(&world, &listener, "gone.db").await;
    broken.backup().await.unwrap_err();
    let received = listener.take();
    assert_eq!(to(&received, "/ping/uuid/fail").len(), 1);
    assert!(to(&received, "/slack")[0].contains("database_not_found"), "{received:?}");
    assert!(to(&received, "/discord")[0].contains("allowed_mentions"), "{received:?}");
    let opened: Value = serde_json::from_str(&to(&received, "/pagerduty")[0]).unwrap();
    assert_eq!(opened["event_action"], "trigger");
    let webhook = received.iter().find(|r| r.path.starts_with("/webhook")).unwrap();
    let event: AlertEvent = serde_json::from_str(&webhook.body).unwrap();
    assert_eq!((event.version, event.event.as_str(), event.database.as_str()), (1, "backup.failed", "shop"));
    let (seconds, hex) =
        webhook.header("lastgood-signature").unwrap().strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(b"signing-canary").unwrap();
    mac.update(format!("{seconds}.{}", webhook.body).as_bytes());
    assert_eq!(hex, mac.finalize().into_bytes().iter().map(|b| format!("{b:02x}")).collect::<String>());

    // Another process: only the store remembers.
    vault(&world, &listener, "shop.db").await.backup().await.unwrap();
    let received = listener.take();
    assert!(to(&received, "/slack")[0].contains("works again"), "{received:?}");
    let resolved: Value = serde_json::from_str(&to(&received, "/pagerduty")[0]).unwrap();
    assert_eq!((&resolved["event_action"], &resolved["dedup_key"]), (&Value::from("resolve"), &opened["dedup_key"]));
    vault(&world, &listener, "shop.db").await.backup().await.unwrap();
    assert!(to(&listener.take(), "/slack").is_empty(), "told once");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_delivered_fails_nothing_and_is_tried_again() {
    let world = World::new();
    let listener = Listener::start();
    world.make("shop.db", SMALL);
    let mut alerts = Alerts::default();
    alerts.webhook_url = Some(listener.url("/webhook").into());
    alerts.slack_url = Some("http://127.0.0.1:9/refused".into());
    alerts.successes = true;
    alerts.command = vec!["/nonexistent/command".to_owned()];
    listener.answer(&[503]);
    let vault = world.builder(&world.sqlite("shop.db")).alerts(alerts).open().await.unwrap();
    vault.backup().await.unwrap();
    let received = listener.take();
    assert_eq!(to(&received, "/webhook").len(), 2, "once more after 503: {received:?}");
    let text = vault.metrics().await.unwrap();
    assert!(text.contains("lastgood_alerts_total{receiver=\"slack\",outcome=\"failed\"}"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_gets_the_event_and_a_fallen_size_is_told() {
    let world = World::new();
    let listener = Listener::start();
    world.make("shop.db", "CREATE TABLE t (x); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) INSERT INTO t SELECT hex(randomblob(500)) FROM n;");
    let mut alerts = alerts(&listener);
    let told = world.path("told.json");
    alerts.command = vec!["sh".into(), "-c".into(), format!("cat >> {}", told.display())];
    let vault = world.builder(&world.sqlite("shop.db")).name("shop").alerts(alerts).open().await.unwrap();
    for _ in 0..3 {
        vault.backup().await.unwrap();
    }
    listener.take();
    world.make("shop.db", "DELETE FROM t WHERE rowid > 100; VACUUM;");
    let report = vault.backup().await.unwrap();
    assert_eq!(report.warnings.iter().map(|w| w.code.as_str()).collect::<Vec<_>>(), ["size_fell"]);
    assert_eq!(vault.list().await.unwrap()[0].warnings, 1);
    assert!(to(&listener.take(), "/slack")[0].contains("less than half"));
    let events = std::fs::read_to_string(told).unwrap();
    let kinds: Vec<String> =
        events.lines().map(|line| serde_json::from_str::<AlertEvent>(line).unwrap().event).collect();
    assert_eq!(kinds, ["backup.succeeded", "backup.succeeded", "backup.succeeded", "backup.warned"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_that_fails_by_schedule_is_told_like_any_other() {
    let world = World::new();
    let listener = Listener::start();
    world.make("shop.db", SMALL);
    let vault = vault(&world, &listener, "shop.db").await;
    let mut plan = Plan::default();
    plan.drill_queries = vec!["SELECT count(*) > 1000 FROM person".to_owned()];
    let report = vault.run_due().plan(plan).await.unwrap();
    let failed: Vec<_> = report.ran.iter().filter(|ran| !ran.ok).map(|ran| ran.job).collect();
    assert_eq!(failed, [Job::Drill]);
    let received = listener.take();
    assert_eq!((to(&received, "/ping/uuid/start").len(), to(&received, "/ping/uuid").len()), (1, 1), "the backup's");
    let slack = to(&received, "/slack");
    assert!(slack.len() == 1 && slack[0].contains("drill_mismatch"), "{slack:?}");
    let kinds: Vec<String> = received
        .iter()
        .filter(|r| r.path.starts_with("/webhook"))
        .map(|r| serde_json::from_str::<AlertEvent>(&r.body).unwrap().event)
        .collect();
    assert_eq!(kinds, ["backup.succeeded", "verify.succeeded", "drill.failed", "prune.succeeded"]);
    let health = vault.health().await.unwrap();
    assert!(health.checks.iter().any(|c| c.name == "drill" && c.status == HealthStatus::Degraded), "{health:?}");
    let text = vault.metrics().await.unwrap();
    assert!(text.lines().any(|l| l.starts_with("lastgood_drill_last_success{") && l.ends_with(" 0")), "{text}");
}
