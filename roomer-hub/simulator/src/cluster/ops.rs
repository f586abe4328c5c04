//! Executes the steps of a plan, including those that start and stop nodes.

use std::time::Duration;

use roomer_hub::ConnId;
use roomer_hub::cluster::{Input, settings_hash};
use roomer_proto::PacketRef;
use roomer_proto::cluster::PeerCommand;

use super::marks::Mark;
use super::node::{CLUSTER, Node, State};
use super::plan::{Op, ROOMS};
use super::world::{CRASH_SEEN, STRANGER, World};
use crate::fault::Fault;

impl World {
    /// Executes one of the plan's steps.
    pub fn op(&mut self, op: Op) -> Result<(), Fault> {
        self.steps += 1;
        let count = self.nodes.len();
        let index = |node: u8| usize::from(node) % count;
        match op {
            Op::Open { node } => self.open(index(node)),
            Op::Close { client } => self.with(client, |world, node, id| world.close(node, id)),
            Op::Join { client, room } => {
                let room = ROOMS[usize::from(room)];
                self.packet(client, PacketRef { room, event: "join", ..PacketRef::default() })
            }
            Op::Leave { client, room } => {
                let room = ROOMS[usize::from(room)];
                self.packet(client, PacketRef { room, event: "leave", ..PacketRef::default() })
            }
            Op::Move { client, from, to } => self.with(client, |world, node, id| {
                let (from, to) = (usize::from(from), usize::from(to));
                // As on a real server, the move has no effect unless the client is in the first
                // room.
                if !world.clients[&id].is_in(from) {
                    return Ok(());
                }
                let Some(conn) = world.nodes[node].key(&id) else { return Ok(()) };
                let leave = roomer_hub::Command::Leave { conn, room: ROOMS[from] };
                let join = roomer_hub::Command::Join { conn, room: ROOMS[to] };
                world.command(node, leave)?;
                world.command(node, join)
            }),
            Op::SetInfo { client, by } => {
                self.with(client, |world, node, id| world.set_info(node, id, by))
            }
            Op::Away { client, is_away } => {
                self.with(client, |world, node, id| world.away(node, id, is_away))
            }
            Op::Send { client, room, size } => {
                self.with(client, |world, _, id| world.send_message(id, usize::from(room), size))
            }
            Op::Direct { client, to } => self.with(client, |world, _, id| {
                let open: Vec<ConnId> = world.open_clients();
                world.direct(id, open[usize::from(to) % open.len()])
            }),
            Op::ServerSend { node, room, except } => {
                self.server_broadcast(index(node), room, except)
            }
            Op::Kick { node, client, room } => self.with(client, |world, _, id| {
                let room = ROOMS[usize::from(room)];
                let at_peer = PeerCommand::Leave { room };
                world.about(
                    index(node),
                    id,
                    |conn| roomer_hub::Command::Leave { conn, room },
                    at_peer,
                )
            }),
            Op::Disconnect { node, client } => self.with(client, |world, _, id| {
                let at_peer = PeerCommand::Close { code: 4000, reason: "out" };
                let close = |conn| roomer_hub::Command::Close { conn, code: 4000, reason: "out" };
                world.about(index(node), id, close, at_peer)
            }),
            Op::Reconnect { client, node, token } => {
                self.with(client, |world, _, id| world.return_to(index(node), id, token))
            }
            Op::ToUser { node, user, what } => self.command_users(index(node), user, what),
            other => self.environment_op(other),
        }
    }

    /// Executes a step that affects nodes, their links or the broker, but no client.
    fn environment_op(&mut self, op: Op) -> Result<(), Fault> {
        let count = self.nodes.len();
        let index = |node: u8| usize::from(node) % count;
        match op {
            Op::LinkDown { node } => self.cut(index(node)),
            Op::LinkUp { node } => self.connect(index(node)),
            Op::BrokerDown => (0..count).try_for_each(|node| self.cut(node)),
            Op::BrokerUp => (0..count).try_for_each(|node| self.connect(node)),
            Op::Partition { one, other } => {
                self.broker.partition(index(one), index(other));
                Ok(())
            }
            Op::Heal => {
                self.broker.heal();
                Ok(())
            }
            Op::LossRate { of_thousand } => {
                self.broker.lose(of_thousand);
                Ok(())
            }
            Op::Refuse { node, on } => {
                self.refuse(index(node), on);
                Ok(())
            }
            Op::Crash { node } => {
                self.crash(index(node));
                Ok(())
            }
            Op::Restart { node } => self.restart(index(node)),
            Op::Suspend { node } => {
                let node = &mut self.nodes[index(node)];
                if node.runs() {
                    node.state = State::Asleep;
                }
                Ok(())
            }
            Op::Resume { node } => self.wake(index(node)),
            Op::Stop { node } => self.stop(index(node)),
            Op::Noise { node, kind } => self.noise(index(node), kind),
            Op::Wait(ms) => self.run(Duration::from_millis(ms.into())),
            _ => Ok(()),
        }
    }

    pub fn refuse(&mut self, node: usize, on: bool) {
        self.broker.refuse(node, on);
        self.touched(node);
    }

    pub(super) fn crash(&mut self, node: usize) {
        if self.nodes[node].state == State::Ended {
            return;
        }
        self.end(node);
        self.marks.mark(true, Mark::Crash);
    }

    /// Ends a node, and disconnects its clients.
    pub(super) fn end(&mut self, node: usize) {
        self.nodes[node].state = State::Ended;
        self.broker.disconnect(node);
        let mut ids = Vec::new();
        for client in self.clients.values_mut().filter(|client| client.node == node) {
            if client.is_open {
                ids.push(client.id);
            }
            client.is_open = false;
            client.views.clear();
        }
        self.crashed.push((self.now, ids, vec![node]));
    }

    pub(super) fn restart(&mut self, node: usize) -> Result<(), Fault> {
        if self.nodes[node].state != State::Ended {
            return Ok(());
        }
        self.incarnations[node] += 1;
        self.nodes[node] = Node::new(&self.setup, node, self.incarnations[node], self.now);
        self.marks.mark(true, Mark::Restart);
        self.broker.disconnect(node);
        self.connect(node)
    }

    pub fn wake(&mut self, node: usize) -> Result<(), Fault> {
        if self.nodes[node].state != State::Asleep {
            return Ok(());
        }
        let slept = self.now.saturating_sub(self.nodes[node].cluster.wake_at());
        self.marks.mark(slept > CRASH_SEEN, Mark::LongSleep);
        self.nodes[node].state = State::Running;
        self.nodes[node].awake_since = self.now;
        self.nodes[node].woke_at = self.now;
        for input in std::mem::take(&mut self.nodes[node].backlog) {
            self.input(node, input)?;
        }
        self.touched(node);
        Ok(())
    }

    pub(super) fn stop(&mut self, node: usize) -> Result<(), Fault> {
        if !self.nodes[node].runs() {
            return Ok(());
        }
        let mut ids = self.open_clients();
        ids.retain(|id| self.clients[id].node == node);
        for id in &ids {
            self.close(node, *id)?;
        }
        self.crashed.push((self.now, ids, vec![node]));
        self.expect_no_waiting(node);
        self.input(node, Input::Stop)?;
        self.publish(node)?;
        self.marks.mark(self.broker.takes(node), Mark::Stop);
        // The node's link stays up, so frames in flight still arrive.
        let ended = &mut self.nodes[node];
        ended.has_sent_all = self.broker.takes(node) && !ended.cluster.wants_to_publish();
        ended.state = State::Ended;
        Ok(())
    }

    pub(super) fn noise(&mut self, node: usize, kind: u8) -> Result<(), Fault> {
        use roomer_proto::cluster::{FrameKind, Head, Item};
        let mut frame = Vec::new();
        let from = STRANGER;
        // A frame of another version counts as a frame from a peer only if it names the same
        // cluster.
        let cluster = if kind == 3 { settings_hash(CLUSTER) } else { 12345 };
        Head { cluster, from, kind: FrameKind::Control }.encode(&mut frame);
        Item::RequestStream { stream: 1, after: Default::default() }.encode(&mut frame);
        match kind {
            0 => {}
            1 | 3 => frame[2] = 99,
            _ => frame.truncate(7),
        }
        self.marks.mark(true, Mark::Noise);
        self.input(node, Input::Frame(frame.into()))?;
        if kind == 3 {
            // The peer with the other version also requests a stream. The node must not answer it.
            let mut frame = Vec::new();
            Head { cluster, from, kind: FrameKind::Control }.encode(&mut frame);
            Item::RequestStream { stream: 1, after: Default::default() }.encode(&mut frame);
            self.input(node, Input::Frame(frame.into()))?;
        }
        Ok(())
    }
}
