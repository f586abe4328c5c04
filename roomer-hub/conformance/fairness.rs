//! Those who send without measure, and those who only want a word meanwhile (sections 7 and 12).

use std::io::Write;
use std::sync::mpsc::{self, TryRecvError};
use std::thread;

use super::client::Client;
use super::site::Site;
use super::wire;

/// Two clients flood a room, or each other, as fast as the server lets them; the others have
/// their say.
fn beside_a_flood(message: impl Fn(&Client) -> Vec<u8>, talk: impl FnOnce(&Site)) {
    // How slow a reader may be is not the subject here.
    let site = Site::with(|builder| builder.max_backlog(64 << 20));
    let [a, b] = site.room("flooded");
    let floods = [(&a, message(&b)), (&b, message(&a))];
    let floods =
        floods.map(|(client, message)| (client.stream.try_clone().unwrap(), message.repeat(100)));
    thread::scope(|scope| {
        // Gone with this scope, also when something fails in it.
        let mut stops = Vec::new();
        for (mut stream, flood) in floods {
            let (stop, stopped) = mpsc::channel::<()>();
            stops.push(stop);
            scope.spawn(move || {
                while stopped.try_recv() == Err(TryRecvError::Empty) {
                    stream.write_all(&flood).unwrap();
                }
                stream.write_all(&wire::to_room("flooded", "end", b"")).unwrap();
            });
        }
        for mut client in [a, b] {
            // Each hears the other to the end, and nothing is lost on the way.
            scope.spawn(move || while client.view().event != b"end" {});
        }
        talk(&site);
    });
}

#[test]
fn a_flood_in_one_room_does_not_silence_another() {
    let noise = |_: &Client| wire::to_room("flooded", "noise", b"x");
    beside_a_flood(noise, |site| {
        let [mut a, mut b] = site.room("quiet");
        for n in 0..20u8 {
            a.say("quiet", "hello", &[n]);
            b.expect("quiet", "hello", "", &a.id, &[n]);
            b.say("quiet", "hello", &[n]);
            a.expect("quiet", "hello", "", &b.id, &[n]);
        }
    });
}

#[test]
fn a_flood_of_direct_messages_does_not_keep_newcomers_out() {
    let noise = |to: &Client| wire::to_client(&to.id, "r", "noise", &wire::filler(500));
    beside_a_flood(noise, |site| {
        for _ in 0..20 {
            site.client().goodbye();
        }
    });
}
