//! Names to numbers, so that evaluating compares numbers and never names.

use super::model::Span;
use xxhash_rust::xxh3::xxh3_64;

/// What spans refer to: a document, followed by the strings that stand in it with escapes.
#[derive(Clone, Copy)]
pub(crate) struct Texts<'t> {
    pub document: &'t str,
    pub unescaped: &'t str,
}

impl<'t> Texts<'t> {
    /// Both in one.
    #[inline]
    pub(crate) fn whole(text: &'t str) -> Self {
        Texts { document: text, unescaped: "" }
    }

    #[inline]
    pub(crate) fn get(self, span: Span) -> &'t str {
        let (text, start) = self.place(span);
        text.get(start..start + span.length as usize).unwrap_or_default()
    }

    #[inline]
    pub(crate) fn bytes(self, span: Span) -> &'t [u8] {
        let (text, start) = self.place(span);
        text.as_bytes().get(start..start + span.length as usize).unwrap_or_default()
    }

    #[inline]
    fn place(self, span: Span) -> (&'t str, usize) {
        let start = span.start as usize;
        match start.checked_sub(self.document.len()) {
            None => (self.document, start),
            Some(start) => (self.unescaped, start),
        }
    }
}

/// Whether two texts are the same. Most have few bytes, and to call `memcmp` takes longer than to compare them.
#[inline]
#[cfg_attr(flagstone_download, optimize(speed))]
pub(crate) fn same(one: &[u8], two: &[u8]) -> bool {
    match one.len() {
        length if length != two.len() => false,
        8..=16 => one.first_chunk::<8>() == two.first_chunk() && one.last_chunk::<8>() == two.last_chunk(),
        4..8 => one.first_chunk::<4>() == two.first_chunk() && one.last_chunk::<4>() == two.last_chunk(),
        ..4 => one.iter().eq(two),
        _ => one == two,
    }
}

const EMPTY: u32 = u32::MAX;

/// An open-addressing index over strings that stand elsewhere. It exists beside `HashMap` because it stores four bytes a
/// slot, borrows nothing, and reuses the hash that the engine has anyway.
#[derive(Default)]
pub(crate) struct Names {
    slots: Vec<u32>,
    pub(crate) spans: Vec<Span>,
}

impl Names {
    pub(crate) fn with_capacity(names: usize) -> Self {
        let slots = if names == 0 { 0 } else { (2 * names).next_power_of_two().max(8) };
        Names { slots: vec![EMPTY; slots], spans: Vec::with_capacity(names) }
    }

    pub(crate) fn len(&self) -> u32 {
        self.spans.len() as u32
    }

    /// The number of `name`.
    #[inline]
    pub(crate) fn find(&self, name: &str, texts: Texts<'_>) -> Option<u32> {
        if self.slots.is_empty() {
            return None;
        }
        match self.slots[self.slot(name, texts)] {
            EMPTY => None,
            number => Some(number),
        }
    }

    /// Adds a name, which must not be there yet, and returns its number.
    pub(crate) fn add(&mut self, span: Span, texts: Texts<'_>) -> u32 {
        // At most half full, so that a probe is short.
        if (self.spans.len() + 1) * 2 > self.slots.len() {
            self.slots = vec![EMPTY; (self.slots.len() * 2).max(8)];
            for number in 0..self.spans.len() {
                let slot = self.slot(texts.get(self.spans[number]), texts);
                self.slots[slot] = number as u32;
            }
        }
        let number = self.len();
        let slot = self.slot(texts.get(span), texts);
        self.slots[slot] = number;
        self.spans.push(span);
        number
    }

    /// Where `name` stands, or the empty slot where it would.
    #[inline]
    fn slot(&self, name: &str, texts: Texts<'_>) -> usize {
        let mask = self.slots.len() - 1;
        let mut slot = xxh3_64(name.as_bytes()) as usize & mask;
        while self.slots[slot] != EMPTY
            && !same(texts.get(self.spans[self.slots[slot] as usize]).as_bytes(), name.as_bytes())
        {
            slot = (slot + 1) & mask;
        }
        slot
    }
}
