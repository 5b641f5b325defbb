//! The rules one by one, and all of them against an oracle that asks about each backup by itself.

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;
use crate::error::Code;

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn at(text: &str) -> Candidate {
    Candidate::new(BackupId::at(time(text), 1))
}

/// The days of November 2026 at 02:00.
fn november(days: std::ops::RangeInclusive<u8>) -> Vec<Candidate> {
    days.map(|day| at(&format!("2026-11-{day:02}T02:00:00Z"))).collect()
}

/// The days that are kept, and why.
fn kept(keep: &Keep, backups: &[Candidate]) -> Vec<(String, String)> {
    let decisions = decide(keep, time("2026-12-24T12:00:00Z"), backups).unwrap();
    let line = |d: &Decision| (d.id.as_str()[11..15].to_owned(), d.reasons.join("; "));
    decisions.iter().filter(|d| d.keep).map(line).collect()
}

fn days(keep: &Keep, backups: &[Candidate]) -> Vec<String> {
    kept(keep, backups).into_iter().map(|(day, _)| day).collect()
}

#[test]
fn grandfather_father_son() {
    // Weeks begin on Monday: 2026-11-30 is one.
    let history = november(1..=30);
    assert_eq!(days(&Keep::gfs(3, 0, 0), &history), ["1128", "1129", "1130"]);
    assert_eq!(days(&Keep::gfs(0, 3, 0), &history), ["1122", "1129", "1130"]);
    assert_eq!(days(&Keep::gfs(1, 1, 2), &history), ["1130"]);
    let year: Vec<_> = (1..=12).map(|m| at(&format!("2026-{m:02}-03T02:00:00Z"))).collect();
    assert_eq!(days(&Keep::gfs(0, 0, 2), &year), ["1103", "1203"]);
    let why = kept(&Keep::gfs(2, 0, 0), &history);
    assert_eq!(why[0].1, "daily of 2026-11-29");
    assert_eq!(why[1].1, "newest; daily of 2026-11-30");
}

#[test]
fn days_without_a_backup_do_not_count() {
    let history = vec![at("2025-01-01T02:00:00Z"), at("2025-06-01T02:00:00Z"), at("2026-11-30T02:00:00Z")];
    assert_eq!(days(&Keep::gfs(2, 0, 0), &history), ["0601", "1130"]);
    assert_eq!(days(&Keep::standard(), &history), ["0101", "0601", "1130"], "an outage deletes nothing");
}

#[test]
fn a_day_begins_where_the_time_zone_says() {
    let history = vec![at("2026-11-19T22:30:00Z"), at("2026-11-19T23:30:00Z"), at("2026-11-20T12:00:00Z")];
    assert_eq!(days(&Keep::gfs(9, 0, 0), &history), ["1119", "1120"]);
    // In Berlin 23:30 UTC is half past midnight of the 20th, whose newest backup is the one at noon.
    let berlin = Keep::gfs(9, 0, 0).time_zone("Europe/Berlin");
    let kept = decide(&berlin, time("2026-12-24T12:00:00Z"), &history).unwrap();
    assert_eq!(kept.iter().map(|d| d.keep).collect::<Vec<_>>(), [true, false, true]);
}

#[test]
fn the_hour_that_comes_twice_is_two_hours() {
    let history = vec![at("2026-10-25T00:30:00Z"), at("2026-10-25T01:30:00Z")];
    let keep = Keep { hourly: 9, time_zone: Some("Europe/Berlin".to_owned()), ..Keep::default() };
    assert_eq!(days(&keep, &history).len(), 2);
}

#[test]
fn what_is_held_tagged_proven_or_referred_to_stays() {
    let mut history = november(1..=10);
    history[0].proven = Proven::Drilled;
    history[1].held_until = Some(time("2026-12-25T00:00:00Z"));
    history[2].held_until = Some(time("2026-12-24T00:00:00Z"));
    history[3].tags = vec!["release".to_owned()];
    history[8].proven = Proven::Verified;
    history[9].base = Some(history[5].id.clone());
    history[5].base = Some(history[4].id.clone());
    let keep = Keep::last(1).tag("release");
    assert_eq!(days(&keep, &history), ["1101", "1102", "1104", "1105", "1106", "1110"]);
    history[0].proven = Proven::No;
    assert!(days(&keep, &history).contains(&"1109".to_owned()), "verified, where none is drilled");
}

#[test]
fn what_is_bad_or_unbelieved_displaces_nothing() {
    for standing in [Standing::Failing, Standing::Unbelieved] {
        let mut history = november(1..=10);
        history[8].standing = standing;
        history[9].standing = standing;
        assert_eq!(days(&Keep::last(2), &history), ["1107", "1108", "1109", "1110"]);
        let alone = &mut history[9..];
        alone[0].standing = standing;
        assert_eq!(days(&Keep::last(2), alone), ["1110"], "the newest is never deleted");
    }
}

#[test]
fn a_clock_that_was_behind_loses_no_backup() {
    let mut history = november(20..=22);
    let mut wrong = at("1970-01-01T00:00:10Z");
    wrong.written = Some(time("2026-12-24T02:00:00Z"));
    history.push(wrong);
    let why = kept(&Keep::last(1), &history);
    assert_eq!(why.len(), 2);
    assert!(why[1].1.contains("newest by the store's clock"), "{why:?}");
}

#[test]
fn policies_are_written_and_read_as_text() {
    for text in ["7d 4w 12m", "within=30d 30d", "5", "within=36h", "1 2h 3d 4w 5m 6y tag=a tz=Europe/Berlin"] {
        assert_eq!(text.parse::<Keep>().unwrap().to_string(), text);
    }
    assert_eq!("last=3,7d".parse::<Keep>().unwrap(), Keep { daily: 7, ..Keep::last(3) });
    for bad in ["", "0d", "7x", "d", "-1d", "within=", "within=5", "forever=1", "tz=Mars/Olympus 7d", "99999999999d"] {
        let error = bad.parse::<Keep>().unwrap_err();
        assert_eq!(error.code(), Code::InvalidOption, "{bad}");
        assert!(error.next_step().is_some());
    }
}

// ---- the oracle ----

const ZONES: [&str; 4] = ["UTC", "Europe/Berlin", "America/New_York", "Pacific/Chatham"];

fn number() -> impl Strategy<Value = u32> {
    prop_oneof![2 => Just(0_u32), 3 => 1..6_u32]
}

fn policy() -> impl Strategy<Value = Keep> {
    let counts = (number(), number(), number(), number(), number(), number());
    let within = prop_oneof![2 => Just(0_u64), 1 => 1..2000_u64];
    (counts, within, any::<bool>(), 0..ZONES.len()).prop_map(|(counts, within_hours, tagged, zone)| Keep {
        last: counts.0,
        hourly: counts.1,
        daily: counts.2,
        weekly: counts.3,
        monthly: counts.4,
        yearly: counts.5,
        within_hours,
        tags: if tagged { vec!["t".to_owned()] } else { Vec::new() },
        time_zone: Some(ZONES[zone].to_owned()),
    })
}

/// Backups of about two years: dense, sparse, in one second, with wrong clocks, holds, tags, proofs and bases.
fn history() -> impl Strategy<Value = Vec<Candidate>> {
    let one = (0..8_u8, 0..10_u8, 0..10_u8, 0..6_u8, any::<prop::sample::Index>(), any::<u32>());
    prop::collection::vec(one, 0..24).prop_map(|rows| {
        let mut at = time("2026-10-01T00:00:00Z");
        let mut found: Vec<Candidate> = Vec::new();
        let mut same_second = 1;
        for (step, proof, standing, mark, base, random) in rows {
            let seconds = i64::from(random);
            let step = match step {
                0 => 0,
                1 | 2 => seconds % 7_200,
                3..=5 => seconds % (3 * 86_400),
                6 => seconds % (20 * 86_400),
                _ => seconds % (200 * 86_400),
            };
            same_second = if step == 0 { same_second + 1 } else { 1 };
            at += SignedDuration::from_secs(step);
            let mut new = Candidate::new(BackupId::at(at, same_second));
            new.proven = [Proven::Drilled, Proven::Verified, Proven::No][usize::from(proof).min(2)];
            new.standing = [Standing::Failing, Standing::Unbelieved, Standing::Counted][usize::from(standing).min(2)];
            match mark {
                0 => new.held_until = Some(at + SignedDuration::from_hours(i64::from(random) % 20_000)),
                1 => new.tags = vec!["t".to_owned()],
                2 if !found.is_empty() => new.base = Some(found[base.index(found.len())].id.clone()),
                3 => new.written = Some(at + SignedDuration::from_hours(i64::from(random) % 2_000)),
                4 => new.written = Some(at),
                _ => {}
            }
            found.push(new);
        }
        found
    })
}

/// Whether one backup is kept, asked of it alone, by counting.
struct Oracle<'a> {
    keep: &'a Keep,
    now: Timestamp,
    all: &'a [Candidate],
    /// The periods of each backup: hour, day, week, month, year.
    periods: Vec<[i64; 5]>,
}

impl<'a> Oracle<'a> {
    fn new(keep: &'a Keep, now: Timestamp, all: &'a [Candidate]) -> Self {
        let zone = keep.zone().unwrap();
        let periods = |c: &Candidate| {
            let at = c.id.started_at().to_zoned(zone.clone());
            let day = i64::from(at.date().since((jiff::Unit::Day, jiff::civil::date(1900, 1, 1))).unwrap().get_days());
            // The first of January 1900 was a Monday. An hour is told apart from its repetition by the offset.
            let hour = day * 1_000_000 + i64::from(at.hour()) * 20_000 - i64::from(at.offset().seconds()) / 60;
            let month = i64::from(at.year()) * 12 + i64::from(at.month());
            [hour, day, day.div_euclid(7), month, i64::from(at.year())]
        };
        Self { keep, now, all, periods: all.iter().map(periods).collect() }
    }

    fn kept(&self) -> Vec<bool> {
        let counted: Vec<_> = (0..self.all.len()).filter(|i| self.all[*i].standing == Standing::Counted).collect();
        let everyone: Vec<_> = (0..self.all.len()).collect();
        let mut kept: Vec<bool> = everyone
            .iter()
            .map(|i| if counted.contains(i) { self.chosen(*i, &counted) } else { self.chosen(*i, &everyone) })
            .collect();
        // A base is kept when anything kept reaches it.
        for _ in 0..self.all.len() {
            for i in 0..self.all.len() {
                if kept[i]
                    && let Some(base) = &self.all[i].base
                    && let Some(b) = self.all.iter().position(|c| c.id == *base)
                {
                    kept[b] = true;
                }
            }
        }
        kept
    }

    fn chosen(&self, i: usize, among: &[usize]) -> bool {
        let (keep, me) = (self.keep, &self.all[i]);
        let newer: Vec<usize> = among.iter().copied().filter(|j| self.all[*j].id.order() > me.id.order()).collect();
        let best = among.iter().map(|j| self.all[*j].proven).max().unwrap();
        let age = self.now.duration_since(me.id.started_at());
        let bucket = |p: usize, count: u32| {
            let mine = self.periods[i][p];
            let mut later: Vec<i64> = newer.iter().map(|j| self.periods[*j][p]).filter(|k| *k > mine).collect();
            later.sort_unstable();
            later.dedup();
            newer.iter().all(|j| self.periods[*j][p] != mine) && later.len() < count as usize
        };
        newer.len() < keep.last.max(1) as usize
            || (me.written.is_some()
                && among.iter().all(|j| (self.all[*j].written, self.all[*j].id.order()) <= (me.written, me.id.order())))
            || (best > Proven::No && me.proven == best && newer.iter().all(|j| self.all[*j].proven != best))
            || bucket(0, keep.hourly)
            || bucket(1, keep.daily)
            || bucket(2, keep.weekly)
            || bucket(3, keep.monthly)
            || bucket(4, keep.yearly)
            || (keep.within_hours > 0 && age < hours(keep.within_hours))
            || me.held_until.is_some_and(|until| until > self.now)
            || me.tags.iter().any(|tag| keep.tags.contains(tag))
            || me.written.is_some_and(|w| {
                w.duration_since(me.id.started_at()) > DOUBTFUL && self.now.duration_since(w) < DOUBT_LASTS
            })
    }
}

/// `LASTGOOD_RETENTION_CASES=100000 cargo test -p lastgood --lib retention` runs the full number.
#[test]
fn every_history_is_decided_as_the_oracle_decides_it() {
    let cases = std::env::var("LASTGOOD_RETENTION_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(2_000);
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let input = (policy(), history(), 0..2_000_i64);
    runner
        .run(&input, |(keep, mut backups, later)| {
            if keep.check().is_err() {
                return Ok(());
            }
            let last = backups.last().map_or(time("2026-10-01T00:00:00Z"), |c| c.id.started_at());
            let now = last + SignedDuration::from_hours(later);
            let oracle = Oracle::new(&keep, now, &backups).kept();
            let decided = decide(&keep, now, &backups).unwrap();
            for ((candidate, expected), decision) in backups.iter().zip(oracle).zip(&decided) {
                prop_assert_eq!(&candidate.id, &decision.id);
                prop_assert_eq!(expected, decision.keep, "{}: {:?}", candidate.id, decision.reasons);
                prop_assert!(!decision.reasons.is_empty());
            }
            // Told in another order, it is the same history.
            backups.reverse();
            let mut again = decide(&keep, now, &backups).unwrap();
            again.reverse();
            prop_assert_eq!(
                again.iter().map(|d| d.keep).collect::<Vec<_>>(),
                decided.iter().map(|d| d.keep).collect::<Vec<_>>()
            );
            Ok(())
        })
        .unwrap();
}
