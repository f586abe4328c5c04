//! Random plans: whatever happens to connections, no message is duplicated, and lost ones are
//! reported.

use std::collections::BTreeSet;
use std::time::Duration;

use roomer_engine::Server;
use roomer_proto::client::{Event, Options, State};

use super::net::*;

const ROOMS: [&str; 3] = ["root", "lobby", "other"];

struct Plan {
    net: Net,
    sent: Vec<Vec<String>>,
}

impl Plan {
    fn new(seed: u64, options: &Options) -> Self {
        let mut net = Net::new(seed, Server::builder());
        for _ in 0..3 {
            let number = net.add(options.clone());
            net.join(number, "lobby");
        }
        net.settle();
        Plan { net, sent: vec![Vec::new(); 3] }
    }

    fn run(&mut self, steps: usize, can_cut: impl Fn(usize) -> bool) {
        for _ in 0..steps {
            let number = self.net.rng.below(3);
            let net = &mut self.net;
            match net.rng.below(12) {
                0..=5 => {
                    let text = format!("{number}:{}", self.sent[number].len());
                    net.send(number, "lobby", &text);
                    self.sent[number].push(text);
                }
                6 => {
                    let room = *net.rng.pick(&ROOMS);
                    if room != "lobby" {
                        net.join(number, room);
                    }
                }
                7 => {
                    let room = *net.rng.pick(&ROOMS);
                    if room != "lobby" {
                        net.leave(number, room);
                    }
                }
                8 if can_cut(number) => net.cut(number),
                9 if can_cut(number) => net.darken(number),
                10 => {
                    let millis = net.rng.below(1500) as u64;
                    net.advance(Duration::from_millis(millis));
                }
                _ => net.settle(),
            }
        }
        self.net.is_up = true;
        self.net.advance(3 * MINUTE);
    }

    /// Checks that each client knows the members of its rooms.
    fn check_members(&self, seed: u64) {
        for number in 0..3 {
            assert_eq!(self.net.state(number), State::Open, "seed {seed}");
            for room in ROOMS {
                let mut members = self.net.world.server().members(room);
                members.sort_unstable();
                let is_in = members.contains(&self.net.id(number));
                assert_eq!(is_in, self.net.ends[number].client.is_in(room), "seed {seed}: {room}");
                if is_in {
                    assert_eq!(self.net.members(number, room), members, "seed {seed}: {room}");
                }
            }
        }
    }
}

#[test]
fn with_sessions_nothing_is_lost_doubled_or_reordered() {
    for seed in 0..100 {
        let mut plan = Plan::new(seed, &Options::default());
        plan.run(80, |_| true);
        plan.check_members(seed);
        for sender in 0..3 {
            assert_eq!(plan.net.lost(sender), Vec::<String>::new(), "seed {seed}");
            for receiver in (0..3).filter(|receiver| *receiver != sender) {
                let prefix = format!("{sender}:");
                let heard = plan.net.texts(receiver, "lobby");
                let heard: Vec<_> = heard.into_iter().filter(|t| t.starts_with(&prefix)).collect();
                assert_eq!(heard, plan.sent[sender], "seed {seed}: {sender} to {receiver}");
            }
        }
        assert_eq!(plan.net.world.server().stats().lost, 0, "seed {seed}");
    }
}

#[test]
fn without_sessions_nothing_is_doubled_and_losses_are_reported() {
    for seed in 0..100 {
        let mut plan = Plan::new(seed, &plain());
        // The third client stays, and so shows what has arrived.
        plan.run(80, |number| number < 2);
        plan.check_members(seed);
        let heard = plan.net.texts(2, "lobby");
        let once: BTreeSet<_> = heard.iter().collect();
        assert_eq!(once.len(), heard.len(), "seed {seed}: a message is doubled");
        for sender in 0..2 {
            let lost = plan.net.lost(sender);
            for text in &plan.sent[sender] {
                assert!(heard.contains(text) || lost.contains(text), "seed {seed}: {text}");
            }
            // Messages of one sender arrive in order.
            let prefix = format!("{sender}:");
            let heard: Vec<_> = heard.iter().filter(|text| text.starts_with(&prefix)).collect();
            let expected = plan.sent[sender].iter().filter(|text| heard.contains(text));
            assert!(heard.iter().copied().eq(expected), "seed {seed}: reordered");
            // Only connections that broke lose anything.
            let has_broken =
                plan.net.ends[sender].events.iter().any(|e| matches!(e, Event::Suspended(_)));
            assert!(lost.is_empty() || has_broken, "seed {seed}");
        }
        assert!(plan.net.lost(2).is_empty());
    }
}
