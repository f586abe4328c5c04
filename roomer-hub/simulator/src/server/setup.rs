//! Converts the configuration of a plan to options for the engine, the model and the checkers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use roomer_engine::{Builder, Environment, Server};
use roomer_testkit::Clock;

use super::plan::{Drain, Flush, Setup};
use crate::hub::plan::{DEFAULT_RATES, Mode};

/// An environment with virtual time. Its random ids are those of
/// [`identity`](crate::alphabet::identity), in order.
pub(crate) struct SimEnvironment {
    pub(crate) clock: Clock,
    pub(crate) ids: Arc<AtomicU32>,
}

impl Environment for SimEnvironment {
    fn now(&self) -> Duration {
        self.clock.now()
    }

    fn random(&self) -> [u8; 16] {
        // The engine draws the key of its hash tables first, so the second value is the first id.
        let number = self.ids.fetch_add(1, Ordering::Relaxed).wrapping_sub(1);
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&[0xa0, number as u8, (number >> 8) as u8, 7]);
        bytes[15] = 0xf;
        bytes
    }
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

impl Setup {
    pub fn config(&self) -> roomer_hub::Config {
        let mut config = match self.mode {
            Mode::Default => roomer_hub::Config::default(),
            Mode::Compat => roomer_hub::Config::compat(),
        };
        (config.max_name, config.max_rooms) = (self.max_name, self.max_rooms);
        [config.authorize_join, config.authorize_publish, config.authorize_direct] =
            self.authorize.map(|answers| answers.is_some());
        config
    }

    /// Returns the memory budget in bytes; `None` for the default.
    pub(super) fn budget(&self) -> Option<u64> {
        Some((self.hard_limit() + self.memory_slack?) as u64)
    }

    /// Returns the hard limit on the size of a queue, in bytes.
    pub(super) fn hard_limit(&self) -> usize {
        self.max_backlog + self.max_message.max(3 * self.max_backlog)
    }

    /// Returns a server builder with the options of the plan.
    pub(super) fn builder(&self) -> Builder {
        let mut builder = Server::builder()
            .max_name(self.max_name)
            .max_rooms(self.max_rooms)
            .max_message(self.max_message)
            .max_backlog(self.max_backlog)
            .ping_interval(millis(self.ping))
            .pong_timeout(millis(self.pong))
            .write_timeout(millis(self.write))
            .handshake_timeout(millis(self.handshake))
            .close_timeout(millis(self.close))
            // The checkers do not model this timeout, so it must not occur.
            .message_timeout(Duration::from_secs(1 << 30))
            .coalesce(millis(self.coalesce));
        builder = self.set_caps(self.set_rates(builder));
        if let Some(Drain { deadline, per_second }) = self.drain {
            builder = builder.drain(millis(deadline), per_second);
        }
        if let Some(Flush { max_inline, chunk, .. }) = self.flush {
            builder = builder.flush_sizes(max_inline, chunk);
        }
        for (pattern, presence) in self.presence_rules.into_iter().flatten() {
            builder = builder.presence(pattern, presence);
        }
        if let Some(budget) = self.budget() {
            builder = builder.memory_budget(budget as usize);
        }
        if self.shared_room_only {
            builder = builder.shared_room_only();
        }
        if self.mode == Mode::Compat { builder.compat() } else { builder }
    }

    fn set_rates(&self, mut builder: Builder) -> Builder {
        let [messages, bytes, joins, violation_rate] = self.rates;
        if let Some((per_second, burst)) = messages {
            builder = builder.message_rate(per_second, burst);
        }
        if let Some((per_second, burst)) = bytes {
            builder = builder.byte_rate(per_second, burst);
        }
        if let Some((per_second, burst)) = joins {
            builder = builder.join_rate(per_second, burst);
        }
        match violation_rate {
            violation_rate if violation_rate == DEFAULT_RATES[3] => builder,
            Some((per_second, burst)) => builder.violation_rate(per_second, burst),
            None => builder.unlimited_violations(),
        }
    }

    fn set_caps(&self, builder: Builder) -> Builder {
        let [connections, handshakes] = self.caps;
        // Clients without an address count only towards the total.
        let mut builder = builder.trust_proxy("unix");
        if let Some(max) = connections.total {
            builder = builder.max_connections(max);
        }
        if let Some(max) = connections.per_address {
            builder = builder.max_connections_per_address(max);
        }
        if let Some(max) = handshakes.total {
            builder = builder.max_handshakes(max);
        }
        if let Some(max) = handshakes.per_address {
            builder = builder.max_handshakes_per_address(max);
        }
        builder
    }
}
