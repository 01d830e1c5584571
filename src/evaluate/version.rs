//! Semantic versions (semver 2.0) as people write them.

use semver::Version;

/// Reads a version; a leading `v` is ignored, and a missing minor or patch number is zero.
pub(crate) fn parse(text: &str) -> Option<Version> {
    let text = text.strip_prefix('v').unwrap_or(text);
    if let Ok(version) = Version::parse(text) {
        return Some(version);
    }
    let end = text.find(['-', '+']).unwrap_or(text.len());
    let (numbers, rest) = text.split_at(end);
    let zeros = match numbers.bytes().filter(|&byte| byte == b'.').count() {
        0 => ".0.0",
        1 => ".0",
        _ => return None,
    };
    Version::parse(&[numbers, zeros, rest].concat()).ok()
}
