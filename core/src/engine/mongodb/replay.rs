//! Applies the oplog of a dump: documents by `applyOps`, as the bytes that they are; definitions by the commands that make
//! them.
//!
//! Entries may be of what the dump holds already, since documents were read while they were written: applied again in their
//! order, they lead to the state at the oplog's end.

use futures::TryStreamExt as _;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, RawArrayBuf, RawBson, RawDocumentBuf, cstr, doc, rawdoc, serialize_to_raw_document_buf};

use super::changes::{Changes, Step, text};
use super::connect::Server;
use super::documents::Documents;
use super::failure::{failure, is_denied, server_code};
use super::incoming::Namespace;
use crate::engine::ByteStream;
use crate::error::{Code, Error, Result};

/// Bytes of operations that are applied at once, about. One that is larger goes alone: a command takes 16 MiB.
const BATCH: usize = 2 << 20;

/// Operations that are applied at once, at most.
const MOST: usize = 1000;

/// An oplog on its way into a database.
#[derive(Debug)]
pub(super) struct Replay {
    pub(super) changes: Changes,
    batch: Vec<RawDocumentBuf>,
    batch_bytes: usize,
}

/// Finds out whether the server lets this user apply an oplog. Deletes a document that is not there.
///
/// # Errors
/// `DatabaseDenied`, `UnsupportedDatabase`.
pub(super) async fn check(server: &Server, to: &Namespace) -> Result<()> {
    const NEXT: &str = "to have each collection as it was when it was read, leave the dump's oplog.bson out";
    let operation = doc! { "op": "d", "ns": to.to_string(), "o": { "_id": ObjectId::new() } };
    let command = doc! { "applyOps": [operation], "allowAtomic": false };
    let what = "the dump has an oplog, which has to be applied by applyOps";
    match server.database("admin").run_command(command).await {
        Err(e) if is_denied(&e) => {
            let e = failure(what, e);
            Err(e.next(format!("give the user the role `restore` on admin; {NEXT}")))
        }
        // No such command, or not here.
        Err(e) if matches!(server_code(&e), Some(59 | 115)) => {
            let message = failure(what, e).message().to_owned();
            Err(Error::new(Code::UnsupportedDatabase, message)
                .next(format!("restore into a replica set, past any mongos; {NEXT}")))
        }
        // There is no such collection yet.
        Ok(_) | Err(_) => Ok(()),
    }
}

impl Replay {
    pub(super) fn new(changes: Changes) -> Self {
        Self { changes, batch: Vec::new(), batch_bytes: 0 }
    }

    /// Applies a piece of the oplog, which ends with an entry.
    pub(super) async fn apply(&mut self, server: &Server, mut data: ByteStream<'_>) -> Result<()> {
        let mut entries = Documents::default();
        while let Some(bytes) = data.try_next().await? {
            entries.push(&bytes);
            while let Some(batch) = entries.full_batch()? {
                self.apply_all(server, batch).await?;
            }
        }
        self.apply_all(server, entries.finish()?).await?;
        self.flush(server).await
    }

    async fn apply_all(&mut self, server: &Server, entries: Vec<RawDocumentBuf>) -> Result<()> {
        for entry in entries {
            for step in self.changes.steps(&entry)? {
                match step {
                    Step::Write(operation) => {
                        let bytes = operation.as_bytes().len();
                        if self.batch_bytes + bytes > BATCH || self.batch.len() >= MOST {
                            self.flush(server).await?;
                        }
                        self.batch_bytes += bytes;
                        self.batch.push(operation);
                    }
                    Step::Drop(namespace) => {
                        self.flush(server).await?;
                        server.drop_collection(&namespace.database, &namespace.collection).await?;
                    }
                    Step::Run { database, doing, command } => {
                        self.flush(server).await?;
                        let run = server.database(&database).run_command(command).await;
                        run.map_err(|e| failure(format!("applying the dump's oplog: {doing}"), e))?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Lets the server apply what has gathered.
    async fn flush(&mut self, server: &Server) -> Result<()> {
        self.batch_bytes = 0;
        let batch = std::mem::take(&mut self.batch);
        let (Some(first), count) = (batch.first(), batch.len()) else { return Ok(()) };
        let doing = format!("applying {count} entries of the dump's oplog, the first to {}", text(first, "ns"));
        let admin = server.database("admin");
        let operations: RawArrayBuf = batch.into_iter().map(RawBson::Document).collect();
        // Each by itself: all of them at once might be more than one entry of the server's own oplog holds.
        let mut command = rawdoc! { "applyOps": operations, "allowAtomic": false };
        if self.changes.any_validator() {
            command.append(cstr!("bypassDocumentValidation"), true);
        }
        if let Some(Ok(concern)) = admin.write_concern().map(serialize_to_raw_document_buf) {
            command.append(cstr!("writeConcern"), concern);
        }
        let told = admin.run_raw_command(command).await.map_err(|e| failure(&doing, e))?;
        let refused = |result: &Bson| *result == Bson::Boolean(false);
        match told.get_array("results").ok().and_then(|results| results.iter().position(refused)) {
            None => Ok(()),
            Some(at) => {
                Err(Error::new(Code::DatabaseError, format!("{doing}: the server did not apply entry {}", at + 1))
                    .next("see the server's log"))
            }
        }
    }
}
