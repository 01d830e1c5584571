use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use flagstone::snapshot::definitions::{Change, Definitions, FlagState, Options, Problem, State, compile, diff};
use flagstone::snapshot::{Envelope, EnvelopeError, SigningKey, TrustedKeys, Typ};
use flagstone::store::{Log, NewEntry, StoreError};
use flagstone::{Audience, Timestamp};
use serde_json::{Value, json};

use crate::answer::{Answer, BOLD, DIM, Failure, GREEN, note, thousands, wait, warn, warn_of, write_json};
use crate::diff::{contents, warn_of_moves, write_changes};
use crate::files::{Project, author, signing_key, trusted_keys};

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
    /// The environment to publish to
    #[arg(long, value_name = "NAME")]
    environment: String,
    /// The folder that holds the log; it is made if it is not there
    #[arg(long, value_name = "FOLDER")]
    store: String,
    /// A private key to sign with; give it again while keys are being replaced
    #[arg(long, value_name = "FILE", required = true)]
    key: Vec<PathBuf>,
    /// Keys that are trusted besides those that sign (a JWK Set), where another key signed the newest version
    #[arg(long, value_name = "JWKS")]
    keys: Option<PathBuf>,
    /// Who publishes; by default your name on this system
    #[arg(long, value_name = "NAME")]
    author: Option<String>,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// How long clients may load their snapshot: 7d, 12h, 30m
    #[arg(long, value_name = "DURATION", default_value = "7d", value_parser = humantime::parse_duration)]
    expires: Duration,
    /// Publish although the state overrides some of the edits
    #[arg(long)]
    keep_state: bool,
    /// Drop what operators changed of a flag, all but a kill
    #[arg(long, value_name = "FLAG")]
    reset: Vec<String>,
    /// Do everything but publish
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A snapshot to publish.
struct Compiled {
    audience: Audience,
    payload: String,
    /// Of the signed file.
    bytes: usize,
}

/// What was published, or would be.
struct Publication {
    version: u64,
    edits: Vec<Change>,
    state_edits: Vec<Change>,
    overridden: Vec<Change>,
    warnings: Vec<Problem>,
    snapshots: Vec<Compiled>,
}

impl Publish {
    pub fn run(self, out: &mut dyn Write) -> Result<Answer, Failure> {
        let project = Project::read(&self.paths)?;
        let definitions = project.definitions()?;
        let keys = self.key.iter().map(|path| signing_key(path)).collect::<Result<Vec<_>, _>>()?;
        let author = self.author.clone().map_or_else(author, Ok)?;
        let log = self.log(&keys)?;
        let head = match &log {
            Some(log) => wait(async { log.head().await.map_err(name_keys) })?,
            None => None,
        };
        let (before, old_state) = head.as_ref().map(contents).transpose()?.unwrap_or_default();
        let state = self.reset(&old_state, &definitions)?.keep_kills(&before, &definitions);

        let edits = diff(&before, &definitions);
        let overridden = state.overridden(&before, &definitions);
        let version = Log::version_after(head.as_ref());
        if !overridden.is_empty() && !self.keep_state {
            if self.json {
                write_json(out, &json!({"published": false, "version": version, "overridden": overridden}))?;
            }
            return Err(refuse_overridden(&overridden, &definitions));
        }

        let keys: Vec<&SigningKey> = keys.iter().collect();
        let now = Timestamp::now();
        let snapshots = self.compile(&project, &definitions, &state, version, now, &keys)?;
        // A kill outlives all publishing; nobody should wonder why their edit does nothing.
        for (key, flag) in &definitions.flags {
            if let Some(by) = state.killed(key, flag) {
                note(format!("`{key}` stays killed ({by}); `flagstone restore` lifts it"));
            }
        }
        for change in &overridden {
            warn(format!("{}: the state has another value, which stays", change.path));
        }
        let warnings = warn_of_moves(&before, &definitions);
        if let (Some(log), false) = (&log, self.dry_run) {
            let entry = NewEntry {
                definitions: json_of(&definitions),
                state: json_of(&state),
                author,
                reason: self.reason.clone(),
                time: now,
                snapshots: snapshots.iter().map(|snapshot| snapshot.payload.clone()).collect(),
            };
            wait(log.append(head.as_ref(), entry, &keys))?;
        }
        let state_edits = diff(&old_state, &state);
        self.report(out, &Publication { version, edits, state_edits, overridden, warnings, snapshots })
    }

    /// The log; none where it would have to be made, and this is a rehearsal.
    fn log(&self, keys: &[SigningKey]) -> Result<Option<Log>, Failure> {
        let others = self.keys.as_deref().map(trusted_keys).transpose()?.unwrap_or_default();
        let trusted: TrustedKeys = others.iter().cloned().chain(keys.iter().map(SigningKey::public)).collect();
        let new = !Path::new(self.store.strip_prefix("file://").unwrap_or(&self.store)).exists();
        match (self.dry_run, new) {
            (true, true) => Ok(None),
            (true, false) => Ok(Some(Log::open(&self.store, &self.environment, trusted)?)),
            (false, _) => Ok(Some(Log::create(&self.store, &self.environment, trusted)?)),
        }
    }

    /// The state without what is to be reset.
    fn reset(&self, state: &State, definitions: &Definitions) -> Result<State, Failure> {
        let mut state = state.clone();
        for key in &self.reset {
            let Some(old) = state.flags.remove(key) else {
                let what = match definitions.flags.contains_key(key) {
                    true => "nobody changed anything of it",
                    false => "there is no such flag",
                };
                return Err(Failure::Usage(format!("--reset {key}: {what}; leave it out")));
            };
            if old.killed.is_some() {
                let kept = FlagState { salt: old.salt, killed: old.killed, ..FlagState::default() };
                state.flags.insert(key.clone(), kept);
            }
        }
        Ok(state)
    }

    fn compile(
        &self,
        project: &Project,
        definitions: &Definitions,
        state: &State,
        version: u64,
        now: Timestamp,
        keys: &[&SigningKey],
    ) -> Result<Vec<Compiled>, Failure> {
        let valid = i64::try_from(self.expires.as_millis()).unwrap_or(i64::MAX);
        let mut snapshots = Vec::new();
        for audience in [Audience::Server, Audience::Client] {
            let options = Options {
                environment: self.environment.clone(),
                audience,
                version,
                created: now,
                expires: (audience == Audience::Client).then(|| now.plus_millis(valid)),
            };
            let payload = compile(definitions, state, &options).map_err(|problems| project.refusal(&problems))?;
            // In a rehearsal, too: whether the keys may sign belongs to it.
            let signed = Envelope::sign(&payload, Typ::Snapshot, &self.environment, keys)
                .map_err(|error| Failure::Refused(error.to_string()))?;
            snapshots.push(Compiled { audience, payload, bytes: signed.len() });
        }
        state.lint(definitions).iter().for_each(warn_of);
        Ok(snapshots)
    }

    fn report(&self, out: &mut dyn Write, publication: &Publication) -> Result<Answer, Failure> {
        let Publication { version, edits, state_edits, overridden, warnings, snapshots } = publication;
        let folder = Path::new(self.store.strip_prefix("file://").unwrap_or(&self.store)).join(&self.environment);
        let path = |audience: Audience| folder.join("current").join(format!("{audience}.json")).display().to_string();
        if self.json {
            let object = |Compiled { audience, bytes, .. }: &Compiled| json!({"audience": audience.name(), "path": path(*audience), "bytes": bytes});
            let snapshots: Vec<Value> = snapshots.iter().map(object).collect();
            let published = !self.dry_run;
            return write_json(
                out,
                &json!({
                    "published": published, "version": version, "environment": self.environment, "changes": edits,
                    "state": state_edits, "overridden": overridden, "warnings": warnings, "snapshots": snapshots,
                }),
            );
        }
        let (word, environment) = (if self.dry_run { "would publish" } else { "published" }, &self.environment);
        writeln!(out, "{GREEN}{word}{GREEN:#} {BOLD}version {version}{BOLD:#} for `{environment}`")?;
        if edits.is_empty() {
            writeln!(out, "  no definition changed")?;
        }
        write_changes(out, edits)?;
        if !state_edits.is_empty() {
            writeln!(out, "{BOLD}state{BOLD:#}")?;
            write_changes(out, state_edits)?;
        }
        for Compiled { audience, bytes, .. } in snapshots {
            let bytes = thousands(*bytes as u64);
            writeln!(out, "{DIM}{audience}{DIM:#}  {}  {DIM}{bytes} bytes{DIM:#}", path(*audience))?;
        }
        Ok(Answer::Yes)
    }
}

/// Names the option by which the signer of the newest version is trusted.
fn name_keys(error: StoreError) -> StoreError {
    match error {
        StoreError::Signature { path, source: EnvelopeError::Untrusted { kids } } => StoreError::Refused(format!(
            "{path}: signed by {:?}, which is not the key given with --key; if both are to be trusted, name the set that \
             holds the other with --keys",
            kids.join(", ")
        )),
        error => error,
    }
}

fn json_of(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
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
