//! Delivers bytes between clients and server, and injects faults.

use std::io::ErrorKind;
use std::time::Duration;

use super::world::{Scheduled, World};

impl World {
    /// Delivers some of the bytes that a client has in flight to the server.
    pub(super) fn deliver(&mut self, number: usize) {
        self.idle_polls = 0;
        let client = self.clients[number].clone();
        let mut state = client.state_mut();
        let all = state.in_flight.len();
        let size = match self.faults.split {
            true if self.rng.chance(25) => 1 + self.rng.below(all.min(4)),
            true if self.rng.chance(35) => 1 + self.rng.below(all),
            _ => all,
        };
        // With no bytes in flight, only the end of the stream is delivered.
        let bytes: Vec<u8> = state.in_flight.drain(..size.min(all)).collect();
        if self.faults.split && self.rng.chance(10) {
            let most = 1 + self.rng.below(8);
            state.peer.max_read(if self.rng.chance(50) { most } else { usize::MAX });
        }
        state.peer.deliver(&bytes);
        if state.in_flight.is_empty()
            && let Some(end) = state.end.filter(|end| end.is_ok())
        {
            state.peer.end_stream(end);
            // The end of the stream must be delivered only once.
            state.end = Some(Err(ErrorKind::NotConnected));
        }
        drop(state);
        self.record(&[2, number as u8]);
        self.record(&bytes);
    }

    /// Makes a client read some of the bytes that the server has written to its socket.
    pub(super) fn take(&mut self, number: usize) {
        self.idle_polls = 0;
        let client = self.clients[number].clone();
        let mut bytes = Vec::new();
        {
            let state = client.state();
            let peer = &state.peer;
            let waiting = peer.available();
            let cut = self.faults.split && self.rng.chance(30);
            peer.take(if cut { 1 + self.rng.below(waiting) } else { waiting }, &mut bytes);
            if self.faults.short_writes && self.rng.chance(30) {
                peer.max_write(1 + self.rng.below(200));
                peer.set_space(1 + self.rng.below(400));
                peer.interrupt(self.rng.below(2) as u32);
            } else {
                peer.max_write(usize::MAX);
                peer.set_space(usize::MAX);
            }
        }
        self.record(&[3, number as u8]);
        self.record(&bytes);
        if let Err(error) = client.receive(&bytes) {
            self.fail(&format!("client {number}: {error}"));
        }
    }

    /// Notifies each client whose stream the server has ended, once the client has read all bytes
    /// before the end.
    pub(super) fn deliver_stream_ends(&mut self) {
        for client in &self.clients {
            let state = client.state();
            // A completed task has dropped its socket, which ends the stream.
            let is_shut = state.peer.is_shut_down() || self.tasks.is_done(state.task);
            let has_ended = is_shut && state.peer.available() == 0 && state.is_reading;
            let knows = state.end.is_some() && state.has_ended();
            drop(state);
            if has_ended && !knows {
                client.receive_end();
            }
        }
    }

    /// Injects one of the enabled faults at random, or none.
    pub(super) fn inject_faults(&mut self) {
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
        // Inject faults rarely so that clients make progress between them.
        match self.rng.below(600) {
            0 if faults.stalls => {
                client.stall(self.rng.below(200));
                self.scheduled.push((self.clock.now() + late, number, Scheduled::Resume));
            }
            1 if faults.half_closes => client.half_close(),
            2 if faults.resets => {
                client.unplug();
                match self.rng.below(3) {
                    0 => client.notify(),
                    1 => self.scheduled.push((self.clock.now() + late, number, Scheduled::Notify)),
                    _ => {} // the server never notices
                }
            }
            _ => {}
        }
    }
}
