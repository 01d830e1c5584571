//! One contestant in a process of its own: `contestant check|measure NAME MILLISECONDS` prints what came of it as JSON.

mod check;
mod measure;
mod own;
mod peers;

use flagstone_benches::{Flags, User};
use peers::*;
use serde_json::Value;
use std::time::Duration;

/// Who decides flags in this process. Contexts are made before, for whoever measures evaluating; a flag is named by its key.
trait Contestant {
    type Evaluator;
    type Context;

    /// The flags in its own format.
    fn definitions(flags: &Flags) -> String;
    fn load(definitions: &str) -> Self::Evaluator;
    fn context(user: &User) -> Self::Context;
    fn boolean(evaluator: &Self::Evaluator, key: &str, context: &Self::Context) -> bool;
    /// The first letter of what a string flag serves; a blank where it serves nothing.
    fn letter(evaluator: &Self::Evaluator, key: &str, context: &Self::Context) -> u8;
}

fn first(text: &str) -> u8 {
    text.bytes().next().unwrap_or(b' ')
}

fn run<C: Contestant>(what: &str, budget: Duration) -> Value {
    match what {
        "check" => {
            check::check::<C>();
            Value::Null
        }
        "measure" => measure::measure::<C>(budget),
        _ => panic!("`{what}` is neither `check` nor `measure`"),
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut argument = |name: &str| arguments.next().unwrap_or_else(|| panic!("{name} is missing"));
    let (what, name) = (argument("what to do"), argument("whom to do it with"));
    let budget =
        Duration::from_millis(argument("for how many milliseconds").parse().expect("a number of milliseconds"));
    let run = match &*name {
        "flagstone" => run::<flagstone::Flagstone>,
        "unleash-yggdrasil" => run::<unleash::Unleash>,
        "feature-flag" => run::<feature_flag::FeatureFlag>,
        "eppo_core" => run::<eppo::Eppo>,
        "launchdarkly-server-sdk-evaluation" => run::<launchdarkly::LaunchDarkly>,
        "flagd-evaluation-engine" => run::<flagd::Flagd>,
        "growthbook-rust" => run::<growthbook::GrowthBook>,
        "handles" => own::by_handle,
        "growth" => own::growth,
        "threads" => own::threads,
        _ => panic!("`{name}` is nobody"),
    };
    println!("{}", run(&what, budget));
}
