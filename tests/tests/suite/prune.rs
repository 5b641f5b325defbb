//! Pruning on the command line and through real stores; cut short at every call and by kills.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lastgood::{BackupId, Keep, Vault};
use object_store::memory::InMemory;
use testkit::{Azurite, Fault, FaultyStore, SeaweedFs, run_and_kill, tool};

use crate::world::{PASSPHRASE, SMALL, World, refusal};

async fn ids(vault: &Vault) -> Vec<BackupId> {
    let mut ids: Vec<_> = vault.list().await.unwrap().into_iter().map(|b| b.id).collect();
    ids.reverse();
    ids
}

#[test]
fn the_command_line_explains_marks_holds_and_deletes() {
    let world = World::new();
    let database = world.make("a.db", SMALL);
    let made: Vec<String> = (0..4)
        .map(|_| world.run(&["backup", "--quiet", "--database", &database])["id"].as_str().unwrap().to_owned())
        .collect();
    let run = |arguments: &[&str]| world.run(&[arguments, &["--name", "a"]].concat());
    let plan = run(&["prune", "--keep", "2", "--dry-run"]);
    assert_eq!(plan["decisions"][3]["action"], "mark");
    assert_eq!(plan["decisions"][0]["reasons"][0], "newest");
    run(&["hold", &made[0], "--reason", "audit"]);
    let text = tool(&mut world.command(&["prune", "--keep", "2", "--grace", "0", "--name", "a"]));
    assert!(text.contains("held until 9999"), "{text}");
    let listed = run(&["list"]);
    let left: Vec<_> = listed.as_array().unwrap().iter().rev().map(|b| b["id"].as_str().unwrap()).collect();
    assert_eq!(left, [&made[0], &made[2], &made[3]]);
    run(&["release", &made[0]]);
    run(&["prune", "--keep", "2", "--grace", "0"]);
    assert_eq!(run(&["list"]).as_array().unwrap().len(), 2);
    let (code, error) = refusal(&mut world.command(&["hold", "backup-2020", "--name", "a"]));
    assert_eq!((code, error["code"].as_str()), (6, Some("backup_not_found")), "{error}");
}

/// Made, pruned and pruned again through a real store: what is left verifies, and nothing else is left.
async fn prunes(url: String, options: Vec<(&str, String)>) {
    let world = World::new();
    let builder = world.builder(&world.make("a.db", SMALL)).store(url);
    let builder = options.iter().fold(builder, |b, (name, value)| b.store_option(name.to_lowercase(), value));
    let vault = builder.open().await.unwrap();
    for _ in 0..4 {
        vault.backup().await.unwrap();
    }
    let all = ids(&vault).await;
    vault.drill(&all[0]).await.unwrap();
    vault.prune().keep(Keep::last(2)).await.unwrap();
    assert_eq!(ids(&vault).await, all, "marked, not deleted");
    let report = vault.prune().keep(Keep::last(2)).grace_seconds(0).await.unwrap();
    assert!(report.refused.is_empty() && report.freed_bytes > 0, "{report:?}");
    let left = ids(&vault).await;
    assert_eq!(left, [&all[..1], &all[2..]].concat());
    for id in &left {
        vault.verify(id).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prune_in_s3() {
    let Some(server) = SeaweedFs::shared() else { return };
    prunes(format!("{}/p", server.bucket("prune")), server.env()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prune_in_azure() {
    let Some(server) = Azurite::shared() else { return };
    let options = server.env().into_iter().map(|(name, value)| match name {
        "AZURE_STORAGE_ACCOUNT" => ("azure_storage_account_name", value),
        "AZURE_STORAGE_KEY" => ("azure_storage_account_key", value),
        other => (other, value),
    });
    prunes(server.container("prune"), options.collect()).await;
}

/// Half of a listing and half of an answer, hangs and doubled calls: the kinds of faults of the testkit.
#[tokio::test(flavor = "multi_thread")]
async fn a_prune_whose_store_fails_anywhere_loses_nothing() {
    let world = World::new();
    let database = world.make("a.db", SMALL);
    let prepared = async || {
        let store = FaultyStore::new(Arc::new(InMemory::new()));
        let vault = Vault::builder().database(&database).object_store(Arc::new(store.clone()));
        let vault = vault.passphrase(PASSPHRASE).work_factor(4).open().await.unwrap();
        for _ in 0..3 {
            vault.backup().await.unwrap();
        }
        store.heal();
        (store, vault)
    };
    let prune = |vault: &Vault| vault.prune().keep(Keep::last(2)).grace_seconds(0);
    let calls = {
        let (store, vault) = prepared().await;
        prune(&vault).await.unwrap();
        store.calls().len()
    };
    for fault in Fault::ALL {
        for n in 1..=calls {
            let (store, vault) = prepared().await;
            let all = ids(&vault).await;
            store.fail_call(n, fault);
            let result =
                tokio::time::timeout(Duration::from_millis(400), std::future::IntoFuture::into_future(prune(&vault)))
                    .await;
            store.heal();
            let left = ids(&vault).await;
            assert!(all[1..].iter().all(|id| left.contains(id)), "{fault:?} at {n}: {result:?} left {left:?}");
            for id in &left {
                vault.verify(id).await.unwrap_or_else(|e| panic!("{fault:?} at {n}: {id}: {e}"));
            }
            prune(&vault).await.unwrap();
            assert_eq!(ids(&vault).await, all[1..], "{fault:?} at {n}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_prune_goes_on_later() {
    let world = World::new();
    let vault = world.vault(&world.make("a.db", SMALL)).await;
    let mut kept = BTreeSet::new();
    for _ in 0..12 {
        for _ in 0..3 {
            vault.backup().await.unwrap();
        }
        let before = ids(&vault).await;
        kept.clear();
        kept.extend(before[before.len() - 2..].iter().cloned());
        let command =
            || -> Command { world.command(&["prune", "--keep", "2", "--grace", "0", "--name", "a", "--quiet"]) };
        let began = Instant::now();
        world.run(&["prune", "--keep", "2", "--dry-run", "--name", "a"]);
        run_and_kill(&mut command(), began.elapsed() + Duration::from_millis(60));
        let left: BTreeSet<_> = ids(&vault).await.into_iter().collect();
        assert!(left.is_superset(&kept), "{left:?}");
        for id in &left {
            vault.verify(id).await.unwrap();
        }
    }
    vault.prune().keep(Keep::last(2)).grace_seconds(0).await.unwrap();
    let folders: BTreeSet<_> = world
        .stored()
        .into_keys()
        .filter_map(|name| {
            let folder = name.split('/').nth(1)?;
            folder.parse::<BackupId>().ok()
        })
        .collect();
    // The newest that was verified is among the two.
    assert_eq!(folders, kept);
}
