//! Processes that live as long as the value that stands for them.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::geteuid;

/// Starting a server may take this long on a busy machine with two cores.
const PATIENCE: Duration = Duration::from_secs(90);

/// A server process in a folder of its own; both are gone when the value is dropped or the test process ends.
#[derive(Debug)]
pub(crate) struct Server {
    keeper: Child,
    folder: PathBuf,
}

impl Server {
    /// Makes the folder a server will live in, owned by the user it will run as.
    pub(crate) fn folder(name: &str) -> PathBuf {
        let folder = tempfile::Builder::new().prefix(&format!("lastgood-{name}-")).tempdir().unwrap().keep();
        if let Some(user) = unprivileged() {
            chown(&folder, Some(user.uid), Some(user.gid)).unwrap();
        }
        folder
    }

    /// Starts `command` in `folder` (from [`Server::folder`]); `signal` ends it.
    pub(crate) fn start(folder: PathBuf, signal: &str, command: &[&OsStr]) -> Self {
        Self::spawn(folder, signal, command, as_unprivileged)
    }

    /// Starts it as the user who runs the tests: a Python may lie where nobody else gets at it.
    pub(crate) fn start_as_self(folder: PathBuf, signal: &str, command: &[&OsStr]) -> Self {
        Self::spawn(folder, signal, command, |_| {})
    }

    fn spawn(folder: PathBuf, signal: &str, command: &[&OsStr], user: impl FnOnce(&mut Command)) -> Self {
        let mut keeper = Command::new("sh");
        keeper.args(["-c", include_str!("keeper.sh"), "keeper"]).arg(&folder).arg(signal).args(command);
        keeper.current_dir(&folder).env("HOME", &folder).stdin(Stdio::piped());
        // A group of its own: Ctrl-C reaches the tests, and the keeper then cleans up behind them.
        keeper.process_group(0);
        user(&mut keeper);
        let keeper = keeper.spawn().expect("sh starts");
        Self { keeper, folder }
    }

    /// Waits until `ready` says so. None: the server ended before (another process may have taken its port).
    pub(crate) fn wait_ready(&self, mut ready: impl FnMut() -> bool) -> Option<()> {
        let mut ended = false;
        wait_until(&format!("the server in {}", self.folder.display()), || {
            ended = self.pid().is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists());
            ended || ready()
        });
        (!ended).then_some(())
    }

    /// The folder it lives in.
    pub(crate) fn path(&self) -> &Path {
        &self.folder
    }

    /// The server's process id, once it was started.
    pub(crate) fn pid(&self) -> Option<u32> {
        std::fs::read_to_string(self.folder.join("pid")).ok()?.trim().parse().ok()
    }

    /// What the server wrote.
    pub(crate) fn whole_log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.folder.join("log")).unwrap_or_default()).into_owned()
    }

    /// The end of what the server wrote, for messages.
    pub(crate) fn log(&self) -> String {
        let text = std::fs::read(self.folder.join("log")).unwrap_or_default();
        String::from_utf8_lossy(&text[text.len().saturating_sub(2000)..]).into_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        // Nothing more can be done in a drop than to have tried.
        let _ = self.keeper.wait();
    }
}

/// Starts a server up to three times: a free port may be taken by somebody else before the server has it.
pub(crate) fn start_with_ports<S>(name: &str, mut start: impl FnMut() -> Result<S, String>) -> S {
    let mut log = String::new();
    for _ in 0..3 {
        match start() {
            Ok(server) => return server,
            Err(why) => write!(log, "\n{why}").unwrap(),
        }
    }
    panic!("{name} did not start:{log}");
}

/// Polls until `done` says so.
///
/// # Panics
/// After a minute and a half.
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        std::thread::sleep(Duration::from_millis(25));
    }
}

/// A port of the loopback address that is free now, and whose neighbour 10,000 above is free as well.
///
/// SeaweedFS serves gRPC on that neighbour. Below the range from which the kernel picks ports for outgoing connections.
pub(crate) fn free_port() -> u16 {
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    for _ in 0..1000 {
        let random = u16::from_le_bytes(random());
        let port = 11_000 + random % 10_000;
        if free(port) && free(port + 10_000) {
            return port;
        }
    }
    panic!("no free port between 11000 and 21000");
}

/// Random bytes from the kernel.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    use std::io::Read;
    let mut bytes = [0; N];
    std::fs::File::open("/dev/urandom").and_then(|mut f| f.read_exact(&mut bytes)).unwrap();
    bytes
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Runs a program to its end and returns what it printed.
///
/// # Panics
/// When it cannot be started or fails, with what it said.
pub fn tool(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[derive(Debug, Clone, Copy)]
struct User {
    uid: u32,
    gid: u32,
}

/// The user that servers run as when the tests run as root: PostgreSQL refuses to run as root.
fn unprivileged() -> Option<User> {
    if !geteuid().is_root() {
        return None;
    }
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
    let user = |name: &str| {
        let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut ids = line.split(':').skip(2).map(str::parse);
        Some(User { uid: ids.next()?.ok()?, gid: ids.next()?.ok()? })
    };
    Some(user("postgres").or_else(|| user("nobody")).expect("a user `postgres` or `nobody`"))
}

/// Makes `command` run as the user that servers run as.
pub(crate) fn as_unprivileged(command: &mut Command) {
    if let Some(user) = unprivileged() {
        command.uid(user.uid).gid(user.gid);
    }
}
