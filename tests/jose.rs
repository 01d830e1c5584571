//! Envelopes against implementations that are not ours: `jose` (npm) in both directions, and WebCrypto.
#![cfg(feature = "definitions")]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use flagstone::snapshot::{Envelope, EnvelopeError, SigningKey, TrustedKeys, Typ};
use serde_json::{Value, json};

const PAYLOAD: &str = "{\"version\":1,\"note\":\"ngày 😀 \\\"quoted\\\" \u{2028}\",\r\n\"empty\":\"\"}";

/// Asks `tests/js/jose.mjs`; an error is what it wrote.
fn ask(request: &Value) -> Result<Value, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/js");
    assert!(folder.join("node_modules/jose").exists(), "jose is missing; run `npm ci` in tests/js");
    let mut node = Command::new("node")
        .arg("jose.mjs")
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("node is missing; install Node 20 or newer");
    node.stdin.take().unwrap().write_all(request.to_string().as_bytes()).unwrap();
    let output = node.wait_with_output().unwrap();
    if output.status.success() {
        Ok(serde_json::from_slice(&output.stdout).unwrap())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

fn jwk(key: &SigningKey) -> Value {
    serde_json::from_str(&key.to_jwk()).unwrap()
}

fn public_jwk(key: &SigningKey) -> Value {
    let jwks: Value = serde_json::from_str(&TrustedKeys::from_iter([key.public()]).to_jwks()).unwrap();
    jwks["keys"][0].clone()
}

fn header(kid: &str, alg: &str) -> Value {
    json!({"alg": alg, "b64": false, "crit": ["b64"], "kid": kid, "typ": Typ::Snapshot.as_str()})
}

#[test]
fn jose_accepts_ours() {
    let keys = ["a", "b"].map(|kid| SigningKey::generate(Some(kid), ["production"]).unwrap());
    let envelope = Envelope::sign(PAYLOAD, Typ::Snapshot, "production", &[&keys[0], &keys[1]]).unwrap();
    for (key, kid) in keys.iter().zip(["a", "b"]) {
        let answer = ask(&json!({"action": "verify", "envelope": envelope, "jwk": public_jwk(key)})).unwrap();
        assert_eq!(answer, json!({"payload": PAYLOAD, "protectedHeader": header(kid, "Ed25519")}));
    }

    let changed = envelope.replace("version", "Version");
    let error = ask(&json!({"action": "verify", "envelope": changed, "jwk": public_jwk(&keys[0])})).unwrap_err();
    assert!(error.contains("signature verification failed"), "{error}");
}

#[test]
fn ours_accepts_jose() {
    let keys = ["a", "b"].map(|kid| SigningKey::generate(Some(kid), ["production"]).unwrap());
    for alg in ["Ed25519", "EdDSA"] {
        let signers =
            [("a", &keys[0]), ("b", &keys[1])].map(|(k, key)| json!({"header": header(k, alg), "jwk": jwk(key)}));
        let answer = ask(&json!({"action": "sign", "payload": PAYLOAD, "signers": signers})).unwrap();
        let envelope = answer.as_str().unwrap();
        for (key, kid) in keys.iter().zip(["a", "b"]) {
            let trusted = TrustedKeys::from_iter([key.public()]);
            let verify = |text: &str| Envelope::parse(text.as_bytes())?.verify(&trusted, "production", Typ::Snapshot);
            let verified = verify(envelope).unwrap();
            assert_eq!((verified.payload.as_str(), verified.kid.as_str()), (PAYLOAD, kid));
            let changed = envelope.replace("version", "Version");
            assert_eq!(verify(&changed), Err(EnvelopeError::Signature { kids: vec![kid.to_owned()] }));
        }
    }
}

#[test]
fn webcrypto_agrees_on_candidates() {
    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
    let key = SigningKey::generate(None, ["production"]).unwrap();
    let trusted = TrustedKeys::from_iter([key.public()]);
    let text = Envelope::sign(PAYLOAD, Typ::Snapshot, "production", &[&key]).unwrap();
    for (text, genuine) in [(text.clone(), true), (text.replace("version", "Version"), false)] {
        let envelope = Envelope::parse(text.as_bytes()).unwrap();
        let candidates = envelope.candidates(&trusted, "production", Typ::Snapshot).unwrap();
        let request = json!({
            "action": "webcrypto",
            "publicKey": hex(candidates[0].public_key),
            "signingInput": hex(&candidates[0].signing_input),
            "signature": hex(candidates[0].signature),
        });
        assert_eq!(ask(&request).unwrap(), json!(genuine));
    }
}
