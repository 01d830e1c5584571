use crate::Contestant;
use flagstone::{Context, Snapshot, Timestamp};
use flagstone_benches::{Flags, User, flagstone_definitions};

pub struct Flagstone;

impl Contestant for Flagstone {
    /// With the instant to decide at, which a caller asks the clock for once a request.
    type Evaluator = (Snapshot, Timestamp);
    type Context = Context;

    fn definitions(flags: &Flags) -> String {
        flagstone_definitions::definitions(flags)
    }

    fn load(definitions: &str) -> Self::Evaluator {
        (flagstone_definitions::load(definitions), Timestamp::now())
    }

    fn context(user: &User) -> Context {
        flagstone_definitions::context(user)
    }

    fn boolean((snapshot, now): &Self::Evaluator, key: &str, context: &Context) -> bool {
        snapshot.at(*now).boolean(key, false, context)
    }

    fn letter((snapshot, now): &Self::Evaluator, key: &str, context: &Context) -> u8 {
        crate::first(snapshot.at(*now).string(key, "", context))
    }
}
