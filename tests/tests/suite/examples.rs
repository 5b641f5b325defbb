//! The Rust examples run as they are: the nightly binary and the axum service.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use lastgood::Vault;
use serde_json::Value;
use testkit::tool;

use crate::world::{PASSPHRASE, SMALL, World};

fn with_settings(command: &mut Command, world: &World, database: &str) {
    let key = world.file("key", PASSPHRASE);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("TMPDIR", world.path(""));
    command.env("DATABASE_URL", database).env("BACKUP_STORE_URL", world.store()).env("BACKUP_ENCRYPTION_KEY_FILE", key);
}

fn nightly(world: &World, database: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_example-nightly"));
    with_settings(&mut command, world, database);
    command.args(arguments);
    command
}

#[tokio::test]
async fn the_nightly_example_backs_up_and_proves() {
    let world = World::new();
    let database = world.make("shop.db", SMALL);
    let said = tool(&mut nightly(&world, &database, &[]));
    assert!(said.contains("Dumping") && said.contains("are as they were written"), "{said}");
    let said = tool(&mut nightly(&world, &database, &["--drill"]));
    assert!(said.contains("103 rows are the same"), "{said}");
    let made = world.vault(&database).await.list().await.unwrap();
    assert_eq!(made.iter().map(|b| b.drilled_at.is_some()).collect::<Vec<_>>(), [true, false]);
    assert!(made.iter().all(|b| b.tags == ["nightly"]));
}

#[test]
fn the_nightly_example_tells_the_kind_of_error_by_its_exit_code() {
    let world = World::new();
    let output = nightly(&world, &world.sqlite("nowhere.db"), &[]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(6), "{said}");
    assert!(said.starts_with("database_not_found: "), "{said}");
    let output = nightly(&world, "postgres://app:canary@127.0.0.1:1/shop", &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(8));
    assert!(!String::from_utf8_lossy(&output.stderr).contains("canary"));
}

#[test]
fn the_opentelemetry_example_sends_a_span_of_each_verb() {
    let world = World::new();
    let database = world.make("shop.db", SMALL);
    let mut command = Command::new(env!("CARGO_BIN_EXE_example-opentelemetry"));
    with_settings(&mut command, &world, &database);
    let said = tool(&mut command);
    for expected in ["operation", "run_id", "backup_id", "a phase is over", "backup", "drill", "duration_ms"] {
        assert!(said.contains(expected), "no {expected} in {said}");
    }
    assert!(!said.contains(PASSPHRASE));
}

/// The axum example on a port of its own choice; it ends with the test.
struct Service {
    child: Child,
    url: String,
    body: PathBuf,
}

impl Service {
    fn start(world: &World, database: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_example-service"));
        with_settings(&mut command, world, database);
        let mut child = command.arg("127.0.0.1:0").stdout(Stdio::piped()).spawn().unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
        assert!(url.starts_with("http://127.0.0.1:"), "{url}");
        Self { child, url: url.trim_end().to_owned(), body: world.path("body") }
    }

    /// Status, content type and body of an answer.
    fn get(&self, path: &str) -> (String, String, String) {
        let url = format!("{}{path}", self.url);
        let asked = ["-sS", "-w", "%{http_code} %{content_type}", &url, "-o"];
        let told = tool(Command::new("curl").args(asked).arg(&self.body));
        let (status, kind) = told.split_once(' ').unwrap();
        (status.to_owned(), kind.to_owned(), std::fs::read_to_string(&self.body).unwrap())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[tokio::test]
async fn the_service_example_serves_health_and_metrics() {
    let world = World::new();
    let database = world.make("shop.db", SMALL);
    let vault: Vault = world.vault(&database).await;
    let id = vault.backup().await.unwrap().id;
    vault.drill(&id).await.unwrap();

    let service = Service::start(&world, &database);
    assert_eq!(service.get("/live").2, r#"{"status":"ok"}"#);
    let (status, kind, body) = service.get("/health");
    assert_eq!((status.as_str(), kind.as_str()), ("200", "application/json"), "{body}");
    let health: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&health["status"], &health["db"]), (&"ok".into(), &"ok".into()), "{body}");
    assert_eq!(health["backup"]["id"], id.as_str());
    let (status, kind, body) = service.get("/metrics");
    assert_eq!((status.as_str(), kind.as_str()), ("200", lastgood::METRICS_CONTENT_TYPE));
    assert!(body.contains("lastgood_backup_last_success_timestamp_seconds{"), "{body}");
}

#[tokio::test]
async fn the_service_example_answers_503_when_the_database_is_down() {
    let world = World::new();
    let service = Service::start(&world, "postgres://app:canary@127.0.0.1:1/shop");
    let (status, _, body) = service.get("/health");
    assert_eq!(status, "503", "{body}");
    assert!(body.contains(r#""db":"down""#) && !body.contains("canary"), "{body}");
    // It is the service that answers, whatever became of the database.
    assert_eq!(service.get("/live").0, "200");
}
