//! Where a user stands: the hash that gives everyone a position, the same on every machine.
//!
//! The default scheme, `xxh3`, is
//!
//! ```text
//! position = (xxh3_64(salt ∥ use ∥ key) >> 32) × 100000 >> 32
//! ```
//!
//! a whole number in 0..100000, so a position is a thousandth of a percent. `use` is one byte and makes the ramp, the
//! split, the layer and the holdout independent of one another. In a ramp the positions below its percent are in:
//! raising the percent never moves anyone out, and lowering it moves out those who came in last.

#[cfg(not(target_arch = "wasm32"))]
use xxhash_rust::xxh3::Xxh3Default;
use xxhash_rust::xxh3::xxh3_64;

/// What a position is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Use {
    /// Who is in a ramp.
    Ramp = 0x00,
    /// Which variant of a split.
    Split = 0x01,
    /// Where in a layer.
    Layer = 0x02,
    /// Who is held out.
    Holdout = 0x03,
}

/// The position of `key` under the scheme `xxh3`, in 0..100000 (thousandths of a percent).
///
/// ```
/// use flagstone::bucketing::{position, Use};
///
/// let position = position("use_new_gateway-1", Use::Ramp, "user-42");
/// assert!(position < 100_000);
/// // In at 25 %: the position is below 25000. In at 25 % is in at 50 % too.
/// let _in_at_25_percent = position < 25_000;
/// ```
#[cfg_attr(flagstone_download, optimize(speed))]
pub fn position(salt: &str, r#use: Use, key: &str) -> u32 {
    let (salt, key) = (salt.as_bytes(), key.as_bytes());
    let length = salt.len() + 1 + key.len();
    // Nearly every salt and key fit here.
    #[cfg(not(target_arch = "wasm32"))]
    let mut stack = [0; 192];
    #[cfg(target_arch = "wasm32")]
    let mut stack = [0; 64];
    let hash = if let Some(input) = stack.get_mut(..length) {
        let (before, after) = input.split_at_mut(salt.len());
        copy(before, salt);
        after[0] = r#use as u8;
        copy(&mut after[1..], key);
        xxh3_64(input)
    } else {
        hash_in_parts([salt, &[r#use as u8], key])
    };
    (((hash >> 32) * 100_000) >> 32) as u32
}

#[cfg(not(target_arch = "wasm32"))]
#[inline]
#[cfg_attr(flagstone_download, optimize(speed))]
fn copy(to: &mut [u8], from: &[u8]) {
    to.copy_from_slice(from);
}

/// In words from both ends: where memory is copied by a call, that takes longer than a hash.
#[cfg(target_arch = "wasm32")]
#[inline]
#[cfg_attr(flagstone_download, optimize(speed))]
fn copy(to: &mut [u8], from: &[u8]) {
    #[cfg_attr(flagstone_download, optimize(speed))]
    fn ends<const N: usize>(to: &mut [u8], from: &[u8]) {
        if let (Some(first), Some(last)) = (from.first_chunk::<N>(), from.last_chunk::<N>()) {
            if let Some(to) = to.first_chunk_mut() {
                *to = *first;
            }
            if let Some(to) = to.last_chunk_mut() {
                *to = *last;
            }
        }
    }
    match from.len() {
        4..8 => ends::<4>(to, from),
        8..16 => ends::<8>(to, from),
        16..=32 => ends::<16>(to, from),
        _ => to.copy_from_slice(from),
    }
}

/// Without an allocation; but it knows no length beforehand, which costs time.
#[cfg(not(target_arch = "wasm32"))]
fn hash_in_parts(parts: [&[u8]; 3]) -> u64 {
    let mut hash = Xxh3Default::new();
    for part in parts {
        hash.update(part);
    }
    hash.digest()
}

/// With little code.
#[cfg(target_arch = "wasm32")]
fn hash_in_parts(parts: [&[u8]; 3]) -> u64 {
    xxh3_64(&parts.concat())
}

/// The position of `key` under the scheme `js31`, a whole percent: the 31-multiplier string hash that JavaScript teams
/// write by hand (`h = ((h << 5) - h) + unit; h = h & h`, then `Math.abs(h) % 100`), over UTF-16 units.
///
/// It knows no salt, so under it the same users come first in every flag. It is here to take over such a rollout
/// without moving anyone, not for new ones.
///
/// ```
/// use flagstone::bucketing::js31;
///
/// assert_eq!(js31("user1"), 66_000);
/// assert_eq!(js31("polygenelubricants"), 48_000, "the hash is i32::MIN, whose absolute value is no i32");
/// ```
pub fn js31(key: &str) -> u32 {
    js31_hash(key).unsigned_abs() % 100 * 1_000
}

fn js31_hash(key: &str) -> i32 {
    key.encode_utf16().fold(0, |hash: i32, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn salts_and_keys_of_all_lengths_are_hashed_as_one() {
        let text = "0123456789abcdefghijklmnopqrstuvwxyz".repeat(20);
        for length in 0..text.len() {
            let (salt, key) = text[..length].split_at(length / 3);
            let hash = xxh3_64(format!("{salt}\0{key}").as_bytes());
            let expected = (((hash >> 32) * 100_000) >> 32) as u32;
            assert_eq!(position(salt, Use::Ramp, key), expected, "{length} bytes");
        }
    }

    /// The positions are golden vectors; these are the hashes before the remainder, which nothing public shows.
    #[test]
    fn js31_hashes_as_javascript_does() {
        for (key, absolute) in [
            ("", 0),
            ("user1", 111_578_566),
            ("internal-user-1", 1_706_504_127),
            ("ngày", 3_383_058),
            ("😀", 1_772_899),
            ("polygenelubricants", 2_147_483_648),
        ] {
            assert_eq!(js31_hash(key).unsigned_abs(), absolute, "{key}");
        }
    }
}
