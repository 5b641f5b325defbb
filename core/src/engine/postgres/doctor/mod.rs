//! What the doctor looks at: the way to the server (`server`) and what the database holds (`contents`).
//!
//! Each check is one small function. The session is read-only and has time-outs of its own, so that nothing is changed
//! and nobody waits.

mod contents;
mod server;

use sqlx::postgres::PgConnection;

use crate::engine::DoctorOptions;
use crate::engine::findings::{Findings, unreachable};
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

/// Makes all checks of a database.
pub(super) async fn doctor(server: &Server, options: &DoctorOptions) -> Vec<Check> {
    let mut conn = match server.connect(Role::Catalog).await {
        Ok(conn) => conn,
        Err(e) => return unreachable(&CHECKS, &e),
    };
    if let Err(e) = execute(&mut conn, CAREFUL, "setting up the session").await {
        return unreachable(&CHECKS, &e);
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
    findings.ended()
}
