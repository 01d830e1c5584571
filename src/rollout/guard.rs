//! What is measured, and whether gates and triggers find in it what they look for.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::counts::{Arm, Count};
use super::period::Period;
use super::plan::{Action, Baseline, Gate, Metric, Plan, Quantity, ResolvedStep, Test, Trigger};
use super::progress::{Phase, Progress};
use crate::Timestamp;

/// A query for a stretch of time.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Question {
    /// The metric that it is for.
    pub metric: String,
    /// What of it.
    pub part: Part,
    /// In PromQL.
    pub query: String,
    /// The first instant.
    pub from: Timestamp,
    /// The last instant.
    pub to: Timestamp,
    /// From one instant to the next.
    pub step: Period,
    /// The answer is read as if it was so much later: a baseline of some time ago.
    pub ago: Period,
}

/// What of a metric is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Part {
    /// Its value.
    Value,
    /// What it is compared with.
    Baseline,
    /// How much it goes by.
    Samples,
    /// How many there were since an instant, for sequential guards.
    Count {
        /// Of what.
        of: Count,
        /// On which path.
        arm: Arm,
        /// Since when.
        since: Timestamp,
    },
}

/// What was found where a [`Question`] was asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// Numbers, by instant. What is missing, and what is no finite number, is no data.
    pub points: BTreeMap<Timestamp, f64>,
    /// Why there is less than was asked for.
    pub problem: Option<String>,
    /// The query, for the evidence.
    pub query: Option<String>,
    /// Whether asking failed, so that it is not even known that there is nothing.
    pub failed: bool,
}

impl Answer {
    /// No data, and why.
    pub fn none(problem: impl Into<String>) -> Answer {
        Answer { problem: Some(problem.into()), ..Answer::default() }
    }

    /// No answer, and why.
    pub fn failed(problem: impl Into<String>) -> Answer {
        Answer { failed: true, ..Answer::none(problem) }
    }
}

/// Everything that was found, by metric and part.
pub type Observations = BTreeMap<(String, Part), Answer>;

/// What a gate or a trigger found: the evidence of a decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Reading {
    /// The gate or trigger.
    pub guard: String,
    /// The metric; none for a signal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<String>,
    /// What of it is looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity: Option<Quantity>,
    /// The threshold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// The newest number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// What it was compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<f64>,
    /// How much the newest number goes by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples: Option<f64>,
    /// How likely chance alone ever comes to so much, at most: a sequential guard is certain once that is its
    /// `falsePositiveRate`, or less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p_value: Option<f64>,
    /// The query, as it was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// What the trigger does; none for a gate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<Action>,
    /// What came of it.
    pub finding: Finding,
    /// Why there was no data, or who raised the signal and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Reading {
    /// What was measured, in words: `it is 34.1% (> 5%)`; none where nothing was.
    ///
    /// It is written as the threshold is: in percent where that is. Four digits are as many as anybody compares.
    pub fn measured(&self) -> Option<String> {
        let condition = self.condition.as_deref().unwrap_or_default();
        let of_percent = condition.contains('%');
        let written = |number: f64| match of_percent {
            true => format!("{}%", significant(number * 100.0)),
            false => significant(number),
        };
        let number = written(self.value?);
        let threshold = if condition.is_empty() { String::new() } else { format!(" ({condition})") };
        Some(match self.quantity {
            Some(Quantity::Value) | None => format!("it is {number}{threshold}"),
            Some(quantity) => format!("the {quantity} is {number}{threshold}"),
        })
    }

    /// What is found where nothing is measured.
    pub(super) fn of(guard: String, finding: Finding) -> Reading {
        Reading {
            guard,
            metric: None,
            quantity: None,
            condition: None,
            value: None,
            baseline: None,
            samples: None,
            p_value: None,
            query: None,
            action: None,
            finding,
            note: None,
        }
    }
}

/// Whether a guard found what it looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Finding {
    /// It is so, for as long and as often as the guard asks, or as certainly.
    Holds,
    /// It is so, but not for as long or as often yet.
    Pending,
    /// It is not so, or not as certain yet as a sequential guard asks.
    Fails,
    /// Too little is known.
    NoData,
    /// There is nothing at all to measure, for the whole time that the guard looks back. That Prometheus does not answer, or that
    /// there are too few samples, is no silence.
    Silence,
}

impl Plan {
    /// What to ask now for [`decide`](super::decide) to go by.
    pub fn questions(&self, progress: &Progress, environment: &str, now: Timestamp) -> Vec<Question> {
        let mut wanted: BTreeMap<&str, Period> = BTreeMap::new();
        let steps = self.steps();
        let step = steps.iter().find(|step| Some(&step.name) == progress.step.as_ref());
        let (gates, triggers, share) = self.watched(progress, step);
        let tests = gates.iter().filter_map(Gate::test).chain(triggers.iter().filter_map(Trigger::test));
        for test in tests.filter(|test| test.sequential.is_none()) {
            let back = wanted.entry(test.metric).or_default();
            *back = (*back).max(self.looks_back(&test));
        }
        if let Some(share) = share {
            wanted.entry(share).or_default();
        }
        let mut questions = Vec::new();
        for (name, back) in wanted {
            questions.extend(self.questions_of(name, environment, back.before(now), now));
        }
        // Last, for they look back on a whole step: what takes long must not keep the others from being answered.
        questions.extend(self.counting((gates, triggers), progress, environment, now));
        questions
    }

    /// What to ask of a stretch of time to know all that any step goes by: what a [`History`](super::History) of the plan is
    /// made of.
    pub fn questions_between(&self, environment: &str, from: Timestamp, to: Timestamp) -> Vec<Question> {
        let steps = self.steps();
        let after = self.after_rollback.as_ref();
        let gates = steps.iter().flat_map(|step| &step.gates).chain(after.iter().flat_map(|after| &after.gates));
        let triggers = steps.iter().flat_map(|step| &step.triggers);
        let tests = gates.filter_map(Gate::test).chain(triggers.filter_map(Trigger::test));
        let share = after.and_then(|after| after.share.as_deref());
        let names: BTreeSet<&str> = tests.map(|test| test.metric).chain(share).collect();
        names.into_iter().flat_map(|name| self.questions_of(name, environment, from, to)).collect()
    }

    /// What to ask of a metric for a stretch of time.
    fn questions_of(&self, name: &str, environment: &str, from: Timestamp, to: Timestamp) -> Vec<Question> {
        let Some(metric) = self.metrics.get(name) else { return Vec::new() };
        let ask = |part, query: &str, arm: &str, ago: Period| {
            let query = self.fill(query, arm, metric.window(), environment);
            let (from, to) = (ago.before(from), ago.before(to));
            Question { metric: name.to_owned(), part, query, from, to, step: self.interval(), ago }
        };
        let baseline = match &metric.baseline {
            Some(Baseline::Old) => Some(ask(Part::Baseline, &metric.query, &self.arms.old, Period::ZERO)),
            Some(Baseline::Query(query)) => Some(ask(Part::Baseline, query, &self.arms.new, Period::ZERO)),
            Some(Baseline::Ago(ago)) => Some(ask(Part::Baseline, &metric.query, &self.arms.new, *ago)),
            Some(Baseline::Value(_)) | None => None,
        };
        let samples = metric.samples.as_ref();
        let samples = samples.map(|samples| ask(Part::Samples, samples, &self.arms.new, Period::ZERO));
        let value = ask(Part::Value, &metric.query, &self.arms.new, Period::ZERO);
        [Some(value), baseline, samples].into_iter().flatten().collect()
    }

    /// The gates and triggers that matter now, and the metric of the share of traffic.
    pub(super) fn watched<'p>(
        &'p self,
        progress: &Progress,
        step: Option<&'p ResolvedStep>,
    ) -> (&'p [Gate], &'p [Trigger], Option<&'p str>) {
        match (progress.phase, step, &self.after_rollback) {
            (Phase::Running | Phase::Held, Some(step), _) => (&step.gates, &step.triggers, None),
            (Phase::RollingBack, Some(step), _) => (&[], &step.triggers, None),
            (Phase::RolledBack, _, Some(after)) if progress.is_watched() => (&after.gates, &[], after.share.as_deref()),
            _ => (&[], &[], None),
        }
    }

    /// How far back a guard looks.
    pub(super) fn looks_back(&self, test: &Test<'_>) -> Period {
        Period::from_millis((self.points(test) as u64 - 1) * self.interval().millis())
    }

    /// How many points a guard looks at, the newest included.
    fn points(&self, test: &Test<'_>) -> usize {
        let lasting = test.lasting.millis().div_ceil(self.interval().millis().max(1)) + 1;
        usize::try_from(lasting).unwrap_or(usize::MAX).max(test.consecutive as usize).min(MAX_POINTS)
    }

    /// What a guard finds, of what is newer than `since`.
    pub(super) fn read(
        &self,
        guard: String,
        test: &Test<'_>,
        observations: &Observations,
        since: Timestamp,
        now: Timestamp,
    ) -> Reading {
        let mut reading = Reading {
            metric: Some(test.metric.to_owned()),
            quantity: Some(test.quantity),
            condition: Some(test.condition.to_string()),
            ..Reading::of(guard, Finding::NoData)
        };
        let Some(metric) = self.metrics.get(test.metric) else {
            reading.note = Some(format!("the plan has no metric `{}`", test.metric));
            return reading;
        };
        let points = self.points(test);
        let step = self.interval().millis().cast_signed();
        let grid = (0..points).map(|place| now.plus_millis(-step * i64::try_from(place).unwrap_or(i64::MAX)));
        let asked = grid.take_while(|at| *at >= since);
        let known = |part| observations.get(&(test.metric.to_owned(), part));
        // Looked up once, for some guards look back on thousands of instants.
        let answers = [Part::Value, Part::Baseline, Part::Samples].map(|part| (part, known(part)));
        let point = |at: Timestamp| {
            let answer = |part| answers.iter().find(|(of, _)| *of == part).and_then(|(_, answer)| *answer);
            Measured::of(metric, test.quantity, |part| answer(part)?.points.get(&at).copied())
        };
        let measured: Vec<_> = asked.map(point).collect();
        let newest = measured.first().copied().unwrap_or_default();
        (reading.value, reading.baseline, reading.samples) = (newest.number, newest.baseline, newest.samples);
        reading.query = known(Part::Value).and_then(|answer| answer.query.clone());
        reading.note = [Part::Value, Part::Baseline, Part::Samples]
            .into_iter()
            .find_map(|part| known(part)?.problem.clone())
            .or_else(|| newest.note(metric).filter(|_| !measured.is_empty()));

        let (mut bad, mut missing) = (0, 0);
        for point in &measured {
            match point.number.map(|number| test.condition.holds(number)) {
                Some(true) => {}
                Some(false) => bad += 1,
                None => missing += 1,
            }
        }
        let answered = known(Part::Value).is_some_and(|answer| !answer.failed);
        let silent = answered && measured.iter().all(|point| point.value.is_none());
        // What is newest decides first: a guard whose condition just broke has found that.
        let newest = newest.number.map(|number| test.condition.holds(number));
        reading.finding = match newest {
            _ if measured.is_empty() => Finding::Pending,
            None if silent && measured.len() == points => Finding::Silence,
            None => Finding::NoData,
            Some(false) => Finding::Fails,
            Some(true) if bad > 0 => Finding::Pending,
            Some(true) if missing > 0 => Finding::NoData,
            Some(true) if measured.len() < points => Finding::Pending,
            Some(true) => Finding::Holds,
        };
        reading
    }
}

/// A number with four significant digits, or all before its point.
fn significant(number: f64) -> String {
    if number == 0.0 || !number.is_finite() {
        return number.to_string();
    }
    let places = (3.0 - number.abs().log10().floor()).clamp(0.0, 300.0);
    let scale = 10_f64.powf(places);
    format!("{}", (number * scale).round() / scale)
}

/// Prometheus answers 11,000 points at most.
const MAX_POINTS: usize = 10_000;

/// The longest time that guards can look back on with the interval.
pub(super) fn most_points(interval: Period) -> Option<Period> {
    let longest = interval.millis().checked_mul(MAX_POINTS as u64 - 1)?;
    Some(Period::from_millis(longest))
}

/// What is known of one instant.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Measured {
    /// What is held against the condition.
    pub number: Option<f64>,
    pub value: Option<f64>,
    baseline: Option<f64>,
    samples: Option<f64>,
    too_few: bool,
}

impl Measured {
    /// By what each part of the metric is there.
    pub fn of(metric: &Metric, quantity: Quantity, part: impl Fn(Part) -> Option<f64>) -> Measured {
        let known = |of| part(of).filter(|number: &f64| number.is_finite());
        let value = known(Part::Value);
        let baseline = match &metric.baseline {
            Some(Baseline::Value(value)) => Some(*value),
            Some(_) => known(Part::Baseline),
            None => None,
        };
        let baseline = baseline.map(|baseline| metric.floor.map_or(baseline, |floor| baseline.max(floor)));
        let samples = metric.samples.as_ref().and_then(|_| known(Part::Samples));
        let enough = match (&metric.samples, metric.minimum_samples) {
            (Some(_), Some(minimum)) => samples.is_some_and(|samples| samples >= minimum),
            _ => true,
        };
        let number = value.filter(|_| enough).and_then(|value| match quantity {
            Quantity::Value => Some(value),
            Quantity::Delta => Some(value - baseline?),
            // What is the same is no worse and no better, if it is nothing, too. Against nothing, anything is infinitely more.
            Quantity::Ratio if Some(value) == baseline => Some(1.0),
            Quantity::Ratio => Some(value / baseline?),
            Quantity::Improvement if Some(value) == baseline => Some(0.0),
            Quantity::Improvement => Some((baseline? - value) / baseline?),
        });
        Measured { number: number.filter(|number| !number.is_nan()), value, baseline, samples, too_few: !enough }
    }

    fn note(&self, metric: &Metric) -> Option<String> {
        if self.number.is_some() {
            return None;
        }
        Some(match (self.too_few, self.samples, metric.minimum_samples) {
            (true, Some(samples), Some(minimum)) => {
                format!("{samples} samples, fewer than the {minimum} that it takes")
            }
            (true, ..) => "how many samples there are is not known".to_owned(),
            _ => "no data".to_owned(),
        })
    }
}
