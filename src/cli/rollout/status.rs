use std::io::Write;

use flagstone::Timestamp;
use flagstone::rollout::{Finding, Observations, Phase, Reading, Status as Standing};
use serde_json::json;

use crate::answer::{Answer, BOLD, CYAN, DIM, Failure, GREEN, RED, YELLOW, runtime, write_json};
use crate::diff::StoreToRead;
use crate::serve::prometheus;
use crate::table::bar;

/// Show where rollouts stand, what keeps them there, and when they may go on
///
/// With --prometheus it measures, as the controller does, and shows what gates and triggers find.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  flagstone rollout status --store published --keys keys/production.jwks
  flagstone rollout status gateway --store published --prometheus http://localhost:9090 --json")]
pub struct Status {
    /// The rollout, by the name of its plan; by default all of them
    #[arg(value_name = "ROLLOUT")]
    rollout: Option<String>,
    #[command(flatten)]
    store: StoreToRead,
    /// Where to ask for metrics; a token for it comes from FLAGSTONE_PROMETHEUS_TOKEN
    #[arg(long, value_name = "URL", env = "FLAGSTONE_PROMETHEUS", hide_env_values = true)]
    prometheus: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Status {
    pub fn run(self, out: &mut dyn Write) -> Result<Answer, Failure> {
        let store = self.store.store.as_deref();
        let store = store.ok_or_else(|| Failure::Usage("which log? Name its folder with --store".to_owned()))?;
        let log = self.store.open(store)?;
        let versions = self.store.versions(&log, store)?;
        let record = self.store.entry(&log, versions[versions.len() - 1])?;
        let (definitions, state) = record.contents()?;
        let prometheus = self.prometheus.as_deref().map(prometheus).transpose()?;
        let now = Timestamp::now();
        let mut shown = Vec::new();
        for (name, plan) in &definitions.rollouts {
            if self.rollout.as_ref().is_some_and(|wanted| wanted != name) {
                continue;
            }
            let questions = state.rollouts.get(name).map(|progress| plan.questions(progress, log.environment(), now));
            let observations: Option<Observations> = match (&prometheus, questions) {
                (Some(prometheus), Some(questions)) => Some(runtime()?.block_on(prometheus.ask(&questions))),
                _ => None,
            };
            shown.push(plan.status(name, &definitions, &state, observations.as_ref(), now));
        }
        if let (Some(wanted), true) = (&self.rollout, shown.is_empty()) {
            let names: Vec<&str> = definitions.rollouts.keys().map(String::as_str).collect();
            let there =
                if names.is_empty() { "there are none".to_owned() } else { format!("there are {}", names.join(", ")) };
            return Err(Failure::Usage(format!("there is no rollout `{wanted}`; {there}")));
        }
        if self.json {
            let body = json!({
                "environment": log.environment(), "version": record.entry.version, "frozen": state.frozen,
                "rollouts": shown,
            });
            return write_json(out, &body);
        }
        if let Some(frozen) = &state.frozen {
            let until = frozen.until.map_or("until `unfreeze`".to_owned(), |until| format!("until {until}"));
            writeln!(out, "{YELLOW}frozen{YELLOW:#} {until} by {}: {}\n", frozen.by.author, frozen.by.reason)?;
        }
        for (place, status) in shown.iter().enumerate() {
            if place > 0 {
                writeln!(out)?;
            }
            write_status(out, status)?;
        }
        if shown.is_empty() {
            writeln!(out, "no plan of a rollout is published")?;
        }
        Ok(Answer::Yes)
    }
}

fn write_status(out: &mut dyn Write, status: &Standing) -> std::io::Result<()> {
    let (style, phase) = match status.phase() {
        None => (DIM, "not started"),
        Some(Phase::Running) => (GREEN, "running"),
        Some(Phase::Held) => (YELLOW, "held"),
        Some(Phase::RollingBack) => (RED, "rolling back"),
        Some(Phase::RolledBack) => (RED, "rolled back"),
        Some(Phase::Completed) => (GREEN, "completed"),
    };
    write!(out, "{BOLD}{}{BOLD:#}  {style}{phase}{style:#}", status.rollout)?;
    if let Some(progress) = &status.progress {
        write!(out, " since {}", progress.since)?;
        if progress.attempt > 1 {
            write!(out, ", attempt {}", progress.attempt)?;
        }
    }
    writeln!(out, "  {DIM}{}{DIM:#}", status.flags.join(", "))?;
    let mut steps = Vec::new();
    for (place, step) in status.steps.iter().enumerate() {
        steps.push(match status.at {
            Some(at) if place < at || status.phase() == Some(Phase::Completed) => {
                format!("{GREEN}✓{GREEN:#} {}", step.name)
            }
            Some(at) if place == at => format!("{BOLD}● {}{BOLD:#}", step.name),
            _ => format!("{DIM}○ {}{DIM:#}", step.name),
        });
    }
    writeln!(out, "  {}", steps.join("  "))?;
    if let Some(percent) = status.percent {
        let share = f64::from(percent.thousandths()) / 100_000.0;
        writeln!(out, "  {CYAN}{:<40}{CYAN:#} {percent} %", bar(share, 40).replace(' ', ""))?;
    }
    if let Some(progress) = &status.progress {
        let last = &progress.last;
        writeln!(out, "  {DIM}{} {} by {}:{DIM:#} {}", last.at, last.what.name(), last.author, last.reason)?;
        for (name, raised) in &progress.signals {
            writeln!(
                out,
                "  {RED}signal {name}{RED:#} raised by {} at {}: {}",
                raised.author, raised.at, raised.reason
            )?;
        }
    }
    for blocker in &status.blockers {
        let until = blocker.until.map_or(String::new(), |until| format!(" {DIM}until {until}{DIM:#}"));
        writeln!(out, "  {YELLOW}waits:{YELLOW:#} {}{until}", blocker.message)?;
    }
    if let Some(next) = status.next {
        writeln!(out, "  {DIM}at the earliest it goes on at {next}{DIM:#}")?;
    }
    if status.measured {
        for reading in &status.evidence {
            write_reading(out, reading)?;
        }
    }
    Ok(())
}

fn write_reading(out: &mut dyn Write, reading: &Reading) -> std::io::Result<()> {
    let (style, finding) = match reading.finding {
        Finding::Holds => (BOLD, "holds"),
        Finding::Pending => (YELLOW, "not for long enough"),
        Finding::Fails => (DIM, "does not hold"),
        Finding::NoData | Finding::Silence => (YELLOW, "no data"),
    };
    let number = |what: &str, number: Option<f64>| number.map_or(String::new(), |number| format!(" {what} {number}"));
    let (value, baseline) = (number("is", reading.value), number("against", reading.baseline));
    let note = reading.note.as_ref().map_or(String::new(), |note| format!(" ({note})"));
    writeln!(out, "  {DIM}·{DIM:#} {}{value}{baseline}: {style}{finding}{style:#}{note}", reading.guard)
}
