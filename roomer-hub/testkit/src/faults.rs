//! How badly the network behaves.

use super::rng::Rng;

/// What a [`World`](super::World)'s network does to its clients, by chance and by itself. What it
/// does when is decided by the seed alone. Whatever is off here can still be done to one client by
/// hand, with the methods of [`Client`](super::Client).
///
/// ```
/// # mod roomer_tokio { pub use {roomer_engine::*, roomer_testkit as testkit}; }
/// use roomer_tokio::testkit::Faults;
///
/// // Everything of the gentle kind, and clients that lose their connection.
/// let mut faults = Faults::gentle();
/// faults.resets = true;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Faults {
    /// Bytes arrive in pieces cut anywhere, or several messages at once.
    pub cuts: bool,
    /// Sockets take a few bytes and are full for a moment; some calls are interrupted, and some
    /// say that there is room when there is none.
    pub narrows: bool,
    /// Tasks are polled though nothing has happened, as futures must allow.
    pub spurious: bool,
    /// Clients stop reading for up to ten seconds.
    pub stalls: bool,
    /// Clients lose their connection, with any part of what was under way lost. The server hears
    /// of it at once, late, or never.
    pub resets: bool,
    /// Clients say no more but go on listening.
    pub half_closes: bool,
}

impl Faults {
    /// None: what is sent arrives whole, in an order that the seed decides.
    #[must_use]
    pub fn none() -> Self {
        Faults::default()
    }

    /// All those that lose nothing: what a server promises must hold under them word for word.
    /// The default of [`World::new`](super::World::new).
    #[must_use]
    pub fn gentle() -> Self {
        Faults { cuts: true, narrows: true, spurious: true, ..Faults::default() }
    }

    /// All. A scenario has to expect that any of its clients is gone at any time.
    #[must_use]
    pub fn harsh() -> Self {
        Faults { stalls: true, resets: true, half_closes: true, ..Faults::gentle() }
    }

    /// Some of those that are on here, as chosen by a seed. Where all faults are on all the time,
    /// some hide others: over many seeds, different ones each time find more.
    #[must_use]
    pub fn some(mut self, seed: u64) -> Self {
        let mut rng = Rng::new(seed ^ 0x00fa_0175);
        for fault in [
            &mut self.cuts,
            &mut self.narrows,
            &mut self.spurious,
            &mut self.stalls,
            &mut self.resets,
            &mut self.half_closes,
        ] {
            *fault &= rng.chance(60);
        }
        self
    }
}
