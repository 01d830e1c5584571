//! What travels: the flag model, its checks, the signed envelope, the compiled form.
//!
#![doc = include_str!("FORMAT.md")]

mod base64url;
#[cfg(any(feature = "compiler", all(feature = "wasm", target_arch = "wasm32")))]
mod compiled;
#[cfg(feature = "definitions")]
pub mod definitions;
pub(crate) mod dependencies;
mod envelope;
pub(crate) mod json;
mod keys;
mod limits;
pub(crate) mod load;
pub(crate) mod model;
pub(crate) mod names;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) mod prepared;
mod read;
mod read_condition;

#[cfg(feature = "compiler")]
pub use compiled::complete;
pub use envelope::{Candidate, Envelope, EnvelopeError, Typ, Verified};
#[cfg(feature = "definitions")]
pub use keys::SigningKey;
pub use keys::{PublicKey, TrustedKeys};
pub use load::{Audience, Snapshot, SnapshotError};
pub use model::FlagType;
