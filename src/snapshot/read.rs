//! From the document to the compiled form. `FORMAT.md` beside this file describes the document.
//!
//! Readers are passed as `dyn` and errors are boxed: this is most of what a browser downloads, and it runs once.

use super::json::{Kind, Mark, Reader, Result};
use super::load::{ALL, Audience, Snapshot, Tables};
use super::model::*;
use super::names::{Names, Texts};
use crate::Timestamp;
use std::borrow::Cow;

/// The largest document that is read, in bytes.
const MAX_BYTES: usize = 64 << 20;
/// The largest version, and the largest whole number that JavaScript counts to: 2^53 − 1.
pub(super) const MAX_WHOLE: i64 = (1 << 53) - 1;
/// The last instant of the year 9999.
pub(super) const MAX_MILLIS: i64 = 253_402_300_799_999;
pub(super) const MAX_NAMES: u32 = 65_535;
pub(super) const MAX_VARIANTS: usize = 4_096;
pub(super) const MAX_RULES: usize = 4_096;

pub(super) fn read(payload: String) -> Result<Snapshot> {
    let mut reader = Reader::new(&payload);
    if payload.len() > MAX_BYTES {
        return reader
            .error(["a snapshot is at most 64 MiB, this one has ", &payload.len().to_string(), " bytes"].concat());
    }
    let mut loader = Loader { document: &payload, ..Loader::default() };
    loader.attribute(&reader, Cow::Borrowed("targetingKey"))?;
    let head = loader.read_document(&mut reader)?;
    loader.resolve(&reader, &head)?;
    let Loader { unescaped, tables, .. } = loader;
    let mut text = payload;
    text.push_str(&unescaped);
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

#[derive(Default)]
pub(super) struct Loader<'a> {
    document: &'a str,
    /// Strings that stand in the document with escapes; their spans start where the document ends.
    unescaped: String,
    pub(super) tables: Tables,
    segments: Names,
    layers: Names,
    holdouts: Names,
    #[cfg(feature = "regex")]
    pub(super) patterns: Names,
    /// By segment number: its body, once it was read.
    segment_bodies: Vec<Option<Segment>>,
    /// By prerequisite number: the flag and its variants, to look up when all flags are known.
    prerequisites: Vec<(Span, Vec<Span>)>,
    /// Whether anything is hashed, so that there must be a salt.
    hashed: bool,
}

/// Refuses the document, with a message in parts.
pub(super) fn refuse<T>(reader: &Reader<'_>, message: &[&str]) -> Result<T> {
    reader.error(message.concat())
}

/// Refuses what a newer engine may know; the flag around it becomes an error, the rest of the snapshot works.
pub(super) fn unsupported<T>(reader: &Reader<'_>, place: &str, name: &str) -> Result<T> {
    let name = if place.is_empty() { name.to_owned() } else { [place, " ", name].concat() };
    refuse(reader, &["this engine does not know `", &name, "`"]).map_err(|mut error| {
        error.unsupported = Some(name);
        error
    })
}

/// A member that must be there.
fn required<T>(reader: &Reader<'_>, value: Option<T>, member: &str) -> Result<T> {
    match value {
        Some(value) => Ok(value),
        None => refuse(reader, &["`", member, "` is missing"]),
    }
}

pub(super) fn read_percent(reader: &mut Reader<'_>) -> Result<u32> {
    Ok(reader.whole(0, i64::from(ALL))? as u32)
}

pub(super) fn read_millis(reader: &mut Reader<'_>) -> Result<i64> {
    reader.whole(-MAX_MILLIS, MAX_MILLIS)
}

pub(super) fn read_number(reader: &mut Reader<'_>) -> Result<f64> {
    let start = reader.mark();
    let text = reader.number()?;
    let number = crate::number::parse(text);
    if number.is_finite() {
        return Ok(number);
    }
    reader.back_to(start);
    refuse(reader, &["the number ", text, " is too large"])
}

fn read_instant(reader: &mut Reader<'_>) -> Result<Timestamp> {
    let text = reader.string()?;
    match text.parse() {
        Ok(instant) => Ok(instant),
        Err(_) => refuse(reader, &["`", &text, "` is no RFC 3339 instant like 2025-01-10T08:00:00Z"]),
    }
}

fn read_type(reader: &mut Reader<'_>) -> Result<FlagType> {
    let name = reader.string()?;
    let kinds = [FlagType::Boolean, FlagType::String, FlagType::Number, FlagType::Json];
    match kinds.into_iter().find(|kind| kind.name() == name) {
        Some(kind) => Ok(kind),
        None => unsupported(reader, "type", &name),
    }
}

fn read_scheme(reader: &mut Reader<'_>) -> Result<Scheme> {
    let name = reader.string()?;
    match &*name {
        "xxh3" => Ok(Scheme::Xxh3),
        "js31" => Ok(Scheme::Js31),
        name => unsupported(reader, "", name),
    }
}

/// Reads an array of two, handing over which of them is next.
fn read_pair<'a>(reader: &mut Reader<'a>, read: &mut dyn FnMut(&mut Reader<'a>, bool) -> Result<()>) -> Result<()> {
    let mut count = 0;
    reader.elements(&mut |reader| {
        count += 1;
        if count > 2 { reader.error("expected two elements, found more") } else { read(reader, count == 1) }
    })?;
    if count < 2 { reader.error("expected two elements, found fewer") } else { Ok(()) }
}

/// Whether this engine knows a name that `requires` may hold.
fn is_supported(name: &str) -> bool {
    matches!(
        name,
        "xxh3" | "js31" | "hashed" | "prerequisites" | "layer" | "holdouts" | "schedule" | "exclude" | "segments"
    ) || super::read_condition::is_operator(name)
}

impl<'a> Loader<'a> {
    pub(super) fn texts(&self) -> Texts<'_> {
        Texts { document: self.document, unescaped: &self.unescaped }
    }

    pub(super) fn text(&self, span: Span) -> &str {
        self.texts().get(span)
    }

    /// Where a string of the document stands; one that had escapes is kept aside.
    pub(super) fn span(&mut self, text: &str) -> Span {
        let start = (text.as_ptr() as usize).wrapping_sub(self.document.as_ptr() as usize);
        if start < self.document.len() {
            return Span { start: start as u32, length: text.len() as u32 };
        }
        let start = (self.document.len() + self.unescaped.len()) as u32;
        self.unescaped.push_str(text);
        Span { start, length: text.len() as u32 }
    }

    pub(super) fn read_string(&mut self, reader: &mut Reader<'a>) -> Result<Span> {
        let text = reader.string()?;
        Ok(self.span(&text))
    }

    fn read_salt(&mut self, reader: &mut Reader<'a>) -> Result<Span> {
        let salt = reader.string()?;
        if salt.is_empty() || salt.chars().any(char::is_control) {
            return reader.error("a salt must not be empty and must not hold control characters");
        }
        Ok(self.span(&salt))
    }

    fn read_document(&mut self, reader: &mut Reader<'a>) -> Result<Head> {
        let (mut schema, mut environment, mut audience, mut version) = (None, None, None, None);
        let (mut created, mut expires, mut hash_salt, mut flags) = (None, None, None, None);
        reader.members(&mut |reader, member| {
            match member {
                "schema" => {
                    let start = reader.mark();
                    let found = reader.number()?;
                    if found != "1" {
                        reader.back_to(start);
                        return refuse(
                            reader,
                            &["expected 1, found ", found, "; a newer Flagstone wrote this snapshot"],
                        );
                    }
                    schema = Some(());
                }
                "environment" => environment = Some(self.read_string(reader)?),
                "audience" => {
                    let name = reader.string()?;
                    audience = match name.parse() {
                        Ok(audience) => Some(audience),
                        Err(_) => return refuse(reader, &["expected `server` or `client`, found `", &name, "`"]),
                    };
                }
                "version" => version = Some(reader.whole(1, MAX_WHOLE)? as u64),
                "created" => created = Some(read_instant(reader)?),
                "expires" => expires = Some(read_instant(reader)?),
                "hashSalt" => hash_salt = Some(self.read_salt(reader)?),
                "segments" => self.read_segments(reader)?,
                "layers" => self.read_layers(reader)?,
                "holdouts" => self.read_holdouts(reader)?,
                "flags" => flags = Some(self.read_flags(reader)?),
                _ => {
                    reader.skip()?;
                }
            }
            Ok(())
        })?;
        reader.end()?;
        required(reader, schema, "schema")?;
        required(reader, flags, "flags")?;
        let audience = required(reader, audience, "audience")?;
        if audience == Audience::Client {
            required(reader, expires, "expires")?;
        }
        Ok(Head {
            environment: required(reader, environment, "environment")?,
            audience,
            version: required(reader, version, "version")?,
            created: required(reader, created, "created")?,
            expires,
            hash_salt,
        })
    }

    // Names, which get numbers.

    fn attribute(&mut self, reader: &Reader<'a>, path: Cow<'a, str>) -> Result<AttributeId> {
        if let Some(id) = self.tables.attributes.find(&path, self.texts()) {
            return Ok(id as AttributeId);
        }
        if self.tables.attributes.len() >= MAX_NAMES {
            return reader.error("more than 65,535 attribute paths");
        }
        if super::load::AttributePath(&path).parts().any(|part| part.is_empty()) {
            return refuse(reader, &["the attribute path `", &path, "` has an empty part"]);
        }
        let span = self.span(&path);
        let texts = Texts { document: self.document, unescaped: &self.unescaped };
        Ok(self.tables.attributes.add(span, texts) as AttributeId)
    }

    pub(super) fn read_attribute(&mut self, reader: &mut Reader<'a>) -> Result<AttributeId> {
        let path = reader.string()?;
        self.attribute(reader, path)
    }

    /// A segment's number; a segment may be named before it is defined.
    pub(super) fn segment(&mut self, reader: &Reader<'a>, name: &str) -> Result<u16> {
        if let Some(id) = self.segments.find(name, self.texts()) {
            return Ok(id as u16);
        }
        if self.segments.len() >= MAX_NAMES {
            return reader.error("more than 65,535 segments");
        }
        let span = self.span(name);
        self.segment_bodies.push(None);
        let texts = Texts { document: self.document, unescaped: &self.unescaped };
        Ok(self.segments.add(span, texts) as u16)
    }

    fn read_segment_ids(&mut self, reader: &mut Reader<'a>) -> Result<Slice> {
        let start = self.tables.segment_ids.len();
        reader.elements(&mut |reader| {
            let name = reader.string()?;
            let id = self.segment(reader, &name)?;
            self.tables.segment_ids.push(id);
            Ok(())
        })?;
        Ok(Slice::from(start, &self.tables.segment_ids))
    }

    // Sections.

    fn read_segments(&mut self, reader: &mut Reader<'a>) -> Result<()> {
        reader.entries(&mut |reader, name| {
            let id = usize::from(self.segment(reader, &name)?);
            if self.segment_bodies[id].is_some() {
                return reader.error("the segment stands here twice");
            }
            let name = self.segments.spans[id];
            let start = reader.mark();
            let segment = match self.read_segment(reader, name) {
                Ok(segment) => segment,
                Err(error) => {
                    let Some(lacking) = &error.unsupported else { return Err(error) };
                    let lacking = self.span(lacking);
                    reader.back_to(start);
                    reader.skip()?;
                    Segment { unsupported: Some(lacking), ..Segment::nobody(name) }
                }
            };
            self.segment_bodies[id] = Some(segment);
            Ok(())
        })
    }

    fn read_segment(&mut self, reader: &mut Reader<'a>, name: Span) -> Result<Segment> {
        let mut segment = Segment::nobody(name);
        reader.members(&mut |reader, member| {
            match member {
                "by" => segment.by = self.read_attribute(reader)?,
                "include" => segment.include = self.read_keys(reader)?,
                "exclude" => segment.exclude = self.read_keys(reader)?,
                "when" => segment.when = Some(self.read_condition(reader)?),
                _ => {
                    reader.skip()?;
                }
            }
            Ok(())
        })?;
        Ok(segment)
    }

    fn read_layers(&mut self, reader: &mut Reader<'a>) -> Result<()> {
        reader.entries(&mut |reader, name| {
            if self.layers.find(&name, self.texts()).is_some() || self.layers.len() >= MAX_NAMES {
                return reader.error("the layer stands here twice, or is one of more than 65,535");
            }
            let (mut salt, mut by) = (None, TARGETING_KEY);
            reader.members(&mut |reader, member| {
                match member {
                    "salt" => salt = Some(self.read_salt(reader)?),
                    "by" => by = self.read_attribute(reader)?,
                    _ => {
                        reader.skip()?;
                    }
                }
                Ok(())
            })?;
            let salt = required(reader, salt, "salt")?;
            let name = self.span(&name);
            self.layers.add(name, Texts { document: self.document, unescaped: &self.unescaped });
            self.tables.layers.push(Layer { name, salt, by });
            Ok(())
        })
    }

    fn read_holdouts(&mut self, reader: &mut Reader<'a>) -> Result<()> {
        reader.entries(&mut |reader, name| {
            if self.holdouts.find(&name, self.texts()).is_some() || self.holdouts.len() >= MAX_NAMES {
                return reader.error("the holdout stands here twice, or is one of more than 65,535");
            }
            let (mut salt, mut by, mut percent) = (None, TARGETING_KEY, None);
            reader.members(&mut |reader, member| {
                match member {
                    "salt" => salt = Some(self.read_salt(reader)?),
                    "by" => by = self.read_attribute(reader)?,
                    "percent" => percent = Some(read_percent(reader)?),
                    _ => {
                        reader.skip()?;
                    }
                }
                Ok(())
            })?;
            let salt = required(reader, salt, "salt")?;
            let percent = required(reader, percent, "percent")?;
            let name = self.span(&name);
            self.holdouts.add(name, Texts { document: self.document, unescaped: &self.unescaped });
            self.tables.holdouts.push(Holdout { name, salt, by, percent });
            Ok(())
        })
    }

    fn read_flags(&mut self, reader: &mut Reader<'a>) -> Result<()> {
        reader.entries(&mut |reader, key| {
            if self.tables.flag_keys.find(&key, self.texts()).is_some() {
                return reader.error("the flag stands here twice");
            }
            let key = self.span(&key);
            self.tables.flag_keys.add(key, Texts { document: self.document, unescaped: &self.unescaped });
            let start = reader.mark();
            let prerequisites = self.prerequisites.len();
            let flag = match self.read_flag(reader, key, Part::Whole) {
                Ok(flag) => flag,
                // Whatever else seems wrong with a flag that needs a newer engine, this engine cannot judge.
                Err(error) => {
                    let lacking = match &error.unsupported {
                        Some(name) => Some(name.clone()),
                        None => self.read_lacking(reader, start).unwrap_or_default(),
                    };
                    let Some(lacking) = lacking else { return Err(error) };
                    let lacking = self.span(&lacking);
                    self.prerequisites.truncate(prerequisites);
                    reader.back_to(start);
                    Flag { unsupported: Some(lacking), ..self.read_flag(reader, key, Part::Gate)? }
                }
            };
            self.tables.flags.push(flag);
            Ok(())
        })
    }

    /// The first name that the flag at `start` requires and this engine lacks.
    fn read_lacking(&mut self, reader: &mut Reader<'a>, start: Mark) -> Result<Option<String>> {
        reader.back_to(start);
        let mut lacking = None;
        reader.members(&mut |reader, member| {
            if member == "requires" {
                lacking = self.read_requires(reader)?.map(|name| self.text(name).to_owned());
            } else {
                reader.skip()?;
            }
            Ok(())
        })?;
        Ok(lacking)
    }

    /// The first of the required names that this engine lacks.
    fn read_requires(&mut self, reader: &mut Reader<'a>) -> Result<Option<Span>> {
        let mut lacking = None;
        reader.elements(&mut |reader| {
            let name = reader.string()?;
            if lacking.is_none() && !is_supported(&name) {
                lacking = Some(self.span(&name));
            }
            Ok(())
        })?;
        Ok(lacking)
    }

    fn read_flag(&mut self, reader: &mut Reader<'a>, key: Span, part: Part) -> Result<Flag> {
        let mut draft = Draft::default();
        let mut deferred: Vec<(&str, Mark)> = Vec::new();
        reader.members(&mut |reader, member| {
            if let Some(name) = NEED_VARIANTS.iter().find(|name| **name == member) {
                // The format writes the variants first; where they come later, these members are read afterwards.
                if draft.variants.is_some() && part == Part::Whole {
                    return self.read_with_variants(reader, name, &mut draft);
                }
                deferred.push((name, reader.mark()));
                reader.skip()?;
                return Ok(());
            }
            match member {
                "requires" => draft.lacking = self.read_requires(reader)?,
                "type" => draft.kind = Some(read_type(reader)?),
                "variants" => draft.variants = Some(self.read_variants(reader)?),
                "salt" => draft.salt = Some(self.read_salt(reader)?),
                "enabled" => draft.disabled = !reader.boolean()?,
                "killed" => draft.killed = Some(self.read_string(reader)?),
                _ if part == Part::Gate => {
                    reader.skip()?;
                }
                "bucketBy" => draft.bucket_by = self.read_attribute(reader)?,
                "scheme" => draft.scheme = Some(read_scheme(reader)?),
                "prerequisites" => draft.prerequisites = self.read_prerequisites(reader)?,
                "deny" => (draft.deny, _, _) = self.read_people(reader, "deny", None)?,
                "exclude" => {
                    (draft.exclude, draft.excluded_positions, _) = self.read_people(reader, "exclude", None)?
                }
                "holdouts" => draft.holdouts = self.read_holdout_ids(reader)?,
                "layer" => draft.layer = Some(self.read_layer(reader)?),
                _ => {
                    reader.skip()?;
                }
            }
            Ok(())
        })?;
        let end = reader.mark();
        for (name, mark) in deferred {
            if part == Part::Whole || name == "off" {
                reader.back_to(mark);
                self.read_with_variants(reader, name, &mut draft).map_err(|error| error.within(name))?;
            }
        }
        reader.back_to(end);
        self.assemble(reader, key, draft, part)
    }

    /// Reads a member that names variants of the flag.
    fn read_with_variants(&mut self, reader: &mut Reader<'a>, member: &str, draft: &mut Draft) -> Result<()> {
        let variants = required(reader, draft.variants, "variants")?;
        match member {
            "off" => draft.off = Some(self.read_variant(reader, variants)?),
            "allow" => draft.allow = self.read_allow(reader, variants)?,
            "rules" => draft.rules = self.read_rules(reader, variants)?,
            _ => draft.default = Some(self.read_serve(reader, variants)?),
        }
        Ok(())
    }

    fn assemble(&mut self, reader: &Reader<'a>, key: Span, draft: Draft, part: Part) -> Result<Flag> {
        let kind = required(reader, draft.kind, "type")?;
        let variants = required(reader, draft.variants, "variants")?;
        let off = required(reader, draft.off, "off")?;
        let gate_only = Some(Serve::Everyone(Share::Variant(off))).filter(|_| part == Part::Gate);
        let default = required(reader, draft.default.or(gate_only), "default")?;
        for index in variants.start..variants.end {
            let variant = &mut self.tables.variants[index as usize];
            match (kind, variant.value) {
                (FlagType::Json, _) => variant.value = VariantValue::Json,
                (FlagType::Boolean, VariantValue::Boolean(_))
                | (FlagType::String, VariantValue::String(_))
                | (FlagType::Number, VariantValue::Number(_)) => {}
                _ => {
                    let name = variant.name;
                    return refuse(reader, &["the variant `", self.text(name), "` is no ", kind.name()]);
                }
            }
        }
        Ok(Flag {
            key,
            kind,
            variants,
            off,
            salt: required(reader, draft.salt, "salt")?,
            gate: match draft.killed {
                Some(by) => Gate::Killed(by),
                None if draft.disabled => Gate::Disabled,
                None => Gate::Open,
            },
            unsupported: draft.lacking,
            bucket_by: draft.bucket_by,
            scheme: draft.scheme.unwrap_or(Scheme::Xxh3),
            prerequisites: draft.prerequisites,
            deny: draft.deny,
            exclude: draft.exclude,
            excluded_positions: draft.excluded_positions,
            allow: draft.allow,
            holdouts: draft.holdouts,
            layer: draft.layer,
            rules: draft.rules,
            default,
        })
    }

    fn read_variants(&mut self, reader: &mut Reader<'a>) -> Result<Slice> {
        let start = self.tables.variants.len();
        reader.entries(&mut |reader, name| {
            let so_far = Slice::from(start, &self.tables.variants);
            if self.find_variant(so_far, &name).is_some() {
                return reader.error("the variant stands here twice");
            }
            if self.tables.variants.len() - start == MAX_VARIANTS {
                return reader.error("more than 4,096 variants");
            }
            let mark = reader.mark();
            let value = match reader.peek()? {
                Kind::Boolean => VariantValue::Boolean(reader.boolean()?),
                Kind::String => VariantValue::String(self.read_string(reader)?),
                Kind::Number => VariantValue::Number(read_number(reader)?),
                _ => {
                    reader.skip()?;
                    VariantValue::Json
                }
            };
            let json = self.span(reader.since(mark));
            let name = self.span(&name);
            self.tables.variants.push(Variant { name, value, json });
            Ok(())
        })?;
        if start == self.tables.variants.len() {
            return reader.error("a flag needs at least one variant");
        }
        Ok(Slice::from(start, &self.tables.variants))
    }

    fn find_variant(&self, variants: Slice, name: &str) -> Option<VariantId> {
        let variants = variants.of(&self.tables.variants);
        variants.iter().position(|variant| self.text(variant.name) == name).map(|index| index as VariantId)
    }

    fn read_variant(&mut self, reader: &mut Reader<'a>, variants: Slice) -> Result<VariantId> {
        let name = reader.string()?;
        match self.find_variant(variants, &name) {
            Some(variant) => Ok(variant),
            None => refuse(reader, &["the flag has no variant `", &name, "`"]),
        }
    }

    fn read_prerequisites(&mut self, reader: &mut Reader<'a>) -> Result<Slice> {
        let start = self.prerequisites.len();
        reader.elements(&mut |reader| {
            let (mut flag, mut variants) = (None, None);
            reader.members(&mut |reader, member| {
                match member {
                    "flag" => flag = Some(self.read_string(reader)?),
                    "variants" => {
                        let mut names = Vec::new();
                        reader.elements(&mut |reader| {
                            names.push(self.read_string(reader)?);
                            Ok(())
                        })?;
                        variants = Some(names);
                    }
                    other => return unsupported(reader, "prerequisite", other),
                }
                Ok(())
            })?;
            self.prerequisites.push((required(reader, flag, "flag")?, required(reader, variants, "variants")?));
            Ok(())
        })?;
        Ok(Slice::from(start, &self.prerequisites))
    }

    fn read_keys(&mut self, reader: &mut Reader<'a>) -> Result<Keys> {
        if reader.peek()? == Kind::Array {
            return Ok(Keys::Plain(self.read_sorted_strings(reader)?));
        }
        let mut hashes = None;
        reader.members(&mut |reader, member| match member {
            "hashed" => {
                hashes = Some(self.read_hashes(reader)?);
                Ok(())
            }
            other => unsupported(reader, "list", other),
        })?;
        Ok(Keys::Hashed(required(reader, hashes, "hashed")?))
    }

    pub(super) fn read_hashes(&mut self, reader: &mut Reader<'a>) -> Result<Slice> {
        use base64ct::{Base64UrlUnpadded, Encoding};
        let text = reader.string()?;
        let start = self.tables.hashes.len();
        let bytes = Base64UrlUnpadded::decode_vec(&text).unwrap_or_default();
        let (chunks, rest) = bytes.as_chunks::<8>();
        self.tables.hashes.extend(chunks.iter().map(|&chunk| u64::from_be_bytes(chunk)));
        if !rest.is_empty() || bytes.is_empty() != text.is_empty() || !self.tables.hashes[start..].is_sorted() {
            return reader.error("expected base64url, unpadded, of 8-byte hashes in ascending order");
        }
        self.hashed = true;
        Ok(Slice::from(start, &self.tables.hashes))
    }

    /// Reads lists of people: keys and segments, and where they belong, a variant or ranges of positions.
    fn read_people(
        &mut self,
        reader: &mut Reader<'a>,
        place: &str,
        variants: Option<Slice>,
    ) -> Result<(People, Slice, Option<VariantId>)> {
        let (mut people, mut positions, mut variant) = (People::default(), Slice::default(), None);
        reader.members(&mut |reader, member| {
            match (member, variants) {
                ("keys", _) => people.keys = self.read_keys(reader)?,
                ("segments", _) => people.segments = self.read_segment_ids(reader)?,
                ("variant", Some(variants)) => variant = Some(self.read_variant(reader, variants)?),
                ("positions", _) if place == "exclude" => positions = self.read_positions(reader)?,
                (other, _) => return unsupported(reader, place, other),
            }
            Ok(())
        })?;
        Ok((people, positions, variant))
    }

    fn read_allow(&mut self, reader: &mut Reader<'a>, variants: Slice) -> Result<Slice> {
        let start = self.tables.allows.len();
        reader.elements(&mut |reader| {
            let (people, _, variant) = self.read_people(reader, "allow", Some(variants))?;
            self.tables.allows.push(Allow { variant: required(reader, variant, "variant")?, people });
            Ok(())
        })?;
        Ok(Slice::from(start, &self.tables.allows))
    }

    fn read_positions(&mut self, reader: &mut Reader<'a>) -> Result<Slice> {
        let start = self.tables.position_ranges.len();
        reader.elements(&mut |reader| {
            let (mut from, mut to) = (0, 0);
            read_pair(reader, &mut |reader, first| {
                *(if first { &mut from } else { &mut to }) = read_percent(reader)?;
                Ok(())
            })?;
            if from >= to {
                return reader.error("expected a range [from, to] with from below to");
            }
            self.tables.position_ranges.push(PositionRange { from, to });
            Ok(())
        })?;
        Ok(Slice::from(start, &self.tables.position_ranges))
    }

    fn read_holdout_ids(&mut self, reader: &mut Reader<'a>) -> Result<Slice> {
        let start = self.tables.holdout_ids.len();
        reader.elements(&mut |reader| {
            let name = reader.string()?;
            match self.holdouts.find(&name, self.texts()) {
                Some(id) => self.tables.holdout_ids.push(id as u16),
                None => return refuse(reader, &["there is no holdout `", &name, "` (they stand before `flags`)"]),
            }
            Ok(())
        })?;
        Ok(Slice::from(start, &self.tables.holdout_ids))
    }

    fn read_layer(&mut self, reader: &mut Reader<'a>) -> Result<LayerRanges> {
        let (mut layer, mut ranges) = (None, None);
        reader.members(&mut |reader, member| {
            match member {
                "name" => {
                    let name = reader.string()?;
                    match self.layers.find(&name, self.texts()) {
                        Some(id) => layer = Some(id as u16),
                        None => {
                            return refuse(reader, &["there is no layer `", &name, "` (they stand before `flags`)"]);
                        }
                    }
                }
                "ranges" => ranges = Some(self.read_positions(reader)?),
                other => return unsupported(reader, "layer", other),
            }
            Ok(())
        })?;
        Ok(LayerRanges { layer: required(reader, layer, "name")?, ranges: required(reader, ranges, "ranges")? })
    }

    fn read_rules(&mut self, reader: &mut Reader<'a>, variants: Slice) -> Result<Slice> {
        let start = self.tables.rules.len();
        reader.elements(&mut |reader| {
            let (mut id, mut when, mut serve) = (None, None, None);
            reader.members(&mut |reader, member| {
                match member {
                    "id" => id = Some(self.read_string(reader)?),
                    "when" => when = Some(self.read_condition(reader)?),
                    "serve" => serve = Some(self.read_serve(reader, variants)?),
                    other => return unsupported(reader, "rule", other),
                }
                Ok(())
            })?;
            if self.tables.rules.len() - start == MAX_RULES {
                return reader.error("more than 4,096 rules");
            }
            let (id, serve) = (required(reader, id, "id")?, required(reader, serve, "serve")?);
            self.tables.rules.push(Rule { id, when, serve });
            Ok(())
        })?;
        Ok(Slice::from(start, &self.tables.rules))
    }

    fn read_serve(&mut self, reader: &mut Reader<'a>, variants: Slice) -> Result<Serve> {
        if reader.peek()? == Kind::String {
            return Ok(Serve::Everyone(Share::Variant(self.read_variant(reader, variants)?)));
        }
        let mut serve = None;
        reader.members(&mut |reader, member| {
            let read = match member {
                "split" => Serve::Everyone(Share::Split(self.read_split(reader, variants)?)),
                "ramp" => self.read_ramp(reader, variants)?,
                other => return unsupported(reader, "serve", other),
            };
            if serve.replace(read).is_some() { reader.error("expected `split` or `ramp`, not both") } else { Ok(()) }
        })?;
        required(reader, serve, "split")
    }

    fn read_split(&mut self, reader: &mut Reader<'a>, variants: Slice) -> Result<Slice> {
        let start = self.tables.bounds.len();
        reader.elements(&mut |reader| {
            let (mut variant, mut below) = (0, 0);
            read_pair(reader, &mut |reader, first| {
                if first {
                    variant = self.read_variant(reader, variants)?;
                } else {
                    below = read_percent(reader)?;
                }
                Ok(())
            })?;
            if self.tables.bounds[start..].last().is_some_and(|last| last.below > below) {
                return reader.error("expected upper bounds that never fall");
            }
            self.tables.bounds.push(Bound { variant, below });
            Ok(())
        })?;
        if self.tables.bounds[start..].last().is_none_or(|last| last.below != ALL) {
            return reader.error("the last upper bound must be 100000");
        }
        Ok(Slice::from(start, &self.tables.bounds))
    }

    fn read_ramp(&mut self, reader: &mut Reader<'a>, variants: Slice) -> Result<Serve> {
        let (mut percent, mut share) = (None, None);
        reader.members(&mut |reader, member| {
            let read = match member {
                "percent" => Percent::Fixed(read_percent(reader)?),
                "schedule" => Percent::Scheduled(self.read_schedule(reader)?),
                "serve" => {
                    return match self.read_serve(reader, variants)? {
                        Serve::Everyone(read) => {
                            share = Some(read);
                            Ok(())
                        }
                        Serve::Ramp(..) => reader.error("a ramp serves a variant or a split, not another ramp"),
                    };
                }
                other => return unsupported(reader, "ramp", other),
            };
            let twice = percent.replace(read).is_some();
            if twice { reader.error("expected `percent` or `schedule`, not both") } else { Ok(()) }
        })?;
        Ok(Serve::Ramp(required(reader, percent, "percent")?, required(reader, share, "serve")?))
    }

    fn read_schedule(&mut self, reader: &mut Reader<'a>) -> Result<u32> {
        let (mut before, mut points, mut linear) = (None, None, false);
        reader.members(&mut |reader, member| {
            match member {
                "before" => before = Some(read_percent(reader)?),
                "points" => points = Some(self.read_points(reader)?),
                "linear" => linear = reader.boolean()?,
                other => return unsupported(reader, "schedule", other),
            }
            Ok(())
        })?;
        let (before, points) = (required(reader, before, "before")?, required(reader, points, "points")?);
        self.tables.schedules.push(Schedule { before, points, linear });
        Ok(self.tables.schedules.len() as u32 - 1)
    }

    fn read_points(&mut self, reader: &mut Reader<'a>) -> Result<Slice> {
        let start = self.tables.points.len();
        reader.elements(&mut |reader| {
            let (mut at, mut percent) = (0, 0);
            read_pair(reader, &mut |reader, first| {
                if first {
                    at = read_millis(reader)?;
                } else {
                    percent = read_percent(reader)?;
                }
                Ok(())
            })?;
            if self.tables.points[start..].last().is_some_and(|last| last.at >= at) {
                return reader.error("expected points each later than the one before");
            }
            self.tables.points.push(Point { at, percent });
            Ok(())
        })?;
        if start == self.tables.points.len() {
            return reader.error("a schedule needs at least one point");
        }
        Ok(Slice::from(start, &self.tables.points))
    }

    /// Looks up what may be named before it is defined, and bounds what evaluating can cost.
    fn resolve(&mut self, reader: &Reader<'a>, head: &Head) -> Result<()> {
        if self.hashed {
            required(reader, head.hash_salt, "hashSalt")?;
        }
        for (id, segment) in std::mem::take(&mut self.segment_bodies).into_iter().enumerate() {
            let Some(segment) = segment else {
                let name = self.text(self.segments.spans[id]);
                return refuse(reader, &["there is no segment `", name, "`, but it is named"]);
            };
            self.tables.segments.push(segment);
        }
        for (flag, variants) in std::mem::take(&mut self.prerequisites) {
            let key = self.text(flag);
            let Some(flag) = self.tables.flag_keys.find(key, self.texts()) else {
                return refuse(reader, &["there is no flag `", key, "`, but it is a prerequisite"]);
            };
            let start = self.tables.variant_ids.len();
            for variant in variants {
                let of = self.tables.flags[flag as usize].variants;
                let Some(id) = self.find_variant(of, self.text(variant)) else {
                    let (key, variant) = (self.text(self.tables.flags[flag as usize].key), self.text(variant));
                    return refuse(
                        reader,
                        &["the flag `", key, "` has no variant `", variant, "`, but it is required"],
                    );
                };
                self.tables.variant_ids.push(id);
            }
            let variants = Slice::from(start, &self.tables.variant_ids);
            self.tables.prerequisites.push(Prerequisite { flag, variants });
        }
        self.bound(reader)
    }
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
    lacking: Option<Span>,
    kind: Option<FlagType>,
    variants: Option<Slice>,
    off: Option<VariantId>,
    salt: Option<Span>,
    disabled: bool,
    killed: Option<Span>,
    bucket_by: AttributeId,
    scheme: Option<Scheme>,
    prerequisites: Slice,
    deny: People,
    exclude: People,
    excluded_positions: Slice,
    allow: Slice,
    holdouts: Slice,
    layer: Option<LayerRanges>,
    rules: Slice,
    default: Option<Serve>,
}
