//! Snapshots, and the stream that announces them.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::json;

use super::access::Role;
use super::problem::Problem;
use super::{Asking, Shared};
use crate::Audience;

/// Proxies cut connections that say nothing for a minute, some for half of one.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How soon a client whose stream broke off comes back, unless it knows better.
const RETRY: Duration = Duration::from_secs(1);

/// `GET /snapshots/{environment}/client.json`: for everyone, and caches on the way.
pub(super) async fn client(
    State(shared): State<Arc<Shared>>,
    Path(environment): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    // A cache may serve it for a moment, and far longer while nobody here answers.
    let age = shared.options.max_age.as_secs();
    let caching = format!("public, max-age={age}, stale-while-revalidate={}, stale-if-error=604800", 4 * age);
    snapshot(&shared, &environment, Audience::Client, &headers, &caching)
}

/// `GET /snapshots/{environment}/server.json`: for readers alone, for people's ids stand in it.
pub(super) async fn server(
    State(shared): State<Arc<Shared>>,
    Path(environment): Path<String>,
    asking: Asking,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    shared.access.require(&asking, Role::Reader, &environment)?;
    snapshot(&shared, &environment, Audience::Server, &headers, "private, no-cache")
}

fn snapshot(
    shared: &Shared,
    environment: &str,
    audience: Audience,
    request: &HeaderMap,
    caching: &str,
) -> Result<Response, Problem> {
    let published = shared.feed(environment)?.published();
    let Some(held) = published.of(audience) else {
        let detail = format!("nothing is published for `{environment}` yet, or nothing could be read");
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "nothing-published", detail).retry_after(1));
    };
    let encoding = encoding(request);
    let etag = held.etag(encoding);
    let mut headers = HeaderMap::new();
    headers.insert(header::CACHE_CONTROL, HeaderValue::try_from(caching).expect("it is plain"));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding, authorization"));
    if audience == Audience::Client {
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    }
    // Whoever has it in another encoding has it.
    if matches(request, &held.digest) {
        headers.insert(header::ETAG, etag);
        return Ok((StatusCode::NOT_MODIFIED, headers).into_response());
    }
    headers.insert(header::ETAG, etag);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let body = match encoding {
        Some("br") => held.brotli.clone(),
        Some(_) => held.gzip.clone(),
        None => held.plain.clone(),
    };
    if let Some(encoding) = encoding {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    Ok((headers, body).into_response())
}

/// The encoding to send, of those that the client takes (RFC 9110, section 12.5.3).
fn encoding(request: &HeaderMap) -> Option<&'static str> {
    let values = request.get_all(header::ACCEPT_ENCODING);
    let accepted: Vec<(String, f32)> = values
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|item| {
            let (name, parameters) = item.split_once(';').unwrap_or((item, ""));
            let weight = match parameters.trim().strip_prefix("q=") {
                Some(weight) => weight.trim().parse().ok()?,
                None => 1.0,
            };
            Some((name.trim().to_ascii_lowercase(), weight))
        })
        .collect();
    let weight = |name: &str| {
        let named = accepted.iter().find(|(other, _)| other == name);
        named.or_else(|| accepted.iter().find(|(other, _)| other == "*")).map_or(0.0, |(_, weight)| *weight)
    };
    let best = ["br", "gzip"].into_iter().filter(|name| weight(name) > 0.0);
    // Of equals the first.
    best.fold(None, |best, name| match best {
        Some(other) if weight(other) >= weight(name) => best,
        _ => Some(name),
    })
}

/// Whether `If-None-Match` names what an ETag begins with this digest (RFC 9110, section 13.1.2).
pub(super) fn matches(request: &HeaderMap, digest: &str) -> bool {
    let values = request.get_all(header::IF_NONE_MATCH);
    values.iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).map(str::trim).any(|tag| {
        // A cache that compresses on its own makes it weak.
        let tag = tag.strip_prefix("W/").unwrap_or(tag);
        let tag = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
        tag.and_then(|tag| tag.strip_prefix(digest)).is_some_and(|rest| matches!(rest, "" | "-br" | "-gzip"))
    })
}

/// `GET /snapshots/{environment}/stream`: says which version is the newest, and again whenever there is a newer one.
///
/// Each event is `{"version": 43, …}`, a hint to ask for the snapshot. It is also OFREP's `refetchEvaluation`.
/// A client that reads slowly misses versions in between, never the newest.
pub(super) async fn stream(
    State(shared): State<Arc<Shared>>,
    Path(environment): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut versions = shared.feed(&environment)?.subscribe();
    let Ok(place) = shared.streams.clone().try_acquire_owned() else {
        let detail = "there are as many streams as this server takes; poll instead, or ask another server";
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too-many-streams", detail).retry_after(30));
    };
    let open = shared.metrics.stream_opened(&environment);
    // Whoever comes back knows the version that it was told last.
    let mut told = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok()).unwrap_or(0u64);
    if told > versions.borrow().version() {
        told = 0;
    }
    let closing = shared.closing.clone();
    versions.mark_changed();
    let events = stream::unfold((versions, told), move |(mut versions, told)| {
        let (_place, _open) = (&place, &open);
        let mut closing = closing.clone();
        async move {
            loop {
                tokio::select! {
                    changed = versions.changed() => changed.ok()?,
                    _ = closing.wait_for(|closing| *closing) => return None,
                }
                let version = versions.borrow_and_update().version();
                if version > told {
                    return Some((Ok::<_, Infallible>(announcement(version)), (versions, version)));
                }
            }
        }
    });
    let mut response = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Some proxies gather what they pass on, unless told not to.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

fn announcement(version: u64) -> Event {
    let data = json!({"version": version, "type": "refetchEvaluation", "etag": version.to_string()});
    Event::default().id(version.to_string()).retry(RETRY).data(data.to_string())
}
