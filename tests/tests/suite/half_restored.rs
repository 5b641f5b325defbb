//! A restore into a server that does not end well leaves no database behind, and the one that was there as it was.

use lastgood::{CancellationToken, Code, Phase, Progress, Settings, Vault};
use testkit::{DatabaseServer, PgVersion, Postgres, each_server_and_mongodb};

use crate::world::{World, must_fail};

/// A backup in many parts of a database of this content, which is dropped again.
async fn backed_up(server: &dyn DatabaseServer, name: &str, sql: &str) -> (World, Vault) {
    let world = World::new();
    let url = server.create(name);
    server.run(name, sql);
    let mut settings = Settings::default();
    settings.part_bytes = 256 << 10;
    let vault = world.builder(&url).settings(settings).open().await.unwrap();
    vault.backup().await.unwrap();
    server.drop(name);
    (world, vault)
}

/// The databases of this name, and the unfinished ones that were to take it.
fn left(server: &dyn DatabaseServer, name: &str) -> Vec<String> {
    server.databases().into_iter().filter(|database| database.starts_with(name)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_cancelled_or_cut() {
    let rows = "CREATE TABLE t AS SELECT i AS id, repeat(md5(i::text), 30) AS pad FROM generate_series(1, 40000) i;
        ALTER TABLE t ADD PRIMARY KEY (id)";
    let rows_of_mariadb = "CREATE TABLE t (id INT PRIMARY KEY, pad TEXT);
        INSERT INTO t SELECT seq, REPEAT(MD5(seq), 30) FROM seq_1_to_40000";
    let later = Postgres::shared(PgVersion::V18).map(|server| (server as &dyn DatabaseServer, rows));
    let documents = r#"[{"fill": "t", "n": 4000}]"#;
    for (server, rows) in each_server_and_mongodb(rows, rows_of_mariadb, documents).into_iter().chain(later) {
        let (_world, vault) = backed_up(server, "half", rows).await;
        let restore = || vault.restore("latest").target(server.url("half_restored"));
        for phase in [Phase::Preparing, Phase::Loading, Phase::Finishing] {
            let reached = move |p: &Progress| p.phase == phase && (phase != Phase::Loading || p.bytes_done > 0);
            let token = CancellationToken::new();
            let cancel = token.clone();
            let cancelled = restore().cancel(token).on_progress(move |p| {
                if reached(&p) {
                    cancel.cancel();
                }
            });
            assert_eq!(cancelled.await.unwrap_err().code(), Code::Cancelled, "{phase:?}");
            assert_eq!(left(server, "half"), [""; 0], "{phase:?}");
        }

        if server.ends_sessions() {
            let cut = restore().on_progress(move |p| {
                if p.phase == Phase::Loading && p.bytes_done > 0 {
                    server.end_sessions("half");
                }
            });
            must_fail(cut.await, Code::DatabaseUnavailable, "");
            assert_eq!(left(server, "half"), [""; 0]);
        }

        restore().await.unwrap();
        assert_eq!(left(server, "half"), ["half_restored"]);
        server.drop("half_restored");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_whose_content_the_server_refuses() {
    let home =
        "CREATE FUNCTION home() RETURNS boolean LANGUAGE sql IMMUTABLE AS $$ SELECT current_database() = 'home' $$;";
    // Rows that satisfy their constraint at home only, and an index that cannot be built elsewhere.
    let rows = format!("{home} CREATE TABLE t (id int CHECK (home())); INSERT INTO t VALUES (1)");
    let index = format!(
        "{home} CREATE FUNCTION one() RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT 1 / public.home()::int $$;
         CREATE TABLE t AS SELECT 1 AS id; CREATE INDEX ON t ((id + one()))"
    );
    for version in [PgVersion::V15, PgVersion::V18] {
        let Some(server) = Postgres::shared(version) else { continue };
        for sql in [&rows, &index] {
            let (_world, vault) = backed_up(server, "home", sql).await;
            server.drop("away");
            must_fail(vault.restore("latest").target(server.url("away")).await, Code::DatabaseError, "t");
            assert_eq!(left(server, "away"), [""; 0]);

            let url = server.create("away");
            let oid = || server.psql("postgres", "SELECT oid FROM pg_database WHERE datname = 'away'");
            let before = oid();
            must_fail(vault.restore("latest").target(&url).await, Code::DatabaseError, "t");
            assert_eq!((left(server, "away"), oid()), (vec!["away".to_owned()], before));
            assert_eq!(server.content("away"), [""; 0]);
            server.drop("away");
        }
    }
}
