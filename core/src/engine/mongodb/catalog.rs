//! Which collections there are, and how they are defined.

use mongodb::bson::{Binary, Bson, Document, doc};

use super::connect::Server;
use super::failure::{failure, is_denied, server_code};
use super::metadata::{Kind, Metadata};
use crate::error::{Code, Error, Result};
use crate::report::Warning;

/// What stands before the name of the collection that a time series' data is in.
pub(super) const BUCKETS: &str = "system.buckets.";

/// One collection, time series or view.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Collection {
    pub(super) database: String,
    pub(super) metadata: Metadata,
    /// Where its documents are; none for views.
    pub(super) data: Option<String>,
    /// Bytes of its documents, about.
    pub(super) bytes: u64,
    /// Documents, about.
    pub(super) documents: u64,
}

impl Collection {
    pub(super) fn name(&self) -> &str {
        &self.metadata.collection
    }

    /// `shop.orders`
    pub(super) fn full_name(&self) -> String {
        format!("{}.{}", self.database, self.name())
    }

    pub(super) fn is_capped(&self) -> bool {
        self.metadata.options.get_bool("capped").unwrap_or(false)
    }

    /// Whether it is kept in the order of its `_id` and has no index on it.
    pub(super) fn is_clustered(&self) -> bool {
        self.metadata.options.contains_key("clusteredIndex") || self.metadata.kind == Kind::TimeSeries
    }
}

/// Lists the collections of a database by name, with options; sizes and indexes are not asked for.
pub(super) async fn list(server: &Server, database: &str) -> Result<(Vec<Collection>, Vec<Warning>)> {
    let doing = || format!("listing the collections of {database}");
    let listed = server.list(database, doc! { "listCollections": 1, "cursor": {} }).await;
    let listed = match listed {
        Err(e) if is_denied(&e) => {
            // What a user with roles on some collections alone may ask.
            let command = doc! { "listCollections": 1, "nameOnly": true, "authorizedCollections": true, "cursor": {} };
            let names = server.list(database, command).await.map_err(|e| failure(doing(), e))?;
            let visible: Vec<_> = names.iter().filter_map(|d| d.get_str("name").ok()).collect();
            let message =
                format!("listing the collections of {database} is not allowed; visible: {}", visible.join(", "));
            return Err(Error::new(Code::DatabaseDenied, message)
                .next("give the user the privilege listCollections on the database, as the role `read` has it"));
        }
        listed => listed.map_err(|e| failure(doing(), e))?,
    };
    understand(database, &listed)
}

/// Understands what listCollections answered.
fn understand(database: &str, listed: &[Document]) -> Result<(Vec<Collection>, Vec<Warning>)> {
    let names: Vec<&str> = listed.iter().filter_map(|d| d.get_str("name").ok()).collect();
    let mut warnings = Vec::new();
    let mut collections = Vec::new();
    for entry in listed {
        let unexpected =
            || Error::new(Code::DatabaseError, format!("listing {database}: the server's answer is not as expected"));
        let name = entry.get_str("name").map_err(|_| unexpected())?;
        if is_the_servers(name) {
            continue;
        }
        let kind = Kind::parse(entry.get_str("type").unwrap_or("collection"));
        let buckets = format!("{BUCKETS}{name}");
        let data = match kind {
            Kind::View => None,
            Kind::TimeSeries if names.contains(&buckets.as_str()) => Some(buckets),
            Kind::TimeSeries => {
                let message = format!(
                    "{database}.{name} is a time series without a collection of buckets: its measurements are dumped \
                     one by one, which stock mongorestore loads with an error"
                );
                warnings.push(Warning::new("timeseries_measurements", message));
                Some(name.to_owned())
            }
            Kind::Collection => Some(name.to_owned()),
        };
        let uuid = match entry.get_document("info").ok().and_then(|info| info.get("uuid")) {
            Some(Bson::Binary(Binary { bytes, .. })) => hex::encode(bytes),
            _ => String::new(),
        };
        let metadata = Metadata {
            options: entry.get_document("options").cloned().unwrap_or_default(),
            indexes: Vec::new(),
            uuid,
            collection: name.to_owned(),
            kind,
        };
        collections.push(Collection { database: database.to_owned(), metadata, data, bytes: 0, documents: 0 });
    }
    collections.sort_by(|a, b| a.name().cmp(b.name()));
    Ok((collections, warnings))
}

/// Collections that the server keeps for itself. What applications stored as functions is theirs.
pub(super) fn is_the_servers(name: &str) -> bool {
    name.starts_with("system.") && name != "system.js"
}

/// Reads the indexes of a collection.
pub(super) async fn read_indexes(server: &Server, collection: &mut Collection) -> Result<()> {
    if collection.metadata.kind == Kind::View {
        return Ok(());
    }
    let doing = format!("listing the indexes of {}", collection.full_name());
    let command = doc! { "listIndexes": collection.name(), "cursor": {} };
    let indexes = server.list(&collection.database, command).await;
    collection.metadata.indexes = match indexes {
        // Gone, or never quite there.
        Err(e) if server_code(&e) == Some(26) => return Err(changed(&collection.full_name(), "is gone")),
        indexes => indexes.map_err(|e| failure(doing, e))?,
    };
    Ok(())
}

/// Asks how large a collection is; whoever may not ask gets a guess.
pub(super) async fn read_size(server: &Server, collection: &mut Collection) {
    let Some(data) = &collection.data else { return };
    if let Ok(stats) = server.command(&collection.database, doc! { "collStats": data }).await {
        collection.bytes = number(&stats, "size");
        collection.documents = number(&stats, "count");
    }
}

/// A number of whatever type, as the server sees fit to answer.
pub(super) fn number(document: &Document, key: &str) -> u64 {
    match document.get(key) {
        Some(Bson::Int32(n)) => u64::try_from(*n).unwrap_or(0),
        Some(Bson::Int64(n)) => u64::try_from(*n).unwrap_or(0),
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "`as` saturates, and sizes are whole"
        )]
        Some(Bson::Double(n)) => *n as u64,
        _ => 0,
    }
}

/// A collection that is not any more what it was.
pub(super) fn changed(name: &str, how: &str) -> Error {
    Error::new(Code::DatabaseChanged, format!("{name} {how} since the backup began"))
        .next("run the backup again when no migration is running")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use mongodb::bson::spec::BinarySubtype;

    use super::*;

    #[test]
    fn what_a_mongod_lists_is_understood() {
        let uuid = Binary { subtype: BinarySubtype::Uuid, bytes: vec![0xab; 16] };
        // As mongod 7.0 answers.
        let listed = [
            doc! { "name": "weather", "type": "timeseries", "options": { "timeseries": { "timeField": "t",
            "granularity": "seconds", "bucketMaxSpanSeconds": 3600 } }, "info": { "readOnly": false } },
            doc! { "name": "system.buckets.weather", "type": "collection", "options": { "validator": {},
            "clusteredIndex": true }, "info": { "readOnly": false, "uuid": uuid.clone() } },
            doc! { "name": "system.views", "type": "collection", "options": {}, "info": { "readOnly": false } },
            doc! { "name": "system.js", "type": "collection", "options": {}, "info": { "readOnly": false } },
            doc! { "name": "orders", "type": "collection", "options": { "capped": true, "size": 4096 },
            "info": { "readOnly": false, "uuid": uuid }, "idIndex": { "v": 2, "key": { "_id": 1 }, "name": "_id_" } },
            doc! { "name": "open", "type": "view", "options": { "viewOn": "orders", "pipeline": [] },
            "info": { "readOnly": true } },
        ];
        let (found, warnings) = understand("shop", &listed).unwrap();
        let told: Vec<_> = found.iter().map(|c| (c.name(), c.metadata.kind, c.data.as_deref())).collect();
        assert_eq!(
            told,
            [
                ("open", Kind::View, None),
                ("orders", Kind::Collection, Some("orders")),
                ("system.js", Kind::Collection, Some("system.js")),
                ("weather", Kind::TimeSeries, Some("system.buckets.weather")),
            ]
        );
        assert!(warnings.is_empty() && found[1].is_capped() && found[3].is_clustered());
        assert_eq!(found[1].metadata.uuid, "ab".repeat(16));
        // From 8.3 on a time series is a collection of its own.
        let (found, warnings) = understand("shop", &listed[..1]).unwrap();
        assert_eq!(found[0].data.as_deref(), Some("weather"));
        assert_eq!(warnings[0].code, "timeseries_measurements");
    }
}
