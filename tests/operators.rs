//! Every operator with every type, as the table in `OPERATORS.md` has it, and the cases in which operators go wrong.

mod support;

use flagstone::Truth::{self, False, True, Unknown};
use flagstone::{Context, Timestamp, Value};
use std::collections::BTreeSet;
use support::*;

const TYPES: [&str; 7] = ["boolean", "number", "string", "date", "list", "object", "missing"];

/// A row of the table: its operators and, by type, its cell.
struct Row {
    operators: Vec<String>,
    cells: Vec<String>,
}

fn table() -> Vec<Row> {
    let document = include_str!("../src/evaluate/OPERATORS.md");
    let mut lines = document.lines().skip_while(|line| !line.starts_with("| operator "));
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    assert_eq!(cells(lines.next().unwrap())[1..], TYPES);
    let rows = lines.skip(1).take_while(|line| line.starts_with('|'));
    rows.map(|line| {
        let mut cells = cells(line);
        let operators = cells.remove(0).split('`').skip(1).step_by(2).map(str::to_owned).collect();
        Row { operators, cells }
    })
    .collect()
}

/// Operands that make the operator say everything that it can say.
fn operands(operator: &str) -> Vec<String> {
    let operands: &[&str] = match operator {
        "equals" => &["true", "5", r#""text""#],
        "in" => &["[]", "[true]", "[5,6]", r#"["other","text"]"#, r#"[5,"text"]"#],
        "inHashed" => {
            let hash = |tag: &str, value: &[u8]| {
                let message = [b"0\0flag:f\0", tag.as_bytes(), value].concat();
                base64(&hmac_sha256::Hash::hash(&message)[..8])
            };
            return vec![
                r#"{"types":[],"hashed":""}"#.to_owned(),
                format!(r#"{{"types":["boolean"],"hashed":"{}"}}"#, hash("b", &[1])),
                format!(r#"{{"types":["number"],"hashed":"{}"}}"#, hash("n", &5f64.to_be_bytes())),
                format!(r#"{{"types":["string"],"hashed":"{}"}}"#, hash("s", b"text")),
            ];
        }
        "equalsCi" => &[r#""text""#],
        "inCi" => &["[]", r#"["other","text"]"#],
        "contains" | "containsCi" | "startsWith" | "startsWithCi" | "endsWith" | "endsWithCi" => &["[]", r#"["text"]"#],
        "matches" => &["[]", r#"["^text$"]"#],
        "lessThan" | "greaterThan" => &["5", "7"],
        "lessThanOrEqual" | "greaterThanOrEqual" => &["5", "6"],
        "before" | "after" => &["6", "1767225600000"],
        name if name.starts_with("semver") && name != "semverMatches" => &[r#""1.2.3""#, r#""2""#, r#""3.0.0""#],
        "semverMatches" => &[r#"{"from":"1.2.0","below":"2.0.0-0"}"#, r#"{"from":"0.0.0-0"}"#],
        "includesAny" | "includesAll" => &["[]", r#"["text"]"#, "[5,true]"],
        "cidr" => &["[]", r#"["10.0.0.0/8","::/1"]"#],
        "exists" => &["true", "false"],
        other => panic!("{other} is new: say here which operands show what it does"),
    };
    operands.iter().map(|operand| (*operand).to_owned()).collect()
}

fn base64(bytes: &[u8]) -> String {
    use base64ct::{Base64UrlUnpadded, Encoding};
    Base64UrlUnpadded::encode_string(bytes)
}

/// Contexts in which the attribute `a` is of this type.
fn samples(kind: &str) -> Vec<Context> {
    let values: Vec<Value> = match kind {
        "boolean" => vec![true.into(), false.into()],
        "number" => vec![5.into(), 6.into(), (-0.0).into(), 1e300.into(), 1_767_225_600_000.5.into()],
        "string" => [
            "text",
            "TEXT",
            "a text at",
            "",
            "5",
            "true",
            "v1.2.3",
            "2.0",
            "10.0.0.1",
            "2026-01-01T00:00:00.001Z",
            "1970-01-01T00:00:00Z",
        ]
        .map(Value::from)
        .to_vec(),
        "date" => [0, 6, 1_767_225_600_001].map(|millis| Timestamp::from_millis(millis).into()).to_vec(),
        "list" => vec![
            Value::List(vec![]),
            vec!["text"].into(),
            Value::List(vec![5.into(), true.into()]),
            Value::List(vec![
                "5".into(),
                Value::Null,
                f64::NAN.into(),
                Timestamp::from_millis(5).into(),
                vec!["text"].into(),
            ]),
        ],
        "object" => vec![Context::empty().into(), Context::empty().with("text", "text").into()],
        "missing" => vec![Value::Null, f64::NAN.into(), f64::INFINITY.into(), f64::NEG_INFINITY.into()],
        other => panic!("{other}"),
    };
    let mut contexts: Vec<Context> = values.into_iter().map(|value| Context::empty().with("a", value)).collect();
    if kind == "missing" {
        contexts.push(Context::empty());
        contexts.extend(
            [r#"{"a":"\ud800"}"#, r#"{"a":"text\udc00"}"#, r#"{"A":"text"}"#]
                .map(|json| Context::from_json(json).unwrap()),
        );
    }
    contexts
}

/// What a condition says of several contexts, as `truth`, with the snapshot made once.
fn truths(condition: &str, contexts: &[Context]) -> Vec<Truth> {
    let flag = |key: &str, when: &str| {
        format!(r#""{key}":{{{FLAG},"salt":"s","rules":[{{"id":"r","when":{when},"serve":"on"}}],"default":"off"}}"#)
    };
    let patterns = if condition.contains(r#""matches""#) { patterns() } else { String::new() };
    // Hashes are the flag's own, so both flags are called `f`.
    let load = |when: &str| load(format!(r#"{{{HEAD},"hashSalt":"0",{patterns}"flags":{{{}}}}}"#, flag("f", when)));
    let (is, is_not) = (load(condition), load(&format!(r#"{{"not":{condition}}}"#)));
    let truth = |context: &Context| {
        assert_eq!(details(&is, context).error_code, None, "{condition}");
        match (is_on(&is, context), is_on(&is_not, context)) {
            (true, false) => True,
            (false, true) => False,
            (false, false) => Unknown,
            (true, true) => panic!("{condition} and its `not` both hold of {context:?}"),
        }
    };
    contexts.iter().map(truth).collect()
}

#[test]
fn the_table_is_what_the_engine_does() {
    let mut names = BTreeSet::new();
    for Row { operators, cells } in table() {
        assert_eq!(cells.len(), TYPES.len(), "{operators:?}");
        for operator in operators {
            for (kind, cell) in TYPES.into_iter().zip(&cells) {
                let contexts = samples(kind);
                let mut found = BTreeSet::new();
                for operand in operands(&operator) {
                    for path in ["a", "deep.er.a"] {
                        let condition = format!(r#"{{"attribute":"{path}","{operator}":{operand}}}"#);
                        let contexts: Vec<Context> = contexts
                            .iter()
                            .map(|context| if path == "a" { context.clone() } else { nest(context) })
                            .collect();
                        found.extend(truths(&condition, &contexts).into_iter().map(|truth| format!("{truth:?}")));
                    }
                }
                let note = cell.trim_start_matches("T/F");
                let expected: &[&str] = match (cell.strip_prefix("T/F"), note, kind) {
                    (None, "?", _) => &["Unknown"],
                    // The notes under the table that tell of values of the right type that say nothing.
                    (Some(_), "¹" | "³" | "⁵", _) | (Some(_), "²", "string") => &["False", "True", "Unknown"],
                    (Some(_), "" | "²" | "⁴", _) => &["False", "True"],
                    _ => panic!("{operator}, {kind}: what does `{cell}` mean?"),
                };
                assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), expected, "{operator}, {kind}");
            }
            assert!(names.insert(operator.clone()), "{operator} has two rows");
        }
    }
    // The operators are those of the format.
    let format = include_str!("../src/snapshot/FORMAT.md");
    let (_, section) = format.split_once("| operators | operand |").unwrap();
    let rows = section.lines().skip(2).take_while(|line| line.starts_with('|'));
    let of_format: BTreeSet<String> =
        rows.flat_map(|row| row.split('|').nth(1).unwrap().split('`').skip(1).step_by(2).map(str::to_owned)).collect();
    assert_eq!(names, of_format);
}

/// The context at the end of the path `deep.er`.
fn nest(context: &Context) -> Context {
    Context::empty().with("deep", Context::empty().with("er", context.clone()))
}

/// That `{"attribute": "a", OPERATOR: OPERAND}` says this of attributes, given in JSON.
#[track_caller]
fn says(operator: &str, operand: &str, cases: &[(&str, Truth)]) {
    let condition = format!(r#"{{"attribute":"a",{}:{operand}}}"#, quote(operator));
    let contexts: Vec<Context> =
        cases.iter().map(|(json, _)| Context::from_json(&format!(r#"{{"a":{json}}}"#)).unwrap()).collect();
    for ((json, expected), found) in cases.iter().zip(truths(&condition, &contexts)) {
        assert_eq!(found, *expected, "{operator} {operand} of {json}");
    }
}

#[test]
fn equality_is_of_values_within_a_type() {
    says(
        "equals",
        "0",
        &[("0", True), ("-0.0", True), ("0e5", True), ("1e-400", True), ("\"0\"", Unknown), ("false", Unknown)],
    );
    says("equals", "-0.0", &[("0", True), ("-0", True)]);
    says("equals", "1", &[("1.0", True), ("10e-1", True), ("1.0000000000000002", False), ("true", Unknown)]);
    // Doubles: 2^53 and 2^53 + 1 are the same one.
    says(
        "equals",
        "9007199254740992",
        &[("9007199254740993", True), ("9007199254740991", False), ("9007199254740994", False)],
    );
    says("equals", "0.3", &[("0.3", True), ("0.30000000000000004", False), ("0.1", False)]);
    says("equals", "\"\"", &[("\"\"", True), ("\" \"", False), ("null", Unknown)]);
    // Byte by byte: no case, no normalization.
    says("equals", "\"é\"", &[("\"\\u00e9\"", True), ("\"e\\u0301\"", False), ("\"É\"", False)]);
    says("equals", "\"a\\u0000b\"", &[("\"a\\u0000b\"", True), ("\"a\"", False)]);
    says("equals", "false", &[("false", True), ("true", False), ("0", Unknown), ("\"false\"", Unknown)]);
    says("in", "[]", &[("1", False), ("\"\"", False), ("true", False), ("[]", Unknown), ("null", Unknown)]);
    says(
        "in",
        "[1,2,3,\"a\",\"b\",true]",
        &[("1", True), ("3", True), ("4", False), ("\"a\"", True), ("\"c\"", False), ("true", True), ("false", False)],
    );
    says("in", "[-0.0,5e-324]", &[("0", True), ("-0.0", True), ("5e-324", True), ("-5e-324", False)]);
    says(
        "in",
        "[\"\",\"z\",\"\\uffff\",\"😀\"]",
        &[("\"😀\"", True), ("\"\\uffff\"", True), ("\"z\"", True), ("\"\"", True), ("\"y\"", False)],
    );
}

#[test]
fn case_is_ignored_in_ascii_alone() {
    says(
        "equalsCi",
        "\"strasse\"",
        &[("\"STRASSE\"", True), ("\"strasse\"", True), ("\"straße\"", False), ("\"Strasse \"", False)],
    );
    says("equalsCi", "\"ß\"", &[("\"ß\"", True), ("\"ẞ\"", False), ("\"ss\"", False)]);
    says("equalsCi", "\"İ\"", &[("\"İ\"", True), ("\"i\"", False), ("\"i̇\"", False), ("\"ı\"", False)]);
    says("equalsCi", "\"k\"", &[("\"K\"", True), ("\"\\u212a\"", False)]);
    says("equalsCi", "\"É\"", &[("\"É\"", True), ("\"é\"", False)]);
    says("equalsCi", "\"[@`{\"", &[("\"[@`{\"", True), ("\"{@`[\"", False), ("\"[`@{\"", False)]);
    says(
        "inCi",
        "[\"de\",\"vn\",\"É\"]",
        &[("\"de\"", True), ("\"VN\"", True), ("\"d\"", False), ("\"é\"", False), ("\"\"", False)],
    );
    says("containsCi", "[\"admin\"]", &[("\"sysAdmin2\"", True), ("\"adm in\"", False)]);
    says("startsWithCi", "[\"ad\"]", &[("\"aDmin\"", True), ("\"a\"", False), ("\"xad\"", False)]);
    says(
        "endsWithCi",
        "[\".com\"]",
        &[("\"a.com\"", True), ("\".CoM\"", True), ("\"com\"", False), ("\"\\u212aom\"", False)],
    );
}

#[test]
fn texts_are_searched_byte_by_byte() {
    for operator in ["contains", "startsWith", "endsWith", "containsCi", "startsWithCi", "endsWithCi"] {
        says(operator, "[\"\"]", &[("\"\"", True), ("\"x\"", True), ("1", Unknown), ("null", Unknown)]);
        says(operator, "[]", &[("\"\"", False), ("\"x\"", False), ("1", Unknown)]);
        says(
            operator,
            "[\"nope\",\"é\"]",
            &[("\"é\"", True), ("\"e\"", False), ("\"\"", False), ("\"e\\u0301\"", False)],
        );
    }
    says("contains", "[\"bc\"]", &[("\"abcd\"", True), ("\"b c\"", False), ("\"BC\"", False)]);
    says("startsWith", "[\"ab\"]", &[("\"ab\"", True), ("\"abc\"", True), ("\"cab\"", False), ("\"a\"", False)]);
    // The end of one character is not the end of another that shares its last byte.
    says("endsWith", "[\"é\"]", &[("\"né\"", True), ("\"n©\"", False), ("\"é \"", False)]);
    says("startsWith", "[\"日本\"]", &[("\"日本語\"", True), ("\"日\"", False), ("\"日木\"", False)]);
}

#[test]
fn regular_expressions_search_in_linear_time() {
    says("matches", r#"["b+"]"#, &[("\"abbc\"", True), ("\"ac\"", False), ("5", Unknown)]);
    says("matches", r#"["^b+$","x"]"#, &[("\"abbc\"", False), ("\"bb\"", True), ("\"axe\"", True)]);
    says("matches", r#"["(?i)^é$"]"#, &[("\"é\"", True), ("\"É\"", False)]);
    says("matches", r#"["^.$"]"#, &[("\"😀\"", True), ("\"\\n\"", False), ("\"e\\u0301\"", False)]);
    says("matches", r#"["^\\d$"]"#, &[("\"7\"", True), ("\"٧\"", False)]);
    says("matches", r#"[""]"#, &[("\"\"", True), ("\"x\"", True)]);
    // A backtracking engine would not come to an end.
    let text = format!("\"{}b\"", "a".repeat(100_000));
    says("matches", r#"["^(a+)+$"]"#, &[(&text, False), ("\"aaa\"", True)]);
    says("matches", r#"["^(a|a)*$","^(a|aa)+$","(.*a){20}c"]"#, &[(&text, False)]);
}

#[test]
fn numbers_are_compared_as_doubles() {
    says(
        "lessThan",
        "1.5",
        &[("1.4999999999999998", True), ("1.5", False), ("2", False), ("\"1\"", Unknown), ("true", Unknown)],
    );
    says("lessThanOrEqual", "1.5", &[("1.5", True), ("1.5000000000000002", False), ("-1e308", True)]);
    says("greaterThan", "0", &[("-0.0", False), ("5e-324", True), ("0", False)]);
    says("greaterThanOrEqual", "-0.0", &[("0", True), ("-0.0", True), ("-5e-324", False)]);
    says("greaterThan", "9007199254740992", &[("9007199254740993", False), ("9007199254740994", True)]);
    says("lessThan", "1.7976931348623157e308", &[("1e308", True), ("1e309", Unknown), ("-1e309", Unknown)]);
}

#[test]
fn instants_are_compared_in_milliseconds() {
    // 2025-01-10T08:00:00Z
    const AT: &str = "1736496000000";
    says(
        "before",
        AT,
        &[
            (AT, False),
            ("1736495999999", True),
            ("1736495999999.9", True),
            ("1736496000000.9", False),
            ("\"2025-01-10T08:00:00Z\"", False),
            ("\"2025-01-10T07:59:59.999Z\"", True),
            ("\"2025-01-10T07:59:59.9999999Z\"", True),
            ("\"2025-01-10T09:00:00+01:00\"", False),
            ("\"2025-01-10T09:00:00+01:01\"", True),
            ("\"2025-01-10t02:30:00-05:30\"", False),
            ("\"2025-01-10\"", Unknown),
            ("\"2025-01-10T08:00:00\"", Unknown),
            ("\"1736496000000\"", Unknown),
            ("\"\"", Unknown),
            ("\"2025-02-30T00:00:00Z\"", Unknown),
            ("true", Unknown),
            ("[1]", Unknown),
            ("-1e300", True),
            ("1e300", False),
        ],
    );
    says(
        "after",
        AT,
        &[
            (AT, False),
            ("1736496000000.9", False),
            ("1736496000001", True),
            ("\"2025-01-10T08:00:00.0009Z\"", False),
            ("\"2025-01-10T08:00:00.001Z\"", True),
            ("\"2025-01-10T08:00:00-00:01\"", True),
            ("1e300", True),
            ("\"9999-12-31T23:59:59Z\"", True),
        ],
    );
    // A fraction is cut off towards the past, before 1970 too.
    says(
        "before",
        "-1",
        &[
            ("-1", False),
            ("-1.5", True),
            ("-0.5", False),
            ("\"1969-12-31T23:59:59.9985Z\"", True),
            ("\"1969-12-31T23:59:59.9995Z\"", False),
        ],
    );
    let date = |millis| Context::empty().with("a", Timestamp::from_millis(millis));
    let truths = truths(
        &format!(r#"{{"attribute":"a","after":{AT}}}"#),
        &[date(1_736_496_000_000), date(1_736_496_000_001), date(i64::MIN), date(i64::MAX)],
    );
    assert_eq!(truths, [False, True, False, True]);
}

#[test]
fn versions_are_compared_by_precedence() {
    says(
        "semverEquals",
        "\"1.0.0\"",
        &[
            ("\"1.0.0\"", True),
            ("\"v1.0.0\"", True),
            ("\"1\"", True),
            ("\"v1\"", True),
            ("\"1.0\"", True),
            ("\"1.0.0+build.5\"", True),
            ("\"1+x\"", True),
            ("\"1.0.0-0\"", False),
            ("\"1.0.1\"", False),
            ("1", Unknown),
            ("\"\"", Unknown),
            ("\"v\"", Unknown),
            ("\"vv1\"", Unknown),
            ("\"V1\"", Unknown),
            ("\"01.0.0\"", Unknown),
            ("\"1.0.0.0\"", Unknown),
            ("\"1.\"", Unknown),
            ("\"1..0\"", Unknown),
            ("\" 1.0.0\"", Unknown),
            ("\"1.0.0-\"", Unknown),
            ("\"1.x\"", Unknown),
            ("\"latest\"", Unknown),
            ("\"99999999999999999999.0.0\"", Unknown),
        ],
    );
    says(
        "semverLessThan",
        "\"1.2.3\"",
        &[
            ("\"1.2.3-beta\"", True),
            ("\"1.2.3\"", False),
            ("\"1.2.3+build\"", False),
            ("\"1.2\"", True),
            ("\"1.10.0\"", False),
            ("\"v1.2.2\"", True),
            ("\"0.99.99\"", True),
        ],
    );
    // The order of the specification (semver.org, 11).
    let order = [
        "1.0.0-alpha",
        "1.0.0-alpha.1",
        "1.0.0-alpha.beta",
        "1.0.0-beta",
        "1.0.0-beta.2",
        "1.0.0-beta.11",
        "1.0.0-rc.1",
        "1.0.0",
    ];
    for (i, one) in order.iter().enumerate() {
        for (j, other) in order.iter().enumerate() {
            let other = quote(other);
            says("semverLessThan", &quote(one), &[(&other, Truth::from(j < i))]);
            says("semverLessThanOrEqual", &quote(one), &[(&other, Truth::from(j <= i))]);
            says("semverEquals", &quote(one), &[(&other, Truth::from(j == i))]);
            says("semverGreaterThanOrEqual", &quote(one), &[(&other, Truth::from(j >= i))]);
            says("semverGreaterThan", &quote(one), &[(&other, Truth::from(j > i))]);
        }
    }
    says(
        "semverMatches",
        r#"{"from":"1.2.0","below":"2.0.0-0"}"#,
        &[
            ("\"1.2.0\"", True),
            ("\"1.2\"", True),
            ("\"v1.9\"", True),
            ("\"1.1.9\"", False),
            ("\"2.0.0\"", False),
            ("\"2\"", False),
            ("\"2.0.0-beta\"", False),
            ("\"1.2.0-beta\"", False),
            ("\"1.3.0-beta\"", False),
            ("\"1.2.3+build\"", True),
            ("\"x\"", Unknown),
            ("2", Unknown),
        ],
    );
    says(
        "semverMatches",
        r#"{"from":"1.2.3-beta.2","below":"2.0.0-0","prereleasesOf":["1.2.3"]}"#,
        &[
            ("\"1.2.3-beta.1\"", False),
            ("\"1.2.3-beta.2\"", True),
            ("\"1.2.3-rc.1\"", True),
            ("\"1.2.4-rc.1\"", False),
            ("\"1.9.9\"", True),
            ("\"2.0.0-rc.1\"", False),
        ],
    );
    says("semverMatches", r#"{"from":"1.2"}"#, &[("\"1.1.99\"", False), ("\"1.2\"", True), ("\"9999.0.0\"", True)]);
    says("semverMatches", r#"{"from":"0.0.0-0"}"#, &[("\"0.0.0\"", True), ("\"1.0.0-beta\"", False)]);
    says(
        "semverMatches",
        r#"{"from":"1.2.3-a","below":"3","prereleasesOf":["1.2.3","2.0.0"]}"#,
        &[("\"1.2.3-b\"", True), ("\"2.0.0-b\"", True), ("\"2.0.1-b\"", False), ("\"2.0.1\"", True)],
    );
}

#[test]
fn lists_are_searched_for_operands() {
    says(
        "includesAny",
        "[\"a\",1,true]",
        &[
            ("[\"a\"]", True),
            ("[\"x\",1.0]", True),
            ("[true]", True),
            ("[false,\"A\",2]", False),
            ("[]", False),
            ("[null,[\"a\"],{\"a\":1}]", False),
            ("\"a\"", Unknown),
            ("1", Unknown),
            ("{\"a\":1}", Unknown),
            ("null", Unknown),
            ("[\"\\ud800\",\"a\"]", True),
        ],
    );
    says(
        "includesAll",
        "[\"a\",1,true]",
        &[
            ("[true,1,\"a\"]", True),
            ("[\"a\",1,true,\"more\",null]", True),
            ("[\"a\",1]", False),
            ("[\"a\",\"1\",\"true\"]", False),
            ("[]", False),
            ("\"a\"", Unknown),
        ],
    );
    says("includesAny", "[]", &[("[]", False), ("[1]", False), ("1", Unknown)]);
    says("includesAll", "[]", &[("[]", True), ("[1]", True), ("1", Unknown)]);
    says("includesAll", "[false,true,-0.0]", &[("[0,false,true]", True), ("[0,true]", False)]);
    says("includesAll", "[\"a\",\"b\"]", &[("[\"b\",\"b\",\"a\"]", True), ("[\"b\",\"b\"]", False)]);
}

#[test]
fn addresses_lie_in_networks() {
    says(
        "cidr",
        "[\"10.0.0.0/8\"]",
        &[
            ("\"10.0.0.0\"", True),
            ("\"10.255.255.255\"", True),
            ("\"11.0.0.0\"", False),
            ("\"9.255.255.255\"", False),
            ("\"::ffff:10.1.2.3\"", True),
            ("\"::10.1.2.3\"", False),
            ("\"10.1\"", Unknown),
            ("\"010.0.0.1\"", Unknown),
            ("\"10.0.0.1/8\"", Unknown),
            ("\"10.0.0.1:80\"", Unknown),
            ("\"localhost\"", Unknown),
            ("\"\"", Unknown),
            ("167772161", Unknown),
            ("\"256.0.0.1\"", Unknown),
            ("\"fe80::1%eth0\"", Unknown),
            ("\"[::1]\"", Unknown),
        ],
    );
    // Bits past the prefix are ignored.
    says("cidr", "[\"10.9.8.7/8\"]", &[("\"10.0.0.1\"", True)]);
    says(
        "cidr",
        "[\"0.0.0.0/0\"]",
        &[("\"255.255.255.255\"", True), ("\"0.0.0.0\"", True), ("\"::ffff:1.2.3.4\"", True), ("\"::1\"", False)],
    );
    says(
        "cidr",
        "[\"192.168.1.7/32\"]",
        &[("\"192.168.1.7\"", True), ("\"192.168.1.6\"", False), ("\"192.168.1.8\"", False)],
    );
    says("cidr", "[\"192.168.1.6/31\"]", &[("\"192.168.1.7\"", True), ("\"192.168.1.8\"", False)]);
    says("cidr", "[\"::/0\"]", &[("\"::1\"", True), ("\"ffff::\"", True), ("\"1.2.3.4\"", True)]);
    says("cidr", "[\"2001:db8::1/128\"]", &[("\"2001:DB8:0:0:0:0:0:1\"", True), ("\"2001:db8::2\"", False)]);
    says(
        "cidr",
        "[\"2001:db8::/32\"]",
        &[("\"2001:db8:ffff::\"", True), ("\"2001:db9::\"", False), ("\"10.0.0.1\"", False)],
    );
    says("cidr", "[\"::ffff:10.0.0.0/104\"]", &[("\"10.1.1.1\"", True), ("\"11.1.1.1\"", False)]);
    says("cidr", "[]", &[("\"10.0.0.1\"", False), ("\"x\"", Unknown)]);
    says(
        "cidr",
        "[\"10.0.0.0/8\",\"2001:db8::/32\"]",
        &[("\"2001:db8::1\"", True), ("\"10.0.0.1\"", True), ("\"::1\"", False)],
    );
}

#[test]
fn existence_is_never_unknown() {
    let there = ["true", "0", "\"\"", "[]", "{}", "[null]"];
    let missing = ["null", "1e999", "\"\\ud800\""];
    for (operand, value) in [("true", True), ("false", False)] {
        says("exists", operand, &there.map(|json| (json, value)));
        says("exists", operand, &missing.map(|json| (json, !value)));
    }
}

#[test]
fn paths_lead_into_objects_and_nowhere_else() {
    let context = Context::from_json(
        r#"{"a":{"b":{"c":1},"d.e":2,"f\\g":3,"":4},"a.b":5,"l":[{"x":6}],"s":"text","é":{"😀":7}}"#,
    )
    .unwrap();
    for (path, expected) in [
        ("a.b.c", True),
        ("a.d\\.e", True),
        ("a.f\\\\g", True),
        ("a\\.b", True),
        ("\\a.\\b.\\c", True),
        ("a", True),
        ("é.😀", True),
        ("\\é.\\😀", True),
        ("a.d.e", False),
        ("a.b.c.d", False),
        ("a\\.b.c", False),
        ("l.x", False),
        ("l.0", False),
        ("l.length", False),
        ("s.length", False),
        ("b.c", False),
        ("A.b", False),
        ("a ", False),
    ] {
        assert_eq!(truth(&format!(r#"{{"attribute":{},"exists":true}}"#, quote(path)), &context), expected, "{path}");
    }
}

#[test]
fn all_any_and_not_are_kleenes() {
    let context = Context::empty().with("a", 1);
    let parts = [
        (r#"{"attribute":"a","equals":1}"#, True),
        (r#"{"attribute":"a","equals":2}"#, False),
        (r#"{"attribute":"b","equals":1}"#, Unknown),
    ];
    for (one, p) in parts {
        assert_eq!(truth(&format!(r#"{{"not":{one}}}"#), &context), !p);
        for (other, q) in parts {
            let all = if [p, q].contains(&False) {
                False
            } else if [p, q].contains(&Unknown) {
                Unknown
            } else {
                True
            };
            let any = if [p, q].contains(&True) {
                True
            } else if [p, q].contains(&Unknown) {
                Unknown
            } else {
                False
            };
            assert_eq!(truth(&format!(r#"{{"all":[{one},{other}]}}"#), &context), all, "all {p:?} {q:?}");
            assert_eq!(truth(&format!(r#"{{"any":[{one},{other}]}}"#), &context), any, "any {p:?} {q:?}");
        }
    }
    assert_eq!((truth(r#"{"all":[]}"#, &context), truth(r#"{"any":[]}"#, &context)), (True, False));
}

#[test]
fn segments_are_not_excluded_and_included_or_matched() {
    let parts = |list: &str| [(String::new(), Some(false)), (format!(r#""{list}":["user"],"#), None)];
    let whens = [
        ("", False),
        (r#""when":{"attribute":"p","equals":1}"#, True),
        (r#""when":{"attribute":"p","equals":2}"#, False),
        (r#""when":{"attribute":"q","equals":1}"#, Unknown),
    ];
    for (key, listed) in [(Some("user"), True), (Some("other"), False), (None, Unknown)] {
        let context = key.map_or(Context::empty(), Context::new).with("p", 1);
        for (include, nobody) in parts("include") {
            let included = if nobody.is_some() { False } else { listed };
            for (exclude, nobody) in parts("exclude") {
                let excluded = if nobody.is_some() { False } else { listed };
                for (when, matched) in whens {
                    let member = match (included, matched) {
                        (True, _) | (_, True) => True,
                        (False, False) => False,
                        _ => Unknown,
                    };
                    let expected = match (!excluded, member) {
                        (False, _) | (_, False) => False,
                        (True, True) => True,
                        _ => Unknown,
                    };
                    let body = format!("{include}{exclude}{when}");
                    let sections = format!(r#""segments":{{"s":{{{}}}}},"#, body.trim_end_matches(','));
                    let on = |when: &str| {
                        is_on(
                            &snapshot(
                                &sections,
                                &format!(
                                    r#""salt":"s","rules":[{{"id":"r","when":{when},"serve":"on"}}],"default":"off""#
                                ),
                            ),
                            &context,
                        )
                    };
                    let found = match (on(r#"{"segment":"s"}"#), on(r#"{"not":{"segment":"s"}}"#)) {
                        (true, _) => True,
                        (_, true) => False,
                        _ => Unknown,
                    };
                    assert_eq!(found, expected, "{sections} of {context:?}");
                }
            }
        }
    }
}
