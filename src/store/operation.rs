//! What operators can do, as changes of the state.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use serde_json::{Map, Value, json};

use super::operator::OperationError;
use crate::Timestamp;
use crate::rollout::{BlockerKind, Note, Phase, Plan, Progress, Transition, Verb};
use crate::snapshot::definitions::{
    Allow, Definitions, Exclusion, Flag, FlagState, Frozen, Key, Kill, People, Percent, PercentState, State,
    did_you_mean, list,
};

/// One thing that an operator, or the controller, does to what is published.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Operation {
    /// Serves the off variant, whatever else holds. It always succeeds where the target exists, and undoes nothing: what
    /// was set of the flags stays set underneath. Killing again what is killed records who else did and why.
    Kill(Target),
    /// Lifts a kill: what was there before counts again, exactly. What is not killed stays as it is.
    Restore(Target),
    /// Sets the percent of a ramp in place of the definition's percent or schedule.
    SetPercent {
        /// The flag.
        flag: String,
        /// The rule whose ramp it is, by an id that the definitions write; none for the default's ramp.
        rule: Option<String>,
        /// None goes back to what the definitions say.
        percent: Option<Percent>,
    },
    /// Turns a flag on or off as its definition's `enabled` does.
    SetEnabled {
        /// The flag.
        flag: String,
        /// None goes back to what the definitions say.
        enabled: Option<bool>,
    },
    /// Gives people a variant, before rules and percents are asked. Whom an operator had denied is not any more.
    Allow {
        /// The flag.
        flag: String,
        /// The variant; none for the one besides `off`, where there is just one.
        variant: Option<String>,
        /// People, by what the flag buckets by.
        keys: Vec<Key>,
    },
    /// Gives people the off variant, whatever rules and percents say. Whom an operator had allowed is not any more.
    Deny {
        /// The flag.
        flag: String,
        /// People, by what the flag buckets by.
        keys: Vec<Key>,
    },
    /// Takes people out of the cohort, as a partial rollback does.
    Exclude {
        /// The flag.
        flag: String,
        /// Who, besides those who are excluded already.
        exclusion: Exclusion,
    },
    /// Takes people off the lists that [`Operation::Allow`], [`Operation::Deny`] and [`Operation::Exclude`] put them on;
    /// not off those of the definitions.
    Unlist {
        /// The flag.
        flag: String,
        /// People, by what the flag buckets by.
        keys: Vec<Key>,
    },
    /// Takes back all that [`Operation::Exclude`] did.
    Readmit {
        /// The flag.
        flag: String,
    },
    /// Does something to a rollout, and to the flags what comes of it. A rollback always is done.
    Rollout {
        /// The name of its plan.
        name: String,
        /// What.
        verb: Verb,
    },
    /// Does to a rollout what [`decide`](crate::rollout::decide) said. It is done only while the rollout is as it was decided
    /// upon; a rollback is done for as long as the attempt is the same.
    Decided {
        /// The name of its plan.
        name: String,
        /// How far it has come then.
        progress: Box<Progress>,
    },
    /// No rollout goes on until that time, or until it is lifted. Rollbacks are done.
    Freeze {
        /// Until when; none means until it is lifted.
        until: Option<Timestamp>,
    },
    /// Rollouts may go on.
    Unfreeze,
    /// Drops all that was changed of a flag, except that it is killed: it is as defined again.
    Reset {
        /// The flag.
        flag: String,
    },
}

/// What to kill or to restore. The three are independent: a flag is off while any kill covers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Every flag there is and will be.
    All,
    /// Every flag that has this tag or comes to have it.
    Tag(String),
    /// One flag.
    Flag(String),
}

impl Operation {
    /// Whether it is done whatever others did meanwhile: a kill, or a rollback.
    pub fn always_wins(&self) -> bool {
        match self {
            Operation::Kill(_) => true,
            Operation::Rollout { verb, .. } => {
                matches!(verb, Verb::Rollback { .. } | Verb::Staircase { .. } | Verb::CohortRolledBack)
            }
            // Further down than to zero nobody can have turned meanwhile; all else is decided again.
            Operation::Decided { progress, .. } => {
                progress.last.what == Transition::RolledBack && progress.step.is_none() && progress.percent.is_none()
            }
            _ => false,
        }
    }

    /// Does it to the state. `by` says who kills.
    pub(super) fn apply(&self, definitions: &Definitions, state: &mut State, by: &Kill) -> Result<(), OperationError> {
        match self {
            Operation::Kill(target) => kill(target, definitions, state, by),
            Operation::Restore(target) => restore(target, definitions, state),
            Operation::SetPercent { flag: key, rule, percent } => {
                find(definitions, key)?;
                let percents = &mut changed(definitions, state, key)?.percent;
                match (rule, percent) {
                    (None, percent) => percents.default = *percent,
                    (Some(rule), Some(percent)) => drop(percents.rules.insert(rule.clone(), *percent)),
                    (Some(rule), None) => drop(percents.rules.remove(rule)),
                }
                Ok(())
            }
            Operation::SetEnabled { flag, enabled } => {
                changed(definitions, state, flag)?.enabled = *enabled;
                Ok(())
            }
            Operation::Allow { flag: key, variant, keys } => {
                let flag = find(definitions, key)?;
                let variant = choose_variant(key, flag, variant.as_deref())?;
                named(keys)?;
                let out = |key: &&Key| flag.deny.keys.contains(key) || flag.exclude.keys.contains(key);
                if let Some(Key(out)) = keys.iter().find(out) {
                    return Err(OperationError::Invalid(format!(
                        "the definitions of `{key}` deny or exclude {out:?}, which goes before any allow list; publish \
                         definitions that do not"
                    )));
                }
                let state = changed(definitions, state, key)?;
                state.unlist(keys);
                match state.allow.iter_mut().find(|allow| allow.variant == variant && allow.segments.is_empty()) {
                    Some(allow) => add(&mut allow.keys, keys),
                    None => {
                        let mut allow = Allow { variant, ..Allow::default() };
                        add(&mut allow.keys, keys);
                        state.allow.push(allow);
                    }
                }
                Ok(())
            }
            Operation::Deny { flag, keys } => {
                let state = changed(definitions, state, flag)?;
                named(keys)?;
                state.disallow(keys);
                add(&mut state.deny.keys, keys);
                Ok(())
            }
            Operation::Exclude { flag, exclusion } => {
                let state = changed(definitions, state, flag)?;
                if exclusion.is_empty() {
                    return Err(OperationError::Invalid(
                        "nobody is named; give a key, a segment or a range".to_owned(),
                    ));
                }
                add(&mut state.exclude.keys, &exclusion.keys);
                add(&mut state.exclude.segments, &exclusion.segments);
                add(&mut state.exclude.positions, &exclusion.positions);
                Ok(())
            }
            Operation::Unlist { flag, keys } => {
                let state = changed(definitions, state, flag)?;
                named(keys)?;
                state.unlist(keys);
                Ok(())
            }
            Operation::Readmit { flag } => {
                changed(definitions, state, flag)?.exclude = Exclusion::default();
                Ok(())
            }
            Operation::Reset { flag } => reset(flag, definitions, state).map(drop),
            Operation::Rollout { name, verb } => {
                let plan = plan(definitions, name)?;
                let by = note(by);
                let refused = |why: &dyn Display| OperationError::Invalid(format!("the rollout `{name}`: {why}"));
                if let Some(shut) = plan.shut(state, by.at).first().filter(|_| verb.lets_in()) {
                    return Err(refused(&shut.message));
                }
                let before = state.rollouts.get(name);
                let mut progress = verb.apply(plan, before, &by).map_err(|refusal| refused(&refusal))?;
                // Where flags were changed by hand, to set them again is what is meant, and not to go past a ceiling.
                if let (Verb::Resume, Some(before)) = (verb, before) {
                    let obstacles = plan.obstacles(before, definitions, state, by.at);
                    if obstacles.iter().any(|obstacle| obstacle.kind == BlockerKind::Changed) {
                        progress.resumed = before.resumed;
                    }
                }
                move_rollout(name, plan, progress, definitions, state, &by)
            }
            Operation::Decided { name, progress } => {
                let plan = plan(definitions, name)?;
                let now = state.rollouts.get(name);
                // One that slept for so long that others turned back and began again has nothing to say.
                let stale = |now: &Progress| now.attempt != progress.attempt || now.phase == Phase::RolledBack;
                if self.always_wins() && now.is_none_or(stale) {
                    return Ok(());
                }
                move_rollout(name, plan, (**progress).clone(), definitions, state, &note(by))
            }
            Operation::Freeze { until } => {
                if until.is_some_and(|until| Some(until) <= by.at) {
                    return Err(OperationError::Invalid("the freeze would be over before it begins".to_owned()));
                }
                state.frozen = Some(Frozen { by: note(by), until: *until });
                Ok(())
            }
            Operation::Unfreeze => {
                state.frozen = None;
                Ok(())
            }
        }
    }

    /// What it goes by: where this differs between two versions, an operation decided upon the one is not done to the
    /// other. A kill goes by nothing, so that it always can be done.
    pub(super) fn goes_by(&self, definitions: &Definitions, state: &State) -> Value {
        let of = |key: &String, pick: &dyn Fn(&FlagState) -> FlagState| {
            let flag = definitions.flags.get(key);
            // What was of another salt does not count, just as if it was not there.
            let state = state.flags.get(key).filter(|state| flag.is_some_and(|flag| state.fits(flag)));
            let state = state.map(pick).unwrap_or_default();
            json!({"flags": {key: flag}, "state": {"flags": {key: FlagState { salt: String::new(), ..state }}}})
        };
        match self {
            Operation::Kill(_) => Value::Null,
            Operation::Restore(Target::All) => json!({"state": {"killedAll": state.killed_all}}),
            Operation::Restore(Target::Tag(tag)) => {
                json!({"state": {"killedTags": {tag: state.killed_tags.get(tag)}}})
            }
            Operation::Restore(Target::Flag(key)) => {
                let killed = state.flags.get(key).map(|state| &state.killed);
                json!({"state": {"flags": {key: {"killed": killed}}}})
            }
            Operation::SetPercent { flag, rule, .. } => of(flag, &|state| FlagState {
                percent: match rule {
                    None => PercentState { default: state.percent.default, ..PercentState::default() },
                    Some(rule) => PercentState {
                        rules: state
                            .percent
                            .rules
                            .get_key_value(rule)
                            .map(|(id, p)| (id.clone(), *p))
                            .into_iter()
                            .collect(),
                        ..PercentState::default()
                    },
                },
                ..FlagState::default()
            }),
            Operation::SetEnabled { flag, .. } => {
                of(flag, &|state| FlagState { enabled: state.enabled, ..FlagState::default() })
            }
            Operation::Allow { flag, keys, .. } | Operation::Deny { flag, keys } | Operation::Unlist { flag, keys } => {
                of(flag, &|state| {
                    let of_those = |list: &[Key]| list.iter().filter(|key| keys.contains(key)).cloned().collect();
                    let allow = state.allow.iter().map(|allow| Allow { keys: of_those(&allow.keys), ..allow.clone() });
                    FlagState {
                        allow: allow.filter(|allow| !allow.keys.is_empty()).collect(),
                        deny: People { keys: of_those(&state.deny.keys), ..People::default() },
                        exclude: Exclusion { keys: of_those(&state.exclude.keys), ..Exclusion::default() },
                        ..FlagState::default()
                    }
                })
            }
            Operation::Exclude { flag, .. } | Operation::Readmit { flag } => {
                of(flag, &|state| FlagState { exclude: state.exclude.clone(), ..FlagState::default() })
            }
            Operation::Reset { flag } => of(flag, &|state| FlagState { killed: None, ..state.clone() }),
            _ if self.always_wins() => Value::Null,
            // An alarm is about the step that it comes to, too; it must not be lost because the rollout has just gone on.
            Operation::Rollout { verb: Verb::Hold | Verb::Signal { .. } | Verb::Clear { .. }, .. } => Value::Null,
            Operation::Rollout { name, .. } => {
                json!({"rollouts": {name: definitions.rollouts.get(name)}, "state": {"rollouts": {name: state.rollouts.get(name)}}})
            }
            Operation::Decided { name, .. } => {
                // What was decided goes by what the flags were, too.
                let plan = definitions.rollouts.get(name);
                let moved = plan.map(Plan::zero).unwrap_or_default();
                let flags: Map<String, Value> =
                    moved.keys().map(|key| (key.clone(), json!(definitions.flags.get(key)))).collect();
                let states: Map<String, Value> =
                    moved.keys().map(|key| (key.clone(), json!(state.flags.get(key)))).collect();
                json!({
                    "rollouts": {name: plan}, "flags": flags,
                    "state": {
                        "rollouts": {name: state.rollouts.get(name)}, "flags": states, "frozen": state.frozen,
                        "killedAll": state.killed_all, "killedTags": state.killed_tags,
                    },
                })
            }
            Operation::Freeze { .. } | Operation::Unfreeze => json!({"state": {"frozen": state.frozen}}),
        }
    }
}

/// Takes down how far a rollout has come, and sets its flags so.
fn move_rollout(
    name: &str,
    plan: &Plan,
    progress: Progress,
    definitions: &Definitions,
    state: &mut State,
    by: &Note,
) -> Result<(), OperationError> {
    let what = progress.last.what;
    // What is only noted leaves the flags as people set them.
    let moved = if what.sets_flags() { plan.settings(&progress) } else { BTreeMap::new() };
    for (key, setting) in moved {
        // A flag that is gone stops no rollback of the others.
        if !definitions.flags.contains_key(&key) {
            continue;
        }
        let is_guarded = plan.flags.contains(&key);
        let flag = changed(definitions, state, &key)?;
        match what.goes_down() && is_guarded {
            true => setting.no_higher_than(flag).set(flag),
            false => setting.set(flag),
        }
        if !is_guarded {
            continue;
        }
        if plan.kills(&progress) {
            let Note { author, reason, at } = by.clone();
            let (author, reason, at) = (Some(author), Some(reason), Some(at));
            // Whoever killed it by hand is who may restore it.
            flag.killed.get_or_insert_with(|| Kill { author, reason, at, rollout: Some(name.to_owned()) });
        } else if flag.killed.as_ref().is_some_and(|kill| kill.rollout.as_deref() == Some(name)) {
            flag.killed = None;
        }
    }
    state.rollouts.insert(name.to_owned(), progress);
    Ok(())
}

pub(super) fn plan<'d>(definitions: &'d Definitions, name: &str) -> Result<&'d Plan, OperationError> {
    definitions.rollout(name).map_err(OperationError::Unknown)
}

fn note(by: &Kill) -> Note {
    let Kill { author, reason, at, .. } = by.clone();
    Note { author: author.unwrap_or_default(), reason: reason.unwrap_or_default(), at: at.unwrap_or_default() }
}

fn kill(target: &Target, definitions: &Definitions, state: &mut State, by: &Kill) -> Result<(), OperationError> {
    let killed = match target {
        Target::All => &mut state.killed_all,
        Target::Tag(tag) => {
            let mut tags = tags(definitions);
            if !tags.contains(tag.as_str()) && !state.killed_tags.contains_key(tag) {
                return Err(unknown("no flag has the tag", tag, &mut tags));
            }
            state.killed_tags.entry(tag.clone()).or_insert_with(|| by.clone()).says(by);
            return Ok(());
        }
        Target::Flag(key) => {
            let flag = find(definitions, key)?;
            let salt = flag.salt.clone().unwrap_or_default();
            let fresh = || FlagState { salt, ..FlagState::default() };
            &mut state.flags.entry(key.clone()).or_insert_with(fresh).killed
        }
    };
    killed.get_or_insert_with(|| by.clone()).says(by);
    Ok(())
}

fn restore(target: &Target, definitions: &Definitions, state: &mut State) -> Result<(), OperationError> {
    match target {
        Target::All => state.killed_all = None,
        Target::Tag(tag) => {
            let mut tags = tags(definitions);
            if state.killed_tags.remove(tag).is_none() && !tags.contains(tag.as_str()) {
                tags.extend(state.killed_tags.keys().map(String::as_str));
                return Err(unknown("no flag has the tag", tag, &mut tags));
            }
        }
        Target::Flag(key) => {
            if state.flags.get_mut(key).and_then(|state| state.killed.take()).is_some() {
                return Ok(());
            }
            // It would go on being off, against what the caller believes.
            if let Some(by) = state.killed(key, find(definitions, key)?) {
                return Err(OperationError::Invalid(match by.strip_prefix("tag:") {
                    Some(tag) => format!("`{key}` is not killed by itself but by its tag `{tag}`; restore that"),
                    None => format!("`{key}` is not killed by itself but with everything; restore that"),
                }));
            }
        }
    }
    Ok(())
}

impl Kill {
    /// Takes over who killed and why, unless it is the same again: a request that was sent twice.
    fn says(&mut self, by: &Kill) {
        if (&self.author, &self.reason, &self.rollout) != (&by.author, &by.reason, &by.rollout) {
            *self = by.clone();
        }
    }
}

impl FlagState {
    fn disallow(&mut self, keys: &[Key]) {
        for allow in &mut self.allow {
            allow.keys.retain(|key| !keys.contains(key));
        }
        self.allow.retain(|allow| !allow.keys.is_empty() || !allow.segments.is_empty());
    }

    fn unlist(&mut self, keys: &[Key]) {
        self.disallow(keys);
        self.deny.keys.retain(|key| !keys.contains(key));
        self.exclude.keys.retain(|key| !keys.contains(key));
    }
}

/// Drops what was changed of a flag, all but a kill; whether there was anything to drop.
pub(super) fn reset(key: &str, definitions: &Definitions, state: &mut State) -> Result<bool, OperationError> {
    let Some(old) = state.flags.remove(key) else { return find(definitions, key).map(|_| false) };
    let kept = FlagState { salt: old.salt.clone(), killed: old.killed.clone(), ..FlagState::default() };
    let dropped = kept != old;
    if kept.killed.is_some() {
        state.flags.insert(key.to_owned(), kept);
    }
    Ok(dropped)
}

/// Drops what says nothing: flags of which nothing is changed any more.
pub(super) fn tidy(state: &mut State) {
    state.flags.retain(|_, state| *state != FlagState { salt: state.salt.clone(), ..FlagState::default() });
}

/// What was changed of a flag, to change it further. What was of another salt is gone, except for a kill.
fn changed<'s>(
    definitions: &Definitions,
    state: &'s mut State,
    key: &str,
) -> Result<&'s mut FlagState, OperationError> {
    let salt = find(definitions, key)?.salt.clone().unwrap_or_default();
    let state =
        state.flags.entry(key.to_owned()).or_insert_with(|| FlagState { salt: salt.clone(), ..FlagState::default() });
    if state.salt != salt {
        *state = FlagState { salt, killed: state.killed.take(), ..FlagState::default() };
    }
    Ok(state)
}

fn find<'d>(definitions: &'d Definitions, key: &str) -> Result<&'d Flag, OperationError> {
    let unknown = || unknown("there is no flag", key, &mut definitions.flags.keys().map(String::as_str).collect());
    definitions.flags.get(key).ok_or_else(unknown)
}

fn tags(definitions: &Definitions) -> BTreeSet<&str> {
    definitions.flags.values().flat_map(|flag| &flag.tags).map(String::as_str).collect()
}

fn unknown(what: &str, name: &str, names: &mut BTreeSet<&str>) -> OperationError {
    let hint = did_you_mean(name, names.iter().copied()).unwrap_or_else(|| match names.is_empty() {
        true => "there are none".to_owned(),
        false => format!("there are {}", list(names.iter().copied())),
    });
    OperationError::Unknown(format!("{what} `{name}`; {hint}"))
}

fn choose_variant(key: &str, flag: &Flag, wanted: Option<&str>) -> Result<String, OperationError> {
    let variants = flag.all_variants();
    let names = || list(variants.keys().map(String::as_str));
    match wanted {
        Some(name) if variants.contains_key(name) => Ok(name.to_owned()),
        Some(name) => {
            Err(unknown(&format!("`{key}` has no variant"), name, &mut variants.keys().map(String::as_str).collect()))
        }
        None => {
            let mut others = variants.keys().filter(|name| Some(name.as_str()) != flag.off_variant());
            match (others.next(), others.next()) {
                (Some(name), None) => Ok(name.clone()),
                _ => Err(OperationError::Invalid(format!("`{key}` has {}; say which variant they get", names()))),
            }
        }
    }
}

fn named(keys: &[Key]) -> Result<(), OperationError> {
    match keys {
        [] => Err(OperationError::Invalid("nobody is named; give a key".to_owned())),
        _ => Ok(()),
    }
}

fn add<T: Clone + PartialEq>(list: &mut Vec<T>, more: &[T]) {
    for item in more {
        if !list.contains(item) {
            list.push(item.clone());
        }
    }
}
