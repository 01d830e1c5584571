//! Whatever text comes as a snapshot, it is refused or every flag of it has an answer for everyone at any time.
#![no_main]

use flagstone::{Context, Pin, Pins, Snapshot, Timestamp};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static CONTEXTS: LazyLock<[Context; 3]> = LazyLock::new(|| {
    let full = include_str!("../seeds/context/full.json");
    [Context::empty(), Context::new(7), Context::from_json(full).expect("the seed is a context")]
});

fuzz_target!(|payload: &str| {
    let Ok(snapshot) = Snapshot::from_payload(payload) else { return };
    for millis in [i64::MIN, 0, 1_737_000_000_000, i64::MAX] {
        let flags = snapshot.at(Timestamp::from_millis(millis));
        for context in CONTEXTS.iter() {
            for evaluation in flags.all(context) {
                assert_eq!(evaluation.value.is_some(), evaluation.error_code.is_none());
                let explanation = flags.explain(&evaluation.flag, context).expect("the flag is there");
                assert_eq!(explanation.evaluation, evaluation);
                let mut own = explanation.steps.iter().filter(|step| step.depth == 0).rev();
                assert_eq!(own.next().map(|step| (Some(step.step), step.decided)), Some((evaluation.step, true)));
                assert!(own.all(|step| !step.decided));
                if let Some(variant) = evaluation.variant {
                    let pins = Pins::default().with(&*evaluation.flag, Pin::Variant(variant.to_owned()));
                    assert_eq!(flags.with_pins(&pins).details(&evaluation.flag, context).variant, Some(variant));
                }
            }
        }
    }
});
