//! What people write: flags, segments, layers, holdouts and plans of rollouts, in YAML or JSON, and the way from there to a snapshot.
//!
//! Text goes in ([`Definitions::read`]), is checked ([`lint`]), and comes out as the payload of a snapshot
//! ([`compile`]) together with what operators and controllers changed meanwhile ([`State`]). Nothing here reads files
//! or clocks.
//!
//! ```
//! use flagstone::Audience;
//! use flagstone::snapshot::definitions::{Definitions, Options, Source, State, compile};
//!
//! let text = "
//! flags:
//!   use_new_gateway:
//!     salt: use_new_gateway-1
//!     rules:
//!       - {id: staff, when: {attribute: email, endsWith: '@example.com'}, serve: on}
//!     default: {ramp: {percent: 12.5, serve: on}}
//! ";
//! let definitions = Definitions::read(&[Source::new("flags.yaml", text)]).expect("it is well formed");
//! let options = Options {
//!     environment: "production".to_owned(),
//!     audience: Audience::Server,
//!     version: 1,
//!     created: "2026-11-21T12:00:00Z".parse()?,
//!     expires: None,
//! };
//! let payload = compile(&definitions, &State::default(), &options).expect("it has no errors");
//! assert!(payload.contains(r#""default":{"ramp":{"percent":12500,"serve":"on"}}"#));
//! # Ok::<(), flagstone::TimestampError>(())
//! ```
#![doc = include_str!("DEFINITIONS.md")]

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

mod compile;
mod condition;
mod diff;
mod environment;
mod lint;
mod pattern;
mod percent;
mod problem;
mod schema;
mod state;
mod timestamp;
mod version_range;
mod yaml;

pub use compile::{Options, compile};
pub use condition::{Condition, Test};
pub use diff::{Change, diff, reshuffles};
pub use environment::FlagEnvironment;
pub use lint::{Stale, StaleReason, advise, lint, stale};
pub use percent::{Percent, Weight};
pub use problem::{Problem, Severity};
pub use schema::json_schema;
pub use state::{FlagState, Frozen, Kill, PercentState, State};

use crate::Timestamp;
use crate::rollout::Plan;
use crate::snapshot::FlagType;
pub(crate) use problem::{Path, did_you_mean, list};
use problem::{Position, sort};
use yaml::{Kind, Node};

/// A text to read, and the name that problems call it by.
#[derive(Clone, Debug)]
pub struct Source {
    name: String,
    text: Vec<u8>,
}

impl Source {
    /// `text` is UTF-8, with or without a byte order mark; anything else is reported when it is read.
    pub fn new(name: impl Into<String>, text: impl Into<Vec<u8>>) -> Self {
        Source { name: name.into(), text: text.into() }
    }
}

/// Everything that people define, of one project.
///
/// It serializes to JSON that reads back the same.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(title = "Flagstone definitions")]
pub struct Definitions {
    /// Salts the hashes of what client snapshots do not show: lists of people and confidential operands. Required when
    /// a flag for clients has any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash_salt: Option<String>,
    /// The environments that flags may differ in: those that snapshots are published for. Required where a flag does.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub environments: BTreeSet<String>,
    /// Named sets of contexts.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub segments: BTreeMap<String, Segment>,
    /// Spaces that flags share out among themselves, so that nobody is in two of their experiments.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub layers: BTreeMap<String, Layer>,
    /// Shares of the people who are kept out of all flags that name the holdout.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub holdouts: BTreeMap<String, Holdout>,
    /// The flags by key.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub flags: BTreeMap<String, Flag>,
    /// Plans of rollouts, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub rollouts: BTreeMap<String, Plan>,
    #[serde(skip)]
    origin: Origin,
}

/// A named set of contexts: not excluded, and included or matching `when`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Segment {
    /// The attribute whose value the lists name; absent means `targetingKey`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// These are in.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<Key>,
    /// These are not, whatever else holds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<Key>,
    /// Whoever matches is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when: Option<Condition>,
}

/// A space of positions that flags share out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(extend("required" = ["salt"]))]
pub struct Layer {
    /// Decides who has which position. It must never change while a flag uses the layer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub salt: Option<String>,
    /// The attribute that is bucketed; absent means `targetingKey`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// A share of the people to keep out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("required" = ["salt", "percent"]))]
pub struct Holdout {
    /// Decides who is held out. It must never change while a flag names the holdout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<String>,
    /// The attribute that is bucketed; absent means `targetingKey`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// How many are held out.
    pub percent: Percent,
}

/// A flag.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(extend("required" = ["salt"]))]
pub struct Flag {
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Who answers for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Names to find it by, and to kill it by together with others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// From when on the stale-flag report names it: a day (2026-03-01) or an instant (RFC 3339). It changes no result.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "timestamp::date_or_time::deserialize")]
    #[schemars(schema_with = "timestamp::date_or_time::schema")]
    pub expires: Option<Timestamp>,
    /// Whether it goes into the snapshot that browsers and other clients read.
    #[serde(skip_serializing_if = "is_false")]
    pub client: bool,
    /// The type of the variants; absent means the one they have. JSON variants that are plain strings, numbers,
    /// booleans or null need it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r#type: Option<FlagType>,
    /// The values that it can serve, by name; absent means `{on: true, off: false}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variants: Option<BTreeMap<String, Value>>,
    /// `false` serves the off variant to everyone.
    #[serde(skip_serializing_if = "is_true")]
    pub enabled: bool,
    /// The variant for whoever is not in; absent means the one named `off`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub off: Option<String>,
    /// Decides who is in which cohort. A new salt moves everyone, so it must never change while the flag is in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub salt: Option<String>,
    /// The attribute that is bucketed, and that lists of people name; absent means `targetingKey`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bucket_by: Option<String>,
    /// How positions in ramps are computed.
    #[serde(skip_serializing_if = "Scheme::is_default")]
    pub scheme: Scheme,
    /// Other flags that must serve one of the variants named, or this one serves its off variant.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub prerequisites: Vec<Prerequisite>,
    /// Who gets the off variant, whatever else the flag says.
    #[serde(skip_serializing_if = "People::is_empty")]
    pub deny: People,
    /// Who is taken out of the cohort, as after a partial rollback.
    #[serde(skip_serializing_if = "Exclusion::is_empty")]
    pub exclude: Exclusion,
    /// Who gets a variant before holdouts, layer and rules are asked; the first entry that names someone counts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<Allow>,
    /// The holdouts that keep people out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub holdouts: Vec<String>,
    /// The part of a layer that is this flag's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer: Option<LayerRanges>,
    /// Asked in order; the first that matches and has room serves.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Rule>,
    /// What everyone else gets; absent means the off variant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<Serve>,
    /// What is different in an environment, by its name. All else is the same everywhere.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub environments: BTreeMap<String, FlagEnvironment>,
}

impl Default for Flag {
    fn default() -> Self {
        Flag {
            description: None,
            owner: None,
            tags: Vec::new(),
            expires: None,
            client: false,
            r#type: None,
            variants: None,
            enabled: true,
            off: None,
            salt: None,
            bucket_by: None,
            scheme: Scheme::Xxh3,
            prerequisites: Vec::new(),
            deny: People::default(),
            exclude: Exclusion::default(),
            allow: Vec::new(),
            holdouts: Vec::new(),
            layer: None,
            rules: Vec::new(),
            default: None,
            environments: BTreeMap::new(),
        }
    }
}

/// How a key becomes a position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Scheme {
    /// XXH3 of salt, use and key: 100 000 positions, other cohorts for every salt.
    #[default]
    Xxh3,
    /// A 31-multiplier string hash over UTF-16, modulo 100, for ramps that began elsewhere. It has no salt: the same
    /// people go first in every flag.
    Js31,
}

impl Scheme {
    fn is_default(&self) -> bool {
        *self == Scheme::Xxh3
    }

    fn name(self) -> &'static str {
        match self {
            Scheme::Xxh3 => "xxh3",
            Scheme::Js31 => "js31",
        }
    }
}

/// Another flag and what it must serve.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["variant"]}, {"required": ["variants"]}]))]
pub struct Prerequisite {
    /// The other flag's key.
    pub flag: String,
    /// The one variant that will do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// The variants that will do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1))]
    pub variants: Vec<String>,
}

impl Prerequisite {
    /// The variants that will do.
    pub(crate) fn accepted(&self) -> impl Iterator<Item = &str> {
        self.variant.iter().chain(&self.variants).map(String::as_str)
    }
}

/// People by key and by segment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct People {
    /// By the key that the flag buckets by.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<Key>,
    /// By the names of segments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub segments: Vec<String>,
}

impl People {
    fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.segments.is_empty()
    }
}

/// People who get a variant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Allow {
    /// The variant they get.
    pub variant: String,
    /// By the key that the flag buckets by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<Key>,
    /// By the names of segments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub segments: Vec<String>,
}

/// People who are taken out of a cohort.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Exclusion {
    /// By the key that the flag buckets by.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<Key>,
    /// By the names of segments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub segments: Vec<String>,
    /// By position in the ramp: from and to, in percent, `to` exclusive.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub positions: Vec<[Percent; 2]>,
}

impl Exclusion {
    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.segments.is_empty() && self.positions.is_empty()
    }
}

/// A flag's part of a layer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LayerRanges {
    /// The layer.
    pub name: String,
    /// From and to, in percent, `to` exclusive. No two flags' ranges may overlap.
    #[schemars(length(min = 1))]
    pub ranges: Vec<[Percent; 2]>,
}

/// A rule of a flag.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// What results and operators call it; absent means `rule-1`, `rule-2` and so on by position.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Whom it is for; absent means everyone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<Condition>,
    /// What they get.
    pub serve: Serve,
}

/// What a rule or the default serves.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(untagged, deny_unknown_fields)]
pub enum Serve {
    /// The same to everyone who comes here, or by split.
    Target(Target),
    /// To a part that can grow.
    Ramp {
        /// How large the part is, and what it gets.
        ramp: Ramp,
    },
}

/// A variant, or several by weight.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(untagged, deny_unknown_fields)]
pub enum Target {
    /// The name of a variant.
    Variant(String),
    /// Several variants by weight.
    Split {
        /// The variants in order; a variant's people are those between the weights before it and its own.
        #[schemars(length(min = 1))]
        split: Vec<Share>,
    },
}

/// A variant's part of a split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Share {
    /// The variant.
    pub variant: String,
    /// Its part, in proportion to the sum of all weights.
    pub weight: Weight,
}

/// A part of the people that can grow without ever moving anyone out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["percent"]}, {"required": ["schedule"]}]))]
pub struct Ramp {
    /// How many are in. Either this or a schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<Percent>,
    /// How many are in at which time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// What those get who are in.
    pub serve: Target,
}

/// A percent that follows the clock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["steps"]}, {"required": ["linear"]}]))]
pub struct Schedule {
    /// The percent before the first point.
    pub before: Percent,
    /// Points in rising order; each holds from its instant on. Either these or `linear`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub steps: Option<Vec<Point>>,
    /// Points in rising order, with a straight line from each to the next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub linear: Option<Vec<Point>>,
}

impl Schedule {
    fn points(&self) -> &[Point] {
        self.steps.as_ref().or(self.linear.as_ref()).map_or(&[], Vec::as_slice)
    }
}

/// A point of a schedule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Point {
    /// When.
    pub at: Timestamp,
    /// How many are in from then on.
    pub percent: Percent,
}

/// Someone's key as a list names it: a string, or a whole number within ±(2⁵³−1), which is the same as its digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Key(pub String);

impl JsonSchema for Key {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Key".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "Someone's key: a string, or a whole number within ±(2^53−1), which is the same as its digits.",
            "anyOf": [
                {"type": "string"},
                {"type": "integer", "minimum": -9_007_199_254_740_991_i64, "maximum": 9_007_199_254_740_991_i64},
            ],
        })
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Key;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key: a string or a whole number within ±(2^53−1)")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Key, E> {
                Ok(Key(text.to_owned()))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Key, E> {
                match number.unsigned_abs() as f64 <= yaml::WHOLE {
                    true => Ok(Key(number.to_string())),
                    false => Err(E::invalid_value(de::Unexpected::Signed(number), &self)),
                }
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Key, E> {
                self.visit_i64(i64::try_from(number).unwrap_or(i64::MAX))
            }
        }
        deserializer.deserialize_any(Text)
    }
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum ServeField {
    Split,
    Ramp,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum TargetField {
    Split,
}

impl<'de> Deserialize<'de> for Serve {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;
        impl<'de> Visitor<'de> for Form {
            type Value = Serve;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a variant, {split: [..]} or {ramp: {..}}")
            }

            fn visit_str<E: de::Error>(self, variant: &str) -> Result<Serve, E> {
                Ok(Serve::Target(Target::Variant(variant.to_owned())))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Serve, A::Error> {
                match map.next_key()? {
                    Some(ServeField::Split) => Ok(Serve::Target(Target::Split { split: map.next_value()? })),
                    Some(ServeField::Ramp) => Ok(Serve::Ramp { ramp: map.next_value()? }),
                    None => Err(de::Error::invalid_type(de::Unexpected::Map, &self)),
                }
            }
        }
        deserializer.deserialize_any(Form)
    }
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;
        impl<'de> Visitor<'de> for Form {
            type Value = Target;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a variant or {split: [..]}")
            }

            fn visit_str<E: de::Error>(self, variant: &str) -> Result<Target, E> {
                Ok(Target::Variant(variant.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Target, A::Error> {
                match map.next_key()? {
                    Some(TargetField::Split) => Ok(Target::Split { split: map.next_value()? }),
                    None => Err(de::Error::invalid_type(de::Unexpected::Map, &self)),
                }
            }
        }
        deserializer.deserialize_any(Form)
    }
}

fn is_false(value: &bool) -> bool {
    !value
}

fn is_true(value: &bool) -> bool {
    *value
}

const TARGETING_KEY: &str = "targetingKey";

impl Segment {
    /// The attribute whose value the lists name.
    pub fn by(&self) -> &str {
        self.by.as_deref().unwrap_or(TARGETING_KEY)
    }
}

impl Flag {
    /// The attribute that is bucketed, and that lists of people name.
    pub fn bucket_by(&self) -> &str {
        self.bucket_by.as_deref().unwrap_or(TARGETING_KEY)
    }

    /// The variants by name: those written, or `on` and `off`.
    pub fn all_variants(&self) -> Cow<'_, BTreeMap<String, Value>> {
        match &self.variants {
            Some(variants) => Cow::Borrowed(variants),
            None => Cow::Owned(BTreeMap::from([("on".to_owned(), true.into()), ("off".to_owned(), false.into())])),
        }
    }

    /// The type of the variants: the one written, or the one they all have; `None` where they differ.
    pub fn variant_type(&self) -> Option<FlagType> {
        self.r#type.or_else(|| {
            let variants = self.all_variants();
            let mut types = variants.values().map(type_of);
            let first = types.next()?;
            types.all(|other| other == first).then_some(first)
        })
    }

    /// The name of the off variant: the one written, or `off` where there is such a variant.
    pub fn off_variant(&self) -> Option<&str> {
        self.off.as_deref().or_else(|| self.all_variants().contains_key("off").then_some("off"))
    }

    /// The id of the rule at the index: the one written, or `rule-1`, `rule-2` and so on.
    pub fn rule_id(&self, index: usize) -> Cow<'_, str> {
        match self.rules.get(index).and_then(|rule| rule.id.as_deref()) {
            Some(id) => Cow::Borrowed(id),
            None => Cow::Owned(format!("rule-{}", index + 1)),
        }
    }

    /// The segments that deny, exclusion and allow lists name.
    fn listed_segments(&self) -> impl Iterator<Item = &str> {
        let allowed = self.allow.iter().flat_map(|allow| &allow.segments);
        self.deny.segments.iter().chain(&self.exclude.segments).chain(allowed).map(String::as_str)
    }

    /// Every segment that the flag itself names.
    fn named_segments(&self) -> Vec<&str> {
        let mut named: Vec<_> = self.listed_segments().collect();
        for rule in &self.rules {
            named.extend(rule.when.iter().flat_map(Condition::named_segments));
        }
        named
    }

    /// Everything that the default and the rules serve.
    fn serves(&self) -> impl Iterator<Item = &Serve> {
        self.rules.iter().map(|rule| &rule.serve).chain(&self.default)
    }
}

/// The type that a value has by itself.
fn type_of(value: &Value) -> FlagType {
    match value {
        Value::Bool(_) => FlagType::Boolean,
        Value::String(_) => FlagType::String,
        Value::Number(_) => FlagType::Number,
        Value::Null | Value::Array(_) | Value::Object(_) => FlagType::Json,
    }
}

/// Where definitions stand, for [`Problem`]s. It is no part of what they say, so all are equal.
#[derive(Clone, Debug, Default)]
struct Origin {
    files: Vec<(String, Arc<Node>)>,
    /// Texts without any section.
    empty: Vec<String>,
    /// Section and name of what could not be read, so that nobody is told it does not exist.
    unread: BTreeSet<(&'static str, String)>,
}

impl PartialEq for Origin {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Definitions {
    /// The plan of a rollout.
    ///
    /// # Errors
    ///
    /// Says that there is none of that name, and which there are.
    pub fn rollout(&self, name: &str) -> Result<&Plan, String> {
        self.rollouts.get(name).ok_or_else(|| {
            let names = || self.rollouts.keys().map(String::as_str);
            let hint = did_you_mean(name, names()).unwrap_or_else(|| match names().next() {
                None => "there are none".to_owned(),
                Some(_) => format!("there are {}", list(names())),
            });
            format!("there is no rollout `{name}`; {hint}")
        })
    }

    /// The sections that a text may have.
    pub const SECTIONS: [&'static str; 7] =
        ["hashSalt", "environments", "segments", "layers", "holdouts", "flags", "rollouts"];

    /// Reads definitions from one or more texts, whose sections are merged.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with their form, and then, as far as they can be read, all that [`lint`] finds.
    /// What has only warnings is `Ok`; ask [`lint`] for them.
    ///
    /// ```
    /// use flagstone::snapshot::definitions::{Definitions, Source};
    ///
    /// let one = Source::new("a.yaml", "flags: {a: {salt: a-1}}");
    /// let two = Source::new("b.json", r#"{"flags": {"b": {"salt": "b-1"}}}"#);
    /// assert_eq!(Definitions::read(&[one, two]).unwrap().flags.len(), 2);
    /// ```
    pub fn read(sources: &[Source]) -> Result<Definitions, Vec<Problem>> {
        let mut reading = Reading::default();
        let mut whole = true;
        for source in sources {
            match yaml::parse(&source.text) {
                Ok(None) => reading.definitions.origin.empty.push(source.name.clone()),
                Ok(Some(root)) => reading.file(&source.name, &root),
                Err(error) => {
                    whole = false;
                    reading.problem(&source.name, &Path::default(), error);
                }
            }
        }
        if reading.problems.is_empty() {
            return Ok(reading.definitions);
        }
        // What a whole file would have defined is unknown, so is what is wrong with the others.
        if whole {
            reading.problems.extend(lint(&reading.definitions));
        }
        sort(&mut reading.problems);
        Err(reading.problems)
    }

    /// The file and the place that the path leads to, or as far as it leads.
    fn locate(&self, path: &Path) -> Option<(&str, Position)> {
        let mut found: Option<(usize, &str, Position)> = None;
        for (name, root) in &self.origin.files {
            let (depth, place) = root.locate(path);
            if found.is_none_or(|(deepest, ..)| depth > deepest) {
                found = Some((depth, name, place));
            }
        }
        found.map(|(_, name, place)| (name, place))
    }

    /// The segments that the flag uses, directly and through others.
    pub(crate) fn segments_of<'d>(&'d self, flag: &'d Flag) -> BTreeSet<&'d str> {
        let mut found = BTreeSet::new();
        let mut open = flag.named_segments();
        while let Some(name) = open.pop() {
            if found.insert(name) {
                let when = self.segments.get(name).and_then(|segment| segment.when.as_ref());
                open.extend(when.into_iter().flat_map(Condition::named_segments));
            }
        }
        found
    }

    pub(crate) fn was_unread(&self, section: &'static str, name: &str) -> bool {
        self.origin.unread.contains(&(section, name.to_owned()))
    }

    /// The names in a section of what could not be read.
    fn unread(&self, section: &'static str) -> impl Iterator<Item = &str> + Clone {
        self.origin.unread.iter().filter(move |(other, _)| *other == section).map(|(_, name)| name.as_str())
    }
}

/// A text that says something else than definitions do, and where everything stands in it.
pub(crate) struct Document<'s> {
    name: &'s str,
    root: Arc<Node>,
}

impl<'s> Document<'s> {
    /// Reads it; an empty text is an empty map.
    pub fn read<T: for<'n> Deserialize<'n>>(source: &'s Source) -> Result<(T, Document<'s>), Vec<Problem>> {
        let nothing = || Arc::new(Node { at: Position { line: 1, column: 1 }, kind: Kind::Map(Vec::new()) });
        let root = yaml::parse(&source.text).map(|root| root.unwrap_or_else(nothing));
        let read = root.and_then(|root| Ok((yaml::read(&root, root.at)?, root)));
        match read {
            Ok((value, root)) => Ok((value, Document { name: &source.name, root })),
            Err(error) => {
                let path = Path(error.path.into_iter().rev().collect());
                let problem = Problem::new(Severity::Error, &path, error.message, error.suggestion);
                Err(vec![problem.at(error.at.map(|at| (source.name.as_str(), at)))])
            }
        }
    }

    /// Something that is wrong with what stands at the path.
    pub fn problem(&self, path: &Path, message: impl Into<String>, suggestion: Option<String>) -> Problem {
        let (_, place) = self.root.locate(path);
        Problem::new(Severity::Error, path, message, suggestion).at(Some((self.name, place)))
    }
}

#[derive(Default)]
struct Reading {
    definitions: Definitions,
    problems: Vec<Problem>,
}

impl Reading {
    fn problem(&mut self, file: &str, path: &Path, error: yaml::Error) {
        let mut path = path.clone();
        path.0.extend(error.path.into_iter().rev());
        let problem = Problem::new(Severity::Error, &path, error.message, error.suggestion);
        self.problems.push(problem.at(error.at.map(|at| (file, at))));
    }

    fn file(&mut self, file: &str, root: &Arc<Node>) {
        let top = Path::default();
        let sections = match &root.kind {
            Kind::Map(sections) => sections.as_slice(),
            _ if root.is_null() => &[],
            _ => {
                let message = "expected a map of `flags`, `segments`, `layers`, `holdouts`, `environments`, `rollouts` and `hashSalt`";
                return self.problem(file, &top, yaml::Error::new(root.at, message));
            }
        };
        if sections.is_empty() {
            return self.definitions.origin.empty.push(file.to_owned());
        }
        for (name, node) in sections {
            let path = top.key(&name.text);
            let at = node.place(name.at);
            match name.text.as_str() {
                "hashSalt" => match yaml::read(node, at) {
                    // Files that stand alone may each say it.
                    Ok(salt) if self.definitions.hash_salt.as_ref().is_some_and(|first| *first != salt) => {
                        let first = self.definitions.locate(&path).map(|(file, at)| format!("{file}:{at}"));
                        let message = format!("`hashSalt` differs from the one at {}", first.unwrap_or_default());
                        self.problem(file, &path, yaml::Error::new(name.at, message));
                    }
                    Ok(salt) => self.definitions.hash_salt = Some(salt),
                    Err(error) => self.problem(file, &path, error),
                },
                // Files that stand alone each name those that they need.
                "environments" => match yaml::read::<BTreeSet<String>>(node, at) {
                    Ok(names) => self.definitions.environments.extend(names),
                    Err(error) => self.problem(file, &path, error),
                },
                "segments" => self.section(file, "segments", node, at, |definitions| &mut definitions.segments),
                "layers" => self.section(file, "layers", node, at, |definitions| &mut definitions.layers),
                "holdouts" => self.section(file, "holdouts", node, at, |definitions| &mut definitions.holdouts),
                "flags" => self.section(file, "flags", node, at, |definitions| &mut definitions.flags),
                "rollouts" => self.section(file, "rollouts", node, at, |definitions| &mut definitions.rollouts),
                // For editors.
                "$schema" => {
                    if let Err(error) = yaml::read::<String>(node, at) {
                        self.problem(file, &path, error);
                    }
                }
                unknown => {
                    let mut error = yaml::Error::new(name.at, format!("unknown section `{unknown}`"));
                    let known = Definitions::SECTIONS.into_iter().chain(["$schema"]);
                    error.suggestion = did_you_mean(unknown, known.clone())
                        .or_else(|| Some(format!("expected one of {}", list(known))));
                    self.problem(file, &path, error);
                }
            }
        }
        self.definitions.origin.files.push((file.to_owned(), root.clone()));
    }

    fn section<T: for<'n> Deserialize<'n>>(
        &mut self,
        file: &str,
        section: &'static str,
        node: &Node,
        at: Position,
        of: fn(&mut Definitions) -> &mut BTreeMap<String, T>,
    ) {
        let path = Path::default().key(section);
        let Kind::Map(entries) = &node.kind else {
            self.problem(file, &path, yaml::Error::new(at, format!("expected a map of {section} by name")));
            return;
        };
        for (name, node) in entries {
            let path = path.key(&name.text);
            let key = (section, name.text.clone());
            if of(&mut self.definitions).contains_key(&name.text) || self.definitions.origin.unread.contains(&key) {
                let first = self.definitions.locate(&path).map(|(file, at)| format!("{file}:{at}"));
                let message =
                    format!("`{}` is defined a second time, the first is at {}", name.text, first.unwrap_or_default());
                self.problem(file, &path, yaml::Error::new(name.at, message));
                continue;
            }
            match yaml::read(node, node.place(name.at)) {
                Ok(value) => {
                    of(&mut self.definitions).insert(name.text.clone(), value);
                }
                Err(error) => {
                    self.problem(file, &path, error);
                    self.definitions.origin.unread.insert(key);
                }
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
