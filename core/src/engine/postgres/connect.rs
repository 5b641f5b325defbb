//! Where the database is and how to connect to it.

use std::fmt;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _};
use url::Url;

use crate::error::{Code, Error, Result};

use super::failure::failure;
use super::socket::tune;

/// The name under which the server lists this crate's sessions.
pub(super) const APPLICATION: &str = "lastgood";

/// How long a connection attempt may take unless the URL says otherwise (`connect_timeout`, in seconds).
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// The oldest server that is dumped: its catalogs are read as those of 14 and later are, and TID range scans exist.
const OLDEST_SERVER: u32 = 14_00_00;

/// Query parameters that sqlx understands.
const UNDERSTOOD: [&str; 13] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "host",
    "hostaddr",
    "port",
    "user",
    "options",
];

/// Query parameters of libpq, poolers and object mappers that change nothing here.
const IGNORED: [&str; 20] = [
    "application_name",
    "channel_binding",
    "connection_limit",
    "fallback_application_name",
    "gssencmode",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "krbsrvname",
    "load_balance_hosts",
    "pgbouncer",
    "pool_timeout",
    "schema",
    "sslcompression",
    "sslsni",
    "statement_cache_size",
    "target_session_attrs",
    "tcp_user_timeout",
    "uselibpqcompat",
];

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Reads the catalog, or the server as a whole.
    Catalog,
    /// Reads rows.
    Reader,
    /// Creates objects and writes rows.
    Writer,
}

/// One database of a server, and the way there.
#[derive(Clone)]
pub(super) struct Server {
    options: PgConnectOptions,
    database: String,
    timeout: Duration,
}

impl Server {
    /// Understands a `postgres://` or `postgresql://` URL as libpq does.
    ///
    /// # Errors
    /// `InvalidUrl`, which repeats nothing of the URL but the names of parameters.
    pub(super) fn new(url: &str) -> Result<Self> {
        let mut url = parse(url)?;
        let mut timeout = CONNECT_TIMEOUT;
        let (mut kept, mut database) = (Vec::new(), None);
        for (name, value) in url.query_pairs() {
            match &*name {
                "connect_timeout" => timeout = seconds(&value)?,
                "dbname" => database = Some(value.into_owned()),
                "password" => kept.push((name.into_owned(), value.into_owned())),
                known if UNDERSTOOD.contains(&known) || known.starts_with("options[") => {
                    kept.push((name.into_owned(), value.into_owned()));
                }
                ignored if IGNORED.contains(&ignored) => {}
                unknown => {
                    return Err(Error::new(
                        Code::InvalidUrl,
                        format!("unknown parameter `{unknown}` in the database URL"),
                    )
                    .next("leave it out, or correct its name (sslmode, sslrootcert, host, connect_timeout …)"));
                }
            }
        }
        url.query_pairs_mut().clear().extend_pairs(kept);
        let mut options = PgConnectOptions::from_url(&url).map_err(|e| invalid(&e))?;
        // Poolers refuse start-up parameters they do not know; `settings` sets this one later.
        options = options.extra_float_digits(None).application_name(APPLICATION).disable_statement_logging();
        let database = database
            .or_else(|| options.get_database().map(str::to_owned))
            .unwrap_or_else(|| options.get_username().to_owned());
        Ok(Self { options: options.database(&database), database, timeout })
    }

    /// Another database of the same server.
    pub(super) fn sibling(&self, database: &str) -> Self {
        let options = self.options.clone().database(database);
        Self { options, database: database.to_owned(), timeout: self.timeout }
    }

    /// The database's name.
    pub(super) fn database(&self) -> &str {
        &self.database
    }

    /// The role that connects.
    pub(super) fn username(&self) -> &str {
        self.options.get_username()
    }

    /// Connects and leaves the session as the role and the database have it.
    pub(super) async fn connect_plain(&self) -> Result<PgConnection> {
        match tokio::time::timeout(self.timeout, self.options.connect()).await {
            Ok(Ok(conn)) => Ok(conn),
            Ok(Err(e)) => Err(failure(format_args!("connecting to {self}"), e)),
            Err(_) => Err(Error::new(
                Code::DatabaseUnavailable,
                format!("{self} did not answer within {} s", self.timeout.as_secs()),
            )
            .next("check that the server runs and that a firewall lets this host through")),
        }
    }

    /// Connects and fixes every setting on which the text of definitions and rows depends.
    pub(super) async fn connect(&self, role: Role) -> Result<PgConnection> {
        let mut conn = self.connect_plain().await?;
        let version = conn.server_version_num().unwrap_or(0);
        if version < OLDEST_SERVER {
            return Err(Error::new(
                Code::UnsupportedDatabase,
                format!("{self} is a server of version {}", version / 10_000),
            )
            .next("PostgreSQL 14 and later are supported"));
        }
        let doing = "setting up the session";
        execute(&mut conn, &settings(version, role), doing).await?;
        let port = query_one(&mut conn, "SELECT pg_catalog.inet_client_port()", doing).await?;
        if let Some(port) = port.and_then(|port| port.parse().ok()) {
            tune(&conn, port, self.options.get_port());
        }
        Ok(conn)
    }
}

impl fmt::Display for Server {
    /// The URL without credentials and parameters.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.options.get_host();
        let socket = self.options.get_socket().map(|s| s.display().to_string());
        match socket.or_else(|| host.starts_with('/').then(|| host.to_owned())) {
            Some(folder) => write!(f, "postgres:///{}?host={folder}&port={}", self.database, self.options.get_port()),
            None => write!(f, "postgres://{host}:{}/{}", self.options.get_port(), self.database),
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({self})")
    }
}

fn parse(text: &str) -> Result<Url> {
    let url = match Url::parse(text) {
        // libpq allows `user@/database?host=/folder`; the host here is replaced by the parameter.
        Err(url::ParseError::EmptyHost) => Url::parse(&text.replacen("@/", "@localhost/", 1)),
        other => other,
    };
    let url = url.map_err(|e| invalid(&e))?;
    match url.scheme() {
        "postgres" | "postgresql" => Ok(url),
        _ => Err(Error::new(Code::InvalidUrl, "the database URL is not one of PostgreSQL")
            .next("write postgres://user@host:5432/database")),
    }
}

fn invalid(e: &dyn fmt::Display) -> Error {
    Error::new(Code::InvalidUrl, format!("the database URL cannot be understood: {e}"))
        .next("write postgres://user:password@host:5432/database; percent-encode special characters in the password")
}

fn seconds(text: &str) -> Result<Duration> {
    match text.parse() {
        // As in libpq, 0 means to wait as long as it takes.
        Ok(0) => Ok(Duration::from_secs(86_400)),
        Ok(n) => Ok(Duration::from_secs(n)),
        Err(_) => {
            Err(Error::new(Code::InvalidUrl, "connect_timeout in the database URL is no number").next("give seconds"))
        }
    }
}

/// The statements that fix a session's settings. `SET` takes no snapshot, so they may precede one.
fn settings(version: u32, role: Role) -> String {
    let mut settings = vec![
        ("search_path", "''"),
        ("statement_timeout", "0"),
        ("lock_timeout", "0"),
        ("idle_in_transaction_session_timeout", "0"),
        ("idle_session_timeout", "0"),
        ("datestyle", "'ISO'"),
        ("intervalstyle", "'postgres'"),
        ("timezone", "'UTC'"),
        ("extra_float_digits", "3"),
        ("bytea_output", "'hex'"),
        ("standard_conforming_strings", "on"),
        ("quote_all_identifiers", "off"),
        ("xmloption", "'content'"),
        ("client_min_messages", "'warning'"),
        // An error is better than the rows that a policy lets through.
        ("row_security", "off"),
        // A scan that starts where another one is would give the rows in another order each night.
        ("synchronize_seqscans", "off"),
    ];
    if version >= 17_00_00 {
        settings.push(("transaction_timeout", "0"));
    }
    match role {
        Role::Catalog => {}
        Role::Reader => settings.extend([
            // Ranges of blocks are read by TID range scans, whatever the statistics say.
            ("enable_seqscan", "off"),
            ("max_parallel_workers_per_gather", "0"),
            ("jit", "off"),
        ]),
        Role::Writer => settings.extend([
            ("check_function_bodies", "off"),
            ("default_transaction_read_only", "off"),
            // A restore that crashes is started again; its end is made durable in one step.
            ("synchronous_commit", "off"),
        ]),
    }
    settings.iter().map(|(name, value)| format!("SET {name} = {value};")).collect()
}

/// Runs statements whose answers do not matter.
pub(super) async fn execute(conn: &mut PgConnection, sql: &str, doing: &str) -> Result<()> {
    // Texts are made of this crate's words, quoted names, and definitions from an authenticated archive.
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(conn).await.map(drop).map_err(|e| failure(doing, e))
}

/// Runs a query and returns all values as text.
pub(super) async fn query(conn: &mut PgConnection, sql: &str, doing: &str) -> Result<Vec<Vec<Option<String>>>> {
    use sqlx::Row as _;
    let rows = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).fetch_all(conn).await.map_err(|e| failure(doing, e))?;
    rows.iter()
        .map(|row| (0..row.len()).map(|i| row.try_get_unchecked(i).map_err(|e| failure(doing, e))).collect())
        .collect()
}

/// Runs a query for one value.
pub(super) async fn query_one(conn: &mut PgConnection, sql: &str, doing: &str) -> Result<Option<String>> {
    Ok(query(conn, sql, doing).await?.into_iter().next().and_then(|row| row.into_iter().next().flatten()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn urls_are_described_without_credentials() {
        for (url, shown, database) in [
            ("postgres://u:s3cret@db.example.com/shop", "postgres://db.example.com:5432/shop", "shop"),
            ("postgresql://u:s3cret@h:6000/a%20b?sslmode=require", "postgres://h:6000/a b", "a b"),
            ("postgres:///shop?host=/tmp&user=u&port=6000", "postgres:///shop?host=/tmp&port=6000", "shop"),
            ("postgres://u:s3cret@/shop?host=/tmp", "postgres:///shop?host=/tmp&port=5432", "shop"),
            ("postgres://me@h", "postgres://h:5432/me", "me"),
            ("postgres://u:p@h/x?password=s3cret&pgbouncer=true&connect_timeout=5", "postgres://h:5432/x", "x"),
            ("postgres://u@h/x?channel_binding=require&sslmode=require&dbname=y", "postgres://h:5432/y", "y"),
        ] {
            let server = Server::new(url).unwrap();
            assert_eq!((server.to_string().as_str(), server.database()), (shown, database), "{url}");
            assert!(!format!("{server:?}").contains("s3cret"));
        }
    }

    #[test]
    fn bad_urls_are_refused_and_not_repeated() {
        for url in [
            "s3cret",
            "mysql://u:s3cret@h/x",
            "postgres://u:s3cret/x@h/x",
            "postgres://u:s3cret@h/x?sslmod=verify-full",
            "postgres://u:s3cret@h/x?connect_timeout=soon",
            "postgres://u:s3cret@h/x?sslmode=maybe",
        ] {
            let e = Server::new(url).unwrap_err();
            assert_eq!(e.code(), Code::InvalidUrl, "{url}");
            assert!(!format!("{e} {e:?}").contains("s3cret"), "{e:?}");
        }
    }
}
