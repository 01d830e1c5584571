//! A strict JSON reader (RFC 8259): a document becomes a run of small nodes that say where in the text things stand.
//!
//! Everything signed passes through it, natively and in WebAssembly, so there is one answer to what a document says. No
//! object may have two members of one name (RFC 7493), and nothing is nested deeper than 128. It exists beside
//! `serde_json` because that costs a browser about 35 KB and cannot say that a string holds half of a surrogate pair,
//! which a context may and a snapshot may not.

use super::model::Span;
use super::names::{Names, Texts};
use std::fmt;

/// The deepest nesting of arrays and objects that is read.
const MAX_DEPTH: u32 = 128;

/// What is wrong with a document, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Like `flags.use_new_gateway.rules[0].serve`; empty for the document itself.
    pub path: String,
    /// Bytes from the start of the document.
    pub offset: usize,
    pub message: String,
    /// A name this engine does not know, where that is all that is wrong.
    pub unsupported: Option<Span>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            f.write_str(&self.path)?;
            f.write_str(": ")?;
        }
        f.write_str(&self.message)?;
        f.write_str(" (at byte ")?;
        fmt::Display::fmt(&self.offset, f)?;
        f.write_str(")")
    }
}

/// Boxed, for every step of reading hands it on and nearly none has one.
pub(crate) type Result<T> = std::result::Result<T, Box<Fault>>;

/// The kind of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Object,
    Array,
    String,
    /// A string with half of a surrogate pair, which is no Unicode text.
    IllFormed,
    Number,
    Boolean,
    Null,
}

/// A value of the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Id(u32);

struct Node {
    kind: Kind,
    /// Where the value's text begins and ends in the document.
    start: u32,
    end: u32,
    /// Of a string without its quotes and escapes.
    text: Span,
    /// The node after this one and all in it.
    next: u32,
}

/// A document, read.
pub(crate) struct Document<'a> {
    text: &'a str,
    /// Texts that do not stand in the document as they are; their spans begin where the document ends.
    pub unescaped: String,
    nodes: Vec<Node>,
}

impl<'a> Document<'a> {
    /// Reads a document in which every string is Unicode text.
    pub(crate) fn parse(text: &'a str) -> Result<Self> {
        let document = Document::parse_any(text)?;
        match document.nodes.iter().position(|node| node.kind == Kind::IllFormed) {
            Some(node) => document.error(Id(node as u32), &["the string holds half of a surrogate pair"]),
            None => Ok(document),
        }
    }

    /// Reads bytes that should be UTF-8; a byte order mark is refused like anything else that is not JSON.
    pub(crate) fn parse_bytes(bytes: &'a [u8]) -> Result<Self> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Document::parse(text),
            Err(error) => Err(fault(error.valid_up_to(), "not UTF-8".to_owned())),
        }
    }

    /// Reads a document whose strings may be ill formed.
    pub(crate) fn parse_any(text: &'a str) -> Result<Self> {
        let mut parser =
            Parser { document: Document { text, unescaped: String::new(), nodes: Vec::new() }, offset: 0, depth: 0 };
        parser.value()?;
        parser.white_space();
        if parser.offset < text.len() { parser.unexpected("the end of the document") } else { Ok(parser.document) }
    }

    pub(crate) fn root(&self) -> Id {
        Id(0)
    }

    fn node(&self, id: Id) -> &Node {
        &self.nodes[id.0 as usize]
    }

    pub(crate) fn kind(&self, id: Id) -> Kind {
        self.node(id).kind
    }

    /// The value as it stands in the document.
    pub(crate) fn source(&self, id: Id) -> Span {
        let Node { start, end, .. } = *self.node(id);
        Span { start, length: end - start }
    }

    pub(crate) fn texts(&self) -> Texts<'_> {
        Texts { document: self.text, unescaped: &self.unescaped }
    }

    pub(crate) fn text(&self, span: Span) -> &str {
        self.texts().get(span)
    }

    /// Refuses a value, with a message in parts.
    pub(crate) fn error<T>(&self, at: Id, message: &[&str]) -> Result<T> {
        Err(self.fault(at, message))
    }

    pub(crate) fn fault(&self, at: Id, message: &[&str]) -> Box<Fault> {
        let mut fault = fault(self.node(at).start as usize, message.concat());
        // The way down to the value is looked for only now that it is needed.
        let mut around = self.root();
        while around != at {
            let object = self.kind(around) == Kind::Object;
            let (mut child, mut index) = (around.0 + 1, 0u32);
            let value = loop {
                let value = if object { child + 1 } else { child };
                let next = self.nodes[value as usize].next;
                if at.0 < next {
                    break value;
                }
                (child, index) = (next, index + 1);
            };
            if object {
                let dot = if fault.path.is_empty() { "" } else { "." };
                fault.path.push_str(dot);
                fault.path.push_str(self.text(self.nodes[child as usize].text));
            } else {
                for part in ["[", &index.to_string(), "]"] {
                    fault.path.push_str(part);
                }
            }
            // What is at fault may be the member's name.
            around = Id(value.min(at.0));
        }
        fault
    }

    /// The elements of an array.
    pub(crate) fn elements(&self, id: Id) -> Result<Children<'_, 'a>> {
        match self.kind(id) {
            Kind::Array => Ok(Children { document: self, at: id.0 + 1, end: self.node(id).next }),
            _ => self.error(id, &["expected an array"]),
        }
    }

    /// The members of an object: each name's value, for [`Document::name`] to name.
    pub(crate) fn members(&self, id: Id) -> Result<Members<'_, 'a>> {
        match self.kind(id) {
            Kind::Object => Ok(Members(Children { document: self, at: id.0 + 1, end: self.node(id).next })),
            _ => self.error(id, &["expected an object"]),
        }
    }

    /// The value of an object's member.
    pub(crate) fn get(&self, object: Id, name: &str) -> Result<Option<Id>> {
        let mut members = self.members(object)?;
        Ok(members.find(|&(other, _)| self.text(other) == name).map(|(_, value)| value))
    }

    /// The value of a member that must be there.
    pub(crate) fn need(&self, object: Id, name: &str) -> Result<Id> {
        match self.get(object, name)? {
            Some(value) => Ok(value),
            None => self.error(object, &["`", name, "` is missing"]),
        }
    }

    pub(crate) fn string(&self, id: Id) -> Result<&str> {
        Ok(self.text(self.span(id)?))
    }

    /// A string's text.
    pub(crate) fn span(&self, id: Id) -> Result<Span> {
        let node = self.node(id);
        if node.kind == Kind::String { Ok(node.text) } else { self.error(id, &["expected a string"]) }
    }

    pub(crate) fn boolean(&self, id: Id) -> Result<bool> {
        match self.kind(id) {
            Kind::Boolean => Ok(self.text(self.source(id)) == "true"),
            _ => self.error(id, &["expected `true` or `false`"]),
        }
    }

    /// A whole number from `min` to `max`, written without fraction and exponent.
    pub(crate) fn whole(&self, id: Id, min: i64, max: i64) -> Result<i64> {
        let text = self.text(self.source(id));
        match text.parse() {
            Ok(number) if (min..=max).contains(&number) && self.kind(id) == Kind::Number => Ok(number),
            _ => self.error(id, &["expected a whole number from ", &min.to_string(), " to ", &max.to_string()]),
        }
    }

    pub(crate) fn number(&self, id: Id) -> Result<f64> {
        match self.kind(id) {
            Kind::Number => match crate::number::parse(self.text(self.source(id))) {
                number if number.is_finite() => Ok(number),
                _ => self.error(id, &["the number is too large"]),
            },
            _ => self.error(id, &["expected a number"]),
        }
    }
}

fn fault(offset: usize, message: String) -> Box<Fault> {
    Box::new(Fault { path: String::new(), offset, message, unsupported: None })
}

/// Values one after another.
#[derive(Clone)]
pub(crate) struct Children<'d, 'a> {
    document: &'d Document<'a>,
    at: u32,
    end: u32,
}

impl Iterator for Children<'_, '_> {
    type Item = Id;

    fn next(&mut self) -> Option<Id> {
        if self.at == self.end {
            return None;
        }
        let id = Id(self.at);
        self.at = self.document.node(id).next;
        Some(id)
    }
}

/// Names and values in turn.
pub(crate) struct Members<'d, 'a>(Children<'d, 'a>);

impl Iterator for Members<'_, '_> {
    type Item = (Span, Id);

    fn next(&mut self) -> Option<(Span, Id)> {
        loop {
            let (name, value) = (self.0.next()?, self.0.next()?);
            let name = self.0.document.node(name);
            // Where strings may be ill formed, a name that is no text names nothing.
            if name.kind == Kind::String {
                return Some((name.text, value));
            }
        }
    }
}

struct Parser<'a> {
    document: Document<'a>,
    offset: usize,
    depth: u32,
}

impl Parser<'_> {
    fn rest(&self) -> &str {
        self.document.text.get(self.offset..).unwrap_or_default()
    }

    fn byte(&self) -> Option<u8> {
        self.document.text.as_bytes().get(self.offset).copied()
    }

    fn error<T>(&self, message: &str) -> Result<T> {
        Err(fault(self.offset, message.to_owned()))
    }

    fn unexpected<T>(&self, wanted: &str) -> Result<T> {
        match self.rest().chars().next() {
            None => self.error(&["expected ", wanted, ", but the document ends here"].concat()),
            Some(found) => {
                self.error(&["expected ", wanted, ", found `", found.encode_utf8(&mut [0; 4]), "`"].concat())
            }
        }
    }

    fn white_space(&mut self) {
        while matches!(self.byte(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.offset += 1;
        }
    }

    /// Consumes `byte` if it comes next.
    fn eat(&mut self, byte: u8) -> bool {
        self.white_space();
        let found = self.byte() == Some(byte);
        self.offset += usize::from(found);
        found
    }

    fn value(&mut self) -> Result<()> {
        self.white_space();
        let (start, id) = (self.offset, self.document.nodes.len());
        self.document.nodes.push(Node {
            kind: Kind::Null,
            start: start as u32,
            end: 0,
            text: Span::default(),
            next: 0,
        });
        let kind = match self.byte() {
            Some(b'{') => self.container(b'}', Kind::Object)?,
            Some(b'[') => self.container(b']', Kind::Array)?,
            Some(b'"') => {
                let (text, kind) = self.string()?;
                self.document.nodes[id].text = text;
                kind
            }
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b't') => self.word("true", Kind::Boolean)?,
            Some(b'f') => self.word("false", Kind::Boolean)?,
            Some(b'n') => self.word("null", Kind::Null)?,
            _ => return self.unexpected("a value"),
        };
        let next = self.document.nodes.len() as u32;
        let node = &mut self.document.nodes[id];
        (node.kind, node.end, node.next) = (kind, self.offset as u32, next);
        if kind == Kind::Object { self.each_once(id) } else { Ok(()) }
    }

    fn word(&mut self, word: &str, kind: Kind) -> Result<Kind> {
        if !self.rest().starts_with(word) {
            return self.unexpected("a value");
        }
        self.offset += word.len();
        Ok(kind)
    }

    fn container(&mut self, close: u8, kind: Kind) -> Result<Kind> {
        self.offset += 1;
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return self.error("nested deeper than 128");
        }
        let mut first = true;
        while !self.eat(close) {
            if !first && !self.eat(b',') {
                return self.unexpected(if kind == Kind::Object { "`,` or `}`" } else { "`,` or `]`" });
            }
            first = false;
            if kind == Kind::Object {
                self.white_space();
                if self.byte() != Some(b'"') {
                    return self.unexpected("a member's name");
                }
                self.value()?;
                if !self.eat(b':') {
                    return self.unexpected("`:`");
                }
            }
            self.value()?;
        }
        self.depth -= 1;
        Ok(kind)
    }

    /// Makes sure that the object that was just read has no two members of one name.
    fn each_once(&self, object: usize) -> Result<()> {
        let document = &self.document;
        let (at, end) = (object as u32 + 1, document.nodes.len() as u32);
        let members = Children { document, at, end };
        let names = members.step_by(2).filter(|&name| document.kind(name) == Kind::String);
        let names = names.map(|name| document.node(name).text);
        let mut table = Names::default();
        for (index, name) in names.clone().enumerate() {
            let text = document.text(name);
            // Few names are compared one by one, many by a table.
            let twice = if index < 8 {
                names.clone().take(index).any(|other| document.text(other) == text)
            } else {
                if index == 8 {
                    for name in names.clone().take(8) {
                        table.add(name, document.texts());
                    }
                }
                let twice = table.find(text, document.texts()).is_some();
                table.add(name, document.texts());
                twice
            };
            if twice {
                return Err(fault(
                    document.node(Id(object as u32)).start as usize,
                    ["`", text, "` stands twice in one object"].concat(),
                ));
            }
        }
        Ok(())
    }

    fn number(&mut self) -> Result<Kind> {
        self.offset += usize::from(self.byte() == Some(b'-'));
        if self.byte() == Some(b'0') {
            self.offset += 1;
        } else {
            self.digits()?;
        }
        if self.byte() == Some(b'.') {
            self.offset += 1;
            self.digits()?;
        }
        if matches!(self.byte(), Some(b'e' | b'E')) {
            self.offset += 1;
            self.offset += usize::from(matches!(self.byte(), Some(b'+' | b'-')));
            self.digits()?;
        }
        Ok(Kind::Number)
    }

    fn digits(&mut self) -> Result<()> {
        let start = self.offset;
        while matches!(self.byte(), Some(b'0'..=b'9')) {
            self.offset += 1;
        }
        if start == self.offset { self.unexpected("a digit") } else { Ok(()) }
    }

    fn string(&mut self) -> Result<(Span, Kind)> {
        self.offset += 1;
        let start = self.offset;
        let unescaped = self.document.unescaped.len();
        let (mut plain, mut kind) = (start, Kind::String);
        loop {
            match self.byte() {
                Some(b'"') => break,
                Some(b'\\') => {
                    let text = self.document.text;
                    self.document.unescaped.push_str(&text[plain..self.offset]);
                    match self.escape()? {
                        Some(character) => self.document.unescaped.push(character),
                        None => kind = Kind::IllFormed,
                    }
                    plain = self.offset;
                }
                Some(0..=0x1f) => return self.error("a control character in a string; write it as an escape"),
                Some(_) => self.offset += 1,
                None => return self.unexpected("the end of the string"),
            }
        }
        let span = if plain == start {
            Span { start: start as u32, length: (self.offset - start) as u32 }
        } else {
            let text = self.document.text;
            self.document.unescaped.push_str(&text[plain..self.offset]);
            let length = self.document.unescaped.len() - unescaped;
            Span { start: (text.len() + unescaped) as u32, length: length as u32 }
        };
        self.offset += 1;
        Ok((span, kind))
    }

    /// Undoes the escape at hand; `None` for half of a surrogate pair.
    fn escape(&mut self) -> Result<Option<char>> {
        self.offset += 1;
        let character = match self.byte() {
            Some(c @ (b'"' | b'\\' | b'/')) => c as char,
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.offset += 1;
                let unit = self.hex()?;
                if (0xd800..0xdc00).contains(&unit) && self.rest().starts_with("\\u") {
                    let after = self.offset;
                    self.offset += 2;
                    let low = self.hex()?;
                    if (0xdc00..0xe000).contains(&low) {
                        return Ok(char::from_u32(0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00)));
                    }
                    self.offset = after;
                }
                return Ok(char::from_u32(unit));
            }
            _ => return self.unexpected("an escape"),
        };
        self.offset += 1;
        Ok(Some(character))
    }

    fn hex(&mut self) -> Result<u32> {
        let mut unit = 0;
        for _ in 0..4 {
            let Some(digit) = self.byte().and_then(|byte| (byte as char).to_digit(16)) else {
                return self.unexpected("four hexadecimal digits");
            };
            unit = unit * 16 + digit;
            self.offset += 1;
        }
        Ok(unit)
    }
}
