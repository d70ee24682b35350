//! A network in memory: shards made of the real commit rules, the real replay and real state; coordinators under test; and
//! wires between them that may lose, double and reorder.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

pub mod contracts;
pub mod shard;

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use commit::{Decision, DecisionProof, VoteProof};
use dovetail_coordinator::{
    Committed, Coordinator, Event, Input, LocalAnswer, Prepare, Refusal, Reply, Send, Settings, Ticket, Timing, Votes,
    kept,
};
use evm::{
    AccountState, Environment, Environments, NetworkParams, Payload, PayloadVerifier, Placement, SignedTransaction,
    Spec, State, TransactionKind, execute,
};
use primitives::{Epoch, Machine, Millis, NetworkId, Output, Read, ShardId, Space, Time, Verified, Verifier, Write};
use shard::Shard;
use std::collections::BTreeMap;
use std::convert::Infallible;

pub const NETWORK: NetworkId = NetworkId(1337);
pub const START: Time = Time(1_700_000_000_000);
pub const ETHER: u64 = 1_000_000_000_000_000_000;
/// How long a moment lasts.
pub const MOMENT: Millis = Millis(2);

/// Makes a fact of anything: the tests are about what follows from facts.
pub struct Gullible;

impl<T> Verifier<T> for Gullible {
    type Fact = T;
    type Error = Infallible;

    fn verify(&self, claim: T) -> Result<T, Infallible> {
        Ok(claim)
    }
}

pub fn believed<T>(claim: T) -> Verified<T> {
    match Verified::by(&Gullible, claim) {
        Ok(fact) => fact,
        Err(never) => match never {},
    }
}

pub fn params() -> NetworkParams {
    NetworkParams {
        network: NETWORK,
        genesis: Time(0),
        slot_length: Millis(500),
        base_fee: 1,
        gas_limit: 30_000_000,
        beneficiary: Address::repeat_byte(0xfe),
        spec: Spec::default(),
        environments: Environments::Slots,
        takes_unprotected: false,
    }
}

pub fn user(seed: u16) -> PrivateKeySigner {
    let mut key = [7; 32];
    key[..2].copy_from_slice(&seed.to_be_bytes());
    PrivateKeySigner::from_bytes(&B256::new(key)).expect("a key")
}

/// An ordered store in memory.
#[derive(Debug, Clone, Default)]
pub struct Memory(BTreeMap<(Space, Vec<u8>), Vec<u8>>);

impl Memory {
    fn write(&mut self, writes: Vec<Write>) {
        for write in writes {
            match write {
                Write::Put { space, key, value } => self.0.insert((space, key), value),
                Write::Delete { space, key } => self.0.remove(&(space, key)),
            };
        }
    }
}

impl Read for Memory {
    fn get(&self, space: Space, key: &[u8]) -> Option<Vec<u8>> {
        self.0.get(&(space, key.to_vec())).cloned()
    }

    fn scan(&self, space: Space, prefix: &[u8], from: &[u8], count_max: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
        let entries = self.0.range((space, from.to_vec())..).take_while(|((at, _), _)| *at == space);
        let entries = entries.filter(|((_, key), _)| key.starts_with(prefix)).take(count_max);
        entries.map(|((_, key), value)| (key.clone(), value.clone())).collect()
    }
}

/// A stream of numbers that depends on its seed alone (splitmix64).
#[derive(Debug, Clone)]
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound.max(1)
    }
}

/// Where a coordinator's process stops: in its n-th step that writes, before or after the batch is synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    Never,
    Before(usize),
    After(usize),
}

/// A coordinator with its store.
pub struct Node {
    pub machine: Coordinator,
    pub store: Memory,
    pub crash: Crash,
    pub writes: usize,
    pub crashes: usize,
    wake: Option<Time>,
}

#[derive(Debug, Clone)]
enum Message {
    ToShard { from: usize, send: Send },
    ToCoordinator { to: usize, input: Input },
}

pub struct World {
    pub now: Time,
    pub params: NetworkParams,
    pub placement: Placement,
    pub timing: Timing,
    pub shards: Vec<Shard>,
    pub nodes: Vec<Node>,
    /// What was submitted and has ended.
    pub ends: BTreeMap<Ticket, Result<Committed, Refusal>>,
    pub events: BTreeMap<Ticket, Vec<Event>>,
    /// Every committed payload, in an order that all shards' logs agree with.
    pub history: Vec<(Payload, Vec<evm::Outcome>)>,
    /// Shards that nothing reaches and that answer nothing.
    pub cut_off: Vec<ShardId>,
    /// How many runs were made beside a step.
    pub runs_beside: usize,
    /// What prepares said that their runs were charged, in order.
    pub prepared_gas: Vec<u64>,
    pub lossy: bool,
    pub dice: Dice,
    genesis: State,
    wires: Vec<(Time, Message)>,
    tickets: u64,
}

impl World {
    /// A network of `shards` shards and `coordinators` coordinators, with `users` users of a thousand ether each.
    pub fn new(shards: u32, coordinators: usize, users: u16, pinned: BTreeMap<Address, ShardId>) -> Self {
        Self::with(Timing::default(), (shards, coordinators, users), pinned)
    }

    /// The same with other patience.
    pub fn with(
        timing: Timing,
        (shards, coordinators, users): (u32, usize, u16),
        pinned: BTreeMap<Address, ShardId>,
    ) -> Self {
        let genesis = (1..=users)
            .map(|seed| (user(seed).address(), AccountState::with_balance(U256::from(ETHER) * U256::from(1000))));
        let genesis = State { accounts: genesis.collect(), ..State::default() };
        let placement = Placement::new(1, shards, pinned).expect("valid pins");
        let mut world = Self {
            now: START,
            params: params(),
            shards: (0..shards)
                .map(|shard| Shard::new(ShardId(shard), params(), placement.clone(), &genesis))
                .collect(),
            placement,
            timing,
            nodes: Vec::new(),
            ends: BTreeMap::new(),
            events: BTreeMap::new(),
            history: Vec::new(),
            cut_off: Vec::new(),
            runs_beside: 0,
            prepared_gas: Vec::new(),
            lossy: false,
            dice: Dice(1),
            genesis,
            wires: Vec::new(),
            tickets: 0,
        };
        world.nodes = (0..coordinators).map(|_| world.node()).collect();
        world
    }

    pub fn settings(&self) -> Settings {
        Settings {
            params: self.params.clone(),
            placement: self.placement.clone(),
            epochs: self.placement.shards().map(|shard| (shard, Epoch(1))).collect(),
            timing: self.timing,
            commit: commit::coordinator::Settings::default(),
        }
    }

    fn node(&self) -> Node {
        let store = Memory::default();
        let machine = Coordinator::open(self.settings(), &store).expect("an empty store");
        Node { machine, store, crash: Crash::Never, writes: 0, crashes: 0, wake: None }
    }

    /// A payload of signed transactions at the slot that it is now.
    pub fn payload(&self, transactions: Vec<Vec<u8>>) -> Payload {
        let kinds = transactions.into_iter().map(|bytes| TransactionKind::Signed(SignedTransaction(bytes.into())));
        Payload::bundle(Environment::Slot(self.params.slot_at(self.now)), kinds.collect())
    }

    /// Hands transactions to a coordinator: one, or a bundle.
    pub fn submit(&mut self, coordinator: usize, transactions: Vec<Vec<u8>>) -> Ticket {
        let verifier = PayloadVerifier::new(self.params.clone());
        let payload = Verified::by(&verifier, self.payload(transactions)).expect("well signed");
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.step(coordinator, vec![Input::Submit { ticket, payload: Box::new(payload) }]);
        ticket
    }

    /// Hands one in and waits for its end.
    pub fn commit(&mut self, transaction: Vec<u8>) -> Committed {
        let ticket = self.submit(0, vec![transaction]);
        self.run();
        self.committed(ticket)
    }

    pub fn committed(&self, ticket: Ticket) -> Committed {
        match self.ends.get(&ticket) {
            Some(Ok(committed)) => committed.clone(),
            other => panic!("not committed: {other:?}, {:?}", self.events.get(&ticket)),
        }
    }

    pub fn refused(&self, ticket: Ticket) -> Refusal {
        match self.ends.get(&ticket) {
            Some(Err(refusal)) => refusal.clone(),
            other => panic!("not refused: {other:?}, {:?}", self.events.get(&ticket)),
        }
    }

    /// How many attempts the submission took.
    pub fn attempts(&self, ticket: Ticket) -> usize {
        self.events[&ticket].iter().filter(|event| matches!(event, Event::Preparing { .. })).count()
    }

    pub fn step(&mut self, coordinator: usize, inputs: Vec<Input>) {
        let settings = self.settings();
        let node = &mut self.nodes[coordinator];
        let Output { writes, sends, replies, wake } = node.machine.step(self.now, inputs, &node.store);
        node.wake = wake;
        if !writes.is_empty() {
            node.writes += 1;
            let crash = node.crash;
            if crash != Crash::Before(node.writes) {
                node.store.write(writes);
            }
            if [Crash::Before(node.writes), Crash::After(node.writes)].contains(&crash) {
                node.machine = Coordinator::open(settings, &node.store).expect("its own log");
                (node.wake, node.crashes) = (Some(self.now), node.crashes + 1);
                return self.hand_in_again(coordinator);
            }
        }
        for reply in replies {
            self.hear(reply);
        }
        for send in sends {
            self.post(&Message::ToShard { from: coordinator, send });
        }
    }

    /// The process starts again, with what it had accepted.
    pub fn restart(&mut self, coordinator: usize) {
        let settings = self.settings();
        let node = &mut self.nodes[coordinator];
        node.machine = Coordinator::open(settings, &node.store).expect("its own log");
        node.wake = Some(self.now);
        self.wires.retain(|(_, message)| !matches!(message, Message::ToCoordinator { to, .. } if *to == coordinator));
        self.hand_in_again(coordinator);
    }

    fn hand_in_again(&mut self, coordinator: usize) {
        let verifier = PayloadVerifier::new(self.params.clone());
        for payload in kept(&self.nodes[coordinator].store).expect("its own log") {
            let payload = Box::new(Verified::by(&verifier, payload).expect("it was accepted"));
            self.tickets += 1;
            let ticket = Ticket(self.tickets);
            self.step(coordinator, vec![Input::Submit { ticket, payload }]);
        }
    }

    /// The ticket that was given out last.
    pub fn last_ticket(&self) -> Ticket {
        Ticket(self.tickets)
    }

    fn hear(&mut self, reply: Reply) {
        assert!(!self.ends.contains_key(&reply.ticket), "nothing comes after the last event");
        self.events.entry(reply.ticket).or_default().push(reply.event.clone());
        let end = match reply.event {
            Event::Committed(committed) => Ok(*committed),
            Event::Refused(refusal) => Err(*refusal),
            _ => return,
        };
        self.ends.insert(reply.ticket, end);
    }

    fn post(&mut self, message: &Message) {
        let delays = if self.lossy { 40 } else { 4 };
        let copies = match self.lossy.then(|| self.dice.below(10)) {
            Some(0) => 0,
            Some(1) => 2,
            _ => 1,
        };
        for _ in 0..copies {
            let delay = 1 + self.dice.below(delays);
            self.wires.push((self.now.after(Millis(delay)), message.clone()));
        }
    }

    /// Time goes on by a moment; what arrives in it arrives.
    pub fn moment(&mut self) {
        self.now = self.now.after(MOMENT);
        let (due, later) = std::mem::take(&mut self.wires).into_iter().partition(|(time, _)| *time <= self.now);
        self.wires = later;
        let mut inputs: BTreeMap<usize, Vec<Input>> = BTreeMap::new();
        for (_, message) in Vec::from_iter::<Vec<(Time, Message)>>(due) {
            match message {
                Message::ToCoordinator { to, input } => inputs.entry(to).or_default().push(input),
                Message::ToShard { from, send } => self.arrive(from, send),
            }
        }
        for coordinator in 0..self.nodes.len() {
            let inputs = inputs.remove(&coordinator).unwrap_or_default();
            if !inputs.is_empty() || self.nodes[coordinator].wake.is_some_and(|wake| wake <= self.now) {
                self.step(coordinator, inputs);
            }
        }
        self.finish_among_shards();
    }

    /// Until every submission has ended and every attempt is forgotten.
    pub fn run(&mut self) {
        for _ in 0..200_000 {
            if self.is_idle() {
                return;
            }
            self.moment();
        }
        let stuck: Vec<_> = self.events.iter().filter(|(ticket, _)| !self.ends.contains_key(ticket)).collect();
        panic!("it does not end: {stuck:?}");
    }

    /// For so long, or until the submission has ended; how long that took.
    pub fn run_for(&mut self, ticket: Ticket, length: Millis) -> Millis {
        let begun = self.now;
        while !self.ends.contains_key(&ticket) && self.now.since(begun) < length {
            self.moment();
        }
        self.now.since(begun)
    }

    pub fn wait(&mut self, moments: usize) {
        for _ in 0..moments {
            self.moment();
        }
    }

    fn is_idle(&self) -> bool {
        let idle = |node: &Node| node.machine.pending_count() == 0 && node.machine.attempts_count() == 0;
        self.nodes.iter().all(idle) && self.shards.iter().all(|shard| shard.prepared().is_empty())
    }

    fn arrive(&mut self, from: usize, send: Send) {
        let Some(shard) = send.shard() else {
            if let Send::Run(job) = send {
                self.runs_beside += 1;
                self.post(&Message::ToCoordinator { to: from, input: Input::Ran(Box::new(job.run())) });
            }
            return;
        };
        if self.cut_off.contains(&shard) {
            return;
        }
        let place = shard.0 as usize;
        let answers: Vec<Input> = match send {
            Send::Run(_) => Vec::new(),
            Send::Fetch { fetch, keys, codes, .. } => {
                let (values, codes) = self.shards[place].fetch(&keys, &codes);
                match self.shards[place].cannot_read.clone() {
                    Some(reason) => vec![Input::FetchRefused { fetch, reason }],
                    None => vec![Input::Fetched { fetch, values, codes }],
                }
            }
            Send::FetchProofs { fetch, accounts, .. } => {
                vec![Input::FetchedProofs { fetch, proofs: self.shards[place].prove(&accounts) }]
            }
            Send::SubmitLocal { batch, .. } => batch
                .into_iter()
                .map(|submission| {
                    let (answer, is_new) = self.shards[place].local(&submission.payload, self.now);
                    if let (LocalAnswer::Executed(outcomes), true) = (&answer, is_new) {
                        self.history.push((submission.payload, outcomes.clone()));
                    }
                    Input::Local { ticket: submission.ticket, answer }
                })
                .collect(),
            Send::Prepare { batch, .. } => {
                self.prepared_gas.extend(batch.iter().map(|prepare| prepare.gas));
                let answers = batch.iter().map(|prepare| self.prepare(place, prepare));
                answers.collect()
            }
            Send::RequestAbort { batch, .. } => {
                batch.iter().map(|descriptor| self.shards[place].request_abort(descriptor, self.now)).collect()
            }
            Send::Decide { batch, .. } => batch.iter().map(|proof| self.decide(place, proof)).collect(),
        };
        for input in answers {
            self.post(&Message::ToCoordinator { to: from, input });
        }
    }

    /// Asks one shard for its vote; a last agent's is the commit.
    fn prepare(&mut self, place: usize, prepare: &Prepare) -> Input {
        let answer = self.shards[place].prepare(prepare, self.now);
        self.history.extend(self.shards[place].committed_at_its_vote.take());
        answer
    }

    /// Carries out a decision on one shard; the first to carry out a commit writes the history.
    fn decide(&mut self, place: usize, proof: &DecisionProof) -> Input {
        let attempt = proof.attempt();
        if proof.decide() == Decision::Commit && self.shards.iter().all(|shard| !shard.has_committed(attempt)) {
            self.history.extend(self.shards[place].staged(attempt));
        }
        self.shards[place].decide(proof, self.now)
    }

    /// R8: late attempts are ended by their participants.
    fn finish_among_shards(&mut self) {
        for place in 0..self.shards.len() {
            for ask in self.shards[place].late(self.now) {
                let me = self.shards[place].me;
                let others = ask.shards.iter().copied().filter(|shard| !self.cut_off.contains(shard));
                let asked: Vec<ShardId> = others.chain([me]).collect();
                let answers: Vec<Input> = asked
                    .into_iter()
                    .map(|shard| self.shards[shard.0 as usize].request_abort(&ask.descriptor, self.now))
                    .collect();
                let votes: Vec<Verified<VoteProof>> = answers
                    .into_iter()
                    .filter_map(
                        |answer| if let Input::Votes(Votes { votes, .. }) = answer { Some(votes) } else { None },
                    )
                    .flatten()
                    .collect();
                if let Ok(proof) = DecisionProof::new(ask.descriptor.clone(), votes) {
                    self.decide(me.0 as usize, &proof);
                }
            }
        }
    }

    /// I9: the union of all shards is what one plain EVM makes of the committed transactions; and no lock is left (I7).
    pub fn assert_one_evm(&self) {
        let one = Placement::new(1, 1, BTreeMap::new()).expect("one shard");
        let verifier = PayloadVerifier::new(self.params.clone());
        let mut state = self.genesis.clone();
        for (payload, outcomes) in &self.history {
            let payload = Verified::by(&verifier, payload.clone()).expect("it was committed");
            let executed = execute(&self.params, &one, &payload, &state).expect("it was committed");
            assert_eq!(&executed.effects.outcomes, outcomes, "I16");
            state.apply(&executed.effects.changes).expect("its own codes");
        }
        let union = State::union(self.shards.iter().map(|shard| &shard.state)).expect("nobody holds another's");
        let (union, state) = (union.settled(), state.settled());
        assert_eq!(union.accounts, state.accounts);
        assert_eq!(union.slots, state.slots);
        for shard in &self.shards {
            assert!(shard.is_unlocked(), "I7");
        }
    }

    pub fn account(&self, address: Address) -> AccountState {
        let shard = self.placement.shard_of(address);
        self.shards[shard.0 as usize].state.accounts.get(&address).copied().unwrap_or(AccountState::EMPTY)
    }

    pub fn slot(&self, address: Address, slot: u64) -> U256 {
        let shard = self.placement.shard_of(address);
        let slots = &self.shards[shard.0 as usize].state.slots;
        slots.get(&(address, U256::from(slot))).copied().unwrap_or_default()
    }
}

/// A signed EIP-1559 transaction.
pub fn sign(from: &PrivateKeySigner, nonce: u64, to: TxKind, value: u64, input: Vec<u8>) -> Vec<u8> {
    sign_for(3_000_000, from, nonce, (to, value, input))
}

/// The same for other gas.
pub fn sign_for(
    gas_limit: u64,
    from: &PrivateKeySigner,
    nonce: u64,
    (to, value, input): (TxKind, u64, Vec<u8>),
) -> Vec<u8> {
    let transaction = TxEip1559 {
        chain_id: NETWORK.0,
        nonce,
        gas_limit,
        max_fee_per_gas: 10,
        max_priority_fee_per_gas: 2,
        to,
        value: U256::from(value),
        input: Bytes::from(input),
        ..TxEip1559::default()
    };
    signed(from, transaction)
}

/// A transfer that pays other fees than [`transfer`]: at most so much, and so much of it to the beneficiary.
pub fn transfer_for(fees: (u128, u128), from: &PrivateKeySigner, nonce: u64, to: Address, value: u64) -> Vec<u8> {
    let transaction = TxEip1559 {
        chain_id: NETWORK.0,
        nonce,
        gas_limit: 100_000,
        max_fee_per_gas: fees.0,
        max_priority_fee_per_gas: fees.1,
        to: TxKind::Call(to),
        value: U256::from(value),
        ..TxEip1559::default()
    };
    signed(from, transaction)
}

/// A call that pays other fees than [`call`].
pub fn sign_at(fees: (u128, u128), from: &PrivateKeySigner, nonce: u64, to: Address, input: Vec<u8>) -> Vec<u8> {
    let transaction = TxEip1559 {
        chain_id: NETWORK.0,
        nonce,
        gas_limit: 3_000_000,
        max_fee_per_gas: fees.0,
        max_priority_fee_per_gas: fees.1,
        to: TxKind::Call(to),
        input: Bytes::from(input),
        ..TxEip1559::default()
    };
    signed(from, transaction)
}

fn signed(from: &PrivateKeySigner, transaction: TxEip1559) -> Vec<u8> {
    let signature = from.sign_hash_sync(&transaction.signature_hash()).expect("a signature");
    TxEnvelope::Eip1559(transaction.into_signed(signature)).encoded_2718()
}

pub fn call(from: &PrivateKeySigner, nonce: u64, to: Address, input: Vec<u8>) -> Vec<u8> {
    sign(from, nonce, TxKind::Call(to), 0, input)
}

pub fn transfer(from: &PrivateKeySigner, nonce: u64, to: Address, value: u64) -> Vec<u8> {
    sign(from, nonce, TxKind::Call(to), value, Vec::new())
}

pub fn create(from: &PrivateKeySigner, nonce: u64, code: Vec<u8>) -> Vec<u8> {
    sign(from, nonce, TxKind::Create, 0, code)
}
