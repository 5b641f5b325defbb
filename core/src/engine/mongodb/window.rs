//! The oplog from the beginning of a dump to its end, which makes one moment of documents that were read one after the other.
//!
//! mongodump's way: the time is remembered before anything is read, and when everything was read the entries since then are
//! dumped as `oplog.bson`. Applied to what was read, they lead to the state at the last of them. Only a replica set has one
//! oplog, and only who may read `local` and `config` has this way.

use std::collections::BTreeSet;

use bytes::Bytes;
use futures::{Stream, TryStreamExt as _};
use mongodb::ClientSession;
use mongodb::bson::{Document, RawArrayBuf, RawDocument, RawDocumentBuf, Timestamp as ClusterTime, cstr, doc};
use mongodb::options::{ReadConcern, ReadPreference, SelectionCriteria};

use super::address::{OWN, Place};
use super::catalog::{BUCKETS, changed, is_the_servers};
use super::connect::{Server, Topology};
use super::failure::failure;
use super::moment::Moment;
use super::oplog;
use super::select::{Scope, Taken};
use crate::error::{Code, Error, Result};
use crate::selection::Selection;

/// Bytes handed on at once, about.
const PIECE: usize = 256 << 10;

/// From which entry on the oplog is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Since {
    from: ClusterTime,
    /// The newest entry when the dump began.
    top: ClusterTime,
    /// What was at its end by this time is in everything that is read.
    seen: ClusterTime,
}

impl Since {
    /// Remembers the time; none where there is no oplog that this user may read.
    pub(super) async fn find(server: &Server) -> Option<Self> {
        if server.topology != Topology::ReplicaSet {
            return None;
        }
        let found = async {
            // What a transaction wrote that is not at its end lies before the newest entry.
            let open = doc! { "state": { "$in": ["prepared", "inProgress"] } };
            let order = doc! { "startOpTime": 1 };
            let transactions = server.database("config").collection::<Document>("transactions");
            // As documents will be read: a deployment that cannot do that has no such way.
            let find = transactions.find_one(open).sort(order).read_concern(ReadConcern::majority());
            let open = find.selection_criteria(primary()).await?;
            let open = open.and_then(|open| open.get_document("startOpTime").ok()?.get_timestamp("ts").ok());
            let Some(top) = edge(server, -1).await? else { return Ok(None) };
            let from = open.map_or(top, |open| open.min(top));
            Ok::<_, mongodb::error::Error>(Some(Self { from, top, seen: top }))
        };
        found.await.unwrap_or_else(|e| {
            tracing::debug!(%e, "the oplog cannot be read");
            None
        })
    }

    /// Reaching back to a snapshot that is older than the newest entry.
    pub(super) fn reaching(self, moment: &Moment) -> Self {
        match *moment {
            Moment::Snapshot(time) => Self { from: self.from.min(time), seen: self.seen.min(time), ..self },
            Moment::Live => self,
        }
    }

    /// A session whose reads show nothing older, whichever member they go to.
    pub(super) async fn session(&self, server: &Server) -> Result<ClientSession> {
        let session = server.client.start_session().causal_consistency(true).await;
        let mut session = session.map_err(|e| failure("opening a session", e))?;
        session.advance_operation_time(self.top);
        Ok(session)
    }

    /// The newest entry by now, which everything that was read is part of.
    pub(super) async fn end(&self, server: &Server) -> Result<ClusterTime> {
        self.check_kept(server).await?;
        let top = edge(server, -1).await.map_err(|e| failure("reading the oplog", e))?;
        top.ok_or_else(|| Error::new(Code::DatabaseChanged, "the oplog is empty").next("run the backup again"))
    }

    /// Looks whether the oplog still begins before this, and was not rolled back behind it.
    ///
    /// # Errors
    /// `DatabaseChanged`.
    pub(super) async fn check_kept(&self, server: &Server) -> Result<()> {
        let doing = "reading the oplog";
        let oldest = edge(server, 1).await.map_err(|e| failure(doing, e))?;
        if oldest.is_none_or(|oldest| oldest > self.from) {
            return Err(Error::new(
                Code::DatabaseChanged,
                "the oplog does not reach back to the beginning of the backup any more",
            )
            .next("make the oplog larger (replSetResizeOplog), or back up when less is written"));
        }
        let top = one(server, doc! { "ts": self.top }, doc! {}).await;
        match top.map_err(|e| failure(doing, e))? {
            Some(_) => Ok(()),
            None => {
                Err(Error::new(Code::DatabaseChanged, "what was written as the backup began was rolled back since")
                    .next("run the backup again, when the replica set has a primary that stays"))
            }
        }
    }

    /// What of the oplog is kept, up to its end.
    pub(super) fn entries<'a>(
        self,
        server: &'a Server,
        end: ClusterTime,
        mut window: Window<'a>,
        done: impl FnOnce(BTreeSet<String>) + Send + 'a,
    ) -> impl Stream<Item = Result<Bytes>> + Send + 'a {
        async_stream::try_stream! {
            let doing = "reading the oplog";
            let oplog = server.database("local").collection::<RawDocumentBuf>("oplog.rs");
            let between = doc! { "ts": { "$gte": self.from, "$lte": end } };
            let mut cursor = oplog.find(between).selection_criteria(primary()).await.map_err(|e| failure(doing, e))?;
            let (mut piece, mut last) = (Vec::new(), None);
            while let Some(entry) = cursor.try_next().await.map_err(|e| failure(doing, e))? {
                last = entry.get_timestamp("ts").ok();
                let new = last > Some(self.seen) || oplog::is_open(&entry)?;
                let kept = if new { window.keep(&entry)? } else { None };
                if let Some(kept) = kept {
                    piece.extend_from_slice(kept.as_bytes());
                }
                if piece.len() >= PIECE {
                    yield Bytes::from(std::mem::take(&mut piece));
                }
            }
            // What fell out of it while it was read would be missing.
            self.check_kept(server).await?;
            if last != Some(end) {
                Err(rolled_back())?;
            }
            done(window.touched);
            if !piece.is_empty() {
                yield piece.into();
            }
        }
    }
}

fn rolled_back() -> Error {
    Error::new(Code::DatabaseChanged, "what was written since the backup began was rolled back")
        .next("run the backup again, when the replica set has a primary that stays")
}

fn primary() -> SelectionCriteria {
    SelectionCriteria::ReadPreference(ReadPreference::Primary)
}

/// The time of the oldest entry (1) or of the newest (-1).
async fn edge(server: &Server, direction: i32) -> mongodb::error::Result<Option<ClusterTime>> {
    let entry = one(server, doc! {}, doc! { "$natural": direction }).await?;
    Ok(entry.and_then(|entry| entry.get_timestamp("ts").ok()))
}

/// The first such entry.
async fn one(server: &Server, filter: Document, order: Document) -> mongodb::error::Result<Option<Document>> {
    let oplog = server.database("local").collection::<Document>("oplog.rs");
    oplog.find_one(filter).sort(order).selection_criteria(primary()).await
}

/// Which entries are of what is dumped.
#[derive(Debug)]
pub(super) struct Window<'a> {
    pub(super) place: &'a Place,
    pub(super) select: &'a Selection,
    /// Collections whose documents are written to.
    pub(super) touched: BTreeSet<String>,
}

impl Window<'_> {
    /// An entry without what is of others; none if nothing is left.
    ///
    /// # Errors
    /// `DatabaseChanged` for what cannot be applied again.
    fn keep(&mut self, entry: &RawDocument) -> Result<Option<RawDocumentBuf>> {
        let operation = entry.get_str("op").unwrap_or_default();
        let namespace = entry.get_str("ns").unwrap_or_default();
        let (database, collection) = namespace.split_once('.').unwrap_or((namespace, ""));
        match operation {
            "i" | "u" | "d" if collection == "system.views" => self.keep_view(entry, database),
            "i" | "u" | "d" => {
                let owner = collection.strip_prefix(BUCKETS).unwrap_or(collection);
                if !self.taken(database, owner)?.is_some_and(|taken| taken.documents) {
                    return Ok(None);
                }
                self.touched.insert(format!("{database}.{owner}"));
                Ok(Some(entry.to_owned()))
            }
            "c" => self.keep_command(entry, database),
            _ => Ok(None),
        }
    }

    fn taken(&self, database: &str, collection: &str) -> Result<Option<Taken>> {
        if OWN.contains(&database) || !self.place.holds(database) || is_the_servers(collection) {
            return Ok(None);
        }
        Ok(Scope::new(self.select)?.takes(database, collection))
    }

    fn takes(&self, database: &str, collection: &str) -> Result<bool> {
        self.taken(database, collection).map(|taken| taken.is_some())
    }

    fn keep_view(&self, entry: &RawDocument, database: &str) -> Result<Option<RawDocumentBuf>> {
        let update = entry.get_str("op").is_ok_and(|op| op == "u");
        let named = entry.get_document(if update { "o2" } else { "o" });
        let full = named.and_then(|named| named.get_str("_id")).unwrap_or_default();
        let name = full.strip_prefix(database).and_then(|name| name.strip_prefix('.')).unwrap_or_default();
        if !self.takes(database, name)? {
            return Ok(None);
        }
        match !update || oplog::object(entry)?.get_str("viewOn").is_ok() {
            true => Ok(Some(entry.to_owned())),
            false => Err(changed(full, "was changed")),
        }
    }

    fn keep_command(&mut self, entry: &RawDocument, database: &str) -> Result<Option<RawDocumentBuf>> {
        let command = oplog::object(entry)?;
        if let Ok(nested) = command.get_array("applyOps") {
            let (mut kept, mut left_out) = (RawArrayBuf::new(), false);
            for inner in nested {
                let inner = inner.ok().and_then(|inner| inner.as_document());
                let inner = inner.ok_or_else(|| oplog::damaged("an applyOps holds no list of entries"))?;
                match self.keep(inner)? {
                    Some(inner) => kept.push(inner),
                    None => left_out = true,
                }
            }
            // An empty one may be a link of a transaction.
            let linked = entry.get("lsid").ok().flatten().is_some();
            return match left_out {
                false => Ok(Some(entry.to_owned())),
                true if kept.is_empty() && !linked => Ok(None),
                true => with_operations(entry, command, &kept).map(Some),
            };
        }
        let command = oplog::command(entry)?;
        let (name, collection) = oplog::of_collection(&command)?;
        let owner = collection.strip_prefix(BUCKETS).unwrap_or(collection);
        let taken = match name {
            "commitTransaction" | "abortTransaction" => return Ok(Some(entry.to_owned())),
            "renameCollection" => {
                for name in ["renameCollection", "to"] {
                    let full = command.get_str(name).unwrap_or_default();
                    let (database, collection) = full.split_once('.').unwrap_or_default();
                    if self.takes(database, collection)? {
                        return Err(changed(full, "was renamed, or got its name,"));
                    }
                }
                return Ok(None);
            }
            "dropDatabase" => self.place.holds(database),
            _ => self.takes(database, owner)?,
        };
        match name {
            _ if !taken => Ok(None),
            "create" | "drop" => {
                self.touched.insert(format!("{database}.{owner}"));
                Ok(Some(entry.to_owned()))
            }
            "dropDatabase" | "createIndexes" | "startIndexBuild" | "commitIndexBuild" | "abortIndexBuild"
            | "dropIndexes" | "deleteIndexes" | "dropIndex" | "deleteIndex" | "collMod" => Ok(Some(entry.to_owned())),
            other => Err(changed(&format!("{database}.{owner}"), &format!("was changed by `{other}`"))),
        }
    }
}

/// A list of operations with these in place of its own.
fn with_operations(entry: &RawDocument, command: &RawDocument, operations: &RawArrayBuf) -> Result<RawDocumentBuf> {
    let unreadable = |_| oplog::damaged("an entry cannot be read");
    let mut changed = RawDocumentBuf::new();
    for element in command.iter() {
        match element.map_err(unreadable)? {
            (key, _) if key == cstr!("applyOps") => changed.append(key, operations),
            (key, value) => changed.append(key, value),
        }
    }
    let mut whole = RawDocumentBuf::new();
    for element in entry.iter() {
        match element.map_err(unreadable)? {
            (key, _) if key == cstr!("o") => whole.append(key, &changed),
            (key, value) => whole.append(key, value),
        }
    }
    Ok(whole)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn entry(op: &str, ns: &str, o: Document) -> Document {
        doc! { "op": op, "ns": ns, "o": o, "ts": ClusterTime { time: 7, increment: 1 } }
    }

    /// What is kept of an entry in a dump of `shop` without `log`, and what is touched.
    fn kept(entry: &Document) -> Result<(Option<Document>, Vec<String>)> {
        let (exclude_tables, exclude_data) = (vec!["log".into()], vec!["empty".into()]);
        let select = Selection { exclude_tables, exclude_data, ..Selection::default() };
        let place = Place::One("shop".to_owned());
        let mut window = Window { place: &place, select: &select, touched: BTreeSet::new() };
        let kept = window.keep(&RawDocumentBuf::try_from(entry).unwrap())?;
        Ok((kept.map(|kept| Document::try_from(kept).unwrap()), window.touched.into_iter().collect()))
    }

    #[test]
    fn what_is_dumped_is_kept_and_what_is_of_others_is_not() {
        let command = |o: Document| entry("c", "shop.$cmd", o);
        for own in [
            entry("i", "shop.orders", doc! { "_id": 1 }),
            entry("u", "shop.system.buckets.orders", doc! { "$v": 2 }),
            command(doc! { "create": "orders" }),
        ] {
            assert_eq!(kept(&own).unwrap(), (Some(own.clone()), vec!["shop.orders".to_owned()]));
        }
        for own in [
            command(doc! { "createIndexes": "orders", "key": { "a": 1 }, "name": "a_1" }),
            entry("i", "shop.system.views", doc! { "_id": "shop.v", "viewOn": "orders" }),
            entry("c", "admin.$cmd", doc! { "commitTransaction": 1 }),
        ] {
            assert_eq!(kept(&own).unwrap(), (Some(own.clone()), vec![]));
        }
        for other in [
            entry("n", "", doc! { "msg": "periodic noop" }),
            entry("i", "crm.orders", doc! { "_id": 1 }),
            entry("i", "shop.log", doc! { "_id": 1 }),
            entry("i", "shop.empty", doc! { "_id": 1 }),
            entry("i", "shop.system.views", doc! { "_id": "shop.log", "viewOn": "orders" }),
            entry("c", "crm.$cmd", doc! { "renameCollection": "crm.a", "to": "crm.b" }),
            command(doc! { "drop": "log" }),
        ] {
            assert_eq!(kept(&other).unwrap(), (None, vec![]), "{other}");
        }
    }

    #[test]
    fn lists_of_operations_keep_what_is_dumped() {
        let (own, other) = (entry("i", "shop.orders", doc! { "_id": 1 }), entry("i", "crm.a", doc! { "_id": 1 }));
        let list = |inner: &[&Document]| {
            let inner: Vec<Document> = inner.iter().map(|d| (*d).clone()).collect();
            entry("c", "admin.$cmd", doc! { "applyOps": inner, "partialTxn": true })
        };
        assert_eq!(kept(&list(&[&own, &other, &own])).unwrap().0, Some(list(&[&own, &own])));
        assert_eq!(kept(&list(&[&other])).unwrap().0, None);
        let mut linked = list(&[&other]);
        linked.insert("lsid", doc! { "id": 7 });
        let mut empty = list(&[]);
        empty.insert("lsid", doc! { "id": 7 });
        assert_eq!(kept(&linked).unwrap().0, Some(empty));
    }

    #[test]
    fn what_cannot_be_applied_again_fails_the_backup() {
        for bad in [
            doc! { "renameCollection": "shop.log", "to": "shop.orders", "dropTarget": true },
            doc! { "renameCollection": "shop.orders", "to": "crm.orders" },
            doc! { "importCollection": "orders" },
            doc! { "convertToCapped": "orders", "size": 4096 },
        ] {
            assert_eq!(kept(&entry("c", "shop.$cmd", bad)).unwrap_err().code(), Code::DatabaseChanged);
        }
        let mut view = entry("u", "shop.system.views", doc! { "$v": 2, "diff": {} });
        view.insert("o2", doc! { "_id": "shop.v" });
        assert_eq!(kept(&view).unwrap_err().code(), Code::DatabaseChanged);
    }

    #[test]
    fn a_snapshot_that_is_older_than_the_newest_entry_counts() {
        let [early, late] = [3, 5].map(|increment| ClusterTime { time: 7, increment });
        let since = Since { from: late, top: late, seen: late };
        let reaching = since.reaching(&Moment::Snapshot(early));
        assert_eq!((reaching.from, reaching.seen, reaching.top), (early, early, late));
        assert_eq!(since.reaching(&Moment::Live), since);
    }
}
