//! Does what instructions are counted of, under callgrind, in a process each: `instructions` prints the names of all there is, as
//! JSON, with how many evaluations (or loads) each is of; `instructions NAME` does one.

use flagstone::{Context, FlagHandle, Snapshot, Timestamp};
use flagstone_benches::flagstone_definitions::{context, definitions, listed, load, of_entries};
use flagstone_benches::{Flags, users};
use std::hint::black_box;

const EVALUATIONS: usize = 64;
const NOW: Timestamp = Timestamp::from_millis(0);

type Count = (String, usize, Box<dyn FnOnce()>);

fn main() {
    let wanted = std::env::args().nth(1);
    let counts = counts();
    match wanted {
        None => {
            let named = counts.iter().map(|(name, times, _)| (name.clone(), (*times).into()));
            println!("{}", serde_json::Value::Object(named.collect()));
        }
        Some(wanted) => {
            let found = counts.into_iter().find(|(name, ..)| *name == wanted);
            let (.., run) = found.unwrap_or_else(|| panic!("there is no count `{wanted}`"));
            run();
        }
    }
}

fn counts() -> Vec<Count> {
    let mut counts: Vec<Count> =
        vec![("W3".to_owned(), 1, Box::new(hundred_flags)), ("W4".to_owned(), 1, Box::new(loading))];
    for flags in [10, 1_000, 10_000] {
        counts.push((format!("W1, {flags} flags"), EVALUATIONS, Box::new(move || by_key(flags))));
        counts.push((format!("W1 by handle, {flags} flags"), EVALUATIONS, Box::new(move || by_handle(flags))));
        counts.push((format!("W2, {flags} flags"), EVALUATIONS, Box::new(move || through_rules(flags))));
    }
    for entries in [10, 1_000, 100_000] {
        counts.push((format!("a list, {entries} entries"), EVALUATIONS, Box::new(move || in_list(entries))));
    }
    counts
}

/// Does it once before, so that nothing is done for the first time.
fn count(mut run: impl FnMut()) {
    run();
    counted(&mut run);
}

/// What callgrind is told to count, and nothing else.
#[inline(never)]
fn counted(run: &mut dyn FnMut()) {
    run();
}

fn contexts() -> Vec<Context> {
    users(EVALUATIONS).iter().map(context).collect()
}

/// As many keys as there are evaluations, from all over.
fn spread(keys: &[String]) -> Vec<String> {
    (0..EVALUATIONS).map(|index| keys[index * keys.len() / EVALUATIONS].clone()).collect()
}

fn by_key(flags: usize) {
    let flags = Flags::new(flags);
    let snapshot = load(&definitions(&flags));
    let (keys, contexts, flags) = (spread(&flags.ramps), contexts(), snapshot.at(NOW));
    count(|| {
        for (key, context) in keys.iter().zip(&contexts) {
            black_box(flags.boolean(black_box(key), false, black_box(context)));
        }
    });
}

fn by_handle(flags: usize) {
    let flags = Flags::new(flags);
    let snapshot = load(&definitions(&flags));
    let handle = |key: String| FlagHandle::new(Box::leak(key.into_boxed_str()));
    let handles: Vec<FlagHandle> = spread(&flags.ramps).into_iter().map(handle).collect();
    let (contexts, flags) = (contexts(), snapshot.at(NOW));
    count(|| {
        for (handle, context) in handles.iter().zip(&contexts) {
            black_box(flags.boolean(black_box(handle), false, black_box(context)));
        }
    });
}

fn through_rules(flags: usize) {
    let flags = Flags::new(flags);
    let snapshot = load(&definitions(&flags));
    let (keys, contexts, flags) = (spread(&flags.rules), contexts(), snapshot.at(NOW));
    count(|| {
        for (key, context) in keys.iter().zip(&contexts) {
            black_box(flags.string(black_box(key), "", black_box(context)));
        }
    });
}

fn hundred_flags() {
    let keys = Flags::new(100);
    let snapshot = load(&definitions(&keys));
    let (context, flags) = (context(&users(1)[0]), snapshot.at(NOW));
    count(|| {
        for key in &keys.ramps {
            black_box(flags.boolean(black_box(key), false, black_box(&context)));
        }
        for key in &keys.rules {
            black_box(flags.string(black_box(key), "", black_box(&context)));
        }
    });
}

fn loading() {
    let definitions = definitions(&Flags::new(1_000));
    count(|| {
        black_box(Snapshot::from_payload(definitions.as_str()).expect("a snapshot"));
    });
}

fn in_list(entries: usize) {
    let snapshot = of_entries(entries);
    let user = |index: usize| Context::new(listed(index * 2 * entries / EVALUATIONS));
    let (contexts, flags): (Vec<Context>, _) = ((0..EVALUATIONS).map(user).collect(), snapshot.at(NOW));
    count(|| {
        for context in &contexts {
            black_box(flags.boolean("list", false, black_box(context)));
        }
    });
}
