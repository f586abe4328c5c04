//! The state under the server's one lock: the hub, and the consequences of its actions.
//!
//! Everything here is bookkeeping in memory. Nothing writes to a socket, wakes a task or runs a
//! handler: the task that took the lock does that after it has released it
//! ([`flush`](crate::outbound::flush)).

use std::sync::Arc;
use std::time::Duration;

use roomer_hub::{
    Action, Audience, Command, ConnId, ConnKey, HandlerKey, Hub, Input, Permission, RoomKey, Tables,
};
use roomer_proto::close::Close;
use roomer_proto::{PacketRef, close};

use crate::app::conn::ConnInfo;
use crate::app::conn_table::ConnTable;
use crate::app::hooks::{DisconnectReason, HookEvent, HookQueue};
use crate::app::request::Requests;
use crate::cluster::ClusterState;
use crate::connection::congestion::Congestion;
#[cfg(feature = "audit")]
use crate::journal::Journal;
use crate::metrics::stats::Counts;
use crate::outbound::socket_writer::SocketWriter;
use crate::outbound::{FlushWork, Outbound};
use crate::session::Sessions;

#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) hub: Hub,
    pub(crate) outbound: Outbound,
    /// The open connections as the application sees them.
    pub(crate) infos: ConnTable,
    pub(crate) sessions: Sessions,
    pub(crate) requests: Requests,
    pub(crate) hook_queue: HookQueue,
    pub(crate) counts: Counts,
    /// This node's part of a cluster, if it is one.
    pub(crate) cluster: Option<Box<ClusterState>>,
    #[cfg(feature = "audit")]
    pub(crate) journal: Journal,
}

/// The result of an input, for the task that gave it.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    /// The key of the connection that was opened.
    pub(crate) opened: Option<ConnKey>,
    /// A handler to run with the packet of the input.
    pub(crate) call: Option<HandlerKey>,
    /// True if that handler is one of requests.
    pub(crate) is_request: bool,
    /// A rule to ask about the packet of the input.
    pub(crate) ask: Option<Permission>,
    /// A receiver above its high-water mark; the sender should pause reading.
    pub(crate) congested: Option<Congestion>,
    /// True if the hub closed the connection of the input.
    pub(crate) is_closed: bool,
}

impl Core {
    pub(crate) fn new(hub: Hub, has_hooks: bool, cluster: Option<ClusterState>) -> Self {
        Core {
            hub,
            outbound: Outbound::default(),
            infos: ConnTable::default(),
            sessions: Sessions::default(),
            requests: Requests::default(),
            hook_queue: HookQueue::new(has_hooks),
            counts: Counts::default(),
            cluster: cluster.map(Box::new),
            #[cfg(feature = "audit")]
            journal: Journal::default(),
        }
    }

    /// Gives the hub an input and carries out its actions. `opening` is the writer of a connection
    /// that opens.
    pub(crate) fn apply(
        &mut self,
        now: Duration,
        input: Input<'_>,
        opening: Option<&Arc<SocketWriter>>,
    ) -> Applied {
        let mut applied = Applied::default();
        #[cfg(feature = "audit")]
        self.journal.record(&input);
        let Core { hub, outbound, infos, sessions, requests, hook_queue, counts, cluster, .. } =
            self;
        // Messages of other inputs come from the cluster's machine, which has given them their places.
        let is_own =
            matches!(input, Input::Packet { .. } | Input::Allowed { .. } | Input::Command(_));
        let mut broadcast_in = None;
        let mut has_joined = false;
        let mut actions = hub.handle(now, input);
        while let Some(action) = actions.next() {
            // Other nodes get the same actions in the same order.
            if let Some(cluster) = cluster {
                let (is_held, gate) = cluster.record(now, &actions, &action, is_own);
                applied.congested = gate.map(Congestion::Link).or(applied.congested);
                if is_held {
                    continue; // It is applied once it has its place in the room's order.
                }
            }
            match action {
                Action::Opened { conn } => {
                    applied.opened = Some(conn);
                    #[cfg(feature = "audit")]
                    self.journal.opened(conn);
                    outbound.opened(conn, opening);
                }
                Action::Joined { conn, room, name } => {
                    has_joined = true;
                    outbound.joined(conn, room);
                    hook_queue.push(infos.get(conn), || HookEvent::Joined(name.into()));
                }
                Action::Left { conn, room, name } => {
                    hook_queue.push(infos.get(conn), || HookEvent::Left(name.into()));
                    outbound.left(conn, room);
                }
                Action::RoomClosed { room, .. } => outbound.room_closed(room),
                Action::JoinAck { to, id, room, snapshot } => {
                    // Without a `Joined` before it, this answers the join of a connection that is a
                    // member already.
                    let rejoined = if has_joined { None } else { actions.tables().find_room(room) };
                    let packet = PacketRef { room, src: id, ..PacketRef::default() };
                    let is_sent = outbound.join_ack(to, rejoined, packet, snapshot);
                    counts.messages_out += u64::from(is_sent);
                }
                Action::Send { to, packet } => {
                    let rooms = actions.tables().rooms_of(to);
                    if let Some(receiver) = outbound.send(to, &packet, rooms) {
                        counts.messages_out += 1;
                        if receiver.is_congested() {
                            applied.congested = Some(Congestion::Receiver(receiver.clone()));
                        }
                    }
                }
                Action::Broadcast { room, members, except, audience, packet, .. } => {
                    // No batch for a room whose only member is the sender.
                    let is_received = members.iter().any(|member| Some(member) != except);
                    if audience != Audience::All {
                        outbound.broadcast(room, members, except, audience, &packet);
                        let tables = actions.tables();
                        counts.messages_out += receivers(tables, room, except, audience);
                        broadcast_in = Some(room);
                    } else if is_received {
                        outbound.broadcast(room, members, except, audience, &packet);
                        let is_left_out =
                            except.is_some_and(|conn| actions.tables().is_member(conn, room));
                        counts.messages_out += (members.len() - usize::from(is_left_out)) as u64;
                        broadcast_in = Some(room);
                    }
                }
                Action::Count { room, members, except, audience, packet } => {
                    if outbound.count(room, members, except, audience, &packet) {
                        let tables = actions.tables();
                        counts.messages_out += receivers(tables, room, except, audience);
                    }
                    broadcast_in = Some(room);
                }
                Action::Call { handler, .. } => applied.call = Some(handler),
                Action::Request { handler, .. } => {
                    (applied.call, applied.is_request) = (Some(handler), true);
                }
                Action::Answered { request, is_error, packet } => {
                    requests.answered(request, actions.subject(), is_error, &packet);
                }
                Action::Unanswered { request, code } => requests.unanswered(request, code),
                Action::Authorize { permission, .. } => applied.ask = Some(permission),
                Action::Close { conn, code, reason } => {
                    applied.is_closed = true;
                    *counts.closes.entry(code).or_default() += 1;
                    // The hook needs the info, so it is queued before the info is removed.
                    hook_queue.push_lifecycle(infos.get(conn), || {
                        HookEvent::Gone(DisconnectReason::ByServer(code), reason.into())
                    });
                    infos.remove(conn);
                    // Also refuses a task that waits for the session.
                    sessions.end(conn);
                    counts.bytes_out += outbound.close(conn, code, reason).unwrap_or_default();
                }
                // The cluster has recorded what goes to other nodes.
                Action::Rejected | Action::Forward { .. } | Action::InfoChanged { .. } => {}
            }
        }
        // Looked up once for each input: an input is about one room, but for the notices of an end.
        if let Some(room) = broadcast_in {
            let receiver = outbound.congested_member(hub.tables(), room);
            applied.congested = receiver.map(Congestion::Receiver).or(applied.congested);
        }
        applied
    }

    /// Creates the id of a new connection from random bytes. In a cluster it shows its node.
    pub(crate) fn new_id(&self, random: [u8; 16]) -> ConnId {
        match &self.cluster {
            None => ConnId::from_random_bytes(random),
            Some(cluster) => cluster.machine.node().tag().id(random),
        }
    }

    /// Registers the data of an open connection, and queues the hooks of its first events.
    pub(crate) fn arrived(&mut self, info: &Arc<ConnInfo>) {
        self.infos.insert(info);
        let Core { hub, hook_queue, .. } = self;
        hook_queue.push_lifecycle(Some(info), || HookEvent::Connected);
        let tables = hub.tables();
        for room in tables.rooms_of(info.key) {
            let joined = || HookEvent::Joined(tables.room_name(room).unwrap_or_default().into());
            hook_queue.push(Some(info), joined);
        }
    }

    /// Closes the oldest connection of the new connection's user if the user has more than `most`.
    pub(crate) fn limit_user(&mut self, now: Duration, opening: &ConnInfo, most: usize) {
        let Some(user) = opening.user() else { return };
        let mut conns = self.infos.of(user);
        // One is enough: each new connection adds one.
        if conns.len() > most
            && let Some(conn) = conns.next()
        {
            drop(conns);
            let (code, reason) = close::REPLACED.frame();
            self.apply(now, Input::Command(Command::Close { conn, code, reason }), None);
        }
    }

    /// Removes a connection that ended without a close by the hub.
    pub(crate) fn gone(&mut self, now: Duration, conn: ConnKey, why: DisconnectReason) {
        // The info stays until then: the hooks of the rooms that it leaves need it.
        self.apply(now, Input::Gone { conn }, None);
        self.counts.bytes_out += self.outbound.remove(conn).unwrap_or_default();
        self.sessions.end(conn);
        // Not there if the hub had closed it: that end is counted already.
        if let Some(info) = self.infos.remove(conn) {
            self.counts.lost += u64::from(why == DisconnectReason::Lost);
            self.counts.by_peer += u64::from(why != DisconnectReason::Lost);
            self.hook_queue.push_lifecycle(Some(&info), || HookEvent::Gone(why, "".into()));
        }
    }

    /// Closes a connection because the server ends. A client with a session learns when to return,
    /// so that the next process meets a steady rate of clients.
    pub(crate) fn close_for_shutdown(&mut self, now: Duration, conn: ConnKey, window: Duration) {
        self.close_for_later(now, conn, (close::RESTART.code, &close::SHUTDOWN), window);
    }

    /// Closes a connection for a reason of the server's own; `window` is that of
    /// [`retry_window`](crate::Builder::retry_window).
    pub(crate) fn close_for(
        &mut self,
        now: Duration,
        conn: ConnKey,
        why: &Close,
        window: Duration,
    ) {
        if why.code == close::code::TRY_AGAIN_LATER {
            return self.close_for_later(now, conn, (why.code, why), window);
        }
        self.apply(now, Input::Command(Command::close(conn, why)), None);
    }

    /// Closes a connection whose client should reconnect. One with a session gets a hint when to do
    /// so; one without gets the code in the table of close codes.
    pub(crate) fn close_for_later(
        &mut self,
        now: Duration,
        conn: ConnKey,
        (code, plain): (u16, &Close),
        window: Duration,
    ) {
        let hint = self.sessions.retry_hint(conn, window);
        let hint = hint.map(|wait| format!("retry={}", wait.as_millis()));
        let close = match &hint {
            Some(reason) => Command::Close { conn, code, reason },
            None => Command::close(conn, plain),
        };
        self.apply(now, Input::Command(close), None);
    }

    /// Takes what has to be written; see [`Outbound::take`].
    pub(crate) fn take(&mut self, all: bool) -> FlushWork {
        let mut work = self.outbound.take(self.hub.tables(), all);
        work.wakers = self.requests.take_wakers();
        work.link = self.cluster.as_mut().and_then(|cluster| cluster.take_link());
        work
    }

    /// Moves a connection from one room to another in one step. Returns false, and changes nothing,
    /// if it is not in `from`.
    pub(crate) fn move_to(&mut self, now: Duration, conn: ConnKey, from: &str, to: &str) -> bool {
        let tables = self.hub.tables();
        if !tables.find_room(from).is_some_and(|room| tables.is_member(conn, room)) {
            return false;
        }
        // Leaving comes first, so that a connection in as many rooms as it may be in can move.
        for command in [Command::Leave { conn, room: from }, Command::Join { conn, room: to }] {
            self.apply(now, Input::Command(command), None);
        }
        true
    }
}

/// Returns the number of a room's members that a notice is for.
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
    // The excluded member is among those that are counted, so this is not negative.
    (count - usize::from(except.is_some_and(is_for))) as u64
}
