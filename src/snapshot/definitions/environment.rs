//! What is different in one environment: development, staging and production from one set of definitions.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::state::set;
use super::{Definitions, Exclusion, Flag, People, Percent, Serve, Target};

/// What of a flag is different in an environment. What operators change there counts on top of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(extend("not" = {"required": ["pin", "percent"]}))]
pub struct FlagEnvironment {
    /// In place of the flag's `enabled`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Serves this variant to everyone, whatever prerequisites, lists, holdouts, layer and rules say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pin: Option<String>,
    /// In place of the percent or schedule of the default's ramp.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent: Option<Percent>,
}

impl FlagEnvironment {
    fn apply(&self, flag: &mut Flag) {
        flag.enabled = self.enabled.unwrap_or(flag.enabled);
        if let Some(default) = &mut flag.default {
            set(default, self.percent);
        }
        if let Some(variant) = &self.pin {
            flag.prerequisites.clear();
            flag.deny = People::default();
            flag.exclude = Exclusion::default();
            flag.allow.clear();
            flag.holdouts.clear();
            flag.layer = None;
            flag.rules.clear();
            flag.default = Some(Serve::Target(Target::Variant(variant.clone())));
        }
    }
}

impl Definitions {
    /// The definitions as they are in an environment. Of the flags' environments, this one is left.
    ///
    /// ```
    /// use flagstone::snapshot::definitions::{Definitions, Source};
    ///
    /// let text = "
    /// environments: [staging, production]
    /// flags:
    ///   beta:
    ///     salt: beta-1
    ///     default: {ramp: {percent: 5, serve: on}}
    ///     environments: {staging: {percent: 100}}
    /// ";
    /// let definitions = Definitions::read(&[Source::new("flags.yaml", text)]).unwrap();
    /// let staging = serde_json::to_value(definitions.in_environment("staging"))?;
    /// assert_eq!(staging["flags"]["beta"]["default"]["ramp"]["percent"], 100);
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    #[must_use]
    pub fn in_environment(&self, environment: &str) -> Definitions {
        let mut there = self.clone();
        for flag in there.flags.values_mut() {
            flag.environments.retain(|name, _| name == environment);
            if let Some(different) = flag.environments.get(environment).cloned() {
                different.apply(flag);
            }
        }
        there
    }
}

impl Flag {
    /// What it is pinned to in the environment that its definitions were narrowed down to.
    pub(super) fn pinned(&self) -> Option<(&str, &str)> {
        self.environments.iter().find_map(|(name, different)| Some((name.as_str(), different.pin.as_deref()?)))
    }
}
