use std::io::Write;

use flagstone::{Context, Evaluation, ExplainedStep, Finding, Membership, Step, Timestamp, Truth, Value as Attribute};
use serde::Serialize;
use serde_json::Value;

use crate::answer::{Answer, BOLD, DIM, Failure, GREEN, RED, YELLOW, write_json};
use crate::snapshot::{Asked, Printed, Question};
use crate::table::{percent, scale};

/// Show how a flag is decided, step by step
///
/// The steps of the order of precedence from top to bottom, down to the one that decides: what matched, the attributes
/// that were compared, and the user's position against the threshold. What is shown comes from the function that decides,
/// watched while it works.
#[derive(clap::Args)]
#[command(after_help = r#"Example:
  flagstone explain --snapshot published/production/current/server.json \
    --keys keys/production.jwks --flag use_new_gateway \
    --context '{"targetingKey": "user-42", "country": "DE"}'"#)]
pub struct Explain {
    #[command(flatten)]
    question: Question,
    /// Print JSON: the evaluation as `eval` prints it, and the steps
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Explained {
    evaluation: Printed,
    steps: Vec<ExplainedStep>,
}

impl Explain {
    pub fn run(self, out: &mut dyn Write) -> Result<Answer, Failure> {
        let asked = self.question.read()?;
        let flag = &self.question.flag;
        let flags = asked.opened.snapshot.at(asked.now);
        let (evaluation, steps) = match (asked.not_ready(flag), flags.explain(flag, &asked.context)) {
            (Some(evaluation), _) => (evaluation, Vec::new()),
            (None, Some(explanation)) => (explanation.evaluation, explanation.steps),
            (None, None) => (flags.details(flag, &asked.context), Vec::new()),
        };
        if self.json {
            return write_json(out, &Explained { evaluation: Printed::from(&evaluation), steps });
        }
        let snapshot = &asked.opened.snapshot;
        let key = asked.context.get("targetingKey").map_or("nobody".to_owned(), show);
        let (version, environment, audience) = (snapshot.version(), snapshot.environment(), snapshot.audience());
        writeln!(out, "{BOLD}{flag}{BOLD:#} for {key} at {}", asked.now)?;
        writeln!(out, "{DIM}version {version} for `{environment}`, audience {audience}{DIM:#}\n")?;
        let report = Report { payload: serde_json::from_str(&asked.opened.payload).unwrap_or_default(), asked: &asked };
        for step in &steps {
            report.step(out, step)?;
        }
        if !steps.is_empty() {
            writeln!(out)?;
        }
        write_result(out, &evaluation, asked.opened.snapshot.expires())?;
        Ok(Answer::Yes)
    }
}

struct Report<'a> {
    asked: &'a Asked,
    /// Holds the ids of rules that did not decide.
    payload: Value,
}

impl Report<'_> {
    fn step(&self, out: &mut dyn Write, step: &ExplainedStep) -> Result<(), Failure> {
        let indent = "    ".repeat(step.depth as usize);
        let of = if step.depth > 0 { format!("{DIM}{}:{DIM:#} ", step.flag) } else { String::new() };
        let (mark, style) = if step.decided { ("▶", BOLD) } else { ("·", DIM) };
        let name = self.name(step);
        match brief(step) {
            "" => writeln!(out, "{indent}{style}{mark} {of}{name}{style:#}")?,
            brief => writeln!(out, "{indent}{style}{mark} {of}{name:<14}{style:#} {brief}")?,
        }
        for finding in &step.findings {
            if let Some(line) = line(finding, &self.asked.context) {
                writeln!(out, "{indent}    {line}")?;
            }
        }
        Ok(())
    }

    fn name(&self, step: &ExplainedStep) -> String {
        let name = match step.step {
            Step::OffPin => "off pin",
            Step::Kill => "kill",
            Step::Disabled => "disabled",
            Step::OnPin => "on pin",
            Step::Unsupported => "requirement",
            Step::Prerequisite => "prerequisite",
            Step::Deny => "deny list",
            Step::Exclude => "exclusion",
            Step::Allow => "allow list",
            Step::Holdout => "holdout",
            Step::Layer => "layer",
            Step::Default => "default",
            Step::Rule(index) => {
                let rule = &self.payload["flags"][&step.flag]["rules"][usize::from(index)];
                let id = rule["id"].as_str().map_or_else(|| (index + 1).to_string(), str::to_owned);
                return format!("rule `{id}`");
            }
            other => other.name(),
        };
        name.to_owned()
    }
}

/// A step in a few words, where its findings do not say it all.
fn brief(step: &ExplainedStep) -> &'static str {
    let nothing = step.findings.is_empty();
    match (step.step, step.decided) {
        (Step::OffPin | Step::OnPin, true) => "pinned",
        (Step::OffPin | Step::OnPin, false) => "not pinned",
        (Step::Kill, true) => "killed",
        (Step::Kill, false) => "not killed",
        (Step::Disabled, true) => "the flag is disabled",
        (Step::Disabled, false) => "enabled",
        (Step::Unsupported, _) => "the flag requires what this version lacks",
        (Step::Rule(_), true) if nothing => "matches everyone",
        (Step::Default, true) if nothing => "the same for everyone",
        (Step::Prerequisite, true) => "does not hold",
        (Step::Prerequisite, false) if !nothing => "holds",
        (Step::Deny, true) => "denied",
        (Step::Exclude | Step::Holdout | Step::Layer, true) if nothing => "there is no key to bucket by",
        (Step::Exclude, true) => "excluded",
        (Step::Allow, true) => "allowed",
        (Step::Holdout, true) => "held out",
        (Step::Layer, true) => "outside the flag's part of the layer",
        (Step::Rule(_) | Step::Default, true) => "",
        (Step::Rule(_), false) => "does not serve",
        (_, false) if nothing => "none that applies",
        _ => "does not apply",
    }
}

/// A finding in a line; `None` for one that another says already.
fn line(finding: &Finding, context: &Context) -> Option<String> {
    Some(match finding {
        Finding::Killed { by } => match by.split_once(':') {
            Some((_, tag)) => format!("by the tag `{tag}`"),
            None if by == "all" => "as is everything".to_owned(),
            None => "the flag itself".to_owned(),
        },
        Finding::Lacking { name } => format!("`{name}`"),
        Finding::Condition { json, truth } => {
            let condition: Value = serde_json::from_str(json).unwrap_or_default();
            format!("{}: {}", describe(&condition, json, context)?, holds(*truth))
        }
        Finding::Segment { name, truth } => format!("segment `{name}`: {}", holds(*truth)),
        Finding::List { listed: true } => "the key is on the list".to_owned(),
        Finding::List { listed: false } => "the key is not on the list".to_owned(),
        Finding::Prerequisite { flag, variant, holds } => {
            let serves = variant.as_ref().map_or("is in error".to_owned(), |variant| format!("serves `{variant}`"));
            let holds = if *holds { format!("{GREEN}holds{GREEN:#}") } else { format!("{RED}does not hold{RED:#}") };
            format!("`{flag}` {serves}: {holds}")
        }
        Finding::Threshold { holdout, percent: threshold, position, membership } => {
            let of = holdout.as_ref().map_or("the ramp".to_owned(), |name| format!("the holdout `{name}`"));
            let found = match membership {
                Membership::In => format!("{GREEN}in{GREEN:#}"),
                Membership::Out => format!("{RED}out{RED:#}"),
                Membership::KeyMissing => format!("{YELLOW}no key to have a position{YELLOW:#}"),
            };
            let threshold_text = percent(*threshold);
            match position {
                Some(position) => format!(
                    "{of} takes positions below {threshold_text}, the user's is {}: {found}\n        {}",
                    percent(*position),
                    scale(*threshold, *position)
                ),
                None => format!("{of} takes positions below {threshold_text}: {found}"),
            }
        }
        Finding::Part { position, below } => {
            format!("position {} in the split, in the part below {}", percent(*position), percent(*below))
        }
        Finding::Ranges { layer, position, inside } => {
            let of = layer
                .as_ref()
                .map_or("the excluded ranges".to_owned(), |name| format!("the flag's ranges of the layer `{name}`"));
            format!("position {} is {} {of}", percent(*position), if *inside { "inside" } else { "outside" })
        }
        // A library newer than this command may find more.
        other => format!("{other:?}"),
    })
}

/// A condition, with the value that the context has for it.
fn describe(condition: &Value, json: &str, context: &Context) -> Option<String> {
    let members = condition.as_object()?;
    let number = |name: &str| members.get(name).and_then(Value::as_array).map(Vec::len);
    if let Some(path) = members.get("attribute").and_then(Value::as_str) {
        let operator = members.iter().find(|(name, _)| *name != "attribute");
        let (operator, operand) = operator.map(|(name, operand)| (name.as_str(), operand.to_string()))?;
        let value = context.get(path).map_or("missing".to_owned(), show);
        return Some(format!("{path} {operator} {operand}, {path} is {value}"));
    }
    Some(match (number("all"), number("any"), members.contains_key("not"), members.contains_key("segment")) {
        (Some(parts), ..) => format!("all of {parts}"),
        (_, Some(parts), ..) => format!("any of {parts}"),
        (_, _, true, _) => "not that".to_owned(),
        // The segment itself was found before.
        (_, _, _, true) => return None,
        _ => json.to_owned(),
    })
}

fn holds(truth: Truth) -> String {
    match truth {
        Truth::True => format!("{GREEN}true{GREEN:#}"),
        Truth::False => format!("{RED}false{RED:#}"),
        Truth::Unknown => format!("{YELLOW}unknown{YELLOW:#}"),
    }
}

/// An attribute as JSON, objects in short.
fn show(value: &Attribute) -> String {
    match value {
        Attribute::Null => "missing".to_owned(),
        Attribute::Boolean(value) => value.to_string(),
        Attribute::Number(value) => value.to_string(),
        Attribute::String(value) => Value::from(value.as_str()).to_string(),
        Attribute::Date(value) => value.to_string(),
        Attribute::List(values) => format!("[{}]", values.iter().map(show).collect::<Vec<_>>().join(", ")),
        _ => "{…}".to_owned(),
    }
}

fn write_result(out: &mut dyn Write, evaluation: &Evaluation, expires: Option<Timestamp>) -> Result<(), Failure> {
    let reason = evaluation.reason.name();
    let (Some(json), Some(variant)) = (evaluation.json, evaluation.variant) else {
        let code = evaluation.error_code.map_or("GENERAL", |code| code.name());
        writeln!(out, "{RED}no value{RED:#}: reason {reason}, {code}; the caller's default counts")?;
        match (evaluation.error_message(), expires) {
            (Some(_), Some(expires)) if evaluation.step.is_none() && code == "PROVIDER_NOT_READY" => {
                writeln!(out, "    the snapshot expired {expires}; nobody takes it any more")?;
            }
            (Some(message), _) => writeln!(out, "    {message}")?,
            (None, _) => {}
        }
        return Ok(());
    };
    let rule = evaluation.rule.map_or(String::new(), |rule| format!(", rule `{rule}`"));
    writeln!(out, "{BOLD}{json}{BOLD:#} (variant `{variant}`), reason {reason}{rule}")?;
    if let Some(variables) = evaluation.pinned_by {
        writeln!(out, "    pinned by {variables}")?;
    }
    if evaluation.key_missing {
        writeln!(out, "    off, because there is no key to bucket by")?;
    }
    if let Some(until) = evaluation.until {
        writeln!(out, "    until {until}, when the schedule may change it")?;
    }
    Ok(())
}
