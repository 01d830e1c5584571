//! Names to numbers, so that evaluating compares numbers and never names.

use super::model::Span;
use xxhash_rust::xxh3::xxh3_64;

const EMPTY: u32 = u32::MAX;

/// An open-addressing index over strings that stand elsewhere. It exists beside `HashMap` because it stores four bytes a
/// slot, borrows nothing, and reuses the hash that the engine has anyway.
#[derive(Default)]
pub(crate) struct Names {
    slots: Vec<u32>,
    pub(crate) spans: Vec<Span>,
}

impl Names {
    pub(crate) fn len(&self) -> u32 {
        self.spans.len() as u32
    }

    /// The number of `name`, where `text` says what a span reads.
    #[inline]
    pub(crate) fn find<'t>(&self, name: &str, text: impl Fn(Span) -> &'t str) -> Option<u32> {
        if self.slots.is_empty() {
            return None;
        }
        match self.slots[self.slot(name, text)] {
            EMPTY => None,
            number => Some(number),
        }
    }

    /// Adds `name`, which must not be there yet, and returns its number.
    pub(crate) fn add<'t>(&mut self, name: &str, span: Span, text: impl Fn(Span) -> &'t str) -> u32 {
        // At most half full, so that a probe is short.
        if (self.spans.len() + 1) * 2 > self.slots.len() {
            self.slots = vec![EMPTY; (self.slots.len() * 2).max(8)];
            for number in 0..self.spans.len() {
                let slot = self.slot(text(self.spans[number]), &text);
                self.slots[slot] = number as u32;
            }
        }
        let number = self.len();
        let slot = self.slot(name, text);
        self.slots[slot] = number;
        self.spans.push(span);
        number
    }

    /// Where `name` stands, or the empty slot where it would.
    #[inline]
    fn slot<'t>(&self, name: &str, text: impl Fn(Span) -> &'t str) -> usize {
        let mask = self.slots.len() - 1;
        let mut slot = xxh3_64(name.as_bytes()) as usize & mask;
        while self.slots[slot] != EMPTY && text(self.spans[self.slots[slot] as usize]) != name {
            slot = (slot + 1) & mask;
        }
        slot
    }
}
