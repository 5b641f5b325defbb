//! Runs an archive's statements on the target.

use std::collections::{HashMap, HashSet};

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use sqlx::postgres::PgConnection;

use crate::error::{Code, Error, Result};
use crate::report::Warning;

use super::archive::Archive;
use super::connect::{Role, Server, execute, query};
use super::schedule::Schedule;
use super::statements::{Adapt, describe};

/// How long a failed restore waits for what it wants to drop.
const DROP_TIMEOUT: &str = "SET lock_timeout = '60s'";

/// The archive's own settings, which every session that restores it has.
#[derive(Debug)]
pub(super) struct WriterSetup(String);

impl WriterSetup {
    pub(super) fn of(archive: &Archive) -> Self {
        let settings = archive.entries.iter().filter(|e| match e.desc.as_str() {
            "STDSTRINGS" | "SEARCHPATH" => true,
            // The driver speaks UTF-8; rows that were dumped in another encoding are loaded in that one.
            "ENCODING" => !e.defn.contains("'UTF8'"),
            _ => false,
        });
        Self(settings.map(|e| e.defn.as_str()).collect())
    }

    pub(super) async fn connect(&self, server: &Server) -> Result<PgConnection> {
        let mut conn = server.connect(Role::Writer).await?;
        if !self.0.is_empty() {
            execute(&mut conn, &self.0, "applying the archive's settings").await?;
        }
        Ok(conn)
    }
}

/// An archive that is being restored.
#[derive(Debug)]
pub(super) struct Build {
    pub(super) archive: Archive,
    adapt: Adapt,
    /// Bytes of each table's data, by the number of the table's entry.
    weights: HashMap<i32, u64>,
    /// Extensions that were there before.
    extensions: HashSet<String>,
    /// Entries that were run, in that order.
    done: Vec<usize>,
}

impl Build {
    pub(super) fn new(archive: Archive, adapt: Adapt, weights: HashMap<i32, u64>, extensions: HashSet<String>) -> Self {
        Self { archive, adapt, weights, extensions, done: Vec::new() }
    }

    /// Runs these entries one after the other.
    pub(super) async fn run_in_order(&mut self, conn: &mut PgConnection, chosen: &[usize]) -> Result<()> {
        for &index in chosen {
            self.run(conn, index).await?;
            self.done.push(index);
        }
        Ok(())
    }

    /// Runs these entries on all connections, each when what it needs is there.
    pub(super) async fn run_scheduled(&mut self, conns: &mut [PgConnection], chosen: &[usize]) -> Result<()> {
        let mut schedule = Schedule::new(&self.archive.entries, chosen, &self.weights);
        let mut done = Vec::with_capacity(chosen.len());
        let mut idle: Vec<&mut PgConnection> = conns.iter_mut().collect();
        let mut running = FuturesUnordered::new();
        let mut failed = None;
        loop {
            while failed.is_none() && !idle.is_empty() {
                let Some(job) = schedule.start() else { break };
                let Some(conn) = idle.pop() else { break };
                let this = &*self;
                running.push(async move {
                    let result = this.run(&mut *conn, chosen[job]).await;
                    (job, conn, result)
                });
            }
            // After a failure the others are waited for: what they made has to be known to be dropped.
            let Some((job, conn, result)) = running.next().await else { break };
            idle.push(conn);
            match result {
                Ok(()) => {
                    done.push(chosen[job]);
                    schedule.finished(job);
                }
                Err(e) => failed = failed.or(Some(e)),
            }
        }
        drop(running);
        self.done.append(&mut done);
        match failed {
            Some(e) => Err(e),
            None if schedule.is_done() => Ok(()),
            None => Err(Error::new(Code::Internal, "statements were left over")),
        }
    }

    async fn run(&self, conn: &mut PgConnection, index: usize) -> Result<()> {
        let entry = &self.archive.entries[index];
        execute(conn, &self.adapt.sql(entry), &format!("restoring {}", describe(entry))).await
    }

    /// Collects the statistics that the planner needs. What fails is told, for all data is there.
    pub(super) async fn analyze(&self, conns: &mut [PgConnection]) -> Result<Vec<Warning>> {
        let Some(first) = conns.first_mut() else { return Ok(Vec::new()) };
        // ANALYZE of a partitioned table takes its partitions along.
        let sql = "SELECT c.oid::pg_catalog.regclass FROM pg_catalog.pg_class c \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relkind IN ('r', 'p', 'm') AND NOT c.relispartition AND c.relpersistence <> 't' \
             AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' \
             AND pg_catalog.pg_has_role(c.relowner, 'USAGE') ORDER BY c.relpages DESC, c.oid";
        let tables = query(first, sql, "listing the tables").await?;
        let queue = std::sync::Mutex::new(tables.into_iter().flatten().flatten());
        let next = || queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner).next();
        let next = &next;
        let work = conns.iter_mut().map(|conn| async move {
            let mut warnings = Vec::new();
            while let Some(table) = next() {
                let sql = format!("ANALYZE {table}");
                match execute(conn, &sql, &format!("analyzing {table}")).await {
                    Ok(()) => {}
                    Err(e) if e.code() == Code::DatabaseUnavailable => return Err(e),
                    Err(e) => warnings.push(Warning::new("not_analyzed", e.message())),
                }
            }
            Ok(warnings)
        });
        Ok(futures::future::try_join_all(work).await?.into_iter().flatten().collect())
    }

    /// Drops what was created, the last first.
    ///
    /// # Errors
    /// The first error, after all that can be dropped was.
    pub(super) async fn drop_all(&self, conn: &mut PgConnection) -> Result<()> {
        execute(conn, DROP_TIMEOUT, "taking the restore back").await?;
        let mut first = None;
        for &index in self.done.iter().rev() {
            let entry = &self.archive.entries[index];
            let kept = entry.desc == "EXTENSION" && self.extensions.contains(&entry.tag);
            if kept || entry.drop.is_empty() || entry.drop.starts_with("--") {
                continue;
            }
            if let Err(e) = execute(conn, &entry.drop, &format!("dropping {}", describe(entry))).await {
                first = first.or(Some(e.next("drop what the failed restore left, or the whole database")));
            }
        }
        first.map_or(Ok(()), Err)
    }
}
