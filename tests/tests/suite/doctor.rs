//! The doctor names the cause of each broken set-up, and finds nothing wrong with a whole one.

use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use jiff::SignedDuration;
use lastgood::{Check, CheckStatus, DoctorReport, Settings, VaultBuilder};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result as StoreResult,
};
use testkit::{Authority, Fault, FaultyStore, ManualClock, PgBouncer, PgVersion, Postgres, SeaweedFs, Setup};

use crate::postgres_life::SHOP;
use crate::world::{SMALL, World, bare_command, files, refusal};

const STRONG: &str = "gravel-onion-sixfold-tundra-maple-kiosk";

fn check<'r>(report: &'r DoctorReport, name: &str) -> &'r Check {
    report.checks.iter().find(|c| c.name == name).unwrap_or_else(|| panic!("no check {name}: {report:#?}"))
}

/// The check ended so, and what it says names the thing.
#[track_caller]
fn found(report: &DoctorReport, name: &str, status: CheckStatus, thing: &str) {
    let check = check(report, name);
    assert_eq!(check.status, status, "{check:?}");
    let said = format!("{} {}", check.message, check.next.as_deref().unwrap_or_default());
    assert!(said.contains(thing), "`{thing}` is not in: {said}");
    assert!(status == CheckStatus::Pass || check.next.is_some() || said.starts_with("not checked"), "{check:?}");
}

/// The check failed for this cause, and with it the whole.
#[track_caller]
fn failed(report: &DoctorReport, name: &str, thing: &str) {
    found(report, name, CheckStatus::Fail, thing);
    assert_eq!(report.status, CheckStatus::Fail);
}

async fn examine(world: &World, url: &str) -> DoctorReport {
    world.builder(url).doctor().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_set_up_passes_and_is_left_as_it_was() {
    let Some(server) = Postgres::shared(PgVersion::V15) else { return };
    server.create("doctor_whole");
    server.psql("doctor_whole", SHOP);
    let world = World::new();
    let vault = world.vault(&server.url("doctor_whole")).await;
    vault.run_due().await.unwrap();
    let (stored, content) = (world.stored(), server.content("doctor_whole"));
    let report = vault.doctor().await.unwrap();
    for check in &report.checks {
        assert_eq!(check.status, CheckStatus::Pass, "{check:?}");
    }
    let names: Vec<&str> = report.checks.iter().map(|c| c.name.as_str()).collect();
    for name in
        ["settings", "database", "tls", "pooler", "privileges", "objects", "store_create_only", "key", "last_proof"]
    {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
    assert_eq!(report.status, CheckStatus::Pass);
    found(&report, "last_proof", CheckStatus::Pass, "restored and compared");
    assert_eq!((world.stored(), server.content("doctor_whole")), (stored, content));

    // The same from the command line, without an open vault.
    let told = world.run(&["doctor", "--database", &server.url("doctor_whole")]);
    assert_eq!(told["status"], "pass");
    assert_eq!(told["checks"].as_array().unwrap().len(), report.checks.len());
    server.drop("doctor_whole");
}

#[test]
fn the_exit_code_tells_what_the_report_does() {
    let nothing = bare_command().args(["doctor", "--json"]).output().unwrap();
    let report: DoctorReport = serde_json::from_slice(&nothing.stdout).unwrap();
    failed(&report, "settings", "store");
    assert!(!nothing.status.success());
    let (code, error) = refusal(bare_command().arg("doctor"));
    assert_eq!((code, error["code"].as_str().unwrap()), (8, "unhealthy"));

    let world = World::new();
    let url = world.make("small.db", SMALL);
    let text = testkit::tool(&mut world.command(&["doctor", "--database", &url]));
    assert!(text.contains("next: make one with `backup`"), "{text}");
    let unreadable = bare_command()
        .args(["doctor", "--json", "--database", &url, "--store"])
        .arg(world.store())
        .args(["--key-file", "/nonexistent/key"])
        .output()
        .unwrap();
    let report: DoctorReport = serde_json::from_slice(&unreadable.stdout).unwrap();
    failed(&report, "settings", "/nonexistent/key");
    found(&report, "database", CheckStatus::Pass, "small.db");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_nobody_gets_to_is_told_by_its_cause() {
    let Some(server) = Postgres::shared(PgVersion::V15) else { return };
    let (authority, world) = (Authority::new(), World::new());
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = silent.local_addr().unwrap().port();
    let url = server.url("postgres");
    let not_trusted = format!("{url}?sslmode=verify-full&sslrootcert={}", authority.root().display());
    for (url, name, thing) in [
        ("postgres://u@127.0.0.1:1/x".to_owned(), "database", "listens"),
        (format!("postgres://u@127.0.0.1:{silent}/x?connect_timeout=1"), "database", "did not answer within 1 s"),
        (url.replace(server.password(), "wrong"), "database", "password"),
        (server.url("doctor_nowhere"), "database", "doctor_nowhere"),
        (not_trusted, "tls", "does not support TLS"),
    ] {
        let report = examine(&world, &url).await;
        failed(&report, name, thing);
        for later in ["privileges", "objects", "extensions"] {
            found(&report, later, CheckStatus::Warn, "not checked");
        }
        // The store is looked at all the same.
        assert!(report.checks.iter().any(|c| c.name == "store"));
    }
    let report = examine(&world, &format!("{url}?sslmod=require")).await;
    failed(&report, "settings", "sslmod");
    found(&report, "database", CheckStatus::Warn, "not checked");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_role_may_not_read_or_see_is_named() {
    let Some(server) = Postgres::shared(PgVersion::V15) else { return };
    server.create("doctor_closed");
    server.psql(
        "doctor_closed",
        "CREATE TABLE open (id int); CREATE TABLE closed (id int); CREATE TABLE ruled (id int);
         ALTER TABLE ruled ENABLE ROW LEVEL SECURITY; SELECT lo_create(4712)",
    );
    server.psql("postgres", "DROP ROLE IF EXISTS doctor_weak; CREATE ROLE doctor_weak LOGIN PASSWORD 'weak'");
    server.psql("doctor_closed", "GRANT SELECT ON open, ruled TO doctor_weak");
    let world = World::new();
    let report = examine(&world, &server.url_of("doctor_weak", "weak", "doctor_closed")).await;
    failed(&report, "privileges", "table public.closed; large object 4712");
    failed(&report, "row_security", "public.ruled");
    found(&report, "objects", CheckStatus::Warn, "not checked");
    found(&report, "large_objects", CheckStatus::Pass, "1 large objects");
    server.drop("doctor_closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn poolers_time_outs_and_limits_are_told() {
    let Some(server) = Postgres::start(PgVersion::V15) else { return };
    server.create("shop");
    server.psql(
        "shop",
        "CREATE ROLE app LOGIN PASSWORD 'app' CONNECTION LIMIT 3; ALTER ROLE app SET statement_timeout = '30s';
         GRANT pg_read_all_data TO app; CREATE EXTENSION file_fdw; CREATE SERVER far FOREIGN DATA WRAPPER file_fdw;
         CREATE FOREIGN TABLE away (id int) SERVER far OPTIONS (filename '/dev/null'); CREATE UNLOGGED TABLE fleeting (id int)",
    );
    let world = World::new();
    if let Some(pooler) = PgBouncer::start(&server, "transaction", &[]) {
        let report = examine(&world, &pooler.url("shop")).await;
        failed(&report, "pooler", "pool_mode = session");
        found(&report, "database", CheckStatus::Warn, "not checked");
    }
    if let Some(pooler) = PgBouncer::start(&server, "session", &[]) {
        let report = examine(&world, &pooler.url("shop")).await;
        found(&report, "pooler", CheckStatus::Pass, "sessions last");
    }
    let mut settings = Settings::default();
    settings.jobs = 8;
    let url = server.url_of("app", "app", "shop");
    let report = world.builder(&url).settings(settings).doctor().await;
    found(&report, "connections", CheckStatus::Warn, "2 more connections are free, a backup with 8 jobs wants 9");
    found(&report, "timeouts", CheckStatus::Pass, "statement_timeout = 30000ms");
    found(&report, "foreign_tables", CheckStatus::Warn, "public.away");
    found(&report, "unlogged_tables", CheckStatus::Pass, "public.fleeting");
    found(&report, "extensions", CheckStatus::Pass, "file_fdw");
    assert_eq!(report.status, CheckStatus::Warn);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_and_its_risks_are_told() {
    let Some(primary) = Postgres::start(PgVersion::V15) else { return };
    primary.create("shop");
    primary.psql("shop", "CREATE UNLOGGED TABLE fleeting (id int)");
    for (setup, status) in [
        (Setup::default().set("hot_standby_feedback=off"), CheckStatus::Warn),
        (Setup::default().set("hot_standby_feedback=on"), CheckStatus::Pass),
    ] {
        let standby = primary.standby(&setup);
        standby.catch_up(&primary);
        let report = examine(&World::new(), &standby.url("shop")).await;
        found(&report, "standby", status, "the server is a standby");
        found(&report, "unlogged_tables", CheckStatus::Warn, "public.fleeting");
        assert_eq!(report.status, CheckStatus::Warn, "{report:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_is_held_is_not_waited_for() {
    let Some(server) = Postgres::shared(PgVersion::V15) else { return };
    server.create("doctor_locked");
    server.psql("doctor_locked", "CREATE TABLE t (id int); CREATE VIEW v AS SELECT id FROM t");
    let mut holder = server
        .client("psql")
        .args(["-Xq", "-d", "doctor_locked", "-c"])
        .arg("BEGIN; LOCK TABLE t, v IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(600)")
        .spawn()
        .unwrap();
    let held =
        "SELECT count(*) FROM pg_locks WHERE granted AND mode = 'AccessExclusiveLock' AND relation = 't'::regclass";
    testkit::wait_until("the lock", || server.psql("doctor_locked", held).trim() == "1");
    let report = examine(&World::new(), &server.url("doctor_locked")).await;
    found(&report, "objects", CheckStatus::Warn, "migration");
    found(&report, "privileges", CheckStatus::Pass, "");
    holder.kill().unwrap();
    holder.wait().unwrap();
    server.drop("doctor_locked");
}

#[tokio::test]
async fn keys_that_do_not_open_the_store_are_told() {
    let world = World::new();
    let url = world.make("small.db", SMALL);
    let no_store = || world.builder(&url).store(world.path("none").display().to_string());
    found(&no_store().doctor().await, "store", CheckStatus::Warn, "the first `backup` makes it");
    let fresh = |builder: VaultBuilder| builder.object_store(Arc::new(InMemory::new()));
    let report = fresh(world.builder(&url)).doctor().await;
    found(&report, "key", CheckStatus::Pass, "first backup will make the store");
    found(&report, "last_backup", CheckStatus::Warn, "no backup yet");
    let plain = || lastgood::Vault::builder().database(&url);
    failed(&fresh(plain().passphrase("secret")).doctor().await, "key", "passphrase");
    failed(&fresh(plain()).doctor().await, "key", "no key was given");
    found(&fresh(plain().unencrypted()).doctor().await, "key", CheckStatus::Warn, "not be encrypted");

    world.vault(&url).await.backup().await.unwrap();
    let there = || plain().store(world.store().display().to_string());
    failed(&there().passphrase(STRONG).doctor().await, "key", "key");
    found(&there().passphrase(STRONG).doctor().await, "last_backup", CheckStatus::Warn, "not checked");
    failed(&there().doctor().await, "key", "BACKUP_ENCRYPTION_KEY");
    let report = world.builder(&url).doctor().await;
    found(&report, "key", CheckStatus::Pass, "the key opens the store");
    found(&report, "last_proof", CheckStatus::Warn, "drill");

    std::fs::create_dir(world.path("foreign")).unwrap();
    std::fs::write(world.path("foreign/letter.txt"), "dear diary").unwrap();
    let foreign = world.builder(&url).store(world.path("foreign").display().to_string());
    failed(&foreign.doctor().await, "key", "letter.txt");
    assert_eq!(files(&world.path("foreign")).len(), 1);
}

/// Each call to the store in turn fails, or never answers; by paused time that takes no time.
#[tokio::test(start_paused = true)]
async fn whatever_the_store_does_the_report_comes_and_tells() {
    let world = World::new();
    let url = world.make("small.db", SMALL);
    let store = FaultyStore::new(Arc::new(InMemory::new()));
    let shared = || -> Arc<dyn ObjectStore> { Arc::new(store.clone()) };
    let vault = world.builder(&url).object_store(shared()).open().await.unwrap();
    vault.run_due().await.unwrap();
    store.heal();
    // All is well but for the file's journal.
    let whole = world.builder(&url).object_store(shared()).doctor().await;
    let store_checks = |report: &DoctorReport| {
        let not = ["settings", "database", "journal", "tables", "work_dir", "integrity", "schedule"];
        report.checks.iter().filter(|c| !not.contains(&c.name.as_str())).cloned().collect::<Vec<_>>()
    };
    assert!(store_checks(&whole).iter().all(|c| c.status == CheckStatus::Pass), "{whole:#?}");
    let calls = store.calls().len();
    assert!(calls > 8, "{calls}");
    for n in 1..=calls {
        for fault in [Fault::Error, Fault::Hang, Fault::Cut] {
            store.fail_call(n, fault);
            let report = world.builder(&url).object_store(shared()).doctor().await;
            store.assert_hit();
            assert_eq!(store_checks(&report).len(), store_checks(&whole).len(), "call {n}, {fault:?}: {report:#?}");
            // A write whose answer was lost, or a proof that cannot be read, may leave everything as it should be.
            if fault == Fault::Cut && n < calls {
                assert_ne!(report.status, CheckStatus::Pass, "call {n}: {report:#?}");
            }
        }
    }
}

/// A store that breaks a promise without an error.
#[derive(Debug)]
struct Careless {
    inner: InMemory,
    overwrites: bool,
    lists_late: bool,
}

impl std::fmt::Display for Careless {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Careless")
    }
}

#[async_trait]
impl ObjectStore for Careless {
    async fn put_opts(&self, path: &Path, payload: PutPayload, mut options: PutOptions) -> StoreResult<PutResult> {
        if self.overwrites {
            options.mode = PutMode::Overwrite;
        }
        self.inner.put_opts(path, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> StoreResult<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> StoreResult<GetResult> {
        self.inner.get_opts(path, options).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, StoreResult<Path>>) -> BoxStream<'static, StoreResult<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        if self.lists_late { futures::stream::empty().boxed() } else { self.inner.list(prefix) }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> StoreResult<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> StoreResult<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

#[tokio::test]
async fn a_store_that_breaks_a_promise_without_an_error_is_told() {
    let world = World::new();
    let url = world.make("small.db", SMALL);
    for (overwrites, lists_late, name, thing) in [
        (true, false, "store_create_only", "overwrite each other's backup"),
        (false, true, "store_list", "might not be found"),
    ] {
        let store = Careless { inner: InMemory::new(), overwrites, lists_late };
        failed(&world.builder(&url).object_store(Arc::new(store)).doctor().await, name, thing);
    }
}

#[tokio::test]
async fn sqlite_files_are_looked_at() {
    let world = World::new();
    let good = world.make("good.db", &format!("PRAGMA journal_mode = WAL; {SMALL}"));
    let report = examine(&world, &good).await;
    for name in ["database", "journal", "work_dir", "integrity"] {
        assert_eq!(check(&report, name).status, CheckStatus::Pass, "{report:#?}");
    }
    found(&examine(&world, &world.make("old.db", SMALL)).await, "journal", CheckStatus::Warn, "journal_mode = WAL");
    failed(&examine(&world, &world.sqlite("absent.db")).await, "database", "absent.db");
    world.file("text.db", &"no database at all, but long enough for a header ".repeat(10));
    failed(&examine(&world, &world.sqlite("text.db")).await, "database", "not an SQLite database");

    world.make("torn.db", &format!("{SMALL} CREATE TABLE pad AS SELECT hex(randomblob(3000)) AS x FROM visit;"));
    let mut bytes = std::fs::read(world.path("torn.db")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 8192].fill(0x5a);
    std::fs::write(world.path("torn.db"), bytes).unwrap();
    failed(&examine(&world, &world.sqlite("torn.db")).await, "integrity", "damaged");

    let mut settings = Settings::default();
    settings.work_dir = Some(world.path("nowhere"));
    failed(&world.builder(&good).settings(settings).doctor().await, "work_dir", "nowhere");
}

#[tokio::test]
async fn a_backup_whose_proof_failed_is_told() {
    let world = World::new();
    let url = world.make("small.db", SMALL);
    let vault = world.vault(&url).await;
    vault.backup().await.unwrap();
    vault.verify("latest").await.unwrap();
    found(&vault.doctor().await.unwrap(), "last_proof", CheckStatus::Warn, "verified");
    vault.drill("latest").query("SELECT 0").await.unwrap_err();
    let report = vault.doctor().await.unwrap();
    failed(&report, "last_proof", "failed");
}

/// Twelve set-ups, each with one thing wrong: the doctor fails by the check of that thing, and says what it is.
#[tokio::test(flavor = "multi_thread")]
async fn twelve_broken_set_ups_are_told_by_their_cause() {
    let world = World::new();
    let url = world.make("shop.db", &format!("PRAGMA journal_mode = WAL; {SMALL}"));
    let vault = world.vault(&url).await;
    vault.run_due().await.unwrap();
    let sound = world.builder(&url).doctor().await;
    assert_eq!(sound.status, CheckStatus::Pass, "{sound:#?}");
    let with = |file: &str| world.builder(&world.sqlite(file)).name("shop");
    let elsewhere = |store: String| world.builder(&url).store(store);
    std::fs::create_dir(world.path("foreign")).unwrap();
    std::fs::write(world.path("foreign/letter.txt"), "dear diary").unwrap();
    world.file("text.db", &"no database at all, but long enough for a header ".repeat(10));
    let mut nowhere = Settings::default();
    nowhere.work_dir = Some(world.path("nowhere"));
    let mut no_jobs = Settings::default();
    no_jobs.jobs = 0;
    let skewed = |by: SignedDuration| {
        let clock = ManualClock::at("2026-01-01T00:00:00Z");
        clock.advance(jiff::Timestamp::now().duration_since("2026-01-01T00:00:00Z".parse().unwrap()) + by);
        world.builder(&url).clock(Arc::new(clock))
    };
    let requiring = |table: &str, index: &str| {
        let mut options = lastgood::Doctor::default();
        (options.tables, options.indexes) = (vec!["person".into(), table.into()], vec![index.into()]);
        world.builder(&url).doctor_for(options)
    };
    let careless = |overwrites, lists_late| {
        let store = Careless { inner: InMemory::new(), overwrites, lists_late };
        world.builder(&url).object_store(Arc::new(store))
    };
    failed(&with("gone.db").doctor().await, "database", "gone.db");
    failed(&with("text.db").doctor().await, "database", "not an SQLite database");
    failed(&elsewhere("ftp://host/x".into()).doctor().await, "settings", "ftp");
    failed(&elsewhere(world.path("shop.db").display().to_string()).doctor().await, "store", "not a folder");
    failed(&elsewhere(world.path("foreign").display().to_string()).doctor().await, "key", "letter.txt");
    let other_key = lastgood::Vault::builder().database(&url).store(world.store().display().to_string());
    failed(&other_key.passphrase(STRONG).doctor().await, "key", "key");
    failed(&world.builder(&url).settings(nowhere).doctor().await, "work_dir", "nowhere");
    failed(&world.builder(&url).settings(no_jobs).doctor().await, "settings", "jobs");
    failed(&careless(true, false).doctor().await, "store_create_only", "overwrite each other's backup");
    failed(&careless(false, true).doctor().await, "store_list", "might not be found");
    failed(&skewed(SignedDuration::from_mins(20)).doctor().await, "store_clock", "ahead of the store's");
    failed(&skewed(SignedDuration::from_mins(-20)).doctor().await, "store_clock", "behind the store's");
    failed(&requiring("invoice", "visit_at").await, "required", "table invoice");
    failed(&requiring("visit", "visit_by").await, "required", "index visit_by");
    let mut plan = lastgood::Plan::default();
    plan.drill_queries = vec!["SELECT 0".to_owned()];
    plan.drill = Some("* * * * * *".to_owned());
    vault.run_due().plan(plan).await.unwrap();
    let report = world.builder(&url).doctor().await;
    failed(&report, "schedule", "the newest drill failed [drill_mismatch]");
    failed(&report, "last_proof", "failed");
}

#[test]
fn a_pipeline_is_told_by_exit_code_and_json() {
    let world = World::new();
    let url = world.make("shop.db", SMALL);
    world.run(&["run-due", "--database", &url, "--quiet"]);
    let doctor = |more: &[&str]| {
        let output = world.command(&[&["doctor", "--json", "--database", &url], more].concat()).output().unwrap();
        (output.status.code().unwrap(), serde_json::from_slice::<DoctorReport>(&output.stdout).unwrap())
    };
    let (code, report) = doctor(&["--table", "person", "--index", "visit_at"]);
    assert_eq!((code, report.status), (0, CheckStatus::Warn), "the file has no write-ahead log: {report:#?}");
    assert_eq!(check(&report, "required").status, CheckStatus::Pass);
    assert_eq!(doctor(&["--strict"]).0, 8);
    let (code, report) = doctor(&["--table", "invoice"]);
    assert_eq!((code, report.status), (8, CheckStatus::Fail));
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_and_indexes_that_are_required_are_looked_for_in_postgres() {
    let Some(server) = Postgres::shared(PgVersion::V15) else { return };
    server.create("doctor_required");
    server.psql(
        "doctor_required",
        "CREATE TABLE t (id int); CREATE SCHEMA \"Sales\"; CREATE TABLE \"Sales\".\"Order\" (id int);
         CREATE INDEX fine ON t (id); CREATE INDEX broken ON t (id);
         UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'broken'::regclass",
    );
    let world = World::new();
    let mut options = lastgood::Doctor::default();
    options.tables = ["t", "public.t", "Sales.Order", "Order", "it's"].map(String::from).to_vec();
    options.indexes = ["fine", "broken"].map(String::from).to_vec();
    let report = world.builder(&server.url("doctor_required")).doctor_for(options).await;
    failed(&report, "required", "not there: table it's, index broken");
    assert_eq!(check(&report, "database_clock").status, CheckStatus::Pass);
    server.drop("doctor_required");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_without_versions_is_told() {
    let Some(server) = SeaweedFs::shared() else { return };
    let world = World::new();
    let builder = world.builder(&world.make("shop.db", SMALL)).store(format!("{}/p", server.bucket("doctor")));
    let builder = server.env().into_iter().fold(builder, |b, (name, value)| b.store_option(name.to_lowercase(), value));
    let report = builder.doctor().await;
    found(&report, "store_versions", CheckStatus::Warn, "turn versioning on");
    for name in ["store_create_only", "store_multipart", "store_clock", "store_delete"] {
        assert_eq!(check(&report, name).status, CheckStatus::Pass, "{report:#?}");
    }
}
