//! Which backups are kept, and why: a pure function of a history, a policy and the time.
//!
//! What it can be sure of: the newest backup is kept, the newest proven one is kept (drilled; verified where none was
//! drilled), what a kept backup refers to is kept, and a backup that is bad or not to be believed displaces no other.

mod keep;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

pub use keep::Keep;

use crate::error::Result;
use crate::id::BackupId;

/// A backup that the store dates this much later than its name does was made by a host whose clock was behind, or copied …
const DOUBTFUL: SignedDuration = SignedDuration::from_hours(24);
/// … and is kept this long after the store's date, whatever its name says.
const DOUBT_LASTS: SignedDuration = SignedDuration::from_hours(7 * 24);

/// How far a backup is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) enum Proven {
    #[default]
    No,
    Verified,
    Drilled,
}

/// What a backup counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Standing {
    /// It is as good as any.
    #[default]
    Counted,
    /// Its newest proof failed.
    Failing,
    /// It cannot be read, or nobody who is believed wrote it.
    Unbelieved,
    /// It was sealed anew, and its copy counts in its place.
    Replaced,
}

/// One backup of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) id: BackupId,
    /// When it was committed, by the store's clock where that is known.
    pub(crate) written: Option<Timestamp>,
    pub(crate) tags: Vec<String>,
    /// The backup that it refers to.
    pub(crate) base: Option<BackupId>,
    pub(crate) held_until: Option<Timestamp>,
    pub(crate) proven: Proven,
    pub(crate) standing: Standing,
    /// The backup that it is a copy of.
    pub(crate) replaces: Option<BackupId>,
}

impl Candidate {
    pub(crate) fn new(id: BackupId) -> Self {
        Self {
            id,
            written: None,
            tags: Vec::new(),
            base: None,
            held_until: None,
            proven: Proven::No,
            standing: Standing::Counted,
            replaces: None,
        }
    }
}

/// What becomes of one backup, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) id: BackupId,
    pub(crate) keep: bool,
    pub(crate) reasons: Vec<String>,
}

/// Decides about every backup of a history; the answer has the order of `backups`.
///
/// # Errors
/// `InvalidOption` when the policy's time zone is unknown, or when it would keep nothing.
pub(crate) fn decide(keep: &Keep, now: Timestamp, backups: &[Candidate]) -> Result<Vec<Decision>> {
    let zone = keep.zone()?;
    keep.check()?;
    // What does not count displaces nothing: it is kept where the rules would keep it, beside those that count.
    let counted = |c: &&Candidate| c.standing == Standing::Counted;
    let mut reasons = choose(keep, &zone, now, backups.iter().filter(counted));
    if backups.iter().any(|c| c.standing != Standing::Counted) {
        let all = choose(keep, &zone, now, backups.iter());
        for candidate in backups.iter().filter(|c| c.standing != Standing::Counted) {
            if candidate.standing == Standing::Replaced {
                if let Some(until) = candidate.held_until.filter(|until| *until > now) {
                    reasons.insert(&candidate.id, vec![format!("held until {until}")]);
                }
            } else if let Some(mut found) = all.get(&candidate.id).cloned() {
                found.push(match candidate.standing {
                    Standing::Failing => "its newest proof failed, so it displaces no other".to_owned(),
                    _ => "it cannot be authenticated here, so it displaces no other".to_owned(),
                });
                reasons.insert(&candidate.id, found);
            }
        }
    }
    keep_bases(backups, &mut reasons);
    let no_rule = vec![format!("no rule of `{keep}` keeps it")];
    let decision = |candidate: &Candidate| match reasons.remove(&candidate.id) {
        Some(reasons) => Decision { id: candidate.id.clone(), keep: true, reasons },
        None if candidate.standing == Standing::Replaced => Decision {
            id: candidate.id.clone(),
            keep: false,
            reasons: vec!["a copy under a newer key replaces it".to_owned()],
        },
        None => Decision { id: candidate.id.clone(), keep: false, reasons: no_rule.clone() },
    };
    Ok(backups.iter().map(decision).collect())
}

type Reasons<'a> = HashMap<&'a BackupId, Vec<String>>;

/// The backups that the rules keep, each with its reasons.
fn choose<'a>(
    keep: &Keep,
    zone: &TimeZone,
    now: Timestamp,
    backups: impl Iterator<Item = &'a Candidate>,
) -> Reasons<'a> {
    let mut newest_first: Vec<_> = backups.collect();
    newest_first.sort_by_cached_key(|c| std::cmp::Reverse(c.id.order()));
    let mut reasons = Reasons::new();
    let mut add = |candidate: &'a Candidate, why: String| reasons.entry(&candidate.id).or_default().push(why);

    if let Some(newest) = newest_first.first() {
        add(newest, "newest".to_owned());
    }
    let last_written = newest_first.iter().filter(|c| c.written.is_some()).max_by_key(|c| (c.written, c.id.order()));
    if let Some(last) = last_written.filter(|last| newest_first.first() != Some(last)) {
        add(last, "newest by the store's clock".to_owned());
    }
    for (proven, why) in
        [(Proven::Drilled, "newest drilled"), (Proven::Verified, "newest verified, and none is drilled")]
    {
        if let Some(found) = newest_first.iter().find(|c| c.proven == proven) {
            add(found, why.to_owned());
            break;
        }
    }
    for (n, candidate) in (1..=keep.last).zip(&newest_first) {
        add(candidate, format!("{n} of the last {}", keep.last));
    }
    for candidate in &newest_first {
        let at = candidate.id.started_at();
        if keep.within_hours > 0 && now.duration_since(at) < hours(keep.within_hours) {
            add(candidate, format!("within {}", keep::period(keep.within_hours)));
        }
        if let Some(until) = candidate.held_until.filter(|until| *until > now) {
            add(candidate, format!("held until {until}"));
        }
        if let Some(tag) = candidate.tags.iter().find(|tag| keep.tags.contains(tag)) {
            add(candidate, format!("tagged {tag}"));
        }
        if let Some(written) = candidate.written
            && written.duration_since(at) > DOUBTFUL
            && now.duration_since(written) < DOUBT_LASTS
        {
            add(candidate, format!("written at {written} by the store's clock, which is later than its name says"));
        }
    }
    for (count, name, period) in keep.periods() {
        let mut seen = HashSet::new();
        for candidate in &newest_first {
            if seen.len() >= count as usize {
                break;
            }
            let key = period(&candidate.id.started_at().to_zoned(zone.clone()));
            if seen.insert(key.clone()) {
                add(candidate, format!("{name} of {key}"));
            }
        }
    }
    reasons
}

/// Keeps what a kept backup refers to, and what that refers to.
fn keep_bases<'a>(backups: &'a [Candidate], reasons: &mut Reasons<'a>) {
    let by_id: HashMap<_, _> = backups.iter().map(|c| (&c.id, c)).collect();
    let mut open: Vec<&Candidate> = backups.iter().filter(|c| reasons.contains_key(&c.id)).collect();
    while let Some(candidate) = open.pop() {
        let Some(base) = candidate.base.as_ref().and_then(|base| by_id.get(base)) else { continue };
        let known = reasons.contains_key(&base.id);
        reasons.entry(&base.id).or_default().push(format!("{} refers to it", candidate.id));
        if !known {
            open.push(base);
        }
    }
}

fn hours(n: u64) -> SignedDuration {
    SignedDuration::from_hours(i64::try_from(n).unwrap_or(i64::MAX / 3600))
}
