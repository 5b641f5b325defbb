//! The `lastgood` command.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    lastgood::cli::run(std::env::args_os()).await.into()
}
