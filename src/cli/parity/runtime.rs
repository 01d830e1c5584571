//! The runtimes: where they are, how they are started, and how they are asked.

use super::package::Package;
use super::server::{HARNESS, Line, Server};
use axum::body::Bytes;
use serde_json::Value;
use std::env;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// What runs the npm package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, clap::ValueEnum)]
pub(super) enum Kind {
    Node,
    Chromium,
    Workerd,
}

impl Kind {
    pub(super) const ALL: [Kind; 3] = [Kind::Node, Kind::Chromium, Kind::Workerd];

    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Node => "node",
            Kind::Chromium => "chromium",
            Kind::Workerd => "workerd",
        }
    }

    /// The condition under which it imports packages.
    fn condition(self) -> &'static str {
        match self {
            Kind::Node => "node",
            Kind::Chromium => "browser",
            Kind::Workerd => "workerd",
        }
    }

    pub(super) fn how_to_get(self) -> &'static str {
        match self {
            Kind::Node => "install Node.js 20 or newer from https://nodejs.org, or say where it is in FLAGSTONE_NODE",
            Kind::Chromium => {
                "install Chromium or Chrome (`apt-get install chromium`), or say where it is in FLAGSTONE_CHROMIUM"
            }
            Kind::Workerd => "`npm install workerd`, or say where it is in FLAGSTONE_WORKERD",
        }
    }

    /// The program: named in the environment (where an empty name stands for none), in PATH, or installed by npm.
    pub(super) fn find(self) -> Option<PathBuf> {
        if let Some(path) = env::var_os(format!("FLAGSTONE_{}", self.name().to_uppercase())) {
            return Some(path).filter(|path| !path.is_empty()).map(PathBuf::from);
        }
        let names: &[&str] = match self {
            Kind::Node => &["node"],
            Kind::Chromium => &["chromium", "chromium-browser", "google-chrome"],
            Kind::Workerd => &["workerd"],
        };
        let in_path = names.iter().find_map(|name| in_path(name));
        in_path.or_else(|| if self == Kind::Workerd { installed_workerd() } else { None })
    }
}

fn in_path(name: &str) -> Option<PathBuf> {
    let name = format!("{name}{}", env::consts::EXE_SUFFIX);
    env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join(&name)).find(|path| path.is_file())
}

/// The program itself, not the script in `.bin`, which may start another process that outlives it.
fn installed_workerd() -> Option<PathBuf> {
    let platforms = ["node_modules", "tests/js/node_modules"]
        .into_iter()
        .filter_map(|folder| fs::read_dir(Path::new(folder).join("@cloudflare")).ok());
    let packages = platforms
        .flatten()
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("workerd-"));
    packages
        .map(|entry| entry.path().join(format!("bin/workerd{}", env::consts::EXE_SUFFIX)))
        .find(|path| path.is_file())
}

/// Starting takes this long at most, and so does a chunk of users.
const PATIENCE: Duration = Duration::from_secs(120);

/// A runtime at work. Its process ends when this is dropped.
pub(super) struct Runtime {
    pub(super) kind: Kind,
    pub(super) version: String,
    /// How long it has been at work.
    pub(super) busy: Duration,
    asked: Instant,
    line: Line,
    process: Child,
    /// Keeps the one request open in which a Worker works.
    _request: Option<TcpStream>,
    /// Ends after the process, whose files are in it.
    folder: TempDir,
}

/// Why a runtime gave no answer.
pub(super) type Failed = String;

impl Runtime {
    /// Starts a runtime and waits until it asks for work.
    pub(super) async fn start(
        kind: Kind,
        program: &Path,
        package: &Package,
        server: &Server,
        line: Line,
    ) -> Result<Runtime, Failed> {
        let failed = |error: io::Error| format!("{} could not be started: {error}", program.display());
        let Some(entry) = package.entry(kind.condition()) else {
            return Err(format!("the package has no entry for the condition `{}`", kind.condition()));
        };
        let folder = tempfile::Builder::new().prefix("flagstone-parity-").tempdir().map_err(failed)?;
        let url = format!("{}/work/{}", server.url, kind.name());
        let mut command = Command::new(program);
        match kind {
            Kind::Node => {
                fs::write(folder.path().join("harness.mjs"), HARNESS).map_err(failed)?;
                let script = folder.path().join("node.mjs");
                fs::write(&script, include_str!("node.mjs")).map_err(failed)?;
                command.arg("--no-warnings").arg(script).arg(&url).arg(package.folder.join(entry));
            }
            Kind::Chromium => {
                command
                    .args(CHROMIUM_FLAGS)
                    .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
                    .arg(format!("{}/", server.url));
            }
            Kind::Workerd => {
                let config = write_worker(folder.path(), package, entry).map_err(failed)?;
                // Descriptor 1 is where it says which port it took.
                command.args(["serve", "--control-fd=1"]).arg(config);
            }
        }
        let log = File::create(folder.path().join(LOG)).map_err(failed)?;
        let stdout = if kind == Kind::Workerd { Stdio::piped() } else { log.try_clone().map_err(failed)?.into() };
        command.stdin(Stdio::null()).stdout(stdout).stderr(log).kill_on_drop(true);
        let process = command.spawn().map_err(failed)?;
        let mut runtime = Runtime {
            kind,
            version: String::new(),
            busy: Duration::ZERO,
            asked: Instant::now(),
            line,
            process,
            _request: None,
            folder,
        };
        if kind == Kind::Workerd {
            let version = version(program).await;
            let request = timeout(PATIENCE, runtime.request(&url, &version)).await;
            runtime._request = Some(
                request
                    .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
                    .map_err(|error| runtime.failure(&error.to_string()))?,
            );
        }
        let answer = runtime.answer().await?;
        runtime.version = answer["version"].as_str().unwrap_or_default().trim_start_matches('v').to_owned();
        runtime.busy = Duration::ZERO;
        Ok(runtime)
    }

    /// Says what to do next.
    pub(super) fn command(&mut self, command: Bytes) {
        self.asked = Instant::now();
        // Where it does not listen any more, there will be no answer, which says why.
        let _ = self.line.commands.send(command);
    }

    /// Waits for the answer to what was asked last.
    pub(super) async fn answer(&mut self) -> Result<Value, Failed> {
        let answer = tokio::select! {
            biased;
            answer = self.line.answers.recv() => answer,
            status = self.process.wait() => {
                let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
                return Err(self.failure(&format!("it ended early ({status})")));
            }
            () = tokio::time::sleep(PATIENCE) => None,
        };
        let Some((at, answer)) = answer else {
            return Err(self.failure(&format!("no answer within {} seconds", PATIENCE.as_secs())));
        };
        self.busy += at.saturating_duration_since(self.asked);
        let answer: Value =
            serde_json::from_slice(&answer).map_err(|error| format!("its answer is no JSON: {error}"))?;
        match answer["error"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(answer),
        }
    }

    /// Ends the process and waits until it is gone.
    pub(super) async fn end(mut self) {
        let _ = self.process.kill().await;
    }

    /// Sends workerd the request in which it works.
    async fn request(&mut self, url: &str, version: &str) -> io::Result<TcpStream> {
        let stdout = self.process.stdout.take().ok_or_else(|| io::Error::other("it has no output"))?;
        let line =
            BufReader::new(stdout).lines().next_line().await?.ok_or_else(|| io::Error::other("it ended at once"))?;
        let event: Value = serde_json::from_str(&line).map_err(io::Error::other)?;
        let port = event["port"]
            .as_u64()
            .and_then(|port| u16::try_from(port).ok())
            .ok_or_else(|| io::Error::other("it took no port"))?;
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream
            .write_all(format!("GET /?work={url}&version={version} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n").as_bytes())
            .await?;
        Ok(stream)
    }

    /// What went wrong, with the end of what the process wrote.
    fn failure(&self, what: &str) -> Failed {
        let log = fs::read(self.folder.path().join(LOG)).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.trim_end().lines().collect();
        let end = &lines[lines.len().saturating_sub(12)..];
        [&[what], end].concat().join("\n  ")
    }
}

const LOG: &str = "log.txt";

const CHROMIUM_FLAGS: [&str; 8] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

/// What `workerd --version` says, without blanks: `2026-11-17`.
async fn version(program: &Path) -> String {
    let output = Command::new(program).arg("--version").kill_on_drop(true).output().await;
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.split_whitespace().last().unwrap_or_default().to_owned()
}

/// Writes a Worker made of the package and the harness, which reaches nothing but the loopback interface.
fn write_worker(folder: &Path, package: &Package, entry: &str) -> io::Result<PathBuf> {
    fs::write(folder.join("worker.mjs"), include_str!("worker.mjs").replace("PACKAGE", &format!("./package/{entry}")))?;
    fs::write(folder.join("harness.mjs"), HARNESS)?;
    let mut modules = vec!["worker.mjs".to_owned(), "harness.mjs".to_owned()];
    for file in package.files()? {
        let target = Path::new("package").join(&file);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(folder.join(parent))?;
        }
        fs::copy(package.folder.join(&file), folder.join(&target))?;
        modules.push(target.to_string_lossy().replace('\\', "/"));
    }
    let modules = modules.iter().map(|name| {
        let kind = if Path::new(name).extension() == Some(OsStr::new("wasm")) { "wasm" } else { "esModule" };
        // Cap'n Proto escapes strings as JSON does, as far as file names go.
        let name = Value::from(name.as_str());
        format!("(name = {name}, {kind} = embed {name})")
    });
    // Without a limit, garbage fills gigabytes before it is collected.
    let config = format!(
        "using Workerd = import \"/workerd/workerd.capnp\";\n\
         const config :Workerd.Config = (\n  \
         services = [\n    \
         (name = \"main\", worker = (compatibilityDate = \"2025-01-01\", globalOutbound = \"loopback\", modules = [\n      {}\n    ])),\n    \
         (name = \"loopback\", network = (allow = [\"127.0.0.1/32\"])),\n  \
         ],\n  \
         sockets = [(name = \"http\", address = \"127.0.0.1:0\", http = (), service = \"main\")],\n  v8Flags = [\"--max-old-space-size=256\"],\n);\n",
        modules.collect::<Vec<_>>().join(",\n      "),
    );
    let path = folder.join("config.capnp");
    fs::write(&path, config)?;
    Ok(path)
}
