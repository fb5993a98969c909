//! Which addresses a request may go to: not to this machine, nor to what a cloud tells only the
//! machine itself, unless whoever runs the worker allows it.

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

/// A range of addresses: `10.0.0.0/8`, `fd00::/8`, `127.0.0.1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Net {
    address: IpAddr,
    prefix: u8,
}

impl std::str::FromStr for Net {
    type Err = String;

    fn from_str(text: &str) -> Result<Net, String> {
        let wrong = || format!("`{text}` is not an address or a range such as 10.0.0.0/8");
        let (address, prefix) = text.split_once('/').unwrap_or((text, ""));
        let address: IpAddr = address.trim().parse().map_err(|_| wrong())?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            "" => longest,
            digits => digits.trim().parse().map_err(|_| wrong())?,
        };
        if prefix > longest {
            return Err(wrong());
        }
        Ok(Net { address, prefix })
    }
}

impl Net {
    fn holds(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(net), IpAddr::V4(one)) => {
                same_start(net.to_bits().into(), one.to_bits().into(), 32, self.prefix)
            }
            (IpAddr::V6(net), IpAddr::V6(one)) => {
                same_start(net.to_bits(), one.to_bits(), 128, self.prefix)
            }
            _ => false,
        }
    }
}

fn same_start(one: u128, other: u128, bits: u8, prefix: u8) -> bool {
    let rest = bits - prefix.min(bits);
    rest >= 128 || (one >> rest) == (other >> rest)
}

/// The ranges that are allowed though they are closed by default.
#[derive(Clone, Debug, Default)]
pub struct Allowed(Arc<[Net]>);

impl Allowed {
    /// These ranges.
    pub fn new(nets: Vec<Net>) -> Allowed {
        Allowed(nets.into())
    }

    /// Ranges with commas between them, as they stand in an environment.
    ///
    /// # Errors
    /// The first that is none.
    pub fn parse(text: &str) -> Result<Allowed, String> {
        let parts = text.split(',').map(str::trim);
        let nets = parts.filter(|part| !part.is_empty()).map(str::parse);
        Ok(Allowed::new(nets.collect::<Result<Vec<Net>, String>>()?))
    }

    /// May a request go there?
    ///
    /// # Errors
    /// One sentence that says why not, and who can change it.
    pub(crate) fn check(&self, address: IpAddr) -> Result<(), String> {
        let plain = unwrapped(address);
        let is_open = |net: &Net| net.holds(address) || net.holds(plain);
        match closed_by_default(plain) {
            Some(why) if !self.0.iter().any(is_open) => Err(format!(
                "requests to {address} are not allowed: it is {why} (whoever runs the worker can allow it in TIDEMILL_HTTP_ALLOW)"
            )),
            Some(_) | None => Ok(()),
        }
    }
}

/// The IPv4 address inside an IPv6 one that only wraps it: mapped, compatible, NAT64, 6to4.
fn unwrapped(address: IpAddr) -> IpAddr {
    let IpAddr::V6(six) = address else {
        return address;
    };
    let parts = six.segments();
    let four = |high: u16, low: u16| {
        IpAddr::V4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
    };
    match parts {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            four(high, low)
        }
        [0x64, 0xff9b, 1, _, _, _, high, low] => four(high, low),
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => four(high, low),
        [0, 0, 0, 0, 0xffff, 0, high, low] => four(high, low),
        [0x2002, high, low, ..] => four(high, low),
        _ => address,
    }
}

/// Why nobody should be sent there unasked.
fn closed_by_default(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(four) => {
            let [first, second, ..] = four.octets();
            match (first, second) {
                (127, _) => Some("this machine"),
                (0, _) => Some("no address of another machine"),
                (169, 254) => Some("link-local, where clouds keep credentials"),
                (100, 100) if four == Ipv4Addr::new(100, 100, 100, 200) => {
                    Some("where a cloud keeps credentials")
                }
                (224.., _) => Some("no single machine"),
                _ => None,
            }
        }
        IpAddr::V6(six) => {
            let metadata = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
            if six.is_loopback() {
                Some("this machine")
            } else if six.is_unspecified() {
                Some("no address of another machine")
            } else if six.segments()[0] & 0xffc0 == 0xfe80 {
                Some("link-local")
            } else if six == metadata {
                Some("where a cloud keeps credentials")
            } else if six.segments()[0] & 0xff00 == 0xff00 {
                Some("no single machine")
            } else {
                None
            }
        }
    }
}

/// Looks names up once; only allowed addresses come out, and the connection goes to one of them.
pub(super) struct GuardedNames(pub Allowed);

impl Resolve for GuardedNames {
    fn resolve(&self, name: Name) -> Resolving {
        let allowed = self.0.clone();
        Box::pin(async move {
            let found: Vec<SocketAddr> =
                tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let mut refused = None;
            let mut open = Vec::new();
            for address in found {
                match allowed.check(address.ip()) {
                    Ok(()) => open.push(address),
                    Err(why) => refused = Some(why),
                }
            }
            match refused {
                // A name with both kinds is a trick, or will be one.
                Some(why) => Err(Refused(why).into()),
                None => Ok(Box::new(open.into_iter()) as Addrs),
            }
        })
    }
}

/// A name that leads where no request may go.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Refused(pub String);

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn this_machine_and_what_clouds_keep_are_closed_in_every_spelling() {
        let allowed = Allowed::default();
        for closed in [
            "127.0.0.1",
            "127.8.9.1",
            "0.0.0.0",
            "169.254.169.254",
            "100.100.100.200",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "64:ff9b::169.254.169.254",
            "2002:a9fe:a9fe::1",
            "fe80::1",
            "fd00:ec2::254",
            "ff02::1",
        ] {
            let address: IpAddr = closed.parse().unwrap();
            assert!(allowed.check(address).is_err(), "{closed}");
        }
        for open in ["93.184.216.34", "10.1.2.3", "192.168.0.1", "2606:2800::1"] {
            let address: IpAddr = open.parse().unwrap();
            assert_eq!(allowed.check(address), Ok(()), "{open}");
        }
    }

    #[test]
    fn a_range_opens_what_it_holds_and_nothing_else() {
        let allowed = Allowed::parse("127.0.0.0/30, ::1").unwrap();
        for (address, is_open) in [
            ("127.0.0.3", true),
            ("127.0.0.4", false),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("169.254.169.254", false),
        ] {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(allowed.check(address).is_ok(), is_open, "{address}");
        }
        assert!(
            Allowed::parse("0.0.0.0/0")
                .unwrap()
                .check("169.254.1.1".parse().unwrap())
                .is_ok()
        );
        assert!(Allowed::parse("10.0.0.0/33").is_err());
        assert!(Allowed::parse("localhost").is_err());
    }
}
