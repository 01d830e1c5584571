use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use flagstone::Timestamp;
use flagstone::server::{Role, Tokens};

use crate::answer::{Answer, Failure, note};
use crate::files;

/// Make a token for `flagstone serve`
///
/// Adds its name, its role and its hash to the file, and prints the token, which is kept nowhere else. A server that runs
/// takes up the file within a second. To withdraw a token, delete its entry.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  flagstone token --name dana --role operator --file tokens.json
  flagstone token --name checkout --role reader --environment staging --expires 90d \\
    --file tokens.json")]
pub struct TokenArgs {
    /// Whose it is; the log names them as the author of what is changed with it
    #[arg(long, value_name = "NAME")]
    name: String,
    /// What it allows: `reader`, `operator` or `admin`
    #[arg(long, value_name = "ROLE")]
    role: Role,
    /// The file that the server is given; it is made if it is not there
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    /// The environment that it counts for; give it again for more. By default it is all
    #[arg(long, value_name = "NAME")]
    environment: Vec<String>,
    /// For how long it counts; by default for ever
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    expires: Option<Duration>,
}

impl TokenArgs {
    pub fn run(self, out: &mut dyn Write) -> Result<Answer, Failure> {
        let new = !self.file.exists();
        let mut tokens = match new {
            true => Tokens::default(),
            false => Tokens::from_json(&files::read(&self.file)?)
                .map_err(|error| Failure::File(format!("{}: {error}", self.file.display())))?,
        };
        let environments = Some(self.environment).filter(|names| !names.is_empty());
        let valid = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        let expires = self.expires.map(|time| Timestamp::now().plus_millis(valid(time)));
        let secret = tokens.issue(&self.name, self.role, environments, expires).map_err(Failure::Refused)?;
        let text = tokens.to_json();
        match new {
            true => files::create_private(&self.file, text.as_bytes())?,
            false => files::replace(&self.file, text.as_bytes())?,
        }
        writeln!(out, "{}", secret.as_str())?;
        note("this is shown once; hand it over where nobody else reads, and put it into no URL");
        Ok(Answer::Yes)
    }
}
