use std::io::Write;
use std::path::{Path, PathBuf};

use flagstone::snapshot::{PublicKey, SigningKey, TrustedKeys};
use serde_json::Value;

use crate::answer::{Answer, Failure, note};
use crate::files;

/// Make a key to sign with
///
/// Writes the private key (a JWK, Ed25519) to a file that only you can read, and the public one (a JWK Set) to standard
/// output or to the set that --public names. The public half goes to whoever loads snapshots; the private one stays with
/// whoever publishes.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  flagstone keygen --environment production --out production.private.jwk > production.jwks
  flagstone keygen --environment staging --out staging.private.jwk --public trusted.jwks")]
pub struct Keygen {
    /// The environment that the key may sign for; give it again for more
    #[arg(long, value_name = "NAME", required = true)]
    environment: Vec<String>,
    /// What envelopes call the key; by default its thumbprint (RFC 7638)
    #[arg(long, value_name = "NAME")]
    kid: Option<String>,
    /// Where the private key goes; a file that is there is never written over
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The set that the public key is added to; it is made if it is not there
    #[arg(long, value_name = "JWKS")]
    public: Option<PathBuf>,
}

impl Keygen {
    pub fn run(self, out: &mut dyn Write) -> Result<Answer, Failure> {
        let key = generate(self.kid.as_deref(), &self.environment)?;
        // Whether the set can take it is known before anything is written.
        let set = self.public.as_deref().map(|path| extended(path, &key.public())).transpose()?;
        files::create_private(&self.out, key.to_jwk().as_bytes())?;
        match (&self.public, set) {
            (Some(path), Some(set)) if path.exists() => files::replace(path, set.as_bytes())?,
            (Some(path), Some(set)) => files::create(path, set.as_bytes())?,
            _ => writeln!(out, "{}", jwks(&key.public()))?,
        }
        note(format!("the private key is in {}; keep it secret, and out of version control", self.out.display()));
        Ok(Answer::Yes)
    }
}

pub fn generate(kid: Option<&str>, environments: &[String]) -> Result<SigningKey, Failure> {
    SigningKey::generate(kid, environments).map_err(|error| Failure::Usage(error.to_string()))
}

/// A set of this one key.
pub fn jwks(key: &PublicKey) -> String {
    let set: Value = serde_json::from_str(&TrustedKeys::from_iter([key.clone()]).to_jwks()).unwrap_or_default();
    format!("{set:#}")
}

/// What is in the file, with the key added; whatever else is in the set stays in it.
fn extended(path: &Path, key: &PublicKey) -> Result<String, Failure> {
    if !path.exists() {
        return Ok(format!("{}\n", jwks(key)));
    }
    let bytes = files::read(path)?;
    let broken = |error: &dyn std::fmt::Display| Failure::File(format!("{}: {error}", path.display()));
    let trusted = TrustedKeys::from_jwks(&bytes).map_err(|error| broken(&error))?;
    if trusted.get(key.kid()).is_some() {
        return Err(broken(&format!("there is a key {:?} in this set already; choose another --kid", key.kid())));
    }
    let mut set: Value = serde_json::from_slice(&bytes).map_err(|error| broken(&error))?;
    let mut new: Value = serde_json::from_str(&jwks(key)).map_err(|error| broken(&error))?;
    if let (Some(Value::Array(keys)), Some(Value::Array(new))) = (set.get_mut("keys"), new.get_mut("keys")) {
        keys.append(new);
    }
    Ok(format!("{set:#}\n"))
}
