//! Starting the task of a connection.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use crate::connection::Connection;
use crate::server::Server;
use crate::server::timers::{Timers, spawn_timers};
use crate::transport::Transport;

impl Server {
    /// Starts serving a connection. The caller spawns the returned future, which completes when the
    /// connection ends; dropping it ends the connection.
    pub fn connect(&self, transport: impl Transport, peer: Option<SocketAddr>) -> Connection {
        Connection::new(self.0.clone(), transport, peer)
    }
}

impl Connection {
    /// Serves the connection. At the first poll, also starts the server's timers if they are not
    /// running. For connections that do not come from an adapter's accept loop.
    ///
    /// `sleep` is the runtime's sleep function. `spawn` receives the server and a future to spawn,
    /// which runs the timers until the server has no connections.
    pub fn with_timer<F, S>(
        mut self,
        sleep: F,
        spawn: impl FnOnce(Server, Timers),
    ) -> impl Future<Output = ()>
    where
        F: Fn(Duration) -> S + Send + 'static,
        S: Future + Send + 'static,
    {
        let mut unstarted = Some((sleep, spawn));
        poll_fn(move |cx| {
            // Start the timers at the first poll: a future that is never polled then leaves no task
            // behind, and a runtime's `spawn` works only within the runtime.
            if let Some((sleep, spawn)) = unstarted.take() {
                spawn_timers(Server(self.shared.clone()), sleep, spawn);
            }
            Pin::new(&mut self).poll(cx)
        })
    }
}
