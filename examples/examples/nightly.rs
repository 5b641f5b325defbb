//! A nightly backup, for cron or a systemd timer: back up, prove it, and say how it went.
//!
//! `DATABASE_URL=… BACKUP_STORE_URL=… BACKUP_ENCRYPTION_KEY_FILE=… nightly [--drill]`
//!
//! The exit code tells the kind of error, as the command line's does: 7 and 8 may pass, the others want somebody to look.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "what it says goes to the timer's log")]

use std::process::ExitCode;

use lastgood::{CancellationToken, Phase, Progress, Result, Vault};

#[tokio::main]
async fn main() -> ExitCode {
    // A timer that stops the service gets a store without half a backup.
    let stop = CancellationToken::new();
    let told = stop.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            told.cancel();
        }
    });
    match night(std::env::args().any(|a| a == "--drill"), stop).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            // It names what failed and the next step.
            eprintln!("{}: {e}", e.code());
            e.kind().exit_code().into()
        }
    }
}

async fn night(drill: bool, stop: CancellationToken) -> Result<()> {
    let vault = Vault::from_env().await?;
    let made = vault.backup().tag("nightly").on_progress(tell).cancel(stop.clone()).await?;
    println!("{}: {} rows, {} bytes stored", made.id, made.rows, made.stored_bytes);
    for warning in &made.warnings {
        println!("warning {}: {}", warning.code, warning.message);
    }
    if drill {
        let proof = vault.drill(&made.id).cancel(stop).await?;
        println!("{}: restored in {} ms, {} rows are the same", proof.id, proof.restore_ms, proof.rows);
    } else {
        let proof = vault.verify(&made.id).cancel(stop).await?;
        println!("{}: {} stored bytes are as they were written", proof.id, proof.stored_bytes);
    }
    Ok(())
}

/// One line a phase is enough for a log.
fn tell(progress: Progress) {
    if progress.bytes_done == 0 && progress.phase != Phase::Preparing {
        println!("{:?}", progress.phase);
    }
}
