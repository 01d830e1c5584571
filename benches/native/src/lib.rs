//! What everyone is asked: the same flags and users, before anyone's own format. `workload.mjs` says the same for JavaScript.

pub mod flagstone_definitions;

/// Whom the rules know, one rule each; everyone else reaches the split.
pub const COUNTRIES: [&str; 3] = ["CA", "GB", "US"];
pub const PLAN: &str = "pro";
pub const DOMAIN: &str = "@example.com";
pub const VERSION: &str = "2.3.0";

/// The keys of flags, of which half are on for a quarter of the users (W1), and half serve A by one of four rules, else A or B
/// evenly (W2).
pub struct Flags {
    pub ramps: Vec<String>,
    pub rules: Vec<String>,
}

impl Flags {
    pub fn new(count: usize) -> Self {
        let numbered = |name: &str| (0..count / 2).map(|index| format!("{name}-{}", 1_000 + index)).collect();
        Flags { ramps: numbered("ramp"), rules: numbered("rules") }
    }
}

/// A user whom no rule knows, unless told otherwise.
#[derive(Clone)]
pub struct User {
    pub id: String,
    pub country: String,
    pub plan: String,
    pub email: String,
    pub app_version: String,
    pub device: String,
}

impl User {
    pub fn new(index: usize) -> Self {
        User {
            id: format!("user-{}", 100_000 + index),
            country: "DE".to_owned(),
            plan: "free".to_owned(),
            email: format!("someone-{index}@mail.test"),
            app_version: "2.1.0".to_owned(),
            device: "mobile".to_owned(),
        }
    }
}

pub fn users(count: usize) -> Vec<User> {
    (0..count).map(User::new).collect()
}
