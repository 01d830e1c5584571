//! Conditions as people write them, and the one table of what each operator takes.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::TARGETING_KEY;
use super::yaml::WHOLE;
use crate::Timestamp;
use crate::evaluate::version::Version;
use crate::snapshot::load::AttributePath;

/// What must hold of an evaluation context.
///
/// Written as a map with one of `all`, `any`, `not`, `segment`, or as a test: an `attribute` and exactly one operator.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// Every one holds; none at all is true.
    All(Vec<Condition>),
    /// At least one holds; none at all is false.
    Any(Vec<Condition>),
    /// It does not hold.
    Not(Box<Condition>),
    /// The context is in the segment of this name.
    Segment(String),
    /// An attribute compares as stated.
    Test(Test),
}

/// A comparison of one attribute.
#[derive(Clone, Debug, PartialEq)]
pub struct Test {
    /// The way to the attribute: parts separated by dots; a backslash takes the next character as it is.
    pub(super) attribute: String,
    /// How to compare.
    pub(super) operator: &'static Operator,
    /// What with.
    pub(super) operand: Operand,
    /// Client snapshots carry salted hashes in place of the operand. For `equals` and `in`.
    pub(super) confidential: bool,
}

/// An operator: its name in definitions and snapshots, and what it takes.
#[derive(Debug)]
pub(super) struct Operator {
    /// As in FORMAT.md: `equals`, `semverLessThan`.
    pub name: &'static str,
    /// What it compares with.
    pub takes: Takes,
    /// What it means, for the JSON Schema.
    pub meaning: &'static str,
}

impl PartialEq for Operator {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

/// What an operator compares with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    /// A string, number or boolean.
    Scalar,
    /// Strings, numbers and booleans, one or a list.
    Scalars,
    /// A string.
    Text,
    /// Strings, one or a list.
    Texts,
    /// Regular expressions, one or a list.
    Patterns,
    /// A number.
    Number,
    /// An instant.
    Instant,
    /// A semantic version; a leading `v`, and a missing minor or patch, are allowed.
    Version,
    /// Comparators of semantic versions, separated by commas.
    Range,
    /// Networks such as `10.0.0.0/8`, one or a list.
    Networks,
    /// `true` or `false`.
    Boolean,
}

const fn operator(name: &'static str, takes: Takes, meaning: &'static str) -> Operator {
    Operator { name, takes, meaning }
}

/// Every operator.
pub(super) static OPERATORS: &[Operator] = &[
    operator("equals", Takes::Scalar, "The attribute is exactly this string, number or boolean."),
    operator("equalsCi", Takes::Text, "The attribute is this string, ASCII letters in either case."),
    operator("in", Takes::Scalars, "The attribute is one of these strings, numbers or booleans."),
    operator("inCi", Takes::Texts, "The attribute is one of these strings, ASCII letters in either case."),
    operator("contains", Takes::Texts, "The string has one of these in it."),
    operator("containsCi", Takes::Texts, "The string has one of these in it, ASCII letters in either case."),
    operator("startsWith", Takes::Texts, "The string begins with one of these."),
    operator("startsWithCi", Takes::Texts, "The string begins with one of these, ASCII letters in either case."),
    operator("endsWith", Takes::Texts, "The string ends with one of these."),
    operator("endsWithCi", Takes::Texts, "The string ends with one of these, ASCII letters in either case."),
    operator("matches", Takes::Patterns, "One of these regular expressions matches somewhere in the string."),
    operator("lessThan", Takes::Number, "The number is less."),
    operator("lessThanOrEqual", Takes::Number, "The number is less or equal."),
    operator("greaterThan", Takes::Number, "The number is greater."),
    operator("greaterThanOrEqual", Takes::Number, "The number is greater or equal."),
    operator("before", Takes::Instant, "The instant is earlier."),
    operator("after", Takes::Instant, "The instant is later."),
    operator("semverEquals", Takes::Version, "The version has the same precedence (SemVer 2.0)."),
    operator("semverLessThan", Takes::Version, "The version is lower (SemVer 2.0)."),
    operator("semverLessThanOrEqual", Takes::Version, "The version is lower or equal (SemVer 2.0)."),
    operator("semverGreaterThan", Takes::Version, "The version is higher (SemVer 2.0)."),
    operator("semverGreaterThanOrEqual", Takes::Version, "The version is higher or equal (SemVer 2.0)."),
    operator("semverMatches", Takes::Range, "The version is in this range: comparators separated by commas."),
    operator("includesAny", Takes::Scalars, "The list has one of these in it."),
    operator("includesAll", Takes::Scalars, "The list has all of these in it."),
    operator("cidr", Takes::Networks, "The address is in one of these networks."),
    operator("exists", Takes::Boolean, "Whether the attribute is there at all."),
];

const OTHERS: [&str; 6] = ["all", "any", "not", "segment", "attribute", "confidential"];

/// Every field of a condition.
static FIELDS: LazyLock<Vec<&'static str>> =
    LazyLock::new(|| OTHERS.into_iter().chain(OPERATORS.iter().map(|operator| operator.name)).collect());

/// Whether `confidential` may stand beside the operator.
pub(super) fn hashable(operator: &Operator) -> bool {
    matches!(operator.name, "equals" | "in")
}

impl Test {
    /// Whether it asks for someone's key, in a flag or segment that knows people by this attribute.
    pub(super) fn is_about_keys(&self, by: &str) -> bool {
        self.attribute == TARGETING_KEY || self.attribute == by
    }

    /// Whether a client snapshot carries hashes in place of the operand.
    pub(super) fn is_hashed(&self, by: &str) -> bool {
        hashable(self.operator) && (self.confidential || self.is_about_keys(by))
    }
}

/// What a test compares with, as written.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(super) enum Operand {
    /// `true` or `false`, for `exists`.
    Boolean(bool),
    /// A number.
    Number(Number),
    /// An instant.
    Instant(Timestamp),
    /// A string: a text, a version, a range.
    Text(String),
    /// A string, number or boolean.
    Scalar(Scalar),
    /// Strings: texts, patterns, networks.
    Texts(Vec<String>),
    /// Strings, numbers and booleans.
    Scalars(Vec<Scalar>),
}

/// A string, number or boolean.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(super) enum Scalar {
    /// `true` or `false`.
    Boolean(bool),
    /// A number.
    Number(Number),
    /// A string.
    Text(String),
}

/// A finite IEEE 754 double without −0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Number(f64);

impl Number {
    /// The number as a double.
    pub fn get(self) -> f64 {
        self.0
    }

    fn new(number: f64) -> Self {
        Number(number + 0.0)
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            whole if whole.fract() == 0.0 && whole.abs() <= WHOLE => serializer.serialize_i64(whole as i64),
            other => serializer.serialize_f64(other),
        }
    }
}

impl Scalar {
    /// Booleans before numbers before strings, each in their order.
    pub(super) fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Scalar::Boolean(a), Scalar::Boolean(b)) => a.cmp(b),
            (Scalar::Number(a), Scalar::Number(b)) => a.0.total_cmp(&b.0),
            (Scalar::Text(a), Scalar::Text(b)) => a.cmp(b),
            (a, b) => a.rank().cmp(&b.rank()),
        }
    }

    /// The name of its type, as hashed operands have it.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Scalar::Boolean(_) => "boolean",
            Scalar::Number(_) => "number",
            Scalar::Text(_) => "string",
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Scalar::Boolean(_) => 0,
            Scalar::Number(_) => 1,
            Scalar::Text(_) => 2,
        }
    }
}

macro_rules! scalar_visitor {
    ($name:ident -> $value:ty, $expecting:literal, $($method:ident($from:ty) = $convert:expr),*) => {
        struct $name;
        impl<'de> Visitor<'de> for $name {
            type Value = $value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str($expecting)
            }

            $(fn $method<E: de::Error>(self, value: $from) -> Result<$value, E> {
                Ok($convert(value))
            })*
        }

        impl<'de> Deserialize<'de> for $value {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any($name)
            }
        }
    };
}

scalar_visitor!(
    ScalarVisitor -> Scalar, "a string, a number or a boolean",
    visit_bool(bool) = Scalar::Boolean,
    visit_i64(i64) = |n| Scalar::Number(Number::new(n as f64)),
    visit_u64(u64) = |n| Scalar::Number(Number::new(n as f64)),
    visit_f64(f64) = |n| Scalar::Number(Number::new(n)),
    visit_str(&str) = |text: &str| Scalar::Text(text.to_owned())
);

scalar_visitor!(
    NumberVisitor -> Number, "a number",
    visit_i64(i64) = |n| Number::new(n as f64),
    visit_u64(u64) = |n| Number::new(n as f64),
    visit_f64(f64) = Number::new
);

/// One value or a list of them.
struct OneOrMany<T>(Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Many<T>(std::marker::PhantomData<T>);
        impl<T> Many<T> {
            fn one<'de, E: de::Error>(value: impl de::IntoDeserializer<'de, E>) -> Result<OneOrMany<T>, E>
            where
                T: Deserialize<'de>,
            {
                T::deserialize(value.into_deserializer()).map(|value| OneOrMany(vec![value]))
            }
        }
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Many<T> {
            type Value = OneOrMany<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("one value or a list of values")
            }

            fn visit_bool<E: de::Error>(self, value: bool) -> Result<Self::Value, E> {
                Self::one(value)
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Self::Value, E> {
                Self::one(value)
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Self::Value, E> {
                Self::one(value)
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Self::Value, E> {
                Self::one(value)
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<Self::Value, E> {
                Self::one(value)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut values = Vec::new();
                while let Some(value) = list.next_element()? {
                    values.push(value);
                }
                Ok(OneOrMany(values))
            }
        }
        deserializer.deserialize_any(Many(std::marker::PhantomData))
    }
}

struct OperandOf(&'static Operator);

impl<'de> DeserializeSeed<'de> for OperandOf {
    type Value = Operand;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Operand, D::Error> {
        Ok(match self.0.takes {
            Takes::Scalar => Operand::Scalar(Deserialize::deserialize(deserializer)?),
            Takes::Scalars => Operand::Scalars(OneOrMany::deserialize(deserializer)?.0),
            Takes::Text | Takes::Version | Takes::Range => Operand::Text(Deserialize::deserialize(deserializer)?),
            Takes::Texts | Takes::Patterns | Takes::Networks => Operand::Texts(OneOrMany::deserialize(deserializer)?.0),
            Takes::Number => Operand::Number(Deserialize::deserialize(deserializer)?),
            Takes::Instant => Operand::Instant(Deserialize::deserialize(deserializer)?),
            Takes::Boolean => Operand::Boolean(Deserialize::deserialize(deserializer)?),
        })
    }
}

/// The name of a field of a condition, refused where it is read so that the error stands at the name.
struct Field(&'static str);

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;
        impl Visitor<'_> for Name {
            type Value = Field;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a field of a condition")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Field, E> {
                let field = FIELDS.iter().find(|field| **field == text);
                field.map(|field| Field(field)).ok_or_else(|| E::unknown_field(text, &FIELDS))
            }
        }
        deserializer.deserialize_identifier(Name)
    }
}

impl<'de> Deserialize<'de> for Condition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Condition;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a condition, as in {attribute: plan, equals: pro}")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Condition, A::Error> {
                let mut attribute = None;
                let mut confidential = None;
                let mut test = None;
                let mut condition = None;
                let mut kinds = Vec::new();
                while let Some(Field(field)) = map.next_key()? {
                    match field {
                        "attribute" => attribute = Some(map.next_value()?),
                        "confidential" => confidential = Some(map.next_value()?),
                        _ => {
                            kinds.push(field);
                            match field {
                                "all" => condition = Some(Condition::All(map.next_value()?)),
                                "any" => condition = Some(Condition::Any(map.next_value()?)),
                                "not" => condition = Some(Condition::Not(map.next_value()?)),
                                "segment" => condition = Some(Condition::Segment(map.next_value()?)),
                                name => {
                                    if let Some(operator) = OPERATORS.iter().find(|operator| operator.name == name) {
                                        test = Some((operator, map.next_value_seed(OperandOf(operator))?));
                                    }
                                }
                            }
                        }
                    }
                }
                match (kinds.as_slice(), attribute, condition, test) {
                    ([_], None, Some(condition), None) if confidential.is_none() => Ok(condition),
                    ([_], Some(attribute), None, Some((operator, operand))) => {
                        let confidential = confidential.unwrap_or(false);
                        Ok(Condition::Test(Test { attribute, operator, operand, confidential }))
                    }
                    ([kind], None, ..) if !OTHERS.contains(kind) => {
                        Err(de::Error::custom(format_args!("`{kind}` needs an `attribute` beside it")))
                    }
                    ([kind], ..) => Err(de::Error::custom(format_args!(
                        "`attribute` and `confidential` cannot stand beside `{kind}`"
                    ))),
                    ([], Some(_), ..) => Err(de::Error::custom("the test has no operator, as in `equals: pro`")),
                    ([], None, ..) => Err(de::Error::custom(
                        "the condition is empty, it takes `all`, `any`, `not`, `segment` or an `attribute` with an operator",
                    )),
                    ([first, second, ..], ..) => Err(de::Error::custom(format_args!(
                        "`{first}` and `{second}` cannot stand in one condition, put one each into `all: [..]`"
                    ))),
                }
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

impl Serialize for Condition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self {
            Condition::All(parts) => map.serialize_entry("all", parts)?,
            Condition::Any(parts) => map.serialize_entry("any", parts)?,
            Condition::Not(part) => map.serialize_entry("not", part)?,
            Condition::Segment(name) => map.serialize_entry("segment", name)?,
            Condition::Test(test) => {
                map.serialize_entry("attribute", &test.attribute)?;
                map.serialize_entry(test.operator.name, &test.operand)?;
                if test.confidential {
                    map.serialize_entry("confidential", &true)?;
                }
            }
        }
        map.end()
    }
}

impl JsonSchema for Condition {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Condition".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let condition = generator.subschema_for::<Condition>();
        let one_or_many = |one: Value| serde_json::json!({"anyOf": [one, {"type": "array", "items": one}]});
        let scalar = serde_json::json!({"type": ["string", "number", "boolean"]});
        let mut properties = serde_json::json!({
            "all": {"type": "array", "items": condition, "description": "Every one holds; none at all is true."},
            "any": {"type": "array", "items": condition, "description": "At least one holds; none at all is false."},
            "not": {"allOf": [condition], "description": "It does not hold."},
            "segment": {"type": "string", "description": "The context is in the segment of this name."},
            "attribute": {"type": "string", "description": "The way to the attribute: parts separated by dots; a backslash takes the next character as it is."},
            "confidential": {"type": "boolean", "description": "Client snapshots carry salted hashes in place of the operand. For `equals` and `in`."},
        });
        let mut forms: Vec<Value> =
            OTHERS[..4].iter().map(|kind| serde_json::json!({"required": [kind], "maxProperties": 1})).collect();
        for operator in OPERATORS {
            let mut schema = match operator.takes {
                Takes::Scalar => scalar.clone(),
                Takes::Scalars => one_or_many(scalar.clone()),
                Takes::Text | Takes::Version | Takes::Range => serde_json::json!({"type": "string"}),
                Takes::Texts | Takes::Patterns | Takes::Networks => one_or_many(serde_json::json!({"type": "string"})),
                Takes::Number => serde_json::json!({"type": "number"}),
                Takes::Instant => serde_json::json!({"allOf": [generator.subschema_for::<Timestamp>()]}),
                Takes::Boolean => serde_json::json!({"type": "boolean"}),
            };
            schema["description"] = operator.meaning.into();
            properties[operator.name] = schema;
            forms.push(serde_json::json!({"required": ["attribute", operator.name], "maxProperties": 2}));
            if hashable(operator) {
                let required = ["attribute", operator.name, "confidential"];
                forms.push(serde_json::json!({"required": required, "maxProperties": 3}));
            }
        }
        json_schema!({
            "description": "What must hold of an evaluation context: one of `all`, `any`, `not`, `segment`, or an `attribute` with exactly one operator.",
            "type": "object",
            "properties": properties,
            "additionalProperties": false,
            "oneOf": forms,
        })
    }
}

/// What is wrong with an attribute path, if anything.
pub(super) fn check_path(path: &str) -> Result<(), &'static str> {
    let backslashes = path.len() - path.trim_end_matches('\\').len();
    if backslashes % 2 == 1 {
        return Err("ends in a backslash");
    }
    match AttributePath(path).parts().any(|part| part.is_empty()) {
        true => Err("has an empty part"),
        false => Ok(()),
    }
}

/// A version in three parts without `v` and without build metadata, which has no precedence.
pub(super) fn version(text: &str) -> Result<String, String> {
    let version = Version::parse(text).ok_or_else(|| format!("`{text}` is not a semantic version, as in 2.3.0"))?;
    let [major, minor, patch] = version.numbers;
    Ok(match &*version.prerelease {
        "" => format!("{major}.{minor}.{patch}"),
        prerelease => format!("{major}.{minor}.{patch}-{prerelease}"),
    })
}

/// A network, as an address with the host's bits zero and a prefix length; a lone address is a network of one.
pub(super) fn network(text: &str) -> Result<String, String> {
    let error = || format!("`{text}` is not a network, as in 10.0.0.0/8 or 2001:db8::/32");
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_| error())?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let length = match length {
        None => most,
        // Neither a sign nor leading zeros, which `parse` would take.
        Some(digits) => (0..=most).find(|length| length.to_string() == digits).ok_or_else(error)?,
    };
    let network = match address {
        IpAddr::V4(v4) => {
            IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & u32::MAX.checked_shl(32 - length).unwrap_or(0)))
        }
        IpAddr::V6(v6) => {
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & u128::MAX.checked_shl(128 - length).unwrap_or(0)))
        }
    };
    Ok(format!("{network}/{length}"))
}

/// How deep conditions nest and how many of them one evaluation can visit, through segments.
#[derive(Clone, Copy, Default)]
pub(super) struct Extent {
    pub depth: u32,
    pub visits: u32,
}

impl Condition {
    /// The extent of this condition, given those of the segments, counted as the engine does.
    pub(super) fn extent(&self, segments: &BTreeMap<&str, Extent>) -> Extent {
        let parts = match self {
            Condition::All(parts) | Condition::Any(parts) => parts.as_slice(),
            Condition::Not(part) => std::slice::from_ref(&**part),
            Condition::Segment(name) => {
                let inner = segments.get(name.as_str()).copied().unwrap_or_default();
                return Extent { depth: inner.depth + 1, visits: inner.visits.saturating_add(1) };
            }
            Condition::Test(_) => &[],
        };
        parts.iter().map(|part| part.extent(segments)).fold(Extent { depth: 1, visits: 1 }, |total, part| Extent {
            depth: total.depth.max(part.depth + 1),
            visits: total.visits.saturating_add(part.visits),
        })
    }

    /// The segments that it names, not those that these name.
    pub(crate) fn named_segments(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.walk(&mut |condition| {
            if let Condition::Segment(name) = condition {
                names.push(name.as_str());
            }
        });
        names
    }

    /// The tests in it.
    pub(super) fn tests(&self) -> Vec<&Test> {
        let mut tests = Vec::new();
        self.walk(&mut |condition| {
            if let Condition::Test(test) = condition {
                tests.push(test);
            }
        });
        tests
    }

    /// Calls `f` for this condition and every one inside, not through segments.
    fn walk<'c>(&'c self, f: &mut impl FnMut(&'c Condition)) {
        f(self);
        match self {
            Condition::All(parts) | Condition::Any(parts) => parts.iter().for_each(|part| part.walk(f)),
            Condition::Not(part) => part.walk(f),
            Condition::Segment(_) | Condition::Test(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_written_in_full() {
        for (text, full) in [
            ("1", "1.0.0"),
            ("v2.3", "2.3.0"),
            ("1.2.3", "1.2.3"),
            ("1.2-rc.1", "1.2.0-rc.1"),
            ("1.2.3+build.5", "1.2.3"),
        ] {
            assert_eq!(version(text).as_deref(), Ok(full));
        }
        for text in ["", "v", "1.2.3.4", "1..2", "01.2.3", "x", "99999999999999999999"] {
            assert!(version(text).is_err(), "{text}");
        }
    }

    #[test]
    fn networks_lose_the_hosts_bits() {
        for (text, canonical) in [
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("10.1.2.3", "10.1.2.3/32"),
            ("1.2.3.4/0", "0.0.0.0/0"),
            ("2001:DB8:0::1/32", "2001:db8::/32"),
            ("::1", "::1/128"),
        ] {
            assert_eq!(network(text).as_deref(), Ok(canonical));
        }
        for text in ["", "10.0.0.0/33", "10.0.0.0/+8", "10.0.0.0/08", "10.0.0/8", "::/129", "010.0.0.0/8", "host/8"] {
            assert!(network(text).is_err(), "{text}");
        }
    }

    #[test]
    fn paths_have_no_empty_parts() {
        assert_eq!(check_path(r"a\.b.c\\"), Ok(()));
        for path in ["", ".", "a..b", "a.", r"a\", r"a\\\"] {
            assert!(check_path(path).is_err(), "{path}");
        }
    }
}
