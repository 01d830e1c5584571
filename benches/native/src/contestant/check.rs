//! Whether someone answers what they should, before how fast they do it counts for anything.

use crate::Contestant;
use flagstone_benches::{Flags, User, users};

const USERS: usize = 200;
/// Of 10,000 answers a share is off by this much once in a very long while.
const TOLERANCE: f64 = 0.03;

fn share<A: PartialEq + std::fmt::Debug>(what: &str, answers: &[A], answer: A, expected: f64) {
    let found = answers.iter().filter(|other| **other == answer).count() as f64 / answers.len() as f64;
    assert!((found - expected).abs() < TOLERANCE, "{what}: a share of {found:.3} is {answer:?}, not about {expected}");
}

/// Whether the flags of the workload are decided as they say.
pub fn check<C: Contestant>() {
    let flags = Flags::new(100);
    let evaluator = C::load(&C::definitions(&flags));
    let everyone: Vec<C::Context> = users(USERS).iter().map(C::context).collect();
    let on: Vec<bool> = flags
        .ramps
        .iter()
        .flat_map(|key| everyone.iter().map(|context| C::boolean(&evaluator, key, context)))
        .collect();
    share("ramps", &on, true, 0.25);
    let letters = |contexts: &[C::Context]| -> Vec<u8> {
        let of = |key: &String| contexts.iter().map(|context| C::letter(&evaluator, key, context)).collect::<Vec<_>>();
        flags.rules.iter().flat_map(of).collect()
    };
    let split = letters(&everyone);
    share("split", &split, b'A', 0.5);
    share("split", &split, b'B', 0.5);
    let user = User::new(0);
    let known = [
        User { country: "GB".to_owned(), ..user.clone() },
        User { plan: "pro".to_owned(), ..user.clone() },
        User { email: "someone@example.com".to_owned(), ..user.clone() },
        User { app_version: "2.3.0".to_owned(), ..user.clone() },
        // Above 2.3.0, which it is not as text or as a decimal number.
        User { app_version: "2.10.0".to_owned(), ..user.clone() },
    ];
    for (index, user) in known.iter().enumerate() {
        let served = letters(&[C::context(user)]);
        assert!(
            served.iter().all(|letter| *letter == b'A'),
            "the {index}th of those whom the rules know is not served A"
        );
    }
    let older = letters(&[C::context(&User { app_version: "2.2.10".to_owned(), ..user })]);
    assert!(older.contains(&b'B'), "someone with the version 2.2.10 is served A everywhere");
}
