//! What a generator loses silently is not compared any more: here it is counted.

use super::generate::{self, INSTANTS};
use super::native::Native;
use super::users::User;
use flagstone::{ErrorCode, Evaluation, Finding, Membership, Reason, Step, Timestamp, Truth};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const USERS: u64 = 3_000;

/// Every evaluation of some users, at every instant.
fn each(native: &Native, mut see: impl FnMut(&str, &Evaluation<'_>)) {
    for number in 0..USERS {
        let context = User::generate(1, number).context();
        let now = generate::instant(1, number % INSTANTS);
        for side in &native.sides {
            for question in &side.generated.questions {
                see(side.generated.audience.name(), &side.ask(question, &context, now));
            }
        }
    }
}

/// The strings under a member of this name, anywhere in the payloads.
fn payloads(native: &Native) -> Vec<Value> {
    native.sides.iter().map(|side| serde_json::from_str(&side.generated.payload).expect("a payload is JSON")).collect()
}

fn members<'v>(value: &'v Value, found: &mut BTreeSet<&'v str>) {
    match value {
        Value::Object(all) => all.iter().for_each(|(name, value)| {
            found.insert(name);
            members(value, found);
        }),
        Value::Array(all) => all.iter().for_each(|value| members(value, found)),
        _ => {}
    }
}

/// What FORMAT.md lists between backquotes in the first column of its tables.
fn documented(after: &str, before: &str) -> Vec<&'static str> {
    const FORMAT: &str = include_str!("../../snapshot/FORMAT.md");
    let section =
        FORMAT.split_once(after).and_then(|(_, rest)| rest.split_once(before)).expect("FORMAT.md has this section").0;
    let cells = section.lines().filter_map(|line| line.strip_prefix('|')?.split('|').next());
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect()
}

fn operators() -> Vec<String> {
    let mut names: Vec<String> = documented("| operators | operand |", "## Hashes")
        .into_iter()
        .filter(|name| *name != "Ci")
        .map(str::to_owned)
        .collect();
    // The table writes these as "`contains`, …, and with `Ci`".
    names.extend(["containsCi", "startsWithCi", "endsWithCi"].map(str::to_owned));
    names
}

#[test]
fn the_payloads_hold_every_member_of_the_format() {
    let native = Native::new(1).unwrap_or_else(|error| panic!("{error}"));
    let payloads = payloads(&native);
    let mut found = BTreeSet::new();
    payloads.iter().for_each(|payload| members(payload, &mut found));
    let mut wanted = documented("## The document", "## A flag");
    wanted.extend(documented("## A flag", "`SERVE` is one of"));
    wanted.extend(documented("## A segment", "## A condition").into_iter().filter(|name| *name != "targetingKey"));
    wanted.extend([
        "split",
        "ramp",
        "percent",
        "schedule",
        "before",
        "points",
        "linear",
        "ranges",
        "positions",
        "keys",
        "segments",
        "hashed",
        "all",
        "any",
        "not",
    ]);
    let missing: Vec<_> = wanted.into_iter().filter(|name| !found.contains(name)).collect();
    assert!(missing.is_empty(), "no flag has {missing:?}");
    assert!(operators().len() > 25, "{:?}", operators());
    let missing: Vec<_> = operators().into_iter().filter(|name| !found.contains(name.as_str())).collect();
    assert!(missing.is_empty(), "no condition has {missing:?}");
    for by in ["all", "tag:doomed", "flag"] {
        assert!(
            payloads.iter().all(|payload| payload["flags"]
                .as_object()
                .is_some_and(|flags| flags.values().any(|flag| flag["killed"] == by))),
            "{by}"
        );
    }
    let client = payloads.iter().find(|payload| payload["audience"] == "client").expect("one is for clients");
    assert!(client["flags"]["in-confidential"].to_string().contains("inHashed"));
    assert!(!client.to_string().contains("\"user-11\""), "people's keys are hashed");
}

#[test]
fn every_operator_holds_fails_and_is_unknown() {
    let native = Native::new(1).unwrap_or_else(|error| panic!("{error}"));
    let mut seen: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    each(&native, |audience, evaluation| {
        let variant = evaluation.variant.unwrap_or_default();
        seen.entry((audience.to_owned(), evaluation.flag.clone())).or_default().insert(variant.to_owned());
    });
    let segments = ["lists", "grown-up", "accounts", "whoever", "condition"].map(|name| format!("segment-{name}"));
    let flags = operators()
        .into_iter()
        .map(|name| if name == "inHashed" { "in-confidential".to_owned() } else { name })
        .chain(segments);
    for flag in flags.chain(["equals-confidential".to_owned()]) {
        // Clients have another form of what is hashed for them, and the same of the rest.
        let hashed = ["equals", "in-", "segment-"].iter().any(|start| flag.starts_with(start));
        for audience in if hashed { &["server", "client"][..] } else { &["server"] } {
            let variants = &seen[&((*audience).to_owned(), flag.clone())];
            let wanted: &[&str] = if flag == "exists" { &["holds", "fails"] } else { &["holds", "fails", "unknown"] };
            assert!(wanted.iter().all(|variant| variants.contains(*variant)), "{flag} for {audience}: {variants:?}");
        }
    }
}

#[test]
fn every_step_reason_and_error_code_occurs() {
    let native = Native::new(1).unwrap_or_else(|error| panic!("{error}"));
    let (mut steps, mut reasons, mut errors) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let (mut key_missing, mut until) = (0, 0);
    each(&native, |_, evaluation| {
        steps.extend(evaluation.step.map(Step::name));
        reasons.insert(evaluation.reason.name());
        errors.extend(evaluation.error_code.map(ErrorCode::name));
        key_missing += u32::from(evaluation.key_missing);
        until += u32::from(evaluation.until.is_some());
    });
    // Pins are of one process and outside the promise.
    let wanted = [
        Step::Kill,
        Step::Disabled,
        Step::Unsupported,
        Step::Prerequisite,
        Step::Deny,
        Step::Exclude,
        Step::Allow,
        Step::Holdout,
        Step::Layer,
        Step::Rule(0),
        Step::Default,
    ];
    assert_eq!(steps, wanted.into_iter().map(Step::name).collect());
    let wanted = [
        Reason::Static,
        Reason::Default,
        Reason::TargetingMatch,
        Reason::Split,
        Reason::Disabled,
        Reason::Stale,
        Reason::Error,
    ];
    assert_eq!(reasons, wanted.into_iter().map(Reason::name).collect());
    // PROVIDER_NOT_READY is what there is before a snapshot, so nothing evaluates to it here.
    let wanted = [ErrorCode::FlagNotFound, ErrorCode::TypeMismatch, ErrorCode::General];
    assert_eq!(errors, wanted.into_iter().map(ErrorCode::name).collect());
    assert!(key_missing > 1_000 && until > 1_000, "{key_missing} without a key, {until} on a schedule");
}

/// Flags that serve everyone the same.
const CONSTANT: &[&str] = &[
    "ramp-0",
    "ramp-8",
    "js31-0",
    "js31-8",
    "split-2",
    "split-3",
    "split-4",
    "killed-tag",
    "killed-flag",
    "killed-all",
    "disabled",
    "disabled-by-state",
    "lacking",
    "lacking-killed",
    "lacking-disabled",
    "holdout-nobody",
    "holdout-everybody",
    "needs-killed",
    "needs-killed-off",
    "needs-lacking",
    "segment-empty",
    "no-such-flag",
    "toString",
    "plain",
    // One user in a hundred thousand, and in ten thousand.
    "ramp-1",
    "ramp-2",
];

#[test]
fn flags_serve_different_users_differently() {
    let native = Native::new(1).unwrap_or_else(|error| panic!("{error}"));
    let mut served: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    each(&native, |_, evaluation| {
        served.entry(evaluation.flag.clone()).or_default().insert(format!("{:?}", evaluation.variant));
    });
    let same: Vec<_> =
        served.iter().filter(|(flag, variants)| variants.len() < 2 && !CONSTANT.contains(&flag.as_str())).collect();
    assert!(same.is_empty(), "these serve everyone the same: {same:?}");
    for flag in ["numbers", "strings", "json", "booleans", "many-variants"] {
        let variants = native.sides[0].generated.payload.parse::<Value>().expect("JSON")["flags"][flag]["variants"]
            .as_object()
            .map_or(0, |v| v.len());
        // What `patch` put there was a variant before, so the split knows all.
        let none = usize::from(served[flag].contains("None"));
        assert_eq!(served[flag].len() - none, variants, "{flag} never serves some of its variants: {:?}", served[flag]);
    }
}

#[test]
fn everything_that_can_be_found_is_found() {
    let native = Native::new(1).unwrap_or_else(|error| panic!("{error}"));
    let mut kinds: BTreeSet<String> = BTreeSet::new();
    for number in 0..300 {
        let context = User::generate(1, number).context();
        for side in &native.sides {
            for question in &side.generated.questions {
                let now = generate::instant(1, number % INSTANTS);
                for finding in side.explain(question, &context, now) {
                    kinds.insert(match finding {
                        Finding::Threshold { membership, ref holdout, .. } => {
                            format!("{} {membership:?}", if holdout.is_some() { "holdout" } else { "ramp" })
                        }
                        Finding::Condition { truth, .. } => format!("condition {truth:?}"),
                        Finding::Segment { truth, .. } => format!("segment {truth:?}"),
                        Finding::List { listed } => format!("list {listed}"),
                        Finding::Prerequisite { holds, .. } => format!("prerequisite {holds}"),
                        Finding::Ranges { inside, ref layer, .. } => {
                            format!("{} {inside}", if layer.is_some() { "layer" } else { "positions" })
                        }
                        other => format!("{other:?}").split(' ').next().unwrap_or_default().to_lowercase(),
                    });
                }
            }
        }
    }
    let memberships = [Membership::In, Membership::Out, Membership::KeyMissing];
    let mut wanted: BTreeSet<String> = ["killed", "lacking", "part"].map(str::to_owned).into();
    wanted.extend(
        memberships.iter().flat_map(|membership| ["ramp", "holdout"].map(|what| format!("{what} {membership:?}"))),
    );
    wanted.extend(
        [Truth::True, Truth::False, Truth::Unknown]
            .iter()
            .flat_map(|truth| ["condition", "segment"].map(|what| format!("{what} {truth:?}"))),
    );
    wanted.extend(
        ["list", "prerequisite", "layer", "positions"]
            .iter()
            .flat_map(|what| [true, false].map(|yes| format!("{what} {yes}"))),
    );
    assert_eq!(kinds, wanted);
}

#[test]
fn instants_lie_on_edges_and_beside_them() {
    let instants: BTreeSet<i64> = (0..INSTANTS).map(|chunk| generate::instant(1, chunk).as_millis()).collect();
    assert_eq!(instants.len() as u64, INSTANTS);
    let payload: Value = serde_json::from_str(&generate::snapshots(1)[0].payload).expect("JSON");
    let points = payload["flags"]["schedule-linear"]["default"]["ramp"]["schedule"]["points"]
        .as_array()
        .expect("points")
        .clone();
    assert_eq!(points.len(), 5);
    for at in points.iter().filter_map(|point| point[0].as_i64()) {
        assert!(
            [at - 1, at, at + 1].iter().all(|instant| instants.contains(instant)),
            "{}",
            Timestamp::from_millis(at)
        );
    }
}

#[test]
fn a_seed_makes_the_same_results_and_another_seed_others() {
    let digest = |seed: u64| {
        let users: Vec<_> = (0..50).map(|number| User::generate(seed, number)).collect();
        Native::new(seed).unwrap_or_else(|error| panic!("{error}")).evaluate(&users, generate::created()).digest()
    };
    assert_eq!(digest(3), digest(3));
    assert_ne!(digest(3), digest(4));
}
