//! The log of signed entries: who published what, when and why, and the snapshots that came of it.
//!
//! Each environment has a log of its own, objects of a store under the environment's name:
//!
//! ```text
//! production/entries/00000000000000000042.json             the entry of version 42, signed; what happened
//! production/snapshots/00000000000000000042-server-SHA256.json   a snapshot compiled from it, signed
//! production/current/server.json                           the newest snapshot, for clients, a CDN or a Worker to read
//! production/bookmarks/NAME.json                           up to which version somebody has read the log, to tell others of it
//! production/lock                                          taken while `current` moves, in a folder
//! ```
//!
//! # What holds
//!
//! * **An entry is created once.** Its number is taken by an atomic put that fails if the object exists, so of several
//!   writers one wins and the others get [`StoreError::Conflict`], read the new head and decide again.
//! * **The entry is the commit.** Its snapshots are put before it, under names that hold the SHA-256 of their payload, so
//!   that a writer which loses or dies leaves nothing behind that anyone reads. `current` moves after it; a writer
//!   that dies in between leaves it a version behind, and [`Log::append`] and [`Log::current`] set it right.
//! * **`current` only moves forward**, to what the newest entry names: in a folder under a lock, elsewhere by a put that
//!   fails if the object is not what it was when it was compared. So a writer that stalls across a kill brings nothing
//!   back. If `current` is newer than the newest entry, the log has lost entries (a backup was restored, say) and nothing
//!   is written: [`StoreError::Behind`]; [`Operator::recover`] goes on above it.
//! * **Entries form a chain.** Each holds the SHA-256 of the payload before it; versions rise. The newest must be signed
//!   by a trusted key, and vouches for all before it, so that a key can be retired without disowning what it signed.
//! * **What was acknowledged is on disk**: a file is synced before it gets its name, and its folder after that, before a
//!   put returns.
//! * **Entries stay**, and so the chain; [`Log::prune`] deletes old snapshots alone, which no client accepts any more.
//!
//! # What a store must do
//!
//! A folder must be on a file system that has hard links, atomic renames and `flock`, as local ones do; network file
//! systems that fake the last are no place for writers on several machines.
//!
//! A bucket must read its own writes, list what was written, and honour two conditions on puts (RFC 9110):
//! `If-None-Match: *`, by which an entry is created once, and `If-Match` with an ETag, by which `current` moves forward; both
//! are answered by 412 where they do not hold. A service that ignores them, as some do that speak S3, loses versions.
//!
//! | service | what is documented | what was verified |
//! |---|---|---|
//! | local folder | | eight processes at once, writers killed and stopped at any moment, the order of syncs |
//! | moto 5.2.5 | | eight processes at once, a writer that stalls before either put |
//! | Amazon S3 | strong consistency; both conditions on PutObject; 409 where two requests meet, which is tried again | nothing: it takes an account |
//! | Cloudflare R2 | strong consistency; both conditions on PutObject | nothing: it takes an account |
//!
//! A lifecycle rule that expires objects must not touch `entries` and `current`. Versioning of the bucket does no harm.
//!
//! Entries hold definitions and authors, and are for the back end's eyes; of all this only `current` is for the public.

mod decisions;
mod entry;
mod error;
mod log;
mod operation;
mod operator;

#[doc = include_str!("RUNBOOK.md")]
pub mod runbook {}

pub use entry::{Entry, NewEntry, Record};
pub use error::StoreError;
pub use log::{History, Log, Mark};
pub use operation::{Operation, Target};
pub use operator::{Meanwhile, OperationError, Operator, Outcome, Publication, Request};
