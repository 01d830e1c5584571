use super::complete;
use crate::evaluate::Pins;
use crate::snapshot::definitions::tests::{EVERYTHING, options, read};
use crate::snapshot::definitions::{State, compile};
use crate::{Audience, Context, Snapshot, Timestamp};

/// What the definitions that have everything come to, with `everything` enabled and what stands in documents with escapes.
fn payload(audience: Audience) -> String {
    let text = EVERYTHING.replace("enabled: false", "enabled: true").replace("[DE, VN,", "[DE, \"V\\n\", \"\\\"\",");
    // The last condition has no parts.
    let text = text.replace("exists: true}", "exists: true}\n        - {any: []}");
    compile(&read(&text), &State::default(), &options(audience)).unwrap()
}

fn both(payload: &str) -> (Snapshot, Snapshot) {
    let completed =
        Snapshot::from_completed(payload.to_owned(), false).unwrap_or_else(|_| panic!("it is not complete"));
    (Snapshot::from_payload(payload).unwrap(), completed)
}

/// Contexts that lead to different ends.
fn contexts() -> Vec<Context> {
    let mut contexts = vec![Context::empty()];
    for key in (0..60).map(|user| format!("user-{user}")).chain(["a", "d", "e", "f", "z"].map(str::to_owned)) {
        let plain = Context::new(&*key).with("account", Context::empty().with("id", &*key));
        let inner = Context::empty().with("b.c", "xyz");
        let rich = plain.clone().with("a", inner).with("plan", "ProB").with("v", "1.5.0").with("ip", "10.1.2.3");
        let rich =
            rich.with("at", "2025-01-10T06:59:00Z").with("n", -1).with("name", "aaa").with("roles", vec!["x", "y"]);
        for country in ["DE", "V\n", "\"", "US"] {
            let known = plain.clone().with("country", country).with("email", &*key).with("staff", key == "a");
            // Certainly not in `beta`, in which somebody might be otherwise.
            contexts.push(known.clone().with("a", Context::empty().with("b.c", "no")));
            contexts.extend([known, rich.clone().with("country", country)]);
        }
        contexts.push(rich.with("email", "a").with("staff", true));
        contexts.push(plain);
    }
    contexts
}

#[test]
fn what_was_compiled_decides_as_the_document_does() {
    for audience in [Audience::Server, Audience::Client] {
        let (read, compiled) = both(&payload(audience));
        assert_eq!(compiled.environment(), read.environment());
        assert_eq!((compiled.version(), compiled.audience()), (read.version(), read.audience()));
        assert_eq!((compiled.created(), compiled.expires()), (read.created(), read.expires()));
        let mut ends = std::collections::BTreeSet::new();
        for context in contexts() {
            for now in ["2024-01-01T00:00:00Z", "2025-01-10T20:00:00Z", "2026-12-31T00:00:00Z"] {
                let now: Timestamp = now.parse().unwrap();
                for flag in 0..read.flags().len() as u32 {
                    let decide =
                        |snapshot: &Snapshot| format!("{:?}", snapshot.decide_watched(flag, &context, now, Pins::NONE));
                    let expected = decide(&read);
                    assert_eq!(decide(&compiled), expected);
                    ends.insert(expected.split("step: ").nth(1).unwrap().split(',').next().unwrap().to_owned());
                }
            }
        }
        assert!(ends.len() >= 6, "contexts lead to {ends:?}");
    }
}

#[test]
fn without_regular_expressions_flags_that_have_them_are_errors() {
    let snapshot = Snapshot::from_completed(payload(Audience::Server), true).unwrap();
    let unsupported = |id: usize| snapshot.tables.flags[id].unsupported.map(|name| snapshot.text(name));
    assert_eq!([unsupported(0), unsupported(1)], [Some("matches"), None]);
}

#[test]
fn hashes_are_found_where_they_stand() {
    let snapshot = |list: &str| {
        let payload = format!(
            r#"{{"schema":1,"environment":"e","audience":"server","version":1,"created":"2026-11-21T12:00:00Z","expires":"2027-11-21T12:00:00Z","hashSalt":"s",
            "flags":{{"f":{{"type":"boolean","variants":{{"on":true,"off":false}},"off":"off","salt":"s",
            "deny":{{"keys":{{"hashed":""}}}},"exclude":{{"keys":{{"hashed":"{list}"}}}},"default":"on"}}}}}}"#
        );
        Snapshot::from_completed(complete(&payload).unwrap(), false).unwrap()
    };
    // As it is, and with an escape.
    for list in ["AAAAAAAAAAEAAAAAAAAAAg", "\\u0041AAAAAAAAAEAAAAAAAAAAg"] {
        assert_eq!(snapshot(list).tables.hashes, [1, 2], "{list}");
    }
}

#[test]
fn what_is_completed_says_so_once() {
    let payload = payload(Audience::Client);
    assert_eq!(payload.matches("\"compiled\"").count(), 1);
    assert_eq!(complete(&payload).unwrap(), payload);
    let document = payload.split_once(",\"compiled\"").unwrap().0;
    let first = format!("{{ \"compiled\" : [1, {{}}] , {}}} \n", &document[1..]);
    for without in [format!("{document}}}"), format!("{document}\n, \"compiled\": null\n}}\n")] {
        assert_eq!(complete(&without).unwrap(), payload);
    }
    assert!(complete(&first).unwrap().contains("\"compiled\":{\"created\""));
    assert!(Snapshot::from_completed(complete(&first).unwrap(), false).is_ok());
    assert!(complete("{}").is_err());
}

#[test]
fn another_document_or_format_is_not_read() {
    let payload = payload(Audience::Server);
    let refused = |payload: &str| Snapshot::from_completed(payload.to_owned(), false).is_err();
    assert!(!refused(&payload));
    // Somebody edited the flags, or what stands between them and the stream.
    for (before, after) in [("everything-1", "everything-2"), (",\"compiled\":", ", \"compiled\":")] {
        assert!(payload.contains(before), "{before}");
        assert!(refused(&payload.replace(before, after)), "{before}");
    }
    assert!(refused(&payload.replace("\"tables\":\"A", "\"tables\":\"B")), "its format");
    let (document, member) = payload.split_once(",\"compiled\"").unwrap();
    assert!(refused(&format!("{document}}}")));
    assert!(refused(&format!("{{{}}}", &document[1..])));
    assert!(refused(member));
    for text in ["", "}}", "\"}}", "\"\"}}", "\"AQ\"}}"] {
        assert!(refused(text));
    }
}

#[test]
fn no_stream_breaks_what_reads_it() {
    let payload = payload(Audience::Server);
    let start = payload.rfind("\"tables\":\"").unwrap() + 10;
    let end = payload.len() - 3;
    let mut read = 0;
    for place in start..end {
        for character in ["A", "B", "_", "f", ""] {
            let changed = [&payload[..place], character, &payload[place + 1..]].concat();
            read += u32::from(Snapshot::from_completed(changed, false).is_ok());
        }
        let cut = [&payload[..place], "\"}}"].concat();
        assert!(Snapshot::from_completed(cut, false).is_err());
    }
    assert!(read > 0, "some changes say something else");
}

#[test]
fn what_many_rules_ask_for_is_read_once() {
    let flag = |salt: &str| {
        format!(
            r#"{{"requires":["equals","greaterThan","hashed","inHashed"],"type":"boolean","variants":{{"on":true,"off":false}},
            "off":"off","salt":"{salt}","rules":[
            {{"id":"a","when":{{"all":[{{"attribute":"plan","equals":"pro"}},{{"attribute":"age","greaterThan":17}}]}},"serve":"on"}},
            {{"id":"b","when":{{"all":[{{"attribute":"email","inHashed":{{"types":["string"],"hashed":"AAAAAAAAAAEAAAAAAAAAAg"}}}}]}},"serve":"on"}}
            ],"default":"off"}}"#
        )
    };
    let payload = format!(
        r#"{{"schema":1,"environment":"e","audience":"client","version":1,"created":"2026-11-21T12:00:00Z","expires":"2027-11-21T12:00:00Z","hashSalt":"s",
        "flags":{{"f":{},"g":{}}}}}"#,
        flag("f"),
        flag("g")
    );
    let (read, compiled) = both(&complete(&payload).unwrap());
    let when = |snapshot: &Snapshot| snapshot.tables.rules.iter().map(|rule| rule.when).collect::<Vec<_>>();
    assert_eq!(when(&read), [Some(0), Some(3), Some(5), Some(8)]);
    // But for hashes, which are made with the flag's key.
    assert_eq!(when(&compiled), [Some(0), Some(3), Some(0), Some(5)]);
    assert_eq!(compiled.tables.conditions.len(), 7);
    let adult = Context::new("u").with("plan", "pro").with("age", 18);
    for context in [adult.clone(), adult.with("age", 17)] {
        for flag in [0, 1] {
            let decide = |snapshot: &Snapshot| {
                format!("{:?}", snapshot.decide_watched(flag, &context, Timestamp::from_millis(0), Pins::NONE))
            };
            assert_eq!(decide(&compiled), decide(&read));
        }
    }
}
