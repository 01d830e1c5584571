use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use flagstone::controller::{Controller, Destination, Metrics, Options, Shape};
use flagstone::server::poll;
use flagstone::snapshot::{SigningKey, TrustedKeys};
use flagstone::store::{Log, Operator};
use tokio::net::TcpListener;
use tracing::Level;

use crate::answer::{Answer, BOLD, Failure, GREEN};
use crate::files::{signing_key, trusted_keys};
use crate::serve::{ended, log_to_standard_error, prometheus};

/// Run the rollouts of an environment: measure, advance, hold, and turn back
///
/// Looks at each rollout that was started, asks Prometheus for what its plan measures, decides, and writes what it decides to
/// the log. All that it goes by is in the log and in Prometheus, so it can be killed at any time and started again, and several
/// of it can run at once. If the log or Prometheus fail, rollouts stay where they are, and it goes on trying.
///
/// Notices of what happens, by hand too, go out as CloudEvents and to Slack, each at least once and with an id to tell
/// repetitions by. Tokens and URLs that are secrets are best given by environment variables: FLAGSTONE_PROMETHEUS_TOKEN (a bearer
/// token), FLAGSTONE_NOTIFY, FLAGSTONE_NOTIFY_SLACK.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  flagstone rollout run --environment production --store published \\
    --key keys/production.private.jwk --prometheus http://127.0.0.1:9090
  flagstone rollout run --environment production --store s3://flags/shop \\
    --key production.private.jwk --prometheus https://example.com/prometheus \\
    --metrics-listen 0.0.0.0:9102 --notify https://example.com/events
  */5 * * * * flagstone rollout run --once …")]
pub struct Run {
    /// The environment
    #[arg(long, value_name = "NAME", env = "FLAGSTONE_ENVIRONMENT")]
    environment: String,
    /// The folder that holds the log, or s3://BUCKET/FOLDER
    #[arg(long, value_name = "STORE", env = "FLAGSTONE_STORE")]
    store: String,
    /// A private key to sign with; give it again while keys are being replaced
    #[arg(long, value_name = "FILE", required = true, env = "FLAGSTONE_KEY", hide_env_values = true)]
    key: Vec<PathBuf>,
    /// Keys that are trusted besides those that sign (a JWK Set), where another key signed the newest version
    #[arg(long, value_name = "JWKS", env = "FLAGSTONE_KEYS")]
    keys: Option<PathBuf>,
    /// How long clients may load the snapshots that decisions make
    #[arg(long, value_name = "DURATION", default_value = "7d", value_parser = humantime::parse_duration)]
    expires: Duration,
    /// Where to ask for what the plans measure
    #[arg(long, value_name = "URL", env = "FLAGSTONE_PROMETHEUS", hide_env_values = true)]
    prometheus: Option<String>,
    /// How long Prometheus may take to answer all that is asked of a rollout
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    patience: Duration,
    /// Look once, decide, and end: for cron
    #[arg(long)]
    once: bool,
    /// How often to look at what is measured; where a plan's `interval` is shorter, as often as that
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    interval: Duration,
    /// How often to look for changes of the log, which are looked at at once; by default 250ms in a local folder, 2s elsewhere
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    poll: Option<Duration>,
    /// Where to send what happens, as CloudEvents; give it again for more
    #[arg(long, value_name = "URL", env = "FLAGSTONE_NOTIFY", hide_env_values = true, value_delimiter = ' ')]
    notify: Vec<String>,
    /// An incoming webhook of Slack to send what happens to; give it again for more
    #[arg(long, value_name = "URL", env = "FLAGSTONE_NOTIFY_SLACK", hide_env_values = true, value_delimiter = ' ')]
    notify_slack: Vec<String>,
    /// Serve /metrics and /healthz here
    #[arg(long, value_name = "ADDRESS", conflicts_with = "once")]
    metrics_listen: Option<SocketAddr>,
    /// What is logged: error, warn, info, or debug. JSON, unless it goes to a terminal
    #[arg(long, value_name = "LEVEL", default_value_t = Level::INFO)]
    log: Level,
}

/// The shortest time between two looks.
const SHORTEST: Duration = Duration::from_millis(10);
/// The longest.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// With so many looks missing, something is wrong.
const MISSED: u32 = 3;

impl Run {
    pub fn run(self, out: &mut dyn Write) -> Result<Answer, Failure> {
        let (interval, patience) = (Some(self.interval), Some(self.patience));
        for (name, every) in [("--interval", interval), ("--poll", self.poll), ("--patience", patience)] {
            if every.is_some_and(|every| every < SHORTEST) {
                return Err(Failure::Usage(format!("{name}: less than 10ms would do nothing but ask; take more")));
            }
            if every.is_some_and(|every| every > LONGEST) {
                return Err(Failure::Usage(format!("{name}: in more than a day too much happens unseen; take less")));
            }
        }
        log_to_standard_error(self.log);
        let runtime = tokio::runtime::Runtime::new()
            .map_err(|error| Failure::File(format!("the system refuses what a controller needs: {error}")))?;
        let outcome = runtime.block_on(self.control(out));
        // A store that hangs must not keep the process from ending.
        runtime.shutdown_background();
        outcome
    }

    async fn control(self, out: &mut dyn Write) -> Result<Answer, Failure> {
        let silence = self.interval * MISSED + self.patience * MISSED;
        let (environment, once, metrics_listen) = (self.environment.clone(), self.once, self.metrics_listen);
        let controller = self.controller()?;
        if once {
            return controller.once().await.map(|()| Answer::Yes).map_err(Failure::File);
        }
        let ended = ended()?;
        if let Some(address) = metrics_listen {
            let failed = |error| Failure::File(format!("cannot listen at {address}: {error}"));
            let listener = TcpListener::bind(address).await.map_err(failed)?;
            let address = listener.local_addr().map_err(failed)?;
            let metrics = controller.metrics();
            tokio::spawn(async move { axum::serve(listener, routes(metrics, silence)).await });
            writeln!(out, "{GREEN}metrics{GREEN:#} at {BOLD}http://{address}/metrics{BOLD:#}")?;
        }
        writeln!(out, "{GREEN}running{GREEN:#} the rollouts of `{environment}`")?;
        out.flush()?;
        controller.run(ended).await;
        Ok(Answer::Yes)
    }

    fn controller(self) -> Result<Controller, Failure> {
        let keys = self.key.iter().map(|path| signing_key(path)).collect::<Result<Vec<_>, _>>()?;
        let others = self.keys.as_deref().map(trusted_keys).transpose()?.unwrap_or_default();
        let trusted: TrustedKeys = others.iter().cloned().chain(keys.iter().map(SigningKey::public)).collect();
        let log = Log::open(&self.store, &self.environment, trusted)?;
        let prometheus = self.prometheus.as_deref().map(prometheus).transpose()?;
        let to = |urls: Vec<String>, shape| {
            urls.into_iter().filter(|url| !url.is_empty()).map(move |url| Destination::new(&url, shape))
        };
        let destinations = to(self.notify, Shape::CloudEvent).chain(to(self.notify_slack, Shape::Slack));
        let options = Options {
            prometheus: prometheus.map(|prometheus| prometheus.patience(self.patience)),
            interval: self.interval,
            poll: self.poll.unwrap_or_else(|| poll(&self.store)),
            destinations: destinations.collect::<Result<_, _>>().map_err(Failure::Usage)?,
        };
        Ok(Controller::new(Operator::new(log, keys, self.expires), options))
    }
}

/// What Prometheus and those who watch over processes ask.
fn routes(metrics: Arc<Metrics>, silence: Duration) -> Router {
    let health = metrics.clone();
    let text = async move || match metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, Metrics::CONTENT_TYPE)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    };
    // What is amiss names places of the store, which not everyone is to know; it is in the log.
    let healthy = async move || match health.trouble(silence) {
        // Another controller would be as blind.
        None if health.is_blind() => {
            (StatusCode::OK, "ok, but Prometheus does not answer: nothing measured turns anything back\n")
        }
        None => (StatusCode::OK, "ok\n"),
        Some(_) => (StatusCode::SERVICE_UNAVAILABLE, "the log of the environment cannot be read or written\n"),
    };
    Router::new().route("/metrics", get(text)).route("/healthz", get(healthy))
}
