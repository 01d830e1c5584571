use std::io::Write;
use std::path::PathBuf;

use flagstone::Timestamp;
use flagstone::rollout::Advice;
use flagstone::snapshot::definitions::{Problem, Severity, advise};

use crate::answer::{Answer, Failure, GREEN, RED, count, write_json};
use crate::files::Project;

/// Check plans before anybody is exposed
///
/// Says what may go wrong although a plan says what it means: gates that never hold, thresholds with a hole between them, windows
/// with too few events, dates that cannot be kept, flags that a rollback does not reach. Exits with 1 if anything is an error
/// or a warning; notes are let pass.
///
/// What is as it should be is accepted in the plan, with the reason: `accepted: {only-waits: We look at it then}`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  flagstone rollout lint
  flagstone rollout lint flags.yaml gateway.rollout.yaml --allow leap
  flagstone rollout lint plans/ --json | jq '.[].code'")]
pub struct Lint {
    /// Files of definitions, or folders of them
    #[arg(value_name = "FILE|DIR", default_value = ".")]
    paths: Vec<PathBuf>,
    /// Say nothing of this
    #[arg(long, value_name = "CODE")]
    allow: Vec<Advice>,
    /// The time that dates go by, RFC 3339; by default it is now
    #[arg(long, value_name = "TIME")]
    now: Option<Timestamp>,
    /// Print what is found as a JSON array
    #[arg(long)]
    json: bool,
}

impl Lint {
    pub fn run(self, out: &mut dyn Write) -> Result<Answer, Failure> {
        let project = Project::read(&self.paths)?;
        let (definitions, problems) = project.check();
        let mut found: Vec<Problem> = problems.into_iter().filter(Problem::is_error).collect();
        let mut plans = 0;
        if let Some(definitions) = &definitions {
            plans = definitions.rollouts.len();
            let advice = advise(definitions, self.now.unwrap_or_else(Timestamp::now));
            found.extend(
                advice.into_iter().filter(|problem| problem.code.is_none_or(|code| !self.allow.contains(&code))),
            );
        }
        let good = !found.iter().any(|problem| problem.severity != Severity::Note);
        if self.json {
            write_json(out, &found)?;
        } else {
            for problem in &found {
                writeln!(out, "{}", project.show(problem))?;
            }
            let severities = [(Severity::Error, "error"), (Severity::Warning, "warning"), (Severity::Note, "note")];
            let numbers = severities.map(|(severity, noun)| {
                let number = found.iter().filter(|problem| problem.severity == severity).count();
                (number > 0).then(|| count(number, noun))
            });
            let numbers = numbers.into_iter().flatten().collect::<Vec<_>>().join(", ");
            let checked = format!("{} in {}", count(plans, "plan"), count(project.files(), "file"));
            match (good, numbers.is_empty()) {
                (true, true) => writeln!(out, "{GREEN}ok{GREEN:#}: {checked}")?,
                (true, false) => writeln!(out, "{GREEN}ok{GREEN:#}: {checked}, {numbers}")?,
                (false, _) => writeln!(out, "{RED}not ok{RED:#}: {numbers}")?,
            }
        }
        Ok(if good { Answer::Yes } else { Answer::No })
    }
}
