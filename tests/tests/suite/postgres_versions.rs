//! Every version as a source and every version as a target: what moves from one to the other, and what cannot.
//!
//! Measured by pg_dump of the target's version. From an older or equal version the measure is what the source's pg_dump and the
//! target's pg_restore make of it; to an older version, for which there are no stock tools, the same script run on the target.

use std::path::Path;

use testkit::{PgVersion, Postgres, tool};

use crate::postgres_life::{everything_of_15, same_schema};
use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_object_moves_between_all_versions() {
    let load = |server: &Postgres, database: &str| {
        everything_of_15(server, database);
        // The server of 16 that tests run against brings no extensions along.
        server.psql(database, "DROP EXTENSION IF EXISTS citext CASCADE; DROP TABLE IF EXISTS app.uses_extension; DROP SCHEMA IF EXISTS extensions");
    };
    // pg_dump 16.2 orders the comment of a domain's separate constraint before the constraint, and pg_restore fails.
    moves_between_all("pairs_everything", load, &[PgVersion::V16]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chinook_and_sakila_move_between_all_versions() {
    let Some(data) = testkit::sample_data() else { return };
    moves_between_all("pairs_chinook", |server, database| testkit::load_chinook(server, database, &data), &[]).await;
    moves_between_all("pairs_sakila", |server, database| testkit::load_sakila(server, database, &data), &[]).await;
}

/// `no_stock`: source versions whose own pg_dump fails.
async fn moves_between_all(database: &str, load: impl Fn(&Postgres, &str), no_stock: &[PgVersion]) {
    let servers: Vec<&Postgres> = PgVersion::ALL.into_iter().filter_map(Postgres::shared).collect();
    for server in &servers {
        load(server, database);
    }
    for source in &servers {
        let world = World::new();
        let content = source.content(database);
        let vault = world.vault(&source.url(database)).await;
        let backup = vault.backup().await.unwrap();
        assert_eq!(backup.warnings, [], "{database} of {:?}", source.version());
        for target in &servers {
            let what = format!("{database} from {:?} to {:?}", source.version(), target.version());
            let moved = format!("{database}_from_{}", source.version().number());
            target.drop(&moved);
            let restored = vault.restore(&backup.id).target(target.url(&moved)).await;
            restored.unwrap_or_else(|e| panic!("{what}: {e}"));
            assert_eq!(target.content(&moved), content, "{what}");
            let schema = target.pg_dump_schema(&moved);
            target.drop(&moved);
            let stock_tools =
                source.version().number() <= target.version().number() && !no_stock.contains(&source.version());
            let measure = if stock_tools {
                stock(source, target, database, &world.path("stock.dump"))
            } else {
                target.pg_dump_schema(database)
            };
            same_schema(&known(&schema), &known(&measure), &what);
        }
    }
    for server in &servers {
        server.drop(database);
    }
}

/// A schema without the known differences, in each of which the stock tools lose something.
fn known(schema: &str) -> String {
    // On 16.2 an identity that is added to an unlogged table is logged; ours says what it is to be.
    let schema = schema.replace("ALTER SEQUENCE app.scratch_id_seq SET LOGGED;\n", "");
    // An owner whose privileges were changed on 15 or 16 could VACUUM and REINDEX. Of 17 on this is a privilege, which pg_dump
    // takes away with all others before it grants those of the source.
    schema.replace(
        "TRUNCATE,MAINTAIN,UPDATE ON TABLE app.customers TO lastgood_owner",
        "TRUNCATE,UPDATE ON TABLE app.customers TO lastgood_owner",
    )
}

/// The schema of what the stock tools make of the source.
fn stock(source: &Postgres, target: &Postgres, database: &str, archive: &Path) -> String {
    let moved = format!("{database}_by_stock_tools");
    tool(source.client("pg_dump").args(["-Fc", "-Z0", "-d", database, "-f"]).arg(archive));
    target.create(&moved);
    tool(target.client("pg_restore").args(["--exit-on-error", "-d", &moved]).arg(archive));
    let schema = target.pg_dump_schema(&moved);
    target.drop(&moved);
    schema
}
