//! Subscriptions are restored disabled, and do not keep a scratch database or a failed restore from being cleared away.

use lastgood::{Code, Vault};
use testkit::{PgVersion, Postgres};

use crate::world::{World, must_fail};

/// One that connects to nothing, from the fixture; one that has a slot, as those have that are in use.
const SLOT: &str = "CREATE SUBSCRIPTION slot CONNECTION 'host=127.0.0.1 port=1 dbname=nowhere' PUBLICATION p
    WITH (connect = false, slot_name = 'taken')";

/// A backup of a database of this name with both subscriptions and this content.
async fn backed_up(server: &Postgres, name: &str, sql: &str) -> (World, Vault) {
    let world = World::new();
    clear(server, name);
    server.psql("postgres", &format!("CREATE DATABASE {name}"));
    let fixture = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/postgres/subscription.sql");
    server.psql_file(name, &fixture);
    server.psql(name, SLOT);
    server.psql(name, sql);
    let vault = world.vault(&server.url(name)).await;
    vault.backup().await.unwrap();
    (world, vault)
}

fn named(server: &Postgres, name: &str) -> Vec<String> {
    server.databases().into_iter().filter(|database| database.starts_with(name)).collect()
}

/// Drops the databases whose names begin so, with their subscriptions.
fn clear(server: &Postgres, name: &str) {
    for database in named(server, name) {
        for subscription in subscriptions(server, &database) {
            let drop = format!("ALTER SUBSCRIPTION \"{subscription}\" SET (slot_name = NONE)");
            server.psql(&database, &drop);
            server.psql(&database, &format!("DROP SUBSCRIPTION \"{subscription}\""));
        }
        server.drop(&database);
    }
}

fn subscriptions(server: &Postgres, database: &str) -> Vec<String> {
    let sql = "SELECT subname FROM pg_subscription s JOIN pg_database d ON d.oid = subdbid
        WHERE datname = current_database() ORDER BY 1";
    server.psql(database, sql).lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_and_a_promotion_clear_them_away() {
    for version in [PgVersion::V15, PgVersion::V18] {
        let Some(server) = Postgres::shared(version) else { continue };
        let (world, vault) = backed_up(server, "subs_well", "CREATE TABLE t AS SELECT 1 AS id").await;
        let scratch = || named(server, "lastgood_drill_").iter().any(|name| !subscriptions(server, name).is_empty());
        vault.drill("latest").await.unwrap();
        assert!(!scratch(), "the scratch database was left");

        let promote = || vault.restore("latest").target(server.url("subs_well")).promote();
        must_fail(promote().query("SELECT false").await, Code::DrillMismatch, "false");
        assert_eq!(named(server, "subs_well"), ["subs_well"]);
        let promoted = promote().await.unwrap().promoted.unwrap();
        assert_eq!(subscriptions(server, "subs_well"), ["My Sub", "slot"]);
        let state =
            "SELECT subname, subenabled, subslotname FROM pg_subscription s JOIN pg_database d ON d.oid = subdbid
            WHERE datname = current_database() ORDER BY 1";
        assert_eq!(server.psql("subs_well", state).trim(), "My Sub|f|\nslot|f|taken");
        let file = world.file("drop.sql", &promoted.drop_kept.join("\n"));
        server.psql_file("postgres", std::path::Path::new(&file));
        assert_eq!(named(server, "subs_well"), ["subs_well"]);
        clear(server, "subs_well");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_fails_after_them_takes_them_back() {
    // The view can be filled at home only, and is filled last of all.
    let sql =
        "CREATE FUNCTION home() RETURNS int LANGUAGE sql AS $$ SELECT 1 / (current_database() = 'subs_home')::int $$;
        CREATE MATERIALIZED VIEW m AS SELECT public.home()";
    for version in [PgVersion::V15, PgVersion::V18] {
        let Some(server) = Postgres::shared(version) else { continue };
        let (_world, vault) = backed_up(server, "subs_home", sql).await;
        clear(server, "subs_away");
        must_fail(vault.restore("latest").target(server.url("subs_away")).await, Code::DatabaseError, "division");
        assert_eq!(named(server, "subs_away"), [""; 0]);

        server.create("subs_away");
        server.psql("subs_away", "CREATE TABLE there ()");
        let restore = vault.restore("latest").target(server.url("subs_away")).overwrite();
        must_fail(restore.await, Code::DatabaseError, "division");
        assert_eq!(subscriptions(server, "subs_away"), [""; 0]);
        assert_eq!(
            server.psql("subs_away", "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace").trim(),
            "there"
        );
        clear(server, "subs_away");
        clear(server, "subs_home");
    }
}
