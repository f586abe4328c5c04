//! The server's unanswered requests to clients.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Waker;

use roomer_hub::ConnId;
use roomer_proto::PacketRef;
use roomer_proto::extended::{ErrorCode, read_failure};

use crate::app::message::{Message, OwnedMessage};
use crate::app::request_error::RequestError;
use crate::sync::{Mutex, lock};

pub(crate) type Outcome = Result<OwnedMessage, RequestError>;

/// The slot that receives a request's answer for the future that waits for it.
#[derive(Debug, Default)]
pub(crate) struct Slot(pub(crate) Mutex<SlotState>);

#[derive(Debug, Default)]
pub(crate) struct SlotState {
    pub(crate) outcome: Option<Outcome>,
    pub(crate) waker: Option<Waker>,
}

/// The server's unanswered requests, under the server's lock.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    waiting: BTreeMap<u64, Arc<Slot>>,
    next: u64,
    /// Wakers to call after the lock is released.
    wakers: Vec<Waker>,
}

impl Requests {
    /// Registers a request. Returns its number, and the slot for its answer.
    pub(crate) fn begin(&mut self) -> (u64, Arc<Slot>) {
        let (number, slot) = (self.next, Arc::new(Slot::default()));
        self.next += 1;
        self.waiting.insert(number, slot.clone());
        (number, slot)
    }

    /// Removes a request whose answer is no longer awaited. Returns false if the request had
    /// already ended.
    pub(crate) fn withdraw(&mut self, number: u64) -> bool {
        self.waiting.remove(&number).is_some()
    }

    /// Completes a request with its answer.
    #[cold]
    pub(crate) fn complete(
        &mut self,
        number: u64,
        from: Option<ConnId>,
        is_error: bool,
        packet: &PacketRef<'_>,
    ) {
        let Some(from) = from else { return };
        let outcome = if is_error {
            let (code, message) = read_failure(packet.payload);
            Err(RequestError::Failed { code, message })
        } else {
            Ok(Message::new(packet, from).to_owned())
        };
        self.end(number, outcome);
    }

    /// Fails a request to which the hub no longer expects an answer.
    #[cold]
    pub(crate) fn fail(&mut self, number: u64, code: ErrorCode) {
        let error = match code {
            ErrorCode::Plain => RequestError::Plain,
            ErrorCode::Busy => RequestError::Busy,
            _ => RequestError::Gone,
        };
        self.end(number, Err(error));
    }

    fn end(&mut self, number: u64, outcome: Outcome) {
        let Some(slot) = self.waiting.remove(&number) else { return };
        let mut slot = lock(&slot.0);
        slot.outcome = Some(outcome);
        self.wakers.extend(slot.waker.take());
    }

    /// Returns the wakers to call after the lock is released.
    pub(crate) fn take_wakers(&mut self) -> Vec<Waker> {
        std::mem::take(&mut self.wakers)
    }

    /// Checks that the hub expects an answer to each request; see
    /// [`Server::audit`](crate::Server::audit).
    #[cfg(feature = "audit")]
    pub(crate) fn audit(&self, tables: &roomer_hub::Tables) -> Result<(), String> {
        let (waiting, expected) = (self.waiting.len(), tables.server_requests());
        match waiting == expected {
            true => Ok(()),
            false => Err(format!("{waiting} requests to clients, the hub has {expected}")),
        }
    }

    /// Returns the number of unanswered requests.
    #[cfg(feature = "audit")]
    pub(crate) fn count(&self) -> usize {
        self.waiting.len()
    }
}
