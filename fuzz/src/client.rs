//! Fuzzes the client with plans for it and its scripted server, which the simulator generates
//! from the bytes.

use roomer_simulator::random::ByteSource;
use roomer_simulator::scripted::{must_hold, plan};

/// Runs the plan that the bytes generate. Panics if a check fails.
pub fn client(bytes: &[u8]) {
    must_hold(&plan::generate(&mut ByteSource(bytes)));
}
