//! What a publisher compiled, beside the document it was compiled from: browsers evaluate it without reading the document.
//!
//! Whoever reads JSON strictly has to bring what does, which was a third of the download and most of the time that loading
//! took. `compiled` in `FORMAT.md` describes the member that spares it. Here are the two halves: what writes the member
//! ([`Snapshot::completed`]) and what reads it ([`Snapshot::from_completed`]).
//!
//! The tables of `model.rs` travel as one stream of bytes in base64url, in the order in which the reader of documents fills
//! them. A record's own runs follow it, so that they lie where they should however they are read; what refers to another
//! place is a number, which the reader makes sure exists. That prerequisites and segments go in no circles it does not: the
//! publisher has, and a stream is trusted as far as who signed it; what would come of one is a trap.
//!
//! | | |
//! |---|---|
//! | whole number | LEB128; where it may be negative, zigzag |
//! | text of the document | how far from the end of the text before it, as a whole number that may be negative, and its bytes; texts that stand in the document with escapes stand without them in a pool, as if it followed the document |
//! | run | how many, then each |
//! | what may be absent | 0, or 1 and what it is |
//! | condition of a rule or segment | likewise; or 2 and the number of an earlier condition, which is the same (never one with hashes, which are made with the flag's key) |
//!
//! The stream begins with [`FORMAT`], the hash of the document up to the member (XXH3, eight bytes) and how long that is. What
//! has another format, or belongs to another document, for somebody edited it, is not read; then the document is.

#[cfg(any(all(test, feature = "definitions"), all(feature = "wasm", target_arch = "wasm32")))]
mod read;
#[cfg(feature = "compiler")]
mod write;

#[cfg(all(test, feature = "definitions"))]
mod tests;

#[cfg(feature = "compiler")]
pub use write::complete;

/// Another one, whenever streams change.
const FORMAT: u8 = 2;
/// What comes between the document and what was compiled from it.
const MEMBER: &str = ",\"compiled\":{";
