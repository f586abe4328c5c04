//! Tests the carrier for Redis with a real server.

mod faults;
mod frames;
mod logins;
mod tls;

use std::future::poll_fn;
use std::task::Poll;

use futures_util::future::join;
use roomer_conformance::broker::Broker;
use roomer_conformance::redis::Redis;
use roomer_engine::cluster::Subject;

use super::Runtime;
use super::links::{Harness, Node, pattern, reason_of, rejection};

/// Returns the reason for which a link to this address goes down, without the address in it.
async fn reason(address: &str) -> String {
    let reason = rejection(address).await;
    reason.split_once(": ").unwrap().1.to_owned()
}
