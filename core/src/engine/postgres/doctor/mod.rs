//! What the doctor looks at: the way to the server (`server`) and what the database holds (`contents`).
//!
//! Each check is one small function. The session is read-only and has time-outs of its own, so that nothing is changed
//! and nobody waits.

mod contents;
mod server;

use std::time::Duration;

use sqlx::postgres::PgConnection;

use crate::engine::{DoctorOptions, some_of};
use crate::error::{Code, Error, Result};
use crate::report::Check;

use super::connect::{Role, Server, execute, query};
use super::privileges::Closed;

/// The checks in their order; the first one stands for the connection itself.
const CHECKS: [&str; 15] = [
    "database",
    "tls",
    "pooler",
    "standby",
    "timeouts",
    "connections",
    "locks",
    "privileges",
    "row_security",
    "large_objects",
    "unlogged_tables",
    "foreign_tables",
    "extensions",
    "objects",
    "database_clock",
];

/// How long one check may take; a little more than the server gives each of its statements.
const PATIENCE: Duration = Duration::from_secs(75);

/// Nothing is written, and no lock and no statement is waited for for long.
const CAREFUL: &str = "SET default_transaction_read_only = on; SET lock_timeout = '5s'; SET statement_timeout = '30s'";

/// An open connection, and what is known of the server so far.
struct Visit<'a> {
    server: &'a Server,
    conn: PgConnection,
    jobs: usize,
    standby: bool,
    /// What the role may not read; none if that could not be found out.
    closed: Option<Closed>,
}

impl Visit<'_> {
    /// One row as text; NULL is empty.
    async fn row<const N: usize>(&mut self, sql: &str) -> Result<[String; N]> {
        let row = query(&mut self.conn, sql, "asking the server").await?.into_iter().next().unwrap_or_default();
        let row: Vec<String> = row.into_iter().map(Option::unwrap_or_default).collect();
        row.try_into().map_err(|_| Error::new(Code::Internal, "the server's answer is not as expected"))
    }

    /// The first column of all rows.
    async fn column(&mut self, sql: &str) -> Result<Vec<String>> {
        let rows = query(&mut self.conn, sql, "asking the server").await?;
        Ok(rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect())
    }
}

/// The checks made so far.
#[derive(Default)]
struct Findings {
    checks: Vec<Check>,
    /// Why the connection is of no more use.
    broken: Option<String>,
}

impl Findings {
    /// Makes a check, unless the connection broke before.
    async fn add(&mut self, name: &str, check: impl Future<Output = Result<Check>>) {
        if let Some(why) = &self.broken {
            self.checks.push(Check::not_checked(name, why));
            return;
        }
        let check = match tokio::time::timeout(PATIENCE, check).await {
            Ok(Ok(check)) => check,
            Ok(Err(e)) => {
                if e.is_retryable() {
                    self.broken = Some(format!("the connection broke at `{name}`"));
                }
                Check::failed(name, &e)
            }
            Err(_) => {
                self.broken = Some(format!("the server did not answer at `{name}`"));
                Check::fail(name, format!("no answer within {} s", PATIENCE.as_secs()), "check the server's load")
            }
        };
        self.checks.push(check);
    }
}

/// Makes all checks of a database.
pub(super) async fn doctor(server: &Server, options: &DoctorOptions) -> Vec<Check> {
    let mut conn = match server.connect(Role::Catalog).await {
        Ok(conn) => conn,
        Err(e) => return unreachable(&e),
    };
    if let Err(e) = execute(&mut conn, CAREFUL, "setting up the session").await {
        return unreachable(&e);
    }
    let v = &mut Visit { server, conn, jobs: options.jobs, standby: false, closed: None };
    let mut findings = Findings::default();
    findings.add("database", server::database(v)).await;
    findings.add("tls", server::tls(v)).await;
    findings.add("pooler", server::pooler(v)).await;
    findings.add("standby", server::standby(v)).await;
    findings.add("timeouts", server::timeouts(v)).await;
    findings.add("connections", server::connections(v)).await;
    findings.add("locks", server::locks(v)).await;
    findings.add("privileges", contents::privileges(v)).await;
    findings.add("row_security", contents::row_security(v)).await;
    findings.add("large_objects", contents::large_objects(v)).await;
    findings.add("unlogged_tables", contents::unlogged_tables(v)).await;
    findings.add("foreign_tables", contents::foreign_tables(v)).await;
    findings.add("extensions", contents::extensions(v)).await;
    findings.add("objects", contents::objects(v)).await;
    findings.add("database_clock", server::clock(v)).await;
    if !(options.tables.is_empty() && options.indexes.is_empty()) {
        findings.add("required", contents::required(v, options)).await;
    }
    findings.checks
}

/// The one check that tells why nobody gets to the database, and the rest that could not be made.
fn unreachable(e: &Error) -> Vec<Check> {
    let cause = match e.code() {
        Code::PoolerMode => "pooler",
        Code::TlsFailed => "tls",
        Code::TooManyConnections => "connections",
        _ => "database",
    };
    let check = |name: &&str| match *name == cause {
        true => Check::failed(name, e),
        false => Check::not_checked(name, "there is no connection to the database"),
    };
    CHECKS.iter().map(check).collect()
}

fn listed(names: &[String]) -> String {
    some_of(names, 20)
}
