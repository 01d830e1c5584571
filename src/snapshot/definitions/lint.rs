//! The checks that need a look at more than one place, and those of what a string means.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::condition::{self, Extent, Operand, Takes};
use super::problem::{Path, Position, Problem, Severity, did_you_mean, list, sort};
use super::{
    Condition, Definitions, Flag, Key, Percent, Ramp, Schedule, Scheme, Serve, Share, TARGETING_KEY, Target, Test,
};
use super::{pattern, version_range};
use crate::Timestamp;
use crate::rollout;
use crate::snapshot::FlagType;
use crate::snapshot::limits::{MAX_PREREQUISITE_DEPTH, MAX_VISITS};
use crate::snapshot::read::{MAX_NAMES, MAX_RULES, MAX_VARIANTS};
use crate::snapshot::read_condition::{MAX_CONDITION_DEPTH, MAX_PATTERNS};

/// Everything that is wrong with what definitions say, in the order in which it stands.
///
/// Errors stop [`compile`](super::compile); warnings do not. Salts that are missing come with a fresh one to paste.
///
/// ```
/// use flagstone::snapshot::definitions::{Definitions, Source, lint};
///
/// let text = "flags:\n  beta: {salt: beta-1, default: of}\n";
/// let definitions = Definitions::read(&[Source::new("flags.yaml", text)]).unwrap();
/// let problems = lint(&definitions);
/// assert_eq!(problems[0].to_string(), "flags.yaml:2:33: error: unknown variant `of`, did you mean `off`?");
/// ```
pub fn lint(definitions: &Definitions) -> Vec<Problem> {
    let mut lint = Lint {
        definitions,
        problems: Vec::new(),
        attributes: BTreeSet::new(),
        patterns: BTreeSet::new(),
        patterns_size: 0,
    };
    lint.top();
    let mut problems = lint.problems;
    sort(&mut problems);
    problems
}

/// What is to be said of the plans of rollouts before anybody is exposed: what may go wrong although each says what it means.
///
/// It is advice, warnings and notes, and stops nothing. What a plan has `accepted` is left out, and so is a plan that has
/// [errors](lint). The [kinds](crate::rollout::Advice) of advice are a table.
///
/// ```
/// use flagstone::snapshot::definitions::{Definitions, Source, advise};
///
/// let text = "
/// flags: {beta: {salt: beta-1, default: {ramp: {percent: 0, serve: on}}}}
/// rollouts:
///   beta:
///     flags: [beta]
///     metrics: {success: {query: sum(success), window: 1m}}
///     gates: [{metric: success, value: '> 99%'}]
///     triggers: [{metric: success, value: '> 98%'}]
///     steps: [{percent: 50, soak: 1d}, {percent: 100, soak: 1d}]
/// ";
/// let definitions = Definitions::read(&[Source::new("beta.yaml", text)]).unwrap();
/// let advice = advise(&definitions, "2026-11-21T12:00:00Z".parse()?);
/// assert!(advice.iter().any(|one| one.kind() == "warning[never-well]"));
/// # Ok::<(), flagstone::TimestampError>(())
/// ```
pub fn advise(definitions: &Definitions, now: Timestamp) -> Vec<Problem> {
    let advice = rollout::advise(definitions, now).into_iter().map(|(code, complaint)| {
        let problem = Problem::new(code.severity(), &complaint.path, complaint.message, complaint.suggestion);
        Problem { code: Some(code), ..problem.at(definitions.locate(&complaint.path)) }
    });
    let mut advice: Vec<Problem> = advice.collect();
    sort(&mut advice);
    // What several plans have from one place in a file is mended there.
    advice.dedup_by(|b, a| {
        (&a.file, a.line, a.column, &a.message) == (&b.file, b.line, b.column, &b.message) && a.file.is_some()
    });
    advice
}

struct Lint<'d> {
    definitions: &'d Definitions,
    problems: Vec<Problem>,
    attributes: BTreeSet<&'d str>,
    patterns: BTreeSet<&'d str>,
    /// What the programs of all patterns take together.
    patterns_size: usize,
}

/// Whose condition is checked.
#[derive(Clone, Copy)]
struct Owner<'d> {
    by: &'d str,
    client: bool,
}

impl<'d> Lint<'d> {
    fn report(&mut self, severity: Severity, path: &Path, message: impl Into<String>, suggestion: Option<String>) {
        let place = self.definitions.locate(path);
        self.problems.push(Problem::new(severity, path, message, suggestion).at(place));
    }

    fn error(&mut self, path: &Path, message: impl Into<String>, suggestion: Option<String>) {
        self.report(Severity::Error, path, message, suggestion);
    }

    fn warning(&mut self, path: &Path, message: impl Into<String>, suggestion: Option<String>) {
        self.report(Severity::Warning, path, message, suggestion);
    }

    fn unknown<'a>(&mut self, path: &Path, what: &str, name: &str, known: impl Iterator<Item = &'a str> + Clone) {
        let suggestion = did_you_mean(name, known.clone()).or_else(|| match known.clone().next() {
            Some(_) => Some(format!("expected one of {}", list(known))),
            None => Some(format!("there is no {what} at all")),
        });
        self.error(path, format!("unknown {what} `{name}`"), suggestion);
    }

    fn top(&mut self) {
        let all = self.definitions;
        let top = Path::default();
        for file in &all.origin.empty {
            let suggestion = Some("add `flags`, or take it away".to_owned());
            let problem = Problem::new(Severity::Warning, &top, "this file defines nothing", suggestion);
            self.problems.push(problem.at(Some((file, Position { line: 1, column: 1 }))));
        }
        if all.hash_salt.as_deref().is_some_and(|salt| salt.is_empty() || salt.contains(char::is_control)) {
            let path = top.key("hashSalt");
            self.error(&path, "the hash salt is empty or has control characters", Some(paste("hashSalt", "", 16)));
        }
        self.names("environments", all.environments.iter());
        self.names("segments", all.segments.keys());
        self.names("layers", all.layers.keys());
        self.names("holdouts", all.holdouts.keys());
        self.names("flags", all.flags.keys());

        let flags = all.flags.iter().filter(|(_, flag)| flag.scheme != Scheme::Js31);
        self.salts("flag", all.flags.iter().map(|(key, flag)| (key.as_str(), &flag.salt)));
        self.shared_salts("flag", flags.map(|(key, flag)| (key.as_str(), &flag.salt)));
        let layers = all.layers.iter().map(|(name, layer)| (name.as_str(), &layer.salt));
        self.salts("layer", layers.clone());
        self.shared_salts("layer", layers);
        let holdouts = all.holdouts.iter().map(|(name, holdout)| (name.as_str(), &holdout.salt));
        self.salts("holdout", holdouts.clone());
        self.shared_salts("holdout", holdouts);

        for (name, layer) in &all.layers {
            self.attribute(&top.key("layers").key(name).key("by"), layer.by.as_deref().unwrap_or(TARGETING_KEY));
        }
        for (name, holdout) in &all.holdouts {
            self.attribute(&top.key("holdouts").key(name).key("by"), holdout.by.as_deref().unwrap_or(TARGETING_KEY));
        }
        let for_clients: BTreeSet<_> =
            all.flags.values().filter(|flag| flag.client).flat_map(|flag| all.segments_of(flag)).collect();
        for (name, segment) in &all.segments {
            let path = top.key("segments").key(name);
            self.attribute(&path.key("by"), segment.by());
            if let Some(when) = &segment.when {
                let owner = Owner { by: segment.by(), client: for_clients.contains(name.as_str()) };
                self.condition(&path.key("when"), when, owner);
            }
            self.both(&path.key("include"), &segment.include, &segment.exclude, "is in `exclude` too, which wins");
        }
        for (key, flag) in &all.flags {
            self.flag(key, flag);
        }
        self.layer_overlaps();
        self.extents();
        for complaint in rollout::lint(all) {
            self.error(&complaint.path, complaint.message, complaint.suggestion);
        }
        if self.attributes.len() > MAX_NAMES as usize {
            self.error(&top.key("flags"), format!("conditions use more than {MAX_NAMES} attributes"), None);
        }
    }

    fn names<'a>(&mut self, section: &str, names: impl Iterator<Item = &'a String>) {
        for name in names.filter(|name| name.is_empty() || name.contains(char::is_control)) {
            let path = Path::default().key(section).key(name);
            self.error(&path, "the name is empty or has control characters", None);
        }
    }

    fn salts<'a>(&mut self, what: &str, salts: impl Iterator<Item = (&'a str, &'a Option<String>)>) {
        for (name, salt) in salts {
            let path = Path::default().key(format!("{what}s")).key(name).key("salt");
            let message = match salt {
                None => format!("the {what} `{name}` has no salt"),
                Some(salt) if salt.is_empty() => format!("the salt of the {what} `{name}` is empty"),
                Some(salt) if salt.contains(char::is_control) => {
                    format!("the salt of the {what} `{name}` has control characters")
                }
                Some(_) => continue,
            };
            self.error(&path, message, Some(paste("salt", name, 3)));
        }
    }

    fn shared_salts<'a>(&mut self, what: &str, salts: impl Iterator<Item = (&'a str, &'a Option<String>)>) {
        let mut first: HashMap<&str, &str> = HashMap::new();
        for (name, salt) in salts.filter_map(|(name, salt)| Some((name, salt.as_deref()?))) {
            match first.get(salt) {
                Some(other) => {
                    let path = Path::default().key(format!("{what}s")).key(name).key("salt");
                    let message = format!("the {what}s `{other}` and `{name}` have the same salt, so the same cohorts");
                    self.warning(&path, message, Some(paste("salt", name, 3)));
                }
                None => {
                    first.insert(salt, name);
                }
            }
        }
    }

    fn attribute(&mut self, path: &Path, attribute: &'d str) {
        self.attributes.insert(attribute);
        if let Err(what) = condition::check_path(attribute) {
            self.error(path, format!("the attribute path `{attribute}` {what}"), None);
        }
    }

    /// Warns of everyone in `keys` who is in the list that wins too.
    fn both(&mut self, path: &Path, keys: &[Key], winners: &[Key], message: &str) {
        let winners: BTreeSet<_> = winners.iter().collect();
        for (index, key) in keys.iter().enumerate().filter(|(_, key)| winners.contains(key)) {
            self.warning(&path.index(index), format!("`{}` {message}", key.0), None);
        }
    }

    fn flag(&mut self, key: &'d str, flag: &'d Flag) {
        let path = Path::default().key("flags").key(key);
        self.variants(&path, flag);
        self.attribute(&path.key("bucketBy"), flag.bucket_by());
        for (index, tag) in flag.tags.iter().enumerate() {
            if tag.is_empty() || tag.contains(char::is_control) {
                self.error(&path.key("tags").index(index), "the tag is empty or has control characters", None);
            }
        }
        self.prerequisites(&path, key, flag);
        self.people(&path, flag);
        self.places(&path, flag);
        self.rules(&path, flag);
        self.environments(&path, flag);
        if flag.scheme == Scheme::Js31 {
            self.js31(&path, flag);
        }
        if flag.client {
            self.client(key, flag);
        }
    }

    fn variants(&mut self, path: &Path, flag: &Flag) {
        let at = path.key("variants");
        let variants = flag.all_variants();
        if variants.is_empty() {
            self.error(&at, "the flag has no variants", None);
            return;
        }
        if variants.len() > MAX_VARIANTS {
            self.error(&at, format!("the flag has more than {MAX_VARIANTS} variants"), None);
        }
        match (flag.r#type, flag.variant_type()) {
            (Some(declared), _) if declared != FlagType::Json => {
                if flag.variants.is_none() && declared != FlagType::Boolean {
                    self.error(path, format!("a flag of type {} needs `variants`", declared.name()), None);
                } else {
                    for (name, value) in variants.iter().filter(|(_, value)| super::type_of(value) != declared) {
                        let found = super::type_of(value).name();
                        let message = format!("the variant `{name}` is of type {found}, the flag {}", declared.name());
                        self.error(&at.key(name), message, None);
                    }
                }
            }
            (None, None) => {
                let types: Vec<_> = variants
                    .iter()
                    .map(|(name, value)| format!("`{name}` is of type {}", super::type_of(value).name()))
                    .take(4)
                    .collect();
                let message = format!("the variants are of different types: {}", types.join(", "));
                self.error(&at, message, Some("make them alike, or add `type: json`".to_owned()));
            }
            _ => {}
        }
        for name in variants.keys().filter(|name| name.is_empty() || name.contains(char::is_control)) {
            self.error(&at.key(name), "the name of the variant is empty or has control characters", None);
        }
        match (&flag.off, flag.off_variant()) {
            (Some(off), _) => self.variant(&path.key("off"), flag, off),
            (None, None) => {
                let suggestion = format!("add `off:` with one of {}", list(variants.keys().map(String::as_str)));
                self.error(
                    path,
                    "the flag has no variant named `off` and does not say which is its off variant",
                    Some(suggestion),
                );
            }
            _ => {}
        }
    }

    fn variant(&mut self, path: &Path, flag: &Flag, name: &str) {
        let variants = flag.all_variants();
        if !variants.contains_key(name) {
            self.unknown(path, "variant", name, variants.keys().map(String::as_str));
        }
    }

    fn segment(&mut self, path: &Path, name: &str) {
        let all = self.definitions;
        if !all.segments.contains_key(name) && !all.was_unread("segments", name) {
            self.unknown(path, "segment", name, all.segments.keys().map(String::as_str).chain(all.unread("segments")));
        }
    }

    fn segments(&mut self, path: &Path, names: &[String]) {
        for (index, name) in names.iter().enumerate() {
            self.segment(&path.index(index), name);
        }
    }

    fn prerequisites(&mut self, path: &Path, key: &str, flag: &Flag) {
        let all = self.definitions;
        for (index, prerequisite) in flag.prerequisites.iter().enumerate() {
            let path = path.key("prerequisites").index(index);
            if prerequisite.variant.is_some() != prerequisite.variants.is_empty() {
                self.error(&path, "a prerequisite takes either `variant` or `variants`", None);
            }
            let name = prerequisite.flag.as_str();
            let Some(other) = all.flags.get(name) else {
                if !all.was_unread("flags", name) {
                    let flags = all.flags.keys().map(String::as_str).chain(all.unread("flags"));
                    let others = flags.filter(|other| *other != key);
                    self.unknown(&path.key("flag"), "flag", name, others);
                }
                continue;
            };
            if let Some(variant) = &prerequisite.variant {
                self.variant(&path.key("variant"), other, variant);
            }
            for (index, variant) in prerequisite.variants.iter().enumerate() {
                self.variant(&path.key("variants").index(index), other, variant);
            }
            if flag.client && !other.client {
                let message = format!("`{key}` is for clients, its prerequisite `{name}` is not");
                self.error(&path.key("flag"), message, Some(format!("add `client: true` to `{name}`")));
            }
        }
    }

    fn people(&mut self, path: &Path, flag: &'d Flag) {
        self.segments(&path.key("deny").key("segments"), &flag.deny.segments);
        self.segments(&path.key("exclude").key("segments"), &flag.exclude.segments);
        let mut allowed: Vec<Key> = Vec::new();
        for (index, allow) in flag.allow.iter().enumerate() {
            let path = path.key("allow").index(index);
            self.variant(&path.key("variant"), flag, &allow.variant);
            self.segments(&path.key("segments"), &allow.segments);
            let keys = path.key("keys");
            self.both(&keys, &allow.keys, &flag.deny.keys, "is in `deny` too, which wins");
            self.both(&keys, &allow.keys, &flag.exclude.keys, "is in `exclude` too, which wins");
            self.both(&keys, &allow.keys, &allowed, "is in an entry of `allow` before this one, which wins");
            allowed.extend(allow.keys.iter().cloned());
        }
    }

    fn places(&mut self, path: &Path, flag: &Flag) {
        let all = self.definitions;
        self.ranges(&path.key("exclude").key("positions"), &flag.exclude.positions);
        for (index, name) in flag.holdouts.iter().enumerate() {
            if !all.holdouts.contains_key(name) && !all.was_unread("holdouts", name) {
                let known = all.holdouts.keys().map(String::as_str).chain(all.unread("holdouts"));
                self.unknown(&path.key("holdouts").index(index), "holdout", name, known);
            }
        }
        if let Some(layer) = &flag.layer {
            let path = path.key("layer");
            if !all.layers.contains_key(&layer.name) && !all.was_unread("layers", &layer.name) {
                let known = all.layers.keys().map(String::as_str).chain(all.unread("layers"));
                self.unknown(&path.key("name"), "layer", &layer.name, known);
            }
            if layer.ranges.is_empty() {
                let suggestion = Some("as in `ranges: [[0, 25]]`".to_owned());
                self.error(&path.key("ranges"), "the flag has no range of the layer, so nobody is in", suggestion);
            }
            self.ranges(&path.key("ranges"), &layer.ranges);
        }
    }

    fn ranges(&mut self, path: &Path, ranges: &[[Percent; 2]]) {
        for (index, [from, to]) in ranges.iter().enumerate().filter(|(_, [from, to])| from >= to) {
            let message = format!("the range from {from} to {to} is empty, `to` is exclusive");
            self.error(&path.index(index), message, None);
        }
    }

    fn rules(&mut self, path: &Path, flag: &'d Flag) {
        let at = path.key("rules");
        if flag.rules.len() > MAX_RULES {
            self.error(&at, format!("the flag has more than {MAX_RULES} rules"), None);
        }
        let mut ids = HashMap::new();
        let mut ends: Option<usize> = None;
        for (index, rule) in flag.rules.iter().enumerate() {
            let at = at.index(index);
            let id = flag.rule_id(index);
            if id.is_empty() || id.contains(char::is_control) {
                self.error(&at.key("id"), "the id is empty or has control characters", None);
            }
            if let Some(first) = ids.insert(id.clone(), index) {
                let message = format!("rules[{first}] and rules[{index}] have the same id `{id}`");
                self.error(&at.key("id"), message, Some("results could not tell them apart".to_owned()));
            }
            if let Some(when) = &rule.when {
                self.condition(&at.key("when"), when, Owner { by: flag.bucket_by(), client: flag.client });
            }
            self.serve(&at.key("serve"), flag, &rule.serve);
            if let Some(end) = ends {
                let message = format!("nobody comes here: `{}` serves everyone", flag.rule_id(end));
                self.warning(&at, message, Some("move this rule before it".to_owned()));
            } else if matches!(rule.serve, Serve::Target(_)) && rule.when.is_none() {
                ends = Some(index);
            }
        }
        if let Some(default) = &flag.default {
            self.serve(&path.key("default"), flag, default);
        }
    }

    fn serve(&mut self, path: &Path, flag: &Flag, serve: &Serve) {
        match serve {
            Serve::Target(target) => self.target(path, flag, target),
            Serve::Ramp { ramp } => {
                let path = path.key("ramp");
                self.target(&path.key("serve"), flag, &ramp.serve);
                if ramp.percent.is_some() == ramp.schedule.is_some() {
                    self.error(&path, "a ramp takes either `percent` or `schedule`", None);
                }
                if let Some(schedule) = &ramp.schedule {
                    self.schedule(&path.key("schedule"), schedule);
                }
            }
        }
    }

    fn target(&mut self, path: &Path, flag: &Flag, target: &Target) {
        match target {
            Target::Variant(name) => self.variant(path, flag, name),
            Target::Split { split } => {
                let path = path.key("split");
                for (index, share) in split.iter().enumerate() {
                    self.variant(&path.index(index).key("variant"), flag, &share.variant);
                }
                if total(split) == 0 {
                    self.error(&path, "the weights sum to 0", Some("give at least one variant a weight".to_owned()));
                }
            }
        }
    }

    fn schedule(&mut self, path: &Path, schedule: &Schedule) {
        let name = if schedule.steps.is_some() { "steps" } else { "linear" };
        if schedule.steps.is_some() == schedule.linear.is_some() {
            self.error(path, "a schedule takes either `steps` or `linear`", None);
        } else if schedule.points().is_empty() {
            self.error(&path.key(name), "the schedule has no points", None);
        }
        for (index, pair) in schedule.points().windows(2).enumerate() {
            if pair[0].at >= pair[1].at {
                let message = format!("{} does not come after {}, points rise in time", pair[1].at, pair[0].at);
                self.error(&path.key(name).index(index + 1).key("at"), message, None);
            }
        }
    }

    fn environments(&mut self, path: &Path, flag: &Flag) {
        let all = self.definitions;
        for (name, different) in &flag.environments {
            let path = path.key("environments").key(name);
            if !all.environments.contains(name) {
                self.unknown(&path, "environment", name, all.environments.iter().map(String::as_str));
            }
            if let Some(variant) = &different.pin {
                self.variant(&path.key("pin"), flag, variant);
                if !different.enabled.unwrap_or(flag.enabled) {
                    let message = format!("the flag is not enabled in `{name}`, so the pin does nothing");
                    self.warning(&path.key("pin"), message, Some("add `enabled: true` beside it".to_owned()));
                }
            }
            match (different.percent, &flag.default) {
                (Some(_), _) if different.pin.is_some() => {
                    self.error(&path, "an environment takes either `pin` or `percent`", None);
                }
                (Some(_), Some(Serve::Ramp { .. })) | (None, _) => {}
                (Some(_), _) => {
                    let suggestion = Some("write it as `default: {ramp: {percent: .., serve: ..}}`".to_owned());
                    self.error(&path.key("percent"), "the flag's default is no ramp, so it has no percent", suggestion);
                }
            }
        }
    }

    fn js31(&mut self, path: &Path, flag: &Flag) {
        let message = "`js31` has no salt: the same people go first in every flag that uses it";
        self.warning(&path.key("scheme"), message, Some("use `xxh3` unless the rollout began elsewhere".to_owned()));
        let rules = flag.rules.iter().enumerate();
        let rules = rules.map(|(index, rule)| (path.key("rules").index(index).key("serve"), &rule.serve));
        for (at, serve) in rules.chain(flag.default.iter().map(|default| (path.key("default"), default))) {
            let (at, target) = match serve {
                Serve::Target(target) => (at, target),
                Serve::Ramp { ramp } => {
                    let points = ramp.schedule.iter().flat_map(|schedule| schedule.points());
                    let percents = points.map(|point| point.percent).chain(ramp.percent);
                    let at = at.key("ramp");
                    for percent in percents.filter(|percent| percent.thousandths() % 1000 != 0) {
                        let next = percent.thousandths().div_ceil(1000);
                        let message = format!("`js31` knows whole percents only: {percent} lets in as many as {next}");
                        self.warning(&at, message, None);
                    }
                    (at.key("serve"), &ramp.serve)
                }
            };
            if matches!(target, Target::Split { .. }) {
                self.error(&at, "`js31` is for ramps, it cannot split", Some("leave `scheme` out".to_owned()));
            }
        }
    }

    fn client(&mut self, key: &str, flag: &Flag) {
        let all = self.definitions;
        let lists = [&flag.deny.keys, &flag.exclude.keys];
        let listed = lists.into_iter().chain(flag.allow.iter().map(|allow| &allow.keys)).any(|keys| !keys.is_empty());
        let rules = flag.rules.iter().filter_map(|rule| rule.when.as_ref());
        let tested = rules.flat_map(Condition::tests).any(|test| test.is_hashed(flag.bucket_by()));
        let in_segments = all.segments_of(flag).into_iter().filter_map(|name| all.segments.get(name)).any(|segment| {
            let tests = segment.when.iter().flat_map(Condition::tests);
            let tested = tests.into_iter().any(|test| test.is_hashed(segment.by()));
            !segment.include.is_empty() || !segment.exclude.is_empty() || tested
        });
        if all.hash_salt.is_none() && (listed || tested || in_segments) {
            let message =
                format!("`{key}` is for clients and names people or confidential values, but there is no `hashSalt`");
            self.error(&Path::default().key("flags").key(key), message, Some(paste("hashSalt", "", 16)));
        }
    }

    fn condition(&mut self, path: &Path, condition: &'d Condition, owner: Owner<'d>) {
        match condition {
            Condition::All(parts) | Condition::Any(parts) => {
                let path = path.key(if matches!(condition, Condition::All(_)) { "all" } else { "any" });
                for (index, part) in parts.iter().enumerate() {
                    self.condition(&path.index(index), part, owner);
                }
            }
            Condition::Not(part) => self.condition(&path.key("not"), part, owner),
            Condition::Segment(name) => self.segment(&path.key("segment"), name),
            Condition::Test(test) => self.test(path, test, owner),
        }
    }

    fn test(&mut self, path: &Path, test: &'d Test, owner: Owner<'d>) {
        self.attribute(&path.key("attribute"), &test.attribute);
        let name = test.operator.name;
        if test.confidential && !condition::hashable(test.operator) {
            let message = format!("`confidential` cannot stand beside `{name}`, whose operand cannot be hashed");
            self.error(&path.key("confidential"), message, Some("use `equals` or `in`".to_owned()));
        }
        if owner.client && test.is_about_keys(owner.by) && !condition::hashable(test.operator) && name != "exists" {
            let message = format!("clients can read this operand of `{name}`, and with it the shape of people's keys");
            self.warning(path, message, Some("use `equals` or `in`, which are hashed".to_owned()));
        }
        let path = path.key(name);
        match &test.operand {
            Operand::Text(text) => {
                let complaint = match test.operator.takes {
                    Takes::Version => condition::version(text).err(),
                    Takes::Range => version_range::compile(text).err(),
                    _ => return,
                };
                if let Some(message) = complaint {
                    self.error(&path, message, None);
                }
            }
            Operand::Texts(texts) => {
                for (index, text) in texts.iter().enumerate() {
                    let path = path.index(index);
                    match test.operator.takes {
                        Takes::Patterns => {
                            self.pattern(&path, text);
                        }
                        Takes::Networks => match condition::network(text) {
                            Err(message) => self.error(&path, message, None),
                            Ok(network) if has_host_bits(text, &network) => {
                                let message = format!("`{text}` has bits set beyond its length");
                                self.warning(&path, message, Some(format!("it is read as `{network}`")));
                            }
                            Ok(_) => {}
                        },
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }

    fn pattern(&mut self, path: &Path, text: &'d str) {
        if !self.patterns.insert(text) {
            return;
        }
        let size = match pattern::compile(text) {
            Ok(program) => program.size,
            Err(message) => return self.error(path, message, None),
        };
        let fitted = self.patterns_size <= MAX_PATTERNS;
        self.patterns_size += size;
        if fitted && self.patterns_size > MAX_PATTERNS {
            let message = format!(
                "with this one, all regular expressions compile to {} instructions and ranges, at most {MAX_PATTERNS} are allowed",
                self.patterns_size
            );
            self.error(path, message, Some("repeat less in them, or list values instead".to_owned()));
        }
    }

    fn layer_overlaps(&mut self) {
        let mut ranges: BTreeMap<&str, Vec<(Percent, Percent, &str, usize)>> = BTreeMap::new();
        for (key, flag) in &self.definitions.flags {
            if let Some(layer) = &flag.layer {
                let ranges = ranges.entry(&layer.name).or_default();
                ranges.extend(
                    layer.ranges.iter().enumerate().map(|(index, [from, to])| (*from, *to, key.as_str(), index)),
                );
            }
        }
        for (layer, mut ranges) in ranges {
            ranges.sort();
            let Some(mut widest) = ranges.first().copied() else { continue };
            for range in ranges.into_iter().skip(1) {
                let (from, to, key, index) = range;
                if from < widest.1 {
                    let path = Path::default().key("flags").key(key).key("layer").key("ranges").index(index);
                    let (other_from, other_to, other, _) = widest;
                    let message = format!(
                        "in the layer `{layer}`, {from} to {to} overlaps `{other}`, which has {other_from} to {other_to}"
                    );
                    self.error(&path, message, None);
                }
                if to > widest.1 {
                    widest = range;
                }
            }
        }
    }

    /// Cycles, and how deep and how large everything is.
    fn extents(&mut self) {
        let all = self.definitions;
        let top = Path::default();

        let graph = all
            .segments
            .iter()
            .map(|(name, segment)| (name.as_str(), segment.when.iter().flat_map(Condition::named_segments).collect()));
        let (order, cycles) = in_order(graph.collect());
        for cycle in cycles {
            let message = format!("segments name each other in a circle: {}", circle(&cycle));
            self.error(&top.key("segments").key(cycle[0]), message, None);
        }
        let mut segments: BTreeMap<&str, Extent> = BTreeMap::new();
        for name in order {
            let when = all.segments[name].when.as_ref();
            let inner = when.map(|when| when.extent(&segments)).unwrap_or_default();
            let extent = Extent { depth: inner.depth + 1, visits: inner.visits.saturating_add(1) };
            // The innermost one that is too much is told, not all that name it.
            let mut named = when.into_iter().flat_map(Condition::named_segments).filter_map(|name| segments.get(name));
            if extent.is_too_much() && !named.any(Extent::is_too_much) {
                self.too_much(&top.key("segments").key(name).key("when"), extent);
            }
            segments.insert(name, extent);
        }

        let graph = all.flags.iter().map(|(key, flag)| {
            (key.as_str(), flag.prerequisites.iter().map(|prerequisite| prerequisite.flag.as_str()).collect())
        });
        let (order, cycles) = in_order(graph.collect());
        for cycle in cycles {
            let message = format!("prerequisites name each other in a circle: {}", circle(&cycle));
            self.error(&top.key("flags").key(cycle[0]).key("prerequisites"), message, None);
        }
        // For each flag, how many hang on one another below it, itself included, and the conditions it can visit.
        let mut flags: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
        for key in order {
            let flag = &all.flags[key];
            let path = top.key("flags").key(key);
            let mut total = Extent { depth: 0, visits: 1 };
            let mut told = false;
            for (index, rule) in flag.rules.iter().enumerate() {
                let extent = rule.when.as_ref().map(|when| when.extent(&segments)).unwrap_or_default();
                let mut named =
                    rule.when.iter().flat_map(Condition::named_segments).filter_map(|name| segments.get(name));
                if extent.is_too_much() && !named.any(Extent::is_too_much) {
                    self.too_much(&path.key("rules").index(index).key("when"), extent);
                }
                told |= extent.is_too_much();
                total.visits = total.visits.saturating_add(extent.visits).saturating_add(1);
            }
            for segment in flag.listed_segments().filter_map(|name| segments.get(name)) {
                total.visits = total.visits.saturating_add(segment.visits);
                told |= segment.is_too_much();
            }
            let mut chain = 1;
            for (below, visits) in flag.prerequisites.iter().filter_map(|other| flags.get(other.flag.as_str())) {
                chain = chain.max(below + 1);
                told |= *visits > MAX_VISITS;
                total.visits = total.visits.saturating_add(*visits);
            }
            if chain == MAX_PREREQUISITE_DEPTH + 1 {
                let message =
                    format!("more than {MAX_PREREQUISITE_DEPTH} flags hang on one another through prerequisites");
                self.error(&path.key("prerequisites"), message, None);
            }
            if total.is_too_much() && !told {
                self.too_much(&path, total);
            }
            flags.insert(key, (chain, total.visits));
        }
    }

    fn too_much(&mut self, path: &Path, Extent { depth, visits }: Extent) {
        let message = match visits > MAX_VISITS {
            true => format!(
                "with segments and prerequisites unrolled, {visits} conditions could be visited, at most {MAX_VISITS} are"
            ),
            false => {
                format!("through segments, conditions nest {depth} deep, at most {MAX_CONDITION_DEPTH} are evaluated")
            }
        };
        self.error(path, message, Some("put people into lists instead of conditions".to_owned()));
    }
}

impl Extent {
    fn is_too_much(&self) -> bool {
        self.depth > MAX_CONDITION_DEPTH || self.visits > MAX_VISITS
    }
}

pub(super) fn total(split: &[Share]) -> u128 {
    split.iter().map(|share| u128::from(share.weight.thousandths())).sum()
}

/// "add `salt: beta-3f9a1c`", with so many random bytes.
fn paste(field: &str, name: &str, bytes: usize) -> String {
    let mut random = vec![0; bytes];
    if getrandom::fill(&mut random).is_err() {
        return format!("add `{field}:` with a string of your own that nothing else uses");
    }
    let hex: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let separator = if name.is_empty() { "" } else { "-" };
    let salt = format!("{}{separator}{hex}", name.replace(char::is_control, ""));
    match salt.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
        true if hex != salt => format!("add `{field}: {salt}`"),
        _ => format!("add `{field}: {}`", Value::from(salt)),
    }
}

fn has_host_bits(text: &str, network: &str) -> bool {
    let address = |text: &str| text.split('/').next().and_then(|address| address.parse::<std::net::IpAddr>().ok());
    address(text) != address(network)
}

type Graph<'a> = BTreeMap<&'a str, Vec<&'a str>>;

/// The nodes that are in no circle and name none, each after all that it names; and circles. Without recursion, since
/// chains may be as long as the input.
fn in_order(mut graph: Graph<'_>) -> (Vec<&str>, Vec<Vec<&str>>) {
    let known: BTreeSet<_> = graph.keys().copied().collect();
    let mut named_by: Graph = BTreeMap::new();
    for (node, names) in &mut graph {
        names.retain(|name| known.contains(name));
        names.sort_unstable();
        names.dedup();
        names.iter().for_each(|name| named_by.entry(name).or_default().push(node));
    }
    let mut waiting: BTreeMap<_, _> = graph.iter().map(|(node, names)| (*node, names.len())).collect();
    let mut order: Vec<_> = waiting.iter().filter(|(_, count)| **count == 0).map(|(node, _)| *node).collect();
    let mut next = 0;
    while let Some(node) = order.get(next).copied() {
        next += 1;
        waiting.remove(node);
        for user in named_by.get(node).into_iter().flatten() {
            if let Some(count) = waiting.get_mut(user) {
                *count -= 1;
                if *count == 0 {
                    order.push(user);
                }
            }
        }
    }
    let mut circles = Vec::new();
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    for start in waiting.keys() {
        let mut walked: Vec<&str> = Vec::new();
        let mut node = *start;
        while seen.insert(node) {
            walked.push(node);
            // Whoever still waits, waits for somebody who does.
            let Some(named) = graph[node].iter().find(|name| waiting.contains_key(*name)) else { break };
            node = named;
        }
        if let Some(begin) = walked.iter().position(|walked| *walked == node) {
            circles.push(walked.split_off(begin));
        }
    }
    (order, circles)
}

fn circle(nodes: &[&str]) -> String {
    const SHOWN: usize = 12;
    let mut shown: Vec<_> = nodes.iter().take(SHOWN).copied().collect();
    if nodes.len() > SHOWN {
        shown.push("…");
    }
    shown.push(nodes[0]);
    shown.join(" → ")
}

/// A flag that its team could take out of the code.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stale {
    /// The flag's key.
    pub flag: String,
    /// Who answers for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Every reason, at least one.
    pub reasons: Vec<StaleReason>,
}

/// Why a flag is stale.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StaleReason {
    /// Its time was over at this instant.
    Expired(Timestamp),
    /// Everyone gets this variant.
    SameForEveryone(String),
}

/// The flags that are past their `expires`, or serve the same variant to everyone: at 100 %, or by a default without
/// rules, lists, layer, holdouts, prerequisites and environments. A flag that is not enabled counts only by its date.
///
/// To see them as operators left them, apply the state first:
/// [`State::apply`](super::State::apply).
///
/// ```
/// use flagstone::snapshot::definitions::{Definitions, Source, StaleReason, stale};
///
/// let text = "flags: {done: {salt: done-1, default: {ramp: {percent: 100, serve: on}}}}";
/// let definitions = Definitions::read(&[Source::new("flags.yaml", text)]).unwrap();
/// let found = stale(&definitions, "2026-11-21T12:00:00Z".parse()?);
/// assert_eq!(found[0].reasons, [StaleReason::SameForEveryone("on".to_owned())]);
/// # Ok::<(), flagstone::TimestampError>(())
/// ```
pub fn stale(definitions: &Definitions, now: Timestamp) -> Vec<Stale> {
    let report = definitions.flags.iter().map(|(key, flag)| {
        let expired = flag.expires.filter(|expires| *expires <= now).map(StaleReason::Expired);
        let same = same_for_everyone(flag).map(|variant| StaleReason::SameForEveryone(variant.to_owned()));
        Stale { flag: key.clone(), owner: flag.owner.clone(), reasons: expired.into_iter().chain(same).collect() }
    });
    report.filter(|stale| !stale.reasons.is_empty()).collect()
}

fn same_for_everyone(flag: &Flag) -> Option<&str> {
    let alone = flag.enabled
        && flag.deny.is_empty()
        && flag.exclude.is_empty()
        && flag.allow.is_empty()
        && flag.holdouts.is_empty()
        && flag.layer.is_none()
        && flag.prerequisites.is_empty()
        && flag.environments.is_empty();
    let serve = match flag.rules.first() {
        None => flag.default.as_ref(),
        Some(rule) if rule.when.is_none() => Some(&rule.serve),
        Some(_) => return None,
    };
    let target = match serve {
        None => return flag.off_variant().filter(|_| alone),
        Some(Serve::Target(target)) => target,
        Some(Serve::Ramp { ramp: Ramp { percent: Some(Percent::ALL), serve, .. } }) => serve,
        Some(Serve::Ramp { .. }) => return None,
    };
    match target {
        Target::Variant(name) => Some(name.as_str()).filter(|_| alone),
        Target::Split { .. } => None,
    }
}
