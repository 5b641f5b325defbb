//! Health and statistics for people.

use super::{Output, size};
use crate::error::{Code, Error, Result};
use crate::report::{CheckStatus, DatabaseStats, DoctorReport, HealthCheck, HealthReport, HealthStatus};

impl Output {
    /// Fails when something is down, so that the exit code tells.
    pub(crate) fn health(&self, r: &HealthReport) -> Result<()> {
        match &r.health_json {
            Some(json) => Self::json(json)?,
            None => self.say(r, || {
                let line = |c: &HealthCheck| {
                    format!(
                        "{:<9} {}: {}\n",
                        c.status.as_str(),
                        c.name,
                        c.message.as_deref().unwrap_or("as it should be")
                    )
                };
                r.checks.iter().map(line).collect()
            })?,
        }
        match r.checks.iter().find(|c| c.status == HealthStatus::Down) {
            None => Ok(()),
            Some(c) => Err(Error::new(Code::Unhealthy, format!("{} is down", c.name)).next("see what it says above")),
        }
    }

    /// Fails when something is broken, with `strict` also when something is to be known, so that the exit code tells.
    pub(crate) fn doctor(&self, r: &DoctorReport, strict: bool) -> Result<()> {
        self.say(r, || {
            let mut text = String::new();
            for check in &r.checks {
                text += &format!("{:4}  {}: {}\n", check.status.as_str(), check.name, check.message);
                text += &check.next.as_ref().map_or_else(String::new, |next| format!("        next: {next}\n"));
            }
            let count = |status| r.checks.iter().filter(|c| c.status == status).count();
            let (pass, warn, fail) = (count(CheckStatus::Pass), count(CheckStatus::Warn), count(CheckStatus::Fail));
            text + &format!("{pass} pass, {warn} warn, {fail} fail\n")
        })?;
        let worst = if strict { CheckStatus::Warn } else { CheckStatus::Fail };
        let failed: Vec<&str> = r.checks.iter().filter(|c| c.status >= worst).map(|c| c.name.as_str()).collect();
        if failed.is_empty() {
            return Ok(());
        }
        Err(Error::new(Code::Unhealthy, format!("failed: {}", failed.join(", "))).next("see what each says above"))
    }

    pub(crate) fn database_stats(&self, r: &DatabaseStats) -> Result<()> {
        self.say(r, || {
            let mut text = format!("{} {}", r.engine, r.version);
            text += &r.size_bytes.map_or_else(String::new, |n| format!(", {}", size(n)));
            text.push('\n');
            if let Some(c) = &r.connections {
                let (idle, active) = (c.idle_in_transaction, c.active);
                text += &format!(
                    "connections {} of {}: {active} active, {idle} idle in a transaction\n",
                    c.used, c.allowed
                );
            }
            let number = |name: &str, n: Option<u64>| n.map_or_else(String::new, |n| format!("{name} {n}\n"));
            text += &number("deadlocks", r.deadlocks);
            text += &number("waiting for locks", r.waiting_locks);
            text += &r.cache_hit_ratio.map_or_else(String::new, |x| format!("cache hits {:.1} %\n", x * 100.0));
            for t in &r.largest_tables {
                text += &format!("{:>10}  {} ({} rows, {} dead)\n", size(t.bytes), t.name, t.rows, t.dead_rows);
            }
            for i in &r.unused_indexes {
                text += &format!("{:>10}  {}, an index of {} that was never used\n", size(i.bytes), i.name, i.table);
            }
            for q in &r.slow_queries {
                text += &format!("{:>7.0} ms x {}  {}\n", q.mean_ms, q.calls, q.query);
            }
            for replica in &r.replicas {
                let lag = replica.lag_bytes.map_or_else(String::new, |n| format!(", {} behind", size(n)));
                text += &format!("replica {}: {}{lag}\n", replica.name, replica.state);
            }
            text
        })
    }
}
