//! Feature flags and guarded rollouts: one engine, native and WebAssembly, fed by one signed snapshot, so that a user
//! lands in the same cohort everywhere.
#![warn(missing_docs)]
#![deny(unsafe_code)]

mod engine;
pub mod evaluate;
mod number;
pub mod snapshot;
#[cfg(feature = "control")]
pub mod store;
mod timestamp;
#[cfg(feature = "wasm")]
#[allow(unsafe_code)]
mod wasm;

#[cfg(feature = "ed25519")]
pub use engine::Engine;
pub use engine::{LoadError, Loaded};
pub use evaluate::{
    Context, ErrorCode, Evaluation, Evaluator, ExplainedStep, Explanation, Finding, FlagValue, Membership, Pin, Pins,
    Reason, Step, Truth, Value, bucketing,
};
pub use snapshot::{Audience, FlagType, Snapshot, SnapshotError};
pub use timestamp::{Timestamp, TimestampError};
