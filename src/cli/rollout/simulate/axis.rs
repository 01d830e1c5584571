//! Time as it is drawn: where it is marked, and how it is written.

use flagstone::Timestamp;
use flagstone::rollout::Period;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// From one mark to the next.
const STEPS: [i64; 20] = [
    MINUTE,
    2 * MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    15 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    3 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    2 * DAY,
    4 * DAY,
    7 * DAY,
    14 * DAY,
    28 * DAY,
    91 * DAY,
    182 * DAY,
    365 * DAY,
];

/// Instants to mark, and their labels: at most so many.
pub fn marks(from: Timestamp, until: Timestamp, most: usize) -> Vec<(Timestamp, String)> {
    let lasts = until.as_millis().saturating_sub(from.as_millis());
    let fits = |step: &&i64| lasts / **step <= i64::try_from(most).unwrap_or(i64::MAX);
    let step = STEPS.iter().find(fits).copied().unwrap_or(lasts.max(1));
    // What is longer than a day is counted from the day that it begins.
    let first = match step > DAY {
        true => from.as_millis().div_euclid(DAY) * DAY,
        false => from.as_millis().div_euclid(step) * step,
    };
    let all = (0..).map(|place| Timestamp::from_millis(first + place * step)).take_while(|at| *at <= until);
    all.filter(|at| *at >= from).map(|at| (at, label(at, step))).collect()
}

fn label(at: Timestamp, step: i64) -> String {
    match step {
        step if step >= 182 * DAY => format(at, "%b %Y"),
        step if step >= DAY => format(at, "%-d %b"),
        _ if at.as_millis().rem_euclid(DAY) == 0 => format(at, "%-d %b"),
        _ => format(at, "%H:%M"),
    }
}

/// An instant, to the minute, in UTC.
pub fn instant(at: Timestamp) -> String {
    format(at, "%-d %b %Y %H:%M")
}

fn format(at: Timestamp, how: &str) -> String {
    match jiff::Timestamp::from_millisecond(at.as_millis()) {
        Ok(instant) => instant.strftime(how).to_string(),
        Err(_) => at.to_string(),
    }
}

/// How long it is, by the two units that matter: `8s`, `3m20s`, `4d3h`.
pub fn span(period: Period) -> String {
    let millis = i64::try_from(period.millis()).unwrap_or(i64::MAX);
    let unit = [DAY, HOUR, MINUTE, 1000].into_iter().find(|unit| millis >= *unit).unwrap_or(1);
    let finer = match unit {
        DAY => HOUR,
        HOUR => MINUTE,
        MINUTE => 1000,
        _ => 1,
    };
    let rounded = (millis + finer / 2) / finer * finer;
    Period::from_millis(rounded.unsigned_abs()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn marks_are_as_many_as_fit() {
        let labels = |from: &str, until: &str, most| -> Vec<String> {
            marks(at(from), at(until), most).into_iter().map(|(_, label)| label).collect()
        };
        assert_eq!(labels("2025-12-01T08:00:00Z", "2025-12-04T08:00:00Z", 5), ["2 Dec", "3 Dec", "4 Dec"]);
        assert_eq!(
            labels("2025-12-01T20:00:00Z", "2025-12-02T08:00:00Z", 4),
            ["21:00", "2 Dec", "03:00", "06:00"].map(str::to_owned)
        );
        assert_eq!(labels("2025-01-01T00:00:00Z", "2027-01-01T00:00:00Z", 3), ["Jan 2025", "Jan 2026", "Jan 2027"]);
        assert_eq!(labels("2025-01-01T00:00:00Z", "2025-01-01T00:00:00Z", 3).len(), 1, "no time at all");
    }

    #[test]
    fn spans_have_two_units() {
        for (period, text) in [("0", "0s"), ("8s", "8s"), ("3m20s", "3m20s"), ("4d3h40m", "4d4h"), ("1h2m3s", "1h2m")] {
            assert_eq!(span(period.parse().unwrap()), text);
        }
    }
}
