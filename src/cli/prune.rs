use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use flagstone::Timestamp;
use flagstone::store::Log;
use serde_json::json;

use crate::answer::{Answer, Failure, GREEN, count, wait, write_json};
use crate::files::trusted_keys;

/// Delete old snapshots of a log
///
/// The entries stay, with all that was published and by whom: the chain holds, and any version can be reverted to. So do
/// the newest version's snapshots and `current`. Nobody loads the others, for clients refuse what is older than they saw.
#[derive(clap::Args)]
#[command(after_help = "Example:
  flagstone prune --older-than 90d --store published --environment production \\
    --keys keys/production.jwks")]
pub struct Prune {
    /// Versions that were made before that long ago: 90d, 12h
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    older_than: Duration,
    /// The folder that holds the log, or s3://BUCKET/FOLDER
    #[arg(long, value_name = "STORE", env = "FLAGSTONE_STORE")]
    store: String,
    /// The environment
    #[arg(long, value_name = "NAME", env = "FLAGSTONE_ENVIRONMENT")]
    environment: String,
    /// The trusted keys (a JWK Set)
    #[arg(long, value_name = "JWKS", env = "FLAGSTONE_KEYS")]
    keys: PathBuf,
    /// Do everything but delete
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Prune {
    pub fn run(self, out: &mut dyn Write) -> Result<Answer, Failure> {
        let log = Log::open(&self.store, &self.environment, trusted_keys(&self.keys)?)?;
        let older_than = i64::try_from(self.older_than.as_millis()).unwrap_or(i64::MAX);
        let pruned = wait(log.prune(Timestamp::now().plus_millis(-older_than), self.dry_run))?;
        if self.json {
            return write_json(out, &json!({"environment": self.environment, "pruned": pruned}));
        }
        let word = if self.dry_run { "would delete" } else { "deleted" };
        writeln!(out, "{GREEN}{word}{GREEN:#} {} of `{}`", count(pruned, "snapshot"), self.environment)?;
        Ok(Answer::Yes)
    }
}
