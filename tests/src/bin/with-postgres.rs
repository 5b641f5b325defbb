//! `with-postgres 15 COMMAND…`: runs a command while a PostgreSQL server of its own stands, named by `LASTGOOD_TEST_POSTGRES_URL`.
#![allow(clippy::expect_used, clippy::print_stderr, reason = "a tool of the test run fails by panicking")]

use std::process::{Command, ExitCode};

use testkit::{PgVersion, Postgres};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let wanted = arguments.next().and_then(|version| version.parse::<u32>().ok());
    let version = PgVersion::ALL
        .into_iter()
        .find(|v| Some(v.number()) == wanted)
        .expect("usage: with-postgres 15|16|17|18 COMMAND…");
    let mut command = Command::new(arguments.next().expect("a command"));
    command.args(arguments);
    let server = Postgres::start(version);
    if let Some(server) = &server {
        command.env("LASTGOOD_TEST_POSTGRES_URL", server.url("postgres"));
    }
    let status = command.status().expect("the command starts");
    drop(server);
    ExitCode::from(u8::try_from(status.code().unwrap_or(1)).unwrap_or(1))
}
