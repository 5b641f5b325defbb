#![allow(clippy::unwrap_used)]

use mongodb::bson::Timestamp;

use super::*;
use crate::selection::{Mapping, Selection};

/// A dump of `shop` with `orders`, its index, and the time series `weather`, on its way to `copy`.
fn changes(change: impl FnOnce(&mut RestoreOptions)) -> Changes {
    let mut options = RestoreOptions::default();
    change(&mut options);
    let place = Place::One("copy".to_owned());
    let incoming = |name: &str, kind| {
        let to = namespace(&options, &place, "shop", name).unwrap();
        let mut metadata = definition(name.to_owned(), Document::new(), kind);
        metadata.indexes = vec![doc! { "v": 2, "key": { "n": 1 }, "name": "n_1", "expireAfterSeconds": 60 }];
        Incoming::new("shop", to, metadata, !options.select.data_only)
    };
    let all = [incoming("orders", Kind::Collection), incoming("weather", Kind::TimeSeries)];
    Changes::new(&options, &place, &all)
}

fn entry(op: &str, ns: &str, o: Document) -> Document {
    let ts = Timestamp { time: 1_763_690_401, increment: 5 };
    // With what belongs to the deployment and the session that it was made in.
    doc! { "lsid": { "id": 7 }, "txnNumber": 1_i64, "op": op, "ns": ns, "ui": 4, "o": o, "o2": { "_id": 1 }, "stmtId": 0,
    "ts": ts, "t": 3_i64, "v": 2_i64, "wall": 1 }
}

fn command(o: Document) -> Document {
    let mut entry = entry("c", "shop.$cmd", o);
    entry.remove("lsid");
    entry
}

fn steps(changes: &mut Changes, entry: &Document) -> Result<Vec<Step>> {
    changes.steps(&RawDocumentBuf::try_from(entry).unwrap())
}

/// The commands, operations and drops that follow from entries.
fn told(changes: &mut Changes, entries: &[Document]) -> Vec<Document> {
    let all = entries.iter().flat_map(|e| steps(changes, e).unwrap());
    let shown = all.map(|step| match step {
        Step::Write(operation) => Document::try_from(operation).unwrap(),
        Step::Drop(namespace) => doc! { "dropped": namespace.to_string() },
        Step::Run { database, command, .. } => doc! { database: command },
    });
    shown.collect()
}

#[test]
fn documents_are_written_under_their_new_name_without_what_is_of_their_old_home() {
    let mut changes = changes(|_| {});
    let diff = doc! { "$v": 2, "diff": { "u": { "n": 2 } } };
    let found = told(
        &mut changes,
        &[
            entry("i", "shop.orders", doc! { "_id": 1 }),
            entry("u", "shop.orders", diff.clone()),
            entry("d", "shop.system.buckets.weather", doc! { "_id": 2 }),
            entry("n", "", doc! { "msg": "periodic noop" }),
            entry("i", "config.transactions", doc! { "_id": 1 }),
            entry("i", "shop.system.profile", doc! { "_id": 1 }),
        ],
    );
    let op = |op: &str, ns: &str, o: Document| doc! { "op": op, "ns": ns, "o": o, "o2": { "_id": 1 } };
    let expected = [
        op("i", "copy.orders", doc! { "_id": 1 }),
        op("u", "copy.orders", diff),
        op("d", "copy.system.buckets.weather", doc! { "_id": 2 }),
    ];
    assert_eq!(found, expected);
    assert!(changes.finish().unwrap().1.is_empty());
}

#[test]
fn what_is_not_selected_and_other_databases_are_left_alone() {
    let mut changes = changes(|o| o.select = Selection { tables: vec!["orders".into()], ..Selection::default() });
    let found = told(
        &mut changes,
        &[
            entry("i", "shop.other", doc! { "_id": 1 }),
            command(doc! { "drop": "other" }),
            command(doc! { "convertToCapped": "other", "size": 4096 }),
            entry("i", "crm.orders", doc! { "_id": 1 }),
            entry("i", "crm.orders", doc! { "_id": 2 }),
        ],
    );
    assert!(found.is_empty(), "{found:?}");
    let warnings = changes.finish().unwrap().1;
    assert_eq!(warnings.iter().map(|w| w.code.as_str()).collect::<Vec<_>>(), ["oplog_not_applied"]);
}

#[test]
fn collections_come_go_and_change() {
    let mut changes = changes(|o| o.rehearsal = true);
    let found = told(
        &mut changes,
        &[
            command(doc! { "create": "new", "capped": true, "size": 4096, "idIndex": { "v": 2 }, "temp": true }),
            command(doc! { "create": "orders" }),
            entry("i", "shop.new", doc! { "_id": 1 }),
            command(doc! { "collMod": "new", "validator": { "a": 1 }, "noPadding": true, "expireAfterSeconds": 5 }),
            command(doc! { "renameCollection": "shop.new", "to": "shop.newer", "dropTarget": false }),
            command(
                doc! { "create": "system.buckets.t", "clusteredIndex": true, "validator": {}, "timeseries": { "timeField": "t" } },
            ),
            command(doc! { "drop": "system.buckets.weather" }),
            command(doc! { "drop": "never" }),
        ],
    );
    let expected = [
        doc! { "copy": { "create": "new", "capped": true, "size": 4096 } },
        doc! { "op": "i", "ns": "copy.new", "o": { "_id": 1 }, "o2": { "_id": 1 } },
        doc! { "copy": { "collMod": "new", "validator": { "a": 1 } } },
        doc! { "admin": { "renameCollection": "copy.new", "to": "copy.newer", "dropTarget": true } },
        doc! { "copy": { "create": "t", "timeseries": { "timeField": "t" } } },
        doc! { "dropped": "copy.weather" },
    ];
    assert_eq!(found, expected);
    assert!(changes.any_validator());
    let made: Vec<_> = changes.made.iter().map(ToString::to_string).collect();
    assert_eq!(made, ["copy.new", "copy.newer", "copy.t"]);
    assert_eq!(told(&mut changes, &[command(doc! { "dropDatabase": 1 })]).len(), 3);
    assert!(changes.finish().unwrap().0.is_empty());
}

#[test]
fn indexes_and_views_are_kept_in_mind() {
    let mut changes = changes(|_| {});
    let found = told(
        &mut changes,
        &[
            command(doc! { "createIndexes": "orders", "v": 2, "key": { "a": 1 }, "name": "a_1", "unique": true }),
            command(doc! { "startIndexBuild": "orders", "indexes": [{ "key": { "b": 1 }, "name": "b_1" }] }),
            command(
                doc! { "commitIndexBuild": "orders", "indexes": [{ "v": 2, "key": { "c": 1, "b": -1 }, "name": "c_1" }] },
            ),
            command(doc! { "dropIndexes": "orders", "index": "n_1" }),
            command(doc! { "collMod": "orders", "index": { "name": "a_1", "hidden": true } }),
            command(
                doc! { "commitIndexBuild": "system.buckets.weather", "indexes": [{ "key": { "meta": 1 }, "name": "m" }] },
            ),
            entry("i", "shop.system.views", doc! { "_id": "shop.v", "viewOn": "orders", "pipeline": [] }),
            entry("i", "shop.system.views", doc! { "_id": "shop.gone", "viewOn": "orders", "pipeline": [] }),
            entry("i", "shop.system.views", doc! { "_id": "shop.weather", "viewOn": "system.buckets.weather" }),
        ],
    );
    assert!(found.is_empty(), "{found:?}");
    assert!(told(&mut changes, &[entry("d", "shop.system.views", doc! { "_id": "shop.gone" })]).is_empty());
    let (incoming, warnings) = changes.finish().unwrap();
    let names: Vec<_> = incoming.iter().map(|i| (i.to.to_string(), i.metadata.kind)).collect();
    let expected = [("copy.orders", Kind::Collection), ("copy.v", Kind::View), ("copy.weather", Kind::TimeSeries)];
    assert_eq!(names, expected.map(|(name, kind)| (name.to_owned(), kind)));
    let indexes = [
        doc! { "v": 2, "key": { "a": 1 }, "name": "a_1", "unique": true, "hidden": true },
        doc! { "v": 2, "key": { "c": 1, "b": -1 }, "name": "c_1" },
    ];
    assert_eq!(incoming[0].metadata.indexes, indexes);
    assert_eq!(warnings[0].code, "index_not_built");
}

#[test]
fn what_cannot_be_done_is_refused() {
    let refused = |change: fn(&mut RestoreOptions), entry: Document| {
        let mut changes = changes(change);
        steps(&mut changes, &entry).unwrap_err().code()
    };
    let only_documents = |o: &mut RestoreOptions| o.select.data_only = true;
    let only_orders = |o: &mut RestoreOptions| o.select.tables = vec!["orders".into()];
    let rename = command(doc! { "renameCollection": "shop.orders", "to": "shop.other" });
    assert_eq!(refused(|_| {}, command(doc! { "importCollection": "orders" })), Code::UnsupportedObject);
    assert_eq!(refused(only_documents, command(doc! { "drop": "orders" })), Code::IncompleteSelection);
    assert_eq!(refused(only_documents, rename.clone()), Code::IncompleteSelection);
    assert_eq!(refused(only_orders, rename), Code::IncompleteSelection);

    let mut changes = changes(|_| {});
    assert!(told(&mut changes, &[entry("i", "shop.missing", doc! { "_id": 1 })]).is_empty());
    let e = changes.finish().unwrap_err();
    assert!(e.code() == Code::Damaged && e.to_string().contains("shop.missing"), "{e}");
    // It was there for a moment, and was gone before anybody listed it.
    assert!(told(&mut changes, &[command(doc! { "drop": "missing" })]).is_empty());
    assert!(changes.finish().is_ok());
}

#[test]
fn names_of_databases_are_mapped() {
    let schemas = [("shop".to_owned(), "two".to_owned())].into();
    let options = RestoreOptions { map: Mapping { schemas, ..Mapping::default() }, ..RestoreOptions::default() };
    let mut changes = Changes::new(&options, &Place::All { prefix: None }, &[]);
    let entries = [command(doc! { "create": "a" }), entry("i", "shop.a", doc! { "_id": 1 })];
    let found = told(&mut changes, &entries);
    assert_eq!(found[0], doc! { "two": { "create": "a" } });
    assert_eq!(found[1].get_str("ns").unwrap(), "two.a");
}
