//! Who a client is when a proxy stands before the server.
//!
//! A proxy adds the address that it was called from to the end of `X-Forwarded-For`; everything
//! before that is whatever the caller sent, and may be forged. So the header counts only from a
//! proxy that is trusted, and is read from its end for as long as those named there are trusted
//! too: the first who is not is the client.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;

/// What proxies write.
pub(crate) const HEADER: &str = "x-forwarded-for";

/// The proxies to believe; by default none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proxies {
    networks: Vec<Network>,
    /// Whoever comes without an address: over a Unix socket.
    unix: bool,
}

/// The addresses that share so many first bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    bits: u32,
}

impl Proxies {
    /// Believes one more. False when it is no address or network.
    pub(crate) fn trust(&mut self, text: &str) -> bool {
        if text == "unix" {
            self.unix = true;
            return true;
        }
        let network = Network::parse(text);
        self.networks.extend(network);
        network.is_some()
    }

    /// The client's address, by that of whoever is connected and the headers that it sent.
    pub(crate) fn client(
        &self,
        peer: Option<SocketAddr>,
        headers: &HeaderMap,
    ) -> Option<SocketAddr> {
        let mut client = peer;
        let values = headers.get_all(HEADER).iter().rev();
        let hops = values.flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b','));
        for hop in hops.map(<[u8]>::trim_ascii) {
            if !self.trusts(client) {
                break;
            }
            // What a trusted proxy wrote and is no address tells nothing of those before it.
            let Some(address) = std::str::from_utf8(hop).ok().and_then(address) else { break };
            client = Some(address);
        }
        client
    }

    /// Whether there is no proxy to believe.
    pub(crate) fn is_empty(&self) -> bool {
        self.networks.is_empty() && !self.unix
    }

    /// Whether there is a proxy to believe that has an address.
    pub(crate) fn has_networks(&self) -> bool {
        !self.networks.is_empty()
    }

    /// Whether what comes from this address is somebody else's word.
    pub(crate) fn trusts(&self, peer: Option<SocketAddr>) -> bool {
        match peer {
            Some(peer) => self.networks.iter().any(|network| network.has(peer.ip())),
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
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(most);
        (bits <= most).then_some(Network { address, bits })
    }

    /// An IPv4 address counts as itself where a listener for both kinds has mapped it into IPv6.
    fn has(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
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

/// An address as proxies write it: with a port or without, in brackets or not.
fn address(text: &str) -> Option<SocketAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let without_port = || bare.parse().ok().map(|ip: IpAddr| SocketAddr::new(ip, 0));
    text.parse().ok().or_else(without_port)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    /// Who the client is, as text; the port only where there is one.
    fn client(trusted: &[&str], peer: &str, lines: &[&'static str]) -> String {
        let mut proxies = Proxies::default();
        assert!(trusted.iter().all(|text| proxies.trust(text)));
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(HEADER, HeaderValue::from_static(line));
        }
        let client = proxies.client(address(peer), &headers);
        client.map_or("nobody".into(), |client| match client.port() {
            0 => client.ip().to_string(),
            _ => client.to_string(),
        })
    }

    #[test]
    fn by_default_nobody_is_believed() {
        assert_eq!(client(&[], "10.0.0.1", &["1.2.3.4"]), "10.0.0.1");
        assert_eq!(client(&[], "", &["1.2.3.4"]), "nobody");
    }

    #[test]
    fn a_trusted_proxy_names_its_client() {
        assert_eq!(client(&["10.0.0.1"], "10.0.0.1:99", &["1.2.3.4"]), "1.2.3.4");
        assert_eq!(client(&["10.0.0.1"], "10.0.0.1:99", &[]), "10.0.0.1:99");
        assert_eq!(client(&["::1"], "[::1]:99", &["2001:db8::7"]), "2001:db8::7");
        assert_eq!(client(&["unix"], "", &["1.2.3.4"]), "1.2.3.4");
    }

    #[test]
    fn who_is_no_proxy_cannot_say_who_it_is() {
        assert_eq!(client(&["10.0.0.1"], "10.0.0.2", &["1.2.3.4"]), "10.0.0.2");
        assert_eq!(client(&["unix"], "10.0.0.1", &["1.2.3.4"]), "10.0.0.1");
        assert_eq!(client(&["10.0.0.1"], "", &["1.2.3.4"]), "nobody");
    }

    #[test]
    fn what_a_client_claims_of_itself_is_not_believed() {
        // The client at 6.6.6.6 sent everything before that; the proxy added it.
        let lines = ["1.2.3.4, 6.6.6.6"];
        assert_eq!(client(&["10.0.0.0/8"], "10.0.0.1", &lines), "6.6.6.6");
        let lines = ["1.2.3.4", "10.0.0.9, 6.6.6.6"];
        assert_eq!(client(&["10.0.0.0/8"], "10.0.0.1", &lines), "6.6.6.6");
        let lines = ["10.0.0.9,6.6.6.6", "10.0.0.2"];
        assert_eq!(client(&["10.0.0.0/8"], "10.0.0.1", &lines), "6.6.6.6");
    }

    #[test]
    fn a_chain_of_trusted_proxies_is_followed_to_its_start() {
        let trusted = ["10.0.0.0/8", "fd00::/8"];
        assert_eq!(client(&trusted, "10.0.0.1", &["1.2.3.4, fd00::3,10.0.0.2"]), "1.2.3.4");
        assert_eq!(client(&trusted, "10.0.0.1", &["1.2.3.4", "fd00::3", "10.0.0.2"]), "1.2.3.4");
        // Nobody outside took part.
        assert_eq!(client(&trusted, "10.0.0.1", &["10.0.0.3, 10.0.0.2"]), "10.0.0.3");
    }

    #[test]
    fn what_is_no_address_ends_the_search() {
        for line in ["unknown", "", "1.2.3.4, ", "1.2.3.4, for=me", "1.2.3.4, 300.1.1.1"] {
            assert_eq!(client(&["10.0.0.1"], "10.0.0.1", &[line]), "10.0.0.1", "{line}");
        }
    }

    #[test]
    fn addresses_are_written_in_several_ways() {
        for (text, canonical) in [
            ("1.2.3.4:567", "1.2.3.4:567"),
            (" 1.2.3.4\t", "1.2.3.4"),
            ("[2001:db8::7]:567", "[2001:db8::7]:567"),
            ("[2001:db8::7]", "2001:db8::7"),
        ] {
            assert_eq!(client(&["10.0.0.1"], "10.0.0.1", &[text]), canonical);
        }
        // A listener for both kinds of addresses.
        assert_eq!(client(&["10.0.0.1"], "::ffff:10.0.0.1", &["1.2.3.4"]), "1.2.3.4");
    }

    #[test]
    fn a_network_is_an_address_and_a_number_of_bits() {
        let has = |network: &str, address: &str| {
            Network::parse(network).unwrap().has(address.parse().unwrap())
        };
        assert!(has("10.0.0.0/8", "10.255.255.255") && !has("10.0.0.0/8", "11.0.0.0"));
        assert!(has("10.0.0.7/31", "10.0.0.6") && !has("10.0.0.7/32", "10.0.0.6"));
        assert!(has("0.0.0.0/0", "1.2.3.4") && !has("0.0.0.0/0", "::1"));
        assert!(has("fd00::/8", "fdff::1") && !has("fd00::/8", "fe00::"));
        for text in ["", "10.0.0", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/-1", "proxy"] {
            assert_eq!(Network::parse(text), None, "{text}");
        }
    }
}
