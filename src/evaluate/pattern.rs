//! Regular expressions: what runs their programs, which a publisher compiled. `FORMAT.md` in `src/snapshot` says what a
//! program is.

use crate::snapshot::model::{CharacterRange, Instruction};
use std::mem;

/// The most instructions of a program: with its end, as many places as there are bits in a set.
pub(crate) const MAX_INSTRUCTIONS: usize = WORDS * 64 - 1;
const WORDS: usize = 128;

/// What a place lies between, on either side: as many kinds of neighbours.
pub(crate) const NEIGHBOURS: u32 = 5;

/// Whether the program comes to its end anywhere in `text`, the ranges being those of all programs.
pub(crate) fn is_match(program: &[Instruction], ranges: &[CharacterRange], text: &str) -> bool {
    // Sets of one word do for most programs, but a download is better off with one function than with two.
    let small = cfg!(not(target_arch = "wasm32")) && program.len() < 64;
    if small { run::<1>(program, ranges, text) } else { run::<WORDS>(program, ranges, text) }
}

/// Follows all ways through the program at once, so that each instruction is looked at once a character at the most: what reads
/// nothing only leads on to later places, which are yet to come.
fn run<const WORDS: usize>(program: &[Instruction], ranges: &[CharacterRange], text: &str) -> bool {
    let words = program.len() / 64 + 1;
    let (mut here, mut there) = ([0u64; WORDS], [0u64; WORDS]);
    let (mut here, mut there) = (&mut here, &mut there);
    here[0] = 1;
    let mut characters = text.chars();
    let mut before = neighbour(None);
    loop {
        let character = characters.next();
        let after = neighbour(character);
        let between = 1 << (before * NEIGHBOURS + after);
        before = after;
        let mut has_read = false;
        for word in 0..words {
            while here[word] != 0 {
                let place = word * 64 + here[word].trailing_zeros() as usize;
                here[word] &= here[word] - 1;
                match program.get(place) {
                    None => return true,
                    Some(Instruction::Go { unless, to }) => {
                        if unless & between == 0 {
                            to.iter().for_each(|&place| insert(here, place));
                        }
                    }
                    Some(Instruction::Read { ranges: run, to }) => {
                        let holds = |character| run.of(ranges).iter().any(|range| range.holds(character));
                        if character.is_some_and(holds) {
                            insert(there, *to);
                            has_read = true;
                        }
                    }
                }
            }
        }
        if !has_read {
            return false;
        }
        mem::swap(&mut here, &mut there);
    }
}

fn insert(places: &mut [u64], place: u16) {
    if let Some(word) = places.get_mut(usize::from(place / 64)) {
        *word |= 1 << (place % 64);
    }
}

impl CharacterRange {
    fn holds(self, character: char) -> bool {
        self.first <= character as u32 && character as u32 <= self.last
    }
}

/// The kind of a character beside a place; none is the edge of the text.
fn neighbour(character: Option<char>) -> u32 {
    match character {
        None => 0,
        Some('\n') => 1,
        Some('\r') => 2,
        Some('0'..='9' | 'A'..='Z' | '_' | 'a'..='z') => 3,
        Some(_) => 4,
    }
}
