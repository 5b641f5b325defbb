//! Hosts that bring a SQLite library of their own: live files are opened in another process, so that the host's
//! locks stay what they are.

use std::fs::File;
use std::process::Command;

use lastgood::{Code, Settings};
use rustix::fs::{FlockOperation, fcntl_lock};

use crate::world::{SMALL, World, must_fail};

fn beside(program: &str) -> Settings {
    let mut settings = Settings::default();
    settings.command = vec![program.to_owned()];
    settings
}

/// Whether another process can write to the database now.
fn writable(world: &World, file: &str) -> bool {
    let insert = "INSERT INTO person VALUES (NULL, 'new', NULL, 1)";
    Command::new("sqlite3").arg("-bail").arg(world.path(file)).arg(insert).output().unwrap().status.success()
}

#[tokio::test]
async fn the_locks_of_the_host_survive_a_backup() {
    for (apart, kept) in [(true, true), (false, false)] {
        let world = World::new();
        let url = world.make("live.db", SMALL);
        let settings = if apart { beside(env!("CARGO_BIN_EXE_lastgood-under-test")) } else { Settings::default() };
        let vault = world.builder(&url).settings(settings).open().await.unwrap();

        // What the host's own SQLite would hold while it reads.
        let held = File::open(world.path("live.db")).unwrap();
        fcntl_lock(&held, FlockOperation::NonBlockingLockShared).unwrap();
        assert!(!writable(&world, "live.db"), "the lock keeps writers out");
        vault.probe().await.unwrap();
        let backup = vault.backup().await.unwrap();
        assert_eq!(backup.rows, 103);
        assert_eq!(!writable(&world, "live.db"), kept, "in a process of its own: {apart}");
        vault.drill(&backup.id).await.unwrap();
    }
}

#[tokio::test]
async fn what_the_host_uses_is_not_overwritten_and_keeps_its_locks() {
    for apart in [true, false] {
        let world = World::new();
        let url = world.make("live.db", SMALL);
        let settings = if apart { beside(env!("CARGO_BIN_EXE_lastgood-under-test")) } else { Settings::default() };
        let vault = world.builder(&url).settings(settings).open().await.unwrap();
        let backup = vault.backup().await.unwrap();

        let held = File::open(world.path("live.db")).unwrap();
        fcntl_lock(&held, FlockOperation::NonBlockingLockShared).unwrap();
        let overwrite = vault.restore(&backup.id).target(url.as_str()).overwrite();
        if !apart {
            // A lock of its own process stops nobody: this is why another one is asked.
            overwrite.await.unwrap();
            continue;
        }
        must_fail(overwrite.await, Code::Busy, "live.db");
        let promote = || vault.restore(&backup.id).target(url.as_str()).promote();
        must_fail(promote().await, Code::Busy, "live.db");
        assert!(!writable(&world, "live.db"), "the lock is still there");
        drop(held);
        assert!(promote().await.unwrap().promoted.is_some());
    }
}

#[tokio::test]
async fn errors_come_back_from_the_other_process() {
    let world = World::new();
    let settings = beside(env!("CARGO_BIN_EXE_lastgood-under-test"));
    let vault = world.builder(&world.sqlite("missing.db")).settings(settings).open().await.unwrap();
    must_fail(vault.backup().await, Code::DatabaseNotFound, "missing.db");

    let url = world.make("live.db", SMALL);
    let vault = world.builder(&url).settings(beside("/nonexistent/lastgood")).open().await.unwrap();
    must_fail(vault.backup().await, Code::LocalFile, "/nonexistent/lastgood");
    let vault = world.builder(&url).settings(beside("false")).open().await.unwrap();
    must_fail(vault.backup().await, Code::Internal, "command");
}
