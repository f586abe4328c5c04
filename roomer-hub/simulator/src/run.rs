//! Runs a plan: every step to the hub and its judges, then quiet, in which all must be as it
//! looks and everybody must be reached.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use roomer_hub::HashKey;
use roomer_proto::PacketRef;

use super::fault::{Fault, ensure};
use super::judge::Court;
use super::marks::Seen;
use super::names::{IDS, Person, noise, person};
use super::op::{Effect, Op};
use super::plan::{Address, Ending, Payload, Plan, Step, Who};
use super::sight::Sight;

/// After how many inputs the tables are looked through; after more where there is much to look
/// through.
const ROUND: u64 = 32;

/// How many slots there are.
const SLOTS: usize = 256;

/// A plan under way.
#[derive(Debug)]
pub struct Run<'p> {
    plan: &'p Plan,
    pub court: Court,
    sight: Sight,
    /// Who is or was in each slot.
    slots: [Option<u16>; SLOTS],
    /// How many ids have been used.
    ids: u16,
    now: Duration,
    /// What the application has been asked and has not answered.
    asked: Option<(u16, PacketRef<'static>)>,
    /// In how many steps it will.
    patience: u8,
    answers: u32,
    pub steps: u64,
    /// After how many inputs the tables are looked through, while few are there.
    pub round: u64,
    /// The last input, and whose step of the plan it came from.
    pub last: Option<(Op, Option<usize>)>,
}

impl<'p> Run<'p> {
    pub fn new(plan: &'p Plan) -> Result<Self, Fault> {
        Run::with_key(plan, plan.hash_key())
    }

    /// A run with another key than the plan's.
    pub fn with_key(plan: &'p Plan, key: HashKey) -> Result<Self, Fault> {
        let court = Court::new(plan, key)?;
        let (sight, slots, now) = (Sight::default(), [None; SLOTS], Duration::from_secs(1 << 20));
        Ok(Run {
            plan,
            court,
            sight,
            slots,
            ids: 0,
            now,
            asked: None,
            patience: 0,
            answers: 0,
            steps: 0,
            round: ROUND,
            last: None,
        })
    }

    /// Runs it all. A panic of the hub is a fault like any other.
    pub fn all(&mut self) -> Result<(), Fault> {
        caught(|| {
            self.steps()?;
            self.quiet()
        })
    }

    /// Runs the plan's own steps, looks round, and stops there.
    pub fn steps_alone(&mut self) -> Result<(), Fault> {
        caught(|| {
            self.steps()?;
            self.court.look_round()?;
            self.court.compare_views()
        })
    }

    /// Who is or was the last in a slot.
    pub fn in_slot(&self, slot: u8) -> Option<u16> {
        self.slots[usize::from(slot)]
    }

    pub fn hash(&self) -> u64 {
        self.court.bench.trace.hash()
    }

    pub fn marks(&self) -> Seen {
        self.sight.seen
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
            self.now = moved.unwrap_or_default();
            self.sight.clock(millis);
            return Ok(());
        }
        let Some(op) = self.resolve(step, None) else { return Ok(()) };
        self.input(op, Some(at))?;
        self.follow(step, at)?;
        let is_due = self.patience == 0;
        self.patience = self.patience.saturating_sub(1);
        match self.asked.take_if(|_| is_due) {
            Some((who, packet)) => {
                self.answer(who, packet, at)?;
                self.follow(&Step::Clock { millis: 0 }, at)
            }
            None => Ok(()),
        }
    }

    /// Says the application's word on a packet.
    fn answer(&mut self, who: u16, packet: PacketRef<'static>, at: usize) -> Result<(), Fault> {
        let is_allowed = self.plan.answers >> (self.answers % 8) & 1 == 1;
        self.answers += 1;
        let model = &self.court.bench.model;
        self.sight.answer(model.is_here(who), is_allowed, packet.event == "join");
        let op = if is_allowed { Op::Allowed { who, packet } } else { Op::Denied { who, packet } };
        self.input(op, Some(at))
    }

    /// Does what the last input has led to.
    fn follow(&mut self, step: &Step, at: usize) -> Result<(), Fault> {
        let opened = self.court.bench.model.due.first();
        match (step, opened) {
            (Step::Open { slot } | Step::OpenAs { slot, .. }, Some(&Effect::Opened { who })) => {
                self.slots[usize::from(*slot)] = Some(who);
                self.ids += u16::from(matches!(step, Step::Open { .. }));
            }
            (_, Some(&Effect::Call { who, handler, packet })) => {
                self.call(who, handler, packet, at)?
            }
            // One question at a time; who asks meanwhile is not answered at all.
            (_, Some(&Effect::Ask { who, packet, .. })) if self.asked.is_none() => {
                (self.asked, self.patience) = (Some((who, packet)), self.plan.late);
            }
            _ => {}
        }
        Ok(())
    }

    /// Does what a handler does: its commands come after all that the packet itself brings.
    fn call(
        &mut self,
        caller: u16,
        handler: usize,
        packet: PacketRef<'static>,
        at: usize,
    ) -> Result<(), Fault> {
        for step in &self.plan.handlers[handler].does {
            let is_command = !matches!(
                step,
                Step::Open { .. } | Step::OpenAs { .. } | Step::Packet { .. } | Step::Gone { .. }
            );
            if let Some(op) = self.resolve(step, Some(caller)).filter(|_| is_command) {
                self.sight.command(&self.court.bench.model, op, caller, &packet);
                self.input(op, Some(at))?;
            }
        }
        Ok(())
    }

    fn input(&mut self, op: Op, step: Option<usize>) -> Result<(), Fault> {
        self.steps += 1;
        self.last = Some((op, step));
        self.sight.before(&self.court.bench, op);
        self.court.input(self.now, op)?;
        self.sight.after(&self.court.bench, op);
        let many = self.court.hub.connections() as u64 / 8 + 1;
        let round = self.round * many;
        if self.steps.is_multiple_of(round) { self.court.look_round() } else { Ok(()) }
    }

    /// Makes a step complete. `None` when it is about a slot that nobody has been in.
    fn resolve(&self, step: &Step, caller: Option<u16>) -> Option<Op> {
        let model = &self.court.bench.model;
        let who = |who: Who| match who {
            Who::Slot(slot) => self.slots[usize::from(slot)],
            Who::Ever(_) if model.clients.is_empty() => None,
            Who::Ever(number) => Some((usize::from(number) % model.clients.len()) as u16),
            Who::Caller => caller,
        };
        let from = |from: Option<Who>| match from {
            None => Some(None),
            Some(from) => who(from).map(Some),
        };
        let id = |who: u16| model.clients[usize::from(who)].id;
        let form = |of: Who, form: fn(&'static Person) -> &'static str| {
            who(of).map_or("", |who| form(person(id(who))))
        };
        let address = |address: Address| match address {
            Address::Nothing => "",
            Address::Id(who) => form(who, |person| &person.text),
            Address::Upper(who) => form(who, |person| &person.upper),
            Address::Padded(who) => form(who, |person| &person.padded),
            Address::Cut(who) => form(who, |person| &person.cut),
            Address::Word(word) => word,
        };
        let here = |slot: u8| self.slots[usize::from(slot)].filter(|&who| model.is_here(who));
        let bytes = |Payload(from, len): Payload| noise(from, len);
        Some(match *step {
            Step::Open { slot } => match here(slot) {
                Some(who) => Op::Open { id: id(who) },
                None if usize::from(self.ids) < IDS => Op::Open { id: self.ids },
                None => return None,
            },
            Step::OpenAs { slot, like } => {
                let like = who(like)?;
                let is_free = here(slot).is_none() || model.is_here(like);
                Op::Open { id: is_free.then(|| id(like))? }
            }
            Step::Packet { who: sender, room, event, dst, src, payload } => {
                let (dst, src, payload) = (address(dst), address(src), bytes(payload));
                let packet = PacketRef { room, event, dst, src, payload };
                Op::Packet { who: who(sender)?, packet }
            }
            Step::Gone { who: leaver } => Op::Gone { who: who(leaver)? },
            Step::Broadcast { from: sender, except, room, event, payload } => {
                let (from, except) = (from(sender)?, from(except)?);
                Op::Broadcast { from, except, room, event, payload: bytes(payload) }
            }
            Step::Send { from: sender, dst, event, payload } => {
                let (dst, payload) = (address(dst), bytes(payload));
                Op::Send { from: from(sender)?, dst, event, payload }
            }
            Step::Join { who: joiner, room } => Op::Join { who: who(joiner)?, room },
            Step::Leave { who: leaver, room } => Op::Leave { who: who(leaver)?, room },
            Step::Close { who: closed, code, reason } => {
                Op::Close { who: who(closed)?, code, reason }
            }
            Step::Clock { .. } => return None,
        })
    }

    /// Nothing happens any more: all that clients have seen must be so, a probe must reach
    /// everybody, and nothing must be left behind when they end.
    fn quiet(&mut self) -> Result<(), Fault> {
        self.court.look_round()?;
        self.court.compare_views()?;
        let rooms: Vec<&'static str> =
            self.court.bench.model.rooms.iter().map(|room| room.name).collect();
        for &room in &rooms {
            let (event, payload) = ("probe", noise(1, 9));
            self.input(Op::Broadcast { from: None, except: None, room, event, payload }, None)?;
        }
        for who in 0..self.court.bench.keys.len() as u16 {
            if !self.court.bench.model.is_here(who) {
                continue;
            }
            match self.plan.ending {
                Ending::Gone => self.input(Op::Gone { who }, None)?,
                Ending::Closed => self.input(Op::Close { who, code: 1001, reason: "" }, None)?,
                Ending::Left => {
                    for &room in &rooms {
                        self.input(Op::Leave { who, room }, None)?;
                    }
                }
            }
        }
        self.court.look_round()?;
        self.court.compare_views()?;
        let (hub, ending) = (&self.court.hub, self.plan.ending);
        ensure!(hub.rooms() == 0, "{} rooms are left over", hub.rooms());
        let is_empty = hub.connections() == 0 || ending == Ending::Left;
        ensure!(is_empty, "{} connections are left over", hub.connections());
        Ok(())
    }
}

/// Makes a panic a fault.
fn caught(run: impl FnOnce() -> Result<(), Fault>) -> Result<(), Fault> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let words = panic.downcast_ref::<String>().map(String::as_str);
        let words = words.or(panic.downcast_ref::<&str>().copied());
        Err(Fault::new(format!("a panic: {}", words.unwrap_or("without words"))))
    })
}
