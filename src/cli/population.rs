//! Simulated users: contexts whose attributes are such that rules match some of them.

use std::collections::{BTreeMap, BTreeSet};

use flagstone::Context;
use serde_json::{Map, Value};

use crate::answer::Failure;

const DAY: i64 = 86_400_000;

/// What to draw users' attributes from, found in snapshots.
#[derive(Debug, Default)]
pub struct Population {
    /// By attribute path: values near those that conditions compare with.
    attributes: BTreeMap<String, Vec<Value>>,
    /// Attributes that people are bucketed by, besides `targetingKey`.
    keys: BTreeSet<String>,
    seed: u64,
}

impl Population {
    /// Users for whom the rules of these snapshots (payloads) sometimes match.
    pub fn new<'p>(payloads: impl IntoIterator<Item = &'p Value>, seed: u64) -> Population {
        let mut population = Population { seed, ..Population::default() };
        for payload in payloads {
            population.search(payload);
        }
        for key in population.keys.iter().map(String::as_str).chain([TARGETING_KEY]) {
            population.attributes.remove(key);
        }
        population.keys.remove(TARGETING_KEY);
        population
    }

    /// Anything may be a condition or name a key: nothing else in a snapshot has these members, but for variants' values.
    fn search(&mut self, value: &Value) {
        match value {
            Value::Object(members) => {
                if let Some(Value::String(path)) = members.get("attribute") {
                    let values = self.attributes.entry(path.clone()).or_default();
                    for (operator, operand) in members.iter().filter(|(name, _)| *name != "attribute") {
                        values.extend(near(operator, operand));
                    }
                    values.sort_by_key(Value::to_string);
                    values.dedup();
                }
                for name in ["by", "bucketBy"] {
                    if let Some(Value::String(path)) = members.get(name) {
                        self.keys.insert(path.clone());
                    }
                }
                members.iter().filter(|(name, _)| *name != "variants").for_each(|(_, value)| self.search(value));
            }
            Value::Array(elements) => elements.iter().for_each(|value| self.search(value)),
            _ => {}
        }
    }

    /// The attributes that are drawn, for people to know.
    pub fn drawn(&self) -> impl Iterator<Item = &str> {
        self.attributes.keys().map(String::as_str)
    }

    /// The context of a user: the same one for the same number and seed.
    pub fn user(&self, number: u64) -> Result<Context, Failure> {
        // Two steps, so that neither neighbouring users nor neighbouring seeds are alike.
        let mut random = fastrand::Rng::with_seed(fastrand::Rng::with_seed(self.seed).u64(..) ^ number);
        let mut context = Map::new();
        context.insert(TARGETING_KEY.to_owned(), format!("user-{number}").into());
        for path in &self.keys {
            set(&mut context, path, format!("{path}-{number}").into());
        }
        for (path, values) in &self.attributes {
            // One in as many has something else, and one has nothing.
            match random.usize(..values.len() + 2) {
                0 => {}
                1 => set(&mut context, path, format!("other-{}", random.u8(..)).into()),
                index => set(&mut context, path, values[index - 2].clone()),
            }
        }
        let json = Value::from(context).to_string();
        Context::from_json(&json).map_err(|error| Failure::Usage(format!("user {number}: {error}")))
    }
}

const TARGETING_KEY: &str = "targetingKey";

/// Values for which a test holds, or just does not.
fn near(operator: &str, operand: &Value) -> Vec<Value> {
    let operands = match operand {
        Value::Array(operands) => operands.as_slice(),
        operand => std::slice::from_ref(operand),
    };
    let texts = || operands.iter().filter_map(Value::as_str);
    let around = |step: i64| {
        let numbers = operands.iter().filter_map(Value::as_f64);
        numbers.flat_map(move |number| [number - step as f64, number, number + step as f64]).map(Value::from).collect()
    };
    match operator {
        "equals" | "equalsCi" | "in" | "inCi" => operands.to_vec(),
        "contains" | "containsCi" => texts().map(|text| format!("1{text}1").into()).collect(),
        "startsWith" | "startsWithCi" => texts().map(|text| format!("{text}-1").into()).collect(),
        "endsWith" | "endsWithCi" => texts().map(|text| format!("1{text}").into()).collect(),
        "lessThan" | "lessThanOrEqual" | "greaterThan" | "greaterThanOrEqual" => around(1),
        "before" | "after" => around(DAY),
        "includesAny" | "includesAll" => {
            let one = operands.iter().map(|operand| Value::Array(vec![operand.clone()]));
            one.chain([Value::Array(operands.to_vec()), Value::Array(Vec::new())]).collect()
        }
        "cidr" => {
            let networks = texts().map(|text| text.split('/').next().unwrap_or(text).into());
            networks.chain([Value::from("192.0.2.1")]).collect()
        }
        semver if semver.starts_with("semver") => {
            let ends = operand.as_object().into_iter().flat_map(|range| range.values().filter(|end| end.is_string()));
            let named = texts().map(Value::from).chain(ends.cloned());
            named.chain([Value::from("0.0.1"), Value::from("9999.0.0")]).collect()
        }
        // `exists` asks no more, what an expression matches is hard to say, and hashes cannot be read.
        _ => vec![Value::from("something")],
    }
}

/// Sets an attribute by its path: parts separated by dots, a backslash before a character that is meant as it is.
fn set(context: &mut Map<String, Value>, path: &str, value: Value) {
    let mut parts = vec![String::new()];
    let mut characters = path.chars();
    while let Some(character) = characters.next() {
        match character {
            '.' => parts.push(String::new()),
            '\\' => parts.last_mut().expect("there is one at least").extend(characters.next()),
            other => parts.last_mut().expect("there is one at least").push(other),
        }
    }
    let last = parts.pop().expect("there is one at least");
    let mut object = context;
    for part in parts {
        let inner = object.entry(part).or_insert_with(|| Value::Object(Map::new()));
        if !inner.is_object() {
            *inner = Value::Object(Map::new());
        }
        object = inner.as_object_mut().expect("it was made one");
    }
    object.insert(last, value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn population(seed: u64) -> Population {
        let payload = json!({
            "segments": {"s": {"by": "account.id", "when": {"attribute": "a\\.b", "startsWith": ["x"]}}},
            "flags": {"f": {
                "variants": {"v": {"attribute": "no condition", "equals": 1}},
                "rules": [{"when": {"all": [
                    {"attribute": "account.plan", "in": ["pro", "team"]},
                    {"attribute": "age", "greaterThan": 18},
                ]}}],
            }},
        });
        Population::new([&payload], seed)
    }

    #[test]
    fn users_are_the_same_for_the_same_seed_and_differ_for_another() {
        let users = |seed| (0..50).map(|number| population(seed).user(number).unwrap()).collect::<Vec<_>>();
        assert_eq!(users(1), users(1));
        assert_ne!(users(1), users(2));
    }

    #[test]
    fn attributes_are_drawn_from_operands() {
        let population = population(7);
        assert_eq!(population.drawn().collect::<Vec<_>>(), ["a\\.b", "account.plan", "age"]);
        let users: Vec<_> = (0..200).map(|number| population.user(number).unwrap()).collect();
        let plans: BTreeSet<_> =
            users.iter().map(|user| user.get("account.plan").map(|plan| format!("{plan:?}"))).collect();
        assert!(plans.contains(&None) && plans.contains(&Some(r#"String("pro")"#.to_owned())));
        assert!(users.iter().any(|user| user.get("a\\.b") == Some(&"x-1".into())));
        assert_eq!(users[3].get("account.id"), Some(&"account.id-3".into()));
        assert_eq!(users[3].get("targetingKey"), Some(&"user-3".into()));
    }
}
