//! What travels: the flag model, its checks, the signed envelope, the compiled form.
//!
#![doc = include_str!("FORMAT.md")]

pub(crate) mod json;
pub(crate) mod load;
pub(crate) mod model;
pub(crate) mod names;

pub use load::{Audience, Snapshot, SnapshotError};
pub use model::FlagType;
