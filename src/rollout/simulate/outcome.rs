//! What came of it.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use super::foresee::{Found, key};
use super::{Assumption, Simulator};
use crate::Timestamp;
use crate::rollout::plan::Test;
use crate::rollout::{
    Action, Blocker, BlockerKind, Condition, Finding, Note, Period, Phase, Progress, Quantity, Reading, Severity,
    Spent, Transition,
};
use crate::snapshot::definitions::Percent;

/// What came of a plan on a virtual clock: what [`simulate`](super::simulate) gives.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Simulation {
    /// When it was to start.
    pub start: Timestamp,
    /// When nothing more came, or when what is known ended.
    pub end: Timestamp,
    /// How it ended.
    pub outcome: Outcome,
    /// What kept it from going on at the end.
    pub blockers: Vec<Blocker>,
    /// Everything that happened, in order.
    pub moments: Vec<Moment>,
    /// What turned it back, and who had been let in until then.
    pub rollbacks: Vec<Turned>,
    /// Who was let in, all in all.
    pub exposed: Exposure,
    /// Where its time went.
    pub time: Spent,
    /// What it waited for, in order.
    pub waits: Vec<Wait>,
    /// What gates and triggers looked at.
    pub curves: Vec<Curve>,
    /// What was assumed of metrics that nothing is known of.
    pub assumed: Vec<Assumption>,
    /// How many times it was looked at.
    pub looks: usize,
}

/// How a simulation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// It has been through all of its steps.
    Completed,
    /// It was turned back, and nobody retried it.
    RolledBack,
    /// It waits, and nothing that is known of would let it go on.
    Stuck,
    /// What is known ends before it does; all that it waits for is the time.
    Underway,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Moment {
    /// When.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub what: Happened,
    /// Who: a person, or the controller.
    pub author: String,
    /// Why.
    pub reason: String,
    /// What was approved of, attested to, raised or cleared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// The step that it was at after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// The percent after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent: Option<Percent>,
    /// What was measured.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Reading>,
}

/// What can happen in a simulation.
#[derive(Clone, Debug, PartialEq)]
pub enum Happened {
    /// Something that the log would have, too.
    Transition(Transition),
    /// Somebody froze all changes.
    Frozen,
    /// Somebody lifted that.
    Unfrozen,
    /// Somebody wanted to do something that was refused, for this reason.
    Refused(String),
}

impl Happened {
    /// Its name, as JSON has it.
    pub fn name(&self) -> &'static str {
        match self {
            Happened::Transition(transition) => transition.name(),
            Happened::Frozen => "frozen",
            Happened::Unfrozen => "unfrozen",
            Happened::Refused(_) => "refused",
        }
    }
}

impl Serialize for Happened {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let refused = match self {
            Happened::Refused(why) => Some(why),
            _ => None,
        };
        #[derive(Serialize)]
        struct Form<'h> {
            what: &'h str,
            #[serde(skip_serializing_if = "Option::is_none")]
            refused: Option<&'h String>,
        }
        Form { what: self.name(), refused }.serialize(serializer)
    }
}

/// A rollback, or a step back.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Turned {
    /// When.
    pub at: Timestamp,
    /// Who: a person, or the controller.
    pub author: String,
    /// Why.
    pub reason: String,
    /// The trigger; none where somebody did it by hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trigger: Option<String>,
    /// How bad it was; none for a step back, which is no rollback.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// The step in which it happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// Who had been let in, since this attempt began.
    pub exposed: Exposure,
    /// Since when what the trigger found was so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault_since: Option<Timestamp>,
    /// Who was let in from then on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exposed_to_fault: Option<Exposure>,
}

/// Who was let in by the percent of the ramps. Whom rules and lists let in besides is not counted.
///
/// People are an estimate: that each of those whom the plan expects in a day comes once a day, at any time of it alike, and that
/// they are the same from day to day. Since ramps let in no others where they let in fewer, the largest percent of a day counts;
/// of a stay shorter than a day, the part of the day that it lasts.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Exposure {
    /// How many people; none where the plan does not say how many are expected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub people: Option<f64>,
    /// Percent times hours: 10 % for two days are 480.
    pub percent_hours: f64,
    /// The largest percent.
    pub percent: Percent,
}

/// A stretch of time in which something kept it from going on.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Wait {
    /// From then on.
    pub from: Timestamp,
    /// Until then.
    pub until: Timestamp,
    /// What kind of thing.
    pub kind: BlockerKind,
    /// Which gate, trigger or word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// What exactly, at the beginning.
    pub message: String,
    /// The step that it stayed at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
}

/// What a quantity of a metric was over time, and what it was held against.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Curve {
    /// The metric.
    pub metric: String,
    /// What of it.
    pub quantity: Quantity,
    /// What the plan says of the metric.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What gates and triggers held it against, in order of their beginnings.
    pub thresholds: Vec<Threshold>,
    /// The numbers, as the looks would have found them. Of very many those that stand out are kept.
    pub points: Vec<Point>,
}

/// A number that is so until the next point.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Point {
    /// From then on.
    pub at: Timestamp,
    /// The number; none where there is no data.
    pub number: Option<f64>,
}

/// What a gate or a trigger holds a number against.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Threshold {
    /// The metric.
    #[serde(skip)]
    pub metric: String,
    /// What of it.
    #[serde(skip)]
    pub quantity: Quantity,
    /// The gate or trigger.
    pub guard: String,
    /// What the trigger does; none for a gate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<Action>,
    /// What is wanted, or wrong.
    pub condition: Condition,
    /// For how long it must be so, without a break.
    #[serde(rename = "for", skip_serializing_if = "Period::is_zero")]
    pub lasting: Period,
    /// How many times in a row it must be so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consecutive: Option<u32>,
    /// Whether it is so once that is certain of all that was counted, whatever the number is at an instant.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub sequential: bool,
    /// From then on.
    pub from: Timestamp,
    /// Until then.
    pub until: Timestamp,
}

/// More points cannot be told apart where they are drawn.
const MOST_POINTS: usize = 1200;
const DAY: f64 = 86_400_000.0;
const HOUR: f64 = 3_600_000.0;

impl Simulator<'_> {
    pub(super) fn happened(&mut self, what: Happened, by: Note, evidence: Vec<Reading>) {
        let step = self.progress.as_ref().and_then(|progress| progress.step.clone());
        let percent = self.situations.last().and_then(|situation| situation.percent);
        let about = match &what {
            Happened::Transition(_) => self.progress.as_ref().and_then(|progress| progress.last.about.clone()),
            _ => None,
        };
        let Note { author, reason, at } = by;
        self.moments.push(Moment { at, what, author, reason, about, step, percent, evidence });
    }

    /// Takes down what gates and triggers go by from now on.
    pub(super) fn note_thresholds(&mut self, evidence: &[Reading], now: Timestamp) {
        let mut wanted: Vec<Threshold> = Vec::new();
        for reading in evidence {
            let condition = reading.condition.as_ref().and_then(|condition| condition.parse().ok());
            if let (Some(metric), Some(quantity), Some(condition)) = (&reading.metric, reading.quantity, condition) {
                let (lasting, consecutive, sequential) = self.asks(&reading.guard, reading.action.is_some());
                wanted.push(Threshold {
                    metric: metric.clone(),
                    quantity,
                    guard: reading.guard.clone(),
                    action: reading.action,
                    condition,
                    lasting,
                    consecutive,
                    sequential,
                    from: now,
                    until: Timestamp::MAX,
                });
            }
        }
        let same = |one: &Threshold, other: &Threshold| {
            let of = |one: &Threshold| (one.guard.clone(), one.metric.clone(), one.quantity, one.action);
            of(one) == of(other) && one.condition == other.condition
        };
        for open in self.thresholds.iter_mut().filter(|open| open.until == Timestamp::MAX) {
            match wanted.iter().position(|wanted| same(wanted, open)) {
                Some(place) => drop(wanted.remove(place)),
                None => open.until = now,
            }
        }
        self.thresholds.append(&mut wanted);
    }

    /// For how long and how often a guard wants it to be so, and whether it is a sequential test.
    fn asks(&self, guard: &str, is_trigger: bool) -> (Period, Option<u32>, bool) {
        let step = self.step();
        let found = match is_trigger {
            true => step.and_then(|step| {
                let trigger = step.triggers.iter().find(|trigger| trigger.called() == guard)?;
                Some((trigger.lasting, trigger.consecutive, trigger.sequential.is_some()))
            }),
            false => {
                let after = self.plan.after_rollback.iter().flat_map(|after| &after.gates);
                let gate = step.iter().flat_map(|step| &step.gates).chain(after).find(|gate| gate.called() == guard);
                gate.map(|gate| (gate.lasting, gate.consecutive, gate.sequential.is_some()))
            }
        };
        found.unwrap_or_default()
    }

    /// Takes down who had been let in when it was turned back.
    pub(super) fn turned(&mut self, progress: &Progress, now: Timestamp) {
        let Some(before) = self.progress.clone() else { return };
        let last = &progress.last;
        // The one that does most is the one that did it; of those, the first.
        let open = |reading: &&Reading| reading.action.is_some() && reading.finding == Finding::Holds;
        let silent = |reading: &&Reading| reading.action.is_some() && reading.finding == Finding::Silence;
        let found = last.evidence.iter().rev().filter(|reading| open(reading) || silent(reading));
        let reading = found.max_by_key(|reading| reading.action);
        let fault_since = reading.and_then(|reading| self.fault_since(&before, reading, now));
        let exposed_to_fault = fault_since.map(|since| self.exposure(since, now));
        self.rollbacks.push(Turned {
            at: now,
            author: last.author.clone(),
            reason: last.reason.clone(),
            trigger: reading.map(|reading| reading.guard.clone()),
            severity: progress.incident.as_ref().map(|incident| incident.severity),
            step: before.step.clone(),
            exposed: self.exposure(before.started, now),
            fault_since,
            exposed_to_fault,
        });
    }

    /// Since when what a trigger found was so.
    fn fault_since(&mut self, before: &Progress, reading: &Reading, now: Timestamp) -> Option<Timestamp> {
        let step = self.steps.iter().find(|step| Some(&step.name) == before.step.as_ref())?.clone();
        let trigger = step.triggers.iter().find(|trigger| trigger.called() == reading.guard)?;
        if let Some(signal) = &trigger.signal {
            return before.signals.get(signal).map(|note| note.at.max(before.started));
        }
        let test = trigger.test()?;
        let mut runs = std::mem::take(&mut self.runs);
        let tick = self.tick(now);
        let last = if tick == now { now } else { tick.plus_millis(-self.interval) };
        let run = runs.entry(key(&test)).or_default().around(self, &test, last);
        self.runs = runs;
        let (begin, found) = run?;
        let is_so = |found| matches!(found, Found::Holds | Found::Silent);
        let since = if is_so(found) { self.refined(&test, begin, found) } else { now };
        Some(since.max(before.started))
    }

    /// The instant at which began what was first found at a look.
    fn refined(&self, test: &Test<'_>, begin: Timestamp, found: Found) -> Timestamp {
        // Where it changes all the time, the look is near enough.
        const MOST: usize = 1000;
        let (mut at, mut since) = (begin.plus_millis(-self.interval), None);
        for _ in 0..MOST {
            match self.changes(test.metric, at).filter(|next| *next < begin) {
                Some(next) if self.found(test, next) == found => since = since.or(Some(next)),
                Some(_) => since = None,
                None => return since.unwrap_or(begin),
            }
            at = self.changes(test.metric, at).unwrap_or(begin);
        }
        begin
    }

    /// Who was let in within a stretch of time.
    pub(super) fn exposure(&self, from: Timestamp, until: Timestamp) -> Exposure {
        let ends = self.situations.iter().skip(1).map(|situation| situation.at).chain([Timestamp::MAX]);
        let mut millis: BTreeMap<Percent, f64> = BTreeMap::new();
        for (situation, end) in self.situations.iter().zip(ends) {
            let lasts = end.min(until).as_millis().saturating_sub(situation.at.max(from).as_millis());
            if let Some(percent) = situation.percent.filter(|percent| lasts > 0 && *percent > Percent::default()) {
                *millis.entry(percent).or_default() += lasts as f64;
            }
        }
        let share = |percent: Percent| f64::from(percent.thousandths()) / 1000.0;
        let (mut days, mut below) = (0.0, 0.0);
        for percent in millis.keys() {
            // Whoever is in at a percent is in at every larger one.
            let stay: f64 = millis.range(percent..).map(|(_, millis)| millis).sum();
            days += (share(*percent) - below) / 100.0 * (stay / DAY).min(1.0);
            below = share(*percent);
        }
        let expected = self.plan.traffic.and_then(|traffic| traffic.users_per_day);
        Exposure {
            people: expected.map(|expected| expected * days),
            // The sum of nothing is −0.
            percent_hours: 0.0 + millis.iter().map(|(percent, millis)| share(*percent) * millis / HOUR).sum::<f64>(),
            percent: millis.keys().next_back().copied().unwrap_or_default(),
        }
    }

    pub(super) fn finish(mut self, end: Timestamp) -> Simulation {
        self.end_waits(end, |_| true);
        self.spend(end);
        self.waits.sort_by_key(|wait| (wait.from, wait.kind));
        for open in &mut self.thresholds {
            open.until = open.until.min(end);
        }
        let outcome = match self.progress.as_ref().map(|progress| progress.phase) {
            Some(Phase::Completed) => Outcome::Completed,
            Some(Phase::RolledBack) => Outcome::RolledBack,
            _ if self.blockers.iter().all(|blocker| blocker.until.is_some()) => Outcome::Underway,
            _ => Outcome::Stuck,
        };
        Simulation {
            start: self.start,
            end,
            outcome,
            curves: self.curves(end),
            exposed: self.exposure(self.start, end),
            assumed: self.assumptions(),
            blockers: self.blockers,
            moments: self.moments,
            rollbacks: self.rollbacks,
            time: self.time,
            waits: self.waits,
            looks: self.looks,
        }
    }

    fn curves(&self, end: Timestamp) -> Vec<Curve> {
        let mut curves: Vec<Curve> = Vec::new();
        for threshold in self.thresholds.iter().filter(|threshold| threshold.from < threshold.until) {
            let of = |curve: &&mut Curve| (&curve.metric, curve.quantity) == (&threshold.metric, threshold.quantity);
            match curves.iter_mut().find(of) {
                Some(curve) => curve.thresholds.push(threshold.clone()),
                None => curves.push(Curve {
                    metric: threshold.metric.clone(),
                    quantity: threshold.quantity,
                    description: self.plan.metrics.get(&threshold.metric).and_then(|metric| metric.description.clone()),
                    thresholds: vec![threshold.clone()],
                    points: Vec::new(),
                }),
            }
        }
        for curve in &mut curves {
            if let Some(first) = curve.thresholds.first() {
                curve.points = thinned(self.points(&curve.metric, curve.quantity, first.from, end), end);
            }
        }
        curves
    }

    fn points(&self, metric: &str, quantity: Quantity, from: Timestamp, end: Timestamp) -> Vec<Point> {
        let mut points: Vec<Point> = Vec::new();
        let Some(found) = self.plan.metrics.get(metric) else { return points };
        let mut at = from;
        while at <= end {
            let number = |part| self.number(metric, part, at);
            let number = crate::rollout::guard::Measured::of(found, quantity, number).number;
            if points.last().is_none_or(|last| last.number != number) {
                points.push(Point { at, number });
            }
            let Some(next) = self.changes(metric, at) else { break };
            at = self.tick(next).max(at.plus_millis(1));
        }
        points
    }

    /// What was assumed of metrics of which something was not known, where it became other than before.
    fn assumptions(&self) -> Vec<Assumption> {
        let mut assumptions: Vec<Assumption> = Vec::new();
        let mut last: BTreeMap<&str, &Assumption> = BTreeMap::new();
        let visited: std::collections::BTreeSet<usize> =
            self.situations.iter().map(|situation| situation.place).collect();
        for assumed in visited.iter().filter_map(|place| self.assumed.get(*place)) {
            for (metric, assumption) in assumed {
                let numbers = |one: &Assumption| (one.value, one.baseline, one.samples, one.unmet.clone());
                if last.get(metric.as_str()).is_none_or(|last| numbers(last) != numbers(assumption)) {
                    assumptions.push(assumption.clone());
                }
                last.insert(metric, assumption);
            }
        }
        assumptions
    }
}

/// The points that stand out: of each of many equal stretches of time the first, the lowest, the highest and the last.
fn thinned(points: Vec<Point>, end: Timestamp) -> Vec<Point> {
    let (Some(first), true) = (points.first().copied(), points.len() > MOST_POINTS) else { return points };
    let stretch = end.as_millis().saturating_sub(first.at.as_millis()) / (MOST_POINTS as i64 / 4) + 1;
    let place = |point: &Point| (point.at.as_millis() - first.at.as_millis()) / stretch;
    let mut kept = Vec::new();
    for some in points.chunk_by(|one, other| place(one) == place(other)) {
        let by =
            |one: &&Point, other: &&Point| one.number.unwrap_or(f64::NAN).total_cmp(&other.number.unwrap_or(f64::NAN));
        let numbers = || some.iter().filter(|point| point.number.is_some());
        let outstanding = [some.first(), numbers().min_by(by), numbers().max_by(by), some.last()];
        let mut outstanding: Vec<Point> = outstanding.into_iter().flatten().copied().collect();
        outstanding.sort_by_key(|point| point.at);
        outstanding.dedup();
        kept.extend(outstanding);
    }
    kept
}
