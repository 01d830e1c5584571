//! What travels: the flag model, its checks, the signed envelope, the compiled form.

#[cfg(feature = "definitions")]
pub mod definitions;
