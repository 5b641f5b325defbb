//! Every kind of object comes back; and failures in the middle leave no database and no backup behind.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use lastgood::{BackupId, CancellationToken, Code, Error, Phase, Settings, Vault};
use tempfile::TempDir;
use testkit::{PgVersion, Postgres};

const PASSPHRASE: &str = "gravel-onion-sixfold-tundra-maple-kiosk";

/// A table large enough that its rows are on the way for a while.
const LARGE: &str =
    "CREATE TABLE large AS SELECT i AS id, repeat(md5(i::text), 30) AS pad FROM generate_series(1, 40000) i;
    ALTER TABLE large ADD PRIMARY KEY (id);";

/// Makes a database with at least one of every kind of object that the server's version has.
pub(crate) fn everything(server: &Postgres, database: &str) -> String {
    // The fixtures make roles where they are missing, which two tests must not do at the same time.
    static ROLES: Mutex<()> = Mutex::new(());
    let _one = ROLES.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/postgres");
    let url = server.create(database);
    server.psql_file(database, &folder.join("everything.sql"));
    if server.version() == PgVersion::V18 {
        server.psql_file(database, &folder.join("everything-18.sql"));
    }
    url
}

/// The oldest and the newest version that is installed.
fn servers() -> impl Iterator<Item = &'static Postgres> {
    [PgVersion::V15, PgVersion::V18].into_iter().filter_map(Postgres::shared)
}

/// A vault of this database with an encrypted store in this folder. Parts are small, so that there are many.
async fn vault(folder: &Path, database: &str) -> Vault {
    let mut settings = Settings::default();
    settings.part_bytes = 256 << 10;
    Vault::builder()
        .database(database)
        .store(folder.join("store").display().to_string())
        .passphrase(PASSPHRASE)
        .work_factor(4)
        .settings(settings)
        .open()
        .await
        .unwrap()
}

/// A backup of a database of this content, which is dropped again.
async fn backed_up(server: &Postgres, name: &str, sql: &str) -> (TempDir, Vault, BackupId) {
    let folder = tempfile::tempdir().unwrap();
    let url = server.create(name);
    server.psql(name, sql);
    let vault = vault(folder.path(), &url).await;
    let id = vault.backup().await.unwrap().id;
    server.drop(name);
    (folder, vault, id)
}

/// The databases of this name, and the unfinished ones that were to take it.
fn left_of(server: &Postgres, name: &str) -> Vec<String> {
    server.databases().into_iter().filter(|database| database.starts_with(name)).collect()
}

#[track_caller]
fn must_be(error: &Error, code: Code, names: &str) {
    assert_eq!(error.code(), code, "{error}");
    assert!(error.to_string().contains(names), "`{names}` is not in: {error}");
    assert!(error.next_step().is_some(), "no next step in: {error}");
}

async fn lives(server: &Postgres, source: &str) {
    let folder = tempfile::tempdir().unwrap();
    let target = format!("{source}_restored");
    server.drop(&target);
    let (schema, content) = (server.pg_dump_schema(source), server.content(source));
    let vault = vault(folder.path(), &server.url(source)).await;
    let backup = vault.backup().tag("nightly").await.unwrap();
    assert!(backup.tables > 0 && backup.rows > 0 && backup.stored_bytes > 0, "{backup:?}");
    vault.verify(&backup.id).await.unwrap();
    let drilled = vault.drill(&backup.id).query("SELECT count(*) > 0 FROM pg_class").await.unwrap();
    assert_eq!((drilled.tables, drilled.rows, drilled.queries), (backup.tables, backup.rows, 1));

    let restored = vault.restore(&backup.id).target(server.url(&target)).await.unwrap();
    assert!(!restored.target.contains(server.password()), "{restored:?}");
    assert_eq!(server.pg_dump_schema(&target), schema, "{source} on {:?}", server.version());
    assert_eq!(server.content(&target), content, "{source} on {:?}", server.version());
    assert_eq!(server.content(source), content, "the source was not touched");
    assert_eq!(left_of(server, &target), [target.as_str()]);

    // A backup of the restored database holds the same.
    let again = self::vault(folder.path(), &server.url(&target)).await;
    let (first, second) = (vault.show("latest").await.unwrap(), {
        again.backup().await.unwrap();
        again.show("latest").await.unwrap()
    });
    assert_eq!(first.table_summaries, second.table_summaries);
    server.drop(&target);
    server.drop(source);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_object_comes_back() {
    for server in servers() {
        everything(server, "life_everything");
        lives(server, "life_everything").await;
    }
}

/// Ends this server's sessions in databases whose names begin so, but for the one that asks.
fn terminate(server: &Postgres, prefix: &str, query: &str) -> String {
    let sql = format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
         WHERE starts_with(datname, '{prefix}') AND query LIKE '{query}' AND pid <> pg_backend_pid()"
    );
    server.psql("postgres", &sql).trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminated_backup_is_not_listed() {
    for server in servers() {
        let folder = tempfile::tempdir().unwrap();
        let url = server.create("life_cut");
        server.psql("life_cut", LARGE);
        let vault = vault(folder.path(), &url).await;
        let whole = vault.backup().await.unwrap().id;
        let cut = move |progress: lastgood::Progress| {
            if progress.phase == Phase::Dumping && progress.bytes_done > 0 {
                terminate(server, "life_cut", "COPY %");
            }
        };
        let error = vault.backup().on_progress(cut).await.unwrap_err();
        must_be(&error, Code::DatabaseUnavailable, "");
        let listed: Vec<_> = vault.list().await.unwrap().into_iter().map(|b| b.id).collect();
        assert_eq!(listed, [whole]);
        // What it had locked is free again.
        server.psql("life_cut", "SET lock_timeout = '10s'; DROP TABLE large");
        server.drop("life_cut");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_is_cancelled_or_cut_leaves_no_database() {
    for server in servers() {
        let (_folder, vault, id) = backed_up(server, "life_half", LARGE).await;
        let restore = || vault.restore(&id).target(server.url("life_half_restored"));
        for phase in [Phase::Loading, Phase::Finishing] {
            let begun = move |progress: &lastgood::Progress| {
                progress.phase == phase && (phase == Phase::Finishing || progress.bytes_done > 0)
            };
            let token = CancellationToken::new();
            let cancel = token.clone();
            let error = restore()
                .cancel(token)
                .on_progress(move |p| {
                    if begun(&p) {
                        cancel.cancel()
                    }
                })
                .await;
            assert_eq!(error.unwrap_err().code(), Code::Cancelled, "{phase:?}");
            assert_eq!(left_of(server, "life_half"), [""; 0], "{phase:?}");
        }
        let cut = move |progress: lastgood::Progress| {
            if progress.phase == Phase::Loading && progress.bytes_done > 0 {
                terminate(server, "life_half", "%");
            }
        };
        must_be(&restore().on_progress(cut).await.unwrap_err(), Code::DatabaseUnavailable, "");
        assert_eq!(left_of(server, "life_half"), [""; 0]);

        restore().await.unwrap();
        assert_eq!(left_of(server, "life_half"), ["life_half_restored"]);
        server.drop("life_half_restored");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_fails_leaves_no_database() {
    // Rows that satisfy their constraint at home only, and an index that cannot be built elsewhere.
    let home = "CREATE FUNCTION home() RETURNS boolean LANGUAGE sql IMMUTABLE AS $$ SELECT current_database() = 'life_home' $$;";
    let rows = format!("{home} CREATE TABLE t (id int CHECK (home())); INSERT INTO t VALUES (1)");
    let index = format!(
        "{home} CREATE FUNCTION at_home(id int) RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT 1 / public.home()::int $$;
         CREATE TABLE t AS SELECT 1 AS id; CREATE INDEX ON t (at_home(id));"
    );
    for server in servers() {
        for sql in [&rows, &index] {
            let (_folder, vault, id) = backed_up(server, "life_home", sql).await;
            let error = vault.restore(&id).target(server.url("life_away")).await.unwrap_err();
            must_be(&error, Code::DatabaseError, "");
            assert_eq!(left_of(server, "life_away"), [""; 0]);

            // An empty database that was there stays as it was.
            let url = server.create("life_away");
            must_be(&vault.restore(&id).target(&url).await.unwrap_err(), Code::DatabaseError, "");
            assert_eq!(left_of(server, "life_away"), ["life_away"]);
            assert_eq!(server.content("life_away"), [""; 0]);
            server.drop("life_away");
        }
    }
}
