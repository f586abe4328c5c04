//! Adds history and requests to the clients' steps, and reads the events about them.

#![allow(clippy::unwrap_used, reason = "a panic in a simulation is reported as a fault")]

use std::time::Duration;

use roomer_proto::client::{Event, Request, RequestError, RequestId, SendError};

use super::net::{MINUTE, Net};

const SECOND: Duration = Duration::from_secs(1);

/// The outcome of a request: the answer's text, or the reason why there is no answer.
pub type Answer = Result<String, RequestError>;

impl Net {
    pub fn join_with_history(&mut self, number: usize, last: u32) {
        let now = self.world.now();
        self.ends[number].client.join_with_history(now, "lobby", last).unwrap();
    }

    /// Sends each text as a separate packet.
    pub fn send_messages(&mut self, number: usize, texts: std::ops::Range<usize>) {
        for text in texts {
            self.send(number, "lobby", &text.to_string());
            self.settle();
        }
    }

    /// Ends a client's session, runs `meanwhile`, and lets the client reconnect.
    pub fn away(&mut self, number: usize, meanwhile: impl FnOnce(&mut Net)) {
        self.is_up = false;
        self.cut(number);
        self.advance(3 * SECOND);
        meanwhile(self);
        self.is_up = true;
        self.advance(MINUTE);
    }

    pub fn numbers(&self, number: usize) -> Vec<u64> {
        self.messages(number).into_iter().filter_map(|message| message.number).collect()
    }

    pub fn has_missed(&self, number: usize) -> bool {
        let missed = Event::Missed { room: "lobby".into() };
        self.ends[number].events.contains(&missed)
    }

    pub fn try_request(
        &mut self,
        number: usize,
        to: Option<&str>,
        event: &str,
        payload: &str,
    ) -> Result<RequestId, SendError> {
        let now = self.world.now();
        let client = &mut self.ends[number].client;
        client.request(now, "lobby", event, to, payload.as_bytes(), 10 * SECOND)
    }

    pub fn request(&mut self, number: usize, event: &str, payload: &str) -> RequestId {
        self.try_request(number, None, event, payload).unwrap()
    }

    /// Returns the outcomes of a client's requests, in the order in which they arrived.
    pub fn answers(&self, number: usize) -> Vec<(RequestId, Answer)> {
        let answer = |event: &Event| match event {
            Event::Answered { request, result } => {
                let text = |payload: &[u8]| String::from_utf8(payload.to_vec()).unwrap();
                Some((*request, result.as_ref().map(|it| text(it)).map_err(Clone::clone)))
            }
            _ => None,
        };
        self.ends[number].events.iter().filter_map(answer).collect()
    }

    /// Returns the requests that a client has received, in order.
    pub fn received_requests(&self, number: usize) -> Vec<Request> {
        let request = |event: &Event| match event {
            Event::Request(request) => Some(request.clone()),
            _ => None,
        };
        self.ends[number].events.iter().filter_map(request).collect()
    }

    pub fn reply(&mut self, number: usize, request: &Request, text: &str) -> Result<(), SendError> {
        let now = self.world.now();
        self.ends[number].client.reply(now, request, text.as_bytes())
    }
}
