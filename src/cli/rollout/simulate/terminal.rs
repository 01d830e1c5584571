//! The timeline in a terminal.

use std::io::Write;

use anstyle::Style;
use flagstone::Timestamp;
use flagstone::rollout::{Curve, Outcome, Plan, Simulation};
use flagstone::snapshot::definitions::Percent;

use super::axis::{instant, marks, span};
use super::between;
use super::telling::{self, Class, Found, Segment, Told, Tone};
use crate::answer::{BOLD, CYAN, DIM, GREEN, RED, YELLOW, count};

/// Where there is no terminal.
const WIDTH: usize = 80;
/// Lines no longer than this are read with ease.
const MOST: usize = 160;
const LEAST: usize = 50;
/// What stands left of everything that is drawn.
const GUTTER: usize = 8;
/// How high the percent is drawn.
const ROWS: usize = 5;

/// What it takes to say how many people were let in.
const TELL_PEOPLE: &str = "`traffic: {usersPerDay: ..}` in the plan, or --users-per-day,";

/// How wide to draw.
pub fn width() -> usize {
    let size = terminal_size::terminal_size();
    size.map_or(WIDTH, |(width, _)| usize::from(width.0)).clamp(LEAST, MOST)
}

struct Canvas<'s> {
    simulation: &'s Simulation,
    columns: usize,
}

pub fn draw(
    out: &mut dyn Write,
    rollout: &str,
    plan: &Plan,
    simulation: &Simulation,
    width: usize,
) -> std::io::Result<()> {
    let style = match simulation.outcome {
        Outcome::Completed => GREEN,
        Outcome::RolledBack => RED,
        Outcome::Stuck | Outcome::Underway => YELLOW,
    };
    writeln!(out, "{BOLD}{rollout}{BOLD:#} {style}{}{style:#}", telling::ending(simulation))?;
    let spent = telling::spent(simulation);
    let spent = if spent.is_empty() { String::new() } else { format!(" · {spent}") };
    writeln!(out, "{DIM}{}{spent} · {}{DIM:#}\n", telling::stretch(simulation), count(simulation.looks, "look"))?;

    let canvas = Canvas { simulation, columns: width - GUTTER - 1 };
    let told = telling::tell(simulation);
    canvas.percent(out)?;
    canvas.events(out, &told)?;
    canvas.waits(out)?;
    canvas.curves(out)?;
    writeln!(out)?;
    for told in &told {
        decision(out, simulation, told, width)?;
    }
    if matches!(simulation.outcome, Outcome::Stuck | Outcome::Underway) {
        for blocker in &simulation.blockers {
            writeln!(out, "  {YELLOW}waits:{YELLOW:#} {}", blocker.message)?;
        }
    }
    writeln!(out)?;
    let all = telling::exposure(&simulation.exposed);
    match plan.traffic.and_then(|traffic| traffic.users_per_day) {
        Some(_) => writeln!(out, "{all} let in, all in all")?,
        None => writeln!(out, "{all} in all; {TELL_PEOPLE} tells it in people")?,
    }
    Ok(())
}

impl Canvas<'_> {
    /// The column that an instant lies in.
    fn column(&self, at: Timestamp) -> usize {
        let millis = |from: Timestamp, to: Timestamp| to.as_millis().saturating_sub(from.as_millis()).max(0) as f64;
        let all = millis(self.simulation.start, self.simulation.end).max(1.0);
        let place = millis(self.simulation.start, at) / all * self.columns as f64;
        (place as usize).min(self.columns - 1)
    }

    /// The columns from one instant to another.
    fn columns(&self, from: Timestamp, until: Timestamp) -> std::ops::RangeInclusive<usize> {
        self.column(from)..=self.column(until.plus_millis(-1).max(from))
    }

    fn line(&self, out: &mut dyn Write, label: &str, cells: &[(char, Style)]) -> std::io::Result<()> {
        write!(out, "{label:>width$} ", width = GUTTER - 1)?;
        let end = cells.iter().rposition(|(cell, _)| *cell != ' ').map_or(0, |last| last + 1);
        for same in cells[..end].chunk_by(|(_, one), (_, other)| one == other) {
            let style = same[0].1;
            let text: String = same.iter().map(|(cell, _)| cell).collect();
            write!(out, "{style}{text}{style:#}")?;
        }
        writeln!(out)
    }

    fn percent(&self, out: &mut dyn Write) -> std::io::Result<()> {
        const LEVELS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
        let percents = telling::percents(self.simulation);
        let ends = percents.iter().skip(1).map(|(at, _)| *at).chain([self.simulation.end]);
        let mut heights = vec![0_usize; self.columns];
        for ((from, percent), until) in percents.iter().zip(ends).filter(|((from, _), until)| from < until) {
            let share = f64::from(percent.thousandths()) / f64::from(Percent::ALL.thousandths());
            // What is there is seen, however small.
            let height = ((share * (ROWS * 8) as f64).round() as usize).max(usize::from(share > 0.0));
            for column in self.columns(*from, until) {
                heights[column] = heights[column].max(height);
            }
        }
        for row in (0..ROWS).rev() {
            let label = match row {
                row if row == ROWS - 1 => "100 %",
                row if row == ROWS / 2 => "50 %",
                _ => "",
            };
            let level = |height: &usize| (LEVELS[height.saturating_sub(row * 8).min(8)], CYAN);
            let cells: Vec<_> = heights.iter().map(level).collect();
            self.line(out, label, &cells)?;
        }
        Ok(())
    }

    fn events(&self, out: &mut dyn Write, told: &[Told<'_>]) -> std::io::Result<()> {
        let mut cells = vec![(Tone::Quiet, '─', DIM); self.columns];
        for told in told {
            let (mark, style) = mark(told.tone);
            let cell = &mut cells[self.column(told.moment.at)];
            if told.tone > cell.0 {
                *cell = (told.tone, mark, style);
            }
        }
        let cells: Vec<_> = cells.into_iter().map(|(_, mark, style)| (mark, style)).collect();
        self.line(out, "0 %", &cells)
    }

    fn waits(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let mut lasts = vec![[0_i64; Class::ALL.len()]; self.columns];
        for (from, until, class) in telling::waits(self.simulation) {
            let share = until.as_millis() - from.as_millis();
            for column in self.columns(from, until) {
                // In a column with several, the longest counts.
                lasts[column][class as usize] += share;
            }
        }
        let cells: Vec<(char, Style)> = lasts
            .iter()
            .map(|column| {
                let longest = Class::ALL.into_iter().filter(|class| column[*class as usize] > 0);
                longest.max_by_key(|class| (*class != Class::Soak, column[*class as usize])).map_or((' ', DIM), letter)
            })
            .collect();
        self.line(out, "", &cells)?;
        let used = |class: &Class| cells.iter().any(|(cell, _)| *cell == letter(*class).0);
        let legend = Class::ALL.into_iter().filter(used).map(|class| {
            let (cell, style) = letter(class);
            format!("{style}{cell}{style:#}{DIM} {}{DIM:#}", class.words())
        });
        let legend: Vec<String> = legend.collect();
        self.axis(out)?;
        if legend.is_empty() {
            return Ok(());
        }
        writeln!(out, "{:GUTTER$}{}", "", legend.join("  "))
    }

    fn axis(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let mut line: Vec<char> = vec![' '; self.columns];
        for (at, label) in marks(self.simulation.start, self.simulation.end, self.columns / 12) {
            let column = self.column(at);
            let free = column + label.chars().count() < self.columns
                && line[column.saturating_sub(1)..].iter().take(label.chars().count() + 2).all(|cell| *cell == ' ');
            if free {
                line.splice(column..column + label.chars().count() + 1, "╷".chars().chain(label.chars()));
            }
        }
        self.line(out, "", &line.into_iter().map(|cell| (cell, DIM)).collect::<Vec<_>>())
    }

    fn curves(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let mut calm = Vec::new();
        for curve in &self.simulation.curves {
            let segments = telling::segments(curve, self.simulation.end);
            match telling::is_eventful(&segments) {
                true => self.curve(out, curve, &segments)?,
                false => calm.push(telling::title(curve)),
            }
        }
        if !calm.is_empty() {
            writeln!(out, "\n{DIM}well throughout: {}{DIM:#}", calm.join(", "))?;
        }
        Ok(())
    }

    fn curve(&self, out: &mut dyn Write, curve: &Curve, segments: &[Segment]) -> std::io::Result<()> {
        let of_percent = telling::is_of_percent(curve);
        let wanted: Vec<String> = telling::wanted(curve).into_iter().map(|(text, _)| text).collect();
        writeln!(out, "\n{BOLD}{}{BOLD:#}  {DIM}{}{DIM:#}", telling::title(curve), wanted.join("; "))?;
        let mut worst: Vec<Option<Segment>> = vec![None; self.columns];
        let middle = curve.thresholds.iter().flat_map(|threshold| {
            let ((from, _), (to, _)) = threshold.condition.bounds();
            [from, to].into_iter().filter(|limit| limit.is_finite())
        });
        let middle: Vec<f64> = middle.collect();
        let away = |segment: &Segment| segment.number.map_or(0.0, |number| (number - middle[0]).abs());
        for segment in segments {
            for column in self.columns(segment.from, segment.until) {
                let other = &mut worst[column];
                let is_worse = |other: &Segment| {
                    segment.found > other.found || (segment.found == other.found && away(segment) > away(other))
                };
                if other.as_ref().is_none_or(is_worse) {
                    *other = Some(*segment);
                }
            }
        }
        let numbers = || segments.iter().filter_map(|segment| segment.number);
        let (low, high) = (numbers().fold(f64::INFINITY, f64::min), numbers().fold(f64::NEG_INFINITY, f64::max));
        let low = if low > 0.0 && low < high / 2.0 { 0.0 } else { low };
        let level = |number: f64| {
            const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
            let share = if high > low { (number - low) / (high - low) } else { 0.0 };
            LEVELS[((share * 7.0).round() as usize).min(7)]
        };
        let cells = worst.iter().map(|segment| match segment {
            None => (' ', DIM),
            Some(Segment { number: None, .. }) => ('·', DIM),
            Some(Segment { number: Some(number), found, .. }) => (level(*number), colour(*found)),
        });
        let label = if high.is_finite() { telling::written(high, of_percent) } else { String::new() };
        self.line(out, &label, &cells.collect::<Vec<_>>())?;
        let found = worst.iter().map(|segment| match segment.map(|segment| segment.found) {
            Some(Found::Wrong) => ('✗', RED),
            Some(Found::Short) => ('!', YELLOW),
            Some(Found::NoData) => ('?', YELLOW),
            _ => (' ', DIM),
        });
        let mut found: Vec<(char, Style)> = found.collect();
        // What fired at once was so for no time at all.
        for (at, guard) in telling::fired(self.simulation) {
            if curve.thresholds.iter().any(|threshold| threshold.guard == guard && threshold.action.is_some()) {
                found[self.column(at)] = ('✗', RED);
            }
        }
        let label = if low.is_finite() { telling::written(low, of_percent) } else { String::new() };
        self.line(out, &label, &found)
    }
}

fn mark(tone: Tone) -> (char, Style) {
    match tone {
        Tone::Quiet => ('─', DIM),
        Tone::On => ('▸', GREEN),
        Tone::Done => ('✓', GREEN),
        Tone::Stop => ('‖', YELLOW),
        Tone::Back => ('✗', RED),
    }
}

fn letter(class: Class) -> (char, Style) {
    match class {
        Class::Soak => ('·', DIM),
        Class::Dates => ('d', CYAN),
        Class::Metrics => ('m', YELLOW),
        Class::People => ('p', CYAN),
        Class::Held => ('h', YELLOW),
    }
}

fn colour(found: Found) -> Style {
    match found {
        Found::Wrong => RED,
        Found::Short => YELLOW,
        Found::Unwatched => DIM,
        _ => CYAN,
    }
}

/// Something that happened, when and why, in lines that fit.
fn decision(out: &mut dyn Write, simulation: &Simulation, told: &Told<'_>, width: usize) -> std::io::Result<()> {
    const INDENT: usize = 29;
    let moment = told.moment;
    let after = format!("+{}", span(between(simulation.start, moment.at)));
    let (mark, style) = mark(told.tone);
    let led = if told.led.is_empty() { String::new() } else { format!(" → {}", told.led) };
    let at = instant(moment.at);
    writeln!(out, "{at:<17} {DIM}{after:>8}{DIM:#} {style}{mark} {}{style:#}{BOLD}{led}{BOLD:#}", told.head)?;
    let mut text = match told.about.as_slice() {
        [] => moment.reason.clone(),
        [one] => format!("{}: {one}", moment.author),
        many => format!("{}: {}", moment.author, count(many.len(), "thing")),
    };
    if let Some(turned) = told.turned {
        text.push_str(&format!("\n{}", telling::exposed(turned)));
    }
    for line in text.lines().flat_map(|line| wrapped(line, width.saturating_sub(INDENT))) {
        writeln!(out, "{:INDENT$}{DIM}{line}{DIM:#}", "")?;
    }
    Ok(())
}

/// A text in lines of at most so many characters, as far as its words allow.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.len() - 1;
        if !lines[last].is_empty() && lines[last].chars().count() + 1 + word.chars().count() > width {
            lines.push(word.to_owned());
        } else {
            if !lines[last].is_empty() {
                lines[last].push(' ');
            }
            lines[last].push_str(word);
        }
    }
    lines
}
