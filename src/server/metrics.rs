//! What Prometheus reads.

use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::{Evaluation, Timestamp};

/// The type of what [`Metrics::text`] makes.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    method: String,
    /// As it is in the list of routes, without what stands in for its parts.
    route: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    method: String,
    route: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Environment {
    environment: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Evaluated {
    environment: String,
    flag: String,
    variant: String,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Changed {
    environment: String,
    operation: String,
}

/// From half a millisecond to ten seconds.
const BUCKETS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0];

pub(super) struct Metrics {
    registry: Mutex<Registry>,
    requests: Family<Request, Counter>,
    durations: Family<Route, Histogram, fn() -> Histogram>,
    versions: Family<Environment, Gauge<u64, AtomicU64>>,
    streams: Family<Environment, Gauge>,
    connections: Gauge,
    store_errors: Family<Environment, Counter>,
    evaluations: Family<Evaluated, Counter>,
    changes: Family<Changed, Counter>,
    ages: Ages,
}

impl Metrics {
    pub(super) fn new() -> Metrics {
        let metrics = Metrics {
            registry: Mutex::new(Registry::with_prefix("flagstone")),
            requests: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            versions: Family::default(),
            streams: Family::default(),
            connections: Gauge::default(),
            store_errors: Family::default(),
            evaluations: Family::default(),
            changes: Family::default(),
            ages: Ages::default(),
        };
        {
            let mut registry = metrics.registry.lock().expect("nobody else has it yet");
            registry.register("http_requests", "Requests answered", metrics.requests.clone());
            registry.register_with_unit(
                "http_request_duration",
                "From a request's head to its answer's head",
                Unit::Seconds,
                metrics.durations.clone(),
            );
            registry.register("http_connections", "Connections that are open", metrics.connections.clone());
            registry.register("snapshot_version", "The version that is served", metrics.versions.clone());
            registry.register("streams", "Streams that are open", metrics.streams.clone());
            registry.register("store_errors", "Looks at the store that failed", metrics.store_errors.clone());
            registry.register("evaluations", "Flags evaluated for others, by OFREP", metrics.evaluations.clone());
            registry.register("changes", "Changes that operators made here", metrics.changes.clone());
            registry.register_collector(Box::new(metrics.ages.clone()));
        }
        metrics
    }

    pub(super) fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        let registry = self.registry.lock().map_err(|_| fmt::Error)?;
        prometheus_client::encoding::text::encode(&mut text, &registry)?;
        Ok(text)
    }

    pub(super) fn answered(&self, method: &str, route: &str, status: u16, took: Duration) {
        let (method, route) = (method.to_owned(), route.to_owned());
        self.durations
            .get_or_create(&Route { method: method.clone(), route: route.clone() })
            .observe(took.as_secs_f64());
        self.requests.get_or_create(&Request { method, route, status }).inc();
    }

    pub(super) fn serves(&self, environment: &str, version: u64, created: Option<Timestamp>) {
        self.versions.get_or_create(&label(environment)).set(version);
        if let (Some(created), Ok(mut ages)) = (created, self.ages.0.lock()) {
            ages.retain(|(name, _)| name != environment);
            ages.push((environment.to_owned(), created));
        }
    }

    pub(super) fn store_errors(&self, environment: &str) -> Counter {
        self.store_errors.get_or_create_owned(&label(environment))
    }

    pub(super) fn changed(&self, environment: &str, operation: &str) {
        let changed = Changed { environment: environment.to_owned(), operation: operation.to_owned() };
        self.changes.get_or_create(&changed).inc();
    }

    /// Counts an evaluation. A flag that there is not gets no name, or anyone could make up any number of them.
    pub(super) fn evaluated(&self, environment: &str, evaluation: &Evaluation<'_>) {
        let known = evaluation.step.is_some();
        let evaluated = Evaluated {
            environment: environment.to_owned(),
            flag: if known { evaluation.flag.clone() } else { String::new() },
            variant: evaluation.variant.unwrap_or_default().to_owned(),
            reason: evaluation.reason.name(),
        };
        self.evaluations.get_or_create(&evaluated).inc();
    }

    /// How often each variant of a flag was served here.
    pub(super) fn evaluations(&self, environment: &str, flag: &str, variant: &str) -> u64 {
        const REASONS: [&str; 7] = ["STATIC", "DEFAULT", "TARGETING_MATCH", "SPLIT", "DISABLED", "STALE", "ERROR"];
        let of = |reason| {
            let [environment, flag, variant] = [environment, flag, variant].map(str::to_owned);
            self.evaluations.get(&Evaluated { environment, flag, variant, reason }).map_or(0, |counter| counter.get())
        };
        REASONS.into_iter().map(of).sum()
    }

    /// Counts a stream until what is returned is dropped.
    pub(super) fn stream_opened(&self, environment: &str) -> Open {
        Open::count(self.streams.get_or_create_owned(&label(environment)))
    }

    /// Counts a connection until what is returned is dropped.
    pub(super) fn connection_opened(&self) -> Open {
        Open::count(self.connections.clone())
    }
}

fn label(environment: &str) -> Environment {
    Environment { environment: environment.to_owned() }
}

/// Something that is open.
pub(super) struct Open(Gauge<i64, AtomicI64>);

impl Open {
    fn count(gauge: Gauge) -> Open {
        gauge.inc();
        Open(gauge)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// How old what is served is, when it is asked.
#[derive(Clone, Debug, Default)]
struct Ages(Arc<Mutex<Vec<(String, Timestamp)>>>);

impl Collector for Ages {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let ages = self.0.lock().map_err(|_| fmt::Error)?;
        let help = "Since the version that is served was made";
        let gauge = ConstGauge::new(0.0);
        let mut encoder = encoder.encode_descriptor("snapshot_age", help, Some(&Unit::Seconds), gauge.metric_type())?;
        for (environment, created) in ages.iter() {
            let age = Timestamp::now().as_millis().saturating_sub(created.as_millis()) as f64 / 1000.0;
            let labels = label(environment);
            ConstGauge::new(age).encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
