//! Runs a plan: passes each step to the hub and its checker, and checks the final state.

use std::time::Duration;

use roomer_hub::HashKey;
use roomer_proto::PacketRef;

use super::checker::CheckedHub;
use super::coverage::Coverage;
use super::guests;
use super::guests::coverage::GuestCoverage;
use super::guests::op::{PEERS, PeerOp};
use super::marks::Marks;
use super::op::{Effect, Op};
use super::plan::{Address, ClientRef, Ending, Payload, Plan, Step};
use crate::alphabet::{IDS, Identity, identity, noise, tagged};
use crate::fault::{Fault, caught, ensure};

/// The number of inputs between two audits of the tables, while there are few connections.
const AUDIT_INTERVAL: u64 = 32;

const SLOTS: usize = 256;

/// A plan while it runs.
#[derive(Debug)]
pub struct Run<'p> {
    plan: &'p Plan,
    pub checked: CheckedHub,
    coverage: Coverage,
    guest_coverage: GuestCoverage,
    /// For each slot, the latest client in it.
    slots: [Option<u16>; SLOTS],
    /// The number of ids that have been used.
    ids: u16,
    now: Duration,
    /// The packet about which the application must decide, and its client.
    pending_answer: Option<(u16, PacketRef<'static>)>,
    /// The number of steps until the application decides.
    answer_in: u8,
    answers: u32,
    pub steps: u64,
    /// The number of inputs between two audits of the tables, while there are few connections.
    pub audit_interval: u64,
    /// The last input, and the index of the plan's step that caused it.
    pub last: Option<(Op, Option<usize>)>,
}

impl<'p> Run<'p> {
    pub fn new(plan: &'p Plan) -> Result<Self, Fault> {
        Run::with_key(plan, plan.hash_key())
    }

    /// Creates a run with the given hash key instead of the plan's.
    pub fn with_key(plan: &'p Plan, key: HashKey) -> Result<Self, Fault> {
        let checked = CheckedHub::new(plan, key)?;
        let (coverage, slots, now) =
            // Start the clock far above zero, because steps may set it back.
            (Coverage::default(), [None; SLOTS], Duration::from_secs(1 << 20));
        Ok(Run {
            plan,
            checked,
            coverage,
            guest_coverage: GuestCoverage::default(),
            slots,
            ids: 0,
            now,
            pending_answer: None,
            answer_in: 0,
            answers: 0,
            steps: 0,
            audit_interval: AUDIT_INTERVAL,
            last: None,
        })
    }

    /// Runs all steps and the final checks. A panic in the hub counts as a fault.
    pub fn run_to_end(&mut self) -> Result<(), Fault> {
        caught(|| {
            self.steps()?;
            self.finish()
        })
    }

    /// Runs the plan's steps, with audits of the tables, but without the final checks.
    pub fn run_steps_only(&mut self) -> Result<(), Fault> {
        caught(|| {
            self.steps()?;
            self.checked.audit_tables()?;
            self.checked.compare_views()
        })
    }

    /// Returns the latest client in a slot, which may be open or closed.
    pub fn in_slot(&self, slot: u8) -> Option<u16> {
        self.slots[usize::from(slot)]
    }

    pub fn hash(&self) -> u64 {
        self.checked.checker.trace.hash()
    }

    pub fn marks(&self) -> Marks {
        self.coverage.marks
    }

    /// Returns the marks that a plan with peers has reached.
    pub fn guest_marks(&self) -> u128 {
        self.guest_coverage.marks.0
    }

    fn steps(&mut self) -> Result<(), Fault> {
        for (at, step) in self.plan.steps.iter().enumerate() {
            self.step(step, at)?;
        }
        Ok(())
    }

    fn step(&mut self, step: &Step, at: usize) -> Result<(), Fault> {
        if let Step::Clock { millis } = *step {
            let far = Duration::from_millis(millis.unsigned_abs());
            let moved =
                if millis < 0 { self.now.checked_sub(far) } else { self.now.checked_add(far) };
            // If a step would set the clock out of range, restart it at zero.
            self.now = moved.unwrap_or_default();
            self.coverage.clock(millis);
            return Ok(());
        }
        let Some(op) = self.resolve(step, None) else { return Ok(()) };
        self.input(op, Some(at))?;
        self.apply_effects(step, at)?;
        // Check this before decrementing the counter: with a delay of 0, the decision follows in
        // the same step.
        let is_due = self.answer_in == 0;
        self.answer_in = self.answer_in.saturating_sub(1);
        match self.pending_answer.take_if(|_| is_due) {
            Some((client, packet)) => {
                self.answer(client, packet, at)?;
                self.apply_effects(&Step::Clock { millis: 0 }, at)
            }
            None => Ok(()),
        }
    }

    /// Passes the application's decision about a packet to the hub.
    fn answer(&mut self, client: u16, packet: PacketRef<'static>, at: usize) -> Result<(), Fault> {
        let is_allowed = self.plan.answers >> (self.answers % 8) & 1 == 1;
        self.answers += 1;
        let model = &self.checked.checker.model;
        self.coverage.answer(model.is_connected(client), is_allowed, packet.event == "join");
        let op =
            if is_allowed { Op::Allowed { client, packet } } else { Op::Denied { client, packet } };
        self.input(op, Some(at))
    }

    /// Handles the effects that need a reaction: runs handlers, and notes questions to the
    /// application.
    fn apply_effects(&mut self, step: &Step, at: usize) -> Result<(), Fault> {
        let opened = self.checked.checker.model.effects.first();
        match (step, opened) {
            (
                Step::Open { slot } | Step::OpenAs { slot, .. } | Step::OpenTagged { slot, .. },
                Some(&Effect::Opened { client }),
            ) => {
                self.slots[usize::from(*slot)] = Some(client);
                // Count only new ids: other steps reuse an id.
                self.ids += u16::from(matches!(step, Step::Open { .. }));
            }
            (_, Some(&Effect::Call { client, handler, packet })) => {
                self.call(client, handler, packet, at)?
            }
            // Only one question is pending at a time. Questions asked in the meantime are never
            // answered.
            (_, Some(&Effect::Authorize { client, packet, .. }))
                if self.pending_answer.is_none() =>
            {
                (self.pending_answer, self.answer_in) =
                    (Some((client, packet)), self.plan.answer_delay);
            }
            _ => {}
        }
        Ok(())
    }

    /// Runs a handler. Its commands come after all effects of the packet that called it.
    fn call(
        &mut self,
        caller: u16,
        handler: usize,
        packet: PacketRef<'static>,
        at: usize,
    ) -> Result<(), Fault> {
        for step in &self.plan.handlers[handler].commands {
            let is_command = matches!(
                step,
                Step::Broadcast { .. }
                    | Step::Send { .. }
                    | Step::Join { .. }
                    | Step::Leave { .. }
                    | Step::Close { .. }
            );
            // Skip steps that are not commands: a shrunk or fuzzed plan may contain any step here.
            if let Some(op) = self.resolve(step, Some(caller)).filter(|_| is_command) {
                self.coverage.command(&self.checked.checker.model, op, caller, &packet);
                self.input(op, Some(at))?;
            }
        }
        Ok(())
    }

    fn input(&mut self, op: Op, step: Option<usize>) -> Result<(), Fault> {
        self.steps += 1;
        self.last = Some((op, step));
        // Plans with peers have their own marks.
        if self.checked.checker.model.peers.are_used {
            self.guest_coverage.before(&self.checked.checker, op);
            self.checked.input(self.now, op)?;
            self.guest_coverage.after(&self.checked.checker, op);
        } else {
            self.coverage.before(&self.checked.checker, op);
            self.checked.input(self.now, op)?;
            self.coverage.after(&self.checked.checker, op);
        }
        // The time for an audit grows with the number of connections, so audit less often if there
        // are many.
        let many = self.checked.hub.tables().conn_count() as u64 / 8 + 1;
        let audit_interval = self.audit_interval * many;
        if self.steps.is_multiple_of(audit_interval) { self.checked.audit_tables() } else { Ok(()) }
    }

    /// Resolves a step with its slots and addresses to an input. Returns `None` if it refers to a
    /// slot that was never used.
    fn resolve(&self, step: &Step, caller: Option<u16>) -> Option<Op> {
        let model = &self.checked.checker.model;
        let client = |client: ClientRef| match client {
            ClientRef::Slot(slot) => self.slots[usize::from(slot)],
            ClientRef::Numbered(_) if model.clients.is_empty() => None,
            // Use the remainder, so that the step stays valid when other steps are removed.
            ClientRef::Numbered(number) => Some((usize::from(number) % model.clients.len()) as u16),
            ClientRef::Caller => caller,
        };
        let from = |from: Option<ClientRef>| match from {
            None => Some(None),
            Some(from) => client(from).map(Some),
        };
        let id = |client: u16| model.clients[usize::from(client)].id;
        let form = |of: ClientRef, form: fn(&'static Identity) -> &'static str| {
            client(of).map_or("", |client| form(identity(id(client))))
        };
        let address = |address: Address| match address {
            Address::Nothing => "",
            Address::Id(client) => form(client, |identity| &identity.text),
            Address::Upper(client) => form(client, |identity| &identity.upper),
            Address::Padded(client) => form(client, |identity| &identity.padded),
            Address::Cut(client) => form(client, |identity| &identity.cut),
            Address::Word(word) => word,
        };
        let here =
            |slot: u8| self.slots[usize::from(slot)].filter(|&client| model.is_connected(client));
        let bytes = |Payload(from, len): Payload| noise(from, len);
        Some(match *step {
            Step::Open { slot } => match here(slot) {
                Some(client) => Op::Open { id: id(client) },
                None if usize::from(self.ids) < IDS => Op::Open { id: self.ids },
                None => return None,
            },
            Step::OpenAs { slot, like } => {
                let like = client(like)?;
                // If the slot's client is open, ignore the step, unless the id is in use, so that
                // the hub must reject the input.
                let is_free = here(slot).is_none() || model.is_connected(like);
                Op::Open { id: is_free.then(|| id(like))? }
            }
            Step::Packet { client: sender, room, event, dst, src, payload } => {
                let (dst, src, payload) = (address(dst), address(src), bytes(payload));
                let packet = PacketRef { room, event, dst, src, payload };
                Op::Packet { client: client(sender)?, packet }
            }
            Step::Gone { client: leaver } => Op::Gone { client: client(leaver)? },
            Step::Broadcast { from: sender, except, room, event, payload } => {
                let (from, except) = (from(sender)?, from(except)?);
                let (except_guest, payload) = (None, bytes(payload));
                Op::Broadcast { from, except, except_guest, room, event, payload }
            }
            Step::BroadcastExceptGuest { from: sender, guest, room, event, payload } => {
                let (from, except_guest) = (from(sender)?, Some(tagged(guest)));
                let (except, payload) = (None, bytes(payload));
                Op::Broadcast { from, except, except_guest, room, event, payload }
            }
            Step::Send { from: sender, dst, event, payload } => {
                let (dst, payload) = (address(dst), bytes(payload));
                Op::Send { from: from(sender)?, dst, event, payload }
            }
            Step::Join { client: joiner, room } => Op::Join { client: client(joiner)?, room },
            Step::Leave { client: leaver, room } => Op::Leave { client: client(leaver)?, room },
            Step::Close { client: closed, code, reason } => {
                Op::Close { client: client(closed)?, code, reason }
            }
            Step::OpenTagged { slot, id } => {
                Op::Open { id: here(slot).is_none().then(|| tagged(id))? }
            }
            Step::Clock { .. } => return None,
            step => guests::steps::resolve(step, &address)?,
        })
    }

    /// Checks the final state: the clients' views are right, a probe reaches every member of each
    /// room, and after all clients have left, the tables are empty.
    fn finish(&mut self) -> Result<(), Fault> {
        self.checked.audit_tables()?;
        self.checked.compare_views()?;
        let rooms: Vec<&'static str> =
            self.checked.checker.model.rooms.iter().map(|room| room.name).collect();
        for &room in &rooms {
            // A server broadcast reaches every member, whatever the plan's rules are.
            let (event, payload) = ("probe", noise(1, 9));
            let (from, except, except_guest) = (None, None, None);
            self.input(Op::Broadcast { from, except, except_guest, room, event, payload }, None)?;
        }
        for client in 0..self.checked.checker.keys.len() as u16 {
            if !self.checked.checker.model.is_connected(client) {
                continue;
            }
            match self.plan.ending {
                Ending::Gone => self.input(Op::Gone { client }, None)?,
                Ending::Closed => self.input(Op::Close { client, code: 1001, reason: "" }, None)?,
                Ending::Left => {
                    for &room in &rooms {
                        self.input(Op::Leave { client, room }, None)?;
                    }
                }
            }
        }
        self.checked.audit_tables()?;
        for peer in 0..PEERS as u8 {
            if self.checked.checker.model.peers.tags[usize::from(peer)].is_some() {
                self.input(Op::Peer { peer, op: PeerOp::Gone }, None)?;
            }
        }
        self.checked.audit_tables()?;
        self.checked.compare_views()?;
        let (tables, ending) = (self.checked.hub.tables(), self.plan.ending);
        ensure!(tables.guest_count() == 0, "{} guests are left over", tables.guest_count());
        ensure!(tables.room_count() == 0, "{} rooms are left over", tables.room_count());
        let is_empty = tables.conn_count() == 0 || ending == Ending::Left;
        ensure!(is_empty, "{} connections are left over", tables.conn_count());
        Ok(())
    }
}
