//! Where the database is and how to connect to it.

use std::fmt;
use std::sync::Arc;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, ConnectOptions as _};
use tokio::sync::OnceCell;

use crate::error::{Code, Error, Result};

pub(super) use super::address::APPLICATION;
use super::address::Address;
use super::failure::failure;
use super::pooler;
pub(super) use super::session::Role;
use super::session::settings;
use super::socket::{Before, Found};

/// The oldest server that is dumped: its catalogs are read as those of 14 and later are, and TID range scans exist.
const OLDEST_SERVER: u32 = 14_00_00;

/// One database of a server, and the way there.
#[derive(Clone)]
pub(super) struct Server {
    address: Address,
    /// Set once it is known that sessions last as long as connections.
    lasting: Arc<OnceCell<()>>,
}

impl Server {
    /// Understands a `postgres://` or `postgresql://` URL as libpq does.
    ///
    /// # Errors
    /// `InvalidUrl`, which repeats nothing of the URL but the names of parameters.
    pub(super) fn new(url: &str) -> Result<Self> {
        let address = Address::parse(url, |name| std::env::var(name).ok().filter(|value| !value.is_empty()))?;
        Ok(Self { address, lasting: Arc::default() })
    }

    /// Another database of the same server.
    pub(super) fn sibling(&self, database: &str) -> Self {
        let options = self.address.options.clone().database(database);
        let address = Address { options, database: database.to_owned(), ..self.address.clone() };
        // A pooler may treat each database in another way.
        Self { address, lasting: Arc::default() }
    }

    /// The database's name.
    pub(super) fn database(&self) -> &str {
        &self.address.database
    }

    /// The role that connects.
    pub(super) fn username(&self) -> &str {
        self.address.options.get_username()
    }

    /// How the way there is to be protected.
    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// Whether nothing lies between here and the server, as far as is known after a connection was made.
    pub(super) fn is_direct(&self) -> bool {
        !self.lasting.initialized()
    }

    /// Connects and leaves the session as the role and the database have it.
    ///
    /// # Errors
    /// `PoolerMode` if the session would not last; `DatabaseUnavailable`, `DatabaseDenied`, `TlsFailed` …
    pub(super) async fn connect_plain(&self) -> Result<PgConnection> {
        self.in_time(self.open()).await
    }

    /// Connects and fixes every setting on which the text of definitions and rows depends.
    pub(super) async fn connect(&self, role: Role) -> Result<PgConnection> {
        let set_up = async {
            let mut conn = self.open().await?;
            let version = conn.server_version_num().unwrap_or(0);
            if version < OLDEST_SERVER {
                return Err(Error::new(
                    Code::UnsupportedDatabase,
                    format!("{self} is a server of version {}", version / 10_000),
                )
                .next("PostgreSQL 14 and later are supported"));
            }
            execute(&mut conn, &settings(version, role), "setting up the session").await?;
            Ok(conn)
        };
        // A pooler lets one in and keeps one waiting afterwards.
        self.in_time(set_up).await
    }

    async fn in_time(&self, connecting: impl Future<Output = Result<PgConnection>>) -> Result<PgConnection> {
        let timeout = self.address.timeout;
        tokio::time::timeout(timeout, connecting).await.unwrap_or_else(|_| {
            Err(Error::new(Code::DatabaseUnavailable, format!("{self} did not answer within {} s", timeout.as_secs()))
                .next("check that the server runs, that a firewall lets this host through, and that a pooler has room"))
        })
    }

    async fn open(&self) -> Result<PgConnection> {
        for path in &self.address.files {
            std::fs::File::open(path).map_err(|e| Error::local(path, e))?;
        }
        let options = &self.address.options;
        let before = Before::now();
        let mut conn = options.connect().await.map_err(|e| failure(format_args!("connecting to {self}"), e))?;
        // Nothing is set before it is known whose session it is. A standby refuses transactions that are serializable by
        // default.
        let sql = in_transaction("SELECT pg_catalog.inet_client_port(), pg_catalog.pg_is_in_recovery()");
        let row =
            query(&mut conn, &sql, "asking how the connection goes").await?.into_iter().next().unwrap_or_default();
        let text = |i: usize| row.get(i).and_then(Option::as_deref);
        let port = text(0).and_then(|port| port.parse().ok());
        if before.tune(&conn, port, options.get_port()) == Found::Unsure {
            let (standby, timeout) = (text(1) == Some("t"), self.address.timeout);
            self.lasting.get_or_try_init(|| pooler::check(options, &mut conn, standby, timeout)).await?;
        }
        Ok(conn)
    }
}

impl fmt::Display for Server {
    /// The URL without credentials and parameters.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Address { options, database, .. } = &self.address;
        let (host, port) = (options.get_host(), options.get_port());
        let socket = options.get_socket().map(|s| s.display().to_string().replace('\0', "@"));
        match socket.or_else(|| host.starts_with('/').then(|| host.to_owned())) {
            Some(folder) => write!(f, "postgres:///{database}?host={folder}&port={port}"),
            None => write!(f, "postgres://{host}:{port}/{database}"),
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({self})")
    }
}

/// A query in a transaction of its own, whatever transactions are like by default.
pub(super) fn in_transaction(sql: &str) -> String {
    format!("BEGIN ISOLATION LEVEL READ COMMITTED; {sql}; COMMIT")
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
            ("postgres://u@/shop?host=@/tmp/x", "postgres:///shop?host=@/tmp/x&port=5432", "shop"),
        ] {
            let server = Server::new(url).unwrap();
            assert_eq!((server.to_string().as_str(), server.database()), (shown, database), "{url}");
            assert!(!format!("{server:?}").contains("s3cret"));
        }
    }
}
