//! The snapshot that every runtime evaluates: small in flags, and everything that a flag can say is in it.
//!
//! It is written as definitions and compiled, like any other. What only the wire can say (a name in `requires` that no engine
//! knows, one flag killed with everything, −0, numbers past 2^53) is patched into the payload afterwards.

use super::random::Random;
use flagstone::snapshot::complete;
use flagstone::snapshot::definitions::{Definitions, FlagState, Kill, Options, Problem, Source, State, compile};
use flagstone::{Audience, FlagType, Timestamp};
use serde_json::{Map, Value, json};

/// The environment that the snapshots are for.
pub(super) const ENVIRONMENT: &str = "parity";

/// 2026-01-01T00:00:00Z, when the snapshots are created.
const CREATED: i64 = 1_767_225_600_000;
const DAY: i64 = 86_400_000;
/// How long after a snapshot's expiry clocks may disagree, as the design has it.
const CLOCK_SKEW: i64 = 5 * 60_000;

/// One snapshot and what is asked of it.
#[derive(Debug)]
pub(super) struct Generated {
    pub(super) audience: Audience,
    /// As it will be signed.
    pub(super) payload: String,
    pub(super) questions: Vec<Question>,
}

/// A flag and the default that the caller gives with it.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) flag: String,
    /// The type asked for.
    pub(super) kind: FlagType,
    pub(super) default: Value,
}

/// The snapshots of a seed, for servers and for clients.
pub(super) fn snapshots(seed: u64) -> Vec<Generated> {
    let written = Flags::write(Random::stream(seed, 0));
    let source = Source::new("generated.json", written.document().to_string());
    let definitions = Definitions::read(&[source]).unwrap_or_else(|problems| refused(&problems));
    let audiences = [Audience::Server, Audience::Client];
    audiences
        .map(|audience| {
            let options = Options {
                environment: ENVIRONMENT.to_owned(),
                audience,
                version: 1,
                created: created(),
                expires: Some(expires()),
            };
            let payload = compile(&definitions, &state(), &options).unwrap_or_else(|problems| refused(&problems));
            let mut payload: Value = serde_json::from_str(&payload).expect("a payload is JSON");
            patch(&mut payload);
            payload.as_object_mut().expect("a payload is an object").remove("compiled");
            let flags = payload["flags"].as_object().expect("a payload has flags");
            let questions = questions(flags);
            // As it is published, and as somebody else wrote it: browsers then compile it.
            let payload = match audience {
                Audience::Client => complete(&payload.to_string()).expect("it is a snapshot's"),
                Audience::Server => payload.to_string(),
            };
            Generated { audience, questions, payload }
        })
        .into()
}

/// What is generated is in order, or this command is not.
fn refused(problems: &[Problem]) -> ! {
    let errors: Vec<_> = problems.iter().filter(|problem| problem.is_error()).map(Problem::to_string).collect();
    panic!("the generated definitions are refused: {}", errors.join("\n"))
}

pub(super) fn created() -> Timestamp {
    Timestamp::from_millis(CREATED)
}

fn expires() -> Timestamp {
    created().plus_millis(60 * DAY)
}

/// The instant at which a chunk of users is evaluated: on the edges of the schedules and of the expiry, just before and
/// just after them, and anywhere between.
pub(super) fn instant(seed: u64, chunk: u64) -> Timestamp {
    let stale = expires().as_millis() + CLOCK_SKEW;
    let mut instants = vec![CREATED, stale, stale + 1];
    instants.extend(EDGES.iter().flat_map(|edge| [-1, 0, 1].map(|around| CREATED + edge * DAY + around)));
    let millis = instants.get((chunk % INSTANTS) as usize).copied().unwrap_or_else(|| {
        let random = &mut Random::stream(!seed, chunk);
        CREATED + random.below(50 * DAY as u64) as i64
    });
    Timestamp::from_millis(millis)
}

/// How many chunks see every edge.
pub(super) const INSTANTS: u64 = 30;

/// The days after [`CREATED`] on which schedules have points.
const EDGES: [i64; 5] = [3, 10, 11, 24, 45];

fn day(edge: usize) -> String {
    created().plus_millis(EDGES[edge] * DAY).to_string()
}

fn state() -> State {
    let killed = Some(Kill::default());
    let flag = |key: &str| (key.to_owned(), FlagState { salt: format!("{key}-1"), ..FlagState::default() });
    let (key, mut by_flag) = flag("killed-flag");
    by_flag.killed = killed.clone();
    let (other, mut by_state) = flag("disabled-by-state");
    by_state.enabled = Some(false);
    let mut state = State::default();
    state.killed_tags.insert("doomed".to_owned(), Kill::default());
    state.flags.extend([(key, by_flag), (other, by_state)]);
    state
}

/// What definitions cannot say.
fn patch(payload: &mut Value) {
    let flags = &mut payload["flags"];
    flags["killed-all"]["killed"] = "all".into();
    for key in ["lacking", "lacking-killed", "lacking-disabled"] {
        flags[key]["requires"] = json!(["teleport", "xxh3"]);
    }
    flags["lacking-killed"]["killed"] = "flag".into();
    flags["numbers"]["variants"]["minus-zero"] = json!(-0.0);
    flags["numbers"]["variants"]["past-safe"] = json!(9_007_199_254_740_993_i64);
    flags["json"]["variants"]["numbers"][6] = json!(123_456_789_012_345_678_u64);
    flags["json"]["variants"]["minus-zeros"] = json!({"zero": -0.0, "list": [-0.0, 0]});
    let requires = payload["requires"].as_array_mut().expect("a payload has requires");
    requires.push("teleport".into());
}

/// Every flag with a default of its type, a flag that is not there, and flags asked for as another type.
fn questions(flags: &Map<String, Value>) -> Vec<Question> {
    let question = |flag: &str, kind: FlagType| Question {
        flag: flag.to_owned(),
        kind,
        default: match kind {
            FlagType::Boolean => json!(true),
            FlagType::String => json!("the caller's dëfault 😀"),
            FlagType::Number => json!(-1.5e-7),
            FlagType::Json => json!({"caller's": ["default", null, 1e21]}),
        },
    };
    let mut questions: Vec<_> = flags.iter().map(|(key, flag)| question(key, kind_of(flag))).collect();
    questions.extend([question("no-such-flag", FlagType::Boolean), question("toString", FlagType::String)]);
    questions.extend([
        question("numbers", FlagType::String),
        question("json", FlagType::Boolean),
        question("strings", FlagType::Number),
        question("booleans", FlagType::Json),
        question("lacking", FlagType::Number),
    ]);
    questions
}

fn kind_of(flag: &Value) -> FlagType {
    [FlagType::Boolean, FlagType::String, FlagType::Number, FlagType::Json]
        .into_iter()
        .find(|kind| flag["type"] == kind.name())
        .expect("a compiled flag has a type")
}

/// How the keys of flags for clients start: those with people or confidential operands, which are hashed there, what they
/// hang on, and some of the others.
const FOR_CLIENTS: &[&str] = &[
    "equals",
    "in",
    "matches",
    "nested-0",
    "nested-1",
    "segment-",
    "ramp-7",
    "js31-7",
    "split-0",
    "schedule-linear",
    "rules-",
    "layer-",
    "holdout-",
    "deny-",
    "exclude-",
    "allow",
    "lists-",
    "killed-",
    "disabled",
    "lacking",
    "plain",
    "needs-",
    "by-account",
    "booleans",
    "numbers",
    "strings",
    "json",
    "many-variants",
    "member",
];

/// Definitions while they are written.
struct Flags {
    random: Random,
    flags: Map<String, Value>,
}

impl Flags {
    fn write(random: Random) -> Flags {
        let mut flags = Flags { random, flags: Map::new() };
        flags.operators();
        flags.nested();
        flags.segments();
        flags.ramps();
        flags.splits();
        flags.schedules();
        flags.places();
        flags.people();
        flags.gates();
        flags.prerequisites();
        flags.keys();
        flags.variants();
        flags.members_of_objects();
        flags
    }

    fn document(self) -> Value {
        json!({
            "hashSalt": "parity-hash-salt",
            "segments": segments(),
            "layers": {
                "people": {"salt": "people-1"},
                "accounts": {"salt": "accounts-1", "by": "account.id"},
            },
            "holdouts": {
                "few": {"salt": "few-1", "percent": 5},
                "thousandth": {"salt": "thousandth-1", "percent": 0.125, "by": "account.id"},
                "nobody": {"salt": "nobody-1", "percent": 0},
                "everybody": {"salt": "everybody-1", "percent": 100},
            },
            "flags": self.flags,
        })
    }

    fn add(&mut self, key: &str, mut flag: Value) {
        flag["salt"] = format!("{key}-1").into();
        flag["client"] = FOR_CLIENTS.iter().any(|start| key.starts_with(start)).into();
        let before = self.flags.insert(key.to_owned(), flag);
        assert!(before.is_none(), "two flags are called {key}");
    }

    /// A flag that tells of conditions whether they hold, do not, or are unknown. Of several, the user's `case` says
    /// which.
    fn asks(&mut self, key: &str, conditions: &[Value]) {
        let mut rules = Vec::new();
        for (case, condition) in conditions.iter().enumerate() {
            for (answer, condition) in [("holds", condition.clone()), ("fails", json!({"not": condition}))] {
                let when = match conditions.len() {
                    1 => condition,
                    // The last case is for all who have a higher one.
                    count if count == case + 1 => {
                        json!({"all": [{"attribute": "case", "greaterThanOrEqual": case}, condition]})
                    }
                    _ => json!({"all": [{"attribute": "case", "equals": case}, condition]}),
                };
                rules.push(json!({"id": format!("{answer}-{case}"), "when": when, "serve": answer}));
            }
        }
        self.add(key, json!({"variants": answers(), "rules": rules, "default": "unknown"}));
    }

    fn operators(&mut self) {
        for (operator, tests) in operator_tests() {
            let conditions: Vec<_> = tests
                .into_iter()
                .map(|(attribute, operand)| json!({"attribute": attribute, operator: operand}))
                .collect();
            self.asks(operator, &conditions);
            // The same with operands that clients do not see.
            if matches!(operator, "equals" | "in") {
                let mut confidential = conditions;
                for condition in &mut confidential {
                    condition["confidential"] = true.into();
                }
                self.asks(&format!("{operator}-confidential"), &confidential);
            }
        }
    }

    fn nested(&mut self) {
        self.asks(
            "empty-conditions",
            &[
                json!({"all": []}),
                json!({"any": []}),
                json!({"not": {"all": []}}),
                json!({"any": [{"all": []}, {"any": []}]}),
            ],
        );
        for number in 0..12 {
            let conditions: Vec<_> = (0..4).map(|_| self.condition(4)).collect();
            self.asks(&format!("nested-{number}"), &conditions);
        }
        let deep = (0..40).fold(json!({"attribute": "staff", "equals": true}), |inner, level| match level % 3 {
            0 => json!({"not": inner}),
            1 => json!({"all": [inner, {"attribute": "age", "exists": true}]}),
            _ => json!({"any": [{"attribute": "age", "lessThan": 0}, inner]}),
        });
        self.asks("nested-deep", &[deep]);
    }

    /// Any condition, nested up to this deep.
    fn condition(&mut self, depth: u32) -> Value {
        let parts =
            |this: &mut Self| -> Vec<Value> { (0..=this.random.below(3)).map(|_| this.condition(depth - 1)).collect() };
        match self.random.below(10) {
            0..=2 if depth > 0 => json!({"all": parts(self)}),
            3..=5 if depth > 0 => json!({"any": parts(self)}),
            6..=7 if depth > 0 => json!({"not": self.condition(depth - 1)}),
            8 => json!({"segment": self.random.pick(&SEGMENTS)}),
            _ => {
                let (operator, tests) = self.random.pick(&operator_tests());
                let (attribute, operand) = self.random.pick(&tests);
                json!({"attribute": attribute, operator: operand})
            }
        }
    }

    fn segments(&mut self) {
        for name in SEGMENTS {
            self.asks(&format!("segment-{name}"), &[json!({"segment": name})]);
        }
    }

    fn ramps(&mut self) {
        for (number, percent) in [0.0, 0.001, 0.01, 1.0, 12.345, 33.333, 99.999, 50.0, 100.0].into_iter().enumerate() {
            self.add(&format!("ramp-{number}"), json!({"default": {"ramp": {"percent": percent, "serve": "on"}}}));
            self.add(
                &format!("js31-{number}"),
                json!({"scheme": "js31", "default": {"ramp": {"percent": percent, "serve": "on"}}}),
            );
        }
        let any = self.random.below(100_000) as f64 / 1000.0;
        let split = json!({"split": [{"variant": "a", "weight": 1}, {"variant": "b", "weight": 2}]});
        self.add(
            "rules-with-ramps",
            json!({
                "variants": {"a": "a", "b": "b", "c": "c", "off": "none"},
                "rules": [
                    {"id": "staff", "when": {"attribute": "staff", "equals": true}, "serve": {"ramp": {"percent": any, "serve": "a"}}},
                    {"id": "staff too", "when": {"attribute": "staff", "equals": true}, "serve": {"ramp": {"percent": 70, "serve": split}}},
                    {"when": {"attribute": "plan", "in": ["pro", "free"]}, "serve": split},
                    {"when": {"attribute": "age", "greaterThan": 18}, "serve": {"ramp": {"percent": 0, "serve": "c"}}},
                    {"id": "vierte-ü-😀", "when": {"attribute": "age", "greaterThan": 17}, "serve": "c"},
                ],
                "default": {"ramp": {"percent": 25, "serve": split}},
            }),
        );
        self.add(
            "js31-rules",
            json!({
                "scheme": "js31",
                "rules": [{"when": {"attribute": "staff", "equals": true}, "serve": {"ramp": {"percent": 40, "serve": "on"}}}],
                "exclude": {"positions": [[2, 5]]},
                "default": {"ramp": {"percent": 10, "serve": "on"}},
            }),
        );
    }

    fn splits(&mut self) {
        let weights: [&[f64]; 7] = [
            &[1.0, 1.0, 1.0],
            &[0.001, 99.999],
            &[0.0, 1.0, 0.0],
            &[1.0, 0.0],
            &[7.0],
            &[0.0, 0.001, 0.0, 1000.0, 3.0],
            &[50.0, 50.0],
        ];
        for (number, weights) in weights.into_iter().enumerate() {
            let names = ["a", "b", "c", "d", "e"];
            let split: Vec<_> = weights
                .iter()
                .zip(names)
                .map(|(weight, variant)| json!({"variant": variant, "weight": weight}))
                .collect();
            let variants = json!({"a": "a", "b": "b", "c": "c", "d": "d", "e": "e", "off": ""});
            self.add(&format!("split-{number}"), json!({"variants": variants, "default": {"split": split}}));
            let ramp = json!({"ramp": {"percent": 60, "serve": {"split": split}}});
            self.add(&format!("ramp-of-split-{number}"), json!({"variants": variants, "default": ramp}));
        }
    }

    fn schedules(&mut self) {
        let points = |percents: [f64; 5]| -> Value {
            percents.iter().enumerate().map(|(edge, percent)| json!({"at": day(edge), "percent": percent})).collect()
        };
        let rising = points([1.0, 10.0, 25.0, 62.5, 100.0]);
        let wild = points([90.0, 0.0, 33.333, 33.334, 5.0]);
        let last = json!([{"at": day(4), "percent": 100}]);
        let schedules = [
            ("steps", json!({"before": 0, "steps": rising})),
            ("steps-wild", json!({"before": 50, "steps": wild})),
            ("steps-once", json!({"before": 12.5, "steps": last})),
            ("linear", json!({"before": 0, "linear": rising})),
            ("linear-wild", json!({"before": 100, "linear": wild})),
            ("linear-once", json!({"before": 0.001, "linear": last})),
        ];
        for (name, schedule) in schedules {
            self.add(&format!("schedule-{name}"), json!({"default": {"ramp": {"schedule": schedule, "serve": "on"}}}));
            let split = json!({"split": [{"variant": "a", "weight": 1}, {"variant": "b", "weight": 1}]});
            self.add(
                &format!("schedule-{name}-in-a-rule"),
                json!({
                    "variants": {"a": 1, "b": 2, "c": 3, "off": 0},
                    "rules": [{"when": {"attribute": "age", "exists": true}, "serve": {"ramp": {"schedule": schedule, "serve": split}}}],
                    "default": "c",
                }),
            );
        }
        let schedule = json!({"before": 0, "linear": [{"at": day(0), "percent": 0}, {"at": day(4), "percent": 100}]});
        self.add(
            "schedule-js31",
            json!({"scheme": "js31", "default": {"ramp": {"schedule": schedule, "serve": "on"}}}),
        );
    }

    /// Layers and holdouts.
    fn places(&mut self) {
        let layers = [
            ("people-a", "people", json!([[0, 30]])),
            ("people-b", "people", json!([[30, 45.5], [60, 60.001]])),
            ("people-c", "people", json!([[99.999, 100], [70, 80]])),
            ("accounts-all", "accounts", json!([[0, 100]])),
        ];
        for (key, layer, ranges) in layers {
            self.add(
                &format!("layer-{key}"),
                json!({
                    "layer": {"name": layer, "ranges": ranges},
                    "rules": [{"when": {"attribute": "staff", "equals": true}, "serve": "on"}],
                    "default": {"ramp": {"percent": 50, "serve": "on"}},
                }),
            );
        }
        for (key, holdouts) in [
            ("few", json!(["few"])),
            ("several", json!(["nobody", "thousandth", "few"])),
            ("nobody", json!(["nobody"])),
            ("everybody", json!(["everybody"])),
        ] {
            self.add(&format!("holdout-{key}"), json!({"holdouts": holdouts, "default": "on"}));
        }
        self.add(
            "holdout-and-layer",
            json!({
                "holdouts": ["few"],
                "layer": {"name": "people", "ranges": [[45.5, 60]]},
                "default": {"split": [{"variant": "on", "weight": 1}, {"variant": "off", "weight": 1}]},
            }),
        );
    }

    /// Deny and allow lists, cohort exclusions.
    fn people(&mut self) {
        let keys =
            |from: u64, to: u64| -> Vec<Value> { (from..to).map(|number| format!("user-{number}").into()).collect() };
        let mut strange = keys(0, 6);
        strange.extend([
            json!(""),
            json!(42),
            json!("-1"),
            json!("ngày"),
            json!("😀"),
            json!("\u{0}"),
            json!(9_007_199_254_740_991_i64),
        ]);
        self.add("deny-keys", json!({"deny": {"keys": strange}, "default": "on"}));
        self.add("deny-segments", json!({"deny": {"segments": ["lists", "grown-up"]}, "default": "on"}));
        self.add("exclude-keys", json!({"exclude": {"keys": keys(10, 25)}, "default": "on"}));
        self.add(
            "exclude-segments",
            json!({"exclude": {"segments": ["accounts"]}, "default": {"ramp": {"percent": 80, "serve": "on"}}}),
        );
        self.add("exclude-positions", json!({"exclude": {"positions": [[10, 12.5], [0.001, 0.002], [40, 55]]}, "default": {"ramp": {"percent": 50, "serve": "on"}}}));
        self.add(
            "allow",
            json!({
                "variants": {"a": "first", "b": "second", "off": "none"},
                "allow": [
                    {"variant": "a", "keys": keys(0, 12)},
                    {"variant": "b", "segments": ["whoever"], "keys": keys(12, 20)},
                ],
                "default": {"ramp": {"percent": 3, "serve": "a"}},
            }),
        );
        self.add(
            "lists-by-account",
            json!({
                "bucketBy": "account.id",
                "variants": {"a": 1, "b": 2, "off": 0},
                "deny": {"keys": (0..90).collect::<Vec<_>>()},
                "exclude": {"keys": (100..200).collect::<Vec<_>>(), "segments": ["accounts"], "positions": [[95, 100]]},
                "allow": [{"variant": "b", "keys": (150..300).collect::<Vec<_>>(), "segments": ["whoever"]}],
                "holdouts": ["thousandth"],
                "default": {"ramp": {"percent": 90, "serve": "a"}},
            }),
        );
    }

    /// Kills, disabled flags, and flags that lack something.
    fn gates(&mut self) {
        let ramp = json!({"ramp": {"percent": 50, "serve": "on"}});
        self.add("plain", json!({"default": "on"}));
        self.add("killed-tag", json!({"tags": ["doomed", "other"], "default": "on"}));
        self.add("killed-flag", json!({"deny": {"keys": ["user-1"]}, "default": ramp}));
        self.add("killed-all", json!({"default": "on"}));
        self.add("disabled", json!({"enabled": false, "default": "on"}));
        self.add("disabled-by-state", json!({"default": ramp}));
        self.add("lacking", json!({"default": ramp}));
        self.add("lacking-killed", json!({"default": ramp}));
        self.add("lacking-disabled", json!({"enabled": false, "default": ramp}));
    }

    fn prerequisites(&mut self) {
        let needs =
            |flag: &str, variant: &str| json!({"prerequisites": [{"flag": flag, "variant": variant}], "default": "on"});
        self.add("needs-ramp", needs("ramp-7", "on"));
        self.add("needs-needs-ramp", needs("needs-ramp", "on"));
        self.add("needs-off", needs("ramp-7", "off"));
        self.add("needs-killed", needs("killed-flag", "on"));
        self.add("needs-killed-off", needs("killed-flag", "off"));
        self.add("needs-lacking", needs("lacking", "off"));
        self.add("needs-schedule", needs("schedule-linear", "on"));
        self.add(
            "needs-several",
            json!({
                "prerequisites": [{"flag": "split-0", "variants": ["a", "b"]}, {"flag": "equals", "variants": ["holds", "unknown"]}],
                "rules": [{"when": {"attribute": "staff", "equals": true}, "serve": "on"}],
                "default": {"ramp": {"percent": 50, "serve": "on"}},
            }),
        );
    }

    /// What else people can be bucketed by.
    fn keys(&mut self) {
        for (key, path) in [
            ("account", "account.id"),
            ("owner", "account.owner.name"),
            ("dotted", r"a\.b"),
            ("age", "age"),
            ("unicode", "ключ-😀"),
            ("staff", "staff"),
        ] {
            self.add(
                &format!("by-{key}"),
                json!({
                    "bucketBy": path,
                    "variants": {"a": "a", "b": "b", "c": "c", "off": "off"},
                    "rules": [{"when": {"attribute": "plan", "equals": "pro"}, "serve": {"ramp": {"percent": 30, "serve": "c"}}}],
                    "default": {"split": [{"variant": "a", "weight": 1}, {"variant": "b", "weight": 1}]},
                }),
            );
        }
        self.add(
            "by-account-js31",
            json!({"scheme": "js31", "bucketBy": "account.id", "default": {"ramp": {"percent": 50, "serve": "on"}}}),
        );
        self.add("flagge-ü-😀", json!({"default": {"ramp": {"percent": 50, "serve": "on"}}}));
        self.add("constructor", json!({"default": {"ramp": {"percent": 50, "serve": "on"}}}));
        self.add("__proto__", json!({"default": {"ramp": {"percent": 50, "serve": "on"}}}));
    }

    /// Values of every type, each served to somebody.
    fn variants(&mut self) {
        let numbers = json!({
            "zero": 0, "minus-zero": 0, "one": 1, "minus-one": -1, "tenth": 0.1, "sum": 0.300_000_000_000_000_04, "large": 1e21, "huge": 1.797_693_134_862_315_7e308,
            "least": 5e-324, "small": 1e-7, "safe": 9_007_199_254_740_991_i64, "past-safe": 2, "half": -17.5, "digits": 123_456_789.123_456_79,
        });
        let strings = json!({
            "empty": "", "plain": "plain", "escapes": "\"\\/\u{8}\u{c}\n\r\t\u{0}\u{1f}\u{7f}", "accents": "ngày nga\u{300}y", "astral": "😀 \u{10ffff}",
            "separators": "\u{2028}\u{2029}\u{feff}", "long": "0123456789 ".repeat(200), "json": "{\"a\":1}",
        });
        let objects = json!({
            "null": null, "true": true, "number": 1e21, "string": "text \u{2028}", "empty-list": [], "empty-object": {}, "minus-zeros": {"zero": 0},
            "order": {"b": 1, "a": 2, "10": 3, "9": 4, "": 5, "é": 6, "😀": 7, "\u{ffff}": 8, "__proto__": {"polluted": true}, "constructor": 9},
            "deep": [[[[[[[[{"a": [{"b": [1, 2.5, "x", null, false]}]}]]]]]]]],
            "numbers": [0, -1, 0.1, 5e-324, 1.797_693_134_862_315_7e308, 1e21, 9_007_199_254_740_991_i64],
        });
        self.add(
            "booleans",
            json!({"variants": {"on": true, "yes": true, "off": false}, "default": {"split": [
                {"variant": "on", "weight": 1}, {"variant": "yes", "weight": 1}, {"variant": "off", "weight": 1},
            ]}}),
        );
        for (key, r#type, variants, off) in [
            ("numbers", "number", numbers, "zero"),
            ("strings", "string", strings, "empty"),
            ("json", "json", objects, "null"),
        ] {
            let names: Vec<_> = variants.as_object().into_iter().flat_map(Map::keys).cloned().collect();
            let split: Vec<_> = names.iter().map(|name| json!({"variant": name, "weight": 1})).collect();
            self.add(key, json!({"type": r#type, "variants": variants, "off": off, "default": {"split": split}}));
        }
        let many: Map<_, _> = (0..300).map(|number| (format!("v{number:03}"), json!(number))).collect();
        let split: Vec<_> = many.keys().map(|name| json!({"variant": name, "weight": 1})).collect();
        self.add("many-variants", json!({"variants": many, "off": "v000", "default": {"split": split}}));
    }

    /// Attributes called as members that JavaScript's objects, strings and lists have without anybody setting them.
    fn members_of_objects(&mut self) {
        for name in ["constructor", "toString", "hasOwnProperty", "__proto__", "length"] {
            self.asks(
                &format!("member-{name}"),
                &[
                    json!({"attribute": name, "exists": true}),
                    json!({"attribute": name, "equals": "pro"}),
                    json!({"attribute": name, "equals": 2}),
                ],
            );
        }
        let paths = [
            "account.constructor",
            "account.__proto__",
            "account.toString",
            "__proto__.plan",
            "__proto__.polluted",
            "polluted",
            "constructor.name",
            "plan.length",
            "groups.length",
            "groups.0",
            "signedUp.getTime",
            "account.id.toFixed",
        ];
        self.asks("members-of-values", &paths.map(|path| json!({"attribute": path, "exists": true})));
    }
}

fn answers() -> Value {
    json!({"holds": "holds", "fails": "fails", "unknown": "unknown", "off": "off"})
}

const SEGMENTS: [&str; 6] = ["lists", "grown-up", "accounts", "whoever", "condition", "empty"];

fn segments() -> Value {
    let keys =
        |from: u64, to: u64| -> Vec<Value> { (from..to).map(|number| format!("user-{number}").into()).collect() };
    let mut strange = keys(5, 25);
    strange.extend([json!(""), json!(0), json!("ngày"), json!("😀"), json!(-1)]);
    json!({
        "lists": {"include": strange, "exclude": keys(20, 30)},
        "grown-up": {"when": {"attribute": "age", "greaterThanOrEqual": 18}, "exclude": keys(0, 10)},
        "accounts": {"by": "account.id", "include": (300..500).collect::<Vec<_>>(), "exclude": (450..470).collect::<Vec<_>>(),
            "when": {"attribute": "account.plan", "equals": "pro"}},
        "whoever": {"when": {"any": [{"segment": "lists"}, {"all": [{"segment": "grown-up"}, {"not": {"segment": "accounts"}}]}]}},
        "condition": {"include": keys(40, 50), "when": {"all": [
            {"attribute": "email", "endsWithCi": "@example.com"},
            {"attribute": "country", "in": ["DE", "VN"], "confidential": true},
        ]}},
        "empty": {},
    })
}

/// Of each operator, attributes and operands to test.
fn operator_tests() -> Vec<(&'static str, Vec<(&'static str, Value)>)> {
    let near = |millis: i64| json!(Timestamp::from_millis(1_736_496_000_000 + millis).to_string());
    vec![
        (
            "equals",
            vec![
                ("country", json!("DE")),
                ("age", json!(18)),
                ("age", json!(0)),
                ("staff", json!(true)),
                ("plan", json!("é")),
                ("country", json!("")),
                ("targetingKey", json!("user-7")),
                ("age", json!(9_007_199_254_740_991_i64)),
                ("age", json!(0.3)),
                ("account.plan", json!("👩‍💻")),
                ("targetingKey", json!(42)),
                ("age", json!(1e23)),
            ],
        ),
        (
            "equalsCi",
            vec![
                ("country", json!("de")),
                ("country", json!("ß")),
                ("country", json!("K")),
                ("country", json!("i")),
                ("country", json!("ĐÀ NẵNG")),
            ],
        ),
        (
            "in",
            vec![
                ("country", json!(["DE", "VN", ""])),
                ("age", json!([18, 0, 1e21, 0.1, 5e-324])),
                ("plan", json!(["é", "pro", true, 1])),
                ("staff", json!([false])),
                ("staff", json!([true, false, "true"])),
                ("country", json!([])),
                ("age", json!(["18"])),
                ("targetingKey", json!(["user-1", "user-2", "😀", "", 42, 0, true])),
                ("a\\.b", json!(["dotted-1", "dotted-2", "dotted-3"])),
            ],
        ),
        (
            "inCi",
            vec![
                ("country", json!(["vN", "fr", "ẞ", "ı"])),
                ("email", json!(["ADA@EXAMPLE.COM", ""])),
                ("plan", json!([])),
            ],
        ),
        (
            "contains",
            vec![
                ("email", json!(["example", "+1"])),
                ("bio", json!("Quick")),
                ("bio", json!("")),
                ("bio", json!(["😀", "\u{0}"])),
                ("plan", json!([])),
            ],
        ),
        (
            "containsCi",
            vec![
                ("email", json!("EXAMPLE.com")),
                ("bio", json!(["qUICK BROWN", "ß"])),
                ("bio", json!("")),
                ("country", json!("k")),
            ],
        ),
        (
            "startsWith",
            vec![
                ("email", json!(["ada", "test+", "@"])),
                ("bio", json!("The ")),
                ("targetingKey", json!("user-1")),
                ("plan", json!("p\u{0}")),
                ("bio", json!("")),
            ],
        ),
        (
            "startsWithCi",
            vec![("email", json!(["ADA@", "GRACE"])), ("country", json!("đ")), ("bio", json!("RELEASE-1"))],
        ),
        (
            "endsWith",
            vec![
                ("email", json!(["@example.com", ".vn"])),
                ("bio", json!("😀")),
                ("plan", json!("\u{301}")),
                ("bio", json!("")),
            ],
        ),
        ("endsWithCi", vec![("email", json!(["@EXAMPLE.COM"])), ("bio", json!([".2", "X"])), ("country", json!("G"))]),
        (
            "matches",
            vec![
                ("email", json!([r"^[^@]+@example\.(com|org)$"])),
                ("bio", json!([r"release-(1\d|2)\.\d", r"(?i)QUICK\s+BROWN"])),
                ("country", json!(r"^\w{2}$")),
                ("bio", json!(r"^.$")),
                ("bio", json!("^$")),
                ("plan", json!("(a*)*b|ro+$")),
                ("targetingKey", json!(r"^user-\d*[05]$")),
                ("bio", json!(r"\x00|[\u{1f600}-\u{1f64f}]")),
            ],
        ),
        (
            "lessThan",
            vec![
                ("age", json!(18)),
                ("age", json!(0)),
                ("age", json!(5e-324)),
                ("age", json!(1e308)),
                ("account.id", json!(500)),
            ],
        ),
        (
            "lessThanOrEqual",
            vec![
                ("age", json!(18)),
                ("age", json!(0)),
                ("age", json!(9_007_199_254_740_991_i64)),
                ("age", json!(-0.0)),
            ],
        ),
        (
            "greaterThan",
            vec![("age", json!(18)), ("age", json!(17.999_999_999_999_996)), ("age", json!(0)), ("age", json!(1e22))],
        ),
        (
            "greaterThanOrEqual",
            vec![
                ("age", json!(18)),
                ("age", json!(0.1)),
                ("age", json!(2_147_483_648_u32)),
                ("account.id", json!(500)),
            ],
        ),
        (
            "before",
            vec![
                ("signedUp", near(0)),
                ("signedUp", near(1)),
                ("signedUp", json!("1970-01-01T00:00:00Z")),
                ("age", near(0)),
                ("bio", near(0)),
            ],
        ),
        (
            "after",
            vec![
                ("signedUp", near(0)),
                ("signedUp", near(-1)),
                ("signedUp", json!("2016-12-31T23:59:59Z")),
                ("age", near(-1)),
            ],
        ),
        (
            "semverEquals",
            vec![
                ("appVersion", json!("1.2.3")),
                ("appVersion", json!("2")),
                ("appVersion", json!("2.0.0-rc.1+other")),
                ("appVersion", json!("v1.2")),
            ],
        ),
        (
            "semverLessThan",
            vec![("appVersion", json!("2.0.0")), ("appVersion", json!("2.0.0-alpha.2")), ("appVersion", json!("1.10"))],
        ),
        ("semverLessThanOrEqual", vec![("appVersion", json!("2.0.0-rc.1")), ("appVersion", json!("1"))]),
        (
            "semverGreaterThan",
            vec![
                ("appVersion", json!("1.9.9")),
                ("appVersion", json!("2.0.0-alpha")),
                ("appVersion", json!("18446744073709551614.0.0")),
            ],
        ),
        ("semverGreaterThanOrEqual", vec![("appVersion", json!("2.0.0")), ("appVersion", json!("0.0.0"))]),
        (
            "semverMatches",
            vec![
                ("appVersion", json!(">=1.2.3, <2.0.0")),
                ("appVersion", json!("^1.2")),
                ("appVersion", json!("~2.0.0-alpha")),
                ("appVersion", json!("*")),
                ("appVersion", json!("=1.2.3")),
            ],
        ),
        (
            "includesAny",
            vec![
                ("groups", json!(["beta", "😀"])),
                ("groups", json!([1, true])),
                ("groups", json!([0, ""])),
                ("groups", json!([])),
                ("groups", json!([2.5, "qa", false])),
            ],
        ),
        (
            "includesAll",
            vec![
                ("groups", json!(["beta"])),
                ("groups", json!(["beta", 1])),
                ("groups", json!([])),
                ("groups", json!([true, "staff"])),
                ("groups", json!([0])),
            ],
        ),
        (
            "cidr",
            vec![
                ("ip", json!(["10.0.0.0/8"])),
                ("ip", json!(["192.168.0.0/16", "2001:db8::/32"])),
                ("ip", json!(["0.0.0.0/0"])),
                ("ip", json!("::/0")),
                ("ip", json!(["::1/128", "255.255.255.255/32"])),
            ],
        ),
        (
            "exists",
            vec![
                ("plan", json!(true)),
                ("plan", json!(false)),
                ("account", json!(true)),
                ("account.owner.name", json!(true)),
                ("signedUp", json!(true)),
                ("groups", json!(false)),
                ("a\\.b", json!(true)),
                ("ключ-😀", json!(true)),
                ("age", json!(true)),
                ("staff", json!(false)),
                ("nowhere.at.all", json!(true)),
            ],
        ),
    ]
}
