//! Carries out what operators and publishers want: reads the newest entry, changes it, compiles, signs, appends, and
//! does so again where somebody else was faster.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::operation::{Operation, reset, tidy};
use super::{Log, NewEntry, Record, StoreError};
use crate::snapshot::definitions::{Change, Definitions, Kill, Options, Problem, State, compile, diff};
use crate::snapshot::{Envelope, PublicKey, SigningKey, Typ};
use crate::{Audience, Snapshot, Timestamp};

/// Changes what a log says, with the keys to sign it.
///
/// Any number of operators may work on a log at once. Each verb goes by the newest entry; where another writer appends one
/// meanwhile, it is carried out again upon that:
///
/// * A kill always is, and so is a rollback. Nothing that others do stops it.
/// * All else only while what it goes by is as it was: the flag's definition, and of its state what the verb is about.
///   Definitions are published over others' only where they are about other flags. Else the verb is refused, and says
///   who changed what ([`OperationError::Overtaken`]).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
///
/// use flagstone::snapshot::definitions::{Definitions, Source};
/// use flagstone::snapshot::{SigningKey, TrustedKeys};
/// use flagstone::store::{Log, Operation, Operator, Publication, Request, Target};
///
/// let key = SigningKey::generate(None, ["production"])?;
/// # let folder = std::env::temp_dir().join(format!("flagstone-doc-operator-{}", std::process::id()));
/// # let folder = folder.to_str().unwrap();
/// let log = Log::create(folder, "production", TrustedKeys::from_iter([key.public()]))?;
/// let operator = Operator::new(log, vec![key], Duration::from_secs(7 * 24 * 60 * 60));
///
/// let text = "flags: {beta: {salt: beta-1, default: {ramp: {percent: 25, serve: on}}}}";
/// let definitions = Definitions::read(&[Source::new("flags.yaml", text)]).unwrap();
/// operator.publish(&Publication::of(definitions), &Request::new("ana@example.com", "A start")).await?;
///
/// let kill = Operation::Kill(Target::Flag("beta".to_owned()));
/// let outcome = operator.apply(&[kill], &Request::new("dana@example.com", "Errors at checkout")).await?;
/// assert_eq!(outcome.version, 2);
/// # std::fs::remove_dir_all(folder)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Operator {
    log: Log,
    keys: Vec<SigningKey>,
    clients_expire: Duration,
}

/// Who asks for a change and why, and how it is to be done.
#[derive(Clone, Debug)]
pub struct Request {
    /// Who. It must not be blank.
    pub author: String,
    /// Why. It must not be blank.
    pub reason: String,
    /// The version that the author has seen, 0 for an empty log: what changed since then counts as changed meanwhile.
    /// None where they have seen none; they then mean the newest.
    pub expected: Option<u64>,
    /// What time it is.
    pub now: Timestamp,
    /// Everything but writing.
    pub dry_run: bool,
}

impl Request {
    /// A request that is made now and meant.
    pub fn new(author: impl Into<String>, reason: impl Into<String>) -> Request {
        let (author, reason) = (author.into(), reason.into());
        Request { author, reason, expected: None, now: Timestamp::now(), dry_run: false }
    }
}

/// Definitions to publish.
#[derive(Clone, Debug, Default)]
pub struct Publication {
    /// All of them.
    pub definitions: Definitions,
    /// Whether edits may be published that do nothing, since the state has another value in their place.
    pub keep_state: bool,
    /// The flags whose changes by operators are dropped, all but kills.
    pub reset: Vec<String>,
}

impl Publication {
    /// Definitions that are refused where the state overrides an edit.
    pub fn of(definitions: Definitions) -> Publication {
        Publication { definitions, ..Publication::default() }
    }
}

/// What was done, or would have been.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The entry that was written; none in a rehearsal, and where there was nothing to do.
    pub record: Option<Record>,
    /// The newest entry before; none if the log was empty.
    pub before: Option<Record>,
    /// The version that holds what was asked for: of the entry written, or that would have been, or of the newest where
    /// there was nothing to do.
    pub version: u64,
    /// Whether there was anything to do.
    pub changed: bool,
    /// The definitions that hold now.
    pub definitions: Definitions,
    /// The state that holds now.
    pub state: State,
    /// What changed of the definitions since the entry before.
    pub definition_changes: Vec<Change>,
    /// What changed of the state since the entry before.
    pub state_changes: Vec<Change>,
    /// Edits of the definitions that do nothing, since the state has another value.
    pub overridden: Vec<Change>,
    /// Of the state against the definitions.
    pub warnings: Vec<Problem>,
    /// The signed snapshots; none where there was nothing to do.
    pub snapshots: Vec<(Audience, String)>,
}

/// What another writer did while a change was under way.
#[derive(Clone, Debug, PartialEq)]
pub struct Meanwhile {
    /// The version.
    pub version: u64,
    /// Who.
    pub author: String,
    /// Why.
    pub reason: String,
    /// When.
    pub time: Timestamp,
    /// What, of all that matters here; paths into definitions and, under `state`, into the state.
    pub changes: Vec<Change>,
}

/// Why a change was not made. Unless it says otherwise, nothing was written.
#[derive(Debug)]
#[non_exhaustive]
pub enum OperationError {
    /// It names a flag, tag or variant that is not there; the text says what there is.
    Unknown(String),
    /// It makes no sense; the text says why.
    Invalid(String),
    /// What it goes by was changed by others since the author looked.
    Overtaken(Vec<Meanwhile>),
    /// The state has other values in place of these edits, so that they would do nothing.
    Overridden(Vec<Change>),
    /// The definitions, with the state applied, cannot be compiled.
    Problems(Vec<Problem>),
    /// The log could not be read or written; [`StoreError::Committed`] says that the change was made all the same.
    Store(StoreError),
}

impl fmt::Display for OperationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OperationError::Unknown(message) | OperationError::Invalid(message) => f.write_str(message),
            OperationError::Overtaken(meanwhile) => {
                f.write_str("others changed meanwhile what this is about; look at it, and decide again:")?;
                for Meanwhile { version, author, reason, time, changes } in meanwhile {
                    let paths: Vec<_> = changes.iter().map(|change| change.path.as_str()).collect();
                    write!(f, "\n    version {version}, {author}, {time}: {reason} ({})", paths.join(", "))?;
                }
                Ok(())
            }
            OperationError::Overridden(changes) => {
                let paths: Vec<_> = changes.iter().map(|change| change.path.as_str()).collect();
                write!(
                    f,
                    "operators changed what these edits are about, so they would do nothing: {}",
                    paths.join(", ")
                )
            }
            OperationError::Problems(problems) => {
                let errors: Vec<_> =
                    problems.iter().filter(|problem| problem.is_error()).map(Problem::to_string).collect();
                f.write_str(&errors.join("\n"))
            }
            OperationError::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for OperationError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            OperationError::Store(error) => Some(error),
            _ => None,
        }
    }
}

impl From<StoreError> for OperationError {
    fn from(error: StoreError) -> Self {
        OperationError::Store(error)
    }
}

/// What an entry holds, or an empty log.
#[derive(Clone, Default)]
struct Contents {
    record: Option<Record>,
    definitions: Definitions,
    state: State,
}

impl Contents {
    fn read(record: Option<Record>) -> Result<Contents, OperationError> {
        let Some(record) = record else { return Ok(Contents::default()) };
        let (definitions, state) = record.contents()?;
        Ok(Contents { definitions, state, record: Some(record) })
    }

    fn published(&self) -> Result<&Record, OperationError> {
        let unknown = || OperationError::Unknown("nothing has been published yet".to_owned());
        self.record.as_ref().ok_or_else(unknown)
    }

    fn version(&self) -> u64 {
        self.record.as_ref().map_or(0, |record| record.entry.version)
    }
}

impl Record {
    /// The definitions and the state that the entry holds.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`] for what this Flagstone cannot read; a newer one may.
    pub fn contents(&self) -> Result<(Definitions, State), StoreError> {
        fn read<T: DeserializeOwned>(record: &Record, value: &Value, what: &str) -> Result<T, StoreError> {
            serde_json::from_value(value.clone()).map_err(|error| StoreError::Corrupt {
                path: format!("entry {}", record.entry.version),
                problem: format!("its {what} cannot be read: {error}; a newer Flagstone may read them"),
            })
        }
        Ok((read(self, &self.entry.definitions, "definitions")?, read(self, &self.entry.state, "state")?))
    }
}

/// What is to be done.
enum Work<'w> {
    Operations(&'w [Operation]),
    Publication(&'w Publication),
    /// The same again.
    Renewal,
}

/// What the next entry holds.
struct Plan {
    definitions: Definitions,
    state: State,
    overridden: Vec<Change>,
    changed: bool,
}

impl Operator {
    /// An operator who signs with each of the keys. `clients_expire` is how long clients may load their snapshots.
    pub fn new(log: Log, keys: Vec<SigningKey>, clients_expire: Duration) -> Operator {
        Operator { log, keys, clients_expire }
    }

    /// The log.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// The public halves of the keys that it signs with.
    pub fn public_keys(&self) -> impl Iterator<Item = PublicKey> {
        self.keys.iter().map(SigningKey::public)
    }

    /// Does all of the operations, as one entry, or none of them. Where nothing would change, nothing is written, and
    /// that is no error.
    ///
    /// # Errors
    ///
    /// See [`OperationError`].
    pub async fn apply(&self, operations: &[Operation], request: &Request) -> Result<Outcome, OperationError> {
        self.work(&Work::Operations(operations), request).await
    }

    /// Publishes definitions. The state stays; a flag that loses the tag it was killed by is killed by itself.
    ///
    /// # Errors
    ///
    /// See [`OperationError`].
    pub async fn publish(&self, publication: &Publication, request: &Request) -> Result<Outcome, OperationError> {
        self.work(&Work::Publication(publication), request).await
    }

    /// Publishes the definitions of an older version again. The state stays, whatever it overrides.
    ///
    /// # Errors
    ///
    /// See [`OperationError`].
    pub async fn revert(&self, version: u64, request: &Request) -> Result<Outcome, OperationError> {
        let (definitions, _) = match self.log.read(version).await {
            Err(StoreError::Missing { .. }) => {
                let newest = self.log.versions().await?.pop().unwrap_or_default();
                return Err(OperationError::Unknown(format!("there is no version {version}; the newest is {newest}")));
            }
            record => record?.contents()?,
        };
        self.publish(&Publication { definitions, keep_state: true, reset: Vec::new() }, request).await
    }

    /// Publishes what there is once more, so that clients may load it for longer; with `within`, only where clients
    /// could not load it any more after that time from now.
    ///
    /// # Errors
    ///
    /// See [`OperationError`].
    pub async fn resign(&self, within: Option<Duration>, request: &Request) -> Result<Outcome, OperationError> {
        if let Some(within) = within {
            let until = request.now.plus_millis(millis(within));
            let head = Contents::read(self.log.head().await?)?;
            let envelope = self.log.snapshot(head.published()?, Audience::Client).await?;
            if expiry(&envelope).is_some_and(|expires| expires > until) {
                return self
                    .write(&head, Plan { changed: false, ..Plan::renewal(&head) }, head.version(), request)
                    .await;
            }
        }
        self.work(&Work::Renewal, request).await
    }

    /// Publishes what the log holds as the version after `above`: for a log that was restored from a backup, where clients
    /// have seen versions up to `above` and refuse what is older.
    ///
    /// # Errors
    ///
    /// See [`OperationError`]. [`OperationError::Invalid`] where the log is not behind.
    pub async fn recover(&self, above: u64, request: &Request) -> Result<Outcome, OperationError> {
        check(request)?;
        let head = Contents::read(self.log.head().await?)?;
        let newest = head.version();
        if newest == 0 {
            return Err(OperationError::Invalid(
                "the log is empty; restore the newest entry from a backup first".to_owned(),
            ));
        }
        if newest > above {
            return Err(OperationError::Invalid(format!(
                "the log is at version {newest} already, above {above}; there is nothing to recover"
            )));
        }
        if above >= (1 << 53) - 1 {
            return Err(OperationError::Invalid(format!("version {above} is too high; versions end below 2^53")));
        }
        self.write(&head, Plan::renewal(&head), above + 1, request).await
    }

    /// The flags of a rollout's plan, as published.
    ///
    /// # Errors
    ///
    /// [`OperationError::Unknown`] where there is no such plan; [`OperationError::Store`].
    pub async fn flags_of(&self, rollout: &str) -> Result<Vec<String>, OperationError> {
        let head = Contents::read(self.log.head().await?)?;
        super::operation::plan(&head.definitions, rollout).map(|plan| plan.flags.clone())
    }

    async fn work(&self, work: &Work<'_>, request: &Request) -> Result<Outcome, OperationError> {
        check(request)?;
        let mut head = Contents::read(self.log.head().await?)?;
        let base = match request.expected {
            // What goes by nothing needs nothing to compare with.
            Some(seen) if seen != head.version() && !work.always_wins() => {
                if seen > head.version() {
                    let newest = head.version();
                    return Err(OperationError::Unknown(format!("there is no version {seen}; the newest is {newest}")));
                }
                let record = if seen == 0 { None } else { Some(self.log.read(seen).await?) };
                Contents::read(record)?
            }
            _ => head.clone(),
        };
        loop {
            self.compare(work, &base, &head).await?;
            let plan = work.plan(&base, &head, self.log.environment(), request)?;
            let version = Log::version_after(head.record.as_ref());
            match self.write(&head, plan, version, request).await {
                Err(OperationError::Store(StoreError::Conflict { .. })) => {}
                outcome => return outcome,
            }
            // Each conflict is another's success, so this ends. Kills do not wait, and so go before all others.
            if !work.always_wins() {
                tokio::time::sleep(Duration::from_millis(fastrand::u64(..50))).await;
            }
            head = Contents::read(self.log.head().await?)?;
        }
    }

    /// Makes sure that what the work goes by is in the newest entry as it was in the one that was seen.
    async fn compare(&self, work: &Work<'_>, base: &Contents, head: &Contents) -> Result<(), OperationError> {
        if base.version() == head.version() || work.goes_by(base, base) == work.goes_by(base, head) {
            return Ok(());
        }
        let mut newer = Vec::new();
        let mut history = self.log.history().await?;
        while let Some(record) = history.next().await? {
            match record.entry.version {
                version if version > head.version() => {}
                version if version > base.version() => newer.push(Contents::read(Some(record))?),
                _ => break,
            }
        }
        let mut meanwhile = Vec::new();
        let mut before = base;
        for after in newer.iter().rev() {
            let (was, is) = (work.goes_by(base, before), work.goes_by(base, after));
            let mut changes: Vec<Change> = was.iter().zip(&is).flat_map(|(was, is)| diff(was, is)).collect();
            changes.dedup();
            before = after;
            let Some(record) = after.record.as_ref().filter(|_| !changes.is_empty()) else { continue };
            let entry = &record.entry;
            let (author, reason) = (entry.author.clone(), entry.reason.clone());
            meanwhile.push(Meanwhile { version: entry.version, author, reason, time: entry.time, changes });
        }
        Err(OperationError::Overtaken(meanwhile))
    }

    async fn write(
        &self,
        head: &Contents,
        plan: Plan,
        version: u64,
        request: &Request,
    ) -> Result<Outcome, OperationError> {
        let Plan { definitions, state, overridden, changed } = plan;
        let mut outcome = Outcome {
            record: None,
            before: head.record.clone(),
            version,
            changed,
            definition_changes: diff(&head.definitions, &definitions),
            state_changes: diff(&head.state, &state),
            overridden,
            warnings: state.lint(&definitions.in_environment(self.log.environment())),
            snapshots: Vec::new(),
            definitions,
            state,
        };
        if !changed {
            outcome.version = head.version();
            // Whoever wrote it may have died before it was served.
            if !request.dry_run && head.record.is_some() {
                self.log.current(Audience::Server).await?;
            }
            return Ok(outcome);
        }
        // A clock that jumped back must not make a kill that clients take for expired.
        let created = head.record.as_ref().map_or(request.now, |record| record.entry.time.max(request.now));
        let keys: Vec<&SigningKey> = self.keys.iter().collect();
        let mut payloads = Vec::new();
        for audience in [Audience::Server, Audience::Client] {
            let expires = created.plus_millis(millis(self.clients_expire));
            let options = Options {
                environment: self.log.environment().to_owned(),
                audience,
                version,
                created,
                expires: (audience == Audience::Client).then_some(expires),
            };
            let payload = compile(&outcome.definitions, &outcome.state, &options).map_err(OperationError::Problems)?;
            // In a rehearsal, too: whether the keys may sign belongs to it.
            let envelope = Envelope::sign(&payload, Typ::Snapshot, self.log.environment(), &keys)
                .map_err(|error| StoreError::Refused(error.to_string()))?;
            outcome.snapshots.push((audience, envelope));
            payloads.push(payload);
        }
        if request.dry_run {
            return Ok(outcome);
        }
        let entry = NewEntry {
            definitions: json!(outcome.definitions),
            state: json!(outcome.state),
            author: request.author.clone(),
            reason: request.reason.clone(),
            time: request.now,
            snapshots: payloads,
        };
        let record = self.log.append_as(version, head.record.as_ref(), entry, &keys).await?;
        Ok(Outcome { record: Some(record), ..outcome })
    }
}

impl Work<'_> {
    fn always_wins(&self) -> bool {
        match self {
            Work::Operations(operations) => operations.iter().all(Operation::always_wins),
            Work::Publication(_) => false,
            Work::Renewal => true,
        }
    }

    /// What decides whether it can be done upon `contents` although it was decided upon `base`.
    fn goes_by(&self, base: &Contents, contents: &Contents) -> Vec<Value> {
        match self {
            Work::Operations(operations) => {
                operations.iter().map(|operation| operation.goes_by(&contents.definitions, &contents.state)).collect()
            }
            Work::Publication(publication) => publication.goes_by(base, contents),
            Work::Renewal => Vec::new(),
        }
    }

    fn plan(
        &self,
        base: &Contents,
        head: &Contents,
        environment: &str,
        request: &Request,
    ) -> Result<Plan, OperationError> {
        match self {
            Work::Operations(operations) => {
                head.published()?;
                let mut state = head.state.clone();
                let (author, reason) = (Some(request.author.clone()), Some(request.reason.clone()));
                // A clock that lags must not make anything older than what it goes by.
                let at = head.record.as_ref().map_or(request.now, |record| record.entry.time.max(request.now));
                let by = Kill { author, reason, at: Some(at), rollout: None };
                let definitions = head.definitions.in_environment(environment);
                for operation in *operations {
                    operation.apply(&definitions, &mut state, &by)?;
                }
                tidy(&mut state);
                let changed = state != head.state;
                Ok(Plan { definitions: head.definitions.clone(), state, overridden: Vec::new(), changed })
            }
            Work::Publication(publication) => publication.plan(base, head, environment),
            Work::Renewal => {
                head.published()?;
                Ok(Plan::renewal(head))
            }
        }
    }
}

impl Plan {
    fn renewal(head: &Contents) -> Plan {
        let (definitions, state) = (head.definitions.clone(), head.state.clone());
        Plan { definitions, state, overridden: Vec::new(), changed: true }
    }
}

impl Publication {
    /// The flags that its edits of the base are about, as they are in `contents`, with all that decides them.
    fn goes_by(&self, base: &Contents, contents: &Contents) -> Vec<Value> {
        let (old, mine, there) = (&base.definitions, &self.definitions, &contents.definitions);
        let flags = edited(&old.flags, &mine.flags);
        let segments = edited(&old.segments, &mine.segments);
        let layers = edited(&old.layers, &mine.layers);
        let holdouts = edited(&old.holdouts, &mine.holdouts);
        let salted = old.hash_salt != mine.hash_salt;

        let mut seen = Definitions::default();
        for (key, flag) in &there.flags {
            let used = there.segments_of(flag);
            let layer = flag.layer.as_ref().map(|layer| &layer.name);
            let about = salted
                || flags.contains(key)
                || used.iter().any(|name| segments.contains(*name))
                || layer.is_some_and(|name| layers.contains(name))
                || flag.holdouts.iter().any(|name| holdouts.contains(name));
            if about {
                seen.flags.insert(key.clone(), flag.clone());
                copy(&mut seen.segments, &there.segments, used.into_iter());
                copy(&mut seen.layers, &there.layers, layer.into_iter().map(String::as_str));
                copy(&mut seen.holdouts, &there.holdouts, flag.holdouts.iter().map(String::as_str));
            }
        }
        let rollouts = edited(&old.rollouts, &mine.rollouts);
        copy(&mut seen.rollouts, &there.rollouts, rollouts.iter().map(String::as_str));
        copy(&mut seen.segments, &there.segments, segments.iter().map(String::as_str));
        copy(&mut seen.layers, &there.layers, layers.iter().map(String::as_str));
        copy(&mut seen.holdouts, &there.holdouts, holdouts.iter().map(String::as_str));
        if salted || !seen.flags.is_empty() {
            seen.hash_salt.clone_from(&there.hash_salt);
        }
        let reset = |flag: &String| Operation::Reset { flag: flag.clone() }.goes_by(there, &contents.state);
        [json!(seen)].into_iter().chain(self.reset.iter().map(reset)).collect()
    }

    fn plan(&self, base: &Contents, head: &Contents, environment: &str) -> Result<Plan, OperationError> {
        let mut definitions = self.definitions.clone();
        // What others published meanwhile is about other flags.
        let (old, new) = (&base.definitions, &head.definitions);
        take_over(&mut definitions.flags, &old.flags, &new.flags);
        take_over(&mut definitions.segments, &old.segments, &new.segments);
        take_over(&mut definitions.layers, &old.layers, &new.layers);
        take_over(&mut definitions.holdouts, &old.holdouts, &new.holdouts);
        take_over(&mut definitions.rollouts, &old.rollouts, &new.rollouts);
        if old.hash_salt != new.hash_salt {
            definitions.hash_salt.clone_from(&new.hash_salt);
        }
        definitions.environments.retain(|name| new.environments.contains(name) || !old.environments.contains(name));
        definitions.environments.extend(new.environments.difference(&old.environments).cloned());

        for (name, progress) in &head.state.rollouts {
            let (Some(old), Some(plan)) = (new.rollouts.get(name), definitions.rollouts.get(name)) else { continue };
            let (moved, moves) = (old.zero(), plan.zero());
            if let Some(flag) = moved.keys().find(|flag| !moves.contains_key(*flag)).filter(|_| progress.is_open()) {
                return Err(OperationError::Invalid(format!(
                    "the rollout `{name}` has moved `{flag}`, which its plan would not any more, so that nothing would turn it \
                     back; roll back first"
                )));
            }
        }
        let mut state = head.state.clone();
        for key in &self.reset {
            if !reset(key, &definitions, &mut state)? {
                let message = format!("nobody changed anything of `{key}`, so there is nothing to reset");
                return Err(OperationError::Invalid(message));
            }
        }
        let state = state.keep_kills(new, &definitions);
        let overridden = state.overridden(&new.in_environment(environment), &definitions.in_environment(environment));
        match overridden.is_empty() || self.keep_state {
            true => Ok(Plan { definitions, state, overridden, changed: true }),
            false => Err(OperationError::Overridden(overridden)),
        }
    }
}

/// The names of what differs.
fn edited<T: PartialEq>(old: &BTreeMap<String, T>, new: &BTreeMap<String, T>) -> BTreeSet<String> {
    old.keys().chain(new.keys()).filter(|name| old.get(*name) != new.get(*name)).cloned().collect()
}

/// Makes the edits that lead from the one to the other.
fn take_over<T: PartialEq + Clone>(
    target: &mut BTreeMap<String, T>,
    old: &BTreeMap<String, T>,
    new: &BTreeMap<String, T>,
) {
    for name in edited(old, new) {
        match new.get(&name) {
            Some(value) => target.insert(name, value.clone()),
            None => target.remove(&name),
        };
    }
}

fn copy<'n, T: Clone>(
    target: &mut BTreeMap<String, T>,
    from: &BTreeMap<String, T>,
    names: impl Iterator<Item = &'n str>,
) {
    target.extend(names.filter_map(|name| Some((name.to_owned(), from.get(name)?.clone()))));
}

/// Makes sure that somebody answers for it.
fn check(request: &Request) -> Result<(), OperationError> {
    for (what, text, most) in [("author", &request.author, 256), ("reason", &request.reason, 4096)] {
        if text.trim().is_empty() {
            return Err(OperationError::Invalid(format!("the {what} is blank; the log says who did what, and why")));
        }
        if text.len() > most {
            return Err(OperationError::Invalid(format!("the {what} is longer than {most} bytes")));
        }
    }
    Ok(())
}

/// When the snapshot in an envelope of the log's expires.
fn expiry(envelope: &str) -> Option<Timestamp> {
    let envelope = Envelope::parse(envelope.as_bytes()).ok()?;
    Snapshot::from_payload(envelope.unverified_payload()).ok()?.expires()
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
