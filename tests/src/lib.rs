//! What the tests stand on: real servers started for one test run, a store that fails when told to, a clock that
//! stands still, sample data, and child processes that are measured or killed.
//!
//! Servers come from Debian, PyPI and npm packages that `tests/run` installs. They run as an unprivileged user, on
//! free ports of the loopback address, in temporary folders, and end with the test process however it ends.

// A testkit fails by panicking: the message is what the person who runs the test reads.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, clippy::print_stdout)]

mod azurite;
mod certificates;
mod child;
mod clock;
mod database_server;
mod env;
mod faulty;
mod listener;
mod mariadb;
mod mongodb;
mod mysql8;
mod pgbouncer;
mod postgres;
mod proxy;
mod sample;
mod seaweedfs;
mod server;
mod skip;

pub use azurite::Azurite;
pub use certificates::{Authority, Certificate};
pub use child::{Finished, peak_memory, run_and_kill};
pub use clock::ManualClock;
pub use database_server::{DatabaseServer, each_server, each_server_and_mongodb};
pub use env::{node_modules, python, venv};
pub use faulty::{Call, Fault, FaultyStore, Verb};
pub use listener::{Listener, Received};
pub use mariadb::{MariaDb, MariaDbSetup};
pub use mongodb::{MongoDatabase, Mongodb};
pub use mysql8::{MySql8, Sha2, Table};
pub use pgbouncer::PgBouncer;
pub use postgres::{PgVersion, Postgres, Setup};
pub use proxy::Proxy;
pub use sample::{
    load_chinook, load_chinook_mariadb, load_chinook_sqlite, load_sakila, load_sakila_mariadb, sample_data,
};
pub use seaweedfs::SeaweedFs;
pub use server::{tool, wait_until};
pub use skip::{missing, skip};
