//! Answers: sizes and ages for people, exact values in JSON.

mod keys;
mod observed;

use std::fmt::Write as _;
use std::io::Write as _;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;

use crate::error::{Code, Error, Result};
use crate::report::{
    ArtifactSummary, BackupDetails, BackupReport, BackupSummary, DrillReport, ExportReport, HoldReport, Promoted,
    PruneReport, RestoreReport, VerifyReport, Warning,
};
use crate::schedule::RunDueReport;

pub(super) struct Output {
    json: bool,
}

impl Output {
    pub(super) fn new(json: bool) -> Self {
        Self { json }
    }

    pub(super) fn backup(&self, r: &BackupReport) -> Result<()> {
        self.say(r, || {
            let text = format!(
                "{} of {}: {} tables, {} rows, {} stored as {} in {}\n",
                r.id,
                r.database,
                r.tables,
                count(r.rows),
                size(r.source_bytes),
                size(r.stored_bytes),
                duration(r.duration_ms)
            );
            text + &warnings(&r.warnings) + &format!("next: lastgood drill {}\n", r.id)
        })
    }

    pub(super) fn list(&self, backups: &[BackupSummary]) -> Result<()> {
        self.say(&backups, || {
            if backups.is_empty() {
                return "no backups yet; make one with `lastgood backup`\n".to_owned();
            }
            let mut rows = vec![["BACKUP", "AGE", "ENGINE", "ROWS", "SOURCE", "STORED", "PROOF"].map(str::to_owned)];
            rows.extend(backups.iter().map(|b| {
                let engine = format!("{} {}", b.engine, b.server_version);
                [
                    b.id.to_string(),
                    age(b.started_at),
                    engine,
                    count(b.rows),
                    format!("{}{}", size(b.source_bytes), if b.partial { ", a part" } else { "" }),
                    size(b.stored_bytes),
                    proof(b),
                ]
            }));
            table(&rows)
        })
    }

    pub(super) fn artifacts(&self, artifacts: &[ArtifactSummary]) -> Result<()> {
        self.say(&artifacts, || {
            if artifacts.is_empty() {
                return "no dumps of old scripts here\n".to_owned();
            }
            let mut rows = vec![["ARTIFACT", "AGE", "STORED", "ENCRYPTED", "SHA-256"].map(str::to_owned)];
            let yes = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
            rows.extend(artifacts.iter().map(|a| {
                let age = a.started_at.map_or_else(|| "?".to_owned(), age);
                [a.name.clone(), age, size(a.bytes), yes(a.encrypted), yes(a.checksum)]
            }));
            table(&rows)
        })
    }

    pub(super) fn show(&self, b: &BackupDetails) -> Result<()> {
        self.say(b, || {
            let s = &b.summary;
            let mut text = format!(
                "{} of {} ({} {}), {} old\n  point     {} {} at {}\n  size      {} stored as {}{}\n  proof     {}\n  tags      {}\n",
                s.id, s.database, s.engine, s.server_version, age(s.started_at), b.point.kind, b.point.position, b.point.at,
                size(s.source_bytes), size(s.stored_bytes), if s.encrypted { ", encrypted" } else { ", NOT encrypted" },
                proof(s), if s.tags.is_empty() { "-".to_owned() } else { s.tags.join(", ") },
            );
            if let Some(selection) = &b.selection {
                let _ = writeln!(text, "  a part    {selection}");
            }
            let mut rows = vec![["TABLE", "ROWS", "HASH"].map(str::to_owned)];
            rows.extend(b.table_summaries.iter().map(|t| [t.name.clone(), count(t.rows), t.hash.clone()]));
            text += &table(&rows);
            for p in &b.proofs {
                let _ = writeln!(text, "{} {} {} in {}", p.at, p.kind.as_str(), if p.ok { "ok" } else { "FAILED" }, duration(p.duration_ms));
                for problem in &p.problems {
                    let _ = writeln!(text, "  {problem}");
                }
            }
            text + &warnings(&b.warning_list)
        })
    }

    pub(super) fn verify(&self, r: &VerifyReport) -> Result<()> {
        self.say(r, || {
            format!(
                "{} is whole: {} stored, {} in {} parts, checked in {}\n{}",
                r.id,
                size(r.stored_bytes),
                size(r.raw_bytes),
                count(r.parts),
                duration(r.duration_ms),
                warnings(&r.warnings)
            )
        })
    }

    pub(super) fn drill(&self, r: &DrillReport) -> Result<()> {
        self.say(r, || {
            let text = format!(
                "{} was restored in {} and is the same: {} tables, {} rows",
                r.id,
                duration(r.restore_ms),
                r.tables,
                count(r.rows)
            );
            let queries = if r.queries == 0 { String::new() } else { format!(", {} queries", r.queries) };
            format!("{text}{queries}\n{}", warnings(&r.warnings))
        })
    }

    pub(super) fn restore(&self, r: &RestoreReport) -> Result<()> {
        self.say(r, || {
            let text =
                format!("{} was restored into {}: {} in {}\n", r.id, r.target, size(r.bytes), duration(r.duration_ms));
            let created = r.created.iter().fold(String::new(), |text, what| text + "created " + what + "\n");
            text + &created + &r.promoted.as_ref().map(promoted).unwrap_or_default() + &warnings(&r.warnings)
        })
    }

    pub(super) fn export(&self, r: &ExportReport) -> Result<()> {
        self.say(r, || format!("{} was written to {}: {} files, {}\n", r.id, r.folder, count(r.files), size(r.bytes)))
    }

    pub(super) fn prune(&self, r: &PruneReport) -> Result<()> {
        self.say(r, || {
            let mut rows = vec![["BACKUP", "ACTION", "WHY"].map(str::to_owned)];
            rows.extend(r.decisions.iter().map(|d| {
                let at = d.deletes_at.map(|at| format!("; deleted from {at} on")).unwrap_or_default();
                [d.backup.to_string(), d.action.as_str().to_owned(), d.reasons.join("; ") + &at]
            }));
            let mut text = table(&rows);
            let would = if r.dry_run { "would be " } else { "" };
            for id in &r.swept {
                let _ = writeln!(text, "{id}: what a dead run left {would}removed");
            }
            for refused in &r.refused {
                let _ = writeln!(text, "warning[{}]: {} stays: {}", refused.code, refused.backup, refused.message);
            }
            let _ = writeln!(text, "{} {would}freed", size(r.freed_bytes));
            text
        })
    }

    pub(super) fn hold(&self, r: &HoldReport) -> Result<()> {
        self.say(r, || match r.held_until {
            Some(until) => format!("{} is held until {until}\n", r.id),
            None => format!("{} is not held\n", r.id),
        })
    }

    pub(super) fn run_due(&self, r: &RunDueReport) -> Result<()> {
        self.say(r, || {
            let mut text = String::new();
            for ran in &r.ran {
                let of = ran.backup.as_ref().map(|id| format!(" of {id}")).unwrap_or_default();
                let _ = match &ran.error {
                    None => writeln!(text, "{} {}{of} for {}", ran.ended_at, ran.job, ran.slot),
                    Some(e) => writeln!(text, "{} {} FAILED [{}]: {}", ran.ended_at, ran.job, e.code, e.message),
                };
            }
            if let Some(holder) = &r.held_by {
                let _ = writeln!(text, "{holder} is at work");
            }
            if let Some(next) = r.next.iter().min_by_key(|next| next.at) {
                let _ = writeln!(text, "next: {} at {}", next.job, next.at);
            }
            text
        })
    }

    pub(super) fn error(&self, e: &Error) {
        let text = if self.json {
            format!("{}\n", json!({ "error": e }))
        } else {
            let next = e.next_step().map(|n| format!("  next: {n}\n")).unwrap_or_default();
            format!("error[{}]: {}\n{next}", e.code(), e.message())
        };
        // Nobody is left to tell when standard error is gone.
        let _ = std::io::stderr().write_all(text.as_bytes());
    }

    fn say(&self, report: &impl Serialize, people: impl FnOnce() -> String) -> Result<()> {
        if self.json { Self::json(report) } else { Self::print(&people()) }
    }

    /// Prints a value as one line of JSON, for another program.
    pub(super) fn json(value: &impl Serialize) -> Result<()> {
        let json = serde_json::to_string(value).map_err(|e| Error::new(Code::Internal, e.to_string()))?;
        Self::print(&(json + "\n"))
    }

    /// Prints a text as it is.
    pub(super) fn print(text: &str) -> Result<()> {
        match std::io::stdout().write_all(text.as_bytes()) {
            // `lastgood list | head` has what it wanted.
            Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
                Err(Error::new(Code::LocalFile, format!("standard output: {e}")))
            }
            _ => Ok(()),
        }
    }
}

fn proof(b: &BackupSummary) -> String {
    let held = b.held_until.map(|_| ", held").unwrap_or_default();
    let marked = b.marked_at.map(|_| ", marked for deletion").unwrap_or_default();
    proven(b) + held + marked
}

fn proven(b: &BackupSummary) -> String {
    match (b.failing, b.drilled_at, b.verified_at) {
        (true, ..) => "FAILED".to_owned(),
        (_, Some(at), _) => format!("drilled {} ago", age(at)),
        (_, None, Some(at)) => format!("verified {} ago", age(at)),
        _ => "none".to_owned(),
    }
}

fn promoted(p: &Promoted) -> String {
    let Some(kept) = &p.kept else { return "there was no database of this name before\n".to_owned() };
    let lines = |lines: &[String]| lines.iter().fold(String::new(), |text, line| text + "  " + line + "\n");
    let (back, drop) = (lines(&p.go_back), lines(&p.drop_kept));
    format!("the database that was there is kept as {kept}\nto go back to it:\n{back}to drop it:\n{drop}")
}

fn warnings(warnings: &[Warning]) -> String {
    warnings.iter().fold(String::new(), |text, w| text + &format!("warning[{}]: {}\n", w.code, w.message))
}

fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|r| r[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

/// 1536 → `1.5 KiB`.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let unit = usize::try_from(bytes.ilog2() / 10).unwrap_or(1).min(UNITS.len());
    let tenths = bytes / ((1 << (10 * unit)) / 10);
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit - 1])
}

/// 1234567 → `1,234,567`.
fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn duration(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        60_000..3_600_000 => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1_000),
        _ => format!("{} h {} min", ms / 3_600_000, ms % 3_600_000 / 60_000),
    }
}

fn age(at: Timestamp) -> String {
    let seconds = Timestamp::now().as_second().saturating_sub(at.as_second()).max(0);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!([size(0), size(1023), size(1536), size(5 << 30)], ["0 B", "1023 B", "1.5 KiB", "5.0 GiB"]);
        assert_eq!([count(0), count(999), count(1_000), count(1_234_567)], ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [duration(5), duration(1_500), duration(61_000), duration(3_660_000)],
            ["5 ms", "1.5 s", "1 min 1 s", "1 h 1 min"]
        );
    }
}
