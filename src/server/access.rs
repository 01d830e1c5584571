//! Who may do what: bearer tokens with roles.

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use axum::http::{HeaderMap, StatusCode, header};
use base64ct::{Base64UrlUnpadded, Encoding};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use super::Asking;
use super::problem::Problem;
use crate::Timestamp;

/// Every token begins so, so that whoever scans for leaked secrets finds it.
const PREFIX: &str = "flagstone_";
/// So many times what is allowed a second may come at once.
const BURST: u32 = 5;
/// Wrong tokens a second of one address, and how many at once.
const WRONG_RATE: (u32, u32) = (1, 10);
/// Addresses and tokens that were heard of are forgotten when there are more than so many.
const MAX_KNOWN: usize = 10_000;

/// What a token allows, each as much as the one before and more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads: snapshots for servers, evaluations, flags, history, metrics.
    Reader,
    /// Changes: kills, restores, sets percents and lists.
    Operator,
    /// Sees who has which role, too.
    Admin,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Reader => "reader",
            Role::Operator => "operator",
            Role::Admin => "admin",
        })
    }
}

impl std::str::FromStr for Role {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "reader" => Ok(Role::Reader),
            "operator" => Ok(Role::Operator),
            "admin" => Ok(Role::Admin),
            other => Err(format!("expected `reader`, `operator` or `admin`, found `{other}`")),
        }
    }
}

/// A token as it is kept: everything but the token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Token {
    /// Whose it is; the author of what is changed with it.
    pub name: String,
    /// What it allows.
    pub role: Role,
    /// SHA-256 of the token, in hexadecimal. A token is 256 random bits, which no search goes through, so that no slower
    /// hash is needed.
    pub sha256: String,
    /// Where it counts; absent means everywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environments: Option<Vec<String>>,
    /// From when on it no longer counts; absent means never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
}

/// A set of tokens, as it stands in a file: `{"tokens": [{"name": …, "role": …, "sha256": …}]}`.
///
/// ```
/// use flagstone::server::{Role, Tokens};
///
/// let mut tokens = Tokens::default();
/// let secret = tokens.issue("dana", Role::Operator, None, None)?;
/// assert!(secret.starts_with("flagstone_"));
/// let file = tokens.to_json();
/// assert!(!file.contains(secret.as_str()), "it is shown once and kept nowhere");
/// assert_eq!(Tokens::from_json(file.as_bytes())?, tokens);
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tokens {
    tokens: Vec<Token>,
}

impl Tokens {
    /// Reads a file of tokens.
    ///
    /// # Errors
    ///
    /// What is wrong with it: no such JSON, a name that is empty or occurs twice, a hash that is none.
    pub fn from_json(bytes: &[u8]) -> Result<Tokens, String> {
        let tokens: Tokens =
            serde_json::from_slice(bytes).map_err(|error| format!("this is no file of tokens: {error}"))?;
        for (index, token) in tokens.tokens.iter().enumerate() {
            let name = &token.name;
            if name.is_empty() || name.chars().any(char::is_control) {
                return Err(format!("the {}th token needs a name that can be printed", index + 1));
            }
            if tokens.tokens[..index].iter().any(|other| other.name == *name) {
                return Err(format!("two tokens are called {name:?}; give one of them another name"));
            }
            if token.sha256.len() != 64 || !token.sha256.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
                return Err(format!("the `sha256` of {name:?} is no SHA-256; `flagstone token` makes one"));
            }
        }
        Ok(tokens)
    }

    /// Writes the file that [`Tokens::from_json`] reads.
    pub fn to_json(&self) -> String {
        format!("{:#}\n", serde_json::to_value(self).unwrap_or_default())
    }

    /// Makes a token, which is in no place but the string that is returned.
    ///
    /// # Errors
    ///
    /// Where there is one of this name already, the name cannot be printed, or the system gives no random numbers.
    pub fn issue(
        &mut self,
        name: &str,
        role: Role,
        environments: Option<Vec<String>>,
        expires: Option<Timestamp>,
    ) -> Result<zeroize::Zeroizing<String>, String> {
        if self.tokens.iter().any(|token| token.name == name) {
            return Err(format!("there is a token {name:?} already; take it out, or choose another name"));
        }
        if name.is_empty() || name.chars().any(char::is_control) {
            return Err(format!("{name:?} cannot be a name; it is what the log will say of whoever uses the token"));
        }
        let mut random = zeroize::Zeroizing::new([0; 32]);
        getrandom::fill(random.as_mut()).map_err(|error| format!("the system gives no random numbers: {error}"))?;
        let secret = zeroize::Zeroizing::new(format!("{PREFIX}{}", Base64UrlUnpadded::encode_string(random.as_ref())));
        let sha256 = hash(&secret);
        self.tokens.push(Token { name: name.to_owned(), role, sha256, environments, expires });
        Ok(secret)
    }

    /// The tokens, without the secrets, which nobody has.
    pub fn iter(&self) -> impl Iterator<Item = &Token> {
        self.tokens.iter()
    }

    /// The token that was presented. It takes as long whichever it is, and however much of it is right.
    fn find(&self, presented: &str) -> Option<&Token> {
        let presented = hash(presented);
        let mut found = None;
        for token in &self.tokens {
            if bool::from(token.sha256.as_bytes().ct_eq(presented.as_bytes())) {
                found = Some(token);
            }
        }
        found
    }
}

fn hash(secret: &str) -> String {
    hmac_sha256::Hash::hash(secret.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a text holds what may be a token.
pub(super) fn holds_token(text: &str) -> bool {
    let name = |part: &str| {
        let name = part.split('=').next().unwrap_or_default().to_ascii_lowercase();
        matches!(name.as_str(), "token" | "access_token" | "api_key" | "apikey" | "authorization" | "bearer")
    };
    text.contains(PREFIX) || text.split('&').any(name)
}

/// Checks tokens, and how often they are used.
pub(super) struct Access {
    file: Option<PathBuf>,
    tokens: RwLock<Arc<Tokens>>,
    /// The file's bytes as they were read last.
    known: Mutex<Vec<u8>>,
    per_token: DefaultKeyedRateLimiter<String>,
    per_address: DefaultKeyedRateLimiter<IpAddr>,
    wrong: DefaultKeyedRateLimiter<IpAddr>,
}

fn quota((per_second, burst): (u32, u32)) -> Quota {
    let number = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
    Quota::per_second(number(per_second)).allow_burst(number(burst))
}

fn too_many() -> Problem {
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many-requests", "this is asked too often; ask more slowly")
        .retry_after(1)
}

impl Access {
    /// `rate` is how often a second a token may ask, or an address that has none.
    pub(super) fn new(file: Option<PathBuf>, rate: u32) -> Result<Access, String> {
        let rate = (rate, rate.saturating_mul(BURST));
        let access = Access {
            tokens: RwLock::default(),
            known: Mutex::default(),
            per_token: RateLimiter::keyed(quota(rate)),
            per_address: RateLimiter::keyed(quota(rate)),
            wrong: RateLimiter::keyed(quota(WRONG_RATE)),
            file,
        };
        access.reload()?;
        Ok(access)
    }

    /// Reads the tokens again if the file changed, so that one that was taken out no longer counts.
    pub(super) fn reload(&self) -> Result<bool, String> {
        let Some(file) = &self.file else { return Ok(false) };
        let bytes =
            std::fs::read(file).map_err(|error| format!("{}: cannot read the tokens: {error}", file.display()))?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if *known == bytes {
            return Ok(false);
        }
        let tokens = Tokens::from_json(&bytes).map_err(|error| format!("{}: {error}", file.display()))?;
        *self.tokens.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(tokens);
        *known = bytes;
        Ok(true)
    }

    /// Forgets who has not asked for a while.
    pub(super) fn tidy(&self) {
        for limiter in [&self.per_address, &self.wrong] {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
        self.per_token.retain_recent();
    }

    pub(super) fn tokens(&self) -> Arc<Tokens> {
        self.tokens.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whose token came with the request; none where none came.
    ///
    /// # Errors
    ///
    /// 401 for one that does not count, 429 where it, or wrong ones from the same address, come too often. A right token
    /// is heard however many wrong ones its address sent: nobody can lock out others.
    pub(super) fn identify(&self, asking: &Asking) -> Result<Option<Token>, Problem> {
        let presented = match presented(&asking.headers) {
            Ok(None) => return Ok(None),
            Ok(Some(presented)) => presented,
            Err(problem) => return Err(problem),
        };
        let tokens = self.tokens();
        let found =
            tokens.find(presented).filter(|token| token.expires.is_none_or(|expires| Timestamp::now() < expires));
        match found {
            Some(token) => match self.per_token.check_key(&token.name) {
                Ok(()) => Ok(Some(token.clone())),
                Err(_) => Err(too_many()),
            },
            None => match self.may_go_on(&self.wrong, asking.address) {
                true => Err(Problem::new(
                    StatusCode::UNAUTHORIZED,
                    "wrong-token",
                    "this token does not count here: it is wrong, was withdrawn, or has expired",
                )),
                false => Err(too_many()),
            },
        }
    }

    /// Lets a request pass that carries a token of at least this role for the environment.
    pub(super) fn require(&self, asking: &Asking, role: Role, environment: &str) -> Result<Token, Problem> {
        let token = self.require_anywhere(asking, role)?;
        match &token.environments {
            Some(environments) if !environments.iter().any(|name| name == environment) => Err(Problem::new(
                StatusCode::FORBIDDEN,
                "other-environment",
                format!("the token {:?} does not count for `{environment}`", token.name),
            )),
            _ => Ok(token),
        }
    }

    /// Lets a request pass that carries a token of at least this role.
    pub(super) fn require_anywhere(&self, asking: &Asking, role: Role) -> Result<Token, Problem> {
        match self.identify(asking)? {
            Some(token) if token.role >= role => Ok(token),
            Some(token) => Err(Problem::new(
                StatusCode::FORBIDDEN,
                "role-too-low",
                format!("this takes the role `{role}`; the token {:?} has `{}`", token.name, token.role),
            )),
            None if self.file.is_none() => Err(Problem::new(
                StatusCode::UNAUTHORIZED,
                "no-tokens",
                "this takes a token, and this server was started without any; `flagstone token` makes one, and \
                 `flagstone serve --tokens FILE` reads it",
            )),
            None => Err(Problem::new(
                StatusCode::UNAUTHORIZED,
                "token-missing",
                format!("this takes a token with the role `{role}`, as `Authorization: Bearer TOKEN`"),
            )),
        }
    }

    /// Lets a request without a token pass, unless its address sends too many.
    pub(super) fn pace(&self, asking: &Asking) -> Result<(), Problem> {
        if self.may_go_on(&self.per_address, asking.address) { Ok(()) } else { Err(too_many()) }
    }

    fn may_go_on(&self, limiter: &DefaultKeyedRateLimiter<IpAddr>, address: IpAddr) -> bool {
        // Of an IPv6 network everyone has more addresses than can be counted.
        let address = match address {
            IpAddr::V6(v6) if v6.to_ipv4_mapped().is_none() => {
                IpAddr::V6((v6.to_bits() & !u128::from(u64::MAX)).into())
            }
            other => other,
        };
        if limiter.len() > MAX_KNOWN {
            limiter.retain_recent();
        }
        limiter.check_key(&address).is_ok()
    }
}

/// The token in `Authorization` (RFC 6750), or in `X-API-Key`, as OFREP knows it, too.
fn presented(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let unreadable = || Problem::bad_request("write the token as `Authorization: Bearer TOKEN`");
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let (scheme, token) = value.to_str().ok().and_then(|value| value.split_once(' ')).ok_or_else(unreadable)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(unreadable());
        }
        return Ok(Some(token.trim()));
    }
    headers.get("x-api-key").map(|value| value.to_str().map_err(|_| unreadable())).transpose()
}
