//! What sequential guards count, and when they become certain.

use std::collections::{BTreeMap, BTreeSet};

use super::Simulator;
use crate::Timestamp;
use crate::rollout::{Arm, Count, Finding, Gate, Observations, Part, Plan, Progress, ResolvedStep, Trigger};

/// What was counted by what instants, by metric, what of it, path, and since when.
pub(super) type AllCounted = BTreeMap<(String, Count, Arm, Timestamp), Vec<(Timestamp, f64)>>;

/// So many people come in a day where nobody says how many do.
const PEOPLE: f64 = 10_000.0;
const MINUTE: f64 = 60_000.0;
const DAY: i64 = 86_400_000;

/// The metrics that say which share of people or of traffic is on the new path.
pub(super) fn shares(plan: &Plan, steps: &[ResolvedStep]) -> BTreeSet<String> {
    let after = plan.after_rollback.as_ref().and_then(|after| after.share.clone());
    let triggers = steps.iter().flat_map(|step| &step.triggers).filter(|trigger| trigger.sample_ratio.is_some());
    triggers.filter_map(|trigger| trigger.metric.clone()).chain(after).collect()
}

/// A guard that is a sequential test.
pub(super) enum Sequential<'p> {
    Gate(&'p Gate),
    Trigger(&'p Trigger),
}

impl<'p> Sequential<'p> {
    pub fn of(gates: &'p [Gate], triggers: &'p [Trigger]) -> Vec<Sequential<'p>> {
        let gates = gates.iter().filter(|gate| gate.sequential.is_some()).map(Sequential::Gate);
        let counts = |trigger: &&Trigger| trigger.sequential.is_some() || trigger.sample_ratio.is_some();
        gates.chain(triggers.iter().filter(counts).map(Sequential::Trigger)).collect()
    }

    pub fn is_trigger(&self) -> bool {
        matches!(self, Sequential::Trigger(_))
    }

    fn metric(&self) -> &str {
        match self {
            Sequential::Gate(gate) => &gate.metric,
            Sequential::Trigger(trigger) => trigger.metric.as_deref().unwrap_or_default(),
        }
    }

    fn slices(&self) -> (&[Gate], &[Trigger]) {
        match self {
            Sequential::Gate(gate) => (std::slice::from_ref(gate), &[]),
            Sequential::Trigger(trigger) => (&[], std::slice::from_ref(trigger)),
        }
    }
}

impl Simulator<'_> {
    /// How many there were since an instant; none where nothing is known now.
    pub(super) fn count(&self, metric: &str, (of, arm): (Count, Arm), since: Timestamp, now: Timestamp) -> Option<f64> {
        self.rate(metric, (of, arm), now)?;
        // Whoever comes again the next day was counted.
        let now = if of == Count::Value { now.min(since.plus_millis(DAY)) } else { now };
        let mut all = self.counted.borrow_mut();
        let counted = all.entry((metric.to_owned(), of, arm, since)).or_insert_with(|| vec![(since, 0.0)]);
        let behind = counted.partition_point(|(at, _)| *at <= now).max(1);
        let (mut at, mut count) = counted[behind - 1];
        let is_newest = behind == counted.len();
        while at < now {
            let next = self.changes(metric, at).unwrap_or(Timestamp::MAX);
            // What changes all the time is taken to do so from look to look.
            let next = if next == at.plus_millis(1) { self.tick(next).max(next) } else { next };
            let until = next.min(now);
            let rate = self.rate(metric, (of, arm), at).unwrap_or_default();
            count += rate * (until.as_millis() - at.as_millis()) as f64 / MINUTE;
            at = until;
            if is_newest && next <= now {
                counted.push((at, count));
            }
        }
        Some(count)
    }

    /// How many there are in a minute.
    fn rate(&self, metric: &str, (of, arm): (Count, Arm), at: Timestamp) -> Option<f64> {
        let behind = self.situations.partition_point(|situation| situation.at <= at).max(1);
        let percent = self.situations[behind - 1].percent.unwrap_or_default().fraction();
        if of == Count::Value {
            let people = self.plan.traffic.and_then(|traffic| traffic.users_per_day).unwrap_or(PEOPLE);
            let share = self.number(metric, Part::Value, at)?;
            let share = if arm == Arm::New { share } else { 1.0 - share };
            return Some(people * share / (DAY as f64 / MINUTE));
        }
        let window = self.plan.metrics.get(metric)?.window().millis().max(1) as f64 / MINUTE;
        let new = self.number(metric, Part::Samples, at)? / window;
        let (samples, failed) = match arm {
            Arm::New => (new, Part::Value),
            // Where nobody is let in by a percent, as many as there are on lists.
            Arm::Old if percent == 0.0 => (new, Part::Baseline),
            Arm::Old => (new * (1.0 - percent) / percent, Part::Baseline),
        };
        match of {
            Count::Failures => Some(samples * self.number(metric, failed, at)?.clamp(0.0, 1.0)),
            Count::Samples | Count::Value => Some(samples),
        }
    }

    /// The next look that finds something else than now, if that is not after `limit`: of a trigger that it has opened, or
    /// anything.
    ///
    /// While nothing changes, evidence only grows or only shrinks after a while: so looks are doubled, and what lies between two of
    /// them that find different things is halved.
    pub(super) fn decides(
        &self,
        guard: &Sequential<'_>,
        progress: &Progress,
        now: Timestamp,
        limit: Timestamp,
        anything: bool,
    ) -> Option<Timestamp> {
        let first = self.weighed(guard, progress, now);
        let differs = |at| {
            let found = self.weighed(guard, progress, at);
            if anything { found != first } else { found == Finding::Holds }
        };
        if !anything && first == Finding::Holds {
            return None;
        }
        let (mut same, mut leap) = (now, self.interval);
        while same < limit {
            // What changes between two looks ends the stretch with the first of them.
            let before = |next| if self.tick(next) > next { self.tick(next).plus_millis(-self.interval) } else { next };
            let stretch = self.changes(guard.metric(), same).map_or(Timestamp::MAX, before);
            let stretch = stretch.max(same.plus_millis(self.interval));
            let mut other = same.plus_millis(leap).min(stretch);
            if differs(other) {
                while other.as_millis() - same.as_millis() > self.interval {
                    let ticks = (other.as_millis() - same.as_millis()) / self.interval;
                    let middle = same.plus_millis(ticks / 2 * self.interval);
                    if differs(middle) { other = middle } else { same = middle }
                }
                return Some(other);
            }
            leap = if other == stretch { self.interval } else { leap.saturating_mul(2) };
            same = other;
        }
        None
    }

    /// What a sequential guard would find.
    fn weighed(&self, guard: &Sequential<'_>, progress: &Progress, at: Timestamp) -> Finding {
        let questions = self.plan.counting(guard.slices(), progress, &self.environment, at);
        let answers = questions.into_iter().map(|question| {
            let answer = self.answer(&question);
            ((question.metric, question.part), answer)
        });
        let observations: Observations = answers.collect();
        let reading = match guard {
            Sequential::Gate(gate) => self.plan.read_gate(gate, progress, &observations, at),
            Sequential::Trigger(trigger) => self.plan.read_trigger(trigger, progress, &observations, at),
        };
        reading.finding
    }
}
