//! What operators' verbs and controllers change, over what definitions say.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::problem::{Path, Problem, Severity, did_you_mean};
use super::{Allow, Change, Definitions, Exclusion, Flag, People, Percent, Serve, diff};
use crate::Timestamp;
use crate::rollout::{Note, Progress};

/// What operators and controllers changed. It overrides definitions field by field and survives publishing.
///
/// ```
/// use flagstone::snapshot::definitions::State;
///
/// let state: State = serde_json::from_str(r#"{
///     "killedTags": {"payments": {"reason": "provider down", "author": "dana"}},
///     "flags": {"use_new_gateway": {"salt": "use_new_gateway-1", "percent": {"default": 25}}}
/// }"#)?;
/// assert_eq!(state.flags["use_new_gateway"].percent.default.unwrap().thousandths(), 25_000);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct State {
    /// Every flag serves its off variant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub killed_all: Option<Kill>,
    /// Every flag with one of these tags serves its off variant.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub killed_tags: BTreeMap<String, Kill>,
    /// What changed of one flag, by its key.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub flags: BTreeMap<String, FlagState>,
    /// How far rollouts have come, by the names of their plans.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub rollouts: BTreeMap<String, Progress>,
    /// No rollout goes on. Rollbacks do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frozen: Option<Frozen>,
}

/// That no rollout goes on: who said so, and for how long.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Frozen {
    /// Who, why and when.
    pub by: Note,
    /// Until then; absent means until somebody lifts it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// That something was killed: why, by whom and when.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Kill {
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// By whom.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// The rollout that did it when it was turned back, and that lifts it when it begins again; none where somebody did it by
    /// hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollout: Option<String>,
}

/// What changed of one flag. It holds for the salt it was made for: a new salt has new cohorts, which begin as defined.
/// Only a kill holds on, since nothing but its lifting may undo it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FlagState {
    /// The flag's salt when this was changed.
    pub salt: String,
    /// The flag serves its off variant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub killed: Option<Kill>,
    /// In place of the flag's `enabled`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// In place of the percents and schedules of its ramps.
    #[serde(default, skip_serializing_if = "PercentState::is_empty")]
    pub percent: PercentState,
    /// Before the flag's own entries.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<Allow>,
    /// Besides the flag's own.
    #[serde(default, skip_serializing_if = "People::is_empty")]
    pub deny: People,
    /// Besides the flag's own.
    #[serde(default, skip_serializing_if = "Exclusion::is_empty")]
    pub exclude: Exclusion,
}

/// Percents of ramps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PercentState {
    /// Of the default's ramp.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<Percent>,
    /// Of rules' ramps, by the rules' ids.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub rules: BTreeMap<String, Percent>,
}

impl PercentState {
    fn is_empty(&self) -> bool {
        self.default.is_none() && self.rules.is_empty()
    }
}

impl State {
    /// What of this state does not fit the definitions: errors where it would say nothing sensible (a percent for what
    /// is no ramp), warnings where it does not apply (a flag or tag that is gone, a flag with another salt).
    pub fn lint(&self, definitions: &Definitions) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut report = |severity, path: &Path, message: String, suggestion: Option<String>| {
            problems.push(Problem::new(severity, path, message, suggestion));
        };
        for tag in self.killed_tags.keys() {
            let tags = definitions.flags.values().flat_map(|flag| &flag.tags).map(String::as_str);
            if !tags.clone().any(|other| other == tag) {
                let path = Path::default().key("state").key("killedTags").key(tag);
                let suggestion = did_you_mean(tag, tags);
                report(Severity::Warning, &path, format!("no flag has the tag `{tag}` that is killed"), suggestion);
            }
        }
        for (key, state) in &self.flags {
            let path = Path::default().key("state").key("flags").key(key);
            let Some(flag) = definitions.flags.get(key) else {
                let suggestion = did_you_mean(key, definitions.flags.keys().map(String::as_str));
                report(
                    Severity::Warning,
                    &path,
                    format!("the state of `{key}` does not apply: there is no such flag"),
                    suggestion,
                );
                continue;
            };
            if !state.fits(flag) {
                let kept = if state.killed.is_some() { ", except that it is killed" } else { "" };
                let salt = flag.salt.as_deref().unwrap_or_default();
                let message = format!(
                    "the state of `{key}` does not apply{kept}: it is of the salt `{}`, the flag has `{salt}`",
                    state.salt
                );
                report(Severity::Warning, &path.key("salt"), message, None);
                continue;
            }
            let path = path.key("percent");
            let percents = state.percent.default.is_some() || !state.percent.rules.is_empty();
            if let Some((environment, variant)) = flag.pinned().filter(|_| percents) {
                let message =
                    format!("`{key}` is pinned to `{variant}` in `{environment}`, so it has no percent to set");
                let suggestion = Some("take the pin out of the definitions, or reset the flag".to_owned());
                report(Severity::Error, &path, message, suggestion);
                continue;
            }
            if state.percent.default.is_some() && !matches!(flag.default, Some(Serve::Ramp { .. })) {
                let message = format!("the default of `{key}` is no ramp, so it has no percent to set");
                let suggestion =
                    Some("write it as `default: {ramp: {percent: .., serve: ..}}`, or reset the flag".to_owned());
                report(Severity::Error, &path.key("default"), message, suggestion);
            }
            for id in state.percent.rules.keys() {
                let path = path.key("rules").key(id);
                match (0..flag.rules.len()).find(|index| flag.rule_id(*index) == *id) {
                    Some(index) if flag.rules[index].id.is_none() => {
                        let message = format!(
                            "the rule `{id}` of `{key}` is called so by its place alone, so its percent would go to \
                             whichever rule comes to stand there"
                        );
                        report(Severity::Error, &path, message, Some(format!("write `id: {id}` into it")));
                    }
                    Some(index) if matches!(flag.rules[index].serve, Serve::Ramp { .. }) => {}
                    Some(_) => {
                        let message = format!("the rule `{id}` of `{key}` serves no ramp, so it has no percent to set");
                        let suggestion =
                            Some("write it as `serve: {ramp: {percent: .., serve: ..}}`, or reset the flag".to_owned());
                        report(Severity::Error, &path, message, suggestion);
                    }
                    None => {
                        let ids: Vec<_> = (0..flag.rules.len()).map(|index| flag.rule_id(index)).collect();
                        let suggestion = did_you_mean(id, ids.iter().map(AsRef::as_ref));
                        let suggestion = suggestion.or_else(|| Some("reset the flag".to_owned()));
                        report(Severity::Error, &path, format!("`{key}` has no rule `{id}`"), suggestion);
                    }
                }
            }
        }
        for (name, progress) in self.rollouts.iter().filter(|(_, progress)| progress.is_active()) {
            let path = Path::default().key("state").key("rollouts").key(name);
            let step = progress.step.as_deref().unwrap_or_default();
            let Some(plan) = definitions.rollouts.get(name) else {
                let message = format!("the rollout `{name}` is under way at {step}, and its plan is gone");
                report(Severity::Error, &path, message, Some("put the plan back, or roll back first".to_owned()));
                continue;
            };
            if !plan.steps().iter().any(|other| other.name == step) {
                let message = format!("the rollout `{name}` is at the step `{step}`, which its plan has no more");
                report(Severity::Error, &path, message, Some("put the step back, or roll back first".to_owned()));
            }
        }
        for (name, progress) in &self.rollouts {
            let Some(plan) = definitions.rollouts.get(name) else { continue };
            let path = Path::default().key("state").key("rollouts").key(name);
            let (killed, others) = plan.killed(definitions, self);
            if progress.is_active() && !killed.is_empty() {
                let message = format!("the rollout `{name}` stays where it is: {} killed", are(&killed));
                report(Severity::Warning, &path, message, Some("`restore` lets it go on".to_owned()));
            }
            if plan.kills(progress) && !others.is_empty() {
                let message = format!(
                    "the rollout `{name}` was rolled back, and {} not killed any more: whom lists and rules name may be on the \
                     new path",
                    are(&others)
                );
                let suggestion = "`rollout retry` begins it again, `kill` takes everyone off".to_owned();
                report(Severity::Warning, &path, message, Some(suggestion));
            }
        }
        problems
    }

    /// The definitions as this state leaves them, all but the kills.
    pub fn apply(&self, definitions: &Definitions) -> Definitions {
        let mut applied = definitions.clone();
        for (key, state) in &self.flags {
            if let Some(flag) = applied.flags.get_mut(key).filter(|flag| state.fits(flag)) {
                state.apply(flag);
            }
        }
        applied
    }

    /// The edits from one version of the definitions to the next that do nothing, since this state has another value in
    /// their place: what must be reset for them to count. Kills are not among them.
    ///
    /// ```
    /// use flagstone::snapshot::definitions::{Definitions, Source, State};
    ///
    /// let read = |text: &str| Definitions::read(&[Source::new("flags.yaml", text)]).unwrap();
    /// let before = read("flags: {beta: {salt: beta-1, default: {ramp: {percent: 5, serve: on}}}}");
    /// let after = read("flags: {beta: {salt: beta-1, owner: dana, default: {ramp: {percent: 10, serve: on}}}}");
    /// let state: State = serde_json::from_str(r#"{"flags": {"beta": {"salt": "beta-1", "percent": {"default": 25}}}}"#)?;
    /// let overridden = state.overridden(&before, &after);
    /// assert_eq!(overridden.len(), 1);
    /// assert_eq!(overridden[0].path, "flags.beta.default.ramp.percent");
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub fn overridden(&self, before: &Definitions, after: &Definitions) -> Vec<Change> {
        // Additions to lists override nothing, and would shift the places by which lists are compared.
        let replaces = |state: &FlagState| FlagState {
            salt: state.salt.clone(),
            enabled: state.enabled,
            percent: state.percent.clone(),
            ..FlagState::default()
        };
        let flags = self.flags.iter().map(|(key, state)| (key.clone(), replaces(state))).collect();
        let state = State { flags, ..State::default() };
        let effective = diff(&state.apply(before), &state.apply(after));
        let counts = |edit: &Change| effective.iter().any(|e| e.path == edit.path && e.after == edit.after);
        diff(before, after).into_iter().filter(|edit| !counts(edit)).collect()
    }

    /// This state for the next version of the definitions: a flag that loses the tag it was killed by is killed by
    /// itself from then on, for publishing never undoes a kill.
    ///
    /// ```
    /// use flagstone::snapshot::definitions::{Definitions, Source, State};
    ///
    /// let read = |text: &str| Definitions::read(&[Source::new("flags.yaml", text)]).unwrap();
    /// let before = read("flags: {beta: {salt: beta-1, tags: [payments], default: on}}");
    /// let after = read("flags: {beta: {salt: beta-1, default: on}}");
    /// let state: State = serde_json::from_str(r#"{"killedTags": {"payments": {"reason": "provider down"}}}"#)?;
    /// let kept = state.keep_kills(&before, &after);
    /// assert_eq!(kept.killed("beta", &after.flags["beta"]).as_deref(), Some("flag"));
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    #[must_use]
    pub fn keep_kills(&self, before: &Definitions, after: &Definitions) -> State {
        let mut state = self.clone();
        for (key, flag) in after.flags.iter().filter(|(_, flag)| self.killing_tag(flag).is_none()) {
            let Some((_, kill)) = before.flags.get(key).and_then(|flag| self.killing_tag(flag)) else { continue };
            let salt = flag.salt.clone().unwrap_or_default();
            let fresh = || FlagState { salt, ..FlagState::default() };
            state.flags.entry(key.clone()).or_insert_with(fresh).killed.get_or_insert_with(|| kill.clone());
        }
        state
    }

    /// The first of the flag's tags, by name, that is killed.
    fn killing_tag(&self, flag: &Flag) -> Option<(&String, &Kill)> {
        flag.tags.iter().filter_map(|tag| self.killed_tags.get_key_value(tag)).min_by_key(|(tag, _)| *tag)
    }

    /// What killed the flag, as a snapshot says it: `all`, `tag:NAME` or `flag`.
    pub fn killed(&self, key: &str, flag: &Flag) -> Option<String> {
        if self.killed_all.is_some() {
            return Some("all".to_owned());
        }
        if let Some((tag, _)) = self.killing_tag(flag) {
            return Some(format!("tag:{tag}"));
        }
        self.flags.get(key).and_then(|state| state.killed.as_ref()).map(|_| "flag".to_owned())
    }
}

/// Names, and the verb that goes with as many.
fn are(keys: &[&str]) -> String {
    format!("{} {}", super::list(keys.iter().copied()), if keys.len() == 1 { "is" } else { "are" })
}

impl FlagState {
    pub(crate) fn fits(&self, flag: &Flag) -> bool {
        flag.salt.as_ref() == Some(&self.salt)
    }

    fn apply(&self, flag: &mut Flag) {
        flag.enabled = self.enabled.unwrap_or(flag.enabled);
        for index in 0..flag.rules.len() {
            let percent = self.percent.rules.get(&*flag.rule_id(index)).copied();
            set(&mut flag.rules[index].serve, percent);
        }
        if let Some(default) = &mut flag.default {
            set(default, self.percent.default);
        }
        flag.allow.splice(0..0, self.allow.iter().cloned());
        flag.deny.keys.extend_from_slice(&self.deny.keys);
        flag.deny.segments.extend_from_slice(&self.deny.segments);
        flag.exclude.keys.extend_from_slice(&self.exclude.keys);
        flag.exclude.segments.extend_from_slice(&self.exclude.segments);
        flag.exclude.positions.extend_from_slice(&self.exclude.positions);
    }
}

/// An operator's percent suspends the schedule.
pub(super) fn set(serve: &mut Serve, percent: Option<Percent>) {
    if let (Serve::Ramp { ramp }, Some(percent)) = (serve, percent) {
        ramp.percent = Some(percent);
        ramp.schedule = None;
    }
}
