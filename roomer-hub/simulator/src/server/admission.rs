//! Limits on the number of connections and of handshakes, in total and per address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::conn_model::{ConnModel, State};
use super::drain::is_in;
use super::harness::Harness;
use super::plan::Cap;

/// The engine's `REJECT_LINGER`: how long a client that is rejected before its handshake has to
/// read the response.
const REJECT_LINGER: Duration = Duration::from_secs(1);

/// Returns the address of the client in a slot, if it has one. Two different addresses share a
/// limit if one is an IPv4 address and the other its IPv6-mapped form, or if both are in the same
/// IPv6 network.
pub(super) fn address(slot: u8) -> Option<SocketAddr> {
    let v4 = Ipv4Addr::new(10, 0, 0, 7);
    let ip = match slot % 6 {
        0 => return None,
        1 | 2 => IpAddr::V4(v4),
        3 => IpAddr::V6(v4.to_ipv6_mapped()),
        _ => IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 7, 0, 0, 0, slot.into())),
    };
    Some((ip, 4000 + u16::from(slot)).into())
}

/// Returns a number that is equal for all slots whose addresses share a limit; `None` if the slot
/// has no address.
fn address_group(slot: u8) -> Option<u8> {
    match slot % 6 {
        0 => None,
        1..=3 => Some(4),
        _ => Some(6),
    }
}

impl Cap {
    /// If a limit is reached, returns the status with which a client in this slot is rejected.
    /// `there` are the connections that count towards the limits.
    fn rejection<'l>(&self, slot: u8, there: impl Iterator<Item = &'l ConnModel>) -> Option<u16> {
        let (mut all, mut own) = (0, 0);
        for conn in there {
            all += 1;
            own += usize::from(address_group(conn.slot) == address_group(slot));
        }
        // Clients without an address count only towards the total.
        let is_known = address_group(slot).is_some();
        match self {
            // As in the engine, check the total first: if both limits are reached, the status is
            // 503.
            cap if cap.total.is_some_and(|max| all >= max) => Some(503),
            cap if is_known && cap.per_address.is_some_and(|max| own >= max) => Some(429),
            _ => None,
        }
    }
}

impl Harness<'_> {
    /// If a limit is reached, or the server is stopping, returns the status with which a connection
    /// is rejected.
    pub(super) fn rejection(&self, at: usize) -> Option<u16> {
        if self.is_stopping || self.drain.is_some() {
            return Some(503);
        }
        let there = self.conns.iter().filter(|conn| is_in(conn));
        self.plan.setup.caps[0].rejection(self.conns[at].slot, there)
    }

    /// If the limit on handshakes is reached, returns the status with which a new socket is
    /// rejected before its handshake. Sockets rejected in this way do not count; a handshake that
    /// is rejected later counts until its connection ends.
    pub(super) fn early_rejection(&self, slot: u8) -> Option<u16> {
        let begins = |conn: &&ConnModel| {
            conn.state != State::Ended && conn.client.is_none() && conn.rejected_early.is_none()
        };
        self.plan.setup.caps[1].rejection(slot, self.conns.iter().filter(begins))
    }

    /// Returns true if the total limit on connections is reached.
    pub(super) fn is_full(&self) -> bool {
        let count = self.conns.iter().filter(|conn| is_in(conn)).count();
        self.plan.setup.caps[0].total.is_some_and(|max| count >= max)
    }

    /// Returns how long a closing connection may take to send its remaining output.
    pub(super) fn close_timeout(&self, at: usize) -> Duration {
        let wait = Duration::from_millis(self.plan.setup.close);
        if self.conns[at].rejected_early.is_some() { wait.min(REJECT_LINGER) } else { wait }
    }
}
