//! Requests between clients, and between clients and the server, and their answers.

use std::time::Duration;

use roomer_proto::extended::{ERROR, ErrorCode, REPLY, Tag, TaggedId, split_tag};
use roomer_proto::{ConnId, PacketRef};

use crate::action::{Action, Actions};
use crate::hub::Hub;
use crate::input::Answer;
use crate::keys::{ConnKey, HandlerKey, PeerKey};
use crate::limits::RejectReason;
use crate::permission::{Authorization, Permission};
use crate::record::{Context, ErrorReceiver, ExtendedRecord, Output, Record};

impl Hub {
    /// Handles a message to an id without a local connection: a request, or a message to another node.
    #[cold]
    #[inline(never)]
    pub(crate) fn route_unknown(
        &mut self,
        now: Duration,
        conn: ConnKey,
        packet: &PacketRef<'_>,
        authorization: Authorization,
    ) -> Result<(), RejectReason> {
        // Plain clients do not use tags, so the `dst` of their messages is always an id.
        if !packet.dst.contains(':') || !self.tables.is_extended(conn) {
            return self.forward_packet(conn, packet.dst, authorization);
        }
        match split_tag(packet.dst) {
            None => Err(RejectReason::WrongTag),
            Some(("", tag)) => self.request_to_server(conn, tag, packet, authorization),
            Some((id, tag)) => self.request_to_client(now, conn, (id, tag), authorization),
        }
    }

    /// Passes a client's request to a request handler.
    fn request_to_server(
        &mut self,
        conn: ConnKey,
        tag: Tag,
        packet: &PacketRef<'_>,
        authorization: Authorization,
    ) -> Result<(), RejectReason> {
        // Only check the request here. It is recorded once the application's rule, if there is one,
        // has allowed it.
        self.tables.may_call(conn, tag, self.config.max_requests)?;
        let room = self.tables.find_room(packet.room);
        let is_member = room.is_some_and(|room| self.tables.is_member(conn, room));
        if self.config.members_only && !is_member {
            return Err(RejectReason::NotMember);
        }
        let handler = self.request_handlers.get(packet.event).copied();
        let handler = handler.ok_or(RejectReason::NoHandler)?;
        if self.config.authorize_publish && authorization == Authorization::Required {
            self.output.records.push(Record::Authorize(Permission::Publish));
            return Ok(());
        }
        self.tables.call(conn, tag);
        self.output.request_handler = Some(handler);
        self.output.records.push(Record::Extended(ExtendedRecord::Request));
        Ok(())
    }

    /// Sends a client's request to another client, subject to the rules for direct messages.
    fn request_to_client(
        &mut self,
        now: Duration,
        conn: ConnKey,
        (id, tag): (&str, Tag),
        authorization: Authorization,
    ) -> Result<(), RejectReason> {
        // Accept only the canonical form, because answers are matched by the id's bytes.
        let to = ConnId::parse(id).ok_or(RejectReason::UnknownDst)?;
        let receiver = self.tables.find_conn(id);
        match receiver {
            None => self.check_remote(conn, id)?,
            Some(to) if self.config.shared_room_only && !self.may_reach(conn, to) => {
                return Err(RejectReason::NoSharedRoom);
            }
            // Check the protocol after the rule above, because the error reveals which protocol the
            // receiver uses.
            Some(to) if !self.tables.is_extended(to) => return Err(RejectReason::PlainReceiver),
            Some(_) => {}
        }
        let max = self.config.max_requests;
        // Check the limit here, and again after a rule has allowed the request, since the limit may
        // be reached in the meantime.
        self.tables.may_ask(conn, tag, receiver, now, max)?;
        if self.config.authorize_direct && authorization == Authorization::Required {
            self.output.records.push(Record::Authorize(Permission::Direct));
            return Ok(());
        }
        self.tables.ask(conn, (tag, to), receiver, now, max);
        match receiver {
            Some(receiver) => self.output.records.push(Record::Direct(receiver)),
            None => self.forward(id),
        }
        Ok(())
    }

    /// Handles a client's answer. Only the client that received the request can answer it, and only
    /// once. Any other answer is rejected.
    pub(crate) fn answer(
        &mut self,
        conn: ConnKey,
        packet: &PacketRef<'_>,
    ) -> Result<(), RejectReason> {
        // Check this limit here: answers bypass the rules for messages, but the packet is forwarded
        // with its room.
        if packet.room.len() > self.config.max_name {
            return Err(RejectReason::LongName);
        }
        let (id, tag) = split_tag(packet.dst).ok_or(RejectReason::WrongTag)?;
        if id.is_empty() {
            return self.answer_to_server(conn, tag, packet.event == ERROR);
        }
        let Some(asker) = self.tables.find_conn(id) else {
            if self.tables.peer_of(id).is_none() {
                return Err(RejectReason::UnknownDst);
            }
            // The requester is on another node, which has the request and checks the tag.
            self.forward(id);
            return Ok(());
        };
        if !self.tables.end_ask(asker, tag, self.output.subject) {
            return Err(RejectReason::Unasked);
        }
        self.output.records.push(Record::Direct(asker));
        Ok(())
    }

    fn answer_to_server(
        &mut self,
        conn: ConnKey,
        tag: Tag,
        is_error: bool,
    ) -> Result<(), RejectReason> {
        let number: u64 = tag.as_str().parse().map_err(|_| RejectReason::Unasked)?;
        // An answer to a number that was never used is the client's fault. If the request has
        // ended, the answer is merely late.
        if tag != Tag::from_number(number) || number >= self.next_request {
            return Err(RejectReason::Unasked);
        }
        if !self.tables.end_request(conn, number) {
            return Err(RejectReason::LateAnswer);
        }
        let request = self.output.ended_request(number);
        let record = ExtendedRecord::Answered { request, is_error };
        self.output.records.push(Record::Extended(record));
        Ok(())
    }

    /// Sends a handler's answer to the requester, unless the request has already been answered.
    #[cold]
    pub(crate) fn handler_answer<'a>(
        &mut self,
        conn: ConnKey,
        room: &'a str,
        dst: &'a str,
        answer: Answer<'a>,
    ) -> Context<'a> {
        let empty = PacketRef { room, dst, ..PacketRef::default() };
        let mut context = Context { conn, except: None, packet: empty };
        let Some(("", tag)) = split_tag(dst) else { return context };
        if !self.tables.end_call(conn, tag) {
            return context;
        }
        match answer {
            Answer::Reply(payload) => {
                self.output.records.push(Record::Direct(conn));
                context.packet = PacketRef { event: REPLY, payload, ..empty };
            }
            Answer::Error { code, message } => {
                let dst = TaggedId::new(None, tag);
                self.send_error(conn, Some(dst), (code, message), None, 0);
            }
        }
        context
    }

    /// Sends a request from the server to a client.
    #[cold]
    pub(crate) fn server_request(&mut self, conn: ConnKey, number: u64) {
        // Update the number before the request can fail, because the number is used up either way.
        self.next_request = self.next_request.max(number + 1);
        let Some(id) = self.tables.conn_id(conn) else {
            return self.unanswered(number, ErrorCode::Gone);
        };
        if !self.tables.is_extended(conn) {
            return self.unanswered(number, ErrorCode::Plain);
        }
        if !self.tables.request(conn, number, self.config.max_requests) {
            return self.unanswered(number, ErrorCode::Busy);
        }
        self.output.request_dst = Some(TaggedId::new(Some(&id), Tag::from_number(number)));
        self.output.records.push(Record::Extended(ExtendedRecord::Ask));
    }

    fn unanswered(&mut self, number: u64, code: ErrorCode) {
        let request = self.output.ended_request(number);
        let record = ExtendedRecord::Unanswered { request, code };
        self.output.records.push(Record::Extended(record));
    }

    /// Ends all requests from and to a connection that is being removed. Clients waiting for its
    /// answer receive an error.
    #[cold]
    #[inline(never)]
    pub(crate) fn end_exchange(&mut self, conn: ConnKey, id: ConnId) {
        let (unanswered, numbers) = self.tables.end_exchange(conn, id);
        for (asker, tag) in unanswered {
            let Some(asker_id) = self.tables.conn_id(asker) else { continue };
            let dst = TaggedId::new(Some(&asker_id), tag);
            self.send_error_in_root(asker, dst, RejectReason::UnknownDst.failure());
        }
        for number in numbers {
            self.unanswered(number, ErrorCode::Gone);
        }
    }

    /// Handles a direct message from a peer to an id without a local connection. The message is a
    /// request, an answer, or an ordinary message that arrived too late.
    #[cold]
    #[inline(never)]
    pub(crate) fn peer_to_unknown(&mut self, peer: PeerKey, packet: &PacketRef<'_>) {
        let Some((id, tag)) = split_tag(packet.dst) else {
            self.rejected_peer_inputs.unknown_dst += 1;
            return;
        };
        let receiver = self.tables.find_conn(id);
        let from = self.output.subject;
        // An error generated by the other node has no sender. It ends the request with this tag,
        // whichever connection that request was sent to.
        if matches!(packet.event, REPLY | ERROR) {
            match receiver {
                None => self.rejected_peer_inputs.unknown_dst += 1,
                Some(asker) if self.tables.end_ask(asker, tag, from) => {
                    self.output.records.push(Record::Direct(asker));
                }
                Some(_) => self.rejected_peer_inputs.unasked += 1,
            }
            return;
        }
        // Other nodes' servers do not send requests to clients on this node.
        let Some(asker) = from else {
            self.rejected_peer_inputs.foreign_id += 1;
            return;
        };
        let reason = match receiver {
            Some(to) if self.tables.is_extended(to) => {
                // Do not record the request here: the requester's node has done so, and checks the
                // answer.
                return self.output.records.push(Record::Direct(to));
            }
            Some(_) => RejectReason::PlainReceiver,
            None => RejectReason::UnknownDst,
        };
        self.forward_error(peer, TaggedId::new(Some(&asker), tag), reason.failure());
    }
}

impl Output {
    /// Adds the number of a request that has ended, and returns its index.
    fn ended_request(&mut self, number: u64) -> u32 {
        // Remove old numbers here: doing so in `clear` would slow down inputs without requests.
        let is_end = |record: &Record| {
            use ExtendedRecord::{Answered, Unanswered};
            matches!(record, Record::Extended(Answered { .. } | Unanswered { .. }))
        };
        if !self.records.iter().rev().any(is_end) {
            self.requests.clear();
        }
        self.requests.push(number);
        self.requests.len() as u32 - 1
    }
}

impl<'a> Actions<'a> {
    #[cold]
    #[inline(never)]
    pub(crate) fn extended_action(&self, record: ExtendedRecord) -> Action<'a> {
        let conn = self.context.conn;
        let packet = PacketRef { src: self.id, ..self.context.packet };
        match record {
            ExtendedRecord::Request => {
                // The key is always set with this record. The fallback is a key without a handler.
                let handler = self.output.request_handler.unwrap_or(HandlerKey(usize::MAX));
                Action::Request { conn, handler, packet }
            }
            ExtendedRecord::Ask => {
                let dst = self.output.request_dst.as_ref().map_or("", TaggedId::as_str);
                Action::Send { to: conn, packet: PacketRef { src: "", dst, ..packet } }
            }
            ExtendedRecord::Answered { request, is_error } => {
                let request = self.output.requests[request as usize];
                Action::Answered { request, is_error, packet }
            }
            ExtendedRecord::Unanswered { request, code } => {
                let request = self.output.requests[request as usize];
                Action::Unanswered { request, code }
            }
            ExtendedRecord::Error(index) => {
                let error = &self.output.errors[index as usize];
                let packet = error.packet(packet.room, &self.output.error_text);
                match error.to {
                    ErrorReceiver::Conn(to) => Action::Send { to, packet },
                    ErrorReceiver::Peer(peer) => Action::Forward { peer, packet },
                }
            }
        }
    }
}
