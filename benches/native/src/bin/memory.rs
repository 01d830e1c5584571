//! Prints, as JSON, what 10,000 flags take in memory beside the length of their JSON: when loaded, and at most while loading.

use flagstone_benches::{Flags, flagstone_definitions};

fn main() {
    let definitions = flagstone_definitions::definitions(&Flags::new(10_000));
    let mut snapshot = None;
    let taken = allocation_counter::measure(|| snapshot = Some(flagstone_definitions::load(&definitions)));
    assert_eq!(snapshot.map(|snapshot| snapshot.flags().len()), Some(10_000));
    let figures =
        serde_json::json!({"json": definitions.len(), "loaded": taken.bytes_current, "loading": taken.bytes_max});
    println!("{figures}");
}
