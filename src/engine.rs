//! Which snapshots are taken, and what is held.

use crate::Timestamp;
use crate::number::decimal;
#[cfg(feature = "ed25519")]
use crate::snapshot::EnvelopeError;
use crate::snapshot::{Audience, Snapshot, SnapshotError};
use std::fmt;

/// Why a snapshot was not taken. Whatever was held before is still held.
///
#[cfg_attr(feature = "definitions", doc = "```")]
#[cfg_attr(not(feature = "definitions"), doc = "```ignore")]
/// use flagstone::snapshot::{Envelope, SigningKey, TrustedKeys, Typ};
/// use flagstone::{Audience, Engine, LoadError, Timestamp};
///
/// let key = SigningKey::generate(None, ["test"])?;
/// let engine = Engine::new("test", Audience::Server, TrustedKeys::from_iter([key.public()]));
/// let load = |version: u64| {
///     let payload = format!(
///         r#"{{"schema": 1, "environment": "test", "audience": "server", "version": {version},
///             "created": "2026-11-21T12:00:00Z", "flags": {{}}}}"#
///     );
///     engine.load(Envelope::sign(&payload, Typ::Snapshot, "test", &[&key])?.as_bytes(), Timestamp::now())
/// };
/// load(2)?;
/// assert_eq!(load(1), Err(LoadError::Older { seen: 2, found: 1 }));
/// # Ok::<(), LoadError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoadError {
    /// Nobody trusted signed it.
    #[cfg(feature = "ed25519")]
    Envelope(EnvelopeError),
    /// What was signed is no snapshot.
    Snapshot(SnapshotError),
    /// It is for another environment.
    Environment {
        /// The environment that this engine is for.
        expected: String,
        /// The snapshot's.
        found: String,
    },
    /// It is for another audience.
    Audience {
        /// The audience that this engine is for.
        expected: Audience,
        /// The snapshot's.
        found: Audience,
    },
    /// A newer one was seen: this one is a replay, or comes from a cache that lags.
    Older {
        /// The newest version seen.
        seen: u64,
        /// The snapshot's.
        found: u64,
    },
    /// Another one of the same version was seen, which no honest publisher signs.
    Fork {
        /// The version that both have.
        version: u64,
    },
    /// Environment variables pin what the first snapshot does not have; the text says which, and what is allowed.
    #[cfg(feature = "ed25519")]
    Variables(String),
    /// It had expired before it was loaded.
    Expired {
        /// When.
        expires: Timestamp,
        /// What the clock says.
        now: Timestamp,
    },
}

impl LoadError {
    pub(crate) fn text(&self) -> String {
        match self {
            #[cfg(feature = "ed25519")]
            LoadError::Envelope(error) => error.text(),
            LoadError::Snapshot(error) => ["the payload is no snapshot: ", &error.text()].concat(),
            LoadError::Environment { expected, found } => pinned("environment", found, expected),
            LoadError::Audience { expected, found } => pinned("audience", found.name(), expected.name()),
            LoadError::Older { seen, found } => {
                let (seen, found) = (decimal(*seen as i64), decimal(*found as i64));
                ["version ", &found, " is older than version ", &seen, ", which was seen before"].concat()
            }
            LoadError::Fork { version } => {
                ["another version ", &decimal(*version as i64), " was seen before; versions never change"].concat()
            }
            #[cfg(feature = "ed25519")]
            LoadError::Variables(message) => message.clone(),
            LoadError::Expired { expires, now } => {
                let (expires, now) = (expires.text(), now.text());
                ["the snapshot expired at ", &expires, " and it is ", &now, " now; renew it, or set the clock"].concat()
            }
        }
    }
}

fn pinned(what: &str, found: &str, expected: &str) -> String {
    ["the snapshot is for the ", what, " `", found, "`, but `", expected, "` is pinned here"].concat()
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl std::error::Error for LoadError {}

#[cfg(feature = "ed25519")]
impl From<EnvelopeError> for LoadError {
    fn from(error: EnvelopeError) -> Self {
        LoadError::Envelope(error)
    }
}

/// What [`Engine::load`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loaded {
    /// It took the snapshot.
    New,
    /// It held that very snapshot already.
    Same,
}

/// Decides which verified payloads are taken: those for the environment and audience pinned, never older than one seen.
#[derive(Debug)]
pub(crate) struct Gatekeeper {
    environment: String,
    audience: Audience,
    newest: Option<Newest>,
}

/// The newest snapshot seen.
#[derive(Debug)]
struct Newest {
    version: u64,
    /// The payload of one that had expired: it was not taken, and still rules out older ones.
    expired: Option<String>,
}

impl Gatekeeper {
    pub(crate) fn new(environment: String, audience: Audience) -> Self {
        Gatekeeper { environment, audience, newest: None }
    }

    #[cfg(feature = "ed25519")]
    pub(crate) fn environment(&self) -> &str {
        &self.environment
    }

    /// Compiles a payload that is verified; `None` where it is that of the snapshot taken last, which is held.
    #[cfg(any(feature = "ed25519", test))]
    pub(crate) fn take(
        &mut self,
        payload: String,
        held: Option<&Snapshot>,
        now: Timestamp,
    ) -> Result<Option<Snapshot>, LoadError> {
        if self.is_held(&payload, held) {
            return Ok(None);
        }
        let snapshot = Snapshot::from_payload(payload).map_err(LoadError::Snapshot)?;
        self.admit(snapshot, now).map(Some)
    }

    /// Whether a payload is that of the snapshot taken last, which is held.
    pub(crate) fn is_held(&self, payload: &str, held: Option<&Snapshot>) -> bool {
        let expired = self.newest.as_ref().and_then(|newest| newest.expired.as_ref());
        expired.is_none() && held.is_some_and(|held| held.document() == payload)
    }

    /// The newest version seen, 0 where none was.
    #[cfg(feature = "wasm")]
    pub(crate) fn newest_version(&self) -> u64 {
        self.newest.as_ref().map_or(0, |newest| newest.version)
    }

    /// Takes a snapshot whose payload is verified, and is not that of the one held.
    pub(crate) fn admit(&mut self, snapshot: Snapshot, now: Timestamp) -> Result<Snapshot, LoadError> {
        if snapshot.environment() != self.environment {
            let (expected, found) = (self.environment.clone(), snapshot.environment().to_owned());
            return Err(LoadError::Environment { expected, found });
        }
        if snapshot.audience() != self.audience {
            return Err(LoadError::Audience { expected: self.audience, found: snapshot.audience() });
        }
        let version = snapshot.version();
        match &self.newest {
            Some(newest) if version < newest.version => {
                return Err(LoadError::Older { seen: newest.version, found: version });
            }
            Some(newest) if version == newest.version && newest.expired.as_deref() != Some(snapshot.document()) => {
                return Err(LoadError::Fork { version });
            }
            _ => {}
        }
        let expired = snapshot.expires().filter(|_| snapshot.has_expired(now));
        self.newest = Some(Newest { version, expired: expired.map(|_| snapshot.document().to_owned()) });
        match expired {
            Some(expires) => Err(LoadError::Expired { expires, now }),
            None => Ok(snapshot),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(version: u64, expires: &str) -> String {
        format!(
            r#"{{"schema":1,"environment":"production","audience":"client","version":{version},
            "created":"2026-11-21T12:00:00Z","expires":"{expires}","flags":{{}}}}"#
        )
    }

    #[test]
    fn what_had_expired_rules_out_older_ones_and_is_taken_when_the_clock_is_right() {
        let mut gatekeeper = Gatekeeper::new("production".to_owned(), Audience::Client);
        let [early, late] = ["2026-11-22T00:00:00Z", "2026-12-31T00:00:00Z"].map(|now| now.parse().unwrap());
        let [old, newer] = [payload(5, "2027-01-01T00:00:00Z"), payload(6, "2026-12-01T00:00:00Z")];
        let held = gatekeeper.take(payload(4, "2027-01-01T00:00:00Z"), None, late).unwrap().unwrap();
        let mut take = |payload: &str, held, now| gatekeeper.take(payload.to_owned(), Some(held), now);
        for _ in 0..2 {
            assert!(matches!(take(&newer, &held, late), Err(LoadError::Expired { .. })));
        }
        for (other, found) in [(&old, 5), (&held.document().to_owned(), 4)] {
            assert_eq!(take(other, &held, late).unwrap_err(), LoadError::Older { seen: 6, found });
        }
        let other = payload(6, "2027-01-01T00:00:00Z");
        assert_eq!(take(&other, &held, late).unwrap_err(), LoadError::Fork { version: 6 });
        let held = take(&newer, &held, early).unwrap().unwrap();
        assert_eq!(held.version(), 6);
        assert!(take(&newer, &held, late).unwrap().is_none(), "it is held");
        let longer = [&newer, " "].concat();
        assert_eq!(take(&longer, &held, early).unwrap_err(), LoadError::Fork { version: 6 });
    }
}

#[cfg(feature = "ed25519")]
mod native {
    use super::{Gatekeeper, LoadError, Loaded};
    use crate::Timestamp;
    use crate::snapshot::{Audience, Envelope, Snapshot, TrustedKeys, Typ};
    use crate::variables::VariablePins;
    use std::sync::{Arc, Mutex, PoisonError, RwLock};

    /// Holds the newest snapshot that it was given, for as long as a process runs; shared between threads.
    ///
    /// It takes a snapshot if a trusted key signed it, if it is for the environment and audience pinned, and if it is not
    /// older than one seen before. Otherwise it says why and goes on with what it holds.
    ///
    #[cfg_attr(feature = "definitions", doc = "```")]
    #[cfg_attr(not(feature = "definitions"), doc = "```ignore")]
    /// use flagstone::snapshot::{Envelope, SigningKey, TrustedKeys, Typ};
    /// use flagstone::{Audience, Context, Engine, Timestamp};
    ///
    /// # let key = SigningKey::generate(None, ["production"])?;
    /// # let payload = r#"{"schema": 1, "environment": "production", "audience": "server", "version": 7,
    /// #   "created": "2026-11-21T12:00:00Z", "flags": {"use_new_gateway": {"type": "boolean", "off": "off",
    /// #   "variants": {"on": true, "off": false}, "salt": "g-1", "default": "on"}}}"#;
    /// # let envelope = Envelope::sign(payload, Typ::Snapshot, "production", &[&key])?;
    /// # let trusted_keys = TrustedKeys::from_iter([key.public()]);
    /// let engine = Engine::new("production", Audience::Server, trusted_keys);
    /// engine.load(envelope.as_bytes(), Timestamp::now())?;
    ///
    /// if let Some(snapshot) = engine.snapshot() {
    ///     let flags = snapshot.at(Timestamp::now());
    ///     assert!(flags.boolean("use_new_gateway", false, &Context::new("user-42")));
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[derive(Debug)]
    pub struct Engine {
        keys: RwLock<TrustedKeys>,
        gatekeeper: Mutex<Gatekeeper>,
        snapshot: RwLock<Option<Arc<Snapshot>>>,
        variables: VariablePins,
    }

    impl Engine {
        /// An engine for one environment and audience that holds nothing yet.
        pub fn new(environment: impl Into<String>, audience: Audience, keys: TrustedKeys) -> Self {
            Engine {
                keys: RwLock::new(keys),
                gatekeeper: Mutex::new(Gatekeeper::new(environment.into(), audience)),
                snapshot: RwLock::new(None),
                variables: VariablePins::default(),
            }
        }

        /// The same, with flags pinned by environment variables. Where these pin what the first snapshot does not have, it
        /// is not taken ([`LoadError::Variables`]); a later one is, and what they pin of it is an error
        /// ([`Snapshot::unfit_variables`]).
        #[must_use]
        pub fn with_variables(self, variables: VariablePins) -> Self {
            Engine { variables, ..self }
        }

        /// Replaces the trusted keys; a key that is gone no longer counts from the next load on.
        pub fn set_keys(&self, keys: TrustedKeys) {
            *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        }

        /// Verifies a signed envelope and takes its snapshot.
        ///
        /// # Errors
        /// Where it is not taken; what was held is held on.
        pub fn load(&self, envelope: &[u8], now: Timestamp) -> Result<Loaded, LoadError> {
            // Held to the end, so that of two loads at once the newer stays.
            let mut gatekeeper = self.gatekeeper.lock().unwrap_or_else(PoisonError::into_inner);
            let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
            let verified = Envelope::parse(envelope)?.verify(&keys, gatekeeper.environment(), Typ::Snapshot)?;
            let (payload, pinned) = self.variables.apply(verified.payload);
            if self.snapshot().is_none() {
                pinned.check()?;
            }
            let taken = gatekeeper.take(payload, self.snapshot().as_deref(), now)?;
            let Some(mut snapshot) = taken else { return Ok(Loaded::Same) };
            snapshot.pinned = pinned;
            *self.snapshot.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(snapshot));
            Ok(Loaded::New)
        }

        /// What is held. In a hot path, ask once for many evaluations.
        pub fn snapshot(&self) -> Option<Arc<Snapshot>> {
            self.snapshot.read().unwrap_or_else(PoisonError::into_inner).clone()
        }
    }
}

#[cfg(feature = "ed25519")]
pub use native::Engine;
