//! A server's validated options and their defaults. The builder's methods document each option.

use std::any::Any;
use std::fmt;
use std::time::Duration;

use roomer_proto::extended;
use roomer_proto::websocket::Limits;

use crate::app::monitor::Monitor;
use crate::callbacks::handler::{Callback, Rules};
use crate::callbacks::hooks::{Hooks, OnError, OnGap, OnPeer};
use crate::cluster::Cluster;
use crate::handshake::options::HandshakeOptions;
use crate::handshake::request::AuthResult;
use crate::lifecycle::drain::DrainPolicy;
use crate::metrics::warning::OnWarning;
use crate::outbound::flush_pool::Flush;
use crate::outbound::outbox::WaterMarks;

/// The maximum of every time option, a century. Adding it to the clock cannot overflow, and it does not
/// elapse while a server runs.
pub(crate) const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// The headroom above the high-water mark, as a multiple of the mark, unless a single message may
/// be larger.
const SPARE_FACTOR: usize = 3;

/// The validated options. Each field is documented at its [`Builder`](crate::Builder) method.
pub(crate) struct Options {
    pub(crate) handshake: HandshakeOptions,
    pub(crate) max_connections_per_user: usize,
    pub(crate) drain_policy: Option<DrainPolicy>,
    pub(crate) on_warning: Option<OnWarning>,
    pub(crate) on_peer: Option<OnPeer>,
    pub(crate) on_gap: Option<OnGap>,
    pub(crate) on_error: Option<OnError>,
    pub(crate) state: Vec<Box<dyn Any + Send + Sync>>,
    pub(crate) rules: Rules,
    pub(crate) hooks: Hooks,
    pub(crate) limits: Limits,
    pub(crate) accept_text: bool,
    pub(crate) max_backlog: usize,
    pub(crate) memory_budget: usize,
    /// The part of the memory budget reserved for room histories, in bytes.
    pub(crate) history_budget: usize,
    pub(crate) ping_interval: Duration,
    pub(crate) pong_timeout: Duration,
    pub(crate) write_timeout: Duration,
    pub(crate) handshake_timeout: Duration,
    pub(crate) message_timeout: Duration,
    pub(crate) extended: bool,
    /// The hub's limits as sent in `hello`.
    pub(crate) hub_limits: extended::Limits,
    pub(crate) resume_window: Duration,
    pub(crate) resume_buffer: usize,
    pub(crate) max_detached_sessions: usize,
    pub(crate) retry_window: Duration,
    pub(crate) renew_login: Option<Callback<AuthResult>>,
    pub(crate) renew_login_before_expiry: Duration,
    pub(crate) close_timeout: Duration,
    pub(crate) coalesce: Duration,
    pub(crate) cluster: Option<Cluster>,
    pub(crate) flush: Flush,
    pub(crate) echo: bool,
    pub(crate) monitor: Monitor,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            handshake: HandshakeOptions::default(),
            max_connections_per_user: usize::MAX,
            drain_policy: None,
            on_warning: None,
            on_peer: None,
            on_gap: None,
            on_error: None,
            state: Vec::new(),
            rules: Rules::default(),
            hooks: Hooks::default(),
            limits: Limits::default(),
            accept_text: false,
            max_backlog: 1024 * 1024,
            memory_budget: 1024 * 1024 * 1024,
            history_budget: 0,
            ping_interval: Duration::from_secs(54),
            pong_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(10),
            message_timeout: Duration::from_secs(30),
            extended: true,
            hub_limits: extended::Limits { message: 0, name: 0, rooms: 0, info: 0, requests: 0 },
            resume_window: Duration::from_secs(30),
            resume_buffer: 256 * 1024,
            max_detached_sessions: 20_000,
            retry_window: Duration::from_secs(10),
            renew_login: None,
            renew_login_before_expiry: Duration::from_secs(60),
            close_timeout: Duration::from_secs(5),
            coalesce: Duration::ZERO,
            cluster: None,
            flush: Flush::default(),
            echo: false,
            monitor: Monitor::default(),
        }
    }
}

impl Options {
    /// Reduces all times to [`LONGEST`]. `Duration::MAX` means no limit.
    pub(crate) fn bound_times(&mut self) {
        let drain = self.drain_policy.as_mut().map(|policy| &mut policy.deadline);
        let times = [
            &mut self.pong_timeout,
            &mut self.write_timeout,
            &mut self.handshake_timeout,
            &mut self.message_timeout,
            &mut self.close_timeout,
            &mut self.resume_window,
            &mut self.retry_window,
            &mut self.coalesce,
        ];
        for time in times.into_iter().chain(drain) {
            *time = LONGEST.min(*time);
        }
    }

    /// Returns the drain policy. By default, all connections are closed immediately.
    pub(crate) fn drain_policy(&self) -> DrainPolicy {
        // One second is added for the tasks' work before and after their connections close.
        let deadline = self.close_timeout + Duration::from_secs(1);
        self.drain_policy.unwrap_or(DrainPolicy { deadline, per_second: usize::MAX })
    }

    /// Returns the water marks for one connection's outbox.
    pub(crate) fn water_marks(&self) -> WaterMarks {
        let high = self.max_backlog;
        // A connection above the maximum is closed immediately. The maximum must therefore leave
        // room for what senders queue before they are paused: the largest message, or reads full of
        // small ones.
        let spare = self.limits.max_message.max(high.saturating_mul(SPARE_FACTOR));
        WaterMarks { kept: self.resume_buffer, high, max: high.saturating_add(spare) }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("path", &self.handshake.path).finish_non_exhaustive()
    }
}
