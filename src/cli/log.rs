use std::io::Write;

use flagstone::store::Record;
use serde_json::{Value, json};

use crate::answer::{Answer, BOLD, DIM, Failure, GREEN, count, printable, wait, write_json};
use crate::diff::StoreToRead;
use crate::words;

/// Show who did what, when and why
///
/// The newest version comes first; `flagstone diff` shows each value that changed between two. With --keys each entry must follow from the one after it, and the newest be signed by
/// a trusted key; --verify checks the snapshots as well.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  flagstone log --store published --keys keys/production.jwks
  flagstone log --store published --environment staging --json | jq '.[0].author'")]
pub struct LogArgs {
    #[command(flatten)]
    store: StoreToRead,
    /// Check the snapshots that the entries name, too, and that the newest are in `current`
    #[arg(long, requires = "keys")]
    verify: bool,
    /// Print a JSON array of the entries, with `changes` in words, without the definitions and the state
    #[arg(long)]
    json: bool,
}

impl LogArgs {
    pub fn run(self, out: &mut dyn Write) -> Result<Answer, Failure> {
        let store = self.store.store.as_deref();
        let store = store.ok_or_else(|| Failure::Usage("which log? Name its folder with --store".to_owned()))?;
        let log = self.store.open(store)?;
        let mut versions = self.store.versions(&log, store)?;
        let mut records = Vec::new();
        if self.store.keys.is_some() {
            wait(async {
                let mut history = log.history().await?;
                while let Some(record) = history.next().await? {
                    records.push(record);
                }
                Ok(())
            })?;
        } else {
            while let Some(version) = versions.pop() {
                records.push(wait(log.peek(version))?);
            }
        }
        let told = told(&records);
        let verified = if self.verify { Some(wait(log.verify())?) } else { None };
        if self.json {
            let entries: Vec<Value> = records
                .iter()
                .zip(&told)
                .map(|(record, changes)| {
                    let entry = &record.entry;
                    json!({
                        "version": entry.version, "time": entry.time.to_string(), "author": entry.author,
                        "reason": entry.reason, "changes": changes, "kid": record.kid, "sha256": record.sha256,
                        "previous": entry.previous, "snapshots": entry.snapshots,
                    })
                })
                .collect();
            return write_json(out, &entries);
        }
        for (record, changes) in records.iter().zip(&told) {
            let entry = &record.entry;
            let kid = match (&record.kid, &self.store.keys) {
                (Some(kid), _) => format!("signed by {kid:?}"),
                (None, Some(_)) => {
                    "signed by a key that is not trusted any more; a newer entry vouches for it".to_owned()
                }
                (None, None) => "signature not checked".to_owned(),
            };
            writeln!(out, "{BOLD}version {}{BOLD:#}  {}  {}", entry.version, entry.time, printable(&entry.author))?;
            for line in changes.iter().flatten() {
                writeln!(out, "    {}", printable(line))?;
            }
            for line in entry.reason.lines() {
                writeln!(out, "    {DIM}because{DIM:#} {}", printable(line))?;
            }
            for (name, sha256) in &entry.snapshots {
                writeln!(out, "    {DIM}{name} {}{DIM:#}", printable(sha256.get(..12).unwrap_or(sha256)))?;
            }
            writeln!(out, "    {DIM}{kid}{DIM:#}")?;
        }
        if let Some(entries) = verified {
            writeln!(
                out,
                "{GREEN}ok{GREEN:#}: {} and their snapshots are as they were signed, the newest in `current`",
                count(entries, "version")
            )?;
        }
        Ok(Answer::Yes)
    }
}

/// What each entry did, in sentences; none where the entry before it is gone.
fn told(records: &[Record]) -> Vec<Option<Vec<String>>> {
    let contents: Vec<_> = records.iter().map(Record::contents).collect();
    let nothing = Ok(Default::default());
    let each = records.iter().zip(&contents).enumerate();
    let told = each.map(|(place, (record, contained))| {
        let before = match contents.get(place + 1) {
            None if record.entry.previous.is_some() => return None,
            before => before.unwrap_or(&nothing),
        };
        let lines = match (before, contained) {
            (Ok((was_defined, was)), Ok((definitions, state))) => {
                let mut lines = words::of_definitions(was_defined, definitions);
                lines.extend(words::of_state(definitions, was, state));
                if lines.is_empty() {
                    lines.push("the same again".to_owned());
                }
                lines
            }
            // Another version of the command may have written it; the rest of the log is told all the same.
            (_, Err(error)) => vec![format!("what it holds cannot be read: {error}")],
            (Err(_), Ok(_)) => {
                vec!["what it changed cannot be told, for the entry before it cannot be read".to_owned()]
            }
        };
        Some(lines)
    });
    told.collect()
}
