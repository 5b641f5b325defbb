//! The commands that make collections, indexes and views as they were.

use mongodb::bson::{Bson, Document, doc};

use super::metadata::{Kind, Metadata};

/// The command that creates a collection, a time series or a view under this name.
pub(super) fn create(name: &str, metadata: &Metadata, rehearsal: bool) -> Document {
    let mut command = doc! { "create": name };
    for (key, value) in &metadata.options {
        match key.as_str() {
            // Told by servers, refused by `create`.
            "autoIndexId" | "uuid" | "temp" | "flags" => {}
            // What a drill compares must not go away meanwhile.
            "expireAfterSeconds" if rehearsal => {}
            "clusteredIndex" => {
                if let Bson::Document(index) = value {
                    command.insert(key, index.clone());
                }
            }
            // `bucketMaxSpanSeconds` belongs to a granularity; some servers tell both and take one.
            "timeseries" => {
                let mut options = value.as_document().cloned().unwrap_or_default();
                if options.contains_key("granularity") {
                    options.remove("bucketMaxSpanSeconds");
                }
                command.insert(key, options);
            }
            _ => {
                command.insert(key, value.clone());
            }
        }
    }
    command
}

/// The indexes to be built after the data, those that let documents expire last.
pub(super) fn indexes(metadata: &Metadata, rehearsal: bool) -> Vec<Document> {
    let made_with_the_collection = |index: &Document| {
        index.get_bool("clustered").unwrap_or(false)
            || (metadata.kind != Kind::TimeSeries
                && index.get_document("key").is_ok_and(|key| *key == doc! { "_id": 1 } || is_id(key)))
    };
    let mut indexes: Vec<Document> =
        metadata.indexes.iter().filter(|index| !made_with_the_collection(index)).map(|i| clean(i, rehearsal)).collect();
    indexes.sort_by_key(|index| index.contains_key("expireAfterSeconds"));
    indexes
}

/// `{_id: 1}`, whatever kind of number a driver wrote.
fn is_id(key: &Document) -> bool {
    let one = |value: &Bson| match value {
        Bson::Int32(n) => *n == 1,
        Bson::Int64(n) => *n == 1,
        Bson::Double(n) => (*n - 1.0).abs() < f64::EPSILON,
        _ => false,
    };
    key.len() == 1 && key.get("_id").is_some_and(one)
}

/// A definition as `createIndexes` takes it.
fn clean(index: &Document, rehearsal: bool) -> Document {
    let keep = |(key, value): (&String, &Bson)| {
        let left_out = match key.as_str() {
            // Told by old servers; builds are never in the background any more.
            "ns" | "background" | "safe" => true,
            "expireAfterSeconds" => rehearsal,
            // Indexes of the first format cannot be made any more.
            "v" => matches!(value, Bson::Int32(0) | Bson::Int64(0)) || *value == Bson::Double(0.0),
            _ => false,
        };
        (!left_out).then(|| (key.clone(), value.clone()))
    };
    index.iter().filter_map(keep).collect()
}

/// Views in an order in which each comes after what it looks at.
pub(super) fn views_in_order<'a>(views: &[(&'a str, &'a Metadata)]) -> Vec<&'a str> {
    let mut left: Vec<_> = views.to_vec();
    let mut ordered = Vec::new();
    while !left.is_empty() {
        let ready = |(_, metadata): &(&str, &Metadata)| {
            let on = metadata.options.get_str("viewOn").unwrap_or_default();
            !left.iter().any(|(name, _)| *name == on)
        };
        let (mut now, mut later): (Vec<_>, Vec<_>) = left.iter().partition(|view| ready(view));
        if now.is_empty() {
            // A loop, which the server will refuse in its own words.
            std::mem::swap(&mut now, &mut later);
        }
        ordered.extend(now.into_iter().map(|(name, _)| name));
        left = later;
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(kind: Kind, options: Document, indexes: Vec<Document>) -> Metadata {
        Metadata { options, indexes, uuid: String::new(), collection: "a".into(), kind }
    }

    #[test]
    fn options_become_a_command_in_their_order() {
        let told = metadata(
            Kind::Collection,
            doc! { "autoIndexId": true, "capped": true, "size": 4096, "validator": { "a": { "$gt": 1 } }, "collation": { "locale": "fr" } },
            vec![],
        );
        assert_eq!(
            create("b", &told, false),
            doc! { "create": "b", "capped": true, "size": 4096, "validator": { "a": { "$gt": 1 } }, "collation": { "locale": "fr" } }
        );
        let series = metadata(
            Kind::TimeSeries,
            doc! { "expireAfterSeconds": 60_i64, "timeseries": { "timeField": "t", "granularity": "hours", "bucketMaxSpanSeconds": 3600 } },
            vec![],
        );
        let command = create("s", &series, true);
        assert_eq!(command, doc! { "create": "s", "timeseries": { "timeField": "t", "granularity": "hours" } });
        assert!(create("s", &series, false).contains_key("expireAfterSeconds"));
    }

    #[test]
    fn indexes_are_those_that_do_not_come_with_the_collection() {
        let told = metadata(
            Kind::Collection,
            doc! {},
            vec![
                doc! { "v": 2, "key": { "_id": 1 }, "name": "_id_", "ns": "shop.a" },
                doc! { "v": 2, "key": { "at": 1 }, "name": "ttl", "expireAfterSeconds": 3600 },
                doc! { "v": 2, "key": { "_fts": "text", "_ftsx": 1 }, "name": "t", "weights": { "x": 3 }, "textIndexVersion": 3 },
                doc! { "v": 2, "key": { "h": "hashed" }, "name": "h", "background": true, "ns": "shop.a" },
                doc! { "v": 0, "key": { "_id": -1 }, "name": "back" },
            ],
        );
        assert_eq!(
            indexes(&told, false),
            [
                doc! { "v": 2, "key": { "_fts": "text", "_ftsx": 1 }, "name": "t", "weights": { "x": 3 }, "textIndexVersion": 3 },
                doc! { "v": 2, "key": { "h": "hashed" }, "name": "h" },
                doc! { "key": { "_id": -1 }, "name": "back" },
                doc! { "v": 2, "key": { "at": 1 }, "name": "ttl", "expireAfterSeconds": 3600 },
            ]
        );
        assert!(indexes(&told, true).iter().all(|index| !index.contains_key("expireAfterSeconds")));
        let clustered = metadata(
            Kind::Collection,
            doc! {},
            vec![doc! { "v": 2, "key": { "_id": 1 }, "name": "c", "unique": true, "clustered": true }],
        );
        assert!(indexes(&clustered, false).is_empty());
    }

    #[test]
    fn views_come_after_what_they_look_at() {
        let on = |source: &str| metadata(Kind::View, doc! { "viewOn": source, "pipeline": [] }, vec![]);
        let (a, b, c, x, y) = (on("b"), on("c"), on("orders"), on("y"), on("x"));
        assert_eq!(views_in_order(&[("a", &a), ("b", &b), ("c", &c)]), ["c", "b", "a"]);
        assert_eq!(views_in_order(&[("x", &x), ("y", &y), ("c", &c)]), ["c", "x", "y"]);
    }
}
