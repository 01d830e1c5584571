//! Feature flags and guarded rollouts: one engine, native and WebAssembly, fed by one signed snapshot.
#![warn(missing_docs)]
#![deny(unsafe_code)]

pub mod evaluate;
pub mod snapshot;
