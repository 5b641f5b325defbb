//! What the doctor looks at: the way to the server (`server`) and what the database holds (`contents`).
//!
//! Each check is one small function. The session is read-only, so that nothing is changed.

mod contents;
mod server;

use crate::engine::DoctorOptions;
use crate::engine::findings::{Findings, unreachable};
use crate::error::{Error, Result};
use crate::report::Check;

use super::connect::{Role, Server, Session};
use super::privileges::Privileges;
use super::stats::careful;

/// The checks in their order; the first one stands for the connection itself.
const CHECKS: [&str; 13] = [
    "database",
    "tls",
    "authentication",
    "replica",
    "timeouts",
    "connections",
    "packets",
    "local_infile",
    "privileges",
    "consistency",
    "not_transactional",
    "objects",
    "database_clock",
];

/// An open connection, and what is known of the server so far.
struct Visit<'a> {
    server: &'a Server,
    session: Session,
    /// The databases that are meant.
    databases: Vec<String>,
    jobs: usize,
    /// What the account may do; none if that could not be found out.
    privileges: Option<Privileges>,
}

impl Visit<'_> {
    /// One row as text; NULL is empty, as is what is missing.
    async fn row<const N: usize>(&mut self, sql: &str) -> Result<[String; N]> {
        let row = self.session.query(sql, "asking the server").await?.into_iter().next().unwrap_or_default();
        let mut row = row.into_iter().map(Option::unwrap_or_default);
        Ok(std::array::from_fn(|_| row.next().unwrap_or_default()))
    }

    /// The first column of all rows.
    async fn column(&mut self, sql: &str) -> Result<Vec<String>> {
        let rows = self.session.query(sql, "asking the server").await?;
        Ok(rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect())
    }
}

/// Makes all checks of a database, or of all of a server's.
pub(super) async fn doctor(server: &Server, options: &DoctorOptions) -> Vec<Check> {
    match visit(server, options).await {
        Ok(checks) => checks,
        Err(e) => unreachable(&CHECKS, &e),
    }
}

async fn visit(server: &Server, options: &DoctorOptions) -> Result<Vec<Check>, Error> {
    let mut session = server.connect(Role::Catalog).await?;
    careful(&mut session).await?;
    let databases = session.databases(server).await?;
    let v = &mut Visit { server, session, databases, jobs: options.jobs, privileges: None };
    let mut findings = Findings::default();
    findings.add("database", server::database(v)).await;
    findings.add("tls", server::tls(v)).await;
    findings.add("authentication", server::authentication(v)).await;
    findings.add("replica", server::replica(v)).await;
    findings.add("timeouts", server::timeouts(v)).await;
    findings.add("connections", server::connections(v)).await;
    findings.add("packets", server::packets(v)).await;
    findings.add("local_infile", server::local_infile(v)).await;
    findings.add("privileges", contents::privileges(v)).await;
    findings.add("consistency", contents::consistency(v)).await;
    findings.add("not_transactional", contents::not_transactional(v)).await;
    findings.add("objects", contents::objects(v)).await;
    findings.add("database_clock", server::clock(v)).await;
    if !(options.tables.is_empty() && options.indexes.is_empty()) {
        findings.add("required", contents::required(v, options)).await;
    }
    Ok(findings.ended())
}
