//! The command line, for `npx lastgood`.

use std::io::Write;

use lastgood::CancellationToken;
use napi_derive::napi;

use crate::run::{Running, Tell, start};

/// Runs the command line with these arguments (the first one is the program's name); tells its exit code.
#[napi]
pub fn cli(arguments: Vec<String>, tell: Tell) -> napi::Result<Running> {
    start(CancellationToken::new(), tell, |_, _| async move {
        let code = lastgood::cli::run(arguments.into_iter().map(Into::into)).await;
        // Only a program of Rust's own flushes by itself at its end.
        let _ = std::io::stdout().flush();
        Ok(code.into())
    })
}
