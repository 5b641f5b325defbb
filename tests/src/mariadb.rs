//! A real MariaDB server of Debian's, or the MySQL server that `MYSQL_TEST_URL` names.

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use url::Url;

use crate::certificates::{Authority, Certificate, Installed};
use crate::server::{Server, as_unprivileged, free_port, hex, random, start_with_ports, tool, wait_until};
use crate::skip::missing;

/// The superuser of every server started here.
const USER: &str = "root";

const DAEMON: &str = "/usr/sbin/mariadbd";

/// How a server differs from the usual one.
#[derive(Debug, Clone, Default)]
pub struct MariaDbSetup {
    settings: Vec<String>,
    certificate: Option<Certificate>,
    no_tls: bool,
}

impl MariaDbSetup {
    /// Sets a server option: `performance_schema=ON`.
    #[must_use]
    pub fn set(mut self, setting: &str) -> Self {
        self.settings.push(setting.to_owned());
        self
    }

    /// Offers TLS with this certificate, and knows clients by certificates of the same CA; the usual server has one of its own.
    #[must_use]
    pub fn tls(mut self, certificate: &Certificate) -> Self {
        self.certificate = Some(certificate.clone());
        self
    }

    /// Does not offer TLS.
    #[must_use]
    pub fn without_tls(mut self) -> Self {
        self.no_tls = true;
        self
    }
}

/// One running server. A password is asked for, TLS is offered, and a binary log is written.
#[derive(Debug)]
pub struct MariaDb {
    /// None: a server that stands without us.
    server: Option<Server>,
    host: String,
    port: u16,
    user: String,
    password: String,
    root_certificate: Option<PathBuf>,
}

impl MariaDb {
    /// The server that all tests of this process share: the one `MYSQL_TEST_URL` names, or a MariaDB. Databases are the tests' own.
    ///
    /// None: its package is not installed, and the test was reported as skipped.
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<MariaDb>> = OnceLock::new();
        SHARED.get_or_init(|| Self::outside().or_else(Self::start)).as_ref()
    }

    /// The server `MYSQL_TEST_URL` names, by the URL of an account that may do everything.
    ///
    /// # Panics
    /// When it is no URL.
    #[must_use]
    pub fn outside() -> Option<Self> {
        let url = Url::parse(&std::env::var("MYSQL_TEST_URL").ok()?).expect("MYSQL_TEST_URL is a URL");
        let plain = |text: &str| {
            assert!(!text.contains('%'), "MYSQL_TEST_URL wants a user and a password that need no percent-encoding");
            text.to_owned()
        };
        Some(Self {
            server: None,
            host: url.host_str().expect("MYSQL_TEST_URL names a host").to_owned(),
            port: url.port().unwrap_or(3306),
            user: plain(url.username()),
            password: plain(url.password().unwrap_or_default()),
            root_certificate: None,
        })
    }

    /// A MariaDB for this test alone.
    pub fn start() -> Option<Self> {
        Self::start_with(&MariaDbSetup::default())
    }

    /// A MariaDB for this test alone that differs from the usual one.
    pub fn start_with(setup: &MariaDbSetup) -> Option<Self> {
        if !Path::new(DAEMON).exists() {
            return missing("MariaDB");
        }
        Some(start_with_ports("mariadb", || Self::launch(setup)))
    }

    fn launch(setup: &MariaDbSetup) -> Result<Self, String> {
        let folder = Server::folder("mariadb");
        let data = folder.join("data");
        init(&folder, &data);
        let (port, password) = (free_port(), hex(&random::<12>()));
        let first = folder.join("first.sql");
        std::fs::write(
            &first,
            format!(
                // A new server lets everybody in who comes from the machine itself.
                "DELETE FROM mysql.global_priv WHERE Host <> 'localhost' OR User = '';\n\
                 FLUSH PRIVILEGES;\n\
                 ALTER USER {USER}@localhost IDENTIFIED BY '{password}';\n\
                 CREATE USER {USER}@'%' IDENTIFIED BY '{password}';\n\
                 GRANT ALL ON *.* TO {USER}@'%' WITH GRANT OPTION;\n"
            ),
        )
        .unwrap();
        let path = |name: &str| folder.join(name).display().to_string();
        let mut command: Vec<OsString> = vec![DAEMON.into(), "--no-defaults".into()];
        let mut set = |setting: String| command.push(format!("--{setting}").into());
        for setting in [
            format!("datadir={}", data.display()),
            // A server that starts removes whatever looks like a temporary table, also those of others.
            format!("tmpdir={}", folder.display()),
            format!("port={port}"),
            "bind-address=127.0.0.1".to_owned(),
            format!("socket={}", path("socket")),
            format!("pid-file={}", path("mariadbd.pid")),
            format!("init-file={}", first.display()),
            "skip-name-resolve".to_owned(),
            "log-bin=binlog".to_owned(),
            "server-id=1".to_owned(),
            // A test server may lose everything at any time.
            "innodb-flush-method=nosync".to_owned(),
            "innodb-flush-log-at-trx-commit=0".to_owned(),
            "innodb-doublewrite=OFF".to_owned(),
            "innodb-buffer-pool-size=64M".to_owned(),
            "aria-log-file-size=8M".to_owned(),
        ] {
            set(setting);
        }
        let certificate = match (&setup.certificate, setup.no_tls) {
            (_, true) => None,
            (Some(certificate), _) => Some(certificate.install(&folder)),
            (None, _) => Some(Authority::new().issue("localhost", "IP:127.0.0.1,DNS:localhost", 30).install(&folder)),
        };
        if let Some(Installed { certificate, key, root }) = &certificate {
            set(format!("ssl-cert={}", certificate.display()));
            set(format!("ssl-key={}", key.display()));
            set(format!("ssl-ca={}", root.display()));
        }
        setup.settings.iter().cloned().for_each(&mut set);
        let command: Vec<&OsStr> = command.iter().map(OsString::as_os_str).collect();
        let this = Self {
            server: Some(Server::start(folder.clone(), "KILL", &command)),
            host: "127.0.0.1".to_owned(),
            port,
            user: USER.to_owned(),
            password,
            root_certificate: certificate.map(|installed| installed.root),
        };
        let ready = this.server().wait_ready(|| {
            let probe = this.client("mariadb").args(["-e", "SELECT 1"]).output();
            probe.is_ok_and(|output| output.status.success())
        });
        ready.map_or_else(|| Err(this.server().log()), |()| Ok(()))?;
        std::fs::remove_file(&first).unwrap();
        Ok(this)
    }

    fn server(&self) -> &Server {
        self.server.as_ref().expect("a server of the test's own")
    }

    /// Whether it is MySQL, which `MYSQL_TEST_URL` may name.
    #[must_use]
    pub fn is_mysql(&self) -> bool {
        self.server.is_none() && !self.sql("", "SELECT VERSION()").contains("MariaDB")
    }

    /// The URL of a database of this server, with the superuser's credentials. An empty name: of no database.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        self.url_of(&self.user, &self.password, database)
    }

    /// The URL of a database for another user.
    #[must_use]
    pub fn url_of(&self, user: &str, password: &str, database: &str) -> String {
        format!("mysql://{user}:{password}@{}:{}/{database}", self.host, self.port)
    }

    /// The path of its Unix socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.server().path().join("socket")
    }

    /// The host it listens on.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The superuser's password, for tests that look for it where it must not be.
    #[must_use]
    pub fn password(&self) -> &str {
        &self.password
    }

    /// The certificate of the authority that vouches for the server, as a PEM file.
    #[must_use]
    pub fn root_certificate(&self) -> Option<&Path> {
        self.root_certificate.as_deref()
    }

    /// The process id of the server.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.server.as_ref()?.pid()
    }

    /// What the server wrote to its error log.
    #[must_use]
    pub fn log(&self) -> String {
        self.server().whole_log()
    }

    /// A stock client program, ready to connect to this server: `mariadb`, `mariadb-dump`. The database is still to be named.
    #[must_use]
    pub fn client(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        // `--no-defaults` comes first, or it is refused.
        command.args(["--no-defaults", "--protocol=tcp", "--default-character-set=utf8mb4", "-h", &self.host]);
        command.args(["-P", &self.port.to_string(), "-u", &self.user]).env("MYSQL_PWD", &self.password);
        command
    }

    /// `mydumper` or `myloader`, ready to connect to this server.
    #[must_use]
    pub fn mydumper(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        command.args(["-h", &self.host, "-P", &self.port.to_string(), "-u", &self.user, "-p", &self.password]);
        command
    }

    /// Runs SQL in a database (none: an empty name), to the first error, and returns the rows with tabs between their values.
    ///
    /// # Panics
    /// When the client reports an error.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        self.run(database, sql.as_bytes())
    }

    /// Runs a file of SQL in a database, to the first error, by the stock client.
    ///
    /// # Panics
    /// When the client reports an error.
    pub fn sql_file(&self, database: &str, file: &Path) {
        self.run(database, &std::fs::read(file).unwrap());
    }

    fn run(&self, database: &str, script: &[u8]) -> String {
        let mut client = self.client("mariadb");
        client.args(["-N", "-B", "-r", "--binary-mode", "--comments"]);
        if !database.is_empty() {
            client.arg(database);
        }
        client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut client = client.spawn().expect("mariadb starts");
        let mut input = client.stdin.take().unwrap();
        std::thread::scope(|scope| {
            // A client that gave up has closed its end: what it said tells why.
            scope.spawn(move || input.write_all(script).ok());
            let output = client.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{}{said}", String::from_utf8_lossy(&script[..script.len().min(500)]));
            String::from_utf8_lossy(&output.stdout).into_owned()
        })
    }

    /// Makes a database of this name, in place of the one that may be there.
    ///
    /// # Panics
    /// When the client reports an error.
    pub fn create(&self, database: &str) -> String {
        self.drop(database);
        self.sql("", &format!("CREATE DATABASE `{database}` CHARACTER SET utf8mb4"));
        self.url(database)
    }

    /// Drops the database of this name if there is one.
    ///
    /// # Panics
    /// When the client reports an error.
    pub fn drop(&self, database: &str) {
        // Tables of other databases may refer to it.
        self.sql("", &format!("SET foreign_key_checks = 0; DROP DATABASE IF EXISTS `{database}`"));
    }

    /// Ends all sessions that are in a database, and waits until they are gone: one that runs a routine does not notice
    /// that its client went away.
    ///
    /// # Panics
    /// When they do not end.
    pub fn end_sessions(&self, database: &str) {
        let sessions =
            format!("SELECT ID FROM information_schema.PROCESSLIST WHERE DB = '{database}' AND ID <> CONNECTION_ID()");
        wait_until("the end of the sessions", || {
            let sessions = self.sql("", &sessions);
            for id in sessions.lines() {
                // It may have ended by itself.
                drop(self.client("mariadb").args(["-e", &format!("KILL {id}")]).output());
            }
            sessions.is_empty()
        });
    }

    /// Whether a database of this name is there.
    pub fn exists(&self, database: &str) -> bool {
        self.databases().iter().any(|name| name == database)
    }

    /// The names of all databases but the server's own.
    pub fn databases(&self) -> Vec<String> {
        let own = ["information_schema", "mysql", "performance_schema", "sys"];
        self.sql("", "SHOW DATABASES").lines().filter(|name| !own.contains(name)).map(str::to_owned).collect()
    }

    /// What `mariadb-dump` writes of a database's definitions: tables, views, triggers, routines and events.
    ///
    /// # Panics
    /// When it fails.
    pub fn schema(&self, database: &str) -> String {
        let mut dump = self.client("mariadb-dump");
        dump.args(["--no-data", "--routines", "--events", "--triggers", "--skip-comments", database]);
        tool(&mut dump)
    }

    /// Every table of a database with its number of rows and a hash of its content that ignores their order.
    ///
    /// The server computes it, so it owes nothing to the code under test.
    ///
    /// # Panics
    /// When the client reports an error.
    pub fn content(&self, database: &str) -> Vec<String> {
        // The exact text of a FLOAT is that of the double that equals it; all else is told by its bytes.
        let selects = self.sql(
            database,
            "SET group_concat_max_len = 16777216;
             SELECT CONCAT('SELECT ', QUOTE(c.TABLE_NAME), ', COUNT(*), SUM(CAST(CONV(LEFT(h, 16), 16, 10) AS DECIMAL(60))),',
                 ' SUM(CAST(CONV(RIGHT(h, 16), 16, 10) AS DECIMAL(60))) FROM (SELECT MD5(CONCAT_WS(''|'', ',
                 GROUP_CONCAT(
                     IF(DATA_TYPE = 'float', CONCAT('IFNULL(`', REPLACE(c.COLUMN_NAME, '`', '``'), '` + 0e0, ''~'')'),
                        CONCAT('IFNULL(HEX(CAST(`', REPLACE(c.COLUMN_NAME, '`', '``'), '` AS BINARY)), ''~'')'))
                     ORDER BY c.COLUMN_NAME SEPARATOR ', '),
                 ')) AS h FROM `', REPLACE(c.TABLE_NAME, '`', '``'), '`) t;')
             FROM information_schema.COLUMNS c JOIN information_schema.TABLES t USING (TABLE_SCHEMA, TABLE_NAME)
             WHERE TABLE_SCHEMA = DATABASE() AND t.TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED')
             GROUP BY c.TABLE_NAME ORDER BY c.TABLE_NAME",
        );
        let sql = format!("SET time_zone = '+00:00', sql_mode = '';\n{selects}");
        self.sql(database, &sql).lines().map(str::to_owned).collect()
    }
}

fn init(folder: &Path, data: &Path) {
    let mut install = Command::new("mariadb-install-db");
    install.args([
        "--no-defaults",
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
        "--skip-name-resolve",
    ]);
    install.args(["--innodb-flush-method=nosync", "--innodb-log-file-size=32M", "--aria-log-file-size=8M"]);
    install.arg(format!("--datadir={}", data.display())).arg(format!("--tmpdir={}", folder.display()));
    install.current_dir(folder).env("HOME", folder);
    as_unprivileged(&mut install);
    tool(&mut install);
}
