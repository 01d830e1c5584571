use std::io::Write;
use std::path::PathBuf;

use flagstone::store::Log;
use flagstone::{LoadError, Timestamp};
use serde_json::json;

use crate::answer::{Answer, Failure, GREEN, count, wait, write_json};
use crate::files;
use crate::snapshot::{Expected, open};

/// Check who signed a snapshot, or a whole log
///
/// A snapshot must be signed by a trusted key that is bound to its environment, and must not have expired. Of a log,
/// every entry, its place in the chain and the snapshots it names are checked, and that `current` holds the newest of
/// these. Exits with 1 if anything is amiss.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  flagstone verify --snapshot client.json --keys keys/production.jwks \\
    --environment production --audience client
  flagstone verify --store published --environment production --keys keys/production.jwks")]
#[group(id = "what", required = true, multiple = false, args = ["snapshot", "store"])]
pub struct Verify {
    /// A signed snapshot; `-` is standard input
    #[arg(long, value_name = "FILE")]
    snapshot: Option<PathBuf>,
    /// The folder that holds the log, or s3://BUCKET/FOLDER
    #[arg(long, value_name = "STORE")]
    store: Option<String>,
    /// The trusted keys (a JWK Set)
    #[arg(long, value_name = "JWKS")]
    keys: PathBuf,
    #[command(flatten)]
    expected: Expected,
    /// The time that expiry goes by, RFC 3339; by default it is now
    #[arg(long, value_name = "TIME", conflicts_with = "store")]
    now: Option<Timestamp>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Verify {
    pub fn run(self, out: &mut dyn Write) -> Result<Answer, Failure> {
        let keys = files::trusted_keys(&self.keys)?;
        if let Some(store) = &self.store {
            if self.expected.audience.is_some() {
                let message = "--audience goes with --snapshot; of a store the snapshots for all audiences are checked";
                return Err(Failure::Usage(message.to_owned()));
            }
            let environment = self.expected.environment.as_deref().unwrap_or("production");
            let log = Log::open(store, environment, keys)?;
            let entries = wait(log.verify())?;
            if entries == 0 {
                return Err(Failure::Refused(format!(
                    "{store}: there is no entry for the environment `{environment}`"
                )));
            }
            if self.json {
                return write_json(out, &json!({"environment": environment, "entries": entries}));
            }
            writeln!(
                out,
                "{GREEN}ok{GREEN:#}: {} of `{environment}`, each signed or vouched for, each snapshot as its entry says, \
                 the newest in `current`",
                count(entries, "version")
            )?;
            return Ok(Answer::Yes);
        }
        let path = self.snapshot.expect("the arguments ask for one of the two");
        let opened = open(&path, Some(&keys), &self.expected)?;
        let (snapshot, kid) = (&opened.snapshot, opened.kid.unwrap_or_default());
        let now = self.now.unwrap_or_else(Timestamp::now);
        if let Some(expires) = snapshot.expires().filter(|_| snapshot.has_expired(now)) {
            return Err(Failure::Refused(format!("{}: {}", path.display(), LoadError::Expired { expires, now })));
        }
        let (environment, audience, version) = (snapshot.environment(), snapshot.audience(), snapshot.version());
        let (created, expires) = (snapshot.created(), snapshot.expires());
        if self.json {
            return write_json(
                out,
                &json!({
                    "kid": kid, "environment": environment, "audience": audience.name(), "version": version,
                    "created": created.to_string(), "expires": expires.map(|expires| expires.to_string()),
                    "flags": snapshot.flags().len(),
                }),
            );
        }
        writeln!(
            out,
            "{GREEN}ok{GREEN:#}: version {version} for `{environment}`, audience {audience}, signed by {kid:?}"
        )?;
        let until = expires.map_or("never expires".to_owned(), |expires| format!("expires {expires}"));
        writeln!(out, "    {}, created {created}, {until}", count(snapshot.flags().len(), "flag"))?;
        Ok(Answer::Yes)
    }
}
