//! The compact form in which each connection stores its client's address.

use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::sync::Arc;

/// An address in half the size of an `Option<SocketAddr>`. An IPv6 address is allocated, and shared
/// by the two places per connection that store the address.
#[derive(Clone, Debug, Default)]
pub(crate) enum PeerAddress {
    #[default]
    Unknown,
    V4(SocketAddrV4),
    V6(Arc<SocketAddrV6>),
}

impl PeerAddress {
    pub(crate) fn get(&self) -> Option<SocketAddr> {
        match self {
            PeerAddress::Unknown => None,
            PeerAddress::V4(address) => Some(SocketAddr::V4(*address)),
            PeerAddress::V6(address) => Some(SocketAddr::V6(**address)),
        }
    }
}

/// Returns the address as IPv4 if it is an IPv4-mapped IPv6 address, as a dual-stack listener reports
/// it. Applications compare addresses, and write them to their logs, in the form that users know.
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        ip @ IpAddr::V4(_) => SocketAddr::new(ip, address.port()),
        // Keep the scope id.
        IpAddr::V6(_) => address,
    }
}

impl From<Option<SocketAddr>> for PeerAddress {
    fn from(address: Option<SocketAddr>) -> Self {
        match address.map(canonical) {
            None => PeerAddress::Unknown,
            Some(SocketAddr::V4(address)) => PeerAddress::V4(address),
            Some(SocketAddr::V6(address)) => PeerAddress::V6(Arc::new(address)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_is_unchanged() {
        assert_eq!(PeerAddress::default().get(), None);
        for text in ["192.0.2.1:80", "[2001:db8::1]:443", "[fe80::1%3]:1"] {
            let address = text.parse().ok();
            assert!(address.is_some());
            assert_eq!(PeerAddress::from(address).get(), address);
        }
    }

    #[test]
    fn ipv4_mapped_address_becomes_ipv4() {
        let mapped = "[::ffff:192.0.2.1]:80".parse().ok();
        assert_eq!(PeerAddress::from(mapped).get(), "192.0.2.1:80".parse().ok());
    }
}
