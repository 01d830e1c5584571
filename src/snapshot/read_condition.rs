//! Conditions, from the document to a tree in one run of records.

use super::json::{Kind, Reader, Result};
use super::model::*;
use super::read::{Loader, read_millis, read_number, refuse, unsupported};
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

impl<'a> Loader<'a> {
    /// Reads a condition and returns where its tree starts.
    pub(super) fn read_condition(&mut self, reader: &mut Reader<'a>) -> Result<u32> {
        let start = self.tables.conditions.len() as u32;
        self.condition(reader, 1)?;
        Ok(start)
    }

    fn condition(&mut self, reader: &mut Reader<'a>, depth: u32) -> Result<()> {
        if depth > MAX_CONDITION_DEPTH {
            return reader.error("conditions are nested deeper than 64");
        }
        let start = reader.mark();
        let at = self.tables.conditions.len();
        self.tables.conditions.push(Condition::All { end: 0 });
        self.tables.condition_texts.push(Span::default());
        let (mut whole, mut attribute, mut operator) = (None, None, None);
        let mut parts = 0;
        reader.members(&mut |reader, member| {
            parts += 1;
            match member {
                "all" | "any" => {
                    reader.elements(&mut |reader| self.condition(reader, depth + 1))?;
                    let end = self.tables.conditions.len() as u32;
                    whole = Some(if member == "all" { Condition::All { end } } else { Condition::Any { end } });
                }
                "not" => {
                    self.condition(reader, depth + 1)?;
                    whole = Some(Condition::Not { end: self.tables.conditions.len() as u32 });
                }
                "segment" => {
                    let name = reader.string()?;
                    whole = Some(Condition::Segment(self.segment(reader, &name)?));
                }
                "attribute" => attribute = Some(self.read_attribute(reader)?),
                name => operator = Some(self.read_operator(reader, name)?),
            }
            Ok(())
        })?;
        self.tables.conditions[at] = match (whole, attribute, operator, parts) {
            (Some(whole), None, None, 1) => whole,
            (None, Some(attribute), Some(operator), 2) => Condition::Test(attribute, operator),
            _ => return reader.error("expected `all`, `any`, `not`, `segment`, or `attribute` with one operator"),
        };
        self.tables.condition_texts[at] = self.span(reader.since(start));
        Ok(())
    }

    fn read_operator(&mut self, reader: &mut Reader<'a>, name: &str) -> Result<Operator> {
        if let Some((place, ignore_case)) = text_operator(name) {
            let texts = self.read_strings(reader)?;
            return self
                .check_case(reader, texts, ignore_case)
                .map(|texts| Operator::Text(TextTest { place, ignore_case, texts }));
        }
        if let Some(compare) = number_operator(name) {
            return Ok(Operator::Number(compare, read_number(reader)?));
        }
        if let Some(compare) = date_operator(name) {
            return Ok(Operator::Date(compare, read_millis(reader)?));
        }
        if let Some(compare) = version_operator(name) {
            return self.read_version(reader, compare);
        }
        Ok(match name {
            "equals" => Operator::In(self.read_operands(reader, false)?),
            "in" => Operator::In(self.read_operands(reader, true)?),
            "equalsCi" => {
                let text = self.read_string(reader)?;
                let start = self.tables.strings.len();
                self.tables.strings.push(text);
                let texts = Slice::from(start, &self.tables.strings);
                Operator::InCi(self.check_case(reader, texts, true)?)
            }
            "inCi" => {
                let texts = self.read_sorted_strings(reader)?;
                Operator::InCi(self.check_case(reader, texts, true)?)
            }
            "inHashed" => self.read_in_hashed(reader)?,
            #[cfg(feature = "regex")]
            "matches" => self.read_patterns(reader)?,
            "semverMatches" => {
                let text = reader.string()?;
                match semver::VersionReq::parse(&text) {
                    Ok(range) => self.tables.version_ranges.push(range),
                    Err(_) => return refuse(reader, &["`", &text, "` is no version range like >=1.2, <2"]),
                }
                Operator::VersionRange(self.tables.version_ranges.len() as u32 - 1)
            }
            "includesAny" => Operator::IncludesAny(self.read_operands(reader, true)?),
            "includesAll" => Operator::IncludesAll(self.read_operands(reader, true)?),
            "cidr" => {
                let start = self.tables.networks.len();
                reader.elements(&mut |reader| {
                    let text = reader.string()?;
                    match Network::parse(&text) {
                        Some(network) => self.tables.networks.push(network),
                        None => return refuse(reader, &["`", &text, "` is no network like 10.0.0.0/8"]),
                    }
                    Ok(())
                })?;
                Operator::Cidr(Slice::from(start, &self.tables.networks))
            }
            "exists" => Operator::Exists(reader.boolean()?),
            name => return unsupported(reader, "", name),
        })
    }

    fn read_version(&mut self, reader: &mut Reader<'a>, compare: Compare) -> Result<Operator> {
        let text = reader.string()?;
        match version::parse(&text) {
            Some(version) => self.tables.versions.push(version),
            None => return refuse(reader, &["`", &text, "` is no version like 2.3.0"]),
        }
        Ok(Operator::Version(compare, self.tables.versions.len() as u32 - 1))
    }

    fn read_strings(&mut self, reader: &mut Reader<'a>) -> Result<Slice> {
        let start = self.tables.strings.len();
        reader.elements(&mut |reader| {
            let text = self.read_string(reader)?;
            self.tables.strings.push(text);
            Ok(())
        })?;
        Ok(Slice::from(start, &self.tables.strings))
    }

    pub(super) fn read_sorted_strings(&mut self, reader: &mut Reader<'a>) -> Result<Slice> {
        let strings = self.read_strings(reader)?;
        if strings.of(&self.tables.strings).is_sorted_by(|&a, &b| self.text(a) < self.text(b)) {
            Ok(strings)
        } else {
            reader.error("expected strings in ascending order of their bytes, each once")
        }
    }

    fn check_case(&self, reader: &Reader<'a>, texts: Slice, ignore_case: bool) -> Result<Slice> {
        let upper = |span: &Span| self.text(*span).bytes().any(|byte| byte.is_ascii_uppercase());
        if ignore_case && texts.of(&self.tables.strings).iter().any(upper) {
            return reader.error("operands that ignore case stand in lower case");
        }
        Ok(texts)
    }

    /// Reads one operand or an array of them, of any of the three types, those of a type in ascending order.
    fn read_operands(&mut self, reader: &mut Reader<'a>, array: bool) -> Result<Operands> {
        let (strings, numbers) = (self.tables.strings.len(), self.tables.numbers.len());
        let mut booleans = Booleans::default();
        let mut read = |reader: &mut Reader<'a>| {
            match reader.peek()? {
                Kind::String => {
                    let text = self.read_string(reader)?;
                    self.tables.strings.push(text);
                }
                Kind::Number => self.tables.numbers.push(read_number(reader)? + 0.0),
                Kind::Boolean if reader.boolean()? => booleans.yes = true,
                Kind::Boolean => booleans.no = true,
                _ => return reader.error("expected a string, a number or a boolean"),
            }
            Ok(())
        };
        if array {
            reader.elements(&mut read)?;
        } else {
            read(reader)?;
        }
        let strings = Slice::from(strings, &self.tables.strings);
        let numbers = Slice::from(numbers, &self.tables.numbers);
        if strings.of(&self.tables.strings).is_sorted_by(|&a, &b| self.text(a) < self.text(b))
            && numbers.of(&self.tables.numbers).is_sorted_by(|a, b| a < b)
        {
            return Ok(Operands { strings, numbers, booleans });
        }
        reader.error("expected the operands of each type in ascending order, each once")
    }

    fn read_in_hashed(&mut self, reader: &mut Reader<'a>) -> Result<Operator> {
        let (mut hashes, mut types) = (None, None);
        reader.members(&mut |reader, member| {
            match member {
                "hashed" => hashes = Some(self.read_hashes(reader)?),
                "types" => {
                    let [mut strings, mut numbers, mut booleans] = [false; 3];
                    reader.elements(&mut |reader| {
                        match &*reader.string()? {
                            "string" => strings = true,
                            "number" => numbers = true,
                            "boolean" => booleans = true,
                            other => return unsupported(reader, "operand", other),
                        }
                        Ok(())
                    })?;
                    types = Some((strings, numbers, booleans));
                }
                other => return unsupported(reader, "inHashed", other),
            }
            Ok(())
        })?;
        let (Some(hashes), Some((strings, numbers, booleans))) = (hashes, types) else {
            return reader.error("expected `types` and `hashed`");
        };
        Ok(Operator::InHashed(HashedOperands { hashes, strings, numbers, booleans }))
    }

    /// Each pattern is compiled once, wherever it stands.
    #[cfg(feature = "regex")]
    fn read_patterns(&mut self, reader: &mut Reader<'a>) -> Result<Operator> {
        let start = self.tables.pattern_ids.len();
        reader.elements(&mut |reader| {
            let pattern = reader.string()?;
            let id = match self.patterns.find(&pattern, self.texts()) {
                Some(id) => id,
                None => {
                    let size_limit = super::load::MAX_REGEX_BYTES;
                    match regex_lite::RegexBuilder::new(&pattern).size_limit(size_limit).build() {
                        Ok(regex) => self.tables.patterns.push(regex),
                        Err(_) => return refuse(reader, &["`", &pattern, "` is no regular expression, or too large"]),
                    }
                    let span = self.span(&pattern);
                    let mut patterns = std::mem::take(&mut self.patterns);
                    let id = patterns.add(span, self.texts());
                    self.patterns = patterns;
                    id
                }
            };
            self.tables.pattern_ids.push(id);
            Ok(())
        })?;
        Ok(Operator::Matches(Slice::from(start, &self.tables.pattern_ids)))
    }
}
