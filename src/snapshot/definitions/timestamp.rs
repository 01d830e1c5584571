//! Instants as people write them.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use regex_lite::Regex;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::yaml::regex;

const DATE: &str = "[0-9]{4}-[0-9]{2}-[0-9]{2}";
const TIME: &str = r"[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[-+][0-9]{2}:[0-9]{2})";

/// An instant in milliseconds since 1970 in UTC, written as RFC 3339 with a zone.
///
/// ```
/// use flagstone::snapshot::definitions::Timestamp;
///
/// let at: Timestamp = "2025-01-10T09:00:00+01:00".parse()?;
/// assert_eq!(at.milliseconds(), 1_736_496_000_000);
/// assert_eq!(at.to_string(), "2025-01-10T08:00:00Z");
/// assert!("2025-01-10T08:00:00".parse::<Timestamp>().is_err(), "no zone");
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(jiff::Timestamp);

impl Timestamp {
    /// The instant so many milliseconds after 1970 began in UTC; `None` beyond the years −9999 and 9999.
    pub fn from_milliseconds(milliseconds: i64) -> Option<Self> {
        jiff::Timestamp::from_millisecond(milliseconds).ok().map(Timestamp)
    }

    /// Milliseconds since 1970 began in UTC.
    pub fn milliseconds(self) -> i64 {
        self.0.as_millisecond()
    }

    /// A day, from its first instant in UTC, or an instant.
    pub(super) fn from_date_or_time(text: &str) -> Result<Self, String> {
        static DAY: LazyLock<Regex> = LazyLock::new(|| regex(&format!("^{DATE}$")));
        match DAY.is_match(text) {
            true => format!("{text}T00:00:00Z").parse(),
            false => text.parse(),
        }
    }
}

impl FromStr for Timestamp {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        static RFC3339: LazyLock<Regex> = LazyLock::new(|| regex(&format!("^{DATE}{TIME}$")));
        if !RFC3339.is_match(text) {
            return Err(format!("`{text}` is not an instant with a zone, as in 2025-01-10T08:00:00Z (RFC 3339)"));
        }
        let instant: jiff::Timestamp =
            text.to_ascii_uppercase().parse().map_err(|_| format!("`{text}` is no instant that exists"))?;
        // Rounded down to what the engine compares.
        let milliseconds = instant.as_nanosecond().div_euclid(1_000_000) as i64;
        Self::from_milliseconds(milliseconds).ok_or_else(|| format!("`{text}` is out of range"))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Text(Timestamp::from_str))
    }
}

impl JsonSchema for Timestamp {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "An instant: RFC 3339 with a zone (2025-01-10T08:00:00Z), or milliseconds since 1970 in UTC.",
            "anyOf": [{"type": "string", "pattern": format!("^{DATE}{TIME}$")}, {"type": "integer"}],
        })
    }
}

struct Text(fn(&str) -> Result<Timestamp, String>);

impl Visitor<'_> for Text {
    type Value = Timestamp;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an instant as in 2025-01-10T08:00:00Z (RFC 3339)")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Timestamp, E> {
        (self.0)(text).map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, milliseconds: i64) -> Result<Timestamp, E> {
        Timestamp::from_milliseconds(milliseconds)
            .ok_or_else(|| E::custom(format_args!("{milliseconds} milliseconds since 1970 are out of range")))
    }

    fn visit_u64<E: de::Error>(self, milliseconds: u64) -> Result<Timestamp, E> {
        self.visit_i64(i64::try_from(milliseconds).unwrap_or(i64::MAX))
    }
}

/// For fields where a day will do.
pub(super) mod date_or_time {
    use super::*;

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
        deserializer.deserialize_any(Text(Timestamp::from_date_or_time)).map(Some)
    }

    pub fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [{"type": "string", "pattern": format!("^{DATE}({TIME})?$")}, {"type": "integer"}],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_instants_with_a_zone() {
        for text in ["2025-01-10T08:00:00Z", "2025-01-10t08:00:00z", "2025-01-10T13:30:00.000+05:30"] {
            assert_eq!(text.parse::<Timestamp>().unwrap().milliseconds(), 1_736_496_000_000, "{text}");
        }
        for text in ["2025-01-10", "2025-01-10T08:00Z", "2025-01-10T08:00:00", "2025-02-30T08:00:00Z", "tomorrow", ""] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
        assert!(serde_json::from_str::<Timestamp>("9007199254740991").is_err());
    }

    #[test]
    fn finer_than_a_millisecond_is_rounded_down() {
        for (text, milliseconds) in [("1970-01-01T00:00:00.0019Z", 1), ("1969-12-31T23:59:59.9999Z", -1)] {
            assert_eq!(text.parse::<Timestamp>().unwrap().milliseconds(), milliseconds);
        }
    }

    #[test]
    fn a_day_begins_at_midnight_in_utc() {
        assert_eq!(Timestamp::from_date_or_time("2026-03-01").unwrap().to_string(), "2026-03-01T00:00:00Z");
    }
}
