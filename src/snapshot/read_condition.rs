//! Conditions, from the document to a tree in one run of records.

use super::json::{Id, Kind, NOTHING};
use super::model::*;
use super::read::Loader;
use crate::evaluate::network::Network;
#[cfg(feature = "regex")]
use crate::evaluate::pattern::{MAX_INSTRUCTIONS, NEIGHBOURS};

/// How deep conditions may be nested, through segments.
pub(super) const MAX_CONDITION_DEPTH: u32 = 64;
/// The most instructions and ranges of characters that all regular expressions of a snapshot have together.
#[cfg(feature = "regex")]
pub(super) const MAX_PATTERNS: usize = 1 << 18;
/// The last code point.
#[cfg(feature = "regex")]
const MAX_CHARACTER: i64 = 0x10ffff;

/// Whether this engine knows an operator.
pub(super) fn is_operator(name: &str) -> bool {
    match name {
        "matches" => cfg!(feature = "regex"),
        "equals" | "equalsCi" | "in" | "inCi" | "inHashed" | "includesAny" | "includesAll" | "cidr" | "exists" => true,
        "semverMatches" => true,
        name => {
            text_operator(name).is_some()
                || number_operator(name).is_some()
                || date_operator(name).is_some()
                || version_operator(name).is_some()
        }
    }
}

fn text_operator(name: &str) -> Option<(Place, bool)> {
    let (name, ignore_case) = match name.strip_suffix("Ci") {
        Some(name) => (name, true),
        None => (name, false),
    };
    Some(match name {
        "contains" => (Place::Anywhere, ignore_case),
        "startsWith" => (Place::Start, ignore_case),
        "endsWith" => (Place::End, ignore_case),
        _ => return None,
    })
}

fn number_operator(name: &str) -> Option<Compare> {
    Some(match name {
        "lessThan" => Compare::Less,
        "lessThanOrEqual" => Compare::LessOrEqual,
        "greaterThan" => Compare::Greater,
        "greaterThanOrEqual" => Compare::GreaterOrEqual,
        _ => return None,
    })
}

fn date_operator(name: &str) -> Option<Compare> {
    Some(match name {
        "before" => Compare::Less,
        "after" => Compare::Greater,
        _ => return None,
    })
}

fn version_operator(name: &str) -> Option<Compare> {
    Some(match name {
        "semverEquals" => Compare::Equal,
        "semverLessThan" => Compare::Less,
        "semverLessThanOrEqual" => Compare::LessOrEqual,
        "semverGreaterThan" => Compare::Greater,
        "semverGreaterThanOrEqual" => Compare::GreaterOrEqual,
        _ => return None,
    })
}

impl Loader<'_> {
    /// Reads a condition, if there is one, and returns where its tree starts.
    pub(super) fn condition_tree(&mut self, id: Id) -> Option<u32> {
        let start = self.tables.conditions.len() as u32;
        if id == NOTHING {
            return None;
        }
        self.condition(id, 1);
        Some(start)
    }

    fn condition(&mut self, id: Id, depth: u32) {
        let document = self.document;
        if depth > MAX_CONDITION_DEPTH {
            return document.refuse(id, &["conditions are nested deeper than 64"]);
        }
        let at = self.tables.conditions.len();
        self.tables.conditions.push(Condition::All { end: 0 });
        self.tables.condition_texts.push(document.source(id));
        let (mut whole, mut attribute, mut operator, mut members) = (None, None, None, 0);
        for (name, value) in document.members(id) {
            members += 1;
            match document.text(name) {
                kind @ ("all" | "any") => {
                    for part in document.elements(value) {
                        self.condition(part, depth + 1);
                    }
                    let end = self.tables.conditions.len() as u32;
                    whole = Some(if kind == "all" { Condition::All { end } } else { Condition::Any { end } });
                }
                "not" => {
                    self.condition(value, depth + 1);
                    whole = Some(Condition::Not { end: self.tables.conditions.len() as u32 });
                }
                "segment" => {
                    whole = Some(Condition::Segment(self.named(value, &self.segments, "segment") as u16));
                }
                "attribute" => attribute = Some(self.attribute(value)),
                _ => operator = self.operator(name, value),
            }
        }
        match (whole, attribute, operator, members) {
            (Some(whole), None, None, 1) => self.tables.conditions[at] = whole,
            (None, Some(attribute), Some(operator), 2) => {
                self.tables.conditions[at] = Condition::Test(attribute, operator);
            }
            _ => {
                let message = "expected `all`, `any`, `not`, `segment`, or `attribute` with one operator";
                document.refuse(id, &[message]);
            }
        }
    }

    /// An operator with its operand; none where it is not known.
    fn operator(&mut self, name: Span, id: Id) -> Option<Operator> {
        let document = self.document;
        let operator = document.text(name);
        if let Some((place, ignore_case)) = text_operator(operator) {
            let texts = self.strings(id, ignore_case);
            return Some(Operator::Text(TextTest { place, ignore_case, texts }));
        }
        if let Some(compare) = number_operator(operator) {
            return Some(Operator::Number(compare, document.number(id)));
        }
        if let Some(compare) = date_operator(operator) {
            return Some(Operator::Date(compare, self.millis(id)));
        }
        if let Some(compare) = version_operator(operator) {
            let number = self.tables.versions.len() as u32;
            self.version(id);
            return Some(Operator::Version(compare, number));
        }
        Some(match operator {
            "equals" => Operator::In(self.operands(id, true)),
            "in" => Operator::In(self.operands(id, false)),
            "equalsCi" => {
                let start = self.tables.strings.len();
                self.string(id, true);
                Operator::InCi(Slice::from(start, &self.tables.strings))
            }
            "inCi" => {
                let texts = self.strings(id, true);
                Operator::InCi(self.sorted(id, texts))
            }
            "inHashed" => {
                let [types, hashed] = self.only(id, ["types", "hashed"]);
                let hashes = self.hashes(document.needed(hashed, id, "hashed"));
                let mut operands = HashedOperands { hashes, strings: false, numbers: false, booleans: false };
                for kind in document.elements(document.needed(types, id, "types")) {
                    match document.string(kind) {
                        "string" => operands.strings = true,
                        "number" => operands.numbers = true,
                        "boolean" => operands.booleans = true,
                        _ => self.unsupported(kind, document.span(kind)),
                    }
                }
                Operator::InHashed(operands)
            }
            #[cfg(feature = "regex")]
            "matches" => self.patterns(id),
            "semverMatches" => {
                let [from, below, prereleases_of] = self.only(id, ["from", "below", "prereleasesOf"]);
                let start = self.tables.versions.len();
                self.version(document.needed(from, id, "from"));
                if below != NOTHING {
                    self.version(below);
                }
                let ends = Slice::from(start, &self.tables.versions);
                let start = self.tables.versions.len();
                for version in document.elements(prereleases_of) {
                    self.version(version);
                }
                let prereleases_of = Slice::from(start, &self.tables.versions);
                Operator::VersionRange(VersionRange { ends, prereleases_of })
            }
            "includesAny" => Operator::IncludesAny(self.operands(id, false)),
            "includesAll" => Operator::IncludesAll(self.operands(id, false)),
            "cidr" => {
                let start = self.tables.networks.len();
                for network in document.elements(id) {
                    let text = document.string(network);
                    match Network::parse(text) {
                        Some(network) => self.tables.networks.push(network),
                        None => document.refuse(network, &["`", text, "` is no network like 10.0.0.0/8"]),
                    }
                }
                Operator::Cidr(Slice::from(start, &self.tables.networks))
            }
            "exists" => Operator::Exists(document.boolean(id)),
            _ => {
                self.unsupported(id, name);
                return None;
            }
        })
    }

    /// Keeps a string, which must be in lower case where case is ignored.
    fn string(&mut self, id: Id, lower_case: bool) {
        let text = self.document.span(id);
        if lower_case && self.document.text(text).bytes().any(|byte| byte.is_ascii_uppercase()) {
            self.document.refuse(id, &["operands that ignore case stand in lower case"]);
        }
        self.tables.strings.push(text);
    }

    fn strings(&mut self, id: Id, lower_case: bool) -> Slice {
        let start = self.tables.strings.len();
        for text in self.document.elements(id) {
            self.string(text, lower_case);
        }
        Slice::from(start, &self.tables.strings)
    }

    pub(super) fn sorted_strings(&mut self, id: Id) -> Slice {
        let strings = self.strings(id, false);
        self.sorted(id, strings)
    }

    /// Makes sure that strings can be searched by halving.
    fn sorted(&self, id: Id, strings: Slice) -> Slice {
        let text = |span: Span| self.document.text(span);
        if !strings.of(&self.tables.strings).is_sorted_by(|&a, &b| text(a) < text(b)) {
            self.document.refuse(id, &["expected strings in ascending order of their bytes, each once"]);
        }
        strings
    }

    /// Reads operands of any of the three types, those of a type in ascending order: one, or an array of them.
    fn operands(&mut self, id: Id, one: bool) -> Operands {
        let document = self.document;
        let (strings, numbers) = (self.tables.strings.len(), self.tables.numbers.len());
        let mut booleans = Booleans::default();
        let mut operand = |operand| match document.kind(operand) {
            Kind::String => self.tables.strings.push(document.span(operand)),
            // Adding zero makes −0 into 0.
            Kind::Number => self.tables.numbers.push(document.number(operand) + 0.0),
            Kind::Boolean if document.boolean(operand) => booleans.yes = true,
            Kind::Boolean => booleans.no = true,
            _ => document.refuse(operand, &["expected a string, a number or a boolean"]),
        };
        if one {
            operand(id)
        } else {
            document.elements(id).for_each(operand)
        }
        let strings = self.sorted(id, Slice::from(strings, &self.tables.strings));
        let numbers = Slice::from(numbers, &self.tables.numbers);
        if !numbers.of(&self.tables.numbers).is_sorted_by(|a, b| a < b) {
            document.refuse(id, &["expected numbers in ascending order, each once"]);
        }
        Operands { strings, numbers, booleans }
    }

    /// Regular expressions. A program is read when it is first named: one that this engine cannot run is the fault of the flags
    /// that name it.
    #[cfg(feature = "regex")]
    fn patterns(&mut self, id: Id) -> Operator {
        let document = self.document;
        let start = self.tables.programs.len();
        for pattern in document.elements(id) {
            let number = self.named(pattern, &self.patterns, "pattern") as usize;
            // What stands after a fault, nobody uses.
            if document.is_at_fault() {
                break;
            }
            let (id, known) = self.programs[number];
            let program = known.unwrap_or_else(|| self.program(id));
            self.tables.programs.push(program);
            self.programs[number].1 = Some(program).filter(|_| !document.is_at_fault());
        }
        Operator::Matches(Slice::from(start, &self.tables.programs))
    }

    /// Reads a program and makes sure that it leads nowhere else, and nowhere back without reading.
    #[cfg(feature = "regex")]
    fn program(&mut self, id: Id) -> Slice {
        let document = self.document;
        let (start, first_range) = (self.tables.instructions.len(), self.tables.character_ranges.len());
        let numbers: Vec<Id> = document.elements(id).collect();
        let (mut rest, mut here, mut furthest) = (&*numbers, 0, 0);
        while let Some((&count, after)) = rest.split_first() {
            let count = document.whole(count, 0, MAX_CHARACTER) as usize;
            let Some((operands, after)) = after.split_at_checked(if count == 0 { 3 } else { 1 + 2 * count }) else {
                document.refuse(id, &["the program ends within an instruction"]);
                break;
            };
            let mut to = |id, least| {
                let place = here + document.whole(id, least, MAX_INSTRUCTIONS as i64);
                furthest = furthest.max(place);
                place as u16
            };
            let instruction = match (count, operands) {
                (0, &[unless, one, other]) => Instruction::Go {
                    unless: document.whole(unless, 0, (1 << (NEIGHBOURS * NEIGHBOURS)) - 1) as u32,
                    to: [to(one, 1), to(other, 1)],
                },
                _ => {
                    let start = self.tables.character_ranges.len();
                    for &[first, last] in operands[1..].as_chunks().0 {
                        let first = document.whole(first, 0, MAX_CHARACTER);
                        let last = document.whole(last, first, MAX_CHARACTER);
                        self.tables.character_ranges.push(CharacterRange { first: first as u32, last: last as u32 });
                    }
                    let ranges = Slice::from(start, &self.tables.character_ranges);
                    Instruction::Read { ranges, to: to(operands[0], -here) }
                }
            };
            self.tables.instructions.push(instruction);
            (rest, here) = (after, here + 1);
        }
        let program = Slice::from(start, &self.tables.instructions);
        if here > MAX_INSTRUCTIONS as i64 {
            document.refuse(id, &["the program has more than 8,191 instructions"]);
        }
        if furthest > here {
            document.refuse(id, &["the program leads beyond its end"]);
        }
        if self.tables.instructions.len() + self.tables.character_ranges.len() > MAX_PATTERNS {
            document.refuse(id, &["all programs together have more than 262,144 instructions and ranges"]);
        }
        // Nobody uses it, and it must not count again for each flag that names it.
        if document.is_at_fault() {
            self.tables.instructions.truncate(start);
            self.tables.character_ranges.truncate(first_range);
        }
        program
    }
}
