//! Finishes a plan: ends all faults, runs the final checks, and ends all connections.

use std::time::Duration;

use roomer_hub::Presence;

use super::conn_model::{End, State};
use super::harness::Harness;
use super::plan::{ClientFrame, Ending, Form, RequestKind, Size, Step};
use crate::alphabet::room_number;
use crate::fault::{Fault, ensure};
use crate::hub::op::IdSet;
use crate::hub::plan::{Address, Payload};

impl Harness<'_> {
    /// Ends all faults and delivers the data in flight. Checks that each client's view is right,
    /// and that a probe reaches every member of each room exactly once. Then ends all connections,
    /// and checks that the server keeps no state.
    pub(super) fn finish(&mut self) -> Result<(), Fault> {
        let setup = self.plan.setup;
        for at in 0..self.conns.len() {
            let conn = &mut self.conns[at];
            conn.peer.max_read(usize::MAX);
            conn.peer.max_write(usize::MAX);
            conn.peer.interrupt(0);
            // By now, the operating system reports the connection that was lost silently.
            if conn.end == Some(End::Lost) {
                conn.peer.end_stream(Err(std::io::ErrorKind::TimedOut));
                conn.peer.fail_writes(std::io::ErrorKind::TimedOut);
                (conn.end, conn.is_broken) = (Some(End::Arrived), true);
            } else if conn.end != Some(End::Arrived) {
                conn.peer.set_space(usize::MAX);
            }
        }
        self.deliver_all()?;
        // This is longer than any of the engine's timeouts.
        let longest = setup.close.max(setup.handshake).max(setup.write).max(1000);
        self.finish_calls(Duration::from_millis(longest + 50))?;
        self.compare_views()?;
        self.probe()?;
        self.end_all()
    }

    /// Delivers the data in flight until there is none left.
    fn deliver_all(&mut self) -> Result<(), Fault> {
        self.run_until_idle()?;
        for _ in 0..1000 {
            let mut moved = false;
            for at in 0..self.conns.len() {
                let conn = &mut self.conns[at];
                if conn.peer.is_shut_down() && conn.traffic.in_flight.is_empty() {
                    // When the server ends its stream, the client ends its own.
                    conn.end.get_or_insert(End::Sending);
                }
                let can_end = conn.end == Some(End::Sending);
                if !conn.traffic.in_flight.is_empty() || can_end {
                    moved = true;
                    self.deliver(at, usize::MAX);
                }
            }
            self.run_until_idle()?;
            if !moved {
                return Ok(());
            }
        }
        Err(Fault::new("clients and server do not become idle".into()))
    }

    /// Advances the time by `span`, while clients answer what they receive.
    fn run_for_answering(&mut self, span: Duration) -> Result<(), Fault> {
        let end = self.now() + span;
        loop {
            self.deliver_all()?;
            // Stop at each timer, so that no jump of the clock skips one.
            let Some(expected) = self.clock.next_deadline().filter(|expected| *expected <= end)
            else {
                break;
            };
            self.clock.advance_to(expected);
            self.run_until_idle()?;
        }
        self.clock.advance_to(end);
        self.deliver_all()
    }

    /// Advances the clock until no call of a handler or a rule is pending.
    fn finish_calls(&mut self, span: Duration) -> Result<(), Fault> {
        self.run_for_answering(span)?;
        // A handler may cause another handler's call. The bound turns an endless chain into a
        // failure.
        for _ in 0..1000 {
            if self.conns.iter().all(|conn| conn.waiting.is_none()) {
                return Ok(());
            }
            self.run_for_answering(span.max(Duration::from_secs(1)))?;
        }
        Err(Fault::new("handlers and rules do not complete".into()))
    }

    fn compare_views(&self) -> Result<(), Fault> {
        for (at, conn) in self.conns.iter().enumerate() {
            if conn.state != State::Open {
                continue;
            }
            ensure!(conn.peer.unread() == 0, "connection {at} has unread bytes at the end");
            let client = conn.client.unwrap_or_default();
            let rooms = self.model.rooms.iter().filter(|room| room.members.contains(&client));
            let mut expected: Vec<(u8, IdSet)> = rooms
                .map(|room| {
                    let is_shown = |member: &&u16| {
                        **member == client || self.model.presence(room.name) == Presence::Full
                    };
                    let shown = room.members.iter().filter(is_shown);
                    let ids = shown.map(|&client| self.model.clients[usize::from(client)].id);
                    (room_number(room.name).unwrap_or(u8::MAX), ids.collect())
                })
                .collect();
            let mut view = conn.view.rooms.clone();
            expected.sort_by_key(|(room, _)| *room);
            view.sort_by_key(|(room, _)| *room);
            ensure!(expected == view, "connection {at} sees {view:?}, but there are {expected:?}");
        }
        Ok(())
    }

    /// Sends a probe message to each room.
    fn probe(&mut self) -> Result<(), Fault> {
        let rooms: Vec<(&'static str, Vec<u16>)> =
            self.model.rooms.iter().map(|room| (room.name, room.members.clone())).collect();
        for (room, members) in rooms {
            let conns = members.iter().map(|&client| self.conn_of_client[usize::from(client)]);
            // Skip a room in which all members have ended their streams.
            let Some(at) = { conns }.find(|&at| self.conns[at].can_send()) else { continue };
            let payload = Size::Bytes(Payload(77, 3));
            let (dst, src, form) = (Address::Nothing, Address::Nothing, Form::Whole);
            self.send(at, ClientFrame::Packet { room, event: "cha", dst, src, payload, form });
        }
        self.deliver_all()?;
        let coalesce = self.plan.setup.coalesce;
        self.finish_calls(Duration::from_millis(coalesce))?;
        for (at, conn) in self.conns.iter().enumerate() {
            let is_owed = conn.state == State::Open && !conn.expected.items.is_empty();
            ensure!(
                !is_owed,
                "connection {at} did not receive the probe: {}",
                conn.expected.describe()
            );
        }
        Ok(())
    }

    fn end_all(&mut self) -> Result<(), Fault> {
        let setup = self.plan.setup;
        match setup.ending {
            Ending::Shutdown | Ending::Drain => {
                // Connect another client, which has sent only half of its request.
                let slot = 31;
                self.connect(slot, RequestKind::Upgrade);
                self.step(&Step::Deliver { slot, bytes: 50 })?;
                self.run_until_idle()?;
                let is_drain = setup.ending == Ending::Drain;
                self.step(if is_drain { &Step::Drain } else { &Step::Shutdown })?;
            }
            ending => {
                for at in 0..self.conns.len() {
                    let conn = &mut self.conns[at];
                    if ending == Ending::Close && conn.can_send() && !conn.ignores_input {
                        conn.traffic.close(Some(1000));
                        conn.closes_at = conn.traffic.pending.back().map(|sent| sent.at);
                    } else {
                        conn.end.get_or_insert(End::Sending);
                    }
                }
            }
        }
        // Start the wait while connections are still open. It must complete when the last of them
        // ends.
        let waiter = self.server.clone();
        let drained = self.tasks.spawn(async move { waiter.drained().await });
        self.deliver_all()?;
        let longest = Duration::from_millis(setup.close.max(setup.pong * 2) + 50);
        self.run_for_answering(longest.max(self.drain_wait()))?;
        for (at, conn) in self.conns.iter().enumerate() {
            ensure!(conn.state == State::Ended, "connection {at} is left over ({:?})", conn.state);
        }
        ensure!(
            self.tasks.is_done(drained),
            "all connections have ended, but the server is not drained"
        );
        let stats = self.server.stats();
        let left = (stats.connections, stats.rooms, stats.sockets);
        ensure!(left == (0, 0, 0), "connections, rooms and sockets are left: {left:?}");
        self.steps += 1;
        Ok(())
    }
}
