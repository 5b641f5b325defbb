//! The facts as Prometheus text, exposition format 0.0.4.
//!
//! Gauges come from the store's own records, since a serverless process forgets; times are timestamps, so that a
//! scrape that comes late is still right. Counters are of this process.

use std::fmt::{Display, Write as _};

use jiff::Timestamp;

use super::counters;
use super::records::Records;
use crate::error::Result;
use crate::format::manifest::Header;
use crate::report::DatabaseStats;
use crate::schedule::JobRecord;

/// The content type of the text that `metrics` gives.
pub const METRICS_CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Writes everything that is known: what the database, if there is one, and the store answered. `vault` and `database` label what belongs to them.
pub(crate) fn text(
    answer: Option<&Result<DatabaseStats>>,
    records: &Result<Records>,
    vault: &str,
    database: &str,
) -> String {
    let mut text = Text { out: String::new(), of: labels(&[("vault", vault), ("database", database)]) };
    text.gauge("lastgood_store_up", "Whether the store answered", &[("", records.is_ok().into())]);
    if let Ok(records) = records {
        backups(&mut text, records);
        jobs(&mut text, records);
    }
    if let Some(answer) = answer {
        text.gauge("lastgood_db_up", "Whether the database answered", &[("", answer.is_ok().into())]);
        if let Ok(stats) = answer {
            statistics(&mut text, stats);
        }
    }
    operations(&mut text);
    text.out
}

fn backups(text: &mut Text, records: &Records) {
    let newest = records.newest.as_ref();
    let duration = newest.map(|n| (n.finished_at.as_millisecond() - n.started_at.as_millisecond()) as f64 / 1000.0);
    text.some(
        "lastgood_backup_last_success_timestamp_seconds",
        "When the newest complete backup was finished",
        plain(newest.map(|n| seconds(n.finished_at))),
    );
    text.some(
        "lastgood_backup_last_attempt_timestamp_seconds",
        "When the newest backup was started, complete or not",
        plain(records.last_attempt.map(seconds)),
    );
    text.some("lastgood_backup_last_duration_seconds", "Duration of the newest complete backup", plain(duration));
    let of_newest = |stage, bytes: fn(&Header) -> u64| (labels(&[("stage", stage)]), newest.map(|n| bytes(n) as f64));
    text.some(
        "lastgood_backup_last_size_bytes",
        "Size of the newest complete backup",
        vec![of_newest("source", |n| n.source_bytes), of_newest("stored", |n| n.stored_bytes)],
    );
    let states = [("complete", records.complete), ("unfinished", records.unfinished)];
    let states = states.map(|(state, n)| (labels(&[("state", state)]), Some(n as f64)));
    text.some("lastgood_backups", "Backups in the store", states.to_vec());
    let all = plain(Some(records.stored_bytes as f64));
    text.some("lastgood_store_bytes", "Bytes of all objects of this database", all);
    let edges = [("oldest", records.oldest), ("newest", newest.map(|n| n.point.at))];
    let edges = edges.map(|(edge, at)| (labels(&[("edge", edge)]), at.map(seconds)));
    text.some("lastgood_recovery_point_timestamp_seconds", "The moments that backups bring back", edges.to_vec());
    text.some(
        "lastgood_verify_last_success_timestamp_seconds",
        "When a verification last succeeded",
        plain(records.verify.last_success.map(seconds)),
    );
    text.some(
        "lastgood_drill_last_success_timestamp_seconds",
        "When a drill last succeeded",
        plain(records.drill.last_success.map(seconds)),
    );
    let ok = records.drill.newest_ok.map(f64::from);
    text.some("lastgood_drill_last_success", "Whether the newest drill succeeded", plain(ok));
    text.some(
        "lastgood_drill_last_duration_seconds",
        "Duration of the newest successful drill: the measured recovery time",
        plain(records.drill.duration_ms.map(|ms| ms as f64 / 1000.0)),
    );
}

fn jobs(text: &mut Text, records: &Records) {
    let each = |value: fn(&JobRecord) -> Option<f64>| -> Vec<_> {
        records.jobs.iter().map(|job| (labels(&[("job", job.job.as_str())]), value(job))).collect()
    };
    let next = each(|job| job.due_at().map(seconds));
    text.some("lastgood_schedule_next_run_timestamp_seconds", "When a job of the schedule is due next", next);
    text.some(
        "lastgood_schedule_last_success_timestamp_seconds",
        "When a job of the schedule last did what it was to do",
        each(|job| job.last_ok_at.map(seconds)),
    );
    text.some(
        "lastgood_schedule_failures",
        "Attempts of a job of the schedule that failed since then",
        each(|job| Some(f64::from(job.failures))),
    );
}

fn statistics(text: &mut Text, stats: &DatabaseStats) {
    let count = |value: Option<u64>| plain(value.map(|n| n as f64));
    text.some("lastgood_db_size_bytes", "Size of the database on disk", count(stats.size_bytes));
    text.some("lastgood_db_free_bytes", "Bytes of its files that hold no data", count(stats.free_bytes));
    if let Some(c) = &stats.connections {
        let states = [("used", c.used), ("active", c.active), ("idle_in_transaction", c.idle_in_transaction)];
        let samples = states.map(|(state, n)| (labels(&[("state", state)]), Some(n as f64)));
        text.some("lastgood_db_connections", "Connections of the server", samples.to_vec());
        text.some("lastgood_db_connections_allowed", "Connections it allows", count(Some(c.allowed)));
    }
    let tables = |value: fn(&crate::report::TableStats) -> u64| -> Vec<_> {
        stats.largest_tables.iter().map(|t| (labels(&[("table", &t.name)]), Some(value(t) as f64))).collect()
    };
    text.some("lastgood_db_table_bytes", "Size of the largest tables with their indexes", tables(|t| t.bytes));
    text.some("lastgood_db_table_dead_rows", "Rows to be cleaned up in the largest tables", tables(|t| t.dead_rows));
    text.some("lastgood_db_deadlocks", "Deadlocks since statistics began", count(stats.deadlocks));
    text.some("lastgood_db_cache_hit_ratio", "Share of block reads the cache answered", plain(stats.cache_hit_ratio));
    text.some(
        "lastgood_db_longest_transaction_seconds",
        "Age of the oldest open transaction",
        plain(stats.longest_transaction_seconds),
    );
    text.some("lastgood_db_waiting_locks", "Sessions that wait for a lock", count(stats.waiting_locks));
    let slow = stats.slow_queries.iter().map(|q| q.mean_ms).reduce(f64::max).map(|ms| ms / 1000.0);
    text.some(
        "lastgood_db_slowest_query_mean_seconds",
        "Mean duration of the slowest of the statements that take the most time",
        plain(slow),
    );
    text.some(
        "lastgood_db_replication_lag_seconds",
        "How far this server is behind its primary",
        plain(stats.replication_lag_seconds),
    );
    let replicas = stats.replicas.iter();
    let lag = replicas.map(|r| (labels(&[("replica", &r.name)]), r.lag_bytes.map(|n| n as f64))).collect();
    text.some("lastgood_db_replica_lag_bytes", "Bytes a replica has not replayed", lag);
}

fn operations(text: &mut Text) {
    text.of.clear();
    let counts = counters::all();
    let running = counts.iter().map(|(op, c)| (labels(&[("op", op)]), Some(c.running as f64))).collect();
    text.some("lastgood_operation_in_progress", "Operations of this process that are going on", running);
    let ended = counts.iter().flat_map(|(op, c)| {
        c.ended.iter().map(move |(outcome, n)| (labels(&[("op", op), ("outcome", outcome)]), Some(*n as f64)))
    });
    text.family("lastgood_operations_total", "Operations of this process that ended", "counter", ended.collect());
    let alerts = counters::alerts().into_iter();
    let alerts = alerts.map(|((to, how), n)| (labels(&[("receiver", to), ("outcome", how)]), Some(n as f64)));
    text.family("lastgood_alerts_total", "Alerts of this process", "counter", alerts.collect());
    let name = "lastgood_operation_duration_seconds";
    text.head(name, "Duration of the operations of this process", "summary");
    for (op, count) in &counts {
        let op = labels(&[("op", op)]);
        text.line(&format!("{name}_sum"), &op, count.seconds);
        text.line(&format!("{name}_count"), &op, count.ended.values().sum::<u64>() as f64);
    }
    let version = labels(&[("version", env!("CARGO_PKG_VERSION"))]);
    text.some("lastgood_build_info", "The version of lastgood", vec![(version, Some(1.0))]);
}

struct Text {
    out: String,
    /// Labels of every sample: what the facts are of.
    of: String,
}

impl Text {
    fn gauge(&mut self, name: &str, help: &str, samples: &[(&str, f64)]) {
        self.some(name, help, samples.iter().map(|(labels, v)| ((*labels).to_owned(), Some(*v))).collect());
    }

    /// A gauge of those samples that have a value; nothing at all if none has.
    fn some(&mut self, name: &str, help: &str, samples: Vec<(String, Option<f64>)>) {
        self.family(name, help, "gauge", samples);
    }

    fn family(&mut self, name: &str, help: &str, kind: &str, samples: Vec<(String, Option<f64>)>) {
        if samples.iter().any(|(_, value)| value.is_some()) {
            self.head(name, help, kind);
            for (labels, value) in samples {
                if let Some(value) = value {
                    self.line(name, &labels, value);
                }
            }
        }
    }

    fn head(&mut self, name: &str, help: &str, kind: &str) {
        self.write(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    fn line(&mut self, name: &str, own: &str, value: f64) {
        let parts: Vec<&str> = [self.of.as_str(), own].into_iter().filter(|l| !l.is_empty()).collect();
        let all = parts.join(",");
        let braces = if all.is_empty() { String::new() } else { format!("{{{all}}}") };
        self.write(format_args!("{name}{braces} {value}\n"));
    }

    fn write(&mut self, text: impl Display) {
        // Writing to a string does not fail.
        let _ = write!(self.out, "{text}");
    }
}

fn labels(pairs: &[(&str, &str)]) -> String {
    let quoted = |value: &str| value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
    pairs.iter().map(|(name, value)| format!("{name}=\"{}\"", quoted(value))).collect::<Vec<_>>().join(",")
}

fn plain(value: Option<f64>) -> Vec<(String, Option<f64>)> {
    vec![(String::new(), value)]
}

fn seconds(at: Timestamp) -> f64 {
    at.as_millisecond() as f64 / 1000.0
}
