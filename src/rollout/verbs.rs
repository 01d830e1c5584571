//! What people can do to a rollout.

use std::collections::BTreeSet;
use std::fmt;

use super::decide::{To, Way};
use super::period::Period;
use super::plan::{Plan, ResolvedStep, Severity};
use super::progress::{Attested, Decided, Incident, Note, Phase, Progress, Staircase, Transition};
use crate::snapshot::definitions::Percent;

/// One thing that people can do to a rollout.
///
/// | verb | not started | running | held | rolling back | rolled back | completed |
/// |---|---|---|---|---|---|---|
/// | start | begins | | | | | |
/// | advance | | approves of going on | approves | | | |
/// | attest | | is noted | is noted | | | |
/// | hold | | stops | | | | |
/// | resume | | lifts a ceiling, sets flags as the step says | goes on | | | |
/// | retry | | | | | begins again | |
/// | rollback | | turns back | turns back | turns back at once | turns back further | turns back |
/// | staircase | | goes down in steps | goes down in steps | | | goes down in steps |
/// | roll back a cohort | | stops | is noted | is noted | is noted | is noted |
/// | signal, clear | | is noted | is noted | is noted | is noted | |
///
/// What is empty is refused, with what to do in its place.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Verb {
    /// Goes to the first step.
    Start,
    /// Approves of going on from the step, in a role. The rollout goes on once all else is as the step asks.
    Advance {
        /// The role; none where the step asks for the approval of one role only.
        role: Option<String>,
        /// The step that is approved to be left; none for the one that it is at, whichever that has become.
        step: Option<String>,
    },
    /// Attests to something that a step requires.
    Attest {
        /// What, as the plan has it.
        what: String,
    },
    /// Stops until somebody resumes it.
    Hold,
    /// Goes on, lifts a ceiling, and sets flags again as the step says.
    Resume,
    /// Begins again after a rollback: where it was rolled back to, or at the first step.
    Retry,
    /// Turns back, and is over until somebody retries it.
    Rollback {
        /// How far.
        to: To,
        /// How bad it is.
        severity: Severity,
    },
    /// Goes down in steps.
    Staircase {
        /// So many percentage points at once.
        by: Percent,
        /// As often as this.
        every: Period,
        /// Where it ends.
        to: Percent,
    },
    /// Notes that a part of the people is taken out; the change of the flags goes with it.
    CohortRolledBack,
    /// Raises a signal.
    Signal {
        /// Its name.
        name: String,
    },
    /// Takes a signal back.
    Clear {
        /// Its name.
        name: String,
    },
}

/// Why a verb is refused, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal(pub String);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

impl Verb {
    /// Whether it may let people in who were not.
    pub(crate) fn lets_in(&self) -> bool {
        matches!(self, Verb::Start | Verb::Retry)
    }

    /// What the command line and the HTTP interface call it.
    pub fn name(&self) -> &'static str {
        match self {
            Verb::Start => "start",
            Verb::Advance { .. } => "advance",
            Verb::Attest { .. } => "attest",
            Verb::Hold => "hold",
            Verb::Resume => "resume",
            Verb::Retry => "retry",
            Verb::Rollback { .. } | Verb::Staircase { .. } | Verb::CohortRolledBack => "rollback",
            Verb::Signal { .. } => "signal",
            Verb::Clear { .. } => "clear",
        }
    }

    /// Does it. `by.at` is the time.
    ///
    /// # Errors
    ///
    /// [`Refusal`] where it makes no sense in the phase that the rollout is in.
    pub fn apply(&self, plan: &Plan, progress: Option<&Progress>, by: &Note) -> Result<Progress, Refusal> {
        let steps = plan.steps();
        let Some(progress) = progress else {
            return match (self, steps.first()) {
                (Verb::Start, Some(first)) => Ok(begin(first, 1, by)),
                (Verb::Start, None) => refuse("the plan has no steps"),
                (Verb::Rollback { .. } | Verb::Staircase { .. }, _) => {
                    refuse("it has not been started, so there is nothing to roll back; `kill` takes a flag off")
                }
                _ => refuse(format!("it has not been started; `start` begins it before you can {}", self.name())),
            };
        };
        let step = steps.iter().find(|step| Some(&step.name) == progress.step.as_ref());
        let decided = |what, about: Option<&String>| Decided {
            what,
            about: about.cloned(),
            author: by.author.clone(),
            reason: by.reason.clone(),
            at: by.at,
            evidence: Vec::new(),
        };
        let phase = progress.phase;
        let old = progress.clone();
        match (self, phase) {
            (Verb::Start, Phase::RolledBack) => refuse("it was rolled back; `retry` begins it again"),
            (Verb::Start, Phase::Completed) => refuse("it is completed; a new rollout needs a plan of another name"),
            (Verb::Start, _) => refuse(format!("it was started at {} already", progress.started)),

            (Verb::Advance { role, step: of }, Phase::Running | Phase::Held) => {
                let step = step.ok_or_else(|| lost(progress))?;
                if let Some(of) = of.as_ref().filter(|of| **of != step.name) {
                    return refuse(format!("it is at {} and not at {of}; look at it again", step.name));
                }
                let role = plan.approving(step, &steps, role.as_deref(), by)?;
                let what = format!("approval of {role}");
                let given = Attested { what, role: Some(role), step: step.name.clone(), by: by.clone() };
                Ok(Progress { last: decided(Transition::Approved, Some(&given.what)), ..old.with(given) })
            }
            (Verb::Attest { what }, Phase::Running | Phase::Held) => {
                let role = plan.attesting(what, step, &steps, by)?;
                let step = progress.step.clone().unwrap_or_default();
                let given = Attested { what: what.clone(), role, step, by: by.clone() };
                Ok(Progress { last: decided(Transition::Attested, Some(what)), ..old.with(given) })
            }

            (Verb::Hold, Phase::Running) => {
                let held = Some(by.clone());
                Ok(Progress { phase: Phase::Held, since: by.at, held, last: decided(Transition::Held, None), ..old })
            }
            (Verb::Hold, Phase::Held) => refuse("it is held already"),
            (Verb::Hold, Phase::RollingBack) => {
                refuse("it is going down; `rollback --to PERCENT` ends that at a percent")
            }

            (Verb::Resume, Phase::Held | Phase::Running) => Ok(Progress {
                phase: Phase::Running,
                since: if phase == Phase::Held { by.at } else { progress.since },
                reviewed: Some(by.at),
                held: None,
                // What is resumed at a ceiling goes past it; what was held before it got there does not.
                resumed: progress.resumed || phase == Phase::Running,
                last: decided(Transition::Resumed, None),
                ..old
            }),
            (Verb::Resume | Verb::Hold | Verb::Advance { .. } | Verb::Attest { .. }, Phase::RolledBack) => {
                refuse("it was rolled back; `retry` begins it again")
            }
            (Verb::Resume | Verb::Advance { .. } | Verb::Attest { .. }, Phase::RollingBack) => {
                refuse("it is going down; once it is there, `retry` begins it again")
            }
            (Verb::Resume | Verb::Hold | Verb::Advance { .. } | Verb::Attest { .. }, Phase::Completed) => {
                refuse("it is completed; `rollback` turns it back")
            }

            (Verb::Retry, Phase::RolledBack) if !progress.signals.is_empty() => {
                let raised: Vec<&str> = progress.signals.keys().map(String::as_str).collect();
                refuse(format!("what turned it back is still the case: `clear` {} first", raised.join(", ")))
            }
            (Verb::Retry, Phase::RolledBack) => {
                let place =
                    steps.iter().position(|step| Some(&step.name) == progress.step.as_ref()).unwrap_or_default();
                // Where it was turned back to a percent, it is the highest step that is no higher.
                let within = |step: &&ResolvedStep| match progress.percent {
                    Some(percent) => step.percent.is_none_or(|of| of <= percent),
                    None => true,
                };
                let target = steps.iter().take(place + 1).rfind(within).or(steps.first());
                let Some(target) = target else { return refuse("the plan has no steps") };
                Ok(begin(target, progress.attempt + 1, by))
            }
            (Verb::Retry, Phase::Completed) => refuse("it is completed; `rollback` turns it back"),
            (Verb::Retry, _) => refuse("it was not rolled back; `resume` goes on"),

            (Verb::Rollback { to, severity }, _) => {
                plan.check_way(progress, *to)?;
                let way = Way { to: *to, severity: *severity, triggered: false };
                let mut turned = progress.turned_back(plan, &way, by, Vec::new());
                // Turned back further, it is the same incident, and no less of one.
                if let (Phase::RolledBack, Some(begun), Some(new)) = (phase, &progress.incident, &mut turned.incident) {
                    let (severity, recovery) = (new.severity.max(begun.severity), new.recovery);
                    *new = Incident { severity, recovery, ..begun.clone() };
                }
                Ok(turned)
            }
            (Verb::Staircase { by: points, every, to }, Phase::Running | Phase::Held | Phase::Completed) => {
                plan.check_way(progress, To::Percent(*to))?;
                let Some(at) = plan.percent(progress).filter(|at| at > to) else {
                    return refuse(format!("it is at no percent above {to}"));
                };
                if *points == Percent::default() {
                    return refuse("a staircase needs stairs; give how many percentage points it goes down at once");
                }
                let percent = at.minus(*points).max(*to);
                let way = Way { to: percent.into(), severity: Severity::Warning, triggered: false };
                let turned = progress.turned_back(plan, &way, by, Vec::new());
                if percent == *to {
                    return Ok(turned);
                }
                let stairs = Staircase { by: *points, every: *every, next: every.after(by.at), to: *to };
                let last = decided(Transition::RollingBack, None);
                Ok(Progress { phase: Phase::RollingBack, staircase: Some(stairs), last, ..turned })
            }
            (Verb::Staircase { .. }, Phase::RollingBack) => refuse("it is going down already; `rollback` is faster"),
            (Verb::Staircase { .. }, Phase::RolledBack) => refuse("it was rolled back already"),

            (Verb::CohortRolledBack, _) => {
                let running = phase == Phase::Running;
                let (phase, since) = if running { (Phase::Held, by.at) } else { (phase, progress.since) };
                let held = if running { Some(by.clone()) } else { progress.held.clone() };
                Ok(Progress { phase, since, held, last: decided(Transition::CohortRolledBack, None), ..old })
            }

            (Verb::Signal { name }, Phase::Running | Phase::Held | Phase::RollingBack | Phase::RolledBack) => {
                plan.check_signal(name)?;
                // Alerts say it again and again; whoever raised it first stands on record.
                if progress.signals.contains_key(name) {
                    return Ok(old);
                }
                let mut signals = progress.signals.clone();
                signals.insert(name.clone(), by.clone());
                Ok(Progress { signals, last: decided(Transition::Signalled, Some(name)), ..old })
            }
            (Verb::Clear { name }, Phase::Running | Phase::Held | Phase::RollingBack | Phase::RolledBack) => {
                plan.check_signal(name)?;
                let mut signals = progress.signals.clone();
                if signals.remove(name).is_none() {
                    return refuse(format!("the signal `{name}` is not raised"));
                }
                Ok(Progress { signals, last: decided(Transition::Cleared, Some(name)), ..old })
            }
            (Verb::Signal { .. } | Verb::Clear { .. }, Phase::Completed) => {
                refuse("it is completed, and no trigger is watched any more; `rollback` turns it back")
            }
        }
    }
}

fn begin(step: &ResolvedStep, attempt: u32, by: &Note) -> Progress {
    let what = if attempt == 1 { Transition::Started } else { Transition::Retried };
    Progress {
        phase: Phase::Running,
        step: Some(step.name.clone()),
        percent: None,
        attempt,
        started: by.at,
        entered: by.at,
        since: by.at,
        resumed: false,
        reviewed: None,
        held: None,
        attested: Vec::new(),
        signals: std::collections::BTreeMap::new(),
        staircase: None,
        incident: None,
        last: Decided {
            what,
            about: None,
            author: by.author.clone(),
            reason: by.reason.clone(),
            at: by.at,
            evidence: Vec::new(),
        },
    }
}

fn refuse<T>(why: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal(why.into()))
}

fn lost(progress: &Progress) -> Refusal {
    let step = progress.step.as_deref().unwrap_or_default();
    Refusal(format!("the plan has no step `{step}` any more; publish one that has, or roll back"))
}

impl Progress {
    /// With somebody's word, in place of what they said of the same before.
    fn with(mut self, given: Attested) -> Progress {
        self.attested.retain(|old| (&old.what, &old.step) != (&given.what, &given.step));
        self.attested.push(given);
        self
    }
}

impl Plan {
    /// The role in which somebody approves of going on from a step.
    fn approving(
        &self,
        step: &ResolvedStep,
        steps: &[ResolvedStep],
        role: Option<&str>,
        by: &Note,
    ) -> Result<String, Refusal> {
        let asked: Vec<&str> = step.approvals().collect();
        let role = match (role, asked.as_slice()) {
            (_, []) => {
                let later = steps.iter().skip_while(|other| other.name != step.name);
                let later = later.map(|step| (step, step.approvals().collect::<Vec<_>>()));
                let next = later.into_iter().find(|(_, roles)| !roles.is_empty());
                return refuse(match next {
                    Some((next, roles)) => {
                        format!("{} asks for no approval; {} will, of {}", step.name, next.name, roles.join(" and "))
                    }
                    None => format!("{} asks for no approval; `status` says what it waits for", step.name),
                });
            }
            (Some(role), asked) if asked.contains(&role) => role,
            (None, [role]) => role,
            (Some(role), asked) => {
                return refuse(format!(
                    "{} asks for the approval of {}, not of {role}",
                    step.name,
                    asked.join(" and ")
                ));
            }
            (None, asked) => {
                return refuse(format!("{} asks for the approval of {}; say as which", step.name, asked.join(" and ")));
            }
        };
        self.check_role(role, by)?;
        Ok(role.to_owned())
    }

    /// The role in which somebody attests to something.
    fn attesting(
        &self,
        what: &str,
        step: Option<&ResolvedStep>,
        steps: &[ResolvedStep],
        by: &Note,
    ) -> Result<Option<String>, Refusal> {
        // What the step itself asks for comes first.
        let requirements = || {
            let all = step.into_iter().chain(steps).flat_map(|step| &step.requires);
            all.filter(|requirement| requirement.approval.is_none())
        };
        let Some(requirement) = requirements().find(|requirement| requirement.attestation.as_deref() == Some(what))
        else {
            let all: BTreeSet<String> =
                requirements().map(|requirement| format!("{:?}", requirement.called())).collect();
            let all: Vec<String> = all.into_iter().collect();
            return refuse(match all.is_empty() {
                true => "the plan asks nobody to attest to anything".to_owned(),
                false => format!("the plan does not ask for {what:?}; it asks for {}", all.join(", ")),
            });
        };
        if let Some(role) = requirement.role() {
            self.check_role(role, by)?;
        }
        Ok(requirement.role().map(str::to_owned))
    }

    fn check_role(&self, role: &str, by: &Note) -> Result<(), Refusal> {
        let of_role = self.roles.get(role).map(Vec::as_slice).unwrap_or_default();
        if of_role.contains(&by.author) {
            return Ok(());
        }
        let those = if of_role.is_empty() { "nobody".to_owned() } else { of_role.join(", ") };
        refuse(format!("the plan gives the role {role} to {those}, and not to {}", by.author))
    }

    fn check_signal(&self, name: &str) -> Result<(), Refusal> {
        let signals = || self.signals();
        if signals().any(|signal| signal == name) {
            return Ok(());
        }
        let all: Vec<&str> = signals().collect();
        refuse(match all.is_empty() {
            true => format!("no trigger of the plan waits for the signal `{name}`, nor for any"),
            false => format!("no trigger of the plan waits for the signal `{name}`; there are {}", all.join(", ")),
        })
    }

    /// The signals that triggers wait for.
    pub fn signals(&self) -> impl Iterator<Item = &str> {
        let triggers = self.triggers.iter().chain(self.steps.iter().flat_map(|step| &step.triggers));
        triggers.filter_map(|trigger| trigger.signal.as_deref())
    }

    /// A rollback never lets anybody in.
    fn check_way(&self, progress: &Progress, to: To) -> Result<(), Refusal> {
        let at = self.percent(progress);
        match to {
            To::Zero => Ok(()),
            _ if self.kills(progress) => refuse("it was rolled back to zero already"),
            To::Previous if progress.percent.is_some() || progress.phase == Phase::RolledBack => {
                refuse("it was turned back already; roll back to zero, or to a percent")
            }
            To::Previous => Ok(()),
            To::Percent(to) => match at {
                None => refuse("the plan sets no percent; roll back to zero, or to the step before"),
                Some(at) if to >= at => refuse(format!("it is at {at}%; a rollback goes down, and {to}% is not")),
                Some(_) => Ok(()),
            },
        }
    }
}
