//! What travels: the flag model, its checks, the signed envelope, the compiled form.

mod envelope;
mod json;
mod keys;

pub use envelope::{Candidate, Envelope, EnvelopeError, Typ, Verified};
#[cfg(feature = "definitions")]
pub use keys::SigningKey;
pub use keys::{PublicKey, TrustedKeys};
