//! What a rollout does next.

use serde::Serialize;

use super::Condition;
use super::counts::{weigh, weigh_share};
use super::guard::{Finding, Observations, Reading};
use super::period::Period;
use super::plan::{Action, Gate, OnNoData, Plan, Quantity, Requirement, ResolvedStep, Severity, Test, Trigger};
use super::progress::{Attested, Decided, Incident, Note, Phase, Progress, Recovery, Transition};
use crate::Timestamp;
use crate::snapshot::definitions::Percent;

/// Whose name the controller's decisions have.
pub const CONTROLLER: &str = "flagstone rollout";
/// Within this time traffic and health must follow a rollback, unless the plan says otherwise.
pub(super) const RECOVERY: Period = Period::from_millis(300_000);
/// How much more than expected the share of traffic may be after a rollback, as a fraction.
const TOLERANCE: f64 = 0.01;

/// Where a rollout stands: its own progress, and what of the flags is in its way.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// How far it has come.
    pub progress: Progress,
    /// What keeps it from going on, whatever is measured: see [`Plan::obstacles`].
    pub obstacles: Vec<Blocker>,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// Nothing; the blockers say why.
    Wait,
    /// On to the next step.
    Advance,
    /// It is through.
    Complete,
    /// Stay until somebody has looked at it.
    Hold,
    /// Back one step, and stay there until somebody has looked at it.
    StepDown,
    /// It is over.
    RollBack,
    /// One stair down.
    Lower,
    /// Traffic and health followed the rollback.
    Verify,
    /// They did not in time: somebody must come.
    Escalate,
}

/// What [`decide`] says.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// What is to be done.
    pub verdict: Verdict,
    /// How far the rollout has come once it is done; the same as before where there is nothing to do.
    pub progress: Progress,
    /// What keeps it from going on.
    pub blockers: Vec<Blocker>,
    /// When it may go on at the earliest, as far as that can be told.
    pub next: Option<Timestamp>,
    /// What was measured.
    pub evidence: Vec<Reading>,
}

/// Something that keeps a rollout from going on.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Blocker {
    /// What kind of thing.
    pub kind: BlockerKind,
    /// What exactly, and what to do about it.
    pub message: String,
    /// The gate, the trigger, or whose word it is about, by its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// When it is gone, where the clock decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// Kinds of [`Blocker`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum BlockerKind {
    /// Somebody or something stopped it.
    Held,
    /// A flag is killed.
    Killed,
    /// A flag is not as the step says.
    Changed,
    /// The plan does not have the step any more, or the definitions the flag.
    Plan,
    /// The step has not lasted long enough.
    Soak,
    /// The next step begins at an instant.
    Start,
    /// A gate does not hold, or not for long enough.
    Gate,
    /// A trigger has found something, but not for long enough to act.
    Trigger,
    /// Too little is known.
    NoData,
    /// Somebody must approve.
    Approval,
    /// Something must be attested to.
    Attestation,
    /// Somebody must lift the ceiling.
    Ceiling,
    /// No window is open.
    Window,
    /// Changes are frozen.
    Freeze,
    /// Traffic or health has not followed a rollback.
    Recovery,
}

impl Blocker {
    pub(super) fn new(kind: BlockerKind, message: impl Into<String>) -> Blocker {
        Blocker { kind, message: message.into(), about: None, until: None }
    }

    fn about(self, name: &str) -> Blocker {
        Blocker { about: Some(name.to_owned()), ..self }
    }

    pub(super) fn until(kind: BlockerKind, message: impl Into<String>, until: Timestamp) -> Blocker {
        Blocker { until: Some(until), ..Blocker::new(kind, message) }
    }
}

/// Decides what a rollout does next: pure, total, and the same for the same input.
///
/// The first row that fits counts. *Open* is a trigger that has found what it looks for, for as long and as often as it asks; one
/// whose signal is raised; or one without any data for as long as it looks back, where the plan says to act on that.
///
/// | phase | what is the case | verdict | and then |
/// |---|---|---|---|
/// | running, held | the plan does not have the step | wait | |
/// | running, held | an open trigger rolls back | roll back | rolled back, to zero or to the step before |
/// | rolling back | an open trigger rolls back | roll back | rolled back, to zero |
/// | running, held | an open trigger steps down | step down | held at the step before; from the first step rolled back to zero |
/// | running | an open trigger holds | hold | held |
/// | held | | wait | |
/// | rolling back | the next stair is not due | wait | |
/// | rolling back | the next stair is due | lower, or roll back at the last | rolling back, or rolled back |
/// | running | an obstacle: a flag is killed, changed by hand, or gone; changes are frozen | wait | |
/// | running | a trigger lacks data, or has found something not long enough | wait | |
/// | running | the soak is not over; the next step's start is to come | wait | |
/// | running | a gate does not hold, or lacks data | wait | |
/// | running | an approval or an attestation is missing, or no longer valid | wait | |
/// | running | a ceiling; no window is open; a freeze | wait | |
/// | running | none of this, and there is a next step | advance | running at the next step |
/// | running | none of this, and there is none | complete | completed |
/// | rolled back | recovery is awaited or escalated, traffic and health have followed | verify | recovery verified |
/// | rolled back | recovery is awaited, its time is over, and traffic or health is known not to have followed | escalate | recovery escalated |
/// | rolled back | else | wait | |
/// | completed | | wait | |
///
/// Gates count what was measured a window after the step began, for before that a query looks at the step before; so do triggers
/// that act on no data. Else triggers count what was measured in this attempt; those that hold or step down, what was measured a
/// window after the last review (`resume`, or stepping down), and signals raised after it. A signal that was raised before lets
/// nothing go on until it is cleared.
///
/// Sequential guards count from when the step began, or where they hold or step down from the last review in it. They have found
/// what they look for once they are certain; what is not certain is not so.
pub fn decide(plan: &Plan, standing: &Standing, observations: &Observations, now: Timestamp) -> Decision {
    let steps = plan.steps();
    let progress = &standing.progress;
    let place = steps.iter().position(|step| Some(&step.name) == progress.step.as_ref());
    let decider = Decider { plan, steps: &steps, progress, observations, now };
    match (progress.phase, place) {
        (Phase::Completed, _) => decider.wait(Vec::new(), Vec::new()),
        (Phase::RolledBack, _) => decider.rolled_back(),
        // The way down is in the progress, and needs no step.
        (Phase::RollingBack, None) => decider.lower(Vec::new()),
        (_, None) => decider.wait(vec![lost(progress)], Vec::new()),
        (phase, Some(place)) => decider.at(phase, place, &standing.obstacles),
    }
}

impl Plan {
    /// What a gate finds.
    pub(super) fn read_gate(
        &self,
        gate: &Gate,
        progress: &Progress,
        observations: &Observations,
        now: Timestamp,
    ) -> Reading {
        Decider { plan: self, steps: &[], progress, observations, now }.gate(gate)
    }

    /// What a trigger finds.
    pub(super) fn read_trigger(
        &self,
        trigger: &Trigger,
        progress: &Progress,
        observations: &Observations,
        now: Timestamp,
    ) -> Reading {
        Decider { plan: self, steps: &[], progress, observations, now }.trigger(trigger)
    }
}

fn lost(progress: &Progress) -> Blocker {
    let step = progress.step.as_deref().unwrap_or_default();
    Blocker::new(
        BlockerKind::Plan,
        format!("the plan has no step `{step}` any more; publish one that has, or roll back"),
    )
}

struct Decider<'d> {
    plan: &'d Plan,
    steps: &'d [ResolvedStep],
    progress: &'d Progress,
    observations: &'d Observations,
    now: Timestamp,
}

impl Decider<'_> {
    fn at(&self, phase: Phase, place: usize, obstacles: &[Blocker]) -> Decision {
        let step = &self.steps[place];
        let acting = |trigger: &Trigger| Reading { action: Some(trigger.action()), ..self.trigger(trigger) };
        let triggers: Vec<(&Trigger, Reading)> =
            step.triggers.iter().map(|trigger| (trigger, acting(trigger))).collect();
        let gates: Vec<Reading> = match phase {
            Phase::RollingBack => Vec::new(),
            _ => step.gates.iter().map(|gate| self.gate(gate)).collect(),
        };
        let evidence: Vec<Reading> = triggers.iter().map(|(_, reading)| reading).chain(&gates).cloned().collect();
        // Of several the one that does most, and of those the first.
        let open = triggers.iter().filter(|(trigger, reading)| is_open(trigger, reading));
        let open = open.rev().max_by_key(|(trigger, _)| trigger.action());
        if let Some((trigger, reading)) = open {
            let why = said(reading);
            let back = |to| Way { to, severity: trigger.severity, triggered: true };
            match trigger.action() {
                Action::Rollback => return self.roll_back(&back(To::Zero), why, evidence),
                // The way down may have passed the step before already.
                Action::RollbackToPrevious if phase == Phase::RollingBack => {
                    return self.roll_back(&back(To::Zero), why, evidence);
                }
                Action::RollbackToPrevious => return self.roll_back(&back(To::Previous), why, evidence),
                Action::StepDown if phase != Phase::RollingBack => match place {
                    0 => return self.roll_back(&back(To::Zero), why, evidence),
                    _ => return self.step_down(place - 1, why, evidence),
                },
                Action::Hold if phase == Phase::Running => {
                    let held = Progress {
                        phase: Phase::Held,
                        since: self.now,
                        held: Some(self.note(why.clone())),
                        attested: self.attested_without_approvals(),
                        ..self.progress.clone()
                    };
                    return self.done(Verdict::Hold, Transition::Held, held, why, evidence);
                }
                Action::StepDown | Action::Hold => {}
            }
        }
        match phase {
            Phase::Held => {
                let why = match &self.progress.held {
                    Some(Note { author, reason, .. }) => format!("held by {author}: {reason}"),
                    None => "held".to_owned(),
                };
                let held = Blocker::new(BlockerKind::Held, format!("{why}; look at it, then `resume` or `rollback`"));
                self.wait([&[held], obstacles].concat(), evidence)
            }
            Phase::RollingBack => self.lower(evidence),
            _ => {
                let blockers = self.blockers(place, &triggers, &gates, obstacles);
                match blockers.is_empty() {
                    true => self.go_on(place, evidence),
                    false => self.wait(blockers, evidence),
                }
            }
        }
    }

    fn blockers(
        &self,
        place: usize,
        triggers: &[(&Trigger, Reading)],
        gates: &[Reading],
        obstacles: &[Blocker],
    ) -> Vec<Blocker> {
        let (step, next) = (&self.steps[place], self.steps.get(place + 1));
        let mut blockers = obstacles.to_vec();
        for (_, reading) in triggers {
            let kind = match reading.finding {
                Finding::Fails => continue,
                Finding::Holds | Finding::Pending => BlockerKind::Trigger,
                Finding::NoData | Finding::Silence => BlockerKind::NoData,
            };
            blockers.push(Blocker::new(kind, format!("the trigger {}", said(reading))).about(&reading.guard));
        }
        let soaked = step.soak.after(self.progress.entered);
        if soaked > self.now {
            let message = format!("stays at {} for {} at least", step.name, step.soak);
            blockers.push(Blocker::until(BlockerKind::Soak, message, soaked));
        }
        if let Some(starts) = next.and_then(|next| next.starts).filter(|starts| *starts > self.now) {
            let name = next.map_or("", |next| next.name.as_str());
            blockers.push(Blocker::until(BlockerKind::Start, format!("{name} begins at {starts}"), starts));
        }
        for reading in gates {
            let kind = match reading.finding {
                Finding::Holds => continue,
                Finding::Pending | Finding::Fails => BlockerKind::Gate,
                Finding::NoData | Finding::Silence => BlockerKind::NoData,
            };
            blockers.push(Blocker::new(kind, format!("the gate {}", said(reading))).about(&reading.guard));
        }
        for requirement in &step.requires {
            blockers.extend(self.missing(requirement, step));
        }
        if step.ceiling && !self.progress.resumed {
            let message = format!("{} is a ceiling; `resume` lifts it", step.name);
            blockers.push(Blocker::new(BlockerKind::Ceiling, message));
        }
        if next.is_some() {
            blockers.extend(self.plan.closed(self.now));
        }
        blockers
    }

    /// What is missing of what somebody must have said.
    fn missing(&self, requirement: &Requirement, step: &ResolvedStep) -> Option<Blocker> {
        let what = requirement.called();
        let kind = match requirement.approval {
            Some(_) => BlockerKind::Approval,
            None => BlockerKind::Attestation,
        };
        let given = self.progress.given(requirement, &step.name);
        let how = match kind {
            BlockerKind::Approval => format!("`advance --role {}`", requirement.role().unwrap_or_default()),
            _ => format!("`attest {what:?}`"),
        };
        match (given, requirement.valid_for) {
            (None, _) => Some(Blocker::new(kind, format!("{what} is missing; {how} gives it")).about(&what)),
            (Some(given), Some(valid)) if !requirement.counts(given, self.now) => {
                let (author, at) = (&given.by.author, given.by.at);
                let message = format!("{what}, given by {author} at {at}, was valid for {valid}; {how} gives it again");
                Some(Blocker::new(kind, message).about(&what))
            }
            (Some(_), _) => None,
        }
    }

    fn trigger(&self, trigger: &Trigger) -> Reading {
        let reviewed = self.progress.reviewed_for(Some(trigger.action()));
        if let Some(ratio) = &trigger.sample_ratio {
            return weigh_share(self.plan, trigger, ratio, self.progress, self.observations, self.now);
        }
        let Some(test) = trigger.test() else {
            let raised = trigger.signal.as_ref().and_then(|name| self.progress.signals.get(name));
            let finding = match raised {
                None => Finding::Fails,
                // Somebody has looked at it: it stops nothing again, and lets nothing go on.
                Some(note) if reviewed.is_some_and(|reviewed| note.at <= reviewed) => Finding::Pending,
                Some(_) => Finding::Holds,
            };
            let note = raised.map(|Note { author, reason, at }| format!("raised by {author} at {at}: {reason}"));
            return Reading { note, ..Reading::of(trigger.called(), finding) };
        };
        let since = match reviewed {
            Some(reviewed) => self.window(&test).after(reviewed),
            // By a clock that was wrong, it may not have begun yet: then all counts that is looked back on.
            None if self.progress.started > self.now => Timestamp::from_millis(i64::MIN),
            None => self.progress.started,
        };
        let reading = self.read(trigger.called(), &test, since);
        // Where the step has only begun, what lets people in may have done so just now.
        let silent = self.plan.looks_back(&test).after(self.measured_from(&test));
        let finding = match reading.finding {
            Finding::Silence if self.now < silent => Finding::NoData,
            finding => finding,
        };
        Reading { finding, ..reading }
    }

    fn gate(&self, gate: &Gate) -> Reading {
        let Some(test) = gate.test() else { return nothing(gate) };
        self.read(gate.called(), &test, self.measured_from(&test))
    }

    /// When the window of a guard's metric has come to lie in the step.
    fn measured_from(&self, test: &Test<'_>) -> Timestamp {
        self.window(test).after(self.progress.entered)
    }

    fn window(&self, test: &Test<'_>) -> Period {
        self.plan.metrics.get(test.metric).map_or(Period::ZERO, |metric| metric.window())
    }

    fn note(&self, reason: String) -> Note {
        Note { author: CONTROLLER.to_owned(), reason, at: self.now }
    }

    fn read(&self, guard: String, test: &Test<'_>, since: Timestamp) -> Reading {
        match test.sequential {
            Some(sequential) => weigh(self.plan, guard, test, sequential, self.progress, self.observations, self.now),
            None => self.plan.read(guard, test, self.observations, since, self.now),
        }
    }

    fn go_on(&self, place: usize, evidence: Vec<Reading>) -> Decision {
        let Some(next) = self.steps.get(place + 1) else {
            let done = Progress { phase: Phase::Completed, since: self.now, ..self.progress.clone() };
            let why = format!("{} was the last step, and all it asks for is so", self.steps[place].name);
            return self.done(Verdict::Complete, Transition::Completed, done, why, evidence);
        };
        let progress =
            Progress { step: Some(next.name.clone()), entered: self.now, resumed: false, ..self.progress.clone() };
        let why = format!("all that {} asks for is so", self.steps[place].name);
        self.done(Verdict::Advance, Transition::Advanced, progress, why, evidence)
    }

    fn step_down(&self, place: usize, why: String, evidence: Vec<Reading>) -> Decision {
        let progress = Progress {
            phase: Phase::Held,
            step: Some(self.steps[place].name.clone()),
            entered: self.now,
            since: self.now,
            resumed: false,
            reviewed: Some(self.now),
            held: Some(self.note(why.clone())),
            attested: self.attested_without_approvals(),
            ..self.progress.clone()
        };
        self.done(Verdict::StepDown, Transition::SteppedDown, progress, why, evidence)
    }

    /// Going on again takes approvals again.
    fn attested_without_approvals(&self) -> Vec<Attested> {
        let requirements = self.steps.iter().flat_map(|step| &step.requires);
        let approvals: Vec<String> =
            requirements.filter(|requirement| requirement.approval.is_some()).map(Requirement::called).collect();
        let attested = self.progress.attested.iter().filter(|given| !approvals.contains(&given.what));
        attested.cloned().collect()
    }

    fn roll_back(&self, way: &Way, why: String, evidence: Vec<Reading>) -> Decision {
        let progress = self.progress.turned_back(self.plan, way, &self.note(why), evidence.clone());
        Decision { verdict: Verdict::RollBack, progress, blockers: Vec::new(), next: None, evidence }
    }

    fn lower(&self, evidence: Vec<Reading>) -> Decision {
        let Some(stairs) = &self.progress.staircase else {
            // It cannot have been written so; what is left of going down is the end of it.
            let way = Way { to: To::Zero, severity: Severity::Critical, triggered: false };
            return self.roll_back(&way, "there is no staircase to go down".to_owned(), evidence);
        };
        if stairs.next > self.now {
            let message =
                format!("goes down by {} percentage points every {}, to {}%", stairs.by, stairs.every, stairs.to);
            return self.wait(vec![Blocker::until(BlockerKind::Held, message, stairs.next)], evidence);
        }
        let at = self.plan.percent(self.progress).unwrap_or_default();
        let percent = at.minus(stairs.by).max(stairs.to);
        if percent == stairs.to {
            let why = self.progress.incident.as_ref().map_or(String::new(), |incident| incident.reason.clone());
            let way = Way { to: percent.into(), severity: Severity::Warning, triggered: false };
            let mut decision = self.roll_back(&way, why, evidence);
            // It is the incident for which it went down.
            if let (Some(begun), Some(ended)) = (&self.progress.incident, &mut decision.progress.incident) {
                *ended = Incident { recovery: ended.recovery, ..begun.clone() };
            }
            return decision;
        }
        let next = stairs.every.after(self.now);
        let staircase = Some(super::progress::Staircase { next, ..stairs.clone() });
        let progress = Progress { percent: Some(percent), staircase, ..self.progress.clone() };
        let why = format!("down to {percent}%");
        self.done(Verdict::Lower, Transition::Lowered, progress, why, evidence)
    }

    fn rolled_back(&self) -> Decision {
        let (Some(after), Some(incident)) = (&self.plan.after_rollback, &self.progress.incident) else {
            return self.wait(Vec::new(), Vec::new());
        };
        if !self.progress.is_watched() {
            return self.wait(Vec::new(), Vec::new());
        }
        let mut readings = Vec::new();
        if let Some(share) = &after.share {
            let percent = self.plan.percent(self.progress).unwrap_or_default();
            let tolerance = after.tolerance.map_or(TOLERANCE, Percent::fraction);
            let most = percent.fraction() + tolerance;
            // The text is that of a number, so it is a condition.
            if let Ok(condition) = format!("<= {}%", (most * 1e5).round() / 1e3).parse::<Condition>() {
                let test = Test {
                    metric: share,
                    quantity: Quantity::Value,
                    condition: &condition,
                    lasting: Period::ZERO,
                    consecutive: 1,
                    sequential: None,
                    action: None,
                };
                readings.push(self.read(format!("share of traffic {condition}"), &test, self.progress.since));
            }
        }
        readings.extend(after.gates.iter().map(|gate| match gate.test() {
            // What was measured before does not say that it is well now.
            Some(test) => self.read(gate.called(), &test, self.window(&test).after(self.progress.since)),
            None => nothing(gate),
        }));
        let known = |reading: &&Reading| reading.finding != Finding::Pending;
        let not_yet: Vec<&Reading> = readings.iter().filter(|reading| reading.finding != Finding::Holds).collect();
        let within = after.within.unwrap_or(RECOVERY).after(incident.at.max(self.progress.since));
        let recovered =
            |recovery| Progress { incident: Some(Incident { recovery, ..incident.clone() }), ..self.progress.clone() };
        if not_yet.is_empty() {
            let why = "traffic and health followed the rollback".to_owned();
            return self.done(Verdict::Verify, Transition::Verified, recovered(Recovery::Verified), why, readings);
        }
        // Where it is only not known for long enough, it is waited for.
        let over = within <= self.now && not_yet.iter().any(known);
        if incident.recovery == Recovery::Awaited && over {
            let missing: Vec<String> = not_yet.iter().map(|reading| said(reading)).collect();
            let why = format!("after the rollback it should be so, and is not: {}", missing.join("; "));
            return self.done(Verdict::Escalate, Transition::Escalated, recovered(Recovery::Escalated), why, readings);
        }
        let until = Some(within).filter(|_| incident.recovery == Recovery::Awaited);
        let blocker = |reading: &&Reading| Blocker {
            until,
            ..Blocker::new(BlockerKind::Recovery, said(reading)).about(&reading.guard)
        };
        let blockers = not_yet.iter().map(blocker).collect();
        self.wait(blockers, readings)
    }

    fn wait(&self, blockers: Vec<Blocker>, evidence: Vec<Reading>) -> Decision {
        let next = blockers.iter().filter_map(|blocker| blocker.until).max();
        Decision { verdict: Verdict::Wait, progress: self.progress.clone(), blockers, next, evidence }
    }

    fn done(
        &self,
        verdict: Verdict,
        what: Transition,
        progress: Progress,
        reason: String,
        evidence: Vec<Reading>,
    ) -> Decision {
        let last = Decided {
            what,
            about: None,
            author: CONTROLLER.to_owned(),
            reason,
            at: self.now,
            evidence: evidence.clone(),
        };
        Decision { verdict, progress: Progress { last, ..progress }, blockers: Vec::new(), next: None, evidence }
    }
}

fn nothing(gate: &Gate) -> Reading {
    let note = Some("the gate does not say what must be so".to_owned());
    Reading { metric: Some(gate.metric.clone()), note, ..Reading::of(gate.called(), Finding::NoData) }
}

fn is_open(trigger: &Trigger, reading: &Reading) -> bool {
    match reading.finding {
        Finding::Holds => true,
        Finding::Silence => trigger.on_no_data == OnNoData::Act,
        Finding::Pending | Finding::Fails | Finding::NoData => false,
    }
}

/// A reading in words: what a gate or a trigger found, the number and its threshold.
fn said(reading: &Reading) -> String {
    let mut text = format!("{:?}", reading.guard);
    let is_trigger = reading.action.is_some();
    text.push_str(match reading.finding {
        Finding::Holds | Finding::Pending if reading.metric.is_none() => " is raised; `clear` takes it back",
        Finding::Pending if reading.value.is_none() => " is not measured in this step yet",
        // A sequential guard has a p-value, and is certain or not.
        Finding::Fails if reading.p_value.is_some() => " is not certain yet",
        Finding::Holds if is_trigger => " has fired",
        Finding::Holds => " holds",
        Finding::Pending if is_trigger => " is about to fire, but has not been so for long enough",
        Finding::Pending => " holds, but not for long enough yet",
        Finding::Fails if is_trigger => " has not fired",
        Finding::Fails => " does not hold",
        Finding::NoData | Finding::Silence => " has no data",
    });
    if let Some(measured) = reading.measured() {
        text.push_str(&format!(": {measured}"));
    }
    if let Some(note) = &reading.note {
        text.push_str(&format!(" ({note})"));
    }
    text
}

/// How far to go back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// Nobody is on the new path any more.
    Zero,
    /// To the step before.
    Previous,
    /// To a percent, no higher than it is.
    Percent(Percent),
}

impl From<Percent> for To {
    /// Nobody is zero, which takes people off lists, too.
    fn from(percent: Percent) -> To {
        if percent == Percent::default() { To::Zero } else { To::Percent(percent) }
    }
}

/// A way back.
pub(super) struct Way {
    pub to: To,
    pub severity: Severity,
    /// Whether a trigger did it.
    pub triggered: bool,
}

impl Progress {
    /// This rollout, turned back.
    pub(super) fn turned_back(&self, plan: &Plan, way: &Way, by: &Note, evidence: Vec<Reading>) -> Progress {
        let steps = plan.steps();
        let place = steps.iter().position(|step| Some(&step.name) == self.step.as_ref());
        let (step, percent) = match way.to {
            To::Zero => (None, None),
            To::Previous => (place.and_then(|place| place.checked_sub(1)).map(|place| steps[place].name.clone()), None),
            To::Percent(percent) => (self.step.clone(), Some(percent)),
        };
        let Note { author, reason, at } = by.clone();
        let checked =
            plan.after_rollback.as_ref().is_some_and(|after| after.share.is_some() || !after.gates.is_empty());
        let incident = Incident {
            severity: way.severity,
            reason: reason.clone(),
            at,
            author: author.clone(),
            step: self.step.clone(),
            rollback_triggered: way.triggered,
            evidence: evidence.clone(),
            recovery: if checked { Recovery::Awaited } else { Recovery::Unchecked },
        };
        Progress {
            phase: Phase::RolledBack,
            step,
            percent,
            entered: at,
            since: at,
            resumed: false,
            held: None,
            staircase: None,
            incident: Some(incident),
            last: Decided { what: Transition::RolledBack, about: None, author, reason, at, evidence },
            ..self.clone()
        }
    }
}
