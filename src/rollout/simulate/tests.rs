use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::snapshot::definitions::Source;

const START: &str = "2025-03-03T08:00:00Z";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn period(text: &str) -> Period {
    text.parse().unwrap()
}

fn plan(plan: Value) -> Plan {
    serde_json::from_value(plan).unwrap()
}

fn script(plan: &Plan, text: &str) -> Script {
    Script::read(&Source::new("script.yaml", text), plan).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

fn scenario(plan: &Plan, text: &str) -> Scenario {
    Scenario { start: at(START), script: script(plan, text), ..Scenario::default() }
}

/// What happened when, in minutes since the start.
fn story(simulation: &Simulation) -> Vec<(i64, &'static str, String)> {
    let minutes = |at: Timestamp| (at.as_millis() - simulation.start.as_millis()) / 60_000;
    let moments = simulation.moments.iter();
    moments.map(|moment| (minutes(moment.at), moment.what.name(), moment.step.clone().unwrap_or_default())).collect()
}

/// Two steps, an error rate, and people.
fn gateway() -> Plan {
    plan(json!({
        "flags": ["f"],
        "traffic": {"usersPerDay": 10_000},
        "roles": {"product": ["ana"]},
        "metrics": {
            "errors": {"query": "e", "window": "5m"},
            "share": {"query": "s", "window": "1m"},
        },
        "gates": [{"metric": "errors", "value": "< 0.1%"}],
        "triggers": [
            {"name": "errors", "metric": "errors", "value": "> 1%", "for": "5m"},
            {"name": "odd", "metric": "errors", "value": "0.5%..1%", "severity": "warning"},
            {"signal": "bug"},
        ],
        "afterRollback": {"share": "share", "within": "10m"},
        "steps": [
            {"percent": 10, "soak": "2d", "requires": [{"approval": "product"}, {"attestation": "looked at"}]},
            {"percent": 50, "soak": "1d", "ceiling": true},
            {"percent": 100, "soak": "2d"},
        ],
    }))
}

const DAY: i64 = 24 * 60;

#[test]
fn it_goes_through_where_all_is_well_and_people_answer() {
    let plan = gateway();
    let well = simulate(&plan, scenario(&plan, ""));
    assert_eq!(well.outcome, Outcome::Completed);
    let ten = || "10%".to_owned();
    let expected = [
        (0, "started", ten()),
        (2 * DAY, "approved", ten()),
        (2 * DAY, "attested", ten()),
        (2 * DAY, "advanced", "50%".to_owned()),
        (3 * DAY, "resumed", "50%".to_owned()),
        // What only holds counts what is measured a window after the last review.
        (3 * DAY + 5, "advanced", "100%".to_owned()),
        (5 * DAY + 5, "completed", "100%".to_owned()),
    ];
    assert_eq!(story(&well), expected);
    assert_eq!(well.moments[1].author, "ana", "whose role it is");
    let waits = well.waits.iter().map(|wait| (wait.kind, wait.until.as_millis() - wait.from.as_millis()));
    let minutes = |minutes| minutes * 60_000;
    let expected = [
        (BlockerKind::Soak, minutes(2 * DAY)),
        (BlockerKind::Soak, minutes(DAY)),
        (BlockerKind::Trigger, minutes(5)),
        (BlockerKind::Soak, minutes(2 * DAY)),
    ];
    assert_eq!(waits.collect::<Vec<_>>(), expected);
    assert_eq!(well.assumed.len(), 1, "{:#?}", well.assumed);
    assert!(well.rollbacks.is_empty() && well.looks < 40, "{}", well.looks);
    let spent = |time: Spent| (time.active, time.waiting, time.held);
    assert_eq!(spent(well.time), (period("5d"), period("5m"), Period::ZERO));
    let exposed = &well.exposed;
    assert_eq!((exposed.people, exposed.percent.to_string()), (Some(10_000.0), "100".to_owned()));
    assert!((exposed.percent_hours - (480.0 + 50.0 * (24.0 + 5.0 / 60.0) + 4800.0)).abs() < 1e-6, "{exposed:?}");
}

#[test]
fn people_take_their_time_or_are_not_there() {
    let plan = gateway();
    let slow =
        simulate(&plan, Scenario { people: Some(People::After(period("4h"))), ..scenario(&plan, "people: absent") });
    assert_eq!(slow.end, at(START).plus_millis((5 * DAY + 8 * 60 + 5) * 60_000));
    let waited = slow.waits.iter().filter(|wait| !matches!(wait.kind, BlockerKind::Soak | BlockerKind::Trigger));
    let waited: Vec<_> = waited.map(|wait| (wait.kind, wait.about.as_deref())).collect();
    let expected = [
        (BlockerKind::Approval, Some("approval of product")),
        (BlockerKind::Attestation, Some("looked at")),
        (BlockerKind::Ceiling, None),
    ];
    assert_eq!(waited, expected);

    let absent = simulate(&plan, scenario(&plan, "people: absent"));
    assert_eq!((absent.outcome, absent.end), (Outcome::Stuck, at(START).plus_millis(2 * DAY * 60_000)));
    assert_eq!(absent.blockers.len(), 2);
    let until = Some(at(START).plus_millis(9 * DAY * 60_000));
    let absent = simulate(&plan, Scenario { until, ..scenario(&plan, "people: absent") });
    assert_eq!((absent.outcome, Some(absent.end), absent.looks < 20), (Outcome::Stuck, until, true));

    // What is scripted is said then, and not before; the rest as soon as it is asked for.
    let later = simulate(&plan, scenario(&plan, "events: [{at: 60h, approve: product, by: ana, reason: Go}]"));
    let story = story(&later);
    assert!(story.contains(&(2 * DAY, "attested", "10%".to_owned())), "{story:?}");
    assert!(story.contains(&(60 * 60, "advanced", "50%".to_owned())), "{story:?}");
}

#[test]
fn a_fault_turns_it_back_and_exposure_is_counted() {
    let plan = gateway();
    let events = "events: [{step: 50%, after: 6h, metric: errors, value: 3%, for: 1h}]";
    let ill = simulate(&plan, scenario(&plan, events));
    let back = 2 * DAY + 6 * 60 + 5;
    assert_eq!(ill.outcome, Outcome::RolledBack);
    let story = story(&ill);
    assert_eq!(story[4..], [(back, "rolledBack", String::new()), (back, "verified", String::new())]);
    let [turned] = ill.rollbacks.as_slice() else { panic!("{:#?}", ill.rollbacks) };
    assert_eq!((turned.trigger.as_deref(), turned.step.as_deref()), (Some("errors"), Some("50%")));
    assert_eq!(turned.fault_since, Some(at(START).plus_millis((back - 5) * 60_000)));
    // All of the tenth, and of the 40 % beside it a quarter of a day and five minutes.
    let share = (6.0 * 60.0 + 5.0) / (24.0 * 60.0);
    let close = |found: Option<f64>, wanted: f64| assert!((found.unwrap() - wanted).abs() < 1e-6, "{found:?} {wanted}");
    close(turned.exposed.people, 1000.0 + 4000.0 * share);
    close(turned.exposed_to_fault.as_ref().unwrap().people, 5000.0 * 5.0 / (24.0 * 60.0));
    let curve = &ill.curves[0];
    let fired = curve.points.iter().find(|point| point.number == Some(0.03)).unwrap();
    assert_eq!(Some(fired.at), turned.fault_since);
    assert!(curve.thresholds.iter().any(|threshold| threshold.guard == "errors" && threshold.until == turned.at));
}

#[test]
fn what_people_do_is_done_or_refused() {
    let plan = gateway();
    let events = "events:
      - {at: 1h, hold: Odd}
      - {at: 2h, hold: Odd}
      - {at: 3h, resume: Fine}
      - {at: 4h, signal: bug, by: bo}
      - {at: 5h, retry: Mended}
      - {at: 6h, clear: bug}
      - {at: 7h, freeze: 1d, reason: Holidays}
      - {at: 8h, retry: Mended}
      - {at: 9h, unfreeze: Over}
      - {at: 10h, retry: Mended}
      - {at: 11h, rollback: previous}";
    let told = simulate(&plan, scenario(&plan, events));
    let story = story(&told);
    let happened: Vec<_> = story.iter().map(|(minute, what, _)| (*minute / 60, *what)).collect();
    let expected = [
        (0, "started"),
        (1, "held"),
        (2, "refused"),
        (3, "resumed"),
        (4, "signalled"),
        (4, "rolledBack"),
        (4, "verified"),
        (5, "refused"),
        (6, "cleared"),
        (7, "frozen"),
        (8, "refused"),
        (9, "unfrozen"),
        (10, "retried"),
        (11, "rolledBack"),
        (11, "verified"),
    ];
    assert_eq!(happened, expected);
    let refused = told.moments.iter().filter_map(|moment| match &moment.what {
        Happened::Refused(why) => Some(why.as_str()),
        _ => None,
    });
    let refused: Vec<_> = refused.collect();
    assert!(refused[0].contains("held already") && refused[1].contains("bug") && refused[2].contains("Holidays"));
    assert_eq!(told.rollbacks.len(), 2);
    assert_eq!(told.rollbacks[0].fault_since, Some(told.rollbacks[0].at), "when the signal was raised");
    assert_eq!(told.rollbacks[1].fault_since, None, "somebody did it by hand");
}

#[test]
fn it_is_stuck_where_nothing_will_change() {
    let plan = gateway();
    let held = simulate(&plan, scenario(&plan, "events: [{at: 12h, metric: errors, value: 0.7%, for: 1h}]"));
    assert_eq!((held.outcome, story(&held).last().unwrap().1), (Outcome::Stuck, "held"));
    assert_eq!(held.blockers[0].kind, BlockerKind::Held);
    // A gate that never holds again, though windows open every day.
    let mut windows = gateway();
    windows.windows = serde_json::from_value(json!([{"from": "09:00", "until": "16:00"}])).unwrap();
    let blocked = simulate(&windows, scenario(&windows, "events: [{at: 36h, metric: errors, value: 0.3%}]"));
    assert_eq!(blocked.outcome, Outcome::Stuck);
    assert!(blocked.looks < 30 && blocked.blockers.iter().any(|blocker| blocker.kind == BlockerKind::Gate));
    let well = simulate(&windows, scenario(&windows, ""));
    assert_eq!((well.outcome, well.moments[0].at), (Outcome::Completed, at("2025-03-03T09:00:00Z")));
    assert_eq!(well.waits[0].kind, BlockerKind::Window);
}

#[test]
fn what_was_measured_ends_it() {
    let plan = gateway();
    let start = at(START);
    let minutes = |to: i64| (0..to).map(move |minute| (start.plus_millis(minute * 60_000), 0.0002));
    let mut history = History::default();
    history.record("errors", Part::Value, period("1m"), minutes(3 * 24 * 60));
    let simulation = simulate(&plan, Scenario { history, ..scenario(&plan, "") });
    assert_eq!((simulation.outcome, simulation.end), (Outcome::Stuck, start.plus_millis((3 * DAY - 1) * 60_000)));
    assert_eq!(story(&simulation).last().unwrap().1, "advanced");
    let kinds: Vec<_> = simulation.blockers.iter().map(|blocker| blocker.kind).collect();
    assert_eq!(kinds, [BlockerKind::Soak, BlockerKind::Ceiling], "there is data to the end");
    assert!(simulation.looks < 60, "{}", simulation.looks);
}

/// A plan of years is looked at as often as anything happens in it, not once a minute.
#[test]
fn years_are_leapt_over() {
    let plan = plan(json!({
        "flags": ["f"],
        "metrics": {"errors": {"query": "e"}},
        "gates": [{"metric": "errors", "value": "< 1", "for": "48h"}],
        "triggers": [{"metric": "errors", "value": "> 5", "for": "5m"}],
        "steps": [{"percent": 1, "soak": "1y"}, {"percent": 10, "soak": "2y"}, {"percent": 100, "soak": "3y"}],
    }));
    let simulation = simulate(&plan, scenario(&plan, "events: [{at: 500d, metric: errors, value: 4, for: 2m}]"));
    assert_eq!((simulation.outcome, simulation.looks < 60), (Outcome::Completed, true), "{}", simulation.looks);
    assert_eq!(simulation.end, at(START).plus_millis(6 * 365 * DAY * 60_000));
}

/// Sequential guards become certain of what is so, after a while.
#[test]
fn what_is_counted_becomes_certain() {
    let plan = plan(json!({
        "flags": ["f"],
        "traffic": {"usersPerDay": 20_000, "eventsPerMinute": 100},
        "metrics": {
            "errors": {"query": "e", "samples": "s{{window}}", "failures": "f{{window}}"},
            "people": {"query": "p{{window}}"},
        },
        "gates": [{"metric": "errors", "value": "< 2%", "sequential": {"falsePositiveRate": "1%"}}],
        "triggers": [
            {"name": "errors", "metric": "errors", "value": "> 2%", "sequential": {"falsePositiveRate": "0.1%"}},
            {"name": "people", "metric": "people", "sampleRatio": {"falsePositiveRate": "0.1%"}, "do": "rollback"},
        ],
        "steps": [{"percent": 10, "soak": "10m"}, {"percent": 50, "soak": "1d"}],
    }));
    let well = simulate(&plan, scenario(&plan, ""));
    assert_eq!(well.outcome, Outcome::Completed, "{:#?}", well.blockers);
    let advanced = story(&well)[1].0;
    assert!((20..600).contains(&advanced), "1% of ten events a minute takes a while: {advanced}");
    assert!(well.looks < 80, "{}", well.looks);

    let ill = simulate(&plan, scenario(&plan, "events: [{step: 50%, after: 2h, metric: errors, value: 6%}]"));
    let turned = &ill.rollbacks[0];
    assert_eq!((ill.outcome, turned.trigger.as_deref()), (Outcome::RolledBack, Some("errors")));
    let took = turned.at.as_millis() - turned.fault_since.unwrap().as_millis();
    assert!((5..300).contains(&(took / 60_000)), "{took}");

    let missing = simulate(&plan, scenario(&plan, "events: [{step: 50%, metric: people, value: 45%}]"));
    assert_eq!(missing.rollbacks[0].trigger.as_deref(), Some("people"));
}

fn periods() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["0", "1m", "90s", "3m", "10m", "37m", "1h"])
}

fn conditions() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["< 5", "> 5", ">= 8", "<= 2", "3..7", "> 100"])
}

prop_compose! {
    fn guards()(
        metric in 0..2_usize,
        condition in conditions(),
        lasting in periods(),
        consecutive in prop::option::of(1..4_u32),
        quantity in prop::sample::select(vec!["value", "ratio", "delta"]),
    ) -> Value {
        let quantity = if metric == 0 { "value" } else { quantity };
        let mut guard = json!({"metric": (["m", "n"][metric]), quantity: condition, "for": lasting});
        if let Some(consecutive) = consecutive {
            guard["consecutive"] = consecutive.into();
        }
        guard
    }
}

prop_compose! {
    /// A gate, or a trigger, that is a sequential test.
    fn sequential()(
        ratio in any::<bool>(),
        condition in prop::sample::select(vec!["> 20%", "< 30%", "> 45%", "< 5%"]),
        wrong in prop::sample::select(vec!["5%", "0.1%"]),
    ) -> Value {
        let quantity = if ratio { "ratio" } else { "value" };
        json!({"metric": "c", quantity: condition, "sequential": {"falsePositiveRate": wrong}})
    }
}

prop_compose! {
    fn triggers()(
        guard in prop_oneof![4 => guards(), 1 => sequential()],
        action in prop::sample::select(vec!["hold", "stepDown", "rollbackToPrevious", "rollback"]),
        acts in any::<bool>(),
    ) -> Value {
        let mut trigger = guard;
        trigger["do"] = action.into();
        trigger["onNoData"] = if acts { "act" } else { "hold" }.into();
        trigger
    }
}

prop_compose! {
    fn steps()(
        soak in periods(),
        gates in prop::collection::vec(prop_oneof![4 => guards(), 1 => sequential()], 0..2),
        triggers in prop::collection::vec(triggers(), 0..2),
        requires in 0..4_u32,
        ceiling in any::<bool>(),
        starts in prop::option::of(0..100_i64),
    ) -> Value {
        let mut step = json!({"soak": soak, "gates": gates, "triggers": triggers, "ceiling": ceiling});
        step["requires"] = match requires {
            0 => json!([{"approval": "product"}]),
            1 => json!([{"attestation": "looked at", "validFor": "20m"}]),
            _ => json!([]),
        };
        if let Some(starts) = starts {
            step["starts"] = json!(at(START).plus_millis(starts * 61_000));
        }
        step
    }
}

prop_compose! {
    fn plans()(
        steps in prop::collection::vec(steps(), 1..4),
        interval in prop::sample::select(vec!["1m", "90s", "5m"]),
        window in prop::sample::select(vec!["1m", "5m", "7m"]),
        minimum in prop::option::of(1..10_u32),
        within in prop::option::of(periods()),
        windows in prop::option::of(0..3_u32),
        shares in prop::option::of(prop::sample::select(vec!["hold", "rollback"])),
        freeze in prop::option::of((0..230_i64, 1..60_i64)),
    ) -> Value {
        let mut plan = json!({
            "flags": ["f"], "interval": interval, "roles": {"product": ["ana"]},
            "traffic": {"usersPerDay": 1000},
            "metrics": {
                "m": {"query": "m", "window": window, "samples": "s", "minimumSamples": minimum.unwrap_or_default()},
                "n": {"query": "n", "window": window, "baseline": "old"},
                "share": {"query": "share", "window": window},
                "c": {"query": "c", "samples": "s{{window}}", "failures": "f{{window}}", "baseline": "old"},
                "people": {"query": "p{{window}}"},
            },
            "triggers": [{"signal": "bug"}],
            "steps": [],
        });
        let many = steps.len();
        for (place, mut step) in steps.into_iter().enumerate() {
            step["percent"] = (100 * (place + 1) / many).into();
            step["name"] = format!("step {place}").into();
            plan["steps"].as_array_mut().unwrap().push(step);
        }
        if let Some(within) = within {
            plan["afterRollback"] =
                json!({"within": within, "share": "share", "gates": [{"metric": "n", "value": "< 8", "for": "3m"}]});
        }
        if let Some(action) = shares {
            let ratio = json!({"metric": "people", "sampleRatio": {"falsePositiveRate": "1%", "after": "3m"}, "do": action});
            plan["triggers"].as_array_mut().unwrap().push(ratio);
        }
        plan["windows"] = match windows {
            Some(0) => json!([{"from": "08:10", "until": "09:00"}, {"from": "09:30", "until": "10:00"}]),
            Some(1) => json!([{"from": "07:00", "until": "24:00"}]),
            _ => json!([]),
        };
        if let Some((from, lasts)) = freeze {
            let from = at(START).plus_millis(from * 59_000);
            plan["freezes"] = json!([{"from": from, "until": from.plus_millis(lasts * 60_000)}]);
        }
        plan
    }
}

prop_compose! {
    fn events()(
        minute in 0..230_i64,
        second in prop::sample::select(vec![0_i64, 0, 0, 17, 59]),
        step in prop::option::of(0..3_usize),
        what in 0..17_usize,
        number in 0..12_u32,
        lasting in prop::option::of(periods()),
    ) -> Value {
        let after = format!("{}ms", (minute * 60 + second) * 1000);
        let mut event = match step {
            Some(step) => json!({"step": format!("step {step}"), "after": format!("{}ms", (minute % 30 * 60 + second) * 1000)}),
            None => json!({"at": after}),
        };
        let (metric, part) = [("m", "value"), ("m", "samples"), ("n", "value"), ("n", "baseline"), ("share", "value")][what % 5];
        match what {
            0..8 => {
                event["metric"] = metric.into();
                event["part"] = part.into();
                event["value"] = if number > 9 { "noData".into() } else { number.into() };
                if let Some(lasting) = lasting.filter(|lasting| *lasting != "0") {
                    event["for"] = lasting.into();
                    if number < 3 {
                        event["over"] = "30s".into();
                    }
                }
            }
            14..17 => {
                let (metric, part) = [("c", "value"), ("c", "baseline"), ("people", "value")][what - 14];
                event["metric"] = metric.into();
                event["part"] = part.into();
                event["value"] = if number > 10 { "noData".into() } else { (f64::from(number) / 20.0).into() };
            }
            8 => event["hold"] = "Odd".into(),
            9 => event["resume"] = "Fine".into(),
            10 => event["retry"] = "Mended".into(),
            11 => event[if number > 5 { "signal" } else { "clear" }] = "bug".into(),
            12 => event["freeze"] = "25m".into(),
            _ => {
                event["rollback"] = "zero".into();
                if number > 3 {
                    event["staircase"] = 20.into();
                    event["every"] = "3m".into();
                }
            }
        }
        event
    }
}

proptest! {
    /// Leaps find exactly what looking once an interval does.
    #[test]
    fn leaps_find_what_ticks_find(
        plan in plans(),
        events in prop::collection::vec(events(), 0..14),
        people in prop::sample::select(vec!["prompt", "absent", "11m"]),
        measured in prop::collection::vec((0..230_i64, 1..9_u32), 0..40),
    ) {
        let written = plan;
        let plan = super::tests::plan(written.clone());
        let steps = plan.steps();
        let known = |event: &Value| event["step"].as_str().is_none_or(|name| steps.iter().any(|step| step.name == name));
        let events: Vec<Value> = events.into_iter().filter(known).collect();
        let script = script(&plan, &json!({"people": people, "events": events}).to_string());
        let mut history = History::default();
        if !measured.is_empty() {
            let mut measured = measured;
            measured.sort();
            measured.dedup_by_key(|(minute, _)| *minute);
            let points = measured.iter().map(|(minute, number)| (at(START).plus_millis(minute * 60_000), f64::from(*number)));
            history.record("m", Part::Value, period("7m"), points);
        }
        let until = Some(at(START).plus_millis(4 * 60 * 60_000));
        let scenario = Scenario { start: at(START), until, environment: String::new(), history, script, people: None };
        let leaps = Simulator::new(&plan, scenario.clone(), Pace::Leaps).run();
        let ticks = Simulator::new(&plan, scenario, Pace::Ticks).run();
        prop_assert!(leaps.looks <= ticks.looks);
        let looks = ticks.looks;
        let told = |simulation: Simulation| serde_json::to_string_pretty(&Simulation { looks, ..simulation }).unwrap();
        prop_assert_eq!(told(leaps), told(ticks), "{:#} {:#?}", written, events);
    }
}

/// At 10:10 the evidence would be gone again.
#[test]
fn the_last_look_before_a_value_changes_counts() {
    let plan = plan(json!({
        "flags": ["f"],
        "interval": "5m",
        "roles": {"product": ["ana"]},
        "traffic": {"usersPerDay": 1_000},
        "metrics": {"people": {"query": "p{{window}}"}},
        "triggers": [{"metric": "people", "sampleRatio": {"falsePositiveRate": "1%", "after": "3m"}, "do": "rollback"}],
        "steps": [
            {"name": "step 0", "percent": 33, "soak": "0", "requires": [{"approval": "product"}]},
            {"percent": 100, "soak": "0", "requires": [{"approval": "product"}]},
        ],
    }));
    let events = json!({"events": [
        {"at": "2537s", "metric": "people", "part": "value", "value": 0.05},
        {"step": "step 0", "after": "0s", "hold": "Odd"},
        {"at": "7517s", "metric": "people", "part": "value", "value": 0.45},
    ]});
    let turned = simulate(&plan, scenario(&plan, &events.to_string()));
    let [rollback] = turned.rollbacks.as_slice() else { panic!("{:#?}", turned.moments) };
    assert_eq!(rollback.at, at(START).plus_millis(125 * 60_000));
}

#[test]
fn of_several_signals_the_one_that_turned_it_back_counts() {
    let plan = plan(json!({
        "flags": ["f"],
        "traffic": {"usersPerDay": 1_000},
        "triggers": [{"name": "critical", "signal": "bug"}, {"signal": "slow", "do": "hold"}],
        "steps": [{"percent": 100, "soak": "2d"}],
    }));
    let turned = simulate(&plan, scenario(&plan, "events: [{at: 1h, signal: slow}, {at: 5h, signal: bug}]"));
    let [rollback] = turned.rollbacks.as_slice() else { panic!("{:#?}", turned.rollbacks) };
    assert_eq!((rollback.trigger.as_deref(), rollback.fault_since), (Some("critical"), Some(rollback.at)));
}

#[test]
fn what_only_lacks_time_is_under_way() {
    let plan = plan(json!({"flags": ["f"], "steps": [{"percent": 10, "soak": "1d"}, {"percent": 100}]}));
    let until = |hours: i64| Scenario { until: Some(at(START).plus_millis(hours * 3_600_000)), ..scenario(&plan, "") };
    assert_eq!(simulate(&plan, until(12)).outcome, Outcome::Underway);
    assert_eq!(simulate(&plan, until(25)).outcome, Outcome::Completed);
    let held = Scenario { script: script(&plan, "events: [{at: 1h, hold: Odd}]"), ..until(12) };
    assert_eq!(simulate(&plan, held).outcome, Outcome::Stuck);
}

#[test]
fn lint_and_simulator_expect_the_same_events() {
    let plan = |query: &str| {
        plan(json!({
            "flags": ["f"],
            "metrics": {"errors": {"query": query, "samples": "s", "minimumSamples": 50, "eventsPerMinute": 20}},
            "gates": [{"metric": "errors", "value": "< 1%"}],
            "steps": [{"percent": 10, "soak": "1d"}, {"percent": 100}],
        }))
    };
    // Of everyone there are a hundred events in five minutes; of those who are on the new path, ten.
    let outcome = |plan: &Plan| simulate(plan, scenario(plan, "")).outcome;
    assert_eq!(outcome(&plan("rate(errors[5m])")), Outcome::Completed);
    assert_eq!(outcome(&plan("rate(errors{arm=\"{{arm}}\"}[5m])")), Outcome::Stuck);
}
