#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{HashMap, HashSet};

use sqlx::{AssertSqlSafe, Connection as _};
use tokio::sync::Mutex;

use super::*;
use crate::engine::postgres::archive::Section;
use crate::engine::postgres::quote::ident;

/// The fixtures make roles, which are the whole server's: one test at a time.
static SERVER: Mutex<()> = Mutex::const_new(());

/// A database of its own on the server that the environment names, dropped by the next test that wants its name.
/// There is no test without a server: then this says so and gives nothing.
async fn database(name: &str) -> Option<PgConnection> {
    let Ok(url) = std::env::var("LASTGOOD_TEST_POSTGRES_URL") else {
        eprintln!("skipped: LASTGOOD_TEST_POSTGRES_URL names no server");
        return None;
    };
    let mut url = url::Url::parse(&url).unwrap();
    let mut server = PgConnection::connect(url.as_str()).await.unwrap();
    let name = format!("lastgood_catalog_{name}");
    run(&mut server, &format!("DROP DATABASE IF EXISTS {name}")).await;
    run(&mut server, &format!("CREATE DATABASE {name} TEMPLATE template0")).await;
    url.set_path(&name);
    let mut conn = PgConnection::connect(url.as_str()).await.unwrap();
    run(&mut conn, "SET datestyle = 'ISO'; SET intervalstyle = 'postgres'; SET extra_float_digits = 3").await;
    Some(conn)
}

async fn run(conn: &mut PgConnection, sql: &str) {
    if let Err(e) = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(conn).await {
        panic!("{e}\n{sql}");
    }
}

/// Loads the fixtures that fit the server's version.
async fn load_everything(conn: &mut PgConnection) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/postgres/");
    let version = row::query(conn, "SELECT current_setting('server_version_num') AS v").await.unwrap();
    let newest = version[0].number::<u32>("v").unwrap() >= 180_000;
    run(conn, &std::fs::read_to_string(format!("{folder}everything.sql")).unwrap()).await;
    if newest {
        run(conn, &std::fs::read_to_string(format!("{folder}everything-18.sql")).unwrap()).await;
    }
    run(conn, "RESET ROLE; RESET search_path").await;
}

async fn restore(conn: &mut PgConnection, catalog: &Catalog) {
    for statement in script(&catalog.entries) {
        run(conn, &statement).await;
    }
    run(conn, "SET default_tablespace = ''; RESET default_table_access_method").await;
}

fn of<'c>(catalog: &'c Catalog, desc: &str) -> Vec<(&'c str, &'c str)> {
    catalog.entries.iter().filter(|e| e.desc == desc).map(|e| (e.tag.as_str(), e.defn.as_str())).collect()
}

/// The entries as one script, in the way pg_restore runs them.
fn script(entries: &[Entry]) -> Vec<String> {
    let mut statements: Vec<String> = ["check_function_bodies = off", "xmloption = content", "row_security = off"]
        .map(|s| format!("SET {s};"))
        .into();
    let later = |e: &&Entry| match e.desc.as_str() {
        "ACL" | "DEFAULT ACL" => 1,
        "EVENT TRIGGER" | "MATERIALIZED VIEW DATA" => 2,
        "COMMENT" | "SECURITY LABEL" if e.tag.starts_with("EVENT TRIGGER ") => 2,
        _ => 0,
    };
    let mut sorted: Vec<&Entry> = entries.iter().collect();
    sorted.sort_by_key(later);
    for entry in sorted {
        if entry.copy.is_some() || entry.defn.is_empty() {
            continue;
        }
        if let Some(tablespace) = &entry.tablespace {
            let value = if tablespace.is_empty() { "''".to_owned() } else { ident(tablespace) };
            statements.push(format!("SET default_tablespace = {value};"));
        }
        if let Some(am) = &entry.table_am {
            statements.push(format!("SET default_table_access_method = {};", ident(am)));
        }
        statements.push(entry.defn.clone());
        if !entry.owner.is_empty()
            && !entry.drop.is_empty()
            && let Some(object) = owned(entry)
        {
            statements.push(format!("ALTER {object} OWNER TO {};", ident(&entry.owner)));
        }
    }
    statements
}

/// An entry's object as ALTER … OWNER TO names it, if it has an owner.
fn owned(entry: &Entry) -> Option<String> {
    let desc = match entry.desc.as_str() {
        "VIEW" | "SEQUENCE" | "MATERIALIZED VIEW" => "TABLE",
        other => other,
    };
    match desc {
        "COLLATION"
        | "CONVERSION"
        | "DOMAIN"
        | "TABLE"
        | "TYPE"
        | "FOREIGN TABLE"
        | "TEXT SEARCH DICTIONARY"
        | "TEXT SEARCH CONFIGURATION"
        | "STATISTICS"
        | "PROCEDURAL LANGUAGE"
        | "SCHEMA"
        | "EVENT TRIGGER"
        | "FOREIGN DATA WRAPPER"
        | "SERVER"
        | "PUBLICATION"
        | "SUBSCRIPTION" => {
            let schema = entry.namespace.as_ref().map(|s| format!("{}.", ident(s))).unwrap_or_default();
            Some(format!("{desc} {schema}{}", ident(&entry.tag)))
        }
        "BLOB" => Some(format!("LARGE OBJECT {}", entry.tag)),
        "AGGREGATE" | "FUNCTION" | "OPERATOR" | "OPERATOR CLASS" | "OPERATOR FAMILY" | "PROCEDURE" => {
            Some(entry.drop.trim_start_matches("DROP ").trim_end_matches(['\n', ';']).to_owned())
        }
        _ => None,
    }
}

#[tokio::test]
async fn a_restored_schema_reads_back_the_same() {
    let _alone = SERVER.lock().await;
    let Some(mut source) = database("source").await else { return };
    load_everything(&mut source).await;
    let original = read(&mut source).await.unwrap();
    assert_eq!(original.warnings, []);
    assert_eq!(original.large_objects, [424_242, 424_243]);
    let mut target = database("target").await.unwrap();
    restore(&mut target, &original).await;
    let restored = read(&mut target).await.unwrap();
    let schema = |c: &Catalog| -> Vec<[String; 4]> {
        let schema =
            c.entries.iter().filter(|e| !matches!(e.desc.as_str(), "SEQUENCE SET" | "BLOB" | "BLOBS" | "TABLE DATA"));
        schema.map(|e| [&e.desc, &e.tag, &e.owner, &e.defn].map(Clone::clone)).collect()
    };
    assert_eq!(schema(&restored), schema(&original));
    for desc in ["SEQUENCE SET", "BLOB", "COMMENT", "ACL", "MATERIALIZED VIEW DATA"] {
        assert_eq!(of(&restored, desc), of(&original, desc));
    }
    let names = |c: &Catalog| c.tables.iter().map(|t| (t.name.clone(), t.columns.clone())).collect::<Vec<_>>();
    assert_eq!(names(&restored), names(&original));
}

#[tokio::test]
async fn no_sequence_stays_locked() {
    let _alone = SERVER.lock().await;
    let Some(mut conn) = database("sequences").await else { return };
    run(&mut conn, "CREATE SEQUENCE a; CREATE SEQUENCE b; SELECT nextval('b'), nextval('b')").await;
    run(&mut conn, "BEGIN").await;
    let mut catalog = read(&mut conn).await.unwrap();
    read_sequences(&mut conn, &mut catalog).await.unwrap();
    let values: Vec<_> = catalog.entries.iter().filter(|e| e.desc == "SEQUENCE SET").map(|e| e.defn.as_str()).collect();
    let set = |name: &str, value: &str| format!("SELECT pg_catalog.setval('public.{name}', {value});\n");
    assert_eq!(values, [set("a", "1, false"), set("b", "2, true")]);
    let locked = "SELECT l.relation FROM pg_locks l JOIN pg_class c ON c.oid = l.relation AND c.relkind = 'S'";
    assert_eq!(row::query(&mut conn, locked).await.unwrap().len(), 0);
}

#[tokio::test]
async fn entries_are_numbered_and_come_after_what_they_depend_on() {
    let _alone = SERVER.lock().await;
    let Some(mut conn) = database("numbers").await else { return };
    load_everything(&mut conn).await;
    run(&mut conn, "BEGIN").await;
    let mut catalog = read(&mut conn).await.unwrap();
    read_sequences(&mut conn, &mut catalog).await.unwrap();
    let mut seen = HashMap::new();
    for (i, entry) in catalog.entries.iter().enumerate() {
        assert!(seen.insert(entry.dump_id, entry).is_none(), "number {} twice", entry.dump_id);
        for dependency in entry.dependencies.iter().filter(|d| seen.contains_key(d) || **d >= entry.dump_id) {
            assert!(*dependency < entry.dump_id && seen.contains_key(dependency), "{} {}", entry.desc, entry.tag);
        }
        let unique: HashSet<_> = entry.dependencies.iter().collect();
        assert_eq!(unique.len(), entry.dependencies.len());
        if let Some(expected) = ["ENCODING", "STDSTRINGS", "SEARCHPATH"].get(i) {
            assert_eq!(entry.desc, *expected);
        }
        if entry.desc == "TABLE DATA" {
            let table = seen[&entry.dependencies[0]];
            assert_eq!((table.desc.as_str(), &table.tag), ("TABLE", &entry.tag));
            assert!(entry.copy.as_ref().is_some_and(|c| c.starts_with("COPY ") && c.ends_with(" FROM stdin;\n")));
        } else {
            assert!(!entry.defn.is_empty() || entry.desc == "BLOBS", "{} {} is empty", entry.desc, entry.tag);
        }
    }
    let sections: Vec<Section> = catalog.entries.iter().map(|e| e.section).filter(|s| *s != Section::None).collect();
    assert!(sections.is_sorted());
    let data: Vec<i32> = catalog.entries.iter().filter(|e| e.desc == "TABLE DATA").map(|e| e.dump_id).collect();
    assert_eq!(catalog.tables.iter().map(|t| t.dump_id).collect::<Vec<_>>(), data);
}

#[tokio::test]
async fn marks_follow_definitions_and_not_data() {
    use marks::Marked::{Definitions, Rows};

    async fn both(conn: &mut PgConnection) -> [String; 2] {
        [marks::read(conn, Definitions).await.unwrap(), marks::read(conn, Rows).await.unwrap()]
    }
    let _alone = SERVER.lock().await;
    let Some(mut conn) = database("marks").await else { return };
    run(&mut conn, "CREATE TABLE t (id serial, v text DEFAULT 'a'); CREATE VIEW w AS SELECT * FROM t").await;
    run(&mut conn, "CREATE TYPE mood AS ENUM ('a'); CREATE MATERIALIZED VIEW m AS SELECT * FROM t").await;
    let mut last = both(&mut conn).await;
    for data in [
        "INSERT INTO public.t (v) VALUES ('x')",
        "SELECT lo_create(0)",
        "ANALYZE",
        "VACUUM FULL public.t",
        "TRUNCATE public.t",
        "REFRESH MATERIALIZED VIEW public.m",
        "CREATE TEMPORARY TABLE here (id serial PRIMARY KEY, m public.mood); CREATE TEMPORARY VIEW there AS SELECT * FROM here",
    ] {
        run(&mut conn, data).await;
        assert_eq!(both(&mut conn).await, last, "after {data}");
    }

    for (ddl, rows_too) in [
        ("ALTER TABLE public.t ADD COLUMN c integer", false),
        ("ALTER TABLE public.t ALTER COLUMN v SET DEFAULT 'b'", false),
        ("ALTER TABLE public.t RENAME COLUMN c TO d", false),
        ("ALTER TABLE public.t RENAME TO u", false),
        ("CREATE INDEX ON public.u (d)", false),
        ("CREATE OR REPLACE VIEW public.w AS SELECT id, 'x' || v AS v FROM public.u", false),
        ("DROP VIEW public.w", false),
        ("CREATE FUNCTION public.f() RETURNS int LANGUAGE sql AS 'SELECT 1'", false),
        ("CREATE OR REPLACE FUNCTION public.f() RETURNS int LANGUAGE sql AS 'SELECT 2'", false),
        ("ALTER TYPE public.mood RENAME VALUE 'a' TO 'b'", true),
        ("CREATE SCHEMA s", true),
        ("ALTER SCHEMA s RENAME TO z", true),
    ] {
        run(&mut conn, ddl).await;
        let now = both(&mut conn).await;
        assert_ne!(now[0], last[0], "after {ddl}");
        assert_eq!(now[1] != last[1], rows_too, "after {ddl}");
        last = now;
    }
}

#[tokio::test]
async fn only_tables_that_can_be_locked_are_to_be_locked() {
    let _alone = SERVER.lock().await;
    let Some(mut conn) = database("locks").await else { return };
    run(
        &mut conn,
        "CREATE TABLE \"A b\" (); CREATE TABLE p (i int) PARTITION BY LIST (i); CREATE VIEW v AS SELECT 1; \
         CREATE MATERIALIZED VIEW m AS SELECT 1; CREATE TEMP TABLE t ()",
    )
    .await;
    let tables = tables_to_lock(&mut conn, &Scope::default()).await.unwrap();
    assert_eq!(tables, ["public.\"A b\"", "public.p"]);
    run(&mut conn, &format!("BEGIN; LOCK TABLE {} IN ACCESS SHARE MODE; COMMIT", tables.join(", "))).await;
}

#[tokio::test]
async fn the_database_itself_is_described() {
    let _alone = SERVER.lock().await;
    let Some(mut conn) = database("itself").await else { return };
    run(
        &mut conn,
        "ALTER DATABASE lastgood_catalog_itself CONNECTION LIMIT 7; \
         ALTER DATABASE lastgood_catalog_itself SET search_path = \"$user\", \"A b\"; \
         ALTER ROLE CURRENT_USER IN DATABASE lastgood_catalog_itself SET work_mem = '5MB'; \
         COMMENT ON DATABASE lastgood_catalog_itself IS 'it''s me'; \
         REVOKE ALL ON DATABASE lastgood_catalog_itself FROM PUBLIC",
    )
    .await;
    let catalog = read(&mut conn).await.unwrap();
    let texts: Vec<(&str, &str)> = catalog.database.iter().map(|e| (e.desc.as_str(), e.defn.as_str())).collect();
    let me = row::query(&mut conn, "SELECT quote_ident(current_user) AS me").await.unwrap()[0].text("me").unwrap();
    let [("DATABASE", created), rest @ ..] = texts.as_slice() else { panic!("{texts:?}") };
    assert!(created.starts_with("CREATE DATABASE lastgood_catalog_itself WITH TEMPLATE = template0 ENCODING = 'UTF8'"));
    let properties = format!(
        "ALTER DATABASE lastgood_catalog_itself CONNECTION LIMIT = 7;\n\
         ALTER DATABASE lastgood_catalog_itself SET search_path TO '$user', 'A b';\n\
         ALTER ROLE {me} IN DATABASE lastgood_catalog_itself SET work_mem TO '5MB';\n"
    );
    assert_eq!(
        rest,
        [
            ("COMMENT", "COMMENT ON DATABASE lastgood_catalog_itself IS 'it''s me';\n"),
            ("ACL", "REVOKE CONNECT,TEMPORARY ON DATABASE lastgood_catalog_itself FROM PUBLIC;\n"),
            ("DATABASE PROPERTIES", properties.as_str()),
        ]
    );
    let first = catalog.database[0].dump_id;
    assert!(catalog.entries.iter().all(|e| e.dump_id < first));
    assert!(catalog.database[1..].iter().all(|e| e.dependencies == [first]));
    drop(conn);
}

#[tokio::test]
async fn an_invalid_index_is_reported() {
    let _alone = SERVER.lock().await;
    let Some(mut conn) = database("invalid").await else { return };
    run(&mut conn, "CREATE TABLE t (i int); INSERT INTO t VALUES (1), (1)").await;
    let failing = "CREATE UNIQUE INDEX CONCURRENTLY broken ON public.t (i)";
    assert!(sqlx::raw_sql(failing).execute(&mut conn).await.is_err());
    let catalog = read(&mut conn).await.unwrap();
    assert_eq!(of(&catalog, "INDEX"), []);
    assert_eq!(catalog.warnings.len(), 1);
    assert_eq!(catalog.warnings[0].code, "invalid_index");
    assert!(catalog.warnings[0].message.contains("index public.broken "), "{}", catalog.warnings[0].message);
}
