//! What metrics say where all is well and nothing else is known of them.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::rollout::guard::Measured;
use crate::rollout::plan::Test;
use crate::rollout::{Baseline, Gate, Metric, Part, Plan, Quantity, ResolvedStep, Trigger};

/// What is taken of a metric that nothing else is known of, from a step on: numbers that let each gate hold and open no trigger.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Assumption {
    /// The metric.
    pub metric: String,
    /// The step from which on.
    pub step: String,
    /// Its value.
    pub value: f64,
    /// What it is compared with, where that is no number of the plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline: Option<f64>,
    /// How much it goes by. With the plan's traffic it is what is expected at the step's percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub samples: Option<f64>,
    /// What is not as it should be with these numbers, since no number is right for all that the plan wants of the metric.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unmet: Vec<String>,
}

impl Assumption {
    pub(super) fn part(&self, part: Part) -> Option<f64> {
        match part {
            Part::Value => Some(self.value),
            Part::Baseline => self.baseline,
            Part::Samples => self.samples,
            Part::Count { .. } => None,
        }
    }
}

/// What is wanted of a metric.
struct Want<'p> {
    test: Test<'p>,
    /// Whether it is to hold, or not to.
    holds: bool,
    name: String,
}

impl<'p> Want<'p> {
    fn gate(gate: &'p Gate) -> Option<Want<'p>> {
        Some(Want { test: gate.test()?, holds: true, name: format!("the gate {:?}", gate.called()) })
    }

    fn trigger(trigger: &'p Trigger) -> Option<Want<'p>> {
        Some(Want { test: trigger.test()?, holds: false, name: format!("the trigger {:?}", trigger.called()) })
    }

    fn is_met(&self, metric: &Metric, numbers: Numbers) -> bool {
        let part = |part| match part {
            Part::Value => Some(numbers.value),
            Part::Baseline => numbers.baseline,
            Part::Samples => Some(f64::MAX),
            Part::Count { .. } => None,
        };
        let number = Measured::of(metric, self.test.quantity, part).number;
        number.is_some_and(|number| self.test.condition.holds(number) == self.holds)
    }
}

#[derive(Clone, Copy)]
struct Numbers {
    value: f64,
    baseline: Option<f64>,
}

/// What is assumed in each step, by metric: of all that gates and triggers go by.
pub(super) fn assume(plan: &Plan, steps: &[ResolvedStep]) -> Vec<BTreeMap<String, Assumption>> {
    let after: Vec<&Gate> = plan.after_rollback.iter().flat_map(|after| &after.gates).collect();
    let mut assumed = vec![BTreeMap::new(); steps.len()];
    for (name, metric) in &plan.metrics {
        let of_step = |step| wants(step, &after, name);
        let all: Vec<Want<'_>> = steps.iter().flat_map(of_step).collect();
        if all.is_empty() {
            continue;
        }
        // The same numbers in all steps, if there are any that are right in all.
        let mut numbers = choose(metric, &all, None);
        let one_for_all = all.iter().all(|want| want.is_met(metric, numbers));
        for (step, assumed) in steps.iter().zip(&mut assumed) {
            let wants = of_step(step);
            if !one_for_all {
                numbers = choose(metric, &wants, Some(numbers));
            }
            let unmet = wants.iter().filter(|want| !want.is_met(metric, numbers)).map(|want| want.name.clone());
            let assumption = Assumption {
                metric: name.clone(),
                step: step.name.clone(),
                value: numbers.value,
                baseline: numbers.baseline.filter(|_| !matches!(metric.baseline, Some(Baseline::Value(_)))),
                samples: metric.samples.as_ref().map(|_| samples(plan, metric, step)),
                unmet: unmet.collect(),
            };
            assumed.insert(name.clone(), assumption);
        }
    }
    assumed
}

fn wants<'p>(step: &'p ResolvedStep, after: &[&'p Gate], metric: &str) -> Vec<Want<'p>> {
    let gates = step.gates.iter().chain(after.iter().copied()).filter_map(Want::gate);
    let wants = gates.chain(step.triggers.iter().filter_map(Want::trigger));
    wants.filter(|want| want.test.metric == metric).collect()
}

/// As many as are expected; enough, where nobody says how many are or nobody is let in by a percent.
fn samples(plan: &Plan, metric: &Metric, step: &ResolvedStep) -> f64 {
    const ENOUGH: f64 = 1000.0;
    match plan.expected(metric, step.percent.unwrap_or_default()) {
        Some(events) => (events * metric.window().millis() as f64 / 60_000.0).floor(),
        None => metric.minimum_samples.unwrap_or_default().max(ENOUGH),
    }
}

/// Numbers that meet as much as can be met: those that there are already, or such that lie well away from every threshold.
fn choose(metric: &Metric, wants: &[Want<'_>], now: Option<Numbers>) -> Numbers {
    let met = |numbers: Numbers| wants.iter().filter(|want| want.is_met(metric, numbers)).count();
    if let Some(now) = now.filter(|now| met(*now) == wants.len()) {
        return now;
    }
    let compares = wants.iter().any(|want| want.test.quantity != Quantity::Value);
    let values = between(thresholds(wants, 0.0, |quantity| quantity == Quantity::Value));
    let baselines: Vec<Option<f64>> = match &metric.baseline {
        None => vec![None],
        Some(Baseline::Value(value)) => vec![Some(*value)],
        // Where nobody compares, it is as before; else it is any number that leaves room for what is wanted.
        Some(_) if !compares => vec![None],
        Some(_) => [100.0].into_iter().chain(values.iter().copied()).chain([1.0]).map(Some).collect(),
    };
    let mut best: Option<(usize, bool, f64, Numbers)> = None;
    for baseline in baselines {
        let reference = metric.floor.map_or(baseline, |floor| baseline.map(|baseline| baseline.max(floor)));
        let reference = reference.filter(|_| compares);
        let thresholds = thresholds(wants, reference.unwrap_or_default(), |_| true);
        let inside = between(thresholds.clone()).into_iter().chain(now.map(|now| now.value));
        let inside = inside.chain(reference.filter(|reference| !thresholds.contains(reference)));
        let values = inside.map(|value| (value, true)).chain(thresholds.iter().map(|value| (*value, false)));
        for (value, is_inside) in values {
            let numbers = Numbers { value, baseline };
            // Of what is compared, what is nearest to the baseline; else what comes first.
            let distance = reference.map_or(0.0, |reference| ((value - reference) / reference).abs());
            let met = met(numbers);
            let is_better = |(most, inside, nearest, _)| {
                (met, is_inside) > (most, inside) || ((met, is_inside) == (most, inside) && distance < nearest)
            };
            if best.is_none_or(is_better) {
                best = Some((met, is_inside, distance, numbers));
            }
        }
    }
    let numbers = best.map_or(Numbers { value: 0.0, baseline: None }, |(_, _, _, numbers)| numbers);
    let as_before = metric.baseline.as_ref().map(|_| numbers.value);
    Numbers { baseline: numbers.baseline.or(as_before), ..numbers }
}

/// Where what is wanted begins or ends, as values of the metric.
fn thresholds(wants: &[Want<'_>], baseline: f64, counts: impl Fn(Quantity) -> bool) -> Vec<f64> {
    let of = |want: &Want<'_>| {
        let ((from, _), (to, _)) = want.test.condition.bounds();
        [from, to].map(|limit| match want.test.quantity {
            Quantity::Value => limit,
            Quantity::Ratio => limit * baseline,
            Quantity::Delta => baseline + limit,
            Quantity::Improvement => baseline * (1.0 - limit),
        })
    };
    let wants = wants.iter().filter(|want| counts(want.test.quantity));
    wants.flat_map(of).filter(|limit| limit.is_finite()).collect()
}

/// Numbers below, above and between the thresholds. Where none of these is negative, none is.
fn between(mut thresholds: Vec<f64>) -> Vec<f64> {
    thresholds.sort_by(f64::total_cmp);
    thresholds.dedup();
    let (Some(first), Some(last)) = (thresholds.first().copied(), thresholds.last().copied()) else {
        return vec![1.0];
    };
    let below = match first {
        below if below > 0.0 => Some(below / 2.0),
        below if below < 0.0 => Some(below * 2.0),
        _ => None,
    };
    let above = match last {
        // Perhaps it is a share, of which there is no more than one.
        share if share > 0.0 && share < 1.0 => (1.0 + share) / 2.0,
        few if few.fract() == 0.0 && (0.0..10.0).contains(&few) => few + 1.0,
        many if many > 0.0 => many * 1.25,
        below => below / 2.0,
    };
    let middles = thresholds.windows(2).map(|pair| f64::midpoint(pair[0], pair[1]));
    below.into_iter().chain([above]).chain(middles).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is assumed where gates and triggers want this, with the metric's other fields.
    fn assumed(metric: &str, gates: &str, triggers: &str) -> Assumption {
        let text = format!(
            r#"{{"flags": ["f"], "metrics": {{"m": {{"query": "m"{metric}}}}},
                "steps": [{{"percent": 10, "gates": [{gates}], "triggers": [{triggers}]}}]}}"#
        );
        let plan: Plan = serde_json::from_str(&text).unwrap();
        assume(&plan, &plan.steps())[0]["m"].clone()
    }

    #[test]
    fn what_is_assumed_lies_well_away_from_thresholds() {
        for (gates, triggers, value) in [
            (r#"{"metric": "m", "value": "< 0.1%"}"#, r#"{"metric": "m", "value": "> 1%"}"#, 0.0005),
            (r#"{"metric": "m", "value": "> 99%"}"#, r#"{"metric": "m", "value": "< 95%"}"#, 0.995),
            (r#"{"metric": "m", "value": "<= 0"}"#, r#"{"metric": "m", "value": "> 5"}"#, 0.0),
            (r#"{"metric": "m", "value": ">= 100"}"#, "", 125.0),
            ("", r#"{"metric": "m", "value": "165..200"}, {"metric": "m", "value": "> 200"}"#, 82.5),
            (r#"{"metric": "m", "value": "50..100"}"#, "", 75.0),
        ] {
            let found = assumed("", gates, triggers);
            assert_eq!((found.value, found.unmet.as_slice()), (value, [].as_slice()), "{gates} {triggers}");
        }
    }

    #[test]
    fn what_compares_is_as_before_unless_more_is_wanted() {
        for (gates, triggers, ratio) in [
            (r#"{"metric": "m", "ratio": "<= 1.1"}"#, r#"{"metric": "m", "ratio": "> 1.5"}"#, 1.0),
            (r#"{"metric": "m", "improvement": ">= 30%"}"#, "", 0.35),
            (r#"{"metric": "m", "delta": "< 0"}, {"metric": "m", "value": "< 100"}"#, "", 0.5),
        ] {
            let found = assumed(r#", "baseline": "old""#, gates, triggers);
            assert_eq!(found.unmet, Vec::<String>::new(), "{gates}");
            assert_eq!(found.value / found.baseline.unwrap(), ratio, "{gates}");
        }
        let fixed = assumed(r#", "baseline": {"value": 30}"#, r#"{"metric": "m", "delta": "< 1"}"#, "");
        assert_eq!((fixed.value, fixed.baseline), (30.0, None));
    }

    #[test]
    fn what_nothing_is_right_for_is_said() {
        let found =
            assumed("", r#"{"name": "high", "metric": "m", "value": "> 5"}"#, r#"{"metric": "m", "value": "> 4"}"#);
        assert_eq!(found.unmet.len(), 1, "{found:?}");
    }

    #[test]
    fn samples_are_those_that_are_expected() {
        let plan = r#"{"flags": ["f"], "traffic": {"eventsPerMinute": 100},
            "metrics": {"m": {"query": "m{{arm}}", "samples": "s", "minimumSamples": 20},
                        "rare": {"query": "r{{arm}}", "samples": "s", "eventsPerMinute": 1}},
            "gates": [{"metric": "m", "value": "< 1"}, {"metric": "rare", "value": "< 1"}],
            "steps": [{"name": "list", "percent": 0}, {"percent": 1}, {"percent": 50}]}"#;
        let plan: Plan = serde_json::from_str(plan).unwrap();
        let assumed = assume(&plan, &plan.steps());
        let samples = |metric: &str| assumed.iter().map(|step| step[metric].samples.unwrap()).collect::<Vec<_>>();
        assert_eq!((samples("m"), samples("rare")), (vec![1000.0, 5.0, 250.0], vec![1000.0, 0.0, 2.0]));
    }

    #[test]
    fn numbers_change_from_step_to_step_only_where_they_must() {
        for (first, values) in [("50..100", [100.0, 100.0, 100.0]), ("50..90", [70.0, 70.0, 150.0])] {
            let plan = format!(
                r#"{{"flags": ["f"], "metrics": {{"m": {{"query": "m"}}}},
                    "steps": [{{"percent": 1, "gates": [{{"name": "calls", "metric": "m", "value": "{first}"}}]}},
                              {{"percent": 2}},
                              {{"percent": 5, "gates": [{{"name": "calls", "metric": "m", "value": "100..200"}}]}}]}}"#
            );
            let plan: Plan = serde_json::from_str(&plan).unwrap();
            let found: Vec<f64> = assume(&plan, &plan.steps()).iter().map(|step| step["m"].value).collect();
            assert_eq!(found, values, "{first}");
        }
    }
}
