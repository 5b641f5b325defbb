//! Ctrl-C, and what service managers send: the first one asks, the second one insists.
//!
//! Once a signal was listened for, the runtime catches it for good: nobody else ends the process.

use std::io::{self, Write as _};

use crate::error::Error;
use crate::progress::CancellationToken;

/// Cancels at the first request to end, which lets the work clean up behind itself; ends the process at the second one.
/// A task of its own: it hears also while the work waits for a file that nobody writes to.
pub(super) async fn heed(cancel: CancellationToken) {
    let Ok(mut requests) = Requests::new() else { return };
    if requests.next().await.is_some() {
        cancel.cancel();
        if requests.next().await.is_some() {
            let told = "ended at once, without cleaning up; a prune removes what was left when it is a day old\n";
            // Nobody is left to tell when standard error is gone.
            let _ = std::io::stderr().write_all(told.as_bytes());
            std::process::exit(i32::from(Error::cancelled().kind().exit_code()));
        }
    }
}

#[cfg(unix)]
struct Requests(tokio::signal::unix::Signal, tokio::signal::unix::Signal);

#[cfg(unix)]
impl Requests {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self(signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?))
    }

    async fn next(&mut self) -> Option<()> {
        tokio::select! {
            asked = self.0.recv() => asked,
            asked = self.1.recv() => asked,
        }
    }
}

#[cfg(windows)]
struct Requests(tokio::signal::windows::CtrlC);

#[cfg(windows)]
impl Requests {
    fn new() -> io::Result<Self> {
        tokio::signal::windows::ctrl_c().map(Self)
    }

    async fn next(&mut self) -> Option<()> {
        self.0.recv().await
    }
}
