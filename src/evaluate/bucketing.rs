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
    position_of(salt.as_bytes(), r#use, key.as_bytes())
}

#[inline]
#[cfg_attr(flagstone_download, optimize(speed))]
pub(crate) fn position_of(salt: &[u8], r#use: Use, key: &[u8]) -> u32 {
    let length = salt.len() + 1 + key.len();
    // Nearly every salt and key fit here.
    #[cfg(not(target_arch = "wasm32"))]
    let mut stack = [0; 192];
    #[cfg(target_arch = "wasm32")]
    let mut stack = [0; 64];
    scaled(if let Some(input) = stack.get_mut(..length) {
        let (before, after) = input.split_at_mut(salt.len());
        copy(before, salt);
        after[0] = r#use as u8;
        copy(&mut after[1..], key);
        xxh3_64(input)
    } else {
        hash_in_parts([salt, &[r#use as u8], key])
    })
}

#[inline]
#[cfg_attr(flagstone_download, optimize(speed))]
fn scaled(hash: u64) -> u32 {
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

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use in_place::{AFTER_SALT, position_after};

/// XXH3 of 17 to 128 bytes, reading salt, use and key where they are. To copy them into one place takes half as long again, for what
/// was just written in pieces cannot be read in other pieces at once.
#[cfg(not(target_arch = "wasm32"))]
mod in_place {
    use super::{Use, scaled};

    /// How many zeros come after a salt that is at hand.
    pub(crate) const AFTER_SALT: usize = 16;
    const PRIME: u64 = 0x9e37_79b1_85eb_ca87;
    const PRIME_MX: u64 = 0x1656_6791_9e37_79f9;
    /// As far as it goes into so many bytes: what comes to sixteen from the start, and to sixteen from the end.
    const SECRET: [[[u64; 2]; 2]; 4] = [
        [[0xbe4b_a423_396c_feb8, 0x1cad_21f7_2c81_017c], [0xdb97_9083_e96d_d4de, 0x1f67_b3b7_a4a4_4072]],
        [[0x78e5_c0cc_4ee6_79cb, 0x2172_ffcc_7dd0_5a82], [0x8e24_43f7_7446_08b8, 0x4c26_3a81_e690_35e0]],
        [[0xcb00_c391_bb52_283c, 0xa32e_531b_8b65_d088], [0x4ef9_0da2_9748_6471, 0xd8ac_dea9_46ef_1938]],
        [[0x3f34_9ce3_3f76_faa8, 0x1d4f_0bc7_c7bb_dcf9], [0x3159_b4cd_4be0_518a, 0x6473_78d9_c97e_9fc8]],
    ];

    struct Input<'a> {
        /// With [`AFTER_SALT`] zeros.
        salt: &'a [u8],
        key: &'a [u8],
        /// What comes after the salt, as far as 16 bytes that begin in the salt can reach.
        after_salt: u128,
        length: usize,
    }

    /// The position, where the three have so many bytes together. The salt comes with [`AFTER_SALT`] zeros after it.
    #[inline]
    pub(crate) fn position_after(salt: &[u8], r#use: Use, key: &[u8]) -> Option<u32> {
        let length = salt.len() - AFTER_SALT + 1 + key.len();
        if !(17..=128).contains(&length) {
            return None;
        }
        let input = Input { salt, key, after_salt: u128::from(r#use as u8) | start(key) << 8, length };
        let mut sum = (length as u64).wrapping_mul(PRIME).wrapping_add(input.pair(0)?);
        if length > 32 {
            sum = sum.wrapping_add(input.further_pairs()?);
        }
        let hash = (sum ^ sum >> 37).wrapping_mul(PRIME_MX);
        Some(scaled(hash ^ hash >> 32))
    }

    impl Input<'_> {
        #[inline(never)]
        fn further_pairs(&self) -> Option<u64> {
            let mut sum = 0u64;
            for pair in 1..=(self.length - 1) / 32 {
                sum = sum.wrapping_add(self.pair(pair)?);
            }
            Some(sum)
        }

        /// Sixteen bytes from the start and as many from the end, the more of them the nearer to the middle.
        #[inline(always)]
        fn pair(&self, pair: usize) -> Option<u64> {
            let [one, other] = SECRET[pair];
            let (one, other) =
                (mix(self.sixteen(16 * pair)?, one), mix(self.sixteen(self.length - 16 * (pair + 1))?, other));
            Some(one.wrapping_add(other))
        }

        #[inline(always)]
        fn sixteen(&self, at: usize) -> Option<u128> {
            let salt_length = self.salt.len() - AFTER_SALT;
            if at > salt_length {
                return sixteen_at(self.key, at - salt_length - 1);
            }
            let salt = sixteen_at(self.salt, at)?;
            let bits = 8 * (salt_length - at);
            Some(if bits < 128 { salt | self.after_salt << bits } else { salt })
        }
    }

    #[inline(always)]
    fn mix(bytes: u128, secret: [u64; 2]) -> u64 {
        let product = u128::from(bytes as u64 ^ secret[0]) * u128::from((bytes >> 64) as u64 ^ secret[1]);
        product as u64 ^ (product >> 64) as u64
    }

    #[inline(always)]
    fn sixteen_at(bytes: &[u8], at: usize) -> Option<u128> {
        bytes.get(at..)?.first_chunk().map(|bytes| u128::from_le_bytes(*bytes))
    }

    /// The first 16 bytes, or zeros after fewer.
    #[inline(always)]
    fn start(bytes: &[u8]) -> u128 {
        let length = bytes.len();
        if let Some(bytes) = bytes.first_chunk() {
            u128::from_le_bytes(*bytes)
        } else if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
            u128::from(u64::from_le_bytes(*first)) | u128::from(u64::from_le_bytes(*last)) << (8 * (length - 8))
        } else if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
            (u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << (8 * (length - 4))).into()
        } else {
            bytes.iter().rev().fold(0, |all, byte| all << 8 | u128::from(*byte))
        }
    }
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

    #[cfg(not(target_arch = "wasm32"))]
    #[test]
    fn what_is_read_where_it_is_is_hashed_the_same() {
        let text: String = ('\u{1}'..='\u{7f}').cycle().take(400).collect();
        for salt_length in 1..150 {
            for key_length in 0..150 {
                let (salt, rest) = text.split_at(salt_length);
                let key = &rest[..key_length];
                let padded = [salt.as_bytes(), &[0; AFTER_SALT]].concat();
                for r#use in [Use::Ramp, Use::Split, Use::Layer, Use::Holdout] {
                    let found = position_after(&padded, r#use, key.as_bytes());
                    let length = salt_length + 1 + key_length;
                    let expected = (17..=128).contains(&length).then(|| position(salt, r#use, key));
                    assert_eq!(found, expected, "{salt_length} and {key_length} bytes");
                }
            }
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
