//! Runs the futures of tests on tokio.

use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use roomer_conformance::client::TIMEOUT;

pub(crate) fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Runs a future. Panics if it takes too long.
pub(crate) fn in_time<T>(runtime: &Runtime, future: impl Future<Output = T>) -> T {
    runtime.block_on(async { timeout(TIMEOUT, future).await }).expect("it ends in time")
}
