//! The verbs of whoever is on call: each is one operation upon the state, or several of a kind.

use std::io::Write;

use flagstone::snapshot::definitions::{Exclusion, Key, Percent};
use flagstone::store::{Operation, Target};

use crate::answer::{Answer, Failure};
use crate::write::{WriteTo, operate};

/// Turn flags off, at once and whatever else holds
///
/// Killed flags serve their off variant until `flagstone restore` lifts the kill. Nothing that was set of them is lost, no
/// publishing brings them back, and no other writer holds the kill up. To kill again what is killed is no error; another
/// author or reason goes on record.
///
/// With FLAGSTONE_ENVIRONMENT, FLAGSTONE_STORE and FLAGSTONE_KEY set there is nothing to look up in a hurry.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  flagstone kill use_new_gateway --environment production --store published \\
    --key keys/production.private.jwk --reason 'Errors at checkout'
  flagstone kill --tag payments --reason 'The provider is down'
  flagstone kill --all --reason 'Nobody knows yet'")]
pub struct Kill {
    #[command(flatten)]
    targets: Targets,
    #[command(flatten)]
    to: WriteTo,
}

/// Lift a kill: what was there before counts again, exactly
#[derive(clap::Args)]
#[command(after_help = "Examples:
  flagstone restore use_new_gateway --environment production --store published \\
    --key keys/production.private.jwk --reason 'Fixed in 4.2.1'
  flagstone restore --all --reason 'False alarm'")]
pub struct Restore {
    #[command(flatten)]
    targets: Targets,
    #[command(flatten)]
    to: WriteTo,
}

#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct Targets {
    /// Flags
    #[arg(value_name = "FLAG")]
    flags: Vec<String>,
    /// All flags with a tag
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,
    /// Every flag
    #[arg(long)]
    all: bool,
}

impl Targets {
    fn each(&self, make: fn(Target) -> Operation) -> Vec<Operation> {
        let flags = self.flags.iter().cloned().map(Target::Flag);
        let tags = self.tag.iter().cloned().map(Target::Tag);
        flags.chain(tags).chain(self.all.then_some(Target::All)).map(make).collect()
    }

    fn words(&self) -> Vec<&str> {
        let tags = self.tag.iter().flat_map(|tag| ["--tag", tag]);
        self.flags.iter().map(String::as_str).chain(tags).chain(self.all.then_some("--all")).collect()
    }
}

impl Kill {
    pub fn run(self, out: &mut dyn Write) -> Result<Answer, Failure> {
        let undo = [&["restore"][..], &self.targets.words()].concat();
        run(out, &self.to, &self.targets.each(Operation::Kill), ("killed", "would kill"), Some(&undo))
    }
}

impl Restore {
    pub fn run(self, out: &mut dyn Write) -> Result<Answer, Failure> {
        let undo = [&["kill"][..], &self.targets.words()].concat();
        run(out, &self.to, &self.targets.each(Operation::Restore), ("restored", "would restore"), Some(&undo))
    }
}

/// Set the percent of a ramp, in place of the definition's percent or schedule
#[derive(clap::Args)]
#[command(after_help = "Examples:
  flagstone ramp use_new_gateway --percent 12.5 --environment production --store published \\
    --key keys/production.private.jwk --reason 'The first step looks good'
  flagstone ramp use_new_gateway --rule staff --percent 100 --reason 'All of us'
  flagstone ramp use_new_gateway --as-defined --reason 'Back to the schedule'")]
pub struct Ramp {
    /// The flag
    #[arg(value_name = "FLAG")]
    flag: String,
    #[command(flatten)]
    to_what: Percents,
    /// The rule whose ramp it is, by its id; without it the default's
    #[arg(long, value_name = "RULE")]
    rule: Option<String>,
    #[command(flatten)]
    to: WriteTo,
}

#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct Percents {
    /// How many are in, with at most three decimal places
    #[arg(long, value_name = "PERCENT")]
    percent: Option<Percent>,
    /// Go by the definition again
    #[arg(long)]
    as_defined: bool,
}

impl Ramp {
    pub fn run(self, out: &mut dyn Write) -> Result<Answer, Failure> {
        let Ramp { flag, to_what: Percents { percent, .. }, rule, to } = self;
        run(out, &to, &[Operation::SetPercent { flag, rule, percent }], ("set", "would set"), None)
    }
}

/// Enable a disabled flag, or disable one, in place of the definition
///
/// A disabled flag serves its off variant, as a killed one does; but this is for plans, and `flagstone kill` for
/// emergencies.
#[derive(clap::Args)]
#[command(after_help = "Example:
  flagstone disable use_new_gateway --environment production --store published \\
    --key keys/production.private.jwk --reason 'Not before the holidays'")]
pub struct Enable {
    /// The flag
    #[arg(value_name = "FLAG")]
    flag: String,
    /// Go by the definition again
    #[arg(long)]
    as_defined: bool,
    #[command(flatten)]
    to: WriteTo,
}

impl Enable {
    pub fn run(self, out: &mut dyn Write, enabled: bool) -> Result<Answer, Failure> {
        let words = if enabled { ("enabled", "would enable") } else { ("disabled", "would disable") };
        let enabled = (!self.as_defined).then_some(enabled);
        run(out, &self.to, &[Operation::SetEnabled { flag: self.flag, enabled }], words, None)
    }
}

/// Give people a variant, before rules and percents are asked
///
/// They are named by what the flag buckets by. Whom an operator had denied is not denied any more.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  flagstone allow use_new_gateway user-42 user-43 --environment production --store published \\
    --key keys/production.private.jwk --reason 'They asked for it'
  flagstone allow checkout_colour user-42 --variant green --reason 'To see it'")]
pub struct Allow {
    /// The flag
    #[arg(value_name = "FLAG")]
    flag: String,
    /// Whom
    #[arg(value_name = "KEY", required = true)]
    people: Vec<String>,
    /// What they get; by default the one variant besides `off`
    #[arg(long, value_name = "VARIANT")]
    variant: Option<String>,
    #[command(flatten)]
    to: WriteTo,
}

impl Allow {
    pub fn run(self, out: &mut dyn Write) -> Result<Answer, Failure> {
        let undo = people(&["unlist", &self.flag], &self.people);
        let operation = Operation::Allow { flag: self.flag.clone(), variant: self.variant, keys: keys(&self.people) };
        run(out, &self.to, &[operation], ("allowed", "would allow"), Some(&undo))
    }
}

/// Give people the off variant, whatever rules and percents say
///
/// They are named by what the flag buckets by. Whom an operator had allowed is not allowed any more.
#[derive(clap::Args)]
#[command(after_help = "Example:
  flagstone deny use_new_gateway user-42 --environment production --store published \\
    --key keys/production.private.jwk --reason 'Their account breaks on it'")]
pub struct Deny {
    #[command(flatten)]
    listed: Listed,
}

/// Take people off the lists that `allow`, `deny` and `exclude` put them on
#[derive(clap::Args)]
#[command(after_help = "Example:
  flagstone unlist use_new_gateway user-42 --environment production --store published \\
    --key keys/production.private.jwk --reason 'Mended'")]
pub struct Unlist {
    #[command(flatten)]
    listed: Listed,
}

#[derive(clap::Args)]
struct Listed {
    /// The flag
    #[arg(value_name = "FLAG")]
    flag: String,
    /// Whom
    #[arg(value_name = "KEY", required = true)]
    people: Vec<String>,
    #[command(flatten)]
    to: WriteTo,
}

impl Deny {
    pub fn run(self, out: &mut dyn Write) -> Result<Answer, Failure> {
        let Listed { flag, people: whom, to } = self.listed;
        let undo = people(&["unlist", &flag], &whom);
        let operation = Operation::Deny { flag: flag.clone(), keys: keys(&whom) };
        run(out, &to, &[operation], ("denied", "would deny"), Some(&undo))
    }
}

impl Unlist {
    pub fn run(self, out: &mut dyn Write) -> Result<Answer, Failure> {
        let Listed { flag, people, to } = self.listed;
        let operation = Operation::Unlist { flag, keys: keys(&people) };
        run(out, &to, &[operation], ("unlisted", "would unlist"), None)
    }
}

/// Take a part of the people out of a flag's cohort, as a partial rollback does
#[derive(clap::Args)]
#[command(after_help = "Examples:
  flagstone exclude use_new_gateway --positions 10-12.5 --environment production \\
    --store published \\
    --key keys/production.private.jwk --reason 'Those who came in with the last step'
  flagstone exclude use_new_gateway --segment safari --reason 'It is blank there'")]
pub struct Exclude {
    /// The flag
    #[arg(value_name = "FLAG")]
    flag: String,
    #[command(flatten)]
    whom: Cohort,
    #[command(flatten)]
    to: WriteTo,
}

/// A part of the people.
#[derive(clap::Args)]
pub struct Cohort {
    /// Someone, by what the flag buckets by
    #[arg(long = "user", value_name = "KEY")]
    users: Vec<String>,
    /// All in a segment
    #[arg(long = "segment", value_name = "SEGMENT")]
    segments: Vec<String>,
    /// A range of positions in the ramp, in percent: 10-12.5 are those from 10 up to below 12.5
    #[arg(long, value_name = "FROM-TO", value_parser = range)]
    positions: Vec<[Percent; 2]>,
}

impl From<Cohort> for Exclusion {
    fn from(Cohort { users, segments, positions }: Cohort) -> Exclusion {
        Exclusion { keys: keys(&users), segments, positions }
    }
}

fn range(text: &str) -> Result<[Percent; 2], String> {
    let (from, to) = text.split_once('-').ok_or("write a range as 10-12.5")?;
    Ok([from.parse()?, to.parse()?])
}

impl Exclude {
    pub fn run(self, out: &mut dyn Write) -> Result<Answer, Failure> {
        let Exclude { flag, whom, to } = self;
        let operation = Operation::Exclude { flag: flag.clone(), exclusion: whom.into() };
        run(out, &to, &[operation], ("excluded", "would exclude"), Some(&["readmit", &flag]))
    }
}

/// Take back all that `exclude` did to a flag
#[derive(clap::Args)]
#[command(after_help = "Example:
  flagstone readmit use_new_gateway --environment production --store published \\
    --key keys/production.private.jwk --reason 'Fixed in 4.2.1'")]
pub struct Readmit {
    /// The flag
    #[arg(value_name = "FLAG")]
    flag: String,
    #[command(flatten)]
    to: WriteTo,
}

impl Readmit {
    pub fn run(self, out: &mut dyn Write) -> Result<Answer, Failure> {
        run(out, &self.to, &[Operation::Readmit { flag: self.flag }], ("readmitted", "would readmit"), None)
    }
}

pub fn run(
    out: &mut dyn Write,
    to: &WriteTo,
    operations: &[Operation],
    words: (&str, &str),
    undo: Option<&[&str]>,
) -> Result<Answer, Failure> {
    let WriteTo { environment, writing } = to;
    let operator = writing.operator(environment, false)?;
    let outcome = operate(operator.apply(operations, &writing.request()?))?;
    let undo = undo.filter(|_| outcome.changed).map(|words| writing.same(environment, words));
    writing.report(out, environment, &outcome, words, undo)
}

fn keys(people: &[String]) -> Vec<Key> {
    people.iter().cloned().map(Key).collect()
}

fn people<'w>(words: &[&'w str], people: &'w [String]) -> Vec<&'w str> {
    words.iter().copied().chain(people.iter().map(String::as_str)).collect()
}
