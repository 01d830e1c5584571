//! What runtimes get their work from: a server on the loopback interface that gives each its commands and takes its answers.

use super::package::Package;
use super::runtime::Kind;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use std::collections::HashMap;
use std::io;
use std::path::Component;
use std::sync::Arc;
use std::time::Instant;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};

pub(super) const HARNESS: &str = include_str!("harness.mjs");
const PAGE: &str = include_str!("page.html");

/// The server; it stops when it is dropped.
pub(super) struct Server {
    /// Where it answers, with a name in it that nobody can guess.
    pub(super) url: String,
    task: tokio::task::JoinHandle<io::Result<()>>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One runtime's end of the conversation: what it is to do, and what it says, with the time at which it said so.
pub(super) struct Line {
    pub(super) commands: mpsc::UnboundedSender<Bytes>,
    pub(super) answers: mpsc::UnboundedReceiver<(Instant, Bytes)>,
}

/// The other end.
struct Desk {
    commands: Mutex<mpsc::UnboundedReceiver<Bytes>>,
    answers: mpsc::UnboundedSender<(Instant, Bytes)>,
}

struct Shared {
    package: Package,
    desks: HashMap<&'static str, Desk>,
}

impl Server {
    /// Starts a server with a line for each kind of runtime.
    pub(super) async fn start(package: Package) -> io::Result<(Server, HashMap<Kind, Line>)> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let mut secret = [0; 16];
        getrandom::fill(&mut secret).map_err(io::Error::other)?;
        let secret: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        let url = format!("http://{}/{secret}", listener.local_addr()?);
        let (mut desks, mut lines) = (HashMap::new(), HashMap::new());
        for kind in Kind::ALL {
            let (command, commands) = mpsc::unbounded_channel();
            let (answer, answers) = mpsc::unbounded_channel();
            desks.insert(kind.name(), Desk { commands: Mutex::new(commands), answers: answer });
            lines.insert(kind, Line { commands: command, answers });
        }
        let routes = Router::new()
            .route("/", get(page))
            .route("/harness.mjs", get(([(header::CONTENT_TYPE, "text/javascript")], HARNESS)))
            .route("/package/{*path}", get(file))
            .route("/work/{runtime}", post(work))
            .layer(DefaultBodyLimit::disable())
            .with_state(Arc::new(Shared { package, desks }));
        // Not `nest` alone, which leaves out the address with the slash at its end.
        let routes = Router::new().nest_service(&format!("/{secret}"), routes);
        let task = tokio::spawn(axum::serve(listener, routes).into_future());
        Ok((Server { url, task }, lines))
    }
}

/// Takes a runtime's answer and gives it its next command, when there is one.
async fn work(State(shared): State<Arc<Shared>>, Path(runtime): Path<String>, answer: Bytes) -> Response {
    let Some(desk) = shared.desks.get(runtime.as_str()) else { return StatusCode::NOT_FOUND.into_response() };
    // Where nobody listens any more, there is nothing more to do either.
    let _ = desk.answers.send((Instant::now(), answer));
    let command = desk.commands.lock().await.recv().await;
    let command = command.unwrap_or_else(|| Bytes::from_static(br#"{"do":"end"}"#));
    ([(header::CONTENT_TYPE, "application/json")], command).into_response()
}

async fn page(State(shared): State<Arc<Shared>>) -> Html<String> {
    let entry = shared.package.entry("browser").unwrap_or_default();
    Html(PAGE.replace("PACKAGE", &format!("./package/{entry}")))
}

/// A file of the package.
async fn file(State(shared): State<Arc<Shared>>, Path(path): Path<String>) -> Response {
    let path = std::path::Path::new(&path);
    if !path.components().all(|component| matches!(component, Component::Normal(_))) {
        return StatusCode::NOT_FOUND.into_response();
    }
    let kind = match path.extension().and_then(|extension| extension.to_str()) {
        Some("js") => "text/javascript",
        Some("wasm") => "application/wasm",
        _ => "application/octet-stream",
    };
    match tokio::fs::read(shared.package.folder.join(path)).await {
        Ok(bytes) => ([(header::CONTENT_TYPE, kind)], bytes).into_response(),
        Err(_) => StatusCode::NOT_FOUND.into_response(),
    }
}
