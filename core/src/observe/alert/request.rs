//! What each kind of receiver is sent.

use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;

use super::{AlertEvent, Alerts, Severity};
use crate::secret::Secret;

const PAGERDUTY: &str = "https://events.pagerduty.com/v2/enqueue";

/// One HTTP request: POST with this body.
#[derive(Debug, Clone)]
#[cfg_attr(not(feature = "alerts"), allow(dead_code, reason = "nothing is sent"))]
pub(super) struct Request {
    /// Who gets it, for logs.
    pub(super) receiver: &'static str,
    pub(super) url: Secret,
    pub(super) content_type: &'static str,
    pub(super) signature: Option<String>,
    pub(super) body: String,
}

/// The requests that an event makes, apart from pings.
pub(super) fn requests(alerts: &Alerts, event: &AlertEvent) -> Vec<Request> {
    let mut requests = Vec::new();
    let mut add = |receiver, url: &Secret, body: String, signature| {
        let content_type = "application/json";
        requests.push(Request { receiver, url: url.clone(), content_type, signature, body });
    };
    let for_people = !event.repeated && (alerts.successes || !event.event.ends_with(".succeeded"));
    if for_people && let Some(url) = &alerts.slack_url {
        add("slack", url, json!({ "text": people(event) }).to_string(), None);
    }
    if for_people && let Some(url) = &alerts.discord_url {
        // Discord refuses more than 2,000 characters, and would notify whoever an error message names.
        let content: String = people(event).chars().take(2000).collect();
        let body = json!({ "content": content, "allowed_mentions": { "parse": [] } });
        add("discord", url, body.to_string(), None);
    }
    if let Some(key) = &alerts.pagerduty_key
        && let Some(body) = pagerduty(key, event)
    {
        let url = alerts.pagerduty_url.as_deref().unwrap_or(PAGERDUTY).into();
        add("pagerduty", &url, body, None);
    }
    if let Some(url) = &alerts.webhook_url {
        let body = json!(event).to_string();
        let signature = alerts.webhook_secret.as_ref().map(|secret| sign(secret, event.at.as_second(), &body));
        add("webhook", url, body, signature);
    }
    requests
}

/// A ping of the healthchecks kind.
pub(super) fn ping(alerts: &Alerts, path: &str, body: &str) -> Option<Request> {
    let url = alerts.ping_url.as_ref()?;
    let url = Secret::from(format!("{}{path}", url.expose().trim_end_matches('/')));
    Some(Request {
        receiver: "ping",
        url,
        content_type: "text/plain; charset=utf-8",
        signature: None,
        body: body.to_owned(),
    })
}

fn people(event: &AlertEvent) -> String {
    let sign = match event.severity {
        Severity::Info => "\u{2705}",
        Severity::Warning => "\u{26a0}\u{fe0f}",
        Severity::Critical => "\u{1f6a8}",
    };
    let code = event.code.as_ref().map(|code| format!(" [{code}]")).unwrap_or_default();
    let next = event.next.as_ref().map(|next| format!("\nNext: {next}")).unwrap_or_default();
    let backup = event.backup.as_ref().map(|id| format!("\n{id}")).unwrap_or_default();
    format!("{sign} {}{code}{next}{backup}\n{}", event.message, event.vault)
}

/// One incident for each operation of each database: failures trigger it, and what works resolves it. Resolving what is
/// not open is no error, so that a process without memory can do it every time.
fn pagerduty(key: &Secret, event: &AlertEvent) -> Option<String> {
    let action = match event.severity {
        Severity::Critical => "trigger",
        Severity::Info => "resolve",
        Severity::Warning => return None,
    };
    let body = json!({
        "routing_key": key.expose(),
        "event_action": action,
        "dedup_key": format!("lastgood/{}/{}/{}", event.vault, event.database, event.operation),
        "payload": {
            "summary": event.message.chars().take(1024).collect::<String>(),
            "source": event.vault,
            "severity": "critical",
            "timestamp": event.at,
            "component": event.database,
            "group": event.operation,
            "custom_details": { "code": event.code, "next": event.next, "backup": event.backup },
        },
    });
    Some(body.to_string())
}

/// `t=SECONDS,v1=HEX`: the time is signed too, so that an old event cannot be sent again as new.
fn sign(secret: &Secret, seconds: i64, body: &str) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes());
    let hex = mac.map(|mut mac| {
        mac.update(format!("{seconds}.").as_bytes());
        mac.update(body.as_bytes());
        hex::encode(mac.finalize().into_bytes())
    });
    // HMAC takes keys of any length.
    format!("t={seconds},v1={}", hex.unwrap_or_default())
}
