//! Dumps of MongoDB with an oplog: what was written while they were made is applied when they are restored.

use lastgood::{Code, ExportFormat};
use testkit::Mongodb;

use crate::world::{World, must_fail};

#[tokio::test]
async fn the_oplog_of_a_dump_of_mongodump_is_applied_before_indexes_are_built() {
    let Some(server) = Mongodb::stand_in() else { return };
    let world = World::new();
    server.python("oplog.py", &["write", &world.path("old").display().to_string()]);
    let vault = world.vault(&server.url("shop")).await;
    for (i, name) in ["plain", "packed", "shop.archive"].into_iter().enumerate() {
        let path = world.path("old").join(name).display().to_string();
        vault.verify(&path).await.unwrap();
        let copy = format!("copy{i}");
        let restored = vault.restore(&path).target(server.url(&copy)).await.unwrap();
        assert!(restored.warnings.iter().all(|w| w.code == "no_checksum"), "{:?}", restored.warnings);
        let expected = "few a view\n\
            later [{'_id': 1, 'x': 'y'}, {'_id': 2}] _id_ x_1\n\
            orders [{'_id': 1, 'n': 5, 'in': {'side': 2}, 'new': True}, {'_id': 2, 'n': 1}] _id_ n_1\n";
        assert_eq!(server.python("oplog.py", &["show", &copy]), expected, "{name}");
    }
    // A part of it, and what nobody may apply.
    let path = world.path("old/plain").display().to_string();
    vault.restore(&path).target(server.url("part")).table("later").await.unwrap_err();
    vault.restore(&path).target(server.url("part")).table("orders").await.unwrap();
    assert_eq!(server.python("oplog.py", &["show", "part"]).lines().count(), 1);
    let refused = vault.restore(&path).target(server.url("refused")).await;
    must_fail(refused, Code::DatabaseDenied, "applyOps");
    assert_eq!(server.python("oplog.py", &["show", "refused"]), "", "it was refused before anything was written");
}

#[tokio::test]
async fn an_oplog_of_more_than_the_dump_holds_is_damage() {
    let Some(server) = Mongodb::stand_in() else { return };
    let world = World::new();
    server.python("oplog.py", &["write", &world.path("old").display().to_string()]);
    let (path, oplog) = (world.path("old/plain"), world.path("old/plain/oplog.bson"));
    let vault = world.vault(&server.url("shop")).await;
    let whole = std::fs::read(&oplog).unwrap();
    let other = replaced(&whole, b"shop.orders", b"shop.others");
    for (bytes, what) in [(&other[..], "shop.others"), (&whole[..whole.len() - 3], "oplog.bson")] {
        std::fs::write(&oplog, bytes).unwrap();
        let copy = server.url("broken");
        must_fail(vault.restore(path.display().to_string()).target(copy).await, Code::Damaged, what);
        assert_eq!(server.python("oplog.py", &["show", "broken"]), "", "what was loaded was taken back");
    }
}

/// The stand-in loses the snapshot of one collection, or has none, and changes what was read of it.
#[tokio::test]
async fn without_its_snapshot_a_backup_takes_the_oplog_along() {
    for version in ["7.0.14", "4.4.29"] {
        let Some(server) = Mongodb::stand_in_of(version) else { return };
        server.python("run.py", &["shop", r#"[{"fill": "still", "n": 5}, {"fill": "moved", "n": 9}]"#]);
        server.python("run.py", &["crm", r#"[{"fill": "other", "n": 5}]"#]);
        let world = World::new();
        let vault = world.vault(&server.url("shop")).await;
        let backup = vault.backup().await.unwrap();
        let shown = vault.show("latest").await.unwrap();
        assert_eq!(shown.point.kind, "oplog", "{version}");
        let told: Vec<_> = shown.warning_list.iter().map(|w| w.code.as_str()).collect();
        assert_eq!(told, ["not_compared"], "{:?}", shown.warning_list);
        assert!(shown.warning_list[0].message.contains("shop.moved"), "{:?}", shown.warning_list);
        assert_eq!((backup.tables, backup.rows), (1, 5), "of those that were not written to");
        let drilled = vault.drill("latest").await.unwrap();
        assert!(drilled.warnings.iter().any(|w| w.code == "not_compared"), "{:?}", drilled.warnings);

        let source = server.python("oplog.py", &["show", "shop"]);
        assert!(source.contains("{'_id': 0, 'pad': 'moved'}") && source.contains("'_id': 6.5"), "{source}");
        vault.restore("latest").target(server.url("copy")).await.unwrap();
        assert_eq!(server.python("oplog.py", &["show", "copy"]), source, "{version}");
        // The archive of old runbooks has it as well.
        let old = world.path("old");
        vault.export("latest").folder(&old).format(ExportFormat::Classic).plain().await.unwrap();
        let archive = old.join(format!("{}.dump.gz", backup.id)).display().to_string();
        vault.restore(&archive).target(server.url("again")).await.unwrap();
        assert_eq!(server.python("oplog.py", &["show", "again"]), source, "{version}");
    }
}

#[tokio::test]
async fn an_oplog_that_rolled_over_fails_the_backup() {
    let Some(server) = Mongodb::stand_in() else { return };
    server.python("run.py", &["shop", r#"[{"fill": "rolled", "n": 9}]"#]);
    let vault = World::new().vault(&server.url("shop")).await;
    must_fail(vault.backup().await, Code::DatabaseChanged, "oplog");
    assert!(vault.list().await.unwrap().is_empty());
}

fn replaced(whole: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    while let Some(at) = bytes.windows(from.len()).position(|w| w == from) {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
    bytes
}
