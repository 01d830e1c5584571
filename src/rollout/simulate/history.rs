//! What metrics say over time, measured or made up.

use std::collections::BTreeMap;

use crate::Timestamp;
use crate::rollout::{Part, Period};

/// What metrics said over time. A metric that it knows nothing of is taken to be well; see [`simulate`](super::simulate).
///
/// ```
/// use flagstone::Timestamp;
/// use flagstone::rollout::{History, Part};
///
/// let mut history = History::default();
/// let minute = "1m".parse()?;
/// let at = |minute: i64| Timestamp::from_millis(minute * 60_000);
/// history.record("errors", Part::Value, minute, [(at(0), 0.001), (at(1), 0.002), (at(5), 0.001)]);
/// assert_eq!(history.until(), Some(at(5)));
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct History {
    metrics: BTreeMap<String, [Timeline; 3]>,
    until: Option<Timestamp>,
}

/// What a part of a metric says for a stretch of time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Piece {
    /// It is well, whatever that means.
    Well,
    /// There is no data.
    Nothing,
    /// Always the same.
    Number(f64),
    /// In a straight line from what it is to a number; from what is well, where that is none.
    Ramp { start: Timestamp, from: Option<f64>, end: Timestamp, to: f64 },
}

/// Pieces, each from its instant on. Before the first all is well.
#[derive(Clone, Debug, Default)]
pub(super) struct Timeline(Vec<(Timestamp, Piece)>);

impl History {
    /// Takes down what was measured, in order: each number holds for a step, and where none does there is no data. What is no
    /// finite number is no data. Counts of sequential guards come from rates and samples, and are not taken down.
    pub fn record(
        &mut self,
        metric: &str,
        part: Part,
        step: Period,
        points: impl IntoIterator<Item = (Timestamp, f64)>,
    ) {
        let Some(line) = self.timeline(metric, part) else { return };
        let mut pieces = vec![(Timestamp::from_millis(i64::MIN), Piece::Nothing)];
        let (mut end, mut until) = (None, None);
        for (at, number) in points.into_iter().filter(|(_, number)| number.is_finite()) {
            if let Some(end) = end.filter(|end| *end < at) {
                pieces.push((end, Piece::Nothing));
            }
            // What goes on as it was is no change.
            if pieces.last().map(|(_, piece)| *piece) != Some(Piece::Number(number)) {
                pieces.push((at, Piece::Number(number)));
            }
            end = Some(step.after(at));
            until = Some(at);
        }
        if let Some(end) = end {
            pieces.push((end, Piece::Nothing));
        }
        line.0 = pieces;
        self.until = self.until.max(until);
    }

    /// When something was measured last; none where nothing was.
    pub fn until(&self) -> Option<Timestamp> {
        self.until
    }

    /// What it knows of something.
    pub fn knows(&self, metric: &str, part: Part) -> bool {
        let line = place(part).and_then(|place| Some(&self.metrics.get(metric)?[place]));
        line.is_some_and(|line| !line.0.is_empty())
    }

    pub(super) fn timeline(&mut self, metric: &str, part: Part) -> Option<&mut Timeline> {
        let place = place(part)?;
        Some(&mut self.metrics.entry(metric.to_owned()).or_default()[place])
    }

    pub(super) fn piece(&self, metric: &str, part: Part, at: Timestamp) -> Piece {
        let line = place(part).and_then(|place| Some(&self.metrics.get(metric)?[place]));
        line.map_or(Piece::Well, |line| line.at(at))
    }

    /// The next instant at which a part of the metric may say something else.
    pub(super) fn changes(&self, metric: &str, after: Timestamp) -> Option<Timestamp> {
        self.metrics.get(metric)?.iter().filter_map(|timeline| timeline.changes(after)).min()
    }
}

/// The place of a part's timeline.
fn place(part: Part) -> Option<usize> {
    match part {
        Part::Value => Some(0),
        Part::Baseline => Some(1),
        Part::Samples => Some(2),
        Part::Count { .. } => None,
    }
}

impl Timeline {
    fn behind(&self, at: Timestamp) -> usize {
        self.0.partition_point(|(from, _)| *from <= at)
    }

    pub fn at(&self, at: Timestamp) -> Piece {
        self.behind(at).checked_sub(1).map_or(Piece::Well, |place| self.0[place].1)
    }

    fn changes(&self, after: Timestamp) -> Option<Timestamp> {
        match self.at(after) {
            Piece::Ramp { end, .. } if after < end => Some(after.plus_millis(1)),
            _ => self.0.get(self.behind(after)).map(|(from, _)| *from),
        }
    }

    /// Puts a piece in the place of what was there.
    pub fn set(&mut self, from: Timestamp, until: Option<Timestamp>, piece: Piece) {
        let (first, behind) = match until {
            Some(until) if until <= from => return,
            until => (from, until),
        };
        let goes_on = behind.map(|behind| (behind, self.at(behind)));
        let start = self.0.partition_point(|(at, _)| *at < first);
        let end = behind.map_or(self.0.len(), |behind| self.behind(behind));
        self.0.splice(start..end, [(first, piece)].into_iter().chain(goes_on));
    }
}

impl Piece {
    /// What it says at an instant, where `well` is what is well at another.
    pub fn number(self, at: Timestamp, well: impl Fn(Timestamp) -> Option<f64>) -> Option<f64> {
        match self {
            Piece::Well => well(at),
            Piece::Nothing => None,
            Piece::Number(number) => Some(number),
            Piece::Ramp { end, to, .. } if at >= end => Some(to),
            Piece::Ramp { start, from, end, to } => {
                let from = from.or_else(|| well(start))?;
                let millis = |from: Timestamp, to: Timestamp| to.as_millis().saturating_sub(from.as_millis()) as f64;
                Some(from + (to - from) * millis(start, at) / millis(start, end))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_millis(minute * 60_000)
    }

    fn well(_: Timestamp) -> Option<f64> {
        Some(1.0)
    }

    #[test]
    fn what_was_measured_holds_for_a_step() {
        let mut history = History::default();
        let points = [(at(0), 5.0), (at(1), 5.0), (at(2), f64::NAN), (at(3), 7.0)];
        history.record("errors", Part::Value, "1m".parse().unwrap(), points);
        let number = |minute| history.piece("errors", Part::Value, at(minute)).number(at(minute), well);
        assert_eq!([-1, 0, 1, 2, 3, 4].map(number), [None, Some(5.0), Some(5.0), None, Some(7.0), None]);
        let changes = |minute| history.changes("errors", at(minute));
        assert_eq!([-1, 0, 1, 2, 3].map(changes), [0, 2, 2, 3, 4].map(|minute| Some(at(minute))));
        assert_eq!((changes(4), history.until()), (None, Some(at(3))));
        assert!(history.knows("errors", Part::Value) && !history.knows("errors", Part::Samples));
        assert_eq!(history.piece("latency", Part::Value, at(0)).number(at(0), well), Some(1.0));
    }

    #[test]
    fn a_piece_takes_the_place_of_what_was_there() {
        let mut line = Timeline::default();
        line.set(at(10), Some(at(20)), Piece::Number(3.0));
        line.set(at(15), Some(at(30)), Piece::Nothing);
        line.set(at(12), Some(at(13)), Piece::Number(4.0));
        line.set(at(5), Some(at(5)), Piece::Nothing);
        let numbers = [9, 10, 12, 13, 15, 20, 30].map(|minute| line.at(at(minute)).number(at(minute), well));
        assert_eq!(numbers, [Some(1.0), Some(3.0), Some(4.0), Some(3.0), None, None, Some(1.0)]);
        line.set(at(11), None, Piece::Well);
        assert_eq!((line.at(at(12)), line.changes(at(11))), (Piece::Well, None));
    }

    #[test]
    fn a_ramp_goes_straight_and_stays() {
        let mut line = Timeline::default();
        line.set(at(0), None, Piece::Ramp { start: at(0), from: None, end: at(10), to: 3.0 });
        let number = |minute| line.at(at(minute)).number(at(minute), well);
        assert_eq!([0, 5, 10, 99].map(number), [1.0, 2.0, 3.0, 3.0].map(Some));
        assert_eq!((line.changes(at(5)), line.changes(at(10))), (Some(at(5).plus_millis(1)), None));
    }
}
