use std::io::{IsTerminal, Write, stderr};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use flagstone::controller::Prometheus;
use flagstone::server::{Alias, Limits, Options, Server, ServerError};
use tokio::signal::unix::{SignalKind, signal};
use tracing::Level;

use crate::answer::{Answer, BOLD, Failure, GREEN};
use crate::files::{read, signing_key, trusted_keys, variable_pins};

/// Serve snapshots over HTTP
///
/// Reads the logs of one store and serves their newest snapshots: to browsers, workers and CDNs without a token, to back
/// ends with one. Streams tell clients of newer versions at once. Any number of servers can stand before one store; one that
/// can no longer read it serves what it read last, and says so in /healthz.
///
/// It speaks HTTP and leaves TLS to what stands before it. SIGTERM and SIGINT end it when what is under way is done.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  flagstone serve --store published --keys keys/production.jwks
  flagstone serve --store published --environment production --environment staging \\
    --keys trusted.jwks \\
    --tokens tokens.json --listen 0.0.0.0:8080
  flagstone serve --store published --keys keys/production.jwks --tokens tokens.json \\
    --key keys/production.private.jwk --admin-listen 10.0.0.5:8081")]
pub struct Serve {
    /// The folder that holds the logs, or s3://BUCKET/FOLDER
    #[arg(long, value_name = "STORE", env = "FLAGSTONE_STORE")]
    store: String,
    /// The environment to serve; give it again for more. The first is that of routes that name none
    #[arg(long, value_name = "NAME", default_value = "production")]
    environment: Vec<String>,
    /// The trusted keys (a JWK Set); changes are taken up while it runs
    #[arg(long, value_name = "JWKS")]
    keys: PathBuf,
    /// Where to listen
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// The tokens and their roles, as `flagstone token` writes them; changes are taken up while it runs
    #[arg(long, value_name = "FILE")]
    tokens: Option<PathBuf>,
    /// Evaluate the flags for clients for whoever asks by OFREP, without a token
    #[arg(long)]
    public_evaluation: bool,
    /// A private key to sign what operators change; give it again for more environments. Without one nothing is changed
    #[arg(long, value_name = "FILE")]
    key: Vec<PathBuf>,
    /// How long clients may load the snapshots that changes make; they are renewed in time
    #[arg(long, value_name = "DURATION", default_value = "7d", value_parser = humantime::parse_duration)]
    expires: Duration,
    /// Listen for operators and Prometheus here, and nowhere else
    #[arg(long, value_name = "ADDRESS")]
    admin_listen: Option<SocketAddr>,
    /// Routes that runbooks have already, and what they do: a JSON list
    #[arg(long, value_name = "FILE")]
    aliases: Option<PathBuf>,
    /// Where to ask for what rollouts measure; a token for it comes from FLAGSTONE_PROMETHEUS_TOKEN
    #[arg(long, value_name = "URL", env = "FLAGSTONE_PROMETHEUS", hide_env_values = true)]
    prometheus: Option<String>,
    /// Let environment variables pin flags where this server evaluates them: FLAGSTONE_PIN_… and, with a FILE, those that it
    /// names. What it serves for others to evaluate is as it was signed
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    variables: Option<Option<PathBuf>>,
    /// How often to look for newer versions; by default 250ms in a local folder, 2s elsewhere
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    poll: Option<Duration>,
    /// For how long caches may serve a client snapshot without asking
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = humantime::parse_duration)]
    max_age: Duration,
    /// Connections at once; more wait
    #[arg(long, value_name = "NUMBER", default_value_t = Limits::default().connections)]
    max_connections: usize,
    /// Streams at once; more are refused
    #[arg(long, value_name = "NUMBER", default_value_t = Limits::default().streams)]
    max_streams: usize,
    /// Requests a second of one token, or of one address that evaluates without any; five times as many may come at once
    #[arg(long, value_name = "NUMBER", default_value_t = Limits::default().rate, value_parser = clap::value_parser!(u32).range(1..))]
    max_rate: u32,
    /// How long a request's head may take to arrive, and a connection to say nothing
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = humantime::parse_duration)]
    head_timeout: Duration,
    /// How long a connection may take nothing of what is sent to it
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = humantime::parse_duration)]
    write_timeout: Duration,
    /// What is logged: error, warn, info, or debug, which is each request. JSON, unless it goes to a terminal
    #[arg(long, value_name = "LEVEL", default_value_t = Level::INFO)]
    log: Level,
}

impl Serve {
    pub fn run(self, out: &mut dyn Write) -> Result<Answer, Failure> {
        if self.poll.is_some_and(|poll| poll < Duration::from_millis(10)) {
            return Err(Failure::Usage("--poll: less than 10ms would do nothing but ask; take more".to_owned()));
        }
        log_to_standard_error(self.log);
        // A stream is a file to the system; as many as it allows.
        if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
            tracing::warn!(%error, "the system's limit of open files stays as it is");
        }
        let defaults = Options::new(self.store, self.environment, trusted_keys(&self.keys)?);
        let options = Options {
            keys_file: Some(self.keys).filter(|path| path.as_os_str() != "-"),
            listen: self.listen,
            poll: self.poll.unwrap_or(defaults.poll),
            max_age: self.max_age,
            tokens: self.tokens,
            public_evaluation: self.public_evaluation,
            admin_listen: self.admin_listen,
            signing_keys: self.key.iter().map(|path| signing_key(path)).collect::<Result<_, _>>()?,
            clients_expire: self.expires,
            variables: self
                .variables
                .as_ref()
                .map(|names| variable_pins(names.as_deref()))
                .transpose()?
                .unwrap_or_default(),
            aliases: self.aliases.as_deref().map(aliases).transpose()?.unwrap_or_default(),
            prometheus: self.prometheus.as_deref().map(prometheus).transpose()?,
            limits: Limits {
                connections: self.max_connections,
                streams: self.max_streams,
                rate: self.max_rate,
                head: self.head_timeout,
                write: self.write_timeout,
                ..Limits::default()
            },
            ..defaults
        };
        let runtime = tokio::runtime::Runtime::new()
            .map_err(|error| Failure::File(format!("the system refuses what a server needs: {error}")))?;
        let outcome = runtime.block_on(async {
            let environments = options.environments.join("`, `");
            let server = Server::bind(options).await?;
            let address = server.address().map_err(|error| ServerError::Listen(error.to_string()))?;
            writeln!(out, "{GREEN}serving{GREEN:#} `{environments}` at {BOLD}http://{address}{BOLD:#}")?;
            if let Some(address) = server.admin_address().map_err(|error| ServerError::Listen(error.to_string()))? {
                writeln!(out, "{GREEN}operators{GREEN:#} at {BOLD}http://{address}{BOLD:#}")?;
            }
            out.flush()?;
            server.run(ended()?).await;
            Ok(Answer::Yes)
        });
        // A store that hangs must not keep the process from ending.
        runtime.shutdown_background();
        outcome
    }
}

/// Where metrics are asked for; the token stands in the environment, and in no list of processes.
pub fn prometheus(url: &str) -> Result<Prometheus, Failure> {
    Prometheus::new(url, std::env::var("FLAGSTONE_PROMETHEUS_TOKEN").ok()).map_err(Failure::Usage)
}

fn aliases(path: &Path) -> Result<Vec<Alias>, Failure> {
    serde_json::from_slice(&read(path)?)
        .map_err(|error| Failure::File(format!("{}: this is no list of aliases: {error}", path.display())))
}

/// Done when somebody wants the process to end.
pub fn ended() -> Result<impl Future<Output = ()>, Failure> {
    let failed = |error| Failure::File(format!("the system refuses to tell when to end: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

pub fn log_to_standard_error(level: Level) {
    let log = tracing_subscriber::fmt().with_max_level(level).with_writer(stderr).with_target(false);
    // What somebody else has set up stays.
    let _ = match stderr().is_terminal() {
        true => log.with_ansi(std::env::var_os("NO_COLOR").is_none()).try_init(),
        false => log.json().flatten_event(true).try_init(),
    };
}

impl From<ServerError> for Failure {
    fn from(error: ServerError) -> Failure {
        match error {
            ServerError::Store(error) => Failure::from(error),
            other => Failure::File(other.to_string()),
        }
    }
}
