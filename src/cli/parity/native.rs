//! The runtime that all others are compared with: the crate as a back end links it.

use super::generate::{self, Generated, Question};
use super::users::User;
use flagstone::snapshot::{Envelope, EnvelopeError, SigningKey, TrustedKeys, Typ};
use flagstone::{Context, Engine, ErrorCode, Evaluation, FlagValue, LoadError, Reason, Snapshot, Timestamp};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;

/// What a chunk of users gets: each distinct result once, in the order of first appearance, and for each user and
/// question the number of its result.
#[derive(Debug, Default, PartialEq, serde::Deserialize)]
pub(super) struct Results {
    pub(super) distinct: Vec<String>,
    pub(super) sequence: Vec<u32>,
}

impl Results {
    /// SHA-256 of the distinct results, a line each, an empty line, and the sequence as little-endian numbers.
    pub(super) fn digest(&self) -> [u8; 32] {
        let mut sha256 = hmac_sha256::Hash::new();
        for text in &self.distinct {
            sha256.update(text);
            sha256.update("\n");
        }
        sha256.update("\n");
        for number in &self.sequence {
            sha256.update(number.to_le_bytes());
        }
        sha256.finalize()
    }

    /// The result at a place of the sequence.
    pub(super) fn at(&self, place: usize) -> Option<&str> {
        self.distinct.get(*self.sequence.get(place)? as usize).map(String::as_str)
    }
}

/// The snapshots, signed, and an engine for each.
pub(super) struct Native {
    pub(super) sides: Vec<Side>,
    pub(super) jwks: String,
}

pub(super) struct Side {
    pub(super) generated: Generated,
    pub(super) envelope: String,
    snapshot: Arc<Snapshot>,
}

/// Why the snapshots could not be loaded, which is a fault of this command.
#[derive(Debug)]
pub(super) enum NativeError {
    Envelope(EnvelopeError),
    Load(LoadError),
}

impl std::fmt::Display for NativeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            NativeError::Envelope(error) => error.fmt(f),
            NativeError::Load(error) => error.fmt(f),
        }
    }
}

impl From<EnvelopeError> for NativeError {
    fn from(error: EnvelopeError) -> Self {
        NativeError::Envelope(error)
    }
}

impl From<LoadError> for NativeError {
    fn from(error: LoadError) -> Self {
        NativeError::Load(error)
    }
}

impl Native {
    /// Generates the snapshots of a seed, signs them with a key made for the occasion, and loads them.
    pub(super) fn new(seed: u64) -> Result<Native, NativeError> {
        let key = SigningKey::generate(None, [generate::ENVIRONMENT])?;
        let keys = TrustedKeys::from_iter([key.public()]);
        let mut sides = Vec::new();
        for generated in generate::snapshots(seed) {
            let envelope = Envelope::sign(&generated.payload, Typ::Snapshot, generate::ENVIRONMENT, &[&key])?;
            let engine = Engine::new(generate::ENVIRONMENT, generated.audience, keys.clone());
            engine.load(envelope.as_bytes(), generate::created())?;
            let snapshot = engine.snapshot().expect("the engine holds what it loaded");
            sides.push(Side { generated, envelope, snapshot });
        }
        Ok(Native { sides, jwks: keys.to_jwks() })
    }

    /// Every question for each of these users, those of one user after another.
    pub(super) fn evaluate<'u>(&self, users: impl IntoIterator<Item = &'u User>, now: Timestamp) -> Results {
        let mut results = Results::default();
        let mut numbers: HashMap<String, u32> = HashMap::new();
        // Found before there is a text to look up, for almost every result was seen before.
        let mut seen: HashMap<Seen<'_>, u32> = HashMap::new();
        for user in users {
            let context = user.context();
            for (side, number) in self.sides.iter().zip(0..) {
                for (question, place) in side.generated.questions.iter().zip(0..) {
                    let evaluation = side.ask(question, &context, now);
                    let key = (
                        number,
                        place,
                        evaluation.variant,
                        evaluation.reason.name(),
                        evaluation.rule,
                        evaluation.error_code.map(ErrorCode::name),
                    );
                    let number = *seen.entry(key).or_insert_with(|| {
                        let text = text(&evaluation, &question.default);
                        *numbers.entry(text.clone()).or_insert_with(|| {
                            results.distinct.push(text);
                            results.distinct.len() as u32 - 1
                        })
                    });
                    results.sequence.push(number);
                }
            }
        }
        results
    }

    /// How many questions each user is asked.
    pub(super) fn questions(&self) -> usize {
        self.sides.iter().map(|side| side.generated.questions.len()).sum()
    }
}

type Seen<'s> = (usize, usize, Option<&'s str>, &'static str, Option<&'s str>, Option<&'static str>);

impl Side {
    pub(super) fn ask(&self, question: &Question, context: &Context, now: Timestamp) -> Evaluation<'_> {
        self.snapshot.at(now).details_of_type(&question.flag, question.kind, context)
    }
}

#[cfg(test)]
impl Side {
    /// What was found on the way to a result.
    pub(super) fn explain(&self, question: &Question, context: &Context, now: Timestamp) -> Vec<flagstone::Finding> {
        let explanation = self.snapshot.at(now).explain(&question.flag, context);
        explanation.into_iter().flat_map(|explanation| explanation.steps).flat_map(|step| step.findings).collect()
    }
}

/// Value, variant, reason, rule and error code as `harness.mjs` writes them, too.
fn text(evaluation: &Evaluation<'_>, default: &Value) -> String {
    let value = match evaluation.value {
        None => canonical(default),
        Some(FlagValue::Boolean(value)) => canonical(&value.into()),
        Some(FlagValue::Number(value)) => number(value),
        Some(FlagValue::String(value)) => canonical(&value.into()),
        Some(FlagValue::Json(json)) => canonical(&serde_json::from_str(json).expect("a JSON variant is JSON")),
    };
    let name = |name: Option<&str>| name.map_or("null".to_owned(), |name| Value::from(name).to_string());
    let (variant, rule) = (name(evaluation.variant), name(evaluation.rule));
    let (reason, error) =
        (name(Some(Reason::name(evaluation.reason))), name(evaluation.error_code.map(ErrorCode::name)));
    format!("[{value},{variant},{reason},{rule},{error}]")
}

/// JSON as RFC 8785 writes it, but for numbers.
fn canonical(value: &Value) -> String {
    match value {
        Value::Number(value) => number(value.as_f64().unwrap_or(f64::NAN)),
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
            let members =
                members.into_iter().map(|(name, value)| format!("{}:{}", Value::from(name.as_str()), canonical(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
        other => other.to_string(),
    }
}

/// The shortest digits that name the double, and −0 by its sign.
fn number(number: f64) -> String {
    format!("{number:e}")
}

#[cfg(test)]
mod tests {
    use super::{canonical, number};
    use serde_json::json;

    #[test]
    fn numbers_are_written_as_javascript_does() {
        let texts = [-0.0, 0.0, 0.1, -17.5, 1e21, 5e-324, f64::MAX, 9_007_199_254_740_991.0].map(number);
        assert_eq!(
            texts,
            ["-0e0", "0e0", "1e-1", "-1.75e1", "1e21", "5e-324", "1.7976931348623157e308", "9.007199254740991e15"]
        );
    }

    #[test]
    fn members_are_in_the_order_of_utf16() {
        let value = json!({"\u{ffff}": 1, "😀": [true, null], "a": {}, "": "\u{8}\u{1f}\u{2028}"});
        assert_eq!(canonical(&value), "{\"\":\"\\b\\u001f\u{2028}\",\"a\":{},\"😀\":[true,null],\"\u{ffff}\":1e0}");
    }
}
