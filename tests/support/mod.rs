//! What several tests share.
#![allow(dead_code, reason = "each test uses a part")]

use flagstone::{Context, Evaluation, Finding, Snapshot, Timestamp, Truth};

/// A snapshot in which every member, operator, scheme and feature of the format occurs; the fuzzer starts from it, too.
pub const EVERYTHING: &str = include_str!("../fuzz/seeds/snapshot/everything.json");

/// The members of a document around `"flags"`.
pub const HEAD: &str =
    r#""schema":1,"environment":"test","audience":"server","version":3,"created":"2026-01-01T00:00:00Z""#;

/// The members of a boolean flag but for those that decide.
pub const FLAG: &str = r#""type":"boolean","variants":{"on":true,"off":false},"off":"off""#;

pub fn load(payload: impl Into<String>) -> Snapshot {
    let payload = payload.into();
    Snapshot::from_payload(payload.as_str()).unwrap_or_else(|error| panic!("{error}\n{payload:.2000}"))
}

/// A snapshot of one boolean flag, `f`, with further sections before it.
pub fn snapshot(sections: &str, flag: &str) -> Snapshot {
    load(format!(r#"{{{HEAD},{sections}"flags":{{"f":{{{FLAG},{flag}}}}}}}"#))
}

/// The section of a document with the programs of all patterns among the golden vectors.
pub fn patterns() -> String {
    let cases: Vec<serde_json::Value> = serde_json::from_str(include_str!("../vectors/patterns.json")).unwrap();
    let programs = cases.iter().map(|case| format!("{}:{}", case["pattern"], case["program"]));
    format!(r#""patterns":{{{}}},"#, programs.collect::<Vec<_>>().join(","))
}

/// A boolean flag `f` with this salt that is a ramp to this percent.
pub fn ramp(salt: &str, percent: u32) -> Snapshot {
    snapshot("", &format!(r#""salt":{},"default":{}"#, quote(salt), ramp_to(percent)))
}

/// A ramp that serves `on`.
pub fn ramp_to(percent: u32) -> String {
    format!(r#"{{"ramp":{{"percent":{percent},"serve":"on"}}}}"#)
}

pub fn now() -> Timestamp {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

/// Whether the snapshot's first flag is on.
pub fn is_on(snapshot: &Snapshot, context: &Context) -> bool {
    snapshot.at(now()).boolean(snapshot.flags().next().expect("a flag"), false, context)
}

pub fn details<'s>(snapshot: &'s Snapshot, context: &Context) -> Evaluation<'s> {
    snapshot.at(now()).details("f", context)
}

/// All that was found out on the way to the value of `f`.
pub fn findings(snapshot: &Snapshot, at: Timestamp, context: &Context) -> Vec<Finding> {
    let explanation = snapshot.at(at).explain("f", context).expect("there is an `f`");
    explanation.steps.into_iter().flat_map(|step| step.findings).collect()
}

/// What a condition says of a context: asked as it is and under `not`, for a rule cannot tell false from unknown.
pub fn truth(condition: &str, context: &Context) -> Truth {
    let rule = |when: &str| {
        let rules = format!(r#""salt":"s","rules":[{{"id":"r","when":{when},"serve":"on"}}],"default":"off""#);
        let snapshot = snapshot("", &rules);
        let details = details(&snapshot, context);
        assert_eq!(details.error_code, None, "{when}");
        details.variant == Some("on")
    };
    match (rule(condition), rule(&format!(r#"{{"not":{condition}}}"#))) {
        (true, false) => Truth::True,
        (false, true) => Truth::False,
        (false, false) => Truth::Unknown,
        (true, true) => panic!("{condition} and its `not` both hold"),
    }
}

/// A text as a JSON string.
pub fn quote(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

/// Numbers that are the same on every run and machine (SplitMix64).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }

    /// A random UUID (version 4).
    pub fn uuid(&mut self) -> String {
        let (high, low) = (self.next(), self.next());
        let high = high & 0xffff_ffff_ffff_0fff | 0x4000;
        let low = low & 0x3fff_ffff_ffff_ffff | 0x8000_0000_0000_0000;
        let (a, b, c) = (high >> 32, high >> 16 & 0xffff, high & 0xffff);
        format!("{a:08x}-{b:04x}-{c:04x}-{:04x}-{:012x}", low >> 48, low & 0xffff_ffff_ffff)
    }
}

/// For every position one key that has it, under this salt for this use.
pub fn keys_by_position(salt: &str, r#use: flagstone::bucketing::Use) -> Vec<String> {
    let mut keys = vec![String::new(); 100_000];
    let mut left = keys.len();
    for number in 0.. {
        if left == 0 {
            break;
        }
        let key = format!("user-{number}");
        let slot = &mut keys[flagstone::bucketing::position(salt, r#use, &key) as usize];
        if slot.is_empty() {
            *slot = key;
            left -= 1;
        }
    }
    keys
}
