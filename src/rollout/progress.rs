//! How far a rollout has come.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::guard::Reading;
use super::period::Period;
use super::plan::{Requirement, Severity};
use crate::Timestamp;
use crate::snapshot::definitions::Percent;

/// How far a rollout has come: what the log keeps of it, and all that a controller needs to take it over from another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Progress {
    /// What it is doing.
    pub phase: Phase,
    /// The step it is at, by name; none for none of them, where nobody is on the new path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// In place of the step's percent, after a rollback to a percent and while going down a staircase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<Percent>,
    /// Counts the starts: 1, and one more for each retry.
    pub attempt: u32,
    /// When this attempt began.
    pub started: Timestamp,
    /// When the step began.
    pub entered: Timestamp,
    /// When it began to do what it is doing.
    pub since: Timestamp,
    /// Whether the step's ceiling was lifted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub resumed: bool,
    /// Who or what stopped it, until somebody resumes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Note>,
    /// When somebody last looked at what had stopped it: triggers that only stop count what is newer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reviewed: Option<Timestamp>,
    /// Who approved and attested to what in this attempt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attested: Vec<Attested>,
    /// The signals that are raised, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub signals: BTreeMap<String, Note>,
    /// The way down, while it is going down in steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub staircase: Option<Staircase>,
    /// What was wrong, after a rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident: Option<Incident>,
    /// The last decision.
    pub last: Decided,
}

/// A rollout as a decision left it.
#[derive(Clone, Debug, PartialEq)]
pub struct Passage {
    /// The version of the log that has the decision.
    pub version: u64,
    /// How far the rollout had come, with the decision that brought it there.
    pub progress: Progress,
}

/// What a rollout is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    /// It is at a step and goes on once it may.
    Running,
    /// It stays at its step until somebody resumes it.
    Held,
    /// It is going down a staircase.
    RollingBack,
    /// It was turned back, and is over until somebody retries it.
    RolledBack,
    /// It has been through all of its steps.
    Completed,
}

/// Who said so, why and when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Note {
    /// Who.
    pub author: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

/// Somebody's word.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Attested {
    /// What it is about, as [`Requirement::called`](super::Requirement::called) has it.
    pub what: String,
    /// The role in which it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// The step in which it was given.
    pub step: String,
    /// Who gave it, why and when.
    pub by: Note,
}

/// A way down in steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Staircase {
    /// So many percentage points at once.
    pub by: Percent,
    /// As often as this.
    pub every: Period,
    /// When the next are due.
    pub next: Timestamp,
    /// Where it ends.
    pub to: Percent,
}

/// The record of a rollback.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Incident {
    /// How bad it is.
    pub severity: Severity,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
    /// Who: a person, or the controller.
    pub author: String,
    /// The step in which it happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// Whether the controller turned the rollout back by itself.
    pub rollback_triggered: bool,
    /// What was measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Reading>,
    /// Whether traffic and health followed.
    pub recovery: Recovery,
}

/// Whether traffic and health followed a rollback.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Recovery {
    /// The plan does not say what to look at.
    Unchecked,
    /// Not yet.
    Awaited,
    /// They did.
    Verified,
    /// They did not in time, and people were told.
    Escalated,
}

/// A decision as the log keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Decided {
    /// What was decided.
    pub what: Transition,
    /// What was approved of, attested to, raised or cleared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// Who decided: a person, or the controller.
    pub author: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
    /// What was measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Reading>,
}

impl Decided {
    /// What was decided, for people: `advanced`, or `signal raised: criticalBug`.
    pub fn in_words(&self) -> String {
        let what = self.what.in_words();
        self.about.as_ref().map_or_else(|| what.to_owned(), |about| format!("{what}: {about}"))
    }
}

/// What can happen to a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Transition {
    /// It began.
    Started,
    /// It went on to the next step.
    Advanced,
    /// It has been through all of its steps.
    Completed,
    /// Somebody approved of going on.
    Approved,
    /// Somebody attested to something.
    Attested,
    /// It was stopped.
    Held,
    /// It goes on.
    Resumed,
    /// It went back a step, and stopped.
    SteppedDown,
    /// It began to go down a staircase.
    RollingBack,
    /// It went down one stair.
    Lowered,
    /// It was turned back.
    RolledBack,
    /// A part of the people was taken out.
    CohortRolledBack,
    /// It began again.
    Retried,
    /// A signal was raised.
    Signalled,
    /// A signal was cleared.
    Cleared,
    /// Traffic and health followed a rollback.
    Verified,
    /// Traffic or health did not follow a rollback in time.
    Escalated,
}

impl Transition {
    /// It in a word or two, for people.
    pub fn in_words(self) -> &'static str {
        match self {
            Transition::Started => "started",
            Transition::Advanced => "advanced",
            Transition::Completed => "completed",
            Transition::Approved => "approved",
            Transition::Attested => "attested",
            Transition::Held => "held",
            Transition::Resumed => "resumed",
            Transition::SteppedDown => "stepped down",
            Transition::RollingBack => "began to go down",
            Transition::Lowered => "went one stair down",
            Transition::RolledBack => "rolled back",
            Transition::CohortRolledBack => "took out a cohort",
            Transition::Retried => "began again",
            Transition::Signalled => "signal raised",
            Transition::Cleared => "signal cleared",
            Transition::Verified => "recovery verified",
            Transition::Escalated => "escalated",
        }
    }

    /// Its name, as JSON and events have it.
    pub fn name(self) -> &'static str {
        match self {
            Transition::Started => "started",
            Transition::Advanced => "advanced",
            Transition::Completed => "completed",
            Transition::Approved => "approved",
            Transition::Attested => "attested",
            Transition::Held => "held",
            Transition::Resumed => "resumed",
            Transition::SteppedDown => "steppedDown",
            Transition::RollingBack => "rollingBack",
            Transition::Lowered => "lowered",
            Transition::RolledBack => "rolledBack",
            Transition::CohortRolledBack => "cohortRolledBack",
            Transition::Retried => "retried",
            Transition::Signalled => "signalled",
            Transition::Cleared => "cleared",
            Transition::Verified => "verified",
            Transition::Escalated => "escalated",
        }
    }
}

impl Transition {
    /// Whether the flags are set to what comes of it. All else is noted, and leaves them as they are.
    pub(crate) fn sets_flags(self) -> bool {
        matches!(self, Transition::Started | Transition::Retried | Transition::Advanced | Transition::Resumed)
            || self.goes_down()
    }

    /// Whether nobody may come in by it.
    pub(crate) fn goes_down(self) -> bool {
        matches!(self, Transition::SteppedDown | Transition::RollingBack | Transition::Lowered | Transition::RolledBack)
    }
}

impl Progress {
    /// The last word on what a step requires, whether it still counts or not.
    pub(super) fn given(&self, requirement: &Requirement, step: &str) -> Option<&Attested> {
        self.attested.iter().rev().find(|given| {
            // An approval is of going on from this step; what is attested to stays true.
            let here = requirement.approval.is_none() || given.step == step;
            given.what == requirement.called() && here && given.role.as_deref() == requirement.role()
        })
    }

    /// Whether it moves by itself, or may come to.
    pub fn is_active(&self) -> bool {
        matches!(self.phase, Phase::Running | Phase::Held | Phase::RollingBack)
    }

    /// Whether anybody may be on the new path by it who is to be turned back yet.
    pub(crate) fn is_open(&self) -> bool {
        self.is_active() || (self.phase == Phase::RolledBack && (self.step.is_some() || self.percent.is_some()))
    }

    /// Whether a controller has anything to look at.
    pub fn is_watched(&self) -> bool {
        let awaited = self
            .incident
            .as_ref()
            .is_some_and(|incident| matches!(incident.recovery, Recovery::Awaited | Recovery::Escalated));
        self.is_active() || (self.phase == Phase::RolledBack && awaited)
    }
}
