#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::request::{ping, requests};
use super::*;

fn source() -> Source {
    Source { vault: "s3://acme/prod".to_owned(), database: "shop".to_owned(), session: None }
}

fn failed() -> AlertEvent {
    let error = Error::new(Code::DatabaseUnavailable, "no answer").next("start it");
    event("backup", &source(), Timestamp::from_second(1_700_000_000).unwrap(), &Err(error), false)
}

fn succeeded(report: Value, recovered: bool) -> AlertEvent {
    event("backup", &source(), Timestamp::from_second(1_700_000_000).unwrap(), &Ok(report), recovered)
}

fn everyone() -> Alerts {
    Alerts {
        slack_url: Some("https://hooks.example/slack".into()),
        discord_url: Some("https://hooks.example/discord".into()),
        pagerduty_key: Some("pd-key".into()),
        webhook_url: Some("https://hooks.example/own".into()),
        webhook_secret: Some("s3cret".into()),
        ping_url: Some("https://hc.example/uuid".into()),
        ..Alerts::default()
    }
}

#[test]
fn a_failure_says_what_and_what_next() {
    let event = failed();
    assert_eq!((event.event.as_str(), event.severity), ("backup.failed", Severity::Critical));
    assert_eq!(event.message, "backup of shop failed: no answer");
    let sent = requests(&everyone(), &event);
    assert_eq!(sent.iter().map(|r| r.receiver).collect::<Vec<_>>(), ["slack", "discord", "pagerduty", "webhook"]);
    assert!(sent[0].body.contains("database_unavailable") && sent[0].body.contains("start it"), "{}", sent[0].body);
    let pagerduty: Value = serde_json::from_str(&sent[2].body).unwrap();
    assert_eq!(
        (pagerduty["event_action"].as_str(), pagerduty["routing_key"].as_str()),
        (Some("trigger"), Some("pd-key"))
    );
}

#[test]
fn people_hear_of_recoveries_and_machines_of_everything() {
    let receivers =
        |alerts: &Alerts, event: &AlertEvent| requests(alerts, event).iter().map(|r| r.receiver).collect::<Vec<_>>();
    let fine = succeeded(json!({ "id": "backup-20251121-020001" }), false);
    assert_eq!((fine.event.as_str(), fine.backup.as_deref()), ("backup.succeeded", Some("backup-20251121-020001")));
    assert_eq!(receivers(&everyone(), &fine), ["pagerduty", "webhook"]);
    assert_eq!(receivers(&Alerts { successes: true, ..everyone() }, &fine).len(), 4);
    let again = succeeded(json!({}), true);
    assert_eq!((again.event.as_str(), receivers(&everyone(), &again).len()), ("backup.recovered", 4));
    let odd = succeeded(json!({ "warnings": [{ "code": "size_fell", "message": "the dump has 1 byte" }] }), false);
    assert_eq!((odd.event.as_str(), odd.severity), ("backup.warned", Severity::Warning));
    assert_eq!(receivers(&everyone(), &odd), ["slack", "discord", "webhook"]);
}

#[test]
fn one_incident_is_opened_and_resolved() {
    let key = |event: &AlertEvent| {
        let sent = requests(&everyone(), event);
        let body: Value = serde_json::from_str(&sent.iter().find(|r| r.receiver == "pagerduty").unwrap().body).unwrap();
        (body["event_action"].as_str().unwrap().to_owned(), body["dedup_key"].as_str().unwrap().to_owned())
    };
    let (opened, resolved) = (key(&failed()), key(&succeeded(json!({}), true)));
    assert_eq!((opened.0.as_str(), resolved.0.as_str()), ("trigger", "resolve"));
    assert_eq!(opened.1, resolved.1);
}

#[test]
fn pings_follow_the_healthchecks_convention_and_signatures_are_hmac() {
    assert_eq!(ping(&everyone(), "/start", "").unwrap().url.expose(), "https://hc.example/uuid/start");
    assert!(ping(&Alerts::default(), "", "").is_none());
    let sent = requests(&everyone(), &failed());
    // printf '1700000000.%s' "$body" | openssl dgst -sha256 -hmac s3cret
    let signature = sent[3].signature.as_deref().unwrap();
    assert!(signature.starts_with("t=1700000000,v1=") && signature.len() == 16 + 64, "{signature}");
}

#[test]
fn what_is_no_url_is_refused_and_not_shown() {
    let alerts = Alerts { slack_url: Some("hooks.example/s3cret".into()), ..Alerts::default() };
    let error = Alerter::new(alerts).unwrap_err();
    assert_eq!(error.code(), Code::InvalidUrl);
    assert!(!error.to_string().contains("s3cret"), "{error}");
}
