//! A plan on a virtual clock: what is read for it, and how it is shown.

mod axis;
mod page;
mod telling;
mod terminal;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use flagstone::Timestamp;
use flagstone::controller::Recording;
use flagstone::rollout::{
    Baseline, History, Outcome, Part, People, Period, Plan, Scenario, Script, Simulation, Traffic, simulate,
};
use flagstone::snapshot::definitions::Source;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::answer::{Answer, Failure, note, runtime, warn, write_json};
use crate::files::{self, Project};
use crate::serve::prometheus;

/// Try a plan on a virtual clock, before it is tried on people
///
/// Runs the plan by what the controller goes by, in a moment, and draws what would happen: how far it
/// is open over time, what gates and triggers find, what is decided and why, and how many people are
/// let in before something turns it back.
///
/// Where nothing else is said, all is well: each metric says numbers that let every gate hold and
/// open no trigger, and whoever is asked to approve or to attest does so at once. --script says what
/// goes wrong and what people do; --prometheus replays what metrics really said, which --save keeps
/// in a file for --history.
///
/// A script is YAML or JSON. Times are counted from the start (`at: 3d 2h`), from when a step begins
/// (`step: 10%, after: 20m`), or are instants:
///
///   start: 2025-01-10T08:00:00Z
///   people: 4h                      # or prompt, or absent
///   events:
///     - {at: 3d 2h, metric: errors, value: 2%, for: 30m}
///     - {step: 25%, after: 1h, metric: latency, value: 900, over: 2h}   # little by little
///     - {step: 25%, after: 1d, metric: errors, part: samples, value: noData}
///     - {at: 5d, approve: product, by: ana, reason: Go}
///     - {at: 6d, hold: Looks odd}
///
/// A `part` is `value`, `baseline` or `samples`; `value: well` ends what is wrong. People `approve`
/// (as a role), `attest`, `hold`, `resume`, `retry`, `signal`, `clear`, `freeze` (for a time),
/// `unfreeze`, and `rollback` to zero, previous or a percent (with `staircase: 10, every: 5m` if they
/// like). What the script has somebody say, they say then and not before.
#[derive(clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "Exits with 0 if it gets through, and with 4 if it is turned back, gets stuck, or is still
under way where what is known ends.

Examples:
  flagstone rollout simulate gateway flags/ --from 2025-01-10T08:00:00Z
  flagstone rollout simulate gateway flags/ --script what-if.yaml --html gateway.html
  flagstone rollout simulate gateway flags/ --people absent --json | jq '.blockers[].message'
  flagstone rollout simulate gateway flags/ --prometheus http://localhost:9090 \\
    --from 2025-01-10T08:00:00Z --to 2025-01-24T08:00:00Z --save january.json
  flagstone rollout simulate gateway flags/ --history january.json --users-per-day 20000
  flagstone rollout simulate gateway flags/ --history errorRate=query_range.json"
)]
pub struct Simulate {
    /// The rollout, by the name of its plan
    #[arg(value_name = "ROLLOUT")]
    rollout: String,
    /// Files of definitions, or folders of them
    #[arg(value_name = "FILE|DIR", default_value = ".")]
    paths: Vec<PathBuf>,
    /// When it is started, RFC 3339; by default when the script or the history begins, or a day before the plan's first date
    #[arg(long, value_name = "TIME")]
    from: Option<Timestamp>,
    /// When to look no further; by default at the end of the history, or of all that could happen
    #[arg(long, value_name = "TIME")]
    to: Option<Timestamp>,
    /// What happens: what metrics say, and what people do
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
    /// What metrics said: a file that --save wrote, or METRIC=FILE or METRIC.baseline=FILE with what Prometheus answered to a
    /// range query; give it again for more
    #[arg(long, value_name = "[METRIC=]FILE")]
    history: Vec<String>,
    /// Replay what metrics said from --from to --to; a token for it comes from FLAGSTONE_PROMETHEUS_TOKEN
    #[arg(long, value_name = "URL", requires_all = ["from", "to"], conflicts_with = "history")]
    prometheus: Option<String>,
    /// Write what Prometheus said to a file
    #[arg(long, value_name = "FILE", requires = "prometheus")]
    save: Option<PathBuf>,
    /// How long Prometheus may take for each stretch of time that it is asked for
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = humantime::parse_duration)]
    patience: Duration,
    /// What people do who are asked: prompt, absent, or how long they take, as in 4h; by default what the script says, or prompt
    #[arg(long, value_name = "WHO")]
    people: Option<People>,
    /// How many different people come in a day, in place of the plan's `traffic`
    #[arg(long, value_name = "N")]
    users_per_day: Option<u32>,
    /// The environment that queries are for
    #[arg(long, value_name = "NAME", default_value = "production")]
    environment: String,
    /// Write a page with the timeline; it needs nothing but a browser
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Simulate {
    pub fn run(self, out: &mut dyn Write) -> Result<Answer, Failure> {
        let project = Project::read(&self.paths)?;
        let definitions = project.definitions()?;
        let mut plan = definitions.rollout(&self.rollout).map_err(Failure::Usage)?.clone();
        if let Some(users) = self.users_per_day {
            plan.traffic = Some(Traffic { users_per_day: Some(users.into()), ..plan.traffic.unwrap_or_default() });
        }
        if self.from.zip(self.to).is_some_and(|(from, to)| from >= to) {
            return Err(Failure::Usage("--to is not after --from".to_owned()));
        }
        let script = self.script.as_deref().map(|path| script(path, &plan)).transpose()?.unwrap_or_default();
        let (history, begins) = self.history(&plan)?;
        let start = match self.from.or(script.start).or(begins) {
            Some(start) => start,
            None => assumed_start(&plan),
        };
        let scenario = Scenario {
            start,
            until: self.to,
            environment: self.environment.clone(),
            history,
            script,
            people: self.people,
        };
        let simulation = simulate(&plan, scenario);
        for assumed in simulation.assumed.iter().filter(|assumed| !assumed.unmet.is_empty()) {
            warn(format!(
                "no number of `{}` is right for all that the plan wants of it at {}; against {} is {}",
                assumed.metric,
                assumed.step,
                assumed.value,
                assumed.unmet.join(" and ")
            ));
        }
        if let Some(path) = &self.html {
            let page = page::page(&self.rollout, &plan, &simulation);
            files::replace(path, page.as_bytes())?;
        }
        if self.json {
            write_json(
                out,
                &Shown { rollout: &self.rollout, environment: &self.environment, simulation: &simulation },
            )?;
        } else {
            terminal::draw(out, &self.rollout, &plan, &simulation, terminal::width())?;
            if let Some(path) = &self.html {
                note(format!("{} shows it in a browser", path.display()));
            }
        }
        Ok(match simulation.outcome {
            Outcome::Completed => Answer::Yes,
            Outcome::RolledBack | Outcome::Stuck | Outcome::Underway => Answer::NotThrough,
        })
    }

    /// What metrics said, and from when on.
    fn history(&self, plan: &Plan) -> Result<(History, Option<Timestamp>), Failure> {
        let (mut history, mut begins) = (History::default(), None);
        if let (Some(url), Some(from), Some(to)) = (&self.prometheus, self.from, self.to) {
            let recording = self.record(plan, url, from, to)?;
            recording.add_to(&mut history);
            return Ok((history, Some(from)));
        }
        for text in &self.history {
            let wrong = |path: &Path, error: String| Failure::File(format!("{}: {error}", path.display()));
            let first = match text.split_once('=') {
                Some((name, path)) => {
                    let (metric, part) = named(plan, name)?;
                    let path = Path::new(path);
                    let json = files::read(path)?;
                    Recording::add_answer(&mut history, plan, (metric, part), &json)
                        .map_err(|error| wrong(path, error))?
                }
                None => {
                    let path = Path::new(text);
                    let recording = Recording::read(&files::read(path)?).map_err(|error| wrong(path, error))?;
                    self.compare(plan, &recording, path);
                    recording.add_to(&mut history);
                    Some(recording.from)
                }
            };
            begins = begins.into_iter().chain(first).min();
        }
        Ok((history, begins))
    }

    /// Says where a recording does not fit what it is used for.
    fn compare(&self, plan: &Plan, recording: &Recording, path: &Path) {
        if recording.rollout != self.rollout {
            warn(format!("{}: this was recorded for the rollout `{}`", path.display(), recording.rollout));
        }
        let now = plan.questions_between(&recording.environment, recording.from, recording.to);
        for question in now {
            let of = recording.series.iter().find(|one| one.metric == question.metric && one.part == question.part);
            if of.is_some_and(|of| of.query != question.query) {
                warn(format!("{}: `{}` is asked for otherwise by now", path.display(), question.metric));
            }
        }
    }

    fn record(&self, plan: &Plan, url: &str, from: Timestamp, to: Timestamp) -> Result<Recording, Failure> {
        let prometheus = prometheus(url)?.patience(self.patience);
        let progress = ProgressBar::new(0);
        if let Ok(style) =
            ProgressStyle::with_template("{bar:40} {human_pos} of {human_len} stretches of time, {eta} left")
        {
            progress.set_style(style);
        }
        let asked = |done, of| {
            progress.set_length(of);
            progress.set_position(done);
        };
        let asking = Recording::ask(&prometheus, (&self.rollout, plan), &self.environment, (from, to), asked);
        let recording = runtime()?.block_on(asking).map_err(Failure::File)?;
        progress.finish_and_clear();
        for series in recording.series.iter().filter(|series| series.problem.is_some()) {
            let problem = series.problem.as_deref().unwrap_or_default();
            warn(format!("the {} of `{}` is not always there: {problem}", part_name(series.part), series.metric));
        }
        if let Some(path) = &self.save {
            let json = serde_json::to_vec(&recording)
                .map_err(|error| Failure::File(format!("{}: {error}", path.display())))?;
            files::replace(path, &json)?;
        }
        Ok(recording)
    }
}

#[derive(serde::Serialize)]
struct Shown<'s> {
    rollout: &'s str,
    environment: &'s str,
    #[serde(flatten)]
    simulation: &'s Simulation,
}

fn script(path: &Path, plan: &Plan) -> Result<Script, Failure> {
    let source = Source::new(path.display().to_string(), files::read(path)?);
    Script::read(&source, plan).map_err(|problems| {
        let all: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Failure::File(format!("the script makes no sense with the plan\n{}", all.join("\n")))
    })
}

/// Where neither people nor files say when it starts: so that the plan's own dates are to come, or now.
fn assumed_start(plan: &Plan) -> Timestamp {
    const MINUTE: i64 = 60_000;
    let first = plan.steps.iter().filter_map(|step| step.starts).min();
    let start = match first {
        Some(first) => first.plus_millis(-24 * 60 * MINUTE),
        None => Timestamp::from_millis(Timestamp::now().as_millis().div_euclid(MINUTE) * MINUTE),
    };
    let why = if first.is_some() { "a day before the plan's first date" } else { "now" };
    note(format!("it starts at {start}, {why}; --from says otherwise"));
    start
}

/// A part of a metric, by `errors` or `errors.baseline`.
fn named<'n>(plan: &Plan, name: &'n str) -> Result<(&'n str, Part), Failure> {
    let parts = [(".value", Part::Value), (".baseline", Part::Baseline), (".samples", Part::Samples)];
    let (metric, part) = match plan.metrics.contains_key(name) {
        true => (name, Part::Value),
        false => parts
            .into_iter()
            .find_map(|(end, part)| Some((name.strip_suffix(end)?, part)))
            .unwrap_or((name, Part::Value)),
    };
    let Some(of) = plan.metrics.get(metric) else {
        let all: Vec<&str> = plan.metrics.keys().map(String::as_str).collect();
        let there = if all.is_empty() { "it has none".to_owned() } else { format!("it has {}", all.join(", ")) };
        return Err(Failure::Usage(format!("--history {name}: the plan has no metric `{metric}`; {there}")));
    };
    let has = match part {
        Part::Value => true,
        Part::Baseline => !matches!(of.baseline, None | Some(Baseline::Value(_))),
        Part::Samples => of.samples.is_some(),
        Part::Count { .. } => false,
    };
    match has {
        true => Ok((metric, part)),
        false => {
            let part = part_name(part);
            Err(Failure::Usage(format!("--history {name}: the plan asks nobody for the {part} of `{metric}`")))
        }
    }
}

fn part_name(part: Part) -> String {
    json!(part).as_str().unwrap_or_default().to_owned()
}

/// From one instant to another.
fn between(from: Timestamp, until: Timestamp) -> Period {
    Period::from_millis(u64::try_from(until.as_millis().saturating_sub(from.as_millis())).unwrap_or_default())
}
