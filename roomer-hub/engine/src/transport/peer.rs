//! The compact form in which each connection stores its client's address.

use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
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

impl From<Option<SocketAddr>> for PeerAddress {
    fn from(address: Option<SocketAddr>) -> Self {
        match address {
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
}
