//! Links to NATS on tokio. Their cases are in `nats`.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

#[path = "nats/mod.rs"]
mod nats;
mod tokio_runtime;

use roomer_engine::cluster::{BrokerAddress, Carrier, Subjects};

pub(crate) struct Runtime;

impl nats::Harness for Runtime {
    fn carrier(subjects: Subjects, address: BrokerAddress) -> Box<dyn Carrier> {
        Box::new(roomer_tokio::broker_carrier(subjects, address))
    }

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio_runtime::in_time(&tokio_runtime::runtime(), future)
    }
}
