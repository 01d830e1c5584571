//! The verbs that publish again what is in a log.

use std::io::Write;
use std::time::Duration;

use flagstone::store::{Log, Publication};

use crate::answer::{Answer, Failure, note, wait, warn};
use crate::diff::warn_of_moves;
use crate::files::trusted_keys;
use crate::write::{WriteTo, Writing, operate};

/// Publish the definitions of an older version again
///
/// What operators changed (kills, percents, lists) stays as it is now.
#[derive(clap::Args)]
#[command(after_help = "Example:
  flagstone revert 41 --environment production --store published \\
    --key keys/production.private.jwk --reason '42 broke the checkout'")]
pub struct Revert {
    /// The version whose definitions to publish
    #[arg(value_name = "VERSION")]
    version: u64,
    #[command(flatten)]
    to: WriteTo,
}

impl Revert {
    pub fn run(self, out: &mut dyn Write) -> Result<Answer, Failure> {
        let WriteTo { environment, writing } = &self.to;
        let operator = writing.operator(environment, false)?;
        let outcome = operate(operator.revert(self.version, &writing.request()?))?;
        for change in &outcome.overridden {
            warn(format!("{}: the state has another value, which stays", change.path));
        }
        let before = outcome.before.as_ref().map(|record| record.entry.version.to_string()).unwrap_or_default();
        let undo = writing.same(environment, &["revert", &before]);
        writing.report(out, environment, &outcome, ("reverted", "would revert"), Some(undo))
    }
}

/// Publish the definitions of one environment to another
///
/// Shows what changes there. What operators changed (kills, percents, lists) stays in each environment as it is.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  flagstone promote --from staging --to production --store published --keys keys/all.jwks \\
    --key keys/production.private.jwk --reason 'Tested for a week' --dry-run
  flagstone promote --from staging --from-store /srv/staging --to production \\
    --store /srv/production --keys keys/all.jwks --key keys/production.private.jwk \\
    --reason 'Tested'")]
pub struct Promote {
    /// The environment to take the definitions from; its newest version must be signed by a key that --keys holds
    #[arg(long, value_name = "NAME")]
    from: String,
    /// The environment to publish them to
    #[arg(long, value_name = "NAME")]
    to: String,
    /// The store to take them from, where it is not the same
    #[arg(long, value_name = "STORE")]
    from_store: Option<String>,
    #[command(flatten)]
    writing: Writing,
}

impl Promote {
    pub fn run(self, out: &mut dyn Write) -> Result<Answer, Failure> {
        let Promote { from, to, writing, .. } = &self;
        if from == to && self.from_store.is_none() {
            return Err(Failure::Usage(format!("`{from}` is to be promoted to itself; name another with --to")));
        }
        let operator = writing.operator(to, true)?;
        let keys = writing.keys.as_deref().map(trusted_keys).transpose()?.unwrap_or_default();
        let keys = keys.iter().cloned().chain(operator.public_keys()).collect();
        let store = self.from_store.as_ref().unwrap_or(&writing.store);
        let head = wait(Log::open(store, from, keys)?.head())?
            .ok_or_else(|| Failure::File(format!("{store}: there is no entry for the environment `{from}`")))?;
        let publication = Publication { keep_state: true, ..Publication::of(head.contents()?.0) };
        let outcome = operate(operator.publish(&publication, &writing.request()?))?;
        let before = outcome.before.as_ref().map(|record| record.contents()).transpose()?.unwrap_or_default().0;
        warn_of_moves(&before, &outcome.definitions);
        for change in &outcome.overridden {
            warn(format!("{}: the state has another value, which stays", change.path));
        }
        if !writing.json {
            note(format!("the definitions are those of version {} of `{from}`", head.entry.version));
        }
        let undo = outcome.before.as_ref().map(|record| record.entry.version.to_string());
        let undo = undo.map(|version| writing.same(to, &["revert", &version]));
        writing.report(out, to, &outcome, ("promoted", "would promote"), undo)
    }
}

/// Renew what there is, so that clients may load it for longer
///
/// Appends a version with the same definitions and state. For a timer, where no `flagstone serve` does it.
#[derive(clap::Args)]
#[command(after_help = "Example:
  flagstone resign --within 3d --environment production --store published \\
    --key keys/production.private.jwk --reason 'The nightly renewal'")]
pub struct Resign {
    /// Only if clients could not load it any more this long from now: 3d, 12h
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    within: Option<Duration>,
    #[command(flatten)]
    to: WriteTo,
}

impl Resign {
    pub fn run(self, out: &mut dyn Write) -> Result<Answer, Failure> {
        let WriteTo { environment, writing } = &self.to;
        let operator = writing.operator(environment, false)?;
        let outcome = operate(operator.resign(self.within, &writing.request()?))?;
        writing.report(out, environment, &outcome, ("renewed", "would renew"), None)
    }
}

/// Go on above what clients have seen, after a backup was restored
///
/// A log that was restored from a backup is older than what clients were served, and they refuse what is older. This
/// publishes the newest entry there is once more, as the version after the one named.
#[derive(clap::Args)]
#[command(after_help = "Example:
  flagstone recover --above 42 --environment production --store published \\
    --key keys/production.private.jwk --reason 'The disk of the 21st'")]
pub struct Recover {
    /// The newest version that any client may have seen; too high does no harm
    #[arg(long, value_name = "VERSION")]
    above: u64,
    #[command(flatten)]
    to: WriteTo,
}

impl Recover {
    pub fn run(self, out: &mut dyn Write) -> Result<Answer, Failure> {
        let WriteTo { environment, writing } = &self.to;
        let operator = writing.operator(environment, false)?;
        let outcome = operate(operator.recover(self.above, &writing.request()?))?;
        writing.report(out, environment, &outcome, ("recovered", "would recover"), None)
    }
}
