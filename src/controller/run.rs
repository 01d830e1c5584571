//! The daemon: looks, decides, and writes down what was decided.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use super::metrics::{Metrics, Standing};
use super::notice::{Destination, Notices};
use super::prometheus::Prometheus;
use crate::rollout::{Answer, CONTROLLER, Decision, Observations, Progress, Transition, Verdict};
use crate::snapshot::definitions::{Definitions, Percent, State};
use crate::store::{Log, Operation, OperationError, Operator, Record, Request, StoreError};
use crate::{Audience, Timestamp};

/// How long what is under way may take once the process is to end.
const FAREWELL: Duration = Duration::from_secs(10);
/// How often in one go a decision is made anew because somebody else changed what it goes by.
const MOST_TRIES: u32 = 10;
/// What the log takes as a reason, in bytes.
const MOST_REASON: usize = 4096;

/// What a [`Controller`] goes by.
#[derive(Debug)]
pub struct Options {
    /// Where to ask for what is measured; without it there is no data.
    pub prometheus: Option<Prometheus>,
    /// How often to look at what is measured.
    pub interval: Duration,
    /// How often to look whether the log has changed; if it has, what is measured is looked at as well, at once.
    pub poll: Duration,
    /// Whom to tell of what happens.
    pub destinations: Vec<Destination>,
}

impl Options {
    /// How often to look at what is measured, unless something else is said.
    pub const INTERVAL: Duration = Duration::from_secs(10);
}

/// Runs the rollouts of one environment.
#[derive(Debug)]
pub struct Controller {
    operator: Operator,
    options: Options,
    metrics: Arc<Metrics>,
    /// What was said last of each rollout, so as to say it once.
    said: BTreeMap<String, Vec<String>>,
}

/// What came of a look at one rollout.
struct Looked {
    standing: Standing,
    next: Option<Timestamp>,
    said: Vec<String>,
    overtaken: bool,
    trouble: Option<String>,
    /// Why Prometheus, where one was named, did not answer.
    unanswered: Option<String>,
}

/// What came of a look at all of them.
#[derive(Default)]
struct Look {
    /// When something is due.
    next: Option<Timestamp>,
    /// Whether somebody else was faster.
    overtaken: bool,
    /// What went wrong with the log or with one of them; the others were looked at.
    trouble: Option<String>,
    /// Why Prometheus, where one was named, did not answer.
    unanswered: Option<String>,
}

impl Controller {
    /// A controller that signs what it decides as the operator does.
    pub fn new(operator: Operator, options: Options) -> Controller {
        if options.prometheus.is_none() {
            tracing::warn!("no Prometheus was named: gates have no data, so rollouts with gates stay where they are");
        }
        Controller { operator, options, metrics: Arc::new(Metrics::new()), said: BTreeMap::new() }
    }

    /// What it counts and shows.
    pub fn metrics(&self) -> Arc<Metrics> {
        self.metrics.clone()
    }

    /// Looks at each rollout once, writes down what is decided, and tells of it.
    ///
    /// # Errors
    ///
    /// Says what went wrong, and which metric could not be read of a Prometheus that was named; what could be decided was.
    pub async fn once(mut self) -> Result<(), String> {
        let log = self.operator.log().clone();
        let begun = Notices::begin(&log, &self.options.destinations, &self.metrics).await;
        let mut outcome = Ok(());
        for _ in 0..MOST_TRIES {
            let Look { overtaken, trouble, unanswered, .. } = self.look().await;
            if !overtaken {
                outcome = trouble.or(unanswered).map_or(Ok(()), Err);
                break;
            }
            outcome = Err("others changed the rollouts each time before a decision was written; try again".to_owned());
        }
        for notices in begun {
            let left = notices.catch_up(FAREWELL).await;
            outcome = outcome.and(left);
        }
        outcome
    }

    /// Looks at the rollouts until it is to end. It goes on when the log or Prometheus fail, and logs that they do.
    pub async fn run(mut self, ended: impl Future<Output = ()>) {
        let mut ended = pin!(ended);
        let log = self.operator.log().clone();
        let mut begun = Vec::new();
        let mut telling = Vec::new();
        for notices in Notices::begin(&log, &self.options.destinations, &self.metrics).await {
            telling.push(tokio::spawn(notices.clone().run(self.options.poll)));
            begun.push(notices);
        }
        loop {
            // Before the look, so that nothing goes unseen.
            let mark = log.mark().await.ok();
            let due = Instant::now() + self.options.interval;
            let look = {
                let mut look = pin!(self.look());
                tokio::select! {
                    look = &mut look => look,
                    () = &mut ended => {
                        // What is half written another would have to mend.
                        let _ = tokio::time::timeout(FAREWELL, look).await;
                        break;
                    }
                }
            };
            let Look { next, overtaken, .. } = look;
            let until = next.map(|next| next.as_millis().saturating_sub(Timestamp::now().as_millis()).max(0));
            let due = match until {
                _ if overtaken => Instant::now(),
                Some(until) => due.min(Instant::now() + Duration::from_millis(until.unsigned_abs())),
                None => due,
            };
            let changed = async {
                loop {
                    tokio::time::sleep(self.options.poll).await;
                    if log.mark().await.is_ok_and(|now| Some(&now) != mark.as_ref()) {
                        break;
                    }
                }
            };
            tokio::select! {
                () = tokio::time::sleep_until(due) => {}
                () = changed => {}
                () = &mut ended => break,
            }
        }
        for telling in telling {
            telling.abort();
        }
        // What is left is told by the next to run.
        join_all(begun.iter().map(|notices| notices.catch_up(FAREWELL))).await;
    }

    async fn look(&mut self) -> Look {
        let look = match self.look_at_all().await {
            Ok(look) => look,
            Err(error) => Look { trouble: Some(error.to_string()), ..Look::default() },
        };
        match (self.metrics.asked(look.unanswered.clone()), &look.unanswered) {
            (true, Some(problem)) => tracing::warn!(
                environment = self.operator.log().environment(),
                problem,
                "nothing measured can turn a rollout back, and none goes on, until Prometheus answers"
            ),
            (true, None) => tracing::info!(environment = self.operator.log().environment(), "Prometheus answers again"),
            (false, _) => {}
        }
        match (self.metrics.looked(look.trouble.clone()), &look.trouble) {
            (true, Some(problem)) => {
                tracing::error!(environment = self.operator.log().environment(), problem, "rollouts stand still");
            }
            (true, None) => tracing::info!(environment = self.operator.log().environment(), "the log is read again"),
            (false, _) => {}
        }
        look
    }

    async fn look_at_all(&mut self) -> Result<Look, StoreError> {
        let log = self.operator.log();
        // Whoever wrote the newest entry may have died before it was served.
        log.current(Audience::Server).await?;
        let Some(record) = log.head().await? else { return Ok(Look::default()) };
        let (definitions, state) = record.contents()?;
        // All at once: none waits for what another asks.
        let looks = join_all(state.rollouts.iter().map(async |(name, progress)| {
            (name.clone(), self.look_at(name, progress, &record, &definitions, &state).await)
        }));
        let looks = looks.await;
        let mut all = Look::default();
        let mut standings = BTreeMap::new();
        self.said.retain(|name, _| state.rollouts.contains_key(name));
        for (name, looked) in looks {
            if self.said.get(&name) != Some(&looked.said) {
                if state.rollouts.get(&name).is_some_and(Progress::is_watched) {
                    let Standing { environment, blockers, .. } = &looked.standing;
                    let blockers: Vec<_> = blockers.iter().map(|blocker| blocker.message.as_str()).collect();
                    // Where something was decided, that was said.
                    if !blockers.is_empty() {
                        let blockers = blockers.join("; ");
                        tracing::info!(environment, rollout = name, blockers, "what keeps it where it is");
                    }
                }
                self.said.insert(name.clone(), looked.said);
            }
            all.overtaken |= looked.overtaken;
            all.next = all.next.into_iter().chain(looked.next).min();
            all.trouble = all.trouble.or(looked.trouble);
            all.unanswered = all.unanswered.or(looked.unanswered);
            standings.insert(name, looked.standing);
        }
        self.metrics.stand(standings);
        Ok(all)
    }

    async fn look_at(
        &self,
        name: &str,
        progress: &Progress,
        record: &Record,
        definitions: &Definitions,
        state: &State,
    ) -> Looked {
        let environment = self.operator.log().environment();
        let Some(plan) = definitions.rollouts.get(name) else {
            let said = vec!["the definitions have no plan of it any more".to_owned()];
            let standing = standing(environment, progress, 0, None);
            return Looked { standing, next: None, said, overtaken: false, trouble: None, unanswered: None };
        };
        let now = Timestamp::now();
        let questions = plan.questions(progress, environment, now);
        let observations: Observations = match &self.options.prometheus {
            Some(prometheus) => prometheus.ask(&questions).await,
            None => {
                let nobody = || Answer::failed("no Prometheus was named to ask");
                questions.into_iter().map(|question| ((question.metric, question.part), nobody())).collect()
            }
        };
        let unanswered = match self.options.prometheus {
            Some(_) => observations.iter().find_map(|((metric, _), answer)| {
                let problem = answer.problem.as_ref().filter(|_| answer.failed)?;
                Some(format!("{name}: the metric `{metric}` could not be read: {problem}"))
            }),
            None => None,
        };
        let decision = plan.assess(progress, definitions, state, &observations, now);
        let made = self.make(name, &decision, record.entry.version, now).await;
        let progress = if matches!(made, Ok(true)) { &decision.progress } else { progress };
        let place = plan.steps().iter().position(|step| Some(&step.name) == progress.step.as_ref());
        let mut standing = standing(environment, progress, place.map_or(0, |place| place + 1), plan.percent(progress));
        (standing.blockers, standing.evidence) = (decision.blockers, decision.evidence);
        // Numbers change with every look; what comes of them does not.
        let blocked = standing.blockers.iter().map(|blocker| format!("{:?} {:?}", blocker.kind, blocker.until));
        let found = standing.evidence.iter().map(|reading| format!("{}: {:?}", reading.guard, reading.finding));
        let said = blocked.chain(found).collect();
        let overtaken = matches!(made, Err(OperationError::Overtaken(_)));
        let trouble = made.err().filter(|_| !overtaken).map(|error| format!("{name}: {error}"));
        // As often as the plan says, too.
        let again = progress.is_watched().then(|| plan.interval().after(now));
        let next = decision.next.into_iter().chain(again).min();
        Looked { standing, next, said, overtaken, trouble, unanswered }
    }

    /// Writes down a decision; whether it was this controller that did.
    async fn make(
        &self,
        name: &str,
        decision: &Decision,
        version: u64,
        now: Timestamp,
    ) -> Result<bool, OperationError> {
        if decision.verdict == Verdict::Wait {
            return Ok(false);
        }
        let last = &decision.progress.last;
        let mut reason = format!("{name} {}: {}", last.in_words(), last.reason);
        let end = (0..=MOST_REASON).rev().find(|end| reason.is_char_boundary(*end));
        reason.truncate(end.unwrap_or_default());
        let request = Request { author: CONTROLLER.to_owned(), reason, expected: Some(version), now, dry_run: false };
        let operation = Operation::Decided { name: name.to_owned(), progress: Box::new(decision.progress.clone()) };
        let outcome = self.operator.apply(&[operation], &request).await?;
        if outcome.changed {
            let environment = self.operator.log().environment();
            self.metrics.decided(environment, name, last.what.name());
            let step = decision.progress.step.as_deref();
            let (decision, reason, version) = (last.what.name(), &last.reason, outcome.version);
            match last.what {
                Transition::Advanced | Transition::Completed | Transition::Verified | Transition::Lowered => {
                    tracing::info!(environment, rollout = name, decision, step, reason, version, "decided");
                }
                _ => tracing::warn!(environment, rollout = name, decision, step, reason, version, "decided"),
            }
        }
        Ok(outcome.changed)
    }

    /// The log.
    pub fn log(&self) -> &Log {
        self.operator.log()
    }
}

fn standing(environment: &str, progress: &Progress, step: usize, percent: Option<Percent>) -> Standing {
    Standing {
        environment: environment.to_owned(),
        phase: progress.phase,
        step,
        percent: percent.map(|percent| f64::from(percent.thousandths()) / 1000.0),
        entered: progress.entered,
        blockers: Vec::new(),
        evidence: Vec::new(),
    }
}
