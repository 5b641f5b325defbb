//! Tests that cannot run say so, so that a run's summary can count them.

use std::io::Write;

/// Tells that this test does not run, and why.
///
/// Written past the test harness's capture: `tests/run` counts these lines.
pub fn skip(why: &str) {
    // A closed standard error must not fail a test.
    let _ = writeln!(std::io::stderr().lock(), "skipped: {why}");
}

/// Something that `tests/run` installs is not here: a failure in CI, a skipped test elsewhere.
///
/// # Panics
/// Where `CI` is set.
pub fn missing<T>(what: &str) -> Option<T> {
    assert!(std::env::var_os("CI").is_none(), "{what} is missing; `bash tests/run` installs it");
    skip(&format!("{what} is missing; `bash tests/run` installs it"));
    None
}
