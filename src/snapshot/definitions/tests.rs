use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::snapshot::Audience;

fn source(text: &str) -> Source {
    Source::new("f.yaml", text)
}

pub(crate) fn read(text: &str) -> Definitions {
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

pub(crate) const EVERYTHING: &str = r#"
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
            - {attribute: plan, endsWithCi: [b, B, a, Ä]}
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

pub(crate) fn options(audience: Audience) -> Options {
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
    let mut payload: Value =
        serde_json::from_str(&payload.unwrap_or_else(|problems| panic!("{}", shown(&problems)))).unwrap();
    // What browsers evaluate is compiled from all else, and has tests of its own.
    payload.as_object_mut().unwrap().remove("compiled").expect("it is complete");
    payload
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
            "two.yaml:3:3: error: `a` is defined a second time, the first is at one.yaml:3:3\n\
             two.yaml:4:1: error: `hashSalt` differs from the one at one.yaml:1:11"
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
            "f.yaml:1:1: error: expected a map of `flags`, `segments`, `layers`, `holdouts`, `environments`, `rollouts` and `hashSalt`",
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
             f.yaml:4:27: error: unknown variant `of`, did you mean `off`?\n\
             f.yaml:6:6: error: expected a map, found integer `5`",
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

mod linting {
    use super::*;

    /// A flag with these fields on line 4, among others to refer to.
    fn flag(fields: &str) -> String {
        format!(
            "flags:\n  f:\n    salt: f-1\n    {fields}\n  other: {{salt: o-1}}\nsegments: {{internal: {{}}}}\nlayers: {{checkout: {{salt: c-1}}}}\nholdouts: {{quarter: {{salt: q-1, percent: 5}}}}\nhashSalt: x\n"
        )
    }

    #[test]
    fn names_that_do_not_exist() {
        for (fields, expected) in [
            ("off: of", "f.yaml:4:10: error: unknown variant `of`, did you mean `off`?"),
            ("default: of", "f.yaml:4:14: error: unknown variant `of`, did you mean `off`?"),
            ("default: treatment", "f.yaml:4:14: error: unknown variant `treatment`, expected one of `off`, `on`"),
            (
                "default: {ramp: {percent: 5, serve: onn}}",
                "f.yaml:4:41: error: unknown variant `onn`, did you mean `on`?",
            ),
            (
                "default: {split: [{variant: onn, weight: 1}]}",
                "f.yaml:4:33: error: unknown variant `onn`, did you mean `on`?",
            ),
            ("rules: [{serve: onn}]", "f.yaml:4:21: error: unknown variant `onn`, did you mean `on`?"),
            (
                "rules: [{when: {segment: internl}, serve: on}]",
                "f.yaml:4:30: error: unknown segment `internl`, did you mean `internal`?",
            ),
            ("deny: {segments: [internl]}", "f.yaml:4:23: error: unknown segment `internl`, did you mean `internal`?"),
            (
                "exclude: {segments: [internl]}",
                "f.yaml:4:26: error: unknown segment `internl`, did you mean `internal`?",
            ),
            (
                "allow: [{variant: onn, segments: [internal]}]",
                "f.yaml:4:23: error: unknown variant `onn`, did you mean `on`?",
            ),
            (
                "allow: [{variant: on, segments: [beta]}]",
                "f.yaml:4:38: error: unknown segment `beta`, expected one of `internal`",
            ),
            (
                "prerequisites: [{flag: othr, variant: on}]",
                "f.yaml:4:28: error: unknown flag `othr`, did you mean `other`?",
            ),
            (
                "prerequisites: [{flag: other, variant: onn}]",
                "f.yaml:4:44: error: unknown variant `onn`, did you mean `on`?",
            ),
            (
                "prerequisites: [{flag: other, variants: [on, onn]}]",
                "f.yaml:4:50: error: unknown variant `onn`, did you mean `on`?",
            ),
            ("holdouts: [quartr]", "f.yaml:4:16: error: unknown holdout `quartr`, did you mean `quarter`?"),
            (
                "layer: {name: chekout, ranges: [[0, 5]]}",
                "f.yaml:4:19: error: unknown layer `chekout`, did you mean `checkout`?",
            ),
        ] {
            complains(&flag(fields), expected);
        }
    }

    #[test]
    fn flags_that_are_not_complete() {
        for (fields, expected) in [
            ("variants: {}", "f.yaml:4:5: error: the flag has no variants"),
            (
                "variants: {a: 1, b: 2}",
                "f.yaml:2:3: error: the flag has no variant named `off` and does not say which is its off variant, add `off:` with one of `a`, `b`",
            ),
            (
                "variants: {off: 1, on: yes}",
                "f.yaml:4:5: error: the variants are of different types: `off` is of type number, `on` is of type string, make them alike, or add `type: json`",
            ),
            ("type: string", "f.yaml:2:3: error: a flag of type string needs `variants`"),
            (
                "type: string\n    variants: {off: a, on: 1}",
                "f.yaml:5:28: error: the variant `on` is of type number, the flag string",
            ),
            (
                "variants: {off: 1, \"\": 2}",
                "f.yaml:4:28: error: the name of the variant is empty or has control characters",
            ),
            ("tags: [a, '']", "f.yaml:4:15: error: the tag is empty or has control characters"),
            ("bucketBy: a..b", "f.yaml:4:15: error: the attribute path `a..b` has an empty part"),
            (
                "prerequisites: [{flag: other}]",
                "f.yaml:4:21: error: a prerequisite takes either `variant` or `variants`",
            ),
            (
                "prerequisites: [{flag: other, variant: on, variants: [on]}]",
                "f.yaml:4:21: error: a prerequisite takes either `variant` or `variants`",
            ),
            (
                "layer: {name: checkout, ranges: []}",
                "f.yaml:4:29: error: the flag has no range of the layer, so nobody is in, as in `ranges: [[0, 25]]`",
            ),
            (
                "layer: {name: checkout, ranges: [[5, 5]]}",
                "f.yaml:4:38: error: the range from 5 to 5 is empty, `to` is exclusive",
            ),
            (
                "exclude: {positions: [[10.5, 5]]}",
                "f.yaml:4:27: error: the range from 10.5 to 5 is empty, `to` is exclusive",
            ),
            ("rules: [{id: '', serve: on}]", "f.yaml:4:18: error: the id is empty or has control characters"),
        ] {
            complains(&flag(fields), expected);
        }
    }

    #[test]
    fn what_is_served() {
        for (fields, expected) in [
            ("default: {split: []}", "f.yaml:4:15: error: the weights sum to 0, give at least one variant a weight"),
            (
                "default: {split: [{variant: on, weight: 0}]}",
                "f.yaml:4:15: error: the weights sum to 0, give at least one variant a weight",
            ),
            ("default: {ramp: {serve: on}}", "f.yaml:4:15: error: a ramp takes either `percent` or `schedule`"),
            (
                "default: {ramp: {percent: 5, schedule: {before: 0, steps: [{at: 0, percent: 5}]}, serve: on}}",
                "f.yaml:4:15: error: a ramp takes either `percent` or `schedule`",
            ),
            (
                "default: {ramp: {schedule: {before: 0}, serve: on}}",
                "f.yaml:4:22: error: a schedule takes either `steps` or `linear`",
            ),
            (
                "default: {ramp: {schedule: {before: 0, steps: []}, serve: on}}",
                "f.yaml:4:44: error: the schedule has no points",
            ),
            (
                "default: {ramp: {schedule: {before: 0, linear: [{at: 2025-01-10T08:00:00Z, percent: 5}, {at: 1736496000000, percent: 6}]}, serve: on}}",
                "f.yaml:4:98: error: 2025-01-10T08:00:00Z does not come after 2025-01-10T08:00:00Z, points rise in time",
            ),
            (
                "rules: [{id: a, serve: {ramp: {percent: 5, serve: on}}}, {id: a, serve: on}]",
                "f.yaml:4:67: error: rules[0] and rules[1] have the same id `a`, results could not tell them apart",
            ),
            (
                "rules: [{id: rule-2, serve: {ramp: {percent: 5, serve: on}}}, {serve: on}]",
                "f.yaml:4:67: error: rules[0] and rules[1] have the same id `rule-2`, results could not tell them apart",
            ),
            (
                "rules: [{serve: on}, {when: {segment: internal}, serve: on}]",
                "f.yaml:4:26: warning: nobody comes here: `rule-1` serves everyone, move this rule before it",
            ),
        ] {
            complains(&flag(fields), expected);
        }
    }

    #[test]
    fn people_who_stand_in_two_lists() {
        for (fields, expected) in [
            (
                "deny: {keys: [a]}\n    allow: [{variant: on, keys: [b, a]}]",
                "f.yaml:5:37: warning: `a` is in `deny` too, which wins",
            ),
            (
                "exclude: {keys: [a]}\n    allow: [{variant: on, keys: [b, a]}]",
                "f.yaml:5:37: warning: `a` is in `exclude` too, which wins",
            ),
            (
                "allow: [{variant: on, keys: [a]}, {variant: off, keys: [a]}]",
                "f.yaml:4:61: warning: `a` is in an entry of `allow` before this one, which wins",
            ),
        ] {
            complains(&flag(fields), expected);
        }
        complains(
            "segments: {s: {include: [1], exclude: ['1']}}",
            "f.yaml:1:26: warning: `1` is in `exclude` too, which wins",
        );
    }

    #[test]
    fn operands_that_mean_nothing() {
        for (test, expected) in [
            ("attribute: a..b, equals: x", "f.yaml:4:32: error: the attribute path `a..b` has an empty part"),
            (
                "attribute: a, matches: '('",
                "f.yaml:4:44: error: `(` is not a regular expression that can be used: unclosed group",
            ),
            (
                "attribute: a, matches: ['a{1000}{1000}']",
                "f.yaml:4:45: error: `a{1000}{1000}` is not a regular expression that can be used: it compiles to more than 8191 instructions, repeat less",
            ),
            (
                "attribute: a, matches: '[\\p{Greek}]'",
                "f.yaml:4:44: error: `[\\p{Greek}]` is not a regular expression that can be used: there are no classes of Unicode (`\\p`), list the characters in brackets",
            ),
            ("attribute: a, semverEquals: x", "f.yaml:4:49: error: `x` is not a semantic version, as in 2.3.0"),
            (
                "attribute: a, semverMatches: '>=1 <2'",
                "f.yaml:4:50: error: `>=1 <2` is not a range of semantic versions: expected comma after major version number, found '<'",
            ),
            (
                "attribute: a, cidr: [10.0.0.0/8, 10.0.0.0/33]",
                "f.yaml:4:54: error: `10.0.0.0/33` is not a network, as in 10.0.0.0/8 or 2001:db8::/32",
            ),
            (
                "attribute: a, cidr: 10.1.2.3/8",
                "f.yaml:4:41: warning: `10.1.2.3/8` has bits set beyond its length, it is read as `10.0.0.0/8`",
            ),
            (
                "attribute: a, contains: x, confidential: true",
                "f.yaml:4:62: error: `confidential` cannot stand beside `contains`, whose operand cannot be hashed, use `equals` or `in`",
            ),
        ] {
            complains(&flag(&format!("rules: [{{when: {{{test}}}, serve: on}}]")), expected);
        }
        complains(
            "segments: {s: {by: '', when: {all: [{not: {attribute: a, semverEquals: x}}]}}}",
            "f.yaml:1:20: error: the attribute path `` has an empty part\nf.yaml:1:72: error: `x` is not a semantic version, as in 2.3.0",
        );
    }

    #[test]
    fn salts() {
        complains_beginning("flags:\n  f: {}\n", "f.yaml:2:3: error: the flag `f` has no salt, add `salt: f-");
        complains_beginning(
            "flags:\n  'a b': {salt: ''}\n",
            "f.yaml:2:17: error: the salt of the flag `a b` is empty, add `salt: \"a b-",
        );
        complains_beginning(
            "layers: {l: {salt: \"a\\tb\"}}",
            "f.yaml:1:20: error: the salt of the layer `l` has control characters, add `salt: l-",
        );
        complains_beginning(
            "holdouts: {h: {percent: 1}}",
            "f.yaml:1:12: error: the holdout `h` has no salt, add `salt: h-",
        );
        complains_beginning(
            "hashSalt: ''",
            "f.yaml:1:11: error: the hash salt is empty or has control characters, add `hashSalt: ",
        );
        complains_beginning(
            "flags: {a: {salt: s}, b: {salt: s}}",
            "f.yaml:1:33: warning: the flags `a` and `b` have the same salt, so the same cohorts, add `salt: b-",
        );
        complains_beginning(
            "layers: {a: {salt: s}, b: {salt: s}}",
            "f.yaml:1:34: warning: the layers `a` and `b` have the same salt",
        );
        complains_beginning(
            "holdouts: {a: {salt: s, percent: 1}, b: {salt: s, percent: 1}}",
            "f.yaml:1:48: warning: the holdouts `a` and `b` have the same salt",
        );
        complains("flags: {a: {salt: s}}\nlayers: {a: {salt: s}}", "");
        let twice = [problems("flags: {f: {}}"), problems("flags: {f: {}}")];
        assert_ne!(twice[0], twice[1], "every suggestion is fresh");
    }

    #[test]
    fn names() {
        complains("segments: {'': {}}", "f.yaml:1:12: error: the name is empty or has control characters");
        complains("flags: {\"a\\nb\": {salt: s}}", "f.yaml:1:9: error: the name is empty or has control characters");
    }

    #[test]
    fn js31() {
        let warning = "f.yaml:4:13: warning: `js31` has no salt: the same people go first in every flag that uses it, use `xxh3` unless the rollout began elsewhere";
        complains(&flag("scheme: js31\n    default: {ramp: {percent: 5, serve: on}}"), warning);
        for (fields, at) in [
            ("default: {split: [{variant: on, weight: 1}]}", "5:5"),
            ("default: {ramp: {percent: 1, serve: {split: [{variant: on, weight: 1}]}}}", "5:34"),
        ] {
            complains(
                &flag(&format!("scheme: js31\n    {fields}")),
                &format!("{warning}\nf.yaml:{at}: error: `js31` is for ramps, it cannot split, leave `scheme` out"),
            );
        }
    }

    #[test]
    fn js31_in_whole_percents() {
        let scheme = "f.yaml:4:13: warning: `js31` has no salt: the same people go first in every flag that uses it, use `xxh3` unless the rollout began elsewhere";
        complains(
            &flag("scheme: js31\n    default: {ramp: {percent: 12.5, serve: on}}"),
            &format!("{scheme}\nf.yaml:5:15: warning: `js31` knows whole percents only: 12.5 lets in as many as 13"),
        );
        complains(
            &flag(
                "scheme: js31\n    rules: [{serve: {ramp: {schedule: {before: 0, steps: [{at: 0, percent: 0.001}]}, serve: on}}}]",
            ),
            &format!("{scheme}\nf.yaml:5:22: warning: `js31` knows whole percents only: 0.001 lets in as many as 1"),
        );
    }

    #[test]
    fn circles() {
        complains(
            "segments:\n  a: {when: {segment: b}}\n  b: {when: {not: {segment: c}}}\n  c: {when: {segment: b}}\n",
            "f.yaml:3:3: error: segments name each other in a circle: b → c → b",
        );
        complains(
            "flags:\n  a: {salt: a-1, prerequisites: [{flag: b, variant: on}]}\n  b: {salt: b-1, prerequisites: [{flag: a, variant: on}]}\n",
            "f.yaml:2:18: error: prerequisites name each other in a circle: a → b → a",
        );
        complains(
            "flags:\n  a: {salt: a-1, prerequisites: [{flag: a, variant: on}]}\n",
            "f.yaml:2:18: error: prerequisites name each other in a circle: a → a",
        );
        let long: String =
            (0..20_000).map(|n| format!("  s{n}: {{when: {{segment: s{}}}}}\n", (n + 1) % 20_000)).collect();
        assert!(problems(&format!("segments:\n{long}")).contains("→ … → s0"));
    }

    #[test]
    fn sizes() {
        let chain: String = (0..70).map(|n| format!("  s{n:02}: {{when: {{segment: s{:02}}}}}\n", n + 1)).collect();
        complains(
            &format!("segments:\n{chain}  s70: {{}}\n"),
            "f.yaml:40:9: error: through segments, conditions nest 65 deep, at most 64 are evaluated, put people into lists instead of conditions",
        );
        let doubled: String = (0..20)
            .map(|n| format!("  s{n:02}: {{when: {{any: [{{segment: s{0:02}}}, {{segment: s{0:02}}}]}}}}\n", n + 1))
            .collect();
        let problems = problems(&format!(
            "segments:\n{doubled}  s20: {{}}\nflags: {{f: {{salt: f-1, deny: {{segments: [s00]}}}}}}\n"
        ));
        assert_eq!(
            problems,
            "f.yaml:8:9: error: with segments and prerequisites unrolled, 81916 conditions could be visited, at most 65536 are, put people into lists instead of conditions"
        );
        let halves = doubled.split_once("  s07:").map(|(_, rest)| format!("  s07:{rest}")).unwrap();
        complains(
            &format!(
                "segments:\n{halves}  s20: {{}}\nflags:\n  f: {{salt: f-1, deny: {{segments: [s07]}}, exclude: {{segments: [s07]}}}}\n"
            ),
            "f.yaml:17:3: error: with segments and prerequisites unrolled, 81913 conditions could be visited, at most 65536 are, put people into lists instead of conditions",
        );
        let any: String = (0..70_000).map(|_| "{attribute: a, exists: true}, ".to_owned()).collect();
        complains(
            &flag(&format!("rules: [{{when: {{any: [{any}]}}, serve: on}}]")),
            "f.yaml:4:14: error: with segments and prerequisites unrolled, 70001 conditions could be visited, at most 65536 are, put people into lists instead of conditions",
        );
        // With `targetingKey`, one more than there may be.
        let segments: String = (0..2)
            .map(|part| {
                let tests: String = (part * 40_000..65_535.min((part + 1) * 40_000))
                    .map(|n| format!("{{attribute: a{n}, exists: true}}, "))
                    .collect();
                format!("  s{part}: {{when: {{any: [{tests}]}}}}\n")
            })
            .collect();
        complains(
            &format!("segments:\n{segments}flags: {{}}\n"),
            "f.yaml:4:1: error: conditions use more than 65535 attributes",
        );
        let flags: String = (0..34)
            .map(|n| format!("  f{n:02}: {{salt: s{n}, prerequisites: [{{flag: f{:02}, variant: on}}]}}\n", n + 1))
            .collect();
        complains(
            &format!("flags:\n{flags}  f34: {{salt: s}}\n"),
            "f.yaml:4:19: error: more than 32 flags hang on one another through prerequisites",
        );
        let many: String = (0..4097).map(|n| format!("v{n}: {n}, ")).collect();
        complains(
            &flag(&format!("variants: {{{many}off: 0}}")),
            "f.yaml:4:5: error: the flag has more than 4096 variants",
        );
        let rule = "{serve: {ramp: {percent: 1, serve: on}}}, ";
        complains(
            &flag(&format!("rules: [{}]", rule.repeat(4097))),
            "f.yaml:4:5: error: the flag has more than 4096 rules",
        );
    }

    #[test]
    fn layers_that_two_flags_share() {
        complains(
            "layers: {l: {salt: l-1}}\nflags:\n  a: {salt: a-1, layer: {name: l, ranges: [[0, 25], [50, 75]]}}\n  b: {salt: b-1, layer: {name: l, ranges: [[25, 50], [74.999, 80]]}}\n",
            "f.yaml:4:54: error: in the layer `l`, 74.999 to 80 overlaps `a`, which has 50 to 75",
        );
        complains(
            "layers: {l: {salt: l-1}}\nflags:\n  a: {salt: a-1, layer: {name: l, ranges: [[0, 100]]}}\n  b: {salt: b-1, layer: {name: l, ranges: [[1, 2]]}}\n  c: {salt: c-1, layer: {name: l, ranges: [[3, 4]]}}\n",
            "f.yaml:4:44: error: in the layer `l`, 1 to 2 overlaps `a`, which has 0 to 100\nf.yaml:5:44: error: in the layer `l`, 3 to 4 overlaps `a`, which has 0 to 100",
        );
    }

    #[test]
    fn what_clients_must_not_see() {
        complains(
            &flag("client: true\n    prerequisites: [{flag: other, variant: on}]"),
            "f.yaml:5:28: error: `f` is for clients, its prerequisite `other` is not, add `client: true` to `other`",
        );
        for (fields, segments) in [
            ("deny: {keys: [a]}", ""),
            ("exclude: {keys: [a]}", ""),
            ("allow: [{variant: on, keys: [a]}]", ""),
            ("rules: [{when: {attribute: targetingKey, in: [a]}, serve: on}]", ""),
            ("bucketBy: id\n    rules: [{when: {not: {attribute: id, equals: 5}}, serve: on}]", ""),
            ("rules: [{when: {attribute: plan, equals: pro, confidential: true}, serve: on}]", ""),
            ("deny: {segments: [s]}", "segments: {s: {include: [a]}}"),
            ("rules: [{when: {segment: t}, serve: on}]", "segments: {s: {exclude: [a]}, t: {when: {segment: s}}}"),
            (
                "rules: [{when: {segment: s}, serve: on}]",
                "segments: {s: {by: email, when: {attribute: email, equals: x}}}",
            ),
        ] {
            complains_beginning(
                &format!("flags:\n  f:\n    client: true\n    salt: f-1\n    {fields}\n{segments}\n"),
                "f.yaml:2:3: error: `f` is for clients and names people or confidential values, but there is no `hashSalt`, add `hashSalt: ",
            );
            complains(&format!("flags:\n  f:\n    salt: f-1\n    {fields}\n{segments}\n"), "");
        }
        let warning = "clients can read this operand of `endsWith`, and with it the shape of people's keys, use `equals` or `in`, which are hashed";
        complains(
            &flag("client: true\n    rules: [{when: {attribute: targetingKey, endsWith: x}, serve: on}]"),
            &format!("f.yaml:5:20: warning: {warning}").replace("5:20", "5:14"),
        );
        complains(
            "segments: {s: {by: email, when: {attribute: email, endsWith: x}}}\nflags: {f: {client: true, salt: f-1, deny: {segments: [s]}}}",
            &format!("f.yaml:1:27: warning: {warning}"),
        );
        complains(&flag("client: true\n    rules: [{when: {attribute: targetingKey, exists: true}, serve: on}]"), "");
    }

    #[test]
    fn all_regular_expressions_together_are_bounded() {
        // Each takes 16,003, and is counted once.
        let with = |letters: &str| {
            let patterns: Vec<String> = letters.chars().map(|letter| format!("'{letter}{{8000}}'")).collect();
            flag(&format!("rules: [{{when: {{attribute: a, matches: [{}]}}, serve: on}}]", patterns.join(", ")))
        };
        complains(&with("aabcdefghijklmnopp"), "");
        complains(
            &with("abcdefghijklmnopqrs"),
            "f.yaml:4:221: error: with this one, all regular expressions compile to 272051 instructions and ranges, at most 262144 are allowed, repeat less in them, or list values instead",
        );
    }

    #[test]
    fn what_is_in_order() {
        complains(&flag("description: fine"), "");
    }
}

mod compiling {
    use super::*;
    use crate::{Context, Snapshot, Timestamp};

    #[test]
    fn everything_for_servers() {
        let snapshot = compiled(EVERYTHING, Audience::Server);
        let beta = json!({"any": [
            {"segment": "internal"},
            {"not": {"attribute": "country", "in": [true, 1.5, "DE", "VN"]}},
            {"all": [
                {"attribute": "a.b\\.c", "startsWith": ["x"]},
                {"attribute": "plan", "equalsCi": "pro"},
                {"attribute": "plan", "endsWithCi": ["a", "b", "Ä"]},
                {"attribute": "v", "semverGreaterThan": "1.2.0"},
                {"attribute": "v", "semverMatches": {"from": "1.2.0", "below": "2.0.0-0"}},
                {"attribute": "ip", "cidr": ["10.0.0.0/8", "2001:db8::/32"]},
                {"attribute": "at", "before": 1_736_492_400_000_i64},
                {"attribute": "at", "after": 1_736_496_000_000_i64},
                {"attribute": "n", "lessThan": 0},
                {"attribute": "name", "matches": ["^a+$"]},
                {"attribute": "roles", "includesAny": ["x", "y"]},
                {"attribute": "email", "exists": true}
            ]}
        ]});
        let mut requires = vec![
            "after",
            "before",
            "cidr",
            "endsWithCi",
            "equals",
            "equalsCi",
            "exclude",
            "exists",
            "holdouts",
            "in",
            "includesAny",
            "layer",
            "lessThan",
            "matches",
            "prerequisites",
            "schedule",
            "segments",
            "semverGreaterThan",
            "semverMatches",
            "startsWith",
            "xxh3",
        ];
        requires.sort_unstable();
        let expected = json!({
            "schema": 1,
            "environment": "production",
            "audience": "server",
            "version": 42,
            "created": "2026-11-21T12:00:00Z",
            "expires": "2026-11-28T12:00:00Z",
            "requires": requires,
            "segments": {
                "beta": {"when": beta},
                "internal": {
                    "by": "email",
                    "include": ["007", "42", "a"],
                    "exclude": ["b"],
                    "when": {"attribute": "staff", "equals": true}
                }
            },
            "layers": {"checkout": {"salt": "checkout-1", "by": "targetingKey"}},
            "holdouts": {"quarter-3": {"salt": "q3-1", "by": "targetingKey", "percent": 5000}},
            "patterns": {"^a+$": [0, 33_554_400, 2, 2, 0, 0, 1, 2, 1, -1, 97, 97, 0, 32_472_030, 1, 1]},
            "flags": {
                "everything": {
                    "requires": requires,
                    "type": "string",
                    "variants": {"a": "x", "b": "y", "off": "z"},
                    "off": "off",
                    "salt": "everything-1",
                    "enabled": false,
                    "bucketBy": "account.id",
                    "prerequisites": [{"flag": "other", "variants": ["on"]}],
                    "deny": {"keys": ["c", "d"], "segments": ["beta"]},
                    "exclude": {"keys": ["f"], "segments": ["beta"], "positions": [[0, 20_000], [99_999, 100_000]]},
                    "allow": [{"variant": "a", "keys": ["e"], "segments": ["internal"]}],
                    "holdouts": ["quarter-3"],
                    "layer": {"name": "checkout", "ranges": [[0, 25_000], [50_000, 75_000]]},
                    "rules": [
                        {"id": "first", "when": {"segment": "beta"}, "serve": "a"},
                        {
                            "id": "rule-2",
                            "when": {"attribute": "targetingKey", "in": ["y", "z"]},
                            "serve": {"split": [["b", 33_333], ["a", 100_000]]}
                        },
                        {"id": "rule-3", "serve": {"ramp": {"percent": 12_500, "serve": "b"}}}
                    ],
                    "default": {"ramp": {
                        "schedule": {
                            "before": 0,
                            "points": [[1_736_496_000_000_i64, 10_000], [1_736_582_400_000_i64, 100_000]],
                            "linear": true
                        },
                        "serve": {"split": [["a", 50_000], ["b", 100_000]]}
                    }}
                },
                "other": {
                    "type": "boolean",
                    "variants": {"off": false, "on": true},
                    "off": "off",
                    "salt": "other-1",
                    "default": "on"
                }
            }
        });
        assert_eq!(snapshot, expected, "{snapshot:#}");
        let first = snapshot["flags"]["everything"].as_object().unwrap().keys().next().unwrap();
        assert_eq!(first, "requires");
    }

    #[test]
    fn people_and_secrets_for_clients() {
        let snapshot = compiled(EVERYTHING, Audience::Client);
        assert_eq!(snapshot["hashSalt"], "9f86d081884c7d65");
        // Worked out apart from this crate, with Python's hashlib.
        let flag = &snapshot["flags"]["everything"];
        assert_eq!(flag["deny"]["keys"], json!({"hashed": "TbZhVj9AG-l6m0c65WP6Mw"}));
        assert_eq!(
            flag["rules"][1]["when"],
            json!({"attribute": "targetingKey", "inHashed": {"types": ["string"], "hashed": "AcqvUkyEoPiRmkUqUoZ6-w"}})
        );
        assert_eq!(snapshot["segments"]["internal"]["include"], json!({"hashed": "ErF4aXasdT4-t8wVdlh9fVfCoT-NDjXg"}));
        assert_eq!(
            snapshot["segments"]["beta"]["when"]["any"][1],
            json!({"not": {"attribute": "country", "inHashed": {"types": ["boolean", "number", "string"], "hashed": "RIdujRUWAepvEgMnM0MxsHa4JJH8yctLzrpAfS7LhEQ"}}})
        );
        let requires: Vec<String> = serde_json::from_value(flag["requires"].clone()).unwrap();
        assert!(requires.contains(&"hashed".to_owned()) && requires.contains(&"inHashed".to_owned()));
        assert!(!requires.contains(&"in".to_owned()));
    }

    #[test]
    fn clients_get_only_what_is_theirs() {
        let text = "
hashSalt: x
segments: {used: {include: [a]}, unused: {include: [b]}}
layers: {l: {salt: l-1}}
holdouts: {h: {salt: h-1, percent: 1}}
flags:
  mine: {client: true, salt: m-1, owner: team, description: words, tags: [t], deny: {segments: [used]}}
  theirs: {salt: t-1, deny: {segments: [unused], keys: [c]}, holdouts: [h], layer: {name: l, ranges: [[0, 1]]}}
";
        let snapshot = compiled(text, Audience::Client);
        let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(
            (names(&snapshot["flags"]), names(&snapshot["segments"])),
            (vec!["mine".to_owned()], vec!["used".to_owned()])
        );
        assert!(snapshot.get("layers").is_none() && snapshot.get("holdouts").is_none());
        let payload = snapshot.to_string();
        assert!(!["team", "words", "theirs"].iter().any(|secret| payload.contains(secret)), "{payload}");
        assert_eq!(names(&compiled(text, Audience::Server)["flags"]), ["mine", "theirs"]);
    }

    #[test]
    fn a_flag_requires_what_its_prerequisites_do() {
        let text = "
flags:
  a: {salt: a-1, prerequisites: [{flag: b, variant: on}]}
  b: {salt: b-1, prerequisites: [{flag: c, variants: [off, on, off]}], default: on}
  c: {salt: c-1, scheme: js31, default: {ramp: {percent: 5, serve: on}}}
  d: {salt: d-1}
";
        let snapshot = compiled(text, Audience::Server);
        assert_eq!(snapshot["flags"]["a"]["requires"], json!(["js31", "prerequisites"]));
        assert_eq!(snapshot["flags"]["b"]["prerequisites"], json!([{"flag": "c", "variants": ["off", "on"]}]));
        assert_eq!(snapshot["flags"]["c"]["requires"], json!(["js31"]));
        assert!(snapshot["flags"]["d"].get("requires").is_none());
        assert_eq!(snapshot["flags"]["d"]["default"], "off");
        assert_eq!(snapshot["requires"], json!(["js31", "prerequisites"]));
    }

    #[test]
    fn json_variants_keep_their_order_and_lose_minus_zero() {
        let text = "flags: {f: {salt: s, type: json, off: a, variants: {a: {z: -0.0, b: [1.0, null, 'x']}, c: 5}}}";
        let variants = &compiled(text, Audience::Server)["flags"]["f"]["variants"];
        assert_eq!(variants.to_string(), r#"{"a":{"z":0,"b":[1,null,"x"]},"c":5}"#);
    }

    #[test]
    fn the_engine_knows_every_operator() {
        for operator in condition::OPERATORS {
            use condition::Takes::*;
            let operand = match operator.takes {
                Scalar | Scalars | Text | Texts | Patterns => "x",
                Number | Instant => "5",
                Version | Range => "1.2.3",
                Networks => "10.0.0.0/8",
                Boolean => "true",
            };
            let when = format!("{{attribute: a, {}: {operand}}}", operator.name);
            let text = format!("flags: {{f: {{salt: s, rules: [{{when: {when}, serve: on}}]}}}}");
            let payload = compile(&read(&text), &State::default(), &options(Audience::Server)).unwrap();
            assert!(payload.contains(&format!(r#""requires":["{}"]"#, operator.name)), "{payload}");
            let snapshot = Snapshot::from_payload(payload).unwrap();
            let found = snapshot.at(Timestamp::from_millis(0)).details("f", &Context::empty());
            assert_eq!((found.error_code, found.variant), (None, Some("off")), "{}", operator.name);
        }
    }

    #[test]
    fn what_stops_it() {
        let refused =
            |text: &str, options: &Options| shown(&compile(&read(text), &State::default(), options).unwrap_err());
        let good = options(Audience::Client);
        assert_eq!(
            refused("flags: {f: {salt: s, default: of}}", &good),
            "f.yaml:1:31: error: unknown variant `of`, did you mean `off`?"
        );
        for (options, expected) in [
            (Options { expires: None, ..good.clone() }, "options.expires: error: a snapshot for clients must expire"),
            (
                Options { expires: Some(good.created), ..good.clone() },
                "options.expires: error: the snapshot would expire before it is created",
            ),
            (
                Options { version: 0, ..good.clone() },
                "options.version: error: the version is not within 1 and 2^53 − 1",
            ),
            (
                Options { version: 1 << 53, ..good.clone() },
                "options.version: error: the version is not within 1 and 2^53 − 1",
            ),
            (
                Options { environment: String::new(), ..good.clone() },
                "options.environment: error: the name of the environment is empty or has control characters",
            ),
        ] {
            assert_eq!(refused("flags: {}", &options), expected);
        }
    }

    proptest! {
        #[test]
        fn bounds_never_fall_and_end_at_everything(weights in prop::collection::vec(0u32..=1_000_000, 1..20)) {
            prop_assume!(weights.iter().any(|weight| *weight > 0));
            let shares: Vec<_> = weights.iter().map(|weight| format!("{{variant: on, weight: {weight}}}")).collect();
            let text = format!("flags: {{f: {{salt: s, default: {{split: [{}]}}}}}}", shares.join(", "));
            let snapshot = compiled(&text, Audience::Server);
            let split: Vec<(String, u64)> = serde_json::from_value(snapshot["flags"]["f"]["default"]["split"].clone()).unwrap();
            let bounds: Vec<u64> = split.into_iter().map(|(_, bound)| bound).collect();
            prop_assert!(bounds.is_sorted());
            prop_assert_eq!(bounds.last(), Some(&100_000));
            let total: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
            let mut sum = 0;
            for (weight, bound) in weights.iter().zip(bounds) {
                sum += u64::from(*weight);
                prop_assert_eq!(bound, sum * 100_000 / total);
            }
        }

        /// What clients are not shown decides for them as it does for servers.
        #[test]
        fn both_audiences_decide_alike(
            key in prop::option::of("[a-f]|42|007|user-[0-9]{1,3}"),
            email in prop::option::of(prop_oneof![any::<bool>().prop_map(Value::from), "[ab]".prop_map(Value::from)]),
            country in prop::option::of(prop_oneof![(0..3).prop_map(|n| json!(0.5 * f64::from(n))), "DE|VN|FR".prop_map(Value::from)]),
            staff in prop::option::of(any::<bool>()),
        ) {
            let text = "
hashSalt: 9f86d081884c7d65
segments:
  internal: {by: email, include: [a, 42, '007'], exclude: [b], when: {attribute: staff, equals: true}}
  beta: {when: {any: [{segment: internal}, {not: {attribute: country, in: [DE, 0.5, true], confidential: true}}]}}
flags:
  f:
    client: true
    salt: f-1
    variants: {a: 1, b: 2, c: 3, off: 0}
    deny: {keys: [a]}
    exclude: {segments: [internal], positions: [[0, 10]]}
    allow: [{variant: a, keys: [b, 42]}]
    rules:
      - {when: {attribute: targetingKey, in: [c, '007']}, serve: b}
      - {when: {segment: beta}, serve: c}
    default: {ramp: {percent: 50, serve: {split: [{variant: a, weight: 1}, {variant: b, weight: 2}]}}}
";
            let context = json!({"targetingKey": key, "email": email, "country": country, "staff": staff});
            let context: serde_json::Map<_, _> =
                context.as_object().unwrap().iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name.clone(), value.clone())).collect();
            let context = Context::from_json(&Value::from(context).to_string()).unwrap();
            let [server, client] = [Audience::Server, Audience::Client].map(|audience| {
                let payload = compile(&read(text), &State::default(), &options(audience)).unwrap();
                let snapshot = Snapshot::from_payload(payload).unwrap();
                let found = snapshot.at(Timestamp::from_millis(0)).details("f", &context);
                format!("{:?} {:?} {:?} {:?} {:?}", found.variant, found.reason, found.step, found.rule, found.error_code)
            });
            prop_assert_eq!(server, client);
        }

        #[test]
        fn the_same_input_gives_the_same_bytes(audience in prop_oneof![Just(Audience::Server), Just(Audience::Client)]) {
            let once = || compile(&read(EVERYTHING), &State::default(), &options(audience)).unwrap();
            prop_assert_eq!(once(), once());
            let again = serde_json::to_string(&read(EVERYTHING)).unwrap();
            prop_assert_eq!(once(), compile(&read(&again), &State::default(), &options(audience)).unwrap());
        }
    }
}

mod operating {
    use super::*;

    const FLAGS: &str = "
flags:
  f:
    salt: f-1
    tags: [gateway, payments]
    allow: [{variant: off, keys: [a]}]
    rules:
      - {id: beta, when: {attribute: beta, equals: true}, serve: {ramp: {percent: 5, serve: on}}}
      - {id: plain, serve: on}
    default: {ramp: {schedule: {before: 0, steps: [{at: 0, percent: 10}]}, serve: on}}
";

    fn state(json: Value) -> State {
        serde_json::from_value(json).unwrap()
    }

    fn flag(of: Value) -> Value {
        compiled_with(FLAGS, &state(of), Audience::Server)["flags"]["f"].clone()
    }

    #[test]
    fn state_overrides_field_by_field() {
        let plain = flag(json!({}));
        let with = flag(json!({"flags": {"f": {
            "salt": "f-1",
            "enabled": false,
            "percent": {"default": 25.5, "rules": {"beta": 50}},
            "allow": [{"variant": "on", "keys": [7]}],
            "deny": {"keys": ["x"]},
            "exclude": {"keys": ["y"], "positions": [[0, 1]]}
        }}}));
        assert_eq!(with["enabled"], false);
        assert_eq!(with["default"], json!({"ramp": {"percent": 25_500, "serve": "on"}}));
        assert_eq!(with["rules"][0]["serve"], json!({"ramp": {"percent": 50_000, "serve": "on"}}));
        assert_eq!(with["allow"], json!([{"variant": "on", "keys": ["7"]}, {"variant": "off", "keys": ["a"]}]));
        assert_eq!(with["deny"], json!({"keys": ["x"]}));
        assert_eq!(with["exclude"], json!({"keys": ["y"], "positions": [[0, 1_000]]}));
        for same in ["variants", "salt"] {
            assert_eq!(with[same], plain[same]);
        }
        assert!(plain.get("enabled").is_none() && plain.get("killed").is_none());
    }

    #[test]
    fn kills() {
        let kill = json!({"reason": "errors", "author": "dana", "at": "2026-11-21T12:00:00Z"});
        for (state, killed) in [
            (json!({"killedAll": {}}), json!("all")),
            (json!({"killedAll": kill, "killedTags": {"gateway": {}}}), json!("all")),
            (json!({"killedTags": {"payments": kill, "gateway": {}}}), json!("tag:gateway")),
            (json!({"killedTags": {"other": {}}}), Value::Null),
            (json!({"flags": {"f": {"salt": "f-1", "killed": kill}}}), json!("flag")),
            // A new salt does not bring back what somebody killed.
            (json!({"flags": {"f": {"salt": "f-0", "killed": kill}}}), json!("flag")),
        ] {
            assert_eq!(flag(state.clone()).get("killed").cloned().unwrap_or_default(), killed, "{state}");
        }
    }

    #[test]
    fn a_kill_by_a_tag_outlives_the_tag() {
        let before = read(FLAGS);
        let mut after = before.clone();
        after.flags.get_mut("f").unwrap().tags.retain(|tag| tag == "payments");
        let flag = &after.flags["f"];

        let by_tag = state(json!({"killedTags": {"gateway": {"reason": "errors"}}}));
        let kept = by_tag.keep_kills(&before, &after);
        assert_eq!(kept.killed("f", flag).as_deref(), Some("flag"));
        let expected = json!({"flags": {"f": {"salt": "f-1", "killed": {"reason": "errors"}}}});
        assert_eq!(serde_json::to_value(&kept).unwrap()["flags"], expected["flags"]);

        // Nor does it hide behind a kill of everything, which is lifted by itself.
        let all = State { killed_all: Some(Kill::default()), ..by_tag.clone() };
        let kept = State { killed_all: None, ..all.keep_kills(&before, &after) };
        assert_eq!(kept.killed("f", flag).as_deref(), Some("flag"));

        // What else changed of the flag stays, and so does whoever killed it first.
        let flags = json!({"f": {"salt": "f-1", "enabled": true, "killed": {"reason": "first"}}});
        let both = state(json!({"killedTags": {"gateway": {}}, "flags": flags}));
        assert_eq!(both.keep_kills(&before, &after), both);

        for (state, after) in [
            (by_tag, &before),
            (state(json!({"killedTags": {"payments": {}, "gateway": {}}})), &after),
            (state(json!({})), &after),
        ] {
            assert_eq!(state.keep_kills(&before, after), state);
        }
    }

    #[test]
    fn a_percent_never_goes_by_a_rules_place() {
        let text = "flags: {f: {salt: s, rules: [{serve: {ramp: {percent: 1, serve: on}}}], default: off}}";
        let of = state(json!({"flags": {"f": {"salt": "s", "percent": {"rules": {"rule-1": 100}}}}}));
        assert_eq!(
            shown(&compile(&read(text), &of, &options(Audience::Server)).unwrap_err()),
            "state.flags.f.percent.rules.rule-1: error: the rule `rule-1` of `f` is called so by its place alone, so its percent would go to whichever rule comes to stand there, write `id: rule-1` into it",
        );
        let named = text.replace("rules: [{", "rules: [{id: rule-1, ");
        assert!(compile(&read(&named), &of, &options(Audience::Server)).is_ok());
    }

    #[test]
    fn state_of_another_salt_does_not_apply() {
        let of = json!({"flags": {
            "f": {"salt": "f-0", "killed": {}, "percent": {"default": 50}},
            "g": {"salt": "g-1"},
        }, "killedTags": {"paymnts": {}}});
        assert_eq!(
            shown(&state(of.clone()).lint(&read(FLAGS))),
            "state.killedTags.paymnts: warning: no flag has the tag `paymnts` that is killed, did you mean `payments`?\n\
             state.flags.f.salt: warning: the state of `f` does not apply, except that it is killed: it is of the salt `f-0`, the flag has `f-1`\n\
             state.flags.g: warning: the state of `g` does not apply: there is no such flag, did you mean `f`?",
        );
        assert_eq!(flag(of)["default"], flag(json!({}))["default"]);
    }

    #[test]
    fn state_that_says_nothing_sensible() {
        for (of, expected) in [
            (
                json!({"percent": {"rules": {"plain": 5}}}),
                "state.flags.f.percent.rules.plain: error: the rule `plain` of `f` serves no ramp, so it has no percent to set, write it as `serve: {ramp: {percent: .., serve: ..}}`, or reset the flag",
            ),
            (
                json!({"percent": {"rules": {"bета": 5}}}),
                "state.flags.f.percent.rules.bета: error: `f` has no rule `bета`, reset the flag",
            ),
            (
                json!({"percent": {"rules": {"bet": 5}}}),
                "state.flags.f.percent.rules.bet: error: `f` has no rule `bet`, did you mean `beta`?",
            ),
            (
                json!({"deny": {"segments": ["s"]}}),
                "flags.f.deny.segments[0]: error: with the state applied, unknown segment `s`, there is no segment at all",
            ),
            (
                json!({"allow": [{"variant": "onn"}]}),
                "flags.f.allow[0].variant: error: with the state applied, unknown variant `onn`, did you mean `on`?",
            ),
        ] {
            let mut of = of;
            of["salt"] = json!("f-1");
            let state = state(json!({"flags": {"f": of}}));
            assert_eq!(shown(&compile(&read(FLAGS), &state, &options(Audience::Server)).unwrap_err()), expected);
        }
        let state = state(json!({"flags": {"f": {"salt": "s", "percent": {"default": 5}}}}));
        assert_eq!(
            shown(
                &compile(&read("flags: {f: {salt: s, default: on}}"), &state, &options(Audience::Server)).unwrap_err()
            ),
            "state.flags.f.percent.default: error: the default of `f` is no ramp, so it has no percent to set, write it as `default: {ramp: {percent: .., serve: ..}}`, or reset the flag",
        );
    }

    #[test]
    fn state_reads_back_as_it_was_written() {
        let json = json!({
            "killedAll": {"reason": "r"},
            "killedTags": {"payments": {"author": "dana"}},
            "flags": {"f": {
                "salt": "f-1",
                "killed": {"at": "2026-11-21T12:00:00Z"},
                "enabled": true,
                "percent": {"default": 12.345, "rules": {"beta": 50}},
                "allow": [{"variant": "on", "keys": ["a"]}],
                "deny": {"keys": ["b"]},
                "exclude": {"segments": ["s"], "positions": [[0, 0.001]]}
            }}
        });
        assert_eq!(serde_json::to_value(state(json.clone())).unwrap(), json);
        assert!(serde_json::from_value::<State>(json!({"flgs": {}})).is_err());
        assert!(
            serde_json::from_value::<State>(json!({"flags": {"f": {"salt": "s", "percent": {"default": 101}}}}))
                .is_err()
        );
    }
}

mod environments {
    use super::*;
    use crate::{Context, Snapshot};

    const FLAGS: &str = "
environments: [development, staging, production]
flags:
  gate: {salt: gate-1}
  beta:
    salt: beta-1
    variants: {on: true, off: false, old: false}
    prerequisites: [{flag: gate, variant: on}]
    deny: {keys: [mallory]}
    rules: [{id: everyone, when: {attribute: staff, equals: true}, serve: old}]
    default: {ramp: {schedule: {before: 0, steps: [{at: 2025-01-10T08:00:00Z, percent: 10}]}, serve: on}}
    environments:
      development: {pin: on}
      staging: {percent: 100, enabled: false}
";

    fn flag(environment: &str, state: &State) -> Value {
        let options = Options { environment: environment.to_owned(), ..options(Audience::Server) };
        let payload = compile(&read(FLAGS), state, &options).unwrap_or_else(|problems| panic!("{}", shown(&problems)));
        serde_json::from_str::<Value>(&payload).unwrap()["flags"]["beta"].take()
    }

    fn state(percent: u32, enabled: bool) -> State {
        let of = json!({"salt": "beta-1", "enabled": enabled, "percent": {"default": percent}});
        serde_json::from_value(json!({"flags": {"beta": of}})).unwrap()
    }

    #[test]
    fn each_gets_its_own_and_all_else_is_the_same() {
        let none = State::default();
        let variants = json!({"off": false, "old": false, "on": true});
        assert_eq!(
            flag("development", &none),
            json!({"type": "boolean", "variants": variants, "off": "off", "salt": "beta-1", "default": "on"})
        );
        let mut production = flag("production", &none);
        let mut staging = flag("staging", &none);
        assert_eq!(staging["enabled"].take(), false);
        assert_eq!(staging["default"].take(), json!({"ramp": {"percent": 100_000, "serve": "on"}}));
        let schedule = json!({"before": 0, "points": [[1_736_496_000_000_i64, 10_000]]});
        assert_eq!(production["default"].take(), json!({"ramp": {"schedule": schedule, "serve": "on"}}));
        for member in ["salt", "rules", "deny", "prerequisites", "variants"] {
            assert_eq!(staging[member], production[member], "{member}");
        }
    }

    #[test]
    fn operators_go_before_definitions_of_an_environment() {
        let staging = flag("staging", &state(7, true));
        assert_eq!(staging["enabled"], Value::Null);
        assert_eq!(staging["default"]["ramp"]["percent"], 7_000);
        let disabled =
            serde_json::from_value(json!({"flags": {"beta": {"salt": "beta-1", "enabled": false}}})).unwrap();
        assert_eq!(flag("development", &disabled)["enabled"], false);
        let options = Options { environment: "development".to_owned(), ..options(Audience::Server) };
        assert_eq!(
            shown(&compile(&read(FLAGS), &state(7, true), &options).unwrap_err()),
            "state.flags.beta.percent: error: `beta` is pinned to `on` in `development`, so it has no percent to set, \
             take the pin out of the definitions, or reset the flag"
        );
    }

    #[test]
    fn what_cannot_be_is_told() {
        let flag = |rest: &str| format!("environments: [staging, production]\nflags: {{f: {{salt: f-1, {rest}}}}}");
        let ramp = "default: {ramp: {percent: 5, serve: on}}";
        for (rest, expected) in [
            (
                "environments: {stagin: {pin: on}}",
                "f.yaml:2:39: error: unknown environment `stagin`, did you mean `staging`?",
            ),
            ("environments: {staging: {pin: of}}", "f.yaml:2:54: error: unknown variant `of`, did you mean `off`?"),
            (
                "environments: {staging: {percent: 5}}",
                "f.yaml:2:58: error: the flag's default is no ramp, so it has no percent, write it as `default: {ramp: \
                 {percent: .., serve: ..}}`",
            ),
            (
                "enabled: false, environments: {staging: {pin: on}}",
                "f.yaml:2:70: warning: the flag is not enabled in `staging`, so the pin does nothing, add `enabled: true` \
                 beside it",
            ),
            (
                "environments: {staging: {percents: 5}}",
                "f.yaml:2:49: error: unknown field `percents`, did you mean `percent`?",
            ),
        ] {
            complains(&flag(rest), expected);
        }
        let both = flag(&format!("{ramp}, environments: {{staging: {{percent: 5, pin: on}}}}"));
        assert!(
            problems(&both).contains("error: an environment takes either `pin` or `percent`"),
            "{}",
            problems(&both)
        );
        complains(
            "flags: {f: {salt: f-1, environments: {staging: {pin: on}}}}",
            "f.yaml:1:39: error: unknown environment `staging`, there is no environment at all",
        );
        let prod = Options { environment: "prod".to_owned(), ..options(Audience::Server) };
        assert_eq!(
            shown(&compile(&read(FLAGS), &State::default(), &prod).unwrap_err()),
            "options.environment: error: the definitions know no environment `prod`, expected one of `development`, \
             `production`, `staging`"
        );
    }

    #[test]
    fn files_name_environments_together() {
        let two = ["environments: [staging]", "environments: [production, staging]"].map(source);
        let definitions = Definitions::read(&two).unwrap();
        assert_eq!(definitions.environments.iter().collect::<Vec<_>>(), ["production", "staging"]);
    }

    /// What `rollouts/001-chat-architecture.md` and `rollouts/004-service-layer.md` write down for each.
    #[test]
    fn the_five_plans_are_what_their_documents_say() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rollouts/definitions");
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let sources: Vec<_> =
            files.map(|path| Source::new(path.display().to_string(), std::fs::read(path).unwrap())).collect();
        let definitions = Definitions::read(&sources).unwrap();
        let services =
            ["USE_MIGRATED_BACKUP_SERVICE", "USE_MIGRATED_NETWORK_SERVICE", "USE_MIGRATED_WEBRTC_PEER_SERVICE"];
        let chat = [
            "useNewArchitecture",
            "enableAGUIEvents",
            "enableVerboseLogging",
            "enablePerformanceMonitoring",
            "enableExperimentalFeatures",
        ];
        for (environment, chats, service) in [
            ("development", [true, true, true, true, true], true),
            ("staging", [true, true, false, true, false], true),
            // Phase 1, and the day before the first date.
            ("production", [false, false, false, true, false], false),
        ] {
            let options = Options { environment: environment.to_owned(), ..options(Audience::Server) };
            let payload = compile(&definitions, &State::default(), &options).unwrap();
            let snapshot = Snapshot::from_payload(payload).unwrap();
            let flags = snapshot.at("2025-01-09T00:00:00Z".parse().unwrap());
            let on = |flag: &str| flags.boolean(flag, !service, &Context::new("user-42"));
            assert_eq!(chat.map(on), chats, "{environment}");
            assert_eq!(services.map(on), [service; 3], "{environment}");
        }
    }
}

mod comparing {
    use super::*;

    #[test]
    fn what_changed() {
        let old = read("flags: {a: {salt: a-1, tags: [x], rules: [{serve: on}]}, b: {salt: b-1}}");
        let new = read(
            "flags: {a: {salt: a-1, tags: [x, y], rules: [{serve: off}, {serve: on}]}, c: {salt: c-1}}\nlayers: {l: {salt: l-1}}",
        );
        let changes = serde_json::to_value(diff(&old, &new)).unwrap();
        assert_eq!(
            changes,
            json!([
                {"path": "flags.a.tags", "before": ["x"], "after": ["x", "y"]},
                {"path": "flags.a.rules[0].serve", "before": "on", "after": "off"},
                {"path": "flags.a.rules[1]", "after": {"serve": "on"}},
                {"path": "flags.b", "before": {"salt": "b-1"}},
                {"path": "flags.c", "after": {"salt": "c-1"}},
                {"path": "layers.l", "after": {"salt": "l-1"}},
            ])
        );
        assert_eq!(serde_json::from_value::<Vec<Change>>(changes).unwrap(), diff(&old, &new));
        assert!(diff(&old, &old).is_empty());
    }

    #[test]
    fn what_is_stale() {
        let definitions = read(
            "
flags:
  expired: {salt: s1, owner: team, expires: 2026-03-01, default: {ramp: {percent: 5, serve: on}}}
  tomorrow: {salt: s2, expires: 2026-03-03, default: {ramp: {percent: 5, serve: on}}}
  done: {salt: s3, default: {ramp: {percent: 100, serve: on}}}
  both: {salt: s4, expires: 2026-03-01, default: on}
  never: {salt: s5}
  rule: {salt: s6, rules: [{serve: on}], default: off}
  disabled: {salt: s7, enabled: false, default: on}
  rules: {salt: s8, rules: [{when: {attribute: a, equals: b}, serve: on}], default: off}
  listed: {salt: s9, deny: {keys: [a]}, default: on}
  split: {salt: s10, default: {split: [{variant: on, weight: 1}, {variant: off, weight: 1}]}}
",
        );
        let found = stale(&definitions, "2026-03-02T00:00:00Z".parse().unwrap());
        let expired = json!({"expired": "2026-03-01T00:00:00Z"});
        assert_eq!(
            serde_json::to_value(found).unwrap(),
            json!([
                {"flag": "both", "reasons": [expired, {"sameForEveryone": "on"}]},
                {"flag": "done", "reasons": [{"sameForEveryone": "on"}]},
                {"flag": "expired", "owner": "team", "reasons": [expired]},
                {"flag": "never", "reasons": [{"sameForEveryone": "off"}]},
                {"flag": "rule", "reasons": [{"sameForEveryone": "on"}]},
            ])
        );
    }
}

mod describing {
    use super::*;

    fn validator() -> jsonschema::Validator {
        jsonschema::draft202012::new(&json_schema()).unwrap()
    }

    /// A text as other programs see it.
    fn value(text: &str) -> Value {
        let root = yaml::parse(text.as_bytes()).unwrap().unwrap();
        yaml::read(&root, root.at).unwrap()
    }

    #[track_caller]
    fn accepts(validator: &jsonschema::Validator, value: &Value) {
        let errors: Vec<_> =
            validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(errors.is_empty(), "{errors:#?}");
    }

    #[test]
    fn the_schema_is_one_and_takes_what_is_right() {
        let schema = json_schema();
        assert!(jsonschema::draft202012::meta::is_valid(&schema));
        accepts(&validator(), &value(EVERYTHING));
        accepts(&validator(), &serde_json::to_value(read(EVERYTHING)).unwrap());
        for field in ["description", "salt", "rules", "expires", "exclude"] {
            assert!(schema["$defs"]["Flag"]["properties"][field]["description"].is_string(), "{field}");
        }
    }

    #[test]
    fn the_examples_are_in_order() {
        let pages = [include_str!("DEFINITIONS.md"), include_str!("../../rollout/STATISTICS.md")].concat();
        let examples: Vec<_> = pages.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
        assert_eq!(examples.len(), 3, "flags, rollouts, and sequential guards");
        for example in examples {
            accepts(&validator(), &value(example));
            complains(example, "");
            for audience in [Audience::Server, Audience::Client] {
                compiled(example, audience);
            }
        }
    }

    #[test]
    fn the_five_plans_are_in_order() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rollouts/definitions");
        let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let sources: Vec<_> = files
            .iter()
            .map(|file| {
                let text = std::fs::read_to_string(file).unwrap();
                accepts(&validator(), &value(&text));
                Source::new(file.file_name().unwrap().to_string_lossy(), text)
            })
            .collect();
        // Each plan is two files: its rollouts, and their flags.
        assert_eq!(sources.len(), 10);
        for plan in sources.chunks(2) {
            let alone = Definitions::read(plan);
            let problems = alone.map_or_else(|problems| problems, |definitions| lint(&definitions));
            assert!(!problems.iter().any(Problem::is_error), "{}", shown(&problems));
        }
        let definitions = Definitions::read(&sources).unwrap_or_else(|problems| panic!("{}", shown(&problems)));
        for audience in [Audience::Server, Audience::Client] {
            let payload = compile(&definitions, &State::default(), &options(audience));
            payload.unwrap_or_else(|problems| panic!("{}", shown(&problems)));
        }
    }

    #[test]
    fn schema_and_reader_refuse_the_same() {
        let validator = validator();
        for text in [
            "flag: {}",
            "flags: []",
            "hashSalt: 5",
            "flags: {f: {}}",
            "flags: {f: {salt: 5}}",
            "flags: {f: {salt: s, owner: null}}",
            "flags: {f: {salt: s, enabeld: true}}",
            "flags: {f: {salt: s, enabled: yes}}",
            "flags: {f: {salt: s, type: text}}",
            "flags: {f: {salt: s, scheme: murmur}}",
            "flags: {f: {salt: s, expires: soon}}",
            "flags: {f: {salt: s, tags: x}}",
            "flags: {f: {salt: s, deny: {keys: [1.5]}}}",
            "flags: {f: {salt: s, deny: {keys: [true]}}}",
            "flags: {f: {salt: s, prerequisites: [{flag: f}]}}",
            "flags: {f: {salt: s, prerequisites: [{flag: f, variant: on, variants: [on]}]}}",
            "flags: {f: {salt: s, exclude: {positions: [[0]]}}}",
            "flags: {f: {salt: s, exclude: {positions: [[0, 5, 10]]}}}",
            "flags: {f: {salt: s, layer: {name: l, ranges: []}}, }\nlayers: {l: {salt: x}}",
            "flags: {f: {salt: s, allow: [{keys: [a]}]}}",
            "flags: {f: {salt: s, default: true}}",
            "flags: {f: {salt: s, default: {}}}",
            "flags: {f: {salt: s, default: {split: []}}}",
            "flags: {f: {salt: s, default: {split: [{variant: on, weight: -1}]}}}",
            "flags: {f: {salt: s, default: {split: {on: 1}}}}",
            "flags: {f: {salt: s, default: {ramp: {percent: 101, serve: on}}}}",
            "flags: {f: {salt: s, default: {ramp: {percent: '5', serve: on}}}}",
            "flags: {f: {salt: s, default: {ramp: {percent: 5}}}}",
            "flags: {f: {salt: s, default: {ramp: {serve: on}}}}",
            "flags: {f: {salt: s, default: {ramp: {percent: 5, serve: {ramp: {percent: 5, serve: on}}}}}}",
            "flags: {f: {salt: s, default: {ramp: {percent: 5, serve: on}, split: []}}}",
            "flags: {f: {salt: s, default: {ramp: {schedule: {before: 0}, serve: on}}}}",
            "flags: {f: {salt: s, default: {ramp: {schedule: {before: 0, steps: []}, serve: on}}}}",
            "flags: {f: {salt: s, default: {ramp: {schedule: {before: 0, steps: [{at: 2025-01-10, percent: 5}]}, serve: on}}}}",
            "flags: {f: {salt: s, rules: [{when: {attribute: a, equals: b}}]}}",
            "environments: {staging: {}}",
            "environments: [staging]\nflags: {f: {salt: s, environments: {staging: {enabled: 1}}}}",
            "environments: [staging]\nflags: {f: {salt: s, environments: {staging: {pin: on, percent: 5}}}}",
            "environments: [staging]\nflags: {f: {salt: s, environments: [staging]}}",
            "layers: {l: {}}",
            "holdouts: {h: {salt: s}}",
            "segments: {s: {when: {}}}",
            "segments: {s: {when: {attribute: a}}}",
            "segments: {s: {when: {equals: a}}}",
            "segments: {s: {when: {attribute: a, equal: b}}}",
            "segments: {s: {when: {attribute: a, equals: b, contains: c}}}",
            "segments: {s: {when: {attribute: a, equals: [b]}}}",
            "segments: {s: {when: {attribute: a, contains: 5}}}",
            "segments: {s: {when: {attribute: a, contains: c, confidential: true}}}",
            "segments: {s: {when: {attribute: a, lessThan: x}}}",
            "segments: {s: {when: {attribute: a, before: 2025-01-10T08:00:00}}}",
            "segments: {s: {when: {attribute: a, exists: 1}}}",
            "segments: {s: {when: {all: {attribute: a, exists: true}}}}",
            "segments: {s: {when: {all: [], any: []}}}",
            "segments: {s: {when: {segment: s, confidential: true}}}",
            "rollouts: {r: {}}",
            "rollouts: {r: {flags: [f]}}",
            "rollouts: {r: {flags: [], steps: [{}]}}",
            "rollouts: {r: {flags: [f], steps: []}}",
            "rollouts: {r: {flags: f, steps: [{}]}}",
            "rollouts: {r: {flags: [f], steps: [{percent: 101}]}}",
            "rollouts: {r: {flags: [f], steps: [{percent: 10, soak: 5}]}}",
            "rollouts: {r: {flags: [f], steps: [{percent: 10, soak: 2 days}]}}",
            "rollouts: {r: {flags: [f], steps: [{percent: 10, starts: soon}]}}",
            "rollouts: {r: {flags: [f], steps: [{percnt: 10}]}}",
            "rollouts: {r: {flags: [f], steps: [{series: {from: 0, to: 10}}]}}",
            "rollouts: {r: {flags: [f], steps: [{series: {from: 0, to: 10, by: []}}]}}",
            "rollouts: {r: {flags: [f], steps: [{gates: [{value: < 1}]}]}}",
            "rollouts: {r: {flags: [f], steps: [{gates: [{metric: m, value: 1}]}], metrics: {m: {query: q}}}}",
            "rollouts: {r: {flags: [f], steps: [{gates: [{metric: m, value: = 1}]}], metrics: {m: {query: q}}}}",
            "rollouts: {r: {flags: [f], steps: [{gates: [{metric: m, value: < 1, consecutive: 0}]}], metrics: {m: {query: q}}}}",
            "rollouts: {r: {flags: [f], steps: [{triggers: [{value: < 1}]}]}}",
            "rollouts: {r: {flags: [f], steps: [{triggers: [{metric: m, signal: s, value: < 1}]}], metrics: {m: {query: q}}}}",
            "rollouts: {r: {flags: [f], steps: [{triggers: [{signal: s, severity: bad}]}]}}",
            "rollouts: {r: {flags: [f], steps: [{triggers: [{signal: s, do: panic}]}]}}",
            "rollouts: {r: {flags: [f], steps: [{requires: [{}]}]}}",
            "rollouts: {r: {flags: [f], steps: [{requires: [{approval: a, attestation: b}]}], roles: {a: [x]}}}",
            "rollouts: {r: {flags: [f], steps: [{}], metrics: {m: {}}}}",
            "rollouts: {r: {flags: [f], steps: [{}], metrics: {m: {query: q, baseline: new}}}}",
            "rollouts: {r: {flags: [f], steps: [{}], metrics: {m: {query: q, baseline: {}}}}}",
            "rollouts: {r: {flags: [f], steps: [{}], metrics: {m: {query: q, baseline: {ago: 7d, value: 1}}}}}",
            "rollouts: {r: {flags: [f], steps: [{}], windows: [{from: '9:00', until: '16:00'}]}}",
            "rollouts: {r: {flags: [f], steps: [{}], windows: [{days: [mon], from: '09:00', until: '16:00'}]}}",
            "rollouts: {r: {flags: [f], steps: [{}], freezes: [{from: 2025-12-20T00:00:00Z}]}}",
            "rollouts: {r: {flags: [f], steps: [{}], roles: {a: x}}}",
            "rollouts: {r: {flags: [f], steps: [{triggers: [{metric: m, sampleRatio: {}}]}], metrics: {m: {query: q}}}}",
            "rollouts: {r: {flags: [f], steps: [{triggers: [{metric: m, value: < 1%, sequential: true}]}], metrics: {m: {query: q}}}}",
        ] {
            assert!(problems(text).contains("error: "), "the reader takes {text}");
            assert!(!validator.is_valid(&value(text)), "the schema takes {text}");
        }
        for text in [
            "flags: {}",
            "flags: {f: {salt: s}}",
            "flags: {f: {salt: s, expires: 2026-03-01}}",
            "flags: {f: {salt: s, expires: 2026-03-01T00:00:00+01:00}}",
            "flags: {f: {salt: s, type: json, off: a, variants: {a: null, b: {c: [1]}}}}",
            "flags: {f: {salt: s, deny: {keys: [a, 5, -5]}}}",
            "flags: {f: {salt: s, default: {ramp: {percent: 12.345, serve: {split: [{variant: on, weight: 0.1}]}}}}}",
            "environments: [staging]\nflags: {f: {salt: s, environments: {staging: {enabled: true, pin: on}}}}",
            "segments: {s: {when: {all: []}}}",
            "segments: {s: {when: {attribute: a, contains: b}}}",
            "segments: {s: {when: {attribute: a, contains: [b, c]}}}",
            "segments: {s: {when: {attribute: a, in: [b, 1, true], confidential: false}}}",
            "segments: {s: {when: {attribute: a, after: 1736496000000}}}",
            "flags: {f: {salt: s}}\nrollouts: {r: {flags: [f], steps: [{}, {name: last, soak: 1h30m, cleanup: true}]}}",
            "flags: {f: {salt: s, default: {ramp: {percent: 0, serve: on}}}}\nrollouts: {r: {flags: [f], metrics: {m: {query: q, baseline: {ago: 7d}, floor: 1.5}, n: {query: q, baseline: old}}, steps: [{series: {from: 5, to: 50, by: [{below: 10, add: 5}, {add: 7.5}]}, ceiling: true, gates: [{metric: m, ratio: 0.9..1.1, for: 48h}], triggers: [{metric: n, improvement: '< -50%', consecutive: 3, severity: warning, do: stepDown, onNoData: act}, {signal: s}]}]}}",
            "flags: {f: {salt: s}}\nrollouts: {r: {flags: [f], windows: [{days: [monday], from: '09:00', until: '24:00', zone: Europe/Stockholm}], freezes: [{from: 2025-12-20T00:00:00Z, until: 2026-01-07T00:00:00Z}], roles: {a: [x]}, steps: [{requires: [{approval: a, validFor: 2d}]}]}}",
        ] {
            assert_eq!(problems(text), "", "{text}");
            accepts(&validator, &value(text));
        }
    }

    #[test]
    fn the_schema_and_the_reader_agree_on_probabilities() {
        let right = ["1%", "0.1%", "0.001%", "0.010%", "0.100%", "5 %", "99.999%", "10.5%"];
        let wrong = ["0.01", "1", "0%", "0.000%", "100%", "0.0001%", "1e-3%", "-1%", "01%", ".5%", "'%'", "''"];
        for (rates, is_right) in [(&right[..], true), (&wrong[..], false)] {
            for rate in rates {
                let text = format!(
                    "flags: {{f: {{salt: s, default: {{ramp: {{percent: 0, serve: on}}}}}}}}
rollouts:
  r:
    flags: [f]
    metrics: {{m: {{query: '{{{{arm}}}} {{{{window}}}}'}}}}
    steps: [{{percent: 5, triggers: [{{metric: m, sampleRatio: {{falsePositiveRate: {rate}}}}}]}}]"
                );
                assert_eq!(problems(&text).is_empty(), is_right, "{rate}: {}", problems(&text));
                assert_eq!(validator().is_valid(&value(&text)), is_right, "{rate}");
            }
        }
    }
}
