//! The boundary as JavaScript meets it, in a browser: `wasm-pack test --headless --chrome`.

use super::*;
use serde_json::{Value, json};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_browser);

#[wasm_bindgen]
extern "C" {
    /// As the package gives it to the module.
    #[wasm_bindgen(js_name = Number)]
    pub(crate) fn parse_number(text: &str) -> f64;
}

/// A context in the buffer's encoding.
#[derive(Default)]
struct Context {
    bytes: Vec<u8>,
    /// What stands where.
    places: Vec<(u16, u32)>,
}

impl Context {
    fn attribute(mut self, id: u16, tag: u8, value: &[u8]) -> Self {
        // A place is never 0.
        self.bytes.resize(self.bytes.len().max(1), 0);
        self.places.push((id, self.bytes.len() as u32));
        self.bytes.push(tag);
        self.bytes.extend(value);
        self
    }

    fn number(self, id: u16, number: f64) -> Self {
        self.attribute(id, 3, &number.to_le_bytes())
    }

    fn string(self, id: u16, text: &str) -> Self {
        self.attribute(id, 5, &[&(text.len() as u32).to_le_bytes(), text.as_bytes()].concat())
    }

    /// Writes it into an engine that knows as many attributes as it names.
    fn write(&self, engine: &mut Engine) {
        forget(engine);
        let (buffer, places) = (buffer(engine, self.bytes.len()), places(engine));
        // SAFETY: the buffer is at least that long.
        unsafe { std::ptr::copy_nonoverlapping(self.bytes.as_ptr(), buffer, self.bytes.len()) };
        for &(id, place) in &self.places {
            // SAFETY: the attribute has a place.
            unsafe { *places.add(usize::from(id)) = place };
        }
    }
}

/// An engine that holds these flags.
fn engine(flags: Value, expires: &str) -> Box<Engine> {
    let payload = json!({
        "schema": 1, "environment": "production", "audience": "client", "version": 7, "flags": flags,
        "created": "2026-11-21T12:00:00Z", "expires": expires,
    });
    let mut engine = bound();
    write(&mut engine, &crate::snapshot::complete(&payload.to_string()).expect("a snapshot's"));
    assert_eq!(take(&mut engine, 1_800_000_000_000.0), Taken::New);
    engine
}

fn bound() -> Box<Engine> {
    let mut engine = create();
    write(&mut engine, "production");
    bind(&mut engine, false);
    engine
}

fn write(engine: &mut Engine, text: &str) {
    let place = input(engine, text.len());
    // SAFETY: there is room for as many bytes.
    unsafe { std::ptr::copy_nonoverlapping(text.as_ptr(), place, text.len()) };
}

fn flag(rules: Value, default: Value) -> Value {
    json!({"type": "boolean", "variants": {"off": false, "on": true}, "off": "off", "salt": "f-1",
        "requires": ["equals", "xxh3"], "rules": rules, "default": default})
}

const FAR: &str = "2100-01-01T00:00:00Z";
const NOW: f64 = 1_800_000_000_000.0;
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
        Context::default().string(0, &key).write(&mut engine);
        let packed = evaluate(&mut engine, 0, NOW);
        let expected = crate::bucketing::position("f-1", crate::bucketing::Use::Ramp, &key) < 25_000;
        assert_eq!(packed, u32::from(expected) | SPLIT << 12 | DEFAULT << 20, "{key}");
        assert_eq!((rule(&engine), until(&engine)), (-1, f64::INFINITY));
        on += packed & ON;
    }
    assert!((200..300).contains(&on));
}

#[wasm_bindgen_test]
fn goes_by_the_clock_that_it_is_given() {
    let mut engine = engine(json!({"f": flag(json!([]), json!("on"))}), "2027-03-01T00:00:00Z");
    let mut reason = |now: f64| evaluate(&mut engine, 0, now) >> 12 & 15;
    assert_eq!(reason(NOW), 0);
    assert_eq!(reason(1_900_000_000_000.0), 5, "stale");
    assert_eq!(reason(-8.64e15), 0, "the first instant that JavaScript knows");
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
            Context::default().number(1, other).write(&mut engine);
            let hit = evaluate(&mut engine, 0, NOW) & ON == ON && rule(&engine) == 0;
            assert_eq!(hit, equal, "{other} against {number}");
        }
    }
}

#[wasm_bindgen_test]
fn bytes_that_are_no_context_count_as_missing() {
    let when = json!([{"id": "r", "when": {"attribute": "n", "exists": true}, "serve": "on"}]);
    let mut engine = engine(json!({"f": flag(when, json!("off"))}), FAR);
    let mut exists = |context: &Context| {
        context.write(&mut engine);
        evaluate(&mut engine, 0, NOW) & ON == ON
    };
    let good = Context::default().string(1, "user-42");
    assert!(exists(&good));
    for bad in [
        Context::default().attribute(1, 9, &[]),
        Context::default().attribute(1, 5, &[0xff; 4]),
        Context::default().number(1, f64::NAN),
        Context { places: vec![(1, 0)], ..Context::default() },
        Context { places: vec![(1, 1_000_000)], ..Context::default() },
        Context { places: vec![(1, u32::MAX)], ..Context::default() },
    ] {
        assert!(!exists(&bad), "{:?}", bad.bytes);
        assert!(exists(&good), "and works on");
    }
    // Lists that are cut off, or say that they are longer than they are. What was written before, stays.
    let when = json!([{"id": "r", "when": {"attribute": "n", "includesAny": ["a"]}, "serve": "on"}]);
    let mut engine = self::engine(json!({"f": flag(when, json!("off"))}), FAR);
    for (elements, holds) in
        [(&[1][..], false), (&[0xff; 4], false), (&[0xff, 0xff, 0xff, 0xff, 5, 1, 0, 0, 0, b'a'], true)]
    {
        Context::default().attribute(1, 6, elements).write(&mut engine);
        assert_eq!(evaluate(&mut engine, 0, NOW) & ON == ON, holds);
    }
}

#[wasm_bindgen_test]
fn without_a_snapshot_is_not_ready() {
    let mut engine = bound();
    assert_eq!(evaluate(&mut engine, 0, NOW), NOT_READY);
    assert!(!explain(&mut engine, 0, NOW));
    for text in ["", "{}"] {
        write(&mut engine, text);
        assert_eq!(take(&mut engine, NOW), Taken::Incomplete);
    }
    discard(engine);
}

#[wasm_bindgen_test]
fn pins_what_the_input_says() {
    let mut engine = engine(json!({"f": flag(json!([]), json!("on"))}), FAR);
    let variant = |engine: &mut Engine| evaluate(engine, 0, NOW) & ON;
    write(&mut engine, "foff");
    pin(&mut engine, 1, false);
    assert_eq!(variant(&mut engine), 0);
    unpin(&mut engine);
    assert_eq!(variant(&mut engine), ON);
    write(&mut engine, "f");
    pin(&mut engine, 1, true);
    assert_eq!(variant(&mut engine), 0);
}
