//! What all verbs share that write to a log.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use flagstone::Timestamp;
use flagstone::snapshot::{EnvelopeError, SigningKey, TrustedKeys};
use flagstone::store::{Log, OperationError, Operator, Outcome, Record, Request, StoreError};
use serde_json::json;

use crate::answer::{Answer, BOLD, DIM, Failure, GREEN, runtime, warn_of, write_json};
use crate::diff::write_changes;
use crate::files::{author, signing_key, trusted_keys};
use crate::words;

/// Where to write, who does, and why.
#[derive(clap::Args)]
pub struct WriteTo {
    /// The environment
    #[arg(long, value_name = "NAME", env = "FLAGSTONE_ENVIRONMENT")]
    pub environment: String,
    #[command(flatten)]
    pub writing: Writing,
}

#[derive(clap::Args)]
pub struct Writing {
    /// The folder that holds the log, or s3://BUCKET/FOLDER
    #[arg(long, value_name = "STORE", env = "FLAGSTONE_STORE")]
    pub store: String,
    /// A private key to sign with; give it again while keys are being replaced
    #[arg(long, value_name = "FILE", required = true, env = "FLAGSTONE_KEY", hide_env_values = true)]
    pub key: Vec<PathBuf>,
    /// Keys that are trusted besides those that sign (a JWK Set), where another key signed the newest version
    #[arg(long, value_name = "JWKS", env = "FLAGSTONE_KEYS")]
    pub keys: Option<PathBuf>,
    /// Who does it; by default your name on this system
    #[arg(long, value_name = "NAME", env = "FLAGSTONE_AUTHOR")]
    pub author: Option<String>,
    /// Why
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// How long clients may load their snapshot: 7d, 12h, 30m
    #[arg(long, value_name = "DURATION", default_value = "7d", value_parser = humantime::parse_duration)]
    pub expires: Duration,
    /// The version that you have looked at: what others changed of the same since then is not overwritten
    #[arg(long, value_name = "VERSION")]
    pub expected: Option<u64>,
    /// Do everything but write
    #[arg(long)]
    pub dry_run: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

impl Writing {
    /// Opens the log with the keys to sign it. A verb that may begin a log makes the folder.
    pub fn operator(&self, environment: &str, create: bool) -> Result<Operator, Failure> {
        let keys = self.key.iter().map(|path| signing_key(path)).collect::<Result<Vec<_>, _>>()?;
        let others = self.keys.as_deref().map(trusted_keys).transpose()?.unwrap_or_default();
        let trusted: TrustedKeys = others.iter().cloned().chain(keys.iter().map(SigningKey::public)).collect();
        let log = match (create, self.dry_run) {
            (true, true) => Log::rehearse(&self.store, environment, trusted)?,
            (true, false) => Log::create(&self.store, environment, trusted)?,
            (false, _) => Log::open(&self.store, environment, trusted)?,
        };
        Ok(Operator::new(log, keys, self.expires))
    }

    pub fn request(&self) -> Result<Request, Failure> {
        let author = self.author.clone().map_or_else(author, Ok)?;
        let (reason, expected, dry_run) = (self.reason.clone(), self.expected, self.dry_run);
        Ok(Request { author, reason, expected, now: Timestamp::now(), dry_run })
    }

    /// Reports what a verb did: `done` as in "killed", `would` as in "would kill", and what it did that to.
    pub fn report(
        &self,
        out: &mut dyn Write,
        environment: &str,
        outcome: &Outcome,
        (done, would): (&str, &str),
        undo: Option<String>,
    ) -> Result<Answer, Failure> {
        outcome.warnings.iter().for_each(warn_of);
        let Outcome { version, changed, definition_changes, state_changes, .. } = outcome;
        if self.json {
            return write_json(
                out,
                &json!({
                    "changed": changed, "written": outcome.record.is_some(), "version": version,
                    "environment": environment, "definitions": definition_changes, "state": state_changes,
                    "warnings": outcome.warnings, "undo": undo,
                }),
            );
        }
        if !changed {
            writeln!(out, "nothing to do: {BOLD}version {version}{BOLD:#} of `{environment}` has it so already")?;
            return Ok(Answer::Yes);
        }
        let word = if self.dry_run { would } else { done };
        writeln!(out, "{GREEN}{word}{GREEN:#}: {BOLD}version {version}{BOLD:#} of `{environment}`")?;
        write_changes(out, definition_changes)?;
        let (_, before) = outcome.before.as_ref().map(Record::contents).transpose()?.unwrap_or_default();
        for line in words::of_state(&outcome.definitions, &before, &outcome.state) {
            writeln!(out, "  {line}")?;
        }
        if let Some(undo) = undo.filter(|_| !self.dry_run) {
            writeln!(out, "{DIM}to undo it:{DIM:#} {undo}")?;
        }
        Ok(Answer::Yes)
    }

    /// The command line of another verb that writes to the same place.
    pub fn same(&self, environment: &str, words: &[&str]) -> String {
        let mut words: Vec<String> = ["flagstone"].iter().chain(words).map(|word| (*word).to_owned()).collect();
        words.extend(["--environment".to_owned(), environment.to_owned(), "--store".to_owned(), self.store.clone()]);
        let files = self.key.iter().map(|key| ("--key", key)).chain(self.keys.iter().map(|keys| ("--keys", keys)));
        for (option, file) in files {
            words.extend([option.to_owned(), file.display().to_string()]);
        }
        words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ") + " --reason …"
    }
}

/// Runs what an operator does.
pub fn operate<T>(work: impl Future<Output = Result<T, OperationError>>) -> Result<T, Failure> {
    runtime()?.block_on(work).map_err(failure)
}

pub fn failure(error: OperationError) -> Failure {
    match error {
        OperationError::Unknown(message) | OperationError::Invalid(message) => Failure::Usage(message),
        OperationError::Store(error) => name_keys(error).into(),
        error => Failure::Refused(error.to_string()),
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

/// As a shell takes it for one word.
fn quote(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:=@%+,".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}
