//! The README: what it prints compiles, is understood, and runs. What it prints for Node and Python is run by the tests of
//! those packages.

use std::path::Path;
use std::process::Command;

use testkit::tool;

use crate::world::{World, bare_command};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn read(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap()
}

/// What stands between two marks.
fn between<'t>(text: &'t str, begin: &str, end: &str) -> &'t str {
    let from = text.find(begin).unwrap_or_else(|| panic!("no {begin:?}")) + begin.len();
    &text[from..][..text[from..].find(end).unwrap()]
}

#[test]
fn the_quick_start_in_rust_is_the_example_that_is_compiled() {
    let example = read("examples/examples/readme.rs");
    let code = &example[example.find("#[tokio::main]").unwrap()..];
    assert_eq!(between(&read("README.md"), "```rust,no_run\n", "```"), code);
}

#[test]
fn the_quickstart_example_shows_the_whole_life() {
    let world = World::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_example-quickstart"));
    let said = tool(command.env_clear().env("TMPDIR", world.path("")));
    for step in ["made ", "backup ", "list ", "verify ", "drill ", "restore "] {
        assert!(said.lines().any(|line| line.starts_with(step)), "{step}: {said}");
    }
    // Nothing of it is left.
    assert_eq!(std::fs::read_dir(world.path("")).unwrap().count(), 0);
}

/// Each line of the README's command line is understood: what fails, fails for the want of a store.
#[test]
fn the_command_line_knows_what_the_readme_tells_it() {
    let readme = read("README.md");
    let lines: Vec<_> = between(&readme, "## Command line", "Every command takes")
        .lines()
        .filter_map(|line| line.trim().split(" # ").next()?.strip_prefix("lastgood "))
        .flat_map(|line| line.split("; lastgood "))
        .collect();
    assert!(lines.len() > 12, "{lines:?}");
    let program = bare_command().get_program().to_owned();
    for line in lines {
        let mut shell = Command::new("bash");
        shell.env_clear().env("PROGRAM", &program).args(["-c", &format!("\"$PROGRAM\" {line} --json </dev/null")]);
        let output = shell.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        assert!(!said.contains("Usage: ") && !said.contains("tip: "), "{line}: {said}");
        assert!(
            said.contains(r#""code""#) || said.contains(r#""checks""#) || output.status.success(),
            "{line}: {said}"
        );
    }
}
