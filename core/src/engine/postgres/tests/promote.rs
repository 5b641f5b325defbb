//! The swap of two databases, and what stands in its way.

use super::*;
use crate::engine::Suffix;
use crate::engine::postgres::promote::swap;

fn suffix() -> Suffix {
    Suffix(jiff::Timestamp::from_second(1_763_690_401).unwrap())
}

async fn exists(scratch: &Scratch, name: &str) -> bool {
    let admin = Scratch { url: scratch.url.clone(), name: "postgres".into(), roles: vec![] };
    let sql = format!("SELECT count(*) FROM pg_database WHERE datname = {}", quote::literal(name));
    admin.ask(&sql).await == "1"
}

fn promoting() -> RestoreOptions {
    RestoreOptions { promote: true, ..plain() }
}

#[tokio::test]
async fn a_swap_whose_second_half_fails_undoes_its_first() {
    let Some(url) = server() else { return };
    let live = Scratch::create(&url, "swap").await;
    live.run("CREATE TABLE here ()").await;
    let there = Server::new(&url).unwrap().sibling(&live.name);
    let e = swap(&there, "no such database", Some("lg kept")).await.unwrap_err();
    assert_eq!(e.code(), Code::DatabaseNotFound, "{e}");
    assert!(!exists(&live, "lg kept").await);
    assert_eq!(live.ask("SELECT relname FROM pg_class WHERE relname = 'here'").await, "here");
    live.drop().await;
}

#[tokio::test]
async fn a_name_that_is_taken_leaves_both_where_they_are() {
    let Some(url) = server() else { return };
    let (live, staging, taken) =
        (Scratch::create(&url, "a").await, Scratch::create(&url, "b").await, Scratch::create(&url, "c").await);
    let there = Server::new(&url).unwrap().sibling(&live.name);
    assert!(swap(&there, &staging.name, Some(&taken.name)).await.is_err());
    for scratch in [live, staging, taken] {
        assert!(exists(&scratch, &scratch.name).await);
        scratch.drop().await;
    }
}

#[tokio::test]
async fn the_longest_name_there_is_gives_way_and_is_told_by_its_time() {
    let Some(url) = server() else { return };
    let source = Scratch::create(&url, "long").await;
    source.run("CREATE TABLE t AS SELECT 1 AS id").await;
    let dump = Dump::of(&*source.engine(), 1 << 20).await.unwrap();
    let mut live = Scratch::new(&url, "long");
    live.name = format!("{:é<32}", live.name.replace('"', ""));
    while live.name.len() > 63 {
        live.name.pop();
    }
    live.admin(&format!("CREATE DATABASE {}", quote::ident(&live.name))).await;
    live.run("CREATE TABLE before ()").await;

    let mut target = live.engine().target(&promoting()).await.unwrap();
    dump.load(target.as_mut()).await.unwrap();
    let (staged, _) = target.stage().await.unwrap();
    assert_eq!(&staged.summarize(&dump.summary.tables, 2).await.unwrap(), &dump.summary.tables);
    // Nothing is to be seen of it yet, and nobody was thrown out.
    assert_eq!(live.ask("SELECT relname FROM pg_class WHERE relname = 'before'").await, "before");
    let (promoted, _) = target.promote(&suffix()).await.unwrap();
    let kept = promoted.kept.unwrap();
    assert!(kept.ends_with("_before_20251121_020001") && kept.len() <= 63, "{kept}");
    assert_eq!(live.ask("SELECT id FROM t").await, "1");
    let kept = Scratch { url: url.clone(), name: kept, roles: vec![] };
    assert_eq!(kept.ask("SELECT relname FROM pg_class WHERE relname = 'before'").await, "before");
    // Taking back what was promoted touches neither.
    target.abort().await.unwrap();
    assert_eq!(live.ask("SELECT id FROM t").await, "1");
    for scratch in [kept, live, source] {
        scratch.drop().await;
    }
}

#[tokio::test]
async fn the_databases_that_renames_are_made_from_do_not_give_way() {
    let Some(url) = server() else { return };
    for name in ["postgres", "template1"] {
        let engine = Postgres::new(&url).unwrap().sibling(name, None).unwrap();
        assert_eq!(engine.target(&promoting()).await.err().unwrap().code(), Code::TargetInUse, "{name}");
    }
}
