//! What is to be said of a plan before anybody is exposed.

mod calendar;
mod flags;
mod guards;
mod metrics;
mod steps;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::lint::{Complaint, lint};
use super::period::Period;
use super::plan::{Gate, Guard, Plan, ResolvedStep, Step, Test, Trigger, holding};
use crate::Timestamp;
use crate::snapshot::definitions::{Definitions, Path, Percent, Severity, did_you_mean, list};

macro_rules! advice {
    ($($(#[$about:meta])* $kind:ident = $name:literal: $severity:ident,)*) => {
        /// A kind of advice on a plan, as [`advise`](crate::snapshot::definitions::advise) gives it. Its code never changes.
        #[doc = include_str!("ADVICE.md")]
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
        )]
        #[non_exhaustive]
        pub enum Advice {
            $($(#[$about])* #[serde(rename = $name)] $kind,)*
        }

        impl Advice {
            /// Every kind.
            pub const ALL: &'static [Advice] = &[$(Advice::$kind,)*];

            /// Its code, as a plan accepts it.
            pub fn name(self) -> &'static str {
                match self {
                    $(Advice::$kind => $name,)*
                }
            }

            /// Whether somebody should mend it, or only know.
            pub fn severity(self) -> Severity {
                match self {
                    $(Advice::$kind => Severity::$severity,)*
                }
            }
        }
    };
}

advice! {
    // Steps.
    /// A pace of a series leads past its end, or past where the next pace begins.
    Overshoot = "overshoot": Warning,
    /// A step is called by a percent, and lets in another.
    NotAsNamed = "not-as-named": Warning,
    /// More than half of all come in at once.
    Leap = "leap": Note,
    /// Nothing keeps the rollout at a step.
    NoSoak = "no-soak": Warning,
    /// A step raises a percent and an audience at once.
    TwoAudiences = "two-audiences": Note,
    /// A step sets the percent of a flag twice.
    SetIgnored = "set-ignored": Warning,
    /// The old path is taken out while somebody is on it, or as soon as nobody is.
    CleanupTooEarly = "cleanup-too-early": Warning,
    /// Some stay on the old path when it is taken out.
    LeftBehind = "left-behind": Note,
    /// Nothing turns the rollout back by itself.
    NothingTurnsItBack = "nothing-turns-it-back": Note,
    /// Nothing is looked at after a rollback.
    UnverifiedRollback = "unverified-rollback": Note,

    // Gates and triggers.
    /// No number lets the rollout go on.
    NeverWell = "never-well": Warning,
    /// Where a gate holds, a trigger acts.
    Contradiction = "contradiction": Warning,
    /// Something worse does less.
    Hole = "hole": Warning,
    /// Between a gate and a trigger nothing happens but waiting.
    OnlyWaits = "only-waits": Note,
    /// Another gate or trigger decides first, always.
    NeverDecides = "never-decides": Warning,
    /// A gate or trigger is less strict than the one that it takes the place of.
    Loosened = "loosened": Note,
    /// A gate takes longer than the step's soak.
    LongerThanSoak = "longer-than-soak": Note,

    // What is measured.
    /// What is to last is over before it is measured again.
    ShorterThanScrape = "shorter-than-scrape": Warning,
    /// A window with less than two measurements.
    WindowTooShort = "window-too-short": Warning,
    /// The samples that are asked for are not to be expected.
    TooFewSamples = "too-few-samples": Warning,
    /// A single event is more than the threshold.
    OneEvent = "one-event": Warning,
    /// A trigger acts by however few events.
    NoMinimum = "no-minimum": Note,
    /// Nobody is there to be measured.
    NobodyToMeasure = "nobody-to-measure": Warning,
    /// Nobody is left on the old path to compare with.
    NoBaseline = "no-baseline": Warning,
    /// A query finds a series for each instance.
    SeveralSeries = "several-series": Note,
    /// A rollback is escalated before the share of traffic can have followed it.
    WithinTooShort = "within-too-short": Warning,

    // The calendar.
    /// A step begins at an instant at which nothing may go on.
    ClosedStart = "closed-start": Warning,
    /// A step begins before those before it are over.
    StartTooEarly = "start-too-early": Warning,
    /// A step ends in a freeze.
    FreezeDelays = "freeze-delays": Note,
    /// A date is over.
    Past = "past": Note,

    // People.
    /// What was attested to once counts for later steps, too.
    SaidOnce = "said-once": Warning,
    /// What somebody says is no longer valid when it is looked at.
    ExpiresAtOnce = "expires-at-once": Warning,
    /// Nobody is asked in this role.
    UnusedRole = "unused-role": Note,

    // Flags.
    /// The hash of a flag lets in another share than the percent.
    UnevenHash = "uneven-hash": Warning,
    /// The hash of a flag knows whole percents only.
    WholePercents = "whole-percents": Warning,
    /// Flags that move together have other people each.
    DifferentCohorts = "different-cohorts": Warning,
    /// Killing a flag changes nothing.
    KillChangesNothing = "kill-changes-nothing": Warning,
    /// Somebody is on the new path before the rollout starts, who is not at its first step.
    InBeforeStart = "in-before-start": Warning,
    /// Somebody is on the new path whatever the step.
    NotMoved = "not-moved": Note,
    /// A flag is pinned in every environment.
    PinnedEverywhere = "pinned-everywhere": Warning,

    /// A plan accepts what is not found.
    UnusedAcceptance = "unused-acceptance": Note,
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Advice {
    type Err = String;

    fn from_str(text: &str) -> Result<Advice, String> {
        Advice::ALL.iter().copied().find(|advice| advice.name() == text).ok_or_else(|| {
            let names = || Advice::ALL.iter().map(|advice| advice.name());
            let suggestion =
                did_you_mean(text, names()).unwrap_or_else(|| format!("expected one of {}", list(names())));
            format!("there is no advice with the code `{text}`, {suggestion}")
        })
    }
}

/// All that is to be said of the plans that have no errors, but for what they accept.
pub(crate) fn advise(definitions: &Definitions, now: Timestamp) -> Vec<(Advice, Complaint)> {
    let errors = lint(definitions);
    let mut all = Vec::new();
    for (name, plan) in &definitions.rollouts {
        let path = Path::default().key("rollouts").key(name);
        if errors.iter().any(|error| error.path.is_in(&path)) {
            continue;
        }
        let stages = stages(plan, &path);
        let mut advisor = Advisor { definitions, plan, path, now, told: BTreeSet::new(), advice: Vec::new() };
        advisor.on_steps(&stages);
        advisor.on_guards(&stages);
        advisor.on_metrics(&stages);
        advisor.on_calendar(&stages);
        advisor.on_flags(&stages);
        advisor.accept();
        all.extend(advisor.advice);
    }
    all
}

struct Advisor<'d> {
    definitions: &'d Definitions,
    plan: &'d Plan,
    path: Path,
    now: Timestamp,
    /// What was said, and of what: the same of a later step is not said again.
    told: BTreeSet<(Advice, String)>,
    advice: Vec<(Advice, Complaint)>,
}

impl Advisor<'_> {
    fn tell(&mut self, code: Advice, path: &Path, message: impl Into<String>, suggestion: impl Into<String>) {
        self.tell_once(code, path.to_string(), path, message, suggestion);
    }

    /// Says it of what it is about once, wherever it is mended.
    fn tell_once(
        &mut self,
        code: Advice,
        about: String,
        path: &Path,
        message: impl Into<String>,
        suggestion: impl Into<String>,
    ) {
        if self.told.insert((code, about)) {
            let (message, suggestion) = (message.into(), Some(suggestion.into()));
            self.advice.push((code, Complaint { path: path.clone(), message, suggestion }));
        }
    }

    /// Leaves out what the plan accepts, and says which of that there is not.
    fn accept(&mut self) {
        let found: BTreeSet<Advice> = self.advice.iter().map(|(code, _)| *code).collect();
        self.advice.retain(|(code, _)| !self.plan.accepted.contains_key(code));
        for code in self.plan.accepted.keys().filter(|code| !found.contains(code)) {
            let path = self.path.key("accepted").key(code.name());
            let message = format!("the plan accepts `{code}`, of which there is none");
            self.tell(Advice::UnusedAcceptance, &path, message, "take it out, so that it hides nothing later");
        }
    }

    /// How long what a gate asks for takes from the beginning of its step: what its metric looks back on lies in the step then.
    fn takes(&self, test: &Test<'_>) -> Period {
        // How soon one is certain depends on what is counted.
        if test.sequential.is_some() {
            return Period::ZERO;
        }
        let window = self.plan.metrics.get(test.metric).map_or(Period::ZERO, |metric| metric.window());
        Period::from_millis(window.millis() + self.span(test).millis())
    }

    /// From the first to the last look of a gate or a trigger.
    fn span(&self, test: &Test<'_>) -> Period {
        let looks = u64::from(test.consecutive.saturating_sub(1)) * self.plan.interval().millis();
        Period::from_millis(looks.max(test.lasting.millis()))
    }

    /// The least that a step lasts, all of its percents together.
    fn lasts(&self, stage: &Stage<'_>) -> Period {
        let gates = stage.gates.iter().filter_map(|gate| gate.guard.test()).map(|test| self.takes(&test));
        let one = gates.chain([stage.step.soak]).max().unwrap_or_default();
        Period::from_millis(one.millis().saturating_mul(stage.percents.len() as u64))
    }
}

/// A step of the plan, with what holds in it.
struct Stage<'p> {
    step: &'p Step,
    path: Path,
    /// With the first percent of a series.
    first: ResolvedStep,
    /// With the last percent of a series.
    last: ResolvedStep,
    /// Each percent of it.
    percents: Vec<Percent>,
    gates: Vec<Placed<Gate>>,
    triggers: Vec<Placed<Trigger>>,
}

impl Stage<'_> {
    /// Whether the plan lets in anybody.
    fn is_open(&self, plan: &Plan) -> bool {
        let none = Percent::default();
        let settings = plan.flags.iter().filter_map(|flag| self.last.settings.get(flag));
        self.percent() > none || settings.flat_map(|setting| setting.rules.values()).any(|percent| *percent > none)
    }

    /// The percent that it ends with.
    fn percent(&self) -> Percent {
        self.last.percent.unwrap_or_default()
    }
}

/// A gate or trigger, and where it is written.
#[derive(Clone)]
struct Placed<G> {
    guard: G,
    path: Path,
    /// The place of the step that it is written in; none for the plan itself.
    step: Option<usize>,
    /// What it takes the place of.
    before: Option<G>,
}

impl<G: Guard> Guard for Placed<G> {
    fn name(&self) -> String {
        self.guard.name()
    }

    fn only_here(&self) -> bool {
        self.guard.only_here()
    }
}

fn place<G: Guard>(written: &[G], path: &Path, step: Option<usize>, lasting: &[Placed<G>]) -> Vec<Placed<G>> {
    let places = written.iter().enumerate().map(|(index, guard)| {
        let before = lasting.iter().find(|other| other.name() == guard.name()).map(|other| other.guard.clone());
        Placed { guard: guard.clone(), path: path.index(index), step, before }
    });
    places.collect()
}

fn stages<'p>(plan: &'p Plan, path: &Path) -> Vec<Stage<'p>> {
    let mut gates = place(&plan.gates, &path.key("gates"), None, &[]);
    let mut triggers = place(&plan.triggers, &path.key("triggers"), None, &[]);
    let mut resolved: BTreeMap<usize, Vec<ResolvedStep>> = BTreeMap::new();
    for step in plan.steps() {
        resolved.entry(step.index).or_default().push(step);
    }
    let steps = plan.steps.iter().enumerate().zip(resolved.into_values());
    let stages = steps.filter_map(|((index, step), resolved)| {
        let path = path.key("steps").index(index);
        let own = place(&step.gates, &path.key("gates"), Some(index), &gates);
        let gates = holding(&mut gates, &own);
        let own = place(&step.triggers, &path.key("triggers"), Some(index), &triggers);
        let triggers = holding(&mut triggers, &own);
        let percents = resolved.iter().map(|step| step.percent.unwrap_or_default()).collect();
        let (first, last) = (resolved.first()?.clone(), resolved.last()?.clone());
        Some(Stage { step, path, first, last, percents, gates, triggers })
    });
    stages.collect()
}
