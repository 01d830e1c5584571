//! Rollouts under `/admin/v1/environments/{environment}`: where they stand, what happened to them, what people do to them.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::routing::{MethodRouter, get, post};
use futures_util::future::join_all;
use serde::Deserialize;
use serde_json::{Value, json};

use super::access::Role;
use super::admin::{Answer, Head, PAGE, Read, Wish, answer, change, expected, parse, query, unreadable};
use super::problem::Problem;
use super::{Asking, Shared, body};
use crate::Timestamp;
use crate::controller::{AlertSignal, signals};
use crate::rollout::{Passage, Period, Plan, Severity, Status, To, Verb};
use crate::snapshot::definitions::{Exclusion, Key, Percent};
use crate::store::Operation;

/// How many decisions a page has at most.
const MAX_PAGE: usize = 500;
/// Whoever looks waits no longer than this for what is measured.
const PATIENCE: Duration = Duration::from_secs(3);

pub(super) fn routes() -> Vec<(&'static str, MethodRouter<Arc<Shared>>)> {
    const ROLLOUT: [&str; 11] = [
        "/admin/v1/environments/{environment}/rollouts/{rollout}",
        "/admin/v1/environments/{environment}/rollouts/{rollout}/decisions",
        "/admin/v1/environments/{environment}/rollouts/{rollout}/start",
        "/admin/v1/environments/{environment}/rollouts/{rollout}/advance",
        "/admin/v1/environments/{environment}/rollouts/{rollout}/attest",
        "/admin/v1/environments/{environment}/rollouts/{rollout}/hold",
        "/admin/v1/environments/{environment}/rollouts/{rollout}/resume",
        "/admin/v1/environments/{environment}/rollouts/{rollout}/retry",
        "/admin/v1/environments/{environment}/rollouts/{rollout}/rollback",
        "/admin/v1/environments/{environment}/rollouts/{rollout}/signal",
        "/admin/v1/environments/{environment}/rollouts/{rollout}/clear",
    ];
    vec![
        ("/admin/v1/environments/{environment}/rollouts", get(list)),
        ("/admin/v1/environments/{environment}/freeze", post(freeze)),
        ("/admin/v1/environments/{environment}/unfreeze", post(unfreeze)),
        ("/admin/v1/environments/{environment}/alerts", post(alerts)),
        (ROLLOUT[0], get(one)),
        (ROLLOUT[1], get(decisions)),
        (ROLLOUT[2], post(start)),
        (ROLLOUT[3], post(advance)),
        (ROLLOUT[4], post(attest)),
        (ROLLOUT[5], post(hold)),
        (ROLLOUT[6], post(resume)),
        (ROLLOUT[7], post(retry)),
        (ROLLOUT[8], post(rollback)),
        (ROLLOUT[9], post(signal)),
        (ROLLOUT[10], post(clear)),
    ]
}

type Named = Path<(String, String)>;

async fn list(State(shared): State<Arc<Shared>>, Path(environment): Path<String>, asking: Asking) -> Answer {
    shared.access.require(&asking, Role::Reader, &environment)?;
    let head = Head::read(shared.feed(&environment)?).await?;
    // All at once: none waits for what another measures.
    let plans = head.definitions.rollouts.iter();
    let rollouts = join_all(plans.map(|(name, plan)| stand(&shared, &environment, &head, name, plan))).await;
    let body = json!({
        "environment": environment, "version": head.version(), "frozen": head.state.frozen, "rollouts": rollouts,
    });
    Ok(answer(&body, Some(head.version())))
}

async fn one(State(shared): State<Arc<Shared>>, Path((environment, name)): Named, asking: Asking) -> Answer {
    shared.access.require(&asking, Role::Reader, &environment)?;
    let head = Head::read(shared.feed(&environment)?).await?;
    let plan = plan(&head, &name)?;
    let mut body = json!(stand(&shared, &environment, &head, &name, plan).await);
    body["plan"] = json!(plan);
    body["version"] = head.version().into();
    body["frozen"] = json!(head.state.frozen);
    Ok(answer(&body, Some(head.version())))
}

fn plan<'h>(head: &'h Head, name: &str) -> Result<&'h Plan, Problem> {
    head.definitions.rollout(name).map_err(Problem::not_found)
}

/// Where it stands, with what is measured now if this server may ask for it.
async fn stand(shared: &Shared, environment: &str, head: &Head, name: &str, plan: &Plan) -> Status {
    let now = Timestamp::now();
    let observations = match (&shared.options.prometheus, head.state.rollouts.get(name)) {
        (Some(prometheus), Some(progress)) => {
            Some(prometheus.clone().patience(PATIENCE).ask(&plan.questions(progress, environment, now)).await)
        }
        _ => None,
    };
    plan.status(name, &head.definitions, &head.state, observations.as_ref(), now)
}

#[derive(Deserialize)]
struct Page {
    before: Option<u64>,
    limit: Option<usize>,
}

async fn decisions(
    State(shared): State<Arc<Shared>>,
    Path((environment, name)): Named,
    page: Result<Query<Page>, QueryRejection>,
    asking: Asking,
) -> Answer {
    shared.access.require(&asking, Role::Reader, &environment)?;
    let Page { before, limit } = query(page)?;
    let limit = limit.unwrap_or(PAGE).clamp(1, MAX_PAGE);
    let log = &shared.feed(&environment)?.log;
    let passages = log.passages(&name, before, limit).await.map_err(|error| unreadable(&error))?;
    let next = passages.last().map(|passage| passage.version).filter(|_| passages.len() == limit);
    let decisions: Vec<Value> = passages
        .iter()
        .map(|Passage { version, progress }| {
            json!({
                "version": version, "decision": progress.last, "phase": progress.phase, "step": progress.step,
                "percent": progress.percent, "attempt": progress.attempt, "incident": progress.incident,
            })
        })
        .collect();
    let body = json!({"environment": environment, "rollout": name, "decisions": decisions, "next": next});
    Ok(answer(&body, None))
}

/// Why, and what a verb needs besides.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Why {
    reason: String,
    #[serde(default)]
    dry_run: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Approval {
    reason: String,
    #[serde(default)]
    dry_run: bool,
    role: Option<String>,
    step: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Attestation {
    reason: String,
    #[serde(default)]
    dry_run: bool,
    what: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Raised {
    reason: String,
    #[serde(default)]
    dry_run: bool,
    signal: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Frost {
    reason: String,
    #[serde(default)]
    dry_run: bool,
    until: Option<Timestamp>,
}

/// Where to: `zero`, `previous`, or a percent.
#[derive(Deserialize)]
#[serde(untagged)]
enum Target {
    Word(Word),
    Percent(Percent),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum Word {
    Zero,
    Previous,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Stairs {
    by: Percent,
    every: Period,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Back {
    reason: String,
    #[serde(default)]
    dry_run: bool,
    to: Option<Target>,
    /// To zero, and on record as critical.
    #[serde(default)]
    emergency: bool,
    staircase: Option<Stairs>,
    /// Only these people.
    cohort: Option<People>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[derive(Default)]
struct People {
    keys: Vec<Key>,
    segments: Vec<String>,
    positions: Vec<[Percent; 2]>,
}

impl Back {
    fn verb(&self) -> Result<Verb, Problem> {
        let to = match &self.to {
            None | Some(Target::Word(Word::Zero)) => To::Zero,
            Some(Target::Word(Word::Previous)) => To::Previous,
            Some(Target::Percent(percent)) => To::from(*percent),
        };
        let others = self.to.is_some() || self.staircase.is_some();
        if (self.emergency || self.cohort.is_some()) && others || (self.emergency && self.cohort.is_some()) {
            return Err(Problem::bad_request("an emergency and a cohort go with no other way back"));
        }
        Ok(match (&self.cohort, &self.staircase, to) {
            (Some(_), ..) => Verb::CohortRolledBack,
            (None, Some(_), To::Previous) => {
                return Err(Problem::bad_request("a staircase leads to zero or to a percent"));
            }
            (None, Some(stairs), to) => {
                let to = if let To::Percent(percent) = to { percent } else { Percent::default() };
                Verb::Staircase { by: stairs.by, every: stairs.every, to }
            }
            (None, None, to) => {
                let severity = if self.emergency { Severity::Critical } else { Severity::Warning };
                Verb::Rollback { to, severity }
            }
        })
    }
}

macro_rules! verbs {
    ($($name:ident($body:ident: $kind:ty) => $verb:expr;)*) => {$(
        async fn $name(
            State(shared): State<Arc<Shared>>,
            Path((environment, name)): Named,
            asking: Asking,
            read: Read,
        ) -> Answer {
            let author = shared.may_change(&asking, &environment)?;
            let $body: $kind = parse(read)?;
            let expected = expected(&asking.headers)?;
            let wish = Wish { author, reason: $body.reason.clone(), dry_run: $body.dry_run, expected };
            let operations = vec![Operation::Rollout { name, verb: $verb }];
            change(&shared, &environment, concat!("rollout-", stringify!($name)), operations, wish).await
        }
    )*};
}

verbs! {
    start(why: Why) => Verb::Start;
    advance(approval: Approval) => Verb::Advance { role: approval.role, step: approval.step };
    attest(attestation: Attestation) => Verb::Attest { what: attestation.what };
    hold(why: Why) => Verb::Hold;
    resume(why: Why) => Verb::Resume;
    retry(why: Why) => Verb::Retry;
    signal(raised: Raised) => Verb::Signal { name: raised.signal };
    clear(raised: Raised) => Verb::Clear { name: raised.signal };
}

async fn rollback(
    State(shared): State<Arc<Shared>>,
    Path((environment, name)): Named,
    asking: Asking,
    read: Read,
) -> Answer {
    let author = shared.may_change(&asking, &environment)?;
    let back: Back = parse(read)?;
    let verb = back.verb()?;
    let wish = Wish { author, reason: back.reason, dry_run: back.dry_run, expected: expected(&asking.headers)? };
    let mut operations = Vec::new();
    if let Some(People { keys, segments, positions }) = back.cohort {
        let exclusion = Exclusion { keys, segments, positions };
        let head = Head::read(shared.feed(&environment)?).await?;
        let flags = plan(&head, &name)?.flags.iter();
        let excluded = flags.map(|flag| Operation::Exclude { flag: flag.clone(), exclusion: exclusion.clone() });
        operations.extend(excluded);
    }
    operations.push(Operation::Rollout { name, verb });
    change(&shared, &environment, "rollout-rollback", operations, wish).await
}

async fn freeze(
    State(shared): State<Arc<Shared>>,
    Path(environment): Path<String>,
    asking: Asking,
    read: Read,
) -> Answer {
    let author = shared.may_change(&asking, &environment)?;
    let Frost { reason, dry_run, until } = parse(read)?;
    let wish = Wish { author, reason, dry_run, expected: expected(&asking.headers)? };
    change(&shared, &environment, "freeze", vec![Operation::Freeze { until }], wish).await
}

async fn unfreeze(
    State(shared): State<Arc<Shared>>,
    Path(environment): Path<String>,
    asking: Asking,
    read: Read,
) -> Answer {
    let author = shared.may_change(&asking, &environment)?;
    let Why { reason, dry_run } = parse(read)?;
    let wish = Wish { author, reason, dry_run, expected: expected(&asking.headers)? };
    change(&shared, &environment, "unfreeze", vec![Operation::Unfreeze], wish).await
}

/// What Alertmanager posts to its webhook, as signals. An alert about a rollout that waits for no such signal now is no reason
/// for Alertmanager to send it again; a store that fails is.
async fn alerts(
    State(shared): State<Arc<Shared>>,
    Path(environment): Path<String>,
    asking: Asking,
    read: Read,
) -> Answer {
    let author = shared.may_change(&asking, &environment)?;
    let signals = signals(&body(read)?).map_err(Problem::bad_request)?;
    let mut taken = Vec::new();
    for AlertSignal { rollout, signal, firing, reason } in signals {
        let name = signal.clone();
        let (verb, word) = match firing {
            true => (Verb::Signal { name }, "rollout-signal"),
            false => (Verb::Clear { name }, "rollout-clear"),
        };
        let wish = Wish { author: author.clone(), reason, dry_run: false, expected: None };
        let operations = vec![Operation::Rollout { name: rollout.clone(), verb }];
        let refused = match change(&shared, &environment, word, operations, wish).await {
            Ok(_) => None,
            Err(problem) if problem.status.is_server_error() => return Err(problem),
            Err(problem) => Some(problem.detail),
        };
        if let Some(refused) = &refused {
            tracing::warn!(environment, rollout, signal, refused, "an alert changes nothing");
        }
        taken.push(json!({"rollout": rollout, "signal": signal, "firing": firing, "refused": refused}));
    }
    Ok(answer(&json!({"environment": environment, "signals": taken}), None))
}
