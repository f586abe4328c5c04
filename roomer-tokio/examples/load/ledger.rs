//! Checks deliveries: no message is lost or duplicated, and each sender's messages arrive in order.

use crate::faults::Faults;

/// For each listener and each of its senders, the number of the next message that must arrive. A
/// single comparison per delivery detects losses, duplicates and a wrong order.
#[derive(Debug)]
pub struct Ledger {
    senders: usize,
    next: Vec<u64>,
    pub lost: u64,
    pub again: u64,
}

impl Ledger {
    pub fn new(listeners: usize, senders: usize) -> Ledger {
        Ledger { senders, next: vec![0; listeners * senders], lost: 0, again: 0 }
    }

    /// Records a message that a listener has received. Returns true if the listener had not
    /// received it before.
    #[inline]
    pub fn record(
        &mut self,
        listener: usize,
        sender: usize,
        number: u64,
        faults: &mut Faults,
    ) -> bool {
        let next = &mut self.next[listener * self.senders + sender];
        if number == *next {
            *next += 1;
            return true;
        }
        let due = *next;
        if number < due {
            self.again += 1;
            faults.add(|| format!("listener {listener}: message {number} of sender {sender} again or late, {due} was due"));
            return false;
        }
        self.lost += number - due;
        *next = number + 1;
        faults.add_many(number - due, || {
            format!("listener {listener}: message {number} of sender {sender} arrived before {due}")
        });
        true
    }

    /// Returns the number of a sender's `sent` messages that a listener has not received.
    pub fn missing(&self, listener: usize, sender: usize, sent: u64) -> u64 {
        sent.saturating_sub(self.next[listener * self.senders + sender])
    }
}
