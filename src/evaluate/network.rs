//! CIDR blocks (RFC 4632, RFC 4291).

use std::net::IpAddr;

/// A block of addresses, IPv4 as IPv4-mapped IPv6.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Network {
    pub first: u128,
    pub mask: u128,
}

impl Network {
    /// The block that `first` is in, of this prefix, which is 128 at the most.
    pub(crate) fn new(first: u128, prefix: u8) -> Self {
        let mask = u128::MAX.checked_shl(128 - u32::from(prefix.min(128))).unwrap_or(0);
        Network { first: first & mask, mask }
    }

    /// Reads `10.0.0.0/8` or `2001:db8::/32`; bits past the prefix are ignored.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        if prefix.is_empty() || !prefix.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let prefix: u8 = prefix.parse().ok()?;
        let (address, prefix) = match address.parse().ok()? {
            IpAddr::V4(address) if prefix <= 32 => (address.to_ipv6_mapped(), prefix + 96),
            IpAddr::V6(address) if prefix <= 128 => (address, prefix),
            _ => return None,
        };
        Some(Network::new(u128::from(address), prefix))
    }

    pub(crate) fn contains(self, address: u128) -> bool {
        address & self.mask == self.first
    }
}

/// Reads an address; an IPv4 address is the same as its IPv4-mapped IPv6 form.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn parse_address(text: &str) -> Option<u128> {
    Some(u128::from(match text.parse().ok()? {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }))
}

#[cfg(target_arch = "wasm32")]
pub(crate) use small::parse_address;

/// The same in half of the standard library's code, for downloads.
#[cfg(any(test, target_arch = "wasm32"))]
mod small {
    #[inline(never)]
    pub(crate) fn parse_address(text: &str) -> Option<u128> {
        let mut rest = text.as_bytes();
        if let Some(address) = ipv4(rest) {
            return Some(0xffff << 32 | address);
        }
        let (mut address, mut groups) = (0u128, 0);
        // What stands before `::`, and how many groups that is.
        let mut head = None;
        if let Some(after) = rest.strip_prefix(b"::") {
            (head, rest) = (Some((0u128, 0)), after);
        }
        while !(rest.is_empty() && head.is_some_and(|(_, before)| before == groups)) {
            if let Some(end) = ipv4(rest) {
                (address, groups) = (address << 32 | end, groups + 2);
                break;
            }
            let (group, after) = number(rest, 16, 4)?;
            (address, groups) = (address << 16 | u128::from(group), groups + 1);
            rest = match after {
                [] => break,
                [b':', b':', after @ ..] if head.is_none() => {
                    (head, address) = (Some((address, groups)), 0);
                    after
                }
                [b':', after @ ..] => after,
                _ => return None,
            };
        }
        match head {
            // `::` is at least one group.
            Some((head, before)) if groups < 8 => Some(head.checked_shl(16 * (8 - before)).unwrap_or(0) | address),
            None if groups == 8 => Some(address),
            _ => None,
        }
    }

    fn ipv4(mut rest: &[u8]) -> Option<u128> {
        let mut address = 0u32;
        for place in 0..4 {
            if place > 0 {
                rest = rest.strip_prefix(b".")?;
            }
            let most = if rest.first() == Some(&b'0') { 1 } else { 3 };
            let (number, after) = number(rest, 10, most)?;
            if number > 255 {
                return None;
            }
            (address, rest) = (address << 8 | number, after);
        }
        rest.is_empty().then_some(u128::from(address))
    }

    /// The number that a text begins with, of so many digits at the most, and what follows it.
    #[inline(never)]
    fn number(text: &[u8], radix: u32, most: usize) -> Option<(u32, &[u8])> {
        let (mut number, mut length) = (0, 0);
        while let Some(digit) = text.get(length).and_then(|byte| char::from(*byte).to_digit(radix)) {
            if length == most {
                return None;
            }
            (number, length) = (number * radix + digit, length + 1);
        }
        if length == 0 { None } else { Some((number, &text[length..])) }
    }
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What addresses are made of, so put together that many are some, and more are nearly.
    fn nearly_an_address() -> impl Strategy<Value = String> {
        let part = prop_oneof![
            "[0-9a-fA-F]{1,4}",
            "[0-9]{1,3}",
            "::?",
            "\\.",
            "[0-9]{1,3}(\\.[0-9]{1,3}){3}",
            "[0g.:% ]{0,5}"
        ];
        let parts = prop_oneof![
            prop::collection::vec(part, 0..10).prop_map(|parts| parts.concat()),
            "([0-9a-f]{1,4}:){0,8}(:|:?[0-9a-f]{1,4}|[12]?[0-9]{1,2}(\\.[12]?[0-9]{1,2}){3})",
            "([0-9a-f]{1,4}:){0,4}(:[0-9a-f]{1,4}){0,4}(:[12]?[0-9]{1,2}(\\.[12]?[0-9]{1,2}){3})?",
        ];
        prop_oneof![
            parts,
            any::<u32>().prop_map(|address| std::net::Ipv4Addr::from(address).to_string()),
            (any::<u128>(), any::<u128>())
                .prop_map(|(a, b)| std::net::Ipv6Addr::from(a & b & b.rotate_left(64)).to_string()),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn the_small_reader_reads_what_the_standard_library_reads(text in nearly_an_address()) {
            prop_assert_eq!(small::parse_address(&text), parse_address(&text), "{}", text);
        }
    }
}
