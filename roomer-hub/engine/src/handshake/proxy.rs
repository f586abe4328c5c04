//! Trusted proxies, and the client's address in `X-Forwarded-For`.
//!
//! A proxy appends its peer's address to the header. All earlier entries were sent by that peer and
//! may be forged. The header is therefore used only if it comes from a trusted proxy, and is read
//! from its end: trusted addresses in it are further proxies, and the first address that is not
//! trusted is the client's.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;

/// The header in which proxies report addresses.
pub(crate) const HEADER: &str = "x-forwarded-for";

/// The trusted proxies; none by default.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proxies {
    networks: Vec<Network>,
    /// True if peers without an address are trusted, as on Unix sockets.
    unix: bool,
}

/// The length of the prefix of IPv4-mapped IPv6 addresses, `::ffff:0:0/96`.
const MAPPED_BITS: u32 = 96;

/// A network: the addresses whose first `bits` bits are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    bits: u32,
}

impl Proxies {
    /// Adds a proxy. Returns false if the text is not an address, a network or `unix`.
    pub(crate) fn trust(&mut self, text: &str) -> bool {
        if text == "unix" {
            self.unix = true;
            return true;
        }
        let network = Network::parse(text);
        self.networks.extend(network);
        network.is_some()
    }

    /// Returns the client's address, given the peer's address and the received headers.
    pub(crate) fn client(
        &self,
        peer: Option<SocketAddr>,
        headers: &HeaderMap,
    ) -> Option<SocketAddr> {
        let mut client = peer;
        // Several lines of a header form one list (RFC 9110 section 5.3).
        let values = headers.get_all(HEADER).iter().rev();
        let hops = values.flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b','));
        for hop in hops.map(<[u8]>::trim_ascii) {
            if !self.trusts(client) {
                break;
            }
            // A proxy may write `unknown` instead of an address. The entries before it cannot be
            // attributed to a proxy, so the search ends at the last known address.
            let Some(address) = std::str::from_utf8(hop).ok().and_then(parse_address) else {
                break;
            };
            client = Some(address);
        }
        client
    }

    /// Returns true if no proxy is trusted.
    pub(crate) fn is_empty(&self) -> bool {
        self.networks.is_empty() && !self.unix
    }

    /// Returns true if a proxy with an address is trusted.
    pub(crate) fn has_networks(&self) -> bool {
        !self.networks.is_empty()
    }

    /// Returns true if the peer is a trusted proxy, which forwards other clients' requests.
    pub(crate) fn trusts(&self, peer: Option<SocketAddr>) -> bool {
        match peer {
            Some(peer) => self.networks.iter().any(|network| network.contains(peer.ip())),
            None => self.unix,
        }
    }
}

impl Network {
    fn parse(text: &str) -> Option<Network> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let max = if address.is_ipv4() { 32 } else { 128 };
        let bits: u32 = bits.unwrap_or(max);
        if bits > max {
            return None;
        }
        match (address, address.to_canonical()) {
            // Addresses are compared in their canonical form, so a network of IPv4-mapped addresses
            // is stored as IPv4. With fewer than 96 bits, as in `::ffff:10.0.0.0/8`, the network
            // would also contain other IPv6 addresses.
            (IpAddr::V6(_), address @ IpAddr::V4(_)) => {
                Some(Network { address, bits: bits.checked_sub(MAPPED_BITS)? })
            }
            _ => Some(Network { address, bits }),
        }
    }

    /// Returns true if the network contains the address. An IPv4-mapped IPv6 address, as reported
    /// by a dual-stack listener, counts as IPv4.
    fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                // Compare without a mask, since a mask for a network of 0 bits would require a
                // shift by the full width.
                let differ = u32::from(own) ^ u32::from(other);
                differ.leading_zeros() >= self.bits
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let differ = u128::from(own) ^ u128::from(other);
                differ.leading_zeros() >= self.bits
            }
            _ => false,
        }
    }
}

/// Parses an address in the forms that proxies write: with or without a port and brackets.
fn parse_address(text: &str) -> Option<SocketAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    // Port 0 means that the port is unknown.
    let without_port = || bare.parse().ok().map(|ip: IpAddr| SocketAddr::new(ip, 0));
    text.parse().ok().or_else(without_port)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    /// Returns the client's address as text, with the port if that is known, or `-` if there is no
    /// address.
    fn client(trusted: &[&str], peer: &str, lines: &[&'static str]) -> String {
        let mut proxies = Proxies::default();
        assert!(trusted.iter().all(|text| proxies.trust(text)));
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(HEADER, HeaderValue::from_static(line));
        }
        let client = proxies.client(parse_address(peer), &headers);
        client.map_or("-".into(), |client| match client.port() {
            0 => client.ip().to_string(),
            _ => client.to_string(),
        })
    }

    #[test]
    fn no_proxy_is_trusted_by_default() {
        assert_eq!(client(&[], "10.0.0.1", &["1.2.3.4"]), "10.0.0.1");
        assert_eq!(client(&[], "", &["1.2.3.4"]), "-");
    }

    #[test]
    fn trusted_proxy_sets_client_address() {
        assert_eq!(client(&["10.0.0.1"], "10.0.0.1:99", &["1.2.3.4"]), "1.2.3.4");
        assert_eq!(client(&["10.0.0.1"], "10.0.0.1:99", &[]), "10.0.0.1:99");
        assert_eq!(client(&["::1"], "[::1]:99", &["2001:db8::7"]), "2001:db8::7");
        assert_eq!(client(&["unix"], "", &["1.2.3.4"]), "1.2.3.4");
    }

    #[test]
    fn header_of_untrusted_peer_is_ignored() {
        assert_eq!(client(&["10.0.0.1"], "10.0.0.2", &["1.2.3.4"]), "10.0.0.2");
        assert_eq!(client(&["unix"], "10.0.0.1", &["1.2.3.4"]), "10.0.0.1");
        assert_eq!(client(&["10.0.0.1"], "", &["1.2.3.4"]), "-");
    }

    #[test]
    fn forged_addresses_are_ignored() {
        // The client at 6.6.6.6 sent the first entry, and the proxy appended the client's address.
        let lines = ["1.2.3.4, 6.6.6.6"];
        assert_eq!(client(&["10.0.0.0/8"], "10.0.0.1", &lines), "6.6.6.6");
        let lines = ["1.2.3.4", "10.0.0.9, 6.6.6.6"];
        assert_eq!(client(&["10.0.0.0/8"], "10.0.0.1", &lines), "6.6.6.6");
        let lines = ["10.0.0.9,6.6.6.6", "10.0.0.2"];
        assert_eq!(client(&["10.0.0.0/8"], "10.0.0.1", &lines), "6.6.6.6");
    }

    #[test]
    fn chain_of_trusted_proxies_is_followed() {
        let trusted = ["10.0.0.0/8", "fd00::/8"];
        assert_eq!(client(&trusted, "10.0.0.1", &["1.2.3.4, fd00::3,10.0.0.2"]), "1.2.3.4");
        assert_eq!(client(&trusted, "10.0.0.1", &["1.2.3.4", "fd00::3", "10.0.0.2"]), "1.2.3.4");
        // All hops are trusted, so the request originates from within the network.
        assert_eq!(client(&trusted, "10.0.0.1", &["10.0.0.3, 10.0.0.2"]), "10.0.0.3");
    }

    #[test]
    fn invalid_entry_ends_search() {
        for line in ["unknown", "", "1.2.3.4, ", "1.2.3.4, for=me", "1.2.3.4, 300.1.1.1"] {
            assert_eq!(client(&["10.0.0.1"], "10.0.0.1", &[line]), "10.0.0.1", "{line}");
        }
    }

    #[test]
    fn address_formats_are_accepted() {
        for (text, canonical) in [
            ("1.2.3.4:567", "1.2.3.4:567"),
            (" 1.2.3.4\t", "1.2.3.4"),
            ("[2001:db8::7]:567", "[2001:db8::7]:567"),
            ("[2001:db8::7]", "2001:db8::7"),
        ] {
            assert_eq!(client(&["10.0.0.1"], "10.0.0.1", &[text]), canonical);
        }
        // A dual-stack listener reports IPv4 addresses as IPv4-mapped IPv6 addresses.
        assert_eq!(client(&["10.0.0.1"], "::ffff:10.0.0.1", &["1.2.3.4"]), "1.2.3.4");
    }

    #[test]
    fn network_is_address_and_prefix_length() {
        let contains = |network: &str, address: &str| {
            Network::parse(network).unwrap().contains(address.parse().unwrap())
        };
        assert!(contains("10.0.0.0/8", "10.255.255.255") && !contains("10.0.0.0/8", "11.0.0.0"));
        assert!(contains("10.0.0.7/31", "10.0.0.6") && !contains("10.0.0.7/32", "10.0.0.6"));
        assert!(contains("0.0.0.0/0", "1.2.3.4") && !contains("0.0.0.0/0", "::1"));
        assert!(contains("fd00::/8", "fdff::1") && !contains("fd00::/8", "fe00::"));
        assert!(contains("::ffff:10.0.0.0/104", "10.1.2.3"));
        assert!(contains("::ffff:10.0.0.0/104", "::ffff:10.1.2.3"));
        assert!(!contains("::ffff:10.0.0.0/104", "11.0.0.0"));
        assert!(contains("::ffff:10.0.0.1", "10.0.0.1") && !contains("::ffff:10.0.0.1", "::1"));
        assert_eq!(Network::parse("::ffff:10.0.0.0/8"), None);
        for text in ["", "10.0.0", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/-1", "proxy"] {
            assert_eq!(Network::parse(text), None, "{text}");
        }
    }
}
