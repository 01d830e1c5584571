use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64ct::{Base64UrlUnpadded, Encoding};
use flagstone::Timestamp;
use flagstone::snapshot::{Envelope, Typ};
use serde::Serialize;
use serde_json::{Value, json};
use url::Url;

use crate::answer::{Answer, Failure, write_json};
use crate::files::{signing_key, trusted_keys};
use crate::snapshot::{Expected, open};

/// Pin flags for one browser, to see a feature before anyone else does
///
/// Signs pins and prints them as a token, or as a link that carries it. A page whose client was started with `signedPins`
/// takes them for the browser that opens the link, until they expire or its address has `?flagstone-pins=off`. It may
/// trust a key of the testers' own for that, which can sign no snapshot.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  flagstone pin use_new_gateway=on --environment production --key keys/production.private.jwk
  flagstone pin use_new_gateway=on theme=off --for 2d --link https://app.example/checkout \\
    --environment production --key keys/production.private.jwk \\
    --snapshot published/production/current/client.json --keys keys/production.jwks")]
pub struct Pin {
    /// A flag and the variant to serve, unless the flag is killed or disabled. `FLAG=off`, or nothing after the `=`, pins
    /// it off: it serves its off variant, whatever that is called
    #[arg(value_name = "FLAG=VARIANT", required = true, value_parser = one_pin)]
    pins: Vec<(String, Option<String>)>,
    /// The environment
    #[arg(long, value_name = "NAME")]
    environment: String,
    /// The private key to sign with
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// How long the pins may be used, at most 30d: 8h, 2d, 30m
    #[arg(long = "for", value_name = "DURATION", default_value = "8h", value_parser = duration)]
    valid: Duration,
    /// Print this address with the pins in it, as `flagstone-pins`
    #[arg(long, value_name = "URL", value_parser = address)]
    link: Option<Url>,
    /// A snapshot that must have the flags and the variants; that of the audience `client` is what browsers see
    #[arg(long, value_name = "FILE")]
    snapshot: Option<PathBuf>,
    /// The trusted keys (a JWK Set) for --snapshot; without them its signature is not checked
    #[arg(long, value_name = "JWKS", requires = "snapshot")]
    keys: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The query parameter by which a link carries pins.
const PARAMETER: &str = "flagstone-pins";
const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// What is signed.
#[derive(Serialize)]
struct Payload<'p> {
    environment: &'p str,
    expires: String,
    /// A variant's name by flag; null pins off.
    pins: BTreeMap<&'p str, Option<&'p str>>,
}

impl Pin {
    pub fn run(self, out: &mut dyn Write) -> Result<Answer, Failure> {
        let mut pins = BTreeMap::new();
        for (flag, variant) in &self.pins {
            if pins.insert(flag.as_str(), variant.as_deref()).is_some() {
                return Err(Failure::Usage(format!("`{flag}` is pinned twice; leave one of them out")));
            }
        }
        if let Some(path) = &self.snapshot {
            self.check(path)?;
        }
        let key = signing_key(&self.key)?;
        let expires = Timestamp::now().plus_millis(self.valid.as_millis() as i64).to_string();
        let payload = Payload { environment: &self.environment, expires, pins };
        let text = serde_json::to_string(&payload).expect("names are JSON");
        let envelope = Envelope::sign(&text, Typ::Pins, &self.environment, &[&key])
            .map_err(|error| Failure::Refused(error.to_string()))?;
        let token = Base64UrlUnpadded::encode_string(envelope.as_bytes());
        let link = self.link.as_ref().map(|url| with_pins(url, &token).to_string());
        if self.json {
            let Payload { environment, expires, pins } = payload;
            return write_json(
                out,
                &json!({"token": token, "link": link, "environment": environment, "expires": expires, "pins": pins}),
            );
        }
        writeln!(out, "{}", link.unwrap_or(token))?;
        Ok(Answer::Yes)
    }

    /// Makes sure that a snapshot has the flags and the variants.
    fn check(&self, path: &Path) -> Result<(), Failure> {
        let keys = self.keys.as_deref().map(trusted_keys).transpose()?;
        let expected = Expected { environment: Some(self.environment.clone()), audience: None };
        let opened = open(path, keys.as_ref(), &expected)?;
        let payload: Value = serde_json::from_str(&opened.payload)
            .map_err(|error| Failure::File(format!("{}: {error}", path.display())))?;
        let names = |value: &Value| {
            value.as_object().map_or(String::new(), |members| members.keys().cloned().collect::<Vec<_>>().join(", "))
        };
        for (flag, variant) in &self.pins {
            let Some(found) = payload["flags"].get(flag) else {
                let all = names(&payload["flags"]);
                let path = path.display();
                return Err(Failure::Usage(format!("{path}: there is no flag `{flag}`; there are {all}")));
            };
            if let Some(variant) = variant.as_ref().filter(|variant| found["variants"].get(variant.as_str()).is_none())
            {
                let all = names(&found["variants"]);
                let path = path.display();
                return Err(Failure::Usage(format!("{path}: `{flag}` has no variant `{variant}`; it has {all}")));
            }
        }
        Ok(())
    }
}

fn one_pin(text: &str) -> Result<(String, Option<String>), String> {
    match text.split_once('=') {
        Some((flag, variant)) if !flag.is_empty() => {
            Ok((flag.to_owned(), Some(variant.to_owned()).filter(|variant| !matches!(variant.as_str(), "" | "off"))))
        }
        _ => {
            Err("write a flag and a variant, as in `use_new_gateway=on`, or `use_new_gateway=` to pin it off"
                .to_owned())
        }
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if duration > LONGEST => {
            Err("pins are for 30 days at most, since a link can be passed on".to_owned())
        }
        Ok(duration) if duration < Duration::from_secs(1) => Err("pins last a second at least".to_owned()),
        Ok(duration) => Ok(duration),
        Err(error) => Err(error.to_string()),
    }
}

fn address(text: &str) -> Result<Url, String> {
    match Url::parse(text) {
        Ok(url) if !url.cannot_be_a_base() => Ok(url),
        Ok(_) => Err("this address has no query; write one like https://app.example/checkout".to_owned()),
        Err(error) => Err(format!("{error}; write the whole address, like https://app.example/checkout")),
    }
}

/// The address with the pins in its query, in place of others.
fn with_pins(url: &Url, token: &str) -> Url {
    let name = |part: &str| part.split('=').next() == Some(PARAMETER);
    let others = url.query().unwrap_or_default().split('&').filter(|part| !part.is_empty() && !name(part));
    let query: Vec<_> = others.map(str::to_owned).chain([format!("{PARAMETER}={token}")]).collect();
    let mut url = url.clone();
    url.set_query(Some(&query.join("&")));
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_keeps_its_query_and_fragment() {
        for (before, after) in [
            ("https://app.example", "https://app.example/?flagstone-pins=T"),
            ("https://app.example/a?", "https://app.example/a?flagstone-pins=T"),
            ("https://app.example/a?b=c%20d&e#/f", "https://app.example/a?b=c%20d&e&flagstone-pins=T#/f"),
            ("https://app.example/?flagstone-pins=old&b=1", "https://app.example/?b=1&flagstone-pins=T"),
            ("http://localhost:8080/#top", "http://localhost:8080/?flagstone-pins=T#top"),
        ] {
            assert_eq!(with_pins(&address(before).unwrap(), "T").as_str(), after);
        }
        assert!(address("/checkout").unwrap_err().contains("write the whole address"));
        assert!(address("mailto:someone").is_err());
    }
}
