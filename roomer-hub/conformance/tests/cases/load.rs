//! Tests with a thousand connections: no message is lost or duplicated, and no memory is leaked.
//!
//! The tests over streams use fewer connections.

use std::sync::Barrier;
use std::time::Duration;
use std::{process, thread};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::Harness;
use super::alone::{allocated, alone};
use super::test_server::TestServer;
use crate::Adapter;
use roomer_conformance::client::{Client, Received};
use roomer_conformance::wire::{self, PacketView};

/// The number of connections. The number of messages is the same.
const CROWD: usize = Adapter::CROWD;
const MESSAGES: usize = CROWD;

/// The number of threads that run the clients.
const THREADS: usize = 4;
/// The number of parts into which the test is divided. After each part, all clients read, so that
/// they never have much unread data.
const STEPS: usize = 10;

/// The maximum growth of memory per round in bytes. It is less than the growth would be if each
/// connection had the smallest possible leak.
const MAX_GROWTH: usize = CROWD * 24;

/// The number of rounds after the first. The capacity of a table depends on its largest size so
/// far, which depends on how many connections close late. Unlike a leak, the capacity does not grow
/// in every round.
const ROUNDS: usize = 6;

/// Returns the number of connections that the limit on descriptors permits. Each connection has two
/// descriptors in this process.
fn affordable() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let wanted = 2 * CROWD as u64 + 200;
    let most = limit.maximum.unwrap_or(wanted).max(limit.current.unwrap_or(wanted));
    let soft = limit.current.map_or(wanted, |soft| soft.max(wanted.min(most)));
    setrlimit(Resource::Nofile, Rlimit { current: Some(soft), ..limit }).unwrap();
    let crowd = (soft as usize - 200) / 2;
    if crowd >= CROWD {
        return CROWD;
    }
    let step = THREADS * STEPS;
    let crowd = crowd / step * step;
    eprintln!("SCALED DOWN: {soft} file descriptors are enough for {crowd} of {CROWD} connections");
    crowd
}

/// A client and its view of two rooms: the number of members in each, and the sum of the members'
/// ids.
struct One {
    client: Client,
    root: Known,
    room: Known,
    heard: Vec<bool>,
    said: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Known {
    count: usize,
    sum: u128,
}

impl Known {
    fn of(ids: &[String]) -> Known {
        let mut known = Known::default();
        ids.iter().for_each(|id| known.add(id.as_bytes()));
        known
    }

    fn add(&mut self, id: &[u8]) {
        self.count += 1;
        self.sum = self.sum.wrapping_add(number(id));
    }

    fn remove(&mut self, id: &[u8]) {
        self.count -= 1;
        self.sum = self.sum.wrapping_sub(number(id));
    }
}

/// Returns a number that differs for different ids. It is made of both ends of the id's text, since a
/// debug build takes long to parse each digit of so many ids.
fn number(id: &[u8]) -> u128 {
    assert_eq!(id.len(), 36);
    let [first, last] = [id.first_chunk(), id.last_chunk()].map(|part| *part.unwrap());
    u128::from_be_bytes(first).wrapping_mul(3).wrapping_add(u128::from_be_bytes(last))
}

impl One {
    fn arrive(test: &TestServer) -> One {
        let client = test.client();
        let (root, room) = (Known::of(&client.root_members), Known::default());
        let mut one = One { client, root, room, heard: vec![false; MESSAGES], said: 0 };
        one.client.send_to_room("crowd", "join", b"");
        while one.room.count == 0 {
            one.receive();
        }
        one
    }

    /// Applies a received packet to the view.
    fn receive(&mut self) {
        let PacketView { room, event, payload, .. } = self.client.expect_view();
        let known = if room == b"root" { &mut self.root } else { &mut self.room };
        match event {
            b"new_member" => known.add(payload),
            b"member_left" => known.remove(payload),
            b"join_ack" => {
                let ids = payload.split(|byte| *byte == b'"').filter(|cell| cell.len() == 36);
                ids.for_each(|id| known.add(id));
            }
            b"hello" => {
                let n = u32::from_be_bytes(*payload.first_chunk().unwrap()) as usize;
                assert!(!std::mem::replace(&mut self.heard[n], true), "message {n} twice");
            }
            _ => panic!("{}", event.escape_ascii()),
        }
    }

    /// Reads until both rooms have `count` members.
    fn settle(&mut self, count: usize) {
        while self.root.count != count || self.room.count != count {
            self.receive();
        }
    }

    /// Sends message number `n`. The sender does not receive its own message.
    fn say(&mut self, n: usize) {
        let mut payload = wire::filler(64);
        payload[..4].copy_from_slice(&(n as u32).to_be_bytes());
        self.client.send_to_room("crowd", "hello", &payload);
        self.heard[n] = true;
        self.said += 1;
    }

    fn close(mut self) {
        self.client.send(&wire::close(1000, ""));
        loop {
            match self.client.receive() {
                Received::Packet(packet) => assert_eq!(packet.event, "member_left"),
                Received::Close(code, _) => break assert_eq!(code, Some(1000)),
                other => panic!("{other:?}"),
            }
        }
        self.client.expect_end();
    }
}

/// Ends the process if a thread panics: the other threads would wait at the barrier forever.
struct EndsAll;

impl Drop for EndsAll {
    fn drop(&mut self) {
        if thread::panicking() {
            process::exit(1);
        }
    }
}

/// Runs one round: all clients connect, send and leave.
fn round(test: &TestServer, crowd: usize) {
    let barrier = Barrier::new(THREADS);
    let share = crowd / THREADS / STEPS;
    let work = |thread: usize| {
        let _guard = EndsAll;
        let mut own: Vec<One> = Vec::new();
        for step in 1..=STEPS {
            own.extend((0..share).map(|_| One::arrive(test)));
            barrier.wait();
            own.iter_mut().for_each(|one| one.settle(step * crowd / STEPS));
        }
        for step in 0..STEPS {
            let messages = step * MESSAGES / STEPS..(step + 1) * MESSAGES / STEPS;
            for n in messages.clone() {
                // Let a different member send each message.
                let sender = n * 7 % crowd;
                if sender % THREADS == thread {
                    own[sender / THREADS].say(n);
                }
            }
            for one in &mut own {
                while !one.heard[messages.clone()].iter().all(|heard| *heard) {
                    one.receive();
                }
            }
            barrier.wait();
        }
        // Each client sends a message to itself and must receive it next. A duplicate of any other
        // message would come before it.
        own.iter_mut().for_each(|one| one.client.expect_nothing());
        let views: Vec<_> = own.iter().map(|one| (one.root, one.room)).collect();
        barrier.wait();
        for step in 1..=STEPS {
            own.drain(..share).for_each(One::close);
            barrier.wait();
            own.iter_mut().for_each(|one| one.settle(crowd - step * crowd / STEPS));
            barrier.wait();
        }
        views
    };
    let views: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|n| scope.spawn(move || work(n))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(views.len(), crowd);
    assert!(views.iter().all(|view| *view == views[0]), "their views differ");
    assert_eq!(views[0].0, views[0].1);
    test.wait_for_drain();
    let stats = test.server.stats();
    assert_eq!((stats.connections, stats.rooms), (0, 0));
}

#[test]
fn thousand_broadcasts_to_thousand_connections_all_arrive() {
    alone("thousand_broadcasts_to_thousand_connections_all_arrive", || {
        let crowd = affordable();
        // Disable pings, which are not under test: on a busy machine, a round takes longer than
        // their interval.
        let test = TestServer::with(|builder| {
            builder.write_timeout(Duration::from_secs(60)).pong_timeout(Duration::from_secs(3600))
        });
        round(&test, crowd);
        let mut left = vec![allocated()];
        for _ in 0..ROUNDS {
            round(&test, crowd);
            left.push(allocated());
            if left[left.len() - 1] < left[left.len() - 2] + MAX_GROWTH {
                return;
            }
        }
        panic!("each round leaves memory behind: {left:?} bytes after them");
    });
}
