//! The testkit itself: servers start and answer, the faulty store fails what it should, children are measured.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use lastgood::Clock;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use testkit::{Azurite, Fault, FaultyStore, ManualClock, MariaDb, PgVersion, Postgres, SeaweedFs, Verb};

#[test]
fn every_postgres_starts_and_asks_for_a_password() {
    for version in PgVersion::ALL {
        let Some(server) = Postgres::shared(version) else { continue };
        server.create("hello");
        server.psql("hello", "CREATE TABLE t (a int); INSERT INTO t VALUES (1), (2)");
        assert_eq!(server.content("hello").len(), 1);
        assert!(server.content("hello")[0].starts_with("public.t|2|"), "{:?}", server.content("hello"));
        assert!(server.psql("hello", "SHOW server_version").starts_with(&version.number().to_string()));
        assert!(server.pg_dump_schema("hello").contains("CREATE TABLE public.t"));
        assert!(!server.pg_dump_schema("hello").contains("restrict"));
        for name in ["pg_restore", "pg_dump", "psql"] {
            assert!(server.tool(name).exists(), "{name} of {version:?}");
        }
        let refused = server.client("psql").env("PGPASSWORD", "wrong").args(["-d", "hello", "-c", "SELECT 1"]).output();
        assert!(!refused.unwrap().status.success());
        server.drop("hello");
        assert!(!server.exists("hello"));
    }
}

#[test]
fn mariadb_starts_asks_for_a_password_and_speaks_tls() {
    let Some(server) = MariaDb::shared() else { return };
    server.create("hello");
    server.sql("hello", "CREATE TABLE t (a int, f float); INSERT INTO t VALUES (1, 0.1), (2, NULL)");
    assert!(server.content("hello")[0].starts_with("t\t2\t"), "{:?}", server.content("hello"));
    let before = server.content("hello");
    server.sql("hello", "UPDATE t SET f = 0.1000000001 WHERE a = 1");
    assert_eq!(server.content("hello"), before, "the same FLOAT");
    server.sql("hello", "UPDATE t SET f = 0.10000001 WHERE a = 1");
    assert_ne!(server.content("hello"), before, "its neighbour");
    assert!(server.schema("hello").contains("CREATE TABLE `t`"));
    let refused = server.client("mariadb").env("MYSQL_PWD", "wrong").args(["-e", "SELECT 1"]).output();
    assert!(!refused.unwrap().status.success());
    if let Some(root) = server.root_certificate() {
        let mut client = server.client("mariadb");
        client.args(["-N", "--ssl-verify-server-cert", "--ssl-ca"]).arg(root);
        let cipher = testkit::tool(client.args(["-e", "SHOW STATUS LIKE 'Ssl_cipher'"]));
        assert!(cipher.starts_with("Ssl_cipher\tTLS"), "{cipher}");
    }
    server.drop("hello");
    assert!(!server.exists("hello"));
}

#[test]
fn the_samples_for_mariadb_load_into_databases_of_any_name() {
    let (Some(server), Some(data)) = (MariaDb::shared(), testkit::sample_data()) else { return };
    testkit::load_chinook_mariadb(server, "some_chinook", &data);
    testkit::load_sakila_mariadb(server, "some_sakila", &data);
    assert_eq!(server.content("some_chinook").len(), 11);
    assert_eq!(server.sql("some_sakila", "SELECT COUNT(*) FROM actor_info").trim(), "200");
    let content = server.content("some_sakila");
    assert!(content.iter().any(|line| line.starts_with("rental\t16044\t")), "{content:?}");
    assert!(!server.exists("sakila"));
    server.drop("some_chinook");
    server.drop("some_sakila");
}

#[test]
fn a_dropped_server_is_gone_with_its_folder() {
    let Some(server) = Postgres::start(PgVersion::V15) else { return };
    let pid = server.pid().unwrap();
    let data = server.psql("postgres", "SHOW data_directory");
    assert!(Path::new(data.trim()).exists());
    drop(server);
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
    assert!(!Path::new(data.trim()).exists());
}

#[tokio::test]
async fn seaweedfs_stores_and_refuses_a_wrong_secret() {
    let Some(server) = SeaweedFs::shared() else { return };
    server.bucket("hello");
    let client = |secret: &str| {
        AmazonS3Builder::new()
            .with_endpoint(server.endpoint())
            .with_allow_http(true)
            .with_bucket_name("hello")
            .with_region(SeaweedFs::REGION)
            .with_access_key_id(SeaweedFs::KEY_ID)
            .with_secret_access_key(secret)
            .build()
            .unwrap()
    };
    contract(&client(SeaweedFs::SECRET)).await;
    assert!(client("wrong").get(&"a/b".into()).await.is_err());
}

#[tokio::test]
async fn azurite_stores_and_refuses_a_wrong_key() {
    let Some(server) = Azurite::shared() else { return };
    server.container("hello");
    let client = |key: &str| {
        MicrosoftAzureBuilder::new()
            .with_endpoint(server.endpoint())
            .with_allow_http(true)
            .with_account(Azurite::ACCOUNT)
            .with_access_key(key)
            .with_container_name("hello")
            .build()
            .unwrap()
    };
    contract(&client(Azurite::KEY)).await;
    assert!(client("d3Jvbmc=").get(&"a/b".into()).await.is_err());
}

/// What every store under test has to do: put, put once, upload in parts, list, get a range, delete.
async fn contract(store: &dyn ObjectStore) {
    let path = "a/b".into();
    store.put(&path, "hello".into()).await.unwrap();
    let again = store.put_opts(&path, "other".into(), PutMode::Create.into()).await;
    assert!(matches!(again, Err(object_store::Error::AlreadyExists { .. })), "{again:?}");
    assert_eq!(&store.get_range(&path, 1..3).await.unwrap()[..], b"el");

    let big = "a/big".into();
    let mut upload = store.put_multipart(&big).await.unwrap();
    for _ in 0..2 {
        upload.put_part(vec![7_u8; 5 << 20].into()).await.unwrap();
    }
    upload.complete().await.unwrap();
    assert_eq!(store.head(&big).await.unwrap().size, 10 << 20);

    let listed: Vec<_> = store.list(Some(&"a".into())).try_collect().await.unwrap();
    assert_eq!(listed.len(), 2);
    store.delete(&big).await.unwrap();
    assert!(store.head(&big).await.is_err());
}

#[tokio::test]
async fn the_faulty_store_fails_the_chosen_call_only() {
    let inner = Arc::new(InMemory::new());
    let store = FaultyStore::new(inner.clone());
    let path = "a".into();
    let put = async || store.put_opts(&path, "abcd".into(), PutMode::Create.into()).await;

    store.fail_call(2, Fault::Error);
    store.head(&path).await.unwrap_err();
    assert!(!store.was_hit());
    put().await.unwrap_err();
    store.assert_hit();
    assert_eq!(store.calls().iter().map(|c| c.verb).collect::<Vec<_>>(), [Verb::Head, Verb::Put]);
    assert!(inner.head(&path).await.is_err());

    store.fail_call(1, Fault::LostResponse);
    put().await.unwrap_err();
    assert_eq!(inner.head(&path).await.unwrap().size, 4);

    inner.delete(&path).await.unwrap();
    store.fail_call(1, Fault::Duplicate);
    let twice = put().await;
    assert!(matches!(twice, Err(object_store::Error::AlreadyExists { .. })), "{twice:?}");

    inner.delete(&path).await.unwrap();
    store.fail_call(1, Fault::Partial);
    put().await.unwrap_err();
    assert_eq!(inner.head(&path).await.unwrap().size, 2);

    store.fail_call(1, Fault::Hang);
    let hanging = tokio::time::timeout(Duration::from_millis(1), store.get(&path)).await;
    assert!(hanging.is_err());
    assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap().len(), 2);

    store.fail_call(1, Fault::Cut);
    store.get(&path).await.unwrap_err();
    store.get(&path).await.unwrap_err();
}

#[tokio::test]
async fn the_faulty_store_breaks_bodies_and_listings_off() {
    let inner = Arc::new(InMemory::new());
    let store = FaultyStore::new(inner.clone());
    for name in ["a", "b", "c", "d"] {
        inner.put(&name.into(), PutPayload::from_static(b"abcdefgh")).await.unwrap();
    }
    store.fail_call(1, Fault::Partial);
    let mut body = store.get(&"a".into()).await.unwrap().into_stream();
    assert_eq!(&body.try_next().await.unwrap().unwrap()[..], b"abcd");
    body.try_next().await.unwrap_err();

    store.fail_call(1, Fault::Partial);
    let mut list = store.list(None);
    assert!(list.try_next().await.unwrap().is_some());
    assert!(list.try_next().await.unwrap().is_some());
    list.try_next().await.unwrap_err();

    store.fail_call(2, Fault::LostResponse);
    let mut upload = store.put_multipart(&"e".into()).await.unwrap();
    upload.put_part("part".into()).await.unwrap_err();
    store.assert_hit();
}

#[test]
fn the_manual_clock_moves_only_by_hand() {
    let clock = ManualClock::at("2025-11-21T02:00:01Z");
    let shown = clock.clone();
    assert_eq!(shown.now(), clock.now());
    clock.advance(jiff::SignedDuration::from_hours(-1));
    assert_eq!(shown.now().to_string(), "2025-11-21T01:00:01Z");
}

#[test]
fn peak_memory_sees_what_a_child_held() {
    let measured = testkit::peak_memory(Command::new("sh").args([
        "-c",
        "head -c 50000000 /dev/zero | tail -c 50000000 | wc -c; x=$(head -c 1000000 /dev/zero | tr '\\0' x)",
    ]));
    assert!(measured.status.success(), "{}", measured.output);
    assert!(measured.output.contains("50000000"));
    assert!(measured.peak_bytes > 1 << 20 && measured.peak_bytes < 100 << 20, "{}", measured.peak_bytes);
}

#[test]
fn a_killed_child_is_gone() {
    let (moment, running) = testkit::run_and_kill(Command::new("sleep").arg("600"), Duration::from_millis(50));
    assert!(running && moment <= Duration::from_millis(50));
}

#[test]
fn sample_databases_load() {
    let Some(data) = testkit::sample_data() else { return };
    let file = tempfile::tempdir().unwrap();
    let database = file.path().join("chinook.db");
    testkit::load_chinook_sqlite(&database, &data);
    assert!(database.metadata().unwrap().len() > 500_000);
    for version in [PgVersion::V15, PgVersion::V18] {
        let Some(server) = Postgres::shared(version) else { continue };
        testkit::load_chinook(server, "tk_chinook", &data);
        assert_eq!(server.psql("tk_chinook", "SELECT count(*) FROM track").trim(), "3503");
        testkit::load_sakila(server, "tk_sakila", &data);
        assert_eq!(server.psql("tk_sakila", "SELECT count(*) FROM film").trim(), "1000");
    }
}
