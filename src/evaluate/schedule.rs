//! Percents that change by the clock.

use crate::Timestamp;
use crate::snapshot::load::ALL;
use crate::snapshot::model::*;

/// What a percent makes of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "camelCase"))]
pub enum Membership {
    /// Not in.
    Out,
    /// Only a position could tell, and there is no key to have one.
    KeyMissing,
    /// In.
    In,
}

impl Membership {
    /// The name in explanations in JavaScript.
    #[cfg(all(feature = "wasm-tools", target_arch = "wasm32"))]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Membership::Out => "out",
            Membership::KeyMissing => "keyMissing",
            Membership::In => "in",
        }
    }

    /// The positions below the percent are in; 0 % and 100 % need no position.
    #[cfg_attr(flagstone_download, optimize(speed))]
    pub(crate) fn at(percent: u32, position: Option<u32>) -> Self {
        match position {
            _ if percent == 0 => Membership::Out,
            _ if percent == ALL => Membership::In,
            None => Membership::KeyMissing,
            Some(position) if position < percent => Membership::In,
            Some(_) => Membership::Out,
        }
    }
}

/// A schedule with its points.
#[derive(Clone, Copy)]
pub(crate) struct Timetable<'a> {
    pub before: u32,
    /// Strictly rising in time, at least one.
    pub points: &'a [Point],
    pub linear: bool,
}

impl Timetable<'_> {
    /// The percent at `now`, in thousandths: the last point's at or before it, or between two points of a linear
    /// schedule the line between them, rounded down.
    pub(crate) fn percent(self, now: Timestamp) -> u32 {
        let now = now.as_millis();
        let next = self.points.partition_point(|point| point.at <= now);
        let Some(last) = next.checked_sub(1).map(|last| self.points[last]) else { return self.before };
        match self.points.get(next) {
            Some(next) if self.linear => {
                let (elapsed, span) = (now.abs_diff(last.at), next.at.abs_diff(last.at));
                let change = u64::from(next.percent.abs_diff(last.percent));
                // change × elapsed / span, where the product may take 66 bits: eighths first, then the rest.
                let eighths = (change >> 3) * elapsed;
                let rest = (eighths % span) * 8 + (change & 7) * elapsed;
                let whole = |rest: u64| (eighths / span * 8 + rest) as u32;
                // Down is down: a fall is rounded up.
                if next.percent >= last.percent {
                    last.percent + whole(rest / span)
                } else {
                    last.percent - whole(rest.div_ceil(span))
                }
            }
            _ => last.percent,
        }
    }

    /// The first instant after `now` from which this user's membership is another than now, or never.
    pub(crate) fn membership_until(self, now: Timestamp, position: Option<u32>) -> Timestamp {
        let membership = |at: i64| Membership::at(self.percent(Timestamp::from_millis(at)), position);
        let today = membership(now.as_millis());
        let first = self.points.partition_point(|point| point.at <= now.as_millis());
        let mut same = now.as_millis();
        for point in &self.points[first..] {
            // Up to its end a stretch only rises or only falls, so the change is found by halving.
            let end = if self.linear { point.at.saturating_sub(1).max(same) } else { same };
            if membership(end) != today {
                let mut other = end;
                while other - same > 1 {
                    let middle = same + (other - same) / 2;
                    if membership(middle) == today { same = middle } else { other = middle }
                }
                return Timestamp::from_millis(other);
            }
            if membership(point.at) != today {
                return Timestamp::from_millis(point.at);
            }
            same = point.at;
        }
        Timestamp::MAX
    }
}
