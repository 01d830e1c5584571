//! What is wrong, where, and what to do about it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::rollout::Advice;

/// Whether a [`Problem`] stops a snapshot from being compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// Nothing can be compiled until it is mended.
    Error,
    /// It compiles, but perhaps does not do what its author wanted.
    Warning,
    /// It is as it may be; whoever wrote it should know.
    Note,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        })
    }
}

/// One thing wrong with definitions or state.
///
/// It prints as compilers do, for people and for editors that jump to the place:
///
/// ```
/// use flagstone::snapshot::definitions::{Definitions, Source};
///
/// let text = "flags:\n  beta: {salt: beta-1, default: {rmap: {percent: 5, serve: on}}}\n";
/// let problems = Definitions::read(&[Source::new("flags.yaml", text)]).unwrap_err();
/// assert_eq!(
///     problems[0].to_string(),
///     "flags.yaml:2:34: error: unknown field `rmap`, did you mean `ramp`?",
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// Whether it stops a snapshot.
    pub severity: Severity,
    /// The [`Source`](super::Source) it is in; absent for what stands in no file, as state does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The column in characters, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    /// The way from the root, as in `flags.use_new_gateway.rules[0].serve`.
    pub path: String,
    /// What kind of advice it is, where it is one about a rollout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Advice>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
}

impl Problem {
    pub(super) fn new(severity: Severity, path: &Path, message: impl Into<String>, suggestion: Option<String>) -> Self {
        let (file, line, column, path) = (None, None, None, path.to_string());
        Problem { severity, file, line, column, path, code: None, message: message.into(), suggestion }
    }

    pub(super) fn at(mut self, place: Option<(&str, Position)>) -> Self {
        if let Some((file, position)) = place {
            self.file = Some(file.to_owned());
            self.line = Some(position.line);
            self.column = Some(position.column);
        }
        self
    }

    /// How bad it is, and its code: `warning[overshoot]`.
    pub fn kind(&self) -> String {
        match self.code {
            Some(code) => format!("{}[{code}]", self.severity),
            None => self.severity.to_string(),
        }
    }

    /// Whether this stops a snapshot.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.line, self.column) {
            (Some(file), Some(line), Some(column)) => write!(f, "{file}:{line}:{column}: ")?,
            _ if self.path.is_empty() => {}
            _ => write!(f, "{}: ", self.path)?,
        }
        write!(f, "{}: {}", self.kind(), self.message)?;
        match &self.suggestion {
            Some(suggestion) => write!(f, ", {suggestion}"),
            None => Ok(()),
        }
    }
}

/// Puts problems into the order in which they stand.
pub(super) fn sort(problems: &mut [Problem]) {
    problems.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
}

/// A place in a text; lines and columns (in characters) count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub line: usize,
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
}

/// The way from the root of the definitions to a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Path(pub(super) Vec<Step>);

impl Path {
    pub fn key(&self, key: impl Into<String>) -> Path {
        self.with(Step::Key(key.into()))
    }

    pub fn index(&self, index: usize) -> Path {
        self.with(Step::Index(index))
    }

    /// Whether it leads to the other or into it.
    pub fn is_in(&self, other: &Path) -> bool {
        self.0.starts_with(&other.0)
    }

    fn with(&self, step: Step) -> Path {
        let mut path = self.clone();
        path.0.push(step);
        path
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(at) => write!(f, "[{at}]")?,
                Step::Key(key) if key.is_empty() || key.contains(['.', '[', ']', '"', ' ']) => write!(f, "[{key:?}]")?,
                Step::Key(key) if index == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
            }
        }
        Ok(())
    }
}

/// "did you mean `off`?", where a candidate is near enough to have been meant.
pub(crate) fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let folded = word.to_lowercase();
    let allowed = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (strsim::osa_distance(&folded, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, candidate)| format!("did you mean `{candidate}`?"))
}

/// The names, quoted, for a sentence; long lists end in a count.
pub(crate) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    const SHOWN: usize = 12;
    let names: Vec<_> = names.into_iter().map(|name| format!("`{name}`")).collect();
    let more = names.len().saturating_sub(SHOWN);
    let mut text = names[..names.len() - more].join(", ");
    if more > 0 {
        text += &format!(" and {more} more");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_quotes_what_would_be_misread() {
        let path = Path::default().key("flags").key("a.b").key("rules").index(2);
        assert_eq!(path.to_string(), r#"flags["a.b"].rules[2]"#);
    }

    #[test]
    fn only_near_words_are_suggested() {
        assert_eq!(did_you_mean("of", ["on", "off"]).as_deref(), Some("did you mean `off`?"));
        assert_eq!(did_you_mean("OFF", ["on", "off"]).as_deref(), Some("did you mean `off`?"));
        assert_eq!(did_you_mean("treatment", ["on", "off"]), None);
    }
}
