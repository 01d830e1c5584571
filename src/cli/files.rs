//! What is read from and written to files.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use flagstone::snapshot::definitions::{Definitions, Problem, Severity, Source, json_schema, lint};
use flagstone::snapshot::{SigningKey, TrustedKeys};
use flagstone::{VariableNames, VariablePins};
use serde_json::Value;

use crate::answer::{BOLD, CYAN, Failure, RED, YELLOW, count};
use crate::snapshot::is_snapshot;

/// Reads a file, or standard input where it is called `-`.
pub fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    if path.as_os_str() == "-" {
        let mut bytes = Vec::new();
        let read = io::stdin().lock().read_to_end(&mut bytes);
        return read.map(|_| bytes).map_err(|error| Failure::io("read standard input", path, error));
    }
    fs::read(path).map_err(|error| Failure::io("read it", path, error))
}

/// Writes a new file, and refuses to write over one that is there.
pub fn create(path: &Path, contents: &[u8]) -> Result<(), Failure> {
    create_with(path, contents, OpenOptions::new().write(true).create_new(true))
}

/// Writes a new file that nobody else can read.
pub fn create_private(path: &Path, contents: &[u8]) -> Result<(), Failure> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    create_with(path, contents, &options)
}

fn create_with(path: &Path, contents: &[u8], options: &OpenOptions) -> Result<(), Failure> {
    let write = options.open(path).and_then(|mut file| {
        file.write_all(contents)?;
        file.sync_all()
    });
    write.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Failure::File(format!(
            "{}: there is such a file already; choose another name, or move it away",
            path.display()
        )),
        _ => Failure::io("write it", path, error),
    })
}

/// Writes a file in one step, so that nobody ever reads half of it.
pub fn replace(path: &Path, contents: &[u8]) -> Result<(), Failure> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new = path.with_file_name(name);
    // As open to others as it was, and no more; one that is new, as any.
    let old = fs::metadata(path).ok();
    if old.is_some() {
        create_private(&new, contents)?
    } else {
        create(&new, contents)?
    }
    let permissions = old.map_or(Ok(()), |old| fs::set_permissions(&new, old.permissions()));
    permissions.and_then(|()| fs::rename(&new, path)).map_err(|error| {
        let _ = fs::remove_file(&new);
        Failure::io("write it", path, error)
    })
}

/// Reads a set of trusted keys.
pub fn trusted_keys(path: &Path) -> Result<TrustedKeys, Failure> {
    TrustedKeys::from_jwks(&read(path)?).map_err(|error| Failure::File(format!("{}: {error}", path.display())))
}

/// Reads a private key.
pub fn signing_key(path: &Path) -> Result<SigningKey, Failure> {
    let error = |error: &dyn std::fmt::Display| Failure::File(format!("{}: {error}", path.display()));
    let bytes = zeroize::Zeroizing::new(read(path)?);
    SigningKey::from_jwk(&bytes).map_err(|e| error(&e))
}

/// The JSON Schema of definitions, as text.
pub fn schema() -> String {
    format!("{:#}", json_schema())
}

/// Files of definitions, as given on a command line.
pub struct Project {
    files: Vec<(String, Vec<u8>)>,
    /// Files of the folders that hold something else.
    others: Vec<String>,
}

impl Project {
    /// Reads files, and of folders the files that end in `.yaml`, `.yml` or `.json`, but not those in folders within
    /// them, no JSON Schemas, and no JSON without a section of definitions: a `package.json`, a snapshot.
    pub fn read(paths: &[PathBuf]) -> Result<Project, Failure> {
        let (mut files, mut others) = (Vec::new(), Vec::new());
        for path in paths {
            if path.is_dir() {
                let before = files.len();
                for path in candidates_in(path)? {
                    let (name, text) = (path.display().to_string(), read(&path)?);
                    match name.ends_with(".json") && is_something_else(&text) {
                        true => others.push(name),
                        false => files.push((name, text)),
                    }
                }
                if files.len() == before {
                    return Err(Failure::File(format!(
                        "{}: no definitions here: no file ends in .yaml, .yml or .json and holds any; `flagstone init` \
                         makes one",
                        path.display()
                    )));
                }
            } else {
                files.push((path.display().to_string(), read(path)?));
            }
        }
        // Problems are shown with the line they are in, and that must not be a secret.
        match files.iter().find(|(_, text)| is_key(text)) {
            Some((name, _)) => Err(Failure::File(format!("{name}: this is a key, no definitions; name another file"))),
            None => Ok(Project { files, others }),
        }
    }

    pub fn files(&self) -> usize {
        self.files.len()
    }

    /// Files of the folders that were passed over, since they hold no definitions.
    pub fn others(&self) -> &[String] {
        &self.others
    }

    /// The definitions, unless their form is wrong, and all that is wrong with them.
    pub fn check(&self) -> (Option<Definitions>, Vec<Problem>) {
        let sources: Vec<_> = self.files.iter().map(|(name, text)| Source::new(name, text.as_slice())).collect();
        match Definitions::read(&sources) {
            Ok(definitions) => {
                let problems = lint(&definitions);
                (Some(definitions), problems)
            }
            Err(problems) => (None, problems),
        }
    }

    /// The definitions, if nothing is wrong with them; warnings are for `lint` to show.
    pub fn definitions(&self) -> Result<Definitions, Failure> {
        match self.check() {
            (Some(definitions), problems) if !problems.iter().any(Problem::is_error) => Ok(definitions),
            (_, problems) => Err(self.refusal(&problems)),
        }
    }

    /// Shows the errors, and says that they are in the way.
    pub fn refusal(&self, problems: &[Problem]) -> Failure {
        let errors: Vec<_> = problems.iter().filter(|problem| problem.is_error()).collect();
        let text: String = errors.iter().map(|problem| self.show(problem)).collect();
        let _ = write!(anstream::stderr(), "{text}");
        Failure::Refused(format!("the definitions have {}; mend them first", count(errors.len(), "error")))
    }

    /// A problem as compilers show it, with the line it is in.
    pub fn show(&self, problem: &Problem) -> String {
        let style = match problem.severity {
            Severity::Error => RED.bold(),
            Severity::Warning => YELLOW.bold(),
            Severity::Note => CYAN.bold(),
        };
        let (plain, kind) = (problem.to_string(), problem.kind());
        // The place, then the severity: the first `error: ` cannot be anything else, for a path holds no blank unquoted.
        let (place, rest) = plain.split_once(&format!("{kind}: ")).unwrap_or(("", &plain));
        let mut text = format!("{BOLD}{place}{BOLD:#}{style}{kind}{style:#}: {rest}\n");
        if let (Some(file), Some(line), Some(column)) = (&problem.file, problem.line, problem.column)
            && let Some(excerpt) = self.excerpt(file, line, column)
        {
            text += &excerpt;
        }
        text
    }

    fn excerpt(&self, file: &str, line: usize, column: usize) -> Option<String> {
        /// As much of a long line is shown, and as much of it before the place.
        const WIDTH: usize = 110;
        const BEFORE: usize = 60;

        let (_, bytes) = self.files.iter().find(|(name, _)| name == file)?;
        let text = String::from_utf8_lossy(bytes);
        let source = text.lines().nth(line - 1)?.trim_end();
        let skipped = if source.chars().count() > WIDTH { (column - 1).saturating_sub(BEFORE) } else { 0 };
        let shown: String = source.chars().skip(skipped).take(WIDTH).collect();
        let indent: String =
            shown.chars().take(column - 1 - skipped).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        let (number, margin) = (line.to_string(), " ".repeat(line.to_string().len()));
        let mut excerpt = String::new();
        let _ = writeln!(excerpt, "{CYAN}{margin} |{CYAN:#}");
        let _ = writeln!(excerpt, "{CYAN}{number} |{CYAN:#} {shown}");
        let _ = writeln!(excerpt, "{CYAN}{margin} |{CYAN:#} {indent}{RED}^{RED:#}");
        Some(excerpt)
    }
}

/// What this process's environment variables pin, those included that a file names.
pub fn variable_pins(names: Option<&Path>) -> Result<VariablePins, Failure> {
    VariablePins::from_environment(&variable_names(names)?).map_err(|error| Failure::Usage(error.to_string()))
}

/// The names of environment variables that a file has, where there is one.
pub fn variable_names(path: Option<&Path>) -> Result<VariableNames, Failure> {
    let Some(path) = path else { return Ok(VariableNames::default()) };
    let wrong = |error: &dyn std::fmt::Display| Failure::File(format!("{}: {error}", path.display()));
    let text = String::from_utf8(read(path)?).map_err(|error| wrong(&error))?;
    VariableNames::from_json(&text).map_err(|error| wrong(&error))
}

/// A file in a folder, without a `./` that says nothing.
pub fn within(folder: &Path, name: impl AsRef<Path>) -> PathBuf {
    if folder.as_os_str() == "." { name.as_ref().to_owned() } else { folder.join(name) }
}

/// Whether the text is a JWK or a set of them, be it damaged.
fn is_key(text: &[u8]) -> bool {
    const MEMBER: &[u8] = br#""kty""#;
    text.windows(MEMBER.len()).any(|part| part == MEMBER)
}

/// Whether JSON holds something other than definitions: no section of theirs, or a snapshot.
fn is_something_else(json: &[u8]) -> bool {
    let mut sections = Definitions::SECTIONS.iter();
    match serde_json::from_slice::<Value>(json) {
        Ok(value) => !sections.any(|name| value.get(name).is_some()) || is_snapshot(json),
        // Definitions with a mistake are for `lint` to show.
        Err(_) => {
            let text = String::from_utf8_lossy(json);
            !sections.any(|name| text.contains(&format!("{name:?}")))
        }
    }
}

fn candidates_in(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let failed = |error| Failure::io("read this folder", folder, error);
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = within(folder, entry.map_err(failed)?.file_name());
        let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        let ends = |end: &str| name.ends_with(end);
        let definitions = ends(".yaml") || ends(".yml") || (ends(".json") && !ends(".schema.json"));
        if definitions && !name.starts_with('.') && path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Who is asking, where nobody says: the system's name for them.
pub fn author() -> Result<String, Failure> {
    let unknown = |error| Failure::Usage(format!("nobody is named as the author ({error}); use --author NAME"));
    whoami::username().map_err(unknown)
}
