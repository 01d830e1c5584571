//! What is wrong with plans.

use std::collections::{BTreeMap, BTreeSet};

use super::condition::Condition;
use super::guard::most_points;
use super::period::Period;
use super::plan::{
    Baseline, Gate, Metric, OnNoData, Plan, Quantity, Requirement, ResolvedStep, Setting, Test, Trigger,
};
use crate::snapshot::definitions::{Definitions, Flag, Path, Percent, Serve, did_you_mean, list};

/// Something that is wrong, where, and what to do.
pub(crate) struct Complaint {
    pub path: Path,
    pub message: String,
    pub suggestion: Option<String>,
}

/// Everything in the plans that is wrong by itself or with the definitions. All are errors: a plan that does not say what it
/// means must not run.
pub(crate) fn lint(definitions: &Definitions) -> Vec<Complaint> {
    let mut lint = Lint { definitions, complaints: Vec::new() };
    let mut movers: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, plan) in &definitions.rollouts {
        let path = Path::default().key("rollouts").key(name);
        if name.is_empty() || name.contains(char::is_control) {
            lint.error(&path, "the name is empty or has control characters", None);
        }
        let set = plan.steps.iter().flat_map(|step| step.set.keys());
        let moved: BTreeSet<&String> = plan.flags.iter().chain(set).collect();
        for flag in moved {
            if let Some(other) = movers.insert(flag, name) {
                let message = format!("`{flag}` is moved by the rollout `{other}` too, and they would undo each other");
                lint.error(&path, message, Some("let one of them move it".to_owned()));
            }
        }
        lint.plan(&path, plan);
    }
    lint.complaints
}

struct Lint<'d> {
    definitions: &'d Definitions,
    complaints: Vec<Complaint>,
}

impl Lint<'_> {
    fn error(&mut self, path: &Path, message: impl Into<String>, suggestion: Option<String>) {
        self.complaints.push(Complaint { path: path.clone(), message: message.into(), suggestion });
    }

    fn unknown<'a>(&mut self, path: &Path, what: &str, name: &str, known: impl Iterator<Item = &'a str> + Clone) {
        let suggestion = did_you_mean(name, known.clone()).or_else(|| match known.clone().next() {
            Some(_) => Some(format!("expected one of {}", list(known))),
            None => Some(format!("there is no {what} at all")),
        });
        self.error(path, format!("unknown {what} `{name}`"), suggestion);
    }

    fn plan(&mut self, path: &Path, plan: &Plan) {
        if plan.flags.is_empty() {
            self.error(&path.key("flags"), "the rollout has no flags", Some("name at least one".to_owned()));
        }
        let mut seen = BTreeSet::new();
        for (index, flag) in plan.flags.iter().enumerate() {
            let path = path.key("flags").index(index);
            if !seen.insert(flag) {
                self.error(&path, format!("`{flag}` is named twice"), None);
            }
            self.flag(&path, flag);
        }
        if plan.interval().is_zero() {
            self.error(&path.key("interval"), "the interval is no time at all", Some("write it like 30s".to_owned()));
        }
        for (name, metric) in &plan.metrics {
            self.metric(&path.key("metrics").key(name), metric);
        }
        self.guards(path, plan, &plan.gates, &plan.triggers);
        for (index, window) in plan.windows.iter().enumerate() {
            if let Some(problem) = window.problem() {
                self.error(&path.key("windows").index(index), problem, None);
            }
        }
        for (index, freeze) in plan.freezes.iter().enumerate() {
            if freeze.from >= freeze.until {
                self.error(&path.key("freezes").index(index), "the freeze ends before it begins", None);
            }
        }
        for (role, _) in plan.roles.iter().filter(|(_, people)| people.is_empty()) {
            self.error(&path.key("roles").key(role), format!("nobody has the role `{role}`"), None);
        }
        for (code, _) in plan.accepted.iter().filter(|(_, why)| why.trim().is_empty()) {
            self.error(&path.key("accepted").key(code.name()), "it does not say why that is accepted", None);
        }
        if let Some(after) = &plan.after_rollback {
            let path = path.key("afterRollback");
            if let Some(share) = after.share.as_ref().filter(|share| !plan.metrics.contains_key(*share)) {
                self.unknown(&path.key("share"), "metric", share, plan.metrics.keys().map(String::as_str));
            }
            self.guards(&path, plan, &after.gates, &[]);
            for (index, _) in after.gates.iter().enumerate().filter(|(_, gate)| gate.sequential.is_some()) {
                let message =
                    "after a rollback nobody is counted on the new path, so a sequential gate is never certain";
                let suggestion = Some("write a gate without `sequential`".to_owned());
                self.error(&path.key("gates").index(index).key("sequential"), message, suggestion);
            }
        }
        self.steps(path, plan);
    }

    fn steps(&mut self, path: &Path, plan: &Plan) {
        if plan.steps.is_empty() {
            self.error(&path.key("steps"), "the rollout has no steps", None);
        }
        let ramps = plan.steps.iter().any(|step| step.percent.is_some() || step.series.is_some());
        for flag in plan.flags.iter().filter(|_| ramps) {
            if let Some(found) = self.definitions.flags.get(flag) {
                self.ramp(&path.key("flags"), found.default.as_ref(), &format!("the default of `{flag}`"));
            }
        }
        self.before_the_start(path, plan);
        let (mut percent, mut start) = (Percent::default(), None);
        for (index, step) in plan.steps.iter().enumerate() {
            let path = path.key("steps").index(index);
            if let (Some(_), Some(_)) = (step.percent, &step.series) {
                self.error(&path, "a step has a percent or a series, and not both", None);
            }
            if let Some(series) = &step.series {
                if series.from > series.to {
                    let message = format!("the series goes down, from {}% to {}%", series.from, series.to);
                    self.error(&path.key("series"), message, None);
                }
                let stands = series.by.is_empty() || series.by.iter().any(|pace| pace.add == Percent::default());
                if stands {
                    self.error(&path.key("series").key("by"), "the series does not say how fast it goes", None);
                }
                let steps = series.percents().len();
                if steps > MOST_STEPS {
                    let message = format!("the series has {steps} steps, and {MOST_STEPS} are the most");
                    self.error(&path.key("series").key("by"), message, None);
                }
            }
            let first = step.series.as_ref().map(|series| series.from).or(step.percent);
            if let Some(first) = first.filter(|first| *first < percent) {
                let message = format!("the step goes down, from {percent}% to {first}%");
                self.error(
                    &path,
                    message,
                    Some("let steps go up; rolling back is for operators and triggers".to_owned()),
                );
            }
            percent = step.series.as_ref().map(|series| series.to).or(step.percent).unwrap_or(percent);
            let served = step.audience.values().copied().max().unwrap_or_default().max(percent);
            if step.shadow && served > Percent::default() {
                let message = format!("in a shadow step nobody is served by the new path, and here are {served}%");
                self.error(&path, message, None);
            }
            if let (Some(before), Some(starts)) = (start, step.starts)
                && starts <= before
            {
                self.error(&path.key("starts"), format!("it starts no later than a step before, at {before}"), None);
            }
            if index == 0 && step.starts.is_some() {
                let message = "the first step begins when somebody starts the rollout";
                let suggestion = "put a step without anybody before it, `{name: prepared}`, that waits for this one";
                self.error(&path.key("starts"), message, Some(suggestion.to_owned()));
            }
            start = step.starts.or(start);
            for rule in step.audience.keys() {
                for flag in &plan.flags {
                    self.rule(&path.key("audience").key(rule), flag, rule);
                }
            }
            for (flag, setting) in &step.set {
                self.setting(&path.key("set").key(flag), flag, setting);
            }
            self.guards(&path, plan, &step.gates, &step.triggers);
            for (index, requirement) in step.requires.iter().enumerate() {
                self.requirement(&path.key("requires").index(index), plan, requirement);
            }
        }
        let mut names = BTreeSet::new();
        for step in plan.steps().into_iter().filter(|step| !step.name.is_empty()) {
            let path = path.key("steps").index(step.index);
            if !names.insert(step.name.clone()) {
                let message = format!("two steps are called `{}`", step.name);
                self.error(&path, message, Some("give one of them a `name`".to_owned()));
            }
        }
        for (index, _) in plan.steps.iter().enumerate().filter(|(_, step)| step.name.as_deref() == Some("")) {
            self.error(&path.key("steps").index(index).key("name"), "the name is empty", None);
        }
    }

    /// Nobody is to be in by the definitions who is not by the first step.
    fn before_the_start(&mut self, path: &Path, plan: &Plan) {
        let Some(first) = plan.steps().into_iter().next() else { return };
        for flag in &plan.flags {
            let (Some(found), Some(setting)) = (self.definitions.flags.get(flag), first.settings.get(flag)) else {
                continue;
            };
            let rules = found.rules.iter().filter_map(|rule| {
                let id = rule.id.as_ref()?;
                Some((format!("the rule `{id}` of `{flag}`"), &rule.serve, *setting.rules.get(id)?))
            });
            let default = found.default.as_ref().zip(setting.percent);
            let default = default.map(|(serve, percent)| (format!("the default of `{flag}`"), serve, percent));
            let defined: Vec<_> = default.into_iter().chain(rules).collect();
            for (what, serve, percent) in defined {
                if let Serve::Ramp { ramp } = serve
                    && let Some(defined) = ramp.percent.filter(|defined| *defined > percent)
                {
                    let message =
                        format!("{what} lets {defined}% in before the rollout starts, and its first step {percent}%");
                    let suggestion = format!("write `percent: {percent}` into the flag");
                    self.complaints.push(Complaint { path: path.key("flags"), message, suggestion: Some(suggestion) });
                }
            }
        }
    }

    fn flag(&mut self, path: &Path, flag: &str) -> Option<&Flag> {
        if !self.definitions.flags.contains_key(flag) && !self.definitions.was_unread("flags", flag) {
            let known = self.definitions.flags.keys().map(String::as_str);
            self.unknown(path, "flag", flag, known);
        }
        self.definitions.flags.get(flag)
    }

    /// What a percent is set of must be a ramp, and must not go by the clock besides.
    fn ramp(&mut self, path: &Path, serve: Option<&Serve>, what: &str) {
        match serve {
            Some(Serve::Ramp { ramp }) if ramp.schedule.is_none() => {}
            Some(Serve::Ramp { .. }) => {
                let message = format!("{what} follows a schedule, and a rollout never goes on by the clock alone");
                self.error(path, message, Some("write `percent: 0` in its place".to_owned()));
            }
            _ => {
                let suggestion = Some("write it as `{ramp: {percent: 0, serve: ..}}`".to_owned());
                self.error(path, format!("{what} is no ramp, so the rollout has no percent to set"), suggestion);
            }
        }
    }

    fn rule(&mut self, path: &Path, flag: &str, id: &str) {
        let Some(found) = self.definitions.flags.get(flag) else { return };
        match found.rules.iter().find(|rule| rule.id.as_deref() == Some(id)) {
            Some(rule) => self.ramp(path, Some(&rule.serve), &format!("the rule `{id}` of `{flag}`")),
            None => {
                let ids: Vec<&str> = found.rules.iter().filter_map(|rule| rule.id.as_deref()).collect();
                self.unknown(path, &format!("rule with an id of `{flag}`"), id, ids.into_iter());
            }
        }
    }

    fn setting(&mut self, path: &Path, flag: &str, setting: &Setting) {
        let default = self.flag(path, flag).map(|found| found.default.clone());
        if let (Some(default), Some(_)) = (default, setting.percent) {
            self.ramp(&path.key("percent"), default.as_ref(), &format!("the default of `{flag}`"));
        }
        for rule in setting.rules.keys() {
            self.rule(&path.key("rules").key(rule), flag, rule);
        }
    }

    fn metric(&mut self, path: &Path, metric: &Metric) {
        let baseline = match &metric.baseline {
            Some(Baseline::Query(query)) => Some(("baseline", query)),
            _ => None,
        };
        let samples = metric.samples.as_ref().map(|query| ("samples", query));
        let failures = metric.failures.as_ref().map(|query| ("failures", query));
        for (key, query) in [Some(("query", &metric.query)), baseline, samples, failures].into_iter().flatten() {
            if query.trim().is_empty() {
                self.error(&path.key(key), "the query is empty", None);
            }
            let mut rest = query.as_str();
            while let Some((_, behind)) = rest.split_once("{{") {
                let (word, after) = behind.split_once("}}").unwrap_or((behind, ""));
                if !TEMPLATES.contains(&word) {
                    self.unknown(&path.key(key), "word in braces", word, TEMPLATES.into_iter());
                }
                rest = after;
            }
        }
        if metric.window.is_some_and(|window| window.is_zero()) {
            self.error(&path.key("window"), "the window is no time at all", Some("write it like 5m".to_owned()));
        }
        if metric.minimum_samples.is_some() && metric.samples.is_none() {
            let suggestion = Some("write `samples`, the query that counts them".to_owned());
            self.error(&path.key("minimumSamples"), "nothing says how many samples there are", suggestion);
        }
        let finite = |number: Option<f64>| number.is_none_or(|number| number.is_finite() && number >= 0.0);
        if !finite(metric.floor) || !finite(metric.minimum_samples) {
            self.error(path, "`floor` and `minimumSamples` are numbers from 0 on", None);
        }
    }

    fn guards(&mut self, path: &Path, plan: &Plan, gates: &[Gate], triggers: &[Trigger]) {
        for (index, gate) in gates.iter().enumerate() {
            let path = path.key("gates").index(index);
            self.asks(&path, plan, Some(&gate.metric), gate.conditions().collect(), gate.lasting);
            if let Some(test) = gate.test().filter(|test| test.sequential.is_some()) {
                self.at_any_time(&path, gate.lasting, gate.consecutive, OnNoData::Hold);
                self.sequential(&path, plan, &test);
            }
        }
        for (index, trigger) in triggers.iter().enumerate() {
            let path = path.key("triggers").index(index);
            let conditions: Vec<_> = trigger.conditions().collect();
            match (&trigger.metric, &trigger.signal) {
                (Some(_), Some(_)) => self.error(&path, "a trigger has a metric or a signal, and not both", None),
                (None, None) => {
                    let suggestion = Some("write `metric`, or `signal` for what people and alerts raise".to_owned());
                    self.error(&path, "the trigger does not say what it waits for", suggestion);
                }
                (None, Some(signal)) if signal.trim().is_empty() => {
                    self.error(&path.key("signal"), "the signal has no name", None);
                }
                (None, Some(_))
                    if !conditions.is_empty()
                        || !trigger.lasting.is_zero()
                        || trigger.consecutive.is_some()
                        || trigger.sequential.is_some()
                        || trigger.sample_ratio.is_some() =>
                {
                    self.error(&path, "a signal is raised or not; it has no value and lasts no time", None);
                }
                (None, Some(_)) => {}
                (Some(metric), None) if trigger.sample_ratio.is_some() => {
                    if !conditions.is_empty() || trigger.sequential.is_some() {
                        let message = "a sample ratio is compared with the step's percent, and with nothing besides";
                        self.error(&path, message, None);
                    }
                    self.sample_ratio(&path, plan, metric, trigger);
                }
                (metric, None) => self.asks(&path, plan, metric.as_ref(), conditions, trigger.lasting),
            }
            if let Some(test) = trigger.test().filter(|test| test.sequential.is_some()) {
                self.at_any_time(&path, trigger.lasting, trigger.consecutive, trigger.on_no_data);
                self.sequential(&path, plan, &test);
            }
        }
    }

    fn sequential(&mut self, path: &Path, plan: &Plan, test: &Test<'_>) {
        let place = path.key(test.quantity.to_string());
        match (test.quantity, test.condition.limit()) {
            (Quantity::Delta | Quantity::Improvement, _) => {
                self.error(path, "a sequential guard is of a `value` or of a `ratio`", None);
            }
            (_, None) => {
                self.error(&place, "a sequential guard has one limit", Some("write it like > 1%".to_owned()));
            }
            (Quantity::Value, Some((_, limit))) if limit <= 0.0 || limit >= 1.0 => {
                let message = format!("a sequential guard is of a rate between 0% and 100%, and not of {limit}");
                self.error(&place, message, Some("write it like > 1%".to_owned()));
            }
            (_, Some((_, limit))) if limit <= 0.0 => {
                self.error(&place, format!("no ratio is on either side of {limit}"), None);
            }
            _ => {}
        }
        let Some(metric) = plan.metrics.get(test.metric) else { return };
        let ratio = test.quantity == Quantity::Ratio;
        if ratio && metric.baseline.as_ref().is_some_and(|baseline| *baseline != Baseline::Old) {
            let message =
                format!("a sequential ratio is one to the old path, and `{}` has another baseline", test.metric);
            self.error(path, message, Some("write `baseline: old` into the metric".to_owned()));
        }
        let words = if ratio { &["arm", "window"][..] } else { &["window"] };
        for (field, query) in [("failures", &metric.failures), ("samples", &metric.samples)] {
            self.counts(path, test.metric, field, query.as_ref(), words);
        }
    }

    fn sample_ratio(&mut self, path: &Path, plan: &Plan, metric: &str, trigger: &Trigger) {
        self.at_any_time(path, trigger.lasting, trigger.consecutive, trigger.on_no_data);
        match plan.metrics.get(metric) {
            Some(found) => self.counts(path, metric, "query", Some(&found.query), &["arm", "window"]),
            None => self.unknown(&path.key("metric"), "metric", metric, plan.metrics.keys().map(String::as_str)),
        }
        let shared = |step: &ResolvedStep| {
            let percent = step.percent.unwrap_or_default();
            step.triggers.contains(trigger) && Percent::default() < percent && percent < Percent::ALL
        };
        if !plan.steps().iter().any(shared) {
            let message = "it has no step in which some people are on the new path and some on the old one";
            self.error(path, message, None);
        }
    }

    /// What counts since a step began must say so in its queries.
    fn counts(&mut self, path: &Path, metric: &str, field: &str, query: Option<&String>, words: &[&str]) {
        let Some(query) = query else {
            let suggestion = Some(format!("write `{field}` into the metric, a query that counts them"));
            self.error(path, format!("`{metric}` does not say how many {field} there are"), suggestion);
            return;
        };
        for word in words.iter().filter(|word| !query.contains(&format!("{{{{{word}}}}}"))) {
            let suggestion = Some("write it like sum(increase(requests{path=\"{{arm}}\"}[{{window}}]))".to_owned());
            let message =
                format!("`{field}` of `{metric}` has no {{{{{word}}}}}, which counts for a sequential guard take");
            self.error(path, message, suggestion);
        }
    }

    fn at_any_time(&mut self, path: &Path, lasting: Period, consecutive: Option<u32>, on_no_data: OnNoData) {
        if !lasting.is_zero() || consecutive.is_some() || on_no_data != OnNoData::Hold {
            let message =
                "`for`, `consecutive` and `onNoData` mean nothing to a guard that may be looked at at any time";
            self.error(path, message, Some("leave them out".to_owned()));
        }
    }

    fn asks(
        &mut self,
        path: &Path,
        plan: &Plan,
        metric: Option<&String>,
        conditions: Vec<(Quantity, &Condition)>,
        lasting: Period,
    ) {
        let Some(metric) = metric.filter(|metric| !metric.is_empty()) else {
            self.error(path, "it does not say which metric it is about", None);
            return;
        };
        if conditions.len() != 1 {
            let suggestion = Some("write one of `value`, `ratio`, `delta` and `improvement`".to_owned());
            let what = if conditions.is_empty() { "does not say what must be so" } else { "says more than one thing" };
            self.error(path, format!("it {what}"), suggestion);
        }
        match plan.metrics.get(metric) {
            None => self.unknown(&path.key("metric"), "metric", metric, plan.metrics.keys().map(String::as_str)),
            Some(found) => {
                let compares = conditions.iter().find(|(quantity, _)| *quantity != Quantity::Value);
                if let (Some((quantity, _)), None) = (compares, &found.baseline) {
                    let suggestion = Some("write `baseline: old`, or another, into the metric".to_owned());
                    self.error(path, format!("`{metric}` has no baseline to take a {quantity} to"), suggestion);
                }
            }
        }
        if let Some(longest) = most_points(plan.interval()).filter(|longest| lasting > *longest) {
            let message = format!("with an interval of {} it can last {longest} at most", plan.interval());
            self.error(&path.key("for"), message, Some("write a longer `interval` into the plan".to_owned()));
        }
    }

    fn requirement(&mut self, path: &Path, plan: &Plan, requirement: &Requirement) {
        let said = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.trim().is_empty());
        if said(&requirement.approval) == said(&requirement.attestation) {
            self.error(path, "it requires an `approval` or an `attestation`, one of the two", None);
        }
        if requirement.approval.is_some() && requirement.role.is_some() {
            self.error(&path.key("role"), "an approval names its role already", None);
        }
        if let Some(role) = requirement.role().filter(|role| !plan.roles.contains_key(*role)) {
            let roles = plan.roles.keys().map(String::as_str);
            let suggestion =
                did_you_mean(role, roles).or_else(|| Some(format!("write who has it: `roles: {{{role}: [..]}}`")));
            self.error(path, format!("nobody has the role `{role}`"), suggestion);
        }
    }
}

/// More than anybody waits for.
const MOST_STEPS: usize = 1000;
/// What queries may have in braces.
const TEMPLATES: [&str; 4] = ["arm", "flag", "window", "environment"];
