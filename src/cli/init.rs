use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::answer::{Answer, BOLD, DIM, Failure, GREEN};
use crate::files::{self, within};
use crate::keygen::{generate, jwks};

/// Start a project
///
/// Writes definitions to begin with, the JSON Schema that editors check them by, and a key for `production`. Nothing that
/// is there is written over.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  flagstone init
  flagstone init demo --example five-plans")]
pub struct Init {
    /// The folder; it is made if it is not there
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,
    /// What to begin with, in place of a small example
    #[arg(long, value_name = "NAME")]
    example: Option<Example>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Example {
    /// The flags of five rollouts: a gateway, a chat, calls, WebSockets, three services
    FivePlans,
}

const ENVIRONMENT: &str = "production";

impl Init {
    pub fn run(self, out: &mut dyn Write) -> Result<Answer, Failure> {
        let folder = &self.folder;
        let definitions = match self.example {
            None => vec![("flags.yaml", small_example()?)],
            Some(Example::FivePlans) => five_plans()?,
        };
        let schema = format!("{}\n", files::schema());
        let keys = within(folder, "keys");
        let private = keys.join(format!("{ENVIRONMENT}.private.jwk"));
        let public = keys.join(format!("{ENVIRONMENT}.jwks"));
        let mut texts: Vec<(PathBuf, String)> =
            definitions.into_iter().map(|(name, text)| (within(folder, name), text)).collect();
        texts.push((within(folder, SCHEMA), schema));
        texts.push((keys.join(".gitignore"), "*.private.jwk\n".to_owned()));

        let key = generate(None, &[ENVIRONMENT.to_owned()])?;
        texts.push((public.clone(), format!("{}\n", jwks(&key.public()))));
        let all = texts.iter().map(|(path, _)| path).chain([&private]);
        let there: Vec<_> = all.filter(|path| path.exists()).map(|path| path.display().to_string()).collect();
        if !there.is_empty() {
            return Err(Failure::File(format!(
                "{}: there is a project here already ({}); name another folder",
                folder.display(),
                there.join(", ")
            )));
        }

        fs::create_dir_all(&keys).map_err(|error| Failure::io("make this folder", &keys, error))?;
        files::create_private(&private, key.to_jwk().as_bytes())?;
        for (path, text) in &texts {
            files::create(path, text.as_bytes())?;
        }
        writeln!(out, "{GREEN}started{GREEN:#} a project in {}", folder.display())?;
        for (path, what) in texts.iter().map(|(path, _)| (path, describe(path))).chain([(&private, PRIVATE)]) {
            writeln!(out, "    {}  {DIM}{what}{DIM:#}", path.display())?;
        }
        writeln!(out, "\nnext:")?;
        let (folder, private, public) = (shell(folder), shell(&private), shell(&public));
        let store = shell(&within(&self.folder, "published"));
        let current = shell(&within(&self.folder, "published/production/current/server.json"));
        let flag = if self.example.is_some() { "use_new_gateway" } else { "new_checkout" };
        for command in [
            format!("flagstone lint {folder}"),
            format!(
                "flagstone publish {folder} --environment {ENVIRONMENT} --store {store} --key {private} --reason 'A start'"
            ),
            format!(
                "flagstone eval --snapshot {current} --keys {public} --flag {flag} --context '{{\"targetingKey\": \"user-42\"}}'"
            ),
        ] {
            writeln!(out, "    {BOLD}{command}{BOLD:#}")?;
        }
        Ok(Answer::Yes)
    }
}

const SCHEMA: &str = "flags.schema.json";
const PRIVATE: &str = "signs; keep it secret";

fn describe(path: &Path) -> &'static str {
    match path.extension().and_then(|end| end.to_str()) {
        Some("yaml") => "the flags",
        Some("json") => "the JSON Schema of definitions, for editors",
        Some("jwks") => "the public key, for whoever loads snapshots",
        _ => "keeps the private key out of version control",
    }
}

/// A path as a shell takes it.
fn shell(path: &Path) -> String {
    let text = path.display().to_string();
    match text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte)) {
        true => text,
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

/// A definition's file with the line by which editors find the schema.
fn with_schema(text: &str) -> String {
    format!("# yaml-language-server: $schema={SCHEMA}\n{text}")
}

fn small_example() -> Result<String, Failure> {
    Ok(with_schema(&SMALL_EXAMPLE.replace("SALT", &random()?)))
}

fn five_plans() -> Result<Vec<(&'static str, String)>, Failure> {
    // A salt that everyone can read in this repository would hide nobody.
    let salt = format!("hashSalt: {}", random()?);
    let own = |line: &'static str| if line.starts_with("hashSalt: ") { salt.clone() } else { line.to_owned() };
    let text = |text: &'static str| text.lines().map(|line| own(line) + "\n").collect::<String>();
    Ok(FIVE_PLANS.into_iter().map(|(name, plan)| (name, with_schema(&text(plan)))).collect())
}

/// 64 random bits, so that no two projects have the same people go first.
fn random() -> Result<String, Failure> {
    getrandom::u64()
        .map(|bits| format!("{bits:016x}"))
        .map_err(|error| Failure::File(format!("the system gives no random numbers: {error}")))
}

const SMALL_EXAMPLE: &str = r#"# Percents have at most three decimal places. `flagstone lint` checks this file, `flagstone publish` signs and publishes it.

# Salts the hashes of what clients must not read: lists of people, and confidential operands.
hashSalt: SALT

segments:
  staff:
    when: {attribute: email, endsWith: "@example.com"}

flags:
  # A boolean flag: `on` and `off`. Everyone at the company has it, and 5 % of all others.
  new_checkout:
    description: The checkout in one page
    owner: shop
    # Browsers and apps may read this flag.
    client: true
    # Decides who is among the first. A new salt moves everyone, so leave it as it is.
    salt: new_checkout-SALT
    rules:
      - id: staff
        when: {segment: staff}
        serve: on
    # Raise the percent, and whoever is in stays in.
    default: {ramp: {percent: 5, serve: on}}

  # Three variants of a string, half of the people in the experiment.
  checkout_button:
    description: The words on the button
    owner: shop
    client: true
    variants: {buy: Buy now, order: Place order, pay: Pay}
    off: buy
    salt: checkout_button-SALT
    # Only for those who see the new checkout.
    prerequisites:
      - {flag: new_checkout, variant: on}
    default:
      ramp:
        percent: 50
        serve:
          split:
            - {variant: buy, weight: 1}
            - {variant: order, weight: 1}
            - {variant: pay, weight: 1}
"#;

const FIVE_PLANS: [(&str, &str); 10] = [
    ("000-gateway.yaml", include_str!("../../tests/rollouts/definitions/000-gateway.yaml")),
    ("000-gateway.rollout.yaml", include_str!("../../tests/rollouts/definitions/000-gateway.rollout.yaml")),
    ("001-chat.yaml", include_str!("../../tests/rollouts/definitions/001-chat.yaml")),
    ("001-chat.rollout.yaml", include_str!("../../tests/rollouts/definitions/001-chat.rollout.yaml")),
    ("002-calling.yaml", include_str!("../../tests/rollouts/definitions/002-calling.yaml")),
    ("002-calling.rollout.yaml", include_str!("../../tests/rollouts/definitions/002-calling.rollout.yaml")),
    ("003-websocket.yaml", include_str!("../../tests/rollouts/definitions/003-websocket.yaml")),
    ("003-websocket.rollout.yaml", include_str!("../../tests/rollouts/definitions/003-websocket.rollout.yaml")),
    ("004-services.yaml", include_str!("../../tests/rollouts/definitions/004-services.yaml")),
    ("004-services.rollout.yaml", include_str!("../../tests/rollouts/definitions/004-services.rollout.yaml")),
];
