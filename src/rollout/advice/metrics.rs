//! Advice on what is measured: how often, over how long, of whom, and against what.

use std::collections::BTreeSet;

use super::{Advice, Advisor, Placed, Stage};
use crate::rollout::decide::RECOVERY;
use crate::rollout::period::Period;
use crate::rollout::plan::{Baseline, Guard, Metric, OnNoData, Quantity, Test, Trigger};
use crate::snapshot::definitions::{Path, Percent};

/// What brings several series together to one.
const AGGREGATIONS: [&str; 15] = [
    "absent",
    "absent_over_time",
    "avg",
    "bottomk",
    "count",
    "group",
    "max",
    "min",
    "quantile",
    "scalar",
    "stddev",
    "stdvar",
    "sum",
    "topk",
    "vector",
];

impl Metric {
    /// Whether it calls a function, or brings series together by it: not whether a label goes by its name.
    fn calls(&self, function: &str) -> bool {
        let joins = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        self.query.match_indices(function).any(|(place, _)| {
            let (before, behind) = (&self.query[..place], self.query[place + function.len()..].trim_start());
            let behind_word = &self.query[place + function.len()..];
            let is_called = ["(", "by ", "by(", "without ", "without("].iter().any(|next| behind.starts_with(next));
            !before.ends_with(joins) && !behind_word.starts_with(joins) && is_called
        })
    }

    /// Whether it goes by what is counted while the window lasts.
    fn is_of_events(&self) -> bool {
        ["rate", "irate", "increase", "delta"].iter().any(|function| self.calls(function))
    }

    /// Whether it is a share of events, so that a single one is so and so much of it.
    fn is_share(&self) -> bool {
        self.samples.is_some() || self.events_per_minute.is_some() || (self.is_of_events() && self.query.contains('/'))
    }
}

/// A gate, or a trigger.
struct Looked<'s> {
    test: Test<'s>,
    name: String,
    path: &'s Path,
    trigger: Option<&'s Trigger>,
}

impl<'s> Looked<'s> {
    fn new<G: Guard>(placed: &'s Placed<G>, test: Test<'s>, trigger: Option<&'s Trigger>) -> Looked<'s> {
        Looked { test, name: format!("{:?}", placed.name()), path: &placed.path, trigger }
    }

    /// What it is, with its name.
    fn called(&self) -> String {
        format!("the {} {}", if self.trigger.is_some() { "trigger" } else { "gate" }, self.name)
    }

    /// The share that events must have for it to be well no more, where it is about a share.
    fn share(&self) -> Option<f64> {
        if self.test.quantity != Quantity::Value || !self.test.condition.to_string().contains('%') {
            return None;
        }
        let ((from, _), (to, _)) = self.test.condition.bounds();
        // A trigger begins where the bad numbers do, a gate ends where the good ones do.
        let share = match (self.trigger.is_some(), from.is_finite(), to.is_finite()) {
            (true, true, _) | (false, true, true) => from,
            (true, false, _) => 1.0 - to,
            (false, false, _) => to,
            (false, true, false) => 1.0 - from,
        };
        Some(share).filter(|share| 0.0 < *share && *share < 1.0)
    }
}

fn looked<'s>(stage: &'s Stage<'_>) -> impl Iterator<Item = Looked<'s>> {
    let gates = stage.gates.iter().filter_map(|placed| Some(Looked::new(placed, placed.guard.test()?, None)));
    let triggers = stage.triggers.iter();
    let triggers = triggers.filter_map(|placed| Some(Looked::new(placed, placed.guard.test()?, Some(&placed.guard))));
    gates.chain(triggers)
}

impl Advisor<'_> {
    pub(super) fn on_metrics(&mut self, stages: &[Stage<'_>]) {
        for stage in stages {
            for looked in looked(stage) {
                let Some(metric) = self.plan.metrics.get(looked.test.metric) else { continue };
                self.timing(&looked);
                self.audience(stage, &looked, metric);
                self.samples(stage, &looked, metric);
            }
        }
        let triggers = stages.iter().flat_map(|stage| &stage.triggers);
        let gates = stages.iter().flat_map(|stage| &stage.gates).map(|gate| gate.guard.metric.as_str());
        let used = gates.chain(triggers.filter_map(|trigger| trigger.guard.metric.as_deref()));
        let after = self.plan.after_rollback.iter();
        let after = after.flat_map(|after| {
            after.share.as_deref().into_iter().chain(after.gates.iter().map(|gate| gate.metric.as_str()))
        });
        for name in used.chain(after).collect::<BTreeSet<_>>() {
            if let Some(metric) = self.plan.metrics.get(name) {
                self.query(name, metric);
            }
        }
        self.recovery();
    }

    fn timing(&mut self, looked: &Looked<'_>) {
        let Some(scrape) = self.plan.scrape_interval else { return };
        let (lasting, times, interval) = (looked.test.lasting, looked.test.consecutive, self.plan.interval());
        if !lasting.is_zero() && lasting < scrape {
            let message = format!("it is measured every {scrape}, so what lasts {lasting} is one measurement");
            let suggestion = "let it last for two measurements at least";
            self.tell(Advice::ShorterThanScrape, &looked.path.key("for"), message, suggestion);
        }
        if times > 1 && self.span(&looked.test) < scrape {
            let message =
                format!("looked at every {interval} and measured every {scrape}, {times} in a row are one measurement");
            let suggestion = "write an `interval` no shorter than the `scrapeInterval`";
            self.tell(Advice::ShorterThanScrape, &looked.path.key("consecutive"), message, suggestion);
        }
    }

    fn query(&mut self, name: &str, metric: &Metric) {
        let path = self.path.key("metrics").key(name);
        let window = metric.window();
        if let Some(scrape) = self.plan.scrape_interval
            && metric.is_of_events()
            && metric.query.contains("{{window}}")
            && window.millis() < 2 * scrape.millis()
        {
            let message = format!(
                "a window of {window} has less than the two measurements that a rate takes, one every {scrape}"
            );
            let suggestion = format!("write a window of {} or more", Period::from_millis(4 * scrape.millis()));
            self.tell(Advice::WindowTooShort, &path.key("window"), message, suggestion);
        }
        if !AGGREGATIONS.iter().any(|function| metric.calls(function)) {
            let message = "where several instances count, the query finds several series, which is no data";
            self.tell(Advice::SeveralSeries, &path.key("query"), message, "bring them together, by `sum()` or another");
        }
    }

    /// Whether anybody is there whom the metric is about, and whom it is compared with.
    fn audience(&mut self, stage: &Stage<'_>, looked: &Looked<'_>, metric: &Metric) {
        let name = &stage.last.name;
        let about_new = self.plan.goes_by_percent(metric) && metric.is_of_events();
        if about_new && !stage.step.shadow && !stage.is_open(self.plan) && !self.others_are_in(stage) {
            let what = match looked.trigger.map(|trigger| trigger.on_no_data) {
                Some(OnNoData::Act) => "does what it does without data",
                _ => "keeps the rollout there, since it has no data",
            };
            let message = format!("at {name} nobody is on the new path, so {} {what}", looked.called());
            self.tell(
                Advice::NobodyToMeasure,
                looked.path,
                message,
                "write it into the first step that lets anybody in",
            );
        }
        let compares = looked.test.quantity != Quantity::Value && metric.baseline == Some(Baseline::Old);
        if compares && metric.is_of_events() && stage.percent() == Percent::ALL {
            let message = format!(
                "at {name} nobody is on the old path any more, so {} has nothing to compare with, and the rollout never \
                 goes on",
                looked.called()
            );
            let suggestion = "compare with a number that is known by then, or let it hold in steps before (`onlyHere`)";
            self.tell(Advice::NoBaseline, looked.path, message, suggestion);
        }
    }

    fn samples(&mut self, stage: &Stage<'_>, looked: &Looked<'_>, metric: &Metric) {
        // A sequential guard counts as many as it takes.
        if looked.test.sequential.is_some() {
            return;
        }
        let (name, percent) = (&stage.first.name, stage.first.percent.unwrap_or_default());
        let window = metric.window();
        let minutes = window.millis() as f64 / 60_000.0;
        let per_minute = self.plan.expected(metric, percent);
        let expected = per_minute.map(|per_minute| per_minute * minutes);
        if let (Some(expected), Some(per_minute), Some(minimum)) = (expected, per_minute, metric.minimum_samples)
            && expected < minimum
        {
            let message = format!(
                "at {name} about {} events are expected within {window}, and it takes {minimum} for there to be data",
                brief(expected)
            );
            let path = self.path.key("metrics").key(looked.test.metric).key("minimumSamples");
            let suggestion = format!("write a window of {} or more, or begin with more", enough(minimum, per_minute));
            return self.tell(Advice::TooFewSamples, &path, message, suggestion);
        }
        let Some(share) = looked.share().filter(|_| metric.is_share()) else { return };
        // An event is in as many looks as the window is long.
        let passes = self.span(&looked.test) >= window;
        let events = match (looked.trigger, metric.minimum_samples) {
            (Some(_), Some(minimum)) if !passes => Some(minimum),
            (Some(_), None) if !passes => {
                if expected.is_none() {
                    let message = format!("{} acts by however few events: of one, one is all", looked.called());
                    let suggestion = "write `samples` and `minimumSamples` into the metric";
                    self.tell(Advice::NoMinimum, looked.path, message, suggestion);
                }
                expected
            }
            (Some(_), _) | (None, Some(_)) => None,
            (None, None) => expected,
        };
        let Some(events) = events.filter(|events| *events > 0.0) else { return };
        // What comes out of a division is not exact.
        if 1.0 / events > share * (1.0 + 1e-9) {
            let counted = match metric.minimum_samples {
                Some(_) => format!("of {} events, which are enough for there to be data", brief(events)),
                None => format!("of about {} events, expected at {name} within {window}", brief(events)),
            };
            let message = format!(
                "{counted}, one is {}%, and {} goes by {}%",
                brief(100.0 / events.max(1.0)),
                looked.called(),
                brief(share * 100.0)
            );
            let suggestion = match per_minute.filter(|_| metric.minimum_samples.is_none()) {
                Some(per_minute) => {
                    let window = enough(1.0 / share, per_minute);
                    format!(
                        "a threshold of {}% takes {} events, a window of {window}",
                        brief(share * 100.0),
                        (1.0 / share).ceil()
                    )
                }
                None => format!("ask for {} `minimumSamples` at least", (1.0 / share * (1.0 - 1e-9)).ceil()),
            };
            self.tell(Advice::OneEvent, looked.path, message, suggestion);
        }
    }

    fn recovery(&mut self) {
        let Some(after) = &self.plan.after_rollback else { return };
        let within = after.within.unwrap_or(RECOVERY);
        let share = after.share.as_ref().and_then(|share| self.plan.metrics.get(share));
        if let Some(window) = share.map(Metric::window).filter(|window| *window >= within) {
            let path = self.path.key("afterRollback").key("within");
            let message = format!("the share of traffic is that of the last {window}, and must follow within {within}");
            let suggestion = "give the metric a shorter window, or the rollback more time";
            self.tell(Advice::WithinTooShort, &path, message, suggestion);
        }
    }
}

/// The window in which so many events are expected.
fn enough(events: f64, per_minute: f64) -> Period {
    let minutes = (events / per_minute).ceil();
    // A number beyond the longest period becomes the longest.
    Period::from_millis((minutes * 60_000.0) as u64)
}

/// A number with no more digits than tell something.
fn brief(number: f64) -> f64 {
    if number >= 100.0 { number.round() } else { (number * 100.0).round() / 100.0 }
}
