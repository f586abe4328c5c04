//! The kinds of brokers that tests can start.

use std::fmt;
use std::path::PathBuf;

use crate::broker::{Broker, Nats, nats_servers};
use crate::redis::Redis;

/// A kind of broker that is installed.
#[derive(Clone, Debug)]
pub enum BrokerKind {
    Nats(PathBuf),
    Redis,
}

impl BrokerKind {
    /// Returns all installed brokers: each version of NATS, and Redis.
    pub fn all() -> Vec<BrokerKind> {
        let nats = nats_servers().into_iter().map(BrokerKind::Nats);
        nats.chain([BrokerKind::Redis]).collect()
    }

    pub fn start(&self) -> Box<dyn Broker> {
        match self {
            BrokerKind::Nats(program) => Box::new(Nats::start(program, &[])),
            BrokerKind::Redis => Box::new(Redis::start(&[])),
        }
    }
}

impl fmt::Display for BrokerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BrokerKind::Nats(program) => program.display().fmt(f),
            BrokerKind::Redis => f.write_str("Redis"),
        }
    }
}
