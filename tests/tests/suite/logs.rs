//! Every log record of every verb tells by stable keys what it belongs to.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::{Map, Value};
use testkit::tool;

use crate::world::{PASSPHRASE, SMALL, World};

/// The keys that a record may have beside what each verb has to say of its own.
const STAMP: [&str; 4] = ["timestamp", "level", "message", "target"];

/// The log records that a command line writes, with whether it succeeded.
fn records(command: &mut Command) -> (bool, Vec<Map<String, Value>>) {
    let output = command.args(["--json", "--verbose", "--quiet"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let lines = said.lines().map(|line| serde_json::from_str::<Value>(line).unwrap_or_else(|e| panic!("{e}: {line}")));
    let records = lines.filter_map(|line| line.as_object().filter(|o| o.contains_key("message")).cloned());
    (output.status.success(), records.collect())
}

fn text<'r>(record: &'r Map<String, Value>, key: &str) -> Option<&'r str> {
    record.get(key).and_then(Value::as_str)
}

/// The records of one run of a verb: all with its name and one id, and the last one with what it took.
#[track_caller]
fn one_run(op: &str, records: &[Map<String, Value>]) {
    let of_verb: Vec<_> = records.iter().filter(|record| text(record, "op") == Some(op)).collect();
    assert!(!of_verb.is_empty(), "{op}: {records:#?}");
    let runs: BTreeSet<_> = of_verb.iter().map(|record| text(record, "run_id").unwrap()).collect();
    assert_eq!(runs.len(), 1, "{op}: {records:#?}");
    let last = of_verb.last().unwrap();
    assert!(last["duration_ms"].is_u64() && last["bytes"].is_u64(), "{op}: {last:?}");
}

#[test]
fn every_record_of_every_verb_tells_what_it_belongs_to() {
    let world = World::new();
    let database = world.make("shop.db", SMALL);
    let copy = world.sqlite("copy.db");
    let out = |name: &str| world.path(name).display().to_string();
    let new_key = world.file("new-key", "another canary-passphrase gravel onion sixfold tundra maple");
    let folder = out("dump");
    let of_a_backup = ["backup", "show", "verify", "drill", "restore", "export"];
    let verbs: Vec<(&str, Vec<&str>)> = vec![
        ("backup", vec!["backup"]),
        ("list", vec!["list"]),
        ("artifacts", vec!["artifacts"]),
        ("show", vec!["show", "latest"]),
        ("verify", vec!["verify", "latest"]),
        ("drill", vec!["drill", "latest"]),
        ("restore", vec!["restore", "latest", "--target", &copy]),
        ("export", vec!["export", "latest", &folder]),
        ("health", vec!["health"]),
        ("metrics", vec!["metrics"]),
        ("database_stats", vec!["database-stats"]),
        ("prune", vec!["prune", "--keep", "5"]),
        ("hold", vec!["hold", "latest"]),
        ("release", vec!["release", "latest"]),
        ("run_due", vec!["run-due"]),
        ("rotate_key", vec!["rotate-key", "--new-key-file", &new_key]),
    ];
    for (op, arguments) in verbs {
        let mut command = world.command(&arguments);
        let (ok, records) = records(command.args(["--database", &database]));
        assert!(ok, "{op}: {records:#?}");
        for record in &records {
            assert!(STAMP.iter().all(|key| text(record, key).is_some()), "{op}: {record:?}");
            assert!(text(record, "op").is_some() && text(record, "run_id").is_some(), "{op}: {record:?}");
            assert!(!format!("{record:?}").contains(PASSPHRASE));
        }
        one_run(op, &records);
        if of_a_backup.contains(&op) {
            let last = records.iter().rfind(|record| text(record, "op") == Some(op)).unwrap();
            assert!(text(last, "backup_id").is_some_and(|id| id.starts_with("backup-")), "{op}: {last:?}");
        }
        if ["backup", "verify", "drill", "restore"].contains(&op) {
            let phases: Vec<_> = records.iter().filter(|r| r["message"] == "a phase is over").collect();
            assert!(!phases.is_empty(), "{op}: {records:#?}");
            for phase in phases {
                let known = text(phase, "phase").is_some() && phase["bytes"].is_u64() && phase["duration_ms"].is_u64();
                assert!(known, "{op}: {phase:?}");
            }
        }
        if op == "run_due" {
            // Each job is a run of its own.
            ["backup", "verify", "drill", "prune"].iter().for_each(|job| one_run(job, &records));
        }
    }
}

#[test]
fn the_record_of_a_failure_has_its_code() {
    let world = World::new();
    let gone = world.sqlite("gone.db");
    let (ok, records) = records(world.command(&["backup"]).args(["--database", &gone]));
    let failed = records.last().unwrap();
    assert!(!ok && failed["level"] == "error", "{records:#?}");
    assert_eq!((text(failed, "op"), text(failed, "error.code")), (Some("backup"), Some("database_not_found")));
    assert!(failed["duration_ms"].is_u64());
    // People are told once, by the command line itself.
    let output = world.command(&["backup", "--quiet"]).args(["--database", &gone]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(said.matches("gone.db").count(), 1, "{said}");
    let database = world.make("shop.db", SMALL);
    let said = tool(Command::new("sh").arg("-c").arg("\"$@\" 2>&1").arg("sh").args(arguments(&world, &database)));
    assert!(said.contains("INFO  done") && said.contains(" op=backup ") && said.contains("run_id="), "{said}");
}

/// A backup in words, with its log.
fn arguments(world: &World, database: &str) -> Vec<String> {
    let command = world.command(&["backup", "--quiet", "--verbose", "--database", database]);
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect()
}
