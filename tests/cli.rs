//! The `flagstone` command as people and programs use it: what it prints, how it exits, what it says of bad input.
#![cfg(feature = "control")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use flagstone::bucketing::{Use, position};
use flagstone::snapshot::definitions::{Definitions, FlagState, Kill, Options, PercentState, State, compile};
use flagstone::snapshot::{Envelope, SigningKey, TrustedKeys, Typ};
use flagstone::store::{Log, NewEntry};
use flagstone::{Audience, Timestamp};
use serde_json::{Value, json};

/// A folder to run the command in.
struct Place(tempfile::TempDir);

/// What the command did.
#[derive(Debug)]
struct Run {
    code: i32,
    out: String,
    err: String,
}

impl Place {
    fn new() -> Place {
        Place(tempfile::tempdir().expect("there is room for a folder"))
    }

    /// A project as `init` starts it, published once.
    fn published() -> Place {
        let place = Place::new();
        place.run(&["init"]).good();
        place.publish(&["--reason", "A start"]).good();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> &Place {
        fs::write(self.path(name), text).expect("the file can be written");
        self
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Replaces a text that is there in a file.
    fn edit(&self, name: &str, from: &str, to: &str) -> &Place {
        let text = self.read(name);
        assert!(text.contains(from), "{name} does not hold {from:?}");
        self.write(name, &text.replace(from, to))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flagstone"));
        command.current_dir(self.0.path()).args(arguments).stdin(Stdio::null());
        for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS"] {
            command.env_remove(name);
        }
        command
    }

    fn run(&self, arguments: &[&str]) -> Run {
        Run::of(self.command(arguments))
    }

    fn run_with_input(&self, arguments: &[&str], input: &[u8]) -> Run {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command starts");
        child.stdin.take().expect("it has an input").write_all(input).expect("it reads its input");
        Run::from(child.wait_with_output().expect("the command ends"))
    }

    fn publish(&self, arguments: &[&str]) -> Run {
        let publish = ["publish", "flags.yaml", "--environment", "production", "--store", "published"];
        let signed = ["--key", "keys/production.private.jwk", "--author", "ana@example.com"];
        self.run(&[&publish[..], &signed, arguments].concat())
    }

    fn eval(&self, snapshot: &str, arguments: &[&str]) -> Run {
        self.run(&[&["eval", "--snapshot", snapshot][..], arguments].concat())
    }

    /// Writes definitions compiled as a bare payload.
    fn payload(&self, name: &str, definitions: Value, audience: Audience, expires: Option<&str>) -> String {
        let definitions: Definitions = serde_json::from_value(definitions).expect("these are definitions");
        let options = Options {
            environment: "production".to_owned(),
            audience,
            version: 7,
            created: instant("2026-11-21T12:00:00Z"),
            expires: expires.map(instant),
        };
        let payload = compile(&definitions, &State::default(), &options).expect("they can be compiled");
        self.write(name, &payload);
        payload
    }
}

impl Run {
    fn of(mut command: Command) -> Run {
        Run::from(command.output().expect("the command starts"))
    }

    #[track_caller]
    fn good(self) -> Run {
        assert_eq!(self.code, 0, "{}\n{}", self.out, self.err);
        self
    }

    /// It failed so, and said why.
    #[track_caller]
    fn bad(self, code: i32, messages: &[&str]) -> Run {
        assert_eq!(self.code, code, "{}\n{}", self.out, self.err);
        for message in messages {
            assert!(self.err.contains(message), "does not say {message:?}:\n{}", self.err);
        }
        assert!(self.err.contains("error: "), "{}", self.err);
        self
    }

    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}:\n{}", self.out))
    }
}

impl From<std::process::Output> for Run {
    fn from(output: std::process::Output) -> Run {
        let text = |bytes| String::from_utf8(bytes).expect("what it prints is text");
        let run =
            Run { code: output.status.code().expect("no signal"), out: text(output.stdout), err: text(output.stderr) };
        assert!(!run.err.contains("panicked"), "{}", run.err);
        run
    }
}

fn instant(text: &str) -> Timestamp {
    text.parse().expect("this is an instant")
}

const VERBS: [&str; 30] = [
    "init", "keygen", "lint", "schema", "publish", "kill", "restore", "ramp", "enable", "disable", "allow", "deny",
    "exclude", "unlist", "readmit", "revert", "promote", "resign", "recover", "prune", "log", "diff", "verify", "eval",
    "explain", "pin", "simulate", "stale", "types", "parity",
];

const SERVER: &str = "published/production/current/server.json";
const CLIENT: &str = "published/production/current/client.json";
const KEYS: &str = "keys/production.jwks";

#[test]
fn help_has_an_example_for_each_verb_and_the_exit_codes() {
    let place = Place::new();
    for verb in VERBS {
        let help = place.run(&[verb, "--help"]).good().out;
        assert!(help.contains("Example"), "{verb}: {help}");
        assert!(help.contains(&format!("flagstone {verb}")), "{verb}: {help}");
        // What can be pasted is not broken by the help's own line breaks.
        let example = help.split_once("Example").unwrap().1;
        let ends = example.lines().skip(1).filter(|line| !line.trim_start().starts_with("flagstone"));
        for end in ends.filter(|line| !line.is_empty()) {
            let before = example.split_once(end).unwrap().0;
            assert!(before.trim_end_matches('\n').ends_with('\\'), "{verb}: {end:?} goes on without a backslash");
        }
    }
    let help = place.run(&["--help"]).good().out;
    for line in ["Exit codes:", "\n  0  ", "\n  1  ", "\n  2  ", "\n  3  ", "NO_COLOR"] {
        assert!(help.contains(line), "{help}");
    }
    place.run(&["evaluate"]).bad(2, &["evaluate", "eval"]);
    place.run(&["eval"]).bad(2, &["--snapshot <FILE>"]);
}

// init, keygen

#[test]
fn a_project_is_started_and_nothing_is_written_over() {
    let place = Place::new();
    let out = place.run(&["init", "shop"]).good().out;
    assert!(out.contains("flagstone publish shop --environment production"), "{out}");
    assert!(place.read("shop/flags.yaml").starts_with("# yaml-language-server: $schema=flags.schema.json\n"));
    let schema: Value = serde_json::from_str(&place.read("shop/flags.schema.json")).unwrap();
    assert_eq!(schema, flagstone::snapshot::definitions::json_schema());
    assert_eq!(place.read("shop/keys/.gitignore"), "*.private.jwk\n");
    assert_private(&place.path("shop/keys/production.private.jwk"));
    place.run(&["lint", "shop", "--strict"]).good();

    let before = place.read("shop/flags.yaml");
    place.run(&["init", "shop"]).bad(3, &["shop: there is a project here already", "name another folder"]);
    assert_eq!(place.read("shop/flags.yaml"), before);

    // The salts decide who is first, so two projects must not share them.
    place.run(&["init", "other"]).good();
    assert_ne!(place.read("other/flags.yaml"), before);
    place.run(&["init", "--example", "nine-plans"]).bad(2, &["five-plans"]);
}

#[test]
fn what_init_names_as_next_works() {
    let place = Place::new();
    let out = place.run(&["init", "a shop"]).good().out;
    let commands: Vec<_> = out.lines().filter_map(|line| line.trim().strip_prefix("flagstone ")).collect();
    assert_eq!(commands.len(), 3);
    for command in commands {
        let mut shell = Command::new("sh");
        shell.current_dir(place.0.path()).arg("-c").arg(format!("{} {command}", env!("CARGO_BIN_EXE_flagstone")));
        Run::of(shell).good();
    }
}

#[test]
fn the_five_plans_lint_and_publish() {
    let place = Place::new();
    place.run(&["init", "--example", "five-plans"]).good();
    place.run(&["lint"]).good();
    let publish = ["publish", "--environment", "production", "--store", "published", "--reason", "The five plans"];
    place.run(&[&publish[..], &["--key", "keys/production.private.jwk"]].concat()).good();
    let ask = |flag: &str, user: &str| {
        let context = json!({"targetingKey": user}).to_string();
        place.eval(SERVER, &["--keys", KEYS, "--flag", flag, "--context", &context]).good().json()["value"].clone()
    };
    assert_eq!(ask("use_new_gateway", "internal-user-1"), json!(true));
    assert_eq!(ask("websocketUnified", "legacy-user-1"), json!(false));
    // `js31` puts user1 at 66 and polygenelubricants at 48; who is below 5 was worked out with the plan's own code.
    assert_eq!(ask("outboundCalls", "user1"), json!(false));
    // It begins when somebody starts its rollout.
    assert_eq!(ask("USE_MIGRATED_BACKUP_SERVICE", "anyone"), json!(false));
    // Salts of lists that everyone could look up would hide nobody.
    assert_ne!(place.read("000-gateway.yaml"), include_str!("rollouts/definitions/000-gateway.yaml"));
    assert!(!place.read("000-gateway.yaml").contains("5d1f0c7be2a94836a1c07d4f92be6358"));
}

#[test]
fn environment_variables_pin_flags_where_they_may() {
    let place = Place::new();
    place.run(&["init", "--example", "five-plans"]).good();
    place.write("variables.json", include_str!("rollouts/variables.json"));
    let publish = ["publish", "--environment", "production", "--store", "published", "--reason", "The five plans"];
    place.run(&[&publish[..], &["--key", "keys/production.private.jwk"]].concat()).good();
    let ask = |flag: &str, options: &[&str], variables: &[(&str, &str)]| {
        let context = r#"{"targetingKey": "user1"}"#;
        let fixed = ["eval", "--snapshot", SERVER, "--keys", KEYS, "--flag", flag, "--context", context];
        let mut command = place.command(&[&fixed[..], options].concat());
        command.envs(variables.iter().copied());
        Run::of(command)
    };
    let names = ["--variables", "variables.json"];
    let percent = [("OUTBOUND_CALLS_PERCENTAGE", "100")];
    let answer = ask("outboundCalls", &names, &percent).good().json();
    assert_eq!((&answer["value"], &answer["pinnedBy"]), (&json!(true), &json!("OUTBOUND_CALLS_PERCENTAGE")));
    // Nobody is pinned by what they did not ask for, nor by what is not set.
    for (options, variables) in [(&[][..], &percent[..]), (&["--variables"], &percent), (&names, &[])] {
        let answer = ask("outboundCalls", options, variables).good().json();
        assert_eq!((&answer["value"], answer.get("pinnedBy")), (&json!(false), None));
    }
    let own = [("FLAGSTONE_PIN_USENEWARCHITECTURE", "on")];
    assert_eq!(ask("useNewArchitecture", &["--variables"], &own).good().json()["value"], true);
    ask("outboundCalls", &names, &[("OUTBOUND_CALLS_PERCENTAGE", "lots")])
        .bad(2, &["OUTBOUND_CALLS_PERCENTAGE is \"lots\"", "a percent from 0 to 100"]);
    ask("outboundCalls", &names, &[("FLAGSTONE_PIN_OUTBOUNDCALS", "on")]).bad(2, &["FLAGSTONE_PIN_OUTBOUNDCALS"]);
    place.write("variables.json", r#"[{"variable": "A", "flag": "outboundCalls", "sets": "killed"}]"#);
    ask("outboundCalls", &names, &[]).bad(3, &["variables.json", "[0].sets: expected one of `variant`"]);
}

#[test]
fn keys_are_private_and_sets_grow() {
    let place = Place::new();
    let keygen = ["keygen", "--environment", "production", "--out", "one.jwk", "--kid", "one"];
    let run = place.run(&keygen).good();
    assert_private(&place.path("one.jwk"));
    let keys = TrustedKeys::from_jwks(run.out.as_bytes()).expect("it prints the public half");
    assert_eq!(keys.get("one"), Some(&SigningKey::from_jwk(place.read("one.jwk").as_bytes()).unwrap().public()));
    let secret = place.read("one.jwk");
    place.run(&keygen).bad(3, &["one.jwk", "there is such a file already"]);
    assert_eq!(place.read("one.jwk"), secret);

    // Keys of others in the set stay, even those of another kind.
    let mut set = run.json();
    set["keys"].as_array_mut().unwrap().push(json!({"kty": "RSA", "kid": "other", "n": "AQAB", "e": "AQAB"}));
    place.write("trusted.jwks", &set.to_string());
    let more = ["keygen", "--environment", "staging", "--environment", "production", "--public", "trusted.jwks"];
    assert_eq!(place.run(&[&more[..], &["--out", "two.jwk", "--kid", "two"]].concat()).good().out, "");
    let set: Value = serde_json::from_str(&place.read("trusted.jwks")).unwrap();
    let kids: Vec<_> = set["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap()).collect();
    assert_eq!(kids, ["one", "other", "two"]);
    assert_eq!(set["keys"][2]["environments"], json!(["staging", "production"]));

    // Where the set cannot take the key, none is made.
    let again = [&more[..], &["--out", "three.jwk", "--kid", "two"]].concat();
    place.run(&again).bad(3, &["trusted.jwks", "\"two\"", "choose another --kid"]);
    place.write("trusted.jwks", "[]");
    place.run(&again).bad(3, &["trusted.jwks"]);
    assert!(!place.path("three.jwk").exists());
    place.run(&["keygen", "--out", "four.jwk"]).bad(2, &["--environment"]);
    place.run(&["keygen", "--environment", "e", "--out", "no/such/folder.jwk"]).bad(3, &["no/such/folder.jwk"]);
}

#[cfg(unix)]
fn assert_private(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(path).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "{}", path.display());
}

#[cfg(not(unix))]
fn assert_private(_: &Path) {}

// lint, schema

#[test]
fn lint_shows_the_place_and_what_to_do() {
    let place = Place::new();
    place.write("flags.yaml", "flags:\n  beta:\n    salt: beta-1\n    default: of\n");
    let run = place.run(&["lint", "flags.yaml"]);
    assert_eq!(run.code, 1);
    assert_eq!(
        run.out,
        "flags.yaml:4:14: error: unknown variant `of`, did you mean `off`?\n  \
           |\n\
         4 |     default: of\n  \
           |              ^\n\n\
         not ok: 1 error\n"
    );
    let problems = place.run(&["lint", "--json"]).json();
    assert_eq!(problems[0]["file"], "flags.yaml");
    assert_eq!((&problems[0]["line"], &problems[0]["column"]), (&json!(4), &json!(14)));
    assert_eq!(problems[0]["path"], "flags.beta.default");
    assert_eq!(problems[0]["suggestion"], "did you mean `off`?");

    // A line of JSON may be long; what matters of it is shown.
    let long =
        format!(r#"{{"flags": {{"a": {{"salt": "a", "description": "{}", "default": "of"}}}}}}"#, "é".repeat(300));
    place.write("long.json", &long);
    let out = place.run(&["lint", "long.json"]).out;
    let lines: Vec<&str> = out.lines().collect();
    let caret = lines[3].chars().position(|c| c == '^').expect("there is a caret");
    assert_eq!(lines[2].chars().skip(caret).take(4).collect::<String>(), "\"of\"");
    assert!(lines[2].chars().count() < 130);
}

#[test]
fn lint_says_what_is_wrong_with_files() {
    let place = Place::new();
    place.run(&["lint"]).bad(3, &["no definitions here", "flagstone init"]);
    place.run(&["lint", "no.yaml"]).bad(3, &["no.yaml: cannot read it"]);
    place.write("broken.yaml", "flags:\n  a: [1\n");
    let run = place.run(&["lint", "broken.yaml"]);
    assert_eq!((run.code, run.out.starts_with("broken.yaml:")), (1, true), "{}", run.out);
    fs::write(place.path("binary.yaml"), b"flags: \xff\n").unwrap();
    let run = place.run(&["lint", "binary.yaml"]);
    assert_eq!((run.code, run.out.contains("binary.yaml")), (1, true), "{}", run.out);
    place.write("broken.json", "{\"flags\": {\"a\": {\"salt\": \"a\"}");
    assert_eq!(place.run(&["lint", "broken.json"]).code, 1);
    for nothing in ["", "# a comment\n", "{}", "~\n"] {
        let run = place.write("empty.yaml", nothing).run(&["lint", "empty.yaml"]).good();
        assert!(run.out.starts_with("empty.yaml:1:1: warning: this file defines nothing, add `flags`"), "{}", run.out);
    }
    // What has a mistake of its own is suggested all the same.
    place.write(
        "near.yaml",
        "flags:\n  abc: {salt: 1}\n  other: {salt: o, prerequisites: [{flag: abd, variant: on}]}\n",
    );
    let out = place.run(&["lint", "near.yaml"]).out;
    assert!(out.contains("unknown flag `abd`, did you mean `abc`?"), "{out}");
}

#[test]
fn lint_lets_warnings_pass_unless_it_is_strict() {
    let place = Place::new();
    place.write(
        "flags.yaml",
        "flags:\n  beta: {salt: beta-1, scheme: js31, default: {ramp: {percent: 5, serve: on}}}\n",
    );
    let run = place.run(&["lint"]).good();
    assert!(run.out.contains("flags.yaml:2:32: warning: ") && run.out.ends_with("ok: 1 flag in 1 file, 1 warning\n"));
    assert_eq!(place.run(&["lint", "--strict"]).code, 1);
    assert_eq!(place.run(&["lint", "--strict", "--json"]).json()[0]["severity"], "warning");
}

#[test]
fn a_folder_is_its_definitions_and_nothing_else() {
    let place = Place::new();
    place.write("a.yaml", "flags: {a: {salt: a-1}}").write("b.yml", "flags: {b: {salt: b-1}}");
    place.write("c.json", r#"{"flags": {"c": {"salt": "c-1"}}}"#);
    place.write("flags.schema.json", "{").write(".hidden.yaml", "{").write("notes.txt", "{");
    fs::create_dir(place.path("keys.json")).unwrap();
    let run = place.run(&["lint"]).good();
    assert_eq!((run.out.as_str(), run.err.as_str()), ("ok: 3 flags in 3 files\n", ""));

    // Whatever else lies in a project's folder.
    place.write("package.json", r#"{"$schema": "https://example.com/package", "name": "shop"}"#);
    place.write("tsconfig.json", "{\n  // strict\n  \"compilerOptions\": {}\n}").write("list.json", "[1]");
    place.payload("snapshot.json", flags(), Audience::Server, None);
    let run = place.run(&["lint"]).good();
    assert_eq!(run.out, "ok: 3 flags in 3 files\n");
    assert!(
        run.err.contains("hold no definitions: list.json, package.json, snapshot.json, tsconfig.json"),
        "{}",
        run.err
    );
    assert!(place.run(&["stale"]).out.ends_with("3 of 3 flags stale\n"));
    // Named outright, or with a mistake, it is read.
    assert!(place.run(&["lint", "package.json"]).out.contains("unknown section `name`"));
    place.write("broken.json", "{\"flags\": {\"d\": {\"salt\": \"d\"}");
    assert_eq!(place.run(&["lint"]).code, 1);
    let other = Place::new();
    other.write("package.json", "{}").run(&["lint"]).bad(3, &["no definitions here"]);
}

#[test]
fn schema_is_the_librarys() {
    assert_eq!(Place::new().run(&["schema"]).good().json(), flagstone::snapshot::definitions::json_schema());
}

// eval

/// Flags with each kind of result.
fn flags() -> Value {
    json!({
        "flags": {
            "beta": {
                "salt": "beta-1",
                "rules": [{"id": "germans", "when": {"attribute": "country", "equals": "DE"}, "serve": "on"}],
                "default": {"ramp": {"percent": 25, "serve": "on"}},
            },
            "limit": {"salt": "limit-1", "variants": {"low": 1.5, "high": 1e21}, "off": "low", "default": "high"},
            "theme": {"salt": "theme-1", "variants": {"plain": "\"é\"\n", "other": ""}, "off": "plain"},
            "layout": {"salt": "layout-1", "variants": {"a": {"columns": [1, 2], "x": null}, "b": []}, "off": "a"},
        },
    })
}

#[test]
fn eval_prints_one_object_whose_members_stand_in_order() {
    let place = Place::new();
    place.payload("server.json", flags(), Audience::Server, None);
    let eval = |flag: &str, context: &str| {
        let run = place.eval("server.json", &["--flag", flag, "--context", context]).good();
        assert_eq!(run.err.lines().count(), 1, "{}", run.err);
        assert!(run.err.contains("server.json: the signature was not checked"), "{}", run.err);
        run.out
    };
    let user = |inside: bool| {
        let inside = |key: &String| (position("beta-1", Use::Ramp, key) < 25_000) == inside;
        let key = (0..).map(|number| format!("user-{number}")).find(inside).unwrap();
        json!({"targetingKey": key}).to_string()
    };
    assert_eq!(
        eval("beta", r#"{"targetingKey": "user-1", "country": "DE"}"#),
        "{\"flag\":\"beta\",\"value\":true,\"variant\":\"on\",\"reason\":\"TARGETING_MATCH\",\"rule\":\"germans\",\"version\":7}\n"
    );
    assert_eq!(
        eval("beta", &user(true)),
        "{\"flag\":\"beta\",\"value\":true,\"variant\":\"on\",\"reason\":\"SPLIT\",\"version\":7}\n"
    );
    assert_eq!(
        eval("beta", &user(false)),
        "{\"flag\":\"beta\",\"value\":false,\"variant\":\"off\",\"reason\":\"SPLIT\",\"version\":7}\n"
    );
    assert_eq!(
        eval("limit", "{}"),
        "{\"flag\":\"limit\",\"value\":1e+21,\"variant\":\"high\",\"reason\":\"STATIC\",\"version\":7}\n"
    );
    assert_eq!(
        eval("theme", "{}"),
        "{\"flag\":\"theme\",\"value\":\"\\\"é\\\"\\n\",\"variant\":\"plain\",\"reason\":\"STATIC\",\"version\":7}\n"
    );
    assert_eq!(
        eval("layout", "{}"),
        "{\"flag\":\"layout\",\"value\":{\"columns\":[1,2],\"x\":null},\"variant\":\"a\",\"reason\":\"STATIC\",\"version\":7}\n"
    );
    assert_eq!(
        eval("gone", "{}"),
        "{\"flag\":\"gone\",\"value\":null,\"variant\":null,\"reason\":\"ERROR\",\"errorCode\":\"FLAG_NOT_FOUND\",\"version\":7}\n"
    );
    // Half of a surrogate pair is no key, so there is none.
    assert_eq!(
        eval("beta", r#"{"targetingKey": "\ud83d"}"#),
        "{\"flag\":\"beta\",\"value\":false,\"variant\":\"off\",\"reason\":\"DEFAULT\",\"version\":7}\n"
    );
}

#[test]
fn eval_keeps_to_one_line_where_the_snapshot_does_not() {
    let place = Place::new();
    let payload = json!({
        "schema": 1, "environment": "e", "audience": "server", "version": 1, "created": "2026-11-21T12:00:00Z",
        "flags": {"f": {"type": "json", "variants": {"v": {"a": [1, 2]}}, "off": "v", "salt": "s", "default": "v",
                        "requires": []}},
    });
    place.write("server.json", &format!("{payload:#}").replace('\n', "\r\n"));
    let out = place.eval("server.json", &["--flag", "f", "--context", "{}"]).good().out;
    assert_eq!(out.lines().count(), 1);
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["value"], json!({"a": [1, 2]}));
}

#[test]
fn eval_of_what_this_version_lacks_is_a_result() {
    let place = Place::new();
    let payload = place.payload("server.json", flags(), Audience::Server, None);
    place.write("server.json", &payload.replace(r#""beta":{"requires":["#, r#""beta":{"requires":["telepathy","#));
    let out = place.eval("server.json", &["--flag", "beta", "--context", "{}"]).good().out;
    assert_eq!(
        out,
        "{\"flag\":\"beta\",\"value\":null,\"variant\":null,\"reason\":\"ERROR\",\"errorCode\":\"GENERAL\",\"version\":7}\n"
    );
}

#[test]
fn eval_goes_by_the_time_it_is_told() {
    let place = Place::new();
    let flags = json!({"flags": {"f": {"client": true, "salt": "f-1", "default": {"ramp": {
        "schedule": {"before": 0, "steps": [{"at": "2026-12-01T00:00:00Z", "percent": 100}]}, "serve": "on",
    }}}}});
    place.payload("client.json", flags, Audience::Client, Some("2026-12-10T00:00:00Z"));
    let at = |now: &str| {
        let arguments = ["--flag", "f", "--context", r#"{"targetingKey": "a"}"#, "--now", now];
        place.eval("client.json", &arguments).good().out
    };
    assert_eq!(
        at("2026-11-30T23:59:59.999Z"),
        "{\"flag\":\"f\",\"value\":false,\"variant\":\"off\",\"reason\":\"SPLIT\",\"version\":7}\n"
    );
    assert_eq!(
        at("2026-12-01T01:00:00+01:00"),
        "{\"flag\":\"f\",\"value\":true,\"variant\":\"on\",\"reason\":\"SPLIT\",\"version\":7}\n"
    );
    assert!(at("2026-12-10T00:05:00Z").contains("\"SPLIT\""), "five minutes are allowed for clocks that disagree");
    assert_eq!(
        at("2026-12-10T00:05:00.001Z"),
        "{\"flag\":\"f\",\"value\":null,\"variant\":null,\"reason\":\"ERROR\",\"errorCode\":\"PROVIDER_NOT_READY\",\"version\":7}\n"
    );
    let arguments = ["--flag", "f", "--context", "{}", "--now", "tomorrow"];
    place.eval("client.json", &arguments).bad(2, &["--now", "RFC 3339"]);
}

#[test]
fn eval_reads_standard_input() {
    let place = Place::new();
    let payload = place.payload("server.json", flags(), Audience::Server, None);
    let context = br#"{"targetingKey": "user-1", "country": "DE"}"#;
    let run = place.run_with_input(&["eval", "--snapshot", "server.json", "--flag", "beta", "--context", "-"], context);
    assert_eq!(run.good().json()["rule"], "germans");
    let arguments = ["eval", "--snapshot", "-", "--flag", "limit", "--context", "{}"];
    assert_eq!(place.run_with_input(&arguments, payload.as_bytes()).good().json()["variant"], "high");
    place.run(&["eval", "--snapshot", "-", "--flag", "f", "--context", "-"]).bad(2, &["both be standard input"]);
    let arguments = ["eval", "--snapshot", "server.json", "--flag", "beta", "--context", "-"];
    place.run_with_input(&arguments, b"{\"a\": \"\xff\"}").bad(2, &["--context: no UTF-8 text (at byte 7)"]);
}

#[test]
fn eval_takes_only_what_a_trusted_key_signed() {
    let place = Place::published();
    let question = ["--flag", "new_checkout", "--context", r#"{"targetingKey": "user-42"}"#];
    let eval = |snapshot: &str, arguments: &[&str]| place.eval(snapshot, &[arguments, &question[..]].concat());
    let run = eval(SERVER, &["--keys", KEYS]).good();
    assert_eq!((run.json()["version"].clone(), run.err.as_str()), (json!(1), ""));
    eval(CLIENT, &["--keys", KEYS, "--environment", "production", "--audience", "client"]).good();
    let unchecked = eval(SERVER, &[]).good();
    assert!(unchecked.err.contains("the signature was not checked") && unchecked.out == run.out);

    let refused = |run: Run, messages: &[&str]| assert_eq!(run.bad(1, messages).out, "");
    refused(eval(SERVER, &["--keys", KEYS, "--environment", "staging"]), &[SERVER, "not staging"]);
    refused(eval(SERVER, &["--keys", KEYS, "--audience", "client"]), &["for the audience `server`"]);
    eval(SERVER, &["--environment", "staging"]).bad(1, &["for the environment `production`"]);

    // One letter of the payload.
    let envelope = place.read(SERVER);
    place.write("tampered.json", &envelope.replacen("percent\\\":5000,", "percent\\\":90000,", 1));
    assert_ne!(place.read("tampered.json"), envelope);
    refused(eval("tampered.json", &["--keys", KEYS]), &["tampered.json", "does not match", "the envelope was changed"]);

    // Another key, and another key by the same name.
    let kid = TrustedKeys::from_jwks(place.read(KEYS).as_bytes()).unwrap().iter().next().unwrap().kid().to_owned();
    let other = |name: &str, kid: &str, environment: &str| {
        let jwks = place.run(&["keygen", "--environment", environment, "--kid", kid, "--out", name]).good().out;
        place.write(&format!("{name}.jwks"), &jwks);
    };
    other("other", "other", "production");
    refused(eval(SERVER, &["--keys", "other.jwks"]), &["not among the trusted keys"]);
    other("same", &kid, "production");
    refused(eval(SERVER, &["--keys", "same.jwks"]), &["does not match"]);

    // Staging's key signs something that says it is production's.
    other("staging", "staging", "staging");
    let key = SigningKey::from_jwk(place.read("staging").as_bytes()).unwrap();
    let payload = Envelope::parse(envelope.as_bytes()).unwrap().unverified_payload().to_owned();
    place.write("forged.json", &Envelope::sign(&payload, Typ::Snapshot, "staging", &[&key]).unwrap());
    refused(eval("forged.json", &["--keys", "staging.jwks"]), &["bound to staging, not production"]);
    refused(
        eval("forged.json", &["--keys", "staging.jwks", "--environment", "staging"]),
        &["environment `production`"],
    );

    // An entry of the log is signed as well, but is no snapshot.
    let entry = format!("published/production/entries/{:020}.json", 1);
    refused(eval(&entry, &["--keys", KEYS]), &["the payload is no snapshot"]);
    refused(eval(&entry, &["--keys", KEYS, "--environment", "production"]), &["typ"]);
    place.write("payload.json", &payload);
    refused(eval("payload.json", &["--keys", KEYS]), &["this is no signed envelope"]);
    refused(eval("keys/.gitignore", &["--keys", KEYS]), &["this is no signed envelope"]);
    // A file of the same keys under another name would do, one that holds the secret would not.
    eval(SERVER, &["--keys", "keys/production.private.jwk"]).bad(3, &["keys/production.private.jwk"]);
    eval(SERVER, &["--keys", "flags.yaml"]).bad(3, &["flags.yaml: not a set of trusted keys"]);
    eval(SERVER, &["--keys", "no.jwks"]).bad(3, &["no.jwks: cannot read it"]);
}

#[test]
fn eval_says_what_is_wrong_with_its_input() {
    let place = Place::new();
    place.payload("server.json", flags(), Audience::Server, None);
    let context = |json: &str| place.eval("server.json", &["--flag", "beta", "--context", json]);
    context("{targetingKey: a}").bad(2, &["--context: ", "(at byte 1)", r#"write it like {"targetingKey""#]);
    context(r#"{"a": 1, "a": 2}"#).bad(2, &["`a` stands"]);
    context("[]").bad(2, &["--context: "]);
    context(&format!("{}{}", r#"{"a":"#.repeat(10_000), "1")).bad(2, &["--context: "]);
    context("{\"a\": NaN}").bad(2, &["--context: "]);

    let snapshot = |text: &[u8]| {
        fs::write(place.path("bad.json"), text).unwrap();
        place.eval("bad.json", &["--flag", "beta", "--context", "{}"]).bad(3, &["bad.json: "])
    };
    snapshot(b"");
    snapshot(b"{\"schema\": 1");
    snapshot(b"\xff\xfe");
    snapshot(b"{\"schema\": 2}");
    snapshot(b"{\"payload\": \"{}\"}");
    snapshot("[".repeat(1_000_000).as_bytes());
    let whole = place.read("server.json");
    snapshot(&whole.as_bytes()[..whole.len() / 2]);
    place.eval("no.json", &["--flag", "f", "--context", "{}"]).bad(3, &["no.json: cannot read it"]);
}

// explain

#[test]
fn explain_shows_each_step_down_to_the_one_that_decides() {
    let place = Place::new();
    let definitions = json!({
        "segments": {"staff": {"when": {"attribute": "email", "endsWith": "@example.com"}}},
        "holdouts": {"quarter": {"salt": "quarter-1", "percent": 0}},
        "flags": {
            "gateway": {"salt": "gateway-1", "default": "on"},
            "beta": {
                "salt": "beta-1",
                "prerequisites": [{"flag": "gateway", "variant": "on"}],
                "deny": {"keys": ["user-9"]},
                "holdouts": ["quarter"],
                "rules": [
                    {"id": "staff", "when": {"segment": "staff"}, "serve": "on"},
                    {"id": "germans", "when": {"all": [
                        {"attribute": "country", "in": ["DE"]}, {"not": {"attribute": "age", "lessThan": 18}},
                    ]}, "serve": "on"},
                ],
                "default": {"ramp": {"percent": 50, "serve": "on"}},
            },
        },
    });
    place.payload("server.json", definitions, Audience::Server, None);
    let explain = |context: &str, more: &[&str]| {
        let question = ["explain", "--snapshot", "server.json", "--flag", "beta", "--context", context];
        place.run(&[&question[..], &["--now", "2026-11-21T12:00:00Z"], more].concat()).good()
    };
    let at = position("beta-1", Use::Ramp, "user-1");
    let held = position("quarter-1", Use::Holdout, "user-1");
    let context = r#"{"targetingKey": "user-1", "country": "DE", "age": 17}"#;
    let out = explain(context, &[]).out;
    let (in_or_out, value, variant) = if at < 50_000 { ("in", "true", "on") } else { ("out", "false", "off") };
    let scale = |threshold: u32, position: u32| {
        let cell = |cell: u32| match cell {
            cell if cell == position * 40 / 100_000 => '●',
            cell if cell < threshold * 40 / 100_000 => '█',
            _ => '░',
        };
        (0..40).map(cell).collect::<String>()
    };
    let percent = |position: u32| {
        let text = format!("{}.{:03}", position / 1000, position % 1000);
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    let (at_scale, at_percent) = (scale(50_000, at), percent(at));
    let (held_scale, held_percent) = (scale(0, held), percent(held));
    assert_eq!(
        out,
        format!(
            "beta for \"user-1\" at 2026-11-21T12:00:00Z
version 7 for `production`, audience server

· off pin        not pinned
· kill           not killed
· disabled       enabled
· on pin         not pinned
· prerequisite   holds
    `gateway` serves `on`: holds
    · gateway: off pin        not pinned
    · gateway: kill           not killed
    · gateway: disabled       enabled
    · gateway: on pin         not pinned
    · gateway: prerequisite   none that applies
    · gateway: deny list      none that applies
    · gateway: exclusion      none that applies
    · gateway: allow list     none that applies
    · gateway: holdout        none that applies
    · gateway: layer          none that applies
    ▶ gateway: default        the same for everyone
· deny list      does not apply
    the key is not on the list
· exclusion      none that applies
· allow list     none that applies
· holdout        does not apply
    the holdout `quarter` takes positions below 0 %, the user's is {held_percent} %: out
        {held_scale}
· layer          none that applies
· rule `staff`   does not serve
    email endsWith [\"@example.com\"], email is missing: unknown
    segment `staff`: unknown
· rule `germans` does not serve
    country in [\"DE\"], country is \"DE\": true
    age lessThan 18, age is 17: true
    not that: false
    all of 2: false
▶ default
    the ramp takes positions below 50 %, the user's is {at_percent} %: {in_or_out}
        {at_scale}

{value} (variant `{variant}`), reason SPLIT
"
        )
    );

    let json = explain(context, &["--json"]).json();
    assert_eq!(json["evaluation"]["variant"], variant);
    assert_eq!(json["evaluation"].as_object().unwrap().keys().next().unwrap(), "flag");
    let steps = json["steps"].as_array().unwrap();
    let last = steps.last().unwrap();
    assert_eq!((&last["step"], &last["decided"]), (&json!("default"), &json!(true)));
    assert_eq!(
        last["findings"][0],
        json!({
            "kind": "threshold", "holdout": null, "percent": 50_000, "position": at,
            "membership": if at < 50_000 { "in" } else { "out" },
        })
    );

    assert!(
        explain(r#"{"targetingKey": "user-9"}"#, &[])
            .out
            .contains("▶ deny list      denied\n    the key is on the list")
    );
    assert!(explain("{}", &[]).out.contains("off, because there is no key to bucket by"));
    assert!(explain(r#"{"targetingKey": "u", "email": "a@example.com"}"#, &[]).out.contains("▶ rule `staff`"));
    let gone = ["explain", "--snapshot", "server.json", "--flag", "gone", "--context", "{}"];
    assert!(place.run(&gone).good().out.contains("no value: reason ERROR, FLAG_NOT_FOUND"));
    place.run(&["explain", "--snapshot", "no.json", "--flag", "f", "--context", "{}"]).bad(3, &["no.json"]);
}

// publish, log, diff, verify

#[test]
fn what_is_published_can_be_verified_and_looked_at() {
    let place = Place::published();
    place.edit("flags.yaml", "percent: 5,", "percent: 12.345,");
    let run = place.publish(&["--reason", "More people"]).good();
    assert!(run.out.starts_with("published version 2 for `production`\n"), "{}", run.out);
    assert!(run.out.contains("  ~ flags.new_checkout.default.ramp.percent: 5 → 12.345\n"), "{}", run.out);
    let bytes = fs::metadata(place.path(CLIENT)).unwrap().len();
    let thousands = format!("{},{:03}", bytes / 1000, bytes % 1000);
    assert!(run.out.contains(&format!("client  {CLIENT}  {thousands} bytes\n")), "{}", run.out);

    let verify = |arguments: &[&str]| place.run(&[&["verify", "--keys", KEYS][..], arguments].concat());
    assert!(verify(&["--store", "published"]).good().out.starts_with("ok: 2 versions of `production`"));
    assert_eq!(
        verify(&["--store", "published", "--json"]).good().json(),
        json!({"environment": "production", "entries": 2})
    );
    let snapshot = verify(&["--snapshot", CLIENT, "--json"]).good().json();
    assert_eq!((&snapshot["version"], &snapshot["audience"]), (&json!(2), &json!("client")));
    assert!(verify(&["--snapshot", CLIENT]).good().out.starts_with("ok: version 2 for `production`, audience client"));
    verify(&["--snapshot", CLIENT, "--now", "2100-01-01T00:00:00Z"]).bad(1, &["expired"]);
    verify(&["--snapshot", SERVER, "--audience", "client"]).bad(1, &["`client` is pinned here"]);
    verify(&["--store", "published", "--environment", "staging"]).bad(1, &["no entry for the environment `staging`"]);
    verify(&["--store", "nowhere"]).bad(3, &["nowhere: there is no log here"]);
    verify(&[]).bad(2, &["--snapshot"]);

    let log = place.run(&["log", "--store", "published", "--keys", KEYS, "--verify"]).good().out;
    let mut lines = log.lines();
    let first = lines.next().unwrap();
    assert!(first.starts_with("version 2  2") && first.ends_with("  ana@example.com"), "{log}");
    assert_eq!(lines.next(), Some("    defined flags: `new_checkout`"));
    assert_eq!(lines.next(), Some("    because More people"));
    assert!(log.ends_with("ok: 2 versions and their snapshots are as they were signed, the newest in `current`\n"));
    let log = place.run(&["log", "--store", "published", "--json"]).good();
    assert!(log.err.contains("no signature is checked"));
    let log = log.json();
    assert_eq!((&log[0]["version"], &log[1]["reason"], &log[0]["kid"]), (&json!(2), &json!("A start"), &Value::Null));
    assert_eq!(log[0]["previous"], log[1]["sha256"]);
    place.run(&["log"]).bad(2, &["--store"]);
    place.run(&["log", "--store", "published", "--verify"]).bad(2, &["--keys"]);
    place.run(&["log", "--store", "published", "--environment", "a/b"]).bad(3, &["cannot name an environment"]);

    let diff =
        |arguments: &[&str]| place.run(&[&["diff", "--store", "published", "--keys", KEYS][..], arguments].concat());
    let change = "  ~ flags.new_checkout.default.ramp.percent: 5 → 12.345\n";
    assert_eq!(diff(&[]).good().out, format!("version 1 → version 2\n{change}"));
    assert_eq!(diff(&["1", "flags.yaml"]).good().out, format!("version 1 → flags.yaml\n{change}"));
    assert_eq!(diff(&["2", "flags.yaml"]).good().out, "version 2 → flags.yaml\nnothing changed\n");
    assert_eq!(diff(&["2", "1", "--json"]).good().json()["definitions"][0]["after"], json!(5));
    diff(&["1", "9"]).bad(3, &["there is no version 9", "the newest of 2 versions is 2"]);
    place.write("other.yaml", "flags: {a: {salt: a-1}}").write("more.yaml", "flags: {a: {salt: a-1, owner: ana}}");
    let out = place.run(&["diff", "other.yaml", "more.yaml"]).good().out;
    assert_eq!(out, "other.yaml → more.yaml\n  + flags.a.owner: \"ana\"\n");
    place.run(&["diff", "other.yaml", "no.yaml"]).bad(3, &["no.yaml"]);
    place.run(&["diff", "other.yaml"]).bad(2, &["NEW"]);
}

#[test]
fn a_changed_log_is_found_out() {
    let place = Place::published();
    place.publish(&["--reason", "Again"]).good();
    let first = format!("published/production/entries/{:020}.json", 1);
    place.edit(&first, "A start", "A sting");
    let messages = [first.as_str(), "the envelope was changed"];
    place.run(&["verify", "--store", "published", "--keys", KEYS]).bad(1, &messages);
    place.run(&["log", "--store", "published", "--keys", KEYS]).bad(1, &messages);
    place.run(&["log", "--store", "published"]).good();
    fs::remove_file(place.path(&first)).unwrap();
    place.run(&["verify", "--store", "published", "--keys", KEYS]).bad(1, &["the entry before this one is missing"]);
}

#[test]
fn publish_refuses_what_it_must_and_writes_nothing_then() {
    let place = Place::new();
    place.run(&["init"]).good();
    let good = place.read("flags.yaml");
    place.edit("flags.yaml", "variant: on}", "variant: of}");
    let run = place
        .publish(&["--reason", "r"])
        .bad(1, &["flags.yaml:", "did you mean `off`?", "have 1 error; mend them first"]);
    assert_eq!(run.out, "");
    place.write("flags.yaml", &good);
    place.publish(&["--reason", "r", "--expires", "soon"]).bad(2, &["--expires"]);
    place.publish(&[]).bad(2, &["--reason"]);
    place.publish(&["--reason", "r", "--reset", "nothing"]).bad(2, &["there is no flag `nothing`"]);
    place.publish(&["--reason", "r", "--key", "no.jwk"]).bad(3, &["no.jwk: cannot read it"]);
    let message = "not a signing key: this is a set of public keys; give the private key, a `.private.jwk`";
    place.publish(&["--reason", "r", "--key", KEYS]).bad(3, &[KEYS, message]);
    assert!(!place.path("published/production").exists());

    let run = place.publish(&["--reason", "r", "--dry-run"]).good();
    assert!(run.out.starts_with("would publish version 1 for `production`\n"), "{}", run.out);
    assert!(!place.path("published/production").exists());
    let sizes = run.out.split_once("server").unwrap().1.to_owned();

    let run = place.publish(&["--reason", "r"]).good();
    assert_eq!(run.out.split_once("server").unwrap().1, sizes, "a rehearsal says what will be");
    // A key for another environment, and one that the head's signer is not among.
    let keygen = |name: &str, environment: &str| {
        place.run(&["keygen", "--environment", environment, "--out", name, "--public", "all.jwks"]).good();
    };
    keygen("staging.jwk", "staging");
    keygen("new.jwk", "production");
    let by = |key: &str, more: &[&str]| {
        let publish = ["publish", "flags.yaml", "--environment", "production", "--store", "published", "--key", key];
        place.run(&[&publish[..], &["--reason", "r", "--author", "a"], more].concat())
    };
    by("staging.jwk", &["--keys", KEYS]).bad(1, &["is bound to staging"]);
    by("staging.jwk", &["--keys", KEYS, "--dry-run"]).bad(1, &["is bound to staging"]);
    let entry = format!("error: published/production/entries/{:020}.json: signed by", 1);
    by("new.jwk", &[])
        .bad(1, &[&entry, "not the key given with --key", "name the set that holds the other with --keys"]);
    by("new.jwk", &["--keys", KEYS]).good();
    assert_eq!(place.run(&["log", "--store", "published", "--json"]).json()[0]["version"], 2);
}

#[test]
fn publishers_at_once_do_not_overwrite_one_another() {
    let place = Place::published();
    let publish = ["publish", "flags.yaml", "--environment", "production", "--store", "published"];
    let arguments = [&publish[..], &["--key", "keys/production.private.jwk", "--author", "a", "--reason"]].concat();
    // Of the same author for the same reason in the same millisecond it would be the same entry.
    let start = |racer: i32| {
        let mut command = place.command(&arguments);
        command.arg(format!("Race {racer}")).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let children: Vec<_> = (0..8).map(start).collect();
    let runs: Vec<_> = children.into_iter().map(|child| Run::from(child.wait_with_output().unwrap())).collect();
    let (won, lost): (Vec<_>, Vec<_>) = runs.into_iter().partition(|run| run.code == 0);
    assert!(!won.is_empty());
    for run in lost {
        run.bad(1, &["was published by somebody else just now; look at it, and try again"]);
    }
    let entries = place.run(&["verify", "--store", "published", "--keys", KEYS, "--json"]).good().json();
    assert_eq!(entries["entries"], 1 + won.len());
}

#[test]
fn secrets_are_never_printed() {
    let place = Place::new();
    place.run(&["init"]).good();
    let jwk: Value = serde_json::from_str(&place.read("keys/production.private.jwk")).unwrap();
    let secret = jwk["d"].as_str().unwrap();
    let key = "keys/production.private.jwk";
    let mut runs = vec![
        place.publish(&["--reason", "r"]).good(),
        place.publish(&["--reason", "r", "--json"]).good(),
        place.run(&["verify", "--snapshot", SERVER, "--keys", key]),
        place.run(&["lint", key]),
        place.run(&["eval", "--snapshot", key, "--flag", "f", "--context", "{}"]),
        place.run(&["keygen", "--environment", "e", "--out", "new.jwk", "--public", key]),
    ];
    place.write("broken.jwk", &jwk.to_string().replace("Ed25519", "Ed448"));
    runs.push(place.publish(&["--reason", "r", "--key", "broken.jwk"]));
    // Lines of definitions are shown, and a key that is broken looks like them.
    place.write("damaged.jwk", &format!("{:#}", jwk).replace("\n}", ",,\n}"));
    runs.push(place.run(&["lint", "damaged.jwk"]));
    for run in &runs {
        assert!(!run.out.contains(secret) && !run.err.contains(secret), "{run:?}");
    }
    let files = fs::read_dir(place.path("published/production/entries")).unwrap();
    assert!(files.into_iter().all(|file| !fs::read_to_string(file.unwrap().path()).unwrap().contains(secret)));
}

#[test]
fn what_moves_users_is_warned_of() {
    let place = Place::published();
    let (old, owner) = (salt_of(&place, "new_checkout"), "owner: shop\n    client: true\n    variants:");
    place.edit("flags.yaml", &format!("salt: {old}"), "salt: new_checkout-2");
    place.edit("flags.yaml", owner, &owner.replace("client", "bucketBy: account\n    client"));
    let salt = format!("a new `salt` moves every user of `new_checkout`, put `{old}` back unless that is meant");
    let run = place.publish(&["--reason", "A new salt", "--dry-run"]).good();
    assert!(run.err.contains(&format!("warning: flags.yaml:19:11: {salt}\n")), "{}", run.err);
    assert!(run.err.contains("a new `bucketBy` moves every user of `checkout_button`, put `targetingKey` back"));
    let run = place.run(&["diff", "--store", "published", "--keys", KEYS, "1", "flags.yaml", "--json"]).good();
    assert!(run.err.contains(&salt), "{}", run.err);
    assert_eq!(run.json()["warnings"].as_array().map(Vec::len), Some(2));

    // What decides by no position moves nobody, and a flag that is gone is said.
    place.write("one.yaml", "flags: {a: {salt: a-1, default: on}, b: {salt: b-1}}");
    place.write("two.yaml", "flags: {a: {salt: a-2, default: on}}");
    let run = place.run(&["diff", "one.yaml", "two.yaml"]).good();
    assert_eq!(run.err, "note: `b` is removed: code that still asks for it gets its own default\n");
}

#[test]
fn what_people_download_is_verified_too() {
    let place = Place::published();
    place.publish(&["--reason", "Again"]).good();
    let server = place.read(SERVER);
    let verify = || place.run(&["verify", "--store", "published", "--keys", KEYS]);
    assert!(verify().good().out.ends_with("the newest in `current`\n"));
    for (name, text, message) in [
        (SERVER, "{}", "not a signed envelope"),
        (CLIENT, server.as_str(), "this is the snapshot for the audience server"),
    ] {
        let good = place.read(name);
        place.write(name, text);
        let message = format!("error: {name}: {message}");
        verify().bad(1, &[&message, "so version 2 is not being served; publish again to put it right"]);
        place.run(&["log", "--store", "published", "--keys", KEYS, "--verify"]).bad(1, &[&message]);
        place.write(name, &good);
    }
    fs::remove_file(place.path(CLIENT)).unwrap();
    verify().bad(1, &[&format!("error: {CLIENT}: there is no such object")]);
    place.publish(&["--reason", "Put right"]).good();
    verify().good();
}

// pin

#[test]
fn pins_are_signed_and_are_no_snapshot() {
    use base64ct::{Base64UrlUnpadded, Encoding};

    let place = Place::published();
    let pin = |arguments: &[&str]| {
        let pin = ["pin", "--environment", "production", "--key", "keys/production.private.jwk"];
        place.run(&[&pin[..], arguments].concat())
    };
    let keys = TrustedKeys::from_jwks(place.read(KEYS).as_bytes()).unwrap();
    let verify = |token: &str, typ| {
        let envelope = Base64UrlUnpadded::decode_vec(token).expect("a token is base64url");
        Envelope::parse(&envelope).and_then(|envelope| envelope.verify(&keys, "production", typ))
    };
    let before = Timestamp::now();
    let run = pin(&["new_checkout=on", "checkout_button=", "theme=off", "--for", "2h 30m"]).good();
    let token = run.out.trim_end();
    let payload: Value = serde_json::from_str(&verify(token, Typ::Pins).unwrap().payload).unwrap();
    let expires = payload["expires"].as_str().unwrap();
    let valid = 9_000_000..=9_000_000 + Timestamp::now().as_millis() - before.as_millis();
    assert!(valid.contains(&(instant(expires).as_millis() - before.as_millis())), "{expires}");
    let pins = json!({"checkout_button": null, "new_checkout": "on", "theme": null});
    assert_eq!(payload, json!({"environment": "production", "expires": expires, "pins": pins}));

    // Neither is taken for the other.
    assert!(verify(token, Typ::Snapshot).unwrap_err().to_string().contains("flagstone-pins+json"));
    assert!(verify(token, Typ::Entry).is_err());
    let snapshot = Base64UrlUnpadded::encode_string(place.read(CLIENT).as_bytes());
    assert!(verify(&snapshot, Typ::Snapshot).is_ok());
    assert!(verify(&snapshot, Typ::Pins).unwrap_err().to_string().contains("flagstone-snapshot+json"));

    let link = "https://app.example/checkout?plan=pro#pay";
    let json = pin(&["new_checkout=on", "--link", link, "--json"]).good().json();
    let token = json["token"].as_str().unwrap();
    let linked = format!("https://app.example/checkout?plan=pro&flagstone-pins={token}#pay");
    assert_eq!((json["link"].as_str(), &json["pins"]), (Some(linked.as_str()), &json!({"new_checkout": "on"})));
    assert_eq!(verify(token, Typ::Pins).unwrap().payload, {
        let expires = json["expires"].as_str().unwrap();
        format!(r#"{{"environment":"production","expires":"{expires}","pins":{{"new_checkout":"on"}}}}"#)
    });
    let printed = pin(&["new_checkout=on", "--link", link]).good().out;
    assert!(printed.starts_with("https://app.example/checkout?plan=pro&flagstone-pins=ey"), "{printed}");
}

#[test]
fn pin_says_what_is_wrong() {
    let place = Place::published();
    let pin = |arguments: &[&str]| {
        let pin = ["pin", "--environment", "production", "--key", "keys/production.private.jwk"];
        place.run(&[&pin[..], arguments].concat())
    };
    pin(&[]).bad(2, &["<FLAG=VARIANT>"]);
    pin(&["new_checkout"]).bad(2, &["write a flag and a variant, as in `use_new_gateway=on`"]);
    pin(&["=on"]).bad(2, &["write a flag and a variant"]);
    pin(&["a=on", "a=off"]).bad(2, &["`a` is pinned twice"]);
    pin(&["a=on", "--for", "31d"]).bad(2, &["30 days at most"]);
    pin(&["a=on", "--for", "0s"]).bad(2, &["a second at least"]);
    pin(&["a=on", "--for", "soon"]).bad(2, &["--for"]);
    pin(&["a=on", "--link", "/checkout"]).bad(2, &["write the whole address"]);
    pin(&["a=on", "--keys", KEYS]).bad(2, &["--snapshot"]);
    let wrong_key = ["pin", "a=on", "--environment", "staging", "--key", "keys/production.private.jwk"];
    place.run(&wrong_key).bad(1, &["bound to production and cannot sign for staging"]);

    let checked = |pins: &[&str]| pin(&[pins, &["--snapshot", CLIENT, "--keys", KEYS]].concat());
    assert_eq!(checked(&["checkout_button=order", "new_checkout=off"]).good().err, "");
    checked(&["new_chekout=on"])
        .bad(2, &[CLIENT, "there is no flag `new_chekout`; there are checkout_button, new_checkout"]);
    checked(&["checkout_button=on"]).bad(2, &["`checkout_button` has no variant `on`; it has buy, order, pay"]);
    pin(&["a=on", "--snapshot", "no.json"]).bad(3, &["no.json: cannot read it"]);
    let staging = ["pin", "a=on", "--environment", "staging", "--key", "k", "--snapshot", CLIENT];
    place.run(&staging).bad(1, &["`staging` is pinned here"]);
}

/// Does what an operator's verb does: appends an entry with another state.
fn operate(place: &Place, state: &State) {
    let key = SigningKey::from_jwk(place.read("keys/production.private.jwk").as_bytes()).unwrap();
    let folder = place.path("published");
    let log = Log::open(folder.to_str().unwrap(), "production", TrustedKeys::from_iter([key.public()])).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let head = log.head().await.unwrap();
        let definitions = head.as_ref().unwrap().entry.definitions.clone();
        let read: Definitions = serde_json::from_value(definitions.clone()).unwrap();
        let (version, now) = (Log::version_after(head.as_ref()), Timestamp::now());
        let snapshots = [Audience::Server, Audience::Client].map(|audience| {
            let environment = "production".to_owned();
            let expires = Some(now.plus_millis(1_000_000));
            compile(&read, state, &Options { environment, audience, version, created: now, expires }).unwrap()
        });
        let entry = NewEntry {
            definitions,
            state: serde_json::to_value(state).unwrap(),
            author: "oncall".to_owned(),
            reason: "an operator's verb".to_owned(),
            time: now,
            snapshots: snapshots.into(),
        };
        log.append(head.as_ref(), entry, &[&key]).await.unwrap();
    });
}

fn salt_of(place: &Place, flag: &str) -> String {
    let text = place.read("flags.yaml");
    let line = text.lines().find(|line| line.trim().starts_with(&format!("salt: {flag}-"))).unwrap();
    line.trim().strip_prefix("salt: ").unwrap().to_owned()
}

#[test]
fn publishing_never_undoes_what_operators_did() {
    let place = Place::published();
    let percent = PercentState { default: Some("25".parse().unwrap()), ..PercentState::default() };
    let kill = Kill { reason: Some("it burns".to_owned()), ..Kill::default() };
    let flags = [
        ("new_checkout", FlagState { salt: salt_of(&place, "new_checkout"), percent, ..FlagState::default() }),
        (
            "checkout_button",
            FlagState {
                salt: salt_of(&place, "checkout_button"),
                killed: Some(kill),
                enabled: Some(true),
                ..FlagState::default()
            },
        ),
    ];
    let flags = flags.map(|(key, state)| (key.to_owned(), state)).into();
    operate(&place, &State { flags, ..State::default() });
    let share = |flag: &str| {
        let run = place.run(&["simulate", "--snapshot", SERVER, "--flag", flag, "--users", "4000", "--json"]).good();
        let report = run.json();
        let on = report["flags"][0]["variants"].as_array().unwrap().iter().find(|share| share["name"] == "on").cloned();
        on.map_or(0, |on| on["users"].as_u64().unwrap())
    };
    let at_25_percent = share("new_checkout");

    // What is about something else is published, and the percent stays.
    place.edit("flags.yaml", "The checkout in one page", "The checkout on one page");
    let run = place.publish(&["--reason", "Words"]).good();
    assert!(run.err.contains("`checkout_button` stays killed (flag)"), "{}", run.err);
    assert_eq!(share("new_checkout"), at_25_percent);

    // What is about the percent does nothing, and says so.
    place.edit("flags.yaml", "{percent: 5, serve: on}", "{percent: 15, serve: on}");
    place.publish(&["--reason", "More"]).bad(
        1,
        &[
            "flags.new_checkout.default.ramp.percent: 5 → 15",
            "--keep-state to leave it so",
            "--reset new_checkout to drop",
        ],
    );
    let refused = place.publish(&["--reason", "More", "--json"]);
    assert_eq!((refused.code, refused.json()["published"].clone()), (1, json!(false)));
    assert_eq!(refused.json()["overridden"][0]["path"], "flags.new_checkout.default.ramp.percent");
    assert_eq!(place.run(&["log", "--store", "published", "--json"]).json()[0]["version"], 3);
    let run = place.publish(&["--reason", "More", "--keep-state"]).good();
    assert!(run.err.contains("flags.new_checkout.default.ramp.percent: the state has another value, which stays"));
    assert_eq!(share("new_checkout"), at_25_percent);

    // A reset drops it; a kill is not dropped.
    place.edit("flags.yaml", "{percent: 15, serve: on}", "{percent: 20, serve: on}");
    let run = place.publish(&["--reason", "Less", "--reset", "new_checkout", "--reset", "checkout_button"]).good();
    assert!(run.out.contains("\n  `checkout_button` enabled or not as defined\n"), "{}", run.out);
    assert!(run.err.contains("`checkout_button` stays killed (flag)"), "{}", run.err);
    assert!(share("new_checkout") < at_25_percent);
    let diff = place.run(&["diff", "--store", "published", "--json"]).good().json();
    let state: Vec<_> =
        diff["state"].as_array().unwrap().iter().map(|change| change["path"].as_str().unwrap()).collect();
    assert_eq!(state, ["flags.checkout_button.enabled", "flags.new_checkout"]);
    let killed = place.eval(SERVER, &["--flag", "checkout_button", "--context", "{}"]).good().json();
    assert_eq!(killed["reason"], "DISABLED");
}

#[test]
fn publishing_never_undoes_the_kill_of_a_tag() {
    let place = Place::published();
    place.edit("flags.yaml", "owner: shop\n", "owner: shop\n    tags: [payments]\n");
    place.publish(&["--reason", "A tag"]).good();
    let kill = Kill { reason: Some("provider down".to_owned()), ..Kill::default() };
    operate(&place, &State { killed_tags: [("payments".to_owned(), kill)].into(), ..State::default() });

    place.edit("flags.yaml", "    tags: [payments]\n", "");
    let run = place.publish(&["--reason", "No tag"]).good();
    assert!(run.err.contains("`new_checkout` stays killed (flag)"), "{}", run.err);
    assert!(run.out.contains("\n  killed `new_checkout`\n"), "{}", run.out);
    let killed = place.eval(SERVER, &["--flag", "new_checkout", "--context", "{}"]).good().json();
    assert_eq!(killed["reason"], "DISABLED");
}

// simulate

#[test]
fn simulate_counts_what_the_engine_decides() {
    let place = Place::new();
    let flags = |percent: u32| {
        format!("flags: {{beta: {{salt: beta-1, default: {{ramp: {{percent: {percent}, serve: on}}}}}}}}")
    };
    place.write("old.yaml", &flags(10)).write("new.yaml", &flags(25));
    let users = 2_000;
    let below = |percent: u32| {
        let inside = |number: &u32| position("beta-1", Use::Ramp, &format!("user-{number}")) < percent * 1000;
        (0..users).filter(inside).count() as u64
    };
    let run = place.run(&["simulate", "new.yaml", "--against", "old.yaml", "--users", "2000", "--json"]).good();
    let report = run.json();
    assert_eq!(report["users"], 2_000);
    let flag = &report["flags"][0];
    assert_eq!(
        flag["variants"],
        json!([
            {"name": "off", "users": 2_000 - below(25)}, {"name": "on", "users": below(25)},
        ])
    );
    assert_eq!(flag["moved"], below(25) - below(10));
    assert_eq!(
        flag["fromTo"],
        json!([
            {"from": "off", "to": "off", "users": 2_000 - below(25)},
            {"from": "off", "to": "on", "users": below(25) - below(10)},
            {"from": "on", "to": "on", "users": below(10)},
        ])
    );
    let text = place.run(&["simulate", "new.yaml", "--against", "old.yaml", "--users", "2000"]).good().out;
    assert!(text.starts_with("2,000 users\n\nbeta\n  off  ") && text.contains("█"), "{text}");
    assert!(text.contains(&format!("  moves {} users, ", below(25) - below(10))), "{text}");
    assert!(text.contains("    from ↓ to →"), "{text}");
    let same = place.run(&["simulate", "old.yaml", "--against", "old.yaml", "--users", "50"]).good().out;
    assert!(same.contains("  moves nobody\n"), "{same}");
}

#[test]
fn simulated_users_match_rules_and_are_the_same_for_the_same_seed() {
    let place = Place::new();
    let rule = "{id: pro, when: {attribute: account.plan, in: [pro, team]}, serve: on}";
    place.write("flags.yaml", &format!("flags: {{beta: {{salt: b-1, rules: [{rule}]}}}}"));
    let run = |seed: &str| place.run(&["simulate", "--users", "500", "--seed", seed, "--json"]).good().out;
    let report: Value = serde_json::from_str(&run("1")).unwrap();
    let matched = report["flags"][0]["reasons"].as_array().unwrap().iter().find(|r| r["name"] == "TARGETING_MATCH");
    let matched = matched.expect("some match")["users"].as_u64().unwrap();
    assert!((50..450).contains(&matched), "{matched}");
    assert_eq!(run("1"), run("1"));
    assert_ne!(run("1"), run("2"));

    place.write("users.jsonl", "{\"account\": {\"plan\": \"pro\"}}\n\n{\"account\": {\"plan\": \"free\"}}\n{}\n");
    let mine = place.run(&["simulate", "--users-file", "users.jsonl", "--json"]).good().json();
    assert_eq!((&mine["users"], &mine["seed"]), (&json!(3), &Value::Null));
    assert_eq!(mine["flags"][0]["variants"], json!([{"name": "off", "users": 2}, {"name": "on", "users": 1}]));

    place.write("bad.jsonl", "{}\n{\"a\": }\n");
    place.run(&["simulate", "--users-file", "bad.jsonl"]).bad(3, &["bad.jsonl:2: "]);
    place.run(&["simulate", "--users-file", "no.jsonl"]).bad(3, &["no.jsonl"]);
    place.write("none.jsonl", "");
    place.run(&["simulate", "--users-file", "none.jsonl"]).bad(2, &["no user"]);
    place.run(&["simulate", "--flag", "gone"]).bad(2, &["--flag gone: there is no such flag; there are beta"]);
    place.run(&["simulate", "--users", "many"]).bad(2, &["--users"]);
    place.run(&["simulate", "--against", "no.yaml"]).bad(3, &["no.yaml"]);
    place.write("flags.yaml", "flags: {beta: {salt: b-1, default: of}}");
    place.run(&["simulate"]).bad(1, &["flags.yaml:1:36", "did you mean `off`?"]);
}

#[test]
fn simulate_takes_snapshots_and_sees_new_values() {
    let place = Place::published();
    place.edit("flags.yaml", "pay: Pay}", "pay: Pay now}");
    let arguments = ["simulate", "flags.yaml", "--against", SERVER, "--keys", KEYS, "--users", "3000", "--json"];
    let report = place.run(&[&arguments[..], &["--flag", "checkout_button"]].concat()).good().json();
    let flag = &report["flags"][0];
    let moves = flag["fromTo"].as_array().unwrap();
    let new = moves.iter().find(|one| one["to"] == "pay (new value)").expect("some had the old words");
    assert_eq!((&new["from"], &new["users"]), (&json!("pay"), &flag["moved"]));
    let two = ["simulate", "--snapshot", SERVER, "--keys", "keys/production.private.jwk"];
    place.run(&two).bad(3, &["keys/production.private.jwk"]);
}

// stale

#[test]
fn stale_names_flags_and_owners() {
    let place = Place::new();
    let flags = "flags:\n  done: {salt: d-1, owner: ana, default: {ramp: {percent: 100, serve: on}}}\n  \
                 over: {salt: o-1, expires: 2026-03-01, default: {ramp: {percent: 5, serve: on}}}\n";
    place.write("flags.yaml", flags);
    let run = place.run(&["stale", "--now", "2026-11-21T12:00:00Z"]);
    assert_eq!(run.code, 1);
    assert_eq!(
        run.out,
        "done  owned by ana\n    everyone gets `on`\nover  owned by nobody\n    expired 2026-03-01T00:00:00Z\n2 of 2 flags stale\n"
    );
    let json = place.run(&["stale", "--now", "2026-02-01T00:00:00Z", "--json"]);
    assert_eq!(json.json(), json!([{"flag": "done", "owner": "ana", "reasons": [{"sameForEveryone": "on"}]}]));
    place.edit("flags.yaml", "percent: 100", "percent: 50");
    assert_eq!(place.run(&["stale", "--now", "2026-02-01T00:00:00Z"]).good().out, "ok: none of 2 flags is stale\n");
    place.run(&["stale", "--now", "2026-02-01"]).bad(2, &["--now"]);
    place.run(&["stale", "no.yaml"]).bad(3, &["no.yaml"]);
    place.write("flags.yaml", "flags: []");
    place.run(&["stale"]).bad(1, &["flags.yaml:1:"]);
}

// types

/// Keys, variants and texts that no language takes as they are.
fn awkward() -> Value {
    json!({"flags": {
        "new-checkout": {"salt": "1", "description": "The end of a comment */ and [a link] <b>", "owner": "a\\u"},
        "new_checkout": {"salt": "2"},
        "9 lives": {"salt": "3", "variants": {"a": 1, "b": 2.5}, "off": "a"},
        "self": {"salt": "4", "variants": {"self": "Self", "Self": "it's", "1": "\"\\\n{}", "é": "é", "twice": "é"}, "off": "self"},
        "日本": {"salt": "5", "variants": {"on": "", "off": "off"}},
        "layout": {"salt": "6", "variants": {"a": {"columns": [1, 2], "a-b": null}, "b": {}, "c": []}, "off": "a"},
        "matrix": {"salt": "7", "variants": {"a": [[1, 2, 3], [4, 5, 6], [7, 8, "9"]], "b": [true]}, "off": "a"},
        "plain": {"salt": "8", "type": "json", "variants": {"a": 1.0, "b": "text", "c": null}, "off": "a"},
    }})
}

#[test]
fn types_for_rust_compile() {
    let place = Place::new();
    place.write("flags.json", &awkward().to_string());
    place.run(&["types", "--language", "rust", "--out", "flags.rs"]).good();
    place.write(
        "user.rs",
        "//! Uses them.\n#[path = \"flags.rs\"]\n/// Flags.\npub mod flags;\n\n/// Runs.\npub fn main() {\n    \
         assert_eq!(flags::NEW_CHECKOUT, \"new-checkout\");\n    assert_eq!(flags::NEW_CHECKOUT_2, \"new_checkout\");\n    \
         for value in flags::FlagSelf::ALL {\n        assert_eq!(flags::FlagSelf::from_value(value.as_str()), Some(*value));\n    }\n    \
         assert_eq!(flags::FlagSelf::ALL.len(), 4);\n    assert_eq!(flags::FlagSelf::from_value(\"none\"), None);\n}\n",
    );
    let mut rustc = Command::new("rustc");
    rustc.current_dir(place.0.path()).args(["--edition", "2024", "-D", "warnings", "-W", "missing-docs", "user.rs"]);
    let output = rustc.output().expect("rustc comes with cargo: see https://rustup.rs");
    assert!(output.status.success(), "{}\n{}", String::from_utf8_lossy(&output.stderr), place.read("flags.rs"));
    let ran = Command::new(place.path("user")).output().expect("it was compiled");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
}

#[test]
fn types_for_typescript_compile() {
    let place = Place::new();
    place.write("flags.json", &awkward().to_string());
    place.run(&["types", "--language", "typescript", "--out", "flags.ts"]).good();
    place.write(
        "user.ts",
        r#"import type { FlagKey, Flags } from "./flags";
declare function value<K extends FlagKey>(key: K): Flags[K];
export const on: boolean = value("new-checkout");
export const lives: number = value("9 lives");
export const name: "Self" | "it's" | "\"\\\n{}" | "é" = value("self");
export const cells: readonly unknown[] = value("matrix");
export const plain: 1 | "text" | null = value("plain");
// @ts-expect-error: a string flag has no other values
export const other: "other" = value("self");
// @ts-expect-error: there is no such flag
value("gone");
"#,
    );
    let tsc = Path::new(env!("CARGO_MANIFEST_DIR")).join("pkg-templates/node_modules/.bin/tsc");
    assert!(tsc.exists(), "TypeScript is missing; install it: npm --prefix pkg-templates ci");
    let options = ["--noEmit", "--strict", "--target", "es2022", "--module", "esnext", "--moduleResolution", "bundler"];
    let output = Command::new(tsc).current_dir(place.0.path()).args(options).arg("user.ts").output().unwrap();
    assert!(output.status.success(), "{}\n{}", String::from_utf8_lossy(&output.stdout), place.read("flags.ts"));
}

#[test]
fn types_say_what_is_wrong() {
    let place = Place::new();
    place.write("flags.yaml", "flags: {a: {salt: a-1}}");
    place.run(&["types"]).bad(2, &["--language"]);
    place.run(&["types", "--language", "cobol"]).bad(2, &["typescript"]);
    place.run(&["types", "--language", "rust", "--out", "no/such/folder.rs"]).bad(3, &["no/such/folder.rs"]);
    place.run(&["types", "no.yaml", "--language", "rust"]).bad(3, &["no.yaml"]);
    let out = place.run(&["types", "--language", "typescript"]).good().out;
    assert!(out.contains("  \"a\": boolean;\n"), "{out}");
    // No definitions are no reason to break a build.
    place.write("flags.yaml", "flags: {}");
    place.run(&["types", "--language", "rust"]).good();
}

// streams

#[test]
fn nobody_minds_a_reader_who_leaves() {
    let place = Place::published();
    place.write("flags.json", &awkward().to_string());
    for arguments in [
        &["schema"][..],
        &["--help"],
        &["lint", "flags.yaml"],
        &["log", "--store", "published"],
        &["types", "flags.json", "--language", "rust"],
        &["eval", "--snapshot", SERVER, "--flag", "new_checkout", "--context", "{}"],
        &["simulate", "flags.yaml", "--users", "10"],
    ] {
        let (reader, writer) = std::io::pipe().expect("there are pipes");
        drop(reader);
        let mut command = place.command(arguments);
        let output = command.stdout(writer).stderr(Stdio::piped()).output().expect("the command starts");
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !err.contains("panicked") && !err.contains("error"), "{arguments:?}: {err}");
    }
    // The same for standard error, which says less but stops nothing.
    let (reader, writer) = std::io::pipe().expect("there are pipes");
    drop(reader);
    let mut command = place.command(&["eval", "--snapshot", SERVER, "--flag", "new_checkout", "--context", "{}"]);
    assert!(command.stderr(writer).output().expect("the command starts").status.success());
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_no_success() {
    let place = Place::new();
    let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
    let output = place.command(&["schema"]).stdout(full).stderr(Stdio::piped()).output().expect("the command starts");
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stderr).contains("standard output: cannot write"));
}

#[test]
fn colour_is_for_terminals_and_for_those_who_want_it() {
    let place = Place::new();
    place.write("flags.yaml", "flags: {beta: {salt: b-1, default: of}}");
    assert!(!place.run(&["lint"]).out.contains('\x1b'));
    let lint = |variables: &[(&str, &str)]| {
        let mut command = place.command(&["lint"]);
        command.envs(variables.iter().copied());
        Run::of(command)
    };
    assert!(lint(&[("CLICOLOR_FORCE", "1")]).out.contains("\x1b["));
    assert!(!lint(&[("NO_COLOR", "1")]).out.contains('\x1b'));
}

impl Place {
    /// A verb that writes to production.
    fn write_log(&self, arguments: &[&str]) -> Run {
        let to = ["--environment", "production", "--store", "published", "--key", "keys/production.private.jwk"];
        self.run(&[arguments, &to, &["--author", "dana@example.com", "--reason", "Errors"]].concat())
    }

    fn newest(&self) -> Value {
        self.run(&["log", "--store", "published", "--json"]).good().json()[0].clone()
    }

    fn served(&self, user: &str) -> (String, String) {
        let context = json!({"targetingKey": user}).to_string();
        let arguments = ["--flag", "new_checkout", "--context", &context];
        let answer = self.eval("published/production/current/server.json", &arguments).good().json();
        let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
        (text("variant"), text("reason"))
    }
}

#[test]
fn a_kill_can_be_undone_as_it_says() {
    let place = Place::published();
    place.write_log(&["ramp", "new_checkout", "--percent", "100"]).good();
    let before = place.served("u");
    assert_eq!(before.0, "on");
    let run = place.write_log(&["kill", "new_checkout"]).good();
    assert!(run.out.starts_with("killed: version 3 of `production`\n"), "{}", run.out);
    assert_eq!(place.served("u"), ("off".to_owned(), "DISABLED".to_owned()));
    let entry = place.newest();
    assert_eq!((&entry["author"], &entry["reason"]), (&json!("dana@example.com"), &json!("Errors")));

    let run = place.write_log(&["kill", "new_checkout"]).good();
    assert_eq!(run.out, "nothing to do: version 3 of `production` has it so already\n");

    let run = place.write_log(&["kill", "new_checkout", "--json", "--reason", "Other"]);
    assert_eq!(run.code, 2, "a reason given twice");
    let killed = place
        .run(&[
            "kill",
            "--all",
            "--environment",
            "production",
            "--store",
            "published",
            "--reason",
            "All",
            "--key",
            "keys/production.private.jwk",
            "--author",
            "dana",
            "--json",
        ])
        .good()
        .json();
    assert_eq!(
        (&killed["changed"], &killed["version"], &killed["state"][0]["path"]),
        (&json!(true), &json!(4), &json!("killedAll.reason"))
    );
    let undo = killed["undo"].as_str().unwrap();
    assert_eq!(
        undo,
        "flagstone restore --all --environment production --store published --key keys/production.private.jwk --reason …"
    );
    let words: Vec<&str> = undo.split(' ').skip(1).collect();
    place.run(&[&words[..], &["--author", "dana"]].concat()).good();
    place.write_log(&["restore", "new_checkout"]).good();
    assert_eq!(place.served("u"), before);
    place.run(&["verify", "--store", "published", "--keys", KEYS]).good();
}

#[test]
fn where_to_write_can_come_from_the_environment() {
    let place = Place::published();
    let mut command = place.command(&["kill", "new_checkout", "--reason", "Errors"]);
    for (name, value) in [
        ("FLAGSTONE_ENVIRONMENT", "production"),
        ("FLAGSTONE_STORE", "published"),
        ("FLAGSTONE_KEY", "keys/production.private.jwk"),
        ("FLAGSTONE_AUTHOR", "dana"),
    ] {
        command.env(name, value);
    }
    Run::of(command).good();
    assert_eq!(place.newest()["author"], "dana");
}

#[test]
fn operators_set_percents_and_lists() {
    let place = Place::published();
    let ramp = |percent: &str| place.write_log(&["ramp", "new_checkout", "--percent", percent]);
    let run = ramp("12.5").good();
    assert!(run.out.contains("new_checkout") && run.out.contains("12.5"), "{}", run.out);
    ramp("0").good();
    assert_eq!(place.served("user-7").0, "off");
    place.write_log(&["allow", "new_checkout", "user-7", "user-8"]).good();
    assert_eq!(place.served("user-7").0, "on");
    place.write_log(&["exclude", "new_checkout", "--user", "user-8", "--positions", "10-12.5"]).good();
    assert_eq!(place.served("user-8").0, "off");
    place.write_log(&["readmit", "new_checkout"]).good();
    assert_eq!(place.served("user-8").0, "on");
    place.write_log(&["deny", "new_checkout", "user-7"]).good();
    assert_eq!(place.served("user-7").0, "off");
    place.write_log(&["unlist", "new_checkout", "user-7", "user-8"]).good();
    place.write_log(&["disable", "new_checkout"]).good();
    assert_eq!(place.served("user-7").1, "DISABLED");
    place.write_log(&["enable", "new_checkout"]).good();
    place.write_log(&["enable", "new_checkout", "--as-defined"]).good();
    place.write_log(&["ramp", "new_checkout", "--as-defined"]).good();
    let last = place.newest()["version"].as_u64().unwrap();
    let diff = place.run(&["diff", "--store", "published", "1", &last.to_string(), "--json"]).good().json();
    assert_eq!((&diff["definitions"], &diff["state"]), (&json!([]), &json!([])));
    let rehearsal = place.write_log(&["ramp", "new_checkout", "--percent", "33", "--dry-run"]).good();
    assert!(rehearsal.out.starts_with("would set: version "), "{}", rehearsal.out);
    assert_eq!(place.newest()["version"], last);
}

#[test]
fn operators_are_told_what_is_wrong() {
    let place = Place::published();
    for (code, arguments, message) in [
        (2, &["kill", "new_chekout"][..], "there is no flag `new_chekout`; did you mean `new_checkout`?"),
        (2, &["kill"], "required"),
        (2, &["kill", "new_checkout", "--all"], "cannot be used with"),
        (2, &["kill", "--tag", "nonesuch"], "no flag has the tag `nonesuch`"),
        (2, &["ramp", "new_checkout"], "required"),
        (2, &["ramp", "new_checkout", "--percent", "101"], "`101` is not a percent from 0 to 100"),
        (2, &["ramp", "new_checkout", "--percent", "NaN"], "`NaN` is not a percent"),
        (1, &["ramp", "new_checkout", "--percent", "5", "--rule", "nonesuch"], "`new_checkout` has no rule `nonesuch`"),
        (2, &["exclude", "new_checkout"], "nobody is named; give a key, a segment or a range"),
        (2, &["exclude", "new_checkout", "--positions", "10"], "write a range as 10-12.5"),
        (2, &["revert", "9"], "there is no version 9; the newest is 1"),
        (2, &["recover", "--above", "0"], "the log is at version 1 already"),
        (2, &["ramp", "new_checkout", "--percent", "5", "--expected", "7"], "there is no version 7; the newest is 1"),
    ] {
        let run = place.write_log(arguments);
        assert_eq!(run.code, code, "{arguments:?}: {}", run.err);
        assert!(run.err.contains(message), "{arguments:?}: {}", run.err);
    }
    let kill = ["kill", "new_checkout", "--environment", "production", "--key", "keys/production.private.jwk"];
    place.run(&[&kill[..], &["--store", "nowhere", "--reason", "Errors"]].concat()).bad(3, &["there is no log here"]);
    place.run(&[&kill[..], &["--store", "published", "--reason", " "]].concat()).bad(2, &["the reason is blank"]);

    // Who looked at version 1 does not overwrite what was set since.
    place.write_log(&["ramp", "new_checkout", "--percent", "20"]).good();
    place
        .write_log(&["ramp", "new_checkout", "--percent", "30", "--expected", "1"])
        .bad(1, &["others changed meanwhile", "version 2, dana@example.com", "Errors"]);
    place.write_log(&["kill", "new_checkout", "--expected", "1"]).good();
}

#[test]
fn definitions_go_back_and_from_one_environment_to_another() {
    let place = Place::published();
    place.edit("flags.yaml", "percent: 5,", "percent: 20,");
    place.publish(&["--reason", "More"]).good();
    place.write_log(&["kill", "new_checkout"]).good();
    let run = place.write_log(&["revert", "1"]).good();
    assert!(run.out.starts_with("reverted: version 4 of `production`") && run.out.contains("20 → 5"), "{}", run.out);
    assert!(run.out.contains("to undo it: flagstone revert 3 "), "{}", run.out);
    assert_eq!(place.served("u").1, "DISABLED", "a revert undoes no kill");

    let keygen = ["keygen", "--environment", "staging", "--out", "staging.private.jwk", "--public", "staging.jwks"];
    place.run(&keygen).good();
    let staging = ["--key", "staging.private.jwk", "--reason", "Try it", "--author", "ana"];
    let to_staging = ["publish", "flags.yaml", "--environment", "staging", "--store", "published"];
    place.run(&[&to_staging[..], &staging].concat()).good();
    let promote = [
        "promote",
        "--from",
        "staging",
        "--to",
        "production",
        "--store",
        "published",
        "--reason",
        "Tested",
        "--key",
        "keys/production.private.jwk",
        "--keys",
        "staging.jwks",
    ];
    let rehearsal = place.run(&[&promote[..], &["--dry-run"]].concat()).good();
    assert!(rehearsal.out.starts_with("would promote: version 5 of `production`"), "{}", rehearsal.out);
    assert!(rehearsal.out.contains("5 → 20"), "{}", rehearsal.out);
    assert_eq!(place.newest()["version"], 4);
    place.run(&promote).good();
    assert_eq!(place.newest()["version"], 5);
    assert_eq!(place.served("u").1, "DISABLED", "nor does a promotion");
    // Who does not trust staging's key takes nothing from there.
    place.run(&promote[..promote.len() - 2]).bad(1, &["signed by"]);
    let itself = [
        "promote",
        "--from",
        "staging",
        "--to",
        "staging",
        "--store",
        "published",
        "--reason",
        "Tested",
        "--key",
        "staging.private.jwk",
    ];
    place.run(&itself).bad(2, &["to be promoted to itself"]);
}

#[test]
fn environments_share_definitions_and_differ_where_these_say_so() {
    let place = Place::new();
    place.run(&["init", "--example", "five-plans"]).good();
    let both = ["--environment", "staging", "--environment", "production"];
    place.run(&[&["keygen", "--out", "both.jwk", "--public", "both.jwks"][..], &both].concat()).good();
    let writing = ["--store", "published", "--key", "both.jwk", "--author", "ana", "--reason", "The five plans"];
    let publish = |environment: &str| place.run(&[&["publish", "--environment", environment][..], &writing].concat());
    let served = |environment: &str, flag: &str| {
        let snapshot = format!("published/{environment}/current/server.json");
        let question = ["--keys", "both.jwks", "--flag", flag, "--context", r#"{"targetingKey": "user-42"}"#];
        let answer = place.eval(&snapshot, &question).good().json();
        (answer["value"].clone(), answer["reason"].clone())
    };
    publish("staging").good();
    publish("production").good();
    publish("prodution").bad(1, &["the definitions know no environment `prodution`", "did you mean `production`?"]);
    assert_eq!(served("staging", "useNewArchitecture"), (json!(true), json!("STATIC")));
    assert_eq!(served("production", "useNewArchitecture").0, json!(false));

    // Operators' verbs count in their environment alone, and a pin leaves them nothing to set a percent of.
    let staging = [&["--environment", "staging"][..], &writing].concat();
    place
        .run(&[&["ramp", "useNewArchitecture", "--percent", "5"][..], &staging].concat())
        .bad(1, &["`useNewArchitecture` is pinned to `on` in `staging`", "take the pin out"]);
    place.run(&[&["kill", "useNewArchitecture"][..], &staging].concat()).good();
    assert_eq!(served("staging", "useNewArchitecture"), (json!(false), json!("DISABLED")));

    // What is promoted is the flag; each environment keeps what is its own.
    place.edit("001-chat.yaml", "salt: useNewArchitecture-1\n", "salt: useNewArchitecture-1\n    owner: chat\n");
    publish("staging").good();
    let promote = place.run(&[&["promote", "--from", "staging", "--to", "production"][..], &writing].concat()).good();
    assert!(promote.out.contains("flags.useNewArchitecture.owner: \"chat\""), "{}", promote.out);
    assert_eq!(served("production", "useNewArchitecture").0, json!(false));
    let simulate = ["simulate", "--users", "1000", "--flag", "useNewArchitecture", "--json", "--environment"];
    let share = |environment| {
        place.run(&[&simulate[..], &[environment]].concat()).good().json()["flags"][0]["variants"].clone()
    };
    assert_ne!(share("staging"), share("production"));
}

#[test]
fn snapshots_are_renewed() {
    let place = Place::published();
    let run = place.write_log(&["resign", "--within", "2d"]).good();
    assert!(run.out.starts_with("nothing to do: version 1"), "{}", run.out);
    let run = place.write_log(&["resign", "--within", "8d", "--expires", "30d"]).good();
    assert!(run.out.starts_with("renewed: version 2"), "{}", run.out);
    place.write_log(&["resign"]).good();
    assert_eq!(place.newest()["version"], 3);
}

/// A rollout of three flags, and code that asks for them.
fn project_to_clean_up() -> Place {
    let place = Place::new();
    place.run(&["init"]).good();
    let flags = "
hashSalt: 7b0d2a64c9e1f538a4b60c7e19d2835f
flags:
  use_new_gateway: {salt: g-1, default: {ramp: {percent: 0, serve: on}}}
  beta: {salt: g-1, default: {ramp: {percent: 0, serve: on}}}
  other: {salt: other-1, prerequisites: [{flag: use_new_gateway, variant: on}], default: on}
rollouts:
  gateway:
    flags: [use_new_gateway, beta]
    triggers: [{signal: bug}]
    steps:
      - {percent: 50}
      - {percent: 100}
      - {name: cleanup, cleanup: true, requires: [{attestation: Old gateway removed}]}
";
    place.write("flags.yaml", flags);
    place.publish(&["--reason", "A start"]).good();
    for folder in ["src", "build", "docs", "deploy"] {
        fs::create_dir(place.path(folder)).unwrap();
    }
    place.write(".gitignore", "build/\n");
    place.write("build/out.js", "flags.boolean('use_new_gateway');\n");
    place.write("src/call.ts", "import x;\nif (flags.boolean(\"use_new_gateway\", false)) {\n  useNewGateway();\n}\n");
    // Neither is it: a longer word, and `beta` where it is not the flag's name.
    place.write("src/other.ts", "const reuse_new_gateway = 'beta test', beta = 1;\nflags.boolean('beta');\n");
    place.run(&["types", "flags.yaml", "--language", "rust", "--out", "src/flags.rs"]).good();
    place.write("src/main.rs", "let on = client.boolean(flags::BETA);\n");
    place.write("src/picture.png", "\0\0use_new_gateway\n");
    place.write("docs/runbook.md", "Turn `use_new_gateway` off.\n");
    place.write("deploy/board.json", r#"{"panels": [{"expr": "sum(calls{flag=\"use_new_gateway\"})"}]}"#);
    place.write("deploy/compose.yml", "environment:\n  FLAGSTONE_PIN_USE_NEW_GATEWAY: on\n  NEW_GATEWAY: on\n");
    place.write("variables.json", r#"[{"variable": "NEW_GATEWAY", "flag": "use_new_gateway", "sets": "variant"}]"#);
    place
}

impl Place {
    /// What the controller does, as often as there is something to do.
    fn control(&self, times: usize) {
        let run = ["rollout", "run", "--once", "--environment", "production", "--store", "published", "--log", "error"];
        for _ in 0..times {
            self.run(&[&run[..], &["--key", "keys/production.private.jwk"]].concat()).good();
        }
    }

    fn clean_up(&self, arguments: &[&str]) -> Run {
        let cleanup = ["rollout", "cleanup", "gateway", "--store", "published", "--source", ".", "--keys", KEYS];
        self.run(&[&cleanup[..], arguments].concat())
    }
}

#[test]
fn a_cleanup_finds_where_flags_are_named() {
    let place = project_to_clean_up();
    place.write_log(&["rollout", "start", "gateway"]).good();
    place.control(2);
    let run = place.clean_up(&["--json", "--variables", "variables.json"]).good();
    let found = run.json();
    let kinds = ["code", "definitions", "dashboard", "documentation", "generated"];
    let of = |kind: &str| -> Vec<String> {
        let places = found["places"].as_array().unwrap().iter().filter(|place| place["kind"] == *kind);
        places
            .map(|place| {
                format!("{}:{} {}", place["file"].as_str().unwrap(), place["line"], place["spelling"].as_str().unwrap())
            })
            .collect()
    };
    assert_eq!(kinds.map(|kind| of(kind).len()).iter().sum::<usize>(), found["places"].as_array().unwrap().len());
    assert_eq!(
        of("code"),
        [
            "deploy/compose.yml:2 FLAGSTONE_PIN_USE_NEW_GATEWAY",
            "deploy/compose.yml:3 NEW_GATEWAY",
            "src/call.ts:2 use_new_gateway",
            "src/call.ts:3 useNewGateway",
            "src/main.rs:1 BETA",
            "src/other.ts:2 beta",
            "variables.json:1 use_new_gateway",
        ]
    );
    assert_eq!(
        of("definitions"),
        [
            "flags.yaml:4 use_new_gateway",
            "flags.yaml:5 beta",
            "flags.yaml:6 use_new_gateway",
            "flags.yaml:9 beta",
            "flags.yaml:9 use_new_gateway"
        ]
    );
    assert_eq!(of("dashboard"), ["deploy/board.json:1 use_new_gateway"]);
    assert_eq!(of("documentation"), ["docs/runbook.md:1 use_new_gateway"]);
    assert!(of("generated").iter().all(|place| place.starts_with("src/flags.rs:")) && !of("generated").is_empty());
    assert_eq!(found["cleanup"]["flags"][0]["neededBy"], json!(["other"]));
    assert_eq!(found["cleanup"]["tooEarly"], json!([]));

    let list = place.clean_up(&[]).good();
    for line in [
        "# Cleanup after the rollout `gateway`\n",
        "the rollout has been at 100% since ",
        "all that 50% asks for is so.\n",
        "- [x] `use_new_gateway` serves `on` to everyone\n",
        "Where `use_new_gateway` is asked for, write what is done for `true`.\n",
        "\n`src/call.ts`\n\n- [ ] line 2: `if (flags.boolean(\"use_new_gateway\", false)) {`\n- [ ] line 3: `useNewGateway();`\n",
        "- [ ] `src/flags.rs` is written anew by `flagstone types`, last of all\n",
        "- [ ] `sum(increase(flagstone_guard_calls_total{flag=\"beta\"}[7d]))` is 0",
        "- [ ] `other` needs it no more: take the prerequisite `use_new_gateway` out first\n",
        "- [ ] The plan `gateway`: move it to where plans are kept that are over\n",
        "- [ ] `flagstone rollout attest gateway 'Old gateway removed'`\n",
    ] {
        assert!(list.out.contains(line), "{line:?}:\n{}", list.out);
    }
    assert!(list.err.contains("note: 6 lines of code in "), "{}", list.err);
    // What is searched can be part of it, and the store is none of it wherever that is.
    let part = ["rollout", "cleanup", "gateway", "--store", "published", "--keys", KEYS, "--json", "--source"];
    let found = place.run(&[&part[..], &["src", "--source", "src/call.ts"]].concat()).good().json();
    assert_eq!(found["files"], json!(5), "each file once: {found}");
    let files: Vec<_> = found["places"].as_array().unwrap().iter().map(|place| place["file"].clone()).collect();
    assert_eq!(files.iter().filter(|file| **file == json!("src/call.ts")).count(), 2, "each place once: {files:?}");
    assert_eq!(place.run(&[&part[..], &["published"]].concat()).good().json()["places"], json!([]));

    // Who is kept on the old path is not ticked off.
    place.edit(
        "flags.yaml",
        "beta: {salt: g-1,",
        "beta: {salt: g-1, rules: [{id: late, when: {attribute: a, equals: 1}, serve: off}],",
    );
    place.edit(
        "flags.yaml",
        "use_new_gateway: {salt: g-1,",
        "use_new_gateway: {salt: g-1, prerequisites: [{flag: switch, variant: on}],",
    );
    place.edit("flags.yaml", "  other: {", "  switch: {salt: switch-1, default: off}\n  other: {");
    place.publish(&["--reason", "Somebody stays", "--keep-state"]).good();
    let list = place.clean_up(&[]).good().out;
    for line in [
        "- [ ] `beta` serves `on` to everyone\n",
        "- [ ] `beta` keeps nobody on the old path who needs it: those whom its rule \\`late\\` serves otherwise\n",
        "- [ ] `use_new_gateway` serves `on` to everyone\n",
        "those for whom \\`switch\\` is not as it needs it\n",
    ] {
        assert!(list.contains(line), "{line:?}:\n{list}");
    }

    place.edit("flags.yaml", "beta: {salt: g-1,", "beta: {salt: g-1, expires: 2026-01-01,");
    let stale = place.run(&["stale", "flags.yaml", "--now", "2026-02-01T00:00:00Z"]).out;
    assert!(stale.contains("`flagstone rollout cleanup gateway --source DIR` finds where it is asked for"), "{stale}");
}

#[test]
fn a_cleanup_waits_until_it_is_time() {
    let place = project_to_clean_up();
    let early = "it is too early to clean up after `gateway`: ";
    let why = |why: &str| format!("{early}{why}");
    let unstarted =
        why("the rollout was not started; use_new_gateway is at 0%; beta is at 0%; --anyway looks before it is time");
    place.clean_up(&[]).bad(1, &[&unstarted]);
    place.write_log(&["rollout", "start", "gateway"]).good();
    place.clean_up(&[]).bad(1, &[&why("the rollout is at 50%, and not at cleanup yet; use_new_gateway is at 50%")]);
    let anyway = place.clean_up(&["--anyway"]).good();
    assert!(anyway.err.contains(&format!("warning: {early}")), "{}", anyway.err);
    for line in [
        "not everyone is on the new path.\n",
        "**It is too early:**\n\n- the rollout is at 50%",
        "- [ ] `beta` serves `on`",
    ] {
        assert!(anyway.out.contains(line), "{line:?}:\n{}", anyway.out);
    }
    place.control(2);
    place.clean_up(&[]).good();
    place.write_log(&["kill", "beta"]).good();
    place.clean_up(&[]).bad(1, &[&why("beta is killed")]);
    place.write_log(&["restore", "beta"]).good();
    place.write_log(&["rollout", "attest", "gateway", "Old gateway removed"]).good();
    place.control(1);
    let list = place.clean_up(&[]).good().out;
    assert!(list.contains("- [x] Old gateway removed: dana@example.com") && !list.contains("rollout attest"), "{list}");
    place.write_log(&["rollout", "rollback", "gateway"]).good();
    place.clean_up(&[]).bad(1, &[&why("the rollout was turned back; use_new_gateway is killed; beta is killed")]);

    let other =
        |arguments: &[&str]| place.run(&[&["rollout", "cleanup"], arguments, &["--store", "published"]].concat());
    other(&["gatewya", "--source", ".", "--keys", KEYS])
        .bad(2, &["there is no rollout `gatewya`; did you mean `gateway`?"]);
    other(&["gateway", "--source", ".", "--keys", KEYS, "--anyway", "--source", "nowhere"])
        .bad(3, &["nowhere: there is no such folder"]);
    other(&["gateway", "--source", "."]).bad(2, &["give the trusted keys with --keys"]);
    other(&["gateway", "--keys", KEYS]).bad(2, &["--source <DIR>"]);
}

#[test]
fn advice_on_a_plan_has_its_place_and_its_code() {
    let place = Place::new();
    let plan = "flags: {f: {salt: f-1, default: {ramp: {percent: 0, serve: on}}}}
rollouts:
  r:
    flags: [f]
    triggers: [{signal: bug}]
    steps:
      - series: {from: 5, to: 50, by: [{add: 20}]}
        soak: 1d
      - {percent: 100, soak: 1d, starts: 2026-01-01T00:00:00Z}
";
    place.write("plan.yaml", plan);
    let lint =
        |arguments: &[&str]| place.run(&[&["rollout", "lint", "--now", "2025-12-01T00:00:00Z"], arguments].concat());
    let run = lint(&[]);
    assert_eq!(run.code, 1, "{}", run.err);
    assert!(
        run.out.starts_with("plan.yaml:7:40: warning[overshoot]: from 45% the pace of 20 leads past"),
        "{}",
        run.out
    );
    assert!(
        run.out.contains("\n7 |       - series: {from: 5,") && run.out.ends_with("not ok: 1 warning\n"),
        "{}",
        run.out
    );
    let found = lint(&["--json"]).json();
    let path = "rollouts.r.steps[0].series.by[0]";
    assert_eq!(found.as_array().map(Vec::len), Some(1));
    assert_eq!(
        (&found[0]["code"], &found[0]["severity"], &found[0]["path"]),
        (&json!("overshoot"), &json!("warning"), &json!(path))
    );
    assert!(found[0]["suggestion"].as_str().unwrap().contains("5%, 25%, 45%, 50%"), "{found}");

    // What is accepted, here or in the plan, is as it should be; notes are let pass; and dates go by the clock.
    assert_eq!(lint(&["--allow", "overshoot"]).good().out, "ok: 1 plan in 1 file\n");
    assert_eq!(lint(&["--allow", "overshoot", "--json"]).good().json(), json!([]));
    place.run(&["rollout", "lint", "--allow", "overshoot", "--allow", "past"]).good();
    place.edit(
        "plan.yaml",
        "    steps:\n",
        "    accepted: {overshoot: The last step may be a short one}\n    steps:\n",
    );
    assert_eq!(lint(&[]).good().out, "ok: 1 plan in 1 file\n");
    let later = place.run(&["rollout", "lint", "--now", "2026-12-01T00:00:00Z"]).good().out;
    assert!(later.contains("note[past]: ") && later.ends_with("ok: 1 plan in 1 file, 1 note\n"), "{later}");
    // It stops nothing.
    place.run(&["lint", "--strict"]).good();

    lint(&["--allow", "over-shoot"])
        .bad(2, &["there is no advice with the code `over-shoot`, did you mean `overshoot`?"]);
    place.edit("plan.yaml", "percent: 100", "percent: 10");
    let run = lint(&[]);
    assert!(run.code == 1 && run.out.contains("error: the step goes down, from 50% to 10%"), "{}", run.out);
    assert!(run.out.ends_with("not ok: 1 error\n"), "{}", run.out);
}

#[test]
fn rollouts_are_shown_with_and_without_keys() {
    let place = Place::new();
    place.run(&["init"]).good();
    let plan = "\nrollouts:\n  checkout: {flags: [new_checkout], steps: [{percent: 10, soak: 2d}, {percent: 100}]}\n";
    place.write("flags.yaml", &(place.read("flags.yaml") + plan));
    place.publish(&["--reason", "A start"]).good();
    place.write_log(&["rollout", "start", "checkout"]).good();
    let status = ["rollout", "status", "--store", "published", "--environment", "production"];
    for keys in [&[][..], &["--keys", "keys/production.jwks"]] {
        let run = place.run(&[&status[..], keys].concat()).good();
        assert!(run.out.contains("● 10%  ○ 100%") && run.out.contains("stays at 10% for 2d at least"), "{}", run.out);
    }
}

/// People are told in sentences what happened, what is in the way and what to do; nobody reads differences of a state.
#[test]
fn what_happens_to_a_rollout_is_told_in_sentences() {
    let place = Place::new();
    place.run(&["init"]).good();
    let plan = "\nrollouts:\n  checkout:\n    flags: [new_checkout]\n    roles: {product: [dana@example.com]}\n    \
                metrics: {errors: {query: errors}}\n    gates: [{metric: errors, value: '< 1%'}]\n    \
                triggers: [{signal: criticalBug}]\n    steps:\n      - {percent: 10, soak: 2d}\n      \
                - {percent: 50, requires: [{approval: product}]}\n      - {percent: 100}\n";
    place.write("flags.yaml", &(place.read("flags.yaml") + plan));
    place.publish(&["--reason", "A start"]).good();
    let rollout = |arguments: &[&str]| place.write_log(&[&["rollout"], arguments].concat());
    let status = || {
        let arguments = ["rollout", "status", "checkout", "--store", "published", "--keys", "keys/production.jwks"];
        place.run(&arguments).good().out
    };
    let has = |text: &str, parts: &[&str]| parts.iter().for_each(|part| assert!(text.contains(part), "{part}: {text}"));

    let started = rollout(&["start", "checkout"]).good().out;
    has(&started, &["  rollout `checkout`: started at 10%\n", "  `new_checkout` 10%, was as defined\n"]);
    has(&status(), &["was not looked at here; `--prometheus URL` shows it"]);
    rollout(&["advance", "checkout"]).bad(2, &["10% asks for no approval; 50% will, of product"]);
    rollout(&["advance", "checkout", "--step", "50%"]).bad(2, &["it is at 10% and not at 50%; look at it again"]);
    let typo = ["rollout", "status", "chekout", "--store", "published"];
    place.run(&typo).bad(2, &["there is no rollout `chekout`; did you mean `checkout`?"]);

    // Killed by hand, it stays where it is, and resuming says so.
    place.write_log(&["kill", "new_checkout"]).good();
    has(&status(), &["but new_checkout is killed: 0 %", "`new_checkout` is killed; `restore` or `rollback`"]);
    let held = rollout(&["hold", "checkout"]).good().out;
    has(&held, &["rollout `checkout`: held at 10%", "to undo it: flagstone rollout resume checkout"]);
    let resumed = rollout(&["resume", "checkout"]).good();
    has(
        &resumed.err,
        &["the rollout `checkout` stays where it is: `new_checkout` is killed", "`restore` lets it go on"],
    );
    place.write_log(&["restore", "new_checkout"]).good();
    place.write_log(&["ramp", "new_checkout", "--percent", "30"]).good();
    has(&status(), &["but new_checkout was changed by hand: 30 %"]);

    // Back at the first step there is nothing before: it is killed, and that is said.
    let raised = rollout(&["signal", "checkout", "criticalBug"]).good().out;
    has(&raised, &["to undo it: flagstone rollout clear checkout criticalBug"]);
    let back = rollout(&["rollback", "checkout", "--to", "previous"]).good().out;
    has(&back, &["rollout `checkout`: rolled back to zero", "killed `new_checkout`"]);
    let turned = "warning turned back from 10% by dana@example.com at";
    has(&status(), &[turned, "next: once it is mended, `clear` criticalBug, then `retry` begins it again"]);
    let restored = place.write_log(&["restore", "new_checkout"]).good();
    has(&restored.err, &["the rollout `checkout` was rolled back, and `new_checkout` is not killed any more"]);
    has(&status(), &["not killed any more: new_checkout; whom lists and rules name may be on the new path"]);

    let log = place.run(&["log", "--store", "published", "--keys", "keys/production.jwks"]).good().out;
    has(
        &log,
        &[
            "rollout `checkout`: signal raised: criticalBug at 10%",
            "restored `new_checkout`",
            "defined rollouts: `checkout`",
        ],
    );
    let log = place.run(&["log", "--store", "published", "--json"]).good().json();
    assert_eq!(log[0]["changes"], json!(["restored `new_checkout`"]));
    place.run(&["rollout", "report", "--store", "published"]).bad(2, &["give the trusted keys with --keys"]);
    let report = ["rollout", "report", "checkout", "--store", "published", "--keys", "keys/production.jwks"];
    let text = place.run(&report).good().out;
    has(&text, &["# Rollout `checkout`: status of ", "**Rolled back** since", "### WARNING: Errors", "↩ turned back"]);
    let incidents = place.run(&[&report[..], &["--incidents"]].concat()).good().out;
    has(&incidents, &["## Incidents of the rollout `checkout`", "- turned back from 10% by dana@example.com"]);
    let json = place.run(&[&report[..], &["--json"]].concat()).good().json();
    let incident = &json["rollouts"][0]["incidents"][0];
    assert_eq!((&incident["severity"], &incident["rollbackTriggered"]), (&json!("warning"), &json!(false)));
    // Once its plan is gone, what it was is reported all the same.
    let defined = place.read("flags.yaml");
    place.write("flags.yaml", &defined.replace(plan, ""));
    place.publish(&["--reason", "It is over", "--keep-state"]).good();
    let text = place.run(&report).good().out;
    has(&text, &["# Rollout `checkout`: status of ", "### WARNING: Errors", "signal raised: criticalBug"]);
    let log = place.run(&["log", "--store", "published", "--keys", "keys/production.jwks"]).good().out;
    has(&log, &["removed rollouts: `checkout`"]);
    place.run(&["rollout", "report", "--since", "0s", "--store", "published", "--keys", "keys/production.jwks"]).good();
}
