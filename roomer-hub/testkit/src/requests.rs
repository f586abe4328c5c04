//! Requests sent by scripted clients, and the answers to them.

use bytes::Bytes;
use roomer_proto::extended::{ERROR, Failure, REPLY, Tag, TaggedId, read_failure, split_tag};
use roomer_proto::{Packet, PacketRef, ROOT};

use roomer_hub::ConnId;

use super::client::Client;

impl Client {
    /// Sends a request to the server, in a room that the client is in. Returns its tag for
    /// [`answer_of`](Self::answer_of). Only extended clients
    /// ([`connect_extended`](super::World::connect_extended)) get answers.
    ///
    /// ```
    /// # mod roomer_tokio { pub use {roomer_engine::*, roomer_testkit as testkit}; }
    /// use roomer_tokio::Server;
    /// use roomer_tokio::testkit::{Handshake, World};
    ///
    /// let builder = Server::builder().on_request("double", |_, message| {
    ///     let number: i32 = message.text()?.parse()?;
    ///     Ok((2 * number).to_string())
    /// });
    /// let mut world = World::new(1, builder);
    /// let ann = world.connect_extended(Handshake::new());
    /// let tag = ann.request("root", "double", "21");
    /// world.settle();
    /// assert_eq!(ann.answer_of(&tag).unwrap().unwrap(), "42");
    /// ```
    pub fn request(&self, room: &str, event: &str, payload: impl AsRef<[u8]>) -> String {
        self.request_at("", room, event, payload.as_ref())
    }

    /// Sends a request to the client with this id. Returns its tag, as [`request`](Self::request)
    /// does.
    ///
    /// # Panics
    ///
    /// Panics if the id is empty: the other client has not received its id yet.
    pub fn request_to(&self, id: &str, event: &str, payload: impl AsRef<[u8]>) -> String {
        assert!(!id.is_empty(), "the receiver has no id yet: settle the world first");
        self.request_at(id, ROOT, event, payload.as_ref())
    }

    fn request_at(&self, id: &str, room: &str, event: &str, payload: &[u8]) -> String {
        let mut state = self.state_mut();
        state.requests += 1;
        let tag = Tag::from_number(state.requests).as_str().to_owned();
        drop(state);
        // A request's `dst` contains the receiver's id, which is empty for the server, and the tag.
        let dst = format!("{id}:{tag}");
        self.send_packet(&PacketRef { room, event, dst: &dst, src: "", payload });
        tag
    }

    /// Answers a request that this client has received, for example in a reaction
    /// ([`on`](Self::on)).
    ///
    /// # Panics
    ///
    /// Panics if the packet is not a request.
    pub fn answer(&self, request: &Packet, payload: impl AsRef<[u8]>) {
        self.answer_with(request, REPLY, payload.as_ref());
    }

    /// Answers a request with an error.
    ///
    /// # Panics
    ///
    /// Panics if the packet is not a request.
    pub fn fail(&self, request: &Packet, code: &str, message: &str) {
        let mut payload = Vec::new();
        Failure { code, message, packet: None, more: 0 }.write_json(&mut payload);
        self.answer_with(request, ERROR, &payload);
    }

    fn answer_with(&self, request: &Packet, event: &str, payload: &[u8]) {
        let Some((_, tag)) = split_tag(&request.dst) else {
            panic!("{request:?} is not a request");
        };
        // The id is empty if the server itself sent the request.
        let asker = ConnId::parse(&request.src);
        let dst = TaggedId::new(asker.as_ref(), tag);
        let (room, dst) = (&*request.room, dst.as_str());
        self.send_packet(&PacketRef { room, event, dst, src: "", payload });
    }

    /// Returns the answer to this client's request: its payload, or the code and text of an
    /// error. `None` if no answer has arrived.
    #[must_use]
    pub fn answer_of(&self, tag: &str) -> Option<Result<Bytes, (String, String)>> {
        let state = self.state();
        state.messages.iter().find_map(|packet| {
            let (_, own) = split_tag(&packet.dst)?;
            match &*packet.event {
                REPLY if own.as_str() == tag => Some(Ok(packet.payload.clone())),
                ERROR if own.as_str() == tag => Some(Err(read_failure(&packet.payload))),
                _ => None,
            }
        })
    }

    /// Returns the errors that the server has sent for packets other than requests, as payloads.
    #[must_use]
    pub fn errors(&self) -> Vec<String> {
        let state = self.state();
        let errors = state.messages.iter().filter(|it| &*it.event == ERROR && it.dst.is_empty());
        errors.map(|packet| String::from_utf8_lossy(&packet.payload).into_owned()).collect()
    }
}
