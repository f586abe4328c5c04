//! Applies the hub's actions to outboxes, tables, counters and hooks.

use std::sync::Arc;
use std::time::Duration;

use roomer_hub::{
    Action, Actions, Audience, Command, ConnKey, Hub, Input, Members, RoomKey, Snapshot, Tables,
};
use roomer_proto::PacketRef;

use super::{Applied, Core};
use crate::app::disconnect::DisconnectReason;
use crate::cluster::ClusterState;
use crate::core::congestion::Congestion;
use crate::core::conn_table::ConnTable;
use crate::core::counts::Counts;
use crate::core::hook_queue::{HookEvent, HookQueue};
use crate::core::joins::PendingJoins;
use crate::core::requests::Requests;
#[cfg(feature = "audit")]
use crate::journal::Journal;
use crate::outbound::Outbound;
use crate::outbound::socket_writer::SocketWriter;
use crate::session::Sessions;

/// The parts of [`Core`] that are changed by the hub's actions for one input, borrowed separately
/// from the hub, and the input's result.
pub(super) struct Effects<'c> {
    outbound: &'c mut Outbound,
    infos: &'c mut ConnTable,
    sessions: &'c mut Sessions,
    requests: &'c mut Requests,
    joins: &'c mut PendingJoins,
    hook_queue: &'c mut HookQueue,
    counts: &'c mut Counts,
    #[cfg(feature = "audit")]
    journal: &'c mut Journal,
    /// The writer of the connection that the input opens, if any.
    opening: Option<&'c Arc<SocketWriter>>,
    /// True after an [`Action::Joined`].
    has_joined: bool,
    /// The room of the last broadcast.
    broadcast_in: Option<RoomKey>,
    pub(super) applied: Applied,
}

impl Core {
    /// Passes an input to the hub and carries out its actions. `opening` is the writer of a
    /// connection being opened.
    pub(crate) fn apply(
        &mut self,
        now: Duration,
        input: Input<'_>,
        opening: Option<&Arc<SocketWriter>>,
    ) -> Applied {
        #[cfg(feature = "audit")]
        self.journal.record(&input);
        match input {
            Input::Command(Command::Leave { conn, room }) => self.joins.cancel(conn, room),
            Input::Command(Command::Close { conn, code, reason }) => {
                if let Some(info) = self.infos.get(conn) {
                    self.sessions.keep_close(now, info, code, reason);
                }
            }
            _ => {}
        }
        // Messages from all other inputs come from the cluster's machine, which has already
        // assigned their places in the room's order.
        let is_own =
            matches!(input, Input::Packet { .. } | Input::Allowed { .. } | Input::Command(_));
        let (hub, mut cluster, mut effects) = self.effects(opening);
        let mut actions = hub.handle(now, input);
        while let Some(action) = actions.next() {
            // Record the action for the other nodes, which receive the same actions in the same
            // order.
            if let Some(cluster) = &mut cluster {
                let (is_held, gate) = cluster.record(now, &actions, &action, is_own);
                let congested = &mut effects.applied.congested;
                *congested = gate.map(Congestion::Link).or(congested.take());
                if is_held {
                    continue; // Apply it once it has its place in the room's order.
                }
            }
            effects.carry_out(action, &actions);
        }
        effects.finish(hub.tables())
    }

    /// Splits the hub and the cluster's state from the parts that the hub's actions change.
    #[inline]
    pub(super) fn effects<'c>(
        &'c mut self,
        opening: Option<&'c Arc<SocketWriter>>,
    ) -> (&'c mut Hub, Option<&'c mut ClusterState>, Effects<'c>) {
        let effects = Effects {
            outbound: &mut self.outbound,
            infos: &mut self.infos,
            sessions: &mut self.sessions,
            requests: &mut self.requests,
            joins: &mut self.joins,
            hook_queue: &mut self.hook_queue,
            counts: &mut self.counts,
            #[cfg(feature = "audit")]
            journal: &mut self.journal,
            opening,
            has_joined: false,
            broadcast_in: None,
            applied: Applied::default(),
        };
        (&mut self.hub, self.cluster.as_deref_mut(), effects)
    }
}

impl Effects<'_> {
    /// Carries out one action. `actions` contains the input's remaining actions.
    #[inline]
    pub(super) fn carry_out(&mut self, action: Action<'_>, actions: &Actions<'_>) {
        let tables = actions.tables();
        match action {
            Action::Opened { conn } => self.opened(conn),
            Action::Joined { conn, room, name } => self.joined(conn, room, name),
            Action::Left { conn, room, name } => self.left(conn, room, name),
            Action::RoomClosed { room, .. } => self.outbound.room_closed(room),
            Action::JoinAck { to, id, room, snapshot } => self.join_ack(
                tables,
                to,
                PacketRef { room, src: id, ..PacketRef::default() },
                snapshot,
            ),
            Action::Send { to, packet } => self.send(tables, to, &packet),
            Action::Broadcast { room, members, except, audience, packet, .. } => {
                self.broadcast(tables, room, members, except, audience, &packet);
            }
            Action::Count { room, members, except, audience, packet } => {
                self.count(tables, room, members, except, audience, &packet);
            }
            Action::Call { handler, .. } => self.applied.call = Some(handler),
            Action::Request { handler, .. } => {
                (self.applied.call, self.applied.is_request) = (Some(handler), true);
            }
            Action::Answered { request, is_error, packet } => {
                self.requests.complete(request, actions.subject(), is_error, &packet);
            }
            Action::Unanswered { request, code } => self.requests.fail(request, code),
            Action::Authorize { permission, .. } => self.applied.ask = Some(permission),
            Action::Close { conn, code, reason } => self.close(conn, code, reason),
            // The cluster has already recorded these actions for the other nodes.
            Action::Rejected
            | Action::Forward { .. }
            | Action::InfoChanged { .. }
            | Action::AwayChanged { .. } => {}
        }
    }

    /// Returns the result after all actions have been carried out.
    #[inline]
    pub(super) fn finish(mut self, tables: &Tables) -> Applied {
        // Look up the congested member once per input instead of once per broadcast: few inputs
        // concern more than one room.
        if let Some(room) = self.broadcast_in {
            let receiver = self.outbound.congested_member(tables, room);
            self.applied.congested = receiver.map(Congestion::Receiver).or(self.applied.congested);
        }
        self.applied
    }

    fn opened(&mut self, conn: ConnKey) {
        self.applied.opened = Some(conn);
        #[cfg(feature = "audit")]
        self.journal.opened(conn);
        self.outbound.opened(conn, self.opening);
    }

    fn joined(&mut self, conn: ConnKey, room: RoomKey, name: &str) {
        self.has_joined = true;
        self.outbound.joined(conn, room);
        self.hook_queue.push(self.infos.get(conn), || HookEvent::Joined(name.into()));
    }

    fn left(&mut self, conn: ConnKey, room: RoomKey, name: &str) {
        self.hook_queue.push(self.infos.get(conn), || HookEvent::Left(name.into()));
        self.outbound.left(conn, room);
    }

    fn join_ack(
        &mut self,
        tables: &Tables,
        to: ConnKey,
        packet: PacketRef<'_>,
        snapshot: Snapshot<'_>,
    ) {
        // Without a preceding `Joined`, this packet answers a repeated join.
        let rejoined = if self.has_joined { None } else { tables.find_room(packet.room) };
        let is_sent = self.outbound.join_ack(to, rejoined, packet, snapshot);
        self.counts.messages_out += u64::from(is_sent);
    }

    #[inline]
    fn send(&mut self, tables: &Tables, to: ConnKey, packet: &PacketRef<'_>) {
        if let Some(receiver) = self.outbound.send(to, packet, tables.rooms_of(to)) {
            self.counts.messages_out += 1;
            if receiver.is_congested() {
                self.applied.congested = Some(Congestion::Receiver(receiver.clone()));
            }
        }
    }

    #[inline]
    fn broadcast(
        &mut self,
        tables: &Tables,
        room: RoomKey,
        members: Members<'_>,
        except: Option<ConnKey>,
        audience: Audience,
        packet: &PacketRef<'_>,
    ) {
        // Skip the batch if the sender is the room's only member.
        if audience == Audience::All && members.iter().all(|member| Some(member) == except) {
            return;
        }
        self.outbound.broadcast(room, members, except, audience, packet);
        self.counts.messages_out += match audience {
            Audience::All => {
                let is_left_out = except.is_some_and(|conn| tables.is_member(conn, room));
                (members.len() - usize::from(is_left_out)) as u64
            }
            _ => receivers(tables, room, except, audience),
        };
        self.broadcast_in = Some(room);
    }

    fn count(
        &mut self,
        tables: &Tables,
        room: RoomKey,
        members: Members<'_>,
        except: Option<ConnKey>,
        audience: Audience,
        packet: &PacketRef<'_>,
    ) {
        if self.outbound.count(room, members, except, audience, packet) {
            self.counts.messages_out += receivers(tables, room, except, audience);
        }
        self.broadcast_in = Some(room);
    }

    fn close(&mut self, conn: ConnKey, code: u16, reason: &str) {
        self.applied.is_closed = true;
        *self.counts.closes.entry(code).or_default() += 1;
        // Queue the hook before the connection's info, which the hook needs, is removed.
        self.hook_queue.push_lifecycle(self.infos.get(conn), || {
            HookEvent::Gone(DisconnectReason::ByServer(code), reason.into())
        });
        self.infos.remove(conn);
        // Ending the session also fails a handover to a task waiting for it.
        self.sessions.end(conn);
        self.joins.end(conn);
        self.counts.bytes_out += self.outbound.close(conn, code, reason).unwrap_or_default();
    }
}

/// Returns the number of members that receive a notice in a room.
#[cold]
fn receivers(tables: &Tables, room: RoomKey, except: Option<ConnKey>, audience: Audience) -> u64 {
    let (all, extended) = (tables.members(room).len(), tables.extended_members(room));
    let is_for = |conn: ConnKey| {
        tables.is_member(conn, room)
            && match audience {
                Audience::All => true,
                Audience::Plain => !tables.is_extended(conn),
                Audience::Extended => tables.is_extended(conn),
            }
    };
    let count = match audience {
        Audience::All => all,
        Audience::Plain => all - extended,
        Audience::Extended => extended,
    };
    // The excluded member was counted above, so the subtraction cannot underflow.
    (count - usize::from(except.is_some_and(is_for))) as u64
}
