//! A model of a broker.
//!
//! It preserves the order of frames from one publisher to one subscriber on one subject, and
//! guarantees nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;

use super::plan::Setup;
use crate::random::{Random, Source};

/// A frame in flight.
#[derive(Debug)]
pub struct Delivery {
    pub to: usize,
    pub frame: Bytes,
    pub from: usize,
    /// The number of each node's link when the frame was published. If a link breaks before the
    /// frame arrives, its number changes and the frame may be lost.
    from_link: u64,
    to_link: u64,
    sent_at: Duration,
}

#[derive(Debug)]
pub struct Broker {
    random: Random,
    setup: Setup,
    links: Vec<Link>,
    parted: BTreeSet<(usize, usize)>,
    lost_of_thousand: u32,
    /// The time at which the latest frame from one node to another arrives, by subject (true for
    /// the subject of all nodes).
    last: BTreeMap<(usize, usize, bool), Duration>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Link {
    is_up: bool,
    number: u64,
    /// The time at which the link's subscriptions take effect.
    interest_at: Duration,
    refuses: bool,
}

impl Broker {
    pub fn new(setup: Setup) -> Self {
        Broker {
            random: Random::new(setup.seed),
            setup,
            links: vec![Link::default(); usize::from(setup.nodes)],
            parted: BTreeSet::new(),
            lost_of_thousand: 0,
            last: BTreeMap::new(),
        }
    }

    pub fn is_up(&self, node: usize) -> bool {
        self.links[node].is_up
    }

    pub fn takes(&self, node: usize) -> bool {
        self.links[node].is_up && !self.links[node].refuses
    }

    pub fn connect(&mut self, now: Duration, node: usize) {
        let late = self.random.below(self.setup.late_interest + 1);
        let link = &mut self.links[node];
        link.is_up = true;
        link.number += 1;
        link.interest_at = now + Duration::from_millis(late.into());
    }

    pub fn disconnect(&mut self, node: usize) {
        self.links[node].is_up = false;
        self.links[node].number += 1;
    }

    pub fn refuse(&mut self, node: usize, refuses: bool) {
        self.links[node].refuses = refuses;
    }

    pub fn partition(&mut self, one: usize, other: usize) {
        self.parted.extend([(one, other), (other, one)]);
    }

    pub fn is_partitioned(&self, one: usize, other: usize) -> bool {
        self.parted.contains(&(one, other))
    }

    pub fn heal(&mut self) {
        self.parted.clear();
    }

    pub fn lose(&mut self, of_thousand: u32) {
        self.lost_of_thousand = of_thousand;
    }

    /// Returns the random delay after which a task runs. It is at most the given number of
    /// milliseconds.
    pub fn jitter(&mut self, below: u32) -> Duration {
        Duration::from_micros((self.random.below(below * 1000 + 1)).into())
    }

    /// Publishes a frame from one node to another. Returns its deliveries with their times: none if
    /// the frame is lost, two if the broker duplicates it.
    pub fn publish(
        &mut self,
        now: Duration,
        from: usize,
        to: usize,
        is_for_all: bool,
        frame: &Bytes,
    ) -> Vec<(Duration, Delivery)> {
        let is_lost = self.random.below(1000) < self.lost_of_thousand;
        if is_lost || self.parted.contains(&(from, to)) || !self.links[to].is_up {
            return Vec::new();
        }
        let copies = if self.random.below(1000) < self.setup.repeated { 2 } else { 1 };
        let mut deliveries = Vec::new();
        for _ in 0..copies {
            let delay = self.jitter(self.setup.max_delay);
            let last = self.last.entry((from, to, is_for_all)).or_default();
            // The frame must not overtake an earlier one from the same publisher on the same
            // subject. Brokers preserve no other order.
            *last = (*last).max(now + delay);
            let delivery = Delivery {
                to,
                frame: frame.clone(),
                from,
                from_link: self.links[from].number,
                to_link: self.links[to].number,
                sent_at: now,
            };
            deliveries.push((*last, delivery));
        }
        deliveries
    }

    /// Returns true if a frame that is due arrives, false if it was lost on the way.
    pub fn delivers(&mut self, delivery: &Delivery) -> bool {
        let (from, to) = (self.links[delivery.from], self.links[delivery.to]);
        // If the publisher's link has broken since, the frame may or may not have reached the
        // broker before that.
        let is_through = from.number == delivery.from_link || self.random.one_in(2);
        to.is_up
            && to.number == delivery.to_link
            // A subscriber does not receive frames that were published before its subscription took
            // effect.
            && delivery.sent_at >= to.interest_at
            && is_through
    }
}
