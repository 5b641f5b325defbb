//! What calling the library takes in Rust, for `bindings-python/bench.py` to compare with.
//!
//! `overhead VERB DATABASE STORE PASSPHRASE`: runs `backup` or `verify` once on an opened vault and prints its seconds.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench talks, and fails by panicking"
)]

use std::time::Instant;

use lastgood::Vault;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [verb, database, store, passphrase] = &arguments[..] else { panic!("overhead VERB DATABASE STORE PASSPHRASE") };
    let vault = Vault::builder().database(database).store(store).passphrase(passphrase.as_str());
    let vault = vault.open().await.unwrap();
    let begun = Instant::now();
    match verb.as_str() {
        "backup" => drop(vault.backup().await.unwrap()),
        "verify" => drop(vault.verify("latest").await.unwrap()),
        other => panic!("there is no bench of {other}"),
    }
    println!("{}", begun.elapsed().as_secs_f64());
}
