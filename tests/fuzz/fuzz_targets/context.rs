//! Whatever text comes as a context, it is refused or every flag has an answer for it.
#![no_main]

use flagstone::{Context, Snapshot, Timestamp};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static SNAPSHOT: LazyLock<Snapshot> = LazyLock::new(|| {
    Snapshot::from_payload(include_str!("../seeds/snapshot/everything.json")).expect("the seed is a snapshot")
});

fuzz_target!(|json: &str| {
    let Ok(context) = Context::from_json(json) else { return };
    assert_eq!(Context::from_json(json), Ok(context.clone()));
    let flags = SNAPSHOT.at(Timestamp::from_millis(1_737_000_000_000));
    for evaluation in flags.all(&context) {
        assert_eq!(evaluation.value.is_some(), evaluation.error_code.is_none());
        let explanation = flags.explain(&evaluation.flag, &context).expect("the flag is there");
        assert_eq!(explanation.evaluation, evaluation);
    }
});
