//! The network between a world's clients and its server: what arrives when, and what is lost.

use std::io::ErrorKind;
use std::time::Duration;

use super::world::{Later, World};

impl World {
    /// Has some of what is under way arrive.
    pub(super) fn deliver(&mut self, number: usize) {
        self.idle_turns = 0;
        let client = self.clients[number].clone();
        let mut state = client.state_mut();
        let all = state.under_way.len();
        let size = match self.faults.cuts {
            true if self.rng.chance(25) => 1 + self.rng.below(all.min(4)),
            true if self.rng.chance(35) => 1 + self.rng.below(all),
            _ => all,
        };
        let bytes: Vec<u8> = state.under_way.drain(..size.min(all)).collect();
        if self.faults.cuts && self.rng.chance(10) {
            let most = 1 + self.rng.below(8);
            state.peer.max_read(if self.rng.chance(50) { most } else { usize::MAX });
        }
        state.peer.deliver(&bytes);
        if state.under_way.is_empty()
            && let Some(end) = state.end.filter(|end| end.is_ok())
        {
            state.peer.end(end);
            // Said once.
            state.end = Some(Err(ErrorKind::NotConnected));
        }
        drop(state);
        self.note(&[2, number as u8]);
        self.note(&bytes);
    }

    /// Has a client read.
    pub(super) fn take(&mut self, number: usize) {
        self.idle_turns = 0;
        let client = self.clients[number].clone();
        let mut bytes = Vec::new();
        {
            let state = client.state();
            let peer = &state.peer;
            let waiting = peer.waiting();
            let cut = self.faults.cuts && self.rng.chance(30);
            peer.take(if cut { 1 + self.rng.below(waiting) } else { waiting }, &mut bytes);
            if self.faults.narrows && self.rng.chance(30) {
                peer.max_write(1 + self.rng.below(200));
                peer.room(1 + self.rng.below(400));
                peer.interrupt(self.rng.below(2) as u32);
            } else {
                peer.max_write(usize::MAX);
                peer.room(usize::MAX);
            }
        }
        self.note(&[3, number as u8]);
        self.note(&bytes);
        if let Err(error) = client.hear(&bytes) {
            self.fail(&format!("client {number}: {error}"));
        }
    }

    /// Tells clients whose server has ended the stream, once they have read everything.
    pub(super) fn hang_up(&mut self) {
        for client in &self.clients {
            let state = client.state();
            let is_shut = state.peer.is_shut() || self.tasks.is_done(state.task);
            let has_ended = is_shut && state.peer.waiting() == 0 && state.is_reading;
            let knows = state.end.is_some() && state.has_ended();
            drop(state);
            if has_ended && !knows {
                client.hear_end();
            }
        }
    }

    /// What goes wrong by itself.
    pub(super) fn mischief(&mut self) {
        let faults = self.faults;
        if !(faults.stalls || faults.resets || faults.half_closes) || self.clients.is_empty() {
            return;
        }
        let number = self.rng.below(self.clients.len());
        let client = &self.clients[number];
        if client.state().is_lost || !client.state().is_reading {
            return;
        }
        let late = Duration::from_millis(self.rng.below(10_000) as u64);
        match self.rng.below(600) {
            0 if faults.stalls => {
                client.stall(self.rng.below(200));
                self.later.push((self.clock.now() + late, number, Later::Resume));
            }
            1 if faults.half_closes => client.half_close(),
            2 if faults.resets => {
                client.vanish();
                match self.rng.below(3) {
                    0 => client.notify(),
                    1 => self.later.push((self.clock.now() + late, number, Later::Notify)),
                    _ => {} // never
                }
            }
            _ => {}
        }
    }
}
