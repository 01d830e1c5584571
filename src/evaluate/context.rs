use super::condition::Truth;
use crate::Timestamp;
use crate::snapshot::json::{Document, Fault, Id, Kind};
use crate::snapshot::load::AttributePath;
use crate::snapshot::model::{AttributeId, TARGETING_KEY};
use crate::snapshot::names::{same_of_word, word_of};
#[cfg(not(target_arch = "wasm32"))]
use crate::snapshot::prepared::Check;
use std::fmt;

/// A value in an evaluation context.
///
/// Made with `From`, so that [`Context::with`] takes what you have at hand. A `Null` counts as missing, and so do a
/// number that is not finite and a string that is no Unicode text.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// Nothing: the attribute counts as missing.
    Null,
    /// `true` or `false`
    Boolean(bool),
    /// An IEEE 754 double, as JSON and JavaScript have it
    Number(f64),
    /// Text
    String(String),
    /// An instant
    Date(Timestamp),
    /// Several values
    List(Vec<Value>),
    /// Attributes by name, reached by a path like `account.plan`
    Object(Object),
}

/// Attributes by name, one level of a context.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object {
    /// Sorted by name.
    members: Vec<Member>,
}

#[derive(Clone, Debug, PartialEq)]
struct Member {
    /// Of the name: where others differ, it differs nearly always.
    word: u64,
    name: String,
    value: Value,
}

impl Member {
    fn new(name: String, value: Value) -> Self {
        Member { word: word_of(name.as_bytes()), name, value }
    }
}

/// More names than these are halved rather than looked through.
const MANY: usize = 16;

impl Object {
    fn find(&self, name: &[u8]) -> Result<usize, usize> {
        self.members.binary_search_by(|member| member.name.as_bytes().cmp(name))
    }

    fn get(&self, name: &str) -> Option<&Value> {
        let name = name.as_bytes();
        self.get_by_word(word_of(name), name.len(), || name)
    }

    /// The value of the name with this word and length.
    #[cfg_attr(not(target_arch = "wasm32"), inline(always))]
    fn get_by_word<'n>(&self, word: u64, length: usize, name: impl Fn() -> &'n [u8]) -> Option<&Value> {
        if self.members.len() > MANY {
            return self.find(name()).ok().map(|index| &self.members[index].value);
        }
        let is_it = |member: &&Member| member.word == word && same_of_word(member.name.as_bytes(), length, &name);
        self.members.iter().find(is_it).map(|member| &member.value)
    }

    fn set(&mut self, name: String, value: Value) {
        match self.find(name.as_bytes()) {
            Ok(index) => self.members[index].value = value,
            Err(index) => self.members.insert(index, Member::new(name, value)),
        }
    }

    fn remove(&mut self, name: &str) -> Option<Value> {
        self.find(name.as_bytes()).ok().map(|index| self.members.remove(index).value)
    }
}

/// Where contexts of other makes have the targeting key.
const TARGETING_KEY_NAME: &str = "targetingKey";

/// An evaluation context: whom a flag is evaluated for (OpenFeature's term).
///
/// It has a targeting key, which says who the user is, and attributes, which say what the user is like.
///
/// ```
/// use flagstone::{Context, Timestamp};
///
/// let context = Context::new("user-42")
///     .with("plan", "pro")
///     .with("age", 41)
///     .with("groups", vec!["beta", "staff"])
///     .with("signedUp", "2025-01-10T08:00:00Z".parse::<Timestamp>()?)
///     .with("account", Context::empty().with("id", 7));
///
/// // The same, from what a browser or an HTTP request sends (a date stays a string there, which date operators read).
/// let from_json = Context::from_json(r#"{"targetingKey": "user-42", "plan": "pro", "account": {"id": 7}}"#)?;
/// assert_eq!(from_json, Context::new("user-42").with("plan", "pro").with("account", Context::empty().with("id", 7)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Context {
    /// Apart from the attributes, for nearly every evaluation asks for it.
    targeting_key: Option<Value>,
    attributes: Object,
}

impl Context {
    /// A context for this targeting key: a string, or a whole number within ±(2^53 − 1), which is the same key as its
    /// decimal digits.
    pub fn new(targeting_key: impl Into<Value>) -> Self {
        Context { targeting_key: Some(targeting_key.into()), ..Context::empty() }
    }

    /// A context that says nothing: no targeting key, no attributes.
    pub fn empty() -> Self {
        Context::default()
    }

    /// Sets an attribute; setting it again replaces it. `targetingKey` is the targeting key.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        let (name, value) = (name.into(), value.into());
        match &*name {
            TARGETING_KEY_NAME => self.targeting_key = Some(value),
            _ => self.attributes.set(name, value),
        }
        self
    }

    /// Reads a context from a JSON object, the targeting key under `targetingKey`, as OFREP and JavaScript send it.
    ///
    /// # Errors
    /// Where the text is no JSON object, names an attribute twice, or is nested deeper than 128. A string that holds
    /// half of a surrogate pair is no error: JavaScript can send one, and it counts as missing, as a value or as a name.
    pub fn from_json(json: &str) -> Result<Self, ContextError> {
        let document = Document::parse_any(json).map_err(ContextError)?;
        let mut attributes = read_object(&document, document.root());
        document.check().map_err(ContextError)?;
        Ok(Context { targeting_key: attributes.remove(TARGETING_KEY_NAME), attributes })
    }

    /// What a path like `account.plan` leads to.
    pub fn get(&self, path: &str) -> Option<&Value> {
        let mut parts = AttributePath(path).parts();
        let mut value = self.top(&parts.next()?)?;
        for part in parts {
            let Value::Object(object) = value else { return None };
            value = object.get(&part)?;
        }
        Some(value)
    }

    fn top(&self, name: &str) -> Option<&Value> {
        match name {
            TARGETING_KEY_NAME => self.targeting_key.as_ref(),
            _ => self.attributes.get(name),
        }
    }
}

impl From<Context> for Value {
    fn from(Context { targeting_key, mut attributes }: Context) -> Self {
        if let Some(key) = targeting_key {
            attributes.set(TARGETING_KEY_NAME.to_owned(), key);
        }
        Value::Object(attributes)
    }
}

fn read_object(document: &Document<'_>, id: Id) -> Object {
    let members = document.members(id);
    let member = |(name, value)| Member::new(document.text(name).to_owned(), read_value(document, value));
    let mut members: Vec<Member> = members.map(member).collect();
    members.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    Object { members }
}

fn read_value(document: &Document<'_>, id: Id) -> Value {
    match document.kind(id) {
        Kind::Null | Kind::IllFormed | Kind::Nothing => Value::Null,
        Kind::Boolean => Value::Boolean(document.boolean(id)),
        // A number too large for a double is infinite, and so counts as missing.
        Kind::Number => Value::Number(crate::number::parse(document.text(document.source(id)))),
        Kind::String => Value::String(document.string(id).to_owned()),
        Kind::Array => Value::List(document.elements(id).map(|element| read_value(document, element)).collect()),
        Kind::Object => Value::Object(read_object(document, id)),
    }
}

/// A text that is no context: what is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContextError(Box<Fault>);

impl fmt::Display for ContextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the context is no JSON object of attributes: {}", self.0.text())
    }
}

impl std::error::Error for ContextError {}

/// A list as conditions see it.
#[derive(Clone, Copy)]
pub(crate) enum List<'a> {
    Values(&'a [Value]),
    #[cfg(all(feature = "wasm", target_arch = "wasm32"))]
    Encoded(crate::wasm::Encoded<'a>),
}

impl List<'_> {
    /// Whether one of the elements is as wanted.
    pub(crate) fn any(self, wanted: &mut dyn FnMut(Attribute<'_>) -> bool) -> bool {
        match self {
            List::Values(values) => values.iter().any(|element| wanted(element.into())),
            #[cfg(all(feature = "wasm", target_arch = "wasm32"))]
            List::Encoded(mut elements) => elements.any(wanted),
        }
    }
}

/// An attribute as conditions see it.
#[derive(Clone, Copy)]
pub(crate) enum Attribute<'a> {
    Missing,
    Boolean(bool),
    /// Always finite.
    Number(f64),
    String(&'a str),
    Date(Timestamp),
    List(List<'a>),
    Object,
}

impl<'a> From<&'a Value> for Attribute<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Null => Attribute::Missing,
            Value::Boolean(boolean) => Attribute::Boolean(*boolean),
            Value::Number(number) if number.is_finite() => Attribute::Number(*number),
            Value::Number(_) => Attribute::Missing,
            Value::String(text) => Attribute::String(text),
            Value::Date(date) => Attribute::Date(*date),
            Value::List(elements) => Attribute::List(List::Values(elements)),
            Value::Object(_) => Attribute::Object,
        }
    }
}

/// Where conditions and bucketing find attributes: by path in a [`Context`], by number in what JavaScript encoded.
pub(crate) trait Attributes {
    /// The text that a check looks at, where it is one.
    #[cfg(not(target_arch = "wasm32"))]
    fn text(&self, snapshot: &crate::Snapshot, check: &Check) -> Option<&str>;

    fn attribute(&self, snapshot: &crate::Snapshot, id: AttributeId) -> Attribute<'_>;

    /// What came of a condition's test of the attribute, if that is known from before.
    #[cfg(target_arch = "wasm32")]
    fn known(&self, _condition: u32, _id: AttributeId) -> Option<Truth> {
        None
    }

    /// What comes of a condition's test of the attribute, which may be known from before.
    #[inline(always)]
    fn tested(&self, _condition: u32, _id: AttributeId, test: impl FnOnce() -> Truth) -> Truth {
        test()
    }
}

impl Attributes for Context {
    #[cfg(not(target_arch = "wasm32"))]
    #[inline(always)]
    fn text(&self, snapshot: &crate::Snapshot, check: &Check) -> Option<&str> {
        let Check { name, word, .. } = *check;
        match self.attributes.get_by_word(word, name.length as usize, || snapshot.bytes(name)) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        }
    }

    #[inline(always)]
    fn attribute(&self, snapshot: &crate::Snapshot, id: AttributeId) -> Attribute<'_> {
        match &self.targeting_key {
            // Nearly always; the others cost a call.
            Some(Value::String(text)) if id == TARGETING_KEY => Attribute::String(text),
            _ => self.any_attribute(snapshot, id),
        }
    }
}

impl Context {
    #[cfg_attr(not(target_arch = "wasm32"), inline(never))]
    fn any_attribute(&self, snapshot: &crate::Snapshot, id: AttributeId) -> Attribute<'_> {
        let value = if id == TARGETING_KEY { self.targeting_key.as_ref() } else { self.by_path(snapshot, id) };
        value.map_or(Attribute::Missing, Attribute::from)
    }

    fn by_path(&self, snapshot: &crate::Snapshot, id: AttributeId) -> Option<&Value> {
        #[cfg(not(target_arch = "wasm32"))]
        if let Some((word, name)) = snapshot.tables.prepared.names[usize::from(id)] {
            return self.attributes.get_by_word(word, name.length as usize, || snapshot.bytes(name));
        }
        self.get(snapshot.attribute(id).0)
    }
}

/// The digits of a key that is a number.
pub(crate) type Digits = [u8; 17];

impl<'a> Attribute<'a> {
    /// What a user is bucketed by: text as it is, or a whole number's decimal digits, which are written into `digits`. `None` for
    /// everything that cannot be a key and so counts as missing.
    #[inline]
    #[cfg_attr(flagstone_download, optimize(speed))]
    pub(crate) fn key<'k>(self, digits: &'k mut Digits) -> Option<&'k str>
    where
        'a: 'k,
    {
        const MAX: f64 = ((1u64 << 53) - 1) as f64;
        match self {
            Attribute::String(text) => Some(text),
            Attribute::Number(number) if number.trunc() == number && number.abs() <= MAX => whole(number, digits),
            _ => None,
        }
    }
}

fn whole(number: f64, digits: &mut Digits) -> Option<&str> {
    let mut start = digits.len();
    let mut rest = number.abs() as u64;
    loop {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0.0 {
        start -= 1;
        digits[start] = b'-';
    }
    std::str::from_utf8(&digits[start..]).ok()
}

macro_rules! value_from {
    ($($from:ty => $variant:ident($convert:expr)),* $(,)?) => {$(
        impl From<$from> for Value {
            fn from(value: $from) -> Self {
                #[allow(clippy::redundant_closure_call)]
                Value::$variant($convert(value))
            }
        }
    )*};
}

value_from! {
    bool => Boolean(|value| value),
    f64 => Number(|value| value),
    f32 => Number(f64::from),
    i32 => Number(f64::from),
    u32 => Number(f64::from),
    // Past 2^53 a double cannot tell neighbours apart, and no such number is a key.
    i64 => Number(|value| value as f64),
    u64 => Number(|value| value as f64),
    &str => String(str::to_owned),
    String => String(|value| value),
    Timestamp => Date(|value| value),
}

impl<T: Into<Value>> From<Vec<T>> for Value {
    fn from(values: Vec<T>) -> Self {
        Value::List(values.into_iter().map(Into::into).collect())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, Into::into)
    }
}
