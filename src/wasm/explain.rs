//! Explanations as JSON: JavaScript parses that faster than it can be called back.

use crate::number::decimal;
use crate::snapshot::json::quoted;
use crate::{ExplainedStep, Finding};

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
