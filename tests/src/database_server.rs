//! What a test asks of a database server when it does not matter which one it is.

use std::process::Command;

use crate::env::python;
use crate::mongodb::fixture;
use crate::{MariaDb, Mongodb, PgVersion, Postgres};

/// A server on which tests make databases of their own.
pub trait DatabaseServer: Sync {
    /// What it is, for messages: `PostgreSQL 15`, `MariaDB`.
    fn what(&self) -> String;

    /// The URL of a database of this server, with the superuser's credentials.
    fn url(&self, database: &str) -> String;

    /// The superuser's password, for tests that look for it where it must not be.
    fn password(&self) -> &str;

    /// Makes a database of this name, in place of the one that may be there, and gives its URL.
    fn create(&self, database: &str) -> String;

    /// Drops the database of this name if there is one.
    fn drop(&self, database: &str);

    /// The names of all databases but the server's own.
    fn databases(&self) -> Vec<String>;

    /// Runs SQL in a database, to the first error, and returns the rows; of MongoDB a list of commands as JSON.
    fn run(&self, database: &str, sql: &str) -> String;

    /// Whether SQL succeeds in a database where it may wait a moment for a lock.
    fn succeeds(&self, database: &str, sql: &str) -> bool;

    /// What the stock tool writes of a database's definitions.
    fn schema(&self, database: &str) -> String;

    /// Every table of a database with its number of rows and a hash of its content that ignores their order.
    fn content(&self, database: &str) -> Vec<String>;

    /// Whether sessions of others can be ended here.
    fn ends_sessions(&self) -> bool {
        true
    }

    /// Ends all sessions in databases whose names begin so.
    fn end_sessions(&self, prefix: &str);
}

/// One server of every kind that is installed, each with what belongs to it here; the others are reported as skipped.
pub fn each_server<T>(postgres: T, mariadb: T) -> Vec<(&'static dyn DatabaseServer, T)> {
    let postgres = Postgres::shared(PgVersion::V15).map(|server| (server as &dyn DatabaseServer, postgres));
    let mariadb = MariaDb::shared().map(|server| (server as &dyn DatabaseServer, mariadb));
    postgres.into_iter().chain(mariadb).collect()
}

/// The same, and a MongoDB server that asks for a user.
pub fn each_server_and_mongodb<T>(postgres: T, mariadb: T, mongodb: T) -> Vec<(&'static dyn DatabaseServer, T)> {
    let mongodb = Mongodb::shared_with_users().map(|server| (server as &dyn DatabaseServer, mongodb));
    each_server(postgres, mariadb).into_iter().chain(mongodb).collect()
}

impl DatabaseServer for Postgres {
    fn what(&self) -> String {
        format!("PostgreSQL {}", self.version().number())
    }

    fn url(&self, database: &str) -> String {
        self.url(database)
    }

    fn password(&self) -> &str {
        self.password()
    }

    fn create(&self, database: &str) -> String {
        self.create(database)
    }

    fn drop(&self, database: &str) {
        self.drop(database);
    }

    fn databases(&self) -> Vec<String> {
        self.databases()
    }

    fn run(&self, database: &str, sql: &str) -> String {
        self.psql(database, sql)
    }

    fn succeeds(&self, database: &str, sql: &str) -> bool {
        let mut psql = self.client("psql");
        psql.args(["-Xq", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", &format!("SET lock_timeout = 100; {sql}")]);
        psql.output().unwrap().status.success()
    }

    fn schema(&self, database: &str) -> String {
        self.pg_dump_schema(database)
    }

    fn content(&self, database: &str) -> Vec<String> {
        self.content(database)
    }

    fn end_sessions(&self, prefix: &str) {
        let sessions = format!("FROM pg_stat_activity WHERE starts_with(datname, '{prefix}')");
        self.psql("postgres", &format!("SELECT pg_terminate_backend(pid) {sessions}"));
    }
}

impl DatabaseServer for MariaDb {
    fn what(&self) -> String {
        if self.is_mysql() { "MySQL".to_owned() } else { "MariaDB".to_owned() }
    }

    fn url(&self, database: &str) -> String {
        self.url(database)
    }

    fn password(&self) -> &str {
        self.password()
    }

    fn create(&self, database: &str) -> String {
        self.create(database)
    }

    fn drop(&self, database: &str) {
        self.drop(database);
    }

    fn databases(&self) -> Vec<String> {
        self.databases()
    }

    fn run(&self, database: &str, sql: &str) -> String {
        self.sql(database, sql)
    }

    fn succeeds(&self, database: &str, sql: &str) -> bool {
        let mut client = self.client("mariadb");
        client.args([database, "-e", &format!("SET lock_wait_timeout = 1; {sql}")]);
        client.output().unwrap().status.success()
    }

    fn schema(&self, database: &str) -> String {
        self.schema(database)
    }

    fn content(&self, database: &str) -> Vec<String> {
        self.content(database)
    }

    fn end_sessions(&self, prefix: &str) {
        let sessions = format!("FROM information_schema.PROCESSLIST WHERE DB LIKE '{prefix}%'");
        for id in self.sql("", &format!("SELECT ID {sessions}")).lines() {
            // It may have ended by itself meanwhile.
            drop(self.client("mariadb").args(["-e", &format!("KILL CONNECTION {id}")]).output());
        }
    }
}

/// SecantusDB lets nobody end the sessions of others.
impl DatabaseServer for Mongodb {
    fn what(&self) -> String {
        "MongoDB".to_owned()
    }

    fn url(&self, database: &str) -> String {
        self.url(database)
    }

    fn password(&self) -> &str {
        "canary-root"
    }

    fn create(&self, database: &str) -> String {
        self.drop(database);
        self.url(database)
    }

    fn drop(&self, database: &str) {
        self.python("drop.py", &[database]);
    }

    fn databases(&self) -> Vec<String> {
        self.python("names.py", &["", ""]).split_whitespace().map(str::to_owned).collect()
    }

    fn run(&self, database: &str, commands: &str) -> String {
        self.python("run.py", &[database, commands])
    }

    fn succeeds(&self, database: &str, commands: &str) -> bool {
        let mut run = Command::new(python());
        run.arg("-B").arg(fixture("run.py")).args([&self.url(""), database, commands]);
        run.output().unwrap().status.success()
    }

    fn schema(&self, database: &str) -> String {
        self.python("content.py", &[database, "definitions"])
    }

    fn content(&self, database: &str) -> Vec<String> {
        self.python("content.py", &[database, "documents"]).lines().map(str::to_owned).collect()
    }

    fn ends_sessions(&self) -> bool {
        false
    }

    fn end_sessions(&self, _prefix: &str) {}
}
