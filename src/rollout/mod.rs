//! What moves: plans of rollouts, and what they do next.
//!
//! A [`Plan`] is data: the steps of a rollout, what must hold to go on (gates), what turns it back (triggers), who must
//! approve. [`decide`] says what to do next, by the plan, by how far the rollout has come ([`Progress`]), by what was measured
//! ([`Observations`]) and by the time; it asks nothing and nobody. [`Verb`]s are what people do. What comes of both is a
//! new [`Progress`], which says what flags are to be set to ([`Plan::settings`]).
//!
//! How that is kept, and how two controllers at once take no step twice, is the business of
//! [`Operation::Rollout`](crate::store::Operation::Rollout).
//!
//! ```
//! use flagstone::Timestamp;
//! use flagstone::rollout::{Note, Observations, Plan, Standing, Verb, Verdict, decide};
//!
//! let plan: Plan = serde_json::from_str(r#"{
//!     "flags": ["use_new_gateway"],
//!     "steps": [{"percent": 10, "soak": "2d"}, {"percent": 100}]
//! }"#)?;
//! let at = |text: &str| text.parse::<Timestamp>().unwrap();
//! let by = Note { author: "ana".into(), reason: "Off we go".into(), at: at("2025-01-10T08:00:00Z") };
//! let progress = Verb::Start.apply(&plan, None, &by)?;
//!
//! let standing = Standing { progress, obstacles: Vec::new() };
//! let decide = |now| decide(&plan, &standing, &Observations::new(), at(now));
//! assert_eq!(decide("2025-01-12T07:59:59Z").verdict, Verdict::Wait);
//! assert_eq!(decide("2025-01-12T07:59:59Z").next, Some(at("2025-01-12T08:00:00Z")));
//! assert_eq!(decide("2025-01-12T08:00:00Z").verdict, Verdict::Advance);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
#![doc = include_str!("STATISTICS.md")]

mod advice;
mod calendar;
mod cleanup;
mod condition;
mod counts;
mod decide;
mod flags;
mod guard;
mod lint;
mod period;
mod plan;
mod progress;
mod report;
mod sequential;
mod simulate;
mod status;
mod verbs;

pub use advice::Advice;
pub use calendar::{Day, Freeze, Window};
pub use cleanup::{Cleanup, FlagCleanup, Place, PlaceKind};
pub use condition::Condition;
pub use counts::{Arm, Count};
pub use decide::{Blocker, BlockerKind, CONTROLLER, Decision, Standing, To, Verdict, decide};
pub use flags::{ByHand, Deed};
pub use guard::{Answer, Finding, Observations, Part, Question, Reading};
pub use period::Period;
pub use plan::{
    Action, AfterRollback, Arms, Baseline, FalsePositiveRate, Gate, Metric, OnNoData, Pace, Plan, Quantity,
    Requirement, ResolvedStep, SampleRatio, Sequential, Series, Setting, Severity, Step, Traffic, Trigger,
};
pub use progress::{Attested, Decided, Incident, Note, Passage, Phase, Progress, Recovery, Staircase, Transition};
pub use report::{DecisionReport, IncidentReport, Report, RequirementReport, Spent, StepReport, StepState};
pub use simulate::{
    Assumption, Curve, Exposure, Happened, History, Moment, Outcome, People, Point, Scenario, Script, Simulation,
    Threshold, Turned, Wait, simulate,
};
pub use status::{Mode, Status};
pub use verbs::{Refusal, Verb};

pub(crate) use advice::advise;
pub(crate) use lint::lint;
