//! What people do to rollouts, and what they see of them.

mod cleanup;
mod lint;
mod report;
mod run;
mod search;
mod simulate;
mod status;

use std::io::Write;

use clap::Subcommand;
use flagstone::Timestamp;
use flagstone::rollout::{Period, Severity, To, Verb};
use flagstone::snapshot::definitions::{Exclusion, Percent};
use flagstone::store::Operation;

use crate::answer::{Answer, Failure};
use crate::operate::{Cohort, run};
use crate::write::{WriteTo, operate};

/// Run rollouts by their plans
///
/// A plan stands under `rollouts` in the definitions and is published with them. `start` begins it, `run` is the controller
/// that measures, advances and turns back, and the other verbs are what people do.
#[derive(clap::Args)]
pub struct Rollout {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Lint(lint::Lint),
    Run(run::Run),
    Status(status::Status),
    Report(report::Report),
    Simulate(simulate::Simulate),
    Cleanup(cleanup::Cleanup),
    /// Begin a rollout: go to the first step
    #[command(after_help = "Example:
  flagstone rollout start gateway --environment production --store published \\
    --key keys/production.private.jwk --reason 'The preparations are done'")]
    Start(Plain),
    /// Approve of going on to the next step
    ///
    /// The rollout goes on once all else is as the step asks. The plan says who has which role.
    #[command(after_help = "Example:
  flagstone rollout advance calling --step 25% --role stakeholders --author ana@example.com \\
    --reason 'Go'")]
    Advance(Advance),
    /// Attest to something that the plan requires
    #[command(after_help = "Example:
  flagstone rollout attest calling 'support team trained' --author dana@example.com \\
    --reason 'All eight'")]
    Attest(Attest),
    /// Stop a rollout where it is
    Hold(Plain),
    /// Go on with a rollout that was stopped, lift a ceiling, set flags again as the step says
    Resume(Plain),
    /// Begin again after a rollback: where it was rolled back to, or at the first step
    Retry(Plain),
    /// Turn a rollout back
    ///
    /// It is over then, until somebody retries it. Rolled back to zero, its flags are killed: nobody is on the new path, on no
    /// list either. Taking out a cohort stops the rollout, and leaves the others where they are.
    #[command(after_help = "Examples:
  flagstone rollout rollback gateway --emergency --reason 'Calls drop'
  flagstone rollout rollback calling --to previous --reason 'Cost'
  flagstone rollout rollback websocket --staircase 10 --every 5m --reason 'Memory'
  flagstone rollout rollback chat --segment safari --reason 'It is blank there'")]
    Rollback(Rollback),
    /// Raise a signal that a trigger of the plan waits for
    #[command(after_help = "Example:
  flagstone rollout signal gateway criticalBug --reason 'Two calls in one room'")]
    Signal(Signal),
    /// Take a signal back
    Clear(Signal),
    /// Let no rollout of the environment go on; rollbacks still do
    #[command(after_help = "Example:
  flagstone rollout freeze --until 2027-01-02T08:00:00Z --reason 'The holidays'")]
    Freeze(Freeze),
    /// Let rollouts go on again
    Unfreeze(Unfreeze),
}

#[derive(clap::Args)]
struct Plain {
    /// The rollout, by the name of its plan
    #[arg(value_name = "ROLLOUT")]
    rollout: String,
    #[command(flatten)]
    to: WriteTo,
}

#[derive(clap::Args)]
struct Advance {
    #[command(flatten)]
    plain: Plain,
    /// In which role; not needed where the step asks for one only
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,
    /// The step that you approve to be left; refused where the rollout is at another by now
    #[arg(long, value_name = "STEP")]
    step: Option<String>,
}

#[derive(clap::Args)]
struct Attest {
    /// The rollout, by the name of its plan
    #[arg(value_name = "ROLLOUT")]
    rollout: String,
    /// What, as the plan has it
    #[arg(value_name = "WHAT")]
    what: String,
    #[command(flatten)]
    to: WriteTo,
}

#[derive(clap::Args)]
struct Signal {
    /// The rollout, by the name of its plan
    #[arg(value_name = "ROLLOUT")]
    rollout: String,
    /// The signal
    #[arg(value_name = "SIGNAL")]
    signal: String,
    #[command(flatten)]
    to: WriteTo,
}

#[derive(clap::Args)]
struct Rollback {
    #[command(flatten)]
    plain: Plain,
    /// How far: zero, previous (the step before), or a percent; by default zero
    #[arg(long = "to", value_name = "WHERE", value_parser = target)]
    target: Option<To>,
    /// To zero, at once, and on record as critical
    #[arg(long, conflicts_with_all = ["target", "staircase"])]
    emergency: bool,
    /// Go down in steps of so many percentage points
    #[arg(long, value_name = "POINTS")]
    staircase: Option<Percent>,
    /// How long a step of the staircase takes
    #[arg(long, value_name = "DURATION", default_value = "5m", requires = "staircase")]
    every: Period,
    #[command(flatten)]
    cohort: Cohort,
}

#[derive(clap::Args)]
struct Freeze {
    /// Until when, RFC 3339; by default until `unfreeze`
    #[arg(long, value_name = "TIME")]
    until: Option<Timestamp>,
    #[command(flatten)]
    to: WriteTo,
}

#[derive(clap::Args)]
struct Unfreeze {
    #[command(flatten)]
    to: WriteTo,
}

fn target(text: &str) -> Result<To, String> {
    match text {
        "zero" => Ok(To::Zero),
        "previous" => Ok(To::Previous),
        percent => percent
            .trim_end_matches('%')
            .parse::<Percent>()
            .map(To::from)
            .map_err(|error: String| format!("{error}; write zero, previous, or a percent")),
    }
}

impl Rollout {
    pub fn run(self, out: &mut dyn Write) -> Result<Answer, Failure> {
        match self.command {
            Command::Lint(lint) => lint.run(out),
            Command::Run(run) => run.run(out),
            Command::Status(status) => status.run(out),
            Command::Report(report) => report.run(out),
            Command::Simulate(simulate) => simulate.run(out),
            Command::Cleanup(cleanup) => cleanup.run(out),
            Command::Start(plain) => plain.run(out, Verb::Start, ("started", "would start")),
            Command::Advance(Advance { plain, role, step }) => {
                plain.run(out, Verb::Advance { role, step }, ("approved", "would approve"))
            }
            Command::Attest(Attest { rollout, what, to }) => {
                Plain { rollout, to }.run(out, Verb::Attest { what }, ("attested", "would attest"))
            }
            Command::Hold(plain) => {
                let undo = ["rollout", "resume", &plain.rollout].map(str::to_owned);
                plain.run_undone_by(out, Verb::Hold, ("held", "would hold"), &undo)
            }
            Command::Resume(plain) => plain.run(out, Verb::Resume, ("resumed", "would resume")),
            Command::Retry(plain) => plain.run(out, Verb::Retry, ("begun again", "would begin again")),
            Command::Rollback(rollback) => rollback.run(out),
            Command::Signal(Signal { rollout, signal: name, to }) => {
                let undo = ["rollout", "clear", &rollout, &name].map(str::to_owned);
                Plain { rollout, to }.run_undone_by(out, Verb::Signal { name }, ("raised", "would raise"), &undo)
            }
            Command::Clear(Signal { rollout, signal: name, to }) => {
                let undo = ["rollout", "signal", &rollout, &name].map(str::to_owned);
                Plain { rollout, to }.run_undone_by(out, Verb::Clear { name }, ("cleared", "would clear"), &undo)
            }
            Command::Freeze(Freeze { until, to }) => run(
                out,
                &to,
                &[Operation::Freeze { until }],
                ("frozen", "would freeze"),
                Some(&["rollout", "unfreeze"]),
            ),
            Command::Unfreeze(Unfreeze { to }) => {
                run(out, &to, &[Operation::Unfreeze], ("unfrozen", "would unfreeze"), Some(&["rollout", "freeze"]))
            }
        }
    }
}

impl Plain {
    fn run(self, out: &mut dyn Write, verb: Verb, words: (&str, &str)) -> Result<Answer, Failure> {
        run(out, &self.to, &[Operation::Rollout { name: self.rollout, verb }], words, None)
    }

    fn run_undone_by(
        self,
        out: &mut dyn Write,
        verb: Verb,
        words: (&str, &str),
        undo: &[String],
    ) -> Result<Answer, Failure> {
        let undo: Vec<&str> = undo.iter().map(String::as_str).collect();
        run(out, &self.to, &[Operation::Rollout { name: self.rollout, verb }], words, Some(&undo))
    }
}

impl Rollback {
    fn run(self, out: &mut dyn Write) -> Result<Answer, Failure> {
        let Rollback { plain: Plain { rollout, to }, target, emergency, staircase, every, cohort } = self;
        let exclusion: Exclusion = cohort.into();
        let name = rollout.clone();
        if exclusion != Exclusion::default() {
            if emergency || target.is_some() || staircase.is_some() {
                let message = "a cohort is taken out, or the rollout is turned back; give the one or the other";
                return Err(Failure::Usage(message.to_owned()));
            }
            let operator = to.writing.operator(&to.environment, false)?;
            let flags = operate(operator.flags_of(&rollout))?;
            let excluded = flags.into_iter().map(|flag| Operation::Exclude { flag, exclusion: exclusion.clone() });
            let noted = Operation::Rollout { name, verb: Verb::CohortRolledBack };
            let operations: Vec<Operation> = excluded.chain([noted]).collect();
            return run(out, &to, &operations, ("taken out", "would take out"), None);
        }
        let target = target.unwrap_or(To::Zero);
        let verb = match staircase {
            Some(by) => {
                let to = match target {
                    To::Zero => Percent::default(),
                    To::Percent(percent) => percent,
                    To::Previous => {
                        return Err(Failure::Usage("a staircase leads to zero or to a percent".to_owned()));
                    }
                };
                Verb::Staircase { by, every, to }
            }
            None => {
                let severity = if emergency { Severity::Critical } else { Severity::Warning };
                Verb::Rollback { to: target, severity }
            }
        };
        run(out, &to, &[Operation::Rollout { name, verb }], ("rolled back", "would roll back"), None)
    }
}
