//! What a rollout does next, row by row of the tables that say so, and for plans that nobody thought of.
#![cfg(feature = "definitions")]

use std::collections::{BTreeMap, BTreeSet};

use flagstone::Timestamp;
use flagstone::rollout::{
    Answer, Attested, Blocker, BlockerKind, Decision, Deed, Note, Observations, Part, Phase, Plan, Progress, Recovery,
    Series, Severity, Staircase, Standing, To, Transition, Verb, Verdict, decide,
};
use flagstone::snapshot::definitions::{Definitions, Percent, Problem, Source, State, lint};
use proptest::prelude::*;
use serde_json::{Value, json};

const MINUTE: i64 = 60_000;

fn now() -> Timestamp {
    "2025-01-15T12:00:00Z".parse().unwrap()
}

fn ago(minutes: i64) -> Timestamp {
    now().plus_millis(-minutes * MINUTE)
}

fn by(author: &str, at: Timestamp) -> Note {
    Note { author: author.to_owned(), reason: "Because".to_owned(), at }
}

fn percent(text: &str) -> Percent {
    text.parse().unwrap()
}

/// The rows of a table in a doc comment, by its first heading, without their headings.
fn table(source: &str, first: &str) -> Vec<Vec<String>> {
    let rows = source.lines().skip_while(|line| !line.starts_with(&format!("/// | {first} |")));
    let rows = rows.take_while(|line| line.starts_with("/// |")).skip(2);
    let cells = |row: &str| -> Vec<String> {
        let row = row.trim_start_matches("/// |").trim_end_matches('|');
        row.split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    rows.map(cells).collect()
}

/// What may be the case around one decision. In the scene as it is the rollout goes on, from its second step of three.
#[derive(Clone)]
struct Scene {
    plan: Value,
    progress: Progress,
    obstacles: Vec<Blocker>,
    /// What the metric says, by how many minutes ago it said so.
    metric: fn(i64) -> Option<f64>,
    /// The share of traffic.
    share: Option<f64>,
}

impl Scene {
    fn new() -> Scene {
        let plan = json!({
            "flags": ["f"],
            "metrics": {"m": {"query": "m", "window": "1m"}, "share": {"query": "s", "window": "1m"}},
            "roles": {"lead": ["lena"]},
            "afterRollback": {"share": "share", "within": "5m"},
            "steps": [
                {"name": "first", "percent": 0},
                {
                    "name": "second", "percent": 20, "soak": "1h", "ceiling": true,
                    "gates": [{"metric": "m", "value": "< 5"}],
                    "triggers": [
                        {"name": "back", "metric": "m", "value": "> 90"},
                        {"name": "previous", "metric": "m", "value": "80..90", "do": "rollbackToPrevious"},
                        {"name": "down", "metric": "m", "value": "70..79", "do": "stepDown"},
                        {"name": "stop", "metric": "m", "value": "60..69", "severity": "warning"},
                        {"name": "slow", "metric": "m", "value": "50..59", "for": "5m"},
                        {"name": "silent", "metric": "m", "value": "> 1000", "for": "30m", "onNoData": "act"},
                        {"signal": "bug"},
                    ],
                    "requires": [{"approval": "lead", "validFor": "1d"}, {"attestation": "looked at"}],
                },
                {"name": "third", "percent": 50, "starts": "2025-01-15T00:00:00Z"},
            ],
        });
        let read: Plan = serde_json::from_value(plan.clone()).unwrap();
        let started = Verb::Start.apply(&read, None, &by("ana", ago(300))).unwrap();
        let given = |what: &str, role: Option<&str>| Attested {
            what: what.to_owned(),
            role: role.map(str::to_owned),
            step: "second".to_owned(),
            by: by("lena", ago(60)),
        };
        let progress = Progress {
            step: Some("second".to_owned()),
            entered: ago(120),
            resumed: true,
            attested: vec![given("approval of lead", Some("lead")), given("looked at", None)],
            ..started
        };
        Scene { plan, progress, obstacles: Vec::new(), metric: |_| Some(1.0), share: Some(0.0) }
    }

    fn with(mut self, change: impl FnOnce(&mut Scene)) -> Scene {
        change(&mut self);
        self
    }

    fn measures(self, metric: fn(i64) -> Option<f64>) -> Scene {
        self.with(|scene| scene.metric = metric)
    }

    fn held(self) -> Scene {
        self.with(|scene| scene.progress.phase = Phase::Held)
    }

    fn at(self, step: &str) -> Scene {
        self.with(|scene| scene.progress.step = Some(step.to_owned()))
    }

    /// Going down from 20 % by `by` points, with the next stair due in so many minutes.
    fn going_down(self, points: &str, due: i64) -> Scene {
        self.with(|scene| {
            let read: Plan = serde_json::from_value(scene.plan.clone()).unwrap();
            let verb = Verb::Staircase { by: percent(points), every: "1h".parse().unwrap(), to: Percent::default() };
            scene.progress = verb.apply(&read, Some(&scene.progress), &by("ana", ago(60 - due))).unwrap();
            assert_eq!(scene.progress.phase, Phase::RollingBack);
        })
    }

    /// Rolled back to zero so many minutes ago.
    fn rolled_back(self, minutes: i64) -> Scene {
        self.with(|scene| {
            let read: Plan = serde_json::from_value(scene.plan.clone()).unwrap();
            let verb = Verb::Rollback { to: To::Zero, severity: Severity::Critical };
            scene.progress = verb.apply(&read, Some(&scene.progress), &by("ana", ago(minutes))).unwrap();
        })
    }

    fn decide(&self) -> Decision {
        let plan: Plan = serde_json::from_value(self.plan.clone()).unwrap();
        let mut observations = Observations::new();
        for minutes in 0..=180 {
            let mut say = |metric: &str, number: Option<f64>| {
                let answer: &mut Answer = observations.entry((metric.to_owned(), Part::Value)).or_default();
                answer.points.extend(number.map(|number| (ago(minutes), number)));
            };
            say("m", (self.metric)(minutes));
            say("share", self.share);
        }
        let standing = Standing { progress: self.progress.clone(), obstacles: self.obstacles.clone() };
        decide(&plan, &standing, &observations, now())
    }
}

/// A scene of a row of the table, and what comes of it: the verdict, the phase and the step, and what it waits for.
struct Row {
    phase: &'static str,
    case: &'static str,
    scene: Scene,
    verdict: Verdict,
    becomes: (Phase, Option<&'static str>),
    blocker: Option<BlockerKind>,
}

#[test]
fn every_row_of_the_table_of_decisions() {
    use Verdict::{Advance, Complete, Escalate, Hold, Lower, RollBack, StepDown, Verify, Wait};
    const SECOND: (Phase, Option<&str>) = (Phase::Running, Some("second"));
    const HELD: (Phase, Option<&str>) = (Phase::Held, Some("second"));
    const DOWN: (Phase, Option<&str>) = (Phase::RollingBack, Some("second"));
    const ZERO: (Phase, Option<&str>) = (Phase::RolledBack, None);
    let scene = Scene::new;
    let mut rows = Vec::new();
    let mut add = |phase, case, scene: Scene, verdict, becomes, blocker| {
        rows.push(Row { phase, case, scene, verdict, becomes, blocker });
    };

    let case = "the plan does not have the step";
    let both = "running, held";
    let gone = (Phase::Running, Some("gone"));
    add(both, case, scene().at("gone").measures(|_| Some(95.0)), Wait, gone, Some(BlockerKind::Plan));
    add(both, case, scene().at("gone").held(), Wait, (Phase::Held, Some("gone")), Some(BlockerKind::Plan));

    let case = "an open trigger rolls back";
    let bug = |scene: &mut Scene| drop(scene.progress.signals.insert("bug".to_owned(), by("ana", ago(1))));
    for (metric, becomes) in [
        ((|_| Some(95.0)) as fn(i64) -> Option<f64>, ZERO),
        (|_| Some(85.0), (Phase::RolledBack, Some("first"))),
        (|_| Some(55.0), ZERO),
        // Nothing is known of half an hour.
        (|_| None, ZERO),
        // It does most that is to be done.
        (|minutes| Some(if minutes == 0 { 95.0 } else { 65.0 }), ZERO),
    ] {
        add(both, case, scene().measures(metric), RollBack, becomes, None);
        add(both, case, scene().measures(metric).held(), RollBack, becomes, None);
    }
    add(both, case, scene().with(bug), RollBack, ZERO, None);
    add("rolling back", case, scene().going_down("10", 30).with(bug), RollBack, ZERO, None);
    // The way down has passed the step before already, for all that is known.
    add("rolling back", case, scene().going_down("10", 30).measures(|_| Some(85.0)), RollBack, ZERO, None);

    let case = "an open trigger steps down";
    let first = (Phase::Held, Some("first"));
    add(both, case, scene().measures(|_| Some(75.0)), StepDown, first, None);
    add(both, case, scene().measures(|_| Some(75.0)).held(), StepDown, first, None);
    let from_first = scene().measures(|_| Some(75.0)).at("first").with(|scene| {
        let triggers = scene.plan["steps"][1]["triggers"].take();
        scene.plan["steps"][0]["triggers"] = triggers;
        scene.plan["steps"][1]["triggers"] = json!([]);
    });
    add(both, case, from_first, RollBack, ZERO, None);

    let case = "an open trigger holds";
    add("running", case, scene().measures(|_| Some(65.0)), Hold, HELD, None);
    add("held", "", scene().held(), Wait, HELD, Some(BlockerKind::Held));
    add("held", "", scene().held().measures(|_| Some(65.0)), Wait, HELD, Some(BlockerKind::Held));
    let reviewed = scene().measures(|minutes| Some(if minutes > 3 { 55.0 } else { 1.0 }));
    add("running", "none of this, and there is a next step", reviewed, Advance, (Phase::Running, Some("third")), None);

    let case = "the next stair is not due";
    add("rolling back", case, scene().going_down("10", 30), Wait, DOWN, Some(BlockerKind::Held));
    add(
        "rolling back",
        case,
        scene().going_down("10", 30).measures(|_| Some(75.0)),
        Wait,
        DOWN,
        Some(BlockerKind::Held),
    );
    let case = "the next stair is due";
    add("rolling back", case, scene().going_down("5", 0), Lower, DOWN, None);
    add("rolling back", case, scene().going_down("10", 0), RollBack, ZERO, None);
    add("rolling back", case, scene().going_down("10", 0).at("gone"), RollBack, ZERO, None);

    let case = "an obstacle: a flag is killed, changed by hand, or gone; changes are frozen";
    for kind in [BlockerKind::Killed, BlockerKind::Changed, BlockerKind::Plan, BlockerKind::Freeze] {
        let blocker = Blocker { kind, message: "it is so".to_owned(), about: None, until: None };
        add("running", case, scene().with(|scene| scene.obstacles.push(blocker)), Wait, SECOND, Some(kind));
    }

    let case = "a trigger lacks data, or has found something not long enough";
    let lacks = scene().measures(|minutes| (minutes > 0).then_some(1.0));
    add("running", case, lacks, Wait, SECOND, Some(BlockerKind::NoData));
    let pending = scene().measures(|minutes| Some(if minutes < 5 { 55.0 } else { 1.0 }));
    add("running", case, pending, Wait, SECOND, Some(BlockerKind::Trigger));
    // Silence counts from when the step let people in.
    let young = scene().measures(|_| None).with(|scene| scene.progress.entered = ago(30));
    add("running", case, young, Wait, SECOND, Some(BlockerKind::NoData));

    let case = "the soak is not over; the next step's start is to come";
    let soaking = scene().with(|scene| scene.progress.entered = ago(59));
    add("running", case, soaking, Wait, SECOND, Some(BlockerKind::Soak));
    let to_come = scene().with(|scene| scene.plan["steps"][2]["starts"] = json!("2025-01-15T12:00:00.001Z"));
    add("running", case, to_come, Wait, SECOND, Some(BlockerKind::Start));

    let case = "a gate does not hold, or lacks data";
    add("running", case, scene().measures(|_| Some(5.0)), Wait, SECOND, Some(BlockerKind::Gate));
    let asks_more = |wanted: &'static str| {
        scene().with(|scene| {
            scene.plan["steps"][1]["triggers"] = json!([]);
            scene.plan["steps"][1]["gates"][0]["for"] = json!(wanted);
        })
    };
    add("running", case, asks_more("5m").measures(|_| None), Wait, SECOND, Some(BlockerKind::NoData));
    let hole = asks_more("5m").measures(|minutes| (minutes != 3).then_some(1.0));
    add("running", case, hole, Wait, SECOND, Some(BlockerKind::NoData));
    let short = asks_more("5m").measures(|minutes| Some(if minutes == 5 { 9.0 } else { 1.0 }));
    add("running", case, short, Wait, SECOND, Some(BlockerKind::Gate));
    // What was measured before the step and a window does not count.
    add("running", case, asks_more("2h"), Wait, SECOND, Some(BlockerKind::Gate));

    let case = "an approval or an attestation is missing, or no longer valid";
    let without = |place: usize| scene().with(|scene| drop(scene.progress.attested.remove(place)));
    add("running", case, without(0), Wait, SECOND, Some(BlockerKind::Approval));
    add("running", case, without(1), Wait, SECOND, Some(BlockerKind::Attestation));
    let old = scene().with(|scene| scene.progress.attested[0].by.at = ago(24 * 60));
    add("running", case, old, Wait, SECOND, Some(BlockerKind::Approval));
    let elsewhere = scene().with(|scene| scene.progress.attested[0].step = "first".to_owned());
    add("running", case, elsewhere, Wait, SECOND, Some(BlockerKind::Approval));
    let other_role = scene().with(|scene| scene.progress.attested[0].role = None);
    add("running", case, other_role, Wait, SECOND, Some(BlockerKind::Approval));

    let case = "a ceiling; no window is open; a freeze";
    let ceiling = scene().with(|scene| scene.progress.resumed = false);
    add("running", case, ceiling, Wait, SECOND, Some(BlockerKind::Ceiling));
    let windows = json!([{"days": ["wednesday"], "from": "12:30", "until": "16:00", "zone": "UTC"}]);
    let closed = scene().with(|scene| scene.plan["windows"] = windows);
    add("running", case, closed, Wait, SECOND, Some(BlockerKind::Window));
    let freeze = json!([{"from": "2025-01-15T12:00:00Z", "until": "2025-01-16T12:00:00Z"}]);
    let frozen = scene().with(|scene| scene.plan["freezes"] = freeze);
    add("running", case, frozen, Wait, SECOND, Some(BlockerKind::Freeze));

    add("running", "none of this, and there is a next step", scene(), Advance, (Phase::Running, Some("third")), None);
    let elsewhere = scene().with(|scene| scene.progress.attested[1].step = "first".to_owned());
    let third = (Phase::Running, Some("third"));
    add("running", "none of this, and there is a next step", elsewhere, Advance, third, None);
    let last = (Phase::Completed, Some("third"));
    add("running", "none of this, and there is none", scene().at("third"), Complete, last, None);

    let case = "recovery is awaited or escalated, traffic and health have followed";
    let escalated = scene().rolled_back(9).with(|scene| {
        scene.progress.incident.as_mut().unwrap().recovery = Recovery::Escalated;
    });
    add("rolled back", case, scene().rolled_back(2), Verify, ZERO, None);
    add("rolled back", case, escalated.clone(), Verify, ZERO, None);
    let case = "recovery is awaited, its time is over, and traffic or health is known not to have followed";
    let late = |share| scene().rolled_back(5).with(|scene| scene.share = share);
    add("rolled back", case, late(Some(0.2)), Escalate, ZERO, None);
    add("rolled back", case, late(None), Escalate, ZERO, None);
    let early = scene().rolled_back(4).with(|scene| scene.share = Some(0.2));
    add("rolled back", "else", early, Wait, ZERO, Some(BlockerKind::Recovery));
    let still = escalated.with(|scene| scene.share = Some(0.2));
    add("rolled back", "else", still, Wait, ZERO, Some(BlockerKind::Recovery));
    let unchecked = scene().with(|scene| scene.plan["afterRollback"] = Value::Null).rolled_back(4);
    add("rolled back", "else", unchecked.measures(|_| Some(95.0)), Wait, ZERO, None);

    let done = scene().at("third").measures(|_| Some(95.0)).with(|scene| scene.progress.phase = Phase::Completed);
    add("completed", "", done, Wait, last, None);

    let documented = table(include_str!("../src/rollout/decide.rs"), "phase");
    let written: BTreeSet<(&str, &str)> = documented.iter().map(|row| (row[0].as_str(), row[1].as_str())).collect();
    let tested: BTreeSet<(&str, &str)> = rows.iter().map(|row| (row.phase, row.case)).collect();
    assert_eq!(written, tested, "a row of the table has no test, or a test no row");

    for Row { phase, case, scene, verdict, becomes, blocker } in rows {
        let row = format!("{phase} | {case}: {:?} {:?}", scene.progress.phase, blocker);
        let decision = scene.decide();
        assert_eq!(decision.verdict, verdict, "{row}: {decision:#?}");
        let says = documented.iter().find(|cells| cells[0] == phase && cells[1] == case).unwrap();
        let words = ["wait", "advance", "complete", "hold", "step down", "roll back", "lower", "verify", "escalate"];
        let names = [Wait, Advance, Complete, Hold, StepDown, RollBack, Lower, Verify, Escalate];
        let word = words[names.iter().position(|name| *name == verdict).unwrap()];
        assert!(says[2].contains(word) || says[3].contains("rolled back to zero"), "{row}: {}", says[2]);
        assert_eq!((decision.progress.phase, decision.progress.step.as_deref()), becomes, "{row}");
        match verdict {
            Wait => assert_eq!(decision.progress, scene.progress, "{row}"),
            _ => assert_eq!((decision.progress.last.at, decision.blockers.len()), (now(), 0), "{row}"),
        }
        if let Some(kind) = blocker {
            assert!(decision.blockers.iter().any(|blocker| blocker.kind == kind), "{row}: {:#?}", decision.blockers);
        }
    }
}

#[test]
fn every_cell_of_the_table_of_verbs() {
    let base = Scene::new().with(|scene| scene.progress.resumed = false);
    let plan: Plan = serde_json::from_value(base.plan.clone()).unwrap();
    let completed = Progress { phase: Phase::Completed, ..base.clone().at("third").progress };
    let to_percent = Verb::Rollback { to: To::Percent(percent("5")), severity: Severity::Warning };
    let rolled_back = to_percent.apply(&plan, Some(&base.progress), &by("ana", ago(1))).unwrap();
    let columns = [
        ("not started", None),
        ("running", Some(base.progress.clone())),
        ("held", Some(base.clone().held().progress)),
        ("rolling back", Some(base.clone().going_down("5", 30).progress)),
        ("rolled back", Some(rolled_back)),
        ("completed", Some(completed)),
    ];
    let zero = Percent::default();
    let signal = || Verb::Signal { name: "bug".to_owned() };
    let verbs = |row: &str| match row {
        "start" => vec![Verb::Start],
        "advance" => vec![Verb::Advance { role: None, step: None }],
        "attest" => vec![Verb::Attest { what: "looked at".to_owned() }],
        "hold" => vec![Verb::Hold],
        "resume" => vec![Verb::Resume],
        "retry" => vec![Verb::Retry],
        "rollback" => vec![Verb::Rollback { to: To::Zero, severity: Severity::Critical }],
        "staircase" => vec![Verb::Staircase { by: percent("5"), every: "10m".parse().unwrap(), to: zero }],
        "roll back a cohort" => vec![Verb::CohortRolledBack],
        "signal, clear" => vec![signal(), Verb::Clear { name: "bug".to_owned() }],
        row => panic!("there is no test of `{row}`"),
    };
    let source = include_str!("../src/rollout/verbs.rs");
    let rows = table(source, "verb");
    assert_eq!(rows.len(), 10);
    for row in rows {
        for verb in verbs(&row[0]) {
            for ((column, progress), cell) in columns.iter().zip(&row[1..]) {
                let what = format!("{} | {column}", row[0]);
                // A signal can be cleared once it is raised.
                let raised = progress.clone().map(|mut progress| {
                    if matches!(verb, Verb::Clear { .. }) {
                        progress.signals.insert("bug".to_owned(), by("ana", ago(1)));
                    }
                    progress
                });
                let result = verb.apply(&plan, raised.as_ref(), &by("lena", now()));
                if cell.is_empty() {
                    let refusal = result.expect_err(&what).to_string();
                    assert!(refusal.len() > 15, "{what}: {refusal}");
                    continue;
                }
                let after = result.unwrap_or_else(|refusal| panic!("{what}: {refusal}"));
                assert_eq!((after.last.author.as_str(), after.last.at), ("lena", now()), "{what}");
                let stays = progress.as_ref().map(|before| (before.phase, &before.step, before.percent));
                let same = stays == Some((after.phase, &after.step, after.percent));
                let holds = match cell.as_str() {
                    "begins" => {
                        (after.phase, after.attempt, after.step.as_deref()) == (Phase::Running, 1, Some("first"))
                    }
                    "approves of going on" | "approves" => {
                        same && after.attested.iter().any(|given| given.by.at == now())
                    }
                    "is noted" => same && after.last.what != progress.as_ref().unwrap().last.what,
                    "stops" => after.phase == Phase::Held,
                    "lifts a ceiling, sets flags as the step says" => same && after.resumed,
                    "goes on" => after.phase == Phase::Running && !after.resumed,
                    "begins again" => (after.phase, after.attempt) == (Phase::Running, 2),
                    "turns back" | "turns back at once" | "turns back further" => {
                        after.phase == Phase::RolledBack && plan.kills(&after) && after.incident.is_some()
                    }
                    "goes down in steps" => {
                        after.phase == Phase::RollingBack && after.percent < plan.percent(progress.as_ref().unwrap())
                    }
                    cell => panic!("{what}: nobody says what `{cell}` means"),
                };
                assert!(holds, "{what}: {cell}: {after:#?}");
            }
        }
    }
}

#[test]
fn what_was_approved_before_a_step_down_counts_no_more() {
    // The trigger lasts no longer than it was looked at; the attestation stays, the approval of going on does not.
    let down = Scene::new().at("third").measures(|_| Some(75.0)).decide();
    assert_eq!((down.verdict, down.progress.step.as_deref()), (Verdict::StepDown, Some("second")));
    let what: Vec<_> = down.progress.attested.iter().map(|given| given.what.as_str()).collect();
    assert_eq!(what, ["looked at"]);
}

#[test]
fn what_others_made_of_its_flags() {
    let text = r#"
        flags:
          f: {salt: f-1, tags: [t], default: {ramp: {percent: 0, serve: on}}}
          on: {salt: on-1, default: on}
        rollouts: {r: {flags: [f, on], steps: [{percent: 10}, {percent: 100}]}}"#;
    let definitions = Definitions::read(&[Source::new("f.yaml", text)]).unwrap();
    let plan = &definitions.rollouts["r"];
    let running = Verb::Start.apply(plan, None, &by("lena", now())).unwrap();
    let completed = Progress { phase: Phase::Completed, step: Some("100%".to_owned()), ..running.clone() };
    let back = |to| Verb::Rollback { to, severity: Severity::Warning }.apply(plan, Some(&running), &by("lena", now()));
    let (zero, five) = (back(To::Zero).unwrap(), back(To::Percent(percent("5"))).unwrap());
    let of = |value: u32, killed: Value| json!({"salt": "f-1", "percent": {"default": value}, "killed": killed});
    let (by_hand, by_rollout) = (json!({"author": "sam"}), json!({"rollout": "r"}));
    let on = json!({"salt": "on-1", "percent": {"default": 10}});
    for (progress, flag, told) in [
        (&running, of(10, Value::Null), None),
        (&running, of(10, by_rollout.clone()), None),
        (&running, of(10, by_hand.clone()), Some(("killed", 10))),
        (&running, of(50, Value::Null), Some(("changed", 50))),
        (&running, json!({"salt": "f-1", "enabled": false, "percent": {"default": 10}}), Some(("changed", 10))),
        (&running, json!({"salt": "f-1"}), Some(("changed", 0))),
        (&five, of(5, Value::Null), None),
        (&five, of(6, Value::Null), Some(("changed", 6))),
        (&five, of(5, by_hand.clone()), Some(("killed", 5))),
        (&zero, of(0, by_rollout.clone()), None),
        (&zero, of(0, by_hand.clone()), Some(("killed", 0))),
        (&zero, of(0, Value::Null), Some(("restored", 0))),
        (&zero, of(7, Value::Null), Some(("restored", 7))),
        (&completed, of(100, Value::Null), None),
        (&completed, of(50, Value::Null), Some(("changed", 50))),
        (&completed, json!({"salt": "f-1"}), Some(("changed", 0))),
    ] {
        let state = json!({"flags": {"f": flag, "on": on}, "rollouts": {"r": progress}});
        let state: State = serde_json::from_value(state).unwrap();
        let status = json!(plan.status("r", &definitions, &state, None, now()));
        let of_f = status["byHand"].as_array().unwrap().iter().find(|one| one["flag"] == "f");
        let wanted = told.map(|(what, percent)| json!({"flag": "f", "what": what, "percent": percent}));
        assert_eq!(of_f, wanted.as_ref(), "{flag} in {:?}", progress.phase);
    }
    // What is as defined again lets the same people in, once it is through.
    let state = |state: Value| serde_json::from_value::<State>(state).unwrap();
    let at_100 = json!({"f": of(100, Value::Null), "on": {"salt": "on-1"}});
    assert_eq!(plan.by_hand("r", &completed, &definitions, &state(json!({"flags": at_100}))), []);
    let kill = json!({"author": "sam"});
    for kills in [json!({"killedAll": kill}), json!({"killedTags": {"t": kill}})] {
        let told = plan.by_hand("r", &completed, &definitions, &state(kills.clone()));
        assert_eq!(told[0].what, Deed::Killed, "{kills}");
    }
}

#[test]
fn what_holds_only_here_gives_way_to_what_it_took_the_place_of() {
    let plan: Plan = serde_json::from_value(json!({
        "flags": ["f"],
        "metrics": {"m": {"query": "m"}},
        "triggers": [{"name": "t", "metric": "m", "value": "> 5"}],
        "gates": [{"name": "g", "metric": "m", "value": "< 5"}],
        "steps": [
            {"name": "a"},
            {
                "name": "b",
                "triggers": [{"name": "t", "metric": "m", "value": "> 2", "onlyHere": true}],
                "gates": [{"name": "h", "metric": "m", "value": "< 2", "onlyHere": true}],
            },
            {"name": "c", "triggers": [{"name": "t", "metric": "m", "value": "> 4"}]},
            {"name": "d"},
        ],
    }))
    .unwrap();
    let steps = plan.steps();
    let triggers: Vec<Vec<String>> = steps
        .iter()
        .map(|step| step.triggers.iter().filter_map(|trigger| Some(trigger.value.as_ref()?.to_string())).collect())
        .collect();
    assert_eq!(triggers, [["> 5"], ["> 2"], ["> 4"], ["> 4"]]);
    let gates: Vec<usize> = steps.iter().map(|step| step.gates.len()).collect();
    assert_eq!(gates, [1, 2, 1, 1]);
}

/// `calculateSteps` of the gateway's plan as it is written there.
fn calculate_steps(current: u32, target: u32) -> Vec<u32> {
    let (mut steps, mut next) = (Vec::new(), current);
    while next < target {
        next = match next {
            0 => 10,
            below if below < 50 => (below + 25).min(target),
            above => (above + 50).min(target),
        };
        steps.push(next);
    }
    steps
}

#[test]
fn the_steps_that_the_gateways_code_calculates_are_a_series() {
    assert_eq!(calculate_steps(0, 100), [10, 35, 60, 100]);
    for (current, target) in (0..=100).flat_map(|from| (from..=100).map(move |to| (from, to))) {
        let by =
            json!([{"below": 10, "add": if current == 0 { 10 } else { 25 }}, {"below": 50, "add": 25}, {"add": 50}]);
        let series: Series = serde_json::from_value(json!({"from": current, "to": target, "by": by})).unwrap();
        let percents: Vec<u32> = series.percents()[1..].iter().map(|percent| percent.thousandths() / 1000).collect();
        // Theirs goes from 0 to 10 even where 5 is asked for; a series never passes its end.
        let theirs: Vec<u32> = calculate_steps(current, target).into_iter().map(|step| step.min(target)).collect();
        assert_eq!(percents, theirs, "from {current} to {target}");
    }
}

// What follows walks through plans that nobody thought of.

/// A plan that lint has nothing against: steps that go up, with all that can be asked of one.
fn plan() -> impl Strategy<Value = Plan> {
    let step = (1u32..30, 0u8..4, any::<[bool; 6]>()).prop_map(
        |(points, soak, [gate, trigger, approval, attest, ceiling, late])| {
            (points, soak, gate, trigger, approval, attest, ceiling, late)
        },
    );
    (prop::collection::vec(step, 1..5), 0usize..5, 0u8..3, any::<bool>()).prop_map(|(steps, action, lasting, act)| {
        let mut at = 0;
        let steps: Vec<Value> = steps
            .into_iter()
            .enumerate()
            .map(|(place, (points, soak, gate, trigger, approval, attest, ceiling, late))| {
                at = (at + points).min(100);
                let action = ["hold", "stepDown", "rollbackToPrevious", "rollback", "rollback"][(action + place) % 5];
                let mut step = json!({"name": format!("step {place}"), "percent": at, "soak": format!("{soak}m")});
                if gate {
                    step["gates"] = json!([{"metric": "m", "value": "< 5", "for": format!("{lasting}m")}]);
                }
                if trigger {
                    let on_no_data = if act { "act" } else { "hold" };
                    step["triggers"] = json!([
                        {"name": format!("t{place}"), "metric": "m", "value": "> 8", "for": format!("{lasting}m"),
                         "do": action, "onNoData": on_no_data},
                        {"signal": "bug", "do": action},
                    ]);
                }
                let mut requires = Vec::new();
                if approval {
                    requires.push(json!({"approval": "lead"}));
                }
                if attest {
                    requires.push(json!({"attestation": "looked at", "validFor": "5m"}));
                }
                step["requires"] = Value::Array(requires);
                step["ceiling"] = json!(ceiling);
                if late && place > 0 {
                    step["starts"] = json!(ago(0).plus_millis(i64::try_from(place).unwrap() * 3 * MINUTE));
                }
                step
            })
            .collect();
        serde_json::from_value(json!({
            "flags": ["f"],
            "metrics": {"m": {"query": "m", "window": "1m"}, "share": {"query": "s", "window": "1m"}},
            "roles": {"lead": ["lena"]},
            "afterRollback": {"share": "share"},
            "steps": steps,
        }))
        .unwrap()
    })
}

/// What happens in a minute.
#[derive(Clone, Debug)]
enum Event {
    /// The metric says something, or nothing, and the controller looks at it.
    Tick(Option<f64>),
    /// The same while a flag is killed by hand.
    Obstacle(Option<f64>),
    Does(Verb),
}

fn event() -> impl Strategy<Value = Event> {
    let number = || prop_oneof![8 => Just(Some(1.0)), 1 => Just(Some(6.0)), 2 => Just(Some(9.0)), 1 => Just(None)];
    let to = prop_oneof![
        Just(To::Zero),
        Just(To::Previous),
        (0u32..100).prop_map(|at| To::Percent(percent(&at.to_string())))
    ];
    let verb = prop_oneof![
        Just(Verb::Advance { role: None, step: None }),
        Just(Verb::Attest { what: "looked at".to_owned() }),
        Just(Verb::Hold),
        Just(Verb::Resume),
        Just(Verb::Resume),
        Just(Verb::Retry),
        Just(Verb::CohortRolledBack),
        Just(Verb::Signal { name: "bug".to_owned() }),
        Just(Verb::Clear { name: "bug".to_owned() }),
        to.prop_map(|to| Verb::Rollback { to, severity: Severity::Warning }),
        (0u32..40, 0u32..20).prop_map(|(by, to)| Verb::Staircase {
            by: percent(&by.to_string()),
            every: "2m".parse().unwrap(),
            to: percent(&to.to_string()),
        }),
    ];
    prop_oneof![
        10 => number().prop_map(Event::Tick),
        1 => number().prop_map(Event::Obstacle),
        5 => verb.prop_map(Event::Does),
    ]
}

/// The percent that people are let in by.
fn let_in(plan: &Plan, progress: &Progress) -> Percent {
    match plan.kills(progress) {
        true => Percent::default(),
        false => plan.percent(progress).unwrap_or_default(),
    }
}

fn place(plan: &Plan, progress: &Progress) -> Option<usize> {
    plan.steps().iter().position(|step| Some(&step.name) == progress.step.as_ref())
}

/// Whether the metric was known and good, or known and bad, for so many minutes up to now.
fn was(numbers: &BTreeMap<Timestamp, f64>, now: Timestamp, minutes: u64, is: impl Fn(f64) -> bool) -> bool {
    let minutes = i64::try_from(minutes).unwrap();
    (0..=minutes).all(|back| numbers.get(&now.plus_millis(-back * MINUTE)).is_some_and(|number| is(*number)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_walk_breaks_a_promise(plan in plan(), events in prop::collection::vec(event(), 1..80)) {
        let mut now = now();
        let mut progress = Verb::Start.apply(&plan, None, &by("ana", now)).unwrap();
        let mut numbers: BTreeMap<Timestamp, f64> = BTreeMap::new();
        let steps = plan.steps();
        for event in events {
            now = now.plus_millis(MINUTE);
            let before = progress.clone();
            let (number, obstacles) = match &event {
                Event::Does(verb) => {
                    let Ok(after) = verb.apply(&plan, Some(&before), &by("lena", now)) else { continue };
                    progress = after;
                    let back = before.phase == Phase::RolledBack && progress.phase != Phase::RolledBack;
                    prop_assert!(!back || *verb == Verb::Retry, "{verb:?} begins again");
                    let rises = let_in(&plan, &progress) > let_in(&plan, &before);
                    prop_assert!(!rises || matches!(verb, Verb::Retry | Verb::Resume), "{verb:?} lets people in");
                    numbers.insert(now, 1.0);
                    continue;
                }
                Event::Tick(number) => (*number, Vec::new()),
                Event::Obstacle(number) => {
                    let message = "killed".to_owned();
                    (*number, vec![Blocker { kind: BlockerKind::Killed, message, about: None, until: None }])
                }
            };
            numbers.extend(number.map(|number| (now, number)));
            let share = BTreeMap::from([(now, let_in(&plan, &before).thousandths().into())]);
            let answer = |points: &BTreeMap<Timestamp, f64>| Answer { points: points.clone(), ..Answer::default() };
            let observations = Observations::from([
                (("m".to_owned(), Part::Value), answer(&numbers)),
                (("share".to_owned(), Part::Value), answer(&share)),
            ]);
            let standing = Standing { progress: before.clone(), obstacles };
            let decision = decide(&plan, &standing, &observations, now);
            prop_assert_eq!(&decision, &decide(&plan, &standing, &observations, now), "equal inputs, equal verdicts");
            progress = decision.progress.clone();

            if decision.verdict == Verdict::Wait {
                prop_assert_eq!(&progress, &before);
            }
            prop_assert_eq!(before.phase == Phase::RolledBack, progress.phase == Phase::RolledBack
                && decision.verdict != Verdict::RollBack, "over until somebody retries it");
            let rises = let_in(&plan, &progress) > let_in(&plan, &before);
            prop_assert!(!rises || decision.verdict == Verdict::Advance, "{:?} lets people in", decision.verdict);

            if matches!(decision.verdict, Verdict::Advance | Verdict::Complete) {
                let at = place(&plan, &before).unwrap();
                let step = &steps[at];
                prop_assert!(standing.obstacles.is_empty() && before.phase == Phase::Running);
                match decision.verdict {
                    Verdict::Advance => prop_assert_eq!(place(&plan, &progress), Some(at + 1), "no step is skipped"),
                    _ => prop_assert_eq!(at + 1, steps.len()),
                }
                prop_assert!(before.entered.plus_millis(i64::try_from(step.soak.millis()).unwrap()) <= now);
                if let Some(starts) = steps.get(at + 1).and_then(|next| next.starts) {
                    prop_assert!(starts <= now);
                }
                for gate in &step.gates {
                    prop_assert!(was(&numbers, now, gate.lasting.millis() / 60_000, |number| number < 5.0));
                }
                for trigger in step.triggers.iter().filter(|trigger| trigger.metric.is_some()) {
                    prop_assert!(was(&numbers, now, 0, |number| number <= 8.0), "{:?} is open or blind", trigger.name);
                }
                prop_assert!(step.triggers.iter().all(|trigger| trigger.signal.is_none()) || before.signals.is_empty());
                for requirement in &step.requires {
                    let given = before.attested.iter().any(|given| {
                        let here = requirement.approval.is_none() || given.step == step.name;
                        let young = requirement.valid_for.is_none_or(|valid| {
                            given.by.at.plus_millis(i64::try_from(valid.millis()).unwrap()) > now
                        });
                        given.what == requirement.called() && here && young
                    });
                    prop_assert!(given, "{} is missing", requirement.called());
                }
                prop_assert!(!step.ceiling || before.resumed);
            }

            // From anywhere there is a way to nobody.
            let to_zero = Verb::Rollback { to: To::Zero, severity: Severity::Critical };
            let zero = to_zero.apply(&plan, Some(&progress), &by("anyone", now)).unwrap();
            prop_assert!(plan.kills(&zero) && plan.settings(&zero)["f"].percent == Some(Percent::default()));
            // And what is stored is read back the same.
            let text = serde_json::to_string(&progress).unwrap();
            prop_assert_eq!(serde_json::from_str::<Progress>(&text).unwrap(), progress.clone());
        }
    }
}

/// Whatever a plan can be made of, sense or not.
fn any_plan() -> impl Strategy<Value = Plan> {
    let name = || prop::sample::select(vec!["", "a", "b", "m", "bug", "10%", "step-2"]);
    let period = || prop::sample::select(vec!["0", "1ms", "1m", "7d", "100y"]);
    let condition = || prop::sample::select(vec!["< 5", "> 5", "1..5", ">= -1e300", "<= 0%"]);
    let percent = || prop::sample::select(vec![0.0, 0.001, 10.0, 50.0, 100.0]);
    let guard = (name(), condition(), period(), 1u32..2000, 0usize..4, any::<[bool; 4]>()).prop_map(
        |(metric, condition, lasting, times, quantity, [signal, here, act, warning])| {
            let quantity = ["value", "ratio", "delta", "improvement"][quantity];
            let mut gate =
                json!({"metric": metric, quantity: condition, "for": lasting, "consecutive": times, "onlyHere": here});
            let mut trigger = gate.clone();
            trigger["onNoData"] = json!(if act { "act" } else { "hold" });
            trigger["severity"] = json!(if warning { "warning" } else { "critical" });
            if signal {
                trigger["signal"] = json!(metric);
            }
            match times % 4 {
                0 => trigger["sampleRatio"] = json!({"falsePositiveRate": "0.1%", "after": lasting}),
                1 => trigger["sequential"] = json!({"falsePositiveRate": "99.999%"}),
                _ => {}
            }
            if here {
                gate["sequential"] = json!({"falsePositiveRate": "50%"});
            }
            (gate, trigger)
        },
    );
    let step = (
        prop::option::of(name()),
        prop::option::of(percent()),
        period(),
        prop::collection::vec(guard, 0..3),
        prop::option::of((percent(), percent(), 0u32..20)),
        any::<[bool; 3]>(),
        name(),
    )
        .prop_map(|(name, percent, soak, guards, series, [ceiling, approval, starts], role)| {
            let (gates, triggers): (Vec<_>, Vec<_>) = guards.into_iter().unzip();
            let requires = if approval { json!([{"approval": role}]) } else { json!([{"attestation": role}, {}]) };
            let mut step =
                json!({"soak": soak, "gates": gates, "triggers": triggers, "ceiling": ceiling, "requires": requires});
            for (key, value) in [("name", json!(name)), ("percent", json!(percent))] {
                if !value.is_null() {
                    step[key] = value;
                }
            }
            if let Some((from, to, add)) = series {
                step["series"] = json!({"from": from, "to": to, "by": [{"below": 50, "add": add}]});
            }
            if starts {
                step["starts"] = json!("2025-01-15T12:00:00Z");
            }
            step
        });
    (prop::collection::vec(step, 0..4), period(), period(), prop::collection::vec(name(), 0..3), 0usize..5).prop_map(
        |(steps, interval, window, flags, baseline)| {
            let mut metric = json!({"query": "{{arm}}", "window": window, "samples": "n", "failures": "f", "minimumSamples": 1, "floor": 0});
            let baselines = [json!("old"), json!({"value": 0}), json!({"query": "b"}), json!({"ago": "100y"})];
            if let Some(baseline) = baselines.get(baseline) {
                metric["baseline"] = baseline.clone();
            }
            serde_json::from_value(json!({
                "flags": flags, "interval": interval, "metrics": {"m": metric}, "roles": {"a": ["lena"]}, "steps": steps,
                "afterRollback": {"share": "m", "within": window, "gates": [{"metric": "m"}]},
                "windows": [{"from": "9", "until": "x", "zone": "Nowhere"}],
            }))
            .unwrap()
        },
    )
}

fn any_progress() -> impl Strategy<Value = Progress> {
    let name = || prop::option::of(prop::sample::select(vec!["", "a", "b", "10%", "0.001%", "step-2", "gone"]));
    let instant = || prop_oneof![Just(i64::MIN), Just(i64::MAX), Just(0), Just(now().as_millis()), any::<i64>()];
    let phase = prop::sample::select(vec![
        Phase::Running,
        Phase::Held,
        Phase::RollingBack,
        Phase::RolledBack,
        Phase::Completed,
    ]);
    (phase, name(), prop::option::of(0u32..=100), [instant(), instant(), instant()], any::<[bool; 4]>(), name())
        .prop_map(|(phase, step, at, [started, entered, since], [resumed, reviewed, stairs, signal], signalled)| {
            let plan: Plan = serde_json::from_value(json!({"flags": [], "steps": [{}]})).unwrap();
            let base = Verb::Start.apply(&plan, None, &by("ana", Timestamp::from_millis(started))).unwrap();
            let at = at.map(|at| percent(&at.to_string()));
            let instant = Timestamp::from_millis;
            let stairs = stairs.then(|| Staircase {
                by: at.unwrap_or_default(),
                every: "100y".parse().unwrap(),
                next: instant(since),
                to: Percent::default(),
            });
            let mut progress = Progress {
                phase,
                step: step.map(str::to_owned),
                percent: at,
                entered: instant(entered),
                since: instant(since),
                resumed,
                reviewed: reviewed.then(|| instant(since)),
                staircase: stairs,
                ..base
            };
            if signal {
                progress.signals.insert(signalled.unwrap_or("bug").to_owned(), by("ana", instant(since)));
                let rollback = Verb::Rollback { to: To::Zero, severity: Severity::Critical };
                progress.incident =
                    rollback.apply(&plan, Some(&progress), &by("ana", instant(since))).unwrap().incident;
            }
            progress
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn nothing_panics(
        plan in any_plan(), progress in any_progress(), number in prop_oneof![
            Just(f64::NAN), Just(f64::INFINITY), Just(-0.0), Just(f64::MIN), Just(f64::MAX), any::<f64>()
        ],
        later in prop_oneof![Just(i64::MIN), Just(i64::MAX), Just(0), any::<i64>()],
    ) {
        let now = Timestamp::from_millis(later);
        let questions = plan.questions(&progress, "production", now);
        let mut observations = Observations::new();
        for question in &questions {
            prop_assert!(question.from <= question.to || question.ago.millis() > 0);
            let points = BTreeMap::from([(question.to, number), (question.from, number), (now, number)]);
            observations.insert((question.metric.clone(), question.part), Answer { points, ..Answer::default() });
        }
        let standing = Standing { progress: progress.clone(), obstacles: Vec::new() };
        for observations in [&observations, &Observations::new()] {
            let decision = decide(&plan, &standing, observations, now);
            plan.settings(&decision.progress);
            let blind = observations.is_empty() && !plan.steps.is_empty();
            let asked = plan.steps().iter().any(|step| {
                // Where there are no two paths, a sample ratio asks for nothing.
                let asking = step.triggers.iter().any(|trigger| trigger.sample_ratio.is_none());
                Some(&step.name) == progress.step.as_ref() && (asking || !step.gates.is_empty())
            });
            let on = matches!(decision.verdict, Verdict::Advance | Verdict::Complete);
            let signals = plan.steps().iter().any(|step| {
                Some(&step.name) == progress.step.as_ref()
                    && step.gates.is_empty() && step.triggers.iter().all(|trigger| trigger.metric.as_deref() == Some(""))
            });
            prop_assert!(!(blind && asked && on) || signals, "it goes on without data");
            let mut state = State::default();
            state.rollouts.insert("r".to_owned(), progress.clone());
            let status = plan.status("r", &Definitions::default(), &state, Some(observations), now);
            serde_json::to_string(&status).unwrap();
        }
        let verbs = [
            Verb::Start, Verb::Advance { role: None, step: None }, Verb::Attest { what: "a".to_owned() }, Verb::Hold, Verb::Resume,
            Verb::Retry, Verb::CohortRolledBack, Verb::Signal { name: "bug".to_owned() },
            Verb::Rollback { to: To::Previous, severity: Severity::Critical },
            Verb::Staircase { by: percent("7"), every: "100y".parse().unwrap(), to: percent("0.5") },
        ];
        for verb in verbs {
            for progress in [None, Some(&progress)] {
                if let Ok(after) = verb.apply(&plan, progress, &by("lena", now)) {
                    plan.settings(&after);
                }
            }
        }
        let mut definitions = Definitions::default();
        definitions.rollouts.insert("r".to_owned(), plan);
        let problems = lint(&definitions);
        prop_assert!(problems.iter().all(|problem| !problem.to_string().is_empty()));
    }
}

/// The errors in a plan of two flags, `f` with a ramp and a rule `r` with one, and `plain` without.
fn errors(plan: &str) -> String {
    let text = format!(
        "flags:
  f:
    salt: f-1
    rules: [{{id: r, when: {{attribute: a, equals: b}}, serve: {{ramp: {{percent: 0, serve: on}}}}}}]
    default: {{ramp: {{percent: 0, serve: on}}}}
  plain: {{salt: p-1, default: on}}
  open: {{salt: open-1, default: {{ramp: {{percent: 2, serve: on}}}}}}
  scheduled: {{salt: s-1, default: {{ramp: {{schedule: {{before: 0, steps: [{{at: 2025-01-10T08:00:00Z, percent: 10}}]}}, serve: on}}}}}}
rollouts:
  {plan}
"
    );
    let definitions = match Definitions::read(&[Source::new("f.yaml", text.as_str())]) {
        Ok(definitions) => definitions,
        Err(problems) => panic!("{text}\n{problems:#?}"),
    };
    let problems = lint(&definitions);
    let errors = problems.iter().filter(|problem| problem.is_error());
    errors.map(|problem: &Problem| problem.message.clone()).collect::<Vec<_>>().join("; ")
}

#[test]
fn every_complaint_of_lint() {
    let step = |step: &str| {
        format!(
            "r: {{flags: [f], metrics: {{m: {{query: q}}}}, roles: {{lead: [a]}}, steps: [{{percent: 1}}, {step}]}}"
        )
    };
    let top = |rest: &str| format!("r: {{flags: [f], steps: [{{percent: 1}}], {rest}}}");
    // With one metric that counts, and one that does not.
    let counting = |step: &str| {
        let query = "'{{arm}} {{window}}'";
        let counts = format!("query: {query}, failures: {query}, samples: {query}, baseline: old");
        let other = "query: q, samples: s, baseline: {value: 1}";
        format!("r: {{flags: [f], metrics: {{c: {{{counts}}}, other: {{{other}}}}}, steps: [{{percent: 1}}, {step}]}}")
    };
    let cases: Vec<(String, &str)> = vec![
        ("r: {flags: [f], steps: [{percent: 1}]}".to_owned(), ""),
        ("'': {flags: [f], steps: [{percent: 1}]}".to_owned(), "the name is empty or has control characters"),
        (
            "{a: {flags: [f], steps: [{}]}, b: {flags: [plain], steps: [{set: {f: {enabled: true}}}]}}".to_owned(),
            "`f` is moved by the rollout `a` too, and they would undo each other",
        ),
        ("r: {flags: [], steps: [{}]}".to_owned(), "the rollout has no flags"),
        ("r: {flags: [f, f], steps: [{}]}".to_owned(), "`f` is named twice"),
        ("r: {flags: [g], steps: [{}]}".to_owned(), "unknown flag `g`"),
        (top("interval: 0s"), "the interval is no time at all"),
        (top("windows: [{from: '16:00', until: '09:00'}]"), "the window ends at 09:00 before it begins at 16:00"),
        (
            top("windows: [{from: '09:00', until: '16:00', zone: Europe/Atlantis}]"),
            "there is no time zone `Europe/Atlantis`",
        ),
        (
            top("freezes: [{from: 2025-01-10T08:00:00Z, until: 2025-01-10T08:00:00Z}]"),
            "the freeze ends before it begins",
        ),
        (top("roles: {lead: []}"), "nobody has the role `lead`"),
        (top("afterRollback: {share: s}"), "unknown metric `s`"),
        (
            top(
                "metrics: {c: {query: q, failures: 'f[{{window}}]', samples: 's[{{window}}]'}}, afterRollback: {gates: \
                 [{metric: c, value: < 1%, sequential: {falsePositiveRate: 1%}}]}",
            ),
            "so a sequential gate is never certain",
        ),
        (top("afterRollback: {gates: [{metric: m, value: < 1}]}"), "unknown metric `m`"),
        ("r: {flags: [f], steps: []}".to_owned(), "the rollout has no steps"),
        ("r: {flags: [plain], steps: [{percent: 1}]}".to_owned(), "the default of `plain` is no ramp"),
        (
            "r: {flags: [open], steps: [{percent: 1}]}".to_owned(),
            "lets 2% in before the rollout starts, and its first step 1%",
        ),
        (
            "r: {flags: [scheduled], steps: [{percent: 1}]}".to_owned(),
            "the default of `scheduled` follows a schedule, and a rollout never goes on by the clock alone",
        ),
        (
            step("{percent: 5, series: {from: 5, to: 10, by: [{add: 5}]}}"),
            "a step has a percent or a series, and not both",
        ),
        (step("{series: {from: 10, to: 5, by: [{add: 5}]}}"), "the series goes down, from 10% to 5%"),
        (step("{series: {from: 5, to: 10, by: []}}"), "the series does not say how fast it goes"),
        (step("{series: {from: 5, to: 10, by: [{add: 0}]}}"), "the series does not say how fast it goes"),
        (step("{series: {from: 5, to: 100, by: [{add: 0.01}]}}"), "the series has 9501 steps, and 1000 are the most"),
        (step("{percent: 0.5}"), "the step goes down, from 1% to 0.5%"),
        (step("{shadow: true}"), "in a shadow step nobody is served by the new path, and here are 1%"),
        ("r: {flags: [f], steps: [{audience: {r: 5}, shadow: true}]}".to_owned(), "here are 5%"),
        (
            "r: {flags: [f], steps: [{starts: 2025-01-10T08:00:00Z}]}".to_owned(),
            "the first step begins when somebody starts",
        ),
        (
            "r: {flags: [f], steps: [{}, {starts: 2025-01-10T08:00:00Z}, {starts: 2025-01-10T08:00:00Z}]}".to_owned(),
            "it starts no later than a step before",
        ),
        (step("{percent: 1}"), "two steps are called `1%`"),
        (step("{name: ''}"), "the name is empty"),
        (step("{audience: {s: 5}}"), "unknown rule with an id of `f` `s`"),
        (step("{set: {g: {enabled: true}}}"), "unknown flag `g`"),
        (step("{set: {plain: {percent: 5}}}"), "the default of `plain` is no ramp"),
        (step("{set: {f: {rules: {s: 5}}}}"), "unknown rule with an id of `f` `s`"),
        (top("metrics: {m: {query: ' '}}"), "the query is empty"),
        (top("metrics: {m: {query: q, samples: ''}}"), "the query is empty"),
        (top("metrics: {m: {query: q, baseline: {query: ''}}}"), "the query is empty"),
        (top("metrics: {m: {query: 'a{{flga}}'}}"), "unknown word in braces `flga`"),
        (top("metrics: {m: {query: q, window: 0s}}"), "the window is no time at all"),
        (top("metrics: {m: {query: q, minimumSamples: 5}}"), "nothing says how many samples there are"),
        (top("metrics: {m: {query: q, floor: -1}}"), "`floor` and `minimumSamples` are numbers from 0 on"),
        (step("{gates: [{metric: ''}]}"), "it does not say which metric it is about"),
        (step("{gates: [{metric: m}]}"), "it does not say what must be so"),
        (step("{gates: [{metric: m, value: < 1, delta: < 1}]}"), "it says more than one thing"),
        (step("{gates: [{metric: n, value: < 1}]}"), "unknown metric `n`"),
        (step("{gates: [{metric: m, ratio: < 1}]}"), "`m` has no baseline to take a ratio to"),
        (step("{gates: [{metric: m, value: < 1, for: 8d}]}"), "with an interval of 1m it can last 6d22h39m at most"),
        (step("{triggers: [{metric: m, signal: s, value: < 1}]}"), "a trigger has a metric or a signal, and not both"),
        (step("{triggers: [{}]}"), "the trigger does not say what it waits for"),
        (step("{triggers: [{signal: ' '}]}"), "the signal has no name"),
        (step("{triggers: [{signal: s, for: 5m}]}"), "a signal is raised or not; it has no value and lasts no time"),
        (step("{triggers: [{signal: s, sampleRatio: {falsePositiveRate: 1%}}]}"), "a signal is raised or not"),
        (counting("{triggers: [{metric: c, value: '> 1%', sequential: {falsePositiveRate: 1%}}]}"), ""),
        (counting("{gates: [{metric: c, ratio: <= 1.1, sequential: {falsePositiveRate: 0.1%}}]}"), ""),
        (counting("{triggers: [{metric: c, sampleRatio: {falsePositiveRate: 0.1%, after: 0s}}]}"), ""),
        (
            counting("{triggers: [{metric: c, value: '> 1%', for: 5m, sequential: {falsePositiveRate: 1%}}]}"),
            "`for`, `consecutive` and `onNoData` mean nothing",
        ),
        (
            counting("{gates: [{metric: c, value: < 1%, consecutive: 2, sequential: {falsePositiveRate: 1%}}]}"),
            "`for`, `consecutive` and `onNoData` mean nothing",
        ),
        (
            counting("{triggers: [{metric: c, onNoData: act, sampleRatio: {falsePositiveRate: 1%}}]}"),
            "`for`, `consecutive` and `onNoData` mean nothing",
        ),
        (
            counting("{gates: [{metric: c, delta: < 1%, sequential: {falsePositiveRate: 1%}}]}"),
            "a sequential guard is of a `value` or of a `ratio`",
        ),
        (
            counting("{gates: [{metric: c, value: 1%..2%, sequential: {falsePositiveRate: 1%}}]}"),
            "a sequential guard has one limit",
        ),
        (
            counting("{gates: [{metric: c, value: < 1, sequential: {falsePositiveRate: 1%}}]}"),
            "a rate between 0% and 100%, and not of 1",
        ),
        (
            counting("{gates: [{metric: c, ratio: '> 0', sequential: {falsePositiveRate: 1%}}]}"),
            "no ratio is on either side of 0",
        ),
        (
            counting("{gates: [{metric: other, ratio: < 1, sequential: {falsePositiveRate: 1%}}]}"),
            "a sequential ratio is one to the old path, and `other` has another baseline",
        ),
        (
            counting("{gates: [{metric: other, value: < 1%, sequential: {falsePositiveRate: 1%}}]}"),
            "`other` does not say how many failures there are",
        ),
        (
            counting("{gates: [{metric: other, value: < 1%, sequential: {falsePositiveRate: 1%}}]}"),
            "`samples` of `other` has no {{window}}, which counts for a sequential guard take",
        ),
        (
            counting("{triggers: [{metric: other, sampleRatio: {falsePositiveRate: 1%}}]}"),
            "`query` of `other` has no {{arm}}",
        ),
        (counting("{triggers: [{metric: none, sampleRatio: {falsePositiveRate: 1%}}]}"), "unknown metric `none`"),
        (
            counting("{triggers: [{metric: c, value: '> 1%', sampleRatio: {falsePositiveRate: 1%}}]}"),
            "a sample ratio is compared with the step's percent, and with nothing besides",
        ),
        (
            counting("{percent: 100, triggers: [{metric: c, sampleRatio: {falsePositiveRate: 1%}}]}"),
            "it has no step in which some people are on the new path and some on the old one",
        ),
        (top("metrics: {m: {query: q, failures: ''}}"), "the query is empty"),
        (step("{requires: [{}]}"), "it requires an `approval` or an `attestation`, one of the two"),
        (step("{requires: [{approval: lead, role: lead}]}"), "an approval names its role already"),
        (step("{requires: [{approval: laed}]}"), "nobody has the role `laed`"),
        (step("{requires: [{attestation: seen, role: nobody}]}"), "nobody has the role `nobody`"),
        (top("accepted: {leap: ' '}"), "it does not say why that is accepted"),
    ];
    for (plan, complaint) in &cases {
        let errors = errors(plan);
        assert!(
            errors.contains(complaint) && errors.is_empty() == complaint.is_empty(),
            "{plan}\n{errors}\n{complaint}"
        );
    }
    // Whoever writes a complaint writes a case.
    let source = include_str!("../src/rollout/lint.rs");
    let raised = source.matches("self.error(").count() + source.matches("self.unknown(").count();
    assert!(cases.len() >= raised, "lint complains of {raised} things, and here are {} cases", cases.len());
}

#[test]
fn transitions_have_the_names_that_json_has() {
    for what in [Transition::Started, Transition::SteppedDown, Transition::CohortRolledBack, Transition::RollingBack] {
        assert_eq!(json!(what), json!(what.name()));
    }
}
