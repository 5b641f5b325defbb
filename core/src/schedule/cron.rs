//! Cron expressions in a time zone.
//!
//! A fixed time that the change to summer time leaves out is due when the clocks have been moved; one that comes twice is due once.

use std::str::FromStr;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Unit};

use crate::error::{Code, Error, Result};

/// When a job is due.
#[derive(Debug, Clone)]
pub(crate) struct Cron {
    pattern: croner::Cron,
    zone: TimeZone,
}

impl Cron {
    /// Reads `minute hour day month weekday`, with seconds in front or without.
    pub(crate) fn parse(text: &str, zone: &TimeZone) -> Result<Self> {
        let pattern = croner::Cron::from_str(text.trim()).map_err(|e| {
            Error::new(Code::InvalidOption, format!("`{text}` is not a cron expression: {e}"))
                .next("write it like `0 2 * * *`: minute, hour, day of the month, month, day of the week; or `off`")
        })?;
        let cron = Self { pattern, zone: zone.clone() };
        // An expression like the 30th of February is never due.
        cron.next(Timestamp::UNIX_EPOCH).map(|_| cron).ok_or_else(|| {
            Error::new(Code::InvalidOption, format!("`{text}` is never due")).next("write it like `0 2 * * *`")
        })
    }

    /// The newest time that is not later than `now`.
    pub(crate) fn last(&self, now: Timestamp) -> Option<Timestamp> {
        let at = now
            .to_zoned(self.zone.clone())
            .round(jiff::ZonedRound::new().smallest(Unit::Second).mode(jiff::RoundMode::Floor))
            .ok()?;
        self.pattern.find_previous_occurrence(&at, true).ok().map(|at| at.timestamp())
    }

    /// The first time that is later than `now`.
    pub(crate) fn next(&self, now: Timestamp) -> Option<Timestamp> {
        self.pattern.find_next_occurrence(&now.to_zoned(self.zone.clone()), false).ok().map(|at| at.timestamp())
    }
}

/// The time zone of this name.
pub(crate) fn zone(name: &str) -> Result<TimeZone> {
    if name.eq_ignore_ascii_case("utc") {
        return Ok(TimeZone::UTC);
    }
    TimeZone::get(name).map_err(|e| {
        Error::new(Code::InvalidOption, format!("`{name}` is not a time zone: {e}"))
            .next("give a name like Europe/Berlin, or UTC")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn next(pattern: &str, from: &str) -> String {
        let berlin = zone("Europe/Berlin").unwrap();
        Cron::parse(pattern, &berlin).unwrap().next(time(from)).unwrap().to_string()
    }

    #[test]
    fn a_time_zone_says_when_it_is_two_in_the_morning() {
        assert_eq!(next("0 2 * * *", "2026-11-20T12:00:00Z"), "2026-11-21T01:00:00Z");
        assert_eq!(next("0 2 * * *", "2026-07-20T12:00:00Z"), "2026-07-21T00:00:00Z");
        assert_eq!(next("0 4 * * 1", "2026-11-20T12:00:00Z"), "2026-11-23T03:00:00Z");
    }

    #[test]
    fn every_day_has_one_slot_when_the_clocks_change() {
        // Half past two does not exist on 29 March 2026 and comes twice on 25 October.
        for (day, from) in [("03-29", "2026-03-28T12:00:00Z"), ("10-25", "2026-10-24T12:00:00Z")] {
            let berlin = zone("Europe/Berlin").unwrap();
            let cron = Cron::parse("30 2 * * *", &berlin).unwrap();
            let mut at = time(from);
            let mut days = Vec::new();
            for _ in 0..3 {
                at = cron.next(at).unwrap();
                days.push(at.to_zoned(berlin.clone()).strftime("%m-%d").to_string());
                assert_eq!(cron.last(at), Some(at));
            }
            assert_eq!(days[0], day);
            assert!(days[0] < days[1] && days[1] < days[2], "{days:?}");
        }
    }

    #[test]
    fn the_last_slot_is_found_at_and_after_its_time() {
        let cron = Cron::parse("0 2 * * *", &TimeZone::UTC).unwrap();
        let slot = time("2026-11-21T02:00:00Z");
        for now in ["2026-11-21T02:00:00Z", "2026-11-21T02:00:00.999Z", "2026-11-22T01:59:59.999Z"] {
            assert_eq!(cron.last(time(now)), Some(slot), "{now}");
        }
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        for bad in ["", "at noon", "61 * * * *", "0 0 30 2 *", "* * *"] {
            let error = Cron::parse(bad, &TimeZone::UTC).unwrap_err();
            assert_eq!(error.code(), Code::InvalidOption, "{bad}");
        }
        assert!(zone("Mars/Olympus").unwrap_err().to_string().contains("Mars/Olympus"));
    }
}
