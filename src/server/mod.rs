//! HTTP: snapshots and their stream, remote evaluation (OFREP), what operators do, metrics.
//!
//! | route | for | token |
//! |---|---|---|
//! | `GET /snapshots/{environment}/client.json` | browsers, workers, caches | none |
//! | `GET /snapshots/{environment}/server.json` | back ends: people's ids stand in it | reader |
//! | `GET /snapshots/{environment}/stream` | whoever wants to know of newer versions at once | none |
//! | `POST /ofrep/v1/evaluate/flags[/{key}]` | OpenFeature's remote providers ([OFREP](https://openfeature.dev)) | reader; none for clients' flags, where allowed |
//! | `GET /dashboard/` | whoever is on call, in a browser; `/` leads there | none for the page, which asks for one |
//! | `/admin/v1/…` | operators; `GET /admin/v1/openapi.json` says what there is | reader; operator for changes |
//! | `GET /healthz` | load balancers | none |
//! | `GET /metrics` | Prometheus | reader |
//!
//! With several environments, what `/ofrep` is to the first is `/environments/{environment}/ofrep` to each.
//!
//! # What is good to know
//!
//! * Any number of servers can stand before one store. A server that can no longer read it serves what it read last, and says
//!   so in `/healthz`, which stays 200 as long as there is anything to serve.
//! * A client snapshot may be cached for a second, so that a cache asks for it once a second and no more often; its ETag is
//!   strong and of one encoding. Whether it has expired is for whoever loads it to judge: this machine's clock may be wrong.
//! * A stream's events say `{"version": 43, "type": "refetchEvaluation", "etag": "43"}`: what the npm package reads as a hint,
//!   and OFREP's providers as theirs.
//! * Tokens come in `Authorization: Bearer`, or `X-API-Key`, and never in a URL. The author of a change is the token's name.
//!   [`Tokens`] says how they are kept.
//! * `If-Match` with the version that the caller saw refuses a change (412) of what others changed since. Without it the newest
//!   counts. A kill is never refused for it.
//! * Routes that runbooks name already can be [`Alias`]es; `tests/rollouts/aliases.json` has those of the five plans.
//! * Addresses are those that connect: behind a proxy, limits for an address are limits for the proxy.
//! * It speaks HTTP/1.1 and leaves TLS to what stands before it.

mod access;
mod admin;
mod aliases;
mod dashboard;
mod feed;
mod listen;
pub(crate) mod metrics;
mod ofrep;
mod problem;
mod rollouts;
mod snapshots;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, FromRequestParts, MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::cors::{Any, CorsLayer};

pub use access::{Role, Token, Tokens};
pub use aliases::{Action, Alias, Field, Sets};

use access::Access;
use feed::{Feed, Status};
use metrics::Metrics;
use problem::Problem;

use crate::controller::Prometheus;
use crate::snapshot::{SigningKey, TrustedKeys};
use crate::store::{self, Log, Operator, StoreError};
use crate::{Timestamp, VariablePins};

/// How a server is to be.
#[derive(Debug)]
pub struct Options {
    /// The folder or URL that holds the logs.
    pub store: String,
    /// Whose logs are served, at least one; the first is that of routes that name none.
    pub environments: Vec<String>,
    /// Whose signatures count.
    pub keys: TrustedKeys,
    /// The file that the keys were read from, to take up changes of it.
    pub keys_file: Option<PathBuf>,
    /// Where to listen; port 0 is any that is free.
    pub listen: SocketAddr,
    /// How often to look for newer versions.
    pub poll: Duration,
    /// For how long caches may serve a client snapshot without asking, in whole seconds.
    pub max_age: Duration,
    /// The file of tokens; without one nothing that takes a token is done.
    pub tokens: Option<PathBuf>,
    /// Whether the flags for clients are evaluated for whoever asks, without a token.
    pub public_evaluation: bool,
    /// Where to listen for operators and Prometheus; none means where all else is.
    pub admin_listen: Option<SocketAddr>,
    /// The keys to sign changes with; without one that may sign for an environment, nothing of it is changed.
    pub signing_keys: Vec<SigningKey>,
    /// How long clients may load the snapshots that changes make. With a key they are renewed when half of it has passed.
    pub clients_expire: Duration,
    /// Routes of teams' own.
    pub aliases: Vec<Alias>,
    /// Where to ask for what rollouts measure; without it they are shown without.
    pub prometheus: Option<Prometheus>,
    /// Flags pinned where this server evaluates them; snapshots are served as they were signed.
    pub variables: VariablePins,
    /// What it puts up with.
    pub limits: Limits,
}

/// How often to look for newer versions: four times a second in a local folder, every two seconds in a store that charges
/// for it.
pub fn poll(store: &str) -> Duration {
    let local = !store.contains("://") || store.starts_with("file://");
    Duration::from_millis(if local { 250 } else { 2000 })
}

impl Options {
    /// A server on any free port of the loopback interface. It looks for newer versions as often as [`poll`] says.
    pub fn new(store: impl Into<String>, environments: Vec<String>, keys: TrustedKeys) -> Options {
        let store = store.into();
        Options {
            poll: poll(&store),
            store,
            environments,
            keys,
            keys_file: None,
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            max_age: Duration::from_secs(1),
            tokens: None,
            public_evaluation: false,
            admin_listen: None,
            signing_keys: Vec::new(),
            clients_expire: Duration::from_secs(7 * 24 * 60 * 60),
            aliases: Vec::new(),
            prometheus: None,
            variables: VariablePins::default(),
            limits: Limits::default(),
        }
    }
}

/// What a server puts up with.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at once; more wait.
    pub connections: usize,
    /// Streams at once; more are refused.
    pub streams: usize,
    /// Requests a second that take a token, of one token, and of one address those that are evaluated without; five times as
    /// many may come at once.
    pub rate: u32,
    /// How long a request's head may take to arrive, and a connection to say nothing.
    pub head: Duration,
    /// How long a connection may take nothing of what is sent to it.
    pub write: Duration,
    /// How long a request may take, its body's arrival included.
    pub request: Duration,
    /// The largest body, in bytes.
    pub body: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 20_000,
            streams: 10_000,
            rate: 100,
            head: Duration::from_secs(30),
            write: Duration::from_secs(30),
            request: Duration::from_secs(30),
            body: 1 << 20,
        }
    }
}

/// Connections of operators at once, where they have an address of their own.
const ADMIN_CONNECTIONS: usize = 1_000;

/// Why a server could not start; the text says what to do.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServerError {
    /// The options make no sense, or name what cannot be used.
    Options(String),
    /// A log cannot be opened.
    Store(StoreError),
    /// It cannot listen there.
    Listen(String),
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServerError::Options(message) | ServerError::Listen(message) => f.write_str(message),
            ServerError::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ServerError {}

/// What all requests share.
struct Shared {
    options: Options,
    feeds: BTreeMap<String, Arc<Feed>>,
    operators: BTreeMap<String, Arc<Operator>>,
    access: Access,
    /// Whose signatures count now.
    keys: Mutex<TrustedKeys>,
    metrics: Arc<Metrics>,
    streams: Arc<Semaphore>,
    closing: watch::Receiver<bool>,
}

impl Shared {
    fn feed(&self, environment: &str) -> Result<&Arc<Feed>, Problem> {
        self.feeds.get(environment).ok_or_else(|| Problem::not_found("this server serves no such environment"))
    }

    /// Reads the trusted keys again if the file changed, so that one that was taken out no longer counts.
    fn reload_keys(&self) -> Result<bool, String> {
        let Some(file) = &self.options.keys_file else { return Ok(false) };
        let wrong = |error: &dyn fmt::Display| format!("{}: {error}", file.display());
        let bytes = std::fs::read(file).map_err(|error| wrong(&error))?;
        let keys = TrustedKeys::from_jwks(&bytes).map_err(|error| wrong(&error))?;
        let mut known = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if *known == keys {
            return Ok(false);
        }
        for feed in self.feeds.values() {
            feed.set_keys(&keys);
        }
        *known = keys;
        Ok(true)
    }
}

/// A server that listens; see [`Server::run`].
pub struct Server {
    shared: Arc<Shared>,
    listener: TcpListener,
    router: Router,
    /// Where operators are listened to, if elsewhere.
    admin: Option<(TcpListener, Router)>,
    close: watch::Sender<bool>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("options", &self.shared.options).finish_non_exhaustive()
    }
}

impl Server {
    /// Opens the logs, reads what is to be served, and begins to listen. A log that cannot be read now does not keep it from
    /// starting: it says so in `/healthz`, and tries again.
    ///
    /// # Errors
    ///
    /// [`ServerError`]
    pub async fn bind(options: Options) -> Result<Server, ServerError> {
        if options.environments.is_empty() {
            return Err(ServerError::Options("there is no environment to serve; name one".to_owned()));
        }
        let access = Access::new(options.tokens.clone(), options.limits.rate).map_err(ServerError::Options)?;
        let metrics = Arc::new(Metrics::new());
        let (mut feeds, mut logs) = (BTreeMap::new(), BTreeMap::new());
        for environment in &options.environments {
            let log = Log::open(&options.store, environment, options.keys.clone()).map_err(ServerError::Store)?;
            logs.insert(environment.clone(), log.clone());
            let feed = Arc::new(Feed::new(log, &options.keys, &options.variables, options.poll, metrics.clone()));
            feed.look().await;
            let unfit = feed.unfit_variables();
            if !unfit.is_empty() {
                return Err(ServerError::Options(unfit.join("\n")));
            }
            feeds.insert(environment.clone(), feed);
        }
        let operators = admin::operators(&logs, &options.signing_keys, options.clients_expire);
        let listener = listen_on(options.listen).await?;
        let admin_listener = match options.admin_listen {
            Some(address) => Some(listen_on(address).await?),
            None => None,
        };
        let keys = Mutex::new(options.keys.clone());
        let (close, closing) = watch::channel(false);
        let streams = Arc::new(Semaphore::new(options.limits.streams));
        let shared = Arc::new(Shared { feeds, operators, access, keys, metrics, streams, closing, options });
        let admin = admin_routes(&shared).map_err(|error| ServerError::Options(format!("aliases: {error}")))?;
        let (router, admin) = match admin_listener {
            None => (surrounded(public_routes().merge(admin), &shared), None),
            Some(listener) => {
                // The dashboard, which is here, follows the stream of where it is.
                let admin = admin.route("/healthz", get(healthz));
                let admin = admin.route("/snapshots/{environment}/stream", get(snapshots::stream));
                let admin = surrounded(admin, &shared);
                (surrounded(public_routes(), &shared), Some((listener, admin)))
            }
        };
        Ok(Server { shared, listener, router, admin, close })
    }

    /// Where it listens.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Where it listens for operators, if elsewhere.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn admin_address(&self) -> std::io::Result<Option<SocketAddr>> {
        self.admin.as_ref().map(|(listener, _)| listener.local_addr()).transpose()
    }

    /// Serves until `shutdown` is done, and then ends what is under way: streams at once, requests within ten seconds.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Server { shared, listener, router, admin, close } = self;
        let mut tasks = tokio::task::JoinSet::new();
        for feed in shared.feeds.values() {
            let feed = feed.clone();
            tasks.spawn(async move { feed.follow().await });
        }
        let (access, keys) = (shared.clone(), shared.clone());
        tasks.spawn(keep("tokens", move || {
            access.access.tidy();
            access.access.reload()
        }));
        tasks.spawn(keep("trusted keys", move || keys.reload_keys()));
        let connections = Arc::new(Semaphore::new(shared.options.limits.connections));
        tasks.spawn(renew(shared.clone()));
        let mut serving = tokio::task::JoinSet::new();
        let public = Some((listener, router, connections));
        // Operators find room however many others there are.
        let admin = admin.map(|(listener, router)| (listener, router, Arc::new(Semaphore::new(ADMIN_CONNECTIONS))));
        for (listener, router, connections) in public.into_iter().chain(admin) {
            let (limits, metrics) = (shared.options.limits.clone(), shared.metrics.clone());
            serving.spawn(listen::serve(listener, router, connections, limits, metrics, close.subscribe()));
        }
        shutdown.await;
        tracing::info!("closing");
        close.send_replace(true);
        serving.join_all().await;
    }
}

async fn listen_on(address: SocketAddr) -> Result<TcpListener, ServerError> {
    let failed = |error| ServerError::Listen(format!("cannot listen on {address}: {error}"));
    TcpListener::bind(address).await.map_err(failed)
}

/// Renews client snapshots long before they expire, where there are keys.
async fn renew(shared: Arc<Shared>) {
    /// Often enough for any expiry that makes sense.
    const INTERVAL: Duration = Duration::from_secs(600);
    loop {
        for (environment, operator) in &shared.operators {
            let request = store::Request::new("flagstone serve", "Clients may load this for longer");
            // Any number of servers do this; whoever is second finds it done.
            match operator.resign(Some(shared.options.clients_expire / 2), &request).await {
                Ok(outcome) if outcome.record.is_some() => {
                    tracing::info!(environment, version = outcome.version, "renewed the client snapshot");
                }
                Ok(_) | Err(store::OperationError::Unknown(_)) => {}
                Err(error) => tracing::error!(environment, %error, "the client snapshot could not be renewed"),
            }
        }
        tokio::time::sleep(INTERVAL.min(shared.options.clients_expire / 4)).await;
    }
}

/// Takes up changes of a file, for ever. While it cannot be read, what was read before counts on.
async fn keep(what: &'static str, reload: impl Fn() -> Result<bool, String>) {
    let mut complaint = String::new();
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        match reload() {
            Ok(changed) => {
                complaint.clear();
                if changed {
                    tracing::info!("the {what} were read again");
                }
            }
            Err(error) if error == complaint => {}
            Err(error) => {
                tracing::error!(error, "the {what} could not be read again");
                complaint = error;
            }
        }
    }
}

/// What everyone may ask, if only with a token.
fn public_routes() -> Router<Arc<Shared>> {
    let anyone = CorsLayer::new()
        .allow_origin(Any)
        .allow_headers([
            header::AUTHORIZATION,
            header::CACHE_CONTROL,
            header::CONTENT_TYPE,
            header::IF_NONE_MATCH,
            HeaderName::from_static("last-event-id"),
            HeaderName::from_static("x-api-key"),
        ])
        .expose_headers([header::ETAG, header::RETRY_AFTER])
        .max_age(Duration::from_secs(86_400));
    let public = Router::new()
        .route("/snapshots/{environment}/client.json", get(snapshots::client))
        .route("/snapshots/{environment}/stream", get(snapshots::stream))
        // Before the layer: what asks for permission comes as another method.
        .method_not_allowed_fallback(other_method)
        .layer(anyone.clone().allow_methods([Method::GET, Method::HEAD]));
    let evaluation = Router::new()
        .route("/ofrep/v1/evaluate/flags", post(ofrep::all))
        .route("/ofrep/v1/evaluate/flags/{key}", post(ofrep::one))
        .route("/environments/{environment}/ofrep/v1/evaluate/flags", post(ofrep::all_in))
        .route("/environments/{environment}/ofrep/v1/evaluate/flags/{key}", post(ofrep::one_in))
        .method_not_allowed_fallback(other_method)
        .layer(CompressionLayer::new())
        .layer(anyone.allow_methods([Method::POST]));
    Router::new()
        .merge(public)
        .merge(evaluation)
        .route("/snapshots/{environment}/server.json", get(snapshots::server))
        .route("/healthz", get(healthz))
}

/// What operators and Prometheus ask.
fn admin_routes(shared: &Shared) -> Result<Router<Arc<Shared>>, String> {
    let mut router = Router::new().route("/metrics", get(prometheus));
    for (path, methods) in admin::routes() {
        router = router.route(path, methods);
    }
    Ok(router.merge(dashboard::routes()).merge(aliases::routes(shared)?).layer(CompressionLayer::new()))
}

/// Routes with what is around all of them.
fn surrounded(routes: Router<Arc<Shared>>, shared: &Arc<Shared>) -> Router {
    routes
        .method_not_allowed_fallback(other_method)
        .fallback(|| async { Problem::not_found("there is nothing at this address") })
        .layer(DefaultBodyLimit::max(shared.options.limits.body))
        .layer(CatchPanicLayer::custom(|_| {
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "this is a fault of the server").into_response()
        }))
        .layer(from_fn_with_state(shared.clone(), watched))
        .with_state(shared.clone())
}

/// Counts and logs each request: never its query, its body, or what stands in for the parts of its route.
async fn watched(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let method = match request.method().as_str() {
        known @ ("GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS") => known.to_owned(),
        _ => "other".to_owned(),
    };
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let response = match unfit(&request, &shared.options.limits) {
        Some(problem) => problem.into_response(),
        None => match tokio::time::timeout(shared.options.limits.request, next.run(request)).await {
            Ok(response) => response,
            Err(_) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "took-too-long", "this took too long; try again")
                .retry_after(1)
                .into_response(),
        },
    };
    let (status, took) = (response.status().as_u16(), begun.elapsed());
    shared.metrics.answered(&method, &route, status, took);
    let milliseconds = took.as_micros() as f64 / 1000.0;
    if status >= 500 {
        tracing::warn!(method, route, status, milliseconds, "answered");
    } else {
        tracing::debug!(method, route, status, milliseconds, "answered");
    }
    response
}

/// What is refused before anything of it is looked at.
fn unfit(request: &Request, limits: &Limits) -> Option<Problem> {
    if request.uri().query().is_some_and(access::holds_token) {
        let detail = "a token in a URL is read by whoever reads logs; withdraw it, and send another as `Authorization: \
                      Bearer TOKEN`";
        return Some(Problem::new(StatusCode::BAD_REQUEST, "token-in-url", detail));
    }
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    length.filter(|length: &u64| *length > limits.body as u64).map(|_| too_large())
}

fn too_large() -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", "the body is larger than this server takes")
}

async fn other_method() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "this address knows other methods only")
}

/// `GET /healthz`: 200 as long as there is something to serve for every environment, be it old: were it otherwise, all
/// servers would be taken out at once when the store they share is gone. 503 where there is nothing.
async fn healthz(State(shared): State<Arc<Shared>>) -> Response {
    let (status, environments) = health(&shared);
    let code = if status == Status::Unavailable { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let body = json!({"status": status, "environments": environments});
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (code, headers, body.to_string()).into_response()
}

fn health(shared: &Shared) -> (Status, BTreeMap<&str, feed::Health>) {
    let now = Timestamp::now();
    let environments: BTreeMap<_, _> =
        shared.feeds.iter().map(|(name, feed)| (name.as_str(), feed.health(now))).collect();
    (environments.values().map(|health| health.status).max().unwrap_or(Status::Ok), environments)
}

/// `GET /metrics`: names flags, and so is not for everyone.
async fn prometheus(State(shared): State<Arc<Shared>>, asking: Asking) -> Result<Response, Problem> {
    shared.access.require_anywhere(&asking, Role::Reader)?;
    let text = shared
        .metrics
        .text()
        .map_err(|_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the metrics cannot be written"))?;
    Ok(([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response())
}

/// A body that has arrived whole, within the limits.
fn body(read: Result<Bytes, BytesRejection>) -> Result<Bytes, Problem> {
    read.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_large(),
        _ => Problem::bad_request("the body did not arrive whole"),
    })
}

/// The other end of a connection.
#[derive(Clone, Copy, Debug)]
struct Peer(SocketAddr);

/// Who asks, as far as can be told before their token is looked at.
struct Asking {
    headers: HeaderMap,
    address: IpAddr,
}

impl<S: Sync> FromRequestParts<S> for Asking {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Asking, Self::Rejection> {
        let peer = parts.extensions.get::<Peer>().map(|peer| peer.0.ip());
        Ok(Asking { headers: parts.headers.clone(), address: peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)) })
    }
}
