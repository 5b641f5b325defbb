//! Child processes that are measured, or killed.

use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::server::random;

/// How a measured child ended.
#[derive(Debug)]
pub struct Finished {
    /// Its exit status.
    pub status: ExitStatus,
    /// The most memory it ever held at once, in bytes (`VmHWM`).
    pub peak_bytes: u64,
    /// What it wrote to its standard output and error.
    pub output: String,
}

/// Runs a program to its end and watches its peak of resident memory.
///
/// Read from /proc while it runs: `ru_maxrss` would count the memory of this process at the moment of the fork.
///
/// # Panics
/// When it cannot be started.
pub fn peak_memory(command: &mut Command) -> Finished {
    let log = tempfile::NamedTempFile::new().unwrap();
    let file = log.reopen().unwrap();
    command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
    let mut child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let mut peak_bytes = 0;
    let status = loop {
        // The kernel keeps the peak, so the last look before the end is the only one that counts.
        peak_bytes = vm_hwm(&child).unwrap_or(0).max(peak_bytes);
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    Finished { status, peak_bytes, output: std::fs::read_to_string(log.path()).unwrap_or_default() }
}

fn vm_hwm(child: &Child) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// Runs a program and kills it with SIGKILL at a random moment before `within`, unless it ends first.
///
/// Returns the moment, and whether it was still running.
///
/// # Panics
/// When it cannot be started.
pub fn run_and_kill(command: &mut Command, within: Duration) -> (Duration, bool) {
    let share = f64::from(u32::from_le_bytes(random())) / f64::from(u32::MAX);
    let moment = within.mul_f64(share);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(moment);
    let running = child.try_wait().unwrap().is_none();
    child.kill().unwrap();
    child.wait().unwrap();
    (moment, running)
}
