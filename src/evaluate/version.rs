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
        let (before, build) = rest.split_at(rest.bytes().position(|byte| byte == b'+').unwrap_or(rest.len()));
        let prerelease = if before.is_empty() { None } else { Some(before.strip_prefix('-')?) };
        if !build.as_bytes().get(1..).is_none_or(|build| are_identifiers(build, false))
            || !prerelease.is_none_or(|prerelease| are_identifiers(prerelease.as_bytes(), true))
        {
            return None;
        }
        Some(Version { numbers, prerelease: Cow::Borrowed(prerelease.unwrap_or_default()) })
    }

    /// A release in one word, which orders releases, if its numbers are no larger than nearly all are.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn release_word(&self) -> Option<u64> {
        let fits = self.prerelease.is_empty() && self.numbers.iter().all(|number| *number <= MOST_IN_WORD);
        fits.then(|| self.numbers.iter().fold(0, |word, number| word << NUMBER_BITS | number))
    }

    /// Without the text it was read from.
    pub(crate) fn into_owned(self) -> Version<'static> {
        Version { numbers: self.numbers, prerelease: Cow::Owned(self.prerelease.into_owned()) }
    }
}

#[cfg(not(target_arch = "wasm32"))]
const NUMBER_BITS: u32 = 21;
#[cfg(not(target_arch = "wasm32"))]
const MOST_IN_WORD: u64 = (1 << NUMBER_BITS) - 1;

/// The [word](Version::release_word) of what is nothing but two dots between numbers, as nearly every version is.
#[cfg(not(target_arch = "wasm32"))]
#[inline]
pub(crate) fn release_word(text: &[u8]) -> Option<u64> {
    let (mut word, mut dots, mut number, mut is_empty) = (0, 0, 0, true);
    for &byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit < 10 && (is_empty || number > 0) && number <= MOST_IN_WORD {
            number = number * 10 + u64::from(digit);
            is_empty = false;
        } else if byte == b'.' && !is_empty && number <= MOST_IN_WORD {
            word = word << NUMBER_BITS | number;
            (dots, number, is_empty) = (dots + 1, 0, true);
        } else {
            return None;
        }
    }
    if dots == 2 && !is_empty && number <= MOST_IN_WORD { Some(word << NUMBER_BITS | number) } else { None }
}

/// The identifiers of a pre-release or a build, as they are ordered: numbers come first; without leading zeros, the longer number
/// is the greater one. In bytes, and not inlined: what searches texts, and copies of this, have no room in a download.
struct Identifiers<'a>(Option<&'a [u8]>);

impl<'a> Iterator for Identifiers<'a> {
    type Item = (bool, usize, &'a [u8]);

    #[inline(never)]
    fn next(&mut self) -> Option<Self::Item> {
        let text = self.0?;
        let length = text.iter().position(|byte| *byte == b'.').unwrap_or(text.len());
        let identifier = &text[..length];
        self.0 = text.get(length + 1..);
        let is_number = length > 0 && identifier.iter().all(u8::is_ascii_digit);
        Some(if is_number { (false, length, identifier) } else { (true, 0, identifier) })
    }
}

#[inline(never)]
fn are_identifiers(text: &[u8], of_prerelease: bool) -> bool {
    Identifiers(Some(text)).all(|(is_text, _, identifier)| {
        let has_leading_zero = identifier.len() > 1 && identifier[0] == b'0';
        !identifier.is_empty()
            && identifier.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
            && (is_text || !of_prerelease || !has_leading_zero)
    })
}

impl Ord for Version<'_> {
    #[cfg_attr(flagstone_download, optimize(speed))]
    fn cmp(&self, other: &Self) -> Ordering {
        // A release comes after its pre-releases.
        let (one, two) = (&*self.prerelease, &*other.prerelease);
        let by_numbers = self.numbers.cmp(&other.numbers).then(one.is_empty().cmp(&two.is_empty()));
        by_numbers.then_with(|| Identifiers(Some(one.as_bytes())).cmp(Identifiers(Some(two.as_bytes()))))
    }
}

impl PartialOrd for Version<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::*;

    #[test]
    fn releases_in_a_word_are_ordered_as_versions_are() {
        let mut plain = Vec::new();
        for text in [
            "0.0.0",
            "0.0.1",
            "0.10.0",
            "1.0.0",
            "1.2.3",
            "1.2.10",
            "10.0.0",
            "2097151.2097151.2097151",
            "2097152.0.0",
            "1.2097152.0",
            "1.2.99999999999999999999",
            "01.2.3",
            "1.02.3",
            "1.2.03",
            "00.0.0",
            "1",
            "1.2",
            "1.2.3.4",
            "v1.2.3",
            "",
            ".",
            "..",
            "1..2",
            "1.2.",
            ".1.2",
            "1.2.3-rc",
            "1.2.3+build",
            "1.2.x",
            "１.2.3",
        ] {
            let word = release_word(text.as_bytes());
            let version = Version::parse(text);
            // What has no word may be a version all the same; where there is a word, they agree.
            if let Some(word) = word {
                let version = version.expect(text);
                assert_eq!(version.release_word(), Some(word), "{text}");
                plain.push((word, version));
            }
        }
        assert_eq!(plain.len(), 8);
        assert!(plain.is_sorted_by(|(a, one), (b, other)| a < b && one < other));
    }
}
