//! From the member `compiled` to a snapshot.

use super::{FORMAT, MEMBER};
use crate::Timestamp;
use crate::evaluate::network::Network;
#[cfg(feature = "regex")]
use crate::evaluate::pattern::MAX_INSTRUCTIONS;
use crate::evaluate::version::Version;
use crate::snapshot::base64url;
use crate::snapshot::load::{ALL, Audience, Snapshot, Tables};
use crate::snapshot::model::*;
use crate::snapshot::names::Texts;
use crate::snapshot::read_condition::MAX_CONDITION_DEPTH;
use xxhash_rust::xxh3::xxh3_64;

impl Snapshot {
    /// Reads what was compiled from a document, if that is its last member, is of a format that this engine knows, and was compiled
    /// from this very document; else gives the document back. Variants' values are left to whoever asks. Without what runs
    /// regular expressions, flags that have them are errors.
    pub(crate) fn from_completed(payload: String, lacks_patterns: bool) -> Result<Self, String> {
        match read(&payload, lacks_patterns) {
            Some((mut snapshot, pool)) => {
                snapshot.document_length = payload.len();
                let mut text = payload;
                text.push_str(&pool);
                snapshot.text = text.into_boxed_str();
                #[cfg(not(target_arch = "wasm32"))]
                let snapshot = snapshot.settled();
                Ok(snapshot)
            }
            None => Err(payload),
        }
    }
}

/// The operator of regular expressions.
const PATTERNS: &str = "matches";

/// The snapshot without its text, and what follows the document in that.
fn read(payload: &str, lacks_patterns: bool) -> Option<(Snapshot, String)> {
    let rest = payload.as_bytes().strip_suffix(b"\"}}")?;
    let bytes = base64url::decode(rest.rsplit(|byte| *byte == b'"').next()?)?;
    let mut reader = Reader {
        payload,
        bytes: &bytes,
        document: 0,
        end: 0,
        pool: String::new(),
        lacking: None,
        segments: 0,
        depth: 0,
        #[cfg(feature = "regex")]
        programs: Vec::new(),
        is_at_fault: false,
        tables: Tables::default(),
    };
    if reader.byte() != FORMAT {
        return None;
    }
    let hash = u64::from_le_bytes(reader.array());
    reader.document = reader.number();
    let (document, member) = payload.split_at_checked(reader.document as usize)?;
    if !member.starts_with(MEMBER) || xxh3_64(document.as_bytes()) != hash {
        return None;
    }
    reader.pool = reader.inline();
    if lacks_patterns {
        let start = (payload.len() + reader.pool.len()) as u32;
        reader.lacking = Some(Span { start, length: PATTERNS.len() as u32 });
        reader.pool.push_str(PATTERNS);
    }
    let snapshot = reader.snapshot();
    (!reader.is_at_fault && reader.bytes.is_empty()).then_some((snapshot, reader.pool))
}

/// Reads a stream. Past its end, and where it is not as it should be, it reads zeros, and remembers that: code without a way out
/// at every step is half the size.
struct Reader<'p> {
    payload: &'p str,
    /// What is left of the stream.
    bytes: &'p [u8],
    /// How long the document is without the member.
    document: u32,
    /// Where the text read last ends, as the stream counts.
    end: u32,
    pool: String,
    /// What flags with regular expressions lack here.
    lacking: Option<Span>,
    /// How many segments there are.
    segments: u32,
    /// In how many conditions the one at hand lies.
    depth: u32,
    #[cfg(feature = "regex")]
    programs: Vec<Slice>,
    is_at_fault: bool,
    tables: Tables,
}

impl Reader<'_> {
    fn snapshot(&mut self) -> Snapshot {
        let environment = self.span();
        let audience = if self.flag() { Audience::Server } else { Audience::Client };
        let version = self.long();
        let created = self.instant();
        let expires = self.optional(Self::instant);
        let hash_salt = self.span();
        self.each(|reader| {
            let path = reader.span();
            reader.tables.attributes.spans.push(path);
        });
        self.segments = self.number();
        self.each(Self::program);
        self.times(self.segments, |reader| {
            let segment = reader.segment();
            reader.tables.segments.push(segment);
        });
        self.each(|reader| {
            let (name, salt, by) = (reader.span(), reader.span(), reader.attribute());
            reader.tables.layers.push(Layer { name, source: Span::default(), salt, by });
        });
        self.each(|reader| {
            let (name, salt, by) = (reader.span(), reader.span(), reader.attribute());
            let percent = reader.number();
            reader.tables.holdouts.push(Holdout { name, source: Span::default(), salt, by, percent });
        });
        let flags = self.number();
        self.times(flags, |reader| {
            let flag = reader.flag_record(flags);
            reader.tables.flags.push(flag);
        });
        Snapshot {
            text: Box::default(),
            document_length: 0,
            environment,
            audience,
            version,
            created,
            expires,
            hash_salt,
            tables: std::mem::take(&mut self.tables),
            #[cfg(feature = "ed25519")]
            pinned: Default::default(),
        }
    }
}

/// What records are made of. Not inlined, in code that runs once a snapshot.
impl<'p> Reader<'p> {
    fn take(&mut self, length: usize) -> &'p [u8] {
        match self.bytes.split_at_checked(length) {
            Some((taken, rest)) => {
                self.bytes = rest;
                taken
            }
            None => {
                self.is_at_fault = true;
                &[]
            }
        }
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        self.take(N).try_into().unwrap_or([0; N])
    }

    #[inline(never)]
    fn byte(&mut self) -> u8 {
        self.array::<1>()[0]
    }

    #[inline(never)]
    fn flag(&mut self) -> bool {
        self.byte() != 0
    }

    #[inline(never)]
    fn long(&mut self) -> u64 {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte();
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        number
    }

    #[inline(never)]
    fn number(&mut self) -> u32 {
        self.long() as u32
    }

    #[inline(never)]
    fn signed(&mut self) -> i64 {
        let number = self.long();
        (number >> 1) as i64 ^ -((number & 1) as i64)
    }

    fn double(&mut self) -> f64 {
        f64::from_le_bytes(self.array())
    }

    fn instant(&mut self) -> Timestamp {
        Timestamp::from_millis(self.signed())
    }

    /// A number of something of which there are so many.
    #[inline(never)]
    fn place(&mut self, count: usize) -> u32 {
        let number = self.number();
        self.is_at_fault |= number as usize >= count;
        number
    }

    #[inline(never)]
    fn index(&mut self, count: usize) -> u16 {
        self.place(count) as u16
    }

    #[inline(never)]
    fn attribute(&mut self) -> AttributeId {
        self.index(self.tables.attributes.spans.len())
    }

    #[inline(never)]
    fn span(&mut self) -> Span {
        let start = self.end.wrapping_add(self.signed() as u32);
        let length = self.number();
        self.end = start.wrapping_add(length);
        // The pool follows all of the document.
        let start = match start.checked_sub(self.document) {
            Some(in_pool) => (self.payload.len() as u32).wrapping_add(in_pool),
            None => start,
        };
        Span { start, length }
    }

    #[inline(never)]
    fn inline(&mut self) -> String {
        let length = self.number() as usize;
        String::from_utf8(self.take(length).to_vec()).unwrap_or_default()
    }

    fn optional<T>(&mut self, read: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.flag().then(|| read(self))
    }

    #[inline(never)]
    fn times(&mut self, count: u32, mut read: impl FnMut(&mut Self)) {
        for _ in 0..count {
            if self.is_at_fault {
                break;
            }
            read(self);
        }
    }

    #[inline(never)]
    fn each(&mut self, read: impl FnMut(&mut Self)) {
        let count = self.number();
        self.times(count, read);
    }

    #[inline(never)]
    fn strings(&mut self) -> Slice {
        let start = self.tables.strings.len();
        self.each(|reader| {
            let string = reader.span();
            reader.tables.strings.push(string);
        });
        Slice::from(start, &self.tables.strings)
    }

    /// They stand in the document, in base64url.
    #[inline(never)]
    fn hashes(&mut self) -> Slice {
        let start = self.tables.hashes.len();
        let span = self.span();
        let texts = Texts { document: self.payload, unescaped: &self.pool };
        let bytes = base64url::decode(texts.bytes(span)).unwrap_or_else(|| vec![0]);
        let (hashes, rest) = bytes.as_chunks();
        self.is_at_fault |= !rest.is_empty();
        self.tables.hashes.extend(hashes.iter().map(|&hash| u64::from_be_bytes(hash)));
        Slice::from(start, &self.tables.hashes)
    }

    #[inline(never)]
    fn keys(&mut self) -> Keys {
        if self.flag() { Keys::Hashed(self.hashes()) } else { Keys::Plain(self.strings()) }
    }

    #[inline(never)]
    fn people(&mut self) -> People {
        let keys = self.keys();
        let start = self.tables.segment_ids.len();
        self.each(|reader| {
            let segment = reader.index(reader.segments as usize);
            reader.tables.segment_ids.push(segment);
        });
        People { keys, segments: Slice::from(start, &self.tables.segment_ids) }
    }

    #[inline(never)]
    fn ranges(&mut self) -> Slice {
        let start = self.tables.position_ranges.len();
        self.each(|reader| {
            let range = PositionRange { from: reader.number(), to: reader.number() };
            reader.tables.position_ranges.push(range);
        });
        Slice::from(start, &self.tables.position_ranges)
    }
}

/// Segments and flags.
impl Reader<'_> {
    fn segment(&mut self) -> Segment {
        let nobody = Segment::nobody(self.span(), Span::default());
        let unsupported = self.optional(Self::span);
        if unsupported.is_some() {
            return Segment { unsupported, ..nobody };
        }
        Segment { by: self.attribute(), include: self.keys(), exclude: self.keys(), when: self.when(), ..nobody }
    }

    fn flag_record(&mut self, flags: u32) -> Flag {
        let key = self.span();
        let start = self.tables.variants.len();
        self.each(|reader| {
            let name = reader.span();
            reader.tables.variants.push(Variant { name, value: VariantValue::Json, json: Span::default() });
        });
        let variants = Slice::from(start, &self.tables.variants);
        let off = self.variant(variants);
        let salt = self.span();
        let gate = match self.byte() {
            0 => Gate::Open,
            1 => Gate::Disabled,
            _ => Gate::Killed(self.span()),
        };
        let mut flag = Flag::gated(key, variants, off, salt, gate);
        flag.unsupported = self.optional(Self::span);
        if flag.unsupported.is_some() {
            return flag;
        }
        if self.flag() {
            // Where there are no regular expressions.
            flag.unsupported = self.lacking;
        }
        flag.bucket_by = self.attribute();
        if self.flag() {
            flag.scheme = Scheme::Js31;
        }
        flag.screens = self.flag();
        if flag.screens {
            self.screens(&mut flag, flags);
        }
        let start = self.tables.rules.len();
        self.each(|reader| {
            let rule = Rule { id: Span::default(), when: reader.when(), serve: reader.serve(variants) };
            reader.tables.rules.push(rule);
        });
        flag.rules = Slice::from(start, &self.tables.rules);
        flag.default = self.serve(variants);
        flag
    }

    /// What comes before the rules.
    fn screens(&mut self, flag: &mut Flag, flags: u32) {
        let start = self.tables.prerequisites.len();
        self.each(|reader| {
            let flag = reader.place(flags as usize);
            let start = reader.tables.variant_ids.len();
            reader.each(|reader| {
                let variant = reader.number() as VariantId;
                reader.tables.variant_ids.push(variant);
            });
            let variants = Slice::from(start, &reader.tables.variant_ids);
            reader.tables.prerequisites.push(Prerequisite { flag, variants });
        });
        flag.prerequisites = Slice::from(start, &self.tables.prerequisites);
        flag.deny = self.people();
        flag.exclude = self.people();
        flag.excluded_positions = self.ranges();
        let start = self.tables.allows.len();
        self.each(|reader| {
            let allow = Allow { variant: reader.variant(flag.variants), people: reader.people() };
            reader.tables.allows.push(allow);
        });
        flag.allow = Slice::from(start, &self.tables.allows);
        let start = self.tables.holdout_ids.len();
        self.each(|reader| {
            let holdout = reader.index(reader.tables.holdouts.len());
            reader.tables.holdout_ids.push(holdout);
        });
        flag.holdouts = Slice::from(start, &self.tables.holdout_ids);
        flag.layer = self.optional(|reader| LayerRanges {
            layer: reader.index(reader.tables.layers.len()),
            ranges: reader.ranges(),
        });
    }

    #[inline(never)]
    fn variant(&mut self, variants: Slice) -> VariantId {
        self.index((variants.end - variants.start) as usize)
    }

    fn serve(&mut self, variants: Slice) -> Serve {
        let percent = match self.byte() {
            0 => return Serve::Everyone(self.share(variants)),
            1 => Percent::Fixed(self.number()),
            _ => Percent::Scheduled(self.schedule()),
        };
        Serve::Ramp(percent, self.share(variants))
    }

    fn share(&mut self, variants: Slice) -> Share {
        if !self.flag() {
            return Share::Variant(self.variant(variants));
        }
        let start = self.tables.bounds.len();
        self.each(|reader| {
            let bound = Bound { variant: reader.variant(variants), below: reader.number() };
            reader.tables.bounds.push(bound);
        });
        // So that every position has its part.
        self.is_at_fault |= self.tables.bounds[start..].last().is_none_or(|last| last.below != ALL);
        Share::Split(Slice::from(start, &self.tables.bounds))
    }

    fn schedule(&mut self) -> u32 {
        let (before, linear) = (self.number(), self.flag());
        let start = self.tables.points.len();
        self.each(|reader| {
            let point = Point { at: reader.signed(), percent: reader.number() };
            reader.tables.points.push(point);
        });
        let points = Slice::from(start, &self.tables.points);
        self.tables.schedules.push(Schedule { before, points, linear });
        self.tables.schedules.len() as u32 - 1
    }
}

/// Conditions.
impl Reader<'_> {
    /// What a rule or a segment asks for: its own, or that of one before it.
    #[inline(never)]
    fn when(&mut self) -> Option<u32> {
        match self.byte() {
            0 => None,
            1 => Some(self.condition()),
            _ => Some(self.place(self.tables.conditions.len())),
        }
    }

    /// A condition, and where it went.
    fn condition(&mut self) -> u32 {
        let at = self.tables.conditions.len();
        let text = self.span();
        self.tables.conditions.push(Condition::All { end: 0 });
        self.tables.condition_texts.push(text);
        let kind = self.byte();
        let condition = match kind {
            0..=2 => {
                let parts = self.number();
                self.is_at_fault |= (kind == 2 && parts != 1) || self.depth == MAX_CONDITION_DEPTH;
                self.depth += 1;
                self.times(parts, |reader| {
                    reader.condition();
                });
                self.depth -= 1;
                let end = self.tables.conditions.len() as u32;
                match kind {
                    0 => Condition::All { end },
                    1 => Condition::Any { end },
                    _ => Condition::Not { end },
                }
            }
            3 => Condition::Segment(self.index(self.segments as usize)),
            _ => Condition::Test(self.attribute(), self.operator(kind)),
        };
        self.tables.conditions[at] = condition;
        at as u32
    }

    fn operator(&mut self, kind: u8) -> Operator {
        match kind {
            4 => Operator::In(self.operands()),
            5 => Operator::InCi(self.strings()),
            6 => Operator::InHashed(HashedOperands {
                hashes: self.hashes(),
                strings: self.flag(),
                numbers: self.flag(),
                booleans: self.flag(),
            }),
            7 => {
                let place = match self.byte() {
                    0 => Place::Anywhere,
                    1 => Place::Start,
                    _ => Place::End,
                };
                Operator::Text(TextTest { place, ignore_case: self.flag(), texts: self.strings() })
            }
            8 => self.patterns(),
            9 => Operator::Number(self.compare(), self.double()),
            10 => Operator::Date(self.compare(), self.signed()),
            11 => Operator::Version(self.compare(), self.some_versions().start),
            12 => Operator::VersionRange(VersionRange { ends: self.some_versions(), prereleases_of: self.versions() }),
            13 => Operator::IncludesAny(self.operands()),
            14 => Operator::IncludesAll(self.operands()),
            15 => {
                let start = self.tables.networks.len();
                self.each(|reader| {
                    let network = Network::new(u128::from_le_bytes(reader.array()), reader.byte());
                    reader.tables.networks.push(network);
                });
                Operator::Cidr(Slice::from(start, &self.tables.networks))
            }
            16 => Operator::Exists(self.flag()),
            _ => {
                self.is_at_fault = true;
                Operator::Exists(false)
            }
        }
    }

    #[inline(never)]
    fn operands(&mut self) -> Operands {
        let strings = self.strings();
        let start = self.tables.numbers.len();
        self.each(|reader| {
            let number = reader.double();
            reader.tables.numbers.push(number);
        });
        let numbers = Slice::from(start, &self.tables.numbers);
        Operands { strings, numbers, booleans: Booleans { yes: self.flag(), no: self.flag() } }
    }

    fn compare(&mut self) -> Compare {
        match self.byte() {
            0 => Compare::Less,
            1 => Compare::LessOrEqual,
            2 => Compare::Equal,
            3 => Compare::GreaterOrEqual,
            _ => Compare::Greater,
        }
    }

    fn some_versions(&mut self) -> Slice {
        let versions = self.versions();
        self.is_at_fault |= versions.is_empty();
        versions
    }

    #[inline(never)]
    fn versions(&mut self) -> Slice {
        let start = self.tables.versions.len();
        self.each(|reader| {
            let numbers = [reader.long(), reader.long(), reader.long()];
            let prerelease = reader.inline().into();
            reader.tables.versions.push(Version { numbers, prerelease });
        });
        Slice::from(start, &self.tables.versions)
    }
}

/// Regular expressions.
#[cfg(feature = "regex")]
impl Reader<'_> {
    fn patterns(&mut self) -> Operator {
        let start = self.tables.programs.len();
        self.each(|reader| {
            let number = reader.index(reader.programs.len());
            let program = reader.programs.get(usize::from(number)).copied().unwrap_or_default();
            reader.tables.programs.push(program);
        });
        Operator::Matches(Slice::from(start, &self.tables.programs))
    }

    fn program(&mut self) {
        let start = self.tables.instructions.len();
        self.each(|reader| {
            let instruction = match reader.number() {
                0 => Instruction::Go { unless: reader.number(), to: [reader.number() as u16, reader.number() as u16] },
                ranges => {
                    let to = reader.number() as u16;
                    let start = reader.tables.character_ranges.len();
                    reader.times(ranges, |reader| {
                        let first = reader.number();
                        let last = first.wrapping_add(reader.number());
                        reader.tables.character_ranges.push(CharacterRange { first, last });
                    });
                    Instruction::Read { ranges: Slice::from(start, &reader.tables.character_ranges), to }
                }
            };
            reader.tables.instructions.push(instruction);
        });
        let program = Slice::from(start, &self.tables.instructions);
        self.is_at_fault |= program.of(&self.tables.instructions).len() > MAX_INSTRUCTIONS;
        self.programs.push(program);
    }
}

/// Regular expressions are passed over; the flags that have them are errors.
#[cfg(not(feature = "regex"))]
impl Reader<'_> {
    fn patterns(&mut self) -> Operator {
        self.each(|reader| {
            reader.number();
        });
        Operator::Exists(false)
    }

    fn program(&mut self) {
        self.each(|reader| {
            let ranges = reader.number();
            reader.times(if ranges == 0 { 3 } else { ranges.saturating_mul(2).saturating_add(1) }, |reader| {
                reader.number();
            });
        });
    }
}
