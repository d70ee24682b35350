//! The loop: take the earliest event, let it happen, until nothing is left to happen or enough has.

use crate::byzantine::liar::Lies;
use crate::call::{CallId, Request, Response};
use crate::check::{Tally, Violation, Watcher};
use crate::coordinators::CoordinatorParty;
use crate::dice::Dice;
use crate::disk::Durability;
use crate::faults::Counts;
use crate::keys::{self, SHARDS_COUNT_MAX};
use crate::life::Power;
use crate::network::Links;
use crate::node::{Asked, Node};
use crate::party::Party;
use crate::plan::{Plan, START, Span};
use crate::queue::{Envelope, Event, Parcel, Queue};
use crate::relays::RelayParty;
use crate::shards::ShardParty;
use crate::state::state_of;
use coordinator::{Coordinator, Ticket};
use evm::{Payload, State};
use primitives::{Digest, Machine, Memory, Millis, Read, ShardId, Time, Write};
use proof::ReceiptVerifier;
use relay::Relay;
use shard::{CheckError, Checks, Shard};
use std::collections::{BTreeMap, BTreeSet};

/// Why a World does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// More shards than there are keys for.
    #[error("{actual} shards where at most {SHARDS_COUNT_MAX} are allowed")]
    Shards {
        /// How many the placement has.
        actual: u32,
    },
    /// A shard does not open.
    #[error(transparent)]
    Shard(#[from] shard::OpenError),
    /// A coordinator does not open.
    #[error(transparent)]
    Coordinator(#[from] coordinator::OpenError),
    /// A relay does not open.
    #[error(transparent)]
    Relay(#[from] relay::OpenError),
    /// A shard's key is not in its set.
    #[error(transparent)]
    Key(#[from] proof::NotMember),
}

/// How a submission ended.
pub type End = Result<coordinator::Committed, coordinator::Refusal>;

/// A machine in the World.
pub(crate) trait Actor: Machine + Sized {
    /// Who it is.
    fn party(index: usize) -> Party;
    /// What its host keeps.
    fn node(world: &mut World, index: usize) -> &mut Node<Self>;
    /// The machine that its store gives.
    fn reopen(world: &World, index: usize, store: &Memory) -> Result<Self, StartError>;
    /// No time that it attests may come again: where its clock goes on after a restart.
    fn attested(world: &World, index: usize, store: &Memory) -> Time;
    /// It has started again, on what its disk has.
    fn revived(_world: &mut World, _index: usize) {}
    /// A batch is on its disk.
    fn synced(world: &mut World, index: usize, writes: &[Write]);
    /// What it said goes out.
    fn hand_out(world: &mut World, index: usize, sends: Vec<Self::Send>, replies: Vec<Self::Reply>);
    /// It is gone, and what its process kept beside it.
    fn died(world: &mut World, index: usize);
}

/// A network in one thread, under a seed.
#[derive(Debug)]
pub struct World {
    pub(crate) plan: Plan,
    pub(crate) now: Time,
    pub(crate) queue: Queue,
    pub(crate) shards: Vec<ShardParty>,
    pub(crate) coordinators: Vec<CoordinatorParty>,
    pub(crate) relays: Vec<RelayParty>,
    /// What everybody checks claims with: pure, so one serves all.
    pub(crate) checks: Checks,
    pub(crate) receipts: ReceiptVerifier,
    pub(crate) network_dice: Dice,
    pub(crate) disk_dice: Dice,
    pub(crate) chaos_dice: Dice,
    pub(crate) links: Links,
    pub(crate) counts: Counts,
    /// Calls that passed, for whoever says them again.
    pub(crate) recorded: Vec<(ShardId, Request)>,
    /// Calls of strangers that nobody may carry out.
    pub(crate) forged: BTreeSet<CallId>,
    pub(crate) lies: Lies,
    pub(crate) crash_point_met: bool,
    /// Who is not started again after the crash point.
    pub(crate) stays_down: Option<Party>,
    /// Calls that were made, where somebody wants them.
    pub(crate) kept: Option<Vec<(ShardId, Request)>>,
    pub(crate) told: Vec<String>,
    pub(crate) watch: Watcher,
    pub(crate) tickets: u64,
    pub(crate) calls: u64,
    pub(crate) ends: BTreeMap<Ticket, End>,
    pub(crate) events: BTreeMap<Ticket, Vec<coordinator::Event>>,
    /// Submissions whose coordinator died: nobody will be told.
    pub(crate) lost: BTreeSet<Ticket>,
    pub(crate) pending: BTreeMap<Ticket, usize>,
    /// Answers to the stranger's calls.
    pub(crate) answers: BTreeMap<CallId, Response>,
    /// Messages between contracts whose end their source does not know.
    pub(crate) open_messages: BTreeSet<[u8; 32]>,
    pub(crate) hasher: blake3::Hasher,
    pub(crate) steps: u64,
    pub(crate) events_count: u64,
}

impl World {
    /// The network that `plan` describes, at [`START`].
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(plan: Plan) -> Result<Self, StartError> {
        let shards_count = plan.placement.shards_count();
        if shards_count > SHARDS_COUNT_MAX {
            return Err(StartError::Shards { actual: shards_count });
        }
        let validators = keys::validators(shards_count);
        let dice = Dice::new(plan.seed);
        let mut world = Self {
            checks: Checks::new(&plan.params, &plan.placement, &validators),
            receipts: ReceiptVerifier::with(plan.params.network, validators),
            now: START,
            queue: Queue::default(),
            shards: Vec::new(),
            coordinators: Vec::new(),
            relays: Vec::new(),
            network_dice: dice.fork(1),
            disk_dice: dice.fork(2),
            chaos_dice: dice.fork(3),
            links: Links::default(),
            counts: Counts::default(),
            recorded: Vec::new(),
            lies: Lies::default(),
            forged: BTreeSet::new(),
            crash_point_met: false,
            stays_down: None,
            kept: None,
            told: Vec::new(),
            watch: Watcher::default(),
            tickets: 0,
            calls: 0,
            ends: BTreeMap::new(),
            events: BTreeMap::new(),
            lost: BTreeSet::new(),
            pending: BTreeMap::new(),
            answers: BTreeMap::new(),
            open_messages: BTreeSet::new(),
            hasher: blake3::Hasher::new(),
            steps: 0,
            events_count: 0,
            plan,
        };
        world.populate()?;
        Ok(world)
    }

    fn populate(&mut self) -> Result<(), StartError> {
        for shard in self.plan.placement.shards() {
            let party = ShardParty::genesis(self, shard)?;
            self.shards.push(party);
        }
        for index in 0..self.plan.coordinators {
            let machine = Coordinator::reopen(self, index, &Memory::new())?;
            self.coordinators.push(CoordinatorParty::new(Node::new(machine, Memory::new(), Durability::Buffered)));
        }
        for index in 0..self.plan.relays {
            let machine = Relay::reopen(self, index, &Memory::new())?;
            self.relays.push(RelayParty::new(Node::new(machine, Memory::new(), Durability::Synced)));
            self.due::<Relay>(index);
        }
        self.arm();
        Ok(())
    }

    /// What time it is.
    pub fn now(&self) -> Time {
        self.now
    }

    /// The plan it was made from.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What everybody here checks claims with.
    pub fn checks(&self) -> &Checks {
        &self.checks
    }

    /// Which faults struck, and how often.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Whether the crash point of the plan was met.
    pub fn met_crash_point(&self) -> bool {
        self.crash_point_met
    }

    /// The rules that did not hold so far, if the plan says to watch ([`crate::Watch`]).
    pub fn violations(&self) -> &[Violation] {
        &self.watch.violations
    }

    /// What happened so far, in numbers; nothing unless the plan says to watch.
    pub fn tally(&self) -> Tally {
        self.watch.tally
    }

    /// How many steps machines made.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Hands transactions to a coordinator: one, or a bundle. Nothing happens before the World runs.
    ///
    /// # Errors
    /// [`CheckError`] for what no coordinator takes in.
    pub fn submit(&mut self, coordinator: usize, payload: Payload) -> Result<Ticket, CheckError> {
        let payload = Box::new(self.checks.payload(payload)?);
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        let node = &self.coordinators[coordinator].node;
        if node.machine.is_none() || node.disk.is_full(self.now) {
            self.lost.insert(ticket);
            return Ok(ticket);
        }
        self.pending.insert(ticket, coordinator);
        self.give::<Coordinator>(coordinator, coordinator::Input::Submit { ticket, payload });
        Ok(ticket)
    }

    /// How a submission ended; none while it goes on, and for ever if its coordinator died.
    pub fn end(&self, ticket: Ticket) -> Option<&End> {
        self.ends.get(&ticket)
    }

    /// Whether a submission's coordinator died, so that nobody will be told of its end.
    pub fn is_lost(&self, ticket: Ticket) -> bool {
        self.lost.contains(&ticket)
    }

    /// What happened to a submission so far.
    pub fn events(&self, ticket: Ticket) -> &[coordinator::Event] {
        self.events.get(&ticket).map_or(&[], Vec::as_slice)
    }

    /// Runs until `done`, asked after each event, or until `limit`; whether `done`.
    pub fn run_until(&mut self, limit: Time, mut done: impl FnMut(&Self) -> bool) -> bool {
        loop {
            if done(self) {
                return true;
            }
            if self.queue.next().is_none_or(|next| next > limit) {
                self.now = self.now.max(limit);
                return false;
            }
            self.happen();
        }
    }

    /// Runs until nothing is pending, undecided or on its way, or until `limit`; whether it came to rest.
    pub fn run_quiet(&mut self, limit: Time) -> bool {
        self.run_until(limit, Self::is_quiet)
    }

    /// Runs for `length`, whatever happens.
    pub fn run_for(&mut self, length: Millis) {
        let limit = self.now.after(length);
        self.run_until(limit, |_| false);
    }

    /// Whether nothing is pending, undecided or on its way. What only polls is at rest.
    pub fn is_quiet(&self) -> bool {
        self.pending.is_empty()
            && self.queue.work == 0
            && self.open_messages.is_empty()
            && self.shards.iter().all(ShardParty::is_quiet)
            && self.coordinators.iter().all(CoordinatorParty::is_quiet)
            && self.relays.iter().all(RelayParty::is_quiet)
    }

    /// A shard.
    ///
    /// # Panics
    /// If the placement has no such shard.
    pub fn shard(&self, shard: ShardId) -> &ShardParty {
        &self.shards[shard.0 as usize]
    }

    /// A coordinator, by its number.
    ///
    /// # Panics
    /// If the plan has no such coordinator.
    pub fn coordinator(&self, number: usize) -> &CoordinatorParty {
        &self.coordinators[number]
    }

    /// A relay, by its number.
    ///
    /// # Panics
    /// If the plan has no such relay.
    pub fn relay(&self, number: usize) -> &RelayParty {
        &self.relays[number]
    }

    /// What all shards hold together, fees in their accounts: the state of one EVM.
    ///
    /// # Panics
    /// If two shards hold one key.
    #[allow(clippy::expect_used, reason = "each shard holds its own keys alone")]
    pub fn state(&self) -> State {
        let states: Vec<State> =
            (0..).zip(&self.shards).map(|(shard, party)| state_of(&party.node.store, ShardId(shard))).collect();
        State::union(&states).expect("no key on two shards").settled()
    }

    /// A running hash over every event and every write: one seed has one.
    pub fn digest(&self) -> Digest {
        Digest::new(*self.hasher.finalize().as_bytes())
    }

    /// A call of a stranger's: checked like anybody's. Its answer is at [`World::answer`].
    pub fn call(&mut self, shard: ShardId, request: Request) -> CallId {
        self.send_request(Party::Stranger, shard, request)
    }

    /// The answer to a stranger's call, once it came.
    pub fn answer(&self, call: CallId) -> Option<&Response> {
        self.answers.get(&call)
    }

    /// Gives a shard's machine an input as it is, past its node.
    pub fn inject_shard(&mut self, shard: ShardId, input: shard::Input) {
        self.give::<Shard>(shard.0 as usize, input);
    }

    /// Gives a coordinator's machine an input as it is.
    pub fn inject_coordinator(&mut self, coordinator: usize, input: coordinator::Input) {
        self.give::<Coordinator>(coordinator, input);
    }

    /// Gives a relay's machine an input as it is.
    pub fn inject_relay(&mut self, relay: usize, input: relay::Input) {
        self.give::<Relay>(relay, input);
    }

    /// Ends a party's process at once: what it had not synced is gone.
    pub fn crash(&mut self, party: Party) {
        match party {
            Party::Shard(shard) => self.kill::<Shard>(shard.0 as usize, Power::Kept),
            Party::Coordinator(index) => self.kill::<Coordinator>(index, Power::Kept),
            Party::Relay(index) => self.kill::<Relay>(index, Power::Kept),
            Party::Stranger => {}
        }
    }

    /// Starts a party that is down, on its store.
    ///
    /// # Errors
    /// [`StartError`] if it does not open.
    pub fn restart(&mut self, party: Party) -> Result<(), StartError> {
        match party {
            Party::Shard(shard) => self.revive::<Shard>(shard.0 as usize),
            Party::Coordinator(index) => self.revive::<Coordinator>(index),
            Party::Relay(index) => self.revive::<Relay>(index),
            Party::Stranger => Ok(()),
        }
    }

    // --- the loop ---

    /// Lets the next event happen.
    fn happen(&mut self) {
        let Some((time, number, event)) = self.queue.pop() else { return };
        self.now = self.now.max(time);
        self.events_count += 1;
        self.note_event(time, number, &event);
        match event {
            Event::Arrive(envelope) => self.arrive(envelope),
            Event::Step(party, life) => self.on_party(party, life, OnParty::Step),
            Event::Wake(party, life) => self.on_party(party, life, OnParty::Wake),
            Event::Synced(party, life) => self.on_party(party, life, OnParty::Synced),
            Event::Roots(shard, life) => self.advance_roots(shard, life),
            Event::Restart(party, life) => self.on_party(party, life, OnParty::Restart),
            Event::Kill(party, life) => self.on_party(party, life, OnParty::Kill),
            Event::Strike(kind) => self.strike(kind),
        }
    }

    fn note_event(&mut self, time: Time, number: u64, event: &Event) {
        let (kind, party) = match event {
            Event::Arrive(envelope) => (envelope.parcel.name(), envelope.to),
            Event::Step(party, _) => ("step", *party),
            Event::Wake(party, _) => ("wake", *party),
            Event::Synced(party, _) => ("synced", *party),
            Event::Roots(shard, _) => ("roots", Party::Shard(*shard)),
            Event::Restart(party, _) => ("restart", *party),
            Event::Kill(party, _) => ("kill", *party),
            Event::Strike(kind) => (kind.name(), Party::Stranger),
        };
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&time.0.to_be_bytes());
        bytes[8..16].copy_from_slice(&number.to_be_bytes());
        bytes[16..20].copy_from_slice(&party.number().to_be_bytes());
        bytes[20..].copy_from_slice(&(kind.len() as u32).to_be_bytes());
        self.hasher.update(&bytes);
        self.hasher.update(kind.as_bytes());
    }

    fn on_party(&mut self, party: Party, life: u32, what: OnParty) {
        match party {
            Party::Shard(shard) => self.on::<Shard>(shard.0 as usize, life, what),
            Party::Coordinator(index) => self.on::<Coordinator>(index, life, what),
            Party::Relay(index) => self.on::<Relay>(index, life, what),
            Party::Stranger => {}
        }
    }

    fn on<M: Actor>(&mut self, index: usize, life: u32, what: OnParty) {
        let now = self.now;
        let node = M::node(self, index);
        if node.life != life {
            return;
        }
        let awake = matches!(what, OnParty::Kill | OnParty::Restart);
        if let Some(until) = node.paused_until.filter(|until| !awake && now < *until) {
            return self.queue.push(until, what.event(M::party(index), life));
        }
        match what {
            OnParty::Step => self.step::<M>(index),
            OnParty::Wake if node.wake.is_some_and(|wake| wake <= now) => self.due::<M>(index),
            OnParty::Wake => {}
            OnParty::Kill => self.stop_one::<M>(index, Power::Kept),
            OnParty::Synced => {
                if let Some(output) = node.syncing.take() {
                    self.synced::<M>(index, output);
                }
            }
            OnParty::Restart => self.come_up::<M>(index),
        }
    }

    /// Gives a machine an input for its next step; nothing while it is down.
    pub(crate) fn give<M: Actor>(&mut self, index: usize, input: M::Input) {
        let node = M::node(self, index);
        if node.machine.is_some() {
            node.inbox.push(input);
            self.due::<M>(index);
        }
    }

    /// Makes sure that a machine steps now, or as soon as its batch is on the disk.
    pub(crate) fn due<M: Actor>(&mut self, index: usize) {
        let now = self.now;
        let node = M::node(self, index);
        if node.machine.is_none() || node.step_due || node.syncing.is_some() {
            return;
        }
        node.step_due = true;
        let life = node.life;
        self.queue.push(now, Event::Step(M::party(index), life));
    }

    fn step<M: Actor>(&mut self, index: usize) {
        let now = self.now;
        let node = M::node(self, index);
        node.step_due = false;
        if node.syncing.is_some() {
            return;
        }
        self.hear_clocks(M::party(index));
        let node = M::node(self, index);
        let Some(output) = node.step(now) else { return };
        let (life, batch, stalled) = (node.life, node.batches, node.disk.is_stalled(now));
        self.steps += 1;
        if output.writes.is_empty() {
            return self.finish::<M>(index, output);
        }
        let Some(output) = self.survives::<M>(index, batch, output) else { return };
        #[cfg(feature = "twins")] // VoteBeforeSync breaks R2.
        let output = self.hand_out_early::<M>(index, output);
        let sync = if stalled { STALL } else { self.plan.sync };
        match self.draw(sync) {
            Millis(0) => self.synced::<M>(index, output),
            delay => {
                M::node(self, index).syncing = Some(output);
                self.queue.push(now.after(delay), Event::Synced(M::party(index), life));
            }
        }
    }

    /// The batch is on the disk: only now may anybody hear of the step (R2).
    fn synced<M: Actor>(&mut self, index: usize, mut output: Asked<M>) {
        let writes = std::mem::take(&mut output.writes);
        self.write::<M>(index, writes);
        if self.dies_after::<M>(index) {
            return;
        }
        self.finish::<M>(index, output);
    }

    /// What a step says leaves before its batch is written.
    #[cfg(feature = "twins")]
    fn hand_out_early<M: Actor>(&mut self, index: usize, mut output: Asked<M>) -> Asked<M> {
        if self.plan.twin == Some(commit::Twin::VoteBeforeSync) {
            let (sends, replies) = (std::mem::take(&mut output.sends), std::mem::take(&mut output.replies));
            M::hand_out(self, index, sends, replies);
        }
        output
    }

    /// A batch is on the disk, whoever lives to hear of it.
    pub(crate) fn write<M: Actor>(&mut self, index: usize, writes: Vec<Write>) {
        self.note_writes(&writes);
        M::synced(self, index, &writes);
        let node = M::node(self, index);
        node.disk.commit(&mut node.store, writes);
    }

    fn note_writes(&mut self, writes: &[Write]) {
        for write in writes {
            match write {
                Write::Put { space, key, value } => {
                    self.hasher.update(space.0.as_bytes()).update(key).update(value);
                }
                Write::Delete { space, key } => {
                    self.hasher.update(space.0.as_bytes()).update(key);
                }
            }
        }
    }

    fn finish<M: Actor>(&mut self, index: usize, output: Asked<M>) {
        let now = self.now;
        let node = M::node(self, index);
        let wake = output.wake.map(|wake| {
            // As a host does: as far off as the machine's own clock says, and at least a moment.
            let wait = wake.since(node.clock.at(now)).0.max(1);
            now.after(Millis(wait))
        });
        node.wake = wake;
        let life = node.life;
        if let Some(wake) = wake {
            self.queue.push(wake, Event::Wake(M::party(index), life));
        }
        M::hand_out(self, index, output.sends, output.replies);
        if !M::node(self, index).inbox.is_empty() {
            self.due::<M>(index);
        }
    }

    pub(crate) fn draw(&mut self, span: Span) -> Millis {
        if span.least == span.most {
            return span.least;
        }
        Millis(self.disk_dice.between(span.least.0, span.most.0))
    }

    fn arrive(&mut self, envelope: Envelope) {
        let Envelope { from, to, parcel } = envelope;
        if let Some(until) = self.paused_until(to) {
            return self.queue.push(until, Event::Arrive(Envelope { from, to, parcel }));
        }
        match (to, parcel) {
            (Party::Shard(shard), Parcel::Request(call, request)) => self.take_request(shard, from, call, *request),
            (Party::Shard(shard), Parcel::Response(_, response)) => self.take_answer(shard, from, *response),
            (Party::Coordinator(index), Parcel::Response(call, response)) => {
                self.coordinator_hears(index, call, *response);
            }
            (Party::Relay(index), Parcel::Response(call, response)) => self.relay_hears(index, call, *response),
            (Party::Relay(index), Parcel::News(shard)) => self.give::<Relay>(index, relay::Input::News { shard }),
            (Party::Stranger, Parcel::Response(call, response)) => {
                self.stranger_hears(call, *response);
            }
            _ => {}
        }
    }
}

/// What happens to a party.
#[derive(Debug, Clone, Copy)]
enum OnParty {
    Step,
    Wake,
    Synced,
    Restart,
    Kill,
}

impl OnParty {
    fn event(self, party: Party, life: u32) -> Event {
        match self {
            Self::Step => Event::Step(party, life),
            Self::Wake => Event::Wake(party, life),
            Self::Synced => Event::Synced(party, life),
            Self::Restart => Event::Restart(party, life),
            Self::Kill => Event::Kill(party, life),
        }
    }
}

/// How long a batch takes while its disk stalls.
const STALL: Span = Span::between(200, 2_000);

/// The time of a store's newest block, for clocks that never go back.
pub(crate) fn attested(read: &impl Read) -> Time {
    shard::queries::status(read).map_or(Time(0), |status| status.tip.time)
}
