use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path as FilePath, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use std::{fmt, io};

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{
    ClientConfigKey, Error as ObjectError, ObjectStore, ObjectStoreExt, PutMode, RetryConfig, UpdateVersion,
};

use super::entry::{Entry, NewEntry, Record, snapshot_name};
use super::error::StoreError;
use crate::snapshot::{Envelope, EnvelopeError, SigningKey, TrustedKeys, Typ};
use crate::{Audience, LoadError, Snapshot, Timestamp};

const AUDIENCES: [Audience; 2] = [Audience::Server, Audience::Client];
/// How often the lock is tried, and how long apart: ten seconds in all, for what takes milliseconds.
const LOCK_ATTEMPTS: u32 = 1000;
const LOCK_PAUSE: Duration = Duration::from_millis(10);
/// How long a request to a store on the network is tried again: whoever kills a flag should hear soon.
const RETRY: Duration = Duration::from_secs(10);
/// How long such a store may take for one answer.
const ANSWER: &str = "15 seconds";
/// Where a machine in the cloud is asked for credentials, if the environment has none.
const METADATA: &str = "169.254.169.254";
/// How often [`Log::verify`] looks whether a writer that has just committed moves `current`, and how often one tries to
/// where others do as well; and how long apart.
const MOVE_ATTEMPTS: u32 = 50;
const MOVE_PAUSE: Duration = Duration::from_millis(20);

/// The log of one environment.
///
/// Everything read from it is verified against the trusted keys it was opened with.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use flagstone::snapshot::{SigningKey, TrustedKeys};
/// use flagstone::store::{Log, NewEntry};
/// use flagstone::{Audience, Timestamp};
/// use serde_json::json;
///
/// let key = SigningKey::generate(None, ["production"])?;
/// # let folder = std::env::temp_dir().join(format!("flagstone-doc-{}", std::process::id()));
/// # let folder = folder.to_str().unwrap();
/// let log = Log::create(folder, "production", TrustedKeys::from_iter([key.public()]))?;
///
/// let head = log.head().await?;
/// let version = Log::version_after(head.as_ref());
/// let snapshot = json!({
///     "schema": 1, "environment": "production", "audience": "server", "version": version,
///     "created": "2026-11-21T12:00:00Z", "flags": {},
/// });
/// let entry = NewEntry {
///     definitions: json!({}),
///     state: json!({}),
///     author: "ana@example.com".to_owned(),
///     reason: "a start".to_owned(),
///     time: Timestamp::now(),
///     snapshots: vec![snapshot.to_string()],
/// };
/// let record = log.append(head.as_ref(), entry, &[&key]).await?;
/// assert_eq!(record.entry.version, 1);
/// assert!(log.current(Audience::Server).await?.is_some());
/// assert_eq!(log.verify().await?, 1);
/// # std::fs::remove_dir_all(folder)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Log {
    store: Arc<dyn ObjectStore>,
    /// The folder, absolute, where there is one: its `current` moves under a lock, that of others by conditional puts.
    root: Option<PathBuf>,
    /// As it was given.
    location: PathBuf,
    environment: String,
    /// Shared by clones.
    keys: Arc<RwLock<Arc<TrustedKeys>>>,
}

/// Tells one state of `current` from another; see [`Log::mark`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark([Option<(Option<String>, String, u64)>; 2]);

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut log = f.debug_struct("Log");
        log.field("location", &self.location).field("environment", &self.environment).finish_non_exhaustive()
    }
}

/// What `current` holds for an audience.
enum Held {
    Nothing,
    /// What no trusted key signed as a snapshot of this environment, and why that is.
    Untrusted(LoadError),
    Snapshot {
        audience: Audience,
        version: u64,
        sha256: String,
    },
}

/// The newest entry, and what is amiss in `current` for the audiences that are not served its snapshot.
struct Head {
    record: Record,
    unserved: Vec<(Audience, String)>,
}

impl Log {
    /// Opens the log of an environment: in a local folder, given as a path or a `file://` URL, or in a bucket of S3 or of
    /// what speaks its language, given as `s3://BUCKET` or `s3://BUCKET/FOLDER`. How to reach the latter stands in the
    /// environment variables `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `AWS_REGION` and, for other
    /// services than Amazon's, `AWS_ENDPOINT_URL` (with `AWS_ALLOW_HTTP=true` where it has no TLS). Nothing is asked of it
    /// yet.
    ///
    /// # Errors
    ///
    /// [`StoreError::Location`] if there is no such folder, for a URL of another kind, for what is missing in the
    /// environment, and for an environment whose name is not of letters, digits, `-` and `_`.
    pub fn open(location: &str, environment: &str, keys: TrustedKeys) -> Result<Log, StoreError> {
        let refuse = |message: String| Err(StoreError::Location(message));
        check_environment(environment)?;
        let folder = match Place::of(location)? {
            Place::Folder(folder) => folder,
            Place::Bucket => return Log::new(bucket(location)?, None, location.into(), environment, keys),
        };
        match fs::canonicalize(folder) {
            Ok(root) if root.is_dir() => {
                let store = LocalFileSystem::new_with_prefix(&root)
                    .map_err(|source| StoreError::Object { path: location.to_owned(), source })?
                    .with_fsync(true);
                Log::new(Arc::new(store), Some(root), folder.into(), environment, keys)
            }
            Ok(_) => refuse(format!("{location}: this is a file; a log is kept in a folder")),
            Err(error) => refuse(format!("{location}: there is no log here: {error}")),
        }
    }

    /// As [`Log::open`], but makes the folder if it is not there. Buckets are not made.
    ///
    /// # Errors
    ///
    /// Those of [`Log::open`], and [`StoreError::Location`] if the folder cannot be made.
    pub fn create(location: &str, environment: &str, keys: TrustedKeys) -> Result<Log, StoreError> {
        if let Place::Folder(folder) = Place::of(location)? {
            fs::create_dir_all(folder)
                .map_err(|error| StoreError::Location(format!("{location}: cannot make this folder: {error}")))?;
        }
        Log::open(location, environment, keys)
    }

    /// A log that is held in memory alone where [`Log::create`] would have to make a folder: empty, for rehearsals.
    ///
    /// # Errors
    ///
    /// Those of [`Log::open`] but that there is no such folder.
    pub fn rehearse(location: &str, environment: &str, keys: TrustedKeys) -> Result<Log, StoreError> {
        match Place::of(location)? {
            Place::Folder(folder) if !folder.exists() => {
                check_environment(environment)?;
                Log::new(Arc::new(InMemory::new()), None, folder.into(), environment, keys)
            }
            _ => Log::open(location, environment, keys),
        }
    }

    fn new(
        store: Arc<dyn ObjectStore>,
        root: Option<PathBuf>,
        location: PathBuf,
        environment: &str,
        keys: TrustedKeys,
    ) -> Result<Log, StoreError> {
        let keys = Arc::new(RwLock::new(Arc::new(keys)));
        Ok(Log { store, root, location, environment: environment.to_owned(), keys })
    }

    /// Replaces the trusted keys, those of its clones as well; a key that is gone no longer counts from then on.
    pub fn set_keys(&self, keys: TrustedKeys) {
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
    }

    fn keys(&self) -> Arc<TrustedKeys> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The environment whose log this is.
    pub fn environment(&self) -> &str {
        &self.environment
    }

    /// The version that follows an entry: 1 where there is none. A compiler of snapshots needs it before
    /// [`Log::append`].
    pub fn version_after(head: Option<&Record>) -> u64 {
        head.map_or(0, |record| record.entry.version) + 1
    }

    /// The versions in the log, rising, by the names of the objects alone.
    ///
    /// # Errors
    ///
    /// [`StoreError::Object`] where the store fails.
    pub async fn versions(&self) -> Result<Vec<u64>, StoreError> {
        let folder = Path::from(format!("{}/entries", self.environment));
        let listed = self.store.list_with_delimiter(Some(&folder)).await.map_err(|e| self.failed(&folder, e))?;
        // Whatever else lies there is no entry: a copy under another name, say.
        let version = |path: &Path| {
            let version = path.filename()?.strip_suffix(".json")?.parse().ok()?;
            (*path == self.entry_path(version)).then_some(version)
        };
        let mut versions: Vec<u64> = listed.objects.iter().filter_map(|object| version(&object.location)).collect();
        versions.sort_unstable();
        Ok(versions)
    }

    /// The newest entry, which must be signed by a trusted key; none if the log is empty.
    ///
    /// # Errors
    ///
    /// [`StoreError::Signature`] and [`StoreError::Corrupt`] where the entry is not what it must be, and
    /// [`StoreError::Object`] where the store fails.
    pub async fn head(&self) -> Result<Option<Record>, StoreError> {
        self.history().await?.next().await
    }

    /// The entry of a version. If the key that signed it is not trusted any more, the entries after it are read as
    /// well, since the newest of them must vouch for it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Missing`] for a version that is not there, and the errors of [`History::next`].
    pub async fn read(&self, version: u64) -> Result<Record, StoreError> {
        let (record, distrust) = self.load(version).await?;
        if distrust.is_none() {
            return Ok(record);
        }
        let mut history = self.history().await?;
        while let Some(record) = history.next().await? {
            if record.entry.version == version {
                return Ok(record);
            }
        }
        Err(StoreError::Missing { path: self.full(&self.entry_path(version)) })
    }

    /// The entry of a version as it stands there, whoever signed it: to look at, not to decide by.
    ///
    /// # Errors
    ///
    /// [`StoreError::Missing`] for a version that is not there, [`StoreError::Corrupt`] and [`StoreError::Signature`] for
    /// what is no entry or does not match the signature of a trusted key, and [`StoreError::Object`] where the store
    /// fails.
    pub async fn peek(&self, version: u64) -> Result<Record, StoreError> {
        self.load(version).await.map(|(record, _)| record)
    }

    /// The entries from the newest back to the first, each checked against the one after it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Object`] where the store fails.
    pub async fn history(&self) -> Result<History<'_>, StoreError> {
        Ok(History { log: self, versions: self.versions().await?, newer: None })
    }

    /// Checks all of the log: each entry, its place in the chain, the snapshots that it names, and that the newest of these
    /// are served. Returns the number of entries.
    ///
    /// # Errors
    ///
    /// The first fault found: [`StoreError::Behind`], from the newest entry back those of [`History::next`] and
    /// [`Log::snapshot`], and [`StoreError::Unserved`].
    pub async fn verify(&self) -> Result<usize, StoreError> {
        self.newest().await?;
        let mut count = 0;
        let mut pruned = None;
        let mut history = self.history().await?;
        while let Some(record) = history.next().await? {
            let (mut missing, mut there) = (None, false);
            for audience in self.audiences(&record.entry) {
                match self.snapshot(&record, audience).await {
                    Err(error @ StoreError::Missing { .. }) => missing = Some(error),
                    snapshot => there = snapshot.map(|_| true)?,
                }
            }
            // Old snapshots may go, the oldest first: where one is there, no newer one may be missing.
            match (pruned.take(), missing) {
                (Some(newer), _) if there => return Err(newer),
                (None, Some(missing)) if count == 0 => return Err(missing),
                (newer, missing) => pruned = newer.or(missing),
            }
            count += 1;
        }
        self.check_current().await?;
        Ok(count)
    }

    /// Deletes the snapshots of versions before the oldest that was made at `since` or later, but never the newest's.
    /// Returns their number. The entries stay, with all that was published and by whom, so that the chain holds and any
    /// version can be reverted to; nobody loads old snapshots, for clients refuse them.
    ///
    /// # Errors
    ///
    /// Those of [`History::next`], and [`StoreError::Object`] where the store fails. What was deleted by then is gone, the
    /// oldest first.
    pub async fn prune(&self, since: Timestamp, dry_run: bool) -> Result<usize, StoreError> {
        let mut history = self.history().await?;
        let mut keep = None;
        while let Some(record) = history.next().await? {
            if keep.is_some() && record.entry.time < since {
                break;
            }
            keep = Some(record.entry.version);
        }
        let folder = Path::from(format!("{}/snapshots", self.environment));
        let listed = self.store.list_with_delimiter(Some(&folder)).await.map_err(|e| self.failed(&folder, e))?;
        let version = |path: &Path| path.filename()?.split_once('-')?.0.parse::<u64>().ok();
        let old = |path: &Path| version(path).is_some_and(|version| keep.is_some_and(|keep| version < keep));
        let mut old: Vec<Path> = listed.objects.into_iter().map(|object| object.location).filter(old).collect();
        old.sort();
        for path in old.iter().filter(|_| !dry_run) {
            match self.store.delete(path).await {
                Ok(()) | Err(ObjectError::NotFound { .. }) => {}
                Err(error) => return Err(self.failed(path, error)),
            }
        }
        Ok(old.len())
    }

    /// Makes sure that `current` holds the newest snapshots, or soon does where a writer is at it.
    async fn check_current(&self) -> Result<(), StoreError> {
        let mut attempts = MOVE_ATTEMPTS;
        loop {
            let Some(Head { record, unserved }) = self.newest().await? else { return Ok(()) };
            let Some((audience, problem)) = unserved.into_iter().next() else { return Ok(()) };
            if attempts == 0 {
                let path = self.full(&self.current_path(audience));
                return Err(StoreError::Unserved { path, problem, version: record.entry.version });
            }
            attempts -= 1;
            tokio::time::sleep(MOVE_PAUSE).await;
        }
    }

    /// Appends an entry to the one that the caller saw as the newest (none to start a log), signs it and its snapshots
    /// with each of the keys, and moves `current`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] if `head` is not the newest entry, or ceases to be while this is going on;
    /// [`StoreError::Refused`] for snapshots that are not of this environment and version or cannot be loaded, and for
    /// keys that may not sign or are not trusted here; [`StoreError::Behind`] where clients have seen a newer version than
    /// the log holds. [`StoreError::Committed`] says that the entry is in the log, but not served yet. In all
    /// other cases nothing was committed, except that a store which fails in the middle of creating the entry
    /// ([`StoreError::Object`]) may or may not have done so.
    pub async fn append(
        &self,
        head: Option<&Record>,
        new: NewEntry,
        keys: &[&SigningKey],
    ) -> Result<Record, StoreError> {
        self.append_as(Log::version_after(head), head, new, keys).await
    }

    /// As [`Log::append`], with a version of the caller's choice. A higher one than the next leaves out what clients have
    /// seen of entries that the log has lost.
    pub(super) async fn append_as(
        &self,
        version: u64,
        head: Option<&Record>,
        new: NewEntry,
        keys: &[&SigningKey],
    ) -> Result<Record, StoreError> {
        if version >= 1 << 53 {
            return Err(StoreError::Refused(format!("version {version} is too high; versions end below 2^53")));
        }
        let mut snapshots = BTreeMap::new();
        let mut objects = Vec::new();
        for payload in &new.snapshots {
            let audience = self.check_snapshot(payload, version)?;
            let sha256 = sha256(payload);
            objects.push((self.snapshot_path(version, audience, &sha256), self.sign(payload, Typ::Snapshot, keys)?));
            if snapshots.insert(snapshot_name(&self.environment, audience), sha256).is_some() {
                return Err(StoreError::Refused(format!("there are two snapshots for the audience {audience}")));
            }
        }
        if objects.is_empty() {
            return Err(StoreError::Refused("an entry needs at least one snapshot".to_owned()));
        }
        let NewEntry { definitions, state, author, reason, time, snapshots: _ } = new;
        let previous = head.map(|record| record.sha256.clone());
        let entry = Entry { version, definitions, state, author, reason, time, previous, snapshots };
        let payload = serde_json::to_string(&entry).map_err(|error| StoreError::Refused(error.to_string()))?;
        let envelope = self.sign(&payload, Typ::Entry, keys)?;
        let (_, kid) = self.authenticate(&self.entry_path(version), envelope.as_bytes(), Typ::Entry)?;
        let kid = kid.map_err(|_| {
            StoreError::Refused("none of the signing keys is trusted here; add it to the trusted keys first".to_owned())
        })?;

        let newest = match self.newest().await {
            // To go above what clients have seen is how this is mended.
            Err(StoreError::Behind { current, .. }) if current < version => self.head().await?,
            newest => newest?.map(|newest| newest.record),
        };
        let newest = newest.map(|newest| newest.sha256);
        if newest.as_ref() != head.map(|record| &record.sha256) {
            return Err(StoreError::Conflict { version });
        }
        for (path, envelope) in objects {
            self.put(&path, envelope, PutMode::Overwrite).await?;
        }
        match self.put(&self.entry_path(version), envelope, PutMode::Create).await {
            Err(StoreError::Object { source: ObjectError::AlreadyExists { .. }, .. }) => {
                // A put whose answer was lost on the way is tried again, and then finds its own work.
                if self.load(version).await?.0.sha256 != sha256(&payload) {
                    return Err(StoreError::Conflict { version });
                }
            }
            outcome => outcome?,
        }
        self.move_current().await.map_err(|source| StoreError::Committed { version, source: Box::new(source) })?;
        Ok(Record { sha256: sha256(&payload), entry, kid: Some(kid) })
    }

    /// The envelope of a snapshot that an entry names.
    ///
    /// # Errors
    ///
    /// [`StoreError::Refused`] where the entry names none for this audience, [`StoreError::Missing`] where the object is
    /// gone, and [`StoreError::Signature`] or [`StoreError::Corrupt`] where it is not what the entry says.
    pub async fn snapshot(&self, record: &Record, audience: Audience) -> Result<String, StoreError> {
        let version = record.entry.version;
        let Some(expected) = record.entry.snapshots.get(&snapshot_name(&self.environment, audience)) else {
            return Err(StoreError::Refused(format!("entry {version} has no snapshot for the audience {audience}")));
        };
        let path = self.snapshot_path(version, audience, expected);
        let bytes = self.get(&path).await?.ok_or_else(|| StoreError::Missing { path: self.full(&path) })?;
        let (payload, kid) = self.authenticate(&path, &bytes, Typ::Snapshot)?;
        // Like its entry, it may be by a key that was retired; but if the entry is not, why should it be?
        if let (Err(source), Some(_)) = (kid, &record.kid) {
            return Err(StoreError::Signature { path: self.full(&path), source });
        }
        if sha256(&payload) != *expected {
            return Err(self.corrupt(&path, format!("this is not the snapshot that entry {version} names")));
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The envelope of the newest snapshot for an audience; none if the log is empty. Where a writer died before it moved
    /// `current` to the newest entry, this does so.
    ///
    /// # Errors
    ///
    /// Those of [`Log::head`] and [`Log::snapshot`], [`StoreError::Behind`], and [`StoreError::Lock`] or
    /// [`StoreError::Object`] where `current` must move and cannot.
    pub async fn current(&self, audience: Audience) -> Result<Option<String>, StoreError> {
        match self.move_current().await? {
            Some(head) => self.snapshot(&head, audience).await.map(Some),
            None => Ok(None),
        }
    }

    /// Where the `current` object for an audience is: a path, or a URL.
    pub fn current_location(&self, audience: Audience) -> String {
        self.full(&self.current_path(audience))
    }

    /// What the `current` objects look like from outside: as long as it is the same, [`Log::current`] is as well, except
    /// where a writer died before it moved them. It costs next to nothing to ask.
    ///
    /// # Errors
    ///
    /// [`StoreError::Object`] where the store fails.
    pub async fn mark(&self) -> Result<Mark, StoreError> {
        let mut marks = [None, None];
        for (mark, audience) in marks.iter_mut().zip(AUDIENCES) {
            let path = self.current_path(audience);
            *mark = match self.store.head(&path).await {
                Ok(object) => Some((object.e_tag, object.last_modified.to_string(), object.size)),
                Err(ObjectError::NotFound { .. }) => None,
                Err(error) => return Err(self.failed(&path, error)),
            };
        }
        Ok(Mark(marks))
    }

    /// The version up to which somebody has read the log, as [`Log::set_bookmark`] has it; none where they never did.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`] for an object that is no bookmark, and [`StoreError::Object`] where the store fails.
    pub async fn bookmark(&self, name: &str) -> Result<Option<u64>, StoreError> {
        let path = self.bookmark_path(name);
        let Some(bytes) = self.get(&path).await? else { return Ok(None) };
        let version = serde_json::from_slice(&bytes);
        version.map(Some).map_err(|error| self.corrupt(&path, format!("this is no version of a log: {error}")))
    }

    /// Keeps, beside the log and under a name of letters and digits, up to which version somebody has read it. Of several
    /// who do so under one name, the last to say something is remembered.
    ///
    /// # Errors
    ///
    /// [`StoreError::Object`] where the store fails.
    pub async fn set_bookmark(&self, name: &str, version: u64) -> Result<(), StoreError> {
        self.put(&self.bookmark_path(name), version.to_string(), PutMode::Overwrite).await
    }

    /// Moves `current` to the newest entry, which it returns.
    async fn move_current(&self) -> Result<Option<Record>, StoreError> {
        match self.newest().await? {
            None => return Ok(None),
            Some(Head { record, unserved }) if unserved.is_empty() => return Ok(Some(record)),
            Some(_) => {}
        }
        // A task of its own: if the caller gives up, the lock is still held until the last object is in place.
        let log = self.clone();
        let moved = tokio::spawn(async move {
            let _lock = match &log.root {
                Some(root) => Some(log.lock(root).await?),
                None => None,
            };
            for _ in 0..MOVE_ATTEMPTS {
                let Some(Head { record, unserved }) = log.newest().await? else { return Ok(None) };
                let mut moved = true;
                for (audience, _) in unserved {
                    moved = moved && log.replace_current(&record, audience).await?;
                }
                if moved {
                    return Ok(Some(record));
                }
                tokio::time::sleep(MOVE_PAUSE).await;
            }
            let path = log.full(&log.current_path(Audience::Server));
            let message = "other writers change it again and again, or the store refuses every conditional put";
            Err(StoreError::Lock { path, source: io::Error::new(io::ErrorKind::TimedOut, message) })
        });
        moved.await.unwrap_or_else(|error| match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(StoreError::Lock { path: self.full(&self.lock_path()), source: io::Error::other(error) }),
        })
    }

    /// Puts the snapshot of an entry in the place of an older one; `false` where another writer was faster. Under a lock
    /// nobody is. Elsewhere it goes by what the object is now: a writer that stalls in here puts nothing back.
    async fn replace_current(&self, record: &Record, audience: Audience) -> Result<bool, StoreError> {
        let path = self.current_path(audience);
        let envelope = self.snapshot(record, audience).await?;
        if self.root.is_some() {
            return self.put(&path, envelope, PutMode::Overwrite).await.map(|()| true);
        }
        let mode = match self.store.get(&path).await {
            Ok(object) => {
                let meta = object.meta.clone();
                let bytes = object.bytes().await.map_err(|error| self.failed(&path, error))?;
                if matches!(self.examine(&bytes), Held::Snapshot { version, .. } if version > record.entry.version) {
                    return Ok(false);
                }
                PutMode::Update(UpdateVersion { e_tag: meta.e_tag, version: meta.version })
            }
            Err(ObjectError::NotFound { .. }) => PutMode::Create,
            Err(error) => return Err(self.failed(&path, error)),
        };
        match self.put(&path, envelope, mode).await {
            Err(StoreError::Object {
                source:
                    ObjectError::Precondition { .. } | ObjectError::AlreadyExists { .. } | ObjectError::NotFound { .. },
                ..
            }) => Ok(false),
            outcome => outcome.map(|()| true),
        }
    }

    /// The newest entry, and whether its snapshots are served; none if the log is empty.
    async fn newest(&self) -> Result<Option<Head>, StoreError> {
        // `current` first: it follows the entries, so that what it holds must be among those read after it.
        let mut held = Vec::new();
        for audience in AUDIENCES {
            held.push((audience, self.held(audience).await?));
        }
        let head = self.head().await?;
        let newest = head.as_ref().map_or(0, |head| head.entry.version);
        let named = |audience| {
            head.as_ref().and_then(|head| head.entry.snapshots.get(&snapshot_name(&self.environment, audience)))
        };
        let mut unserved = Vec::new();
        for (expected, held) in held {
            let problem = match held {
                Held::Snapshot { audience, version, sha256 }
                    if version > newest || (version == newest && named(audience) != Some(&sha256)) =>
                {
                    let path = self.full(&self.current_path(expected));
                    return Err(StoreError::Behind { path, current: version, head: newest });
                }
                Held::Snapshot { audience, .. } if audience != expected => {
                    format!("this is the snapshot for the audience {audience}")
                }
                Held::Snapshot { version, .. } if version == newest => continue,
                Held::Snapshot { version, .. } => format!("this is version {version}"),
                Held::Untrusted(error) => error.to_string(),
                Held::Nothing => "there is no such object".to_owned(),
            };
            if named(expected).is_some() {
                unserved.push((expected, problem));
            }
        }
        Ok(head.map(|record| Head { record, unserved }))
    }

    /// The snapshot that `current` holds. What no trusted key signed holds nothing back.
    async fn held(&self, audience: Audience) -> Result<Held, StoreError> {
        Ok(match self.get(&self.current_path(audience)).await? {
            Some(bytes) => self.examine(&bytes),
            None => Held::Nothing,
        })
    }

    fn examine(&self, bytes: &[u8]) -> Held {
        let snapshot = || -> Result<Held, LoadError> {
            let verified = Envelope::parse(bytes)?.verify(&self.keys(), &self.environment, Typ::Snapshot)?;
            let sha256 = sha256(&verified.payload);
            let snapshot = Snapshot::from_payload(verified.payload).map_err(LoadError::Snapshot)?;
            Ok(Held::Snapshot { audience: snapshot.audience(), version: snapshot.version(), sha256 })
        };
        snapshot().unwrap_or_else(Held::Untrusted)
    }

    /// Takes the lock, until the file is dropped.
    async fn lock(&self, root: &FilePath) -> Result<File, StoreError> {
        let path = root.join(self.lock_path().as_ref());
        let failed = |source| StoreError::Lock { path: self.full(&self.lock_path()), source };
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        for _ in 0..LOCK_ATTEMPTS {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) => tokio::time::sleep(LOCK_PAUSE).await,
                Err(TryLockError::Error(source)) => return Err(failed(source)),
            }
        }
        let message = "another process has held it for ten seconds; find out which, and end it if it is stuck";
        Err(failed(io::Error::new(io::ErrorKind::TimedOut, message)))
    }

    /// Reads an entry, and says why its signature does not count if it is by a key that is not trusted.
    async fn load(&self, version: u64) -> Result<(Record, Option<EnvelopeError>), StoreError> {
        let path = self.entry_path(version);
        let bytes = self.get(&path).await?.ok_or_else(|| StoreError::Missing { path: self.full(&path) })?;
        let (payload, kid) = self.authenticate(&path, &bytes, Typ::Entry)?;
        let entry: Entry = serde_json::from_str(&payload)
            .map_err(|error| self.corrupt(&path, format!("this is no entry of a log: {error}")))?;
        if entry.version != version {
            return Err(self.corrupt(&path, format!("this is entry {}, not {version}; it was moved", entry.version)));
        }
        if self.audiences(&entry).len() != entry.snapshots.len() {
            return Err(self.corrupt(&path, format!("this entry is not of the environment {}", self.environment)));
        }
        let (kid, distrust) = match kid {
            Ok(kid) => (Some(kid), None),
            Err(error) => (None, Some(error)),
        };
        Ok((Record { sha256: sha256(&payload), entry, kid }, distrust))
    }

    /// The payload of an envelope, and the trusted key that signed it or why there is none.
    fn authenticate(
        &self,
        path: &Path,
        bytes: &[u8],
        typ: Typ,
    ) -> Result<(String, Result<String, EnvelopeError>), StoreError> {
        let failed = |source| StoreError::Signature { path: self.full(path), source };
        let envelope = Envelope::parse(bytes).map_err(failed)?;
        match envelope.verify(&self.keys(), &self.environment, typ) {
            Ok(verified) => Ok((verified.payload, Ok(verified.kid))),
            Err(error @ (EnvelopeError::Untrusted { .. } | EnvelopeError::OtherEnvironment { .. })) => {
                Ok((envelope.unverified_payload().to_owned(), Err(error)))
            }
            Err(error) => Err(failed(error)),
        }
    }

    fn sign(&self, payload: &str, typ: Typ, keys: &[&SigningKey]) -> Result<String, StoreError> {
        Envelope::sign(payload, typ, &self.environment, keys).map_err(|error| StoreError::Refused(error.to_string()))
    }

    /// Makes sure that a snapshot belongs to this log's next entry, and that engines will load it.
    fn check_snapshot(&self, payload: &str, version: u64) -> Result<Audience, StoreError> {
        let snapshot = Snapshot::from_payload(payload)
            .map_err(|error| StoreError::Refused(format!("a snapshot cannot be loaded: {error}")))?;
        if snapshot.environment() != self.environment {
            return Err(StoreError::Refused(format!(
                "a snapshot of the environment {} was to be published to {}",
                snapshot.environment(),
                self.environment
            )));
        }
        if snapshot.version() != version {
            return Err(StoreError::Refused(format!(
                "a snapshot of version {} was to be published as version {version}",
                snapshot.version()
            )));
        }
        Ok(snapshot.audience())
    }

    /// The audiences that an entry names snapshots of this environment for.
    fn audiences(&self, entry: &Entry) -> Vec<Audience> {
        AUDIENCES
            .into_iter()
            .filter(|audience| entry.snapshots.contains_key(&snapshot_name(&self.environment, *audience)))
            .collect()
    }

    async fn get(&self, path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
        let bytes = match self.store.get(path).await {
            Ok(object) => object.bytes().await,
            Err(error) => Err(error),
        };
        match bytes {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(ObjectError::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed(path, error)),
        }
    }

    async fn put(&self, path: &Path, text: String, mode: PutMode) -> Result<(), StoreError> {
        let outcome = self.store.put_opts(path, text.into_bytes().into(), mode.into()).await;
        outcome.map(drop).map_err(|error| self.failed(path, error))
    }

    fn entry_path(&self, version: u64) -> Path {
        Path::from(format!("{}/entries/{version:020}.json", self.environment))
    }

    fn snapshot_path(&self, version: u64, audience: Audience, sha256: &str) -> Path {
        Path::from(format!("{}/snapshots/{version:020}-{audience}-{sha256}.json", self.environment))
    }

    fn current_path(&self, audience: Audience) -> Path {
        Path::from(format!("{}/current/{audience}.json", self.environment))
    }

    fn bookmark_path(&self, name: &str) -> Path {
        Path::from(format!("{}/bookmarks/{name}.json", self.environment))
    }

    fn lock_path(&self) -> Path {
        Path::from(format!("{}/lock", self.environment))
    }

    /// An object's whole path, for people.
    fn full(&self, path: &Path) -> String {
        self.location.join(path.as_ref()).display().to_string()
    }

    fn failed(&self, path: &Path, source: ObjectError) -> StoreError {
        let path = self.full(path);
        match source.to_string().contains(METADATA) {
            true => StoreError::Location(format!(
                "{path}: there are no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give this machine a \
                 role that may use the bucket ({source})"
            )),
            false => StoreError::Object { path, source },
        }
    }

    fn corrupt(&self, path: &Path, problem: String) -> StoreError {
        StoreError::Corrupt { path: self.full(path), problem }
    }
}

/// Walks a log from the newest entry to the first; see [`Log::history`].
#[derive(Debug)]
pub struct History<'a> {
    log: &'a Log,
    versions: Vec<u64>,
    /// The version of the entry handed out last, and its `previous`.
    newer: Option<(u64, Option<String>)>,
}

impl History<'_> {
    /// The next older entry, the newest at first; none after the first of the log.
    ///
    /// # Errors
    ///
    /// [`StoreError::Signature`] where the newest entry is not signed by a trusted key, or any entry was changed or is
    /// signed by a trusted key in a way that is not accepted; [`StoreError::Corrupt`] where an entry is missing,
    /// changed, out of order or no entry at all; [`StoreError::Object`] where the store fails.
    pub async fn next(&mut self) -> Result<Option<Record>, StoreError> {
        let log = self.log;
        let broken = |version, problem: String| Err(log.corrupt(&log.entry_path(version), problem));
        let Some(version) = self.versions.pop() else {
            return match self.newer.take() {
                Some((newer, Some(_))) => {
                    broken(newer, "the entry before this one is missing; restore it from a backup".to_owned())
                }
                _ => Ok(None),
            };
        };
        let (record, distrust) = log.load(version).await?;
        match (&self.newer, distrust) {
            (None, None) => {}
            (None, Some(source)) => {
                return Err(StoreError::Signature { path: log.full(&log.entry_path(version)), source });
            }
            (Some((_, Some(previous))), _) if *previous == record.sha256 => {}
            (Some((newer, Some(_))), _) => {
                return broken(
                    version,
                    format!(
                        "entry {newer} does not follow this one: it was changed, or an entry between them is missing; \
                         restore them from a backup"
                    ),
                );
            }
            (Some((newer, None)), _) => {
                return broken(version, format!("entry {newer} says that it is the first, and yet there is this one"));
            }
        }
        self.newer = Some((version, record.entry.previous.clone()));
        Ok(Some(record))
    }
}

fn sha256(payload: &str) -> String {
    hmac_sha256::Hash::hash(payload.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn check_environment(name: &str) -> Result<(), StoreError> {
    let named = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    match !name.is_empty() && name.len() <= 64 && name.bytes().all(named) {
        true => Ok(()),
        false => Err(StoreError::Location(format!(
            "{name:?} cannot name an environment; use 1 to 64 of the letters a to z, digits, `-` and `_`"
        ))),
    }
}

/// What a location names.
enum Place<'l> {
    Folder(&'l FilePath),
    Bucket,
}

impl Place<'_> {
    fn of(location: &str) -> Result<Place<'_>, StoreError> {
        match location.split_once("://") {
            None => Ok(Place::Folder(FilePath::new(location))),
            Some(("file", path)) if path.starts_with('/') && !path.contains('%') => {
                Ok(Place::Folder(FilePath::new(path)))
            }
            Some(("file", _)) => Err(StoreError::Location(format!(
                "{location}: write a file URL as file:///FOLDER, or name the folder by its path alone"
            ))),
            Some(("s3", path)) if !path.starts_with('/') && !path.is_empty() => Ok(Place::Bucket),
            Some(("s3", _)) => Err(StoreError::Location(format!("{location}: write it as s3://BUCKET/FOLDER"))),
            Some((scheme, _)) => Err(StoreError::Location(format!(
                "{location}: {scheme}:// is not built in; name a local folder by its path or a file:// URL, or a bucket by \
                 an s3:// URL"
            ))),
        }
    }
}

fn bucket(location: &str) -> Result<Arc<dyn ObjectStore>, StoreError> {
    let failed = |error: &dyn std::fmt::Display| StoreError::Location(format!("{location}: {error}"));
    let rest = location.strip_prefix("s3://").unwrap_or_default();
    let (bucket, folder) = rest.split_once('/').unwrap_or((rest, ""));
    let folder = Path::parse(folder.trim_end_matches('/')).map_err(|error| failed(&error))?;
    let retry = RetryConfig { retry_timeout: RETRY, ..RetryConfig::default() };
    let timeout = AmazonS3ConfigKey::Client(ClientConfigKey::Timeout);
    let store = AmazonS3Builder::from_env().with_bucket_name(bucket).with_retry(retry).with_config(timeout, ANSWER);
    let store = store.build().map_err(|error| failed(&error))?;
    Ok(Arc::new(PrefixStore::new(store, folder)))
}
