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

use super::names::{Texts, same, word_of};
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Id(u32);

/// What an optional member is that is absent, and what is read in place of a value at fault: no elements, no members, no
/// text, not true.
pub(crate) const NOTHING: Id = Id(0);
const ROOT: Id = Id(1);

#[derive(Clone, Copy)]
struct Node {
    kind: Kind,
    /// Of a string, whether it has escapes.
    escaped: bool,
    /// Where the value's text begins and ends in the document.
    start: u32,
    end: u32,
    /// The node after this one and all in it.
    next: u32,
}

/// A document, read.
pub(crate) struct Document<'a> {
    text: &'a str,
    /// Texts that do not stand in the document as they are; their spans begin where the document ends.
    pub unescaped: String,
    /// Of strings with escapes, in order, what they say: spans of `unescaped`.
    escaped: Vec<(Id, Span)>,
    /// That of [`NOTHING`], then the root's and all in it.
    nodes: Vec<Node>,
    fault: Cell<Option<Box<Fault>>>,
}

impl<'a> Document<'a> {
    /// Reads a document in which every string is Unicode text.
    pub(crate) fn parse(text: &'a str) -> Result<Self> {
        let document = Document::parse_any(text)?;
        if let Some((id, _)) = document.escaped.iter().find(|(id, _)| document.kind(*id) == Kind::IllFormed) {
            document.refuse(*id, &["the string holds half of a surrogate pair"]);
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
        // As many as most documents of that length have, so that few are moved again.
        let mut nodes = Vec::with_capacity(2 + text.len() / 8);
        nodes.push(Node { kind: Kind::Nothing, escaped: false, start: 0, end: 0, next: 1 });
        let (unescaped, escaped, fault) = (String::new(), Vec::new(), Cell::default());
        let document = Document { text, unescaped, escaped, nodes, fault };
        let mut parser = Parser { document, depth: 0, words: Vec::new() };
        let end = parser.value(0);
        let end = parser.after_space(end);
        if end < text.len() {
            parser.unexpected(end, "the end of the document");
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

    /// What a string says, without its quotes and escapes.
    fn inside(&self, id: Id) -> Span {
        let Node { escaped, start, end, .. } = *self.node(id);
        if escaped && let Ok(at) = self.escaped.binary_search_by_key(&id, |&(id, _)| id) {
            return self.escaped[at].1;
        }
        Span { start: start + 1, length: (end - start).saturating_sub(2) }
    }

    pub(crate) fn texts(&self) -> Texts<'_> {
        Texts { document: self.text, unescaped: &self.unescaped }
    }

    pub(crate) fn text(&self, span: Span) -> &str {
        self.texts().get(span)
    }

    pub(crate) fn bytes(&self, span: Span) -> &[u8] {
        self.texts().bytes(span)
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
                (dot, self.text(self.inside(Id(child))), "")
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
    #[inline]
    fn expect(&self, id: Id, kind: Kind, what: &str) -> Id {
        if self.kind(id) == kind { id } else { self.unexpected(id, what) }
    }

    #[cold]
    fn unexpected(&self, id: Id, what: &str) -> Id {
        if id != NOTHING {
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

    /// The values of an object's members by name, [`NOTHING`] for those that are absent; `other` is shown the rest.
    #[inline]
    pub(crate) fn fields<const N: usize>(
        &self,
        object: Id,
        names: [&str; N],
        mut other: impl FnMut(Span, Id),
    ) -> [Id; N] {
        let mut values = [NOTHING; N];
        for (name, value) in self.members(object) {
            let found = self.bytes(name);
            match names.iter().position(|name| same(name.as_bytes(), found)) {
                Some(at) => values[at] = value,
                None => other(name, value),
            }
        }
        values
    }

    /// The value of an object's member, [`NOTHING`] where it is absent.
    pub(crate) fn get(&self, object: Id, name: &str) -> Id {
        let [value] = self.fields(object, [name], |_, _| {});
        value
    }

    /// Whether an object has a member.
    pub(crate) fn has(&self, object: Id, name: &str) -> bool {
        self.get(object, name) != NOTHING
    }

    /// The value of a member that must be there.
    pub(crate) fn need(&self, object: Id, name: &str) -> Id {
        self.needed(self.get(object, name), object, name)
    }

    /// The value of a member that was looked for and must be there.
    #[inline]
    pub(crate) fn needed(&self, value: Id, object: Id, name: &str) -> Id {
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
        match self.expect(id, Kind::String, "a string") {
            NOTHING => Span::default(),
            id => self.inside(id),
        }
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
        let Children { document, at, end } = &mut self.0;
        while at < end {
            let name = Id(*at);
            let value = Id(*at + 1);
            *at = document.node(value).next;
            // Where strings may be ill formed, a name that is no text names nothing.
            if document.kind(name) == Kind::String {
                return Some((document.inside(name), value));
            }
        }
        None
    }
}

/// Each step reads from a place on and says where it ended. Where something is at fault, that is the end of the document, where
/// nothing more can be read.
struct Parser<'a> {
    document: Document<'a>,
    depth: u32,
    /// Of the objects around, a word of each name so far.
    words: Vec<u64>,
}

impl Parser<'_> {
    /// The byte there; 0, which stands nowhere in JSON, at the end.
    fn byte(&self, at: usize) -> u8 {
        self.document.text.as_bytes().get(at).copied().unwrap_or_default()
    }

    #[cold]
    fn refuse(&mut self, at: usize, message: &[&str]) -> usize {
        if !self.document.is_at_fault() {
            self.document.set_fault(fault(at, message.concat()));
        }
        self.document.text.len()
    }

    #[cold]
    fn unexpected(&mut self, at: usize, wanted: &str) -> usize {
        match self.document.text.get(at..).and_then(|rest| rest.chars().next()) {
            None => self.refuse(at, &["expected ", wanted, ", but the document ends here"]),
            Some(found) => self.refuse(at, &["expected ", wanted, ", found `", found.encode_utf8(&mut [0; 4]), "`"]),
        }
    }

    fn after_space(&self, mut at: usize) -> usize {
        while matches!(self.byte(at), b' ' | b'\t' | b'\n' | b'\r') {
            at += 1;
        }
        at
    }

    /// Begins a node.
    fn begin(&mut self, at: usize, kind: Kind) -> usize {
        let (id, start) = (self.document.nodes.len(), at as u32);
        self.document.nodes.push(Node { kind, escaped: false, start, end: start, next: id as u32 + 1 });
        id
    }

    fn value(&mut self, at: usize) -> usize {
        let at = self.after_space(at);
        match self.byte(at) {
            b'"' => self.string(at),
            b'{' => self.object(at),
            b'[' => self.array(at),
            b'-' | b'0'..=b'9' => self.number(at),
            b't' => self.word(at, Kind::Boolean, "true"),
            b'f' => self.word(at, Kind::Boolean, "false"),
            _ => self.word(at, Kind::Null, "null"),
        }
    }

    fn word(&mut self, at: usize, kind: Kind, word: &str) -> usize {
        let end = at + word.len();
        if self.document.text.as_bytes().get(at..end) != Some(word.as_bytes()) {
            return self.unexpected(at, "a value");
        }
        let id = self.begin(at, kind);
        self.document.nodes[id].end = end as u32;
        end
    }

    /// Begins an array or an object.
    fn enter(&mut self, at: usize, kind: Kind) -> (usize, usize) {
        let id = self.begin(at, kind);
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return (id, self.refuse(at + 1, &["nested deeper than 128"]));
        }
        (id, self.after_space(at + 1))
    }

    /// Ends it.
    fn leave(&mut self, id: usize, end: usize) -> usize {
        self.depth -= 1;
        let next = self.document.nodes.len() as u32;
        let node = &mut self.document.nodes[id];
        (node.end, node.next) = (end as u32, next);
        end
    }

    fn array(&mut self, at: usize) -> usize {
        let (id, mut at) = self.enter(at, Kind::Array);
        if self.byte(at) == b']' {
            return self.leave(id, at + 1);
        }
        loop {
            at = self.value(at);
            at = self.after_space(at);
            match self.byte(at) {
                b']' => return self.leave(id, at + 1),
                b',' => at += 1,
                _ => return self.unexpected(at, "`,` or `]`"),
            }
        }
    }

    fn object(&mut self, at: usize) -> usize {
        let (id, mut at) = self.enter(at, Kind::Object);
        if self.byte(at) == b'}' {
            return self.leave(id, at + 1);
        }
        let (before, mut is_doubtful) = (self.words.len(), false);
        let end = loop {
            at = self.after_space(at);
            if self.byte(at) != b'"' {
                return self.unexpected(at, "a member's name");
            }
            let name = Id(self.document.nodes.len() as u32);
            at = self.string(at);
            at = self.after_space(at);
            if self.byte(at) != b':' {
                return self.unexpected(at, "`:`");
            }
            // A word of each name is compared with that of each before, as long as there are few.
            let word = word_of(self.document.bytes(self.document.inside(name)));
            let words = &self.words[before..];
            is_doubtful |= words.len() == FEW || words.contains(&word);
            if !is_doubtful {
                self.words.push(word);
            }
            at = self.value(at + 1);
            at = self.after_space(at);
            match self.byte(at) {
                b'}' => break self.leave(id, at + 1),
                b',' => at += 1,
                _ => return self.unexpected(at, "`,` or `}`"),
            }
        };
        self.words.truncate(before);
        if is_doubtful { self.each_once(id, end) } else { end }
    }

    /// Makes sure that the object that was just read has no two members of one name.
    #[cold]
    fn each_once(&mut self, object: usize, end: usize) -> usize {
        let document = &self.document;
        let mut names: Vec<&str> = document.members(Id(object as u32)).map(|(name, _)| document.text(name)).collect();
        // Sorted, not hashed: whoever writes a context chooses its names, and could have them all collide.
        names.sort_unstable();
        let Some(&[name, _]) = names.windows(2).filter_map(|pair| pair.first_chunk()).find(|[one, other]| one == other)
        else {
            return end;
        };
        let start = document.nodes[object].start as usize;
        document.set_fault(fault(start, ["`", name, "` stands twice in one object"].concat()));
        document.text.len()
    }

    fn number(&mut self, start: usize) -> usize {
        let id = self.begin(start, Kind::Number);
        let mut at = start + usize::from(self.byte(start) == b'-');
        at = if self.byte(at) == b'0' { at + 1 } else { self.digits(at) };
        if self.byte(at) == b'.' {
            at = self.digits(at + 1);
        }
        if matches!(self.byte(at), b'e' | b'E') {
            at += 1;
            at = self.digits(at + usize::from(matches!(self.byte(at), b'+' | b'-')));
        }
        self.document.nodes[id].end = at as u32;
        at
    }

    fn digits(&mut self, start: usize) -> usize {
        let mut at = start;
        while self.byte(at).is_ascii_digit() {
            at += 1;
        }
        if at == start { self.unexpected(at, "a digit") } else { at }
    }

    fn string(&mut self, start: usize) -> usize {
        let id = self.begin(start, Kind::String);
        let mut at = plain(self.document.text.as_bytes(), start + 1);
        if self.byte(at) != b'"' {
            at = self.escaped_string(id, start + 1, at);
        }
        self.document.nodes[id].end = at as u32 + 1;
        at + 1
    }

    /// The rest of a string from `at`, where something does not stand as it is; its closing quote.
    #[cold]
    fn escaped_string(&mut self, id: usize, mut start: usize, mut at: usize) -> usize {
        let text = self.document.text;
        let unescaped = self.document.unescaped.len();
        loop {
            match self.byte(at) {
                b'"' => break,
                b'\\' => {
                    self.document.unescaped.push_str(&text[start..at]);
                    let (character, after) = self.escape(at + 1);
                    match character {
                        Some(character) => self.document.unescaped.push(character),
                        None => self.document.nodes[id].kind = Kind::IllFormed,
                    }
                    (start, at) = (after, plain(text.as_bytes(), after));
                }
                _ if at < text.len() => {
                    return self.refuse(at, &["a control character in a string; write it as an escape"]);
                }
                _ => return self.unexpected(at, "the end of the string"),
            }
        }
        self.document.unescaped.push_str(&text[start..at]);
        let length = (self.document.unescaped.len() - unescaped) as u32;
        self.document.escaped.push((Id(id as u32), Span { start: (text.len() + unescaped) as u32, length }));
        self.document.nodes[id].escaped = true;
        at
    }

    /// Undoes the escape whose backslash was just read; no character for half of a surrogate pair.
    fn escape(&mut self, at: usize) -> (Option<char>, usize) {
        let character = match self.byte(at) {
            c @ (b'"' | b'\\' | b'/') => c as char,
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let (unit, at) = self.hex(at + 1);
                if (0xd800..0xdc00).contains(&unit) && self.byte(at) == b'\\' && self.byte(at + 1) == b'u' {
                    let (low, after) = self.hex(at + 2);
                    if (0xdc00..0xe000).contains(&low) {
                        return (char::from_u32(0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00)), after);
                    }
                    if self.document.is_at_fault() {
                        return (None, after);
                    }
                }
                return (char::from_u32(unit), at);
            }
            _ => return (None, self.unexpected(at, "an escape")),
        };
        (Some(character), at + 1)
    }

    fn hex(&mut self, start: usize) -> (u32, usize) {
        let mut unit = 0;
        for at in start..start + 4 {
            let Some(digit) = (self.byte(at) as char).to_digit(16) else {
                return (0, self.unexpected(at, "four hexadecimal digits"));
            };
            unit = unit * 16 + digit;
        }
        (unit, start + 4)
    }
}

/// Where from `at` on the first quote, backslash or control character is.
#[inline]
fn plain(bytes: &[u8], mut at: usize) -> usize {
    const EACH: u64 = u64::from_ne_bytes([1; 8]);
    while let Some(word) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        let word = u64::from_le_bytes(*word);
        // Where bytes of the word are below `least`, the highest bit of the lowest such byte is set, and none below it.
        let below = |word: u64, least: u8| word.wrapping_sub(EACH * u64::from(least)) & !word & (EACH << 7);
        // With one bit turned round, a quote comes right after the control characters.
        let found = below(word ^ (EACH * 2), 0x21) | below(word ^ (EACH * u64::from(b'\\')), 1);
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f)).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_runs_end_at_the_first_byte_that_is_not() {
        for length in 0..40 {
            let text = vec![b'\x7f'; length];
            assert_eq!(plain(&text, 0), length);
            for at in 0..length {
                for (byte, is_plain) in
                    [(b'"', false), (b'\\', false), (0, false), (0x1f, false), (0x20, true), (b'#', true), (0xff, true)]
                {
                    let mut text = text.clone();
                    text[at] = byte;
                    assert_eq!(plain(&text, 0), if is_plain { length } else { at }, "{byte} at {at} of {length}");
                    assert_eq!(plain(&text, at + 1), length);
                }
            }
        }
    }

    #[test]
    fn no_name_stands_twice_however_many_and_how_much_alike() {
        let alike = |count: usize| (0..count).map(|index| format!("{index:03}-with-the-same-end"));
        let apart = |count: usize| (0..count).map(|index| index.to_string());
        for count in [1, 2, FEW, FEW + 1, 40] {
            for names in [alike(count).collect::<Vec<_>>(), apart(count).collect()] {
                let object = |names: &[String]| {
                    let members: Vec<_> = names.iter().map(|name| format!("{}:{{\"0\":0}}", quoted(name))).collect();
                    format!("{{{}}}", members.join(","))
                };
                assert!(Document::parse(&object(&names)).is_ok());
                for name in &names {
                    let twice = object(&[&*names, std::slice::from_ref(name)].concat());
                    let message = Document::parse(&twice).err().map(|fault| fault.message);
                    assert_eq!(message, Some(format!("`{name}` stands twice in one object")));
                }
            }
        }
    }
}
