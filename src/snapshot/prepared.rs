//! What spares evaluations work, worked out of the records once they are all there. A download has no room for it.

use super::load::{AttributePath, Tables};
use super::model::*;
use super::names::{Texts, word_of};
use crate::evaluate::bucketing::AFTER_SALT;

/// What a rule's condition comes to where it is a test that rules often have, and none if not.
#[derive(Clone, Copy)]
pub(crate) struct Check {
    /// The attribute's name, which stands at the top, and the word of it.
    pub name: Span,
    pub word: u64,
    pub test: TextCheck,
}

/// As many texts are looked through rather than halved.
pub(crate) const FEW: u32 = 8;

/// A test of a text.
#[derive(Clone, Copy)]
pub(crate) enum TextCheck {
    None,
    /// Is this one, with this word.
    Is(Span, u64),
    /// Is one of these, in `strings`; [`FEW`] at the most.
    AmongFew(Slice),
    /// Ends with this one, with this word.
    EndsWith(Span, u64),
    /// Compares with this version, a release in one word.
    Release(Compare, u64),
}

/// Beside the tables, with what evaluations would work out again and again.
#[derive(Default)]
pub(crate) struct Prepared {
    /// By attribute, its name and the word of that; none where its path leads into others.
    pub names: Vec<Option<(u64, Span)>>,
    /// By string, its word.
    pub words: Vec<u64>,
    /// By rule.
    pub checks: Vec<Check>,
    /// The salts of the flags, each with [`AFTER_SALT`] zeros after it.
    salts: Vec<u8>,
    /// By flag, where its salt begins there.
    salt_starts: Vec<u32>,
}

impl Prepared {
    pub(super) fn new(tables: &Tables, texts: Texts<'_>) -> Self {
        let name = |&span: &Span| {
            let path = texts.get(span);
            if AttributePath(path).is_name() { Some((word_of(path.as_bytes()), span)) } else { None }
        };
        let names: Vec<_> = tables.attributes.spans.iter().map(name).collect();
        let check = |rule: &Rule| {
            let none = Check { name: Span::default(), word: 0, test: TextCheck::None };
            let condition = rule.when.map(|when| tables.conditions[when as usize]);
            let Some(Condition::Test(attribute, operator)) = condition else { return none };
            let Some((word, name)) = names[usize::from(attribute)].filter(|_| attribute != TARGETING_KEY) else {
                return none;
            };
            let word_of = |span: Span| word_of(texts.bytes(span));
            let test = match operator {
                Operator::In(Operands { strings, .. }) => match *strings.of(&tables.strings) {
                    [one] => TextCheck::Is(one, word_of(one)),
                    [_, ..] if strings.end - strings.start <= FEW => TextCheck::AmongFew(strings),
                    _ => TextCheck::None,
                },
                Operator::Text(TextTest { place: Place::End, ignore_case: false, texts }) => {
                    match *texts.of(&tables.strings) {
                        [one] => TextCheck::EndsWith(one, word_of(one)),
                        _ => TextCheck::None,
                    }
                }
                Operator::Version(compare, id) => match tables.versions[id as usize].release_word() {
                    Some(word) => TextCheck::Release(compare, word),
                    None => TextCheck::None,
                },
                _ => TextCheck::None,
            };
            Check { name, word, test }
        };
        let checks = tables.rules.iter().map(check).collect();
        let words = tables.strings.iter().map(|&span| word_of(texts.bytes(span))).collect();
        let mut prepared = Prepared { names, words, checks, salts: Vec::new(), salt_starts: Vec::new() };
        for flag in &tables.flags {
            prepared.salt_starts.push(prepared.salts.len() as u32);
            prepared.salts.extend_from_slice(texts.bytes(flag.salt));
            prepared.salts.extend_from_slice(&[0; AFTER_SALT]);
        }
        prepared.salts.shrink_to_fit();
        prepared
    }

    /// A flag's salt and the zeros after it.
    #[inline]
    pub(crate) fn salt(&self, number: u32, flag: &Flag) -> &[u8] {
        let start = self.salt_starts[number as usize] as usize;
        &self.salts[start..start + flag.salt.length as usize + AFTER_SALT]
    }
}
