//! What is to happen in a simulation: what metrics say, and what people do.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};

use crate::Timestamp;
use crate::rollout::{Part, Period, Plan, Severity, To, Verb};
use crate::snapshot::definitions::{Document, Path, Percent, Problem, Source, did_you_mean, list};

/// What is to happen in a simulation: what metrics say instead of what is well, and what people do.
///
/// ```
/// use flagstone::rollout::{Plan, Script};
/// use flagstone::snapshot::definitions::Source;
///
/// let plan: Plan = serde_json::from_str(r#"{
///     "flags": ["use_new_gateway"],
///     "metrics": {"errors": {"query": "errors"}},
///     "triggers": [{"metric": "errors", "value": "> 1%"}],
///     "steps": [{"percent": 10, "soak": "2d"}, {"percent": 100}]
/// }"#)?;
/// let text = "
/// start: 2025-01-10T08:00:00Z
/// events:
///   - {at: 26h, metric: errors, value: 2%, for: 30m}
///   - {step: 100%, after: 5m, hold: Somebody wants to look at it}
/// ";
/// assert!(Script::read(&Source::new("history.yaml", text), &plan).is_ok());
/// let problems = Script::read(&Source::new("history.yaml", "events: [{at: 1d, metric: eror, value: 1}]"), &plan);
/// assert_eq!(
///     problems.unwrap_err()[0].to_string(),
///     "history.yaml:1:27: error: the plan has no metric `eror`, expected one of `errors`"
/// );
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// When the rollout is started, unless somebody says otherwise.
    pub start: Option<Timestamp>,
    /// What people do who are asked, unless somebody says otherwise.
    pub people: Option<People>,
    pub(super) events: Vec<Event>,
}

/// What people do who are asked for their word: to approve, to attest, to lift a ceiling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum People {
    /// They give it so long after all else is as it must be.
    After(Period),
    /// They do not, but for what is scripted.
    Absent,
}

impl Default for People {
    fn default() -> People {
        People::After(Period::ZERO)
    }
}

impl FromStr for People {
    type Err = String;

    fn from_str(text: &str) -> Result<People, String> {
        match text {
            "prompt" => Ok(People::default()),
            "absent" => Ok(People::Absent),
            time => time.parse().map(People::After).map_err(|_| {
                format!("`{text}` is not what people can be; write prompt, absent, or how long they take, as in 4h")
            }),
        }
    }
}

/// Something that happens.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Event {
    pub when: When,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum When {
    At(Timestamp),
    /// So long after the start.
    After(Period),
    /// So long after a step first begins.
    InStep(String, Period),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum What {
    /// A metric says something else than before.
    Measured { metric: String, part: Part, says: Says, over: Period, lasting: Option<Period> },
    /// Somebody does something.
    Done(Act),
}

/// What a metric says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Says {
    Number(f64),
    NoData,
    Well,
}

/// What somebody does.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Act {
    pub doing: Doing,
    pub author: String,
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Doing {
    Verb(Verb),
    Freeze(Until),
    Unfreeze,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Until {
    At(Timestamp),
    After(Period),
    Unfrozen,
}

/// Who does what nobody is named for.
pub(super) const ANYONE: &str = "anyone";

impl Script {
    /// Reads a script for a plan, in YAML or JSON.
    ///
    /// # Errors
    ///
    /// Everything in it that makes no sense or that the plan knows nothing of, and where it stands.
    pub fn read(source: &Source, plan: &Plan) -> Result<Script, Vec<Problem>> {
        let (written, document) = Document::read::<Written>(source)?;
        let mut problems = Vec::new();
        let mut events = Vec::new();
        for (index, event) in written.events.into_iter().enumerate() {
            let path = Path::default().key("events").index(index);
            match event.check(plan) {
                Ok(event) => events.push(event),
                Err(Wrong { key, message, suggestion }) => {
                    let path = if key.is_empty() { path } else { path.key(key) };
                    problems.push(document.problem(&path, message, suggestion));
                }
            }
        }
        match problems.is_empty() {
            true => Ok(Script { start: written.start, people: written.people, events }),
            false => Err(problems),
        }
    }
}

/// A script as it is written.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Written {
    start: Option<Timestamp>,
    people: Option<People>,
    events: Vec<WrittenEvent>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct WrittenEvent {
    at: Option<Moment>,
    step: Option<String>,
    after: Option<Length>,

    metric: Option<String>,
    part: Option<Part>,
    value: Option<Says>,
    over: Option<Length>,
    #[serde(rename = "for")]
    lasting: Option<Length>,

    approve: Option<String>,
    attest: Option<String>,
    signal: Option<String>,
    clear: Option<String>,
    rollback: Option<Where>,
    staircase: Option<Percent>,
    every: Option<Length>,
    hold: Option<String>,
    resume: Option<String>,
    retry: Option<String>,
    freeze: Option<Moment>,
    unfreeze: Option<String>,
    by: Option<String>,
    reason: Option<String>,
}

/// What is wrong with an event, and under which key.
struct Wrong {
    key: &'static str,
    message: String,
    suggestion: Option<String>,
}

fn wrong<T>(key: &'static str, message: impl Into<String>, suggestion: &str) -> Result<T, Wrong> {
    let suggestion = Some(suggestion.to_owned()).filter(|suggestion| !suggestion.is_empty());
    Err(Wrong { key, message: message.into(), suggestion })
}

/// A name that the plan must know.
fn known<'a>(
    key: &'static str,
    what: &str,
    name: &str,
    mut names: impl Iterator<Item = &'a str> + Clone,
) -> Result<(), Wrong> {
    if names.clone().any(|known| known == name) {
        return Ok(());
    }
    let suggestion = did_you_mean(name, names.clone()).or_else(|| {
        let there = names.clone().next().is_some();
        there.then(|| format!("expected one of {}", list(names.by_ref())))
    });
    Err(Wrong { key, message: format!("the plan has no {what} `{name}`"), suggestion })
}

impl WrittenEvent {
    fn check(self, plan: &Plan) -> Result<Event, Wrong> {
        let when = self.when(plan)?;
        let what = self.what(plan)?;
        Ok(Event { when, what })
    }

    fn when(&self, plan: &Plan) -> Result<When, Wrong> {
        let after = self.after.map_or(Period::ZERO, |Length(after)| after);
        match (&self.at, &self.step) {
            (Some(_), Some(_)) => wrong("step", "an event is `at` a time or in a `step`, and not both", ""),
            (None, None) => wrong("", "it does not say when it happens", "write `at: 3d`, or `step: .., after: 20m`"),
            (Some(_), None) if self.after.is_some() => {
                wrong("after", "`after` is for how long after a `step` begins", "write `at` alone")
            }
            (Some(Moment::At(at)), None) => Ok(When::At(*at)),
            (Some(Moment::After(after)), None) => Ok(When::After(*after)),
            (None, Some(step)) => {
                let steps = plan.steps();
                known("step", "step", step, steps.iter().map(|step| step.name.as_str()))?;
                Ok(When::InStep(step.clone(), after))
            }
        }
    }

    fn what(self, plan: &Plan) -> Result<What, Wrong> {
        let deeds = [
            ("approve", self.approve.is_some()),
            ("attest", self.attest.is_some()),
            ("signal", self.signal.is_some()),
            ("clear", self.clear.is_some()),
            ("rollback", self.rollback.is_some()),
            ("hold", self.hold.is_some()),
            ("resume", self.resume.is_some()),
            ("retry", self.retry.is_some()),
            ("freeze", self.freeze.is_some()),
            ("unfreeze", self.unfreeze.is_some()),
        ];
        let mut written = [("metric", self.metric.is_some())].into_iter().chain(deeds);
        let mut written = written.by_ref().filter(|(_, is)| *is).map(|(key, _)| key);
        match (written.next(), written.next()) {
            (None, _) => wrong("", "it does not say what happens", "write a `metric`, or what somebody does"),
            (Some(first), Some(second)) => {
                wrong(second, format!("an event is a `{first}` or a `{second}`, and not both"), "")
            }
            (Some("metric"), None) => self.measured(plan),
            (Some(_), None) => self.done(plan),
        }
    }

    fn measured(self, plan: &Plan) -> Result<What, Wrong> {
        let name = self.metric.unwrap_or_default();
        known("metric", "metric", &name, plan.metrics.keys().map(String::as_str))?;
        let part = self.part.unwrap_or(Part::Value);
        let Some(metric) = plan.metrics.get(&name) else { return wrong("metric", "there is no such metric", "") };
        match (part, &metric.baseline, &metric.samples) {
            (Part::Baseline, None, _) => return wrong("part", format!("`{name}` has no baseline in the plan"), ""),
            (Part::Baseline, Some(crate::rollout::Baseline::Value(value)), _) => {
                return wrong("part", format!("the baseline of `{name}` is {value} in the plan, always"), "");
            }
            (Part::Count { .. }, ..) => return wrong("part", "a count comes of its rate: script that", ""),
            (Part::Samples, _, None) => return wrong("part", format!("`{name}` has no samples in the plan"), ""),
            _ => {}
        }
        for (key, is) in [("by", self.by.is_some()), ("reason", self.reason.is_some())] {
            if is {
                return wrong(key, format!("`{key}` is for what somebody does"), "");
            }
        }
        let Some(says) = self.value else {
            return wrong(
                "metric",
                format!("it does not say what `{name}` says"),
                "write `value: 2%`, or `value: noData`",
            );
        };
        let over = self.over.map_or(Period::ZERO, |Length(over)| over);
        if !over.is_zero() && !matches!(says, Says::Number(_)) {
            return wrong("over", "only to a number it goes little by little", "");
        }
        let lasting = self.lasting.map(|Length(lasting)| lasting);
        if lasting.is_some_and(|lasting| lasting <= over && !(lasting.is_zero() && over.is_zero())) {
            return wrong("for", "it is over before it is there: `for` counts from the beginning of `over`", "");
        }
        Ok(What::Measured { metric: name, part, says, over, lasting })
    }

    fn done(self, plan: &Plan) -> Result<What, Wrong> {
        let measures = [
            ("part", self.part.is_some()),
            ("value", self.value.is_some()),
            ("over", self.over.is_some()),
            ("for", self.lasting.is_some()),
        ];
        if let Some((key, _)) = measures.into_iter().find(|(_, is)| *is) {
            return wrong(key, format!("`{key}` is for a metric"), "");
        }
        let staircase =
            self.staircase.map(|by| (by, self.every.map_or(Period::from_millis(300_000), |Length(every)| every)));
        if staircase.is_none() && self.every.is_some() {
            return wrong("every", "`every` is for a staircase", "write `staircase: 10` with it");
        }
        if staircase.is_some() && self.rollback.is_none() {
            return wrong("staircase", "a staircase is a way of a `rollback`", "write `rollback: zero` with it");
        }
        let mut author = ANYONE.to_owned();
        let mut words = None;
        let doing = if let Some(role) = self.approve {
            known("approve", "role", &role, plan.roles.keys().map(String::as_str))?;
            first_of(plan, &role, &mut author);
            Doing::Verb(Verb::Advance { role: Some(role), step: None })
        } else if let Some(what) = self.attest {
            let requirements = || plan.steps.iter().flat_map(|step| &step.requires);
            let attestations = requirements().filter_map(|requirement| requirement.attestation.as_deref());
            known("attest", "attestation", &what, attestations)?;
            let asked = requirements().find(|requirement| requirement.attestation.as_ref() == Some(&what));
            if let Some(role) = asked.and_then(|requirement| requirement.role()) {
                first_of(plan, role, &mut author);
            }
            Doing::Verb(Verb::Attest { what })
        } else if let Some(name) = self.signal {
            known("signal", "trigger for the signal", &name, plan.signals().collect::<Vec<_>>().into_iter())?;
            Doing::Verb(Verb::Signal { name })
        } else if let Some(name) = self.clear {
            known("clear", "trigger for the signal", &name, plan.signals().collect::<Vec<_>>().into_iter())?;
            Doing::Verb(Verb::Clear { name })
        } else if let Some(Where(to)) = self.rollback {
            Doing::Verb(match (staircase, to) {
                (None, to) => Verb::Rollback { to, severity: Severity::Warning },
                (Some((by, every)), To::Zero) => Verb::Staircase { by, every, to: Percent::default() },
                (Some((by, every)), To::Percent(to)) => Verb::Staircase { by, every, to },
                (Some(_), To::Previous) => {
                    return wrong("staircase", "a staircase leads to zero or to a percent", "");
                }
            })
        } else if let Some(until) = self.freeze {
            Doing::Freeze(match until {
                Moment::At(at) => Until::At(at),
                Moment::After(period) if period.is_zero() => Until::Unfrozen,
                Moment::After(period) => Until::After(period),
            })
        } else {
            let verbs = [(self.hold, Verb::Hold), (self.resume, Verb::Resume), (self.retry, Verb::Retry)];
            let verb = verbs.into_iter().find_map(|(said, verb)| Some((said?, verb)));
            words = verb.as_ref().map(|(said, _)| said.clone()).or(self.unfreeze);
            verb.map_or(Doing::Unfreeze, |(_, verb)| Doing::Verb(verb))
        };
        if let (Some(_), Some(_)) = (&words, &self.reason) {
            return wrong("reason", "the reason is given already", "");
        }
        let reason = words.or(self.reason).unwrap_or_else(|| "so the script says".to_owned());
        Ok(What::Done(Act { doing, author: self.by.unwrap_or(author), reason }))
    }
}

/// Whoever has a role first.
fn first_of(plan: &Plan, role: &str, author: &mut String) {
    if let Some(first) = plan.roles.get(role).and_then(|people| people.first()) {
        author.clone_from(first);
    }
}

/// A length of time, with blanks between its units if one likes: `3d 2h`.
#[derive(Clone, Copy, Debug)]
struct Length(Period);

/// An instant, or a length of time.
#[derive(Clone, Copy, Debug)]
enum Moment {
    At(Timestamp),
    After(Period),
}

/// How far back.
#[derive(Clone, Copy, Debug)]
struct Where(To);

fn length(text: &str) -> Result<Period, String> {
    text.split_whitespace()
        .collect::<String>()
        .parse()
        .map_err(|_| format!("`{text}` is no duration; write it like 30m, 48h or 3d 2h"))
}

fn moment(text: &str) -> Result<Moment, String> {
    let instant = text.parse().map(Moment::At);
    instant.or_else(|_| length(text).map(Moment::After)).map_err(|_| {
        format!("`{text}` is no time; write how long it takes, like 3d 2h, or an instant, like 2025-01-10T08:00:00Z")
    })
}

fn says(text: &str) -> Result<Says, String> {
    let number = |text: &str| text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
    let said = match text {
        "noData" => Some(Says::NoData),
        "well" => Some(Says::Well),
        text => match text.strip_suffix('%') {
            Some(percent) => number(percent).map(|number| Says::Number(number / 100.0)),
            None => number(text).map(Says::Number),
        },
    };
    said.ok_or_else(|| {
        format!("`{text}` is nothing that a metric says; write a number, a percent like 2%, noData or well")
    })
}

fn back(text: &str) -> Result<Where, String> {
    Ok(Where(match text {
        "zero" => To::Zero,
        "previous" => To::Previous,
        percent => To::from(
            percent
                .trim_end_matches('%')
                .parse::<Percent>()
                .map_err(|error| format!("{error}; write zero, previous, or a percent"))?,
        ),
    }))
}

/// Reads a type from a text or a number.
macro_rules! from_text {
    ($type:ty, $expects:literal, $read:expr) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;
                impl Visitor<'_> for Text {
                    type Value = $type;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expects)
                    }

                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$type, E> {
                        $read(text).map_err(E::custom)
                    }

                    fn visit_u64<E: de::Error>(self, number: u64) -> Result<$type, E> {
                        self.visit_str(&number.to_string())
                    }

                    fn visit_i64<E: de::Error>(self, number: i64) -> Result<$type, E> {
                        self.visit_str(&number.to_string())
                    }

                    fn visit_f64<E: de::Error>(self, number: f64) -> Result<$type, E> {
                        self.visit_str(&number.to_string())
                    }
                }
                deserializer.deserialize_any(Text)
            }
        }
    };
}

from_text!(Length, "a duration like 30m or 3d 2h", |text| length(text).map(Length));
from_text!(Moment, "a duration like 3d 2h, or an instant like 2025-01-10T08:00:00Z", moment);
from_text!(Says, "a number, a percent like 2%, noData or well", says);
from_text!(Where, "zero, previous, or a percent", back);
from_text!(People, "prompt, absent, or how long people take, as in 4h", str::parse);

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: &str = r#"{
        "flags": ["f"],
        "roles": {"product": ["ana", "bo"]},
        "metrics": {"errors": {"query": "e", "samples": "s"}, "latency": {"query": "l", "baseline": {"value": 5}}},
        "triggers": [{"metric": "errors", "value": "> 1"}, {"signal": "bug"}],
        "steps": [
            {"percent": 10, "requires": [{"approval": "product"}, {"attestation": "looked at", "role": "product"}]},
            {"percent": 100}
        ]
    }"#;

    fn read(events: &str) -> Result<Script, Vec<Problem>> {
        Script::read(&Source::new("s.yaml", format!("events:\n{events}")), &serde_json::from_str(PLAN).unwrap())
    }

    fn event(text: &str) -> Event {
        let script = read(&format!("  - {text}")).unwrap_or_else(|problems| panic!("{text}: {problems:?}"));
        script.events[0].clone()
    }

    fn period(text: &str) -> Period {
        text.parse().unwrap()
    }

    #[test]
    fn what_metrics_say() {
        let measured = |says, over: &str, lasting: Option<&str>| What::Measured {
            metric: "errors".to_owned(),
            part: Part::Value,
            says,
            over: period(over),
            lasting: lasting.map(period),
        };
        for (text, when, what) in [
            (
                "{at: 3d 2h, metric: errors, value: 2%, for: 30m}",
                When::After(period("3d2h")),
                measured(Says::Number(0.02), "0", Some("30m")),
            ),
            (
                "{at: 2025-01-10T08:00:00Z, metric: errors, value: noData}",
                When::At("2025-01-10T08:00:00Z".parse().unwrap()),
                measured(Says::NoData, "0", None),
            ),
            (
                "{step: 10%, after: 20m, metric: errors, value: 1e3, over: 2h, for: 5h}",
                When::InStep("10%".to_owned(), period("20m")),
                measured(Says::Number(1000.0), "2h", Some("5h")),
            ),
            (
                "{step: 10%, metric: errors, value: well}",
                When::InStep("10%".to_owned(), Period::ZERO),
                measured(Says::Well, "0", None),
            ),
        ] {
            assert_eq!(event(text), Event { when, what }, "{text}");
        }
    }

    #[test]
    fn what_people_do() {
        let done = |doing, author: &str, reason: &str| {
            What::Done(Act { doing, author: author.to_owned(), reason: reason.to_owned() })
        };
        const SO: &str = "so the script says";
        let ten: Percent = "10".parse().unwrap();
        for (text, what) in [
            (
                "approve: product",
                done(Doing::Verb(Verb::Advance { role: Some("product".to_owned()), step: None }), "ana", SO),
            ),
            (
                "approve: product, by: bo, reason: Go",
                done(Doing::Verb(Verb::Advance { role: Some("product".to_owned()), step: None }), "bo", "Go"),
            ),
            ("attest: looked at", done(Doing::Verb(Verb::Attest { what: "looked at".to_owned() }), "ana", SO)),
            ("signal: bug", done(Doing::Verb(Verb::Signal { name: "bug".to_owned() }), ANYONE, SO)),
            ("clear: bug", done(Doing::Verb(Verb::Clear { name: "bug".to_owned() }), ANYONE, SO)),
            ("hold: It is odd", done(Doing::Verb(Verb::Hold), ANYONE, "It is odd")),
            ("resume: Looked at, by: bo", done(Doing::Verb(Verb::Resume), "bo", "Looked at")),
            ("retry: Mended", done(Doing::Verb(Verb::Retry), ANYONE, "Mended")),
            (
                "rollback: previous",
                done(Doing::Verb(Verb::Rollback { to: To::Previous, severity: Severity::Warning }), ANYONE, SO),
            ),
            (
                "rollback: 0",
                done(Doing::Verb(Verb::Rollback { to: To::Zero, severity: Severity::Warning }), ANYONE, SO),
            ),
            (
                "rollback: 10%",
                done(Doing::Verb(Verb::Rollback { to: To::Percent(ten), severity: Severity::Warning }), ANYONE, SO),
            ),
            (
                "rollback: zero, staircase: 10, every: 30m",
                done(
                    Doing::Verb(Verb::Staircase { by: ten, every: period("30m"), to: Percent::default() }),
                    ANYONE,
                    SO,
                ),
            ),
            ("freeze: 2d, reason: Holidays", done(Doing::Freeze(Until::After(period("2d"))), ANYONE, "Holidays")),
            ("freeze: 0", done(Doing::Freeze(Until::Unfrozen), ANYONE, SO)),
            ("unfreeze: Over", done(Doing::Unfreeze, ANYONE, "Over")),
        ] {
            assert_eq!(event(&format!("{{at: 1d, {text}}}")).what, what, "{text}");
        }
    }

    #[test]
    fn who_is_asked() {
        let people = |text: &str| {
            let plan = serde_json::from_str(PLAN).unwrap();
            Script::read(&Source::new("s.yaml", format!("people: {text}")), &plan).map(|script| script.people)
        };
        assert_eq!(people("prompt").unwrap(), Some(People::After(Period::ZERO)));
        assert_eq!(people("absent").unwrap(), Some(People::Absent));
        assert_eq!(people("4h").unwrap(), Some(People::After(period("4h"))));
        assert!(people("away").unwrap_err()[0].message.contains("prompt, absent"));
    }

    #[test]
    fn what_makes_no_sense_is_told_with_its_place() {
        for (text, message) in [
            ("{metric: errors, value: 1}", "2:5: error: it does not say when it happens, write `at: 3d`"),
            ("{at: 1d}", "2:5: error: it does not say what happens"),
            ("{at: soon, hold: x}", "2:10: error: `soon` is no time; write how long it takes"),
            ("{at: 1d, step: 10%, hold: x}", "2:20: error: an event is `at` a time or in a `step`, and not both"),
            ("{at: 1d, after: 1h, hold: x}", "2:21: error: `after` is for how long after a `step` begins"),
            ("{step: 11%, hold: x}", "2:12: error: the plan has no step `11%`, did you mean `10%`?"),
            (
                "{at: 1d, metric: erors, value: 1}",
                "2:22: error: the plan has no metric `erors`, did you mean `errors`?",
            ),
            ("{at: 1d, metric: errors}", "error: it does not say what `errors` says"),
            ("{at: 1d, metric: errors, value: lots}", "2:37: error: `lots` is nothing that a metric says"),
            ("{at: 1d, metric: errors, part: baseline, value: 1}", "2:36: error: `errors` has no baseline in the plan"),
            (
                "{at: 1d, metric: latency, part: baseline, value: 1}",
                "the baseline of `latency` is 5 in the plan, always",
            ),
            ("{at: 1d, metric: latency, part: samples, value: 1}", "`latency` has no samples in the plan"),
            ("{at: 1d, metric: errors, value: noData, over: 1h}", "only to a number it goes little by little"),
            ("{at: 1d, metric: errors, value: 1, over: 1h, for: 30m}", "it is over before it is there"),
            ("{at: 1d, metric: errors, value: 1, by: ana}", "`by` is for what somebody does"),
            ("{at: 1d, metric: errors, value: 1, hold: x}", "an event is a `metric` or a `hold`, and not both"),
            ("{at: 1d, approve: products}", "the plan has no role `products`, did you mean `product`?"),
            ("{at: 1d, attest: read}", "the plan has no attestation `read`, expected one of `looked at`"),
            ("{at: 1d, signal: bugs}", "the plan has no trigger for the signal `bugs`, did you mean `bug`?"),
            ("{at: 1d, rollback: up}", "write zero, previous, or a percent"),
            ("{at: 1d, rollback: previous, staircase: 10}", "a staircase leads to zero or to a percent"),
            ("{at: 1d, hold: x, staircase: 10}", "a staircase is a way of a `rollback`"),
            ("{at: 1d, rollback: zero, every: 5m}", "`every` is for a staircase"),
            ("{at: 1d, hold: x, reason: y}", "the reason is given already"),
            ("{at: 1d, hold: x, value: 1}", "`value` is for a metric"),
            ("{at: 1d, holds: x}", "unknown field `holds`, did you mean `hold`?"),
        ] {
            let problems = read(&format!("  - {text}")).unwrap_err();
            let said = problems[0].to_string();
            assert!(problems.len() == 1 && said.contains(message), "{text}: {said}");
        }
        assert_eq!(read("  - {at: 1d}\n  - {hold: x}").unwrap_err().len(), 2, "all of them are told");
    }
}
