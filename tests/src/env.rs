//! Where `tests/run` puts the Python and npm packages that tests need.

use std::path::{Path, PathBuf};

use rustix::process::geteuid;

/// The folder of the test environment: `$LASTGOOD_TEST_ENV`, or the user's cache folder.
///
/// Outside the clone, because servers run as another user when tests run as root, and that user may not be able to
/// enter the clone. `tests/run` follows the same rule.
pub(crate) fn root() -> PathBuf {
    if let Some(folder) = std::env::var_os("LASTGOOD_TEST_ENV") {
        return folder.into();
    }
    if geteuid().is_root() {
        return "/var/cache/lastgood-tests".into();
    }
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    cache
        .unwrap_or_else(|| Path::new(&std::env::var_os("HOME").unwrap_or_default()).join(".cache"))
        .join("lastgood-tests")
}

/// The Python environment with the packages of `tests/requirements.txt`.
#[must_use]
pub fn venv() -> PathBuf {
    root().join("venv")
}

/// The interpreter of [`venv`].
#[must_use]
pub fn python() -> PathBuf {
    venv().join("bin/python")
}

/// The npm packages of `tests/package.json`.
#[must_use]
pub fn node_modules() -> PathBuf {
    root().join("node_modules")
}

/// The folder of an installed Python package.
pub(crate) fn python_package(name: &str) -> Option<PathBuf> {
    let lib = std::fs::read_dir(venv().join("lib")).ok()?;
    lib.flatten().map(|version| version.path().join("site-packages").join(name)).find(|path| path.is_dir())
}
