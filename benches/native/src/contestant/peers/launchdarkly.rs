use super::{by, object};
use crate::Contestant;
use flagstone_benches::{COUNTRIES, DOMAIN, Flags, PLAN, User, VERSION};
use launchdarkly_server_sdk_evaluation::{Context, ContextBuilder, Flag, FlagValue, Segment, Store, evaluate};
use serde_json::{Value, json};
use std::collections::HashMap;

/// The evaluator of LaunchDarkly's SDK, over flags by key.
pub struct LaunchDarkly;

#[derive(serde::Deserialize)]
pub struct Data {
    flags: HashMap<String, Flag>,
}

impl Store for Data {
    fn flag(&self, key: &str) -> Option<Flag> {
        self.flags.get(key).cloned()
    }

    fn segment(&self, _: &str) -> Option<Segment> {
        None
    }
}

fn flag(key: &str, variations: Value, rules: Value, weights: [u32; 2]) -> Value {
    let [first, second] = weights;
    json!({
        "key": key, "version": 1, "on": true, "salt": key, "prerequisites": [], "targets": [], "contextTargets": [],
        "variations": variations, "offVariation": 0, "rules": rules,
        "fallthrough": {"rollout": {"kind": "rollout", "contextKind": "user", "bucketBy": "key", "variations": [
            {"variation": 0, "weight": first}, {"variation": 1, "weight": second},
        ]}},
        "trackEvents": false, "trackEventsFallthrough": false, "debugEventsUntilDate": null, "deleted": false,
        "clientSideAvailability": {"usingMobileKey": false, "usingEnvironmentId": false},
    })
}

fn served(attribute: &str, operator: &str, values: &[&str], negate: bool) -> Value {
    let clause =
        json!({"contextKind": "user", "attribute": attribute, "op": operator, "values": values, "negate": negate});
    json!({"id": attribute, "clauses": [clause], "variation": 0, "trackEvents": false})
}

fn value<'d>(data: &'d Data, key: &str, context: &'d Context) -> Option<&'d FlagValue> {
    evaluate(data, data.flags.get(key)?, context, None).value
}

impl Contestant for LaunchDarkly {
    type Evaluator = Data;
    type Context = Context;

    fn definitions(flags: &Flags) -> String {
        let rules = json!([
            served("country", "in", &COUNTRIES, false),
            served("plan", "in", &[PLAN], false),
            served("email", "endsWith", &[DOMAIN], false),
            served("appVersion", "semVerLessThan", &[VERSION], true),
        ]);
        let ramps = by(&flags.ramps, |key| flag(key, json!([false, true]), json!([]), [75_000, 25_000]));
        let rules = by(&flags.rules, |key| flag(key, json!(["A", "B"]), rules.clone(), [50_000, 50_000]));
        json!({"segments": {}, "flags": object(ramps, rules)}).to_string()
    }

    fn load(definitions: &str) -> Data {
        serde_json::from_str(definitions).expect("flags")
    }

    fn context(user: &User) -> Context {
        let mut builder = ContextBuilder::new(&user.id);
        builder.set_string("country", &user.country).set_string("plan", &user.plan).set_string("email", &user.email);
        builder.set_string("appVersion", &user.app_version).set_string("device", &user.device);
        builder.build().expect("a context")
    }

    fn boolean(data: &Data, key: &str, context: &Context) -> bool {
        value(data, key, context).is_some_and(|value| value.as_bool() == Some(true))
    }

    fn letter(data: &Data, key: &str, context: &Context) -> u8 {
        value(data, key, context).and_then(FlagValue::as_string).map_or(b' ', |text| crate::first(&text))
    }
}
