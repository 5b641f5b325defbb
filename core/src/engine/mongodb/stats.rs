//! How a deployment is doing, as far as it tells this user.

use mongodb::bson::{Bson, Document, doc};

use super::address::Address;
use super::catalog::{self, number};
use super::connect::{Server, Topology};
use super::probe::size;
use crate::error::Result;
use crate::id::EngineKind;
use crate::report::{ConnectionStats, DatabaseStats, IndexStats, ReplicaStats, TableStats};

/// Collections and indexes that are told.
const LARGEST: usize = 10;

pub(super) async fn stats(address: &Address) -> Result<DatabaseStats> {
    let server = Server::connect(address).await?;
    let mut stats = DatabaseStats::new(EngineKind::Mongodb, server.version.clone());
    stats.size_bytes = size(&server).await;
    // Both of these need the role clusterMonitor.
    if let Ok(status) = server.command("admin", doc! { "serverStatus": 1 }).await {
        from_status(&mut stats, &status);
    }
    if server.topology == Topology::ReplicaSet
        && let Ok(status) = server.command("admin", doc! { "replSetGetStatus": 1 }).await
    {
        from_members(&mut stats, &status);
    }
    for database in server.databases().await.unwrap_or_default() {
        let Ok((collections, _)) = catalog::list(&server, &database).await else { continue };
        for collection in collections {
            let Some(data) = &collection.data else { continue };
            let Ok(told) = server.command(&database, doc! { "collStats": data }).await else { continue };
            stats.largest_tables.push(TableStats {
                name: collection.full_name(),
                bytes: number(&told, "storageSize") + number(&told, "totalIndexSize"),
                rows: number(&told, "count"),
                dead_rows: 0,
            });
            unused(&server, &collection, &told, &mut stats.unused_indexes).await;
        }
    }
    stats.largest_tables.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.name.cmp(&b.name)));
    stats.largest_tables.truncate(LARGEST);
    stats.unused_indexes.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.name.cmp(&b.name)));
    stats.unused_indexes.truncate(LARGEST);
    Ok(stats)
}

/// Indexes that nobody asked since the server started.
async fn unused(server: &Server, collection: &catalog::Collection, told: &Document, out: &mut Vec<IndexStats>) {
    let command = doc! { "aggregate": collection.name(), "pipeline": [{ "$indexStats": {} }], "cursor": {} };
    let Ok(indexes) = server.list(&collection.database, command).await else { return };
    for index in indexes {
        let name = index.get_str("name").unwrap_or_default();
        let used = index.get_document("accesses").map_or(1, |accesses| number(accesses, "ops"));
        if used == 0 && name != "_id_" {
            let bytes = told.get_document("indexSizes").map_or(0, |sizes| number(sizes, name));
            out.push(IndexStats { name: name.to_owned(), table: collection.full_name(), bytes });
        }
    }
}

fn from_status(stats: &mut DatabaseStats, status: &Document) {
    if let Ok(told) = status.get_document("connections") {
        let used = number(told, "current");
        let active = number(told, "active");
        stats.connections =
            Some(ConnectionStats { used, allowed: used + number(told, "available"), active, idle_in_transaction: 0 });
    }
    if let Ok(cache) = status.get_document("wiredTiger").and_then(|wt| wt.get_document("cache")) {
        let asked = number(cache, "pages requested from the cache");
        let read = number(cache, "pages read into cache");
        #[allow(clippy::cast_precision_loss, reason = "a ratio")]
        if asked > 0 {
            stats.cache_hit_ratio = Some(1.0 - (read.min(asked) as f64) / (asked as f64));
        }
    }
    if let Ok(queue) = status.get_document("globalLock").and_then(|lock| lock.get_document("currentQueue")) {
        stats.waiting_locks = Some(number(queue, "total"));
    }
}

fn from_members(stats: &mut DatabaseStats, status: &Document) {
    let members: Vec<&Document> =
        status.get_array("members").into_iter().flatten().filter_map(Bson::as_document).collect();
    let at = |member: &Document| member.get_datetime("optimeDate").ok().map(|at| at.timestamp_millis());
    let is = |member: &&&Document, state: &str| member.get_str("stateStr").is_ok_and(|told| told == state);
    let Some(primary) = members.iter().find(|m| is(m, "PRIMARY")).and_then(|m| at(m)) else { return };
    #[allow(clippy::cast_precision_loss, reason = "milliseconds of a lag")]
    let lag = |member: &Document| at(member).map(|at| (primary - at).max(0) as f64 / 1000.0);
    for member in &members {
        let me = member.get_bool("self").unwrap_or(false);
        let secondary = is(&member, "SECONDARY");
        if me && secondary {
            stats.replication_lag_seconds = lag(member);
        }
        if secondary {
            let name = member.get_str("name").unwrap_or_default().to_owned();
            stats.replicas.push(ReplicaStats {
                name,
                state: "secondary".to_owned(),
                lag_bytes: None,
                lag_seconds: lag(member),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use mongodb::bson::DateTime;

    use super::*;

    #[test]
    fn what_a_mongod_tells_is_understood() {
        let mut stats = DatabaseStats::new(EngineKind::Mongodb, "7.0.5".into());
        from_status(
            &mut stats,
            &doc! {
                "connections": { "current": 12, "available": 838_848, "active": 3 },
                "globalLock": { "currentQueue": { "total": 2, "readers": 2, "writers": 0 } },
                "wiredTiger": { "cache": { "pages requested from the cache": 1000_i64, "pages read into cache": 50_i64 } },
            },
        );
        let connections = stats.connections.as_ref().map(|c| (c.used, c.allowed, c.active));
        assert_eq!(connections, Some((12, 838_860, 3)));
        assert_eq!((stats.waiting_locks, stats.cache_hit_ratio), (Some(2), Some(0.95)));
        let member = |name: &str, state: &str, at: i64, me: bool| doc! { "name": name, "stateStr": state, "optimeDate": DateTime::from_millis(at), "self": me };
        from_members(
            &mut stats,
            &doc! { "members": [member("a:1", "PRIMARY", 9000, false), member("b:1", "SECONDARY", 6500, true),
            member("c:1", "ARBITER", 0, false)] },
        );
        assert_eq!(stats.replication_lag_seconds, Some(2.5));
        assert_eq!(stats.replicas.len(), 1);
    }
}
