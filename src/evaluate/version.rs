//! Semantic versions (semver 2.0) as people write them.

use std::borrow::Cow;
use std::cmp::Ordering;

/// A version, ordered by precedence; build metadata has none and is not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version<'a> {
    /// Major, minor, patch.
    pub numbers: [u64; 3],
    /// Identifiers separated by dots; empty for a release.
    pub prerelease: Cow<'a, str>,
}

impl<'a> Version<'a> {
    /// Reads a version; a leading `v` is ignored, and a missing minor or patch number is zero.
    #[cfg_attr(flagstone_download, optimize(speed))]
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let (mut numbers, mut at) = ([0u64; 3], 0);
        let byte = |at: usize| text.as_bytes().get(at).copied().unwrap_or_default();
        for (index, number) in numbers.iter_mut().enumerate() {
            if index > 0 {
                if byte(at) != b'.' {
                    break;
                }
                at += 1;
            }
            let start = at;
            while byte(at).is_ascii_digit() {
                *number = number.checked_mul(10)?.checked_add(u64::from(byte(at) - b'0'))?;
                at += 1;
            }
            if at == start || (byte(start) == b'0' && at > start + 1) {
                return None;
            }
        }
        let rest = &text[at..];
        let (before, build) = if rest.is_empty() { (rest, None) } else { split(rest, '+') };
        let prerelease = if before.is_empty() { None } else { Some(before.strip_prefix('-')?) };
        if !build.is_none_or(|build| are_identifiers(build, false))
            || !prerelease.is_none_or(|prerelease| are_identifiers(prerelease, true))
        {
            return None;
        }
        Some(Version { numbers, prerelease: Cow::Borrowed(prerelease.unwrap_or_default()) })
    }

    /// Without the text it was read from.
    pub(crate) fn into_owned(self) -> Version<'static> {
        Version { numbers: self.numbers, prerelease: Cow::Owned(self.prerelease.into_owned()) }
    }
}

/// Parts at the first separator.
fn split(text: &str, separator: char) -> (&str, Option<&str>) {
    match text.split_once(separator) {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn has_leading_zero(number: &str) -> bool {
    number.len() > 1 && number.starts_with('0')
}

fn are_identifiers(text: &str, of_prerelease: bool) -> bool {
    text.split('.').all(|identifier| {
        !identifier.is_empty()
            && identifier.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !(of_prerelease && is_number(identifier) && has_leading_zero(identifier))
    })
}

impl Ord for Version<'_> {
    #[cfg_attr(flagstone_download, optimize(speed))]
    fn cmp(&self, other: &Self) -> Ordering {
        // A release comes after its pre-releases. Of identifiers numbers come first; without leading zeros, the longer number is
        // the greater one.
        fn identifiers(prerelease: &str) -> impl Iterator<Item = (bool, usize, &str)> {
            prerelease.split('.').map(|identifier| match is_number(identifier) {
                true => (false, identifier.len(), identifier),
                false => (true, 0, identifier),
            })
        }
        let (one, two) = (&*self.prerelease, &*other.prerelease);
        let by_numbers = self.numbers.cmp(&other.numbers).then(one.is_empty().cmp(&two.is_empty()));
        by_numbers.then_with(|| identifiers(one).cmp(identifiers(two)))
    }
}

impl PartialOrd for Version<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
