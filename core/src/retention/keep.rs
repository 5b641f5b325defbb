//! The policy: how many of which backups are kept, as data and as a line of text.

use std::fmt;
use std::str::FromStr;

use jiff::Zoned;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::error::{Code, Error, Result};

/// Which backups are kept: a backup is kept when any rule keeps it. Numbers that are 0 are no rule.
///
/// The newest backup, the newest proven one, and what a kept one refers to are kept in any case.
///
/// As text: `7d 4w 12m` keeps the newest backup of each of 7 days, 4 weeks and 12 months that have one (also `24h` and
/// `3y`); `5` the last five; `within=30d` everything that is not older; `tag=release` what carries the label;
/// `tz=Europe/Berlin` says where days begin.
///
/// # Example
/// ```
/// use lastgood::Keep;
/// let keep: Keep = "7d 4w 12m".parse()?;
/// assert_eq!(keep, Keep::gfs(7, 4, 12));
/// assert_eq!(Keep::standard().to_string(), "within=30d 30d");
/// # Ok::<(), lastgood::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Keep {
    /// So many of the newest.
    pub last: u32,
    /// The newest backup of each of so many hours that have one.
    pub hourly: u32,
    /// The newest backup of each of so many days that have one.
    pub daily: u32,
    /// The newest backup of each of so many weeks (from Monday) that have one.
    pub weekly: u32,
    /// The newest backup of each of so many months that have one.
    pub monthly: u32,
    /// The newest backup of each of so many years that have one.
    pub yearly: u32,
    /// Every backup that was started less than so many hours ago.
    pub within_hours: u64,
    /// Every backup with one of these labels.
    pub tags: Vec<String>,
    /// Where days, weeks, months and years begin, for example `Europe/Berlin`. Absent: UTC.
    pub time_zone: Option<String>,
}

/// How many of a period are kept, what it is called, and the name of the one that a time is in.
pub(super) type Period = (u32, &'static str, fn(&Zoned) -> String);

impl Keep {
    /// The newest backup of each of so many days, weeks and months that have one.
    #[must_use]
    pub fn gfs(daily: u32, weekly: u32, monthly: u32) -> Self {
        Self { daily, weekly, monthly, ..Self::default() }
    }

    /// The last `n` backups.
    #[must_use]
    pub fn last(n: u32) -> Self {
        Self { last: n, ..Self::default() }
    }

    /// What is kept where nothing is said: everything of the last 30 days, and, should there have been no backups for a
    /// while, 30 days that have one.
    #[must_use]
    pub fn standard() -> Self {
        Self { within_hours: 30 * 24, daily: 30, ..Self::default() }
    }

    /// Every backup that was started less than `hours` hours ago as well.
    #[must_use]
    pub fn within_hours(mut self, hours: u64) -> Self {
        self.within_hours = hours;
        self
    }

    /// Every backup with this label as well.
    #[must_use]
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tags.push(tag.into());
        self
    }

    /// Where days, weeks, months and years begin, for example `Europe/Berlin`.
    #[must_use]
    pub fn time_zone(mut self, name: impl Into<String>) -> Self {
        self.time_zone = Some(name.into());
        self
    }

    /// Refuses a policy that keeps nothing or whose time zone is unknown.
    pub(crate) fn check(&self) -> Result<()> {
        self.zone()?;
        let counts = [self.last, self.hourly, self.daily, self.weekly, self.monthly, self.yearly];
        if counts.iter().all(|n| *n == 0) && self.within_hours == 0 {
            return Err(invalid("it keeps nothing"));
        }
        Ok(())
    }

    pub(super) fn zone(&self) -> Result<TimeZone> {
        match self.time_zone.as_deref() {
            None | Some("UTC") => Ok(TimeZone::UTC),
            Some(name) => TimeZone::get(name).map_err(|e| {
                Error::new(Code::InvalidOption, format!("`{name}` is not a time zone: {e}"))
                    .next("give a name like Europe/Berlin, or UTC")
            }),
        }
    }

    pub(super) fn periods(&self) -> [Period; 5] {
        [
            (self.hourly, "hourly", |at| at.strftime("%Y-%m-%d %H:00%:z").to_string()),
            (self.daily, "daily", |at| at.strftime("%Y-%m-%d").to_string()),
            (self.weekly, "weekly", |at| at.strftime("%G-W%V").to_string()),
            (self.monthly, "monthly", |at| at.strftime("%Y-%m").to_string()),
            (self.yearly, "yearly", |at| at.strftime("%Y").to_string()),
        ]
    }
}

fn invalid(what: impl fmt::Display) -> Error {
    Error::new(Code::InvalidOption, format!("the retention policy cannot be used: {what}"))
        .next("write it like `7d 4w 12m`, `within=30d`, `5` or `tag=release`")
}

impl FromStr for Keep {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut keep = Self::default();
        for word in text.split([' ', ',', '\t']).filter(|w| !w.is_empty()) {
            match word.split_once('=') {
                Some(("within", value)) => keep.within_hours = hours(value).ok_or_else(|| invalid(word))?,
                Some(("tag", value)) if !value.is_empty() => keep.tags.push(value.to_owned()),
                Some(("tz", value)) => keep.time_zone = Some(value.to_owned()),
                Some(("last", value)) => keep.last = value.parse().map_err(|_| invalid(word))?,
                Some(_) => return Err(invalid(format!("`{word}` is no rule"))),
                None => {
                    let (number, place) = match word.char_indices().last() {
                        Some((at, 'h')) => (&word[..at], &mut keep.hourly),
                        Some((at, 'd')) => (&word[..at], &mut keep.daily),
                        Some((at, 'w')) => (&word[..at], &mut keep.weekly),
                        Some((at, 'm')) => (&word[..at], &mut keep.monthly),
                        Some((at, 'y')) => (&word[..at], &mut keep.yearly),
                        _ => (word, &mut keep.last),
                    };
                    *place = number.parse().map_err(|_| invalid(format!("`{word}` is no rule")))?;
                }
            }
        }
        keep.check()?;
        Ok(keep)
    }
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = Vec::new();
        if self.within_hours > 0 {
            words.push(format!("within={}", period(self.within_hours)));
        }
        if self.last > 0 {
            words.push(self.last.to_string());
        }
        for (count, name, _) in self.periods().into_iter().filter(|(count, ..)| *count > 0) {
            words.push(format!("{count}{}", name.get(..1).unwrap_or_default()));
        }
        words.extend(self.tags.iter().map(|tag| format!("tag={tag}")));
        words.extend(self.time_zone.iter().map(|zone| format!("tz={zone}")));
        f.write_str(&words.join(" "))
    }
}

/// `36h`, `30d` or `4w`, in hours.
fn hours(text: &str) -> Option<u64> {
    let (at, unit) = text.char_indices().last()?;
    let factor = match unit {
        'h' => 1,
        'd' => 24,
        'w' => 7 * 24,
        _ => return None,
    };
    text.get(..at)?.parse::<u64>().ok()?.checked_mul(factor)
}

/// 720 → `30d`; 36 → `36h`.
pub(super) fn period(hours: u64) -> String {
    if hours.is_multiple_of(24) { format!("{}d", hours / 24) } else { format!("{hours}h") }
}
