//! A plan on a virtual clock.

mod assume;
mod count;
mod foresee;
mod history;
mod outcome;
mod script;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

pub use assume::Assumption;
pub use history::History;
pub use outcome::{Curve, Exposure, Happened, Moment, Outcome, Point, Simulation, Threshold, Turned, Wait};
pub use script::{People, Script};

use self::count::AllCounted;
use self::foresee::AllRuns;
use self::history::Piece;
use self::script::{ANYONE, Act, Doing, Event, Says, Until, What, When};
use super::flags::frozen;
use super::report::Stay;
use super::{
    Answer, Blocker, BlockerKind, Decision, Note, Observations, Part, Period, Phase, Plan, Progress, Question, Refusal,
    Requirement, ResolvedStep, Spent, Standing, Transition, Verb, Verdict, decide,
};
use crate::Timestamp;
use crate::snapshot::definitions::{Frozen, Percent, State};

/// What a plan is tried on.
///
/// A metric that neither the history nor the script knows anything of is well: it says numbers that let each gate hold and open
/// no trigger ([`Simulation::assumed`] has them), and the share of people that is looked at after a rollback or by a sample ratio
/// is that of the percent. What sequential guards count comes of the metric's value as the rate of failures, of its samples in a
/// window, and of the percent.
#[derive(Clone, Debug, Default)]
pub struct Scenario {
    /// When the rollout is started.
    pub start: Timestamp,
    /// When to look no further; absent means the end of the history, or of all that could happen.
    pub until: Option<Timestamp>,
    /// What `{{environment}}` in queries stands for.
    pub environment: String,
    /// What metrics said.
    pub history: History,
    /// What happens besides.
    pub script: Script,
    /// What people do who are asked; absent means what the script says.
    pub people: Option<People>,
}

/// Runs a plan on a virtual clock, by the same [`Plan::questions`], [`decide`] and [`Verb`]s as the controller and whoever steers it,
/// until it is through, or was turned back, or nothing is to come that could change anything.
///
/// It looks once an interval of the plan, and whenever somebody does something or the clock decides; looks at which nothing can
/// have changed are left out.
///
/// ```
/// use flagstone::rollout::{Outcome, Plan, Scenario, Script, Transition, simulate};
/// use flagstone::snapshot::definitions::Source;
///
/// let plan: Plan = serde_json::from_str(r#"{
///     "flags": ["use_new_gateway"],
///     "traffic": {"usersPerDay": 20000},
///     "metrics": {"errors": {"query": "errors"}},
///     "gates": [{"metric": "errors", "value": "< 0.1%"}],
///     "triggers": [{"metric": "errors", "value": "> 1%", "for": "5m"}],
///     "steps": [{"percent": 10, "soak": "2d"}, {"percent": 100, "soak": "2d"}]
/// }"#)?;
/// let start = "2025-01-10T08:00:00Z".parse()?;
/// let well = simulate(&plan, Scenario { start, ..Scenario::default() });
/// assert_eq!((well.outcome, well.end), (Outcome::Completed, "2025-01-14T08:00:00Z".parse()?));
///
/// let script = Source::new("fault.yaml", "events: [{at: 1d, metric: errors, value: 2%}]");
/// let script = Script::read(&script, &plan).expect("it is well formed");
/// let ill = simulate(&plan, Scenario { start, script, ..Scenario::default() });
/// assert_eq!((ill.outcome, ill.end), (Outcome::RolledBack, "2025-01-11T08:05:00Z".parse()?));
/// let turned = &ill.rollbacks[0];
/// assert_eq!(turned.exposed.people, Some(2000.0), "a tenth of them, in a day and five minutes");
/// assert_eq!(turned.exposed_to_fault.as_ref().unwrap().people.map(f64::round), Some(7.0), "in the five minutes");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn simulate(plan: &Plan, scenario: Scenario) -> Simulation {
    Simulator::new(plan, scenario, Pace::Leaps).run()
}

/// How the clock moves on.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Pace {
    /// To the next instant at which anything can have changed.
    Leaps,
    /// Once an interval, as the controller does: what leaps are held against.
    #[cfg(test)]
    Ticks,
}

/// Nobody plans further ahead.
const LONGEST: Period = Period::from_millis(20 * 365 * 86_400_000);
/// More decisions in one instant would be no end of them; a plan has fewer steps.
const MOST_AT_ONCE: usize = 10_000;

/// Where it was from an instant on.
#[derive(Clone, Copy, Debug)]
struct Situation {
    at: Timestamp,
    /// The step that it was at last.
    place: usize,
    percent: Option<Percent>,
}

struct Simulator<'p> {
    plan: &'p Plan,
    steps: Vec<ResolvedStep>,
    pace: Pace,
    environment: String,
    start: Timestamp,
    end: Timestamp,
    /// Whether somebody or the history says when it ends.
    is_limited: bool,
    interval: i64,
    people: People,
    history: History,
    assumed: Vec<BTreeMap<String, Assumption>>,
    /// The metrics that say which share of people is on the new path.
    shares: BTreeSet<String>,
    counted: RefCell<AllCounted>,
    /// What people will do, in order.
    acts: VecDeque<(Timestamp, Act)>,
    /// What will happen in steps that it has not come to.
    in_steps: Vec<(String, Period, What)>,
    progress: Option<Progress>,
    state: State,
    /// What keeps it from going on.
    blockers: Vec<Blocker>,
    /// When somebody was asked for what only people can give.
    asked: Option<Timestamp>,
    situations: Vec<Situation>,
    runs: AllRuns,
    looks: usize,
    moments: Vec<Moment>,
    rollbacks: Vec<Turned>,
    time: Spent,
    waits: Vec<Wait>,
    waiting: BTreeMap<(BlockerKind, Option<String>), (Timestamp, String)>,
    thresholds: Vec<Threshold>,
}

impl<'p> Simulator<'p> {
    fn new(plan: &'p Plan, scenario: Scenario, pace: Pace) -> Simulator<'p> {
        let Scenario { start, until, environment, history, script, people } = scenario;
        let people = people.or(script.people).unwrap_or_default();
        let steps = plan.steps();
        let known = until.or(history.until());
        let mut simulator = Simulator {
            plan,
            assumed: assume::assume(plan, &steps),
            shares: count::shares(plan, &steps),
            counted: RefCell::default(),
            pace,
            environment,
            start,
            is_limited: known.is_some(),
            end: known.unwrap_or_else(|| LONGEST.after(start)).max(start),
            interval: plan.interval().millis().cast_signed().max(1),
            people,
            history,
            acts: VecDeque::new(),
            in_steps: Vec::new(),
            progress: None,
            state: State::default(),
            blockers: Vec::new(),
            asked: None,
            situations: vec![Situation { at: start, place: 0, percent: None }],
            runs: AllRuns::new(),
            looks: 0,
            moments: Vec::new(),
            rollbacks: Vec::new(),
            time: Spent::default(),
            waits: Vec::new(),
            waiting: BTreeMap::new(),
            thresholds: Vec::new(),
            steps,
        };
        for Event { when, what } in script.events {
            match when {
                When::At(at) => simulator.schedule(at, what),
                When::After(after) => simulator.schedule(after.after(start), what),
                When::InStep(step, after) => simulator.in_steps.push((step, after, what)),
            }
        }
        simulator
    }

    /// Makes something happen at an instant.
    fn schedule(&mut self, at: Timestamp, what: What) {
        match what {
            What::Done(act) => {
                // What is said later happens later, where it is at the same time.
                let place = self.acts.partition_point(|(other, _)| *other <= at);
                self.acts.insert(place, (at, act));
            }
            What::Measured { metric, part, says, over, lasting } => {
                let Some(line) = self.history.timeline(&metric, part) else { return };
                let piece = match says {
                    Says::Number(number) if over.is_zero() => Piece::Number(number),
                    Says::Number(to) => {
                        let from = match line.at(at) {
                            Piece::Well => None,
                            piece => piece.number(at, |_| None),
                        };
                        Piece::Ramp { start: at, from, end: over.after(at), to }
                    }
                    Says::NoData => Piece::Nothing,
                    Says::Well => Piece::Well,
                };
                line.set(at, lasting.map(|lasting| lasting.after(at)), piece);
            }
        }
    }

    fn run(mut self) -> Simulation {
        let mut now = self.start;
        loop {
            self.settle(now);
            self.note_waits(now);
            if self.is_over() || now >= self.end {
                break;
            }
            now = match self.next(now) {
                // What stays as it is, does so to the end of what is known.
                None if self.is_limited => self.end,
                None => break,
                Some(next) => next.min(self.end),
            };
        }
        self.finish(now)
    }

    /// Whether nothing is to come.
    fn is_over(&self) -> bool {
        let Some(progress) = &self.progress else { return false };
        match progress.phase {
            Phase::Completed | Phase::RolledBack => !progress.is_watched() && self.acts.is_empty(),
            Phase::Running | Phase::Held | Phase::RollingBack => false,
        }
    }

    /// Lets happen what happens at an instant, until all there is to do is to wait.
    fn settle(&mut self, now: Timestamp) {
        for _ in 0..MOST_AT_ONCE {
            while self.acts.front().is_some_and(|(at, _)| *at <= now) {
                if let Some((_, act)) = self.acts.pop_front() {
                    self.act(act, now);
                }
            }
            let Some(progress) = self.progress.clone() else {
                self.blockers = self.plan.shut(&self.state, now);
                let start = Doing::Verb(Verb::Start);
                let act = Act { doing: start, author: ANYONE.to_owned(), reason: "the simulation begins".to_owned() };
                match self.blockers.is_empty() && self.act(act, now) {
                    true => continue,
                    false => return,
                }
            };
            let decision = self.look(progress, now);
            self.blockers = decision.blockers;
            if decision.verdict != Verdict::Wait {
                self.moved(decision.progress, now);
            } else if !self.people_act(now) {
                return;
            }
        }
    }

    /// What the controller decides.
    fn look(&mut self, progress: Progress, now: Timestamp) -> Decision {
        self.looks += 1;
        let questions = self.plan.questions(&progress, &self.environment, now);
        let answers =
            questions.iter().map(|question| ((question.metric.clone(), question.part), self.answer(question)));
        let observations: Observations = answers.collect();
        let obstacles = frozen(&self.state, now).into_iter().filter(|_| progress.is_active()).collect();
        let decision = decide(self.plan, &Standing { progress, obstacles }, &observations, now);
        self.note_thresholds(&decision.evidence, now);
        decision
    }

    fn answer(&self, question: &Question) -> Answer {
        let (metric, part) = (&question.metric, question.part);
        if let Part::Count { of, arm, since } = part {
            let count = self.count(metric, (of, arm), since, question.to);
            let points = count.map(|count| (question.to, count)).into_iter().collect();
            return Answer { points, query: Some(question.query.clone()), ..Answer::default() };
        }
        let (mut at, to) = (question.ago.after(question.from), question.ago.after(question.to));
        let step = question.step.millis().cast_signed().max(1);
        let mut points = Vec::new();
        while at <= to {
            // What does not change is looked up once.
            let number = self.number(metric, part, at);
            let changes = self.changes(metric, at).unwrap_or(Timestamp::MAX);
            while at <= to && at < changes {
                points.extend(number.map(|number| (at, number)));
                at = at.plus_millis(step);
            }
        }
        Answer { points: points.into_iter().collect(), query: Some(question.query.clone()), ..Answer::default() }
    }

    /// What a metric says.
    fn number(&self, metric: &str, part: Part, at: Timestamp) -> Option<f64> {
        self.history.piece(metric, part, at).number(at, |at| self.well(metric, part, at))
    }

    /// What it says where all is well.
    fn well(&self, metric: &str, part: Part, at: Timestamp) -> Option<f64> {
        let behind = self.situations.partition_point(|situation| situation.at <= at);
        let situation = self.situations[behind.saturating_sub(1)];
        if part == Part::Value && self.shares.contains(metric) {
            return Some(situation.percent.unwrap_or_default().fraction());
        }
        self.assumed.get(situation.place)?.get(metric)?.part(part)
    }

    /// The next instant at which a metric may say something else.
    fn changes(&self, metric: &str, after: Timestamp) -> Option<Timestamp> {
        let behind = self.situations.partition_point(|situation| situation.at <= after);
        let situation = self.situations.get(behind).map(|situation| situation.at);
        self.history.changes(metric, after).into_iter().chain(situation).min()
    }

    /// Whether it changed anything.
    fn act(&mut self, Act { doing, author, reason }: Act, now: Timestamp) -> bool {
        let by = Note { author, reason, at: now };
        let refused = |why: &str| Happened::Refused(why.to_owned());
        let happened = match doing {
            Doing::Freeze(until) => {
                let until = match until {
                    Until::At(at) => Some(at),
                    Until::After(period) => Some(period.after(now)),
                    Until::Unfrozen => None,
                };
                match until.is_some_and(|until| until <= now) {
                    true => refused("freeze: it would be over before it begins"),
                    false => {
                        self.state.frozen = Some(Frozen { by: by.clone(), until });
                        Happened::Frozen
                    }
                }
            }
            Doing::Unfreeze => {
                self.state.frozen = None;
                Happened::Unfrozen
            }
            Doing::Verb(verb) => {
                let shut = if verb.lets_in() { self.plan.shut(&self.state, now) } else { Vec::new() };
                let progress = match shut.into_iter().next() {
                    Some(blocker) => Err(Refusal(blocker.message)),
                    None => verb.apply(self.plan, self.progress.as_ref(), &by),
                };
                match progress {
                    Ok(progress) => {
                        let is_new = self.progress.as_ref() != Some(&progress);
                        if is_new {
                            self.moved(progress, now);
                        }
                        return is_new;
                    }
                    Err(Refusal(why)) => refused(&format!("{}: {why}", verb.name())),
                }
            }
        };
        let changed = !matches!(happened, Happened::Refused(_));
        self.happened(happened, by, Vec::new());
        changed
    }

    /// Has people say what only they keep it waiting for; whether they did.
    fn people_act(&mut self, now: Timestamp) -> bool {
        let People::After(delay) = self.people else { return false };
        if !self.blockers.is_empty() && self.blockers.iter().all(is_for_people) {
            self.asked.get_or_insert(now);
        }
        if self.asked.is_none_or(|asked| delay.after(asked) > now) {
            return false;
        }
        let step = self.step();
        let asked_for = |requirement: &&Requirement| {
            let what = Some(requirement.called());
            self.blockers.iter().any(|blocker| is_for_people(blocker) && blocker.about == what)
        };
        let words = step.into_iter().flat_map(|step| &step.requires).filter(asked_for).map(|requirement| {
            let verb = match &requirement.attestation {
                Some(what) => Verb::Attest { what: what.clone() },
                None => Verb::Advance { role: requirement.approval.clone(), step: None },
            };
            let people = requirement.role().and_then(|role| self.plan.roles.get(role)?.first());
            (verb, people.map_or(ANYONE, String::as_str).to_owned())
        });
        let ceiling = self.blockers.iter().any(|blocker| blocker.kind == BlockerKind::Ceiling);
        let resumes = ceiling.then(|| (Verb::Resume, ANYONE.to_owned()));
        // What the script has somebody say, they say then and not before.
        let is_to_come = |verb: &Verb| self.acts.iter().any(|(_, act)| act.doing == Doing::Verb(verb.clone()));
        let acts: Vec<Act> = words
            .chain(resumes)
            .filter(|(verb, _)| !is_to_come(verb))
            .map(|(verb, author)| Act { doing: Doing::Verb(verb), author, reason: "asked for".to_owned() })
            .collect();
        let mut did = false;
        for act in acts {
            did |= self.act(act, now);
        }
        if did {
            self.asked = None;
        }
        did
    }

    /// The step that it is at.
    fn step(&self) -> Option<&ResolvedStep> {
        let name = self.progress.as_ref()?.step.as_ref()?;
        self.steps.iter().find(|step| step.name == *name)
    }

    /// Takes down what came of a decision or a verb.
    fn moved(&mut self, progress: Progress, now: Timestamp) {
        let last = &progress.last;
        let by = Note { author: last.author.clone(), reason: last.reason.clone(), at: now };
        let (what, evidence) = (last.what, last.evidence.clone());
        self.spend(now);
        if matches!(what, Transition::RolledBack | Transition::SteppedDown) {
            self.turned(&progress, now);
        }
        let before = self.situations[self.situations.len() - 1];
        let place = self.steps.iter().position(|step| Some(&step.name) == progress.step.as_ref());
        let situation =
            Situation { at: now, place: place.unwrap_or(before.place), percent: self.plan.percent(&progress) };
        self.situations.push(situation);
        let is_only_noted =
            matches!(what, Transition::Approved | Transition::Attested | Transition::Signalled | Transition::Cleared);
        if !is_only_noted {
            self.asked = None;
            self.end_waits(now, |_| true);
        }
        if progress.phase == Phase::Running {
            let here = |(step, _, _): &(String, Period, What)| Some(step) == progress.step.as_ref();
            let (here, later) = std::mem::take(&mut self.in_steps).into_iter().partition(here);
            self.in_steps = later;
            let here: Vec<(String, Period, What)> = here;
            for (_, after, what) in here {
                self.schedule(after.after(now), what);
            }
        }
        self.counted.borrow_mut().clear();
        for runs in self.runs.values_mut() {
            runs.forget(now, self.start, self.interval);
        }
        self.progress = Some(progress);
        self.happened(Happened::Transition(what), by, evidence);
    }

    /// Takes down where time went until now.
    fn spend(&mut self, now: Timestamp) {
        if let Some(progress) = &self.progress {
            self.time.add(&Stay { progress, until: now }.spent(&self.steps));
        }
    }

    /// Takes down what it waits for.
    fn note_waits(&mut self, now: Timestamp) {
        let reasons: BTreeMap<_, _> =
            self.reasons().map(|blocker| ((blocker.kind, blocker.about.clone()), blocker.message.clone())).collect();
        let keys: BTreeSet<_> = reasons.keys().cloned().collect();
        self.end_waits(now, |key| !keys.contains(key));
        for (key, message) in reasons {
            self.waiting.entry(key).or_insert((now, message));
        }
    }

    fn end_waits(&mut self, now: Timestamp, is_over: impl Fn(&(BlockerKind, Option<String>)) -> bool) {
        let step = self.progress.as_ref().and_then(|progress| progress.step.clone());
        let waiting = std::mem::take(&mut self.waiting);
        let (over, going_on) = waiting.into_iter().partition(|(key, _)| is_over(key));
        self.waiting = going_on;
        let over: BTreeMap<_, _> = over;
        for ((kind, about), (from, message)) in over {
            if from < now {
                self.waits.push(Wait { from, until: now, kind, about, message, step: step.clone() });
            }
        }
    }

    /// What it waits for first: nobody looks at metrics as long as it has to stay, nor asks people before all else is so.
    fn reasons(&self) -> impl Iterator<Item = &Blocker> {
        let first = self.blockers.iter().map(order).min();
        self.blockers.iter().filter(move |blocker| Some(order(blocker)) == first)
    }
}

/// What is waited for first comes first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Order {
    Held,
    Clock,
    Other,
    People,
}

fn order(blocker: &Blocker) -> Order {
    match blocker.kind {
        BlockerKind::Held => Order::Held,
        BlockerKind::Soak | BlockerKind::Start => Order::Clock,
        BlockerKind::Approval | BlockerKind::Attestation | BlockerKind::Ceiling => Order::People,
        _ => Order::Other,
    }
}

fn is_for_people(blocker: &Blocker) -> bool {
    order(blocker) == Order::People
}
