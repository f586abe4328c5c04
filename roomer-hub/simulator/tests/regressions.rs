//! Plans that once failed, named after the seeds that generated them.
//!
//! The simulator prints a failing plan as such a test.

use roomer_hub::Presence;
use roomer_simulator::hub::plan::ClientRef::*;
use roomer_simulator::hub::plan::Step::*;
#[allow(unused_imports)] // until the first plan uses it
use roomer_simulator::hub::plan::{Address::*, Ending, Handler, Mode, Payload, Plan};
use roomer_simulator::hub::report::must_hold;

/// Proves that a plan compiles in its printed form.
#[test]
fn sample_plan_passes() {
    must_hold(&Plan {
        mode: Mode::Compat,
        max_name: 6,
        max_rooms: 2,
        rates: [None, Some((3, 60)), None, Some((1, 256))],
        shared_room_only: true,
        ending: Ending::Left,
        key: 9,
        authorize: [true, false, false],
        answers: 3,
        answer_delay: 1,
        presence_rules: vec![("root", Presence::Off)],
        handlers: vec![Handler {
            event: "ping",
            commands: vec![Close { client: Caller, code: 1008, reason: "bye" }],
        }],
        steps: vec![
            Open { slot: 0 },
            Broadcast {
                from: Some(Slot(0)),
                except: None,
                room: "root\0",
                event: "chatté",
                payload: Payload(7, 2),
            },
        ],
    });
}
