use std::io::Write;
use std::path::PathBuf;

use crate::answer::{Answer, Failure, GREEN, RED, count, note, write_json};
use crate::files::Project;

/// Check definitions
///
/// Says what is wrong, where, and what to do about it. Exits with 1 if anything is an error; warnings are let pass
/// unless --strict is given.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  flagstone lint
  flagstone lint flags.yaml segments.yaml --strict
  flagstone lint flags/ --json | jq '.[].message'")]
pub struct Lint {
    /// Files of definitions, or folders of them
    #[arg(value_name = "FILE|DIR", default_value = ".")]
    paths: Vec<PathBuf>,
    /// Let no warning pass either
    #[arg(long)]
    strict: bool,
    /// Print the problems as a JSON array
    #[arg(long)]
    json: bool,
}

impl Lint {
    pub fn run(self, out: &mut dyn Write) -> Result<Answer, Failure> {
        let project = Project::read(&self.paths)?;
        if !project.others().is_empty() {
            note(format!("passed over, since they hold no definitions: {}", project.others().join(", ")));
        }
        let (definitions, problems) = project.check();
        let errors = problems.iter().filter(|problem| problem.is_error()).count();
        let warnings = problems.len() - errors;
        let good = errors == 0 && (warnings == 0 || !self.strict);
        if self.json {
            write_json(out, &problems)?;
        } else {
            for problem in &problems {
                writeln!(out, "{}", project.show(problem))?;
            }
            let found = [(errors, "error"), (warnings, "warning")].into_iter().filter(|(number, _)| *number > 0);
            let found = found.map(|(number, noun)| count(number, noun)).collect::<Vec<_>>().join(", ");
            let flags = definitions.map_or(0, |definitions| definitions.flags.len());
            let checked = format!("{} in {}", count(flags, "flag"), count(project.files(), "file"));
            match (good, found.is_empty()) {
                (true, true) => writeln!(out, "{GREEN}ok{GREEN:#}: {checked}")?,
                (true, false) => writeln!(out, "{GREEN}ok{GREEN:#}: {checked}, {found}")?,
                (false, _) => writeln!(out, "{RED}not ok{RED:#}: {found}")?,
            }
        }
        Ok(if good { Answer::Yes } else { Answer::No })
    }
}
