use std::fmt;

use crate::number::decimal;

#[cfg(feature = "definitions")]
use base64ct::{Base64UrlUnpadded, Encoding};

use super::json::{Document, Fault, Id, NOTHING, quoted};
use super::keys::TrustedKeys;

/// The most signatures an envelope may carry: rotation needs two, and each one costs a reader time.
const MAX_SIGNATURES: usize = 16;

/// What a signed payload is, written into the protected header as `typ`, so that one kind is never taken for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Typ {
    /// What clients load: `flagstone-snapshot+json`.
    Snapshot,
    /// An entry of the log, which never leaves the back end: `flagstone-entry+json`.
    Entry,
    /// Pins of flags for one browser, as a link carries them to a tester: `flagstone-pins+json`.
    Pins,
}

impl Typ {
    /// The header's value: a media type without `application/`, as RFC 7515 section 4.1.9 recommends.
    pub fn as_str(self) -> &'static str {
        match self {
            Typ::Snapshot => "flagstone-snapshot+json",
            Typ::Entry => "flagstone-entry+json",
            Typ::Pins => "flagstone-pins+json",
        }
    }
}

/// A payload with its signatures: a JWS (RFC 7515) in the general JSON serialization, the payload unencoded (RFC 7797).
///
/// ```json
/// {
///   "payload": "{\"schema\":1, …}",
///   "signatures": [{"protected": "eyJhbGciOiJFZDI1NTE5IiwiYjY0Ijpm…", "signature": "…"}]
/// }
/// ```
///
/// What is signed is the protected header as it stands, a dot, and the payload's UTF-8 bytes. The protected header is
/// `{"alg":"Ed25519","b64":false,"crit":["b64"],"kid":…,"typ":…}` (`alg` by RFC 9864; `EdDSA` is accepted when reading).
///
/// These rules say what is accepted:
///
/// * At least one signature by a trusted key, bound to the environment, verifies. Unknown kids, and keys bound to other
///   environments only, are passed over.
/// * A trusted key's signature with another `alg` or `typ`, without `b64: false`, with `crit` other than `["b64"]`, or
///   with any of these or `kid` outside the protected header has the whole envelope refused: its signer asked for
///   something that is not done here.
/// * Signatures that differ in `b64`, trusted or not, have the envelope refused (RFC 7797 section 3), as have members
///   that occur twice and base64url that is not canonical, anywhere.
/// * Members that are not known are ignored. There are at most 16 signatures.
///
/// So whatever happens to an envelope on its way, it is refused or it still says what one trusted signer signed.
///
#[cfg_attr(feature = "definitions", doc = "```")]
#[cfg_attr(not(feature = "definitions"), doc = "```ignore")]
/// use flagstone::snapshot::{Envelope, SigningKey, TrustedKeys, Typ};
///
/// let key = SigningKey::generate(None, ["production"])?;
/// let text = Envelope::sign(r#"{"schema":1}"#, Typ::Snapshot, "production", &[&key])?;
///
/// let keys = TrustedKeys::from_iter([key.public()]);
/// let verified = Envelope::parse(text.as_bytes())?.verify(&keys, "production", Typ::Snapshot)?;
/// assert_eq!(verified.payload, r#"{"schema":1}"#);
/// assert_eq!(verified.kid, key.public().kid());
///
/// let error = Envelope::parse(text.as_bytes())?.verify(&keys, "production", Typ::Entry).unwrap_err();
/// assert!(error.to_string().contains("typ"));
/// # Ok::<(), flagstone::snapshot::EnvelopeError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Envelope {
    payload: String,
    signatures: Vec<Signature>,
}

#[derive(Clone, Debug)]
struct Signature {
    /// As it stands in the envelope, in base64url: this is what is signed.
    encoded: String,
    protected: Header,
    unprotected: Header,
    bytes: Vec<u8>,
}

/// The header parameters that decide; others change nothing here.
#[derive(Clone, Debug, Default)]
struct Header {
    alg: Option<String>,
    b64: Option<bool>,
    crit: Option<Vec<String>>,
    kid: Option<String>,
    typ: Option<String>,
}

/// A signature that counts if it verifies: all that an Ed25519 check takes, for where it is done elsewhere (WebCrypto).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// Names the key, one of the trusted ones.
    pub kid: &'a str,
    /// The key itself (RFC 8032).
    pub public_key: &'a [u8; 32],
    /// What was signed.
    pub signing_input: Vec<u8>,
    /// The signature to check.
    pub signature: &'a [u8; 64],
}

/// A payload that a trusted key signed.
///
#[cfg_attr(feature = "definitions", doc = "```")]
#[cfg_attr(not(feature = "definitions"), doc = "```ignore")]
/// use flagstone::snapshot::{Envelope, SigningKey, TrustedKeys, Typ, Verified};
///
/// let key = SigningKey::generate(Some("qa-2026"), ["staging"])?;
/// let text = Envelope::sign(r#"{"pins":{"theme":"dark"}}"#, Typ::Pins, "staging", &[&key])?;
/// let keys = TrustedKeys::from_iter([key.public()]);
/// let Verified { payload, kid } = Envelope::parse(text.as_bytes())?.verify(&keys, "staging", Typ::Pins)?;
/// assert_eq!((payload.as_str(), kid.as_str()), (r#"{"pins":{"theme":"dark"}}"#, "qa-2026"));
/// # Ok::<(), flagstone::snapshot::EnvelopeError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Exactly what was signed.
    pub payload: String,
    /// The trusted key that signed it, the first in the envelope's order where several did.
    pub kid: String,
}

impl Envelope {
    /// Reads an envelope without checking any signature.
    ///
    /// # Errors
    ///
    /// [`EnvelopeError::Serialization`] for the other two serializations of a JWS, [`EnvelopeError::MixedEncoding`] for
    /// signatures that differ in `b64`, and [`EnvelopeError::Malformed`] for all else that is no envelope.
    pub fn parse(bytes: &[u8]) -> Result<Envelope, EnvelopeError> {
        if looks_compact(bytes) {
            return Err(EnvelopeError::Serialization("compact"));
        }
        let malformed = |fault: Box<Fault>| EnvelopeError::Malformed(fault.text());
        let document = Document::parse_bytes(bytes).map_err(malformed)?;
        let root = document.root();
        if ["protected", "header", "signature"].into_iter().any(|name| document.has(root, name)) {
            return Err(EnvelopeError::Serialization("flattened"));
        }
        let envelope = Envelope::read(&document);
        document.check().map_err(malformed)?;
        if envelope.signatures.windows(2).any(|pair| pair[0].encodes_payload() != pair[1].encodes_payload()) {
            return Err(EnvelopeError::MixedEncoding);
        }
        Ok(envelope)
    }

    fn read(document: &Document<'_>) -> Envelope {
        let root = document.root();
        let payload = document.get(root, "payload");
        if payload == NOTHING {
            document.refuse(root, &["`payload` is missing (a detached payload cannot be read)"]);
        }
        let list = document.need(root, "signatures");
        if document.elements(list).count() > MAX_SIGNATURES {
            document.refuse(list, &["more than 16 signatures"]);
        }
        let signatures: Vec<_> =
            document.elements(list).take(MAX_SIGNATURES).map(|id| Signature::read(document, id)).collect();
        if signatures.is_empty() {
            document.refuse(list, &["`signatures` is empty: nobody signed this"]);
        }
        Envelope { payload: document.string(payload).to_owned(), signatures }
    }

    /// The payload, whoever wrote it. Nothing may be decided by it until one of the [candidates](Envelope::candidates)
    /// was found to verify.
    pub fn unverified_payload(&self) -> &str {
        &self.payload
    }

    /// Applies every rule but the signature check itself, and returns the signatures of which one must verify: never
    /// none.
    ///
    /// # Errors
    ///
    /// [`EnvelopeError::Header`] where a trusted key signed under a header that is not accepted,
    /// [`EnvelopeError::OtherEnvironment`] and [`EnvelopeError::Untrusted`] where no trusted key signed.
    pub fn candidates<'a>(
        &'a self,
        keys: &'a TrustedKeys,
        environment: &str,
        typ: Typ,
    ) -> Result<Vec<Candidate<'a>>, EnvelopeError> {
        let mut candidates = Vec::new();
        let mut elsewhere = None;
        for signature in &self.signatures {
            let Some(key) = signature.kid().and_then(|kid| keys.get(kid)) else { continue };
            if !key.is_bound_to(environment) {
                elsewhere = Some(key);
                continue;
            }
            let bytes =
                signature.check(typ).map_err(|problem| EnvelopeError::Header { kid: key.kid().to_owned(), problem })?;
            candidates.push(Candidate {
                kid: key.kid(),
                public_key: key.bytes(),
                signing_input: signing_input(&signature.encoded, &self.payload),
                signature: bytes,
            });
        }
        match (candidates.is_empty(), elsewhere) {
            (false, _) => Ok(candidates),
            (true, Some(key)) => Err(EnvelopeError::OtherEnvironment {
                kid: key.kid().to_owned(),
                bound_to: key.environments().to_vec(),
                environment: environment.to_owned(),
            }),
            (true, None) => Err(EnvelopeError::Untrusted {
                kids: self.signatures.iter().filter_map(|s| s.kid().map(str::to_owned)).collect(),
            }),
        }
    }

    /// Checks that a trusted key, bound to `environment`, signed this payload as a `typ`.
    ///
    /// The check is RFC 8032's with the cofactorless equation, canonical points and scalars only, and no keys of small
    /// order.
    ///
    /// # Errors
    ///
    /// Those of [`Envelope::candidates`], and [`EnvelopeError::Signature`] where none of them verifies.
    #[cfg(feature = "ed25519")]
    pub fn verify(&self, keys: &TrustedKeys, environment: &str, typ: Typ) -> Result<Verified, EnvelopeError> {
        use ed25519_dalek::{Signature, VerifyingKey};

        let candidates = self.candidates(keys, environment, typ)?;
        let verifies = |candidate: &&Candidate| {
            VerifyingKey::from_bytes(candidate.public_key).is_ok_and(|key| {
                key.verify_strict(&candidate.signing_input, &Signature::from_bytes(candidate.signature)).is_ok()
            })
        };
        match candidates.iter().find(verifies) {
            Some(candidate) => Ok(Verified { payload: self.payload.clone(), kid: candidate.kid.to_owned() }),
            None => Err(EnvelopeError::Signature { kids: candidates.iter().map(|c| c.kid.to_owned()).collect() }),
        }
    }

    /// Signs a payload, once with each key (two while keys are being rotated), and returns the envelope's JSON.
    ///
    /// # Errors
    ///
    /// [`EnvelopeError::Key`] for a key that is not bound to `environment`, for no keys or too many.
    #[cfg(feature = "definitions")]
    pub fn sign(
        payload: &str,
        typ: Typ,
        environment: &str,
        keys: &[&super::SigningKey],
    ) -> Result<String, EnvelopeError> {
        if keys.is_empty() || keys.len() > MAX_SIGNATURES {
            return Err(EnvelopeError::Key(format!("sign with 1 to {MAX_SIGNATURES} keys, not {}", keys.len())));
        }
        let mut signatures = Vec::new();
        for key in keys {
            let public = key.public();
            if !public.is_bound_to(environment) {
                return Err(EnvelopeError::Key(format!(
                    "the key {:?} is bound to {} and cannot sign for {environment}",
                    public.kid(),
                    public.environments().join(", "),
                )));
            }
            let header = serde_json::json!({
                "alg": "Ed25519", "b64": false, "crit": ["b64"], "kid": public.kid(), "typ": typ.as_str(),
            });
            let protected = Base64UrlUnpadded::encode_string(header.to_string().as_bytes());
            let signature = key.sign(&signing_input(&protected, payload));
            signatures.push(serde_json::json!({
                "protected": protected, "signature": Base64UrlUnpadded::encode_string(&signature),
            }));
        }
        Ok(serde_json::json!({ "payload": payload, "signatures": signatures }).to_string())
    }
}

impl Signature {
    fn read(document: &Document<'_>, id: Id) -> Signature {
        let bytes = base64url(document, document.need(id, "signature"));
        let protected = document.get(id, "protected");
        Signature {
            encoded: document.string(protected).to_owned(),
            protected: if protected == NOTHING { Header::default() } else { Header::decode(document, protected) },
            unprotected: Header::read(document, document.get(id, "header")),
            bytes,
        }
    }

    /// Whose signature this claims to be, wherever it says so: a kid outside the protected header is refused, but only
    /// if it names a trusted key.
    fn kid(&self) -> Option<&str> {
        self.protected.kid.as_deref().or(self.unprotected.kid.as_deref())
    }

    /// What `b64` says, true unless it is there (RFC 7797 section 3).
    fn encodes_payload(&self) -> bool {
        self.protected.b64.unwrap_or(true)
    }

    /// The rules for a trusted key's signature; an error says what is wrong and what is right.
    fn check(&self, typ: Typ) -> Result<&[u8; 64], String> {
        let Header { alg, b64, crit, typ: found, .. } = &self.protected;
        if let Some(name) = self.unprotected.holds() {
            return Err(["has `", name, "` outside the protected header, where it is not signed"].concat());
        }
        if !matches!(alg.as_deref(), Some("Ed25519" | "EdDSA")) {
            return Err([&*parameter("alg", alg), ", not `alg` \"Ed25519\""].concat());
        }
        if found.as_deref() != Some(typ.as_str()) {
            return Err([&*parameter("typ", found), ", not `typ` \"", typ.as_str(), "\""].concat());
        }
        if *b64 != Some(false) {
            return Err("signs an encoded payload; it needs `b64` false (RFC 7797)".to_owned());
        }
        let crit = crit.as_deref().unwrap_or_default();
        if let Some(unknown) = crit.iter().find(|name| *name != "b64") {
            let understood = " to be understood (`crit`), and it is not; a newer version may";
            return Err(["needs ", &quoted(unknown), understood].concat());
        }
        if crit.len() != 1 {
            return Err("needs `crit` [\"b64\"], as RFC 7797 says".to_owned());
        }
        let long = || ["is ", &decimal(self.bytes.len() as i64), " bytes long, not 64"].concat();
        self.bytes.as_slice().try_into().map_err(|_| long())
    }
}

impl Header {
    /// Reads a protected header, a document of its own in base64url.
    fn decode(document: &Document<'_>, protected: Id) -> Header {
        let decoded = base64url(document, protected);
        let header = Document::parse_bytes(&decoded).and_then(|inner| {
            let header = Header::read(&inner, inner.root());
            inner.check().map(|()| header)
        });
        header.unwrap_or_else(|fault| {
            // Its own places would be places in the decoded text.
            document.refuse(protected, &["the decoded header: ", &fault.text()]);
            Header::default()
        })
    }

    fn read(document: &Document<'_>, id: Id) -> Header {
        let b64 = document.get(id, "b64");
        let crit = document.get(id, "crit");
        Header {
            b64: (b64 != NOTHING).then(|| document.boolean(b64)),
            crit: (crit != NOTHING).then(|| strings(document, crit)),
            alg: text(document, id, "alg"),
            kid: text(document, id, "kid"),
            typ: text(document, id, "typ"),
        }
    }

    /// The name of a parameter that it holds.
    fn holds(&self) -> Option<&'static str> {
        let Header { alg, b64, crit, kid, typ } = self;
        [
            ("alg", alg.is_some()),
            ("b64", b64.is_some()),
            ("crit", crit.is_some()),
            ("kid", kid.is_some()),
            ("typ", typ.is_some()),
        ]
        .into_iter()
        .find_map(|(name, held)| held.then_some(name))
    }
}

fn parameter(name: &str, value: &Option<String>) -> String {
    match value {
        Some(value) => ["has `", name, "` ", &quoted(value)].concat(),
        None => ["has no `", name, "`"].concat(),
    }
}

/// RFC 7797 section 3, for `b64` false.
fn signing_input(protected: &str, payload: &str) -> Vec<u8> {
    [protected.as_bytes(), b".", payload.as_bytes()].concat()
}

/// Whether this is what the compact serialization looks like, so that the complaint can be a helpful one.
fn looks_compact(bytes: &[u8]) -> bool {
    let text = bytes.trim_ascii();
    text.first().is_some_and(u8::is_ascii_alphanumeric) && text.iter().filter(|byte| **byte == b'.').count() == 2
}

/// A member that is a string, if it is there.
pub(super) fn text(document: &Document<'_>, object: Id, name: &str) -> Option<String> {
    let value = document.get(object, name);
    (value != NOTHING).then(|| document.string(value).to_owned())
}

pub(super) fn strings(document: &Document<'_>, list: Id) -> Vec<String> {
    document.elements(list).map(|element| document.string(element).to_owned()).collect()
}

/// Reads bytes in base64url, canonical and without padding; an error does not show the text.
pub(super) fn base64url(document: &Document<'_>, id: Id) -> Vec<u8> {
    super::base64url::decode(document.string(id).as_bytes()).unwrap_or_else(|| {
        document.refuse(id, &["not canonical base64url without padding"]);
        Vec::new()
    })
}

/// Why an envelope, or a key, was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// It is no envelope; the text says what is wrong, and where.
    Malformed(String),
    /// It is a JWS in the serialization named here, and not in the general one.
    Serialization(&'static str),
    /// Its signatures differ in `b64`.
    MixedEncoding,
    /// A trusted key signed under a header that is not accepted.
    Header {
        /// The key.
        kid: String,
        /// What is wrong with its signature.
        problem: String,
    },
    /// None of the keys that signed it is trusted.
    Untrusted {
        /// The keys that signed it, as they say.
        kids: Vec<String>,
    },
    /// The only trusted key that signed it is bound to other environments.
    OtherEnvironment {
        /// The key.
        kid: String,
        /// The environments it is bound to.
        bound_to: Vec<String>,
        /// The one that was asked for.
        environment: String,
    },
    /// It names trusted keys, but they did not sign this.
    Signature {
        /// The keys it names.
        kids: Vec<String>,
    },
    /// A key, or a set of keys, cannot be used; the text says why.
    Key(String),
}

impl EnvelopeError {
    pub(crate) fn text(&self) -> String {
        match self {
            EnvelopeError::Malformed(message) => ["not a signed envelope: ", message].concat(),
            EnvelopeError::Serialization(name) => {
                ["this is a JWS in the ", name, " serialization; only the general JSON serialization is read"].concat()
            }
            EnvelopeError::MixedEncoding => {
                "the envelope's signatures differ in `b64`, so they do not sign the same payload; sign it anew"
                    .to_owned()
            }
            EnvelopeError::Header { kid, problem } => ["the signature by ", &quoted(kid), " ", problem].concat(),
            EnvelopeError::Untrusted { kids } if kids.is_empty() => {
                "signed by a key without a `kid`; trusted keys are told apart by it".to_owned()
            }
            EnvelopeError::Untrusted { kids } => {
                let unknown = ", which is not among the trusted keys; if it should be, add it to them";
                ["signed by ", &list(kids), unknown].concat()
            }
            EnvelopeError::OtherEnvironment { kid, bound_to, environment } => {
                let bound_to = bound_to.join(", ");
                ["signed by a key bound to ", &bound_to, ", not ", environment, " (kid ", &quoted(kid), ")"].concat()
            }
            EnvelopeError::Signature { kids } => {
                let changed = " does not match: the envelope was changed, or another key made it";
                ["the signature by ", &list(kids), changed].concat()
            }
            EnvelopeError::Key(message) => message.clone(),
        }
    }
}

impl fmt::Display for EnvelopeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl std::error::Error for EnvelopeError {}

fn list(kids: &[String]) -> String {
    kids.iter().map(|kid| quoted(kid)).collect::<Vec<_>>().join(", ")
}
