//! What decides: context, conditions, bucketing, the order of precedence, reasons.
//!
//! # The order of precedence
//!
//! | | step | serves | reason |
//! |--:|---|---|---|
//! | 1 | off pin | `off` | STATIC |
//! | 2 | kill: of everything, a tag, the flag | `off` | DISABLED |
//! | 3 | disabled | `off` | DISABLED |
//! | 4 | on pin | the pin's variant | STATIC |
//! | 5 | a prerequisite does not serve a variant asked for, or is in error | `off` | DEFAULT |
//! | 6 | deny list: the key, or a segment that holds *or might hold* the context | `off` | TARGETING_MATCH |
//! | 7 | cohort exclusion: list, segment (as in 6), range of positions | `off` | TARGETING_MATCH |
//! | 8 | allow list: the key, or a segment that holds the context | the list's variant | TARGETING_MATCH |
//! | 9 | holdout: the position lies below its percent | `off` | SPLIT |
//! | 10 | layer: the position lies outside the flag's ranges | `off` | SPLIT |
//! | 11 | rules in order: the first whose condition is true and, if it serves a ramp, whose ramp holds the user | what the rule serves | TARGETING_MATCH, or SPLIT where a ramp or split had a part |
//! | 12 | default | what it serves; outside its ramp `off` | STATIC for a flag that is nothing but a default, else DEFAULT; SPLIT where a ramp or split had a part |
//!
//! A flag that requires something this engine lacks is ERROR after step 4, so that kill, disabled and pins still work.
//! Where a position is needed and there is no key, the step serves `off` with reason DEFAULT and
//! [`Evaluation::key_missing`]; 0 % and 100 % need no key. Past its snapshot's expiry a result's reason is STALE.
//!
#![doc = include_str!("OPERATORS.md")]

pub mod bucketing;
mod condition;
mod context;
mod decide;
mod explain;
mod handle;
pub(crate) mod network;
#[cfg(feature = "regex")]
pub(crate) mod pattern;
mod schedule;
pub(crate) mod version;

pub use condition::Truth;
pub use context::{Context, ContextError, Object, Value};
pub use explain::{ExplainedStep, Explanation, Finding};
pub use handle::{FlagHandle, FlagKey};
pub use schedule::Membership;

pub(crate) use context::Attributes;
#[cfg(all(feature = "wasm", target_arch = "wasm32"))]
pub(crate) use context::{Attribute, List};
pub(crate) use decide::Outcome;

use crate::Timestamp;
use crate::snapshot::load::Snapshot;
use crate::snapshot::model::{Flag, FlagType, Variant, VariantId, VariantValue};
use decide::Decider;
use explain::Trace;
use std::fmt;

/// Why a value was served (OpenFeature's resolution reasons).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The flag serves everyone the same, or is pinned.
    Static,
    /// Nothing else applied.
    Default,
    /// A rule or list named the user.
    TargetingMatch,
    /// The user's position decided.
    Split,
    /// The flag is disabled or killed.
    Disabled,
    /// The snapshot has expired; the value is what it would have been.
    Stale,
    /// There is no value; the caller's default stands.
    Error,
}

impl Reason {
    /// OpenFeature's name.
    pub fn name(self) -> &'static str {
        match self {
            Reason::Static => "STATIC",
            Reason::Default => "DEFAULT",
            Reason::TargetingMatch => "TARGETING_MATCH",
            Reason::Split => "SPLIT",
            Reason::Disabled => "DISABLED",
            Reason::Stale => "STALE",
            Reason::Error => "ERROR",
        }
    }
}

/// What went wrong (OpenFeature's error codes). Wherever there is one, the caller's default is what counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorCode {
    /// No usable snapshot was loaded.
    ProviderNotReady,
    /// The snapshot holds no such flag.
    FlagNotFound,
    /// The flag's type is not the one asked for.
    TypeMismatch,
    /// The flag needs something that this engine lacks, or is pinned to a variant that it has not.
    General,
}

impl ErrorCode {
    /// OpenFeature's name.
    pub fn name(self) -> &'static str {
        match self {
            ErrorCode::ProviderNotReady => "PROVIDER_NOT_READY",
            ErrorCode::FlagNotFound => "FLAG_NOT_FOUND",
            ErrorCode::TypeMismatch => "TYPE_MISMATCH",
            ErrorCode::General => "GENERAL",
        }
    }
}

/// A step of [the order of precedence](self#the-order-of-precedence).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// Pinned to `off` in this process.
    OffPin,
    /// Killed: everything, by tag, or the flag itself.
    Kill,
    /// Not enabled.
    Disabled,
    /// Pinned to a variant in this process.
    OnPin,
    /// Requires something that this engine lacks.
    Unsupported,
    /// A flag that must serve something first does not.
    Prerequisite,
    /// On the deny list.
    Deny,
    /// In an excluded cohort.
    Exclude,
    /// On the allow list.
    Allow,
    /// Held out.
    Holdout,
    /// Outside the flag's part of its layer.
    Layer,
    /// The rule with this index.
    Rule(u16),
    /// The default.
    Default,
}

#[cfg(feature = "serde")]
impl serde::Serialize for Step {
    /// The name; which rule it was, the result says.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl Step {
    /// The step's name in explanations and in JavaScript.
    pub fn name(self) -> &'static str {
        match self {
            Step::OffPin => "offPin",
            Step::Kill => "kill",
            Step::Disabled => "disabled",
            Step::OnPin => "onPin",
            Step::Unsupported => "unsupported",
            Step::Prerequisite => "prerequisite",
            Step::Deny => "deny",
            Step::Exclude => "exclude",
            Step::Allow => "allow",
            Step::Holdout => "holdout",
            Step::Layer => "layer",
            Step::Rule(_) => "rule",
            Step::Default => "default",
        }
    }
}

/// What pins a flag in this process: an environment variable, a tester's override.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pin {
    /// Serves `off`, above everything.
    Off,
    /// Serves this variant, unless the flag is killed or disabled.
    Variant(String),
}

/// Flags pinned in this process. Pins stand outside the promise that everyone lands in the same cohort everywhere, so
/// they show in the result: reason STATIC, step `offPin` or `onPin`.
///
/// ```
/// use flagstone::{Pin, Pins};
///
/// let pins = Pins::default().with("use_new_gateway", Pin::Off).with("theme", Pin::Variant("dark".into()));
/// assert_eq!(pins.get("use_new_gateway"), Some(&Pin::Off));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Pins {
    pins: Vec<(String, Pin)>,
}

impl Pins {
    /// No pins.
    pub const NONE: &'static Pins = &Pins { pins: Vec::new() };

    /// Pins a flag; pinning it again replaces the pin.
    #[must_use]
    pub fn with(mut self, flag: impl Into<String>, pin: Pin) -> Self {
        let flag = flag.into();
        self.pins.retain(|(other, _)| *other != flag);
        self.pins.push((flag, pin));
        self
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.pins.is_empty()
    }

    /// The flag's pin.
    #[inline]
    pub fn get(&self, flag: &str) -> Option<&Pin> {
        self.pins.iter().find(|(other, _)| other == flag).map(|(_, pin)| pin)
    }
}

/// A variant's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FlagValue<'s> {
    /// Of a boolean flag
    Boolean(bool),
    /// Of a string flag
    String(&'s str),
    /// Of a number flag
    Number(f64),
    /// Of a JSON flag: the JSON text
    Json(&'s str),
}

/// The result of evaluating a flag (OpenFeature's resolution details).
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation<'s> {
    /// The flag's key as it was asked for.
    pub flag: String,
    /// The value; `None` exactly where there is an error, and then the caller's default counts.
    pub value: Option<FlagValue<'s>>,
    /// The value as it stands in the snapshot, a JSON text.
    pub json: Option<&'s str>,
    /// The name of the variant served.
    pub variant: Option<&'s str>,
    /// Why.
    pub reason: Reason,
    /// What went wrong.
    pub error_code: Option<ErrorCode>,
    /// The step of the precedence that decided; `None` where no flag was evaluated.
    pub step: Option<Step>,
    /// The id of the rule that decided, where one did.
    pub rule: Option<&'s str>,
    /// Whether `off` was served because there was no key to bucket by.
    pub key_missing: bool,
    /// The snapshot's version.
    pub version: u64,
    /// From when on the clock may change the result, where a schedule had a part in it.
    pub until: Option<Timestamp>,
    /// The environment variables that pin the flag in this process, separated by commas.
    pub pinned_by: Option<&'s str>,
}

impl<'s> Evaluation<'s> {
    fn error(flag: &str, code: ErrorCode, version: u64) -> Self {
        Evaluation {
            flag: flag.to_owned(),
            value: None,
            json: None,
            variant: None,
            reason: Reason::Error,
            error_code: Some(code),
            step: None,
            rule: None,
            key_missing: false,
            version,
            until: None,
            pinned_by: None,
        }
    }

    /// What went wrong, in a sentence.
    pub fn error_message(&self) -> Option<String> {
        let flag = &self.flag;
        Some(match (self.error_code?, self.step) {
            (ErrorCode::ProviderNotReady, _) => "no usable snapshot was loaded".to_owned(),
            (ErrorCode::FlagNotFound, _) => format!("the snapshot holds no flag `{flag}`"),
            (ErrorCode::TypeMismatch, _) => format!("the flag `{flag}` has another type than the one asked for"),
            (ErrorCode::General, Some(Step::OnPin)) => format!("`{flag}` is pinned to a variant that it does not have"),
            (ErrorCode::General, _) => format!("`{flag}` requires something that this version of Flagstone lacks"),
        })
    }
}

/// Evaluates the flags of a snapshot at an instant. Made by [`Snapshot::at`]; cheap to make and to copy.
#[derive(Clone, Copy)]
pub struct Evaluator<'s> {
    snapshot: &'s Snapshot,
    now: Timestamp,
    pins: &'s Pins,
}

impl fmt::Debug for Evaluator<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Evaluator").field("snapshot", self.snapshot).field("now", &self.now).finish_non_exhaustive()
    }
}

impl Snapshot {
    /// Evaluates at this instant; schedules and expiry go by it.
    ///
    /// ```
    /// use flagstone::{Context, FlagValue, Reason, Snapshot, Timestamp};
    ///
    /// let snapshot = Snapshot::from_payload(r##"{
    ///     "schema": 1, "environment": "production", "audience": "server", "version": 7, "created": "2026-11-21T12:00:00Z",
    ///     "flags": {
    ///         "theme": {
    ///             "type": "string", "variants": {"light": "#fff", "dark": "#000"}, "off": "light", "salt": "theme-1",
    ///             "rules": [{"id": "staff", "when": {"attribute": "staff", "equals": true}, "serve": "dark"}],
    ///             "default": {"ramp": {"percent": 25000, "serve": "dark"}}
    ///         }
    ///     }
    /// }"##)?;
    /// let flags = snapshot.at(Timestamp::now());
    ///
    /// assert_eq!(flags.string("theme", "#777", &Context::new("user-42").with("staff", true)), "#000");
    ///
    /// let details = flags.details("theme", &Context::new("user-42"));
    /// assert_eq!(details.value, Some(FlagValue::String("#fff")));
    /// assert_eq!((details.reason, details.version), (Reason::Split, 7));
    /// # Ok::<(), flagstone::SnapshotError>(())
    /// ```
    pub fn at(&self, now: Timestamp) -> Evaluator<'_> {
        Evaluator { snapshot: self, now, pins: Pins::NONE }
    }

    pub(crate) fn variant_name(&self, flag: &Flag, id: VariantId) -> &str {
        self.text(flag.variants.of(&self.tables.variants)[usize::from(id)].name)
    }

    pub(crate) fn find_variant(&self, flag: &Flag, name: &str) -> Option<VariantId> {
        let variants = flag.variants.of(&self.tables.variants);
        variants.iter().position(|variant| self.text(variant.name) == name).map(|index| index as VariantId)
    }

    pub(crate) fn condition_json(&self, at: u32) -> &str {
        self.text(self.tables.condition_texts[at as usize])
    }

    /// Decides a flag for attributes of any make.
    #[cfg_attr(not(target_arch = "wasm32"), inline(always))]
    #[cfg_attr(target_arch = "wasm32", inline)]
    pub(crate) fn decide(&self, flag: u32, attributes: &impl Attributes, now: Timestamp, pins: &Pins) -> Outcome {
        // A download has no room for a second copy of what decides.
        #[cfg(all(feature = "wasm-tools", target_arch = "wasm32"))]
        let nobody = None::<&mut Trace>;
        #[cfg(not(all(feature = "wasm-tools", target_arch = "wasm32")))]
        let nobody = ();
        Decider::new(self, attributes, now, pins, nobody).decide(flag)
    }

    /// Decides a flag, watched.
    pub(crate) fn decide_watched(
        &self,
        flag: u32,
        attributes: &impl Attributes,
        now: Timestamp,
        pins: &Pins,
    ) -> (Outcome, Vec<ExplainedStep>) {
        let mut trace = Trace::default();
        let outcome = Decider::new(self, attributes, now, pins, Some(&mut trace)).decide(flag);
        (outcome, trace.steps)
    }
}

impl<'s> Evaluator<'s> {
    /// The same, with flags pinned.
    #[must_use]
    pub fn with_pins(self, pins: &'s Pins) -> Self {
        Evaluator { pins, ..self }
    }

    /// A boolean flag's value, or `default` where there is none.
    pub fn boolean(&self, flag: &(impl FlagKey + ?Sized), default: bool, context: &Context) -> bool {
        match self.served(flag, context) {
            Some(Variant { value: VariantValue::Boolean(value), .. }) => *value,
            _ => default,
        }
    }

    /// A string flag's value, or `default` where there is none.
    pub fn string<'v>(&self, flag: &(impl FlagKey + ?Sized), default: &'v str, context: &Context) -> &'v str
    where
        's: 'v,
    {
        match self.served(flag, context) {
            Some(Variant { value: VariantValue::String(value), .. }) => self.snapshot.text(*value),
            _ => default,
        }
    }

    /// A number flag's value, or `default` where there is none.
    pub fn number(&self, flag: &(impl FlagKey + ?Sized), default: f64, context: &Context) -> f64 {
        match self.served(flag, context) {
            Some(Variant { value: VariantValue::Number(value), .. }) => *value,
            _ => default,
        }
    }

    /// A JSON flag's value as JSON text, to be parsed into a type of yours, or `default` where there is none.
    pub fn json<'v>(&self, flag: &(impl FlagKey + ?Sized), default: &'v str, context: &Context) -> &'v str
    where
        's: 'v,
    {
        match self.served(flag, context) {
            Some(Variant { value: VariantValue::Json, json, .. }) => self.snapshot.text(*json),
            _ => default,
        }
    }

    #[inline]
    fn served(&self, flag: &(impl FlagKey + ?Sized), context: &Context) -> Option<&'s Variant> {
        self.variant_served(flag.find(self.snapshot)?, context)
    }

    /// Has a copy of what decides for itself, which forgets all but the variant.
    fn variant_served(&self, id: u32, context: &Context) -> Option<&'s Variant> {
        let outcome = self.snapshot.decide(id, context, self.now, self.pins);
        Some(self.variant(id, outcome.variant?))
    }

    fn outcome(&self, id: u32, context: &Context) -> Outcome {
        self.snapshot.decide(id, context, self.now, self.pins)
    }

    #[inline]
    fn variant(&self, flag: u32, variant: VariantId) -> &'s Variant {
        let tables = &self.snapshot.tables;
        &tables.variants[tables.flags[flag as usize].variants.start as usize + usize::from(variant)]
    }

    fn variant_value(&self, variant: &Variant) -> FlagValue<'s> {
        match variant.value {
            VariantValue::Boolean(value) => FlagValue::Boolean(value),
            VariantValue::String(value) => FlagValue::String(self.snapshot.text(value)),
            VariantValue::Number(value) => FlagValue::Number(value),
            VariantValue::Json => FlagValue::Json(self.snapshot.text(variant.json)),
        }
    }

    /// Everything there is to say about a flag's value: variant, reason, rule, version, error.
    pub fn details(&self, flag: &(impl FlagKey + ?Sized), context: &Context) -> Evaluation<'s> {
        match flag.find(self.snapshot) {
            Some(id) => self.evaluation(id, self.outcome(id, context)),
            None => Evaluation::error(flag.key(), ErrorCode::FlagNotFound, self.snapshot.version()),
        }
    }

    /// The same, for a caller who wants this type: another is ERROR, TYPE_MISMATCH.
    pub fn details_of_type(&self, flag: &(impl FlagKey + ?Sized), kind: FlagType, context: &Context) -> Evaluation<'s> {
        match flag.find(self.snapshot).map(|id| self.snapshot.tables.flags[id as usize].kind) {
            Some(other) if other != kind => {
                Evaluation::error(flag.key(), ErrorCode::TypeMismatch, self.snapshot.version())
            }
            _ => self.details(flag, context),
        }
    }

    /// Every flag of the snapshot.
    pub fn all(&self, context: &Context) -> impl Iterator<Item = Evaluation<'s>> {
        (0..self.snapshot.tables.flags.len() as u32).map(move |id| self.evaluation(id, self.outcome(id, context)))
    }

    /// How a flag is decided, step by step; `None` where there is no such flag.
    ///
    /// ```
    /// # use flagstone::{Context, Snapshot, Step, Timestamp};
    /// # let snapshot = Snapshot::from_payload(r#"{"schema": 1, "environment": "e", "audience": "server", "version": 1,
    /// #   "created": "2026-11-21T12:00:00Z", "flags": {"f": {"type": "boolean", "variants": {"on": true, "off": false},
    /// #   "off": "off", "salt": "f-1", "default": {"ramp": {"percent": 25000, "serve": "on"}}}}}"#)?;
    /// let explanation = snapshot.at(Timestamp::now()).explain("f", &Context::new("user-42")).unwrap();
    /// let last = explanation.steps.last().unwrap();
    /// assert_eq!((last.step, last.decided), (Step::Default, true));
    /// # Ok::<(), flagstone::SnapshotError>(())
    /// ```
    pub fn explain(&self, flag: &(impl FlagKey + ?Sized), context: &Context) -> Option<Explanation<'s>> {
        let id = flag.find(self.snapshot)?;
        let (outcome, steps) = self.snapshot.decide_watched(id, context, self.now, self.pins);
        Some(Explanation { evaluation: self.evaluation(id, outcome), steps })
    }

    fn evaluation(&self, id: u32, outcome: Outcome) -> Evaluation<'s> {
        let (snapshot, tables) = (self.snapshot, &self.snapshot.tables);
        let flag = &tables.flags[id as usize];
        let served = outcome.variant.map(|variant| self.variant(id, variant));
        Evaluation {
            flag: snapshot.text(flag.key).to_owned(),
            value: served.map(|variant| self.variant_value(variant)),
            json: served.map(|variant| snapshot.text(variant.json)),
            variant: served.map(|variant| snapshot.text(variant.name)),
            reason: outcome.reason,
            error_code: outcome.error,
            step: Some(outcome.step),
            rule: match outcome.step {
                Step::Rule(index) => Some(snapshot.text(flag.rules.of(&tables.rules)[usize::from(index)].id)),
                _ => None,
            },
            key_missing: outcome.key_missing,
            version: snapshot.version(),
            until: Some(outcome.until).filter(|&until| until != Timestamp::MAX),
            pinned_by: snapshot.pinned_by(snapshot.text(flag.key)),
        }
    }
}
