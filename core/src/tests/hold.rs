//! A hold that is put while a prune runs: whoever is told that a backup is held finds it there later.

use std::time::Duration;

use tokio::task::{JoinHandle, yield_now};
use tokio::time::sleep;

use super::prune::{World, open};
use super::sim::{Fault, SimStore, Trouble};
use crate::{BackupId, Code, HoldReport, Keep, PruneReport, Result, Vault};

const DAY: Duration = Duration::from_secs(86_400);

/// A host of its own.
async fn host(world: &World) -> (Vault, SimStore) {
    let store = world.store.another();
    let vault = open(&world.clock, &store, &world.fake).await;
    store.trouble(Trouble::Nothing);
    (vault, store)
}

/// Runs until it sleeps or has ended.
async fn until_asleep<T>(task: &JoinHandle<T>, store: &SimStore) {
    while !task.is_finished() && !store.is_suspended() {
        yield_now().await;
    }
}

fn hold(vault: Vault, id: &BackupId) -> JoinHandle<Result<HoldReport>> {
    let id = id.clone();
    tokio::spawn(async move { vault.hold(&id).await })
}

fn prune(vault: Vault) -> JoinHandle<Result<PruneReport>> {
    tokio::spawn(async move { vault.prune().keep(Keep::last(1)).grace_seconds(0).await })
}

/// Two backups; the older one is to be pruned.
async fn prepared() -> (World, BackupId) {
    let world = World::new().await;
    let id = world.vault.backup().await.unwrap().id;
    sleep(DAY).await;
    world.vault.backup().await.unwrap();
    sleep(DAY).await;
    (world, id)
}

async fn must_be_sound(world: &World, id: &BackupId, held: &Result<HoldReport>, when: &str) {
    let listed = |vault: Vault| async move {
        vault.list().await.unwrap().into_iter().map(|b| (b.id, b.held_until)).collect::<Vec<_>>()
    };
    let found = listed(world.vault.clone()).await.into_iter().find(|(found, _)| found == id);
    match held {
        Ok(_) => assert!(found.as_ref().is_some_and(|(_, until)| until.is_some()), "{when}: held, and {found:?}"),
        Err(e) => {
            assert!(matches!(e.code(), Code::Busy | Code::BackupNotFound), "{when}: {e}");
            assert!(found.is_none_or(|(_, until)| until.is_none()), "{when}: it is held, and that was denied");
        }
    }
    sleep(DAY).await;
    world.vault.prune().keep(Keep::last(1)).grace_seconds(0).await.unwrap();
    let left = listed(world.vault.clone()).await;
    assert_eq!(left.iter().any(|(found, _)| found == id), held.is_ok(), "{when}: {held:?}, and later {left:?}");
    for (id, _) in left {
        world.vault.verify(&id).await.unwrap_or_else(|e| panic!("{when}: {id}: {e}"));
    }
    let rest = world.store.names().await.into_iter().filter(|name| name.contains(&format!("{id}/"))).count();
    assert!(held.is_ok() || rest == 0, "{when}: {rest} objects are left of what was deleted");
}

/// Calls that each of the two makes by itself.
async fn calls() -> (usize, usize) {
    let (world, id) = prepared().await;
    let (vault, store) = host(&world).await;
    hold(vault, &id).await.unwrap().unwrap();
    let (world, _) = prepared().await;
    let (other, pruning) = host(&world).await;
    prune(other).await.unwrap().unwrap();
    (store.calls(), pruning.calls())
}

/// The hold sleeps before each of its calls in turn while the prune goes on to each of its own, where it sleeps until the
/// hold has ended; and the other way round.
#[tokio::test(start_paused = true)]
async fn a_hold_that_was_granted_holds_and_one_that_was_denied_does_not() {
    let (of_hold, of_prune) = calls().await;
    assert!(of_hold >= 4 && of_prune >= 10, "{of_hold} {of_prune}");
    let (mut granted, mut denied) = (0, 0);
    for hold_first in [true, false] {
        for n in 1..=of_hold + 1 {
            for m in 1..=of_prune + 1 {
                let when = format!("hold asleep at {n}, prune at {m}, {}", if hold_first { "hold" } else { "prune" });
                let (world, id) = prepared().await;
                let ((holding, holds), (pruning, prunes)) = (host(&world).await, host(&world).await);
                holds.trouble(Trouble::At(n, Fault::Sleep));
                prunes.trouble(Trouble::At(m, Fault::Sleep));
                let (held, pruned);
                if hold_first {
                    held = hold(holding, &id);
                    until_asleep(&held, &holds).await;
                    pruned = prune(pruning);
                    until_asleep(&pruned, &prunes).await;
                } else {
                    pruned = prune(pruning);
                    until_asleep(&pruned, &prunes).await;
                    held = hold(holding, &id);
                    until_asleep(&held, &holds).await;
                }
                // Whoever slept first is woken first, and ends before the other one goes on.
                let held = match hold_first {
                    true => {
                        holds.suspend(false);
                        let held = held.await.unwrap();
                        prunes.suspend(false);
                        pruned.await.unwrap().unwrap_or_else(|e| panic!("{when}: {e}"));
                        held
                    }
                    false => {
                        prunes.suspend(false);
                        pruned.await.unwrap().unwrap_or_else(|e| panic!("{when}: {e}"));
                        holds.suspend(false);
                        held.await.unwrap()
                    }
                };
                must_be_sound(&world, &id, &held, &when).await;
                *(if held.is_ok() { &mut granted } else { &mut denied }) += 1;
            }
        }
    }
    assert!(granted > 20 && denied > 20, "{granted} granted, {denied} denied: this showed nothing");
}
