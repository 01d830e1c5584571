//! What a rollout makes of its flags, and what others made of them.

use std::collections::BTreeMap;

use serde::Serialize;

use super::decide::{Blocker, BlockerKind};
use super::plan::{Plan, Setting};
use super::progress::{Phase, Progress};
use crate::Timestamp;
use crate::snapshot::definitions::{Definitions, Flag, FlagState, Percent, PercentState, Serve, State};

/// What others made of a flag that a rollout had set.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ByHand {
    /// The flag.
    pub flag: String,
    /// What was done to it.
    pub what: Deed,
    /// The percent of its ramp, where it has one.
    pub percent: Option<Percent>,
}

/// What others do to flags of rollouts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Deed {
    /// It is killed, and not by the rollout.
    Killed,
    /// The rollout had killed it, and it is not killed any more: its lists and rules let people in.
    Restored,
    /// Its percents are others, or it was enabled or disabled.
    Changed,
}

impl Plan {
    /// What the flags are to be set to.
    pub fn settings(&self, progress: &Progress) -> BTreeMap<String, Setting> {
        let step = self.steps().into_iter().find(|step| Some(&step.name) == progress.step.as_ref());
        let mut settings = step.map_or_else(|| self.zero(), |step| step.settings);
        if let Some(percent) = progress.percent {
            for flag in &self.flags {
                settings.entry(flag.clone()).or_default().percent = Some(percent);
            }
        }
        settings
    }

    /// The percent of the flags' ramps, if the plan says one.
    pub fn percent(&self, progress: &Progress) -> Option<Percent> {
        let settings = self.settings(progress);
        self.flags.iter().find_map(|flag| settings.get(flag)?.percent)
    }

    /// Whether the flags are to be killed: after a rollback to zero nobody is to be on the new path, on no list either.
    pub fn kills(&self, progress: &Progress) -> bool {
        progress.phase == Phase::RolledBack && progress.step.is_none() && progress.percent.is_none()
    }

    /// Which of its flags are killed, by whatever, and which are not.
    pub(crate) fn killed<'p>(&'p self, definitions: &Definitions, state: &State) -> (Vec<&'p str>, Vec<&'p str>) {
        let known = self.flags.iter().filter_map(|key| Some((key, definitions.flags.get(key)?)));
        let (killed, others): (Vec<_>, Vec<_>) = known.partition(|(key, flag)| state.killed(key, flag).is_some());
        let keys = |flags: Vec<(&'p String, &Flag)>| flags.into_iter().map(|(key, _)| key.as_str()).collect();
        (keys(killed), keys(others))
    }

    /// What of the flags keeps the rollout from going on: they are killed, not as the rollout set them, or gone; or
    /// changes are frozen.
    pub fn obstacles(
        &self,
        progress: &Progress,
        definitions: &Definitions,
        state: &State,
        now: Timestamp,
    ) -> Vec<Blocker> {
        let mut obstacles = Vec::new();
        for (key, setting) in self.settings(progress) {
            let Some(flag) = definitions.flags.get(&key) else {
                obstacles.push(Blocker::new(BlockerKind::Plan, format!("there is no flag `{key}` any more")));
                continue;
            };
            if let Some(by) = state.killed(&key, flag) {
                let what = match by.strip_prefix("tag:") {
                    Some(tag) => format!("`{key}` is killed by its tag `{tag}`"),
                    None if by == "all" => "everything is killed".to_owned(),
                    None => format!("`{key}` is killed"),
                };
                obstacles.push(Blocker::new(BlockerKind::Killed, format!("{what}; `restore` or `rollback`")));
            }
            let nothing = FlagState { salt: flag.salt.clone().unwrap_or_default(), ..FlagState::default() };
            let actual = state.flags.get(&key).filter(|state| state.fits(flag)).unwrap_or(&nothing);
            for message in setting.differences(&key, actual) {
                let message = format!("{message}; `resume` sets it as the step says, `rollback` ends the rollout");
                obstacles.push(Blocker::new(BlockerKind::Changed, message));
            }
        }
        obstacles.extend(frozen(state, now));
        obstacles
    }

    /// What others made of the flags of the rollout called `name` since it set them, whatever it is doing.
    pub fn by_hand(&self, name: &str, progress: &Progress, definitions: &Definitions, state: &State) -> Vec<ByHand> {
        let settings = self.settings(progress);
        let of = |key: &String| {
            let (flag, setting) = (definitions.flags.get(key)?, settings.get(key)?);
            let own = state.flags.get(key);
            let nothing = FlagState::default();
            let actual = own.filter(|state| state.fits(flag)).unwrap_or(&nothing);
            let defined = flag.default.as_ref().and_then(|serve| match serve {
                Serve::Ramp { ramp } => ramp.percent,
                Serve::Target(_) => None,
            });
            let percent = actual.percent.default.or(defined);
            let killed_by = own.and_then(|state| state.killed.as_ref()?.rollout.as_deref());
            let changed = match progress.phase {
                // Once it is through, its flags may go back to what is defined, and the same people are in.
                Phase::Completed => percent.zip(setting.percent).is_some_and(|(percent, set)| percent != set),
                _ => !setting.differences(key, actual).is_empty(),
            };
            let what = match state.killed(key, flag).as_deref() {
                Some("flag") if killed_by == Some(name) => return None,
                Some(_) => Deed::Killed,
                None if self.kills(progress) => Deed::Restored,
                None if changed => Deed::Changed,
                None => return None,
            };
            Some(ByHand { flag: key.clone(), what, percent })
        };
        self.flags.iter().filter_map(of).collect()
    }

    /// What keeps anybody from being let in now: a freeze of the environment or of the plan, or that no window is open.
    pub(crate) fn shut(&self, state: &State, now: Timestamp) -> Vec<Blocker> {
        frozen(state, now).into_iter().chain(self.closed(now)).collect()
    }

    /// What of the calendar keeps it from going on.
    pub(crate) fn closed(&self, now: Timestamp) -> Vec<Blocker> {
        let mut closed = Vec::new();
        if let Some(freeze) = self.freezes.iter().find(|freeze| freeze.covers(now)) {
            let why = freeze.reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
            let message = format!("frozen until {}{why}", freeze.until);
            closed.push(Blocker::until(BlockerKind::Freeze, message, freeze.until));
        }
        if !self.windows.is_empty() && !self.windows.iter().any(|window| window.is_open(now)) {
            let opens = self.windows.iter().filter_map(|window| window.opens(now)).min();
            closed.push(match opens {
                Some(opens) => Blocker::until(BlockerKind::Window, format!("the next window opens at {opens}"), opens),
                None => Blocker::new(BlockerKind::Window, "no window of the plan ever opens"),
            });
        }
        closed
    }
}

pub(super) fn frozen(state: &State, now: Timestamp) -> Option<Blocker> {
    let frozen = state.frozen.as_ref().filter(|frozen| frozen.until.is_none_or(|until| now < until))?;
    let message = format!("changes are frozen by {}: {}; `unfreeze` lifts it", frozen.by.author, frozen.by.reason);
    Some(Blocker { until: frozen.until, ..Blocker::new(BlockerKind::Freeze, message) })
}

impl Setting {
    /// Sets the flag so. What it says nothing of is as defined.
    pub(crate) fn set(&self, state: &mut FlagState) {
        state.enabled = self.enabled;
        state.percent = PercentState { default: self.percent, rules: self.rules.clone() };
    }

    /// The same, but nowhere above what the flag is set to, and not enabled where somebody disabled it.
    #[must_use]
    pub(crate) fn no_higher_than(mut self, actual: &FlagState) -> Setting {
        let lower = |wanted: &mut Percent, actual: Option<&Percent>| {
            *wanted = actual.map_or(*wanted, |actual| (*wanted).min(*actual));
        };
        if let Some(wanted) = &mut self.percent {
            lower(wanted, actual.percent.default.as_ref());
        }
        for (rule, wanted) in &mut self.rules {
            lower(wanted, actual.percent.rules.get(rule));
        }
        if actual.enabled == Some(false) {
            self.enabled = actual.enabled;
        }
        self
    }

    fn differences(&self, key: &str, actual: &FlagState) -> Vec<String> {
        let show = |percent: Option<Percent>| percent.map_or("as defined".to_owned(), |percent| format!("{percent}%"));
        let mut differences = Vec::new();
        if self.enabled != actual.enabled {
            let is = match actual.enabled {
                Some(true) => "enabled",
                Some(false) => "disabled",
                None => "as defined",
            };
            differences.push(format!("somebody set `{key}` to be {is}"));
        }
        if self.percent != actual.percent.default {
            let (is, wanted) = (show(actual.percent.default), show(self.percent));
            differences.push(format!("the percent of `{key}` is {is} and not {wanted}"));
        }
        for rule in self.rules.keys().chain(actual.percent.rules.keys().filter(|rule| !self.rules.contains_key(*rule)))
        {
            let (is, wanted) = (actual.percent.rules.get(rule).copied(), self.rules.get(rule).copied());
            if is != wanted {
                differences.push(format!(
                    "the percent of the rule `{rule}` of `{key}` is {} and not {}",
                    show(is),
                    show(wanted)
                ));
            }
        }
        differences
    }
}
