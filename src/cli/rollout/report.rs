use std::borrow::Cow;
use std::io::Write;
use std::time::Duration;

use flagstone::Timestamp;
use flagstone::rollout::Report as RolloutReport;
use flagstone::snapshot::definitions::Definitions;
use flagstone::store::Log;
use serde_json::json;

use crate::answer::{Answer, Failure, runtime, wait, write_json};
use crate::diff::StoreToRead;
use crate::serve::prometheus;

/// Write the status report of rollouts, and the records of their incidents
///
/// In Markdown, to send round: where each stands and what it waits for, its steps with their target dates and the actual ones, where
/// its time went, what gates and triggers find, who approved and attested, what was decided and what went wrong. With --prometheus
/// it measures now; without, it tells of what was measured for the last decision.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  flagstone rollout report --store published --keys keys/production.jwks > status.md
  flagstone rollout report calling --since 30d --prometheus http://localhost:9090
  flagstone rollout report gateway --incidents --json | jq '.rollouts[0].incidents[-1].severity'")]
pub struct Report {
    /// The rollout, by the name of its plan; by default all that were started
    #[arg(value_name = "ROLLOUT")]
    rollout: Option<String>,
    #[command(flatten)]
    store: StoreToRead,
    /// How far back decisions and incidents are told of
    #[arg(long, value_name = "DURATION", default_value = "7d", value_parser = humantime::parse_duration)]
    since: Duration,
    /// The records of incidents alone
    #[arg(long)]
    incidents: bool,
    /// Where to ask for metrics; a token for it comes from FLAGSTONE_PROMETHEUS_TOKEN
    #[arg(long, value_name = "URL", env = "FLAGSTONE_PROMETHEUS", hide_env_values = true)]
    prometheus: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Report {
    pub fn run(self, out: &mut dyn Write) -> Result<Answer, Failure> {
        let store = self.store.store.as_deref();
        let store = store.ok_or_else(|| Failure::Usage("which log? Name its folder with --store".to_owned()))?;
        if self.store.keys.is_none() {
            let message = "a report vouches for what it says; give the trusted keys with --keys";
            return Err(Failure::Usage(message.to_owned()));
        }
        let log = self.store.open(store)?;
        let versions = self.store.versions(&log, store)?;
        let (definitions, state) = self.store.entry(&log, versions[versions.len() - 1])?.contents()?;
        let prometheus = self.prometheus.as_deref().map(prometheus).transpose()?;
        let now = Timestamp::now();
        let since = i64::try_from(self.since.as_millis()).unwrap_or(i64::MAX);
        let from = now.plus_millis(since.saturating_neg());
        let names: Vec<&String> = match &self.rollout {
            Some(wanted) if !state.rollouts.contains_key(wanted) => {
                definitions.rollout(wanted).map_err(Failure::Usage)?;
                vec![wanted]
            }
            Some(wanted) => vec![wanted],
            None => state.rollouts.keys().collect(),
        };
        let mut reports = Vec::new();
        for name in names {
            // A plan that is over may be gone; what it was stands in the log.
            let definitions = match definitions.rollouts.contains_key(name) {
                true => Cow::Borrowed(&definitions),
                false => Cow::Owned(self.last_with(&log, &versions, name)?),
            };
            let plan = definitions.rollout(name).map_err(Failure::Usage)?;
            let questions = state.rollouts.get(name).map(|progress| plan.questions(progress, log.environment(), now));
            let observations = match (&prometheus, questions) {
                (Some(prometheus), Some(questions)) => Some(runtime()?.block_on(prometheus.ask(&questions))),
                _ => None,
            };
            let status = plan.status(name, &definitions, &state, observations.as_ref(), now);
            let passages = wait(log.passages(name, None, usize::MAX))?;
            reports.push(plan.report(log.environment(), status, &passages, from, now));
        }
        if self.json && self.incidents {
            let of = |report: &RolloutReport| json!({"rollout": report.status.rollout, "incidents": report.incidents});
            let rollouts: Vec<_> = reports.iter().map(of).collect();
            return write_json(out, &json!({"environment": log.environment(), "rollouts": rollouts}));
        }
        if self.json {
            return write_json(out, &json!({"environment": log.environment(), "rollouts": reports}));
        }
        if reports.is_empty() {
            writeln!(out, "no rollout was started")?;
        }
        for (place, report) in reports.iter().enumerate() {
            if place > 0 {
                writeln!(out)?;
            }
            match self.incidents {
                true => write_incidents(out, report)?,
                false => write!(out, "{}", report.markdown())?,
            }
        }
        Ok(Answer::Yes)
    }

    /// The newest definitions that have the plan of a rollout.
    fn last_with(&self, log: &Log, versions: &[u64], rollout: &str) -> Result<Definitions, Failure> {
        for version in versions.iter().rev() {
            let (definitions, _) = self.store.entry(log, *version)?.contents()?;
            if definitions.rollouts.contains_key(rollout) {
                return Ok(definitions);
            }
        }
        Err(Failure::File(format!("no entry that the log still has holds the plan of the rollout `{rollout}`")))
    }
}

fn write_incidents(out: &mut dyn Write, report: &RolloutReport) -> std::io::Result<()> {
    writeln!(out, "## Incidents of the rollout `{}`\n", report.status.rollout)?;
    if report.incidents.is_empty() {
        writeln!(out, "None since {}.", report.from)?;
    }
    report.incidents.iter().try_for_each(|incident| writeln!(out, "{}", incident.markdown()))
}
