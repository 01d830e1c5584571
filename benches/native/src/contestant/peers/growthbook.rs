use super::{by, object};
use crate::Contestant;
use flagstone_benches::{COUNTRIES, DOMAIN, Flags, PLAN, User, VERSION};
use growthbook_rust::client::{GrowthBookClient, GrowthBookClientBuilder, GrowthBookClientTrait};
use growthbook_rust::model_public::GrowthBookAttribute;
use serde_json::{Value, json};

pub struct GrowthBook;

impl Contestant for GrowthBook {
    type Evaluator = GrowthBookClient;
    type Context = Vec<GrowthBookAttribute>;

    fn definitions(flags: &Flags) -> String {
        let ramps = by(&flags.ramps, |key| {
            let ramp = json!({"force": true, "coverage": 0.25, "seed": key, "hashAttribute": "id", "hashVersion": 2});
            json!({"defaultValue": false, "rules": [ramp]})
        });
        let rules = by(&flags.rules, |key| {
            json!({"defaultValue": "A", "rules": [
                {"condition": {"country": {"$in": COUNTRIES}}, "force": "A"},
                {"condition": {"plan": PLAN}, "force": "A"},
                {"condition": {"email": {"$regex": format!("{}$", DOMAIN.replace('.', "\\."))}}, "force": "A"},
                {"condition": {"appVersion": {"$vgte": VERSION}}, "force": "A"},
                {"key": key, "seed": key, "variations": ["A", "B"], "weights": [0.5, 0.5], "coverage": 1,
                    "hashAttribute": "id", "hashVersion": 2},
            ]})
        });
        json!({"features": object(ramps, rules)}).to_string()
    }

    fn load(definitions: &str) -> GrowthBookClient {
        let mut document: Value = serde_json::from_str(definitions).expect("features");
        let builder = GrowthBookClientBuilder::new().features_json(document["features"].take()).expect("features");
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(builder.build()).expect("a client")
    }

    fn context(user: &User) -> Self::Context {
        let User { id, country, plan, email, app_version, device } = user;
        let attributes = json!({
            "id": id, "country": country, "plan": plan, "email": email, "appVersion": app_version, "device": device,
        });
        GrowthBookAttribute::from(attributes).expect("attributes")
    }

    fn boolean(client: &GrowthBookClient, key: &str, attributes: &Self::Context) -> bool {
        client.is_on(key, Some(attributes.clone()))
    }

    fn letter(client: &GrowthBookClient, key: &str, attributes: &Self::Context) -> u8 {
        crate::first(client.feature_result(key, Some(attributes.clone())).value.as_str().unwrap_or_default())
    }
}
