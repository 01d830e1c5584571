//! What became of a rollout, for those who were not there.

use std::fmt::Write;

use serde::Serialize;

use super::decide::BlockerKind;
use super::flags::{ByHand, Deed};
use super::guard::{Finding, Reading};
use super::period::Period;
use super::plan::{Plan, Requirement, ResolvedStep, Severity};
use super::progress::{Attested, Decided, Incident, Note, Passage, Phase, Progress, Recovery, Transition};
use super::status::Status;
use crate::Timestamp;
use crate::snapshot::definitions::Percent;

/// What became of a rollout in a stretch of time: the status report that teams write each week, and the records of its
/// incidents.
///
/// Serialized it is for programs; [`Report::markdown`] is for people.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The environment.
    pub environment: String,
    /// Where it stands.
    pub status: Status,
    /// The first instant that the decisions are told of.
    pub from: Timestamp,
    /// The instant of the report.
    pub until: Timestamp,
    /// The steps, with their target dates and the actual ones.
    pub steps: Vec<StepReport>,
    /// Where its time went since it was first started.
    pub time: Spent,
    /// What its gates and triggers found last.
    pub evidence: Vec<Reading>,
    /// When that was measured; none where nothing was.
    pub measured: Option<Timestamp>,
    /// What people must say at the step that it is at, and whether they have.
    pub requirements: Vec<RequirementReport>,
    /// What people attested to and approved of in this attempt.
    pub attested: Vec<Attested>,
    /// What was decided in this stretch of time, oldest first.
    pub decisions: Vec<DecisionReport>,
    /// What went wrong in this stretch of time, oldest first.
    pub incidents: Vec<IncidentReport>,
}

/// A step: when it was to begin, and when it did.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StepReport {
    /// What it is called.
    pub name: String,
    /// The percent of the flags' ramps.
    pub percent: Option<Percent>,
    /// When it was to begin: by the soaks of the steps before it, counted from when the rollout was first started, and not before
    /// its own start. None where it was never started.
    pub target: Option<Timestamp>,
    /// When it last began; none where it has not.
    pub actual: Option<Timestamp>,
    /// When it begins if nothing holds it up, where it has not begun in this attempt.
    pub expected: Option<Timestamp>,
    /// How it stands.
    pub state: StepState,
    /// Where its time went, in all attempts.
    pub time: Spent,
}

/// How a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum StepState {
    /// The rollout has been through it.
    Done,
    /// The rollout is at it.
    Here,
    /// The rollout was turned back from it or beyond.
    TurnedBack,
    /// It is to come.
    ToCome,
}

/// Where time went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Spent {
    /// Soaking, as the plan has it.
    pub active: Period,
    /// Running, but waiting for gates, for people, for windows.
    pub waiting: Period,
    /// Held, until somebody resumed it.
    pub held: Period,
    /// Turned back, or going down.
    pub turned_back: Period,
}

/// What somebody must say.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RequirementReport {
    /// What, as [`Requirement::called`] has it.
    pub what: String,
    /// In which role; none for anyone who may change flags.
    pub role: Option<String>,
    /// Who has the role.
    pub people: Vec<String>,
    /// Who said so, why and when; none where nobody has, or it is no longer valid.
    pub given: Option<Note>,
}

/// What was decided.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DecisionReport {
    /// The version of the log that it is in.
    pub version: u64,
    /// The decision.
    pub decision: Decided,
    /// The step that it led to.
    pub step: Option<String>,
    /// The percent that it led to.
    pub percent: Option<Percent>,
}

/// The record of an incident.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IncidentReport {
    /// The version of the log that turned the rollout back.
    pub version: u64,
    /// What was wrong.
    #[serde(flatten)]
    pub incident: Incident,
    /// When it was known whether traffic and health followed.
    pub recovered: Option<Timestamp>,
    /// When the rollout began again.
    pub retried: Option<Timestamp>,
}

/// A stretch of time in which nothing of a rollout changed.
pub(super) struct Stay<'p> {
    pub progress: &'p Progress,
    pub until: Timestamp,
}

impl Plan {
    /// What became of the rollout: `status` is how it stands now, `passages` are all that the log has of it, newest first, and
    /// decisions and incidents are told from `from` on.
    pub fn report(
        &self,
        environment: &str,
        status: Status,
        passages: &[Passage],
        from: Timestamp,
        now: Timestamp,
    ) -> Report {
        let oldest_first: Vec<&Passage> = passages.iter().rev().collect();
        let ends = oldest_first.iter().skip(1).map(|next| next.progress.last.at).chain([now]);
        let stays: Vec<Stay<'_>> =
            oldest_first.iter().zip(ends).map(|(passage, until)| Stay { progress: &passage.progress, until }).collect();
        let steps = self.steps();
        let recent = |passage: &&&Passage| passage.progress.last.at >= from;
        let decisions = oldest_first.iter().filter(recent).map(|passage| DecisionReport {
            version: passage.version,
            decision: passage.progress.last.clone(),
            step: passage.progress.step.clone(),
            percent: self.percent(&passage.progress),
        });
        let (evidence, measured) = match &status {
            Status { measured: true, evidence, .. } if !evidence.is_empty() => (evidence.clone(), Some(now)),
            _ => {
                let last = passages.iter().map(|passage| &passage.progress.last).find(|last| !last.evidence.is_empty());
                (last.map_or_else(Vec::new, |last| last.evidence.clone()), last.map(|last| last.at))
            }
        };
        let mut time = Spent::default();
        stays.iter().for_each(|stay| time.add(&stay.spent(&steps)));
        Report {
            environment: environment.to_owned(),
            from,
            until: now,
            steps: self.step_reports(&steps, &status, &stays, now),
            time,
            evidence,
            measured,
            requirements: status.at.map_or_else(Vec::new, |at| self.requirements(&steps[at], &status, now)),
            attested: status.progress.as_ref().map_or_else(Vec::new, |progress| progress.attested.clone()),
            decisions: decisions.collect(),
            incidents: incidents(&oldest_first, from),
            status,
        }
    }

    fn step_reports(
        &self,
        steps: &[ResolvedStep],
        status: &Status,
        stays: &[Stay<'_>],
        now: Timestamp,
    ) -> Vec<StepReport> {
        let progress = status.progress.as_ref();
        let first = stays.first().map(|stay| stay.progress.started);
        let turned_from = progress.filter(|progress| progress.phase == Phase::RolledBack);
        let turned_from = turned_from.and_then(|progress| progress.incident.as_ref()?.step.as_ref());
        let turned_from = turned_from.and_then(|name| steps.iter().position(|step| step.name == *name));
        let is_under_way = progress.is_some_and(|progress| matches!(progress.phase, Phase::Running | Phase::Held));
        let mut target = first;
        let mut expected = None;
        let mut reports = Vec::new();
        for (place, step) in steps.iter().enumerate() {
            let later = |at: Option<Timestamp>| at.map(|at| step.starts.map_or(at, |starts| at.max(starts)));
            target = if place == 0 { target } else { later(target) };
            let state = match (status.at, status.phase()) {
                (_, Some(Phase::Completed)) => StepState::Done,
                _ if turned_from.is_some_and(|from| status.at.map_or(0, |at| at + 1) <= place && place <= from) => {
                    StepState::TurnedBack
                }
                (Some(at), _) if place < at => StepState::Done,
                (Some(at), _) if place == at => StepState::Here,
                _ => StepState::ToCome,
            };
            let mut time = Spent::default();
            let here = stays.iter().filter(|stay| stay.progress.step.as_ref() == Some(&step.name));
            here.for_each(|stay| time.add(&stay.spent(steps)));
            if state == StepState::ToCome && is_under_way {
                expected = later(expected).map(|at: Timestamp| at.max(now));
            }
            // Where a rollout was turned back to a step, that did not begin.
            let at_it = |stay: &&Stay<'_>| {
                let is_under_way = matches!(stay.progress.phase, Phase::Running | Phase::Held);
                is_under_way && stay.progress.step.as_ref() == Some(&step.name)
            };
            let entered = stays.iter().rev().find(at_it);
            let actual = entered.map(|stay| stay.progress.entered);
            reports.push(StepReport {
                name: step.name.clone(),
                percent: step.percent,
                target,
                actual,
                expected: expected.filter(|_| state == StepState::ToCome),
                state,
                time,
            });
            target = target.map(|at| step.soak.after(at));
            expected = match state {
                StepState::Here if is_under_way => actual.map(|at| step.soak.after(at)),
                StepState::ToCome => expected.map(|at| step.soak.after(at)),
                _ => None,
            };
        }
        reports
    }

    fn requirements(&self, step: &ResolvedStep, status: &Status, now: Timestamp) -> Vec<RequirementReport> {
        let report = |requirement: &Requirement| {
            let role = requirement.role();
            let given = status.progress.as_ref().and_then(|progress| progress.given(requirement, &step.name));
            RequirementReport {
                what: requirement.called(),
                role: role.map(str::to_owned),
                people: role.and_then(|role| self.roles.get(role)).cloned().unwrap_or_default(),
                given: given.filter(|given| requirement.counts(given, now)).map(|given| given.by.clone()),
            }
        };
        step.requires.iter().map(report).collect()
    }
}

impl Stay<'_> {
    /// Where the time of this stay went.
    pub fn spent(&self, steps: &[ResolvedStep]) -> Spent {
        let from = self.progress.last.at;
        let all = between(from, self.until);
        match self.progress.phase {
            Phase::Held => Spent { held: all, ..Spent::default() },
            Phase::RollingBack | Phase::RolledBack => Spent { turned_back: all, ..Spent::default() },
            Phase::Completed => Spent::default(),
            Phase::Running => {
                let step = steps.iter().find(|step| Some(&step.name) == self.progress.step.as_ref());
                let soaked = step.map_or(from, |step| step.soak.after(self.progress.entered));
                let active = between(from, soaked.clamp(from, self.until.max(from)));
                let waiting = Period::from_millis(all.millis() - active.millis());
                Spent { active, waiting, ..Spent::default() }
            }
        }
    }
}

fn between(from: Timestamp, until: Timestamp) -> Period {
    Period::from_millis(u64::try_from(until.as_millis().saturating_sub(from.as_millis())).unwrap_or_default())
}

impl Spent {
    pub(super) fn add(&mut self, other: &Spent) {
        let sum = |a: Period, b: Period| Period::from_millis(a.millis() + b.millis());
        *self = Spent {
            active: sum(self.active, other.active),
            waiting: sum(self.waiting, other.waiting),
            held: sum(self.held, other.held),
            turned_back: sum(self.turned_back, other.turned_back),
        };
    }
}

/// Each time that a rollout was turned back, and what came of it.
fn incidents(oldest_first: &[&Passage], from: Timestamp) -> Vec<IncidentReport> {
    let mut incidents: Vec<IncidentReport> = Vec::new();
    for passage in oldest_first {
        let Passage { version, progress } = passage;
        let same = |report: &IncidentReport, incident: &Incident| report.incident.at == incident.at;
        match (&progress.incident, incidents.last_mut()) {
            // Turned back further, or looked at afterwards, it is the same incident.
            (Some(incident), Some(last)) if same(last, incident) => last.incident = incident.clone(),
            (Some(incident), _) => incidents.push(IncidentReport {
                version: *version,
                incident: incident.clone(),
                recovered: None,
                retried: None,
            }),
            (None, Some(last)) if progress.last.what == Transition::Retried && last.retried.is_none() => {
                last.retried = Some(progress.last.at);
            }
            (None, _) => {}
        }
        if let Some(last) = incidents.last_mut().filter(|_| progress.last.what == Transition::Verified) {
            last.recovered = Some(progress.last.at);
        }
    }
    // What is not over, or was over only lately, is told whenever it began.
    incidents.retain(|incident| incident.incident.at >= from || incident.retried.is_none_or(|retried| retried >= from));
    incidents
}

impl Report {
    /// The report in Markdown, as people send it round.
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let Report { environment, status, from, until, .. } = self;
        writeln!(out, "# Rollout `{}`: status of {}\n", status.rollout, day(*until))?;
        let owner = status.owner.as_ref().map_or(String::new(), |owner| format!(", {}", cell(owner)));
        writeln!(out, "Environment `{environment}`, from {} to {}{owner}", minute(*from), minute(*until))?;
        if let Some(description) = &status.description {
            writeln!(out, "\n{}", cell(description))?;
        }
        self.write_standing(out)?;
        self.write_steps(out)?;
        self.write_guards(out)?;
        self.write_words(out)?;
        writeln!(out, "\n## Incidents\n")?;
        if self.incidents.is_empty() {
            writeln!(out, "None.")?;
        }
        for incident in &self.incidents {
            incident.write(out)?;
        }
        writeln!(out, "\n## Decisions\n")?;
        if self.decisions.is_empty() {
            return writeln!(out, "None in this time.");
        }
        writeln!(out, "| Time | What | By | Why | Version |\n|---|---|---|---|---|")?;
        for DecisionReport { version, decision, step, percent } in &self.decisions {
            let percent = || percent.map(|percent| format!("{percent}%"));
            let place = decision.about.clone().or_else(|| step.clone()).or_else(percent).unwrap_or_default();
            let (at, author, reason) = (minute(decision.at), cell(&decision.author), cell(&decision.reason));
            writeln!(
                out,
                "| {at} | {}: {} | {author} | {reason} | {version} |",
                decision.what.in_words(),
                cell(&place)
            )?;
        }
        Ok(())
    }

    fn write_standing(&self, out: &mut String) -> std::fmt::Result {
        let Report { status, .. } = self;
        let Some(progress) = &status.progress else {
            return writeln!(out, "\n**Not started.**");
        };
        let phase = match progress.phase {
            Phase::Running => "Running",
            Phase::Held => "Held",
            Phase::RollingBack => "Going down",
            Phase::RolledBack => "Rolled back",
            Phase::Completed => "Completed",
        };
        let step = progress.step.as_ref().map_or(String::new(), |step| format!(" at {}", cell(step)));
        let percent = status.percent.map(|percent| format!(", {percent}% of the people"));
        let attempt = if progress.attempt > 1 { format!(", attempt {}", progress.attempt) } else { String::new() };
        writeln!(out, "\n**{phase}{step}** since {}{}{attempt}.", minute(progress.since), percent.unwrap_or_default())?;
        for ByHand { flag, what, percent } in &status.by_hand {
            let percent = percent.filter(|_| *what != Deed::Killed);
            let percent = percent.map_or(String::new(), |percent| format!(", it is at {percent}%"));
            let what = match what {
                Deed::Killed => "was killed by hand: nobody gets it",
                Deed::Restored => "was restored by hand",
                Deed::Changed => "was changed by hand",
            };
            writeln!(out, "\n`{flag}` {what}{percent}.")?;
        }
        // What people must say has a list of its own.
        let people = |kind| matches!(kind, BlockerKind::Approval | BlockerKind::Attestation);
        for (place, blocker) in status.blockers.iter().filter(|blocker| !people(blocker.kind)).enumerate() {
            let until = blocker.until.map_or(String::new(), |until| format!(", until {}", minute(until)));
            let gap = if place == 0 { "\n" } else { "" };
            writeln!(out, "{gap}- waits: {}{until}", cell(&blocker.message))?;
        }
        if let (Some(next), true) = (status.next, progress.phase == Phase::Running) {
            writeln!(out, "\nIt may go on at {} at the earliest.", minute(next))?;
        }
        Ok(())
    }

    fn write_steps(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "\n## Steps\n")?;
        writeln!(out, "| Step | Percent | Target date | Actual date | Status | Active | Waiting | Held |")?;
        writeln!(out, "|---|---|---|---|---|---|---|---|")?;
        for step in &self.steps {
            let percent = step.percent.map_or(String::new(), |percent| format!("{percent}%"));
            let target = step.target.map_or(String::new(), minute);
            let actual = match (step.actual, step.expected) {
                (_, Some(expected)) => format!("expected {}", minute(expected)),
                (Some(actual), None) => {
                    let late = step.target.map_or(Period::ZERO, |target| between(target, actual));
                    let late = if late.millis() >= MINUTE { format!(", {} late", coarse(late)) } else { String::new() };
                    format!("{}{late}", minute(actual))
                }
                (None, None) => String::new(),
            };
            let state = match step.state {
                StepState::Done => "✅ done",
                StepState::Here => "▶ here",
                StepState::TurnedBack => "↩ turned back",
                StepState::ToCome => "⏳ to come",
            };
            let Spent { active, waiting, held, .. } = step.time;
            let [active, waiting, held] = [active, waiting, held].map(coarse);
            let name = cell(&step.name);
            writeln!(out, "| {name} | {percent} | {target} | {actual} | {state} | {active} | {waiting} | {held} |")?;
        }
        let Spent { active, waiting, held, turned_back } = self.time;
        let [active, waiting, held, turned_back] = [active, waiting, held, turned_back].map(coarse);
        writeln!(
            out,
            "\nOf its time so far it was active for {active}, waited for {waiting}, was held for {held}, and turned back for \
             {turned_back}."
        )
    }

    fn write_guards(&self, out: &mut String) -> std::fmt::Result {
        let Some(measured) = self.measured else {
            return writeln!(out, "\n## Metrics\n\nNothing was measured yet.");
        };
        writeln!(out, "\n## Metrics, measured at {}\n", minute(measured))?;
        writeln!(out, "| | Gate or trigger | Measured | Samples |\n|---|---|---|---|")?;
        for reading in &self.evidence {
            let (mark, finding) = found(reading);
            let measured = reading.measured().map_or(String::new(), |measured| format!(": {measured}"));
            let note = reading.note.as_ref().map_or(String::new(), |note| format!("; {note}"));
            let samples = reading.samples.map_or(String::new(), |samples| format!("{}", samples.round()));
            let guard = cell(&reading.guard);
            writeln!(out, "| {mark} | {guard} | {} | {samples} |", cell(&format!("{finding}{measured}{note}")))?;
        }
        Ok(())
    }

    fn write_words(&self, out: &mut String) -> std::fmt::Result {
        if !self.requirements.is_empty() {
            writeln!(out, "\n## To go on from here\n")?;
        }
        for RequirementReport { what, people, given, .. } in &self.requirements {
            let what = cell(what);
            match given {
                Some(note) => {
                    let (author, at, reason) = (cell(&note.author), minute(note.at), cell(&note.reason));
                    writeln!(out, "- [x] {what}: {author}, {at}: {reason}")?;
                }
                None if people.is_empty() => writeln!(out, "- [ ] {what}: anyone who may change flags")?,
                None => writeln!(out, "- [ ] {what}: {}", cell(&people.join(", ")))?,
            }
        }
        if !self.attested.is_empty() {
            writeln!(out, "\n## What people said in this attempt\n")?;
            writeln!(out, "| Time | What | At the step | By | Why |\n|---|---|---|---|---|")?;
        }
        for given in &self.attested {
            let (at, what, step) = (minute(given.by.at), cell(&given.what), cell(&given.step));
            writeln!(out, "| {at} | {what} | {step} | {} | {} |", cell(&given.by.author), cell(&given.by.reason))?;
        }
        Ok(())
    }
}

impl IncidentReport {
    /// The record in Markdown.
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let IncidentReport { version, incident, recovered, retried } = self;
        let severity = match incident.severity {
            Severity::Critical => "CRITICAL",
            Severity::Warning => "WARNING",
        };
        writeln!(out, "### {severity}: {}\n", cell(&incident.reason))?;
        let step = incident.step.as_ref().map_or(String::new(), |step| format!(" from {}", cell(step)));
        let by = match incident.rollback_triggered {
            true => "by a trigger".to_owned(),
            false => format!("by {}", cell(&incident.author)),
        };
        writeln!(out, "- turned back{step} {by} at {}, version {version} of the log", incident.at)?;
        let recovery = match (incident.recovery, recovered) {
            (Recovery::Unchecked, _) => "the plan does not say what to look at after a rollback".to_owned(),
            (Recovery::Awaited, _) if retried.is_some() => {
                "it was begun again before it was known whether traffic and health followed".to_owned()
            }
            (Recovery::Awaited, _) => "whether traffic and health follow is not known yet".to_owned(),
            (Recovery::Verified, Some(at)) => {
                format!("traffic and health followed, {} later", coarse(between(incident.at, *at)))
            }
            (Recovery::Verified, None) => "traffic and health followed".to_owned(),
            (Recovery::Escalated, _) => "traffic or health did not follow in time, and people were told".to_owned(),
        };
        writeln!(out, "- {recovery}")?;
        match retried {
            Some(at) => writeln!(out, "- begun again at {at}, {} later", coarse(between(incident.at, *at)))?,
            None => writeln!(out, "- not begun again since")?,
        }
        // What was well stands in the log.
        let amiss = |reading: &&Reading| match reading.action {
            Some(_) => reading.finding != Finding::Fails,
            None => reading.finding != Finding::Holds,
        };
        for reading in incident.evidence.iter().filter(amiss) {
            let (_, finding) = found(reading);
            let measured = reading.measured().map_or(String::new(), |measured| format!(": {measured}"));
            let note = reading.note.as_ref().map_or(String::new(), |note| format!(" ({note})"));
            writeln!(out, "- {} {finding}{}", cell(&reading.guard), cell(&format!("{measured}{note}")))?;
            if let Some(query) = &reading.query {
                writeln!(out, "  `{}`", query.replace(|c: char| c == '`' || c.is_control(), " "))?;
            }
        }
        Ok(())
    }
}

/// What a gate or trigger found: whether that is well, and in words.
fn found(reading: &Reading) -> (&'static str, &'static str) {
    let is_trigger = reading.action.is_some();
    match reading.finding {
        Finding::Holds if is_trigger => ("❌", "has fired"),
        Finding::Holds => ("✅", "holds"),
        Finding::Pending if reading.metric.is_none() => ("⚠️", "is raised"),
        Finding::Pending if reading.value.is_none() => ("⚠️", "not measured in this step yet"),
        Finding::Pending => ("⚠️", "not for long enough"),
        Finding::Fails if is_trigger => ("✅", "has not fired"),
        Finding::Fails if reading.p_value.is_some() => ("⚠️", "is not certain yet"),
        Finding::Fails => ("❌", "does not hold"),
        Finding::NoData | Finding::Silence => ("⚠️", "no data"),
    }
}

const MINUTE: u64 = 60_000;

/// As much of a length of time as anybody wants to know: minutes, or seconds below one.
pub(super) fn coarse(period: Period) -> String {
    let unit = if period.millis() >= MINUTE { MINUTE } else { 1000 };
    Period::from_millis(period.millis() / unit * unit).to_string()
}

/// An instant to the minute.
pub(super) fn minute(at: Timestamp) -> String {
    let text = at.to_string();
    match (text.get(..10), text.get(11..16)) {
        (Some(day), Some(time)) if text.ends_with('Z') => format!("{day} {time} UTC"),
        _ => text,
    }
}

fn day(at: Timestamp) -> String {
    at.to_string().chars().take_while(|c| *c != 'T').collect()
}

/// What others wrote must neither end a cell of a table nor begin a heading, a list, or markup.
pub(super) fn cell(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '#' | '~' | '&' => escaped.extend(['\\', c]),
            // At its beginning it would be the marker of a list.
            '-' | '+' if escaped.is_empty() => escaped.extend(['\\', c]),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}
