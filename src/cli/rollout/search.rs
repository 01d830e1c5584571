//! Finds where flags are named in source trees.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use flagstone::VariableNames;
use flagstone::rollout::{Place, PlaceKind};
use flagstone::snapshot::definitions::{Definitions, Source, json_schema};
use grep_regex::{RegexMatcher, RegexMatcherBuilder};
use grep_searcher::{BinaryDetection, Searcher, SearcherBuilder, sinks::Lossy};
use heck::{ToKebabCase, ToLowerCamelCase, ToShoutySnakeCase, ToSnakeCase, ToUpperCamelCase};
use ignore::{DirEntry, WalkBuilder, WalkState};
use indicatif::ProgressBar;
use serde_json::Value;

use crate::answer::Failure;
use crate::snapshot::is_snapshot;
use crate::types::{is_generated, rust_names};

/// As much of a line is shown.
const WIDTH: usize = 160;

/// Larger files are not looked into for what they are.
const MOST_READ: u64 = 4 << 20;

/// A way in which a flag is named.
struct Spelling {
    flag: String,
    text: String,
    place: Where,
}

/// Where that counts as the flag's name.
#[derive(Clone, Copy, PartialEq)]
enum Where {
    /// As a whole word.
    Anywhere,
    /// As a whole string, or in definitions: alone, a single word can be anything.
    Quoted,
    /// As the name of a constant or type of a module, in Rust: alone, a capital letter is a type's parameter.
    Rust,
}

/// What was found.
#[derive(Default)]
pub struct Found {
    pub places: Vec<Place>,
    /// The files that were searched.
    pub files: BTreeSet<PathBuf>,
    /// What could not be read, and why.
    pub unread: Vec<String>,
}

/// Searches these folders and files for the flags, in every spelling that code has for them; what `.gitignore` names is passed
/// over, and so are binary files and `except`.
pub fn search(
    sources: &[PathBuf],
    except: Option<&Path>,
    flags: &[String],
    definitions: &Definitions,
    variables: &VariableNames,
) -> Result<Found, Failure> {
    let spellings = spellings(flags, definitions, variables);
    let texts: BTreeSet<&str> = spellings.iter().map(|spelling| spelling.text.as_str()).collect();
    let texts: Vec<&str> = texts.into_iter().collect();
    let matcher = RegexMatcherBuilder::new().build_literals(&texts);
    let matcher = matcher.map_err(|error| Failure::Usage(format!("the flags cannot be searched for: {error}")))?;
    let Some((first, others)) = sources.split_first() else { return Ok(Found::default()) };
    if let Some(missing) = sources.iter().find(|source| !source.exists()) {
        return Err(Failure::File(format!("{}: there is no such folder or file to search", missing.display())));
    }
    let mut walk = WalkBuilder::new(first);
    for other in others {
        walk.add(other);
    }
    let except = except.and_then(|path| path.canonicalize().ok());
    let kept = move |entry: &DirEntry| {
        // What is hidden may be configuration, but for git's own.
        let is_folder = entry.file_type().is_some_and(|kind| kind.is_dir());
        entry.file_name() != ".git" && !(is_folder && except.is_some() && entry.path().canonicalize().ok() == except)
    };
    walk.hidden(false).require_git(false).filter_entry(kept);

    let progress = ProgressBar::new_spinner();
    progress.set_message("searching");
    let found = Mutex::new(Found::default());
    let add = |more: Found| {
        let mut found = found.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        found.files.extend(more.files);
        found.places.extend(more.places);
        found.unread.extend(more.unread);
        if found.files.len().is_multiple_of(256) {
            progress.set_message(format!("searched {} files", found.files.len()));
            progress.tick();
        }
    };
    walk.build_parallel().run(|| {
        let mut searcher = SearcherBuilder::new().binary_detection(BinaryDetection::quit(0)).line_number(true).build();
        let (add, matcher, spellings, definitions) = (&add, &matcher, &spellings, definitions);
        Box::new(move |entry| {
            match entry {
                Ok(entry) if entry.file_type().is_some_and(|kind| kind.is_file()) => {
                    add(search_file(&mut searcher, matcher, entry.path(), spellings, definitions));
                }
                Ok(entry) if entry.file_type().is_some_and(|kind| kind.is_symlink()) => {
                    let unread = format!("{}: links are not followed", entry.path().display());
                    add(Found { unread: vec![unread], ..Found::default() });
                }
                Ok(_) => {}
                Err(error) => add(Found { unread: vec![error.to_string()], ..Found::default() }),
            }
            WalkState::Continue
        })
    });
    progress.finish_and_clear();
    let mut found = found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    found.places.sort();
    // Of folders that lie in one another.
    found.places.dedup();
    found.unread.sort();
    Ok(found)
}

fn spellings(flags: &[String], definitions: &Definitions, variables: &VariableNames) -> Vec<Spelling> {
    let mut spellings = Vec::new();
    let names = definitions.flags.keys().zip(rust_names(definitions));
    let names: Vec<_> = names.filter(|(key, _)| flags.contains(key)).collect();
    for flag in flags {
        let mut add = |text: String, place| {
            let is_new = !spellings.iter().any(|other: &Spelling| other.flag == *flag && other.text == text);
            if is_new && !text.is_empty() {
                spellings.push(Spelling { flag: flag.clone(), text, place });
            }
        };
        let words = flag.to_snake_case();
        if words.contains('_') {
            add(flag.clone(), Where::Anywhere);
            for text in [
                words,
                flag.to_lower_camel_case(),
                flag.to_upper_camel_case(),
                flag.to_kebab_case(),
                flag.to_shouty_snake_case(),
            ] {
                add(text, Where::Anywhere);
            }
        } else {
            add(flag.clone(), Where::Quoted);
        }
        for variable in variables.of(flag) {
            add(variable, Where::Anywhere);
        }
        for (_, (constant, name)) in names.iter().filter(|(key, _)| *key == flag) {
            add(constant.clone(), Where::Rust);
            name.iter().for_each(|name| add(name.clone(), Where::Rust));
        }
    }
    spellings
}

fn search_file(
    searcher: &mut Searcher,
    matcher: &RegexMatcher,
    path: &Path,
    spellings: &[Spelling],
    definitions: &Definitions,
) -> Found {
    let path = path.strip_prefix("./").unwrap_or(path);
    let mut found = Found { files: BTreeSet::from([path.to_owned()]), ..Found::default() };
    let mut lines: Vec<(u64, String)> = Vec::new();
    let sink = Lossy(|number, line| {
        lines.push((number, line.to_owned()));
        Ok(true)
    });
    let file = path.display().to_string();
    if let Err(error) = searcher.search_path(matcher, path, sink) {
        found.unread.push(format!("{file}: {error}"));
    }
    if lines.is_empty() {
        return found;
    }
    let Some(kind) = kind(path, definitions) else { return found };
    let is_rust = path.extension().is_some_and(|extension| extension == "rs");
    for (line, text) in lines {
        let named = spellings.iter().filter(|Spelling { text: name, place, .. }| match place {
            Where::Anywhere => has_word(&text, name),
            Where::Quoted => has_quoted(&text, name) || (kind == PlaceKind::Definitions && has_word(&text, name)),
            Where::Rust => {
                is_rust && has_word(&text, name) && (text.contains(&format!("::{name}")) || is_import(&text))
            }
        });
        // One line is one place of a flag, however often it names it.
        let mut flags = BTreeSet::new();
        for Spelling { flag, text: name, .. } in named.filter(|spelling| flags.insert(&spelling.flag)) {
            let shown: String = text.trim().chars().take(WIDTH).map(|c| if c.is_control() { ' ' } else { c }).collect();
            found.places.push(Place {
                kind,
                file: file.clone(),
                line,
                flag: flag.clone(),
                spelling: name.clone(),
                text: shown,
            });
        }
    }
    found
}

/// What the file is; none for a snapshot or the schema of definitions, which nobody writes.
fn kind(path: &Path, definitions: &Definitions) -> Option<PlaceKind> {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase()).unwrap_or_default();
    let read = || fs::read(path).unwrap_or_default();
    Some(match extension.as_str() {
        "md" | "mdx" | "txt" | "rst" | "adoc" => PlaceKind::Documentation,
        // What people write is smaller.
        "yaml" | "yml" | "json" if fs::metadata(path).is_ok_and(|file| file.len() <= MOST_READ) => {
            let text = read();
            let json: Option<Value> = serde_json::from_slice(&text).ok();
            let is_schema =
                |json: &Value| json.get("$schema").is_some() && json.get("title") == json_schema().get("title");
            if json.is_some() && is_snapshot(&text) || json.as_ref().is_some_and(is_schema) {
                return None;
            }
            let defines = |found: &Definitions| {
                let flags = found.flags.keys().any(|flag| definitions.flags.contains_key(flag));
                flags || found.rollouts.keys().any(|plan| definitions.rollouts.contains_key(plan))
            };
            match Definitions::read(&[Source::new("", text)]) {
                Ok(found) if defines(&found) => PlaceKind::Definitions,
                _ if json.is_some_and(|json| json.get("panels").is_some_and(Value::is_array)) => PlaceKind::Dashboard,
                _ => PlaceKind::Code,
            }
        }
        _ if is_generated(&read()) => PlaceKind::Generated,
        _ => PlaceKind::Code,
    })
}

/// Whether the line has the word, and not as a part of another.
fn has_word(line: &str, word: &str) -> bool {
    // A name with hyphens does not end at one.
    let joins = |c: char| c.is_alphanumeric() || c == '_' || (c == '-' && word.contains('-'));
    line.match_indices(word).any(|(place, _)| {
        let (before, behind) = (&line[..place], &line[place + word.len()..]);
        !before.ends_with(joins) && !behind.starts_with(joins)
    })
}

/// Whether the line brings names into scope.
fn is_import(line: &str) -> bool {
    let line = line.trim_start();
    line.strip_prefix("pub ").unwrap_or(line).starts_with("use ")
}

/// Whether the line has the text as a whole string.
fn has_quoted(line: &str, text: &str) -> bool {
    ['"', '\'', '`'].iter().any(|quote| line.contains(&format!("{quote}{text}{quote}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_a_whole_one() {
        for line in ["use_new", "if (use_new)", "flags.use_new;", "'use_new'", "use_new-1"] {
            assert!(has_word(line, "use_new"), "{line}");
        }
        for line in ["use_newer", "reuse_new", "_use_new", "üuse_new"] {
            assert!(!has_word(line, "use_new"), "{line}");
        }
        assert!(has_word("a use-new b", "use-new") && !has_word("re-use-new", "use-new"));
        assert!(has_quoted("on('beta')", "beta") && !has_quoted("'beta test'", "beta") && !has_quoted("beta", "beta"));
    }

    #[test]
    fn a_flag_is_spelt_as_code_spells_it() {
        let text = "flags: {use_new-gateway: {salt: a}, beta: {salt: b, variants: {off: x, on: y}}}";
        let definitions = Definitions::read(&[Source::new("f.yaml", text)]).unwrap();
        let names = r#"[{"variable": "NEW_GATEWAY", "flag": "use_new-gateway", "sets": "variant"}]"#;
        let names = VariableNames::from_json(names).unwrap();
        let all = spellings(&["use_new-gateway".to_owned(), "beta".to_owned()], &definitions, &names);
        let of = |flag: &str| all.iter().filter(|s| s.flag == flag).map(|s| s.text.as_str()).collect::<Vec<_>>();
        assert_eq!(
            of("use_new-gateway"),
            [
                "use_new-gateway",
                "use_new_gateway",
                "useNewGateway",
                "UseNewGateway",
                "use-new-gateway",
                "USE_NEW_GATEWAY",
                "NEW_GATEWAY",
                "FLAGSTONE_PIN_USE_NEW_GATEWAY"
            ]
        );
        assert_eq!(of("beta"), ["beta", "FLAGSTONE_PIN_BETA", "BETA", "Beta"]);
        assert!(all.iter().any(|spelling| spelling.text == "beta" && spelling.place == Where::Quoted));
    }
}
