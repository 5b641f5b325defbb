//! Alerts: who is told when something failed, works again, or looks odd.
//!
//! An alert never fails what it is about: what cannot be delivered is logged and counted.

mod deliver;
mod http;
mod request;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::{Either, select};
use jiff::{SignedDuration, Timestamp};
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
    /// It failed the same way less than twelve hours before: people have heard of it.
    #[serde(default)]
    pub repeated: bool,
}

/// Where an event comes from.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) vault: String,
    pub(crate) database: String,
    /// The store, if it is open: it remembers failures for processes that do not live long.
    pub(crate) session: Option<Arc<Session>>,
}

/// A failure that people have heard of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Failing {
    code: String,
    told_at: Timestamp,
}

/// People hear again of a failure that goes on after this.
const REMIND: SignedDuration = SignedDuration::from_hours(12);
/// A record larger than this is none of ours.
const MAX_BYTES: u64 = 4 << 10;

/// Tells those who want to know.
pub(crate) struct Alerter {
    alerts: Alerts,
    client: deliver::Client,
    /// Verbs that failed when they last ran in this process.
    failing: Mutex<HashMap<&'static str, Failing>>,
    /// What was told, for tests in which nobody can listen.
    #[cfg(test)]
    told: Mutex<Vec<AlertEvent>>,
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
        Ok(Self {
            client: deliver::Client::new(&alerts)?,
            alerts,
            failing: Mutex::default(),
            #[cfg(test)]
            told: Mutex::default(),
        })
    }

    /// What was told since this was last asked.
    #[cfg(test)]
    pub(crate) fn take_told(&self) -> Vec<AlertEvent> {
        std::mem::take(&mut *self.told.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Tells that a verb begins while it does. Nobody waits for the telling who cancels.
    pub(crate) async fn while_told<T>(&self, op: &'static str, work: impl Future<Output = Result<T>>) -> Result<T> {
        let (work, begins) = (std::pin::pin!(work), std::pin::pin!(self.begins(op)));
        match select(work, begins).await {
            Either::Left((result, begins)) => {
                if !result.as_ref().is_err_and(|e| e.code() == Code::Cancelled) {
                    begins.await;
                }
                result
            }
            Either::Right(((), work)) => work.await,
        }
    }

    async fn begins(&self, op: &'static str) {
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
        let before = match result {
            // Another host is at work: that is how it should be.
            Err(e) if op == "run_due" && e.code() == Code::Busy => return,
            Err(e) => self.remember(op, source, e.code(), at).await,
            Ok(_) => self.forget(op, source).await,
        };
        // What is due is told job by job: only its own failures are left.
        if op == "run_due" && result.is_ok() && !before {
            return;
        }
        let event = event(op, source, at, result, before);
        #[cfg(test)]
        self.told.lock().unwrap_or_else(PoisonError::into_inner).push(event.clone());
        let mut requests = request::requests(&self.alerts, &event);
        if op == "backup" {
            let path = if result.is_ok() { "" } else { "/fail" };
            requests.extend(request::ping(&self.alerts, path, &event.message));
        }
        tokio::join!(self.client.deliver(requests), self.client.run(&self.alerts.command, &event));
    }

    /// Remembers a failure here and in the store. Whether people have heard of it lately.
    async fn remember(&self, op: &'static str, source: &Source, code: Code, at: Timestamp) -> bool {
        let mut known = self.failing().get(op).cloned();
        if known.is_none()
            && let Some(session) = &source.session
        {
            let found = session.repository.get(&layout::failing(&session.database, op), MAX_BYTES).await;
            known = found.ok().flatten().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        }
        let lately = |known: &Failing| known.code == code.as_str() && at.duration_since(known.told_at) < REMIND;
        if known.as_ref().is_some_and(lately) {
            return true;
        }
        let failing = Failing { code: code.to_string(), told_at: at };
        self.failing().insert(op, failing.clone());
        if let Some(session) = &source.session {
            let record = serde_json::to_vec(&failing).unwrap_or_default();
            if let Err(e) = session.repository.put(&layout::failing(&session.database, op), record).await {
                tracing::debug!(error = %e, "the store does not remember the failure");
            }
        }
        false
    }

    /// Whether the verb failed before; forgets it.
    async fn forget(&self, op: &'static str, source: &Source) -> bool {
        let here = self.failing().remove(op).is_some();
        let Some(session) = &source.session else { return here };
        let name = layout::failing(&session.database, op);
        let there = matches!(session.repository.size(&name).await, Ok(Some(_)));
        if there && let Err(e) = session.repository.delete(&name).await {
            tracing::warn!(error = %e, "the store goes on remembering a failure that is over");
        }
        here || there
    }

    fn failing(&self) -> std::sync::MutexGuard<'_, HashMap<&'static str, Failing>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `before`: it failed before, and people have heard of it.
fn event(op: &str, source: &Source, at: Timestamp, result: &Result<Value>, before: bool) -> AlertEvent {
    let what = |tail: &str| format!("{op} of {} {tail}", source.database);
    let (kind, severity, message, error): (_, _, _, Option<&Error>) = match result {
        Err(e) => ("failed", Severity::Critical, what(&format!("failed: {}", e.message())), Some(e)),
        Ok(report) => match odd(report) {
            Some(warning) => ("warned", Severity::Warning, what(&format!("succeeded, but {}", warning.message)), None),
            None if before => ("recovered", Severity::Info, what("works again"), None),
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
        repeated: result.is_err() && before,
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
