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
    #[cfg(not(target_arch = "wasm32"))]
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

/// A word that tells most texts of the same length apart, and all that have at most eight bytes: of their ends, where texts that
/// are alike differ.
#[inline]
pub(crate) fn word_of(text: &[u8]) -> u64 {
    match (text.last_chunk(), text.first_chunk(), text.last_chunk()) {
        (Some(end), ..) => u64::from_le_bytes(*end),
        (None, Some(start), Some(end)) => {
            u64::from(u32::from_le_bytes(*start)) << 32 | u64::from(u32::from_le_bytes(*end))
        }
        _ => text.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}

/// Whether two texts of the same word are the same; the second is looked at only if it must be.
#[inline]
pub(crate) fn same_of_word<'t>(one: &[u8], length: usize, other: impl FnOnce() -> &'t [u8]) -> bool {
    one.len() == length && (length <= 8 || same(one, other()))
}

/// Of most names from a single multiplication.
#[inline]
fn hash_of(name: &[u8]) -> u64 {
    if name.len() > 16 || cfg!(target_arch = "wasm32") {
        return xxh3_64(name);
    }
    let first = name.first_chunk().map_or(0, |first| u64::from_le_bytes(*first));
    let odd = |word: u64| u128::from(word ^ 0x9e37_79b9_7f4a_7c15);
    let product = odd(word_of(name)) * odd(first.rotate_left(32) ^ name.len() as u64);
    (product >> 64) as u64 ^ product as u64
}

const EMPTY: Slot = Slot { hash: 0, number: u32::MAX };

/// An open-addressing index over strings that stand elsewhere. It exists beside `HashMap` because it stores four bytes a
/// slot, borrows nothing, and reuses the hash that the engine has anyway.
#[derive(Default)]
pub(crate) struct Names {
    slots: Vec<Slot>,
    pub(crate) spans: Vec<Span>,
}

#[derive(Clone, Copy)]
struct Slot {
    /// Half of the name's hash.
    hash: u32,
    number: u32,
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
    pub(crate) fn find(&self, name: &str, texts: Texts<'_>) -> Option<u32> {
        self.find_among(name, |span| texts.bytes(span))
    }

    /// The same, of names that are read so.
    #[cfg_attr(not(target_arch = "wasm32"), inline(always))]
    pub(crate) fn find_among<'t>(&self, name: &str, bytes: impl Fn(Span) -> &'t [u8]) -> Option<u32> {
        if self.slots.is_empty() {
            return None;
        }
        let number = self.slots[self.slot(name.as_bytes(), bytes).0].number;
        if number == EMPTY.number { None } else { Some(number) }
    }

    /// Adds a name, which must not be there yet, and returns its number.
    pub(crate) fn add(&mut self, span: Span, texts: Texts<'_>) -> u32 {
        // At most half full, so that a probe is short.
        if (self.spans.len() + 1) * 2 > self.slots.len() {
            self.slots = vec![EMPTY; (self.slots.len() * 2).max(8)];
            for number in 0..self.spans.len() {
                let (slot, hash) = self.slot(texts.bytes(self.spans[number]), |span| texts.bytes(span));
                self.slots[slot] = Slot { hash, number: number as u32 };
            }
        }
        let number = self.len();
        let (slot, hash) = self.slot(texts.bytes(span), |span| texts.bytes(span));
        self.slots[slot] = Slot { hash, number };
        self.spans.push(span);
        number
    }

    /// Where `name` stands, or the empty slot where it would; and what to keep of its hash.
    #[cfg_attr(not(target_arch = "wasm32"), inline(always))]
    fn slot<'t>(&self, name: &[u8], bytes: impl Fn(Span) -> &'t [u8]) -> (usize, u32) {
        let mask = self.slots.len() - 1;
        let whole = hash_of(name);
        let hash = (whole >> 32) as u32;
        let mut slot = whole as usize & mask;
        loop {
            let found = self.slots[slot];
            let is_empty = found.number == EMPTY.number;
            if is_empty || (found.hash == hash && same(bytes(self.spans[found.number as usize]), name)) {
                return (slot, hash);
            }
            slot = (slot + 1) & mask;
        }
    }
}
