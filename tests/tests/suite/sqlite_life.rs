//! The whole life of a SQLite database's backup: through the library, and through the command line.

use std::process::Command;

use lastgood::{Code, Codec, Settings};
use testkit::tool;

use crate::world::{PASSPHRASE, SMALL, World, must_fail, sqlite_dump};

#[tokio::test]
async fn chinook_is_backed_up_proven_and_restored() {
    let Some(data) = testkit::sample_data() else { return };
    let world = World::new();
    testkit::load_chinook_sqlite(&world.path("chinook.db"), &data);
    lives(&world, "chinook.db", 15_607).await;
}

#[tokio::test]
async fn a_small_database_is_backed_up_proven_and_restored() {
    let world = World::new();
    world.make("small.db", SMALL);
    lives(&world, "small.db", 103).await;
}

async fn lives(world: &World, file: &str, rows: u64) {
    let before = sqlite_dump(&world.path(file));
    let vault = world.vault(&world.sqlite(file)).await;
    let backup = vault.backup().tag("nightly").await.unwrap();
    assert_eq!((backup.rows, backup.warnings.len()), (rows, 0));
    assert_eq!(backup.source_bytes, world.path(file).metadata().unwrap().len());

    let listed = vault.list().await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(
        (&listed[0].id, listed[0].encrypted, &listed[0].tags[..]),
        (&backup.id, true, &["nightly".to_owned()][..])
    );
    let verified = vault.verify(&backup.id).await.unwrap();
    assert_eq!(verified.raw_bytes, backup.source_bytes);
    let drilled = vault.drill(&backup.id).query("SELECT count(*) > 0 FROM sqlite_schema").await.unwrap();
    assert_eq!((drilled.rows, drilled.queries), (rows, 1));
    let listed = &vault.list().await.unwrap()[0];
    assert!(listed.verified_at.is_some() && listed.drilled_at.is_some() && !listed.failing);
    let shown = vault.show("latest").await.unwrap();
    assert_eq!(shown.table_summaries.iter().map(|t| t.rows).sum::<u64>(), rows);

    vault.restore(&backup.id).target(world.sqlite("restored.db")).await.unwrap();
    assert_eq!(sqlite_dump(&world.path("restored.db")), before);
    vault.export(&backup.id).folder(world.path("dump")).await.unwrap();
    assert_eq!(sqlite_dump(&world.path("dump").join(file)), before);
    assert_eq!(sqlite_dump(&world.path(file)), before, "the source was not touched");

    let new = "another passphrase: walnut harbor eleven copper";
    vault.rotate_key().to_passphrase(new).work_factor(4).await.unwrap();
    must_fail(world.builder(&world.sqlite(file)).open().await, Code::WrongKey, "store");
    let rotated = lastgood::Vault::builder()
        .database(world.sqlite(file))
        .store(world.store().display().to_string())
        .passphrase(new)
        .open()
        .await
        .unwrap();
    rotated.verify(&backup.id).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_database_in_use_shows_one_moment() {
    let world = World::new();
    world.make("busy.db", "PRAGMA journal_mode = WAL; CREATE TABLE a (n); CREATE TABLE b (n); INSERT INTO a VALUES (0); INSERT INTO b VALUES (0);");
    let writer = Writer::start(&world.path("busy.db"));
    let counter = || {
        tool(Command::new("sqlite3").args(["-cmd", ".timeout 5000"]).arg(world.path("busy.db")).arg("SELECT n FROM a"))
            .trim()
            .parse::<u64>()
            .unwrap()
    };
    testkit::wait_until("the writer", || counter() > 0);
    let vault = world.vault(&world.sqlite("busy.db")).await;
    let started_with = counter();
    for round in 0..5 {
        let id = vault.backup().await.unwrap().id;
        let target = format!("restored-{round}.db");
        vault.restore(&id).target(world.sqlite(&target)).await.unwrap();
        let seen = tool(Command::new("sqlite3").arg(world.path(&target)).arg("SELECT a.n = b.n, a.n >= 1 FROM a, b"));
        assert_eq!(seen.trim(), "1|1");
    }
    let ended_with = counter();
    writer.stop();
    assert!(ended_with > started_with, "nobody wrote during the backups");
}

#[tokio::test]
async fn every_codec_and_an_unencrypted_store_give_the_same_database() {
    for codec in [Codec::Zstd, Codec::Gzip, Codec::None] {
        for encrypted in [true, false] {
            let world = World::new();
            let url = world.make("small.db", SMALL);
            let mut settings = Settings::default();
            settings.codec = codec;
            let builder = if encrypted {
                world.builder(&url)
            } else {
                lastgood::Vault::builder().database(&url).store(world.store().display().to_string()).unencrypted()
            };
            let vault = builder.settings(settings).open().await.unwrap();
            vault.backup().await.unwrap();
            vault.drill("latest").await.unwrap();
            vault.restore("latest").target(world.sqlite("restored.db")).await.unwrap();
            assert_eq!(sqlite_dump(&world.path("restored.db")), sqlite_dump(&world.path("small.db")), "{codec:?}");
        }
    }
}

#[test]
fn the_command_line_carries_a_backup_through_its_life() {
    let world = World::new();
    let url = world.make("small.db", SMALL);
    let before = sqlite_dump(&world.path("small.db"));
    let backup = world.run(&["backup", "--database", &url, "--tag", "nightly", "--codec", "gzip"]);
    let id = backup["id"].as_str().unwrap();
    assert_eq!(backup["rows"], 103);

    // All but the first character after the date: a prefix that fits only this backup.
    let database = ["--database", url.as_str()];
    let run = |arguments: &[&str]| world.run(&[arguments, &database].concat());
    assert_eq!(run(&["list", "--limit", "5"])[0]["id"], id);
    assert_eq!(run(&["show", &id[..id.len() - 1]])["id"], id);
    assert_eq!(run(&["verify", "latest"])["id"], id);
    assert_eq!(run(&["drill", "latest", "--query", "SELECT count(*) = 3 FROM person"])["queries"], 1);
    assert_eq!(run(&["restore", id, "--target", &world.sqlite("restored.db")])["id"], id);
    assert_eq!(sqlite_dump(&world.path("restored.db")), before);
    assert_eq!(run(&["export", id, "dump"])["files"], 1);
    assert_eq!(sqlite_dump(&world.path("dump/small.db")), before);

    let new = world.file("new-key", "walnut harbor eleven copper violet summit");
    run(&["rotate-key", "--new-key-file", &new]);
    let (exit, told) = crate::world::refusal(&mut world.command(&["verify", "latest", "--database", &url]));
    assert_eq!((exit, told["code"].as_str()), (5, Some("wrong_key")));
}

#[test]
fn the_command_line_talks_to_people_too() {
    let world = World::new();
    let url = world.make("small.db", SMALL);
    let text = |arguments: &[&str]| tool(world.command(arguments).args(["--database", &url]));
    assert!(text(&["backup"]).contains("103 rows"));
    assert!(text(&["list"]).contains("BACKUP"));
    assert!(text(&["show"]).contains("person"));
    assert!(text(&["verify"]).contains("is whole"));
    assert!(text(&["drill"]).contains("is the same"));
    let help = tool(crate::world::bare_command().args(["restore", "--help"]));
    assert!(help.contains("Example") && help.contains("--target"));

    let failed = world.command(&["show", "backup-19990101"]).args(["--database", &url]).output().unwrap();
    let said = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert_eq!(failed.status.code(), Some(6), "{said}");
    assert!(said.contains("error[backup_not_found]") && said.contains("next:"), "{said}");
}

#[test]
fn the_environment_gives_what_arguments_do_not() {
    let world = World::new();
    let url = world.make("small.db", SMALL);
    let mut command = crate::world::bare_command();
    command.env("DATABASE_URL", &url).env("BACKUP_STORE_URL", world.store()).env("BACKUP_ENCRYPTION_KEY", PASSPHRASE);
    let backup = crate::world::answer(command.arg("backup"));
    assert_eq!(backup["database"], "small");
    let (exit, told) = crate::world::refusal(crate::world::bare_command().arg("backup"));
    assert_eq!((exit, told["code"].as_str()), (2, Some("missing_setting")));
}

/// An application that writes without pause. Both tables change in one transaction, so a copy in which they differ was
/// taken in between.
struct Writer {
    stop: std::sync::mpsc::Sender<()>,
    thread: std::thread::JoinHandle<()>,
}

impl Writer {
    fn start(database: &std::path::Path) -> Self {
        let mut sqlite = Command::new("sqlite3");
        sqlite.args(["-cmd", ".timeout 5000"]).arg(database).stdin(std::process::Stdio::piped());
        let mut child = sqlite.spawn().unwrap();
        let (stop, stopped) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let mut input = child.stdin.take().unwrap();
            while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                let write = b"BEGIN IMMEDIATE; UPDATE a SET n = n + 1; UPDATE b SET n = n + 1; COMMIT;\n";
                if std::io::Write::write_all(&mut input, write).is_err() {
                    break;
                }
            }
            drop(input);
            child.wait().unwrap();
        });
        Self { stop, thread }
    }

    fn stop(self) {
        drop(self.stop);
        self.thread.join().unwrap();
    }
}
