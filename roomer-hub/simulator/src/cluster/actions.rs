//! The actions of clients and of the nodes' applications.

use roomer_hub::ConnId;
use roomer_hub::cluster::Change;
use roomer_proto::PacketRef;
use roomer_proto::cluster::{NodeId, PeerCommand};

use super::client::{Client, FULL, Numbers};
use super::expected::Sender;
use super::infos::{info, profile};
use super::marks::Mark;
use super::node::{DIRECT, MESSAGE, Node};
use super::plan::ROOMS;
use super::world::{Target, World};
use crate::fault::{Fault, ensure};

impl World {
    /// Performs an action for a client, if the client is connected and its node is running.
    pub(super) fn with(
        &mut self,
        client: u16,
        then: impl FnOnce(&mut Self, usize, ConnId) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let open = self.open_clients();
        let Some(id) = open.get(usize::from(client) % open.len().max(1)) else { return Ok(()) };
        let node = self.clients[id].node;
        if !self.nodes[node].runs() {
            return Ok(());
        }
        then(self, node, *id)?;
        self.touched(node);
        Ok(())
    }

    pub(super) fn open(&mut self, node: usize) -> Result<(), Fault> {
        if !self.nodes[node].runs() {
            return Ok(());
        }
        let mut random = [0; 16];
        // The client's serial number makes its id unique.
        random[8..].copy_from_slice(&(self.clients.len() as u64 + 1).to_be_bytes());
        let id = self.nodes[node].id.tag().id(random);
        let client = Client::new(id, node, self.clients.len(), self.setup);
        let (extended, profile) = (client.is_extended, profile(client.number, client.info));
        self.clients.insert(id, client);
        let World { nodes, clients, now, setup, .. } = self;
        let input = match setup.has_info {
            true => roomer_hub::Input::OpenWithProfile { id, extended, profile: &profile },
            false => roomer_hub::Input::Open { id, extended: false },
        };
        nodes[node].hub(*now, clients, input)?;
        self.touched(node);
        Ok(())
    }

    pub(super) fn set_info(&mut self, node: usize, id: ConnId, by: u8) -> Result<(), Fault> {
        let Some(conn) = self.nodes[node].key(&id) else { return Ok(()) };
        let Some(client) = self.clients.get_mut(&id) else { return Ok(()) };
        client.info += u32::from(by);
        let info = info(client.info);
        self.marks.mark(by > 0, Mark::InfoChanged);
        self.command(node, roomer_hub::Command::SetInfo { conn, info: info.as_ref() })
    }

    pub(super) fn away(&mut self, node: usize, id: ConnId, is_away: bool) -> Result<(), Fault> {
        let World { nodes, clients, now, marks, .. } = self;
        let Some(conn) = nodes[node].key(&id) else { return Ok(()) };
        let Some(client) = clients.get_mut(&id) else { return Ok(()) };
        client.is_away = is_away;
        marks.mark(is_away, Mark::Away);
        nodes[node].hub(*now, clients, roomer_hub::Input::Away { conn, is_away })?;
        self.touched(node);
        Ok(())
    }

    pub(super) fn close(&mut self, node: usize, id: ConnId) -> Result<(), Fault> {
        let World { nodes, clients, now, .. } = self;
        let Some(conn) = nodes[node].key(&id) else { return Ok(()) };
        if let Some(client) = clients.get_mut(&id) {
            client.is_open = false;
            client.views.clear();
        }
        nodes[node].hub(*now, clients, roomer_hub::Input::Gone { conn })?;
        self.touched(node);
        Ok(())
    }

    pub(super) fn packet(&mut self, client: u16, packet: PacketRef<'_>) -> Result<(), Fault> {
        self.with(client, |world, node, id| world.send(node, id, packet).map(drop))
    }

    /// Sends a client's packet. Returns true if the hub has sent a message because of the packet.
    pub(super) fn send(
        &mut self,
        node: usize,
        id: ConnId,
        packet: PacketRef<'_>,
    ) -> Result<bool, Fault> {
        let World { nodes, clients, now, .. } = self;
        let Some(conn) = nodes[node].key(&id) else { return Ok(false) };
        nodes[node].hub(*now, clients, roomer_hub::Input::Packet { conn, packet })
    }

    pub(super) fn command(
        &mut self,
        node: usize,
        command: roomer_hub::Command<'_>,
    ) -> Result<(), Fault> {
        let World { nodes, clients, now, .. } = self;
        nodes[node].hub(*now, clients, roomer_hub::Input::Command(command))?;
        self.touched(node);
        Ok(())
    }

    pub fn send_message(&mut self, id: ConnId, room: usize, size: u32) -> Result<(), Fault> {
        let target = Target::Room(room);
        let packet = PacketRef { room: ROOMS[room], event: MESSAGE, ..PacketRef::default() };
        self.numbered(id, target, packet, size)
    }

    pub fn direct(&mut self, id: ConnId, to: ConnId) -> Result<(), Fault> {
        let packet = PacketRef { dst: to.as_str(), event: DIRECT, ..PacketRef::default() };
        self.numbered(id, Target::Client(to), packet, 0)
    }

    pub(super) fn numbered(
        &mut self,
        id: ConnId,
        target: Target,
        packet: PacketRef<'_>,
        size: u32,
    ) -> Result<(), Fault> {
        let node = self.clients[&id].node;
        let in_room = self.last_sent(id, target) + 1;
        let total = self.order.get(&id).copied().unwrap_or_default() + 1;
        let info = self.clients[&id].info;
        let payload = Numbers { in_room, total, node: 0, info }.encode(size);
        self.largest = self.largest.max(payload.len());
        // Count only messages that the hub has sent: a rejected message must not look like a lost
        // one.
        if self.send(node, id, PacketRef { payload: &payload, ..packet })? {
            self.last_sent.insert((id, target), in_room);
            self.order.insert(id, total);
            match target {
                Target::Room(room) => {
                    self.expect_in_room(node, Sender::Client(id), room, in_room, None);
                    self.check_local(node, id, room, in_room)?;
                }
                Target::Client(to) => self.expect_direct(node, id, to, in_room),
            }
        }
        self.touched(node);
        Ok(())
    }

    /// Records which clients on other nodes must receive a message to a room.
    fn expect_in_room(
        &mut self,
        node: usize,
        from: Sender,
        room: usize,
        number: u32,
        except: Option<ConnId>,
    ) {
        let sender = &self.nodes[node];
        let tables = sender.hub.tables();
        let Some(key) = tables.find_room(ROOMS[room]) else { return };
        // The hub sends the message only to peers that it knows as members of the room.
        let known: Vec<NodeId> =
            tables.peers(key).iter().filter_map(|peer| sender.cluster.peer_node(peer)).collect();
        let is_ordered = self.setup.orders(room);
        let receivers = self.clients.values_mut().filter(|client| client.is_in(room));
        for client in receivers.filter(|client| Some(client.id) != except) {
            let receiver = &self.nodes[client.node];
            let is_shown = match from {
                Sender::Client(src) => room >= FULL || client.views[&room].contains(&src),
                Sender::Server(_) => true,
            };
            // Clients on the sender's own node must receive the message too, but perhaps later,
            // once it has its place in the order.
            let is_own = client.node == node && Sender::Client(client.id) != from;
            if is_ordered && is_own && !client.has_received(from, room, number) {
                client.expect_message(from, Some(room), sender.id, number, false);
            }
            if client.node != node && known.contains(&receiver.id) && is_shown {
                let may_be_lost = !receiver.shows(sender.id);
                client.expect_message(from, Some(room), sender.id, number, may_be_lost);
            }
        }
    }

    /// Records that a client on another node must receive a direct message, if that node is a peer
    /// of the sender's node, and the sender is in the client's view of a room.
    fn expect_direct(&mut self, node: usize, src: ConnId, to: ConnId, number: u32) {
        let sender = &self.nodes[node];
        let mut peers = sender.hub.tables().peers_of(to.as_str());
        let Some(client) = self.clients.get_mut(&to) else { return };
        let receiver = &self.nodes[client.node];
        let is_known = peers.any(|peer| sender.cluster.peer_node(peer) == Some(receiver.id));
        if client.node != node && is_known && client.shows(src) {
            let may_be_lost = !receiver.shows(sender.id);
            client.expect_message(Sender::Client(src), None, sender.id, number, may_be_lost);
        }
    }

    /// Checks that a message has already reached all members on its sender's node.
    fn check_local(&self, node: usize, src: ConnId, room: usize, number: u32) -> Result<(), Fault> {
        let own = self.clients.values().filter(|client| client.node == node && client.id != src);
        // Skip ordered rooms, where a message waits for its place even on its sender's node.
        let own = own.filter(|client| !client.orders(room));
        for client in own.filter(|client| client.is_in(room)) {
            let last = client.last_of(src, Some(room));
            ensure!(last == number, "{} misses message {number} of {src}", client.id);
        }
        Ok(())
    }

    pub(super) fn server_broadcast(
        &mut self,
        node: usize,
        room: u8,
        except: u16,
    ) -> Result<(), Fault> {
        if !self.nodes[node].runs() {
            return Ok(());
        }
        let room = usize::from(room);
        let open = self.open_clients();
        let except = open.get(usize::from(except) % open.len().max(1)).copied();
        let number = self.nodes[node].last_sent.entry(room).or_default();
        *number += 1;
        let numbers = Numbers { in_room: *number, total: 0, node: self.nodes[node].id.0, info: 0 };
        let payload = numbers.encode(0);
        let conn = except.and_then(|id| self.nodes[node].key(&id));
        let last_received = |world: &World| {
            let client = except.and_then(|id| world.clients.get(&id));
            client.map_or(0, |client| client.last_of_server(numbers.node, room))
        };
        // The excluded client's last message, for the comparison below: the client must not receive
        // this one, now or later.
        let before = last_received(self);
        let command = roomer_hub::Command::Broadcast {
            from: None,
            except: conn,
            except_guest: if conn.is_none() { except } else { None },
            room: ROOMS[room],
            event: MESSAGE,
            payload: &payload,
        };
        self.command(node, command)?;
        self.expect_in_room(node, Sender::Server(numbers.node), room, numbers.in_room, except);
        ensure!(last_received(self) == before, "{except:?} gets a message that is not for it");
        if let Some(client) = except.and_then(|id| self.clients.get_mut(&id)) {
            client.must_not_receive(numbers.node, room, numbers.in_room);
        }
        Ok(())
    }

    /// Executes a command of a node's application for a client, which may be connected to any node.
    pub(super) fn about<'a>(
        &mut self,
        node: usize,
        id: ConnId,
        command: impl Fn(roomer_hub::ConnKey) -> roomer_hub::Command<'a>,
        at_peer: PeerCommand<'_>,
    ) -> Result<(), Fault> {
        if !self.nodes[node].runs() {
            return Ok(());
        }
        if let Some(conn) = self.nodes[node].key(&id) {
            return self.command(node, command(conn));
        }
        let Node { hub, cluster, .. } = &mut self.nodes[node];
        let tables = hub.tables();
        // Two nodes may have the same tag, so send the command to both. A node without the client
        // ignores it.
        for peer in tables.peers_of(id.as_str()) {
            self.marks.mark(true, Mark::RemoteCommand);
            cluster.record(self.now, tables, Change::Command { peer, id, command: at_peer });
        }
        self.commanded(node, id, at_peer);
        self.touched(node);
        Ok(())
    }

    /// Records that a command must take effect, if the two nodes know each other and the client is
    /// in the room.
    fn commanded(&mut self, node: usize, id: ConnId, command: PeerCommand<'_>) {
        let (from, client) = (&self.nodes[node], &self.clients[&id]);
        let (to, tables) = (&self.nodes[client.node], from.hub.tables());
        let is_known =
            tables.peers_of(id.as_str()).any(|peer| from.cluster.peer_node(peer) == Some(to.id));
        let room = match command {
            PeerCommand::Leave { room } => ROOMS.iter().position(|name| *name == room),
            _ => None,
        };
        if is_known && to.shows(from.id) && room.is_none_or(|room| client.is_in(room)) {
            self.commands.push(Commanded {
                id,
                from: from.id,
                room,
                leaves: room.map_or(0, |room| client.leaves_of(room)),
                breaks: to.breaks.get(&from.id).copied().unwrap_or_default(),
            });
        }
    }

    /// Checks that all commands have taken effect, or that their loss is excused.
    pub(super) fn check_commands(&self) -> Result<(), Fault> {
        for command in &self.commands {
            let client = &self.clients[&command.id];
            let node = &self.nodes[client.node];
            let breaks = node.breaks.get(&command.from).copied().unwrap_or_default();
            let is_done = match command.room {
                Some(room) => client.leaves_of(room) > command.leaves,
                None => false,
            };
            ensure!(
                !client.is_open
                    || is_done
                    // Since the command was sent, the client's node has restarted its stream with
                    // the command's node, so the command may have been lost.
                    || breaks > command.breaks
                    || self.is_lost_to(node, command.from),
                "{command:?} had no effect"
            );
        }
        Ok(())
    }
}

/// A command that removes a client on another node from a room, or closes the client.
#[derive(Debug)]
pub struct Commanded {
    pub(super) id: ConnId,
    pub(super) from: NodeId,
    pub(super) room: Option<usize>,
    pub(super) leaves: u32,
    pub(super) breaks: u32,
}
