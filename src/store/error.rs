use std::{fmt, io};

use crate::snapshot::EnvelopeError;

/// Why a log could not be read or written.
#[derive(Debug)]
#[non_exhaustive]
pub enum StoreError {
    /// The place that was named cannot hold a log; the text says why.
    Location(String),
    /// What was asked for does not fit the log; the text says why. Nothing was written.
    Refused(String),
    /// Somebody else created this version first. Nothing was committed; read the new head, and decide again.
    Conflict {
        /// The version that is taken.
        version: u64,
    },
    /// There is no such object.
    Missing {
        /// Where it should be.
        path: String,
    },
    /// The store failed.
    Object {
        /// The object.
        path: String,
        /// What the store says.
        source: object_store::Error,
    },
    /// An object is not signed as it must be.
    Signature {
        /// The object.
        path: String,
        /// What is wrong.
        source: EnvelopeError,
    },
    /// An object does not say what it must, or an entry does not follow from the one before; the text says how.
    Corrupt {
        /// The object.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// `current` is not what the log's entries lead to, but newer, or another snapshot of the newest version: the log has
    /// lost entries.
    Behind {
        /// The `current` object.
        path: String,
        /// The version it holds.
        current: u64,
        /// The newest entry's version, 0 if there is none.
        head: u64,
    },
    /// `current` does not hold the newest entry's snapshot. The next append or read of `current` puts it there.
    Unserved {
        /// The `current` object.
        path: String,
        /// What it is instead.
        problem: String,
        /// The newest entry's version.
        version: u64,
    },
    /// The lock could not be had.
    Lock {
        /// The lock file.
        path: String,
        /// What the system says.
        source: io::Error,
    },
    /// The entry is in the log, but `current` could not be moved to it. The next append or read of `current` will.
    Committed {
        /// The version that was committed.
        version: u64,
        /// Why `current` could not be moved.
        source: Box<StoreError>,
    },
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Location(message) | StoreError::Refused(message) => f.write_str(message),
            StoreError::Conflict { version } => {
                write!(f, "version {version} was published by somebody else just now; look at it, and try again")
            }
            StoreError::Missing { path } => {
                write!(f, "{path}: there is no such object; if there was one, restore it from a backup")
            }
            StoreError::Object { path, source } => {
                write!(f, "the store cannot be read or written, at {path}: {source}")
            }
            StoreError::Signature { path, source } => write!(f, "{path}: {source}"),
            StoreError::Corrupt { path, problem } => write!(f, "{path}: {problem}"),
            StoreError::Behind { path, current, head } => {
                write!(f, "{path}: clients were served ")?;
                match current == head {
                    true => write!(f, "another snapshot of version {current} than the log holds")?,
                    false => write!(f, "version {current}, which the log, at {head}, does not hold")?,
                }
                write!(
                    f,
                    "; restore the missing entries, or run `flagstone recover --above {current}` to publish above it"
                )
            }
            StoreError::Unserved { path, problem, version } => {
                write!(f, "{path}: {problem}, so version {version} is not being served; publish again to put it right")
            }
            StoreError::Lock { path, source } => write!(f, "{path}: cannot lock it: {source}"),
            StoreError::Committed { version, source } => write!(
                f,
                "version {version} is in the log, but is not being served yet: {source}; once that is mended, anything \
                 that reads `current` completes it"
            ),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            StoreError::Object { source, .. } => Some(source),
            StoreError::Signature { source, .. } => Some(source),
            StoreError::Lock { source, .. } => Some(source),
            StoreError::Committed { source, .. } => Some(source),
            _ => None,
        }
    }
}
