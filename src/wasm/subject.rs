//! Contexts as JavaScript hands them over: attributes by number.

use crate::evaluate::{Attribute, Attributes, List};
use crate::snapshot::model::AttributeId;
use crate::{Snapshot, Timestamp};

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
}

impl Subject {
    /// Makes room for `attributes` of them, all missing.
    pub(super) fn reset(&mut self, attributes: usize) {
        self.places = vec![0; attributes];
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
