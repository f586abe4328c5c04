//! The two inputs that a live server cannot be given as data: time and chance.

use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::outbound::available_memory;

/// Where a server takes time and randomness from. A simulation brings its own; everybody else
/// uses [`System`].
pub trait Environment: Send + Sync + 'static {
    /// The time since whatever this environment counts from. Never goes back.
    fn now(&self) -> Duration;

    /// 16 bytes that nobody can guess: a connection's id, a hash key.
    fn random(&self) -> [u8; 16];

    /// The bytes of memory that there are for the server, which decide on the default of
    /// [`memory_budget`](crate::Builder::memory_budget). Asked once, when the server is built.
    /// Default: `None`, not known.
    fn memory(&self) -> Option<u64> {
        None
    }
}

/// The operating system's monotonic clock, and a generator seeded by it.
#[derive(Clone, Copy, Debug)]
pub struct System {
    start: Instant,
}

impl System {
    /// An environment whose time begins now.
    #[allow(clippy::disallowed_methods)] // The one place below the adapters that reads the clock.
    #[must_use]
    pub fn new() -> Self {
        System { start: Instant::now() }
    }
}

impl Default for System {
    fn default() -> Self {
        System::new()
    }
}

impl Environment for System {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn random(&self) -> [u8; 16] {
        Uuid::new_v4().into_bytes()
    }

    /// On Linux the machine's memory, or what the process's control groups (version 1 or 2) leave of
    /// it; elsewhere `None`.
    fn memory(&self) -> Option<u64> {
        available_memory::available()
    }
}
