//! The engine against the golden vectors, which were worked out without it (`tests/vectors/README.md`).

mod support;

use base64ct::{Base64UrlUnpadded, Encoding};
use flagstone::bucketing::{Use, js31, position};
use flagstone::{Context, Finding, Snapshot, Timestamp, Value};
use serde_json::Value as Json;
use support::*;

fn vectors(text: &str, at_least: usize) -> Vec<Json> {
    let cases: Vec<Json> = serde_json::from_str(text).unwrap();
    assert!(cases.len() >= at_least, "{} cases", cases.len());
    cases
}

fn text<'c>(case: &'c Json, member: &str) -> &'c str {
    case[member].as_str().unwrap_or_else(|| panic!("{case}: no text `{member}`"))
}

fn whole(case: &Json) -> u32 {
    case.as_u64().unwrap().try_into().unwrap()
}

/// The contexts that have this key: as a text and, where it is the decimal form of a number, as that number.
fn contexts(key: &str) -> Vec<Context> {
    let number = key.parse::<f64>().ok().filter(|number| number.to_string() == key);
    [Some(Context::new(key)), number.map(Context::new)].into_iter().flatten().collect()
}

#[test]
fn xxh3_positions() {
    let mut numbers = 0;
    for case in vectors(include_str!("vectors/xxh3.json"), 1_000) {
        let (salt, key) = (text(&case, "salt"), text(&case, "key"));
        let r#use = [Use::Ramp, Use::Split, Use::Layer, Use::Holdout][case["use"].as_u64().unwrap() as usize];
        let expected = whole(&case["position"]);
        assert_eq!(position(salt, r#use, key), expected, "{case}");

        // The same through an evaluation: the flag is on just where this position is on the right side of a bound.
        let (below, above) = (around(salt, r#use, expected), around(salt, r#use, expected + 1));
        for context in contexts(key) {
            assert_eq!((is_on(&below, &context), is_on(&above, &context)), (false, true), "{case}");
            numbers += u32::from(!matches!(context.get("targetingKey"), Some(Value::String(_))));
        }
    }
    assert!(numbers > 40, "keys that are numbers: {numbers}");
}

/// A flag that is on for the positions below `bound`.
fn around(salt: &str, r#use: Use, bound: u32) -> Snapshot {
    let salt = quote(salt);
    match r#use {
        Use::Ramp => snapshot("", &format!(r#""salt":{salt},"default":{}"#, ramp_to(bound))),
        Use::Split => snapshot(
            "",
            &format!(r#""salt":{salt},"default":{{"split":[["on",{bound}],["off",100000],["on",100000]]}}"#),
        ),
        Use::Layer => {
            let ranges = if bound == 0 { String::new() } else { format!("[0,{bound}]") };
            let layer = format!(r#""layer":{{"name":"l","ranges":[{ranges}]}}"#);
            snapshot(
                &format!(r#""layers":{{"l":{{"salt":{salt}}}}},"#),
                &format!(r#""salt":"s",{layer},"default":"on""#),
            )
        }
        // Who is held out gets the variant named by `off`.
        Use::Holdout => load(format!(
            r#"{{{HEAD},"holdouts":{{"h":{{"salt":{salt},"percent":{bound}}}}},"flags":{{"f":{{"type":"boolean",
               "variants":{{"yes":true,"no":false}},"off":"yes","salt":"s","holdouts":["h"],"default":"no"}}}}}}"#
        )),
    }
}

#[test]
fn js31_positions() {
    let ramp = |percent| snapshot("", &format!(r#""salt":"s","scheme":"js31","default":{}"#, ramp_to(percent)));
    let ramps: Vec<Snapshot> = (0..=100).map(|percent| ramp(percent * 1_000)).collect();
    for case in vectors(include_str!("vectors/js31.json"), 300) {
        let (key, expected) = (text(&case, "key"), whole(&case["position"]));
        assert_eq!(expected, whole(&case["absolute"]) % 100 * 1_000, "{case}");
        assert_eq!(js31(key), expected, "{case}");
        let percent = (expected / 1_000) as usize;
        for context in contexts(key) {
            let on = |ramp: &Snapshot| is_on(ramp, &context);
            assert_eq!((on(&ramps[percent]), on(&ramps[percent + 1])), (false, true), "{case}");
        }
    }
    let at_five_percent = (0..1_000).filter(|number| is_on(&ramps[5], &Context::new(format!("user-{number}")))).count();
    assert_eq!(at_five_percent, 39, "of user-0 to user-999, as services with this hash have counted");
}

#[test]
fn percents_of_schedules() {
    let context = Context::new("user-42");
    let position = position("s", Use::Ramp, "user-42");
    for case in vectors(include_str!("vectors/schedule.json"), 60) {
        let (before, points) = (&case["before"], &case["points"]);
        let linear = &case.get("linear").unwrap_or(&Json::Bool(false));
        let schedule = format!(r#"{{"before":{before},"points":{points},"linear":{linear}}}"#);
        let ramp = snapshot("", &format!(r#""salt":"s","default":{{"ramp":{{"schedule":{schedule},"serve":"on"}}}}"#));
        for pair in case["at"].as_array().unwrap() {
            let (at, expected) = (Timestamp::from_millis(pair[0].as_i64().unwrap()), whole(&pair[1]));
            assert_eq!(ramp.at(at).boolean("f", false, &context), position < expected, "{case} at {at}");
            match findings(&ramp, at, &context).as_slice() {
                [Finding::Threshold { percent, .. }] => assert_eq!(*percent, expected, "{case} at {at}"),
                other => panic!("{case} at {at}: {other:?}"),
            }
        }
    }
}

#[test]
fn parts_of_splits() {
    let salt = "split";
    let keys = keys_by_position(salt, Use::Split);
    for case in vectors(include_str!("vectors/split.json"), 100) {
        let bounds: Vec<u32> = case["bounds"].as_array().unwrap().iter().map(whole).collect();
        let part = |index: usize| format!(r#"["{index}",{}]"#, bounds[index]);
        let parts: Vec<String> = (0..bounds.len()).map(part).collect();
        let variants: Vec<String> = (0..bounds.len()).map(|index| format!(r#""{index}":{index}"#)).collect();
        let snapshot = load(format!(
            r#"{{{HEAD},"flags":{{"f":{{"type":"number","variants":{{{}}},"off":"0","salt":"{salt}",
               "default":{{"split":[{}]}}}}}}}}"#,
            variants.join(","),
            parts.join(","),
        ));
        let served = |position: u32| {
            let context = Context::new(keys[position as usize].as_str());
            details(&snapshot, &context).variant.unwrap().parse::<usize>().unwrap()
        };
        for (index, &bound) in bounds.iter().enumerate() {
            // Parts that are too light for a thousandth of a percent are empty, and so is a split without weight.
            let first = if index == 0 { 0 } else { bounds[index - 1] };
            if first < bound {
                assert_eq!((served(first), served(bound - 1)), (index, index), "{case:.200}");
                assert_ne!(case["weights"][index], 0, "{case:.200}");
            }
        }
    }
}

#[test]
fn hashed_lists() {
    for case in vectors(include_str!("vectors/hashed.json"), 250) {
        let hash = u64::from_str_radix(text(&case, "hash"), 16).unwrap();
        let neighbours = [hash ^ 1, hash ^ (1 << 63), 0, u64::MAX];
        let list = |hashes: &[u64]| {
            let mut hashes = hashes.to_vec();
            hashes.sort_unstable();
            let bytes: Vec<u8> = hashes.into_iter().flat_map(u64::to_be_bytes).collect();
            Base64UrlUnpadded::encode_string(&bytes)
        };
        let (right, wrong) = (list(&[neighbours.as_slice(), &[hash]].concat()), list(&neighbours));
        let (right, wrong) = (hashed(&case, &right), hashed(&case, &wrong));
        let attribute = if text(&case, "tag") == "k" { "targetingKey" } else { "a" };
        let (value, other): (Value, Value) = match &case["value"] {
            Json::String(text) => (text.as_str().into(), format!("{text}x").into()),
            Json::Bool(boolean) => ((*boolean).into(), (!boolean).into()),
            Json::Number(_) => {
                let bits = u64::from_str_radix(&text(&case, "bits")[2..], 16).unwrap();
                (f64::from_bits(bits).into(), f64::from_bits(bits ^ 1).into())
            }
            _ => panic!("{case}"),
        };
        let (value, other) = (Context::empty().with(attribute, value), Context::empty().with(attribute, other));
        assert!(is_on(&right, &value), "{case}");
        assert!(!is_on(&wrong, &value), "{case}");
        assert!(!is_on(&right, &other), "{case}");
        // A key that is a number is the same key as its digits; under `in` the two are of different types.
        for context in if attribute == "a" { Vec::new() } else { contexts(text(&case, "value")) } {
            assert!(is_on(&right, &context), "{case}");
        }
    }
}

/// A client snapshot whose list or condition holds these hashes.
fn hashed(case: &Json, hashes: &str) -> Snapshot {
    let (owner, name) = text(case, "owner").split_once(':').unwrap();
    let (key, segment) = if owner == "flag" { (name, "g") } else { ("f", name) };
    let (key, segment, salt) = (quote(key), quote(segment), quote(text(case, "hashSalt")));
    let test = |kind: &str| format!(r#"{{"attribute":"a","inHashed":{{"types":["{kind}"],"hashed":"{hashes}"}}}}"#);
    let keys = format!(r#"{{"hashed":"{hashes}"}}"#);
    let (list, condition) = match text(case, "tag") {
        "k" => (keys.as_str(), r#"{"any":[]}"#.to_owned()),
        "s" => ("[]", test("string")),
        "n" => ("[]", test("number")),
        "b" => ("[]", test("boolean")),
        other => panic!("{other}"),
    };
    let (of_flag, of_segment) = if owner == "flag" {
        (
            format!(
                r#""allow":[{{"variant":"on","keys":{list}}}],"rules":[{{"id":"r","when":{condition},"serve":"on"}}]"#
            ),
            "{}".to_owned(),
        )
    } else {
        (
            format!(r#""rules":[{{"id":"r","when":{{"segment":{segment}}},"serve":"on"}}]"#),
            format!(r#"{{"include":{list},"when":{condition}}}"#),
        )
    };
    load(format!(
        r#"{{"schema":1,"environment":"test","audience":"client","version":1,"created":"2026-01-01T00:00:00Z",
            "expires":"2027-01-01T00:00:00Z","hashSalt":{salt},"segments":{{{segment}:{of_segment}}},
            "flags":{{{key}:{{{FLAG},"salt":"s",{of_flag},"default":"off"}}}}}}"#
    ))
}

#[test]
fn programs_of_regular_expressions() {
    let (mut matching, mut failing) = (0, 0);
    for case in vectors(include_str!("vectors/patterns.json"), 80) {
        let section = format!(r#""patterns":{{{}:{}}},"#, case["pattern"], case["program"]);
        let when = format!(r#"{{"attribute":"text","matches":[{}]}}"#, case["pattern"]);
        let rules = format!(r#""salt":"s","rules":[{{"id":"r","when":{when},"serve":"on"}}],"default":"off""#);
        let snapshot = snapshot(&section, &rules);
        for (member, expected, count) in [("matches", true, &mut matching), ("fails", false, &mut failing)] {
            for text in case[member].as_array().unwrap() {
                let context = Context::empty().with("text", text.as_str().unwrap());
                assert_eq!(is_on(&snapshot, &context), expected, "{} in {text}", case["pattern"]);
                *count += 1;
            }
        }
    }
    assert!(matching > 100 && failing > 100, "{matching} {failing}");
}
