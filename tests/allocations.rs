//! Deciding allocates nothing: what a hot path in a back end relies on.
#![cfg(not(target_arch = "wasm32"))]

mod support;

use flagstone::{Context, Snapshot};
use support::*;

/// That each of the contexts gets its answer without the heap.
#[track_caller]
fn allocates_nothing(snapshot: &Snapshot, contexts: &[Context]) {
    let mut on = 0;
    for context in contexts {
        let flags = snapshot.at(now());
        let counted = allocation_counter::measure(|| on += usize::from(flags.boolean("f", false, context)));
        assert_eq!(counted.count_total, 0, "{context:?}: {} bytes", counted.bytes_total);
    }
    assert!(0 < on && on < contexts.len(), "both answers occur: {on} of {}", contexts.len());
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocation_counter::measure(|| drop(std::hint::black_box(vec![1u8]))).count_total, 1);
}

#[test]
fn a_ramp_of_25_percent() {
    let contexts: Vec<Context> = (0..1_000).map(|number| Context::new(format!("user-{number}"))).collect();
    allocates_nothing(&ramp("use_new_gateway-1", 25_000), &contexts);
    // Keys that are numbers, and one that is missing.
    let contexts: Vec<Context> = (0..1_000).map(Context::new).chain([Context::empty()]).collect();
    allocates_nothing(&ramp("use_new_gateway-1", 25_000), &contexts);
}

#[test]
fn five_rules_over_six_attributes_and_a_split() {
    let rules = r#""salt":"checkout-1","rules":[
        {"id":"country","when":{"attribute":"country","in":["BR","DE","FR","VN"]},"serve":"on"},
        {"id":"plan","when":{"attribute":"account.plan","equals":"enterprise"},"serve":"on"},
        {"id":"staff","when":{"attribute":"email","endsWith":["@example.com","@example.org"]},"serve":"on"},
        {"id":"app","when":{"all":[{"attribute":"version","semverGreaterThanOrEqual":"3.2.0"},{"attribute":"beta","equals":true}]},"serve":"on"},
        {"id":"half","serve":{"split":[["on",50000],["off",100000]]}}],
        "default":"off""#;
    let snapshot = snapshot("", rules);
    let contexts: Vec<Context> = (0..1_000)
        .map(|number| {
            Context::new(format!("user-{number}"))
                .with("country", "US")
                .with("account", Context::empty().with("plan", "pro"))
                .with("email", format!("user-{number}@example.net"))
                .with("version", ["2.9.1", "3.2.0-beta.1", "3.10.0+build.7"][number % 3])
                .with("beta", number % 7 == 0)
        })
        .collect();
    allocates_nothing(&snapshot, &contexts);
}

#[test]
fn regular_expressions_small_and_large() {
    for pattern in ["^user-\\d*[05]$", "(a*)*b|ro+$", "^(\\s*\\b\\w*)*$", "^\\w{1,70}$"] {
        let rules = format!(
            r#""salt":"s","rules":[{{"id":"r","when":{{"attribute":"a","matches":[{}]}},"serve":"on"}}],"default":"off""#,
            quote(pattern)
        );
        let texts = ["", "user-10", "user-11", "b", "one two", "a-b", "é\n😀", &"x".repeat(70), &"y".repeat(71)];
        let contexts: Vec<Context> = texts.iter().map(|&text| Context::empty().with("a", text)).collect();
        allocates_nothing(&snapshot(&patterns(), &rules), &contexts);
    }
}
