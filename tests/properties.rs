//! What must hold for every input: cohorts that only grow, fair and independent positions, readers that agree with
//! independent ones, no panic.
//!
//! The statistical tests run over fixed ids, so each either always passes or never; their bounds leave a right hash a
//! chance of about one in a thousand million to have failed when they were written.
#![cfg(not(target_arch = "wasm32"))]

mod support;

use flagstone::bucketing::{Use, position};
use flagstone::{Context, ExplainedStep, Finding, Pin, Pins, Snapshot, Step, Timestamp, Value};
use proptest::prelude::*;
use std::sync::LazyLock;
use support::*;

const USES: [Use; 4] = [Use::Ramp, Use::Split, Use::Layer, Use::Holdout];

/// So many random inputs. One that fails is printed, made small; it then belongs into a test of its own.
fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

// Cohorts.

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn raising_a_percent_moves_nobody_out(
        salt in "[^\\p{Cc}]{1,40}", keys in prop::collection::vec(".{0,40}", 1..50),
        mut percents in [0u32..=100_000, 0..=100_000],
    ) {
        percents.sort_unstable();
        let [low, high] = percents.map(|percent| ramp(&salt, percent));
        for key in keys {
            let context = Context::new(key);
            let stayed = !is_on(&low, &context) || is_on(&high, &context);
            prop_assert!(stayed, "{:?} left {:?}: {:?}", context, salt, percents);
        }
    }
}

#[test]
fn lowering_a_percent_moves_out_the_last_ones_in() {
    let ladder: Vec<Snapshot> = (0..=100).map(|step| ramp("ladder-1", step * 1_000)).collect();
    let contexts: Vec<Context> = (0..2_000).map(|number| Context::new(format!("user-{number}"))).collect();
    // On the way up everyone comes in at one step, and on the way down leaves at that very step.
    let came: Vec<usize> =
        contexts.iter().map(|context| ladder.iter().position(|ramp| is_on(ramp, context)).unwrap()).collect();
    for (step, ramp) in ladder.iter().enumerate().rev() {
        for (context, &came) in contexts.iter().zip(&came) {
            assert_eq!(is_on(ramp, context), came <= step, "{context:?} at {step} %");
        }
    }
}

#[test]
fn each_thousandth_of_a_percent_lets_in_the_users_of_one_position() {
    let keys = keys_by_position("steps-1", Use::Ramp);
    let context = |position: u32| Context::new(keys[position as usize].as_str());
    for percent in (0..100).chain((100..99_900).step_by(997)).chain(99_900..=100_000) {
        let ramp = ramp("steps-1", percent);
        assert!(percent == 0 || is_on(&ramp, &context(percent - 1)), "{percent}");
        assert!(percent == 100_000 || !is_on(&ramp, &context(percent)), "{percent}");
    }
    let smallest = ramp("steps-1", 1);
    let inside: Vec<usize> = (0..100_000).filter(|&position| is_on(&smallest, &context(position as u32))).collect();
    assert_eq!(inside, [0]);

    // One schedule goes through every percent, a thousandth each millisecond.
    let schedule = r#"{"before":0,"points":[[0,0],[100000,100000]],"linear":true}"#;
    let all = snapshot("", &format!(r#""salt":"steps-1","default":{{"ramp":{{"schedule":{schedule},"serve":"on"}}}}"#));
    for position in 0..100_000 {
        let served = |percent| all.at(Timestamp::from_millis(percent)).boolean("f", false, &context(position));
        let percent = i64::from(position);
        assert_eq!((served(percent), served(percent + 1)), (false, true), "{position}");
    }
}

#[test]
fn widening_an_audience_moves_nobody() {
    let rule = |countries: &str| {
        let serve = r#"{"ramp":{"percent":30000,"serve":{"split":[["a",20000],["b",60000],["c",100000]]}}}"#;
        load(format!(
            r#"{{{HEAD},"flags":{{"f":{{"type":"string","variants":{{"off":"","a":"a","b":"b","c":"c"}},"off":"off",
               "rules":[{{"id":"r","when":{{"attribute":"country","in":[{countries}]}},"serve":{serve}}}],
               "salt":"s","default":"off"}}}}}}"#
        ))
    };
    let audiences = [r#""DE""#, r#""DE","VN""#, r#""BR","DE","FR","VN""#].map(rule);
    let mut random = Random(1);
    let mut gained = [0; 3];
    for number in 0..20_000 {
        let country = ["DE", "VN", "FR", "BR", "US"][random.below(5) as usize];
        let context = Context::new(format!("user-{number}")).with("country", country);
        let served = audiences.each_ref().map(|snapshot| details(snapshot, &context).variant.unwrap());
        for (index, pair) in served.windows(2).enumerate() {
            if pair[0] == "off" {
                gained[index] += u32::from(pair[1] != "off");
            } else {
                assert_eq!(pair[0], pair[1], "{context:?}");
            }
        }
    }
    assert!(gained[0] > 1_000 && gained[1] > 2_000, "{gained:?}");
}

prop_compose! {
    fn schedule()(
        before in 0u32..=100_000,
        steps in prop::collection::vec((1i64..1_000_000, 0u32..=100_000), 1..6),
        start in -1_000_000i64..1_000_000, linear: bool, now in -2_000_000i64..8_000_000,
    ) -> (String, i64) {
        let mut at = start;
        let point = |(later, percent)| { at += later; format!("[{at},{percent}]") };
        let points: Vec<String> = steps.into_iter().map(point).collect();
        (format!(r#"{{"before":{before},"points":[{}],"linear":{linear}}}"#, points.join(",")), now)
    }
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn a_scheduled_percent_is_that_percent((schedule, now) in schedule(), first in 0u32..1_000_000) {
        let default = format!(r#"{{"ramp":{{"schedule":{schedule},"serve":"on"}}}}"#);
        let scheduled = snapshot("", &format!(r#""salt":"s","default":{default}"#));
        let now = Timestamp::from_millis(now);
        let Some(&Finding::Threshold { percent, .. }) = findings(&scheduled, now, &Context::new("user")).first() else {
            panic!("a ramp finds a threshold")
        };
        let fixed = ramp("s", percent);
        let users = (first..first + 100).map(|number| Context::new(format!("user-{number}")));
        for context in users.chain([Context::empty()]) {
            let of = |snapshot: &Snapshot| {
                let details = snapshot.at(now).details("f", &context);
                (details.variant.map(str::to_owned), details.reason, details.key_missing)
            };
            prop_assert_eq!(of(&scheduled), of(&fixed));
        }
    }
}

// Statistics.

/// The chi-square value with `freedom` degrees that lies as far out as a normal one at `sigmas` (Wilson and Hilferty).
fn chi_square(freedom: f64, sigmas: f64) -> f64 {
    let spread = 2.0 / (9.0 * freedom);
    freedom * (1.0 - spread + sigmas * spread.sqrt()).max(0.0).powi(3)
}

/// The bounds that chance oversteps in one of a thousand million cases each. Below the lower one, positions are too
/// even to be a hash's.
fn chi_square_bounds(freedom: f64) -> (f64, f64) {
    (chi_square(freedom, -6.0), chi_square(freedom, 6.0))
}

fn assert_chi_square(what: &str, value: f64, freedom: usize) {
    let (lower, upper) = chi_square_bounds(freedom as f64);
    assert!((lower..=upper).contains(&value), "{what}: chi-square {value:.1} is not within {lower:.1} and {upper:.1}");
}

#[test]
fn the_bounds_are_those_of_the_chi_square_distribution() {
    // From tables: what 1 in 1,000 (3.0902 sigma) exceeds.
    for (freedom, table) in [(10.0, 29.588), (80.0, 124.839), (100.0, 149.449), (1_000.0, 1_143.917)] {
        let value = chi_square(freedom, 3.090_2);
        assert!((value / table - 1.0).abs() < 0.01, "{freedom}: {value} instead of {table}");
    }
}

/// How far the counts are from being even.
fn chi_square_of_even(counts: &[u32]) -> f64 {
    let expected = f64::from(counts.iter().sum::<u32>()) / counts.len() as f64;
    counts.iter().map(|&count| (f64::from(count) - expected).powi(2) / expected).sum()
}

/// How far a table is from what its margins alone would make of it.
fn chi_square_of_table<const N: usize>(table: &[[u32; N]; N]) -> f64 {
    let sum = |counts: &mut dyn Iterator<Item = u32>| f64::from(counts.sum::<u32>());
    let total = sum(&mut table.iter().flatten().copied());
    let mut value = 0.0;
    for (i, row) in table.iter().enumerate() {
        for j in 0..N {
            let expected = sum(&mut row.iter().copied()) * sum(&mut table.iter().map(|row| row[j])) / total;
            value += (f64::from(table[i][j]) - expected).powi(2) / expected;
        }
    }
    value
}

fn assert_uniform(what: &str, mut id: impl FnMut(u64) -> String) {
    let mut fine = vec![0u32; 100_000];
    for number in 0..1_000_000 {
        fine[position("uniform-1", Use::Ramp, &id(number)) as usize] += 1;
    }
    let coarse: Vec<u32> = fine.chunks(1_000).map(|counts| counts.iter().sum()).collect();
    assert_chi_square(&format!("{what}, by position"), chi_square_of_even(&fine), fine.len() - 1);
    assert_chi_square(&format!("{what}, by percent"), chi_square_of_even(&coarse), coarse.len() - 1);
}

#[test]
fn positions_of_sequential_ids_are_uniform() {
    assert_uniform("user-N", |number| format!("user-{number}"));
}

#[test]
fn positions_of_bare_numbers_are_uniform() {
    assert_uniform("N", |number| number.to_string());
}

#[test]
fn positions_of_uuids_are_uniform() {
    let mut random = Random(2);
    assert_uniform("UUIDs", |_| random.uuid());
}

/// The bounds hold for the positions of `a` against those of `b`, in tenths and as cohorts of 25 %.
fn assert_independent(what: &str, a: impl Fn(&str) -> u32, b: impl Fn(&str) -> u32) {
    let (mut tenths, mut cohorts) = ([[0; 10]; 10], [[0; 2]; 2]);
    for number in 0..200_000 {
        let key = format!("user-{number}");
        let (a, b) = (a(&key), b(&key));
        tenths[a as usize / 10_000][b as usize / 10_000] += 1;
        cohorts[usize::from(a < 25_000)][usize::from(b < 25_000)] += 1;
    }
    // Two rows and two columns leave one degree of freedom, for which an even table is no wonder.
    let value = chi_square_of_table(&cohorts);
    assert!(value < chi_square_bounds(1.0).1, "{what}, cohorts of 25 %: chi-square {value:.1}, {cohorts:?}");
    assert_chi_square(&format!("{what}, tenths"), chi_square_of_table(&tenths), 81);
}

#[test]
fn cohorts_of_two_flags_are_independent() {
    for (one, other) in [("flag-1", "flag-2"), ("flag-1", "flag-11"), ("a", "b"), ("checkout", "checkout ")] {
        let of = |salt: &'static str| move |key: &str| position(salt, Use::Ramp, key);
        assert_independent(&format!("{one:?} and {other:?}"), of(one), of(other));
    }
}

#[test]
fn ramp_split_layer_and_holdout_of_one_salt_are_independent() {
    for (index, one) in USES.into_iter().enumerate() {
        for other in &USES[index + 1..] {
            let of = |r#use: Use| move |key: &str| position("flag-1", r#use, key);
            assert_independent(&format!("{one:?} and {other:?}"), of(one), of(*other));
        }
    }
}

#[test]
fn the_statistics_notice_what_is_not_independent_or_not_uniform() {
    let fails = |test: &dyn Fn()| std::panic::catch_unwind(std::panic::AssertUnwindSafe(test)).is_err();
    let of = |key: &str| position("flag-1", Use::Ramp, key);
    assert!(fails(&|| assert_independent("the same", of, of)));
    assert!(fails(&|| assert_independent("one in 20 the same", of, |key| {
        if position("flag-3", Use::Ramp, key) < 5_000 { of(key) } else { position("flag-2", Use::Ramp, key) }
    })));
    assert!(fails(&|| assert_chi_square("sequence", chi_square_of_even(&[10_000; 100]), 99)));
    let mut lopsided = [10_000; 100];
    lopsided[7] += 1_500;
    assert!(fails(&|| assert_chi_square("lopsided", chi_square_of_even(&lopsided), 99)));
}

#[test]
fn shares_match_weights() {
    const USERS: u32 = 200_000;
    for bounds in [
        vec![50_000, 100_000],
        vec![33_333, 66_666, 100_000],
        vec![1, 100_000],
        vec![90_000, 99_000, 99_900, 100_000],
        vec![0, 70_000, 70_000, 100_000],
    ] {
        let part = |(index, bound): (usize, &u32)| format!(r#"["{index}",{bound}]"#);
        let parts: Vec<String> = bounds.iter().enumerate().map(part).collect();
        let variants: Vec<String> = (0..bounds.len()).map(|index| format!(r#""{index}":{index}"#)).collect();
        let snapshot = load(format!(
            r#"{{{HEAD},"flags":{{"f":{{"type":"number","variants":{{{}}},"off":"0","salt":"shares-1",
               "default":{{"split":[{}]}}}}}}}}"#,
            variants.join(","),
            parts.join(",")
        ));
        let mut counts = vec![0u32; bounds.len()];
        for number in 0..USERS {
            let context = Context::new(format!("user-{number}"));
            counts[snapshot.at(now()).number("f", f64::NAN, &context) as usize] += 1;
        }
        let mut before = 0;
        for (&bound, &count) in bounds.iter().zip(&counts) {
            let share = f64::from(bound - before) / 100_000.0;
            let (expected, sigma) = (share * f64::from(USERS), (share * (1.0 - share) * f64::from(USERS)).sqrt());
            assert!((f64::from(count) - expected).abs() <= 4.0 * sigma, "{bounds:?}: {counts:?}");
            before = bound;
        }
    }
}

// The JSON reader against serde_json's.

/// A JSON document as `serde_json` reads it, with members that occur twice kept.
#[derive(Clone, Debug)]
enum Json {
    Null,
    Boolean(bool),
    Number(f64),
    String(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl<'de> serde::Deserialize<'de> for Json {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Json;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("JSON")
            }
            fn visit_unit<E>(self) -> Result<Json, E> {
                Ok(Json::Null)
            }
            fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
                Ok(Json::Boolean(value))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
                Ok(Json::Number(value as f64))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
                Ok(Json::Number(value as f64))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
                Ok(Json::Number(value))
            }
            fn visit_str<E>(self, value: &str) -> Result<Json, E> {
                Ok(Json::String(value.to_owned()))
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut elements: A) -> Result<Json, A::Error> {
                let mut list = Vec::new();
                while let Some(element) = elements.next_element()? {
                    list.push(element);
                }
                Ok(Json::List(list))
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
                let mut object = Vec::new();
                while let Some(member) = members.next_entry()? {
                    object.push(member);
                }
                Ok(Json::Object(object))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl Json {
    /// The context that an object is; `None` where a member occurs twice or it is no object.
    fn context(&self) -> Option<Context> {
        let Json::Object(members) = self else { return None };
        let mut context = Context::empty();
        for (index, (name, value)) in members.iter().enumerate() {
            if members[..index].iter().any(|(other, _)| other == name) {
                return None;
            }
            context = context.with(name, value.value()?);
        }
        Some(context)
    }

    fn value(&self) -> Option<Value> {
        Some(match self {
            Json::Null => Value::Null,
            Json::Boolean(value) => (*value).into(),
            Json::Number(value) => (*value).into(),
            Json::String(value) => value.as_str().into(),
            Json::List(elements) => Value::List(elements.iter().map(Json::value).collect::<Option<_>>()?),
            Json::Object(_) => self.context()?.into(),
        })
    }
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::Value as Json;
    let number = prop_oneof![
        any::<f64>().prop_filter_map("finite", serde_json::Number::from_f64),
        any::<i64>().prop_map(serde_json::Number::from),
        any::<u64>().prop_map(serde_json::Number::from),
    ];
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        number.prop_map(Json::Number),
        any::<String>().prop_map(Json::from),
        "[\"\\\\\u{0}-\u{20}ué😀]{0,6}".prop_map(Json::from),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Json::from),
            prop::collection::vec((any::<String>(), inner), 0..6)
                .prop_map(|members| Json::Object(members.into_iter().collect())),
        ]
    })
}

/// A JSON text, and the bytes to change in it.
type Mutations = Vec<(prop::sample::Index, u8, u8)>;

/// Overwrites, inserts and removes bytes, some of them those that mean something in JSON.
fn mutate(text: &str, mutations: &Mutations) -> Option<String> {
    const MEANINGFUL: &[u8] = b"{}[]:,\"\\/bfnrtu0123456789eE.+-truefalsn \t\n\r\x00\x0b\x0c\x7f";
    let mut bytes = text.as_bytes().to_vec();
    for (at, kind, byte) in mutations {
        let at = at.index(bytes.len() + 1);
        let byte = if kind & 8 == 0 { MEANINGFUL[usize::from(*byte) % MEANINGFUL.len()] } else { *byte };
        match kind % 4 {
            0 => bytes.insert(at, byte),
            1 if at < bytes.len() => drop(bytes.remove(at)),
            2 if at < bytes.len() => bytes[at] = byte,
            3 => bytes.truncate(at),
            _ => {}
        }
    }
    String::from_utf8(bytes).ok()
}

/// Whether both readers say the same of a text, but for where they mean to differ: a context has an object at its top
/// and no member twice (RFC 7493), a number past the largest double counts as missing, and so does half of a surrogate
/// pair, which is JSON.
fn compare(text: &str) -> Result<Option<Context>, TestCaseError> {
    let ours = Context::from_json(text);
    match serde_json::from_str::<Json>(text) {
        Ok(json) => {
            let theirs = json.context();
            prop_assert_eq!(ours.as_ref().ok(), theirs.as_ref(), "{}", text);
        }
        Err(error) if error.to_string().contains("number out of range") => {}
        Err(_) if text.to_ascii_lowercase().contains("\\ud") => {}
        Err(error) => prop_assert!(ours.is_err(), "serde_json says {}, we read {:?} as {:?}", error, text, ours),
    }
    Ok(ours.ok())
}

proptest! {
    #![proptest_config(cases(2_000))]

    #[test]
    fn json_is_read_as_serde_json_reads_it(json in json(), pretty: bool) {
        let object = serde_json::json!({"a": json});
        let text = if pretty { serde_json::to_string_pretty(&object) } else { serde_json::to_string(&object) }.unwrap();
        prop_assert!(compare(&text)?.is_some());
        compare(&json.to_string())?;
        // Every character as an escape, upper case and lower.
        let escaped: String = json.to_string().encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
        let upper = escaped.to_uppercase().replace("\\U", "\\u");
        let context = compare(&format!(r#"{{"a":"{escaped}","\u0062":"{upper}"}}"#))?.unwrap();
        let expected = Value::from(json.to_string());
        prop_assert_eq!((context.get("a"), context.get("b")), (Some(&expected), Some(&expected)));
    }

    #[test]
    fn damaged_json_is_judged_as_serde_json_judges_it(json in json(), mutations: Mutations) {
        if let Some(text) = mutate(&serde_json::json!({"a": json, "b": [1.5e-3, "x\n"]}).to_string(), &mutations) {
            compare(&text)?;
        }
    }

    #[test]
    fn text_that_looks_like_json_is_judged_as_serde_json_judges_it(
        tokens in prop::collection::vec(prop::sample::select(vec![
            "{", "}", "[", "]", ":", ",", "\"a\"", "\"\"", "\"\\u00e9\"", "0", "-", "1", ".5", "e9", "E+1", "true",
            "false", "null", " ", "\n", "\u{feff}", "nul", "'", "//",
        ]), 0..12),
    ) {
        compare(&tokens.concat())?;
        compare(&format!("{{\"a\":{}}}", tokens.concat()))?;
    }
}

#[test]
fn where_the_json_readers_mean_to_differ() {
    let read = |json: &str| Context::from_json(json).map(|context| context.get("a").cloned());
    for half in ["\\ud800", "x\\udc00y", "\\ud800\\ud800", "\\ud800\\u0041", "\\uDBFF\\n", "\\udc00\\ud800"] {
        assert_eq!(read(&format!(r#"{{"a":"{half}"}}"#)), Ok(Some(Value::Null)), "{half}");
        let nested = Value::List(vec![Value::Null, Value::Number(1.0)]);
        assert_eq!(read(&format!(r#"{{"a":["{half}",1]}}"#)), Ok(Some(nested)), "{half}");
        // A name that is no text: no path leads there.
        let context = Context::from_json(&format!(r#"{{"{half}":1,"b":2,"{half}":{{"c":3}}}}"#));
        assert_eq!(context, Ok(Context::empty().with("b", 2)), "{half}");
    }
    assert_eq!(read(r#"{"a":"\ud83d\ude00"}"#), Ok(Some("😀".into())));
    assert_eq!(read(r#"{"a":1e999}"#), Ok(Some(f64::INFINITY.into())));

    let nested = |depth: usize| format!(r#"{{"a":{}{}}}"#, "[".repeat(depth - 1), "]".repeat(depth - 1));
    assert!(Context::from_json(&nested(128)).is_ok());
    let error = Context::from_json(&nested(129)).unwrap_err().to_string();
    assert!(error.ends_with(": nested deeper than 128 (at byte 133)"), "{error}");
    let error = Context::from_json(r#"{"a":[1,{"b":0,"b":1}]}"#).unwrap_err().to_string();
    assert!(error.ends_with(": `b` stands twice in one object (at byte 8)"), "{error}");
}

// Instants against jiff's.

proptest! {
    #![proptest_config(cases(5_000))]

    #[test]
    fn instants_are_printed_and_read_as_jiff_does(millis in -62_167_219_200_000i64..=253_402_207_200_999, whole: bool) {
        let millis = if whole { millis - millis.rem_euclid(1_000) } else { millis };
        let (ours, theirs) = (Timestamp::from_millis(millis), jiff::Timestamp::from_millisecond(millis).unwrap());
        let printed = if millis % 1_000 == 0 { theirs.to_string() } else { format!("{theirs:.3}") };
        prop_assert_eq!(ours.to_string(), printed.as_str());
        prop_assert_eq!(printed.parse(), Ok(ours));
    }

    #[test]
    fn instants_are_accepted_and_refused_as_jiff_does(
        (year, month, day) in (1u16..=9998, 0u8..=13, 0u8..=32),
        (hour, minute, second) in (0u8..=24, 0u8..=60, 0u8..=59),
        fraction in "(\\.[0-9]{1,9})?", zone in "([Zz]|[+-]([01][0-9]|2[0-3]):[0-6][0-9])", separator in "[Tt ]",
    ) {
        let text = format!("{year:04}-{month:02}-{day:02}{separator}{hour:02}:{minute:02}:{second:02}{fraction}{zone}");
        prop_assert_eq!(text.parse::<Timestamp>().ok(), by_jiff(&text), "{}", text);
    }

    #[test]
    fn damaged_instants_are_never_read_as_another(
        text in prop::sample::select(vec![
            "2024-02-29T23:59:59.123456789+05:30", "1999-12-31T00:00:00Z", "0001-01-01 08:30:59.5-11:45",
        ]),
        mutations: Mutations,
    ) {
        if let Some(text) = mutate(text, &mutations) && let Ok(ours) = text.parse::<Timestamp>() {
            // Unlike jiff we read a leap second as RFC 3339 and POSIX have it, and fractions of any length.
            let leap = text.as_bytes()[17..19] == *b"60";
            prop_assert!(leap || by_jiff(&shorten(&text)) == Some(ours), "{} is read as {}", text, ours);
        }
    }
}

/// The same with at most nine digits of fraction.
fn shorten(text: &str) -> String {
    let digits = text[19..].strip_prefix('.').map_or(0, |rest| rest.bytes().take_while(u8::is_ascii_digit).count());
    if digits > 9 { [&text[..29], &text[20 + digits..]].concat() } else { text.to_owned() }
}

/// In whole milliseconds, cut off towards the past.
fn by_jiff(text: &str) -> Option<Timestamp> {
    let instant: jiff::Timestamp = text.parse().ok()?;
    Some(Timestamp::from_millis(i64::try_from(instant.as_nanosecond().div_euclid(1_000_000)).unwrap()))
}

#[test]
fn where_instants_mean_to_differ_from_jiff() {
    let read = |text: &str| text.parse::<Timestamp>().map(|instant| instant.to_string()).ok();
    assert_eq!(read("2016-12-31T23:59:60Z").as_deref(), Some("2017-01-01T00:00:00Z"));
    assert_eq!(read("2025-01-10T08:00:00.12345678901234Z").as_deref(), Some("2025-01-10T08:00:00.123Z"));
    assert_eq!(read("9999-12-31T23:59:59.999Z").as_deref(), Some("9999-12-31T23:59:59.999Z"));
    // What jiff reads and RFC 3339 does not have.
    for text in [
        "2025-01-10",
        "2025-01-10T08:00:00",
        "2025-01-10T08:00Z",
        "2025-01-10T08Z",
        "20250110T080000Z",
        "2025-01-10T08:00:00,5Z",
        "2025-01-10T08:00:00+01",
        "2025-01-10T08:00:00+0100",
        "2025-01-10T08:00:00+24:00",
        "2025-01-10T08:00:00Z[Europe/Berlin]",
        "+002025-01-10T08:00:00Z",
        " 2025-01-10T08:00:00Z",
        "2025-01-10T08:00:00Z ",
        "2025-01-10T08:00:00.Z",
        "2025-01-10T08:00:61Z",
        "",
    ] {
        assert_eq!(read(text), None, "{text}");
    }
}

// Programs of regular expressions against FORMAT.md, followed step by step.

/// An instruction: ranges of characters and one place, or none and two.
#[derive(Clone, Debug)]
struct Instruction {
    unless: u32,
    ranges: Vec<(char, char)>,
    to: [usize; 2],
}

prop_compose! {
    fn program()(
        instructions in prop::collection::vec(
            (
                prop_oneof![3 => Just(0u32), 1 => 0..1u32 << 25],
                prop::sample::select(vec![
                    vec![],
                    vec![('a', 'a')],
                    vec![('b', 'c'), ('_', '_')],
                    vec![('\0', '\u{10ffff}')],
                    vec![('\n', '\n'), ('é', '😀')],
                ]),
                any::<[u8; 2]>(),
            ),
            0..90,
        ),
    ) -> Vec<Instruction> {
        let length = instructions.len();
        let place = |here: usize, reads: bool, to: u8| match reads {
            // Near by or anywhere.
            true if to < 200 => (here + usize::from(to % 4)).saturating_sub(1).min(length),
            true => usize::from(to) % (length + 1),
            false if to < 200 => (here + 1 + usize::from(to % 3)).min(length),
            false => here + 1 + usize::from(to) % (length - here),
        };
        let instructions = instructions.into_iter().enumerate();
        instructions.map(|(here, (unless, ranges, to))| {
            let to = to.map(|to| place(here, !ranges.is_empty(), to));
            Instruction { unless, ranges, to }
        }).collect()
    }
}

/// Whether the program matches, with every way followed on its own.
fn matches(program: &[Instruction], text: &[char]) -> bool {
    let side = |character: Option<&char>| match character {
        None => 0,
        Some('\n') => 1,
        Some('\r') => 2,
        Some(character) if character.is_ascii_alphanumeric() || *character == '_' => 3,
        Some(_) => 4,
    };
    let mut open = vec![(0, 0)];
    let mut seen = std::collections::HashSet::new();
    while let Some((place, at)) = open.pop() {
        if !seen.insert((place, at)) {
            continue;
        }
        let Some(Instruction { unless, ranges, to }) = program.get(place) else { return true };
        let after = text.get(at);
        let before = at.checked_sub(1).and_then(|before| text.get(before));
        if ranges.is_empty() {
            if unless >> (5 * side(before) + side(after)) & 1 == 0 {
                open.extend(to.map(|to| (to, at)));
            }
        } else if after.is_some_and(|after| ranges.iter().any(|(first, last)| (first..=last).contains(&after))) {
            open.push((to[0], at + 1));
        }
    }
    false
}

proptest! {
    #![proptest_config(cases(4_096))]

    #[test]
    fn programs_do_what_the_format_says(
        program in program(),
        texts in prop::collection::vec(prop::collection::vec(prop::sample::select(vec!['a', 'b', 'c', '_', '\n', '\r', 'é', '😀', '-']), 0..12), 4),
    ) {
        let mut numbers: Vec<i64> = Vec::new();
        for (here, Instruction { unless, ranges, to }) in program.iter().enumerate() {
            let to = to.map(|to| to as i64 - here as i64);
            match ranges.len() {
                0 => numbers.extend([0, i64::from(*unless), to[0], to[1]]),
                count => {
                    numbers.extend([count as i64, to[0]]);
                    numbers.extend(ranges.iter().flat_map(|&(first, last)| [i64::from(first as u32), i64::from(last as u32)]));
                }
            }
        }
        let when = r#"{"attribute":"text","matches":["p"]}"#;
        let rules = format!(r#""salt":"s","rules":[{{"id":"r","when":{when},"serve":"on"}}],"default":"off""#);
        let snapshot = snapshot(&format!(r#""patterns":{{"p":{numbers:?}}},"#), &rules);
        for text in texts {
            let context = Context::empty().with("text", String::from_iter(&text));
            prop_assert_eq!(is_on(&snapshot, &context), matches(&program, &text), "{:?}", text);
        }
    }
}

// Every context against a snapshot that uses everything.

static SNAPSHOT: LazyLock<Snapshot> = LazyLock::new(|| load(EVERYTHING));

/// Names and values that the conditions of that snapshot ask for, and others.
fn context() -> impl Strategy<Value = Context> {
    let text = prop_oneof![
        prop::sample::select(vec![
            "pro",
            "PRO",
            "DE",
            "vn",
            "a@example.com",
            "A@EXAMPLE.org",
            "1",
            "v1",
            "1.4.2",
            "1.0.0-beta.1",
            "5.0",
            "10.1.2.3",
            "2001:db8::1",
            "::ffff:10.0.0.1",
            "beta",
            "staff",
            "user-1",
            "user-5",
            "a-1",
            "a-2",
            "2026-01-01T00:00:00Z",
            "",
            "7",
        ])
        .prop_map(str::to_owned),
        any::<String>(),
    ];
    let leaf = prop_oneof![
        4 => text.prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        1 => (-10i32..10_000).prop_map(Value::from),
        1 => any::<i64>().prop_map(|millis| Value::from(Timestamp::from_millis(millis))),
        1 => Just(Value::Null),
    ];
    let value = leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::List),
            prop::collection::vec((prop::sample::select(vec!["id", "c", "b", "x"]), inner), 0..4).prop_map(|members| {
                members.into_iter().fold(Context::empty(), |context, (name, value)| context.with(name, value)).into()
            }),
        ]
    });
    let name = prop_oneof![
        9 => prop::sample::select(vec![
            "targetingKey", "account", "staff", "country", "plan", "email", "age", "signedUp", "version", "groups", "ip",
            "a.b", "mind", "secret",
        ]).prop_map(str::to_owned),
        1 => any::<String>(),
    ];
    prop::collection::vec((name, value), 0..12).prop_map(|members| {
        members.into_iter().fold(Context::empty(), |context, (name, value)| context.with(name, value))
    })
}

fn pins() -> impl Strategy<Value = Pins> {
    let flag =
        prop::sample::select(vec!["operators", "steps", "linear", "old", "hashed", "killed", "disabled", "newer"]);
    let pin = prop_oneof![Just(Pin::Off), "(on|off|one|0|nowhere)".prop_map(Pin::Variant)];
    prop::collection::vec((flag, pin), 0..3)
        .prop_map(|pins| pins.into_iter().fold(Pins::default(), |pins, (flag, pin)| pins.with(flag, pin)))
}

proptest! {
    #![proptest_config(cases(3_000))]

    #[test]
    fn every_context_gets_an_answer_and_its_explanation_agrees(
        context in context(), pins in pins(),
        now in prop_oneof![any::<i64>(), 1_736_400_000_000i64..1_737_800_000_000].prop_map(Timestamp::from_millis),
    ) {
        let snapshot = &*SNAPSHOT;
        let flags = snapshot.at(now).with_pins(&pins);
        let all: Vec<_> = flags.all(&context).collect();
        prop_assert_eq!(all.len(), snapshot.flags().len());
        for (flag, evaluation) in snapshot.flags().zip(all) {
            prop_assert_eq!(&flags.details(flag, &context), &evaluation);
            prop_assert_eq!(evaluation.value.is_some(), evaluation.error_code.is_none());
            prop_assert_eq!(evaluation.error_message().is_some(), evaluation.error_code.is_some());
            let explanation = flags.explain(flag, &context).unwrap();
            prop_assert_eq!(&explanation.evaluation, &evaluation);

            // Of each flag on the way it is the last step that decided, and no other.
            let steps = explanation.steps;
            let own: Vec<_> = steps.iter().filter(|step| step.depth == 0).collect();
            let (last, others) = own.split_last().unwrap();
            prop_assert!(own.iter().all(|step| step.flag == flag));
            prop_assert!(last.decided && Some(last.step) == evaluation.step, "{:?}", steps);
            prop_assert!(others.iter().all(|step| !step.decided), "{:?}", steps);
            prop_assert_eq!(steps[0].step, Step::OffPin);
            let count = |is: &dyn Fn(&ExplainedStep) -> bool| steps.iter().filter(|step| is(step)).count();
            prop_assert_eq!(count(&|step| step.step == Step::OffPin), count(&|step| step.decided), "{:?}", steps);
        }
        for wrong in ["", "no such flag", "operators "] {
            prop_assert!(flags.details(wrong, &context).value.is_none() && flags.explain(wrong, &context).is_none());
        }
    }

    #[test]
    fn the_clock_changes_nothing_before_the_instant_it_names(
        context in context(), now in 1_736_400_000_000i64..1_737_800_000_000, share in 0.0..1.0,
    ) {
        let snapshot = &*SNAPSHOT;
        for evaluation in snapshot.at(Timestamp::from_millis(now)).all(&context) {
            let until = evaluation.until.map_or(now + 86_400_000, Timestamp::as_millis);
            let later = now + ((until - 1 - now) as f64 * share) as i64;
            let later = snapshot.at(Timestamp::from_millis(later)).details(&evaluation.flag, &context);
            let served = (evaluation.value, evaluation.reason, evaluation.rule);
            prop_assert_eq!((later.value, later.reason, later.rule), served);
        }
    }
}
