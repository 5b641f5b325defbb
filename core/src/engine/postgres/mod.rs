//! PostgreSQL: dumps in pg_dump's directory format, read and loaded over the wire, many connections at once.
//!
//! A dump is read in one snapshot that all connections share (`snapshot`, `dump`): the schema from the catalogs
//! (`catalog`, `order`), rows by COPY in ranges of blocks (`plan`, `copy`), large objects page by page
//! (`large_object`). It is written down as an archive that pg_restore reads (`archive`). A restore (`load`) checks the
//! target (`place`, `preflight`), runs the archive's statements (`statements`, `schedule`, `build`) and lets the result
//! appear at once. What pg_dump itself made is restored in the same way: archives as if they were ours, scripts by
//! `script`.

mod address;
mod archive;
mod belong;
mod build;
mod catalog;
mod clean;
mod connect;
mod copy;
mod database;
mod dialect;
mod doctor;
mod dump;
mod existing;
mod failure;
mod fit;
mod globals;
mod large_object;
mod large_row;
mod lex;
mod load;
mod mapping;
mod order;
mod place;
mod plan;
mod pooler;
mod preflight;
mod present;
mod privileges;
mod probe;
mod promote;
mod quote;
mod rename;
mod roles;
mod schedule;
mod script;
mod select;
mod session;
mod snapshot;
mod socket;
mod statements;
mod stats;
mod superuser;

use std::collections::HashMap;
use std::io::BufRead;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::Result;
use crate::id::EngineKind;
use crate::report::{Check, DatabaseStats, Probe, TableSummary};

use super::script::SCRIPT;
use super::stock::{About, OneFile, StockDump, StockFolder};
use super::{DoctorOptions, Engine, RestoreOptions, Snapshot, SnapshotOptions, StoredFile, Target};

use connect::Server;

/// One database of a PostgreSQL server.
#[derive(Debug)]
pub(crate) struct Postgres {
    server: Server,
}

impl Postgres {
    /// Understands a `postgres://` or `postgresql://` URL; does not connect.
    ///
    /// # Errors
    /// `InvalidUrl`.
    pub(crate) fn new(url: &str) -> Result<Self> {
        Ok(Self { server: Server::new(url)? })
    }
}

#[async_trait]
impl Engine for Postgres {
    fn kind(&self) -> EngineKind {
        EngineKind::Postgres
    }

    fn describe(&self) -> String {
        self.server.to_string()
    }

    fn database(&self) -> &str {
        self.server.database()
    }

    async fn probe(&self) -> Result<Probe> {
        probe::probe(&self.server).await
    }

    async fn snapshot(&self, options: &SnapshotOptions) -> Result<Box<dyn Snapshot>> {
        Ok(Box::new(dump::PgSnapshot::open(&self.server, options).await?))
    }

    async fn target(&self, options: &RestoreOptions) -> Result<Box<dyn Target>> {
        Ok(Box::new(load::PgTarget::find(&self.server, options).await?))
    }

    fn sibling(&self, name: &str, _work_dir: Option<&Path>) -> Result<Arc<dyn Engine>> {
        Ok(Arc::new(Self { server: self.server.sibling(name) }))
    }

    async fn summarize(&self, tables: &[TableSummary], jobs: usize) -> Result<Vec<TableSummary>> {
        probe::summarize(&self.server, tables, jobs).await
    }

    async fn smoke(&self, query: &str) -> Result<bool> {
        probe::smoke(&self.server, query).await
    }

    async fn stats(&self) -> Result<DatabaseStats> {
        stats::stats(&self.server).await
    }

    async fn discard(&self) -> Result<()> {
        database::drop_database(&self.server, self.server.database()).await
    }

    async fn doctor(&self, options: &DoctorOptions) -> Vec<Check> {
        doctor::doctor(&self.server, options).await
    }
}

/// Opens a dump of pg_dump or pg_dumpall; none if it begins as something else.
pub(crate) fn open_stock_dump(head: &[u8], input: Box<dyn BufRead + Send>) -> Option<Result<StockDump>> {
    if archive::is_custom(head) {
        return Some(archive::open_custom(input));
    }
    if archive::is_tar(head) {
        return Some(archive::open_tar(input));
    }
    script::is_script(head).then(|| {
        Ok(StockDump {
            engine: EngineKind::Postgres,
            about: About { format: "sql", created: None },
            schema: Vec::new(),
            data: vec![StoredFile { name: SCRIPT.to_owned(), bytes: None }],
            ends: HashMap::new(),
            files: script::file(input),
        })
    })
}

/// Whether a file begins as one that pg_dump or pg_dumpall made.
pub(crate) fn is_stock_dump(head: &[u8]) -> bool {
    archive::is_custom(head) || archive::is_tar(head) || script::is_script(head)
}

/// Opens a directory archive of pg_dump.
pub(crate) fn open_stock_folder(toc: &[u8], names: &[String]) -> Result<StockFolder> {
    archive::open_folder(toc, names)
}

/// A dump directory as an archive in the custom format.
pub(crate) fn one_file(schema: &[(String, Bytes)]) -> Result<OneFile> {
    let file = |name: &str| schema.iter().find(|(n, _)| n == name).map_or(&[][..], |(_, bytes)| bytes);
    archive::write_custom(&archive::read(file("toc.dat"))?, &archive::read_blobs(file("blobs.toc"))?)
}

#[cfg(test)]
mod tests;
