//! What deciding costs: a quarter of the users (W1), five rules before a split (W2), and loading 1,000 flags (W4).
//!
//! `make bench` runs it. Quote ratios taken in one run, not single figures: machines are noisy.

use flagstone::{Context, Snapshot, Timestamp};

fn main() {
    divan::main();
}

/// Half the flags serve a quarter of the users, half go through five rules.
fn payload(flags: usize) -> String {
    let ramp = |index: usize| {
        format!(
            r#""ramp-{index}":{{"type":"boolean","variants":{{"on":true,"off":false}},"off":"off","salt":"ramp-{index}",
            "default":{{"ramp":{{"percent":25000,"serve":"on"}}}}}}"#
        )
    };
    let rules = |index: usize| {
        format!(
            r#""rules-{index}":{{"type":"string","variants":{{"A":"A","B":"B"}},"off":"A","salt":"rules-{index}","rules":[
            {{"id":"country","when":{{"attribute":"country","in":["CA","GB","US"]}},"serve":"A"}},
            {{"id":"plan","when":{{"attribute":"plan","equals":"pro"}},"serve":"A"}},
            {{"id":"staff","when":{{"attribute":"email","endsWith":["@example.com"]}},"serve":"A"}},
            {{"id":"version","when":{{"attribute":"appVersion","semverGreaterThanOrEqual":"2.3.0"}},"serve":"A"}}],
            "default":{{"split":[["A",50000],["B",100000]]}}}}"#
        )
    };
    let flags: Vec<String> = (0..flags / 2).flat_map(|index| [ramp(index), rules(index)]).collect();
    format!(
        r#"{{"schema":1,"environment":"bench","audience":"server","version":1,"created":"2026-01-01T00:00:00Z",
        "flags":{{{}}}}}"#,
        flags.join(",")
    )
}

fn snapshot() -> Snapshot {
    Snapshot::from_payload(payload(1_000)).expect("the payload is a snapshot")
}

/// A user who reaches the split.
fn user() -> Context {
    Context::new("user-0000042")
        .with("country", "DE")
        .with("plan", "free")
        .with("email", "someone@mail.test")
        .with("appVersion", "2.1.0")
        .with("device", "mobile")
}

#[divan::bench]
fn w1_ramp(bencher: divan::Bencher<'_, '_>) {
    let (snapshot, user) = (snapshot(), user());
    let flags = snapshot.at(Timestamp::from_millis(0));
    bencher.bench(|| flags.boolean(divan::black_box("ramp-42"), false, divan::black_box(&user)));
}

#[divan::bench]
fn w2_rules_then_split(bencher: divan::Bencher<'_, '_>) {
    let (snapshot, user) = (snapshot(), user());
    let flags = snapshot.at(Timestamp::from_millis(0));
    bencher.bench(|| flags.string(divan::black_box("rules-42"), "", divan::black_box(&user)));
}

#[divan::bench]
fn w4_load_1000_flags(bencher: divan::Bencher<'_, '_>) {
    let payload = payload(1_000);
    bencher.with_inputs(|| payload.clone()).bench_values(Snapshot::from_payload);
}
