//! PostgreSQL's own regression database: some fifty kinds of objects in every odd shape that its developers thought of.
//!
//! Whether a dump is right is told by comparison with stock pg_dump and pg_restore: what they restore of the database is
//! not in every line the same as the database itself.

use lastgood::Settings;
use testkit::{Postgres, tool};

use crate::postgres_life::same_schema;
use crate::world::World;

const DATABASE: &str = "regression";

/// Tables with another content after a restore than before, by whatever tool, and why.
const EXPLAINED: [(&str, &str); 1] =
    [("public.mvtest_bb", "a materialized view that was not refreshed when what it selects from changed")];

#[tokio::test(flavor = "multi_thread")]
async fn the_regression_database_comes_back_as_from_stock_tools() {
    let Some(server) = Postgres::start_with_regression_database() else { return };
    let world = World::new();
    let content = server.content(DATABASE);
    assert!(content.len() > 300, "{} tables", content.len());

    // The measure: what stock pg_dump and pg_restore make of it.
    let archive = world.path("stock.dump");
    tool(server.client("pg_dump").args(["-Fc", "-Z0", "-d", DATABASE, "-f"]).arg(&archive));
    server.create("stock");
    tool(server.client("pg_restore").args(["--exit-on-error", "-d", "stock"]).arg(&archive));
    let stock = Database::of(&server, "stock");
    let told: Vec<&str> = differences(&stock.content, &content).iter().map(|line| table(line)).collect();
    assert_eq!(told, EXPLAINED.map(|(table, _)| table), "what stock tools restore");

    let mut settings = Settings::default();
    settings.part_bytes = 64 << 10;
    let vault = world.builder(&server.url(DATABASE)).settings(settings).open().await.unwrap();
    let backup = vault.backup().await.unwrap();
    assert_eq!(backup.warnings, []);
    vault.drill(&backup.id).query("SELECT count(*) > 300 FROM pg_catalog.pg_tables").await.unwrap();

    vault.restore(&backup.id).target(server.url("native")).await.unwrap();
    stock.same(&Database::of(&server, "native"), "restored natively");

    let folder = world.path("exported");
    vault.export(&backup.id).folder(&folder).await.unwrap();
    server.create("exported");
    tool(server.client("pg_restore").args(["-j3", "--exit-on-error", "-d", "exported"]).arg(&folder));
    stock.same(&Database::of(&server, "exported"), "restored by pg_restore");

    assert_eq!(server.content(DATABASE), content, "the source was changed");
}

/// What stock tools see of a database.
struct Database {
    schema: String,
    content: Vec<String>,
    sequences: Vec<String>,
    large_objects: Vec<String>,
}

impl Database {
    fn of(server: &Postgres, name: &str) -> Self {
        let lines = |sql: &str| server.psql(name, sql).lines().map(str::to_owned).collect();
        Self {
            schema: server.pg_dump_schema(name),
            content: server.content(name),
            sequences: lines("SELECT schemaname, sequencename, last_value FROM pg_sequences ORDER BY 1, 2"),
            large_objects: lines("SELECT oid, md5(lo_get(oid)) FROM pg_largeobject_metadata ORDER BY 1"),
        }
    }

    fn same(&self, other: &Self, what: &str) {
        same_schema(&other.schema, &self.schema, what);
        for (other, this) in [
            (&other.content, &self.content),
            (&other.sequences, &self.sequences),
            (&other.large_objects, &self.large_objects),
        ] {
            assert_eq!(differences(other, this), [""; 0], "{what}, instead of {:?}", differences(this, other));
        }
    }
}

/// The lines of `a` that are not in `b`.
fn differences<'a>(a: &'a [String], b: &[String]) -> Vec<&'a str> {
    a.iter().filter(|line| !b.contains(line)).map(String::as_str).collect()
}

/// The table that a line of [`Postgres::content`] is about.
fn table(line: &str) -> &str {
    line.split('|').next().unwrap_or_default()
}
