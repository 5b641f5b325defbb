//! Dumps that pg_dump and pg_dumpall make, in every format and compression that their builds have: restored natively,
//! they give what stock pg_restore and psql give.

use std::path::{Path, PathBuf};
use std::process::Command;

use lastgood::{Code, Vault};
use testkit::{PgVersion, Postgres, tool};

use crate::postgres_life::{SHOP, everything, same_schema};
use crate::world::{World, must_fail};

/// A vault without a store: enough to restore a file.
async fn vault() -> Vault {
    Vault::builder().without_store().open().await.unwrap()
}

/// What a database is by stock tools' measure.
struct Look {
    schema: String,
    content: Vec<String>,
    large_objects: String,
}

fn look(server: &Postgres, database: &str) -> Look {
    let large_objects =
        "SELECT oid, lomowner::regrole, lomacl, md5(lo_get(oid)) FROM pg_largeobject_metadata ORDER BY 1";
    Look {
        schema: server.pg_dump_schema(database),
        content: server.content(database),
        large_objects: server.psql(database, large_objects),
    }
}

fn same(restored: &Look, expected: &Look, what: &str) {
    same_schema(&restored.schema, &expected.schema, what);
    assert_eq!(restored.content, expected.content, "{what}");
    assert_eq!(restored.large_objects, expected.large_objects, "{what}");
}

fn pg_dump(server: &Postgres, database: &str, arguments: &[&str], to: &Path) -> bool {
    let mut command = server.client("pg_dump");
    command.args(arguments).args(["-d", database, "-f"]).arg(to);
    command.output().unwrap().status.success()
}

/// Restores a dump natively and looks at the result.
async fn natively(server: &Postgres, dump: &Path, what: &str) -> Look {
    let name = "archives_natively";
    server.drop(name);
    let report = vault().await.restore(dump.to_str().unwrap()).target(server.url(name)).await;
    report.unwrap_or_else(|e| panic!("{what}: {e}"));
    let look = look(server, name);
    server.drop(name);
    look
}

/// What stock pg_restore or psql make of it.
fn by_stock_tools(server: &Postgres, dump: &Path) -> Look {
    let name = "archives_stock";
    server.create(name);
    if dump.extension().is_some_and(|e| e == "sql") {
        server.psql_file(name, dump);
    } else {
        tool(server.client("pg_restore").args(["--exit-on-error", "-d", name]).arg(dump));
    }
    let look = look(server, name);
    server.drop(name);
    look
}

/// The formats of pg_dump, each with the compressions that its build may have.
const FORMATS: [(&str, &[&str], &[&str]); 6] = [
    ("custom.dump", &["-Fc"], &["gzip", "none", "lz4", "zstd"]),
    ("directory", &["-Fd", "-j2"], &["gzip", "none", "lz4", "zstd"]),
    ("archive.tar", &["-Ft"], &[]),
    ("plain.sql", &["-Fp"], &[]),
    ("inserts.dump", &["-Fc", "--rows-per-insert=3"], &["gzip"]),
    ("inserts.sql", &["-Fp", "--column-inserts"], &[]),
];

async fn every_format(server: &Postgres, database: &str) -> usize {
    let world = World::new();
    let number = server.version().number();
    let mut seen = 0;
    for (name, arguments, compressions) in FORMATS {
        let known = if compressions.is_empty() { &[""][..] } else { compressions };
        for compression in known {
            let what = format!("{database} of {number} as {name} {compression}");
            let dump = world.path(&format!("{compression}{name}"));
            let level = match (number, *compression) {
                (_, "") => None,
                // Before 16 there are levels only.
                (15, "none") => Some("-Z0".to_owned()),
                (15, "gzip") => Some("-Z6".to_owned()),
                (_, method) => Some(format!("-Z{method}")),
            };
            let arguments: Vec<&str> = arguments.iter().copied().chain(level.as_deref()).collect();
            if !pg_dump(server, database, &arguments, &dump) {
                assert!(["lz4", "zstd"].contains(compression), "pg_dump cannot make {what}");
                continue;
            }
            let expected = by_stock_tools(server, &dump);
            vault().await.verify(dump.to_str().unwrap()).await.unwrap_or_else(|e| panic!("{what}: {e}"));
            same(&natively(server, &dump, &what).await, &expected, &what);
            seen += 1;
        }
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn every_format_of_every_kind_of_object_from_15_and_18() {
    for version in [PgVersion::V15, PgVersion::V18] {
        let Some(server) = Postgres::start(version) else { continue };
        everything(&server, "archives_everything");
        assert!(every_format(&server, "archives_everything").await >= 8);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_compression_that_17_can_write() {
    let Some(server) = Postgres::start(PgVersion::V17) else { return };
    server.create("archives_shop");
    server.psql("archives_shop", SHOP);
    server.psql("archives_shop", GROUPED);
    assert_eq!(every_format(&server, "archives_shop").await, 12);
}

/// Large objects that 17 and later dump in groups by owner and privileges.
const GROUPED: &str = "
    DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'archives_reader') THEN CREATE ROLE archives_reader; END IF; END $$;
    SELECT lo_from_bytea(20000 + i, convert_to(repeat(i::text, i * 1000), 'UTF8')) FROM generate_series(1, 9) i;
    SELECT lo_create(20100), lo_from_bytea(20101, '\\x1f8b08');
    ALTER LARGE OBJECT 20001 OWNER TO archives_reader;
    ALTER LARGE OBJECT 20002 OWNER TO archives_reader;
    GRANT SELECT ON LARGE OBJECT 20003 TO archives_reader;
    GRANT SELECT ON LARGE OBJECT 20004 TO archives_reader;
    GRANT ALL ON LARGE OBJECT 20005 TO archives_reader WITH GRANT OPTION;
    COMMENT ON LARGE OBJECT 20006 IS 'a remark; with a semicolon';";

#[tokio::test(flavor = "multi_thread")]
async fn chinook_and_sakila_in_every_format() {
    let Some(data) = testkit::sample_data() else { return };
    for version in [PgVersion::V15, PgVersion::V18] {
        let Some(server) = Postgres::start(version) else { continue };
        testkit::load_chinook(&server, "archives_chinook", &data);
        every_format(&server, "archives_chinook").await;
        testkit::load_sakila(&server, "archives_sakila", &data);
        every_format(&server, "archives_sakila").await;
    }
}

/// Compresses a file by a stock tool.
fn compressed(dump: &Path, program: &str, suffix: &str) -> PathBuf {
    let to = PathBuf::from(format!("{}{suffix}", dump.display()));
    let out = Command::new(program).args(["-c", "-q"]).arg(dump).output().unwrap();
    assert!(out.status.success(), "{program}");
    std::fs::write(&to, out.stdout).unwrap();
    to
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_from_a_pipe_and_in_any_wrapper_is_read() {
    let Some(server) = Postgres::start(PgVersion::V15) else { return };
    let world = World::new();
    server.create("archives_wrapped");
    server.psql("archives_wrapped", SHOP);
    server.psql("archives_wrapped", GROUPED);
    let expected = look(&server, "archives_wrapped");
    // Into a pipe pg_dump cannot go back to write down where the data lie.
    let piped = server.client("pg_dump").args(["-Fc", "-d", "archives_wrapped"]).output().unwrap();
    let plain = server.client("pg_dump").args(["-d", "archives_wrapped"]).output().unwrap();
    let (dump, script) = (world.path("piped"), world.path("plain"));
    std::fs::write(&dump, piped.stdout).unwrap();
    std::fs::write(&script, plain.stdout).unwrap();
    for file in [&dump, &script] {
        for (program, suffix) in [("gzip", ".odd"), ("zstd", ".odder")] {
            let file = compressed(file, program, suffix);
            same(&natively(&server, &file, suffix).await, &expected, &file.display().to_string());
        }
    }
    same(&natively(&server, &dump, "piped").await, &expected, "piped");
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_that_create_their_database_go_where_they_are_told() {
    for version in [PgVersion::V15, PgVersion::V18] {
        let Some(server) = Postgres::start(version) else { continue };
        let world = World::new();
        server.create("archives_named");
        server.psql("archives_named", SHOP);
        server.psql("archives_named", "COMMENT ON DATABASE archives_named IS 'mine'");
        let expected = look(&server, "archives_named");
        for (name, arguments) in [
            ("create.sql", &["--create"][..]),
            ("clean.sql", &["--clean"]),
            ("if-exists.sql", &["--clean", "--if-exists", "--create"]),
            ("authorization.sql", &["--use-set-session-authorization"]),
        ] {
            let dump = world.path(name);
            assert!(pg_dump(&server, "archives_named", arguments, &dump));
            same(&natively(&server, &dump, name).await, &expected, name);
        }
        assert_eq!(server.databases(), ["archives_named"]);
        same(&look(&server, "archives_named"), &expected, "the source");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_database_comes_out_of_a_script_of_pg_dumpall() {
    for version in [PgVersion::V15, PgVersion::V18] {
        let Some(server) = Postgres::start(version) else { continue };
        let world = World::new();
        server.create("archives_one");
        server.psql("archives_one", SHOP);
        let expected = look(&server, "archives_one");
        let dumpall = |to: &Path| tool(server.client("pg_dumpall").arg("-f").arg(to));
        let one = world.path("one.sql");
        dumpall(&one);
        same(&natively(&server, &one, "one").await, &expected, "the only one");

        server.create("archives two");
        server.psql("archives two", "CREATE TABLE t AS SELECT 1 AS n");
        let two = world.path("two.sql");
        dumpall(&two);
        let restore = |name: Option<&'static str>| {
            let (two, url) = (two.display().to_string(), server.url("archives_natively"));
            async move {
                let verb = vault().await.restore(two).target(url);
                if let Some(name) = name { verb.from_database(name).await } else { verb.await }
            }
        };
        must_fail(restore(None).await, Code::InvalidOption, "archives_one");
        must_fail(restore(Some("archives_three")).await, Code::DatabaseNotFound, "archives_three");
        assert!(!server.exists("archives_natively"));
        let report = restore(Some("archives two")).await.unwrap();
        assert!(report.warnings.iter().any(|w| w.code == "globals_left_out"), "{:?}", report.warnings);
        assert_eq!(server.psql("archives_natively", "SELECT n FROM t").trim(), "1");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn owners_and_privileges_can_be_left_out() {
    let Some(server) = Postgres::start(PgVersion::V15) else { return };
    let world = World::new();
    server.create("archives_owned");
    server.psql(
        "archives_owned",
        "CREATE ROLE archives_gone; CREATE TABLE t (a int); ALTER TABLE t OWNER TO archives_gone;
         GRANT SELECT ON t TO archives_gone; GRANT CREATE ON SCHEMA public TO archives_gone",
    );
    let dumps = [("t.dump", "-Fc"), ("t.sql", "-Fp")].map(|(name, format)| {
        let dump = world.path(name);
        assert!(pg_dump(&server, "archives_owned", &[format], &dump));
        dump.display().to_string()
    });
    server.drop("archives_owned");
    server.psql("postgres", "DROP ROLE archives_gone");
    for dump in dumps {
        let restore = || async { vault().await.restore(&dump).target(server.url("archives_owned")) };
        let refused = restore().await.await.unwrap_err();
        assert!([Code::MissingRole, Code::DatabaseError].contains(&refused.code()), "{refused}");
        assert!(!server.exists("archives_owned"), "{dump}");
        restore().await.no_owner().no_privileges().await.unwrap();
        assert_eq!(
            server.psql("archives_owned", "SELECT relowner::regrole FROM pg_class WHERE relname = 't'").trim(),
            "postgres"
        );
        server.drop("archives_owned");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_is_never_given_to_an_interpreter() {
    let Some(server) = Postgres::shared(PgVersion::V15) else { return };
    let world = World::new();
    let canary = world.path("canary");
    for (line, code) in [
        (format!("\\! touch {}", canary.display()), Code::UnsupportedScript),
        (format!("\\o {}", canary.display()), Code::UnsupportedScript),
        (format!("\\copy t to '{}'", canary.display()), Code::UnsupportedScript),
        ("SELECT 'create table x()' \\gexec".to_owned(), Code::UnsupportedScript),
        (format!("COPY t TO PROGRAM 'touch {}';", canary.display()), Code::UnsupportedScript),
        ("COPY t FROM '/etc/passwd';".to_owned(), Code::UnsupportedScript),
        ("SELECT 1/0;".to_owned(), Code::DatabaseError),
        ("SELECT 'open".to_owned(), Code::Damaged),
        ("COPY t FROM stdin;\n1".to_owned(), Code::Damaged),
    ] {
        let script = world.file("script.sql", &format!("CREATE TABLE t (a int);\n\n{line}\n"));
        let restored = vault().await.restore(&script).target(server.url("archives_script")).await;
        let error = restored.unwrap_err();
        assert_eq!(error.code(), code, "{line}: {error}");
        assert!(error.message().contains("line 3") || code == Code::Damaged, "{line}: {error}");
        assert!(!server.exists("archives_script"), "{line}");
        assert!(!canary.exists(), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_into_a_database_in_use_is_all_or_nothing() {
    let Some(server) = Postgres::shared(PgVersion::V15) else { return };
    let world = World::new();
    server.create("archives_direct");
    server.psql("archives_direct", "CREATE TABLE kept (a int); INSERT INTO kept VALUES (1)");
    let good = "DROP TABLE gone;\nSET no_such.setting_of_a_later_version = 1;\nSET transaction_timeout = 0;\n\
        BEGIN;\nSELECT pg_catalog.lo_create('31000');\nCOMMIT;\nCREATE TABLE t (a int);\nCOPY t FROM stdin;\n1\n2\n\\.\n";
    let restore = |script: String| {
        let (path, url) = (world.file("direct.sql", &script), server.url("archives_direct"));
        async move { vault().await.restore(&path).target(url).overwrite().await }
    };
    must_fail(restore(format!("{good}INSERT INTO t VALUES ('x');\n")).await, Code::DatabaseError, "line");
    assert_eq!(server.psql("archives_direct", "SELECT count(*) FROM pg_class WHERE relname = 't'").trim(), "0");
    assert_eq!(server.psql("archives_direct", "SELECT count(*) FROM pg_largeobject_metadata").trim(), "0");
    restore(good.to_owned()).await.unwrap();
    assert_eq!(server.psql("archives_direct", "SELECT sum(a) FROM t").trim(), "3");
    server.drop("archives_direct");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_format_that_is_cut_off_is_refused_and_leaves_nothing() {
    let Some(server) = Postgres::start(PgVersion::V15) else { return };
    let world = World::new();
    server.create("archives_cut");
    server.psql("archives_cut", SHOP);
    for (name, format) in [("cut.dump", "-Fc"), ("cut.tar", "-Ft"), ("cut.sql", "-Fp")] {
        let dump = world.path(name);
        assert!(pg_dump(&server, "archives_cut", &[format], &dump));
        let whole = std::fs::read(&dump).unwrap();
        for share in 1..8 {
            std::fs::write(&dump, &whole[..whole.len() * share / 8]).unwrap();
            let name = dump.to_str().unwrap();
            must_fail(vault().await.verify(name).await, Code::Damaged, "cut");
            let restored = vault().await.restore(name).target(server.url("archives_restored")).await;
            must_fail(restored, Code::Damaged, "cut");
            assert_eq!(server.databases(), ["archives_cut"], "{name} {share}/8");
        }
    }
    let folder = world.path("folder");
    assert!(pg_dump(&server, "archives_cut", &["-Fd"], &folder));
    let file = std::fs::read_dir(&folder)
        .unwrap()
        .flatten()
        .map(|e| e.path())
        .find(|p| p.extension().is_some_and(|e| e == "gz"));
    let file = file.unwrap();
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    must_fail(vault().await.verify(folder.to_str().unwrap()).await, Code::Damaged, "folder");
    std::fs::remove_file(&file).unwrap();
    must_fail(vault().await.verify(folder.to_str().unwrap()).await, Code::Damaged, "folder");
    // Uncompressed, a file shows only by its own end that it is whole.
    let folder = world.path("uncompressed");
    assert!(pg_dump(&server, "archives_cut", &["-Fd", "-Z0"], &folder));
    let file = std::fs::read_dir(&folder).unwrap().flatten().map(|e| e.path());
    let of_a_table = |p: &PathBuf| p.file_name().is_some_and(|name| name.as_encoded_bytes()[0].is_ascii_digit());
    let file = file.filter(of_a_table).max().unwrap();
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() - 1]).unwrap();
    must_fail(vault().await.verify(folder.to_str().unwrap()).await, Code::Damaged, "cut off");
}
