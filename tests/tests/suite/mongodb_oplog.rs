//! Dumps of MongoDB with an oplog: what was written while they were made is applied when they are restored.

use lastgood::Code;
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

fn replaced(whole: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    while let Some(at) = bytes.windows(from.len()).position(|w| w == from) {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
    bytes
}
