//! Several processes on one schedule, killed and suspended: one backup a slot, none lost.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use lastgood::{BackupId, Vault};
use object_store::{ObjectStoreExt, parse_url_opts};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use testkit::SeaweedFs;

use crate::world::{PASSPHRASE, SMALL, World, bare_command};

/// Long enough for a few slots on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(300);

struct Hosts<'a> {
    world: &'a World,
    url: String,
    env: Vec<(&'static str, String)>,
    /// Seconds by which each host's clock is off.
    skews: &'a [i32],
    running: Vec<Child>,
}

impl<'a> Hosts<'a> {
    fn new(world: &'a World, url: String, env: Vec<(&'static str, String)>, skews: &'a [i32]) -> Self {
        let mut hosts = Self { world, url, env, skews, running: Vec::new() };
        for &skew in skews {
            let host = hosts.start(skew);
            hosts.running.push(host);
        }
        hosts
    }

    /// A process that makes a backup every four seconds, and gives another one up after two silent ones.
    ///
    /// Its clock is off by so many seconds; the dates of files, and how fast time passes, are as they are.
    fn start(&self, skew_seconds: i32) -> Child {
        let key = self.world.file("key", PASSPHRASE);
        let mut command = bare_command();
        command.args(["schedule", "--cron", "*/4 * * * * *", "--verify", "off", "--drill", "off", "--lease", "2"]);
        command.args(["--prune", "off", "--quiet", "--database", &self.world.sqlite("live.db"), "--store", &self.url]);
        command.args(["--key-file", &key]).envs(self.env.iter().map(|(name, value)| (*name, value)));
        if skew_seconds != 0 {
            command.env("LD_PRELOAD", faketime()).env("FAKETIME", format!("{skew_seconds:+}"));
            command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("NO_FAKE_STAT", "1");
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    fn signal(&self, host: usize, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.running[host].id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    fn kill_and_start_again(&mut self, host: usize) {
        self.running[host].kill().unwrap();
        self.running[host].wait().unwrap();
        self.running[host] = self.start(self.skews[host]);
    }

    /// Asks every process to end; each ends well.
    fn end(&mut self) {
        for host in 0..self.running.len() {
            self.signal(host, Signal::TERM);
        }
        for mut host in self.running.drain(..) {
            assert!(host.wait().unwrap().success(), "a schedule that is asked to end does so without an error");
        }
    }

    async fn vault(&self) -> Vault {
        let builder = Vault::builder().store(&self.url).name("live").passphrase(PASSPHRASE);
        let builder = self.env.iter().fold(builder, |b, (name, value)| b.store_option(name.to_lowercase(), value));
        builder.open().await.unwrap()
    }

    /// Every claim of a slot for a backup.
    async fn claims(&self) -> Vec<(String, BackupId)> {
        let url = if self.url.contains("://") { self.url.clone() } else { format!("file://{}", self.url) };
        let options = self.env.iter().map(|(name, value)| (name.to_lowercase(), value.clone()));
        let (store, prefix) = parse_url_opts(&url.parse().unwrap(), options).unwrap();
        let found: Vec<_> = store.list(Some(&prefix)).try_collect().await.unwrap();
        let mut claims = Vec::new();
        for meta in found.into_iter().filter(|meta| meta.location.as_ref().contains("control/slots/backup-")) {
            let bytes = store.get(&meta.location).await.unwrap().bytes().await.unwrap();
            let claim: Value = serde_json::from_slice(&bytes).unwrap();
            claims
                .push((claim["slot"].as_str().unwrap().to_owned(), claim["backup"].as_str().unwrap().parse().unwrap()));
        }
        claims
    }
}

impl Drop for Hosts<'_> {
    fn drop(&mut self) {
        for host in &mut self.running {
            let _ = host.kill();
            let _ = host.wait();
        }
    }
}

async fn listed(vault: &Vault) -> BTreeSet<BackupId> {
    vault.list().await.map(|found| found.into_iter().map(|b| b.id).collect()).unwrap_or_default()
}

/// Waits until there are so many more backups than now.
async fn more(vault: &Vault, count: usize) {
    let (began, before) = (Instant::now(), listed(vault).await);
    loop {
        let now = listed(vault).await;
        assert!(now.is_superset(&before), "a backup was lost: {:?}", before.difference(&now));
        if now.len() >= before.len() + count {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{} backups, and no more come", now.len());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn one_backup_a_slot(url: String, env: Vec<(&'static str, String)>, world: &World, skews: &[i32]) {
    world.make("live.db", SMALL);
    let count = skews.len();
    let mut hosts = Hosts::new(world, url, env, skews);
    let vault = hosts.vault().await;
    more(&vault, 1).await;
    for round in 0..4 {
        let (one, other) = (round % count, (round + 1) % count);
        hosts.kill_and_start_again(one);
        hosts.signal(other, Signal::STOP);
        more(&vault, 1).await;
        hosts.signal(other, Signal::CONT);
        more(&vault, 1).await;
    }
    hosts.end();
    let listed = listed(&vault).await;
    let mut of_slot: BTreeMap<String, Vec<BackupId>> = BTreeMap::new();
    for (slot, id) in hosts.claims().await {
        of_slot.entry(slot).or_default().extend(listed.contains(&id).then_some(id));
    }
    for (slot, backups) in &of_slot {
        assert!(backups.len() <= 1, "slot {slot} was done twice: {backups:?}");
    }
    assert_eq!(of_slot.into_values().flatten().collect::<BTreeSet<_>>(), listed, "every backup has a slot of its own");
    assert!(listed.len() >= 9);
    for id in &listed {
        vault.verify(id).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_share_a_schedule_in_a_folder() {
    let world = World::new();
    one_backup_a_slot(world.store().display().to_string(), Vec::new(), &world, &[0, 0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_processes_share_a_schedule_in_s3() {
    let Some(server) = SeaweedFs::shared() else { return };
    let world = World::new();
    one_backup_a_slot(format!("{}/prod", server.bucket("replicas")), server.env(), &world, &[0, 0, 0]).await;
}

/// Minutes off, each in its own direction: more than a schedule believes, less than a store refuses.
#[tokio::test(flavor = "multi_thread")]
async fn processes_whose_clocks_are_off_share_a_schedule_in_a_folder() {
    let world = World::new();
    one_backup_a_slot(world.store().display().to_string(), Vec::new(), &world, &[0, 420, -540]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_whose_clocks_are_off_share_a_schedule_in_s3() {
    let Some(server) = SeaweedFs::shared() else { return };
    let world = World::new();
    let url = format!("{}/prod", server.bucket("skewed-replicas"));
    one_backup_a_slot(url, server.env(), &world, &[420, -540]).await;
}

/// The library that makes a process see another time.
fn faketime() -> String {
    let found =
        std::fs::read_dir("/usr/lib").unwrap().flatten().map(|entry| entry.path().join("faketime/libfaketime.so.1"));
    let library = found.into_iter().find(|path| path.exists());
    library.expect("libfaketime: apt install faketime").display().to_string()
}
