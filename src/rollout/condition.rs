//! What is wanted of a number.

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::sequential::Side;

/// A comparison with a number, or a range that includes both its ends: `< 0.1%`, `>= 500`, `0.2%..0.5%`.
///
/// A percent is a hundredth: `0.5%` is 0.005, as ratios come out of PromQL.
///
/// ```
/// use flagstone::rollout::Condition;
///
/// let condition: Condition = "> 0.5%".parse()?;
/// assert!(condition.holds(0.006) && !condition.holds(0.005));
/// let review: Condition = "165..200".parse()?;
/// assert!(review.holds(165.0) && review.holds(200.0) && !review.holds(201.0));
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// As it was written.
    text: String,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Below(f64),
    AtMost(f64),
    Above(f64),
    AtLeast(f64),
    Within(f64, f64),
}

impl Condition {
    /// Whether the number is as wanted. What is no number never is.
    pub fn holds(&self, value: f64) -> bool {
        match self.kind {
            Kind::Below(limit) => value < limit,
            Kind::AtMost(limit) => value <= limit,
            Kind::Above(limit) => value > limit,
            Kind::AtLeast(limit) => value >= limit,
            Kind::Within(from, to) => (from..=to).contains(&value),
        }
    }

    /// Its limit and on which side of it the numbers are for which it holds; none for a range.
    pub(super) fn limit(&self) -> Option<(Side, f64)> {
        match self.kind {
            Kind::Below(limit) | Kind::AtMost(limit) => Some((Side::Below, limit)),
            Kind::Above(limit) | Kind::AtLeast(limit) => Some((Side::Above, limit)),
            Kind::Within(..) => None,
        }
    }

    /// The numbers for which it holds: from and to, which may be infinite, and whether each itself is one of them.
    pub fn bounds(&self) -> ((f64, bool), (f64, bool)) {
        const NONE: f64 = f64::INFINITY;
        match self.kind {
            Kind::Below(limit) => ((-NONE, false), (limit, false)),
            Kind::AtMost(limit) => ((-NONE, false), (limit, true)),
            Kind::Above(limit) => ((limit, false), (NONE, false)),
            Kind::AtLeast(limit) => ((limit, true), (NONE, false)),
            Kind::Within(from, to) => ((from, true), (to, true)),
        }
    }
}

impl FromStr for Condition {
    type Err = String;

    fn from_str(text: &str) -> Result<Condition, String> {
        let wrong = || format!("`{text}` is no condition; write it like \"< 0.1%\", \">= 500\" or \"0.2%..0.5%\"");
        let number = |text: &str| {
            let text = text.trim();
            let (digits, unit) = text.strip_suffix('%').map_or((text, 1.0), |digits| (digits, 100.0));
            let digits = digits.trim_end();
            // `f64` reads more than people write in thresholds: infinities, `nan`, `1_0`.
            let plain = |c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | 'e');
            let number = digits.parse::<f64>().ok().filter(|_| digits.chars().all(plain));
            // The division is exact to the last place where a product with 0.01 is not: 0.7% is 0.007.
            number.map(|number| number / unit).filter(|number| number.is_finite()).ok_or_else(wrong)
        };
        let trimmed = text.trim();
        let kind = if let Some(rest) = trimmed.strip_prefix("<=") {
            Kind::AtMost(number(rest)?)
        } else if let Some(rest) = trimmed.strip_prefix(">=") {
            Kind::AtLeast(number(rest)?)
        } else if let Some(rest) = trimmed.strip_prefix('<') {
            Kind::Below(number(rest)?)
        } else if let Some(rest) = trimmed.strip_prefix('>') {
            Kind::Above(number(rest)?)
        } else {
            let (from, to) = trimmed.split_once("..").ok_or_else(wrong)?;
            let (from, to) = (number(from)?, number(to)?);
            if from > to {
                return Err(format!("`{text}` is an empty range, its end lies before its beginning"));
            }
            Kind::Within(from, to)
        };
        Ok(Condition { text: text.to_owned(), kind })
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Condition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Condition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Condition {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "GuardCondition".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        const NUMBER: &str = r"-?[0-9.]+(e-?[0-9]+)? *%?";
        json_schema!({
            "description": "What is wanted of a number: \"< 0.1%\", \">= 500\", or a range with both its ends, \"0.2%..0.5%\".",
            "type": "string",
            "pattern": format!(r"^ *((<|<=|>|>=) *{NUMBER}|{NUMBER} *\.\. *{NUMBER}) *$"),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_a_condition_and_what_is_not() {
        for (text, inside, outside) in [
            ("< 0.1%", 0.000_999, 0.001),
            ("<=200", 200.0, 200.1),
            (" > 1 % ", 0.011, 0.01),
            (">= -0.5", -0.5, -0.6),
            ("0.2%..0.5%", 0.002, 0.0051),
            ("0..0", 0.0, 0.1),
        ] {
            let condition: Condition = text.parse().unwrap();
            assert!(condition.holds(inside) && !condition.holds(outside), "{text}");
            assert!(!condition.holds(f64::NAN), "{text}");
            assert_eq!(serde_json::from_value::<Condition>(serde_json::json!(condition)).unwrap(), condition);
        }
        for text in ["", "1", "=1", "<", "< x", "< inf", "> nan", "5..1", "1...2", "< 1 < 2", "<> 1", "< 1_0", "< 1%%"]
        {
            assert!(text.parse::<Condition>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".*") {
            let _ = text.parse::<Condition>();
        }

        #[test]
        fn bounds_say_what_holds(text in "(<|<=|>|>=) [0-9]{1,3}|[0-4]\\.\\.[5-9]", value in -10.0_f64..1000.0) {
            let condition: Condition = text.parse().unwrap();
            for value in [value, value.trunc()] {
                let ((from, from_in), (to, to_in)) = condition.bounds();
                let inside = (from < value || (from_in && from == value)) && (value < to || (to_in && to == value));
                prop_assert_eq!(condition.holds(value), inside);
                let beyond = condition.limit().map(|(side, limit)| match side {
                    Side::Above => value > limit,
                    Side::Below => value < limit,
                });
                prop_assert!(beyond.is_none_or(|beyond| beyond == inside || [from, to].contains(&value)));
            }
        }
    }
}
