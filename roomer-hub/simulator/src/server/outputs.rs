//! Converts the model's effects to expected output, and estimates the size of queues.

use std::time::Duration;

use roomer_engine::DisconnectReason;
use roomer_hub::Presence;
use roomer_proto::PacketRef;

use super::conn_model::State;
use super::expected::{Order, Output};
use super::harness::Harness;
use super::hooks::HookEvent;
use super::marks::Mark;
use super::traffic::Meaning;
use crate::alphabet::identity;
use crate::fault::Fault;
use crate::hub::op::{Effect, IdSet, Op};

impl Harness<'_> {
    /// Passes an input to the model, and adds its effects to the expected output.
    pub(super) fn give(
        &mut self,
        op: Op,
        reason: Option<Option<&'static str>>,
    ) -> Result<(), Fault> {
        let now = self.now();
        self.model.input(now, op);
        self.input_count += 1;
        // Take the effects out of the model until the end of this function, since the calls below
        // borrow the harness mutably.
        let effects = std::mem::take(&mut self.model.effects);
        let is_close = matches!(op, Op::Close { .. });
        let mut left = None;
        for effect in &effects {
            match *effect {
                Effect::Left { client, room, name } => {
                    left = Some(room);
                    self.expect_hook(client, HookEvent::Left(name));
                }
                Effect::Opened { client } => self.expect_hook(client, HookEvent::Connected),
                Effect::Joined { client, name, .. } => {
                    self.expect_hook(client, HookEvent::Joined(name))
                }
                Effect::JoinAck { to, room, members, presence, .. } => {
                    self.expect_join_ack(to, room, (members, presence));
                }
                Effect::Send { to, packet } => self.expect_packet(to, packet, left),
                Effect::Broadcast { room, to, packet, .. } => {
                    self.expect_broadcast(room, to, packet, is_close);
                }
                Effect::Close { client, code, reason: given } => {
                    self.expect_close(client, code, reason.unwrap_or(Some(given)));
                }
                Effect::Rejected => return Err(Fault::new("a duplicate id".into())),
                Effect::RoomClosed { .. }
                | Effect::Call { .. }
                | Effect::Authorize { .. }
                | Effect::Forward { .. } => {}
            }
        }
        self.model.effects = effects;
        Ok(())
    }

    fn expect_join_ack(
        &mut self,
        to: u16,
        room: &'static str,
        (members, presence): (IdSet, Presence),
    ) {
        let at = self.conn_of_client[usize::from(to)];
        let id = &*identity(self.conns[at].id).text;
        let number = self.model.room(room).map_or(u32::MAX, |room| room.number);
        self.marks.mark(presence == Presence::Count, Mark::CountShown);
        self.marks.mark(presence == Presence::Off, Mark::SelfOnlyShown);
        self.counts.messages_out += 1;
        let output = Output::JoinAck { room, id, members, presence };
        self.expect(self.now(), at, Order::After(number), output);
    }

    /// Expects a packet to one client. `left` is the room that the client leaves because of the
    /// same input, if any.
    fn expect_packet(&mut self, to: u16, packet: PacketRef<'static>, left: Option<u32>) {
        let at = self.conn_of_client[usize::from(to)];
        let order = match (packet.dst.is_empty(), left) {
            (false, _) => Order::Barrier,
            (true, Some(room)) => Order::After(room),
            (true, None) => Order::Direct,
        };
        self.counts.messages_out += 1;
        self.expect(self.now(), at, order, Output::Packet(packet));
    }

    fn expect_broadcast(
        &mut self,
        room: u32,
        to: IdSet,
        packet: PacketRef<'static>,
        is_close: bool,
    ) {
        let now = self.now();
        for at in 0..self.conns.len() {
            if self.conns[at].client.is_some() && to.contains(self.conns[at].id) {
                let was_over = self.conns[at].expected.may_exceed_limit;
                self.expect(now, at, Order::Room(room), Output::Packet(packet));
                let conn = &mut self.conns[at];
                conn.overflowed_by_close |= is_close && !was_over && conn.expected.may_exceed_limit;
            }
        }
        self.marks.mark(to.len() > 8, Mark::LargeRoom);
        self.counts.messages_out += u64::from(to.len());
    }

    fn expect_close(&mut self, client: u16, code: u16, reason: Option<&'static str>) {
        self.expect_hook(client, HookEvent::Gone(DisconnectReason::ByServer(code)));
        *self.counts.closes.entry(code).or_default() += 1;
        let (now, at) = (self.now(), self.conn_of_client[usize::from(client)]);
        // The connection's queue may drop output beyond its hard limit.
        let expected = &mut self.conns[at].expected;
        expected.may_be_truncated |= expected.may_drop_next();
        // The close frame is required even if the queue is full, since the engine always reserves
        // space for it.
        let close = Output::Close { code: Some(code), reason };
        expected.push(now, Order::Barrier, close, false);
    }

    /// Adds an item to a connection's expected output.
    pub(super) fn expect(&mut self, now: Duration, at: usize, order: Order, what: Output) {
        let setup = &self.plan.setup;
        let (soft, hard) = (setup.max_backlog, setup.hard_limit());
        let conn = &mut self.conns[at];
        conn.expected.push(now, order, what, false);
        let outstanding = conn.expected.outstanding() as usize;
        // If the socket has space, some of these bytes leave the queue immediately.
        if !conn.peer.has_space() {
            self.marks.mark(outstanding == soft, Mark::SoftExactly);
            self.marks.mark(outstanding == hard, Mark::HardExactly);
        }
        if outstanding > soft / 2 {
            conn.congested_since.get_or_insert(now);
        }
    }

    /// Removes the pings and pongs that precede the client's next input, and expects the answers to
    /// the pings.
    pub(super) fn settle_pings(&mut self, at: usize) {
        self.settle_pings_up_to(at, u64::MAX);
    }

    /// Like `settle_pings`, but only up to this position in the client's bytes.
    pub(super) fn settle_pings_up_to(&mut self, at: usize, read: u64) {
        // The server handles frames in order, so it has handled those that precede the next input.
        while let Some(what @ (Meaning::Ping(_) | Meaning::Pong)) = self.conns[at].next()
            && self.conns[at].traffic.pending.front().is_some_and(|sent| sent.at <= read)
        {
            self.conns[at].traffic.pending.pop_front();
            if let Meaning::Ping(payload) = what
                && self.is_connected(at)
            {
                let (now, is_optional) = (self.now(), self.may_be_congested(at));
                let sent_during_write = self.sent_during_write;
                let expected = &mut self.conns[at].expected;
                expected.push(now, Order::Direct, Output::Pong(payload), is_optional);
                // The pong may have been queued while the message sent during the write occupied
                // the queue.
                expected.may_exceed_limit |= sent_during_write && expected.may_drop_next();
                self.marks.mark(true, Mark::Pong);
            }
        }
    }

    /// Returns true if a connection's queue may be above its high-water mark, where raw messages
    /// are rejected.
    pub(super) fn may_be_congested(&self, at: usize) -> bool {
        let soft = self.plan.setup.max_backlog as u64;
        self.conns[at].expected.outstanding() > soft / 2
    }

    /// Returns true if the server may exceed its memory budget. The buffer for an incomplete
    /// message, or for input after a pending handler, may be twice as large as its contents.
    pub(super) fn may_be_out_of_memory(&self) -> bool {
        let Some(budget) = self.plan.setup.budget() else { return false };
        let max = self.plan.setup.max_message as u64 + 100;
        // Use upper bounds: the plan must not fail because the engine needs less memory than it may
        // use.
        let held = self.conns.iter().filter(|conn| conn.state != State::Ended).map(|conn| {
            // A message that is complete by now may have arrived in several parts, and may have
            // occupied a buffer until now.
            let is_whole =
                conn.traffic.pending.front().is_none_or(|sent| sent.at <= conn.read_at_poll);
            let unfinished = if is_whole { 0 } else { 2 * max.min(conn.read) };
            let waiting = conn.waiting.map_or(0, |waiting| waiting.payload);
            let buffered = conn.buffered_from.map_or(0, |from| 2 * (conn.read - from));
            conn.expected.outstanding() + unfinished + waiting + buffered
        });
        held.sum::<u64>() > budget
    }

    /// Returns true if an open connection may be so congested that senders are paused.
    pub(super) fn may_pause_senders(&self) -> bool {
        (0..self.conns.len())
            .any(|at| self.conns[at].state == State::Open && self.may_be_congested(at))
    }
}
