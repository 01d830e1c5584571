//! What is counted for sequential guards, and what they find in it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::guard::{Answer, Finding, Observations, Part, Question, Reading};
use super::period::Period;
use super::plan::{Action, FalsePositiveRate, Gate, Plan, Quantity, SampleRatio, Sequential, Test, Trigger};
use super::progress::{Phase, Progress};
use super::sequential::{self, Counts, MOST};
use crate::Timestamp;
use crate::snapshot::definitions::Percent;

/// What of a metric is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Count {
    /// Its value, which is a count: of people.
    Value,
    /// How much it goes by.
    Samples,
    /// How many of them failed.
    Failures,
}

/// One of two paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Arm {
    /// The one that is rolled out.
    New,
    /// The one that was there before.
    Old,
}

const ARMS: [Arm; 2] = [Arm::New, Arm::Old];

/// How often counters must have been scraped before what is counted is weighed: `increase` extrapolates beyond the first and
/// the last scrape, which makes twice as much of a window with two of them, and no more than a tenth more of this many.
const SCRAPES: u64 = 10;
/// What Prometheus does unless it is told otherwise.
const SCRAPE_INTERVAL: Period = Period::from_millis(60_000);

impl Progress {
    /// When somebody last looked at what a guard does that only stops the rollout.
    pub(super) fn reviewed_for(&self, action: Option<Action>) -> Option<Timestamp> {
        self.reviewed.filter(|_| matches!(action, Some(Action::Hold | Action::StepDown)))
    }

    /// Since when a sequential guard counts.
    fn counts_since(&self, action: Option<Action>) -> Timestamp {
        self.reviewed_for(action).map_or(self.entered, |reviewed| reviewed.max(self.entered))
    }
}

impl SampleRatio {
    fn counts_since(&self, trigger: &Trigger, progress: &Progress) -> Timestamp {
        self.after().after(progress.counts_since(Some(trigger.action())))
    }
}

impl Plan {
    /// What to ask for sequential guards.
    pub(super) fn counting(
        &self,
        (gates, triggers): (&[Gate], &[Trigger]),
        progress: &Progress,
        environment: &str,
        now: Timestamp,
    ) -> Vec<Question> {
        let mut wanted = BTreeSet::new();
        let tests = gates.iter().filter_map(Gate::test).chain(triggers.iter().filter_map(Trigger::test));
        for test in tests.filter(|test| test.sequential.is_some()) {
            let since = progress.counts_since(test.action);
            let arms = if test.quantity == Quantity::Ratio { &ARMS[..] } else { &ARMS[..1] };
            for arm in arms {
                wanted.extend([Count::Samples, Count::Failures].map(|of| (test.metric, of, *arm, since)));
            }
        }
        for trigger in triggers.iter().filter(|_| self.expected_share(progress).is_some()) {
            if let (Some(metric), Some(ratio)) = (&trigger.metric, &trigger.sample_ratio) {
                let since = ratio.counts_since(trigger, progress);
                wanted.extend(ARMS.map(|arm| (metric.as_str(), Count::Value, arm, since)));
            }
        }
        let question = |(name, of, arm, since): (&str, Count, Arm, Timestamp)| {
            let metric = self.metrics.get(name)?;
            let query = match of {
                Count::Value => &metric.query,
                Count::Samples => metric.samples.as_ref()?,
                Count::Failures => metric.failures.as_ref()?,
            };
            let label = match arm {
                Arm::New => &self.arms.new,
                Arm::Old => &self.arms.old,
            };
            let window = u64::try_from(now.as_millis().saturating_sub(since.as_millis())).ok()?;
            Some(Question {
                metric: name.to_owned(),
                part: Part::Count { of, arm, since },
                query: self.fill(query, label, Period::from_millis(window), environment),
                from: now,
                to: now,
                step: self.interval(),
                ago: Period::ZERO,
            })
        };
        wanted.into_iter().filter(|(.., since)| *since < now).filter_map(question).collect()
    }

    /// How long it takes until counters were scraped often enough.
    fn scraped_often(&self) -> Period {
        let interval = self.scrape_interval.unwrap_or(SCRAPE_INTERVAL);
        Period::from_millis(interval.millis().saturating_mul(SCRAPES))
    }

    /// The share of people that the step puts on the new path; none where it is nobody or everyone, or is on its way down.
    fn expected_share(&self, progress: &Progress) -> Option<f64> {
        let percent = self.percent(progress).filter(|_| progress.phase != Phase::RollingBack)?;
        (Percent::default() < percent && percent < Percent::ALL).then(|| percent.fraction())
    }
}

/// What was counted of a metric since an instant.
struct Counted<'c> {
    metric: &'c str,
    since: Timestamp,
    /// From when on what was counted is weighed.
    weighed_from: Timestamp,
    now: Timestamp,
    observations: &'c Observations,
}

/// What is found in it.
struct Weighed {
    /// The logarithm of the evidence.
    evidence: f64,
    value: f64,
    baseline: Option<f64>,
    samples: f64,
    /// The counts, in words.
    told: String,
}

/// What a sequential guard finds.
pub(super) fn weigh(
    plan: &Plan,
    guard: String,
    test: &Test<'_>,
    sequential: Sequential,
    progress: &Progress,
    observations: &Observations,
    now: Timestamp,
) -> Reading {
    let since = progress.counts_since(test.action);
    let weighed_from = plan.scraped_often().after(since);
    let counted = Counted { metric: test.metric, since, weighed_from, now, observations };
    let reading = Reading {
        quantity: Some(test.quantity),
        condition: Some(test.condition.to_string()),
        ..Reading::of(guard, Finding::Pending)
    };
    counted.reading(reading, Count::Failures, sequential.false_positive_rate, || counted.rates(test))
}

/// What a trigger finds that looks for another share of people on the new path than the step's percent.
pub(super) fn weigh_share(
    plan: &Plan,
    trigger: &Trigger,
    ratio: &SampleRatio,
    progress: &Progress,
    observations: &Observations,
    now: Timestamp,
) -> Reading {
    let reading = Reading::of(trigger.called(), Finding::Pending);
    let Some(expected) = plan.expected_share(progress) else {
        let note = Some("there are no two paths to compare".to_owned());
        return Reading { metric: trigger.metric.clone(), finding: Finding::Fails, note, ..reading };
    };
    let metric = trigger.metric.as_deref().unwrap_or_default();
    let since = ratio.counts_since(trigger, progress);
    let counted = Counted { metric, since, weighed_from: plan.scraped_often().after(since), now, observations };
    counted.reading(reading, Count::Value, ratio.false_positive_rate, || counted.share(expected))
}

impl Counted<'_> {
    /// The reading, with what was found.
    fn reading(
        &self,
        reading: Reading,
        of: Count,
        wrong: FalsePositiveRate,
        weigh: impl Fn() -> Result<Weighed, String>,
    ) -> Reading {
        let query = self.answer(of, Arm::New).and_then(|answer| answer.query.clone());
        let reading = Reading { metric: Some(self.metric.to_owned()), query, ..reading };
        if self.now <= self.since || self.now < self.weighed_from {
            return reading;
        }
        match weigh() {
            Err(note) => Reading { finding: Finding::NoData, note: Some(note), ..reading },
            Ok(Weighed { evidence, value, baseline, samples, told }) => {
                let p_value = (-evidence).exp().min(1.0);
                let certain = evidence >= -wrong.probability().ln();
                Reading {
                    value: Some(value).filter(|value| value.is_finite()),
                    baseline,
                    samples: Some(samples),
                    p_value: Some(p_value),
                    // What is not certain is not found, yet.
                    finding: if certain { Finding::Holds } else { Finding::Fails },
                    note: Some(format!("{told}; p-value {}, certain at {wrong}", as_percent(p_value))),
                    ..reading
                }
            }
        }
    }

    fn rates(&self, test: &Test<'_>) -> Result<Weighed, String> {
        let (side, limit) = test.condition.limit().ok_or("a sequential guard has one limit")?;
        let new = self.counts(Arm::New)?;
        let told = format!("{} of {} failed", new.failures.round(), new.samples.round());
        if test.quantity != Quantity::Ratio {
            let evidence = new.beyond(side, limit.clamp(0.0, 1.0));
            return Ok(Weighed { evidence, value: new.rate(), baseline: None, samples: new.samples, told });
        }
        let old = self.counts(Arm::Old)?;
        Ok(Weighed {
            evidence: sequential::ratio(new, old, side, limit.max(f64::MIN_POSITIVE)),
            value: new.rate() / old.rate(),
            baseline: Some(old.rate()),
            samples: new.samples,
            told: format!("{told}, and {} of {} on the old path", old.failures.round(), old.samples.round()),
        })
    }

    fn share(&self, expected: f64) -> Result<Weighed, String> {
        let new = self.number(Count::Value, Arm::New)?;
        let all = new + self.number(Count::Value, Arm::Old)?;
        if all == 0.0 {
            return Err("nobody was counted yet".to_owned());
        }
        let told = format!("{} of {} are on the new path, not {}", new.round(), all.round(), as_percent(expected));
        let evidence = sequential::share(new, all, expected);
        Ok(Weighed { evidence, value: new / all, baseline: None, samples: all, told })
    }

    fn counts(&self, arm: Arm) -> Result<Counts, String> {
        let samples = self.number(Count::Samples, arm)?;
        // Two counts that are extrapolated, each for itself, may miss each other a little.
        let failures = self.number(Count::Failures, arm)?.min(samples);
        if samples == 0.0 {
            return Err("nothing was counted yet".to_owned());
        }
        Ok(Counts { failures, samples })
    }

    /// A count, or why it is not known.
    fn number(&self, of: Count, arm: Arm) -> Result<f64, String> {
        let answer = self.answer(of, arm).ok_or("no data")?;
        match answer.points.get(&self.now) {
            Some(number) if (0.0..=MOST).contains(number) => Ok(*number),
            Some(number) => Err(format!("{number} is no count")),
            None => Err(answer.problem.clone().unwrap_or_else(|| "no data".to_owned())),
        }
    }

    fn answer(&self, of: Count, arm: Arm) -> Option<&Answer> {
        self.observations.get(&(self.metric.to_owned(), Part::Count { of, arm, since: self.since }))
    }
}

fn as_percent(number: f64) -> String {
    match number {
        0.0..0.000_01 => "below 0.001%".to_owned(),
        _ => format!("{}%", (number * 1e5).round() / 1e3),
    }
}
