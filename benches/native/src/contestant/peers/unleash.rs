use super::{array, by};
use crate::Contestant;
use flagstone_benches::{COUNTRIES, DOMAIN, Flags, PLAN, User, VERSION};
use serde_json::{Value, json};
use unleash_yggdrasil::{ClientFeatures, Context, EngineState};

pub struct Unleash;

fn strategy(key: &str, rollout: u32, constraints: Value, variants: Value) -> Value {
    json!({
        "name": "flexibleRollout", "constraints": constraints, "variants": variants,
        "parameters": {"groupId": key, "rollout": rollout.to_string(), "stickiness": "userId"},
    })
}

fn variant(name: &str, weight: u32) -> Value {
    json!({
        "name": name, "weight": weight, "stickiness": "userId", "weightType": "variable",
        "payload": {"type": "string", "value": name},
    })
}

fn feature(key: &str, strategies: Vec<Value>) -> Value {
    json!({
        "name": key, "type": "release", "enabled": true, "project": "default", "stale": false, "impressionData": false,
        "variants": [], "strategies": strategies,
    })
}

impl Contestant for Unleash {
    type Evaluator = EngineState;
    type Context = Context;

    fn definitions(flags: &Flags) -> String {
        let constraint = |attribute: &str, operator: &str, values: &[&str], value: Option<&str>| {
            json!({
                "contextName": attribute, "operator": operator, "values": values, "value": value,
                "inverted": value.is_some(), "caseInsensitive": false,
            })
        };
        let constraints = [
            constraint("country", "IN", &COUNTRIES, None),
            constraint("plan", "IN", &[PLAN], None),
            constraint("email", "STR_ENDS_WITH", &[DOMAIN], None),
            constraint("appVersion", "SEMVER_LT", &[], Some(VERSION)),
        ];
        let ramps = by(&flags.ramps, |key| feature(key, vec![strategy(key, 25, json!([]), json!([]))]));
        let rules = by(&flags.rules, |key| {
            let served = constraints.iter().map(|rule| strategy(key, 100, json!([rule]), json!([variant("A", 1_000)])));
            let split = strategy(key, 100, json!([]), json!([variant("A", 500), variant("B", 500)]));
            feature(key, served.chain([split]).collect())
        });
        json!({"version": 2, "segments": [], "features": array(ramps, rules)}).to_string()
    }

    fn load(definitions: &str) -> EngineState {
        let features: ClientFeatures = serde_json::from_str(definitions).expect("features");
        let state = EngineState::default();
        assert!(state.apply_client_features(features).is_none(), "features without warnings");
        state
    }

    fn context(user: &User) -> Context {
        let User { id, country, plan, email, app_version, device } = user;
        let properties =
            json!({"country": country, "plan": plan, "email": email, "appVersion": app_version, "device": device});
        serde_json::from_value(json!({"userId": id, "properties": properties})).expect("a context")
    }

    fn boolean(state: &EngineState, key: &str, context: &Context) -> bool {
        state.is_enabled(key, context, &None)
    }

    fn letter(state: &EngineState, key: &str, context: &Context) -> u8 {
        crate::first(&state.get_variant(key, context, &None).name)
    }
}
