//! Health, metrics and statistics, as routes and scrapers get them.

use std::process::{Command, Stdio};
use std::time::Duration;

use lastgood::{HealthCheck, HealthStatus, Vault};
use testkit::{PgVersion, Postgres};

use crate::world::{PASSPHRASE, SMALL, World, refusal};

/// The value of a sample; its labels are `wanted` among others.
fn sample(text: &str, name: &str, wanted: &str) -> Option<f64> {
    let line = text
        .lines()
        .find(|l| l.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])) && l.contains(wanted))?;
    line.rsplit(' ').next()?.parse().ok()
}

/// Prometheus' own checker accepts the text.
fn promtool_accepts(text: &str) {
    use std::io::Write as _;
    let mut check = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    check.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = check.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{text}");
}

#[tokio::test]
async fn health_follows_the_life_of_a_store() {
    let world = World::new();
    let url = world.make("shop.db", SMALL);
    let vault = world.vault(&url).await;
    let fresh = || vault.health().timeout(Duration::from_secs(60)).options_with(|o| o.cache_seconds = 0);

    let report = fresh().await.unwrap();
    assert_eq!((report.status, report.db, report.http_status), (HealthStatus::Degraded, Some(HealthStatus::Ok), 200));
    let backup = vault.backup().await.unwrap();
    let report = fresh().await.unwrap();
    assert_eq!((report.status, report.backup.id.as_ref()), (HealthStatus::Ok, Some(&backup.id)));
    assert_eq!((report.database.as_deref(), report.drill.ok), (Some("connected"), None));
    vault.drill(&backup.id).await.unwrap();
    let report = fresh().await.unwrap();
    assert_eq!((report.drill.ok, report.drill.last_success_at.is_some()), (Some(true), true));

    let report = fresh().max_age(Duration::ZERO).await.unwrap();
    assert!(report.backup.age_seconds.is_some());
    let own = HealthCheck { name: "queue".into(), status: HealthStatus::Down, message: Some("full".into()) };
    let report = fresh().check(own).await.unwrap();
    assert_eq!((report.status, report.http_status), (HealthStatus::Down, 503));

    // Answers are kept for a while, so that many callers ask once.
    let kept = vault.health().await.unwrap();
    std::fs::remove_file(world.path("shop.db")).unwrap();
    assert_eq!(vault.health().await.unwrap().db, kept.db);
    let report = fresh().await.unwrap();
    assert_eq!((report.status, report.db), (HealthStatus::Down, Some(HealthStatus::Down)));
    std::fs::remove_dir_all(world.store()).unwrap();
    let report = fresh().await.unwrap();
    assert_eq!(report.status, HealthStatus::Down, "and it is still an answer, not an error");
}

#[test]
fn the_command_line_tells_health_by_its_exit_code() {
    let world = World::new();
    let url = world.make("shop.db", SMALL);
    world.run(&["backup", "--database", &url]);
    let report = world.run(&["health", "--database", &url]);
    assert_eq!((report["status"].as_str(), report["db"].as_str()), (Some("ok"), Some("ok")));
    let report = world.run(&["health", "--database", &url, "--health-json"]);
    assert_eq!(report["checks"]["backup"][0]["status"], "pass");
    let gone = world.sqlite("gone.db");
    let (exit, error) = refusal(&mut world.command(&["health", "--database", &gone, "--name", "shop"]));
    assert_eq!((exit, error["code"].as_str()), (8, Some("unhealthy")));
}

#[tokio::test]
async fn metrics_are_accepted_by_prometheus_and_tell_what_is_there() {
    let world = World::new();
    let url = world.make("shop.db", SMALL);
    let vault = world.vault(&url).await;
    let backup = vault.backup().await.unwrap();
    vault.drill(&backup.id).await.unwrap();
    let text = vault.metrics().await.unwrap();
    promtool_accepts(&text);
    assert_eq!(sample(&text, "lastgood_backups", "state=\"complete\""), Some(1.0));
    assert_eq!(sample(&text, "lastgood_backups", "state=\"unfinished\""), Some(0.0));
    assert_eq!(sample(&text, "lastgood_drill_last_success", "database=\"shop\""), Some(1.0));
    let source = sample(&text, "lastgood_backup_last_size_bytes", "stage=\"source\"");
    assert_eq!(source, Some(f64::from(u32::try_from(backup.source_bytes).unwrap())));
    let newest = sample(&text, "lastgood_recovery_point_timestamp_seconds", "edge=\"newest\"").unwrap();
    let since = f64::from(i32::try_from(backup.started_at.as_second()).unwrap());
    assert!((newest - since).abs() < 60.0, "{newest} {since}");
    let done = sample(&text, "lastgood_operations_total", "op=\"drill\",outcome=\"ok\"").unwrap();
    assert!(done >= 1.0, "{text}");
    assert!(!text.contains(PASSPHRASE) && !text.contains("# EOF"));
    assert!(
        text.lines().filter(|l| l.starts_with("lastgood_backup")).all(|l| l.contains("database=\"shop\"")),
        "{text}"
    );
}

#[tokio::test]
async fn a_store_that_does_not_answer_leaves_the_rest_of_the_metrics() {
    let world = World::new();
    let url = world.make("shop.db", SMALL);
    let vault = world.vault(&url).await;
    vault.backup().await.unwrap();
    std::fs::remove_dir_all(world.store()).unwrap();
    std::fs::write(world.store(), "no folder").unwrap();
    let text = vault.metrics().await.unwrap();
    promtool_accepts(&text);
    assert_eq!(sample(&text, "lastgood_store_up", ""), Some(0.0), "{text}");
    assert_eq!(sample(&text, "lastgood_db_up", ""), Some(1.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_tells_its_statistics() {
    for version in PgVersion::ALL {
        let Some(server) = Postgres::shared(version) else { continue };
        let url = server.create("observed_stats");
        server.psql(
            "observed_stats",
            "CREATE TABLE big AS SELECT i, repeat('x', 100) AS t FROM generate_series(1, 20000) i; \
             CREATE INDEX unused ON big (t); DELETE FROM big WHERE i % 2 = 0; ANALYZE big",
        );
        let world = World::new();
        let vault = world.vault(&url).await;
        let stats = vault.database_stats().await.unwrap();
        assert!(stats.version.starts_with(&version.number().to_string()), "{stats:?}");
        let connections = stats.connections.as_ref().unwrap();
        assert!(connections.used >= 1 && connections.allowed > connections.used, "{stats:?}");
        assert_eq!(stats.largest_tables[0].name, "public.big", "{stats:?}");
        assert!(stats.largest_tables[0].bytes > 1 << 20, "{stats:?}");
        assert_eq!(stats.unused_indexes[0].name, "public.unused", "{stats:?}");
        assert!(stats.size_bytes.unwrap() > 1 << 20 && stats.deadlocks == Some(0), "{stats:?}");
        promtool_accepts(&vault.metrics().await.unwrap());
        server.drop("observed_stats");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_without_privileges_gets_what_it_may_see() {
    let Some(server) = Postgres::shared(PgVersion::V15) else { return };
    let url = server.create("observed_plain");
    server.psql(
        "observed_plain",
        "CREATE ROLE observed_nobody LOGIN PASSWORD 'x'; CREATE SCHEMA s; CREATE TABLE s.t (i int)",
    );
    let url = url::Url::parse(&url).map(|mut url| {
        url.set_username("observed_nobody").unwrap();
        url.set_password(Some("x")).unwrap();
        url.to_string()
    });
    let world = World::new();
    let vault: Vault = world.vault(&url.unwrap()).await;
    let stats = vault.database_stats().await.unwrap();
    assert!(stats.size_bytes.is_some() && stats.connections.is_some(), "{stats:?}");
    assert!(stats.slow_queries.is_empty() && stats.replicas.is_empty());
    server.drop("observed_plain");
    server.psql("postgres", "DROP ROLE observed_nobody");
}

/// Names that an expression or a panel uses.
fn names_in(text: &str) -> std::collections::BTreeSet<String> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split(|c| !word(c)).filter(|w| w.starts_with("lastgood_")).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_and_dashboard_use_metrics_that_exist() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/observability");
    for arguments in [["check", "rules", "rules.yml"], ["test", "rules", "rules_test.yml"]] {
        testkit::tool(Command::new("promtool").args(arguments).current_dir(&folder));
    }
    let Some(server) = Postgres::shared(PgVersion::V15) else { return };
    let url = server.create("observed_rules");
    server.psql("observed_rules", "CREATE TABLE t (i int)");
    let world = World::new();
    let mut alerts = lastgood::Alerts::default();
    alerts.command = vec!["true".to_owned()];
    let vault = world.builder(&url).alerts(alerts).open().await.unwrap();
    vault.run_due().await.unwrap();
    let there = names_in(&vault.metrics().await.unwrap());
    for file in ["rules.yml", "dashboard.json"] {
        for name in names_in(&std::fs::read_to_string(folder.join(file)).unwrap()) {
            assert!(there.contains(&name), "{file} uses {name}, which is not among {there:?}");
        }
    }
    server.drop("observed_rules");
}
