//! What people write about a rollout.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::advice::Advice;
use super::calendar::{Freeze, Window};
use super::condition::Condition;
use super::period::Period;
use super::progress::Attested;
use crate::Timestamp;
use crate::snapshot::definitions::Percent;

/// How often metrics are looked at, unless a plan says otherwise.
const INTERVAL: Period = Period::from_millis(60_000);
/// The window of a metric, unless it says otherwise.
const WINDOW: Period = Period::from_millis(300_000);
/// By then all clients know of a step, unless a sample ratio says otherwise.
const SETTLED: Period = Period::from_millis(300_000);

/// A plan of a rollout: which flags move, in which steps, and what lets them move or turns them back.
///
/// It is data beside the definitions of the flags, published with them.
///
/// ```
/// use flagstone::snapshot::definitions::{Definitions, Source};
///
/// let text = "
/// flags:
///   use_new_gateway: {salt: use_new_gateway-1, default: {ramp: {percent: 0, serve: on}}}
/// rollouts:
///   gateway:
///     flags: [use_new_gateway]
///     metrics:
///       errors: {query: 'sum(rate(failed{system=\"{{arm}}\"}[{{window}}])) / sum(rate(all{system=\"{{arm}}\"}[{{window}}]))'}
///     gates: [{metric: errors, value: '< 0.1%'}]
///     triggers: [{metric: errors, value: '> 1%', for: 5m}]
///     steps:
///       - {percent: 10, soak: 2d}
///       - {percent: 100, soak: 48h}
/// ";
/// let definitions = Definitions::read(&[Source::new("flags.yaml", text)]).expect("it is well formed");
/// let steps = definitions.rollouts["gateway"].steps();
/// assert_eq!(steps.iter().map(|step| step.name.as_str()).collect::<Vec<_>>(), ["10%", "100%"]);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Plan {
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Who answers for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The flags that are rolled out together. The percent of a step is that of their defaults' ramps, and a rollback to
    /// zero kills them.
    #[schemars(length(min = 1))]
    pub flags: Vec<String>,
    /// How often metrics are looked at; absent means 1m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Period>,
    /// How often the metrics' source measures; absent means not known. Nothing shorter can be told apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scrape_interval: Option<Period>,
    /// How much is expected where everyone is on the new path. It is for finding out beforehand what a step can tell and whom
    /// it exposes; the controller does not go by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<Traffic>,
    /// What `{{arm}}` in queries stands for: the label of the new path and of the old one.
    #[serde(default, skip_serializing_if = "Arms::is_default")]
    pub arms: Arms,
    /// What is measured, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, Metric>,
    /// What must hold for a step to be left for the next, from the first step on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<Gate>,
    /// What stops or turns back the rollout, from the first step on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub triggers: Vec<Trigger>,
    /// Who may approve and attest, by role: the names of tokens, or authors.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub roles: BTreeMap<String, Vec<String>>,
    /// When it may move forward; absent means at any time. Rollbacks may always.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<Window>,
    /// When it may not move forward.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub freezes: Vec<Freeze>,
    /// What is looked at after a rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_rollback: Option<AfterRollback>,
    /// What `flagstone rollout lint` is not to tell any more, by its codes, and why that is as it should be.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub accepted: BTreeMap<Advice, String>,
    /// The steps, in order.
    #[schemars(length(min = 1))]
    pub steps: Vec<Step>,
}

/// The labels of the two paths in metrics.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Arms {
    /// Of the path that is rolled out.
    pub new: String,
    /// Of the path that was there before.
    pub old: String,
}

impl Default for Arms {
    fn default() -> Arms {
        Arms { new: "new".to_owned(), old: "old".to_owned() }
    }
}

impl Arms {
    fn is_default(&self) -> bool {
        *self == Arms::default()
    }
}

/// How much is expected at 100 %.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Traffic {
    /// Different people in a day.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0))]
    pub users_per_day: Option<f64>,
    /// Events in a minute, of which metrics are made: requests, calls. A metric of rarer events says so itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0))]
    pub events_per_minute: Option<f64>,
}

/// Something that is measured. In queries `{{arm}}`, `{{flag}}`, `{{window}}` and `{{environment}}` stand for what they say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metric {
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The PromQL query of its value: a scalar, or a vector of one element. Anything else is no data.
    pub query: String,
    /// What `{{window}}` stands for; absent means 5m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Period>,
    /// What `ratio`, `delta` and `improvement` compare with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Baseline>,
    /// A baseline below this counts as this, so that a ratio to almost nothing says nothing dramatic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<f64>,
    /// The PromQL query of how much the value goes by, in events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples: Option<String>,
    /// The PromQL query of how many of the samples failed. For sequential guards, and in these `{{window}}` is the time since
    /// the step began, here and in `samples`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failures: Option<String>,
    /// With fewer of them there is no data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum_samples: Option<f64>,
    /// How many of them are expected in a minute at 100 %; absent means as many as the plan's traffic has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0))]
    pub events_per_minute: Option<f64>,
}

impl Plan {
    /// Whether a metric is about those alone who are on the new path.
    pub(super) fn goes_by_percent(&self, metric: &Metric) -> bool {
        metric.query.contains("{{arm}}") || metric.query.contains(&format!("{:?}", self.arms.new))
    }

    /// How many events of a metric are expected in a minute at a percent, where that is known and there are any.
    pub(super) fn expected(&self, metric: &Metric, percent: Percent) -> Option<f64> {
        let all = metric.events_per_minute.or(self.traffic.and_then(|traffic| traffic.events_per_minute))?;
        let share = if self.goes_by_percent(metric) { percent.fraction() } else { 1.0 };
        Some(all * share).filter(|expected| *expected > 0.0)
    }
}

impl Metric {
    /// What `{{window}}` stands for.
    pub fn window(&self) -> Period {
        self.window.unwrap_or(WINDOW)
    }
}

/// What a metric is compared with: `old`, or one of the others with what it takes, as in `{ago: 7d}`.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Baseline {
    /// The same query, of the old path.
    Old,
    /// A number that is known.
    Value(f64),
    /// Another PromQL query.
    Query(String),
    /// The same query, so long ago.
    Ago(Period),
}

impl<'de> Deserialize<'de> for Baseline {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(field_identifier, rename_all = "camelCase")]
        enum Field {
            Value,
            Query,
            Ago,
        }
        struct Form;
        impl<'de> Visitor<'de> for Form {
            type Value = Baseline;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`old`, {value: 150}, {query: ..} or {ago: 7d}")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Baseline, E> {
                match text {
                    "old" => Ok(Baseline::Old),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Baseline, A::Error> {
                match map.next_key()? {
                    Some(Field::Value) => Ok(Baseline::Value(map.next_value()?)),
                    Some(Field::Query) => Ok(Baseline::Query(map.next_value()?)),
                    Some(Field::Ago) => Ok(Baseline::Ago(map.next_value()?)),
                    None => Err(de::Error::invalid_type(de::Unexpected::Map, &self)),
                }
            }
        }
        deserializer.deserialize_any(Form)
    }
}

/// That a guard is a sequential test. It weighs all that was counted since its step began, and has found what it looks for once
/// it is certain, however often it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Sequential {
    /// In a step it finds what is not so with at most this probability.
    pub false_positive_rate: FalsePositiveRate,
}

/// That too many or too few people are on the new path, by the percent of the step: a sequential test of a metric whose query
/// counts people, each once, and only those whom the ramp decides on. In it `{{window}}` is the time since counting began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SampleRatio {
    /// In a step it finds what is not so with at most this probability.
    pub false_positive_rate: FalsePositiveRate,
    /// Counting begins so long after the step does, when all clients know of it; absent means 5m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Period>,
}

impl SampleRatio {
    /// How long after the step counting begins.
    pub fn after(&self) -> Period {
        self.after.unwrap_or(SETTLED)
    }
}

/// A probability to be wrong with, as a percent: `1%`, `0.1%`.
///
/// ```
/// use flagstone::rollout::FalsePositiveRate;
///
/// let rate: FalsePositiveRate = "0.1%".parse()?;
/// assert_eq!(rate.probability(), 0.001);
/// assert!("0%".parse::<FalsePositiveRate>().is_err(), "nothing is ever as certain as that");
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FalsePositiveRate(Percent);

impl FalsePositiveRate {
    /// As a number between 0 and 1.
    pub fn probability(self) -> f64 {
        self.0.fraction()
    }
}

impl FromStr for FalsePositiveRate {
    type Err = String;

    fn from_str(text: &str) -> Result<FalsePositiveRate, String> {
        let percent = text.strip_suffix('%').and_then(|percent| percent.trim_end().parse::<Percent>().ok());
        let between = percent.filter(|percent| Percent::default() < *percent && *percent < Percent::ALL);
        let wrong = || format!("`{text}` is no probability between 0.001% and 99.999%; write it like 1%");
        between.map(FalsePositiveRate).ok_or_else(wrong)
    }
}

impl fmt::Display for FalsePositiveRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

impl Serialize for FalsePositiveRate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FalsePositiveRate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for FalsePositiveRate {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "FalsePositiveRate".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A probability to be wrong with, as a percent with at most three places: 1%, 0.1%.",
            "type": "string",
            "pattern": r"^([1-9][0-9]?(\.[0-9]{1,3})?|0\.(0{0,2}[1-9]|0?[1-9][0-9]|[1-9][0-9]{2})) *%$",
        })
    }
}

/// What must hold for the rollout to go on to the next step. Without data it does not hold.
///
/// One of `value`, `ratio`, `delta` and `improvement` says what is wanted. A gate holds from the step that it is written in
/// to the end; one of the same name in a later step takes its place.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(extend("required" = ["metric"]))]
pub struct Gate {
    /// What it is called; absent means what it says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The metric.
    pub metric: String,
    /// What its value must be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Condition>,
    /// What value / baseline must be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio: Option<Condition>,
    /// What value − baseline must be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delta: Option<Condition>,
    /// What (baseline − value) / baseline must be: how much smaller it has become.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub improvement: Option<Condition>,
    /// That it is a sequential test: it holds once it is certain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequential: Option<Sequential>,
    /// For how long it must have been so, without a break.
    #[serde(rename = "for", skip_serializing_if = "Period::is_zero")]
    pub lasting: Period,
    /// How many times in a row it must have been so, looked at once an interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub consecutive: Option<u32>,
    /// It holds in the step that it is written in, and no longer: what it takes the place of holds again after it.
    #[serde(skip_serializing_if = "is_false")]
    pub only_here: bool,
}

/// What stops or turns back the rollout: a metric, or a signal that people and alerts raise.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(extend("oneOf" = [{"required": ["metric"]}, {"required": ["signal"]}]))]
pub struct Trigger {
    /// What it is called; absent means what it says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The metric; or a signal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric: Option<String>,
    /// The name of a signal that is raised from outside: `criticalBug`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
    /// The value of the metric that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Condition>,
    /// The value / baseline that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio: Option<Condition>,
    /// The value − baseline that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delta: Option<Condition>,
    /// The (baseline − value) / baseline that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub improvement: Option<Condition>,
    /// That it is a sequential test: it acts once it is certain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequential: Option<Sequential>,
    /// In place of a number that is wrong: that other people than the step's percent are on the new path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample_ratio: Option<SampleRatio>,
    /// For how long it must have been so, without a break.
    #[serde(rename = "for", skip_serializing_if = "Period::is_zero")]
    pub lasting: Period,
    /// How many times in a row it must have been so, looked at once an interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub consecutive: Option<u32>,
    /// How bad it is; absent means critical.
    #[serde(skip_serializing_if = "Severity::is_critical")]
    pub severity: Severity,
    /// What is done; absent means a rollback where it is critical, and a hold where it is a warning or a sample ratio.
    #[serde(rename = "do", skip_serializing_if = "Option::is_none")]
    pub action: Option<Action>,
    /// What is done where there is no data.
    #[serde(skip_serializing_if = "OnNoData::is_hold")]
    pub on_no_data: OnNoData,
    /// It holds in the step that it is written in, and no longer: what it takes the place of holds again after it.
    #[serde(skip_serializing_if = "is_false")]
    pub only_here: bool,
}

impl Trigger {
    /// What is done once it is open.
    pub fn action(&self) -> Action {
        self.action.unwrap_or(match self.severity {
            Severity::Critical if self.sample_ratio.is_none() => Action::Rollback,
            Severity::Critical | Severity::Warning => Action::Hold,
        })
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// Somebody should look at it.
    Warning,
    /// People are hurt by it.
    #[default]
    Critical,
}

impl Severity {
    fn is_critical(&self) -> bool {
        *self == Severity::Critical
    }
}

/// What a trigger does; of several that are open, the last of these counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// The rollout stays where it is until somebody resumes it.
    Hold,
    /// It goes back one step and stays there until somebody resumes it.
    StepDown,
    /// It goes back one step and is over, until somebody retries it.
    RollbackToPrevious,
    /// Nobody is on the new path any more; it is over, until somebody retries it.
    Rollback,
}

/// What a trigger without data does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum OnNoData {
    /// The rollout does not go on while there is none.
    #[default]
    Hold,
    /// What the trigger does is done, once there was none for as long as it looks back.
    Act,
}

impl OnNoData {
    fn is_hold(&self) -> bool {
        *self == OnNoData::Hold
    }
}

/// Something that somebody must have said for the rollout to go on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(extend("oneOf" = [{"required": ["approval"]}, {"required": ["attestation"]}]))]
pub struct Requirement {
    /// The role that must approve of going on from this step: `rollout advance` says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<String>,
    /// What must be attested to: `support team trained`. `rollout attest` says so, in this step or one before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attestation: Option<String>,
    /// The role that must attest to it; absent means anyone who may change flags.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// For how long it counts; absent means for as long as the attempt lasts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_for: Option<Period>,
}

/// What is looked at after a rollback, by the controller.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AfterRollback {
    /// Within this time it must be so; absent means 5m. If it is not, the rollout is escalated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within: Option<Period>,
    /// The metric of the new path's share of traffic, from 0 to 1. It must come down to the percent rolled back to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<String>,
    /// How much more the share may be, in percentage points; absent means 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<Percent>,
    /// What must hold besides: health.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<Gate>,
}

/// A step of a plan.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Step {
    /// What it is called; absent means its percent, as in `10%`, or its place, as in `step-1`. Names are unique.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The percent of the flags' ramps; absent means that of the step before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent: Option<Percent>,
    /// Several steps in place of one, from a percent to another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub series: Option<Series>,
    /// The percents of ramps of rules of the flags, by the rules' ids: whom the rule is for goes first.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub audience: BTreeMap<String, Percent>,
    /// What other flags are set to, in the same instant.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<String, Setting>,
    /// Not before this instant, however good all looks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starts: Option<Timestamp>,
    /// For how long the rollout stays here at least.
    #[serde(skip_serializing_if = "Period::is_zero")]
    pub soak: Period,
    /// What must hold besides to go on, from this step on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<Gate>,
    /// What stops or turns back the rollout besides, from this step on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub triggers: Vec<Trigger>,
    /// What somebody must have said to go on from this step.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<Requirement>,
    /// The rollout stays here until somebody resumes it.
    #[serde(skip_serializing_if = "is_false")]
    pub ceiling: bool,
    /// Both paths run here and nobody is served by the new one.
    #[serde(skip_serializing_if = "is_false")]
    pub shadow: bool,
    /// What is left to do here is to take the old path and the flag out of the code.
    #[serde(skip_serializing_if = "is_false")]
    pub cleanup: bool,
}

/// Steps from a percent to another. What else their step says holds for each of them, but for three things: it starts when
/// the first does, and only from the last on it requires something or is a ceiling.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Series {
    /// The first percent.
    pub from: Percent,
    /// The last percent. It is reached, and never passed.
    pub to: Percent,
    /// How much more each step is, by how much it is already.
    #[schemars(length(min = 1))]
    pub by: Vec<Pace>,
}

/// How fast a series goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Pace {
    /// This pace is for percents below this; absent means for all the rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<Percent>,
    /// So many percentage points more.
    pub add: Percent,
}

/// What a flag is set to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Setting {
    /// Whether it is enabled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// The percent of its default's ramp.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent: Option<Percent>,
    /// The percents of its rules' ramps, by the rules' ids.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub rules: BTreeMap<String, Percent>,
}

/// A step as it is once all that is said elsewhere of it is brought together.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ResolvedStep {
    /// What it is called.
    pub name: String,
    /// The place of its [`Step`] in the plan.
    #[serde(skip)]
    pub index: usize,
    /// The percent of the flags' ramps, if this or a step before says one.
    pub percent: Option<Percent>,
    /// What every flag that the plan moves is set to.
    #[serde(skip)]
    pub settings: BTreeMap<String, Setting>,
    /// Not before this instant.
    pub starts: Option<Timestamp>,
    /// For how long at least.
    pub soak: Period,
    /// What must hold to go on.
    #[serde(skip)]
    pub gates: Vec<Gate>,
    /// What stops or turns back.
    #[serde(skip)]
    pub triggers: Vec<Trigger>,
    /// What somebody must have said to go on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<Requirement>,
    /// Whether it stays here until somebody resumes it.
    pub ceiling: bool,
    /// Whether nobody is served by the new path.
    pub shadow: bool,
    /// Whether only taking the old path out of the code is left.
    pub cleanup: bool,
}

impl ResolvedStep {
    /// The roles that must approve of going on from here.
    pub fn approvals(&self) -> impl Iterator<Item = &str> {
        self.requires.iter().filter_map(|requirement| requirement.approval.as_deref())
    }
}

impl Plan {
    /// How often metrics are looked at.
    pub fn interval(&self) -> Period {
        self.interval.unwrap_or(INTERVAL)
    }

    /// The steps with all that holds in each.
    pub fn steps(&self) -> Vec<ResolvedStep> {
        let mut settings = self.zero();
        let (mut gates, mut triggers) = (self.gates.clone(), self.triggers.clone());
        let mut percent = None;
        let mut steps = Vec::new();
        for (index, step) in self.steps.iter().enumerate() {
            for (flag, wanted) in &step.set {
                let setting = settings.entry(flag.clone()).or_default();
                setting.enabled = wanted.enabled.or(setting.enabled);
                setting.percent = wanted.percent.or(setting.percent);
                setting.rules.extend(wanted.rules.iter().map(|(rule, percent)| (rule.clone(), *percent)));
            }
            for flag in &self.flags {
                let rules = &mut settings.entry(flag.clone()).or_default().rules;
                rules.extend(step.audience.iter().map(|(rule, percent)| (rule.clone(), *percent)));
            }
            let (gates, triggers) = (holding(&mut gates, &step.gates), holding(&mut triggers, &step.triggers));
            let percents = match &step.series {
                Some(series) => series.percents().into_iter().map(Some).collect(),
                None => vec![step.percent.or(percent)],
            };
            let last = percents.len() - 1;
            for (place, now) in percents.into_iter().enumerate() {
                percent = now;
                if let Some(percent) = percent {
                    for flag in &self.flags {
                        settings.entry(flag.clone()).or_default().percent = Some(percent);
                    }
                }
                let of_percent = percent.map(|percent| format!("{percent}%"));
                let name = match (&step.name, &step.series) {
                    (Some(name), Some(_)) => format!("{name} {}", of_percent.unwrap_or_default()),
                    (Some(name), None) => name.clone(),
                    (None, Some(_)) => of_percent.unwrap_or_default(),
                    (None, None) => step.percent.and(of_percent).unwrap_or_else(|| format!("step-{}", index + 1)),
                };
                steps.push(ResolvedStep {
                    name,
                    index,
                    percent,
                    settings: settings.clone(),
                    starts: step.starts.filter(|_| place == 0),
                    soak: step.soak,
                    gates: gates.clone(),
                    triggers: triggers.clone(),
                    requires: if place == last { step.requires.clone() } else { Vec::new() },
                    ceiling: step.ceiling && place == last,
                    shadow: step.shadow,
                    cleanup: step.cleanup,
                });
            }
        }
        steps
    }

    /// What the flags are set to before the first step and after a rollback to zero: nobody is in. Flags that the plan sets
    /// besides are as defined.
    pub fn zero(&self) -> BTreeMap<String, Setting> {
        let none = Some(Percent::default());
        let ramps = self.steps.iter().any(|step| step.percent.is_some() || step.series.is_some());
        let audiences: BTreeSet<&String> = self.steps.iter().flat_map(|step| step.audience.keys()).collect();
        let rules: BTreeMap<_, _> = audiences.into_iter().map(|rule| (rule.clone(), Percent::default())).collect();
        let zero = Setting { enabled: None, percent: none.filter(|_| ramps), rules };
        let others = self.steps.iter().flat_map(|step| step.set.keys()).map(|flag| (flag.clone(), Setting::default()));
        others.chain(self.flags.iter().map(|flag| (flag.clone(), zero.clone()))).collect()
    }

    /// The metric's query, with what the words in braces stand for.
    pub(super) fn fill(&self, query: &str, arm: &str, window: Period, environment: &str) -> String {
        query
            .replace("{{arm}}", arm)
            .replace("{{flag}}", self.flags.first().map_or("", String::as_str))
            .replace("{{window}}", &window.to_string())
            .replace("{{environment}}", environment)
    }
}

impl Series {
    /// The percents of the steps: each more than the one before, the last the one that was asked for.
    ///
    /// ```
    /// use flagstone::rollout::Series;
    ///
    /// let series: Series = serde_json::from_str(r#"{"from": 5, "to": 50, "by": [{"below": 10, "add": 5}, {"add": 15}]}"#)?;
    /// let percents: Vec<String> = series.percents().iter().map(ToString::to_string).collect();
    /// assert_eq!(percents, ["5", "10", "25", "40", "50"]);
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub fn percents(&self) -> Vec<Percent> {
        let mut percents = vec![self.from.min(self.to)];
        let mut at = self.from;
        while at < self.to {
            let pace = self.by.iter().find(|pace| pace.below.is_none_or(|below| at < below));
            // Where no pace is left, or it is none, there is one step more.
            let next = pace.filter(|pace| pace.add > Percent::default()).and_then(|pace| at.plus(pace.add));
            at = next.unwrap_or(self.to).min(self.to);
            percents.push(at);
        }
        percents
    }
}

/// What gates and triggers have in common.
pub(super) trait Guard: Clone {
    fn name(&self) -> String;
    fn only_here(&self) -> bool;
}

/// The guards that hold in a step which writes these; `lasting` come to be those that hold in the steps after it.
pub(super) fn holding<G: Guard>(lasting: &mut Vec<G>, written: &[G]) -> Vec<G> {
    for guard in written.iter().filter(|guard| !guard.only_here()) {
        replace(lasting, guard);
    }
    let mut here = lasting.clone();
    for guard in written.iter().filter(|guard| guard.only_here()) {
        replace(&mut here, guard);
    }
    here
}

/// Puts a guard in the place of that of the same name, or behind the others.
fn replace<G: Guard>(guards: &mut Vec<G>, guard: &G) {
    let name = guard.name();
    match guards.iter_mut().find(|other| other.name() == name) {
        Some(other) => *other = guard.clone(),
        None => guards.push(guard.clone()),
    }
}

/// What of a metric is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Quantity {
    /// Its value.
    Value,
    /// Value / baseline.
    Ratio,
    /// Value − baseline.
    Delta,
    /// (Baseline − value) / baseline.
    Improvement,
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Quantity::Value => "value",
            Quantity::Ratio => "ratio",
            Quantity::Delta => "delta",
            Quantity::Improvement => "improvement",
        })
    }
}

/// What is asked of a metric.
#[derive(Clone, Copy, Debug)]
pub(super) struct Test<'g> {
    pub metric: &'g str,
    pub quantity: Quantity,
    pub condition: &'g Condition,
    pub lasting: Period,
    pub consecutive: u32,
    pub sequential: Option<Sequential>,
    /// What is done about it; none for a gate.
    pub action: Option<Action>,
}

macro_rules! conditions {
    ($($guard:ty),*) => {$(
        impl $guard {
            /// Every condition that is written; lint wants there to be one.
            pub(super) fn conditions(&self) -> impl Iterator<Item = (Quantity, &Condition)> {
                let all = [
                    (Quantity::Value, &self.value),
                    (Quantity::Ratio, &self.ratio),
                    (Quantity::Delta, &self.delta),
                    (Quantity::Improvement, &self.improvement),
                ];
                all.into_iter().filter_map(|(quantity, condition)| Some((quantity, condition.as_ref()?)))
            }

            fn sentence(&self, metric: &str) -> String {
                let mut text = metric.to_owned();
                for (quantity, condition) in self.conditions() {
                    match quantity {
                        Quantity::Value => text.push_str(&format!(" {condition}")),
                        _ => text.push_str(&format!(" {quantity} {condition}")),
                    }
                }
                if !self.lasting.is_zero() {
                    text.push_str(&format!(" for {}", self.lasting));
                }
                if let Some(times) = self.consecutive {
                    text.push_str(&format!(" {times} times in a row"));
                }
                if let Some(Sequential { false_positive_rate }) = self.sequential {
                    text.push_str(&format!(" sequential at {false_positive_rate}"));
                }
                text
            }
        }
    )*};
}

conditions!(Gate, Trigger);

impl Guard for Gate {
    fn name(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.sentence(&self.metric))
    }

    fn only_here(&self) -> bool {
        self.only_here
    }
}

impl Guard for Trigger {
    fn name(&self) -> String {
        self.name.clone().or_else(|| self.signal.clone()).unwrap_or_else(|| {
            let metric = self.metric.as_deref().unwrap_or_default();
            match self.sample_ratio {
                Some(SampleRatio { false_positive_rate, .. }) => {
                    format!("{metric} sample ratio at {false_positive_rate}")
                }
                None => self.sentence(metric),
            }
        })
    }

    fn only_here(&self) -> bool {
        self.only_here
    }
}

impl Gate {
    /// What it is called.
    pub fn called(&self) -> String {
        self.name()
    }

    /// What it asks; none where it says nothing, which lint refuses.
    pub(super) fn test(&self) -> Option<Test<'_>> {
        let (quantity, condition) = self.conditions().next()?;
        Some(Test {
            metric: &self.metric,
            quantity,
            condition,
            lasting: self.lasting,
            consecutive: self.consecutive.unwrap_or(1),
            sequential: self.sequential,
            action: None,
        })
    }
}

impl Trigger {
    /// What it is called.
    pub fn called(&self) -> String {
        self.name()
    }

    /// What it asks; none where it is for a signal or a sample ratio.
    pub(super) fn test(&self) -> Option<Test<'_>> {
        let (quantity, condition) = self.conditions().next().filter(|_| self.sample_ratio.is_none())?;
        Some(Test {
            metric: self.metric.as_deref()?,
            quantity,
            condition,
            lasting: self.lasting,
            consecutive: self.consecutive.unwrap_or(1),
            sequential: self.sequential,
            action: Some(self.action()),
        })
    }
}

impl Requirement {
    /// Whether somebody's word on it still counts.
    pub(super) fn counts(&self, given: &Attested, now: Timestamp) -> bool {
        self.valid_for.is_none_or(|valid| valid.after(given.by.at) > now)
    }

    /// What it is called: what is to be attested to, or the role that is to approve.
    pub fn called(&self) -> String {
        match (&self.approval, &self.attestation) {
            (Some(role), _) => format!("approval of {role}"),
            (None, Some(attestation)) => attestation.clone(),
            (None, None) => String::new(),
        }
    }

    /// The role of whoever must say so.
    pub fn role(&self) -> Option<&str> {
        self.approval.as_deref().or(self.role.as_deref())
    }
}

fn is_false(value: &bool) -> bool {
    !value
}
