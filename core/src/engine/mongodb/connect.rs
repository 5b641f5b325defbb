//! Connects, and learns what kind of deployment it is.

use std::time::Duration;

use futures::TryStreamExt as _;
use mongodb::bson::{Document, doc};
use mongodb::options::{Acknowledgment, ClientOptions, SelectionCriteria, WriteConcern};
use mongodb::{Client, ClientSession, Database};

use super::address::Address;
use super::failure::{failure, is_denied, server_code};
use crate::error::{Code, Error, Result};

/// How long a server is looked for, unless the URL says.
const PATIENCE: Duration = Duration::from_secs(15);

/// What answers at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Topology {
    /// One server without an oplog.
    Standalone,
    ReplicaSet,
    /// Routers before several shards.
    Sharded,
}

/// A connected client, with what the server said of itself.
#[derive(Debug, Clone)]
pub(super) struct Server {
    pub(super) client: Client,
    pub(super) version: String,
    pub(super) topology: Topology,
    /// Which members are read, as the URL says.
    reads: Option<SelectionCriteria>,
    address: Address,
}

impl Server {
    pub(super) async fn connect(address: &Address) -> Result<Self> {
        let doing = || format!("connecting to {address}");
        let mut options = ClientOptions::parse(address.url.expose()).await.map_err(|e| failure(doing(), e))?;
        options.server_selection_timeout.get_or_insert(PATIENCE);
        options.app_name.get_or_insert_with(|| "lastgood".to_owned());
        // What was restored must not be rolled back.
        let majority = || WriteConcern::builder().w(Acknowledgment::Majority).build();
        options.write_concern.get_or_insert_with(majority);
        let reads = options.selection_criteria.clone();
        let client = Client::with_options(options).map_err(|e| failure(doing(), e))?;
        let mut server =
            Self { client, version: String::new(), topology: Topology::Standalone, reads, address: address.clone() };
        let hello = server.command("admin", doc! { "hello": 1 }).await.map_err(|e| failure(doing(), e))?;
        if hello.get_str("msg").is_ok_and(|msg| msg == "isdbgrid") {
            server.topology = Topology::Sharded;
        } else if hello.contains_key("setName") {
            server.topology = Topology::ReplicaSet;
        }
        let build = server.command("admin", doc! { "buildInfo": 1 }).await.map_err(|e| failure(doing(), e))?;
        server.version = build.get_str("version").unwrap_or_default().to_owned();
        Ok(server)
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// Whether the server is of this version or a later one.
    pub(super) fn is_at_least(&self, major: u32, minor: u32) -> bool {
        let mut numbers = self.version.split('.').map(|n| n.parse().unwrap_or(0));
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (major, minor)
    }

    pub(super) fn database(&self, name: &str) -> Database {
        self.client.database(name)
    }

    /// Runs a command that reads.
    pub(super) async fn command(&self, database: &str, command: Document) -> mongodb::error::Result<Document> {
        let database = self.client.database(database);
        let run = database.run_command(command);
        match self.reads.clone() {
            Some(reads) => run.selection_criteria(reads).await,
            None => run.await,
        }
    }

    /// All that a command's cursor gives: lists of definitions, not documents.
    pub(super) async fn list(&self, database: &str, command: Document) -> mongodb::error::Result<Vec<Document>> {
        let database = self.client.database(database);
        let run = database.run_cursor_command(command);
        let cursor = match self.reads.clone() {
            Some(reads) => run.selection_criteria(reads).await?,
            None => run.await?,
        };
        cursor.try_collect().await
    }

    /// The names of this place's databases; one that is not there is not among them.
    pub(super) async fn databases(&self) -> Result<Vec<String>> {
        let command = doc! { "listDatabases": 1, "nameOnly": true, "authorizedDatabases": true };
        let listed = self.command("admin", command).await;
        let listed = match (listed, &self.address.place) {
            // Whoever may see one database may not be allowed to see which there are.
            (Err(e), super::address::Place::One(name)) if is_denied(&e) => return Ok(vec![name.clone()]),
            (listed, _) => listed.map_err(|e| failure("listing databases", e))?,
        };
        let databases = listed.get_array("databases").map_err(|_| {
            Error::new(Code::DatabaseError, "listing databases: the server's answer is not as expected")
        })?;
        let mut names: Vec<String> = databases
            .iter()
            .filter_map(|d| d.as_document()?.get_str("name").ok())
            .filter(|name| self.address.place.holds(name))
            .map(str::to_owned)
            .collect();
        names.sort();
        Ok(names)
    }

    /// Drops a collection, if it is there.
    pub(super) async fn drop_collection(&self, database: &str, name: &str) -> Result<()> {
        match self.client.database(database).collection::<Document>(name).drop().await {
            Err(e) if server_code(&e) == Some(26) => Ok(()),
            dropped => dropped.map_err(|e| failure(format!("dropping {database}.{name}"), e)),
        }
    }

    /// A session for one reader; nothing but what it is asked for happens in it.
    pub(super) async fn session(&self) -> Result<ClientSession> {
        self.client.start_session().causal_consistency(false).await.map_err(|e| failure("opening a session", e))
    }
}
