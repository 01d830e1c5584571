//! What Prometheus reads of a controller: where rollouts stand and why, and whether it does its work.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::Timestamp;
use crate::rollout::{Blocker, Phase, Reading};
use crate::server::metrics::CONTENT_TYPE;

/// What a controller counts and shows: the text that Prometheus reads, and whether it is well.
///
/// | metric | labels | says |
/// |---|---|---|
/// | `flagstone_rollout_phase` | `phase` | 1 for the phase that it is in |
/// | `flagstone_rollout_step` | | the place of its step, from 1; 0 at none |
/// | `flagstone_rollout_percent` | | the percent of its flags' ramps |
/// | `flagstone_rollout_entered_timestamp_seconds` | | when its step began |
/// | `flagstone_rollout_blockers` | `kind` | how many of each kind keep it from going on |
/// | `flagstone_rollout_guard_value`, `…_baseline`, `…_samples` | `guard`, `metric`, `condition` | what was measured last, and the threshold |
/// | `flagstone_rollout_guard_finding` | `guard`, `finding` | 1 for what came of it |
/// | `flagstone_rollout_decisions_total` | `decision` | decisions that this controller made |
/// | `flagstone_controller_looks_total` | `outcome` | looks at the log: `ok`, or `failed` |
/// | `flagstone_notices_total` | `destination`, `outcome` | notices: `delivered`, `failed` (and tried again), `dropped` |
///
/// All but the last two have `environment` and `rollout` as well.
pub struct Metrics {
    registry: Registry,
    standings: Standings,
    decisions: Family<Decided, Counter>,
    looks: Family<Looked, Counter>,
    notices: Family<Noticed, Counter>,
    health: Mutex<Health>,
}

/// What was seen of a rollout.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    pub environment: String,
    pub phase: Phase,
    pub step: usize,
    pub percent: Option<f64>,
    pub entered: Timestamp,
    pub blockers: Vec<Blocker>,
    pub evidence: Vec<Reading>,
}

#[derive(Clone, Debug, Default)]
struct Standings(Arc<Mutex<BTreeMap<String, Standing>>>);

#[derive(Default)]
struct Health {
    looked_at: Option<Timestamp>,
    trouble: Option<String>,
    unanswered: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Decided {
    environment: String,
    rollout: String,
    decision: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Looked {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Noticed {
    destination: String,
    outcome: &'static str,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    pub(super) fn new() -> Metrics {
        let mut registry = Registry::with_prefix("flagstone");
        let standings = Standings::default();
        let (decisions, looks, notices) = (Family::default(), Family::default(), Family::default());
        registry.register("build", "What runs here", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        registry.register("rollout_decisions", "Decisions that this controller made", decisions.clone());
        registry.register(
            "controller_looks",
            "Looks at the log, and whether it and Prometheus could be read",
            looks.clone(),
        );
        registry.register("notices", "Notices of what happened to rollouts and flags", notices.clone());
        registry.register_collector(Box::new(standings.clone()));
        Metrics { registry, standings, decisions, looks, notices, health: Mutex::default() }
    }

    /// What Prometheus reads.
    ///
    /// # Errors
    ///
    /// As the encoder has it.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }

    /// The type of [`Metrics::text`].
    pub const CONTENT_TYPE: &str = CONTENT_TYPE;

    /// What is amiss: the log cannot be read or written, or was not looked at for so long.
    pub fn trouble(&self, silence: Duration) -> Option<String> {
        let health = lock(&self.health);
        let oldest = Timestamp::now().plus_millis(-i64::try_from(silence.as_millis()).unwrap_or(i64::MAX));
        match (&health.trouble, health.looked_at) {
            (Some(trouble), _) => Some(trouble.clone()),
            (None, None) => Some("the log was not read yet".to_owned()),
            (None, Some(at)) if at < oldest => Some(format!("the log was not read since {at}")),
            (None, Some(_)) => None,
        }
    }

    /// Whether Prometheus did not answer, so that nothing is known of what is measured.
    pub fn is_blind(&self) -> bool {
        lock(&self.health).unanswered.is_some()
    }

    /// Takes down whether Prometheus, where one was named, answered; whether that is another outcome than that of the look before.
    pub(super) fn asked(&self, unanswered: Option<String>) -> bool {
        let mut health = lock(&self.health);
        std::mem::replace(&mut health.unanswered, unanswered.clone()).is_some() != unanswered.is_some()
    }

    /// Takes down how a look at the log went; whether that is another outcome than that of the look before.
    pub(super) fn looked(&self, trouble: Option<String>) -> bool {
        let outcome = match trouble {
            Some(_) => "failed",
            None if self.is_blind() => "unmeasured",
            None => "ok",
        };
        self.looks.get_or_create(&Looked { outcome }).inc();
        let mut health = lock(&self.health);
        if trouble.is_none() {
            health.looked_at = Some(Timestamp::now());
        }
        std::mem::replace(&mut health.trouble, trouble.clone()) != trouble
    }

    pub(super) fn stand(&self, standings: BTreeMap<String, Standing>) {
        *lock(&self.standings.0) = standings;
    }

    pub(super) fn decided(&self, environment: &str, rollout: &str, decision: &'static str) {
        let (environment, rollout) = (environment.to_owned(), rollout.to_owned());
        self.decisions.get_or_create(&Decided { environment, rollout, decision }).inc();
    }

    pub(super) fn noticed(&self, destination: &str, outcome: &'static str) {
        self.notices.get_or_create(&Noticed { destination: destination.to_owned(), outcome }).inc();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The name that JSON has for it.
fn name(of: impl serde::Serialize) -> String {
    serde_json::to_value(of).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
}

/// Labels besides those of the rollout, and a value.
type Sample = (Vec<(&'static str, String)>, f64);

impl Collector for Standings {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let standings = lock(&self.0);
        let mut gauge = |metric: &str, help: &str, of: &dyn Fn(&Standing) -> Vec<Sample>| {
            let kind = ConstGauge::new(0.0).metric_type();
            let mut encoder = encoder.encode_descriptor(metric, help, None, kind)?;
            for (rollout, standing) in standings.iter() {
                for (more, value) in of(standing) {
                    let mut labels = vec![("environment", standing.environment.clone()), ("rollout", rollout.clone())];
                    labels.extend(more);
                    ConstGauge::new(value).encode(encoder.encode_family(&labels)?)?;
                }
            }
            Ok::<(), fmt::Error>(())
        };
        // A gate and a trigger may have the same name.
        let kind = |reading: &Reading| if reading.action.is_some() { "trigger" } else { "gate" };
        let guard = |reading: &Reading| {
            vec![
                ("guard", reading.guard.clone()),
                ("kind", kind(reading).to_owned()),
                ("metric", reading.metric.clone().unwrap_or_default()),
                ("condition", reading.condition.clone().unwrap_or_default()),
            ]
        };
        let measured = |of: fn(&Reading) -> Option<f64>| {
            move |standing: &Standing| {
                let readings = standing.evidence.iter();
                readings.filter_map(|reading| Some((guard(reading), of(reading)?))).collect::<Vec<_>>()
            }
        };
        gauge("rollout_phase", "What the rollout is doing", &|standing| {
            vec![(vec![("phase", name(standing.phase))], 1.0)]
        })?;
        gauge("rollout_step", "The place of its step, from 1", &|standing| vec![(vec![], standing.step as f64)])?;
        gauge("rollout_percent", "The percent of its flags' ramps", &|standing| {
            standing.percent.map(|percent| (vec![], percent)).into_iter().collect()
        })?;
        gauge("rollout_entered_timestamp_seconds", "When its step began", &|standing| {
            vec![(vec![], standing.entered.as_millis() as f64 / 1000.0)]
        })?;
        gauge("rollout_blockers", "What keeps it from going on", &|standing| {
            let mut kinds: BTreeMap<String, f64> = BTreeMap::new();
            for blocker in &standing.blockers {
                *kinds.entry(name(blocker.kind)).or_default() += 1.0;
            }
            kinds.into_iter().map(|(kind, many)| (vec![("kind", kind)], many)).collect()
        })?;
        gauge("rollout_guard_value", "What was measured last", &measured(|reading| reading.value))?;
        gauge("rollout_guard_baseline", "What it is compared with", &measured(|reading| reading.baseline))?;
        gauge("rollout_guard_samples", "How much it goes by", &measured(|reading| reading.samples))?;
        gauge("rollout_guard_finding", "What came of it", &|standing| {
            let finding = |reading: &Reading| {
                let said = name(reading.finding);
                (vec![("guard", reading.guard.clone()), ("kind", kind(reading).to_owned()), ("finding", said)], 1.0)
            };
            standing.evidence.iter().map(finding).collect()
        })
    }
}
