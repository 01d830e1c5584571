//! A strict JSON reader that pulls one value at a time (RFC 8259, RFC 7493's ban on duplicate members left to the
//! callers, who know their members).
//!
//! Everything signed passes through it, natively and in WebAssembly, so there is one answer to what a document says.
//! It exists beside `serde_json` because that costs a browser about 35 KB and cannot say that a string holds a lone
//! surrogate, which a context may and a snapshot may not.

use std::borrow::Cow;
use std::fmt;

/// The deepest nesting of arrays and objects that is read.
pub(crate) const MAX_DEPTH: u32 = 128;

/// What is wrong with a document, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JsonError {
    /// The members and elements around the fault, outermost first.
    pub path: Vec<String>,
    /// Bytes from the start of the document.
    pub offset: usize,
    pub message: String,
    /// A name this engine does not know, where that is all that is wrong.
    pub unsupported: Option<String>,
}

impl JsonError {
    /// Names the member or element that the fault lies in.
    pub(crate) fn within(mut self: Box<Self>, name: &str) -> Box<Self> {
        self.path.insert(0, name.to_owned());
        self
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path.join("."))?;
        }
        write!(f, "{} (at byte {})", self.message, self.offset)
    }
}

/// Boxed, for every step of reading hands it on and nearly none has one.
pub(crate) type Result<T> = std::result::Result<T, Box<JsonError>>;

/// The most members that an object with known members may have.
const MAX_MEMBERS: usize = 64;

/// The kind of the value that comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Object,
    Array,
    String,
    Number,
    Boolean,
    Null,
}

/// A string of the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Text<'a> {
    /// Its escapes, if it had any, undone.
    WellFormed(Cow<'a, str>),
    /// It holds half of a surrogate pair and so is no Unicode text.
    IllFormed,
}

/// The members of an object, or the elements of an array, that are still to come.
pub(crate) struct Rest {
    first: bool,
}

/// A place in the document to come back to.
#[derive(Clone, Copy)]
pub(crate) struct Mark {
    offset: usize,
    depth: u32,
}

/// What reads a member's value, given its name.
pub(crate) type ReadMember<'r, 'a> = &'r mut dyn FnMut(&mut Reader<'a>, &str) -> Result<()>;

fn fault(offset: usize, message: &str) -> Box<JsonError> {
    Box::new(JsonError { path: Vec::new(), offset, message: message.to_owned(), unsupported: None })
}

pub(crate) struct Reader<'a> {
    text: &'a str,
    offset: usize,
    depth: u32,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Reader { text, offset: 0, depth: 0 }
    }

    /// Reads bytes that should be UTF-8; a byte order mark is refused like anything else that is not JSON.
    pub(crate) fn from_bytes(bytes: &'a [u8]) -> Result<Self> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Reader::new(text)),
            Err(error) => Err(fault(error.valid_up_to(), "not UTF-8")),
        }
    }

    pub(crate) fn error<T>(&self, message: impl AsRef<str>) -> Result<T> {
        Err(fault(self.offset, message.as_ref()))
    }

    /// Where the next value starts, past white space.
    pub(crate) fn offset(&mut self) -> usize {
        self.white_space();
        self.offset
    }

    /// Remembers the place of the next value, for [`Reader::back_to`].
    pub(crate) fn mark(&mut self) -> Mark {
        Mark { offset: self.offset(), depth: self.depth }
    }

    /// The text from a place to here, where the reader has just read a value.
    pub(crate) fn since(&self, mark: Mark) -> &'a str {
        self.text.get(mark.offset..self.offset).unwrap_or_default()
    }

    /// Goes to a place remembered earlier.
    pub(crate) fn back_to(&mut self, mark: Mark) {
        self.offset = mark.offset;
        self.depth = mark.depth;
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.offset..).unwrap_or_default()
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.offset).copied()
    }

    fn white_space(&mut self) {
        while matches!(self.byte(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.offset += 1;
        }
    }

    fn expect(&mut self, byte: u8, what: &str) -> Result<()> {
        self.white_space();
        if self.byte() == Some(byte) {
            self.offset += 1;
            Ok(())
        } else {
            self.unexpected(what)
        }
    }

    fn unexpected<T>(&self, wanted: &str) -> Result<T> {
        match self.rest().chars().next() {
            None => self.error(["expected ", wanted, ", but the document ends here"].concat()),
            Some(found) => self.error(["expected ", wanted, ", found `", found.encode_utf8(&mut [0; 4]), "`"].concat()),
        }
    }

    /// Says what comes next without consuming it.
    pub(crate) fn peek(&mut self) -> Result<Kind> {
        self.white_space();
        Ok(match self.byte() {
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b'"') => Kind::String,
            Some(b'-' | b'0'..=b'9') => Kind::Number,
            Some(b't' | b'f') => Kind::Boolean,
            Some(b'n') => Kind::Null,
            _ => return self.unexpected("a value"),
        })
    }

    /// Opens an object; its members come from [`Reader::next_member`].
    pub(crate) fn object(&mut self) -> Result<Rest> {
        self.expect(b'{', "an object")?;
        self.enter()
    }

    /// Opens an array; [`Reader::next_element`] says whether another element follows.
    pub(crate) fn array(&mut self) -> Result<Rest> {
        self.expect(b'[', "an array")?;
        self.enter()
    }

    fn enter(&mut self) -> Result<Rest> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return self.error("nested deeper than 128");
        }
        Ok(Rest { first: true })
    }

    /// The next member's name, with the reader set before its value; `None` after the last.
    pub(crate) fn next_member(&mut self, rest: &mut Rest) -> Result<Option<Cow<'a, str>>> {
        if !self.next(rest, b'}', "`,` or `}`")? {
            return Ok(None);
        }
        let name = self.string()?;
        self.expect(b':', "`:`")?;
        Ok(Some(name))
    }

    /// Whether an element follows, with the reader set before it.
    pub(crate) fn next_element(&mut self, rest: &mut Rest) -> Result<bool> {
        self.next(rest, b']', "`,` or `]`")
    }

    fn next(&mut self, rest: &mut Rest, close: u8, wanted: &str) -> Result<bool> {
        self.white_space();
        if self.byte() == Some(close) {
            self.offset += 1;
            self.depth -= 1;
            return Ok(false);
        }
        if !rest.first {
            self.expect(b',', wanted)?;
        }
        rest.first = false;
        Ok(true)
    }

    /// Hands over the members of an object, of which none may occur twice; `read` consumes each value.
    pub(crate) fn members(&mut self, read: ReadMember<'_, 'a>) -> Result<()> {
        let mut names: Vec<Cow<'a, str>> = Vec::new();
        let mut rest = self.object()?;
        while let Some(name) = self.next_member(&mut rest)? {
            if names.contains(&name) {
                return self.error("the member stands here twice").map_err(|error: Box<JsonError>| error.within(&name));
            }
            if names.len() == MAX_MEMBERS {
                return self.error("more than 64 members");
            }
            read(self, &name).map_err(|error| error.within(&name))?;
            names.push(name);
        }
        Ok(())
    }

    /// Hands over the entries of an object that is a map; whether a name occurs twice, `read` has to see.
    pub(crate) fn entries(&mut self, read: &mut dyn FnMut(&mut Self, Cow<'a, str>) -> Result<()>) -> Result<()> {
        let mut rest = self.object()?;
        while let Some(name) = self.next_member(&mut rest)? {
            let place = name.clone();
            read(self, name).map_err(|error| error.within(&place))?;
        }
        Ok(())
    }

    /// Hands over the elements of an array.
    pub(crate) fn elements(&mut self, read: &mut dyn FnMut(&mut Self) -> Result<()>) -> Result<()> {
        let mut rest = self.array()?;
        let mut index = 0u32;
        while self.next_element(&mut rest)? {
            read(self).map_err(|error| error.within(&index.to_string()))?;
            index += 1;
        }
        Ok(())
    }

    /// A string that must be well formed.
    pub(crate) fn string(&mut self) -> Result<Cow<'a, str>> {
        let start = self.offset();
        match self.text()? {
            Text::WellFormed(text) => Ok(text),
            Text::IllFormed => {
                self.offset = start;
                self.error("the string holds half of a surrogate pair")
            }
        }
    }

    /// A string that may be ill formed.
    pub(crate) fn text(&mut self) -> Result<Text<'a>> {
        self.expect(b'"', "a string")?;
        let start = self.offset;
        loop {
            match self.byte() {
                Some(b'"') => {
                    let text = &self.text[start..self.offset];
                    self.offset += 1;
                    return Ok(Text::WellFormed(Cow::Borrowed(text)));
                }
                Some(b'\\') => return self.text_with_escapes(start),
                Some(0..=0x1f) => return self.error("a control character in a string; write it as an escape"),
                Some(_) => self.offset += 1,
                None => return self.unexpected("the end of the string"),
            }
        }
    }

    fn text_with_escapes(&mut self, start: usize) -> Result<Text<'a>> {
        let mut text = self.text[start..self.offset].to_owned();
        let mut well_formed = true;
        loop {
            let plain = self.offset;
            while !matches!(self.byte(), Some(b'"' | b'\\' | 0..=0x1f) | None) {
                self.offset += 1;
            }
            text.push_str(&self.text[plain..self.offset]);
            match self.byte() {
                Some(b'"') => {
                    self.offset += 1;
                    return Ok(if well_formed { Text::WellFormed(Cow::Owned(text)) } else { Text::IllFormed });
                }
                Some(b'\\') => match self.escape()? {
                    Some(c) => text.push(c),
                    None => well_formed = false,
                },
                Some(_) => return self.error("a control character in a string; write it as an escape"),
                None => return self.unexpected("the end of the string"),
            }
        }
    }

    /// Undoes the escape at the reader; `None` for half of a surrogate pair.
    fn escape(&mut self) -> Result<Option<char>> {
        self.offset += 1;
        let c = match self.byte() {
            Some(c @ (b'"' | b'\\' | b'/')) => c as char,
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.offset += 1;
                let unit = self.hex()?;
                if !(0xd800..0xdc00).contains(&unit) {
                    return Ok(char::from_u32(unit));
                }
                let after = self.offset;
                if self.text.as_bytes()[after..].starts_with(b"\\u") {
                    self.offset += 2;
                    let low = self.hex()?;
                    if (0xdc00..0xe000).contains(&low) {
                        return Ok(char::from_u32(0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00)));
                    }
                    self.offset = after;
                }
                return Ok(None);
            }
            _ => return self.unexpected("an escape"),
        };
        self.offset += 1;
        Ok(Some(c))
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

    /// A number's text, of JSON's grammar.
    pub(crate) fn number(&mut self) -> Result<&'a str> {
        self.white_space();
        let start = self.offset;
        if self.byte() == Some(b'-') {
            self.offset += 1;
        }
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
            if matches!(self.byte(), Some(b'+' | b'-')) {
                self.offset += 1;
            }
            self.digits()?;
        }
        Ok(&self.text[start..self.offset])
    }

    fn digits(&mut self) -> Result<()> {
        if !matches!(self.byte(), Some(b'0'..=b'9')) {
            return self.unexpected("a number");
        }
        while matches!(self.byte(), Some(b'0'..=b'9')) {
            self.offset += 1;
        }
        Ok(())
    }

    /// A whole number from `min` to `max`, written without fraction and exponent.
    pub(crate) fn whole(&mut self, min: i64, max: i64) -> Result<i64> {
        let start = self.offset();
        let text = self.number()?;
        match text.parse() {
            Ok(number) if (min..=max).contains(&number) => Ok(number),
            _ => {
                self.offset = start;
                let (min, max) = (min.to_string(), max.to_string());
                self.error(["expected a whole number from ", &min, " to ", &max, ", found ", text].concat())
            }
        }
    }

    pub(crate) fn boolean(&mut self) -> Result<bool> {
        self.white_space();
        for (word, value) in [("true", true), ("false", false)] {
            if self.rest().starts_with(word) {
                self.offset += word.len();
                return Ok(value);
            }
        }
        self.unexpected("`true` or `false`")
    }

    pub(crate) fn null(&mut self) -> Result<()> {
        self.white_space();
        if self.rest().starts_with("null") {
            self.offset += 4;
            return Ok(());
        }
        self.unexpected("`null`")
    }

    /// Passes over a value of any kind, checking its grammar, and returns its text.
    pub(crate) fn skip(&mut self) -> Result<&'a str> {
        let start = self.offset();
        match self.peek()? {
            Kind::Object => {
                let mut rest = self.object()?;
                while self.next(&mut rest, b'}', "`,` or `}`")? {
                    self.text()?;
                    self.expect(b':', "`:`")?;
                    self.skip()?;
                }
            }
            Kind::Array => {
                let mut rest = self.array()?;
                while self.next_element(&mut rest)? {
                    self.skip()?;
                }
            }
            Kind::String => {
                self.text()?;
            }
            Kind::Number => {
                self.number()?;
            }
            Kind::Boolean => {
                self.boolean()?;
            }
            Kind::Null => self.null()?,
        }
        Ok(&self.text[start..self.offset])
    }

    /// Makes sure that nothing but white space is left.
    pub(crate) fn end(&mut self) -> Result<()> {
        self.white_space();
        if self.offset == self.text.len() { Ok(()) } else { self.unexpected("the end of the document") }
    }
}
