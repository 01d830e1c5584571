use std::io::Write;

use crate::answer::{Answer, Failure};
use crate::snapshot::{Printed, Question, write_line};

/// Evaluate a flag
///
/// Prints one line of JSON: flag, value, variant, reason, errorCode (where there is an error), rule (where a rule
/// decided), version and, with --variables, pinnedBy (the variables that pin the flag). An error of evaluation is a result as well: value and variant are null, reason is ERROR, and
/// the exit code is 0. FLAG_NOT_FOUND says that the snapshot holds no such flag, PROVIDER_NOT_READY that the snapshot
/// has expired, GENERAL that the flag requires something this version lacks.
///
/// With --keys the snapshot is refused, with exit code 1, unless a trusted key signed it that is bound to its
/// environment.
#[derive(clap::Args)]
#[command(after_help = r#"Example:
  flagstone eval --snapshot published/production/current/server.json --keys keys/production.jwks \
    --flag use_new_gateway --context '{"targetingKey": "user-42", "country": "DE"}'"#)]
pub struct Eval {
    #[command(flatten)]
    question: Question,
}

impl Eval {
    pub fn run(self, out: &mut dyn Write) -> Result<Answer, Failure> {
        let asked = self.question.read()?;
        let flag = &self.question.flag;
        let evaluation =
            asked.not_ready(flag).unwrap_or_else(|| asked.opened.snapshot.at(asked.now).details(flag, &asked.context));
        write_line(out, &Printed::from(&evaluation))?;
        Ok(Answer::Yes)
    }
}
