//! What an environment serves: the newest snapshots of its log, followed for as long as the server runs.

use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::HeaderValue;
use serde::Serialize;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use super::metrics::Metrics;
use crate::snapshot::{Envelope, TrustedKeys};
use crate::store::{Log, Mark, StoreError};
use crate::{Audience, Engine, LoadError, Snapshot, Timestamp, VariablePins};

/// A store that does not answer for so long counts as gone.
const STORE_PATIENCE: Duration = Duration::from_secs(15);
/// Whoever asks how things are learns of a store that does not answer before it counts as gone.
const STALLED: Duration = Duration::from_secs(5);
/// The marks of `current` say nothing of a writer that died before it moved them; so often the entries are looked at.
const LOOK_AT_ENTRIES: Duration = Duration::from_secs(10);
/// However many clients hint at a newer version, the store is not asked more often.
const HINT_PAUSE: Duration = Duration::from_millis(200);

/// A snapshot as it is served.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) snapshot: Arc<Snapshot>,
    /// The envelope, byte by byte as it stands in the store; then compressed.
    pub(super) plain: Bytes,
    pub(super) brotli: Bytes,
    pub(super) gzip: Bytes,
    /// SHA-256 of the envelope in hexadecimal, cut to 32 digits: what its ETags are made of.
    pub(super) digest: String,
}

/// What is served of an environment.
#[derive(Clone, Debug, Default)]
pub(super) struct Published {
    pub(super) server: Option<Held>,
    pub(super) client: Option<Held>,
}

impl Published {
    pub(super) fn of(&self, audience: Audience) -> Option<&Held> {
        match audience {
            Audience::Server => self.server.as_ref(),
            Audience::Client => self.client.as_ref(),
        }
    }

    /// The newest version, 0 where nothing was published.
    pub(super) fn version(&self) -> u64 {
        [&self.server, &self.client].into_iter().flatten().map(|held| held.snapshot.version()).max().unwrap_or(0)
    }
}

/// How an environment is doing.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Health {
    pub(super) status: Status,
    /// The version that is served.
    pub(super) version: Option<u64>,
    /// When it was published.
    pub(super) created: Option<Timestamp>,
    /// Since when the store was last read without fault.
    pub(super) seconds_since_read: Option<u64>,
    /// What is amiss, in words that give nothing away.
    pub(super) reasons: Vec<String>,
}

/// In order: the worst is what counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Status {
    /// All is well.
    Ok,
    /// What was read last is served on.
    Degraded,
    /// There is nothing to serve.
    Unavailable,
}

/// What is amiss with the store.
#[derive(Clone, Debug)]
pub(super) struct Trouble {
    since: Timestamp,
    /// For everyone.
    summary: &'static str,
    /// For operators: names objects and folders.
    pub(super) detail: String,
}

#[derive(Debug, Default)]
struct Seen {
    mark: Option<Mark>,
    /// By the clock that does not jump.
    entries_at: Option<Instant>,
    read_at: Option<Instant>,
    trouble: Option<Trouble>,
}

/// Follows the log of one environment.
pub(super) struct Feed {
    pub(super) environment: String,
    pub(super) log: Log,
    engines: [Engine; 2],
    published: watch::Sender<Arc<Published>>,
    seen: Mutex<Seen>,
    hinted: Notify,
    /// Held while somebody looks: of two at once, the slower might put back what is older.
    looking: tokio::sync::Mutex<()>,
    /// What is pinned where this server evaluates.
    variables: VariablePins,
    /// How often to look.
    poll: Duration,
    metrics: Arc<Metrics>,
}

impl Feed {
    pub(super) fn new(
        log: Log,
        keys: &TrustedKeys,
        variables: &VariablePins,
        poll: Duration,
        metrics: Arc<Metrics>,
    ) -> Feed {
        let environment = log.environment().to_owned();
        let engine = |audience| Engine::new(environment.as_str(), audience, keys.clone());
        Feed {
            engines: [engine(Audience::Server), engine(Audience::Client)],
            log,
            published: watch::Sender::new(Arc::default()),
            seen: Mutex::default(),
            hinted: Notify::new(),
            looking: tokio::sync::Mutex::default(),
            variables: variables.clone(),
            poll,
            metrics,
            environment,
        }
    }

    /// What is served now.
    pub(super) fn published(&self) -> Arc<Published> {
        self.published.borrow().clone()
    }

    /// Goes by other keys from now on. What is served stays until the store is looked at again.
    pub(super) fn set_keys(&self, keys: &TrustedKeys) {
        self.log.set_keys(keys.clone());
        for engine in &self.engines {
            engine.set_keys(keys.clone());
        }
        self.seen().mark = None;
        self.hinted.notify_one();
    }

    /// Tells of each newer version.
    pub(super) fn subscribe(&self) -> watch::Receiver<Arc<Published>> {
        self.published.subscribe()
    }

    /// Looks for news every so often, and at each hint, for ever.
    pub(super) async fn follow(&self) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(self.poll) => {}
                () = self.hinted.notified() => tokio::time::sleep(HINT_PAUSE.min(self.poll)).await,
            }
            self.look().await;
        }
    }

    /// Waits until this version is served, for somebody has seen it already; no longer than that.
    pub(super) async fn wait_for(&self, version: u64, at_most: Duration) {
        let mut published = self.subscribe();
        if published.borrow_and_update().version() >= version {
            return;
        }
        self.hinted.notify_one();
        let _ = timeout(at_most, published.wait_for(|published| published.version() >= version)).await;
    }

    /// Looks once. Whatever goes wrong, what was served is served on.
    pub(super) async fn look(&self) {
        let _looking = self.looking.lock().await;
        let looked = match timeout(STORE_PATIENCE, self.read()).await {
            Ok(looked) => looked,
            Err(_) => Err(Trouble::new("the store does not answer", "the store does not answer".to_owned())),
        };
        let mut seen = self.seen();
        match looked {
            Ok(()) => {
                seen.read_at = Some(Instant::now());
                if seen.trouble.take().is_some() {
                    tracing::info!(environment = self.environment, "the store can be read again");
                }
            }
            Err(trouble) => {
                self.metrics.store_errors(&self.environment).inc();
                // The mark may be that of what could not be taken.
                seen.mark = None;
                match &mut seen.trouble {
                    Some(known) if known.detail == trouble.detail => {}
                    known => {
                        tracing::error!(environment = self.environment, error = trouble.detail, "{}", trouble.summary);
                        let since = known.as_ref().map_or(trouble.since, |known| known.since);
                        *known = Some(Trouble { since, ..trouble });
                    }
                }
            }
        }
    }

    async fn read(&self) -> Result<(), Trouble> {
        let mark = self.log.mark().await?;
        {
            let seen = self.seen();
            let recent = seen.entries_at.is_some_and(|at| at.elapsed() < LOOK_AT_ENTRIES);
            if recent && seen.mark.as_ref() == Some(&mark) {
                return Ok(());
            }
        }
        let mut next = Published::clone(&self.published());
        let before = next.version();
        for (engine, audience) in self.engines.iter().zip([Audience::Server, Audience::Client]) {
            let envelope = match self.log.current(audience).await {
                Ok(Some(envelope)) => envelope,
                Ok(None) if before > 0 => {
                    return Err(Trouble::new("the store is empty", format!("the log is empty; it was at {before}")));
                }
                // Nothing was published yet.
                Ok(None) => continue,
                // An entry need not have a snapshot for everyone.
                Err(StoreError::Refused(_)) => continue,
                Err(error) => return Err(error.into()),
            };
            if next.of(audience).is_some_and(|held| held.plain == envelope.as_bytes()) {
                continue;
            }
            // Whether it has expired is for whoever loads it to judge: this machine's clock may be wrong.
            engine.load(envelope.as_bytes(), Timestamp::from_millis(i64::MIN))?;
            let Some(snapshot) = engine.snapshot() else { continue };
            let snapshot = self.pinned(snapshot, &envelope)?;
            let held = tokio::task::spawn_blocking(move || Held::new(snapshot, envelope)).await;
            let held = held.map_err(|error| Trouble::new("a snapshot cannot be taken", error.to_string()))?;
            match audience {
                Audience::Server => next.server = Some(held),
                Audience::Client => next.client = Some(held),
            }
        }
        let version = next.version();
        let changed = [Audience::Server, Audience::Client].into_iter().any(|audience| {
            let digest = |published: &Published| published.of(audience).map(|held| held.digest.clone());
            digest(&self.published()) != digest(&next)
        });
        if changed {
            let created = next.server.as_ref().or(next.client.as_ref()).map(|held| held.snapshot.created());
            self.metrics.serves(&self.environment, version, created);
            self.published.send_replace(Arc::new(next));
            tracing::info!(environment = self.environment, version, "serving a newer version");
        }
        let mut seen = self.seen();
        seen.mark = Some(mark);
        seen.entries_at = Some(Instant::now());
        Ok(())
    }

    /// A snapshot that was taken, with the flags pinned that environment variables pin.
    fn pinned(&self, snapshot: Arc<Snapshot>, envelope: &str) -> Result<Arc<Snapshot>, Trouble> {
        if self.variables.is_empty() {
            return Ok(snapshot);
        }
        let envelope = Envelope::parse(envelope.as_bytes()).map_err(LoadError::Envelope)?;
        let pinned = self.variables.snapshot(envelope.unverified_payload()).map_err(LoadError::Snapshot)?;
        // Of those for clients, not all flags are there.
        if pinned.audience() == Audience::Server {
            for unfit in pinned.unfit_variables() {
                tracing::error!(environment = self.environment, "{unfit}; what it pins is an error");
            }
        }
        Ok(Arc::new(pinned))
    }

    /// What is wrong with the environment variables that pin flags.
    pub(super) fn unfit_variables(&self) -> Vec<String> {
        self.published().server.as_ref().map_or(Vec::new(), |held| held.snapshot.unfit_variables().to_vec())
    }

    /// What is amiss with the store.
    pub(super) fn trouble(&self) -> Option<Trouble> {
        self.seen().trouble.clone()
    }

    pub(super) fn health(&self, now: Timestamp) -> Health {
        let published = self.published();
        let (trouble, read_at) = {
            let seen = self.seen();
            (seen.trouble.clone(), seen.read_at)
        };
        let mut reasons = Vec::new();
        let mut status = Status::Ok;
        if let Some(Trouble { since, summary, .. }) = trouble {
            status = Status::Degraded;
            reasons.push(format!("{summary} since {since}; what was read last is served on"));
        } else if let Some(silence) = read_at.map(|at| at.elapsed()).filter(|silence| *silence > self.poll + STALLED) {
            status = Status::Degraded;
            let seconds = silence.as_secs();
            reasons.push(format!("the store has not answered for {seconds} s; what was read last is served on"));
        }
        let expired = published.client.as_ref().filter(|held| held.snapshot.has_expired(now));
        if let Some(expires) = expired.and_then(|held| held.snapshot.expires()) {
            status = Status::Degraded;
            reasons.push(format!("the client snapshot expired at {expires}; renew it, or set this machine's clock"));
        }
        if published.version() == 0 {
            status = Status::Unavailable;
            reasons.push("nothing was published yet, or nothing could be read".to_owned());
        }
        Health {
            status,
            version: Some(published.version()).filter(|version| *version > 0),
            created: published.server.as_ref().or(published.client.as_ref()).map(|held| held.snapshot.created()),
            seconds_since_read: read_at.map(|at| at.elapsed().as_secs()),
            reasons,
        }
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn new(snapshot: Arc<Snapshot>, envelope: String) -> Held {
        let digest = hmac_sha256::Hash::hash(envelope.as_bytes());
        Held {
            snapshot,
            brotli: brotli(envelope.as_bytes()).into(),
            gzip: gzip(envelope.as_bytes()).into(),
            digest: digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect(),
            plain: envelope.into(),
        }
    }

    /// The strong ETag of what is sent: another for each encoding (RFC 9110, section 8.8.3).
    pub(super) fn etag(&self, encoding: Option<&str>) -> HeaderValue {
        let encoding = encoding.map(|name| format!("-{name}")).unwrap_or_default();
        HeaderValue::try_from(format!("\"{}{encoding}\"", self.digest)).expect("digits, letters and quotes")
    }
}

fn brotli(bytes: &[u8]) -> Vec<u8> {
    /// Nearly as small as the best, in a tenth of the time: a kill must not wait for it.
    const QUALITY: i32 = 5;
    let mut compressed = Vec::new();
    let parameters = brotli::enc::BrotliEncoderParams { quality: QUALITY, ..Default::default() };
    brotli::BrotliCompress(&mut &*bytes, &mut compressed, &parameters).expect("memory takes what is written");
    compressed
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).expect("memory takes what is written");
    encoder.finish().expect("memory takes what is written")
}

impl Trouble {
    fn new(summary: &'static str, detail: String) -> Trouble {
        Trouble { since: Timestamp::now(), summary, detail }
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Trouble {
        let summary = match &error {
            StoreError::Behind { .. } => "the store has lost versions",
            StoreError::Signature { .. } => "the store holds what no trusted key signed",
            StoreError::Corrupt { .. } => "the store is damaged",
            StoreError::Missing { .. } => "the store lacks an object",
            _ => "the store cannot be read",
        };
        Trouble::new(summary, error.to_string())
    }
}

impl From<LoadError> for Trouble {
    fn from(error: LoadError) -> Trouble {
        let summary = match &error {
            LoadError::Older { .. } => "the store holds an older version than was served",
            LoadError::Fork { .. } => "the store holds another snapshot of a version that was served",
            LoadError::Envelope(_) => "the store holds what no trusted key signed",
            _ => "the store holds what cannot be served",
        };
        Trouble::new(summary, error.to_string())
    }
}
