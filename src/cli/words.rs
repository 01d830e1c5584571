//! What changed, in sentences for people. Programs read the changes themselves.

use std::collections::BTreeSet;

use flagstone::rollout::{Phase, Plan, Progress, Transition};
use flagstone::snapshot::definitions::{Definitions, FlagState, Kill, Percent, State, diff};

/// So many names are told one by one.
const MOST_NAMES: usize = 6;

/// What became of the state, a line each.
pub fn of_state(definitions: &Definitions, before: &State, after: &State) -> Vec<String> {
    let mut lines = Vec::new();
    let rollouts = before.rollouts.keys().chain(after.rollouts.keys()).collect::<BTreeSet<_>>();
    for name in rollouts {
        match (before.rollouts.get(name), after.rollouts.get(name)) {
            (was, Some(is)) if was != Some(is) => {
                lines.push(format!("rollout `{name}`: {}", of_rollout(definitions.rollouts.get(name), is)));
            }
            (Some(_), None) => lines.push(format!("rollout `{name}`: forgotten")),
            _ => {}
        }
    }
    if before.frozen != after.frozen {
        lines.push(match &after.frozen {
            Some(frozen) => match frozen.until {
                Some(until) => format!("rollouts frozen until {until}"),
                None => "rollouts frozen".to_owned(),
            },
            None => "rollouts go on again".to_owned(),
        });
    }
    lines.extend(
        of_kill(before.killed_all.as_ref(), after.killed_all.as_ref()).map(|verb| format!("{verb} every flag")),
    );
    for tag in before.killed_tags.keys().chain(after.killed_tags.keys()).collect::<BTreeSet<_>>() {
        let verb = of_kill(before.killed_tags.get(tag), after.killed_tags.get(tag));
        lines.extend(verb.map(|verb| format!("{verb} every flag tagged `{tag}`")));
    }
    let nothing = FlagState::default();
    for key in before.flags.keys().chain(after.flags.keys()).collect::<BTreeSet<_>>() {
        let [was, is] = [before, after].map(|state| state.flags.get(key).unwrap_or(&nothing));
        lines.extend(of_kill(was.killed.as_ref(), is.killed.as_ref()).map(|verb| format!("{verb} `{key}`")));
        lines.extend(of_flag(was, is).into_iter().map(|change| format!("`{key}` {change}")));
    }
    lines
}

/// What became of the definitions: which flags, segments and rollouts are new or other than before, and which are gone.
pub fn of_definitions(before: &Definitions, after: &Definitions) -> Vec<String> {
    let there = serde_json::to_value(after).unwrap_or_default();
    let mut sections: Vec<((&str, &str), Vec<&str>)> = Vec::new();
    let changes = diff(before, after);
    for change in &changes {
        let (section, rest) = change.path.split_once(['.', '[']).unwrap_or((&change.path, ""));
        let name = rest.strip_prefix('"').and_then(|quoted| quoted.split_once("\"]")).map(|(name, _)| name);
        let name = name.unwrap_or_else(|| rest.split(['.', '[']).next().unwrap_or_default());
        let of_section = &there[section];
        let is_gone = if of_section.is_object() { of_section.get(name).is_none() } else { of_section.is_null() };
        let verb = if is_gone { "removed" } else { "defined" };
        let known = sections.iter().position(|(other, _)| *other == (verb, section));
        let place = known.unwrap_or_else(|| {
            sections.push(((verb, section), Vec::new()));
            sections.len() - 1
        });
        if !name.is_empty() && !sections[place].1.contains(&name) {
            sections[place].1.push(name);
        }
    }
    let line = |((verb, section), names): ((&str, &str), Vec<&str>)| {
        let quoted: Vec<String> = names.iter().take(MOST_NAMES).map(|name| format!("`{name}`")).collect();
        let more = names.len().saturating_sub(MOST_NAMES);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let names = if names.is_empty() { String::new() } else { format!(": {}{more}", quoted.join(", ")) };
        format!("{verb} {section}{names}")
    };
    sections.into_iter().map(line).collect()
}

/// What happened to a rollout, and where that left it.
fn of_rollout(plan: Option<&Plan>, progress: &Progress) -> String {
    let what = progress.last.in_words();
    let percent = plan.and_then(|plan| plan.percent(progress));
    let preposition = match progress.last.what {
        Transition::Advanced | Transition::SteppedDown | Transition::RolledBack | Transition::Lowered => "to",
        _ => "at",
    };
    let place = match (&progress.step, percent) {
        (None, _) if progress.phase == Phase::RolledBack && progress.percent.is_none() => "zero".to_owned(),
        (Some(step), Some(percent)) if *step != format!("{percent}%") => format!("{step}, {percent}%"),
        (Some(step), _) => step.clone(),
        (None, Some(percent)) => format!("{percent}%"),
        (None, None) => return what,
    };
    format!("{what} {preposition} {place}")
}

fn of_kill(was: Option<&Kill>, is: Option<&Kill>) -> Option<&'static str> {
    match (was, is) {
        (None, Some(_)) => Some("killed"),
        (Some(_), None) => Some("restored"),
        (Some(was), Some(is)) if was != is => Some("killed again"),
        _ => None,
    }
}

fn of_flag(was: &FlagState, is: &FlagState) -> Vec<String> {
    let percent = |percent: Option<Percent>| percent.map_or("as defined".to_owned(), |percent| format!("{percent}%"));
    let mut changes = Vec::new();
    if was.percent.default != is.percent.default {
        changes.push(format!("{}, was {}", percent(is.percent.default), percent(was.percent.default)));
    }
    for rule in was.percent.rules.keys().chain(is.percent.rules.keys()).collect::<BTreeSet<_>>() {
        let [was, is] = [was, is].map(|state| state.percent.rules.get(rule).copied());
        if was != is {
            changes.push(format!("rule `{rule}` {}, was {}", percent(is), percent(was)));
        }
    }
    if was.enabled != is.enabled {
        let enabled = |enabled: Option<bool>| match enabled {
            Some(true) => "enabled",
            Some(false) => "disabled",
            None => "enabled or not as defined",
        };
        changes.push(enabled(is.enabled).to_owned());
    }
    let lists = [
        ("allow list", was.allow != is.allow),
        ("deny list", was.deny != is.deny),
        ("excluded cohorts", was.exclude != is.exclude),
    ];
    // Whom exactly is personal, and stands in the changes.
    changes.extend(lists.into_iter().filter(|(_, differs)| *differs).map(|(list, _)| format!("{list} changed")));
    changes
}
