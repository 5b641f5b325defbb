//! MongoDB: dumps in mongodump's directory layout, read and loaded over the wire as the bytes of its documents.
//!
//! A dump is one moment of one database, or of all (`moment`, `dump`): definitions as Extended JSON (`catalog`,
//! `metadata`, `extjson`), documents in batches of bytes and ranges of `_id` (`plan`, `read`); where the moment is lost, the oplog
//! up to the end goes along (`window`). A restore (`load`) makes
//! collections with their options, fills them in parallel, applies the dump's oplog if it has one (`oplog`, `changes`,
//! `replay`), and builds indexes and views afterwards (`define`). Users and roles go along where that is wanted (`globals`).

mod address;
mod archive;
mod catalog;
mod changes;
mod connect;
mod define;
mod doctor;
mod documents;
mod dump;
mod extjson;
mod failure;
mod globals;
mod incoming;
mod load;
mod metadata;
mod moment;
mod names;
mod oplog;
mod plan;
mod probe;
mod read;
mod replay;
mod select;
mod stats;
mod stock;
mod window;

use std::io::BufRead;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use mongodb::bson::doc;

use self::address::Address;
use self::connect::Server;
use self::failure::failure;
use super::stock::{OneFile, StockDump, StockFolder};
use super::{DoctorOptions, Engine, RestoreOptions, Snapshot, SnapshotOptions, Target};
use crate::error::Result;
use crate::id::EngineKind;
use crate::report::{Check, DatabaseStats, Probe, TableSummary};

/// One database of a MongoDB deployment, or all of them.
#[derive(Debug)]
pub(crate) struct Mongodb {
    address: Address,
}

impl Mongodb {
    /// Understands a `mongodb://` or `mongodb+srv://` URL; does not connect.
    ///
    /// # Errors
    /// `InvalidUrl`.
    pub(crate) fn new(url: &str) -> Result<Self> {
        Ok(Self { address: Address::new(url)? })
    }
}

#[async_trait]
impl Engine for Mongodb {
    fn kind(&self) -> EngineKind {
        EngineKind::Mongodb
    }

    fn describe(&self) -> String {
        self.address.to_string()
    }

    fn database(&self) -> &str {
        self.address.name()
    }

    async fn probe(&self) -> Result<Probe> {
        probe::probe(&self.address).await
    }

    async fn snapshot(&self, options: &SnapshotOptions) -> Result<Box<dyn Snapshot>> {
        Ok(Box::new(dump::MongoSnapshot::open(&self.address, options).await?))
    }

    async fn target(&self, options: &RestoreOptions) -> Result<Box<dyn Target>> {
        Ok(Box::new(load::MongoTarget::find(&self.address, options).await?))
    }

    fn sibling(&self, name: &str, _work_dir: Option<&Path>) -> Result<Arc<dyn Engine>> {
        Ok(Arc::new(Self { address: self.address.sibling(name)? }))
    }

    async fn summarize(&self, tables: &[TableSummary], jobs: usize) -> Result<Vec<TableSummary>> {
        probe::summarize(&self.address, tables, jobs).await
    }

    async fn smoke(&self, query: &str) -> Result<bool> {
        probe::smoke(&self.address, query).await
    }

    async fn stats(&self) -> Result<DatabaseStats> {
        stats::stats(&self.address).await
    }

    async fn doctor(&self, options: &DoctorOptions) -> Vec<Check> {
        doctor::doctor(&self.address, options).await
    }

    async fn discard(&self) -> Result<()> {
        let server = Server::connect(&self.address).await?;
        for name in server.databases().await? {
            let database = server.database(&name);
            database
                .run_command(doc! { "dropDatabase": 1 })
                .await
                .map_err(|e| failure(format!("dropping {name}"), e))?;
        }
        Ok(())
    }
}

/// Opens an archive of mongodump.
pub(crate) fn open_stock_dump(input: Box<dyn BufRead + Send>) -> Result<StockDump> {
    archive::open(input)
}

/// Whether a file begins as an archive of mongodump.
pub(crate) fn is_stock_dump(head: &[u8]) -> bool {
    archive::is_archive(head)
}

/// The files of a folder of mongodump that are read whole; none if it is none.
pub(crate) fn stock_folder_heads(files: &[String]) -> Option<Vec<String>> {
    stock::folder_heads(files)
}

/// Opens a folder of mongodump.
pub(crate) fn open_stock_folder(folder: &str, heads: Vec<(String, Bytes)>, files: &[String]) -> Result<StockFolder> {
    stock::open_folder(folder, heads, files)
}

/// A dump directory as an archive of mongodump.
pub(crate) fn one_file(schema: &[(String, Bytes)], data: &[&str]) -> Result<OneFile> {
    archive::one_file(schema, data.contains(&oplog::FILE))
}
