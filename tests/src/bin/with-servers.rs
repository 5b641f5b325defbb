//! `with-servers postgres-15,mariadb COMMAND…`: runs a command while servers of its own stand, named by
//! `LASTGOOD_TEST_POSTGRES_URL`, `LASTGOOD_TEST_MYSQL_URL` and `LASTGOOD_TEST_MONGODB_URL`, URLs of accounts that may do
//! everything.
//!
//! With `MYSQL_TEST_URL` or `MONGODB_TEST_URL` set, `mariadb` and `mongodb` stand for the servers they name.
#![allow(clippy::expect_used, clippy::print_stderr, reason = "a tool of the test run fails by panicking")]

use std::process::{Command, ExitCode};

use testkit::{MariaDb, Mongodb, PgVersion, Postgres};

const USAGE: &str = "usage: with-servers postgres-15|postgres-16|postgres-17|postgres-18|mariadb|mongodb[,…] COMMAND…";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let wanted = arguments.next().expect(USAGE);
    let mut command = Command::new(arguments.next().expect(USAGE));
    command.args(arguments);
    // They stand as long as these hold them.
    let (mut postgres, mut mariadb, mut mongodb) = (None, None, None);
    for name in wanted.split(',') {
        if name == "mariadb" {
            mariadb = MariaDb::outside().or_else(MariaDb::start);
            command.envs(mariadb.as_ref().map(|server| ("LASTGOOD_TEST_MYSQL_URL", server.url(""))));
        } else if name == "mongodb" {
            mongodb = Mongodb::outside().or_else(|| Mongodb::with(&[]));
            command.envs(mongodb.as_ref().map(|server| ("LASTGOOD_TEST_MONGODB_URL", server.url(""))));
        } else {
            let version = PgVersion::ALL.into_iter().find(|v| format!("postgres-{}", v.number()) == name);
            postgres = Postgres::start(version.expect(USAGE));
            command.envs(postgres.as_ref().map(|server| ("LASTGOOD_TEST_POSTGRES_URL", server.url("postgres"))));
        }
    }
    let status = command.status().expect("the command starts");
    drop((postgres, mariadb, mongodb));
    ExitCode::from(u8::try_from(status.code().unwrap_or(1)).unwrap_or(1))
}
