//! What is said of plans beforehand: every trap of the documents, every kind of advice, and nothing of what is as it should be.
#![cfg(feature = "definitions")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use flagstone::Timestamp;
use flagstone::rollout::{Advice, Condition};
use flagstone::snapshot::definitions::{Definitions, Problem, Severity, Source, advise, lint};
use proptest::prelude::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rollouts").join(folder);
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn read(files: &[PathBuf]) -> Result<Definitions, Vec<Problem>> {
    let name = |file: &Path| file.file_name().unwrap().to_string_lossy().into_owned();
    let sources: Vec<_> = files.iter().map(|file| Source::new(name(file), std::fs::read(file).unwrap())).collect();
    Definitions::read(&sources)
}

/// What is found, by their codes: errors, and what is advised.
fn found(read: Result<Definitions, Vec<Problem>>, now: Timestamp) -> Vec<Problem> {
    match read {
        Ok(definitions) => {
            let errors = lint(&definitions).into_iter().filter(Problem::is_error);
            errors.chain(advise(&definitions, now)).collect()
        }
        Err(problems) => problems.into_iter().filter(Problem::is_error).collect(),
    }
}

fn codes(found: &[Problem]) -> Vec<String> {
    found.iter().map(|problem| problem.code.map_or("error".to_owned(), |code| code.to_string())).collect()
}

fn shown(found: &[Problem]) -> String {
    found.iter().map(|problem| format!("{problem}\n")).collect()
}

#[test]
fn every_trap_of_the_documents_is_found() {
    let said = |text: &str, what: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("# {what}: ")));
        line.map(str::to_owned)
    };
    let traps = files("traps");
    assert!(traps.len() >= 20, "{traps:?}");
    for file in traps {
        let text = std::fs::read_to_string(&file).unwrap();
        let now = said(&text, "Now").unwrap_or("2025-01-01T00:00:00Z".to_owned());
        let expected = said(&text, "Finds").unwrap_or_else(|| panic!("{} does not say what it is for", file.display()));
        let found = found(read(std::slice::from_ref(&file)), at(&now));
        assert_eq!(codes(&found).join(", "), expected, "{}\n{}", file.display(), shown(&found));
        for problem in &found {
            assert!(problem.line.is_some() && problem.path.starts_with("rollouts."), "{problem:?}");
            assert!(problem.code.is_none() || problem.suggestion.is_some(), "it does not say what to do: {problem}");
        }
    }
}

#[test]
fn the_table_of_traps_names_each_file() {
    let page = include_str!("rollouts/README.md").split_once("## Traps").unwrap().1;
    let named: BTreeSet<&str> = page.split('`').filter(|part| part.ends_with(".yaml")).collect();
    let traps = files("traps");
    let there: BTreeSet<_> = traps.iter().map(|file| file.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(named, there);
    for row in page.lines().filter(|line| line.starts_with("| S")) {
        let mut parts = row.split('`').filter(|part| part.ends_with(".yaml"));
        let codes = row.split('`').filter_map(|part| part.parse::<Advice>().ok());
        let texts: String = parts
            .by_ref()
            .map(|name| {
                std::fs::read_to_string(traps[0].with_file_name(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
            })
            .collect();
        for code in codes {
            assert!(texts.contains(code.name()), "{row}: none of its files is to find {code}");
        }
    }
}

#[test]
fn nothing_is_said_of_the_five_plans() {
    let all = files("definitions");
    // Each by itself, and all of them together; when they were written, and long after it.
    for plans in all.chunks(2).chain([all.as_slice()]) {
        for now in ["2026-12-01T00:00:00Z", "2036-12-01T00:00:00Z"] {
            let found = found(read(plans), at(now));
            assert!(found.is_empty(), "{}", shown(&found));
        }
    }
}

#[test]
fn what_a_plan_accepts_has_a_reason() {
    for (name, plan) in read(&files("definitions")).unwrap().rollouts {
        assert!(plan.accepted.values().all(|why| why.len() > 20), "{name}: {:?}", plan.accepted);
    }
}

#[test]
fn the_examples_of_the_manuals_get_no_warning() {
    let now = at("2026-06-01T00:00:00Z");
    let example =
        |page: &'static str, place: usize| page.split("```yaml\n").nth(place).unwrap().split("```").next().unwrap();
    let full = example(include_str!("../src/snapshot/definitions/DEFINITIONS.md"), 2);
    let advised = found(Definitions::read(&[Source::new("DEFINITIONS.md", full)]), now);
    assert!(advised.is_empty(), "{}", shown(&advised));
    // The others do not say all that a plan can, which is for notes.
    let page = include_str!("../README.md");
    let plan = page.split_once("rollouts:\n  checkout:").unwrap().1.split("```").next().unwrap();
    let flag = "flags: {new_checkout: {salt: s-1, default: {ramp: {percent: 0, serve: on}}}}";
    let short = format!("{flag}\nrollouts:\n  checkout:{plan}");
    for text in [short.as_str(), example(include_str!("../src/rollout/STATISTICS.md"), 1)] {
        let advised = found(Definitions::read(&[Source::new("example.yaml", text)]), now);
        assert!(advised.iter().all(|problem| problem.severity == Severity::Note), "{}", shown(&advised));
    }
}

#[test]
fn the_table_has_every_kind() {
    let page = include_str!("../src/rollout/advice/ADVICE.md");
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    let rows: Vec<(String, String)> = rows
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
            assert_eq!(cells.len(), 4, "{line}");
            (cells[0].trim_matches('`').to_owned(), cells[1].to_owned())
        })
        .collect();
    let all: Vec<_> = Advice::ALL.iter().map(|code| (code.to_string(), code.severity().to_string())).collect();
    assert_eq!(rows, all);
    for code in Advice::ALL {
        assert_eq!(code.name().parse(), Ok(*code));
        assert_eq!(serde_json::to_value(code).unwrap(), code.name());
    }
    let error = "over-shoot".parse::<Advice>().unwrap_err();
    assert!(error.contains("did you mean `overshoot`?"), "{error}");
}

/// A plan of one flag, `f`, that is as it should be but for what is put in.
fn plan(flag: &str, plan: &str, steps: &str) -> String {
    format!(
        "segments: {{staff: {{include: [ana]}}}}
holdouts: {{h: {{salt: h-1, percent: 5}}, none: {{salt: none-1, percent: 0}}}}
layers: {{l: {{salt: l-1}}}}
environments: [staging, production]
flags:
  f: {{salt: f-1, rules: [{{id: staff, when: {{segment: staff}}, serve: {{ramp: {{percent: 0, serve: on}}}}}}], default: {{ramp: {{percent: 0, serve: on}}}}{flag}}}
rollouts:
  r: {{flags: [f], {plan} steps: [{steps}]}}
"
    )
}

const STEPS: &str = "{percent: 10, soak: 2d}, {percent: 50, soak: 2d}, {percent: 100, soak: 2d}";
const SIGNAL: &str = "triggers: [{signal: bug}],";
const AFTER: &str = "afterRollback: {share: share},";
const SHARE: &str = "share: {query: sum(share), window: 1m}";

/// A plan that measures: its metrics, and the rest of it.
fn measured(metrics: &str, rest: &str, steps: &str) -> String {
    plan("", &format!("{AFTER} metrics: {{{SHARE}, {metrics}}}, {rest}"), steps)
}

/// Gates and triggers on one metric.
fn guarded(gates: &str, triggers: &str) -> String {
    measured(
        "m: {query: sum(m), baseline: {value: 1}}",
        &format!("gates: [{gates}], triggers: [{{signal: bug}}, {triggers}],"),
        STEPS,
    )
}

const ERRORS: &str =
    r#"query: 'sum(rate(bad{arm="{{arm}}"}[{{window}}])) / sum(rate(all{arm="{{arm}}"}[{{window}}]))'"#;

#[test]
#[rustfmt::skip]
fn every_kind_where_it_is_and_where_it_is_not() {
    let steps = |steps: &str| plan("", SIGNAL, steps);
    let flag = |flag: &str| plan(flag, SIGNAL, STEPS);
    let top = |rest: &str| plan("", &format!("{SIGNAL} {rest}"), STEPS);
    let errors = |metric: &str, rest: &str, steps: &str| measured(&format!("e: {{{ERRORS}, {metric}}}"), rest, steps);
    let two = |second: &str| {
        format!(
            "flags:
  a: {{salt: a-1, default: {{ramp: {{percent: 0, serve: on}}}}}}
  b: {{{second}, default: {{ramp: {{percent: 0, serve: on}}}}}}
rollouts:
  r: {{flags: [a, b], {SIGNAL} steps: [{STEPS}]}}
"
        )
    };
    let cases: Vec<(String, &str)> = vec![
        (steps(STEPS), ""),
        // overshoot
        (steps("{series: {from: 5, to: 50, by: [{below: 20, add: 5}, {add: 10}]}, soak: 1h}, {percent: 100, soak: 1d}"), ""),
        (steps("{series: {from: 5, to: 50, by: [{add: 20}]}, soak: 1h}, {percent: 100, soak: 1d}"), "overshoot"),
        (steps("{series: {from: 5, to: 50, by: [{below: 20, add: 10}, {add: 25}]}, soak: 1h}, {percent: 100, soak: 1d}"), "overshoot"),
        // not-as-named
        (steps("{name: 10% of all, percent: 10, soak: 1h}, {name: from 10% to 50%, percent: 50, soak: 1h}, {percent: 100}"), ""),
        (steps("{name: canary (5 %), percent: 10, soak: 1h}, {percent: 50, soak: 1h}, {percent: 100}"), "not-as-named"),
        // leap
        (steps("{percent: 50, soak: 1h}, {percent: 100, soak: 1h}"), ""),
        (steps("{percent: 49, soak: 1h}, {percent: 100, soak: 1h}"), "leap"),
        (steps("{percent: 0}, {percent: 100, soak: 1h}"), "leap"),
        // no-soak
        (steps("{percent: 50}, {percent: 100}"), "no-soak"),
        (steps("{percent: 50, ceiling: true}, {percent: 100}"), ""),
        (steps("{percent: 50, requires: [{attestation: seen}]}, {percent: 100}"), ""),
        (steps("{percent: 50}, {percent: 100, starts: 2027-01-01T00:00:00Z}"), ""),
        // two-audiences
        (steps("{audience: {staff: 50}, percent: 10, soak: 1h}, {percent: 50, soak: 1h}, {percent: 100}"), "two-audiences"),
        (steps("{audience: {staff: 50}, percent: 0, soak: 1h}, {percent: 50, soak: 1h}, {percent: 100}"), ""),
        // set-ignored
        (steps("{percent: 50, soak: 1h, set: {f: {percent: 20}}}, {percent: 100}"), "set-ignored"),
        (steps("{percent: 50, soak: 1h, set: {f: {enabled: true}}}, {percent: 100}"), ""),
        // cleanup-too-early
        (steps("{percent: 50, soak: 1h}, {name: c, cleanup: true}"), "cleanup-too-early"),
        (steps("{percent: 50, soak: 1h}, {percent: 100, requires: [{attestation: seen}]}, {name: c, cleanup: true}"), "cleanup-too-early"),
        (steps("{percent: 50, soak: 1h}, {percent: 100, soak: 1h}, {name: c, cleanup: true}"), ""),
        (steps("{percent: 50, soak: 1h}, {percent: 100, requires: [{attestation: seen}]}, {name: c, cleanup: true, soak: 1d}"), ""),
        // left-behind
        (plan(", deny: {keys: [x]}", SIGNAL, &format!("{STEPS}, {{name: c, cleanup: true}}")), "left-behind"),
        (plan(", exclude: {positions: [[0, 1]]}", SIGNAL, &format!("{STEPS}, {{name: c, cleanup: true}}")), "left-behind"),
        (plan(", holdouts: [h]", SIGNAL, &format!("{STEPS}, {{name: c, cleanup: true}}")), "left-behind"),
        (plan(", holdouts: [none]", SIGNAL, &format!("{STEPS}, {{name: c, cleanup: true}}")), ""),
        (plan(", layer: {name: l, ranges: [[0, 50]]}", SIGNAL, &format!("{STEPS}, {{name: c, cleanup: true}}")), "left-behind"),
        (plan(", layer: {name: l, ranges: [[0, 50], [50, 100]]}", SIGNAL, &format!("{STEPS}, {{name: c, cleanup: true}}")), ""),
        (flag(", deny: {keys: [x]}"), ""),
        // nothing-turns-it-back
        (plan("", "", STEPS), "nothing-turns-it-back"),
        (plan("", "triggers: [{signal: bug, do: hold}],", STEPS), "nothing-turns-it-back"),
        (plan("", "triggers: [{signal: bug, do: stepDown}],", STEPS), ""),
        // unverified-rollback
        (plan("", &format!("metrics: {{m: {{query: sum(m)}}}}, {SIGNAL}"), STEPS), "unverified-rollback"),
        (plan("", &format!("metrics: {{m: {{query: sum(m)}}}}, afterRollback: {{gates: [{{metric: m, value: < 1}}]}}, {SIGNAL}" ), STEPS), ""),
        // never-well
        (guarded("{metric: m, value: '> 99%'}", "{metric: m, value: '> 98%'}"), "never-well"),
        (guarded("{metric: m, value: '> 98%'}", "{metric: m, value: '>= 99%'}, {metric: m, value: < 98%}"), "contradiction"),
        (guarded("{metric: m, value: '> 99%'}, {metric: m, value: < 50%}", ""), "never-well"),
        (guarded("{metric: m, improvement: '> 100%'}", ""), "never-well"),
        (guarded("{metric: m, improvement: '>= 100%'}", ""), ""),
        (guarded("{metric: m, improvement: '>= 30%'}", "{metric: m, ratio: '>= 0'}"), "never-well"),
        (guarded("{metric: m, improvement: '>= 30%'}", "{metric: m, ratio: '> 0.7'}"), ""),
        (guarded("", "{metric: m, value: '> 1'}, {metric: m, value: <= 1}"), "never-well"),
        // contradiction
        (guarded("{metric: m, value: < 1%}", "{metric: m, value: '> 0.5%'}"), "contradiction"),
        (guarded("{metric: m, value: < 1%}", "{metric: m, value: '>= 1%'}"), ""),
        (guarded("{metric: m, value: <= 1%}", "{metric: m, value: '>= 1%'}"), ""),
        (guarded("{metric: m, value: < 1%}", "{metric: m, ratio: '> 0.5'}"), ""),
        // hole
        (guarded("{metric: m, value: < 45}", "{metric: m, value: 45..50, do: hold}, {metric: m, value: '> 80'}"), "hole"),
        (guarded("{metric: m, value: < 45}", "{metric: m, value: 45..80, do: hold}, {metric: m, value: '> 80'}"), ""),
        (guarded("{metric: m, value: < 45}", "{metric: m, value: 45..50}, {metric: m, value: '> 50', do: hold}"), "hole"),
        (guarded("{metric: m, value: '> 45'}", "{metric: m, value: 30..45, do: hold}"), "hole"),
        (guarded("", "{metric: m, value: 45..50, do: hold}"), "hole"),
        (guarded("", "{metric: m, value: 45..50, do: hold}, {metric: m, value: '> 50'}"), ""),
        (guarded("", "{metric: m, value: 45..50, do: hold}, {metric: m, value: '> 60'}"), "hole"),
        (guarded("", "{metric: m, value: '> 50'}, {metric: m, value: < 10}"), ""),
        (guarded("", "{metric: m, value: '> 50'}, {metric: m, value: < 10}, {metric: m, value: 5..20, do: hold}"), ""),
        // only-waits
        (guarded("{metric: m, value: < 0.1%}", "{metric: m, value: '> 1%'}"), "only-waits"),
        (guarded("{metric: m, value: '> 99%'}", "{metric: m, value: < 95%}"), "only-waits"),
        (guarded("{metric: m, value: < 0.1%}", "{metric: m, value: '> 1%'}, {metric: m, value: 0.1%..1%, do: hold}"), ""),
        (guarded("{metric: m, value: < 0.1%}", ""), ""),
        (guarded("{metric: m, value: '> 99%'}", "{metric: m, value: < 99%}"), ""),
        // never-decides
        (guarded("{metric: m, value: < 1}, {metric: m, value: < 2}", ""), "never-decides"),
        (guarded("{metric: m, value: < 1}, {metric: m, value: < 2, for: 1h}", ""), ""),
        (guarded("{metric: m, value: < 1}", "{metric: m, value: '>= 1'}, {metric: m, value: '> 2'}"), "never-decides"),
        (guarded("{metric: m, value: < 1}", "{metric: m, value: '>= 1', do: hold}, {metric: m, value: '> 2'}"), ""),
        (guarded("{metric: m, value: < 1}", "{metric: m, value: '>= 1', for: 1h}, {metric: m, value: '> 2'}"), ""),
        (guarded("{metric: m, value: < 1}", "{metric: m, value: '>= 1'}, {metric: m, value: '>= 1', name: again}"), "never-decides"),
        (guarded("{metric: m, value: < 1}", "{metric: m, value: '>= 1'}, {metric: m, value: '>= 1', name: a, onNoData: act}"), ""),
        // A gate that is stricter later, and a trigger in the place of another.
        (measured("m: {query: sum(m)}", &format!("gates: [{{metric: m, value: < 9}}], {SIGNAL}"), "{percent: 50, soak: 1h}, {percent: 100, gates: [{metric: m, value: < 5}]}"), ""),
        (measured("m: {query: sum(m)}", "triggers: [{name: t, metric: m, value: '> 9'}, {metric: m, value: 5..9, do: hold}],", "{percent: 50, soak: 1h}, {percent: 100, triggers: [{name: t, metric: m, value: '> 4', onlyHere: true}]}"), ""),
        (measured("m: {query: sum(m)}", "triggers: [{name: t, metric: m, value: '> 9'}],", "{percent: 50, soak: 1h}, {percent: 100, triggers: [{metric: m, value: '> 4', onlyHere: true}]}"), "never-decides"),
        (measured("m: {query: sum(m)}", "triggers: [{name: t, metric: m, value: '> 9'}],", "{percent: 50, soak: 1h}, {percent: 100, triggers: [{metric: m, value: '> 12'}]}"), "never-decides"),
        // loosened
        (measured("m: {query: sum(m)}", &format!("gates: [{{name: g, metric: m, value: < 5}}], {SIGNAL}"), "{percent: 50, soak: 1h}, {percent: 100, gates: [{name: g, metric: m, value: < 9}]}"), "loosened"),
        (measured("m: {query: sum(m)}", "triggers: [{name: t, metric: m, value: '> 5'}],", "{percent: 50, soak: 1h}, {percent: 100, triggers: [{name: t, metric: m, value: '> 9'}]}"), "loosened"),
        (measured("m: {query: sum(m)}", "triggers: [{name: t, metric: m, value: '> 5'}],", "{percent: 50, soak: 1h}, {percent: 100, triggers: [{name: t, metric: m, value: '> 3'}]}"), ""),
        // longer-than-soak
        (measured("m: {query: sum(m)}", &format!("gates: [{{metric: m, value: < 5, for: 2h}}], {SIGNAL}"), "{percent: 50, soak: 2h}, {percent: 100, soak: 3h}"), "longer-than-soak"),
        (measured("m: {query: sum(m)}", &format!("gates: [{{metric: m, value: < 5, for: 115m}}], {SIGNAL}"), "{percent: 50, soak: 2h}, {percent: 100, soak: 3h}"), ""),
        (measured("m: {query: sum(m), window: 1d}", &format!("gates: [{{metric: m, value: < 5}}], {SIGNAL}"), "{percent: 50, soak: 2h}, {percent: 100}"), "longer-than-soak"),
        // shorter-than-scrape
        (measured("m: {query: sum(m)}", "scrapeInterval: 1m, triggers: [{metric: m, value: '> 5', for: 30s}],", STEPS), "shorter-than-scrape"),
        (measured("m: {query: sum(m)}", "scrapeInterval: 1m, triggers: [{metric: m, value: '> 5', for: 1m}],", STEPS), ""),
        (measured("m: {query: sum(m)}", "scrapeInterval: 1m, interval: 10s, triggers: [{metric: m, value: '> 5', consecutive: 3}],", STEPS), "shorter-than-scrape"),
        (measured("m: {query: sum(m)}", "scrapeInterval: 1m, triggers: [{metric: m, value: '> 5', consecutive: 3}],", STEPS), ""),
        (measured("m: {query: sum(m)}", "triggers: [{metric: m, value: '> 5', for: 30s}],", STEPS), ""),
        // window-too-short
        (measured("m: {query: 'sum(rate(m[{{window}}]))', window: 1m}", "scrapeInterval: 45s, triggers: [{metric: m, value: '> 5'}],", STEPS), "window-too-short"),
        (measured("m: {query: 'sum(rate(m[{{window}}]))', window: 1m}", "scrapeInterval: 30s, triggers: [{metric: m, value: '> 5'}],", STEPS), ""),
        (measured("m: {query: sum(m), window: 1s}", "scrapeInterval: 30s, triggers: [{metric: m, value: '> 5'}],", STEPS), ""),
        // too-few-samples: 10 % of 100 a minute are 50 in 5 minutes.
        (errors("samples: sum(n), minimumSamples: 51", "traffic: {eventsPerMinute: 100}, triggers: [{metric: e, value: '> 5%'}],", STEPS), "too-few-samples"),
        (errors("samples: sum(n), minimumSamples: 50", "traffic: {eventsPerMinute: 100}, triggers: [{metric: e, value: '> 5%'}],", STEPS), ""),
        (errors("samples: sum(n), minimumSamples: 51, eventsPerMinute: 103", "traffic: {eventsPerMinute: 1}, triggers: [{metric: e, value: '> 5%'}],", STEPS), ""),
        (errors("samples: sum(n), minimumSamples: 51", "triggers: [{metric: e, value: '> 5%'}],", STEPS), ""),
        (measured("m: {query: sum(m), samples: sum(n), minimumSamples: 500}", "traffic: {eventsPerMinute: 100}, triggers: [{metric: m, value: '> 5'}],", STEPS), ""),
        // one-event
        (errors("samples: sum(n), minimumSamples: 50", "triggers: [{metric: e, value: '> 1%'}],", STEPS), "one-event"),
        (errors("samples: sum(n), minimumSamples: 100", "triggers: [{metric: e, value: '> 1%'}],", STEPS), ""),
        (errors("samples: sum(n), minimumSamples: 50", "triggers: [{metric: e, value: '> 1%', for: 5m}],", STEPS), ""),
        (errors("samples: sum(n), minimumSamples: 19", "triggers: [{metric: e, value: < 95%}],", STEPS), "one-event"),
        (errors("samples: sum(n), minimumSamples: 20", "triggers: [{metric: e, value: < 95%}],", STEPS), ""),
        (errors("samples: sum(n), minimumSamples: 50", "triggers: [{metric: e, value: 1%..50%, do: hold}, {metric: e, value: '> 50%'}],", STEPS), "one-event"),
        (errors("eventsPerMinute: 100", &format!("gates: [{{metric: e, value: < 1%}}], {SIGNAL}"), STEPS), "one-event"),
        (errors("eventsPerMinute: 201", &format!("gates: [{{metric: e, value: < 1%}}], {SIGNAL}"), STEPS), ""),
        (errors("eventsPerMinute: 100", "triggers: [{metric: e, value: '> 1%'}],", STEPS), "one-event"),
        // no-minimum
        (errors("window: 5m", "triggers: [{metric: e, value: '> 1%'}],", STEPS), "no-minimum"),
        (errors("window: 5m", "triggers: [{metric: e, value: '> 1%', for: 5m}],", STEPS), ""),
        (measured("m: {query: max(memory)}", "triggers: [{metric: m, value: '> 90%'}],", STEPS), ""),
        // nobody-to-measure
        (errors("window: 5m", &format!("gates: [{{metric: e, value: < 1%}}], {SIGNAL}"), &format!("{{percent: 0}}, {STEPS}")), "nobody-to-measure"),
        (errors("window: 5m", &format!("gates: [{{metric: e, value: < 1%}}], {SIGNAL}"), &format!("{{name: s, percent: 0, shadow: true}}, {STEPS}")), ""),
        (errors("window: 5m", &format!("gates: [{{metric: e, value: < 1%}}], {SIGNAL}"), &format!("{{name: s, percent: 0, soak: 1h, audience: {{staff: 100}}}}, {STEPS}")), ""),
        (measured("m: {query: sum(m)}", &format!("gates: [{{metric: m, value: < 1%}}], {SIGNAL}"), &format!("{{percent: 0}}, {STEPS}")), ""),
        // no-baseline
        (errors("baseline: old", &format!("gates: [{{metric: e, ratio: < 2}}], {SIGNAL}"), STEPS), "no-baseline"),
        (errors("baseline: old", &format!("gates: [{{metric: e, value: < 2}}], {SIGNAL}"), STEPS), ""),
        (errors("baseline: {value: 1}", &format!("gates: [{{metric: e, ratio: < 2}}], {SIGNAL}"), STEPS), ""),
        (errors("baseline: old", SIGNAL, "{percent: 50, soak: 1h, gates: [{metric: e, ratio: < 2, onlyHere: true}]}, {percent: 100}"), ""),
        // A sequential guard counts as many as it takes, and since the step began.
        (errors("samples: 'sum(n{arm=\"{{arm}}\"}[{{window}}])', failures: 'sum(b{arm=\"{{arm}}\"}[{{window}}])', window: 1d, eventsPerMinute: 1",
            "triggers: [{metric: e, value: '> 1%', sequential: {falsePositiveRate: 1%}}, {metric: e, value: '> 2%', for: 1d}],",
            "{percent: 50, soak: 1h}, {percent: 100}"), ""),
        (errors("samples: 'sum(n{arm=\"{{arm}}\"}[{{window}}])', failures: 'sum(b{arm=\"{{arm}}\"}[{{window}}])', baseline: old",
            "triggers: [{metric: e, ratio: '> 2', sequential: {falsePositiveRate: 1%}}],",
            STEPS), "no-baseline"),
        // several-series
        (measured("m: {query: m}", "triggers: [{metric: m, value: '> 5'}],", STEPS), "several-series"),
        (measured("m: {query: 'histogram_quantile(0.95, rate(m[5m]))'}", "triggers: [{metric: m, value: '> 5'}],", STEPS), "several-series"),
        (measured("m: {query: max by (le) (m)}, idle: {query: m}", "triggers: [{metric: m, value: '> 5'}],", STEPS), ""),
        // within-too-short
        (plan("", &format!("metrics: {{share: {{query: sum(s), window: 5m}}}}, {AFTER} {SIGNAL}"), STEPS), "within-too-short"),
        (plan("", &format!("metrics: {{share: {{query: sum(s), window: 4m}}}}, {AFTER} {SIGNAL}"), STEPS), ""),
        // closed-start
        (plan("", &format!("freezes: [{{from: 2026-12-20T00:00:00Z, until: 2027-01-07T00:00:00Z}}], {SIGNAL}"), "{percent: 50, soak: 1d}, {percent: 100, starts: 2026-12-24T00:00:00Z}"), "closed-start"),
        (plan("", &format!("freezes: [{{from: 2026-12-20T00:00:00Z, until: 2027-01-07T00:00:00Z}}], {SIGNAL}"), "{percent: 50, soak: 1d}, {percent: 100, starts: 2027-01-07T00:00:00Z}"), ""),
        (plan("", &format!("windows: [{{from: '09:00', until: '16:00'}}], {SIGNAL}"), "{percent: 50, soak: 1d}, {percent: 100, starts: 2026-12-24T16:00:00Z}"), "closed-start"),
        // start-too-early
        (steps("{percent: 10, soak: 1d}, {percent: 50, starts: 2026-12-24T00:00:00Z, soak: 1d}, {percent: 100, starts: 2026-12-24T23:00:00Z}"), "start-too-early"),
        (steps("{percent: 10, soak: 1d}, {percent: 50, starts: 2026-12-24T00:00:00Z, soak: 1d}, {percent: 100, starts: 2026-12-25T00:00:00Z}"), ""),
        (steps("{percent: 10}, {series: {from: 20, to: 40, by: [{add: 10}]}, starts: 2026-12-24T00:00:00Z, soak: 1d}, {percent: 50, starts: 2026-12-26T00:00:00Z, soak: 1d}, {percent: 100}"), "start-too-early"),
        // freeze-delays
        (plan("", &format!("freezes: [{{from: 2026-12-24T00:00:00Z, until: 2027-01-07T00:00:00Z}}], {SIGNAL}"), "{percent: 10, soak: 1d}, {percent: 50, starts: 2026-12-22T00:00:00Z, soak: 2d}, {percent: 100}"), "freeze-delays"),
        (plan("", &format!("freezes: [{{from: 2026-12-24T00:00:00Z, until: 2027-01-07T00:00:00Z}}], {SIGNAL}"), "{percent: 10, soak: 1d}, {percent: 50, starts: 2026-12-22T00:00:00Z, soak: 1d}, {percent: 100}"), ""),
        (plan("", &format!("freezes: [{{from: 2026-12-24T00:00:00Z, until: 2027-01-07T00:00:00Z}}], {SIGNAL}"), "{percent: 10, soak: 1d}, {percent: 50, starts: 2026-12-22T00:00:00Z, soak: 2d}, {percent: 100, starts: 2027-02-01T00:00:00Z}"), ""),
        // past
        (steps("{percent: 50, soak: 1d}, {percent: 100, starts: 2026-06-01T00:00:00Z}"), "past"),
        (steps("{percent: 10, soak: 1d}, {percent: 50, soak: 1d, starts: 2026-05-01T00:00:00Z}, {percent: 100, starts: 2026-06-01T00:00:01Z}"), ""),
        (top("freezes: [{from: 2026-01-01T00:00:00Z, until: 2026-06-01T00:00:00Z}],"), "past"),
        // said-once
        (steps("{percent: 50, requires: [{attestation: a}]}, {percent: 100, requires: [{attestation: a}]}"), "said-once"),
        (steps("{percent: 50, requires: [{attestation: a}]}, {percent: 100, soak: 2d, requires: [{attestation: a, validFor: 2d}]}"), ""),
        (steps("{percent: 50, requires: [{attestation: a}]}, {percent: 100, soak: 2d, requires: [{attestation: a, validFor: 3d}]}"), "said-once"),
        (steps("{percent: 50, requires: [{attestation: a}]}, {percent: 100, requires: [{attestation: b}]}"), ""),
        (plan("", &format!("roles: {{lead: [ana]}}, {SIGNAL}"), "{percent: 50, requires: [{approval: lead}]}, {percent: 100, requires: [{approval: lead}]}"), ""),
        // expires-at-once
        (steps("{percent: 50, requires: [{attestation: a, validFor: 1m}]}, {percent: 100}"), "expires-at-once"),
        (steps("{percent: 50, requires: [{attestation: a, validFor: 2m}]}, {percent: 100}"), ""),
        // unused-role
        (top("roles: {lead: [ana]},"), "unused-role"),
        // uneven-hash, whole-percents
        (flag(", scheme: js31"), "uneven-hash"),
        (plan(", scheme: js31", SIGNAL, "{percent: 50, soak: 1d}, {percent: 100, soak: 1d}"), ""),
        (plan(", scheme: js31", SIGNAL, "{percent: 49.5, soak: 1d}, {percent: 99, soak: 1d}, {percent: 100}"), "whole-percents"),
        // different-cohorts
        (two("salt: b-1"), "different-cohorts"),
        (two("salt: a-1"), ""),
        (two("salt: a-1, bucketBy: account"), "different-cohorts"),
        // kill-changes-nothing
        (flag(", off: on"), "kill-changes-nothing"),
        (flag(", variants: {on: 1, off: 1}"), "kill-changes-nothing"),
        (flag(", variants: {on: 1, off: 2}"), ""),
        // in-before-start, not-moved
        (flag(", environments: {staging: {percent: 50}}"), "in-before-start"),
        (flag(", environments: {staging: {percent: 5}}"), ""),
        (flag(", allow: [{variant: on, keys: [x]}]"), "not-moved"),
        (flag(", allow: [{variant: off, keys: [x]}]"), ""),
        (plan(", allow: [{variant: on, keys: [x]}]", SIGNAL, "{name: p, percent: 0, set: {f: {enabled: false}}}, {percent: 50, soak: 1h, set: {f: {enabled: true}}}, {percent: 100}"), "in-before-start"),
        (plan(", enabled: false, allow: [{variant: on, keys: [x]}]", SIGNAL, "{percent: 50, soak: 1h, set: {f: {enabled: true}}}, {percent: 100}"), ""),
        // pinned-everywhere
        (flag(", environments: {staging: {pin: on}}"), ""),
        (flag(", environments: {staging: {pin: on}, production: {pin: on}}"), "pinned-everywhere"),
        // unused-acceptance
        (plan("", &format!("accepted: {{leap: We are in a hurry}}, {SIGNAL}"), "{percent: 100, soak: 1h}"), ""),
        (top("accepted: {leap: We are in a hurry},"), "unused-acceptance"),
    ];
    let mut seen = BTreeSet::new();
    let mut wrong = String::new();
    for (text, expected) in &cases {
        let found = found(Definitions::read(&[Source::new("f.yaml", text.as_str())]), at("2026-06-01T00:00:00Z"));
        if codes(&found).join(", ") != *expected {
            wrong += &format!("{text}is to find {expected:?}, and finds\n{}\n", shown(&found));
        }
        seen.extend(found.iter().filter_map(|problem| problem.code));
    }
    assert!(wrong.is_empty(), "{wrong}");
    let missing: Vec<_> = Advice::ALL.iter().filter(|code| !seen.contains(code)).collect();
    assert!(missing.is_empty(), "nothing shows {missing:?}");
}

#[test]
fn an_unknown_code_is_not_accepted() {
    let text = plan("", "accepted: {overshot: We know}, triggers: [{signal: bug}],", STEPS);
    let problems = Definitions::read(&[Source::new("f.yaml", text)]).unwrap_err();
    assert!(problems[0].to_string().contains("unknown value `overshot`, did you mean `overshoot`?"), "{problems:?}");
}

#[test]
fn a_plan_with_errors_gets_no_advice_until_they_are_mended() {
    let text = plan("", "", "{percent: 50}, {percent: 10}");
    let definitions = Definitions::read(&[Source::new("f.yaml", text)]).unwrap();
    assert!(lint(&definitions).iter().any(Problem::is_error));
    assert!(advise(&definitions, at("2026-06-01T00:00:00Z")).is_empty());
}

fn condition() -> impl Strategy<Value = String> {
    prop_oneof![
        ("(<|<=|>|>=)", 0u32..20).prop_map(|(sign, number)| format!("{sign} {number}")),
        (0u32..20, 0u32..9).prop_map(|(from, width)| format!("{from}..{}", from + width)),
    ]
}

proptest! {
    /// What is said of gates and triggers is so for numbers that are tried one by one.
    #[test]
    fn numbers_that_are_tried_agree(
        gates in prop::collection::vec(condition(), 0..4),
        triggers in prop::collection::vec((condition(), 0usize..4), 0..4),
    ) {
        let actions = ["hold", "stepDown", "rollbackToPrevious", "rollback"];
        let written = |guards: Vec<String>| guards.join(", ");
        let gate_list = gates.iter().enumerate().map(|(place, gate)| format!("{{name: g{place}, metric: m, value: '{gate}'}}"));
        let trigger_list = triggers.iter().enumerate().map(|(place, (trigger, action))| {
            format!("{{name: t{place}, metric: m, value: '{trigger}', do: {}}}", actions[*action])
        });
        let text = guarded(&written(gate_list.collect()), &written(trigger_list.collect()));
        let definitions = Definitions::read(&[Source::new("f.yaml", text.as_str())]).unwrap();
        let found = codes(&advise(&definitions, at("2026-06-01T00:00:00Z")));
        let is_told = |code: Advice| found.iter().any(|found| found == code.name());

        let read = |text: &String| text.parse::<Condition>().unwrap();
        let numbers: Vec<f64> = (-8..240).map(|number| f64::from(number) / 8.0).collect();
        let well = |number: f64| gates.iter().all(|gate| read(gate).holds(number));
        let acts = |number: f64| triggers.iter().filter(|(trigger, _)| read(trigger).holds(number)).map(|(_, action)| *action).max();
        let goes_on = numbers.iter().any(|number| well(*number) && acts(*number).is_none());
        prop_assert_eq!(is_told(Advice::NeverWell), !goes_on, "{}", text);
        // Of single numbers nothing is said: neighbours on both sides must agree.
        let open = numbers.iter().filter(|number| number.fract() != 0.0);
        let both = open.clone().any(|number| well(*number) && acts(*number).is_some());
        prop_assert_eq!(is_told(Advice::Contradiction), goes_on && !gates.is_empty() && both, "{}", text);
        // Without an overlap, what is done only becomes more on the way from where all is well.
        let start = open.clone().find(|number| well(**number) && acts(**number).is_none());
        if let (Some(start), false, false) = (start, gates.is_empty(), both) {
            let rises = |way: Vec<f64>| way.iter().map(|number| acts(*number)).is_sorted();
            let up = rises(open.clone().copied().filter(|number| number >= start).collect());
            let mut down: Vec<f64> = open.copied().filter(|number| number <= start).collect();
            down.reverse();
            prop_assert_eq!(is_told(Advice::Hole), !(up && rises(down)), "{}", text);
        }
    }
}
