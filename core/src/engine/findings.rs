//! What a doctor found out about a server, check by check.

use std::time::Duration;

use jiff::Timestamp;

use crate::error::{Code, Error, Result};
use crate::report::Check;

use super::some_of;

/// How long one check may take; a little more than the server gives each of its statements.
const PATIENCE: Duration = Duration::from_secs(75);

/// The checks made so far.
#[derive(Default)]
pub(super) struct Findings {
    checks: Vec<Check>,
    /// Why the connection is of no more use.
    broken: Option<String>,
}

impl Findings {
    /// Makes a check, unless the connection broke before.
    pub(super) async fn add(&mut self, name: &str, check: impl Future<Output = Result<Check>>) {
        if let Some(why) = &self.broken {
            self.checks.push(Check::not_checked(name, why));
            return;
        }
        let check = match tokio::time::timeout(PATIENCE, check).await {
            Ok(Ok(check)) => check,
            Ok(Err(e)) => {
                if e.is_retryable() {
                    self.broken = Some(format!("the connection broke at `{name}`"));
                }
                Check::failed(name, &e)
            }
            Err(_) => {
                self.broken = Some(format!("the server did not answer at `{name}`"));
                Check::fail(name, format!("no answer within {} s", PATIENCE.as_secs()), "check the server's load")
            }
        };
        self.checks.push(check);
    }

    /// All checks, in the order in which they were made.
    pub(super) fn ended(self) -> Vec<Check> {
        self.checks
    }
}

/// The one check that tells why nobody gets to the database, and the rest that could not be made.
pub(super) fn unreachable(checks: &[&str], e: &Error) -> Vec<Check> {
    let cause = match e.code() {
        Code::PoolerMode => "pooler",
        Code::TlsFailed => "tls",
        Code::TooManyConnections => "connections",
        _ => "database",
    };
    let check = |name: &&str| match *name == cause {
        true => Check::failed(name, e),
        false => Check::not_checked(name, "there is no connection to the database"),
    };
    checks.iter().map(check).collect()
}

/// Up to 20 names, and how many more there are.
pub(super) fn listed(names: &[String]) -> String {
    some_of(names, 20)
}

/// Compares the server's clock with this host's, which showed `before` when the server was asked: backups are named by
/// this one, and say what they bring back by that one. In seconds since 1970.
pub(super) fn clocks(before: i64, theirs: i64) -> Check {
    const NAME: &str = "database_clock";
    const NEAR: i64 = 60;
    let (ahead, behind) = (before - theirs, theirs - Timestamp::now().as_second());
    if ahead <= NEAR && behind <= NEAR {
        return Check::pass(NAME, "this host's clock and the server's agree");
    }
    let (off, word) = if ahead > behind { (ahead, "ahead of") } else { (behind, "behind") };
    let message = format!(
        "this host's clock is {off} s {word} the server's: the moments that backups bring back look wrong by that"
    );
    Check::warn(NAME, message, "set both clocks by NTP (chrony, systemd-timesyncd)")
}
