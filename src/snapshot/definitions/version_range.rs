//! Ranges of versions, from comparators to the stretch of versions that they leave.

use semver::{Comparator, Op, Prerelease, Version, VersionReq};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// What snapshots carry of a range: the first version inside, the first one beyond, and whose pre-releases may be inside.
///
/// Comparators are read as Cargo reads them. Like npm it lets a pre-release in only beside a comparator that names a pre-release
/// of the same version; unlike Cargo, what else a comparator says of pre-releases does not depend on how much of it is written:
/// `1.2.*` covers what lies between `1.2.0` and `1.3.0`.
pub(super) fn compile(text: &str) -> Result<Value, String> {
    let range =
        VersionReq::parse(text).map_err(|error| format!("`{text}` is not a range of semantic versions: {error}"))?;
    let nothing = || format!("`{text}` is a range that no version is in");
    let (mut from, mut below) = (first_of([0; 3]), None);
    for comparator in &range.comparators {
        let (first, beyond) = ends(comparator).ok_or_else(nothing)?;
        from = from.max(first);
        below = [below, beyond].into_iter().flatten().min();
    }
    if below.as_ref().is_some_and(|below| *below <= from) {
        return Err(nothing());
    }
    let mut compiled = json!({"from": from.to_string()});
    if let Some(below) = below {
        compiled["below"] = below.to_string().into();
    }
    let named = range.comparators.iter().filter(|comparator| !comparator.pre.is_empty());
    let releases: BTreeSet<_> = named.map(|comparator| release(numbers(comparator))).collect();
    if !releases.is_empty() {
        compiled["prereleasesOf"] = releases.iter().map(Version::to_string).collect();
    }
    Ok(compiled)
}

/// The first version that a comparator accepts and the first one beyond, if there is one; nothing if it accepts none.
fn ends(comparator: &Comparator) -> Option<(Version, Option<Version>)> {
    let numbers = numbers(comparator);
    // The last number that is written.
    let last = match (comparator.minor, comparator.patch) {
        (None, _) => 0,
        (_, None) => 1,
        _ => 2,
    };
    let named = Version { pre: comparator.pre.clone(), ..release(numbers) };
    // What `=` covers ends here: no version lies between `a` and `a.0`.
    let after = match &*comparator.pre {
        "" => next(numbers, last),
        prerelease => Some(Version { pre: Prerelease::new(&format!("{prerelease}.0")).ok()?, ..release(numbers) }),
    };
    Some(match comparator.op {
        Op::Greater => (after?, None),
        Op::GreaterEq => (named, None),
        Op::Less if last < 2 => (first_of([0; 3]), Some(first_of(numbers))),
        Op::Less => (first_of([0; 3]), Some(named)),
        Op::LessEq => (first_of([0; 3]), after),
        Op::Tilde => (named, next(numbers, last.min(1))),
        Op::Caret => {
            let leading = numbers[..last].iter().position(|&number| number > 0).unwrap_or(last);
            (named, next(numbers, leading))
        }
        _ => (named, after),
    })
}

fn numbers(comparator: &Comparator) -> [u64; 3] {
    [comparator.major, comparator.minor.unwrap_or(0), comparator.patch.unwrap_or(0)]
}

fn release([major, minor, patch]: [u64; 3]) -> Version {
    Version::new(major, minor, patch)
}

/// The lowest pre-release of a version.
fn first_of(numbers: [u64; 3]) -> Version {
    Version { pre: Prerelease::new("0").unwrap_or_default(), ..release(numbers) }
}

/// The first version whose numbers, up to and with the one at `position`, are greater.
fn next(mut numbers: [u64; 3], position: usize) -> Option<Version> {
    for position in (0..=position).rev() {
        if let Some(greater) = numbers[position].checked_add(1) {
            numbers[position] = greater;
            numbers[position + 1..].fill(0);
            return Some(first_of(numbers));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::version::Version as Ours;

    #[test]
    fn comparators_become_a_stretch_of_versions() {
        for (range, compiled) in [
            ("*", json!({"from": "0.0.0-0"})),
            ("1", json!({"from": "1.0.0", "below": "2.0.0-0"})),
            ("^0.2.3", json!({"from": "0.2.3", "below": "0.3.0-0"})),
            ("^0.0.3", json!({"from": "0.0.3", "below": "0.0.4-0"})),
            ("^0.0", json!({"from": "0.0.0", "below": "0.1.0-0"})),
            ("^0", json!({"from": "0.0.0", "below": "1.0.0-0"})),
            ("~1.2.3", json!({"from": "1.2.3", "below": "1.3.0-0"})),
            ("1.2.*", json!({"from": "1.2.0", "below": "1.3.0-0"})),
            (">=1.2,<2", json!({"from": "1.2.0", "below": "2.0.0-0"})),
            (">1.2, <=3.4", json!({"from": "1.3.0-0", "below": "3.5.0-0"})),
            ("<2.0.0", json!({"from": "0.0.0-0", "below": "2.0.0"})),
            ("=1.2.3-rc.1", json!({"from": "1.2.3-rc.1", "below": "1.2.3-rc.1.0", "prereleasesOf": ["1.2.3"]})),
            (
                ">1.2.3-a, <1.2.4-a",
                json!({"from": "1.2.3-a.0", "below": "1.2.4-a", "prereleasesOf": ["1.2.3", "1.2.4"]}),
            ),
            ("^18446744073709551615.1", json!({"from": "18446744073709551615.1.0"})),
            ("~1.18446744073709551615", json!({"from": "1.18446744073709551615.0", "below": "2.0.0-0"})),
        ] {
            assert_eq!(compile(range), Ok(compiled), "{range}");
        }
        for range in [">2, <1", "<0", "<1, >=1.0.0", ">18446744073709551615", "=1.2, =1.3"] {
            assert_eq!(compile(range), Err(format!("`{range}` is a range that no version is in")));
        }
        assert!(compile(">=1 <2").is_err());
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(4096))]

        /// As Cargo has it, but for a pre-release beside a comparator that is not written in full.
        #[test]
        fn the_stretch_has_in_it_what_the_comparators_accept(
            comparators in proptest::collection::vec(r"(|=|>|>=|<|<=|~|\^)[0-2](\.[0-2](\.[0-2](-(0|1|a|a\.0|a\.b))?)?)?", 1..4),
            versions in proptest::collection::vec(r"[0-3]\.[0-3]\.[0-3](-(0|1|2|a|a\.0|a\.1|a\.b|b))?", 1..40),
        ) {
            let text = comparators.join(", ");
            let compiled = compile(&text);
            let range = VersionReq::parse(&text).unwrap();
            let partial = range.comparators.iter().any(|comparator| comparator.patch.is_none());
            for text in &versions {
                let version = Version::parse(text).unwrap();
                if partial && !version.pre.is_empty() {
                    continue;
                }
                let ours = compiled.as_ref().is_ok_and(|compiled| {
                    let read = |text: &Value| Ours::parse(text.as_str().unwrap()).unwrap().into_owned();
                    let version = Ours::parse(text).unwrap();
                    version >= read(&compiled["from"])
                        && compiled.get("below").is_none_or(|below| version < read(below))
                        && (version.prerelease.is_empty() || compiled.get("prereleasesOf").is_some_and(|releases| {
                            releases.as_array().unwrap().iter().any(|release| read(release).numbers == version.numbers)
                        }))
                });
                proptest::prop_assert_eq!(ours, range.matches(&version), "{} in {:?}", text, compiled);
            }
        }

        #[test]
        fn versions_are_read_and_ordered_as_cargo_does(
            one in r"([0-9]{1,2}|18446744073709551616|x|)(\.[0-9]{1,2}){0,3}(-[0-9ab.-]{0,6})?(\+[0-9ab.+-]{0,6})?",
            two in r"[01](\.[01]){2}(-[0-9ab]{1,2}(\.[0-9ab]{1,22}){0,2})?",
            three in r"[01](\.[01]){2}(-[0-9ab]{1,2}(\.[0-9ab]{1,22}){0,2})?",
        ) {
            for text in [&one, &two, &three] {
                let dots = text.find(['-', '+']).map_or(&text[..], |end| &text[..end]).matches('.').count();
                if dots >= 2 {
                    proptest::prop_assert_eq!(Ours::parse(text).is_some(), Version::parse(text).is_ok(), "{}", text);
                }
            }
            if let (Ok(theirs), Ok(others)) = (Version::parse(&two), Version::parse(&three)) {
                let ours = Ours::parse(&two).unwrap().cmp(&Ours::parse(&three).unwrap());
                proptest::prop_assert_eq!(ours, theirs.cmp_precedence(&others), "{} {}", two, three);
            }
        }
    }
}
