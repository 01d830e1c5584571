//! What came of a simulation, in words and in stretches of time: what the terminal and the page show alike.

use std::collections::BTreeMap;

use flagstone::Timestamp;
use flagstone::rollout::{
    Action, BlockerKind, Curve, Exposure, Finding, Happened, Moment, Outcome, Quantity, Reading, Simulation, Threshold,
    Transition, Turned,
};
use flagstone::snapshot::definitions::Percent;

use super::axis::{instant, span};
use super::between;
use crate::answer::thousands;

/// Something that happened, or the same several times over.
pub struct Told<'s> {
    pub moment: &'s Moment,
    pub tone: Tone,
    /// In a word or two.
    pub head: String,
    /// Where it led.
    pub led: String,
    /// What was said, if that is what happened.
    pub about: Vec<&'s str>,
    /// What it is where it turned the rollout back.
    pub turned: Option<&'s Turned>,
}

/// Which way it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tone {
    Quiet,
    On,
    Done,
    Stop,
    Back,
}

/// All that happened. What one person says at once is one thing.
pub fn tell(simulation: &Simulation) -> Vec<Told<'_>> {
    let mut told: Vec<Told<'_>> = Vec::new();
    let mut turned = simulation.rollbacks.iter();
    for moment in &simulation.moments {
        let same = |last: &&mut Told<'_>| {
            let of = |moment: &Moment| (moment.at, moment.author.clone(), moment.what.clone());
            of(last.moment) == of(moment)
        };
        if let (Some(about), Some(last)) = (&moment.about, told.last_mut().filter(same)) {
            last.about.push(about);
            continue;
        }
        let (tone, head) = words(&moment.what);
        let turns = matches!(moment.what, Happened::Transition(Transition::RolledBack | Transition::SteppedDown));
        told.push(Told {
            moment,
            tone,
            head,
            led: led(moment),
            about: moment.about.as_deref().into_iter().collect(),
            turned: if turns { turned.next() } else { None },
        });
    }
    told
}

fn words(what: &Happened) -> (Tone, String) {
    let transition = match what {
        Happened::Transition(transition) => transition,
        Happened::Frozen => return (Tone::Stop, "changes frozen".to_owned()),
        Happened::Unfrozen => return (Tone::On, "changes let go on".to_owned()),
        Happened::Refused(why) => return (Tone::Quiet, format!("refused to {why}")),
    };
    let tone = match transition {
        Transition::Started | Transition::Advanced | Transition::Resumed | Transition::Retried => Tone::On,
        Transition::Completed => Tone::Done,
        Transition::Held | Transition::Signalled | Transition::CohortRolledBack => Tone::Stop,
        Transition::SteppedDown
        | Transition::RollingBack
        | Transition::Lowered
        | Transition::RolledBack
        | Transition::Escalated => Tone::Back,
        _ => Tone::Quiet,
    };
    (tone, transition.in_words().to_owned())
}

/// Where a moment led, if it led anywhere.
fn led(moment: &Moment) -> String {
    let Happened::Transition(transition) = &moment.what else { return String::new() };
    let moves = matches!(
        transition,
        Transition::Started
            | Transition::Advanced
            | Transition::Retried
            | Transition::SteppedDown
            | Transition::RollingBack
            | Transition::Lowered
            | Transition::RolledBack
    );
    match (&moment.step, moment.percent) {
        _ if !moves => String::new(),
        (None, _) => "nobody".to_owned(),
        (Some(step), Some(percent)) if !step.contains(&format!("{percent}%")) => format!("{step}, {percent}%"),
        (Some(step), _) => step.clone(),
    }
}

/// How it ended.
pub fn ending(simulation: &Simulation) -> String {
    let lasted = span(between(simulation.start, simulation.end));
    match (simulation.outcome, simulation.rollbacks.last()) {
        (Outcome::Completed, _) => format!("gets through in {lasted}"),
        (Outcome::RolledBack, Some(turned)) => {
            let after = span(between(simulation.start, turned.at));
            let step = turned.step.as_deref().map_or(String::new(), |step| format!(" at {step}"));
            format!("is turned back{step} after {after}")
        }
        (Outcome::RolledBack, None) => "is turned back".to_owned(),
        (Outcome::Stuck | Outcome::Underway, _) => {
            let step = simulation.moments.iter().rev().find_map(|moment| moment.step.as_deref());
            let step = step.map_or(String::new(), |step| format!(" at {step}"));
            let is = if simulation.outcome == Outcome::Stuck { "stuck" } else { "under way" };
            format!("is {is}{step} after {lasted}")
        }
    }
}

/// From when to when.
pub fn stretch(simulation: &Simulation) -> String {
    format!("{} to {} UTC", instant(simulation.start), instant(simulation.end))
}

/// Where its time went.
pub fn spent(simulation: &Simulation) -> String {
    let time = simulation.time;
    let all =
        [("soaking", time.active), ("waiting", time.waiting), ("held", time.held), ("turned back", time.turned_back)];
    let parts: Vec<String> = all
        .into_iter()
        .filter(|(_, period)| !period.is_zero())
        .map(|(what, period)| format!("{} {what}", span(period)))
        .collect();
    parts.join(", ")
}

/// Who was let in.
pub fn exposure(exposed: &Exposure) -> String {
    match exposed.people {
        Some(people) if people.round() == 1.0 => "about 1 person".to_owned(),
        Some(_) => format!("about {} people", figure(exposed)),
        None => format!("{} percent-hours", figure(exposed)),
    }
}

/// The number of people who were let in, or of percent-hours where people are not known.
pub fn figure(exposed: &Exposure) -> String {
    match exposed.people {
        Some(people) if people > 0.0 && people < 0.5 => "less than one".to_owned(),
        Some(people) => thousands(people.round().max(0.0) as u64),
        None => number(exposed.percent_hours),
    }
}

/// Who was let in before it was turned back.
pub fn exposed(turned: &Turned) -> String {
    let mut text = format!("{} let in until then", exposure(&turned.exposed));
    if let (Some(exposed), Some(since)) = (&turned.exposed_to_fault, turned.fault_since) {
        let lasted = span(between(since, turned.at));
        text.push_str(&match since < turned.at && exposed.percent_hours > 0.0 {
            true => format!(", {} of them during the fault ({lasted})", figure(exposed)),
            false => ", and turned back the moment that the fault was seen".to_owned(),
        });
    }
    text
}

/// How the number of people comes about, or how to get to know one.
pub fn reckoning(exposed: &Exposure) -> &'static str {
    match exposed.people {
        Some(_) => {
            "Of those expected in a day, each comes once, at any time of it alike, and the same ones come every day; so the largest \
             percent counts, and of a stay shorter than a day its part of the day. Whom lists and rules let in is not counted."
        }
        None => {
            "With `traffic: {usersPerDay: 20000}` in the plan, or --users-per-day 20000, this is told in people. Whom lists and \
             rules let in is not counted."
        }
    }
}

/// What kind of thing it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    Soak,
    Dates,
    Metrics,
    People,
    Held,
}

impl Class {
    pub const ALL: [Class; 5] = [Class::Soak, Class::Dates, Class::Metrics, Class::People, Class::Held];

    pub fn of(kind: BlockerKind) -> Class {
        match kind {
            BlockerKind::Soak => Class::Soak,
            BlockerKind::Start | BlockerKind::Window | BlockerKind::Freeze => Class::Dates,
            BlockerKind::Gate | BlockerKind::Trigger | BlockerKind::NoData | BlockerKind::Recovery => Class::Metrics,
            BlockerKind::Approval | BlockerKind::Attestation | BlockerKind::Ceiling => Class::People,
            BlockerKind::Held | BlockerKind::Killed | BlockerKind::Changed | BlockerKind::Plan => Class::Held,
        }
    }

    /// What it is called, also in style sheets.
    pub fn name(self) -> &'static str {
        match self {
            Class::Soak => "soak",
            Class::Dates => "dates",
            Class::Metrics => "metrics",
            Class::People => "people",
            Class::Held => "held",
        }
    }

    pub fn words(self) -> &'static str {
        match self {
            Class::Soak => "soaks",
            Class::Dates => "waits for a date",
            Class::Metrics => "waits for what is measured",
            Class::People => "waits for people",
            Class::Held => "is held",
        }
    }
}

/// Stretches of time in which it waits for a kind of thing, without those that lie within others of their kind.
pub fn waits(simulation: &Simulation) -> Vec<(Timestamp, Timestamp, Class)> {
    let mut all: Vec<(Timestamp, Timestamp, Class)> = Vec::new();
    // They come in order, so that only the last of a kind can reach the next.
    let mut last: BTreeMap<Class, usize> = BTreeMap::new();
    for wait in &simulation.waits {
        let class = Class::of(wait.kind);
        match last.get(&class).map(|place| &mut all[*place].1).filter(|until| **until >= wait.from) {
            Some(until) if class != Class::Soak => *until = wait.until.max(*until),
            _ => {
                last.insert(class, all.len());
                all.push((wait.from, wait.until, class));
            }
        }
    }
    all
}

/// The percent, from each instant at which it becomes another.
pub fn percents(simulation: &Simulation) -> Vec<(Timestamp, Percent)> {
    let mut percents = vec![(simulation.start, Percent::default())];
    for moment in &simulation.moments {
        let percent = moment.percent.unwrap_or_default();
        match percents.last_mut() {
            Some((_, last)) if *last == percent => {}
            Some((at, last)) if *at == moment.at => *last = percent,
            _ => percents.push((moment.at, percent)),
        }
    }
    percents
}

/// A stretch of a curve on which nothing changes.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    pub from: Timestamp,
    pub until: Timestamp,
    pub number: Option<f64>,
    pub found: Found,
}

/// What gates and triggers make of a number; the last is the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Found {
    /// Nobody looks at it.
    Unwatched,
    Fine,
    NoData,
    /// A gate does not hold.
    Short,
    /// A trigger's condition holds.
    Wrong,
}

pub fn segments(curve: &Curve, end: Timestamp) -> Vec<Segment> {
    let begin = curve.points.first().map_or(end, |point| point.at);
    let turns = curve.thresholds.iter().flat_map(|threshold| [threshold.from, threshold.until]);
    let mut instants: Vec<Timestamp> = curve.points.iter().map(|point| point.at).chain(turns).collect();
    instants.retain(|at| *at >= begin && *at < end);
    instants.sort_unstable();
    instants.dedup();
    let ends = instants.iter().skip(1).copied().chain([end]);
    let mut segments: Vec<Segment> = Vec::new();
    for (from, until) in instants.iter().copied().zip(ends) {
        let behind = curve.points.partition_point(|point| point.at <= from);
        let number = behind.checked_sub(1).and_then(|place| curve.points[place].number);
        let found = found(curve, from, number);
        match segments.last_mut().filter(|last| last.number == number && last.found == found) {
            Some(last) => last.until = until,
            None => segments.push(Segment { from, until, number, found }),
        }
    }
    segments
}

fn found(curve: &Curve, at: Timestamp, number: Option<f64>) -> Found {
    let here = curve.thresholds.iter().filter(|threshold| threshold.from <= at && at < threshold.until);
    let of = |threshold: &Threshold| match (number, threshold.action) {
        (None, _) => Found::NoData,
        // A sequential test does not go by the number of an instant.
        (Some(_), _) if threshold.sequential => Found::Fine,
        (Some(number), Some(_)) if threshold.condition.holds(number) => Found::Wrong,
        (Some(number), None) if !threshold.condition.holds(number) => Found::Short,
        _ => Found::Fine,
    };
    here.map(of).max().unwrap_or(Found::Unwatched)
}

/// The triggers that fired, and when.
pub fn fired(simulation: &Simulation) -> impl Iterator<Item = (Timestamp, &str)> {
    let acts = |what: &Happened| {
        use Transition::{Held, RolledBack, SteppedDown};
        matches!(what, Happened::Transition(Held | RolledBack | SteppedDown))
    };
    let moments = simulation.moments.iter().filter(move |moment| acts(&moment.what));
    moments.flat_map(|moment| {
        let open = |reading: &&Reading| {
            reading.action.is_some() && matches!(reading.finding, Finding::Holds | Finding::Silence)
        };
        moment.evidence.iter().filter(open).map(|reading| (moment.at, reading.guard.as_str()))
    })
}

/// Whether anything is to be seen on a curve.
pub fn is_eventful(segments: &[Segment]) -> bool {
    let watched = || segments.iter().filter(|segment| segment.found != Found::Unwatched);
    watched().any(|segment| segment.found != Found::Fine)
        || watched().any(|segment| Some(segment.number) != watched().next().map(|first| first.number))
}

/// What a curve is of.
pub fn title(curve: &Curve) -> String {
    match curve.quantity {
        Quantity::Value => curve.metric.clone(),
        quantity => format!("{} ({quantity})", curve.metric),
    }
}

/// What a guard wants, or does where it finds it.
pub fn wants(threshold: &Threshold) -> String {
    let does = match threshold.action {
        None => "gate",
        Some(Action::Hold) => "holds it",
        Some(Action::StepDown) => "steps down",
        Some(Action::RollbackToPrevious | Action::Rollback) => "turns it back",
    };
    let mut text = format!("{does} {}", threshold.condition.to_string().trim());
    if !threshold.lasting.is_zero() {
        text.push_str(&format!(" for {}", threshold.lasting));
    }
    if let Some(times) = threshold.consecutive.filter(|times| *times > 1) {
        text.push_str(&format!(", {times} times in a row"));
    }
    if threshold.sequential {
        text.push_str(" for certain (sequential)");
    }
    text
}

/// What the guards of a curve want, each once, as they come.
pub fn wanted(curve: &Curve) -> Vec<(String, &Threshold)> {
    let mut all: Vec<(String, &Threshold)> = Vec::new();
    for threshold in &curve.thresholds {
        let text = wants(threshold);
        if !all.iter().any(|(other, _)| *other == text) {
            all.push((text, threshold));
        }
    }
    all
}

/// Whether the curve's thresholds are written in percent.
pub fn is_of_percent(curve: &Curve) -> bool {
    curve.thresholds.iter().any(|threshold| threshold.condition.to_string().contains('%'))
}

/// A number as it is compared.
pub fn written(value: f64, of_percent: bool) -> String {
    if of_percent { format!("{}%", number(value * 100.0)) } else { number(value) }
}

/// With four digits, or all before its point.
fn number(number: f64) -> String {
    if number == 0.0 || !number.is_finite() {
        return number.to_string();
    }
    let places = (3.0 - number.abs().log10().floor()).clamp(0.0, 12.0);
    let scale = 10_f64.powf(places);
    let rounded = (number * scale).round() / scale;
    match rounded.abs() >= 10_000.0 {
        true => format!("{}{}", if rounded < 0.0 { "-" } else { "" }, thousands(rounded.abs() as u64)),
        false => rounded.to_string(),
    }
}

/// A reading in words.
pub fn measured(reading: &Reading) -> String {
    let value = reading.measured();
    let samples = reading.samples.map(|samples| format!("{} samples", number(samples)));
    let parts: Vec<String> = value.into_iter().chain(samples).chain(reading.note.clone()).collect();
    parts.join(", ")
}
