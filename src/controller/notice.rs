//! What happened, told to others: CloudEvents over HTTP, and messages to Slack.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use serde::Serialize;
use serde_json::{Value, json};

use super::metrics::Metrics;
use super::prometheus::because;
use crate::Timestamp;
use crate::rollout::{Finding, Plan, Progress, Reading};
use crate::snapshot::definitions::{FlagState, State};
use crate::store::{Log, Record, StoreError};

/// How long a destination may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long to wait before a notice is sent again: at first, and at most.
const AGAIN: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(120)];
/// For how long a notice is sent again.
const NEWS: Duration = Duration::from_secs(24 * 60 * 60);
/// What Slack takes in a block, with some room.
const MOST_WORDS: usize = 2900;

/// Something that happened, as a CloudEvent 1.0.
///
/// | type | subject | when |
/// |---|---|---|
/// | `dev.flagstone.rollout.TRANSITION.v1` | the rollout | something happened to a rollout, by the controller or by hand |
/// | `dev.flagstone.flag.changed.v1` | the flag, `tag:NAME`, or `*` for all | somebody changed a flag by hand, or killed or restored it |
/// | `dev.flagstone.rollouts.frozen.v1`, `…unfrozen.v1` | `*` | no rollout may go on, or they may again |
///
/// An event's id is the same whoever sends it and how often they do, so that a receiver can drop those that it has.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    specversion: &'static str,
    /// Made of the environment, the version, the SHA-256 of the log's entry, and the subject.
    pub id: String,
    /// `/flagstone/` and the environment.
    pub source: String,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: String,
    /// To what.
    pub subject: String,
    /// When.
    pub time: Timestamp,
    datacontenttype: &'static str,
    /// All else: who, why, how it was before and is now, and what was measured.
    pub data: Value,
}

/// What happened between two entries of a log that follow one another.
///
/// # Errors
///
/// [`StoreError::Corrupt`] for entries that this Flagstone cannot read.
pub fn events(environment: &str, before: Option<&Record>, after: &Record) -> Result<Vec<Event>, StoreError> {
    let (_, old) = before.map(Record::contents).transpose()?.unwrap_or_default();
    let (definitions, new) = after.contents()?;
    let about = |kind: &str, subject: &str, time: Timestamp, data: Value| {
        let (version, digest) = (after.entry.version, after.sha256.get(..16).unwrap_or_default());
        let mut all = json!({"environment": environment, "version": version});
        if let (Some(all), Value::Object(data)) = (all.as_object_mut(), data) {
            all.extend(data);
        }
        Event {
            specversion: "1.0",
            id: format!("{environment}/{version}/{digest}/{subject}"),
            source: format!("/flagstone/{environment}"),
            kind: format!("dev.flagstone.{kind}.v1"),
            subject: subject.to_owned(),
            time,
            datacontenttype: "application/json",
            data: all,
        }
    };
    let mut events = Vec::new();
    let mut moved: BTreeSet<&String> = BTreeSet::new();
    let zeroes: BTreeMap<&String, _> = definitions.rollouts.iter().map(|(name, plan)| (name, plan.zero())).collect();
    for (name, progress) in &new.rollouts {
        let was = old.rollouts.get(name);
        if was == Some(progress) {
            continue;
        }
        let plan = definitions.rollouts.get(name);
        moved.extend(zeroes.get(name).into_iter().flat_map(BTreeMap::keys));
        let kind = format!("rollout.{}", progress.last.what.name());
        events.push(about(&kind, name, progress.last.at, rollout(name, plan, was, progress)));
    }
    let (author, reason, time) = (&after.entry.author, &after.entry.reason, after.entry.time);
    let mut changed = |subject: &str, mut data: Value| {
        (data["author"], data["reason"]) = (json!(author), json!(reason));
        events.push(about("flag.changed", subject, time, data));
    };
    for (target, killed) in kills(&old, &new) {
        changed(&target, json!({"changed": ["killed"], "killed": killed}));
    }
    let keys: BTreeSet<&String> = old.flags.keys().chain(new.flags.keys()).collect();
    for key in keys.difference(&moved) {
        let nothing = FlagState::default();
        let [was, is] = [&old, &new].map(|state| state.flags.get(*key).unwrap_or(&nothing));
        let what = differences(was, is);
        if !what.is_empty() {
            changed(
                key,
                json!({
                    "flag": key, "changed": what, "killed": is.killed.is_some(), "enabled": is.enabled,
                    "percent": is.percent.default, "before": {
                        "killed": was.killed.is_some(), "enabled": was.enabled, "percent": was.percent.default,
                    },
                }),
            );
        }
    }
    if old.frozen != new.frozen {
        let (kind, until) = match &new.frozen {
            Some(frozen) => ("rollouts.frozen", frozen.until),
            None => ("rollouts.unfrozen", None),
        };
        events.push(about(kind, "*", time, json!({"until": until, "author": author, "reason": reason})));
    }
    Ok(events)
}

fn rollout(name: &str, plan: Option<&Plan>, was: Option<&Progress>, is: &Progress) -> Value {
    let percent = |progress: &Progress| plan.and_then(|plan| plan.percent(progress));
    let before = was.map(|was| json!({"phase": was.phase, "step": was.step, "percent": percent(was)}));
    json!({
        "rollout": name, "transition": is.last.what, "author": is.last.author, "reason": is.last.reason,
        "description": plan.and_then(|plan| plan.description.as_ref()), "owner": plan.and_then(|plan| plan.owner.as_ref()),
        "flags": plan.map(|plan| &plan.flags), "attempt": is.attempt, "phase": is.phase, "step": is.step,
        "percent": percent(is), "before": before, "evidence": is.last.evidence, "incident": is.incident,
    })
}

/// What was killed or restored, of everything and of tags.
fn kills(old: &State, new: &State) -> Vec<(String, bool)> {
    let all = (old.killed_all != new.killed_all).then(|| ("*".to_owned(), new.killed_all.is_some()));
    let tags: BTreeSet<&String> = old.killed_tags.keys().chain(new.killed_tags.keys()).collect();
    let tags = tags.into_iter().filter(|tag| old.killed_tags.get(*tag) != new.killed_tags.get(*tag));
    let tags = tags.map(|tag| (format!("tag:{tag}"), new.killed_tags.contains_key(tag)));
    all.into_iter().chain(tags).collect()
}

/// What of a flag's state differs. Whom lists name is nobody else's business.
fn differences(was: &FlagState, is: &FlagState) -> Vec<&'static str> {
    let differs = [
        ("killed", was.killed != is.killed),
        ("enabled", was.enabled != is.enabled),
        ("percent", was.percent != is.percent),
        ("allow", was.allow != is.allow),
        ("deny", was.deny != is.deny),
        ("exclude", was.exclude != is.exclude),
    ];
    differs.into_iter().filter(|(_, differs)| *differs).map(|(what, _)| what).collect()
}

impl Event {
    /// As a message to an incoming webhook of Slack: a sentence, and what was measured.
    pub fn slack(&self) -> Value {
        let text = |of: &Value| of.as_str().map(escape);
        let data = &self.data;
        let (author, reason) = (text(&data["author"]), text(&data["reason"]));
        let percent = |of: &Value| of.as_f64().map_or("as defined".to_owned(), |percent| format!("{percent}%"));
        let moved = (data["before"]["percent"] != data["percent"])
            .then(|| format!(" ({} → {})", percent(&data["before"]["percent"]), percent(&data["percent"])));
        let what = match data["transition"].as_str() {
            Some(transition) => spoken(transition),
            None => match data["changed"].as_array() {
                Some(changed) => match (changed.as_slice(), data["killed"].as_bool()) {
                    ([only], Some(true)) if only == "killed" => "killed".to_owned(),
                    ([only], Some(false)) if only == "killed" => "restored".to_owned(),
                    _ => {
                        format!("changed: {}", changed.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "))
                    }
                },
                None => self.kind.split('.').nth(3).unwrap_or_default().to_owned(),
            },
        };
        let at = data["step"].as_str().map_or(String::new(), |step| format!(" at {}", escape(step)));
        let environment = text(&data["environment"]).unwrap_or_default();
        let mut sentence =
            format!("*{}* in {environment}: {what}{at}{}", escape(&self.subject), moved.unwrap_or_default());
        sentence.push_str(&format!(", by {}: {}", author.unwrap_or_default(), reason.unwrap_or_default()));
        let readings: Vec<Reading> = serde_json::from_value(data["evidence"].clone()).unwrap_or_default();
        let measured: Vec<String> = readings.iter().map(measured).collect();
        let section = |text: String| {
            let text: String = text.chars().take(MOST_WORDS).collect();
            json!({"type": "section", "text": {"type": "mrkdwn", "text": text}})
        };
        let mut blocks = vec![section(sentence.clone())];
        if !measured.is_empty() {
            blocks.push(section(measured.join("\n")));
        }
        let note = format!("{} · version {} · {}", self.time, data["version"], escape(&self.id));
        blocks.push(json!({"type": "context", "elements": [{"type": "mrkdwn", "text": note}]}));
        json!({"text": sentence, "blocks": blocks})
    }
}

/// What a guard found, in a line.
fn measured(reading: &Reading) -> String {
    let what = match reading.finding {
        Finding::Holds => "so",
        Finding::Pending => "so, but not for long enough",
        Finding::Fails => "not so",
        Finding::NoData | Finding::Silence => "no data",
    };
    let value = reading.value.map_or(String::new(), |value| format!(", it is {}", (value * 1e6).round() / 1e6));
    let note = reading.note.as_ref().map_or(String::new(), |note| format!(" ({note})"));
    format!("• {}", escape(format!("{}: {what}{value}{note}", reading.guard)))
}

/// What would be markup is text.
fn escape(text: impl AsRef<str>) -> String {
    text.as_ref().replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// `rolledBack` as people say it.
fn spoken(name: &str) -> String {
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() {
            words.push(' ');
        }
        words.extend(letter.to_lowercase());
    }
    words
}

/// The shape in which a destination wants notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A CloudEvent 1.0 in structured JSON.
    CloudEvent,
    /// A message to an incoming webhook of Slack, or of what takes the same.
    Slack,
}

/// Where notices go. Its URL may be a secret, and is never shown.
#[derive(Clone)]
pub struct Destination {
    url: Url,
    shape: Shape,
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Destination").field("host", &self.host()).field("shape", &self.shape).finish_non_exhaustive()
    }
}

impl Destination {
    /// A destination at a URL.
    ///
    /// # Errors
    ///
    /// A text that is no URL of HTTP. The message does not repeat it.
    pub fn new(url: &str, shape: Shape) -> Result<Destination, String> {
        let url = Url::parse(url).map_err(|error| format!("this is no URL that notices can go to: {error}"))?;
        match url.scheme() {
            "http" | "https" => Ok(Destination { url, shape }),
            _ => Err("a URL that notices can go to begins with http:// or https://".to_owned()),
        }
    }

    fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// Under which name it is kept how much it was told of.
    fn bookmark(&self) -> String {
        let digest = hmac_sha256::Hash::hash(self.url.as_str().as_bytes());
        let digest: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        format!("notices{digest}")
    }

    fn body(&self, event: &Event) -> (&'static str, String) {
        match self.shape {
            Shape::CloudEvent => ("application/cloudevents+json; charset=utf-8", json!(event).to_string()),
            Shape::Slack => ("application/json; charset=utf-8", event.slack().to_string()),
        }
    }
}

/// Tells a destination of all that happens, in order, and each thing at least once: up to which version of the log it was told is
/// kept beside the log, so that another goes on where one ended. What happened before the first did is not told.
///
/// A notice that does not arrive is sent again, ever more seldom, for a day; what the destination says it cannot read (400,
/// 413, 415, 422) is not. Where several controllers run, something may be told twice.
#[derive(Clone, Debug)]
pub struct Notices {
    log: Log,
    destination: Destination,
    client: Client,
    metrics: Arc<Metrics>,
}

impl Notices {
    /// Begins to tell each of the destinations; of one that was never told anything, from now on.
    pub(super) async fn begin(log: &Log, destinations: &[Destination], metrics: &Arc<Metrics>) -> Vec<Notices> {
        let mut begun = Vec::new();
        for destination in destinations {
            let client = Client::builder()
                .user_agent(concat!("flagstone/", env!("CARGO_PKG_VERSION")))
                .redirect(Policy::none())
                .timeout(PATIENCE)
                .build();
            let (log, destination, metrics) = (log.clone(), destination.clone(), metrics.clone());
            match client {
                Ok(client) => begun.push(Notices { log, destination, client, metrics }),
                Err(error) => {
                    tracing::error!(destination = destination.host(), problem = because(&error), "no notices")
                }
            }
        }
        for notices in &begun {
            if let Err(error) = notices.from().await {
                notices.failed(&error.to_string());
            }
        }
        begun
    }

    /// The version up to which the destination was told.
    async fn from(&self) -> Result<u64, StoreError> {
        let name = self.destination.bookmark();
        if let Some(version) = self.log.bookmark(&name).await? {
            return Ok(version);
        }
        let newest = self.log.versions().await?.pop().unwrap_or_default();
        self.log.set_bookmark(&name, newest).await?;
        Ok(newest)
    }

    /// Tells on and on, looking that often whether there is something new.
    pub(super) async fn run(self, poll: Duration) {
        let mut wait = AGAIN[0];
        loop {
            // Before it is read, so that nothing goes unseen.
            let mark = self.log.mark().await.ok();
            let mut told = 0;
            match self.pass(poll, &mut told).await {
                Ok(()) => {
                    wait = AGAIN[0];
                    let mut quiet = Duration::ZERO;
                    // Not all that happens moves the mark at once.
                    while quiet < AGAIN[1] {
                        tokio::time::sleep(poll).await;
                        quiet += poll;
                        if self.log.mark().await.is_ok_and(|now| Some(&now) != mark.as_ref()) {
                            break;
                        }
                    }
                }
                Err(problem) => {
                    self.failed(&problem);
                    if told > 0 {
                        wait = AGAIN[0];
                    }
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(AGAIN[1]);
                }
            }
        }
    }

    /// Tells what there is to tell now, for so long at most.
    ///
    /// # Errors
    ///
    /// Says what went wrong; the next to run tells it.
    pub(super) async fn catch_up(&self, patience: Duration) -> Result<(), String> {
        let outcome = tokio::time::timeout(patience, self.pass(Duration::ZERO, &mut 0)).await;
        let outcome = outcome.unwrap_or_else(|_| Err(format!("not done within {patience:?}")));
        if let Err(problem) = &outcome {
            self.failed(problem);
        }
        outcome.map_err(|problem| format!("{} was not told of all that happened: {problem}", self.destination.host()))
    }

    fn failed(&self, problem: &str) {
        self.metrics.noticed(self.destination.host(), "failed");
        tracing::warn!(destination = self.destination.host(), problem, "a notice was not delivered, and is sent again");
    }

    /// Tells what there is to tell, and counts it. Before each it waits for some part of the pause, so that of several
    /// controllers one is first, and the others see that it was.
    async fn pass(&self, pause: Duration, told: &mut usize) -> Result<(), String> {
        let unread = |error: StoreError| error.to_string();
        let name = self.destination.bookmark();
        let from = self.from().await.map_err(unread)?;
        let versions = self.log.versions().await.map_err(unread)?;
        let (old, new): (Vec<u64>, Vec<u64>) = versions.into_iter().partition(|version| *version <= from);
        if new.is_empty() {
            return Ok(());
        }
        let mut before = match old.last() {
            Some(version) => Some(self.log.read(*version).await.map_err(unread)?),
            None => None,
        };
        for version in new {
            let record = self.log.read(version).await.map_err(unread)?;
            tokio::time::sleep(pause.mul_f64(fastrand::f64())).await;
            if self.from().await.map_err(unread)? < version {
                for event in events(self.log.environment(), before.as_ref(), &record).map_err(unread)? {
                    self.send(&event).await?;
                    *told += 1;
                }
                self.log.set_bookmark(&name, version).await.map_err(unread)?;
            }
            before = Some(record);
        }
        Ok(())
    }

    /// Sends an event, and fails where it is to be sent again.
    async fn send(&self, event: &Event) -> Result<(), String> {
        let (content_type, body) = self.destination.body(event);
        let request = self.client.post(self.destination.url.clone()).header(CONTENT_TYPE, content_type).body(body);
        let (problem, hopeless) = match request.send().await {
            Ok(response) if response.status().is_success() => {
                self.metrics.noticed(self.destination.host(), "delivered");
                return Ok(());
            }
            Ok(response) => {
                let status = response.status().as_u16();
                (format!("it answered {status}"), matches!(status, 400 | 413 | 415 | 422))
            }
            Err(error) => (because(&error.without_url()), false),
        };
        let old = event.time.plus_millis(i64::try_from(NEWS.as_millis()).unwrap_or(i64::MAX)) < Timestamp::now();
        if !hopeless && !old {
            return Err(problem);
        }
        self.metrics.noticed(self.destination.host(), "dropped");
        tracing::error!(destination = self.destination.host(), id = event.id, problem, "a notice was given up");
        Ok(())
    }
}
