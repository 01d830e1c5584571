//! Percents and weights: decimals with at most three places, read exactly from their text.

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::yaml::NUMBER_TEXT;

/// A percent in thousandths, 0 ..= 100 000: `12.5` is 12 500.
///
/// It is read from the text of the number, so no double ever rounds it.
///
/// ```
/// use flagstone::snapshot::definitions::Percent;
///
/// let percent: Percent = "12.3450".parse()?;
/// assert_eq!(percent.thousandths(), 12_345);
/// assert_eq!(percent.to_string(), "12.345");
/// assert!("12.3456".parse::<Percent>().is_err());
/// assert!("101".parse::<Percent>().is_err());
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(u32);

/// A share of a split in thousandths, 0 ..= 10⁹: `33.3` is 33 300. Only its proportion to the others counts.
///
/// ```
/// use flagstone::snapshot::definitions::Weight;
///
/// assert_eq!("33.3".parse::<Weight>()?.thousandths(), 33_300);
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Weight(u32);

impl Percent {
    /// Everyone.
    pub const ALL: Percent = Percent(100_000);

    /// So many percentage points more; none above 100 %.
    pub fn plus(self, more: Percent) -> Option<Percent> {
        Some(Percent(self.0 + more.0)).filter(|sum| *sum <= Percent::ALL)
    }

    /// So many percentage points less, but not below 0 %.
    #[must_use]
    pub fn minus(self, less: Percent) -> Percent {
        Percent(self.0.saturating_sub(less.0))
    }

    /// Thousandths of a percent, 0 ..= 100 000, which is also the number of positions below it.
    pub fn thousandths(self) -> u32 {
        self.0
    }

    /// As a number from 0 to 1.
    pub(crate) fn fraction(self) -> f64 {
        f64::from(self.0) / 100_000.0
    }
}

impl Weight {
    /// Thousandths, 0 ..= 10⁹.
    pub fn thousandths(self) -> u32 {
        self.0
    }
}

/// The thousandths in a text such as `12.5`, up to `most`.
fn thousandths(text: &str, most: u32) -> Option<u32> {
    let (whole, places) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let kept = places.trim_end_matches('0');
    if !digits(whole) || !digits(places) || (whole.len() > 1 && whole.starts_with('0')) || kept.len() > 3 {
        return None;
    }
    let number = whole.parse::<u32>().ok()?.checked_mul(1000)?.checked_add(format!("{kept:0<3}").parse().ok()?)?;
    (number <= most).then_some(number)
}

fn display(thousandths: u32, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let places = format!("{:03}", thousandths % 1000);
    match places.trim_end_matches('0') {
        "" => write!(f, "{}", thousandths / 1000),
        places => write!(f, "{}.{places}", thousandths / 1000),
    }
}

macro_rules! decimal {
    ($name:ident, $most:literal, $what:literal) => {
        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                let message = || format!(concat!("`{}` is not ", $what, " with at most three decimal places"), text);
                thousandths(text, $most).map($name).ok_or_else(message)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                display(self.0, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match self.0 % 1000 {
                    0 => serializer.serialize_u32(self.0 / 1000),
                    // The nearest double to so few digits prints as those digits again.
                    _ => serializer.serialize_f64(f64::from(self.0) / 1000.0),
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;
                impl<'de> Visitor<'de> for Text {
                    type Value = $name;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($what)
                    }

                    fn visit_newtype_struct<D: Deserializer<'de>>(self, number: D) -> Result<$name, D::Error> {
                        number.deserialize_any(self)
                    }

                    fn visit_bytes<E: de::Error>(self, text: &[u8]) -> Result<$name, E> {
                        String::from_utf8_lossy(text).parse().map_err(E::custom)
                    }

                    fn visit_u64<E: de::Error>(self, number: u64) -> Result<$name, E> {
                        number.to_string().parse().map_err(E::custom)
                    }

                    fn visit_i64<E: de::Error>(self, number: i64) -> Result<$name, E> {
                        number.to_string().parse().map_err(E::custom)
                    }

                    fn visit_f64<E: de::Error>(self, number: f64) -> Result<$name, E> {
                        number.to_string().parse().map_err(E::custom)
                    }
                }
                deserializer.deserialize_newtype_struct(NUMBER_TEXT, Text)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                // No `multipleOf: 0.001`: many validators divide doubles and refuse 12.345.
                json_schema!({
                    "description": concat!("A decimal with at most three places: ", $what, "."),
                    "type": "number",
                    "minimum": 0,
                    "maximum": $most / 1000,
                })
            }
        }
    };
}

decimal!(Percent, 100_000, "a percent from 0 to 100");
decimal!(Weight, 1_000_000_000, "a weight from 0 to 1000000");

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_a_percent_and_what_is_not() {
        for (text, thousandths) in
            [("0", 0), ("100", 100_000), ("100.000", 100_000), ("12.5", 12_500), ("12.3450", 12_345), ("0.001", 1)]
        {
            assert_eq!(text.parse::<Percent>().map(Percent::thousandths), Ok(thousandths), "{text}");
        }
        for text in [
            "",
            ".",
            "5.",
            ".5",
            "-1",
            "-0",
            "+5",
            "1e1",
            "NaN",
            "inf",
            "101",
            "100.001",
            "12.3456",
            "0x10",
            "007",
            "1 ",
            "٣",
            "99999999999999999999",
            "4294967.296",
            "1_0",
            "12.345.1",
        ] {
            assert!(text.parse::<Percent>().is_err(), "{text}");
        }
        assert_eq!(
            "101".parse::<Percent>().unwrap_err(),
            "`101` is not a percent from 0 to 100 with at most three decimal places"
        );
    }

    #[test]
    fn every_percent_survives_text_and_json() {
        for thousandths in 0..=100_000 {
            let percent = Percent(thousandths);
            assert_eq!(percent.to_string().parse(), Ok(percent));
            let json = serde_json::to_string(&percent).unwrap();
            assert_eq!(json, percent.to_string());
            assert_eq!(serde_json::from_str::<Percent>(&json).unwrap(), percent);
        }
    }

    #[test]
    fn json_strings_are_no_percents() {
        assert!(serde_json::from_str::<Percent>("\"12\"").is_err());
        assert!(serde_json::from_str::<Percent>("12.3456").is_err());
        assert!(serde_json::from_str::<Percent>("-1").is_err());
    }

    proptest! {
        #[test]
        fn a_decimal_is_read_digit_for_digit(whole in 0u32..100, places in "[0-9]{0,3}0{0,5}") {
            let text = if places.is_empty() { whole.to_string() } else { format!("{whole}.{places}") };
            let expected = whole * 1000 + format!("{places:0<3}")[..3].parse::<u32>().unwrap();
            prop_assert_eq!(text.parse::<Percent>().unwrap().thousandths(), expected);
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = text.parse::<Percent>();
            let _ = text.parse::<Weight>();
        }
    }
}
