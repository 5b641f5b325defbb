//! Where the database is and how to connect to it.

use std::fmt;

use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, DriverError, Error as MyError, Row, Value};

use crate::error::{Code, Error, Result};

use super::address::{Address, SslMode, Tls};
use super::databases::Databases;
use super::failure::{failure, is_of_another_name};
use super::quote::ident;
use super::session::settings;
pub(super) use super::session::{Role, Version};

/// One database of a server or all of them, and the way there.
#[derive(Clone)]
pub(super) struct Server {
    address: Address,
}

/// A connection whose session has its settings.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) conn: Conn,
    pub(super) version: Version,
    /// The database that it is in.
    database: Option<String>,
}

impl Server {
    /// Understands a `mysql://` or `mariadb://` URL.
    ///
    /// # Errors
    /// `InvalidUrl`, which repeats nothing of the URL but the names of parameters.
    pub(super) fn new(url: &str) -> Result<Self> {
        let address = Address::parse(url, |name| std::env::var(name).ok().filter(|value| !value.is_empty()))?;
        Ok(Self { address })
    }

    /// The same under another name: a scratch place for all databases where all are meant.
    pub(super) fn sibling(&self, name: &str) -> Self {
        Self { address: self.address.with(self.databases().sibling(name)) }
    }

    /// One database of the same server.
    pub(super) fn one(&self, database: &str) -> Self {
        Self { address: self.address.with(Databases::One(database.to_owned())) }
    }

    /// Which databases are meant.
    pub(super) fn databases(&self) -> &Databases {
        &self.address.databases
    }

    /// How the way there is protected, and who goes it.
    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// Connects and leaves the session as the account and the database have it. Where several databases are meant it is
    /// in none, as are those of [`Self::connect`].
    ///
    /// # Errors
    /// `DatabaseUnavailable`, `DatabaseDenied`, `DatabaseNotFound`, `TooManyConnections`, `TlsFailed`.
    pub(super) async fn connect_plain(&self) -> Result<Conn> {
        self.in_time(self.open(self.inside())).await
    }

    /// Connects and fixes every setting on which the text of definitions and rows depends.
    pub(super) async fn connect(&self, role: Role) -> Result<Session> {
        self.in_time(self.set_up(role, self.inside())).await
    }

    /// As [`Self::connect`], in no database: it may not exist.
    pub(super) async fn connect_outside(&self, role: Role) -> Result<Session> {
        self.in_time(self.set_up(role, None)).await
    }

    /// The database that a session is in from its beginning; none where several are meant.
    fn inside(&self) -> Option<&str> {
        match self.databases() {
            Databases::One(name) => Some(name),
            Databases::All { .. } => None,
        }
    }

    async fn set_up(&self, role: Role, database: Option<&str>) -> Result<Session> {
        let mut conn = self.open(database).await?;
        let text = query_one(&mut conn, "SELECT VERSION()", "asking for the version").await?;
        let version = Version::parse(&text.unwrap_or_default());
        let oldest = if version.mariadb { (10, 2, 0) } else { (5, 7, 0) };
        if version.number < oldest {
            let message = format!("{self} is a server of version {}", version.text);
            return Err(Error::new(Code::UnsupportedDatabase, message)
                .next("MySQL 5.7 and later and MariaDB 10.2 and later are supported"));
        }
        for statement in settings(&version, role) {
            // Settings that a version does not know yet are no obstacle.
            if let Err(e) = conn.query_drop(&statement).await
                && super::failure::number(&e) != Some(UNKNOWN_VARIABLE)
            {
                return Err(failure("setting up the session", e));
            }
        }
        Ok(Session { conn, version, database: database.map(str::to_owned) })
    }

    async fn in_time<T>(&self, connecting: impl Future<Output = Result<T>>) -> Result<T> {
        let timeout = self.address.timeout;
        tokio::time::timeout(timeout, connecting).await.unwrap_or_else(|_| {
            Err(Error::new(Code::DatabaseUnavailable, format!("{self} did not answer within {} s", timeout.as_secs()))
                .next("check that the server runs, that a firewall lets this host through, and that a proxy has room"))
        })
    }

    async fn open(&self, database: Option<&str>) -> Result<Conn> {
        for path in self.address.files() {
            std::fs::File::open(path).map_err(|e| Error::local(path, e))?;
        }
        let mode = self.address.ssl;
        let attempt = |tls| Conn::new(self.address.options(tls, database));
        let connected = match attempt(if mode == SslMode::Disabled { Tls::None } else { Tls::Host }).await {
            Err(MyError::Driver(DriverError::NoClientSslFlagFromServer)) if mode == SslMode::Preferred => {
                attempt(Tls::None).await
            }
            Err(e) if mode == SslMode::VerifyCa && is_of_another_name(&e) => attempt(Tls::AnyName).await,
            other => other,
        };
        connected.map_err(|e| match e {
            MyError::Driver(DriverError::UnexpectedPacket { payload }) if payload.first() == Some(&AUTH_SWITCH) => {
                let message = format!("connecting to {self}: the server did not let {} in", self.address.user());
                Error::new(Code::DatabaseDenied, message)
                    .next("check the password; of several ways to authenticate, the account's first one is taken")
            }
            e => failure(format_args!("connecting to {self}"), e),
        })
    }
}

/// What a server begins its answer with when it asks for another way to authenticate; the driver follows once.
const AUTH_SWITCH: u8 = 0xFE;

/// The server's number for a variable that it does not know.
const UNKNOWN_VARIABLE: u16 = 1193;

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({self})")
    }
}

impl Session {
    /// Runs a statement whose answer does not matter.
    pub(super) async fn execute(&mut self, sql: &str, doing: &str) -> Result<()> {
        execute(&mut self.conn, sql, doing).await
    }

    /// Runs a query and returns all values as text.
    pub(super) async fn query(&mut self, sql: &str, doing: &str) -> Result<Vec<Vec<Option<String>>>> {
        query(&mut self.conn, sql, doing).await
    }

    /// Runs a query for one value.
    pub(super) async fn query_one(&mut self, sql: &str, doing: &str) -> Result<Option<String>> {
        query_one(&mut self.conn, sql, doing).await
    }

    /// Goes into a database, if the session is not in it.
    pub(super) async fn enter(&mut self, database: &str) -> Result<()> {
        if self.database.as_deref() != Some(database) {
            self.execute(&format!("USE {}", ident(database)), &format!("entering database {database}")).await?;
            self.database = Some(database.to_owned());
        }
        Ok(())
    }

    /// The names of the databases that are meant and there.
    pub(super) async fn databases(&mut self, server: &Server) -> Result<Vec<String>> {
        if let Databases::One(name) = server.databases() {
            return Ok(vec![name.clone()]);
        }
        let sql = format!(
            "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE {} ORDER BY SCHEMA_NAME",
            server.databases().within("SCHEMA_NAME")
        );
        Ok(self.query(&sql, "listing the databases").await?.into_iter().flatten().flatten().collect())
    }

    /// Ends the session, as far as the server still listens.
    pub(super) async fn close(self) {
        drop(self.conn.disconnect().await);
    }
}

/// Runs a statement whose answer does not matter.
pub(super) async fn execute(conn: &mut Conn, sql: &str, doing: &str) -> Result<()> {
    conn.query_drop(sql).await.map_err(|e| failure(doing, e))
}

/// Runs a query and returns all values as text. What is no text in UTF-8 is shown with replacements.
pub(super) async fn query(conn: &mut Conn, sql: &str, doing: &str) -> Result<Vec<Vec<Option<String>>>> {
    let rows: Vec<Row> = conn.query(sql).await.map_err(|e| failure(doing, e))?;
    Ok(rows.into_iter().map(|row| row.unwrap().into_iter().map(text).collect()).collect())
}

/// Runs a query for one value.
pub(super) async fn query_one(conn: &mut Conn, sql: &str, doing: &str) -> Result<Option<String>> {
    Ok(query(conn, sql, doing).await?.into_iter().next().and_then(|row| row.into_iter().next().flatten()))
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::NULL => None,
        Value::Bytes(bytes) => {
            Some(String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()))
        }
        // The text protocol sends text only.
        other => Some(other.as_sql(true)),
    }
}
