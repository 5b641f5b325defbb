//! Alerts: who is told when something failed, works again, or looks odd.
//!
//! An alert never fails what it is about: what cannot be delivered is logged and counted.

mod deliver;
mod http;
mod request;

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Code, Error, Result};
use crate::format::layout;
use crate::ops::session::Session;
use crate::report::Warning;
use crate::secret::Secret;

/// The version of [`AlertEvent`]'s shape.
const VERSION: u32 = 1;

/// The verbs whose end is worth an alert.
const WATCHED: [&str; 5] = ["backup", "verify", "drill", "prune", "run_due"];

/// Who is told. URLs that hold a token are secrets.
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Alerts {
    /// A Slack incoming webhook.
    pub slack_url: Option<Secret>,
    /// A Discord webhook.
    pub discord_url: Option<Secret>,
    /// The integration key of a PagerDuty service (Events API v2). Incidents are resolved on recovery.
    pub pagerduty_key: Option<Secret>,
    /// Where PagerDuty's events go. Default: `https://events.pagerduty.com/v2/enqueue`.
    pub pagerduty_url: Option<String>,
    /// A URL that gets every event as JSON by POST.
    pub webhook_url: Option<Secret>,
    /// Signs the webhook's body: the header `Lastgood-Signature: t=SECONDS,v1=HEX` holds HMAC-SHA256 of `SECONDS.BODY`.
    pub webhook_secret: Option<Secret>,
    /// A healthchecks-style URL for backups: `/start`, the URL itself on success, `/fail`.
    pub ping_url: Option<Secret>,
    /// Program and arguments that get every event as JSON on standard input.
    pub command: Vec<String>,
    /// Tell people of every success too, not only of recoveries.
    pub successes: bool,
}

/// How urgent an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// As expected.
    Info,
    /// Somebody should look at it by day.
    Warning,
    /// Somebody should look at it now.
    Critical,
}

/// What happened, as webhooks and commands get it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct AlertEvent {
    /// The version of this shape: 1.
    pub version: u32,
    /// `OPERATION.failed`, `.recovered`, `.succeeded` or `.warned`, for example `backup.failed`.
    pub event: String,
    /// How urgent it is.
    pub severity: Severity,
    /// The verb: `backup`, `verify`, `drill`, `prune`, `run_due`.
    pub operation: String,
    /// The store, without credentials.
    pub vault: String,
    /// The database's name in the store.
    pub database: String,
    /// The backup it is about, where one is known.
    pub backup: Option<String>,
    /// One sentence for people.
    pub message: String,
    /// The error's code, if it failed.
    pub code: Option<String>,
    /// What to do next, if it failed.
    pub next: Option<String>,
    /// When it ended.
    pub at: Timestamp,
    /// The verb's report, if it succeeded.
    pub report: Option<Value>,
}

/// Where an event comes from.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) vault: String,
    pub(crate) database: String,
    /// The store, if it is open: it remembers failures for processes that do not live long.
    pub(crate) session: Option<Arc<Session>>,
}

/// Tells those who want to know.
pub(crate) struct Alerter {
    alerts: Alerts,
    client: deliver::Client,
    /// Verbs that failed when they last ran in this process.
    failing: Mutex<HashSet<&'static str>>,
}

impl fmt::Debug for Alerter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alerter").field("alerts", &self.alerts).finish_non_exhaustive()
    }
}

impl Alerter {
    /// # Errors
    /// `invalid_url` for a URL that is none.
    pub(crate) fn new(alerts: Alerts) -> Result<Self> {
        Ok(Self { client: deliver::Client::new(&alerts)?, alerts, failing: Mutex::default() })
    }

    /// Tells that a verb begins.
    pub(crate) async fn begins(&self, op: &'static str) {
        if op == "backup"
            && let Some(ping) = request::ping(&self.alerts, "/start", "")
        {
            self.client.deliver(vec![ping]).await;
        }
    }

    /// Tells how a verb ended.
    pub(crate) async fn ended(&self, op: &'static str, source: &Source, at: Timestamp, result: &Result<Value>) {
        if !WATCHED.contains(&op) {
            return;
        }
        let recovered = match result {
            // Who cancels knows.
            Err(e) if e.code() == Code::Cancelled => return,
            Err(_) => self.remember(op, source).await,
            Ok(_) => self.forget(op, source).await,
        };
        let event = event(op, source, at, result, recovered);
        let mut requests = request::requests(&self.alerts, &event);
        if op == "backup" {
            let path = if result.is_ok() { "" } else { "/fail" };
            requests.extend(request::ping(&self.alerts, path, &event.message));
        }
        tokio::join!(self.client.deliver(requests), self.client.run(&self.alerts.command, &event));
    }

    /// Remembers a failure here and in the store. Never a recovery.
    async fn remember(&self, op: &'static str, source: &Source) -> bool {
        self.failing().insert(op);
        if let Some(session) = &source.session {
            let name = layout::failing(&session.database, op);
            if let Err(e) = session.repository.put(&name, b"{}\n".to_vec()).await {
                tracing::debug!(error = %e, "the store does not remember the failure");
            }
        }
        false
    }

    /// Whether the verb failed before; forgets it.
    async fn forget(&self, op: &'static str, source: &Source) -> bool {
        let here = self.failing().remove(op);
        let Some(session) = &source.session else { return here };
        let name = layout::failing(&session.database, op);
        let there = matches!(session.repository.size(&name).await, Ok(Some(_)));
        if there && let Err(e) = session.repository.delete(&name).await {
            tracing::warn!(error = %e, "the store goes on remembering a failure that is over");
        }
        here || there
    }

    fn failing(&self) -> std::sync::MutexGuard<'_, HashSet<&'static str>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn event(op: &str, source: &Source, at: Timestamp, result: &Result<Value>, recovered: bool) -> AlertEvent {
    let what = |tail: &str| format!("{op} of {} {tail}", source.database);
    let (kind, severity, message, error): (_, _, _, Option<&Error>) = match result {
        Err(e) => ("failed", Severity::Critical, what(&format!("failed: {}", e.message())), Some(e)),
        Ok(report) => match odd(report) {
            Some(warning) => ("warned", Severity::Warning, what(&format!("succeeded, but {}", warning.message)), None),
            None if recovered => ("recovered", Severity::Info, what("works again"), None),
            None => ("succeeded", Severity::Info, what("succeeded"), None),
        },
    };
    let report = result.as_ref().ok();
    AlertEvent {
        version: VERSION,
        event: format!("{op}.{kind}"),
        severity,
        operation: op.to_owned(),
        vault: source.vault.clone(),
        database: source.database.clone(),
        backup: report.and_then(|r| r.get("id")?.as_str().map(str::to_owned)),
        message,
        code: error.map(|e| e.code().to_string()),
        next: error.and_then(Error::next_step).map(str::to_owned),
        at,
        report: report.cloned(),
    }
}

/// A warning that people should hear of though all went well.
fn odd(report: &Value) -> Option<Warning> {
    let warnings = report.get("warnings")?.as_array()?;
    let warnings = warnings.iter().filter_map(|w| serde_json::from_value::<Warning>(w.clone()).ok());
    warnings.into_iter().find(|w| matches!(w.code.as_str(), "size_fell" | "size_grew"))
}

#[cfg(test)]
mod tests;
