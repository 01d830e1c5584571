//! Contexts as JavaScript hands them over: attributes by number.

use crate::evaluate::{Attribute, Attributes, List};
use crate::snapshot::load::Tables;
use crate::snapshot::model::AttributeId;
use crate::{Snapshot, Timestamp, Truth};
use std::cell::Cell;

/// An evaluation context in the module's memory.
///
/// JavaScript writes the values of attributes into [`Subject::buffer`], each `tag: u8, value`, little-endian, and where each
/// begins into [`Subject::places`]. They are read when they are asked for. `pkg-templates/src/encode.ts` is the other half.
///
/// | tag | value |
/// |---|---|
/// | 0 nothing (an element that matches nothing) | |
/// | 1 false, 2 true | |
/// | 3 number, 4 date | f64 |
/// | 5 string | length: u32, UTF-8 |
/// | 6 list | count: u32, elements as tag and value |
/// | 7 object | |
///
/// What is not written as agreed counts as missing.
#[derive(Default)]
pub(super) struct Subject {
    buffer: Vec<u8>,
    /// By attribute number: where in the buffer its value begins; 0, where none does, for a missing one.
    places: Vec<u32>,
    /// By condition: the place of the attribute that it tested last, and what came of it. A place keeps its value until JavaScript
    /// starts the buffer anew. Many contexts have a country or a plan in common with the one before.
    tests: Vec<Cell<(u32, Truth)>>,
}

/// No value begins there.
const NOWHERE: u32 = u32::MAX;

impl Subject {
    /// Makes room for what a snapshot asks for, all missing.
    pub(super) fn reset(&mut self, tables: &Tables) {
        self.places = vec![0; tables.attributes.spans.len()];
        self.tests = vec![Cell::new((NOWHERE, Truth::Unknown)); tables.conditions.len()];
    }

    /// From now on other values stand in the buffer.
    pub(super) fn forget(&mut self) {
        for test in &self.tests {
            test.set((NOWHERE, Truth::Unknown));
        }
    }

    /// Room for at least `bytes` bytes. Growing moves the buffer.
    pub(super) fn buffer(&mut self, bytes: usize) -> *mut u8 {
        if self.buffer.len() < bytes {
            self.buffer.resize(bytes, 0);
        }
        self.buffer.as_mut_ptr()
    }

    pub(super) fn places(&mut self) -> *mut u32 {
        self.places.as_mut_ptr()
    }
}

impl Attributes for Subject {
    #[inline]
    #[cfg_attr(flagstone_download, optimize(speed))]
    fn attribute(&self, _: &Snapshot, id: AttributeId) -> Attribute<'_> {
        match self.places.get(usize::from(id)) {
            None | Some(0) => Attribute::Missing,
            Some(&place) => Encoded { bytes: &self.buffer, at: place as usize }.value().unwrap_or(Attribute::Missing),
        }
    }

    #[inline]
    #[cfg_attr(flagstone_download, optimize(speed))]
    fn known(&self, condition: u32, id: AttributeId) -> Option<Truth> {
        let (at, truth) = self.tests.get(condition as usize)?.get();
        (at == *self.places.get(usize::from(id))?).then_some(truth)
    }

    #[inline]
    #[cfg_attr(flagstone_download, optimize(speed))]
    fn tested(&self, condition: u32, id: AttributeId, test: impl FnOnce() -> Truth) -> Truth {
        self.known(condition, id).unwrap_or_else(|| {
            let truth = test();
            if let (Some(known), Some(&place)) = (self.tests.get(condition as usize), self.places.get(usize::from(id)))
            {
                known.set((place, truth));
            }
            truth
        })
    }
}

/// Values from a place in the buffer on.
#[derive(Clone, Copy)]
pub(crate) struct Encoded<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Encoded<'b> {
    /// Whether one of the elements, whose count stands here, is as wanted.
    pub(crate) fn any(&mut self, wanted: &mut dyn FnMut(Attribute<'_>) -> bool) -> bool {
        let count = self.length().unwrap_or_default();
        (0..count).map_while(|_| self.value()).any(wanted)
    }

    #[cfg_attr(flagstone_download, optimize(speed))]
    fn value(&mut self) -> Option<Attribute<'b>> {
        let [tag] = self.take()?;
        Some(match tag {
            0 => Attribute::Missing,
            1 => Attribute::Boolean(false),
            2 => Attribute::Boolean(true),
            3 | 4 => match f64::from_le_bytes(self.take()?) {
                number if !number.is_finite() => Attribute::Missing,
                number if tag == 3 => Attribute::Number(number),
                millis => Attribute::Date(Timestamp::from_millis(millis.floor() as i64)),
            },
            5 => {
                let length = self.length()?;
                let start = self.at;
                self.at = start.checked_add(length)?;
                // SAFETY: JavaScript writes what its own encoder gave it, which is UTF-8, or ASCII.
                Attribute::String(unsafe { std::str::from_utf8_unchecked(self.bytes.get(start..self.at)?) })
            }
            6 => Attribute::List(List::Encoded(*self)),
            7 => Attribute::Object,
            _ => return None,
        })
    }

    #[cfg_attr(flagstone_download, optimize(speed))]
    fn length(&mut self) -> Option<usize> {
        self.take().map(|bytes| u32::from_le_bytes(bytes) as usize)
    }

    #[cfg_attr(flagstone_download, optimize(speed))]
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let taken = self.bytes.get(self.at..)?.first_chunk::<N>()?;
        self.at += N;
        Some(*taken)
    }
}
