//! Which addresses files may be fetched from.
//!
//! A fetch is made by the agent's host on a stranger's word. What only that host can reach, its own services, its
//! neighbours, the metadata of its cloud, is therefore refused unless the operator allows it.
//!
//! Source: the special-purpose registries of IANA (RFC 6890 and its updates).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The addresses that may be spoken to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Addresses {
    /// Any: for a cluster of one's own.
    Any,
    /// Public ones and these.
    PublicAnd(Vec<AddressRange>),
}

impl Default for Addresses {
    fn default() -> Self {
        Self::PublicAnd(Vec::new())
    }
}

/// A range of addresses: `10.1.0.0/16`, `fd00::/8`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressRange {
    base: IpAddr,
    prefix: u8,
}

/// A text that is no range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no range of addresses; write such as 10.1.0.0/16, fd00::/8 or 127.0.0.1")]
pub struct InvalidRange(String);

impl FromStr for AddressRange {
    type Err = InvalidRange;

    fn from_str(text: &str) -> Result<Self, InvalidRange> {
        let refuse = || InvalidRange(text.chars().take(64).collect());
        let (base, prefix) = match text.split_once('/') {
            Some((base, prefix)) => (base, Some(prefix)),
            None => (text, None),
        };
        let base: IpAddr = base.parse().map_err(|_| refuse())?;
        let bits = if base.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(prefix) => prefix.parse().ok().filter(|prefix| *prefix <= bits).ok_or_else(refuse)?,
            None => bits,
        };
        Ok(Self { base, prefix })
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix)
    }
}

impl AddressRange {
    /// Whether the address is in the range.
    pub fn contains(&self, address: IpAddr) -> bool {
        let shift = |bits: u32| bits.saturating_sub(u32::from(self.prefix));
        match (self.base, address) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                let differ = base.to_bits() ^ address.to_bits();
                differ.checked_shr(shift(32)).unwrap_or(0) == 0
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                let differ = base.to_bits() ^ address.to_bits();
                differ.checked_shr(shift(128)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl Addresses {
    /// Whether `address` may be spoken to. Errors: what it is.
    pub(super) fn admit(&self, address: IpAddr) -> Result<(), &'static str> {
        let ranges = match self {
            Self::Any => return Ok(()),
            Self::PublicAnd(ranges) => ranges,
        };
        let address = inner(address);
        if ranges.iter().any(|range| range.contains(address)) {
            return Ok(());
        }
        match special(address) {
            Some(what) => Err(what),
            None if is_own(address) => Err("an address of this host"),
            None => Ok(()),
        }
    }
}

/// The IPv4 address that an IPv6 address stands for, where it is only a way to write or reach one.
fn inner(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let bytes = v6.octets();
    let v4 = |start: usize| {
        let mut four = [0; 4];
        four.copy_from_slice(&bytes[start..start + 4]);
        IpAddr::V4(Ipv4Addr::from(four))
    };
    match v6.segments() {
        // Mapped, translated (RFC 6052), 6to4.
        [0, 0, 0, 0, 0, 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => v4(12),
        [0x2002, ..] => v4(2),
        _ => address,
    }
}

/// What an address is that is nobody's in public.
fn special(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => special_v4(address),
        IpAddr::V6(address) => special_v6(address),
    }
}

fn special_v4(address: Ipv4Addr) -> Option<&'static str> {
    Some(match address.octets() {
        [0, ..] => "an unspecified address",
        [10, ..] | [192, 168, ..] | [172, 16..=31, ..] => "a private address",
        [100, 64..=127, ..] => "a carrier's shared address",
        [127, ..] => "a loopback address",
        [169, 254, ..] => "a link-local address",
        [192, 0, 0, _] | [192, 88, 99, _] => "an address of a protocol",
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => "an address of documentation",
        [198, 18..=19, ..] => "an address of benchmarks",
        [224..=239, ..] => "a multicast address",
        [240..=255, ..] => "a reserved address",
        _ => return None,
    })
}

fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    Some(match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => "a loopback address",
        [0, 0, 0, 0, 0, 0, ..] => "an unspecified address",
        [0x64, 0xff9b, ..] | [0x100, ..] => "a reserved address",
        // Tunnels, among them Teredo, whose far end is anyone's.
        [0x2001, 0..=0x1ff, ..] => "an address of a protocol",
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => "an address of documentation",
        [0xfc00..=0xfdff, ..] => "a private address",
        [0xfe80..=0xfeff, ..] => "a link-local address",
        [0xff00..=0xffff, ..] => "a multicast address",
        // All that was ever given out to anyone; the rest is reserved.
        [0x2000..=0x3fff, ..] => return None,
        _ => "a reserved address",
    })
}

/// Whether it is this host's own: the kernel would send to it from itself.
fn is_own(address: IpAddr) -> bool {
    let any: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let asked = UdpSocket::bind((any, 0)).and_then(|socket| {
        // Nothing is sent by this.
        socket.connect((address, 9))?;
        socket.local_addr()
    });
    asked.is_ok_and(|own| own.ip() == address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_this_host_can_reach_is_refused() {
        let table = [
            "127.0.0.1",
            "127.255.255.254",
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "192.0.0.1",
            "192.0.2.1",
            "198.18.0.1",
            "198.51.100.7",
            "203.0.113.7",
            "224.0.0.1",
            "255.255.255.255",
            "240.0.0.1",
            "192.88.99.1",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2002:c0a8:101::1",
            "2001::1",
            "2001:db8::1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "100::1",
            "4000::1",
        ];
        for address in table {
            let refused = Addresses::default().admit(address.parse().unwrap());
            assert!(refused.is_err(), "{address}");
        }
    }

    #[test]
    fn public_addresses_and_those_allowed_may_be_spoken_to() {
        for address in
            ["8.8.8.8", "172.32.0.1", "172.15.0.1", "100.128.0.1", "2606:4700::1", "::ffff:8.8.8.8"]
        {
            assert_eq!(Addresses::default().admit(address.parse().unwrap()), Ok(()), "{address}");
        }
        let allowed =
            Addresses::PublicAnd(vec!["127.0.0.0/8".parse().unwrap(), "fd12::/16".parse().unwrap()]);
        for (address, admitted) in [
            ("127.9.9.9", true),
            ("::ffff:127.0.0.1", true),
            ("fd12::5", true),
            ("fd13::5", false),
            ("10.0.0.1", false),
        ] {
            assert_eq!(allowed.admit(address.parse().unwrap()).is_ok(), admitted, "{address}");
        }
        assert_eq!(Addresses::Any.admit("127.0.0.1".parse().unwrap()), Ok(()));
    }

    #[test]
    fn a_range_is_an_address_and_a_number_of_bits() {
        let range: AddressRange = "10.1.0.0/16".parse().unwrap();
        assert!(
            range.contains("10.1.255.1".parse().unwrap()) && !range.contains("10.2.0.0".parse().unwrap())
        );
        let all: AddressRange = "0.0.0.0/0".parse().unwrap();
        assert!(all.contains("9.9.9.9".parse().unwrap()) && !all.contains("::1".parse().unwrap()));
        let one: AddressRange = "::1".parse().unwrap();
        assert_eq!((one.to_string().as_str(), one.contains("::2".parse().unwrap())), ("::1/128", false));
        for bad in ["", "10.0.0.0/33", "10.0.0/8", "::/129", "a/8", "10.0.0.0/", "10.0.0.0/-1"] {
            assert!(bad.parse::<AddressRange>().is_err(), "{bad}");
        }
    }
}
