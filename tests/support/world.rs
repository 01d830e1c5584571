//! A rollout on a virtual clock: a log of its own, a script in place of metrics, and a controller that is asked once a minute.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use flagstone::rollout::{
    Answer, BlockerKind, CONTROLLER, Cleanup, Decision, Observations, Part, Passage, Phase, Plan, Progress, Question,
    Report, Status, Verb, Verdict,
};
use flagstone::snapshot::SigningKey;
use flagstone::snapshot::definitions::{Definitions, Options, Source, State, compile};
use flagstone::store::{Log, Operation, OperationError, Operator, Publication, Request};
use flagstone::{Audience, Context, Snapshot, Timestamp};

const KEY: &str = r#"{"kty":"OKP","crv":"Ed25519","alg":"Ed25519","kid":"k","environments":["production"],
    "d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

pub const EPOCH: Timestamp = Timestamp::from_millis(0);
pub const MINUTE: i64 = 60_000;
pub const HOUR: i64 = 60 * MINUTE;
pub const DAY: i64 = 24 * HOUR;

pub fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The definitions in `tests/rollouts/definitions` whose names begin so.
pub fn plans(prefix: &str) -> Definitions {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rollouts/definitions");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let name = |file: &Path| file.file_name().unwrap().to_string_lossy().into_owned();
    let sources: Vec<_> = files
        .iter()
        .filter(|file| name(file).starts_with(prefix))
        .map(|file| Source::new(name(file), std::fs::read(file).unwrap()))
        .collect();
    Definitions::read(&sources).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

/// What a metric says where all is well; none where it says nothing. Of a count since the epoch, what it is in a minute.
pub type Numbers = fn(&str, Part) -> Option<f64>;

/// What it says instead, from an instant on.
struct Fault {
    metric: String,
    part: Part,
    from: Timestamp,
    until: Option<Timestamp>,
    number: Option<f64>,
}

pub struct World {
    operator: Operator,
    _folder: tempfile::TempDir,
    version: u64,
    numbers: Numbers,
    faults: Vec<Fault>,
    pub definitions: Definitions,
    pub state: State,
    pub now: Timestamp,
    /// The share of traffic follows the flags, unless told otherwise.
    pub traffic_follows: bool,
}

impl World {
    pub async fn new(prefix: &str, now: &str, numbers: Numbers) -> World {
        World::of(plans(prefix), now, numbers).await
    }

    pub async fn of(definitions: Definitions, now: &str, numbers: Numbers) -> World {
        let folder = tempfile::tempdir().unwrap();
        let key = SigningKey::from_jwk(KEY.as_bytes()).unwrap();
        let log =
            Log::open(folder.path().to_str().unwrap(), "production", [key.public()].into_iter().collect()).unwrap();
        let operator = Operator::new(log, vec![key], Duration::from_secs(7 * 24 * 60 * 60));
        let now = at(now);
        let request = Request { now, ..Request::new("ana", "The plans") };
        let outcome = operator.publish(&Publication::of(definitions), &request).await.unwrap();
        World {
            operator,
            _folder: folder,
            version: outcome.version,
            numbers,
            faults: Vec::new(),
            definitions: outcome.definitions,
            state: outcome.state,
            now,
            traffic_follows: true,
        }
    }

    pub fn plan(&self, rollout: &str) -> &Plan {
        &self.definitions.rollouts[rollout]
    }

    pub fn progress(&self, rollout: &str) -> &Progress {
        &self.state.rollouts[rollout]
    }

    /// The step that it is at; empty for none.
    pub fn step(&self, rollout: &str) -> &str {
        self.progress(rollout).step.as_deref().unwrap_or_default()
    }

    pub fn wait(&mut self, millis: i64) {
        self.now = self.now.plus_millis(millis);
    }

    /// From now on the metric says this, or nothing.
    pub fn fault(&mut self, metric: &str, part: Part, number: Option<f64>) {
        self.faults.push(Fault { metric: metric.to_owned(), part, from: self.now, until: None, number });
    }

    /// From now on all is well again.
    pub fn mend(&mut self) {
        let now = self.now;
        self.faults.iter_mut().for_each(|fault| fault.until = fault.until.or(Some(now)));
    }

    fn number(&self, rollout: &str, metric: &str, part: Part, at: Timestamp) -> Option<f64> {
        let lasts = |fault: &&Fault| fault.from <= at && fault.until.is_none_or(|until| at < until);
        let here = |fault: &&Fault| fault.metric == metric && fault.part == part;
        if let Some(fault) = self.faults.iter().rfind(|fault| here(fault) && lasts(fault)) {
            return fault.number;
        }
        if metric == "trafficShare" && self.traffic_follows {
            let plan = self.plan(rollout);
            let progress = self.progress(rollout);
            return Some(plan.percent(progress).map_or(0.0, |percent| f64::from(percent.thousandths()) / 100_000.0));
        }
        if let Part::Count { of, arm, since } = part
            && since != EPOCH
        {
            let a_minute = Part::Count { of, arm, since: EPOCH };
            let minutes =
                (1..=(at.as_millis() - since.as_millis()) / MINUTE).map(|minute| since.plus_millis(minute * MINUTE));
            return minutes.map(|at| self.number(rollout, metric, a_minute, at)).sum();
        }
        (self.numbers)(metric, part)
    }

    fn answer(&self, rollout: &str, question: &Question) -> Answer {
        let step = i64::try_from(question.step.millis()).unwrap();
        let ago = i64::try_from(question.ago.millis()).unwrap();
        let (mut points, mut at) = (BTreeMap::new(), question.from);
        while at <= question.to {
            let read = at.plus_millis(ago);
            points.extend(self.number(rollout, &question.metric, question.part, read).map(|number| (read, number)));
            at = at.plus_millis(step);
        }
        Answer { points, query: Some(question.query.clone()), ..Answer::default() }
    }

    /// What the controller would do now.
    pub fn assess(&self, rollout: &str) -> Decision {
        let (plan, progress) = (self.plan(rollout), self.progress(rollout));
        plan.assess(progress, &self.definitions, &self.state, &self.observations(rollout), self.now)
    }

    fn observations(&self, rollout: &str) -> Observations {
        let questions = self.plan(rollout).questions(self.progress(rollout), "production", self.now);
        let each = questions.iter();
        each.map(|question| ((question.metric.clone(), question.part), self.answer(rollout, question))).collect()
    }

    /// What the controller does now.
    pub async fn decide(&mut self, rollout: &str) -> Decision {
        let decision = self.assess(rollout);
        if decision.verdict == Verdict::Wait {
            assert_eq!(&decision.progress, self.progress(rollout), "waiting changes nothing");
        } else {
            let progress = Box::new(decision.progress.clone());
            let operation = Operation::Decided { name: rollout.to_owned(), progress };
            let request = Request {
                expected: Some(self.version),
                now: self.now,
                ..Request::new(CONTROLLER, decision.progress.last.reason.clone())
            };
            self.apply(&[operation], &request).await.unwrap();
        }
        decision
    }

    pub async fn apply(&mut self, operations: &[Operation], request: &Request) -> Result<(), OperationError> {
        let outcome = self.operator.apply(operations, request).await?;
        (self.version, self.definitions, self.state) = (outcome.version, outcome.definitions, outcome.state);
        Ok(())
    }

    async fn passages(&self, rollout: &str) -> Vec<Passage> {
        self.operator.log().passages(rollout, None, usize::MAX).await.unwrap()
    }

    /// What is left to do of it.
    pub async fn cleanup(&self, rollout: &str) -> Cleanup {
        let passages = self.passages(rollout).await;
        self.plan(rollout).cleanup(rollout, "production", &self.definitions, &self.state, &passages, self.now)
    }

    /// What `flagstone rollout report` writes now, of the last so many days.
    pub async fn report(&self, rollout: &str, days: i64) -> Report {
        let (plan, status) = (self.plan(rollout), self.status(rollout));
        let passages = self.passages(rollout).await;
        plan.report("production", status, &passages, self.now.plus_millis(-days * DAY), self.now)
    }

    fn status(&self, rollout: &str) -> Status {
        let observations = self.observations(rollout);
        self.plan(rollout).status(rollout, &self.definitions, &self.state, Some(&observations), self.now)
    }

    pub async fn operate(&mut self, author: &str, operations: &[Operation]) {
        let request = Request { now: self.now, ..Request::new(author, "So the plan says") };
        self.apply(operations, &request).await.unwrap();
    }

    pub async fn act(&mut self, rollout: &str, author: &str, verb: Verb) {
        self.operate(author, &[Operation::Rollout { name: rollout.to_owned(), verb }]).await;
    }

    pub async fn refused(&mut self, rollout: &str, author: &str, verb: Verb) -> String {
        let request = Request { now: self.now, ..Request::new(author, "So the plan says") };
        let operation = Operation::Rollout { name: rollout.to_owned(), verb };
        self.apply(&[operation], &request).await.unwrap_err().to_string()
    }

    pub async fn start(&mut self, rollout: &str) {
        self.act(rollout, "ana", Verb::Start).await;
    }

    /// Gives what people must give for the rollout to go on, each by somebody who may.
    pub async fn sign(&mut self, rollout: &str) {
        let plan = self.plan(rollout).clone();
        let step = plan.steps().into_iter().find(|step| step.name == self.step(rollout)).unwrap();
        for requirement in &step.requires {
            let by = requirement.role().map_or("ana", |role| plan.roles[role][0].as_str());
            let verb = match &requirement.attestation {
                Some(what) => Verb::Attest { what: what.clone() },
                None => Verb::Advance { role: requirement.approval.clone(), step: None },
            };
            self.act(rollout, by, verb).await;
        }
        if step.ceiling {
            self.act(rollout, "ana", Verb::Resume).await;
        }
    }

    /// Whether only people keep it from going on.
    pub fn waits_for_people(decision: &Decision) -> bool {
        let people = [BlockerKind::Approval, BlockerKind::Attestation, BlockerKind::Ceiling];
        !decision.blockers.is_empty() && decision.blockers.iter().all(|blocker| people.contains(&blocker.kind))
    }

    /// Lets time pass until the rollout is at a step, or completed where that is empty; people give what they must as soon as
    /// nothing else is missing. Returns when each step on the way began.
    pub async fn go_on_to(&mut self, rollout: &str, step: &str) -> Vec<(String, Timestamp)> {
        let mut way = vec![(self.step(rollout).to_owned(), self.progress(rollout).entered)];
        for _ in 0..20_000 {
            let progress = self.progress(rollout);
            if progress.phase == Phase::Completed || (!step.is_empty() && progress.step.as_deref() == Some(step)) {
                return way;
            }
            let decision = self.decide(rollout).await;
            match decision.verdict {
                Verdict::Advance => way.push((self.step(rollout).to_owned(), self.now)),
                Verdict::Complete => {}
                Verdict::Wait if World::waits_for_people(&decision) => self.sign(rollout).await,
                Verdict::Wait => self.now = decision.next.unwrap_or(self.now.plus_millis(MINUTE)).max(self.now),
                verdict => {
                    panic!("{verdict:?} at {} on {}: {:#?}", self.step(rollout), self.now, decision.progress.last)
                }
            }
        }
        panic!("it does not get to {step:?}: {:#?}", self.assess(rollout).blockers);
    }

    /// Asks once a minute until something is done, and says after how many minutes it was.
    pub async fn minutes_to(&mut self, rollout: &str, most: i64) -> (Option<i64>, Decision) {
        for minute in 0.. {
            let decision = self.decide(rollout).await;
            if decision.verdict != Verdict::Wait {
                return (Some(minute), decision);
            }
            if minute == most {
                return (None, decision);
            }
            self.wait(MINUTE);
        }
        unreachable!()
    }

    fn snapshot(&self) -> Snapshot {
        let options = Options {
            environment: "production".to_owned(),
            audience: Audience::Server,
            version: self.version,
            created: self.now,
            expires: None,
        };
        let payload =
            compile(&self.definitions, &self.state, &options).unwrap_or_else(|problems| panic!("{problems:?}"));
        Snapshot::from_payload(payload.as_str()).unwrap()
    }

    pub fn is_on(&self, flag: &str, context: &Context) -> bool {
        self.snapshot().at(self.now).boolean(flag, false, context)
    }

    /// Which of a thousand people are in.
    pub fn people(&self, flag: &str) -> Vec<u32> {
        let snapshot = self.snapshot();
        let engine = snapshot.at(self.now);
        (0..1000).filter(|user| engine.boolean(flag, false, &Context::new(format!("user-{user}").as_str()))).collect()
    }

    /// Whether about so many percent are in.
    #[track_caller]
    pub fn has(&self, flag: &str, percent: usize) {
        let people = self.people(flag).len();
        match percent {
            0 | 100 => assert_eq!(people, percent * 10, "{flag}"),
            // Four standard deviations.
            _ => assert!(people.abs_diff(percent * 10) <= 64, "{people} of 1000 are in {flag}, not {percent} %"),
        }
    }
}
