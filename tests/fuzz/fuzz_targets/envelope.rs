//! Whatever bytes come as an envelope, they are refused, or they say what the one trusted key signed.
#![no_main]

use flagstone::snapshot::{Envelope, TrustedKeys, Typ};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

/// The key of RFC 8037 appendix A, which signed the seed.
static KEYS: LazyLock<TrustedKeys> = LazyLock::new(|| {
    TrustedKeys::from_jwks(
        br#"{"keys":[{"kty":"OKP","crv":"Ed25519","alg":"Ed25519","kid":"rfc","environments":["production"],
            "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#,
    )
    .expect("these are keys")
});

/// All that it ever signed.
const SIGNED: &str = r#"{"version":1,"note":"ngày 😀 \"quoted\""}"#;

fuzz_target!(|bytes: &[u8]| {
    let _ = TrustedKeys::from_jwks(bytes);
    let Ok(envelope) = Envelope::parse(bytes) else { return };
    for typ in [Typ::Snapshot, Typ::Entry] {
        for environment in ["production", "staging"] {
            let candidates = envelope.candidates(&KEYS, environment, typ);
            assert!(candidates.is_err() || environment == "production");
            assert!(candidates.as_ref().is_ok_and(|candidates| !candidates.is_empty()) || candidates.is_err());
            if let Ok(verified) = envelope.verify(&KEYS, environment, typ) {
                assert_eq!((verified.payload.as_str(), verified.kid.as_str(), typ), (SIGNED, "rfc", Typ::Snapshot));
            }
        }
    }
});
