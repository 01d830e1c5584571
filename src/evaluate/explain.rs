use super::Evaluation;
use super::Step;
use super::condition::Truth;
use super::schedule::Membership;

/// How a flag was decided: every step of the precedence that was looked at, in order, with what was found.
///
/// It comes from the very function that decides, watched while it works, so it cannot disagree with the result.
/// Prerequisites follow the step that asks for them, one level deeper; where they decide, they come last.
///
/// ```
/// use flagstone::{Context, Snapshot, Step, Timestamp};
///
/// let snapshot = Snapshot::from_payload(r#"{
///     "schema": 1, "environment": "test", "audience": "server", "version": 1, "created": "2026-11-21T12:00:00Z",
///     "flags": {"beta": {
///         "type": "boolean", "variants": {"on": true, "off": false}, "off": "off", "salt": "beta-1",
///         "default": {"ramp": {"percent": 25000, "serve": "on"}}
///     }}
/// }"#)?;
/// let explanation = snapshot.at(Timestamp::now()).explain("beta", &Context::new("user-42")).expect("there is the flag");
/// let last = explanation.steps.last().expect("at least one step decides");
/// assert!(last.decided && last.step == Step::Default);
/// println!("{:?}", last.findings); // the user's position against the ramp's percent
/// # Ok::<(), flagstone::SnapshotError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Explanation<'s> {
    /// The result.
    pub evaluation: Evaluation<'s>,
    /// What was looked at, in order.
    pub steps: Vec<ExplainedStep>,
}

/// One step of the precedence, for one flag.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "camelCase"))]
pub struct ExplainedStep {
    /// The flag: the one asked for, or a prerequisite.
    pub flag: String,
    /// 0 for the flag asked for, 1 for its prerequisites, and so on.
    pub depth: u32,
    /// The step.
    pub step: Step,
    /// Whether this step decided.
    pub decided: bool,
    /// What was found on the way, parts of a condition before the whole.
    pub findings: Vec<Finding>,
}

/// Something that was found out about the context.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "camelCase", tag = "kind"))]
#[non_exhaustive]
pub enum Finding {
    /// The flag is killed.
    Killed {
        /// `all`, `tag:NAME` or `flag`.
        by: String,
    },
    /// The flag needs something that this engine lacks.
    Lacking {
        /// The name, as `requires` has it.
        name: String,
    },
    /// A condition of a rule or segment, as it stands in the snapshot.
    Condition {
        /// The condition's JSON.
        json: String,
        /// Whether it holds.
        truth: Truth,
    },
    /// A segment.
    Segment {
        /// Its name.
        name: String,
        /// Whether the context is in it.
        truth: Truth,
    },
    /// A list of people's keys.
    List {
        /// Whether the context's key is on it.
        listed: bool,
    },
    /// A prerequisite.
    Prerequisite {
        /// The other flag.
        flag: String,
        /// The variant that it serves; `None` where it is in error.
        variant: Option<String>,
        /// Whether that is a variant asked for.
        holds: bool,
    },
    /// A ramp's or a holdout's percent, the user's position against it.
    Threshold {
        /// The holdout's name; `None` for a ramp.
        holdout: Option<String>,
        /// Thousandths of a percent; positions below it are in.
        percent: u32,
        /// The user's position; `None` where there is no key to have one.
        position: Option<u32>,
        /// What that makes of the user.
        membership: Membership,
    },
    /// A split, the user's position in it.
    Part {
        /// The user's position.
        position: u32,
        /// The upper bound of the part that the position falls into.
        below: u32,
    },
    /// A layer's or a cohort exclusion's ranges of positions.
    Ranges {
        /// The layer's name; `None` for a cohort exclusion.
        layer: Option<String>,
        /// The user's position.
        position: u32,
        /// Whether one of the ranges holds it.
        inside: bool,
    },
}

/// Watches the decider.
#[derive(Default)]
pub(crate) struct Trace {
    pub steps: Vec<ExplainedStep>,
    around: Around,
}

/// The flag being decided, and where its latest step stands.
#[derive(Clone, Default)]
pub(crate) struct Around {
    flag: String,
    depth: u32,
    latest: Option<usize>,
}

impl Trace {
    /// Goes into a flag; give the answer to [`Trace::leave`].
    pub(crate) fn enter(&mut self, flag: &str) -> Around {
        let depth = if self.steps.is_empty() { 0 } else { self.around.depth + 1 };
        std::mem::replace(&mut self.around, Around { flag: flag.to_owned(), depth, latest: None })
    }

    pub(crate) fn leave(&mut self, around: Around, decided: Step) {
        if let Some(step) = self.around.latest.map(|latest| &mut self.steps[latest]) {
            debug_assert_eq!(step.step, decided, "the last step looked at is the one that decided");
            step.decided = true;
        }
        self.around = around;
    }

    pub(crate) fn begin(&mut self, step: Step) {
        self.around.latest = Some(self.steps.len());
        let Around { flag, depth, .. } = self.around.clone();
        self.steps.push(ExplainedStep { flag, depth, step, decided: false, findings: Vec::new() });
    }

    pub(crate) fn add(&mut self, finding: Finding) {
        if let Some(latest) = self.around.latest {
            self.steps[latest].findings.push(finding);
        }
    }
}
