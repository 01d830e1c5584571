//! A rollout at a glance.

use serde::Serialize;

use super::decide::{Blocker, BlockerKind, Decision, Standing, Verdict, decide};
use super::flags::{ByHand, Deed};
use super::guard::{Observations, Reading};
use super::plan::{Plan, ResolvedStep};
use super::progress::{Phase, Progress};
use crate::Timestamp;
use crate::snapshot::definitions::{Definitions, Percent, State};

/// Where a rollout stands, what keeps it there, and when it may go on: what `flagstone rollout status` and the server show.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The name of the plan.
    pub rollout: String,
    /// What it is for.
    pub description: Option<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// Its flags.
    pub flags: Vec<String>,
    /// How many are on the new path, in one word.
    pub mode: Mode,
    /// The percent of the flags' ramps, as the rollout set it.
    pub percent: Option<Percent>,
    /// What others made of its flags since.
    pub by_hand: Vec<ByHand>,
    /// The steps, in order.
    pub steps: Vec<ResolvedStep>,
    /// The place of the step that it is at, from 0; none where it is at none.
    pub at: Option<usize>,
    /// How far it has come; none where it has not been started.
    pub progress: Option<Progress>,
    /// What is to be done, by what was measured.
    pub verdict: Verdict,
    /// What keeps it from going on.
    pub blockers: Vec<Blocker>,
    /// When it may go on at the earliest, as far as the clock decides.
    pub next: Option<Timestamp>,
    /// What was measured.
    pub evidence: Vec<Reading>,
    /// Whether metrics were asked for this; without, what depends on them is in `blockers` as no data.
    pub measured: bool,
}

/// How many are on the new path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Mode {
    /// Nobody.
    Disabled,
    /// Those whom lists and rules name.
    Testing,
    /// A part of the people.
    Gradual,
    /// Everyone.
    Full,
}

impl Plan {
    /// What the rollout would do now, with what was measured: [`decide`] with what of the flags is in the way.
    pub fn assess(
        &self,
        progress: &Progress,
        definitions: &Definitions,
        state: &State,
        observations: &Observations,
        now: Timestamp,
    ) -> Decision {
        let obstacles = match progress.is_active() {
            true => self.obstacles(progress, definitions, state, now),
            false => Vec::new(),
        };
        decide(self, &Standing { progress: progress.clone(), obstacles }, observations, now)
    }

    /// How many are on the new path, in one word.
    pub fn mode(&self, progress: Option<&Progress>) -> Mode {
        let Some(progress) = progress.filter(|progress| progress.step.is_some() || progress.percent.is_some()) else {
            return Mode::Disabled;
        };
        match self.percent(progress) {
            _ if self.kills(progress) => Mode::Disabled,
            None => Mode::Testing,
            Some(percent) if percent == Percent::default() => Mode::Testing,
            Some(percent) if percent == Percent::ALL => Mode::Full,
            Some(_) => Mode::Gradual,
        }
    }

    /// The rollout at a glance; `observations` are none where nothing was asked.
    pub fn status(
        &self,
        name: &str,
        definitions: &Definitions,
        state: &State,
        observations: Option<&Observations>,
        now: Timestamp,
    ) -> Status {
        let progress = state.rollouts.get(name);
        let steps = self.steps();
        let nothing = Observations::new();
        let decision = progress.map(|progress| {
            let mut decision = self.assess(progress, definitions, state, observations.unwrap_or(&nothing), now);
            if observations.is_none() {
                decision.not_looked_at();
            }
            decision
        });
        let (verdict, mut blockers, next, evidence) = match decision {
            Some(decision) => (decision.verdict, decision.blockers, decision.next, decision.evidence),
            None => {
                let message = "it has not been started; `start` begins it";
                (Verdict::Wait, vec![Blocker::new(BlockerKind::Held, message)], None, Vec::new())
            }
        };
        let by_hand = progress.map_or(Vec::new(), |progress| self.by_hand(name, progress, definitions, state));
        let those = |what| by_hand.iter().filter(|flag| flag.what == what).count();
        let mode = match self.mode(progress) {
            _ if those(Deed::Killed) == self.flags.len() => Mode::Disabled,
            Mode::Disabled if those(Deed::Restored) > 0 => Mode::Testing,
            mode => mode,
        };
        let restored = by_hand.iter().filter(|flag| flag.what == Deed::Restored).map(|flag| flag.flag.as_str());
        let restored: Vec<&str> = restored.collect();
        if !restored.is_empty() {
            let message = format!(
                "not killed any more: {}; whom lists and rules name may be on the new path. `retry` begins it again, `kill` \
                 takes everyone off",
                restored.join(", ")
            );
            blockers.push(Blocker::new(BlockerKind::Changed, message));
        }
        Status {
            rollout: name.to_owned(),
            description: self.description.clone(),
            owner: self.owner.clone(),
            flags: self.flags.clone(),
            mode,
            by_hand,
            percent: progress.and_then(|progress| self.percent(progress)),
            at: progress.and_then(|progress| steps.iter().position(|step| Some(&step.name) == progress.step.as_ref())),
            steps,
            progress: progress.cloned(),
            verdict,
            blockers,
            next,
            evidence,
            measured: observations.is_some(),
        }
    }
}

impl Decision {
    /// Where nobody asked for what is measured, it is not known, and no more is to be said of it.
    fn not_looked_at(&mut self) {
        let before = self.blockers.len();
        let measured = |kind| matches!(kind, BlockerKind::NoData | BlockerKind::Gate | BlockerKind::Recovery);
        self.blockers.retain(|blocker| !measured(blocker.kind));
        if self.blockers.len() < before {
            let message = "what gates and triggers measure was not looked at here; `--prometheus URL` shows it";
            self.blockers.push(Blocker::new(BlockerKind::NoData, message));
        }
        // Whether traffic and health followed is not known either.
        if matches!(self.verdict, Verdict::Verify | Verdict::Escalate) {
            self.verdict = Verdict::Wait;
        }
    }
}

impl Status {
    /// Whether it moves by itself, or may come to.
    pub fn is_active(&self) -> bool {
        self.progress.as_ref().is_some_and(Progress::is_active)
    }

    /// What it is doing; none where it has not been started.
    pub fn phase(&self) -> Option<Phase> {
        self.progress.as_ref().map(|progress| progress.phase)
    }
}
