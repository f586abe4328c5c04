//! Who is let in: how many sockets there are, of which kind and from where, and their caps.
//!
//! Bookkeeping only; [`Life`](crate::lifecycle::Life) keeps it under its lock.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use http::StatusCode;

/// Whom a socket counts for: an IPv4 address, or the 64 bits of an IPv6 network, since that is the
/// least that one customer gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Address {
    V4(Ipv4Addr),
    V6([u16; 4]),
}

impl Address {
    pub(crate) fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Address::V4(ip),
            IpAddr::V6(ip) => {
                let [a, b, c, d, ..] = ip.segments();
                Address::V6([a, b, c, d])
            }
        }
    }
}

/// The most there may be of something, in all and for each address. Each is explained at its
/// method of [`Builder`](crate::Builder).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cap {
    pub(crate) total: usize,
    pub(crate) per_address: usize,
}

/// What a server lets in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caps {
    pub(crate) handshakes: Cap,
    pub(crate) connections: Cap,
}

/// What a socket counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// It has not asked for an upgrade yet, or was refused one.
    Handshake,
    Connection,
    /// Turned away at once; it stays for as long as the answer may take to be read.
    Lingering,
    /// Turned away while too many linger already: gone with its first turn, counted nowhere.
    Outside,
}

/// The most that linger at one time. Beyond it an answer may get lost, which is better than that
/// turning clients away costs as much as serving them.
const MOST_LINGERING: usize = 1024;

/// How many sockets there are.
#[derive(Debug, Default)]
pub(crate) struct Census {
    pub(crate) handshakes: usize,
    pub(crate) connections: usize,
    lingering: usize,
    /// Only those who have something.
    shares: BTreeMap<Address, Share>,
    /// Handshakes that were refused, by status.
    refused: BTreeMap<u16, u64>,
}

/// What one address has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Share {
    handshakes: u32,
    connections: u32,
}

impl Share {
    fn of(&mut self, place: Place) -> Option<&mut u32> {
        match place {
            Place::Handshake => Some(&mut self.handshakes),
            Place::Connection => Some(&mut self.connections),
            Place::Lingering | Place::Outside => None,
        }
    }
}

impl Census {
    pub(crate) fn sockets(&self) -> usize {
        self.handshakes + self.connections + self.lingering
    }

    pub(crate) fn refused(&self) -> &BTreeMap<u16, u64> {
        &self.refused
    }

    pub(crate) fn note_refused(&mut self, status: StatusCode) {
        *self.refused.entry(status.as_u16()).or_default() += 1;
    }

    /// Whether one more would be too many: the status to refuse it with.
    pub(crate) fn check(
        &self,
        place: Place,
        address: Option<Address>,
        caps: &Caps,
    ) -> Result<(), StatusCode> {
        let (count, cap) = match place {
            Place::Handshake => (self.handshakes, caps.handshakes),
            Place::Connection => (self.connections, caps.connections),
            Place::Lingering => (self.lingering, Cap { total: MOST_LINGERING, per_address: 0 }),
            Place::Outside => return Ok(()),
        };
        if count >= cap.total {
            return Err(StatusCode::SERVICE_UNAVAILABLE);
        }
        let share = address.and_then(|address| self.shares.get(&address)).copied();
        let count = share.unwrap_or_default().of(place).copied();
        match count.is_some_and(|count| count as usize >= cap.per_address) {
            true => Err(StatusCode::TOO_MANY_REQUESTS),
            false => Ok(()),
        }
    }

    pub(crate) fn enter(&mut self, place: Place, address: Option<Address>) {
        if let Some(count) = self.count(place) {
            *count += 1;
        }
        if let Some(address) = address.filter(|_| Share::default().of(place).is_some())
            && let Some(count) = self.shares.entry(address).or_default().of(place)
        {
            *count += 1;
        }
    }

    /// Takes back an [`enter`](Self::enter) with the same arguments.
    pub(crate) fn leave(&mut self, place: Place, address: Option<Address>) {
        if let Some(count) = self.count(place) {
            *count -= 1;
        }
        if let Some(address) = address
            && let Some(share) = self.shares.get_mut(&address)
            && let Some(count) = share.of(place)
        {
            *count -= 1;
            if *share == Share::default() {
                self.shares.remove(&address);
            }
        }
    }

    fn count(&mut self, place: Place) -> Option<&mut usize> {
        match place {
            Place::Handshake => Some(&mut self.handshakes),
            Place::Connection => Some(&mut self.connections),
            Place::Lingering => Some(&mut self.lingering),
            Place::Outside => None,
        }
    }

    /// See [`Server::audit`](crate::Server::audit).
    #[cfg(feature = "audit")]
    pub(crate) fn audit(&self) -> Result<(), String> {
        if self.shares.values().any(|share| *share == Share::default()) {
            return Err("an address that has nothing is still counted".into());
        }
        let sum = |count: fn(&Share) -> u32| self.shares.values().map(count).sum::<u32>() as usize;
        for (what, parts, whole) in [
            ("handshakes", sum(|share| share.handshakes), self.handshakes),
            ("connections", sum(|share| share.connections), self.connections),
        ] {
            if parts > whole {
                return Err(format!("addresses have {parts} {what}, the server {whole}"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPS: Caps = Caps {
        handshakes: Cap { total: 3, per_address: 2 },
        connections: Cap { total: 3, per_address: 1 },
    };

    fn address(text: &str) -> Option<Address> {
        Some(Address::of(text.parse().unwrap()))
    }

    #[test]
    fn an_ipv6_network_counts_as_one_and_a_mapped_address_as_itself() {
        assert_eq!(address("2001:db8:1:2::7"), address("2001:db8:1:2:ffff::"));
        assert_ne!(address("2001:db8:1:2::7"), address("2001:db8:1:3::7"));
        assert_eq!(address("::ffff:10.0.0.1"), address("10.0.0.1"));
        assert_ne!(address("::ffff:10.0.0.1"), address("10.0.0.2"));
        assert_ne!(address("::1"), address("0.0.0.1"));
    }

    #[test]
    fn caps_hold_in_all_and_for_each_address() {
        let mut census = Census::default();
        let (one, two) = (address("1.1.1.1"), address("2.2.2.2"));
        let refused = |census: &Census, address| {
            census.check(Place::Handshake, address, &CAPS).err().map(|status| status.as_u16())
        };
        census.enter(Place::Handshake, one);
        assert_eq!(refused(&census, one), None);
        census.enter(Place::Handshake, one);
        assert_eq!((refused(&census, one), refused(&census, two)), (Some(429), None));
        census.enter(Place::Handshake, None);
        assert_eq!((refused(&census, two), refused(&census, None)), (Some(503), Some(503)));
        census.leave(Place::Handshake, one);
        assert_eq!((refused(&census, one), refused(&census, two)), (None, None));
        assert_eq!(census.check(Place::Connection, one, &CAPS), Ok(()));
    }

    #[test]
    fn nothing_is_left_of_who_has_gone() {
        let mut census = Census::default();
        let places = [Place::Handshake, Place::Connection, Place::Lingering, Place::Outside];
        let whos = [address("1.1.1.1"), address("::1"), None];
        let all = || whos.iter().flat_map(|who| places.map(|place| (place, *who)));
        all().for_each(|(place, who)| census.enter(place, who));
        assert_eq!((census.sockets(), census.shares.len()), (9, 2));
        all().for_each(|(place, who)| census.leave(place, who));
        assert_eq!((census.sockets(), census.shares.len()), (0, 0));
    }

    #[cfg(feature = "audit")]
    #[test]
    fn the_audit_sees_what_does_not_add_up() {
        let mut census = Census::default();
        assert_eq!(census.audit(), Ok(()));
        census.enter(Place::Connection, address("1.1.1.1"));
        assert_eq!(census.audit(), Ok(()));
        census.connections = 0;
        assert_eq!(census.audit().unwrap_err(), "addresses have 1 connections, the server 0");
        let mut census = Census::default();
        census.shares.insert(address("1.1.1.1").unwrap(), Share::default());
        assert!(census.audit().is_err());
    }
}
