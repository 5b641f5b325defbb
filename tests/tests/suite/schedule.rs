//! The schedule on the command line: what is due, what failed, and how it ends.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::world::{SMALL, World, answer, bare_command, refusal};

#[test]
fn run_due_does_what_is_due_and_says_so() {
    let world = World::new();
    let database = world.make("a.db", SMALL);
    let due = || world.run(&["run-due", "--database", &database, "--quiet"]);
    let first = due();
    let jobs: Vec<_> =
        first["ran"].as_array().unwrap().iter().map(|ran| (ran["job"].clone(), ran["ok"].clone())).collect();
    assert_eq!(
        jobs,
        ["backup", "verify", "drill", "prune"].map(|job| (Value::from(job), Value::from(true))),
        "{first}"
    );
    assert_eq!(due()["ran"], serde_json::json!([]));
    let listed = world.run(&["list", "--name", "a"]);
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert!(listed[0]["drilled_at"].is_string());
}

#[test]
fn run_due_takes_its_plan_from_the_environment() {
    let world = World::new();
    let database = world.make("a.db", SMALL);
    let mut command = world.command(&["run-due", "--database", &database, "--quiet"]);
    command.env("BACKUP_SCHEDULE", "0 3 * * *; verify=off; drill=off; prune=off; tz=Europe/Berlin");
    let report = answer(&mut command);
    assert_eq!(report["ran"].as_array().unwrap().len(), 1);
    assert_eq!(report["next"].as_array().unwrap().len(), 1);
    for (name, value) in [("BACKUP_SCHEDULE", "at noon"), ("BACKUP_RETENTION", "for ever")] {
        let (code, error) = refusal(world.command(&["run-due", "--database", &database, "--quiet"]).env(name, value));
        assert_eq!((code, error["code"].as_str()), (2, Some("invalid_option")), "{error}");
        assert!(
            error["message"].as_str().unwrap().contains(value) || error["message"].as_str().unwrap().contains(name)
        );
    }
}

#[test]
fn a_failed_job_is_told_by_the_exit_code() {
    let world = World::new();
    let mut command = world.command(&["run-due", "--database", &world.sqlite("none.db"), "--quiet", "--verify", "off"]);
    let (code, error) = refusal(command.args(["--drill", "off", "--prune", "off"]));
    assert_eq!(error["code"], "database_not_found", "{error}");
    assert_eq!(code, 6);
}

/// The key file is a pipe that nobody writes to: the command waits for it, and cannot heed the first request.
#[test]
fn whoever_asks_twice_is_obeyed_at_once() {
    let world = World::new();
    let pipe = world.path("key");
    testkit::tool(Command::new("mkfifo").arg(&pipe));
    let mut command = bare_command();
    command.arg("list").arg("--store").arg(world.store()).arg("--key-file").arg(&pipe);
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    testkit::wait_until("both signals to be listened for", || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
        let caught = u64::from_str_radix(caught.trim(), 16).unwrap();
        [2, 15].iter().all(|signal| caught & (1 << (signal - 1)) != 0)
    });
    kill_process(pid, Signal::INT).unwrap();
    // Another signal: two of one kind may be taken for one.
    kill_process(pid, Signal::TERM).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("ended at once"), "{output:?}");
}

#[test]
fn a_schedule_runs_until_it_is_asked_to_end() {
    let world = World::new();
    let database = world.make("a.db", SMALL);
    let mut command = world.command(&["schedule", "--cron", "0 2 * * *", "--database", &database, "--quiet", "--json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let report: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(report["ran"].as_array().unwrap().len(), 4, "{report}");
    kill_process(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(), Signal::TERM).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(world.run(&["list", "--name", "a"]).as_array().unwrap().len(), 1);
}
