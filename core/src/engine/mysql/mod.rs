//! MySQL and MariaDB: dumps in mydumper's layout, read and loaded over the wire, many connections at once.
//!
//! A dump holds one database of a server or several (`databases`). It is read in one snapshot that all connections share
//! (`snapshot`, `dump`): definitions as the server shows them (`catalog`), rows in ranges of the primary key (`plan`,
//! `rows`). It is written down as the files that `myloader` and the `mariadb` client load (`files`, `program`), with a
//! catalog beside them for us. A restore (`load`) looks at the target (`place`), creates tables, loads rows (`infile`, `insert`),
//! builds and checks the rest (`build`), under whatever names the databases get (`names`), and lets the result appear at
//! once (`arrive`).

mod address;
mod arrive;
mod build;
mod catalog;
mod classic;
mod collations;
mod connect;
mod databases;
mod doctor;
mod dump;
mod existing;
mod failure;
mod files;
mod globals;
mod infile;
mod insert;
mod keys;
mod large_row;
mod lines;
mod load;
mod names;
mod place;
mod plan;
mod privileges;
mod probe;
mod program;
mod promote;
mod quote;
mod rows;
mod script;
mod select;
mod session;
mod snapshot;
mod stats;
mod taken;

use std::collections::HashMap;
use std::io::BufRead;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::{Code, Error, Result};
use crate::id::EngineKind;
use crate::report::{Check, DatabaseStats, Probe, TableSummary};

use super::script::SCRIPT;
use super::stock::{About, OneFile, StockDump};
use super::{DoctorOptions, Engine, RestoreOptions, Snapshot, SnapshotOptions, StoredFile, Target};

use connect::{Role, Server};
use databases::Databases;

/// One database of a MySQL or MariaDB server, or all of them.
#[derive(Debug)]
pub(crate) struct Mysql {
    server: Server,
}

impl Mysql {
    /// Understands a `mysql://` or `mariadb://` URL; does not connect.
    ///
    /// # Errors
    /// `InvalidUrl`.
    pub(crate) fn new(url: &str) -> Result<Self> {
        Ok(Self { server: Server::new(url)? })
    }
}

#[async_trait]
impl Engine for Mysql {
    fn kind(&self) -> EngineKind {
        EngineKind::Mysql
    }

    fn describe(&self) -> String {
        self.server.to_string()
    }

    fn database(&self) -> &str {
        self.server.databases().name()
    }

    async fn probe(&self) -> Result<Probe> {
        probe::probe(&self.server).await
    }

    async fn snapshot(&self, options: &SnapshotOptions) -> Result<Box<dyn Snapshot>> {
        Ok(Box::new(dump::MySnapshot::open(&self.server, options).await?))
    }

    async fn target(&self, options: &RestoreOptions) -> Result<Box<dyn Target>> {
        Ok(Box::new(load::MyTarget::find(&self.server, options).await?))
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
        let mut session = self.server.connect_outside(Role::Catalog).await?;
        if let Databases::All { prefix: None } = self.server.databases() {
            return Err(Error::new(Code::Internal, "all databases of a server are never dropped"));
        }
        for database in session.databases(&self.server).await? {
            place::drop_database(&mut session, &database).await?;
        }
        session.close().await;
        Ok(())
    }

    async fn doctor(&self, options: &DoctorOptions) -> Vec<Check> {
        doctor::doctor(&self.server, options).await
    }
}

/// Whether a file begins as a script for these servers does, and as no other.
pub(crate) fn is_stock_dump(head: &[u8]) -> bool {
    script::is_script(head)
}

/// Whether a file may be a script for these servers.
pub(crate) fn may_be_stock_dump(head: &[u8]) -> bool {
    script::is_text(head)
}

/// Opens a script of mysqldump or mariadb-dump.
pub(crate) fn open_stock_dump(input: Box<dyn BufRead + Send>) -> StockDump {
    StockDump {
        engine: EngineKind::Mysql,
        about: About { format: "sql", created: None },
        schema: Vec::new(),
        data: vec![StoredFile { name: SCRIPT.to_owned(), bytes: None }],
        ends: HashMap::new(),
        files: script::file(input),
    }
}

/// A dump directory as a script that the stock clients run.
pub(crate) fn one_file(schema: &[(String, Bytes)]) -> Result<OneFile> {
    classic::one_file(schema)
}
