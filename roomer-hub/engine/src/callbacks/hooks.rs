//! The application's hooks for new connections, joins, leaves and disconnects.

use crate::Server;
use crate::app::call::HandlerError;
use crate::app::disconnect::DisconnectReason;
use crate::app::message::Message;
use crate::cluster::{Gap, PeerEvent};
use crate::core::hook_queue::HookEvent;
use crate::server::conn::Conn;

pub(crate) type OnPeer = Box<dyn Fn(&Server, &PeerEvent) + Send + Sync>;
pub(crate) type OnGap = Box<dyn Fn(&Server, &Gap) + Send + Sync>;
pub(crate) type OnError = Box<dyn Fn(&Conn, &Message<'_>, HandlerError) + Send + Sync>;

type Hook = Box<dyn Fn(&Conn) + Send + Sync>;
type RoomHook = Box<dyn Fn(&Conn, &str) + Send + Sync>;
type EndHook = Box<dyn Fn(&Conn, DisconnectReason) + Send + Sync>;

/// The registered hooks; `None` for each hook that is not set.
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

    pub(crate) fn run(&self, conn: &Conn, event: &HookEvent) {
        match event {
            HookEvent::Connected => self.connect.iter().for_each(|hook| hook(conn)),
            HookEvent::Joined(room) => self.join.iter().for_each(|hook| hook(conn, room)),
            HookEvent::Left(room) => self.leave.iter().for_each(|hook| hook(conn, room)),
            HookEvent::Gone(reason, _) => {
                self.disconnect.iter().for_each(|hook| hook(conn, *reason))
            }
        }
    }
}
