//! When a rollout may move forward: windows by wall clock, and freezes.

use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp as Instant, Zoned};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// A part of the week in which a rollout may move forward.
///
/// ```
/// use flagstone::rollout::Window;
///
/// let window: Window = serde_json::from_str(
///     r#"{"days": ["monday", "tuesday"], "from": "09:00", "until": "16:00", "zone": "Europe/Stockholm"}"#,
/// )?;
/// assert!(window.is_open("2025-01-13T08:30:00Z".parse()?), "Monday, half past nine in Stockholm");
/// assert!(!window.is_open("2025-01-13T15:00:00Z".parse()?), "four o'clock is not in it");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Window {
    /// The days; absent means every day.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<Day>,
    /// From this time of the day on, as in `09:00`.
    #[schemars(regex(pattern = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"))]
    pub from: String,
    /// Until this time of the day, which is not in it any more; `24:00` is the day's end.
    #[schemars(regex(pattern = r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$"))]
    pub until: String,
    /// The time zone, by its IANA name as in `Europe/Stockholm`; absent means UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub enum Day {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

impl Day {
    fn weekday(self) -> Weekday {
        match self {
            Day::Monday => Weekday::Monday,
            Day::Tuesday => Weekday::Tuesday,
            Day::Wednesday => Weekday::Wednesday,
            Day::Thursday => Weekday::Thursday,
            Day::Friday => Weekday::Friday,
            Day::Saturday => Weekday::Saturday,
            Day::Sunday => Weekday::Sunday,
        }
    }
}

/// A time in which nothing moves forward. Rollbacks go on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Freeze {
    /// From then on.
    pub from: Timestamp,
    /// Until then, which is not in it any more.
    pub until: Timestamp,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Freeze {
    /// Whether the instant lies in it.
    pub fn covers(&self, now: Timestamp) -> bool {
        self.from <= now && now < self.until
    }
}

impl Window {
    /// What is wrong with it, if anything.
    pub fn problem(&self) -> Option<String> {
        if let Err(problem) = self.zone() {
            return Some(problem);
        }
        match (minutes(&self.from), minutes(&self.until)) {
            (Some(from), Some(until)) if from < until => None,
            (Some(_), Some(_)) => Some(format!(
                "the window ends at {} before it begins at {}; write one that passes midnight as two",
                self.until, self.from
            )),
            _ => Some("write the times of a window like 09:00 and 16:30".to_owned()),
        }
    }

    /// Whether the instant lies in it. What has a [problem](Window::problem) is never open.
    pub fn is_open(&self, now: Timestamp) -> bool {
        let (Ok(zone), Some(from), Some(until)) = (self.zone(), minutes(&self.from), minutes(&self.until)) else {
            return false;
        };
        let Ok(now) = Instant::from_millisecond(now.as_millis()) else { return false };
        let now = now.to_zoned(zone);
        let minute = i32::from(now.hour()) * 60 + i32::from(now.minute());
        self.on(now.weekday()) && from <= minute && minute < until
    }

    /// The next instant at which it is open: now, or its next beginning within eight days.
    pub fn opens(&self, now: Timestamp) -> Option<Timestamp> {
        if self.is_open(now) {
            return Some(now);
        }
        let from = minutes(&self.from)?;
        let start = Instant::from_millisecond(now.as_millis()).ok()?.to_zoned(self.zone().ok()?);
        let mut day = start.date();
        for _ in 0..=8 {
            let time = Time::new(i8::try_from(from / 60).ok()?, i8::try_from(from % 60).ok()?, 0, 0).ok()?;
            // Where clocks leap over that time, it is the first instant after it.
            let opens: Zoned = day.to_datetime(time).to_zoned(start.time_zone().clone()).ok()?;
            if self.on(day.weekday()) && opens.duration_since(&start) > SignedDuration::ZERO {
                return Some(Timestamp::from_millis(opens.timestamp().as_millisecond()));
            }
            day = day.tomorrow().ok()?;
        }
        None
    }

    /// The next instant at which it may open or close.
    pub(super) fn turns(&self, now: Timestamp) -> Option<Timestamp> {
        let start = Instant::from_millisecond(now.as_millis()).ok()?.to_zoned(self.zone().ok()?);
        // Where clocks are put back, what was over is once more.
        let leap = start.time_zone().following(start.timestamp()).next();
        let leap = leap.map(|leap| Timestamp::from_millis(leap.timestamp().as_millisecond()));
        let time = start.time();
        let minute = i64::from(time.hour()) * 60 + i64::from(time.minute());
        let millis = minute * 60_000 + i64::from(time.second()) * 1000 + i64::from(time.millisecond());
        let today = |time| Some(now.plus_millis(i64::from(minutes(time)?) * 60_000 - millis));
        let turns = [leap, today(&self.from), today(&self.until), self.opens(now)];
        turns.into_iter().flatten().filter(|at| *at > now).min()
    }

    fn on(&self, weekday: Weekday) -> bool {
        self.days.is_empty() || self.days.iter().any(|day| day.weekday() == weekday)
    }

    fn zone(&self) -> Result<TimeZone, String> {
        let Some(name) = &self.zone else { return Ok(TimeZone::UTC) };
        TimeZone::get(name)
            .map_err(|_| format!("there is no time zone `{name}`; write its IANA name, like Europe/Stockholm"))
    }
}

/// Minutes since midnight.
fn minutes(time: &str) -> Option<i32> {
    let (hour, minute) = time.split_once(':')?;
    let number = |text: &str| (text.len() == 2).then(|| text.parse::<u8>().ok()).flatten();
    let (hour, minute) = (number(hour)?, number(minute)?);
    let fits = (hour < 24 && minute < 60) || (hour == 24 && minute == 0);
    fits.then(|| i32::from(hour) * 60 + i32::from(minute))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn window(days: &[Day], from: &str, until: &str, zone: &str) -> Window {
        let (from, until, zone) = (from.to_owned(), until.to_owned(), Some(zone.to_owned()));
        Window { days: days.to_vec(), from, until, zone }
    }

    #[test]
    fn a_window_opens_by_the_wall_clock_of_its_zone() {
        let window = window(&[Day::Monday, Day::Friday], "09:00", "16:00", "Europe/Stockholm");
        assert_eq!(window.problem(), None);
        // Friday in winter, at nine in Stockholm.
        assert_eq!(window.opens(at("2025-01-10T07:59:59.999Z")), Some(at("2025-01-10T08:00:00Z")));
        assert!(window.is_open(at("2025-01-10T14:59:59Z")) && !window.is_open(at("2025-01-10T15:00:00Z")));
        // The next is Monday, and in summer an hour earlier by UTC.
        assert_eq!(window.opens(at("2025-01-10T15:00:00Z")), Some(at("2025-01-13T08:00:00Z")));
        assert_eq!(window.opens(at("2025-06-27T15:00:00Z")), Some(at("2025-06-30T07:00:00Z")));
    }

    #[test]
    fn a_time_that_clocks_leap_over_is_the_first_after_it() {
        let window = window(&[], "02:30", "05:00", "Europe/Stockholm");
        assert_eq!(window.opens(at("2025-03-30T00:30:00Z")), Some(at("2025-03-30T01:30:00Z")));
    }

    #[test]
    fn nothing_turns_between_its_turns() {
        let windows = [
            window(&[Day::Monday, Day::Friday], "09:00", "16:00", "Europe/Stockholm"),
            window(&[], "01:30", "02:30", "Europe/Stockholm"),
            window(&[], "00:00", "24:00", "UTC"),
        ];
        // Clocks are put back in the night to the 26th of October, and ahead in that to the 30th of March.
        for (window, from) in windows.iter().flat_map(|window| ["2025-10-24", "2025-03-28"].map(|from| (window, from)))
        {
            let start = at(&format!("{from}T00:00:30Z"));
            let mut next = start;
            for minute in 0..5 * 24 * 60 {
                let now = start.plus_millis(minute * 60_000);
                let before = now.plus_millis(-60_000);
                if minute > 0 && window.is_open(now) != window.is_open(before) {
                    assert!(before < next && next <= now, "{window:?} turned by {now}, and is said to at {next}");
                }
                if next <= now {
                    next = window.turns(now).unwrap_or(Timestamp::MAX);
                }
            }
        }
    }

    #[test]
    fn what_makes_no_sense_is_never_open() {
        let now = at("2025-01-10T12:00:00Z");
        for bad in [
            window(&[], "16:00", "09:00", "UTC"),
            window(&[], "09:00", "16:00", "Europe/Atlantis"),
            window(&[], "9", "16:00", "UTC"),
            window(&[], "24:01", "25:00", "UTC"),
        ] {
            assert!(bad.problem().is_some() && !bad.is_open(now), "{bad:?}");
        }
        let all_day = window(&[], "00:00", "24:00", "UTC");
        assert!(all_day.problem().is_none() && all_day.is_open(now));
    }
}
