use std::io::Write;
use std::path::PathBuf;

use flagstone::Audience;
use flagstone::snapshot::definitions::{Change, Definitions, diff};
use flagstone::store::{OperationError, Operator, Outcome, Publication, Record};
use serde_json::{Value, json};

use crate::answer::{Answer, BOLD, DIM, Failure, GREEN, note, runtime, thousands, warn, warn_of, write_json};
use crate::diff::{warn_of_moves, write_changes};
use crate::files::Project;
use crate::words;
use crate::write::{WriteTo, failure};

/// Publish definitions
///
/// Checks them, compiles the snapshots for servers and for clients, signs these and the entry of the log, and appends
/// the entry. What operators changed meanwhile (kills, percents, lists) stays as it is. An edit that does nothing because
/// of that is listed, and nothing is published unless --keep-state or --reset says what is meant.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  flagstone publish --environment production --store published --key keys/production.private.jwk \\
    --reason 'The new gateway for one user in ten'
  flagstone publish flags/ --environment staging --store published --key staging.private.jwk \\
    --reason 'A rehearsal' --dry-run")]
pub struct Publish {
    /// Files of definitions, or folders of them
    #[arg(value_name = "FILE|DIR", default_value = ".")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    to: WriteTo,
    /// Publish although the state overrides some of the edits
    #[arg(long)]
    keep_state: bool,
    /// Drop what operators changed of a flag, all but a kill
    #[arg(long, value_name = "FLAG")]
    reset: Vec<String>,
}

impl Publish {
    pub fn run(self, out: &mut dyn Write) -> Result<Answer, Failure> {
        let WriteTo { environment, writing } = &self.to;
        let project = Project::read(&self.paths)?;
        let definitions = project.definitions()?;
        let operator = writing.operator(environment, true)?;
        let (keep_state, reset) = (self.keep_state, self.reset.clone());
        let publication = Publication { definitions: definitions.clone(), keep_state, reset };
        let published = runtime()?.block_on(operator.publish(&publication, &writing.request()?));
        let outcome = match published {
            Ok(outcome) => outcome,
            Err(OperationError::Overridden(overridden)) => {
                if writing.json {
                    write_json(out, &json!({"published": false, "overridden": overridden}))?;
                }
                return Err(refuse_overridden(&overridden, &definitions));
            }
            Err(OperationError::Problems(problems)) => return Err(project.refusal(&problems)),
            Err(error) => return Err(failure(error)),
        };
        outcome.warnings.iter().for_each(warn_of);
        // A kill outlives all publishing; nobody should wonder why their edit does nothing.
        for (key, flag) in &outcome.definitions.flags {
            if let Some(by) = outcome.state.killed(key, flag) {
                note(format!("`{key}` stays killed ({by}); `flagstone restore` lifts it"));
            }
        }
        // A flag that another writer published meanwhile is in no file.
        for Change { path, .. } in diff(&definitions.flags, &outcome.definitions.flags) {
            note(format!("{path}: somebody else published this meanwhile, and it stays"));
        }
        for change in &outcome.overridden {
            warn(format!("{}: the state has another value, which stays", change.path));
        }
        self.report(out, &operator, &outcome)
    }

    fn report(&self, out: &mut dyn Write, operator: &Operator, outcome: &Outcome) -> Result<Answer, Failure> {
        let (before, state) = outcome.before.as_ref().map(Record::contents).transpose()?.unwrap_or_default();
        let warnings = warn_of_moves(&before, &outcome.definitions);
        let WriteTo { environment, writing } = &self.to;
        let Outcome { version, definition_changes, state_changes, overridden, snapshots, .. } = outcome;
        let path = |audience: Audience| operator.log().current_location(audience);
        if writing.json {
            let object = |(audience, envelope): &(Audience, String)| json!({"audience": audience.name(), "path": path(*audience), "bytes": envelope.len()});
            let snapshots: Vec<Value> = snapshots.iter().map(object).collect();
            return write_json(
                out,
                &json!({
                    "published": outcome.record.is_some(), "version": version, "environment": environment,
                    "changes": definition_changes, "state": state_changes, "overridden": overridden,
                    "warnings": warnings, "snapshots": snapshots,
                }),
            );
        }
        let word = if writing.dry_run { "would publish" } else { "published" };
        writeln!(out, "{GREEN}{word}{GREEN:#} {BOLD}version {version}{BOLD:#} for `{environment}`")?;
        if definition_changes.is_empty() {
            writeln!(out, "  no definition changed")?;
        }
        write_changes(out, definition_changes)?;
        for line in words::of_state(&outcome.definitions, &state, &outcome.state) {
            writeln!(out, "  {line}")?;
        }
        for (audience, envelope) in snapshots {
            let bytes = thousands(envelope.len() as u64);
            writeln!(out, "{DIM}{audience}{DIM:#}  {}  {DIM}{bytes} bytes{DIM:#}", path(*audience))?;
        }
        Ok(Answer::Yes)
    }
}

fn refuse_overridden(overridden: &[Change], definitions: &Definitions) -> Failure {
    let mut flags: Vec<&str> = Vec::new();
    let mut lines = String::new();
    for Change { path, before, after } in overridden {
        let text = |value: &Option<Value>| value.as_ref().map_or("nothing".to_owned(), Value::to_string);
        lines += &format!("\n    {path}: {} → {}", text(before), text(after));
        let named = definitions.flags.keys().filter(|key| names(path, key));
        flags.extend(named.map(String::as_str).filter(|key| !flags.contains(key)).collect::<Vec<_>>());
    }
    let resets: String = flags.iter().map(|flag| format!(" --reset {flag}")).collect();
    Failure::Refused(format!(
        "operators changed what these edits are about, so the edits would do nothing:{lines}\n  \
         Publish with --keep-state to leave it so, or with{resets} to drop what operators changed."
    ))
}

/// Whether the path of a change leads into the flag.
fn names(path: &str, flag: &str) -> bool {
    let rest = path.strip_prefix("flags").unwrap_or_default();
    [format!(".{flag}"), format!("[{flag:?}]")].iter().any(|name| {
        rest.strip_prefix(name.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    })
}
