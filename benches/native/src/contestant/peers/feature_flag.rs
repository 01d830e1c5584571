use super::{array, by};
use crate::Contestant;
use feature_flag::{FlagEvaluator, FlagSet, Subject};
use flagstone_benches::{COUNTRIES, DOMAIN, Flags, PLAN, User, VERSION};
use serde_json::{Value, json};

pub struct FeatureFlag;

/// A version as a whole number, for this one knows numbers but no versions: 2003000 for 2.3.0.
fn whole(version: &str) -> u64 {
    version.split('.').fold(0, |number, part| number * 1_000 + part.parse::<u64>().expect("a number"))
}

fn flag(key: &str, variants: [&str; 2], default: &str, rules: Vec<Value>) -> Value {
    json!({"id": key, "variants": variants, "default_variant": default, "rules": rules})
}

fn always(variants: Value) -> Value {
    json!({"id": "everyone", "when": {"kind": "always"}, "outcome": {"kind": "rollout", "variants": variants}})
}

fn served(attribute: &str, operator: &str, operand: impl Into<Value>) -> Value {
    json!({
        "id": attribute, "when": {"kind": "compare", "attr": attribute, "op": operator, "value": operand.into()},
        "outcome": {"kind": "variant", "variant": "A"},
    })
}

impl Contestant for FeatureFlag {
    type Evaluator = FlagEvaluator;
    type Context = Subject;

    fn definitions(flags: &Flags) -> String {
        let ramps = by(&flags.ramps, |key| {
            let quarter = json!([{"variant": "on", "weight": 25}, {"variant": "off", "weight": 75}]);
            flag(key, ["on", "off"], "off", vec![always(quarter)])
        });
        let rules = by(&flags.rules, |key| {
            let rules = vec![
                served("country", "in", json!(COUNTRIES)),
                served("plan", "eq", PLAN),
                served("email", "ends_with", DOMAIN),
                served("appVersion", "gte", whole(VERSION)),
                always(json!([{"variant": "A", "weight": 50}, {"variant": "B", "weight": 50}])),
            ];
            flag(key, ["A", "B"], "A", rules)
        });
        json!({"flags": array(ramps, rules)}).to_string()
    }

    fn load(definitions: &str) -> FlagEvaluator {
        FlagEvaluator::new(FlagSet::from_json(definitions).expect("flags"))
    }

    fn context(user: &User) -> Subject {
        Subject::new(user.id.as_str())
            .with_attr("country", user.country.as_str())
            .with_attr("plan", user.plan.as_str())
            .with_attr("email", user.email.as_str())
            .with_attr("appVersion", whole(&user.app_version))
            .with_attr("device", user.device.as_str())
    }

    fn boolean(evaluator: &FlagEvaluator, key: &str, subject: &Subject) -> bool {
        evaluator.variant_or(key, subject, "") == "on"
    }

    fn letter(evaluator: &FlagEvaluator, key: &str, subject: &Subject) -> u8 {
        crate::first(&evaluator.variant_or(key, subject, ""))
    }
}
