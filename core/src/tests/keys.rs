//! Key slots, epochs, rewrapping and sealing anew.

mod cut;
mod forged;

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use tokio::time::sleep;

use super::prune::World;
use super::sim::SimStore;
use crate::crypto::Credential;
use crate::{BackupId, Clock, Code, Keep, Key, KeySlotKind, Result, Secret, Vault, VaultBuilder};

const OLD: &str = "a passphrase for tests that nobody would ever use elsewhere";
const NEW: &str = "quite another passphrase for tests, as long as it has to be";
const SAFE: &str = "gravel-onion-sixfold-tundra-maple-kiosk-in-the-safe";

impl World {
    async fn with(&self, key: impl FnOnce(VaultBuilder) -> VaultBuilder) -> Result<Vault> {
        self.with_store(&self.store.another(), key).await
    }

    async fn with_store(&self, store: &SimStore, key: impl FnOnce(VaultBuilder) -> VaultBuilder) -> Result<Vault> {
        let builder = Vault::builder().engine(Arc::new(self.fake.clone())).object_store(Arc::new(store.clone()));
        key(builder.work_factor(4).clock(Arc::new(self.clock.clone()))).open().await
    }

    async fn opens(&self, passphrase: &str) -> bool {
        self.with(|b| b.passphrase(passphrase)).await.is_ok()
    }

    /// A world with backups, a second apart.
    async fn with_backups(n: usize) -> (Self, Vec<BackupId>) {
        let world = Self::new().await;
        let mut ids = Vec::new();
        for _ in 0..n {
            ids.push(world.vault.backup().await.unwrap().id);
            sleep(Duration::from_secs(1)).await;
        }
        (world, ids)
    }
}

async fn all_whole(vault: &Vault) -> Vec<BackupId> {
    let mut ids = Vec::new();
    for backup in vault.list().await.unwrap() {
        vault.verify(&backup.id).await.unwrap();
        ids.push(backup.id);
    }
    ids.reverse();
    ids
}

fn identity() -> (Secret, String) {
    let keys = crate::crypto::RepositoryKeys::generate();
    let text = keys.identity_file().expose().lines().last().unwrap().to_owned();
    (Secret::new(text), keys.recipients().to_string())
}

#[tokio::test(start_paused = true)]
async fn slots_are_added_listed_and_removed_but_never_the_last_that_is_known_to_open() {
    let (world, _) = World::with_backups(2).await;
    let (mine, public) = identity();
    let added = world.vault.add_key().passphrase(SAFE).name("safe").work_factor(4).await.unwrap();
    assert_eq!((added.slot.as_str(), added.proven), ("1-safe", true));
    let offline = world.vault.add_key().recipients([&public]).name("offline").await.unwrap();
    assert_eq!((offline.slot.as_str(), offline.proven), ("1-offline", false));
    let raw = format!("raw:{}", "07".repeat(32));
    world.vault.add_key().passphrase(raw.as_str()).name("safe").await.unwrap();

    let report = world.vault.keys().await.unwrap();
    let told: Vec<_> = report.slots.iter().map(|s| (s.slot.as_str(), s.kind, s.opens_here, s.backups)).collect();
    let (passphrase, recipients) = (KeySlotKind::Passphrase, KeySlotKind::Recipients);
    assert_eq!(
        told,
        [
            ("1-main", passphrase, true, Some(2)),
            ("1-offline", recipients, false, Some(2)),
            ("1-safe", passphrase, false, Some(2)),
            ("1-safe-2", recipients, false, Some(2)),
        ]
    );
    assert_eq!(report.slots[0].work_factor, Some(4));
    assert!(report.behind.is_empty() && report.unopened.is_empty());
    // Somebody without a key, or with a lost one, learns what would open the store.
    let without = world.with(|b| b).await.unwrap().keys().await.unwrap();
    assert_eq!((without.slots.len(), without.epoch, without.slots[0].backups), (4, None, None));

    for open in [
        world.with(|b| b.passphrase(SAFE)).await,
        world.with(|b| b.credential(Credential::Identities(mine.clone()))).await,
        world.with(|b| b.raw_key(Key::new([7; 32]))).await,
    ] {
        all_whole(&open.unwrap()).await;
    }
    for (wanted, says) in [("1-main", "last key slot"), ("nothing", "no key slot"), ("2-safe", "no key slot")] {
        let e = world.vault.remove_key(wanted).await.unwrap_err();
        assert!(e.code() == Code::KeySlot && e.message().contains(says), "{e}");
    }
    assert!(world.store.names().await.iter().all(|name| !name.ends_with(".removal")));
    let both = world.with(|b| b.passphrase(OLD).passphrase(SAFE)).await.unwrap();
    let removed = both.remove_key("main").await.unwrap();
    assert_eq!((removed.slot.as_str(), removed.opens_with.as_str()), ("1-main", "1-safe"));
    assert!(!world.opens(OLD).await && world.opens(SAFE).await);
    // Both go on: the one with the other key, the one that was open with what it knows.
    both.backup().await.unwrap();
    world.vault.backup().await.unwrap();
    assert_eq!(all_whole(&both).await.len(), 4);
    for bad in ["Safe", "a/b", "", "-a", &"a".repeat(41)] {
        let e = world.vault.add_key().passphrase(SAFE).name(bad).await.unwrap_err();
        assert_eq!(e.code(), Code::InvalidOption, "{bad}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_process_rotates_again_and_again_and_only_the_last_key_opens() {
    let (world, _) = World::with_backups(1).await;
    let raw = format!("raw:{}", "09".repeat(32));
    for (to, removed) in [(NEW, "1-main"), (raw.as_str(), "1-main-2"), (SAFE, "1-main")] {
        let report = world.vault.rotate_key().to_passphrase(to).work_factor(4).await.unwrap();
        assert_eq!(report.removed.as_deref(), Some(removed));
    }
    assert_eq!(world.vault.keys().await.unwrap().slots.len(), 1);
    assert!(world.opens(SAFE).await && !world.opens(OLD).await && !world.opens(NEW).await && !world.opens(&raw).await);
    assert!(world.with(|b| b.raw_key(Key::new([9; 32]))).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_rotation_to_recipients_that_nobody_here_can_open_is_refused_before_anything_is_written() {
    let (world, _) = World::with_backups(1).await;
    let (mine, public) = identity();
    let before = world.store.names().await;
    let e = world.vault.rotate_key().to_recipients([&public]).await.unwrap_err();
    assert_eq!(e.code(), Code::KeySlot);
    assert_eq!(world.store.names().await, before);
    let both = world.with(|b| b.passphrase(OLD).credential(Credential::Identities(mine.clone()))).await.unwrap();
    both.rotate_key().to_recipients([&public]).await.unwrap();
    assert!(!world.opens(OLD).await);
    all_whole(&world.with(|b| b.credential(Credential::Identities(mine))).await.unwrap()).await;
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_somebody_else_sealed_to_our_public_key_is_not_believed() {
    let (world, _) = World::with_backups(1).await;
    let (mine, public) = identity();
    world.vault.add_key().recipients([&public]).name("mine").await.unwrap();
    let open = world.with(|b| b.credential(Credential::Identities(mine.clone()))).await.unwrap();
    let lock = crate::crypto::keyring::SlotKey::recipients(crate::crypto::Recipients::parse(&public).unwrap()).unwrap();
    let theirs = crate::crypto::RepositoryKeys::generate().next_epoch().unwrap();
    let planted = crate::crypto::keyring::seal_slot(&theirs, &lock).unwrap();
    world.store.put(&Path::from("keys/2-main.age"), planted.into()).await.unwrap();
    let e = world.with(|b| b.credential(Credential::Identities(mine))).await.unwrap_err();
    assert!(e.code() == Code::KeySlot && e.message().contains("keys/2-main.age"), "{e}");
    // Who was there before goes on, under the identity it knows.
    let id = open.backup().await.unwrap().id;
    world.vault.verify(&id).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_new_epoch_seals_new_backups_and_old_ones_follow_by_rewrap() {
    let (world, ids) = World::with_backups(2).await;
    world.vault.add_key().passphrase(SAFE).name("safe").work_factor(4).await.unwrap();
    let report = world.vault.rotate_key().new_epoch().to_passphrase(NEW).work_factor(4).await.unwrap();
    assert_eq!((report.epoch, report.added.as_str(), report.removed.as_deref()), (2, "2-main", Some("1-main")));
    assert_eq!(report.behind, ["1-safe"]);
    let third = world.vault.backup().await.unwrap().id;

    let told = world.vault.keys().await.unwrap();
    assert_eq!(told.epochs.iter().map(|e| (e.epoch, e.opens, e.sealed)).collect::<Vec<_>>(), [(2, 1, 1), (1, 2, 2)]);
    assert_eq!(told.behind.iter().map(|b| &b.backup).collect::<Vec<_>>(), [&ids[0], &ids[1]]);
    let slot = |name: &str| told.slots.iter().find(|s| s.slot == name).unwrap();
    assert_eq!((slot("2-main").current, slot("2-main").backups), (true, Some(3)));
    assert_eq!((slot("1-safe").current, slot("1-safe").backups), (false, Some(2)));
    let safe = world.with(|b| b.passphrase(SAFE)).await.unwrap();
    safe.verify(&ids[0]).await.unwrap();
    assert_eq!(safe.verify(&third).await.unwrap_err().code(), Code::Unauthenticated);

    let rewrapped = world.vault.rewrap().await.unwrap();
    assert_eq!((rewrapped.rewrapped, rewrapped.unchanged, rewrapped.refused.len()), (2, 1, 0));
    let again = world.vault.rewrap().await.unwrap();
    assert_eq!((again.rewrapped, again.unchanged), (0, 3));
    let told = world.vault.keys().await.unwrap();
    assert_eq!(told.epochs.iter().map(|e| (e.epoch, e.opens, e.sealed)).collect::<Vec<_>>(), [(2, 3, 1), (1, 0, 2)]);
    assert!(safe.verify(&ids[0]).await.is_err(), "the old epoch opens it no more");
    assert_eq!(all_whole(&world.with(|b| b.passphrase(NEW)).await.unwrap()).await.len(), 3);
    assert_eq!(world.vault.rewrap().all().await.unwrap().rewrapped, 3);
}

#[tokio::test(start_paused = true)]
async fn backups_sealed_anew_have_their_tags_holds_and_proofs_and_the_old_ones_are_gone() {
    let (world, ids) = World::with_backups(3).await;
    world.vault.drill(&ids[0]).await.unwrap();
    let until = world.clock.now() + SignedDuration::from_hours(72);
    world.vault.hold(&ids[1]).until(until).await.unwrap();
    world.vault.rotate_key().new_epoch().to_passphrase(NEW).work_factor(4).await.unwrap();
    let under_new = world.vault.backup().await.unwrap().id;

    let report = world.vault.reencrypt().await.unwrap();
    assert_eq!((report.epoch, report.unchanged, report.reencrypted.len()), (2, 1, 3));
    assert_eq!(report.refused.len(), 1, "{:?}", report.refused);
    assert!(report.refused[0].backup == ids[1] && report.refused[0].message.contains("held until"));
    let listed = world.vault.list().await.unwrap();
    assert_eq!(listed.len(), 5, "the one that is held stays beside its copy");
    let copy = |id: &BackupId| report.reencrypted.iter().find(|r| r.backup == *id).unwrap().by.clone();
    let summary = |id: &BackupId| listed.iter().find(|b| b.id == *id).unwrap();
    assert!(summary(&copy(&ids[0])).drilled_at.is_some());
    assert_eq!(summary(&copy(&ids[1])).held_until, Some(until));
    assert!(listed.iter().any(|b| b.id == under_new));

    // The id that somebody wrote down still finds it.
    world.vault.drill(&ids[0]).await.unwrap();
    world.vault.release(&ids[1]).await.unwrap();
    let report = world.vault.reencrypt().await.unwrap();
    assert_eq!((report.reencrypted.len(), report.refused.len(), report.unchanged), (1, 0, 4));
    let told = world.vault.keys().await.unwrap();
    assert!(told.behind.is_empty() && told.epochs[1].opens == 0 && told.epochs[1].sealed == 0, "{told:?}");
    assert_eq!(all_whole(&world.vault).await.len(), 4);
    let again = world.vault.reencrypt().await.unwrap();
    assert_eq!((again.reencrypted.len(), again.unchanged), (0, 4));
    for name in world.store.names().await {
        assert!(!name.ends_with(".run") && !name.ends_with(".delete"), "{name}");
        assert!(ids.iter().all(|id| !name.contains(&format!("{id}/"))), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_store_does_not_let_go_stays_and_is_told_and_displaces_no_other() {
    let (world, ids) = World::with_backups(3).await;
    world.vault.rotate_key().new_epoch().to_passphrase(NEW).work_factor(4).await.unwrap();
    // A store that keeps everything is refused before anything is copied.
    world.store.lock_objects(Some("probe-"));
    let e = world.vault.reencrypt().await.unwrap_err();
    assert_eq!(e.code(), Code::StoreDenied);
    assert_eq!(world.vault.list().await.unwrap().len(), 3);

    world.store.lock_objects(Some(&format!("{}/", ids[1])));
    let report = world.vault.reencrypt().await.unwrap();
    assert_eq!((report.reencrypted.len(), report.refused.len()), (3, 1));
    assert!(report.refused[0].backup == ids[1] && report.refused[0].code == "store_denied");
    world.vault.verify(&ids[1]).await.unwrap();
    assert_eq!(world.vault.keys().await.unwrap().behind.len(), 1);

    // Retention counts the copy alone: all three stay.
    let plan = world.vault.prune().keep(Keep::last(3)).await.unwrap();
    let kept = plan.decisions.iter().filter(|d| d.action == crate::PruneAction::Keep).count();
    assert_eq!(kept, 3, "{:?}", plan.decisions);
    let replaced = plan.decisions.iter().find(|d| d.backup == ids[1]).unwrap();
    assert!(replaced.reasons[0].contains("replaces it"), "{replaced:?}");
    world.store.lock_objects(None);
    let report = world.vault.reencrypt().await.unwrap();
    assert_eq!((report.reencrypted.len(), report.refused.len()), (1, 0));
    let copy = world.vault.show(&ids[1]).await.unwrap().summary.id;
    assert!(
        copy != ids[1] && copy.as_str().starts_with(ids[1].as_str()),
        "{copy} is found by the id of what it replaces"
    );
    assert_eq!(all_whole(&world.vault).await.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_schedule_goes_on_while_the_key_changes_under_it() {
    let world = World::new().await;
    // Both keys are given while the rotation runs.
    let replica = world.with(|b| b.passphrase(OLD).passphrase(NEW)).await.unwrap();
    let stale = world.vault.clone();
    let plan = || {
        let mut plan = crate::Plan::default();
        (plan.backup, plan.verify, plan.drill) =
            (Some("0 * * * *".to_owned()), Some("30 * * * *".to_owned()), Some("45 * * * *".to_owned()));
        plan
    };
    let mut made = 0;
    for step in 0..6 {
        for vault in [&replica, &stale] {
            let report = vault.run_due().plan(plan()).await.unwrap();
            assert!(report.ran.iter().all(|ran| ran.ok), "step {step}: {:?}", report.ran);
            made += report.ran.iter().filter(|ran| ran.job == crate::Job::Backup).count();
        }
        let operator = world.with(|b| b.passphrase(OLD).passphrase(NEW)).await.unwrap();
        match step {
            1 => drop(operator.rotate_key().to_passphrase(NEW).work_factor(4).await.unwrap()),
            3 => drop(operator.rotate_key().new_epoch().work_factor(4).await.unwrap()),
            4 => drop(operator.reencrypt().await.unwrap()),
            _ => {}
        }
        sleep(Duration::from_secs(3_600)).await;
    }
    assert!(made >= 6, "{made}");
    let vault = world.with(|b| b.passphrase(NEW)).await.unwrap();
    assert!(all_whole(&vault).await.len() >= 6);
    let replica = replica.keys().await.unwrap();
    assert_eq!(replica.epoch, Some(2), "it learned of the new epoch");
}
