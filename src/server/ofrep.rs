//! Remote evaluation, by the OpenFeature Remote Evaluation Protocol 0.3.
//!
//! With a token of a reader every flag is evaluated, on the snapshot for servers. Without one, and only where the server
//! was told to, the flags for clients are, on the snapshot that anyone may read anyway.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::access::Role;
use super::feed::Held;
use super::problem::Problem;
use super::{Asking, Shared, body, snapshots};
use crate::{Context, ErrorCode, Evaluation, Timestamp};

/// Where a provider has heard of a version that is not here yet, it is worth waiting for a look at the store.
const FRESHNESS_PATIENCE: Duration = Duration::from_secs(2);
/// A hidden page need not listen for longer than that.
const INACTIVITY_SECONDS: u64 = 120;

#[derive(Deserialize)]
struct Body<'b> {
    #[serde(borrow)]
    context: Option<&'b RawValue>,
}

/// What comes with a request that an event of the stream brought about.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Hint {
    flag_config_etag: Option<String>,
}

/// Why there is nothing to evaluate. OFREP has its own form for what is wrong with a context.
pub(super) enum Refusal {
    Problem(Problem),
    Context(&'static str, String),
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Refusal {
        Refusal::Problem(problem)
    }
}

impl Refusal {
    fn answer(self, key: Option<&str>) -> Response {
        match self {
            Refusal::Problem(problem) => problem.into_response(),
            Refusal::Context(code, details) => {
                let mut body = json!({"errorCode": code, "errorDetails": details});
                if let Some(key) = key {
                    body["key"] = key.into();
                }
                json_answer(StatusCode::BAD_REQUEST, &body)
            }
        }
    }
}

/// `POST /ofrep/v1/evaluate/flags/{key}`, in the environment that is named first.
pub(super) async fn one(
    State(shared): State<Arc<Shared>>,
    Path(key): Path<String>,
    asking: Asking,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let environment = shared.options.environments[0].clone();
    one_in(State(shared), Path((environment, key)), asking, body).await
}

/// `POST /environments/{environment}/ofrep/v1/evaluate/flags/{key}`
pub(super) async fn one_in(
    State(shared): State<Arc<Shared>>,
    Path((environment, key)): Path<(String, String)>,
    asking: Asking,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let evaluated = prepare(&shared, &environment, &asking, body).map(|(held, context)| {
        let evaluation = held.snapshot.at(Timestamp::now()).details(&key, &context);
        shared.metrics.evaluated(&environment, &evaluation);
        let status = match evaluation.error_code {
            None => StatusCode::OK,
            Some(ErrorCode::FlagNotFound) => StatusCode::NOT_FOUND,
            Some(_) => StatusCode::BAD_REQUEST,
        };
        json_answer(status, &describe(&evaluation))
    });
    evaluated.unwrap_or_else(|refusal| refusal.answer(Some(&key)))
}

/// `POST /ofrep/v1/evaluate/flags`, in the environment that is named first.
pub(super) async fn all(
    State(shared): State<Arc<Shared>>,
    hint: Query<Hint>,
    asking: Asking,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let environment = shared.options.environments[0].clone();
    all_in(State(shared), Path(environment), hint, asking, body).await
}

/// `POST /environments/{environment}/ofrep/v1/evaluate/flags`
pub(super) async fn all_in(
    State(shared): State<Arc<Shared>>,
    Path(environment): Path<String>,
    Query(hint): Query<Hint>,
    asking: Asking,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    if let Ok(feed) = shared.feed(&environment)
        && let Some(version) = hint.flag_config_etag.and_then(|tag| tag.trim_matches('"').parse().ok())
        && may_evaluate(&shared, &environment, &asking).is_ok()
    {
        feed.wait_for(version, FRESHNESS_PATIENCE).await;
    }
    match prepare(&shared, &environment, &asking, body) {
        Ok((held, context)) => everything(&shared, &environment, &held, &context, &asking.headers),
        Err(refusal) => refusal.answer(None),
    }
}

fn everything(shared: &Shared, environment: &str, held: &Held, context: &Context, headers: &HeaderMap) -> Response {
    let evaluations: Vec<Evaluation<'_>> = held.snapshot.at(Timestamp::now()).all(context).collect();
    let flags: Vec<Value> = evaluations.iter().map(describe).collect();
    let body = json!({
        "flags": flags,
        "eventStreams": [{
            "type": "sse",
            "endpoint": {"requestUri": format!("/snapshots/{environment}/stream")},
            "inactivityDelaySec": INACTIVITY_SECONDS,
        }],
        "metadata": {"version": held.snapshot.version(), "environment": environment},
    });
    // It stands for the results, which the clock can change as well as a version; a version that changes none of this
    // user's results is still another.
    let text = body.to_string();
    let digest: String =
        hmac_sha256::Hash::hash(text.as_bytes()).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let etag = HeaderValue::try_from(format!("\"{digest}\"")).expect("digits, letters and quotes");
    let caching = (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if snapshots::matches(headers, &digest) {
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, etag), caching]).into_response();
    }
    for evaluation in &evaluations {
        shared.metrics.evaluated(environment, evaluation);
    }
    let kind = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    ([(header::ETAG, etag), kind, caching], text).into_response()
}

/// Whether all flags may be evaluated for the request (with a token), or those for clients.
fn may_evaluate(shared: &Shared, environment: &str, asking: &Asking) -> Result<bool, Problem> {
    match shared.access.identify(asking)? {
        None if shared.options.public_evaluation => shared.access.pace(asking).map(|()| false),
        _ => shared.access.require(asking, Role::Reader, environment).map(|_| true),
    }
}

fn prepare(
    shared: &Shared,
    environment: &str,
    asking: &Asking,
    read: Result<Bytes, BytesRejection>,
) -> Result<(Held, Context), Refusal> {
    let feed = shared.feed(environment)?;
    let all = may_evaluate(shared, environment, asking)?;
    let bytes = body(read)?;
    let request: Body<'_> = serde_json::from_slice(&bytes)
        .map_err(|error| Refusal::Context("PARSE_ERROR", format!("the body: {error}")))?;
    let Some(context) = request.context else {
        let details = "the body has no `context`; send {\"context\": {\"targetingKey\": …}}";
        return Err(Refusal::Context("INVALID_CONTEXT", details.to_owned()));
    };
    let context =
        Context::from_json(context.get()).map_err(|error| Refusal::Context("INVALID_CONTEXT", error.to_string()))?;
    let published = feed.published();
    let held = if all { &published.server } else { &published.client };
    let Some(held) = held.clone() else {
        let detail = format!("nothing is published for `{environment}` yet, or nothing could be read");
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "nothing-published", detail).retry_after(1).into());
    };
    Ok((held, context))
}

/// A result as OFREP has it. The reason is OpenFeature's own, of which OFREP's schema lists some.
fn describe(evaluation: &Evaluation<'_>) -> Value {
    let mut metadata = json!({"version": evaluation.version});
    if let Some(step) = evaluation.step {
        metadata["step"] = step.name().into();
    }
    if let Some(rule) = evaluation.rule {
        metadata["rule"] = rule.into();
    }
    if let Some(variables) = evaluation.pinned_by {
        metadata["pinnedBy"] = variables.into();
    }
    if evaluation.key_missing {
        metadata["keyMissing"] = true.into();
    }
    let mut result = json!({"key": evaluation.flag, "metadata": metadata});
    match evaluation.error_code {
        Some(code) => {
            result["errorCode"] = code.name().into();
            result["errorDetails"] = evaluation.error_message().into();
        }
        None => {
            result["reason"] = evaluation.reason.name().into();
            result["variant"] = evaluation.variant.into();
            // As it stands in the snapshot, so that numbers keep their form.
            result["value"] = evaluation.json.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
        }
    }
    result
}

fn json_answer(status: StatusCode, body: &Value) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (status, headers, body.to_string()).into_response()
}
