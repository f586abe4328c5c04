//! Fuzzes the hub: the simulator generates a plan from the bytes.

use roomer_simulator::hub::generate;
use roomer_simulator::hub::report::must_hold;
use roomer_simulator::random::ByteSource;

/// Runs the plan that is generated from the bytes. Panics if a check fails.
pub fn plan(bytes: &[u8]) {
    must_hold(&generate::plan(&mut ByteSource(bytes)));
}
