//! Two shards under inputs in any order, with losses, restarts and leaps of time: the invariants of the design hold, and a
//! restarted shard goes on as it would have.
//!
//! Inputs are real: transactions are executed over what the shards hold, votes and receipts are those that shards gave.

use crate::choice::Choice;
use crate::sample;
use alloy_primitives::{Address, B256, TxKind, U256};
use commit::{Decision, DecisionProof, Descriptor, VoteProof};
use evm::{
    AccountState, Bytecode, CodeCache, Executed, FeesKey, Lookup, Payload, PayloadVerifier, Placement,
    RecoveredPayload, Replay, Replayer, View, execute,
};
use primitives::{AttemptId, Epoch, Machine, Memory, Millis, ShardId, Time, Verified, Write};
use proof::{Fact, LeafKind, Receipt, ReceiptVerifier, Signer};
use shard::spaces::SIGHTINGS;
use shard::{
    Answer, GenesisAccount, GenesisAccounts, Input, LeafPlace, Prepare, Send, Shard, ShardConfig, Ticket, VoteVerifier,
    queries,
};
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

const SHARDS: u32 = 2;

/// Slots back whose state is kept.
const SLOTS_KEPT: u64 = 16;

/// Most things that happen in one run.
const EVENTS_COUNT_MAX: usize = 60;

/// Rounds in which every attempt must end once everybody is asked.
const END_ROUNDS_COUNT: usize = 4;

struct Fixture {
    placement: Placement,
    replayer: Replayer,
    verifier: ReceiptVerifier,
    genesis: [Memory; SHARDS as usize],
    /// Signed, each with a nonce of its own; some exclude each other.
    transactions: Vec<Vec<u8>>,
}

static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| {
    let users = [1, 2, 3].map(sample::user);
    let pinned = users.iter().zip([0, 1, 0]).map(|(user, shard)| (user.address(), ShardId(shard)));
    let placement = Placement::new(1, SHARDS, pinned.collect()).expect("shards that there are");
    let transfer = |from: usize, to: usize, nonce, wei| {
        sample::transaction(
            &users[from],
            nonce,
            21_000,
            (TxKind::Call(users[to].address()), U256::from(wei), Vec::new()),
        )
    };
    let dispatch = |from: usize, nonce| {
        let mailbox = evm::mailbox_address(ShardId(from as u32));
        let message = mailbox_call(ShardId(1 - from as u32));
        sample::transaction(&users[from], nonce, 400_000, (TxKind::Call(mailbox), U256::from(1), message))
    };
    let transactions = vec![
        transfer(0, 1, 0, 5),
        transfer(0, 2, 0, 6),
        transfer(0, 1, 1, 7),
        transfer(1, 0, 0, 8),
        transfer(1, 2, 1, 9),
        transfer(2, 0, 0, 10),
        transfer(2, 1, 1, 11),
        dispatch(0, 0),
        dispatch(1, 0),
        dispatch(0, 1),
    ];
    let sets = (0..SHARDS).map(|shard| (ShardId(shard), sample::set(ShardId(shard), 1)));
    Fixture {
        replayer: Replayer::new(sample::params(), placement.clone(), Arc::new(CodeCache::default())),
        verifier: ReceiptVerifier::with(sample::NETWORK, sets),
        genesis: [0, 1].map(|shard| genesis(ShardId(shard), &placement)),
        placement,
        transactions,
    }
});

fn config(me: ShardId, placement: &Placement) -> ShardConfig {
    let validators: BTreeMap<_, _> =
        (0..SHARDS).map(|shard| (ShardId(shard), sample::set(ShardId(shard), 1))).collect();
    let signer = Signer::new(sample::secrets(me, 1).remove(0), &validators[&me]).expect("a member");
    ShardConfig::new(sample::params(), me, placement.clone(), validators, signer)
}

fn genesis(me: ShardId, placement: &Placement) -> Memory {
    let user = |seed: u8| {
        (sample::user(seed).address(), GenesisAccount { balance: sample::ETHER, ..GenesisAccount::default() })
    };
    let mut accounts: GenesisAccounts = (1..=3).map(user).collect();
    for shard in 0..SHARDS {
        let mailbox = GenesisAccount { nonce: 1, code: mailbox_code().into(), ..GenesisAccount::default() };
        accounts.insert(evm::mailbox_address(ShardId(shard)), mailbox);
    }
    let mut store = Memory::default();
    store.commit(&Shard::genesis(&config(me, placement), &accounts).expect("a genesis"));
    store
}

fn mailbox_code() -> Vec<u8> {
    let file = include_str!("../../contracts/artifacts/Mailbox.json");
    let file: serde_json::Value = serde_json::from_str(file).expect("an artifact");
    hex::decode(file["deployedBytecode"].as_str().unwrap_or_default().trim_start_matches("0x")).expect("hexadecimal")
}

/// `dispatch(uint32,bytes32,bytes,uint256,uint256)` of the mailbox; see `contracts/`.
fn mailbox_call(to: ShardId) -> Vec<u8> {
    crate::contents::dispatch(proof::domain_of(sample::NETWORK, to), Address::repeat_byte(0x22))
}

/// A prepare as it goes to everybody, with what happened to it.
struct Attempt {
    prepare: Prepare,
    votes: BTreeMap<ShardId, Verified<VoteProof>>,
}

struct Node {
    store: Memory,
    machine: Shard,
    /// The machine that was not restarted, for one more step.
    shadow: Option<Shard>,
}

struct World {
    now: Time,
    nodes: Vec<Node>,
    attempts: Vec<Attempt>,
    facts: Vec<Verified<Fact>>,
    decided: BTreeMap<AttemptId, Decision>,
    tickets: u64,
}

/// Inputs in the order that the bytes say.
pub fn shard(data: &[u8]) {
    play(data);
}

fn play(data: &[u8]) -> World {
    let mut choice = Choice::new(data);
    let mut world = World::new();
    for _ in 0..EVENTS_COUNT_MAX {
        if choice.is_empty() {
            break;
        }
        world.happen(&mut choice);
    }
    world.end();
    world
}

impl World {
    fn new() -> Self {
        let node = |shard: u32| {
            let store = FIXTURE.genesis[shard as usize].clone();
            let machine = Shard::open(config(ShardId(shard), &FIXTURE.placement), &store).expect("its genesis");
            Node { store, machine, shadow: None }
        };
        let (attempts, facts, decided) = (Vec::new(), Vec::new(), BTreeMap::new());
        Self { now: sample::START, nodes: (0..SHARDS).map(node).collect(), attempts, facts, decided, tickets: 0 }
    }

    fn happen(&mut self, choice: &mut Choice<'_>) {
        let at = choice.below(self.nodes.len());
        match choice.below(16) {
            0 | 1 => self.local(at, choice),
            2 | 3 => self.begin(choice),
            4 | 5 => self.prepare(at, choice),
            6 => self.abort_request(at, choice),
            7 | 8 => self.decide(at, choice),
            9 => self.show_votes(at, choice),
            10 => self.carry(at, choice),
            11 => self.now = self.now.after(Millis(*choice.of(&[1, 400, 10_000, 31_000, 61_000]))),
            12 => self.restart(at),
            13 => self.advance(at),
            14 => drop(self.give(at, |ticket| Input::Attest { ticket }, choice.once_in(3))),
            _ => drop(self.step(at, vec![Input::Tick], false)),
        }
    }

    fn recovered(&self, choice: &mut Choice<'_>) -> Verified<RecoveredPayload> {
        let count = 1 + usize::from(choice.once_in(4));
        let bytes = (0..count).map(|_| choice.of(&FIXTURE.transactions).clone());
        let payload = sample::payload(bytes);
        let environment = evm::Environment::Slot(sample::params().slot_at(self.now));
        verified(Payload { environment, ..payload })
    }

    fn local(&mut self, at: usize, choice: &mut Choice<'_>) {
        let payload = Box::new(self.recovered(choice));
        self.give(at, |ticket| Input::Local { ticket, payload: payload.clone() }, choice.once_in(8));
    }

    /// A coordinator executes over what the shards hold now.
    fn begin(&mut self, choice: &mut Choice<'_>) {
        let payload = self.recovered(choice);
        let Ok(executed) = execute(&sample::params(), &FIXTURE.placement, &payload, &Everything(&self.nodes)) else {
            return;
        };
        let replay = Replay { payload: (*payload).clone(), witness: executed.witness.clone() };
        let replayed: Verified<Executed> = Verified::by(&FIXTURE.replayer, replay).expect("I11");
        let descriptor = Descriptor {
            network: sample::NETWORK,
            participants: replayed.participants.iter().map(|shard| (*shard, Epoch(1))).collect(),
            homes: replayed.homes.clone(),
            payload: replayed.digest(),
            number: self.attempts.len() as u32 + 1,
            deadline: self.now.after(Millis(*choice.of(&[0, 500, 10_000, 30_000, 40_000]))),
        };
        let prepare = Prepare { descriptor, payload, executed: replayed, homes: Vec::new() };
        self.attempts.push(Attempt { prepare, votes: BTreeMap::new() });
    }

    fn attempt(&self, choice: &mut Choice<'_>) -> Option<usize> {
        (!self.attempts.is_empty()).then(|| choice.below(self.attempts.len()))
    }

    fn prepare(&mut self, at: usize, choice: &mut Choice<'_>) {
        let Some(place) = self.attempt(choice) else { return };
        let attempt = &self.attempts[place];
        let mut prepare = attempt.prepare.clone();
        if !choice.once_in(6) {
            prepare.homes =
                prepare.descriptor.homes.iter().filter_map(|home| attempt.votes.get(home)).cloned().collect();
        }
        if choice.once_in(12) {
            prepare.descriptor.participants.insert(ShardId(1), Epoch(1)); // Not what it executes on.
        }
        self.give(at, |ticket| Input::Prepare { ticket, prepare: Box::new(prepare.clone()) }, choice.once_in(8));
    }

    fn abort_request(&mut self, at: usize, choice: &mut Choice<'_>) {
        let Some(place) = self.attempt(choice) else { return };
        let descriptor = self.attempts[place].prepare.descriptor.clone();
        self.give(
            at,
            |ticket| Input::AbortRequest { ticket, descriptor: Box::new(descriptor.clone()), waits: None },
            choice.once_in(8),
        );
    }

    fn decide(&mut self, at: usize, choice: &mut Choice<'_>) {
        let Some(place) = self.attempt(choice) else { return };
        let Some(proof) = self.attempts[place].proof() else { return };
        self.give(at, |ticket| Input::Decision { ticket, proof: Box::new(proof.clone()) }, choice.once_in(8));
    }

    fn show_votes(&mut self, at: usize, choice: &mut Choice<'_>) {
        let votes: Vec<_> = self.attempts.iter().flat_map(|attempt| attempt.votes.values().cloned()).collect();
        let votes = votes.into_iter().filter(|_| !choice.once_in(3)).collect();
        self.step(at, vec![Input::Votes(votes)], choice.once_in(8));
    }

    /// A relay brings a message or a delivery to any shard, right or wrong.
    fn carry(&mut self, at: usize, choice: &mut Choice<'_>) {
        self.collect_facts();
        if self.facts.is_empty() {
            return;
        }
        let fact = choice.of(&self.facts).clone();
        let is_delivery = if choice.once_in(8) { choice.once_in(2) } else { fact.leaf.kind == LeafKind::Delivery };
        let input = |ticket| {
            let fact = Box::new(fact.clone());
            if is_delivery { Input::Acknowledge { ticket, fact } } else { Input::Deliver { ticket, fact } }
        };
        self.give(at, input, choice.once_in(8));
    }

    fn collect_facts(&mut self) {
        let (from, kinds) =
            (LeafPlace { height: primitives::Height(0), index: 0 }, [LeafKind::Message, LeafKind::Delivery]);
        let pages = self
            .nodes
            .iter()
            .flat_map(|node| queries::open_outbox_page(&node.store, from, 1_000, &kinds.into()).leaves);
        self.facts = pages.map(|(_, receipt)| fact(receipt)).collect();
    }

    fn advance(&mut self, at: usize) {
        if let Some(advance) = shard::advance(&self.nodes[at].store, 16, SLOTS_KEPT).expect("its own tree") {
            self.step(at, vec![Input::StateRoots(advance)], false);
        }
    }

    /// The process stops and starts again; for one step more the old machine runs beside the new one.
    fn restart(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        let opened = Shard::open(config(ShardId(at as u32), &FIXTURE.placement), &node.store).expect("its own store");
        let old = std::mem::replace(&mut node.machine, opened);
        assert_eq!(
            (old.tip(), old.live_count(), old.locks_count()),
            (node.machine.tip(), node.machine.live_count(), node.machine.locks_count()),
            "I12"
        );
        node.shadow = Some(old);
    }

    fn give(&mut self, at: usize, input: impl Fn(Ticket) -> Input, is_lost: bool) -> Option<Answer> {
        self.tickets += 1;
        let mut answers = self.step(at, vec![input(Ticket(self.tickets))], is_lost)?;
        assert_eq!(answers.len(), 1, "one answer for one ticket");
        answers.pop()
    }

    /// One step. If it is lost, power fails before its batch: the shard is as if nothing had come.
    fn step(&mut self, at: usize, inputs: Vec<Input>, is_lost: bool) -> Option<Vec<Answer>> {
        let node = &mut self.nodes[at];
        let output = node.machine.step(self.now, inputs.clone(), &node.store);
        if let Some(mut shadow) = node.shadow.take() {
            let same = shadow.step(self.now, inputs, &node.store);
            // What a step saw and did not act on is written with the next batch, and forgotten by a restart before it.
            let acted_on = |writes: &[Write]| writes.iter().filter(|write| !is_sighting(write)).cloned().collect();
            let [same_writes, writes]: [Vec<Write>; 2] = [acted_on(&same.writes), acted_on(&output.writes)];
            assert_eq!((same_writes, &same.replies), (writes, &output.replies), "I12: it goes on as it would have");
        }
        if is_lost {
            node.machine =
                Shard::open(config(ShardId(at as u32), &FIXTURE.placement), &node.store).expect("its own store");
            return None;
        }
        node.store.commit(&output.writes);
        let answers: Vec<Answer> = output.replies.into_iter().map(|reply| reply.answer).collect();
        for answer in &answers {
            self.note(ShardId(at as u32), answer);
        }
        Some(answers)
    }

    /// I1, I2: one vote and one decision for ever.
    fn note(&mut self, from: ShardId, answer: &Answer) {
        match answer {
            Answer::Voted { vote, receipt, .. } => {
                let proof = Verified::by(&VoteVerifier::new(&FIXTURE.verifier), receipt.to_bytes()).expect("a receipt");
                assert_eq!((&proof.vote, proof.vote.shard), (vote, from));
                let of = |attempt: &&mut Attempt| attempt.prepare.descriptor.id() == vote.attempt;
                let Some(attempt) = self.attempts.iter_mut().find(of) else { return };
                let kept = attempt.votes.entry(from).or_insert_with(|| proof.clone());
                assert_eq!(kept.vote.verdict.is_yes(), vote.verdict.is_yes(), "I2");
            }
            Answer::Decided { attempt, decision, .. } => {
                assert_eq!(*self.decided.entry(*attempt).or_insert(*decision), *decision, "I1");
            }
            _ => {}
        }
    }

    /// Everybody asks everybody until nothing is locked; then the invariants of a quiet network are checked.
    fn end(&mut self) {
        for _ in 0..END_ROUNDS_COUNT {
            self.now = self.now.after(Millis(61_000));
            for at in 0..self.nodes.len() {
                self.ask_late(at);
            }
        }
        for (shard, node) in self.nodes.iter().enumerate() {
            assert_eq!((node.machine.live_count(), node.machine.locks_count()), (0, 0), "I6, I7: shard {shard}");
        }
        self.assert_one_evm();
    }

    /// R8: a shard asks about its late attempts, and takes the votes it is answered with.
    fn ask_late(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        let output = node.machine.step(self.now, vec![Input::Tick], &node.store);
        node.store.commit(&output.writes);
        node.shadow = None;
        for send in output.sends {
            let Send::AskVotes { to, descriptor, waits } = send else { continue };
            let waits = Verified::by(&VoteVerifier::new(&FIXTURE.verifier), waits.to_bytes()).expect("a receipt");
            let input = |ticket| Input::AbortRequest {
                ticket,
                descriptor: Box::new(descriptor.clone()),
                waits: Some(Box::new(waits.clone())),
            };
            let answer = self.give(to.0 as usize, input, false);
            let Some(Answer::Voted { receipt, .. }) = answer else { panic!("no vote: {answer:?}") };
            let vote = Verified::by(&VoteVerifier::new(&FIXTURE.verifier), receipt.to_bytes()).expect("a receipt");
            self.step(at, vec![Input::Votes(vec![vote])], false);
        }
    }

    /// I8, I9: the shards hold what one plain EVM makes of all they applied, and no wei came or went but with messages.
    fn assert_one_evm(&self) {
        let logs: BTreeMap<_, _> = (0..)
            .zip(&self.nodes)
            .map(|(shard, node)| {
                (ShardId(shard), queries::applied(&node.store, 0, usize::MAX).expect("nothing is forgotten"))
            })
            .collect();
        let one = Placement::new(1, 1, BTreeMap::new()).expect("one shard");
        let mut plain = crate::contents::union(FIXTURE.genesis.iter());
        for committed in shard::order(sample::params().environments, &logs).expect("one order fits every log") {
            let payload = match &committed.payload.transactions[..] {
                [evm::TransactionKind::System(system)] => {
                    RecoveredPayload::system(committed.payload.environment, system.clone())
                }
                _ => verified(committed.payload).into_inner(),
            };
            let run = execute(&sample::params(), &one, &payload, &plain).expect("it was applied");
            plain.apply(&run.effects.changes).expect("its own codes");
        }
        let union = crate::contents::union(self.nodes.iter().map(|node| &node.store));
        assert_eq!(union.settled(), plain.settled(), "I9");
    }
}

impl Attempt {
    fn proof(&self) -> Option<DecisionProof> {
        DecisionProof::new(self.prepare.descriptor.clone(), self.votes.values().cloned().collect()).ok()
    }
}

fn fact(receipt: Receipt) -> Verified<Fact> {
    Verified::by(&FIXTURE.verifier, receipt).expect("a shard's own receipt")
}

/// A view of all shards' stores.
struct Everything<'a>(&'a [Node]);

impl Everything<'_> {
    fn of(&self, address: Address) -> &Memory {
        &self.0[FIXTURE.placement.shard_of(address).0 as usize].store
    }
}

impl View for Everything<'_> {
    fn account(&self, address: Address) -> Lookup<Option<AccountState>> {
        Lookup::Known(queries::account(self.of(address), address))
    }

    fn slot(&self, address: Address, slot: U256) -> Lookup<U256> {
        Lookup::Known(queries::slot(self.of(address), address, slot))
    }

    fn fees(&self, key: FeesKey) -> Lookup<U256> {
        Lookup::Known(queries::fees(&self.0[key.shard.0 as usize].store, key.beneficiary))
    }

    fn code(&self, hash: B256) -> Lookup<Bytecode> {
        let code = self.0.iter().find_map(|node| queries::code(&node.store, hash));
        code.map_or(Lookup::Unknown, |code| Lookup::Known(Bytecode::new_raw(code.into())))
    }
}

/// Something that a shard applied.
pub(crate) fn applied() -> shard::Applied {
    let mut seeds = (1_u64..).map(|seed| play(&crate::seeds::Stream(seed).bytes(400)));
    let first =
        seeds.find_map(|world| world.nodes.iter().find_map(|node| queries::applied(&node.store, 0, 1).ok()?.pop()));
    first.expect("some run applies something")
}

fn verified(payload: Payload) -> Verified<RecoveredPayload> {
    Verified::by(&PayloadVerifier::new(sample::params()), payload).expect("well signed")
}

/// Whether it notes what was seen of another shard.
fn is_sighting(write: &Write) -> bool {
    matches!(write, Write::Put { space, .. } | Write::Delete { space, .. } if *space == SIGHTINGS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seeds::Stream;

    #[test]
    fn attempts_end_both_ways_and_messages_arrive() {
        let (mut decisions, mut entries) = (Vec::new(), Vec::new());
        for seed in 1..=60 {
            let world = play(&Stream(seed).bytes(400));
            decisions.extend(world.decided.values().copied());
            let blocks = world.nodes.iter().flat_map(|node| queries::blocks(&node.store, primitives::Height(1), 1_000));
            entries.extend(blocks.flatten().flat_map(|block| block.entries));
        }
        for decision in [Decision::Commit, Decision::Abort] {
            assert!(decisions.contains(&decision), "{decision:?} in {} decisions", decisions.len());
        }
        let is_there = |of: fn(&shard::Entry) -> bool| assert!(entries.iter().any(of), "{} entries", entries.len());
        is_there(|entry| matches!(entry, shard::Entry::Executed { .. }));
        is_there(|entry| matches!(entry, shard::Entry::Delivered { .. }));
        is_there(|entry| matches!(entry, shard::Entry::Acknowledged { .. }));
    }
}
