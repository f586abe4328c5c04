//! Sending requests, answering those from other clients, and matching answers to requests.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;

use super::error::{RequestError, SendError};
use super::event::{Event, LostReason, SendStatus};
use super::item::{Item, Kind, item};
use super::lifecycle::{Client, State};
use super::limits::{MAX_OWN_REQUESTS, MAX_REQUESTS};
use super::request::{Request, RequestId, Requests, ServerError, Waiting};
use crate::extended::{ERROR, ErrorCode, Failure, REPLY, Tag, TaggedId, read_failure, split_tag};
use crate::{ConnId, PacketRef};

impl Client {
    /// Sends a request to the server or, if `to` is set, to the client with that id, in a room that
    /// this client has joined or is joining. Like a message, the request is queued until it can be
    /// sent. The server limits the number of unanswered requests, separately for requests to
    /// itself and to other clients. Further requests wait until others have ended, and are limited
    /// like the queue of messages. The result is reported as [`Event::Answered`] within `timeout`.
    ///
    /// # Errors
    ///
    /// Returns a [`SendError`] if the request is not accepted.
    pub fn request(
        &mut self,
        now: Duration,
        room: &str,
        event: &str,
        to: Option<&str>,
        payload: &[u8],
        timeout: Duration,
    ) -> Result<RequestId, SendError> {
        let to = match to {
            None => None,
            Some(id) => Some(ConnId::parse(id).ok_or(SendError::Reserved)?),
        };
        let number = self.requests.as_ref().map_or(0, |requests| requests.next);
        let dst = TaggedId::new(to.as_ref(), Tag::from_number(number));
        let packet = PacketRef { room, event, dst: dst.as_str(), src: "", payload };
        self.submit(now, &packet, Kind::Request(number))?;
        let to = to.as_ref().map_or("", ConnId::as_str).into();
        let requests = self.requests.get_or_insert_default();
        requests.next += 1;
        requests.waiting.insert(number, Waiting { due: now.saturating_add(timeout), to });
        // A plain server cannot answer the request. Without a connection, keep it queued: the next
        // server may support the extended protocol.
        if self.state == State::Open && self.session.is_none() {
            self.end_request(number, RequestError::Plain);
        }
        Ok(RequestId(number))
    }

    /// Cancels a request. If it is still queued, it is not sent; otherwise its answer will be
    /// dropped.
    pub fn cancel(&mut self, request: RequestId) {
        self.remove_request(request.0);
    }

    /// Answers a request with a payload.
    ///
    /// # Errors
    ///
    /// Returns [`SendError::NotAsked`] if the request has already been answered or its session has
    /// ended, or [`SendError::TooLarge`] if the server does not accept a message of that length.
    pub fn reply(
        &mut self,
        now: Duration,
        request: &Request,
        payload: &[u8],
    ) -> Result<(), SendError> {
        self.answer(now, request, REPLY, payload)
    }

    /// Answers a request with an error: a protocol code ([`ErrorCode`]) or an application code, and
    /// a message for developers.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`reply`](Self::reply).
    pub fn fail(
        &mut self,
        now: Duration,
        request: &Request,
        code: &str,
        message: &str,
    ) -> Result<(), SendError> {
        let mut payload = Vec::new();
        Failure { code, message, packet: None, more: 0 }.write_json(&mut payload);
        self.answer(now, request, ERROR, &payload)
    }

    fn answer(
        &mut self,
        now: Duration,
        request: &Request,
        event: &str,
        payload: &[u8],
    ) -> Result<(), SendError> {
        let (room, dst) = (&*request.room, &*request.dst);
        let packet = PacketRef { room, event, dst, src: "", payload };
        if packet.encoded_len() > self.most_bytes() {
            return Err(SendError::TooLarge);
        }
        // Remove the request so that a second answer fails here and is not sent to the requester.
        let is_open = |requests: &mut Box<Requests>| requests.open.remove(dst);
        if !self.requests.as_mut().is_some_and(is_open) {
            return Err(SendError::NotAsked);
        }
        // Answers precede queued messages. The number of requests bounds the number of answers.
        self.outbox.request(item(&packet, Kind::Answer));
        self.pump(now);
        Ok(())
    }

    /// Handles a request, which has a tag in `dst`. Returns false if the packet is an ordinary
    /// message.
    pub(super) fn receive_request(&mut self, now: Duration, packet: &PacketRef<'_>) -> bool {
        let Some((id, tag)) = split_tag(packet.dst).filter(|_| self.session.is_some()) else {
            return false;
        };
        // The request is addressed to another client, or to this client's id in an earlier session,
        // whose requester no longer waits for an answer.
        if self.id.is_none_or(|own| own != *id) {
            return false;
        }
        let request = Request {
            room: packet.room.into(),
            event: packet.event.into(),
            from: packet.src.into(),
            payload: Bytes::copy_from_slice(packet.payload),
            // Include the requester's id, since two requesters may choose the same tag.
            dst: alloc::format!("{}:{}", packet.src, tag.as_str()).into(),
        };
        let open = &mut self.requests.get_or_insert_default().open;
        let is_crowded = open.len() >= MAX_REQUESTS;
        open.insert(request.dst.clone());
        if is_crowded {
            // The request was inserted above, so this cannot fail.
            let _ = self.fail(now, &request, ErrorCode::Busy.as_str(), "too many requests");
        } else {
            self.events.push_back(Event::Request(request));
        }
        true
    }

    /// Handles an answer to a request, or an error that reports the rejection of a packet.
    pub(super) fn receive_answer(&mut self, now: Duration, packet: &PacketRef<'_>) {
        let Some((_, tag)) = split_tag(packet.dst) else {
            if packet.event == ERROR && packet.dst.is_empty() && packet.src.is_empty() {
                let error = ServerError::parse(packet.payload);
                if !self.repeats_info(now, &error) {
                    self.events.push_back(Event::Error(error));
                }
            }
            return;
        };
        let Some(requests) = &self.requests else { return };
        // Accept only the canonical form: a tag with leading zeros is a different tag.
        let number = tag.as_str().parse().ok().filter(|number| Tag::from_number(*number) == tag);
        let Some(number) = number else { return };
        // Only the request's receiver, or the server on its behalf, may answer: other clients can
        // guess the number.
        let is_right = |waiting: &Waiting| packet.src.is_empty() || waiting.to == *packet.src;
        if !requests.waiting.get(&number).is_some_and(is_right) {
            return;
        }
        self.remove_request(number);
        let result = if packet.event == REPLY {
            Ok(Bytes::copy_from_slice(packet.payload))
        } else {
            let (code, message) = read_failure(packet.payload);
            Err(RequestError::Failed { code, message })
        };
        self.events.push_back(Event::Answered { request: RequestId(number), result });
    }

    /// Holds a request until others have been answered.
    pub(super) fn hold_request(&mut self, item: Item, dst: &str) -> Result<SendStatus, SendError> {
        let limits = self.limits();
        let is_to_server = dst.starts_with(':');
        let is_held = self.requests.get_or_insert_default().hold(item, is_to_server, limits);
        if is_held { Ok(SendStatus::Queued) } else { Err(SendError::Full) }
    }

    /// Returns true if the server permits no further requests like this one until others have been
    /// answered.
    pub(super) fn must_hold(&self, kind: Kind, dst: &str) -> bool {
        let requests = self.requests.as_ref().filter(|_| matches!(kind, Kind::Request(_)));
        let count = requests.map_or(0, |requests| requests.open_count(dst.starts_with(':')));
        count >= self.most_requests()
    }

    /// Returns the maximum number of unanswered requests to the server, and of those to other
    /// clients.
    fn most_requests(&self) -> usize {
        self.session.as_ref().map_or(MAX_OWN_REQUESTS, |session| session.max_requests)
    }

    /// Applies the limit of a new session, in which no request has been sent yet.
    pub(super) fn limit_requests(&mut self) {
        let mut places = [self.most_requests(); 2];
        let Some(requests) = &mut self.requests else { return };
        let excess = self.outbox.discard(|item| {
            let Some(is_to_server) = requests.is_to_server(item) else { return false };
            let place = &mut places[usize::from(is_to_server)];
            let is_excess = *place == 0;
            *place -= usize::from(!is_excess);
            is_excess
        });
        requests.hold_again(excess);
        self.release_requests();
    }

    /// Queues the held requests that the server now permits.
    fn release_requests(&mut self) {
        let most = self.most_requests();
        let Some(requests) = &mut self.requests else { return };
        for is_to_server in [false, true] {
            while let Some(item) = requests.release(is_to_server, most) {
                self.outbox.queue(item);
            }
        }
    }

    /// Removes a request that has ended, so that another one may follow. Returns false if the
    /// request has already ended.
    fn remove_request(&mut self, number: u64) -> bool {
        let removed = self.requests.as_mut().and_then(|requests| requests.remove(number));
        if removed.is_some() {
            self.outbox.withdraw(number);
            self.release_requests();
        }
        removed.is_some()
    }

    /// Removes the queued messages and requests for which `is_over` returns true, and reports them.
    pub(super) fn discard(&mut self, reason: LostReason, is_over: impl Fn(&Item) -> bool) {
        let mut gone = self.outbox.discard(&is_over);
        if let Some(requests) = &mut self.requests {
            gone.extend(requests.discard(is_over));
        }
        gone.into_iter().for_each(|item| self.report(item, reason));
    }

    /// Completes a request with an error.
    pub(super) fn end_request(&mut self, number: u64, error: RequestError) {
        if self.remove_request(number) {
            let (request, result) = (RequestId(number), Err(error));
            self.events.push_back(Event::Answered { request, result });
        }
    }

    /// Completes all requests for which `is_over` returns true, with the same error.
    pub(super) fn end_requests(
        &mut self,
        error: &RequestError,
        is_over: impl Fn(&Self, u64) -> bool,
    ) {
        let Some(requests) = &self.requests else { return };
        // Copy the numbers, because `is_over` and `end_request` borrow the whole client.
        let numbers: Vec<u64> = requests.waiting.keys().copied().collect();
        for number in numbers {
            if is_over(self, number) {
                self.end_request(number, error.clone());
            }
        }
    }

    /// Handles the loss of the session: requests already sent will not be answered, and received
    /// requests can no longer be answered.
    pub(super) fn lose_requests(&mut self) {
        // Requests that were not sent wait for the next session.
        self.end_requests(&RequestError::Lost, |client, number| {
            let is_held = client.requests.as_ref().is_some_and(|it| it.is_held(number));
            !is_held && !client.outbox.is_queued(number)
        });
        if let Some(requests) = &mut self.requests {
            requests.open.clear();
        }
    }

    /// Completes the requests whose timeout has expired.
    pub(super) fn expire_requests(&mut self, now: Duration) {
        if self.requests_due().is_some_and(|due| now >= due) {
            self.end_requests(&RequestError::TimedOut, |client, number| {
                let waiting = client.requests.as_ref().and_then(|r| r.waiting.get(&number));
                waiting.is_some_and(|waiting| now >= waiting.due)
            });
        }
    }

    /// Returns the earliest deadline of a request.
    pub(super) fn requests_due(&self) -> Option<Duration> {
        self.requests.as_ref()?.waiting.values().map(|waiting| waiting.due).min()
    }
}
