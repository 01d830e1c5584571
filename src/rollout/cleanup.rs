//! What is left to do once everyone is on the new path.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde::Serialize;
use serde_json::Value;

use super::period::Period;
use super::plan::{Arms, Plan, Setting};
use super::progress::{Attested, Decided, Passage, Phase, Progress};
use super::report::{cell, coarse, minute};
use crate::Timestamp;
use crate::snapshot::definitions::{Definitions, Flag, Percent, Prerequisite, Ramp, Serve, State, Target};

/// What is left to do once everyone is on the new path: the flags, the old path and the plan go.
///
/// Serialized it is for programs; [`Cleanup::markdown`] is a checklist for people.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cleanup {
    /// The name of the plan.
    pub rollout: String,
    /// The environment.
    pub environment: String,
    /// Why it is too early; empty where it is time.
    pub too_early: Vec<String>,
    /// Since when everyone is on the new path; none where not everyone is.
    pub since: Option<Timestamp>,
    /// The decision that let everyone in.
    pub decision: Option<Decided>,
    /// What people attested to and approved of on the way.
    pub attested: Vec<Attested>,
    /// The flags to take out.
    pub flags: Vec<FlagCleanup>,
    /// Segments that nothing else uses.
    pub segments: Vec<String>,
    /// Layers that nothing else uses.
    pub layers: Vec<String>,
    /// Holdouts that nothing else uses.
    pub holdouts: Vec<String>,
    /// Other flags that the rollout set, and what to. They are as defined once the rollout is gone.
    pub set: BTreeMap<String, Setting>,
    /// The labels of the two paths in metrics.
    pub arms: Arms,
    /// The queries of the plan's metrics, by name.
    pub queries: BTreeMap<String, String>,
    /// What the last step requires and nobody has attested to yet.
    pub requires: Vec<String>,
}

/// What is left of a flag.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FlagCleanup {
    /// The flag's key.
    pub flag: String,
    /// Who answers for it.
    pub owner: Option<String>,
    /// The variant that everyone gets, where it is one.
    pub variant: Option<String>,
    /// Its value.
    pub value: Option<Value>,
    /// The ids of its rules.
    pub rules: Vec<String>,
    /// Flags that need it, which must do without it first.
    pub needed_by: Vec<String>,
    /// Who is on the old path still.
    pub left_behind: Vec<String>,
    /// The environments that it is pinned in, and to what.
    pub pins: BTreeMap<String, String>,
}

/// Somewhere that names a flag.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// What it is.
    pub kind: PlaceKind,
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: u64,
    /// The flag.
    pub flag: String,
    /// As it is spelt there.
    pub spelling: String,
    /// The line.
    pub text: String,
}

/// What names a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum PlaceKind {
    /// Code, or what configures it.
    Code,
    /// Code that `flagstone types` writes anew.
    Generated,
    /// Definitions of flags, and plans of rollouts.
    Definitions,
    /// A dashboard.
    Dashboard,
    /// Documentation.
    Documentation,
}

impl Plan {
    /// What is left to do of the rollout of that name: `passages` are all that the log has of it, newest first.
    pub fn cleanup(
        &self,
        name: &str,
        environment: &str,
        definitions: &Definitions,
        state: &State,
        passages: &[Passage],
        now: Timestamp,
    ) -> Cleanup {
        let progress = state.rollouts.get(name);
        let actual = state.apply(&definitions.in_environment(environment));
        let ramped = self.steps.iter().any(|step| step.percent.is_some() || step.series.is_some());
        let amiss = self.flags.iter().filter_map(|key| {
            let flag = actual.flags.get(key)?;
            let percent = match &flag.default {
                Some(Serve::Ramp { ramp }) if ramped => ramp.percent,
                _ => None,
            };
            let what = match percent {
                _ if state.killed(key, flag).is_some() => "is killed".to_owned(),
                _ if !flag.enabled => "is disabled".to_owned(),
                Some(percent) if percent < Percent::ALL => format!("is at {percent}%"),
                _ => return None,
            };
            Some(format!("{key} {what}"))
        });
        let amiss: Vec<String> = amiss.collect();
        let full = |passage: &&Passage| {
            passage.progress.phase != Phase::RolledBack && self.percent(&passage.progress) == Some(Percent::ALL)
        };
        let first = passages.iter().take_while(full).last().filter(|_| amiss.is_empty());
        let others = |key: &&String| !self.flags.contains(key);
        let flags = self.flags.iter().filter_map(|key| Some((key, definitions.flags.get(key)?)));
        let requires = self.steps.last().map_or(&[][..], |step| &step.requires).iter();
        let missing = requires.filter(|requirement| {
            let mut given = progress.into_iter().flat_map(|progress| &progress.attested);
            let called = requirement.called();
            requirement.attestation.is_some()
                && !given.any(|given| given.what == called && requirement.counts(given, now))
        });
        let queries = self.metrics.iter().map(|(metric, found)| {
            (metric.clone(), self.fill(&found.query, &self.arms.new, found.window(), environment))
        });
        Cleanup {
            rollout: name.to_owned(),
            environment: environment.to_owned(),
            since: first.map(|passage| passage.progress.last.at),
            decision: first.map(|passage| passage.progress.last.clone()),
            attested: progress.map_or_else(Vec::new, |progress| progress.attested.clone()),
            flags: flags.map(|(key, flag)| definitions.flag_cleanup(key, flag, actual.flags.get(key))).collect(),
            segments: definitions.left_alone(&self.flags),
            layers: definitions.alone(&self.flags, |flag| flag.layer.iter().map(|layer| layer.name.as_str()).collect()),
            holdouts: definitions.alone(&self.flags, |flag| flag.holdouts.iter().map(String::as_str).collect()),
            set: progress.map_or_else(BTreeMap::new, |progress| {
                self.settings(progress)
                    .into_iter()
                    .filter(|(key, setting)| others(&key) && *setting != Setting::default())
                    .collect()
            }),
            arms: self.arms.clone(),
            queries: queries.collect(),
            requires: missing.map(|requirement| requirement.called()).collect(),
            too_early: self.unfinished(progress, now).into_iter().chain(amiss).collect(),
        }
    }

    /// What of the plan's own steps is left before the old path may go.
    fn unfinished(&self, progress: Option<&Progress>, now: Timestamp) -> Option<String> {
        let Some(progress) = progress else { return Some("the rollout was not started".to_owned()) };
        let steps = self.steps();
        let step = steps.iter().find(|step| Some(&step.name) == progress.step.as_ref());
        match (progress.phase, step) {
            (Phase::Completed, _) => None,
            (Phase::Held, _) => {
                let why = progress
                    .held
                    .as_ref()
                    .map_or(String::new(), |held| format!(" by {}: {}", held.author, held.reason));
                Some(format!("the rollout is held{why}"))
            }
            (Phase::RollingBack | Phase::RolledBack, _) => Some("the rollout was turned back".to_owned()),
            (Phase::Running, None) => Some("the rollout is at a step that its plan does not have any more".to_owned()),
            (Phase::Running, Some(step)) if !step.cleanup => {
                let last = steps.iter().find(|step| step.cleanup).map_or("through", |step| step.name.as_str());
                Some(format!("the rollout is at {}, and not at {last} yet", step.name))
            }
            (Phase::Running, Some(step)) => {
                let over = step.soak.after(progress.entered);
                (over > now).then(|| format!("{} lasts until {}", step.name, minute(over)))
            }
        }
    }
}

impl Definitions {
    fn flag_cleanup(&self, key: &str, flag: &Flag, actual: Option<&Flag>) -> FlagCleanup {
        let variant = actual.unwrap_or(flag).stays().map(str::to_owned);
        let needs = |other: &Flag| other.prerequisites.iter().any(|prerequisite| prerequisite.flag == key);
        let pins = flag.environments.iter().filter_map(|(name, there)| Some((name.clone(), there.pin.clone()?)));
        FlagCleanup {
            flag: key.to_owned(),
            owner: flag.owner.clone(),
            value: variant.as_ref().and_then(|variant| flag.all_variants().get(variant).cloned()),
            variant,
            rules: (0..flag.rules.len()).map(|index| flag.rule_id(index).into_owned()).collect(),
            needed_by: self.flags.iter().filter(|(_, other)| needs(other)).map(|(key, _)| key.clone()).collect(),
            left_behind: self.left_behind(key, actual.unwrap_or(flag)),
            pins: pins.collect(),
        }
    }

    /// Who stays on the old path however high the flag's percent is.
    pub(super) fn left_behind(&self, key: &str, flag: &Flag) -> Vec<String> {
        let mut who = Vec::new();
        let needs = flag.prerequisites.iter().filter(|needed| !self.is_met_for_all(needed, &mut vec![key]));
        who.extend(needs.map(|needed| format!("those for whom `{}` is not as it needs it", needed.flag)));
        let stays = flag.stays();
        let otherwise = |serve: &Serve| variant(serve) != stays;
        let rules = flag.rules.iter().enumerate().filter(|(_, rule)| otherwise(&rule.serve));
        who.extend(rules.map(|(index, _)| format!("those whom its rule `{}` serves otherwise", flag.rule_id(index))));
        let lists = flag.allow.iter().filter(|list| Some(list.variant.as_str()) != stays);
        who.extend(lists.map(|list| format!("those whom a list gives `{}`", list.variant)));
        if !flag.deny.keys.is_empty() || !flag.deny.segments.is_empty() {
            who.push("those on its deny list".to_owned());
        }
        if !flag.exclude.is_empty() {
            who.push("those who are excluded".to_owned());
        }
        let holds = |name: &&String| self.holdouts.get(*name).is_some_and(|held| held.percent > Percent::default());
        who.extend(flag.holdouts.iter().filter(holds).map(|name| format!("those held out by `{name}`")));
        let ranges = flag.layer.iter().flat_map(|layer| &layer.ranges);
        let width: u32 = ranges.map(|[from, to]| to.minus(*from).thousandths()).sum();
        let layer = flag.layer.as_ref().filter(|_| width < Percent::ALL.thousandths());
        who.extend(layer.map(|layer| format!("those outside its part of `{}`", layer.name)));
        who
    }

    /// Whether a prerequisite is sure to hold for everyone, by the definitions alone. `on_the_way` are the flags that led here.
    fn is_met_for_all<'d>(&'d self, needed: &'d Prerequisite, on_the_way: &mut Vec<&'d str>) -> bool {
        let Some(other) = self.flags.get(&needed.flag).filter(|_| !on_the_way.contains(&needed.flag.as_str())) else {
            return false;
        };
        on_the_way.push(&needed.flag);
        let stays = other.stays().filter(|_| other.enabled && other.is_for_all());
        let fits = stays.is_some_and(|variant| needed.accepted().any(|wanted| wanted == variant));
        fits && self.left_behind(&needed.flag, other).is_empty()
    }

    /// The names that these flags use and no other does.
    fn alone<'d>(&'d self, flags: &[String], names: impl Fn(&'d Flag) -> BTreeSet<&'d str>) -> Vec<String> {
        let (gone, kept): (Vec<_>, Vec<_>) = self.flags.iter().partition(|(key, _)| flags.contains(key));
        let kept: BTreeSet<&str> = kept.into_iter().flat_map(|(_, flag)| names(flag)).collect();
        let gone: BTreeSet<&str> = gone.into_iter().flat_map(|(_, flag)| names(flag)).collect();
        gone.difference(&kept).map(|name| (*name).to_owned()).collect()
    }

    /// The segments that only these flags use, and no segment that stays.
    fn left_alone(&self, flags: &[String]) -> Vec<String> {
        let mut alone: BTreeSet<String> = self.alone(flags, |flag| self.segments_of(flag)).into_iter().collect();
        loop {
            let stay = self.segments.iter().filter(|(name, _)| !alone.contains(*name));
            let named: BTreeSet<&str> =
                stay.flat_map(|(_, segment)| segment.when.iter().flat_map(|when| when.named_segments())).collect();
            let before = alone.len();
            alone.retain(|name| !named.contains(name.as_str()));
            if alone.len() == before {
                return alone.into_iter().collect();
            }
        }
    }
}

impl Flag {
    /// The variant that everyone gets in the end, where it is one.
    fn stays(&self) -> Option<&str> {
        self.default.as_ref().and_then(variant)
    }

    /// Whether the default serves everyone who comes to it.
    fn is_for_all(&self) -> bool {
        match &self.default {
            Some(Serve::Ramp { ramp }) => ramp.percent == Some(Percent::ALL),
            Some(Serve::Target(_)) | None => true,
        }
    }
}

/// The variant that is served, where it is one.
fn variant(serve: &Serve) -> Option<&str> {
    match serve {
        Serve::Ramp { ramp: Ramp { serve: Target::Variant(name), .. } } | Serve::Target(Target::Variant(name)) => {
            Some(name)
        }
        _ => None,
    }
}

impl Cleanup {
    /// The checklist in Markdown, with the places that name the flags, sorted. `files` is how many were searched.
    pub fn markdown(&self, places: &[Place], files: usize, now: Timestamp) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut text, places, files, now);
        text
    }

    fn write(&self, out: &mut String, places: &[Place], files: usize, now: Timestamp) -> std::fmt::Result {
        writeln!(out, "# Cleanup after the rollout `{}`\n", self.rollout)?;
        match (self.since, &self.decision) {
            (Some(since), Some(decision)) => {
                let passed = now.as_millis().saturating_sub(since.as_millis());
                let passed = coarse(Period::from_millis(u64::try_from(passed).unwrap_or_default()));
                writeln!(
                    out,
                    "In `{}` the rollout has been at 100% since {}, for {passed}: {} by {}, {}.",
                    self.environment,
                    minute(since),
                    decision.what.in_words(),
                    cell(&decision.author),
                    cell(&decision.reason)
                )?;
            }
            _ => writeln!(out, "In `{}` not everyone is on the new path.", self.environment)?,
        }
        for (place, why) in self.too_early.iter().enumerate() {
            let head = if place == 0 { "\n**It is too early:**\n\n" } else { "" };
            writeln!(out, "{head}- {}", cell(why))?;
        }
        self.write_verified(out)?;
        self.write_code(out, places, files)?;
        self.write_asked(out)?;
        self.write_definitions(out, places)?;
        self.write_rest(out, places)
    }

    fn write_verified(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "\n## Verify\n")?;
        for FlagCleanup { flag, variant, left_behind, .. } in &self.flags {
            let mark = if self.too_early.is_empty() && left_behind.is_empty() { "x" } else { " " };
            match variant {
                Some(variant) => writeln!(out, "- [{mark}] `{flag}` serves `{variant}` to everyone")?,
                None => writeln!(out, "- [ ] `{flag}` serves several variants: decide which of them stays")?,
            }
            for who in left_behind {
                writeln!(out, "- [ ] `{flag}` keeps nobody on the old path who needs it: {}", cell(who))?;
            }
        }
        for Attested { what, by, .. } in &self.attested {
            writeln!(out, "- [x] {}: {}, {}", cell(what), cell(&by.author), minute(by.at))?;
        }
        Ok(())
    }

    fn write_code(&self, out: &mut String, places: &[Place], files: usize) -> std::fmt::Result {
        writeln!(out, "\n## Take it out of the code\n")?;
        for FlagCleanup { flag, value, .. } in &self.flags {
            let stays = value.as_ref().map_or("what stays".to_owned(), |value| code(&value.to_string()));
            writeln!(out, "Where `{flag}` is asked for, write what is done for {stays}.")?;
        }
        writeln!(out, "The path that is labelled {} in metrics goes, with its tests.\n", code(&self.arms.old))?;
        let of = |kind| places.iter().filter(move |place| place.kind == kind);
        let searched = format!("{files} {}", if files == 1 { "file" } else { "files" });
        match of(PlaceKind::Code).count() {
            0 => writeln!(out, "No code of the {searched} that were searched names it.")?,
            1 => writeln!(out, "1 line of the {searched} that were searched names it.")?,
            lines => writeln!(out, "{lines} lines of the {searched} that were searched name it.")?,
        }
        write_places(out, of(PlaceKind::Code))?;
        let generated: BTreeSet<&str> = of(PlaceKind::Generated).map(|place| place.file.as_str()).collect();
        for (place, file) in generated.into_iter().enumerate() {
            let gap = if place == 0 { "\n" } else { "" };
            writeln!(out, "{gap}- [ ] {} is written anew by `flagstone types`, last of all", code(file))?;
        }
        Ok(())
    }

    fn write_asked(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "\n## Deploy it, and see that nobody asks any more\n")?;
        writeln!(out, "Code that asks for a flag that is gone gets its own default: the old path.\n")?;
        writeln!(out, "- [ ] It is deployed everywhere, and apps that people have not updated no longer matter")?;
        for FlagCleanup { flag, .. } in &self.flags {
            for counter in ["flagstone_guard_calls_total", "flagstone_evaluations_total"] {
                let query = format!("sum(increase({counter}{{flag={flag:?}}}[7d]))");
                writeln!(out, "- [ ] {} is 0, where it is measured", code(&query))?;
            }
        }
        Ok(())
    }

    fn write_definitions(&self, out: &mut String, places: &[Place]) -> std::fmt::Result {
        writeln!(out, "\n## Take it out of the definitions\n")?;
        for FlagCleanup { flag, owner, rules, needed_by, pins, .. } in &self.flags {
            for other in needed_by.iter().filter(|other| !self.flags.iter().any(|gone| gone.flag == **other)) {
                writeln!(
                    out,
                    "- [ ] {} needs it no more: take the prerequisite {} out first",
                    code(other),
                    code(flag)
                )?;
            }
            let mut with = Vec::new();
            if !rules.is_empty() {
                with.push(format!("its rules {}", codes(rules)));
            }
            let pins: Vec<String> = pins.iter().map(|(name, variant)| format!("{name}: {variant}")).collect();
            if !pins.is_empty() {
                with.push(format!("its pins {}", codes(&pins)));
            }
            let with = if with.is_empty() { String::new() } else { format!(" with {}", with.join(" and ")) };
            let owner = owner.as_ref().map_or(String::new(), |owner| format!(", of {}", cell(owner)));
            writeln!(out, "- [ ] The flag {}{with}{owner}", code(flag))?;
        }
        for (what, names) in [("segments", &self.segments), ("layers", &self.layers), ("holdouts", &self.holdouts)] {
            if !names.is_empty() {
                writeln!(out, "- [ ] The {what} that nothing else uses: {}", codes(names))?;
            }
        }
        for flag in self.set.keys() {
            let flag = code(flag);
            writeln!(
                out,
                "- [ ] {flag}, which the rollout set, too: write what it is now into the flag, or clean it up as well"
            )?;
        }
        writeln!(out, "- [ ] The plan {}: move it to where plans are kept that are over", code(&self.rollout))?;
        writeln!(out, "- [ ] `flagstone publish` it, in every environment")?;
        write_places(out, places.iter().filter(|place| place.kind == PlaceKind::Definitions))
    }

    fn write_rest(&self, out: &mut String, places: &[Place]) -> std::fmt::Result {
        writeln!(out, "\n## And what is around it\n")?;
        for FlagCleanup { flag, .. } in &self.flags {
            writeln!(out, "- [ ] No environment variable pins {} anywhere", code(flag))?;
        }
        for (name, query) in &self.queries {
            writeln!(out, "- [ ] No dashboard and no alert needs {} any more: {}", code(name), code(query))?;
        }
        let around = |kind: &PlaceKind| matches!(kind, PlaceKind::Dashboard | PlaceKind::Documentation);
        write_places(out, places.iter().filter(|place| around(&place.kind)))?;
        if !self.requires.is_empty() {
            writeln!(out, "\n## Then attest to it\n")?;
        }
        for what in &self.requires {
            let what = what.replace('\'', r"'\''");
            writeln!(out, "- [ ] {}", code(&format!("flagstone rollout attest {} '{what}'", self.rollout)))?;
        }
        Ok(())
    }
}

/// Places, by file.
fn write_places<'p>(out: &mut String, places: impl Iterator<Item = &'p Place>) -> std::fmt::Result {
    let mut file = "";
    for place in places {
        if place.file != file {
            file = &place.file;
            writeln!(out, "\n{}\n", code(file))?;
        }
        writeln!(out, "- [ ] line {}: {}", place.line, code(&place.text))?;
    }
    Ok(())
}

/// Text as it is written, which nothing in it ends.
fn code(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or_default();
    let fence = "`".repeat(longest + 1);
    let gap = if text.starts_with('`') || text.ends_with('`') { " " } else { "" };
    format!("{fence}{gap}{text}{gap}{fence}")
}

fn codes(texts: &[String]) -> String {
    texts.iter().map(|text| code(text)).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_code_does_not_end_it() {
        assert_eq!(code("a"), "`a`");
        assert_eq!(code("`a` ``b``"), "``` `a` ``b`` ```");
        assert_eq!(code("a\nb\u{1b}"), "`a b `");
    }
}
