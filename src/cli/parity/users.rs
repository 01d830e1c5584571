//! The users that every runtime evaluates for: contexts as JSON, from the seed.
//!
//! What a context can hold and JSON cannot say, each runtime builds from an object with the member [`TAG`]:
//!
//! | JSON | value |
//! |---|---|
//! | `{"$flagstone": "date", "millis": 1767225600000}` | a date; without `millis`, JavaScript's invalid date |
//! | `{"$flagstone": "NaN"}`, `"Infinity"`, `"-Infinity"` | numbers that are not finite |
//! | `{"$flagstone": "undefined"}` | `undefined` |

use super::random::Random;
use flagstone::{Context, Timestamp, Value};
use std::fmt::Write;

/// Marks a value that JSON cannot say.
const TAG: &str = "$flagstone";

/// An attribute's value.
#[derive(Clone, Debug)]
enum Sample {
    Null,
    Boolean(bool),
    /// A number as JSON writes it: `1.0` and `1`, `-0`, `1e400`.
    Number(String),
    Text(String),
    /// A JSON string with half of a surrogate pair.
    IllFormed(&'static str),
    /// Milliseconds since 1970; `None` for an invalid date.
    Date(Option<i64>),
    /// `NaN`, `Infinity`, `-Infinity` or `undefined`.
    Unsayable(&'static str),
    List(Vec<Sample>),
    Object(Vec<(&'static str, Sample)>),
}

/// A user: attributes by name.
#[derive(Clone, Debug)]
pub(super) struct User {
    attributes: Vec<(&'static str, Sample)>,
}

impl User {
    /// The user with this number.
    pub(super) fn generate(seed: u64, number: u64) -> User {
        // Streams of users begin at 1: 0 is the snapshot's.
        let random = &mut Random::stream(seed, number + 1);
        let mut attributes = Vec::new();
        for (name, usual) in ATTRIBUTES {
            match random.below(100) {
                0..=9 => {}
                10..=17 => attributes.push((*name, odd(random, 2))),
                _ => attributes.push((*name, usual(random, number))),
            }
        }
        User { attributes }
    }

    /// Appends the context as a JSON object.
    pub(super) fn write_json(&self, json: &mut String) {
        write_members(json, &self.attributes);
    }

    pub(super) fn json(&self) -> String {
        let mut json = String::new();
        self.write_json(&mut json);
        json
    }

    /// The context as a native caller has it: read from the JSON where JSON can say it, else built.
    pub(super) fn context(&self) -> Context {
        if self.attributes.iter().any(|(_, sample)| sample.is_tagged()) {
            return self.built();
        }
        Context::from_json(&self.json()).expect("a generated context is a JSON object")
    }

    fn built(&self) -> Context {
        object(&self.attributes)
    }
}

impl Sample {
    fn is_tagged(&self) -> bool {
        match self {
            Sample::Date(_) | Sample::Unsayable(_) => true,
            Sample::List(elements) => elements.iter().any(Sample::is_tagged),
            Sample::Object(members) => members.iter().any(|(_, sample)| sample.is_tagged()),
            _ => false,
        }
    }

    fn write_json(&self, json: &mut String) {
        match self {
            Sample::Null => json.push_str("null"),
            Sample::Boolean(boolean) => json.push_str(if *boolean { "true" } else { "false" }),
            Sample::Number(text) => json.push_str(text),
            Sample::Text(text) => json.push_str(&serde_json::Value::from(text.as_str()).to_string()),
            Sample::IllFormed(text) => json.push_str(text),
            Sample::Date(Some(millis)) => {
                let _ = write!(json, r#"{{"{TAG}":"date","millis":{millis}}}"#);
            }
            Sample::Date(None) => {
                let _ = write!(json, r#"{{"{TAG}":"date"}}"#);
            }
            Sample::Unsayable(name) => {
                let _ = write!(json, r#"{{"{TAG}":"{name}"}}"#);
            }
            Sample::List(elements) => {
                json.push('[');
                for (index, element) in elements.iter().enumerate() {
                    if index > 0 {
                        json.push(',');
                    }
                    element.write_json(json);
                }
                json.push(']');
            }
            Sample::Object(members) => write_members(json, members),
        }
    }

    fn value(&self) -> Value {
        match self {
            Sample::Null | Sample::IllFormed(_) | Sample::Date(None) | Sample::Unsayable("undefined") => Value::Null,
            Sample::Boolean(boolean) => Value::Boolean(*boolean),
            Sample::Number(text) => Value::Number(text.parse().expect("a JSON number")),
            Sample::Text(text) => Value::String(text.clone()),
            Sample::Date(Some(millis)) => Value::Date(Timestamp::from_millis(*millis)),
            Sample::Unsayable("NaN") => Value::Number(f64::NAN),
            Sample::Unsayable("-Infinity") => Value::Number(f64::NEG_INFINITY),
            Sample::Unsayable(_) => Value::Number(f64::INFINITY),
            Sample::List(elements) => Value::List(elements.iter().map(Sample::value).collect()),
            Sample::Object(members) => object(members).into(),
        }
    }
}

fn object(members: &[(&'static str, Sample)]) -> Context {
    members.iter().fold(Context::empty(), |context, (name, sample)| context.with(*name, sample.value()))
}

fn write_members(json: &mut String, members: &[(&'static str, Sample)]) {
    json.push('{');
    for (index, (name, sample)) in members.iter().enumerate() {
        if index > 0 {
            json.push(',');
        }
        json.push_str(&serde_json::Value::from(*name).to_string());
        json.push(':');
        sample.write_json(json);
    }
    json.push('}');
}

type Usual = fn(&mut Random, u64) -> Sample;

/// The attributes, and what they usually hold. The last ones are called as members that JavaScript's objects have anyway.
const ATTRIBUTES: &[(&str, Usual)] = &[
    ("targetingKey", key),
    ("case", |random, _| number(random.below(12))),
    ("country", |random, _| text(random.pick(COUNTRIES))),
    ("plan", |random, _| text(random.pick(PLANS))),
    ("email", |random, _| text(random.pick(EMAILS))),
    ("bio", |random, _| bio(random)),
    ("age", |random, _| Sample::Number(random.pick(NUMBERS).to_owned())),
    ("staff", |random, _| Sample::Boolean(random.percent(40))),
    ("appVersion", |random, _| text(random.pick(VERSIONS))),
    ("signedUp", signed_up),
    ("groups", |random, _| groups(random)),
    ("ip", |random, _| text(random.pick(ADDRESSES))),
    ("account", account),
    (
        "a.b",
        |random, number| if random.percent(50) { text(&format!("dotted-{}", number % 97)) } else { odd(random, 1) },
    ),
    ("ключ-😀", |random, _| text(random.pick(PLANS))),
    ("constructor", |random, _| text(random.pick(PLANS))),
    ("__proto__", |random, _| {
        Sample::Object(vec![("plan", text(random.pick(PLANS))), ("polluted", Sample::Boolean(true))])
    }),
    ("toString", |random, _| text(random.pick(PLANS))),
    ("length", |random, _| number(random.below(4))),
];

fn text(text: &str) -> Sample {
    Sample::Text(text.to_owned())
}

fn number(number: u64) -> Sample {
    Sample::Number(number.to_string())
}

/// Whom the user is: mostly an id of its own, often one that lists name, sometimes what is no key or a strange one.
fn key(random: &mut Random, user: u64) -> Sample {
    match random.below(100) {
        0..=44 => Sample::Text(format!("user-{user}")),
        45..=64 => Sample::Text(format!("user-{}", random.below(60))),
        65..=72 => {
            let mut hex = || random.below(1 << 32);
            Sample::Text(format!(
                "{:08x}-{:04x}-4{:03x}-a{:03x}-{:08x}0000",
                hex(),
                hex() >> 16,
                hex() >> 20,
                hex() >> 20,
                hex()
            ))
        }
        73..=78 => number(user),
        79..=86 => Sample::Number(random.pick(NUMBERS).to_owned()),
        87..=93 => text(random.pick(STRANGE_TEXTS)),
        94..=95 => long(random),
        _ => odd(random, 1),
    }
}

const COUNTRIES: &[&str] = &[
    "DE",
    "de",
    "De",
    "VN",
    "vn",
    "",
    "FR",
    "Đà Nẵng",
    "đà nẵng",
    "ß",
    "ẞ",
    "SS",
    "İ",
    "i",
    "I",
    "ı",
    "K",
    "\u{212a}",
    "k",
];
const PLANS: &[&str] = &[
    "pro",
    "PRO",
    "free",
    "enterprise",
    "pro ",
    "p\u{0}ro",
    "👩‍💻",
    "e\u{301}",
    "é",
    "\u{feff}pro",
    "\u{ffff}",
    "\u{10ffff}",
];
const EMAILS: &[&str] = &[
    "ada@example.com",
    "Ada@Example.COM",
    "grace@example.org",
    "test+1@example.com",
    "@example.com",
    "example.com",
    "ngày@example.vn",
    "😀@example.com",
    "x",
    "",
];
/// Numbers as JSON writes them, each several ways where it has them.
const NUMBERS: &[&str] = &[
    "0",
    "-0",
    "0.0",
    "-0.0",
    "1",
    "1.0",
    "-1",
    "17",
    "18",
    "18.0",
    "18.5",
    "1.8e1",
    "17.999999999999996",
    "18.000000000000004",
    "65",
    "0.1",
    "0.30000000000000004",
    "0.3",
    "-17.25",
    "2147483647",
    "2147483648",
    "-2147483649",
    "4294967296",
    "9007199254740991",
    "9007199254740992",
    "9007199254740993",
    "-9007199254740991",
    "-9007199254740992",
    "1e21",
    "1e22",
    "1e23",
    "123456789012345678901234567890",
    "1.7976931348623157e308",
    "1e400",
    "-1e400",
    "5e-324",
    "2e-324",
    "2.2250738585072011e-308",
    "1736496000000",
    "1736495999999.9",
];
const VERSIONS: &[&str] = &[
    "1.2.3",
    "v1.2.3",
    "1.2",
    "1",
    "v2",
    "2.0.0",
    "2.0.0-alpha",
    "2.0.0-alpha.1",
    "2.0.0-alpha.beta",
    "2.0.0-rc.1",
    "2.0.0-rc.1+build.5",
    "2.0.0+build",
    "2.1.0-beta",
    "1.10.0",
    "1.9.9",
    "0.0.0",
    "01.2.3",
    "1.2.3.4",
    "1.2.x",
    "",
    "V1.2.3",
    "1.2-rc.1",
    "18446744073709551615.0.0",
    "18446744073709551616.0.0",
    "1.2.3-00",
    " 1.2.3",
    "１.2.3",
];
const ADDRESSES: &[&str] = &[
    "10.0.0.1",
    "10.255.255.255",
    "11.0.0.0",
    "192.168.1.77",
    "127.0.0.1",
    "0.0.0.0",
    "255.255.255.255",
    "::ffff:10.1.2.3",
    "::ffff:a01:203",
    "2001:db8::1",
    "2001:DB8:0:0:0:0:0:2",
    "2001:db9::",
    "::",
    "::1",
    "fe80::1%eth0",
    "10.0.0",
    "10.0.0.256",
    "010.0.0.1",
    " 10.0.0.1",
    "10.0.0.1/8",
    "",
];
const DATES: &[&str] = &[
    "2025-01-10T08:00:00Z",
    "2025-01-10T08:00:00.000Z",
    "2025-01-10T07:59:59.999Z",
    "2025-01-10T07:59:59.9999999Z",
    "2025-01-10T09:00:00+01:00",
    "2025-01-10t08:00:00z",
    "2025-01-10 08:00:00Z",
    "2025-01-10T08:00:00.001-00:00",
    "2024-02-29T00:00:00Z",
    "2025-02-29T00:00:00Z",
    "2016-12-31T23:59:60Z",
    "0000-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z",
    "2025-01-10",
    "2025-01-10T08:00Z",
    "2025-01-10T08:00:00",
    "tomorrow",
    "",
];
/// Keys and texts that software likes to stumble over.
const STRANGE_TEXTS: &[&str] = &[
    "",
    " ",
    "0",
    "00",
    "42",
    "-1",
    "1.0",
    "-0",
    "9007199254740991",
    "9007199254740992",
    "1e21",
    "ngày",
    "nga\u{300}y",
    "😀",
    "😀😀😀",
    "polygenelubricants",
    "user1",
    "internal-user-1",
    "\u{0}",
    "a\u{0}b",
    "\"\\\u{8}\u{c}\n\r\t\u{1f}\u{7f}",
    "\u{2028}\u{2029}",
    "\u{feff}",
    "\u{fffd}",
    "\u{ffff}",
    "\u{10ffff}",
    "null",
    "true",
    "undefined",
    "[object Object]",
    "__proto__",
    "ẞß",
    "İi",
];
const ILL_FORMED: &[&str] =
    &[r#""\ud800""#, r#""\udfff""#, r#""pro\ud83d""#, r#""\ude00\ud83d""#, r#""😀\udc00x""#, r#""user-1\udbff""#];

/// Texts longer than any buffer that starts small.
fn long(random: &mut Random) -> Sample {
    let unit = random.pick(&["a", "user-", "é", "😀", "ngày "]);
    let length = random.pick(&[129, 200, 240, 241, 1_000, 4_097]);
    Sample::Text(unit.chars().cycle().take(length).collect())
}

fn bio(random: &mut Random) -> Sample {
    match random.below(100) {
        0..=59 => text(random.pick(STRANGE_TEXTS)),
        60..=64 => long(random),
        65..=79 => Sample::Text(format!("release-{}.{}", random.below(20), random.below(3))),
        _ => Sample::Text(format!("The {} Quick brown fox {}", random.pick(PLANS), random.pick(EMAILS))),
    }
}

fn signed_up(random: &mut Random, _: u64) -> Sample {
    const NEAR: i64 = 1_736_496_000_000;
    match random.below(100) {
        0..=44 => text(random.pick(DATES)),
        45..=69 => Sample::Date(Some(NEAR + random.below(3) as i64 - 1)),
        70..=74 => Sample::Date(Some(random.pick(&[0, -1, 8_640_000_000_000_000, -8_640_000_000_000_000]))),
        75..=77 => Sample::Date(None),
        78..=89 => Sample::Number((NEAR + random.below(3) as i64 - 1).to_string()),
        _ => Sample::Number(
            random.pick(&["1736496000000.5", "1736495999999.999", "-0.5", "1e300", "-1e300", "0"]).to_owned(),
        ),
    }
}

fn groups(random: &mut Random) -> Sample {
    let element = |random: &mut Random| match random.below(10) {
        0..=4 => text(random.pick(&["beta", "staff", "BETA", "", "😀", "qa"])),
        5..=6 => Sample::Number(random.pick(&["1", "1.0", "-0", "0", "2.5", "1e400", "9007199254740993"]).to_owned()),
        7 => Sample::Boolean(random.percent(50)),
        _ => odd(random, 1),
    };
    let length = random.pick(&[0, 1, 1, 2, 3, 5, 40]);
    Sample::List((0..length).map(|_| element(random)).collect())
}

fn account(random: &mut Random, user: u64) -> Sample {
    let mut members = Vec::new();
    if random.percent(85) {
        members.push(("id", if random.percent(90) { number(user % 1_009) } else { odd(random, 1) }));
    }
    if random.percent(80) {
        members.push(("plan", text(random.pick(PLANS))));
    }
    if random.percent(80) {
        let name = Sample::Text(format!("owner-{}", user % 211));
        members.push(("owner", if random.percent(85) { Sample::Object(vec![("name", name)]) } else { odd(random, 1) }));
    }
    Sample::Object(members)
}

/// Anything at all: what an attribute holds when its writer thought of something else.
fn odd(random: &mut Random, depth: u32) -> Sample {
    match random.below(if depth == 0 { 12 } else { 15 }) {
        0 => Sample::Null,
        1 => Sample::Boolean(random.percent(50)),
        2 | 3 => Sample::Number(random.pick(NUMBERS).to_owned()),
        4 | 5 => text(random.pick(STRANGE_TEXTS)),
        6 | 7 => Sample::IllFormed(random.pick(ILL_FORMED)),
        8 => Sample::Date(Some(1_736_496_000_000)),
        9 => Sample::Date(None),
        10 | 11 => Sample::Unsayable(random.pick(&["NaN", "Infinity", "-Infinity", "undefined"])),
        12 => long(random),
        13 => Sample::List((0..random.below(4)).map(|_| odd(random, depth - 1)).collect()),
        _ => Sample::Object(vec![("id", odd(random, depth - 1)), ("plan", odd(random, depth - 1))]),
    }
}

#[cfg(test)]
mod tests {
    use super::User;
    use flagstone::Context;

    #[test]
    fn reading_and_building_a_context_agree() {
        let users = (0..3_000).map(|number| User::generate(1, number));
        let mut read = 0;
        for user in users.filter(|user| !user.attributes.iter().any(|(_, sample)| sample.is_tagged())) {
            assert_eq!(Context::from_json(&user.json()).as_ref(), Ok(&user.built()), "{}", user.json());
            read += 1;
        }
        assert!((200..2_900).contains(&read), "{read} users that JSON can say");
    }

    #[test]
    fn a_seed_and_a_number_name_a_user() {
        assert_eq!(User::generate(7, 3).json(), User::generate(7, 3).json());
        assert_ne!(User::generate(7, 3).json(), User::generate(7, 4).json());
        assert_ne!(User::generate(7, 3).json(), User::generate(8, 3).json());
    }
}
