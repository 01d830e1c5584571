use std::fmt;

use crate::number::decimal;

const SECOND: i64 = 1_000;
const DAY: i64 = 86_400 * SECOND;

/// An instant, in whole milliseconds since 1970-01-01T00:00:00Z.
///
/// Read and printed as RFC 3339. Flagstone compares instants in milliseconds, so finer fractions are cut off.
///
/// ```
/// use flagstone::Timestamp;
///
/// let start: Timestamp = "2025-01-10T08:00:00+01:00".parse()?;
/// assert_eq!(start, Timestamp::from_millis(1_736_492_400_000));
/// assert_eq!(start.to_string(), "2025-01-10T07:00:00Z");
/// assert!("2025-01-10".parse::<Timestamp>().is_err(), "a date alone names no instant");
/// # Ok::<(), flagstone::TimestampError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The last instant that there is; "for ever" where a time limit is meant.
    pub const MAX: Timestamp = Timestamp(i64::MAX);

    /// An instant from milliseconds since 1970, as JavaScript's `Date.now()` counts them.
    pub const fn from_millis(millis: i64) -> Self {
        Timestamp(millis)
    }

    /// Milliseconds since 1970.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// The instant that many milliseconds later (or earlier), stopping at the ends of time.
    pub const fn plus_millis(self, millis: i64) -> Self {
        Timestamp(self.0.saturating_add(millis))
    }

    /// What the system's clock says.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn now() -> Self {
        std::time::SystemTime::now().into()
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl From<std::time::SystemTime> for Timestamp {
    fn from(time: std::time::SystemTime) -> Self {
        let millis = |elapsed: std::time::Duration| i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX);
        Timestamp(match time.duration_since(std::time::UNIX_EPOCH) {
            Ok(after) => millis(after),
            Err(before) => -millis(before.duration()),
        })
    }
}

/// A text that is no RFC 3339 instant with a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampError(());

impl fmt::Display for TimestampError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an RFC 3339 instant; write it like 2025-01-10T08:00:00Z or 2025-01-10T09:00:00+01:00")
    }
}

impl std::error::Error for TimestampError {}

impl std::str::FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, TimestampError> {
        parse(text.as_bytes()).map(Timestamp).ok_or(TimestampError(()))
    }
}

fn parse(text: &[u8]) -> Option<i64> {
    let (head, tail) = text.split_at_checked(19)?;
    let number = |from: usize, to: usize| {
        head[from..to]
            .iter()
            .try_fold(0i64, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0')))
    };
    let shaped = head[4] == b'-' && head[7] == b'-' && head[13] == b':' && head[16] == b':';
    if !shaped || !matches!(head[10], b'T' | b't' | b' ') {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    // A leap second is read as the first instant of the next minute, as POSIX time does.
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if !(1..=12).contains(&month)
        || day < 1
        || day > days_in_month(year, month)
        || hour > 23
        || minute > 59
        || second > 60
    {
        return None;
    }

    let (fraction, zone) = match tail {
        [b'.', rest @ ..] => rest.split_at(rest.iter().position(|byte| !byte.is_ascii_digit())?),
        _ => (&[][..], tail),
    };
    if tail.first() == Some(&b'.') && fraction.is_empty() {
        return None;
    }
    let digit = |place: usize| i64::from(fraction.get(place).map_or(0, |byte| byte - b'0'));
    let millis = digit(0) * 100 + digit(1) * 10 + digit(2);

    let offset = match *zone {
        [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] if [h1, h2, m1, m2].iter().all(u8::is_ascii_digit) => {
            let pair = |tens: u8, ones: u8| i64::from(tens - b'0') * 10 + i64::from(ones - b'0');
            let (hours, minutes) = (pair(h1, h2), pair(m1, m2));
            if hours > 23 || minutes > 59 {
                return None;
            }
            (hours * 60 + minutes) * if sign == b'-' { -1 } else { 1 }
        }
        _ => return None,
    };
    Some(days_from_civil(year, month, day) * DAY + ((hour * 60 + minute - offset) * 60 + second) * SECOND + millis)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 in the proleptic Gregorian calendar, by counting years from March so that the leap day is last
/// (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The inverse of [`days_from_civil`].
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

impl Timestamp {
    pub(crate) fn text(self) -> String {
        let digits = |number: i64, count: usize| {
            let digits = decimal(number);
            ["0".repeat(count.saturating_sub(digits.len())), digits].concat()
        };
        let (year, month, day) = civil_from_days(self.0.div_euclid(DAY));
        let millis = self.0.rem_euclid(DAY);
        let mut text = if year < 0 { ["-", &digits(-year, 3)].concat() } else { digits(year, 4) };
        let fields = [month, day, millis / 3_600_000, millis / 60_000 % 60, millis / SECOND % 60];
        for (before, field) in ["-", "-", "T", ":", ":"].into_iter().zip(fields) {
            text.push_str(before);
            text.push_str(&digits(field, 2));
        }
        if millis % SECOND != 0 {
            text.push('.');
            text.push_str(&digits(millis % SECOND, 3));
        }
        text.push('Z');
        text
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}
