//! Questions to a deployment: who it is, what its collections hold, and whether a query is satisfied.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use mongodb::bson::{Bson, Document, doc};

use super::address::Address;
use super::catalog::{self, Collection, number};
use super::connect::Server;
use super::extjson;
use super::failure::failure;
use super::metadata::Kind;
use super::plan;
use super::read::Reading;
use crate::error::{Code, Error, Result};
use crate::format::checksum::RowHasher;
use crate::id::EngineKind;
use crate::report::{Probe, TableSummary};

/// Bytes of a piece that is counted and hashed by one reader.
const PIECE: u64 = 64 << 20;

/// Connects and asks for the version and the size.
pub(super) async fn probe(address: &Address) -> Result<Probe> {
    let server = Server::connect(address).await?;
    Ok(Probe { engine: EngineKind::Mongodb, version: server.version.clone(), size_bytes: size(&server).await })
}

/// Bytes on disk of this place's databases; none if that may not be asked.
pub(super) async fn size(server: &Server) -> Option<u64> {
    let mut bytes = 0;
    for database in server.databases().await.ok()? {
        let stats = server.command(&database, doc! { "dbStats": 1 }).await.ok()?;
        bytes += number(&stats, "storageSize") + number(&stats, "indexSize");
    }
    Some(bytes)
}

/// Counts and hashes these collections' documents. What is not there gives no entry.
pub(super) async fn summarize(address: &Address, tables: &[TableSummary], jobs: usize) -> Result<Vec<TableSummary>> {
    let server = Server::connect(address).await?;
    let mut present: Vec<Collection> = Vec::new();
    for database in server.databases().await? {
        present.append(&mut catalog::list(&server, &database).await?.0);
    }
    let mut found = Vec::new();
    let mut pieces = Vec::new();
    for table in tables {
        // Names of databases hold no point.
        let Some((dumped, name)) = table.name.split_once('.') else { continue };
        let database = address.place.database(dumped)?;
        let is = |c: &&mut Collection| c.database == database && c.name() == name && c.metadata.kind != Kind::View;
        let Some(collection) = present.iter_mut().find(is) else { continue };
        catalog::read_size(&server, collection).await;
        let borders = plan::borders(&server, collection, PIECE).await?;
        for part in 0..=borders.len() {
            let range = plan::range(part, &borders);
            pieces.extend(Reading::new(&server, collection, range).map(|reading| (found.len(), reading)));
        }
        found.push((table, RowHasher::default()));
    }
    let server = &server;
    let work = pieces.into_iter().map(|(index, reading)| async move {
        let mut hasher = RowHasher::default();
        let mut batches = std::pin::pin!(reading.batches(server.session().await?));
        while let Some(batch) = batches.try_next().await? {
            batch.each(|document| hasher.add(document.as_bytes()))?;
        }
        Ok::<_, Error>((index, hasher))
    });
    let mut done = stream::iter(work).buffer_unordered(jobs.max(1));
    while let Some((index, hasher)) = done.try_next().await? {
        found[index].1.merge(&hasher);
    }
    let summary = |(table, sum): (&TableSummary, RowHasher)| TableSummary {
        name: table.name.clone(),
        columns: table.columns.clone(),
        rows: sum.rows(),
        hash: sum.hash(),
    };
    Ok(found.into_iter().map(summary).collect())
}

/// Runs a command that reads, given as Extended JSON: `{"count": "orders"}`, `{"find": "orders", "filter": {…}}`. False
/// if it finds nothing, or if what it tells first is false or 0.
pub(super) async fn smoke(address: &Address, query: &str) -> Result<bool> {
    let refuse = |why: &str| {
        Error::new(Code::DatabaseError, format!("the smoke query {why}")).next(
            "give a command as JSON, for example {\"find\": \"orders\", \"filter\": {\"paid\": true}, \"limit\": 1}",
        )
    };
    let command = extjson::read(query.as_bytes()).map_err(|e| refuse(&format!("is no command: {}", e.message())))?;
    let name = command.keys().next().cloned().unwrap_or_default();
    if !["count", "find", "aggregate", "distinct"].contains(&name.as_str()) || writes(&command) {
        return Err(refuse("may only count, find, aggregate or distinct, and write nothing"));
    }
    let server = Server::connect(address).await?;
    let databases = server.databases().await?;
    let database = databases.first().ok_or_else(|| refuse("has no database to run on"))?;
    let mut command = command;
    if name == "aggregate" {
        command.entry("cursor".to_owned()).or_insert_with(|| Bson::Document(Document::new()));
    }
    let answer = server.command(database, command).await.map_err(|e| failure("running a smoke query", e))?;
    let falsy = |value: &Bson| match value {
        Bson::Boolean(flag) => !flag,
        Bson::Int32(n) => *n == 0,
        Bson::Int64(n) => *n == 0,
        Bson::Double(n) => *n == 0.0,
        _ => false,
    };
    if let Some(n) = answer.get("n") {
        return Ok(!falsy(n));
    }
    let values = match answer.get_document("cursor") {
        Ok(cursor) => cursor.get_array("firstBatch").cloned().unwrap_or_default(),
        Err(_) => answer.get_array("values").cloned().unwrap_or_default(),
    };
    Ok(match values.first() {
        None => false,
        Some(Bson::Document(first)) => !first.values().next().is_some_and(falsy),
        Some(_) => true,
    })
}

/// Whether an aggregation would write what it finds.
fn writes(command: &Document) -> bool {
    let stages = command.get_array("pipeline").into_iter().flatten();
    let mut stages = stages.filter_map(Bson::as_document).flat_map(Document::keys);
    stages.any(|stage| stage == "$out" || stage == "$merge")
}
