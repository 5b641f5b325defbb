//! What recover.py unpacks of a PostgreSQL backup is loaded by stock pg_restore.

use std::path::{Path, PathBuf};
use std::process::Command;

use lastgood::{Codec, Settings};
use testkit::{PgVersion, Postgres, tool};

use crate::postgres_life::{SHOP, same_schema};
use crate::world::{PASSPHRASE, World};

#[tokio::test(flavor = "multi_thread")]
async fn pg_restore_15_and_18_load_what_recover_py_unpacks() {
    for version in [PgVersion::V15, PgVersion::V18] {
        let Some(server) = Postgres::shared(version) else { continue };
        server.create("stock_shop");
        server.psql("stock_shop", SHOP);
        loads(server, "stock_shop", Codec::Zstd).await;
        loads(server, "stock_shop", Codec::Gzip).await;
        server.drop("stock_shop");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pg_restore_15_and_18_load_chinook_and_sakila() {
    let Some(data) = testkit::sample_data() else { return };
    for version in [PgVersion::V15, PgVersion::V18] {
        let Some(server) = Postgres::shared(version) else { continue };
        testkit::load_chinook(server, "stock_chinook", &data);
        loads(server, "stock_chinook", Codec::Zstd).await;
        testkit::load_sakila(server, "stock_sakila", &data);
        loads(server, "stock_sakila", Codec::Zstd).await;
        server.drop("stock_chinook");
        server.drop("stock_sakila");
    }
}

async fn loads(server: &Postgres, database: &str, codec: Codec) {
    let world = World::new();
    let mut settings = Settings::default();
    (settings.codec, settings.part_bytes) = (codec, 64 << 10);
    let vault = world.builder(&server.url(database)).settings(settings).open().await.unwrap();
    let id = vault.backup().await.unwrap().id;
    let folder = world.store().join(database).join(id.as_str());
    tool(Command::new("sh").args(["-c", "sha256sum -c *.sha256"]).current_dir(&folder));
    let out = world.path("out");
    recover(&world, &format!("{database}/{id}"), &out);
    // Older builds of pg_restore know gzip only; all of them load files that are not compressed.
    tool(Command::new("find").arg(&out).args(["-name", "*.zst", "-exec", "unzstd", "-q", "--rm", "{}", "+"]));
    assert!(tool(Command::new(server.tool("pg_restore")).arg("-l").arg(&out)).contains("TABLE DATA"));

    let restored = format!("{database}_stock");
    server.create(&restored);
    let what = format!("{database} by pg_restore of {:?}, {codec:?}", server.version());
    tool(server.client("pg_restore").args(["-j2", "--exit-on-error", "-d", &restored]).arg(&out));
    assert_eq!(server.content(&restored), server.content(database), "{what}");
    same_schema(&server.pg_dump_schema(&restored), &server.pg_dump_schema(database), &what);
    server.drop(&restored);
}

/// Runs the store's own recover.py at a terminal where somebody types the passphrase.
pub(crate) fn recover(world: &World, backup: &str, out: &Path) {
    let typed = world.file("typed", PASSPHRASE);
    let terminal = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("interop/with_passphrase.py");
    let mut command = Command::new(testkit::python());
    command.arg(terminal).arg(typed).arg(testkit::python()).arg(world.store().join("recover.py")).arg(backup).arg(out);
    tool(command.stdin(std::process::Stdio::null()));
}
