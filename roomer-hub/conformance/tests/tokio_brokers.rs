//! Links to brokers on tokio. Their cases are in `nats` and `redis`.
#![allow(clippy::unwrap_used, reason = "test helpers")]

mod links;
mod nats;
mod redis;
mod tokio_runtime;

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
