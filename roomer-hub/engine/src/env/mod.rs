//! A server's environment: time, randomness and the available memory.

pub(crate) mod available_memory;

use std::time::Duration;
#[cfg(not(all(feature = "web", target_family = "wasm")))]
use std::time::Instant;

use uuid::Uuid;
// The standard library's `Instant` panics in browsers.
#[cfg(all(feature = "web", target_family = "wasm"))]
use web_time::Instant;

/// The source of a server's time and randomness. Simulations implement it; production code uses
/// [`SystemEnvironment`].
pub trait Environment: Send + Sync + 'static {
    /// Returns the time since an arbitrary fixed point. It never decreases.
    fn now(&self) -> Duration;

    /// Returns 16 unpredictable bytes, for a connection's id or a hash key.
    fn random(&self) -> [u8; 16];

    /// Returns the memory available to the server, in bytes, or `None` if unknown, which is the
    /// default. The default of [`memory_budget`](crate::Builder::memory_budget) is derived from it.
    /// Called once, when the server is built.
    fn available_memory(&self) -> Option<u64> {
        None
    }
}

/// The operating system's monotonic clock, and a random number generator seeded by the system.
#[derive(Clone, Copy, Debug)]
pub struct SystemEnvironment {
    start: Instant,
}

impl SystemEnvironment {
    /// Creates an environment whose clock starts at zero.
    #[allow(clippy::disallowed_methods)] // The one place below the adapters that reads the clock.
    #[must_use]
    pub fn new() -> Self {
        SystemEnvironment { start: Instant::now() }
    }
}

impl Default for SystemEnvironment {
    fn default() -> Self {
        SystemEnvironment::new()
    }
}

impl Environment for SystemEnvironment {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn random(&self) -> [u8; 16] {
        // All bits are random, except for the six that contain the version and the variant.
        Uuid::new_v4().into_bytes()
    }

    /// Returns the machine's memory, or the limit of the process's control groups (version 1 or 2) if
    /// that is lower. Linux only; `None` on other systems.
    fn available_memory(&self) -> Option<u64> {
        available_memory::available()
    }
}
