//! Contexts as JavaScript hands them over: encoded once, attributes by number.

use crate::evaluate::{Attribute, Attributes, List};
use crate::snapshot::model::AttributeId;
use crate::{Snapshot, Timestamp};

/// An evaluation context in the module's memory.
///
/// JavaScript writes into [`Subject::buffer`] a run of attributes, each `number: u16, tag: u8, value`, little-endian,
/// and has it decoded. `pkg-templates/src/encode.ts` is the other half.
///
/// | tag | value |
/// |---|---|
/// | 0 nothing (an element that matches nothing) | |
/// | 1 false, 2 true | |
/// | 3 number, 4 date | f64 |
/// | 5 string | length: u32, UTF-8 |
/// | 6 list | count: u32, elements as tag and value |
/// | 7 object | |
#[derive(Default)]
pub(super) struct Subject {
    buffer: Vec<u8>,
    /// By attribute number.
    slots: Vec<Slot>,
    /// The slots in use.
    used: Vec<AttributeId>,
}

#[derive(Default)]
enum Slot {
    #[default]
    Missing,
    Boolean(bool),
    Number(f64),
    Date(Timestamp),
    /// A range of the buffer that is UTF-8.
    String(usize, usize),
    List(Vec<Element>),
    Object,
}

/// An element of a list.
enum Element {
    Boolean(bool),
    Number(f64),
    String(Box<str>),
    /// Of a type that matches nothing.
    Other,
}

impl List for Vec<Element> {
    fn any(&self, wanted: &mut dyn FnMut(Attribute<'_>) -> bool) -> bool {
        self.iter().any(|element| {
            wanted(match element {
                Element::Boolean(boolean) => Attribute::Boolean(*boolean),
                Element::Number(number) => Attribute::Number(*number),
                Element::String(text) => Attribute::String(text),
                Element::Other => Attribute::Missing,
            })
        })
    }
}

impl Subject {
    /// Makes room for `attributes` of them.
    pub(super) fn reset(&mut self, attributes: usize) {
        self.used.clear();
        self.slots.clear();
        self.slots.resize_with(attributes, Slot::default);
    }

    /// Room for at least `bytes` bytes. Growing moves the buffer.
    pub(super) fn buffer(&mut self, bytes: usize) -> &mut [u8] {
        if self.buffer.len() < bytes {
            self.buffer.resize(bytes, 0);
        }
        &mut self.buffer
    }

    /// Decodes the attributes in the first `length` bytes of the buffer; false if they are not as agreed.
    pub(super) fn decode(&mut self, length: usize) -> bool {
        for id in self.used.drain(..) {
            self.slots[usize::from(id)] = Slot::Missing;
        }
        let Some(bytes) = self.buffer.get(..length) else { return false };
        let mut cursor = Cursor { bytes, at: 0 };
        while cursor.at < length {
            let Some((id, slot)) = cursor.number().and_then(|id| Some((id, cursor.slot()?))) else { return false };
            let Some(place) = self.slots.get_mut(usize::from(id)) else { return false };
            *place = slot;
            self.used.push(id);
        }
        true
    }
}

impl Attributes for Subject {
    #[inline]
    fn attribute(&self, _: &Snapshot, id: AttributeId) -> Attribute<'_> {
        match &self.slots[usize::from(id)] {
            Slot::Missing => Attribute::Missing,
            Slot::Boolean(boolean) => Attribute::Boolean(*boolean),
            Slot::Number(number) => Attribute::Number(*number),
            Slot::Date(date) => Attribute::Date(*date),
            // SAFETY: `decode` found this range of the buffer to be UTF-8, and the buffer changes only when JavaScript
            // writes the next context, which is then decoded before anything is evaluated.
            Slot::String(start, end) => {
                Attribute::String(unsafe { std::str::from_utf8_unchecked(&self.buffer[*start..*end]) })
            }
            Slot::List(elements) => Attribute::List(elements),
            Slot::Object => Attribute::Object,
        }
    }
}

struct Cursor<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl Cursor<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let taken = self.bytes.get(self.at..)?.first_chunk::<N>()?;
        self.at += N;
        Some(*taken)
    }

    fn number(&mut self) -> Option<AttributeId> {
        self.take().map(u16::from_le_bytes)
    }

    fn length(&mut self) -> Option<usize> {
        self.take().map(|bytes| u32::from_le_bytes(bytes) as usize)
    }

    fn slot(&mut self) -> Option<Slot> {
        let [tag] = self.take()?;
        Some(match tag {
            0 => Slot::Missing,
            1 => Slot::Boolean(false),
            2 => Slot::Boolean(true),
            3 | 4 => match f64::from_le_bytes(self.take()?) {
                number if !number.is_finite() => Slot::Missing,
                number if tag == 3 => Slot::Number(number),
                millis => Slot::Date(Timestamp::from_millis(millis.floor() as i64)),
            },
            5 => {
                let length = self.length()?;
                let end = self.at.checked_add(length)?;
                std::str::from_utf8(self.bytes.get(self.at..end)?).ok()?;
                let start = std::mem::replace(&mut self.at, end);
                Slot::String(start, end)
            }
            6 => {
                let count = self.length()?;
                let mut elements = Vec::new();
                for _ in 0..count {
                    elements.push(match self.slot()? {
                        Slot::Boolean(boolean) => Element::Boolean(boolean),
                        Slot::Number(number) => Element::Number(number),
                        Slot::String(start, end) => {
                            Element::String(std::str::from_utf8(self.bytes.get(start..end)?).ok()?.into())
                        }
                        _ => Element::Other,
                    });
                }
                Slot::List(elements)
            }
            7 => Slot::Object,
            _ => return None,
        })
    }
}
