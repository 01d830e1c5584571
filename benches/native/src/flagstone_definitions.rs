//! Snapshots of the workload, and of one flag that grows.

use crate::{COUNTRIES, DOMAIN, Flags, PLAN, User, VERSION};
use flagstone::{Context, Snapshot};
use serde_json::json;

fn payload(flags: &serde_json::Map<String, serde_json::Value>) -> String {
    json!({
        "schema": 1, "environment": "production", "audience": "server", "version": 1, "created": "2026-01-01T00:00:00Z",
        "flags": flags,
    })
    .to_string()
}

/// The payload of a snapshot of these flags.
pub fn definitions(flags: &Flags) -> String {
    let requires = ["endsWith", "equals", "in", "semverGreaterThanOrEqual", "xxh3"];
    let ramp = |key: &String| {
        let flag = json!({
            "type": "boolean", "variants": {"on": true, "off": false}, "off": "off", "salt": key, "requires": ["xxh3"],
            "default": {"ramp": {"percent": 25_000, "serve": "on"}},
        });
        (key.clone(), flag)
    };
    let rules = |key: &String| {
        let flag = json!({
            "type": "string", "variants": {"A": "A", "B": "B"}, "off": "A", "salt": key, "requires": requires,
            "rules": [
                {"id": "country", "when": {"attribute": "country", "in": COUNTRIES}, "serve": "A"},
                {"id": "plan", "when": {"attribute": "plan", "equals": PLAN}, "serve": "A"},
                {"id": "email", "when": {"attribute": "email", "endsWith": [DOMAIN]}, "serve": "A"},
                {"id": "version", "when": {"attribute": "appVersion", "semverGreaterThanOrEqual": VERSION}, "serve": "A"},
            ],
            "default": {"split": [["A", 50_000], ["B", 100_000]]},
        });
        (key.clone(), flag)
    };
    payload(&flags.ramps.iter().map(ramp).chain(flags.rules.iter().map(rules)).collect())
}

pub fn load(definitions: &str) -> Snapshot {
    Snapshot::from_payload(definitions).expect("a snapshot")
}

/// One flag, `rules`, with so many rules that match nobody, then a split.
pub fn of_rules(count: usize) -> Snapshot {
    let rules: Vec<_> = (0..count)
        .map(|index| json!({"id": index.to_string(), "when": {"attribute": "plan", "equals": format!("plan-{index}")}, "serve": "A"}))
        .collect();
    let flag = json!({
        "type": "string", "variants": {"A": "A", "B": "B"}, "off": "A", "salt": "rules", "rules": rules,
        "default": {"split": [["A", 50_000], ["B", 100_000]]},
    });
    load(&payload(&[("rules".to_owned(), flag)].into_iter().collect()))
}

/// One flag, `list`, that is on for every second of twice so many users, whom it lists.
pub fn of_entries(count: usize) -> Snapshot {
    let keys: Vec<_> = (0..count).map(|index| listed(2 * index)).collect();
    let flag = json!({
        "type": "boolean", "variants": {"on": true, "off": false}, "off": "off", "salt": "list",
        "allow": [{"variant": "on", "keys": keys}], "default": "off",
    });
    load(&payload(&[("list".to_owned(), flag)].into_iter().collect()))
}

/// A user of whom every second one is listed.
pub fn listed(index: usize) -> String {
    format!("user-{index:07}")
}

pub fn context(user: &User) -> Context {
    Context::new(user.id.as_str())
        .with("country", user.country.as_str())
        .with("plan", user.plan.as_str())
        .with("email", user.email.as_str())
        .with("appVersion", user.app_version.as_str())
        .with("device", user.device.as_str())
}
