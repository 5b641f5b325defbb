//! A MongoDB server: SecantusDB, or a real mongod that `MONGODB_TEST_URL` names.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::env::{python, venv};
use crate::server::{Server, free_port, random, start_with_ports, tool};
use crate::skip::missing;

/// One running server.
#[derive(Debug)]
pub struct Mongodb {
    /// None for one that somebody else runs.
    _server: Option<Server>,
    /// Without a database.
    url: String,
}

/// A database of a test's own, dropped at the end.
#[derive(Debug)]
pub struct MongoDatabase {
    server: &'static Mongodb,
    /// Its name.
    pub name: String,
}

impl Mongodb {
    /// The server that all tests of this process share. Databases are the tests' own.
    ///
    /// None: the package is not installed, and the test was reported as skipped.
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Mongodb>> = OnceLock::new();
        let found = || Self::outside().or_else(|| Self::secantus(&[]));
        SHARED.get_or_init(found).as_ref().or_else(|| missing("SecantusDB"))
    }

    /// The server that `MONGODB_TEST_URL` names, of a user who may do everything.
    #[must_use]
    pub fn outside() -> Option<Self> {
        let url = std::env::var("MONGODB_TEST_URL").ok()?;
        Some(Self { _server: None, url })
    }

    /// Whether it is a mongod, which knows what SecantusDB does not.
    #[must_use]
    pub fn is_mongod(&self) -> bool {
        self._server.is_none()
    }

    /// A server of a test's own, started with further options.
    ///
    /// None: the package is not installed, and the test was reported as skipped.
    pub fn with(options: &[&str]) -> Option<Self> {
        Self::secantus(options).or_else(|| missing("SecantusDB"))
    }

    fn secantus(options: &[&str]) -> Option<Self> {
        let program = venv().join("bin/secantusd-py");
        program.exists().then(|| start_with_ports("secantusdb", || Self::start(&program, options)))
    }

    /// Answers as a mongod does in what SecantusDB does not: see `standin.py`.
    pub fn stand_in() -> Option<Self> {
        Self::stand_in_of("7.0.14")
    }

    /// The same, as one of this version.
    pub fn stand_in_of(version: &str) -> Option<Self> {
        if !venv().join("bin/secantusd-py").exists() {
            return missing("PyMongo");
        }
        Some(start_with_ports("the stand-in", || {
            let (folder, port) = (Server::folder("standin"), free_port());
            let (python, program, given) = (python(), fixture("standin.py"), port.to_string());
            let command =
                [python.as_os_str(), OsStr::new("-B"), program.as_os_str(), OsStr::new(&given), OsStr::new(version)];
            Self::wait(Server::start_as_self(folder, "KILL", &command), port)
        }))
    }

    /// A server that asks for a user: `root` with the password `canary-root`, as [`Mongodb::url`] has it.
    pub fn with_users() -> Option<Self> {
        let mut server = Self::with(&["--auth"])?;
        server.url = server.url.replace("://", "://root:canary-root@") + "?authSource=admin";
        Some(server)
    }

    /// The same, shared by all tests of this process.
    pub fn shared_with_users() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Mongodb>> = OnceLock::new();
        SHARED.get_or_init(Self::with_users).as_ref()
    }

    fn start(program: &Path, options: &[&str]) -> Result<Self, String> {
        let folder = Server::folder("secantusdb");
        let port = free_port();
        if options.contains(&"--auth") {
            let mut provision = Command::new(python());
            // As text: the user that servers run as may not enter the clone.
            provision
                .args(["-c", include_str!("../fixtures/mongodb/provision.py")])
                .arg(program)
                .arg(port.to_string())
                .arg(folder.join("data"));
            tool(provision.current_dir(&folder).env("HOME", &folder));
        }
        let own = [
            "--port".to_owned(),
            port.to_string(),
            "--storage-path".to_owned(),
            folder.join("data").display().to_string(),
        ];
        let mut command = vec![program.as_os_str()];
        command.extend(own.iter().map(OsStr::new));
        command.extend(options.iter().map(OsStr::new));
        Self::wait(Server::start_as_self(folder, "KILL", &command), port)
    }

    fn wait(server: Server, port: u16) -> Result<Self, String> {
        let answers = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
        server.wait_ready(answers).ok_or_else(|| server.log())?;
        Ok(Self { _server: Some(server), url: format!("mongodb://127.0.0.1:{port}/") })
    }

    /// The URL of one of its databases; of all of them with an empty name.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        let (before, query) = self.url.split_once('?').unwrap_or((&self.url, ""));
        let query = if query.is_empty() { String::new() } else { format!("?{query}") };
        format!("{}/{database}{query}", before.trim_end_matches('/'))
    }

    /// A database of a name that nobody else has; it is there once something is written to it.
    #[must_use]
    pub fn database(&'static self, name: &str) -> MongoDatabase {
        MongoDatabase { server: self, name: format!("{name}_{}", u32::from_le_bytes(random())) }
    }

    /// Runs one of the Python programs of `tests/fixtures/mongodb`, with this server's URL as the first argument.
    ///
    /// # Panics
    /// When it fails, with what it said.
    pub fn python(&self, program: &str, arguments: &[&str]) -> String {
        tool(Command::new(python()).arg("-B").arg(fixture(program)).arg(&self.url).args(arguments))
    }
}

pub(crate) fn fixture(program: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/mongodb").join(program)
}

impl MongoDatabase {
    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        self.server.url(&self.name)
    }

    /// Runs a Python program on it: the server's URL, its name, and these arguments.
    pub fn python(&self, program: &str, arguments: &[&str]) -> String {
        let mut all = vec![self.name.as_str()];
        all.extend(arguments);
        self.server.python(program, &all)
    }
}

impl Drop for MongoDatabase {
    fn drop(&mut self) {
        if self.server.is_mongod() {
            self.python("drop.py", &[]);
        }
    }
}
