mod generate;
mod native;
mod package;
mod random;
mod runtime;
mod server;
#[cfg(test)]
mod tests;
mod users;

use std::collections::HashMap;
use std::io::Write;
use std::ops::Range;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use flagstone::Timestamp;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::{Value, json};

use crate::answer::{Answer, BOLD, DIM, Failure, GREEN, RED, thousands, write_json};
use crate::table::columns;
use native::{Native, Results};
use package::Package;
use runtime::{Failed, Kind, Runtime};
use server::{Line, Server};
use users::User;

/// Compare the engine with the npm package in every runtime found
///
/// Evaluates the same generated users with every flag of a generated snapshot, natively and in Node.js, Chromium and
/// workerd, and prints a digest of the results for each: over value, variant, reason, rule and error code. Where digests
/// differ, it shows the first user and flag that do. Exits with 1 unless all are equal.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  flagstone parity
  flagstone parity --users 100000 --require node,chromium,workerd
  flagstone parity --package node_modules/flagstone --seed 7 --json")]
pub struct Parity {
    /// How many users to evaluate for
    #[arg(long, value_name = "NUMBER", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    users: u64,
    /// What users and flags are generated from; the same seed makes the same ones
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// The npm package; by default ./pkg or ./node_modules/flagstone
    #[arg(long, value_name = "DIR")]
    package: Option<PathBuf>,
    /// Runtimes that must be there
    #[arg(long, value_name = "RUNTIME", value_delimiter = ',')]
    require: Vec<Kind>,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

/// What came of it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    users: u64,
    seed: u64,
    /// How many a user was asked, over both audiences.
    flags: usize,
    equal: bool,
    runtimes: Vec<Row>,
}

/// What came of it in one runtime.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    runtime: &'static str,
    #[serde(flatten)]
    outcome: Outcome,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "outcome")]
enum Outcome {
    Evaluated {
        version: String,
        users: u64,
        evaluations: u64,
        seconds: f64,
        digest: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        difference: Option<Box<Difference>>,
    },
    NotFound {
        how_to_get: &'static str,
        required: bool,
    },
    Failed {
        error: String,
    },
}

/// The first result that is another one than the native engine's.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Difference {
    /// The user's number, from 0.
    user: u64,
    context: String,
    now: String,
    audience: &'static str,
    flag: String,
    fallback: Value,
    native: String,
    found: String,
}

impl Parity {
    pub fn run(self, out: &mut dyn Write) -> Result<Answer, Failure> {
        let package = Package::find(self.package.as_deref())?;
        let native = Native::new(self.seed)
            .map_err(|error| Failure::Refused(format!("the generated snapshot is not taken: {error}")))?;
        let refused = |error| Failure::File(format!("the system refuses what this needs: {error}"));
        let system =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(refused)?;
        let report = system.block_on(async {
            tokio::select! {
                report = self.compare(&native, &package) => report.map_err(refused),
                () = interrupted() => Err(Failure::Refused("interrupted".to_owned())),
            }
        })?;
        if self.json {
            write_json(out, &report)?;
        } else {
            report.write(out)?;
        }
        Ok(if report.equal { Answer::Yes } else { Answer::No })
    }

    async fn compare(&self, native: &Native, package: &Package) -> std::io::Result<Report> {
        let (server, mut lines) = Server::start(package.clone()).await?;
        let mut rows: HashMap<Kind, Outcome> = HashMap::new();
        let mut compared = Vec::new();
        let start = start_command(native);
        for kind in Kind::ALL {
            match (kind.find(), lines.remove(&kind)) {
                (Some(program), Some(line)) => {
                    match started(kind, &program, package, &server, line, start.clone()).await {
                        Ok(runtime) => compared.push(Compared { runtime, chain: Chain::default(), difference: None }),
                        Err(error) => drop(rows.insert(kind, Outcome::Failed { error })),
                    }
                }
                _ => {
                    let (how_to_get, required) = (kind.how_to_get(), self.require.contains(&kind));
                    rows.insert(kind, Outcome::NotFound { how_to_get, required });
                }
            }
        }

        let progress = progress(self.users);
        let mut own = Chain::default();
        let mut busy = Duration::ZERO;
        let size = (self.users / generate::INSTANTS).clamp(1, LARGEST_CHUNK);
        let mut chunk = Chunk::generate(self.seed, 0, 0..size.min(self.users));
        loop {
            let command = chunk.command("evaluate");
            for compared in &mut compared {
                compared.runtime.command(command.clone());
            }
            // Meanwhile the native engine does the same, and the next chunk is made.
            let since = Instant::now();
            let results = native.evaluate(&chunk.users, chunk.now);
            let digest = results.digest();
            busy += since.elapsed();
            own.add(&digest);
            let done = chunk.range.end;
            let next = (done < self.users)
                .then(|| Chunk::generate(self.seed, chunk.number + 1, done..(done + size).min(self.users)));

            let mut still = Vec::new();
            for mut runtime in compared {
                match runtime.check(native, &chunk, &results, &digest).await {
                    Ok(()) => still.push(runtime),
                    Err(error) => {
                        rows.insert(runtime.runtime.kind, Outcome::Failed { error });
                        runtime.runtime.end().await;
                    }
                }
            }
            compared = still;
            progress.set_position(done);
            match next {
                Some(next) => chunk = next,
                None => break,
            }
        }
        progress.finish_and_clear();

        let evaluated = |version: String, busy: Duration, chain: Chain, difference| Outcome::Evaluated {
            version,
            users: self.users,
            evaluations: self.users * native.questions() as u64,
            seconds: busy.as_secs_f64(),
            digest: chain.hex(),
            difference,
        };
        for Compared { runtime, chain, difference } in compared {
            rows.insert(
                runtime.kind,
                evaluated(runtime.version.clone(), runtime.busy, chain, difference.map(Box::new)),
            );
            runtime.end().await;
        }
        let own = Row { runtime: "native", outcome: evaluated(env!("CARGO_PKG_VERSION").to_owned(), busy, own, None) };
        let others =
            Kind::ALL.into_iter().filter_map(|kind| Some(Row { runtime: kind.name(), outcome: rows.remove(&kind)? }));
        let runtimes: Vec<_> = std::iter::once(own).chain(others).collect();
        let equal = all_equal(&runtimes);
        Ok(Report { users: self.users, seed: self.seed, flags: native.questions(), equal, runtimes })
    }
}

/// Whether at least two runtimes have evaluated, all with one digest, and none that must be there is missing or failed.
fn all_equal(rows: &[Row]) -> bool {
    let mut digests = Vec::new();
    for row in rows {
        match &row.outcome {
            Outcome::Evaluated { digest, .. } => digests.push(digest),
            Outcome::NotFound { required: false, .. } => {}
            Outcome::NotFound { .. } | Outcome::Failed { .. } => return false,
        }
    }
    digests.len() > 1 && digests.windows(2).all(|pair| pair[0] == pair[1])
}

async fn started(
    kind: Kind,
    program: &std::path::Path,
    package: &Package,
    server: &Server,
    line: Line,
    start: Bytes,
) -> Result<Runtime, Failed> {
    let mut runtime = Runtime::start(kind, program, package, server, line).await?;
    runtime.command(start);
    runtime.answer().await?;
    runtime.busy = Duration::ZERO;
    Ok(runtime)
}

fn start_command(native: &Native) -> Bytes {
    let snapshots = native.sides.iter().map(|side| {
        let questions = side.generated.questions.iter().map(|question| json!([question.flag, question.default]));
        json!({
            "audience": side.generated.audience.name(),
            "envelope": side.envelope,
            "now": generate::created().as_millis(),
            "questions": questions.collect::<Vec<_>>(),
        })
    });
    let keys: Value = serde_json::from_str(&native.jwks).expect("a JWK set is JSON");
    let snapshots: Vec<_> = snapshots.collect();
    Bytes::from(
        json!({"do": "start", "environment": generate::ENVIRONMENT, "keys": keys, "snapshots": snapshots}).to_string(),
    )
}

/// As many users are sent at a time, so that memory stays the same for any number of them.
const LARGEST_CHUNK: u64 = 2_000;

/// Users that are evaluated at one instant.
struct Chunk {
    number: u64,
    range: Range<u64>,
    users: Vec<User>,
    now: Timestamp,
}

impl Chunk {
    fn generate(seed: u64, number: u64, range: Range<u64>) -> Chunk {
        let users = range.clone().map(|number| User::generate(seed, number)).collect();
        Chunk { number, range, users, now: generate::instant(seed, number) }
    }

    fn command(&self, name: &str) -> Bytes {
        // One user in a hundred is asked about in every way that the package has.
        let mut json = format!(
            r#"{{"do":"{name}","now":{},"thoroughly":{},"contexts":["#,
            self.now.as_millis(),
            self.users.len().div_ceil(100)
        );
        for (index, user) in self.users.iter().enumerate() {
            if index > 0 {
                json.push(',');
            }
            user.write_json(&mut json);
        }
        json.push_str("]}");
        json.into()
    }
}

/// A digest over the digests of chunks.
#[derive(Default)]
struct Chain([u8; 32]);

impl Chain {
    fn add(&mut self, digest: &[u8]) {
        let mut chained = hmac_sha256::Hash::new();
        chained.update(self.0);
        chained.update(digest);
        self.0 = chained.finalize();
    }

    fn hex(&self) -> String {
        hex(&self.0)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A runtime and what it has said so far.
struct Compared {
    runtime: Runtime,
    chain: Chain,
    difference: Option<Difference>,
}

impl Compared {
    /// Takes the digest of a chunk; where it is the first that differs, finds out where.
    async fn check(
        &mut self,
        native: &Native,
        chunk: &Chunk,
        expected: &Results,
        digest: &[u8; 32],
    ) -> Result<(), Failed> {
        let answer = self.runtime.answer().await?;
        let found = answer["digest"].as_str().unwrap_or_default();
        // Of what it is does not matter here: equal texts make equal chains.
        self.chain.add(&unhex(found).ok_or_else(|| format!("its digest is {found:?}"))?);
        if self.difference.is_none() && found != hex(digest) {
            self.runtime.command(chunk.command("results"));
            let results: Results = serde_json::from_value(self.runtime.answer().await?)
                .map_err(|error| format!("its results are no results: {error}"))?;
            self.difference = Some(
                Difference::find(native, chunk, expected, &results)
                    .ok_or("its digest differs, and its results do not")?,
            );
        }
        Ok(())
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}

impl Difference {
    fn find(native: &Native, chunk: &Chunk, expected: &Results, found: &Results) -> Option<Difference> {
        let length = expected.sequence.len().max(found.sequence.len());
        let place = (0..length).find(|&place| expected.at(place) != found.at(place))?;
        let (user, mut question) = (place / native.questions(), place % native.questions());
        let side = native.sides.iter().find(|side| {
            let here = question < side.generated.questions.len();
            if !here {
                question -= side.generated.questions.len();
            }
            here
        })?;
        let question = &side.generated.questions[question];
        let result = |results: &Results| results.at(place).unwrap_or("nothing").to_owned();
        Some(Difference {
            user: chunk.range.start + user as u64,
            context: chunk.users.get(user)?.json(),
            now: chunk.now.to_string(),
            audience: side.generated.audience.name(),
            flag: question.flag.clone(),
            fallback: question.default.clone(),
            native: result(expected),
            found: result(found),
        })
    }
}

impl Report {
    fn differences(&self) -> usize {
        let differs = |row: &&Row| matches!(row.outcome, Outcome::Evaluated { difference: Some(_), .. });
        self.runtimes.iter().filter(differs).count()
    }

    fn write(&self, out: &mut dyn Write) -> Result<(), Failure> {
        let mut rows =
            vec![["runtime", "version", "users", "evaluations", "seconds", "digest"].map(str::to_owned).to_vec()];
        for row in &self.runtimes {
            let mut cells = vec![row.runtime.to_owned()];
            match &row.outcome {
                Outcome::Evaluated { version, users, evaluations, seconds, digest, .. } => {
                    cells.extend([
                        version.clone(),
                        thousands(*users),
                        thousands(*evaluations),
                        format!("{seconds:.1}"),
                        digest.clone(),
                    ]);
                }
                Outcome::NotFound { .. } => cells.push("not found".to_owned()),
                Outcome::Failed { .. } => cells.push("failed".to_owned()),
            }
            rows.push(cells);
        }
        for (index, line) in columns(&rows).iter().enumerate() {
            if index == 0 {
                writeln!(out, "{DIM}{}{DIM:#}", line.trim_end())?
            } else {
                writeln!(out, "{}", line.trim_end())?
            }
        }
        writeln!(out)?;
        for Row { runtime, outcome } in &self.runtimes {
            match outcome {
                Outcome::Evaluated { difference: Some(difference), .. } => difference.write(runtime, out)?,
                Outcome::Evaluated { .. } => {}
                Outcome::NotFound { how_to_get, required: false } => {
                    writeln!(out, "{DIM}{runtime} not found: {how_to_get}{DIM:#}")?
                }
                Outcome::NotFound { how_to_get, .. } => {
                    writeln!(out, "{RED}{runtime} is required and not found{RED:#}: {how_to_get}")?
                }
                Outcome::Failed { error } => writeln!(out, "{RED}{runtime} failed{RED:#}: {error}")?,
            }
        }
        let compared = self.runtimes.iter().filter(|row| matches!(row.outcome, Outcome::Evaluated { .. })).count();
        let what = format!("{} users × {} flags, seed {}", thousands(self.users), self.flags, self.seed);
        match (self.equal, compared) {
            (true, _) => writeln!(out, "{GREEN}equal{GREEN:#}: {what}, in {compared} runtimes")?,
            (false, 1) => {
                writeln!(out, "{RED}nothing compared{RED:#}: the native engine is the only one that evaluated")?
            }
            (false, _) if self.differences() == 0 => {
                writeln!(out, "{RED}incomplete{RED:#}: equal as far as it goes, but a runtime is missing or failed")?;
            }
            (false, _) => writeln!(out, "{RED}not equal{RED:#}: {what}")?,
        }
        Ok(())
    }
}

impl Difference {
    fn write(&self, runtime: &str, out: &mut dyn Write) -> Result<(), Failure> {
        let Difference { user, context, now, audience, flag, fallback, native, found } = self;
        writeln!(out, "{RED}{runtime} differs{RED:#}, first in the flag {BOLD}{flag}{BOLD:#} for user {user}:")?;
        writeln!(out, "  native    {native}")?;
        writeln!(out, "  {runtime:<9} {found}")?;
        writeln!(
            out,
            "  {DIM}as [value, variant, reason, rule, error code]; fallback {fallback}, audience {audience}, at {now}{DIM:#}"
        )?;
        writeln!(out, "  context   {context}\n")?;
        Ok(())
    }
}

fn progress(users: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {human_pos} of {human_len} users, {eta} left");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(users).with_style(style)
}

/// Waits for Ctrl-C, or to be told to end: whatever was started is ended then, too.
async fn interrupted() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}
