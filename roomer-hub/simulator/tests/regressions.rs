//! Plans that once failed, each with the seed that found it. The simulator prints them ready to be
//! pasted here.

use roomer_hub::Presence;
use roomer_simulator::plan::Step::*;
use roomer_simulator::plan::Who::*;
#[allow(unused_imports)] // until a plan has one
use roomer_simulator::plan::{Address::*, Ending, Handler, Payload, Plan, Rules};
use roomer_simulator::report::must_hold;

/// Nothing was wrong here: it shows that what is printed compiles.
#[test]
fn a_sample() {
    must_hold(&Plan {
        rules: Rules::Compat,
        max_name: 6,
        max_rooms: 2,
        paces: [None, Some((3, 60)), None, Some((1, 256))],
        shared_room_only: true,
        ending: Ending::Left,
        key: 9,
        asks: [true, false, false],
        answers: 3,
        late: 1,
        memberships: vec![("root", Presence::Off)],
        handlers: vec![Handler {
            event: "ping",
            does: vec![Close { who: Caller, code: 1008, reason: "bye" }],
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
