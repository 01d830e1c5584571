//! A snapshot from a file, and the user it is asked about.

use std::io::Write;
use std::path::{Path, PathBuf};

use flagstone::snapshot::{Envelope, EnvelopeError, TrustedKeys, Typ};
use flagstone::{Audience, Context, ErrorCode, Evaluation, LoadError, Reason, Snapshot, Timestamp, VariablePins};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::answer::{Failure, warn};
use crate::files::{self, variable_pins};

/// A snapshot that was read, and verified if there were keys.
pub struct Opened {
    pub payload: String,
    pub snapshot: Snapshot,
    /// The trusted key that signed it.
    pub kid: Option<String>,
}

/// What a snapshot is to be.
#[derive(Default, clap::Args)]
pub struct Expected {
    /// The environment it must be for; by default the one it says
    #[arg(long, value_name = "NAME")]
    pub environment: Option<String>,
    /// The audience it must be for, `server` or `client`; by default the one it says
    #[arg(long, value_name = "NAME")]
    pub audience: Option<Audience>,
}

impl Expected {
    fn check(&self, snapshot: &Snapshot) -> Result<(), LoadError> {
        if let Some(expected) = self.environment.clone().filter(|name| name != snapshot.environment()) {
            return Err(LoadError::Environment { expected, found: snapshot.environment().to_owned() });
        }
        match self.audience {
            Some(expected) if expected != snapshot.audience() => {
                Err(LoadError::Audience { expected, found: snapshot.audience() })
            }
            _ => Ok(()),
        }
    }
}

/// Members by which an envelope and a payload are told apart, where neither can be read.
#[derive(Deserialize)]
struct Look {
    payload: Option<IgnoredAny>,
    signatures: Option<IgnoredAny>,
    protected: Option<IgnoredAny>,
}

impl Look {
    fn is_signed(bytes: &[u8]) -> bool {
        serde_json::from_slice(bytes)
            .is_ok_and(|look: Look| look.payload.is_some() || look.signatures.is_some() || look.protected.is_some())
    }
}

/// Whether the text is a snapshot, or wants to be one, rather than definitions.
pub fn is_snapshot(bytes: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Payload {
        #[serde(rename = "schema")]
        _schema: IgnoredAny,
        #[serde(rename = "audience")]
        _audience: IgnoredAny,
    }
    Look::is_signed(bytes) || serde_json::from_slice::<Payload>(bytes).is_ok()
}

/// Reads a snapshot: an envelope, or where there are no keys, a bare payload. Without keys it says that nothing is
/// checked.
pub fn open(path: &Path, keys: Option<&TrustedKeys>, expected: &Expected) -> Result<Opened, Failure> {
    let bytes = files::read(path)?;
    let refused = |error: &dyn std::fmt::Display| Failure::Refused(format!("{}: {error}", path.display()));
    let broken = |error: &dyn std::fmt::Display| Failure::File(format!("{}: {error}", path.display()));
    let envelope = match Envelope::parse(&bytes) {
        Ok(envelope) => Some(envelope),
        Err(EnvelopeError::Malformed(_)) if !Look::is_signed(&bytes) => None,
        Err(error) if keys.is_some() => return Err(refused(&error)),
        Err(error) => return Err(broken(&error)),
    };
    let (payload, kid) = match (envelope, keys) {
        (Some(envelope), Some(keys)) => {
            // Under which name it must be signed is asked of itself: a key that is bound to another will not do.
            let environment = match &expected.environment {
                Some(environment) => environment.clone(),
                None => Snapshot::from_payload(envelope.unverified_payload())
                    .map(|snapshot| snapshot.environment().to_owned())
                    .map_err(|error| refused(&LoadError::Snapshot(error)))?,
            };
            let verified = envelope.verify(keys, &environment, Typ::Snapshot).map_err(|error| refused(&error))?;
            (verified.payload, Some(verified.kid))
        }
        (Some(envelope), None) => {
            warn(format!("{}: the signature was not checked; give the trusted keys with --keys", path.display()));
            (envelope.unverified_payload().to_owned(), None)
        }
        (None, None) => {
            let payload = String::from_utf8(bytes).map_err(|error| {
                broken(&format!("not a snapshot: no UTF-8 text (at byte {})", error.utf8_error().valid_up_to()))
            })?;
            let name = path.display();
            warn(format!("{name}: the signature was not checked: this is a bare payload, and has none"));
            (payload, None)
        }
        (None, Some(_)) => {
            return Err(refused(
                &"this is no signed envelope, so the keys say nothing about it; leave out --keys to take it unsigned",
            ));
        }
    };
    let snapshot =
        Snapshot::from_payload(payload.as_str()).map_err(|error| broken(&format!("not a snapshot: {error}")))?;
    expected.check(&snapshot).map_err(|error| refused(&error))?;
    Ok(Opened { payload, snapshot, kid })
}

/// Which flag is asked of which snapshot, for whom.
#[derive(clap::Args)]
pub struct Question {
    /// The snapshot: a signed envelope, or a bare payload; `-` is standard input
    #[arg(long, value_name = "FILE")]
    snapshot: PathBuf,
    /// The trusted keys (a JWK Set); without them no signature is checked
    #[arg(long, value_name = "JWKS")]
    keys: Option<PathBuf>,
    #[command(flatten)]
    expected: Expected,
    /// The flag
    #[arg(long, value_name = "KEY")]
    pub flag: String,
    /// The evaluation context, a JSON object with `targetingKey` and attributes; `-` is standard input
    #[arg(long, value_name = "JSON", allow_hyphen_values = true)]
    context: String,
    /// The time that schedules and expiry go by, RFC 3339; by default it is now
    #[arg(long, value_name = "TIME")]
    now: Option<Timestamp>,
    /// Let environment variables pin flags: FLAGSTONE_PIN_… and, with a FILE, those that it names
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    variables: Option<Option<PathBuf>>,
}

/// A question with everything that it takes to answer it.
pub struct Asked {
    pub opened: Opened,
    pub context: Context,
    pub now: Timestamp,
}

impl Question {
    pub fn read(&self) -> Result<Asked, Failure> {
        if self.context == "-" && self.snapshot.as_os_str() == "-" {
            let message =
                "--snapshot and --context cannot both be standard input; give one of them as a file or an argument";
            return Err(Failure::Usage(message.to_owned()));
        }
        let context = match self.context.as_str() {
            "-" => String::from_utf8(files::read(Path::new("-"))?)
                .map_err(|error| format!("no UTF-8 text (at byte {})", error.utf8_error().valid_up_to())),
            json => Ok(json.to_owned()),
        };
        let context = context.and_then(|json| Context::from_json(&json).map_err(|error| error.to_string()));
        let context = context.map_err(|error| {
            Failure::Usage(format!(r#"--context: {error}; write it like {{"targetingKey": "user-42", "plan": "pro"}}"#))
        })?;
        let keys = self.keys.as_deref().map(files::trusted_keys).transpose()?;
        let mut opened = open(&self.snapshot, keys.as_ref(), &self.expected)?;
        if let Some(names) = &self.variables {
            let pins: VariablePins = variable_pins(names.as_deref())?;
            // It is a snapshot, pinned or not.
            opened.snapshot =
                pins.snapshot(opened.payload.as_str()).map_err(|error| Failure::File(error.to_string()))?;
            if !opened.snapshot.unfit_variables().is_empty() {
                return Err(Failure::Usage(opened.snapshot.unfit_variables().join("\n")));
            }
        }
        Ok(Asked { opened, context, now: self.now.unwrap_or_else(Timestamp::now) })
    }
}

impl Asked {
    /// The result where the snapshot cannot be used: whoever loads it now gets their default.
    pub fn not_ready(&self, flag: &str) -> Option<Evaluation<'_>> {
        self.opened.snapshot.has_expired(self.now).then(|| Evaluation {
            flag: flag.to_owned(),
            value: None,
            json: None,
            variant: None,
            reason: Reason::Error,
            error_code: Some(ErrorCode::ProviderNotReady),
            step: None,
            rule: None,
            key_missing: false,
            version: self.opened.snapshot.version(),
            until: None,
            pinned_by: None,
        })
    }
}

/// An evaluation as it is printed; the order of the members is relied on.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Printed {
    flag: String,
    value: Option<Box<RawValue>>,
    variant: Option<String>,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
    version: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pinned_by: Option<String>,
}

impl From<&Evaluation<'_>> for Printed {
    fn from(evaluation: &Evaluation<'_>) -> Self {
        // A line break in JSON is a blank, for one in a string is written `\n`; so the result stays on one line.
        let value = evaluation.json.map(|json| json.replace(['\n', '\r'], " "));
        Printed {
            flag: evaluation.flag.clone(),
            value: value.map(|json| RawValue::from_string(json).expect("a snapshot's values are JSON")),
            variant: evaluation.variant.map(str::to_owned),
            reason: evaluation.reason.name(),
            error_code: evaluation.error_code.map(ErrorCode::name),
            rule: evaluation.rule.map(str::to_owned),
            version: evaluation.version,
            pinned_by: evaluation.pinned_by.map(str::to_owned),
        }
    }
}

/// One line of JSON.
pub fn write_line(out: &mut dyn Write, printed: &Printed) -> Result<(), Failure> {
    serde_json::to_writer(&mut *out, printed).map_err(std::io::Error::from)?;
    writeln!(out)?;
    Ok(())
}
