//! A shard's node: calls become checked inputs, answers become responses, questions to peers become calls.
//!
//! What `services/executor` does with gRPC and threads, in line: the same checks before the step, the same queries beside it.

use crate::call::{AbortClaim, CallId, Done, Rejection, Remedy, Request, Response};
use crate::closed::{NO_CALL, Told};
use crate::disk::Durability;
use crate::keys;
use crate::node::Node;
use crate::party::Party;
use crate::plan::Roots;
use crate::queue::{Event, Parcel};
use crate::restored::Copies;
use crate::story::short;
use crate::world::{Actor, StartError, World, attested};
use commit::{VOTE_BYTES_MAX, Verdict, Vote, VoteProof};
use coordinator::StateValue;
use evm::StateKey;
use primitives::{AttemptId, Memory, Millis, Read, ShardId, Time, Write};
use proof::{LeafKind, MessageId, Receipt};
use shard::spaces::SENT;
use shard::{
    Answer, Forgettings, Input, LeafPlace, Reply, Send, SentRecord, Shard, ShardConfig, Ticket, advance, queries,
};
use std::collections::{BTreeMap, BTreeSet};

/// The pause before state trees are advanced over what came meanwhile: as in `services/executor`.
const ROOTS_PAUSE: Millis = Millis(50);

/// Most blocks hashed in one go: as in `services/executor`.
const BLOCKS_PER_ADVANCE_COUNT_MAX: usize = 256;

/// Slots back whose state is kept: few, so that what is older goes within a run.
const SLOTS_KEPT: u64 = 16;

/// Most canonical bytes of a record of a sent message: its body's bound, and room.
const SENT_BYTES_MAX: usize = 64 * 1024;

/// A shard with its store and the calls it has not answered.
#[derive(Debug)]
pub struct ShardParty {
    pub(crate) node: Node<Shard>,
    open: BTreeMap<u64, OpenCall>,
    tickets: BTreeMap<Ticket, (u64, usize)>,
    next: u64,
    roots_due: bool,
    /// Copies of its store that its operator has.
    pub(crate) copies: Copies,
    /// What it has told of its time.
    pub(crate) told: Told,
    forgettings: Forgettings,
    /// Its store with all that it has forgotten, where shards forget.
    archive: Option<Memory>,
}

/// A call whose items are not all answered.
#[derive(Debug)]
struct OpenCall {
    from: Party,
    call: CallId,
    items: Vec<Option<Result<Done, Rejection>>>,
    missing: usize,
}

impl ShardParty {
    /// A new shard of `world`, with its part of the genesis.
    pub(crate) fn genesis(world: &World, shard: ShardId) -> Result<Self, StartError> {
        let config = config(world, shard)?;
        let mut store = Memory::new();
        for write in Shard::genesis(&config, &world.plan.genesis)? {
            store.apply(write);
        }
        let machine = Shard::open(config, &store)?;
        #[cfg_attr(not(feature = "twins"), allow(unused_mut, reason = "only a twin changes it"))]
        let mut forgettings = Forgettings::default();
        #[cfg(feature = "twins")]
        {
            forgettings.twin = world.plan.twin;
        }
        Ok(Self {
            forgettings,
            archive: world.plan.bodies_kept.map(|_| store.clone()),
            node: Node::new(machine, store, Durability::Synced),
            open: BTreeMap::new(),
            tickets: BTreeMap::new(),
            next: 0,
            roots_due: false,
            copies: Copies::default(),
            told: Told::default(),
        })
    }

    /// Its machine; none while it is down.
    pub fn machine(&self) -> Option<&Shard> {
        self.node.machine.as_ref()
    }

    /// What is on its disk: [`shard::queries`] read it.
    pub fn store(&self) -> &Memory {
        &self.node.store
    }

    /// The same with all that was forgotten.
    pub(crate) fn archive(&self) -> &Memory {
        self.archive.as_ref().unwrap_or(&self.node.store)
    }

    /// How many batches it wrote.
    pub fn batches(&self) -> u64 {
        self.node.batches
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.open.is_empty()
            && self.node.inbox.is_empty()
            && self.node.syncing.is_none()
            && self.node.machine.as_ref().is_some_and(|machine| machine.live_count() == 0)
    }

    fn draw_ticket(&mut self) -> Ticket {
        self.next += 1;
        Ticket(self.next)
    }
}

fn config(world: &World, shard: ShardId) -> Result<ShardConfig, StartError> {
    let placement = world.plan.placement.clone();
    let validators = keys::validators(placement.shards_count());
    #[cfg_attr(not(feature = "twins"), allow(unused_mut, reason = "only a twin changes it"))]
    let mut config = ShardConfig::new(world.plan.params.clone(), shard, placement, validators, keys::signer(shard)?);
    #[cfg(feature = "twins")]
    {
        config.twin = world.plan.twin;
    }
    Ok(config)
}

impl Actor for Shard {
    fn party(index: usize) -> Party {
        Party::Shard(ShardId(index as u32))
    }

    fn node(world: &mut World, index: usize) -> &mut Node<Self> {
        &mut world.shards[index].node
    }

    fn reopen(world: &World, index: usize, store: &Memory) -> Result<Self, StartError> {
        let start = world.shards[index].copies.start();
        Ok(Self::open(ShardConfig { start, ..config(world, ShardId(index as u32))? }, store)?)
    }

    fn attested(world: &World, index: usize, store: &Memory) -> Time {
        attested(store).max(world.shards[index].told.time)
    }

    fn synced(world: &mut World, index: usize, writes: &[Write]) {
        world.watch_batch(ShardId(index as u32), writes);
        world.watch_restored(ShardId(index as u32), writes);
        world.watch_closed(ShardId(index as u32), writes);
        if let Some(archive) = &mut world.shards[index].archive {
            writes.iter().filter(|write| !shard::is_forgetting(write)).for_each(|write| archive.apply(write.clone()));
        }
        for write in writes {
            if let Write::Put { space: SENT, key, value } = write {
                world.note_message(key, value);
            }
        }
    }

    fn hand_out(world: &mut World, index: usize, sends: Vec<Send>, replies: Vec<Reply>) {
        let me = ShardId(index as u32);
        for reply in replies {
            world.note_attested(me, &reply.answer);
            world.answer_item(index, reply);
        }
        let mut questions: BTreeMap<ShardId, Vec<AbortClaim>> = BTreeMap::new();
        let mut is_behind = false;
        for send in sends {
            match send {
                Send::AskVotes { to, descriptor, waits } => {
                    questions.entry(to).or_default().push(AbortClaim { descriptor, waits: vote_of(&waits) });
                }
                Send::AskSighting { to } => {
                    world.send_request(Party::Shard(me), to, Request::Sighting(me));
                }
                Send::Behind(behind) => {
                    world.tell(Party::Shard(me), |_| behind.to_string());
                    is_behind = true;
                }
                Send::Evidence(evidence) => {
                    world.tell(Party::Shard(me), |_| format!("has evidence about shard {}", evidence.first.0.shard));
                }
                Send::Shown => {}
            }
        }
        if is_behind {
            return world.found_behind(index);
        }
        for (to, claims) in questions {
            world.send_request(Party::Shard(me), to, Request::RequestAbort(claims));
        }
        world.follow_block(index);
    }

    fn died(world: &mut World, index: usize) {
        let party = &mut world.shards[index];
        party.tickets.clear();
        party.roots_due = false;
        let open = std::mem::take(&mut party.open);
        for (_, call) in open {
            world.respond(Self::party(index), call.from, call.call, Response::Failed);
        }
    }
}

impl World {
    /// Follows messages from their sending to their end.
    fn note_message(&mut self, key: &[u8], value: &[u8]) {
        let Ok(key) = <[u8; 32]>::try_from(key) else { return };
        let Ok(record) = primitives::decode::<SentRecord>(value, SENT_BYTES_MAX) else { return };
        if record.end.is_some() {
            self.open_messages.remove(&key);
        } else {
            self.open_messages.insert(key);
        }
    }

    /// After a step: relays hear of a new block, and its state tree is to be advanced.
    fn follow_block(&mut self, index: usize) {
        let me = ShardId(index as u32);
        let party = &mut self.shards[index];
        let Some(machine) = &party.node.machine else { return };
        let height = machine.tip().height;
        if party.node.tip_seen == height {
            return;
        }
        party.node.tip_seen = height;
        let life = party.node.life;
        if self.plan.roots == Roots::Advanced && !party.roots_due {
            party.roots_due = true;
            self.queue.push(self.now.after(ROOTS_PAUSE), Event::Roots(me, life));
        }
        for relay in 0..self.relays.len() {
            self.send(Party::Shard(me), Party::Relay(relay), Parcel::News(me));
        }
    }

    pub(crate) fn advance_roots(&mut self, shard: ShardId, life: u32) {
        let party = &mut self.shards[shard.0 as usize];
        if party.node.life != life {
            return;
        }
        party.roots_due = false;
        let advance = advance(&party.node.store, BLOCKS_PER_ADVANCE_COUNT_MAX, SLOTS_KEPT);
        if let Ok(Some(advance)) = advance {
            self.give::<Shard>(shard.0 as usize, Input::StateRoots(advance));
        }
        self.forget(shard);
    }

    /// Has a shard forget what is old, as its node does beside its steps.
    fn forget(&mut self, shard: ShardId) {
        let Some(kept) = self.plan.bodies_kept else { return };
        let party = &mut self.shards[shard.0 as usize];
        let newest = queries::status(&party.node.store).map_or(Time(0), |status| status.tip.time);
        let before = Time(newest.0.saturating_sub(kept.0));
        if let Some(forgetting) = party.forgettings.next(&party.node.store, before) {
            let input = Input::Forget { ticket: NO_CALL, forgetting: Box::new(forgetting) };
            self.give::<Shard>(shard.0 as usize, input);
        }
    }

    /// A call has come to a shard.
    pub(crate) fn take_request(&mut self, shard: ShardId, from: Party, call: CallId, request: Request) {
        let index = shard.0 as usize;
        let Some(party) = self.shards.get(index).filter(|party| party.node.machine.is_some()) else {
            return self.respond(Party::Shard(shard), from, call, Response::Failed);
        };
        let store = &party.node.store;
        let response = match request {
            Request::Read { keys, codes } => Response::Values {
                values: keys.iter().map(|key| value(store, key)).collect(),
                codes: codes.into_iter().filter_map(|hash| Some(queries::code(store, hash)?.into())).collect(),
            },
            Request::Prove(accounts) => {
                let proof = |account| shard::prove_code(store, account).ok().flatten();
                Response::Proofs(accounts.into_iter().map(proof).collect())
            }
            Request::Outbox { from, count_max } => {
                let kinds = BTreeSet::from([LeafKind::Message, LeafKind::Delivery]);
                let page = queries::open_outbox_page(store, from, count_max, &kinds);
                Response::Page {
                    receipts: page.leaves.into_iter().map(|(_, receipt)| receipt).collect(),
                    next: page.next,
                    head: page.head,
                }
            }
            Request::Has { leg, messages } => {
                Response::Has(messages.into_iter().map(|message| has(store, leg, message)).collect())
            }
            Request::Sighting(of) => {
                let newest = party.machine().and_then(|machine| machine.newest_seen(of));
                Response::Sighting(newest.cloned().map(Box::new))
            }
            Request::QueryVotes(attempts) => {
                Response::Done(attempts.into_iter().map(|attempt| Ok(known_vote(store, attempt))).collect())
            }
            request if request.is_new_work() && party.node.disk.is_full(self.now) => {
                let full = || Err(Rejection { remedy: Remedy::Later, text: "the disk is too full".to_owned() });
                Response::Done((0..request.count()).map(|_| full()).collect())
            }
            request => return self.take_batch(index, from, call, request),
        };
        self.respond(Party::Shard(shard), from, call, response);
    }

    /// Items that the machine answers: checked first, and given to it at once, so that they share a step.
    fn take_batch(&mut self, index: usize, from: Party, call: CallId, request: Request) {
        let inputs = self.checked(index, request);
        let missing = inputs.iter().filter(|input| input.is_ok()).count();
        let party = &mut self.shards[index];
        party.next += 1;
        let number = party.next;
        let mut items = Vec::with_capacity(inputs.len());
        let mut given = Vec::with_capacity(missing);
        for (place, input) in inputs.into_iter().enumerate() {
            match input {
                Ok((ticket, input)) => {
                    party.tickets.insert(ticket, (number, place));
                    items.push(None);
                    given.push(input);
                }
                Err(rejection) => items.push(Some(Err(rejection))),
            }
        }
        party.open.insert(number, OpenCall { from, call, items, missing });
        if missing == 0 {
            return self.close(index, number);
        }
        for input in given {
            if let Input::Prepare { prepare, .. } = &input {
                self.watch_prepare(ShardId(index as u32), prepare);
            }
            self.give::<Shard>(index, input);
        }
    }

    /// The inputs that the items of a request are, each with its ticket.
    fn checked(&mut self, index: usize, request: Request) -> Vec<Result<(Ticket, Input), Rejection>> {
        match request {
            Request::SubmitLocal(items) => self.each(index, items, |world, payload, ticket| {
                Ok(Input::Local { ticket, payload: Box::new(world.checks.payload(payload)?) })
            }),
            Request::Prepare(items) => self.each(index, items, |world, claim, ticket| {
                Ok(Input::Prepare { ticket, prepare: Box::new(world.believed_prepare(claim)?) })
            }),
            Request::RequestAbort(items) => self.each(index, items, |world, claim, ticket| {
                let waits = claim.waits.and_then(|vote| world.believed_votes(vec![vote]).pop()).map(Box::new);
                Ok(Input::AbortRequest { ticket, descriptor: Box::new(claim.descriptor), waits })
            }),
            Request::Decide(items) => self.each(index, items, |world, claim, ticket| {
                Ok(Input::Decision { ticket, proof: Box::new(world.believed_decision(claim)?) })
            }),
            Request::Deliver(items) => self.each(index, items, |world, receipt: Receipt, ticket| {
                let fact = Box::new(world.checks.fact(receipt)?);
                Ok(match fact.leaf.kind {
                    LeafKind::Delivery => Input::Acknowledge { ticket, fact },
                    _ => Input::Deliver { ticket, fact },
                })
            }),
            Request::Read { .. }
            | Request::Prove(_)
            | Request::Outbox { .. }
            | Request::Has { .. }
            | Request::QueryVotes(_)
            | Request::Sighting(_) => Vec::new(),
        }
    }

    fn each<T>(
        &mut self,
        index: usize,
        items: Vec<T>,
        check: impl Fn(&Self, T, Ticket) -> Result<Input, Rejection>,
    ) -> Vec<Result<(Ticket, Input), Rejection>> {
        let ticketed = |item| {
            let ticket = self.shards[index].draw_ticket();
            check(self, item, ticket).map(|input| (ticket, input))
        };
        items.into_iter().map(ticketed).collect()
    }

    /// The machine has answered one item.
    fn answer_item(&mut self, index: usize, reply: Reply) {
        let me = ShardId(index as u32);
        if let Answer::Voted { vote, .. } = &reply.answer {
            self.watch_said(me, vote);
        }
        self.tell(Party::Shard(me), |_| told(&reply.answer));
        let party = &mut self.shards[index];
        let Some((number, place)) = party.tickets.remove(&reply.ticket) else { return };
        let Some(open) = party.open.get_mut(&number) else { return };
        open.items[place] = done(reply.answer);
        open.missing -= 1;
        if open.missing == 0 {
            self.close(index, number);
        }
    }

    /// All items of a call are answered.
    fn close(&mut self, index: usize, number: u64) {
        let Some(open) = self.shards[index].open.remove(&number) else { return };
        let items = open.items.into_iter().flatten().collect();
        self.respond(Party::Shard(ShardId(index as u32)), open.from, open.call, Response::Done(items));
    }

    /// A peer's answer about late attempts, or what it has seen of the shard.
    pub(crate) fn take_answer(&mut self, shard: ShardId, from: Party, response: Response) {
        match (from, response) {
            (Party::Shard(from), Response::Sighting(newest)) => {
                let newest = newest.and_then(|newest| self.checks.certified(*newest).ok()).map(Box::new);
                self.give::<Shard>(shard.0 as usize, Input::Sighting { from: Some(from), newest });
            }
            (_, response) => self.take_votes(shard, response),
        }
    }

    fn take_votes(&mut self, shard: ShardId, response: Response) {
        let Response::Done(items) = response else { return };
        let proofs = items.into_iter().filter_map(|item| match item {
            Ok(Done::Voted { proof, .. }) => Some(proof),
            _ => None,
        });
        let votes = self.believed_votes(proofs.collect());
        if !votes.is_empty() {
            self.give::<Shard>(shard.0 as usize, Input::Votes(votes));
        }
    }
}

/// An answer in a few words.
fn told(answer: &Answer) -> String {
    match answer {
        Answer::Executed { outcomes } => format!("executed {} transactions", outcomes.len()),
        Answer::LocalRefused(refusal) => format!("does not execute: {refusal}"),
        Answer::Voted { vote, .. } => match &vote.verdict {
            Verdict::Yes => format!("votes yes on {}", short(vote.attempt)),
            Verdict::No(refusal) => format!("votes no on {}: {refusal}", short(vote.attempt)),
        },
        Answer::AttemptRefused(refusal) => format!("does not act: {refusal}"),
        Answer::Decided { attempt, decision, height } => {
            format!("has {} {} in block {height}", decision.name(), short(*attempt))
        }
        Answer::Delivered { delivery, novelty, .. } => {
            format!("took message {:?}: {:?}, {novelty:?}", delivery.message, delivery.status)
        }
        Answer::DeliverRefused(refusal) => format!("does not take a message: {refusal}"),
        Answer::Acknowledged { message, novelty, .. } => format!("settled message {message:?}, {novelty:?}"),
        Answer::AcknowledgeRefused(refusal) => format!("does not settle a message: {refusal}"),
        Answer::Attested { open, time, .. } => format!("attests {time}, slot {open} is open"),
        Answer::Sighting { .. } => "says what it has seen".to_owned(),
        Answer::Locks(_) => "says what is locked".to_owned(),
        Answer::Forgot => "forgot what is old".to_owned(),
        Answer::BaseTaken => "took values of a forked chain".to_owned(),
        Answer::BaseRefused(refusal) => format!("does not take values of a forked chain: {refusal}"),
        Answer::Cheated { .. } | Answer::CheatRefused(_) => "was asked to cheat, which nobody here does".to_owned(),
    }
}

/// What an answer means to a caller.
fn done(answer: Answer) -> Option<Result<Done, Rejection>> {
    Some(match answer {
        Answer::Executed { outcomes } => Ok(Done::Executed(outcomes)),
        Answer::LocalRefused(refusal) => Err(refusal.into()),
        Answer::Voted { vote, receipt, hint } => {
            Ok(Done::Voted { proof: VoteProof { vote, evidence: receipt.to_bytes() }, hint })
        }
        Answer::AttemptRefused(refusal) => Err(refusal.into()),
        Answer::Decided { height, .. } => Ok(Done::Decided(height)),
        Answer::Delivered { receipt, novelty, .. } => Ok(Done::Delivered { novelty, receipt: Some(receipt) }),
        Answer::DeliverRefused(refusal) => Err(refusal.into()),
        Answer::Acknowledged { novelty, .. } => Ok(Done::Delivered { novelty, receipt: None }),
        Answer::AcknowledgeRefused(refusal) => Err(refusal.into()),
        Answer::Attested { .. }
        | Answer::Forgot
        | Answer::Sighting { .. }
        | Answer::Locks(_)
        | Answer::BaseTaken
        | Answer::BaseRefused(_)
        | Answer::Cheated { .. }
        | Answer::CheatRefused(_) => return None,
    })
}

fn known_vote(read: &impl Read, attempt: AttemptId) -> Done {
    let receipt = queries::attempt(read, attempt).and_then(|record| queries::receipt(read, record.vote));
    match receipt.and_then(|receipt| vote_of(&receipt)) {
        Some(proof) => Done::Voted { proof, hint: Vec::new() },
        None => Done::Unknown,
    }
}

/// A vote's receipt as the evidence that travels.
fn vote_of(receipt: &Receipt) -> Option<VoteProof> {
    let vote = primitives::decode::<Vote>(&receipt.leaf.body, VOTE_BYTES_MAX).ok()?;
    Some(VoteProof { vote, evidence: receipt.to_bytes() })
}

fn value(read: &impl Read, key: &StateKey) -> StateValue {
    match key {
        StateKey::Account(address) => StateValue::Account(queries::account(read, *address)),
        StateKey::Slot(address, slot) => StateValue::Slot(queries::slot(read, *address, *slot)),
        StateKey::Fees(fees) => StateValue::Fees(queries::fees(read, fees.beneficiary)),
    }
}

/// Whether a shard has consumed a message, or knows how its own one ended.
fn has(store: &Memory, leg: relay::Leg, message: MessageId) -> bool {
    let life = queries::message(store, message);
    match leg {
        relay::Leg::Out => life.consumed.is_some(),
        relay::Leg::Back => life.sent.is_some_and(|sent| sent.end.is_some()),
    }
}

/// A leaf's place from a relay's cursor.
pub(crate) fn place(cursor: relay::Cursor) -> LeafPlace {
    LeafPlace { height: cursor.height, index: cursor.index }
}
