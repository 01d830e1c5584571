//! The engine against hand-written snapshots: the order of precedence, three-valued logic, bad documents.

use flagstone::{Context, ErrorCode, Evaluation, FlagValue, Pin, Pins, Reason, Snapshot, Step, Timestamp};

fn snapshot(sections: &str, flag: &str) -> Snapshot {
    let head = r#""schema":1,"environment":"test","audience":"server","version":3,"created":"2026-01-01T00:00:00Z""#;
    let flag = format!(r#"{{"type":"boolean","variants":{{"on":true,"off":false}},"off":"off","salt":"f-1",{flag}}}"#);
    let other = r#"{"type":"string","variants":{"a":"A","b":"B"},"off":"a","salt":"o-1","enabled":true,"default":"b"}"#;
    let payload = format!(r#"{{{head},{sections}"flags":{{"f":{flag},"other":{other}}}}}"#);
    Snapshot::from_payload(payload).unwrap_or_else(|error| panic!("{error}"))
}

fn now() -> Timestamp {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

fn evaluate<'s>(snapshot: &'s Snapshot, context: &Context) -> Evaluation<'s> {
    snapshot.at(now()).details("f", context)
}

/// What the flag `f` serves, whether it is `on`, and the step that decided.
fn decided(sections: &str, flag: &str, context: &Context) -> (bool, Reason, Step) {
    let snapshot = snapshot(sections, flag);
    let evaluation = evaluate(&snapshot, context);
    (evaluation.value == Some(FlagValue::Boolean(true)), evaluation.reason, evaluation.step.unwrap())
}

fn user() -> Context {
    Context::new("user-1").with("plan", "pro")
}

/// One flag in which every step would decide; each test takes away the ones above.
const SECTIONS: &str = r#"
    "segments": {"pros": {"when": {"attribute": "plan", "equals": "pro"}}, "one": {"include": ["user-1"]}},
    "layers": {"layer": {"salt": "l-1"}}, "holdouts": {"everyone": {"salt": "h-1", "percent": 100000}},"#;

#[test]
fn the_first_step_that_has_something_to_say_decides() {
    let members = [
        (r#""killed":"flag""#, (false, Reason::Disabled, Step::Kill)),
        (r#""enabled":false"#, (false, Reason::Disabled, Step::Disabled)),
        (r#""prerequisites":[{"flag":"other","variants":["a"]}]"#, (false, Reason::Default, Step::Prerequisite)),
        (r#""deny":{"keys":["user-1"]}"#, (false, Reason::TargetingMatch, Step::Deny)),
        (r#""exclude":{"segments":["one"]}"#, (false, Reason::TargetingMatch, Step::Exclude)),
        (r#""allow":[{"variant":"on","segments":["pros"]}]"#, (true, Reason::TargetingMatch, Step::Allow)),
        (r#""holdouts":["everyone"]"#, (false, Reason::Split, Step::Holdout)),
        (r#""layer":{"name":"layer","ranges":[]}"#, (false, Reason::Split, Step::Layer)),
        (
            r#""rules":[{"id":"r","when":{"attribute":"plan","in":["pro"]},"serve":"on"}]"#,
            (true, Reason::TargetingMatch, Step::Rule(0)),
        ),
        (r#""default":{"ramp":{"percent":100000,"serve":"on"}}"#, (true, Reason::Split, Step::Default)),
    ];
    for from in 0..members.len() {
        let flag: Vec<&str> = members[from..].iter().map(|(member, _)| *member).collect();
        assert_eq!(decided(SECTIONS, &flag.join(","), &user()), members[from].1, "without the first {from} steps");
    }
}

#[test]
fn pins_stand_around_kill_and_disabled() {
    let pins = |pin| Pins::default().with("f", pin);
    let check = |flag: &str, pin| {
        let snapshot = snapshot("", flag);
        let pins = pins(pin);
        let evaluation = snapshot.at(now()).with_pins(&pins).details("f", &user());
        (evaluation.variant.map(str::to_owned), evaluation.reason, evaluation.step.unwrap())
    };
    let (on, off) = (|| Some("on".to_owned()), || Some("off".to_owned()));
    let pin_on = || Pin::Variant("on".into());
    assert_eq!(check(r#""default":"on""#, Pin::Off), (off(), Reason::Static, Step::OffPin));
    assert_eq!(check(r#""default":"off""#, pin_on()), (on(), Reason::Static, Step::OnPin));
    assert_eq!(check(r#""killed":"all","default":"off""#, pin_on()), (off(), Reason::Disabled, Step::Kill));
    assert_eq!(check(r#""enabled":false,"default":"off""#, pin_on()), (off(), Reason::Disabled, Step::Disabled));
    assert_eq!(check(r#""killed":"all","default":"on""#, Pin::Off), (off(), Reason::Static, Step::OffPin));
    assert_eq!(check(r#""default":"off""#, Pin::Variant("no".into())), (None, Reason::Error, Step::OnPin));
}

#[test]
fn a_name_this_engine_lacks_makes_the_flag_an_error_but_kill_and_disabled_work() {
    for flag in [
        r#""requires":["telepathy"],"default":"on""#,
        r#""rules":[{"id":"r","when":{"attribute":"mind","reads":"yes"},"serve":"on"}],"default":"off""#,
        r#""requires":["telepathy"],"default":{"telepathy":{"whatever":[1,{}]}}"#,
        r#""requires":["telepathy"],"rules":"not even rules","default":7"#,
        r#""rules":[{"id":"r","when":{"segment":"psychic"},"serve":"on"}],"default":"off""#,
        r#""deny":{"segments":["outer"]},"default":"on""#,
    ] {
        let sections =
            r#""segments":{"psychic":{"when":{"attribute":"x","reads":1}},"outer":{"when":{"segment":"psychic"}}},"#;
        let healthy = snapshot(sections, flag);
        let evaluation = evaluate(&healthy, &user());
        assert_eq!(
            (evaluation.error_code, evaluation.value, evaluation.step),
            (Some(ErrorCode::General), None, Some(Step::Unsupported)),
            "{flag}"
        );
        assert_eq!(healthy.at(now()).string("other", "default", &user()), "B", "other flags go on");
        let killed = format!(r#"{flag},"killed":"tag:payments""#);
        assert_eq!(decided(sections, &killed, &user()), (false, Reason::Disabled, Step::Kill), "{flag}");
        let disabled = format!(r#"{flag},"enabled":false"#);
        assert_eq!(decided(sections, &disabled, &user()), (false, Reason::Disabled, Step::Disabled), "{flag}");
    }
}

#[test]
fn a_ramp_in_a_rule_lets_those_outside_go_on() {
    let flag = |percent| {
        format!(
            r#""rules":[{{"id":"r","serve":{{"ramp":{{"percent":{percent},"serve":"on"}}}}}}],
               "default":{{"ramp":{{"percent":0,"serve":"on"}}}}"#
        )
    };
    assert_eq!(decided("", &flag(0), &user()), (false, Reason::Split, Step::Default));
    assert_eq!(decided("", &flag(100_000), &user()), (true, Reason::Split, Step::Rule(0)));
}

#[test]
fn without_a_key_every_position_is_off_and_nothing_needs_one_at_0_and_100_percent() {
    let nobody = Context::empty();
    let ramp = |percent| format!(r#""default":{{"ramp":{{"percent":{percent},"serve":"on"}}}}"#);
    assert_eq!(decided("", &ramp(100_000), &nobody), (true, Reason::Split, Step::Default));
    assert_eq!(decided("", &ramp(0), &nobody), (false, Reason::Split, Step::Default));
    for flag in [
        ramp(99_999).as_str(),
        r#""default":{"split":[["off",50000],["on",100000]]}"#,
        r#""rules":[{"id":"r","serve":{"ramp":{"percent":50000,"serve":"on"}}}],"default":"on""#,
        r#""layer":{"name":"layer","ranges":[[0,99999]]},"default":"on""#,
        r#""holdouts":["some"],"default":"on""#,
        r#""exclude":{"positions":[[0,1]]},"default":"on""#,
    ] {
        let sections = r#""layers":{"layer":{"salt":"l"}},"holdouts":{"some":{"salt":"h","percent":1}},"#;
        for context in [nobody.clone(), Context::new(1.5), Context::new(9_007_199_254_740_992.0), Context::new(true)] {
            let snapshot = snapshot(sections, flag);
            let evaluation = evaluate(&snapshot, &context);
            assert_eq!(evaluation.value, Some(FlagValue::Boolean(false)), "{flag}");
            assert_eq!((evaluation.reason, evaluation.key_missing), (Reason::Default, true), "{flag}");
            assert_eq!(evaluation.error_code, None);
        }
    }
    assert_eq!(
        decided("", r#""default":{"split":[["off",0],["on",100000],["off",100000]]}"#, &nobody),
        (true, Reason::Split, Step::Default)
    );
}

#[test]
fn the_same_number_is_the_same_key_however_it_is_written() {
    let snapshot = snapshot("", r#""allow":[{"variant":"on","keys":["-7","0","7"]}],"default":"off""#);
    for json in ["7", "7.0", "70e-1", "\"7\"", "-7", "0", "-0.0"] {
        let context = Context::from_json(&format!(r#"{{"targetingKey":{json}}}"#)).unwrap();
        assert!(snapshot.at(now()).boolean("f", false, &context), "{json}");
    }
    for json in ["7.5", "\"7.0\"", "\"\\ud800\"", "null", "[7]", "{}"] {
        let context = Context::from_json(&format!(r#"{{"targetingKey":{json}}}"#)).unwrap();
        assert!(!snapshot.at(now()).boolean("f", false, &context), "{json}");
    }
}

#[test]
fn an_expired_snapshot_says_stale() {
    let payload = r#"{"schema":1,"environment":"e","audience":"client","version":1,"created":"2026-01-01T00:00:00Z",
        "expires":"2026-01-08T00:00:00Z","flags":{"f":{"type":"boolean","variants":{"on":true,"off":false},"off":"off",
        "salt":"s","default":"on"}}}"#;
    let snapshot = Snapshot::from_payload(payload).unwrap();
    let reason = |now: &str| snapshot.at(now.parse().unwrap()).details("f", &user()).reason;
    assert_eq!(reason("2026-01-08T00:05:00Z"), Reason::Static, "clocks may be five minutes apart");
    assert_eq!(reason("2026-01-08T00:05:00.001Z"), Reason::Stale);
}

#[test]
fn a_schedule_goes_by_the_clock_and_says_until_when() {
    let flag = r#""default":{"ramp":{"schedule":{"before":0,"points":[[1000,0],[2000,100000],[3000,0]]%LINEAR%},"serve":"on"}}"#;
    let steps = snapshot("", &flag.replace("%LINEAR%", ""));
    let at = |snapshot: &Snapshot, millis| {
        let evaluation = snapshot.at(Timestamp::from_millis(millis)).details("f", &user());
        (evaluation.value == Some(FlagValue::Boolean(true)), evaluation.until.map(Timestamp::as_millis))
    };
    assert_eq!(at(&steps, 999), (false, Some(2000)));
    assert_eq!(at(&steps, 2000), (true, Some(3000)), "a step counts from its instant on");
    assert_eq!(at(&steps, 3000), (false, None));

    let linear = snapshot("", &flag.replace("%LINEAR%", r#","linear":true"#));
    let served: Vec<(bool, Option<i64>)> = (0..3500).map(|millis| at(&linear, millis)).collect();
    for (millis, &(now, until)) in served.iter().enumerate() {
        let next = served[millis..].iter().position(|&(later, _)| later != now);
        assert_eq!(until, next.map(|next| (millis + next) as i64), "at {millis}");
    }
}

#[test]
fn deny_lists_deny_whom_a_segment_might_hold_and_rules_match_on_true_alone() {
    let sections = r#""segments":{"banned":{"when":{"attribute":"banned","equals":true}}},"#;
    let flag = r#""deny":{"segments":["banned"]},"default":"on""#;
    let step = |context: &Context| decided(sections, flag, context).2;
    assert_eq!(step(&user().with("banned", false)), Step::Default);
    assert_eq!(step(&user().with("banned", true)), Step::Deny);
    assert_eq!(step(&user()), Step::Deny, "unknown");
    assert_eq!(step(&user().with("banned", "no")), Step::Deny, "mistyped");

    let rule = |when: &str| format!(r#""rules":[{{"id":"r","when":{when},"serve":"on"}}],"default":"off""#);
    for (when, matches) in [
        (r#"{"attribute":"x","equals":1}"#, false),
        (r#"{"not":{"attribute":"x","equals":1}}"#, false),
        (r#"{"attribute":"x","exists":false}"#, true),
        (r#"{"all":[]}"#, true),
        (r#"{"any":[]}"#, false),
        (r#"{"any":[{"attribute":"x","equals":1},{"attribute":"plan","equals":"pro"}]}"#, true),
        (r#"{"all":[{"attribute":"x","equals":1},{"attribute":"plan","equals":"pro"}]}"#, false),
        (r#"{"not":{"all":[{"attribute":"x","equals":1},{"attribute":"plan","equals":"free"}]}}"#, true),
    ] {
        assert_eq!(decided("", &rule(when), &user()).0, matches, "{when}");
    }
}

#[test]
fn what_a_flag_names_changes_it_and_nothing_else_does() {
    const PROS: &str = r#""segments":{"pros":{"when":{"segment":"paying"}},"paying":{"include":["PAYING"]}},"#;
    const LAYERS: &str = r#""layers":{"layer":{"salt":"LAYER"}},"holdouts":{"held":{"salt":"h","percent":HELD}},"#;
    let sections = |paying: &str, layer: &str, held: &str| {
        [PROS, LAYERS].concat().replace("PAYING", paying).replace("LAYER", layer).replace("HELD", held)
    };
    let changes = |sections: &[String; 2], flags: [&str; 2]| {
        let [older, newer] = [snapshot(&sections[0], flags[0]), snapshot(&sections[1], flags[1])];
        newer.changes_since(&older).join(",")
    };
    let same = sections("a", "l", "1");
    let plain = r#""default":"on""#;
    assert_eq!(changes(&[same.clone(), same.clone()], [plain, plain]), "");
    assert_eq!(changes(&[same.clone(), same.clone()], [plain, r#""default":"off""#]), "f");
    for other in [sections("b", "l", "1"), sections("a", "m", "1"), sections("a", "l", "2")] {
        assert_eq!(changes(&[same.clone(), other], [plain, plain]), "", "nothing of it is named");
    }
    for (flag, other) in [
        (r#""deny":{"segments":["pros"]},"default":"on""#, sections("b", "l", "1")),
        (r#""exclude":{"segments":["paying"]},"default":"on""#, sections("b", "l", "1")),
        (r#""allow":[{"variant":"on","segments":["pros"]}],"default":"on""#, sections("b", "l", "1")),
        (
            r#""rules":[{"id":"r","when":{"not":{"segment":"pros"}},"serve":"on"}],"default":"on""#,
            sections("b", "l", "1"),
        ),
        (r#""layer":{"name":"layer","ranges":[[0,5]]},"default":"on""#, sections("a", "m", "1")),
        (r#""holdouts":["held"],"default":"on""#, sections("a", "l", "2")),
    ] {
        assert_eq!(changes(&[same.clone(), same.clone()], [flag, flag]), "", "{flag}");
        assert_eq!(changes(&[same.clone(), other], [flag, flag]), "f", "{flag}");
    }
    let one = |name: &str| {
        Snapshot::from_payload(format!(
            r#"{{"schema":1,"environment":"test","audience":"server","version":3,"created":"2026-01-01T00:00:00Z","flags":{{
                "base":{{"type":"boolean","variants":{{"on":true,"off":false}},"off":"off","salt":"s","killed":"{name}","default":"on"}},
                "{name}":{{"type":"boolean","variants":{{"on":true,"off":false}},"off":"off","salt":"s","default":"on"}},
                "needs":{{"type":"boolean","variants":{{"on":true,"off":false}},"off":"off","salt":"s",
                    "prerequisites":[{{"flag":"base","variants":["on"]}}],"default":"on"}}}}}}"#
        ))
        .unwrap()
    };
    assert_eq!(one("flag").changes_since(&one("all")), ["base", "flag", "needs", "all"]);
}
