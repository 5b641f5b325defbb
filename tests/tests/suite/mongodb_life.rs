//! The whole life of a MongoDB backup: made, drilled, restored, exported, and read by somebody else's BSON.

use lastgood::{Code, Codec, ExportFormat, Settings};
use testkit::{Mongodb, wait_until};

use crate::world::{World, answer, must_fail};

/// Parts so small that collections of tests have several.
fn small_parts() -> Settings {
    let mut settings = Settings::default();
    settings.part_bytes = 64 << 10;
    settings
}

#[tokio::test]
async fn every_type_option_and_index_comes_back() {
    let Some(server) = Mongodb::shared() else { return };
    let (source, copy) = (server.database("every"), server.database("copy"));
    source.python("fill.py", &[]);
    let world = World::new();
    let vault = world.builder(&source.url()).settings(small_parts()).open().await.unwrap();
    let backup = vault.backup().await.unwrap();
    let shown = vault.show("latest").await.unwrap();
    assert!(shown.warning_list.is_empty(), "{:?}", shown.warning_list);
    if server.is_mongod() {
        assert_eq!(shown.point.kind, "cluster_time");
    }
    let drilled = vault.drill(&backup.id).query(r#"{"count": "orders"}"#).await.unwrap();
    assert_eq!((drilled.rows, drilled.warnings.len()), (backup.rows, 0));
    vault.restore(&backup.id).target(copy.url()).await.unwrap();
    source.python("compare.py", &[&copy.name]);

    // The folder, as PyMongo's own BSON reads it.
    vault.export(&backup.id).folder(world.path("dump")).await.unwrap();
    source.python("check_dump.py", &[&world.path("dump").display().to_string()]);
    // The archive of old runbooks.
    vault.export(&backup.id).folder(world.path("old")).format(ExportFormat::Classic).plain().await.unwrap();
    let archive = world.path("old").join(format!("{}.dump.gz", backup.id));
    source.python("check_archive.py", &[&archive.display().to_string()]);
}

#[tokio::test]
async fn sakila_lives_on_the_command_line() {
    let (Some(server), Some(data)) = (Mongodb::shared(), testkit::sample_data()) else { return };
    let (source, copy) = (server.database("sakila"), server.database("sakila_copy"));
    let script = data.join("sakila/sakila-postgres-data.sql");
    let rows: u64 = source.python("sakila.py", &[&script.display().to_string()]).trim().parse().unwrap();
    let world = World::new();
    let (url, target) = (source.url(), copy.url());
    let run = |arguments: &[&str]| answer(world.command(arguments).env("DATABASE_URL", &url));
    let backup = run(&["backup"]);
    assert_eq!(backup["rows"], rows);
    assert_eq!(run(&["verify", "latest"])["id"], backup["id"]);
    assert_eq!(
        run(&["drill", "latest", "--query", r#"{"find": "film", "filter": {"length": {"$gt": 180}}}"#])["rows"],
        rows
    );
    run(&["restore", "latest", "--target", &target]);
    source.python("compare.py", &[&copy.name]);
    // Which gives a busy server a few seconds only.
    wait_until("health", || world.command(&["health"]).env("DATABASE_URL", &url).output().unwrap().status.success());
    let stats = run(&["database-stats"]);
    assert_eq!(stats["engine"], "mongodb");
    assert!(stats["largest_tables"].as_array().is_some_and(|tables| !tables.is_empty()), "{stats}");
    let doctor = run(&["doctor"]);
    let names: Vec<_> = doctor["checks"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    for name in ["database", "tls", "consistency", "privileges", "collections", "objects"] {
        assert!(names.contains(&name), "{names:?}");
    }
}

#[tokio::test]
async fn the_largest_documents_and_the_smallest_parts_come_back() {
    let Some(server) = Mongodb::shared() else { return };
    let (source, copy) = (server.database("large"), server.database("large_copy"));
    source.python("fill.py", &["large"]);
    let world = World::new();
    let mut settings = small_parts();
    (settings.codec, settings.jobs) = (Codec::Gzip, 4);
    let vault = world.builder(&source.url()).settings(settings).open().await.unwrap();
    let backup = vault.backup().await.unwrap();
    vault.restore(&backup.id).target(copy.url()).await.unwrap();
    source.python("compare.py", &[&copy.name]);
}

#[tokio::test]
async fn a_part_of_a_backup_is_restored_and_what_is_there_is_not_touched() {
    let Some(server) = Mongodb::shared() else { return };
    let (source, copy) = (server.database("part"), server.database("part_copy"));
    source.python("fill.py", &[]);
    let world = World::new();
    let vault = world.vault(&source.url()).await;
    let backup = vault.backup().exclude_data("capped").exclude_table("mixed*").await.unwrap();
    vault.restore(&backup.id).target(copy.url()).table("orders").table("*view").await.unwrap();
    let listed = copy.python("names.py", &[]);
    assert_eq!(listed.trim(), "a view:0 b view:0 orders:1500");
    must_fail(vault.restore(&backup.id).target(copy.url()).await, Code::TargetNotEmpty, &copy.name);
    must_fail(vault.restore(&backup.id).target(copy.url()).overwrite().await, Code::TargetNotEmpty, "view");
    must_fail(
        vault.restore(&backup.id).target(copy.url()).table("mixed_ids").overwrite().await,
        Code::NothingSelected,
        "mixed_ids",
    );
    vault.restore(&backup.id).target(copy.url()).clean().await.unwrap();
    let without = ["capped", "mixed_ids"];
    source.python("compare.py", &[&copy.name, without[0], without[1]]);
    assert!(copy.python("names.py", &[]).contains("capped:0"), "its rows were left out");
}

#[tokio::test]
async fn all_databases_are_one_backup() {
    // Of a server of its own: others' databases come and go on the shared one.
    let Some(server) = Mongodb::with(&[]) else { return };
    for name in ["shop", "crm"] {
        server.python("bench.py", &[name, "fill", "300"]);
    }
    let world = World::new();
    let vault = world.vault(&server.url("")).await;
    let backup = vault.backup().await.unwrap();
    assert_eq!(vault.drill(&backup.id).await.unwrap().rows, backup.rows);
    must_fail(vault.restore(&backup.id).target(server.url("both")).await, Code::InvalidOption, "crm, shop");
    vault.restore(&backup.id).target(server.url("one")).schema("shop").await.unwrap();
    server.python("compare.py", &["shop", "one"]);
    vault
        .restore(&backup.id)
        .target(server.url(""))
        .map_schema("shop", "shop2")
        .map_schema("crm", "crm2")
        .await
        .unwrap();
    server.python("compare.py", &["shop", "shop2"]);
    server.python("compare.py", &["crm", "crm2"]);
    let left = server.python("names.py", &["", "lastgood_drill"]);
    assert_eq!(left.trim(), "", "the drill's databases are gone");
}

#[tokio::test]
async fn dumps_of_mongodump_are_restored_and_verified() {
    let Some(server) = Mongodb::shared() else { return };
    let source = server.database("old");
    source.python("fill.py", &[]);
    let world = World::new();
    source.python("write_archive.py", &[&world.path("old").display().to_string()]);
    let vault = world.vault(&source.url()).await;
    for name in ["plain", "packed", "plain/shop", "packed/shop", "shop.archive", "shop.archive.gz"] {
        let path = world.path("old").join(name).display().to_string();
        vault.verify(&path).await.unwrap();
        let copy = server.database("old_copy");
        vault.restore(&path).target(copy.url()).await.unwrap();
        source.python("compare.py", &[&copy.name]);
    }
    // An archive that was cut off or changed restores nothing, and says so.
    let whole = std::fs::read(world.path("old").join("shop.archive")).unwrap();
    let copy = server.database("old_cut");
    for (name, bytes) in [("cut.archive", &whole[..whole.len() / 2]), ("flipped.archive", &flipped(&whole)[..])] {
        std::fs::write(world.path("old").join(name), bytes).unwrap();
        let path = world.path("old").join(name).display().to_string();
        must_fail(vault.verify(&path).await, Code::Damaged, name);
        must_fail(vault.restore(&path).target(copy.url()).await, Code::Damaged, name);
        assert_eq!(copy.python("names.py", &[]).trim(), "", "what was loaded was taken back");
    }
}

/// One byte of a document changed.
fn flipped(whole: &[u8]) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    let at = bytes.windows(100).rposition(|w| w == [b'n'; 100]).unwrap();
    bytes[at] = b'm';
    bytes
}

#[tokio::test]
async fn what_cannot_be_is_said_with_its_reason() {
    let Some(server) = Mongodb::shared() else { return };
    let world = World::new();
    let nowhere = server.database("nowhere");
    must_fail(world.vault(&nowhere.url()).await.backup().await, Code::DatabaseNotFound, &nowhere.name);
    let closed = "mongodb://app:canary-secret@127.0.0.1:1/shop?serverSelectionTimeoutMS=500";
    let e = world.vault(closed).await.backup().await.unwrap_err();
    assert_eq!(e.code(), Code::DatabaseUnavailable);
    assert!(!format!("{e} {e:?}").contains("canary-secret"), "{e:?}");
}

#[tokio::test]
async fn a_standalone_server_is_dumped_and_says_what_that_means() {
    let Some(server) = Mongodb::with(&["--standalone"]) else { return };
    server.python("fill.py", &["shop"]);
    let world = World::new();
    let vault = world.vault(&server.url("shop")).await;
    let backup = vault.backup().await.unwrap();
    assert_eq!(backup.warnings[0].code, "no_snapshot");
    assert_eq!(vault.show("latest").await.unwrap().point.kind, "none");
    vault.drill(&backup.id).await.unwrap();
}

#[tokio::test]
async fn users_of_few_privileges_are_enough() {
    let Some(server) = Mongodb::with_users() else { return };
    server.python("roles.py", &[]);
    let as_user = |name: &str, database: &str| {
        let url = server.url(database).replace("root:canary-root", &format!("{name}:canary-{name}"));
        url.replace("authSource=admin", "authSource=shop")
    };
    let world = World::new();
    let vault = world.vault(&as_user("reader", "shop")).await;
    let backup = vault.backup().await.unwrap();
    assert_eq!((backup.rows, backup.warnings.len()), (500, 0), "{:?}", backup.warnings);
    vault.restore(&backup.id).target(as_user("writer", "copy")).await.unwrap();
    server.python("compare.py", &["shop", "copy"]);
    must_fail(vault.restore(&backup.id).target(as_user("reader", "other")).await, Code::DatabaseDenied, "other");
    must_fail(world.vault(&as_user("nobody", "shop")).await.backup().await, Code::DatabaseDenied, "shop");
    let wrong = as_user("reader", "shop").replace("canary-reader", "canary-wrong");
    let e = world.vault(&wrong).await.backup().await.unwrap_err();
    assert_eq!(e.code(), Code::DatabaseDenied, "{e}");
    assert!(!format!("{e} {e:?}").contains("canary"), "{e:?}");
    // Every crate below ours may log, too.
    for (url, succeeds) in [(as_user("reader", "shop"), true), (wrong, false)] {
        let mut command = world.command(&["backup", "--verbose"]);
        let output = command.env("RUST_LOG", "trace").env("DATABASE_URL", url).output().unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_eq!(output.status.success(), succeeds, "{said}");
        assert!(!said.contains("canary-reader") && !said.contains("canary-wrong"), "{said}");
    }
    // What needs more is absent.
    let stats = vault.database_stats().await.unwrap();
    assert!(stats.largest_tables.iter().any(|t| t.name == "shop.orders"), "{stats:?}");
    let doctor = vault.doctor().await.unwrap();
    let failed: Vec<_> = doctor.checks.iter().filter(|c| c.status == lastgood::CheckStatus::Fail).collect();
    assert!(failed.is_empty(), "{failed:?}");
}
