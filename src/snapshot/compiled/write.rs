//! From a snapshot to the member `compiled`.

use super::{FORMAT, MEMBER};
use crate::Timestamp;
use crate::number::decimal;
use crate::snapshot::base64url;
use crate::snapshot::dependencies::Dependencies;
use crate::snapshot::json::{Document, quoted};
use crate::snapshot::load::{Audience, Snapshot, SnapshotError, Tables};
use crate::snapshot::model::*;
use std::collections::HashMap;
use xxhash_rust::xxh3::xxh3_64;

/// Adds to a snapshot's payload what browsers evaluate, as `compile` has done with those that it writes: the member `compiled` of [the format](crate::snapshot#the-snapshot-format). Payloads without it do as well,
/// but browsers then download what compiles them.
///
/// # Errors
/// Where the payload is no snapshot's.
///
/// ```
/// let payload = r#"{"schema": 1, "environment": "test", "audience": "server", "version": 1, "created": "2026-11-21T12:00:00Z",
///     "flags": {"beta": {"type": "boolean", "variants": {"on": true}, "off": "on", "salt": "beta-1", "default": "on"}}}"#;
/// let completed = flagstone::snapshot::complete(payload)?;
/// assert!(completed.starts_with(payload.trim_end_matches('}')));
/// assert_eq!(flagstone::snapshot::complete(&completed)?, completed);
/// # Ok::<(), flagstone::SnapshotError>(())
/// ```
pub fn complete(payload: &str) -> Result<String, SnapshotError> {
    Ok(Snapshot::from_payload(without_member(payload))?.completed())
}

/// The document without a member that an earlier version of it has left.
fn without_member(payload: &str) -> String {
    let cut = || {
        let document = Document::parse(payload).ok()?;
        let (name, value) = document.members(document.root()).find(|&(name, _)| document.text(name) == "compiled")?;
        // Where it is written with escapes, it stands elsewhere.
        let before = payload.get(..name.start as usize - 1).filter(|before| before.len() + 10 < payload.len())?;
        let (before, value) = (before.trim_end(), document.source(value));
        let after = &payload[(value.start + value.length) as usize..];
        Some(match before.strip_suffix(',') {
            Some(before) => [before, after].concat(),
            None => [before, after.trim_start().trim_start_matches(',')].concat(),
        })
    };
    cut().unwrap_or_else(|| payload.to_owned())
}

impl Snapshot {
    /// The document, with what was compiled from it as its last member.
    pub(crate) fn completed(&self) -> String {
        let document = self.document().trim_end();
        let document = document.strip_suffix('}').unwrap_or(document).trim_end();
        let tables = &self.tables;
        let programs = programs_of(tables);
        let (bytes, known) = (Vec::new(), HashMap::new());
        let stream =
            Writer { snapshot: self, tables, programs, known, conditions: 0, document, bytes, end: 0 }.stream();
        let expires = self.expires().map(|expires| [",\"expires\":", &instant(expires)].concat()).unwrap_or_default();
        let attributes = (0..self.tables.attributes.len()).map(|id| {
            let parts = self.attribute(id as AttributeId).parts();
            list(parts.map(|part| quoted(&part)))
        });
        let mut dependencies = Dependencies::to_compare(self);
        let flags = (0..self.tables.flags.len()).map(|id| {
            let depends = dependencies.flag(id);
            let numbers = [depends.fingerprint as u32].into_iter().chain(depends.reads.into_iter().map(u32::from));
            list(numbers.map(|number| decimal(number.into())))
        });
        let members = [
            document,
            MEMBER,
            "\"created\":",
            &instant(self.created()),
            &expires,
            ",\"attributes\":",
            &list(attributes),
            ",\"flags\":",
            &list(flags),
            ",\"tables\":\"",
            &base64url::encode(&stream),
            "\"}}",
        ];
        members.concat()
    }
}

fn instant(instant: Timestamp) -> String {
    decimal(instant.as_millis())
}

fn list(items: impl Iterator<Item = String>) -> String {
    ["[", &items.collect::<Vec<_>>().join(","), "]"].concat()
}

struct Writer<'s> {
    snapshot: &'s Snapshot,
    tables: &'s Tables,
    /// Each program once.
    programs: Vec<(u32, u32)>,
    /// Conditions that may be shared, by their text: their numbers, as the stream counts.
    known: HashMap<&'s str, u32>,
    /// How many conditions were written.
    conditions: u32,
    /// The document up to the member.
    document: &'s str,
    bytes: Vec<u8>,
    /// Where the text written last ends.
    end: i64,
}

impl<'s> Writer<'s> {
    fn stream(mut self) -> Vec<u8> {
        let (snapshot, tables) = (self.snapshot, self.tables);
        self.bytes.push(FORMAT);
        self.bytes.extend(xxh3_64(self.document.as_bytes()).to_le_bytes());
        self.number(self.document.len());
        self.inline(snapshot.pool());
        self.span(snapshot.environment);
        self.flag(snapshot.audience == Audience::Server);
        self.long(snapshot.version);
        self.signed(snapshot.created.as_millis());
        self.optional(snapshot.expires, |writer, expires| writer.signed(expires.as_millis()));
        self.span(snapshot.hash_salt);
        self.run(&tables.attributes.spans, |writer, &path| writer.span(path));
        self.number(tables.segments.len());
        self.run(&self.programs.clone(), |writer, &(start, end)| writer.program(Slice { start, end }));
        for segment in &tables.segments {
            self.span(segment.name);
            self.optional(segment.unsupported, Self::span);
            if segment.unsupported.is_none() {
                self.number(segment.by);
                self.keys(segment.include);
                self.keys(segment.exclude);
                self.when(segment.when);
            }
        }
        self.run(&tables.layers, |writer, layer| {
            writer.span(layer.name);
            writer.span(layer.salt);
            writer.number(layer.by);
        });
        self.run(&tables.holdouts, |writer, holdout| {
            writer.span(holdout.name);
            writer.span(holdout.salt);
            writer.number(holdout.by);
            writer.number(holdout.percent);
        });
        self.number(tables.flags.len());
        let mut dependencies = Dependencies::new(snapshot);
        for (id, flag) in tables.flags.iter().enumerate() {
            self.flag_record(flag, dependencies.flag(id).has_patterns);
        }
        self.bytes
    }

    // What records are made of.

    fn long(&mut self, mut number: u64) {
        while number > 0x7f {
            self.bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.bytes.push(number as u8);
    }

    fn number(&mut self, number: impl TryInto<u64>) {
        self.long(number.try_into().unwrap_or_default());
    }

    fn signed(&mut self, number: i64) {
        self.long((number << 1 ^ number >> 63) as u64);
    }

    fn flag(&mut self, flag: bool) {
        self.bytes.push(flag.into());
    }

    /// Text of the document or, as if it followed what is left of that, of the pool.
    fn span(&mut self, Span { start, length }: Span) {
        let snapshot = self.snapshot;
        let start = match (start as usize).checked_sub(snapshot.document().len()) {
            Some(in_pool) => (self.document.len() + in_pool) as i64,
            None => i64::from(start),
        };
        self.signed(start - self.end);
        self.number(length);
        self.end = start + i64::from(length);
    }

    /// Text that stands here.
    fn inline(&mut self, text: &str) {
        self.number(text.len());
        self.bytes.extend(text.as_bytes());
    }

    fn optional<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.flag(value.is_some());
        if let Some(value) = value {
            write(self, value);
        }
    }

    fn run<T>(&mut self, records: &[T], mut write: impl FnMut(&mut Self, &T)) {
        self.number(records.len());
        for record in records {
            write(self, record);
        }
    }

    fn spans(&mut self, strings: Slice) {
        self.run(strings.of(&self.tables.strings), |writer, &string| writer.span(string));
    }

    /// The text that they stand in, in the document.
    fn hashes(&mut self, hashes: Slice) {
        let texts = &self.tables.hash_texts;
        // The last one from there on: those before it are empty.
        let after = texts.partition_point(|&(start, _)| start <= hashes.start);
        let text = texts[..after].last().filter(|_| !hashes.is_empty());
        self.span(text.map_or(Span::default(), |&(_, text)| text));
    }

    fn keys(&mut self, keys: Keys) {
        self.flag(matches!(keys, Keys::Hashed(_)));
        match keys {
            Keys::Plain(strings) => self.spans(strings),
            Keys::Hashed(hashes) => self.hashes(hashes),
        }
    }

    fn people(&mut self, people: People) {
        self.keys(people.keys);
        self.run(people.segments.of(&self.tables.segment_ids), |writer, &segment| writer.number(segment));
    }

    fn ranges(&mut self, ranges: Slice) {
        self.run(ranges.of(&self.tables.position_ranges), |writer, range| {
            writer.number(range.from);
            writer.number(range.to);
        });
    }

    // Flags.

    fn flag_record(&mut self, flag: &Flag, has_patterns: bool) {
        let tables = self.tables;
        self.span(flag.key);
        self.run(flag.variants.of(&tables.variants), |writer, variant| writer.span(variant.name));
        self.number(flag.off);
        self.span(flag.salt);
        self.bytes.push(match flag.gate {
            Gate::Open => 0,
            Gate::Disabled => 1,
            Gate::Killed(_) => 2,
        });
        if let Gate::Killed(by) = flag.gate {
            self.span(by);
        }
        self.optional(flag.unsupported, Self::span);
        if flag.unsupported.is_some() {
            return;
        }
        self.flag(has_patterns);
        self.number(flag.bucket_by);
        self.flag(flag.scheme == Scheme::Js31);
        self.flag(flag.screens);
        if flag.screens {
            self.run(flag.prerequisites.of(&tables.prerequisites), |writer, prerequisite| {
                writer.number(prerequisite.flag);
                writer.run(prerequisite.variants.of(&tables.variant_ids), |writer, &variant| writer.number(variant));
            });
            self.people(flag.deny);
            self.people(flag.exclude);
            self.ranges(flag.excluded_positions);
            self.run(flag.allow.of(&tables.allows), |writer, allow| {
                writer.number(allow.variant);
                writer.people(allow.people);
            });
            self.run(flag.holdouts.of(&tables.holdout_ids), |writer, &holdout| writer.number(holdout));
            self.optional(flag.layer, |writer, layer| {
                writer.number(layer.layer);
                writer.ranges(layer.ranges);
            });
        }
        self.run(flag.rules.of(&tables.rules), |writer, rule| {
            writer.when(rule.when);
            writer.serve(rule.serve);
        });
        self.serve(flag.default);
    }

    fn serve(&mut self, serve: Serve) {
        let share = match serve {
            Serve::Everyone(share) => {
                self.bytes.push(0);
                share
            }
            Serve::Ramp(Percent::Fixed(percent), share) => {
                self.bytes.push(1);
                self.number(percent);
                share
            }
            Serve::Ramp(Percent::Scheduled(schedule), share) => {
                self.bytes.push(2);
                let schedule = self.tables.schedules[schedule as usize];
                self.number(schedule.before);
                self.flag(schedule.linear);
                self.run(schedule.points.of(&self.tables.points), |writer, point| {
                    writer.signed(point.at);
                    writer.number(point.percent);
                });
                share
            }
        };
        self.flag(matches!(share, Share::Split(_)));
        match share {
            Share::Variant(variant) => self.number(variant),
            Share::Split(bounds) => self.run(bounds.of(&self.tables.bounds), |writer, bound| {
                writer.number(bound.variant);
                writer.number(bound.below);
            }),
        }
    }

    // Conditions.

    /// What a rule or a segment asks for. Many ask for the same, which is read, kept and, in a context, tested once.
    fn when(&mut self, when: Option<u32>) {
        let Some(at) = when else { return self.bytes.push(0) };
        let text = self.snapshot.text(self.tables.condition_texts[at as usize]);
        if let Some(&number) = self.known.get(text) {
            self.bytes.push(2);
            return self.number(number);
        }
        let end = self.tables.conditions[at as usize].end(at);
        // Hashes are made with whose they are.
        let is_own = |condition: &Condition| matches!(condition, Condition::Test(_, Operator::InHashed(_)));
        if !self.tables.conditions[at as usize..end as usize].iter().any(is_own) {
            self.known.insert(text, self.conditions);
        }
        self.bytes.push(1);
        self.condition(at);
    }

    /// A condition, before its parts.
    fn condition(&mut self, at: u32) {
        self.conditions += 1;
        let conditions = &self.tables.conditions;
        self.span(self.tables.condition_texts[at as usize]);
        let (kind, end) = match conditions[at as usize] {
            Condition::All { end } => (0, end),
            Condition::Any { end } => (1, end),
            Condition::Not { end } => (2, end),
            Condition::Segment(segment) => {
                self.bytes.push(3);
                return self.number(segment);
            }
            Condition::Test(attribute, operator) => return self.test(attribute, operator),
        };
        self.bytes.push(kind);
        let (mut parts, mut part) = (Vec::new(), at + 1);
        while part < end {
            parts.push(part);
            part = conditions[part as usize].end(part);
        }
        self.run(&parts, |writer, &part| writer.condition(part));
    }

    fn test(&mut self, attribute: AttributeId, operator: Operator) {
        let kind = match operator {
            Operator::In(_) => 4,
            Operator::InCi(_) => 5,
            Operator::InHashed(_) => 6,
            Operator::Text(_) => 7,
            Operator::Matches(_) => 8,
            Operator::Number(..) => 9,
            Operator::Date(..) => 10,
            Operator::Version(..) => 11,
            Operator::VersionRange(_) => 12,
            Operator::IncludesAny(_) => 13,
            Operator::IncludesAll(_) => 14,
            Operator::Cidr(_) => 15,
            Operator::Exists(_) => 16,
        };
        self.bytes.push(kind);
        self.number(attribute);
        let tables = self.tables;
        match operator {
            Operator::In(operands) | Operator::IncludesAny(operands) | Operator::IncludesAll(operands) => {
                self.spans(operands.strings);
                self.run(operands.numbers.of(&tables.numbers), |writer, number| writer.double(*number));
                self.flag(operands.booleans.yes);
                self.flag(operands.booleans.no);
            }
            Operator::InCi(strings) => self.spans(strings),
            Operator::InHashed(operands) => {
                self.hashes(operands.hashes);
                self.flag(operands.strings);
                self.flag(operands.numbers);
                self.flag(operands.booleans);
            }
            Operator::Text(test) => {
                self.bytes.push(match test.place {
                    Place::Anywhere => 0,
                    Place::Start => 1,
                    Place::End => 2,
                });
                self.flag(test.ignore_case);
                self.spans(test.texts);
            }
            Operator::Matches(programs) => {
                self.run(programs.of(&tables.programs), |writer, program| {
                    let known = &writer.programs;
                    writer.number(known.binary_search(&(program.start, program.end)).unwrap_or_default());
                });
            }
            Operator::Number(compare, number) => {
                self.compare(compare);
                self.double(number);
            }
            Operator::Date(compare, at) => {
                self.compare(compare);
                self.signed(at);
            }
            Operator::Version(compare, version) => {
                self.compare(compare);
                self.versions(Slice { start: version, end: version + 1 });
            }
            Operator::VersionRange(range) => {
                self.versions(range.ends);
                self.versions(range.prereleases_of);
            }
            Operator::Cidr(networks) => self.run(networks.of(&tables.networks), |writer, network| {
                writer.bytes.extend(network.first.to_le_bytes());
                writer.bytes.push(network.mask.leading_ones() as u8);
            }),
            Operator::Exists(wanted) => self.flag(wanted),
        }
    }

    fn double(&mut self, number: f64) {
        self.bytes.extend(number.to_le_bytes());
    }

    fn compare(&mut self, compare: Compare) {
        self.bytes.push(match compare {
            Compare::Less => 0,
            Compare::LessOrEqual => 1,
            Compare::Equal => 2,
            Compare::GreaterOrEqual => 3,
            Compare::Greater => 4,
        });
    }

    fn versions(&mut self, versions: Slice) {
        self.run(versions.of(&self.tables.versions), |writer, version| {
            version.numbers.iter().for_each(|&number| writer.long(number));
            writer.inline(&version.prerelease);
        });
    }

    fn program(&mut self, program: Slice) {
        self.run(program.of(&self.tables.instructions), |writer, instruction| match *instruction {
            Instruction::Go { unless, to } => {
                writer.number(0u32);
                writer.number(unless);
                to.iter().for_each(|&place| writer.number(place));
            }
            Instruction::Read { ranges, to } => {
                let ranges = ranges.of(&writer.tables.character_ranges);
                writer.number(ranges.len());
                writer.number(to);
                for range in ranges {
                    writer.number(range.first);
                    writer.number(range.last - range.first);
                }
            }
        });
    }
}

/// Each program once.
fn programs_of(tables: &Tables) -> Vec<(u32, u32)> {
    let mut programs: Vec<_> = tables.programs.iter().map(|program| (program.start, program.end)).collect();
    programs.sort_unstable();
    programs.dedup();
    programs
}
