use super::{by, object};
use crate::Contestant;
use flagd_evaluation_engine::model::ParsingResult;
use flagd_evaluation_engine::{FlagParser, Operator};
use flagstone_benches::{COUNTRIES, DOMAIN, Flags, PLAN, User, VERSION};
use open_feature::EvaluationContext;
use serde_json::{Value, json};

/// The evaluator of flagd's in-process provider.
pub struct Flagd;

fn flag(variants: Value, default: &str, targeting: Value) -> Value {
    json!({"state": "ENABLED", "variants": variants, "defaultVariant": default, "targeting": targeting})
}

fn value<'d>(
    (flags, operator): &'d (ParsingResult, Operator),
    key: &str,
    context: &EvaluationContext,
) -> Option<&'d Value> {
    let flag = flags.flags.get(key)?;
    let variant = operator.apply(key, &flag.get_targeting(), context).ok()?;
    flag.variants.get(variant.as_ref().unwrap_or(&flag.default_variant))
}

impl Contestant for Flagd {
    type Evaluator = (ParsingResult, Operator);
    type Context = EvaluationContext;

    fn definitions(flags: &Flags) -> String {
        let ramps = by(&flags.ramps, |_| {
            let quarter = json!({"fractional": [["on", 25], ["off", 75]]});
            flag(json!({"on": true, "off": false}), "off", quarter)
        });
        let rules = by(&flags.rules, |_| {
            let targeting = json!({"if": [
                {"in": [{"var": "country"}, COUNTRIES]}, "A",
                {"==": [{"var": "plan"}, PLAN]}, "A",
                {"ends_with": [{"var": "email"}, DOMAIN]}, "A",
                {"sem_ver": [{"var": "appVersion"}, ">=", VERSION]}, "A",
                {"fractional": [["A", 50], ["B", 50]]},
            ]});
            flag(json!({"A": "A", "B": "B"}), "A", targeting)
        });
        json!({"flags": object(ramps, rules)}).to_string()
    }

    fn load(definitions: &str) -> Self::Evaluator {
        (FlagParser::parse_string(definitions).expect("flags"), Operator::new())
    }

    fn context(user: &User) -> EvaluationContext {
        EvaluationContext::default()
            .with_targeting_key(user.id.as_str())
            .with_custom_field("country", user.country.as_str())
            .with_custom_field("plan", user.plan.as_str())
            .with_custom_field("email", user.email.as_str())
            .with_custom_field("appVersion", user.app_version.as_str())
            .with_custom_field("device", user.device.as_str())
    }

    fn boolean(evaluator: &Self::Evaluator, key: &str, context: &EvaluationContext) -> bool {
        value(evaluator, key, context).is_some_and(|value| *value == Value::Bool(true))
    }

    fn letter(evaluator: &Self::Evaluator, key: &str, context: &EvaluationContext) -> u8 {
        crate::first(value(evaluator, key, context).and_then(Value::as_str).unwrap_or_default())
    }
}
