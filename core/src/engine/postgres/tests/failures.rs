//! What goes wrong is told, ends at once and leaves nothing behind.

use std::time::Duration;

use super::*;

async fn with_rows(url: &str, name: &str) -> Scratch {
    let scratch = Scratch::create(url, name).await;
    let sql = "CREATE TABLE a (id int PRIMARY KEY, pad text);
        INSERT INTO a SELECT i, repeat('x', 500) FROM generate_series(1, 20000) i;
        CREATE TABLE b (id int PRIMARY KEY, other int REFERENCES a); INSERT INTO b VALUES (1, 1);";
    scratch.run(sql).await;
    scratch
}

/// Databases that a restore into this one left behind.
async fn leftovers(scratch: &Scratch) -> String {
    let name = quote::literal(&format!("{}_restoring_", scratch.name));
    let admin = Scratch { url: scratch.url.clone(), name: "postgres".into(), roles: vec![] };
    admin.ask(&format!("SELECT count(*) FROM pg_database WHERE starts_with(datname, {name})")).await
}

async fn within_seconds<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), work).await.expect("hangs")
}

#[tokio::test]
async fn a_terminated_connection_fails_the_dump() {
    let Some(url) = server() else { return };
    let source = with_rows(&url, "killed").await;
    let kill = |what: &str| {
        format!(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = {} AND ({what})",
            quote::literal(&source.name)
        )
    };
    for victims in ["query LIKE '%SET TRANSACTION SNAPSHOT%'", "query LIKE '%COMMIT%' OR pid <> pg_backend_pid()"] {
        let snapshot = source.engine().snapshot(&options(64 << 10)).await.unwrap();
        source.admin(&kill(victims)).await;
        let e = within_seconds(Dump::read(snapshot)).await.err().unwrap();
        assert_eq!(e.code(), Code::DatabaseUnavailable, "{e}");
    }
    source.drop().await;
}

#[tokio::test]
async fn a_connection_terminated_in_the_middle_of_a_row_stream_fails_the_dump() {
    let Some(url) = server() else { return };
    let source = with_rows(&url, "killed_midway").await;
    source.run("INSERT INTO a SELECT i, repeat('x', 900) FROM generate_series(100000, 200000) i").await;
    let snapshot = source.engine().snapshot(&options(1 << 30)).await.unwrap();
    let file = snapshot.files().iter().position(|f| f.role == FileRole::Data).unwrap();
    // Parts are read in their order.
    for file in 0..file {
        snapshot.read(PartRef { file, part: 0 }).try_next().await.unwrap();
    }
    let mut stream = snapshot.read(PartRef { file, part: 0 });
    stream.try_next().await.unwrap().unwrap();
    let database = quote::literal(&source.name);
    let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'COPY %' AND datname = ";
    source.admin(&format!("{kill}{database}")).await;
    let e = within_seconds(stream.try_for_each(|_| async { Ok(()) })).await.unwrap_err();
    assert_eq!(e.code(), Code::DatabaseUnavailable, "{e}");
    // The other parts fail at once, and the snapshot cannot be finished.
    let e = within_seconds(snapshot.read(PartRef { file: file + 1, part: 0 }).try_next()).await.unwrap_err();
    assert_eq!(e.code(), Code::DatabaseUnavailable, "{e}");
    assert_eq!(snapshot.finish().await.unwrap_err().code(), Code::Internal);
    source.drop().await;
}

#[tokio::test]
async fn a_waiting_migration_does_not_stall_the_dump() {
    let Some(url) = server() else { return };
    let source = with_rows(&url, "waiting").await;
    let snapshot = source.engine().snapshot(&options(64 << 10)).await.unwrap();
    // It waits for the dump's lock on the table, and readers that come later would wait for it.
    let mut conn = source.connect().await;
    let alter = tokio::spawn(async move {
        sqlx::raw_sql("ALTER TABLE a ADD COLUMN late int").execute(&mut conn).await.unwrap();
    });
    let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'a'::regclass";
    while source.ask(waiting).await == "0" {
        tokio::task::yield_now().await;
    }
    let dump = within_seconds(Dump::read(snapshot)).await.unwrap();
    within_seconds(alter).await.unwrap();
    assert_eq!(dump.summary.tables.iter().map(|t| t.rows).sum::<u64>(), 20_001);
    source.drop().await;
}

#[tokio::test]
async fn rows_written_after_the_snapshot_are_not_in_it() {
    let Some(url) = server() else { return };
    let source = with_rows(&url, "later").await;
    let snapshot = source.engine().snapshot(&options(64 << 10)).await.unwrap();
    source.run("DELETE FROM a WHERE id > 1; INSERT INTO b SELECT i, 1 FROM generate_series(2, 5000) i").await;
    let dump = within_seconds(Dump::read(snapshot)).await.unwrap();
    assert_eq!(dump.summary.tables.iter().map(|t| t.rows).sum::<u64>(), 20_001);
    source.drop().await;
}

#[tokio::test]
async fn a_target_that_holds_something_is_refused() {
    let Some(url) = server() else { return };
    let full = with_rows(&url, "full").await;
    let e = full.engine().target(&plain()).await.err().unwrap();
    assert_eq!(e.code(), Code::TargetNotEmpty, "{e}");
    assert!(e.message().contains("public.a"), "{e}");
    for sql in ["CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", "CREATE SCHEMA s", "SELECT lo_create(0)"]
    {
        let scratch = Scratch::create(&url, "full").await;
        scratch.run(sql).await;
        assert_eq!(scratch.engine().target(&plain()).await.err().unwrap().code(), Code::TargetNotEmpty, "{sql}");
        scratch.drop().await;
    }
    full.drop().await;
}

#[tokio::test]
async fn a_collision_in_a_used_database_leaves_what_was_there() {
    let Some(url) = server() else { return };
    let source = with_rows(&url, "collision").await;
    let dump = Dump::of(&*source.engine(), 64 << 10).await.unwrap();
    let target = Scratch::create(&url, "collision").await;
    target.run("CREATE TABLE mine AS SELECT 1 AS id; CREATE TABLE b AS SELECT 2 AS id").await;
    let overwrite = RestoreOptions { overwrite: true, ..plain() };
    let e = dump.restore(&*target.engine(), &overwrite).await.unwrap_err();
    assert_eq!(e.code(), Code::TargetNotEmpty, "{e}");
    assert!(e.message().contains("TABLE public.b"), "{e}");
    let tables = "SELECT string_agg(relname, ',' ORDER BY relname) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace";
    assert_eq!(target.ask(tables).await, "b,mine");
    assert_eq!(target.ask("SELECT id FROM b").await, "2");

    // Without the collision both live side by side.
    target.run("DROP TABLE b").await;
    dump.restore(&*target.engine(), &overwrite).await.unwrap();
    assert_eq!(target.ask(tables).await, "a,b,mine");
    target.drop().await;
    source.drop().await;
}

#[tokio::test]
async fn missing_roles_are_listed_before_anything_is_written() {
    let Some(url) = server() else { return };
    let mut source = Scratch::create(&url, "roles").await;
    let (owner, grantee, subject) = (source.role("o").await, source.role("g").await, source.role("p").await);
    let sql = format!(
        "CREATE TABLE t (id int); ALTER TABLE t OWNER TO {owner}; GRANT SELECT ON t TO {grantee};
         CREATE POLICY p ON t TO {subject} USING (true); COMMENT ON POLICY p ON t IS 'for {subject}'"
    );
    source.run(&sql).await;
    let dump = Dump::of(&*source.engine(), 1 << 20).await.unwrap();
    source.run("DROP TABLE t").await;
    for role in std::mem::take(&mut source.roles) {
        source.admin(&format!("DROP ROLE {role}")).await;
    }
    let target = Scratch::new(&url, "roles");
    let e = dump.restore(&*target.engine(), &plain()).await.unwrap_err();
    assert_eq!(e.code(), Code::MissingRole, "{e}");
    for role in [&owner, &grantee, &subject] {
        assert!(e.message().contains(role.as_str()), "{e}");
    }
    assert_eq!(target.engine().probe().await.unwrap_err().code(), Code::DatabaseNotFound);
    assert_eq!(leftovers(&target).await, "0");
    // With privileges go policies for roles that do not exist.
    let without = RestoreOptions { no_owner: true, no_privileges: true, ..plain() };
    let warnings = dump.restore(&*target.engine(), &without).await.unwrap();
    assert!(warnings.iter().any(|w| w.code == "policy_left_out" && w.message.contains(&subject)), "{warnings:?}");
    target.drop().await;
    source.drop().await;
}

#[tokio::test]
async fn a_missing_extension_is_named() {
    let Some(url) = server() else { return };
    let source = Scratch::create(&url, "extension").await;
    source.run("CREATE TABLE t (id int)").await;
    let mut dump = Dump::of(&*source.engine(), 1 << 20).await.unwrap();
    let mut archive = archive::read(&dump.file("toc.dat")).unwrap();
    let mut extension = archive.entries[3].clone();
    (extension.desc, extension.tag, extension.dump_id) = ("EXTENSION".into(), "no_such_thing".into(), 9999);
    archive.entries.insert(4, extension);
    dump.files[0].2 = vec![archive::write(&archive).unwrap()];
    let target = Scratch::new(&url, "extension");
    let e = dump.restore(&*target.engine(), &plain()).await.unwrap_err();
    assert_eq!(e.code(), Code::MissingExtension, "{e}");
    assert!(e.message().contains("no_such_thing"), "{e}");
    assert_eq!(leftovers(&target).await, "0");
    target.drop().await;
    source.drop().await;
}

#[tokio::test]
async fn a_restore_that_fails_leaves_nothing() {
    let Some(url) = server() else { return };
    let source = with_rows(&url, "half").await;
    let whole = Dump::of(&*source.engine(), 64 << 10).await.unwrap();
    let b = whole.files.iter().position(|f| f.2.concat().starts_with(b"1\t1\n")).unwrap();
    for (bad, code, says) in [
        // A row that is none.
        (b"x\t1\n\\.\n\n\n".to_vec(), Code::DatabaseError, "COPY b, line 1, column id"),
        // A row that breaks the foreign key, which is found out at the end.
        (b"1\t0\n\\.\n\n\n".to_vec(), Code::DatabaseError, "FK CONSTRAINT public.b b_other_fkey"),
        // A file that was cut.
        (b"1\t1\n".to_vec(), Code::Damaged, ".dat"),
    ] {
        let files = whole.files.clone();
        let mut dump = Dump { files, summary: whole.summary.clone() };
        dump.files[b].2 = vec![bad];
        let target = Scratch::new(&url, "half");
        let e = dump.restore(&*target.engine(), &plain()).await.unwrap_err();
        assert_eq!(e.code(), code, "{e}");
        assert!(e.message().contains(says), "{e}");
        assert_eq!(target.engine().probe().await.unwrap_err().code(), Code::DatabaseNotFound);
        assert_eq!(leftovers(&target).await, "0");

        // In a database that stays, what was created goes.
        let direct = Scratch::create(&url, "half").await;
        direct.admin(&format!("ALTER DATABASE {} SET work_mem = '5MB'", quote::ident(&direct.name))).await;
        assert_eq!(dump.restore(&*direct.engine(), &plain()).await.unwrap_err().code(), code);
        let mut conn = direct.connect().await;
        assert_eq!(place::contents(&mut conn).await.unwrap(), None);
        drop(conn);
        direct.drop().await;
    }
    source.drop().await;
}

#[tokio::test]
async fn a_connection_terminated_while_loading_fails_the_restore() {
    let Some(url) = server() else { return };
    let source = with_rows(&url, "load_killed").await;
    let dump = Dump::of(&*source.engine(), 64 << 10).await.unwrap();
    let target = Scratch::new(&url, "load_killed");
    let mut opened = target.engine().target(&plain()).await.unwrap();
    let like = quote::literal(&format!("{}_restoring_", target.name));
    let kill =
        format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE starts_with(datname, {like}) LIMIT 1");
    dump.load(opened.as_mut()).await.unwrap();
    target.admin(&kill).await;
    let e = within_seconds(opened.finish()).await.unwrap_err();
    assert_eq!(e.code(), Code::DatabaseUnavailable, "{e}");
    opened.abort().await.unwrap();
    assert_eq!(leftovers(&target).await, "0");
    target.drop().await;
    source.drop().await;
}

#[tokio::test]
async fn what_cannot_be_reached_has_its_code() {
    let Some(url) = server() else { return };
    let scratch = Scratch::new(&url, "absent");
    assert_eq!(scratch.engine().probe().await.unwrap_err().code(), Code::DatabaseNotFound);
    assert_eq!(scratch.engine().snapshot(&options(1 << 20)).await.unwrap_err().code(), Code::DatabaseNotFound);
    let refused = Postgres::new("postgres://u:s3cret@127.0.0.1:1/x").unwrap();
    let e = refused.probe().await.unwrap_err();
    assert_eq!(e.code(), Code::DatabaseUnavailable, "{e}");
    assert!(!format!("{e} {e:?}").contains("s3cret"));
}

#[tokio::test]
async fn a_role_that_is_no_superuser_restores_what_it_may() {
    let Some(url) = server() else { return };
    let mut source = with_rows(&url, "modest").await;
    let role = source.role("modest").await;
    source.admin(&format!("ALTER ROLE {role} CREATEDB")).await;
    source.run("COMMENT ON SCHEMA public IS 'ours'; CREATE EXTENSION IF NOT EXISTS plpgsql").await;
    let dump = Dump::of(&*source.engine(), 64 << 10).await.unwrap();
    let target = Scratch::new(&url, "modest");
    let mut modest: url::Url = url.parse().unwrap();
    modest.set_username(&role).unwrap();
    let engine = Postgres::new(modest.as_str()).unwrap().sibling(&target.name, None).unwrap();
    let e = dump.restore(&*engine, &plain()).await.unwrap_err();
    assert_eq!(e.code(), Code::DatabaseDenied, "{e}");
    assert!(e.message().contains("objects cannot be given to"), "{e}");
    assert_eq!(leftovers(&target).await, "0");
    let without = RestoreOptions { no_owner: true, no_privileges: true, ..plain() };
    assert_eq!(dump.restore(&*engine, &without).await.unwrap(), []);
    assert_eq!(&engine.summarize(&dump.summary.tables, 2).await.unwrap(), &dump.summary.tables);
    engine.discard().await.unwrap();
    target.drop().await;
    source.drop().await;
}

#[tokio::test]
async fn tables_that_may_not_be_read_are_named() {
    let Some(url) = server() else { return };
    let mut source = with_rows(&url, "denied").await;
    let role = source.role("weak").await;
    let mut weak: url::Url = url.parse().unwrap();
    weak.set_username(&role).unwrap();
    let engine = Postgres::new(weak.as_str()).unwrap().sibling(&source.name, None).unwrap();
    let e = engine.snapshot(&options(1 << 20)).await.unwrap_err();
    assert_eq!(e.code(), Code::DatabaseDenied, "{e}");
    assert!(e.message().contains("2 tables (public.a, public.b)"), "{e}");
    // Nor may it create a database.
    let target = Scratch::new(&url, "denied");
    let e = Postgres::new(weak.as_str()).unwrap().sibling(&target.name, None).unwrap();
    assert_eq!(e.target(&plain()).await.err().unwrap().code(), Code::DatabaseDenied);
    source.drop().await;
}
