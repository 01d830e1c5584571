//! The order of precedence, in one function.

use super::bucketing::{self, Use};
use super::condition::{Owner, Truth};
use super::context::{Attributes, Digits};
use super::explain::{Finding, Trace};
use super::schedule::{Membership, Timetable};
use super::{ErrorCode, Pin, Pins, Reason, Step};
use crate::Timestamp;
use crate::snapshot::load::{ALL, Snapshot};
use crate::snapshot::model::*;

/// What was decided, in numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    /// `None` where there is an error.
    pub variant: Option<VariantId>,
    pub reason: Reason,
    pub error: Option<ErrorCode>,
    pub step: Step,
    pub key_missing: bool,
    /// Until when the clock alone changes nothing.
    pub until: Timestamp,
}

/// What a step of the precedence decided: a variant, and why.
struct Decision {
    step: Step,
    result: Result<(VariantId, Reason), ErrorCode>,
    key_missing: bool,
}

impl Decision {
    #[cfg_attr(flagstone_download, optimize(speed))]
    fn serve(step: Step, variant: VariantId, reason: Reason) -> Self {
        Decision { step, result: Ok((variant, reason)), key_missing: false }
    }
}

/// A flag and its number.
#[derive(Clone, Copy)]
struct Numbered<'d> {
    /// For what is prepared, which a download has not.
    #[cfg_attr(target_arch = "wasm32", allow(dead_code))]
    number: u32,
    flag: &'d Flag,
}

impl std::ops::Deref for Numbered<'_> {
    type Target = Flag;

    fn deref(&self) -> &Flag {
        self.flag
    }
}

/// There is no key to bucket by.
struct KeyMissing;

/// Who watches a decision: nobody, `()`, for whom nothing is compiled in, or what explains it.
pub(crate) trait Watcher {
    fn trace(&mut self) -> Option<&mut Trace>;
}

impl Watcher for () {
    #[inline]
    #[cfg_attr(flagstone_download, optimize(speed))]
    fn trace(&mut self) -> Option<&mut Trace> {
        None
    }
}

impl Watcher for Option<&mut Trace> {
    #[inline]
    #[cfg_attr(flagstone_download, optimize(speed))]
    fn trace(&mut self) -> Option<&mut Trace> {
        self.as_deref_mut()
    }
}

pub(crate) struct Decider<'d, A, W> {
    snapshot: &'d Snapshot,
    attributes: &'d A,
    now: Timestamp,
    pins: &'d Pins,
    watcher: W,
    until: Timestamp,
}

impl<'d, A: Attributes, W: Watcher> Decider<'d, A, W> {
    #[inline]
    #[cfg_attr(flagstone_download, optimize(speed))]
    pub(crate) fn new(snapshot: &'d Snapshot, attributes: &'d A, now: Timestamp, pins: &'d Pins, watcher: W) -> Self {
        Decider { snapshot, attributes, now, pins, watcher, until: Timestamp::MAX }
    }

    /// Decides a flag, by its number.
    #[cfg_attr(not(target_arch = "wasm32"), inline(always))]
    #[cfg_attr(target_arch = "wasm32", inline)]
    #[cfg_attr(flagstone_download, optimize(speed))]
    pub(crate) fn decide(mut self, flag: u32) -> Outcome {
        let Decision { step, result, key_missing } = self.flag(flag);
        let stale = self.snapshot.has_expired(self.now);
        let (variant, reason, error) = match result {
            Ok((variant, _)) if stale => (Some(variant), Reason::Stale, None),
            Ok((variant, reason)) => (Some(variant), reason, None),
            Err(error) => (None, Reason::Error, Some(error)),
        };
        Outcome { variant, reason, error, step, key_missing, until: self.until }
    }

    #[cfg_attr(not(target_arch = "wasm32"), inline(always))]
    #[cfg_attr(target_arch = "wasm32", inline)]
    #[cfg_attr(flagstone_download, optimize(speed))]
    fn flag(&mut self, number: u32) -> Decision {
        let snapshot = self.snapshot;
        let flag = Numbered { number, flag: &snapshot.tables.flags[number as usize] };
        let Some(trace) = self.watcher.trace() else { return self.precedence(flag) };
        let around = trace.enter(snapshot.text(flag.key));
        let decision = self.precedence(flag);
        if let Some(trace) = self.watcher.trace() {
            trace.leave(around, decision.step);
        }
        decision
    }

    /// The order of precedence, from top to bottom: the first step that has something to say decides.
    #[cfg_attr(not(target_arch = "wasm32"), inline(always))]
    #[cfg_attr(flagstone_download, optimize(speed))]
    fn precedence(&mut self, flag: Numbered<'d>) -> Decision {
        let pin = if self.pins.is_empty() { None } else { self.pins.get(self.snapshot.text(flag.key)) };
        let off = |step, reason| Decision::serve(step, flag.off, reason);
        let key_missing = |step| Decision { key_missing: true, ..Decision::serve(step, flag.off, Reason::Default) };

        self.at(Step::OffPin);
        if let Some(Pin::Off) = pin {
            return off(Step::OffPin, Reason::Static);
        }
        self.at(Step::Kill);
        if let Gate::Killed(by) = flag.gate {
            self.found(|snapshot| Finding::Killed { by: snapshot.text(by).to_owned() });
            return off(Step::Kill, Reason::Disabled);
        }
        self.at(Step::Disabled);
        if let Gate::Disabled = flag.gate {
            return off(Step::Disabled, Reason::Disabled);
        }
        self.at(Step::OnPin);
        if let Some(Pin::Variant(name)) = pin {
            let variant = self.snapshot.find_variant(&flag, name);
            let result = variant.map(|variant| (variant, Reason::Static)).ok_or(ErrorCode::General);
            return Decision { step: Step::OnPin, result, key_missing: false };
        }
        if let Some(name) = flag.unsupported {
            self.at(Step::Unsupported);
            self.found(|snapshot| Finding::Lacking { name: snapshot.text(name).to_owned() });
            return Decision { step: Step::Unsupported, result: Err(ErrorCode::General), key_missing: false };
        }
        if flag.screens || self.watcher.trace().is_some() {
            self.at(Step::Prerequisite);
            if !self.prerequisites_hold(&flag) {
                return off(Step::Prerequisite, Reason::Default);
            }
            self.at(Step::Deny);
            if self.is_denied(&flag, flag.deny) {
                return off(Step::Deny, Reason::TargetingMatch);
            }
            self.at(Step::Exclude);
            match self.is_excluded(flag) {
                Ok(false) => {}
                Ok(true) => return off(Step::Exclude, Reason::TargetingMatch),
                Err(KeyMissing) => return key_missing(Step::Exclude),
            }
            self.at(Step::Allow);
            if let Some(variant) = self.allowed_variant(&flag) {
                return Decision::serve(Step::Allow, variant, Reason::TargetingMatch);
            }
            self.at(Step::Holdout);
            match self.is_held_out(&flag) {
                Membership::Out => {}
                Membership::In => return off(Step::Holdout, Reason::Split),
                Membership::KeyMissing => return key_missing(Step::Holdout),
            }
            self.at(Step::Layer);
            match self.is_in_layer(&flag) {
                Ok(true) => {}
                Ok(false) => return off(Step::Layer, Reason::Split),
                Err(KeyMissing) => return key_missing(Step::Layer),
            }
        }
        let rules = flag.rules.of(&self.snapshot.tables.rules);
        let mut next = 0;
        loop {
            let (index, holds) = self.next_rule(flag.rules, next);
            let Some(rule) = rules.get(index) else { break };
            next = index + 1;
            let step = Step::Rule(index as u16);
            self.at(step);
            if !holds && rule.when.is_some_and(|when| self.condition(when, Owner::Flag(flag.key)) != Truth::True) {
                continue;
            }
            match self.serve_matched(flag, rule.serve) {
                Ok(Some((variant, reason))) => {
                    return Decision::serve(step, variant, reason.unwrap_or(Reason::TargetingMatch));
                }
                Ok(None) => {}
                Err(KeyMissing) => return key_missing(step),
            }
        }
        self.at(Step::Default);
        match self.serve(flag, flag.default) {
            Ok(Some((variant, reason))) => {
                let is_targeted = flag.screens || !flag.rules.is_empty();
                let plain = if is_targeted { Reason::Default } else { Reason::Static };
                Decision::serve(Step::Default, variant, reason.unwrap_or(plain))
            }
            Ok(None) => off(Step::Default, Reason::Split),
            Err(KeyMissing) => key_missing(Step::Default),
        }
    }

    #[inline]
    #[cfg_attr(flagstone_download, optimize(speed))]
    fn at(&mut self, step: Step) {
        if let Some(trace) = self.watcher.trace() {
            trace.begin(step);
        }
    }

    #[inline]
    #[cfg_attr(flagstone_download, optimize(speed))]
    fn found(&mut self, finding: impl FnOnce(&'d Snapshot) -> Finding) {
        if let Some(trace) = self.watcher.trace() {
            trace.add(finding(self.snapshot));
        }
    }

    #[cfg_attr(not(target_arch = "wasm32"), inline(never))]
    fn prerequisites_hold(&mut self, flag: &Flag) -> bool {
        let snapshot = self.snapshot;
        flag.prerequisites.of(&snapshot.tables.prerequisites).iter().all(|prerequisite| {
            let decision = self.flag(prerequisite.flag);
            let wanted = prerequisite.variants.of(&snapshot.tables.variant_ids);
            let holds = decision.result.is_ok_and(|(variant, _)| wanted.contains(&variant));
            self.found(|snapshot| {
                let other = &snapshot.tables.flags[prerequisite.flag as usize];
                let variant = decision.result.ok().map(|(id, _)| snapshot.variant_name(other, id).to_owned());
                Finding::Prerequisite { flag: snapshot.text(other.key).to_owned(), variant, holds }
            });
            holds
        })
    }

    /// A segment denies whom it might hold, too.
    #[cfg_attr(not(target_arch = "wasm32"), inline(never))]
    fn is_denied(&mut self, flag: &Flag, people: People) -> bool {
        self.is_listed(flag, people.keys)
            || people.segments.of(&self.snapshot.tables.segment_ids).iter().any(|&id| self.segment(id) != Truth::False)
    }

    fn is_listed(&mut self, flag: &Flag, keys: Keys) -> bool {
        if keys.is_empty() {
            return false;
        }
        let attribute = self.attributes.attribute(self.snapshot, flag.bucket_by);
        let mut digits = Digits::default();
        let Some(key) = attribute.key(&mut digits) else { return false };
        let listed = self.snapshot.has_key(keys, key, Owner::Flag(flag.key));
        self.found(|_| Finding::List { listed });
        listed
    }

    #[cfg_attr(not(target_arch = "wasm32"), inline(never))]
    fn is_excluded(&mut self, flag: Numbered<'d>) -> Result<bool, KeyMissing> {
        if self.is_denied(&flag, flag.exclude) {
            return Ok(true);
        }
        let ranges = flag.excluded_positions.of(&self.snapshot.tables.position_ranges);
        if ranges.is_empty() {
            return Ok(false);
        }
        let position = self.ramp_position(flag).ok_or(KeyMissing)?;
        let excluded = ranges.iter().any(|range| range.holds(position));
        self.found(|_| Finding::Ranges { layer: None, position, inside: excluded });
        Ok(excluded)
    }

    #[cfg_attr(not(target_arch = "wasm32"), inline(never))]
    fn allowed_variant(&mut self, flag: &Flag) -> Option<VariantId> {
        let snapshot = self.snapshot;
        let allows = flag.allow.of(&snapshot.tables.allows);
        let allow = allows.iter().find(|allow| {
            self.is_listed(flag, allow.people.keys)
                || allow
                    .people
                    .segments
                    .of(&snapshot.tables.segment_ids)
                    .iter()
                    .any(|&id| self.segment(id) == Truth::True)
        });
        allow.map(|allow| allow.variant)
    }

    #[cfg_attr(not(target_arch = "wasm32"), inline(never))]
    fn is_held_out(&mut self, flag: &Flag) -> Membership {
        let snapshot = self.snapshot;
        for &id in flag.holdouts.of(&snapshot.tables.holdout_ids) {
            let holdout = &snapshot.tables.holdouts[usize::from(id)];
            let needs_key = self.needs_key(holdout.percent);
            let position = if needs_key { self.position(holdout.salt, Use::Holdout, holdout.by) } else { None };
            let membership = Membership::at(holdout.percent, position);
            self.found(|snapshot| {
                let name = snapshot.text(holdout.name).to_owned();
                Finding::Threshold { holdout: Some(name), percent: holdout.percent, position, membership }
            });
            if membership != Membership::Out {
                return membership;
            }
        }
        Membership::Out
    }

    #[cfg_attr(not(target_arch = "wasm32"), inline(never))]
    fn is_in_layer(&mut self, flag: &Flag) -> Result<bool, KeyMissing> {
        let Some(LayerRanges { layer, ranges }) = flag.layer else { return Ok(true) };
        let layer = &self.snapshot.tables.layers[usize::from(layer)];
        let ranges = ranges.of(&self.snapshot.tables.position_ranges);
        if ranges.iter().any(|range| range.from == 0 && range.to == ALL) {
            return Ok(true);
        }
        let position = self.position(layer.salt, Use::Layer, layer.by).ok_or(KeyMissing)?;
        let inside = ranges.iter().any(|range| range.holds(position));
        self.found(|snapshot| Finding::Ranges { layer: Some(snapshot.text(layer.name).to_owned()), position, inside });
        Ok(inside)
    }

    /// The variant served and, where bucketing had a part in it, that reason; `None` outside a ramp.
    #[cfg_attr(not(target_arch = "wasm32"), inline(always))]
    #[cfg_attr(flagstone_download, optimize(speed))]
    fn serve(&mut self, flag: Numbered<'d>, serve: Serve) -> Result<Option<(VariantId, Option<Reason>)>, KeyMissing> {
        let (share, ramp) = match serve {
            Serve::Everyone(share) => (share, None),
            Serve::Ramp(percent, share) => (share, Some(percent)),
        };
        if let Some(percent) = ramp {
            match self.membership(flag, percent) {
                Membership::Out => return Ok(None),
                Membership::KeyMissing => return Err(KeyMissing),
                Membership::In => {}
            }
        }
        Ok(Some(match share {
            Share::Variant(variant) => (variant, ramp.map(|_| Reason::Split)),
            Share::Split(bounds) => (self.part(flag, bounds)?, Some(Reason::Split)),
        }))
    }

    /// The same for a rule, which few users match.
    #[cfg_attr(not(target_arch = "wasm32"), inline(never))]
    #[cfg_attr(flagstone_download, optimize(speed))]
    fn serve_matched(
        &mut self,
        flag: Numbered<'d>,
        serve: Serve,
    ) -> Result<Option<(VariantId, Option<Reason>)>, KeyMissing> {
        self.serve(flag, serve)
    }

    #[cfg_attr(any(not(target_arch = "wasm32"), flagstone_download), inline(always))]
    #[cfg_attr(flagstone_download, optimize(speed))]
    fn membership(&mut self, flag: Numbered<'d>, percent: Percent) -> Membership {
        let snapshot = self.snapshot;
        let (percent, timetable) = match percent {
            Percent::Fixed(percent) => (percent, None),
            Percent::Scheduled(id) => {
                let Schedule { before, points, linear } = snapshot.tables.schedules[id as usize];
                let timetable = Timetable { before, points: points.of(&snapshot.tables.points), linear };
                (timetable.percent(self.now), Some(timetable))
            }
        };
        let needs_key = timetable.is_some() || self.needs_key(percent);
        let position = if needs_key { self.ramp_position(flag) } else { None };
        if let Some(timetable) = timetable {
            self.until = self.until.min(timetable.membership_until(self.now, position));
        }
        let membership = Membership::at(percent, position);
        self.found(|_| Finding::Threshold { holdout: None, percent, position, membership });
        membership
    }

    /// 0 % and 100 % need no key, but whoever watches is shown how far a user is from either.
    #[cfg_attr(flagstone_download, optimize(speed))]
    fn needs_key(&mut self, percent: u32) -> bool {
        !matches!(percent, 0 | ALL) || self.watcher.trace().is_some()
    }

    /// The variant whose part of the split the user falls into.
    #[cfg_attr(not(target_arch = "wasm32"), inline(always))]
    #[cfg_attr(flagstone_download, optimize(speed))]
    fn part(&mut self, flag: Numbered<'d>, bounds: Slice) -> Result<VariantId, KeyMissing> {
        let bounds = bounds.of(&self.snapshot.tables.bounds);
        // A split that gives everything to one variant needs no key.
        let first = bounds.iter().take_while(|bound| bound.below == 0).count();
        let index = if bounds[first].below == ALL {
            first
        } else {
            let position = self.flag_position(flag, Use::Split).ok_or(KeyMissing)?;
            let is_beyond = |bound: &Bound| bound.below <= position;
            // Of a few, what a user is likely to get can be gone on with before it is certain.
            let index = match bounds.len() {
                ..=8 if cfg!(not(target_arch = "wasm32")) => bounds.iter().take_while(|bound| is_beyond(bound)).count(),
                _ => bounds.partition_point(is_beyond),
            };
            self.found(|_| Finding::Part { position, below: bounds[index].below });
            index
        };
        Ok(bounds[index].variant)
    }

    #[cfg_attr(any(not(target_arch = "wasm32"), flagstone_download), inline(always))]
    #[cfg_attr(flagstone_download, optimize(speed))]
    fn ramp_position(&mut self, flag: Numbered<'d>) -> Option<u32> {
        match flag.scheme {
            Scheme::Xxh3 => self.flag_position(flag, Use::Ramp),
            Scheme::Js31 => {
                let attribute = self.attributes.attribute(self.snapshot, flag.bucket_by);
                attribute.key(&mut Digits::default()).map(bucketing::js31)
            }
        }
    }

    /// Under the flag's own salt.
    #[cfg(not(target_arch = "wasm32"))]
    #[inline(always)]
    fn flag_position(&mut self, flag: Numbered<'d>, r#use: Use) -> Option<u32> {
        let snapshot = self.snapshot;
        let attribute = self.attributes.attribute(snapshot, flag.bucket_by);
        let mut digits = Digits::default();
        let key = attribute.key(&mut digits)?.as_bytes();
        let at_hand = bucketing::position_after(snapshot.tables.prepared.salt(flag.number, flag.flag), r#use, key);
        Some(at_hand.unwrap_or_else(|| bucketing::position_of(snapshot.bytes(flag.salt), r#use, key)))
    }

    #[cfg(target_arch = "wasm32")]
    #[cfg_attr(flagstone_download, inline(always), optimize(speed))]
    fn flag_position(&mut self, flag: Numbered<'d>, r#use: Use) -> Option<u32> {
        self.position(flag.salt, r#use, flag.bucket_by)
    }

    #[cfg_attr(not(target_arch = "wasm32"), inline(never))]
    #[cfg_attr(flagstone_download, inline(always), optimize(speed))]
    fn position(&mut self, salt: Span, r#use: Use, by: AttributeId) -> Option<u32> {
        let attribute = self.attributes.attribute(self.snapshot, by);
        let mut digits = Digits::default();
        let key = attribute.key(&mut digits)?;
        Some(bucketing::position_of(self.snapshot.bytes(salt), r#use, key.as_bytes()))
    }

    /// `not excluded and (included or when)`.
    fn segment(&mut self, id: u16) -> Truth {
        let segment = &self.snapshot.tables.segments[usize::from(id)];
        let mut truth = !self.has(segment, segment.exclude);
        if truth != Truth::False {
            let mut member = self.has(segment, segment.include);
            if let (Some(when), Truth::False | Truth::Unknown) = (segment.when, member) {
                member = member.or(self.condition(when, Owner::Segment(segment.name)));
            }
            truth = truth.and(member);
        }
        self.found(|snapshot| Finding::Segment { name: snapshot.text(segment.name).to_owned(), truth });
        truth
    }

    fn has(&mut self, segment: &Segment, keys: Keys) -> Truth {
        if keys.is_empty() {
            return Truth::False;
        }
        let attribute = self.attributes.attribute(self.snapshot, segment.by);
        match attribute.key(&mut Digits::default()) {
            Some(key) => Truth::from(self.snapshot.has_key(keys, key, Owner::Segment(segment.name))),
            None => Truth::Unknown,
        }
    }

    /// The first rule from `from` on that may match, and whether it is known to: those that a check at hand, or what came of the same
    /// condition in another flag, rules out are passed over, unless someone watches.
    #[inline]
    #[cfg_attr(flagstone_download, optimize(speed))]
    fn next_rule(&mut self, rules: Slice, from: usize) -> (usize, bool) {
        let rest = Slice { start: rules.start + from as u32, end: rules.end };
        if rest.is_empty() || self.watcher.trace().is_some() {
            return (from, false);
        }
        #[cfg(not(target_arch = "wasm32"))]
        let (passed, holds) = self.snapshot.pass_over(rest, self.attributes);
        #[cfg(target_arch = "wasm32")]
        let (passed, holds) = {
            let tables = &self.snapshot.tables;
            let is_out = |rule: &&Rule| {
                let known = rule.when.and_then(|when| match tables.conditions[when as usize] {
                    Condition::Test(id, _) => self.attributes.known(when, id),
                    _ => None,
                });
                known.is_some_and(|truth| truth != Truth::True)
            };
            (rest.of(&tables.rules).iter().take_while(is_out).count(), false)
        };
        (from + passed, holds)
    }

    #[cfg_attr(flagstone_download, optimize(speed))]
    fn condition(&mut self, at: u32, owner: Owner) -> Truth {
        let snapshot = self.snapshot;
        let truth = match &snapshot.tables.conditions[at as usize] {
            &Condition::All { end } => self.fold(at + 1, end, owner, Truth::True, Truth::and),
            &Condition::Any { end } => self.fold(at + 1, end, owner, Truth::False, Truth::or),
            Condition::Not { .. } => !self.condition(at + 1, owner),
            &Condition::Segment(id) => self.segment(id),
            &Condition::Test(id, ref operator) => {
                let attributes = self.attributes;
                attributes.tested(at, id, || snapshot.test(operator, attributes.attribute(snapshot, id), owner))
            }
        };
        self.found(|snapshot| Finding::Condition { json: snapshot.condition_json(at).to_owned(), truth });
        truth
    }

    /// Folds the conditions from `at` to `end`, as far as they can still change the answer.
    #[cfg_attr(flagstone_download, optimize(speed))]
    fn fold(&mut self, mut at: u32, end: u32, owner: Owner, empty: Truth, join: fn(Truth, Truth) -> Truth) -> Truth {
        let mut truth = empty;
        while at < end && truth != !empty {
            truth = join(truth, self.condition(at, owner));
            at = self.snapshot.tables.conditions[at as usize].end(at);
        }
        truth
    }
}

impl PositionRange {
    fn holds(self, position: u32) -> bool {
        (self.from..self.to).contains(&position)
    }
}
