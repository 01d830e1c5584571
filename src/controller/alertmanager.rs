//! What Alertmanager's webhook says, as signals of rollouts.

use std::collections::BTreeMap;

use serde::Deserialize;

/// A signal that an alert raises or clears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertSignal {
    /// The name of the rollout: the alert's label `flagstone_rollout`.
    pub rollout: String,
    /// The name of the signal: the label `flagstone_signal`, or where there is none the alert's name.
    pub signal: String,
    /// Whether it is raised; else it is cleared.
    pub firing: bool,
    /// Why, in the alert's words.
    pub reason: String,
}

/// How long a reason may be; the log takes no longer ones.
const MOST_WORDS: usize = 1000;

/// Reads what Alertmanager posts to a webhook (version 4). Alerts without the label `flagstone_rollout` are about something else.
///
/// Of several alerts for one signal, one that fires counts more than those that are resolved.
///
/// ```
/// use flagstone::controller::signals;
///
/// let body = br#"{"version": "4", "status": "firing", "alerts": [{
///     "status": "firing",
///     "labels": {"alertname": "CallsDrop", "flagstone_rollout": "gateway", "flagstone_signal": "criticalBug"},
///     "annotations": {"summary": "Every tenth call drops"}
/// }]}"#;
/// let signals = signals(body)?;
/// assert_eq!((signals[0].rollout.as_str(), signals[0].signal.as_str()), ("gateway", "criticalBug"));
/// assert_eq!(signals[0].reason, "CallsDrop: Every tenth call drops");
/// assert!(signals[0].firing);
/// # Ok::<(), String>(())
/// ```
///
/// # Errors
///
/// Says what is wrong with a body that Alertmanager would not send.
pub fn signals(body: &[u8]) -> Result<Vec<AlertSignal>, String> {
    let Webhook { version, alerts } = serde_json::from_slice(body)
        .map_err(|error| format!("this is not what Alertmanager posts to a webhook: {error}"))?;
    if version != "4" {
        return Err(format!("this is version {version:?} of Alertmanager's webhook; \"4\" is known here"));
    }
    let mut signals: BTreeMap<(String, String), (bool, String)> = BTreeMap::new();
    for alert in alerts {
        let label = |name| alert.labels.get(name).filter(|label| !label.is_empty());
        let Some(rollout) = label("flagstone_rollout") else { continue };
        let name = label("alertname").map_or("an alert", String::as_str);
        let signal = label("flagstone_signal").map_or(name, String::as_str);
        let words = ["summary", "description", "message"].into_iter().find_map(|key| alert.annotations.get(key));
        let reason = match words {
            Some(words) => format!("{name}: {words}"),
            None => format!("{name} is {}", alert.status.name()),
        };
        let reason = reason.chars().take(MOST_WORDS).collect();
        let firing = matches!(alert.status, Status::Firing);
        let known = signals.entry((rollout.clone(), signal.to_owned())).or_insert((firing, String::new()));
        if known.1.is_empty() || (firing && !known.0) {
            *known = (firing, reason);
        }
    }
    let signal = |((rollout, signal), (firing, reason))| AlertSignal { rollout, signal, firing, reason };
    Ok(signals.into_iter().map(signal).collect())
}

#[derive(Deserialize)]
struct Webhook {
    version: String,
    alerts: Vec<Alert>,
}

#[derive(Deserialize)]
struct Alert {
    status: Status,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Status {
    Firing,
    Resolved,
}

impl Status {
    fn name(self) -> &'static str {
        match self {
            Status::Firing => "firing",
            Status::Resolved => "resolved",
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(alerts: serde_json::Value) -> Vec<AlertSignal> {
        // As Alertmanager 0.25 sends it, with all that is of no use here.
        let body = json!({
            "receiver": "flagstone", "status": "firing", "alerts": alerts, "groupLabels": {"alertname": "CallsDrop"},
            "commonLabels": {}, "commonAnnotations": {}, "externalURL": "http://alertmanager:9093",
            "version": "4", "groupKey": "{}:{alertname=\"CallsDrop\"}", "truncatedAlerts": 0,
        });
        signals(body.to_string().as_bytes()).unwrap()
    }

    fn alert(status: &str, labels: serde_json::Value) -> serde_json::Value {
        json!({
            "status": status, "labels": labels, "annotations": {}, "startsAt": "2026-11-21T12:00:00Z",
            "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "http://prometheus:9090", "fingerprint": "c4ff",
        })
    }

    #[test]
    fn alerts_raise_and_clear_signals_by_their_labels() {
        let found = read(json!([
            alert(
                "firing",
                json!({"alertname": "A", "flagstone_rollout": "gateway", "flagstone_signal": "criticalBug"})
            ),
            alert("resolved", json!({"alertname": "Backlog", "flagstone_rollout": "calling"})),
            alert("firing", json!({"alertname": "DiskFull"})),
            alert("firing", json!({"alertname": "DiskFull", "flagstone_rollout": ""})),
        ]));
        let signal = |rollout: &str, signal: &str, firing, reason: &str| AlertSignal {
            rollout: rollout.to_owned(),
            signal: signal.to_owned(),
            firing,
            reason: reason.to_owned(),
        };
        let expected = [
            signal("calling", "Backlog", false, "Backlog is resolved"),
            signal("gateway", "criticalBug", true, "A is firing"),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn one_alert_that_fires_counts_more_than_others_that_do_not() {
        let labels =
            |instance: u8| json!({"alertname": "A", "flagstone_rollout": "gateway", "instance": instance.to_string()});
        for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
            let alerts: Vec<_> =
                order.map(|number| alert(if number == 1 { "firing" } else { "resolved" }, labels(number))).into();
            let found = read(alerts.into());
            assert_eq!((found.len(), found[0].firing, found[0].reason.as_str()), (1, true, "A is firing"));
        }
    }

    #[test]
    fn words_of_any_length_fit() {
        let mut long = alert("firing", json!({"alertname": "A", "flagstone_rollout": "gateway"}));
        long["annotations"]["description"] = "ü".repeat(100_000).into();
        assert_eq!(read(json!([long]))[0].reason.chars().count(), MOST_WORDS);
    }

    #[test]
    fn what_alertmanager_does_not_send_is_refused() {
        for (body, problem) in [
            ("", "not what Alertmanager posts"),
            ("[]", "not what Alertmanager posts"),
            (r#"{"version": "4"}"#, "missing field `alerts`"),
            (r#"{"version": "5", "alerts": []}"#, "version \"5\""),
            (r#"{"version": "4", "alerts": [{"status": "pending"}]}"#, "unknown variant `pending`"),
            (r#"{"version": "4", "alerts": [{"status": "firing", "labels": {"a": 1}}]}"#, "invalid type"),
        ] {
            let error = signals(body.as_bytes()).unwrap_err();
            assert!(error.contains(problem), "{body}: {error}");
        }
    }
}
