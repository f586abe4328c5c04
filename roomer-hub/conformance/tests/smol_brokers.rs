//! Links to brokers on smol. Their cases are in `nats` and `redis`.

#[path = "links/mod.rs"]
mod links;
#[path = "nats/mod.rs"]
mod nats;
#[path = "redis/mod.rs"]
mod redis;

use roomer_conformance::client::TIMEOUT;
use roomer_engine::cluster::{BrokerAddress, Carrier, Subjects};
use smol::Timer;
use smol::future::{block_on, or};

pub(crate) struct Runtime;

impl links::Harness for Runtime {
    fn carrier(subjects: Subjects, address: BrokerAddress) -> Box<dyn Carrier> {
        Box::new(roomer_smol::broker_carrier(subjects, address))
    }

    fn run<T>(future: impl Future<Output = T>) -> T {
        let end = async {
            Timer::after(TIMEOUT).await;
            None
        };
        block_on(or(async { Some(future.await) }, end)).expect("it ends in time")
    }
}
