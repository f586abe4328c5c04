//! Checks the invariants of an idle server, and the end of a plan.

use std::time::Duration;

use roomer_testkit::frames::first_byte;

use super::application::millis;
use super::harness::{HANDSHAKE_BYTES, Harness};
use super::marks::Mark;
use super::plan::{AckKind, Break, ClientAction, ClientPacket, Ending, ResumeKind, SLOTS, Step};
use super::session::{Place, Session};
use super::socket::{Meaning, Phase, Socket};
use crate::fault::{Fault, ensure};

/// The maximum time for which the server sends nothing to a client.
const HEARTBEAT: Duration = Duration::from_secs(25);

impl Harness<'_> {
    pub fn check_idle(&mut self) -> Result<(), Fault> {
        self.server.audit(true).map_err(Fault::new)?;
        self.check_stats()?;
        self.check_held()?;
        for number in 0..self.sessions.len() {
            if self.sessions[number].is_open() {
                self.check_shown_away(number)?;
                self.check_session(number)
                    .map_err(|Fault(what)| Fault::new(format!("idle, session {number}: {what}")))?;
            }
        }
        let is_authorizing = self.application.state().authorizing > 0;
        for (at, socket) in self.sockets.iter().enumerate() {
            let is_undecided = socket.phase == Phase::Handshake && socket.has_asked();
            let may_wait = is_authorizing && socket.accepted_at.is_none();
            ensure!(!is_undecided || may_wait, "socket {at} waits without an end");
        }
        Ok(())
    }

    fn check_stats(&self) -> Result<(), Fault> {
        let stats = self.server.stats();
        let open = self.sessions.iter().filter(|session| session.is_open()).count();
        let away = self.sessions.iter().filter(|session| session.is_away()).count();
        let memberships: usize = self.model.rooms.iter().map(|room| room.members.len()).sum();
        let tasks = self.sockets.iter().filter(|socket| !self.tasks.is_done(socket.task)).count();
        let found = (stats.connections, stats.sessions.detached, stats.memberships, stats.rooms);
        let expected = (open, away, memberships, self.model.rooms.len());
        ensure!(
            found == expected,
            "connections, detached, memberships, rooms: {found:?}, expected {expected:?}"
        );
        ensure!(stats.sockets == tasks - away, "{} sockets, not {}", stats.sockets, tasks - away);
        // A socket whose session has moved to another socket no longer counts.
        let (connections, most) =
            (stats.sockets - stats.handshakes, self.plan.setup.max_connections);
        ensure!(most == 0 || connections <= most.into(), "{connections} connections above {most}");
        let found = (stats.opened, stats.lost, stats.closed_by_peer, stats.messages_in);
        let opened = self.sessions.len() as u64;
        let expected = (opened, self.lost, self.closed_by_peer, self.messages_in);
        ensure!(
            found == expected,
            "opened, lost, by peer, messages: {found:?}, expected {expected:?}"
        );
        let closes: u64 = stats.closes.values().sum();
        ensure!(closes == self.closed_by_server, "{closes} closes, not {}", self.closed_by_server);
        for session in &self.sessions {
            let expected = (1, u32::from(!session.is_open()));
            ensure!(session.hooks == expected, "hooks of {}: {:?}", session.id, session.hooks);
            ensure!(session.is_open() || session.pending.is_none(), "{} is pending", session.id);
        }
        let pending = self.sessions.iter().filter(|session| session.pending.is_some()).count();
        let running = self.application.state().running;
        ensure!(running == pending, "{running} handlers run, expected {pending}");
        Ok(())
    }

    fn check_session(&mut self, number: usize) -> Result<(), Fault> {
        let (now, setup) = (self.now(), &self.plan.setup);
        let session = &self.sessions[number];
        let is_pending = session.pending.is_some();
        if let Some(Some(until)) = session.pending {
            ensure!(now < until, "its handler waits until {until:?}");
        }
        ensure!(session.expires.is_none_or(|at| now < at), "its login has expired");
        let at = match session.place {
            Place::Away { until } => {
                ensure!(now < until, "it is kept until {until:?}");
                ensure!(!session.has_overflowed, "it keeps more than it may");
                return Ok(());
            }
            Place::Socket(at) => at,
            Place::Ended => return Ok(()),
        };
        ensure!(!self.is_closed_late(number, at), "its client has closed long ago");
        let socket = &self.sockets[at];
        let is_blocked = socket.full_since.is_some();
        // While a handler is pending or senders are paused, the server need not act on the end of
        // the stream.
        let is_seen = socket.is_broken && !socket.is_lost && socket.peer.unread() == 0;
        let may_pause = self.may_pause();
        ensure!(!is_seen || is_pending || may_pause, "the end of its stream was not seen");
        // If a step has advanced the clock without polling, that time does not count as silence.
        let alive_at = socket.read.1.max(socket.written.1).max(socket.waited).max(self.jumped_at);
        let silence = 2 * millis(setup.pong) + millis(setup.write);
        ensure!(is_pending || now < alive_at + silence, "its client is silent");
        let stuck = 2 * millis(setup.write);
        ensure!(
            socket.full_since.is_none_or(|since| now < since.max(self.jumped_at) + stuck),
            "its socket is stuck"
        );
        ensure!(!self.is_superseded(number, at), "its client waits on another socket");
        // If the socket works and the client reads, all output must have arrived.
        if socket.is_reading
            && !socket.is_lost
            && !socket.is_abandoned
            && !is_blocked
            && !socket.is_broken
        {
            ensure!(socket.has_hello, "its client did not get hello");
            ensure!(session.items.is_empty(), "{:?} did not arrive", session.items);
            ensure!(session.read_to == session.got.len(), "what was lost did not arrive again");
            if session.is_extended {
                ensure!(!session.is_asked, "it does not answer an acknowledgement");
                ensure!(!session.is_ack_overdue(now), "its client's packets are not acknowledged");
                ensure!(now < socket.written.1 + HEARTBEAT, "it gives no sign of life");
            }
            self.marks.mark(now > socket.written.1 + HEARTBEAT / 2, Mark::LongSilence);
        }
        Ok(())
    }

    /// Returns true if the sessions may together exceed the memory budget.
    pub fn may_be_out_of_memory(&self) -> bool {
        let Some(budget) = self.plan.setup.budget() else { return false };
        let open = self.sessions.iter().filter(|session| session.is_open());
        open.map(Session::most_held).sum::<u64>() + self.most_deferred() > budget as u64
    }

    /// Returns the maximum number of bytes in the buffers behind pending handlers, which may be
    /// twice as large as their contents. Besides packets, they contain acknowledgements.
    fn most_deferred(&self) -> u64 {
        let is_pending =
            |at| self.session_on(at).is_some_and(|number| self.sessions[number].pending.is_some());
        // After the handler, an incomplete message may still occupy the buffer.
        let is_partial =
            |socket: &Socket| socket.waited != socket.opened_at && socket.is_mid_message();
        let sockets = self.sockets.iter().enumerate();
        let sockets = sockets.filter(|(at, socket)| is_pending(*at) || is_partial(socket));
        sockets.map(|(_, socket)| 2 * socket.read.0).sum()
    }

    /// Checks that the server does not count more memory than its sessions and sockets can occupy.
    fn check_held(&self) -> Result<(), Fault> {
        let sockets = self.sockets.iter().enumerate();
        let sockets = sockets.filter(|(_, socket)| !self.tasks.is_done(socket.task));
        // Use an upper bound: the server may occupy less memory, but must not count more.
        let around = sockets.map(|(at, socket)| {
            let hello = socket.hello.as_ref().map_or(0, |hello| hello.len() as u64);
            let closed = socket.session.filter(|_| self.session_on(at).is_none());
            hello + HANDSHAKE_BYTES + closed.map_or(0, |number| self.sessions[number].most_held())
        });
        let open = self.sessions.iter().filter(|session| session.is_open());
        let most =
            around.sum::<u64>() + open.map(Session::most_held).sum::<u64>() + self.most_deferred();
        let held = self.server.stats().held_bytes as u64;
        ensure!(held <= most, "{held} bytes are held, at most {most} expected");
        Ok(())
    }

    /// Returns true if a receiver may be so congested that senders are paused.
    fn may_pause(&self) -> bool {
        self.sessions.iter().any(|session| {
            session.is_open()
                && session.bytes_after(session.got.len())
                    > u64::from(self.plan.setup.max_backlog) / 2
        })
    }

    /// Ends all faults: the clients reconnect, read and acknowledge, after which no packet may be
    /// missing. Then ends all sessions.
    pub fn finish(&mut self) -> Result<(), Fault> {
        self.run_until_idle()?;
        for slot in 0..SLOTS as u8 {
            self.bring_back(slot)?;
        }
        self.settle_all()?;
        // This is longer than the 5 s by which an acknowledgement may be delayed.
        self.run_for(Duration::from_secs(6))?;
        self.settle_all()?;
        for slot in 0..SLOTS as u8 {
            let is_there = self.ready(slot).is_some();
            if is_there {
                self.client_action(slot, ClientAction::Send(ClientPacket::Join(0)))?;
                self.client_action(
                    slot,
                    ClientAction::Send(ClientPacket::ToRoom { room: 0, len: 7 }),
                )?;
                self.client_action(slot, ClientAction::Ack(AckKind::Requesting))?;
            }
        }
        self.settle_all()?;
        for slot in 0..SLOTS as u8 {
            let Some(number) = self.ready(slot) else { continue };
            let session = &self.sessions[number];
            let is_whole = session.handled == session.sent.len() || session.pending.is_some();
            ensure!(is_whole, "{} of {} packets handled", session.handled, session.sent.len());
        }
        self.end_all()
    }

    /// Returns the session of a client, if the client can send packets.
    fn ready(&self, slot: u8) -> Option<usize> {
        let at = self.devices[usize::from(slot)].socket?;
        let is_ready = self.sockets[at].is_ready() && self.sockets[at].is_reading;
        is_ready.then(|| self.session_on(at)).flatten()
    }

    /// Makes a client reconnect, unless its socket works.
    fn bring_back(&mut self, slot: u8) -> Result<(), Fault> {
        let Some(at) = self.devices[usize::from(slot)].socket else { return Ok(()) };
        let socket = &mut self.sockets[at];
        socket.is_mute = false;
        socket.peer.max_read(usize::MAX);
        socket.peer.max_write(usize::MAX);
        socket.max_write = u64::MAX;
        socket.peer.set_space(usize::MAX);
        if socket.is_broken || socket.is_lost || socket.is_closed || socket.is_ending {
            return self.step(&Step::Resume { slot, resume_kind: ResumeKind::Honest });
        }
        self.client_action(slot, ClientAction::Read(true))
    }

    /// Delivers bytes and polls tasks until no bytes are in flight.
    fn settle_all(&mut self) -> Result<(), Fault> {
        loop {
            for slot in 0..SLOTS as u8 {
                self.client_action(slot, ClientAction::Deliver(u32::MAX))?;
            }
            // This is long enough for a slow `authorize` hook.
            self.run_for(Duration::from_millis(u64::from(self.plan.setup.auth_wait.unwrap_or(0))))?;
            let is_flying = |at: usize| {
                let socket = &self.sockets[at];
                !socket.is_lost && !socket.in_flight.is_empty()
            };
            if !self.devices.iter().filter_map(|device| device.socket).any(is_flying) {
                return Ok(());
            }
        }
    }

    fn end_all(&mut self) -> Result<(), Fault> {
        let setup = self.plan.setup;
        match setup.ending {
            Ending::Shutdown => self.step(&Step::Shutdown)?,
            Ending::Drain => self.step(&Step::Drain)?,
            Ending::Close => {
                for socket in &mut self.sockets {
                    if socket.is_ready() {
                        let what = Meaning::Close(1000);
                        socket.send(first_byte::CLOSE, &1000_u16.to_be_bytes(), what);
                        (socket.is_closed, socket.is_ending) = (true, true);
                    }
                }
            }
            Ending::Expire => {}
        }
        self.settle_all()?;
        for at in 0..self.sockets.len() {
            // A drain must close the sockets itself, without resets.
            if setup.ending != Ending::Drain {
                self.break_socket(at, Break::Reset);
            }
        }
        let longest = millis(setup.window.max(setup.drain.0)) + millis(setup.handler_wait.into());
        self.run_for(longest + Duration::from_secs(20))?;
        let stats = self.server.stats();
        let left = (stats.connections, stats.rooms, stats.sockets, stats.sessions.detached);
        ensure!(left == (0, 0, 0, 0), "connections, rooms, sockets, detached are left: {left:?}");
        ensure!(stats.held_bytes == 0, "{} bytes are held at the end", stats.held_bytes);
        Ok(())
    }
}
