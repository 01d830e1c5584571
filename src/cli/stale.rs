use std::io::Write;
use std::path::PathBuf;

use flagstone::Timestamp;
use flagstone::rollout::Plan;
use flagstone::snapshot::definitions::{StaleReason, stale};

use crate::answer::{Answer, BOLD, DIM, Failure, GREEN, count, write_json};
use crate::files::Project;

/// Name the flags that have had their time
///
/// A flag is stale when it is past its `expires`, or serves the same variant to everyone. Exits with 1 if there is one. Where code
/// still asks for the flags of a rollout, `flagstone rollout cleanup` finds.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  flagstone stale
  flagstone stale flags.yaml --now 2026-12-31T00:00:00Z --json")]
pub struct Stale {
    /// Files of definitions, or folders of them
    #[arg(value_name = "FILE|DIR", default_value = ".")]
    paths: Vec<PathBuf>,
    /// The time that expiry goes by, RFC 3339; by default it is now
    #[arg(long, value_name = "TIME")]
    now: Option<Timestamp>,
    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

impl Stale {
    pub fn run(self, out: &mut dyn Write) -> Result<Answer, Failure> {
        let definitions = Project::read(&self.paths)?.definitions()?;
        let found = stale(&definitions, self.now.unwrap_or_else(Timestamp::now));
        if self.json {
            write_json(out, &found)?;
        } else if found.is_empty() {
            writeln!(out, "{GREEN}ok{GREEN:#}: none of {} is stale", count(definitions.flags.len(), "flag"))?;
        } else {
            for stale in &found {
                let owner = stale.owner.as_deref().unwrap_or("nobody");
                writeln!(out, "{BOLD}{}{BOLD:#}  {DIM}owned by {owner}{DIM:#}", stale.flag)?;
                for reason in &stale.reasons {
                    match reason {
                        StaleReason::Expired(at) => writeln!(out, "    expired {at}")?,
                        StaleReason::SameForEveryone(variant) => writeln!(out, "    everyone gets `{variant}`")?,
                    }
                }
                let moves = |(name, plan): (&'_ String, &Plan)| plan.flags.contains(&stale.flag).then(|| name.clone());
                if let Some(rollout) = definitions.rollouts.iter().find_map(moves) {
                    writeln!(
                        out,
                        "    `flagstone rollout cleanup {rollout} --source DIR` finds where it is asked for"
                    )?;
                }
            }
            writeln!(out, "{} of {} stale", found.len(), count(definitions.flags.len(), "flag"))?;
        }
        Ok(if found.is_empty() { Answer::Yes } else { Answer::No })
    }
}
