//! The five plans on a virtual clock, with a script in place of metrics: each from its start to its end, and into each of its
//! triggers.
#![cfg(feature = "control")]

use std::path::Path;

use flagstone::rollout::{
    Blocker, Finding, Happened, Mode, Outcome, Part, Phase, Plan, Quantity, Reading, Recovery, Scenario, Script,
    Severity, Simulation, StepState, To, Transition, Verb, Verdict, simulate,
};
use flagstone::snapshot::definitions::{Exclusion, Key, Percent, Problem, Source, lint};
use flagstone::store::{Operation, Target};
use flagstone::{Context, Timestamp};

#[path = "support/world.rs"]
mod world;
use world::{DAY, HOUR, MINUTE, World, at, plans};

/// What goes wrong.
enum Wrong {
    /// A metric.
    Number(&'static str, Part, f64),
    /// A metric that falls silent.
    Silence(&'static str),
    /// What people or alerts raise.
    Signal(&'static str),
}
use Wrong::{Number, Signal, Silence};

const VALUE: fn(&'static str, f64) -> Wrong = |metric, number| Number(metric, Part::Value, number);

/// At a step something goes wrong: after so many minutes the rollout is turned back to zero, to a step, or held.
struct Case {
    step: &'static str,
    wrong: Wrong,
    minutes: i64,
    then: Then,
}

#[derive(Clone, Copy, PartialEq)]
enum Then {
    Zero,
    To(&'static str),
    Held,
}

fn case(step: &'static str, wrong: Wrong, minutes: i64, then: Then) -> Case {
    Case { step, wrong, minutes, then }
}

impl World {
    async fn go_wrong(&mut self, rollout: &str, wrong: &Wrong) {
        match wrong {
            Number(metric, part, number) => self.fault(metric, *part, Some(*number)),
            Silence(metric) => self.fault(metric, Part::Value, None),
            Signal(name) => self.act(rollout, "ana", Verb::Signal { name: (*name).to_owned() }).await,
        }
    }
}

/// Runs a rollout to each case's step, lets go wrong what goes wrong there, and looks at what is done, at the flags and at the
/// evidence.
async fn runs_into(world: impl AsyncFn() -> World, rollout: &str, cases: Vec<Case>) {
    for Case { step, wrong, minutes, then } in cases {
        let mut world = world().await;
        world.start(rollout).await;
        world.go_on_to(rollout, step).await;
        // It has been well for a while, and its step lasts longer than this.
        world.wait(20 * MINUTE);
        assert_eq!(world.decide(rollout).await.verdict, Verdict::Wait, "{step}");
        let what = match &wrong {
            Number(metric, _, number) => format!("{metric} {number} at {step}"),
            Silence(what) | Signal(what) => format!("{what} at {step}"),
        };
        world.go_wrong(rollout, &wrong).await;
        let (after, decision) = world.minutes_to(rollout, 60).await;
        assert_eq!(after, Some(minutes), "{what}: {decision:#?}");

        let (plan, progress) = (world.plan(rollout).clone(), world.progress(rollout).clone());
        let zero = then == Then::Zero;
        let (verdict, phase, transition, place) = match then {
            Then::Held => (Verdict::Hold, Phase::Held, Transition::Held, step),
            Then::Zero => (Verdict::RollBack, Phase::RolledBack, Transition::RolledBack, ""),
            Then::To(place) => (Verdict::RollBack, Phase::RolledBack, Transition::RolledBack, place),
        };
        assert_eq!((decision.verdict, progress.phase, progress.last.what), (verdict, phase, transition), "{what}");
        assert_eq!(world.step(rollout), place, "{what}");

        // The flags follow in the same entry of the log.
        let expected = plan.steps().into_iter().find(|step| step.name == place).and_then(|step| step.percent);
        let expected = expected.map_or(0, |percent| percent.thousandths() as usize / 1000);
        for flag in &plan.flags {
            if zero {
                assert!(world.people(flag).is_empty() && world.state.flags[flag].killed.is_some(), "{what}");
            } else {
                let percent = world.state.flags[flag].percent.default;
                assert_eq!(percent.unwrap_or_default().thousandths() as usize, expected * 1000, "{what}");
            }
        }

        // What was measured is told, and what came of it.
        let found: Vec<_> = progress.last.evidence.iter().filter(|reading| reading.finding == Finding::Holds).collect();
        let reading = match &wrong {
            Number(metric, part, number) => {
                let of = found.iter().find(|reading| reading.metric.as_deref() == Some(*metric)).expect(&what);
                match part {
                    Part::Value if of.quantity == Some(Quantity::Value) => {
                        assert_eq!(of.value, Some(*number), "{what}");
                    }
                    _ => assert!(of.baseline.is_some(), "{what}"),
                }
                assert!(
                    of.condition.is_some() && of.query.as_ref().is_some_and(|query| !query.contains("{{")),
                    "{what}"
                );
                of
            }
            Silence(metric) => {
                let all = &progress.last.evidence;
                let silent = |reading: &&Reading| reading.finding == Finding::Silence;
                all.iter().filter(silent).find(|reading| reading.metric.as_deref() == Some(*metric)).expect(&what)
            }
            Signal(name) => found.iter().find(|reading| reading.guard == *name).expect(&what),
        };
        assert!(progress.last.reason.contains(&format!("{:?}", reading.guard)), "{what}: {}", progress.last.reason);
        if then == Then::Held {
            assert_eq!(progress.incident, None, "{what}");
        } else {
            let incident = progress.incident.as_ref().expect(&what);
            assert_eq!((incident.severity, incident.step.as_deref()), (Severity::Critical, Some(step)), "{what}");
            assert!(incident.rollback_triggered && incident.evidence == progress.last.evidence, "{what}");
            assert_eq!((incident.at, incident.recovery), (world.now, Recovery::Awaited), "{what}");
        }

        // The simulator, which knows nothing of the numbers of this world, foresees the same.
        if reading.quantity.is_none_or(|quantity| quantity == Quantity::Value) {
            let simulation = foresee(&plan, progress.started, step, &wrong);
            let mut moments = simulation.moments.iter();
            let entered = moments.find(|moment| moment.step.as_deref() == Some(step)).expect(&what).at;
            let turned = moments.find(|moment| moment.what == Happened::Transition(transition)).expect(&what);
            assert_eq!(turned.step.as_deref().unwrap_or_default(), place, "{what}");
            assert_eq!((turned.at.as_millis() - entered.as_millis()) / MINUTE, 20 + minutes, "{what}, simulated");
        }

        // It stays so, however good all is from here on, until somebody says otherwise.
        world.mend();
        let phase = progress.phase;
        for _ in 0..3 {
            world.wait(7 * DAY);
            let verdict = world.decide(rollout).await.verdict;
            assert!(matches!(verdict, Verdict::Wait | Verdict::Verify), "{what}: {verdict:?}");
        }
        assert_eq!((world.progress(rollout).phase, world.step(rollout)), (phase, place), "{what}");
        match then {
            Then::Held => world.act(rollout, "ana", Verb::Resume).await,
            _ => {
                // What somebody raised, somebody takes back before it begins again.
                for name in world.progress(rollout).signals.clone().into_keys() {
                    world.act(rollout, "ana", Verb::Clear { name }).await;
                }
                world.act(rollout, "ana", Verb::Retry).await;
            }
        }
        assert_eq!(world.progress(rollout).phase, Phase::Running, "{what}");
        assert!(world.state.flags.values().all(|flag| flag.killed.is_none()), "{what}");
    }
}

/// What the simulator makes of a plan in which something goes wrong after a step's first twenty minutes, and all else is well.
fn foresee(plan: &Plan, start: Timestamp, step: &str, wrong: &Wrong) -> Simulation {
    let what = match wrong {
        Number(metric, _, number) => format!("metric: {metric}, value: {number}"),
        Silence(metric) => format!("metric: {metric}, value: noData"),
        Signal(name) => format!("signal: {name}"),
    };
    let events = format!("events: [{{step: {step}, after: 20m, {what}}}]");
    let script = Script::read(&Source::new("script.yaml", events), plan).unwrap_or_else(|wrong| panic!("{wrong:?}"));
    simulate(plan, Scenario { start, script, ..Scenario::default() })
}

fn user(key: &str) -> Context {
    Context::new(key)
}

fn days(way: &[(String, Timestamp)]) -> Vec<(&str, i64)> {
    let start = way[0].1.as_millis();
    way.iter().map(|(step, at)| (step.as_str(), (at.as_millis() - start) / DAY + 1)).collect()
}

#[test]
fn the_five_plans_lint() {
    for prefix in ["000", "001", "002", "003", "004", ""] {
        let problems = lint(&plans(prefix));
        assert!(!problems.iter().any(Problem::is_error), "{problems:#?}");
    }
    let all = plans("");
    let names: Vec<_> = all.rollouts.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        ["backup-service", "calling", "chat", "gateway", "network-service", "webrtc-peer-service", "websocket"]
    );
}

mod gateway {
    use super::*;

    const FLAG: &str = "use_new_gateway";

    fn numbers(metric: &str, part: Part) -> Option<f64> {
        Some(match (metric, part) {
            (_, Part::Samples) => 1000.0,
            ("errorRate" | "offerErrorRate" | "oldErrorRate", _) => 0.0005,
            ("successRate", _) => 0.995,
            ("connectionTime", _) => 300.0,
            ("tickets", _) => 12.0,
            (other, _) => panic!("nothing goes by {other}"),
        })
    }

    pub async fn world() -> World {
        World::new("000", "2025-12-01T08:00:00Z", numbers).await
    }

    #[tokio::test]
    async fn it_reaches_everyone_in_its_fourteen_days() {
        let mut world = world().await;
        world.start("gateway").await;
        // Prepared: off, for the people on the list, too.
        assert_eq!(world.plan("gateway").mode(Some(world.progress("gateway"))), Mode::Testing);
        assert!(!world.is_on(FLAG, &user("internal-user-1")));
        let decision = world.assess("gateway");
        assert_eq!(decision.next, Some(at("2025-12-04T08:00:00Z")));
        assert_eq!(decision.blockers.len(), 8, "a soak, and seven things to attest to: {:#?}", decision.blockers);

        let mut way = world.go_on_to("gateway", "internal").await;
        assert!(world.is_on(FLAG, &user("internal-user-1")) && world.is_on(FLAG, &user("internal-user-2")));
        world.has(FLAG, 0);
        let mut before = Vec::new();
        for (step, percent) in [("10%", 10), ("25%", 25), ("50%", 50), ("100%", 100), ("cleanup", 100)] {
            way.extend(world.go_on_to("gateway", step).await.split_off(1));
            world.has(FLAG, percent);
            let people = world.people(FLAG);
            assert!(before.iter().all(|user| people.contains(user)), "nobody leaves at {step}");
            before = people;
        }
        assert_eq!(
            days(&way),
            [("prepared", 1), ("internal", 4), ("10%", 6), ("25%", 8), ("50%", 9), ("100%", 11), ("cleanup", 13)]
        );
        world.go_on_to("gateway", "").await;
        assert_eq!(world.progress("gateway").last.what, Transition::Completed);
        assert_eq!(world.plan("gateway").mode(Some(world.progress("gateway"))), Mode::Full);
    }

    #[tokio::test]
    async fn triggers_turn_it_back_and_it_is_looked_after() {
        runs_into(
            world,
            "gateway",
            vec![
                case("internal", Signal("criticalBug"), 0, Then::Zero),
                case("10%", VALUE("errorRate", 0.011), 0, Then::Zero),
                case("10%", VALUE("successRate", 0.94), 0, Then::Zero),
                case("10%", VALUE("connectionTime", 1001.0), 0, Then::Zero),
                case("50%", VALUE("errorRate", 0.02), 0, Then::Zero),
                case("100%", Signal("criticalBug"), 0, Then::Zero),
            ],
        )
        .await;
    }

    #[tokio::test]
    async fn between_gate_and_trigger_it_stays_where_it_is() {
        for (metric, part, number) in [
            ("errorRate", Part::Value, 0.005),
            ("errorRate", Part::Value, 0.01),
            ("offerErrorRate", Part::Value, 0.002),
            ("successRate", Part::Value, 0.97),
            ("connectionTime", Part::Value, 700.0),
            ("tickets", Part::Value, 13.0),
            ("tickets", Part::Baseline, 11.0),
            // Too few to tell.
            ("errorRate", Part::Samples, 99.0),
        ] {
            let mut world = world().await;
            world.start("gateway").await;
            world.go_on_to("gateway", "10%").await;
            world.fault(metric, part, Some(number));
            for _ in 0..10 {
                world.wait(DAY);
                let decision = world.decide("gateway").await;
                assert_eq!(decision.verdict, Verdict::Wait, "{metric} {number}");
                let about = |blocker: &Blocker| blocker.message.contains(metric);
                assert!(decision.blockers.iter().any(about), "{:#?}", decision.blockers);
            }
            world.mend();
            assert_eq!(world.decide("gateway").await.verdict, Verdict::Advance, "{metric} {number}");
        }
    }

    #[tokio::test]
    async fn after_a_rollback_traffic_and_errors_must_follow() {
        for (metric, number) in [("trafficShare", Some(0.05)), ("oldErrorRate", Some(0.01)), ("oldErrorRate", None)] {
            let mut world = world().await;
            world.start("gateway").await;
            world.go_on_to("gateway", "50%").await;
            world.fault("errorRate", Part::Value, Some(0.02));
            world.fault(metric, Part::Value, number);
            assert_eq!(world.decide("gateway").await.verdict, Verdict::RollBack);
            let (minutes, decision) = world.minutes_to("gateway", 60).await;
            assert_eq!((minutes, decision.verdict), (Some(10), Verdict::Escalate), "{metric} {number:?}");
            assert!(decision.progress.last.reason.contains(if metric == "oldErrorRate" { metric } else { "share" }));
            // Once it follows, that is told, too; and what was rolled back is retried from the beginning.
            world.mend();
            assert_eq!(world.decide("gateway").await.verdict, Verdict::Verify);
            assert_eq!(world.progress("gateway").incident.as_ref().unwrap().recovery, Recovery::Verified);
            assert!(world.refused("gateway", "ana", Verb::Resume).await.contains("retry"));
            world.act("gateway", "ana", Verb::Retry).await;
            assert_eq!((world.step("gateway"), world.progress("gateway").attempt), ("prepared", 2));
            world.go_on_to("gateway", "").await;
        }
    }

    #[tokio::test]
    async fn a_kill_by_hand_stops_it_and_people_on_the_list_are_out() {
        let mut world = world().await;
        world.start("gateway").await;
        world.go_on_to("gateway", "25%").await;
        world.operate("ana", &[Operation::Kill(Target::Flag(FLAG.to_owned()))]).await;
        assert!(!world.is_on(FLAG, &user("internal-user-1")));
        world.wait(7 * DAY);
        let decision = world.decide("gateway").await;
        assert_eq!(decision.verdict, Verdict::Wait);
        assert!(decision.blockers.iter().any(|blocker| blocker.message.contains("killed")), "{:#?}", decision.blockers);
    }
}

mod chat {
    use super::*;

    const FLAG: &str = "useNewArchitecture";

    fn numbers(metric: &str, part: Part) -> Option<f64> {
        Some(match (metric, part) {
            (_, Part::Samples) => 10_000.0,
            ("errorRate" | "shadowErrorRate" | "legacyErrorRate", _) => 0.0005,
            ("serverErrorRate", _) => 0.001,
            ("p95", Part::Baseline) => 150.0,
            ("p95", _) => 155.0,
            ("p99", _) => 300.0,
            ("memory", _) => 40.0,
            ("cpu", Part::Baseline) => 0.002,
            ("cpu", _) => 0.0021,
            ("successfulRequests", Part::Baseline) => 1000.0,
            ("successfulRequests", _) => 1010.0,
            ("available", _) => 3.0,
            ("complaints", _) => 6.0,
            (other, _) => panic!("nothing goes by {other}"),
        })
    }

    pub async fn world() -> World {
        World::new("001", "2025-01-06T09:00:00Z", numbers).await
    }

    #[tokio::test]
    async fn it_reaches_everyone_phase_by_phase() {
        let mut world = world().await;
        let tester = Context::new("user-0").with("betaOptIn", true);
        // Which of the flags of the phase are on for everyone.
        let flags = |world: &World| {
            let all = ["enableShadowLogging", "shadowProcessingEnabled", "enableAGUIEvents", "performanceMonitoring"];
            all.map(|flag| world.is_on(flag, &user("anyone")))
        };
        assert_eq!(flags(&world), [false, false, false, true], "before it is started");
        world.start("chat").await;
        assert_eq!(flags(&world), [true, true, false, true]);
        assert!(!world.is_on(FLAG, &tester), "in shadow mode nobody is served");

        let mut way = world.go_on_to("chat", "beta").await;
        assert_eq!(flags(&world), [false, false, true, true]);
        assert!(world.is_on(FLAG, &tester) && world.people(FLAG).is_empty());
        for (step, percent) in
            [("3a 10%", 10), ("3a 25%", 25), ("3b 50%", 50), ("3c 75%", 75), ("full", 100), ("legacy deprecation", 100)]
        {
            way.extend(world.go_on_to("chat", step).await.split_off(1));
            world.has(FLAG, percent);
            assert!(world.is_on(FLAG, &tester) && flags(&world) == [false, false, true, true], "{step}");
        }
        assert_eq!(
            days(&way),
            [
                ("shadow", 1),
                ("beta", 8),
                ("3a 10%", 22),
                ("3a 25%", 29),
                ("3b 50%", 36),
                ("3c 75%", 43),
                ("full", 50),
                ("legacy deprecation", 57)
            ]
        );
        world.go_on_to("chat", "").await;
    }

    #[tokio::test]
    async fn critical_triggers_turn_it_back() {
        runs_into(
            world,
            "chat",
            vec![
                case("beta", VALUE("errorRate", 0.006), 5, Then::Zero),
                case("beta", VALUE("p99", 501.0), 2, Then::Zero),
                case("beta", VALUE("memory", 81.0), 0, Then::Zero),
                case("beta", VALUE("serverErrorRate", 0.011), 0, Then::Zero),
                case("beta", VALUE("available", 0.0), 2, Then::Zero),
                case("beta", Silence("available"), 2, Then::Zero),
                case("beta", Signal("criticalIssue"), 0, Then::Zero),
                // In phase 3a the limit is another, and after it the old one again.
                case("3a 10%", VALUE("errorRate", 0.0021), 5, Then::Zero),
                case("3a 25%", VALUE("errorRate", 0.003), 5, Then::Zero),
                case("3b 50%", VALUE("errorRate", 0.006), 5, Then::Zero),
                case("full", VALUE("p99", 600.0), 2, Then::Zero),
            ],
        )
        .await;
    }

    #[tokio::test]
    async fn warnings_hold_it_for_review() {
        runs_into(
            world,
            "chat",
            vec![
                case("beta", VALUE("errorRate", 0.002), 10, Then::Held),
                case("beta", VALUE("errorRate", 0.005), 10, Then::Held),
                case("beta", VALUE("p95", 180.0), 15, Then::Held),
                case("beta", VALUE("memory", 47.0), 15, Then::Held),
                case("beta", VALUE("complaints", 19.0), 0, Then::Held),
                case("beta", VALUE("p95", 250.0), 15, Then::Held),
                case("beta", VALUE("memory", 60.0), 0, Then::Held),
                case("beta", VALUE("cpu", 0.003), 15, Then::Held),
                case("beta", VALUE("successfulRequests", 940.0), 0, Then::Held),
                case("3b 50%", VALUE("errorRate", 0.003), 10, Then::Held),
            ],
        )
        .await;
    }

    #[tokio::test]
    async fn what_breaks_off_before_its_time_does_nothing() {
        let mut world = world().await;
        world.start("chat").await;
        world.go_on_to("chat", "beta").await;
        world.wait(DAY);
        for (metric, number, minutes) in [("errorRate", 0.006, 5), ("p99", 600.0, 2), ("p95", 180.0, 15)] {
            for _ in 0..3 {
                world.fault(metric, Part::Value, Some(number));
                assert_eq!(world.minutes_to("chat", minutes - 1).await.0, None, "{metric}");
                world.wait(MINUTE);
                world.mend();
                assert_eq!(world.decide("chat").await.verdict, Verdict::Wait, "{metric}");
                world.wait(MINUTE);
            }
        }
        // A gate that asks for 48 hours starts again then.
        world.now = world.progress("chat").entered.plus_millis(14 * DAY - HOUR);
        world.fault("errorRate", Part::Value, Some(0.0015));
        world.wait(MINUTE);
        world.mend();
        let mended = world.now;
        let way = world.go_on_to("chat", "3a 10%").await;
        assert_eq!(way[1].1, mended.plus_millis(48 * HOUR));
    }

    #[tokio::test]
    async fn a_cohort_can_be_taken_out_and_the_rest_goes_on() {
        let mut world = world().await;
        world.start("chat").await;
        world.go_on_to("chat", "3b 50%").await;
        let before = world.people(FLAG);
        let cohort: Vec<Key> = before[..20].iter().map(|user| Key(format!("user-{user}"))).collect();
        let exclusion = Exclusion { keys: cohort, ..Exclusion::default() };
        let operations = [
            Operation::Exclude { flag: FLAG.to_owned(), exclusion },
            Operation::Rollout { name: "chat".to_owned(), verb: Verb::CohortRolledBack },
        ];
        world.operate("ana", &operations).await;
        assert_eq!(world.people(FLAG), before[20..]);
        assert_eq!(world.progress("chat").phase, Phase::Held);
        world.act("chat", "ana", Verb::Resume).await;
        world.go_on_to("chat", "full").await;
        assert_eq!(world.people(FLAG).len(), 980);
    }

    #[tokio::test]
    async fn it_is_cleaned_up_once_its_soak_is_over() {
        let mut world = world().await;
        assert_eq!(
            world.cleanup("chat").await.too_early,
            ["the rollout was not started", "useNewArchitecture is at 0%"]
        );
        world.start("chat").await;
        let way = world.go_on_to("chat", "full").await;
        let full = way.last().unwrap().1;
        let early = world.cleanup("chat").await;
        assert_eq!(early.too_early, ["the rollout is at full, and not at legacy deprecation yet"]);
        assert_eq!(early.since, Some(full));
        world.go_on_to("chat", "legacy deprecation").await;
        let over = world.now.plus_millis(90 * DAY);
        let until = over.to_string().replace('T', " ").replace(":00Z", " UTC");
        assert_eq!(world.cleanup("chat").await.too_early, [format!("legacy deprecation lasts until {until}")]);
        world.now = over;
        let cleanup = world.cleanup("chat").await;
        assert_eq!(cleanup.too_early, [""; 0]);
        // Since everyone was let in, and not since the step that it is at.
        assert_eq!(cleanup.since, Some(full));
        assert_eq!(cleanup.decision.unwrap().reason, "all that 3c 75% asks for is so");
        assert_eq!(cleanup.segments, ["beta"]);
        let flag = &cleanup.flags[0];
        assert_eq!((flag.flag.as_str(), flag.variant.as_deref(), &flag.value), (FLAG, Some("on"), &Some(true.into())));
        assert_eq!(flag.pins.keys().collect::<Vec<_>>(), ["development", "staging"]);
        let set: Vec<&String> = cleanup.set.keys().collect();
        assert_eq!(set[0], "enableAGUIEvents", "what the rollout set besides is as defined once it is gone: {set:?}");
        assert_eq!(cleanup.requires, ["Legacy architecture removed"]);
        assert!(cleanup.queries["errorRate"].contains(r#"architecture="new"}[5m]"#), "{:?}", cleanup.queries);
        // What somebody did by hand counts.
        world.operate("ana", &[Operation::Kill(Target::Flag(FLAG.to_owned()))]).await;
        let killed = world.cleanup("chat").await;
        assert_eq!((killed.too_early, killed.since), (vec![format!("{FLAG} is killed")], None));
    }

    #[tokio::test]
    async fn only_product_says_go() {
        let mut world = world().await;
        world.start("chat").await;
        let refused = world.refused("chat", "engineering-team", Verb::Advance { role: None, step: None }).await;
        assert!(refused.contains("gives the role product to product-team"), "{refused}");
        world.go_on_to("chat", "3b 50%").await;
        // A review of three days ago is none.
        world.act("chat", "engineering-team", Verb::Attest { what: "Reviewed".to_owned() }).await;
        world.wait(7 * DAY);
        let decision = world.decide("chat").await;
        assert!(decision.blockers.iter().any(|blocker| blocker.message.contains("was valid for 2d")));
    }
}

mod calling {
    use super::*;

    const FLAG: &str = "outboundCalls";

    fn numbers(metric: &str, part: Part) -> Option<f64> {
        Some(match (metric, part) {
            (_, Part::Samples) => 30.0,
            ("successRate" | "recentSuccessRate", _) => 0.82,
            ("responseTime", _) => 0.15,
            ("errorRate", _) => 0.02,
            ("uptime", _) => 0.999,
            ("p1Bugs" | "complaints", _) => 0.0,
            ("p2Bugs", _) => 1.0,
            ("queueTime", _) => 20.0,
            ("queueBacklog", _) => 40.0,
            ("retrySuccess", _) => 0.55,
            ("voicemailAccuracy", _) => 0.9,
            ("costPerCall", Part::Baseline) => 10.0,
            ("costPerCall", _) => 9.0,
            ("freeConnections", _) => 12.0,
            ("slowQueries", _) => 40.0,
            ("memory", _) => 0.6,
            ("concurrentCalls", _) => 140.0,
            (other, _) => panic!("nothing goes by {other}"),
        })
    }

    pub async fn world() -> World {
        World::new("002", "2025-03-03T08:00:00Z", numbers).await
    }

    #[tokio::test]
    async fn it_reaches_everyone_in_five_weeks() {
        let mut world = world().await;
        world.has(FLAG, 0);
        world.start("calling").await;
        let mut way = world.go_on_to("calling", "week 1").await;
        // The document's own hash: of a thousand users 39 are below 5.
        assert_eq!(world.people(FLAG).len(), 39);
        for (step, percent) in [("week 2", 10), ("week 3", 25), ("week 4", 50), ("week 5", 100), ("cleanup", 100)] {
            way.extend(world.go_on_to("calling", step).await.split_off(1));
            assert_eq!(world.state.flags[FLAG].percent.default.unwrap().thousandths(), percent * 1000);
        }
        world.has(FLAG, 100);
        assert_eq!(
            days(&way[1..]),
            [("week 1", 1), ("week 2", 8), ("week 3", 15), ("week 4", 22), ("week 5", 29), ("cleanup", 43)]
        );
        world.go_on_to("calling", "").await;
        // Whatever the rollout did, the kill switch wins.
        world.operate("ana", &[Operation::Kill(Target::Flag("outboundCallsEnabled".to_owned()))]).await;
        world.has(FLAG, 0);
    }

    /// The report is kept as a file to look at; `FLAGSTONE_WRITE_REPORTS=1` writes it anew.
    #[tokio::test]
    async fn a_report_has_target_dates_beside_actual_ones_and_what_went_wrong() {
        let mut world = world().await;
        world.start("calling").await;
        world.go_on_to("calling", "week 2").await;
        world.wait(9 * DAY);
        world.go_on_to("calling", "week 3").await;
        world.wait(3 * DAY);
        world.fault("p1Bugs", Part::Value, Some(1.0));
        assert_eq!(world.decide("calling").await.verdict, Verdict::RollBack);
        world.wait(DAY);
        world.mend();
        world.wait(HOUR);
        world.act("calling", "calling-team", Verb::Retry).await;
        world.wait(2 * DAY);
        let report = world.report("calling", 30).await;

        let step = |name: &str| report.steps.iter().find(|step| step.name == name).unwrap();
        assert_eq!(step("week 2").time.waiting.to_string(), "2d");
        let late = step("week 3").actual.unwrap().as_millis() - step("week 3").target.unwrap().as_millis();
        assert_eq!(late, 2 * DAY);
        assert_eq!(report.time.turned_back.to_string(), "1d1h");
        assert_eq!(step("week 2").state, StepState::Here);
        // Begun again, it soaks again.
        let again = step("week 2").actual.unwrap().plus_millis(7 * DAY);
        assert_eq!((step("week 3").state, step("week 3").expected), (StepState::ToCome, Some(again)));
        assert_eq!(step("week 4").expected, Some(again.plus_millis(7 * DAY)));
        let [incident] = report.incidents.as_slice() else { panic!("{:?}", report.incidents) };
        assert!(incident.incident.rollback_triggered && incident.retried.is_some());
        assert!(incident.incident.evidence.iter().any(|reading| reading.value == Some(1.0)));
        assert!(report.requirements.iter().any(|requirement| requirement.given.is_none()));

        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rollouts/reports/calling.md");
        let written = report.markdown();
        if std::env::var_os("FLAGSTONE_WRITE_REPORTS").is_some() {
            std::fs::write(&path, &written).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(kept == written, "FLAGSTONE_WRITE_REPORTS=1 writes it anew:\n{written}");
    }

    #[tokio::test]
    async fn triggers_accumulate_and_turn_it_back_to_the_phase_before() {
        let before = "before week 1";
        runs_into(
            world,
            "calling",
            vec![
                case("week 1", VALUE("p1Bugs", 1.0), 0, Then::To(before)),
                case("week 1", Signal("p1BugFound"), 0, Then::To(before)),
                case("week 1", VALUE("recentSuccessRate", 0.59), 5, Then::To(before)),
                case("week 1", VALUE("uptime", 0.94), 0, Then::To(before)),
                case("week 1", VALUE("complaints", 6.0), 0, Then::To(before)),
                case("week 1", Signal("criticalSecurityIssue"), 0, Then::Zero),
                case("week 2", VALUE("queueBacklog", 501.0), 0, Then::To("week 1")),
                case("week 2", VALUE("freeConnections", 0.0), 0, Then::To("week 1")),
                case("week 2", VALUE("costPerCall", 12.5), 0, Then::To("week 1")),
                case("week 2", VALUE("complaints", 6.0), 0, Then::To("week 1")),
                case("week 3", VALUE("memory", 0.91), 0, Then::To("week 2")),
                case("week 3", VALUE("slowQueries", 101.0), 5, Then::To("week 2")),
                case("week 3", Signal("infrastructureScalingIssues"), 0, Then::To("week 2")),
                case("week 3", VALUE("p1Bugs", 1.0), 0, Then::To("week 2")),
                case("week 4", Signal("sustainedDegradedPerformance"), 0, Then::To("week 3")),
                case("week 4", Signal("infrastructureCapacityReached"), 0, Then::To("week 3")),
                case("week 4", VALUE("queueBacklog", 600.0), 0, Then::To("week 3")),
                case("week 5", Signal("criticalSecurityIssue"), 0, Then::Zero),
            ],
        )
        .await;
    }

    #[tokio::test]
    async fn gates_accumulate() {
        let mut world = world().await;
        world.start("calling").await;
        world.go_on_to("calling", "week 4").await;
        world.wait(7 * DAY);
        world.sign("calling").await;
        let late = world.now;
        for (metric, number) in [
            ("successRate", 0.7),
            ("uptime", 0.994),
            ("p2Bugs", 2.0),
            ("responseTime", 0.2),
            ("complaints", 1.0),
            ("queueTime", 60.0),
            ("retrySuccess", 0.4),
            ("voicemailAccuracy", 0.8),
            ("costPerCall", 10.5),
            ("concurrentCalls", 99.0),
        ] {
            world.now = late;
            world.fault(metric, Part::Value, Some(number));
            let decision = world.assess("calling");
            assert_eq!((decision.verdict, decision.blockers.len()), (Verdict::Wait, 1), "{metric}");
            world.mend();
        }
        assert_eq!(world.decide("calling").await.verdict, Verdict::Advance);
    }

    #[tokio::test]
    async fn nothing_goes_on_without_stakeholders() {
        let mut world = world().await;
        world.start("calling").await;
        world.go_on_to("calling", "week 2").await;
        // Hold, "extend the phase by 3 to 7 days", and go on.
        world.act("calling", "ana", Verb::Hold).await;
        world.wait(14 * DAY);
        assert_eq!(world.decide("calling").await.verdict, Verdict::Wait);
        world.act("calling", "ana", Verb::Resume).await;
        let decision = world.decide("calling").await;
        assert!(World::waits_for_people(&decision), "{:#?}", decision.blockers);
        for what in
            ["No unresolved P1 or P2 bugs", "Team confidence is high", "Issues, metrics and learnings documented"]
        {
            world.act("calling", "calling-team", Verb::Attest { what: what.to_owned() }).await;
        }
        let decision = world.decide("calling").await;
        assert_eq!(decision.blockers.len(), 1);
        assert!(decision.blockers[0].message.contains("approval of stakeholders"));
        let refused = world.refused("calling", "calling-team", Verb::Advance { role: None, step: None }).await;
        assert!(refused.contains("stakeholders"), "{refused}");
        world.act("calling", "calling-stakeholders", Verb::Advance { role: None, step: None }).await;
        assert_eq!(world.decide("calling").await.verdict, Verdict::Advance);
        // "From 25% back to 10%", by hand; whoever goes on again needs their approval again.
        let back = Verb::Rollback { to: To::Previous, severity: Severity::Warning };
        world.act("calling", "ana", back).await;
        assert_eq!((world.step("calling"), world.progress("calling").phase), ("week 2", Phase::RolledBack));
        assert_eq!(world.state.flags[FLAG].percent.default.unwrap().thousandths(), 10_000);
        world.act("calling", "ana", Verb::Retry).await;
        world.wait(7 * DAY);
        assert!(World::waits_for_people(&world.assess("calling")));
    }

    #[test]
    fn the_queries_are_the_documents() {
        let definitions = plans("002");
        let query = |metric: &str, arm: &str| {
            let query = &definitions.rollouts["calling"].metrics[metric].query;
            query.replace("{{arm}}", arm).replace("{{window}}", "5m")
        };
        for arm in ["new", "old"] {
            assert_eq!(
                query("errorRatePanel", arm),
                format!(
                    "rate(calls_failed_total{{system=\"{arm}\"}}[5m]) /\nrate(calls_total{{system=\"{arm}\"}}[5m])"
                )
            );
            assert_eq!(
                query("responseTimePanel", arm),
                format!(
                    "histogram_quantile(0.95,\n  rate(http_request_duration_seconds_bucket{{system=\"{arm}\"}}[5m]))"
                )
            );
        }
        assert_eq!(
            query("successRatePanel", "new"),
            "(sum(rate(calls_successful_total{system=\"new\"}[5m])) /\n sum(rate(calls_total{system=\"new\"}[5m]))) * 100"
        );
        assert_eq!(
            query("trafficSplitPanel", "new"),
            "(sum(rate(calls_total{system=\"new\"}[5m])) /\n sum(rate(calls_total[5m]))) * 100"
        );
    }
}

mod websocket {
    use super::*;

    const FLAG: &str = "websocketUnified";

    fn numbers(metric: &str, part: Part) -> Option<f64> {
        Some(match (metric, part) {
            (_, Part::Samples) => 500.0,
            ("errorRate", _) => 0.01,
            ("routingErrors", _) => 4.0,
            ("fallbackRate", _) => 0.02,
            ("successRate", _) => 0.99,
            (other, _) => panic!("nothing goes by {other}"),
        })
    }

    pub async fn world() -> World {
        World::new("003", "2025-06-02T06:00:00Z", numbers).await
    }

    fn mode(world: &World) -> Mode {
        world.plan("websocket").mode(world.state.rollouts.get("websocket"))
    }

    #[tokio::test]
    async fn it_goes_to_its_ceiling_by_itself_and_on_when_told() {
        let mut world = world().await;
        assert_eq!(mode(&world), Mode::Disabled);
        world.start("websocket").await;
        assert!(!world.is_on(FLAG, &user("user1")), "disabled");
        world.go_on_to("websocket", "testing").await;
        assert_eq!(mode(&world), Mode::Testing);
        assert!(["user1", "user2", "user3"].iter().all(|name| world.is_on(FLAG, &user(name))));
        world.has(FLAG, 0);

        let way = world.go_on_to("websocket", "50%").await;
        assert_eq!(mode(&world), Mode::Gradual);
        world.has(FLAG, 50);
        let percents: Vec<_> = way[1..].iter().map(|(step, _)| step.as_str()).collect();
        assert_eq!(percents, ["5%", "10%", "15%", "20%", "25%", "30%", "35%", "40%", "45%", "50%"]);
        assert!(way[1..].windows(2).all(|pair| pair[1].1 == pair[0].1.plus_millis(30 * MINUTE)), "{way:?}");

        // It stays at its ceiling.
        world.wait(DAY);
        let decision = world.decide("websocket").await;
        assert_eq!(decision.verdict, Verdict::Wait);
        assert!(
            decision.blockers.iter().all(|blocker| blocker.message.contains("ceiling")),
            "{:#?}",
            decision.blockers
        );
        world.act("websocket", "ana", Verb::Resume).await;
        let way = world.go_on_to("websocket", "full").await;
        let percents: Vec<_> = way[1..].iter().map(|(step, _)| step.as_str()).collect();
        let continued = ["50%", "60%", "70%", "80%", "90%", "100%"].map(|percent| format!("continued {percent}"));
        assert_eq!(percents[..6], continued);
        assert!(way[1..].windows(2).all(|pair| pair[1].1 == pair[0].1.plus_millis(60 * MINUTE)), "{way:?}");
        assert_eq!(mode(&world), Mode::Full);
        assert!(world.is_on(FLAG, &user("anyone")) && !world.is_on(FLAG, &user("legacy-user-1")), "forced to legacy");
        world.go_on_to("websocket", "").await;
    }

    #[tokio::test]
    async fn three_failures_in_a_row_turn_it_back() {
        runs_into(
            world,
            "websocket",
            vec![
                case("5%", VALUE("errorRate", 0.051), 2, Then::Zero),
                case("5%", VALUE("routingErrors", 51.0), 2, Then::Zero),
                case("25%", VALUE("fallbackRate", 0.11), 2, Then::Zero),
                case("continued 70%", VALUE("successRate", 0.94), 2, Then::Zero),
                case("full", VALUE("errorRate", 0.06), 2, Then::Zero),
            ],
        )
        .await;
        // Two do not, however often.
        let mut world = world().await;
        world.start("websocket").await;
        world.go_on_to("websocket", "5%").await;
        world.wait(10 * MINUTE);
        for _ in 0..5 {
            world.fault("errorRate", Part::Value, Some(0.5));
            assert_eq!(world.minutes_to("websocket", 1).await.0, None);
            world.wait(MINUTE);
            world.mend();
            assert_eq!(world.decide("websocket").await.verdict, Verdict::Wait);
            world.wait(MINUTE);
        }
        assert_eq!((world.step("websocket"), world.progress("websocket").phase), ("5%", Phase::Running));
    }

    #[tokio::test]
    async fn it_goes_down_in_stairs_or_at_once() {
        let mut world = world().await;
        world.start("websocket").await;
        world.go_on_to("websocket", "25%").await;
        let percent = |world: &World| world.state.flags[FLAG].percent.default.unwrap().to_string();
        let ten: Percent = "10".parse().unwrap();
        let every = "10m".parse().unwrap();
        world.act("websocket", "ana", Verb::Staircase { by: ten, every, to: Percent::default() }).await;
        assert_eq!(percent(&world), "15");
        let (minutes, decision) = world.minutes_to("websocket", 60).await;
        assert_eq!((minutes, decision.verdict, percent(&world).as_str()), (Some(10), Verdict::Lower, "5"));
        let (minutes, decision) = world.minutes_to("websocket", 60).await;
        assert_eq!((minutes, decision.verdict), (Some(10), Verdict::RollBack));
        assert_eq!(mode(&world), Mode::Disabled);
        assert!(!world.is_on(FLAG, &user("user1")), "test users are out, too");

        world.act("websocket", "ana", Verb::Retry).await;
        world.go_on_to("websocket", "40%").await;
        world.act("websocket", "ana", Verb::Rollback { to: To::Zero, severity: Severity::Critical }).await;
        world.has(FLAG, 0);
        let incident = world.progress("websocket").incident.clone().unwrap();
        assert_eq!((incident.author.as_str(), incident.rollback_triggered), ("ana", false));
        assert_eq!(world.decide("websocket").await.verdict, Verdict::Verify);
    }
}

mod services {
    use super::*;

    const ALL: [(&str, &str); 3] = [
        ("backup-service", "USE_MIGRATED_BACKUP_SERVICE"),
        ("network-service", "USE_MIGRATED_NETWORK_SERVICE"),
        ("webrtc-peer-service", "USE_MIGRATED_WEBRTC_PEER_SERVICE"),
    ];

    fn numbers(metric: &str, part: Part) -> Option<f64> {
        Some(match (metric, part) {
            (_, Part::Samples) => 500.0,
            ("errorRate", _) => 0.001,
            ("responseTime", Part::Baseline) => 0.200,
            ("responseTime", _) => 0.130,
            ("gdprBreaches", _) => 0.0,
            (other, _) => panic!("nothing goes by {other}"),
        })
    }

    pub async fn world() -> World {
        World::new("004", "2025-01-09T12:00:00Z", numbers).await
    }

    #[tokio::test]
    async fn three_go_at_once_each_by_its_own_dates() {
        let mut world = world().await;
        for (rollout, _) in ALL {
            world.start(rollout).await;
        }
        let mut moves: Vec<(Timestamp, &str, String)> = Vec::new();
        for _ in 0..10_000 {
            let mut next = world.now.plus_millis(HOUR);
            for (rollout, _) in ALL {
                let decision = world.decide(rollout).await;
                match decision.verdict {
                    Verdict::Advance => moves.push((world.now, rollout, world.step(rollout).to_owned())),
                    Verdict::Wait if World::waits_for_people(&decision) => {
                        world.sign(rollout).await;
                        next = world.now;
                    }
                    _ => next = decision.next.filter(|next| *next > world.now).map_or(next, |at| at.min(next)),
                }
            }
            // At the same instant one may be at half of its people and another at a tenth.
            if world.now == at("2025-01-12T09:00:00Z") {
                world.has(ALL[0].1, 50);
                world.has(ALL[1].1, 10);
                world.has(ALL[2].1, 0);
            }
            if ALL.iter().all(|(rollout, _)| world.progress(rollout).phase == Phase::Completed) {
                break;
            }
            world.now = next;
        }
        let of = |rollout: &str| -> Vec<String> {
            let moves = moves.iter().filter(|(_, which, _)| *which == rollout);
            moves.map(|(at, _, step)| format!("{step} {at}")).collect()
        };
        let dates = |dates: [&str; 4]| {
            let steps = ["fas 1", "fas 2", "fas 3", "legacy removal"];
            let all: Vec<_> =
                steps.iter().zip(dates).map(|(step, date)| format!("{step} 2025-01-{date}T08:00:00Z")).collect();
            all
        };
        assert_eq!(of("backup-service"), dates(["10", "12", "15", "17"]));
        assert_eq!(of("network-service"), dates(["12", "14", "17", "19"]));
        assert_eq!(of("webrtc-peer-service"), dates(["15", "17", "20", "22"]));
        for (_, flag) in ALL {
            world.has(flag, 100);
        }
        // `FORCE_LEGACY_SERVICES=true`.
        world.operate("ana", &[Operation::Kill(Target::Tag("services".to_owned()))]).await;
        for (_, flag) in ALL {
            world.has(flag, 0);
        }
    }

    #[tokio::test]
    async fn triggers_turn_back_the_one_that_they_are_of() {
        for (rollout, first, second) in
            [("backup-service", 0.011, 0.009), ("network-service", 0.011, 0.009), ("webrtc-peer-service", 0.006, 0.004)]
        {
            runs_into(
                world,
                rollout,
                vec![
                    case("fas 1", VALUE("errorRate", first), 5, Then::Zero),
                    case("fas 1", VALUE("responseTime", 0.301), 5, Then::Zero),
                    case("fas 1", VALUE("gdprBreaches", 1.0), 0, Then::Zero),
                    case("fas 1", Signal("kritiskSäkerhetsincident"), 0, Then::Zero),
                    case("fas 1", Signal("GDPR-överträdelse"), 0, Then::Zero),
                    // The threshold is tighter.
                    case("fas 2", VALUE("errorRate", second), 5, Then::Zero),
                    case("fas 3", VALUE("errorRate", second), 5, Then::Zero),
                    case("fas 3", VALUE("gdprBreaches", 1.0), 0, Then::Zero),
                ],
            )
            .await;
            let mut world = world().await;
            world.start(rollout).await;
            world.go_on_to(rollout, "fas 1").await;
            world.fault("errorRate", Part::Value, Some(second));
            assert_eq!(world.minutes_to(rollout, 30).await.0, None, "{rollout}: what is too much later is none yet");
        }
    }

    #[tokio::test]
    async fn gates_are_stricter_than_triggers() {
        for (step, metric, number) in [
            ("fas 1", "errorRate", 0.005),
            ("fas 1", "responseTime", 0.221),
            ("fas 2", "errorRate", 0.0079),
            // Faster than legacy, but not by 30 %.
            ("fas 2", "responseTime", 0.141),
        ] {
            let mut world = world().await;
            world.start("backup-service").await;
            world.go_on_to("backup-service", step).await;
            world.fault(metric, Part::Value, Some(number));
            world.wait(5 * DAY);
            world.sign("backup-service").await;
            let decision = world.decide("backup-service").await;
            assert_eq!((decision.verdict, decision.blockers.len()), (Verdict::Wait, 1), "{:#?}", decision.blockers);
            world.mend();
            world.wait(MINUTE);
            assert_eq!(world.decide("backup-service").await.verdict, Verdict::Advance, "{step} {metric}");
        }
    }
}

/// Where all is well the controller takes each step when the simulator foresaw it.
#[tokio::test]
async fn rollouts_go_the_way_that_was_simulated() {
    for (rollout, mut world) in [
        ("gateway", gateway::world().await),
        ("chat", chat::world().await),
        ("calling", calling::world().await),
        ("websocket", websocket::world().await),
        ("backup-service", services::world().await),
        ("network-service", services::world().await),
        ("webrtc-peer-service", services::world().await),
    ] {
        let simulation = simulate(world.plan(rollout), Scenario { start: world.now, ..Scenario::default() });
        assert_eq!(simulation.outcome, Outcome::Completed, "{rollout}: {:#?}", simulation.blockers);
        let taken = |what: &Happened| matches!(what, Happened::Transition(Transition::Started | Transition::Advanced));
        let moments = simulation.moments.iter().filter(|moment| taken(&moment.what));
        let foreseen: Vec<_> = moments.map(|moment| (moment.step.clone().unwrap_or_default(), moment.at)).collect();

        world.start(rollout).await;
        assert_eq!(world.go_on_to(rollout, "").await, foreseen, "{rollout}");
        assert_eq!(world.now, simulation.end, "{rollout}");
    }
}

#[test]
fn every_row_of_the_documents_is_shown_by_a_test() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = include_str!("rollouts/README.md").split("## Traps").next().unwrap_or_default();
    let rows: Vec<Vec<&str>> = page
        .lines()
        .filter(|line| line.starts_with("| S"))
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect();
    let numbers: Vec<&str> = rows.iter().map(|row| row[0]).collect();
    // How many rows each document has.
    let expected: Vec<String> = [16, 23, 20, 15, 14]
        .iter()
        .enumerate()
        .flat_map(|(document, rows)| (1..=*rows).map(move |row| format!("S{document}.{row}")))
        .collect();
    assert_eq!(numbers, expected);
    for row in rows {
        assert_eq!(row.len(), 4, "{row:?}");
        let tests: Vec<(&str, &str)> = row[3].split('`').filter_map(|part| part.split_once(": ")).collect();
        assert!(!tests.is_empty(), "{} is shown by nothing", row[0]);
        for (file, test) in tests {
            let text = std::fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
            let function = test.rsplit("::").next().unwrap_or_default();
            let is_there = text.contains(&format!("fn {function}(")) || text.contains(&format!("test(\"{test}\""));
            assert!(is_there, "{}: {file} has no test `{test}`", row[0]);
            if let Some((module, _)) = test.split_once("::").filter(|_| file.ends_with(".rs")) {
                assert!(text.contains(&format!("mod {module} {{")), "{}: {file} has no module `{module}`", row[0]);
            }
        }
    }
}

mod sequential {
    use flagstone::rollout::{Arm, Count};
    use flagstone::snapshot::definitions::{Definitions, Source};

    use super::*;
    use crate::world::EPOCH;

    const PLAN: &str = "
flags:
  f: {salt: f-1, default: {ramp: {percent: 0, serve: on}}}
rollouts:
  r:
    flags: [f]
    scrapeInterval: 5s
    metrics:
      errors:
        query: q
        failures: failed{path=\"{{arm}}\"}[{{window}}]
        samples: all{path=\"{{arm}}\"}[{{window}}]
        baseline: old
      users: {query: 'users{path=\"{{arm}}\"}[{{window}}]'}
    steps:
      - percent: 10
        soak: 1h
        gates: [{name: low, metric: errors, value: < 1%, sequential: {falsePositiveRate: 1%}}]
        triggers:
          - {name: worse, metric: errors, ratio: '> 1', sequential: {falsePositiveRate: 0.1%}}
          - {name: slow, metric: errors, value: '> 0.9%', severity: warning, sequential: {falsePositiveRate: 0.1%}}
          - {name: people, metric: users, sampleRatio: {falsePositiveRate: 0.1%, after: 10m}}
      - {percent: 100, gates: []}
";

    const fn a_minute(of: Count, arm: Arm) -> Part {
        Part::Count { of, arm, since: EPOCH }
    }

    const FAILED: Part = a_minute(Count::Failures, Arm::New);
    const PEOPLE: Part = a_minute(Count::Value, Arm::New);

    /// In a minute 20 of the new path, of which 0.5 % fail, and 180 of the old one, of which 0.5 % fail.
    fn numbers(metric: &str, part: Part) -> Option<f64> {
        let Part::Count { of, arm, .. } = part else { panic!("{metric} is counted, and nothing else is asked of it") };
        let all = if arm == Arm::New { 20.0 } else { 180.0 };
        Some(if of == Count::Failures { all * 0.005 } else { all })
    }

    async fn started() -> World {
        let definitions = Definitions::read(&[Source::new("f.yaml", PLAN)]).unwrap();
        assert!(lint(&definitions).is_empty(), "{:?}", lint(&definitions));
        let mut world = World::of(definitions, "2025-12-01T08:00:00Z", numbers).await;
        world.start("r").await;
        world
    }

    fn reading<'r>(readings: &'r [Reading], guard: &str) -> &'r Reading {
        readings.iter().find(|reading| reading.guard == guard).expect(guard)
    }

    #[tokio::test]
    async fn a_gate_lets_it_go_on_once_it_is_certain() {
        let mut world = started().await;
        world.wait(HOUR);
        // Less than 1 % fail, and that may yet be chance.
        let decision = world.decide("r").await;
        let low = reading(&decision.evidence, "low");
        assert_eq!((decision.verdict, low.finding), (Verdict::Wait, Finding::Fails));
        assert!(low.p_value.unwrap() > 0.01 && (low.value.unwrap() - 0.005).abs() < 1e-9, "{low:?}");
        let [blocker] = &decision.blockers[..] else { panic!("{:#?}", decision.blockers) };
        let message = "the gate \"low\" is not certain yet: it is 0.5% (< 1%) (6 of 1200 failed; p-value ";
        assert!(blocker.message.starts_with(message) && blocker.message.contains("%, certain at 1%"), "{blocker:?}");

        let (minutes, decision) = world.minutes_to("r", 24 * 60).await;
        assert_eq!((decision.verdict, world.step("r")), (Verdict::Advance, "100%"));
        let low = reading(&decision.evidence, "low");
        assert!(low.finding == Finding::Holds && low.p_value.unwrap() <= 0.01, "{low:?}");
        // So it is by what was counted since the step began: 0.5 % of so many.
        let samples = low.samples.unwrap();
        assert!((samples - 20.0 * (60.0 + minutes.unwrap() as f64)).abs() < 1e-6, "{minutes:?}: {low:?}");
        assert!((3_000.0..6_000.0).contains(&samples), "{low:?}");
        // There is nobody left on the old path to compare with, and so nothing to wait for.
        world.wait(HOUR);
        let people = world.decide("r").await;
        let people = reading(&people.evidence, "people");
        assert_eq!(
            (people.finding, people.note.as_deref()),
            (Finding::Fails, Some("there are no two paths to compare"))
        );
    }

    #[tokio::test]
    async fn a_trigger_turns_it_back_once_it_is_certain_and_not_for_what_chance_does() {
        let mut world = started().await;
        // All of the first 20 are well, and of the next 3 more fail than of 180 on the old path: that happens.
        world.wait(MINUTE);
        assert_eq!(world.decide("r").await.verdict, Verdict::Wait);
        world.fault("errors", FAILED, Some(1.0));
        world.wait(MINUTE);
        assert_eq!(world.decide("r").await.verdict, Verdict::Wait);
        world.fault("errors", FAILED, Some(4.0));
        world.wait(MINUTE);
        let (minutes, decision) = world.minutes_to("r", 60).await;
        assert_eq!((decision.verdict, world.step("r")), (Verdict::RollBack, ""), "{minutes:?}");
        assert!(minutes.unwrap() < 10, "{minutes:?}");
        let incident = world.progress("r").incident.as_ref().unwrap();
        let worse = reading(&incident.evidence, "worse");
        assert!(worse.finding == Finding::Holds && worse.p_value.unwrap() <= 0.001, "{worse:?}");
        assert!(worse.value.unwrap() > 10.0 && (worse.baseline.unwrap() - 0.005).abs() < 1e-9, "{worse:?}");
        assert!(incident.reason.contains("on the old path; p-value"), "{}", incident.reason);
        assert!(world.people("f").is_empty());
    }

    /// Between its first scrapes, `increase` makes up to twice as much of a window.
    #[tokio::test]
    async fn nothing_is_weighed_before_counters_were_scraped_ten_times() {
        let text = PLAN.replace("scrapeInterval: 5s", "scrapeInterval: 1m");
        let definitions = Definitions::read(&[Source::new("f.yaml", text)]).unwrap();
        let mut world = World::of(definitions, "2025-12-01T08:00:00Z", numbers).await;
        world.start("r").await;
        world.fault("errors", FAILED, Some(20.0));
        let (minutes, decision) = world.minutes_to("r", 60).await;
        assert_eq!((decision.verdict, minutes), (Verdict::RollBack, Some(10)));
    }

    #[tokio::test]
    async fn another_share_of_people_holds_it_and_after_a_review_they_are_counted_anew() {
        let mut world = started().await;
        world.fault("users", PEOPLE, Some(10.0));
        // Until all clients know of the step, it does not count, and nothing goes on.
        world.wait(10 * MINUTE);
        let people = reading(&world.decide("r").await.evidence, "people").clone();
        assert_eq!((people.finding, people.value), (Finding::Pending, None));
        let (minutes, decision) = world.minutes_to("r", 120).await;
        assert_eq!((decision.verdict, world.progress("r").phase), (Verdict::Hold, Phase::Held), "{minutes:?}");
        let reason = &world.progress("r").last.reason;
        assert!(reason.contains("are on the new path, not 10%; p-value"), "{reason}");

        // What was counted before somebody looked at it counts no more.
        world.mend();
        world.act("r", "ana", Verb::Resume).await;
        assert_eq!(world.minutes_to("r", 30).await.0, None);
        let people = world.decide("r").await;
        let people = reading(&people.evidence, "people");
        assert!((people.samples.unwrap() - 20.0 * 200.0).abs() < 1e-6 && people.p_value == Some(1.0), "{people:?}");
        // If it is not mended, it is held again.
        world.fault("users", PEOPLE, Some(10.0));
        assert_eq!(world.minutes_to("r", 600).await.1.verdict, Verdict::Hold);
    }

    #[tokio::test]
    async fn without_counts_there_is_no_data() {
        for (number, note) in [(None, "no data"), (Some(f64::MAX), "is no count"), (Some(-1.0), "is no count")] {
            let mut world = started().await;
            world.fault("errors", FAILED, number);
            world.fault("users", PEOPLE, number);
            world.wait(12 * HOUR);
            let decision = world.decide("r").await;
            assert_eq!(decision.verdict, Verdict::Wait);
            for guard in ["low", "worse", "slow", "people"] {
                let reading = reading(&decision.evidence, guard);
                assert_eq!(reading.finding, Finding::NoData, "{guard}");
                assert!(reading.note.as_ref().unwrap().contains(note), "{reading:?}");
            }
        }
        let mut world = started().await;
        for (metric, of) in [("errors", Count::Samples), ("errors", Count::Failures), ("users", Count::Value)] {
            world.fault(metric, a_minute(of, Arm::New), Some(0.0));
            world.fault(metric, a_minute(of, Arm::Old), Some(0.0));
        }
        world.wait(12 * HOUR);
        let evidence = world.decide("r").await.evidence;
        assert!(evidence.iter().all(|reading| reading.finding == Finding::NoData), "{evidence:#?}");
    }

    #[tokio::test]
    async fn what_is_asked_is_how_many_there_were_since_the_step_began() {
        let mut world = started().await;
        world.wait(90 * MINUTE + 1);
        let questions = world.plan("r").questions(world.progress("r"), "production", world.now);
        assert!(questions.iter().all(|question| question.from == world.now && question.to == world.now));
        let queries: Vec<&str> = questions.iter().map(|question| question.query.as_str()).collect();
        assert_eq!(
            queries,
            [
                "all{path=\"new\"}[1h30m1ms]",
                "all{path=\"old\"}[1h30m1ms]",
                "failed{path=\"new\"}[1h30m1ms]",
                "failed{path=\"old\"}[1h30m1ms]",
                "users{path=\"new\"}[1h20m1ms]",
                "users{path=\"old\"}[1h20m1ms]",
            ]
        );
    }
}
