//! The next instant at which anything can be other than now.

use std::collections::BTreeMap;

use super::count::Sequential;
use super::{Order, Pace, People, Simulator, is_for_people, order};
use crate::Timestamp;
use crate::rollout::guard::Measured;
use crate::rollout::plan::Test;
use crate::rollout::{Blocker, BlockerKind, Gate, OnNoData, Period, Phase, Progress, Quantity, Trigger};

/// By metric, quantity and condition.
pub(super) type AllRuns = BTreeMap<(String, Quantity, String), Runs>;

pub(super) fn key(test: &Test<'_>) -> (String, Quantity, String) {
    (test.metric.to_owned(), test.quantity, test.condition.to_string())
}

/// What one look finds of a guard's condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Holds,
    Fails,
    /// There is too little to tell.
    Unknown,
    /// There is no value at all.
    Silent,
}

/// What a guard's condition finds from look to look, from where on it is something else.
#[derive(Debug, Default)]
pub(super) struct Runs {
    begins: Vec<(Timestamp, Found)>,
    /// As far as it is known.
    known: Timestamp,
}

impl Runs {
    /// Drops what is from an instant on, since that may have changed.
    pub fn forget(&mut self, now: Timestamp, start: Timestamp, interval: i64) {
        let before = tick(now, start, interval).plus_millis(-interval);
        self.begins.retain(|(at, _)| *at < now);
        self.known = self.known.min(before);
    }

    /// Finds where the next run begins, if that is not after `limit`.
    fn grow(&mut self, simulator: &Simulator<'_>, test: &Test<'_>, limit: Timestamp) -> bool {
        let Some((_, last)) = self.begins.last().copied() else {
            self.begins.push((simulator.start, simulator.found(test, simulator.start)));
            self.known = simulator.start;
            return true;
        };
        while self.known < limit {
            let Some(next) = simulator.changes(test.metric, self.known) else {
                self.known = Timestamp::MAX;
                return false;
            };
            let next = simulator.tick(next);
            if next > limit {
                self.known = next.plus_millis(-simulator.interval);
                return false;
            }
            self.known = next;
            let found = simulator.found(test, next);
            if found != last {
                self.begins.push((next, found));
                return true;
            }
        }
        false
    }

    /// The run that an instant lies in: where it begins, and what it finds.
    pub fn around(&mut self, simulator: &Simulator<'_>, test: &Test<'_>, at: Timestamp) -> Option<(Timestamp, Found)> {
        while self.grow(simulator, test, at) {}
        let behind = self.begins.partition_point(|(begin, _)| *begin <= at);
        self.begins.get(behind.checked_sub(1)?).copied()
    }

    /// The next look at which what lies between it and `back` before it is made up of other runs.
    fn turns(
        &mut self,
        simulator: &Simulator<'_>,
        test: &Test<'_>,
        now: Timestamp,
        back: i64,
        limit: Timestamp,
    ) -> Option<Timestamp> {
        self.around(simulator, test, now);
        let leaves = self.begins.partition_point(|(begin, _)| begin.plus_millis(back) <= now);
        let leaves = self.begins.get(leaves).map(|(begin, _)| begin.plus_millis(back));
        let enters = self.begins.partition_point(|(begin, _)| *begin <= now);
        let limit = leaves.map_or(limit, |leaves| leaves.min(limit));
        if enters == self.begins.len() && !self.grow(simulator, test, limit) {
            return leaves;
        }
        let enters = self.begins.get(enters).map(|(begin, _)| *begin);
        leaves.into_iter().chain(enters).min()
    }

    /// The next look at which nothing but what is wanted lies between it and `back` before it.
    fn opens(
        &mut self,
        simulator: &Simulator<'_>,
        test: &Test<'_>,
        wanted: Found,
        (now, back, limit): (Timestamp, i64, Timestamp),
    ) -> Option<Timestamp> {
        self.around(simulator, test, now);
        let mut place = self.begins.partition_point(|(begin, _)| *begin <= now).saturating_sub(1);
        loop {
            let (begin, found) = *self.begins.get(place)?;
            place += 1;
            let ends = place < self.begins.len() || self.grow(simulator, test, limit);
            let end = self.begins.get(place).map(|(end, _)| *end);
            let opens = begin.plus_millis(back);
            if found == wanted && opens > now && end.is_none_or(|end| opens < end) {
                return Some(opens);
            }
            if !ends || opens > limit {
                return None;
            }
        }
    }
}

/// The first look that is not before an instant.
fn tick(at: Timestamp, start: Timestamp, interval: i64) -> Timestamp {
    let after = at.as_millis().saturating_sub(start.as_millis()).max(0);
    let ticks = after / interval + i64::from(after % interval != 0);
    start.plus_millis(ticks.saturating_mul(interval))
}

impl Simulator<'_> {
    pub(super) fn tick(&self, at: Timestamp) -> Timestamp {
        tick(at, self.start, self.interval)
    }

    pub(super) fn found(&self, test: &Test<'_>, at: Timestamp) -> Found {
        let Some(metric) = self.plan.metrics.get(test.metric) else { return Found::Unknown };
        let measured = Measured::of(metric, test.quantity, |part| self.number(test.metric, part, at));
        match measured.number.map(|number| test.condition.holds(number)) {
            Some(true) => Found::Holds,
            Some(false) => Found::Fails,
            None if measured.value.is_none() => Found::Silent,
            None => Found::Unknown,
        }
    }

    /// The next instant to look at; none where nothing is to come.
    pub(super) fn next(&mut self, now: Timestamp) -> Option<Timestamp> {
        let act = self.acts.front().map(|(at, _)| *at);
        let answer = match (self.people, self.asked) {
            (People::After(delay), Some(asked)) => Some(delay.after(asked)),
            _ => None,
        };
        let sure = act.into_iter().chain(answer).chain(self.clock(now)).filter(|at| *at > now).min();
        let measured = match self.pace {
            Pace::Leaps => self.measured(now, sure.unwrap_or(self.end)),
            #[cfg(test)]
            Pace::Ticks => Some(self.tick(now.plus_millis(1))),
        };
        let next = sure.into_iter().chain(measured).min();
        // A window that opens is of no use where something else is in the way that nothing will ever change.
        let answers = |blocker: &Blocker| is_for_people(blocker) && self.people != People::Absent;
        let hinders = |blocker: &Blocker| blocker.kind != BlockerKind::Window && !answers(blocker);
        if next.is_none() && !self.is_limited && self.blockers.iter().any(hinders) {
            return None;
        }
        next.into_iter().chain(self.windows(now)).min()
    }

    /// When the clock decides something.
    fn clock(&self, now: Timestamp) -> Option<Timestamp> {
        let until = self.blockers.iter().filter_map(|blocker| blocker.until);
        let freezes = self.plan.freezes.iter().map(|freeze| freeze.from);
        let given = self.progress.iter().flat_map(|progress| &progress.attested);
        let requirements = self.step().into_iter().flat_map(|step| &step.requires);
        let expires = requirements.filter_map(|requirement| Some((requirement.called(), requirement.valid_for?)));
        let expires = expires.flat_map(|(what, valid)| {
            given.clone().filter(move |given| given.what == what).map(move |given| valid.after(given.by.at))
        });
        until.chain(freezes).chain(expires).filter(|at| *at > now).min()
    }

    /// When a window opens or closes that matters.
    fn windows(&self, now: Timestamp) -> Option<Timestamp> {
        let is_running = self.progress.as_ref().is_none_or(|progress| progress.phase == Phase::Running);
        let matters = is_running && self.reasons().all(|blocker| order(blocker) >= Order::Other);
        self.plan.windows.iter().filter(|_| matters).filter_map(|window| window.turns(now)).min()
    }

    /// The next look that may find something else, if that is before `limit`.
    fn measured(&mut self, now: Timestamp, limit: Timestamp) -> Option<Timestamp> {
        let mut runs = std::mem::take(&mut self.runs);
        let next = self.measured_by(&mut runs, now, limit);
        self.runs = runs;
        next
    }

    fn measured_by(&self, all: &mut AllRuns, now: Timestamp, limit: Timestamp) -> Option<Timestamp> {
        let progress = self.progress.as_ref()?;
        let (gates, triggers, share) = self.plan.watched(progress, self.step());
        let sequential = Sequential::of(gates, triggers);
        let plain = |test: &Test<'_>| test.sequential.is_none();
        let gates: Vec<Test<'_>> = gates.iter().filter_map(Gate::test).filter(plain).collect();
        let triggers = triggers.iter().filter_map(|trigger| Some((trigger, trigger.test().filter(plain)?)));
        let triggers: Vec<(&Trigger, Test<'_>)> = triggers.collect();
        if gates.is_empty() && triggers.is_empty() && share.is_none() && sequential.is_empty() {
            return None;
        }
        // What is found between two ticks says nothing of the next.
        if self.tick(now) != now {
            return Some(self.tick(now));
        }
        let tests = || gates.iter().chain(triggers.iter().map(|(_, test)| test));
        let begins = tests().flat_map(|test| self.begins(progress, test));
        let shared = share.into_iter().flat_map(|share| [self.changes(share, now), Some(progress.since)]);
        let shared = shared.flatten().map(|at| self.tick(at));
        let mut next = begins.chain(shared).filter(|at| *at > now).min();
        let mut run = |test: &Test<'_>, look: &mut dyn FnMut(&mut Runs, i64, Timestamp) -> Option<Timestamp>| {
            let runs = all.entry(key(test)).or_default();
            let limit = next.map_or(limit, |next| next.min(limit));
            let found = look(runs, self.back(test), limit).filter(|at| *at > now);
            next = next.into_iter().chain(found).min();
        };
        // As long as it has to stay where it is, only triggers that open change anything.
        let is_waiting =
            progress.phase == Phase::Running && self.reasons().all(|blocker| order(blocker) >= Order::Other);
        let looks_at_all = is_waiting || progress.phase == Phase::RolledBack;
        if looks_at_all {
            for test in tests() {
                run(test, &mut |runs, back, limit| runs.turns(self, test, now, back, limit));
            }
        } else {
            for (trigger, test) in &triggers {
                run(test, &mut |runs, back, limit| runs.opens(self, test, Found::Holds, (now, back, limit)));
                if trigger.on_no_data == OnNoData::Act {
                    run(test, &mut |runs, back, limit| runs.opens(self, test, Found::Silent, (now, back, limit)));
                }
            }
        }
        for guard in sequential.into_iter().filter(|guard| looks_at_all || guard.is_trigger()) {
            let limit = next.map_or(limit, |next| next.min(limit));
            let found = self.decides(&guard, progress, now, limit, looks_at_all);
            next = next.into_iter().chain(found).min();
        }
        next
    }

    /// How far back a guard looks, in milliseconds.
    fn back(&self, test: &Test<'_>) -> i64 {
        self.plan.looks_back(test).millis().cast_signed()
    }

    /// The looks at which a guard may come to count anything, and to count enough.
    fn begins(&self, progress: &Progress, test: &Test<'_>) -> impl Iterator<Item = Timestamp> {
        let window = self.plan.metrics.get(test.metric).map_or(Period::ZERO, |metric| metric.window());
        let since = [Some(progress.started), Some(progress.entered), Some(progress.since), progress.reviewed];
        let first = since.into_iter().flatten().flat_map(move |at| [at, window.after(at)]).map(|at| self.tick(at));
        let back = self.back(test);
        first.flat_map(move |first| [first, first.plus_millis(back)])
    }
}
