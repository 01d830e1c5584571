//! How long someone takes: the least of short samples, for whatever else the machine does only adds, after as long a time for warming
//! up.

use crate::Contestant;
use flagstone_benches::{Flags, users};
use serde_json::{Value, json};
use std::hint::black_box;
use std::time::{Duration, Instant};

const SAMPLE: Duration = Duration::from_micros(500);
const MIN_SAMPLES: usize = 9;

fn least(numbers: &[f64]) -> f64 {
    numbers.iter().copied().fold(f64::INFINITY, f64::min)
}

/// Nanoseconds a call, where `run` makes so many.
pub fn time(calls: usize, budget: Duration, mut run: impl FnMut()) -> f64 {
    let mut runs = 0;
    let start = Instant::now();
    while start.elapsed() < budget {
        run();
        runs += 1;
    }
    let times = (f64::from(runs) * SAMPLE.as_secs_f64() / start.elapsed().as_secs_f64()).ceil() as usize;
    let mut samples = Vec::new();
    let start = Instant::now();
    while start.elapsed() < budget || samples.len() < MIN_SAMPLES {
        let sample = Instant::now();
        for _ in 0..times {
            run();
        }
        samples.push(sample.elapsed().as_nanos() as f64 / times as f64 / calls as f64);
    }
    least(&samples)
}

/// Asks one question after another, each once the one before is answered, as code does that goes by the answers.
pub fn in_turn(count: usize, ask: impl Fn(usize) -> usize) {
    let nothing = black_box(0);
    let mut answered = 0;
    for index in 0..count {
        answered = ask(index + (answered & nothing));
    }
    black_box(answered);
}

/// - `w1`, `w2`: nanoseconds a flag, each time of another user, by the flag's key.
/// - `w4`: milliseconds from the definitions' text of 1,000 flags until they can be asked for.
pub fn measure<C: Contestant>(budget: Duration) -> Value {
    let flags = Flags::new(100);
    let evaluator = C::load(&C::definitions(&flags));
    let contexts: Vec<C::Context> = users(flags.ramps.len()).iter().map(C::context).collect();
    let w1 = time(flags.ramps.len(), budget, || {
        in_turn(contexts.len(), |index| C::boolean(&evaluator, &flags.ramps[index], &contexts[index]).into());
    });
    let w2 = time(flags.rules.len(), budget, || {
        in_turn(contexts.len(), |index| C::letter(&evaluator, &flags.rules[index], &contexts[index]).into());
    });
    let many = C::definitions(&Flags::new(1_000));
    let mut loads = Vec::new();
    let start = Instant::now();
    while start.elapsed() < budget * 2 || loads.len() < MIN_SAMPLES {
        let load = Instant::now();
        let evaluator = black_box(C::load(black_box(&many)));
        loads.push(load.elapsed().as_secs_f64() * 1_000.0);
        drop(evaluator);
    }
    json!({"w1": w1, "w2": w2, "w4": least(&loads)})
}
