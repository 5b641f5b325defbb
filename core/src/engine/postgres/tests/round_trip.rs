//! What was dumped comes back the same.

use super::*;

/// Dumps, restores into another database and compares; returns both and the dump.
async fn round_trip(url: &str, name: &str, sql: &str, part_bytes: u64) -> (Scratch, Scratch, Dump) {
    let source = Scratch::create(url, name).await;
    source.run(sql).await;
    let dump = Dump::of(&*source.engine(), part_bytes).await.unwrap();
    let copy = Scratch::new(url, name);
    dump.restore(&*copy.engine(), &plain()).await.unwrap();
    same(&source, &dump).await;
    same(&copy, &dump).await;
    (source, copy, dump)
}

/// The database's rows are those of the dump.
async fn same(scratch: &Scratch, dump: &Dump) {
    let tables = &dump.summary.tables;
    assert_eq!(&scratch.engine().summarize(tables, 2).await.unwrap(), tables, "{}", scratch.name);
}

fn rows(dump: &Dump, table: &str) -> u64 {
    dump.summary.tables.iter().find(|t| t.name == table).map(|t| t.rows).unwrap()
}

#[tokio::test]
async fn tables_of_every_shape() {
    let Some(url) = server() else { return };
    let sql = r#"
        CREATE SCHEMA "My Schema";
        CREATE TABLE "My Schema"."Order ""x""" ("Id" int PRIMARY KEY, "select" text, "a.b" bytea);
        INSERT INTO "My Schema"."Order ""x""" SELECT i, E'tab\tline\nback\\slash\r é🐘 \\.', decode('00ff0a5c', 'hex')
            FROM generate_series(1, 1000) i;
        INSERT INTO "My Schema"."Order ""x""" VALUES (0, NULL, NULL), (-1, '', ''), (-2, '\N', '\\x'), (-3, '\.', NULL);
        CREATE TABLE nothing ();
        INSERT INTO nothing DEFAULT VALUES;
        INSERT INTO nothing DEFAULT VALUES;
        CREATE TABLE empty (a int, b text NOT NULL);
        CREATE TABLE generated (a int GENERATED ALWAYS AS IDENTITY, dropped int, b int, c int GENERATED ALWAYS AS (b * 2) STORED);
        ALTER TABLE generated DROP COLUMN dropped;
        INSERT INTO generated (b) SELECT i FROM generate_series(1, 10) i;
        CREATE TABLE only_generated (g int GENERATED ALWAYS AS (1) STORED);
        CREATE TABLE parent (id int);
        CREATE TABLE child (extra text) INHERITS (parent);
        INSERT INTO parent VALUES (1);
        INSERT INTO child VALUES (2, 'x');
        CREATE TABLE parted (k int, v text) PARTITION BY RANGE (k);
        CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (10);
        CREATE TABLE parted_2 (v text, k int);
        ALTER TABLE parted ATTACH PARTITION parted_2 DEFAULT;
        INSERT INTO parted SELECT i, 'v' || i FROM generate_series(1, 20) i;
        CREATE TABLE numbers (d float8, r float4, n numeric, t timestamptz, i interval, j jsonb, a int[]);
        INSERT INTO numbers VALUES (0.1 + 0.2, 1e-30, 'NaN', '2025-03-30 02:30:00.123456+02', '1 mon -1 day 00:00:01', '{"a": [1, null]}', '{1,NULL}'),
            ('-Infinity', 'NaN', 123456789012345678901234567890.5, 'infinity', '-178000000 years', 'null', '[0:1]={1,2}');
        CREATE INDEX ON numbers (d);
        CREATE MATERIALIZED VIEW seen AS SELECT count(*) AS n FROM numbers;
        CREATE TABLE referring (id int REFERENCES "My Schema"."Order ""x""" ("Id"));
        INSERT INTO referring SELECT i FROM generate_series(1, 100) i;
    "#;
    let (source, copy, dump) = round_trip(&url, "shapes", sql, 64 << 10).await;
    assert_eq!(rows(&dump, "\"My Schema\".\"Order \"\"x\"\"\""), 1004);
    assert_eq!(rows(&dump, "public.nothing"), 2);
    assert_eq!(rows(&dump, "public.empty"), 0);
    assert_eq!(copy.ask("SELECT sum(c) FROM generated").await, "110");
    assert_eq!(copy.ask("SELECT n FROM seen").await, "2");
    assert_eq!(copy.ask("SELECT nextval(pg_get_serial_sequence('generated', 'a'))").await, "11");
    assert_eq!(copy.ask("SELECT reltuples FROM pg_class WHERE relname = 'numbers'").await, "2", "not analyzed");
    source.drop().await;
    copy.drop().await;
}

#[tokio::test]
async fn a_table_in_many_parts() {
    let Some(url) = server() else { return };
    let sql = "CREATE TABLE big (id int, pad text);
        INSERT INTO big SELECT i, repeat(md5(i::text), 3) FROM generate_series(1, 20000) i;
        DELETE FROM big WHERE id % 7 = 0;";
    let (source, copy, dump) = round_trip(&url, "parts", sql, 64 << 10).await;
    let file = dump.files.iter().find(|f| f.1 == FileRole::Data).unwrap();
    assert!(file.2.len() > 20, "{} parts", file.2.len());

    // A change in one place leaves the bytes of other parts as they were; new rows come at the end.
    source.run("VACUUM big").await;
    source.run("INSERT INTO big SELECT 0, 'x' FROM generate_series(1, 9000)").await;
    source.run("UPDATE big SET pad = pad WHERE id = 10001").await;
    let next = Dump::of(&*source.engine(), 64 << 10).await.unwrap();
    let next = &next.files.iter().find(|f| f.0 == file.0).unwrap().2;
    let changed = file.2.iter().zip(next).filter(|(a, b)| a != b).count();
    assert!(next.len() >= file.2.len() && changed < file.2.len(), "{changed} of {}", file.2.len());
    source.drop().await;
    copy.drop().await;
}

#[tokio::test]
async fn huge_values_and_large_objects() {
    let Some(url) = server() else { return };
    let sql = "CREATE TABLE huge (id int, v text, b bytea);
        ALTER TABLE huge ALTER v SET STORAGE EXTERNAL;
        INSERT INTO huge SELECT 1, repeat('0123456789abcdef', 1 << 20), decode(repeat('00ff', 1 << 22), 'hex');
        INSERT INTO huge VALUES (2, 'small', 'x');
        SELECT lo_from_bytea(4711, decode(repeat('00ff0a', 700001), 'hex'));
        SELECT lo_create(4712);
        SELECT lo_from_bytea(4713, 'hello'); SELECT lo_put(4713, 500000, 'after a hole');";
    let (source, copy, dump) = round_trip(&url, "huge", sql, 64 << 10).await;
    assert_eq!(dump.file("blob_4711.dat").len(), 2_100_003);
    assert_eq!(dump.file("blob_4712.dat"), b"");
    assert_eq!(rows(&dump, large_object::SUMMARY), 3 + 1026 + 245);
    assert_eq!(
        copy.ask("SELECT lo_get(4713, 499998, 100)::text").await,
        source.ask("SELECT lo_get(4713, 499998, 100)::text").await
    );
    source.drop().await;
    copy.drop().await;
}

#[tokio::test]
async fn owners_and_grants_are_kept_or_left_out() {
    let Some(url) = server() else { return };
    let mut source = Scratch::create(&url, "owners").await;
    let (owner, reader) = (source.role("owner").await, source.role("reader").await);
    let sql = format!(
        "CREATE TABLE t (id int); ALTER TABLE t OWNER TO {owner}; GRANT SELECT ON t TO {reader};
         CREATE FUNCTION f(a int) RETURNS int LANGUAGE sql AS 'SELECT a'; ALTER FUNCTION f(int) OWNER TO {owner};"
    );
    source.run(&sql).await;
    let dump = Dump::of(&*source.engine(), 1 << 20).await.unwrap();
    let owners = "SELECT string_agg(o, ',') FROM (SELECT relowner::regrole::text AS o FROM pg_class WHERE relname = 't'
        UNION ALL SELECT proowner::regrole::text FROM pg_proc WHERE proname = 'f') x";
    let may_read = format!("SELECT has_table_privilege('{reader}', 't', 'SELECT')");

    let copy = Scratch::new(&url, "owners");
    dump.restore(&*copy.engine(), &plain()).await.unwrap();
    assert_eq!(copy.ask(owners).await, format!("{owner},{owner}"));
    assert_eq!(copy.ask(&may_read).await, "t");
    copy.drop().await;

    let copy = Scratch::new(&url, "owners");
    let without = RestoreOptions { no_owner: true, no_privileges: true, ..plain() };
    dump.restore(&*copy.engine(), &without).await.unwrap();
    assert!(!copy.ask(owners).await.contains(&owner));
    assert_eq!(copy.ask(&may_read).await, "f");
    copy.drop().await;
    source.drop().await;
}

#[tokio::test]
async fn an_empty_database_gives_way_and_a_used_one_is_filled() {
    let Some(url) = server() else { return };
    let source = Scratch::create(&url, "place").await;
    source.run("CREATE TABLE t AS SELECT 1 AS id").await;
    let dump = Dump::of(&*source.engine(), 1 << 20).await.unwrap();
    let oid = "SELECT oid FROM pg_database WHERE datname = current_database()";

    let empty = Scratch::create(&url, "place").await;
    let before = empty.ask(oid).await;
    dump.restore(&*empty.engine(), &plain()).await.unwrap();
    assert_ne!(empty.ask(oid).await, before);
    same(&empty, &dump).await;
    empty.drop().await;

    // It was set up by somebody: that stays, and so the restore goes into it.
    let set_up = Scratch::create(&url, "place").await;
    set_up.admin(&format!("ALTER DATABASE {} SET work_mem = '5MB'", quote::ident(&set_up.name))).await;
    let before = set_up.ask(oid).await;
    dump.restore(&*set_up.engine(), &plain()).await.unwrap();
    assert_eq!(set_up.ask(oid).await, before);
    same(&set_up, &dump).await;
    set_up.drop().await;
    source.drop().await;
}

#[tokio::test]
async fn a_new_database_gets_the_settings_of_the_source() {
    let Some(url) = server() else { return };
    let source = Scratch::create(&url, "settings").await;
    let name = quote::ident(&source.name);
    source.run(&format!("CREATE SCHEMA s; COMMENT ON DATABASE {name} IS 'it''s; ours'")).await;
    source.run(&format!("ALTER DATABASE {name} SET search_path = s, public")).await;
    let dump = Dump::of(&*source.engine(), 1 << 20).await.unwrap();
    let copy = Scratch::new(&url, "settings");
    assert_eq!(dump.restore(&*copy.engine(), &plain()).await.unwrap(), []);
    assert_eq!(copy.ask("SHOW search_path").await, "s, public");
    let comment = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()";
    assert_eq!(copy.ask(comment).await, "it's; ours");
    copy.drop().await;

    let there = Scratch::create(&url, "settings").await;
    let warnings = dump.restore(&*there.engine(), &plain()).await.unwrap();
    assert_eq!(warnings.iter().map(|w| w.code.as_str()).collect::<Vec<_>>(), ["database_property"]);
    assert_ne!(there.ask("SHOW search_path").await, "s, public");
    there.drop().await;
    source.drop().await;
}

#[tokio::test]
async fn the_engine_answers_for_its_database() {
    let Some(url) = server() else { return };
    let scratch = Scratch::create(&url, "probe").await;
    let engine = scratch.engine();
    let probe = engine.probe().await.unwrap();
    assert!(probe.size_bytes.unwrap() > 1_000_000 && probe.version.starts_with(char::is_numeric), "{probe:?}");
    assert!(engine.smoke("SELECT 1").await.unwrap());
    assert!(engine.smoke("SELECT FROM pg_class").await.unwrap());
    assert!(engine.smoke("SELECT 1 WHERE false").await.unwrap());
    for no in ["SELECT false", "SELECT 0", "SELECT 'f'", "SELECT count(*) FROM pg_class WHERE relname = 'no'"] {
        assert!(!engine.smoke(no).await.unwrap(), "{no}");
    }
    assert_eq!(engine.smoke("SELECT nonsense").await.unwrap_err().code(), Code::DatabaseError);
    assert_eq!(engine.smoke("CREATE TABLE t ()").await.unwrap_err().code(), Code::DatabaseError);
    let gone = TableSummary { name: "public.gone".into(), columns: vec![], rows: 0, hash: String::new() };
    assert_eq!(engine.summarize(&[gone], 2).await.unwrap(), []);
    engine.discard().await.unwrap();
    assert_eq!(engine.probe().await.unwrap_err().code(), Code::DatabaseNotFound);
    engine.discard().await.unwrap();
    scratch.drop().await;
}
