//! From the document to the compiled form. `FORMAT.md` beside this file describes the document.

use super::base64url;
use super::json::{Document, Fault, Id, Kind, NOTHING, Result};
use super::load::{ALL, AttributePath, Audience, Snapshot, Tables};
use super::model::*;
use super::names::{Names, same};
use crate::Timestamp;
use crate::evaluate::version::Version;
use crate::number::decimal;

/// The largest document that is read, in bytes.
pub(super) const MAX_BYTES: usize = 64 << 20;
/// The largest version, and the largest whole number that JavaScript counts to: 2^53 − 1.
pub(super) const MAX_WHOLE: i64 = (1 << 53) - 1;
/// The last instant of the year 9999.
pub(super) const MAX_MILLIS: i64 = 253_402_300_799_999;
pub(super) const MAX_NAMES: u32 = 65_535;
pub(super) const MAX_VARIANTS: usize = 4_096;
pub(super) const MAX_RULES: usize = 4_096;

pub(super) fn read(payload: String) -> Result<Snapshot> {
    if payload.len() > MAX_BYTES {
        let message =
            ["a snapshot is at most 64 MiB, this one has ", &decimal(payload.len() as i64), " bytes"].concat();
        return Err(Box::new(Fault { path: String::new(), offset: 0, message, unsupported: None }));
    }
    let mut document = Document::parse(&payload)?;
    let targeting_key = Span { start: (payload.len() + document.unescaped.len()) as u32, length: 12 };
    document.unescaped.push_str("targetingKey");
    let mut loader = Loader::new(&document);
    loader.tables.attributes.add(targeting_key, document.texts());
    let root = document.root();
    let schema = document.need(root, "schema");
    let found = document.text(document.source(schema));
    if found != "1" {
        document.refuse(schema, &["expected 1, found ", found, "; a newer Flagstone wrote this snapshot"]);
    }
    let audience_id = document.need(root, "audience");
    let audience = document.string(audience_id).parse().unwrap_or_else(|message: String| {
        document.refuse(audience_id, &[&message]);
        Audience::Client
    });
    let expires = match audience {
        Audience::Client => document.need(root, "expires"),
        Audience::Server => document.get(root, "expires"),
    };
    let environment = document.span(document.need(root, "environment"));
    let version = document.whole(document.need(root, "version"), 1, MAX_WHOLE) as u64;
    let created = loader.instant(document.need(root, "created"));
    let expires = if expires == NOTHING { None } else { Some(loader.instant(expires)) };
    let hash_salt = document.get(root, "hashSalt");
    let hash_salt = if hash_salt == NOTHING { Span::default() } else { loader.salt(hash_salt) };
    loader.sections(root)?;
    if loader.hashed {
        document.need(root, "hashSalt");
    }
    document.check()?;
    let Loader { tables, .. } = loader;
    let unescaped = document.unescaped;
    let document_length = payload.len();
    let mut text = payload;
    text.reserve_exact(unescaped.len());
    text.push_str(&unescaped);
    let text = text.into_boxed_str();
    Ok(Snapshot {
        text,
        document_length,
        environment,
        audience,
        version,
        created,
        expires,
        hash_salt,
        tables,
        #[cfg(feature = "ed25519")]
        pinned: Default::default(),
    })
}

pub(super) struct Loader<'d> {
    pub(super) document: &'d Document<'d>,
    pub(super) tables: Tables,
    pub(super) segments: Names,
    layers: Names,
    holdouts: Names,
    /// The regular expressions, and of each its program: where it stands, and where it went once it was read.
    #[cfg(feature = "regex")]
    pub(super) patterns: Names,
    #[cfg(feature = "regex")]
    pub(super) programs: Vec<(Id, Option<Slice>)>,
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
            #[cfg(feature = "regex")]
            programs: Vec::new(),
            hashed: false,
        }
    }

    /// Refuses what a newer engine may know; the flag around it becomes an error, the rest of the snapshot works.
    pub(super) fn unsupported(&self, at: Id, name: Span) {
        if !self.document.is_at_fault() {
            let mut fault = self.document.fault(at, &["this engine does not know `", self.document.text(name), "`"]);
            fault.unsupported = Some(name);
            self.document.set_fault(fault);
        }
    }

    /// The values of an object's members by name, [`NOTHING`] for those that are absent. It must have no others.
    #[inline]
    pub(super) fn only<const N: usize>(&self, object: Id, names: [&str; N]) -> [Id; N] {
        self.document.fields(object, names, |name, value| self.unsupported(value, name))
    }

    fn instant(&self, id: Id) -> Timestamp {
        let text = self.document.string(id);
        text.parse().unwrap_or_else(|_| {
            self.document.refuse(id, &["`", text, "` is no RFC 3339 instant like 2025-01-10T08:00:00Z"]);
            Timestamp::default()
        })
    }

    fn salt(&self, id: Id) -> Span {
        let span = self.document.span(id);
        let salt = self.document.text(span);
        if salt.is_empty() || salt.chars().any(char::is_control) {
            self.document.refuse(id, &["a salt must not be empty and must not hold control characters"]);
        }
        span
    }

    fn percent(&self, id: Id) -> u32 {
        self.document.whole(id, 0, i64::from(ALL)) as u32
    }

    pub(super) fn millis(&self, id: Id) -> i64 {
        self.document.whole(id, -MAX_MILLIS, MAX_MILLIS)
    }

    /// An array of two.
    fn pair(&self, id: Id) -> (Id, Id) {
        let mut elements = self.document.elements(id);
        match (elements.next(), elements.next(), elements.next()) {
            (Some(first), Some(second), None) => (first, second),
            _ => {
                self.document.refuse(id, &["expected two elements"]);
                (NOTHING, NOTHING)
            }
        }
    }

    pub(super) fn attribute(&mut self, id: Id) -> AttributeId {
        let span = self.document.span(id);
        let (path, texts) = (self.document.text(span), self.document.texts());
        if let Some(attribute) = self.tables.attributes.find(path, texts) {
            return attribute as AttributeId;
        }
        if self.tables.attributes.len() >= MAX_NAMES {
            self.document.refuse(id, &["more than 65,535 attribute paths"]);
            return TARGETING_KEY;
        }
        if AttributePath(path).parts().any(|part| part.is_empty()) {
            self.document.refuse(id, &["the attribute path `", path, "` has an empty part"]);
            return TARGETING_KEY;
        }
        self.tables.attributes.add(span, texts) as AttributeId
    }

    /// What something is bucketed by, or whom its lists name.
    fn by(&mut self, id: Id) -> AttributeId {
        match id {
            NOTHING => TARGETING_KEY,
            path => self.attribute(path),
        }
    }

    /// The number of a name that must be defined.
    pub(super) fn named(&self, id: Id, names: &Names, what: &str) -> u32 {
        let name = self.document.string(id);
        names.find(name, self.document.texts()).unwrap_or_else(|| {
            self.document.refuse(id, &["there is no ", what, " `", name, "`"]);
            0
        })
    }

    // Sections.

    /// Reads everything: first all names, which may be used before the place where they are defined.
    fn sections(&mut self, root: Id) -> Result<()> {
        let document = self.document;
        let section = |name| document.get(root, name);
        let (segments, layers, holdouts) = (section("segments"), section("layers"), section("holdouts"));
        let flags_at = document.need(root, "flags");
        for (names, section) in
            [(&mut self.segments, segments), (&mut self.layers, layers), (&mut self.holdouts, holdouts)]
        {
            *names = names_of(document, section);
            if names.len() > MAX_NAMES {
                document.refuse(section, &["more than 65,535 names"]);
            }
        }
        #[cfg(feature = "regex")]
        {
            let patterns = section("patterns");
            self.patterns = names_of(document, patterns);
            self.programs = document.members(patterns).map(|(_, program)| (program, None)).collect();
        }
        let mut flags: Vec<(Span, Id)> = document.members(flags_at).collect();
        flags.sort_by_key(|&(key, _)| array_index(document.text(key)));
        for &(key, _) in &flags {
            self.tables.flag_keys.add(key, document.texts());
        }
        // What is at fault from here on is the segment at hand, and later the flag at hand.
        document.check()?;
        for (name, id) in document.members(segments) {
            let segment = self.segment(name, id);
            self.tables.segments.push(match self.lacking(None)? {
                None => segment,
                unsupported => Segment { unsupported, ..Segment::nobody(name, document.source(id)) },
            });
        }
        for (name, layer) in document.members(layers) {
            let (salt, by) = (self.salt(document.need(layer, "salt")), self.by(document.get(layer, "by")));
            self.tables.layers.push(Layer { name, source: document.source(layer), salt, by });
        }
        for (name, holdout) in document.members(holdouts) {
            let (salt, by) = (self.salt(document.need(holdout, "salt")), self.by(document.get(holdout, "by")));
            let percent = self.percent(document.need(holdout, "percent"));
            self.tables.holdouts.push(Holdout { name, source: document.source(holdout), salt, by, percent });
        }
        // Variants before anything that names them, so that a prerequisite may stand before the flag it names.
        self.tables.flags.reserve_exact(flags.len());
        for &(key, flag) in &flags {
            let gate = self.gate(key, flag);
            self.tables.flags.push(gate);
        }
        document.check()?;
        for (index, &(_, id)) in flags.iter().enumerate() {
            let gate = self.tables.flags[index];
            let flag = self.flag(id, gate);
            self.tables.flags[index] = match self.lacking(gate.unsupported)? {
                None => flag,
                unsupported => Flag { unsupported, ..gate },
            };
        }
        self.bound(segments, flags_at);
        Ok(())
    }

    /// The name that what was just read lacks, if that is what is at fault with it. Whatever else seems wrong with what
    /// requires a newer engine, this engine cannot judge.
    fn lacking(&self, required: Option<Span>) -> Result<Option<Span>> {
        let Some(fault) = self.document.take_fault() else { return Ok(None) };
        match fault.unsupported.or(required) {
            None => Err(fault),
            lacking => Ok(lacking),
        }
    }

    fn segment(&mut self, name: Span, id: Id) -> Segment {
        let document = self.document;
        Segment {
            by: self.by(document.get(id, "by")),
            include: self.keys(document.get(id, "include")),
            exclude: self.keys(document.get(id, "exclude")),
            when: self.condition_tree(document.get(id, "when")),
            ..Segment::nobody(name, document.source(id))
        }
    }

    fn segment_ids(&mut self, id: Id) -> Slice {
        let start = self.tables.segment_ids.len();
        for name in self.document.elements(id) {
            let segment = self.named(name, &self.segments, "segment");
            self.tables.segment_ids.push(segment as u16);
        }
        Slice::from(start, &self.tables.segment_ids)
    }

    /// Reads what a flag needs to be killed, disabled or pinned, which works even where the rest is not understood.
    fn gate(&mut self, key: Span, id: Id) -> Flag {
        let document = self.document;
        let names = ["requires", "type", "variants", "off", "killed", "enabled", "salt"];
        let [requires, kind, variants, off, killed, enabled, salt] = document.fields(id, names, |_, _| {});
        let mut unsupported = None;
        for name in document.elements(requires) {
            let span = document.span(name);
            if unsupported.is_none() && !is_supported(document.text(span)) {
                unsupported = Some(span);
            }
        }
        let kind = document.span(document.needed(kind, id, "type"));
        let kind = match document.text(kind) {
            "boolean" => FlagType::Boolean,
            "string" => FlagType::String,
            "number" => FlagType::Number,
            "json" => FlagType::Json,
            _ => {
                unsupported = unsupported.or(Some(kind));
                FlagType::Json
            }
        };
        let variants = self.variants(document.needed(variants, id, "variants"), kind);
        let off = self.variant(document.needed(off, id, "off"), variants);
        let gate = match (killed, enabled) {
            (NOTHING, NOTHING) => Gate::Open,
            (NOTHING, enabled) if document.boolean(enabled) => Gate::Open,
            (NOTHING, _) => Gate::Disabled,
            (by, _) => Gate::Killed(document.span(by)),
        };
        let salt = self.salt(document.needed(salt, id, "salt"));
        Flag { source: document.source(id), kind, unsupported, ..Flag::gated(key, variants, off, salt, gate) }
    }

    /// Reads the rest of a flag.
    fn flag(&mut self, id: Id, gate: Flag) -> Flag {
        let document = self.document;
        let variants = gate.variants;
        let names = [
            "bucketBy",
            "default",
            "scheme",
            "prerequisites",
            "deny",
            "exclude",
            "allow",
            "holdouts",
            "layer",
            "rules",
        ];
        let [bucket_by, default, scheme, prerequisites, deny, exclude, allow, holdouts, layer, rules] =
            document.fields(id, names, |_, _| {});
        let bucket_by = self.by(bucket_by);
        let default = self.serve(document.needed(default, id, "default"), variants);
        let scheme = match document.string(scheme) {
            "js31" => Scheme::Js31,
            name => {
                if scheme != NOTHING && name != "xxh3" {
                    self.unsupported(scheme, document.span(scheme));
                }
                Scheme::Xxh3
            }
        };
        let prerequisites = self.prerequisites(prerequisites);
        let [keys, segments] = self.only(deny, ["keys", "segments"]);
        let deny = self.people(keys, segments);
        let [keys, segments, positions] = self.only(exclude, ["keys", "segments", "positions"]);
        let exclude = self.people(keys, segments);
        let excluded_positions = self.positions(positions);
        let allow = self.allow(allow, variants);
        let start = self.tables.holdout_ids.len();
        for name in document.elements(holdouts) {
            let holdout = self.named(name, &self.holdouts, "holdout");
            self.tables.holdout_ids.push(holdout as u16);
        }
        let holdouts = Slice::from(start, &self.tables.holdout_ids);
        let [name, ranges] = self.only(layer, ["name", "ranges"]);
        let layer = match layer {
            NOTHING => None,
            layer => Some(LayerRanges {
                layer: self.named(document.needed(name, layer, "name"), &self.layers, "layer") as u16,
                ranges: self.positions(document.needed(ranges, layer, "ranges")),
            }),
        };
        let runs = [prerequisites, excluded_positions, allow, holdouts];
        let screens =
            !deny.is_empty() || !exclude.is_empty() || layer.is_some() || runs.iter().any(|run| !run.is_empty());
        let rules = self.rules(rules, variants);
        Flag {
            bucket_by,
            scheme,
            prerequisites,
            deny,
            exclude,
            excluded_positions,
            allow,
            holdouts,
            layer,
            screens,
            rules,
            default,
            ..gate
        }
    }

    fn variants(&mut self, id: Id, kind: FlagType) -> Slice {
        let document = self.document;
        let start = self.tables.variants.len();
        for (name, value) in document.members(id) {
            let json = document.source(value);
            let value = match (kind, document.kind(value)) {
                (FlagType::Json, _) => VariantValue::Json,
                (FlagType::Boolean, Kind::Boolean) => VariantValue::Boolean(document.boolean(value)),
                (FlagType::String, Kind::String) => VariantValue::String(document.span(value)),
                (FlagType::Number, Kind::Number) => VariantValue::Number(document.number(value)),
                _ => {
                    document.refuse(value, &["this variant is no ", kind.name()]);
                    VariantValue::Json
                }
            };
            self.tables.variants.push(Variant { name, value, json });
        }
        self.tables.variants[start..].sort_by_key(|variant| array_index(document.text(variant.name)));
        let variants = Slice::from(start, &self.tables.variants);
        match variants.of(&self.tables.variants).len() {
            0 => document.refuse(id, &["a flag needs at least one variant"]),
            1..=MAX_VARIANTS => {}
            _ => document.refuse(id, &["more than 4,096 variants"]),
        }
        variants
    }

    fn variant(&self, id: Id, variants: Slice) -> VariantId {
        let name = self.document.span(id);
        let bytes = self.document.bytes(name);
        let mut variants = variants.of(&self.tables.variants).iter();
        match variants.position(|variant| same(self.document.bytes(variant.name), bytes)) {
            Some(index) => index as VariantId,
            None => {
                self.document.refuse(id, &["the flag has no variant `", self.document.text(name), "`"]);
                0
            }
        }
    }

    fn prerequisites(&mut self, id: Id) -> Slice {
        let document = self.document;
        let start = self.tables.prerequisites.len();
        for prerequisite in document.elements(id) {
            let [flag, variants] = self.only(prerequisite, ["flag", "variants"]);
            let flag = document.needed(flag, prerequisite, "flag");
            let flag = self.named(flag, &self.tables.flag_keys, "flag");
            let of = self.tables.flags[flag as usize].variants;
            let first = self.tables.variant_ids.len();
            for name in document.elements(document.needed(variants, prerequisite, "variants")) {
                let variant = self.variant(name, of);
                self.tables.variant_ids.push(variant);
            }
            let variants = Slice::from(first, &self.tables.variant_ids);
            self.tables.prerequisites.push(Prerequisite { flag, variants });
        }
        Slice::from(start, &self.tables.prerequisites)
    }

    fn keys(&mut self, id: Id) -> Keys {
        if matches!(self.document.kind(id), Kind::Array | Kind::Nothing) {
            return Keys::Plain(self.sorted_strings(id));
        }
        let [hashed] = self.only(id, ["hashed"]);
        Keys::Hashed(self.hashes(self.document.needed(hashed, id, "hashed")))
    }

    pub(super) fn version(&mut self, id: Id) {
        let text = self.document.string(id);
        match Version::parse(text) {
            Some(version) => self.tables.versions.push(version.into_owned()),
            None => self.document.refuse(id, &["`", text, "` is no version like 2.3.0"]),
        }
    }

    pub(super) fn hashes(&mut self, id: Id) -> Slice {
        let start = self.tables.hashes.len();
        let text = self.document.span(id);
        let bytes = base64url::decode(self.document.text(text).as_bytes()).unwrap_or_else(|| vec![0]);
        #[cfg(feature = "compiler")]
        self.tables.hash_texts.push((start as u32, text));
        let (chunks, rest) = bytes.as_chunks::<8>();
        self.tables.hashes.extend(chunks.iter().map(|&chunk| u64::from_be_bytes(chunk)));
        if !rest.is_empty() || !self.tables.hashes[start..].is_sorted() {
            self.document.refuse(id, &["expected base64url, unpadded, of 8-byte hashes in ascending order"]);
        }
        // What stands after a fault, nobody uses.
        self.hashed |= !self.document.is_at_fault();
        Slice::from(start, &self.tables.hashes)
    }

    fn people(&mut self, keys: Id, segments: Id) -> People {
        People { keys: self.keys(keys), segments: self.segment_ids(segments) }
    }

    fn allow(&mut self, id: Id, variants: Slice) -> Slice {
        let start = self.tables.allows.len();
        for allow in self.document.elements(id) {
            let [variant, keys, segments] = self.only(allow, ["variant", "keys", "segments"]);
            let variant = self.variant(self.document.needed(variant, allow, "variant"), variants);
            let people = self.people(keys, segments);
            self.tables.allows.push(Allow { variant, people });
        }
        Slice::from(start, &self.tables.allows)
    }

    fn positions(&mut self, id: Id) -> Slice {
        let start = self.tables.position_ranges.len();
        for range in self.document.elements(id) {
            let (from, to) = self.pair(range);
            let (from, to) = (self.percent(from), self.percent(to));
            if from >= to {
                self.document.refuse(range, &["expected a range [from, to] with from below to"]);
            }
            self.tables.position_ranges.push(PositionRange { from, to });
        }
        Slice::from(start, &self.tables.position_ranges)
    }

    fn rules(&mut self, id: Id, variants: Slice) -> Slice {
        let document = self.document;
        let start = self.tables.rules.len();
        for rule in document.elements(id) {
            let [id, when, serve] = self.only(rule, ["id", "when", "serve"]);
            let when = self.condition_tree(when);
            let serve = self.serve(document.needed(serve, rule, "serve"), variants);
            let name = document.span(document.needed(id, rule, "id"));
            if self.tables.rules.len() - start >= MAX_RULES {
                document.refuse(rule, &["more than 4,096 rules"]);
            }
            self.tables.rules.push(Rule { id: name, when, serve });
        }
        Slice::from(start, &self.tables.rules)
    }

    fn serve(&mut self, id: Id, variants: Slice) -> Serve {
        let document = self.document;
        if document.kind(id) == Kind::String {
            return Serve::Everyone(Share::Variant(self.variant(id, variants)));
        }
        let [split, ramp] = self.only(id, ["split", "ramp"]);
        match (split, ramp) {
            (NOTHING, NOTHING) => {}
            (split, NOTHING) => return Serve::Everyone(Share::Split(self.split(split, variants))),
            (NOTHING, ramp) => {
                let [percent, schedule, inner] = self.only(ramp, ["percent", "schedule", "serve"]);
                let percent = match (percent, schedule) {
                    (NOTHING, schedule) if schedule != NOTHING => Percent::Scheduled(self.schedule(schedule)),
                    (percent, NOTHING) if percent != NOTHING => Percent::Fixed(self.percent(percent)),
                    _ => {
                        document.refuse(ramp, &["expected either `percent` or `schedule`"]);
                        Percent::Fixed(0)
                    }
                };
                let inner = document.needed(inner, ramp, "serve");
                let serve = self.serve(inner, variants);
                if let Serve::Everyone(share) = serve {
                    return Serve::Ramp(percent, share);
                }
                document.refuse(inner, &["a ramp serves a variant or a split, no other ramp"]);
                return serve;
            }
            _ => {}
        }
        document.refuse(id, &["expected a variant, or either `split` or `ramp`"]);
        Serve::Everyone(Share::Variant(0))
    }

    fn split(&mut self, id: Id, variants: Slice) -> Slice {
        let start = self.tables.bounds.len();
        let mut last = 0;
        for bound in self.document.elements(id) {
            let (variant, below) = self.pair(bound);
            let (variant, below) = (self.variant(variant, variants), self.percent(below));
            if below < last {
                self.document.refuse(bound, &["expected upper bounds that never fall"]);
            }
            last = below;
            self.tables.bounds.push(Bound { variant, below });
        }
        if last != ALL {
            self.document.refuse(id, &["the last upper bound must be 100000"]);
        }
        Slice::from(start, &self.tables.bounds)
    }

    fn schedule(&mut self, id: Id) -> u32 {
        let document = self.document;
        let [before, points, linear] = self.only(id, ["before", "points", "linear"]);
        let before = self.percent(document.needed(before, id, "before"));
        let linear = document.boolean(linear);
        let place = document.needed(points, id, "points");
        let start = self.tables.points.len();
        for point in document.elements(place) {
            let (at, percent) = self.pair(point);
            let (at, percent) = (self.millis(at), self.percent(percent));
            if self.tables.points[start..].last().is_some_and(|last| last.at >= at) {
                document.refuse(point, &["expected points each later than the one before"]);
            }
            self.tables.points.push(Point { at, percent });
        }
        let points = Slice::from(start, &self.tables.points);
        if points.is_empty() {
            document.refuse(place, &["a schedule needs at least one point"]);
        }
        self.tables.schedules.push(Schedule { before, points, linear });
        self.tables.schedules.len() as u32 - 1
    }
}

/// The names of a section's members.
fn names_of(document: &Document<'_>, section: Id) -> Names {
    let mut names = Names::with_capacity(document.members(section).count());
    for (name, _) in document.members(section) {
        names.add(name, document.texts());
    }
    names
}

/// JavaScript has members whose names are indices of an array before all others, in their order. Flags and variants are numbered
/// as it has them, so that it need not be told their numbers.
fn array_index(name: &str) -> u64 {
    let is_index = name == "0" || (name.starts_with(|first: char| first.is_ascii_digit() && first != '0'));
    let index = if is_index { name.parse().ok().filter(|&index: &u32| index < u32::MAX) } else { None };
    index.map_or(u64::MAX, u64::from)
}

/// Whether one of these names is that one; most differ in length already.
fn is_among(names: &[&str], name: &str) -> bool {
    names.iter().any(|other| other.len() == name.len() && *other == name)
}

/// Whether this engine knows a name that `requires` may hold.
fn is_supported(name: &str) -> bool {
    const SCHEMES_AND_FEATURES: [&str; 9] =
        ["xxh3", "js31", "hashed", "prerequisites", "layer", "holdouts", "schedule", "exclude", "segments"];
    is_among(&SCHEMES_AND_FEATURES, name) || super::read_condition::is_operator(name)
}
