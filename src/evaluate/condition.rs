//! What operators say of attributes, in three-valued logic (Kleene's strong logic of indeterminacy). The table in
//! `OPERATORS.md` beside this file says what every operator does with every type.

use super::context::{Attribute, List};
use super::network;
#[cfg(feature = "regex")]
use super::pattern;
use super::version::Version;
#[cfg(not(target_arch = "wasm32"))]
use super::{Attributes, version::release_word};
use crate::Timestamp;
use crate::snapshot::Snapshot;
use crate::snapshot::model::*;
use crate::snapshot::names::same;
#[cfg(not(target_arch = "wasm32"))]
use crate::snapshot::names::{same_of_word, word_of};
#[cfg(not(target_arch = "wasm32"))]
use crate::snapshot::prepared::{Check, FEW, TextCheck};
use std::cmp::Ordering;

/// Whether something holds; `Unknown` when an attribute is missing or of the wrong type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "camelCase"))]
pub enum Truth {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// The context does not say.
    Unknown,
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Self {
        if holds { Truth::True } else { Truth::False }
    }
}

impl std::ops::Not for Truth {
    type Output = Truth;

    fn not(self) -> Truth {
        match self {
            Truth::True => Truth::False,
            Truth::False => Truth::True,
            Truth::Unknown => Truth::Unknown,
        }
    }
}

impl Truth {
    /// The name in explanations in JavaScript.
    #[cfg(all(feature = "wasm-tools", target_arch = "wasm32"))]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Truth::True => "true",
            Truth::False => "false",
            Truth::Unknown => "unknown",
        }
    }

    /// Both hold.
    pub(crate) fn and(self, other: Truth) -> Truth {
        match (self, other) {
            (Truth::False, _) | (_, Truth::False) => Truth::False,
            (Truth::True, Truth::True) => Truth::True,
            _ => Truth::Unknown,
        }
    }

    /// At least one holds.
    pub(crate) fn or(self, other: Truth) -> Truth {
        !(!self).and(!other)
    }
}

/// Whose list a hash stands in.
#[derive(Clone, Copy)]
pub(crate) enum Owner {
    Flag(Span),
    Segment(Span),
}

/// What a hash was made of; the first byte after the owner.
#[derive(Clone, Copy)]
enum Tag {
    Key = b'k' as isize,
    String = b's' as isize,
    Number = b'n' as isize,
    Boolean = b'b' as isize,
}

impl Snapshot {
    /// How many rules at the start of the run do not match; and whether the next one does. What the checks at hand cannot say, ends
    /// the count.
    #[cfg(not(target_arch = "wasm32"))]
    #[inline(never)]
    pub(crate) fn pass_over(&self, rules: Slice, attributes: &impl Attributes) -> (usize, bool) {
        let checks = rules.of(&self.tables.prepared.checks);
        for (passed, check) in checks.iter().enumerate() {
            let holds = self.check(check, attributes);
            if holds != Some(false) {
                return (passed, holds == Some(true));
            }
        }
        (checks.len(), false)
    }

    /// Whether the test of a rule holds that [`test`](Self::test) would make, where it was prepared and there is a text that it
    /// understands.
    #[cfg(not(target_arch = "wasm32"))]
    #[inline(always)]
    fn check(&self, check: &Check, attributes: &impl Attributes) -> Option<bool> {
        if let TextCheck::None = check.test {
            return None;
        }
        let text = attributes.text(self, check)?;
        Some(match check.test {
            TextCheck::None => return None,
            TextCheck::Is(operand, word) => {
                let text = text.as_bytes();
                word_of(text) == word && same_of_word(text, operand.length as usize, || self.bytes(operand))
            }
            TextCheck::AmongFew(strings) => self.is_among_few(strings, text),
            TextCheck::EndsWith(end, word) => {
                let start = text.len().checked_sub(end.length as usize);
                start.map(|start| &text.as_bytes()[start..]).is_some_and(|text| {
                    word_of(text) == word && same_of_word(text, end.length as usize, || self.bytes(end))
                })
            }
            TextCheck::Release(compare, word) => compare.accepts(release_word(text.as_bytes())?.cmp(&word)),
        })
    }

    /// Whether `attribute` passes the test, where `owner` is the flag or segment that it stands in.
    #[cfg_attr(flagstone_download, optimize(speed))]
    pub(crate) fn test(&self, operator: &Operator, attribute: Attribute<'_>, owner: Owner) -> Truth {
        if let &Operator::Exists(expected) = operator {
            return Truth::from(matches!(attribute, Attribute::Missing) != expected);
        }
        let tables = &self.tables;
        let holds = match (operator, attribute) {
            (&Operator::In(operands), _) => return self.is_one_of(operands, attribute),
            (&Operator::InHashed(operands), _) => return self.is_one_of_hashed(operands, attribute, owner),
            (&Operator::InCi(texts), Attribute::String(text)) => texts
                .of(&tables.strings)
                .binary_search_by(|&span| compare_with_lowercase(self.text(span), text))
                .is_ok(),
            (&Operator::Text(test), Attribute::String(text)) => self.text_test(test, text),
            #[cfg(feature = "regex")]
            (&Operator::Matches(programs), Attribute::String(text)) => {
                let mut programs = programs.of(&tables.programs).iter();
                programs
                    .any(|program| pattern::is_match(program.of(&tables.instructions), &tables.character_ranges, text))
            }
            (&Operator::Number(compare, operand), Attribute::Number(number)) => {
                number.partial_cmp(&operand).is_some_and(|ordering| compare.accepts(ordering))
            }
            (&Operator::Date(compare, operand), _) => match instant(attribute) {
                Some(instant) => compare.accepts(instant.as_millis().cmp(&operand)),
                None => return Truth::Unknown,
            },
            (&Operator::Version(compare, id), Attribute::String(text)) => match Version::parse(text) {
                Some(version) => compare.accepts(version.cmp(&tables.versions[id as usize])),
                None => return Truth::Unknown,
            },
            (&Operator::VersionRange(range), Attribute::String(text)) => match Version::parse(text) {
                Some(version) => {
                    let mut ends = range.ends.of(&tables.versions).iter();
                    let prereleases_of = range.prereleases_of.of(&tables.versions);
                    ends.next().is_some_and(|from| version >= *from)
                        && ends.next().is_none_or(|below| version < *below)
                        && (version.prerelease.is_empty()
                            || prereleases_of.iter().any(|release| release.numbers == version.numbers))
                }
                None => return Truth::Unknown,
            },
            (&Operator::IncludesAny(operands), Attribute::List(elements)) => {
                elements.any(&mut |element| self.is_one_of(operands, element) == Truth::True)
            }
            (&Operator::IncludesAll(operands), Attribute::List(elements)) => self.includes_all(operands, elements),
            (&Operator::Cidr(networks), Attribute::String(text)) => match network::parse_address(text) {
                Some(address) => networks.of(&tables.networks).iter().any(|network| network.contains(address)),
                None => return Truth::Unknown,
            },
            _ => return Truth::Unknown,
        };
        Truth::from(holds)
    }

    #[cfg_attr(flagstone_download, optimize(speed))]
    fn is_one_of(&self, operands: Operands, attribute: Attribute<'_>) -> Truth {
        match attribute {
            Attribute::String(text) if !operands.strings.is_empty() => {
                Truth::from(self.has_string(operands.strings, text))
            }
            Attribute::Number(number) if !operands.numbers.is_empty() => {
                // Adding zero makes −0, which sorts before 0, equal to it; the operands are so already.
                let number = number + 0.0;
                let numbers = operands.numbers.of(&self.tables.numbers);
                Truth::from(numbers.binary_search_by(|operand| operand.total_cmp(&number)).is_ok())
            }
            Attribute::Boolean(true) if operands.booleans.yes || operands.booleans.no => {
                Truth::from(operands.booleans.yes)
            }
            Attribute::Boolean(false) if operands.booleans.yes || operands.booleans.no => {
                Truth::from(operands.booleans.no)
            }
            // An empty list holds nothing, whatever is looked for.
            Attribute::String(_) | Attribute::Number(_) | Attribute::Boolean(_) if operands.is_empty() => Truth::False,
            _ => Truth::Unknown,
        }
    }

    /// Whether the sorted run holds `text`.
    #[cfg_attr(flagstone_download, optimize(speed))]
    pub(crate) fn has_string(&self, strings: Slice, text: &str) -> bool {
        #[cfg(not(target_arch = "wasm32"))]
        if strings.end - strings.start <= FEW {
            return self.is_among_few(strings, text);
        }
        let strings = strings.of(&self.tables.strings);
        // Most differ in length already.
        #[cfg(target_arch = "wasm32")]
        if strings.len() <= 8 {
            return strings.iter().any(|&span| same(self.text(span).as_bytes(), text.as_bytes()));
        }
        strings.binary_search_by(|&span| self.text(span).cmp(text)).is_ok()
    }

    /// The same for a few, which are looked through faster than halved.
    #[cfg(not(target_arch = "wasm32"))]
    #[inline(always)]
    fn is_among_few(&self, strings: Slice, text: &str) -> bool {
        let text = text.as_bytes();
        let word = word_of(text);
        for (at, &other) in strings.of(&self.tables.prepared.words).iter().enumerate() {
            if other == word {
                let span = self.tables.strings[strings.start as usize + at];
                if same_of_word(text, span.length as usize, || self.bytes(span)) {
                    return true;
                }
            }
        }
        false
    }

    #[cfg_attr(target_arch = "wasm32", inline(never))]
    fn is_one_of_hashed(&self, operands: HashedOperands, attribute: Attribute<'_>, owner: Owner) -> Truth {
        let empty = operands.hashes.is_empty();
        let hash = match attribute {
            Attribute::String(_) | Attribute::Number(_) | Attribute::Boolean(_) if empty => return Truth::False,
            Attribute::String(text) if operands.strings => self.hash(owner, Tag::String, text.as_bytes()),
            Attribute::Number(number) if operands.numbers => {
                self.hash(owner, Tag::Number, &(number + 0.0).to_bits().to_be_bytes())
            }
            Attribute::Boolean(boolean) if operands.booleans => self.hash(owner, Tag::Boolean, &[u8::from(boolean)]),
            _ => return Truth::Unknown,
        };
        Truth::from(operands.hashes.of(&self.tables.hashes).binary_search(&hash).is_ok())
    }

    /// Whether a list of people holds `key`.
    pub(crate) fn has_key(&self, keys: Keys, key: &str, owner: Owner) -> bool {
        match keys {
            Keys::Plain(strings) => self.has_string(strings, key),
            Keys::Hashed(hashes) if hashes.is_empty() => false,
            Keys::Hashed(hashes) => {
                let hash = self.hash(owner, Tag::Key, key.as_bytes());
                hashes.of(&self.tables.hashes).binary_search(&hash).is_ok()
            }
        }
    }

    fn hash(&self, owner: Owner, tag: Tag, value: &[u8]) -> u64 {
        let (kind, name) = match owner {
            Owner::Flag(key) => ("flag:", key),
            Owner::Segment(name) => ("segment:", name),
        };
        let mut sha256 = hmac_sha256::Hash::new();
        for part in [self.text(self.hash_salt), "\0", kind, self.text(name), "\0"] {
            sha256.update(part);
        }
        sha256.update([tag as u8]);
        sha256.update(value);
        let [a, b, c, d, e, f, g, h, ..] = sha256.finalize();
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn text_test(&self, test: TextTest, text: &str) -> bool {
        if test.ignore_case && test.place.is_anywhere() {
            // Folded once, so that searching stays linear in the text; nearly every one fits on the stack.
            if let Some(folded) = [0; 256].get_mut(..text.len()) {
                folded.copy_from_slice(text.as_bytes());
                folded.make_ascii_lowercase();
                return self.any_text(test, std::str::from_utf8(folded).unwrap_or_default());
            }
            return self.any_text(test, &text.to_ascii_lowercase());
        }
        self.any_text(test, text)
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn any_text(&self, test: TextTest, text: &str) -> bool {
        test.texts.of(&self.tables.strings).iter().any(|&span| {
            let operand = self.bytes(span);
            let is_operand = |part: Option<&[u8]>| {
                part.is_some_and(|part| {
                    if test.ignore_case { part.eq_ignore_ascii_case(operand) } else { same(part, operand) }
                })
            };
            let bytes = text.as_bytes();
            match test.place {
                Place::Anywhere => text.contains(self.text(span)),
                Place::Start => is_operand(bytes.get(..operand.len())),
                Place::End => is_operand(bytes.len().checked_sub(operand.len()).and_then(|start| bytes.get(start..))),
            }
        })
    }

    /// Looks at every place: a download has no room for a search that is linear whatever it looks for. With an operand of 60 bytes that
    /// nearly matches everywhere, 16 KB of text take a million steps, and publishers choose the operands.
    #[cfg(target_arch = "wasm32")]
    #[cfg_attr(flagstone_download, optimize(speed))]
    fn text_test(&self, test: TextTest, text: &str) -> bool {
        test.texts.of(&self.tables.strings).iter().any(|&span| {
            let operand = self.bytes(span);
            let Some(last) = text.len().checked_sub(operand.len()) else { return false };
            let (first, last) = match test.place {
                Place::Anywhere => (0, last),
                Place::Start => (0, 0),
                Place::End => (last, last),
            };
            let is_same = |(byte, wanted): (&u8, &u8)| {
                byte == wanted || (test.ignore_case && byte.to_ascii_lowercase() == *wanted)
            };
            (first..=last).any(|start| text.as_bytes()[start..].iter().zip(operand).all(is_same))
        })
    }

    /// Linear in the context's list; how many operands there are is the publisher's doing.
    #[cfg_attr(target_arch = "wasm32", inline(never))]
    fn includes_all(&self, operands: Operands, elements: List<'_>) -> bool {
        let has = |operand: Attribute<'_>| {
            elements.any(&mut |element| match (element, operand) {
                (Attribute::String(a), Attribute::String(b)) => a == b,
                (Attribute::Number(a), Attribute::Number(b)) => a == b,
                (Attribute::Boolean(a), Attribute::Boolean(b)) => a == b,
                _ => false,
            })
        };
        operands.strings.of(&self.tables.strings).iter().all(|&text| has(Attribute::String(self.text(text))))
            && operands.numbers.of(&self.tables.numbers).iter().all(|&number| has(Attribute::Number(number)))
            && (!operands.booleans.yes || has(Attribute::Boolean(true)))
            && (!operands.booleans.no || has(Attribute::Boolean(false)))
    }
}

impl Operands {
    #[cfg_attr(flagstone_download, optimize(speed))]
    fn is_empty(&self) -> bool {
        self.strings.is_empty() && self.numbers.is_empty() && !self.booleans.yes && !self.booleans.no
    }
}

impl Compare {
    #[cfg_attr(flagstone_download, optimize(speed))]
    fn accepts(self, ordering: Ordering) -> bool {
        match self {
            Compare::Less => ordering.is_lt(),
            Compare::LessOrEqual => ordering.is_le(),
            Compare::Equal => ordering.is_eq(),
            Compare::GreaterOrEqual => ordering.is_ge(),
            Compare::Greater => ordering.is_gt(),
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl Place {
    fn is_anywhere(self) -> bool {
        matches!(self, Place::Anywhere)
    }
}

/// Orders a text in lower case against one that is folded on the way.
fn compare_with_lowercase(lower: &str, text: &str) -> Ordering {
    let pairs = lower.bytes().zip(text.bytes());
    let mut orders = pairs.map(|(lower, byte)| lower.cmp(&byte.to_ascii_lowercase()));
    orders.find(|order| order.is_ne()).unwrap_or_else(|| lower.len().cmp(&text.len()))
}

/// A date, an RFC 3339 string, or milliseconds since 1970 (fractions cut off towards the past).
fn instant(attribute: Attribute<'_>) -> Option<Timestamp> {
    match attribute {
        Attribute::Date(date) => Some(date),
        Attribute::String(text) => text.parse().ok(),
        Attribute::Number(millis) => Some(Timestamp::from_millis(millis.floor() as i64)),
        _ => None,
    }
}
