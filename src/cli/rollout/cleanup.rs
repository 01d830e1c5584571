use std::io::Write;
use std::path::{Path, PathBuf};

use flagstone::Timestamp;
use flagstone::rollout::PlaceKind;
use serde_json::json;

use super::search::search;
use crate::answer::{Answer, Failure, count, note, wait, warn, write_json};
use crate::diff::StoreToRead;
use crate::files::variable_names;

/// Find where the flags of a rollout are still named, and draft the checklist of taking them out
///
/// At its cleanup step, or once it is completed, a rollout's flags have had their time. Each place that names one is found, in every
/// spelling that code has for it (use_new_gateway, useNewGateway, USE_NEW_GATEWAY, what `flagstone types` writes, variables that
/// pin it), and told apart: code, definitions and plans, dashboards, documentation. A flag of a single word is found as a
/// whole string alone, and as a name of the module that `flagstone types` writes. What .gitignore or .ignore names and what is
/// binary is passed over, and so are links, which is said.
///
/// The checklist is Markdown.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  flagstone rollout cleanup gateway --source . --store published \\
    --keys keys/production.jwks > cleanup.md
  flagstone rollout cleanup gateway --source ../web --source ../api --json \\
    | jq -r '.places[].file' | sort -u")]
pub struct Cleanup {
    /// The rollout, by the name of its plan
    #[arg(value_name = "ROLLOUT")]
    rollout: String,
    /// A folder to search; several may be given
    #[arg(long, value_name = "DIR", required = true)]
    source: Vec<PathBuf>,
    #[command(flatten)]
    store: StoreToRead,
    /// The environment variables that pin flags besides FLAGSTONE_PIN_…, as for `flagstone serve`
    #[arg(long, value_name = "FILE")]
    variables: Option<PathBuf>,
    /// Look before it is time, too
    #[arg(long)]
    anyway: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Cleanup {
    pub fn run(self, out: &mut dyn Write) -> Result<Answer, Failure> {
        let store = self.store.store.as_deref();
        let store = store.ok_or_else(|| Failure::Usage("which log? Name its folder with --store".to_owned()))?;
        if self.store.keys.is_none() {
            let message = "a checklist vouches for what it says; give the trusted keys with --keys";
            return Err(Failure::Usage(message.to_owned()));
        }
        let variables = variable_names(self.variables.as_deref())?;
        let log = self.store.open(store)?;
        let versions = self.store.versions(&log, store)?;
        let version = versions[versions.len() - 1];
        let (definitions, state) = self.store.entry(&log, version)?.contents()?;
        let plan = definitions.rollout(&self.rollout).map_err(Failure::Usage)?;
        let passages = wait(log.passages(&self.rollout, None, usize::MAX))?;
        let now = Timestamp::now();
        let cleanup = plan.cleanup(&self.rollout, log.environment(), &definitions, &state, &passages, now);
        if !cleanup.too_early.is_empty() {
            let why = format!("it is too early to clean up after `{}`: {}", self.rollout, cleanup.too_early.join("; "));
            match self.anyway {
                true => warn(why),
                false => return Err(Failure::Refused(format!("{why}; --anyway looks before it is time"))),
            }
        }
        let found = search(&self.source, Some(Path::new(store)), &plan.flags, &definitions, &variables)?;
        found.unread.iter().for_each(|unread| warn(format!("not searched: {unread}")));
        if self.json {
            let body = json!({
                "version": version, "cleanup": cleanup, "places": found.places, "files": found.files.len(),
                "unread": found.unread,
            });
            return write_json(out, &body);
        }
        write!(out, "{}", cleanup.markdown(&found.places, found.files.len(), now))?;
        let lines = found.places.iter().filter(|place| place.kind == PlaceKind::Code).count();
        note(format!("{} of code in {} that were searched", count(lines, "line"), count(found.files.len(), "file")));
        Ok(Answer::Yes)
    }
}
