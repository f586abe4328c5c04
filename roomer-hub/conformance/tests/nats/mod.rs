//! Tests the carrier for NATS with real servers of two versions.

mod faults;
mod frames;
mod logins;
mod tls;

use std::future::poll_fn;
use std::path::Path;

use roomer_conformance::broker::{Broker, Nats, nats_servers};
use roomer_engine::Bytes;
use roomer_engine::cluster::{CarrierEvent, Subject};

use super::Runtime;
use super::links::{Harness, Node, pattern, reason_of, rejection};

/// Runs a test with each server that is installed. If it fails, the path of the server is printed.
#[allow(clippy::print_stdout, reason = "test helpers")]
fn each_server(test: impl AsyncFn(&Path)) {
    for program in nats_servers() {
        println!("{}", program.display());
        Runtime::run(test(&program));
    }
}
