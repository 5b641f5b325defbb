//! The `lastgood` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(e) => {
            // Standard error is all there is to tell it to.
            let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("no runtime: {e}\n").as_bytes());
            return ExitCode::from(70);
        }
    };
    let code = runtime.block_on(lastgood::cli::run(std::env::args_os()));
    // Whoever asked twice does not wait for a read that hangs.
    runtime.shutdown_background();
    code.into()
}
