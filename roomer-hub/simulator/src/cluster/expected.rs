//! The messages that a client must still receive, and which of them may be lost.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use roomer_hub::ConnId;
use roomer_proto::cluster::NodeId;

use crate::fault::{Fault, ensure};

/// The sender of a message: a client, or a node's application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sender {
    Client(ConnId),
    Server(u64),
}

/// The messages that one client must still receive, by sender and room. The room is `None` for
/// direct messages.
#[derive(Debug, Default)]
pub struct Expected(BTreeMap<(Sender, Option<usize>), Stream>);

#[derive(Debug)]
struct Stream {
    /// The node to which the sender is connected.
    node: NodeId,
    numbers: VecDeque<Number>,
}

#[derive(Clone, Copy, Debug)]
struct Number {
    number: u32,
    /// True if the loss of this message is permitted: since it was sent, the receiver's node has
    /// restarted its stream with the sender's node, or has reported a loss.
    may_be_lost: bool,
    /// True if the receiver's node declared the sender's node dead, or did not show its members
    /// when the message was sent.
    by_death: bool,
}

impl Expected {
    pub fn add(
        &mut self,
        from: Sender,
        room: Option<usize>,
        node: NodeId,
        number: u32,
        may_be_lost: bool,
    ) {
        let stream = self.0.entry((from, room));
        let stream = stream.or_insert_with(|| Stream { node, numbers: VecDeque::new() });
        stream.numbers.push_back(Number { number, may_be_lost, by_death: may_be_lost });
    }

    /// Records that the receiver's node restarts its stream with another node, or (`is_dead`)
    /// declares it dead. The other node's messages may then be lost.
    pub fn allow_loss(&mut self, node: NodeId, is_dead: bool) {
        let streams = self.0.values_mut().filter(|stream| stream.node == node);
        for number in streams.flat_map(|stream| &mut stream.numbers) {
            number.may_be_lost = true;
            number.by_death |= is_dead;
        }
    }

    /// Records that the receiver's node reports messages from a node in a room as lost.
    pub fn allow_loss_in(&mut self, node: NodeId, room: usize) {
        let streams = self.0.iter_mut().filter(|((_, own), _)| *own == Some(room));
        let streams = streams.map(|(_, stream)| stream).filter(|stream| stream.node == node);
        streams.flat_map(|stream| &mut stream.numbers).for_each(|number| number.may_be_lost = true);
    }

    /// Discards messages that may be lost if their sender is no longer one of the room's `members`,
    /// since its departure has revealed the loss.
    pub fn loss_is_shown_except(&mut self, members: &BTreeSet<ConnId>, room: usize) {
        for ((from, own), stream) in &mut self.0 {
            let has_left = matches!(from, Sender::Client(id) if !members.contains(id));
            if has_left && *own == Some(room) {
                // These messages no longer need to arrive.
                stream.numbers.retain(|number| !number.may_be_lost);
            }
        }
    }

    /// Records that the outstanding messages from a node in a room need not arrive.
    pub fn expect_no_more(&mut self, node: NodeId, room: usize) {
        self.0.retain(|(_, own), stream| *own != Some(room) || stream.node != node);
    }

    /// Records that a client's leave or join has revealed the possible loss of its messages.
    pub fn loss_is_shown(&mut self, id: ConnId, room: usize) {
        for key in [(Sender::Client(id), Some(room)), (Sender::Client(id), None)] {
            if let Some(stream) = self.0.get_mut(&key) {
                stream.numbers.retain(|number| !number.may_be_lost);
            }
        }
    }

    /// Discards the expectations for a room that the receiver leaves or joins.
    pub fn forget(&mut self, room: usize) {
        self.0.retain(|(_, own), _| *own != Some(room));
    }

    /// Checks a message that arrives. All earlier messages must have arrived, unless their loss is
    /// permitted and invisible. `hides_loss` returns true if it is invisible; its argument is true
    /// if the sender's node was declared dead.
    pub fn take(
        &mut self,
        from: Sender,
        room: Option<usize>,
        number: u32,
        hides_loss: impl Fn(bool) -> bool,
    ) -> Result<(), Fault> {
        let Some(stream) = self.0.get_mut(&(from, room)) else { return Ok(()) };
        while let Some(first) = stream.numbers.front().copied() {
            // This message may still arrive later.
            if first.number > number {
                break;
            }
            let is_fine =
                first.number == number || (first.may_be_lost && hides_loss(first.by_death));
            ensure!(is_fine, "message {} of {from:?} in {room:?} is missing", first.number);
            stream.numbers.pop_front();
        }
        Ok(())
    }

    /// Once nothing is in flight, checks that no message is missing. `hides_loss` returns
    /// true for a sender and room if the loss of a message is invisible; its last argument is true
    /// if the sender's node was declared dead. `is_lost` returns true for nodes that have ended
    /// without a goodbye.
    pub fn at_rest(
        &self,
        is_lost: impl Fn(NodeId) -> bool,
        hides_loss: impl Fn(Sender, Option<usize>, bool) -> bool,
    ) -> Result<(), Fault> {
        for ((from, room), stream) in self.0.iter().filter(|(_, stream)| !is_lost(stream.node)) {
            let missing = stream.numbers.iter();
            let missing = missing
                .filter(|number| !(number.may_be_lost && hides_loss(*from, *room, number.by_death)))
                .map(|number| number.number);
            let missing: Vec<u32> = missing.collect();
            ensure!(
                missing.is_empty(),
                "messages {missing:?} of {from:?} in {room:?} did not arrive"
            );
        }
        Ok(())
    }
}
