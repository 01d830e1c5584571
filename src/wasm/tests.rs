//! The boundary as JavaScript meets it, in a browser: `wasm-pack test --headless --chrome`.

use super::*;
use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::{Value, json};
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_browser);

/// A context in the buffer's encoding.
#[derive(Default)]
struct Encoded(Vec<u8>);

impl Encoded {
    fn attribute(mut self, id: u16, tag: u8, value: &[u8]) -> Self {
        self.0.extend(id.to_le_bytes());
        self.0.push(tag);
        self.0.extend(value);
        self
    }

    fn number(self, id: u16, number: f64) -> Self {
        self.attribute(id, 3, &number.to_le_bytes())
    }

    fn string(self, id: u16, text: &str) -> Self {
        self.attribute(id, 5, &[&(text.len() as u32).to_le_bytes(), text.as_bytes()].concat())
    }

    fn decode(&self, engine: &mut Engine) -> bool {
        let place = engine.buffer(self.0.len());
        // SAFETY: the buffer is at least that long.
        unsafe { std::ptr::copy_nonoverlapping(self.0.as_ptr(), place, self.0.len()) };
        engine.decode(self.0.len())
    }
}

/// An engine that holds these flags. The signature is JavaScript's to check, so any will do.
fn engine(flags: Value, expires: &str) -> Engine {
    let payload = json!({
        "schema": 1, "environment": "production", "audience": "client", "version": 7, "flags": flags,
        "created": "2026-11-21T12:00:00Z", "expires": expires,
    });
    let header = json!({"alg": "Ed25519", "b64": false, "crit": ["b64"], "kid": "k", "typ": "flagstone-snapshot+json"});
    let envelope = json!({"payload": payload.to_string(), "signatures": [{
        "protected": Base64UrlUnpadded::encode_string(header.to_string().as_bytes()),
        "signature": Base64UrlUnpadded::encode_string(&[0; 64]),
    }]});
    let keys = json!({"keys": [{
        "kty": "OKP", "crv": "Ed25519", "alg": "Ed25519", "kid": "k", "environments": ["production"],
        "x": Base64UrlUnpadded::encode_string(&[7; 32]),
    }]});
    let mut engine = Engine::new("production".to_owned(), "client").expect("an audience");
    assert!(engine.set_keys(&keys.to_string()).is_ok());
    let candidates = engine.open(envelope.to_string().as_bytes()).expect("a candidate");
    assert!(js_sys::Array::is_array(&candidates));
    let description = engine.take(1_800_000_000_000.0).expect("it is taken").expect("it is new");
    let description: Value = serde_json::from_str(&description).expect("JSON");
    assert_eq!(description["version"], 7);
    engine
}

fn flag(rules: Value, default: Value) -> Value {
    json!({"type": "boolean", "variants": {"off": false, "on": true}, "off": "off", "salt": "f-1",
        "requires": ["equals", "xxh3"], "rules": rules, "default": default})
}

const FAR: &str = "2100-01-01T00:00:00Z";
const ON: u32 = 1;
const SPLIT: u32 = 3;
const DEFAULT: u32 = 12;

#[wasm_bindgen_test]
fn evaluates_through_the_boundary() {
    let ramp = json!({"ramp": {"percent": 25000, "serve": "on"}});
    let mut engine = engine(json!({"f": flag(json!([]), ramp)}), FAR);
    let mut on = 0;
    for user in 0..1000 {
        let key = format!("user-{user}");
        assert!(Encoded::default().string(0, &key).decode(&mut engine));
        let packed = engine.evaluate(0, f64::NAN);
        let expected = crate::bucketing::position("f-1", crate::bucketing::Use::Ramp, &key) < 25_000;
        assert_eq!(packed, u32::from(expected) | SPLIT << 12 | DEFAULT << 20, "{key}");
        assert_eq!((engine.rule(), engine.until()), (-1, f64::INFINITY));
        on += packed & ON;
    }
    assert!((200..300).contains(&on));
}

#[wasm_bindgen_test]
fn goes_by_the_systems_clock() {
    let mut engine = engine(json!({"f": flag(json!([]), json!("on"))}), "2027-03-01T00:00:00Z");
    let reason = |engine: &mut Engine, now: f64| engine.evaluate(0, now) >> 12 & 15;
    let expired = js_sys::Date::now() > js_sys::Date::parse("2027-03-01T00:05:00Z");
    assert_eq!(reason(&mut engine, f64::NAN), if expired { 5 } else { 0 });
    assert_eq!(reason(&mut engine, 1_800_000_000_000.0), 0);
    assert_eq!(reason(&mut engine, 1_900_000_000_000.0), 5, "stale");
}

#[wasm_bindgen_test]
fn reads_numbers_as_rust_does() {
    for text in [
        "0",
        "-0",
        "0.1",
        "0.3",
        "1e3",
        "5e-324",
        "2.5e-324",
        "2.4e-324",
        "1.7976931348623157e308",
        "1.7976931348623159e308",
        "2.2250738585072011e-308",
        "9007199254740991",
        "9007199254740992",
        "9007199254740993",
        "123456789012345678901234567890",
        "0.30000000000000004",
        "-1.5E+2",
        "1e-400",
    ] {
        let expected: f64 = text.parse().expect("a number");
        assert_eq!(parse_number(text).to_bits(), expected.to_bits(), "{text}");
    }
}

#[wasm_bindgen_test]
fn compares_a_snapshots_numbers_with_a_contexts() {
    for number in [5e-324, f64::MAX, 0.1, 9_007_199_254_740_991.0, 9_007_199_254_740_992.0] {
        let when = json!([{"id": "r", "when": {"attribute": "n", "equals": number}, "serve": "on"}]);
        let mut engine = engine(json!({"f": flag(when, json!("off"))}), FAR);
        // Attributes are numbered as the snapshot names them: `targetingKey`, by which the flag buckets, and `n`.
        for (other, equal) in [(number, true), (f64::from_bits(number.to_bits() - 1), false)] {
            let hit = [0, 1].into_iter().any(|id| {
                assert!(Encoded::default().number(id, other).decode(&mut engine));
                engine.evaluate(0, f64::NAN) & ON == ON && engine.rule() == 0
            });
            assert_eq!(hit, equal, "{other} against {number}");
        }
    }
}

#[wasm_bindgen_test]
fn refuses_bytes_that_are_no_context() {
    let mut engine = engine(json!({"f": flag(json!([]), json!("on"))}), FAR);
    let good = Encoded::default().string(0, "user-42");
    assert!(good.decode(&mut engine));
    for length in 1..good.0.len() {
        assert!(!Encoded(good.0[..length].to_vec()).decode(&mut engine), "cut to {length} bytes");
    }
    for bad in [
        Encoded::default().attribute(0, 9, &[]),
        Encoded::default().attribute(999, 1, &[]),
        Encoded::default().attribute(0, 5, &[2, 0, 0, 0, 0xc3, 0x28]),
        Encoded::default().attribute(0, 5, &[0xff; 4]),
        Encoded::default().attribute(0, 6, &[0xff; 4]),
    ] {
        assert!(!bad.decode(&mut engine), "{:?}", bad.0);
    }
    let evaluated = |engine: &mut Engine| engine.evaluate(0, f64::NAN) & ON;
    assert_eq!(evaluated(&mut engine), ON, "and works on");
}

#[wasm_bindgen_test]
fn without_a_snapshot_is_not_ready() {
    let mut engine = Engine::new("production".to_owned(), "client").expect("an audience");
    assert_eq!(engine.evaluate(0, f64::NAN), NOT_READY);
    assert!(engine.explain(0, f64::NAN).is_err());
    assert!(engine.open(b"{}").is_err());
    assert!(engine.take(f64::NAN).is_ok_and(|description| description.is_none()));
}
