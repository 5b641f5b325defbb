//! All end-to-end tests in one program, so that they share the servers they start.
//!
//! One suite alone: `cargo test -p lastgood-tests layers::`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod alerts;
mod archives;
mod bad_input;
mod by_hand;
mod classic;
mod corruption;
mod doctor;
mod examples;
mod faults;
mod half_restored;
mod hygiene;
mod interop;
mod keys;
mod layers;
mod logs;
mod mariadb_around;
mod mariadb_classic;
mod mariadb_cut;
mod mariadb_life;
mod mariadb_several;
mod memory;
mod memory_promised;
mod mongodb_awkward;
mod mongodb_life;
mod mongodb_oplog;
mod mysql_8;
mod observed;
mod postgres_awkward;
mod postgres_cut;
mod postgres_ddl;
mod postgres_globals;
mod postgres_life;
mod postgres_round_trips;
mod postgres_scale;
mod postgres_select;
mod postgres_versions;
mod promote;
mod prune;
mod random;
mod readme;
mod recover;
mod regression_database;
mod replicas;
mod runbooks;
mod schedule;
mod secrets;
mod sqlite_beside;
mod sqlite_life;
mod stock_tools;
mod stores;
mod subscriptions;
mod testkit_itself;
mod vectors;
mod world;
