use std::io::Write;
use std::path::{Path, PathBuf};

use flagstone::snapshot::TrustedKeys;
use flagstone::snapshot::definitions::{Change, Definitions, Problem, State, diff, reshuffles};
use flagstone::store::{Log, Record};
use serde_json::{Value, json};

use crate::answer::{Answer, BOLD, DIM, Failure, GREEN, RED, YELLOW, count, note, wait, warn_of, write_json};
use crate::files::{Project, trusted_keys};

/// Say what changed between two versions, or two sets of definitions
///
/// With --store, a whole number is a version of the log: OLD is by default the version before NEW, NEW by default the
/// newest. Anything else is a file or folder of definitions. Between two versions the state that operators changed is
/// compared as well. Warns of what moves users although no percent says so, a new salt for one.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  flagstone diff flags.yaml new/flags.yaml
  flagstone diff --store published --keys keys/production.jwks 3 5
  flagstone diff --store published --keys keys/production.jwks 5 flags.yaml")]
pub struct Diff {
    /// What it was
    #[arg(value_name = "OLD", required_unless_present = "store")]
    old: Option<String>,
    /// What it is now
    #[arg(value_name = "NEW", required_unless_present = "store")]
    new: Option<String>,
    #[command(flatten)]
    store: StoreToRead,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A log to look at.
#[derive(clap::Args)]
pub struct StoreToRead {
    /// The folder that holds the log, or s3://BUCKET/FOLDER
    #[arg(long, value_name = "STORE", env = "FLAGSTONE_STORE")]
    pub store: Option<String>,
    /// The environment
    #[arg(long, value_name = "NAME", default_value = "production", env = "FLAGSTONE_ENVIRONMENT")]
    pub environment: String,
    /// The trusted keys (a JWK Set); without them no signature is checked
    #[arg(long, value_name = "JWKS", env = "FLAGSTONE_KEYS")]
    pub keys: Option<PathBuf>,
}

impl StoreToRead {
    /// Opens the log, and says so where nothing will be checked.
    pub fn open(&self, store: &str) -> Result<Log, Failure> {
        let keys = match &self.keys {
            Some(path) => trusted_keys(path)?,
            None => {
                note("no signature is checked; give the trusted keys with --keys");
                TrustedKeys::default()
            }
        };
        Ok(Log::open(store, &self.environment, keys)?)
    }

    /// The versions in the log, at least one.
    pub fn versions(&self, log: &Log, store: &str) -> Result<Vec<u64>, Failure> {
        let versions = wait(log.versions())?;
        if versions.is_empty() {
            let environment = &self.environment;
            return Err(Failure::File(format!(
                "{store}: there is no entry for the environment `{environment}`; name another with --environment, or \
                 publish first"
            )));
        }
        Ok(versions)
    }

    pub fn entry(&self, log: &Log, version: u64) -> Result<Record, Failure> {
        match self.keys {
            Some(_) => wait(log.read(version)),
            None => wait(log.peek(version)),
        }
    }
}

/// One of the two sides.
struct Side {
    name: String,
    definitions: Definitions,
    /// Of a version in a log.
    state: Option<State>,
}

impl Diff {
    pub fn run(self, out: &mut dyn Write) -> Result<Answer, Failure> {
        let (old, new) = self.sides()?;
        let definitions = diff(&old.definitions, &new.definitions);
        let state = match (&old.state, &new.state) {
            (Some(old), Some(new)) => diff(old, new),
            _ => Vec::new(),
        };
        let warnings = warn_of_moves(&old.definitions, &new.definitions);
        if self.json {
            return write_json(
                out,
                &json!({
                    "old": old.name, "new": new.name, "definitions": definitions, "state": state, "warnings": warnings,
                }),
            );
        }
        writeln!(out, "{DIM}{} → {}{DIM:#}", old.name, new.name)?;
        if definitions.is_empty() && state.is_empty() {
            writeln!(out, "nothing changed")?;
        }
        write_changes(out, &definitions)?;
        if !state.is_empty() {
            writeln!(out, "{BOLD}state{BOLD:#}")?;
            write_changes(out, &state)?;
        }
        Ok(Answer::Yes)
    }

    fn sides(&self) -> Result<(Side, Side), Failure> {
        let Some(store) = &self.store.store else {
            let side = |path: &Option<String>| files_side(path.as_deref().unwrap_or("."));
            return Ok((side(&self.old)?, side(&self.new)?));
        };
        let log = self.store.open(store)?;
        let versions = self.store.versions(&log, store)?;
        let newest = versions[versions.len() - 1];
        let version = |text: &str| text.parse::<u64>().ok();
        let side = |text: &str| match version(text) {
            Some(version) if versions.contains(&version) => self.version_side(&log, version),
            Some(version) => Err(Failure::File(format!(
                "{store}: there is no version {version}; the newest of {} is {newest}",
                count(versions.len(), "version")
            ))),
            None => files_side(text),
        };
        let new = self.new.clone().unwrap_or_else(|| newest.to_string());
        let old = match (&self.old, version(&new)) {
            (Some(old), _) => side(old)?,
            (None, Some(new)) => match versions.iter().rev().find(|version| **version < new) {
                Some(before) => side(&before.to_string())?,
                None => {
                    let definitions = Definitions::default();
                    Side { name: "nothing".to_owned(), definitions, state: Some(State::default()) }
                }
            },
            (None, None) => side(&newest.to_string())?,
        };
        Ok((old, side(&new)?))
    }

    fn version_side(&self, log: &Log, version: u64) -> Result<Side, Failure> {
        let (definitions, state) = self.store.entry(log, version)?.contents()?;
        Ok(Side { name: format!("version {version}"), definitions, state: Some(state) })
    }
}

fn files_side(path: &str) -> Result<Side, Failure> {
    let definitions = Project::read(&[Path::new(path).to_owned()])?.definitions()?;
    Ok(Side { name: path.to_owned(), definitions, state: None })
}

/// Says what a change does that its lines do not show, and returns the warnings.
pub fn warn_of_moves(old: &Definitions, new: &Definitions) -> Vec<Problem> {
    let warnings = reshuffles(old, new);
    warnings.iter().for_each(warn_of);
    for key in old.flags.keys().filter(|key| !new.flags.contains_key(*key)) {
        note(format!("`{key}` is removed: code that still asks for it gets its own default"));
    }
    warnings
}

pub fn write_changes(out: &mut dyn Write, changes: &[Change]) -> Result<(), Failure> {
    for Change { path, before, after } in changes {
        match (before, after) {
            (None, Some(after)) => writeln!(out, "  {GREEN}+ {path}{GREEN:#}: {}", brief(after))?,
            (Some(before), None) => writeln!(out, "  {RED}- {path}{RED:#}: {}", brief(before))?,
            (before, after) => {
                let (before, after) = (before.as_ref().unwrap_or(&Value::Null), after.as_ref().unwrap_or(&Value::Null));
                writeln!(out, "  {YELLOW}~ {path}{YELLOW:#}: {} → {}", brief(before), brief(after))?;
            }
        }
    }
    Ok(())
}

/// As much of a value as fits on a line; `--json` has all of it.
fn brief(value: &Value) -> String {
    const WIDTH: usize = 100;
    let text = value.to_string();
    match text.char_indices().nth(WIDTH) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
