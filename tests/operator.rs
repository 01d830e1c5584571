//! What operators do, upon what others do meanwhile.
#![cfg(feature = "control")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use flagstone::snapshot::definitions::{Definitions, Exclusion, Key, Source, State};
use flagstone::snapshot::{Envelope, SigningKey, TrustedKeys, Typ};
use flagstone::store::{Log, Operation, OperationError, Operator, Outcome, Publication, Request, StoreError, Target};
use flagstone::{Audience, Context, Engine, Snapshot, Timestamp};
use serde_json::{Value, json};

const KEY: &str = r#"{"kty":"OKP","crv":"Ed25519","alg":"Ed25519","kid":"k","environments":["production"],
    "d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

const FLAGS: &str = "
hashSalt: 4kz0Wk3dUpBbH0kZ
segments:
  staff: {when: {attribute: email, endsWith: '@example.com'}}
flags:
  ramped:
    salt: ramped-1
    tags: [payments, checkout]
    client: true
    rules: [{id: staff, when: {segment: staff}, serve: {ramp: {percent: 50, serve: on}}}, {serve: {ramp: {percent: 1, serve: on}}}]
    default: {ramp: {percent: 5, serve: on}}
  scheduled:
    salt: scheduled-1
    tags: [payments]
    default: {ramp: {schedule: {before: 0, steps: [{at: '2026-01-01T00:00:00Z', percent: 10}]}, serve: on}}
  plain: {salt: plain-1, deny: {keys: [denied]}, default: on}
  colour: {salt: colour-1, variants: {red: r, green: g, off: o}, default: red}
";

struct Place {
    folder: PathBuf,
    operator: Operator,
}

fn now() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

fn key() -> SigningKey {
    SigningKey::from_jwk(KEY.as_bytes()).unwrap()
}

fn definitions(text: &str) -> Definitions {
    Definitions::read(&[Source::new("flags.yaml", text)]).unwrap()
}

fn by(author: &str) -> Request {
    Request { now: now(), ..Request::new(author, format!("{author}'s reason")) }
}

fn flag(key: &str) -> Target {
    Target::Flag(key.to_owned())
}

fn kill(key: &str) -> Operation {
    Operation::Kill(flag(key))
}

fn percent(key: &str, rule: Option<&str>, percent: Option<&str>) -> Operation {
    let percent = percent.map(|percent| percent.parse().unwrap());
    Operation::SetPercent { flag: key.to_owned(), rule: rule.map(str::to_owned), percent }
}

fn keys(keys: &[&str]) -> Vec<Key> {
    keys.iter().map(|key| Key((*key).to_owned())).collect()
}

fn allow(flag: &str, variant: Option<&str>, people: &[&str]) -> Operation {
    Operation::Allow { flag: flag.to_owned(), variant: variant.map(str::to_owned), keys: keys(people) }
}

fn deny(flag: &str, people: &[&str]) -> Operation {
    Operation::Deny { flag: flag.to_owned(), keys: keys(people) }
}

fn unlist(flag: &str, people: &[&str]) -> Operation {
    Operation::Unlist { flag: flag.to_owned(), keys: keys(people) }
}

impl Place {
    /// An empty log of this test's own.
    fn empty(test: &str) -> Place {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("operator").join(test);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        Place { operator: Place::operator(&folder), folder }
    }

    fn operator(folder: &Path) -> Operator {
        let log = Log::open(folder.to_str().unwrap(), "production", TrustedKeys::from_iter([key().public()])).unwrap();
        Operator::new(log, vec![key()], Duration::from_secs(7 * 24 * 60 * 60))
    }

    /// With the flags above in version 1.
    async fn new(test: &str) -> Place {
        let place = Place::empty(test);
        place.publish(FLAGS, &by("ana")).await.unwrap();
        place
    }

    async fn publish(&self, text: &str, request: &Request) -> Result<Outcome, OperationError> {
        self.operator.publish(&Publication::of(definitions(text)), request).await
    }

    async fn apply(&self, operations: &[Operation], request: &Request) -> Result<Outcome, OperationError> {
        self.operator.apply(operations, request).await
    }

    /// By somebody, upon the newest.
    async fn good(&self, operation: Operation) -> Outcome {
        let outcome = self.apply(&[operation], &by("ana")).await.unwrap();
        assert!(outcome.changed && outcome.record.is_some(), "{outcome:?}");
        outcome
    }

    async fn refused(&self, operation: Operation) -> String {
        let before = self.operator.log().versions().await.unwrap();
        let error = self.apply(&[operation], &by("ana")).await.unwrap_err();
        assert_eq!(self.operator.log().versions().await.unwrap(), before);
        match error {
            OperationError::Unknown(message) | OperationError::Invalid(message) => message,
            OperationError::Problems(_) => error.to_string(),
            error => panic!("{error:?}"),
        }
    }

    /// What is served to servers, but for what differs from version to version.
    async fn served(&self) -> Value {
        let envelope = self.operator.log().current(Audience::Server).await.unwrap().unwrap();
        let trusted = TrustedKeys::from_iter([key().public()]);
        let verified =
            Envelope::parse(envelope.as_bytes()).unwrap().verify(&trusted, "production", Typ::Snapshot).unwrap();
        let mut value: Value = serde_json::from_str(&verified.payload).unwrap();
        value.as_object_mut().unwrap().retain(|name, _| name == "flags");
        value["flags"].take()
    }

    async fn variant(&self, flag: &str, user: &str) -> String {
        let envelope = self.operator.log().current(Audience::Server).await.unwrap().unwrap();
        let snapshot =
            Snapshot::from_payload(Envelope::parse(envelope.as_bytes()).unwrap().unverified_payload()).unwrap();
        snapshot
            .at(now())
            .details(flag, &Context::new(user).with("email", "someone@elsewhere.example"))
            .variant
            .unwrap()
            .to_owned()
    }

    async fn state(&self) -> Value {
        self.operator.log().head().await.unwrap().unwrap().entry.state
    }
}

#[tokio::test]
async fn a_kill_and_its_restoring_leave_everything_as_it_was() {
    let place = Place::new("kill").await;
    place.good(percent("ramped", None, Some("12.5"))).await;
    place.good(percent("ramped", Some("staff"), Some("75"))).await;
    place.good(allow("plain", None, &["user-1"])).await;
    let (before, state) = (place.served().await, place.state().await);
    for (target, killed) in [
        (Target::All, [("ramped", "all"), ("scheduled", "all"), ("plain", "all"), ("colour", "all")].as_slice()),
        (Target::Tag("payments".to_owned()), &[("ramped", "tag:payments"), ("scheduled", "tag:payments")]),
        (flag("ramped"), &[("ramped", "flag")]),
    ] {
        let outcome = place.good(Operation::Kill(target.clone())).await;
        let mut served = place.served().await;
        for (flag, by) in killed {
            let flag = served[flag].as_object_mut().unwrap();
            assert_eq!(flag.shift_remove("killed"), Some(json!(by)));
        }
        assert_eq!(served, before);
        let entry = outcome.record.unwrap().entry;
        assert_eq!((entry.author.as_str(), entry.reason.as_str()), ("ana", "ana's reason"));

        place.good(Operation::Restore(target)).await;
        assert_eq!(place.served().await, before);
        assert_eq!(place.state().await, state);
    }
    assert_eq!(place.operator.log().verify().await.unwrap(), 10);
}

#[tokio::test]
async fn a_clock_that_jumps_back_stops_no_kill() {
    let place = Place::new("clock").await;
    let past = Request { now: "2001-01-01T00:00:00Z".parse().unwrap(), ..by("dana") };
    let outcome = place.apply(&[Operation::Kill(flag("plain"))], &past).await.unwrap();
    // The log says what the clock said; those whose clocks are right take the snapshot all the same.
    assert_eq!(outcome.record.unwrap().entry.time, past.now);
    let trusted = TrustedKeys::from_iter([key().public()]);
    for (audience, envelope) in outcome.snapshots {
        let engine = Engine::new("production", audience, trusted.clone());
        engine.load(envelope.as_bytes(), now()).unwrap();
        assert_eq!(engine.snapshot().unwrap().created(), now());
    }
    assert_eq!(place.variant("plain", "user-1").await, "off");
    assert_eq!(place.operator.log().verify().await.unwrap(), 2);
}

#[tokio::test]
async fn kills_are_independent_and_say_who_and_why() {
    let place = Place::new("kills").await;
    for target in [Target::All, Target::Tag("payments".to_owned()), Target::Tag("checkout".to_owned()), flag("ramped")]
    {
        place.good(Operation::Kill(target)).await;
    }
    let killed = json!({"reason": "ana's reason", "author": "ana", "at": "2026-11-21T12:00:00Z"});
    assert_eq!(place.state().await["killedAll"], killed);
    assert_eq!(place.state().await["flags"]["ramped"], json!({"salt": "ramped-1", "killed": killed}));
    for (restore, left) in
        [(flag("ramped"), "all"), (Target::All, "tag:checkout"), (Target::Tag("checkout".to_owned()), "tag:payments")]
    {
        place.good(Operation::Restore(restore)).await;
        assert_eq!(place.served().await["ramped"]["killed"], left);
    }
    // It would stay off, against what the caller believes.
    let message = place.refused(Operation::Restore(flag("ramped"))).await;
    assert_eq!(message, "`ramped` is not killed by itself but by its tag `payments`; restore that");
    place.good(Operation::Kill(Target::All)).await;
    let message = place.refused(Operation::Restore(flag("plain"))).await;
    assert_eq!(message, "`plain` is not killed by itself but with everything; restore that");
}

#[tokio::test]
async fn what_changes_nothing_writes_nothing() {
    let place = Place::new("nothing").await;
    place.good(kill("plain")).await;
    place.good(percent("ramped", None, Some("7"))).await;
    let unchanged = [
        kill("plain"),
        Operation::Restore(flag("colour")),
        Operation::Restore(Target::All),
        Operation::Restore(Target::Tag("payments".to_owned())),
        percent("ramped", None, Some("7.000")),
        percent("scheduled", None, None),
        Operation::SetEnabled { flag: "plain".to_owned(), enabled: None },
        unlist("plain", &["nobody"]),
        Operation::Readmit { flag: "plain".to_owned() },
        Operation::Reset { flag: "plain".to_owned() },
    ];
    for operation in unchanged {
        let outcome = place.apply(std::slice::from_ref(&operation), &by("ana")).await.unwrap();
        assert!(!outcome.changed && outcome.record.is_none() && outcome.version == 3, "{operation:?}: {outcome:?}");
    }
    assert_eq!(place.operator.log().versions().await.unwrap(), [1, 2, 3]);
    // `current` is put right all the same: the writer of the kill may have died.
    fs::remove_dir_all(place.folder.join("production/current")).unwrap();
    place.apply(&[kill("plain")], &by("ana")).await.unwrap();
    assert!(place.folder.join("production/current/client.json").exists());

    // Another's kill is on record, and its reason counts.
    let outcome = place.apply(&[kill("plain")], &by("dana")).await.unwrap();
    assert!(outcome.changed);
    assert_eq!(place.state().await["flags"]["plain"]["killed"]["author"], "dana");
}

#[tokio::test]
async fn percents_are_of_a_ramp() {
    let place = Place::new("percent").await;
    let before = place.served().await;
    place.good(percent("ramped", None, Some("12.5"))).await;
    place.good(percent("ramped", Some("staff"), Some("0.001"))).await;
    // Setting what is defined is a change: publishing must not undo it.
    place.good(percent("scheduled", None, Some("10"))).await;
    let served = place.served().await;
    assert_eq!(served["ramped"]["default"]["ramp"]["percent"], 12_500);
    assert_eq!(served["ramped"]["rules"][0]["serve"]["ramp"]["percent"], 1);
    assert_eq!(served["scheduled"]["default"]["ramp"]["percent"], 10_000);
    assert_eq!(served["scheduled"]["default"]["ramp"].get("schedule"), None);
    assert_eq!(
        place.state().await["flags"]["ramped"],
        json!({"salt": "ramped-1", "percent": {"default": 12.5, "rules": {"staff": 0.001}}})
    );

    for (operation, message) in [
        (percent("rampde", None, Some("1")), "there is no flag `rampde`; did you mean `ramped`?"),
        (
            percent("nonesuch", None, Some("1")),
            "there is no flag `nonesuch`; there are `colour`, `plain`, `ramped`, `scheduled`",
        ),
        (percent("ramped", Some("staf"), Some("1")), "`ramped` has no rule `staf`, did you mean `staff`?"),
        (percent("ramped", Some("rule-2"), Some("1")), "is called so by its place alone"),
        (percent("plain", None, Some("1")), "the default of `plain` is no ramp"),
    ] {
        let refusal = place.refused(operation).await;
        assert!(refusal.contains(message), "{refusal}");
    }

    for (flag, rule) in [("ramped", None), ("ramped", Some("staff")), ("scheduled", None)] {
        place.good(percent(flag, rule, None)).await;
    }
    assert_eq!(place.served().await, before);
    assert_eq!(place.state().await, json!({}));
}

#[tokio::test]
async fn people_are_on_one_list() {
    let place = Place::new("lists").await;
    let before = place.served().await;
    assert_eq!(place.variant("plain", "u").await, "on");
    place.good(deny("plain", &["u", "v"])).await;
    assert_eq!(place.variant("plain", "u").await, "off");
    place.good(allow("plain", None, &["u"])).await;
    assert_eq!(place.variant("plain", "u").await, "on");
    assert_eq!(
        place.state().await["flags"]["plain"],
        json!({"salt": "plain-1", "allow": [{"variant": "on", "keys": ["u"]}], "deny": {"keys": ["v"]}})
    );
    // A killed flag stays off for them.
    place.good(kill("plain")).await;
    assert_eq!(place.variant("plain", "u").await, "off");
    place.good(Operation::Restore(flag("plain"))).await;
    place.good(unlist("plain", &["u", "v"])).await;

    place.good(allow("colour", Some("green"), &["u", "v"])).await;
    place.good(allow("colour", Some("red"), &["v"])).await;
    place.good(allow("colour", Some("green"), &["w", "w"])).await;
    assert_eq!(
        place.state().await["flags"]["colour"]["allow"],
        json!([{"variant": "green", "keys": ["u", "w"]}, {"variant": "red", "keys": ["v"]}])
    );
    place.good(deny("colour", &["u", "v", "w"])).await;
    assert_eq!(place.variant("colour", "w").await, "off");
    place.good(Operation::Reset { flag: "colour".to_owned() }).await;
    assert_eq!(place.served().await, before);

    for (operation, message) in [
        (allow("colour", None, &["u"]), "`colour` has `green`, `off`, `red`; say which variant they get"),
        (allow("colour", Some("gren"), &["u"]), "`colour` has no variant `gren`; did you mean `green`?"),
        (allow("plain", None, &["denied"]), "deny or exclude \"denied\""),
        (allow("plain", None, &[]), "nobody is named"),
        (deny("plian", &["u"]), "did you mean `plain`?"),
        (unlist("plain", &[]), "nobody is named"),
    ] {
        let refusal = place.refused(operation).await;
        assert!(refusal.contains(message), "{refusal}");
    }
}

#[tokio::test]
async fn cohorts_can_be_taken_out() {
    let place = Place::new("exclude").await;
    let before = place.served().await;
    let exclude = |exclusion: Value| Operation::Exclude {
        flag: "plain".to_owned(),
        exclusion: serde_json::from_value::<Exclusion>(exclusion).unwrap(),
    };
    place.good(exclude(json!({"keys": ["u"], "segments": ["staff"]}))).await;
    place.good(exclude(json!({"keys": ["v", "u"], "positions": [[0, 12.5]]}))).await;
    assert_eq!(
        place.state().await["flags"]["plain"]["exclude"],
        json!({"keys": ["u", "v"], "segments": ["staff"], "positions": [[0, 12.5]]})
    );
    assert_eq!(place.variant("plain", "u").await, "off");
    // Who is allowed is not excluded.
    place.good(allow("plain", None, &["u"])).await;
    assert_eq!(place.variant("plain", "u").await, "on");
    place.good(unlist("plain", &["u", "v"])).await;
    place.good(Operation::Readmit { flag: "plain".to_owned() }).await;
    assert_eq!(place.served().await, before);

    for (exclusion, message) in [
        (json!({}), "nobody is named"),
        (json!({"segments": ["stuff"]}), "with the state applied"),
        (json!({"positions": [[50, 10]]}), "with the state applied"),
    ] {
        let refusal = place.refused(exclude(exclusion)).await;
        assert!(refusal.contains(message), "{refusal}");
    }
}

#[tokio::test]
async fn flags_are_turned_off_and_on() {
    let place = Place::new("enabled").await;
    let before = place.served().await;
    let set = |enabled| Operation::SetEnabled { flag: "plain".to_owned(), enabled };
    place.good(set(Some(false))).await;
    assert_eq!(place.served().await["plain"]["enabled"], false);
    place.good(set(Some(true))).await;
    assert_eq!(place.served().await, before);
    place.good(set(None)).await;
    assert_eq!(place.state().await, json!({}));
}

#[tokio::test]
async fn unknown_targets_are_named() {
    let place = Place::new("unknown").await;
    for make in [Operation::Kill, Operation::Restore] {
        let message = place.refused(make(flag("ramper"))).await;
        assert_eq!(message, "there is no flag `ramper`; did you mean `ramped`?");
        let message = place.refused(make(Target::Tag("payment".to_owned()))).await;
        assert_eq!(message, "no flag has the tag `payment`; did you mean `payments`?");
    }
    // One bad operation spoils all.
    let both = [kill("plain"), kill("palin")];
    assert!(matches!(place.apply(&both, &by("ana")).await, Err(OperationError::Unknown(_))));
    assert_eq!(place.state().await, json!({}));

    // A kill can be lifted although what was killed is gone.
    place.good(kill("plain")).await;
    place.good(Operation::Kill(Target::Tag("payments".to_owned()))).await;
    place.publish("flags: {other: {salt: other-1, default: on}}", &by("ana")).await.unwrap();
    place.good(Operation::Restore(flag("plain"))).await;
    place.good(Operation::Restore(Target::Tag("payments".to_owned()))).await;
    let empty = Place::empty("unpublished");
    let message = empty.refused(Operation::Kill(Target::All)).await;
    assert_eq!(message, "nothing has been published yet");
}

#[tokio::test]
async fn a_request_says_who_and_why() {
    let place = Place::new("request").await;
    for (author, reason, message) in [
        ("ana", " ", "the reason is blank"),
        ("", "why", "the author is blank"),
        ("ana", &"x".repeat(5000) as &str, "the reason is longer than 4096 bytes"),
    ] {
        let error = place.apply(&[kill("plain")], &Request::new(author, reason)).await.unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
    }
    let rehearsal = Request { dry_run: true, ..by("ana") };
    let outcome = place.apply(&[kill("plain")], &rehearsal).await.unwrap();
    assert!(outcome.changed && outcome.record.is_none() && outcome.version == 2 && outcome.snapshots.len() == 2);
    assert_eq!(outcome.state_changes[0].path, "flags.plain");
    assert_eq!(place.operator.log().versions().await.unwrap(), [1]);
}

#[tokio::test]
async fn state_of_another_salt_is_dropped_but_for_kills() {
    let place = Place::new("salt").await;
    place.good(percent("ramped", None, Some("50"))).await;
    place.good(kill("ramped")).await;
    let resalted = FLAGS.replace("ramped-1", "ramped-2");
    place.publish(&resalted, &by("ana")).await.unwrap();
    let served = place.served().await;
    assert_eq!(
        (&served["ramped"]["killed"], &served["ramped"]["default"]["ramp"]["percent"]),
        (&json!("flag"), &json!(5000))
    );
    place.good(percent("ramped", Some("staff"), Some("60"))).await;
    let state = place.state().await;
    assert_eq!(state["flags"]["ramped"]["percent"], json!({"rules": {"staff": 60}}));
    assert_eq!(state["flags"]["ramped"]["killed"]["author"], "ana");
    assert_eq!(state["flags"]["ramped"]["salt"], "ramped-2");
}

/// As somebody does who looked at version 1.
fn having_seen(version: u64, author: &str) -> Request {
    Request { expected: Some(version), ..by(author) }
}

fn overtaken(outcome: Result<Outcome, OperationError>) -> String {
    let error = outcome.unwrap_err();
    assert!(matches!(error, OperationError::Overtaken(_)), "{error:?}");
    error.to_string()
}

#[tokio::test]
async fn a_kill_goes_over_everything() {
    let place = Place::new("kill-wins").await;
    place.good(percent("ramped", None, Some("50"))).await;
    place
        .publish(&FLAGS.replace("percent: 5,", "percent: 6,").replace("ramped-1", "ramped-2"), &by("ben"))
        .await
        .unwrap();
    for target in [flag("ramped"), Target::Tag("payments".to_owned()), Target::All] {
        let outcome = place.apply(&[Operation::Kill(target)], &having_seen(1, "dana")).await.unwrap();
        assert!(outcome.changed);
    }
    // Even one that was never there, or is yet to come.
    assert!(place.apply(&[kill("plain")], &having_seen(77, "dana")).await.unwrap().changed);
    // Nothing undoes it on the way: not a publish of what was before, not a percent.
    let back = Publication { keep_state: true, ..Publication::of(definitions(FLAGS)) };
    place.operator.publish(&back, &by("ana")).await.unwrap();
    place.good(percent("ramped", None, Some("99"))).await;
    place.operator.revert(1, &by("ana")).await.unwrap();
    place.operator.resign(None, &by("ana")).await.unwrap();
    assert_eq!(place.served().await["ramped"]["killed"], "all");
    // Nor does one who wants to lift a kill that is not the one they saw.
    let seen = place.operator.log().versions().await.unwrap().pop().unwrap();
    place.apply(&[kill("plain")], &by("eve")).await.unwrap();
    let message = overtaken(place.apply(&[Operation::Restore(flag("plain"))], &having_seen(seen, "ana")).await);
    assert!(message.contains(", eve, 2026-11-21T12:00:00Z: eve's reason (state.flags.plain.killed."), "{message}");
    place.apply(&[Operation::Restore(flag("plain"))], &by("ana")).await.unwrap();
}

#[tokio::test]
async fn changes_of_different_things_are_both_made() {
    let place = Place::new("disjoint").await;
    let changes: [(&str, Vec<Operation>); 9] = [
        ("a", vec![percent("ramped", None, Some("20"))]),
        ("b", vec![percent("ramped", Some("staff"), Some("30"))]),
        ("c", vec![Operation::SetEnabled { flag: "ramped".to_owned(), enabled: Some(false) }]),
        ("d", vec![allow("ramped", None, &["u"])]),
        ("e", vec![allow("ramped", None, &["v"])]),
        ("f", vec![deny("ramped", &["w"])]),
        ("g", vec![percent("scheduled", None, Some("3")), kill("colour")]),
        ("h", vec![kill("ramped")]),
        ("i", vec![Operation::Restore(Target::All)]),
    ];
    for (author, operations) in &changes {
        place.apply(operations, &having_seen(1, author)).await.unwrap();
    }
    let state: State = serde_json::from_value(place.state().await).unwrap();
    let ramped = &state.flags["ramped"];
    assert!(ramped.killed.is_some() && ramped.enabled == Some(false));
    assert_eq!(ramped.allow[0].keys, keys(&["u", "v"]));
    assert_eq!(ramped.deny.keys, keys(&["w"]));
    assert_eq!(ramped.percent.default.unwrap().to_string(), "20");
    assert_eq!(ramped.percent.rules["staff"].to_string(), "30");
}

#[tokio::test]
async fn a_change_of_what_changed_meanwhile_is_refused_and_says_who_did_it() {
    let place = Place::new("overtaken").await;
    let exclude = || Operation::Exclude {
        flag: "plain".to_owned(),
        exclusion: Exclusion { keys: keys(&["x"]), ..Exclusion::default() },
    };
    let enable = |enabled| Operation::SetEnabled { flag: "plain".to_owned(), enabled: Some(enabled) };
    for (theirs, ours) in [
        (percent("ramped", None, Some("20")), percent("ramped", None, Some("30"))),
        (percent("ramped", Some("staff"), Some("20")), percent("ramped", Some("staff"), Some("30"))),
        (enable(false), enable(true)),
        (allow("plain", None, &["u", "v"]), deny("plain", &["v", "w"])),
        (deny("plain", &["y"]), unlist("plain", &["y"])),
        (exclude(), Operation::Readmit { flag: "plain".to_owned() }),
        (percent("scheduled", None, Some("9")), Operation::Reset { flag: "scheduled".to_owned() }),
        (kill("colour"), Operation::Restore(flag("colour"))),
    ] {
        let seen = place.operator.log().versions().await.unwrap().pop().unwrap();
        place.apply(std::slice::from_ref(&theirs), &by("ben")).await.unwrap();
        let message = overtaken(place.apply(std::slice::from_ref(&ours), &having_seen(seen, "ana")).await);
        let told = format!("version {}, ben, 2026-11-21T12:00:00Z: ben's reason (state.", seen + 1);
        assert!(message.contains(&told), "{ours:?}: {message}");
        // Along with a kill, too: all or nothing.
        let both = [kill("ramped"), ours.clone()];
        overtaken(place.apply(&both, &having_seen(seen, "ana")).await);
        // Having looked again, it is done.
        place.apply(&[ours], &having_seen(seen + 1, "ana")).await.unwrap();
    }
    // The definition decides as well what a percent means.
    let seen = place.operator.log().versions().await.unwrap().pop().unwrap();
    place
        .operator
        .publish(
            &Publication {
                keep_state: true,
                ..Publication::of(definitions(&FLAGS.replace("percent: 5,", "percent: 6,")))
            },
            &by("cleo"),
        )
        .await
        .unwrap();
    let message = overtaken(place.apply(&[percent("ramped", None, Some("40"))], &having_seen(seen, "ana")).await);
    assert!(message.contains("cleo's reason (flags.ramped.default.ramp.percent)"), "{message}");
    // What others did and took back is no matter.
    let seen = place.operator.log().versions().await.unwrap().pop().unwrap();
    place.good(percent("scheduled", None, Some("1"))).await;
    place.good(percent("scheduled", None, None)).await;
    place.apply(&[percent("scheduled", None, Some("2"))], &having_seen(seen, "ana")).await.unwrap();

    let error = place.apply(&[percent("scheduled", None, Some("3"))], &having_seen(99, "ana")).await.unwrap_err();
    assert!(error.to_string().contains("there is no version 99; the newest is"), "{error}");
}

#[tokio::test]
async fn definitions_are_published_over_other_flags_only() {
    let place = Place::new("publish").await;
    let edit = |from: &str, to: &str| {
        assert!(FLAGS.contains(from));
        FLAGS.replace(from, to)
    };
    let plain = edit("default: on}", "owner: ana, default: on}");
    place.publish(&plain, &by("ana")).await.unwrap();

    // Of another flag, a new one, one that goes.
    let outcome = place
        .publish(
            &(edit("default: red", "default: green") + "  new: {salt: new-1, default: on}\n"),
            &having_seen(1, "ben"),
        )
        .await
        .unwrap();
    assert_eq!(outcome.definitions.flags["plain"].owner.as_deref(), Some("ana"));
    assert!(outcome.definitions.flags.contains_key("new"));
    let paths: Vec<_> = outcome.definition_changes.iter().map(|change| change.path.as_str()).collect();
    assert_eq!(paths, ["flags.colour.default", "flags.new"]);

    // Of the same flag; of a segment that a flag uses which the other changed, and the other way round.
    for (theirs, ours, path) in [
        (
            edit("default: on}", "owner: eve, default: on}"),
            edit("default: on}", "owner: ana, default: on}"),
            "flags.plain.owner",
        ),
        (
            edit("percent: 5,", "percent: 6,"),
            edit("endsWith: '@example.com'", "endsWith: '@example.org'"),
            "flags.ramped.default.ramp.percent",
        ),
        (
            edit("endsWith: '@example.com'", "endsWith: '@example.org'"),
            edit("percent: 5,", "percent: 7,"),
            "segments.staff.when.endsWith",
        ),
        (edit("4kz0Wk3dUpBbH0kZ", "5kz0Wk3dUpBbH0kZ"), edit("percent: 5,", "percent: 7,"), "hashSalt"),
    ] {
        let seen = place.publish(FLAGS, &by("ana")).await.unwrap().version;
        place.publish(&theirs, &by("ben")).await.unwrap();
        let message = overtaken(place.publish(&ours, &having_seen(seen, "ana")).await);
        assert!(message.contains(&format!("version {}, ben", seen + 1)) && message.contains(path), "{message}");
        place.publish(&ours, &having_seen(seen + 1, "ana")).await.unwrap();
    }
}

#[tokio::test]
async fn publishing_goes_by_the_state_of_the_moment() {
    let place = Place::new("publish-state").await;
    place.good(percent("ramped", None, Some("20"))).await;
    place.good(kill("ramped")).await;
    // It was not there when they looked.
    let edited = FLAGS.replace("percent: 5,", "percent: 6,");
    let error = place.publish(&edited, &having_seen(1, "ben")).await.unwrap_err();
    assert!(matches!(&error, OperationError::Overridden(changes) if changes.len() == 1), "{error}");
    assert!(error.to_string().contains("flags.ramped.default.ramp.percent"), "{error}");

    let keep = Publication { keep_state: true, ..Publication::of(definitions(&edited)) };
    let outcome = place.operator.publish(&keep, &by("ben")).await.unwrap();
    assert_eq!(outcome.overridden.len(), 1);
    let served = place.served().await;
    assert_eq!(
        (&served["ramped"]["killed"], &served["ramped"]["default"]["ramp"]["percent"]),
        (&json!("flag"), &json!(20_000))
    );

    let reset = |flag: &str| Publication { reset: vec![flag.to_owned()], ..Publication::of(definitions(&edited)) };
    overtaken(place.operator.publish(&reset("ramped"), &having_seen(1, "ben")).await);
    place.operator.publish(&reset("ramped"), &by("ben")).await.unwrap();
    let served = place.served().await;
    assert_eq!(
        (&served["ramped"]["killed"], &served["ramped"]["default"]["ramp"]["percent"]),
        (&json!("flag"), &json!(6_000))
    );
    let error = place.operator.publish(&reset("plain"), &by("ben")).await.unwrap_err();
    assert_eq!(error.to_string(), "nobody changed anything of `plain`, so there is nothing to reset");
    let error = place.operator.publish(&reset("plian"), &by("ben")).await.unwrap_err();
    assert_eq!(error.to_string(), "there is no flag `plian`; did you mean `plain`?");
}

#[tokio::test]
async fn a_revert_brings_back_definitions_alone() {
    let place = Place::new("revert").await;
    place.good(percent("ramped", None, Some("20"))).await;
    place.publish(&FLAGS.replace("default: red", "default: green"), &by("ana")).await.unwrap();
    place.good(deny("plain", &["u"])).await;
    let state = place.state().await;
    let outcome = place.operator.revert(1, &by("ana")).await.unwrap();
    assert_eq!(outcome.definitions, definitions_of(&place, 1).await);
    assert_eq!(place.state().await, state);
    assert_eq!(place.served().await["colour"]["default"], "red");
    let error = place.operator.revert(9, &by("ana")).await.unwrap_err();
    assert_eq!(error.to_string(), "there is no version 9; the newest is 5");
}

async fn definitions_of(place: &Place, version: u64) -> Definitions {
    place.operator.log().read(version).await.unwrap().contents().unwrap().0
}

#[tokio::test]
async fn resigning_renews_what_there_is() {
    let place = Place::new("resign").await;
    place.good(percent("ramped", None, Some("20"))).await;
    let before = place.served().await;
    let later = |days: i64| Request { now: now().plus_millis(days * 24 * 60 * 60 * 1000), ..by("cron") };
    let two_days = Some(Duration::from_secs(2 * 24 * 60 * 60));
    let outcome = place.operator.resign(two_days, &later(4)).await.unwrap();
    assert!(!outcome.changed && outcome.version == 2);
    let outcome = place.operator.resign(two_days, &later(6)).await.unwrap();
    assert!(outcome.changed && outcome.version == 3);
    assert!(outcome.definition_changes.is_empty() && outcome.state_changes.is_empty());
    assert_eq!(place.served().await, before);
    let client = place.operator.log().current(Audience::Client).await.unwrap().unwrap();
    let snapshot = Snapshot::from_payload(Envelope::parse(client.as_bytes()).unwrap().unverified_payload()).unwrap();
    assert_eq!(snapshot.expires().unwrap().to_string(), "2026-12-04T12:00:00Z");
    assert!(place.operator.resign(None, &later(6)).await.unwrap().changed);
}

#[tokio::test]
async fn a_log_that_lost_entries_goes_on_above_what_clients_saw() {
    let place = Place::new("recover").await;
    place.good(kill("plain")).await;
    for version in 3..=5 {
        place.good(percent("ramped", None, Some(&version.to_string()))).await;
    }
    let entry = |version: u64| place.folder.join(format!("production/entries/{version:020}.json"));
    for version in 3..=5 {
        fs::remove_file(entry(version)).unwrap();
    }
    let error = place.apply(&[kill("ramped")], &by("ana")).await.unwrap_err();
    assert!(matches!(error, OperationError::Store(StoreError::Behind { current: 5, head: 2, .. })), "{error}");
    let error = place.operator.recover(4, &by("ana")).await.unwrap_err();
    assert!(matches!(error, OperationError::Store(StoreError::Behind { current: 5, .. })), "{error}");
    let error = place.operator.recover(1, &by("ana")).await.unwrap_err();
    assert!(error.to_string().contains("the log is at version 2 already, above 1"), "{error}");
    let error = place.operator.recover(u64::MAX, &by("ana")).await.unwrap_err();
    assert!(error.to_string().contains("versions end below 2^53"), "{error}");

    let outcome = place.operator.recover(5, &by("ana")).await.unwrap();
    assert_eq!(outcome.version, 6);
    assert_eq!(place.served().await["plain"]["killed"], "flag");
    assert_eq!(place.operator.log().verify().await.unwrap(), 3);
    assert_eq!(place.operator.log().versions().await.unwrap(), [1, 2, 6]);
    place.good(kill("ramped")).await;

    let empty = Place::empty("recover-empty");
    let error = empty.operator.recover(5, &by("ana")).await.unwrap_err();
    assert!(error.to_string().contains("the log is empty"), "{error}");
}

/// Writers of all kinds at once: all is there in the end, and the kill before most.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once() {
    let place = Place::new("many").await;
    let folder = place.folder.clone();
    let writers: Vec<_> = (0..6)
        .map(|writer| {
            let operator = Place::operator(&folder);
            tokio::spawn(async move {
                let user = format!("user-{writer}");
                operator.apply(&[allow("plain", None, &[&user])], &by(&user)).await.unwrap();
                let text = format!("{FLAGS}  new-{writer}: {{salt: new-{writer}, default: on}}\n");
                operator.publish(&Publication::of(definitions(&text)), &having_seen(1, &user)).await.unwrap();
                match writer {
                    0 => operator.apply(&[kill("ramped")], &by(&user)).await.unwrap(),
                    _ => operator.resign(None, &by(&user)).await.unwrap(),
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(place.operator.log().verify().await.unwrap(), 1 + 6 * 3);
    let served = place.served().await;
    assert_eq!(served["ramped"]["killed"], "flag");
    assert_eq!(served["plain"]["allow"][0]["keys"].as_array().unwrap().len(), 6);
    assert!((0..6).all(|writer| served.get(format!("new-{writer}")).is_some()));
}
