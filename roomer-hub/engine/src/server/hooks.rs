//! Calls the application's hooks without holding the lock.

use std::sync::Arc;

use roomer_hub::{Command, Input};
use roomer_proto::close;

use crate::Server;
use crate::app::call::catch_panic;
use crate::app::conn_info::ConnInfo;
use crate::cluster::ClusterEvent;
use crate::core::hook_queue::HookEvent;
use crate::metrics::trace;
use crate::server::conn::Conn;
use crate::shared::Shared;

impl Shared {
    /// Calls the hooks for all queued events. The caller must have been selected by
    /// [`HookQueue::try_start`](crate::core::hook_queue::HookQueue::try_start), must not hold the
    /// lock, and must flush the output that the hooks queue.
    pub(crate) fn run_hooks(self: &Arc<Self>) {
        while let Some((info, event)) = self.next_hook_event() {
            match &event {
                HookEvent::Connected => trace::opened(&info),
                HookEvent::Gone(reason, text) => trace::closed(&info, *reason, text),
                HookEvent::Joined(_) | HookEvent::Left(_) => {}
            }
            // A panic closes only the connection to which the event belongs.
            let conn = Conn::new(self, info);
            let result =
                self.run_callback(|| catch_panic(|| self.options().hooks.run(&conn, &event)));
            if let Err(panic) = result {
                trace::hook_failed(&conn.info, &panic);
                let id = Some(conn.info.id);
                self.monitor().report_failure(
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

    fn next_hook_event(&self) -> Option<(Arc<ConnInfo>, HookEvent)> {
        self.core().hook_queue.next()
    }

    /// Calls the application's hook for a cluster event. No lock may be held.
    pub(crate) fn call_cluster_hook(self: &Arc<Self>, event: &ClusterEvent) {
        let (options, server) = (self.options(), Server(self.clone()));
        let result = match event {
            ClusterEvent::Peer(event) => options.on_peer.as_ref().map(|hook| {
                catch_panic(|| hook(&server, event)).map_err(|panic| ("on_peer", panic))
            }),
            ClusterEvent::Gap(gap) => options
                .on_gap
                .as_ref()
                .map(|hook| catch_panic(|| hook(&server, gap)).map_err(|panic| ("on_gap", panic))),
        };
        if let Some(Err((hook, panic))) = result {
            self.core().counts.panics += 1;
            self.monitor().report_failure(
                || (format!("the hook `{hook}`"), None),
                &panic.message,
                true,
            );
        }
    }
}
