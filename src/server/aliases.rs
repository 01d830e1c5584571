//! Routes that teams have in their runbooks already, and what they mean here.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{MethodFilter, on};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::access::Role;
use super::admin::{self, Wish};
use super::problem::Problem;
use super::{Asking, Shared, body};
use crate::Context;
use crate::snapshot::definitions::Percent;
use crate::store::{Operation, Target};

/// How many users are made up where a runbook asks for shares.
const USERS: u32 = 10_000;

/// A route of a team's own, and what it does.
///
/// ```
/// use flagstone::server::Alias;
///
/// let aliases: Vec<Alias> = serde_json::from_str(r#"[
///     {"method": "POST", "path": "/admin/feature-flags/{flag}/disable", "do": "set", "enabled": false, "percent": 0},
///     {"method": "PATCH", "path": "/api/v1/admin/feature-flags", "do": "fields", "fields": {
///         "outboundCallsEnabled": {"flag": "outboundCallsEnabled", "sets": "enabled"},
///         "outboundCallsPercentage": {"flag": "outboundCalls", "sets": "percent"}
///     }}
/// ]"#)?;
/// assert_eq!(aliases.len(), 2);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alias {
    /// `GET`, `POST`, `PUT`, `PATCH` or `DELETE`.
    pub method: String,
    /// The path, with `{flag}` where it names the flag, and `{user}` where it names a user.
    pub path: String,
    /// The environment; absent means the first one that is served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// The flag, where the path does not name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flag: Option<String>,
    /// What it does.
    #[serde(flatten)]
    pub action: Action,
}

/// What a route of a team's own does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "camelCase")]
#[non_exhaustive]
pub enum Action {
    /// Kills the flag.
    Kill,
    /// Restores the flag.
    Restore,
    /// Sets what is named.
    Set {
        /// See [`Operation::SetEnabled`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        enabled: Option<bool>,
        /// Of the default's ramp, where it is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        percent: Option<Percent>,
    },
    /// Does what the members of the body say; those that are not there do nothing, unknown ones are refused.
    Fields {
        /// What each member means.
        fields: BTreeMap<String, Field>,
    },
    /// Shows who gets what, estimated.
    Stats,
    /// Shows how the flag is decided for the user that the path names.
    Explain,
    /// Shows how the server is doing.
    Health,
}

/// What a member of a body means.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// The flag that it is about.
    pub flag: String,
    /// What of the flag it sets.
    pub sets: Sets,
}

/// What of a flag a member of a body sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Sets {
    /// `true` or `false`.
    Enabled,
    /// The percent of the default's ramp.
    Percent,
    /// `disabled`: not enabled. `testing`: enabled at 0 %, for those on the list. `gradual`: enabled at the percent there
    /// is. `full`: enabled at 100 %.
    Mode,
}

impl Alias {
    fn changes(&self) -> bool {
        matches!(self.action, Action::Kill | Action::Restore | Action::Set { .. } | Action::Fields { .. })
    }

    fn check_path(&self) -> Result<(), String> {
        let Some(path) = self.path.strip_prefix('/') else { return Err("the path begins with `/`".to_owned()) };
        let named = |part: &str| part == "{flag}" || part == "{user}";
        let plain = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~'))
        };
        if let Some(part) = path.split('/').find(|part| !named(part) && !plain(part)) {
            return Err(format!(
                "`{part}` cannot be a part of a path; take letters, digits, -, _, ., ~, {{flag}} or {{user}}"
            ));
        }
        for name in ["{flag}", "{user}"] {
            if path.matches(name).count() > 1 {
                return Err(format!("{name} occurs twice"));
            }
        }
        let own = ["admin/v1", "dashboard", "snapshots", "ofrep", "environments", "healthz", "metrics"];
        match own.iter().find(|own| path == **own || path.starts_with(&format!("{own}/"))) {
            Some(own) => Err(format!("/{own} is the server's own")),
            None => Ok(()),
        }
    }

    /// Makes sure that it can be done at all.
    pub(super) fn check(&self) -> Result<MethodFilter, String> {
        let named = || format!("{} {}", self.method, self.path);
        let method = match self.method.as_str() {
            "GET" => MethodFilter::GET,
            "POST" => MethodFilter::POST,
            "PUT" => MethodFilter::PUT,
            "PATCH" => MethodFilter::PATCH,
            "DELETE" => MethodFilter::DELETE,
            other => return Err(format!("{}: `{other}` is none of GET, POST, PUT, PATCH and DELETE", named())),
        };
        if self.changes() && method == MethodFilter::GET {
            return Err(format!("{}: GET changes nothing; take POST", named()));
        }
        self.check_path().map_err(|problem| format!("{}: {problem}", named()))?;
        let needs_flag = !matches!(self.action, Action::Fields { .. } | Action::Health);
        if needs_flag && self.flag.is_none() && !self.path.contains("{flag}") {
            return Err(format!("{}: name the `flag`, or put {{flag}} into the path", named()));
        }
        if self.action == Action::Explain && !self.path.contains("{user}") {
            return Err(format!("{}: put {{user}} into the path", named()));
        }
        Ok(method)
    }
}

/// A path without the names of its parts.
fn shape(path: &str) -> String {
    path.replace("{flag}", "{}").replace("{user}", "{}")
}

/// The routes, each checked.
pub(super) fn routes(shared: &Shared) -> Result<Router<Arc<Shared>>, String> {
    let mut router = Router::new();
    let mut known: Vec<(&str, &str)> = Vec::new();
    for alias in &shared.options.aliases {
        let method = alias.check()?;
        if let Some(environment) = alias.environment.as_deref().filter(|name| !shared.feeds.contains_key(*name)) {
            return Err(format!("{} {}: `{environment}` is not served here", alias.method, alias.path));
        }
        if known.contains(&(&alias.method, &alias.path)) {
            return Err(format!("{} {}: this route occurs twice", alias.method, alias.path));
        }
        if let Some((_, other)) =
            known.iter().find(|(_, other)| *other != alias.path && shape(other) == shape(&alias.path))
        {
            return Err(format!(
                "{} {}: {other} is the same with other names; take the same",
                alias.method, alias.path
            ));
        }
        known.push((&alias.method, &alias.path));
        let alias = Arc::new(alias.clone());
        let path = alias.path.clone();
        let handler =
            move |state: State<Arc<Shared>>, parts, asking, read| answer(alias.clone(), state, parts, asking, read);
        router = router.route(&path, on(method, handler));
    }
    Ok(router)
}

async fn answer(
    alias: Arc<Alias>,
    State(shared): State<Arc<Shared>>,
    Path(parts): Path<HashMap<String, String>>,
    asking: Asking,
    read: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let environment = alias.environment.as_ref().unwrap_or(&shared.options.environments[0]).as_str();
    let flag = alias.flag.clone().or_else(|| parts.get("flag").cloned()).unwrap_or_default();
    let operations = match &alias.action {
        Action::Health => return admin::health(State(shared.clone()), asking).await,
        Action::Stats => {
            shared.access.require(&asking, Role::Reader, environment)?;
            return admin::shares(&shared, environment, &flag, USERS).await;
        }
        Action::Explain => {
            shared.access.require(&asking, Role::Reader, environment)?;
            let user = parts.get("user").map(String::as_str).unwrap_or_default();
            return admin::explanation(&shared, environment, &flag, &Context::new(user));
        }
        _ => {
            let author = shared.may_change(&asking, environment)?;
            let bytes = body(read)?;
            let members: Map<String, Value> =
                if bytes.trim_ascii().is_empty() { Map::new() } else { admin::from_json(&bytes)? };
            let operations = alias.operations(flag, &members)?;
            let reason = match members.get("reason").and_then(Value::as_str) {
                Some(reason) if !reason.trim().is_empty() => reason.to_owned(),
                // A runbook's command need not say why; the log then says by which route it came.
                _ => format!("{} {}", alias.method, alias.path),
            };
            (operations, Wish { author, reason, dry_run: false, expected: admin::expected(&asking.headers)? })
        }
    };
    let (operations, wish) = operations;
    admin::change(&shared, environment, "alias", operations, wish).await
}

impl Alias {
    fn operations(&self, flag: String, members: &Map<String, Value>) -> Result<Vec<Operation>, Problem> {
        let mut operations = Vec::new();
        match &self.action {
            Action::Kill => operations.push(Operation::Kill(Target::Flag(flag))),
            Action::Restore => operations.push(Operation::Restore(Target::Flag(flag))),
            Action::Set { enabled, percent } => {
                if enabled.is_some() {
                    operations.push(Operation::SetEnabled { flag: flag.clone(), enabled: *enabled });
                }
                if percent.is_some() {
                    operations.push(Operation::SetPercent { flag, rule: None, percent: *percent });
                }
            }
            Action::Fields { fields } => {
                for (name, value) in members.iter().filter(|(name, _)| *name != "reason") {
                    let Some(field) = fields.get(name) else {
                        let known: Vec<_> = fields.keys().map(String::as_str).collect();
                        let detail = format!("`{name}` is not known here; there are {}", known.join(", "));
                        return Err(Problem::bad_request(detail));
                    };
                    field.operations(name, value, &mut operations)?;
                }
                if operations.is_empty() {
                    return Err(Problem::bad_request("the body names nothing to set"));
                }
            }
            Action::Stats | Action::Explain | Action::Health => {}
        }
        Ok(operations)
    }
}

impl Field {
    fn operations(&self, name: &str, value: &Value, operations: &mut Vec<Operation>) -> Result<(), Problem> {
        let enabled = |enabled| Operation::SetEnabled { flag: self.flag.clone(), enabled: Some(enabled) };
        let percent = |percent| Operation::SetPercent { flag: self.flag.clone(), rule: None, percent: Some(percent) };
        let refuse = |wanted: &str| Err(Problem::bad_request(format!("`{name}`: expected {wanted}, found {value}")));
        let whole = |number: u32| serde_json::from_value::<Percent>(number.into());
        match self.sets {
            Sets::Enabled => match value.as_bool() {
                Some(value) => operations.push(enabled(value)),
                None => return refuse("true or false"),
            },
            Sets::Percent => match serde_json::from_value(value.clone()) {
                Ok(value) => operations.push(percent(value)),
                Err(_) => return refuse("a percent from 0 to 100"),
            },
            Sets::Mode => match value.as_str() {
                Some("disabled") => operations.push(enabled(false)),
                Some("gradual") => operations.push(enabled(true)),
                Some(mode @ ("testing" | "full")) => {
                    operations.push(enabled(true));
                    let number = if mode == "full" { 100 } else { 0 };
                    operations.extend(whole(number).ok().map(percent));
                }
                _ => return refuse("`disabled`, `testing`, `gradual` or `full`"),
            },
        }
        Ok(())
    }
}
