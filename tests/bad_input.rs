//! Bad input: each a clear error that says what is wrong and where, or a documented result; never a panic or a hang.

mod support;

use flagstone::snapshot::Envelope;
use flagstone::{Context, ErrorCode, FlagValue, Reason, Snapshot, Step, Value};
use support::*;

fn refusal(payload: impl Into<String>) -> String {
    let payload = payload.into();
    match Snapshot::from_payload(payload.as_str()) {
        Ok(_) => panic!("this is read as a snapshot: {payload:.2000}"),
        Err(error) => error.to_string(),
    }
}

/// That the document is refused for this, and the message says where: at `path`, at the byte where `at` starts.
#[track_caller]
fn refused(payload: &str, message: &str) {
    let found = refusal(payload);
    assert!(found.starts_with(message), "expected: {message}\n   found: {found}\n      in: {payload:.2000}");
    let offset = found.rsplit_once("(at byte ").and_then(|(_, rest)| rest.strip_suffix(')')).map(str::parse::<usize>);
    assert!(matches!(offset, Some(Ok(offset)) if offset <= payload.len()), "{found}");
}

/// That a flag with these members is refused.
#[track_caller]
fn flag_refused(members: &str, message: &str) {
    refused(&document("", members), &format!("flags.f{message}"));
}

fn document(sections: &str, flag: &str) -> String {
    format!(r#"{{{HEAD},{sections}"flags":{{"f":{{{FLAG},"salt":"s",{flag}}}}}}}"#)
}

fn rule(condition: &str) -> String {
    format!(r#""rules":[{{"id":"r","when":{condition},"serve":"on"}}],"default":"off""#)
}

/// Replaces the one occurrence of `from` in the snapshot that uses everything.
fn everything_but(from: &str, to: &str) -> String {
    assert_eq!(EVERYTHING.matches(from).count(), 1, "{from}");
    EVERYTHING.replacen(from, to, 1)
}

#[test]
fn the_snapshot_that_uses_everything_does() {
    let format = include_str!("../src/snapshot/FORMAT.md");
    let (_, requires) = format.split_once("## `requires`").unwrap();
    let (names, _) = requires.split_once("\n## ").unwrap();
    let features = names.split('`').skip(1).step_by(2);
    let table = |heading: &str| {
        let (_, rest) = format.split_once(heading).unwrap();
        let (section, _) = rest.split_once("\n## ").unwrap();
        let rows = section.lines().filter(|line| line.starts_with("| `"));
        rows.flat_map(|row| row.split('|').nth(1).unwrap().split('`').skip(1).step_by(2)).collect::<Vec<_>>()
    };
    let members = [table("## The document"), table("## A flag"), table("## A condition")].concat();
    assert!(members.len() > 50, "{members:?}");
    // `compiled` is written by no hand.
    for name in members.into_iter().chain(features).filter(|&name| name != "compiled") {
        assert!(EVERYTHING.contains(&format!(r#""{name}""#)), "{name}");
    }
    assert!(load(EVERYTHING).flags().len() > 8);
}

#[test]
fn a_snapshot_cut_anywhere_is_refused() {
    let whole = EVERYTHING.trim_end();
    for end in (0..whole.len()).filter(|&end| whole.is_char_boundary(end)) {
        let message = refusal(&whole[..end]);
        assert!(message.contains("(at byte "), "{end}: {message}");
    }
    refused("", "expected a value, but the document ends here (at byte 0)");
    refused(&format!("{whole}x"), "expected the end of the document, found `x`");
    refused(&format!("\u{feff}{whole}"), "expected a value, found `\u{feff}`");
}

#[test]
fn documents_too_deep_or_too_large_are_refused() {
    let nested = |depth: usize, open: &str, close: &str| {
        format!(r#"{{{HEAD},"flags":{{}},"x":{}1{}}}"#, open.repeat(depth - 1), close.repeat(depth - 1))
    };
    load(nested(128, "[", "]"));
    load(nested(128, r#"{"a":"#, "}"));
    refused(&nested(129, "[", "]"), "nested deeper than 128 (at byte ");
    refused(&nested(129, r#"{"a":"#, "}"), "nested deeper than 128 (at byte ");
    refused(&nested(1_000_000, "[", "]"), "nested deeper than 128 (at byte ");
    let error = Context::from_json(&nested(1_000_000, "[", "]")).unwrap_err().to_string();
    assert!(error.contains("nested deeper than 128"), "{error}");
    let error = Envelope::parse(nested(1_000_000, "[", "]").as_bytes()).unwrap_err().to_string();
    assert!(error.contains("nested deeper than 128"), "{error}");

    const LIMIT: usize = 64 << 20;
    let padded = |length: usize| {
        let mut text = document("", r#""default":"on""#);
        text.push_str(&" ".repeat(length - text.len()));
        text
    };
    assert!(is_on(&load(padded(LIMIT)), &Context::empty()));
    for length in [LIMIT + 1, 100_000_000] {
        refused(&padded(length), &format!("a snapshot is at most 64 MiB, this one has {length} bytes"));
    }
}

#[test]
fn bytes_that_are_not_utf_8_are_refused() {
    let error = Envelope::parse(b"{\"payload\":\"\xff\",\"signatures\":[]}").unwrap_err().to_string();
    assert_eq!(error, "not a signed envelope: not UTF-8 (at byte 12)");
}

#[test]
fn heads_must_be_whole_and_right() {
    let head = [
        (r#""schema":1"#, "schema"),
        (r#""environment":"e""#, "environment"),
        (r#""audience":"server""#, "audience"),
        (r#""version":1"#, "version"),
        (r#""created":"2026-01-01T00:00:00Z""#, "created"),
        (r#""flags":{}"#, "flags"),
    ];
    let with = |index: usize, member: &str| {
        let mut members: Vec<&str> = head.iter().map(|(member, _)| *member).collect();
        members[index] = member;
        format!("{{{}}}", members.join(","))
    };
    for (index, (member, name)) in head.into_iter().enumerate() {
        load(with(index, member));
        refused(&with(index, r#""x":0"#), &format!("`{name}` is missing"));
        refused(&with(index, &format!("{member},{member}")), &format!("`{name}` stands twice in one object"));
        for wrong in ["null", "true", "[]", "-1.5", "{\"a\":1}", "\"\""] {
            if (name, wrong) != ("environment", "\"\"") {
                refused(&with(index, &format!(r#""{name}":{wrong}"#)), name);
            }
        }
    }
    refused(&with(0, r#""schema":2"#), "schema: expected 1, found 2; a newer Flagstone wrote this snapshot");
    refused(&with(2, r#""audience":"everyone""#), "audience: expected `server` or `client`, found `everyone`");
    refused(&with(2, r#""audience":"client""#), "`expires` is missing");
    refused(&with(4, r#""created":"2026-01-01""#), "created: `2026-01-01` is no RFC 3339 instant");
    for version in ["0", "-1", "1.5", "1e3", "9007199254740992", "9223372036854775808", "1e999"] {
        refused(
            &with(3, &format!(r#""version":{version}"#)),
            "version: expected a whole number from 1 to 9007199254740991 (at byte ",
        );
    }
    assert_eq!(load(with(3, r#""version":9007199254740991"#)).version(), (1 << 53) - 1);
    for number in ["NaN", "Infinity", "-Infinity", "01", "1.", ".5", "+1", "0x10", "1e", "--1"] {
        assert!(refusal(with(3, &format!(r#""version":{number}"#))).contains("expected"), "{number}");
    }
    refused("[]", "expected an object (at byte 0)");
}

#[test]
fn members_that_occur_twice_are_refused() {
    // In the snapshot that uses everything, each member of each object written twice; that is, once more at its end.
    let mut places = 0;
    let mut path = Vec::new();
    twice(&serde_json::from_str(EVERYTHING).unwrap(), &mut path, &mut |path, document| {
        places += 1;
        let Err(error) = Snapshot::from_payload(document) else { panic!("{path:?} may occur twice") };
        let message = error.to_string();
        let expected = format!("`{}` stands twice in one object (at byte ", path.last().unwrap());
        assert!(message.starts_with(&expected), "{path:?}: {message}");
    });
    assert!(places > 250, "{places}");
}

/// Calls `check` with every text in which one member occurs twice.
fn twice(root: &serde_json::Value, path: &mut Vec<String>, check: &mut dyn FnMut(&[String], &str)) {
    fn write(value: &serde_json::Value, path: &[String], here: &mut Vec<String>, text: &mut String) {
        match value {
            serde_json::Value::Object(members) => {
                text.push('{');
                let mut first = true;
                for (name, member) in members {
                    here.push(name.clone());
                    for _ in 0..1 + usize::from(here == path) {
                        text.push_str(if first { "" } else { "," });
                        first = false;
                        text.push_str(&quote(name));
                        text.push(':');
                        write(member, path, here, text);
                    }
                    here.pop();
                }
                text.push('}');
            }
            serde_json::Value::Array(elements) => {
                text.push('[');
                for (index, element) in elements.iter().enumerate() {
                    text.push_str(if index == 0 { "" } else { "," });
                    here.push(format!("[{index}]"));
                    write(element, path, here, text);
                    here.pop();
                }
                text.push(']');
            }
            other => text.push_str(&other.to_string()),
        }
    }
    fn walk(
        root: &serde_json::Value,
        value: &serde_json::Value,
        path: &mut Vec<String>,
        check: &mut dyn FnMut(&[String], &str),
    ) {
        match value {
            serde_json::Value::Object(members) => {
                for (name, member) in members {
                    path.push(name.clone());
                    let mut text = String::new();
                    write(root, path, &mut Vec::new(), &mut text);
                    check(path, &text);
                    walk(root, member, path, check);
                    path.pop();
                }
            }
            serde_json::Value::Array(elements) => {
                for (index, element) in elements.iter().enumerate() {
                    path.push(format!("[{index}]"));
                    walk(root, element, path, check);
                    path.pop();
                }
            }
            _ => {}
        }
    }
    walk(root, root, path, check);
}

#[test]
fn values_of_the_wrong_type_are_refused_everywhere() {
    use serde_json::{Value, json};
    fn pointers(value: &Value, pointer: String, all: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                members.iter().for_each(|(name, member)| pointers(member, format!("{pointer}/{name}"), all));
            }
            Value::Array(elements) => {
                elements.iter().enumerate().for_each(|(at, element)| pointers(element, format!("{pointer}/{at}"), all));
            }
            _ => {}
        }
        all.push(pointer);
    }
    // What this engine does not know or need, it does not judge; JSON variants and operands of several types may be anything.
    let free = |pointer: &str| {
        ["/unknown", "/requires", "/flags/newer/default", "/flags/hashed/variants/", "/segments/beyond/when/reads"]
            .iter()
            .any(|free| pointer.starts_with(free))
            || ["/equals", "/in/", "/includesAny/", "/includesAll/"].iter().any(|operand| pointer.contains(operand))
    };
    let root: Value = serde_json::from_str(EVERYTHING).unwrap();
    let mut all = Vec::new();
    pointers(&root, String::new(), &mut all);
    let mut refusals = 0;
    for pointer in all.iter().filter(|pointer| !free(pointer)) {
        let wrong = match root.pointer(pointer).unwrap() {
            Value::Object(_) => [json!(null), json!(7.5), json!("x")],
            Value::String(_) => [json!(null), json!(7.5), json!([])],
            Value::Array(_) => [json!(null), json!({}), json!(7.5)],
            Value::Number(_) | Value::Bool(_) => [json!(null), json!("1"), json!({})],
            Value::Null => panic!("{pointer}"),
        };
        for wrong in wrong {
            let mut changed = root.clone();
            *changed.pointer_mut(pointer).unwrap() = wrong.clone();
            let Err(error) = Snapshot::from_payload(changed.to_string()) else { panic!("{pointer} may be {wrong}") };
            let message = error.to_string();
            // The place is named, or the member around it that is then incomplete.
            assert!(pointer.rsplit('/').take(2).any(|name| message.contains(name)), "{pointer}: {message}");
            refusals += 1;
        }
    }
    assert!(refusals > 900, "{refusals}");
}

#[test]
fn what_a_flag_serves_must_be_there_and_add_up() {
    for percent in ["100001", "101000", "-1", "0.5", "1e5", "99999999999999999999"] {
        let found = "expected a whole number from 0 to 100000";
        flag_refused(
            &format!(r#""default":{{"ramp":{{"percent":{percent},"serve":"on"}}}}"#),
            &format!(".default.ramp.percent: {found}"),
        );
        flag_refused(
            &format!(r#""default":{{"split":[["on",{percent}],["off",100000]]}}"#),
            &format!(".default.split[0][1]: {found}"),
        );
        flag_refused(
            &format!(r#""exclude":{{"positions":[[0,5],[7,{percent}]]}},"default":"on""#),
            &format!(".exclude.positions[1][1]: {found}"),
        );
        let schedule = format!(r#"{{"before":0,"points":[[0,{percent}]]}}"#);
        flag_refused(
            &format!(r#""default":{{"ramp":{{"schedule":{schedule},"serve":"on"}}}}"#),
            &format!(".default.ramp.schedule.points[0][1]: {found}"),
        );
        refused(
            &format!(r#"{{{HEAD},"holdouts":{{"h":{{"salt":"h","percent":{percent}}}}},"flags":{{}}}}"#),
            &format!("holdouts.h.percent: {found}"),
        );
    }
    let split = |parts: &str, message: &str| {
        flag_refused(&format!(r#""default":{{"split":{parts}}}"#), &format!(".default.split{message}"))
    };
    split(r#"[]"#, ": the last upper bound must be 100000");
    split(r#"[["on",99999]]"#, ": the last upper bound must be 100000");
    split(r#"[["on",50000],["off",49999],["on",100000]]"#, "[1]: expected upper bounds that never fall");
    split(r#"[["on"]]"#, "[0]: expected two elements");
    split(r#"[["on",1,2]]"#, "[0]: expected two elements");
    split(r#"[["of",100000]]"#, "[0][0]: the flag has no variant `of`");
    for (members, message) in [
        (r#""default":"of""#, ".default: the flag has no variant `of`"),
        (r#""default":{}"#, ".default: expected a variant, or either `split` or `ramp`"),
        (r#""default":{"ramp":{"percent":1}}"#, ".default.ramp: `serve` is missing"),
        (r#""default":{"ramp":{"serve":"on"}}"#, ".default.ramp: expected either `percent` or `schedule`"),
        (
            r#""default":{"ramp":{"percent":1,"serve":{"ramp":{"percent":1,"serve":"on"}}}}"#,
            ".default.ramp.serve: a ramp serves a variant or a split, no other ramp",
        ),
        (
            r#""default":{"split":[["on",100000]],"ramp":{"percent":1,"serve":"on"}}"#,
            ".default: expected a variant, or either `split` or `ramp`",
        ),
        (
            r#""default":{"ramp":{"percent":1,"schedule":{"before":0,"points":[[0,0]]},"serve":"on"}}"#,
            ".default.ramp: expected either `percent` or `schedule`",
        ),
        (
            r#""default":{"ramp":{"schedule":{"before":0,"points":[]},"serve":"on"}}"#,
            ".default.ramp.schedule.points: a schedule needs at least one point",
        ),
        (
            r#""default":{"ramp":{"schedule":{"before":0,"points":[[5,0],[5,1]]},"serve":"on"}}"#,
            ".default.ramp.schedule.points[1]: expected points each later than the one before",
        ),
        (
            r#""default":{"ramp":{"schedule":{"points":[[5,0]]},"serve":"on"}}"#,
            ".default.ramp.schedule: `before` is missing",
        ),
        (
            r#""default":{"ramp":{"schedule":{"before":0,"points":[[253402300800000,0]]},"serve":"on"}}"#,
            ".default.ramp.schedule.points[0][0]: expected a whole number from",
        ),
        (r#""enabled":true"#, ": `default` is missing"),
        (r#""allow":[{"keys":["a"]}],"default":"on""#, ".allow[0]: `variant` is missing"),
        (r#""allow":[{"variant":"no"}],"default":"on""#, ".allow[0].variant: the flag has no variant `no`"),
        (
            r#""exclude":{"positions":[[5,5]]},"default":"on""#,
            ".exclude.positions[0]: expected a range [from, to] with from below to",
        ),
        (r#""exclude":{"positions":[[5]]},"default":"on""#, ".exclude.positions[0]: expected two elements"),
        (r#""exclude":{"positions":[[5,6,7]]},"default":"on""#, ".exclude.positions[0]: expected two elements"),
        (r#""layer":{"name":"none","ranges":[]},"default":"on""#, ".layer.name: there is no layer `none`"),
        (r#""holdouts":["none"],"default":"on""#, ".holdouts[0]: there is no holdout `none`"),
        (r#""rules":[{"serve":"on"}],"default":"on""#, ".rules[0]: `id` is missing"),
        (r#""rules":[{"id":"r"}],"default":"on""#, ".rules[0]: `serve` is missing"),
        (r#""deny":{"keys":[7]},"default":"on""#, ".deny.keys[0]: expected a string"),
        (
            r#""deny":{"keys":{"hashed":"AAAA"}},"default":"on""#,
            ".deny.keys.hashed: expected base64url, unpadded, of 8-byte hashes",
        ),
        (r#""deny":{"keys":{"hashed":"AAAAAAAAAAA="}},"default":"on""#, ".deny.keys.hashed: expected base64url"),
    ] {
        flag_refused(members, message);
    }
    refused(&document("", r#""deny":{"keys":{"hashed":"AAAAAAAAAAA"}},"default":"on""#), "`hashSalt` is missing");
    let flag = |members: &str| format!(r#"{{{HEAD},"flags":{{"f":{{{members},"default":"a"}}}}}}"#);
    for (members, message) in [
        (r#""type":"boolean","variants":{},"off":"a","salt":"s""#, ".variants: a flag needs at least one variant"),
        (r#""type":"boolean","variants":{"a":"true"},"off":"a","salt":"s""#, ".variants.a: this variant is no boolean"),
        (r#""type":"number","variants":{"a":1e999},"off":"a","salt":"s""#, ".variants.a: the number is too large"),
        (r#""type":"boolean","variants":{"a":true},"off":"b","salt":"s""#, ".off: the flag has no variant `b`"),
        (
            r#""type":"boolean","variants":{"a":true},"off":"a","salt":"""#,
            ".salt: a salt must not be empty and must not hold control characters",
        ),
        (r#""type":"boolean","variants":{"a":true},"off":"a","salt":"a\u0085""#, ".salt: a salt must not"),
        (r#""type":"boolean","variants":{"a":true},"off":"a""#, ": `salt` is missing"),
        (r#""variants":{"a":true},"off":"a","salt":"s""#, ": `type` is missing"),
        (r#""type":"boolean","off":"a","salt":"s""#, ": `variants` is missing"),
    ] {
        refused(&flag(members), &format!("flags.f{message}"));
    }
    refused(&flag(r#""type":"number","variants":{"a":NaN},"off":"a","salt":"s""#), "expected a value, found `N`");
}

#[test]
fn conditions_must_make_sense() {
    for (condition, message) in [
        ("{}", ": expected `all`, `any`, `not`, `segment`, or `attribute` with one operator"),
        (r#"{"attribute":"a"}"#, ": expected `all`"),
        (r#"{"equals":1}"#, ": expected `all`"),
        (r#"{"attribute":"a","all":[]}"#, ": expected `all`"),
        (r#"{"all":[],"any":[]}"#, ": expected `all`"),
        (r#"{"attribute":"a","equals":1,"in":[1]}"#, ": expected `all`"),
        (r#"{"attribute":"a","equals":null}"#, ".equals: expected a string, a number or a boolean"),
        (r#"{"attribute":"a","equals":[1]}"#, ".equals: expected a string, a number or a boolean"),
        (r#"{"attribute":"a","in":"x"}"#, ".in: expected an array"),
        (r#"{"attribute":"a","lessThan":"1"}"#, ".lessThan: expected a number"),
        (r#"{"attribute":"a","lessThan":1e400}"#, ".lessThan: the number is too large"),
        (r#"{"attribute":"a","before":"2026-01-01T00:00:00Z"}"#, ".before: expected a whole number"),
        (r#"{"attribute":"a","before":0.5}"#, ".before: expected a whole number"),
        (r#"{"attribute":"a","semverEquals":"one"}"#, ".semverEquals: `one` is no version like 2.3.0"),
        (r#"{"attribute":"a","semverMatches":"^1"}"#, ".semverMatches: expected an object"),
        (r#"{"attribute":"a","semverMatches":{"below":"1"}}"#, ".semverMatches: `from` is missing"),
        (r#"{"attribute":"a","semverMatches":{"from":"1","below":">2"}}"#, ".semverMatches.below: `>2` is no version"),
        (
            r#"{"attribute":"a","semverMatches":{"from":"1","prereleasesOf":["1","x"]}}"#,
            ".semverMatches.prereleasesOf[1]: `x` is no version like 2.3.0",
        ),
        (
            r#"{"attribute":"a","cidr":["10.0.0.0/8","10.0.0.0/33"]}"#,
            ".cidr[1]: `10.0.0.0/33` is no network like 10.0.0.0/8",
        ),
        (r#"{"attribute":"a","cidr":["10.0.0.1"]}"#, ".cidr[0]: `10.0.0.1` is no network"),
        (r#"{"attribute":"a","cidr":["::/129"]}"#, ".cidr[0]: `::/129` is no network"),
        (r#"{"attribute":"a","cidr":["::/+1"]}"#, ".cidr[0]: `::/+1` is no network"),
        (r#"{"attribute":"a","matches":"a"}"#, ".matches: expected an array"),
        (r#"{"attribute":"a","matches":["a"]}"#, ".matches[0]: there is no pattern `a`"),
        // Searched by halving, so that another order would be a silent `false`.
        (r#"{"attribute":"a","in":["b","a"]}"#, ".in: expected strings in ascending order of their bytes, each once"),
        (r#"{"attribute":"a","in":[1,"a",10,9]}"#, ".in: expected numbers in ascending order, each once"),
        (r#"{"attribute":"a","in":[-0.0,0]}"#, ".in: expected numbers in ascending order, each once"),
        (r#"{"attribute":"a","includesAny":["a","a"]}"#, ".includesAny: expected strings in ascending order"),
        (
            r#"{"attribute":"a","inCi":["b","a"]}"#,
            ".inCi: expected strings in ascending order of their bytes, each once",
        ),
        (r#"{"attribute":"a","inCi":["A"]}"#, ".inCi[0]: operands that ignore case stand in lower case"),
        (r#"{"attribute":"a","equalsCi":"A"}"#, ".equalsCi: operands that ignore case stand in lower case"),
        (
            r#"{"attribute":"a","endsWithCi":["a","B"]}"#,
            ".endsWithCi[1]: operands that ignore case stand in lower case",
        ),
        (r#"{"attribute":"a","exists":"yes"}"#, ".exists: expected `true` or `false`"),
        (r#"{"attribute":"","exists":true}"#, ".attribute: the attribute path `` has an empty part"),
        (r#"{"attribute":"a..b","exists":true}"#, ".attribute: the attribute path `a..b` has an empty part"),
        (r#"{"attribute":"a.","exists":true}"#, ".attribute: the attribute path `a.` has an empty part"),
        (r#"{"all":[{"attribute":"a","exists":true},{"not":[]}]}"#, ".all[1].not: expected an object"),
    ] {
        flag_refused(&rule(condition), &format!(".rules[0].when{message}"));
    }
    refused(
        &document("", &rule(r#"{"segment":"none"}"#)),
        "flags.f.rules[0].when.segment: there is no segment `none` (at byte ",
    );
}

#[test]
fn programs_must_lead_somewhere() {
    let with = |program: &str| {
        let when = rule(r#"{"attribute":"a","matches":["p"]}"#);
        document(&format!(r#""patterns":{{"p":{program}}},"#), &when)
    };
    for (program, message) in [
        ("7", ": expected an array"),
        ("[1]", ": the program ends within an instruction"),
        ("[0,0,1]", ": the program ends within an instruction"),
        ("[1,1,97,97,2,1,97,97,98]", ": the program ends within an instruction"),
        ("[1114111,1,97,97]", ": the program ends within an instruction"),
        ("[-1,1]", "[0]: expected a whole number from 0 to 1114111"),
        ("[1.5,1,97,97]", "[0]: expected a whole number"),
        ("[1,1,98,97]", "[3]: expected a whole number from 98 to 1114111"),
        ("[1,1,0,1114112]", "[3]: expected a whole number from 0 to 1114111"),
        ("[1,-1,97,97]", "[1]: expected a whole number from 0 to 8191"),
        ("[1,2,97,97]", ": the program leads beyond its end"),
        ("[0,33554432,1,1]", "[1]: expected a whole number from 0 to 33554431"),
        // A circle that reads nothing would go on for ever.
        ("[0,0,0,1]", "[2]: expected a whole number from 1 to 8191"),
        ("[1,1,97,97,0,0,-1,1]", "[6]: expected a whole number from 1 to 8191"),
        ("[0,0,1,2]", ": the program leads beyond its end"),
    ] {
        refused(&with(program), &format!("patterns.p{message}"));
    }
    let letters = |count: usize| format!("[{}]", vec!["1,1,97,97"; count].join(","));
    let long = load(with(&letters(8_191)));
    for (length, expected) in [(8_190, false), (8_191, true), (8_192, true)] {
        assert_eq!(is_on(&long, &Context::empty().with("a", "a".repeat(length))), expected, "{length}");
    }
    refused(&with(&letters(8_192)), "patterns.p: the program has more than 8,191 instructions");
    load(with(&format!("[262143,1{}]", ",97,97".repeat(262_143))));
    refused(
        &with(&format!("[262144,1{}]", ",97,97".repeat(262_144))),
        "patterns.p: all programs together have more than 262,144 instructions and ranges",
    );

    // What no condition names is not read, and what a flag lacks is its own fault alone.
    load(document(r#""patterns":{"p":[9]},"#, r#""default":"on""#));
    let newer = r#""requires":["teleport"],"rules":[{"id":"r","when":{"attribute":"a","matches":["p"]},"serve":"on"}],"default":"off""#;
    let newer = load(document(r#""patterns":{"p":["teleport"]},"#, newer));
    assert_eq!(details(&newer, &Context::empty().with("a", "p")).error_code, Some(ErrorCode::General));
    // However many such flags there are, what other flags name has its room.
    let flag = |key: &str, requires: &str, pattern: &str| {
        let when = rule(&format!(r#"{{"attribute":"a","matches":["{pattern}"]}}"#));
        format!(r#""{key}":{{{FLAG},"salt":"s","requires":["{requires}"],{when}}}"#)
    };
    let programs = format!(r#""n":[200000,1{},"teleport"],"p":[1,1,97,97]"#, ",97,97".repeat(200_000));
    let flags = [flag("g", "teleport", "n"), flag("h", "teleport", "n"), flag("f", "matches", "p")].join(",");
    let others = load(format!(r#"{{{HEAD},"patterns":{{{programs}}},"flags":{{{flags}}}}}"#));
    assert_eq!(details(&others, &Context::empty().with("a", "a")).variant, Some("on"));
}

#[test]
fn large_conditions_are_right_and_larger_ones_refused() {
    let test = |number: usize| format!(r#"{{"attribute":"n","equals":{number}}}"#);
    let any = |count: usize| format!(r#"{{"any":[{}]}}"#, (1..count).map(test).collect::<Vec<_>>().join(","));
    let large = snapshot("", &format!(r#""salt":"s",{}"#, rule(&any(10_000))));
    for (number, expected) in [(0, false), (1, true), (5_000, true), (9_999, true), (10_000, false)] {
        assert_eq!(is_on(&large, &Context::empty().with("n", number)), expected, "{number}");
    }
    let all = format!(r#"{{"all":[{}{}]}}"#, r#"{"not":{"attribute":"n","equals":5}},"#.repeat(5_000), test(6));
    let all = snapshot("", &format!(r#""salt":"s",{}"#, rule(&all)));
    for (number, expected) in [(5, false), (6, true), (7, false)] {
        assert_eq!(is_on(&all, &Context::empty().with("n", number)), expected, "{number}");
    }
    refused(
        &document("", &rule(&any(70_000))),
        "flags.f: evaluating the flag `f` would take more than 65,536 conditions, or a chain of more than 32 flags",
    );

    let nested = |depth: usize| format!("{}{}{}", r#"{"not":"#.repeat(depth - 1), test(1), "}".repeat(depth - 1));
    let deep = snapshot("", &format!(r#""salt":"s",{}"#, rule(&nested(63))));
    assert!(is_on(&deep, &Context::empty().with("n", 1)) && !is_on(&deep, &Context::empty().with("n", 2)));
    load(document("", &rule(&nested(64))));
    let message = refusal(document("", &rule(&nested(65))));
    assert!(
        message.starts_with("flags.f.rules[0].when.not.not") && message.contains("nested deeper than 64"),
        "{message}"
    );
    // The depth counts through segments, and at once in the segment and in the flag that uses it.
    let sections = |depth| format!(r#""segments":{{"s":{{"when":{}}}}},"#, nested(depth));
    load(document(&sections(62), &rule(r#"{"segment":"s"}"#)));
    refused(
        &document(&sections(63), &rule(r#"{"not":{"segment":"s"}}"#)),
        "flags.f: the conditions of the flag `f` go deeper than 64, segments unrolled (at byte",
    );
}

#[test]
fn circles_and_explosions_are_refused_and_named() {
    let segments = |sections: &str| document(&format!(r#""segments":{{{sections}}},"#), r#""default":"on""#);
    refused(&segments(r#""a":{"when":{"segment":"a"}}"#), "segments.a: the segment `a` contains itself");
    refused(
        &segments(
            r#""a":{"when":{"segment":"b"}},"b":{"when":{"any":[{"not":{"segment":"c"}}]}},"c":{"when":{"segment":"a"}}"#,
        ),
        "segments.a: the segment `a` contains itself",
    );
    let chain = |length: usize| {
        let link = |number: usize| format!(r#""s{number}":{{"when":{{"segment":"s{}"}}}}"#, number + 1);
        let links: Vec<String> = (0..length).map(link).collect();
        segments(&format!(r#"{},"s{length}":{{"include":["a"]}}"#, links.join(",")))
    };
    load(chain(31));
    assert!(refusal(chain(40)).contains("would take more than 65,536 conditions, or go deeper than 64"));
    assert!(refusal(chain(10_000)).contains("segments.s65: segments are nested deeper than 64"));
    // Each level asks the next one twice: 2^20 conditions.
    let doubling = |levels: usize| {
        let level = |number: usize| {
            format!(r#""s{number}":{{"when":{{"all":[{{"segment":"s{0}"}},{{"segment":"s{0}"}}]}}}}"#, number + 1)
        };
        let levels_: Vec<String> = (0..levels).map(level).collect();
        segments(&format!(r#"{},"s{levels}":{{"include":["a"]}}"#, levels_.join(",")))
    };
    load(doubling(10));
    let message = refusal(doubling(20));
    assert!(message.contains(": evaluating the segment `s") && message.contains("65,536"), "{message}");

    let flags = |flags: &[(usize, Vec<usize>)]| {
        let flag = |(number, needs): &(usize, Vec<usize>)| {
            let needs: Vec<String> =
                needs.iter().map(|need| format!(r#"{{"flag":"f{need}","variants":["on"]}}"#)).collect();
            format!(r#""f{number}":{{{FLAG},"salt":"s","prerequisites":[{}],"default":"on"}}"#, needs.join(","))
        };
        format!(r#"{{{HEAD},"flags":{{{}}}}}"#, flags.iter().map(flag).collect::<Vec<_>>().join(","))
    };
    let chain = |length: usize| {
        flags(&(0..length).map(|number| (number, (number + 1..length).take(1).collect())).collect::<Vec<_>>())
    };
    assert!(is_on(&load(chain(32)), &Context::empty()));
    refused(
        &chain(33),
        "flags.f0: evaluating the flag `f0` would take more than 65,536 conditions, or a chain of more than 32 flags (at byte",
    );
    refused(&chain(5_000), "flags.f33: a chain of prerequisites is longer than 32");
    refused(&flags(&[(0, vec![0])]), "flags.f0: the flag `f0` is its own prerequisite");
    refused(&flags(&[(0, vec![1]), (1, vec![2]), (2, vec![0])]), "flags.f0: the flag `f0` is its own prerequisite");
    refused(&flags(&[(0, vec![7])]), "flags.f0.prerequisites[0].flag: there is no flag `f7`");
    let doubling: Vec<_> =
        (0..20).map(|number| (number, if number < 19 { vec![number + 1; 2] } else { vec![] })).collect();
    let message = refusal(flags(&doubling));
    assert!(message.contains(": evaluating the flag `f") && message.contains("65,536"), "{message}");
    refused(
        &document("", r#""prerequisites":[{"flag":"g","variants":["yes"]}],"default":"on""#).replacen(
            r#""flags":{"#,
            &format!(r#""flags":{{"g":{{{FLAG},"salt":"s","default":"on"}},"#),
            1,
        ),
        "flags.f.prerequisites[0].variants[0]: the flag has no variant `yes`",
    );
}

#[test]
fn texts_that_are_no_unicode_are_refused_in_snapshots_and_missing_in_contexts() {
    for half in [r"\ud800", r"\udc00", r"x\udbff", r"\ud800\ud800", r"\ud83d\n"] {
        for (from, path) in [
            (r#""production""#, "environment"),
            (r#""4""#, "flags.operators.rules[2].when.any[4].semverGreaterThanOrEqual"),
            (r#""user-9""#, "segments.staff.exclude[0]"),
            (r#""steps-1""#, "flags.steps.salt"),
            (r#""\u00e9\ud83d\ude00\n\"\\\/""#, "unknown.ignored[3]"),
            (r#""\u00e9""#, "flags.hashed.variants.full.a[1]"),
            (r#""anything""#, "segments.beyond.when.reads[0]"),
        ] {
            refused(
                &everything_but(from, &format!(r#""{half}""#)),
                &format!("{path}: the string holds half of a surrogate pair"),
            );
        }
        let message = refusal(everything_but(r#""unknown""#, &format!(r#""{half}""#)));
        assert!(message.contains("the string holds half of a surrogate pair"), "{message}");
        let context = Context::from_json(&format!(r#"{{"targetingKey":"{half}","a":["{half}"],"{half}":1}}"#)).unwrap();
        assert_eq!(context.get("targetingKey"), Some(&Value::Null));
        let ramp = ramp("s", 50_000);
        let details = details(&ramp, &context);
        assert_eq!((details.variant, details.reason, details.key_missing), (Some("off"), Reason::Default, true));
    }
}

#[test]
fn unknown_names_make_one_flag_an_error_and_not_the_snapshot() {
    for flag in [
        r#""type":"colour","variants":{"on":{"r":1},"off":null},"off":"off","salt":"s","default":"on""#,
        r#""type":"boolean","variants":{"on":true,"off":false},"off":"off","salt":"s","scheme":"md5","default":"on""#,
        r#""type":"boolean","variants":{"on":true,"off":false},"off":"off","salt":"s","default":{"auction":[]}"#,
        r#""type":"boolean","variants":{"on":true,"off":false},"off":"off","salt":"s","rules":[{"id":"r","serve":"on","until":5}],"default":"on""#,
        r#""type":"boolean","variants":{"on":true,"off":false},"off":"off","salt":"s","deny":{"keys":{"bloom":"x"}},"default":"on""#,
    ] {
        let document = |more: &str| {
            format!(r#"{{{HEAD},"flags":{{"f":{{{flag}{more}}},"g":{{{FLAG},"salt":"s","default":"on"}}}}}}"#)
        };
        let healthy = load(document(""));
        let details = details(&healthy, &Context::new("user"));
        assert_eq!((details.value, details.error_code), (None, Some(ErrorCode::General)), "{flag}");
        assert_eq!(details.step, Some(Step::Unsupported));
        assert!(healthy.at(now()).boolean("g", false, &Context::empty()));
        let killed = load(document(r#","killed":"flag""#));
        let details = self::details(&killed, &Context::new("user"));
        assert_eq!((details.variant, details.reason), (Some("off"), Reason::Disabled), "{flag}");
    }
}

#[test]
fn attributes_of_any_type_have_a_documented_result() {
    let values: Vec<Value> = vec![
        Value::Null,
        true.into(),
        f64::NAN.into(),
        f64::INFINITY.into(),
        1.5.into(),
        9_007_199_254_740_992.0.into(),
        now().into(),
        vec![1, 2].into(),
        Context::new("inner").into(),
    ];
    for value in values {
        let ramp = ramp("s", 50_000);
        let details = details(&ramp, &Context::new(value.clone()));
        assert_eq!(details.value, Some(FlagValue::Boolean(false)), "{value:?} is no key");
        assert!(details.key_missing && details.reason == Reason::Default && details.error_code.is_none());
    }
    for wrong in [
        "",
        "[]",
        "null",
        "7",
        "\"user\"",
        "{",
        "{\"a\"}",
        "{\"a\":1,}",
        "{a:1}",
        "{'a':1}",
        "{\"a\":1}x",
        "{\"a\":\u{1}}",
    ] {
        let error = Context::from_json(wrong).unwrap_err().to_string();
        assert!(
            error.starts_with("the context is no JSON object of attributes: ") && error.contains("(at byte "),
            "{error}"
        );
    }
    let error = Context::from_json(r#"{"a":{"b":[0,{"c":tru}]}}"#).unwrap_err().to_string();
    assert!(error.ends_with(": expected a value, found `t` (at byte 18)"), "{error}");
}

/// Names that a hash table would put into one place must not make reading slow: there is no such table.
#[test]
fn many_names_are_read_whoever_chose_them() {
    let members: Vec<String> = (0..200_000).map(|index| format!(r#""{index:x}":0"#)).collect();
    let json = format!(r#"{{"targetingKey":"user-1",{}}}"#, members.join(","));
    assert!(Context::from_json(&json).is_ok());
    let twice = format!(r#"{{"7":1,{}}}"#, members.join(","));
    let error = Context::from_json(&twice).unwrap_err().to_string();
    assert!(error.contains("`7` stands twice in one object"), "{error}");
}
