use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Audience, Timestamp};

/// What an entry of the log says: the payload that is signed, as JSON with these members.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Counts up; whole, from 1 and below 2^53. The snapshots carry the same one.
    pub version: u64,
    /// What people wrote.
    pub definitions: Value,
    /// What operators' verbs and the controller changed.
    pub state: Value,
    /// Who did it.
    pub author: String,
    /// Why.
    pub reason: String,
    /// When, by the author's clock; RFC 3339.
    #[serde(with = "rfc3339")]
    pub time: Timestamp,
    /// SHA-256 of the payload of the entry before, in hexadecimal; null in the first.
    pub previous: Option<String>,
    /// SHA-256 of the payload of each snapshot compiled from it, in hexadecimal, by environment and audience:
    /// `production/server`.
    pub snapshots: BTreeMap<String, String>,
}

/// An entry as it stands in the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// What it says.
    pub entry: Entry,
    /// SHA-256 of its payload, in hexadecimal: what the next entry's `previous` must be.
    pub sha256: String,
    /// The trusted key that signed it; none where the key is no longer trusted and a newer entry vouches for it.
    pub kid: Option<String>,
}

/// What is to be appended to a log; the rest of an [`Entry`] follows from the log.
#[derive(Clone, Debug)]
pub struct NewEntry {
    /// See [`Entry::definitions`].
    pub definitions: Value,
    /// See [`Entry::state`].
    pub state: Value,
    /// See [`Entry::author`].
    pub author: String,
    /// See [`Entry::reason`].
    pub reason: String,
    /// See [`Entry::time`].
    pub time: Timestamp,
    /// The payloads of the snapshots compiled from it, one for each audience, at least one. Their version is that of the
    /// new entry: see [`Log::version_after`](super::Log::version_after).
    pub snapshots: Vec<String>,
}

/// The name under which an entry lists a snapshot.
pub(super) fn snapshot_name(environment: &str, audience: Audience) -> String {
    format!("{environment}/{audience}")
}

mod rfc3339 {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::Timestamp;

    pub(super) fn serialize<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(time)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}
