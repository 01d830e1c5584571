//! CIDR blocks (RFC 4632, RFC 4291).

use std::net::{IpAddr, Ipv6Addr};

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

    pub(crate) fn contains(self, address: Ipv6Addr) -> bool {
        u128::from(address) & self.mask == self.first
    }
}

/// Reads an address; an IPv4 address is the same as its IPv4-mapped IPv6 form.
pub(crate) fn parse_address(text: &str) -> Option<Ipv6Addr> {
    Some(match text.parse().ok()? {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    })
}
