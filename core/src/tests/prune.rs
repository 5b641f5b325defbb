//! Pruning by rules, holds, proofs and clocks; cut short at every call to the store, and by every fault.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::time::sleep;

use super::fake::{Fake, Files};
use super::sim::{Fault, SimClock, SimStore, Trouble};
use crate::{BackupId, Clock, Code, Keep, PruneAction, PruneReport, Result, Vault};

const PASSPHRASE: &str = "a passphrase for tests that nobody would ever use elsewhere";
const DAY: Duration = Duration::from_secs(86_400);

fn files() -> Files {
    [("toc.dat", 100), ("1.dat", 2_000)].iter().map(|(n, s)| ((*n).to_owned(), vec![7; *s])).collect()
}

#[derive(Clone)]
pub(super) struct World {
    pub(super) clock: SimClock,
    pub(super) store: SimStore,
    pub(super) fake: Fake,
    pub(super) vault: Vault,
}

impl World {
    pub(super) async fn new() -> Self {
        let clock = SimClock::new("2026-11-01T02:00:00Z");
        let store = SimStore::new(&clock);
        let fake = Fake::new(files(), 1_000);
        let vault = open(&clock, &store, &fake).await;
        Self { clock, store, fake, vault }
    }

    /// A world with a backup a day.
    async fn with_days(days: usize) -> (Self, Vec<BackupId>) {
        let world = Self::new().await;
        let mut ids = Vec::new();
        for _ in 0..days {
            ids.push(world.vault.backup().await.unwrap().id);
            sleep(DAY).await;
        }
        (world, ids)
    }

    async fn listed(&self) -> Vec<BackupId> {
        let mut ids: Vec<_> = self.vault.list().await.unwrap().into_iter().map(|b| b.id).collect();
        ids.reverse();
        ids
    }

    /// Prunes, a day of grace later again.
    async fn prune_twice(&self, keep: Keep) -> PruneReport {
        self.vault.prune().keep(keep.clone()).await.unwrap();
        sleep(DAY).await;
        self.vault.prune().keep(keep).await.unwrap()
    }
}

pub(super) async fn open(clock: &SimClock, store: &SimStore, fake: &Fake) -> Vault {
    let builder = Vault::builder().engine(Arc::new(fake.clone())).object_store(Arc::new(store.clone()));
    builder.passphrase(PASSPHRASE).work_factor(4).clock(Arc::new(clock.clone())).open().await.unwrap()
}

fn actions(report: &PruneReport) -> Vec<PruneAction> {
    report.decisions.iter().rev().map(|d| d.action).collect()
}

#[tokio::test(start_paused = true)]
async fn a_whole_id_is_that_backup_and_never_the_next_of_the_same_second() {
    let world = World::new().await;
    let (first, second) = (world.vault.backup().await.unwrap().id, world.vault.backup().await.unwrap().id);
    assert!(second.as_str().starts_with(first.as_str()), "{first}, {second}");
    let folder = format!("{first}/");
    for name in world.store.names().await.into_iter().filter(|name| name.contains(&folder)) {
        world.store.delete(&Path::from(name)).await.unwrap();
    }
    let short = first.as_str().trim_start_matches("backup-");
    for asked in [first.as_str(), short] {
        let error = world.vault.show(asked).await.unwrap_err();
        assert_eq!(error.code(), Code::BackupNotFound, "{asked}");
    }
    assert_eq!(
        world.vault.show(&short[..short.len() - 2]).await.unwrap().summary.id,
        second,
        "a beginning finds the one it fits"
    );
}

#[tokio::test(start_paused = true)]
async fn a_backup_is_marked_waits_and_is_deleted_after_a_second_look() {
    let (world, ids) = World::with_days(4).await;
    let before = world.store.names().await;
    let plan = world.vault.prune().keep(Keep::last(2)).dry_run().await.unwrap();
    assert_eq!(actions(&plan), [PruneAction::Mark, PruneAction::Mark, PruneAction::Keep, PruneAction::Keep]);
    assert_eq!(plan.decisions[0].reasons, ["newest", "1 of the last 2"]);
    assert_eq!(plan.decisions[3].reasons, ["no rule of `2` keeps it"]);
    assert_eq!(world.store.names().await, before, "a dry run writes nothing");

    let first = world.vault.prune().keep(Keep::last(2)).await.unwrap();
    assert_eq!(actions(&first), actions(&plan));
    let listed = world.vault.list().await.unwrap();
    assert_eq!(listed.iter().filter(|b| b.marked_at.is_some()).count(), 2, "what is marked is still there");
    world.vault.show(&ids[0]).await.unwrap();

    sleep(DAY / 2).await;
    let second = world.vault.prune().keep(Keep::last(2)).await.unwrap();
    assert_eq!(actions(&second)[..2], [PruneAction::Wait, PruneAction::Wait]);
    sleep(DAY / 2).await;
    let third = world.vault.prune().keep(Keep::last(2)).await.unwrap();
    assert_eq!(actions(&third)[..2], [PruneAction::Delete, PruneAction::Delete]);
    assert!(third.freed_bytes > 0 && third.refused.is_empty());
    assert_eq!(world.listed().await, ids[2..]);
    let left = world.store.names().await;
    assert!(!left.iter().any(|n| n.contains(&format!("{}/", ids[0])) || n.ends_with(".delete")), "{left:?}");
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_changed_takes_marks_back() {
    let (world, ids) = World::with_days(3).await;
    world.vault.prune().keep(Keep::last(1)).await.unwrap();
    sleep(DAY).await;
    world.vault.prune().keep(Keep::last(3)).await.unwrap();
    assert!(world.vault.list().await.unwrap().iter().all(|b| b.marked_at.is_none()));
    assert_eq!(world.listed().await, ids);
}

#[tokio::test(start_paused = true)]
async fn the_last_proven_backup_stays_whatever_the_rules_say() {
    let (world, ids) = World::with_days(4).await;
    world.vault.drill(&ids[0]).await.unwrap();
    world.vault.verify(&ids[1]).await.unwrap();
    world.prune_twice(Keep::last(1)).await;
    assert_eq!(world.listed().await, [ids[0].clone(), ids[3].clone()]);
    // A drill that failed since then makes it the last resort no more.
    world.vault.drill(&ids[3]).await.unwrap();
    world.prune_twice(Keep::last(1)).await;
    assert_eq!(world.listed().await, ids[3..]);
}

#[tokio::test(start_paused = true)]
async fn a_backup_whose_drill_failed_pushes_no_good_one_out() {
    let (world, ids) = World::with_days(4).await;
    world.vault.drill(&ids[3]).query("false").await.unwrap_err();
    world.prune_twice(Keep::last(1)).await;
    assert_eq!(world.listed().await, ids[2..]);
}

#[tokio::test(start_paused = true)]
async fn a_hold_keeps_until_its_date_or_its_release() {
    let (world, ids) = World::with_days(4).await;
    let until = world.clock.now() + SignedDuration::from_hours(72);
    let held = world.vault.hold(&ids[0]).until(until).reason("audit").await.unwrap();
    assert_eq!(held.held_until, Some(until));
    world.vault.hold(&ids[1]).await.unwrap();
    assert_eq!(world.vault.show(&ids[0]).await.unwrap().summary.held_until, Some(until));
    world.prune_twice(Keep::last(1)).await;
    assert_eq!(world.listed().await, [&ids[..2], &ids[3..]].concat());
    world.vault.release(&ids[1]).await.unwrap();
    sleep(DAY * 3).await;
    world.prune_twice(Keep::last(1)).await;
    assert_eq!(world.listed().await, ids[3..]);
    let past = world.vault.hold("latest").until("2020-01-01T00:00:00Z".parse().unwrap()).await.unwrap_err();
    assert_eq!(past.code(), Code::InvalidOption);
}

#[tokio::test(start_paused = true)]
async fn a_hold_takes_a_mark_back() {
    let (world, ids) = World::with_days(2).await;
    world.vault.prune().keep(Keep::last(1)).await.unwrap();
    world.vault.hold(&ids[0]).await.unwrap();
    sleep(DAY * 2).await;
    world.vault.prune().keep(Keep::last(1)).grace_seconds(0).await.unwrap();
    assert_eq!(world.listed().await, ids);
}

#[tokio::test(start_paused = true)]
async fn a_planted_manifest_makes_no_good_backup_go() {
    let (world, ids) = World::with_days(3).await;
    // Somebody who can write copies manifests under newer names, in his own hand or ours.
    for (n, text) in ["{}", &world.store.text(&format!("home/{}/manifest.json", ids[0])).await].iter().enumerate() {
        for day in 0..20 {
            let path = Path::from(format!("home/backup-202612{:02}-00000{n}/manifest.json", day + 1));
            world.store.put(&path, (*text).to_owned().into()).await.unwrap();
        }
    }
    let report = world.prune_twice(Keep::last(3)).await;
    assert!(ids.iter().all(|id| report.decisions.iter().any(|d| d.backup == *id && d.action == PruneAction::Keep)));
    for id in &ids {
        world.vault.verify(id).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn pruning_needs_what_tells_a_backup_from_a_planted_one() {
    let (world, ids) = World::with_days(2).await;
    let store: Arc<dyn ObjectStore> = Arc::new(world.store.clone());
    let locked = Vault::builder().object_store(store).name("home").open().await.unwrap();
    assert_eq!(locked.prune().keep(Keep::last(1)).await.unwrap_err().code(), Code::KeyRequired);
    assert_eq!(world.listed().await, ids);
}

#[tokio::test(start_paused = true)]
async fn a_host_with_recipients_only_prunes_what_it_signed_and_nothing_else_displaces_that() {
    let (world, theirs) = World::with_days(1).await;
    let signing_key = crate::SigningKey::generate().unwrap();
    let store: Arc<dyn ObjectStore> = Arc::new(world.store.clone());
    let builder = Vault::builder().engine(Arc::new(world.fake.clone())).object_store(store).signing_key(signing_key);
    let builder = builder.recipients([world.vault.recipients().await.unwrap()]).clock(Arc::new(world.clock.clone()));
    let host = builder.open().await.unwrap();
    let mut ours = Vec::new();
    for _ in 0..3 {
        ours.push(host.backup().await.unwrap().id);
        sleep(DAY).await;
    }
    // One of a host that it cannot authenticate is the newest, and takes nobody's place.
    let newest = world.vault.backup().await.unwrap().id;
    host.prune().keep(Keep::last(2)).grace_seconds(0).await.unwrap();
    assert_eq!(world.listed().await, [&ours[1..], &[newest]].concat());
    assert!(!world.listed().await.contains(&theirs[0]));
}

#[tokio::test(start_paused = true)]
async fn what_the_store_locks_is_told_and_the_rest_goes() {
    let (world, ids) = World::with_days(4).await;
    world.store.lock_objects(Some(&format!("{}/manifest.json", ids[1])));
    let report = world.prune_twice(Keep::last(1)).await;
    assert_eq!(report.refused.len(), 1, "{:?}", report.refused);
    assert_eq!((&report.refused[0].backup, report.refused[0].code.as_str()), (&ids[1], "store_denied"));
    assert_eq!(world.listed().await, [ids[1].clone(), ids[3].clone()], "what could not be deleted is still a backup");
    world.vault.show(&ids[1]).await.unwrap();
    world.store.lock_objects(None);
    world.vault.prune().keep(Keep::last(1)).await.unwrap();
    assert_eq!(world.listed().await, ids[3..]);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_wrong_by_years_deletes_nothing() {
    let (world, ids) = World::with_days(5).await;
    for years in [-20, 20] {
        let wrong = world.clock.off_by(SignedDuration::from_hours(years * 365 * 24));
        let vault = open(&wrong, &world.store, &world.fake).await;
        vault.prune().keep("within=30d".parse().unwrap()).grace_seconds(0).await.unwrap();
    }
    assert_eq!(world.listed().await, ids);
}

#[tokio::test(start_paused = true)]
async fn what_a_dead_run_left_is_swept_after_a_day_and_not_before() {
    let (world, ids) = World::with_days(1).await;
    // Killed at its sixth call: the reservation and the key file are there, the manifest is not.
    world.store.trouble(Trouble::At(9, Fault::Cut));
    world.vault.backup().await.unwrap_err();
    world.store.trouble(Trouble::Nothing);
    let orphans = |names: Vec<String>| {
        names.into_iter().filter(|n| n.contains("backup-20261102") && !n.ends_with(".void")).count()
    };
    assert!(orphans(world.store.names().await) >= 2);
    world.vault.prune().keep(Keep::last(9)).await.unwrap();
    assert!(orphans(world.store.names().await) >= 2, "it may still be at work");
    sleep(DAY + Duration::from_secs(60)).await;
    assert_eq!(world.vault.prune().keep(Keep::last(9)).dry_run().await.unwrap().swept.len(), 1);
    assert_eq!(world.vault.prune().keep(Keep::last(9)).await.unwrap().swept.len(), 1);
    assert_eq!(orphans(world.store.names().await), 0);
    assert_eq!(world.listed().await, ids);
    // Its void goes when nobody can wake up any more.
    sleep(DAY * 31).await;
    world.vault.prune().keep(Keep::last(9)).await.unwrap();
    assert!(!world.store.names().await.iter().any(|n| n.ends_with(".void")));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_given_up_and_wakes_up_makes_no_backup() {
    let (world, ids) = World::with_days(1).await;
    let total = {
        let (other, _) = World::with_days(1).await;
        other.store.trouble(Trouble::Nothing);
        other.vault.backup().await.unwrap();
        other.store.calls()
    };
    // Suspended before each of its calls in turn, for longer than a sweep has patience.
    for n in 1..=total {
        let sleeper = world.store.another();
        let vault = open(&world.clock, &sleeper, &world.fake).await;
        sleeper.trouble(Trouble::Nothing);
        let running = tokio::spawn(async move { vault.backup().await });
        while sleeper.calls() < n && !running.is_finished() {
            tokio::task::yield_now().await;
        }
        sleeper.suspend(true);
        sleep(DAY * 2).await;
        world.vault.prune().keep(Keep::last(1_000)).await.unwrap();
        let before = world.listed().await;
        sleeper.suspend(false);
        let result: Result<_> = running.await.unwrap();
        let after = world.listed().await;
        match result {
            Ok(report) => assert!(after.contains(&report.id), "call {n}: {} is not listed", report.id),
            Err(_) => assert_eq!(before, after, "call {n}: a backup appeared of which its run said that it failed"),
        }
        for id in &after {
            world.vault.verify(id).await.unwrap_or_else(|e| panic!("call {n}: {id}: {e}"));
        }
        assert!(after.contains(&ids[0]));
        sleep(DAY * 2).await;
    }
}

/// The third day of a prune that marks, waits and deletes, cut short at each call by each fault.
#[tokio::test(start_paused = true)]
async fn a_prune_that_fails_anywhere_loses_nothing_and_goes_on_later() {
    async fn prepared() -> (World, Vec<BackupId>) {
        let (world, ids) = World::with_days(5).await;
        world.vault.drill(&ids[1]).await.unwrap();
        world.vault.hold(&ids[2]).await.unwrap();
        world.vault.prune().keep(Keep::last(2)).await.unwrap();
        sleep(DAY).await;
        let fresh = world.store.another();
        let vault = open(&world.clock, &fresh, &world.fake).await;
        fresh.trouble(Trouble::Nothing);
        (World { store: fresh, vault, ..world }, ids)
    }
    let calls = {
        let (world, _) = prepared().await;
        world.vault.prune().keep(Keep::last(2)).await.unwrap();
        world.store.calls()
    };
    assert!(calls > 10);
    for fault in [Fault::Error, Fault::Lost, Fault::Cut, Fault::Short] {
        for n in 1..=calls {
            let (world, ids) = prepared().await;
            world.store.trouble(Trouble::At(n, fault));
            let result = world.vault.prune().keep(Keep::last(2)).await;
            world.store.trouble(Trouble::Nothing);
            let listed = world.listed().await;
            assert!(ids[1..].iter().all(|id| listed.contains(id)), "{fault:?} at call {n} ({result:?}): {listed:?}");
            for id in &listed {
                world.vault.verify(id).await.unwrap_or_else(|e| panic!("{fault:?} at call {n}: {id}: {e}"));
            }
            // The next one finishes what this one began.
            world.vault.prune().keep(Keep::last(2)).await.unwrap();
            assert_eq!(world.listed().await, ids[1..], "{fault:?} at call {n}");
            let left = world.store.names().await;
            assert!(!left.iter().any(|name| name.contains(&format!("{}/", ids[0]))), "{fault:?} at call {n}: {left:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_plan_reads_what_it_keeps_and_nothing_else() {
    let (world, _) = World::with_days(30).await;
    let fresh = world.store.another();
    let vault = open(&world.clock, &fresh, &world.fake).await;
    fresh.trouble(Trouble::Nothing);
    vault.prune().keep(Keep::last(2)).dry_run().await.unwrap();
    assert!(fresh.calls() < 8, "{} calls to plan 30 backups", fresh.calls());
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_keeps_nothing_is_refused() {
    let (world, _) = World::with_days(1).await;
    let error = world.vault.prune().keep(Keep::default()).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidOption);
}
