//! Many processes of the `flagstone` command on one log: in a folder, and on a server that speaks S3.
#![cfg(feature = "control")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

const PROCESSES: usize = 8;

/// As many rounds as `make soak` does where it is that which runs, or as few as `make test` has time for.
fn rounds(soak: usize, test: usize) -> usize {
    if std::env::var_os("FLAGSTONE_SOAK").is_some() { soak } else { test }
}

/// A project whose log is somewhere.
struct Project {
    folder: tempfile::TempDir,
    store: String,
    variables: Vec<(&'static str, String)>,
}

impl Project {
    fn new(store: &str, variables: Vec<(&'static str, String)>) -> Project {
        let folder = tempfile::tempdir().unwrap();
        let project = Project { folder, store: store.to_owned(), variables };
        let init = project.command(&["init"]).output().unwrap();
        assert!(init.status.success(), "{init:?}");
        project.good(&["publish", "flags.yaml", "--reason", "A start"]);
        project
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flagstone"));
        command.current_dir(self.folder.path()).args(arguments).stdin(Stdio::null());
        command.env("FLAGSTONE_ENVIRONMENT", "production").env("FLAGSTONE_STORE", &self.store);
        command.env("FLAGSTONE_KEY", "keys/production.private.jwk").env("FLAGSTONE_AUTHOR", "ana");
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    #[track_caller]
    fn good(&self, arguments: &[&str]) -> String {
        good(self.command(arguments).output().unwrap())
    }

    fn read(&self, arguments: &[&str]) -> Value {
        let to = ["--store", &self.store, "--environment", "production", "--keys", "keys/production.jwks", "--json"];
        serde_json::from_str(&self.good(&[arguments, &to].concat())).unwrap()
    }

    /// Every writer's every publish is there once, each as a version of its own.
    fn check(&self, rounds: usize) {
        let total = PROCESSES * rounds + 1;
        assert_eq!(self.read(&["verify"])["entries"], total);
        let log = self.read(&["log", "--verify"]);
        let log = log.as_array().unwrap();
        let versions: Vec<_> = log.iter().map(|entry| entry["version"].as_u64().unwrap()).collect();
        assert_eq!(versions, (1..=total as u64).rev().collect::<Vec<_>>());
        let reasons: BTreeSet<_> = log.iter().map(|entry| entry["reason"].as_str().unwrap()).collect();
        assert_eq!(reasons.len(), total, "no publish won twice");
    }

    fn publish_from_many_processes(&self, rounds: usize) {
        std::thread::scope(|scope| {
            for writer in 0..PROCESSES {
                scope.spawn(move || {
                    for round in 0..rounds {
                        let reason = format!("{writer}/{round}");
                        let out = self.good(&["publish", "flags.yaml", "--json", "--reason", &reason]);
                        let version = serde_json::from_str::<Value>(&out).unwrap()["version"].as_u64().unwrap();
                        // What was acknowledged is there, under this number.
                        let log = self.read(&["log"]);
                        let mut entries = log.as_array().unwrap().iter();
                        let entry = entries.find(|entry| entry["version"] == version).unwrap();
                        assert_eq!(entry["reason"], reason);
                    }
                });
            }
        });
    }
}

#[track_caller]
fn good(output: Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn eight_processes_publish_to_one_folder() {
    let project = Project::new("published", Vec::new());
    let rounds = rounds(50, 4);
    project.publish_from_many_processes(rounds);
    project.check(rounds);
}

/// A process that stands still at any moment holds nothing up for good and brings nothing back.
#[test]
fn a_writer_that_stands_still_across_a_kill_brings_nothing_back() {
    let project = Project::new("published", Vec::new());
    let signal = |child: &Child, signal: &str| {
        assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
    };
    for round in 0..rounds(60, 10) {
        let percent = (round % 90 + 1).to_string();
        let mut writer = project.start(&["ramp", "new_checkout", "--percent", &percent, "--reason", "slow"]);
        // Somewhere on its way, a little later each time.
        std::thread::sleep(Duration::from_millis(2 * (round as u64 % 30)));
        let stopped = writer.try_wait().unwrap().is_none();
        if stopped {
            signal(&writer, "-STOP");
        }
        let killed = project.command(&["kill", "new_checkout", "--reason", "fast"]).output().unwrap();
        if stopped {
            signal(&writer, "-CONT");
        }
        good(writer.wait_with_output().unwrap());
        // If it stood still with the lock in its hands, the kill was written and waits to be served.
        if !killed.status.success() {
            assert!(String::from_utf8_lossy(&killed.stderr).contains("is in the log, but is not being served yet"));
            project.good(&["kill", "new_checkout", "--reason", "fast"]);
        }
        project.read(&["verify"]);
        let current =
            fs::read_to_string(project.folder.path().join("published/production/current/server.json")).unwrap();
        assert!(current.contains(r#"\"killed\":\"flag\""#), "{current}");
        project.good(&["restore", "new_checkout", "--reason", "next"]);
    }
}

/// What is acknowledged was on the disk before: the file before it got its name, its folder after that.
#[test]
fn what_is_acknowledged_is_synced() {
    assert!(
        Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_ok_and(|status| status.success()),
        "strace is missing; `.ci/install strace` gets it"
    );
    let project = Project::new("published", Vec::new());
    let trace = project.folder.path().join("trace");
    let mut command = Command::new("strace");
    let calls = "trace=openat,fsync,fdatasync,rename,renameat,renameat2,link,linkat,write,close";
    command.args(["-f", "-y", "-s", "300", "-e", calls, "-o"]).arg(&trace);
    let kill = project.command(&["kill", "new_checkout", "--reason", "Errors"]);
    command.arg(kill.get_program()).args(kill.get_args()).current_dir(project.folder.path());
    command.envs(kill.get_envs().filter_map(|(name, value)| Some((name, value?))));
    good(command.output().unwrap());
    let trace = fs::read_to_string(trace).unwrap();
    let lines: Vec<&str> = trace.lines().collect();
    let find = |from: usize, what: &dyn Fn(&str) -> bool, name: &str| {
        let found = lines[from..].iter().position(|line| what(line));
        from + found.unwrap_or_else(|| panic!("no {name} after line {from}:\n{trace}"))
    };
    let synced = |line: &str, path: &str| line.contains("sync(") && line.contains(path);
    let placed = |line: &str, path: &str| (line.contains("link") || line.contains("rename")) && line.contains(path);
    let entry = "entries/00000000000000000002.json";
    let mut at = 0;
    at = find(at, &|line| synced(line, "/snapshots/00000000000000000002-server-"), "sync of the snapshot");
    at = find(at, &|line| placed(line, "/snapshots/00000000000000000002-server-"), "placing of the snapshot");
    at = find(at, &|line| synced(line, "/production/snapshots>"), "sync of the snapshots' folder");
    at = find(at, &|line| synced(line, entry), "sync of the entry");
    at = find(at, &|line| placed(line, entry), "placing of the entry");
    at = find(at, &|line| synced(line, "/production/entries>"), "sync of the entries' folder");
    at = find(at, &|line| synced(line, "/current/server.json"), "sync of `current`");
    at = find(at, &|line| placed(line, "/current/server.json"), "placing of `current`");
    at = find(at, &|line| synced(line, "/production/current>"), "sync of the folder of `current`");
    find(at, &|line| line.contains("write(1<") && line.contains("killed"), "acknowledgement");
}

/// A server that speaks S3, for as long as this is held.
struct Moto {
    server: Child,
    port: u16,
}

impl Moto {
    fn start() -> Moto {
        let command = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/moto/bin/moto_server");
        let server = Command::new(&command)
            .args(["-H", "127.0.0.1", "-p", "0"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}; `.ci/install moto` gets it", command.display()));
        let mut moto = Moto { server, port: 0 };
        let mut lines = BufReader::new(moto.server.stderr.take().unwrap()).lines().map(Result::unwrap);
        let address = lines.find_map(|line| Some(line.split_once("http://127.0.0.1:")?.1.to_owned()));
        moto.port = address.expect("it says where it listens").trim().parse().unwrap();
        // It stops where nobody reads what it says.
        std::thread::spawn(move || lines.for_each(drop));
        let mut stream = TcpStream::connect(("127.0.0.1", moto.port)).unwrap();
        stream.write_all(b"PUT /flags HTTP/1.0\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.contains(" 200 "), "{answer}");
        moto
    }

    fn variables(port: u16) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ACCESS_KEY_ID", "test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}")),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
            ("NO_PROXY", "127.0.0.1".to_owned()),
        ]
    }

    fn project(&self, folder: &str) -> Project {
        Project::new(&format!("s3://flags/{folder}"), Moto::variables(self.port))
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

#[test]
fn eight_processes_publish_to_one_bucket() {
    let moto = Moto::start();
    let project = moto.project("many");
    let rounds = rounds(50, 2);
    project.publish_from_many_processes(rounds);
    project.check(rounds);
}

/// Passes connections on to a port, but holds requests that contain a text until it is told to let them go.
fn gate(port: u16, text: &'static str) -> (u16, Receiver<()>, std::sync::mpsc::Sender<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let gate = listener.local_addr().unwrap().port();
    let (held, told) = channel();
    let (release, released) = channel();
    let released = std::sync::Arc::new(std::sync::Mutex::new(released));
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (mut client, mut server) = (client.unwrap(), TcpStream::connect(("127.0.0.1", port)).unwrap());
            let (mut from, mut to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut from, &mut to);
                let _ = to.shutdown(Shutdown::Both);
            });
            let (held, released) = (held.clone(), released.clone());
            std::thread::spawn(move || {
                let mut buffer = [0; 65536];
                while let Ok(read @ 1..) = client.read(&mut buffer) {
                    if String::from_utf8_lossy(&buffer[..read]).contains(text) && held.send(()).is_ok() {
                        let _ = released.lock().unwrap().recv();
                    }
                    if server.write_all(&buffer[..read]).is_err() {
                        break;
                    }
                }
                let _ = server.shutdown(Shutdown::Both);
            });
        }
    });
    (gate, told, release)
}

#[test]
fn a_bucket_keeps_a_kill_from_a_writer_that_stalled() {
    let moto = Moto::start();
    let project = moto.project("stalled");
    for text in ["PUT /flags/stalled/production/current/server.json", "PUT /flags/stalled/production/entries/"] {
        let (port, held, release) = gate(moto.port, text);
        let mut slow = project.command(&["ramp", "new_checkout", "--percent", "99", "--reason", "slow"]);
        slow.envs(Moto::variables(port)).stdout(Stdio::piped()).stderr(Stdio::piped());
        let slow = slow.spawn().unwrap();
        held.recv().unwrap();
        project.good(&["kill", "new_checkout", "--reason", "fast"]);
        drop(release);
        good(slow.wait_with_output().unwrap());
        drop(held);
        let newest = project.read(&["verify"])["entries"].clone();
        let current = get(moto.port, "/flags/stalled/production/current/server.json");
        assert!(current.contains(r#"\"killed\":\"flag\""#), "{current}");
        assert!(current.contains(&format!(r#"\"version\":{newest}"#)), "{current}");
        project.good(&["restore", "new_checkout", "--reason", "next"]);
        project.good(&["ramp", "new_checkout", "--as-defined", "--reason", "next"]);
    }
}

fn get(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    // It wants a signature, and does not look at it.
    let signature = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request";
    let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\nAuthorization: {signature}\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_bucket_that_is_not_there_is_said() {
    let moto = Moto::start();
    let project = moto.project("gone");
    let output = project.command(&["log", "--store", "s3://nonesuch/flags"]).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("s3://nonesuch/flags/production/entries"), "{output:?}");
}

/// Two controllers on a bucket race for each step, and each is taken once.
#[test]
fn controllers_run_a_rollout_on_a_bucket() {
    let moto = Moto::start();
    let project = moto.project("rollout");
    let flags = project.folder.path().join("flags.yaml");
    let plan = "\nrollouts:\n  checkout:\n    flags: [new_checkout]\n    steps:\n      \
                - {series: {from: 5, to: 30, by: [{add: 5}]}}\n      - {percent: 100}\n";
    fs::write(&flags, fs::read_to_string(&flags).unwrap() + plan).unwrap();
    project.good(&["publish", "flags.yaml", "--reason", "The plan"]);
    project.good(&["rollout", "start", "checkout", "--reason", "All is ready"]);
    let run = ["rollout", "run", "--interval", "50ms", "--poll", "50ms"];
    let mut controllers = [project.start(&run), project.start(&run)];
    let begun = Instant::now();
    while project.read(&["rollout", "status", "checkout"])["rollouts"][0]["progress"]["phase"] != "completed" {
        assert!(begun.elapsed() < Duration::from_secs(120), "it does not come to its end");
        std::thread::sleep(Duration::from_millis(100));
    }
    // What is half done they bring to its end: the last entry may not be served yet.
    for controller in &mut controllers {
        assert!(Command::new("kill").arg(controller.id().to_string()).status().unwrap().success());
        assert!(controller.wait().unwrap().success());
    }
    let log = project.read(&["log", "--verify"]);
    let changes = log.as_array().unwrap().iter().rev().filter_map(|entry| entry["changes"][0].as_str());
    let advanced: Vec<&str> = changes.filter_map(|line| line.strip_prefix("rollout `checkout`: ")).collect();
    let mut expected = vec!["started at 5%".to_owned()];
    expected.extend(["10%", "15%", "20%", "25%", "30%", "100%"].map(|step| format!("advanced to {step}")));
    expected.push("completed at 100%".to_owned());
    assert_eq!(advanced, expected);
}

/// The lines that a server answers to a request, as they come.
fn listen(address: &str, path: &str) -> impl Iterator<Item = String> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).unwrap();
    BufReader::new(stream).lines().map_while(Result::ok)
}

/// What a server answers.
fn ask(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_server_before_a_bucket_hears_of_kills_and_outlives_the_bucket() {
    let moto = Moto::start();
    let project = moto.project("served");
    let arguments = ["serve", "--keys", "keys/production.jwks", "--listen", "127.0.0.1:0", "--poll", "250ms"];
    let mut server = project.command(&arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().rsplit_once("http://").expect("it says where it listens").1.to_owned();
    let mut stream = listen(&address, "/snapshots/production/stream");
    let mut hears = |version: u64| {
        let wanted = format!(r#""version":{version}"#);
        assert!(stream.any(|line| line.contains(&wanted)), "the stream ended before {wanted}");
    };
    let health = |wanted: &str| {
        for _ in 0..600 {
            let answer = ask(&address, "/healthz");
            if answer.contains(wanted) {
                return assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("/healthz does not say {wanted}: {}", ask(&address, "/healthz"));
    };
    let served = || ask(&address, "/snapshots/production/client.json").split_once("\r\n\r\n").unwrap().1.to_owned();
    hears(1);
    let begun = std::time::Instant::now();
    project.good(&["kill", "new_checkout", "--reason", "Errors"]);
    let written = begun.elapsed();
    hears(2);
    println!("killed in {written:.1?}, heard {:.1?} after the command was given", begun.elapsed());
    let killed = served();
    assert!(killed.contains(r#"\"killed\":\"flag\""#), "{killed}");

    // It stands still, and goes on.
    let signal = |signal: &str| {
        assert!(Command::new("kill").args([signal, &moto.server.id().to_string()]).status().unwrap().success());
    };
    signal("-STOP");
    health("has not answered");
    assert_eq!(served(), killed);
    signal("-CONT");
    project.good(&["restore", "new_checkout", "--reason", "Mended"]);
    hears(3);
    health(r#""status":"ok""#);

    // It is gone.
    let restored = served();
    drop(moto);
    health("cannot be read");
    assert_eq!(served(), restored);
    let output = project.command(&["kill", "new_checkout", "--reason", "Errors"]).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("s3://flags/served/production"), "{output:?}");
    server.kill().unwrap();
    server.wait().unwrap();
}

#[test]
fn old_snapshots_can_go() {
    let moto = Moto::start();
    for project in [Project::new("published", Vec::new()), moto.project("prune")] {
        for percent in ["1", "2", "3"] {
            project.good(&["ramp", "new_checkout", "--percent", percent, "--reason", "more"]);
        }
        let prune = |older: &str, more: &[&str]| project.read(&[&["prune", "--older-than", older], more].concat());
        assert_eq!(prune("1d", &[]), json!({"environment": "production", "pruned": 0}));
        assert_eq!(prune("0s", &["--dry-run"])["pruned"], 6);
        assert_eq!(prune("0s", &[])["pruned"], 6);
        assert_eq!(prune("0s", &[])["pruned"], 0);
        assert_eq!(project.read(&["verify"])["entries"], 4);
        project.good(&["revert", "1", "--reason", "back"]);
        assert_eq!(project.read(&["verify"])["entries"], 5);
    }
}
