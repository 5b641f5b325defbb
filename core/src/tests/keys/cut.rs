//! What a host does to the keys, cut short at every call to the store, and by two hosts at once.

use std::time::Duration;

use tokio::time::sleep;

use super::super::prune::World;
use super::super::sim::{Fault, SimStore, Trouble};
use super::{NEW, OLD};
use crate::{BackupId, Code, Error, Result, Vault};

/// What a host does to the keys, with an old and with a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    Rotate,
    NewEpoch,
    AddAndRemove,
    Rewrap,
    Reencrypt,
}

async fn prepared(doing: Doing) -> (World, Vec<BackupId>) {
    let (world, ids) = World::with_backups(2).await;
    if matches!(doing, Doing::Rewrap | Doing::Reencrypt) {
        world.vault.rotate_key().new_epoch().to_passphrase(NEW).work_factor(4).await.unwrap();
    }
    (world, ids)
}

async fn act(world: &World, store: &SimStore, doing: Doing) -> Result<()> {
    let vault = world.with_store(store, |b| b.passphrase(OLD).passphrase(NEW)).await?;
    match doing {
        Doing::Rotate => vault.rotate_key().to_passphrase(NEW).work_factor(4).await.map(drop),
        Doing::NewEpoch => vault.rotate_key().new_epoch().to_passphrase(NEW).work_factor(4).await.map(drop),
        Doing::AddAndRemove => {
            let added = vault.add_key().passphrase(NEW).name("new").work_factor(4).await?;
            vault.remove_key(added.slot).await.map(drop)
        }
        Doing::Rewrap => vault.rewrap().await.map(drop),
        Doing::Reencrypt => vault.reencrypt().await.map(drop),
    }
}

/// Whatever happened: one of the keys opens the store, it opens what the report says, and each backup is there, whole.
async fn must_be_sound(world: &World, ids: &[BackupId], what: &str) -> Vault {
    let vault = world.with(|b| b.passphrase(OLD).passphrase(NEW)).await;
    let vault = vault.unwrap_or_else(|e| panic!("{what}: nothing opens the store: {e}"));
    let report = vault.keys().await.unwrap_or_else(|e| panic!("{what}: {e}"));
    assert!(report.unopened.is_empty(), "{what}: {report:?}");
    for id in ids {
        // Itself or its copy.
        let listed = vault.list().await.unwrap();
        let found: Vec<_> = listed.iter().filter(|b| b.id.started_at() == id.started_at()).collect();
        assert!(!found.is_empty(), "{what}: {id} is lost");
        for backup in found {
            vault.verify(&backup.id).await.unwrap_or_else(|e| panic!("{what}: {}: {e}", backup.id));
        }
    }
    let slots: Vec<_> = report.slots.iter().filter(|slot| slot.opens_here && slot.current).collect();
    assert!(!slots.is_empty(), "{what}: {report:?}");
    let id = vault.backup().await.unwrap_or_else(|e| panic!("{what}: no backup afterwards: {e}")).id;
    vault.verify(&id).await.unwrap();
    vault
}

/// Fails each call to the store once, alone (its answer lost) and with all that follow.
async fn cut_short(doing: Doing) {
    {
        for fault in [Fault::Lost, Fault::Cut] {
            let mut reached = 0;
            for n in 1.. {
                let (world, ids) = prepared(doing).await;
                let store = world.store.another();
                store.trouble(Trouble::At(n, fault));
                let result = act(&world, &store, doing).await;
                if store.calls() < n {
                    break;
                }
                reached = n;
                let what = format!("{doing:?}, {fault:?} at call {n}: {:?}", result.map_err(|e| e.to_string()));
                must_be_sound(&world, &ids, &what).await;
                // Dead is who was silent for so long.
                sleep(Duration::from_secs(120)).await;
                let again = act(&world, &world.store.another(), doing).await;
                again.unwrap_or_else(|e| panic!("{what}: again: {e}"));
                let vault = must_be_sound(&world, &ids, &what).await;
                let report = vault.keys().await.unwrap();
                match doing {
                    Doing::Rotate | Doing::NewEpoch => {
                        assert!(!world.opens(OLD).await, "{what}: {report:?}");
                        assert_eq!(report.slots.len(), 1, "{what}: {report:?}");
                    }
                    Doing::Rewrap => assert_eq!(report.epochs[1].opens, 0, "{what}"),
                    Doing::Reencrypt => {
                        assert!(report.behind.is_empty(), "{what}: {report:?}");
                        let listed = vault.list().await.unwrap();
                        assert_eq!(
                            listed.iter().filter(|b| b.id.started_at() <= ids[1].started_at()).count(),
                            2,
                            "{what}"
                        );
                    }
                    Doing::AddAndRemove => assert!(world.opens(OLD).await, "{what}"),
                }
            }
            assert!(reached > 10, "{doing:?}: only {reached} calls");
        }
    }
}

/// Suspends a host before each of its calls, while another one does the same.
async fn suspended(doing: Doing) {
    {
        let mut reached = 0;
        for n in 1.. {
            let (world, ids) = prepared(doing).await;
            let sleeper = world.store.another();
            sleeper.trouble(Trouble::At(n, Fault::Sleep));
            let asleep = {
                let (world, sleeper) = (world.clone(), sleeper.clone());
                tokio::spawn(async move { act(&world, &sleeper, doing).await })
            };
            sleep(Duration::from_secs(600)).await;
            if sleeper.calls() < n {
                asleep.await.unwrap().unwrap();
                break;
            }
            reached = n;
            let what = format!("{doing:?}, suspended before call {n}");
            let other = act(&world, &world.store.another(), doing).await;
            must_be_sound(&world, &ids, &format!("{what}: meanwhile")).await;
            sleeper.suspend(false);
            let late = asleep.await.unwrap();
            let ends = |r: &Result<()>| {
                r.as_ref().err().is_none_or(|e: &Error| matches!(e.code(), Code::Busy | Code::KeySlot))
            };
            assert!(ends(&other) && ends(&late), "{what}: {other:?}, {late:?}");
            let vault = must_be_sound(&world, &ids, &what).await;
            if doing == Doing::Reencrypt {
                sleep(Duration::from_secs(120)).await;
                vault.reencrypt().await.unwrap();
                let listed = vault.list().await.unwrap();
                let old = listed.iter().filter(|b| b.id.started_at() <= ids[1].started_at());
                assert_eq!(old.count(), 2, "{what}: doubled");
            }
        }
        assert!(reached > 10, "{doing:?}: only {reached} calls");
    }
}

#[tokio::test(start_paused = true)]
async fn a_rotation_that_is_cut_short_anywhere_harms_nothing_and_goes_on() {
    cut_short(Doing::Rotate).await;
}

#[tokio::test(start_paused = true)]
async fn a_rotation_that_sleeps_while_another_host_does_it_harms_nothing() {
    suspended(Doing::Rotate).await;
}

#[tokio::test(start_paused = true)]
async fn a_new_epoch_that_is_cut_short_anywhere_harms_nothing_and_goes_on() {
    cut_short(Doing::NewEpoch).await;
}

#[tokio::test(start_paused = true)]
async fn a_new_epoch_that_sleeps_while_another_host_does_it_harms_nothing() {
    suspended(Doing::NewEpoch).await;
}

#[tokio::test(start_paused = true)]
async fn adding_and_removing_that_is_cut_short_anywhere_harms_nothing_and_goes_on() {
    cut_short(Doing::AddAndRemove).await;
}

#[tokio::test(start_paused = true)]
async fn rewrapping_that_is_cut_short_anywhere_harms_nothing_and_goes_on() {
    cut_short(Doing::Rewrap).await;
}

#[tokio::test(start_paused = true)]
async fn rewrapping_that_sleeps_while_another_host_does_it_harms_nothing() {
    suspended(Doing::Rewrap).await;
}

#[tokio::test(start_paused = true)]
async fn sealing_anew_that_is_cut_short_anywhere_harms_nothing_and_goes_on() {
    cut_short(Doing::Reencrypt).await;
}

#[tokio::test(start_paused = true)]
async fn sealing_anew_that_sleeps_while_another_host_does_it_harms_nothing() {
    suspended(Doing::Reencrypt).await;
}

#[tokio::test(start_paused = true)]
async fn two_hosts_that_make_an_epoch_at_once_make_one() {
    let (world, ids) = World::with_backups(1).await;
    let hosts: Vec<_> = (0..8).map(|_| world.store.another()).collect();
    let doing = hosts.iter().map(|store| async {
        let vault = world.with_store(store, |b| b.passphrase(OLD)).await?;
        vault.rotate_key().new_epoch().to_passphrase(NEW).work_factor(4).await
    });
    let results = futures::future::join_all(doing).await;
    assert!(results.iter().any(Result::is_ok), "{results:?}");
    let vault = must_be_sound(&world, &ids, "eight at once").await;
    assert_eq!(vault.keys().await.unwrap().epoch, Some(2));
}

#[tokio::test(start_paused = true)]
async fn two_hosts_that_remove_each_others_slot_leave_one() {
    let (world, ids) = World::with_backups(1).await;
    world.vault.add_key().passphrase(NEW).name("new").work_factor(4).await.unwrap();
    let old = world.with(|b| b.passphrase(OLD)).await.unwrap();
    let new = world.with(|b| b.passphrase(NEW)).await.unwrap();
    let (a, b) = tokio::join!(async { old.remove_key("1-new").await }, async { new.remove_key("1-main").await });
    assert!(a.is_err() || b.is_err(), "{a:?}, {b:?}");
    must_be_sound(&world, &ids, "each other's").await;
}
