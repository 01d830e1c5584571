//! The `flagstone` command.

mod answer;
mod diff;
mod eval;
mod explain;
mod files;
mod init;
mod keygen;
mod lint;
mod log;
mod operate;
mod parity;
mod pin;
mod population;
mod prune;
mod publish;
mod republish;
mod rollout;
mod serve;
mod simulate;
mod snapshot;
mod stale;
mod table;
mod token;
mod types;
mod verify;
mod words;
mod write;

use std::io::{BufWriter, Write};
use std::process::ExitCode;

use answer::{Answer, Failure};
use clap::{Parser, Subcommand};

const EXIT_CODES: &str = "\
Exit codes:
  0  it is done; the answer is yes
  1  the answer is no: lint found errors, a signature or a version was refused, somebody else
     changed the same meanwhile, a flag is stale, runtimes differ
  2  the command line makes no sense
  3  a file could not be read or written, or is not what it should be
  4  a rollout that was simulated is turned back, or gets stuck

Set NO_COLOR to go without colour.";

/// Feature flags and guarded rollouts: the same user in the same cohort everywhere.
#[derive(Parser)]
#[command(name = "flagstone", version, after_help = EXIT_CODES, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Init(init::Init),
    Keygen(keygen::Keygen),
    Lint(lint::Lint),
    /// Print the JSON Schema of definitions
    ///
    /// Editors check a YAML file against it that begins with `# yaml-language-server: $schema=FILE`.
    #[command(after_help = "Example:\n  flagstone schema > flags.schema.json")]
    Schema,
    Publish(publish::Publish),
    Kill(operate::Kill),
    Restore(operate::Restore),
    Ramp(operate::Ramp),
    Enable(operate::Enable),
    /// Disable a flag, in place of the definition
    Disable(operate::Enable),
    Allow(operate::Allow),
    Deny(operate::Deny),
    Exclude(operate::Exclude),
    Unlist(operate::Unlist),
    Readmit(operate::Readmit),
    Revert(republish::Revert),
    Promote(republish::Promote),
    Resign(republish::Resign),
    Recover(republish::Recover),
    Prune(prune::Prune),
    Rollout(rollout::Rollout),
    Log(log::LogArgs),
    Diff(diff::Diff),
    Verify(verify::Verify),
    Eval(eval::Eval),
    Explain(explain::Explain),
    Serve(serve::Serve),
    Token(token::TokenArgs),
    Pin(pin::Pin),
    Parity(parity::Parity),
    Simulate(simulate::Simulate),
    Stale(stale::Stale),
    Types(types::Types),
}

fn main() -> ExitCode {
    let Cli { command } = Cli::parse();
    let mut out = BufWriter::new(anstream::stdout());
    let outcome = run(command, &mut out).and_then(|answer| {
        out.flush()?;
        Ok(answer)
    });
    match outcome {
        Ok(Answer::Yes) => ExitCode::SUCCESS,
        Ok(Answer::No) => ExitCode::from(1),
        Ok(Answer::NotThrough) => ExitCode::from(4),
        Err(failure) => {
            // What was found before it failed comes first; a reader who left does not mind.
            let _ = out.flush();
            failure.report();
            failure.exit_code()
        }
    }
}

fn run(command: Command, out: &mut dyn Write) -> Result<Answer, Failure> {
    match command {
        Command::Init(init) => init.run(out),
        Command::Keygen(keygen) => keygen.run(out),
        Command::Lint(lint) => lint.run(out),
        Command::Schema => {
            writeln!(out, "{}", files::schema())?;
            Ok(Answer::Yes)
        }
        Command::Publish(publish) => publish.run(out),
        Command::Kill(kill) => kill.run(out),
        Command::Restore(restore) => restore.run(out),
        Command::Ramp(ramp) => ramp.run(out),
        Command::Enable(enable) => enable.run(out, true),
        Command::Disable(disable) => disable.run(out, false),
        Command::Allow(allow) => allow.run(out),
        Command::Deny(deny) => deny.run(out),
        Command::Exclude(exclude) => exclude.run(out),
        Command::Unlist(unlist) => unlist.run(out),
        Command::Readmit(readmit) => readmit.run(out),
        Command::Revert(revert) => revert.run(out),
        Command::Promote(promote) => promote.run(out),
        Command::Resign(resign) => resign.run(out),
        Command::Recover(recover) => recover.run(out),
        Command::Prune(prune) => prune.run(out),
        Command::Rollout(rollout) => rollout.run(out),
        Command::Log(log) => log.run(out),
        Command::Diff(diff) => diff.run(out),
        Command::Verify(verify) => verify.run(out),
        Command::Eval(eval) => eval.run(out),
        Command::Explain(explain) => explain.run(out),
        Command::Serve(serve) => serve.run(out),
        Command::Token(token) => token.run(out),
        Command::Pin(pin) => pin.run(out),
        Command::Parity(parity) => parity.run(out),
        Command::Simulate(simulate) => simulate.run(out),
        Command::Stale(stale) => stale.run(out),
        Command::Types(types) => types.run(out),
    }
}
