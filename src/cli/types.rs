use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write;
use std::path::PathBuf;

use flagstone::snapshot::FlagType;
use flagstone::snapshot::definitions::{Definitions, Flag};
use heck::{ToShoutySnakeCase, ToUpperCamelCase};
use serde_json::Value;

use crate::answer::{Answer, Failure, count, note};
use crate::files::{self, Project};

/// Write the types of the flags
///
/// TypeScript: an interface with each flag's type by its key, a string flag as the union of its values. Rust: a constant
/// with each flag's key, and an enum of the values of each string flag.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  flagstone types --language typescript --out src/flags.ts
  flagstone types flags.yaml --language rust > src/flags.rs")]
pub struct Types {
    /// Files of definitions, or folders of them
    #[arg(value_name = "FILE|DIR", default_value = ".")]
    paths: Vec<PathBuf>,
    /// The language
    #[arg(long, value_name = "NAME")]
    language: Language,
    /// Where the types go, in place of what was there; by default to standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Language {
    #[value(name = "typescript", alias = "ts")]
    TypeScript,
    #[value(alias = "rs")]
    Rust,
}

impl Types {
    pub fn run(self, out: &mut dyn Write) -> Result<Answer, Failure> {
        let definitions = Project::read(&self.paths)?.definitions()?;
        let text = match self.language {
            Language::TypeScript => typescript(&definitions),
            Language::Rust => rust(&definitions),
        };
        match &self.out {
            Some(path) => {
                files::replace(path, text.as_bytes())?;
                note(format!("wrote the types of {} to {}", count(definitions.flags.len(), "flag"), path.display()));
            }
            None => write!(out, "{text}")?,
        }
        Ok(Answer::Yes)
    }
}

const HEAD: &str = "// Written by `flagstone types`; change the definitions, not this file.\n";

/// What there is to say about a flag, line by line.
fn about(flag: &Flag) -> Vec<String> {
    let mut lines: Vec<String> = flag.description.iter().flat_map(|text| text.lines().map(str::to_owned)).collect();
    let mut facts = Vec::new();
    facts.extend(flag.owner.as_ref().map(|owner| format!("Owner: {owner}.")));
    facts.extend(flag.expires.map(|expires| format!("Expires: {expires}.")));
    if !lines.is_empty() && !facts.is_empty() {
        lines.push(String::new());
    }
    lines.extend(facts);
    lines.into_iter().map(|line| line.trim_end().to_owned()).collect()
}

fn typescript(definitions: &Definitions) -> String {
    let mut text =
        format!("{HEAD}\n/** The type of each flag's value, by the flag's key. */\nexport interface Flags {{\n");
    for (key, flag) in &definitions.flags {
        let about = about(flag);
        if !about.is_empty() {
            text += "  /**\n";
            for line in about {
                // The end of a comment must not come from within it.
                let _ = writeln!(text, "{}", format!("   * {}", line.replace("*/", "*\\/")).trim_end());
            }
            text += "   */\n";
        }
        let _ = writeln!(text, "  {}: {};", Value::from(key.as_str()), typescript_type(flag));
    }
    text += "}\n\n/** The key of a flag. */\nexport type FlagKey = keyof Flags;\n";
    text
}

fn typescript_type(flag: &Flag) -> String {
    let variants = flag.all_variants();
    match flag.variant_type() {
        Some(FlagType::Boolean) => "boolean".to_owned(),
        Some(FlagType::Number) => "number".to_owned(),
        Some(FlagType::String) => union(variants.values().map(Value::to_string)),
        Some(FlagType::Json) | None => {
            union(variants.values().map(|value| if leaves(value) <= 8 { literal(value) } else { shape(value) }))
        }
    }
}

/// `A | B`, each once.
fn union(types: impl Iterator<Item = String>) -> String {
    let types: BTreeSet<String> = types.collect();
    if types.is_empty() { "never".to_owned() } else { types.into_iter().collect::<Vec<_>>().join(" | ") }
}

fn leaves(value: &Value) -> usize {
    match value {
        Value::Array(elements) => elements.iter().map(leaves).sum(),
        Value::Object(members) => members.values().map(leaves).sum(),
        _ => 1,
    }
}

/// The type of exactly this value.
fn literal(value: &Value) -> String {
    match value {
        Value::Array(elements) => format!("readonly [{}]", elements.iter().map(literal).collect::<Vec<_>>().join(", ")),
        Value::Object(members) => object(members.iter().map(|(name, value)| (name, literal(value)))),
        // As JavaScript writes numbers, 1.0 is 1.
        Value::Number(number) => number.as_f64().map_or("number".to_owned(), |number| number.to_string()),
        scalar => scalar.to_string(),
    }
}

/// The type of values like this one.
fn shape(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "boolean".to_owned(),
        Value::Number(_) => "number".to_owned(),
        Value::String(_) => "string".to_owned(),
        Value::Array(elements) => format!("ReadonlyArray<{}>", union(elements.iter().map(shape))),
        Value::Object(members) => object(members.iter().map(|(name, value)| (name, shape(value)))),
    }
}

fn object<'n>(members: impl Iterator<Item = (&'n String, String)>) -> String {
    let members: Vec<_> = members.map(|(name, of)| format!("readonly {}: {of}", Value::from(name.as_str()))).collect();
    if members.is_empty() { "Record<string, never>".to_owned() } else { format!("{{ {} }}", members.join("; ")) }
}

fn rust(definitions: &Definitions) -> String {
    let mut text = HEAD.to_owned();
    for ((key, flag), (constant, name)) in definitions.flags.iter().zip(rust_names(definitions)) {
        text.push('\n');
        for line in about(flag) {
            let _ = writeln!(text, "{}", format!("/// {}", doc(&line)).trim_end());
        }
        if !about(flag).is_empty() {
            text += "///\n";
        }
        let kind = flag.variant_type().unwrap_or(FlagType::Json);
        let values: BTreeMap<_, _> = flag.all_variants().iter().map(|(n, v)| (n.clone(), v.to_string())).collect();
        let list: Vec<_> = values.iter().map(|(name, value)| format!("{} = {value}", doc(name))).collect();
        let _ = writeln!(text, "/// A {} flag: {}.", kind.name(), doc(&list.join(", ")));
        let _ = writeln!(text, "pub const {constant}: &str = {};", rust_string(key));
        if let Some(name) = name {
            rust_enum(&mut text, &name, &constant, flag);
        }
    }
    text
}

/// What each flag is called in Rust: its constant, and the enum of a string flag.
pub fn rust_names(definitions: &Definitions) -> Vec<(String, Option<String>)> {
    let (mut constants, mut enums) = (Names::default(), Names::default());
    let names = definitions.flags.iter().map(|(key, flag)| {
        let is_string = flag.variant_type() == Some(FlagType::String);
        let name = is_string.then(|| enums.unique(identifier(key.to_upper_camel_case(), "Flag"), ""));
        (constants.unique(identifier(key.to_shouty_snake_case(), "FLAG"), "_"), name)
    });
    names.collect()
}

/// What code begins with that this verb has written.
pub fn is_generated(code: &[u8]) -> bool {
    code.starts_with(HEAD.as_bytes())
}

fn rust_enum(text: &mut String, name: &str, constant: &str, flag: &Flag) {
    let mut names = Names::default();
    // Two variants may have one value, which then is one of the enum.
    let mut variants: Vec<(String, String)> = Vec::new();
    for (variant, value) in flag.all_variants().iter() {
        let value = value.as_str().unwrap_or_default().to_owned();
        if !variants.iter().any(|(_, other)| *other == value) {
            variants.push((names.unique(identifier(variant.to_upper_camel_case(), "Variant"), ""), value));
        }
    }
    let _ = write!(
        text,
        "\n/// A value of [`{constant}`].\n#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]\npub enum {name} {{\n"
    );
    for (variant, value) in &variants {
        let _ = writeln!(text, "    /// {}\n    {variant},", doc(&Value::from(value.as_str()).to_string()));
    }
    let _ = write!(
        text,
        "}}\n\nimpl {name} {{\n    /// Every value.\n    pub const ALL: &'static [Self] = &[{}];\n",
        variants.iter().map(|(variant, _)| format!("Self::{variant}")).collect::<Vec<_>>().join(", ")
    );
    text.push_str(
        "\n    /// The value as the flag serves it.\n    pub fn as_str(self) -> &'static str {\n        match self {\n",
    );
    for (variant, value) in &variants {
        let _ = writeln!(text, "            Self::{variant} => {},", rust_string(value));
    }
    text.push_str(
        "        }\n    }\n\n    /// From what the flag served; `None` for a value that is newer than this file.\n    \
         pub fn from_value(value: &str) -> Option<Self> {\n        \
         Self::ALL.iter().copied().find(|known| known.as_str() == value)\n    }\n}\n",
    );
}

/// Text that a doc comment shows as it is.
fn doc(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).flat_map(|c| escape(c).into_iter().chain([c])).collect()
}

fn escape(character: char) -> Option<char> {
    matches!(character, '[' | ']' | '<' | '>' | '`' | '*' | '_' | '\\').then_some('\\')
}

/// A string literal.
fn rust_string(text: &str) -> String {
    format!("{text:?}")
}

/// A name that every language takes: ASCII letters, digits and `_`, no digit first.
fn identifier(name: String, otherwise: &str) -> String {
    let name: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    match name.chars().next() {
        None => otherwise.to_owned(),
        Some(first) if first.is_ascii_digit() => format!("{otherwise}{name}"),
        Some(_) if name == "Self" => format!("{otherwise}{name}"),
        Some(_) => name,
    }
}

/// Names that were given: `a-b` and `a_b` must not become one.
#[derive(Default)]
struct Names(BTreeSet<String>);

impl Names {
    fn unique(&mut self, name: String, separator: &str) -> String {
        let numbered = (2..).map(|number| format!("{name}{separator}{number}"));
        let free = std::iter::once(name.clone()).chain(numbered).find(|name| !self.0.contains(name)).unwrap_or(name);
        self.0.insert(free.clone());
        free
    }
}
