//! The one moment that all readers of a dump see, as far as the deployment offers one.

use jiff::Timestamp;
use mongodb::ClientSession;
use mongodb::bson::{Document, RawDocumentBuf, Timestamp as ClusterTime, doc};

use super::catalog::Collection;
use super::connect::{Server, Topology};
use super::failure::{failure, server_code};
use crate::error::Result;
use crate::report::{ConsistencyPoint, Warning};

/// What readers see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// Everything as it was at this time of the cluster.
    Snapshot(ClusterTime),
    /// Each document as it is when it is read.
    Live,
}

impl Moment {
    /// Takes a snapshot, or says why there is none.
    pub(super) async fn take(server: &Server, collections: &[Collection]) -> Result<(Self, Option<Warning>)> {
        let live = |why: &str| {
            let message = format!(
                "{why}: each document is as it was when it was read, and what was written meanwhile may be there in part"
            );
            (Self::Live, Some(Warning::new("no_snapshot", message)))
        };
        if server.topology == Topology::Standalone {
            return Ok(live("a standalone server gives no snapshot (a replica set of one member does)"));
        }
        if !server.is_at_least(5, 0) {
            return Ok(live(&format!("MongoDB {} gives no snapshot outside transactions", server.version)));
        }
        let read =
            collections.iter().find(|c| in_snapshot(server, c)).and_then(|c| Some((&c.database, c.data.as_deref()?)));
        // Nothing that a snapshot could be of.
        let Some((database, data)) = read else { return Ok((Self::Live, None)) };
        let doing = "taking a snapshot";
        let session = server.client.start_session().snapshot(true).await;
        let mut session = session.map_err(|e| failure(doing, e))?;
        let documents = server.database(database).collection::<RawDocumentBuf>(data);
        let find = documents.find(doc! {}).limit(1).projection(doc! { "_id": 1 }).session(&mut session);
        match find.batch().await {
            Ok(_) => {}
            // Not the storage engine, or not in this kind of deployment.
            Err(e) if matches!(server_code(&e), Some(115 | 72 | 123 | 8000)) => {
                return Ok(live("the server refuses snapshots"));
            }
            Err(e) => return Err(failure(doing, e)),
        }
        Ok(match session.snapshot_time() {
            Some(time) => (Self::Snapshot(time), None),
            None => live("the server tells no time for its snapshots"),
        })
    }

    /// A session whose reads show this moment.
    pub(super) async fn session(&self, server: &Server, collection: &Collection) -> Result<ClientSession> {
        match *self {
            Self::Snapshot(time) if in_snapshot(server, collection) => {
                let session = server.client.start_session().snapshot(true).snapshot_time(time).await;
                session.map_err(|e| failure("opening a session", e))
            }
            _ => server.session().await,
        }
    }

    /// For the manifest. `hello` is what the server said when the moment was taken.
    pub(super) fn point(&self, hello: &Document) -> ConsistencyPoint {
        match self {
            Self::Snapshot(time) => at(*time, "cluster_time"),
            Self::Live => {
                let server = hello.get_datetime("localTime").ok();
                let at = server.and_then(|at| Timestamp::from_millisecond(at.timestamp_millis()).ok());
                let at = at.unwrap_or_else(Timestamp::now);
                ConsistencyPoint { at, kind: "none".to_owned(), position: at.to_string() }
            }
        }
    }

    /// Which of these collections are not part of it.
    pub(super) fn left_out(&self, server: &Server, collections: &[Collection]) -> Vec<Warning> {
        let outside = |c: &&Collection| *self != Self::Live && c.data.is_some() && !in_snapshot(server, c);
        let warning = |c: &Collection| {
            let message =
                format!("{} is capped and not part of the snapshot: it is as it was when it was read", c.full_name());
            Warning::new("outside_snapshot", message)
        };
        collections.iter().filter(outside).map(warning).collect()
    }
}

/// A time of the cluster, for the manifest.
pub(super) fn at(time: ClusterTime, kind: &str) -> ConsistencyPoint {
    ConsistencyPoint {
        at: Timestamp::from_second(i64::from(time.time)).unwrap_or_default(),
        kind: kind.to_owned(),
        position: format!("{}:{}", time.time, time.increment),
    }
}

/// Capped collections can be read in a snapshot since MongoDB 8.0.
fn in_snapshot(server: &Server, collection: &Collection) -> bool {
    collection.data.is_some() && (!collection.is_capped() || server.is_at_least(8, 0))
}
