//! `flagstone rollout run` as a process: killed at any instant, several at once, and whom it tells of what it does.
#![cfg(feature = "control")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdout, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use flagstone::Timestamp;
use flagstone::controller::{AlertSignal, Prometheus, signals};
use flagstone::rollout::{CONTROLLER, Part, Period, Phase, Progress, Question, Severity, To, Transition, Verb};
use flagstone::snapshot::definitions::{Definitions, Source};
use flagstone::snapshot::{SigningKey, TrustedKeys};
use flagstone::store::{Log, Operation, Operator, Publication, Record, Request, Target};
use serde_json::Value;

/// Far longer than anything takes; what waits for so long has failed.
const PATIENCE: Duration = Duration::from_secs(120);

/// So many steps of a tenth of a percent, as fast as they go.
fn plan(steps: usize) -> String {
    let to = steps as f64 / 10.0;
    format!(
        "
flags:
  use_new_gateway: {{salt: use_new_gateway-1, default: {{ramp: {{percent: 0, serve: on}}}}}}
rollouts:
  gateway:
    flags: [use_new_gateway]
    triggers: [{{signal: criticalBug}}]
    steps: [{{series: {{from: 0.1, to: {to}, by: [{{add: 0.1}}]}}, soak: 20ms}}]
"
    )
}

/// What the step of a number is called, from 1.
fn step(number: usize) -> String {
    format!("{}%", number as f64 / 10.0)
}

/// As many rounds as `make soak` does where it is that which runs, or as few as `make test` has time for.
fn rounds(soak: usize, test: usize) -> usize {
    if std::env::var_os("FLAGSTONE_SOAK").is_some() { soak } else { test }
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// A log to which a plan is published.
struct Place {
    folder: tempfile::TempDir,
    operator: Operator,
}

impl Place {
    fn new(definitions: &str) -> Place {
        let folder = tempfile::tempdir().unwrap();
        let key = SigningKey::generate(None, ["production"]).unwrap();
        fs::write(folder.path().join("key.jwk"), &*key.to_jwk()).unwrap();
        let store = folder.path().join("published").display().to_string();
        let log = Log::create(&store, "production", TrustedKeys::from_iter([key.public()])).unwrap();
        let place = Place { folder, operator: Operator::new(log, vec![key], Duration::from_secs(604_800)) };
        let definitions = Definitions::read(&[Source::new("flags.yaml", definitions)]).unwrap();
        let request = Request::new("ana", "A test");
        block_on(place.operator.publish(&Publication::of(definitions), &request)).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    #[track_caller]
    fn apply(&self, operation: Operation) {
        block_on(self.operator.apply(&[operation], &Request::new("dana", "Because & <so>"))).unwrap();
    }

    fn verb(&self, verb: Verb) {
        self.apply(Operation::Rollout { name: "gateway".to_owned(), verb });
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flagstone"));
        let fixed = ["rollout", "run", "--environment", "production", "--store", "published", "--key", "key.jwk"];
        command.current_dir(self.folder.path()).args(fixed).args(arguments).stdin(Stdio::null());
        command
    }

    /// A controller that looks as often as it can. It runs already.
    fn run(&self, arguments: &[&str]) -> Running {
        self.spawn(&mut self.command(arguments)).ready()
    }

    fn spawn(&self, command: &mut Command) -> Running {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.path("log")).unwrap();
        command.args(["--interval", "20ms", "--poll", "20ms"]).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        Running { child, said, metrics: String::new() }
    }

    fn said(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.path("log")).unwrap_or_default();
        // A process that is killed may leave half a line.
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// All that the log holds, oldest first.
    fn history(&self) -> Vec<Record> {
        let mut records = block_on(async {
            let mut records = Vec::new();
            let mut history = self.operator.log().history().await.unwrap();
            while let Some(record) = history.next().await.unwrap() {
                records.push(record);
            }
            records
        });
        records.reverse();
        records
    }

    fn progress(&self) -> Progress {
        let head = block_on(self.operator.log().head()).unwrap().unwrap();
        head.contents().unwrap().1.rollouts["gateway"].clone()
    }

    #[track_caller]
    fn wait_for(&self, what: &str, holds: impl Fn(&Progress) -> bool) -> Progress {
        let begun = Instant::now();
        loop {
            let progress = self.progress();
            if holds(&progress) {
                return progress;
            }
            assert!(begun.elapsed() < PATIENCE, "{what}: {progress:?}\n{:#?}", self.said());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until it is known from when on so many destinations are to be told.
    fn wait_until_it_tells(&self, destinations: usize) {
        let begun = Instant::now();
        let bookmarks = self.path("published/production/bookmarks");
        while fs::read_dir(&bookmarks).map_or(0, Iterator::count) < destinations {
            assert!(begun.elapsed() < PATIENCE);
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// What happened to the rollout, oldest first: each entry that changed it, with the one before.
    fn passages(&self) -> Vec<Progress> {
        let mut passages: Vec<Progress> = Vec::new();
        for record in self.history() {
            let (_, state) = record.contents().unwrap();
            if let Some(progress) = state.rollouts.get("gateway").filter(|progress| passages.last() != Some(progress)) {
                passages.push(progress.clone());
            }
        }
        block_on(self.operator.log().verify()).unwrap();
        passages
    }

    /// Every step was taken once, in order, and nothing besides.
    #[track_caller]
    fn took_each_step_once(&self, passages: &[Progress]) {
        for (place, progress) in passages.iter().enumerate() {
            assert_eq!(progress.step, Some(step(place + 1)), "{passages:#?}");
            let expected = if place == 0 { Transition::Started } else { Transition::Advanced };
            assert_eq!((progress.last.what, progress.phase), (expected, Phase::Running));
        }
        let by_controller = self.history().iter().filter(|record| record.entry.author == CONTROLLER).count();
        assert!(by_controller >= passages.len() - 1);
    }
}

struct Running {
    child: Child,
    said: BufReader<ChildStdout>,
    /// Where its metrics are.
    metrics: String,
}

impl Running {
    /// Waits until it runs.
    fn ready(mut self) -> Running {
        let mut line = String::new();
        while !line.starts_with("running") {
            line.clear();
            assert_ne!(self.said.read_line(&mut line).unwrap(), 0, "it ended");
            if let Some(("metrics", url)) = line.trim().split_once(" at ") {
                self.metrics = url.to_owned();
            }
        }
        self
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end, and waits until it has.
    fn end(&mut self) {
        assert!(Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Takes notices, and refuses or forgets as it is told.
struct Receiver {
    url: String,
    received: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Receiver {
    /// `status` says what to answer to the request of a number.
    fn new(status: impl Fn(usize) -> u16 + Send + 'static) -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hook/s3cret", listener.local_addr().unwrap());
        let received = Arc::new(Mutex::new(Vec::new()));
        let to = received.clone();
        std::thread::spawn(move || {
            let mut number = 0;
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let Some(request) = request(&mut stream) else { continue };
                let status = status(number);
                number += 1;
                let _ = write!(stream, "HTTP/1.1 {status} So\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                if status == 200 {
                    to.lock().unwrap().push(request);
                }
            }
        });
        Receiver { url, received }
    }

    fn received(&self) -> Vec<(String, Value)> {
        self.received.lock().unwrap().clone()
    }

    #[track_caller]
    fn wait_for(&self, what: &str, holds: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let begun = Instant::now();
        loop {
            let bodies: Vec<Value> = self.received().into_iter().map(|(_, body)| body).collect();
            if holds(&bodies) {
                return bodies;
            }
            assert!(begun.elapsed() < PATIENCE, "{what}: {bodies:#?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// The head and the body of a request; none from one who was killed in the middle of it.
fn request(stream: &mut TcpStream) -> Option<(String, Value)> {
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(number) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
            length = number.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((head, serde_json::from_slice(&body).unwrap()))
}

fn signal() -> Verb {
    Verb::Signal { name: "criticalBug".to_owned() }
}

#[test]
fn killed_at_any_instant_it_takes_no_step_twice_and_tells_of_each() {
    let steps = rounds(600, 60);
    let place = Place::new(&plan(steps));
    let receiver = Receiver::new(|number| if number % 7 == 3 { 503 } else { 200 });
    let arguments = ["--notify", receiver.url.as_str()];
    // So that it is known from when on to tell.
    assert!(place.command(&[&arguments[..], &["--once"]].concat()).status().unwrap().success());
    place.verb(Verb::Start);
    let mut kills = 0;
    let mut delay = 0;
    while kills < rounds(200, 20) && place.progress().phase == Phase::Running {
        let mut controller = place.spawn(&mut place.command(&arguments));
        delay = (delay + 37) % 150;
        std::thread::sleep(Duration::from_millis(delay));
        controller.kill();
        kills += 1;
    }
    let mut controller = place.run(&arguments);
    place.wait_for("it goes on to the end", |progress| progress.phase == Phase::Completed);
    let passages = place.passages();
    let completed = passages.last().unwrap();
    assert_eq!((completed.last.what, passages.len()), (Transition::Completed, steps + 1), "the steps, and the end");
    place.took_each_step_once(&passages[..steps]);

    let bodies = receiver.wait_for("all is told", |bodies| {
        bodies.iter().any(|event| event["type"] == "dev.flagstone.rollout.completed.v1")
    });
    controller.end();
    let mut seen = BTreeSet::new();
    let told: Vec<&Value> =
        bodies.iter().filter(|event| seen.insert(event["id"].as_str().unwrap().to_owned())).collect();
    let told: Vec<String> = told.iter().map(|event| event["data"]["step"].as_str().unwrap().to_owned()).collect();
    let expected: Vec<String> = (1..=steps).chain([steps]).map(step).collect();
    assert_eq!(told, expected, "each in order, repetitions apart");
    println!("{kills} kills, {} notices of {} events", bodies.len(), told.len());
}

#[test]
fn several_at_once_take_each_step_once() {
    let place = Place::new(&plan(60));
    place.verb(Verb::Start);
    let _controllers: Vec<Running> = (0..3).map(|_| place.run(&[])).collect();
    place.wait_for("they go on to the end", |progress| progress.phase == Phase::Completed);
    let passages = place.passages();
    assert_eq!(passages.len(), 61);
    place.took_each_step_once(&passages[..60]);
    // What they say that they decided is what the log says; two that decide in the same millisecond make one and the same entry.
    let decided: BTreeSet<u64> = place.said().iter().filter_map(|line| line["version"].as_u64()).collect();
    assert_eq!(decided, (3..=62).collect(), "59 steps and the end");
}

#[test]
fn no_rollback_is_lost() {
    for round in 0..rounds(100, 6) {
        let place = Place::new(&plan(60));
        place.verb(Verb::Start);
        let mut controllers: Vec<Running> = (0..2).map(|_| place.run(&[])).collect();
        let some = step(2 + round % 5);
        place.wait_for("it goes on", |progress| progress.step.as_ref() > Some(&some));
        // By hand, or by a signal that a controller must act upon, of which one is killed.
        if round % 2 == 0 {
            place.verb(Verb::Rollback { to: To::Zero, severity: Severity::Critical });
        } else {
            place.verb(signal());
        }
        controllers[0].kill();
        let progress = place.wait_for("it is turned back", |progress| progress.phase == Phase::RolledBack);
        assert_eq!(progress.incident.as_ref().unwrap().rollback_triggered, round % 2 == 1);
        let versions = place.history().len();
        std::thread::sleep(Duration::from_millis(100));
        assert_eq!(place.history().len(), versions, "nothing comes after it");
        let passages = place.passages();
        let back = passages.iter().filter(|progress| progress.phase == Phase::RolledBack).count();
        assert_eq!(back, 1, "it is turned back once: {passages:#?}");
        let (_, state) = place.history().pop().unwrap().contents().unwrap();
        assert!(state.flags["use_new_gateway"].killed.is_some());
    }
}

/// As the server does with what Alertmanager posts.
#[test]
fn an_alert_turns_a_rollout_back() {
    let place = Place::new(&plan(60).replace("20ms", "1d"));
    place.verb(Verb::Start);
    let _controller = place.run(&[]);
    let alert = |status: &str| {
        let labels = r#"{"alertname": "CallsDrop", "flagstone_rollout": "gateway", "flagstone_signal": "criticalBug"}"#;
        let alert =
            format!(r#"{{"status": "{status}", "labels": {labels}, "annotations": {{"summary": "Calls drop"}}}}"#);
        for signal in signals(format!(r#"{{"version": "4", "alerts": [{alert}]}}"#).as_bytes()).unwrap() {
            let AlertSignal { rollout, signal: name, firing, reason } = signal;
            let verb = if firing { Verb::Signal { name } } else { Verb::Clear { name } };
            let request = Request::new("alertmanager", reason);
            block_on(place.operator.apply(&[Operation::Rollout { name: rollout, verb }], &request)).unwrap();
        }
    };
    alert("firing");
    let progress = place.wait_for("it is turned back", |progress| progress.phase == Phase::RolledBack);
    let incident = progress.incident.unwrap();
    assert!(incident.rollback_triggered && incident.reason.contains("CallsDrop: Calls drop"), "{incident:?}");
}

#[test]
fn once_is_one_look() {
    let place = Place::new(&plan(60).replace("20ms", "0s"));
    let run = || -> Output { place.command(&["--once"]).output().unwrap() };
    assert!(run().status.success(), "there is nothing to do");
    place.verb(Verb::Start);
    for step in ["0.2%", "0.3%"] {
        let output = run();
        assert!(output.status.success(), "{output:?}");
        assert_eq!(place.progress().step.as_deref(), Some(step));
    }
    fs::remove_dir_all(place.path("published")).unwrap();
    let output = run();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
}

#[test]
fn all_that_happens_is_told_in_two_shapes() {
    let place = Place::new(&plan(60));
    let (events, slack) = (Receiver::new(|_| 200), Receiver::new(|number| if number == 0 { 500 } else { 200 }));
    let mut command = place.command(&[]);
    // From the environment, where no list of processes shows them.
    command.env("FLAGSTONE_NOTIFY", &events.url).env("FLAGSTONE_NOTIFY_SLACK", &slack.url);
    let _controller = place.spawn(&mut command).ready();
    place.wait_until_it_tells(2);
    place.apply(Operation::SetEnabled { flag: "use_new_gateway".to_owned(), enabled: Some(true) });
    place.apply(Operation::SetEnabled { flag: "use_new_gateway".to_owned(), enabled: None });
    place.apply(Operation::Kill(Target::All));
    place.apply(Operation::Restore(Target::All));
    let until: Timestamp = "2030-01-01T00:00:00Z".parse().unwrap();
    // In one, so that it stays at its first step.
    let start = Operation::Rollout { name: "gateway".to_owned(), verb: Verb::Start };
    let both = [start, Operation::Freeze { until: Some(until) }];
    block_on(place.operator.apply(&both, &Request::new("dana", "Because & <so>"))).unwrap();
    place.verb(signal());
    let told =
        events.wait_for("all is told", |events| events.iter().any(|event| event["data"]["incident"].is_object()));
    let kinds: Vec<&str> = told.iter().map(|event| event["type"].as_str().unwrap()).collect();
    let expected = [
        "flag.changed",
        "flag.changed",
        "flag.changed",
        "flag.changed",
        "rollout.started",
        "rollouts.frozen",
        "rollout.signalled",
        "rollout.rolledBack",
    ];
    assert_eq!(kinds, expected.map(|kind| format!("dev.flagstone.{kind}.v1")));
    for event in &told {
        assert_eq!((&event["specversion"], &event["source"]), (&"1.0".into(), &"/flagstone/production".into()));
        assert_eq!(event["datacontenttype"], "application/json");
        let time: Timestamp = event["time"].as_str().unwrap().parse().unwrap();
        assert!(time <= Timestamp::now());
    }
    let first = &told[0]["data"];
    assert_eq!((&first["flag"], &first["changed"]), (&"use_new_gateway".into(), &serde_json::json!(["enabled"])));
    assert_eq!((&first["author"], &first["reason"]), (&"dana".into(), &"Because & <so>".into()));
    assert_eq!((&told[2]["subject"], &told[2]["data"]["killed"]), (&"*".into(), &true.into()));
    let back = &told[7]["data"];
    assert_eq!((&back["transition"], &back["percent"]), (&"rolledBack".into(), &0.into()));
    assert_eq!((&back["before"]["step"], &back["before"]["percent"]), (&"0.1%".into(), &0.1.into()));
    assert_eq!((&back["author"], &back["incident"]["severity"]), (&CONTROLLER.into(), &"critical".into()));
    assert_eq!(back["evidence"][0]["guard"], "criticalBug");
    let (head, _) = &events.received()[0];
    assert!(head.starts_with("POST /hook/s3cret HTTP/1.1"), "{head}");
    assert!(head.contains("content-type: application/cloudevents+json; charset=utf-8"), "{head}");

    let messages = slack.wait_for("Slack is told, too", |messages| messages.len() == 8);
    let sentence = messages[7]["text"].as_str().unwrap();
    assert!(
        sentence.starts_with("*gateway* in production: rolled back (0.1% → 0%), by flagstone rollout: "),
        "{sentence}"
    );
    assert!(messages[0]["text"].as_str().unwrap().ends_with("by dana: Because &amp; &lt;so&gt;"), "{messages:#?}");
    assert_eq!(messages[7]["blocks"][0]["type"], "section");
    let log = fs::read_to_string(place.path("log")).unwrap();
    assert!(log.contains("it answered 500") && !log.contains("s3cret"), "{log}");
}

#[test]
fn a_notice_that_nobody_takes_holds_up_neither_decisions_nor_others() {
    let place = Place::new(&plan(60));
    let (good, silent) = (Receiver::new(|number| if number == 1 { 400 } else { 200 }), Receiver::new(|_| 503));
    let _controller = place.run(&["--notify", &silent.url, "--notify", &good.url]);
    place.wait_until_it_tells(2);
    place.verb(Verb::Start);
    place.wait_for("it goes on to the end", |progress| progress.phase == Phase::Completed);
    // What was refused for good is left out.
    let told = good.wait_for("all else is told", |events| {
        events.last().is_some_and(|event| event["data"]["transition"] == "completed")
    });
    assert!(told.len() == 60 && silent.received().is_empty(), "{}", told.len());
}

#[test]
fn it_shows_what_it_does() {
    let place = Place::new(
        "
flags:
  use_new_gateway: {salt: use_new_gateway-1, default: {ramp: {percent: 0, serve: on}}}
rollouts:
  gateway:
    flags: [use_new_gateway]
    metrics: {errors: {query: 'vector(0)', window: 1ms}}
    gates: [{metric: errors, value: '< 0.1%'}]
    steps: [{percent: 12.5}, {percent: 100}]
",
    );
    place.verb(Verb::Start);
    // A Prometheus that is not there.
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let prometheus = format!("http://ana:s3cret@{nobody}");
    let mut controller = place.run(&["--prometheus", &prometheus, "--metrics-listen", "127.0.0.1:0"]);
    let url = controller.metrics.clone();
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let get = |url: &str| {
        let mut response = agent.get(url).call().unwrap();
        (response.status().as_u16(), response.body_mut().read_to_string().unwrap())
    };
    let begun = Instant::now();
    let text = loop {
        let (_, text) = get(&url);
        if text.contains(r#"finding="noData""#) {
            break text;
        }
        assert!(begun.elapsed() < PATIENCE, "{text}");
        std::thread::sleep(Duration::from_millis(10));
    };
    let labels = r#"environment="production",rollout="gateway""#;
    for line in [
        format!(r#"flagstone_rollout_phase{{{labels},phase="running"}} 1.0"#),
        format!("flagstone_rollout_step{{{labels}}} 1.0"),
        format!("flagstone_rollout_percent{{{labels}}} 12.5"),
        format!(r#"flagstone_rollout_blockers{{{labels},kind="noData"}} 1.0"#),
        format!(
            r#"flagstone_rollout_guard_finding{{{labels},guard="errors < 0.1%",kind="gate",finding="noData"}} 1.0"#
        ),
    ] {
        assert!(text.lines().any(|other| other == line), "{line}\n{text}");
    }
    // A controller that sees nothing is as well as any other would be there, and says so.
    let blind = "ok, but Prometheus does not answer: nothing measured turns anything back\n";
    assert_eq!(get(&url.replace("/metrics", "/healthz")), (200, blind.to_owned()));
    let looks = |text: &str| text.contains(r#"flagstone_controller_looks_total{outcome="unmeasured"}"#);
    assert!(looks(&get(&url).1), "{text}");
    fs::rename(place.path("published/production"), place.path("published/gone")).unwrap();
    fs::write(place.path("published/production"), "what should be a folder").unwrap();
    let begun = Instant::now();
    while get(&url.replace("/metrics", "/healthz")).0 == 200 {
        assert!(begun.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(10));
    }
    fs::remove_file(place.path("published/production")).unwrap();
    fs::rename(place.path("published/gone"), place.path("published/production")).unwrap();
    let begun = Instant::now();
    while get(&url.replace("/metrics", "/healthz")).0 != 200 {
        assert!(begun.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(10));
    }
    controller.end();
    let said = place.said();
    let count = |message: &str| said.iter().filter(|line| line["message"] == message).count();
    assert_eq!(count("rollouts stand still"), 1, "once, however often it looks: {said:#?}");
    assert_eq!(count("the log is read again"), 1, "{said:#?}");
    assert!(count("what keeps it where it is") <= 2, "before there can be data, and after: {said:#?}");
    let blockers = said.iter().rev().find_map(|line| line["blockers"].as_str()).unwrap();
    assert!(blockers.contains("Prometheus cannot be asked"), "{blockers}");
    assert!(!fs::read_to_string(place.path("log")).unwrap().contains("s3cret"));
}

/// Debian's Prometheus, on a folder of its own; it ends with the test.
struct Measuring {
    child: Child,
    url: String,
    /// It ends once nobody reads what it says.
    _said: BufReader<ChildStderr>,
    _folder: tempfile::TempDir,
}

impl Measuring {
    fn new() -> Measuring {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("prometheus.yml"), "scrape_configs: []").unwrap();
        let mut command = Command::new("/usr/bin/prometheus");
        command.current_dir(folder.path()).args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"]);
        command.arg("--web.listen-address=127.0.0.1:0").stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("/usr/bin/prometheus is missing: run '.ci/install prometheus'");
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut lines = said.by_ref().lines().map_while(Result::ok);
        let address = lines.find_map(|line| {
            let (_, address) = line.split_once("\"Listening on\" address=")?;
            Some(address.to_owned())
        });
        // It listens before it answers.
        assert!(lines.any(|line| line.contains("Server is ready")), "it gets ready");
        Measuring { child, url: format!("http://{}", address.expect("it listens")), _said: said, _folder: folder }
    }
}

impl Drop for Measuring {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_real_prometheus_is_understood() {
    let measuring = Measuring::new();
    let prometheus = Prometheus::new(&measuring.url, None).unwrap();
    // No whole second, and no whole step from anything.
    let now = Timestamp::now().plus_millis(-1);
    let ask = |query: &str, ago: u64| {
        let ago = Period::from_millis(ago);
        let before = |at: Timestamp| at.plus_millis(-ago.millis().cast_signed());
        let question = Question {
            metric: "errors".to_owned(),
            part: Part::Value,
            query: query.to_owned(),
            from: before(now.plus_millis(-3 * 1_500)),
            to: before(now),
            step: Period::from_millis(1_500),
            ago,
        };
        block_on(prometheus.ask(&[question])).remove(&("errors".to_owned(), Part::Value)).unwrap()
    };
    let instants: Vec<Timestamp> = (0..4).rev().map(|place| now.plus_millis(-place * 1_500)).collect();
    for (query, ago) in [("time()", 0), ("vector(time())", 0), ("time()", 86_400_000)] {
        let answer = ask(query, ago);
        assert_eq!(answer.problem, None, "{query}");
        assert_eq!(answer.points.keys().copied().collect::<Vec<_>>(), instants, "{query}");
        for (at, seconds) in &answer.points {
            let asked = at.as_millis() - ago.cast_signed();
            assert_eq!((seconds * 1000.0).round() as i64, asked, "{query}");
        }
    }
    let several = "label_replace(vector(1), \"a\", \"b\", \"\", \"\") or vector(2)";
    // A stretch of time as sequential guards ask for it.
    let since = Period::from_millis(93_784_005);
    let hours = ask(&format!("count_over_time(vector(1)[{since}:1h])"), 0).points.into_values().next_back();
    // Prometheus goes by full hours, of which a little more than 26 hours hold one more now and then.
    assert!(hours == Some(26.0) || hours == Some(27.0), "{hours:?}");
    for (query, problem) in [
        ("nothing_of_that_name", "finds no series"),
        (several, "finds 2 series"),
        ("vector(0) / 0", "the newest number is NaN"),
        ("vector(1) / 0", "the newest number is inf"),
        ("sum(rate(", "answered 400: bad_data"),
        ("\"text\"", "answered 400: bad_data"),
    ] {
        let answer = ask(query, 0);
        let said = answer.problem.unwrap_or_default();
        assert!(answer.points.is_empty() && said.contains(problem), "{query}: {said}");
    }
}
