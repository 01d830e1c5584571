//! The compiled form as one thing: a snapshot, ready to decide.

use super::json::Fault;
use super::model::*;
use super::names::Names;
#[cfg(not(target_arch = "wasm32"))]
use super::names::Texts;
#[cfg(not(target_arch = "wasm32"))]
use super::prepared::Prepared;
use crate::Timestamp;
use crate::evaluate::network::Network;
use crate::evaluate::version::Version;
use std::borrow::Cow;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// A percent or a position in thousandths of a percent: everything.
pub(crate) const ALL: u32 = 100_000;

/// Why a document is no snapshot: what is wrong, and where.
///
/// ```
/// use flagstone::Snapshot;
///
/// let error = Snapshot::from_payload(r#"{"schema": 2}"#).unwrap_err();
/// assert_eq!(error.to_string(), "schema: expected 1, found 2; a newer Flagstone wrote this snapshot (at byte 11)");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotError(Box<Fault>);

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl SnapshotError {
    #[cfg_attr(flagstone_download, optimize(speed))]
    pub(crate) fn text(&self) -> String {
        self.0.text()
    }
}

impl std::error::Error for SnapshotError {}

/// Whom a snapshot is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Back ends: every flag, lists in the clear.
    Server,
    /// Browsers and devices: flags marked for clients, people's ids hashed.
    Client,
}

impl Audience {
    /// The name in snapshots and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Audience::Server => "server",
            Audience::Client => "client",
        }
    }
}

impl fmt::Display for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Audience {
    type Err = String;

    fn from_str(name: &str) -> std::result::Result<Self, String> {
        match name {
            "server" => Ok(Audience::Server),
            "client" => Ok(Audience::Client),
            other => Err(["expected `server` or `client`, found `", other, "`"].concat()),
        }
    }
}

/// A snapshot, compiled and ready to decide; it never changes and can be shared between threads.
///
/// Snapshots from outside come through [`Engine::load`](crate::Engine::load), which checks who signed them.
/// [`Snapshot::from_payload`] is for documents that are trusted already: tests, tools, a payload verified elsewhere.
pub struct Snapshot {
    /// The document, then the strings that stand in it with escapes.
    pub(crate) text: Box<str>,
    pub(crate) document_length: usize,
    pub(crate) environment: Span,
    pub(crate) audience: Audience,
    pub(crate) version: u64,
    pub(crate) created: Timestamp,
    pub(crate) expires: Option<Timestamp>,
    pub(crate) hash_salt: Span,
    pub(crate) tables: Tables,
    #[cfg(feature = "ed25519")]
    pub(crate) pinned: crate::variables::Pinned,
}

/// The records that a snapshot consists of.
#[derive(Default)]
pub(crate) struct Tables {
    pub attributes: Names,
    pub flag_keys: Names,
    pub flags: Vec<Flag>,
    pub variants: Vec<Variant>,
    pub variant_ids: Vec<VariantId>,
    pub prerequisites: Vec<Prerequisite>,
    pub allows: Vec<Allow>,
    pub rules: Vec<Rule>,
    pub bounds: Vec<Bound>,
    pub schedules: Vec<Schedule>,
    pub points: Vec<Point>,
    pub position_ranges: Vec<PositionRange>,
    pub segment_ids: Vec<u16>,
    pub holdout_ids: Vec<u16>,
    pub segments: Vec<Segment>,
    pub layers: Vec<Layer>,
    pub holdouts: Vec<Holdout>,
    pub conditions: Vec<Condition>,
    /// Each condition as it stands in the document, for explanations.
    pub condition_texts: Vec<Span>,
    pub strings: Vec<Span>,
    pub numbers: Vec<f64>,
    pub hashes: Vec<u64>,
    /// Where the hashes from that place on stand in the document.
    #[cfg(feature = "compiler")]
    pub hash_texts: Vec<(u32, Span)>,
    pub versions: Vec<Version<'static>>,
    pub networks: Vec<Network>,
    /// In `instructions`, those of each regular expression wherever one is named.
    #[cfg(feature = "regex")]
    pub programs: Vec<Slice>,
    #[cfg(feature = "regex")]
    pub instructions: Vec<Instruction>,
    #[cfg(feature = "regex")]
    pub character_ranges: Vec<CharacterRange>,
    pub identity: Identity,
    #[cfg(not(target_arch = "wasm32"))]
    pub prepared: Prepared,
}

/// A number, not 0, that no other snapshot of this process has.
pub(crate) struct Identity(pub u64);

impl Default for Identity {
    fn default() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Identity(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl Tables {
    /// Gives back what the largest tables were given to grow.
    fn shrink_to_fit(&mut self) {
        self.flags.shrink_to_fit();
        self.variants.shrink_to_fit();
        self.rules.shrink_to_fit();
        self.bounds.shrink_to_fit();
        self.conditions.shrink_to_fit();
        self.condition_texts.shrink_to_fit();
        self.strings.shrink_to_fit();
        self.hashes.shrink_to_fit();
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("environment", &self.environment())
            .field("audience", &self.audience)
            .field("version", &self.version)
            .field("flags", &self.tables.flags.len())
            .finish_non_exhaustive()
    }
}

impl Snapshot {
    /// Compiles a snapshot's payload, the document that [the format](crate::snapshot#the-snapshot-format) describes.
    /// Nothing is verified here: not who signed it, not when it expires.
    ///
    /// # Errors
    /// The first thing in the document that is not as the format says, with its place.
    pub fn from_payload(payload: impl Into<String>) -> std::result::Result<Self, SnapshotError> {
        let snapshot = super::read::read(payload.into()).map_err(SnapshotError)?;
        #[cfg(not(target_arch = "wasm32"))]
        let snapshot = snapshot.settled();
        Ok(snapshot)
    }

    /// Once everything is read: what spares work at every evaluation, and what matters where many snapshots are held. A download
    /// has no room for the first, and JavaScript numbers attributes itself.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn settled(mut self) -> Self {
        self.tables.prepared = Prepared::new(&self.tables, Texts::whole(&self.text));
        self.tables.shrink_to_fit();
        self
    }

    /// The payload that it was read from.
    pub(crate) fn document(&self) -> &str {
        &self.text[..self.document_length]
    }

    /// The strings that stand in it with escapes.
    #[cfg(feature = "compiler")]
    pub(super) fn pool(&self) -> &str {
        &self.text[self.document_length..]
    }

    /// The environment that the snapshot is for.
    pub fn environment(&self) -> &str {
        self.text(self.environment)
    }

    /// Whom the snapshot is for.
    pub fn audience(&self) -> Audience {
        self.audience
    }

    /// The snapshot's version, which only grows; below 2^53.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// When it was compiled.
    pub fn created(&self) -> Timestamp {
        self.created
    }

    /// From when on it should no longer be used; client snapshots always say.
    pub fn expires(&self) -> Option<Timestamp> {
        self.expires
    }

    /// Whether it has expired, five minutes allowed for clocks that disagree: then it is not taken any more, and where
    /// it is held already, results are STALE.
    #[cfg_attr(flagstone_download, optimize(speed))]
    pub fn has_expired(&self, now: Timestamp) -> bool {
        const CLOCK_SKEW: i64 = 5 * 60 * 1_000;
        self.expires.is_some_and(|expires| now > expires.plus_millis(CLOCK_SKEW))
    }

    /// The flags' keys: those that are whole numbers below 2^32 − 1 first, by value, then the others as they stand in the document.
    pub fn flags(&self) -> impl ExactSizeIterator<Item = &str> {
        self.tables.flags.iter().map(|flag| self.text(flag.key))
    }

    /// What is wrong with the environment variables that pin flags of this snapshot; such flags are in error.
    #[cfg(feature = "ed25519")]
    pub fn unfit_variables(&self) -> &[String] {
        &self.pinned.unfit
    }

    #[cfg(feature = "ed25519")]
    pub(crate) fn pinned_by(&self, flag: &str) -> Option<&str> {
        self.pinned.by.get(flag).map(String::as_str)
    }

    #[cfg(not(feature = "ed25519"))]
    pub(crate) fn pinned_by(&self, _: &str) -> Option<&str> {
        None
    }

    #[inline]
    #[cfg_attr(flagstone_download, optimize(speed))]
    pub(crate) fn text(&self, span: Span) -> &str {
        self.text.get(span.start as usize..span.start as usize + span.length as usize).unwrap_or_default()
    }

    #[inline]
    pub(crate) fn bytes(&self, span: Span) -> &[u8] {
        let (start, length) = (span.start as usize, span.length as usize);
        self.text.as_bytes().get(start..start + length).unwrap_or_default()
    }

    pub(crate) fn find_flag(&self, key: &str) -> Option<u32> {
        self.tables.flag_keys.find_among(key, |span| self.bytes(span))
    }

    /// The parts of an attribute's path, from the outside in.
    pub(crate) fn attribute(&self, id: AttributeId) -> AttributePath<'_> {
        AttributePath(self.text(self.tables.attributes.spans[usize::from(id)]))
    }
}

/// An attribute's path as written: parts separated by dots, a backslash before a character that is meant as it is.
#[derive(Clone, Copy)]
pub(crate) struct AttributePath<'a>(pub &'a str);

impl<'a> AttributePath<'a> {
    /// Whether it is nothing but the name of an attribute.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn is_name(self) -> bool {
        !self.0.contains(['.', '\\'])
    }

    /// The path's parts. Paths without a backslash, which is nearly all, are cut without copying.
    pub(crate) fn parts(self) -> impl Iterator<Item = Cow<'a, str>> {
        let mut rest = Some(self.0);
        std::iter::from_fn(move || {
            let text = rest?;
            let end = text.find(['.', '\\']).unwrap_or(text.len());
            if text.as_bytes().get(end) != Some(&b'\\') {
                rest = text.get(end + 1..);
                return Some(Cow::Borrowed(&text[..end]));
            }
            let mut part = String::new();
            let mut characters = text.chars();
            loop {
                match characters.next() {
                    None => rest = None,
                    Some('.') => rest = Some(characters.as_str()),
                    Some('\\') => {
                        part.extend(characters.next());
                        continue;
                    }
                    Some(character) => {
                        part.push(character);
                        continue;
                    }
                }
                return Some(Cow::Owned(part));
            }
        })
    }
}
