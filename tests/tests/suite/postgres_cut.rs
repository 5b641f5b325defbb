//! Connections to PostgreSQL that are cut after any number of bytes: a clear error, and nothing half-done to be seen.

use lastgood::{Code, Settings, Vault};
use testkit::{PgVersion, Postgres, Proxy, Setup};

use crate::postgres_life::SHOP;
use crate::world::World;

/// Cuts spread evenly over what passes in a whole run.
const CUTS: u64 = 100;

/// Of a restore, which takes longer.
const RESTORES: u64 = 50;

/// What a cut connection ends with.
const CLEAR: [Code; 1] = [Code::DatabaseUnavailable];

fn through(server: &Postgres, proxy: &Proxy, database: &str) -> String {
    server.url(database).replace(&format!(":{}/", server.port()), &format!(":{}/", proxy.port()))
}

async fn vault(world: &World, url: &str) -> Vault {
    let mut settings = Settings::default();
    // Several parts and both connections in use.
    settings.part_bytes = 64 << 10;
    world.builder(url).settings(settings).open().await.unwrap()
}

fn small(server: &Postgres) {
    server.create("small");
    server.psql("small", SHOP);
    server.psql("small", "DELETE FROM orders WHERE id > 1500; REFRESH MATERIALIZED VIEW per_customer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_cut_anywhere_fails_clearly_and_leaves_no_backup() {
    let Some(server) = Postgres::start_with(PgVersion::V15, &Setup::default()) else { return };
    small(&server);
    let proxy = Proxy::to(server.port());
    let world = World::new();
    let vault = vault(&world, &through(&server, &proxy, "small")).await;
    proxy.heal();
    vault.backup().await.unwrap();
    let whole = proxy.passed();
    let mut backups = 1;
    for i in 0..CUTS {
        let at = whole * i / CUTS;
        proxy.cut_after(at, i % 2 == 0);
        let result = vault.backup().await;
        assert!(proxy.has_cut(), "{at} of {whole} bytes: nothing was cut");
        match result {
            // All that the dump needs had come before.
            Ok(report) => {
                backups += 1;
                vault.verify(&report.id).await.unwrap();
            }
            Err(e) => {
                assert!(CLEAR.contains(&e.code()), "{at} of {whole} bytes: {e}");
                assert!(e.next_step().is_some(), "{at} of {whole} bytes: {e}");
            }
        }
        assert_eq!(vault.list().await.unwrap().len(), backups, "{at} of {whole} bytes");
    }
    assert!(backups < 20, "{backups} of {CUTS} cuts changed nothing");
    proxy.heal();
    let last = vault.backup().await.unwrap();
    vault.verify(&last.id).await.unwrap();
    // No session of a failed run holds the snapshot or its locks.
    testkit::wait_until("the sessions to end", || {
        server.psql("postgres", "SELECT count(*) FROM pg_stat_activity WHERE datname = 'small'").trim() == "0"
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_cut_anywhere_fails_clearly_and_shows_nothing() {
    let Some(server) = Postgres::start_with(PgVersion::V15, &Setup::default()) else { return };
    small(&server);
    let content = server.content("small");
    let proxy = Proxy::to(server.port());
    let world = World::new();
    let vault = vault(&world, &server.url("small")).await;
    vault.backup().await.unwrap();
    let target = through(&server, &proxy, "target");
    let restore = || vault.restore("latest").target(&target);
    proxy.heal();
    restore().await.unwrap();
    let whole = proxy.passed();
    server.drop("target");
    for i in 0..RESTORES {
        let at = whole * i / RESTORES;
        let for_good = i % 2 == 0;
        proxy.cut_after(at, for_good);
        let result = restore().await;
        assert!(proxy.has_cut(), "{at} of {whole} bytes: nothing was cut");
        let visible = server.databases();
        match result {
            Ok(_) => assert_eq!(server.content("target"), content, "{at} of {whole} bytes"),
            // The answer to the last rename may be what was lost.
            Err(e) if visible.iter().any(|name| name == "target") => {
                assert!(CLEAR.contains(&e.code()), "{at} of {whole} bytes: {e}");
                assert_eq!(server.content("target"), content, "{at} of {whole} bytes: half a database is to be seen");
            }
            Err(e) => {
                assert!(CLEAR.contains(&e.code()), "{at} of {whole} bytes: {e}");
                assert!(e.next_step().is_some(), "{at} of {whole} bytes: {e}");
                // With the server back in reach, nothing stays.
                assert!(for_good || visible == ["small"], "{at} of {whole} bytes: {visible:?} after {e}");
            }
        }
        for left in server.databases().iter().filter(|name| *name != "small") {
            assert!(left == "target" || left.starts_with("target_restoring_"), "{left}");
            server.drop(left);
        }
    }
    proxy.heal();
    restore().await.unwrap();
    assert_eq!(server.content("target"), content);
}
