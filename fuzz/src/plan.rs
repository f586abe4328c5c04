//! Plans for the hub.

use roomer_simulator::draw;
use roomer_simulator::random::Tape;
use roomer_simulator::report::must_hold;

/// Any bytes are a plan, and the hub does with it what the naive model says, as in the simulator.
/// A plan that fails is made short and told as a test before the panic.
pub fn plan(data: &[u8]) {
    must_hold(&draw::plan(&mut Tape(data)));
}
