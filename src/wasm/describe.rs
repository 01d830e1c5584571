//! What JavaScript needs to know of a snapshot, as one JSON text: it parses that faster than it can be called back.
//!
//! ```json
//! {
//!   "version": 42, "created": 1763726400000, "expires": 1764331200000,
//!   "attributes": [["targetingKey"], ["account", "plan"]],
//!   "flags": [["use_new_gateway", "boolean", ["on", "off"], [true, false], ["beta"], [0, 1]]],
//!   "changed": ["use_new_gateway"]
//! }
//! ```
//!
//! A flag is its key, type, variants' names, variants' values, rules' ids, and the numbers of the attributes that evaluating it
//! may read. `changed` are the flags that another snapshot, held before, has otherwise or one of the two has not.

use crate::number::decimal;
use crate::snapshot::dependencies::Dependencies;
use crate::snapshot::json::quoted;
use crate::snapshot::model::*;
use crate::{ExplainedStep, Finding, Snapshot, Timestamp};

pub(super) fn describe(snapshot: &Snapshot, before: Option<&Snapshot>) -> String {
    let tables = &snapshot.tables;
    let mut json = String::from("{\"version\":");
    number(&mut json, snapshot.version());
    instant(&mut json, ",\"created\":", Some(snapshot.created()));
    instant(&mut json, ",\"expires\":", snapshot.expires());
    json.push_str(",\"attributes\":");
    list(&mut json, 0..tables.attributes.spans.len(), |json, id| {
        list(json, snapshot.attribute(id as AttributeId).parts(), |json, part| string(json, &part));
    });
    let mut dependencies = Dependencies::new(snapshot);
    json.push_str(",\"flags\":");
    list(&mut json, tables.flags.iter().enumerate(), |json, (id, flag)| {
        let variants = flag.variants.of(&tables.variants);
        json.push('[');
        string(json, snapshot.text(flag.key));
        json.push(',');
        string(json, flag.kind.name());
        json.push(',');
        list(json, variants, |json, variant| string(json, snapshot.text(variant.name)));
        json.push(',');
        list(json, variants, |json, variant| json.push_str(snapshot.text(variant.json)));
        json.push(',');
        list(json, flag.rules.of(&tables.rules), |json, rule| string(json, snapshot.text(rule.id)));
        json.push(',');
        list(json, dependencies.flag(id).reads, |json, attribute| number(json, u64::from(attribute)));
        json.push(']');
    });
    json.push_str(",\"changed\":");
    let changed = before.map(|before| snapshot.changes_since(before)).unwrap_or_default();
    list(&mut json, changed, string);
    json.push('}');
    json
}

fn list<T>(json: &mut String, items: impl IntoIterator<Item = T>, mut item: impl FnMut(&mut String, T)) {
    json.push('[');
    for (index, value) in items.into_iter().enumerate() {
        if index > 0 {
            json.push(',');
        }
        item(json, value);
    }
    json.push(']');
}

fn string(json: &mut String, text: &str) {
    json.push_str(&quoted(text));
}

/// The steps of an explanation, as `ExplainedStep` is serialised; what is `None` is left out.
pub(super) fn explain(steps: &[ExplainedStep]) -> String {
    let mut json = String::new();
    list(&mut json, steps, |json, step| {
        let mut findings = String::new();
        list(&mut findings, &step.findings, finding);
        let members = [
            ("flag", Some(quoted(&step.flag))),
            ("depth", Some(decimal(step.depth as i64))),
            ("step", Some(quoted(step.step.name()))),
            ("decided", boolean(step.decided)),
            ("findings", Some(findings)),
        ];
        object(json, &members);
    });
    json
}

fn finding(json: &mut String, finding: &Finding) {
    let text = |text: &str| Some(quoted(text));
    let whole = |number: u32| Some(decimal(number.into()));
    let (kind, members) = match finding {
        Finding::Killed { by } => ("killed", [("by", text(by)), LEFT_OUT, LEFT_OUT, LEFT_OUT]),
        Finding::Lacking { name } => ("lacking", [("name", text(name)), LEFT_OUT, LEFT_OUT, LEFT_OUT]),
        Finding::Condition { json, truth } => {
            ("condition", [("json", text(json)), ("truth", text(truth.name())), LEFT_OUT, LEFT_OUT])
        }
        Finding::Segment { name, truth } => {
            ("segment", [("name", text(name)), ("truth", text(truth.name())), LEFT_OUT, LEFT_OUT])
        }
        Finding::List { listed } => ("list", [("listed", boolean(*listed)), LEFT_OUT, LEFT_OUT, LEFT_OUT]),
        Finding::Prerequisite { flag, variant, holds } => {
            let variant = variant.as_deref().and_then(text);
            ("prerequisite", [("flag", text(flag)), ("variant", variant), ("holds", boolean(*holds)), LEFT_OUT])
        }
        Finding::Threshold { holdout, percent, position, membership } => (
            "threshold",
            [
                ("holdout", holdout.as_deref().and_then(text)),
                ("percent", whole(*percent)),
                ("position", position.and_then(whole)),
                ("membership", text(membership.name())),
            ],
        ),
        Finding::Part { position, below } => {
            ("part", [("position", whole(*position)), ("below", whole(*below)), LEFT_OUT, LEFT_OUT])
        }
        Finding::Ranges { layer, position, inside } => {
            let layer = layer.as_deref().and_then(text);
            ("ranges", [("layer", layer), ("position", whole(*position)), ("inside", boolean(*inside)), LEFT_OUT])
        }
    };
    let [a, b, c, d] = members;
    object(json, &[("kind", text(kind)), a, b, c, d]);
}

const LEFT_OUT: (&str, Option<String>) = ("", None);

fn boolean(boolean: bool) -> Option<String> {
    Some(if boolean { "true" } else { "false" }.to_owned())
}

/// An object of members whose values are JSON already.
fn object(json: &mut String, members: &[(&str, Option<String>)]) {
    let mut before = "{\"";
    for (name, value) in members {
        if let Some(value) = value {
            for part in [before, name, "\":", value] {
                json.push_str(part);
            }
            before = ",\"";
        }
    }
    json.push('}');
}

fn number(json: &mut String, number: u64) {
    json.push_str(&decimal(number as i64));
}

fn instant(json: &mut String, member: &str, instant: Option<Timestamp>) {
    if let Some(instant) = instant {
        json.push_str(member);
        json.push_str(&decimal(instant.as_millis()));
    }
}
