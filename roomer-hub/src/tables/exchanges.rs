//! Bookkeeping of unanswered requests and of the error rate.

use std::time::Duration;

use roomer_proto::ConnId;
use roomer_proto::extended::Tag;

use super::Tables;
use crate::exchange::{Ask, Exchange};
use crate::keys::ConnKey;
use crate::limits::RejectReason;
use crate::rate::Rate;

/// The maximum number of unanswered requests to one connection, in multiples of
/// [`Config::max_requests`](crate::Config::max_requests).
const ASKERS_FACTOR: usize = 16;

/// The maximum error rate per connection, for packets other than requests.
const ERROR_RATE: Option<Rate> = Rate::new(16, 16);

impl Tables {
    /// Returns the number of connections that have open requests or were sent errors.
    #[must_use]
    pub fn exchange_count(&self) -> usize {
        self.exchanges.len()
    }

    /// Returns the number of unanswered server requests.
    #[must_use]
    pub fn server_requests(&self) -> usize {
        self.exchanges.values().map(|exchange| exchange.numbers.len()).sum()
    }

    pub(crate) fn has_exchanges(&self) -> bool {
        !self.exchanges.is_empty()
    }

    /// Checks whether a connection may send a request to the server.
    pub(crate) fn may_call(&self, conn: ConnKey, tag: Tag, max: usize) -> Result<(), RejectReason> {
        let calls = self.exchanges.get(&conn).map_or(&[][..], |exchange| &exchange.calls);
        // The answers to two open requests with the same tag could not be told apart. The
        // search is cheap, because `max` bounds the list.
        if calls.contains(&tag) {
            return Err(RejectReason::WrongTag);
        }
        if calls.len() >= max { Err(RejectReason::TooManyRequests) } else { Ok(()) }
    }

    /// Records a request to the server.
    pub(crate) fn call(&mut self, conn: ConnKey, tag: Tag) {
        self.exchanges.entry(conn).or_default().calls.push(tag);
    }

    /// Ends a request to the server. Returns false if there is none with this tag.
    pub(crate) fn end_call(&mut self, conn: ConnKey, tag: Tag) -> bool {
        let Some(exchange) = self.exchanges.get_mut(&conn) else { return false };
        let Some(index) = exchange.calls.iter().position(|call| *call == tag) else { return false };
        exchange.calls.remove(index);
        self.forget_if_idle(conn);
        true
    }

    /// Checks whether a connection may send a request to another connection. `to` is the receiver's
    /// key if it is on this node.
    pub(crate) fn may_ask(
        &self,
        conn: ConnKey,
        tag: Tag,
        to: Option<ConnKey>,
        now: Duration,
        max: usize,
    ) -> Result<(), RejectReason> {
        let asks = self.exchanges.get(&conn).map_or(&[][..], |exchange| &exchange.asks);
        if asks.iter().any(|ask| ask.tag == tag) {
            return Err(RejectReason::WrongTag);
        }
        // Requests are ordered by time, so the first one is the oldest.
        let is_full = asks.len() >= max && !asks.first().is_some_and(|oldest| oldest.is_old(now));
        // Bound the number of requests that many clients together can send to a client that never
        // answers.
        let askers = to.and_then(|to| self.exchanges.get(&to)).map_or(0, |to| to.askers.len());
        let is_busy = is_full || askers >= max.saturating_mul(ASKERS_FACTOR);
        if is_busy { Err(RejectReason::TooManyRequests) } else { Ok(()) }
    }

    /// Records a request to another connection, dropping the oldest one if there are too many.
    pub(crate) fn ask(
        &mut self,
        conn: ConnKey,
        (tag, to): (Tag, ConnId),
        receiver: Option<ConnKey>,
        now: Duration,
        max: usize,
    ) {
        let asks = &mut self.exchanges.entry(conn).or_default().asks;
        // `may_ask` has checked that the oldest one is old enough.
        let outdated = if asks.len() >= max { Some(asks.remove(0)) } else { None };
        asks.push(Ask { tag, to, asked_at: now });
        if let Some(outdated) = outdated {
            // The requester's oldest request is also its first one to that receiver.
            self.remove_asker(outdated.to, conn, 0);
        }
        if let Some(receiver) = receiver {
            self.exchanges.entry(receiver).or_default().askers.push(conn);
        }
    }

    /// Ends a request from `asker` to connection `from`. Without `from`, a server generated the
    /// answer, which ends the request to any connection. Returns false if there is no such request.
    pub(crate) fn end_ask(&mut self, asker: ConnKey, tag: Tag, from: Option<ConnId>) -> bool {
        let Some(exchange) = self.exchanges.get_mut(&asker) else { return false };
        let is_it = |ask: &Ask| ask.tag == tag && from.is_none_or(|from| ask.to == from);
        let Some(index) = exchange.asks.iter().position(is_it) else { return false };
        // Do not use `swap_remove`, because the requests must stay ordered by time.
        let ask = exchange.asks.remove(index);
        // The receiver lists each requester once per request, in order, so the number of
        // earlier requests identifies the entry.
        let earlier = exchange.asks[..index].iter().filter(|other| other.to == ask.to).count();
        self.remove_asker(ask.to, asker, earlier);
        self.forget_if_idle(asker);
        true
    }

    /// Records a server request. Returns false if the client has too many of them.
    pub(crate) fn request(&mut self, conn: ConnKey, number: u64, max: usize) -> bool {
        let numbers = &mut self.exchanges.entry(conn).or_default().numbers;
        let may_ask = numbers.len() < max;
        if may_ask {
            numbers.push(number);
        }
        // Remove the entry again if it was just created and stays empty.
        self.forget_if_idle(conn);
        may_ask
    }

    /// Ends a server request. Returns false if there is none with this number.
    pub(crate) fn end_request(&mut self, conn: ConnKey, number: u64) -> bool {
        let Some(exchange) = self.exchanges.get_mut(&conn) else { return false };
        let Some(index) = exchange.numbers.iter().position(|other| *other == number) else {
            return false;
        };
        exchange.numbers.remove(index);
        self.forget_if_idle(conn);
        true
    }

    /// Takes a token for an error about a packet other than a request. Returns false if the error
    /// rate is exceeded.
    pub(crate) fn may_send_error(&mut self, conn: ConnKey, now: Duration) -> bool {
        // Keep the bucket until the connection ends, because a new one would be full.
        let bucket = self.exchanges.entry(conn).or_default().errors.get_or_insert_default();
        ERROR_RATE.is_none_or(|rate| bucket.take(rate, now, 1))
    }

    /// Removes the requests from and to a connection. Returns the waiting requesters with their
    /// tags, in order, and the numbers of the server's requests to the connection.
    pub(crate) fn end_exchange(
        &mut self,
        conn: ConnKey,
        id: ConnId,
    ) -> (Vec<(ConnKey, Tag)>, Vec<u64>) {
        // Remove its own requests first: one to itself must leave the list of requesters, which is
        // read below.
        let asks = self.exchanges.get_mut(&conn).map(|exchange| std::mem::take(&mut exchange.asks));
        for ask in asks.into_iter().flatten() {
            self.remove_asker(ask.to, conn, 0);
        }
        let Some(Exchange { askers, numbers, .. }) = self.exchanges.remove(&conn) else {
            return (Vec::new(), Vec::new());
        };
        let mut unanswered = Vec::with_capacity(askers.len());
        for asker in askers {
            // Always present: when a requester is removed, so are its entries in others' lists.
            let Some(exchange) = self.exchanges.get_mut(&asker) else { continue };
            // Take the oldest request first: a requester is listed once for each of its requests.
            let Some(index) = exchange.asks.iter().position(|ask| ask.to == id) else { continue };
            unanswered.push((asker, exchange.asks.remove(index).tag));
            self.forget_if_idle(asker);
        }
        (unanswered, numbers)
    }

    /// Removes the `asker` entry that follows `earlier` others from a connection's requesters, if
    /// that connection is on this node.
    fn remove_asker(&mut self, to: ConnId, asker: ConnKey, earlier: usize) {
        let Some(to) = self.find_conn(to.as_str()) else { return };
        let Some(exchange) = self.exchanges.get_mut(&to) else { return };
        let askers = exchange.askers.iter().enumerate();
        // Removing a different entry would change the order among the requests of other requesters.
        let mut places = askers.filter(|(_, other)| **other == asker).map(|(index, _)| index);
        if let Some(index) = places.nth(earlier) {
            exchange.askers.remove(index);
        }
        self.forget_if_idle(to);
    }

    fn forget_if_idle(&mut self, conn: ConnKey) {
        if self.exchanges.get(&conn).is_some_and(Exchange::is_idle) {
            self.exchanges.remove(&conn);
        }
    }

    /// Checks that requests are consistent with the connections and lists of requesters.
    pub(crate) fn audit_exchanges(&self) -> Result<(), String> {
        for (&conn, exchange) in &self.exchanges {
            let Some(entry) = self.conns.get(conn) else {
                return Err(format!("requests of a connection that is gone: {exchange:?}"));
            };
            if exchange.is_idle() || !entry.extended {
                return Err(format!("no requests of {}: {exchange:?}", entry.id));
            }
            let mut askers = exchange.askers.clone();
            askers.sort_unstable();
            let of_others = self.exchanges.iter().flat_map(|(&asker, exchange)| {
                let to_this = exchange.asks.iter().filter(|ask| ask.to == entry.id);
                to_this.map(move |_| asker)
            });
            let mut expected: Vec<ConnKey> = of_others.collect();
            expected.sort_unstable();
            if askers != expected {
                return Err(format!("{} is asked by {askers:?}, not {expected:?}", entry.id));
            }
        }
        Ok(())
    }
}
