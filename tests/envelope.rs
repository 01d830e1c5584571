//! What an envelope must be, and that nothing which is done to one goes unnoticed; neither here nor by the npm package, which
//! reads envelopes by itself (`pkg-templates/src/envelope.ts`) and is asked about each that is read here.
#![cfg(feature = "definitions")]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use base64ct::{Base64UrlUnpadded, Encoding};
use ed25519_dalek::Signer;
use flagstone::snapshot::{Envelope, EnvelopeError, SigningKey, TrustedKeys, Typ, Verified};
use serde_json::{Value, json};

const PAYLOAD: &str = r#"{"version":1,"note":"ngày 😀 \"quoted\""}"#;

/// The key of RFC 8037 appendix A.1.
const RFC_KEY: &str = r#"{"kty":"OKP","crv":"Ed25519","alg":"Ed25519","kid":"rfc","environments":["production"],
    "d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

/// Made by `tests/js/jose.mjs` from `PAYLOAD` and the key of the RFC.
const RFC_PROTECTED: &str = "eyJhbGciOiJFZDI1NTE5IiwiYjY0IjpmYWxzZSwiY3JpdCI6WyJiNjQiXSwia2lkIjoicmZjIiwidHlwIjoiZmxhZ3N0b25lLXNuYXBzaG90K2pzb24ifQ";
const RFC_SIGNATURE: &str = "ceHEQwZCnqDT4BT71RCfhzO3z0ELKzLxaQRofi0j7LXDc_UW2B2SHd_t6cX2X_8h8iE0yVEQsdl4I-guK_-gAg";

fn key(kid: &str, environment: &str) -> SigningKey {
    SigningKey::generate(Some(kid), [environment]).unwrap()
}

fn trust(keys: &[&SigningKey]) -> TrustedKeys {
    keys.iter().map(|key| key.public()).collect()
}

fn verify(envelope: &str, keys: &TrustedKeys) -> Result<Verified, EnvelopeError> {
    verify_as(envelope.as_bytes(), keys, "production", Typ::Snapshot)
}

fn verify_as(envelope: &[u8], keys: &TrustedKeys, environment: &str, typ: Typ) -> Result<Verified, EnvelopeError> {
    let found = Envelope::parse(envelope).and_then(|envelope| envelope.verify(keys, environment, typ));
    let package = ask_the_package(&json!({
        "envelope": base64ct::Base64::encode_string(envelope), "keys": keys.to_jwks(),
        "environment": environment, "typ": typ.as_str(),
    }));
    let text = String::from_utf8_lossy(envelope);
    match &found {
        Ok(Verified { payload, kid }) => assert_eq!(package, json!({"payload": payload, "kid": kid}), "{text}"),
        Err(error) => assert!(package["error"].is_string(), "the package takes what is refused here: {error}: {text}"),
    }
    found
}

/// Asks `tests/js/envelope.mjs`, which answers one question after another.
fn ask_the_package(question: &Value) -> Value {
    // It ends with what it is asked by, which ends with the tests.
    static READER: Mutex<Option<(Child, ChildStdin, BufReader<ChildStdout>)>> = Mutex::new(None);

    let mut reader = READER.lock().unwrap_or_else(PoisonError::into_inner);
    let (_, questions, answers) = reader.get_or_insert_with(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert!(root.join("pkg/envelope.js").exists(), "the npm package is missing; run `make pkg`");
        let mut node = Command::new("node")
            .arg(root.join("tests/js/envelope.mjs"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node is missing; install Node 20 or newer");
        let (questions, answers) = (node.stdin.take().unwrap(), node.stdout.take().unwrap());
        (node, questions, BufReader::new(answers))
    });
    writeln!(questions, "{question}").unwrap();
    let mut answer = String::new();
    answers.read_line(&mut answer).unwrap();
    serde_json::from_str(&answer).unwrap()
}

fn refusal(envelope: &str, keys: &TrustedKeys) -> String {
    verify(envelope, keys).expect_err(envelope).to_string()
}

/// A protected header that is right in every way.
fn header(kid: &str) -> Value {
    json!({"alg": "Ed25519", "b64": false, "crit": ["b64"], "kid": kid, "typ": "flagstone-snapshot+json"})
}

/// Replaces a member or, by null, takes it out.
fn set(object: &mut Value, name: &str, value: Value) {
    match value {
        Value::Null => drop(object.as_object_mut().unwrap().remove(name)),
        value => object[name] = value,
    }
}

fn header_but(kid: &str, name: &str, value: Value) -> Value {
    let mut header = header(kid);
    set(&mut header, name, value);
    header
}

/// A genuine signature, whatever the header says, encoding the payload if it says so.
fn signature(key: &SigningKey, protected: &str, encode: bool) -> Value {
    let jwk: Value = serde_json::from_str(&key.to_jwk()).unwrap();
    let seed = Base64UrlUnpadded::decode_vec(jwk["d"].as_str().unwrap()).unwrap();
    let secret = ed25519_dalek::SigningKey::from_bytes(&seed.try_into().unwrap());
    let protected = Base64UrlUnpadded::encode_string(protected.as_bytes());
    let payload = if encode { Base64UrlUnpadded::encode_string(PAYLOAD.as_bytes()) } else { PAYLOAD.to_owned() };
    let bytes = secret.sign(format!("{protected}.{payload}").as_bytes()).to_bytes();
    json!({"protected": protected, "signature": Base64UrlUnpadded::encode_string(&bytes)})
}

fn envelope(signatures: &[Value]) -> String {
    json!({"payload": PAYLOAD, "signatures": signatures}).to_string()
}

fn signed_under(key: &SigningKey, header: &Value) -> String {
    envelope(&[signature(key, &header.to_string(), false)])
}

#[test]
fn agrees_with_an_independent_implementation_to_the_byte() {
    let key = SigningKey::from_jwk(RFC_KEY.as_bytes()).unwrap();
    let signed: Value =
        serde_json::from_str(&Envelope::sign(PAYLOAD, Typ::Snapshot, "production", &[&key]).unwrap()).unwrap();
    assert_eq!(
        signed,
        json!({"payload": PAYLOAD, "signatures": [{"protected": RFC_PROTECTED, "signature": RFC_SIGNATURE}]})
    );
}

#[test]
fn returns_exactly_what_was_signed() {
    let key = key("k", "production");
    for payload in ["", "{}", PAYLOAD, " {\r\n}\u{0}\u{2028}\u{feff}", "not JSON"] {
        let text = Envelope::sign(payload, Typ::Snapshot, "production", &[&key]).unwrap();
        let verified = verify(&text, &trust(&[&key])).unwrap();
        assert_eq!((verified.payload.as_str(), verified.kid.as_str()), (payload, "k"));
    }
}

#[test]
fn one_trusted_signature_is_enough() {
    let (old, new, stranger) = (key("old", "production"), key("new", "production"), key("stranger", "production"));
    let text = Envelope::sign(PAYLOAD, Typ::Snapshot, "production", &[&stranger, &old, &new]).unwrap();
    assert_eq!(verify(&text, &trust(&[&old])).unwrap().kid, "old");
    assert_eq!(verify(&text, &trust(&[&new])).unwrap().kid, "new");
    assert_eq!(verify(&text, &trust(&[&new, &old])).unwrap().kid, "old");

    // One that was tampered with does not hinder the other.
    let mut broken: Value = serde_json::from_str(&text).unwrap();
    broken["signatures"][1]["signature"] = broken["signatures"][0]["signature"].clone();
    assert_eq!(verify(&broken.to_string(), &trust(&[&new, &old])).unwrap().kid, "new");
    assert_eq!(
        verify(&broken.to_string(), &trust(&[&old])),
        Err(EnvelopeError::Signature { kids: vec!["old".to_owned()] })
    );
}

#[test]
fn the_same_key_may_sign_twice() {
    let key = key("k", "production");
    let text = Envelope::sign(PAYLOAD, Typ::Snapshot, "production", &[&key, &key]).unwrap();
    assert_eq!(verify(&text, &trust(&[&key])).unwrap().kid, "k");
}

#[test]
fn a_stranger_is_not_believed() {
    let (trusted, stranger) = (key("k", "production"), key("stranger", "production"));
    let text = Envelope::sign(PAYLOAD, Typ::Snapshot, "production", &[&stranger]).unwrap();
    let message = refusal(&text, &trust(&[&trusted]));
    assert!(message.contains("\"stranger\", which is not among the trusted keys"), "{message}");

    // Nor under another's name.
    let impostor = key("k", "production");
    let text = Envelope::sign(PAYLOAD, Typ::Snapshot, "production", &[&impostor]).unwrap();
    assert_eq!(verify(&text, &trust(&[&trusted])), Err(EnvelopeError::Signature { kids: vec!["k".to_owned()] }));
    assert_eq!(verify(&text, &TrustedKeys::default()), Err(EnvelopeError::Untrusted { kids: vec!["k".to_owned()] }));
}

#[test]
fn keys_are_bound_to_environments() {
    let (staging, production) = (key("s", "staging"), key("p", "production"));
    let both = trust(&[&staging, &production]);
    let text = Envelope::sign(PAYLOAD, Typ::Snapshot, "staging", &[&staging]).unwrap();
    assert_eq!(refusal(&text, &both), "signed by a key bound to staging, not production (kid \"s\")");
    assert!(verify_as(text.as_bytes(), &both, "staging", Typ::Snapshot).is_ok());

    let error = Envelope::sign(PAYLOAD, Typ::Snapshot, "production", &[&production, &staging]).unwrap_err();
    assert_eq!(error.to_string(), "the key \"s\" is bound to staging and cannot sign for production");

    // A signature that counts elsewhere only is passed over.
    let protected = [header("s").to_string(), header("p").to_string()];
    let text = envelope(&[signature(&staging, &protected[0], false), signature(&production, &protected[1], false)]);
    assert_eq!(verify(&text, &both).unwrap().kid, "p");
}

#[test]
fn an_entry_is_never_taken_for_a_snapshot() {
    let key = key("k", "production");
    for (signed, wanted) in [(Typ::Entry, Typ::Snapshot), (Typ::Snapshot, Typ::Entry)] {
        let text = Envelope::sign(PAYLOAD, signed, "production", &[&key]).unwrap();
        let verify = |typ| verify_as(text.as_bytes(), &trust(&[&key]), "production", typ);
        assert!(verify(signed).is_ok());
        let message = verify(wanted).unwrap_err().to_string();
        assert!(message.contains(signed.as_str()) && message.contains(wanted.as_str()), "{message}");
    }
}

#[test]
fn headers_of_trusted_signatures_are_held_to_the_rules() {
    let (trusted, other) = (key("k", "production"), key("other", "production"));
    let keys = trust(&[&trusted, &other]);
    assert!(verify(&signed_under(&trusted, &header("k")), &keys).is_ok());
    assert!(verify(&signed_under(&trusted, &header_but("k", "alg", json!("EdDSA"))), &keys).is_ok());
    assert!(verify(&signed_under(&trusted, &header_but("k", "x5u", json!({"unknown": [1]}))), &keys).is_ok());

    let refused = [
        ("alg", json!("ES256"), "`alg`"),
        ("alg", json!("none"), "`alg`"),
        ("alg", json!("ed25519"), "`alg`"),
        ("alg", json!(null), "no `alg`"),
        ("typ", json!("JWT"), "`typ`"),
        ("typ", json!("application/flagstone-snapshot+json"), "`typ`"),
        ("typ", json!(null), "no `typ`"),
        ("b64", json!(null), "`b64`"),
        ("crit", json!(null), "`crit`"),
        ("crit", json!([]), "`crit`"),
        ("crit", json!(["b64", "b64"]), "`crit`"),
        ("crit", json!(["b64", "exp"]), "\"exp\""),
        ("crit", json!(["exp"]), "\"exp\""),
    ];
    for (name, value, complaint) in refused {
        let header = header_but("k", name, value).to_string();
        let text = envelope(&[signature(&trusted, &header, false)]);
        let message = refusal(&text, &keys);
        assert!(message.starts_with("the signature by \"k\" ") && message.contains(complaint), "{header}: {message}");

        // Not even beside a good one: its signer asked for something that is not done.
        if name != "b64" {
            let good = signature(&other, &self::header("other").to_string(), false);
            let text = envelope(&[good, signature(&trusted, &header, false)]);
            assert_eq!(refusal(&text, &keys), message);
            // Whereas a stranger may ask for anything.
            assert_eq!(verify(&text, &trust(&[&other])).unwrap().kid, "other");
        }
    }

    let encoded = signature(&trusted, &header_but("k", "b64", json!(true)).to_string(), true);
    assert!(refusal(&envelope(&[encoded]), &keys).contains("`b64`"));
}

#[test]
fn headers_of_the_wrong_shape_are_refused() {
    let key = key("k", "production");
    for (name, value) in
        [("alg", json!(1)), ("b64", json!("false")), ("crit", json!("b64")), ("crit", json!([1])), ("kid", json!(1))]
    {
        let message = refusal(&signed_under(&key, &header_but("k", name, value)), &trust(&[&key]));
        assert!(message.starts_with("not a signed envelope: signatures[0].protected: "), "{message}");
        assert!(message.contains(name), "{message}");
    }
    let message = refusal(&signed_under(&key, &header_but("k", "kid", json!(null))), &trust(&[&key]));
    assert!(message.contains("without a `kid`"), "{message}");
}

#[test]
fn nothing_that_counts_stands_outside_the_protected_header() {
    let key = key("k", "production");
    let good = signature(&key, &header("k").to_string(), false);
    let with = |unprotected: Value| {
        let mut signature = good.clone();
        signature["header"] = unprotected;
        envelope(&[signature])
    };
    assert!(verify(&with(json!({"jku": "https://example.com"})), &trust(&[&key])).is_ok());
    for (name, value) in header("k").as_object().unwrap() {
        let message = refusal(&with(json!({ name: value })), &trust(&[&key]));
        assert!(message.contains(&format!("has `{name}` outside the protected header")), "{message}");
    }

    // The kid too must be signed.
    let mut unsigned = signature(&key, &header_but("k", "kid", json!(null)).to_string(), false);
    unsigned["header"] = json!({"kid": "k"});
    assert!(refusal(&envelope(&[unsigned]), &trust(&[&key])).contains("has `kid` outside"));
}

#[test]
fn signatures_that_differ_in_b64_are_refused() {
    let (trusted, stranger) = (key("k", "production"), key("stranger", "production"));
    let good = signature(&trusted, &header("k").to_string(), false);
    for b64 in [json!(true), json!(null)] {
        let odd = signature(&stranger, &header_but("stranger", "b64", b64).to_string(), true);
        for signatures in [[good.clone(), odd.clone()], [odd, good.clone()]] {
            assert_eq!(verify(&envelope(&signatures), &trust(&[&trusted])), Err(EnvelopeError::MixedEncoding));
        }
    }
}

#[test]
fn other_serializations_are_refused_by_name() {
    let key = key("k", "production");
    let good = signature(&key, &header("k").to_string(), false);
    let flattened =
        json!({"payload": PAYLOAD, "protected": good["protected"], "signature": good["signature"]}).to_string();
    assert_eq!(verify(&flattened, &trust(&[&key])), Err(EnvelopeError::Serialization("flattened")));
    let both = json!({"payload": PAYLOAD, "signatures": [good], "signature": good["signature"]}).to_string();
    assert_eq!(verify(&both, &trust(&[&key])), Err(EnvelopeError::Serialization("flattened")));

    let compact = format!("{}..{}\n", good["protected"].as_str().unwrap(), good["signature"].as_str().unwrap());
    assert_eq!(verify(&compact, &trust(&[&key])), Err(EnvelopeError::Serialization("compact")));
}

#[test]
fn what_is_no_envelope_is_refused_saying_where() {
    let key = key("k", "production");
    let good = signature(&key, &header("k").to_string(), false);
    let (protected, bytes) = (good["protected"].as_str().unwrap(), good["signature"].as_str().unwrap());
    let signature = good.to_string();
    let padded = format!(r#"{{"protected":"{protected}","signature":"{bytes}=="}}"#);
    // The last character of 64 bytes carries four bits that must be zero.
    let trailing = format!(r#"{{"protected":"{protected}","signature":"{}B"}}"#, &bytes[..85]);
    let doubled = Base64UrlUnpadded::encode_string(header("k").to_string().replace('}', r#","kid":"k"}"#).as_bytes());
    let nested = Base64UrlUnpadded::encode_string(br#"{"jwk":{"x":1,"x":1}}"#);
    let cases = [
        (String::new(), "ends here"),
        ("\u{feff}{}".to_owned(), "expected a value"),
        ("{}".to_owned(), "`payload` is missing"),
        (r#"{"payload":"{}"}"#.to_owned(), "`signatures` is missing"),
        (r#"{"payload":"{}","signatures":[]}"#.to_owned(), "nobody signed this"),
        (format!(r#"{{"signatures":[{signature}]}}"#), "`payload` is missing"),
        (format!(r#"{{"payload":{{}},"signatures":[{signature}]}}"#), "payload: expected a string"),
        (format!(r#"{{"payload":"\ud800","signatures":[{signature}]}}"#), "payload: the string holds half"),
        (
            format!(r#"{{"payload":"{{}}","payload":"{{}}","signatures":[{signature}]}}"#),
            "`payload` stands twice in one object",
        ),
        (format!(r#"{{"payload":"{{}}","p\u0061yload":"{{}}","signatures":[{signature}]}}"#), "`payload` stands twice"),
        (format!(r#"{{"payload":"{{}}","signatures":[{signature}],"signatures":[]}}"#), "`signatures` stands twice"),
        (format!(r#"{{"payload":"{{}}","signatures":[{signature}],"x":[{{"y":1,"y":2}}]}}"#), "`y` stands twice"),
        (
            format!(r#"{{"payload":"{{}}","signatures":[{{"signature":"{bytes}","signature":""}}]}}"#),
            "`signature` stands twice",
        ),
        (r#"{"payload":"{}","signatures":[{}]}"#.to_owned(), "`signature` is missing"),
        (
            format!(r#"{{"payload":"{{}}","signatures":[{padded}]}}"#),
            "signatures[0].signature: not canonical base64url",
        ),
        (format!(r#"{{"payload":"{{}}","signatures":[{trailing}]}}"#), "signatures[0].signature: not canonical"),
        (
            format!(r#"{{"payload":"{{}}","signatures":[{{"protected":"{doubled}","signature":"{bytes}"}}]}}"#),
            "the decoded header: `kid` stands twice",
        ),
        (
            format!(r#"{{"payload":"{{}}","signatures":[{{"protected":"{nested}","signature":"{bytes}"}}]}}"#),
            "the decoded header: `x` stands twice",
        ),
        (r#"{"payload":"{}","signatures":[{"protected":"e30x","signature":""}]}"#.to_owned(), "the decoded header"),
        (r#"{"payload":"{}","signatures":[{"protected":"","signature":""}]}"#.to_owned(), "the decoded header"),
        (format!(r#"{{"payload":"{{}}","signatures":[{}]}}"#, [signature.as_str(); 17].join(",")), "more than 16"),
        (format!(r#"{{"payload":"{{}}","signatures":[{signature}]}} x"#), "expected the end"),
        (format!(r#"{{"payload":"{{}}","x":{}}}"#, "[".repeat(100_000)), "nested deeper than 128"),
        (
            format!("{{{}}}", (0..100_000).map(|i| format!("\"{i}\":0")).collect::<Vec<_>>().join(",")),
            "`payload` is missing",
        ),
    ];
    for (text, complaint) in cases {
        let message = refusal(&text, &trust(&[&key]));
        assert!(message.starts_with("not a signed envelope: "), "{message}");
        assert!(message.contains(complaint), "{complaint} is not in: {message}");
    }
    let message =
        verify_as(b"{\"payload\":\"\xff\"}", &trust(&[&key]), "production", Typ::Snapshot).unwrap_err().to_string();
    assert!(message.contains("not UTF-8 (at byte 12)"), "{message}");

    // A signature of another length is no Ed25519 signature.
    let short = json!({"protected": protected, "signature": &bytes[..84]});
    assert!(refusal(&envelope(&[short]), &trust(&[&key])).contains("is 63 bytes long, not 64"));
}

#[test]
fn unknown_members_are_ignored() {
    let key = key("k", "production");
    let mut signature = signature(&key, &header("k").to_string(), false);
    signature["comment"] = json!({"a": [1, null, true]});
    let text = json!({"comment": "x", "payload": PAYLOAD, "signatures": [signature], "more": {}}).to_string();
    let text = |comment: &str| text.replace("\"x\"", comment);
    for comment in [
        "\"x\"",
        " [1.5e+3 , -0,1e999,\t{}, {\"a\":{},\"b\":{\"a\":[]}}]\r\n",
        r#"{":":":","\"":"\":\"","\\":"\\\"","":"{\"a\":1,\"a\":1}","\ud83d\ude00":0,"__proto__":{"payload":""}}"#,
        &format!("{}{}", "[".repeat(127), "]".repeat(127)),
        &format!("\"{}\"", "\\n:\\\\".repeat(10_000)),
    ] {
        assert_eq!(verify(&text(comment), &trust(&[&key])).unwrap().payload, PAYLOAD);
    }
    for comment in [
        r#"{":":1,":":1}"#,
        r#"{"\"":1,"\u0022":1}"#,
        r#"{"__proto__":1,"__proto__":1}"#,
        r#"{"\ud83d":0}"#,
        r#"["\ude00\ud83d"]"#,
        &format!("{}{}", "[".repeat(128), "]".repeat(128)),
    ] {
        assert!(verify(&text(comment), &trust(&[&key])).is_err(), "{comment}");
    }
}

/// A change anywhere is refused or changes neither the payload nor who signed it.
#[test]
fn no_change_goes_unnoticed() {
    let (old, new) = (key("old", "production"), key("new", "production"));
    let mut good: Value =
        serde_json::from_str(&Envelope::sign(PAYLOAD, Typ::Snapshot, "production", &[&old, &new]).unwrap()).unwrap();
    good["comment"] = json!("anything");
    good["signatures"][0]["header"] = json!({"note": "anything"});
    let good = good.to_string().into_bytes();

    let mut changed: Vec<Vec<u8>> = Vec::new();
    for at in 0..good.len() {
        for bit in 0..8 {
            changed.push(good.clone());
            changed.last_mut().unwrap()[at] ^= 1 << bit;
        }
        for length in 1..=4 {
            changed.push([&good[..at], &good[good.len().min(at + length)..]].concat());
        }
        changed.push([&good[..at], &good[at..=at], &good[at..]].concat());
        changed.push(good[..at].to_vec());
    }

    // Whoever trusts one key, and whoever trusts both while keys are being rotated.
    for (keys, kids) in
        [(trust(&[&old]), vec!["old"]), (trust(&[&new]), vec!["new"]), (trust(&[&old, &new]), vec!["old", "new"])]
    {
        let read = |bytes: &[u8]| verify_as(bytes, &keys, "production", Typ::Snapshot);
        assert_eq!(read(&good).unwrap().payload, PAYLOAD);
        let (mut accepted, mut refused) = (0, 0);
        for bytes in &changed {
            match read(bytes) {
                Ok(verified) => {
                    assert_eq!(verified.payload, PAYLOAD, "{}", String::from_utf8_lossy(bytes));
                    assert!(kids.contains(&verified.kid.as_str()), "{}", String::from_utf8_lossy(bytes));
                    accepted += 1;
                }
                Err(_) => refused += 1,
            }
        }
        assert!(accepted > 0 && refused > accepted, "{accepted} accepted, {refused} refused");
    }
}

#[test]
fn signing_needs_keys() {
    assert!(
        Envelope::sign(PAYLOAD, Typ::Snapshot, "production", &[]).unwrap_err().to_string().contains("1 to 16 keys")
    );
    let key = key("k", "production");
    assert!(Envelope::sign(PAYLOAD, Typ::Snapshot, "production", &[&key; 17]).is_err());
    assert!(Envelope::sign(PAYLOAD, Typ::Snapshot, "production", &[&key; 16]).is_ok());
}

#[test]
fn candidates_carry_all_that_a_check_takes() {
    let key = SigningKey::from_jwk(RFC_KEY.as_bytes()).unwrap();
    let text = Envelope::sign(PAYLOAD, Typ::Snapshot, "production", &[&key]).unwrap();
    let envelope = Envelope::parse(text.as_bytes()).unwrap();
    assert_eq!(envelope.unverified_payload(), PAYLOAD);
    let keys = trust(&[&key]);
    let candidates = envelope.candidates(&keys, "production", Typ::Snapshot).unwrap();
    assert_eq!(candidates.len(), 1);
    assert_eq!(candidates[0].kid, "rfc");
    assert_eq!(candidates[0].public_key, key.public().bytes());
    assert_eq!(candidates[0].signing_input, format!("{RFC_PROTECTED}.{PAYLOAD}").as_bytes());
    assert_eq!(Base64UrlUnpadded::encode_string(candidates[0].signature), RFC_SIGNATURE);
}

/// A set of one public key with a member replaced or, by null, taken out.
fn jwks_but(name: &str, value: Value) -> String {
    let mut jwk: Value = serde_json::from_str(RFC_KEY).unwrap();
    set(&mut jwk, "d", Value::Null);
    set(&mut jwk, name, value);
    json!({ "keys": [jwk] }).to_string()
}

#[test]
fn key_sets_are_read_and_written() {
    let keys = trust(&[&key("a", "staging"), &SigningKey::generate(Some("b \"é\""), ["one", "two"]).unwrap()]);
    assert_eq!(TrustedKeys::from_jwks(keys.to_jwks().as_bytes()).unwrap(), keys);

    let foreign = json!({"keys": [
        {"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "rsa"},
        {"kty": "OKP", "crv": "X25519", "x": "AAAA"},
        {"kty": "OKP", "crv": "Ed25519", "alg": "Ed25519", "kid": "k", "environments": ["production"],
         "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "x5c": ["unknown"]},
    ], "more": 1});
    assert_eq!(ask_the_package(&json!({ "keys": foreign.to_string() })), json!({"kids": ["k"]}));
    let keys = TrustedKeys::from_jwks(foreign.to_string().as_bytes()).unwrap();
    assert_eq!(keys.iter().map(|key| key.kid()).collect::<Vec<_>>(), ["k"]);
    assert_eq!(keys.get("k").unwrap().environments(), ["production"]);
}

#[test]
fn key_sets_that_cannot_be_trusted_are_refused() {
    let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    let cases = [
        (jwks_but("kid", json!(null)), "keys[0]: this key has no `kid`"),
        (jwks_but("kid", json!("")), "has no `kid`"),
        (jwks_but("alg", json!(null)), "needs `alg` \"Ed25519\""),
        (jwks_but("alg", json!("EdDSA")), "needs `alg` \"Ed25519\""),
        (jwks_but("use", json!("enc")), "not for signing"),
        (jwks_but("kty", json!(null)), "another `kty` or `crv`"),
        (jwks_but("crv", json!(null)), "another `kty` or `crv`"),
        (jwks_but("environments", json!(null)), "bound to no environment"),
        (jwks_but("environments", json!([])), "bound to no environment"),
        (jwks_but("environments", json!("production")), "keys[0].environments: expected an array"),
        (jwks_but("x", json!(null)), "needs `x`, 32 bytes"),
        (jwks_but("x", json!("AAAA")), "needs `x`, 32 bytes"),
        (jwks_but("x", json!(x.replace('o', "p"))), "keys[0].x: not canonical base64url"),
        // The neutral element, under which a signature says nothing.
        (jwks_but("x", json!("AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")), "no Ed25519 key"),
        (jwks_but("x", json!("AgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")), "no Ed25519 key"),
        (jwks_but("kty", json!("RSA")), "holds no Ed25519 key"),
        (r#"{"keys":[]}"#.to_owned(), "holds no Ed25519 key"),
        (RFC_KEY.to_owned(), "`keys` is missing; a single key goes in as"),
        (r#"{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}"#.to_owned(), "this key is secret"),
        (r#"{"keys":[],"keys":[]}"#.to_owned(), "`keys` stands twice"),
        (r#"{"keys":[{"kid":"a","kid":"b"}]}"#.to_owned(), "`kid` stands twice"),
        ("[]".to_owned(), "expected an object"),
    ];
    for (text, complaint) in cases {
        let message = TrustedKeys::from_jwks(text.as_bytes()).expect_err(&text).to_string();
        assert!(message.contains(complaint), "{complaint} is not in: {message}");
        // The package is given an object, which has no name twice, and leaves the mathematics to the platform.
        if !complaint.contains("twice") && complaint != "no Ed25519 key" {
            let package = ask_the_package(&json!({ "keys": text }));
            assert!(package["error"].is_string(), "{text}: {package}");
            assert!(!package.to_string().contains("c2VjcmV0"), "{package}");
        }
    }

    let one = jwks_but("use", json!("sig"));
    let jwk = &one[r#"{"keys":["#.len()..one.len() - 2];
    let twice = format!(r#"{{"keys":[{jwk},{jwk}]}}"#);
    let message = TrustedKeys::from_jwks(twice.as_bytes()).unwrap_err().to_string();
    assert!(message.contains("two keys have the kid `rfc`"), "{message}");
    assert!(ask_the_package(&json!({ "keys": twice }))["error"].is_string());
}

#[test]
fn secrets_are_not_shown() {
    let secret = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";
    let message = TrustedKeys::from_jwks(format!(r#"{{"keys":[{RFC_KEY}]}}"#).as_bytes()).unwrap_err().to_string();
    assert!(message.contains("keys[0]: this key is secret"), "{message}");
    assert!(!message.contains(secret), "{message}");

    for text in
        [RFC_KEY.replace("f2A\"", "f2B\""), RFC_KEY.replace("\"x\":\"11", "\"x\":\"22"), RFC_KEY.replace("A\",", "A")]
    {
        let message = SigningKey::from_jwk(text.as_bytes()).unwrap_err().to_string();
        assert!(!message.contains(&secret[..8]), "{message}");
    }

    let key = SigningKey::from_jwk(RFC_KEY.as_bytes()).unwrap();
    let debug = format!("{key:?}");
    assert!(debug.contains("rfc") && !debug.contains(&secret[..8]) && !debug.contains("157, 97"), "{debug}");
    assert!(key.to_jwk().contains(secret));
}

#[test]
fn signing_keys_that_cannot_sign_are_refused() {
    let cases = [
        (RFC_KEY.replace("\"d\":", "\"e\":"), "this is a public key"),
        (RFC_KEY.replace("\"x\":", "\"y\":"), "needs `x`"),
        (RFC_KEY.replace("\"kid\":", "\"key\":"), "has no `kid`"),
        (RFC_KEY.replace("[\"production\"]", "[]"), "bound to no environment"),
        (RFC_KEY.replace("\"d\":\"nWGxne_9", "\"d\":\""), "`d` is not 32 bytes long"),
        (RFC_KEY.replace("\"d\":\"nW", "\"d\":\"mW"), "`x` is not the public half of `d`"),
        (RFC_KEY.replace("\"OKP\"", "\"EC\""), "only `OKP` with `Ed25519`"),
        (format!("{RFC_KEY},"), "expected the end"),
        (format!(r#"{{"keys":[{RFC_KEY}]}}"#), "this is a set of public keys"),
    ];
    for (text, complaint) in cases {
        let message = SigningKey::from_jwk(text.as_bytes()).expect_err(&text).to_string();
        assert!(message.starts_with("not a signing key: ") && message.contains(complaint), "{message}");
    }
    assert!(SigningKey::generate(None, Vec::<String>::new()).is_err());
    assert!(SigningKey::generate(Some(""), ["production"]).is_err());
}

#[test]
fn generated_keys_differ_and_are_named_by_thumbprint() {
    let keys = [0, 1].map(|_| SigningKey::generate(None, ["production"]).unwrap().public());
    assert_ne!(keys[0].bytes(), keys[1].bytes());
    assert_ne!(keys[0].kid(), keys[1].kid());
    assert_eq!(keys[0].kid().len(), 43);
}

#[test]
fn trusted_keys_can_be_replaced() {
    let (old, new) = (key("k", "production"), key("k", "production"));
    let text = Envelope::sign(PAYLOAD, Typ::Snapshot, "production", &[&new]).unwrap();
    let keys = trust(&[&old]);
    assert!(verify(&text, &keys).is_err());
    let keys = keys.with(new.public());
    assert_eq!(keys.iter().count(), 1);
    assert!(verify(&text, &keys).is_ok());
    assert!(verify(&text, &keys.without("k")).is_err());
}
