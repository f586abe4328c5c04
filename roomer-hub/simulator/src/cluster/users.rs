//! Clients that reconnect to another node, and commands for all of a user's connections.
//!
//! A client that reconnects to another node starts a new session there. Its previous node keeps the
//! old session for a while, but must end it when the other node reports the new session.

use std::time::Duration;

use roomer_hub::cluster::{Change, OwnedUserCommand, SessionProof};
use roomer_hub::{ConnId, ConnKey};
use roomer_proto::cluster::{self as wire, NodeId};
use roomer_proto::{PacketRef, ROOT};

use super::actions::Commanded;
use super::client::{Client, Numbers};
use super::expected::Sender;
use super::infos::user;
use super::marks::Mark;
use super::node::{Clients, Node, TO_USER};
use super::plan::{ROOMS, ToUser, Token};
use super::world::World;
use crate::fault::{Fault, ensure};

const USERS: [&str; 2] = ["ann", "b\"ob\\"];

impl World {
    /// Reconnects a client to a node. Has no effect if the client is already connected to that
    /// node.
    pub(super) fn return_to(&mut self, node: usize, id: ConnId, token: Token) -> Result<(), Fault> {
        let old = &self.clients[&id];
        // A token can be used for one reconnection only.
        if old.node == node || old.has_returned || !self.nodes[node].runs() {
            return Ok(());
        }
        let (own, mut secret) = (user(old.number), old.secret());
        self.open(node)?;
        let from = self.nodes[node].id;
        // A client's number determines its user.
        let as_user = if token == Token::OtherUser { user(self.clients.len() - 1) } else { own };
        if token == Token::Forged {
            secret[0] ^= 1;
        }
        let is_right = token != Token::Forged && as_user == own;
        self.marks.mark(!is_right, Mark::Forged);
        let proof = SessionProof::new(&secret, &id, from, as_user);
        let Node { hub, cluster, .. } = &mut self.nodes[node];
        let tables = hub.tables();
        let peers: Vec<_> = tables.peers_of(id.as_str()).collect();
        for peer in &peers {
            cluster.record(self.now, tables, Change::Elsewhere { peer: *peer, id, proof });
        }
        if is_right && !peers.is_empty() {
            self.clients.entry(id).and_modify(|client| client.has_returned = true);
            let (from, client) = (&self.nodes[node], &self.clients[&id]);
            let to = &self.nodes[client.node];
            let is_known = peers.iter().any(|peer| from.cluster.peer_node(*peer) == Some(to.id));
            // Otherwise the report may be lost, and the old connection ends only by its timeout.
            if is_known && to.shows(from.id) {
                self.require_marks(node, id, None);
            }
        }
        self.touched(node);
        Ok(())
    }

    /// Records that a report or command from a node must end a client's connection, or (with a
    /// room) remove the client from the room.
    fn require_marks(&mut self, node: usize, id: ConnId, room: Option<usize>) {
        let (from, client) = (self.nodes[node].id, &self.clients[&id]);
        let breaks = self.nodes[client.node].breaks.get(&from).copied().unwrap_or_default();
        let leaves = room.map_or(0, |room| client.leaves_of(room));
        self.commands.push(Commanded { id, from, room, leaves, breaks });
    }

    /// Executes a command of a node's application for all of a user's connections.
    pub(super) fn command_users(
        &mut self,
        node: usize,
        user: u8,
        what: ToUser,
    ) -> Result<(), Fault> {
        if !self.nodes[node].runs() {
            return Ok(());
        }
        let name = USERS[usize::from(user) % USERS.len()];
        let from = self.nodes[node].id;
        let number = self.nodes[node].last_sent_to_user.get(name).copied().unwrap_or_default() + 1;
        let payload = Numbers { in_room: number, total: 0, node: from.0, info: 0 }.encode(0);
        let packet =
            PacketRef { room: ROOT, event: TO_USER, payload: &payload, ..PacketRef::default() };
        let command = match what {
            ToUser::Send => wire::UserCommand::Send { packet },
            ToUser::Leave { room } => wire::UserCommand::Leave { room: ROOMS[usize::from(room)] },
            ToUser::Close => wire::UserCommand::Close { code: 4000, reason: "out" },
        };
        self.expect_user_command(node, name, what, number);
        let World { nodes, clients, now, .. } = self;
        let Node { hub, cluster, last_sent_to_user, .. } = &mut nodes[node];
        if what == ToUser::Send {
            last_sent_to_user.insert(name, number);
        }
        // The other nodes receive the command through the state machine. The clients of this node
        // receive it directly, below.
        cluster.record(*now, hub.tables(), Change::User { user: name, command });
        let owned = owned_command(what, &packet)?;
        nodes[node].command_user(*now, clients, name, &owned)?;
        if what == ToUser::Send {
            let near = clients.values().filter(|client| client.node == node);
            for client in near.filter(|client| client.has_user(name)) {
                let last = client.to_user.get(&from.0).copied().unwrap_or_default();
                ensure!(last == number, "{} misses a message to {name}", client.id);
            }
        }
        self.touched(node);
        Ok(())
    }

    /// Records the effects that a command for a user must have on other nodes, before it is
    /// published. `number` is the number of the message, if the command sends one.
    fn expect_user_command(&mut self, node: usize, name: &'static str, what: ToUser, number: u32) {
        let from = self.nodes[node].id;
        let of_user = self.clients.values().filter(|client| client.has_user(name));
        let far: Vec<ConnId> =
            of_user.filter(|client| client.node != node).map(|client| client.id).collect();
        let room = match what {
            ToUser::Leave { room } => Some(usize::from(room)),
            ToUser::Send | ToUser::Close => None,
        };
        for id in far {
            let client = &self.clients[&id];
            let is_shown = self.nodes[client.node].shows(from);
            match what {
                ToUser::Send => {
                    self.nodes[node].last_sent_to_user.insert(name, number);
                    let sender = Sender::Server(from.0);
                    self.clients.entry(id).and_modify(|client| {
                        client.expect_message(sender, None, from, number, !is_shown);
                    });
                }
                _ if is_shown && room.is_none_or(|room| client.is_in(room)) => {
                    self.require_marks(node, id, room);
                }
                _ => {}
            }
        }
    }
}

impl Node {
    /// Handles a report from another node, where one of this node's clients has started a new
    /// session.
    pub(super) fn elsewhere(
        &mut self,
        now: Duration,
        clients: &mut Clients,
        from: NodeId,
        id: &ConnId,
        proof: &SessionProof,
    ) -> Result<(), Fault> {
        let Some(conn) = self.key(id) else { return Ok(()) };
        let Some(client) = clients.get_mut(id) else { return Ok(()) };
        if SessionProof::new(&client.secret(), id, from, user(client.number)) != *proof {
            self.reports.1 += 1;
            return Ok(());
        }
        ensure!(client.has_returned, "{id} counts as returned, but has not returned");
        self.reports.0 += 1;
        client.is_open = false;
        client.views.clear();
        self.hub(now, clients, roomer_hub::Input::Gone { conn }).map(drop)
    }

    /// Executes a command on those of a user's connections that belong to this node.
    pub(super) fn command_user(
        &mut self,
        now: Duration,
        clients: &mut Clients,
        user: &str,
        command: &OwnedUserCommand,
    ) -> Result<(), Fault> {
        let own = clients.values().filter(|client| client.node == self.index);
        let own = own.filter(|client| client.has_user(user)).map(|client| client.id);
        let own: Vec<(ConnId, ConnKey)> = own.filter_map(|id| Some((id, self.key(&id)?))).collect();
        for (id, conn) in own {
            if let Some(command) = command.for_conn(self.hub.tables(), conn, &id) {
                self.hub(now, clients, roomer_hub::Input::Command(command))?;
            }
        }
        Ok(())
    }
}

impl Client {
    /// Returns the secret of this client's session token.
    pub(super) fn secret(&self) -> [u8; 16] {
        let mut secret = [0x5e; 16];
        secret[8..].copy_from_slice(&(self.number as u64).to_be_bytes());
        secret
    }

    /// Returns true if this client is connected and has this user.
    fn has_user(&self, name: &str) -> bool {
        self.is_open && user(self.number) == Some(name)
    }

    /// Checks a message that was sent to this client's user.
    pub(super) fn message_to_user(
        &mut self,
        packet: &PacketRef<'_>,
        numbers: Numbers,
    ) -> Result<(), Fault> {
        ensure!(self.id == packet.dst && packet.src.is_empty(), "{packet:?} came to {}", self.id);
        ensure!(user(self.number).is_some(), "{} has no user, and gets {numbers:?}", self.id);
        let last = self.to_user.entry(numbers.node).or_default();
        ensure!(numbers.in_room > *last, "{}: {numbers:?} to its user after {last}", self.id);
        *last = numbers.in_room;
        let from = Sender::Server(numbers.node);
        let hides_loss = self.hiding(from, None);
        self.expected.take(from, None, numbers.in_room, hides_loss)
    }
}

/// Returns the command in the form that other nodes receive. `packet` is the message that it sends, if
/// any.
fn owned_command(what: ToUser, packet: &PacketRef<'_>) -> Result<OwnedUserCommand, Fault> {
    Ok(match what {
        ToUser::Send => {
            let mut bytes = Vec::new();
            packet.encode(&mut bytes).map_err(|error| Fault::new(error.to_string()))?;
            OwnedUserCommand::Send { packet: bytes.into() }
        }
        ToUser::Leave { room } => OwnedUserCommand::Leave { room: ROOMS[usize::from(room)].into() },
        ToUser::Close => OwnedUserCommand::Close { code: 4000, reason: "out".into() },
    })
}
