//! The bytes are the choices from which the simulator generates a plan for the hub.

use roomer_simulator::hub::generate;
use roomer_simulator::hub::report::must_hold;
use roomer_simulator::random::ByteSource;

/// Runs the plan that the bytes generate. Panics if a check fails.
pub fn plan(bytes: &[u8]) {
    must_hold(&generate::plan(&mut ByteSource(bytes)));
}
