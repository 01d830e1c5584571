//! The timeline as a page that stands alone: one file, no network, and nothing in it runs but what was written here.

use std::collections::BTreeSet;
use std::fmt::Write;

use base64ct::{Base64, Encoding};
use flagstone::Timestamp;
use flagstone::rollout::{
    Action, BlockerKind, Curve, Exposure, Finding, Outcome, Period, Plan, Reading, Simulation, Threshold, Wait,
};
use serde_json::json;

use super::axis::{instant, marks, span};
use super::between;
use super::telling::{self, Class, Found, Segment, Told, Tone};

const BASE: &str = include_str!("../../../../www/base.css");
const STYLE: &str = include_str!("../../../../www/timeline.css");
const SCRIPT: &str = include_str!("../../../../www/timeline.js");

/// Rows of a table that nobody reads to its end.
const MOST_ROWS: usize = 300;
/// How far along the timeline things can be put, each in a class of its own: the policy allows no other style.
const PLACES: f64 = 2000.0;

/// The page.
pub fn page(rollout: &str, plan: &Plan, simulation: &Simulation) -> String {
    let mut page = Page { simulation, told: telling::tell(simulation), places: BTreeSet::new() };
    let body = page.body(rollout, plan);
    let mut style = format!("{BASE}\n{STYLE}\n");
    for place in &page.places {
        let _ = writeln!(style, ".x{place} {{ left: {}%; }}", f64::from(*place) * 100.0 / PLACES);
    }
    let policy = format!(
        "default-src 'none'; script-src {}; style-src {}; img-src data:; base-uri 'none'; form-action 'none'; \
         require-trusted-types-for 'script'; trusted-types 'none'",
        hash(SCRIPT),
        hash(&style)
    );
    format!(
        r##"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="content-security-policy" content="{policy}">
<title>{title} · simulated by Flagstone</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Cpath d='M3 1h2v14H3z' fill='%23888'/%3E%3Cpath d='M5 2h9l-3 3 3 3H5z' fill='%230f766e'/%3E%3C/svg%3E">
<style>{style}</style>
</head>
<body>
{body}
<script type="module">{SCRIPT}</script>
</body>
</html>
"##,
        title = escaped(rollout),
    )
}

/// What a policy calls a text that it allows.
fn hash(text: &str) -> String {
    format!("'sha256-{}'", Base64::encode_string(&hmac_sha256::Hash::hash(text.as_bytes())))
}

/// A text that is text wherever it stands.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

struct Page<'s> {
    simulation: &'s Simulation,
    told: Vec<Told<'s>>,
    places: BTreeSet<u16>,
}

impl Page<'_> {
    fn body(&mut self, rollout: &str, plan: &Plan) -> String {
        let description = plan.description.as_ref().map_or(String::new(), |text| format!("<p>{}</p>", escaped(text)));
        let (outcome, badge) = match self.simulation.outcome {
            Outcome::Completed => ("completed", "gets through"),
            Outcome::RolledBack => ("rolledBack", "is turned back"),
            Outcome::Stuck => ("stuck", "is stuck"),
            Outcome::Underway => ("stuck", "is under way"),
        };
        format!(
            r##"<header>
<h1><svg viewBox="0 0 16 16" aria-hidden="true"><path d="M3 1h2v14H3z" class="pole"/><path d="M5 2h9l-3 3 3 3H5z" class="cloth"/></svg> Flagstone <span>simulation</span></h1>
<p class="quiet">{stretch}</p>
</header>
<main>
<div class="title"><h2>{name}</h2><span class="badge {outcome}">{badge}</span>{description}</div>
{tiles}
<section class="card" aria-labelledby="timeline"><h3 id="timeline">Timeline</h3>
{timeline}
</section>
<div class="columns">
<section class="card" aria-labelledby="decisions"><h3 id="decisions">What happened</h3>
{decisions}
</section>
<div>
{stuck}{exposed}{waits}{assumed}
</div>
</div>
</main>
<script type="application/json" id="data">{data}</script>"##,
            name = escaped(rollout),
            stretch = telling::stretch(self.simulation),
            tiles = self.tiles(),
            timeline = self.timeline(),
            decisions = self.decisions(),
            stuck = self.stuck(),
            exposed = self.exposed(),
            waits = self.waits(),
            assumed = self.assumed(),
            data = self.data(),
        )
    }

    fn tiles(&self) -> String {
        let simulation = self.simulation;
        let time = simulation.time;
        let mut tiles = String::new();
        let mut tile = |class: &str, what: &str, figure: &str, more: &str| {
            let more = if more.is_empty() { String::new() } else { format!("<small>{}</small>", escaped(more)) };
            let (what, figure) = (escaped(what), escaped(figure));
            let _ = write!(tiles, r#"<div class="{class}"><dt>{what}</dt><dd>{figure}{more}</dd></div>"#);
        };
        let lasted = span(between(simulation.start, simulation.end));
        match simulation.outcome {
            Outcome::Completed => tile("on", "Through in", &lasted, &instant(simulation.end)),
            Outcome::RolledBack => {
                let turned = simulation.rollbacks.last();
                let at = turned.map_or(simulation.end, |turned| turned.at);
                let step = turned.and_then(|turned| turned.step.as_deref());
                let step = step.map_or(String::new(), |step| format!("at {step}"));
                tile("back", "Turned back after", &span(between(simulation.start, at)), &step);
            }
            Outcome::Stuck => tile("wait", "Stuck after", &lasted, &instant(simulation.end)),
            Outcome::Underway => tile("wait", "Under way after", &lasted, &instant(simulation.end)),
        }
        tile("", "Soaking", &span(time.active), "as the plan has it");
        tile("", "Waiting", &span(time.waiting), "for dates, people and metrics");
        if !time.held.is_zero() {
            tile("wait", "Held", &span(time.held), "by a trigger or by hand");
        }
        let unit = if simulation.exposed.people.is_some() { "people, about" } else { "percent-hours" };
        tile("", "Let in, all in all", &telling::figure(&simulation.exposed), unit);
        if let Some(turned) = simulation.rollbacks.last()
            && let (Some(exposed), Some(since)) = (&turned.exposed_to_fault, turned.fault_since)
            && since < turned.at
        {
            let more = format!("in {} until it was turned back", span(between(since, turned.at)));
            tile("back", "Let in during the fault", &telling::figure(exposed), &more);
        }
        format!(r#"<dl class="tiles">{tiles}</dl>"#)
    }

    /// Where an instant lies, in thousandths of all.
    fn x(&self, at: Timestamp) -> f64 {
        let millis = |from: Timestamp, to: Timestamp| to.as_millis().saturating_sub(from.as_millis()) as f64;
        let all = millis(self.simulation.start, self.simulation.end).max(1.0);
        let place = millis(self.simulation.start, at) / all * 1000.0;
        (place.clamp(0.0, 1000.0) * 100.0).round() / 100.0
    }

    /// The class of what stands at an instant.
    fn place(&mut self, at: Timestamp) -> String {
        let place = (self.x(at) / 1000.0 * PLACES).round() as u16;
        self.places.insert(place);
        format!("x{place}")
    }

    fn timeline(&mut self) -> String {
        const AXIS: usize = 10;
        let used: Vec<Class> = telling::waits(self.simulation).into_iter().map(|(.., class)| class).collect();
        let legend = Class::ALL.into_iter().filter(|class| *class != Class::Soak && used.contains(class)).map(|class| {
            let (name, words) = (class.name(), class.words());
            format!(
                r#"<li><svg viewBox="0 0 10 10" preserveAspectRatio="none" aria-hidden="true"><rect width="10" height="10" class="band {name}"/></svg>{words}</li>"#
            )
        });
        let legend: String = legend.collect();
        let mut lanes = self.percent_lane();
        let mut calm = Vec::new();
        let mut tables = self.percent_table();
        for curve in &self.simulation.curves {
            let segments = telling::segments(curve, self.simulation.end);
            match telling::is_eventful(&segments) {
                true => {
                    lanes += &self.lane(curve, &segments);
                    tables += &table_of(curve, &segments);
                }
                false => calm.push((curve, segments)),
            }
        }
        let axis: String = marks(self.simulation.start, self.simulation.end, AXIS)
            .into_iter()
            .map(|(at, label)| format!(r#"<span class="{}">{label}</span>"#, self.place(at)))
            .collect();
        let hidden: String = calm.iter().map(|(curve, segments)| self.lane(curve, segments)).collect();
        let hidden = match calm.is_empty() {
            true => String::new(),
            false => {
                let names: Vec<String> = calm.iter().map(|(curve, _)| escaped(&telling::title(curve))).collect();
                format!(
                    r#"<details class="calm"><summary>Well throughout: {}</summary>{hidden}</details>"#,
                    names.join(", ")
                )
            }
        };
        format!(
            r##"<ul class="legend">{legend}</ul>
<div class="lanes">
{lanes}
<div class="axis" aria-hidden="true">{axis}</div>
</div>
<input type="range" class="scrub" min="0" max="1000" step="any" value="0" aria-label="Instant of the timeline" hidden>
<div class="reader"><p class="quiet">Point at the timeline, or go along it with the arrow keys, to read what was so.</p></div>
{hidden}
<details><summary>As tables</summary>{tables}</details>"##
        )
    }

    fn percent_lane(&mut self) -> String {
        let simulation = self.simulation;
        let bands: String = telling::waits(simulation)
            .into_iter()
            .map(|(from, until, class)| {
                let (x, width) = (self.x(from), (self.x(until) - self.x(from)).max(1.0));
                let name = class.name();
                format!(r#"<rect x="{x}" width="{width:.2}" y="0" height="100" class="band {name}"/>"#)
            })
            .collect();
        let percents = telling::percents(simulation);
        let y = |thousandths: u32| 98.0 - f64::from(thousandths) / 100_000.0 * 94.0;
        let mut line = format!("M0,{}", y(0));
        for (at, percent) in &percents {
            let _ = write!(line, "H{}V{:.2}", self.x(*at), y(percent.thousandths()));
        }
        line += "H1000";
        let levels: String = [0, 50_000, 100_000]
            .map(|level| format!(r#"<path d="M0,{y}H1000" class="level"/>"#, y = y(level)))
            .concat();
        let told = std::mem::take(&mut self.told);
        let mut marked = String::new();
        let mut lines = String::new();
        for (index, one) in told.iter().enumerate() {
            if one.tone == Tone::Quiet {
                continue;
            }
            let (place, tone) = (self.place(one.moment.at), one.tone);
            let name = escaped(&summary(one));
            let _ = write!(
                marked,
                r##"<a class="mark {tone:?} {place}" href="#d{index}" aria-label="{name}" title="{name}"></a>"##
            );
            let _ = write!(lines, r#"<path d="M{},0V100" class="decided {tone:?}"/>"#, self.x(one.moment.at));
        }
        self.told = told;
        let names = self.names();
        let most = percents.iter().map(|(_, percent)| *percent).max().unwrap_or_default();
        let words = format!("The percent over time, up to {most} %");
        format!(
            r##"<div class="lane percent"><h4>Percent of people</h4>
<div class="names" aria-hidden="true">{names}</div>
<div class="plot"><p class="levels" aria-hidden="true"><span>100 %</span><span>50 %</span><span>0 %</span></p>
<svg viewBox="0 0 1000 100" preserveAspectRatio="none" role="img" aria-label="{words}"><defs><pattern id="hatch" width="8" height="8" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><path d="M0,0V8" class="hatching"/></pattern></defs>{bands}{levels}{lines}<path d="{line}V98H0Z" class="under"/><path d="{line}" class="over"/></svg>{marked}</div></div>
"##
        )
    }

    /// The names of steps, where they begin and there is room for them.
    fn names(&mut self) -> String {
        const ROOM: f64 = 9.0;
        const ROOM_ON_PHONES: f64 = 26.0;
        let mut steps: Vec<(Timestamp, String)> = Vec::new();
        for moment in &self.simulation.moments {
            let step = moment.step.clone().unwrap_or_default();
            if steps.last().is_none_or(|(_, last)| *last != step) {
                steps.push((moment.at, step));
            }
        }
        let ends: Vec<Timestamp> = steps.iter().skip(1).map(|(at, _)| *at).chain([self.simulation.end]).collect();
        let mut names = String::new();
        for ((from, step), until) in steps.into_iter().zip(ends) {
            let (room, letters) = (self.x(until) - self.x(from), step.chars().count() as f64 + 1.0);
            if step.is_empty() || room < letters * ROOM {
                continue;
            }
            let class = if room < letters * ROOM_ON_PHONES { " short" } else { "" };
            let _ = write!(names, r#"<span class="{}{class}">{}</span>"#, self.place(from), escaped(&step));
        }
        names
    }

    fn lane(&self, curve: &Curve, segments: &[Segment]) -> String {
        let of_percent = telling::is_of_percent(curve);
        let limits = curve.thresholds.iter().flat_map(|threshold| {
            let ((from, _), (to, _)) = threshold.condition.bounds();
            [from, to].into_iter().filter(|limit| limit.is_finite())
        });
        let shown: Vec<f64> = segments.iter().filter_map(|segment| segment.number).chain(limits).collect();
        let (low, high) = scale(&shown);
        let y = |number: f64| (97.0 - (number.clamp(low, high) - low) / (high - low) * 94.0).clamp(0.0, 100.0);
        let mut drawn = String::new();
        for threshold in &curve.thresholds {
            let (x, until) = (self.x(threshold.from), self.x(threshold.until));
            let ((from, _), (to, _)) = threshold.condition.bounds();
            let kind = kind(threshold);
            if threshold.action.is_some() {
                let (top, bottom) =
                    (if to.is_finite() { y(to) } else { 0.0 }, if from.is_finite() { y(from) } else { 100.0 });
                let (width, height) = (until - x, bottom - top);
                let _ = write!(
                    drawn,
                    r#"<rect x="{x}" y="{top:.2}" width="{width:.2}" height="{height:.2}" class="zone {kind}"/>"#
                );
            }
            for limit in [from, to].into_iter().filter(|limit| limit.is_finite()) {
                let _ = write!(drawn, r#"<path d="M{x},{:.2}H{until}" class="limit {kind}"/>"#, y(limit));
            }
        }
        for told in self.told.iter().filter(|told| told.tone != Tone::Quiet) {
            let _ = write!(drawn, r#"<path d="M{},0V100" class="decided {:?}"/>"#, self.x(told.moment.at), told.tone);
        }
        let mut before: Option<f64> = None;
        for segment in segments {
            let (x, until) = (self.x(segment.from), self.x(segment.until));
            let Some(number) = segment.number else {
                let _ = write!(drawn, r#"<rect x="{x}" y="0" width="{:.2}" height="100" class="nothing"/>"#, until - x);
                before = None;
                continue;
            };
            let rises = before.map_or(String::new(), |before| format!("{before:.2}V"));
            let _ =
                write!(drawn, r#"<path d="M{x},{rises}{:.2}H{until}" class="number {:?}"/>"#, y(number), segment.found);
            before = Some(y(number));
        }
        for (at, guard) in telling::fired(self.simulation) {
            let of = curve.thresholds.iter().any(|threshold| threshold.guard == guard && threshold.action.is_some());
            let number = segments.iter().rfind(|segment| segment.from <= at).and_then(|segment| segment.number);
            if let Some(number) = number.filter(|_| of) {
                let _ = write!(drawn, r#"<path d="M{x},{y:.2}h0" class="fired"/>"#, x = self.x(at), y = y(number));
            }
        }
        let wanted: String = telling::wanted(curve)
            .into_iter()
            .map(|(text, threshold)| format!(r#"<span class="wanted {}">{}</span>"#, kind(threshold), escaped(&text)))
            .collect();
        let title = escaped(&telling::title(curve));
        let about = curve.description.as_ref().map_or(String::new(), |text| format!(r#" title="{}""#, escaped(text)));
        let (top, bottom) = (telling::written(high, of_percent), telling::written(low, of_percent));
        let words = escaped(&said(curve, segments));
        format!(
            r##"<div class="lane"><h4><span{about}>{title}</span>{wanted}</h4>
<div class="plot"><p class="levels" aria-hidden="true"><span>{top}</span><span>{bottom}</span></p>
<svg viewBox="0 0 1000 100" preserveAspectRatio="none" role="img" aria-label="{words}">{drawn}</svg></div></div>
"##
        )
    }

    fn percent_table(&self) -> String {
        let percents = telling::percents(self.simulation);
        let ends = percents.iter().skip(1).map(|(at, _)| *at).chain([self.simulation.end]);
        let rows = percents.iter().zip(ends).map(|((from, percent), until)| {
            let lasts = span(between(*from, until));
            vec![instant(*from), lasts, format!("{percent} %")]
        });
        table("Percent of people", "", &["From", "For", "Percent"], rows.collect())
    }

    fn decisions(&self) -> String {
        let simulation = self.simulation;
        let items = self.told.iter().enumerate().map(|(index, told)| {
            let moment = told.moment;
            let led = match told.led.as_str() {
                "" => String::new(),
                led => format!(r#" <span class="led">{}</span>"#, escaped(led)),
            };
            let said = match told.about.as_slice() {
                [] => format!("<p>{}</p>", escaped(&moment.reason)),
                [one] => format!("<p>{}</p>", escaped(one)),
                given => {
                    let items: String = given.iter().map(|text| format!("<li>{}</li>", escaped(text))).collect();
                    format!("<details><summary>{} things</summary><ul>{items}</ul></details>", given.len())
                }
            };
            let let_in = told.turned.map_or(String::new(), |turned| {
                format!(r#"<p class="let-in">{}</p>"#, escaped(&capital(&telling::exposed(turned))))
            });
            let evidence = evidence(&moment.evidence);
            let (tone, head, author) = (told.tone, escaped(&told.head), escaped(&moment.author));
            let (at, after) = (instant(moment.at), span(between(simulation.start, moment.at)));
            format!(
                r#"<li id="d{index}" class="{tone:?}"><p class="head"><strong>{head}</strong>{led} <time datetime="{}">{at}</time> <span class="by">+{after}, by {author}</span></p>{said}{let_in}{evidence}</li>"#,
                moment.at
            )
        });
        format!(r#"<ol class="decisions">{}</ol>"#, items.collect::<String>())
    }

    /// What keeps it where it is at the end.
    fn stuck(&self) -> String {
        if !matches!(self.simulation.outcome, Outcome::Stuck | Outcome::Underway) {
            return String::new();
        }
        let items: String =
            self.simulation.blockers.iter().map(|blocker| format!("<li>{}</li>", escaped(&blocker.message))).collect();
        format!(
            r#"<section class="card" aria-labelledby="stuck"><h3 id="stuck">What keeps it there</h3><ul>{items}</ul></section>"#
        )
    }

    fn exposed(&self) -> String {
        let simulation = self.simulation;
        let row = |what: String, exposed: &Exposure| {
            let people =
                exposed.people.map_or("—".to_owned(), |_| telling::exposure(exposed).replacen("about ", "", 1));
            let hours = format!("{:.0}", exposed.percent_hours);
            vec![what, people, hours, format!("{} %", exposed.percent)]
        };
        let mut rows = Vec::new();
        for turned in &simulation.rollbacks {
            rows.push(row(format!("until it was turned back, {}", instant(turned.at)), &turned.exposed));
            if let (Some(exposed), Some(since)) = (&turned.exposed_to_fault, turned.fault_since)
                && since < turned.at
            {
                rows.push(row(format!("of them since {}, during the fault", instant(since)), exposed));
            }
        }
        rows.push(row("all in all".to_owned(), &simulation.exposed));
        let table = table("", "Let in", &["Let in", "People", "Percent-hours", "Most"], rows);
        let reckoning = escaped(telling::reckoning(&simulation.exposed));
        format!(
            r#"<section class="card" aria-labelledby="exposed"><h3 id="exposed">Who is let in</h3>{table}<p class="quiet">{reckoning}</p></section>"#
        )
    }

    fn waits(&self) -> String {
        let mut rows: Vec<(&Wait, Vec<String>)> = Vec::new();
        for wait in self.simulation.waits.iter().filter(|wait| wait.kind != BlockerKind::Soak) {
            let about = wait.about.clone().unwrap_or_else(|| wait.message.clone());
            let same =
                |(other, _): &(&Wait, _)| (&other.step, other.from, other.until) == (&wait.step, wait.from, wait.until);
            // They come in order of their beginnings.
            match rows.iter_mut().rev().take_while(|(other, _)| other.from == wait.from).find(|row| same(row)) {
                Some((_, all)) => all.push(about),
                None => rows.push((wait, vec![about])),
            }
        }
        let rows: Vec<Vec<String>> = rows
            .into_iter()
            .map(|(wait, about)| {
                let (step, lasts) = (wait.step.clone().unwrap_or_default(), span(between(wait.from, wait.until)));
                vec![step, about.join("; "), instant(wait.from), lasts]
            })
            .collect();
        if rows.is_empty() {
            return String::new();
        }
        let table = table("", "Waits", &["At", "For", "From", "Lasting"], rows);
        format!(
            r#"<section class="card" aria-labelledby="waits"><h3 id="waits">What it waits for, beside its soaks</h3>{table}</section>"#
        )
    }

    fn assumed(&self) -> String {
        let assumed = &self.simulation.assumed;
        if assumed.is_empty() {
            return String::new();
        }
        let number = |number: Option<f64>| number.map_or("—".to_owned(), |number| telling::written(number, false));
        let rows = assumed.iter().map(|one| {
            let metric = match one.unmet.as_slice() {
                [] => one.metric.clone(),
                unmet => format!("{} (against {})", one.metric, unmet.join(", ")),
            };
            vec![metric, one.step.clone(), number(Some(one.value)), number(one.baseline), number(one.samples)]
        });
        let table = table("", "Assumed", &["Metric", "From", "Value", "Baseline", "Samples"], rows.collect());
        format!(
            r#"<section class="card" aria-labelledby="assumed"><h3 id="assumed">What is assumed where nothing else is said</h3>{table}</section>"#
        )
    }

    /// What the script reads out, as JSON that ends no element that it stands in.
    fn data(&self) -> String {
        let simulation = self.simulation;
        let percents = telling::percents(simulation);
        let percents: Vec<_> = percents.iter().map(|(at, percent)| json!([at.as_millis(), percent])).collect();
        let waits = simulation.waits.iter().map(|wait| {
            let text = match (Class::of(wait.kind), &wait.about) {
                (class @ (Class::Metrics | Class::People), Some(about)) => format!("{}: {about}", class.words()),
                (class, _) => class.words().to_owned(),
            };
            json!([wait.from.as_millis(), wait.until.as_millis(), text])
        });
        let curves = simulation.curves.iter().map(|curve| {
            let of_percent = telling::is_of_percent(curve);
            let points = telling::segments(curve, simulation.end).into_iter().map(|segment| {
                let text = segment.number.map_or("no data".to_owned(), |number| telling::written(number, of_percent));
                json!([segment.from.as_millis(), text, format!("{:?}", segment.found)])
            });
            json!({"title": telling::title(curve), "points": points.collect::<Vec<_>>()})
        });
        let moments = self.told.iter().map(|told| json!([told.moment.at.as_millis(), summary(told)]));
        let data = json!({
            "start": simulation.start.as_millis(), "end": simulation.end.as_millis(), "percents": percents,
            "waits": waits.collect::<Vec<_>>(), "curves": curves.collect::<Vec<_>>(),
            "moments": moments.collect::<Vec<_>>(),
        });
        data.to_string().replace('<', "\\u003c")
    }
}

/// What a threshold is for, as style sheets have it.
fn kind(threshold: &Threshold) -> &'static str {
    match threshold.action {
        None => "gate",
        Some(Action::Hold | Action::StepDown) => "holds",
        Some(Action::RollbackToPrevious | Action::Rollback) => "back",
    }
}

/// A decision in a line.
fn summary(told: &Told<'_>) -> String {
    let led = if told.led.is_empty() { String::new() } else { format!(" → {}", told.led) };
    let why = match told.about.as_slice() {
        [] => told.moment.reason.clone(),
        [one] => (*one).to_owned(),
        many => format!("{} things", many.len()),
    };
    format!("{}{led}: {why}", capital(&told.head))
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |first| first.to_uppercase().chain(chars).collect())
}

/// From where to where to draw, so that all is to be seen and nothing touches an edge.
fn scale(shown: &[f64]) -> (f64, f64) {
    let low = shown.iter().copied().fold(f64::INFINITY, f64::min);
    let high = shown.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    match () {
        () if !low.is_finite() => (0.0, 1.0),
        () if low >= 0.0 && low < high / 2.0 => (0.0, high * 1.1),
        () if low == high => (low - low.abs().max(1.0) * 0.1, high + high.abs().max(1.0) * 0.1),
        () => (low - (high - low) * 0.12, high + (high - low) * 0.12),
    }
}

/// What is seen on a curve, for those who do not see it.
fn said(curve: &Curve, segments: &[Segment]) -> String {
    let of_percent = telling::is_of_percent(curve);
    let numbers = || segments.iter().filter_map(|segment| segment.number);
    let (low, high) = (numbers().fold(f64::INFINITY, f64::min), numbers().fold(f64::NEG_INFINITY, f64::max));
    let mut text = telling::title(curve);
    match () {
        () if !low.is_finite() => text.push_str(" over time: no data"),
        () if low == high => text.push_str(&format!(" over time: always {}", telling::written(low, of_percent))),
        () => {
            let (low, high) = (telling::written(low, of_percent), telling::written(high, of_percent));
            text.push_str(&format!(" over time: from {low} to {high}"));
        }
    }
    for (found, what) in
        [(Found::Wrong, "so that a trigger opens"), (Found::Short, "short of a gate"), (Found::NoData, "without data")]
    {
        let lasts: u64 = segments
            .iter()
            .filter(|segment| segment.found == found)
            .map(|segment| between(segment.from, segment.until).millis())
            .sum();
        if lasts > 0 {
            text.push_str(&format!("; for {} {what}", span(Period::from_millis(lasts))));
        }
    }
    text
}

fn table_of(curve: &Curve, segments: &[Segment]) -> String {
    let of_percent = telling::is_of_percent(curve);
    let rows = segments.iter().filter(|segment| segment.found != Found::Unwatched).map(|segment| {
        let found = match segment.found {
            Found::Wrong => "what a trigger looks for",
            Found::Short => "not what a gate wants",
            Found::NoData => "no data",
            Found::Fine | Found::Unwatched => "well",
        };
        let number = segment.number.map_or("—".to_owned(), |number| telling::written(number, of_percent));
        vec![instant(segment.from), span(between(segment.from, segment.until)), number, found.to_owned()]
    });
    table(&telling::title(curve), "", &["From", "For", "Number", "It is"], rows.collect())
}

/// A table, whose cells are texts.
fn table(caption: &str, label: &str, heads: &[&str], rows: Vec<Vec<String>>) -> String {
    let figures: Vec<bool> = (0..heads.len())
        .map(|column| {
            let begins = |cell: &String| cell.starts_with(|c: char| c.is_ascii_digit() || c == '—' || c == '-');
            rows.iter().all(|row| row.get(column).is_some_and(begins))
                && !rows.iter().any(|row| row[column].contains(':'))
        })
        .collect();
    let class = |column: usize| match heads[column] {
        _ if figures[column] => r#" class="figure""#,
        "From" => r#" class="when""#,
        _ => "",
    };
    let head: String = heads
        .iter()
        .enumerate()
        .map(|(column, head)| format!(r#"<th scope="col"{}>{}</th>"#, class(column), escaped(head)))
        .collect();
    let row = |row: &Vec<String>| {
        let cells = row.iter().enumerate().map(|(column, cell)| format!("<td{}>{}</td>", class(column), escaped(cell)));
        format!("<tr>{}</tr>", cells.collect::<String>())
    };
    let body: String = rows.iter().take(MOST_ROWS).map(row).collect();
    let more = match rows.len().saturating_sub(MOST_ROWS) {
        0 => String::new(),
        more => format!(r#"<p class="quiet">and {more} more; --json has them all</p>"#),
    };
    let label = escaped(if label.is_empty() { caption } else { label });
    let caption = if caption.is_empty() { String::new() } else { format!("<caption>{}</caption>", escaped(caption)) };
    format!(
        r#"<div class="scroll" tabindex="0" role="region" aria-label="{label}"><table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}</div>"#
    )
}

fn evidence(readings: &[Reading]) -> String {
    if readings.is_empty() {
        return String::new();
    }
    let items = readings.iter().map(|reading| {
        let query = reading.query.as_ref().map_or(String::new(), |query| format!("<pre>{}</pre>", escaped(query)));
        let finding = match reading.finding {
            Finding::Holds => "holds",
            Finding::Pending => "not for long enough",
            Finding::Fails => "does not hold",
            Finding::NoData | Finding::Silence => "no data",
        };
        let kind = if reading.action.is_some() { "trigger" } else { "gate" };
        let (guard, measured) = (escaped(&reading.guard), escaped(&telling::measured(reading)));
        format!(
            "<li><strong>{guard}</strong> {kind}, {finding}{}{measured}{query}</li>",
            if measured.is_empty() { "" } else { ": " }
        )
    });
    format!(
        "<details><summary>Evidence: {}</summary><ul>{}</ul></details>",
        crate::answer::count(readings.len(), "reading"),
        items.collect::<String>()
    )
}
