use std::fmt;

use super::EnvelopeError;
use super::envelope::{base64url, strings, text};
use super::json::{Document, Fault, Id, NOTHING, quoted};

/// The most keys a set may hold.
const MAX_KEYS: usize = 1024;

/// A public Ed25519 key, its name, and the environments it may sign for.
///
/// ```
/// use flagstone::snapshot::TrustedKeys;
///
/// let keys = TrustedKeys::from_jwks(br#"{"keys": [{
///     "kty": "OKP", "crv": "Ed25519", "alg": "Ed25519", "kid": "both", "environments": ["staging", "production"],
///     "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
/// }]}"#)?;
/// let key = keys.get("both").expect("it is in the set");
/// assert_eq!(key.environments(), ["staging", "production"]);
/// assert!(!key.is_bound_to("test"));
/// # Ok::<(), flagstone::snapshot::EnvelopeError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    kid: String,
    bytes: [u8; 32],
    environments: Vec<String>,
}

impl PublicKey {
    /// The name by which an envelope says who signed it.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The key as RFC 8032 encodes it.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// The environments it is bound to, at least one.
    pub fn environments(&self) -> &[String] {
        &self.environments
    }

    /// Whether it may sign for an environment.
    pub fn is_bound_to(&self, environment: &str) -> bool {
        self.environments.iter().any(|name| name == environment)
    }

    /// Takes over what was read, if it is a public key that can be used.
    fn from_jwk(jwk: Jwk) -> Result<PublicKey, String> {
        if jwk.kty.as_deref() != Some("OKP") || jwk.crv.as_deref() != Some("Ed25519") {
            return Err("has another `kty` or `crv`; only `OKP` with `Ed25519` is read (RFC 8037)".to_owned());
        }
        let Some(kid) = jwk.kid.filter(|kid| !kid.is_empty()) else {
            return Err("has no `kid`, by which envelopes name it".to_owned());
        };
        let named = |problem: &str| ["(", &quoted(&kid), ") ", problem].concat();
        if jwk.alg.as_deref() != Some("Ed25519") {
            return Err(named("needs `alg` \"Ed25519\" (RFC 9864)"));
        }
        if jwk.usage.is_some_and(|usage| usage != "sig") {
            return Err(named("is not for signing: `use` is not \"sig\""));
        }
        let Some(environments) = jwk.environments.filter(|names| !names.is_empty()) else {
            return Err(named(
                "is bound to no environment; name those it may sign for, as in \"environments\": [\"production\"]",
            ));
        };
        let Some(bytes) = jwk.x.and_then(|x| x.try_into().ok()) else {
            return Err(named("needs `x`, 32 bytes in base64url"));
        };
        #[cfg(feature = "ed25519")]
        if !ed25519_dalek::VerifyingKey::from_bytes(&bytes).is_ok_and(|key| !key.is_weak()) {
            return Err(named("has an `x` that is no Ed25519 key"));
        }
        Ok(PublicKey { kid, bytes, environments })
    }

    /// Its members as a JWK has them, without the braces.
    #[cfg(feature = "definitions")]
    fn members(&self) -> String {
        use base64ct::{Base64UrlUnpadded, Encoding};

        format!(
            r#""kty":"OKP","crv":"Ed25519","alg":"Ed25519","use":"sig","kid":{},"environments":{},"x":"{}""#,
            serde_json::Value::from(self.kid.as_str()),
            serde_json::Value::from(self.environments.as_slice()),
            Base64UrlUnpadded::encode_string(&self.bytes),
        )
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublicKey")
            .field("kid", &self.kid)
            .field("environments", &self.environments)
            .finish_non_exhaustive()
    }
}

/// The keys whose signatures count.
///
/// They come from a JWK Set (RFC 7517) of public Ed25519 keys (RFC 8037). Each is bound to the environments that it may
/// sign for, so that staging's key cannot sign for production:
///
/// ```
/// use flagstone::snapshot::TrustedKeys;
///
/// let keys = TrustedKeys::from_jwks(br#"{"keys": [{
///     "kty": "OKP", "crv": "Ed25519", "alg": "Ed25519",
///     "kid": "production-2026",
///     "environments": ["production"],
///     "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
/// }]}"#)?;
/// assert!(keys.get("production-2026").unwrap().is_bound_to("production"));
///
/// // A key that is no longer trusted counts from the next load on.
/// let keys = keys.without("production-2026");
/// assert_eq!(keys.iter().count(), 0);
/// # Ok::<(), flagstone::snapshot::EnvelopeError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedKeys {
    keys: Vec<PublicKey>,
}

impl TrustedKeys {
    /// Reads a JWK Set. Keys of other kinds are passed over (RFC 7517 section 5), other members ignored.
    ///
    /// # Errors
    ///
    /// [`EnvelopeError::Key`] for what is no JWK Set or holds no Ed25519 key, for an Ed25519 key without `kid`,
    /// `alg: "Ed25519"` or `environments`, for a kid or member that occurs twice, and for a private or symmetric key, which
    /// has no place here and is not shown.
    pub fn from_jwks(bytes: &[u8]) -> Result<TrustedKeys, EnvelopeError> {
        let refuse = |fault: Box<Fault>| EnvelopeError::Key(["not a set of trusted keys: ", &fault.text()].concat());
        let document = Document::parse_bytes(bytes).map_err(refuse)?;
        let keys = TrustedKeys::read(&document);
        document.check().map_err(refuse)?;
        if keys.keys.is_empty() {
            return Err(EnvelopeError::Key("the set of trusted keys holds no Ed25519 key".to_owned()));
        }
        Ok(keys)
    }

    fn read(document: &Document<'_>) -> TrustedKeys {
        let mut keys = TrustedKeys::default();
        let list = document.get(document.root(), "keys");
        if list == NOTHING {
            document.refuse(document.root(), &["`keys` is missing; a single key goes in as {\"keys\": [KEY]}"]);
        }
        for id in document.elements(list) {
            if keys.keys.len() == MAX_KEYS {
                document.refuse(list, &["more than 1024 keys"]);
                break;
            }
            if document.has(id, "d") || document.has(id, "k") {
                let message = "this key is secret, and trusted keys are handed to everyone; take it out, and replace it \
                               if anyone has seen it";
                document.refuse(id, &[message]);
            }
            let jwk = Jwk::read(document, id);
            if jwk.is_foreign() {
                continue;
            }
            match PublicKey::from_jwk(jwk) {
                Err(problem) => document.refuse(id, &["this key ", &problem]),
                Ok(key) if keys.get(key.kid()).is_some() => {
                    document.refuse(id, &["two keys have the kid `", key.kid(), "`; give one of them another"]);
                }
                Ok(key) => keys.keys.push(key),
            }
        }
        keys
    }

    /// Adds a key, in place of the one with the same kid if there is one.
    #[must_use]
    pub fn with(self, key: PublicKey) -> TrustedKeys {
        let mut keys = self.without(key.kid());
        keys.keys.push(key);
        keys
    }

    /// Takes a key out; nothing changes if there is none with this kid.
    #[must_use]
    pub fn without(mut self, kid: &str) -> TrustedKeys {
        self.keys.retain(|key| key.kid() != kid);
        self
    }

    /// The key with this kid.
    pub fn get(&self, kid: &str) -> Option<&PublicKey> {
        self.keys.iter().find(|key| key.kid() == kid)
    }

    /// The keys, in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = &PublicKey> {
        self.keys.iter()
    }

    /// Writes the JWK Set that [`TrustedKeys::from_jwks`] reads.
    #[cfg(feature = "definitions")]
    pub fn to_jwks(&self) -> String {
        let keys: Vec<_> = self.keys.iter().map(|key| format!("{{{}}}", key.members())).collect();
        format!("{{\"keys\":[{}]}}", keys.join(","))
    }
}

impl FromIterator<PublicKey> for TrustedKeys {
    fn from_iter<I: IntoIterator<Item = PublicKey>>(keys: I) -> TrustedKeys {
        keys.into_iter().fold(TrustedKeys::default(), TrustedKeys::with)
    }
}

/// The members of a JWK that matter here, as they were found.
#[derive(Default)]
struct Jwk {
    kty: Option<String>,
    crv: Option<String>,
    alg: Option<String>,
    usage: Option<String>,
    kid: Option<String>,
    environments: Option<Vec<String>>,
    x: Option<Vec<u8>>,
}

impl Jwk {
    fn read(document: &Document<'_>, id: Id) -> Jwk {
        let environments = document.get(id, "environments");
        let x = document.get(id, "x");
        Jwk {
            environments: (environments != NOTHING).then(|| strings(document, environments)),
            x: (x != NOTHING).then(|| base64url(document, x)),
            kty: text(document, id, "kty"),
            crv: text(document, id, "crv"),
            alg: text(document, id, "alg"),
            usage: text(document, id, "use"),
            kid: text(document, id, "kid"),
        }
    }

    fn is_foreign(&self) -> bool {
        match self.kty.as_deref() {
            Some("OKP") => self.crv.as_deref().is_some_and(|crv| crv != "Ed25519"),
            kty => kty.is_some(),
        }
    }
}

/// A private Ed25519 key, bound to the environments that it may sign for.
///
/// It is kept as a JWK (RFC 7517, RFC 8037) in a file that nobody else can read. It is never shown by `Debug`, and wiped
/// from memory when dropped.
///
/// ```
/// use flagstone::snapshot::SigningKey;
///
/// let key = SigningKey::generate(None, ["production"])?;
/// let file = key.to_jwk();
/// assert_eq!(SigningKey::from_jwk(file.as_bytes())?.public(), key.public());
/// # Ok::<(), flagstone::snapshot::EnvelopeError>(())
/// ```
#[cfg(feature = "definitions")]
pub struct SigningKey {
    secret: ed25519_dalek::SigningKey,
    public: PublicKey,
}

#[cfg(feature = "definitions")]
impl SigningKey {
    /// Makes a key from the system's random numbers. Without a `kid` it is named by its thumbprint (RFC 7638).
    ///
    /// # Errors
    ///
    /// [`EnvelopeError::Key`] without an environment, for an empty kid, and where the system gives no random numbers.
    pub fn generate<S: Into<String>>(
        kid: Option<&str>,
        environments: impl IntoIterator<Item = S>,
    ) -> Result<SigningKey, EnvelopeError> {
        let mut seed = zeroize::Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut())
            .map_err(|error| EnvelopeError::Key(format!("the system gives no random numbers: {error}")))?;
        let secret = ed25519_dalek::SigningKey::from_bytes(&seed);
        let bytes = secret.verifying_key().to_bytes();
        let kid = kid.map_or_else(|| thumbprint(&bytes), str::to_owned);
        let environments: Vec<String> = environments.into_iter().map(Into::into).collect();
        if environments.is_empty() {
            return Err(EnvelopeError::Key("a key must be bound to an environment; name at least one".to_owned()));
        }
        if kid.is_empty() {
            return Err(EnvelopeError::Key("a key cannot have an empty kid".to_owned()));
        }
        Ok(SigningKey { secret, public: PublicKey { kid, bytes, environments } })
    }

    /// Reads a private key.
    ///
    /// # Errors
    ///
    /// [`EnvelopeError::Key`] for what is no Ed25519 key or a public one, for a key without `kid`, `alg: "Ed25519"` or
    /// `environments`, and where `x` does not belong to `d`. No error shows the secret.
    pub fn from_jwk(bytes: &[u8]) -> Result<SigningKey, EnvelopeError> {
        let refuse = |message: String| EnvelopeError::Key(format!("not a signing key: {message}"));
        let fault = |fault: Box<Fault>| refuse(fault.text());
        let document = Document::parse_bytes(bytes).map_err(fault)?;
        if document.has(document.root(), "keys") {
            return Err(refuse("this is a set of public keys; give the private key, a `.private.jwk`".to_owned()));
        }
        let jwk = Jwk::read(&document, document.root());
        document.check().map_err(fault)?;
        let public = PublicKey::from_jwk(jwk).map_err(|problem| refuse(format!("this key {problem}")))?;
        let secret = document.get(document.root(), "d");
        if secret == NOTHING {
            return Err(refuse("this is a public key; the private one has a `d`".to_owned()));
        }
        let secret = zeroize::Zeroizing::new(base64url(&document, secret));
        document.check().map_err(fault)?;
        let Ok(seed) = <&[u8; 32]>::try_from(secret.as_slice()) else {
            return Err(refuse("`d` is not 32 bytes long".to_owned()));
        };
        let secret = ed25519_dalek::SigningKey::from_bytes(seed);
        if secret.verifying_key().as_bytes() != public.bytes() {
            return Err(refuse("`x` is not the public half of `d`".to_owned()));
        }
        Ok(SigningKey { secret, public })
    }

    /// Writes the private key as [`SigningKey::from_jwk`] reads it. The text is the secret: it is wiped when dropped, and
    /// must only go where nobody else reads.
    pub fn to_jwk(&self) -> zeroize::Zeroizing<String> {
        use base64ct::{Base64UrlUnpadded, Encoding};

        let mut buffer = zeroize::Zeroizing::new([0; 43]);
        let d =
            Base64UrlUnpadded::encode(self.secret.as_bytes(), buffer.as_mut()).expect("32 bytes make 43 characters");
        let members = self.public.members();
        // Room for all of it, so that growing leaves no copy behind.
        let mut jwk = String::with_capacity(members.len() + d.len() + 16);
        for part in ["{", &members, ",\"d\":\"", d, "\"}"] {
            jwk.push_str(part);
        }
        zeroize::Zeroizing::new(jwk)
    }

    /// Its public half, for [`TrustedKeys`].
    pub fn public(&self) -> PublicKey {
        self.public.clone()
    }

    pub(super) fn sign(&self, message: &[u8]) -> [u8; 64] {
        use ed25519_dalek::Signer;

        self.secret.sign(message).to_bytes()
    }
}

#[cfg(feature = "definitions")]
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("public", &self.public).finish_non_exhaustive()
    }
}

/// RFC 7638, with the members that RFC 8037 names.
#[cfg(feature = "definitions")]
fn thumbprint(x: &[u8; 32]) -> String {
    use base64ct::{Base64UrlUnpadded, Encoding};

    let members = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, Base64UrlUnpadded::encode_string(x));
    Base64UrlUnpadded::encode_string(&hmac_sha256::Hash::hash(members.as_bytes()))
}

#[cfg(all(test, feature = "definitions"))]
mod tests {
    use super::*;

    /// RFC 8037 appendix A.1, with what this crate asks for.
    const KEY: &str = r#"{"kty":"OKP","crv":"Ed25519","alg":"Ed25519","kid":"rfc","environments":["test"],
        "d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

    /// RFC 8037 appendix A.3.
    #[test]
    fn thumbprint_of_the_rfc() {
        let key = SigningKey::from_jwk(KEY.as_bytes()).unwrap();
        assert_eq!(thumbprint(key.public.bytes()), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    /// RFC 8037 appendix A.4.
    #[test]
    fn signature_of_the_rfc() {
        use base64ct::{Base64UrlUnpadded, Encoding};

        let key = SigningKey::from_jwk(KEY.as_bytes()).unwrap();
        assert_eq!(
            Base64UrlUnpadded::encode_string(&key.sign(b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc")),
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
        );
    }
}
