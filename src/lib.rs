//! Feature flags and guarded rollouts: one engine, native and WebAssembly, fed by one signed snapshot, so that a user
//! lands in the same cohort everywhere.
//!
//! | you want to | look at |
//! |---|---|
//! | decide flags in a back end | [`Engine`], which holds the newest snapshot, [`Context`], [`Evaluator`] |
//! | ask for a flag again and again, where nanoseconds count | [`FlagHandle`] |
//! | know why a flag was decided so | [`Evaluation`], [`Evaluator::explain`], [the order of precedence](evaluate) |
//! | know what travels | [the snapshot's format](snapshot), [`Envelope`](snapshot::Envelope) |
//! | know where a user stands | [`bucketing`] |
//! | pin flags by environment variables | `VariablePins`, with feature `ed25519`, a default |
//! | write, check, compile and sign definitions | `snapshot::definitions`, with feature `definitions` |
//! | plan a rollout, and know what it does next | `rollout`, with feature `definitions` |
//! | keep what was published | `store`, with feature `control` |
//! | run rollouts by what Prometheus measures | `controller`, with feature `control` |
//! | serve it to others | `server`, with feature `control` |
//!
//! Data flows one way: definitions → snapshot → engine → evaluation. Nothing here asks the network or, once a snapshot is
//! loaded, the clock: instants are passed in.
//!
//! ```
//! use flagstone::{Context, Snapshot, Timestamp};
//!
//! // In production a snapshot comes signed, through `Engine::load`.
//! let snapshot = Snapshot::from_payload(r#"{
//!     "schema": 1, "environment": "test", "audience": "server", "version": 1, "created": "2026-11-21T12:00:00Z",
//!     "flags": {"new_checkout": {
//!         "type": "boolean", "variants": {"on": true, "off": false}, "off": "off", "salt": "new_checkout-1",
//!         "default": {"ramp": {"percent": 25000, "serve": "on"}}
//!     }}
//! }"#)?;
//! let flags = snapshot.at(Timestamp::now());
//! let users = (0..1_000).map(|user| Context::new(format!("user-{user}")));
//! let on = users.filter(|user| flags.boolean("new_checkout", false, user)).count();
//! assert!((200..300).contains(&on), "about a quarter");
//! # Ok::<(), flagstone::SnapshotError>(())
//! ```
#![warn(missing_docs)]
#![cfg_attr(flagstone_download, feature(optimize_attribute))]
#![deny(unsafe_code)]

#[cfg(feature = "control")]
pub mod controller;
mod engine;
pub mod evaluate;
mod number;
#[cfg(feature = "definitions")]
pub mod rollout;
#[cfg(feature = "control")]
pub mod server;
pub mod snapshot;
#[cfg(feature = "control")]
pub mod store;
mod timestamp;
#[cfg(feature = "ed25519")]
mod variables;
#[cfg(all(feature = "wasm", target_arch = "wasm32"))]
#[allow(unsafe_code)]
mod wasm;

#[cfg(feature = "ed25519")]
pub use engine::Engine;
pub use engine::{LoadError, Loaded};
pub use evaluate::{
    Context, ErrorCode, Evaluation, Evaluator, ExplainedStep, Explanation, Finding, FlagHandle, FlagKey, FlagValue,
    Membership, Pin, Pins, Reason, Step, Truth, Value, bucketing,
};
pub use snapshot::{Audience, FlagType, Snapshot, SnapshotError};
pub use timestamp::{Timestamp, TimestampError};
#[cfg(feature = "ed25519")]
pub use variables::{VariableError, VariableNames, VariablePins};
