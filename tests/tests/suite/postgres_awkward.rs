//! Servers that are not as one would wish: each works, or is refused with the cause and the next step.

use std::sync::atomic::{AtomicBool, Ordering};

use lastgood::{Code, Phase, Progress, Result, Settings, Vault};
use testkit::{Authority, PgBouncer, PgVersion, Postgres, Setup};

use crate::postgres_life::SHOP;
use crate::world::{World, answer, must_fail, refusal};

/// A server of its own with the shop's database.
fn shop(setup: &Setup) -> Option<Postgres> {
    let server = Postgres::start_with(PgVersion::V15, setup)?;
    server.create("shop");
    server.psql("shop", SHOP);
    Some(server)
}

/// A database on the shared server that holds a little of everything that can be closed to a role.
fn guarded(server: &Postgres, database: &str) {
    server.create(database);
    server.psql(
        database,
        "CREATE SCHEMA vault; CREATE TABLE vault.t (id int); CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int);
         CREATE SEQUENCE s; INSERT INTO a SELECT generate_series(1, 100);",
    );
}

/// A role with this password, which is given what `grants` says with `$role` for its name.
fn role(server: &Postgres, database: &str, name: &str, grants: &str) -> String {
    server.psql("postgres", &format!("DROP ROLE IF EXISTS {name}"));
    server.psql("postgres", &format!("CREATE ROLE {name} LOGIN PASSWORD 'rolepass'"));
    server.psql(database, &grants.replace("$role", name));
    server.url_of(name, "rolepass", database)
}

async fn backup(world: &World, url: &str) -> Result<lastgood::BackupReport> {
    world.vault(url).await.backup().await
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_a_role_may_not_read_is_named_before_anything_is_read() {
    for version in [PgVersion::V15, PgVersion::V18] {
        let Some(server) = Postgres::shared(version) else { continue };
        guarded(server, "awkward_closed");
        server.psql("awkward_closed", "SELECT lo_create(4711)");
        let url = role(server, "awkward_closed", "awkward_nobody", "GRANT SELECT ON a TO $role");
        let world = World::new();
        let error = backup(&world, &url).await.unwrap_err();
        assert_eq!(error.code(), Code::DatabaseDenied, "{error}");
        for closed in ["schema vault", "2 tables (public.b, vault.t)", "sequence public.s", "large object 4711"] {
            assert!(error.message().contains(closed), "`{closed}`: {error}");
        }
        assert!(error.next_step().unwrap().contains("GRANT pg_read_all_data TO awkward_nobody"), "{error}");
        assert_eq!(world.vault(&url).await.list().await.unwrap(), []);
        server.drop("awkward_closed");
    }
}

/// The GRANTs that docs/postgres.md gives.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_with_the_documented_grants_makes_whole_backups() {
    for version in PgVersion::ALL {
        let Some(server) = Postgres::shared(version) else { continue };
        guarded(server, "awkward_least");
        server.psql("awkward_least", SHOP);
        let objects = server.psql("awkward_least", "SELECT oid FROM pg_largeobject_metadata");
        let grants = format!(
            "GRANT pg_read_all_data TO $role; ALTER ROLE $role BYPASSRLS; GRANT CONNECT ON DATABASE awkward_least TO $role;
             GRANT SELECT ON LARGE OBJECT {} TO $role",
            objects.trim()
        );
        let url = role(server, "awkward_least", "awkward_reader", &grants);
        let world = World::new();
        let report = backup(&world, &url).await.unwrap();
        assert_eq!(report.warnings, []);
        server.drop("awkward_least_restored");
        let restored = server.url("awkward_least_restored");
        world.vault(&url).await.restore("latest").target(&restored).await.unwrap();
        assert_eq!(server.content("awkward_least_restored"), server.content("awkward_least"));
        server.drop("awkward_least");
        server.drop("awkward_least_restored");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn row_level_security_in_force_is_refused_with_the_tables_and_the_remedy() {
    let Some(server) = Postgres::shared(PgVersion::V15) else { return };
    server.create("awkward_rls");
    let url = role(
        server,
        "awkward_rls",
        "awkward_ruled",
        "CREATE TABLE mine (id int); CREATE TABLE forced (id int); CREATE TABLE theirs (id int); CREATE TABLE off (id int);
         ALTER TABLE mine OWNER TO $role; ALTER TABLE forced OWNER TO $role; ALTER TABLE mine ENABLE ROW LEVEL SECURITY;
         ALTER TABLE forced ENABLE ROW LEVEL SECURITY; ALTER TABLE forced FORCE ROW LEVEL SECURITY;
         ALTER TABLE theirs ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON theirs TO $role USING (true);
         GRANT pg_read_all_data TO $role",
    );
    let world = World::new();
    let error = backup(&world, &url).await.unwrap_err();
    assert_eq!(error.code(), Code::RowSecurity, "{error}");
    assert!(error.message().contains("2 tables (public.forced, public.theirs)"), "{error}");
    assert!(error.next_step().unwrap().contains("BYPASSRLS"), "{error}");
    server.psql("postgres", "ALTER ROLE awkward_ruled BYPASSRLS");
    assert_eq!(backup(&world, &url).await.unwrap().warnings, []);
    server.drop("awkward_rls");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_a_superuser_may_see_is_left_out_and_told() {
    let Some(server) = Postgres::shared(PgVersion::V15) else { return };
    guarded(server, "awkward_provider");
    // As a provider sets it up: its own extension, event trigger and subscription beside our tables.
    server.psql(
        "awkward_provider",
        "CREATE EXTENSION file_fdw; CREATE SERVER far FOREIGN DATA WRAPPER file_fdw;
         CREATE USER MAPPING FOR PUBLIC SERVER far;
         CREATE FUNCTION watch() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
         CREATE EVENT TRIGGER watcher ON ddl_command_end EXECUTE FUNCTION watch();
         CREATE SUBSCRIPTION far CONNECTION 'host=nowhere password=secret' PUBLICATION p WITH (connect = false, slot_name = NONE)",
    );
    let url = role(server, "awkward_provider", "awkward_tenant", "GRANT pg_read_all_data TO $role");
    let world = World::new();
    let report = backup(&world, &url).await.unwrap();
    let told = |code: &str, thing: &str| report.warnings.iter().any(|w| w.code == code && w.message.contains(thing));
    assert!(told("unsupported_object", "subscription far"), "{:?}", report.warnings);
    assert!(told("hidden_options", "SERVER far"), "{:?}", report.warnings);
    server.psql("awkward_provider", "ALTER SUBSCRIPTION far DISABLE; DROP SUBSCRIPTION far");
    server.drop("awkward_provider");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_in_session_mode_is_as_good_as_the_server() {
    let Some(server) = shop(&Setup::default()) else { return };
    let Some(pooler) = PgBouncer::start(&server, "session", &[]) else { return };
    let world = World::new();
    let vault = world.vault(&pooler.url("shop")).await;
    vault.backup().await.unwrap();
    vault.drill("latest").await.unwrap();
    vault.restore("latest").target(pooler.url("restored")).await.unwrap();
    assert_eq!(server.content("restored"), server.content("shop"));
    assert_eq!(server.databases(), ["restored", "shop"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_that_does_not_keep_sessions_is_refused_and_left_as_it_was() {
    let Some(server) = shop(&Setup::default()) else { return };
    for (mode, says, settings) in [
        ("transaction", "each transaction", &[][..]),
        ("transaction", "each transaction", &["server_round_robin = 1", "min_pool_size = 5"]),
        ("transaction", "each transaction", &["default_pool_size = 1"]),
        ("statement", "each statement", &[]),
    ] {
        let Some(pooler) = PgBouncer::start(&server, mode, settings) else { return };
        let url = pooler.url("shop");
        let world = World::new();
        for _ in 0..3 {
            let refused = backup(&world, &url).await.unwrap_err();
            assert_eq!(refused.code(), Code::PoolerMode, "{mode} {settings:?}: {refused}");
            assert!(refused.message().contains(says), "{refused}");
            assert!(refused.next_step().unwrap().contains("session mode"), "{refused}");
        }
        // The application's sessions keep their settings.
        let show = |what: &str| {
            let sql = format!("SHOW {what}");
            testkit::tool(std::process::Command::new(server.tool("psql")).args(["-XqAtc", &sql, &url]))
        };
        assert_eq!(show("search_path").trim(), "\"$user\", public");
        assert_eq!(show("row_security").trim(), "on");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_that_refuses_start_up_options_says_so() {
    let Some(server) = shop(&Setup::default()) else { return };
    let Some(pooler) = PgBouncer::start(&server, "session", &[]) else { return };
    let world = World::new();
    let url = format!("{}?options=-c%20work_mem%3D8MB", pooler.url("shop"));
    must_fail(backup(&world, &url).await, Code::DatabaseDenied, "ignore_startup_parameters");
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_used_as_asked_or_refused_with_the_cause() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let certificate = authority.issue("server", "IP:127.0.0.1,DNS:db.test", 30);
    let client = authority.issue("certified", "", 30);
    let rules = "hostssl all certified 127.0.0.1/32 cert\nhostnossl all certified 127.0.0.1/32 reject";
    let Some(server) = shop(&Setup::default().tls(&certificate).hba(rules)) else { return };
    server.psql("shop", "CREATE ROLE certified LOGIN SUPERUSER");
    let url = server.url("shop");
    let (root, other) = (certificate.root.display(), stranger.root());
    let world = World::new();
    let check = |parameters: String| backup_over(&world, format!("{url}?{parameters}"));
    for good in [
        "sslmode=disable".to_owned(),
        "sslmode=prefer".to_owned(),
        "sslmode=require".to_owned(),
        format!("sslmode=require&sslrootcert={root}"),
        format!("sslmode=verify-ca&sslrootcert={root}"),
        format!("sslmode=verify-full&sslrootcert={root}"),
        format!("sslmode=require&channel_binding=require&sslrootcert={root}"),
    ] {
        check(good.clone()).await.unwrap_or_else(|e| panic!("{good}: {e}"));
    }
    // Names that are not in the certificate: `localhost` is the same server.
    let by_name =
        |parameters: String| backup_over(&world, format!("{url}?{parameters}").replace("127.0.0.1", "localhost"));
    by_name(format!("sslmode=verify-ca&sslrootcert={root}")).await.unwrap();
    let wrong_name = by_name(format!("sslmode=verify-full&sslrootcert={root}")).await;
    must_fail(wrong_name, Code::TlsFailed, "connect by a name that is in the server's certificate");

    for untrusted in ["sslmode=verify-full", "sslmode=require&channel_binding=require", "sslrootcert=system"] {
        must_fail(check(untrusted.to_owned()).await, Code::TlsFailed, "sslrootcert");
    }
    let strange = format!("sslmode=require&sslrootcert={}", other.display());
    must_fail(check(strange).await, Code::TlsFailed, "CA that issued");
    let absent = "sslmode=verify-full&sslrootcert=/nonexistent/ca.pem".to_owned();
    must_fail(check(absent).await, Code::LocalFile, "/nonexistent/ca.pem");

    let (cert, key) = (client.certificate.display(), client.key.display());
    let certified = server.url_of("certified", "x", "shop");
    let with = |parameters: &str| backup_over(&world, format!("{certified}?{parameters}"));
    with(&format!("sslmode=require&sslcert={cert}&sslkey={key}")).await.unwrap();
    must_fail(with("sslmode=require").await, Code::DatabaseDenied, "certificate");
    must_fail(with("sslmode=disable").await, Code::DatabaseDenied, "pg_hba.conf");
    must_fail(with(&format!("sslmode=require&sslcert={cert}")).await, Code::InvalidUrl, "key");
    let foreign = stranger.issue("certified", "", 30);
    let (cert, key) = (foreign.certificate.display(), foreign.key.display());
    must_fail(with(&format!("sslmode=require&sslcert={cert}&sslkey={key}")).await, Code::TlsFailed, "sslcert");
}

async fn backup_over(world: &World, url: String) -> Result<lastgood::BackupReport> {
    backup(world, &url).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_certificate_and_a_server_without_tls_are_told_apart() {
    let authority = Authority::new();
    let expired = authority.issue("expired", "IP:127.0.0.1", -1);
    let Some(server) = shop(&Setup::default().tls(&expired)) else { return };
    let world = World::new();
    let url = format!("{}?sslmode=verify-full&sslrootcert={}", server.url("shop"), expired.root.display());
    must_fail(backup(&world, &url).await, Code::TlsFailed, "renew the server's certificate");
    let Some(plain) = Postgres::shared(PgVersion::V15) else { return };
    for mode in ["require", "verify-ca", "verify-full"] {
        let url = format!("{}?sslmode={mode}", plain.url("postgres"));
        must_fail(backup(&world, &url).await, Code::TlsFailed, "does not support TLS");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_let_in_hears_why() {
    let rules = "host all old 127.0.0.1/32 md5\nhost all trusted 127.0.0.1/32 trust\nhost all shut 127.0.0.1/32 reject";
    let Some(server) = shop(&Setup::default().hba(rules)) else { return };
    server.psql(
        "shop",
        "SET password_encryption = 'md5'; CREATE ROLE old SUPERUSER LOGIN PASSWORD 'oldpass';
         CREATE ROLE trusted SUPERUSER LOGIN; CREATE ROLE shut LOGIN; CREATE ROLE nologin",
    );
    let world = World::new();
    let of = |role: &str, password: &str| server.url_of(role, password, "shop");
    backup(&world, &of("old", "oldpass")).await.unwrap();
    backup(&world, &of("trusted", "anything")).await.unwrap();
    for (url, thing) in [
        (of("postgres", "wrong"), "password"),
        (of("old", "wrong"), "password"),
        (of("stranger", "x"), "password"),
        (of("shut", "x"), "pg_hba.conf"),
        (of("nologin", "x"), "role"),
    ] {
        must_fail(backup(&world, &url).await, Code::DatabaseDenied, thing);
    }
    must_fail(backup(&world, &server.url("nowhere")).await, Code::DatabaseNotFound, "nowhere");
    let unused = "postgres://u@127.0.0.1:1/x";
    must_fail(backup(&world, unused).await, Code::DatabaseUnavailable, "listens");
}

#[test]
fn unix_sockets_and_the_password_file_work_as_for_libpq() {
    let Some(server) = shop(&Setup::default().socket("here")) else { return };
    let world = World::new();
    let port = server.port();
    let file = world.file(
        "pgpass",
        &format!("localhost:{port}:*:postgres:{0}\n127.0.0.1:{port}:shop:postgres:{0}\n", server.password()),
    );
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&file, mode).unwrap();
    let over_socket = format!("postgres://postgres@/shop?host={}&port={port}", server.socket().unwrap());
    let over_tcp = format!("postgres://postgres@127.0.0.1:{port}/shop");
    let encrypted_socket = format!("{over_socket}&sslmode=require");
    for url in [&over_tcp, &over_socket, &encrypted_socket] {
        let mut command = world.command(&["backup", "--database", url]);
        answer(command.env("PGPASSWORD", server.password()));
    }
    answer(world.command(&["backup", "--database", &over_tcp]).env("PGPASSFILE", &file));
    let (code, error) = refusal(&mut world.command(&["backup", "--database", &over_tcp]));
    assert_eq!((code, error["code"].as_str().unwrap()), (5, "database_denied"));
    assert!(error["next"].as_str().unwrap().contains(".pgpass"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abstract_socket_works() {
    let name = format!("@lastgood-{}", std::process::id());
    let Some(server) = shop(&Setup::default().socket(&name)) else { return };
    let world = World::new();
    let url = format!("postgres://postgres:{}@/shop?host={name}&port={}", server.password(), server.port());
    backup(&world, &url).await.unwrap();
}

/// Settings that would change a dump's text, or cut it off, each with a value that does.
const HOSTILE: &[&str] = &[
    "statement_timeout = '60ms'",
    "lock_timeout = '60ms'",
    "idle_in_transaction_session_timeout = '200ms'",
    "idle_session_timeout = '200ms'",
    "default_transaction_read_only = on",
    "default_transaction_isolation = serializable",
    "default_transaction_deferrable = on",
    "search_path = 'Odd Name', public",
    "DateStyle = 'German, DMY'",
    "IntervalStyle = 'sql_standard'",
    "TimeZone = 'Asia/Kathmandu'",
    "row_security = off",
    "client_encoding = 'LATIN1'",
    "bytea_output = 'escape'",
    "extra_float_digits = -15",
    "xmloption = document",
    "xmlbinary = hex",
    "array_nulls = off",
    "transform_null_equals = on",
    "quote_all_identifiers = on",
    "standard_conforming_strings = off",
    "backslash_quote = off",
    "enable_tidscan = off",
    "enable_seqscan = off",
    "client_min_messages = debug1",
    "synchronize_seqscans = on",
    "max_parallel_workers_per_gather = 8",
];

#[tokio::test(flavor = "multi_thread")]
async fn no_setting_of_the_role_or_the_database_changes_a_dump() {
    let values = "CREATE TABLE kinds (f float8, d date, i interval, t timestamptz, b bytea, a text[], pad text);
        INSERT INTO kinds SELECT 0.1::float8 / 3, '2024-02-03', '1 day 02:03', '2024-02-03 04:05:06+00', '\\x00ff',
            ARRAY['NULL', NULL, 'ä'], repeat('ü', 3000) FROM generate_series(1, 2000);
        CREATE VIEW nulls AS SELECT * FROM kinds WHERE NOT (f = NULL);";
    for version in [PgVersion::V15, PgVersion::V18] {
        let Some(server) = Postgres::shared(version) else { continue };
        server.create("awkward_hostile");
        server.psql("awkward_hostile", SHOP);
        server.psql("awkward_hostile", values);
        server.psql(
            "postgres",
            "DROP ROLE IF EXISTS awkward_plain; CREATE ROLE awkward_plain SUPERUSER LOGIN PASSWORD 'p'",
        );
        server
            .psql("postgres", "DROP ROLE IF EXISTS awkward_set; CREATE ROLE awkward_set SUPERUSER LOGIN PASSWORD 'p'");
        for setting in HOSTILE {
            server.psql("postgres", &format!("ALTER ROLE awkward_set SET {setting}"));
        }
        if version != PgVersion::V15 {
            server.psql("postgres", "ALTER ROLE awkward_set SET transaction_timeout = '200ms'");
        }
        let (world, mut seen) = (World::new(), Vec::new());
        for role in ["awkward_plain", "awkward_set"] {
            let url = server.url_of(role, "p", "awkward_hostile");
            let vault = world.builder(&url).name(role).open().await.unwrap();
            let report = vault.backup().await.unwrap();
            assert_eq!(report.warnings, []);
            seen.push(vault.show("latest").await.unwrap().table_summaries);
            let restored = format!("{role}_restored");
            server.drop(&restored);
            vault.restore("latest").target(server.url_of(role, "p", &restored)).await.unwrap();
            assert_eq!(server.content(&restored), server.content("awkward_hostile"));
            let schema = server.pg_dump_schema("awkward_hostile");
            crate::postgres_life::same_schema(&server.pg_dump_schema(&restored), &schema, role);
            server.drop(&restored);
        }
        assert_eq!(seen[0], seen[1]);
        server.drop("awkward_hostile");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_few_connections_left_is_read_with_fewer() {
    for version in [PgVersion::V15, PgVersion::V18] {
        let Some(server) = Postgres::shared(version) else { continue };
        guarded(server, "awkward_few");
        server.psql("awkward_few", "SELECT lo_from_bytea(0, 'large')");
        // Parts that do not fit into the queues between the workers.
        let big = "CREATE TABLE big AS SELECT i, (SELECT string_agg(md5((i * 100 + k)::text), '') AS pad
                   FROM generate_series(1, 30) k) FROM generate_series(1, 30000) i";
        server.psql("awkward_few", big);
        let object = server.psql("awkward_few", "SELECT oid FROM pg_largeobject_metadata");
        let grants =
            format!("GRANT pg_read_all_data TO $role; GRANT SELECT ON LARGE OBJECT {} TO $role", object.trim());
        let url = role(server, "awkward_few", "awkward_limited", &grants);
        let mut settings = Settings::default();
        settings.jobs = 4;
        for (limit, had) in [(1, "0 of 4"), (2, "1 of 4"), (4, "3 of 4")] {
            server.psql("postgres", &format!("ALTER ROLE awkward_limited CONNECTION LIMIT {limit} CREATEDB"));
            let world = World::new();
            let vault = world.builder(&url).settings(settings.clone()).open().await.unwrap();
            let report = vault.backup().await.unwrap_or_else(|e| panic!("{limit}: {e}"));
            let fewer = report.warnings.iter().find(|w| w.code == "fewer_connections").unwrap();
            assert!(fewer.message.contains(had), "{limit}: {}", fewer.message);
            vault.verify("latest").await.unwrap();
            assert_eq!(report.rows, vault.show("latest").await.unwrap().summary.rows);
        }
        server.psql("postgres", "ALTER ROLE awkward_limited CONNECTION LIMIT 0");
        let world = World::new();
        let none = world.builder(&url).open().await.unwrap().backup().await;
        must_fail(none, Code::TooManyConnections, "CONNECTION LIMIT");

        // A restore goes on with fewer as well.
        server.psql("postgres", "ALTER ROLE awkward_limited CONNECTION LIMIT 3");
        let world = World::new();
        let vault = world.builder(&server.url("awkward_few")).settings(settings).open().await.unwrap();
        vault.backup().await.unwrap();
        server.drop("awkward_few_restored");
        let target = server.url_of("awkward_limited", "rolepass", "awkward_few_restored");
        let report = vault.restore("latest").target(target).no_owner().await.unwrap();
        assert!(report.warnings.iter().any(|w| w.code == "fewer_connections"), "{:?}", report.warnings);
        assert_eq!(server.content("awkward_few_restored"), server.content("awkward_few"));
        server.drop("awkward_few_restored");
        server.drop("awkward_few");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hot_standby_is_backed_up_but_for_what_it_does_not_have() {
    let Some(primary) = shop(&Setup::default()) else { return };
    primary.psql(
        "shop",
        "CREATE UNLOGGED TABLE fleeting (id int GENERATED ALWAYS AS IDENTITY); INSERT INTO fleeting DEFAULT VALUES;
         CREATE UNLOGGED SEQUENCE counter",
    );
    // A role whose transactions would be serializable, which a standby refuses.
    primary.psql("shop", "ALTER ROLE postgres IN DATABASE shop SET default_transaction_isolation = serializable");
    let standby = primary.standby(&Setup::default());
    standby.catch_up(&primary);
    let world = World::new();
    let vault = world.vault(&standby.url("shop")).await;
    let report = vault.backup().await.unwrap();
    let unlogged: Vec<&str> =
        report.warnings.iter().filter(|w| w.code == "unlogged_on_standby").map(|w| w.message.as_str()).collect();
    assert!(unlogged.iter().any(|m| m.contains("rows of public.fleeting")), "{:?}", report.warnings);
    assert!(unlogged.iter().any(|m| m.contains("value of public.counter")), "{:?}", report.warnings);
    let details = vault.show("latest").await.unwrap();
    assert_eq!(details.point.kind, "lsn");
    let replayed = format!("SELECT '{}'::pg_lsn <= pg_last_wal_replay_lsn()", details.point.position);
    assert_eq!(standby.psql("postgres", &replayed).trim(), "t");
    vault.restore("latest").target(primary.url("restored")).await.unwrap();
    primary.psql("shop", "TRUNCATE fleeting");
    assert_eq!(primary.content("restored"), primary.content("shop"));
    primary.psql("restored", "INSERT INTO fleeting DEFAULT VALUES");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_with_a_standbys_recovery_is_explained() {
    let Some(primary) = Postgres::start(PgVersion::V15) else { return };
    primary.create("big");
    primary.psql(
        "big",
        "CREATE TABLE t AS SELECT i AS id, repeat(md5(i::text), 30) AS pad FROM generate_series(1, 40000) i",
    );
    let standby =
        primary.standby(&Setup::default().set("max_standby_streaming_delay=0").set("hot_standby_feedback=off"));
    standby.catch_up(&primary);
    let world = World::new();
    let mut settings = Settings::default();
    settings.part_bytes = 256 << 10;
    let vault: Vault = world.builder(&standby.url("big")).settings(settings).open().await.unwrap();
    let done = AtomicBool::new(false);
    let outcome = vault.backup().on_progress(move |p: Progress| {
        if p.phase == Phase::Dumping && p.bytes_done > 0 && !done.swap(true, Ordering::Relaxed) {
            primary.psql("big", "DELETE FROM t");
            primary.psql("big", "VACUUM t");
            standby.catch_up(&primary);
        }
    });
    let outcome = outcome.await;
    must_fail(outcome, Code::RecoveryConflict, "hot_standby_feedback");
    assert_eq!(vault.list().await.unwrap(), []);
}
