//! The native half of the Python package: opens vaults, runs verbs by their names, and runs the command line.
//!
//! Nothing here knows a verb, an option or a report. Those cross as JSON; the facade in `python/lastgood`, which is
//! made from `core/api.json`, gives them types. No thread of the library ever calls into Python on its own, but for the
//! wake-up of an event loop: what a verb has to tell lies in a queue that the calling thread empties. So callbacks
//! run where the caller is, and a busy interpreter does not slow the work.

mod logs;
mod operation;
mod process;
mod schedule;
mod vault;

use std::ffi::OsString;

use pyo3::prelude::*;

use process::Process;

/// Runs the command line with these arguments (the first one is the program's name) and gives its exit code.
#[pyfunction]
fn cli(py: Python<'_>, arguments: Vec<OsString>) -> PyResult<u8> {
    let process = Process::current(py)?;
    Ok(py.detach(|| process.runtime().block_on(lastgood::cli::run(arguments))))
}

#[pymodule]
mod _lastgood {
    #[pymodule_export]
    #[expect(non_upper_case_globals, reason = "Python calls it so")]
    const __version__: &str = env!("CARGO_PKG_VERSION");

    #[pymodule_export]
    use super::cli;
    #[pymodule_export]
    use crate::operation::Operation;
    #[pymodule_export]
    use crate::schedule::Schedule;
    #[pymodule_export]
    use crate::vault::Vault;
}
