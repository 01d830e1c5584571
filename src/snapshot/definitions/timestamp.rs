//! Instants as people write them: RFC 3339, or milliseconds since 1970.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Timestamp;
use crate::snapshot::read::MAX_MILLIS;

const DATE: &str = "[0-9]{4}-[0-9]{2}-[0-9]{2}";
const TIME: &str = r"[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[-+][0-9]{2}:[0-9]{2})";
/// The first instant that RFC 3339 can write, that of the year 0000.
const MIN_MILLIS: i64 = -62_167_219_200_000;

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Written { days: false })
    }
}

impl JsonSchema for Timestamp {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schema(&format!("^{DATE}{TIME}$"))
    }
}

fn schema(pattern: &str) -> Schema {
    json_schema!({
        "anyOf": [
            {"type": "string", "pattern": pattern},
            {"type": "integer", "minimum": MIN_MILLIS, "maximum": MAX_MILLIS},
        ],
    })
}

struct Written {
    /// Whether a day will do, for its first instant in UTC.
    days: bool,
}

impl Visitor<'_> for Written {
    type Value = Timestamp;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an instant as in 2025-01-10T08:00:00Z (RFC 3339)")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Timestamp, E> {
        let day = self.days.then(|| format!("{text}T00:00:00Z").parse().ok()).flatten();
        let instant = day.map_or_else(|| text.parse(), Ok);
        instant.map_err(|error| E::custom(format_args!("`{text}` is {error}")))
    }

    fn visit_i64<E: de::Error>(self, millis: i64) -> Result<Timestamp, E> {
        match (MIN_MILLIS..=MAX_MILLIS).contains(&millis) {
            true => Ok(Timestamp::from_millis(millis)),
            false => Err(E::custom(format_args!("{millis} milliseconds since 1970 are not in the years 0 to 9999"))),
        }
    }

    fn visit_u64<E: de::Error>(self, millis: u64) -> Result<Timestamp, E> {
        self.visit_i64(i64::try_from(millis).unwrap_or(i64::MAX))
    }
}

/// For fields where a day will do.
pub(super) mod date_or_time {
    use super::*;

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
        deserializer.deserialize_any(Written { days: true }).map(Some)
    }

    pub fn schema(_: &mut SchemaGenerator) -> Schema {
        super::schema(&format!("^{DATE}({TIME})?$"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_instants_with_a_zone_that_print_as_they_are_read() {
        for json in [r#""2025-01-10T08:00:00Z""#, r#""2025-01-10T13:30:00.000+05:30""#, "1736496000000"] {
            let instant: Timestamp = serde_json::from_str(json).unwrap();
            assert_eq!(serde_json::to_string(&instant).unwrap(), r#""2025-01-10T08:00:00Z""#);
        }
        for instant in [MIN_MILLIS, MAX_MILLIS] {
            let json = serde_json::to_string(&Timestamp::from_millis(instant)).unwrap();
            assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap().as_millis(), instant);
        }
        for json in [r#""2025-01-10""#, r#""2025-01-10T08:00:00""#, "9007199254740991", "-62167219200001", "1.5"] {
            assert!(serde_json::from_str::<Timestamp>(json).is_err(), "{json}");
        }
    }
}
