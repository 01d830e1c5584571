//! What metrics of a plan said, kept in a file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::prometheus::{Prometheus, saved};
use crate::Timestamp;
use crate::rollout::{Baseline, History, Part, Period, Plan};

/// Prometheus answers 11,000 points at most.
const MOST_POINTS: u64 = 10_000;
/// More than this is a mistake: twenty years, once a minute.
const MOST_ANSWERS: u64 = 1_100;
/// So often something is asked that was not answered.
const TRIES: usize = 3;

/// What metrics of a plan said in a stretch of time: what [`simulate`](crate::rollout::simulate) can replay.
///
/// Serialized it is what `flagstone rollout simulate --save` writes and `--history` reads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Recording {
    /// The name of the plan.
    pub rollout: String,
    /// The environment that was asked for.
    pub environment: String,
    /// The first instant.
    pub from: Timestamp,
    /// The last.
    pub to: Timestamp,
    /// From one instant to the next.
    pub step: Period,
    /// What was asked, and what was said.
    pub series: Vec<RecordedSeries>,
}

/// What a part of a metric said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RecordedSeries {
    /// The metric.
    pub metric: String,
    /// What of it.
    pub part: Part,
    /// The query, in PromQL.
    pub query: String,
    /// Why there is less than was asked for, of the last stretch that has less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Instants, in seconds since 1970, and numbers. A baseline of some time ago stands at the instant that it is read at.
    pub values: Vec<(f64, f64)>,
}

impl Recording {
    /// Asks Prometheus for all that a plan goes by in a stretch of time, as the controller would have asked for it, in as many
    /// answers as it takes; `asked` is told how many of them are there, of how many.
    ///
    /// # Errors
    ///
    /// A stretch that makes no sense, and a Prometheus that answers nothing at all. What it cannot answer else is no data, and
    /// its `problem` says why.
    pub async fn ask(
        prometheus: &Prometheus,
        (rollout, plan): (&str, &Plan),
        environment: &str,
        (from, to): (Timestamp, Timestamp),
        mut asked: impl FnMut(u64, u64),
    ) -> Result<Recording, String> {
        let step = plan.interval();
        let millis = step.millis().max(1);
        let lasts = u64::try_from(to.as_millis().saturating_sub(from.as_millis())).unwrap_or_default();
        if lasts == 0 {
            return Err(format!("it ends at {to}, which is not after it begins, at {from}"));
        }
        let stretch = millis.saturating_mul(MOST_POINTS);
        let many = lasts / stretch + 1;
        if many > MOST_ANSWERS {
            return Err(format!("from {from} to {to} are too many looks at an interval of {step}; take less"));
        }
        let mut series: BTreeMap<(String, Part), RecordedSeries> = BTreeMap::new();
        for place in 0..many {
            asked(place, many);
            let from = from.plus_millis((place * stretch).cast_signed());
            let last = from.plus_millis((stretch - millis).cast_signed()).min(to);
            let questions = plan.questions_between(environment, from, last);
            let mut answers = prometheus.ask(&questions).await;
            for _ in 1..TRIES {
                let failed = |question: &&crate::rollout::Question| {
                    answers.get(&(question.metric.clone(), question.part)).is_none_or(|answer| answer.failed)
                };
                let again: Vec<_> = questions.iter().filter(failed).cloned().collect();
                if again.is_empty() {
                    break;
                }
                answers.extend(prometheus.ask(&again).await);
            }
            if place == 0 && !answers.is_empty() && answers.values().all(|answer| answer.failed) {
                let why = answers.into_values().find_map(|answer| answer.problem);
                return Err(why.unwrap_or_else(|| "Prometheus answers nothing".to_owned()));
            }
            for question in questions {
                let key = (question.metric, question.part);
                let answer = answers.remove(&key).unwrap_or_default();
                let (metric, part) = key.clone();
                let recorded = series.entry(key).or_insert_with(|| RecordedSeries {
                    metric,
                    part,
                    query: question.query,
                    problem: None,
                    values: Vec::new(),
                });
                // That there is nothing at the end of one stretch is no problem of the whole.
                if answer.failed || answer.points.is_empty() {
                    recorded.problem = answer.problem.or(recorded.problem.take());
                }
                let seconds = |at: Timestamp| at.as_millis() as f64 / 1000.0;
                recorded.values.extend(answer.points.into_iter().map(|(at, number)| (seconds(at), number)));
            }
        }
        asked(many, many);
        let series = series.into_values().collect();
        Ok(Recording { rollout: rollout.to_owned(), environment: environment.to_owned(), from, to, step, series })
    }

    /// Reads what was saved.
    ///
    /// # Errors
    ///
    /// What it is instead, and what to do.
    pub fn read(json: &[u8]) -> Result<Recording, String> {
        serde_json::from_slice(json).map_err(|error| match saved(json) {
            Ok(_) => {
                "this is an answer of a Prometheus; write METRIC=FILE, so that it is known what it is of".to_owned()
            }
            Err(_) => format!("this is nothing that `flagstone rollout simulate --save` wrote: {error}"),
        })
    }

    /// Adds it to a history.
    pub fn add_to(&self, history: &mut History) {
        for RecordedSeries { metric, part, values, .. } in &self.series {
            let at = |seconds: f64| Timestamp::from_millis((seconds * 1000.0).round() as i64);
            let mut points: Vec<(Timestamp, f64)> =
                values.iter().map(|(seconds, number)| (at(*seconds), *number)).collect();
            points.sort_by_key(|(at, _)| *at);
            history.record(metric, *part, self.step, points);
        }
    }

    /// Adds to a history what Prometheus answered to a range query (`/api/v1/query_range`) for a part of a metric, as somebody
    /// saved it. From it, a baseline of some time ago is known, too. Returns the first instant.
    ///
    /// # Errors
    ///
    /// What is no such answer, and one that finds several series.
    pub fn add_answer(
        history: &mut History,
        plan: &Plan,
        (metric, part): (&str, Part),
        json: &[u8],
    ) -> Result<Option<Timestamp>, String> {
        let mut points = saved(json)?;
        points.sort_by_key(|(at, _)| *at);
        points.dedup_by_key(|(at, _)| *at);
        let between = points.windows(2).map(|pair| pair[1].0.as_millis().saturating_sub(pair[0].0.as_millis()));
        // What one number holds for: the time to the next, where none is missing.
        let step = between.min().map_or(plan.interval(), |least| Period::from_millis(least.unsigned_abs()));
        history.record(metric, part, step, points.iter().copied());
        if let (Part::Value, Some(Baseline::Ago(ago))) =
            (part, plan.metrics.get(metric).and_then(|of| of.baseline.as_ref()))
            && !history.knows(metric, Part::Baseline)
        {
            let later = |(at, number): &(Timestamp, f64)| (at.plus_millis(ago.millis().cast_signed()), *number);
            let until = history.until();
            history.record(metric, Part::Baseline, step, points.iter().map(later).filter(|(at, _)| Some(*at) <= until));
        }
        Ok(points.first().map(|(at, _)| *at))
    }
}
