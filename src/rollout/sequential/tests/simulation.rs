//! What the tests find by chance, and how soon they find what is there, next to what is looked at as often and was not made for
//! that. Its table stands in `STATISTICS.md`.

use std::f64::consts::TAU;

use super::*;

const LOOKS: usize = 1_000;
/// How much evidence is certain, of rates and of shares: 1 % and 0.1 % of false alarms.
const CERTAIN: [f64; 2] = [100.0, 1_000.0];
/// Beyond which a normal deviate lies by chance in one of a hundred, and on either side in one of a thousand.
const Z: [f64; 2] = [2.326_347_874, 3.290_526_731];
/// How many looks a threshold looks back on, and for how many it must be so.
const WINDOW: usize = 5;

/// All that was counted up to a look: of the new path, and of the old one.
type Look = [Counts; 2];
/// Whether something is found at the last of some looks.
type Method = fn(&[Look]) -> bool;
/// What is counted more until a look, whose number is from 0 on.
type Traffic = fn(&mut fastrand::Rng, usize) -> Look;

/// Of so many independent ones, those that are among the few. From one to the next, chance leaves out how many it would.
fn some(random: &mut fastrand::Rng, of: f64, share: f64) -> f64 {
    let (mut at, mut found) = (0.0, 0.0);
    loop {
        // From (0, 1]: no logarithm of nothing.
        at += ((1.0 - random.f64()).ln() / (-share).ln_1p()).floor() + 1.0;
        if share <= 0.0 || at > of {
            return found;
        }
        found += 1.0;
    }
}

fn sum(one: Counts, other: Counts) -> Counts {
    Counts { failures: one.failures + other.failures, samples: one.samples + other.samples }
}

/// For each method after how many looks it found something first, of each run in which it did, from the soonest on.
fn simulate(runs: u16, traffic: Traffic, methods: &[Method]) -> Vec<Vec<usize>> {
    let mut found = vec![Vec::new(); methods.len()];
    for run in 0..runs {
        let mut random = fastrand::Rng::with_seed(run.into());
        let mut looks = vec![[NONE; 2]];
        let mut looking = vec![true; methods.len()];
        while looks.len() <= LOOKS && looking.contains(&true) {
            let (before, more) = (now(&looks), traffic(&mut random, looks.len() - 1));
            looks.push([sum(before[0], more[0]), sum(before[1], more[1])]);
            for ((method, looking), found) in methods.iter().zip(&mut looking).zip(&mut found) {
                if *looking && method(&looks) {
                    *looking = false;
                    found.push(looks.len() - 1);
                }
            }
        }
    }
    found.iter_mut().for_each(|found| found.sort_unstable());
    found
}

/// What was counted within the last looks.
fn window(looks: &[Look]) -> Option<Look> {
    let (now, before) = (looks.last()?, looks.len().checked_sub(1 + WINDOW)?);
    let since = |now: Counts, before: Counts| Counts {
        failures: now.failures - before.failures,
        samples: now.samples - before.samples,
    };
    Some([since(now[0], looks[before][0]), since(now[1], looks[before][1])])
}

/// Whether something is so of the window at each of the last looks.
fn lasting(looks: &[Look], is: fn(Look) -> bool) -> bool {
    (0..WINDOW).all(|back| window(&looks[..looks.len().saturating_sub(back)]).is_some_and(is))
}

/// Within the limit there is nothing to be certain of.
fn rate_is([new, _]: Look, side: Side) -> bool {
    (new.rate() > 0.01) == (side == Side::Above) && new.beyond(side, 0.01) >= CERTAIN[0].ln()
}

fn rate_z([new, _]: Look) -> f64 {
    (new.rate() - 0.01) / (0.01 * 0.99 / new.samples).sqrt()
}

const ABOVE: &[Method] = &[
    |looks| rate_is(now(looks), Side::Above),
    |looks| rate_z(now(looks)) > Z[0],
    |looks| lasting(looks, |[new, _]| new.rate() > 0.01),
];
const BELOW: &[Method] = &[
    |looks| rate_is(now(looks), Side::Below),
    |looks| rate_z(now(looks)) < -Z[0],
    |looks| lasting(looks, |[new, _]| new.rate() < 0.01),
];
const RATIO: &[Method] = &[
    |looks| {
        let ([new, old], certain) = (now(looks), CERTAIN[0].ln());
        // It is the least over all rates of the old path: where it is too little for one, the others need no look.
        new.rate() > old.rate()
            && together(new, old, Side::Above, 1.0, pooled(new, old)) >= certain
            && ratio(new, old, Side::Above, 1.0) >= certain
    },
    |looks| {
        let [new, old] = now(looks);
        let rate = pooled(new, old);
        let deviation = (rate * (1.0 - rate) * (1.0 / new.samples + 1.0 / old.samples)).sqrt();
        (new.rate() - old.rate()) / deviation > Z[0]
    },
    |looks| lasting(looks, |[new, old]| new.rate() > old.rate()),
];
const SHARE: &[Method] = &[
    |looks| {
        let [new, _] = now(looks);
        share(new.failures, new.samples, 0.1) >= CERTAIN[1].ln()
    },
    |looks| {
        let [new, _] = now(looks);
        ((new.rate() - 0.1) / (0.09 / new.samples).sqrt()).abs() > Z[1]
    },
];

fn now(looks: &[Look]) -> Look {
    looks[looks.len() - 1]
}

fn pooled(new: Counts, old: Counts) -> f64 {
    (new.failures + old.failures) / (new.samples + old.samples)
}

const NONE: Counts = Counts { failures: 0.0, samples: 0.0 };

fn path(random: &mut fastrand::Rng, samples: f64, rate: f64) -> Counts {
    Counts { failures: some(random, samples, rate), samples }
}

/// A hundred on one path.
fn one(random: &mut fastrand::Rng, rate: f64) -> Look {
    [path(random, 100.0, rate), NONE]
}

/// The same, but whoever fails does so ten times over.
fn bursts(random: &mut fastrand::Rng, rate: f64) -> Look {
    let ten = path(random, 10.0, rate);
    [Counts { failures: 10.0 * ten.failures, samples: 10.0 * ten.samples }, NONE]
}

/// A thousand, by chance a share of them on the new path, with the rates of both.
fn two(random: &mut fastrand::Rng, share: f64, rates: [f64; 2]) -> Look {
    let new = some(random, 1_000.0, share);
    [path(random, new, rates[0]), path(random, 1_000.0 - new, rates[1])]
}

/// From -1 to 1 and back within a hundred looks.
fn tide(look: usize) -> f64 {
    (look as f64 / 100.0 * TAU).sin()
}

struct Scenario {
    guard: &'static str,
    really: &'static str,
    /// How many requests or people there are from one look to the next.
    a_look: usize,
    traffic: Traffic,
    methods: &'static [Method],
}

const fn scenario(
    guard: &'static str,
    really: &'static str,
    a_look: usize,
    traffic: Traffic,
    methods: &'static [Method],
) -> Scenario {
    Scenario { guard, really, a_look, traffic, methods }
}

/// There is nothing to be found.
const NOTHING: [Scenario; 9] = [
    scenario("`value: '> 1%'`", "1 %", 100, |random, _| one(random, 0.01), ABOVE),
    scenario("`value: '> 1%'`", "0.5 %", 100, |random, _| one(random, 0.005), ABOVE),
    scenario("gate `value: < 1%`", "1 %", 100, |random, _| one(random, 0.01), BELOW),
    scenario("`ratio: '> 1'`", "1, of 1 %", 1_000, |random, _| two(random, 0.1, [0.01, 0.01]), RATIO),
    scenario(
        "`ratio: '> 1'`",
        "1, of what rises and falls fivefold",
        1_000,
        |random, look| two(random, 0.1, [0.006 + 0.004 * tide(look); 2]),
        RATIO,
    ),
    scenario(
        "`ratio: '> 1'`",
        "1, while the share of traffic goes from 5 to 15 % and back",
        1_000,
        |random, look| two(random, 0.1 + 0.05 * tide(look), [0.01, 0.01]),
        RATIO,
    ),
    scenario("`sampleRatio` of 10 %", "10 %", 100, |random, _| one(random, 0.1), SHARE),
    scenario("`value: '> 1%'`", "1 %, but ten at a time", 100, |random, _| bursts(random, 0.01), ABOVE),
    scenario("`value: '> 1%'`", "0.5 %, but ten at a time", 100, |random, _| bursts(random, 0.005), ABOVE),
];

/// There is something, at last.
const SOMETHING: [Scenario; 9] = [
    scenario("`value: '> 1%'`", "2 %", 100, |random, _| one(random, 0.02), ABOVE),
    scenario("`value: '> 1%'`", "5 %", 100, |random, _| one(random, 0.05), ABOVE),
    scenario(
        "`value: '> 1%'`",
        "0.5 % for 50,000 requests, then 2 %",
        100,
        |random, look| one(random, if look < LOOKS / 2 { 0.005 } else { 0.02 }),
        ABOVE,
    ),
    scenario("gate `value: < 1%`", "0.5 %", 100, |random, _| one(random, 0.005), BELOW),
    scenario("gate `value: < 1%`", "0.1 %", 100, |random, _| one(random, 0.001), BELOW),
    scenario("`ratio: '> 1'`", "2, of 1 %", 1_000, |random, _| two(random, 0.1, [0.02, 0.01]), RATIO),
    scenario("`ratio: '> 1'`", "5, of 1 %", 1_000, |random, _| two(random, 0.1, [0.05, 0.01]), RATIO),
    scenario("`sampleRatio` of 10 %", "9 %", 100, |random, _| one(random, 0.09), SHARE),
    scenario("`sampleRatio` of 10 %", "5 %", 100, |random, _| one(random, 0.05), SHARE),
];

/// 12345 as `12,345`.
fn thousands(number: usize) -> String {
    match number {
        0..1_000 => number.to_string(),
        _ => format!("{},{:03}", thousands(number / 1_000), number % 1_000),
    }
}

#[test]
fn chance_finds_no_more_than_was_said_and_what_is_there_is_found() {
    let soak = std::env::var_os("FLAGSTONE_SOAK").is_some();
    let runs: u16 = if soak { 10_000 } else { 400 };
    let mut rows = Vec::new();
    let mut row = |scenario: &Scenario, cells: Vec<String>| {
        rows.push(format!("| {} | {} | {} |", scenario.guard, scenario.really, cells.join(" | ")));
    };
    for scenario in &NOTHING {
        let found = simulate(runs, scenario.traffic, scenario.methods);
        let part: Vec<f64> = found.iter().map(|found| found.len() as f64 / f64::from(runs)).collect();
        let promised = if scenario.guard.starts_with("`sampleRatio`") { 0.001 } else { 0.01 };
        // Five standard deviations more.
        let most = promised + 5.0 * (promised / f64::from(runs)).sqrt();
        // It does not promise to withstand what does not fail one by one.
        let withstood = !scenario.really.contains("at a time");
        assert!(part[0] <= most || !withstood, "{} {}: {part:?}", scenario.guard, scenario.really);
        row(scenario, part.iter().map(|part| format!("{:.2} %", 100.0 * part)).collect());
    }
    for scenario in &SOMETHING {
        let found = simulate(runs, scenario.traffic, scenario.methods);
        let runs = usize::from(runs);
        let in_all = found[0].len() + runs / 1_000 >= runs;
        assert!(in_all, "{} {}: in {} of {runs}", scenario.guard, scenario.really, found[0].len());
        let after = |looks: &[usize], tenths: usize| thousands(looks[tenths * looks.len() / 10] * scenario.a_look);
        row(scenario, found.iter().map(|looks| format!("{} ({})", after(looks, 5), after(looks, 9))).collect());
    }
    let page = include_str!("../../STATISTICS.md");
    let missing: Vec<_> = rows.iter().filter(|row| soak && !page.contains(*row)).collect();
    assert!(missing.is_empty(), "STATISTICS.md has other numbers than these:\n{missing:#?}");
}
