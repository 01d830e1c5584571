//! From a regular expression to the program that engines run; FORMAT.md says what a program is.
//!
//! The expression becomes a graph (Thompson's construction, from its end to its start), of which equal nodes are made once.
//! Then the nodes are put in an order in which those that read nothing lead on to later ones only. Such an order exists because
//! no way through a loop that reads nothing leads back to the loop's start: it would change nothing. So each node is compiled
//! for two cases, that something has been read in the loop around it or that nothing has; where both are the same, and that is
//! nearly everywhere, equal nodes make one of them.

use std::collections::{HashMap, HashSet};

use regex_syntax::ast::parse::Parser;
use regex_syntax::ast::{self, Ast};
use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};

use crate::evaluate::pattern::{MAX_INSTRUCTIONS, NEIGHBOURS};
use crate::snapshot::read_condition::MAX_PATTERNS;

/// What a regular expression compiles to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Program {
    /// As snapshots have it.
    pub numbers: Vec<i64>,
    /// How many instructions and ranges it has.
    pub size: usize,
}

/// Compiles a regular expression, or says why it cannot be used.
pub(super) fn compile(pattern: &str) -> Result<Program, String> {
    program(pattern).map_err(|error| format!("`{pattern}` is not a regular expression that can be used: {error}"))
}

fn program(pattern: &str) -> Result<Program, String> {
    let ast = Parser::new().parse(pattern).map_err(|error| error.kind().to_string())?;
    let expression = Flags::default().expression(&ast)?;
    let mut graph = Graph { nodes: vec![Node::Match, Node::Dead], known: HashMap::new(), ranges: 0 };
    let [start, _] = graph.expression(&expression, [MATCH, MATCH])?;
    let start = graph.anywhere(start)?;
    let start = graph.first(start)?;
    graph.program(start)
}

/// What an expression says once flags are applied to it.
enum Expression {
    Empty,
    /// A character of these.
    Class(ClassUnicode),
    /// Between neighbours of which the bit is not set.
    Look(u32),
    Sequence(Vec<Expression>),
    Choice(Vec<Expression>),
    Repeat {
        inner: Box<Expression>,
        min: u32,
        max: Option<u32>,
    },
}

impl Expression {
    /// Whether it can match without reading; of what looks around, `looks` says whether it can.
    fn can_be_empty(&self, looks: bool) -> bool {
        match self {
            Expression::Empty => true,
            Expression::Class(_) => false,
            Expression::Look(_) => looks,
            Expression::Sequence(parts) => parts.iter().all(|part| part.can_be_empty(looks)),
            Expression::Choice(parts) => parts.iter().any(|part| part.can_be_empty(looks)),
            Expression::Repeat { inner, min, .. } => *min == 0 || inner.can_be_empty(looks),
        }
    }
}

/// The flags of `(?…)` that say what matches; the parser sees to `x`, and `U` and `u` make no difference here.
#[derive(Clone, Copy, Default)]
struct Flags {
    ignore_case: bool,
    many_lines: bool,
    dot_is_any: bool,
    crlf: bool,
}

/// What a place lies between, numbered as in FORMAT.md.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Neighbour {
    Edge,
    LineFeed,
    CarriageReturn,
    Word,
    Other,
}

impl Flags {
    fn set(&mut self, flags: &ast::Flags) {
        for (flag, value) in [
            (ast::Flag::CaseInsensitive, &mut self.ignore_case),
            (ast::Flag::MultiLine, &mut self.many_lines),
            (ast::Flag::DotMatchesNewLine, &mut self.dot_is_any),
            (ast::Flag::CRLF, &mut self.crlf),
        ] {
            *value = flags.flag_state(flag).unwrap_or(*value);
        }
    }

    fn expression(&mut self, ast: &Ast) -> Result<Expression, String> {
        Ok(match ast {
            Ast::Empty(_) => Expression::Empty,
            Ast::Flags(set) => {
                self.set(&set.flags);
                Expression::Empty
            }
            Ast::Literal(literal) => Expression::Class(self.range(literal.c, literal.c)),
            Ast::Dot(_) => Expression::Class(match (self.dot_is_any, self.crlf) {
                (true, _) => complement(class([])),
                (false, true) => complement(class([('\n', '\n'), ('\r', '\r')])),
                (false, false) => complement(class([('\n', '\n')])),
            }),
            Ast::Assertion(assertion) => Expression::Look(self.look(&assertion.kind)),
            Ast::ClassUnicode(_) => return Err(UNICODE_CLASS.to_owned()),
            Ast::ClassPerl(perl) => Expression::Class(perl_class(perl)),
            Ast::ClassBracketed(bracketed) => Expression::Class(self.bracketed(bracketed)?),
            Ast::Repetition(repetition) => {
                let (min, max) = match &repetition.op.kind {
                    ast::RepetitionKind::ZeroOrOne => (0, Some(1)),
                    ast::RepetitionKind::ZeroOrMore => (0, None),
                    ast::RepetitionKind::OneOrMore => (1, None),
                    ast::RepetitionKind::Range(range) => match *range {
                        ast::RepetitionRange::Exactly(count) => (count, Some(count)),
                        ast::RepetitionRange::AtLeast(min) => (min, None),
                        ast::RepetitionRange::Bounded(min, max) => (min, Some(max)),
                    },
                };
                Expression::Repeat { inner: Box::new(self.expression(&repetition.ast)?), min, max }
            }
            Ast::Group(group) => {
                // What is set in a group ends with it.
                let mut inner = *self;
                if let Some(flags) = group.flags() {
                    inner.set(flags);
                }
                inner.expression(&group.ast)?
            }
            Ast::Alternation(choice) => {
                let parts = self.expressions(&choice.asts)?;
                let mut classes = parts.iter().map(|part| match part {
                    Expression::Class(class) => Some(class),
                    _ => None,
                });
                // One character or another is a class.
                match classes.next().flatten().cloned() {
                    Some(first) => {
                        let union = classes.try_fold(first, |mut union, class| {
                            union.union(class?);
                            Some(union)
                        });
                        union.map_or(Expression::Choice(parts), Expression::Class)
                    }
                    None => Expression::Choice(parts),
                }
            }
            Ast::Concat(sequence) => Expression::Sequence(self.expressions(&sequence.asts)?),
        })
    }

    fn expressions(&mut self, asts: &[Ast]) -> Result<Vec<Expression>, String> {
        asts.iter().map(|ast| self.expression(ast)).collect()
    }

    /// Between which neighbours an assertion does not hold, a bit for each pair.
    fn look(self, kind: &ast::AssertionKind) -> u32 {
        use Neighbour::*;
        use ast::AssertionKind::*;
        const ALL: [Neighbour; NEIGHBOURS as usize] = [Edge, LineFeed, CarriageReturn, Word, Other];
        let holds = |before, after| match (kind, self.many_lines, self.crlf) {
            (StartText, ..) | (StartLine, false, _) => before == Edge,
            (EndText, ..) | (EndLine, false, _) => after == Edge,
            (StartLine, true, false) => matches!(before, Edge | LineFeed),
            (EndLine, true, false) => matches!(after, Edge | LineFeed),
            (StartLine, true, true) => {
                matches!(before, Edge | LineFeed) || before == CarriageReturn && after != LineFeed
            }
            (EndLine, true, true) => {
                matches!(after, Edge | CarriageReturn) || after == LineFeed && before != CarriageReturn
            }
            (WordBoundary, ..) => (before == Word) != (after == Word),
            (NotWordBoundary, ..) => (before == Word) == (after == Word),
            (WordBoundaryStart | WordBoundaryStartAngle, ..) => before != Word && after == Word,
            (WordBoundaryEnd | WordBoundaryEndAngle, ..) => before == Word && after != Word,
            (WordBoundaryStartHalf, ..) => before != Word,
            (WordBoundaryEndHalf, ..) => after != Word,
        };
        let pairs = ALL.into_iter().flat_map(|before| ALL.map(|after| (before, after)));
        pairs.enumerate().map(|(bit, (before, after))| u32::from(!holds(before, after)) << bit).sum()
    }

    /// Characters from one to another, ASCII letters in either case where it is ignored.
    fn range(self, first: char, last: char) -> ClassUnicode {
        let mut range = class([(first, last)]);
        if self.ignore_case {
            for (lower, upper) in ('a'..='z').zip('A'..='Z') {
                if [lower, upper].iter().any(|letter| (first..=last).contains(letter)) {
                    range.union(&class([(lower, lower), (upper, upper)]));
                }
            }
        }
        range
    }

    fn bracketed(self, bracketed: &ast::ClassBracketed) -> Result<ClassUnicode, String> {
        let class = self.set_of(&bracketed.kind)?;
        Ok(if bracketed.negated { complement(class) } else { class })
    }

    fn set_of(self, set: &ast::ClassSet) -> Result<ClassUnicode, String> {
        match set {
            ast::ClassSet::Item(item) => self.item(item),
            ast::ClassSet::BinaryOp(operation) => {
                let (mut left, right) = (self.set_of(&operation.lhs)?, self.set_of(&operation.rhs)?);
                match operation.kind {
                    ast::ClassSetBinaryOpKind::Intersection => left.intersect(&right),
                    ast::ClassSetBinaryOpKind::Difference => left.difference(&right),
                    ast::ClassSetBinaryOpKind::SymmetricDifference => left.symmetric_difference(&right),
                }
                Ok(left)
            }
        }
    }

    fn item(self, item: &ast::ClassSetItem) -> Result<ClassUnicode, String> {
        Ok(match item {
            ast::ClassSetItem::Empty(_) => class([]),
            ast::ClassSetItem::Literal(literal) => self.range(literal.c, literal.c),
            ast::ClassSetItem::Range(range) => self.range(range.start.c, range.end.c),
            ast::ClassSetItem::Ascii(ascii) => {
                let mut named = ascii_class(&ascii.kind);
                if self.ignore_case {
                    let ranges: Vec<_> = named.iter().map(|range| self.range(range.start(), range.end())).collect();
                    ranges.iter().for_each(|range| named.union(range));
                }
                if ascii.negated { complement(named) } else { named }
            }
            ast::ClassSetItem::Unicode(_) => return Err(UNICODE_CLASS.to_owned()),
            ast::ClassSetItem::Perl(perl) => perl_class(perl),
            ast::ClassSetItem::Bracketed(bracketed) => self.bracketed(bracketed)?,
            ast::ClassSetItem::Union(union) => {
                let mut all = class([]);
                for item in &union.items {
                    all.union(&self.item(item)?);
                }
                all
            }
        })
    }
}

const UNICODE_CLASS: &str = "there are no classes of Unicode (`\\p`), list the characters in brackets";

fn class(ranges: impl IntoIterator<Item = (char, char)>) -> ClassUnicode {
    ClassUnicode::new(ranges.into_iter().map(|(first, last)| ClassUnicodeRange::new(first, last)))
}

fn complement(mut class: ClassUnicode) -> ClassUnicode {
    class.negate();
    class
}

fn perl_class(perl: &ast::ClassPerl) -> ClassUnicode {
    let named = ascii_class(match perl.kind {
        ast::ClassPerlKind::Digit => &ast::ClassAsciiKind::Digit,
        ast::ClassPerlKind::Space => &ast::ClassAsciiKind::Space,
        ast::ClassPerlKind::Word => &ast::ClassAsciiKind::Word,
    });
    if perl.negated { complement(named) } else { named }
}

fn ascii_class(kind: &ast::ClassAsciiKind) -> ClassUnicode {
    use ast::ClassAsciiKind::*;
    let holds = |character: &char| match kind {
        Alnum => character.is_ascii_alphanumeric(),
        Alpha => character.is_ascii_alphabetic(),
        Ascii => true,
        Blank => matches!(character, ' ' | '\t'),
        Cntrl => character.is_ascii_control(),
        Digit => character.is_ascii_digit(),
        Graph => character.is_ascii_graphic(),
        Lower => character.is_ascii_lowercase(),
        Print => matches!(character, ' '..='~'),
        Punct => character.is_ascii_punctuation(),
        Space => matches!(character, '\t'..='\r' | ' '),
        Upper => character.is_ascii_uppercase(),
        Word => character.is_ascii_alphanumeric() || *character == '_',
        Xdigit => character.is_ascii_hexdigit(),
    };
    class(('\0'..='\x7f').filter(holds).map(|character| (character, character)))
}

/// Numbers a node of the graph.
type Place = usize;

const MATCH: Place = 0;
const DEAD: Place = 1;
/// The most nodes of a graph, of which a part is in the program.
const MAX_NODES: usize = 8 * MAX_INSTRUCTIONS;
/// Far more ranges than engines take.
const MAX_RANGES: usize = 8 * MAX_PATTERNS;
/// The bits of all pairs of neighbours.
const NOWHERE: u32 = (1 << (NEIGHBOURS * NEIGHBOURS)) - 1;
/// Those of the pairs that are not at the start of the text.
const NOT_AT_START: u32 = NOWHERE & !((1 << NEIGHBOURS) - 1);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Node {
    Match,
    /// From here nothing matches.
    Dead,
    /// The start of a loop whose inside is being compiled.
    Open,
    Read(Vec<(u32, u32)>, Place),
    Go(u32, [Place; 2]),
}

struct Graph {
    nodes: Vec<Node>,
    known: HashMap<Node, Place>,
    /// How many ranges of characters went into nodes.
    ranges: usize,
}

/// Where an expression leads on: where something has been read in the loop around it, and where nothing has.
type Rest = [Place; 2];

impl Graph {
    /// The start of what matches the expression and then what comes after it.
    fn expression(&mut self, expression: &Expression, rest: Rest) -> Result<Rest, String> {
        Ok(match expression {
            Expression::Empty => rest,
            Expression::Class(class) => [self.read(class, rest[0])?; 2],
            Expression::Look(unless) => self.go(*unless, rest, rest)?,
            Expression::Sequence(parts) => {
                parts.iter().rev().try_fold(rest, |rest, part| self.expression(part, rest))?
            }
            Expression::Choice(parts) => parts.iter().rev().try_fold([DEAD; 2], |others, part| {
                let part = self.expression(part, rest)?;
                self.go(0, part, others)
            })?,
            Expression::Repeat { inner, min, max } => self.repeat(inner, *min, *max, rest)?,
        })
    }

    fn repeat(&mut self, inner: &Expression, mut min: u32, max: Option<u32>, end: Rest) -> Result<Rest, String> {
        let mut rest = end;
        match max {
            None => {
                let start = self.open()?;
                let [_, inside] = self.expression(inner, [start, DEAD])?;
                // What never reads, it is enough to look at as often as it must hold.
                if inside != DEAD {
                    self.close(start, [inside, end[0]]);
                    rest = if end[0] == end[1] { [start; 2] } else { [start, self.go_one(0, [inside, end[1]])?] };
                    if min > 0 && !inner.can_be_empty(true) {
                        (rest, min) = ([inside; 2], min - 1);
                    }
                }
                if inner.can_be_empty(false) {
                    min = 0;
                }
            }
            Some(max) => {
                for _ in min..max {
                    let before = self.expression(inner, rest)?;
                    let before = self.go(0, before, end)?;
                    if before == rest {
                        break;
                    }
                    rest = before;
                }
            }
        }
        for _ in 0..min {
            let before = self.expression(inner, rest)?;
            // Once more would change nothing, and no more often.
            if before == rest {
                break;
            }
            rest = before;
        }
        Ok(rest)
    }

    fn go(&mut self, unless: u32, one: Rest, other: Rest) -> Result<Rest, String> {
        Ok([self.go_one(unless, [one[0], other[0]])?, self.go_one(unless, [one[1], other[1]])?])
    }

    fn go_one(&mut self, unless: u32, to: [Place; 2]) -> Result<Place, String> {
        let [one, other] = match to {
            [DEAD, other] => [other; 2],
            [one, DEAD] => [one; 2],
            both => both,
        };
        match self.nodes[one] {
            _ if unless == NOWHERE => Ok(DEAD),
            _ if one != other => self.node(Node::Go(unless, [one, other])),
            _ if unless == 0 || one == DEAD => Ok(one),
            Node::Go(further, to) => self.go_one(unless | further, to),
            _ => self.node(Node::Go(unless, [one, other])),
        }
    }

    fn read(&mut self, class: &ClassUnicode, to: Place) -> Result<Place, String> {
        let ranges: Vec<_> = class.iter().map(|range| (u32::from(range.start()), u32::from(range.end()))).collect();
        if ranges.is_empty() || to == DEAD {
            return Ok(DEAD);
        }
        self.ranges += ranges.len();
        if self.ranges > MAX_RANGES {
            return Err(format!("it compiles to more than {MAX_RANGES} ranges of characters, repeat less"));
        }
        self.node(Node::Read(ranges, to))
    }

    /// A node, the one that is there if there is one like it.
    fn node(&mut self, node: Node) -> Result<Place, String> {
        if let Some(&place) = self.known.get(&node) {
            return Ok(place);
        }
        let place = self.open()?;
        self.nodes[place] = node.clone();
        self.known.insert(node, place);
        Ok(place)
    }

    fn open(&mut self) -> Result<Place, String> {
        if self.nodes.len() >= MAX_NODES {
            return Err(too_large());
        }
        self.nodes.push(Node::Open);
        Ok(self.nodes.len() - 1)
    }

    fn close(&mut self, start: Place, to: [Place; 2]) {
        self.nodes[start] = Node::Go(0, to.map(|place| if place == DEAD { to[0] } else { place }));
    }

    /// Lets a match start anywhere in the text, unless it can only start where the text does.
    fn anywhere(&mut self, start: Place) -> Result<Place, String> {
        let mut open = vec![start];
        let mut seen = HashSet::new();
        while let Some(place) = open.pop() {
            match self.nodes[place] {
                Node::Go(unless, _) if unless & NOT_AT_START == NOT_AT_START => {}
                Node::Go(_, to) => open.extend(to.into_iter().filter(|&place| seen.insert(place))),
                Node::Dead => {}
                Node::Match | Node::Open | Node::Read(..) => {
                    let anywhere = self.open()?;
                    let further = self.read(&complement(class([])), anywhere)?;
                    self.close(anywhere, [start, further]);
                    return Ok(anywhere);
                }
            }
        }
        Ok(start)
    }

    /// Makes sure that nothing leads to the start, so that it can come first.
    fn first(&mut self, start: Place) -> Result<Place, String> {
        if self.order(start).first().is_none_or(|&first| first == start) {
            return Ok(start);
        }
        let first = self.open()?;
        self.close(first, [start; 2]);
        Ok(first)
    }

    fn program(&self, start: Place) -> Result<Program, String> {
        let order = self.order(start);
        let length = order.len();
        if length > MAX_INSTRUCTIONS {
            return Err(too_large());
        }
        let mut places: HashMap<Place, usize> = order.iter().enumerate().map(|(at, &place)| (place, at)).collect();
        places.insert(MATCH, length);
        let mut program = Program { numbers: Vec::new(), size: length };
        for (at, &place) in order.iter().enumerate() {
            let ahead = |to: &Place| places[to] as i64 - at as i64;
            match &self.nodes[place] {
                Node::Go(unless, to) => {
                    program.numbers.extend([0, i64::from(*unless)]);
                    program.numbers.extend(to.iter().map(ahead));
                }
                Node::Read(ranges, to) => {
                    program.numbers.extend([ranges.len() as i64, ahead(to)]);
                    program
                        .numbers
                        .extend(ranges.iter().flat_map(|&(first, last)| [i64::from(first), i64::from(last)]));
                    program.size += ranges.len();
                }
                Node::Match | Node::Dead | Node::Open => program.numbers.extend([0, i64::from(NOWHERE), 1, 1]),
            }
        }
        Ok(program)
    }

    /// The nodes that can be reached: the start first, and each that reads nothing before those that it leads to.
    fn order(&self, start: Place) -> Vec<Place> {
        let (mut seen, mut entered) = (HashSet::from([start, MATCH]), HashSet::from([start]));
        let mut open = vec![start];
        // Where the text begins and what follows a character, in the order of the expression.
        let mut entries = vec![start];
        while let Some(place) = open.pop() {
            match &self.nodes[place] {
                Node::Go(_, to) => open.extend(to.iter().rev().filter(|place| seen.insert(**place))),
                Node::Read(_, to) => {
                    entries.extend(entered.insert(*to).then_some(*to));
                    open.extend(seen.insert(*to).then_some(*to));
                }
                Node::Match | Node::Dead | Node::Open => {}
            }
        }
        // Each after all that it leads to without reading, so in the opposite order.
        let mut order = Vec::new();
        let mut seen = HashSet::from([MATCH]);
        for entry in entries.into_iter().rev() {
            let mut open = vec![(entry, false)];
            while let Some((place, done)) = open.pop() {
                if done {
                    order.push(place);
                } else if seen.insert(place) {
                    open.push((place, true));
                    if let Node::Go(_, to) = self.nodes[place] {
                        open.extend(to.map(|place| (place, false)));
                    }
                }
            }
        }
        order.reverse();
        order
    }
}

fn too_large() -> String {
    format!("it compiles to more than {MAX_INSTRUCTIONS} instructions, repeat less")
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use proptest::prelude::*;
    use proptest::test_runner::{Config, TestRunner};
    use serde_json::{Value, json};

    use super::*;
    use crate::{Context, Snapshot, Timestamp};

    /// Whether an engine that gets the program finds a match in each of the texts.
    fn found<'t>(pattern: &str, program: &[i64], texts: impl IntoIterator<Item = &'t str>) -> Vec<bool> {
        let rules = json!([{"id": "r", "when": {"attribute": "text", "matches": [pattern]}, "serve": "on"}]);
        let payload = json!({
            "schema": 1, "environment": "e", "audience": "server", "version": 1, "created": "2026-01-01T00:00:00Z",
            "patterns": {pattern: program},
            "flags": {"f": {
                "type": "boolean", "variants": {"on": true, "off": false}, "off": "off", "salt": "s",
                "rules": rules, "default": "off",
            }},
        });
        let snapshot =
            Snapshot::from_payload(payload.to_string()).unwrap_or_else(|error| panic!("{pattern:?}: {error}"));
        let flags = snapshot.at(Timestamp::from_millis(0));
        texts.into_iter().map(|text| flags.boolean("f", false, &Context::empty().with("text", text))).collect()
    }

    fn compiled(pattern: &str) -> Program {
        compile(pattern).unwrap_or_else(|error| panic!("{error}"))
    }

    /// What was compiled until now, and is what this must mean.
    fn reference(pattern: &str) -> Result<regex_lite::Regex, regex_lite::Error> {
        regex_lite::RegexBuilder::new(pattern).size_limit(256 << 10).build()
    }

    #[test]
    fn golden_vectors() {
        let cases: Vec<Value> = serde_json::from_str(include_str!("../../../tests/vectors/patterns.json")).unwrap();
        for case in &cases {
            let pattern = case["pattern"].as_str().unwrap();
            assert_eq!(json!(compiled(pattern).numbers), case["program"], "{pattern:?}");
            let Ok(reference) = reference(pattern) else {
                let operations = ["&&", "--", "~~"];
                assert!(operations.iter().any(|operation| pattern.contains(operation)), "{pattern:?}");
                continue;
            };
            // It folds either the capitals or the small letters of a range that has both.
            if pattern == "(?i)^[X-c]$" {
                continue;
            }
            for (member, expected) in [("matches", true), ("fails", false)] {
                for text in case[member].as_array().unwrap() {
                    let text = text.as_str().unwrap();
                    assert_eq!(reference.is_match(text), expected, "{pattern:?}, {text:?}");
                }
            }
        }
    }

    #[test]
    fn the_example_of_the_format() {
        let examples = include_str!("../FORMAT.md").split("```json\n").skip(1);
        let examples = examples.filter_map(|rest| rest.split_once("\n```")).map(|(example, _)| example);
        let examples = examples.filter(|example| example.starts_with("{\"^"));
        assert_eq!(examples.collect::<Vec<_>>(), [format!("{{\"^[a-z]+$\": {:?}}}", compiled("^[a-z]+$").numbers)]);
    }

    #[test]
    fn what_repeats_without_end_or_use_is_refused_or_done_at_once() {
        for pattern in
            ["(?:){4294967295}", "(?:(?:^){1000000}){1000000}", "(?:[^\\s\\S]*){99999999}", "((a*)*)*", "(((^)+)+)+"]
        {
            assert!(compiled(pattern).size < 20, "{pattern}");
        }
        for pattern in [
            "a{8191}",
            "(a{100}){100}",
            r"(?:(?:^|\b){1000000}){1000000}",
            "((a?){1000}){1000}",
            "(a*){1000000000}",
            "(((a{9}){9}){9}){9}{9}",
        ] {
            let error = compile(pattern).unwrap_err();
            assert!(error.ends_with("it compiles to more than 8191 instructions, repeat less"), "{error}");
        }
        let odd: String = (0..1_000).map(|number| char::from_u32(0x100 + 2 * number).unwrap()).collect();
        assert!(compile(&format!("[{odd}]{{8000}}")).unwrap_err().ends_with("ranges of characters, repeat less"));
        // With the instruction that anchors it, the most there is.
        assert_eq!(compiled("^a{8190}").size, 8_191 + 8_190);
        let texts = [8_188, 8_189, 8_190].map(|count| "a".repeat(count));
        let longest = compiled("^a{8189}$").numbers;
        assert_eq!(found("^a{8189}$", &longest, texts.iter().map(String::as_str)), [false, true, false]);
    }

    /// Texts in which what expressions are about occurs, and look-alikes of ASCII letters.
    fn texts() -> impl Strategy<Value = Vec<String>> {
        let characters = prop_oneof![
            6 => proptest::sample::select(vec!['a', 'b', 'c']),
            6 => proptest::sample::select("AkK1_- .\n\r\té\u{17f}\u{212a}😀".chars().collect::<Vec<_>>()),
            1 => any::<char>(),
        ];
        let text = proptest::collection::vec(characters, 0..9).prop_map(String::from_iter);
        proptest::collection::vec(text, 6)
    }

    /// Expressions of all that the syntax has.
    fn patterns() -> impl Strategy<Value = String> {
        let select = |list: &'static [&'static str]| proptest::sample::select(list).prop_map(str::to_owned);
        let leaf = prop_oneof![
            4 => select(&["a", "b", "c", "ab", "A", "k", "K", "1", "_", "-", " ", "é", "ſ", "😀"]),
            2 => select(&[r"\.", r"\-", r"\x61", r"\x{6b}", r"\u0041", r"\U0001F600", r"\n", r"\r", r"\t", r"\v", r"\#"]),
            3 => select(&[".", r"\d", r"\D", r"\s", r"\S", r"\w", r"\W"]),
            2 => select(&["[a-c]", "[^a]", "[[:alpha:]_]", "[[:^digit:]]", r"[^\s\d]", "[]a]", "[-a]", "[a-]", r"[\x00-é]"]),
            1 => select(&["[[:upper:]k]", r"[\W]", "[^[:lower:]]", r"[^\W_]", r"[^\s\S]", "[a-ck-m]", "[A-C]", r"[\]\[^-]"]),
            4 => select(&["^", "$", r"\A", r"\z", r"\b", r"\B", r"\<", r"\>"]),
            1 => select(&[r"\b{start}", r"\b{end}", r"\b{start-half}", r"\b{end-half}"]),
            1 => select(&["", "(?i)", "(?m)", "(?mR)", "(?s)", "(?U)", "(?-i)", "(?x) ", "(?u)", "(?R-m)"]),
        ];
        leaf.prop_recursive(5, 24, 4, move |inner| {
            let times = select(&[
                "*",
                "+",
                "?",
                "*?",
                "+?",
                "??",
                "{0}",
                "{1}",
                "{2}",
                "{0,2}",
                "{1,3}",
                "{2,}",
                "{0,}?",
                "{ 1 , 2 }",
            ]);
            let group = select(&["(", "(?:", "(?i:", "(?m:", "(?s-i:", "(?mR:", "(?x:", "(?-m:"]);
            let parts = proptest::collection::vec(inner.clone(), 0..4);
            prop_oneof![
                4 => parts.clone().prop_map(|parts| parts.concat()),
                2 => (group.clone(), parts).prop_map(|(group, parts)| format!("{group}{})", parts.join("|"))),
                4 => (group, inner, times).prop_map(|(group, inner, times)| format!("{group}{inner}){times}")),
            ]
        })
    }

    /// Compares with the reference; whether there was anything to compare.
    fn agrees(pattern: &str, texts: &[String], counts: &[Cell<u32>; 2]) -> bool {
        let Ok(reference) = reference(pattern) else { return false };
        let program = match compile(pattern) {
            Ok(program) => program,
            // There the reference repeats what stands before the flags.
            Err(error) if error.ends_with("repetition operator missing expression") => return false,
            Err(error) => panic!("{error}"),
        };
        for (text, found) in texts.iter().zip(found(pattern, &program.numbers, texts.iter().map(String::as_str))) {
            assert_eq!(found, reference.is_match(text), "{pattern:?} in {text:?}: {:?}", program.numbers);
            counts[usize::from(found)].set(counts[usize::from(found)].get() + 1);
        }
        true
    }

    #[test]
    fn generated_patterns_mean_what_they_meant() {
        let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(20_000) });
        let counts = [Cell::new(0), Cell::new(0)];
        runner
            .run(&(patterns(), texts()), |(pattern, texts)| {
                assert!(agrees(&pattern, &texts, &counts), "{pattern:?} is refused");
                Ok(())
            })
            .unwrap();
        assert!(counts.iter().all(|count| count.get() > 20_000), "{counts:?}");
    }

    #[test]
    fn any_text_is_a_pattern_where_it_was_one() {
        let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(40_000) });
        let (counts, good) = ([Cell::new(0), Cell::new(0)], Cell::new(0));
        let characters = proptest::sample::select(
            r"aabbk1é (((|)))*+?[]{}^$\\\.-,:<>!#0nixmsRUPdwWsSzAbB".chars().collect::<Vec<_>>(),
        );
        let text = proptest::collection::vec(characters, 0..12).prop_map(String::from_iter);
        runner
            .run(&(text, texts()), |(pattern, texts)| {
                // Of a range with letters of both cases the reference folds the one or the other.
                let folds_ranges = pattern.contains("(?") && pattern.contains('[') && pattern.contains('-');
                good.set(good.get() + u32::from(!folds_ranges && agrees(&pattern, &texts, &counts)));
                Ok(())
            })
            .unwrap();
        assert!(good.get() > 2_000 && counts.iter().all(|count| count.get() > 5_000), "{good:?} {counts:?}");
    }
}
