//! Advice on gates and triggers: which numbers let the rollout go on, which stop it, and what lies between.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::{Advice, Advisor, Placed, Stage};
use crate::rollout::condition::Condition;
use crate::rollout::plan::{Action, Gate, Guard, OnNoData, Quantity, Test, Trigger};

/// A place between two numbers: just before the number, or just after it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Cut {
    at: f64,
    after: bool,
}

impl Eq for Cut {}

impl Ord for Cut {
    fn cmp(&self, other: &Cut) -> Ordering {
        self.at.total_cmp(&other.at).then(self.after.cmp(&other.after))
    }
}

impl PartialOrd for Cut {
    fn partial_cmp(&self, other: &Cut) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Cut {
    const LOWEST: Cut = Cut { at: f64::NEG_INFINITY, after: false };
    const HIGHEST: Cut = Cut { at: f64::INFINITY, after: true };
    const ZERO: Cut = Cut { at: 0.0, after: false };

    /// The same place among 1 − x. An improvement is 1 − ratio.
    fn of_one_less(self) -> Cut {
        // There is no negative zero among them, which would come before zero.
        Cut { at: 1.0 - self.at + 0.0, after: !self.after }
    }
}

/// The numbers between two places.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Range {
    from: Cut,
    to: Cut,
}

impl Range {
    fn of(quantity: Quantity, condition: &Condition) -> Range {
        let ((from, with_from), (to, with_to)) = condition.bounds();
        let from = if from.is_finite() { Cut { at: from + 0.0, after: !with_from } } else { Cut::LOWEST };
        let to = if to.is_finite() { Cut { at: to + 0.0, after: with_to } } else { Cut::HIGHEST };
        let range = Range { from, to };
        match quantity {
            Quantity::Improvement => Range { from: range.to.of_one_less(), to: range.from.of_one_less() },
            _ => range,
        }
    }

    /// Whether all of the other's numbers are among these.
    fn holds(&self, other: &Range) -> bool {
        self.from <= other.from && other.to <= self.to
    }

    /// Without its ends, where it has two. `a..b` has no other way to be written.
    fn inside(self) -> Range {
        match self.from.at.is_finite() && self.to.at.is_finite() && self.from.at < self.to.at {
            true => Range { from: Cut { after: true, ..self.from }, to: Cut { after: false, ..self.to } },
            false => self,
        }
    }

    fn is_one_number(&self) -> bool {
        self.from.at == self.to.at
    }
}

/// What is compared: an improvement is a ratio, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Scale {
    Value,
    Ratio,
    Delta,
}

impl Scale {
    fn of(quantity: Quantity) -> Scale {
        match quantity {
            Quantity::Value => Scale::Value,
            Quantity::Ratio | Quantity::Improvement => Scale::Ratio,
            Quantity::Delta => Scale::Delta,
        }
    }

    /// The numbers that it can be. What is counted and measured is no less than nothing, and so are its ratios.
    fn all(self) -> Range {
        match self {
            Scale::Ratio => Range { from: Cut::ZERO, to: Cut::HIGHEST },
            Scale::Value | Scale::Delta => Range { from: Cut::LOWEST, to: Cut::HIGHEST },
        }
    }
}

/// A gate or a trigger on a number.
struct On<'s, G> {
    placed: &'s Placed<G>,
    test: Test<'s>,
    range: Range,
}

impl<'s, G: Guard> On<'s, G> {
    fn new(placed: &'s Placed<G>, test: Test<'s>) -> On<'s, G> {
        On { placed, range: Range::of(test.quantity, test.condition), test }
    }
}

/// Numbers for which the same gates hold and the same triggers act.
#[derive(Clone, Copy)]
struct Region {
    range: Range,
    well: bool,
    /// What is done, and by which of the triggers.
    acts: Option<(Action, usize)>,
}

/// All that looks at one number in a step.
#[derive(Default)]
struct Group<'s> {
    gates: Vec<On<'s, Gate>>,
    triggers: Vec<On<'s, Trigger>>,
}

impl Group<'_> {
    fn regions(&self, all: Range) -> Vec<Region> {
        let ranges = || self.gates.iter().map(|on| on.range).chain(self.triggers.iter().map(|on| on.range));
        let mut cuts: Vec<Cut> = ranges().flat_map(|range| [range.from, range.to]).chain([all.from, all.to]).collect();
        cuts.retain(|cut| (all.from..=all.to).contains(cut));
        cuts.sort();
        cuts.dedup();
        let regions = cuts.windows(2).map(|pair| {
            let range = Range { from: pair[0], to: pair[1] };
            let acts = self.triggers.iter().enumerate().filter(|(_, on)| on.range.holds(&range));
            let acts = acts.map(|(index, on)| (on.placed.guard.action(), index)).max_by_key(|(action, _)| *action);
            Region { range, well: self.gates.iter().all(|on| on.range.holds(&range)), acts }
        });
        regions.collect()
    }

    /// As it is written, in percent or not.
    fn show(&self, from: Cut, to: Cut) -> String {
        let tests = self.gates.iter().map(|on| &on.test).chain(self.triggers.iter().map(|on| &on.test));
        let percent = tests.clone().any(|test| test.condition.to_string().contains('%'));
        let number = |at: f64| match percent {
            true => format!("{}%", round(at * 100.0)),
            false => round(at).to_string(),
        };
        match (from.at.is_finite(), to.at.is_finite()) {
            (true, true) => format!("from {} to {}", number(from.at), number(to.at)),
            (true, false) => format!("above {}", number(from.at)),
            (false, true) => format!("below {}", number(to.at)),
            (false, false) => "everywhere".to_owned(),
        }
    }

    /// Every gate and trigger, in a sentence.
    fn told(&self) -> String {
        let gates = self.gates.iter().map(|on| format!("the gate wants {}", asked(&on.test)));
        let triggers =
            self.triggers.iter().map(|on| format!("the trigger {} acts on {}", called(on.placed), asked(&on.test)));
        gates.chain(triggers).collect::<Vec<_>>().join(", ")
    }
}

fn round(number: f64) -> f64 {
    (number * 1e6).round() / 1e6
}

fn asked(test: &Test<'_>) -> String {
    match test.quantity {
        Quantity::Value => format!("`{}`", test.condition),
        quantity => format!("`{quantity} {}`", test.condition),
    }
}

fn called<G: Guard>(placed: &Placed<G>) -> String {
    format!("{:?}", placed.name())
}

fn groups<'s>(stage: &'s Stage<'_>) -> BTreeMap<(&'s str, Scale), Group<'s>> {
    let mut groups: BTreeMap<(&str, Scale), Group<'s>> = BTreeMap::new();
    for placed in &stage.gates {
        if let Some(test) = placed.guard.test() {
            groups.entry((test.metric, Scale::of(test.quantity))).or_default().gates.push(On::new(placed, test));
        }
    }
    for placed in &stage.triggers {
        if let Some(test) = placed.guard.test() {
            groups.entry((test.metric, Scale::of(test.quantity))).or_default().triggers.push(On::new(placed, test));
        }
    }
    groups
}

impl Advisor<'_> {
    pub(super) fn on_guards(&mut self, stages: &[Stage<'_>]) {
        for stage in stages {
            for ((metric, scale), group) in groups(stage) {
                let regions = group.regions(scale.all());
                if regions.iter().any(|region| region.well && region.acts.is_none()) {
                    self.between(metric, &group, &regions);
                    self.holes(metric, &group, &regions);
                    self.never_decides(&group);
                } else {
                    self.never_well(metric, &group);
                }
            }
            self.loosened(stage);
            self.longer_than_soak(stage);
        }
    }

    fn never_well(&mut self, metric: &str, group: &Group<'_>) {
        let gate = group.gates.last().map(|on| &on.placed.path);
        let Some(path) = gate.or(group.triggers.last().map(|on| &on.placed.path)) else { return };
        let message = format!("whatever `{metric}` is, the rollout never goes on: {}", group.told());
        let suggestion = "leave numbers for which the gates hold and no trigger acts";
        self.tell(Advice::NeverWell, path, message, suggestion);
    }

    /// What lies between gates and triggers, and what both of them are about.
    fn between(&mut self, metric: &str, group: &Group<'_>, regions: &[Region]) {
        let Some(gate) = group.gates.last() else { return };
        let regions: Vec<&Region> = regions.iter().filter(|region| !region.range.is_one_number()).collect();
        for region in regions.iter().filter(|region| region.well) {
            let Some((_, by)) = region.acts else { continue };
            let trigger = &group.triggers[by];
            let message = format!(
                "{} the gate on `{metric}` holds, and the trigger {} acts",
                group.show(region.range.from, region.range.to),
                called(trigger.placed)
            );
            let later = if trigger.placed.step > gate.placed.step { &trigger.placed.path } else { &gate.placed.path };
            self.tell(Advice::Contradiction, later, message, "let the gate ask for what no trigger acts on");
        }
        // Runs of numbers for which nothing holds and nothing acts, and what is on both sides of each.
        for run in regions.chunk_by(|a, b| idle(a) && idle(b)).filter(|run| idle(&run[0])) {
            let (from, to) = (run[0].range.from, run[run.len() - 1].range.to);
            let before = regions.iter().rfind(|region| region.range.to.at <= from.at);
            let behind = regions.iter().find(|region| region.range.from.at >= to.at);
            let (Some(before), Some(behind)) = (before, behind) else { continue };
            if (before.well && behind.acts.is_some()) || (before.acts.is_some() && behind.well) {
                let message =
                    format!("{} `{metric}` only keeps the rollout waiting, and nobody is told", group.show(from, to));
                let suggestion =
                    "a trigger of severity `warning` holds it and says so; accept this if waiting is meant";
                let path = &gate.placed.path;
                self.tell_once(Advice::OnlyWaits, metric.to_owned(), path, message, suggestion);
            }
        }
    }

    /// Away from the numbers that are well, what is done only becomes more.
    fn holes(&mut self, metric: &str, group: &Group<'_>, regions: &[Region]) {
        if group.triggers.is_empty() {
            return;
        }
        let regions: Vec<&Region> = regions.iter().filter(|region| !region.range.is_one_number()).collect();
        let well = |region: &&&Region| region.well && region.acts.is_none();
        let starts: Vec<usize> = match group.gates.is_empty() {
            false => regions.iter().position(|region| well(&region)).into_iter().collect(),
            // Where no gate says what is well, it is the side on which nothing acts; if that is both, neither can be.
            true => {
                let ends = [regions.first(), regions.last()].map(|end| end.is_some_and(|end| end.acts.is_none()));
                match ends {
                    [true, false] => vec![0],
                    [false, true] => vec![regions.len() - 1],
                    [true, true] => vec![0, regions.len() - 1],
                    [false, false] => regions.iter().position(|region| well(&region)).into_iter().collect(),
                }
            }
        };
        for start in starts {
            let up = regions[start..].to_vec();
            let down = regions[..=start].iter().rev().copied().collect();
            for way in [up, down] {
                let mut worst: Option<&Region> = None;
                for region in way {
                    let (now, before) = (region.acts.map(|acts| acts.0), worst.and_then(|worst| worst.acts));
                    if let (Some(worst), Some((action, by))) = (worst, before)
                        && now < Some(action)
                    {
                        let done = now.map_or("nothing is done", |now| match now {
                            Action::Hold => "it is only held",
                            _ => "it is turned back less far",
                        });
                        let message = format!(
                            "{} {done}, though {} the trigger {} acts on `{metric}`",
                            group.show(region.range.from, region.range.to),
                            group.show(worst.range.from, worst.range.to),
                            called(group.triggers[by].placed)
                        );
                        let suggestion = "let one trigger begin where the other ends";
                        self.tell(Advice::Hole, &group.triggers[by].placed.path, message, suggestion);
                    }
                    if now >= before.map(|before| before.0) {
                        worst = Some(region);
                    }
                }
            }
        }
    }

    fn never_decides(&mut self, group: &Group<'_>) {
        for (index, idle) in group.gates.iter().enumerate() {
            let stricter = group.gates.iter().enumerate().find(|(other, strict)| {
                // A gate that is stricter from a later step on leaves this one to decide before.
                let since = idle.placed.step > strict.placed.step
                    || (idle.placed.step == strict.placed.step && (index > *other || idle.range != strict.range));
                *other != index
                    && since
                    && idle.test.sequential == strict.test.sequential
                    && idle.range.holds(&strict.range)
                    && self.span(&strict.test) >= self.span(&idle.test)
            });
            if let Some((_, strict)) = stricter {
                let message =
                    format!("the gate {} never decides: {} asks for more", called(idle.placed), called(strict.placed));
                self.tell(Advice::NeverDecides, &idle.placed.path, message, SAME_NAME);
            }
        }
        for (index, idle) in group.triggers.iter().enumerate() {
            let sooner = group.triggers.iter().enumerate().find(|(other, first)| {
                let (this, that) = (&idle.placed.guard, &first.placed.guard);
                let same = idle.range == first.range && this.action() == that.action();
                // Whoever puts one in the place of another by its name knows what was there.
                let knowingly = first.placed.before.is_some() && first.placed.step > idle.placed.step;
                *other != index
                    && first.test.sequential == idle.test.sequential
                    && first.range.holds(&idle.range.inside())
                    && that.action() >= this.action()
                    && self.span(&first.test) <= self.span(&idle.test)
                    && (this.on_no_data == OnNoData::Hold || that.on_no_data == OnNoData::Act)
                    && !(same && self.span(&first.test) == self.span(&idle.test) && index < *other)
                    && !knowingly
            });
            if let Some((_, first)) = sooner {
                let later = if first.placed.step > idle.placed.step { first.placed } else { idle.placed };
                let message = format!(
                    "the trigger {} never acts here: {} does as much, at the same numbers and no later",
                    called(idle.placed),
                    called(first.placed)
                );
                let about = idle.placed.path.to_string();
                self.tell_once(Advice::NeverDecides, about, &later.path, message, SAME_NAME);
            }
        }
    }

    fn loosened(&mut self, stage: &Stage<'_>) {
        let range = |test: &Test<'_>| Range::of(test.quantity, test.condition);
        let alike = |a: &Test<'_>, b: &Test<'_>| a.metric == b.metric && Scale::of(a.quantity) == Scale::of(b.quantity);
        for gate in &stage.gates {
            let (Some(now), Some(before)) = (gate.guard.test(), gate.before.as_ref().and_then(Gate::test)) else {
                continue;
            };
            if alike(&now, &before) && range(&now) != range(&before) && range(&now).holds(&range(&before)) {
                let message =
                    format!("the gate {} wants {}, and wanted {} before", called(gate), asked(&now), asked(&before));
                self.tell(Advice::Loosened, &gate.path, message, STRICTER);
            }
        }
        for trigger in &stage.triggers {
            let (Some(now), Some(before)) = (trigger.guard.test(), trigger.before.as_ref().and_then(Trigger::test))
            else {
                continue;
            };
            if alike(&now, &before) && range(&now) != range(&before) && range(&before).holds(&range(&now)) {
                let message = format!(
                    "the trigger {} acts on {}, and acted on {} before",
                    called(trigger),
                    asked(&now),
                    asked(&before)
                );
                self.tell(Advice::Loosened, &trigger.path, message, STRICTER);
            }
        }
    }

    fn longer_than_soak(&mut self, stage: &Stage<'_>) {
        let soak = stage.step.soak;
        for gate in stage.gates.iter().filter(|_| !soak.is_zero()) {
            let Some(takes) = gate.guard.test().map(|test| self.takes(&test)).filter(|takes| *takes > soak) else {
                continue;
            };
            let name = &stage.first.name;
            let message = format!(
                "at {name} the gate {} holds after {takes} at the earliest, and the soak is {soak}",
                called(gate)
            );
            self.tell(Advice::LongerThanSoak, &gate.path, message, "let the soak say how long the step lasts");
        }
    }
}

fn idle(region: &&Region) -> bool {
    !region.well && region.acts.is_none()
}

const SAME_NAME: &str = "give both the same `name` if one is to take the other's place, or take one out";
const STRICTER: &str = "more people are in by then, so it should hardly be less strict";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range(quantity: Quantity, text: &str) -> Range {
        Range::of(quantity, &text.parse().unwrap())
    }

    #[test]
    fn an_improvement_is_a_ratio() {
        assert_eq!(range(Quantity::Improvement, ">= 30%"), range(Quantity::Ratio, "<= 0.7"));
        assert_eq!(range(Quantity::Improvement, "< 0"), range(Quantity::Ratio, "> 1"));
        let all = Scale::Ratio.all();
        assert!(!all.holds(&range(Quantity::Improvement, "> 100%")));
    }

    proptest! {
        #[test]
        fn ranges_hold_what_conditions_do(text in "(<|<=|>|>=) [0-9]|[0-4]\\.\\.[5-9]", other in "(<|<=|>|>=) [0-9]|[0-4]\\.\\.[5-9]") {
            let (a, b): (Condition, Condition) = (text.parse().unwrap(), other.parse().unwrap());
            let numbers = (-4..44).map(|number| f64::from(number) / 4.0);
            let all_of_b = numbers.filter(|number| b.holds(*number)).all(|number| a.holds(number));
            prop_assert_eq!(Range::of(Quantity::Value, &a).holds(&Range::of(Quantity::Value, &b)), all_of_b);
        }
    }
}
