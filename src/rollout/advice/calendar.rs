//! Advice on dates: what they, soaks, windows and freezes come to together.

use super::{Advice, Advisor, Stage};
use crate::Timestamp;
use crate::rollout::decide::BlockerKind;

/// Closing times one after another that are looked at.
const CLOSINGS: usize = 100;

impl Advisor<'_> {
    pub(super) fn on_calendar(&mut self, stages: &[Stage<'_>]) {
        self.past(stages);
        // When a step begins at the earliest, from the first date on.
        let mut earliest: Option<Timestamp> = None;
        for (place, stage) in stages.iter().enumerate() {
            if let Some(starts) = stage.step.starts {
                let path = stage.path.key("starts");
                if let Some(earliest) = earliest.filter(|earliest| *earliest > starts) {
                    let message = format!("by the dates and soaks before, this step cannot begin before {earliest}");
                    self.tell(Advice::StartTooEarly, &path, message, "let it start then, or make a soak shorter");
                }
                if let Some(closed) = self.plan.closed(starts).first() {
                    let message = format!("nothing goes on at this time: {}", closed.message);
                    self.tell(Advice::ClosedStart, &path, message, "let it start when it may");
                }
                earliest = self.opens(earliest.map_or(starts, |earliest| earliest.max(starts)));
            }
            let Some(next) = stages.get(place + 1) else { return };
            let Some(over) = earliest.map(|entered| self.lasts(stage).after(entered)) else { continue };
            let dated = next.step.starts.filter(|starts| *starts >= over);
            let frozen = self.plan.closed(over).into_iter().find(|closed| closed.kind == BlockerKind::Freeze);
            if let (Some(frozen), None) = (frozen, dated) {
                let name = &stage.last.name;
                let message = format!("{name} is over on {over} by the dates and soaks, and it is {}", frozen.message);
                self.tell(Advice::FreezeDelays, &stage.path, message, "know that the step lasts until then");
            }
            earliest = if dated.is_some() { Some(over) } else { self.opens(over) };
        }
    }

    /// The next instant at which it may go on.
    fn opens(&self, mut at: Timestamp) -> Option<Timestamp> {
        for _ in 0..CLOSINGS {
            let closed = self.plan.closed(at);
            if closed.is_empty() {
                return Some(at);
            }
            at = closed.iter().filter_map(|closed| closed.until).max().filter(|until| *until > at)?;
        }
        None
    }

    fn past(&mut self, stages: &[Stage<'_>]) {
        let now = self.now;
        let dated = stages.iter().rev().find_map(|stage| Some((stage.path.key("starts"), stage.step.starts?)));
        if let Some((path, starts)) = dated.filter(|(_, starts)| *starts <= now) {
            let message =
                format!("the last of the plan's dates, {starts}, is over, so its dates keep nothing back any more");
            self.tell(Advice::Past, &path, message, "give the steps dates to come, or take them out");
        }
        for (index, freeze) in self.plan.freezes.iter().enumerate().filter(|(_, freeze)| freeze.until <= now) {
            let path = self.path.key("freezes").index(index);
            self.tell(Advice::Past, &path, format!("the freeze was over on {}", freeze.until), "take it out");
        }
    }
}
