//! What a doctor found out about a server, check by check.

use std::time::Duration;

use crate::error::{Code, Error, Result};
use crate::report::Check;

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
    let shown = names.iter().take(20).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(20) {
        0 => shown,
        more => format!("{shown}, and {more} more"),
    }
}
