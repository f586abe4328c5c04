//! The queue of hook calls for new connections, joins, leaves and disconnects.
//!
//! These events occur under the hub's lock, where application code must not run. They are queued in
//! order, and a task that has released the lock calls the hooks. Only one task at a time does so,
//! so that the hook for a leave is never called before the hook for the join.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::app::conn_info::ConnInfo;
use crate::app::disconnect::DisconnectReason;
use crate::metrics::trace;

/// An event for which hooks are called.
#[derive(Debug)]
pub(crate) enum HookEvent {
    Connected,
    Joined(Box<str>),
    Left(Box<str>),
    /// The connection ended, for this reason and with this text in the close frame.
    Gone(DisconnectReason, Box<str>),
}

impl HookEvent {
    /// Returns the name of the builder method that sets the hook for this event.
    pub(crate) fn hook(&self) -> &'static str {
        match self {
            HookEvent::Connected => "on_connect",
            HookEvent::Joined(_) => "on_join",
            HookEvent::Left(_) => "on_leave",
            HookEvent::Gone(..) => "on_disconnect",
        }
    }
}

/// The events whose hooks have not been called yet.
#[derive(Debug, Default)]
pub(crate) struct HookQueue {
    /// True if the application has set at least one hook.
    has_hooks: bool,
    pending: VecDeque<(Arc<ConnInfo>, HookEvent)>,
    /// True while a task calls the hooks. The task also handles events queued in the meantime.
    is_running: bool,
}

impl HookQueue {
    pub(crate) fn new(has_hooks: bool) -> Self {
        HookQueue { has_hooks, ..HookQueue::default() }
    }

    /// Queues a join or a leave, if the application has set hooks.
    pub(crate) fn push(&mut self, info: Option<&Arc<ConnInfo>>, event: impl FnOnce() -> HookEvent) {
        if self.has_hooks {
            // A connection that is being opened has no info yet. `Core::arrived` queues the events
            // of its first rooms.
            self.pending.extend(info.map(|info| (info.clone(), event())));
        }
    }

    /// Queues a connection's start or end, if there are hooks or a `tracing` subscriber.
    pub(crate) fn push_lifecycle(
        &mut self,
        info: Option<&Arc<ConnInfo>>,
        event: impl FnOnce() -> HookEvent,
    ) {
        if self.has_hooks || trace::is_enabled() {
            self.pending.extend(info.map(|info| (info.clone(), event())));
        }
    }

    /// Returns true if the caller must call the hooks after releasing the lock
    /// ([`Shared::run_hooks`](crate::shared::Shared::run_hooks)).
    pub(crate) fn try_start(&mut self) -> bool {
        !self.pending.is_empty() && !std::mem::replace(&mut self.is_running, true)
    }

    pub(crate) fn next(&mut self) -> Option<(Arc<ConnInfo>, HookEvent)> {
        let next = self.pending.pop_front();
        // Reset the flag while still holding the lock under which the queue was found empty: a task
        // that queues an event later observes that no task is calling the hooks, and calls them
        // itself.
        self.is_running = next.is_some();
        next
    }
}
