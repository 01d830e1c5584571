//! The compiled form: flat tables of small records that refer to one another by number.

/// A piece of the snapshot's text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub start: u32,
    pub length: u32,
}

/// A run of records in one of the tables.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Slice {
    pub start: u32,
    pub end: u32,
}

impl Slice {
    /// What was added to `table` since it had `start` records.
    pub(crate) fn from<T>(start: usize, table: &[T]) -> Self {
        Slice { start: start as u32, end: table.len() as u32 }
    }

    #[cfg_attr(flagstone_download, optimize(speed))]
    pub(crate) fn of<T>(self, table: &[T]) -> &[T] {
        &table[self.start as usize..self.end as usize]
    }

    #[cfg_attr(flagstone_download, optimize(speed))]
    pub(crate) fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// Numbers an attribute path of the snapshot; [`TARGETING_KEY`] is always there.
pub(crate) type AttributeId = u16;

/// The path `targetingKey`.
pub(crate) const TARGETING_KEY: AttributeId = 0;

/// Numbers a variant of a flag.
pub(crate) type VariantId = u16;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Flag {
    pub key: Span,
    /// All of it, as it stands in the document.
    pub source: Span,
    pub kind: FlagType,
    pub variants: Slice,
    pub off: VariantId,
    pub salt: Span,
    pub gate: Gate,
    /// The name that this engine lacks; the flag is then ERROR.
    pub unsupported: Option<Span>,
    pub bucket_by: AttributeId,
    pub scheme: Scheme,
    pub prerequisites: Slice,
    pub deny: People,
    pub exclude: People,
    pub excluded_positions: Slice,
    pub allow: Slice,
    pub holdouts: Slice,
    pub layer: Option<LayerRanges>,
    /// Whether any of these, from `prerequisites` on, has something to say before the rules.
    pub screens: bool,
    pub rules: Slice,
    pub default: Serve,
}

impl Flag {
    /// What is needed to kill, disable or pin a flag, which serves `off` by default.
    pub(crate) fn gated(key: Span, variants: Slice, off: VariantId, salt: Span, gate: Gate) -> Self {
        Flag {
            key,
            source: Span::default(),
            kind: FlagType::Json,
            variants,
            off,
            salt,
            gate,
            unsupported: None,
            bucket_by: TARGETING_KEY,
            scheme: Scheme::Xxh3,
            prerequisites: Slice::default(),
            deny: People::default(),
            exclude: People::default(),
            excluded_positions: Slice::default(),
            allow: Slice::default(),
            holdouts: Slice::default(),
            layer: None,
            screens: false,
            rules: Slice::default(),
            default: Serve::Everyone(Share::Variant(off)),
        }
    }
}

/// The type that all variants of a flag have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "definitions", derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema))]
#[cfg_attr(feature = "definitions", serde(rename_all = "camelCase"))]
pub enum FlagType {
    /// `true` or `false`
    Boolean,
    /// Text
    String,
    /// An IEEE 754 double
    Number,
    /// Any JSON value
    Json,
}

impl FlagType {
    /// The name in definitions, snapshots and JavaScript.
    pub fn name(self) -> &'static str {
        match self {
            FlagType::Boolean => "boolean",
            FlagType::String => "string",
            FlagType::Number => "number",
            FlagType::Json => "json",
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Gate {
    Open,
    Disabled,
    /// With what killed it: `all`, `tag:NAME` or `flag`.
    Killed(Span),
}

/// How a ramp finds a user's position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Xxh3,
    Js31,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Variant {
    pub name: Span,
    pub value: VariantValue,
    /// The value as it stands in the document.
    pub json: Span,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum VariantValue {
    Boolean(bool),
    String(Span),
    Number(f64),
    Json,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Prerequisite {
    pub flag: u32,
    /// Of that flag, in `variant_ids`.
    pub variants: Slice,
}

/// People by key and by segment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct People {
    pub keys: Keys,
    /// In `segment_ids`.
    pub segments: Slice,
}

impl People {
    #[cfg_attr(flagstone_download, optimize(speed))]
    pub(crate) fn is_empty(self) -> bool {
        self.keys.is_empty() && self.segments.is_empty()
    }
}

/// A sorted list of people's keys.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Keys {
    /// In `strings`.
    Plain(Slice),
    /// In `hashes`.
    Hashed(Slice),
}

impl Keys {
    #[cfg_attr(flagstone_download, optimize(speed))]
    pub(crate) fn is_empty(self) -> bool {
        let (Keys::Plain(slice) | Keys::Hashed(slice)) = self;
        slice.is_empty()
    }
}

impl Default for Keys {
    fn default() -> Self {
        Keys::Plain(Slice::default())
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Allow {
    pub variant: VariantId,
    pub people: People,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct LayerRanges {
    pub layer: u16,
    /// In `position_ranges`.
    pub ranges: Slice,
}

/// Positions from `from` up to but not including `to`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PositionRange {
    pub from: u32,
    pub to: u32,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    pub id: Span,
    /// A tree in `conditions`; `None` matches everyone.
    pub when: Option<u32>,
    pub serve: Serve,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Serve {
    /// To everyone.
    Everyone(Share),
    /// To those in.
    Ramp(Percent, Share),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Share {
    Variant(VariantId),
    /// In `bounds`.
    Split(Slice),
}

/// One part of a split: this variant, below this position.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    pub variant: VariantId,
    pub below: u32,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Percent {
    /// Thousandths of a percent.
    Fixed(u32),
    /// In `schedules`.
    Scheduled(u32),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    /// Thousandths of a percent before the first point.
    pub before: u32,
    /// In `points`, strictly rising in time.
    pub points: Slice,
    pub linear: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    /// Milliseconds since 1970.
    pub at: i64,
    /// Thousandths of a percent from then on.
    pub percent: u32,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub name: Span,
    /// All of it, as it stands in the document.
    pub source: Span,
    pub by: AttributeId,
    pub include: Keys,
    pub exclude: Keys,
    pub when: Option<u32>,
    /// The name that this engine lacks; so does every flag that uses the segment.
    pub unsupported: Option<Span>,
}

impl Segment {
    pub(crate) fn nobody(name: Span, source: Span) -> Self {
        let (include, exclude) = (Keys::default(), Keys::default());
        Segment { name, source, by: TARGETING_KEY, include, exclude, when: None, unsupported: None }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Layer {
    pub name: Span,
    /// All of it, as it stands in the document.
    pub source: Span,
    pub salt: Span,
    pub by: AttributeId,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Holdout {
    pub name: Span,
    /// All of it, as it stands in the document.
    pub source: Span,
    pub salt: Span,
    pub by: AttributeId,
    /// Thousandths of a percent.
    pub percent: u32,
}

/// A node of a condition's tree; the tree lies in one run, each node before its children.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Condition {
    /// Children up to `end`.
    All {
        end: u32,
    },
    /// Children up to `end`.
    Any {
        end: u32,
    },
    /// One child, which ends at `end`.
    Not {
        end: u32,
    },
    Segment(u16),
    Test(AttributeId, Operator),
}

impl Condition {
    /// Where the condition and its parts end, which begin at `at`.
    #[inline]
    #[cfg_attr(flagstone_download, optimize(speed))]
    pub(crate) fn end(self, at: u32) -> u32 {
        match self {
            Condition::All { end } | Condition::Any { end } | Condition::Not { end } => end,
            Condition::Segment(_) | Condition::Test(..) => at + 1,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Operator {
    /// `equals` and `in`
    In(Operands),
    /// `equalsCi` and `inCi`; the strings are in lower case.
    InCi(Slice),
    InHashed(HashedOperands),
    Text(TextTest),
    /// In `programs`.
    #[cfg(feature = "regex")]
    Matches(Slice),
    Number(Compare, f64),
    /// Milliseconds since 1970.
    Date(Compare, i64),
    /// In `versions`.
    Version(Compare, u32),
    VersionRange(VersionRange),
    IncludesAny(Operands),
    IncludesAll(Operands),
    /// In `networks`.
    Cidr(Slice),
    Exists(bool),
}

impl Operator {
    /// Whether it takes what runs regular expressions.
    pub(crate) fn is_pattern(self) -> bool {
        #[cfg(feature = "regex")]
        return matches!(self, Operator::Matches(_));
        #[cfg(not(feature = "regex"))]
        return false;
    }
}

/// A step of a regular expression's program. It leads to places in that program, of which the end is a match.
#[cfg(feature = "regex")]
#[derive(Clone, Copy, Debug)]
pub(crate) enum Instruction {
    /// Goes past a character of the ranges, which are in `character_ranges`.
    Read { ranges: Slice, to: u16 },
    /// Goes on without reading, unless between neighbours of which the bit is set.
    Go { unless: u32, to: [u16; 2] },
}

/// Code points, both ends among them.
#[cfg(feature = "regex")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct CharacterRange {
    pub first: u32,
    pub last: u32,
}

/// Versions in one stretch of their order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VersionRange {
    /// In `versions`: the first one inside and, unless there is no end, the first one beyond.
    pub ends: Slice,
    /// In `versions`: those whose pre-releases may be inside.
    pub prereleases_of: Slice,
}

/// Operands by type, each run sorted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Operands {
    /// In `strings`.
    pub strings: Slice,
    /// In `numbers`.
    pub numbers: Slice,
    pub booleans: Booleans,
}

/// Which of the two booleans are among the operands.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Booleans {
    pub yes: bool,
    pub no: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct HashedOperands {
    /// In `hashes`.
    pub hashes: Slice,
    pub strings: bool,
    pub numbers: bool,
    pub booleans: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct TextTest {
    pub place: Place,
    pub ignore_case: bool,
    /// In `strings`; in lower case where case is ignored.
    pub texts: Slice,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    Anywhere,
    Start,
    End,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Compare {
    Less,
    LessOrEqual,
    Equal,
    GreaterOrEqual,
    Greater,
}
