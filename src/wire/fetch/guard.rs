//! Where a service may be: names of hosts → addresses, without those that no registry and no issuer of tokens has.
//!
//! The address of a service comes from the configuration alone, redirects are not followed, and no proxy of the
//! environment is used. Against a name that leads elsewhere than the operator thought (a cloud's metadata service gives
//! credentials to whoever asks) the addresses are looked at when they are resolved, at each connection.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ureq::{
    Error,
    config::Config,
    http::Uri,
    unversioned::{
        resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver},
        transport::NextTimeout,
    },
};

/// Resolves as the system does, and refuses what [`is_forbidden`].
#[derive(Debug, Default)]
pub(super) struct Guard(DefaultResolver);

impl Resolver for Guard {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let resolved = self.0.resolve(uri, config, timeout)?;
        match resolved.iter().find(|address| is_forbidden(address.ip())) {
            None => Ok(resolved),
            Some(_) => Err(Error::Io(std::io::Error::new(std::io::ErrorKind::PermissionDenied, FORBIDDEN))),
        }
    }
}

pub(super) const FORBIDDEN: &str =
    "its name leads to an address that no service has (link-local, multicast or unspecified)";

/// Whether no service is at an address: link-local, where clouds have their metadata services, multicast, broadcast,
/// unspecified, and the metadata services that are elsewhere. Loopback and private addresses are where registries
/// and issuers are.
fn is_forbidden(address: IpAddr) -> bool {
    /// Metadata services in the range of private addresses: of Amazon's cloud and of Google's.
    const METADATA: [Ipv6Addr; 2] =
        [Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)];
    /// Those outside of IPv4's link-local range: of Alibaba's cloud, of Azure and of Oracle's.
    const METADATA_V4: [Ipv4Addr; 3] =
        [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(168, 63, 129, 16), Ipv4Addr::new(192, 0, 0, 192)];
    match address {
        IpAddr::V4(address) => {
            address.is_link_local()
                || address.is_multicast()
                || address.is_broadcast()
                || address.is_unspecified()
                || METADATA_V4.contains(&address)
        }
        IpAddr::V6(address) => match inner(address) {
            Some(inner) => is_forbidden(IpAddr::V4(inner)),
            None => {
                address.is_unicast_link_local()
                    || address.is_multicast()
                    || address.is_unspecified()
                    || METADATA.contains(&address)
            }
        },
    }
}

/// The address of IPv4 that one of IPv6 leads to: mapped (`::ffff:0:0/96`), compatible (`::/96`), translated
/// (`64:ff9b::/96`, RFC 6052) or tunnelled (`2002::/16`, RFC 3056).
fn inner(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let part = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Some(Ipv4Addr::new(a, b, c, d))
    };
    match address.segments() {
        // Loopback and unspecified are addresses of their own.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => part(high, low),
        [0x2002, high, low, ..] => part(high, low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_no_service_has_are_refused() {
        for address in [
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
            "fe80::1",
            "0.0.0.0",
            "::",
            "224.0.0.1",
            "255.255.255.255",
            "ff02::1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "100.100.100.200",
            "168.63.129.16",
            "::ffff:168.63.129.16",
            "192.0.0.192",
        ] {
            assert!(is_forbidden(address.parse().expect("an address")), "{address}");
        }
        for address in ["127.0.0.1", "::1", "10.1.2.3", "192.168.1.1", "203.0.113.7", "2001:db8::1", "fd00::1"] {
            assert!(!is_forbidden(address.parse().expect("an address")), "{address}");
        }
    }
}
