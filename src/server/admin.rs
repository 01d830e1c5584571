//! What operators see and do, under `/admin/v1`; `openapi.json` describes it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::access::{Role, Token};
use super::feed::Feed;
use super::problem::Problem;
use super::rollouts;
use super::{Asking, Shared, body};
use crate::snapshot::SigningKey;
use crate::snapshot::definitions::{
    Change, Definitions, Exclusion, Flag, Key, Percent, Serve, State as OperatorState, diff,
};
use crate::store::{Log, Operation, OperationError, Operator, Outcome, Record, Request, StoreError, Target};
use crate::{Audience, Context, Evaluation, Timestamp};

/// What is served of it: the document of this interface.
pub(super) const OPENAPI: &str = include_str!("openapi.json");
/// After a change, so long is waited for it to be served here.
const SERVED_PATIENCE: Duration = Duration::from_secs(2);
/// How many entries of the history a page has, unless asked for more or fewer, and at most.
pub(super) const PAGE: usize = 50;
const MAX_PAGE: usize = 500;
/// How many users are made up to estimate shares, of one flag and of each of all, unless asked for more or fewer.
const USERS: u32 = 10_000;
const USERS_OF_EACH: u32 = 1_000;
/// How many are evaluated for one estimate at most.
const MAX_USERS: u32 = 100_000;

/// Every route with what it does; `openapi.json` has the same ones.
pub(super) fn routes() -> Vec<(&'static str, MethodRouter<Arc<Shared>>)> {
    const FLAG: [&str; 11] = [
        "/admin/v1/environments/{environment}/flags/{flag}",
        "/admin/v1/environments/{environment}/flags/{flag}/kill",
        "/admin/v1/environments/{environment}/flags/{flag}/restore",
        "/admin/v1/environments/{environment}/flags/{flag}/reset",
        "/admin/v1/environments/{environment}/flags/{flag}/allow",
        "/admin/v1/environments/{environment}/flags/{flag}/deny",
        "/admin/v1/environments/{environment}/flags/{flag}/unlist",
        "/admin/v1/environments/{environment}/flags/{flag}/exclude",
        "/admin/v1/environments/{environment}/flags/{flag}/readmit",
        "/admin/v1/environments/{environment}/flags/{flag}/explain",
        "/admin/v1/environments/{environment}/flags/{flag}/stats",
    ];
    let mut routes = vec![
        ("/admin/v1/openapi.json", get(openapi)),
        ("/admin/v1/health", get(health)),
        ("/admin/v1/token", get(token)),
        ("/admin/v1/tokens", get(tokens)),
        ("/admin/v1/environments/{environment}/flags", get(flags)),
        ("/admin/v1/environments/{environment}/history", get(history)),
        ("/admin/v1/environments/{environment}/stats", get(stats_of_all)),
        ("/admin/v1/environments/{environment}/kill", post(kill_many)),
        ("/admin/v1/environments/{environment}/restore", post(restore_many)),
        (FLAG[0], get(flag).patch(set)),
        (FLAG[1], post(kill)),
        (FLAG[2], post(restore)),
        (FLAG[3], post(reset)),
        (FLAG[4], post(allow)),
        (FLAG[5], post(deny)),
        (FLAG[6], post(unlist)),
        (FLAG[7], post(exclude)),
        (FLAG[8], post(readmit)),
        (FLAG[9], post(explain)),
        (FLAG[10], get(stats)),
    ];
    routes.extend(rollouts::routes());
    routes
}

/// Those who sign for each environment, with those of the keys that may.
pub(super) fn operators(
    logs: &BTreeMap<String, Log>,
    keys: &[SigningKey],
    clients_expire: Duration,
) -> BTreeMap<String, Arc<Operator>> {
    let mut operators = BTreeMap::new();
    for (environment, log) in logs {
        let bound = keys.iter().filter(|key| key.public().is_bound_to(environment));
        let own: Vec<_> = bound.filter_map(|key| SigningKey::from_jwk(key.to_jwk().as_bytes()).ok()).collect();
        if !own.is_empty() {
            operators.insert(environment.clone(), Arc::new(Operator::new(log.clone(), own, clients_expire)));
        }
    }
    operators
}

type Flagged = Path<(String, String)>;
pub(super) type Read = Result<Bytes, BytesRejection>;
pub(super) type Answer = Result<Response, Problem>;

async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/vnd.oai.openapi+json")], OPENAPI).into_response()
}

/// As `/healthz`, with what only operators should know of the store.
pub(super) async fn health(State(shared): State<Arc<Shared>>, asking: Asking) -> Answer {
    shared.access.require_anywhere(&asking, Role::Reader)?;
    let (status, environments) = super::health(&shared);
    let mut environments = json!(environments);
    for (name, feed) in &shared.feeds {
        environments[name]["writes"] = shared.operators.contains_key(name).into();
        environments[name]["problem"] = feed.trouble().map(|trouble| trouble.detail).into();
    }
    Ok(answer(&json!({"status": status, "environments": environments}), None))
}

/// Whose token this is, and what it allows.
async fn token(State(shared): State<Arc<Shared>>, asking: Asking) -> Answer {
    let token = shared.access.require_anywhere(&asking, Role::Reader)?;
    Ok(answer(&told(&token), None))
}

/// Who has which role; the tokens themselves are kept nowhere.
async fn tokens(State(shared): State<Arc<Shared>>, asking: Asking) -> Answer {
    shared.access.require_anywhere(&asking, Role::Admin)?;
    let tokens: Vec<Value> = shared.access.tokens().iter().map(told).collect();
    Ok(answer(&json!({"tokens": tokens}), None))
}

/// What others may know of a token.
fn told(token: &Token) -> Value {
    json!({"name": token.name, "role": token.role, "environments": token.environments, "expires": token.expires})
}

async fn flags(State(shared): State<Arc<Shared>>, Path(environment): Path<String>, asking: Asking) -> Answer {
    shared.access.require(&asking, Role::Reader, &environment)?;
    let head = Head::read(shared.feed(&environment)?).await?;
    let flags: Vec<Value> = head.definitions.flags.iter().map(|(key, flag)| head.show(key, flag)).collect();
    let body = json!({
        "environment": environment, "version": head.version(), "killedAll": head.state.killed_all,
        "killedTags": head.state.killed_tags, "flags": flags,
    });
    Ok(answer(&body, Some(head.version())))
}

async fn flag(State(shared): State<Arc<Shared>>, Path((environment, key)): Flagged, asking: Asking) -> Answer {
    shared.access.require(&asking, Role::Reader, &environment)?;
    let head = Head::read(shared.feed(&environment)?).await?;
    let flag = head.flag(&key)?;
    let mut body = head.show(&key, flag);
    body["version"] = head.version().into();
    Ok(answer(&body, Some(head.version())))
}

#[derive(Deserialize)]
struct Page {
    before: Option<u64>,
    limit: Option<usize>,
    flag: Option<String>,
}

async fn history(
    State(shared): State<Arc<Shared>>,
    Path(environment): Path<String>,
    page: Result<Query<Page>, QueryRejection>,
    asking: Asking,
) -> Answer {
    shared.access.require(&asking, Role::Reader, &environment)?;
    let Page { before, limit, flag } = query(page)?;
    let limit = limit.unwrap_or(PAGE).clamp(1, MAX_PAGE);
    let log = &shared.feed(&environment)?.log;
    let mut history = log.history().await.map_err(|error| unreadable(&error))?;
    let (mut entries, mut newer): (Vec<Value>, Option<Contents>) = (Vec::new(), None);
    let mut complete = false;
    while entries.len() < limit {
        let older = history.next().await.map_err(|error| unreadable(&error))?.map(Contents::read).transpose()?;
        complete = older.is_none();
        if let Some(contents) = &newer {
            entries.extend(contents.since(older.as_ref(), flag.as_deref()));
        }
        if complete {
            break;
        }
        newer = older.filter(|contents| before.is_none_or(|before| contents.record.entry.version < before));
    }
    let next = entries.last().and_then(|entry| entry["version"].as_u64()).filter(|_| !complete);
    Ok(answer(&json!({"environment": environment, "entries": entries, "next": next}), None))
}

/// What is wanted of a flag. Null goes back to what the definitions say; absent leaves it as it is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Set {
    reason: String,
    #[serde(default, deserialize_with = "present")]
    enabled: Option<Option<bool>>,
    #[serde(default, deserialize_with = "present")]
    percent: Option<Option<Percent>>,
    #[serde(default)]
    rules: BTreeMap<String, Option<Percent>>,
    #[serde(default)]
    dry_run: bool,
}

/// Tells null from nothing.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

async fn set(
    State(shared): State<Arc<Shared>>,
    Path((environment, flag)): Flagged,
    asking: Asking,
    read: Read,
) -> Answer {
    let author = shared.may_change(&asking, &environment)?;
    let Set { reason, enabled, percent, rules, dry_run } = parse(read)?;
    let mut operations = Vec::new();
    if let Some(enabled) = enabled {
        operations.push(Operation::SetEnabled { flag: flag.clone(), enabled });
    }
    if let Some(percent) = percent {
        operations.push(Operation::SetPercent { flag: flag.clone(), rule: None, percent });
    }
    for (rule, percent) in rules {
        operations.push(Operation::SetPercent { flag: flag.clone(), rule: Some(rule), percent });
    }
    if operations.is_empty() {
        return Err(Problem::bad_request("nothing is to be set; name `enabled`, `percent` or `rules`"));
    }
    let wish = Wish { author, reason, dry_run, expected: expected(&asking.headers)? };
    change(&shared, &environment, "set", operations, wish).await
}

/// Why, and whether it is meant.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Why {
    reason: String,
    #[serde(default)]
    dry_run: bool,
}

/// Why, and for whom.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Whom {
    reason: String,
    #[serde(default)]
    dry_run: bool,
    keys: Vec<Key>,
    #[serde(default)]
    variant: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Cohort {
    reason: String,
    #[serde(default)]
    dry_run: bool,
    #[serde(default)]
    keys: Vec<Key>,
    #[serde(default)]
    segments: Vec<String>,
    #[serde(default)]
    positions: Vec<[Percent; 2]>,
}

/// What of all flags: those with a tag, or, said outright, all.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Which {
    reason: String,
    #[serde(default)]
    dry_run: bool,
    tag: Option<String>,
    #[serde(default)]
    all: bool,
}

impl Which {
    fn target(&self) -> Result<Target, Problem> {
        match (&self.tag, self.all) {
            (Some(tag), false) => Ok(Target::Tag(tag.clone())),
            (None, true) => Ok(Target::All),
            _ => Err(Problem::bad_request("say which flags: {\"tag\": NAME} or {\"all\": true}")),
        }
    }
}

macro_rules! verbs {
    ($($name:ident($body:ident: $kind:ty, $flag:ident) => $operation:expr;)*) => {$(
        async fn $name(
            State(shared): State<Arc<Shared>>,
            Path((environment, $flag)): Flagged,
            asking: Asking,
            read: Read,
        ) -> Answer {
            let author = shared.may_change(&asking, &environment)?;
            let $body: $kind = parse(read)?;
            let expected = expected(&asking.headers)?;
            let wish = Wish { author, reason: $body.reason.clone(), dry_run: $body.dry_run, expected };
            change(&shared, &environment, stringify!($name), vec![$operation], wish).await
        }
    )*};
}

verbs! {
    kill(why: Why, flag) => Operation::Kill(Target::Flag(flag));
    restore(why: Why, flag) => Operation::Restore(Target::Flag(flag));
    reset(why: Why, flag) => Operation::Reset { flag };
    readmit(why: Why, flag) => Operation::Readmit { flag };
    allow(whom: Whom, flag) => Operation::Allow { flag, variant: whom.variant, keys: whom.keys };
    deny(whom: Whom, flag) => Operation::Deny { flag, keys: whom.keys };
    unlist(whom: Whom, flag) => Operation::Unlist { flag, keys: whom.keys };
    exclude(cohort: Cohort, flag) => Operation::Exclude {
        flag,
        exclusion: Exclusion { keys: cohort.keys, segments: cohort.segments, positions: cohort.positions },
    };
}

async fn kill_many(state: State<Arc<Shared>>, path: Path<String>, asking: Asking, read: Read) -> Answer {
    many("kill", Operation::Kill, state, path, asking, read).await
}

async fn restore_many(state: State<Arc<Shared>>, path: Path<String>, asking: Asking, read: Read) -> Answer {
    many("restore", Operation::Restore, state, path, asking, read).await
}

async fn many(
    verb: &'static str,
    operation: fn(Target) -> Operation,
    State(shared): State<Arc<Shared>>,
    Path(environment): Path<String>,
    asking: Asking,
    read: Read,
) -> Answer {
    let author = shared.may_change(&asking, &environment)?;
    let which: Which = parse(read)?;
    let target = which.target()?;
    let wish = Wish { author, expected: expected(&asking.headers)?, dry_run: which.dry_run, reason: which.reason };
    change(&shared, &environment, verb, vec![operation(target)], wish).await
}

/// Who wants a change, why and how.
pub(super) struct Wish {
    pub(super) author: String,
    pub(super) reason: String,
    pub(super) dry_run: bool,
    pub(super) expected: Option<u64>,
}

impl Shared {
    /// The name of who asks, if they may change anything.
    pub(super) fn may_change(&self, asking: &Asking, environment: &str) -> Result<String, Problem> {
        let token = self.access.require(asking, Role::Operator, environment)?;
        self.feed(environment)?;
        if !self.operators.contains_key(environment) {
            let detail = format!(
                "this server was started without a key that may sign for `{environment}`, so it changes nothing; start \
                 it with --key, or use the command line where the key is"
            );
            return Err(Problem::new(StatusCode::FORBIDDEN, "no-signing-key", detail));
        }
        Ok(token.name)
    }
}

/// Does it, and waits until it is served here.
pub(super) async fn change(
    shared: &Shared,
    environment: &str,
    verb: &str,
    operations: Vec<Operation>,
    wish: Wish,
) -> Answer {
    let feed = shared.feed(environment)?;
    let operator = shared.operators.get(environment).cloned();
    let operator = operator.ok_or_else(|| Problem::not_found("nobody signs for it here"))?;
    let Wish { author, reason, dry_run, expected } = wish;
    let request = Request { author, reason, expected, dry_run, now: Timestamp::now() };
    // A task of its own: what was begun is done, however soon the caller hangs up.
    let done = tokio::spawn({
        let request = request.clone();
        async move { operator.apply(&operations, &request).await }
    });
    let failed = |_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "this is a fault of the server");
    let done = done.await.map_err(failed)?;
    let Outcome { record, version, changed, state_changes, warnings, .. } = match done {
        Ok(outcome) => outcome,
        Err(error) => return Err(refusal(&error, expected.is_some())),
    };
    if record.is_some() {
        shared.metrics.changed(environment, verb);
        tracing::info!(environment, verb, version, author = request.author, "changed");
        // Whoever asks here next finds it.
        let _ = tokio::time::timeout(SERVED_PATIENCE, feed.look()).await;
    }
    let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    let body = json!({
        "environment": environment, "version": version, "changed": changed, "dryRun": dry_run,
        "changes": state_changes, "warnings": warnings, "served": feed.published().version() >= version,
    });
    Ok(answer(&body, Some(version)))
}

fn refusal(error: &OperationError, conditional: bool) -> Problem {
    let detail = error.to_string();
    match error {
        OperationError::Unknown(_) => Problem::new(StatusCode::NOT_FOUND, "unknown", detail),
        OperationError::Overtaken(meanwhile) => {
            let status = if conditional { StatusCode::PRECONDITION_FAILED } else { StatusCode::CONFLICT };
            let versions: Vec<Value> = meanwhile
                .iter()
                .map(|other| {
                    json!({
                        "version": other.version, "author": other.author, "reason": other.reason, "time": other.time,
                        "changes": other.changes,
                    })
                })
                .collect();
            Problem::new(status, "overtaken", detail).with("meanwhile", versions)
        }
        OperationError::Store(StoreError::Committed { version, .. }) => {
            tracing::error!(error = detail, "a change was made, and is not served yet");
            let detail = "the change was made, but the store does not serve it yet; it will as soon as it can";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not-served-yet", detail).with("version", *version)
        }
        OperationError::Store(error) => unreadable(error),
        _ => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "refused", detail),
    }
}

/// The store failed; where and how, the log says.
pub(super) fn unreadable(error: &StoreError) -> Problem {
    tracing::error!(%error, "the store failed");
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "store",
        "the store cannot be read or written; the server's log says why",
    )
    .retry_after(1)
}

/// The version that the caller has seen (RFC 9110, section 13.1.1).
pub(super) fn expected(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let tag = value.to_str().unwrap_or_default().trim();
    if tag == "*" {
        return Ok(None);
    }
    let version = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).and_then(|tag| tag.parse().ok());
    version.map(Some).ok_or_else(|| Problem::bad_request("If-Match: send the ETag of what you saw, like \"43\""))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct About<'b> {
    #[serde(borrow)]
    context: &'b RawValue,
}

/// Whom it is asked for comes in the body: ids have no place in URLs, which are logged all over the world.
async fn explain(
    State(shared): State<Arc<Shared>>,
    Path((environment, flag)): Flagged,
    asking: Asking,
    read: Read,
) -> Answer {
    shared.access.require(&asking, Role::Reader, &environment)?;
    let bytes = body(read)?;
    let about: About<'_> = from_json(&bytes)?;
    let context =
        Context::from_json(about.context.get()).map_err(|error| Problem::bad_request(format!("context: {error}")))?;
    explanation(&shared, &environment, &flag, &context)
}

pub(super) fn explanation(shared: &Shared, environment: &str, flag: &str, context: &Context) -> Answer {
    let published = shared.feed(environment)?.published();
    let held = published.of(Audience::Server).ok_or_else(|| Problem::not_found("nothing is published yet"))?;
    let flags = held.snapshot.at(Timestamp::now());
    let explained = flags.explain(flag, context).ok_or_else(|| no_flag(flag))?;
    let body = json!({"evaluation": evaluation(&explained.evaluation), "steps": explained.steps});
    Ok(answer(&body, Some(held.snapshot.version())))
}

fn evaluation(evaluation: &Evaluation<'_>) -> Value {
    let value: Value = evaluation.json.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
    json!({
        "flag": evaluation.flag, "value": value, "variant": evaluation.variant, "reason": evaluation.reason.name(),
        "errorCode": evaluation.error_code.map(|code| code.name()), "rule": evaluation.rule,
        "keyMissing": evaluation.key_missing, "version": evaluation.version, "until": evaluation.until,
        "pinnedBy": evaluation.pinned_by,
    })
}

#[derive(Deserialize)]
struct Sample {
    users: Option<u32>,
}

async fn stats(
    State(shared): State<Arc<Shared>>,
    Path((environment, flag)): Flagged,
    sample: Result<Query<Sample>, QueryRejection>,
    asking: Asking,
) -> Answer {
    shared.access.require(&asking, Role::Reader, &environment)?;
    let users = query(sample)?.users.unwrap_or(USERS).clamp(1, MAX_USERS);
    shares(&shared, &environment, &flag, users).await
}

/// Fewer users for each than where one flag is asked about.
async fn stats_of_all(
    State(shared): State<Arc<Shared>>,
    Path(environment): Path<String>,
    sample: Result<Query<Sample>, QueryRejection>,
    asking: Asking,
) -> Answer {
    shared.access.require(&asking, Role::Reader, &environment)?;
    let users = query(sample)?.users.unwrap_or(USERS_OF_EACH);
    let head = Head::read(shared.feed(&environment)?).await?;
    let flags: Vec<_> = head.contents.definitions.flags.into_iter().collect();
    let users = users.clamp(1, (MAX_USERS / u32::try_from(flags.len()).unwrap_or(u32::MAX).max(1)).max(1));
    let (version, estimates) = estimate(&shared, &environment, flags, users).await?;
    let body = json!({"environment": environment, "version": version, "estimated": true, "flags": estimates});
    Ok(answer(&body, Some(version)))
}

pub(super) async fn shares(shared: &Shared, environment: &str, key: &str, users: u32) -> Answer {
    let head = Head::read(shared.feed(environment)?).await?;
    let flag = (key.to_owned(), head.flag(key)?.clone());
    let (version, mut estimates) = estimate(shared, environment, vec![flag], users).await?;
    let mut body = estimates.pop().unwrap_or_default();
    body["version"] = version.into();
    body["estimated"] = true.into();
    Ok(answer(&body, Some(version)))
}

/// Estimates who gets what from users that are made up: who has a key, and no attribute but what a flag buckets by.
async fn estimate(
    shared: &Shared,
    environment: &str,
    flags: Vec<(String, Flag)>,
    users: u32,
) -> Result<(u64, Vec<Value>), Problem> {
    let published = shared.feed(environment)?.published();
    let Some(held) = published.of(Audience::Server).cloned() else {
        return Err(Problem::not_found("nothing is published yet"));
    };
    let version = held.snapshot.version();
    let counted = tokio::task::spawn_blocking(move || {
        let at = held.snapshot.at(Timestamp::now());
        let count = |(key, flag): (String, Flag)| {
            let path: Vec<String> = flag.bucket_by.iter().flat_map(|path| path.split('.')).map(str::to_owned).collect();
            // Variants that nobody gets are of interest, too.
            let named = flag.variants.map_or(vec!["off".to_owned(), "on".to_owned()], |all| all.into_keys().collect());
            let mut counts: BTreeMap<String, u32> = named.into_iter().map(|variant| (variant, 0)).collect();
            for user in 0..users {
                let context = simulated(user, &path);
                let variant = at.details(&key, &context).variant.unwrap_or("");
                match counts.get_mut(variant) {
                    Some(count) => *count += 1,
                    None => drop(counts.insert(variant.to_owned(), 1)),
                }
            }
            (key, counts)
        };
        flags.into_iter().map(count).collect::<Vec<_>>()
    });
    let counted = counted.await.map_err(|_| Problem::not_found("there is no estimate"))?;
    let estimates = counted.into_iter().map(|(key, counts)| {
        let share = |(variant, count): (String, u32)| {
            let evaluations = shared.metrics.evaluations(environment, &key, &variant);
            let percent = f64::from(count) * 100.0 / f64::from(users);
            json!({"variant": variant, "users": count, "percent": percent, "evaluations": evaluations})
        };
        let shares: Vec<Value> = counts.into_iter().map(share).collect();
        json!({"flag": key, "users": users, "shares": shares})
    });
    Ok((version, estimates.collect()))
}

fn simulated(user: u32, path: &[String]) -> Context {
    let key = format!("simulated-{user}");
    let context = Context::new(key.as_str());
    match path {
        [] => context,
        [name] => context.with(name.as_str(), key),
        [name, rest @ ..] => {
            let innermost = rest.iter().rev().fold(None, |inner: Option<Context>, name| {
                Some(match inner {
                    None => Context::empty().with(name.as_str(), key.as_str()),
                    Some(inner) => Context::empty().with(name.as_str(), inner),
                })
            });
            context.with(name.as_str(), innermost.unwrap_or_default())
        }
    }
}

/// What an entry holds.
pub(super) struct Contents {
    record: Record,
    pub(super) definitions: Definitions,
    pub(super) state: OperatorState,
}

impl Contents {
    fn read(record: Record) -> Result<Contents, Problem> {
        let (definitions, state) = record.contents().map_err(|error| unreadable(&error))?;
        Ok(Contents { record, definitions, state })
    }

    /// What it changed, unless that is not about the flag that is asked about.
    fn since(&self, older: Option<&Contents>, flag: Option<&str>) -> Option<Value> {
        let nothing = (Definitions::default(), OperatorState::default());
        let (definitions, state) = older.map_or((&nothing.0, &nothing.1), |older| (&older.definitions, &older.state));
        let mut changes = diff(definitions, &self.definitions);
        let mut state_changes = diff(state, &self.state);
        if let Some(key) = flag {
            let tags = self.definitions.flags.get(key).map(|flag| flag.tags.as_slice()).unwrap_or_default();
            let about = |change: &Change| {
                leads_into(&change.path, "flags", key)
                    || change.path.starts_with("killedAll")
                    || tags.iter().any(|tag| leads_into(&change.path, "killedTags", tag))
            };
            changes.retain(about);
            state_changes.retain(about);
            if changes.is_empty() && state_changes.is_empty() {
                return None;
            }
        }
        let entry = &self.record.entry;
        Some(json!({
            "version": entry.version, "time": entry.time, "author": entry.author, "reason": entry.reason,
            "kid": self.record.kid, "changes": changes, "stateChanges": state_changes,
        }))
    }
}

/// Whether the path of a change leads into a member of a section.
fn leads_into(path: &str, section: &str, name: &str) -> bool {
    let rest = path.strip_prefix(section).unwrap_or_default();
    [format!(".{name}"), format!("[{name:?}]")].iter().any(|name| {
        rest.strip_prefix(name.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    })
}

/// The newest entry.
pub(super) struct Head {
    contents: Contents,
    applied: Definitions,
}

impl std::ops::Deref for Head {
    type Target = Contents;

    fn deref(&self) -> &Contents {
        &self.contents
    }
}

impl Head {
    pub(super) async fn read(feed: &Feed) -> Result<Head, Problem> {
        let record = feed.log.head().await.map_err(|error| unreadable(&error))?;
        let record = record.ok_or_else(|| Problem::not_found("nothing is published yet"))?;
        let contents = Contents::read(record)?;
        Ok(Head { applied: contents.state.apply(&contents.definitions.in_environment(&feed.environment)), contents })
    }

    pub(super) fn version(&self) -> u64 {
        self.record.entry.version
    }

    fn flag(&self, key: &str) -> Result<&Flag, Problem> {
        self.definitions.flags.get(key).ok_or_else(|| no_flag(key))
    }

    /// A flag as it is defined, what operators changed of it, and what comes of both.
    fn show(&self, key: &str, flag: &Flag) -> Value {
        let applied = self.applied.flags.get(key).unwrap_or(flag);
        let ramp = |serve: Option<&Serve>| match serve {
            Some(Serve::Ramp { ramp }) => json!({"percent": ramp.percent, "schedule": ramp.schedule}),
            _ => Value::Null,
        };
        let rules: Map<String, Value> = applied
            .rules
            .iter()
            .filter_map(|rule| Some((rule.id.clone()?, ramp(Some(&rule.serve)))))
            .filter(|(_, ramp)| !ramp.is_null())
            .collect();
        let killed = self.state.killed(key, flag).map(|by| {
            let kill = match by.strip_prefix("tag:") {
                Some(tag) => self.state.killed_tags.get(tag),
                None if by == "all" => self.state.killed_all.as_ref(),
                None => self.state.flags.get(key).and_then(|state| state.killed.as_ref()),
            };
            let mut shown = json!(kill);
            shown["by"] = by.into();
            shown
        });
        json!({
            "key": key, "enabled": applied.enabled, "killed": killed, "ramp": ramp(applied.default.as_ref()),
            "ruleRamps": rules, "definition": flag, "state": self.state.flags.get(key),
        })
    }
}

fn no_flag(key: &str) -> Problem {
    Problem::not_found(format!("there is no flag `{key}`"))
}

pub(super) fn parse<T: DeserializeOwned>(read: Read) -> Result<T, Problem> {
    from_json(&body(read)?)
}

pub(super) fn from_json<'b, T: Deserialize<'b>>(bytes: &'b [u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes).map_err(|error| Problem::bad_request(format!("the body: {error}")))
}

pub(super) fn query<T>(read: Result<Query<T>, QueryRejection>) -> Result<T, Problem> {
    read.map(|Query(query)| query).map_err(|rejection| Problem::bad_request(rejection.body_text()))
}

/// JSON, and the version that it is of.
pub(super) fn answer(body: &Value, version: Option<u64>) -> Response {
    let mut response = body.to_string().into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(version) = version {
        headers.insert(header::ETAG, HeaderValue::try_from(format!("\"{version}\"")).expect("digits and quotes"));
    }
    response
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::{OPENAPI, routes};

    #[test]
    fn the_document_names_each_route_and_no_other() {
        let document: Value = serde_json::from_str(OPENAPI).unwrap();
        let documented: BTreeSet<_> = document["paths"].as_object().unwrap().keys().cloned().collect();
        let served: BTreeSet<_> = routes().into_iter().map(|(path, _)| path.to_owned()).collect();
        assert_eq!(documented, served);
    }
}
