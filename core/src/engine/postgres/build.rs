//! Runs an archive's statements on the target.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use sqlx::postgres::PgConnection;

use crate::error::{Code, Error, Result};
use crate::report::Warning;

use super::archive::Archive;
use super::connect::{APPLICATION, Role, Server, execute, query, query_one};
use super::database::drop_subscription;
use super::quote::literal;
use super::schedule::Schedule;
use super::statements::{Adapt, describe, is_remark};

/// How long a failed restore waits for what it wants to drop.
const DROP_TIMEOUT: &str = "SET lock_timeout = '60s'";

/// The sessions that a restore opens.
#[derive(Debug)]
pub(super) struct Sessions {
    /// The archive's own settings, which each of them has.
    settings: String,
    /// The processes that serve them.
    pids: Vec<String>,
}

impl Sessions {
    /// `more` are settings that this restore needs beside the archive's own.
    pub(super) fn new(archive: &Archive, more: &str) -> Self {
        let settings = archive.entries.iter().filter(|e| match e.desc.as_str() {
            "STDSTRINGS" | "SEARCHPATH" => true,
            // The driver speaks UTF-8; rows that were dumped in another encoding are loaded in that one.
            "ENCODING" => !e.defn.contains("'UTF8'"),
            _ => false,
        });
        let settings = settings.map(|e| e.defn.as_str()).chain([more]).collect();
        Self { settings, pids: Vec::new() }
    }

    pub(super) async fn open(&mut self, server: &Server) -> Result<PgConnection> {
        let mut conn = server.connect(Role::Writer).await?;
        let pid = query_one(&mut conn, "SELECT pg_catalog.pg_backend_pid()", "setting up the session").await?;
        self.pids.extend(pid);
        if !self.settings.is_empty() {
            execute(&mut conn, &self.settings, "applying the archive's settings").await?;
        }
        Ok(conn)
    }

    /// Ends those that still work on something, though nobody waits for it, and keep locks on what is to be dropped.
    pub(super) async fn end(&self, conn: &mut PgConnection) -> Result<()> {
        let sql = format!(
            "SELECT pg_catalog.pg_terminate_backend(pid, 10000) FROM pg_catalog.pg_stat_activity \
             WHERE pid = ANY ('{{{}}}'::pg_catalog.int4[]) AND datname = pg_catalog.current_database() \
             AND application_name = {}",
            self.pids.join(","),
            literal(APPLICATION)
        );
        execute(conn, &sql, "ending the restore's sessions").await
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
    done: Mutex<Vec<usize>>,
    /// What could not be kept.
    warnings: Mutex<Vec<Warning>>,
}

impl Build {
    pub(super) fn new(archive: Archive, adapt: Adapt, weights: HashMap<i32, u64>, extensions: HashSet<String>) -> Self {
        Self { archive, adapt, weights, extensions, done: Mutex::default(), warnings: Mutex::default() }
    }

    /// Runs these entries one after the other.
    pub(super) async fn run_in_order(&self, conn: &mut PgConnection, chosen: &[usize]) -> Result<()> {
        for &index in chosen {
            self.run(conn, index).await?;
        }
        Ok(())
    }

    /// Runs these entries on all connections, each when what it needs is there.
    pub(super) async fn run_scheduled(&self, conns: &mut [PgConnection], chosen: &[usize]) -> Result<()> {
        let mut schedule = Schedule::new(&self.archive.entries, chosen, &self.weights);
        let mut idle: Vec<&mut PgConnection> = conns.iter_mut().collect();
        let mut running = FuturesUnordered::new();
        loop {
            while let Some(conn) = idle.pop() {
                let Some(job) = schedule.start() else {
                    idle.push(conn);
                    break;
                };
                running.push(async move {
                    let result = self.run(&mut *conn, chosen[job]).await;
                    (job, conn, result)
                });
            }
            let Some((job, conn, result)) = running.next().await else { break };
            result?;
            idle.push(conn);
            schedule.finished(job);
        }
        if schedule.is_done() { Ok(()) } else { Err(Error::new(Code::Internal, "statements were left over")) }
    }

    async fn run(&self, conn: &mut PgConnection, index: usize) -> Result<()> {
        let entry = &self.archive.entries[index];
        if self.adapt.left_out.contains(&entry.dump_id) {
            return Ok(());
        }
        match execute(conn, &self.adapt.sql(entry), &format!("restoring {}", describe(entry))).await {
            // Of an extension that the provider installed, for example: no reason to give up the data.
            Err(e) if is_remark(entry) && e.code() == Code::DatabaseDenied => {
                lock(&self.warnings).push(Warning::new("remark_left_out", e.message()));
            }
            result => {
                result?;
                lock(&self.done).push(index);
            }
        }
        Ok(())
    }

    /// Adds to what could not be kept.
    pub(super) fn warn(&self, warnings: Vec<Warning>) {
        lock(&self.warnings).extend(warnings);
    }

    /// What could not be kept of the statements that were run.
    pub(super) fn take_warnings(&self) -> Vec<Warning> {
        std::mem::take(&mut *lock(&self.warnings))
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
        let queue = Mutex::new(tables.into_iter().flatten().flatten());
        let next = || lock(&queue).next();
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
        let done = std::mem::take(&mut *lock(&self.done));
        for &index in done.iter().rev() {
            let entry = &self.archive.entries[index];
            let kept = entry.desc == "EXTENSION" && self.extensions.contains(&entry.tag);
            if kept || entry.drop.is_empty() || entry.drop.starts_with("--") {
                continue;
            }
            let sql = match entry.desc.as_str() {
                "SUBSCRIPTION" => drop_subscription(&entry.tag),
                _ => entry.drop.clone(),
            };
            if let Err(e) = execute(conn, &sql, &format!("dropping {}", describe(entry))).await {
                first = first.or(Some(e.next("drop what the failed restore left, or the whole database")));
            }
        }
        first.map_or(Ok(()), Err)
    }
}

/// A poisoned lock only means that something panicked elsewhere; the list is whole.
fn lock<T>(list: &Mutex<T>) -> MutexGuard<'_, T> {
    list.lock().unwrap_or_else(PoisonError::into_inner)
}
