//! What only Flagstone is asked, and what nobody can go below.

use crate::measure::{in_turn, time};
use flagstone::{Context, FlagHandle, Snapshot, Timestamp};
use flagstone_benches::flagstone_definitions::{context, definitions, listed, load, of_entries, of_rules};
use flagstone_benches::{Flags, users};
use serde_json::{Map, Value, json};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use xxhash_rust::xxh3::xxh3_64;

/// How many evaluations are timed at once.
const EVALUATIONS: usize = 1_000;

fn contexts(count: usize) -> Vec<Context> {
    users(count).iter().map(context).collect()
}

fn handles(keys: &[String]) -> Vec<FlagHandle> {
    keys.iter().map(|key| FlagHandle::new(Box::leak(key.clone().into_boxed_str()))).collect()
}

/// W1 and W2 by handle, and a bare hash of what W1 hashes.
pub fn by_handle(what: &str, budget: Duration) -> Value {
    let flags = Flags::new(100);
    let snapshot = load(&definitions(&flags));
    let evaluator = snapshot.at(Timestamp::now());
    let contexts = contexts(flags.ramps.len());
    let (ramps, rules) = (handles(&flags.ramps), handles(&flags.rules));
    if what == "check" {
        for context in &contexts {
            for (key, handle) in flags.ramps.iter().zip(&ramps) {
                assert_eq!(evaluator.boolean(handle, false, context), evaluator.boolean(key, false, context), "{key}");
            }
            for (key, handle) in flags.rules.iter().zip(&rules) {
                assert_eq!(evaluator.string(handle, "", context), evaluator.string(key, "", context), "{key}");
            }
        }
        return Value::Null;
    }
    let hashed: Vec<String> =
        flags.ramps.iter().zip(users(ramps.len())).map(|(salt, user)| format!("{salt}\0{}", user.id)).collect();
    let hash = time(hashed.len(), budget, || {
        in_turn(hashed.len(), |index| xxh3_64(hashed[index].as_bytes()) as usize);
    });
    let w1 = time(ramps.len(), budget, || {
        in_turn(ramps.len(), |index| evaluator.boolean(&ramps[index], false, &contexts[index]).into());
    });
    let w2 = time(rules.len(), budget, || {
        in_turn(rules.len(), |index| evaluator.string(&rules[index], "", &contexts[index]).len());
    });
    json!({"hash": hash, "w1": w1, "w2": w2})
}

/// Nanoseconds an evaluation by number of flags, of rules, of entries of a list.
pub fn growth(what: &str, budget: Duration) -> Value {
    if what == "check" {
        return Value::Null;
    }
    let users = contexts(EVALUATIONS);
    let now = Timestamp::now();
    // Far from one another, as flags that are asked for in turn are.
    let far = |index: usize, of: usize| (index * 7_919) % of;
    let (mut by_key, mut by_handle, mut rules, mut entries) = (Map::new(), Map::new(), Map::new(), Map::new());
    for count in [10, 100, 1_000, 10_000, 100_000] {
        let flags = Flags::new(count);
        let snapshot = load(&definitions(&flags));
        let evaluator = snapshot.at(now);
        let keys: Vec<String> =
            (0..EVALUATIONS).map(|index| flags.ramps[far(index, flags.ramps.len())].clone()).collect();
        let handles = handles(&keys);
        let figure = time(EVALUATIONS, budget, || {
            in_turn(EVALUATIONS, |index| evaluator.boolean(&keys[index], false, &users[index]).into());
        });
        by_key.insert(count.to_string(), figure.into());
        let figure = time(EVALUATIONS, budget, || {
            in_turn(EVALUATIONS, |index| evaluator.boolean(&handles[index], false, &users[index]).into());
        });
        by_handle.insert(count.to_string(), figure.into());
    }
    for count in [1, 10, 100, 1_000] {
        let snapshot = of_rules(count);
        let evaluator = snapshot.at(now);
        let figure = time(100, budget, || {
            in_turn(100, |index| evaluator.string("rules", "", &users[index]).len());
        });
        rules.insert(count.to_string(), figure.into());
    }
    for count in [10, 100, 1_000, 10_000, 100_000, 1_000_000] {
        let snapshot = of_entries(count);
        let evaluator = snapshot.at(now);
        let users: Vec<Context> = (0..EVALUATIONS).map(|index| Context::new(listed(far(index, 2 * count)))).collect();
        let listed = users.iter().filter(|context| evaluator.boolean("list", false, context)).count();
        assert!((400..600).contains(&listed), "{listed} of {EVALUATIONS} are listed, of whom half should be");
        let figure = time(EVALUATIONS, budget, || {
            in_turn(EVALUATIONS, |index| evaluator.boolean("list", false, &users[index]).into());
        });
        entries.insert(count.to_string(), figure.into());
    }
    json!({"flags by key": by_key, "flags by handle": by_handle, "rules": rules, "entries": entries})
}

/// Evaluations a microsecond, of all threads together, that share one snapshot.
pub fn threads(what: &str, budget: Duration) -> Value {
    if what == "check" {
        return Value::Null;
    }
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let mut counts: Vec<usize> = (0..).map(|power| 1 << power).take_while(|count| *count < cores).collect();
    counts.push(cores);
    let flags = Flags::new(100);
    let snapshot = load(&definitions(&flags));
    let figures = counts.into_iter().map(|count| (count.to_string(), rate(&snapshot, &flags, count, budget).into()));
    Value::Object(figures.collect())
}

fn rate(snapshot: &Snapshot, flags: &Flags, threads: usize, budget: Duration) -> f64 {
    let is_over = AtomicBool::new(false);
    let evaluate = || {
        let contexts = contexts(flags.ramps.len());
        let evaluator = snapshot.at(Timestamp::now());
        let (mut evaluations, start) = (0, Instant::now());
        while !is_over.load(Ordering::Relaxed) {
            in_turn(contexts.len(), |index| evaluator.boolean(&flags.ramps[index], false, &contexts[index]).into());
            evaluations += contexts.len();
        }
        evaluations as f64 / start.elapsed().as_micros() as f64
    };
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(evaluate)).collect();
        thread::sleep(budget * 10);
        is_over.store(true, Ordering::Relaxed);
        running.into_iter().map(|thread| thread.join().expect("a thread that ends well")).sum()
    })
}
