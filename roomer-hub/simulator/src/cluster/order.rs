//! Checks that any two members of an ordered room receive the same messages in the same order.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::expected::Sender;
use super::plan::ROOMS;
use super::world::World;
use crate::fault::{Fault, ensure};

/// The time for which a message may wait for its place in the order, plus the time for which a
/// place may wait for its message.
const SETTLED: Duration = Duration::from_secs(6);

impl World {
    /// If messages are waiting for their place, waits until nodes must have delivered them or given
    /// up on them.
    pub fn settle_orders(&mut self) -> Result<(), Fault> {
        match self.nodes.iter().any(|node| node.cluster.waiting_messages() > 0) {
            true => self.run(SETTLED),
            false => Ok(()),
        }
    }

    /// Checks that the messages received by all clients are consistent with one order, and that no
    /// message is still waiting for its place.
    pub fn check_order(&self) -> Result<(), Fault> {
        for room in (0..ROOMS.len()).filter(|room| self.setup.orders(*room)) {
            self.check_order_in(room)?;
        }
        for node in self.nodes.iter().filter(|node| node.runs()) {
            let waiting = node.cluster.waiting_messages();
            ensure!(waiting == 0, "{waiting} messages wait on node {}", node.index);
        }
        Ok(())
    }

    /// Checks by topological sorting that there is no cycle. A message precedes another if some
    /// client has received them one directly after the other.
    fn check_order_in(&self, room: usize) -> Result<(), Fault> {
        type Message = (Sender, u32);
        let mut next: BTreeMap<Message, BTreeSet<Message>> = BTreeMap::new();
        let mut before: BTreeMap<Message, usize> = BTreeMap::new();
        let sequences = self.clients.values().flat_map(|client| &client.sequences);
        for (_, received) in sequences.filter(|(of, _)| *of == room) {
            for message in received {
                before.entry(*message).or_default();
            }
            // Adjacent pairs are enough, since precedence is transitive.
            for pair in received.windows(2) {
                if next.entry(pair[0]).or_default().insert(pair[1]) {
                    *before.entry(pair[1]).or_default() += 1;
                }
            }
        }
        let first = before.iter().filter(|(_, count)| **count == 0);
        let mut free: Vec<Message> = first.map(|(message, _)| *message).collect();
        while let Some(message) = free.pop() {
            before.remove(&message);
            for after in next.get(&message).into_iter().flatten() {
                if let Some(count) = before.get_mut(after) {
                    *count -= 1;
                    if *count == 0 {
                        free.push(*after);
                    }
                }
            }
        }
        ensure!(before.is_empty(), "two orders in {}: {:?}", ROOMS[room], before.keys());
        Ok(())
    }

    /// Records that a node stops. If messages on it are still waiting for their place, messages
    /// from this node may be lost.
    pub fn expect_no_waiting(&mut self, node: usize) {
        if self.nodes[node].cluster.waiting_messages() == 0 {
            return;
        }
        let (id, setup) = (self.nodes[node].id, self.setup);
        self.left_waiting.insert(id);
        for client in self.clients.values_mut() {
            let rooms = (0..ROOMS.len()).filter(|room| setup.orders(*room));
            rooms.for_each(|room| client.expect_no_more(id, room));
        }
    }
}
