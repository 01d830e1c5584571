//! From the document to the compiled form. See `FORMAT.md` beside this file for the document.

use super::json::{JsonError, Kind, Mark, Reader, Rest, Result};
use super::model::*;
use super::names::Names;
use crate::Timestamp;
use crate::evaluate::network::Network;
use crate::evaluate::version;
use std::borrow::Cow;
use std::fmt;

/// The largest document that is read, in bytes.
const MAX_BYTES: usize = 64 << 20;
/// The largest version, and the largest whole number that JavaScript counts to: 2^53 − 1.
pub(crate) const MAX_WHOLE: i64 = (1 << 53) - 1;
/// The last instant of the year 9999.
pub(crate) const MAX_MILLIS: i64 = 253_402_300_799_999;
/// A percent or a position in thousandths of a percent: everything.
pub(crate) const ALL: u32 = 100_000;
pub(crate) const MAX_CONDITION_DEPTH: u32 = 64;
pub(crate) const MAX_PREREQUISITE_DEPTH: u32 = 32;
pub(crate) const MAX_VISITS: u32 = 65_536;
pub(crate) const MAX_VARIANTS: usize = 4_096;
pub(crate) const MAX_RULES: usize = 4_096;
#[cfg(feature = "regex")]
pub(crate) const MAX_REGEX_BYTES: usize = 256 << 10;

/// What this engine knows of the names that `requires` may hold.
fn supported(name: &str) -> bool {
    (cfg!(feature = "regex") && name == "matches")
        || matches!(
            name,
            "xxh3" | "js31" | "hashed" | "prerequisites" | "layer" | "holdouts" | "schedule" | "exclude" | "segments"
        )
        || (name != "matches" && operator_name(name))
}

/// Whether `name` is an operator of this format.
fn operator_name(name: &str) -> bool {
    matches!(
        name,
        "equals"
            | "equalsCi"
            | "in"
            | "inCi"
            | "inHashed"
            | "contains"
            | "containsCi"
            | "startsWith"
            | "startsWithCi"
            | "endsWith"
            | "endsWithCi"
            | "matches"
            | "lessThan"
            | "lessThanOrEqual"
            | "greaterThan"
            | "greaterThanOrEqual"
            | "before"
            | "after"
            | "semverEquals"
            | "semverLessThan"
            | "semverLessThanOrEqual"
            | "semverGreaterThan"
            | "semverGreaterThanOrEqual"
            | "semverMatches"
            | "includesAny"
            | "includesAll"
            | "cidr"
            | "exists"
    )
}

/// Why a document is no snapshot: what is wrong, and where.
///
/// ```
/// use flagstone::Snapshot;
///
/// let error = Snapshot::from_payload(r#"{"schema": 2}"#).unwrap_err();
/// assert_eq!(error.to_string(), "schema: expected 1, found 2; a newer Flagstone wrote this snapshot (at byte 11)");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotError(JsonError);

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
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
            other => Err(format!("expected `server` or `client`, found `{other}`")),
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
    pub(crate) environment: Span,
    pub(crate) audience: Audience,
    pub(crate) version: u64,
    pub(crate) created: Timestamp,
    pub(crate) expires: Option<Timestamp>,
    pub(crate) hash_salt: Span,
    pub(crate) tables: Tables,
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
    pub versions: Vec<semver::Version>,
    pub version_ranges: Vec<semver::VersionReq>,
    pub networks: Vec<Network>,
    pub pattern_ids: Vec<u32>,
    #[cfg(feature = "regex")]
    pub patterns: Vec<regex_lite::Regex>,
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
        load(payload.into()).map_err(SnapshotError)
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
    pub fn has_expired(&self, now: Timestamp) -> bool {
        const CLOCK_SKEW: i64 = 5 * 60 * 1_000;
        self.expires.is_some_and(|expires| now > expires.plus_millis(CLOCK_SKEW))
    }

    /// The flags' keys, in the order of the document.
    pub fn flags(&self) -> impl ExactSizeIterator<Item = &str> {
        self.tables.flags.iter().map(|flag| self.text(flag.key))
    }

    #[inline]
    pub(crate) fn text(&self, span: Span) -> &str {
        &self.text[span.start as usize..(span.start + span.length) as usize]
    }

    #[inline]
    pub(crate) fn find_flag(&self, key: &str) -> Option<u32> {
        self.tables.flag_keys.find(key, |span| self.text(span))
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

fn load(payload: String) -> Result<Snapshot> {
    if payload.len() > MAX_BYTES {
        return Reader::new("")
            .error(format!("a snapshot is at most {MAX_BYTES} bytes, this one has {}", payload.len()));
    }
    let mut loader = Loader {
        reader: Reader::new(&payload),
        document: &payload,
        escaped: String::new(),
        tables: Tables::default(),
        segments: Names::default(),
        layers: Names::default(),
        holdouts: Names::default(),
        patterns: Names::default(),
        defined_segments: Vec::new(),
        prerequisites: Vec::new(),
        hashed: false,
    };
    loader.attribute(Cow::Borrowed("targetingKey"))?;
    let head = loader.document()?;
    loader.finish(&head)?;
    let Loader { escaped, tables, .. } = loader;
    let mut text = payload;
    text.push_str(&escaped);
    Ok(Snapshot {
        text: text.into_boxed_str(),
        environment: head.environment,
        audience: head.audience,
        version: head.version,
        created: head.created,
        expires: head.expires,
        hash_salt: head.hash_salt.unwrap_or_default(),
        tables,
    })
}

struct Head {
    environment: Span,
    audience: Audience,
    version: u64,
    created: Timestamp,
    expires: Option<Timestamp>,
    hash_salt: Option<Span>,
}

struct Loader<'a> {
    reader: Reader<'a>,
    document: &'a str,
    /// Strings that stand in the document with escapes; their spans start where the document ends.
    escaped: String,
    tables: Tables,
    segments: Names,
    layers: Names,
    holdouts: Names,
    patterns: Names,
    /// By segment number: its body, once it was read.
    defined_segments: Vec<Option<Segment>>,
    /// By number of prerequisite: the names to look up when all flags are known.
    prerequisites: Vec<(Span, Vec<Span>)>,
    /// Whether anything is hashed, so that there must be a salt.
    hashed: bool,
}

/// Puts a member's value where it belongs, refusing a second one.
fn once<T>(reader: &Reader<'_>, slot: &mut Option<T>, value: T) -> Result<()> {
    if slot.replace(value).is_some() { reader.error("the member stands here twice") } else { Ok(()) }
}

impl<'a> Loader<'a> {
    fn span_text(&self, span: Span) -> &str {
        text_of(self.document, &self.escaped, span)
    }

    fn span(&mut self, text: &Cow<'a, str>) -> Span {
        match text {
            Cow::Borrowed(text) => {
                let start = (text.as_ptr() as usize).wrapping_sub(self.document.as_ptr() as usize);
                if start.saturating_add(text.len()) <= self.document.len() {
                    return Span { start: start as u32, length: text.len() as u32 };
                }
                self.keep(text)
            }
            Cow::Owned(text) => self.keep(text),
        }
    }

    fn keep(&mut self, text: &str) -> Span {
        let start = (self.document.len() + self.escaped.len()) as u32;
        self.escaped.push_str(text);
        Span { start, length: text.len() as u32 }
    }

    fn string(&mut self) -> Result<Span> {
        let text = self.reader.string()?;
        Ok(self.span(&text))
    }

    fn instant(&mut self) -> Result<Timestamp> {
        let text = self.reader.string()?;
        text.parse().or_else(|error| self.reader.error(format!("{error}")))
    }

    fn salt(&mut self) -> Result<Span> {
        let salt = self.reader.string()?;
        if salt.is_empty() || salt.chars().any(char::is_control) {
            return self.reader.error("a salt must not be empty and must not hold control characters");
        }
        Ok(self.span(&salt))
    }

    fn percent(&mut self) -> Result<u32> {
        Ok(self.reader.whole(0, i64::from(ALL))? as u32)
    }

    /// Reads an object's members by `member`, which consumes each value.
    fn members(&mut self, mut member: impl FnMut(&mut Self, &str) -> Result<()>) -> Result<()> {
        let mut rest = self.reader.object()?;
        while let Some(name) = self.reader.next_member(&mut rest)? {
            member(self, &name).map_err(|error| error.within(&name))?;
        }
        Ok(())
    }

    /// Reads an object that is a map from names, which `member` gets as they are.
    fn entries(&mut self, mut entry: impl FnMut(&mut Self, Cow<'a, str>) -> Result<()>) -> Result<()> {
        let mut rest: Rest = self.reader.object()?;
        while let Some(name) = self.reader.next_member(&mut rest)? {
            let place = name.clone();
            entry(self, name).map_err(|error| error.within(&place))?;
        }
        Ok(())
    }

    fn elements(&mut self, mut element: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        let mut rest = self.reader.array()?;
        let mut index = 0;
        while self.reader.next_element(&mut rest)? {
            element(self).map_err(|error| error.within(&format!("[{index}]")))?;
            index += 1;
        }
        Ok(())
    }

    fn missing<T>(&self, member: &str) -> Result<T> {
        self.reader.error(format!("`{member}` is missing"))
    }

    fn unsupported<T>(&self, name: &str) -> Result<T> {
        let error = self.reader.error::<T>(format!("this engine does not know `{name}`"));
        error.map_err(|error| JsonError { unsupported: Some(name.to_owned()), ..error })
    }

    fn document(&mut self) -> Result<Head> {
        let (mut schema, mut environment, mut audience, mut version) = (None, None, None, None);
        let (mut created, mut expires, mut hash_salt) = (None, None, None);
        let (mut segments, mut layers, mut holdouts, mut flags) = (None, None, None, None);
        self.members(|this, name| match name {
            "schema" => {
                let start = this.reader.mark();
                let found = this.reader.number()?;
                if found != "1" {
                    this.reader.back_to(start);
                    return this
                        .reader
                        .error(format!("expected 1, found {found}; a newer Flagstone wrote this snapshot"));
                }
                once(&this.reader, &mut schema, ())
            }
            "environment" => once_with(this, &mut environment, Self::string),
            "audience" => once_with(this, &mut audience, |this| {
                let name = this.reader.string()?;
                name.parse().or_else(|message: String| this.reader.error(message))
            }),
            "version" => once_with(this, &mut version, |this| Ok(this.reader.whole(1, MAX_WHOLE)? as u64)),
            "created" => once_with(this, &mut created, Self::instant),
            "expires" => once_with(this, &mut expires, Self::instant),
            "hashSalt" => once_with(this, &mut hash_salt, Self::salt),
            "segments" => once_with(this, &mut segments, Self::read_segments),
            "layers" => once_with(this, &mut layers, Self::read_layers),
            "holdouts" => once_with(this, &mut holdouts, Self::read_holdouts),
            "flags" => once_with(this, &mut flags, Self::read_flags),
            _ => this.reader.skip().map(drop),
        })?;
        self.reader.end()?;
        if schema.is_none() {
            return self.missing("schema");
        }
        let Some(environment) = environment else { return self.missing("environment") };
        let Some(audience) = audience else { return self.missing("audience") };
        let Some(version) = version else { return self.missing("version") };
        let Some(created) = created else { return self.missing("created") };
        if audience == Audience::Client && expires.is_none() {
            return self.missing("expires");
        }
        if flags.is_none() {
            return self.missing("flags");
        }
        Ok(Head { environment, audience, version, created, expires, hash_salt })
    }

    // Names that may be used before they are defined.

    fn attribute(&mut self, path: Cow<'a, str>) -> Result<AttributeId> {
        let (document, escaped) = (self.document, &self.escaped);
        if let Some(id) = self.tables.attributes.find(&path, |span| text_of(document, escaped, span)) {
            return Ok(id as AttributeId);
        }
        if self.tables.attributes.len() >= u32::from(u16::MAX) {
            return self.reader.error("more than 65,535 attribute paths");
        }
        if AttributePath(&path).parts().any(|part| part.is_empty()) {
            return self.reader.error(format!("the attribute path `{path}` has an empty part"));
        }
        let span = self.span(&path);
        let (document, escaped) = (self.document, &self.escaped);
        Ok(self.tables.attributes.add(&path, span, |span| text_of(document, escaped, span)) as AttributeId)
    }

    fn read_attribute(&mut self) -> Result<AttributeId> {
        let path = self.reader.string()?;
        self.attribute(path)
    }

    fn segment_id(&mut self, name: Cow<'a, str>) -> Result<u16> {
        let id = intern(self, |this| &mut this.segments, &name)?;
        if usize::from(id) == self.defined_segments.len() {
            self.defined_segments.push(None);
        }
        Ok(id)
    }

    fn read_segment_ids(&mut self) -> Result<Slice> {
        let mut ids = Vec::new();
        self.elements(|this| {
            let name = this.reader.string()?;
            ids.push(this.segment_id(name)?);
            Ok(())
        })?;
        Ok(extend(&mut self.tables.segment_ids, ids))
    }

    // Sections.

    fn read_segments(&mut self) -> Result<()> {
        self.entries(|this, name| {
            let id = this.segment_id(name)?;
            if this.defined_segments[usize::from(id)].is_some() {
                return this.reader.error("the segment stands here twice");
            }
            let name = this.segments.spans[usize::from(id)];
            let start = this.reader.mark();
            let segment = match this.read_segment(name) {
                Err(JsonError { unsupported: Some(lacking), .. }) => {
                    this.reader.back_to(start);
                    this.reader.skip()?;
                    Segment { unsupported: Some(this.keep(&lacking)), ..Segment::nobody(name) }
                }
                segment => segment?,
            };
            this.defined_segments[usize::from(id)] = Some(segment);
            Ok(())
        })
    }

    fn read_segment(&mut self, name: Span) -> Result<Segment> {
        let (mut by, mut include, mut exclude, mut when) = (None, None, None, None);
        self.members(|this, member| match member {
            "by" => once_with(this, &mut by, Self::read_attribute),
            "include" => once_with(this, &mut include, Self::read_keys),
            "exclude" => once_with(this, &mut exclude, Self::read_keys),
            "when" => once_with(this, &mut when, Self::read_condition),
            _ => this.reader.skip().map(drop),
        })?;
        Ok(Segment {
            by: by.unwrap_or(TARGETING_KEY),
            include: include.unwrap_or_default(),
            exclude: exclude.unwrap_or_default(),
            when,
            ..Segment::nobody(name)
        })
    }

    fn read_layers(&mut self) -> Result<()> {
        self.entries(|this, name| {
            let id = intern(this, |this| &mut this.layers, &name)?;
            let (mut salt, mut by) = (None, None);
            this.members(|this, member| match member {
                "salt" => once_with(this, &mut salt, Self::salt),
                "by" => once_with(this, &mut by, Self::read_attribute),
                _ => this.reader.skip().map(drop),
            })?;
            let Some(salt) = salt else { return this.missing("salt") };
            let name = this.layers.spans[usize::from(id)];
            let layer = Layer { name, salt, by: by.unwrap_or(TARGETING_KEY) };
            if usize::from(id) < this.tables.layers.len() {
                return this.reader.error("the layer stands here twice");
            }
            this.tables.layers.push(layer);
            Ok(())
        })
    }

    fn read_holdouts(&mut self) -> Result<()> {
        self.entries(|this, name| {
            let id = intern(this, |this| &mut this.holdouts, &name)?;
            let (mut salt, mut by, mut percent) = (None, None, None);
            this.members(|this, member| match member {
                "salt" => once_with(this, &mut salt, Self::salt),
                "by" => once_with(this, &mut by, Self::read_attribute),
                "percent" => once_with(this, &mut percent, Self::percent),
                _ => this.reader.skip().map(drop),
            })?;
            let Some(salt) = salt else { return this.missing("salt") };
            let Some(percent) = percent else { return this.missing("percent") };
            let name = this.holdouts.spans[usize::from(id)];
            if usize::from(id) < this.tables.holdouts.len() {
                return this.reader.error("the holdout stands here twice");
            }
            this.tables.holdouts.push(Holdout { name, salt, by: by.unwrap_or(TARGETING_KEY), percent });
            Ok(())
        })
    }

    fn read_flags(&mut self) -> Result<()> {
        self.entries(|this, key| {
            let (document, escaped) = (this.document, &this.escaped);
            if this.tables.flag_keys.find(&key, |span| text_of(document, escaped, span)).is_some() {
                return this.reader.error("the flag stands here twice");
            }
            let span = this.span(&key);
            let (document, escaped) = (this.document, &this.escaped);
            this.tables.flag_keys.add(&key, span, |span| text_of(document, escaped, span));
            let start = this.reader.mark();
            let prerequisites = this.prerequisites.len();
            let flag = match this.read_flag(span, Part::Whole) {
                Ok(flag) => flag,
                // Whatever else seems wrong with a flag that needs a newer engine, this engine cannot judge.
                Err(error) => {
                    let lacking = match &error.unsupported {
                        Some(name) => Some(name.clone()),
                        None => this.lacking(start).unwrap_or_default(),
                    };
                    let Some(name) = lacking else { return Err(error) };
                    this.prerequisites.truncate(prerequisites);
                    this.reader.back_to(start);
                    let name = this.keep(&name);
                    Flag { unsupported: Some(name), ..this.read_flag(span, Part::Gate)? }
                }
            };
            this.tables.flags.push(flag);
            Ok(())
        })
    }

    /// The first name that the flag at `start` requires and this engine lacks.
    fn lacking(&mut self, start: Mark) -> Result<Option<String>> {
        self.reader.back_to(start);
        let mut lacking = None;
        self.members(|this, member| match member {
            "requires" => {
                let span = this.read_requires()?;
                lacking = span.map(|span| this.span_text(span).to_owned());
                Ok(())
            }
            _ => this.reader.skip().map(drop),
        })?;
        Ok(lacking)
    }

    /// The first of the required names that this engine lacks.
    fn read_requires(&mut self) -> Result<Option<Span>> {
        let mut lacking = None;
        self.elements(|this| {
            let name = this.reader.string()?;
            if lacking.is_none() && !supported(&name) {
                lacking = Some(this.span(&name));
            }
            Ok(())
        })?;
        Ok(lacking)
    }

    fn read_flag(&mut self, key: Span, part: Part) -> Result<Flag> {
        let mut draft = Draft::default();
        let mut deferred: Vec<(&'static str, Mark)> = Vec::new();
        self.members(|this, member| {
            if let Some(&name) = NEED_VARIANTS.iter().find(|&&name| name == member) {
                // The format writes the variants first; when they come later, these members are read afterwards.
                if draft.variants.is_none() || part == Part::Gate {
                    if deferred.iter().any(|(deferred, _)| *deferred == name) {
                        return this.reader.error("the member stands here twice");
                    }
                    deferred.push((name, this.reader.mark()));
                    return this.reader.skip().map(drop);
                }
                return this.read_with_variants(name, &mut draft);
            }
            match member {
                "requires" => once_with(this, &mut draft.requires, Self::read_requires),
                "type" => once_with(this, &mut draft.kind, Self::read_type),
                "variants" => once_with(this, &mut draft.variants, Self::read_variants),
                "salt" => once_with(this, &mut draft.salt, Self::salt),
                "enabled" => once_with(this, &mut draft.enabled, |this| this.reader.boolean()),
                "killed" => once_with(this, &mut draft.killed, Self::string),
                _ if part == Part::Gate => this.reader.skip().map(drop),
                "bucketBy" => once_with(this, &mut draft.bucket_by, Self::read_attribute),
                "scheme" => once_with(this, &mut draft.scheme, Self::read_scheme),
                "prerequisites" => once_with(this, &mut draft.prerequisites, Self::read_prerequisites),
                "deny" => once_with(this, &mut draft.deny, Self::read_people),
                "exclude" => once_with(this, &mut draft.exclude, Self::read_exclude),
                "holdouts" => once_with(this, &mut draft.holdouts, Self::read_holdout_ids),
                "layer" => once_with(this, &mut draft.layer, Self::read_layer),
                _ => this.reader.skip().map(drop),
            }
        })?;
        let end = self.reader.mark();
        for (name, mark) in deferred {
            if part == Part::Gate && name != "off" {
                continue;
            }
            self.reader.back_to(mark);
            self.read_with_variants(name, &mut draft).map_err(|error| error.within(name))?;
        }
        self.reader.back_to(end);
        self.assemble(key, draft, part)
    }

    /// Reads a member that names variants of the flag.
    fn read_with_variants(&mut self, member: &str, draft: &mut Draft) -> Result<()> {
        let Some(variants) = draft.variants else { return self.missing("variants") };
        match member {
            "off" => once_with(self, &mut draft.off, |this| this.read_variant(variants)),
            "allow" => once_with(self, &mut draft.allow, |this| this.read_allow(variants)),
            "rules" => once_with(self, &mut draft.rules, |this| this.read_rules(variants)),
            _ => once_with(self, &mut draft.default, |this| this.read_serve(variants)),
        }
    }

    fn assemble(&mut self, key: Span, draft: Draft, part: Part) -> Result<Flag> {
        let Some(kind) = draft.kind else { return self.missing("type") };
        let Some(variants) = draft.variants else { return self.missing("variants") };
        let Some(off) = draft.off else { return self.missing("off") };
        let Some(salt) = draft.salt else { return self.missing("salt") };
        let default = match (draft.default, part) {
            (Some(default), _) => default,
            (None, Part::Gate) => Serve::Everyone(Share::Variant(off)),
            (None, Part::Whole) => return self.missing("default"),
        };
        if let Some(variant) = variants.of(&self.tables.variants).iter().find(|variant| {
            !matches!(
                (kind, variant.value),
                (FlagType::Boolean, VariantValue::Boolean(_))
                    | (FlagType::String, VariantValue::String(_))
                    | (FlagType::Number, VariantValue::Number(_))
                    | (FlagType::Json, _)
            )
        }) {
            let name = self.span_text(variant.name).to_owned();
            return self.reader.error(format!("the variant `{name}` is no {}", kind.name()));
        }
        if kind == FlagType::Json {
            let Slice { start, end } = variants;
            for variant in &mut self.tables.variants[start as usize..end as usize] {
                variant.value = VariantValue::Json;
            }
        }
        let exclude = draft.exclude.unwrap_or_default();
        Ok(Flag {
            key,
            kind,
            variants,
            off,
            salt,
            gate: match (draft.killed, draft.enabled) {
                (Some(by), _) => Gate::Killed(by),
                (None, Some(false)) => Gate::Disabled,
                (None, _) => Gate::Open,
            },
            unsupported: draft.requires.flatten(),
            bucket_by: draft.bucket_by.unwrap_or(TARGETING_KEY),
            scheme: draft.scheme.unwrap_or(Scheme::Xxh3),
            prerequisites: draft.prerequisites.unwrap_or_default(),
            deny: draft.deny.unwrap_or_default(),
            exclude: exclude.people,
            excluded_positions: exclude.positions,
            allow: draft.allow.unwrap_or_default(),
            holdouts: draft.holdouts.unwrap_or_default(),
            layer: draft.layer,
            rules: draft.rules.unwrap_or_default(),
            default,
        })
    }

    fn read_type(&mut self) -> Result<FlagType> {
        let name = self.reader.string()?;
        let kinds = [FlagType::Boolean, FlagType::String, FlagType::Number, FlagType::Json];
        match kinds.into_iter().find(|kind| kind.name() == name) {
            Some(kind) => Ok(kind),
            None => self.unsupported(&format!("type {name}")),
        }
    }

    fn read_scheme(&mut self) -> Result<Scheme> {
        let name = self.reader.string()?;
        match &*name {
            "xxh3" => Ok(Scheme::Xxh3),
            "js31" => Ok(Scheme::Js31),
            name => self.unsupported(name),
        }
    }

    fn read_variants(&mut self) -> Result<Slice> {
        let mut variants: Vec<Variant> = Vec::new();
        self.entries(|this, name| {
            if variants.iter().any(|variant| this.span_text(variant.name) == name) {
                return this.reader.error("the variant stands here twice");
            }
            if variants.len() == MAX_VARIANTS {
                return this.reader.error(format!("more than {MAX_VARIANTS} variants"));
            }
            let start = this.reader.mark();
            let json = this.reader.skip()?;
            let end = this.reader.mark();
            this.reader.back_to(start);
            let value = match this.reader.peek()? {
                Kind::Boolean => VariantValue::Boolean(this.reader.boolean()?),
                Kind::String => VariantValue::String(this.string()?),
                Kind::Number => VariantValue::Number(this.number()?),
                _ => VariantValue::Json,
            };
            this.reader.back_to(end);
            let (name, json) = (this.span(&name), this.span(&Cow::Borrowed(json)));
            variants.push(Variant { name, value, json });
            Ok(())
        })?;
        if variants.is_empty() {
            return self.reader.error("a flag needs at least one variant");
        }
        Ok(extend(&mut self.tables.variants, variants))
    }

    fn find_variant(&self, variants: Slice, name: &str) -> Option<VariantId> {
        let table = variants.of(&self.tables.variants);
        table.iter().position(|variant| self.span_text(variant.name) == name).map(|index| index as VariantId)
    }

    fn read_variant(&mut self, variants: Slice) -> Result<VariantId> {
        let name = self.reader.string()?;
        match self.find_variant(variants, &name) {
            Some(variant) => Ok(variant),
            None => self.reader.error(format!("the flag has no variant `{name}`")),
        }
    }

    fn read_prerequisites(&mut self) -> Result<Slice> {
        let start = self.prerequisites.len() as u32;
        self.elements(|this| {
            let (mut flag, mut variants) = (None, None);
            this.members(|this, member| match member {
                "flag" => once_with(this, &mut flag, Self::string),
                "variants" => once_with(this, &mut variants, |this| {
                    let mut names = Vec::new();
                    this.elements(|this| {
                        names.push(this.string()?);
                        Ok(())
                    })?;
                    Ok(names)
                }),
                other => this.unsupported(&format!("prerequisite {other}")),
            })?;
            let Some(flag) = flag else { return this.missing("flag") };
            let Some(variants) = variants else { return this.missing("variants") };
            this.prerequisites.push((flag, variants));
            Ok(())
        })?;
        Ok(Slice { start, end: self.prerequisites.len() as u32 })
    }

    /// Sorted and without doubles, whatever the document's order.
    fn read_keys(&mut self) -> Result<Keys> {
        if self.reader.peek()? == Kind::Object {
            let mut hashes = None;
            self.members(|this, member| match member {
                "hashed" => once_with(this, &mut hashes, Self::read_hashes),
                other => this.unsupported(&format!("list {other}")),
            })?;
            let Some(hashes) = hashes else { return self.missing("hashed") };
            return Ok(Keys::Hashed(hashes));
        }
        Ok(Keys::Plain(self.read_strings(false)?))
    }

    fn read_hashes(&mut self) -> Result<Slice> {
        use base64ct::{Base64UrlUnpadded, Encoding};
        let text = self.reader.string()?;
        let bytes = Base64UrlUnpadded::decode_vec(&text).unwrap_or_default();
        let (chunks, rest) = bytes.as_chunks::<8>();
        if !rest.is_empty() || bytes.is_empty() != text.is_empty() {
            return self.reader.error("expected base64url, unpadded, of 8-byte hashes");
        }
        self.hashed = true;
        let mut hashes: Vec<u64> = chunks.iter().map(|&chunk| u64::from_be_bytes(chunk)).collect();
        hashes.sort_unstable();
        Ok(extend(&mut self.tables.hashes, hashes))
    }

    fn read_people(&mut self) -> Result<People> {
        let (mut keys, mut segments) = (None, None);
        self.members(|this, member| match member {
            "keys" => once_with(this, &mut keys, Self::read_keys),
            "segments" => once_with(this, &mut segments, Self::read_segment_ids),
            other => this.unsupported(&format!("list {other}")),
        })?;
        Ok(People { keys: keys.unwrap_or_default(), segments: segments.unwrap_or_default() })
    }

    fn read_exclude(&mut self) -> Result<Exclude> {
        let (mut keys, mut segments, mut positions) = (None, None, None);
        self.members(|this, member| match member {
            "keys" => once_with(this, &mut keys, Self::read_keys),
            "segments" => once_with(this, &mut segments, Self::read_segment_ids),
            "positions" => once_with(this, &mut positions, Self::read_positions),
            other => this.unsupported(&format!("exclude {other}")),
        })?;
        Ok(Exclude {
            people: People { keys: keys.unwrap_or_default(), segments: segments.unwrap_or_default() },
            positions: positions.unwrap_or_default(),
        })
    }

    fn read_allow(&mut self, variants: Slice) -> Result<Slice> {
        let mut allows = Vec::new();
        self.elements(|this| {
            let (mut variant, mut keys, mut segments) = (None, None, None);
            this.members(|this, member| match member {
                "variant" => once_with(this, &mut variant, |this| this.read_variant(variants)),
                "keys" => once_with(this, &mut keys, Self::read_keys),
                "segments" => once_with(this, &mut segments, Self::read_segment_ids),
                other => this.unsupported(&format!("allow {other}")),
            })?;
            let Some(variant) = variant else { return this.missing("variant") };
            let people = People { keys: keys.unwrap_or_default(), segments: segments.unwrap_or_default() };
            allows.push(Allow { variant, people });
            Ok(())
        })?;
        Ok(extend(&mut self.tables.allows, allows))
    }

    fn read_positions(&mut self) -> Result<Slice> {
        let mut ranges = Vec::new();
        self.elements(|this| {
            let mut ends = [0u32; 2];
            let mut count = 0;
            this.elements(|this| {
                if let Some(end) = ends.get_mut(count) {
                    *end = this.percent()?;
                }
                count += 1;
                if count > 2 { this.reader.error("a range has two ends") } else { Ok(()) }
            })?;
            let [from, to] = ends;
            if count != 2 || from >= to {
                return this.reader.error("expected a range [from, to] with from below to");
            }
            ranges.push(PositionRange { from, to });
            Ok(())
        })?;
        Ok(extend(&mut self.tables.position_ranges, ranges))
    }

    fn read_holdout_ids(&mut self) -> Result<Slice> {
        let mut ids = Vec::new();
        self.elements(|this| {
            let name = this.reader.string()?;
            ids.push(this.named(&name, "holdout")?);
            Ok(())
        })?;
        Ok(extend(&mut self.tables.holdout_ids, ids))
    }

    /// Layers and holdouts stand before the flags, so their names are known by now.
    fn named(&self, name: &str, what: &str) -> Result<u16> {
        let names = if what == "layer" { &self.layers } else { &self.holdouts };
        match names.find(name, |span| self.span_text(span)) {
            Some(id) => Ok(id as u16),
            None => self.reader.error(format!("there is no {what} `{name}` (they stand before `flags`)")),
        }
    }

    fn read_layer(&mut self) -> Result<LayerRanges> {
        let (mut layer, mut ranges) = (None, None);
        self.members(|this, member| match member {
            "name" => once_with(this, &mut layer, |this| {
                let name = this.reader.string()?;
                this.named(&name, "layer")
            }),
            "ranges" => once_with(this, &mut ranges, Self::read_positions),
            other => this.unsupported(&format!("layer {other}")),
        })?;
        let Some(layer) = layer else { return self.missing("name") };
        let Some(ranges) = ranges else { return self.missing("ranges") };
        Ok(LayerRanges { layer, ranges })
    }

    fn read_rules(&mut self, variants: Slice) -> Result<Slice> {
        let mut rules = Vec::new();
        self.elements(|this| {
            let (mut id, mut when, mut serve) = (None, None, None);
            this.members(|this, member| match member {
                "id" => once_with(this, &mut id, Self::string),
                "when" => once_with(this, &mut when, Self::read_condition),
                "serve" => once_with(this, &mut serve, |this| this.read_serve(variants)),
                other => this.unsupported(&format!("rule {other}")),
            })?;
            let Some(id) = id else { return this.missing("id") };
            let Some(serve) = serve else { return this.missing("serve") };
            if rules.len() == MAX_RULES {
                return this.reader.error(format!("more than {MAX_RULES} rules"));
            }
            rules.push(Rule { id, when, serve });
            Ok(())
        })?;
        Ok(extend(&mut self.tables.rules, rules))
    }

    fn read_serve(&mut self, variants: Slice) -> Result<Serve> {
        if self.reader.peek()? == Kind::String {
            return Ok(Serve::Everyone(Share::Variant(self.read_variant(variants)?)));
        }
        let mut serve = None;
        self.members(|this, member| match member {
            "split" => once_with(this, &mut serve, |this| Ok(Serve::Everyone(this.read_split(variants)?))),
            "ramp" => once_with(this, &mut serve, |this| this.read_ramp(variants)),
            other => this.unsupported(&format!("serve {other}")),
        })?;
        match serve {
            Some(serve) => Ok(serve),
            None => self.reader.error("expected a variant, `split` or `ramp`"),
        }
    }

    fn read_split(&mut self, variants: Slice) -> Result<Share> {
        let mut bounds: Vec<Bound> = Vec::new();
        self.elements(|this| {
            let mut rest = this.reader.array()?;
            let (mut variant, mut below, mut count) = (0, 0, 0);
            while this.reader.next_element(&mut rest)? {
                match count {
                    0 => variant = this.read_variant(variants)?,
                    1 => below = this.percent()?,
                    _ => return this.reader.error("expected [variant, upper bound]"),
                }
                count += 1;
            }
            if count != 2 || bounds.last().is_some_and(|last| last.below > below) {
                return this.reader.error("expected [variant, upper bound] with bounds that never fall");
            }
            bounds.push(Bound { variant, below });
            Ok(())
        })?;
        if bounds.last().is_none_or(|last| last.below != ALL) {
            return self.reader.error(format!("the last upper bound must be {ALL}"));
        }
        Ok(Share::Split(extend(&mut self.tables.bounds, bounds)))
    }

    fn read_ramp(&mut self, variants: Slice) -> Result<Serve> {
        let (mut percent, mut share) = (None, None);
        self.members(|this, member| match member {
            "percent" => once_with(this, &mut percent, |this| Ok(Percent::Fixed(this.percent()?))),
            "schedule" => once_with(this, &mut percent, Self::read_schedule),
            "serve" => once_with(this, &mut share, |this| match this.read_serve(variants)? {
                Serve::Everyone(share) => Ok(share),
                Serve::Ramp(..) => this.reader.error("a ramp serves a variant or a split, not another ramp"),
            }),
            other => this.unsupported(&format!("ramp {other}")),
        })?;
        let Some(percent) = percent else { return self.missing("percent") };
        let Some(share) = share else { return self.missing("serve") };
        Ok(Serve::Ramp(percent, share))
    }

    fn read_schedule(&mut self) -> Result<Percent> {
        let (mut before, mut points, mut linear) = (None, None, None);
        self.members(|this, member| match member {
            "before" => once_with(this, &mut before, Self::percent),
            "points" => once_with(this, &mut points, Self::read_points),
            "linear" => once_with(this, &mut linear, |this| this.reader.boolean()),
            other => this.unsupported(&format!("schedule {other}")),
        })?;
        let Some(before) = before else { return self.missing("before") };
        let Some(points) = points else { return self.missing("points") };
        let id = self.tables.schedules.len() as u32;
        self.tables.schedules.push(Schedule { before, points, linear: linear.unwrap_or(false) });
        Ok(Percent::Scheduled(id))
    }

    fn read_points(&mut self) -> Result<Slice> {
        let mut points: Vec<Point> = Vec::new();
        self.elements(|this| {
            let mut rest = this.reader.array()?;
            let (mut at, mut percent, mut count) = (0, 0, 0);
            while this.reader.next_element(&mut rest)? {
                match count {
                    0 => at = this.reader.whole(-MAX_MILLIS, MAX_MILLIS)?,
                    1 => percent = this.percent()?,
                    _ => return this.reader.error("expected [milliseconds, percent]"),
                }
                count += 1;
            }
            if count != 2 || points.last().is_some_and(|last| last.at >= at) {
                return this.reader.error("expected [milliseconds, percent], each later than the one before");
            }
            points.push(Point { at, percent });
            Ok(())
        })?;
        if points.is_empty() {
            return self.reader.error("a schedule needs at least one point");
        }
        Ok(extend(&mut self.tables.points, points))
    }

    // Conditions.

    fn read_condition(&mut self) -> Result<u32> {
        let start = self.tables.conditions.len() as u32;
        self.condition(1)?;
        Ok(start)
    }

    fn condition(&mut self, depth: u32) -> Result<()> {
        if depth > MAX_CONDITION_DEPTH {
            return self.reader.error(format!("conditions are nested deeper than {MAX_CONDITION_DEPTH}"));
        }
        let at = self.tables.conditions.len();
        self.tables.conditions.push(Condition::All { end: 0 });
        self.tables.condition_texts.push(Span::default());
        let start = self.reader.offset() as u32;
        let (mut whole, mut attribute, mut operator) = (None, None, None);
        self.members(|this, member| match member {
            "all" | "any" => {
                once(&this.reader, &mut whole, ())?;
                this.elements(|this| this.condition(depth + 1))?;
                let end = this.tables.conditions.len() as u32;
                this.tables.conditions[at] =
                    if member == "all" { Condition::All { end } } else { Condition::Any { end } };
                Ok(())
            }
            "not" => {
                once(&this.reader, &mut whole, ())?;
                this.condition(depth + 1)?;
                this.tables.conditions[at] = Condition::Not { end: this.tables.conditions.len() as u32 };
                Ok(())
            }
            "segment" => {
                once(&this.reader, &mut whole, ())?;
                let name = this.reader.string()?;
                this.tables.conditions[at] = Condition::Segment(this.segment_id(name)?);
                Ok(())
            }
            "attribute" => once_with(this, &mut attribute, Self::read_attribute),
            name => once_with(this, &mut operator, |this| this.read_operator(name)),
        })?;
        match (whole, attribute, operator) {
            (Some(()), None, None) => {}
            (None, Some(attribute), Some(operator)) => {
                self.tables.conditions[at] = Condition::Test(attribute, operator);
            }
            _ => return self.reader.error("expected `all`, `any`, `not`, `segment`, or `attribute` with one operator"),
        }
        self.tables.condition_texts[at] = Span { start, length: self.reader.offset() as u32 - start };
        Ok(())
    }

    fn read_operator(&mut self, name: &str) -> Result<Operator> {
        use Compare::*;
        Ok(match name {
            "equals" => {
                let mut operands = OperandLists::default();
                self.operand(&mut operands)?;
                Operator::In(self.operands(operands))
            }
            "in" => Operator::In(self.read_operands()?),
            "equalsCi" => {
                let text = self.reader.string()?;
                Operator::InCi(self.strings(vec![text], true))
            }
            "inCi" => Operator::InCi(self.read_strings(true)?),
            "inHashed" => self.read_in_hashed()?,
            "contains" => self.read_text_test(Place::Anywhere, false)?,
            "containsCi" => self.read_text_test(Place::Anywhere, true)?,
            "startsWith" => self.read_text_test(Place::Start, false)?,
            "startsWithCi" => self.read_text_test(Place::Start, true)?,
            "endsWith" => self.read_text_test(Place::End, false)?,
            "endsWithCi" => self.read_text_test(Place::End, true)?,
            #[cfg(feature = "regex")]
            "matches" => self.read_patterns()?,
            "lessThan" => Operator::Number(Less, self.number()?),
            "lessThanOrEqual" => Operator::Number(LessOrEqual, self.number()?),
            "greaterThan" => Operator::Number(Greater, self.number()?),
            "greaterThanOrEqual" => Operator::Number(GreaterOrEqual, self.number()?),
            "before" => Operator::Date(Less, self.reader.whole(-MAX_MILLIS, MAX_MILLIS)?),
            "after" => Operator::Date(Greater, self.reader.whole(-MAX_MILLIS, MAX_MILLIS)?),
            "semverEquals" => self.read_version(Equal)?,
            "semverLessThan" => self.read_version(Less)?,
            "semverLessThanOrEqual" => self.read_version(LessOrEqual)?,
            "semverGreaterThan" => self.read_version(Greater)?,
            "semverGreaterThanOrEqual" => self.read_version(GreaterOrEqual)?,
            "semverMatches" => {
                let text = self.reader.string()?;
                match semver::VersionReq::parse(&text) {
                    Ok(range) => {
                        self.tables.version_ranges.push(range);
                        Operator::VersionRange(self.tables.version_ranges.len() as u32 - 1)
                    }
                    Err(error) => return self.reader.error(format!("`{text}` is no version range: {error}")),
                }
            }
            "includesAny" => Operator::IncludesAny(self.read_operands()?),
            "includesAll" => Operator::IncludesAll(self.read_operands()?),
            "cidr" => {
                let mut networks = Vec::new();
                self.elements(|this| {
                    let text = this.reader.string()?;
                    match Network::parse(&text) {
                        Some(network) => networks.push(network),
                        None => return this.reader.error(format!("`{text}` is no network like 10.0.0.0/8")),
                    }
                    Ok(())
                })?;
                Operator::Cidr(extend(&mut self.tables.networks, networks))
            }
            "exists" => Operator::Exists(self.reader.boolean()?),
            name => return self.unsupported(name),
        })
    }

    fn number(&mut self) -> Result<f64> {
        let start = self.reader.mark();
        let text = self.reader.number()?;
        let number = crate::number::parse(text);
        if number.is_finite() {
            return Ok(number);
        }
        self.reader.back_to(start);
        self.reader.error(format!("the number {text} is too large"))
    }

    fn read_version(&mut self, compare: Compare) -> Result<Operator> {
        let text = self.reader.string()?;
        match version::parse(&text) {
            Some(version) => {
                self.tables.versions.push(version);
                Ok(Operator::Version(compare, self.tables.versions.len() as u32 - 1))
            }
            None => self.reader.error(format!("`{text}` is no version like 2.3.0")),
        }
    }

    fn read_strings(&mut self, ignore_case: bool) -> Result<Slice> {
        let mut texts = Vec::new();
        self.elements(|this| {
            texts.push(this.reader.string()?);
            Ok(())
        })?;
        Ok(self.strings(texts, ignore_case))
    }

    fn strings(&mut self, mut texts: Vec<Cow<'a, str>>, ignore_case: bool) -> Slice {
        if ignore_case {
            for text in &mut texts {
                if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
                    text.to_mut().make_ascii_lowercase();
                }
            }
        }
        texts.sort_unstable();
        texts.dedup();
        let start = self.tables.strings.len() as u32;
        for text in &texts {
            let span = self.span(text);
            self.tables.strings.push(span);
        }
        Slice { start, end: self.tables.strings.len() as u32 }
    }

    fn read_text_test(&mut self, place: Place, ignore_case: bool) -> Result<Operator> {
        Ok(Operator::Text(TextTest { place, ignore_case, texts: self.read_strings(ignore_case)? }))
    }

    fn read_operands(&mut self) -> Result<Operands> {
        let mut operands = OperandLists::default();
        self.elements(|this| this.operand(&mut operands))?;
        Ok(self.operands(operands))
    }

    fn operand(&mut self, operands: &mut OperandLists<'a>) -> Result<()> {
        match self.reader.peek()? {
            Kind::String => operands.strings.push(self.reader.string()?),
            Kind::Number => operands.numbers.push(self.number()?),
            Kind::Boolean if self.reader.boolean()? => operands.booleans.yes = true,
            Kind::Boolean => operands.booleans.no = true,
            _ => return self.reader.error("expected a string, a number or a boolean"),
        }
        Ok(())
    }

    fn operands(&mut self, mut operands: OperandLists<'a>) -> Operands {
        operands.numbers.sort_unstable_by(f64::total_cmp);
        Operands {
            strings: self.strings(operands.strings, false),
            numbers: extend(&mut self.tables.numbers, operands.numbers),
            booleans: operands.booleans,
        }
    }

    fn read_in_hashed(&mut self) -> Result<Operator> {
        let (mut hashes, mut types) = (None, None);
        self.members(|this, member| match member {
            "hashed" => once_with(this, &mut hashes, Self::read_hashes),
            "types" => once_with(this, &mut types, |this| {
                let [mut strings, mut numbers, mut booleans] = [false; 3];
                this.elements(|this| {
                    match &*this.reader.string()? {
                        "string" => strings = true,
                        "number" => numbers = true,
                        "boolean" => booleans = true,
                        other => return this.unsupported(&format!("operand {other}")),
                    }
                    Ok(())
                })?;
                Ok(HashedOperands { hashes: Slice::default(), strings, numbers, booleans })
            }),
            other => this.unsupported(&format!("inHashed {other}")),
        })?;
        let Some(hashes) = hashes else { return self.missing("hashed") };
        let Some(types) = types else { return self.missing("types") };
        Ok(Operator::InHashed(HashedOperands { hashes, ..types }))
    }

    #[cfg(feature = "regex")]
    fn read_patterns(&mut self) -> Result<Operator> {
        let mut ids = Vec::new();
        self.elements(|this| {
            let pattern = this.reader.string()?;
            let (document, escaped) = (this.document, &this.escaped);
            if let Some(id) = this.patterns.find(&pattern, |span| text_of(document, escaped, span)) {
                ids.push(id);
                return Ok(());
            }
            match regex_lite::RegexBuilder::new(&pattern).size_limit(MAX_REGEX_BYTES).build() {
                Ok(regex) => this.tables.patterns.push(regex),
                Err(error) => return this.reader.error(format!("`{pattern}` is no regular expression: {error}")),
            }
            let span = this.span(&pattern);
            let (document, escaped) = (this.document, &this.escaped);
            ids.push(this.patterns.add(&pattern, span, |span| text_of(document, escaped, span)));
            Ok(())
        })?;
        Ok(Operator::Matches(extend(&mut self.tables.pattern_ids, ids)))
    }

    // What can be checked only when everything was read.

    fn finish(&mut self, head: &Head) -> Result<()> {
        if self.hashed && head.hash_salt.is_none() {
            return self.missing("hashSalt");
        }
        for (id, segment) in std::mem::take(&mut self.defined_segments).into_iter().enumerate() {
            match segment {
                Some(segment) => self.tables.segments.push(segment),
                None => {
                    let name = self.span_text(self.segments.spans[id]).to_owned();
                    return self.reader.error(format!("there is no segment `{name}`, but it is named"));
                }
            }
        }
        for (flag, variants) in std::mem::take(&mut self.prerequisites) {
            let key = self.span_text(flag);
            let Some(flag) = self.tables.flag_keys.find(key, |span| self.span_text(span)) else {
                return self.reader.error(format!("there is no flag `{key}`, but it is a prerequisite"));
            };
            let of = self.tables.flags[flag as usize].variants;
            let mut ids = Vec::new();
            for variant in variants {
                let name = self.span_text(variant);
                match self.find_variant(of, name) {
                    Some(id) => ids.push(id),
                    None => return self.reader.error(format!("the flag `{key}` has no variant `{name}`")),
                }
            }
            let variants = extend(&mut self.tables.variant_ids, ids);
            self.tables.prerequisites.push(Prerequisite { flag, variants });
        }
        self.bound()
    }

    /// Makes sure that no evaluation can go in a circle, too deep or on for too long.
    fn bound(&mut self) -> Result<()> {
        let mut segments = vec![Bounds::Unknown; self.tables.segments.len()];
        for id in 0..segments.len() {
            self.bound_segment(id, 0, &mut segments)?;
        }
        let mut flags = vec![Bounds::Unknown; self.tables.flags.len()];
        for id in 0..flags.len() {
            let reach = self.bound_flag(id, 0, &segments, &mut flags)?;
            let flag = &mut self.tables.flags[id];
            flag.unsupported = flag.unsupported.or(reach.lacking);
        }
        Ok(())
    }

    fn bound_segment(&self, id: usize, above: u32, known: &mut [Bounds]) -> Result<Reach> {
        let segment = &self.tables.segments[id];
        let name = || self.span_text(segment.name);
        match known[id] {
            Bounds::Known(reach) => return Ok(reach),
            Bounds::Open => return self.reader.error(format!("the segment `{}` contains itself", name())),
            Bounds::Unknown if above > MAX_CONDITION_DEPTH => {
                return self.reader.error(format!("segments are nested deeper than {MAX_CONDITION_DEPTH}"));
            }
            Bounds::Unknown => known[id] = Bounds::Open,
        }
        let mut reach = Reach { depth: 1, visits: 1, lacking: segment.unsupported };
        if let Some(when) = segment.when {
            let inner = self.bound_condition(when, &mut |segment| self.bound_segment(segment, above + 1, known))?;
            reach = Reach { depth: 1 + inner.depth, visits: inner.visits.saturating_add(1), lacking: inner.lacking };
        }
        if reach.depth > MAX_CONDITION_DEPTH || reach.visits > MAX_VISITS {
            return self.reader.error(format!(
                "the segment `{}` unrolls to {} conditions, {} deep; at most {MAX_VISITS} and {MAX_CONDITION_DEPTH} are evaluated",
                name(), reach.visits, reach.depth
            ));
        }
        known[id] = Bounds::Known(reach);
        Ok(reach)
    }

    fn bound_condition(&self, at: u32, segment: &mut dyn FnMut(usize) -> Result<Reach>) -> Result<Reach> {
        let mut reach = Reach { depth: 0, visits: 0, lacking: None };
        let conditions = &self.tables.conditions;
        // The open nodes around the one at hand: where each ends.
        let mut around: Vec<u32> = Vec::new();
        let mut at = at;
        loop {
            around.retain(|&end| end > at);
            let depth = around.len() as u32 + 1;
            let mut here = Reach { depth, visits: 1, lacking: None };
            match conditions[at as usize] {
                Condition::All { end } | Condition::Any { end } | Condition::Not { end } => around.push(end),
                Condition::Segment(id) => {
                    let inner = segment(usize::from(id))?;
                    let visits = inner.visits.saturating_add(1);
                    here = Reach { depth: depth + inner.depth, visits, lacking: inner.lacking };
                }
                Condition::Test(..) => {}
            }
            reach = Reach {
                depth: reach.depth.max(here.depth),
                visits: reach.visits.saturating_add(here.visits),
                lacking: reach.lacking.or(here.lacking),
            };
            at += 1;
            if around.iter().all(|&end| end <= at) {
                return Ok(reach);
            }
        }
    }

    fn bound_flag(&self, id: usize, above: u32, segments: &[Bounds], known: &mut [Bounds]) -> Result<Reach> {
        let flag = &self.tables.flags[id];
        let key = || self.span_text(flag.key);
        match known[id] {
            Bounds::Known(reach) => return Ok(reach),
            Bounds::Open => return self.reader.error(format!("the flag `{}` is its own prerequisite", key())),
            Bounds::Unknown if above > MAX_PREREQUISITE_DEPTH => {
                return self.reader.error(format!("a chain of prerequisites is longer than {MAX_PREREQUISITE_DEPTH}"));
            }
            Bounds::Unknown => known[id] = Bounds::Open,
        }
        let of_segment = |id: usize| match segments[id] {
            Bounds::Known(reach) => reach,
            _ => Reach { depth: 0, visits: 0, lacking: None },
        };
        let mut visits = 1u32;
        let mut lacking = None;
        let lists = [flag.deny.segments, flag.exclude.segments];
        let allows = flag.allow.of(&self.tables.allows).iter().map(|allow| allow.people.segments);
        for segments in lists.into_iter().chain(allows) {
            for &segment in segments.of(&self.tables.segment_ids) {
                let reach = of_segment(usize::from(segment));
                visits = visits.saturating_add(reach.visits);
                lacking = lacking.or(reach.lacking);
            }
        }
        for rule in flag.rules.of(&self.tables.rules) {
            visits = visits.saturating_add(1);
            if let Some(when) = rule.when {
                let reach = self.bound_condition(when, &mut |id| Ok(of_segment(id)))?;
                if reach.depth > MAX_CONDITION_DEPTH {
                    return self.reader.error(format!(
                        "the conditions of the flag `{}` are nested deeper than {MAX_CONDITION_DEPTH}, segments unrolled",
                        key()
                    ));
                }
                visits = visits.saturating_add(reach.visits);
                lacking = lacking.or(reach.lacking);
            }
        }
        let mut depth = 1;
        for prerequisite in flag.prerequisites.of(&self.tables.prerequisites) {
            let reach = self.bound_flag(prerequisite.flag as usize, above + 1, segments, known)?;
            visits = visits.saturating_add(reach.visits);
            depth = depth.max(reach.depth + 1);
        }
        if depth > MAX_PREREQUISITE_DEPTH || visits > MAX_VISITS {
            return self.reader.error(format!(
                "the flag `{}` unrolls to {visits} conditions over {depth} flags; at most {MAX_VISITS} and {MAX_PREREQUISITE_DEPTH} are evaluated",
                key()
            ));
        }
        let reach = Reach { depth, visits, lacking };
        known[id] = Bounds::Known(reach);
        Ok(reach)
    }
}

fn text_of<'t>(document: &'t str, escaped: &'t str, span: Span) -> &'t str {
    let (start, length) = (span.start as usize, span.length as usize);
    match start.checked_sub(document.len()) {
        Some(start) if length > 0 => &escaped[start..start + length],
        _ => &document[start.min(document.len())..start.min(document.len()) + length],
    }
}

fn once_with<'a, T>(
    loader: &mut Loader<'a>,
    slot: &mut Option<T>,
    read: impl FnOnce(&mut Loader<'a>) -> Result<T>,
) -> Result<()> {
    let value = read(loader)?;
    once(&loader.reader, slot, value)
}

/// The number of a name of which there can be 65,535.
fn intern<'a>(
    loader: &mut Loader<'a>,
    names: for<'l> fn(&'l mut Loader<'a>) -> &'l mut Names,
    name: &Cow<'a, str>,
) -> Result<u16> {
    let span = loader.span(name);
    let mut table = std::mem::take(names(loader));
    let (document, escaped) = (loader.document, &loader.escaped);
    let text = |span| text_of(document, escaped, span);
    let id = table.find(name, text).unwrap_or_else(|| table.add(name, span, text));
    *names(loader) = table;
    match u16::try_from(id) {
        Ok(id) if id < u16::MAX => Ok(id),
        _ => loader.reader.error("more than 65,535 names"),
    }
}

fn extend<T>(table: &mut Vec<T>, records: Vec<T>) -> Slice {
    let start = table.len() as u32;
    table.extend(records);
    Slice { start, end: table.len() as u32 }
}

/// The members of a flag that name its variants.
const NEED_VARIANTS: [&str; 4] = ["off", "allow", "rules", "default"];

/// How much of a flag is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Whole,
    /// What a flag that this engine cannot evaluate needs to be killed, disabled or pinned.
    Gate,
}

#[derive(Default)]
struct Draft {
    requires: Option<Option<Span>>,
    kind: Option<FlagType>,
    variants: Option<Slice>,
    off: Option<VariantId>,
    salt: Option<Span>,
    enabled: Option<bool>,
    killed: Option<Span>,
    bucket_by: Option<AttributeId>,
    scheme: Option<Scheme>,
    prerequisites: Option<Slice>,
    deny: Option<People>,
    exclude: Option<Exclude>,
    allow: Option<Slice>,
    holdouts: Option<Slice>,
    layer: Option<LayerRanges>,
    rules: Option<Slice>,
    default: Option<Serve>,
}

#[derive(Clone, Copy, Default)]
struct Exclude {
    people: People,
    positions: Slice,
}

#[derive(Default)]
struct OperandLists<'a> {
    strings: Vec<Cow<'a, str>>,
    numbers: Vec<f64>,
    booleans: Booleans,
}

/// How far an evaluation can go from a place.
#[derive(Clone, Copy)]
struct Reach {
    depth: u32,
    visits: u32,
    /// The name that a segment on the way needs and this engine lacks.
    lacking: Option<Span>,
}

#[derive(Clone, Copy)]
enum Bounds {
    Unknown,
    /// Being worked out: to come here again is a circle.
    Open,
    Known(Reach),
}
