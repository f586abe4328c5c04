//! Admission: counts of sockets by kind and by address, and their limits.
//!
//! This module contains only counters, which [`Lifecycle`](crate::lifecycle::Lifecycle) keeps under
//! its lock.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use http::StatusCode;

/// The address for which a socket is counted: an IPv4 address, or the /64 prefix of an IPv6
/// address, since a customer usually gets at least a /64 network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Address {
    V4(Ipv4Addr),
    V6([u16; 4]),
}

impl Address {
    pub(crate) fn of(ip: IpAddr) -> Self {
        // A dual-stack listener reports IPv4 addresses as IPv4-mapped IPv6 addresses.
        match ip.to_canonical() {
            IpAddr::V4(ip) => Address::V4(ip),
            IpAddr::V6(ip) => {
                let [a, b, c, d, ..] = ip.segments();
                Address::V6([a, b, c, d])
            }
        }
    }
}

/// The maximum number of sockets of one kind, in total and per address. Each limit is documented at
/// its [`Builder`](crate::Builder) method.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AdmissionLimit {
    pub(crate) total: usize,
    pub(crate) per_address: usize,
}

/// A server's limits, by socket kind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AdmissionLimits {
    pub(crate) handshakes: AdmissionLimit,
    pub(crate) connections: AdmissionLimit,
}

/// The kind under which a socket is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SocketKind {
    /// A socket that has not requested the upgrade yet, or whose request was rejected.
    Handshake,
    Connection,
    /// A socket rejected before its request was read, and open while the client may still read the
    /// response.
    Lingering,
    /// A session without a socket, which does not count towards the socket limits.
    Detached,
    /// A socket rejected while too many sockets are lingering, which is closed at its first poll, or
    /// a tunnel that only carries a close. Not counted.
    Outside,
}

/// The maximum number of lingering sockets. Above it, a response may be lost: rejecting clients
/// must never cost as much as serving them.
const MAX_LINGERING: usize = 1024;

/// The numbers of sockets that the process's limit on open descriptors allows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DescriptorLimit {
    /// Below this number of sockets, a new socket is served.
    pub(crate) served: usize,
    /// Below this number of sockets, a new socket that is rejected receives a response.
    pub(crate) lingering: usize,
}

/// The reason why a socket is rejected before its request is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EarlyRejection {
    /// The process's limit on open descriptors permits only this number of sockets.
    Descriptors(usize),
    /// A limit on handshakes is reached; the status to send.
    Full(StatusCode),
}

impl EarlyRejection {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            EarlyRejection::Descriptors(_) => StatusCode::SERVICE_UNAVAILABLE,
            EarlyRejection::Full(status) => status,
        }
    }
}

/// The number of sockets of each kind.
#[derive(Debug, Default)]
pub(crate) struct SocketCounts {
    pub(crate) descriptors: Option<DescriptorLimit>,
    pub(crate) handshakes: usize,
    pub(crate) connections: usize,
    lingering: usize,
    detached: usize,
    /// Addresses with at least one socket.
    by_address: BTreeMap<Address, PerAddress>,
    /// Rejected handshakes, by status.
    rejected: BTreeMap<u16, u64>,
}

/// The old socket of a session that a new socket resumes, if the old socket still appears to be
/// open. It is not counted when the limits for the new socket are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Replaced {
    pub(crate) address: Option<Address>,
}

/// The number of sockets per kind at one address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct PerAddress {
    handshakes: u32,
    connections: u32,
}

impl PerAddress {
    fn count(&mut self, kind: SocketKind) -> Option<&mut u32> {
        match kind {
            SocketKind::Handshake => Some(&mut self.handshakes),
            SocketKind::Connection => Some(&mut self.connections),
            SocketKind::Lingering | SocketKind::Detached | SocketKind::Outside => None,
        }
    }
}

impl SocketCounts {
    pub(crate) fn sockets(&self) -> usize {
        self.handshakes + self.connections + self.lingering
    }

    /// Returns the number of connection tasks: one for each socket, and one for each session
    /// without a socket.
    pub(crate) fn tasks(&self) -> usize {
        self.sockets() + self.detached
    }

    /// Returns the number of connections that a drain must end.
    pub(crate) fn to_drain(&self) -> usize {
        self.connections + self.detached
    }

    pub(crate) fn rejected(&self) -> &BTreeMap<u16, u64> {
        &self.rejected
    }

    pub(crate) fn record_rejected(&mut self, status: StatusCode) {
        *self.rejected.entry(status.as_u16()).or_default() += 1;
    }

    /// Checks whether a socket that was just accepted may be served, or kept for the response of
    /// its rejection. Later checks ignore the limit on descriptors, since the socket has one.
    pub(crate) fn check_accepted(
        &self,
        kind: SocketKind,
        address: Option<Address>,
        admission: &AdmissionLimits,
    ) -> Result<(), EarlyRejection> {
        let most = self.descriptors.map(|limit| match kind {
            SocketKind::Lingering => limit.lingering,
            _ => limit.served,
        });
        if let Some(most) = most.filter(|most| self.sockets() >= *most) {
            return Err(EarlyRejection::Descriptors(most));
        }
        self.check(kind, address, admission, None).map_err(EarlyRejection::Full)
    }

    /// Returns the status with which to reject a further socket, if the socket would exceed a
    /// limit of the options. `replaced` is a socket that ends when the new one is admitted.
    pub(crate) fn check(
        &self,
        kind: SocketKind,
        address: Option<Address>,
        admission: &AdmissionLimits,
        replaced: Option<Replaced>,
    ) -> Result<(), StatusCode> {
        let (count, limit) = match kind {
            SocketKind::Handshake => (self.handshakes, admission.handshakes),
            SocketKind::Connection => (self.connections, admission.connections),
            SocketKind::Lingering => {
                // There is no limit per address, since lingering sockets are not counted by
                // address.
                (self.lingering, AdmissionLimit { total: MAX_LINGERING, per_address: 0 })
            }
            SocketKind::Detached | SocketKind::Outside => return Ok(()),
        };
        // The replaced connection is still counted until the new one is admitted.
        if count >= limit.total.saturating_add(usize::from(replaced.is_some())) {
            return Err(StatusCode::SERVICE_UNAVAILABLE);
        }
        let own = address.and_then(|address| self.by_address.get(&address)).copied();
        let count = own.unwrap_or_default().count(kind).copied();
        let replaces_own = replaced.is_some_and(|replaced| replaced.address == address);
        let per_address = limit.per_address.saturating_add(usize::from(replaces_own));
        // Another server may accept a client that a full server has rejected (503), but should not
        // be asked to accept one whose address is at its limit (429).
        match count.is_some_and(|count| count as usize >= per_address) {
            true => Err(StatusCode::TOO_MANY_REQUESTS),
            false => Ok(()),
        }
    }

    pub(crate) fn enter(&mut self, kind: SocketKind, address: Option<Address>) {
        if let Some(count) = self.count(kind) {
            *count += 1;
        }
        // A kind without a limit per address needs no entry in the map.
        if let Some(address) = address.filter(|_| PerAddress::default().count(kind).is_some())
            && let Some(count) = self.by_address.entry(address).or_default().count(kind)
        {
            *count += 1;
        }
    }

    /// Reverts [`enter`](Self::enter) with the same arguments.
    pub(crate) fn leave(&mut self, kind: SocketKind, address: Option<Address>) {
        if let Some(count) = self.count(kind) {
            *count -= 1;
        }
        if let Some(address) = address
            && let Some(own) = self.by_address.get_mut(&address)
            && let Some(count) = own.count(kind)
        {
            *count -= 1;
            // Remove an empty entry, since the map would otherwise keep every address that ever
            // connected.
            if *own == PerAddress::default() {
                self.by_address.remove(&address);
            }
        }
    }

    fn count(&mut self, kind: SocketKind) -> Option<&mut usize> {
        match kind {
            SocketKind::Handshake => Some(&mut self.handshakes),
            SocketKind::Connection => Some(&mut self.connections),
            SocketKind::Lingering => Some(&mut self.lingering),
            SocketKind::Detached => Some(&mut self.detached),
            SocketKind::Outside => None,
        }
    }

    /// Checks that the counts agree; see [`Server::audit`](crate::Server::audit).
    #[cfg(feature = "audit")]
    pub(crate) fn audit(&self) -> Result<(), String> {
        if self.by_address.values().any(|own| *own == PerAddress::default()) {
            return Err("an address without sockets is still counted".into());
        }
        let sum = |count: fn(&PerAddress) -> u32| {
            self.by_address.values().map(count).sum::<u32>() as usize
        };
        for (kind, parts, total) in [
            ("handshakes", sum(|own| own.handshakes), self.handshakes),
            ("connections", sum(|own| own.connections), self.connections),
        ] {
            if parts > total {
                return Err(format!("addresses have {parts} {kind}, the server {total}"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: AdmissionLimits = AdmissionLimits {
        handshakes: AdmissionLimit { total: 3, per_address: 2 },
        connections: AdmissionLimit { total: 3, per_address: 1 },
    };

    fn address(text: &str) -> Option<Address> {
        Some(Address::of(text.parse().unwrap()))
    }

    #[test]
    fn ipv6_network_counts_as_one_address() {
        assert_eq!(address("2001:db8:1:2::7"), address("2001:db8:1:2:ffff::"));
        assert_ne!(address("2001:db8:1:2::7"), address("2001:db8:1:3::7"));
        assert_eq!(address("::ffff:10.0.0.1"), address("10.0.0.1"));
        assert_ne!(address("::ffff:10.0.0.1"), address("10.0.0.2"));
        assert_ne!(address("::1"), address("0.0.0.1"));
    }

    #[test]
    fn limits_apply_in_total_and_per_address() {
        let mut counts = SocketCounts::default();
        let (one, two) = (address("1.1.1.1"), address("2.2.2.2"));
        let status = |counts: &SocketCounts, address| {
            counts
                .check(SocketKind::Handshake, address, &LIMITS, None)
                .err()
                .map(|status| status.as_u16())
        };
        counts.enter(SocketKind::Handshake, one);
        assert_eq!(status(&counts, one), None);
        counts.enter(SocketKind::Handshake, one);
        assert_eq!((status(&counts, one), status(&counts, two)), (Some(429), None));
        counts.enter(SocketKind::Handshake, None);
        assert_eq!((status(&counts, two), status(&counts, None)), (Some(503), Some(503)));
        counts.leave(SocketKind::Handshake, one);
        assert_eq!((status(&counts, one), status(&counts, two)), (None, None));
        assert_eq!(counts.check(SocketKind::Connection, one, &LIMITS, None), Ok(()));
    }

    #[test]
    fn all_socket_kinds_share_descriptor_limit() {
        let descriptors = Some(DescriptorLimit { served: 2, lingering: 3 });
        let mut counts = SocketCounts { descriptors, ..SocketCounts::default() };
        let check = |counts: &SocketCounts, kind| counts.check_accepted(kind, None, &LIMITS);
        counts.enter(SocketKind::Connection, None);
        counts.enter(SocketKind::Detached, None);
        assert_eq!(check(&counts, SocketKind::Handshake), Ok(()));
        counts.enter(SocketKind::Handshake, None);
        let reached = |most| Err(EarlyRejection::Descriptors(most));
        assert_eq!(check(&counts, SocketKind::Handshake), reached(2));
        assert_eq!(check(&counts, SocketKind::Lingering), Ok(()));
        counts.enter(SocketKind::Lingering, None);
        assert_eq!(check(&counts, SocketKind::Lingering), reached(3));
    }

    #[test]
    fn replaced_socket_frees_slot_for_its_successor_only() {
        let mut counts = SocketCounts::default();
        let [one, two, three, four] = ["1.1.1.1", "2.2.2.2", "3.3.3.3", "4.4.4.4"].map(address);
        let status = |counts: &SocketCounts, to, replaced| {
            let replaced = Some(Replaced { address: replaced });
            let checked = counts.check(SocketKind::Connection, to, &LIMITS, replaced);
            checked.err().map(|status| status.as_u16())
        };
        counts.enter(SocketKind::Connection, one);
        counts.enter(SocketKind::Connection, two);
        assert_eq!(status(&counts, one, one), None);
        assert_eq!(status(&counts, one, two), Some(429), "another address is at its limit");
        counts.enter(SocketKind::Connection, three);
        assert_eq!((status(&counts, one, one), status(&counts, four, one)), (None, None));
        // The new connection is counted, although the replaced connection has not left yet.
        counts.enter(SocketKind::Connection, one);
        assert_eq!(status(&counts, one, one), Some(503));
    }

    #[test]
    fn counts_return_to_zero_without_sockets() {
        let mut counts = SocketCounts::default();
        let kinds = [
            SocketKind::Handshake,
            SocketKind::Connection,
            SocketKind::Lingering,
            SocketKind::Outside,
        ];
        let addresses = [address("1.1.1.1"), address("::1"), None];
        let all = || addresses.iter().flat_map(|address| kinds.map(|kind| (kind, *address)));
        all().for_each(|(kind, address)| counts.enter(kind, address));
        assert_eq!((counts.sockets(), counts.by_address.len()), (9, 2));
        all().for_each(|(kind, address)| counts.leave(kind, address));
        assert_eq!((counts.sockets(), counts.by_address.len()), (0, 0));
    }

    #[cfg(feature = "audit")]
    #[test]
    fn audit_detects_inconsistent_counts() {
        let mut counts = SocketCounts::default();
        assert_eq!(counts.audit(), Ok(()));
        counts.enter(SocketKind::Connection, address("1.1.1.1"));
        assert_eq!(counts.audit(), Ok(()));
        counts.connections = 0;
        assert_eq!(counts.audit().unwrap_err(), "addresses have 1 connections, the server 0");
        let mut counts = SocketCounts::default();
        counts.by_address.insert(address("1.1.1.1").unwrap(), PerAddress::default());
        assert!(counts.audit().is_err());
    }
}
