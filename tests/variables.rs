//! Environment variables that pin flags: the vectors that JavaScript reads as well.
#![cfg(feature = "definitions")]

use flagstone::snapshot::{Envelope, SigningKey, TrustedKeys, Typ};
use flagstone::{Audience, Context, Engine, LoadError, Timestamp, VariableNames, VariablePins};
use serde_json::{Value, json};

const VECTORS: &str = include_str!("vectors/variables.json");
const FIVE_PLANS: &str = include_str!("rollouts/variables.json");

fn now() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().expect("it is an instant")
}

fn pins(names: &str, variables: &Value) -> Result<VariablePins, String> {
    let variables = variables.as_object().expect("variables by name").iter();
    let variables = variables.map(|(name, value)| (name.clone(), value.as_str().expect("a text").to_owned()));
    let names = VariableNames::from_json(names).map_err(|error| error.to_string())?;
    VariablePins::read(&names, variables).map_err(|error| error.to_string())
}

/// An engine that trusts the key.
fn engine(key: &SigningKey, pins: VariablePins) -> Engine {
    Engine::new("production", Audience::Server, TrustedKeys::from_iter([key.public()])).with_variables(pins)
}

fn load(engine: &Engine, key: &SigningKey, payload: &Value) -> Result<(), LoadError> {
    let envelope = Envelope::sign(&payload.to_string(), Typ::Snapshot, "production", &[key]).expect("it is signed");
    engine.load(envelope.as_bytes(), now()).map(drop)
}

#[test]
fn vectors() {
    let vectors: Value = serde_json::from_str(VECTORS).expect("they are JSON");
    let key = SigningKey::generate(None, ["production"]).expect("there are random numbers");
    let cases = vectors["cases"].as_array().expect("cases");
    assert!(cases.len() > 40);
    for case in cases {
        let name = &case["name"];
        let names = case.get("names").map_or(FIVE_PLANS.to_owned(), Value::to_string);
        let pins = match (pins(&names, &case["variables"]), case["refused"].as_str()) {
            (Ok(pins), None) => pins,
            (read, refused) => {
                assert_eq!(read.err().as_deref(), refused, "{name}");
                continue;
            }
        };
        let engine = engine(&key, pins);
        let loaded = load(&engine, &key, &vectors["payload"]);
        if let Some(unfit) = case["unfit"].as_array() {
            let unfit: Vec<_> = unfit.iter().filter_map(Value::as_str).collect();
            assert_eq!(loaded, Err(LoadError::Variables(unfit.join("; "))), "{name}");
            continue;
        }
        loaded.unwrap_or_else(|error| panic!("{name}: {error}"));
        let snapshot = engine.snapshot().expect("it was taken");
        let flags = snapshot.at(now());
        for result in case["results"].as_array().expect("results") {
            let text = |member: &str| result[member].as_str();
            let context = match text("key") {
                Some("") => Context::empty(),
                key => Context::new(key.expect("a key")),
            };
            let found = flags.details(text("flag").expect("a flag"), &context);
            assert_eq!(
                (found.variant, Some(found.reason.name()), found.pinned_by),
                (text("variant"), text("reason"), text("pinnedBy")),
                "{name}: {result}"
            );
        }
    }
}

#[test]
fn lists_of_names_that_are_none() {
    let entry = r#"[{"variable": "A", "flag": "f", "sets": "off""#;
    for (names, expected) in [
        ("{}".to_owned(), "this is no list of variables: expected an array (at byte 0)"),
        (r#"[{"flag": "f", "sets": "off"}]"#.to_owned(), "[0]: `variable` is missing (at byte 1)"),
        (r#"[{"variable": "A", "sets": "off"}]"#.to_owned(), "[0]: expected either `flag` or `flags` (at byte 1)"),
        (format!("{entry}, \"flags\": [\"g\"]}}]"), "[0]: expected either `flag` or `flags` (at byte 1)"),
        (
            format!("{entry}, \"vairant\": \"on\"}}]"),
            "[0].vairant: expected one of `variable`, `flag`, `flags`, `sets`, `variant`",
        ),
        (
            r#"[{"variable": "A", "flag": "f", "sets": "kill"}]"#.to_owned(),
            "[0].sets: expected one of `variant`, `off`, `enabled`, `percent`, `ramp`, `mode`, `allow`, `deny`",
        ),
    ] {
        let error = VariableNames::from_json(&names).expect_err(&names).to_string();
        assert!(error.contains(expected), "{names}: {error}");
    }
}

/// What a process was started with must not keep a kill from it later.
#[test]
fn later_snapshots_are_taken_whatever_is_pinned() {
    let key = SigningKey::generate(None, ["production"]).expect("there are random numbers");
    let flag =
        |variants: Value| json!({"type": "string", "variants": variants, "off": "a", "salt": "s", "default": "a"});
    let payload = |version: u64, theme: Value| {
        json!({
            "schema": 1, "environment": "production", "audience": "server", "version": version,
            "created": "2026-11-21T12:00:00Z", "flags": {"theme": theme, "other": flag(json!({"a": "1"}))},
        })
    };
    let engine = engine(&key, pins("[]", &json!({"FLAGSTONE_PIN_THEME": "b"})).expect("they can be read"));
    load(&engine, &key, &payload(1, flag(json!({"a": "1", "b": "2"})))).expect("it is taken");
    let context = Context::new("u");
    let details = |flag: &str| {
        let snapshot = engine.snapshot().expect("there is one");
        let found = snapshot.at(now()).details(flag, &context);
        (found.variant.map(str::to_owned), found.reason.name(), found.version, snapshot.unfit_variables().to_vec())
    };
    assert_eq!(details("theme"), (Some("b".to_owned()), "STATIC", 1, vec![]));
    load(&engine, &key, &payload(2, flag(json!({"a": "1"})))).expect("it is taken");
    let unfit = vec!["FLAGSTONE_PIN_THEME is \"b\": expected `a`".to_owned()];
    assert_eq!(details("theme"), (None, "ERROR", 2, unfit.clone()));
    assert_eq!(details("other"), (Some("a".to_owned()), "STATIC", 2, unfit.clone()));
    let mut killed = flag(json!({"a": "1"}));
    killed["killed"] = "flag".into();
    load(&engine, &key, &payload(3, killed)).expect("it is taken");
    assert_eq!(details("theme"), (Some("a".to_owned()), "DISABLED", 3, unfit));
}
