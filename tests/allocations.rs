//! Deciding allocates nothing: what a hot path in a back end relies on.
#![cfg(not(target_arch = "wasm32"))]

mod support;

use flagstone::{Context, FlagHandle, Pin, Pins, Snapshot, Timestamp};
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

#[test]
fn every_operator() {
    let user = || Context::new("user-1");
    let instant = |text: &str| text.parse::<Timestamp>().unwrap();
    let with = |yes: Context, no: Context| vec![yes, no, user()];
    let strings = || with(user().with("a", "Pro"), user().with("a", "free"));
    let numbers = || with(user().with("a", 7), user().with("a", 70));
    let versions = || with(user().with("a", "1.2.0-rc.1+build"), user().with("a", "v3"));
    let lists = || with(user().with("a", vec!["beta", "x"]), user().with("a", vec!["x"]));
    for (operator, contexts) in [
        (r#""equals":"Pro""#, strings()),
        (r#""equals":7"#, numbers()),
        (r#""equals":true"#, with(user().with("a", true), user().with("a", false))),
        (r#""equalsCi":"pro""#, strings()),
        (r#""in":["A","B","C","D","E","F","G","H","I","Pro"]"#, strings()),
        (r#""inCi":["pro"]"#, strings()),
        (r#""contains":["ro"]"#, strings()),
        (r#""containsCi":["pr"]"#, strings()),
        (r#""startsWith":["P"]"#, strings()),
        (r#""startsWithCi":["p"]"#, strings()),
        (r#""endsWith":["o"]"#, strings()),
        (r#""endsWithCi":["ro"]"#, strings()),
        (r#""lessThan":8"#, numbers()),
        (r#""lessThanOrEqual":8"#, numbers()),
        (r#""before":10"#, numbers()),
        (
            r#""before":1000000000000"#,
            with(user().with("a", instant("2001-01-01T00:00:00Z")), user().with("a", instant("2031-01-01T00:00:00Z"))),
        ),
        (
            r#""before":1000000000000"#,
            with(user().with("a", "2001-01-01T00:00:00Z"), user().with("a", "2031-01-01T00:00:00Z")),
        ),
        (r#""semverEquals":"1.2.0-rc.1""#, versions()),
        (r#""semverLessThan":"1.2""#, versions()),
        (r#""semverLessThanOrEqual":"1.2""#, versions()),
        (r#""semverMatches":{"from":"1.2.0-0","below":"1.9.0-0","prereleasesOf":["1.2.0"]}"#, versions()),
        (r#""includesAny":["beta"]"#, lists()),
        (r#""includesAll":["beta"]"#, lists()),
        (
            r#""cidr":["10.0.0.0/8","2001:db8::/32"]"#,
            with(user().with("a", "10.1.2.3"), user().with("a", "2001:db9::1")),
        ),
        (r#""exists":true"#, strings()),
    ] {
        let rule = format!(r#"{{"id":"r","when":{{"attribute":"a",{operator}}},"serve":"on"}}"#);
        allocates_nothing(&snapshot("", &format!(r#""salt":"s","rules":[{rule}],"default":"off""#)), &contexts);
    }
}

#[test]
fn what_comes_before_the_rules() {
    let sections = r#""hashSalt":"9f86d081884c7d65",
        "segments":{"staff":{"include":["user-1"],"when":{"not":{"any":[{"attribute":"plan","equals":"pro"}]}}},
            "hashed":{"when":{"attribute":"plan","inHashed":{"types":["string"],"hashed":"xdJ5D4v9Oos"}}}},
        "layers":{"page":{"salt":"page-1","by":"account.id"}},"holdouts":{"year":{"salt":"year-1","percent":5000}},"#;
    let flag = r#""salt":"f-1","prerequisites":[],"deny":{"keys":["user-2"],"segments":["hashed"]},
        "exclude":{"keys":["user-3"],"positions":[[0,1000]]},"allow":[{"variant":"on","keys":["user-4"],"segments":["staff"]}],
        "holdouts":["year"],"layer":{"name":"page","ranges":[[0,50000]]},
        "default":{"ramp":{"schedule":{"before":0,"points":[[1736496000000,0],[4736496000000,100000]],"linear":true},"serve":"on"}}"#;
    let account = |number| Context::empty().with("id", number);
    let contexts: Vec<Context> = (0..500)
        .map(|number| Context::new(format!("user-{number}")).with("account", account(number)).with("plan", "pro"))
        .collect();
    allocates_nothing(&snapshot(sections, flag), &contexts);
}

#[test]
fn salts_and_keys_of_any_length() {
    let contexts: Vec<Context> = (0..500).map(|number| Context::new("k".repeat(number))).collect();
    allocates_nothing(&ramp("use_new_gateway-1", 25_000), &contexts);
}

#[test]
fn by_handle_pinned_and_missing() {
    static FLAG: FlagHandle = FlagHandle::new("f");
    static MISSING: FlagHandle = FlagHandle::new("missing");
    let (snapshot, user) = (ramp("s", 100_000), Context::new("user-42"));
    let pins = Pins::default().with("f", Pin::Variant("off".to_owned()));
    let flags = snapshot.at(now());
    let counted = allocation_counter::measure(|| {
        for _ in 0..3 {
            assert!(flags.boolean(&FLAG, false, &user));
            assert!(!flags.with_pins(&pins).boolean(&FLAG, true, &user));
            assert!(flags.boolean(&MISSING, true, &user));
            assert!(flags.boolean("missing", true, &user));
        }
    });
    assert_eq!(counted.count_total, 0);
}
