use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use flagstone::snapshot::definitions::{Options, State, compile};
use flagstone::{Audience, Context, Evaluation, Snapshot, Timestamp};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::Value;

use crate::answer::{Answer, BOLD, CYAN, DIM, Failure, YELLOW, count, note, thousands, write_json};
use crate::files::{self, Project, trusted_keys};
use crate::population::Population;
use crate::snapshot::{Expected, is_snapshot, open};
use crate::table::{bar, columns};

/// Try flags on many users
///
/// Evaluates flags for a population, with the engine itself, and shows which share gets which variant and why. With
/// --against it says how many users a change moves, and from where to where.
///
/// The users are called user-0, user-1 and so on. Their attributes are drawn from what the rules compare with, so that
/// some match; the shares under rules are therefore not those of your users, unless you bring them with --users-file.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  flagstone simulate flags.yaml --flag new_checkout
  flagstone simulate flags.yaml --against published/production/current/server.json
  flagstone simulate --snapshot server.json --users-file users.jsonl --json")]
pub struct Simulate {
    /// Files of definitions, or folders of them
    #[arg(value_name = "FILE|DIR", default_value = ".", conflicts_with = "snapshot")]
    paths: Vec<PathBuf>,
    /// A snapshot in place of definitions; `-` is standard input
    #[arg(long, value_name = "FILE")]
    snapshot: Option<PathBuf>,
    /// The trusted keys (a JWK Set) for snapshots; without them no signature is checked
    #[arg(long, value_name = "JWKS")]
    keys: Option<PathBuf>,
    /// The environment that definitions are tried for
    #[arg(long, value_name = "NAME", default_value = "production", conflicts_with = "snapshot")]
    environment: String,
    /// How it was before: definitions or a snapshot
    #[arg(long, value_name = "FILE|DIR")]
    against: Option<PathBuf>,
    /// A flag to try; give it again for more. By default all of them
    #[arg(long, value_name = "KEY")]
    flag: Vec<String>,
    /// How many users
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    users: u64,
    /// Your own users: a file with an evaluation context (JSON) on each line
    #[arg(long, value_name = "FILE", conflicts_with_all = ["users", "seed"])]
    users_file: Option<PathBuf>,
    /// Draws other attributes
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// The time that schedules go by, RFC 3339; by default it is now
    #[arg(long, value_name = "TIME")]
    now: Option<Timestamp>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A snapshot to try.
struct Side {
    snapshot: Snapshot,
    payload: Value,
}

#[derive(Serialize)]
struct Report {
    users: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    flags: Vec<FlagReport>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FlagReport {
    flag: String,
    variants: Vec<Share>,
    reasons: Vec<Share>,
    #[serde(skip_serializing_if = "Option::is_none")]
    moved: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from_to: Option<Vec<Move>>,
}

#[derive(Serialize)]
struct Share {
    name: String,
    users: u64,
}

#[derive(Serialize)]
struct Move {
    from: String,
    to: String,
    users: u64,
}

/// What was counted of one flag.
#[derive(Default)]
struct Tally {
    variants: BTreeMap<String, u64>,
    reasons: BTreeMap<&'static str, u64>,
    moves: BTreeMap<(String, String), u64>,
    moved: u64,
}

impl Simulate {
    pub fn run(self, out: &mut dyn Write) -> Result<Answer, Failure> {
        let now = self.now.unwrap_or_else(Timestamp::now);
        let side = match &self.snapshot {
            Some(path) => self.snapshot_side(path)?,
            None => self.definitions_side(&self.paths, now)?,
        };
        let against = self.against.as_deref().map(|path| self.side(path, now)).transpose()?;
        let flags = self.flags(&side, against.as_ref())?;

        let mut tallies: Vec<Tally> = flags.iter().map(|_| Tally::default()).collect();
        let mut users = 0;
        let mut each = |context: &Context| {
            users += 1;
            for (flag, tally) in flags.iter().zip(&mut tallies) {
                let before = against.as_ref().map(|side| side.snapshot.at(now).details(flag, context));
                tally.add(&side.snapshot.at(now).details(flag, context), before.as_ref());
            }
        };
        let seed = match &self.users_file {
            Some(path) => {
                contexts(path, &mut each)?;
                None
            }
            None => {
                let population =
                    Population::new([&side].into_iter().chain(&against).map(|side| &side.payload), self.seed);
                let drawn = population.drawn().collect::<Vec<_>>().join(", ");
                if !drawn.is_empty() && !self.json {
                    note(format!(
                        "made up for the users, to match some rules: {drawn}; so the shares under rules are not those of your \
                         users; bring them with --users-file"
                    ));
                }
                let progress = progress(self.users);
                for number in 0..self.users {
                    each(&population.user(number)?);
                    progress.inc(1);
                }
                progress.finish_and_clear();
                Some(self.seed)
            }
        };
        if users == 0 {
            return Err(Failure::Usage("there is no user to try the flags on".to_owned()));
        }

        let compared = against.is_some();
        let reports = flags.iter().zip(tallies).map(|(flag, tally)| tally.report(flag, &side.payload, compared));
        let report = Report { users, seed, flags: reports.collect() };
        if self.json {
            return write_json(out, &report);
        }
        writeln!(out, "{}", count(users as usize, "user"))?;
        for flag in &report.flags {
            flag.write(out, users)?;
        }
        Ok(Answer::Yes)
    }

    /// The flags that were asked for, or all.
    fn flags(&self, side: &Side, against: Option<&Side>) -> Result<Vec<String>, Failure> {
        let mut all: Vec<&str> = side.snapshot.flags().collect();
        if let Some(against) = against {
            let gone: Vec<&str> = against.snapshot.flags().filter(|flag| !all.contains(flag)).collect();
            all.extend(gone);
        }
        if let Some(unknown) = self.flag.iter().find(|flag| !all.contains(&flag.as_str())) {
            return Err(Failure::Usage(format!(
                "--flag {unknown}: there is no such flag; there are {}",
                all.join(", ")
            )));
        }
        match self.flag.is_empty() {
            true => Ok(all.into_iter().map(str::to_owned).collect()),
            false => Ok(self.flag.clone()),
        }
    }

    fn side(&self, path: &Path, now: Timestamp) -> Result<Side, Failure> {
        if path.is_dir() || !is_snapshot(&files::read(path)?) {
            return self.definitions_side(&[path.to_owned()], now);
        }
        self.snapshot_side(path)
    }

    fn snapshot_side(&self, path: &Path) -> Result<Side, Failure> {
        let keys = self.keys.as_deref().map(trusted_keys).transpose()?;
        let opened = open(path, keys.as_ref(), &Expected::default())?;
        let payload = serde_json::from_str(&opened.payload)
            .map_err(|error| Failure::File(format!("{}: {error}", path.display())))?;
        Ok(Side { snapshot: opened.snapshot, payload })
    }

    fn definitions_side(&self, paths: &[PathBuf], now: Timestamp) -> Result<Side, Failure> {
        let project = Project::read(paths)?;
        let definitions = project.definitions()?;
        let options = Options {
            environment: self.environment.clone(),
            audience: Audience::Server,
            version: 1,
            created: now,
            expires: None,
        };
        let payload =
            compile(&definitions, &State::default(), &options).map_err(|problems| project.refusal(&problems))?;
        let broken = |error: &dyn std::fmt::Display| Failure::File(format!("the compiled snapshot: {error}"));
        let value = serde_json::from_str(&payload).map_err(|error| broken(&error))?;
        Ok(Side { snapshot: Snapshot::from_payload(payload).map_err(|error| broken(&error))?, payload: value })
    }
}

/// Hands over the contexts of a file, one a line; empty lines are passed over.
fn contexts(path: &Path, each: &mut dyn FnMut(&Context)) -> Result<(), Failure> {
    let file = std::fs::File::open(path).map_err(|error| Failure::io("read it", path, error))?;
    for (index, line) in BufReader::new(file).lines().enumerate() {
        let line = line.map_err(|error| Failure::io("read it", path, error))?;
        if !line.trim().is_empty() {
            let context = Context::from_json(&line)
                .map_err(|error| Failure::File(format!("{}:{}: {error}", path.display(), index + 1)))?;
            each(&context);
        }
    }
    Ok(())
}

/// Shown on a terminal only.
fn progress(users: u64) -> ProgressBar {
    let progress = ProgressBar::new(users);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {human_pos} of {human_len} users, {eta} left") {
        progress.set_style(style);
    }
    progress
}

/// What someone gets, for whom there is no flag.
const NO_FLAG: &str = "(no flag)";
/// What someone gets who gets their default.
const ERROR: &str = "(error)";

fn variant(evaluation: &Evaluation) -> String {
    match evaluation.variant {
        Some(variant) => variant.to_owned(),
        None if evaluation.step.is_none() => NO_FLAG.to_owned(),
        None => ERROR.to_owned(),
    }
}

impl Tally {
    fn add(&mut self, now: &Evaluation, before: Option<&Evaluation>) {
        let to = variant(now);
        *self.variants.entry(to.clone()).or_default() += 1;
        *self.reasons.entry(now.reason.name()).or_default() += 1;
        if let Some(before) = before {
            let from = variant(before);
            // The same name may stand for another value.
            let same = from == to && before.json == now.json;
            let to = if from == to && !same { format!("{to} (new value)") } else { to };
            self.moved += u64::from(!same);
            *self.moves.entry((from, to)).or_default() += 1;
        }
    }

    fn report(mut self, flag: &str, payload: &Value, compared: bool) -> FlagReport {
        // A variant that nobody gets is shown, too.
        if let Some(variants) = payload["flags"][flag]["variants"].as_object() {
            variants.keys().for_each(|variant| _ = self.variants.entry(variant.clone()).or_default());
        }
        let mut variants: Vec<_> = self.variants.into_iter().map(|(name, users)| Share { name, users }).collect();
        variants.sort_by_key(|share| std::cmp::Reverse(share.users));
        let mut reasons: Vec<_> =
            self.reasons.into_iter().map(|(name, users)| Share { name: name.to_owned(), users }).collect();
        reasons.sort_by_key(|share| std::cmp::Reverse(share.users));
        let moves = self.moves.into_iter().map(|((from, to), users)| Move { from, to, users });
        FlagReport {
            flag: flag.to_owned(),
            variants,
            reasons,
            moved: compared.then_some(self.moved),
            from_to: compared.then(|| moves.collect()),
        }
    }
}

impl FlagReport {
    fn write(&self, out: &mut dyn Write, users: u64) -> Result<(), Failure> {
        const WIDTH: usize = 40;
        let share = |part: u64| part as f64 / users as f64;
        let percent = |part: u64| match share(part) * 100.0 {
            few if part > 0 && few < 0.01 => "< 0.01 %".to_owned(),
            percent => format!("{percent:.2} %"),
        };
        writeln!(out, "\n{BOLD}{}{BOLD:#}", self.flag)?;
        let rows = |shares: &[Share]| {
            let row = |share: &Share| vec![share.name.clone(), percent(share.users), thousands(share.users)];
            columns(&shares.iter().map(row).collect::<Vec<_>>())
        };
        for (row, variant) in rows(&self.variants).iter().zip(&self.variants) {
            writeln!(out, "  {row}  {CYAN}{}{CYAN:#}", bar(share(variant.users), WIDTH))?;
        }
        let reasons: Vec<_> =
            self.reasons.iter().map(|reason| format!("{} {}", reason.name, percent(reason.users))).collect();
        writeln!(out, "  {DIM}{}{DIM:#}", reasons.join(", "))?;
        let (Some(moved), Some(moves)) = (self.moved, &self.from_to) else { return Ok(()) };
        if moved == 0 {
            writeln!(out, "  moves nobody")?;
            return Ok(());
        }
        writeln!(out, "  {YELLOW}moves {}{YELLOW:#}, {}", count(moved as usize, "user"), percent(moved))?;
        for line in matrix(moves) {
            writeln!(out, "    {line}")?;
        }
        Ok(())
    }
}

/// Who got what before, by row, and gets what now, by column.
fn matrix(moves: &[Move]) -> Vec<String> {
    let names = |of: fn(&Move) -> &String| {
        let mut names: Vec<_> = moves.iter().map(of).collect();
        names.sort();
        names.dedup();
        names
    };
    let (from, to) = (names(|one| &one.from), names(|one| &one.to));
    let head = ["from ↓ to →".to_owned()].into_iter().chain(to.iter().map(|name| (*name).clone())).collect();
    let row = |from: &String| {
        let cells = to.iter().map(|to| {
            let found = moves.iter().find(|one| one.from == *from && one.to == **to);
            thousands(found.map_or(0, |one| one.users))
        });
        [from.clone()].into_iter().chain(cells).collect()
    };
    columns(&[head].into_iter().chain(from.into_iter().map(row)).collect::<Vec<Vec<String>>>())
}
