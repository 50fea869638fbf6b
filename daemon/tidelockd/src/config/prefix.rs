// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Prefixes as people write them: `10.0.0.0/8`, `fd00::/8`, or a single address.

use std::net::IpAddr;

use tidelock_wire::Prefix;

/// A text is no prefix.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PrefixError {
    /// It is something else.
    #[error("is no prefix: write it as 10.0.0.0/8 or fd00::/8")]
    Form,
    /// Its length is no number, or too large.
    #[error("has no length from 0 to {0}")]
    Length(u8),
    /// The address goes on behind the length.
    #[error("has bits behind its length: did you mean {0}?")]
    Bits(String),
}

/// Reads a prefix. One of IPv4 that is written as IPv6 is refused: the kernel shows such
/// addresses as IPv4, so that it would exempt nobody.
///
/// # Errors
/// When it is none.
pub fn parse_prefix(text: &str) -> Result<Prefix, PrefixError> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_| PrefixError::Form)?;
    let width = match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some() => return Err(PrefixError::Form),
        IpAddr::V6(_) => 128,
    };
    let length = match length {
        None => width,
        Some(text) => text
            .parse::<u8>()
            .ok()
            .filter(|length| *length <= width && !text.starts_with('+'))
            .ok_or(PrefixError::Length(width))?,
    };
    Prefix::new(address, length)
        .ok_or_else(|| PrefixError::Bits(format!("{}/{length}", masked(address, length))))
}

fn masked(address: IpAddr, length: u8) -> IpAddr {
    match address {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            std::net::Ipv4Addr::from_bits(ip.to_bits() & mask).into()
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
            std::net::Ipv6Addr::from_bits(ip.to_bits() & mask).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_read_strictly() {
        for (text, address, length) in [
            ("10.0.0.0/8", "10.0.0.0", 8),
            ("0.0.0.0/0", "0.0.0.0", 0),
            ("::/0", "::", 0),
            ("192.0.2.1", "192.0.2.1", 32),
            ("fd00::/8", "fd00::", 8),
            ("::1", "::1", 128),
        ] {
            let prefix = parse_prefix(text).unwrap();
            assert_eq!(
                prefix.address(),
                address.parse::<IpAddr>().unwrap(),
                "{text}"
            );
            assert_eq!(prefix.length(), length, "{text}");
        }
        let bits = |text: &str| PrefixError::Bits(text.into());
        for (text, error) in [
            ("10.0.0.1/8", bits("10.0.0.0/8")),
            ("fd00::1/64", bits("fd00::/64")),
            ("1.2.3.4/0", bits("0.0.0.0/0")),
            ("10.0.0.0/33", PrefixError::Length(32)),
            ("10.0.0.0/+8", PrefixError::Length(32)),
            ("::/", PrefixError::Length(128)),
            ("ten/8", PrefixError::Form),
            ("", PrefixError::Form),
            ("10.0.0/8", PrefixError::Form),
            ("::ffff:10.0.0.1", PrefixError::Form),
        ] {
            assert_eq!(parse_prefix(text), Err(error), "{text}");
        }
    }
}
