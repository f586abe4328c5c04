//! The state under the server's single lock: the hub, and its actions' effects.
//!
//! All work here is bookkeeping in memory. The task that took the lock writes to sockets, wakes
//! tasks and runs handlers only after it has released the lock ([`flush`](crate::outbound::flush)).

mod actions;
pub(crate) mod cluster;
pub(crate) mod congestion;
pub(crate) mod conn_table;
pub(crate) mod counts;
pub(crate) mod hook_queue;
mod joins;
pub(crate) mod requests;
pub(crate) mod shed;

use std::sync::Arc;
use std::time::Duration;

use roomer_hub::{Command, ConnId, ConnKey, HandlerKey, Hub, Input, Permission};
use roomer_proto::close::{self, Close};

use crate::app::conn_info::ConnInfo;
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
use crate::outbound::{FlushWork, Outbound};
use crate::session::Sessions;

#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) hub: Hub,
    pub(crate) outbound: Outbound,
    /// The application's view of the open connections.
    pub(crate) infos: ConnTable,
    pub(crate) sessions: Sessions,
    pub(crate) requests: Requests,
    pub(crate) joins: PendingJoins,
    pub(crate) hook_queue: HookQueue,
    pub(crate) counts: Counts,
    /// This node's part of a cluster, or `None` for a single server.
    pub(crate) cluster: Option<Box<ClusterState>>,
    #[cfg(feature = "audit")]
    pub(crate) journal: Journal,
}

/// The result of an input, returned to the task that passed the input to the hub.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    /// The key of the newly opened connection.
    pub(crate) opened: Option<ConnKey>,
    /// A handler to run with the input's packet.
    pub(crate) call: Option<HandlerKey>,
    /// True if the handler in `call` is a request handler.
    pub(crate) is_request: bool,
    /// A rule to call with the input's packet.
    pub(crate) ask: Option<Permission>,
    /// A receiver above its high-water mark; the sender should pause reading.
    pub(crate) congested: Option<Congestion>,
    /// True if the hub has closed the input's connection.
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
            joins: PendingJoins::default(),
            hook_queue: HookQueue::new(has_hooks),
            counts: Counts::default(),
            cluster: cluster.map(Box::new),
            #[cfg(feature = "audit")]
            journal: Journal::default(),
        }
    }

    /// Creates a new connection's id from random bytes. In a cluster, the id identifies its node.
    pub(crate) fn new_id(&self, random: [u8; 16]) -> ConnId {
        match &self.cluster {
            None => ConnId::from_random_bytes(random),
            Some(cluster) => cluster.machine.node().tag().id(random),
        }
    }

    /// Registers an opened connection's data, and queues the hooks for its first events.
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

    /// Closes the oldest connection of the new connection's user if the user has more than `most`
    /// connections.
    pub(crate) fn limit_user(&mut self, now: Duration, opening: &ConnInfo, most: usize) {
        let Some(user) = opening.user() else { return };
        let mut conns = self.infos.of(user);
        // Closing one connection is enough, since each new connection adds only one.
        if conns.len() > most
            && let Some(conn) = conns.next()
        {
            drop(conns);
            let (code, reason) = close::REPLACED.frame();
            self.apply(now, Input::Command(Command::Close { conn, code, reason }), None);
        }
    }

    /// Prepares to acknowledge a connection's packets: reports those that were rejected without an
    /// error. Must be called before the acknowledgement is queued.
    pub(crate) fn before_ack(&mut self, now: Duration, conn: ConnKey) {
        if self.hub.tables().has_unreported(conn) {
            self.apply(now, Input::Acknowledge { conn }, None);
        }
    }

    /// Removes a connection that ended without being closed by the hub.
    pub(crate) fn gone(&mut self, now: Duration, conn: ConnKey, reason: DisconnectReason) {
        // Remove the info only after this input, since the hooks for the leaves need it.
        self.apply(now, Input::Gone { conn }, None);
        self.counts.bytes_out += self.outbound.remove(conn).unwrap_or_default();
        self.sessions.end(conn);
        self.joins.end(conn);
        // If the hub has closed the connection, its info is absent and its end was already counted.
        if let Some(info) = self.infos.remove(conn) {
            self.counts.lost += u64::from(reason == DisconnectReason::Lost);
            self.counts.by_peer += u64::from(reason != DisconnectReason::Lost);
            self.hook_queue.push_lifecycle(Some(&info), || HookEvent::Gone(reason, "".into()));
        }
    }

    /// Closes a connection because the server is shutting down. The close reason contains a
    /// reconnect delay for a client with a session, so that the next process receives connections
    /// at a steady rate.
    pub(crate) fn close_for_shutdown(&mut self, now: Duration, conn: ConnKey, window: Duration) {
        self.close_for_later(now, conn, close::RESTART.code, close::SHUTDOWN.frame(), window);
    }

    /// Closes a connection on the server's initiative. `window` is the
    /// [`retry_window`](crate::Builder::retry_window).
    pub(crate) fn close_for(
        &mut self,
        now: Duration,
        conn: ConnKey,
        reason: &Close,
        window: Duration,
    ) {
        if reason.code == close::code::TRY_AGAIN_LATER {
            return self.close_for_later(now, conn, reason.code, reason.frame(), window);
        }
        self.apply(now, Input::Command(Command::close(conn, reason)), None);
    }

    /// Closes a connection whose client should reconnect. A client with a session receives `code`
    /// and the reconnect delay; any other client receives the code and reason in `plain`.
    pub(crate) fn close_for_later(
        &mut self,
        now: Duration,
        conn: ConnKey,
        code: u16,
        plain: (u16, &str),
        window: Duration,
    ) {
        let hint = self.sessions.retry_hint(conn, window);
        let hint = hint.map(|wait| format!("retry={}", wait.as_millis()));
        let (code, reason) = hint.as_deref().map_or(plain, |hint| (code, hint));
        let close = Command::Close { conn, code, reason };
        self.apply(now, Input::Command(close), None);
    }

    /// Takes the pending output; see [`Outbound::take`].
    pub(crate) fn take(&mut self, all: bool) -> FlushWork {
        let mut work = self.outbound.take(self.hub.tables(), all);
        work.wakers = self.requests.take_wakers();
        work.link = self.cluster.as_mut().and_then(|cluster| cluster.take_link());
        work
    }

    /// Moves a connection from one room to another in one step. Returns false, without an effect,
    /// if the connection is not in `from`.
    pub(crate) fn move_to(&mut self, now: Duration, conn: ConnKey, from: &str, to: &str) -> bool {
        let tables = self.hub.tables();
        if !tables.find_room(from).is_some_and(|room| tables.is_member(conn, room)) {
            return false;
        }
        // Leave first, so that a connection that has reached its limit of rooms can be moved.
        for command in [Command::Leave { conn, room: from }, Command::Join { conn, room: to }] {
            self.apply(now, Input::Command(command), None);
        }
        true
    }
}
