//! How a verb ends, and what it says then.

use std::fmt::Display;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::OnceLock;

use anstyle::{AnsiColor, Style};
use flagstone::snapshot::definitions::Problem;
use flagstone::store::StoreError;
use tokio::runtime::Runtime;

pub const BOLD: Style = Style::new().bold();
pub const DIM: Style = Style::new().dimmed();
pub const GREEN: Style = AnsiColor::Green.on_default();
pub const RED: Style = AnsiColor::Red.on_default();
pub const YELLOW: Style = AnsiColor::Yellow.on_default();
pub const CYAN: Style = AnsiColor::Cyan.on_default();

/// What a verb found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Yes,
    No,
    /// A rollout that was simulated does not get through.
    NotThrough,
}

/// Why a verb did not get that far. A message says what, where, and what to do.
#[derive(Debug)]
pub enum Failure {
    /// What was asked for is refused.
    Refused(String),
    /// The arguments make no sense.
    Usage(String),
    /// A file could not be read or written, or is not what it should be.
    File(String),
    /// Whoever read the output, `head` for one, has had enough of it: nothing failed.
    ClosedPipe,
}

impl Failure {
    /// A file that the system does not let us have.
    pub fn io(what: &str, path: &Path, error: io::Error) -> Failure {
        Failure::File(format!("{}: cannot {what}: {error}", path.display()))
    }

    pub fn report(&self) {
        match self {
            Failure::Refused(message) | Failure::Usage(message) | Failure::File(message) => {
                say("error", RED.bold(), message);
            }
            Failure::ClosedPipe => {}
        }
    }

    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Failure::ClosedPipe => 0,
            Failure::Refused(_) => 1,
            Failure::Usage(_) => 2,
            Failure::File(_) => 3,
        })
    }
}

/// Of writing to standard output; everything else says which file it was.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::ClosedPipe,
            _ => Failure::File(format!("standard output: cannot write: {error}")),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let message = error.to_string();
        match error {
            StoreError::Location(_)
            | StoreError::Object { .. }
            | StoreError::Missing { .. }
            | StoreError::Lock { .. }
            | StoreError::Committed { .. } => Failure::File(message),
            _ => Failure::Refused(message),
        }
    }
}

/// Says on standard error what does not stop the verb.
pub fn warn(message: impl Display) {
    say("warning", YELLOW.bold(), message);
}

/// Says on standard error what is wrong with definitions, yet does not stop the verb.
pub fn warn_of(problem: &Problem) {
    warn(problem.to_string().replacen("warning: ", "", 1));
}

/// Says on standard error what is good to know.
pub fn note(message: impl Display) {
    say("note", CYAN.bold(), message);
}

fn say(word: &str, style: Style, message: impl Display) {
    // Where standard error is closed, there is nobody to tell.
    let _ = writeln!(anstream::stderr(), "{style}{word}{style:#}: {message}");
}

/// JSON as people can read it, too.
pub fn write_json(out: &mut dyn Write, value: &impl serde::Serialize) -> Result<Answer, Failure> {
    serde_json::to_writer_pretty(&mut *out, value).map_err(io::Error::from)?;
    writeln!(out)?;
    Ok(Answer::Yes)
}

/// `1 flag`, `2 flags`.
pub fn count(number: usize, noun: &str) -> String {
    format!("{} {noun}{}", thousands(number as u64), if number == 1 { "" } else { "s" })
}

/// `1,234,567`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Runs what the store does.
pub fn wait<T>(work: impl Future<Output = Result<T, StoreError>>) -> Result<T, Failure> {
    runtime()?.block_on(work).map_err(Failure::from)
}

/// One for the whole process: connections to a store live as long.
pub fn runtime() -> Result<&'static Runtime, Failure> {
    static RUNTIME: OnceLock<io::Result<Runtime>> = OnceLock::new();
    let start = || tokio::runtime::Builder::new_current_thread().enable_all().build();
    let failed = |error| Failure::File(format!("the system refuses what the store needs: {error}"));
    RUNTIME.get_or_init(start).as_ref().map_err(failed)
}

/// What others wrote must not steer the terminal.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
