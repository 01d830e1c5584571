//! The JavaScript boundary: what costs is crossing it, so little crosses.
//!
//! Attributes have numbers, given when a snapshot loads. JavaScript writes a context's attributes into a buffer in the
//! module's memory and gets a whole number back; names and values stay on its side. `pkg-templates/src` is that side.

mod describe;
mod subject;
#[cfg(test)]
mod tests;

use crate::engine::Gatekeeper;
use crate::evaluate::{Outcome, Reason};
use crate::snapshot::{Audience, Envelope, TrustedKeys, Typ};
use crate::{ErrorCode, LoadError, Pin, Pins, Snapshot, Step, Timestamp};
use serde::Serialize;
use subject::Subject;
use wasm_bindgen::prelude::*;

// SAFETY: the module is built without threads.
#[cfg(target_arch = "wasm32")]
#[global_allocator]
static ALLOCATOR: lol_alloc::AssumeSingleThreaded<lol_alloc::FreeListAllocator> =
    unsafe { lol_alloc::AssumeSingleThreaded::new(lol_alloc::FreeListAllocator::new()) };

#[wasm_bindgen]
extern "C" {
    /// JavaScript's `Number(text)`, which rounds to the nearest double as Rust's `parse` does.
    #[wasm_bindgen(js_name = Number)]
    pub(crate) fn parse_number(text: &str) -> f64;
}

/// An error as JavaScript throws it.
fn thrown(message: &str) -> JsError {
    JsError::new(message)
}

fn trusted_keys(jwks: &str) -> Result<TrustedKeys, JsError> {
    TrustedKeys::from_jwks(jwks.as_bytes()).map_err(|error| thrown(&error.text()))
}

/// The clock: what the caller says, or where that is NaN, the system's.
fn clock(now: f64) -> Timestamp {
    let now = if now.is_nan() { js_sys::Date::now() } else { now };
    Timestamp::from_millis(now.floor() as i64)
}

/// Holds the newest snapshot that it was given, for one environment and audience.
///
/// To load one: [`Engine::open`] an envelope, verify one of the candidates with WebCrypto, [`Engine::take`] it.
#[wasm_bindgen]
pub struct Engine {
    gatekeeper: Gatekeeper,
    keys: TrustedKeys,
    /// Opened and not yet verified.
    opened: Option<Envelope>,
    snapshot: Option<Snapshot>,
    pins: Pins,
    subject: Subject,
    /// The results of [`Engine::evaluate_all`].
    all: Vec<f64>,
    last: Option<Outcome>,
}

/// A signature to check: any one that verifies makes the envelope good. Its kid, public key, signing input and signature,
/// without their names, for which serde-wasm-bindgen would keep a table.
#[derive(Serialize)]
struct Candidate<'a>(
    &'a str,
    #[serde(with = "bytes")] &'a [u8],
    #[serde(with = "bytes")] &'a [u8],
    #[serde(with = "bytes")] &'a [u8],
);

/// Bytes as a `Uint8Array`.
mod bytes {
    pub(super) fn serialize<S: serde::Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }
}

#[wasm_bindgen]
impl Engine {
    /// An engine that holds nothing yet.
    ///
    /// # Errors
    /// Where `audience` is neither `client` nor `server`.
    #[wasm_bindgen(constructor)]
    pub fn new(environment: String, audience: &str) -> Result<Engine, JsError> {
        let audience: Audience = audience.parse().map_err(|message: String| thrown(&message))?;
        Ok(Engine {
            gatekeeper: Gatekeeper::new(environment, audience),
            keys: TrustedKeys::default(),
            opened: None,
            snapshot: None,
            pins: Pins::default(),
            subject: Subject::default(),
            all: Vec::new(),
            last: None,
        })
    }

    /// Replaces the trusted keys, a JWK set; a key that is gone no longer counts from the next load on.
    ///
    /// # Errors
    /// Where the text is no set of Ed25519 keys.
    #[wasm_bindgen(js_name = setKeys)]
    pub fn set_keys(&mut self, jwks: &str) -> Result<(), JsError> {
        self.keys = trusted_keys(jwks)?;
        Ok(())
    }

    /// Reads an envelope and returns the signatures of which one must verify, as `[kid, publicKey, signingInput,
    /// signature]`.
    ///
    /// # Errors
    /// Where no trusted key signed it as it should be signed.
    pub fn open(&mut self, envelope: &[u8]) -> Result<JsValue, JsError> {
        let (envelope, candidates) = self.read(envelope, &self.keys, Typ::Snapshot)?;
        self.opened = Some(envelope);
        Ok(candidates)
    }

    /// The same for an envelope of pins, whose keys are a JWK set of their own.
    ///
    /// # Errors
    /// Where the keys are none, or none of them signed it as it should be signed.
    #[wasm_bindgen(js_name = openPins)]
    pub fn open_pins(&self, envelope: &[u8], jwks: &str) -> Result<JsValue, JsError> {
        let keys = trusted_keys(jwks)?;
        Ok(self.read(envelope, &keys, Typ::Pins)?.1)
    }

    fn read(&self, envelope: &[u8], keys: &TrustedKeys, typ: Typ) -> Result<(Envelope, JsValue), JsError> {
        let envelope = Envelope::parse(envelope).map_err(|error| thrown(&error.text()))?;
        let candidates =
            envelope.candidates(keys, self.gatekeeper.environment(), typ).map_err(|error| thrown(&error.text()))?;
        let candidates: Vec<Candidate<'_>> =
            candidates.iter().map(|of| Candidate(of.kid, of.public_key, &of.signing_input, of.signature)).collect();
        let candidates =
            serde_wasm_bindgen::to_value(&candidates).map_err(|_| thrown("the engine cannot hand this over"))?;
        Ok((envelope, candidates))
    }

    /// Takes the envelope opened last, one of whose candidates the caller has verified, and describes its snapshot (see
    /// `describe.rs`); undefined where it is the one held already.
    ///
    /// # Errors
    /// Where the snapshot is not taken; `name` says why in a word. What was held is held on.
    pub fn take(&mut self, now: f64) -> Result<Option<String>, JsValue> {
        let Some(envelope) = self.opened.take() else { return Ok(None) };
        let snapshot = match self.gatekeeper.take(envelope.into_payload(), clock(now)) {
            Ok(Some(snapshot)) => snapshot,
            Ok(None) => return Ok(None),
            Err(error) => {
                let thrown = js_sys::Error::new(&error.text());
                thrown.set_name(match error {
                    LoadError::Older { .. } | LoadError::Fork { .. } => "ReplayError",
                    LoadError::Expired { .. } => "ExpiredError",
                    _ => "SnapshotError",
                });
                return Err(thrown.into());
            }
        };
        self.subject.reset(snapshot.tables.attributes.spans.len());
        let description = describe::describe(&snapshot, self.snapshot.as_ref());
        self.snapshot = Some(snapshot);
        Ok(Some(description))
    }

    /// Pins a flag from now on: to a variant, or to `off` where there is none.
    pub fn pin(&mut self, flag: String, variant: Option<String>) {
        let pin = variant.map_or(Pin::Off, Pin::Variant);
        self.pins = std::mem::take(&mut self.pins).with(flag, pin);
    }

    /// Takes all pins away.
    pub fn unpin(&mut self) {
        self.pins = Pins::default();
    }

    /// Where in the module's memory a context of up to so many bytes is to be written, until more are asked for. What
    /// was written is kept.
    pub fn buffer(&mut self, bytes: usize) -> *mut u8 {
        self.subject.buffer(bytes).as_mut_ptr()
    }

    /// Decodes the context in the first `length` bytes of the buffer; it stays until the next. False where the bytes are
    /// not as agreed, which is a fault of this package (an error would cost every call an array).
    pub fn decode(&mut self, length: usize) -> bool {
        self.subject.decode(length)
    }

    /// Evaluates a flag for the context decoded last. The result is packed (see [`pack`]); `rule` and `until` say more.
    pub fn evaluate(&mut self, flag: u32, now: f64) -> u32 {
        let Some(snapshot) = &self.snapshot else { return NOT_READY };
        let outcome = snapshot.decide(flag, &self.subject, clock(now), &self.pins);
        self.last = Some(outcome);
        pack(&outcome)
    }

    /// The index of the rule that decided the last evaluation, or −1.
    pub fn rule(&self) -> i32 {
        self.last.as_ref().map_or(-1, rule)
    }

    /// From when on, in milliseconds, the clock may change the result of the last evaluation; infinity for never.
    pub fn until(&self) -> f64 {
        self.last.as_ref().map_or(f64::INFINITY, until)
    }

    /// Evaluates every flag for the context decoded last; where the results lie, in the flags' order: for each the packed
    /// one, the rule and until when.
    #[wasm_bindgen(js_name = evaluateAll)]
    pub fn evaluate_all(&mut self, now: f64) -> *const f64 {
        self.all.clear();
        if let Some(snapshot) = &self.snapshot {
            let now = clock(now);
            for flag in 0..snapshot.tables.flags.len() as u32 {
                let outcome = snapshot.decide(flag, &self.subject, now, &self.pins);
                self.all.extend([f64::from(pack(&outcome)), f64::from(rule(&outcome)), until(&outcome)]);
            }
        }
        self.all.as_ptr()
    }

    /// How a flag is decided for the context decoded last, step by step, as JSON.
    ///
    /// # Errors
    /// Where there is nothing to explain.
    pub fn explain(&self, flag: u32, now: f64) -> Result<String, JsError> {
        let snapshot = self.snapshot.as_ref().ok_or_else(|| thrown("no snapshot is loaded"))?;
        let (_, steps) = snapshot.decide_watched(flag, &self.subject, clock(now), &self.pins);
        Ok(describe::explain(&steps))
    }
}

fn rule(outcome: &Outcome) -> i32 {
    match outcome.step {
        Step::Rule(index) => i32::from(index),
        _ => -1,
    }
}

fn until(outcome: &Outcome) -> f64 {
    if outcome.until == Timestamp::MAX { f64::INFINITY } else { outcome.until.as_millis() as f64 }
}

/// Packs an outcome: variant (12 bits), reason (4), error code (4), step (4), key missing (1), whether there is an `until`
/// (1); `codes.ts` is the other half.
fn pack(outcome: &Outcome) -> u32 {
    let reason = match outcome.reason {
        Reason::Static => 0,
        Reason::Default => 1,
        Reason::TargetingMatch => 2,
        Reason::Split => 3,
        Reason::Disabled => 4,
        Reason::Stale => 5,
        Reason::Error => ERROR,
    };
    let error = match outcome.error {
        None => 0,
        Some(ErrorCode::ProviderNotReady) => PROVIDER_NOT_READY,
        Some(ErrorCode::FlagNotFound) => 2,
        Some(ErrorCode::TypeMismatch) => 3,
        Some(ErrorCode::General) => 4,
    };
    let step = match outcome.step {
        Step::OffPin => 0,
        Step::Kill => 1,
        Step::Disabled => 2,
        Step::OnPin => 3,
        Step::Unsupported => 4,
        Step::Prerequisite => 5,
        Step::Deny => 6,
        Step::Exclude => 7,
        Step::Allow => 8,
        Step::Holdout => 9,
        Step::Layer => 10,
        Step::Rule(_) => 11,
        Step::Default => 12,
    };
    let variant = u32::from(outcome.variant.unwrap_or(0));
    let flags = u32::from(outcome.key_missing) | u32::from(outcome.until != Timestamp::MAX) << 1;
    variant | reason << 12 | error << 16 | step << 20 | flags << 24
}

const ERROR: u32 = 6;
const PROVIDER_NOT_READY: u32 = 1;
/// What is evaluated before there is a snapshot.
const NOT_READY: u32 = ERROR << 12 | PROVIDER_NOT_READY << 16;
