use super::{by, object};
use crate::Contestant;
use chrono::{DateTime, Utc};
use eppo_core::eval::get_assignment;
use eppo_core::ufc::{Assignment, UniversalFlagConfig};
use eppo_core::{Attributes, Configuration, SdkMetadata, Str};
use flagstone_benches::{COUNTRIES, DOMAIN, Flags, PLAN, User, VERSION};
use serde_json::{Value, json};
use std::sync::Arc;

pub struct Eppo;

fn flag(key: &str, kind: &str, variations: Value, allocations: Vec<Value>) -> Value {
    json!({
        "key": key, "enabled": true, "variationType": kind, "variations": variations, "totalShards": 10_000,
        "allocations": allocations,
    })
}

fn allocation(key: &str, splits: Value) -> Value {
    json!({"key": key, "splits": splits, "doLog": false})
}

fn served(attribute: &str, operator: &str, value: impl Into<Value>) -> Value {
    let rules = json!([{"conditions": [{"attribute": attribute, "operator": operator, "value": value.into()}]}]);
    json!({"key": attribute, "rules": rules, "splits": [{"variationKey": "A", "shards": []}], "doLog": false})
}

fn part(variation: &str, salt: &str, start: u32, end: u32) -> Value {
    json!({"variationKey": variation, "shards": [{"salt": salt, "ranges": [{"start": start, "end": end}]}]})
}

fn assigned(
    (configuration, now): &(Configuration, DateTime<Utc>),
    key: &str,
    context: &(Str, Arc<Attributes>),
) -> Option<Assignment> {
    get_assignment(Some(configuration), key, &context.0, &context.1, None, *now).ok().flatten()
}

impl Contestant for Eppo {
    /// With the instant to decide at.
    type Evaluator = (Configuration, DateTime<Utc>);
    type Context = (Str, Arc<Attributes>);

    fn definitions(flags: &Flags) -> String {
        let ramps = by(&flags.ramps, |key| {
            let variations = json!({"on": {"key": "on", "value": true}, "off": {"key": "off", "value": false}});
            let ramp = allocation("ramp", json!([part("on", key, 0, 2_500)]));
            flag(
                key,
                "BOOLEAN",
                variations,
                vec![ramp, allocation("default", json!([{"variationKey": "off", "shards": []}]))],
            )
        });
        let rules = by(&flags.rules, |key| {
            let variations = json!({"A": {"key": "A", "value": "A"}, "B": {"key": "B", "value": "B"}});
            let allocations = vec![
                served("country", "ONE_OF", json!(COUNTRIES)),
                served("plan", "ONE_OF", json!([PLAN])),
                served("email", "MATCHES", format!("{}$", DOMAIN.replace('.', "\\."))),
                served("appVersion", "GTE", VERSION),
                allocation("split", json!([part("A", key, 0, 5_000), part("B", key, 5_000, 10_000)])),
            ];
            flag(key, "STRING", variations, allocations)
        });
        json!({
            "createdAt": "2026-01-01T00:00:00.000Z", "format": "SERVER", "environment": {"name": "Test"},
            "flags": object(ramps, rules),
        })
        .to_string()
    }

    fn load(definitions: &str) -> Self::Evaluator {
        let metadata = SdkMetadata { name: "bench", version: "0.0.0" };
        let flags = UniversalFlagConfig::from_json(metadata, definitions.as_bytes().to_vec()).expect("flags");
        (Configuration::from_server_response(flags, None), Utc::now())
    }

    fn context(user: &User) -> Self::Context {
        let User { id, country, plan, email, app_version, device } = user;
        let attributes =
            json!({"country": country, "plan": plan, "email": email, "appVersion": app_version, "device": device});
        (id.as_str().into(), Arc::new(serde_json::from_value(attributes).expect("attributes")))
    }

    fn boolean(evaluator: &Self::Evaluator, key: &str, context: &Self::Context) -> bool {
        assigned(evaluator, key, context).is_some_and(|assignment| assignment.value.as_boolean() == Some(true))
    }

    fn letter(evaluator: &Self::Evaluator, key: &str, context: &Self::Context) -> u8 {
        let assignment = assigned(evaluator, key, context);
        crate::first(assignment.as_ref().and_then(|assignment| assignment.value.as_str()).unwrap_or_default())
    }
}
