//! Lengths of time as Prometheus writes them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::Timestamp;

/// The units, from the longest to the shortest, in milliseconds.
const UNITS: [(&str, u64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// A length of time, written as Prometheus writes durations: `30m`, `48h`, `1h30m`, `7d`, `500ms`.
///
/// Units go from the longest to the shortest, each at most once; a year has 365 days.
///
/// ```
/// use flagstone::rollout::Period;
///
/// let period: Period = "1h30m".parse()?;
/// assert_eq!(period.millis(), 5_400_000);
/// assert_eq!(period.to_string(), "1h30m");
/// assert!("90".parse::<Period>().is_err(), "a number without a unit could be anything");
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(u64);

impl Period {
    /// No time at all.
    pub const ZERO: Period = Period(0);

    /// A period of so many milliseconds; one that is longer than Prometheus knows is cut to that.
    pub const fn from_millis(millis: u64) -> Period {
        const MOST: u64 = 100 * 365 * 86_400_000;
        Period(if millis < MOST { millis } else { MOST })
    }

    /// Milliseconds.
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// Whether it is no time at all.
    pub fn is_zero(&self) -> bool {
        self.0 == 0
    }

    /// The instant that much later.
    pub(crate) fn after(self, at: Timestamp) -> Timestamp {
        at.plus_millis(self.0.cast_signed())
    }

    /// The instant that much earlier.
    pub(crate) fn before(self, at: Timestamp) -> Timestamp {
        at.plus_millis(-self.0.cast_signed())
    }
}

impl From<Period> for Duration {
    fn from(period: Period) -> Duration {
        Duration::from_millis(period.0)
    }
}

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Period, String> {
        let wrong = || format!("`{text}` is no duration; write it like 30m, 48h, 1h30m or 7d");
        if text == "0" {
            return Ok(Period::ZERO);
        }
        let (mut rest, mut units, mut millis) = (text, UNITS.iter(), 0_u64);
        if rest.is_empty() {
            return Err(wrong());
        }
        while !rest.is_empty() {
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
            rest = &rest[digits..];
            let letters = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
            // Going on behind the unit before is what keeps them in order.
            let (_, unit) = units.find(|(name, _)| *name == &rest[..letters]).ok_or_else(wrong)?;
            rest = &rest[letters..];
            millis = number.checked_mul(*unit).and_then(|part| millis.checked_add(part)).ok_or_else(wrong)?;
        }
        let period = Period::from_millis(millis);
        if period.0 == millis { Ok(period) } else { Err(format!("`{text}` is longer than 100 years")) }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        let mut rest = self.0;
        // Years and weeks are for reading: 730d says more than 2y.
        for (name, unit) in UNITS.iter().filter(|(name, _)| !matches!(*name, "y" | "w")) {
            if rest >= *unit {
                write!(f, "{}{name}", rest / unit)?;
                rest %= unit;
            }
        }
        Ok(())
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Period {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Period".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A length of time as Prometheus writes it: 30m, 48h, 1h30m, 7d.",
            "type": "string",
            "pattern": "^(0|([0-9]+y)?([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?)$",
            "minLength": 1,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_a_period_and_what_is_not() {
        for (text, millis) in [("0", 0), ("0s", 0), ("15s", 15_000), ("1d12h", 129_600_000), ("2w", 1_209_600_000)] {
            assert_eq!(text.parse(), Ok(Period(millis)), "{text}");
        }
        for text in
            ["", "5", "m", "-5m", "5 m", "1.5h", "30m1h", "1m1m", "5M", "5min", "101y", "99999999999999999999d", "٣m"]
        {
            assert!(text.parse::<Period>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_period_survives_text(millis in 0_u64..100 * 365 * 86_400_000) {
            let period = Period(millis);
            prop_assert_eq!(period.to_string().parse(), Ok(period));
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = text.parse::<Period>();
        }
    }
}
