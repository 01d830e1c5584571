//! `flagstone serve` as clients, caches, operators and attackers meet it: a process that answers HTTP on the loopback interface.
#![cfg(feature = "control")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use flagstone::server::{Role, Tokens};
use flagstone::snapshot::definitions::{Definitions, Source};
use flagstone::snapshot::{Envelope, SigningKey, TrustedKeys};
use flagstone::store::{Log, Operation, Operator, Publication, Request, Target};
use serde_json::{Value, json};

/// Far longer than anything takes; what waits for so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

const DEFINITIONS: &str = "
hashSalt: 5d1f0c7be2a94836a1c07d4f92be6358
flags:
  use_new_gateway:
    client: true
    tags: [gateway]
    salt: use_new_gateway-1
    allow: [{variant: on, keys: [internal-user-1]}]
    default: {ramp: {percent: 25, serve: on}}
  theme:
    client: true
    salt: theme-1
    variants: {light: light, dark: dark}
    off: light
    rules: [{id: staff, when: {attribute: staff, equals: true}, serve: dark}]
    default: light
  back_end_only:
    salt: back_end_only-1
    default: on
  limit:
    client: true
    salt: limit-1
    variants: {none: 0, some: 12.5}
    off: none
    default: some
";

/// A folder with definitions and keys, published once to production.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Place {
        let place = Place(tempfile::tempdir().expect("there is room for a folder"));
        let key = SigningKey::generate(None, ["production", "staging"]).expect("a key can be made");
        place.write("key.jwk", &key.to_jwk());
        place.write("keys.jwks", &TrustedKeys::from_iter([key.public()]).to_jwks());
        for folder in ["flags", "published"] {
            fs::create_dir(place.path(folder)).expect("there is room for a folder");
        }
        place.write("flags/flags.yaml", DEFINITIONS);
        place
    }

    fn published() -> Place {
        let place = Place::new();
        place.publish("production");
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("the file can be written");
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flagstone"));
        command.current_dir(self.0.path()).args(arguments).stdin(Stdio::null());
        command
    }

    fn publish(&self, environment: &str) {
        let arguments = [
            "publish",
            "flags",
            "--environment",
            environment,
            "--store",
            "published",
            "--key",
            "key.jwk",
            "--author",
            "ana@example.com",
            "--reason",
            "A test",
        ];
        let output = self.command(&arguments).output().expect("the command starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Writes a file with a token for each name and role, and returns the tokens.
    fn tokens<const N: usize>(&self, wanted: [(&str, Role, Option<&str>); N]) -> [String; N] {
        let mut tokens = Tokens::default();
        let secrets = wanted.map(|(name, role, environment)| {
            let environments = environment.map(|name| vec![name.to_owned()]);
            tokens.issue(name, role, environments, None).expect("a token can be made").to_string()
        });
        self.write("tokens.json", &tokens.to_json());
        secrets
    }

    fn serve(&self, arguments: &[&str]) -> Serving {
        self.serve_with(arguments, &[])
    }

    fn serve_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Serving {
        let fixed = ["serve", "--store", "published", "--keys", "keys.jwks", "--listen", "127.0.0.1:0"];
        let mut command = self.command(&[&fixed, arguments].concat());
        command.envs(variables.iter().copied());
        self.serve_by(command)
    }

    /// A server, as this command starts it.
    fn serve_by(&self, mut command: Command) -> Serving {
        let mut child = command
            .current_dir(self.0.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(self.path("log")).expect("a log can be written"))
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("it has an output")).read_line(&mut line).expect("it says something");
        let url = line.trim().rsplit(' ').next().unwrap_or_default().to_owned();
        assert!(url.starts_with("http://127.0.0.1:"), "{line:?}\n{}", self.log());
        Serving { child, url }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    fn operator(&self, environment: &str, others: &TrustedKeys) -> Operator {
        let key = SigningKey::from_jwk(&fs::read(self.path("key.jwk")).expect("there is a key")).expect("it is one");
        let keys = others.iter().cloned().chain([key.public()]).collect();
        let store = self.path("published").display().to_string();
        let log = Log::open(&store, environment, keys).expect("there is a log");
        Operator::new(log, vec![key], Duration::from_secs(604_800))
    }

    /// Does something to production as another process than the server.
    fn operate(&self, operation: Operation) -> u64 {
        self.operate_trusting(operation, &TrustedKeys::default())
    }

    /// The same, where another key signed last.
    fn operate_trusting(&self, operation: Operation, others: &TrustedKeys) -> u64 {
        let operator = self.operator("production", others);
        let request = Request::new("dana@example.com", "Errors at checkout");
        block_on(operator.apply(&[operation], &request)).expect("it can be done").version
    }
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("it starts")
        .block_on(work)
}

fn kill(flag: &str) -> Operation {
    Operation::Kill(Target::Flag(flag.to_owned()))
}

/// A server that runs; it ends with the test.
struct Serving {
    child: Child,
    url: String,
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// It was refused so, as RFC 9457 has it.
    #[track_caller]
    fn refused(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        let problem = self.json();
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["status"], status);
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{problem}");
        problem
    }
}

impl Serving {
    fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&Value>) -> Answer {
        let mut request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .timeout_global(Some(PATIENCE))
            .build()
            .into();
        let outcome = match body {
            Some(body) => {
                let request = request.header("content-type", "application/json");
                agent.run(request.body(body.to_string()).expect("it can be asked"))
            }
            None => agent.run(request.body(()).expect("it can be asked")),
        };
        let response = outcome.expect("it answers");
        let (parts, mut body) = response.into_parts();
        let text = |value: &ureq::http::HeaderValue| value.to_str().unwrap_or_default().to_owned();
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
            body: body.read_to_vec().expect("the answer arrives"),
        }
    }

    fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], None)
    }

    fn get_as(&self, path: &str, token: &str) -> Answer {
        self.ask("GET", path, &[("authorization", &format!("Bearer {token}"))], None)
    }

    /// Asks until the answer is as wanted.
    #[track_caller]
    fn until(&self, path: &str, token: Option<&str>, wanted: impl Fn(&Answer) -> bool) -> Answer {
        let begun = Instant::now();
        loop {
            let answer = token.map_or_else(|| self.get(path), |token| self.get_as(path, token));
            if wanted(&answer) {
                return answer;
            }
            assert!(begun.elapsed() < PATIENCE, "{path} stays {}: {}", answer.status, answer.text());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Sends bytes as they are, and returns what comes until the other side closes.
    fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        // A server that refuses what comes need not read it all: the system then cuts the connection, before all of it
        // is sent or before all of the answer is read.
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.url.trim_start_matches("http://")).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time limit can be set");
        stream
    }

    /// Listens for what is announced; the channel closes when the stream ends.
    fn listen(&self, path: &str) -> mpsc::Receiver<Value> {
        self.listen_after(path, 0)
    }

    /// Listens again, after a version that was announced before.
    fn listen_after(&self, path: &str, told: u64) -> mpsc::Receiver<Value> {
        let mut stream = self.connect();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nlast-event-id: {told}\r\n\r\n").expect("it can be sent");
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            let lines = BufReader::new(stream).lines().map_while(Result::ok);
            for line in lines {
                if let Some(data) = line.strip_prefix("data: ") {
                    let _ = tell.send(serde_json::from_str(data).expect("it is JSON"));
                }
            }
        });
        told
    }

    fn signal(&self, name: &str) {
        let signalled = Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status();
        assert!(signalled.expect("kill is there").success());
    }
}

fn version(answer: &Answer) -> u64 {
    let envelope = Envelope::parse(&answer.body).expect("it is an envelope");
    let payload: Value = serde_json::from_str(envelope.unverified_payload()).expect("it is JSON");
    payload["version"].as_u64().expect("it has a version")
}

const CLIENT: &str = "/snapshots/production/client.json";
const SERVER: &str = "/snapshots/production/server.json";
const STREAM: &str = "/snapshots/production/stream";

#[test]
fn client_snapshots_are_served_as_they_are_stored_and_fit_for_caches() {
    let place = Place::published();
    let server = place.serve(&[]);
    let stored = fs::read(place.path("published/production/current/client.json")).expect("it was published");

    let plain = server.get(CLIENT);
    assert_eq!((plain.status, &plain.body), (200, &stored));
    assert_eq!(plain.header("content-type"), Some("application/json"));
    let caching = plain.header("cache-control").expect("caches are told what to do");
    assert_eq!(caching, "public, max-age=1, stale-while-revalidate=4, stale-if-error=604800");
    assert_eq!(plain.header("access-control-allow-origin"), Some("*"));
    assert!(plain.header("vary").is_some_and(|vary| vary.contains("accept-encoding")));

    let mut tags = vec![plain.header("etag").expect("it has an ETag").to_owned()];
    for (accepted, encoding) in [("gzip, br", "br"), ("br;q=0.5, gzip", "gzip"), ("*", "br"), ("gzip;q=0.1", "gzip")] {
        let answer = server.ask("GET", CLIENT, &[("accept-encoding", accepted)], None);
        assert_eq!(answer.header("content-encoding"), Some(encoding), "{accepted}");
        let mut decoded = Vec::new();
        match encoding {
            "br" => brotli::Decompressor::new(&*answer.body, 4096).read_to_end(&mut decoded),
            _ => flate2::read::GzDecoder::new(&*answer.body).read_to_end(&mut decoded),
        }
        .expect("it is what it says");
        assert_eq!(decoded, stored);
        assert!(answer.body.len() < stored.len());
        tags.push(answer.header("etag").expect("it has an ETag").to_owned());
    }
    for unwanted in ["identity", "br;q=0, gzip;q=0", "deflate"] {
        let answer = server.ask("GET", CLIENT, &[("accept-encoding", unwanted)], None);
        assert_eq!((answer.header("content-encoding"), &answer.body), (None, &stored), "{unwanted}");
    }
    assert_ne!(tags[0], tags[1], "a strong ETag is of one encoding");
    assert_ne!(tags[1], tags[2]);
    for tag in tags.iter().map(String::as_str).chain(["\"other\", *", &format!("W/{}", tags[1])]) {
        let answer = server.ask("GET", CLIENT, &[("if-none-match", tag)], None);
        if tag.contains("other") {
            continue;
        }
        assert_eq!((answer.status, answer.body.len()), (304, 0), "{tag}");
        assert!(answer.header("etag").is_some() && answer.header("cache-control").is_some());
    }
    assert_eq!(server.ask("GET", CLIENT, &[("if-none-match", "\"other\"")], None).status, 200);
    let head = server.ask("HEAD", CLIENT, &[], None);
    assert_eq!((head.status, head.body.len(), head.header("etag")), (200, 0, plain.header("etag")));
    let preflight = [("origin", "https://shop.example"), ("access-control-request-method", "GET")];
    assert_eq!(server.ask("OPTIONS", CLIENT, &preflight, None).status, 200);

    place.operate(kill("use_new_gateway"));
    let newer = server.until(CLIENT, None, |answer| answer.body != stored);
    assert_eq!(version(&newer), 2);
    assert_eq!(server.ask("GET", CLIENT, &[("if-none-match", &tags[0])], None).status, 200);
}

#[test]
fn server_snapshots_are_for_readers_alone() {
    let place = Place::published();
    let refused = place.serve(&[]).get(SERVER).refused(401, "no-tokens");
    assert!(refused["detail"].as_str().unwrap_or_default().contains("flagstone token"));

    let wanted = [("shop", Role::Reader, None), ("dana", Role::Operator, None), ("qa", Role::Reader, Some("staging"))];
    let [reader, operator, staging] = place.tokens(wanted);
    let server = place.serve(&["--tokens", "tokens.json", "--log", "debug"]);
    let stored = fs::read(place.path("published/production/current/server.json")).expect("it was published");
    for token in [&reader, &operator] {
        let answer = server.get_as(SERVER, token);
        assert_eq!((answer.status, &answer.body), (200, &stored));
        assert_eq!(answer.header("cache-control"), Some("private, no-cache"));
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
    server.get(SERVER).refused(401, "token-missing");
    let missing = server.get(SERVER);
    assert!(missing.header("www-authenticate").is_some_and(|challenge| challenge.starts_with("Bearer")));
    server.get_as(SERVER, &staging).refused(403, "other-environment");
    server.get_as(SERVER, &reader[..reader.len() - 1]).refused(401, "wrong-token");
    server.ask("GET", SERVER, &[("authorization", "Basic YTpi")], None).refused(400, "bad-request");
    for query in [format!("?access_token={reader}"), format!("?x={reader}"), "?token=a".to_owned()] {
        server.get_as(&format!("{SERVER}{query}"), &reader).refused(400, "token-in-url");
    }

    // Wrong tokens are counted, and lock nobody else out.
    let last = (0..40).map(|_| server.get_as(SERVER, "flagstone_wrong")).find(|answer| answer.status == 429);
    let last = last.expect("wrong tokens cannot be tried for ever");
    last.refused(429, "too-many-requests");
    assert!(last.header("retry-after").is_some());
    assert_eq!(server.get_as(SERVER, &reader).status, 200);

    // One that is withdrawn does not count any more.
    let text = fs::read_to_string(place.path("tokens.json")).expect("there are tokens");
    let mut tokens: Value = serde_json::from_str(&text).expect("it is JSON");
    tokens["tokens"].as_array_mut().expect("it is a list").remove(0);
    place.write("tokens.json", &tokens.to_string());
    server.until(SERVER, Some(&reader), |answer| matches!(answer.status, 401 | 429));
    assert_eq!(server.get_as(SERVER, &operator).status, 200);
    // Half a file takes away nobody's rights.
    place.write("tokens.json", "{\"tokens\": [");
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(server.get_as(SERVER, &operator).status, 200);

    let log = place.log();
    assert!(log.contains("the tokens could not be read again"), "{log}");
    for secret in [&reader, &operator, &staging] {
        assert!(!log.contains(secret.as_str()), "tokens never reach the log");
    }
}

#[test]
fn a_token_may_ask_as_often_as_the_server_was_told() {
    let place = Place::published();
    let [reader] = place.tokens([("shop", Role::Reader, None)]);
    let server = place.serve(&["--tokens", "tokens.json", "--max-rate", "1"]);
    let answers: Vec<_> = (0..40).map(|_| server.get_as(SERVER, &reader)).collect();
    assert!(answers[..5].iter().all(|answer| answer.status == 200), "five may come at once");
    let refused = answers.iter().find(|answer| answer.status == 429).expect("forty are too many");
    refused.refused(429, "too-many-requests");
    assert_eq!(refused.header("retry-after"), Some("1"));
}

#[test]
fn streams_announce_versions() {
    let place = Place::published();
    place.publish("staging");
    let mut server = place.serve(&["--environment", "production", "--environment", "staging", "--max-streams", "7"]);
    let production = [server.listen(STREAM), server.listen(STREAM)];
    let staging = server.listen("/snapshots/staging/stream");
    for stream in production.iter().chain([&staging]) {
        assert_eq!(stream.recv_timeout(PATIENCE).expect("it says what there is")["version"], 1);
    }
    let more = [server.listen(STREAM), server.listen(STREAM)];
    assert!(more.iter().all(|stream| stream.recv_timeout(PATIENCE).is_ok()));

    assert_eq!(place.operate(kill("use_new_gateway")), 2);
    for stream in production.iter().chain(&more) {
        let event = stream.recv_timeout(PATIENCE).expect("it says what is new");
        assert_eq!(event, json!({"version": 2, "type": "refetchEvaluation", "etag": "2"}));
        assert_eq!(version(&server.get(CLIENT)), 2, "what is announced is there");
    }
    place.publish("staging");
    assert_eq!(staging.recv_timeout(PATIENCE).expect("it says what is new")["version"], 2);
    assert!(production.iter().all(|stream| stream.try_recv().is_err()), "each tells of its own environment");

    // Whoever comes back says what it knows, and is told what is new alone; whoever knows too much is told what there is.
    let [again, confused] = [2, 99].map(|told| server.listen_after("/snapshots/staging/stream", told));
    assert_eq!(confused.recv_timeout(PATIENCE).expect("it says what there is")["version"], 2);
    server.get(STREAM).refused(503, "too-many-streams");
    place.publish("staging");
    assert_eq!(again.recv_timeout(PATIENCE).expect("it says what is new")["version"], 3);
    assert_eq!(staging.recv_timeout(PATIENCE).expect("it says what is new")["version"], 3);
    server.signal("TERM");
    assert!(staging.recv_timeout(PATIENCE).is_err(), "the streams end");
    assert!(server.child.wait().expect("it ends").success());
}

#[test]
fn what_was_read_last_is_served_while_the_store_is_gone() {
    let place = Place::new();
    let server = place.serve(&[]);
    let health = server.get("/healthz");
    assert_eq!((health.status, &health.json()["status"]), (503, &json!("unavailable")));
    server.get(CLIENT).refused(503, "nothing-published");

    place.publish("production");
    let good = server.until(CLIENT, None, |answer| answer.status == 200);
    assert_eq!(server.get("/healthz").json()["status"], "ok");

    fs::rename(place.path("published/production"), place.path("away")).expect("it can be moved");
    let health = server.until("/healthz", None, |answer| answer.json()["status"] == "degraded");
    assert_eq!(health.status, 200, "all servers would be taken out at once");
    assert_eq!(health.json()["environments"]["production"]["version"], 1);
    assert!(!health.text().contains("published"), "no paths for strangers: {}", health.text());
    assert_eq!(server.get(CLIENT).body, good.body);

    // Damaged, forged, or older than what was served: all the same.
    fs::rename(place.path("away"), place.path("published/production")).expect("it can be moved");
    server.until("/healthz", None, |answer| answer.json()["status"] == "ok");
    copy(&place.path("published"), &place.path("backup"));
    place.operate(kill("use_new_gateway"));
    let killed = server.until(CLIENT, None, |answer| answer.body != good.body);
    fs::remove_dir_all(place.path("published/production")).expect("it can be removed");
    copy(&place.path("backup/production"), &place.path("published/production"));
    server.until("/healthz", None, |answer| answer.json()["status"] == "degraded");
    assert_eq!(server.get(CLIENT).body, killed.body, "a backup does not bring back what was killed");
    assert!(place.log().lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "the log is JSON");
}

#[test]
fn a_store_that_hangs_keeps_nobody_waiting() {
    let place = Place::published();
    let mut server = place.serve(&[]);
    let good = server.get(CLIENT);
    // Whoever opens it waits for somebody who writes, for ever.
    let current = place.path("published/production/current/client.json");
    fs::remove_file(&current).expect("it can be removed");
    assert!(Command::new("mkfifo").arg(&current).status().expect("mkfifo is there").success());
    let health = server.until("/healthz", None, |answer| answer.json()["status"] == "degraded");
    assert!(health.text().contains("has not answered"), "{}", health.text());
    assert_eq!((server.get(CLIENT).body, health.status), (good.body, 200));
    server.signal("TERM");
    assert!(server.child.wait().expect("it ends").success());
}

#[test]
fn a_server_serves_nothing_that_keys_it_trusts_did_not_sign() {
    let place = Place::published();
    let other = SigningKey::generate(None, ["production"]).expect("a key can be made");
    place.write("keys.jwks", &TrustedKeys::from_iter([other.public()]).to_jwks());
    let server = place.serve(&[]);
    server.get(CLIENT).refused(503, "nothing-published");
    let health = server.get("/healthz");
    assert_eq!(health.status, 503);
    assert!(health.text().contains("no trusted key signed"), "{}", health.text());
}

#[test]
fn damage_is_survived_and_said() {
    let place = Place::published();
    let server = place.serve(&[]);
    let good = server.get(CLIENT).body;
    let [entry, current] = ["entries/00000000000000000001.json", "current/client.json"]
        .map(|name| place.path("published/production").join(name));
    let is = |status: &'static str| move |answer: &Answer| answer.json()["status"] == status;
    // What `current` holds is put right by what the entry says, so both are damaged.
    let whole = [&entry, &current].map(|path| fs::read(path).expect("it is there"));
    for damage in [b"".as_slice(), b"{\"payload\":", &whole[0][..whole[0].len() / 2], &[0xff; 100]] {
        for path in [&entry, &current] {
            fs::write(path, damage).expect("it can be written");
        }
        let health = server.until("/healthz", None, is("degraded"));
        assert_eq!(health.status, 200);
        assert_eq!(server.get(CLIENT).body, good);
        for (path, bytes) in [&entry, &current].into_iter().zip(&whole) {
            fs::write(path, bytes).expect("it can be written");
        }
        server.until("/healthz", None, is("ok"));
    }
}

#[test]
fn two_servers_with_different_keys_do_not_undo_each_other() {
    let place = Place::published();
    let other = SigningKey::generate(None, ["production"]).expect("a key can be made");
    place.write("other.jwk", &other.to_jwk());
    place.write("other.jwks", &TrustedKeys::from_iter([other.public()]).to_jwks());
    let [dana] = place.tokens([("dana", Role::Operator, None)]);
    let operating = ["--tokens", "tokens.json", "--listen", "127.0.0.1:0"];
    let ours = place.serve(&["--key", "key.jwk", "--tokens", "tokens.json"]);
    let fixed = ["serve", "--store", "published", "--keys", "other.jwks", "--key", "other.jwk"];
    let theirs = place.serve_by(place.command(&[&fixed[..], &operating].concat()));
    let good = ours.get(CLIENT).body;

    theirs.get(CLIENT).refused(503, "nothing-published");
    assert!(theirs.get("/healthz").text().contains("no trusted key signed"));
    let authorization = format!("Bearer {dana}");
    let kill = |server: &Serving| {
        let reason = json!({"reason": "Errors"});
        let path = format!("{ADMIN}/flags/use_new_gateway/kill");
        server.ask("POST", &path, &[("authorization", &authorization)], Some(&reason))
    };
    kill(&theirs).refused(503, "store");
    assert!(place.log().is_empty() || !place.log().contains(&dana), "no tokens in logs");
    assert_eq!(ours.get(CLIENT).body, good);
    assert_eq!(kill(&ours).status, 200);
    ours.until(CLIENT, None, |answer| version(answer) == 2);

    // Once each trusts the other's key, both go on.
    let both = place.path("keys.jwks");
    let all = TrustedKeys::from_jwks(&fs::read(&both).expect("there are keys")).expect("they are keys");
    let all: TrustedKeys = all.iter().cloned().chain([other.public()]).collect();
    for name in ["keys.jwks", "other.jwks"] {
        place.write(name, &all.to_jwks());
    }
    theirs.until(CLIENT, None, |answer| answer.status == 200 && version(answer) == 2);
    let restore = format!("{ADMIN}/flags/use_new_gateway/restore");
    let restored =
        theirs.ask("POST", &restore, &[("authorization", &authorization)], Some(&json!({"reason": "Mended"})));
    assert_eq!(restored.status, 200, "{}", restored.text());
    ours.until(CLIENT, None, |answer| version(answer) == 3);
}

#[test]
fn keys_are_replaced_without_a_restart() {
    let place = Place::published();
    let server = place.serve(&[]);
    let old = fs::read(place.path("keys.jwks")).expect("there are keys");
    let next = SigningKey::generate(None, ["production"]).expect("a key can be made");
    let old = TrustedKeys::from_jwks(&old).expect("they are keys");
    let both: TrustedKeys = old.iter().cloned().chain([next.public()]).collect();

    // What is no set of keys changes nothing.
    place.write("keys.jwks", "{\"keys\":");
    let begun = Instant::now();
    while !place.log().contains("the trusted keys could not be read again") {
        assert!(begun.elapsed() < PATIENCE, "{}", place.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(server.get("/healthz").json()["status"], "ok");

    place.write("keys.jwks", &both.to_jwks());
    let log = Log::open(&place.path("published").display().to_string(), "production", both).expect("there is a log");
    let next_only = TrustedKeys::from_iter([next.public()]);
    let operator = Operator::new(log, vec![next], Duration::from_secs(604_800));
    let request = Request::new("dana@example.com", "The new key");
    block_on(operator.resign(None, &request)).expect("it can be signed");
    server.until(CLIENT, None, |answer| version(answer) == 2);

    // The old one goes, and what it signs counts no more.
    place.write("keys.jwks", &next_only.to_jwks());
    let begun = Instant::now();
    while place.log().matches("the trusted keys were read again").count() < 2 {
        assert!(begun.elapsed() < PATIENCE, "{}", place.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    let health = server.get("/healthz");
    assert_eq!(health.json()["status"], "ok", "{}", health.text());
    place.operate_trusting(kill("use_new_gateway"), &next_only);
    server.until("/healthz", None, |answer| answer.json()["status"] == "degraded");
    assert_eq!(version(&server.get(CLIENT)), 2);
}

/// A file system of its own, which is as small as it is said, that a process of ours sees alone.
#[test]
fn a_full_disk_takes_no_changes_and_serves_on() {
    let place = Place::published();
    let [dana] = place.tokens([("dana", Role::Operator, None)]);
    fs::create_dir(place.path("small")).expect("there is room for a folder");
    let mut command = Command::new("unshare");
    let script = "mount -t tmpfs -o size=256k none small && cp -a published/. small && exec \"$@\"";
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", env!("CARGO_BIN_EXE_flagstone")]);
    command.args(["serve", "--store", "small", "--keys", "keys.jwks", "--listen", "127.0.0.1:0"]);
    command.args(["--tokens", "tokens.json", "--key", "key.jwk"]);
    let server = place.serve_by(command);
    let good = server.get(CLIENT).body;
    let seen = place.path("small/filler");
    let seen = seen.strip_prefix("/").expect("it is absolute");
    let filler = PathBuf::from(format!("/proc/{}/root", server.child.id())).join(seen);
    let mut file = fs::File::create(&filler).expect("there is room for an empty file");
    while file.write_all(&[0; 512]).is_ok() {}
    drop(file);

    let kill = || {
        let path = format!("{ADMIN}/flags/use_new_gateway/kill");
        let authorization = format!("Bearer {dana}");
        server.ask("POST", &path, &[("authorization", &authorization)], Some(&json!({"reason": "Errors"})))
    };
    kill().refused(503, "store");
    assert!(place.log().contains("No space left on device"), "{}", place.log());
    assert_eq!(server.get(CLIENT).body, good);
    assert_eq!(server.get("/healthz").json()["status"], "ok", "it can be read");

    fs::remove_file(&filler).expect("it can be removed");
    let killed = kill();
    assert_eq!(killed.status, 200, "{}", killed.text());
    server.until(CLIENT, None, |answer| version(answer) == 2);
    let history = server.get_as(&format!("{ADMIN}/history"), &dana).json();
    assert_eq!(history["entries"].as_array().map(Vec::len), Some(2), "{history}");
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    fs::create_dir_all(to).expect("there is room for a folder");
    for entry in fs::read_dir(from).expect("it is a folder").map(|entry| entry.expect("it can be read")) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("it can be copied");
        }
    }
}

#[test]
fn whoever_sends_nonsense_is_refused_and_whoever_dawdles_is_let_go() {
    let place = Place::published();
    let [reader] = place.tokens([("shop", Role::Reader, None)]);
    let server = place.serve(&["--tokens", "tokens.json", "--head-timeout", "300ms", "--max-connections", "20"]);

    for path in [
        "/snapshots/../../etc/passwd",
        "/snapshots/production/../production/server.json",
        "//snapshots",
        "/snapshots/production%2fserver.json",
        "/snapshots/%2e%2e/client.json",
        "/snapshots/staging/client.json",
        "/snapshots/production/client.json/",
        "/snapshots/production%00/client.json",
        "/snapshots/production/current",
    ] {
        let answer = server.raw(format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes());
        assert!(answer.starts_with("HTTP/1.1 404") || answer.starts_with("HTTP/1.1 400"), "{path}: {answer}");
    }
    server.ask("DELETE", CLIENT, &[], None).refused(405, "method-not-allowed");

    let path = "/ofrep/v1/evaluate/flags";
    let authorization = format!("authorization: Bearer {reader}");
    let large = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{authorization}\r\ncontent-length: {}\r\n\r\n",
        10 << 20
    );
    // Told how much would come, it refuses before any of it does.
    let answer = server.raw(large.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    let answer = server.raw(&[large.as_bytes(), &vec![b' '; 1 << 20]].concat());
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 413"), "{answer}");
    let head = format!("GET / HTTP/1.1\r\nhost: x\r\nx-long: {}\r\n\r\n", "a".repeat(100_000));
    let answer = server.raw(head.as_bytes());
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");

    // As many as there is room for begin to ask, and never finish; everyone else waits until they are let go.
    let dawdlers: Vec<TcpStream> = (0..20)
        .map(|_| {
            let mut stream = server.connect();
            stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: ").expect("it can be sent");
            stream
        })
        .collect();
    assert_eq!(server.get("/healthz").status, 200);
    for mut stream in dawdlers {
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    }
}

#[test]
fn whoever_takes_nothing_of_what_is_sent_is_let_go() {
    let place = Place::published();
    let [reader] = place.tokens([("shop", Role::Reader, None)]);
    let server = place.serve(&["--tokens", "tokens.json", "--write-timeout", "300ms"]);
    let mut deaf = server.connect();
    // More than the system keeps for anyone.
    let request = format!("GET {CLIENT} HTTP/1.1\r\nhost: x\r\n\r\n");
    let mut asking = deaf.try_clone().expect("it can be shared");
    let asked = std::thread::spawn(move || asking.write_all(request.repeat(20_000).as_bytes()));
    let connections = |number: u32| {
        let line = format!("flagstone_http_connections {number}");
        move |answer: &Answer| answer.text().lines().any(|other| other == line)
    };
    server.until("/metrics", Some(&reader), connections(2));
    server.until("/metrics", Some(&reader), connections(1));
    let _ = asked.join();
    let mut rest = Vec::new();
    let _ = deaf.read_to_end(&mut rest);
}

#[test]
fn metrics_say_what_is_served() {
    let place = Place::published();
    let [reader] = place.tokens([("shop", Role::Reader, None)]);
    let server = place.serve(&["--tokens", "tokens.json"]);
    server.get("/metrics").refused(401, "token-missing");
    let stream = server.listen(STREAM);
    stream.recv_timeout(PATIENCE).expect("it says what there is");
    for _ in 0..3 {
        server.get(CLIENT);
    }
    let context = json!({"context": {"targetingKey": "internal-user-1"}});
    let authorization = format!("Bearer {reader}");
    let evaluated = server.ask(
        "POST",
        "/ofrep/v1/evaluate/flags/use_new_gateway",
        &[("authorization", &authorization)],
        Some(&context),
    );
    assert_eq!(evaluated.json()["value"], true);
    let answer = server.get_as("/metrics", &reader);
    assert!(answer.header("content-type").is_some_and(|kind| kind.starts_with("application/openmetrics-text")));
    let text = answer.text();
    for line in [
        r#"flagstone_http_requests_total{method="GET",route="/snapshots/{environment}/client.json",status="200"} 3"#,
        r#"flagstone_snapshot_version{environment="production"} 1"#,
        r#"flagstone_streams{environment="production"} 1"#,
        r#"flagstone_evaluations_total{environment="production",flag="use_new_gateway",variant="on",reason="TARGETING_MATCH"} 1"#,
        "# EOF",
    ] {
        assert!(text.lines().any(|other| other == line), "no {line}\n{text}");
    }
    assert!(text.contains("flagstone_snapshot_age_seconds{environment=\"production\"} "), "{text}");
    assert!(text.contains("flagstone_http_request_duration_seconds_bucket"), "{text}");
    assert!(!text.contains("internal-user-1"), "no ids");
}

const ADMIN: &str = "/admin/v1/environments/production";

/// Someone with a token.
struct Operating<'s> {
    server: &'s Serving,
    authorization: String,
    document: Value,
}

impl<'s> Operating<'s> {
    fn of(server: &'s Serving, token: &str) -> Operating<'s> {
        let document = server.get("/admin/v1/openapi.json").json();
        Operating { server, authorization: format!("Bearer {token}"), document }
    }

    fn ask(&self, method: &str, path: &str, tag: Option<&str>, body: Option<Value>) -> Answer {
        let mut headers = vec![("authorization", self.authorization.as_str())];
        headers.extend(tag.map(|tag| ("if-match", tag)));
        self.server.ask(method, path, &headers, body.as_ref())
    }

    /// Asks for what must be as the document says.
    #[track_caller]
    fn get(&self, path: &str, schema: &str) -> Value {
        let answer = self.ask("GET", path, None, None);
        assert_eq!(answer.status, 200, "{}", answer.text());
        self.conforms(&answer.json(), schema);
        answer.json()
    }

    /// Does what must succeed, and returns what is said of it.
    #[track_caller]
    fn change(&self, method: &str, path: &str, body: Value) -> Value {
        let answer = self.ask(method, &format!("{ADMIN}{path}"), None, Some(body));
        assert_eq!(answer.status, 200, "{}", answer.text());
        let changed = answer.json();
        self.conforms(&changed, "Changed");
        assert_eq!(answer.header("etag"), Some(&*format!("\"{}\"", changed["version"])));
        assert_eq!(changed["served"], true);
        changed
    }

    #[track_caller]
    fn conforms(&self, value: &Value, schema: &str) {
        let reference = format!("#/components/schemas/{schema}");
        let document = json!({"$ref": reference, "components": self.document["components"]});
        let validator = jsonschema::draft202012::new(&document).expect("it is a schema");
        let errors: Vec<_> = validator.iter_errors(value).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?}\n{value:#}");
    }

    fn explain(&self, flag: &str, user: &str) -> Value {
        let path = format!("{ADMIN}/flags/{flag}/explain");
        let answer = self.ask("POST", &path, None, Some(json!({"context": {"targetingKey": user}})));
        assert_eq!(answer.status, 200, "{}", answer.text());
        self.conforms(&answer.json(), "Explanation");
        answer.json()
    }
}

#[test]
fn operators_see_and_change_what_is_served() {
    let place = Place::published();
    let [dana, reader, admin] =
        place.tokens([("dana", Role::Operator, None), ("shop", Role::Reader, None), ("ana", Role::Admin, None)]);
    let server = place.serve(&["--tokens", "tokens.json", "--key", "key.jwk"]);
    let dana = Operating::of(&server, &dana);

    let before = dana.get(&format!("{ADMIN}/flags"), "Flags");
    assert_eq!((before["version"].as_u64(), before["flags"].as_array().map(Vec::len)), (Some(1), Some(4)));
    let gateway = |operating: &Operating| operating.get(&format!("{ADMIN}/flags/use_new_gateway"), "Flag");
    assert_eq!(gateway(&dana)["ramp"]["percent"], 25);

    // Percents.
    let changed = dana.change("PATCH", "/flags/use_new_gateway", json!({"reason": "Looks well", "percent": 50.5}));
    assert_eq!(changed["changes"][0]["after"], json!({"salt": "use_new_gateway-1", "percent": {"default": 50.5}}));
    assert_eq!(gateway(&dana)["ramp"]["percent"], 50.5);
    let again = dana.change("PATCH", "/flags/use_new_gateway", json!({"reason": "Once more", "percent": 50.5}));
    assert_eq!(
        (&again["changed"], &again["version"]),
        (&json!(false), &json!(2)),
        "nothing changed, nothing is written"
    );
    let rehearsed = json!({"reason": "What if", "percent": 90, "dryRun": true});
    assert_eq!(dana.ask("PATCH", &format!("{ADMIN}/flags/use_new_gateway"), None, Some(rehearsed)).status, 200);
    assert_eq!(gateway(&dana)["ramp"]["percent"], 50.5);

    // Who looked before somebody else changed it must look again; a kill need not.
    let path = format!("{ADMIN}/flags/use_new_gateway");
    let late = dana.ask("PATCH", &path, Some("\"1\""), Some(json!({"reason": "Up", "percent": 75})));
    let problem = late.refused(412, "overtaken");
    dana.conforms(&problem, "Problem");
    assert_eq!(problem["meanwhile"][0]["author"], "dana");
    let other = json!({"reason": "Another flag", "enabled": false});
    assert_eq!(dana.ask("PATCH", &format!("{ADMIN}/flags/theme"), Some("\"1\""), Some(other)).status, 200);
    dana.ask("PATCH", &path, Some("1"), Some(json!({"reason": "Up", "percent": 75}))).refused(400, "bad-request");
    let killed = dana.ask("POST", &format!("{path}/kill"), Some("\"1\""), Some(json!({"reason": "Errors"})));
    assert_eq!(killed.status, 200, "{}", killed.text());
    assert_eq!(gateway(&dana)["killed"]["author"], "dana");
    let explained = dana.explain("use_new_gateway", "internal-user-1");
    assert_eq!(
        (&explained["evaluation"]["reason"], &explained["evaluation"]["value"]),
        (&json!("DISABLED"), &json!(false))
    );

    // Restoring brings back exactly what was.
    dana.change("POST", "/flags/use_new_gateway/restore", json!({"reason": "Mended"}));
    let restored = gateway(&dana);
    assert_eq!((&restored["killed"], &restored["ramp"]["percent"]), (&Value::Null, &json!(50.5)));

    // Lists.
    dana.change("POST", "/flags/use_new_gateway/allow", json!({"reason": "QA", "keys": ["qa-1", 7]}));
    assert_eq!(dana.explain("use_new_gateway", "qa-1")["evaluation"]["value"], true);
    dana.change("POST", "/flags/use_new_gateway/deny", json!({"reason": "QA", "keys": ["qa-1"]}));
    assert_eq!(dana.explain("use_new_gateway", "qa-1")["evaluation"]["reason"], "TARGETING_MATCH");
    assert_eq!(dana.explain("use_new_gateway", "qa-1")["evaluation"]["value"], false);
    dana.change("POST", "/flags/use_new_gateway/unlist", json!({"reason": "QA", "keys": ["qa-1", "7"]}));
    dana.change("POST", "/flags/use_new_gateway/exclude", json!({"reason": "Crashes", "positions": [[0, 10]]}));
    dana.change("POST", "/flags/use_new_gateway/readmit", json!({"reason": "Mended"}));
    dana.change("POST", "/flags/use_new_gateway/reset", json!({"reason": "As defined"}));
    assert_eq!(gateway(&dana)["state"], Value::Null);

    // Many at once.
    dana.change("POST", "/kill", json!({"reason": "The provider is down", "tag": "gateway"}));
    assert_eq!(gateway(&dana)["killed"]["by"], "tag:gateway");
    dana.change("POST", "/restore", json!({"reason": "It is back", "tag": "gateway"}));
    dana.change("POST", "/kill", json!({"reason": "Everything burns", "all": true}));
    assert!(dana.get(&format!("{ADMIN}/flags"), "Flags")["killedAll"].is_object());
    dana.change("POST", "/restore", json!({"reason": "It does not", "all": true}));
    dana.ask("POST", &format!("{ADMIN}/kill"), None, Some(json!({"reason": "Which?"}))).refused(400, "bad-request");

    // Shares are estimated; the history says who did what.
    let stats = dana.get(&format!("{ADMIN}/flags/use_new_gateway/stats?users=20000"), "Stats");
    let on = stats["shares"].as_array().and_then(|shares| shares.iter().find(|share| share["variant"] == "on"));
    let percent = on.and_then(|share| share["percent"].as_f64()).expect("there is such a share");
    assert!((24.0..26.0).contains(&percent), "{stats}");
    let all = dana.get(&format!("{ADMIN}/stats"), "StatsOfAll");
    let keys: Vec<_> = all["flags"].as_array().into_iter().flatten().filter_map(|one| one["flag"].as_str()).collect();
    assert_eq!(keys, ["back_end_only", "limit", "theme", "use_new_gateway"]);
    assert_eq!(
        all["flags"][0]["shares"][1],
        json!({"variant": "on", "users": 1000, "percent": 100.0, "evaluations": 0})
    );
    let history = dana.get(&format!("{ADMIN}/history?flag=theme"), "History");
    let entries = history["entries"].as_array().expect("it is a list");
    let told: Vec<_> = entries.iter().map(|entry| (entry["author"].as_str(), entry["reason"].as_str())).collect();
    let everything = [(Some("dana"), Some("It does not")), (Some("dana"), Some("Everything burns"))];
    let own = [(Some("dana"), Some("Another flag")), (Some("ana@example.com"), Some("A test"))];
    assert_eq!(told, [everything, own].concat());
    let first = dana.get(&format!("{ADMIN}/history?limit=2"), "History");
    let rest = dana.get(&format!("{ADMIN}/history?before={}", first["next"]), "History");
    let whole = dana.get(&format!("{ADMIN}/history"), "History");
    let pages = [&first, &rest].map(|page| page["entries"].as_array().expect("it is a list").clone()).concat();
    assert_eq!(json!(pages), whole["entries"]);

    // Nonsense is refused, and says what is wrong.
    for (path, body, status, code) in [
        ("/flags/use_new_gatewya/kill", json!({"reason": "x"}), 404, "unknown"),
        ("/flags/use_new_gateway/kill", json!({}), 400, "bad-request"),
        ("/flags/use_new_gateway/kill", json!({"reason": " "}), 422, "refused"),
        ("/flags/use_new_gateway/kill", json!({"reason": "x", "resaon": "y"}), 400, "bad-request"),
        ("/flags/use_new_gateway/allow", json!({"reason": "x", "keys": []}), 422, "refused"),
        ("/flags/use_new_gateway/allow", json!({"reason": "x", "keys": ["a"], "variant": "no"}), 404, "unknown"),
        ("/flags/use_new_gateway/exclude", json!({"reason": "x", "positions": [[0, 101]]}), 400, "bad-request"),
    ] {
        let problem = dana.ask("POST", &format!("{ADMIN}{path}"), None, Some(body)).refused(status, code);
        dana.conforms(&problem, "Problem");
    }
    for body in
        [json!({"reason": "x", "percent": 101}), json!({"reason": "x", "percent": "50"}), json!({"reason": "x"})]
    {
        dana.ask("PATCH", &path, None, Some(body)).refused(400, "bad-request");
    }
    let problem = dana.ask("PATCH", &format!("{ADMIN}/flags/limit"), None, Some(json!({"reason": "x", "percent": 5})));
    problem.refused(422, "refused");

    // Readers read.
    let reader = Operating::of(&server, &reader);
    gateway(&reader);
    let refused = reader.ask("POST", &format!("{path}/kill"), None, Some(json!({"reason": "x"})));
    refused.refused(403, "role-too-low");
    let own = reader.get("/admin/v1/token", "Token");
    assert_eq!(own, json!({"name": "shop", "role": "reader", "environments": null, "expires": null}));
    dana.ask("GET", "/admin/v1/tokens", None, None).refused(403, "role-too-low");
    let tokens = Operating::of(&server, &admin).get("/admin/v1/tokens", "Tokens");
    assert_eq!(tokens["tokens"].as_array().map(Vec::len), Some(3));
    assert!(!tokens.to_string().contains("sha256"));
    let health = reader.get("/admin/v1/health", "Health");
    assert_eq!(health["environments"]["production"]["writes"], true);
    let log = place.log();
    assert!(!log.contains("qa-1") && !log.contains("internal-user-1"), "no ids in the log");
}

#[test]
fn the_admin_interface_is_as_its_document_says() {
    let place = Place::published();
    place.tokens([("dana", Role::Operator, None)]);
    let server = place.serve(&["--tokens", "tokens.json", "--key", "key.jwk"]);
    let document = server.get("/admin/v1/openapi.json").json();
    assert_eq!(document["openapi"], "3.1.0");
    let mut operations = 0;
    for (path, methods) in document["paths"].as_object().expect("it has paths") {
        let place = path.replace("{environment}", "production").replace("{flag}", "theme");
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            let answer = server.ask(method, &place, &[], Some(&json!({})).filter(|_| method != "GET"));
            match &methods[method.to_lowercase()] {
                Value::Null => assert_eq!(answer.status, 405, "{method} {path} is not documented"),
                operation if operation["security"] == json!([]) => assert_eq!(answer.status, 200, "{method} {path}"),
                operation => {
                    operations += 1;
                    assert_eq!(answer.status, 401, "no token, no {method} {path}");
                    assert!(operation["responses"]["401"].is_object() && operation["operationId"].is_string());
                }
            }
        }
    }
    assert!(operations > 15);
}

#[test]
fn a_server_without_a_key_changes_nothing() {
    let place = Place::published();
    let [dana] = place.tokens([("dana", Role::Operator, None)]);
    let server = place.serve(&["--tokens", "tokens.json"]);
    let dana = Operating::of(&server, &dana);
    let path = format!("{ADMIN}/flags/use_new_gateway/kill");
    let problem = dana.ask("POST", &path, None, Some(json!({"reason": "Errors"}))).refused(403, "no-signing-key");
    assert!(problem["detail"].as_str().unwrap_or_default().contains("--key"));
    assert_eq!(dana.get("/admin/v1/health", "Health")["environments"]["production"]["writes"], false);
}

#[test]
fn operators_can_have_an_address_of_their_own() {
    let place = Place::published();
    let [reader] = place.tokens([("shop", Role::Reader, None)]);
    let mut command = place.command(&[
        "serve",
        "--store",
        "published",
        "--keys",
        "keys.jwks",
        "--listen",
        "127.0.0.1:0",
        "--admin-listen",
        "127.0.0.1:0",
        "--tokens",
        "tokens.json",
    ]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().expect("it has an output")).lines();
    let mut url = || {
        let line = lines.next().expect("it says where it is").expect("in UTF-8");
        line.rsplit(' ').next().unwrap_or_default().to_owned()
    };
    let public = Serving { url: url(), child };
    for path in ["/", "/dashboard/", "/metrics", "/admin/v1/health", "/admin/v1/openapi.json"] {
        public.get_as(path, &reader).refused(404, "not-found");
    }
    let authorization = format!("Bearer {reader}");
    let admin = url();
    for path in ["/", "/dashboard/", "/metrics", "/admin/v1/health", "/healthz", STREAM] {
        let answer = ureq::get(format!("{admin}{path}")).header("authorization", &authorization).call();
        assert_eq!(answer.expect("it answers").status(), 200);
    }
    assert_eq!(public.get(CLIENT).status, 200);
}

#[test]
fn the_dashboard_is_served_and_shielded() {
    let place = Place::published();
    let server = place.serve(&[]);
    for path in ["/", "/dashboard"] {
        let answer = server.raw(format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes());
        assert!(answer.starts_with("HTTP/1.1 307"), "{answer}");
        assert!(answer.contains("location: dashboard/\r\n"), "{answer}");
    }
    let page = server.get("/dashboard/");
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert_eq!(page.body, fs::read("www/dashboard.html").expect("the page is there"));
    for (path, kind) in
        [("dashboard/main.js", "text/javascript; charset=utf-8"), ("base.css", "text/css; charset=utf-8")]
    {
        let answer = server.get(&format!("/dashboard/{path}"));
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(kind)));
        assert_eq!(answer.body, fs::read(format!("www/{path}")).expect("it is there"));
        for (name, value) in
            [("x-content-type-options", "nosniff"), ("cache-control", "no-cache"), ("referrer-policy", "no-referrer")]
        {
            assert_eq!(answer.header(name), Some(value), "{path}");
        }
        let policy = answer.header("content-security-policy").expect("there is a policy");
        for part in ["default-src 'none'", "script-src 'self';", "style-src 'self';", "frame-ancestors 'none'"] {
            assert!(policy.contains(part), "{policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");

        let etag = answer.header("etag").expect("it has an ETag").to_owned();
        let again = server.ask("GET", &format!("/dashboard/{path}"), &[("if-none-match", &etag)], None);
        assert_eq!((again.status, again.body.len(), again.header("etag")), (304, 0, Some(etag.as_str())));
        let other = server.ask("GET", &format!("/dashboard/{path}"), &[("if-none-match", "\"other\"")], None);
        assert_eq!(other.status, 200);
    }
    for path in
        ["../Cargo.toml", "..%2fCargo.toml", "dashboard", "dashboard.htm", "main.js", "server.mjs", "%2e%2e/x", "\\x"]
    {
        let head = format!("GET /dashboard/{path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        let answer = server.raw(head.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 404") || answer.starts_with("HTTP/1.1 400"), "{path}: {answer}");
    }
    server.ask("POST", "/dashboard/", &[], None).refused(405, "method-not-allowed");
}

#[test]
fn runbooks_that_there_are_already_work() {
    let place = Place::new();
    fs::remove_file(place.path("flags/flags.yaml")).expect("it is there");
    for entry in fs::read_dir("tests/rollouts/definitions").expect("there are definitions").map(Result::unwrap) {
        fs::copy(entry.path(), place.path("flags").join(entry.file_name())).expect("it can be copied");
    }
    place.publish("production");
    place.write("aliases.json", include_str!("rollouts/aliases.json"));
    let [dana] = place.tokens([("dana", Role::Operator, None)]);
    let server = place.serve(&["--tokens", "tokens.json", "--key", "key.jwk", "--aliases", "aliases.json"]);
    let dana = Operating::of(&server, &dana);
    let flag = |key: &str| dana.get(&format!("{ADMIN}/flags/{key}"), "Flag");

    // The gateway's.
    let disable = "/admin/feature-flags/use_new_gateway/disable";
    server.ask("POST", disable, &[], None).refused(401, "token-missing");
    assert_eq!(dana.ask("POST", disable, None, None).status, 200);
    let gateway = flag("use_new_gateway");
    assert_eq!((&gateway["enabled"], &gateway["ramp"]["percent"]), (&json!(false), &json!(0)));
    let history = dana.get(&format!("{ADMIN}/history?limit=1"), "History");
    assert_eq!(history["entries"][0]["reason"], "POST /admin/feature-flags/{flag}/disable");
    dana.ask("POST", "/admin/feature-flags/no_such_flag/disable", None, None).refused(404, "unknown");

    // The calls'.
    let patch = |body: Value| dana.ask("PATCH", "/api/v1/admin/feature-flags", None, Some(body));
    assert_eq!(patch(json!({"outboundCallsPercentage": 10})).status, 200);
    assert_eq!(flag("outboundCalls")["ramp"]["percent"], 10);
    assert_eq!(patch(json!({"outboundCallsEnabled": false, "reason": "Costs"})).status, 200);
    assert_eq!(flag("outboundCallsEnabled")["enabled"], false);
    assert_eq!(dana.get(&format!("{ADMIN}/history?limit=1"), "History")["entries"][0]["reason"], "Costs");
    for body in [json!({"outboundCallsPercentage": "NaN"}), json!({"outboundCalsPercentage": 10}), json!({})] {
        patch(body).refused(400, "bad-request");
    }

    // The WebSockets'.
    let configure = json!({"migration_mode": "full", "legacy_fallback": false});
    assert_eq!(dana.ask("POST", "/api/websocket-admin/configure", None, Some(configure)).status, 200);
    assert_eq!(flag("websocketUnified")["ramp"]["percent"], 100);
    assert_eq!(flag("websocketLegacyFallback")["enabled"], false);
    let user = dana.ask("GET", "/api/websocket-admin/user/user-42", None, None);
    assert_eq!(user.json()["evaluation"]["value"], true);
    assert_eq!(dana.ask("POST", "/api/websocket-admin/emergency-rollback", None, None).status, 200);
    assert_eq!(dana.ask("GET", "/api/websocket-admin/user/user-42", None, None).json()["evaluation"]["value"], false);
    let stats = dana.ask("GET", "/api/websocket/stats", None, None).json();
    assert_eq!(stats["shares"][0], json!({"variant": "off", "users": 10_000, "percent": 100.0, "evaluations": 0}));
    assert_eq!(dana.ask("GET", "/api/websocket-admin/health", None, None).json()["status"], "ok");
    assert!(!place.log().contains("user-42"), "no ids in the log");

    // What cannot be a route is said at the start.
    for (alias, message) in [
        (json!({"method": "GET", "path": "/x", "do": "kill", "flag": "a"}), "GET changes nothing"),
        (json!({"method": "POST", "path": "/metrics", "do": "kill", "flag": "a"}), "the server's own"),
        (json!({"method": "POST", "path": "/x/{*rest}", "do": "kill", "flag": "a"}), "cannot be a part of a path"),
        (json!({"method": "POST", "path": "/x", "do": "kill"}), "name the `flag`"),
        (json!({"method": "POST", "path": "/x", "do": "explode", "flag": "a"}), "unknown variant"),
    ] {
        place.write("aliases.json", &json!([alias]).to_string());
        let arguments = ["serve", "--store", "published", "--keys", "keys.jwks", "--aliases", "aliases.json"];
        let output = place.command(&arguments).output().expect("it starts");
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{error}");
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn environment_variables_pin_flags_where_the_server_evaluates() {
    let place = Place::published();
    place.write("variables.json", r#"[{"variable": "GATEWAY_PERCENT", "flag": "use_new_gateway", "sets": "percent"}]"#);
    let options = ["--public-evaluation", "--variables", "variables.json"];
    let bare = place.serve(&["--public-evaluation"]);
    let server = place.serve_with(&options, &[("GATEWAY_PERCENT", "100"), ("FLAGSTONE_PIN_BACK_END_ONLY", "off")]);
    let ask = |server: &Serving| {
        let context = json!({"context": {"targetingKey": "user-1"}});
        server.ask("POST", "/ofrep/v1/evaluate/flags/use_new_gateway", &[], Some(&context)).json()
    };
    let pinned = ask(&server);
    assert_eq!((&pinned["value"], &pinned["metadata"]["pinnedBy"]), (&json!(true), &json!("GATEWAY_PERCENT")));
    assert_eq!(ask(&bare)["metadata"].get("pinnedBy"), None);
    assert_eq!(server.get(CLIENT).body, bare.get(CLIENT).body, "snapshots are served as they were signed");
    // A kill still reaches it.
    place.operate(kill("use_new_gateway"));
    server.until(CLIENT, None, |answer| version(answer) == 2);
    assert_eq!(ask(&server)["reason"], "DISABLED");

    for (variable, value, message) in [
        ("GATEWAY_PERCENT", "NaN", "a percent from 0 to 100"),
        ("FLAGSTONE_PIN_THEME", "drak", "expected `dark`, `light`"),
        ("FLAGSTONE_PIN_TEHME", "dark", "pins no flag"),
    ] {
        let fixed = ["serve", "--store", "published", "--keys", "keys.jwks", "--listen", "127.0.0.1:0"];
        let output = place.command(&[&fixed, &options[1..]].concat()).env(variable, value).output();
        let output = output.expect("the command starts");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(matches!(output.status.code(), Some(2 | 3)), "{error}");
        assert!(error.contains(variable) && error.contains(message), "{error}");
    }
}

#[test]
fn any_number_of_servers_share_a_log() {
    let place = Place::published();
    let [dana] = place.tokens([("dana", Role::Operator, None)]);
    let arguments = ["--tokens", "tokens.json", "--key", "key.jwk"];
    let servers = [place.serve(&arguments), place.serve(&arguments), place.serve(&arguments)];
    let streams = servers.each_ref().map(|server| server.listen(STREAM));
    for stream in &streams {
        assert_eq!(stream.recv_timeout(PATIENCE).expect("it says what there is")["version"], 1);
    }
    // All at once, each about another flag; none is lost.
    let flags = ["use_new_gateway", "theme", "back_end_only"];
    std::thread::scope(|scope| {
        for (server, flag) in servers.iter().zip(flags) {
            let dana = Operating::of(server, &dana);
            scope.spawn(move || dana.change("POST", &format!("/flags/{flag}/kill"), json!({"reason": "Errors"})));
        }
    });
    for (server, stream) in servers.iter().zip(&streams) {
        while stream.recv_timeout(PATIENCE).expect("it says what is new")["version"] != 4 {}
        let flags = Operating::of(server, &dana).get(&format!("{ADMIN}/flags"), "Flags");
        let killed = flags["flags"].as_array().expect("it is a list").iter().filter(|flag| flag["killed"].is_object());
        assert_eq!(killed.count(), 3);
    }
}

#[test]
fn what_expired_is_served_on_and_said_to_have() {
    let place = Place::new();
    // Whether it has is for whoever loads it to judge: this machine's clock may have jumped.
    let key = SigningKey::from_jwk(&fs::read(place.path("key.jwk")).expect("there is a key")).expect("it is one");
    let log = place.operator("production", &TrustedKeys::default()).log().clone();
    let operator = Operator::new(log, vec![key], Duration::from_secs(1));
    let long_ago = flagstone::Timestamp::now().plus_millis(-86_400_000);
    let request = Request { now: long_ago, ..Request::new("ana@example.com", "Long ago") };
    let definitions = Definitions::read(&[Source::new("flags.yaml", DEFINITIONS)]).expect("they are in order");
    block_on(operator.publish(&Publication::of(definitions), &request)).expect("they can be published");
    let server = place.serve(&["--public-evaluation"]);
    assert_eq!(version(&server.get(CLIENT)), 1);
    let health = server.get("/healthz");
    assert_eq!((health.status, &health.json()["status"]), (200, &json!("degraded")));
    assert!(health.text().contains("expired"), "{}", health.text());
    let context = json!({"context": {"targetingKey": "user-42"}});
    let evaluated = server.ask("POST", "/ofrep/v1/evaluate/flags/limit", &[], Some(&context)).json();
    assert_eq!((&evaluated["value"], &evaluated["reason"]), (&json!(12.5), &json!("STALE")));
}

#[test]
fn tokens_are_shown_once() {
    let place = Place::published();
    let make = |arguments: &[&str]| {
        let fixed = ["token", "--file", "tokens.json"];
        let output = place.command(&[&fixed, arguments].concat()).output().expect("the command starts");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it is text");
        (output.status.code(), text(output.stdout).trim().to_owned(), text(output.stderr))
    };
    let (code, dana, _) = make(&["--name", "dana", "--role", "operator"]);
    assert_eq!(code, Some(0));
    let (_, short, _) = make(&["--name", "short", "--role", "reader", "--expires", "1ms"]);
    let (code, nothing, error) = make(&["--name", "dana", "--role", "reader"]);
    assert_eq!((code, nothing.as_str()), (Some(1), ""), "{error}");
    assert!(error.contains("already"), "{error}");
    assert_eq!(make(&["--name", "eve", "--role", "root"]).0, Some(2));
    let file = fs::read_to_string(place.path("tokens.json")).expect("there is a file");
    let mode = fs::metadata(place.path("tokens.json")).expect("there is a file").permissions();
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777,
        0o600,
        "written anew it is as private as it was"
    );
    assert!(!file.contains(&dana) && !file.contains(&short));
    let server = place.serve(&["--tokens", "tokens.json"]);
    assert_eq!(server.get_as(SERVER, &dana).status, 200);
    server.get_as(SERVER, &short).refused(401, "wrong-token");

    place.write("tokens.json", r#"{"tokens": [{"name": "dana", "role": "operator", "sha256": "secret"}]}"#);
    let arguments = ["serve", "--store", "published", "--keys", "keys.jwks", "--tokens", "tokens.json"];
    let output = place.command(&arguments).output().expect("the command starts");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3));
    assert!(error.contains("tokens.json") && error.contains("no SHA-256"), "{error}");
}

#[test]
fn client_snapshots_are_renewed_in_time() {
    let place = Place::published();
    // They were published for seven days, and a server that wants eight weeks finds less than half of it left.
    let server = place.serve(&["--key", "key.jwk", "--expires", "8w"]);
    let renewed = server.until(CLIENT, None, |answer| version(answer) == 2);
    let envelope = Envelope::parse(&renewed.body).expect("it is an envelope");
    assert!(
        flagstone::Snapshot::from_payload(envelope.unverified_payload()).expect("it is a snapshot").expires().is_some()
    );
    assert_eq!(version(&server.get(CLIENT)), 2, "once is enough");
}

/// As many streams as `FLAGSTONE_STREAMS` says (50) see a kill that another process writes. `make soak` has a thousand, and
/// shows how long it took.
#[test]
fn every_stream_hears_of_a_kill_by_another_process() {
    let place = Place::published();
    let server = place.serve(&[]);
    let streams: usize = std::env::var("FLAGSTONE_STREAMS").ok().and_then(|n| n.parse().ok()).unwrap_or(50);
    let address = server.url.trim_start_matches("http://").to_owned();
    let operator = place.operator("production", &TrustedKeys::default());
    let took = block_on(async {
        use tokio::io::{AsyncBufReadExt, AsyncWriteExt};

        let (ready, mut are_ready) = tokio::sync::mpsc::channel::<()>(streams);
        let mut clients = tokio::task::JoinSet::new();
        for _ in 0..streams {
            let (address, ready) = (address.clone(), ready.clone());
            clients.spawn(async move {
                let mut stream = tokio::net::TcpStream::connect(address).await.expect("it listens");
                let request = format!("GET {STREAM} HTTP/1.1\r\nhost: x\r\n\r\n");
                stream.write_all(request.as_bytes()).await.expect("it can be sent");
                let mut lines = tokio::io::BufReader::new(stream).lines();
                while let Some(line) = lines.next_line().await.expect("the stream goes on") {
                    if line.contains(r#""version":1"#) {
                        ready.send(()).await.expect("somebody counts");
                    } else if line.contains(r#""version":2"#) {
                        return Instant::now();
                    }
                }
                panic!("the stream ended");
            });
        }
        for _ in 0..streams {
            tokio::time::timeout(PATIENCE, are_ready.recv()).await.expect("all are told what there is");
        }
        let begun = Instant::now();
        let request = Request::new("dana@example.com", "Errors at checkout");
        operator.apply(&[kill("use_new_gateway")], &request).await.expect("it can be killed");
        let written = begun.elapsed();
        let heard = tokio::time::timeout(PATIENCE, clients.join_all()).await.expect("all hear of it");
        let mut took: Vec<Duration> = heard.into_iter().map(|at| at - begun).collect();
        took.sort_unstable();
        println!("{streams} streams, killed by another process; the write took {written:.1?}");
        took
    });
    assert_eq!(took.len(), streams);
    for (name, part) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0)] {
        let index = ((streams as f64 * part).ceil() as usize).clamp(1, streams) - 1;
        println!("  {name:>4} heard after {:.1?}", took[index]);
    }
}

#[test]
fn rollouts_are_seen_and_steered() {
    let place = Place::new();
    let plan = "
rollouts:
  gateway:
    flags: [use_new_gateway]
    roles: {product: [ana]}
    triggers: [{signal: criticalBug, do: hold}]
    steps:
      - {name: prepared, requires: [{attestation: dashboard ready}, {approval: product}]}
      - {percent: 10, soak: 2d}
      - {percent: 50, soak: 1d}
";
    // A rollout's flag starts at nobody and has people on its list all the same.
    place.write("flags/flags.yaml", &DEFINITIONS.replace("percent: 25", "percent: 0"));
    place.write("flags/rollouts.yaml", plan);
    place.publish("production");
    let [ana, dana, reader] =
        place.tokens([("ana", Role::Operator, None), ("dana", Role::Operator, None), ("shop", Role::Reader, None)]);
    let server = place.serve(&["--tokens", "tokens.json", "--key", "key.jwk"]);
    let (ana, dana) = (Operating::of(&server, &ana), Operating::of(&server, &dana));
    let reader = Operating::of(&server, &reader);
    let status = || reader.get(&format!("{ADMIN}/rollouts/gateway"), "RolloutStatus");
    let kinds = || -> Vec<String> {
        let status = status();
        let blockers = status["blockers"].as_array().expect("a list");
        blockers.iter().map(|blocker| blocker["kind"].as_str().expect("a text").to_owned()).collect()
    };
    let refused = |operating: &Operating, verb: &str, body: Value, status: u16, text: &str| {
        let answer = operating.ask("POST", &format!("{ADMIN}/rollouts/gateway/{verb}"), None, Some(body));
        assert_eq!(answer.status, status, "{}", answer.text());
        assert!(answer.text().contains(text), "{}", answer.text());
    };
    let why = || json!({"reason": "So it is"});

    assert_eq!((&status()["mode"], &status()["at"]), (&json!("disabled"), &Value::Null));
    refused(&dana, "resume", why(), 422, "`start` begins it");
    refused(&reader, "start", why(), 403, "");
    dana.change("POST", "/rollouts/gateway/start", json!({"reason": "All is ready", "dryRun": false}));
    assert_eq!(kinds(), ["attestation", "approval"]);
    assert_eq!((&status()["mode"], &status()["progress"]["last"]["author"]), (&json!("testing"), &json!("dana")));
    assert_eq!(dana.explain("use_new_gateway", "internal-user-1")["evaluation"]["variant"], "on");

    refused(&dana, "advance", why(), 422, "and not to dana");
    refused(&dana, "attest", json!({"reason": "x", "what": "dashbord ready"}), 422, "it asks for");
    ana.change("POST", "/rollouts/gateway/advance", json!({"reason": "Go", "role": "product"}));
    dana.change("POST", "/rollouts/gateway/attest", json!({"reason": "Seen it", "what": "dashboard ready"}));
    assert_eq!((kinds(), &status()["verdict"]), (vec![], &json!("advance")));

    // A freeze, a signal, a kill by hand: each keeps it where it is and says so.
    dana.change("POST", "/freeze", json!({"reason": "Holidays", "until": "2100-01-01T00:00:00Z"}));
    assert_eq!(kinds(), ["freeze"]);
    dana.change("POST", "/unfreeze", why());
    dana.change("POST", "/rollouts/gateway/signal", json!({"reason": "Calls drop", "signal": "criticalBug"}));
    assert_eq!(status()["verdict"], "hold");
    refused(&dana, "signal", json!({"reason": "x", "signal": "criticlBug"}), 422, "there are criticalBug");
    dana.change("POST", "/rollouts/gateway/clear", json!({"reason": "They do not", "signal": "criticalBug"}));
    dana.change("PATCH", "/flags/use_new_gateway", json!({"reason": "By hand", "percent": 4}));
    assert_eq!(kinds(), ["changed"]);
    dana.change("POST", "/rollouts/gateway/resume", why());
    assert_eq!(kinds(), Vec::<String>::new());

    // A rollback takes everyone off, whatever list they are on; a retry begins again.
    refused(&dana, "rollback", json!({"reason": "x", "emergency": true, "to": "previous"}), 400, "no other way back");
    refused(&dana, "rollback", json!({"reason": "x", "to": 30}), 422, "a rollback goes down");
    dana.change("POST", "/rollouts/gateway/rollback", json!({"reason": "Errors", "emergency": true}));
    assert_eq!(dana.explain("use_new_gateway", "internal-user-1")["evaluation"]["variant"], "off");
    let incident = status()["progress"]["incident"].clone();
    assert_eq!((&incident["severity"], &incident["reason"]), (&json!("critical"), &json!("Errors")));
    refused(&dana, "resume", why(), 422, "`retry` begins it again");
    dana.change("POST", "/rollouts/gateway/retry", json!({"reason": "Fixed"}));
    assert_eq!(dana.explain("use_new_gateway", "internal-user-1")["evaluation"]["variant"], "on");

    // Alertmanager's webhook raises a signal while an alert fires, and clears it.
    let alert = |status: &str, rollout: &str| {
        let labels = json!({"alertname": "criticalBug", "flagstone_rollout": rollout});
        let body = json!({"version": "4", "alerts": [{"status": status, "labels": labels}]});
        let answer = dana.ask("POST", &format!("{ADMIN}/alerts"), None, Some(body));
        assert_eq!(answer.status, 200, "{}", answer.text());
        dana.conforms(&answer.json(), "Signals");
        answer.json()["signals"][0]["refused"].clone()
    };
    assert_eq!(alert("firing", "gateway"), Value::Null);
    let raised = status()["version"].clone();
    assert_eq!(
        (alert("firing", "gateway"), &status()["version"]),
        (Value::Null, &raised),
        "it says so again and again"
    );
    assert_eq!(status()["progress"]["signals"]["criticalBug"]["author"], "dana");
    assert_eq!(alert("resolved", "gateway"), Value::Null);
    assert_eq!(status()["progress"]["signals"], Value::Null);
    assert!(alert("firing", "gatewy").as_str().is_some_and(|refused| refused.contains("did you mean")));
    assert_eq!(reader.ask("POST", &format!("{ADMIN}/alerts"), None, Some(json!({}))).status, 403);

    // A cohort goes, the others stay.
    let cohort = json!({"reason": "Their client is broken", "cohort": {"keys": ["internal-user-1"]}});
    dana.change("POST", "/rollouts/gateway/rollback", cohort);
    assert_eq!(dana.explain("use_new_gateway", "internal-user-1")["evaluation"]["variant"], "off");
    assert_eq!((status()["progress"]["phase"].as_str(), kinds()), (Some("held"), vec!["held".to_owned()]));

    let page = |query: &str| reader.get(&format!("{ADMIN}/rollouts/gateway/decisions{query}"), "Decisions");
    let all = page("");
    let what = |page: &Value| -> Vec<String> {
        let decisions = page["decisions"].as_array().expect("a list").iter();
        decisions.map(|entry| entry["decision"]["what"].as_str().expect("a text").to_owned()).collect()
    };
    assert_eq!(
        what(&all),
        [
            "cohortRolledBack",
            "cleared",
            "signalled",
            "retried",
            "rolledBack",
            "resumed",
            "cleared",
            "signalled",
            "attested",
            "approved",
            "started"
        ]
    );
    let first = page("?limit=4");
    let second = page(&format!("?limit=50&before={}", first["next"]));
    assert_eq!([what(&first), what(&second)].concat(), what(&all));
    let list = reader.get(&format!("{ADMIN}/rollouts"), "Rollouts");
    assert_eq!((&list["rollouts"][0]["rollout"], &list["frozen"]), (&json!("gateway"), &Value::Null));
    assert_eq!(reader.ask("GET", &format!("{ADMIN}/rollouts/none"), None, None).status, 404);
}
