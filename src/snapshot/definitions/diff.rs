//! What changed between two definitions.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::problem::{Path, Problem, Severity};
use super::{Definitions, Flag, Scheme, Serve, TARGETING_KEY, Target};

/// One value that differs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// The way to it, as in `flags.use_new_gateway.default.ramp.percent`.
    pub path: String,
    /// What was there; absent where there was nothing.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub before: Option<Value>,
    /// What is there now; absent where there is nothing.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub after: Option<Value>,
}

/// A `null` that stands there is a value.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// Every value that differs between two [`Definitions`](super::Definitions), or two [`State`](super::State)s, by path: maps name by name, lists of maps place by place, other lists whole.
///
/// ```
/// use flagstone::snapshot::definitions::{Definitions, Source, diff};
///
/// let read = |text: &str| Definitions::read(&[Source::new("flags.yaml", text)]).unwrap();
/// let old = read("flags: {beta: {salt: beta-1, default: {ramp: {percent: 5, serve: on}}}}");
/// let new = read("flags: {beta: {salt: beta-1, default: {ramp: {percent: 12.5, serve: on}}}}");
/// let changes = diff(&old, &new);
/// assert_eq!(changes[0].path, "flags.beta.default.ramp.percent");
/// assert_eq!((changes[0].before.clone(), changes[0].after.clone()), (Some(5.into()), Some(12.5.into())));
/// ```
pub fn diff<T: Serialize>(old: &T, new: &T) -> Vec<Change> {
    let value = |of| serde_json::to_value(of).unwrap_or_default();
    let mut changes = Vec::new();
    compare(&Path::default(), Some(&value(old)), Some(&value(new)), &mut changes);
    changes
}

/// What moves users from one cohort to another although no percent says so: another salt, another attribute to bucket by
/// or another scheme, of what both definitions have. All are warnings.
///
/// ```
/// use flagstone::snapshot::definitions::{Definitions, Source, reshuffles};
///
/// let read = |salt: &str| {
///     let text = format!("flags: {{beta: {{salt: {salt}, default: {{ramp: {{percent: 5, serve: on}}}}}}}}");
///     Definitions::read(&[Source::new("flags.yaml", text)]).unwrap()
/// };
/// assert_eq!(
///     reshuffles(&read("beta-1"), &read("beta-2"))[0].to_string(),
///     "flags.yaml:1:22: warning: a new `salt` moves every user of `beta`, put `beta-1` back unless that is meant",
/// );
/// ```
pub fn reshuffles(old: &Definitions, new: &Definitions) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut compare = |(section, name, what): (&str, &str, &str), field: &str, before: &str, after: &str| {
        if before != after {
            let path = Path::default().key(section).key(name).key(field);
            let message = format!("a new `{field}` moves every user of {what}`{name}`");
            let suggestion = Some(format!("put `{before}` back unless that is meant"));
            problems.push(Problem::new(Severity::Warning, &path, message, suggestion).at(new.locate(&path)));
        }
    };
    fn text(value: &Option<String>) -> &str {
        value.as_deref().unwrap_or_default()
    }
    fn by(value: &Option<String>) -> &str {
        value.as_deref().unwrap_or(TARGETING_KEY)
    }
    for (name, after) in &new.flags {
        let Some(before) = old.flags.get(name) else { continue };
        let owner = ("flags", name.as_str(), "");
        if before.serves().any(|serve| uses_salt(before, serve)) {
            compare(owner, "salt", text(&before.salt), text(&after.salt));
        }
        if before.serves().any(|serve| !matches!(serve, Serve::Target(Target::Variant(_)))) {
            compare(owner, "bucketBy", before.bucket_by(), after.bucket_by());
            compare(owner, "scheme", before.scheme.name(), after.scheme.name());
        }
    }
    for (name, after) in &new.layers {
        let Some(before) = old.layers.get(name) else { continue };
        let owner = ("layers", name.as_str(), "the layer ");
        compare(owner, "salt", text(&before.salt), text(&after.salt));
        compare(owner, "by", by(&before.by), by(&after.by));
    }
    for (name, after) in &new.holdouts {
        let Some(before) = old.holdouts.get(name) else { continue };
        let owner = ("holdouts", name.as_str(), "the holdout ");
        compare(owner, "salt", text(&before.salt), text(&after.salt));
        compare(owner, "by", by(&before.by), by(&after.by));
    }
    problems
}

/// Whether the flag's salt decides who gets what: splits always go by it, ramps by the default scheme alone.
fn uses_salt(flag: &Flag, serve: &Serve) -> bool {
    match serve {
        Serve::Target(Target::Variant(_)) => false,
        Serve::Ramp { ramp } if flag.scheme == Scheme::Js31 => matches!(ramp.serve, Target::Split { .. }),
        _ => true,
    }
}

fn compare(path: &Path, before: Option<&Value>, after: Option<&Value>, changes: &mut Vec<Change>) {
    match (before, after) {
        (before, after) if before == after => {}
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            for (name, value) in old {
                compare(&path.key(name), Some(value), new.get(name), changes);
            }
            for (name, value) in new.iter().filter(|(name, _)| !old.contains_key(*name)) {
                compare(&path.key(name), None, Some(value), changes);
            }
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) if old.iter().chain(new).all(Value::is_object) => {
            for index in 0..old.len().max(new.len()) {
                compare(&path.index(index), old.get(index), new.get(index), changes);
            }
        }
        // A section that begins or ends is a change of each thing in it.
        (Some(Value::Object(all)), None) if path.0.len() == 1 => {
            all.iter().for_each(|(name, value)| compare(&path.key(name), Some(value), None, changes));
        }
        (None, Some(Value::Object(all))) if path.0.len() == 1 => {
            all.iter().for_each(|(name, value)| compare(&path.key(name), None, Some(value), changes));
        }
        (before, after) => {
            changes.push(Change { path: path.to_string(), before: before.cloned(), after: after.cloned() });
        }
    }
}
