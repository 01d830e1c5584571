//! Conditions, from the document to a tree in one run of records.

use super::json::{Id, Kind, Result};
use super::model::*;
use super::read::Loader;
use crate::evaluate::network::Network;
use crate::evaluate::version;

/// How deep conditions may be nested, through segments.
pub(super) const MAX_CONDITION_DEPTH: u32 = 64;

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
    /// Reads a condition and returns where its tree starts.
    pub(super) fn condition_tree(&mut self, id: Id) -> Result<u32> {
        let start = self.tables.conditions.len() as u32;
        self.condition(id, 1)?;
        Ok(start)
    }

    fn condition(&mut self, id: Id, depth: u32) -> Result<()> {
        let document = self.document;
        if depth > MAX_CONDITION_DEPTH {
            return document.error(id, &["conditions are nested deeper than 64"]);
        }
        let at = self.tables.conditions.len();
        self.tables.conditions.push(Condition::All { end: 0 });
        self.tables.condition_texts.push(document.source(id));
        let (mut whole, mut attribute, mut operator) = (None, None, None);
        for (name, value) in document.members(id)? {
            match document.text(name) {
                kind @ ("all" | "any") => {
                    for part in document.elements(value)? {
                        self.condition(part, depth + 1)?;
                    }
                    let end = self.tables.conditions.len() as u32;
                    whole = Some(if kind == "all" { Condition::All { end } } else { Condition::Any { end } });
                }
                "not" => {
                    self.condition(value, depth + 1)?;
                    whole = Some(Condition::Not { end: self.tables.conditions.len() as u32 });
                }
                "segment" => {
                    whole = Some(Condition::Segment(self.named(value, &self.segments, "segment")? as u16));
                }
                "attribute" => attribute = Some(self.attribute(value)?),
                _ => operator = Some(self.operator(name, value)?),
            }
        }
        self.tables.conditions[at] = match (whole, attribute, operator, document.members(id)?.count()) {
            (Some(whole), None, None, 1) => whole,
            (None, Some(attribute), Some(operator), 2) => Condition::Test(attribute, operator),
            _ => {
                let message = "expected `all`, `any`, `not`, `segment`, or `attribute` with one operator";
                return document.error(id, &[message]);
            }
        };
        Ok(())
    }

    fn operator(&mut self, name: Span, id: Id) -> Result<Operator> {
        let document = self.document;
        let operator = document.text(name);
        if let Some((place, ignore_case)) = text_operator(operator) {
            let texts = self.strings(id, ignore_case)?;
            return Ok(Operator::Text(TextTest { place, ignore_case, texts }));
        }
        if let Some(compare) = number_operator(operator) {
            return Ok(Operator::Number(compare, document.number(id)?));
        }
        if let Some(compare) = date_operator(operator) {
            return Ok(Operator::Date(compare, self.millis(id)?));
        }
        if let Some(compare) = version_operator(operator) {
            let text = document.string(id)?;
            match version::parse(text) {
                Some(version) => self.tables.versions.push(version),
                None => return document.error(id, &["`", text, "` is no version like 2.3.0"]),
            }
            return Ok(Operator::Version(compare, self.tables.versions.len() as u32 - 1));
        }
        Ok(match operator {
            "equals" => Operator::In(self.operands(id, &mut std::iter::once(id))?),
            "in" => Operator::In(self.operands(id, &mut document.elements(id)?)?),
            "equalsCi" => {
                let start = self.tables.strings.len();
                self.lower_case(id)?;
                Operator::InCi(Slice::from(start, &self.tables.strings))
            }
            "inCi" => {
                let texts = self.strings(id, true)?;
                Operator::InCi(self.sorted(id, texts)?)
            }
            "inHashed" => {
                self.only(id, &["types", "hashed"])?;
                let hashes = self.hashes(document.need(id, "hashed")?)?;
                let mut operands = HashedOperands { hashes, strings: false, numbers: false, booleans: false };
                for kind in document.elements(document.need(id, "types")?)? {
                    match document.string(kind)? {
                        "string" => operands.strings = true,
                        "number" => operands.numbers = true,
                        "boolean" => operands.booleans = true,
                        _ => return self.unsupported(kind, document.span(kind)?),
                    }
                }
                Operator::InHashed(operands)
            }
            #[cfg(feature = "regex")]
            "matches" => self.patterns(id)?,
            "semverMatches" => {
                let text = document.string(id)?;
                match semver::VersionReq::parse(text) {
                    Ok(range) => self.tables.version_ranges.push(range),
                    Err(_) => return document.error(id, &["`", text, "` is no version range like >=1.2, <2"]),
                }
                Operator::VersionRange(self.tables.version_ranges.len() as u32 - 1)
            }
            "includesAny" => Operator::IncludesAny(self.operands(id, &mut document.elements(id)?)?),
            "includesAll" => Operator::IncludesAll(self.operands(id, &mut document.elements(id)?)?),
            "cidr" => {
                let start = self.tables.networks.len();
                for network in document.elements(id)? {
                    let text = document.string(network)?;
                    match Network::parse(text) {
                        Some(network) => self.tables.networks.push(network),
                        None => return document.error(network, &["`", text, "` is no network like 10.0.0.0/8"]),
                    }
                }
                Operator::Cidr(Slice::from(start, &self.tables.networks))
            }
            "exists" => Operator::Exists(document.boolean(id)?),
            _ => return self.unsupported(id, name),
        })
    }

    /// Keeps a string that must be in lower case.
    fn lower_case(&mut self, id: Id) -> Result<()> {
        let text = self.document.span(id)?;
        if self.document.text(text).bytes().any(|byte| byte.is_ascii_uppercase()) {
            return self.document.error(id, &["operands that ignore case stand in lower case"]);
        }
        self.tables.strings.push(text);
        Ok(())
    }

    fn strings(&mut self, id: Id, lower_case: bool) -> Result<Slice> {
        let start = self.tables.strings.len();
        for text in self.document.elements(id)? {
            if lower_case {
                self.lower_case(text)?;
            } else {
                self.tables.strings.push(self.document.span(text)?);
            }
        }
        Ok(Slice::from(start, &self.tables.strings))
    }

    pub(super) fn sorted_strings(&mut self, id: Id) -> Result<Slice> {
        let strings = self.strings(id, false)?;
        self.sorted(id, strings)
    }

    /// Makes sure that strings can be searched by halving.
    fn sorted(&self, id: Id, strings: Slice) -> Result<Slice> {
        let text = |span: Span| self.document.text(span);
        if strings.of(&self.tables.strings).is_sorted_by(|&a, &b| text(a) < text(b)) {
            Ok(strings)
        } else {
            self.document.error(id, &["expected strings in ascending order of their bytes, each once"])
        }
    }

    /// Reads operands of any of the three types, those of a type in ascending order.
    fn operands(&mut self, id: Id, operands: &mut dyn Iterator<Item = Id>) -> Result<Operands> {
        let document = self.document;
        let (strings, numbers) = (self.tables.strings.len(), self.tables.numbers.len());
        let mut booleans = Booleans::default();
        for operand in operands {
            match document.kind(operand) {
                Kind::String => self.tables.strings.push(document.span(operand)?),
                // Adding zero makes −0 into 0.
                Kind::Number => self.tables.numbers.push(document.number(operand)? + 0.0),
                Kind::Boolean if document.boolean(operand)? => booleans.yes = true,
                Kind::Boolean => booleans.no = true,
                _ => return document.error(operand, &["expected a string, a number or a boolean"]),
            }
        }
        let strings = self.sorted(id, Slice::from(strings, &self.tables.strings))?;
        let numbers = Slice::from(numbers, &self.tables.numbers);
        if !numbers.of(&self.tables.numbers).is_sorted_by(|a, b| a < b) {
            return document.error(id, &["expected numbers in ascending order, each once"]);
        }
        Ok(Operands { strings, numbers, booleans })
    }

    /// Each pattern is compiled once, wherever it stands.
    #[cfg(feature = "regex")]
    fn patterns(&mut self, id: Id) -> Result<Operator> {
        let document = self.document;
        let start = self.tables.pattern_ids.len();
        for pattern in document.elements(id)? {
            let span = document.span(pattern)?;
            let text = document.text(span);
            let number = match self.patterns.find(text, document.texts()) {
                Some(number) => number,
                None => {
                    let size_limit = super::load::MAX_REGEX_BYTES;
                    match regex_lite::RegexBuilder::new(text).size_limit(size_limit).build() {
                        Ok(regex) => self.tables.patterns.push(regex),
                        Err(_) => {
                            let message = ["`", text, "` is no regular expression, or too large a one"];
                            return document.error(pattern, &message);
                        }
                    }
                    self.patterns.add(span, document.texts())
                }
            };
            self.tables.pattern_ids.push(number);
        }
        Ok(Operator::Matches(Slice::from(start, &self.tables.pattern_ids)))
    }
}
