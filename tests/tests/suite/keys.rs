//! Keys are changed, and after each change the backups open: with this library, with recover.py, and with stock tools.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use lastgood::{CheckStatus, KeySlotKind, Settings, Vault};
use testkit::tool;

use crate::by_hand::Reader;
use crate::recover::{PASSPHRASE, World, passphrase};
use crate::world::{SMALL, World as Place, answer, bare_command, refusal};

const SECOND: &str = "walnut-harbor-eleven-copper-violet-summit";
const THIRD: &str = "lantern-pebble-orchard-nineteen-velvet-canoe";

async fn open(world: &World, passphrase: &str) -> lastgood::Result<Vault> {
    let store = world.path("store").display().to_string();
    let mut settings = Settings::default();
    // Several volumes, as the world's own.
    settings.volume_bytes = 1 << 20;
    let builder = Vault::builder().name("shop").store(store).settings(settings);
    builder.passphrase(passphrase).work_factor(4).open().await
}

#[tokio::test]
async fn after_each_change_of_keys_stock_tools_open_the_backup() {
    let Some(world) = World::new(passphrase).await else { return };

    // Another passphrase.
    open(&world, PASSPHRASE).await.unwrap().rotate_key().to_passphrase(SECOND).await.unwrap();
    world.must_recover(SECOND, &[]);
    world.must_stop("No key fits", PASSPHRASE, &[]);
    let reader = Reader::with(world, SECOND);
    reader.must_unpack_the_database();

    // Another epoch: what it lacks, the new slot brings along.
    let vault = open(&reader.world, SECOND).await.unwrap();
    vault.rotate_key().new_epoch().to_passphrase(THIRD).await.unwrap();
    reader.world.must_recover(THIRD, &[]);
    let reader = Reader::with(reader.world, THIRD);
    reader.must_unpack_the_database();

    // Wrapped to the new epoch: another key file counts.
    assert_eq!(vault.rewrap().await.unwrap().rewrapped, 1);
    assert!(
        reader.world.backup().join("key-0002.age").exists() && !reader.world.backup().join("key-0001.age").exists()
    );
    reader.world.must_recover(THIRD, &[]);
    reader.must_unpack_the_database();

    // Sealed anew: a new folder takes the place of the old one.
    let before = reader.world.backup();
    let done = vault.reencrypt().await.unwrap();
    assert!(done.refused.is_empty() && done.reencrypted[0].removed && !before.join("manifest.json").exists());
    let world = reader.world.of_backup(done.reencrypted[0].by.clone());
    world.must_recover(THIRD, &[]);
    let reader = Reader::with(world, THIRD);
    reader.must_unpack_the_database();
    assert!(vault.keys().await.unwrap().behind.is_empty());
}

#[tokio::test]
async fn slots_of_several_kinds_each_open_with_recover_py() {
    let Some(world) = World::new(passphrase).await else { return };
    let vault = open(&world, PASSPHRASE).await.unwrap();
    let (identity, ssh) = (world.path("offline"), world.path("ssh"));
    let public = age_keygen(&identity);
    tool(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&ssh));
    let ssh_public = fs::read_to_string(ssh.with_extension("pub")).unwrap();
    vault.add_key().recipients([public, ssh_public]).name("offline").await.unwrap();
    let raw = world.write("raw", &"0a".repeat(32));
    vault.add_key().passphrase(format!("raw:{}", "0a".repeat(32)).as_str()).name("raw").await.unwrap();
    for args in [["--identity", &path_text(&identity)], ["--identity", &path_text(&ssh)], ["--raw-key-file", &raw]] {
        world.must_recover("", &args);
    }
    vault.add_key().passphrase(SECOND).name("safe").work_factor(4).await.unwrap();
    world.must_recover(SECOND, &[]);
    let kinds: Vec<_> = vault.keys().await.unwrap().slots.into_iter().map(|s| (s.slot, s.kind)).collect();
    let (of, by) = (KeySlotKind::Recipients, KeySlotKind::Passphrase);
    let expected = [("1-main", by), ("1-offline", of), ("1-raw", of), ("1-safe", by)];
    assert_eq!(kinds, expected.map(|(slot, kind)| (slot.to_owned(), kind)));
    vault.remove_key("1-raw").await.unwrap();
    world.must_stop("No key fits", "", &["--raw-key-file", &raw]);
    assert_eq!(open(&world, SECOND).await.unwrap().remove_key("1-main").await.unwrap().opens_with, "1-safe");
    world.must_recover(SECOND, &[]);
}

fn age_keygen(path: &Path) -> String {
    tool(Command::new("age-keygen").arg("-o").arg(path));
    tool(Command::new("age-keygen").arg("-y").arg(path)).trim().to_owned()
}

fn path_text(path: &Path) -> String {
    path.display().to_string()
}

#[test]
fn the_command_line_changes_keys_and_tells_what_opens_what() {
    let world = Place::new();
    let url = world.make("small.db", SMALL);
    world.run(&["backup", "--database", &url, "--name", "shop"]);
    let (second, third) = (world.file("second", SECOND), world.file("third", THIRD));
    let run = |key: &str, arguments: &[&str]| {
        let mut command = bare_command();
        command.args(arguments).arg("--store").arg(world.store()).args(["--key-file", key]);
        answer(&mut command)
    };
    let told = world.run(&["add-key", "--new-key-file", &second, "--slot", "safe"]);
    assert_eq!(told, serde_json::json!({ "slot": "1-safe", "proven": true }));
    let told = world.run(&["rotate-key", "--new-epoch", "--new-key-file", &third]);
    assert_eq!(told["behind"], serde_json::json!(["1-safe"]));
    let told = run(&third, &["keys"]);
    assert_eq!((told["epoch"].as_u64(), told["behind"][0]["sealed_under"].as_u64()), (Some(2), Some(1)));
    assert_eq!(run(&third, &["rewrap"])["rewrapped"], 1);
    assert_eq!(run(&third, &["reencrypt"])["reencrypted"].as_array().unwrap().len(), 1);
    assert_eq!(run(&third, &["keys"])["behind"], serde_json::json!([]));
    assert_eq!(run(&third, &["remove-key", "1-safe"])["opens_with"], "2-main");
    assert!(run(&third, &["verify", "latest", "--name", "shop"])["parts"].is_u64());

    let mut last = bare_command();
    last.args(["remove-key", "main", "--key-file", &third, "--store"]).arg(world.store());
    let (code, error) = refusal(&mut last);
    assert_eq!((code, error["code"].as_str()), (3, Some("key_slot")));
    // For people; and without a key.
    let people = tool(bare_command().args(["keys", "--store"]).arg(world.store()));
    assert!(
        people.contains("2-main") && people.contains("passphrase (scrypt 2^") && people.contains("with a key"),
        "{people}"
    );
    let mut all = bare_command();
    let people = tool(all.args(["keys", "--key-file", &third, "--store"]).arg(world.store()));
    assert!(people.contains("everything: 1 backups") && people.contains("epoch 2: opens 1 backups"), "{people}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_tells_of_keys_that_wait_or_fell_behind() {
    let world = Place::new();
    let url = world.make("small.db", SMALL);
    let vault = world.vault(&url).await;
    vault.backup().await.unwrap();
    let found = |report: &lastgood::DoctorReport, name: &str, status: CheckStatus, thing: &str| {
        let check = report.checks.iter().find(|c| c.name == name).unwrap();
        let said = format!("{} {}", check.message, check.next.as_deref().unwrap_or_default());
        assert!(check.status == status && said.contains(thing), "`{thing}`, {status:?}: {check:?}");
    };
    let report = vault.doctor().await.unwrap();
    found(&report, "key_rotation", CheckStatus::Pass, "no rotation");
    found(&report, "key_backups", CheckStatus::Pass, "newest 1 backups");

    // The environment gives the new key: before, while and after it opens the store.
    let (old, new) = (world.file("old", crate::world::PASSPHRASE), world.file("new", SECOND));
    let doctor = || {
        let mut command = bare_command();
        command.args(["doctor", "--json", "--database", &url, "--store"]).arg(world.store());
        command.env("BACKUP_ENCRYPTION_KEY_FILE", &old).env("BACKUP_ENCRYPTION_KEY_NEW_FILE", &new);
        let output = command.stdin(Stdio::null()).output().unwrap();
        serde_json::from_slice::<lastgood::DoctorReport>(&output.stdout).unwrap()
    };
    found(&doctor(), "key_rotation", CheckStatus::Warn, "does not open the store yet");
    vault.add_key().passphrase(SECOND).work_factor(4).await.unwrap();
    found(&doctor(), "key_rotation", CheckStatus::Warn, "both the old and the new");
    world.builder(&url).passphrase(SECOND).open().await.unwrap().remove_key("1-main").await.unwrap();
    found(&doctor(), "key_rotation", CheckStatus::Warn, "the rotation is done");

    let vault =
        Vault::builder().database(&url).store(world.store().display().to_string()).passphrase(SECOND).work_factor(4);
    let vault = vault.open().await.unwrap();
    vault.add_key().passphrase(THIRD).name("safe").work_factor(4).await.unwrap();
    vault.rotate_key().new_epoch().work_factor(4).await.unwrap();
    let report = vault.doctor().await.unwrap();
    found(&report, "key_rotation", CheckStatus::Warn, "1-safe opens no backup of epoch 2");
    found(&report, "key_backups", CheckStatus::Warn, "1 backups are under an earlier epoch");
    vault.reencrypt().await.unwrap();
    vault.remove_key("1-safe").await.unwrap();
    vault.rotate_key().to_passphrase("short").allow_weak().work_factor(4).await.unwrap();
    // This process goes on; the next one needs the new key, and the doctor looks at what that would be given.
    found(&vault.doctor().await.unwrap(), "key", CheckStatus::Fail, "opens no key slot");
    vault.backup().await.unwrap();
    let short = Vault::builder().database(&url).store(world.store().display().to_string()).passphrase("short");
    let vault = short.open().await.unwrap();
    let report = vault.doctor().await.unwrap();
    found(&report, "key", CheckStatus::Warn, "characters");
    found(&report, "key_backups", CheckStatus::Pass, "none is under an earlier epoch");

    let backup = vault.list().await.unwrap()[0].id.to_string();
    let key = world.store().join("small").join(backup).join("key-0001.age");
    fs::remove_file(key).unwrap();
    found(&vault.doctor().await.unwrap(), "key_backups", CheckStatus::Fail, "key file");
}

/// The commands of a section of a page: its indented lines, without those for PowerShell.
fn commands(page: &str, section: &str) -> String {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(page)).unwrap();
    let lines = page.lines().skip_while(|line| *line != section).skip(1).take_while(|line| !line.starts_with("## "));
    let (mut commands, mut of_sh) = (String::new(), true);
    for line in lines {
        match line.strip_prefix("    ") {
            Some(command) if of_sh => commands.extend([command, "\n"]),
            Some(_) => {}
            None if line.is_empty() => {}
            None => of_sh = !line.starts_with("PowerShell"),
        }
    }
    assert!(!commands.is_empty(), "{section} has no commands");
    commands
}

/// Runs a section's commands as they stand, in a folder with the key in `/etc/backup.key`'s place.
fn run_as_written(world: &Place, page: &str, section: &str) -> String {
    let bin = world.path("bin");
    fs::create_dir_all(&bin).unwrap();
    let lastgood = bin.join("lastgood");
    if !lastgood.exists() {
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_lastgood-under-test"), &lastgood).unwrap();
    }
    let script = commands(page, section).replace("/etc/backup.key", &world.path("backup.key").display().to_string());
    let mut sh = Command::new("sh");
    sh.env_clear().env("HOME", world.path("home")).current_dir(world.path("")).arg("-euxc").arg(script);
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    sh.env("PATH", path).env("DATABASE_URL", world.sqlite("shop.db"));
    sh.env("BACKUP_STORE_URL", world.store()).env("BACKUP_ENCRYPTION_KEY_FILE", world.path("backup.key"));
    let done = sh.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&[&done.stdout[..], &done.stderr[..]].concat()).into_owned();
    assert!(done.status.success(), "{section}: {said}");
    said
}

fn shop() -> Place {
    let world = Place::new();
    let url = world.make("shop.db", SMALL);
    let key = world.file("backup.key", &format!("{PASSPHRASE}\n"));
    let mut first = bare_command();
    first.args(["backup", "--database", &url, "--key-file", &key, "--store"]).arg(world.store());
    answer(&mut first);
    world
}

#[test]
fn the_runbook_for_a_lost_passphrase_is_tried_as_it_is_written() {
    if Command::new("age-keygen").arg("--version").output().is_err() {
        return testkit::missing("age-keygen").unwrap_or(());
    }
    let world = shop();
    run_as_written(&world, "recovery.md", "## Before the key is lost");
    // Gone, with the host that had it.
    fs::remove_file(world.path("backup.key")).unwrap();
    let said = run_as_written(&world, "recovery.md", "## When the key is lost");
    assert!(said.contains("1-offline") && said.contains("was restored in"), "{said}");
    let mut lost = bare_command();
    lost.args(["verify", "--key-file", &world.file("lost", PASSPHRASE), "--store"]).arg(world.store());
    assert_eq!(refusal(&mut lost).1["code"], "wrong_key");
}

#[test]
fn the_rotations_of_the_operations_page_are_tried_as_they_are_written() {
    if Command::new("age-keygen").arg("--version").output().is_err() {
        return testkit::missing("age-keygen").unwrap_or(());
    }
    let world = shop();
    let said = run_as_written(&world, "operations.md", "## Keys");
    assert!(said.contains("sealed anew under epoch 2"), "{said}");
}
