//! The log of signed entries: who published what, when and why, and the snapshots that came of it.
//!
//! Each environment has a log of its own, objects of a store under the environment's name:
//!
//! ```text
//! production/entries/00000000000000000042.json             the entry of version 42, signed; what happened
//! production/snapshots/00000000000000000042-server-SHA256.json   a snapshot compiled from it, signed
//! production/current/server.json                           the newest snapshot, for clients, a CDN or a Worker to read
//! production/lock                                          taken while `current` moves
//! ```
//!
//! # What holds
//!
//! * **An entry is created once.** Its number is taken by an atomic put that fails if the object exists, so of several
//!   writers one wins and the others get [`StoreError::Conflict`], read the new head and decide again.
//! * **The entry is the commit.** Its snapshots are put before it, under names that hold the SHA-256 of their payload, so
//!   that a writer which loses or dies leaves nothing behind that anyone reads. `current` moves after it; a writer
//!   that dies in between leaves it a version behind, and [`Log::append`] and [`Log::current`] set it right.
//! * **`current` only moves forward**, to what the newest entry names, under a lock. If it is newer than the newest
//!   entry, the log has lost entries (a backup was restored, say) and nothing is written: [`StoreError::Behind`].
//! * **Entries form a chain.** Each holds the SHA-256 of the payload before it; versions rise. The newest must be signed
//!   by a trusted key, and vouches for all before it, so that a key can be retired without disowning what it signed.
//! * **What was acknowledged is on disk**: files and their folders are synced before a put returns.
//!
//! Entries hold definitions and authors, and are for the back end's eyes; of all this only `current` is for the public.

mod entry;
mod error;
mod log;
mod operation;
mod operator;

pub use entry::{Entry, NewEntry, Record};
pub use error::StoreError;
pub use log::{History, Log};
pub use operation::{Operation, Target};
pub use operator::{Meanwhile, OperationError, Operator, Outcome, Publication, Request};
