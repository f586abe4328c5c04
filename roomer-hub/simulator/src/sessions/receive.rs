//! Compares the packets that clients receive with those that the model expects.

use roomer_proto::PacketRef;
use roomer_proto::extended::{ACK, HELLO, parse_count};
use roomer_testkit::frames::{self, Frame, first_byte};

use super::harness::Harness;
use super::marks::Mark;
use super::plan::{AckKind, SLOTS};
use super::socket::{Meaning, Phase};
use crate::fault::{Fault, ensure};

impl Harness<'_> {
    /// Makes a client read from a socket. If the client already uses another socket, the bytes are
    /// lost.
    pub fn receive(&mut self, at: usize, most: usize) -> Result<(), Fault> {
        let socket = &mut self.sockets[at];
        if socket.is_lost || socket.is_abandoned {
            return Ok(());
        }
        let before = socket.incoming.len();
        socket.peer.take(most, &mut socket.incoming);
        let mut incoming = std::mem::take(&mut socket.incoming);
        self.trace.number(at as u64);
        // Hash only the new bytes. Those before them, which began an incomplete frame, have been
        // hashed already.
        self.trace.bytes(&incoming[before..]);
        let mut used = 0;
        while used < incoming.len() {
            let Some(size) = self
                .receive_one(at, &incoming[used..])
                .map_err(|Fault(what)| Fault::new(format!("socket {at}: {what}")))?
            else {
                break;
            };
            used += size;
        }
        incoming.drain(..used);
        self.sockets[at].incoming = incoming;
        Ok(())
    }

    fn receive_one(&mut self, at: usize, bytes: &[u8]) -> Result<Option<usize>, Fault> {
        let socket = &mut self.sockets[at];
        if !socket.has_response {
            let answer = frames::read_response(bytes).map_err(Fault::new)?;
            let Some((status, size)) = answer else { return Ok(None) };
            socket.has_response = true;
            self.on_response(at, status)?;
            return Ok(Some(size));
        }
        let Some((frame, size)) = frames::read(bytes).map_err(Fault::new)? else {
            return Ok(None);
        };
        match frame {
            Frame::Binary(data) => self.on_message(at, data)?,
            Frame::Ping(payload) => {
                if !socket.is_mute && socket.can_send() {
                    socket.send(first_byte::PONG, payload, Meaning::Pong);
                }
            }
            Frame::Close(code, reason) => self.on_close(at, code, reason)?,
            other => return Err(Fault::new(format!("received {other:?}"))),
        }
        Ok(Some(size))
    }

    fn on_response(&mut self, at: usize, status: u16) -> Result<(), Fault> {
        let socket = &mut self.sockets[at];
        if status == 101 {
            let has_opened = socket.phase == Phase::Open || socket.session.is_some();
            ensure!(has_opened || socket.close.is_some(), "accepted in silence");
            socket.has_hello = !socket.request.is_extended;
            if !socket.request.is_extended {
                let device = &mut self.devices[usize::from(socket.slot) % SLOTS];
                (device.session, device.acked) = (socket.session, 0);
            }
            return Ok(());
        }
        socket.is_closed = true;
        ensure!(
            socket.rejection == Some(status),
            "rejected with {status}, not {:?}",
            socket.rejection
        );
        Ok(())
    }

    fn on_message(&mut self, at: usize, data: &[u8]) -> Result<(), Fault> {
        let packet = PacketRef::decode(data).map_err(|_| Fault::new("not a packet".into()))?;
        let socket = &mut self.sockets[at];
        let Some(number) = socket.session else {
            return Err(Fault::new(format!("{packet:?} without a session")));
        };
        if packet.event == HELLO {
            return self.on_hello(at, number, &packet);
        }
        ensure!(socket.has_hello, "{packet:?} comes before hello");
        let session = &mut self.sessions[number];
        if packet.event == ACK {
            ensure!(session.is_extended, "an acknowledgement for a plain client");
            let count = parse_count(packet.payload).map(|count| count as usize);
            ensure!(packet.room == "root" && packet.src.is_empty(), "{packet:?}");
            session.on_confirmed(count.ok_or_else(|| Fault::new(format!("{packet:?}")))?)?;
            if packet.dst == "?" {
                self.acknowledge(self.sockets[at].slot, AckKind::Honest);
            }
            return Ok(());
        }
        session.receive(data)?;
        let (every, slot) = (self.plan.setup.ack_every, self.sockets[at].slot);
        let read_to = session.read_to;
        let device = &self.devices[usize::from(slot) % SLOTS];
        if every > 0 && read_to >= device.acked + usize::from(every) {
            self.acknowledge(slot, AckKind::Honest);
        }
        Ok(())
    }

    fn on_hello(&mut self, at: usize, number: usize, packet: &PacketRef<'_>) -> Result<(), Fault> {
        let (socket, session) = (&mut self.sockets[at], &mut self.sessions[number]);
        ensure!(!socket.has_hello, "hello comes twice");
        let expected = socket.hello.take().unwrap_or_default();
        let src = super::application::text(session.id);
        let expected =
            PacketRef { room: "root", event: HELLO, dst: "", src, payload: expected.as_bytes() };
        ensure!(*packet == expected, "hello is {packet:?} instead of {expected:?}");
        socket.has_hello = true;
        session.known_tokens.extend(socket.token.take());
        let device = &mut self.devices[usize::from(socket.slot) % SLOTS];
        if socket.resumed_with.is_none() {
            (device.session, device.acked) = (Some(number), 0);
            return Ok(());
        }
        // The client sends again all packets that the server has not handled, according to this
        // count.
        let confirmed = socket.resumed_with.unwrap_or_default();
        // The count in `hello` is also an acknowledgement: the client must not send those packets
        // again.
        session.confirmed = session.confirmed.max(confirmed);
        session.rejections.check_acknowledged(confirmed, true)?;
        for (number, packet) in session.sent.iter().enumerate().skip(confirmed) {
            socket.send_packet(number, packet);
        }
        Ok(())
    }

    fn on_close(&mut self, at: usize, code: Option<u16>, reason: &[u8]) -> Result<(), Fault> {
        let socket = &mut self.sockets[at];
        let Some((expected, reason_prefix)) = socket.close else {
            return Err(Fault::new(format!("closed with {code:?}")));
        };
        let reason = String::from_utf8_lossy(reason);
        ensure!(code == Some(expected), "closed with {code:?} instead of {expected}: {reason}");
        ensure!(
            reason.starts_with(reason_prefix),
            "closed for {reason:?} instead of {reason_prefix:?}"
        );
        if reason_prefix == "retry=" {
            let wait = reason.strip_prefix(reason_prefix).and_then(|wait| wait.parse::<u64>().ok());
            ensure!(wait.is_some_and(|wait| wait <= 10_000), "a hint of {reason:?}");
            self.marks.mark(true, Mark::Hint);
        }
        let items = socket.session.map_or(0, |session| {
            let session = &self.sessions[session];
            session.total() - session.read_to
        });
        ensure!(items == 0 || socket.may_truncate, "closed before {items} packets");
        if socket.can_send() {
            socket.send(first_byte::CLOSE, &expected.to_be_bytes(), Meaning::Close(expected));
        }
        (socket.is_closed, socket.is_ending) = (true, true);
        Ok(())
    }
}
