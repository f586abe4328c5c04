//! Links to brokers on tokio. Their cases are in `nats` and `redis`.

#[path = "links/mod.rs"]
mod links;
#[path = "nats/mod.rs"]
mod nats;
#[path = "redis/mod.rs"]
mod redis;

use crate::tokio_runtime;
use roomer_engine::cluster::{BrokerAddress, Carrier, Subjects};

pub(crate) struct Runtime;

impl links::Harness for Runtime {
    fn carrier(subjects: Subjects, address: BrokerAddress) -> Box<dyn Carrier> {
        Box::new(roomer_tokio::broker_carrier(subjects, address))
    }

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio_runtime::in_time(&tokio_runtime::runtime(), future)
    }
}
