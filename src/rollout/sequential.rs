//! Whether a rate, a ratio of two rates, or a share of people is beyond a limit, asked as often as one likes.
//!
//! `STATISTICS.md` beside this file says why that keeps its promise, whose work it follows, and what it was measured to do.

use std::array;
use std::f64::consts::LN_10;

/// How many alternatives to the limit there are: one has ten times its odds, and each next one the square root of that.
const ALTERNATIVES: usize = 10;
/// More than anybody counts, and numbers are whole up to here.
pub(super) const MOST: f64 = 1e15;

/// How many failed, of how many.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Counts {
    pub failures: f64,
    pub samples: f64,
}

/// On which side of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Above,
    Below,
}

impl Side {
    fn other(self) -> Side {
        match self {
            Side::Above => Side::Below,
            Side::Below => Side::Above,
        }
    }
}

impl Counts {
    pub fn rate(self) -> f64 {
        self.failures / self.samples
    }

    /// The evidence that the rate is beyond a limit between 0 and 1: the mean of what the alternatives make likelier than the
    /// limit does. All evidence here is given as its natural logarithm.
    pub fn beyond(self, side: Side, limit: f64) -> f64 {
        let sign = if side == Side::Above { 1.0 } else { -1.0 };
        let alternatives: [f64; ALTERNATIVES] = array::from_fn(|place| {
            let odds = sign * LN_10 / f64::from(1_u32 << place);
            // An alternative p to the limit q has p/q = e^odds / (1 + q·(e^odds − 1)), and (1−p)/(1−q) is that without e^odds.
            odds * self.failures - self.samples * (limit * odds.exp_m1()).ln_1p()
        });
        mean(alternatives)
    }
}

/// The evidence that the rate of the new path is beyond so many times that of the old one.
pub(super) fn ratio(new: Counts, old: Counts, side: Side, limit: f64) -> f64 {
    least(|rate| together(new, old, side, limit, rate), (1.0 / limit).min(1.0))
}

/// The evidence that the new path's rate is on one side of `limit * rate` and the old path's on the other of `rate`.
fn together(new: Counts, old: Counts, side: Side, limit: f64, rate: f64) -> f64 {
    new.beyond(side, (limit * rate).min(1.0)) + old.beyond(side.other(), rate)
}

/// The evidence that of all people another share is on the new path than is expected.
pub(super) fn share(new: f64, all: f64, expected: f64) -> f64 {
    let counts = Counts { failures: new, samples: all };
    mean([Side::Above, Side::Below].map(|side| counts.beyond(side, expected)))
}

/// The mean of what these are the logarithms of.
fn mean<const N: usize>(logarithms: [f64; N]) -> f64 {
    let most = logarithms.into_iter().fold(f64::NEG_INFINITY, f64::max);
    most + (logarithms.into_iter().map(|one| (one - most).exp()).sum::<f64>() / N as f64).ln()
}

/// The least value of a convex function from 0 to an end, by golden sections.
fn least(function: impl Fn(f64) -> f64, end: f64) -> f64 {
    const SECTION: f64 = 0.618_033_988_749_894_9;
    let (mut from, mut to) = (0.0, end);
    let inner = |from: f64, to: f64| (to - SECTION * (to - from), from + SECTION * (to - from));
    let (mut left, mut right) = inner(from, to);
    let (mut at_left, mut at_right) = (function(left), function(right));
    // Each section is 0.618 of the one before: 80 of them are 10⁻¹⁷.
    for _ in 0..80 {
        if at_left <= at_right {
            to = right;
            (right, at_right) = (left, at_left);
            left = inner(from, to).0;
            at_left = function(left);
        } else {
            from = left;
            (left, at_left) = (right, at_right);
            right = inner(from, to).1;
            at_right = function(right);
        }
    }
    at_left.min(at_right)
}

#[cfg(test)]
mod tests;
