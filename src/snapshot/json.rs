//! A strict JSON reader (RFC 8259): a document becomes a run of small nodes that say where in the text things stand.
//!
//! Everything signed passes through it, natively and in WebAssembly, so there is one answer to what a document says. No
//! object may have two members of one name (RFC 7493), and nothing is nested deeper than 128. It exists beside
//! `serde_json` because that costs a browser about 35 KB and cannot say that a string holds half of a surrogate pair,
//! which a context may and a snapshot may not.
//!
//! What reads a document does not look at each step for an error. A value that is not as expected is refused, which the
//! document remembers, and reads as [`NOTHING`]; whoever reads goes on, and asks for the first fault where it matters, at the
//! latest when all is read. Code without a way out at every step is half the size, and every fault is still found at its
//! place.

use super::model::Span;

use super::names::Texts;
use crate::number::decimal;
use std::cell::Cell;

/// The deepest nesting of arrays and objects that is read.
const MAX_DEPTH: u32 = 128;
/// How many members an object may have to have their names compared each with each.
const FEW: usize = 16;
/// The longest document that is read, in bytes: the largest snapshot in an envelope, with room for escapes.
const MAX_BYTES: usize = 128 << 20;

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

impl Fault {
    /// The fault as people read it. Concatenated, here and in the other errors: what formats is a tenth of the download.
    pub(crate) fn text(&self) -> String {
        let colon = if self.path.is_empty() { "" } else { ": " };
        [&self.path, colon, &self.message, " (at byte ", &decimal(self.offset as i64), ")"].concat()
    }
}

pub(crate) type Result<T> = std::result::Result<T, Box<Fault>>;

/// The kind of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// No value.
    Nothing,
    Object,
    Array,
    String,
    /// A string with half of a surrogate pair, which is no Unicode text.
    IllFormed,
    Number,
    Boolean,
    Null,
}

/// A value of the document, or [`NOTHING`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Id(u32);

/// What an optional member is that is absent, and what is read in place of a value at fault: no elements, no members, no
/// text, not true.
pub(crate) const NOTHING: Id = Id(0);
const ROOT: Id = Id(1);

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
    /// That of [`NOTHING`], then the root's and all in it.
    nodes: Vec<Node>,
    fault: Cell<Option<Box<Fault>>>,
}

impl<'a> Document<'a> {
    /// Reads a document in which every string is Unicode text.
    pub(crate) fn parse(text: &'a str) -> Result<Self> {
        let document = Document::parse_any(text)?;
        if let Some(node) = document.nodes.iter().position(|node| node.kind == Kind::IllFormed) {
            document.refuse(Id(node as u32), &["the string holds half of a surrogate pair"]);
        }
        document.check()?;
        Ok(document)
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
        if text.len() > MAX_BYTES {
            return Err(fault(
                0,
                ["at most 128 MiB are read, this has ", &decimal(text.len() as i64), " bytes"].concat(),
            ));
        }
        let document = Document { text, unescaped: String::new(), nodes: Vec::new(), fault: Cell::default() };
        let mut parser = Parser { document, offset: 0, depth: 0 };
        parser.node(Kind::Nothing);
        parser.document.nodes[0].next = 1;
        parser.value();
        parser.white_space();
        if parser.offset < text.len() {
            parser.unexpected("the end of the document");
        }
        parser.document.check()?;
        Ok(parser.document)
    }

    pub(crate) fn root(&self) -> Id {
        ROOT
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

    // Faults.

    /// Refuses a value, with a message in parts, unless something before it was at fault.
    pub(crate) fn refuse(&self, at: Id, message: &[&str]) {
        if !self.is_at_fault() {
            self.set_fault(self.fault(at, message));
        }
    }

    pub(crate) fn set_fault(&self, fault: Box<Fault>) {
        self.fault.set(Some(fault));
    }

    /// The first fault, which is then forgotten.
    pub(crate) fn take_fault(&self) -> Option<Box<Fault>> {
        self.fault.take()
    }

    pub(crate) fn is_at_fault(&self) -> bool {
        let fault = self.fault.take();
        let found = fault.is_some();
        self.fault.set(fault);
        found
    }

    /// The first fault as an error.
    pub(crate) fn check(&self) -> Result<()> {
        self.take_fault().map_or(Ok(()), Err)
    }

    pub(crate) fn fault(&self, at: Id, message: &[&str]) -> Box<Fault> {
        let mut fault = fault(self.node(at).start as usize, message.concat());
        if at == NOTHING {
            return fault;
        }
        // The way down to the value is looked for only now that it is needed.
        let mut around = ROOT;
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
            let (before, step, after) = if object {
                let dot = if fault.path.is_empty() { "" } else { "." };
                (dot, self.text(self.nodes[child as usize].text), "")
            } else {
                ("[", &*decimal(index as i64), "]")
            };
            fault.path = [&fault.path, before, step, after].concat();
            // What is at fault may be the member's name.
            around = Id(value.min(at.0));
        }
        fault
    }

    // Reading. What is not as expected is refused, and reads as nothing does.

    /// The value if it is of a kind, else [`NOTHING`].
    fn expect(&self, id: Id, kind: Kind, what: &str) -> Id {
        let found = self.kind(id);
        if found == kind {
            return id;
        }
        if found != Kind::Nothing {
            self.refuse(id, &["expected ", what]);
        }
        NOTHING
    }

    fn children(&self, id: Id) -> Children<'_, 'a> {
        Children { document: self, at: id.0 + 1, end: self.node(id).next }
    }

    /// The elements of an array.
    pub(crate) fn elements(&self, id: Id) -> Children<'_, 'a> {
        self.children(self.expect(id, Kind::Array, "an array"))
    }

    /// The members of an object: names and their values.
    pub(crate) fn members(&self, id: Id) -> Members<'_, 'a> {
        Members(self.children(self.expect(id, Kind::Object, "an object")))
    }

    /// The value of an object's member, [`NOTHING`] where it is absent.
    pub(crate) fn get(&self, object: Id, name: &str) -> Id {
        let object = self.expect(object, Kind::Object, "an object");
        let (mut at, end) = (object.0 + 1, self.node(object).next);
        while at < end {
            let member = &self.nodes[at as usize];
            // Most differ in length already.
            if member.text.length as usize == name.len()
                && self.text(member.text) == name
                && member.kind == Kind::String
            {
                return Id(at + 1);
            }
            at = self.nodes[at as usize + 1].next;
        }
        NOTHING
    }

    /// Whether an object has a member.
    pub(crate) fn has(&self, object: Id, name: &str) -> bool {
        self.get(object, name) != NOTHING
    }

    /// The value of a member that must be there.
    pub(crate) fn need(&self, object: Id, name: &str) -> Id {
        let value = self.get(object, name);
        if value == NOTHING {
            self.refuse(object, &["`", name, "` is missing"]);
        }
        value
    }

    pub(crate) fn string(&self, id: Id) -> &str {
        self.text(self.span(id))
    }

    /// A string's text.
    pub(crate) fn span(&self, id: Id) -> Span {
        self.node(self.expect(id, Kind::String, "a string")).text
    }

    pub(crate) fn boolean(&self, id: Id) -> bool {
        self.text(self.source(self.expect(id, Kind::Boolean, "`true` or `false`"))) == "true"
    }

    /// A whole number from `min` to `max`, written without fraction and exponent.
    pub(crate) fn whole(&self, id: Id, min: i64, max: i64) -> i64 {
        let text = self.text(self.source(id));
        match text.parse() {
            Ok(number) if (min..=max).contains(&number) && self.kind(id) == Kind::Number => number,
            _ => {
                self.refuse(id, &["expected a whole number from ", &decimal(min), " to ", &decimal(max)]);
                min
            }
        }
    }

    pub(crate) fn number(&self, id: Id) -> f64 {
        let id = self.expect(id, Kind::Number, "a number");
        if id == NOTHING {
            return 0.0;
        }
        let number = crate::number::parse(self.text(self.source(id)));
        if !number.is_finite() {
            self.refuse(id, &["the number is too large"]);
        }
        number
    }
}

fn fault(offset: usize, message: String) -> Box<Fault> {
    Box::new(Fault { path: String::new(), offset, message, unsupported: None })
}

/// A text as JSON writes it.
pub(crate) fn quoted(text: &str) -> String {
    let mut json = String::with_capacity(text.len() + 2);
    json.push('"');
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        if !matches!(byte, b'"' | b'\\' | 0..=0x1f) {
            continue;
        }
        json.push_str(&text[plain..at]);
        plain = at + 1;
        match byte {
            b'"' | b'\\' => json.extend(['\\', char::from(byte)]),
            _ => {
                json.push_str("\\u00");
                json.extend([byte >> 4, byte & 15].map(|digit| char::from_digit(digit.into(), 16).unwrap_or_default()));
            }
        }
    }
    json.push_str(&text[plain..]);
    json.push('"');
    json
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

/// Where something is at fault, it goes to the end of the document, where nothing more can be read.
struct Parser<'a> {
    document: Document<'a>,
    offset: usize,
    depth: u32,
}

impl Parser<'_> {
    fn rest(&self) -> &str {
        self.document.text.get(self.offset..).unwrap_or_default()
    }

    /// The byte at hand; 0, which stands nowhere in JSON, at the end.
    fn byte(&self) -> u8 {
        self.document.text.as_bytes().get(self.offset).copied().unwrap_or_default()
    }

    fn refuse(&mut self, message: &[&str]) {
        if !self.document.is_at_fault() {
            self.document.set_fault(fault(self.offset, message.concat()));
        }
        self.offset = self.document.text.len();
    }

    fn unexpected(&mut self, wanted: &str) {
        match self.rest().chars().next() {
            None => self.refuse(&["expected ", wanted, ", but the document ends here"]),
            Some(found) => self.refuse(&["expected ", wanted, ", found `", found.encode_utf8(&mut [0; 4]), "`"]),
        }
    }

    fn white_space(&mut self) {
        while matches!(self.byte(), b' ' | b'\t' | b'\n' | b'\r') {
            self.offset += 1;
        }
    }

    /// Consumes `byte` if it comes next.
    fn eat(&mut self, byte: u8) -> bool {
        let found = self.byte() == byte;
        self.offset += usize::from(found);
        found
    }

    /// Consumes `byte` if it comes next, white space aside.
    fn next_is(&mut self, byte: u8) -> bool {
        self.white_space();
        self.eat(byte)
    }

    fn node(&mut self, kind: Kind) {
        let start = self.offset as u32;
        self.document.nodes.push(Node { kind, start, end: start, text: Span::default(), next: 0 });
    }

    fn value(&mut self) {
        self.white_space();
        let id = self.document.nodes.len();
        let byte = self.byte();
        let kind = match byte {
            b'{' => Kind::Object,
            b'[' => Kind::Array,
            b'"' => Kind::String,
            b'-' | b'0'..=b'9' => Kind::Number,
            b't' | b'f' => Kind::Boolean,
            _ => Kind::Null,
        };
        self.node(kind);
        match byte {
            b'{' => self.container(b'}', true),
            b'[' => self.container(b']', false),
            b'"' => self.string(id),
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            _ => self.word("null"),
        }
        let next = self.document.nodes.len() as u32;
        let node = &mut self.document.nodes[id];
        (node.end, node.next) = (self.offset as u32, next);
        if kind == Kind::Object {
            self.each_once(id);
        }
    }

    fn word(&mut self, word: &str) {
        if self.rest().starts_with(word) {
            self.offset += word.len();
        } else {
            self.unexpected("a value");
        }
    }

    fn container(&mut self, close: u8, object: bool) {
        self.offset += 1;
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return self.refuse(&["nested deeper than 128"]);
        }
        let mut first = true;
        while !self.next_is(close) {
            if !first && !self.eat(b',') {
                return self.unexpected(if object { "`,` or `}`" } else { "`,` or `]`" });
            }
            first = false;
            if object {
                self.white_space();
                if self.byte() != b'"' {
                    return self.unexpected("a member's name");
                }
                self.value();
                if !self.next_is(b':') {
                    return self.unexpected("`:`");
                }
            }
            self.value();
        }
        self.depth -= 1;
    }

    /// Makes sure that the object that was just read has no two members of one name.
    fn each_once(&mut self, object: usize) {
        if self.document.is_at_fault() {
            return;
        }
        let document = &self.document;
        let names = document.children(Id(object as u32)).step_by(2);
        let names = names.filter(|&name| document.kind(name) == Kind::String).map(|name| document.node(name).text);
        let mut names: Vec<&str> = names.map(|name| document.text(name)).collect();
        // Few are compared each with each, most of them by length alone. Many are sorted, not hashed: whoever writes a context
        // chooses its names, and could have them all collide.
        let twice = if names.len() <= FEW {
            (1..names.len())
                .find(|&at| names[..at].iter().any(|name| name.len() == names[at].len() && *name == names[at]))
        } else {
            names.sort_unstable();
            (1..names.len()).find(|&at| names[at - 1] == names[at])
        };
        if let Some(at) = twice {
            let start = document.nodes[object].start as usize;
            document.set_fault(fault(start, ["`", names[at], "` stands twice in one object"].concat()));
            self.offset = document.text.len();
        }
    }

    fn number(&mut self) {
        self.eat(b'-');
        if !self.eat(b'0') {
            self.digits();
        }
        if self.eat(b'.') {
            self.digits();
        }
        if self.eat(b'e') || self.eat(b'E') {
            let _ = self.eat(b'+') || self.eat(b'-');
            self.digits();
        }
    }

    fn digits(&mut self) {
        let start = self.offset;
        while self.byte().is_ascii_digit() {
            self.offset += 1;
        }
        if start == self.offset {
            self.unexpected("a digit");
        }
    }

    fn string(&mut self, id: usize) {
        self.offset += 1;
        let start = self.offset;
        let text = self.document.text;
        let unescaped = self.document.unescaped.len();
        let mut plain = start;
        loop {
            let rest = text.as_bytes().get(self.offset..).unwrap_or_default();
            self.offset += rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f)).unwrap_or(rest.len());
            match self.byte() {
                b'"' => break,
                b'\\' => {
                    self.document.unescaped.push_str(&text[plain..self.offset]);
                    match self.escape() {
                        Some(character) => self.document.unescaped.push(character),
                        None => self.document.nodes[id].kind = Kind::IllFormed,
                    }
                    plain = self.offset;
                }
                0..=0x1f if self.offset < text.len() => {
                    return self.refuse(&["a control character in a string; write it as an escape"]);
                }
                _ => return self.unexpected("the end of the string"),
            }
        }
        let (start, length) = if plain == start {
            (start, self.offset - start)
        } else {
            self.document.unescaped.push_str(&text[plain..self.offset]);
            (text.len() + unescaped, self.document.unescaped.len() - unescaped)
        };
        self.document.nodes[id].text = Span { start: start as u32, length: length as u32 };
        self.offset += 1;
    }

    /// Undoes the escape at hand; `None` for half of a surrogate pair.
    fn escape(&mut self) -> Option<char> {
        self.offset += 1;
        let character = match self.byte() {
            c @ (b'"' | b'\\' | b'/') => c as char,
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                self.offset += 1;
                let unit = self.hex();
                if (0xd800..0xdc00).contains(&unit) && self.rest().starts_with("\\u") {
                    let after = self.offset;
                    self.offset += 2;
                    let low = self.hex();
                    if (0xdc00..0xe000).contains(&low) {
                        return char::from_u32(0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00));
                    }
                    if !self.document.is_at_fault() {
                        self.offset = after;
                    }
                }
                return char::from_u32(unit);
            }
            _ => {
                self.unexpected("an escape");
                return None;
            }
        };
        self.offset += 1;
        Some(character)
    }

    fn hex(&mut self) -> u32 {
        let mut unit = 0;
        for _ in 0..4 {
            let Some(digit) = (self.byte() as char).to_digit(16) else {
                self.unexpected("four hexadecimal digits");
                return 0;
            };
            unit = unit * 16 + digit;
            self.offset += 1;
        }
        unit
    }
}
