//! What the runbooks and the ready-made files tell people to type is understood by the command line and by its hosts.

use std::path::{Path, PathBuf};
use std::process::Command;

use testkit::tool;

use crate::world::bare_command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// The command lines of `lastgood` in a page's blocks.
fn commands(page: &str) -> Vec<String> {
    let blocks = page.lines().filter_map(|line| line.strip_prefix("    "));
    let lines = blocks.map(|line| line.split(" #").next().unwrap_or(line));
    let each = lines.flat_map(|line| line.split("&&").flat_map(|part| part.split(';')).map(str::trim));
    each.filter(|command| command.starts_with("lastgood ")).map(str::to_owned).collect()
}

/// Runs a command line with `--help` behind it: what is in front is read, and nothing is done.
#[track_caller]
fn is_understood(command: &str) {
    let binary = bare_command().get_program().to_string_lossy().into_owned();
    let line = command.replacen("lastgood", &format!("\"{binary}\""), 1).replace('…', "x");
    let output = Command::new("sh").arg("-c").arg(format!("{line} --help")).output().unwrap();
    assert!(output.status.success(), "{command}\n{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn every_command_of_the_runbooks_is_understood() {
    for (page, least) in [("docs/operations.md", 12), ("docs/recovery.md", 10), ("docs/migrating.md", 1)] {
        let commands = commands(&read(page));
        assert!(commands.len() >= least, "{page}: {commands:?}");
        commands.iter().for_each(|command| is_understood(command));
    }
}

#[test]
fn the_runbooks_speak_both_shells() {
    for page in ["docs/operations.md", "docs/recovery.md"] {
        let text = read(page);
        let (bash, power) = (text.matches("    export ").count(), text.matches("    $env:").count());
        assert!(bash > 0 && power >= bash, "{page}: {bash} blocks set variables for bash, {power} for PowerShell");
    }
}

#[test]
fn the_ready_made_files_run_commands_that_there_are() {
    let workflow = read("examples/deploy/github-actions.yml");
    let steps: Vec<_> = workflow.lines().filter_map(|line| line.trim().strip_prefix("- run: lastgood")).collect();
    assert!(steps.len() >= 3, "{workflow}");
    steps.iter().for_each(|step| is_understood(&format!("lastgood{step}")));
    is_understood("lastgood run-due --json");
    for (file, words) in [
        ("examples/deploy/cronjob.yaml", "args: [\"run-due\", \"--json\"]"),
        ("examples/deploy/Dockerfile", "CMD [\"run-due\", \"--json\"]"),
        ("examples/deploy/lastgood.service", "ExecStart=/usr/local/bin/lastgood run-due --json"),
    ] {
        assert!(read(file).contains(words), "{file}");
    }
    let cron: serde_json::Value = serde_json::from_str(&read("examples/deploy/vercel.json")).unwrap();
    let route = format!("examples/nextjs/app{}/route.ts", cron["crons"][0]["path"].as_str().unwrap());
    assert!(root().join(&route).exists(), "{route}");
    let function = cron["functions"].as_object().unwrap().keys().next().unwrap();
    assert!(root().join("examples/nextjs").join(function).exists(), "{function}");
}

#[test]
fn systemd_accepts_the_unit_and_its_timer() {
    let folder = tempfile::tempdir().unwrap();
    let unit = read("examples/deploy/lastgood.service").replace("/usr/local/bin/lastgood", "/bin/true");
    std::fs::write(folder.path().join("lastgood.service"), unit).unwrap();
    std::fs::write(folder.path().join("lastgood.timer"), read("examples/deploy/lastgood.timer")).unwrap();
    let units = ["lastgood.service", "lastgood.timer"].map(|name| folder.path().join(name));
    tool(Command::new("systemd-analyze").arg("verify").args(units));
}
