//! Sends requests, again where that may help, and never for long.

use std::process::Stdio;
use std::time::Duration;

use futures::future::join_all;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::http::{Failure, Http};
use super::request::Request;
use super::{AlertEvent, Alerts};
use crate::error::{Code, Error, Result};

/// Time for one attempt, and for a command.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);
const ATTEMPTS: u32 = 3;

#[derive(Debug)]
pub(super) struct Client(Http);

impl Client {
    pub(super) fn new(alerts: &Alerts) -> Result<Self> {
        let pagerduty = alerts.pagerduty_url.as_ref().map(Into::into);
        let urls = [
            ("slack_url", alerts.slack_url.clone()),
            ("discord_url", alerts.discord_url.clone()),
            ("pagerduty_url", pagerduty),
            ("webhook_url", alerts.webhook_url.clone()),
            ("ping_url", alerts.ping_url.clone()),
        ];
        let is_url = |text: &str| url::Url::parse(text).is_ok_and(|u| matches!(u.scheme(), "http" | "https"));
        for (name, url) in &urls {
            if url.as_ref().is_some_and(|url| !is_url(url.expose())) {
                return Err(Error::new(Code::InvalidUrl, format!("{name} of the alerts is no http URL"))
                    .next("give it as the receiver shows it, from https:// on"));
            }
        }
        let needed = alerts.pagerduty_key.is_some() || urls.iter().any(|(_, url)| url.is_some());
        Http::new(needed).map(Self)
    }

    /// Sends all at the same time.
    pub(super) async fn deliver(&self, requests: Vec<Request>) {
        join_all(requests.iter().map(|request| self.send(request))).await;
    }

    async fn send(&self, request: &Request) {
        let mut last = String::new();
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                tokio::time::sleep(Duration::from_secs(1 << (attempt - 1))).await;
            }
            match self.0.post(request).await {
                Ok(()) => return counted(request.receiver, "delivered"),
                Err(Failure::Final(why)) => {
                    last = why;
                    break;
                }
                Err(Failure::Passing(why)) => last = why,
            }
        }
        counted(request.receiver, "failed");
        tracing::warn!(receiver = request.receiver, error = last, "an alert could not be delivered");
    }

    /// Runs the command with the event on its standard input.
    pub(super) async fn run(&self, command: &[String], event: &AlertEvent) {
        let [program, arguments @ ..] = command else { return };
        let run = async {
            let mut child = Command::new(program)
                .args(arguments)
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .kill_on_drop(true)
                .spawn()
                .map_err(|e| e.to_string())?;
            if let Some(mut stdin) = child.stdin.take() {
                let event = serde_json::to_string(event).map_err(|e| e.to_string())? + "\n";
                // A command that does not read is no failure; its exit code tells.
                let _ = stdin.write_all(event.as_bytes()).await;
            }
            let status = child.wait().await.map_err(|e| e.to_string())?;
            if status.success() { Ok(()) } else { Err(status.to_string()) }
        };
        match tokio::time::timeout(TIMEOUT, run).await.unwrap_or_else(|_| Err("it took too long".to_owned())) {
            Ok(()) => counted("command", "delivered"),
            Err(why) => {
                counted("command", "failed");
                tracing::warn!(receiver = "command", error = why, "an alert could not be delivered");
            }
        }
    }
}

fn counted(receiver: &'static str, outcome: &'static str) {
    crate::observe::counters::alert(receiver, outcome);
}
