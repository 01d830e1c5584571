//! What JavaScript needs to know of a snapshot, as one JSON text: it parses that faster than it can be called back.
//!
//! ```json
//! {
//!   "version": 42, "created": 1763726400000, "expires": 1764331200000,
//!   "attributes": [["targetingKey"], ["account", "plan"]],
//!   "flags": [["use_new_gateway", "boolean", ["on", "off"], [true, false], ["beta"], [0, 1]]]
//! }
//! ```
//!
//! A flag is its key, type, variants' names, variants' values, rules' ids, and the numbers of the attributes that
//! evaluating it may read.

use crate::snapshot::json::quoted;
use crate::snapshot::load::Tables;
use crate::snapshot::model::*;
use crate::{ExplainedStep, Finding, Snapshot, Timestamp};

pub(super) fn describe(snapshot: &Snapshot) -> String {
    let tables = &snapshot.tables;
    let mut json = String::from("{\"version\":");
    number(&mut json, snapshot.version());
    instant(&mut json, ",\"created\":", Some(snapshot.created()));
    instant(&mut json, ",\"expires\":", snapshot.expires());
    json.push_str(",\"attributes\":");
    list(&mut json, 0..tables.attributes.spans.len(), |json, id| {
        list(json, snapshot.attribute(id as AttributeId).parts(), |json, part| string(json, &part));
    });
    let mut reads = Reads::new(tables);
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
        list(json, reads.flag(id), |json, attribute| number(json, u64::from(attribute)));
        json.push(']');
    });
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
            ("depth", Some(step.depth.to_string())),
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
    let whole = |number: u32| Some(number.to_string());
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
    json.push_str(&number.to_string());
}

fn instant(json: &mut String, member: &str, instant: Option<Timestamp>) {
    if let Some(instant) = instant {
        json.push_str(member);
        json.push_str(&instant.as_millis().to_string());
    }
}

/// Works out which attributes an evaluation may read.
struct Reads<'t> {
    tables: &'t Tables,
    /// By segment, once known.
    segments: Vec<Option<Vec<AttributeId>>>,
    /// By flag, once known.
    flags: Vec<Option<Vec<AttributeId>>>,
}

impl<'t> Reads<'t> {
    fn new(tables: &'t Tables) -> Self {
        Reads { tables, segments: vec![None; tables.segments.len()], flags: vec![None; tables.flags.len()] }
    }

    fn flag(&mut self, id: usize) -> Vec<AttributeId> {
        if let Some(known) = &self.flags[id] {
            return known.clone();
        }
        let tables = self.tables;
        let flag = &tables.flags[id];
        let mut read = vec![flag.bucket_by];
        read.extend(flag.layer.map(|layer| tables.layers[usize::from(layer.layer)].by));
        read.extend(flag.holdouts.of(&tables.holdout_ids).iter().map(|&id| tables.holdouts[usize::from(id)].by));
        let allow = flag.allow.of(&tables.allows).iter().map(|allow| allow.people.segments);
        for segments in [flag.deny.segments, flag.exclude.segments].into_iter().chain(allow) {
            for &segment in segments.of(&tables.segment_ids) {
                read.extend(self.segment(usize::from(segment)));
            }
        }
        for when in flag.rules.of(&tables.rules).iter().filter_map(|rule| rule.when) {
            self.condition(when, &mut read);
        }
        for prerequisite in flag.prerequisites.of(&tables.prerequisites) {
            read.extend(self.flag(prerequisite.flag as usize));
        }
        self.flags[id].insert(distinct(read)).clone()
    }

    fn segment(&mut self, id: usize) -> Vec<AttributeId> {
        if let Some(known) = &self.segments[id] {
            return known.clone();
        }
        let segment = &self.tables.segments[id];
        let mut read = vec![segment.by];
        if let Some(when) = segment.when {
            self.condition(when, &mut read);
        }
        self.segments[id].insert(distinct(read)).clone()
    }

    fn condition(&mut self, at: u32, read: &mut Vec<AttributeId>) {
        let end = match self.tables.conditions[at as usize] {
            Condition::All { end } | Condition::Any { end } | Condition::Not { end } => end,
            Condition::Segment(_) | Condition::Test(..) => at + 1,
        };
        for at in at..end {
            match self.tables.conditions[at as usize] {
                Condition::Segment(id) => read.extend(self.segment(usize::from(id))),
                Condition::Test(attribute, _) => read.push(attribute),
                _ => {}
            }
        }
    }
}

/// Each number once, in order. By insertion: there are few, and sorting takes code.
fn distinct(ids: Vec<AttributeId>) -> Vec<AttributeId> {
    let mut distinct: Vec<AttributeId> = Vec::new();
    for id in ids {
        if let Err(place) = distinct.binary_search(&id) {
            distinct.insert(place, id);
        }
    }
    distinct
}
