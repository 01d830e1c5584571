//! Flags pinned by environment variables.

use crate::engine::LoadError;
use crate::snapshot::json::{Document, Id, Kind, NOTHING, quoted};
use crate::snapshot::load::ALL;
use crate::snapshot::{Snapshot, SnapshotError};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What variables that pin one flag begin with.
const PREFIX: &str = "FLAGSTONE_PIN_";
const BOOLEAN: &str = "true or false";
const PERCENT: &str = "a percent from 0 to 100 with at most three decimal places";
const MODE: &str = "`disabled`, `testing`, `gradual` or `full`";

/// What a team's own environment variables mean.
///
/// It is read from a JSON list whose entries have these members:
///
/// | member | |
/// |---|---|
/// | `variable` | The variable's name. |
/// | `flag`, or `flags` | The flag that it pins, or a list of them. |
/// | `sets` | What it says of them, see below. |
/// | `variant` | With `allow`: what the people get. Not needed where there is just one variant besides `off`. |
///
/// | `sets` | the variable's value | what it does |
/// |---|---|---|
/// | `variant` | a variant's name, `off`; for boolean flags `true` or `false`, too | serves everyone this variant |
/// | `off` | `true` or `false` | `true` serves everyone `off`, `false` does nothing |
/// | `enabled` | `true` or `false` | in place of the flag's `enabled` |
/// | `percent` | 0 to 100, with at most three decimal places | in place of the percent or schedule of the default's ramp |
/// | `ramp` | `true` or `false` | `false` is 0 %, `true` does nothing |
/// | `mode` | `disabled`, `testing`, `gradual`, `full` | not enabled; enabled at 0 %, for those on lists; enabled; enabled at 100 % |
/// | `allow` | people, separated by commas | gives them a variant, before rules and percents are asked |
/// | `deny` | people, separated by commas | gives them `off`, before all other lists of variables |
///
/// ```
/// use flagstone::VariableNames;
///
/// let names = VariableNames::from_json(r#"[
///     {"variable": "OUTBOUND_CALLS_PERCENTAGE", "flag": "outboundCalls", "sets": "percent"},
///     {"variable": "FORCE_LEGACY_SERVICES", "flags": ["backup", "network"], "sets": "off"}
/// ]"#)?;
/// # Ok::<(), flagstone::VariableError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct VariableNames {
    names: Vec<Name>,
}

#[derive(Clone, Debug)]
struct Name {
    variable: String,
    flags: Vec<String>,
    sets: Sets,
    variant: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sets {
    Variant,
    Off,
    Enabled,
    Percent,
    Ramp,
    Mode,
    Allow,
    Deny,
}

/// By the names that a list has.
const SETS: [(&str, Sets); 8] = [
    ("variant", Sets::Variant),
    ("off", Sets::Off),
    ("enabled", Sets::Enabled),
    ("percent", Sets::Percent),
    ("ramp", Sets::Ramp),
    ("mode", Sets::Mode),
    ("allow", Sets::Allow),
    ("deny", Sets::Deny),
];

/// A variable that cannot mean anything, or a list of names that is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VariableError(String);

impl fmt::Display for VariableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for VariableError {}

impl VariableNames {
    /// Reads a list of names.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and where.
    pub fn from_json(json: &str) -> Result<VariableNames, VariableError> {
        let wrong = |message: String| VariableError(format!("this is no list of variables: {message}"));
        let document = Document::parse(json).map_err(|fault| wrong(fault.text()))?;
        let names: Vec<Name> = document.elements(document.root()).map(|entry| name(&document, entry)).collect();
        document.check().map_err(|fault| wrong(fault.text()))?;
        Ok(VariableNames { names })
    }

    /// The names of the variables that pin a flag, `FLAGSTONE_PIN_…` being the last.
    pub fn of(&self, flag: &str) -> Vec<String> {
        let own = self.names.iter().filter(|name| name.flags.iter().any(|other| other == flag));
        own.map(|name| name.variable.clone()).chain([format!("{PREFIX}{}", variable_of(flag))]).collect()
    }
}

fn name(document: &Document<'_>, entry: Id) -> Name {
    const MEMBERS: [&str; 5] = ["variable", "flag", "flags", "sets", "variant"];
    let text = |id: Id| document.string(id).to_owned();
    for (name, value) in document.members(entry) {
        if !MEMBERS.contains(&document.text(name)) {
            document.refuse(value, &["expected one of `", &MEMBERS.join("`, `"), "`"]);
        }
    }
    let (one, several) = (document.get(entry, "flag"), document.get(entry, "flags"));
    if (one == NOTHING) == (several == NOTHING) {
        document.refuse(entry, &["expected either `flag` or `flags`"]);
    }
    let flags = match one {
        NOTHING => document.elements(several).map(text).collect(),
        flag => vec![text(flag)],
    };
    let sets = document.need(entry, "sets");
    let known = SETS.into_iter().find(|(name, _)| *name == document.string(sets));
    if known.is_none() {
        let all: Vec<_> = SETS.iter().map(|(name, _)| *name).collect();
        document.refuse(sets, &["expected one of `", &all.join("`, `"), "`"]);
    }
    let variant = Some(document.get(entry, "variant")).filter(|id| *id != NOTHING);
    Name {
        variable: text(document.need(entry, "variable")),
        flags,
        sets: known.map_or(Sets::Off, |(_, sets)| sets),
        variant: variant.map(text),
    }
}

/// Flags pinned in this process by environment variables.
///
/// `FLAGSTONE_PIN_FLAG=VARIANT` pins a flag to a variant, `off` pins it off; for boolean flags `true` and `false` will do,
/// too. In the variable's name the flag's key stands in capitals, with a `_` for whatever is no letter and no digit of
/// ASCII: `FLAGSTONE_PIN_USE_NEW_GATEWAY` is that of `use-new-gateway`. [`VariableNames`] adds names of a team's own. A
/// variable that is not set, or is empty, pins nothing: the snapshot decides.
///
/// Of two variables for one flag, that which turns it off wins; else the one that stands later in the list of names,
/// `FLAGSTONE_PIN_…` being the last. Kills win over all of them, and a flag that is not enabled is not turned on by a
/// variant.
///
/// Pins stand outside the promise that everyone lands in the same cohort everywhere, so they show in results:
/// [`Evaluation::pinned_by`](crate::Evaluation::pinned_by) names the variables.
///
/// ```
/// use flagstone::{Context, Timestamp, VariableNames, VariablePins};
///
/// # let payload = r#"{"schema": 1, "environment": "e", "audience": "server", "version": 1,
/// #   "created": "2026-11-21T12:00:00Z", "flags": {"use-new-gateway": {"type": "boolean",
/// #   "variants": {"on": true, "off": false}, "off": "off", "salt": "g-1", "default": "off"}}}"#;
/// let variables = [("FLAGSTONE_PIN_USE_NEW_GATEWAY".to_owned(), "true".to_owned())];
/// let pins = VariablePins::read(&VariableNames::default(), variables)?;
/// let snapshot = pins.snapshot(payload)?;
/// let details = snapshot.at(Timestamp::now()).details("use-new-gateway", &Context::new("user-42"));
/// assert_eq!(details.variant, Some("on"));
/// assert_eq!(details.pinned_by, Some("FLAGSTONE_PIN_USE_NEW_GATEWAY"));
///
/// let garbage = [("FLAGSTONE_PIN_USE_NEW_GATEWAY".to_owned(), "maybe".to_owned())];
/// let snapshot = VariablePins::read(&VariableNames::default(), garbage)?.snapshot(payload)?;
/// assert_eq!(
///     snapshot.unfit_variables(),
///     [r#"FLAGSTONE_PIN_USE_NEW_GATEWAY is "maybe": expected `on`, `off`, true or false"#],
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct VariablePins {
    pins: Vec<Pin>,
}

/// One thing that a variable says.
#[derive(Clone, Debug)]
struct Pin {
    variable: String,
    value: String,
    flags: Flags,
    says: Says,
}

#[derive(Clone, Debug)]
enum Flags {
    Named(Vec<String>),
    /// By what of the variable's name is the flag's.
    Like(String),
}

#[derive(Clone, Debug)]
enum Says {
    /// As it is written; what it means, the flag says.
    Variant,
    Off,
    Enabled(bool),
    Percent(u32),
    Allow {
        variant: Option<String>,
        keys: BTreeSet<String>,
    },
    Deny {
        keys: BTreeSet<String>,
    },
}

impl VariablePins {
    /// Reads variables, of which those are passed over that pin nothing.
    ///
    /// # Errors
    ///
    /// For a value that says nothing, with the variable's name and what is allowed. Whether there are the flags and the
    /// variants, each snapshot shows: [`Snapshot::unfit_variables`].
    pub fn read(
        names: &VariableNames,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<VariablePins, VariableError> {
        let variables = variables.into_iter().map(|(name, value)| (name, value.trim().to_owned()));
        let variables: BTreeMap<String, String> = variables.filter(|(_, value)| !value.is_empty()).collect();
        let mut pins = Vec::new();
        for name in &names.names {
            let Some(value) = variables.get(&name.variable) else { continue };
            pins.extend(name.says(value)?.into_iter().map(|says| Pin {
                variable: name.variable.clone(),
                value: value.clone(),
                flags: Flags::Named(name.flags.clone()),
                says,
            }));
        }
        for (variable, value) in &variables {
            if let Some(flag) = variable.strip_prefix(PREFIX) {
                pins.push(Pin {
                    variable: variable.clone(),
                    value: value.clone(),
                    flags: Flags::Like(flag.to_owned()),
                    says: Says::Variant,
                });
            }
        }
        Ok(VariablePins { pins })
    }

    /// Reads this process's variables.
    ///
    /// # Errors
    ///
    /// As [`VariablePins::read`] does.
    pub fn from_environment(names: &VariableNames) -> Result<VariablePins, VariableError> {
        let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        VariablePins::read(names, std::env::vars_os().map(|(name, value)| (text(name), text(value))))
    }

    /// Whether nothing is pinned.
    pub fn is_empty(&self) -> bool {
        self.pins.is_empty()
    }

    /// Reads a payload that is trusted already, with these flags pinned.
    ///
    /// # Errors
    ///
    /// Where the payload is no snapshot.
    pub fn snapshot(&self, payload: impl Into<String>) -> Result<Snapshot, SnapshotError> {
        let (payload, pinned) = self.apply(payload.into());
        let mut snapshot = Snapshot::from_payload(payload)?;
        snapshot.pinned = pinned;
        Ok(snapshot)
    }

    /// The payload as the pins leave it, and what they pinned. One that cannot be read stays as it is.
    pub(crate) fn apply(&self, payload: String) -> (String, Pinned) {
        let mut pinned = Pinned::default();
        if self.pins.is_empty() {
            return (payload, pinned);
        }
        let Ok(document) = Document::parse(&payload) else { return (payload, pinned) };
        let flags: Vec<(&str, Id)> = document
            .members(document.get(document.root(), "flags"))
            .map(|(key, flag)| (document.text(key), flag))
            .collect();
        for pin in &self.pins {
            pinned.unfit.extend(pin.finds(&flags));
        }
        let mut text = String::with_capacity(payload.len());
        let mut copied = 0;
        for (key, id) in flags {
            let pins: Vec<&Pin> = self.pins.iter().filter(|pin| pin.is_of(key)).collect();
            if pins.is_empty() {
                continue;
            }
            let flag = FlagText { document: &document, id };
            let edit = Edit::of(key, &flag, &pins, &mut pinned.unfit);
            let span = document.source(id);
            text.push_str(&payload[copied..span.start as usize]);
            text.push_str(&flag.edited(&edit));
            copied = (span.start + span.length) as usize;
            if !edit.by.is_empty() {
                pinned.by.insert(key.to_owned(), edit.by.join(", "));
            }
        }
        text.push_str(&payload[copied..]);
        drop(document);
        (text, pinned)
    }
}

impl Name {
    /// What the value says, in parts.
    fn says(&self, value: &str) -> Result<Vec<Says>, VariableError> {
        let wrong = |expected| unfit(&self.variable, value, expected);
        let flag = || boolean(value).ok_or_else(|| wrong(BOOLEAN));
        let keys = || value.split(',').map(|key| key.trim().to_owned()).filter(|key| !key.is_empty()).collect();
        Ok(match self.sets {
            Sets::Variant => vec![Says::Variant],
            Sets::Off if flag()? => vec![Says::Off],
            Sets::Ramp if !flag()? => vec![Says::Percent(0)],
            Sets::Off | Sets::Ramp => vec![],
            Sets::Enabled => vec![Says::Enabled(flag()?)],
            Sets::Percent => vec![Says::Percent(percent(value).ok_or_else(|| wrong(PERCENT))?)],
            Sets::Mode => match value {
                "disabled" => vec![Says::Enabled(false)],
                "testing" => vec![Says::Enabled(true), Says::Percent(0)],
                "gradual" => vec![Says::Enabled(true)],
                "full" => vec![Says::Enabled(true), Says::Percent(ALL)],
                _ => return Err(wrong(MODE)),
            },
            Sets::Allow => vec![Says::Allow { variant: self.variant.clone(), keys: keys() }],
            Sets::Deny => vec![Says::Deny { keys: keys() }],
        })
    }
}

fn unfit(variable: &str, value: &str, expected: &str) -> VariableError {
    VariableError(format!("{variable} is {}: expected {expected}", quoted(value)))
}

fn boolean(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "on" | "yes" | "1" => Some(true),
        "false" | "off" | "no" | "0" => Some(false),
        _ => None,
    }
}

/// In thousandths, from the digits.
fn percent(value: &str) -> Option<u32> {
    let (whole, fraction) = value.split_once('.').unwrap_or((value, "0"));
    let digits = |text: &str| (1..=3).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    let thousandths = format!("{whole}{fraction:0<3}").parse().ok()?;
    (thousandths <= ALL).then_some(thousandths)
}

impl Pin {
    fn is_of(&self, key: &str) -> bool {
        match &self.flags {
            Flags::Named(flags) => flags.iter().any(|flag| flag == key),
            Flags::Like(name) => *name == variable_of(key),
        }
    }

    /// What is wrong with the flags that it names.
    fn finds(&self, flags: &[(&str, Id)]) -> Vec<String> {
        let variable = &self.variable;
        match &self.flags {
            Flags::Named(named) => named
                .iter()
                .filter(|name| !flags.iter().any(|(key, _)| key == name))
                .map(|name| format!("{variable} pins `{name}`: the snapshot holds no such flag"))
                .collect(),
            Flags::Like(_) => match flags.iter().filter(|(key, _)| self.is_of(key)).collect::<Vec<_>>().as_slice() {
                [] => vec![format!("{variable} pins no flag of the snapshot")],
                [_] => vec![],
                [(first, _), (second, _), ..] => {
                    vec![format!("{variable} pins `{first}` and `{second}`: give each a name of its own")]
                }
            },
        }
    }
}

/// What of a variable's name is the flag's.
fn variable_of(key: &str) -> String {
    key.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}

/// What variables pinned in a snapshot.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pinned {
    /// The variables of a flag.
    pub(crate) by: BTreeMap<String, String>,
    /// What is wrong with variables.
    pub(crate) unfit: Vec<String>,
}

/// What becomes of a flag.
#[derive(Default)]
struct Edit<'p> {
    variant: Option<&'p str>,
    enabled: Option<bool>,
    percent: Option<u32>,
    /// Variants and whom they are for, in the order in which they are asked.
    lists: Vec<(&'p str, &'p BTreeSet<String>)>,
    /// A variable that does not fit: the flag is an error.
    broken: bool,
    by: Vec<&'p str>,
}

impl<'p> Edit<'p> {
    fn of(key: &str, flag: &FlagText<'p, '_>, pins: &[&'p Pin], unfit: &mut Vec<String>) -> Edit<'p> {
        let mut edit = Edit::default();
        let mut by: [Option<&str>; 3] = [None; 3];
        let (mut denied, mut allowed) = (Vec::new(), Vec::new());
        for pin in pins {
            let variable = pin.variable.as_str();
            let done = match &pin.says {
                Says::Variant | Says::Off => match flag.variant(pin) {
                    Ok(variant) if edit.variant == Some(flag.off()) && variant != flag.off() => Ok(()),
                    Ok(variant) => {
                        (edit.variant, by[0]) = (Some(variant), Some(variable));
                        Ok(())
                    }
                    Err(expected) => Err(self::unfit(variable, &pin.value, &expected).0),
                },
                Says::Enabled(_) if edit.enabled == Some(false) => Ok(()),
                Says::Enabled(enabled) => {
                    (edit.enabled, by[1]) = (Some(*enabled), Some(variable));
                    Ok(())
                }
                Says::Percent(percent) if flag.has_ramp() => {
                    (edit.percent, by[2]) = (Some(*percent), Some(variable));
                    Ok(())
                }
                Says::Percent(_) => {
                    Err(format!("{variable} sets a percent of `{key}`: its default is no ramp in the snapshot"))
                }
                Says::Deny { keys } => {
                    denied.push((variable, flag.off(), keys));
                    Ok(())
                }
                Says::Allow { variant, keys } => match flag.allowed(variant.as_deref()) {
                    Some(variant) => {
                        allowed.push((variable, variant, keys));
                        Ok(())
                    }
                    None => Err(format!(
                        "{variable} allows people of `{key}`: name the `variant` that they get, one of {}",
                        flag.names()
                    )),
                },
            };
            if let Err(message) = done {
                unfit.push(message);
                edit.broken = true;
                edit.by.push(variable);
            }
        }
        // A variant for everyone leaves nothing to the others.
        let rest = if edit.variant.is_some() { vec![] } else { [denied, allowed].concat() };
        edit.percent = edit.percent.filter(|_| edit.variant.is_none());
        by[2] = by[2].filter(|_| edit.percent.is_some());
        let listed = rest.iter().map(|(variable, ..)| *variable);
        for variable in by.into_iter().flatten().chain(listed) {
            if !edit.by.contains(&variable) {
                edit.by.push(variable);
            }
        }
        edit.lists = rest.into_iter().map(|(_, variant, keys)| (variant, keys)).collect();
        edit
    }
}

/// A flag in a payload.
struct FlagText<'d, 'a> {
    document: &'d Document<'a>,
    id: Id,
}

impl<'d> FlagText<'d, '_> {
    fn off(&self) -> &'d str {
        self.document.string(self.document.get(self.id, "off"))
    }

    fn variants(&self) -> impl Iterator<Item = (&'d str, Id)> {
        let document = self.document;
        document.members(document.get(self.id, "variants")).map(|(name, value)| (document.text(name), value))
    }

    fn names(&self) -> String {
        self.variants().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(", ")
    }

    /// The variant that is meant, or what would be one.
    fn variant(&self, pin: &Pin) -> Result<&'d str, String> {
        let (document, value) = (self.document, pin.value.as_str());
        if matches!(pin.says, Says::Off) {
            return Ok(self.off());
        }
        if let Some((name, _)) = self.variants().find(|(name, _)| *name == value) {
            return Ok(name);
        }
        if value == "off" {
            return Ok(self.off());
        }
        let is_boolean = document.string(document.get(self.id, "type")) == "boolean";
        let meant = boolean(value).filter(|_| is_boolean);
        let of = |(_, id): &(&str, Id)| document.kind(*id) == Kind::Boolean && Some(document.boolean(*id)) == meant;
        self.variants().find(of).map(|(name, _)| name).ok_or_else(|| {
            let or = if is_boolean { format!(", {BOOLEAN}") } else { String::new() };
            self.names() + &or
        })
    }

    /// The variant for people who are allowed: the one named, or the one besides `off`.
    fn allowed(&self, named: Option<&str>) -> Option<&'d str> {
        let mut others = self.variants().map(|(name, _)| name).filter(|name| match named {
            Some(named) => *name == named,
            None => *name != self.off(),
        });
        others.next().filter(|_| others.next().is_none())
    }

    fn has_ramp(&self) -> bool {
        self.ramp() != NOTHING
    }

    fn ramp(&self) -> Id {
        let default = self.document.get(self.id, "default");
        match self.document.kind(default) {
            Kind::Object => self.document.get(default, "ramp"),
            _ => NOTHING,
        }
    }

    fn source(&self, id: Id) -> &'d str {
        self.document.text(self.document.source(id))
    }

    /// The flag's JSON as the edit leaves it.
    fn edited(&self, edit: &Edit<'_>) -> String {
        let document = self.document;
        let mut members: Vec<(&str, String)> = document
            .members(self.id)
            .map(|(name, value)| (document.text(name), self.source(value).to_owned()))
            .collect();
        let mut set = |name: &'static str, value: String| {
            members.retain(|(other, _)| *other != name);
            members.push((name, value));
        };
        if let Some(enabled) = edit.enabled {
            set("enabled", enabled.to_string());
        }
        if let Some(percent) = edit.percent {
            let serve = self.source(document.get(self.ramp(), "serve"));
            set("default", format!(r#"{{"ramp":{{"percent":{percent},"serve":{serve}}}}}"#));
        }
        if !edit.lists.is_empty() {
            let entry = |(variant, keys): &(&str, &BTreeSet<String>)| {
                let keys: Vec<_> = keys.iter().map(|key| quoted(key)).collect();
                format!(r#"{{"variant":{},"keys":[{}]}}"#, quoted(variant), keys.join(","))
            };
            let own = document.elements(document.get(self.id, "allow")).map(|entry| self.source(entry).to_owned());
            let entries: Vec<_> = edit.lists.iter().map(entry).chain(own).collect();
            set("allow", format!("[{}]", entries.join(",")));
        }
        if let Some(variant) = edit.variant {
            set("default", quoted(variant));
            const KEPT: [&str; 9] =
                ["type", "variants", "off", "salt", "enabled", "killed", "bucketBy", "scheme", "default"];
            members.retain(|(name, _)| KEPT.contains(name));
        }
        if edit.broken {
            members.retain(|(name, _)| *name != "requires");
            let by: Vec<_> = edit.by.iter().map(|variable| quoted(variable)).collect();
            members.insert(0, ("requires", format!("[{}]", by.join(","))));
        }
        let members: Vec<_> = members.iter().map(|(name, value)| format!("{}:{value}", quoted(name))).collect();
        format!("{{{}}}", members.join(","))
    }
}

impl Pinned {
    /// What keeps a process from starting.
    pub(crate) fn check(&self) -> Result<(), LoadError> {
        match self.unfit.is_empty() {
            true => Ok(()),
            false => Err(LoadError::Variables(self.unfit.join("; "))),
        }
    }
}
