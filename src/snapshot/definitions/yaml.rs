//! Reading YAML and JSON: text to a small tree that knows where everything stands, and serde over that tree.
//!
//! The schema is YAML 1.2's core with one restriction: a plain scalar that YAML takes for a number but JSON does not
//! (`007`, `0x1F`, `.5`, `.nan`) is refused, because half of its readers would read something else.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, LazyLock};

use regex_lite::Regex;
use saphyr_parser::{Event, Parser, ScalarStyle, StrInput, Tag};
use serde::de::{self, DeserializeSeed, Deserializer, Expected, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, forward_to_deserialize_any};

use super::problem::{Path, Position, Step, did_you_mean, list};

/// What compiling adds to the nesting stays below the 128 that a snapshot may have.
const NESTING: usize = 120;

/// How many values aliases may bring in, all together: enough for lists of people, too few to exhaust memory.
const ALIASED: usize = 100_000;

/// The name under which a newtype asks for a number's text, which a double would round.
pub(super) const NUMBER_TEXT: &str = "$flagstone::number";

/// Whole numbers up to here, and none beyond, mean the same to every JSON reader.
pub(super) const WHOLE: f64 = 9_007_199_254_740_991.0;

#[derive(Debug)]
pub(super) struct Node {
    pub at: Position,
    pub kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    Scalar { text: String, plain: bool },
    List(Vec<Arc<Node>>),
    Map(Vec<(Name, Arc<Node>)>),
}

#[derive(Debug)]
pub(super) struct Name {
    pub text: String,
    pub at: Position,
}

impl Node {
    /// Where to point for the value of a field: at the value if it stands on the line, else at its name.
    pub fn place(&self, name: Position) -> Position {
        match self.kind {
            Kind::Scalar { .. } => self.at,
            _ => name,
        }
    }

    /// The place that the path leads to, or as far as it leads, and how far that is.
    pub fn locate(&self, path: &Path) -> (usize, Position) {
        let (mut node, mut place, mut depth) = (self, self.at, 0);
        for step in &path.0 {
            let next = match (&node.kind, step) {
                (Kind::Map(entries), Step::Key(key)) => {
                    entries.iter().find(|(name, _)| name.text == *key).map(|(name, node)| (node, node.place(name.at)))
                }
                (Kind::List(items), Step::Index(index)) => items.get(*index).map(|node| (node, node.at)),
                _ => None,
            };
            let Some((next, at)) = next else { break };
            (node, place) = (next, at);
            depth += 1;
        }
        (depth, place)
    }

    /// Whether this is how YAML writes that there is nothing.
    pub fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, plain: true } if matches!(resolve(text), Plain::Null))
    }
}

#[derive(Debug)]
pub(super) struct Error {
    pub at: Option<Position>,
    /// Innermost step first.
    pub path: Vec<Step>,
    pub message: String,
    pub suggestion: Option<String>,
}

impl Error {
    pub fn new(at: Position, message: impl Into<String>) -> Self {
        Error { at: Some(at), ..de::Error::custom(message.into()) }
    }

    fn or_at(mut self, at: Position) -> Self {
        self.at.get_or_insert(at);
        self
    }

    fn within(mut self, step: Step) -> Self {
        self.path.push(step);
        self
    }
}

impl std::error::Error for Error {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Error { at: None, path: Vec::new(), message: message.to_string(), suggestion: None }
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let expected = match expected.to_string() {
            name if name.starts_with("struct ") => "a map".to_owned(),
            name if name == "a sequence" => "a list".to_owned(),
            name => name,
        };
        let text = match found {
            Unexpected::Bool(value) => Some(value.to_string()),
            Unexpected::Signed(value) => Some(value.to_string()),
            Unexpected::Unsigned(value) => Some(value.to_string()),
            Unexpected::Float(value) => Some(value.to_string()),
            _ => None,
        };
        let found = match found {
            Unexpected::Unit | Unexpected::Option => "nothing".to_owned(),
            Unexpected::Seq => "a list".to_owned(),
            Unexpected::Map => "a map".to_owned(),
            other => other.to_string(),
        };
        let mut error = Self::custom(format_args!("expected {expected}, found {found}"));
        if expected.contains("string") || expected.contains("name") {
            error.suggestion = text.map(|text| format!("write it in quotes: \"{text}\""));
        }
        error
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let mut error = Self::custom(format_args!("unknown field `{field}`"));
        error.suggestion = suggest(field, expected);
        error
    }

    fn unknown_variant(value: &str, expected: &'static [&'static str]) -> Self {
        let mut error = Self::custom(format_args!("unknown value `{value}`"));
        error.suggestion = suggest(value, expected);
        error
    }
}

fn suggest(word: &str, expected: &'static [&'static str]) -> Option<String> {
    did_you_mean(word, expected.iter().copied())
        .or_else(|| Some(format!("expected one of {}", list(expected.iter().copied()))))
}

/// The tree of a text of one document, or `None` where it holds nothing.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<Arc<Node>>, Error> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
        Err(error) => {
            let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
            let at = Position {
                line: before.matches('\n').count() + 1,
                column: before.rsplit('\n').next().unwrap_or_default().chars().count() + 1,
            };
            let message = match bytes {
                [0xFE, 0xFF, ..] | [0xFF, 0xFE, ..] => "the file is UTF-16",
                _ => "the file is not UTF-8",
            };
            return Err(Error { suggestion: Some("save it as UTF-8".to_owned()), ..Error::new(at, message) });
        }
    };
    let json = text.trim_start().starts_with('{').then(|| join_surrogates(text));
    let text = json.as_deref().unwrap_or(text);
    let mut builder = Builder { events: Parser::new_from_str(text), anchors: HashMap::new(), aliased: 0 };
    let mut root = None;
    loop {
        let (event, at) = builder.next()?;
        match event {
            Event::StreamStart | Event::DocumentEnd | Event::Nothing => {}
            Event::StreamEnd => return Ok(root),
            Event::DocumentStart(_) if root.is_some() => {
                return Err(Error {
                    suggestion: Some("put the second one into a file of its own".to_owned()),
                    ..Error::new(at, "a second document starts here, one file holds one")
                });
            }
            Event::DocumentStart(_) => {}
            event => root = Some(builder.build(event, at, 1)?.node),
        }
    }
}

/// JSON writes a character beyond U+FFFF as two `\u` escapes, YAML as one `\U`.
fn join_surrogates(json: &str) -> String {
    static PAIR: LazyLock<Regex> =
        LazyLock::new(|| regex(r"\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|\\."));
    let hex = |digits: &str| u32::from_str_radix(digits, 16).unwrap_or_default();
    PAIR.replace_all(json, |found: &regex_lite::Captures<'_>| match (found.get(1), found.get(2)) {
        (Some(high), Some(low)) => {
            let code = 0x10000 + ((hex(high.as_str()) & 0x3FF) << 10) + (hex(low.as_str()) & 0x3FF);
            format!("\\U{code:08X}")
        }
        _ => found[0].to_owned(),
    })
    .into_owned()
}

struct Builder<'t> {
    events: Parser<'t, StrInput<'t>>,
    anchors: HashMap<usize, Built>,
    aliased: usize,
}

#[derive(Clone)]
struct Built {
    node: Arc<Node>,
    height: usize,
    size: usize,
}

impl<'t> Builder<'t> {
    fn next(&mut self) -> Result<(Event<'t>, Position), Error> {
        match self.events.next_event() {
            Some(Ok((event, span))) => Ok((event, Position { line: span.start.line(), column: span.start.col() + 1 })),
            Some(Err(error)) => {
                let at = Position { line: error.marker().line(), column: error.marker().col() + 1 };
                Err(Error::new(at, error.info()))
            }
            None => Ok((Event::StreamEnd, Position { line: 1, column: 1 })),
        }
    }

    fn build(&mut self, event: Event<'t>, at: Position, depth: usize) -> Result<Built, Error> {
        if depth > NESTING {
            return Err(Error::new(at, format!("nested more than {NESTING} deep")));
        }
        let (mut height, mut size) = (1, 1);
        let mut add = |built: Built| {
            height = height.max(built.height + 1);
            size += built.size;
            built.node
        };
        let (anchor, kind) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain && !tagged_string(tag.as_deref(), at)?;
                (anchor, Kind::Scalar { text: text.into_owned(), plain })
            }
            Event::SequenceStart(anchor, tag) => {
                untagged(tag.as_deref(), at)?;
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => break,
                        (event, at) => items.push(add(self.build(event, at, depth + 1)?)),
                    }
                }
                (anchor, Kind::List(items))
            }
            Event::MappingStart(anchor, tag) => {
                untagged(tag.as_deref(), at)?;
                let mut entries: Vec<(Name, Arc<Node>)> = Vec::new();
                let mut names: HashMap<String, Position> = HashMap::new();
                loop {
                    let name = match self.next()? {
                        (Event::MappingEnd, _) => break,
                        (Event::Scalar(text, ..), at) => Name { text: text.into_owned(), at },
                        (_, at) => return Err(Error::new(at, "the name of a field must be a plain word or a string")),
                    };
                    if let Some(first) = names.insert(name.text.clone(), name.at) {
                        let message = format!("`{}` is here a second time, the first is at {first}", name.text);
                        return Err(Error::new(name.at, message).within(Step::Key(name.text)));
                    }
                    let (event, at) = self.next()?;
                    let value = self.build(event, at, depth + 1);
                    entries.push((name, add(value?)));
                }
                (anchor, Kind::Map(entries))
            }
            Event::Alias(anchor) => {
                let Some(built) = self.anchors.get(&anchor).cloned() else {
                    return Err(Error::new(at, "the alias stands inside of what it names"));
                };
                self.aliased += built.size;
                if self.aliased > ALIASED {
                    return Err(Error::new(at, format!("aliases bring in more than {ALIASED} values")));
                }
                if depth + built.height > NESTING {
                    return Err(Error::new(at, format!("nested more than {NESTING} deep")));
                }
                return Ok(built);
            }
            _ => return Err(Error::new(at, "expected a value")),
        };
        let built = Built { node: Arc::new(Node { at, kind }), height, size };
        if anchor != 0 {
            self.anchors.insert(anchor, built.clone());
        }
        Ok(built)
    }
}

/// Whether a scalar's tag makes it a string (`!!str` or `!`); any other tag is refused.
fn tagged_string(tag: Option<&Tag>, at: Position) -> Result<bool, Error> {
    match tag {
        Some(tag) if (tag.is_yaml_core_schema() && tag.suffix == "str") || tag.suffix == "!" => Ok(true),
        tag => untagged(tag, at).map(|()| false),
    }
}

fn untagged(tag: Option<&Tag>, at: Position) -> Result<(), Error> {
    match tag {
        Some(tag) => Err(Error::new(at, format!("the tag `{}{}` means nothing here", tag.handle, tag.suffix))),
        None => Ok(()),
    }
}

enum Plain {
    Null,
    Boolean(bool),
    Whole(i64),
    Number(f64),
    /// A number in YAML that is none in JSON, or one that no double holds.
    Unclear,
    Text,
}

fn resolve(text: &str) -> Plain {
    static JSON: LazyLock<Regex> = LazyLock::new(|| regex(r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$"));
    static YAML: LazyLock<Regex> = LazyLock::new(|| {
        regex(
            r"^([-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|0o[0-7]+|0x[0-9a-fA-F]+|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$",
        )
    });
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Plain::Null,
        "true" | "True" | "TRUE" => Plain::Boolean(true),
        "false" | "False" | "FALSE" => Plain::Boolean(false),
        _ if JSON.is_match(text) => match text.parse::<f64>() {
            Ok(number) if number.fract() == 0.0 && number.abs() <= WHOLE => Plain::Whole(number as i64),
            Ok(number) if number.is_finite() && text.contains(['.', 'e', 'E']) => Plain::Number(number),
            _ => Plain::Unclear,
        },
        _ if YAML.is_match(text) => Plain::Unclear,
        _ => Plain::Text,
    }
}

pub(super) fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a pattern of this crate is valid")
}

/// A value as its type reads it; errors carry their place.
pub(super) fn read<'n, T: Deserialize<'n>>(node: &'n Node, at: Position) -> Result<T, Error> {
    T::deserialize(Reader { node, at })
}

struct Reader<'n> {
    node: &'n Node,
    at: Position,
}

impl<'n> Reader<'n> {
    fn visit<V: Visitor<'n>>(&self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.kind {
            Kind::Scalar { text, plain: false } => visitor.visit_borrowed_str(text),
            Kind::Scalar { text, plain: true } => match resolve(text) {
                Plain::Null => visitor.visit_unit(),
                Plain::Boolean(value) => visitor.visit_bool(value),
                Plain::Whole(value) => visitor.visit_i64(value),
                Plain::Number(value) => visitor.visit_f64(value),
                Plain::Text => visitor.visit_borrowed_str(text),
                Plain::Unclear => {
                    let mut error: Error =
                        de::Error::custom(format_args!("`{text}` is not a number that every reader takes alike"));
                    error.suggestion =
                        Some(format!("write \"{text}\" if it is text, else a decimal number within ±(2^53−1)"));
                    Err(error)
                }
            },
            Kind::List(items) => {
                let mut list = List { items: items.iter().enumerate() };
                let value = visitor.visit_seq(&mut list)?;
                match list.items.next() {
                    Some((index, item)) => Err(Error::new(item.at, format!("only {index} values are expected here"))
                        .within(Step::Index(index))),
                    None => Ok(value),
                }
            }
            Kind::Map(entries) => {
                let mut map = Map { entries: entries.iter(), value: None };
                let value = visitor.visit_map(&mut map)?;
                match map.entries.next() {
                    Some((name, _)) => {
                        Err(Error::new(name.at, format!("`{}` cannot stand beside `{}`", name.text, entries[0].0.text))
                            .within(Step::Key(name.text.clone())))
                    }
                    None => Ok(value),
                }
            }
        }
    }
}

impl<'n> Deserializer<'n> for Reader<'n> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Error> {
        self.visit(visitor).map_err(|error| error.or_at(self.at))
    }

    fn deserialize_option<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.node.is_null() {
            let suggestion = Some("leave it out or give it one".to_owned());
            return Err(Error { suggestion, ..Error::new(self.at, "there is no value") });
        }
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'n>>(self, name: &'static str, visitor: V) -> Result<V::Value, Error> {
        match &self.node.kind {
            Kind::Scalar { text, plain: true } if name == NUMBER_TEXT => {
                visitor.visit_bytes(text.as_bytes()).map_err(|error: Error| error.or_at(self.at))
            }
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_enum<V: Visitor<'n>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let at = self.at;
        let name: String = Deserialize::deserialize(self)?;
        visitor.visit_enum(de::value::StringDeserializer::new(name)).map_err(|error: Error| error.or_at(at))
    }

    forward_to_deserialize_any! {
        <V: Visitor<'n>>
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        seq tuple tuple_struct map struct identifier ignored_any
    }
}

struct List<'n> {
    items: std::iter::Enumerate<std::slice::Iter<'n, Arc<Node>>>,
}

impl<'n> SeqAccess<'n> for List<'n> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'n>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let Some((index, node)) = self.items.next() else { return Ok(None) };
        seed.deserialize(Reader { node, at: node.at }).map(Some).map_err(|error| error.within(Step::Index(index)))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

struct Map<'n> {
    entries: std::slice::Iter<'n, (Name, Arc<Node>)>,
    value: Option<(&'n Name, &'n Node)>,
}

impl<'n> MapAccess<'n> for Map<'n> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'n>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some((name, node)) = self.entries.next() else { return Ok(None) };
        self.value = Some((name, node));
        let name_reader: de::value::BorrowedStrDeserializer<'n, Error> =
            de::value::BorrowedStrDeserializer::new(&name.text);
        seed.deserialize(name_reader)
            .map(Some)
            .map_err(|error| error.or_at(name.at).within(Step::Key(name.text.clone())))
    }

    fn next_value_seed<V: DeserializeSeed<'n>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let (name, node) = self.value.take().ok_or_else(|| -> Error { de::Error::custom("a value without a name") })?;
        seed.deserialize(Reader { node, at: node.place(name.at) })
            .map_err(|error| error.within(Step::Key(name.text.clone())))
    }
}
