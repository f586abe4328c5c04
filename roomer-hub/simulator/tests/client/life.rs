//! Tests connection attempts, backoff and keep-alive, and the ways in which connections end.

use std::time::Duration;

use roomer_engine::{Rejection, Server};
use roomer_proto::client::{Closing, Event, Failure, Options, SendStatus, State};
use roomer_simulator::client::net::*;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn backoff_has_full_jitter_and_resets_after_success() {
    let mut means = Vec::new();
    for nth in 0..9 {
        let mut total = Duration::ZERO;
        for seed in 0..60 {
            let mut net = Net::new(seed, Server::builder());
            net.is_up = false;
            let ann = net.add(Options::default());
            net.settle();
            // Let `nth` more attempts fail, and then measure the delay until the next one.
            for _ in 0..nth {
                let due = net.ends[ann].client.deadline(net.world.now()).unwrap();
                let now = net.world.now();
                net.advance(due - now);
            }
            assert_eq!((net.state(ann), net.ends[ann].attempts), (State::Waiting, nth + 1));
            let delay = net.ends[ann].client.deadline(net.world.now()).unwrap() - net.world.now();
            let most = (SECOND / 2 * 2u32.pow(nth as u32)).min(30 * SECOND);
            assert!(delay <= most, "{delay:?} {most:?}");
            total += delay;
        }
        means.push(total / 60);
    }
    for (nth, mean) in means.iter().enumerate() {
        let most = (SECOND / 2 * 2u32.pow(nth as u32)).min(30 * SECOND);
        // The mean must be half of the maximum, within five standard deviations.
        assert!(*mean > most * 3 / 10 && *mean < most * 7 / 10, "{nth}: {means:?}");
    }
}

#[test]
fn short_lived_connection_counts_as_failure() {
    let mut options = Options::default();
    options.retries = Some(3);
    let mut net = Net::new(1, Server::builder());
    let ann = net.add(options);
    net.settle();
    for attempt in 1..=3 {
        net.world.server().disconnect(net.id(ann), 1012, "");
        net.advance(5 * SECOND * attempt);
    }
    assert_eq!(net.ends[ann].attempts, 4);
    // This connection lasts long enough to reset the backoff.
    net.advance(6 * SECOND);
    net.world.server().disconnect(net.id(ann), 1012, "");
    net.advance(5 * SECOND);
    assert_eq!((net.state(ann), net.ends[ann].attempts), (State::Open, 5));
    net.advance(6 * SECOND);
    net.is_up = false;
    net.cut(ann);
    net.advance(2 * MINUTE);
    assert_eq!(net.state(ann), State::Closed);
    let last = net.take_events(ann).pop();
    let Some(Event::Closed(Closing::GaveUp(Failure::Connect(why)))) = last else {
        panic!("{last:?}")
    };
    assert_eq!((&*why, net.ends[ann].attempts), ("it is down", 8));
}

#[test]
fn close_code_table_decides_reconnection() {
    for close in roomer_proto::close::TABLE {
        let (code, reason) = close.frame();
        // These codes must never be sent.
        if [1005, 1006, 1015].contains(&code) {
            continue;
        }
        for options in [Options::default(), plain()] {
            let mut net = Net::new(7, Server::builder());
            let ann = net.add(options);
            net.settle();
            net.world.server().disconnect(net.id(ann), code, reason);
            net.settle();
            let state = if close.is_final() { State::Closed } else { State::Waiting };
            assert_eq!(net.state(ann), state, "{code} {reason}");
            let failure = Failure::Closed { code: Some(code), reason: reason.into() };
            let event = match close.is_final() {
                true => Event::Closed(Closing::Final(failure)),
                false => Event::Suspended(failure),
            };
            assert_eq!(net.take_events(ann).pop(), Some(event));
            let delay =
                net.ends[ann].client.deadline(net.world.now()).map(|at| at - net.world.now());
            let is_slow = reason == "rate";
            assert_eq!(delay.is_some_and(|delay| delay >= SECOND), is_slow, "{code} {reason}");
            net.advance(2 * SECOND);
            assert_eq!(net.ends[ann].attempts, if close.is_final() { 1 } else { 2 });
        }
    }
}

#[test]
fn expired_login_is_final_without_renewal() {
    for close in roomer_proto::close::TABLE.iter().filter(|close| close.is_final()) {
        let mut options = Options::default();
        options.renews_login = true;
        let mut net = Net::new(7, Server::builder());
        let ann = net.add(options);
        net.settle();
        let (code, reason) = close.frame();
        net.world.server().disconnect(net.id(ann), code, reason);
        net.settle();
        let is_expired = reason == "login expired";
        let state = if is_expired { State::Waiting } else { State::Closed };
        assert_eq!(net.state(ann), state, "{code} {reason}");
        net.advance(2 * SECOND);
        assert_eq!(net.ends[ann].attempts, if is_expired { 2 } else { 1 }, "{code} {reason}");
    }
}

#[test]
fn immediately_expiring_login_backs_off() {
    let mut options = Options::default();
    options.renews_login = true;
    options.retries = Some(5);
    let mut net = Net::new(7, Server::builder());
    let ann = net.add(options);
    for _ in 0..60 {
        if net.state(ann) == State::Open {
            net.world.server().disconnect(net.id(ann), 1008, "login expired");
        }
        net.advance(SECOND);
    }
    let last = net.take_events(ann).pop();
    assert!(matches!(last, Some(Event::Closed(Closing::GaveUp(_)))), "{last:?}");
    assert_eq!(net.ends[ann].attempts, 6);
}

#[test]
fn application_rule_replaces_close_code_table() {
    let mut options = Options::default();
    options.is_final = Some(|code, reason| code == 1001 && reason == "really");
    let mut net = Net::new(1, Server::builder());
    let (ann, bob) = (net.add(options.clone()), net.add(options));
    net.settle();
    net.world.server().disconnect(net.id(ann), 4000, "");
    net.world.server().disconnect(net.id(bob), 1001, "really");
    net.settle();
    assert_eq!((net.state(ann), net.state(bob)), (State::Waiting, State::Closed));
}

#[test]
fn reconnect_hint_replaces_first_delay() {
    let mut net = Net::new(1, Server::builder().retry_window(40 * SECOND));
    let clients: Vec<_> = (0..4).map(|_| net.add(Options::default())).collect();
    net.settle();
    let server = net.world.server().clone();
    net.world.spawn(async move { _ = server.drain().await });
    net.settle();
    net.is_up = false;
    let mut waits = Vec::new();
    for ann in clients {
        let Some(Event::Suspended(Failure::Closed { code: Some(1012), reason })) =
            net.take_events(ann).pop()
        else {
            panic!()
        };
        let hint: u64 = reason.strip_prefix("retry=").unwrap().parse().unwrap();
        let wait = net.ends[ann].client.deadline(net.world.now()).unwrap() - net.world.now();
        assert_eq!(wait, Duration::from_millis(hint));
        waits.push(wait.as_secs() / 10);
    }
    waits.sort_unstable();
    assert_eq!(waits, [0, 1, 2, 3]);
}

#[test]
fn rejected_login_is_final_but_overload_is_not() {
    let builder = Server::builder().authorize(|request| match request.query("token").as_deref() {
        Some("good") => Ok(roomer_engine::Claims::new()),
        Some("later") => {
            Err(Rejection::new(roomer_engine::http::StatusCode::SERVICE_UNAVAILABLE, "later"))
        }
        _ => Err(Rejection::unauthorized("who are you")),
    });
    let mut net = Net::new(1, builder);
    let tokens = ["good", "later", "bad"];
    for token in tokens {
        let number = net.add(Options::default());
        let address = net.ends[number].address.clone().query("token", token);
        net.ends[number].address = address;
    }
    net.settle();
    assert_eq!(
        [0, 1, 2].map(|number| net.state(number)),
        [State::Open, State::Waiting, State::Closed]
    );
    let rejected = Failure::Rejected { status: 401 };
    assert_eq!(net.take_events(2), [Event::Closed(Closing::Final(rejected))]);
    assert_eq!(net.take_events(1), [Event::Suspended(Failure::Rejected { status: 503 })]);
}

#[test]
fn silent_server_is_detected() {
    for options in [Options::default(), plain()] {
        let mut net = Net::new(1, Server::builder());
        let ann = net.add(options);
        // An idle connection stays open, thanks to the server's pings, or its answers to the
        // client's.
        net.advance(30 * MINUTE);
        assert_eq!((net.state(ann), net.ends[ann].attempts), (State::Open, 1));
        net.take_events(ann);
        net.drop_silently(ann);
        net.advance(MINUTE + 20 * SECOND);
        assert_eq!(net.take_events(ann)[0], Event::Suspended(Failure::Timeout));
        assert_eq!((net.state(ann), net.ends[ann].attempts), (State::Open, 2));
    }
}

#[test]
fn suspended_program_reads_before_timing_out() {
    for options in [Options::default(), plain()] {
        let mut net = Net::new(1, Server::builder());
        let ann = net.add(options);
        net.advance(MINUTE);
        // The machine is suspended for a shorter time than the server's timeout. No timer runs in
        // that time.
        net.world.jump(MINUTE + 10 * SECOND);
        let now = net.world.now();
        assert_eq!(net.ends[ann].client.poll(now, 1), None);
        net.advance(MINUTE);
        assert_eq!((net.state(ann), net.ends[ann].attempts), (State::Open, 1));
    }
}

#[test]
fn connection_attempt_times_out() {
    let mut net = Net::new(1, Server::builder());
    let ann = net.add(Options::default());
    let now = net.world.now();
    assert!(net.ends[ann].client.poll(now, 1).is_some());
    // `poll` requests the connection only once; the driver does not answer.
    assert_eq!(net.ends[ann].client.poll(now, 1), None);
    net.advance(11 * SECOND);
    assert_eq!(net.take_events(ann)[0], Event::Suspended(Failure::Timeout));
    net.advance(SECOND);
    assert_eq!(net.state(ann), State::Open);
}

#[test]
fn network_change_probes_connection_and_ends_backoff() {
    for options in [Options::default(), plain()] {
        let mut net = Net::new(1, Server::builder());
        let ann = net.add(options);
        net.advance(MINUTE / 2);
        net.take_events(ann);
        let now = net.world.now();
        net.ends[ann].client.wake(now);
        net.advance(21 * SECOND);
        assert!(net.take_events(ann).is_empty(), "it is alive");
        net.drop_silently(ann);
        let now = net.world.now();
        net.ends[ann].client.wake(now);
        net.advance(21 * SECOND);
        assert_eq!(net.take_events(ann)[0], Event::Suspended(Failure::Timeout));

        net.is_up = false;
        net.cut(ann);
        net.advance(5 * MINUTE);
        let now = net.world.now();
        net.ends[ann].client.wake(now);
        net.settle();
        let due = net.ends[ann].client.deadline(net.world.now()).unwrap();
        assert!(due - now <= SECOND / 2);
    }
}

#[test]
fn close_flushes_queue_and_waits_for_close_frame() {
    for options in [Options::default(), plain()] {
        let mut net = Net::new(1, Server::builder());
        let (ann, bob) = (net.add(options.clone()), net.add(options));
        net.join(ann, "lobby");
        net.join(bob, "lobby");
        net.settle();
        assert_eq!(net.send(ann, "lobby", "last words"), SendStatus::Sent);
        let now = net.world.now();
        net.ends[ann].client.close(now);
        assert_eq!(net.state(ann), State::Closing);
        net.settle();
        assert_eq!(net.texts(bob, "lobby"), ["last words"]);
        assert!(net.lost(ann).is_empty());
        assert_eq!(net.take_events(ann).pop(), Some(Event::Closed(Closing::Application)));
        assert_eq!(net.ends[ann].client.deadline(net.world.now()), None);
        let stats = net.world.server().stats();
        assert_eq!((stats.connections, stats.sessions.detached), (1, 0));

        // Without an answer from the server, the connection must still end, and the unconfirmed
        // message be reported as lost.
        net.drop_silently(bob);
        net.send(bob, "lobby", "uncertain");
        let now = net.world.now();
        net.ends[bob].client.close(now);
        net.advance(11 * SECOND);
        assert_eq!((net.state(bob), net.lost(bob)), (State::Closed, vec!["uncertain".into()]));
    }
}

#[test]
fn rate_violation_slows_client_down() {
    for options in [Options::default(), plain()] {
        let mut net = Net::new(1, Server::builder().message_rate(10, 20));
        let (ann, bob) = (net.add(options.clone()), net.add(options));
        net.join(ann, "lobby");
        net.join(bob, "lobby");
        net.advance(10 * SECOND);
        for number in 0..100 {
            net.send(ann, "lobby", &number.to_string());
        }
        net.advance(SECOND / 2);
        let events = net.take_events(ann);
        let closed = Failure::Closed { code: Some(1008), reason: "rate".into() };
        assert!(events.contains(&Event::Suspended(closed)), "{events:?}");
        for number in 0..100 {
            net.send(ann, "lobby", &format!("again {number}"));
        }
        net.advance(MINUTE);
        assert_eq!((net.state(ann), net.ends[ann].attempts), (State::Open, 2));
        let received = net.texts(bob, "lobby");
        let again = received.iter().filter(|text| text.starts_with("again")).count();
        assert_eq!(again, 100);
    }
}

/// A client may join many rooms slowly, and must then join all of them again at once.
#[test]
fn rejoining_many_rooms_keeps_within_join_rate() {
    for options in [Options::default(), plain()] {
        let is_extended = options.extended;
        // No session survives, so each room must be joined again.
        let mut net = Net::new(1, Server::builder().join_rate(10, 20).extended(is_extended));
        let ann = net.add(options);
        let rooms: Vec<String> = (0..60).map(|number| format!("room {number}")).collect();
        for room in &rooms {
            net.join(ann, room);
            net.advance(SECOND / 5);
        }
        assert_eq!((net.state(ann), net.ends[ann].attempts), (State::Open, 1));
        let id = net.id(ann);
        net.world.server().disconnect(id, 1012, "");
        net.settle();
        net.take_events(ann);
        net.advance(5 * MINUTE);
        let events = net.take_events(ann);
        assert_eq!(net.state(ann), State::Open, "{events:?}");
        for room in &rooms {
            assert_eq!(net.members(ann, room), [net.id(ann)], "{room}");
        }
        let refused = events.iter().filter(|event| matches!(event, Event::Refused { .. }));
        assert_eq!(refused.count(), 0);
    }
}
