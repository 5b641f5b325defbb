//! The sample databases that lie beside the repository where they are: Chinook and Sakila.

use std::path::{Path, PathBuf};

use crate::mariadb::MariaDb;
use crate::postgres::Postgres;
use crate::server::tool;
use crate::skip::skip;

/// The folder of the sample data: `$LASTGOOD_SAMPLE_DATA`, or `../shared/data` beside the repository. None: it is not there, and the test was reported as skipped.
#[must_use]
pub fn sample_data() -> Option<PathBuf> {
    let given = std::env::var_os("LASTGOOD_SAMPLE_DATA").map(PathBuf::from);
    let folder = given.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"));
    if folder.join("chinook").is_dir() {
        return Some(folder);
    }
    skip("no sample data");
    None
}

/// Makes `database` on this server and fills it with Chinook.
///
/// # Panics
/// When psql reports an error.
pub fn load_chinook(server: &Postgres, database: &str, data: &Path) {
    server.create(database);
    let script = std::fs::read_to_string(data.join("chinook/chinook-postgresql.sql")).unwrap();
    // The script makes and enters a database of its own; tests need several of their own.
    let own = |line: &&str| !["DROP DATABASE", "CREATE DATABASE", "\\c "].iter().any(|begin| line.starts_with(begin));
    let script: Vec<&str> = script.lines().filter(own).collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), script.join("\n")).unwrap();
    server.psql_file(database, file.path());
}

/// Makes `database` on this server and fills it with Sakila.
///
/// # Panics
/// When psql reports an error.
pub fn load_sakila(server: &Postgres, database: &str, data: &Path) {
    server.create(database);
    for file in ["sakila-postgres-schema.sql", "sakila-postgres-data.sql"] {
        server.psql_file(database, &data.join("sakila").join(file));
    }
}

/// Makes `database` on this server and fills it with Chinook.
///
/// # Panics
/// When the client reports an error.
pub fn load_chinook_mariadb(server: &MariaDb, database: &str, data: &Path) {
    load_mariadb(server, database, &[data.join("chinook/chinook-mysql.sql")]);
}

/// Makes `database` on this server and fills it with Sakila: views, triggers, routines, geometry, ENUM and SET.
///
/// # Panics
/// When the client reports an error.
pub fn load_sakila_mariadb(server: &MariaDb, database: &str, data: &Path) {
    let file = |name| data.join("sakila").join(name);
    load_mariadb(server, database, &[file("sakila-mysql-schema.sql"), file("sakila-mysql-data.sql")]);
}

/// Runs scripts that make and enter a database of their own in `database` instead.
fn load_mariadb(server: &MariaDb, database: &str, scripts: &[PathBuf]) {
    server.create(database);
    let others = ["DROP DATABASE", "CREATE DATABASE", "DROP SCHEMA", "CREATE SCHEMA", "USE "];
    let own = |line: &&str| !others.iter().any(|begin| line.starts_with(begin));
    let mut all = String::new();
    for script in scripts {
        let script = std::fs::read_to_string(script).unwrap();
        // Sakila's view names its tables with their database.
        script.lines().filter(own).for_each(|line| all.extend([&line.replace(" sakila.", " "), "\n"]));
    }
    server.sql(database, &all);
}

/// Makes the SQLite file `database` and fills it with Chinook, by the stock command line.
///
/// # Panics
/// When sqlite3 reports an error.
pub fn load_chinook_sqlite(database: &Path, data: &Path) {
    let script = data.join("chinook/chinook-sqlite.sql");
    tool(std::process::Command::new("sqlite3").arg("-bail").arg(database).arg(format!(".read {}", script.display())));
}
