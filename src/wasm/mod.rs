//! The JavaScript boundary: what costs is crossing it, so little crosses.
//!
//! Functions as C calls them, over the module's memory; `pkg-templates/src/engine.ts` is the other side. Attributes have
//! numbers, given when a snapshot loads. JavaScript writes a context's attributes into a buffer and gets a whole number back;
//! names and values stay on its side. A text goes in through [`input`]; texts come out of the tools alone, through `output`.
//!
//! JavaScript keeps what [`create`] gave it, hands it to one function at a time, and to none after [`discard`]: what the
//! references here ask for. The module has one thread, and the one function that it calls does not call back.

#[cfg(feature = "wasm-tools")]
mod explain;
mod subject;
#[cfg(test)]
mod tests;

use crate::engine::Gatekeeper;
use crate::evaluate::{Outcome, Reason};
use crate::snapshot::Audience;
use crate::{ErrorCode, LoadError, Pin, Pins, Snapshot, Step, Timestamp};
use std::mem::take as taken;
pub(crate) use subject::Encoded;
use subject::Subject;

// SAFETY: the module is built without threads.
#[global_allocator]
static ALLOCATOR: lol_alloc::AssumeSingleThreaded<lol_alloc::FreeListAllocator> =
    unsafe { lol_alloc::AssumeSingleThreaded::new(lol_alloc::FreeListAllocator::new()) };

/// JavaScript's `Number(text)`, which rounds to the nearest double as Rust's `parse` does.
#[cfg(not(test))]
pub(crate) fn parse_number(text: &str) -> f64 {
    #[link(wasm_import_module = "js")]
    unsafe extern "C" {
        fn number(text: *const u8, length: usize) -> f64;
    }
    // SAFETY: JavaScript reads the text while it is borrowed, and nothing else.
    unsafe { number(text.as_ptr(), text.len()) }
}

#[cfg(test)]
pub(crate) use tests::parse_number;

#[cfg_attr(flagstone_download, optimize(speed))]
fn clock(now: f64) -> Timestamp {
    Timestamp::from_millis(now.floor() as i64)
}

/// Holds the newest snapshot that it was given, for one environment and audience.
pub struct Engine {
    gatekeeper: Gatekeeper,
    snapshot: Option<Snapshot>,
    pins: Pins,
    subject: Subject,
    /// The results of [`evaluateAll`].
    all: Vec<[i32; 2]>,
    last: Option<Outcome>,
    input: Vec<u8>,
    #[cfg(feature = "wasm-tools")]
    output: String,
    /// Whether flags with regular expressions are errors.
    lacks_patterns: bool,
    /// [`INTACT`], unless something wrote over the module's memory.
    intact: u32,
}

const INTACT: u32 = 0x9e37_79b1;

impl Engine {
    /// What decides. Memory that something wrote over is a trap here, for which JavaScript makes the engine anew, and not a
    /// result.
    #[inline]
    #[cfg_attr(flagstone_download, optimize(speed))]
    fn snapshot(&self) -> Option<&Snapshot> {
        assert!(self.intact == INTACT);
        self.snapshot.as_ref()
    }

    /// The text that JavaScript wrote; empty where it is none.
    fn input(&mut self) -> String {
        String::from_utf8(taken(&mut self.input)).unwrap_or_default()
    }
}

/// An engine that holds nothing yet, for no environment.
#[unsafe(no_mangle)]
pub extern "C" fn create() -> Box<Engine> {
    Box::new(Engine {
        gatekeeper: Gatekeeper::new(String::new(), Audience::Client),
        snapshot: None,
        pins: Pins::default(),
        subject: Subject::default(),
        all: Vec::new(),
        last: None,
        input: Vec::new(),
        #[cfg(feature = "wasm-tools")]
        output: String::new(),
        lacks_patterns: cfg!(not(feature = "regex")),
        intact: INTACT,
    })
}

/// Whether it knows regular expressions.
#[unsafe(no_mangle)]
pub extern "C" fn patterns() -> bool {
    cfg!(feature = "regex")
}

/// Frees an engine.
#[unsafe(no_mangle)]
pub extern "C" fn discard(_: Box<Engine>) {}

/// Where the next function's text is to be written: so many bytes of UTF-8.
#[unsafe(no_mangle)]
pub extern "C" fn input(engine: &mut Engine, length: usize) -> *mut u8 {
    engine.input = vec![0; length];
    engine.input.as_mut_ptr()
}

/// Where the last function's text stands.
#[cfg(feature = "wasm-tools")]
#[unsafe(no_mangle)]
pub extern "C" fn output(engine: &Engine) -> *const u8 {
    engine.output.as_ptr()
}

/// How many bytes of UTF-8 it has.
#[cfg(feature = "wasm-tools")]
#[unsafe(no_mangle)]
#[allow(non_snake_case)]
pub extern "C" fn outputLength(engine: &Engine) -> usize {
    engine.output.len()
}

/// Says what it is for: the environment in the input, and which audience.
#[unsafe(no_mangle)]
pub extern "C" fn bind(engine: &mut Engine, server: bool) {
    let audience = if server { Audience::Server } else { Audience::Client };
    engine.gatekeeper = Gatekeeper::new(engine.input(), audience);
}

/// Takes the payload in the input, which the caller has verified. Where it is not taken, what was held is held on; an incomplete one
/// asks to be completed first.
#[unsafe(no_mangle)]
pub extern "C" fn take(engine: &mut Engine, now: f64) -> Taken {
    let payload = engine.input();
    if engine.gatekeeper.is_held(&payload, engine.snapshot.as_ref()) {
        return Taken::Same;
    }
    let Ok(snapshot) = Snapshot::from_completed(payload, engine.lacks_patterns) else { return Taken::Incomplete };
    match engine.gatekeeper.admit(snapshot, clock(now)) {
        Ok(snapshot) => {
            engine.subject.reset(&snapshot.tables);
            engine.snapshot = Some(snapshot);
            Taken::New
        }
        Err(LoadError::Older { .. }) => Taken::Older,
        Err(LoadError::Fork { .. }) => Taken::Fork,
        Err(LoadError::Expired { .. }) => Taken::Expired,
        Err(LoadError::Environment { .. }) => Taken::Environment,
        Err(LoadError::Audience { .. }) => Taken::Audience,
        Err(LoadError::Snapshot(_)) => Taken::Incomplete,
    }
}

/// What came of a snapshot. JavaScript has words for those that are not taken (`pkg-templates/src/words.ts`).
#[repr(u32)]
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    New,
    /// It is the one that is held.
    Same,
    /// What browsers evaluate is missing in it, or of another format, or was compiled from another document.
    Incomplete,
    /// A newer one was seen.
    Older,
    /// Another one of the same version was seen.
    Fork,
    Expired,
    /// It is for another one.
    Environment,
    Audience,
}

/// The newest version seen, 0 where none was.
#[unsafe(no_mangle)]
pub extern "C" fn newest(engine: &Engine) -> f64 {
    engine.gatekeeper.newest_version() as f64
}

/// Pins a flag from now on: to a variant, or to `off`. The input holds the flag's key, of so many bytes, and the variant.
#[unsafe(no_mangle)]
pub extern "C" fn pin(engine: &mut Engine, flag: usize, off: bool) {
    let mut flag_and_variant = engine.input();
    if flag_and_variant.is_char_boundary(flag) {
        let variant = flag_and_variant.split_off(flag);
        let pin = if off { Pin::Off } else { Pin::Variant(variant) };
        engine.pins = taken(&mut engine.pins).with(flag_and_variant, pin);
    }
}

/// Takes all pins away.
#[unsafe(no_mangle)]
pub extern "C" fn unpin(engine: &mut Engine) {
    engine.pins = Pins::default();
}

/// Where in the module's memory a context of up to so many bytes is to be written, until more are asked for. What was
/// written is kept.
#[unsafe(no_mangle)]
pub extern "C" fn buffer(engine: &mut Engine, bytes: usize) -> *mut u8 {
    engine.subject.buffer(bytes)
}

/// Where it is to be written in which place of that the value of each attribute begins: a `u32` by the attribute's number, 0
/// for none. They are all 0 when a snapshot was taken, which moves them.
#[unsafe(no_mangle)]
pub extern "C" fn places(engine: &mut Engine) -> *mut u32 {
    engine.subject.places()
}

/// Says that from now on other values are written where earlier ones stand, from the buffer's start.
#[unsafe(no_mangle)]
pub extern "C" fn forget(engine: &mut Engine) {
    engine.subject.forget();
}

/// Evaluates a flag for the context written last. The result is packed (see [`pack`]); [`rule`] and [`until`] say more.
#[unsafe(no_mangle)]
#[cfg_attr(flagstone_download, optimize(speed))]
pub extern "C" fn evaluate(engine: &mut Engine, flag: u32, now: f64) -> u32 {
    let Some(snapshot) = engine.snapshot() else { return NOT_READY };
    let outcome = snapshot.decide(flag, &engine.subject, clock(now), &engine.pins);
    engine.last = Some(outcome);
    pack(&outcome)
}

/// The index of the rule that decided the last evaluation, or −1.
#[unsafe(no_mangle)]
pub extern "C" fn rule(engine: &Engine) -> i32 {
    engine.last.as_ref().map_or(-1, rule_of)
}

/// From when on, in milliseconds, the clock may change the result of the last evaluation; infinity for never.
#[unsafe(no_mangle)]
pub extern "C" fn until(engine: &Engine) -> f64 {
    engine.last.as_ref().map_or(f64::INFINITY, until_of)
}

/// Evaluates every flag for the context written last; where the results lie, in the flags' order: for each the packed one and
/// the rule.
#[unsafe(no_mangle)]
#[allow(non_snake_case)]
#[cfg_attr(flagstone_download, optimize(speed))]
pub extern "C" fn evaluateAll(engine: &mut Engine, now: f64) -> *const [i32; 2] {
    let mut all = taken(&mut engine.all);
    if let Some(snapshot) = engine.snapshot() {
        let now = clock(now);
        all.resize(snapshot.tables.flags.len(), [0; 2]);
        for (flag, result) in all.iter_mut().enumerate() {
            let outcome = snapshot.decide(flag as u32, &engine.subject, now, &engine.pins);
            *result = [pack(&outcome) as i32, rule_of(&outcome)];
        }
    }
    engine.all = all;
    engine.all.as_ptr()
}

/// Says in the output how a flag is decided for the context written last, step by step, as JSON. False where there is
/// nothing to explain.
#[cfg(feature = "wasm-tools")]
#[unsafe(no_mangle)]
pub extern "C" fn explain(engine: &mut Engine, flag: u32, now: f64) -> bool {
    let Some(snapshot) = engine.snapshot() else { return false };
    let (_, steps) = snapshot.decide_watched(flag, &engine.subject, clock(now), &engine.pins);
    engine.output = explain::explain(&steps);
    true
}

/// Has the engine lack what runs regular expressions, as that which it explains does.
#[cfg(feature = "wasm-tools")]
#[unsafe(no_mangle)]
#[allow(non_snake_case)]
pub extern "C" fn withoutPatterns(engine: &mut Engine) {
    engine.lacks_patterns = true;
}

/// Completes the payload in the input, into the output; where it is no snapshot's, that says why not.
#[cfg(feature = "wasm-tools")]
#[unsafe(no_mangle)]
pub extern "C" fn complete(engine: &mut Engine) -> bool {
    let completed = crate::snapshot::complete(&engine.input());
    let is_complete = completed.is_ok();
    engine.output = completed.unwrap_or_else(|error| LoadError::Snapshot(error).text());
    is_complete
}

#[cfg_attr(flagstone_download, optimize(speed))]
fn rule_of(outcome: &Outcome) -> i32 {
    match outcome.step {
        Step::Rule(index) => i32::from(index),
        _ => -1,
    }
}

#[cfg_attr(flagstone_download, optimize(speed))]
fn until_of(outcome: &Outcome) -> f64 {
    if outcome.until == Timestamp::MAX { f64::INFINITY } else { outcome.until.as_millis() as f64 }
}

/// Packs an outcome: variant (12 bits), reason (4), error code (4), step (4), key missing (1), whether there is an `until`
/// (1); `codes.ts` is the other half.
#[cfg_attr(flagstone_download, optimize(speed))]
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
