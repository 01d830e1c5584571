//! Makes sure that no evaluation can go in a circle, too deep, or on for too long.

use super::json::Id;
use super::model::*;
use super::read::Loader;
use super::read_condition::MAX_CONDITION_DEPTH;

pub(super) const MAX_PREREQUISITE_DEPTH: u32 = 32;
/// The most conditions that one evaluation may visit, segments and prerequisites unrolled.
pub(super) const MAX_VISITS: u32 = 65_536;

/// How far an evaluation can go from a place.
#[derive(Clone, Copy, Default)]
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

impl Loader<'_> {
    /// Checks every segment and flag, and makes flags errors whose segments need what this engine lacks.
    pub(super) fn bound(&mut self, segments_at: Id, flags_at: Id) {
        let mut segments = vec![Bounds::Unknown; self.tables.segments.len()];
        for id in 0..segments.len() {
            self.bound_segment(segments_at, id, 0, &mut segments);
        }
        let mut flags = vec![Bounds::Unknown; self.tables.flags.len()];
        for id in 0..flags.len() {
            let reach = self.bound_flag(flags_at, id, 0, &segments, &mut flags);
            let flag = &mut self.tables.flags[id];
            flag.unsupported = flag.unsupported.or(reach.lacking);
        }
    }

    /// Refuses one of a section's members.
    fn refuse_member(&self, section: Id, name: &str, message: &[&str]) -> Reach {
        if !self.document.is_at_fault() {
            let place = self.document.members(section).find(|&(other, _)| self.document.text(other) == name);
            self.document.refuse(place.map_or(section, |(_, place)| place), message);
        }
        Reach::default()
    }

    fn bound_segment(&self, section: Id, id: usize, above: u32, known: &mut [Bounds]) -> Reach {
        let segment = &self.tables.segments[id];
        let name = self.document.text(segment.name);
        match known[id] {
            Bounds::Known(reach) => return reach,
            Bounds::Open => return self.refuse_member(section, name, &["the segment `", name, "` contains itself"]),
            Bounds::Unknown if above > MAX_CONDITION_DEPTH => {
                return self.refuse_member(section, name, &["segments are nested deeper than 64"]);
            }
            Bounds::Unknown => known[id] = Bounds::Open,
        }
        let mut reach = Reach { depth: 1, visits: 1, lacking: segment.unsupported };
        if let Some(when) = segment.when {
            let inner =
                self.bound_condition(when, &mut |segment| self.bound_segment(section, segment, above + 1, known));
            reach = Reach { depth: 1 + inner.depth, visits: inner.visits.saturating_add(1), lacking: inner.lacking };
        }
        if reach.depth > MAX_CONDITION_DEPTH || reach.visits > MAX_VISITS {
            self.refuse_member(
                section,
                name,
                &["evaluating the segment `", name, "` would take more than 65,536 conditions, or go deeper than 64"],
            );
        }
        known[id] = Bounds::Known(reach);
        reach
    }

    fn bound_condition(&self, at: u32, segment: &mut dyn FnMut(usize) -> Reach) -> Reach {
        let mut reach = Reach::default();
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
                    let inner = segment(usize::from(id));
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
                return reach;
            }
        }
    }

    fn bound_flag(&self, section: Id, id: usize, above: u32, segments: &[Bounds], known: &mut [Bounds]) -> Reach {
        let flag = &self.tables.flags[id];
        let key = self.document.text(flag.key);
        match known[id] {
            Bounds::Known(reach) => return reach,
            Bounds::Open => {
                return self.refuse_member(section, key, &["the flag `", key, "` is its own prerequisite"]);
            }
            Bounds::Unknown if above > MAX_PREREQUISITE_DEPTH => {
                return self.refuse_member(section, key, &["a chain of prerequisites is longer than 32"]);
            }
            Bounds::Unknown => known[id] = Bounds::Open,
        }
        let of_segment = |id: usize| match segments[id] {
            Bounds::Known(reach) => reach,
            _ => Reach::default(),
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
                let reach = self.bound_condition(when, &mut |id| of_segment(id));
                if reach.depth > MAX_CONDITION_DEPTH {
                    self.refuse_member(
                        section,
                        key,
                        &["the conditions of the flag `", key, "` go deeper than 64, segments unrolled"],
                    );
                }
                visits = visits.saturating_add(reach.visits);
                lacking = lacking.or(reach.lacking);
            }
        }
        let mut depth = 1;
        for prerequisite in flag.prerequisites.of(&self.tables.prerequisites) {
            let reach = self.bound_flag(section, prerequisite.flag as usize, above + 1, segments, known);
            visits = visits.saturating_add(reach.visits);
            depth = depth.max(reach.depth + 1);
        }
        if depth > MAX_PREREQUISITE_DEPTH || visits > MAX_VISITS {
            self.refuse_member(
                section,
                key,
                &[
                    "evaluating the flag `",
                    key,
                    "` would take more than 65,536 conditions, or a chain of more than 32 flags",
                ],
            );
        }
        let reach = Reach { depth, visits, lacking };
        known[id] = Bounds::Known(reach);
        reach
    }
}
