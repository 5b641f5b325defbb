//! Roles and tablespaces come back on a server that does not have them, by a restore or by psql, and nothing that is
//! there is changed.

use std::process::{Command, Stdio};

use lastgood::{Code, Vault};
use testkit::{PgVersion, Postgres, tool};

use crate::world::{World, must_fail};

const ROLES: &str = r#"
    CREATE ROLE app_owner NOLOGIN CREATEDB;
    CREATE ROLE app LOGIN CONNECTION LIMIT 7 PASSWORD 'canary-of-app' VALID UNTIL '2037-01-01 00:00:00+00';
    CREATE ROLE "Odd; ""one""'s" LOGIN NOINHERIT BYPASSRLS REPLICATION PASSWORD 'canary-of-odd';
    CREATE ROLE boss SUPERUSER LOGIN;
    CREATE ROLE readers;
    COMMENT ON ROLE app IS 'it''s; "ours"
-- still';
    ALTER ROLE app SET search_path = shop, "Odd, name", public;
    ALTER ROLE app SET work_mem = '5MB';
    ALTER ROLE "Odd; ""one""'s" SET "my.setting" = 'it''s; fine';
    GRANT app_owner TO app;
    GRANT readers TO app WITH ADMIN OPTION;
    GRANT pg_monitor TO "Odd; ""one""'s";
    GRANT readers TO boss;
    GRANT SET ON PARAMETER log_statement TO app WITH GRANT OPTION;
    GRANT SET, ALTER SYSTEM ON PARAMETER log_duration TO readers;
"#;

/// With 16 the options of a membership came, and a grantor that means something.
const ROLES_16: &str = r#"
    GRANT app_owner TO readers WITH INHERIT FALSE, SET FALSE;
    GRANT readers TO "Odd; ""one""'s" WITH INHERIT TRUE GRANTED BY app;
"#;

const DATABASE: &str = r#"
    CREATE TABLE t AS SELECT i AS id FROM generate_series(1, 100) i;
    ALTER TABLE t OWNER TO app_owner;
    GRANT SELECT ON t TO readers, "Odd; ""one""'s";
    CREATE POLICY p ON t TO boss USING (true);
    CREATE EXTENSION IF NOT EXISTS postgres_fdw;
    CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw;
    CREATE USER MAPPING FOR app SERVER s OPTIONS (user 'x');
"#;

/// A server with these roles and a database that refers to them.
fn source(version: PgVersion) -> Option<Postgres> {
    let server = Postgres::start(version)?;
    server.psql("postgres", ROLES);
    if version.number() >= 16 {
        server.psql("postgres", ROLES_16);
    }
    server.create("shop");
    // Not every build has every extension.
    let fdw = server.psql("shop", "SELECT 1 FROM pg_available_extensions WHERE name = 'postgres_fdw'");
    let sql: Vec<&str> =
        DATABASE.lines().filter(|l| !fdw.is_empty() || !l.contains("EXTENSION") && !l.contains("SERVER")).collect();
    server.psql("shop", &sql.join("\n"));
    server.psql("shop", "ALTER ROLE app IN DATABASE shop SET work_mem = '6MB'");
    Some(server)
}

async fn backed_up(server: &Postgres) -> (World, Vault) {
    let world = World::new();
    let vault = world.vault(&server.url("shop")).await;
    assert_eq!(vault.backup().globals().await.unwrap().warnings, []);
    (world, vault)
}

/// What pg_dumpall tells of a server's roles and tablespaces, but for the superuser that initdb made.
fn globals(server: &Postgres) -> Vec<String> {
    let dump = tool(server.client("pg_dumpall").args(["--globals-only", "-d", "dbname=postgres"]));
    let telling = |line: &&str| !line.is_empty() && !line.starts_with("--") && !line.starts_with('\\');
    let ours = |line: &&str| !line.starts_with("ALTER ROLE postgres ");
    dump.lines().filter(telling).filter(ours).map(str::to_owned).collect()
}

/// Makes a folder that belongs to the server's user.
fn server_folder(server: &Postgres, name: &str) -> String {
    let path = format!("/tmp/lastgood-tablespace-{}-{name}", server.port());
    server.psql("postgres", &format!("COPY (SELECT 1) TO PROGRAM 'mkdir -p {path}; cat > /dev/null'"));
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_into_a_fresh_server_creates_what_pg_dumpall_would() {
    for version in [PgVersion::V15, PgVersion::V16, PgVersion::V18] {
        let (Some(source), Some(fresh)) = (source(version), Postgres::start(version)) else { continue };
        let (_world, vault) = backed_up(&source).await;
        let missing = vault.restore("latest").target(fresh.url("shop")).await;
        must_fail(missing, Code::MissingRole, "app_owner");
        let report = vault.restore("latest").target(fresh.url("shop")).globals().await.unwrap();
        assert_eq!(report.warnings, [], "{version:?}");
        assert_eq!(
            report.created,
            ["role Odd; \"one\"'s", "role app", "role app_owner", "role boss", "role readers"],
            "{version:?}"
        );
        assert_eq!(globals(&fresh), globals(&source), "{version:?}");
        assert_eq!(fresh.pg_dump_schema("shop"), source.pg_dump_schema("shop"), "{version:?}");
        // The password is the one it was.
        let login = |server: &Postgres, password: &str| {
            let mut psql = Command::new(server.tool("psql"));
            psql.args(["-XAtc", "SELECT current_setting('work_mem')", "-d", "shop", "-U", "app", "-h", "127.0.0.1"]);
            psql.env("PGPASSWORD", password).args(["-p", &server.port().to_string()]).stderr(Stdio::null());
            String::from_utf8(psql.output().unwrap().stdout).unwrap().trim().to_owned()
        };
        assert_eq!((login(&fresh, "canary-of-app"), login(&fresh, "wrong")), ("6MB".to_owned(), String::new()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn psql_loads_the_file_and_pg_restore_passes_it_over() {
    for version in [PgVersion::V15, PgVersion::V18] {
        let (Some(source), Some(fresh)) = (source(version), Postgres::start(version)) else { continue };
        source.psql("postgres", "CREATE ROLE unrelated; COMMENT ON ROLE unrelated IS 'in the file all the same'");
        let folder = server_folder(&source, "by-hand");
        source.psql("postgres", &format!("CREATE TABLESPACE fast OWNER app LOCATION '{folder}'"));
        source.psql("postgres", "ALTER TABLESPACE fast SET (random_page_cost = 1.5); GRANT CREATE ON TABLESPACE fast TO readers; COMMENT ON TABLESPACE fast IS 'it''s'");
        let (world, vault) = backed_up(&source).await;
        vault.export("latest").folder(world.path("dump")).await.unwrap();
        let before = globals(&source);
        // One folder serves one server at a time.
        source.psql("postgres", "DROP TABLESPACE fast");
        fresh.psql_file("postgres", &world.path("dump/globals.sql"));
        assert_eq!(globals(&fresh), before, "{version:?}");
        fresh.create("shop");
        tool(fresh.client("pg_restore").args(["--exit-on-error", "-j", "2", "-d", "shop"]).arg(world.path("dump")));
        assert_eq!(fresh.pg_dump_schema("shop"), source.pg_dump_schema("shop"));
        assert_eq!(fresh.content("shop"), source.content("shop"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_that_are_there_stay_as_they_are_and_a_failed_restore_leaves_none() {
    let version = PgVersion::V18;
    let (Some(source), Some(fresh)) = (source(version), Postgres::start(version)) else { return };
    // Tells the database in which it was made; the view is filled last of all.
    let home = "CREATE FUNCTION home() RETURNS int LANGUAGE sql AS $$ SELECT 1 / (current_database() ~ 'shop')::int $$;
        CREATE MATERIALIZED VIEW m AS SELECT public.home()";
    source.psql("shop", home);
    let (_world, vault) = backed_up(&source).await;
    fresh.psql("postgres", "CREATE ROLE app LOGIN SUPERUSER; CREATE ROLE bystander");
    let before = globals(&fresh);
    must_fail(vault.restore("latest").target(fresh.url("away")).globals().await, Code::DatabaseError, "division");
    assert_eq!(globals(&fresh), before);
    assert_eq!(fresh.databases(), [""; 0]);

    let report = vault.restore("latest").target(fresh.url("shop")).globals().await.unwrap();
    let told: Vec<_> =
        report.warnings.iter().map(|w| (w.code.as_str(), w.message.contains("role app is there"))).collect();
    assert_eq!(told, [("global_differs", true)]);
    assert!(!report.created.contains(&"role app".to_owned()));
    let after = globals(&fresh);
    let app = |all: &[String]| all.iter().filter(|l| l.starts_with("ALTER ROLE app ")).cloned().collect::<Vec<_>>();
    assert_eq!(app(&after), app(&before));
    assert_eq!(fresh.psql("shop", "SELECT count(*) FROM t").trim(), "100");
    // A second time there is nothing left to create.
    let again = vault.restore("latest").target(fresh.url("shop_again")).globals().await.unwrap();
    assert_eq!(again.created, [""; 0]);
    assert_eq!(globals(&fresh), after);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_without_a_superuser_gets_what_its_role_may_give() {
    for version in [PgVersion::V15, PgVersion::V16, PgVersion::V18] {
        let (Some(source), Some(fresh)) = (source(version), Postgres::start(version)) else { continue };
        source.psql("shop", "DROP SCHEMA IF EXISTS s CASCADE; DROP EXTENSION IF EXISTS postgres_fdw CASCADE");
        let (_world, vault) = backed_up(&source).await;
        fresh.psql(
            "postgres",
            "CREATE ROLE modest LOGIN CREATEDB PASSWORD 'modest'; GRANT pg_monitor TO modest WITH ADMIN OPTION",
        );
        let url = |database: &str| format!("postgres://modest:modest@127.0.0.1:{}/{database}", fresh.port());
        let restore = || vault.restore("latest").target(url("shop")).globals();
        must_fail(restore().await, Code::DatabaseDenied, "may not create roles");
        fresh.psql("postgres", "ALTER ROLE modest CREATEROLE");
        // The database belongs to the source's superuser, which nobody can be made.
        must_fail(restore().await, Code::DatabaseDenied, "postgres");
        assert_eq!(fresh.psql("postgres", "SELECT count(*) FROM pg_roles WHERE rolname ~ '^app'").trim(), "0");

        let report = restore().no_owner().await.unwrap();
        let told: Vec<_> = report.warnings.iter().map(|w| w.message.as_str()).collect();
        assert!(told.iter().any(|m| m.contains("boss was created without SUPERUSER")), "{told:?}");
        assert!(told.iter().any(|m| m.contains("REPLICATION, BYPASSRLS")), "{told:?}");
        assert!(told.iter().any(|m| m.contains("parameter")), "{told:?}");
        let roles = "SELECT string_agg(rolname, ',' ORDER BY rolname) FROM pg_roles WHERE rolname IN ('app', 'app_owner', 'boss', 'readers')";
        assert_eq!(fresh.psql("shop", roles).trim(), "app,app_owner,boss,readers");
        assert_eq!(fresh.psql("shop", "SELECT has_table_privilege('readers', 't', 'SELECT')").trim(), "t");
        let may = "SELECT rolpassword ~ '^SCRAM' FROM pg_authid WHERE rolname = 'app'";
        assert_eq!(fresh.psql("shop", may).trim(), "t");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_access_to_passwords_roles_come_without_and_it_is_said() {
    let Some(source) = source(PgVersion::V15) else { return };
    source.psql("postgres", "CREATE ROLE watcher LOGIN PASSWORD 'watcher'");
    source.psql("shop", "DROP EXTENSION IF EXISTS postgres_fdw CASCADE; GRANT SELECT ON t TO watcher");
    let url = format!("postgres://watcher:watcher@127.0.0.1:{}/shop", source.port());
    let world = World::new();
    let vault = world.vault(&url).await;
    let codes = |warnings: &[lastgood::Warning]| warnings.iter().map(|w| w.code.clone()).collect::<Vec<_>>();
    assert!(codes(&vault.backup().globals().await.unwrap().warnings).contains(&"passwords_left_out".to_owned()));
    let Some(fresh) = Postgres::start(PgVersion::V15) else { return };
    let report = vault.restore("latest").target(fresh.url("shop")).globals().await.unwrap();
    assert_eq!(codes(&report.warnings), ["no_password"], "{:?}", report.warnings);

    // Nor does a store that anybody can read get any.
    let open =
        Vault::builder().database(source.url("shop")).store(world.path("open").display().to_string()).unencrypted();
    let open = open.open().await.unwrap();
    assert_eq!(codes(&open.backup().globals().await.unwrap().warnings), ["passwords_left_out"]);
    for bytes in crate::world::files(&world.path("open")).values() {
        assert!(!bytes.windows(13).any(|w| w == b"SCRAM-SHA-256"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn verifiers_are_in_no_answer_log_or_stored_object() {
    let Some(source) = source(PgVersion::V15) else { return };
    let verifier = source.psql("postgres", "SELECT rolpassword FROM pg_authid WHERE rolname = 'app'").trim().to_owned();
    let world = World::new();
    let url = source.url("shop");
    let mut said = String::new();
    let Some(fresh) = Postgres::start(PgVersion::V15) else { return };
    let target = fresh.url("shop");
    for arguments in [
        &["backup", "--globals", "--database", &url, "--verbose"] as &[&str],
        &["show", "latest", "--name", "shop", "--json"],
        &["restore", "latest", "--name", "shop", "--globals", "--target", &target, "--verbose"],
        &["restore", "latest", "--name", "shop", "--globals", "--target", &target, "--verbose"],
    ] {
        let output = world.command(arguments).env("RUST_LOG", "trace").output().unwrap();
        said += &String::from_utf8_lossy(&[output.stdout, output.stderr].concat());
    }
    assert!(said.contains("created role app\n") && said.contains("target_not_empty"), "{said}");
    assert!(!said.contains(&verifier) && !said.contains("SCRAM-SHA-256$"), "{said}");
    for bytes in world.stored().values() {
        assert!(!bytes.windows(14).any(|w| w == b"SCRAM-SHA-256$"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tablespace_is_created_where_its_folder_is() {
    for version in [PgVersion::V15, PgVersion::V18] {
        let (Some(source), Some(fresh)) = (source(version), Postgres::start(version)) else { continue };
        let folder = server_folder(&source, "fast");
        source.psql("postgres", &format!("CREATE TABLESPACE fast OWNER app LOCATION '{folder}'"));
        source.psql("shop", "CREATE TABLE fast (id int) TABLESPACE fast");
        let (_world, vault) = backed_up(&source).await;
        source.psql("shop", "DROP TABLE fast");
        source.psql("postgres", "DROP TABLESPACE fast");
        tool(Command::new("rm").args(["-r", &folder]));

        let away = vault.restore("latest").target(fresh.url("away")).globals().await.unwrap();
        let codes: Vec<_> = away.warnings.iter().map(|w| w.code.as_str()).collect();
        assert_eq!(codes, ["missing_tablespace", "global_left_out"], "{:?}", away.warnings);

        assert_eq!(
            server_folder(&fresh, "fast").replace(&fresh.port().to_string(), &source.port().to_string()),
            folder
        );
        fresh.psql("postgres", &format!("COPY (SELECT 1) TO PROGRAM 'mkdir -p {folder}; cat > /dev/null'"));
        let report = vault.restore("latest").target(fresh.url("shop")).globals().await.unwrap();
        assert_eq!((report.created, report.warnings), (vec!["tablespace fast".to_owned()], vec![]));
        let place = "SELECT spcname, pg_get_userbyid(spcowner) FROM pg_class c JOIN pg_tablespace s ON s.oid = c.reltablespace WHERE relname = 'fast'";
        assert_eq!(fresh.psql("shop", place).trim(), "fast|app");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_on_a_server_without_the_roles_creates_none() {
    for version in [PgVersion::V15, PgVersion::V18] {
        let (Some(source), Some(fresh)) = (source(version), Postgres::start(version)) else { continue };
        let (_world, vault) = backed_up(&source).await;
        let before = globals(&fresh);
        fresh.psql("postgres", "CREATE DATABASE scratch");
        let report = vault.drill("latest").target(fresh.url("scratch")).await.unwrap();
        let told: Vec<_> = report.warnings.iter().map(|w| w.code.as_str()).collect();
        assert!(told.contains(&"policy_left_out"), "{:?}", report.warnings);
        assert_eq!((report.rows, globals(&fresh)), (100, before));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_without_globals_says_so() {
    let Some(source) = source(PgVersion::V15) else { return };
    let world = World::new();
    let vault = world.vault(&source.url("shop")).await;
    vault.backup().await.unwrap();
    let restore = vault.restore("latest").target(source.url("away")).globals();
    must_fail(restore.await, Code::InvalidOption, "no roles");
    assert_eq!(source.databases(), ["shop"]);
    let url = world.make("small.db", crate::world::SMALL);
    let vault = world.vault(&url).await;
    must_fail(vault.backup().globals().await, Code::InvalidOption, "SQLite");
}
