use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::snapshot::Audience;

fn source(text: &str) -> Source {
    Source::new("f.yaml", text)
}

fn read(text: &str) -> Definitions {
    Definitions::read(&[source(text)]).unwrap_or_else(|problems| panic!("{}", shown(&problems)))
}

fn shown(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n")
}

/// Everything that is wrong with a text, a line each.
fn problems(text: &str) -> String {
    match Definitions::read(&[source(text)]) {
        Ok(definitions) => shown(&lint(&definitions)),
        Err(problems) => shown(&problems),
    }
}

#[track_caller]
fn complains(text: &str, expected: &str) {
    assert_eq!(problems(text), expected, "for\n{text}");
}

/// For what comes with random salts.
#[track_caller]
fn complains_beginning(text: &str, expected: &str) {
    let problems = problems(text);
    assert!(problems.starts_with(expected) && problems.lines().count() == 1, "{problems}\nfor\n{text}");
}

const EVERYTHING: &str = r#"
$schema: https://example.com/flagstone.schema.json
hashSalt: 9f86d081884c7d65
segments:
  internal: {by: email, include: [a, 42, "007"], exclude: [b], when: {attribute: staff, equals: true}}
  beta:
    when:
      any:
        - {segment: internal}
        - {not: {attribute: country, in: [DE, VN, 1.5, true], confidential: true}}
        - all:
            - {attribute: a.b\.c, startsWith: x}
            - {attribute: plan, equalsCi: PRO}
            - {attribute: v, semverGreaterThan: v1.2}
            - {attribute: v, semverMatches: ">=1.2, <2"}
            - {attribute: ip, cidr: [10.0.0.0/8, "2001:db8::/32"]}
            - {attribute: at, before: 2025-01-10T08:00:00+01:00}
            - {attribute: at, after: 1736496000000}
            - {attribute: n, lessThan: -0.0}
            - {attribute: name, matches: "^a+$"}
            - {attribute: roles, includesAny: [x, y]}
            - {attribute: email, exists: true}
layers: {checkout: {salt: checkout-1, by: targetingKey}}
holdouts: {quarter-3: {salt: q3-1, by: targetingKey, percent: 5}}
flags:
  other: {salt: other-1, client: true, default: on}
  everything:
    description: what it is for
    owner: team
    tags: [b, a]
    expires: 2026-03-01
    client: true
    variants: {a: x, b: y, off: z}
    enabled: false
    off: off
    salt: everything-1
    bucketBy: account.id
    scheme: xxh3
    prerequisites: [{flag: other, variant: on}]
    deny: {keys: [d, c, d], segments: [beta]}
    allow: [{variant: a, keys: [e], segments: [internal]}]
    exclude: {keys: [f], segments: [beta], positions: [[10, 20], [0, 10], [99.999, 100]]}
    holdouts: [quarter-3]
    layer: {name: checkout, ranges: [[50, 75], [0, 25]]}
    rules:
      - {id: first, when: {segment: beta}, serve: a}
      - {when: {attribute: targetingKey, in: [z, y]}, serve: {split: [{variant: b, weight: 1}, {variant: a, weight: 2}]}}
      - {serve: {ramp: {percent: 12.5, serve: b}}}
    default:
      ramp:
        schedule: {before: 0, linear: [{at: 2025-01-10T08:00:00Z, percent: 10}, {at: 1736582400000, percent: 100}]}
        serve: {split: [{variant: a, weight: 0.5}, {variant: b, weight: 0.5}]}
"#;

fn options(audience: Audience) -> Options {
    Options {
        environment: "production".to_owned(),
        audience,
        version: 42,
        created: "2026-11-21T12:00:00Z".parse().unwrap(),
        expires: Some("2026-11-28T12:00:00Z".parse().unwrap()),
    }
}

fn compiled_with(text: &str, state: &State, audience: Audience) -> Value {
    let payload = compile(&read(text), state, &options(audience));
    serde_json::from_str(&payload.unwrap_or_else(|problems| panic!("{}", shown(&problems)))).unwrap()
}

fn compiled(text: &str, audience: Audience) -> Value {
    compiled_with(text, &State::default(), audience)
}

mod reading {
    use super::*;

    #[test]
    fn everything_there_is() {
        let definitions = read(EVERYTHING);
        assert_eq!(shown(&lint(&definitions)), "");
        let flag = &definitions.flags["everything"];
        assert_eq!(flag.deny.keys[0], Key("d".to_owned()));
        assert_eq!(flag.expires.unwrap().to_string(), "2026-03-01T00:00:00Z");
        assert_eq!(definitions.segments["internal"].include[1..], [Key("42".to_owned()), Key("007".to_owned())]);
    }

    #[test]
    fn definitions_written_as_json_read_back_the_same() {
        let definitions = read(EVERYTHING);
        let json = serde_json::to_string(&definitions).unwrap();
        assert_eq!(read(&json), definitions);
        assert_eq!(serde_json::from_str::<Definitions>(&json).unwrap(), definitions);
    }

    #[test]
    fn words_of_older_yaml_are_strings() {
        let definitions = read("flags: {f: {salt: s, variants: {on: yes, off: no, y: on}, default: on}}");
        assert_eq!(definitions.flags["f"].variants.as_ref().unwrap()["on"], json!("yes"));
    }

    #[test]
    fn json_from_any_writer() {
        let text = "\u{feff}{\n\t\"flags\": {\n\t\t\"f\": {\"salt\": \"s\", \"default\": \"on\", \"description\": \"\\ud83d\\ude00 \\\\ud83d \\u00e9 \\/\"}\n\t}\n}\r\n";
        assert_eq!(read(text).flags["f"].description.as_deref(), Some("😀 \\ud83d é /"));
    }

    #[test]
    fn anchors_and_aliases() {
        let text = "segments: {a: {include: &people [x, y]}}\nflags: {f: {salt: s, deny: {keys: *people}}}\n";
        assert_eq!(read(text).flags["f"].deny.keys.len(), 2);
    }

    #[test]
    fn several_files_are_merged() {
        let one = Source::new("one.yaml", "hashSalt: x\nflags:\n  a: {salt: a-1}\n");
        let two = Source::new("two.yaml", "flags:\n  b: {salt: b-1}\n  a: {salt: a-2}\nhashSalt: y\n");
        assert_eq!(
            shown(&Definitions::read(&[one.clone(), two]).unwrap_err()),
            "two.yaml:3:3: error: `a` is defined a second time, the first is at one.yaml:2:3\n\
             two.yaml:4:1: error: `hashSalt` is given a second time, the first is at one.yaml:1:11"
                .replace("one.yaml:2:3", "one.yaml:3:3")
        );
        let three = Source::new("three.yaml", "flags:\n  b: {salt: b-1, default: onn}\n");
        let definitions = Definitions::read(&[one, three]).unwrap();
        assert_eq!(shown(&lint(&definitions)), "three.yaml:2:27: error: unknown variant `onn`, did you mean `on`?");
    }

    #[test]
    fn nothing_is_nothing() {
        for text in ["", "# only a comment\n", "null", "{}", "---\n..."] {
            assert_eq!(read(text), Definitions::default(), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_text_or_no_yaml() {
        let read = |bytes: &[u8]| shown(&Definitions::read(&[Source::new("f.yaml", bytes)]).unwrap_err());
        assert_eq!(read(b"a: b\nc: \xff\n"), "f.yaml:2:4: error: the file is not UTF-8, save it as UTF-8");
        assert_eq!(read(b"\xff\xfea\0"), "f.yaml:1:1: error: the file is UTF-16, save it as UTF-8");
        complains(
            "flags: {}\n---\nflags: {}\n",
            "f.yaml:2:1: error: a second document starts here, one file holds one, put the second one into a file of its own",
        );
        complains(
            "[1]",
            "f.yaml:1:1: error: expected a map of `flags`, `segments`, `layers`, `holdouts` and `hashSalt`",
        );
        complains("flags: [1]", "f.yaml:1:1: error: expected a map of flags by name");
        complains("flags: {", "f.yaml:2:1: error: while parsing a node, did not find expected node content");
        complains("a: \0", "f.yaml:1:4: error: found unprintable character");
        complains("flag: {}", "f.yaml:1:1: error: unknown section `flag`, did you mean `flags`?");
        complains(
            "flags:\n  a: {salt: a-1}\n  a: {salt: a-2}\n",
            "f.yaml:3:3: error: `a` is here a second time, the first is at 2:3",
        );
        complains("? [a]\n: b\n", "f.yaml:1:3: error: the name of a field must be a plain word or a string");
        complains(
            "hashSalt: !!binary aGk=",
            "f.yaml:1:11: error: the tag `tag:yaml.org,2002:binary` means nothing here",
        );
        complains("flags: &a {b: *a}", "f.yaml:1:15: error: the alias stands inside of what it names");
    }

    #[test]
    fn what_would_exhaust_memory_or_stack() {
        let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
            laughs += &format!("a{level}: &a{level} [{aliases}]\n");
        }
        assert!(problems(&laughs).ends_with("error: aliases bring in more than 100000 values"));
        let mut deep = "a0: &a0 [x]\n".to_owned();
        for level in 1..200 {
            deep += &format!("a{level}: &a{level} [*a{}]\n", level - 1);
        }
        assert!(problems(&deep).ends_with("error: nested more than 120 deep"));
        for nested in
            ["[".repeat(121), "{a: ".repeat(121), (0..121).map(|n| format!("{}a:\n", " ".repeat(n))).collect()]
        {
            assert!(problems(&nested).ends_with("error: nested more than 120 deep"), "{}", problems(&nested));
        }
        assert!(problems(&"[".repeat(100_000)).contains("error"));
    }

    #[test]
    fn all_problems_at_once() {
        complains(
            "flags:\n  a: {salt: a-1, enabeld: true}\n  b: {salt: b-1, prerequisites: [{flag: a, variant: on}]}\n  c: {salt: c-1, default: of}\nlayers:\n  l: 5\n",
            "f.yaml:2:18: error: unknown field `enabeld`, did you mean `enabled`?\n\
             f.yaml:6:6: error: expected a map, found integer `5`\n\
             f.yaml:4:27: error: unknown variant `of`, did you mean `off`?",
        );
    }

    #[test]
    fn the_form_of_values() {
        let flag = |fields: &str| format!("flags:\n  f:\n    salt: s\n    {fields}\n");
        for (fields, expected) in [
            ("owner: 5", "f.yaml:4:12: error: expected a string, found integer `5`, write it in quotes: \"5\""),
            ("owner:", "f.yaml:4:10: error: there is no value, leave it out or give it one"),
            ("type: boolen", "f.yaml:4:11: error: unknown value `boolen`, did you mean `boolean`?"),
            ("scheme: murmur", "f.yaml:4:13: error: unknown value `murmur`, expected one of `xxh3`, `js31`"),
            ("enabled: yes", "f.yaml:4:14: error: expected a boolean, found string \"yes\""),
            (
                "expires: soon",
                "f.yaml:4:14: error: `soon` is not an RFC 3339 instant; write it like 2025-01-10T08:00:00Z or 2025-01-10T09:00:00+01:00",
            ),
            (
                "deny: {keys: [007]}",
                "f.yaml:4:19: error: `007` is not a number that every reader takes alike, write \"007\" if it is text, else a decimal number within ±(2^53−1)",
            ),
            (
                "deny: {keys: [9007199254740992]}",
                "f.yaml:4:19: error: `9007199254740992` is not a number that every reader takes alike, write \"9007199254740992\" if it is text, else a decimal number within ±(2^53−1)",
            ),
            (
                "deny: {keys: [1.5]}",
                "f.yaml:4:19: error: expected a key: a string or a whole number within ±(2^53−1), found floating point `1.5`, write it in quotes: \"1.5\"",
            ),
            (
                "variants: {on: .nan, off: 1}",
                "f.yaml:4:20: error: `.nan` is not a number that every reader takes alike, write \".nan\" if it is text, else a decimal number within ±(2^53−1)",
            ),
            (
                "default: true",
                "f.yaml:4:14: error: expected the name of a variant, {split: [..]} or {ramp: {..}}, found boolean `true`, write it in quotes: \"true\"",
            ),
            (
                "default: {}",
                "f.yaml:4:5: error: expected the name of a variant, {split: [..]} or {ramp: {..}}, found a map",
            ),
            (
                "default: {ramp: {percent: 12.3456, serve: on}}",
                "f.yaml:4:31: error: `12.3456` is not a percent from 0 to 100 with at most three decimal places",
            ),
            (
                "default: {ramp: {percent: 1e1, serve: on}}",
                "f.yaml:4:31: error: `1e1` is not a percent from 0 to 100 with at most three decimal places",
            ),
            (
                "default: {ramp: {percent: .nan, serve: on}}",
                "f.yaml:4:31: error: `.nan` is not a percent from 0 to 100 with at most three decimal places",
            ),
            (
                "default: {ramp: {percent: 101, serve: on}}",
                "f.yaml:4:31: error: `101` is not a percent from 0 to 100 with at most three decimal places",
            ),
            (
                "default: {ramp: {percent: -1, serve: on}}",
                "f.yaml:4:31: error: `-1` is not a percent from 0 to 100 with at most three decimal places",
            ),
            (
                "default: {ramp: {percent: '5', serve: on}}",
                "f.yaml:4:31: error: expected a percent from 0 to 100, found string \"5\"",
            ),
            (
                "default: {split: [{variant: on, weight: -1}]}",
                "f.yaml:4:45: error: `-1` is not a weight from 0 to 1000000 with at most three decimal places",
            ),
            ("default: {ramp: {percent: 5}}", "f.yaml:4:15: error: missing field `serve`"),
            (
                "default: {ramp: {percent: 5, serve: {ramp: {percent: 5, serve: on}}}}",
                "f.yaml:4:42: error: unknown field `ramp`, expected one of `split`",
            ),
            (
                "default: {ramp: {percent: 5, serve: on}, split: []}",
                "f.yaml:4:46: error: `split` cannot stand beside `ramp`",
            ),
            ("exclude: {positions: [[0, 5, 10]]}", "f.yaml:4:34: error: only 2 values are expected here"),
            ("exclude: {positions: [[0]]}", "f.yaml:4:27: error: invalid length 1, expected an array of length 2"),
        ] {
            complains(&flag(fields), expected);
        }
    }

    #[test]
    fn the_form_of_conditions() {
        let rule = |condition: &str| {
            format!("flags:\n  f:\n    salt: s\n    rules:\n      - serve: on\n        when: {condition}\n")
        };
        for (condition, expected) in [
            ("{attribute: a, equal: b}", "f.yaml:6:30: error: unknown field `equal`, did you mean `equals`?"),
            ("{attribute: a}", "f.yaml:6:9: error: the test has no operator, as in `equals: pro`"),
            ("{equals: a}", "f.yaml:6:9: error: `equals` needs an `attribute` beside it"),
            (
                "{}",
                "f.yaml:6:9: error: the condition is empty, it takes `all`, `any`, `not`, `segment` or an `attribute` with an operator",
            ),
            (
                "{attribute: a, equals: b, contains: c}",
                "f.yaml:6:9: error: `equals` and `contains` cannot stand in one condition, put one each into `all: [..]`",
            ),
            (
                "{attribute: a, segment: b}",
                "f.yaml:6:9: error: `attribute` and `confidential` cannot stand beside `segment`",
            ),
            (
                "{attribute: a, equals: [b]}",
                "f.yaml:6:30: error: expected a string, a number or a boolean, found a list",
            ),
            (
                "{attribute: a, contains: 5}",
                "f.yaml:6:40: error: expected a string, found integer `5`, write it in quotes: \"5\"",
            ),
            ("{attribute: a, lessThan: x}", "f.yaml:6:40: error: expected a number, found string \"x\""),
            (
                "{attribute: a, before: 2025-01-10T08:00:00}",
                "f.yaml:6:38: error: `2025-01-10T08:00:00` is not an RFC 3339 instant; write it like 2025-01-10T08:00:00Z or 2025-01-10T09:00:00+01:00",
            ),
            ("{attribute: a, exists: yes}", "f.yaml:6:38: error: expected a boolean, found string \"yes\""),
            ("a", "f.yaml:6:15: error: expected a condition, as in {attribute: plan, equals: pro}, found string \"a\""),
        ] {
            complains(&rule(condition), expected);
        }
    }

    #[test]
    fn the_path_of_a_problem() {
        let text = "flags: {a.b: {salt: s, rules: [{serve: on}, {serve: {ramp: {percent: 101, serve: on}}}]}}";
        let problems = Definitions::read(&[source(text)]).unwrap_err();
        assert_eq!(problems[0].path, r#"flags["a.b"].rules[1].serve.ramp.percent"#);
        let json = serde_json::to_value(&problems[0]).unwrap();
        assert_eq!((&json["severity"], &json["line"]), (&json!("error"), &json!(1)));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[-\\[\\]{}:,&*!?|>'\"%@`#~ \\n\\ta-z0-9.\\\\]{0,80}") {
            let _ = problems(&text);
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = Definitions::read(&[Source::new("f", bytes)]);
        }

        #[test]
        fn no_damage_panics(at in 0..EVERYTHING.len(), with in "[-\\[\\]{}:,&*'\"# \\na-z0-9.]{0,3}", skip in 0usize..4) {
            let damaged: String =
                EVERYTHING.chars().take(at).chain(with.chars()).chain(EVERYTHING.chars().skip(at + skip)).collect();
            if let Ok(definitions) = Definitions::read(&[source(&damaged)]) {
                for audience in [Audience::Server, Audience::Client] {
                    let _ = compile(&definitions, &State::default(), &options(audience));
                }
            }
        }
    }
}
