//! Everyone who takes part, each with the flags in its own format.

pub mod eppo;
pub mod feature_flag;
pub mod flagd;
pub mod flagstone;
pub mod growthbook;
pub mod launchdarkly;
pub mod unleash;

use serde_json::{Map, Value};

/// An object with a member for each key.
fn by(keys: &[String], value: impl Fn(&String) -> Value) -> impl Iterator<Item = (String, Value)> {
    keys.iter().map(move |key| (key.clone(), value(key)))
}

/// An object with a member for each flag.
fn object(
    ramps: impl Iterator<Item = (String, Value)>,
    rules: impl Iterator<Item = (String, Value)>,
) -> Map<String, Value> {
    ramps.chain(rules).collect()
}

/// An array with an element for each flag.
fn array(ramps: impl Iterator<Item = (String, Value)>, rules: impl Iterator<Item = (String, Value)>) -> Vec<Value> {
    ramps.chain(rules).map(|(_, flag)| flag).collect()
}
