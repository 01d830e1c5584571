//! The JSON Schema of definitions, from the types that read them.

use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform};
use schemars::{Schema, SchemaGenerator};
use serde_json::Value;

use super::Definitions;

/// The JSON Schema (2020-12) of a file of definitions, for editors and other programs.
///
/// It says all about form. What needs a look at several places (names that exist, sums, cycles), and how many places a
/// percent may have, is left to [`Definitions::read`] and [`lint`](super::lint).
///
/// ```
/// let schema = flagstone::snapshot::definitions::json_schema();
/// assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
/// assert!(schema["$defs"]["Flag"]["properties"]["salt"]["description"].is_string());
/// ```
pub fn json_schema() -> Value {
    let mut schema: Schema = SchemaGenerator::new(SchemaSettings::draft2020_12()).into_root_schema_for::<Definitions>();
    RecursiveTransform(without_null).transform(&mut schema);
    let mut schema = Value::from(schema);
    schema["properties"]["$schema"] = serde_json::json!({"type": "string", "description": "For editors."});
    schema
}

/// What may be left out may not be `null` instead: that is how YAML writes a value somebody forgot.
fn without_null(schema: &mut Schema) {
    if schema.get("default").is_some_and(Value::is_null) {
        schema.remove("default");
    }
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(forms)) = schema.get_mut("anyOf") {
        forms.retain(|form| form.get("type").is_none_or(|name| name != "null"));
    }
}
