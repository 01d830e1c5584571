//! From the document to the compiled form. `FORMAT.md` beside this file describes the document.

use super::json::{Document, Fault, Id, Kind, Result};
use super::load::{ALL, AttributePath, Audience, Snapshot, Tables};
use super::model::*;
use super::names::Names;
use crate::Timestamp;

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
    if payload.len() > MAX_BYTES {
        let message = ["a snapshot is at most 64 MiB, this one has ", &payload.len().to_string(), " bytes"].concat();
        return Err(Box::new(Fault { path: String::new(), offset: 0, message, unsupported: None }));
    }
    let mut document = Document::parse(&payload)?;
    let targeting_key = Span { start: (payload.len() + document.unescaped.len()) as u32, length: 12 };
    document.unescaped.push_str("targetingKey");
    let mut loader = Loader::new(&document);
    loader.tables.attributes.add(targeting_key, document.texts());
    let root = document.root();
    let schema = document.need(root, "schema")?;
    let found = document.text(document.source(schema));
    if found != "1" {
        return document.error(schema, &["expected 1, found ", found, "; a newer Flagstone wrote this snapshot"]);
    }
    let audience = document.need(root, "audience")?;
    let audience = match document.string(audience)? {
        "server" => Audience::Server,
        "client" => Audience::Client,
        other => return document.error(audience, &["expected `server` or `client`, found `", other, "`"]),
    };
    let expires = match audience {
        Audience::Client => Some(document.need(root, "expires")?),
        Audience::Server => document.get(root, "expires")?,
    };
    let environment = document.span(document.need(root, "environment")?)?;
    let version = document.whole(document.need(root, "version")?, 1, MAX_WHOLE)? as u64;
    let created = loader.instant(document.need(root, "created")?)?;
    let expires = expires.map(|expires| loader.instant(expires)).transpose()?;
    let hash_salt = document.get(root, "hashSalt")?.map(|salt| loader.salt(salt)).transpose()?;
    loader.sections(root)?;
    if loader.hashed {
        document.need(root, "hashSalt")?;
    }
    let Loader { tables, .. } = loader;
    let unescaped = document.unescaped;
    let mut text = payload;
    text.push_str(&unescaped);
    let text = text.into_boxed_str();
    let hash_salt = hash_salt.unwrap_or_default();
    Ok(Snapshot { text, environment, audience, version, created, expires, hash_salt, tables })
}

pub(super) struct Loader<'d> {
    pub(super) document: &'d Document<'d>,
    pub(super) tables: Tables,
    pub(super) segments: Names,
    layers: Names,
    holdouts: Names,
    #[cfg(feature = "regex")]
    pub(super) patterns: Names,
    /// Whether anything is hashed, so that there must be a salt.
    hashed: bool,
}

impl<'d> Loader<'d> {
    fn new(document: &'d Document<'d>) -> Self {
        Loader {
            document,
            tables: Tables::default(),
            segments: Names::default(),
            layers: Names::default(),
            holdouts: Names::default(),
            #[cfg(feature = "regex")]
            patterns: Names::default(),
            hashed: false,
        }
    }

    /// Refuses what a newer engine may know; the flag around it becomes an error, the rest of the snapshot works.
    pub(super) fn unsupported<T>(&self, at: Id, name: Span) -> Result<T> {
        let mut fault = self.document.fault(at, &["this engine does not know `", self.document.text(name), "`"]);
        fault.unsupported = Some(name);
        Err(fault)
    }

    /// Makes sure that an object has no members but these.
    pub(super) fn only(&self, object: Id, known: &[&str]) -> Result<()> {
        for (name, value) in self.document.members(object)? {
            if !known.contains(&self.document.text(name)) {
                return self.unsupported(value, name);
            }
        }
        Ok(())
    }

    fn instant(&self, id: Id) -> Result<Timestamp> {
        let text = self.document.string(id)?;
        match text.parse() {
            Ok(instant) => Ok(instant),
            Err(_) => self.document.error(id, &["`", text, "` is no RFC 3339 instant like 2025-01-10T08:00:00Z"]),
        }
    }

    fn salt(&self, id: Id) -> Result<Span> {
        let span = self.document.span(id)?;
        let salt = self.document.text(span);
        if salt.is_empty() || salt.chars().any(char::is_control) {
            return self.document.error(id, &["a salt must not be empty and must not hold control characters"]);
        }
        Ok(span)
    }

    fn percent(&self, id: Id) -> Result<u32> {
        Ok(self.document.whole(id, 0, i64::from(ALL))? as u32)
    }

    pub(super) fn millis(&self, id: Id) -> Result<i64> {
        self.document.whole(id, -MAX_MILLIS, MAX_MILLIS)
    }

    /// An array of two.
    fn pair(&self, id: Id) -> Result<(Id, Id)> {
        let mut elements = self.document.elements(id)?;
        match (elements.next(), elements.next(), elements.next()) {
            (Some(first), Some(second), None) => Ok((first, second)),
            _ => self.document.error(id, &["expected two elements"]),
        }
    }

    pub(super) fn attribute(&mut self, id: Id) -> Result<AttributeId> {
        let span = self.document.span(id)?;
        let (path, texts) = (self.document.text(span), self.document.texts());
        if let Some(attribute) = self.tables.attributes.find(path, texts) {
            return Ok(attribute as AttributeId);
        }
        if self.tables.attributes.len() >= MAX_NAMES {
            return self.document.error(id, &["more than 65,535 attribute paths"]);
        }
        if AttributePath(path).parts().any(|part| part.is_empty()) {
            return self.document.error(id, &["the attribute path `", path, "` has an empty part"]);
        }
        Ok(self.tables.attributes.add(span, texts) as AttributeId)
    }

    /// What an object is bucketed by, or whom its lists name.
    fn by(&mut self, object: Id, member: &str) -> Result<AttributeId> {
        match self.document.get(object, member)? {
            Some(path) => self.attribute(path),
            None => Ok(TARGETING_KEY),
        }
    }

    /// The number of a name that must be defined.
    pub(super) fn named(&self, id: Id, names: &Names, what: &str) -> Result<u32> {
        let name = self.document.string(id)?;
        match names.find(name, self.document.texts()) {
            Some(number) => Ok(number),
            None => self.document.error(id, &["there is no ", what, " `", name, "`"]),
        }
    }

    // Sections.

    /// Reads everything: first all names, which may be used before the place where they are defined.
    fn sections(&mut self, root: Id) -> Result<()> {
        let document = self.document;
        let section = |name| document.get(root, name);
        let (segments, layers, holdouts) = (section("segments")?, section("layers")?, section("holdouts")?);
        let flags = document.need(root, "flags")?;
        for (names, section) in
            [(&mut self.segments, segments), (&mut self.layers, layers), (&mut self.holdouts, holdouts)]
        {
            let Some(section) = section else { continue };
            *names = names_of(document, section)?;
            if names.len() > MAX_NAMES {
                return document.error(section, &["more than 65,535 names"]);
            }
        }
        self.tables.flag_keys = names_of(document, flags)?;
        if let Some(segments) = segments {
            for (name, segment) in document.members(segments)? {
                let segment = match self.segment(name, segment) {
                    Err(fault) if fault.unsupported.is_some() => {
                        Segment { unsupported: fault.unsupported, ..Segment::nobody(name) }
                    }
                    segment => segment?,
                };
                self.tables.segments.push(segment);
            }
        }
        if let Some(layers) = layers {
            for (name, layer) in document.members(layers)? {
                let (salt, by) = (self.salt(document.need(layer, "salt")?)?, self.by(layer, "by")?);
                self.tables.layers.push(Layer { name, salt, by });
            }
        }
        if let Some(holdouts) = holdouts {
            for (name, holdout) in document.members(holdouts)? {
                let (salt, by) = (self.salt(document.need(holdout, "salt")?)?, self.by(holdout, "by")?);
                let percent = self.percent(document.need(holdout, "percent")?)?;
                self.tables.holdouts.push(Holdout { name, salt, by, percent });
            }
        }
        // Variants before anything that names them, so that a prerequisite may stand before the flag it names.
        for (key, flag) in document.members(flags)? {
            let gate = self.gate(key, flag)?;
            self.tables.flags.push(gate);
        }
        for (index, (_, id)) in document.members(flags)?.enumerate() {
            let gate = self.tables.flags[index];
            self.tables.flags[index] = match self.flag(id, gate) {
                Ok(flag) => flag,
                // Whatever else seems wrong with a flag that needs a newer engine, this engine cannot judge.
                Err(fault) => match fault.unsupported.or(gate.unsupported) {
                    None => return Err(fault),
                    unsupported => Flag { unsupported, ..gate },
                },
            };
        }
        self.bound(segments, flags)
    }

    fn segment(&mut self, name: Span, id: Id) -> Result<Segment> {
        let document = self.document;
        let mut segment = Segment { by: self.by(id, "by")?, ..Segment::nobody(name) };
        if let Some(keys) = document.get(id, "include")? {
            segment.include = self.keys(keys)?;
        }
        if let Some(keys) = document.get(id, "exclude")? {
            segment.exclude = self.keys(keys)?;
        }
        if let Some(when) = document.get(id, "when")? {
            segment.when = Some(self.condition_tree(when)?);
        }
        Ok(segment)
    }

    fn segment_ids(&mut self, id: Id) -> Result<Slice> {
        let start = self.tables.segment_ids.len();
        for name in self.document.elements(id)? {
            let segment = self.named(name, &self.segments, "segment")?;
            self.tables.segment_ids.push(segment as u16);
        }
        Ok(Slice::from(start, &self.tables.segment_ids))
    }

    /// Reads what a flag needs to be killed, disabled or pinned, which works even where the rest is not understood.
    fn gate(&mut self, key: Span, id: Id) -> Result<Flag> {
        let document = self.document;
        let mut unsupported = None;
        if let Some(requires) = document.get(id, "requires")? {
            for name in document.elements(requires)? {
                let span = document.span(name)?;
                if unsupported.is_none() && !is_supported(document.text(span)) {
                    unsupported = Some(span);
                }
            }
        }
        let kind = document.need(id, "type")?;
        let kind = match document.string(kind)? {
            "boolean" => FlagType::Boolean,
            "string" => FlagType::String,
            "number" => FlagType::Number,
            "json" => FlagType::Json,
            _ => {
                unsupported = unsupported.or(Some(document.span(kind)?));
                FlagType::Json
            }
        };
        let variants = self.variants(document.need(id, "variants")?, kind)?;
        let off = self.variant(document.need(id, "off")?, variants)?;
        let gate = match (document.get(id, "killed")?, document.get(id, "enabled")?) {
            (Some(by), _) => Gate::Killed(document.span(by)?),
            (None, Some(enabled)) if !document.boolean(enabled)? => Gate::Disabled,
            (None, _) => Gate::Open,
        };
        Ok(Flag {
            key,
            kind,
            variants,
            off,
            salt: self.salt(document.need(id, "salt")?)?,
            gate,
            unsupported,
            bucket_by: TARGETING_KEY,
            scheme: Scheme::Xxh3,
            prerequisites: Slice::default(),
            deny: People::default(),
            exclude: People::default(),
            excluded_positions: Slice::default(),
            allow: Slice::default(),
            holdouts: Slice::default(),
            layer: None,
            rules: Slice::default(),
            default: Serve::Everyone(Share::Variant(off)),
        })
    }

    /// Reads the rest of a flag.
    fn flag(&mut self, id: Id, gate: Flag) -> Result<Flag> {
        let document = self.document;
        let variants = gate.variants;
        let mut flag = Flag {
            bucket_by: self.by(id, "bucketBy")?,
            default: self.serve(document.need(id, "default")?, variants)?,
            ..gate
        };
        if let Some(scheme) = document.get(id, "scheme")? {
            flag.scheme = match document.string(scheme)? {
                "xxh3" => Scheme::Xxh3,
                "js31" => Scheme::Js31,
                _ => return self.unsupported(scheme, document.span(scheme)?),
            };
        }
        if let Some(prerequisites) = document.get(id, "prerequisites")? {
            flag.prerequisites = self.prerequisites(prerequisites)?;
        }
        if let Some(deny) = document.get(id, "deny")? {
            self.only(deny, &["keys", "segments"])?;
            flag.deny = self.people(deny)?;
        }
        if let Some(exclude) = document.get(id, "exclude")? {
            self.only(exclude, &["keys", "segments", "positions"])?;
            flag.exclude = self.people(exclude)?;
            if let Some(positions) = document.get(exclude, "positions")? {
                flag.excluded_positions = self.positions(positions)?;
            }
        }
        if let Some(allow) = document.get(id, "allow")? {
            flag.allow = self.allow(allow, variants)?;
        }
        if let Some(holdouts) = document.get(id, "holdouts")? {
            let start = self.tables.holdout_ids.len();
            for name in document.elements(holdouts)? {
                let holdout = self.named(name, &self.holdouts, "holdout")?;
                self.tables.holdout_ids.push(holdout as u16);
            }
            flag.holdouts = Slice::from(start, &self.tables.holdout_ids);
        }
        if let Some(layer) = document.get(id, "layer")? {
            self.only(layer, &["name", "ranges"])?;
            flag.layer = Some(LayerRanges {
                layer: self.named(document.need(layer, "name")?, &self.layers, "layer")? as u16,
                ranges: self.positions(document.need(layer, "ranges")?)?,
            });
        }
        if let Some(rules) = document.get(id, "rules")? {
            flag.rules = self.rules(rules, variants)?;
        }
        Ok(flag)
    }

    fn variants(&mut self, id: Id, kind: FlagType) -> Result<Slice> {
        let document = self.document;
        let start = self.tables.variants.len();
        for (name, value) in document.members(id)? {
            let json = document.source(value);
            let value = match (kind, document.kind(value)) {
                (FlagType::Json, _) => VariantValue::Json,
                (FlagType::Boolean, Kind::Boolean) => VariantValue::Boolean(document.boolean(value)?),
                (FlagType::String, Kind::String) => VariantValue::String(document.span(value)?),
                (FlagType::Number, Kind::Number) => VariantValue::Number(document.number(value)?),
                _ => return document.error(value, &["this variant is no ", kind.name()]),
            };
            self.tables.variants.push(Variant { name, value, json });
        }
        let variants = Slice::from(start, &self.tables.variants);
        match variants.of(&self.tables.variants).len() {
            0 => document.error(id, &["a flag needs at least one variant"]),
            1..=MAX_VARIANTS => Ok(variants),
            _ => document.error(id, &["more than 4,096 variants"]),
        }
    }

    fn variant(&self, id: Id, variants: Slice) -> Result<VariantId> {
        let name = self.document.string(id)?;
        let mut variants = variants.of(&self.tables.variants).iter();
        match variants.position(|variant| self.document.text(variant.name) == name) {
            Some(index) => Ok(index as VariantId),
            None => self.document.error(id, &["the flag has no variant `", name, "`"]),
        }
    }

    fn prerequisites(&mut self, id: Id) -> Result<Slice> {
        let document = self.document;
        let start = self.tables.prerequisites.len();
        for prerequisite in document.elements(id)? {
            self.only(prerequisite, &["flag", "variants"])?;
            let flag = self.named(document.need(prerequisite, "flag")?, &self.tables.flag_keys, "flag")?;
            let of = self.tables.flags[flag as usize].variants;
            let first = self.tables.variant_ids.len();
            for name in document.elements(document.need(prerequisite, "variants")?)? {
                let variant = self.variant(name, of)?;
                self.tables.variant_ids.push(variant);
            }
            let variants = Slice::from(first, &self.tables.variant_ids);
            self.tables.prerequisites.push(Prerequisite { flag, variants });
        }
        Ok(Slice::from(start, &self.tables.prerequisites))
    }

    fn keys(&mut self, id: Id) -> Result<Keys> {
        if self.document.kind(id) == Kind::Array {
            return Ok(Keys::Plain(self.sorted_strings(id)?));
        }
        self.only(id, &["hashed"])?;
        Ok(Keys::Hashed(self.hashes(self.document.need(id, "hashed")?)?))
    }

    pub(super) fn hashes(&mut self, id: Id) -> Result<Slice> {
        use base64ct::{Base64UrlUnpadded, Encoding};
        let start = self.tables.hashes.len();
        let bytes = Base64UrlUnpadded::decode_vec(self.document.string(id)?).unwrap_or_else(|_| vec![0]);
        let (chunks, rest) = bytes.as_chunks::<8>();
        self.tables.hashes.extend(chunks.iter().map(|&chunk| u64::from_be_bytes(chunk)));
        if !rest.is_empty() || !self.tables.hashes[start..].is_sorted() {
            return self.document.error(id, &["expected base64url, unpadded, of 8-byte hashes in ascending order"]);
        }
        self.hashed = true;
        Ok(Slice::from(start, &self.tables.hashes))
    }

    fn people(&mut self, id: Id) -> Result<People> {
        let mut people = People::default();
        if let Some(keys) = self.document.get(id, "keys")? {
            people.keys = self.keys(keys)?;
        }
        if let Some(segments) = self.document.get(id, "segments")? {
            people.segments = self.segment_ids(segments)?;
        }
        Ok(people)
    }

    fn allow(&mut self, id: Id, variants: Slice) -> Result<Slice> {
        let start = self.tables.allows.len();
        for allow in self.document.elements(id)? {
            self.only(allow, &["variant", "keys", "segments"])?;
            let variant = self.variant(self.document.need(allow, "variant")?, variants)?;
            let people = self.people(allow)?;
            self.tables.allows.push(Allow { variant, people });
        }
        Ok(Slice::from(start, &self.tables.allows))
    }

    fn positions(&mut self, id: Id) -> Result<Slice> {
        let start = self.tables.position_ranges.len();
        for range in self.document.elements(id)? {
            let (from, to) = self.pair(range)?;
            let (from, to) = (self.percent(from)?, self.percent(to)?);
            if from >= to {
                return self.document.error(range, &["expected a range [from, to] with from below to"]);
            }
            self.tables.position_ranges.push(PositionRange { from, to });
        }
        Ok(Slice::from(start, &self.tables.position_ranges))
    }

    fn rules(&mut self, id: Id, variants: Slice) -> Result<Slice> {
        let document = self.document;
        let start = self.tables.rules.len();
        for rule in document.elements(id)? {
            self.only(rule, &["id", "when", "serve"])?;
            let when = match document.get(rule, "when")? {
                Some(when) => Some(self.condition_tree(when)?),
                None => None,
            };
            let serve = self.serve(document.need(rule, "serve")?, variants)?;
            let name = document.span(document.need(rule, "id")?)?;
            if self.tables.rules.len() - start == MAX_RULES {
                return document.error(rule, &["more than 4,096 rules"]);
            }
            self.tables.rules.push(Rule { id: name, when, serve });
        }
        Ok(Slice::from(start, &self.tables.rules))
    }

    fn serve(&mut self, id: Id, variants: Slice) -> Result<Serve> {
        let document = self.document;
        if document.kind(id) == Kind::String {
            return Ok(Serve::Everyone(Share::Variant(self.variant(id, variants)?)));
        }
        self.only(id, &["split", "ramp"])?;
        match (document.get(id, "split")?, document.get(id, "ramp")?) {
            (Some(split), None) => Ok(Serve::Everyone(Share::Split(self.split(split, variants)?))),
            (None, Some(ramp)) => {
                self.only(ramp, &["percent", "schedule", "serve"])?;
                let percent = match (document.get(ramp, "percent")?, document.get(ramp, "schedule")?) {
                    (Some(percent), None) => Percent::Fixed(self.percent(percent)?),
                    (None, Some(schedule)) => Percent::Scheduled(self.schedule(schedule)?),
                    _ => return document.error(ramp, &["expected either `percent` or `schedule`"]),
                };
                let inner = document.need(ramp, "serve")?;
                match self.serve(inner, variants)? {
                    Serve::Everyone(share) => Ok(Serve::Ramp(percent, share)),
                    Serve::Ramp(..) => document.error(inner, &["a ramp serves a variant or a split, no other ramp"]),
                }
            }
            _ => document.error(id, &["expected a variant, or either `split` or `ramp`"]),
        }
    }

    fn split(&mut self, id: Id, variants: Slice) -> Result<Slice> {
        let start = self.tables.bounds.len();
        let mut last = 0;
        for bound in self.document.elements(id)? {
            let (variant, below) = self.pair(bound)?;
            let (variant, below) = (self.variant(variant, variants)?, self.percent(below)?);
            if below < last {
                return self.document.error(bound, &["expected upper bounds that never fall"]);
            }
            last = below;
            self.tables.bounds.push(Bound { variant, below });
        }
        if last != ALL {
            return self.document.error(id, &["the last upper bound must be 100000"]);
        }
        Ok(Slice::from(start, &self.tables.bounds))
    }

    fn schedule(&mut self, id: Id) -> Result<u32> {
        let document = self.document;
        self.only(id, &["before", "points", "linear"])?;
        let before = self.percent(document.need(id, "before")?)?;
        let linear = match document.get(id, "linear")? {
            Some(linear) => document.boolean(linear)?,
            None => false,
        };
        let points = document.need(id, "points")?;
        let start = self.tables.points.len();
        for point in document.elements(points)? {
            let (at, percent) = self.pair(point)?;
            let (at, percent) = (self.millis(at)?, self.percent(percent)?);
            if self.tables.points[start..].last().is_some_and(|last| last.at >= at) {
                return document.error(point, &["expected points each later than the one before"]);
            }
            self.tables.points.push(Point { at, percent });
        }
        let points_read = Slice::from(start, &self.tables.points);
        if points_read.is_empty() {
            return document.error(points, &["a schedule needs at least one point"]);
        }
        self.tables.schedules.push(Schedule { before, points: points_read, linear });
        Ok(self.tables.schedules.len() as u32 - 1)
    }
}

/// The names of a section's members.
fn names_of(document: &Document<'_>, section: Id) -> Result<Names> {
    let mut names = Names::default();
    for (name, _) in document.members(section)? {
        names.add(name, document.texts());
    }
    Ok(names)
}

/// Whether this engine knows a name that `requires` may hold.
fn is_supported(name: &str) -> bool {
    const SCHEMES_AND_FEATURES: [&str; 9] =
        ["xxh3", "js31", "hashed", "prerequisites", "layer", "holdouts", "schedule", "exclude", "segments"];
    SCHEMES_AND_FEATURES.contains(&name) || super::read_condition::is_operator(name)
}
