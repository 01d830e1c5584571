use std::io::Write;

use flagstone::Timestamp;
use flagstone::rollout::{
    ByHand, Deed, Finding, Observations, Phase, Progress, Reading, Recovery, Severity, Status as Standing,
};
use serde_json::json;

use crate::answer::{Answer, BOLD, CYAN, DIM, Failure, GREEN, RED, YELLOW, printable, runtime, write_json};
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
        if let Some(wanted) = &self.rollout {
            definitions.rollout(wanted).map_err(Failure::Usage)?;
        }
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
        if self.json {
            let body = json!({
                "environment": log.environment(), "version": record.entry.version, "frozen": state.frozen,
                "rollouts": shown,
            });
            return write_json(out, &body);
        }
        if let Some(frozen) = &state.frozen {
            let until = frozen.until.map_or("until `unfreeze`".to_owned(), |until| format!("until {until}"));
            writeln!(
                out,
                "{YELLOW}frozen{YELLOW:#} {until} by {}: {}\n",
                printable(&frozen.by.author),
                printable(&frozen.by.reason)
            )?;
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
    for ByHand { flag, what, percent } in &status.by_hand {
        let percent = percent.map_or(String::new(), |percent| format!(": {percent} %"));
        match what {
            Deed::Killed => writeln!(out, "  {RED}but {flag} is killed{RED:#}: 0 %")?,
            Deed::Restored => {
                writeln!(out, "  {YELLOW}but {flag} is not killed any more{YELLOW:#}{percent}, and lists and rules")?
            }
            Deed::Changed => writeln!(out, "  {YELLOW}but {flag} was changed by hand{YELLOW:#}{percent}")?,
        }
    }
    if let Some(progress) = &status.progress {
        write_progress(out, progress)?;
    }
    for blocker in &status.blockers {
        let until = blocker.until.map_or(String::new(), |until| format!(" {DIM}until {until}{DIM:#}"));
        writeln!(out, "  {YELLOW}waits:{YELLOW:#} {}{until}", printable(&blocker.message))?;
    }
    if let Some(next) = status.next {
        let only_time = status.blockers.iter().all(|blocker| blocker.until.is_some());
        let what = match status.phase() {
            Some(Phase::RollingBack) => "the next stair is due at",
            Some(Phase::RolledBack) => "it is escalated if that is not so by",
            _ if only_time => "at the earliest it goes on at",
            _ => "once the rest is so, it goes on, but not before",
        };
        writeln!(out, "  {DIM}{what} {next}{DIM:#}")?;
    }
    if status.measured {
        for reading in &status.evidence {
            write_reading(out, reading)?;
        }
    }
    Ok(())
}

/// What happened last, what people raised, and what was wrong.
fn write_progress(out: &mut dyn Write, progress: &Progress) -> std::io::Result<()> {
    let last = &progress.last;
    writeln!(
        out,
        "  {DIM}{} {} by {}:{DIM:#} {}",
        last.at,
        last.in_words(),
        printable(&last.author),
        printable(&last.reason)
    )?;
    for (name, raised) in &progress.signals {
        writeln!(
            out,
            "  {RED}signal {name}{RED:#} raised by {} at {}: {}",
            printable(&raised.author),
            raised.at,
            printable(&raised.reason)
        )?;
    }
    let Some(incident) = progress.incident.as_ref().filter(|_| progress.phase == Phase::RolledBack) else {
        return Ok(());
    };
    let severity = match incident.severity {
        Severity::Critical => "critical",
        Severity::Warning => "warning",
    };
    let from = incident.step.as_ref().map_or(String::new(), |step| format!(" from {step}"));
    let by = if incident.rollback_triggered { "a trigger" } else { &incident.author };
    writeln!(
        out,
        "  {RED}{severity}{RED:#} turned back{from} by {} at {}: {}",
        printable(by),
        incident.at,
        printable(&incident.reason)
    )?;
    writeln!(
        out,
        "  {}",
        match incident.recovery {
            Recovery::Unchecked => "the plan does not say what to look at after a rollback",
            Recovery::Awaited => "whether traffic and health follow is watched",
            Recovery::Verified => "traffic and health followed",
            Recovery::Escalated => "traffic or health did not follow in time: somebody must come",
        }
    )?;
    let signals: Vec<&str> = progress.signals.keys().map(String::as_str).collect();
    let clear = if signals.is_empty() { String::new() } else { format!("`clear` {}, then ", signals.join(", ")) };
    writeln!(out, "  {DIM}next:{DIM:#} once it is mended, {clear}`retry` begins it again")
}

fn write_reading(out: &mut dyn Write, reading: &Reading) -> std::io::Result<()> {
    let is_trigger = reading.action.is_some();
    let (style, finding) = match reading.finding {
        Finding::Holds if is_trigger => (RED, "has fired"),
        Finding::Holds => (GREEN, "holds"),
        Finding::Pending if reading.metric.is_none() => (YELLOW, "is raised"),
        Finding::Pending if reading.value.is_none() => (YELLOW, "not measured in this step yet"),
        Finding::Pending if is_trigger => (YELLOW, "about to fire"),
        Finding::Pending => (YELLOW, "not for long enough"),
        Finding::Fails if is_trigger => (DIM, "has not fired"),
        Finding::Fails => (YELLOW, "does not hold"),
        Finding::NoData | Finding::Silence => (YELLOW, "no data"),
    };
    let measured = reading.measured().map_or(String::new(), |measured| format!(", {measured}"));
    let note = reading.note.as_ref().map_or(String::new(), |note| format!(" ({note})"));
    let kind = if is_trigger { "trigger" } else { "gate" };
    writeln!(out, "  {DIM}· {kind}{DIM:#} {}: {style}{finding}{style:#}{measured}{note}", reading.guard)
}
