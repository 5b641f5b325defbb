//! What cannot work is refused under a code of its own, names the thing and the next step, and leaves source, target
//! and store as they were.

use std::process::Command;

use lastgood::{Code, Vault};
use serde_json::Value;
use testkit::{PgVersion, Postgres, SeaweedFs, each_server, each_server_and_mongodb, tool};

use crate::world::{PASSPHRASE, SMALL, World, files, must_fail, refusal, sqlite_dump};

/// A small database with one backup of it.
async fn backed_up() -> (World, Vault) {
    let world = World::new();
    let url = world.make("small.db", SMALL);
    let vault = world.vault(&url).await;
    vault.backup().await.unwrap();
    (world, vault)
}

/// The store's folder of the one backup.
fn backup_folder(world: &World) -> std::path::PathBuf {
    let folders = std::fs::read_dir(world.store().join("small")).unwrap().flatten();
    folders.map(|e| e.path()).find(|path| path.join("manifest.json").exists()).unwrap()
}

/// Restores and verifies, and sees that both refuse with this code, and that nothing but a proof changed.
async fn both_refuse(world: &World, code: Code, thing: &str) {
    let without_proofs = || {
        let mut stored = world.stored();
        stored.retain(|name, _| !name.contains("/proof-"));
        stored
    };
    let (source, stored) = (sqlite_dump(&world.path("small.db")), without_proofs());
    let vault = world.vault(&world.sqlite("small.db")).await;
    must_fail(vault.restore("latest").target(world.sqlite("new.db")).await, code, thing);
    must_fail(vault.verify("latest").await, code, thing);
    assert!(!world.path("new.db").exists(), "a refused restore made its target");
    assert_eq!(sqlite_dump(&world.path("small.db")), source);
    assert!(without_proofs() == stored, "the store was changed");
}

#[tokio::test]
async fn a_wrong_key() {
    let (world, _) = backed_up().await;
    let stored = world.stored();
    let wrong = Vault::builder()
        .database(world.sqlite("small.db"))
        .store(world.store().display().to_string())
        .passphrase("quite another passphrase that opens nothing here");
    must_fail(wrong.open().await, Code::WrongKey, "store");
    let none = Vault::builder().database(world.sqlite("small.db")).store(world.store().display().to_string());
    let none = none.open().await.unwrap();
    must_fail(none.restore("latest").target(world.sqlite("new.db")).await, Code::KeyRequired, "key");
    must_fail(none.backup().await, Code::KeyRequired, "key");
    assert!(world.stored() == stored);
}

#[tokio::test]
async fn a_weak_passphrase() {
    let world = World::new();
    let url = world.make("small.db", SMALL);
    for weak in ["short", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", ""] {
        let builder = Vault::builder().database(&url).store(world.store().display().to_string()).passphrase(weak);
        let result = match builder.open().await {
            Ok(vault) => vault.backup().await.map(drop),
            Err(e) => Err(e),
        };
        let error = result.unwrap_err();
        assert!(weak.is_empty() || !error.to_string().contains(weak), "{error}");
        must_fail::<()>(Err(error), Code::WeakPassphrase, "passphrase");
    }
    assert!(world.stored().is_empty());
}

#[tokio::test]
async fn a_truncated_a_flipped_and_a_missing_volume() {
    let (world, _) = backed_up().await;
    let path = backup_folder(&world).join("volume-0001.zip.enc");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    both_refuse(&world, Code::Damaged, "volume-0001.zip.enc").await;
    let mut flipped = whole.clone();
    flipped[whole.len() / 3] ^= 1;
    std::fs::write(&path, &flipped).unwrap();
    both_refuse(&world, Code::Damaged, "volume-0001.zip.enc").await;
    std::fs::remove_file(&path).unwrap();
    both_refuse(&world, Code::ObjectMissing, "volume-0001.zip.enc").await;
}

#[tokio::test]
async fn a_missing_key_file() {
    let (world, _) = backed_up().await;
    std::fs::remove_file(backup_folder(&world).join("key-0001.age")).unwrap();
    both_refuse(&world, Code::ObjectMissing, "key").await;
}

#[tokio::test]
async fn a_manifest_and_a_store_of_a_newer_format() {
    let (world, vault) = backed_up().await;
    let path = backup_folder(&world).join("manifest.json");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains("\"format\":1"), "{text}");
    std::fs::write(&path, text.replacen("\"format\":1", "\"format\":2", 1)).unwrap();
    both_refuse(&world, Code::NewerFormat, "2").await;
    drop(vault);

    let marker = world.store().join("lastgood.json");
    let text = std::fs::read_to_string(&marker).unwrap();
    let mut json: Value = serde_json::from_str(&text).unwrap();
    json["lastgood"] = 2.into();
    std::fs::write(&marker, json.to_string()).unwrap();
    let stored = world.stored();
    must_fail(world.builder(&world.sqlite("small.db")).open().await, Code::NewerFormat, "2");
    assert!(world.stored() == stored);
}

#[tokio::test]
async fn a_folder_that_is_not_a_store() {
    let world = World::new();
    let url = world.make("small.db", SMALL);
    std::fs::create_dir_all(world.store()).unwrap();
    std::fs::write(world.store().join("holiday.jpg"), "not a backup").unwrap();
    let result = match world.builder(&url).open().await {
        Ok(vault) => vault.backup().await.map(drop),
        Err(e) => Err(e),
    };
    must_fail(result, Code::NotAStore, "store");
    assert_eq!(files(&world.store()).keys().collect::<Vec<_>>(), ["holiday.jpg"]);
    std::fs::write(world.store().join("lastgood.json"), "{\"name\": \"somebody else's file\"}").unwrap();
    let error = world.builder(&url).open().await.unwrap_err();
    assert!([Code::NotAStore, Code::Damaged].contains(&error.code()), "{error}");
}

#[tokio::test]
async fn a_sqlite_target_that_is_there_already() {
    let (world, vault) = backed_up().await;
    world.make("taken.db", "CREATE TABLE precious (a); INSERT INTO precious VALUES (1);");
    let before = sqlite_dump(&world.path("taken.db"));
    must_fail(vault.restore("latest").target(world.sqlite("taken.db")).await, Code::TargetNotEmpty, "taken.db");
    assert_eq!(sqlite_dump(&world.path("taken.db")), before);
    let source = sqlite_dump(&world.path("small.db"));
    must_fail(vault.restore("latest").target(world.sqlite("small.db")).await, Code::TargetNotEmpty, "small.db");
    assert_eq!(sqlite_dump(&world.path("small.db")), source);
    vault.restore("latest").target(world.sqlite("taken.db")).overwrite().await.unwrap();
    assert_eq!(sqlite_dump(&world.path("taken.db")), source);
}

#[tokio::test]
async fn a_sqlite_file_that_is_not_there_or_not_a_database() {
    let world = World::new();
    let missing = world.vault(&world.sqlite("none.db")).await;
    must_fail(missing.backup().await, Code::DatabaseNotFound, "none.db");
    assert!(!world.path("none.db").exists(), "asking for a database made it");
    world.file("text.db", &"just some text\n".repeat(1000));
    let error = world.vault(&world.sqlite("text.db")).await.backup().await.unwrap_err();
    assert!(error.to_string().contains("text.db"), "{error}");
    assert!(
        world.vault(&world.sqlite("text.db")).await.list().await.is_ok_and(|l| l.is_empty())
            || world.stored().is_empty()
    );
}

#[tokio::test]
async fn a_backup_that_is_not_there_and_a_prefix_that_fits_two() {
    let (_world, vault) = backed_up().await;
    vault.backup().await.unwrap();
    must_fail(vault.verify("backup-19991231").await, Code::BackupNotFound, "backup-19991231");
    must_fail(vault.verify("backup-2").await, Code::BackupAmbiguous, "backup-2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_target_that_is_not_empty() {
    let (source, taken) = ("bad_source", "bad_taken");
    let table = "CREATE TABLE precious (a int); INSERT INTO precious VALUES (1)";
    let view = "CREATE VIEW v AS SELECT 1 AS a";
    let (rows, something) =
        ("CREATE TABLE t (a int); INSERT INTO t VALUES (1), (2)", |function| [table, view, function]);
    let postgres = (rows, something("CREATE FUNCTION f() RETURNS int RETURN 1"));
    let mariadb = (rows, something("CREATE FUNCTION f() RETURNS int NO SQL RETURN 1"));
    let mongodb = (
        r#"[{"fill": "t", "n": 2}]"#,
        [
            r#"[{"fill": "precious", "n": 1}]"#,
            r#"[{"create": "v", "viewOn": "t", "pipeline": []}]"#,
            r#"[{"insert": "system.js", "documents": [{"_id": "f", "value": "1"}]}]"#,
        ],
    );
    for (server, (rows, something)) in each_server_and_mongodb(postgres, mariadb, mongodb) {
        let world = World::new();
        server.create(source);
        server.run(source, rows);
        let vault = world.vault(&server.url(source)).await;
        vault.backup().await.unwrap();
        for sql in something {
            server.create(taken);
            server.run(taken, sql);
            let before = (server.schema(taken), server.content(taken));
            must_fail(vault.restore("latest").target(server.url(taken)).await, Code::TargetNotEmpty, taken);
            assert_eq!((server.schema(taken), server.content(taken)), before, "{}: {sql}", server.what());
        }
        server.drop(taken);
        server.drop(source);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_role_and_a_missing_extension() {
    // The target is another server: roles belong to a server, and its packages decide on extensions.
    let (Some(old), Some(new)) = (Postgres::shared(PgVersion::V15), Postgres::shared(PgVersion::V18)) else { return };
    let world = World::new();
    old.create("bad_role");
    old.psql("bad_role", "CREATE ROLE bad_owner; CREATE TABLE t (a int); ALTER TABLE t OWNER TO bad_owner");
    let vault = world.vault(&old.url("bad_role")).await;
    vault.backup().await.unwrap();
    new.drop("bad_role");
    must_fail(vault.restore("latest").target(new.url("bad_role")).await, Code::MissingRole, "bad_owner");
    assert!(!new.exists("bad_role"), "a refused restore made its target");
    vault.restore("latest").target(new.url("bad_role")).no_owner().await.unwrap();
    new.drop("bad_role");
    old.psql("bad_role", "DROP TABLE t; DROP ROLE bad_owner");
    old.drop("bad_role");

    // An extension of one's own: two files in the server's folder would be needed at the target.
    let available = |server: &Postgres| -> Vec<String> {
        let names = server.psql("postgres", "SELECT name FROM pg_available_extensions ORDER BY 1");
        names.lines().map(str::to_owned).collect()
    };
    let only_old: Vec<String> = available(old).into_iter().filter(|e| !available(new).contains(e)).collect();
    let Some(extension) =
        ["citext", "hstore", "pg_trgm", "adminpack", "old_snapshot"].iter().find(|e| only_old.iter().any(|o| o == *e))
    else {
        panic!("every extension of 15 is in 18 as well: {only_old:?}");
    };
    old.create("bad_extension");
    old.psql("bad_extension", &format!("CREATE EXTENSION {extension}; CREATE TABLE t (a int)"));
    let vault = World::vault(&world, &old.url("bad_extension")).await;
    vault.backup().await.unwrap();
    new.drop("bad_extension");
    must_fail(vault.restore("latest").target(new.url("bad_extension")).await, Code::MissingExtension, extension);
    assert!(!new.exists("bad_extension"), "a refused restore made its target");
    old.drop("bad_extension");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_server_that_is_gone_or_refuses() {
    let mongodb = ("mongodb", "any", "?serverSelectionTimeoutMS=300");
    for (server, (scheme, any, soon)) in
        each_server_and_mongodb(("postgres", "postgres", ""), ("mysql", "mysql", ""), mongodb)
    {
        let world = World::new();
        // Nobody listens on port 1.
        let gone = world.vault(&format!("{scheme}://app:hunter2hunter2@127.0.0.1:1/shop{soon}")).await;
        let error = gone.backup().await.unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
        must_fail::<()>(Err(error), Code::DatabaseUnavailable, "127.0.0.1");

        let wrong = server.url(any).replace(server.password(), "hunter2hunter2");
        let error = world.vault(&wrong).await.backup().await.unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
        must_fail::<()>(Err(error), Code::DatabaseDenied, "127.0.0.1");

        server.drop("bad_nowhere");
        let nowhere = world.vault(&server.url("bad_nowhere")).await;
        must_fail(nowhere.backup().await, Code::DatabaseNotFound, "bad_nowhere");
        assert!(!server.databases().contains(&"bad_nowhere".to_owned()));
        let listed = nowhere.list().await;
        assert!(listed.as_ref().map_or(true, Vec::is_empty), "a failed backup is listed: {listed:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_server_that_is_gone_or_refuses() {
    let world = World::new();
    let url = world.make("small.db", SMALL);
    let open = async |endpoint: String, bucket: String, secret: &str| -> lastgood::Result<()> {
        let vault = Vault::builder()
            .database(&url)
            .store(bucket)
            .store_option("aws_endpoint_url", endpoint)
            .store_option("aws_access_key_id", SeaweedFs::KEY_ID)
            .store_option("aws_secret_access_key", secret)
            .store_option("aws_region", SeaweedFs::REGION)
            .passphrase(PASSPHRASE)
            .work_factor(4)
            .open()
            .await?;
        vault.backup().await.map(drop)
    };
    let Some(server) = SeaweedFs::shared() else { return };
    let bucket = server.bucket("refusing");
    let denied = open(server.endpoint(), bucket.clone(), "hunter2hunter2").await.unwrap_err();
    assert!(!denied.to_string().contains("hunter2"), "{denied}");
    must_fail::<()>(Err(denied), Code::StoreDenied, "store");
    must_fail(
        open(server.endpoint(), "s3://no-such-bucket".to_owned(), SeaweedFs::SECRET).await,
        Code::StoreNotFound,
        "bucket",
    );
    open(server.endpoint(), bucket, SeaweedFs::SECRET).await.unwrap();
}

/// Only root may mount the small disk that this fills.
#[test]
fn a_full_disk() {
    let world = World::new();
    let disk = world.path("disk");
    std::fs::create_dir(&disk).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"]).arg(&disk).output();
    if !mounted.is_ok_and(|output| output.status.success()) {
        testkit::skip("mounting a small disk is not allowed here");
        return;
    }
    let disk = Mounted(disk);
    let url = world.make("large.db", "CREATE TABLE t (a); INSERT INTO t VALUES (randomblob(4000000));");
    let before = sqlite_dump(&world.path("large.db"));
    let key = world.file("key", PASSPHRASE);
    let mut backup = crate::world::bare_command();
    backup.args(["backup", "--database", &url, "--key-file", &key, "--store"]).arg(disk.0.join("store"));
    let (exit, told) = refusal(&mut backup);
    assert_eq!((exit, told["code"].as_str()), (8, Some("disk_full")), "{told}");
    assert!(told["next"].is_string(), "{told}");
    assert_eq!(sqlite_dump(&world.path("large.db")), before);
    let listed = tool(
        crate::world::bare_command()
            .args(["list", "--json", "--name", "large", "--key-file", &key, "--store"])
            .arg(disk.0.join("store")),
    );
    assert_eq!(listed.trim(), "[]", "what did not fit is listed");

    // A target on a full disk: the file does not appear.
    world.run(&["backup", "--database", &url]);
    let target = format!("sqlite:{}", disk.0.join("restored.db").display());
    let (_, told) = refusal(&mut world.command(&["restore", "latest", "--database", &url, "--target", &target]));
    assert_eq!(told["code"], "disk_full", "{told}");
    assert!(!disk.0.join("restored.db").exists());
    assert!(files(&disk.0).keys().all(|name| name.starts_with("store/")), "{:?}", files(&disk.0).keys());
}

struct Mounted(std::path::PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_whose_schema_changes_without_pause() {
    let Some(server) = Postgres::shared(PgVersion::V15) else { return };
    server.create("bad_changing");
    server.psql(
        "bad_changing",
        "SET client_min_messages = error; CREATE TABLE t AS SELECT generate_series(1, 1000) i;
         CREATE PROCEDURE migrate() LANGUAGE plpgsql AS $$ DECLARE n int := 10; BEGIN LOOP n := n + 1;
             EXECUTE format('CREATE TABLE t_%s (a int)', n); EXECUTE format('DROP TABLE IF EXISTS t_%s', n - 5);
             EXECUTE format('CREATE OR REPLACE VIEW v AS SELECT %s AS n', n); COMMIT; END LOOP; END $$",
    );
    let world = World::new();
    let vault = world.vault(&server.url("bad_changing")).await;
    let first = vault.backup().await.unwrap().id;
    let before = world.stored();
    let mut migration =
        server.client("psql").args(["-Xq", "-d", "bad_changing", "-c", "CALL migrate()"]).spawn().unwrap();
    testkit::wait_until("the migration", || {
        !server.psql("bad_changing", "SELECT 1 FROM pg_views WHERE viewname = 'v'").is_empty()
    });
    let mut refused = 0;
    for _ in 0..5 {
        match vault.backup().await {
            // The snapshot fell between two steps of the migration.
            Ok(report) => drop(vault.drill(&report.id).await.unwrap()),
            Err(e) => {
                refused += 1;
                must_fail::<()>(Err(e), Code::DatabaseChanged, "");
            }
        }
    }
    migration.kill().unwrap();
    migration.wait().unwrap();
    assert_eq!(vault.list().await.unwrap().len(), 6 - refused, "a torn backup is listed");
    let left = world.stored();
    assert!(before.iter().all(|(name, bytes)| left.get(name) == Some(bytes)), "{first} was touched");
    server.drop("bad_changing");
}

/// What befalls a database the moment its rows are being read.
async fn while_dumping(
    database: &str,
    vault: &Vault,
    act: impl Fn() + Send + Sync + 'static,
) -> lastgood::Result<lastgood::BackupReport> {
    let (once, acted) = (std::sync::Once::new(), std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false)));
    let told = std::sync::Arc::clone(&acted);
    let backup = vault.backup().on_progress(move |p| {
        if p.phase == lastgood::Phase::Dumping {
            once.call_once(|| {
                act();
                told.store(true, std::sync::atomic::Ordering::SeqCst);
            });
        }
    });
    let result = backup.await;
    assert!(acted.load(std::sync::atomic::Ordering::SeqCst), "{database} was left alone");
    result
}

const ROWS: [&str; 2] = [
    "CREATE TABLE t AS SELECT i, repeat(md5(i::text), 20) AS pad FROM generate_series(1, 40000) i",
    "CREATE TABLE t AS SELECT seq AS i, REPEAT(MD5(seq), 20) AS pad FROM seq_1_to_40000",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_altered_or_emptied_under_the_dump() {
    for (server, rows) in each_server(ROWS[0], ROWS[1]) {
        server.create("bad_altered");
        server.run("bad_altered", rows);
        let world = World::new();
        let vault = world.vault(&server.url("bad_altered")).await;
        let report = while_dumping("bad_altered", &vault, || {
            for sql in ["ALTER TABLE t DROP COLUMN pad", "TRUNCATE TABLE t", "DROP TABLE t"] {
                assert!(!server.succeeds("bad_altered", sql), "{}: `{sql}` was not locked out", server.what());
            }
            // Rows may change as they like: the snapshot does not see it.
            server.run("bad_altered", "DELETE FROM t; INSERT INTO t VALUES (1, 'later')");
        });
        assert_eq!(report.await.unwrap().rows, 40_000);
        vault.drill("latest").await.unwrap();
        server.drop("bad_altered");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_under_the_dump() {
    for (server, rows) in each_server(ROWS[0], ROWS[1]) {
        server.create("bad_broken");
        server.run("bad_broken", rows);
        let world = World::new();
        let vault = world.vault(&server.url("bad_broken")).await;
        let result = while_dumping("bad_broken", &vault, || server.end_sessions("bad_broken"));
        must_fail(result.await, Code::DatabaseUnavailable, "");
        assert!(vault.list().await.unwrap().is_empty(), "a torn backup is listed");
        server.drop("bad_broken");
    }
}
