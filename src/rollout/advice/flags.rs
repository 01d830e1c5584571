//! Advice on the flags of a plan: whom a percent lets in, and whom a rollback gets out again.

use std::collections::BTreeSet;

use super::{Advice, Advisor, Stage};
use crate::bucketing;
use crate::snapshot::definitions::{Flag, Path, Percent, Scheme, Serve, Target};

/// So many people are tried to see whom a hash lets in.
const PEOPLE: u32 = 1000;

impl Advisor<'_> {
    pub(super) fn on_flags(&mut self, stages: &[Stage<'_>]) {
        let (plan, definitions) = (self.plan, self.definitions);
        let percents: BTreeSet<Percent> = stages.iter().flat_map(|stage| stage.percents.iter().copied()).collect();
        let some: Vec<Percent> =
            percents.into_iter().filter(|some| *some > Percent::default() && *some < Percent::ALL).collect();
        for (index, key) in plan.flags.iter().enumerate() {
            let Some(flag) = definitions.flags.get(key) else { continue };
            let path = self.path.key("flags").index(index);
            if flag.scheme == Scheme::Js31 {
                self.js31(stages, &path, key, &some);
            }
            let others = plan.flags[..index].iter().filter_map(|other| Some((other, definitions.flags.get(other)?)));
            let cohort = |flag: &Flag| (flag.salt.clone(), flag.scheme, flag.bucket_by().to_owned());
            let other = others.into_iter().find(|(_, other)| cohort(other) != cohort(flag));
            if let (Some((other, _)), Some(percent)) = (other, some.first()) {
                let message = format!(
                    "`{other}` and `{key}` have other people each: at {percent}% hardly anybody who has one has the other"
                );
                let suggestion = "let one flag decide, or give both the same salt, scheme and `bucketBy`";
                self.tell(Advice::DifferentCohorts, &path, message, suggestion);
            }
            self.kill(&path, key, flag);
            self.around(stages, &path, key, flag);
        }
    }

    fn js31(&mut self, stages: &[Stage<'_>], path: &Path, key: &str, some: &[Percent]) {
        let uneven = some.iter().filter_map(|percent| {
            let people = (0..PEOPLE).filter(|user| bucketing::js31(&format!("user-{user}")) < percent.thousandths());
            let share = people.count() as f64 * 100.0 / f64::from(PEOPLE);
            let wanted = f64::from(percent.thousandths()) / 1000.0;
            ((share - wanted).abs() > wanted / 10.0).then(|| format!("{percent}% are {share}%"))
        });
        let uneven: Vec<String> = uneven.collect();
        if !uneven.is_empty() {
            let message = format!(
                "the hash `js31` of `{key}` is uneven: of user-0 to user-{}, {}",
                PEOPLE - 1,
                uneven.join(", ")
            );
            let suggestion = "use `xxh3`; or accept it, where the rollout began under this hash, and go by samples";
            self.tell(Advice::UnevenHash, path, message, suggestion);
        }
        for stage in stages {
            if let Some(percent) = stage.percents.iter().find(|percent| percent.thousandths() % 1000 != 0) {
                let lets = percent.thousandths().div_ceil(1000);
                let message =
                    format!("the hash `js31` of `{key}` knows whole percents only: {percent}% lets in {lets}%");
                self.tell(Advice::WholePercents, &stage.path, message, "write a whole percent");
            }
        }
    }

    fn kill(&mut self, path: &Path, key: &str, flag: &Flag) {
        let variants = flag.all_variants();
        let off = flag.off_variant().and_then(|off| variants.get(off));
        let ramps = flag.default.iter().chain(flag.rules.iter().map(|rule| &rule.serve));
        let mut served = ramps.filter_map(|serve| match serve {
            Serve::Ramp { ramp } => Some(&ramp.serve),
            Serve::Target(_) => None,
        });
        let same = served.next().is_some_and(|first| {
            std::iter::once(first).chain(served).flat_map(names).all(|name| variants.get(name) == off)
        });
        if same {
            let message = format!("killed, `{key}` serves what the new path has, so a rollback changes nothing");
            self.tell(Advice::KillChangesNothing, path, message, "let `off` name the variant of the old path");
        }
    }

    /// Who is in by something that the plan does not move.
    fn around(&mut self, stages: &[Stage<'_>], path: &Path, key: &str, flag: &Flag) {
        let Some(first) = stages.first() else { return };
        let begins = first.first.percent.unwrap_or_default();
        let environments = &self.definitions.environments;
        let pinned = |name: &String| flag.environments.get(name).is_some_and(|there| there.pin.is_some());
        if !environments.is_empty() && environments.iter().all(pinned) {
            let message = format!("`{key}` is pinned in every environment, so the rollout moves nobody");
            self.tell(Advice::PinnedEverywhere, path, message, "take the pin out of the environment that it is for");
        }
        for (name, there) in &flag.environments {
            if let Some(percent) = there.percent.filter(|percent| *percent > begins) {
                let message = format!(
                    "in `{name}`, `{key}` lets {percent}% in before the rollout starts, and its first step {begins}%"
                );
                let suggestion = format!("take the percent of `{name}` out of the flag");
                self.tell(Advice::InBeforeStart, path, message, suggestion);
            }
        }
        let Some(who) = self.unmoved(stages, key, flag).filter(|_| flag.enabled) else { return };
        match first.first.settings.get(key).and_then(|setting| setting.enabled) {
            Some(false) => {
                let message =
                    format!("{who} of `{key}` lets somebody in before the rollout starts, and its first step nobody");
                self.tell(Advice::InBeforeStart, path, message, "write `enabled: false` into the flag");
            }
            _ => {
                let message = format!(
                    "{who} of `{key}` lets somebody in at every step, before the first and where it is 0%, too"
                );
                let suggestion = "move it by the step's `audience`; only killing the flag gets them out";
                self.tell(Advice::NotMoved, path, message, suggestion);
            }
        }
    }

    /// Whether anybody is on the new path at the step whom the plan does not move.
    pub(super) fn others_are_in(&self, stage: &Stage<'_>) -> bool {
        self.plan.flags.iter().any(|key| {
            let Some(flag) = self.definitions.flags.get(key) else { return false };
            let enabled = stage.last.settings.get(key).and_then(|setting| setting.enabled).unwrap_or(flag.enabled);
            enabled && self.unmoved(std::slice::from_ref(stage), key, flag).is_some()
        })
    }

    /// A list or a rule of the flag that serves the new path, and that no step moves.
    fn unmoved(&self, stages: &[Stage<'_>], key: &str, flag: &Flag) -> Option<String> {
        let variants = flag.all_variants();
        let off = flag.off_variant().and_then(|off| variants.get(off));
        let is_new = |name: &str| variants.get(name) != off;
        let listed = flag
            .allow
            .iter()
            .any(|allow| is_new(&allow.variant) && (!allow.keys.is_empty() || !allow.segments.is_empty()));
        if listed {
            return Some("the allow list".to_owned());
        }
        let moved: BTreeSet<&String> = stages
            .iter()
            .filter_map(|stage| stage.last.settings.get(key))
            .flat_map(|setting| setting.rules.keys())
            .collect();
        (0..flag.rules.len()).find_map(|index| {
            let (rule, id) = (&flag.rules[index], flag.rule_id(index).into_owned());
            let target = match &rule.serve {
                Serve::Target(target) => target,
                Serve::Ramp { ramp } if ramp.percent == Some(Percent::default()) => return None,
                Serve::Ramp { ramp } => &ramp.serve,
            };
            let serves = names(target).any(is_new) && !moved.contains(&id);
            serves.then(|| format!("the rule `{id}`"))
        })
    }
}

fn names(target: &Target) -> impl Iterator<Item = &str> {
    let (one, several) = match target {
        Target::Variant(name) => (Some(name.as_str()), &[][..]),
        Target::Split { split } => (None, split.as_slice()),
    };
    one.into_iter().chain(several.iter().map(|share| share.variant.as_str()))
}
