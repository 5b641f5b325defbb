//! Replicas on one schedule for two virtual days: clocks that are off, a store that fails, hosts that are killed and
//! suspended. By seed: the same seed gives the same run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::SignedDuration;
use object_store::ObjectStore;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::fake::Fake;
use super::sim::{Dice, SimClock, SimStore, Trouble};
use crate::{BackupId, Job, Keep, Plan, Vault};

/// What the runs themselves reported as done.
type Told = Arc<Mutex<Vec<BackupId>>>;

struct Replica {
    store: SimStore,
    clock: SimClock,
    task: Option<JoinHandle<()>>,
}

fn plan(dice: &mut Dice) -> Plan {
    let every = |expression: &str| Some(expression.to_owned());
    Plan {
        backup: every("0 * * * *"),
        verify: every("30 */6 * * *"),
        drill: every("45 */12 * * *"),
        prune: every("50 */3 * * *"),
        // Nothing is deleted in one half of the runs, so that nothing can hide there.
        keep: Some(if dice.below(2) == 0 { Keep::last(10_000) } else { Keep::last(5) }),
        grace_seconds: Some(dice.below(3) * 1_800),
        ..Plan::default()
    }
}

async fn open(store: &SimStore, clock: &SimClock, fake: &Fake) -> crate::Result<Vault> {
    let object_store: Arc<dyn ObjectStore> = Arc::new(store.clone());
    let builder = Vault::builder().engine(Arc::new(fake.clone())).object_store(object_store).unencrypted();
    builder.clock(Arc::new(clock.clone())).open().await
}

/// A host: opens the vault, and does what is due every few minutes until it is killed.
async fn host(store: SimStore, clock: SimClock, fake: Fake, plan: Plan, mut dice: Dice, told: Told) {
    let vault = loop {
        match open(&store, &clock, &fake).await {
            Ok(vault) => break vault,
            Err(_) => sleep(Duration::from_secs(30)).await,
        }
    };
    loop {
        if let Ok(report) = vault.run_due().plan(plan.clone()).await {
            let done = report.ran.into_iter().filter(|ran| ran.ok && ran.job == Job::Backup);
            told.lock().unwrap().extend(done.filter_map(|ran| ran.backup));
        }
        sleep(Duration::from_secs(60 + dice.below(540))).await;
    }
}

/// Gives the number of runs that were given up.
async fn simulate(seed: u64) -> usize {
    let mut dice = Dice::new(seed);
    let clock = SimClock::new("2026-11-01T00:10:00Z");
    let store = SimStore::new(&clock);
    let fake = Fake::new([("toc.dat".to_owned(), vec![1; 50]), ("1.dat".to_owned(), vec![7; 300])].into(), 1_000);
    let (plan, told) = (plan(&mut dice), Told::default());
    let start = |replica: &mut Replica, seed: u64| {
        replica.store.suspend(false);
        let (store, clock) = (replica.store.clone(), replica.clock.clone());
        let doing = host(store, clock, fake.clone(), plan.clone(), Dice::new(seed), Arc::clone(&told));
        replica.task = Some(tokio::spawn(doing));
    };
    let mut replicas: Vec<Replica> = Vec::new();
    for _ in 0..2 + dice.below(2) {
        let off = SignedDuration::from_secs(i64::try_from(dice.below(2_400)).unwrap() - 1_200);
        let own = store.another();
        own.trouble(Trouble::Chance(Dice::new(dice.below(u64::MAX)), dice.below(40)));
        let mut replica = Replica { store: own, clock: clock.off_by(off), task: None };
        start(&mut replica, dice.below(u64::MAX));
        replicas.push(replica);
    }
    let mut minutes: u64 = 48 * 60;
    while minutes > 0 {
        let wait = 1 + dice.below(40);
        sleep(Duration::from_secs(wait * 60)).await;
        minutes = minutes.saturating_sub(wait);
        let chosen = dice.below(replicas.len() as u64) as usize;
        let replica = &mut replicas[chosen];
        match dice.below(6) {
            0 => {
                replica.task.take().inspect(JoinHandle::abort);
                start(replica, dice.below(u64::MAX));
            }
            1 => replica.store.suspend(true),
            2 | 3 => replica.store.suspend(false),
            _ => {}
        }
    }
    for replica in &mut replicas {
        replica.store.trouble(Trouble::Nothing);
        replica.store.suspend(false);
    }
    sleep(Duration::from_secs(3 * 3_600)).await;
    replicas.iter_mut().filter_map(|replica| replica.task.take()).for_each(|task| task.abort());
    let mut given_up = 0;
    for name in store.names().await.into_iter().filter(|name| name.ends_with(".void")) {
        given_up += usize::from(store.text(&name).await.contains("dead run"));
    }
    must_be_sound(seed, &store, &clock, &fake, &plan, &told).await;
    given_up
}

async fn must_be_sound(seed: u64, store: &SimStore, clock: &SimClock, fake: &Fake, plan: &Plan, told: &Told) {
    let again = format!("LASTGOOD_SIMULATION_SEED={seed} cargo test -p lastgood --lib simulation");
    let vault = open(store, clock, fake).await.unwrap();
    let listed: BTreeSet<BackupId> = vault.list().await.unwrap().into_iter().map(|b| b.id).collect();
    // Each slot's claims, and the backups among them that there are.
    let mut of_slot: BTreeMap<String, Vec<BackupId>> = BTreeMap::new();
    for name in store.names().await.into_iter().filter(|name| name.contains("/slots/backup-")) {
        let claim: Value = serde_json::from_str(&store.text(&name).await).unwrap();
        let id: BackupId = claim["backup"].as_str().unwrap().parse().unwrap();
        if listed.contains(&id) {
            of_slot.entry(claim["slot"].as_str().unwrap().to_owned()).or_default().push(id);
        }
    }
    for (slot, backups) in &of_slot {
        assert_eq!(backups.len(), 1, "slot {slot} was done twice: {backups:?}; {again}");
    }
    let claimed: BTreeSet<_> = of_slot.values().flatten().cloned().collect();
    assert_eq!(claimed, listed, "a backup without a claim; {again}");
    let told: BTreeSet<_> = told.lock().unwrap().iter().cloned().collect();
    assert!(told.len() > 30, "only {} backups in two days; {again}", told.len());
    let last = told.iter().max_by_key(|id| id.order()).unwrap();
    assert!(listed.contains(last), "the newest backup is gone; {again}");
    if plan.keep == Some(Keep::last(10_000)) {
        assert!(told.is_subset(&listed), "lost: {:?}; {again}", told.difference(&listed).collect::<Vec<_>>());
    } else {
        assert!(listed.len() >= 5, "{listed:?}; {again}");
    }
    for id in &listed {
        vault.verify(id).await.unwrap_or_else(|e| panic!("{id} is listed and not whole: {e}; {again}"));
    }
    // What died is swept, and takes nothing with it.
    sleep(Duration::from_secs(26 * 3_600)).await;
    vault.prune().keep(Keep::last(10_000)).await.unwrap();
    let after: BTreeSet<BackupId> = vault.list().await.unwrap().into_iter().map(|b| b.id).collect();
    assert!(listed.is_subset(&after), "{again}");
    for name in store.names().await {
        let Some(id) = name.split('/').nth(1).and_then(|folder| folder.parse::<BackupId>().ok()) else { continue };
        assert!(after.contains(&id), "{name} was not swept; {again}");
    }
}

/// `LASTGOOD_SIMULATION_SEEDS=10000` runs the full number, `LASTGOOD_SIMULATION_SEED` a single one.
#[test]
fn replicas_on_one_schedule_lose_nothing_and_do_nothing_twice() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match number("LASTGOOD_SIMULATION_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("LASTGOOD_SIMULATION_SEEDS").unwrap_or(20),
    };
    let (mut given_up, many) = (0, seeds.end - seeds.start >= 20);
    for seed in seeds {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        given_up += runtime.block_on(simulate(seed));
    }
    assert!(given_up > 0 || !many, "no run was ever overtaken: this showed nothing");
}
