//! Telling the application what has happened: who came, joined, left, went.
//!
//! Things happen under the hub's lock, where nobody may run the application's code. So they are
//! noted there, in order, and told afterwards by whoever released the lock; one at a time, so that
//! a hook never hears of a leave before it has heard of the join.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use crate::Server;
use crate::app::conn::{Conn, ConnInfo};
use crate::app::handler::catch_panic;
use crate::metrics::trace;
use roomer_hub::{Command, Input};
use roomer_proto::close;

/// Why a connection is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DisconnectReason {
    /// The client closed it, with this code if it gave one.
    ByPeer(Option<u16>),
    /// It was cut: the client vanished without a word, or its network did.
    Lost,
    /// The server closed it, with this code (RFC 6455 section 7.4): a broken rule, a limit, a
    /// handler that failed, the application's own wish, a shutdown.
    ByServer(u16),
}

impl fmt::Display for DisconnectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DisconnectReason::ByPeer(Some(code)) => write!(f, "closed by the client with {code}"),
            DisconnectReason::ByPeer(None) => f.write_str("closed by the client without a code"),
            DisconnectReason::Lost => f.write_str("the connection was lost"),
            DisconnectReason::ByServer(code) => write!(f, "closed by the server with {code}"),
        }
    }
}

type Hook = Box<dyn Fn(&Conn) + Send + Sync>;
type RoomHook = Box<dyn Fn(&Conn, &str) + Send + Sync>;
type EndHook = Box<dyn Fn(&Conn, DisconnectReason) + Send + Sync>;

/// What is to be told to whom.
#[derive(Default)]
pub(crate) struct Hooks {
    pub(crate) connect: Option<Hook>,
    pub(crate) join: Option<RoomHook>,
    pub(crate) leave: Option<RoomHook>,
    pub(crate) disconnect: Option<EndHook>,
}

impl Hooks {
    pub(crate) fn is_empty(&self) -> bool {
        let Hooks { connect, join, leave, disconnect } = self;
        connect.is_none() && join.is_none() && leave.is_none() && disconnect.is_none()
    }

    fn run_hooks(&self, conn: &Conn, what: &HookEvent) {
        match what {
            HookEvent::Connected => self.connect.iter().for_each(|hook| hook(conn)),
            HookEvent::Joined(room) => self.join.iter().for_each(|hook| hook(conn, room)),
            HookEvent::Left(room) => self.leave.iter().for_each(|hook| hook(conn, room)),
            HookEvent::Gone(why, _) => self.disconnect.iter().for_each(|hook| hook(conn, *why)),
        }
    }
}

#[derive(Debug)]
pub(crate) enum HookEvent {
    Connected,
    Joined(Box<str>),
    Left(Box<str>),
    /// Why, and what it was told.
    Gone(DisconnectReason, Box<str>),
}

impl HookEvent {
    /// The builder's method for the hook that is told of it.
    fn hook(&self) -> &'static str {
        match self {
            HookEvent::Connected => "on_connect",
            HookEvent::Joined(_) => "on_join",
            HookEvent::Left(_) => "on_leave",
            HookEvent::Gone(..) => "on_disconnect",
        }
    }
}

/// What has happened and has not been told yet.
#[derive(Debug, Default)]
pub(crate) struct HookQueue {
    /// Whether there are hooks.
    is_on: bool,
    pending: VecDeque<(Arc<ConnInfo>, HookEvent)>,
    /// Somebody is telling, and will tell the rest.
    is_busy: bool,
}

impl HookQueue {
    pub(crate) fn new(is_on: bool) -> Self {
        HookQueue { is_on, ..HookQueue::default() }
    }

    /// Something has happened in a room.
    pub(crate) fn push(
        &mut self,
        conn_info: Option<&Arc<ConnInfo>>,
        what: impl FnOnce() -> HookEvent,
    ) {
        if self.is_on {
            self.pending.extend(conn_info.map(|conn_info| (conn_info.clone(), what())));
        }
    }

    /// A connection has come or gone, which others than the hooks may want to hear of.
    pub(crate) fn push_lifecycle(
        &mut self,
        conn_info: Option<&Arc<ConnInfo>>,
        what: impl FnOnce() -> HookEvent,
    ) {
        if self.is_on || trace::is_heard() {
            self.pending.extend(conn_info.map(|conn_info| (conn_info.clone(), what())));
        }
    }

    /// Whether the caller has to [`run_hooks`](Server::run_hooks), once it has released the lock.
    pub(crate) fn try_start(&mut self) -> bool {
        !self.pending.is_empty() && !std::mem::replace(&mut self.is_busy, true)
    }

    fn next(&mut self) -> Option<(Arc<ConnInfo>, HookEvent)> {
        let next = self.pending.pop_front();
        self.is_busy = next.is_some();
        next
    }
}

impl Server {
    /// Tells the application what has happened. To be called with no lock held, by the one who
    /// was told to; what the hooks want sent is left to the caller to flush.
    pub(crate) fn run_hooks(&self) {
        while let Some((info, event)) = self.next_news() {
            match &event {
                HookEvent::Connected => trace::opened(&info),
                HookEvent::Gone(why, text) => trace::closed(&info, *why, text),
                HookEvent::Joined(_) | HookEvent::Left(_) => {}
            }
            let conn = Conn { server: self.clone(), info };
            let result =
                self.run_callback(|| catch_panic(|| self.options().hooks.run_hooks(&conn, &event)));
            if let Err(panic) = result {
                trace::hook_failed(&conn.info, &panic);
                let id = Some(conn.info.id);
                self.report_failure(
                    || (format!("the hook `{}`", event.hook()), id),
                    &panic.message,
                    true,
                );
                let close = Command::close(conn.info.key, &close::HOOK_FAILED);
                let mut core = self.core();
                core.counts.panics += 1;
                core.apply(self.now(), Input::Command(close), None);
            }
        }
    }

    fn next_news(&self) -> Option<(Arc<ConnInfo>, HookEvent)> {
        self.core().hook_queue.next()
    }
}
