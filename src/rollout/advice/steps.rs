//! Advice on steps, and on what people must say.

use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};

use super::{Advice, Advisor, Stage};
use crate::rollout::plan::{Action, Requirement, Series};
use crate::snapshot::definitions::{Path, Percent};

impl Advisor<'_> {
    pub(super) fn on_steps(&mut self, stages: &[Stage<'_>]) {
        let mut before = Percent::default();
        for (place, stage) in stages.iter().enumerate() {
            let next = stages.get(place + 1);
            if let Some(series) = &stage.step.series {
                self.overshoot(&stage.path.key("series"), series);
            }
            self.as_named(stage);
            let from = [before].into_iter().chain(stage.percents.iter().copied());
            let mut moves = from.zip(&stage.percents);
            let leaps =
                |(from, to): &(Percent, &Percent)| to.minus(*from).thousandths() > Percent::ALL.thousandths() / 2;
            if let Some((from, to)) = moves.find(leaps) {
                let message = format!("from {from}% it goes to {to}% at once");
                self.tell(Advice::Leap, &stage.path, message, "put steps between, so that fewer meet what goes wrong");
            }
            self.two_audiences(stage, place.checked_sub(1).map(|before| &stages[before]));
            for flag in self.plan.flags.iter().filter(|_| stage.last.percent.is_some()) {
                if stage.step.set.get(flag).is_some_and(|setting| setting.percent.is_some()) {
                    let path = stage.path.key("set").key(flag).key("percent");
                    let message = format!("the step's own percent, {}%, wins over this one", stage.percent());
                    self.tell(Advice::SetIgnored, &path, message, "take one of the two out");
                }
            }
            let kept = !stage.last.requires.is_empty() || stage.step.ceiling || !stage.gates.is_empty();
            let waits = next.is_none_or(|next| next.first.starts.is_some());
            if stage.is_open(self.plan) && stage.step.soak.is_zero() && !kept && !waits {
                let message =
                    format!("nothing keeps the rollout at {}: no soak, no gate, nobody's word", stage.last.name);
                self.tell(Advice::NoSoak, &stage.path, message, "write a `soak`");
            }
            if stage.step.cleanup {
                self.cleanup(stage, &stages[..place]);
            }
            before = stage.percent();
        }
        self.rollbacks(stages);
        self.people(stages);
    }

    fn overshoot(&mut self, path: &Path, series: &Series) {
        let mut at = series.from;
        let percents = series.percents();
        let steps: Vec<String> = percents.iter().map(|percent| format!("{percent}%")).collect();
        for after in &percents[1..] {
            let pace = series.by.iter().enumerate().find(|(_, pace)| pace.below.is_none_or(|below| at < below));
            if let Some((index, pace)) = pace {
                let path = path.key("by").index(index);
                let reached = at.plus(pace.add);
                let suggestion = format!("the steps are {}; write those that you mean", steps.join(", "));
                let add = pace.add;
                match pace.below.filter(|below| *below < series.to) {
                    _ if reached.is_none_or(|reached| reached > series.to) => {
                        let message = format!(
                            "from {at}% the pace of {add} leads past the series' end, which is {}%, and is cut short there",
                            series.to
                        );
                        self.tell(Advice::Overshoot, &path, message, suggestion);
                    }
                    Some(below) if reached.is_some_and(|reached| reached > below) => {
                        let message = format!(
                            "from {at}% the pace of {add} leads to {after}%, past {below}%, where it is to end"
                        );
                        self.tell(Advice::Overshoot, &path, message, suggestion);
                    }
                    _ => {}
                }
            }
            at = *after;
        }
    }

    fn as_named(&mut self, stage: &Stage<'_>) {
        let (Some(name), None, Some(percent)) = (&stage.step.name, &stage.step.series, stage.last.percent) else {
            return;
        };
        let digits = |c: char| !c.is_ascii_digit() && c != '.';
        let mut named = name.match_indices('%').filter_map(|(place, _)| {
            let before = name[..place].trim_end();
            before.rsplit(digits).next()?.parse::<Percent>().ok()
        });
        if let (Some(named), None) = (named.next(), named.next())
            && named != percent
        {
            let message = format!("the step is called {name:?}, and lets in {percent}%");
            self.tell(Advice::NotAsNamed, &stage.path.key("name"), message, "make the one say what the other does");
        }
    }

    fn two_audiences(&mut self, stage: &Stage<'_>, before: Option<&Stage<'_>>) {
        let rule = |stage: &Stage<'_>, rule: &String| {
            let mut settings = self.plan.flags.iter().filter_map(|flag| stage.last.settings.get(flag));
            settings.find_map(|setting| setting.rules.get(rule).copied()).unwrap_or_default()
        };
        let wider =
            |(id, percent): &(&String, &Percent)| **percent > before.map(|before| rule(before, id)).unwrap_or_default();
        let widened = stage.step.audience.iter().find(wider).map(|(id, percent)| (id.clone(), *percent));
        if let Some((id, percent)) = widened
            && stage.percent() > before.map(Stage::percent).unwrap_or_default()
        {
            let message = format!(
                "the step lets in {percent}% of whom `{id}` is for, and {}% of all others besides",
                stage.percent()
            );
            self.tell(Advice::TwoAudiences, &stage.path, message, "let the one go first, if only the one is meant");
        }
    }

    fn cleanup(&mut self, stage: &Stage<'_>, before: &[Stage<'_>]) {
        let percent = stage.percent();
        let ramped = stage.last.percent.is_some();
        if ramped && percent < Percent::ALL {
            let message = format!("the old path is taken out while {percent}% are on the new one");
            self.tell(Advice::CleanupTooEarly, &stage.path, message, "put a step with `percent: 100` before it");
        } else if ramped {
            let full = before.iter().filter(|stage| stage.percent() == Percent::ALL);
            let soaks = full.chain([stage]).any(|stage| !stage.step.soak.is_zero());
            if !soaks {
                let message = "the old path is taken out as soon as everyone is on the new one";
                self.tell(Advice::CleanupTooEarly, &stage.path, message, "write a `soak` into the step with 100 %");
            }
        }
        for flag in &self.plan.flags {
            let Some(found) = self.definitions.flags.get(flag) else { continue };
            let who = self.definitions.left_behind(flag, found);
            if !who.is_empty() {
                let message = format!("`{flag}` keeps some on the old path when that is taken out: {}", who.join(", "));
                self.tell(Advice::LeftBehind, &stage.path, message, "take them over before, or do not take it out");
            }
        }
    }

    fn rollbacks(&mut self, stages: &[Stage<'_>]) {
        let acts = |stage: &Stage<'_>| stage.triggers.iter().any(|trigger| trigger.guard.action() > Action::Hold);
        if let Some(stage) = stages.iter().find(|stage| stage.is_open(self.plan)).filter(|stage| !acts(stage)) {
            let message =
                format!("at {} somebody is on the new path, and nothing turns the rollout back", stage.first.name);
            self.tell(Advice::NothingTurnsItBack, &stage.path, message, "write `triggers`, were it only a signal");
        }
        let checks = self.plan.after_rollback.as_ref();
        if !self.plan.metrics.is_empty() && checks.is_none_or(|after| after.share.is_none() && after.gates.is_empty()) {
            let message = "nothing is looked at after a rollback, so nobody is told if it changes nothing";
            let suggestion = "write `afterRollback` with the metric of the new path's `share` of traffic";
            self.tell(Advice::UnverifiedRollback, &self.path.clone(), message, suggestion);
        }
    }

    fn people(&mut self, stages: &[Stage<'_>]) {
        let mut asked: BTreeSet<&str> = BTreeSet::new();
        // Where it is asked for first, and whether it was said that once is enough.
        let mut first: BTreeMap<(&str, Option<&str>), (&str, bool)> = BTreeMap::new();
        for stage in stages {
            for (index, requirement) in stage.step.requires.iter().enumerate() {
                let path = stage.path.key("requires").index(index);
                let what = requirement.called();
                asked.extend(requirement.role());
                if let Some(valid) = requirement.valid_for.filter(|valid| *valid <= self.plan.interval()) {
                    let message =
                        format!("{what} is valid for {valid}, and is looked at every {}", self.plan.interval());
                    self.tell(Advice::ExpiresAtOnce, &path.key("validFor"), message, "let it be valid for longer");
                }
                let Requirement { attestation: Some(attestation), valid_for, .. } = requirement else { continue };
                let still_counts = valid_for.is_none_or(|valid| valid > self.lasts(stage));
                match first.entry((attestation, requirement.role())) {
                    Entry::Vacant(first) => drop(first.insert((&stage.last.name, false))),
                    Entry::Occupied(mut first) if still_counts && !first.get().1 => {
                        first.get_mut().1 = true;
                        let before = first.get().0;
                        let message =
                            format!("whoever attests to {attestation:?} at {before} has done so for here, too");
                        let suggestion = "write `validFor`, no longer than the step lasts, if it is to be said anew";
                        self.tell(Advice::SaidOnce, &path, message, suggestion);
                    }
                    Entry::Occupied(_) => {}
                }
            }
        }
        for role in self.plan.roles.keys().filter(|role| !asked.contains(role.as_str())) {
            let path = self.path.key("roles").key(role);
            let message = format!("no step requires anything of the role `{role}`");
            self.tell(Advice::UnusedRole, &path, message, "require its `approval` somewhere, or take it out");
        }
    }
}
