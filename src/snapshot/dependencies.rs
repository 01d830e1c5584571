//! What evaluating a flag depends on, and with it which flags another snapshot changes.

use super::load::{Snapshot, Tables};
use super::model::*;
use xxhash_rust::xxh3::xxh3_64;

impl Snapshot {
    /// The flags whose definition is another one than in `older`, that of a segment, prerequisite, layer or holdout it names
    /// included; and the flags that one of the two lacks.
    ///
    /// ```
    /// use flagstone::Snapshot;
    ///
    /// let snapshot = |percent: u32| {
    ///     Snapshot::from_payload(format!(
    ///         r#"{{"schema": 1, "environment": "production", "audience": "server", "version": 7,
    ///         "created": "2026-11-21T12:00:00Z", "flags": {{
    ///             "theme": {{"type": "string", "off": "light", "variants": {{"light": "white"}}, "salt": "t-1", "default": "light"}},
    ///             "use_new_gateway": {{"type": "boolean", "off": "off", "variants": {{"on": true, "off": false}}, "salt": "g-1",
    ///                 "default": {{"ramp": {{"percent": {percent}, "serve": "on"}}}}}}}}}}"#
    ///     ))
    /// };
    /// assert_eq!(snapshot(25_000)?.changes_since(&snapshot(5_000)?), ["use_new_gateway"]);
    /// # Ok::<(), flagstone::SnapshotError>(())
    /// ```
    pub fn changes_since<'s>(&'s self, older: &'s Snapshot) -> Vec<&'s str> {
        let (mut ours, mut theirs) = (Dependencies::to_compare(self), Dependencies::to_compare(older));
        let mut changed = Vec::new();
        for (id, key) in self.flags().enumerate() {
            let before = older.find_flag(key).map(|id| theirs.flag(id as usize).fingerprint);
            if before != Some(ours.flag(id).fingerprint) {
                changed.push(key);
            }
        }
        changed.extend(older.flags().filter(|key| self.find_flag(key).is_none()));
        changed
    }
}

/// Works out what an evaluation depends on.
pub(crate) struct Dependencies<'s> {
    snapshot: &'s Snapshot,
    /// Whether fingerprints are wanted: they take reading all of the document.
    compares: bool,
    /// By segment, once known.
    segments: Vec<Option<Dependence>>,
    /// By flag, once known.
    flags: Vec<Option<Dependence>>,
}

/// What evaluating a flag or a segment depends on.
#[derive(Clone, Default)]
pub(crate) struct Dependence {
    /// The attributes that it may read, each once, in order.
    pub reads: Vec<AttributeId>,
    /// Where definitions are compared: another number for another one, its own or that of a segment, prerequisite, layer or
    /// holdout that it names.
    pub fingerprint: u64,
    /// Whether a regular expression has a part in it.
    pub has_patterns: bool,
}

impl Dependence {
    fn mix(&mut self, number: u64) {
        self.fingerprint = (self.fingerprint.rotate_left(5) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn text(&mut self, text: &str) {
        self.mix(xxh3_64(text.as_bytes()));
    }

    /// By insertion: there are few, and sorting takes code.
    fn reads(&mut self, id: AttributeId) {
        if let Err(place) = self.reads.binary_search(&id) {
            self.reads.insert(place, id);
        }
    }

    fn add(&mut self, other: Dependence) {
        self.mix(other.fingerprint);
        self.has_patterns |= other.has_patterns;
        for id in other.reads {
            self.reads(id);
        }
    }
}

impl<'s> Dependencies<'s> {
    pub(crate) fn new(snapshot: &'s Snapshot) -> Self {
        let Tables { segments, flags, .. } = &snapshot.tables;
        Dependencies { snapshot, compares: false, segments: vec![None; segments.len()], flags: vec![None; flags.len()] }
    }

    pub(crate) fn to_compare(snapshot: &'s Snapshot) -> Self {
        Dependencies { compares: true, ..Dependencies::new(snapshot) }
    }

    fn definition(&self, source: Span) -> &'s str {
        if self.compares { self.snapshot.text(source) } else { "" }
    }

    pub(crate) fn flag(&mut self, id: usize) -> Dependence {
        if let Some(known) = &self.flags[id] {
            return known.clone();
        }
        let tables = &self.snapshot.tables;
        let flag = &tables.flags[id];
        let mut found = Dependence::default();
        found.text(self.definition(flag.source));
        found.reads(flag.bucket_by);
        if let Some(layer) = flag.layer {
            let layer = &tables.layers[usize::from(layer.layer)];
            found.text(self.definition(layer.source));
            found.reads(layer.by);
        }
        for &id in flag.holdouts.of(&tables.holdout_ids) {
            let holdout = &tables.holdouts[usize::from(id)];
            found.text(self.definition(holdout.source));
            found.reads(holdout.by);
        }
        let allow = flag.allow.of(&tables.allows).iter().map(|allow| allow.people.segments);
        for segments in [flag.deny.segments, flag.exclude.segments].into_iter().chain(allow) {
            for &segment in segments.of(&tables.segment_ids) {
                found.add(self.segment(usize::from(segment)));
            }
        }
        for when in flag.rules.of(&tables.rules).iter().filter_map(|rule| rule.when) {
            self.condition(when, &mut found);
        }
        for prerequisite in flag.prerequisites.of(&tables.prerequisites) {
            found.add(self.flag(prerequisite.flag as usize));
        }
        self.flags[id].insert(found).clone()
    }

    fn segment(&mut self, id: usize) -> Dependence {
        if let Some(known) = &self.segments[id] {
            return known.clone();
        }
        let segment = &self.snapshot.tables.segments[id];
        let mut found = Dependence::default();
        found.text(self.definition(segment.source));
        found.reads(segment.by);
        if let Some(when) = segment.when {
            self.condition(when, &mut found);
        }
        self.segments[id].insert(found).clone()
    }

    fn condition(&mut self, at: u32, found: &mut Dependence) {
        let conditions = &self.snapshot.tables.conditions;
        for at in at..conditions[at as usize].end(at) {
            match conditions[at as usize] {
                Condition::Segment(id) => found.add(self.segment(usize::from(id))),
                Condition::Test(attribute, operator) => {
                    found.reads(attribute);
                    found.has_patterns |= operator.is_pattern();
                }
                _ => {}
            }
        }
    }
}
