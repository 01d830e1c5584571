//! From definitions and state to the payload of a snapshot.

use std::collections::{BTreeMap, BTreeSet};

use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::{Map, Value, json};

use super::condition::{self, Operand, Scalar, Takes};
use super::problem::{Path, Problem, Severity, did_you_mean, list};
use super::{
    Condition, Definitions, Exclusion, Flag, Key, Percent, Schedule, Scheme, Segment, Serve, Share, State,
    TARGETING_KEY, Target, Test, lint,
};
use super::{pattern, version_range};
use crate::Timestamp;
use crate::snapshot::load::ALL;
use crate::snapshot::read::{MAX_BYTES, MAX_WHOLE};
use crate::snapshot::{Audience, FlagType, Snapshot};

/// What a snapshot says about itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// The environment that it is for, and no other.
    pub environment: String,
    /// Who reads it.
    pub audience: Audience,
    /// 1 ..= 2⁵³ − 1, greater than that of every snapshot before.
    pub version: u64,
    /// When it was made.
    pub created: Timestamp,
    /// Until when it may be loaded; required for clients.
    pub expires: Option<Timestamp>,
}

/// The payload of a snapshot as FORMAT.md has it: the same bytes for the same input.
///
/// # Errors
///
/// All [`Problem`]s, warnings included, if any of them is an error: of the definitions, of the state, of the two
/// together, or of the options.
///
/// ```
/// use flagstone::Audience;
/// use flagstone::snapshot::definitions::{Definitions, Options, Source, State, compile};
///
/// let text = "flags: {beta: {client: true, salt: beta-1, default: on}}";
/// let definitions = Definitions::read(&[Source::new("flags.yaml", text)]).unwrap();
/// let options = Options {
///     environment: "production".to_owned(),
///     audience: Audience::Client,
///     version: 7,
///     created: "2026-11-21T12:00:00Z".parse()?,
///     expires: Some("2026-11-28T12:00:00Z".parse()?),
/// };
/// assert_eq!(
///     compile(&definitions, &State::default(), &options).unwrap().split(",\"compiled\":").next().unwrap(),
///     concat!(
///         r#"{"schema":1,"environment":"production","audience":"client","version":7,"#,
///         r#""created":"2026-11-21T12:00:00Z","expires":"2026-11-28T12:00:00Z","requires":[],"#,
///         r#""flags":{"beta":{"type":"boolean","variants":{"off":false,"on":true},"#,
///         r#""off":"off","salt":"beta-1","default":"on"}}"#,
///     ),
/// );
/// # Ok::<(), flagstone::TimestampError>(())
/// ```
pub fn compile(definitions: &Definitions, state: &State, options: &Options) -> Result<String, Vec<Problem>> {
    let mut problems = lint(definitions);
    let there = definitions.in_environment(&options.environment);
    problems.extend(state.lint(&there));
    problems.extend(options.lint(definitions));
    if problems.iter().any(Problem::is_error) {
        return Err(problems);
    }
    let mut applied = state.apply(&there);
    // Plans are in no snapshot, and are in order: where a flag is pinned there is no ramp for them to move.
    applied.rollouts.clear();
    // The definitions alone are in order, so what is wrong now is so by the state, which stands in no file.
    let by_state = lint(&applied).into_iter().filter(Problem::is_error).map(|problem| Problem {
        file: None,
        line: None,
        column: None,
        message: format!("with the state applied, {}", problem.message),
        ..problem
    });
    problems.extend(by_state);
    if problems.iter().any(Problem::is_error) {
        return Err(problems);
    }
    let compiler = Compiler { definitions: &applied, state, options, hashed: false, patterns: BTreeMap::new() };
    let payload = compiler.document().to_string();
    // What no engine would load is never published, whatever the checks above overlooked.
    let message = match Snapshot::from_payload(payload).map(|snapshot| snapshot.completed()) {
        Ok(payload) if payload.len() <= MAX_BYTES => return Ok(payload),
        Ok(_) => "with what browsers evaluate, the snapshot has more than 64 MiB, which no engine loads".to_owned(),
        Err(error) => format!("the engine refuses the snapshot: {error}"),
    };
    problems.push(Problem::new(Severity::Error, &Path::default(), message, None));
    Err(problems)
}

impl Options {
    fn lint(&self, definitions: &Definitions) -> Vec<Problem> {
        let mut problems = Vec::new();
        let known = definitions.environments.iter().map(String::as_str);
        if !definitions.environments.is_empty() && !definitions.environments.contains(&self.environment) {
            let path = Path::default().key("options").key("environment");
            let message = format!("the definitions know no environment `{}`", self.environment);
            let suggestion = did_you_mean(&self.environment, known.clone());
            let suggestion = suggestion.or_else(|| Some(format!("expected one of {}", list(known))));
            problems.push(Problem::new(Severity::Error, &path, message, suggestion));
        }
        let mut check = |good: bool, field: &str, message: &str| {
            if !good {
                let path = Path::default().key("options").key(field);
                problems.push(Problem::new(Severity::Error, &path, message, None));
            }
        };
        let named = !self.environment.is_empty() && !self.environment.contains(char::is_control);
        check(named, "environment", "the name of the environment is empty or has control characters");
        let version = (1..=MAX_WHOLE as u64).contains(&self.version);
        check(version, "version", "the version is not within 1 and 2^53 − 1");
        let expires = self.audience == Audience::Server || self.expires.is_some();
        check(expires, "expires", "a snapshot for clients must expire");
        let later = self.expires.is_none_or(|expires| expires > self.created);
        check(later, "expires", "the snapshot would expire before it is created");
        problems
    }
}

struct Compiler<'d> {
    definitions: &'d Definitions,
    state: &'d State,
    options: &'d Options,
    /// Whether anything has been hashed.
    hashed: bool,
    /// The regular expressions that stand in conditions, and their programs.
    patterns: BTreeMap<String, Vec<i64>>,
}

/// Whose lists and conditions are written: what hashes are salted with besides `hashSalt`, and what its people are
/// known by.
struct Owner<'d> {
    name: String,
    by: &'d str,
}

type Requires = BTreeSet<&'static str>;

impl<'d> Compiler<'d> {
    fn document(mut self) -> Value {
        let all = self.definitions;
        let client = self.options.audience == Audience::Client;
        let flags: BTreeMap<&str, &Flag> = all
            .flags
            .iter()
            .filter(|(_, flag)| flag.client || !client)
            .map(|(key, flag)| (key.as_str(), flag))
            .collect();

        let used: BTreeSet<&str> = flags.values().flat_map(|flag| all.segments_of(flag)).collect();
        let segments: Map<_, _> = all
            .segments
            .iter()
            .filter(|(name, _)| used.contains(name.as_str()))
            .map(|(name, segment)| (name.clone(), self.segment(name, segment)))
            .collect();
        let layers: BTreeSet<_> =
            flags.values().filter_map(|flag| flag.layer.as_ref()).map(|layer| &layer.name).collect();
        let layers: Map<_, _> = all
            .layers
            .iter()
            .filter(|(name, _)| layers.contains(name))
            .map(|(name, layer)| (name.clone(), json!({"salt": layer.salt, "by": by(&layer.by)})))
            .collect();
        let holdouts: BTreeSet<_> = flags.values().flat_map(|flag| &flag.holdouts).collect();
        let holdouts: Map<_, _> = all
            .holdouts
            .iter()
            .filter(|(name, _)| holdouts.contains(name))
            .map(|(name, holdout)| {
                let percent = holdout.percent.thousandths();
                (name.clone(), json!({"salt": holdout.salt, "by": by(&holdout.by), "percent": percent}))
            })
            .collect();
        let requires = self.requires(&flags);
        let every: BTreeSet<_> = requires.values().flatten().collect();
        let flags: Map<_, _> =
            flags.iter().map(|(key, flag)| ((*key).to_owned(), self.flag(key, flag, &requires[key]))).collect();

        let mut document = Map::new();
        document.insert("schema".to_owned(), 1.into());
        document.insert("environment".to_owned(), self.options.environment.as_str().into());
        document.insert("audience".to_owned(), self.options.audience.name().into());
        document.insert("version".to_owned(), self.options.version.into());
        document.insert("created".to_owned(), self.options.created.to_string().into());
        if let Some(expires) = self.options.expires {
            document.insert("expires".to_owned(), expires.to_string().into());
        }
        document.insert("requires".to_owned(), json!(every));
        if self.hashed {
            document.insert("hashSalt".to_owned(), json!(all.hash_salt));
        }
        for (name, section) in [("segments", segments), ("layers", layers), ("holdouts", holdouts)] {
            if !section.is_empty() {
                document.insert(name.to_owned(), section.into());
            }
        }
        if !self.patterns.is_empty() {
            document.insert("patterns".to_owned(), json!(self.patterns));
        }
        document.insert("flags".to_owned(), flags.into());
        document.into()
    }

    /// What each flag requires, with what its prerequisites do.
    fn requires(&self, flags: &BTreeMap<&'d str, &'d Flag>) -> BTreeMap<&'d str, Requires> {
        let own: BTreeMap<&str, Requires> = flags.iter().map(|(key, flag)| (*key, self.own_requires(flag))).collect();
        let closure = |key: &'d str| {
            let mut seen = BTreeSet::from([key]);
            let mut open = vec![key];
            let mut requires = Requires::new();
            while let Some(key) = open.pop() {
                requires.extend(own.get(key).into_iter().flatten());
                let others = flags.get(key).into_iter().flat_map(|flag| &flag.prerequisites);
                open.extend(others.map(|other| other.flag.as_str()).filter(|other| seen.insert(other)));
            }
            (key, requires)
        };
        flags.keys().map(|key| closure(key)).collect()
    }

    fn own_requires(&self, flag: &Flag) -> Requires {
        let client = self.options.audience == Audience::Client;
        let mut requires = Requires::new();
        let mut require = |used: bool, name: &'static str| {
            if used {
                requires.insert(name);
            }
        };
        let segments = self.definitions.segments_of(flag);
        let segments: Vec<&Segment> = segments.iter().filter_map(|name| self.definitions.segments.get(*name)).collect();
        let rules = flag.rules.iter().filter_map(|rule| rule.when.as_ref()).map(|when| (when, flag.bucket_by()));
        let conditions =
            rules.chain(segments.iter().filter_map(|segment| Some((segment.when.as_ref()?, segment.by()))));
        for (condition, by) in conditions {
            for test in condition.tests() {
                let hashed = client && test.is_hashed(by);
                require(hashed, "hashed");
                require(true, if hashed { "inHashed" } else { test.operator.name });
            }
        }
        let flag_lists =
            [&flag.deny.keys, &flag.exclude.keys].into_iter().chain(flag.allow.iter().map(|allow| &allow.keys));
        let segment_lists = segments.iter().flat_map(|segment| [&segment.include, &segment.exclude]);
        require(client && flag_lists.chain(segment_lists).any(|keys| !keys.is_empty()), "hashed");
        require(!segments.is_empty(), "segments");
        require(!flag.prerequisites.is_empty(), "prerequisites");
        require(!flag.exclude.is_empty(), "exclude");
        require(!flag.holdouts.is_empty(), "holdouts");
        require(flag.layer.is_some(), "layer");

        let scheme = flag.scheme.name();
        require(!flag.exclude.positions.is_empty(), scheme);
        require(!flag.holdouts.is_empty() || flag.layer.is_some(), "xxh3");
        for serve in flag.serves() {
            let target = match serve {
                Serve::Target(target) => target,
                Serve::Ramp { ramp } => {
                    require(true, scheme);
                    require(ramp.schedule.is_some(), "schedule");
                    &ramp.serve
                }
            };
            require(matches!(target, Target::Split { .. }), "xxh3");
        }
        requires
    }

    fn flag(&mut self, key: &str, flag: &Flag, requires: &Requires) -> Value {
        let owner = Owner { name: format!("flag:{key}"), by: flag.bucket_by() };
        let mut out = Map::new();
        let mut add = |name: &str, value: Value| {
            out.insert(name.to_owned(), value);
        };
        if !requires.is_empty() {
            add("requires", json!(requires));
        }
        let off = flag.off_variant().unwrap_or_default();
        add("type", json!(flag.variant_type().unwrap_or(FlagType::Json)));
        add("variants", flag.all_variants().iter().map(|(name, value)| (name.clone(), plain(value))).collect());
        add("off", off.into());
        add("salt", json!(flag.salt));
        if !flag.enabled {
            add("enabled", false.into());
        }
        if let Some(killed) = self.state.killed(key, flag) {
            add("killed", killed.into());
        }
        if flag.bucket_by() != TARGETING_KEY {
            add("bucketBy", flag.bucket_by().into());
        }
        if flag.scheme != Scheme::Xxh3 {
            add("scheme", json!(flag.scheme));
        }
        if !flag.prerequisites.is_empty() {
            let prerequisites = flag.prerequisites.iter().map(|other| {
                let variants: BTreeSet<_> = other.accepted().collect();
                json!({"flag": other.flag, "variants": variants})
            });
            add("prerequisites", prerequisites.collect());
        }
        if !flag.deny.is_empty() {
            add("deny", self.people(&owner, Map::new(), &flag.deny.keys, &flag.deny.segments).into());
        }
        if !flag.exclude.is_empty() {
            let Exclusion { keys, segments, positions } = &flag.exclude;
            let mut exclude = self.people(&owner, Map::new(), keys, segments);
            if !positions.is_empty() {
                exclude.insert("positions".to_owned(), ranges(positions));
            }
            add("exclude", exclude.into());
        }
        if !flag.allow.is_empty() {
            let allow = flag.allow.iter().map(|allow| {
                let head = Map::from_iter([("variant".to_owned(), allow.variant.as_str().into())]);
                Value::from(self.people(&owner, head, &allow.keys, &allow.segments))
            });
            add("allow", allow.collect());
        }
        if !flag.holdouts.is_empty() {
            add("holdouts", json!(flag.holdouts.iter().collect::<BTreeSet<_>>()));
        }
        if let Some(layer) = &flag.layer {
            add("layer", json!({"name": layer.name, "ranges": ranges(&layer.ranges)}));
        }
        if !flag.rules.is_empty() {
            let rules = flag.rules.iter().enumerate().map(|(index, rule)| {
                let mut out = Map::from_iter([("id".to_owned(), Value::from(&*flag.rule_id(index)))]);
                if let Some(when) = &rule.when {
                    out.insert("when".to_owned(), self.condition(&owner, when));
                }
                out.insert("serve".to_owned(), serve(&rule.serve));
                Value::from(out)
            });
            add("rules", rules.collect());
        }
        add("default", flag.default.as_ref().map_or(off.into(), serve));
        out.into()
    }

    fn segment(&mut self, name: &str, segment: &Segment) -> Value {
        let owner = Owner { name: format!("segment:{name}"), by: segment.by() };
        let mut out = Map::new();
        if segment.by() != TARGETING_KEY {
            out.insert("by".to_owned(), segment.by().into());
        }
        for (field, keys) in [("include", &segment.include), ("exclude", &segment.exclude)] {
            if !keys.is_empty() {
                out.insert(field.to_owned(), self.keys(&owner, keys));
            }
        }
        if let Some(when) = &segment.when {
            out.insert("when".to_owned(), self.condition(&owner, when));
        }
        out.into()
    }

    fn people(
        &mut self,
        owner: &Owner,
        mut out: Map<String, Value>,
        keys: &[Key],
        segments: &[String],
    ) -> Map<String, Value> {
        if !keys.is_empty() {
            out.insert("keys".to_owned(), self.keys(owner, keys));
        }
        if !segments.is_empty() {
            out.insert("segments".to_owned(), json!(segments.iter().collect::<BTreeSet<_>>()));
        }
        out
    }

    fn keys(&mut self, owner: &Owner, keys: &[Key]) -> Value {
        match self.options.audience {
            Audience::Server => json!(keys.iter().collect::<BTreeSet<_>>()),
            Audience::Client => {
                json!({"hashed": self.hashes(owner, keys.iter().map(|key| (b'k', key.0.clone().into_bytes())))})
            }
        }
    }

    fn condition(&mut self, owner: &Owner, condition: &Condition) -> Value {
        match condition {
            Condition::All(parts) => json!({"all": self.conditions(owner, parts)}),
            Condition::Any(parts) => json!({"any": self.conditions(owner, parts)}),
            Condition::Not(part) => json!({"not": self.condition(owner, part)}),
            Condition::Segment(name) => json!({"segment": name}),
            Condition::Test(test) => self.test(owner, test),
        }
    }

    fn conditions(&mut self, owner: &Owner, parts: &[Condition]) -> Value {
        parts.iter().map(|part| self.condition(owner, part)).collect()
    }

    fn test(&mut self, owner: &Owner, test: &Test) -> Value {
        if self.options.audience == Audience::Client && test.is_hashed(owner.by) {
            let scalars = match &test.operand {
                Operand::Scalar(scalar) => std::slice::from_ref(scalar),
                Operand::Scalars(scalars) => scalars,
                _ => &[],
            };
            let hashes = self.hashes(owner, scalars.iter().map(tagged));
            let types: BTreeSet<_> = scalars.iter().map(Scalar::type_name).collect();
            return json!({"attribute": test.attribute, "inHashed": {"types": types, "hashed": hashes}});
        }
        let folds = test.operator.name.ends_with("Ci");
        let texts = |texts: &[String], normal: fn(&str) -> String| -> Value {
            json!(texts.iter().map(|text| normal(text)).collect::<BTreeSet<_>>())
        };
        // Lint has seen that each of these can be read.
        let operand = match (&test.operand, test.operator.takes) {
            (Operand::Text(text), Takes::Version) => condition::version(text).unwrap_or_default().into(),
            (Operand::Text(text), Takes::Range) => version_range::compile(text).unwrap_or_default(),
            (Operand::Texts(networks), Takes::Networks) => {
                texts(networks, |text| condition::network(text).unwrap_or_default())
            }
            (Operand::Texts(all), Takes::Patterns) => {
                for text in all {
                    if !self.patterns.contains_key(text)
                        && let Ok(program) = pattern::compile(text)
                    {
                        self.patterns.insert(text.clone(), program.numbers);
                    }
                }
                texts(all, str::to_owned)
            }
            (Operand::Text(text), _) if folds => text.to_ascii_lowercase().into(),
            (Operand::Texts(all), _) if folds => texts(all, str::to_ascii_lowercase),
            (Operand::Texts(all), _) => texts(all, str::to_owned),
            (Operand::Scalars(scalars), _) => {
                let mut sorted: Vec<_> = scalars.iter().collect();
                sorted.sort_by(|a, b| a.order(b));
                sorted.dedup();
                json!(sorted)
            }
            (Operand::Instant(instant), _) => instant.as_millis().into(),
            (operand, _) => json!(operand),
        };
        json!({"attribute": test.attribute, test.operator.name: operand})
    }

    /// Hashes of tagged values, sorted, one after another, as base64url.
    fn hashes(&mut self, owner: &Owner, values: impl Iterator<Item = (u8, Vec<u8>)>) -> String {
        self.hashed = true;
        let salt = self.definitions.hash_salt.as_deref().unwrap_or_default();
        let hash = |(tag, value): (u8, Vec<u8>)| -> [u8; 8] {
            let mut hash = hmac_sha256::Hash::new();
            for part in [salt.as_bytes(), &[0], owner.name.as_bytes(), &[0, tag], &value] {
                hash.update(part);
            }
            let hash = hash.finalize();
            std::array::from_fn(|index| hash[index])
        };
        let hashes: BTreeSet<[u8; 8]> = values.map(hash).collect();
        Base64UrlUnpadded::encode_string(&hashes.into_iter().flatten().collect::<Vec<u8>>())
    }
}

fn tagged(scalar: &Scalar) -> (u8, Vec<u8>) {
    match scalar {
        Scalar::Text(text) => (b's', text.clone().into_bytes()),
        Scalar::Number(number) => (b'n', number.get().to_bits().to_be_bytes().to_vec()),
        Scalar::Boolean(boolean) => (b'b', vec![u8::from(*boolean)]),
    }
}

fn by(by: &Option<String>) -> &str {
    by.as_deref().unwrap_or(TARGETING_KEY)
}

/// A variant's value with every −0 a 0.
fn plain(value: &Value) -> Value {
    match value {
        Value::Number(number) if number.as_f64() == Some(0.0) => 0.into(),
        Value::Array(items) => items.iter().map(plain).collect(),
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), plain(value))).collect(),
        other => other.clone(),
    }
}

/// Ranges in order, those that touch made one.
fn ranges(ranges: &[[Percent; 2]]) -> Value {
    let mut sorted: Vec<[u32; 2]> = ranges.iter().map(|range| range.map(Percent::thousandths)).collect();
    sorted.sort_unstable();
    let mut joined: Vec<[u32; 2]> = Vec::new();
    for [from, to] in sorted {
        match joined.last_mut() {
            Some(last) if from <= last[1] => last[1] = last[1].max(to),
            _ => joined.push([from, to]),
        }
    }
    json!(joined)
}

fn serve(serve: &Serve) -> Value {
    let ramp = match serve {
        Serve::Target(served) => return target(served),
        Serve::Ramp { ramp } => ramp,
    };
    let inner = target(&ramp.serve);
    match &ramp.schedule {
        Some(schedule) => json!({"ramp": {"schedule": points(schedule), "serve": inner}}),
        None => {
            json!({"ramp": {"percent": ramp.percent.unwrap_or_default().thousandths(), "serve": inner}})
        }
    }
}

fn points(schedule: &Schedule) -> Value {
    let points: Vec<Value> =
        schedule.points().iter().map(|point| json!([point.at.as_millis(), point.percent.thousandths()])).collect();
    let mut out = json!({"before": schedule.before.thousandths(), "points": points});
    if schedule.linear.is_some() {
        out["linear"] = true.into();
    }
    out
}

fn target(target: &Target) -> Value {
    match target {
        Target::Variant(name) => name.as_str().into(),
        Target::Split { split } => {
            let pairs = split.iter().zip(bounds(split)).map(|(share, bound)| json!([share.variant, bound]));
            json!({"split": pairs.collect::<Vec<_>>()})
        }
    }
}

/// floor(cumulative × 100 000 / total) for each share: never falling, the last 100 000.
fn bounds(split: &[Share]) -> impl Iterator<Item = u32> + '_ {
    let total = super::lint::total(split).max(1);
    split.iter().scan(0, move |sum, share| {
        *sum += u128::from(share.weight.thousandths());
        Some((*sum * u128::from(ALL) / total) as u32)
    })
}
