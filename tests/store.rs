//! The log in a local folder: what it holds, who wins, what it finds, and what a crash leaves.
#![cfg(feature = "control")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use flagstone::snapshot::{Envelope, SigningKey, TrustedKeys, Typ};
use flagstone::store::{Log, NewEntry, Record, StoreError};
use flagstone::{Audience, Snapshot, Timestamp};
use serde_json::{Value, json};

/// The key of RFC 8037 appendix A.1, so that a child process signs with the same one.
const KEY: &str = r#"{"kty":"OKP","crv":"Ed25519","alg":"Ed25519","kid":"k","environments":["production"],
    "d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

fn key() -> SigningKey {
    SigningKey::from_jwk(KEY.as_bytes()).unwrap()
}

fn trust(keys: &[&SigningKey]) -> TrustedKeys {
    keys.iter().map(|key| key.public()).collect()
}

/// An empty folder of this test's own.
fn folder(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("store").join(test);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn open(folder: &Path) -> Log {
    Log::open(folder.to_str().unwrap(), "production", trust(&[&key()])).unwrap()
}

fn snapshot(version: u64, audience: &str, note: &str) -> String {
    json!({
        "schema": 1, "environment": "production", "audience": audience, "version": version,
        "created": "2026-11-21T12:00:00Z", "expires": "2026-11-28T12:00:00Z", "flags": {}, "note": note,
    })
    .to_string()
}

fn entry(version: u64, note: &str) -> NewEntry {
    NewEntry {
        definitions: json!({"flags": {"f": {"percent": 33.333, "note": note}}}),
        state: json!({"z": 1, "a": [true, null]}),
        author: "ana@example.com".to_owned(),
        reason: format!("because of {note}"),
        time: Timestamp::from_millis(1_795_262_400_123),
        snapshots: ["server", "client"].map(|audience| snapshot(version, audience, note)).to_vec(),
    }
}

async fn append(log: &Log, head: Option<&Record>, note: &str) -> Result<Record, StoreError> {
    log.append(head, entry(Log::version_after(head), note), &[&key()]).await
}

/// A log of three entries.
async fn three(folder: &Path) -> (Log, [Record; 3]) {
    let log = open(folder);
    let one = append(&log, None, "one").await.unwrap();
    let two = append(&log, Some(&one), "two").await.unwrap();
    let three = append(&log, Some(&two), "three").await.unwrap();
    (log, [one, two, three])
}

fn entry_file(folder: &Path, version: u64) -> PathBuf {
    folder.join(format!("production/entries/{version:020}.json"))
}

fn current_file(folder: &Path, audience: Audience) -> PathBuf {
    folder.join(format!("production/current/{audience}.json"))
}

fn snapshot_file(folder: &Path, record: &Record, audience: Audience) -> PathBuf {
    let (version, sha256) = (record.entry.version, &record.entry.snapshots[&format!("production/{audience}")]);
    folder.join(format!("production/snapshots/{version:020}-{audience}-{sha256}.json"))
}

fn version_of(envelope: &str) -> u64 {
    let verified = Envelope::parse(envelope.as_bytes())
        .unwrap()
        .verify(&trust(&[&key()]), "production", Typ::Snapshot)
        .expect("what is served is signed");
    Snapshot::from_payload(verified.payload).unwrap().version()
}

fn message<T: std::fmt::Debug>(outcome: Result<T, StoreError>) -> String {
    outcome.unwrap_err().to_string()
}

#[tokio::test]
async fn what_is_appended_can_be_read() {
    let folder = folder("read");
    let log = open(&folder);
    assert_eq!(log.head().await.unwrap(), None);
    assert_eq!(log.current(Audience::Server).await.unwrap(), None);
    assert_eq!(log.verify().await.unwrap(), 0);

    let (log, records) = three(&folder).await;
    assert_eq!(log.versions().await.unwrap(), [1, 2, 3]);
    assert_eq!(log.verify().await.unwrap(), 3);

    let log = open(&folder);
    assert_eq!(log.head().await.unwrap().as_ref(), Some(&records[2]));
    for record in &records {
        assert_eq!(log.read(record.entry.version).await.unwrap(), *record);
        assert_eq!(record.kid.as_deref(), Some("k"));
        for audience in [Audience::Server, Audience::Client] {
            assert_eq!(version_of(&log.snapshot(record, audience).await.unwrap()), record.entry.version);
        }
    }
    let mut history = log.history().await.unwrap();
    for record in records.iter().rev() {
        assert_eq!(history.next().await.unwrap().as_ref(), Some(record));
    }
    assert_eq!(history.next().await.unwrap(), None);

    let written = &records[1].entry;
    let wanted = entry(2, "two");
    assert_eq!((&written.definitions, &written.state), (&wanted.definitions, &wanted.state));
    assert_eq!((&written.author, &written.reason, written.time), (&wanted.author, &wanted.reason, wanted.time));
    assert_eq!(written.previous.as_deref(), Some(records[0].sha256.as_str()));

    let current = log.current(Audience::Client).await.unwrap().unwrap();
    assert_eq!(version_of(&current), 3);
    assert_eq!(fs::read_to_string(current_file(&folder, Audience::Client)).unwrap(), current);
    assert!(matches!(log.read(4).await, Err(StoreError::Missing { .. })));
}

/// The format, which others read too.
#[tokio::test]
async fn an_entry_is_laid_out_as_documented() {
    let folder = folder("layout");
    let (_, records) = three(&folder).await;
    let hex = |text: &str| {
        hmac_sha256::Hash::hash(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let payload = |version| {
        let envelope = Envelope::parse(&fs::read(entry_file(&folder, version)).unwrap()).unwrap();
        envelope.verify(&trust(&[&key()]), "production", Typ::Entry).unwrap().payload
    };
    assert_eq!(records[1].sha256, hex(&payload(2)));
    let wanted = entry(2, "two");
    assert_eq!(
        serde_json::from_str::<Value>(&payload(2)).unwrap(),
        json!({
            "version": 2,
            "definitions": wanted.definitions,
            "state": wanted.state,
            "author": "ana@example.com",
            "reason": "because of two",
            "time": wanted.time.to_string(),
            "previous": hex(&payload(1)),
            "snapshots": {
                "production/server": hex(&snapshot(2, "server", "two")),
                "production/client": hex(&snapshot(2, "client", "two")),
            },
        })
    );
    assert_eq!(serde_json::from_str::<Value>(&payload(1)).unwrap()["previous"], Value::Null);
}

#[tokio::test]
async fn of_two_writers_one_wins() {
    let folder = folder("conflict");
    let (log, records) = three(&folder).await;
    let other = open(&folder);
    let outcomes = tokio::join!(append(&log, Some(&records[2]), "a"), append(&other, Some(&records[2]), "b"));
    let (winner, loser) = match outcomes {
        (Ok(winner), Err(loser)) | (Err(loser), Ok(winner)) => (winner, loser),
        outcomes => panic!("{outcomes:?}"),
    };
    assert!(matches!(loser, StoreError::Conflict { version: 4 }), "{loser}");
    assert_eq!(log.head().await.unwrap(), Some(winner.clone()));
    let current = log.current(Audience::Server).await.unwrap().unwrap();
    assert!(current.contains(&winner.entry.reason[11..]), "{current}");

    // Long after, too, and from the very beginning.
    assert!(matches!(append(&log, Some(&records[0]), "late").await, Err(StoreError::Conflict { version: 2 })));
    assert!(matches!(append(&log, None, "late").await, Err(StoreError::Conflict { version: 1 })));
    assert_eq!(log.verify().await.unwrap(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_writers_lose_nothing() {
    let folder = folder("writers");
    let writers = (0..8).map(|writer| {
        let log = open(&folder);
        tokio::spawn(async move {
            let mut conflicts = 0;
            for round in 0..5 {
                loop {
                    let head = log.head().await.unwrap();
                    match append(&log, head.as_ref(), &format!("{writer}/{round}")).await {
                        Ok(_) => break,
                        Err(StoreError::Conflict { .. }) => conflicts += 1,
                        Err(error) => panic!("{error}"),
                    }
                }
            }
            conflicts
        })
    });
    let mut conflicts = 0;
    for writer in writers.collect::<Vec<_>>() {
        conflicts += writer.await.unwrap();
    }
    assert!(conflicts > 0, "they never met");

    let log = open(&folder);
    assert_eq!(log.verify().await.unwrap(), 40);
    let mut reasons = Vec::new();
    let mut history = log.history().await.unwrap();
    while let Some(record) = history.next().await.unwrap() {
        reasons.push(record.entry.reason);
    }
    reasons.sort();
    let wanted = (0..8).flat_map(|writer| (0..5).map(move |round| format!("because of {writer}/{round}")));
    assert_eq!(reasons, wanted.collect::<Vec<_>>());
    for audience in [Audience::Server, Audience::Client] {
        assert_eq!(version_of(&fs::read_to_string(current_file(&folder, audience)).unwrap()), 40);
    }
}

#[tokio::test]
async fn a_changed_entry_is_found() {
    let folder = folder("changed");
    let (log, records) = three(&folder).await;
    for version in 1..=3 {
        let file = entry_file(&folder, version);
        let good = fs::read_to_string(&file).unwrap();
        // Another's name in it; cut short; something else; signed by a stranger; signed anew, but with another text.
        let stranger = SigningKey::generate(None, ["production"]).unwrap();
        let mut changed = records[version as usize - 1].entry.clone();
        let resign = |entry: &flagstone::store::Entry, key: &SigningKey| {
            Envelope::sign(&serde_json::to_string(entry).unwrap(), Typ::Entry, "production", &[key]).unwrap()
        };
        changed.author = "eve@example.com".to_owned();
        let mut cases = vec![
            good.replace("ana@", "eve@"),
            good[..good.len() / 2].to_owned(),
            String::new(),
            resign(&changed, &stranger),
            Envelope::sign(&snapshot(version, "server", ""), Typ::Snapshot, "production", &[&key()]).unwrap(),
            Envelope::sign("{}", Typ::Entry, "production", &[&key()]).unwrap(),
        ];
        // Whoever has the key can rewrite the end of the log, but nothing before it.
        if version < 3 {
            cases.push(resign(&changed, &key()));
        }
        for case in cases {
            assert_ne!(case, good);
            fs::write(&file, &case).unwrap();
            let message = message(log.verify().await);
            assert!(message.contains(&format!("entries/{version:020}.json")), "{case}: {message}");
        }
        fs::write(&file, &good).unwrap();
        assert_eq!(log.verify().await.unwrap(), 3);
    }
}

#[tokio::test]
async fn a_missing_or_moved_entry_is_found() {
    let folder = folder("missing");
    let (log, _) = three(&folder).await;
    let good: Vec<_> = (1..=3).map(|version| fs::read(entry_file(&folder, version)).unwrap()).collect();

    for (version, complaint) in [
        (1, "00002.json: the entry before this one is missing"),
        (2, "00001.json: entry 3 does not follow this one"),
        (3, "clients were served version 3, which the log, at 2, does not hold"),
    ] {
        fs::remove_file(entry_file(&folder, version)).unwrap();
        let message = message(log.verify().await);
        assert!(message.contains(complaint), "{message}");
        fs::write(entry_file(&folder, version), &good[version as usize - 1]).unwrap();
    }

    for (one, other) in [(1, 2), (2, 3), (1, 3)] {
        fs::write(entry_file(&folder, one), &good[other as usize - 1]).unwrap();
        fs::write(entry_file(&folder, other), &good[one as usize - 1]).unwrap();
        let message = message(log.verify().await);
        assert!(message.contains("it was moved"), "{message}");
        for version in [one, other] {
            fs::write(entry_file(&folder, version), &good[version as usize - 1]).unwrap();
        }
    }

    // What has another name is no entry.
    fs::write(folder.join("production/entries/3.json"), &good[0]).unwrap();
    fs::write(folder.join("production/entries/notes.txt"), "notes").unwrap();
    assert_eq!(log.verify().await.unwrap(), 3);
}

#[tokio::test]
async fn a_second_start_is_found() {
    let folder = folder("second-start");
    let (log, records) = three(&folder).await;
    let mut second = records[1].entry.clone();
    second.previous = None;
    let payload = serde_json::to_string(&second).unwrap();
    fs::remove_file(entry_file(&folder, 3)).unwrap();
    fs::remove_dir_all(folder.join("production/current")).unwrap();
    fs::write(entry_file(&folder, 2), Envelope::sign(&payload, Typ::Entry, "production", &[&key()]).unwrap()).unwrap();
    let message = message(log.verify().await);
    assert!(message.contains("entry 2 says that it is the first"), "{message}");
}

#[tokio::test]
async fn an_entry_of_another_environment_is_found() {
    let both = SigningKey::generate(None, ["production", "staging"]).unwrap();
    let folder = folder("environments");
    let log = |environment| Log::open(folder.to_str().unwrap(), environment, trust(&[&both])).unwrap();
    let (production, staging) = (log("production"), log("staging"));
    production.append(None, entry(1, "one"), &[&both]).await.unwrap();
    assert_eq!(staging.head().await.unwrap(), None);

    let refusal = message(staging.append(None, entry(1, "one"), &[&both]).await);
    assert!(refusal.contains("of the environment production was to be published to staging"), "{refusal}");

    fs::rename(folder.join("production"), folder.join("staging")).unwrap();
    let message = message(staging.head().await);
    assert!(message.contains("not of the environment staging"), "{message}");
}

#[tokio::test]
async fn a_changed_snapshot_is_found() {
    let folder = folder("snapshot");
    let (log, records) = three(&folder).await;
    let file = snapshot_file(&folder, &records[1], Audience::Client);
    let good = fs::read_to_string(&file).unwrap();
    let stranger = SigningKey::generate(None, ["production"]).unwrap();
    for (text, complaint) in [
        (good.replace("two", "TWO"), "does not match"),
        (fs::read_to_string(snapshot_file(&folder, &records[2], Audience::Client)).unwrap(), "that entry 2 names"),
        (
            Envelope::sign(&snapshot(2, "client", "two"), Typ::Snapshot, "production", &[&stranger]).unwrap(),
            "not among the trusted keys",
        ),
    ] {
        fs::write(&file, text).unwrap();
        let message = message(log.verify().await);
        assert!(message.contains(complaint) && message.contains("-client-"), "{message}");
    }
    fs::remove_file(&file).unwrap();
    assert!(matches!(log.verify().await, Err(StoreError::Missing { .. })));
    fs::write(&file, good).unwrap();
    assert_eq!(log.verify().await.unwrap(), 3);
}

#[tokio::test]
async fn a_key_can_be_retired() {
    let folder = folder("retired");
    let (_, records) = three(&folder).await;
    let new = SigningKey::generate(Some("new"), ["production"]).unwrap();
    let log = |keys| Log::open(folder.to_str().unwrap(), "production", keys).unwrap();

    // Who does not trust the key that signed the newest entry does not build upon it.
    let hasty = log(trust(&[&new]));
    assert!(message(hasty.head().await).contains("not among the trusted keys"));
    assert!(hasty.append(Some(&records[2]), entry(4, "four"), &[&new]).await.is_err());
    assert!(hasty.read(1).await.is_err());

    let both = log(trust(&[&key(), &new]));
    both.append(Some(&records[2]), entry(4, "four"), &[&new]).await.unwrap();
    let after = log(trust(&[&new]));
    assert_eq!(after.verify().await.unwrap(), 4);
    let old = after.read(2).await.unwrap();
    assert_eq!(old, Record { kid: None, ..records[1].clone() });
    assert!(after.snapshot(&old, Audience::Server).await.is_ok());
    assert!(after.current(Audience::Server).await.unwrap().unwrap().contains("four"));

    // The chain still holds.
    let file = entry_file(&folder, 2);
    let changed = fs::read_to_string(&file).unwrap().replace("ana@", "eve@");
    fs::write(&file, changed).unwrap();
    assert!(message(after.read(2).await).contains("entry 3 does not follow this one"));
}

#[tokio::test]
async fn what_does_not_fit_is_refused_and_not_written() {
    let folder = folder("refused");
    let log = open(&folder);
    let stranger = SigningKey::generate(Some("stranger"), ["production"]).unwrap();
    let staging = SigningKey::generate(Some("s"), ["staging"]).unwrap();
    let with = |snapshots: Vec<String>| NewEntry { snapshots, ..entry(1, "one") };
    let signing = key();
    for (new, keys, complaint) in [
        (with(vec![]), vec![&signing], "at least one snapshot"),
        (with(vec![snapshot(2, "server", "")]), vec![&signing], "version 2 was to be published as version 1"),
        (with(vec![snapshot(1, "server", ""), snapshot(1, "server", "x")]), vec![&signing], "two snapshots"),
        (with(vec!["{}".to_owned()]), vec![&signing], "cannot be loaded"),
        (entry(1, "one"), vec![], "1 to 16 keys"),
        (entry(1, "one"), vec![&signing, &staging], "cannot sign for production"),
        (entry(1, "one"), vec![&stranger], "none of the signing keys is trusted"),
    ] {
        let error = log.append(None, new, &keys).await.unwrap_err();
        assert!(matches!(error, StoreError::Refused(_)) && error.to_string().contains(complaint), "{error}");
    }
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);

    let mut last = append(&log, None, "one").await.unwrap();
    last.entry.version = (1 << 53) - 1;
    assert!(message(append(&log, Some(&last), "x").await).contains("too high"));
    last.entry.snapshots.clear();
    assert!(message(log.snapshot(&last, Audience::Client).await).contains("no snapshot for the audience client"));
}

#[test]
fn locations_are_checked() {
    let folder = folder("locations");
    let here = folder.to_str().unwrap();
    fs::write(folder.join("file"), "").unwrap();
    let open = |location: &str, environment: &str| message(Log::open(location, environment, trust(&[&key()])));
    assert!(open("gopher://bucket/flags", "production").contains("gopher:// is not built in"));
    assert!(open("s3:///flags", "production").contains("s3://BUCKET/FOLDER"));
    // What is in it may hold secrets.
    let bucket = Log::open("s3://bucket/flags", "production", trust(&[&key()])).unwrap();
    assert_eq!(format!("{bucket:?}"), r#"Log { location: "s3://bucket/flags", environment: "production", .. }"#);
    assert!(open("file://relative", "production").contains("file:///FOLDER"));
    assert!(open(&format!("{here}/none"), "production").contains("there is no log here"));
    assert!(open(&format!("{here}/file"), "production").contains("this is a file"));
    for environment in ["", "..", "a/b", "a b", "é", &"x".repeat(65)] {
        assert!(open(here, environment).contains("cannot name an environment"), "{environment}");
    }
    assert!(Log::create(&format!("{here}/file/x"), "production", trust(&[&key()])).is_err());
    assert!(Log::create(&format!("file://{here}/new/folder"), "production", trust(&[&key()])).is_ok());
    assert!(folder.join("new/folder").is_dir());
}

/// Every state that a writer can die in.
#[tokio::test]
async fn a_crash_between_steps_leaves_a_consistent_log() {
    let folder = folder("steps");
    let (log, records) = three(&folder).await;
    let two = |audience| snapshot_file(&folder, &records[1], audience);

    // Before the entry: half a file that was never put in place, and a snapshot that nothing names.
    fs::write(folder.join("production/entries/00000000000000000004.json#1"), "{\"pay").unwrap();
    fs::write(folder.join("production/snapshots/00000000000000000004-server-00.json"), "{\"pay").unwrap();
    assert_eq!(log.verify().await.unwrap(), 3);
    assert_eq!(log.head().await.unwrap().as_ref(), Some(&records[2]));

    // After the entry: `current` is a version behind, or missing, or has moved for one audience only.
    let current = |audience| current_file(&folder, audience);
    let served = |audience| version_of(&fs::read_to_string(current(audience)).unwrap());
    for audience in [Audience::Server, Audience::Client] {
        fs::copy(two(audience), current(audience)).unwrap();
        assert!(matches!(log.verify().await, Err(StoreError::Unserved { version: 3, .. })));
        assert_eq!(version_of(&log.current(Audience::Server).await.unwrap().unwrap()), 3);
        assert_eq!((served(Audience::Server), served(Audience::Client)), (3, 3));
    }
    fs::remove_dir_all(folder.join("production/current")).unwrap();
    assert_eq!(version_of(&log.current(Audience::Client).await.unwrap().unwrap()), 3);
    assert_eq!((served(Audience::Server), served(Audience::Client)), (3, 3));

    // The next writer sets it right, too.
    fs::copy(two(Audience::Server), current(Audience::Server)).unwrap();
    append(&log, Some(&records[2]), "four").await.unwrap();
    assert_eq!((served(Audience::Server), served(Audience::Client)), (4, 4));
    assert_eq!(log.verify().await.unwrap(), 4);
}

#[tokio::test]
async fn current_only_moves_forward() {
    let folder = folder("forward");
    let (log, records) = three(&folder).await;
    let file = current_file(&folder, Audience::Server);
    let newest = fs::read(&file).unwrap();

    // A log that has lost entries brings back nothing, and takes nothing in.
    fs::remove_file(entry_file(&folder, 3)).unwrap();
    for outcome in [
        log.current(Audience::Server).await.map(drop),
        append(&log, Some(&records[1]), "other").await.map(drop),
        log.verify().await.map(drop),
    ] {
        let error = outcome.unwrap_err();
        assert!(matches!(error, StoreError::Behind { current: 3, head: 2, .. }), "{error}");
        assert!(error.to_string().contains("flagstone recover --above 3"), "{error}");
    }
    assert_eq!(fs::read(&file).unwrap(), newest);
    assert_eq!(log.versions().await.unwrap(), [1, 2]);
    for version in 1..=2 {
        fs::remove_file(entry_file(&folder, version)).unwrap();
    }
    assert!(matches!(append(&log, None, "new").await, Err(StoreError::Behind { current: 3, head: 0, .. })));

    // Nor does the same version with another payload.
    fs::remove_dir_all(folder.join("production")).unwrap();
    three(&folder).await;
    let other = Envelope::sign(&snapshot(3, "server", "other"), Typ::Snapshot, "production", &[&key()]).unwrap();
    fs::write(&file, other).unwrap();
    let error = log.current(Audience::Server).await.unwrap_err();
    assert!(matches!(error, StoreError::Behind { current: 3, head: 3, .. }), "{error}");
    assert!(error.to_string().contains("another snapshot of version 3 than the log holds"), "{error}");

    // What nobody trusted signed holds nothing back.
    let stranger = SigningKey::generate(None, ["production"]).unwrap();
    let planted = snapshot(1 << 52, "server", "planted");
    for text in [
        Envelope::sign(&planted, Typ::Snapshot, "production", &[&stranger]).unwrap(),
        Envelope::sign(&planted, Typ::Entry, "production", &[&key()]).unwrap(),
        planted,
        String::new(),
    ] {
        fs::write(&file, text).unwrap();
        assert_eq!(version_of(&log.current(Audience::Server).await.unwrap().unwrap()), 3);
        assert_eq!(version_of(&fs::read_to_string(&file).unwrap()), 3);
    }
}

/// What people download is checked as well, and put right by whoever publishes or serves next.
#[tokio::test]
async fn what_is_not_served_as_it_should_be_is_found() {
    let folder = folder("unserved");
    let (log, records) = three(&folder).await;
    let snapshot_of = |record, audience| fs::read_to_string(snapshot_file(&folder, record, audience)).unwrap();
    let (server, client) = (Audience::Server, Audience::Client);
    let stranger = SigningKey::generate(None, ["production"]).unwrap();
    let planted = Envelope::sign(&snapshot(3, "client", "three"), Typ::Snapshot, "production", &[&stranger]).unwrap();
    for (audience, text, complaint) in [
        (server, "{}".to_owned(), "server.json: not a signed envelope"),
        (client, planted, "which is not among the trusted keys"),
        (server, snapshot_of(&records[0], server), "server.json: this is version 1, so version 3 is not being served"),
        (client, snapshot_of(&records[2], server), "client.json: this is the snapshot for the audience server"),
        (server, snapshot_of(&records[1], client), "server.json: this is the snapshot for the audience client"),
    ] {
        fs::write(current_file(&folder, audience), text).unwrap();
        let error = log.verify().await.unwrap_err();
        assert!(matches!(error, StoreError::Unserved { version: 3, .. }), "{error}");
        assert!(error.to_string().contains(complaint), "{complaint}: {error}");
        assert_eq!(version_of(&log.current(audience).await.unwrap().unwrap()), 3);
        assert_eq!(log.verify().await.unwrap(), 3);
    }
    fs::remove_file(current_file(&folder, client)).unwrap();
    assert!(message(log.verify().await).contains("client.json: there is no such object"));
}

#[tokio::test]
async fn what_is_committed_but_not_served_is_said() {
    let folder = folder("committed");
    let (log, records) = three(&folder).await;
    // With a folder in its place the lock cannot be taken.
    let lock = folder.join("production/lock");
    fs::remove_file(&lock).unwrap();
    fs::create_dir(&lock).unwrap();
    let error = append(&log, Some(&records[2]), "four").await.unwrap_err();
    assert!(matches!(error, StoreError::Committed { version: 4, .. }), "{error}");
    assert!(error.to_string().contains("version 4 is in the log, but is not being served yet"), "{error}");
    fs::remove_dir(&lock).unwrap();
    assert_eq!(version_of(&log.current(Audience::Server).await.unwrap().unwrap()), 4);
    assert_eq!(log.verify().await.unwrap(), 4);
}

/// Not a test of its own: the process that `a_killed_writer_loses_nothing_it_acknowledged` kills.
#[tokio::test]
#[ignore = "started by another test"]
async fn writer_to_be_killed() {
    let log = open(Path::new(&std::env::var("FLAGSTONE_TEST_FOLDER").unwrap()));
    loop {
        let head = log.head().await.unwrap();
        let record = append(&log, head.as_ref(), "child").await.unwrap();
        println!("\nacknowledged {}", record.entry.version);
    }
}

#[tokio::test]
async fn a_killed_writer_loses_nothing_it_acknowledged() {
    let folder = folder("killed");
    let log = open(&folder);
    let mut acknowledged = 0;
    let rounds = if std::env::var_os("FLAGSTONE_SOAK").is_some() { 200 } else { 20 };
    for round in (1..=5).cycle().take(rounds) {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "writer_to_be_killed", "--ignored", "--nocapture"])
            .env("FLAGSTONE_TEST_FOLDER", &folder)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        // Killed while it writes the one after these.
        let seen: Vec<u64> =
            lines.filter_map(|line| line.strip_prefix("acknowledged ")?.parse().ok()).take(round).collect();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(seen.len(), round, "the child died by itself");
        acknowledged = acknowledged.max(*seen.last().unwrap());

        let current = log.current(Audience::Server).await.unwrap().unwrap();
        let count = log.verify().await.unwrap();
        assert_eq!(log.versions().await.unwrap(), (1..=count as u64).collect::<Vec<_>>());
        assert!(count as u64 >= acknowledged, "{acknowledged} were acknowledged, {count} are there");
        assert_eq!(version_of(&current), count as u64);
    }
    let head = log.head().await.unwrap();
    append(&log, head.as_ref(), "after").await.unwrap();
}
