//! Two or more shards in memory, and a driver that plays coordinator and relay.

use crate::{
    Answer, Applied, GenesisAccount, GenesisAccounts, Input, Kept, LeafPlace, OutcomeRecord, Prepare, Send, Shard,
    ShardConfig, Ticket, VoteVerifier, advance, ledger, queries,
};
use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use commit::{DecisionProof, Descriptor, VoteProof};
use evm::{
    AccountState, Bytecode, CodeCache, Environment, Environments, Executed, FeesKey, Grouping, Lookup, NetworkParams,
    Payload, PayloadVerifier, Placement, RecoveredPayload, Replay, Replayer, Spec, State, View,
};
use primitives::{Epoch, Machine, Memory, Millis, NetworkId, Read, ShardId, Time, Verified};
use proof::{Fact, LeafKind, Receipt, ReceiptVerifier, Route, SecretKey, Signer, ValidatorSet};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub(super) const NETWORK: NetworkId = NetworkId(1337);
pub(super) const ETHER: U256 = U256::from_limbs([1_000_000_000_000_000_000, 0, 0, 0]);
/// Slots back whose state is kept.
pub(super) const SLOTS_KEPT: u64 = 100;
pub(super) const START: Time = Time(1_700_000_000_000);
pub(super) const S0: ShardId = ShardId(0);
pub(super) const S1: ShardId = ShardId(1);

/// Where to lose power: at the `batch`-th non-empty batch of the world, just before or just after it is synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Crash {
    Never,
    Before { batch: usize },
    After { batch: usize },
}

/// One shard with its store.
pub(super) struct Node {
    pub(super) store: Memory,
    pub(super) machine: Shard,
}

/// A network in memory.
pub(super) struct World {
    pub(super) nodes: BTreeMap<ShardId, Node>,
    pub(super) params: NetworkParams,
    pub(super) placement: Placement,
    pub(super) verifier: ReceiptVerifier,
    pub(super) now: Time,
    pub(super) crash: Crash,
    /// How often power failed.
    pub(super) crashes: usize,
    /// How many non-empty batches there were.
    pub(super) batches: usize,
    /// What machines asked others.
    pub(super) sends: Vec<Send>,
    /// Every input that was answered with something other than a refusal.
    pub(super) recorded: Vec<(ShardId, Input)>,
    shards_count: u32,
    replayer: Replayer,
    tickets: u64,
    /// Foreign chains that every shard knows.
    routes: Vec<Route>,
}

/// A user with a key.
pub(super) fn user(seed: u8) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&B256::repeat_byte(seed)).unwrap()
}

fn secret(shard: ShardId) -> SecretKey {
    SecretKey::from_bytes(&[shard.0 as u8 + 1; 32]).unwrap()
}

pub(super) fn sets(shards_count: u32) -> BTreeMap<ShardId, ValidatorSet> {
    let set = |shard| ValidatorSet::new(Epoch(1), vec![secret(shard).public()]).unwrap();
    (0..shards_count).map(|shard| (ShardId(shard), set(ShardId(shard)))).collect()
}

pub(super) fn params() -> NetworkParams {
    NetworkParams {
        network: NETWORK,
        genesis: Time(0),
        slot_length: Millis(1000),
        base_fee: 0,
        gas_limit: 30_000_000,
        beneficiary: Address::repeat_byte(0xfe),
        spec: Spec::default(),
        environments: Environments::Slots,
        takes_unprotected: false,
    }
}

pub(super) fn config(shard: ShardId, params: &NetworkParams, placement: &Placement) -> ShardConfig {
    let validators = sets(placement.shards_count());
    let signer = Signer::new(secret(shard), &validators[&shard]).unwrap();
    ShardConfig::new(params.clone(), shard, placement.clone(), validators, signer)
}

/// The runtime code of a mailbox.
pub(super) fn mailbox_code() -> Vec<u8> {
    artifact("Mailbox", "deployedBytecode")
}

/// Bytes of a compiled contract.
pub(super) fn artifact(name: &str, field: &str) -> Vec<u8> {
    let path = format!("{}/../../contracts/artifacts/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    alloy_primitives::hex::decode(json[field].as_str().unwrap()).unwrap()
}

impl World {
    /// A network where users 1, 2, 3… have 100 ether each, placed as `pinned` says, and every shard has a mailbox.
    pub(super) fn new(shards_count: u32, pinned: impl IntoIterator<Item = (Address, ShardId)>) -> Self {
        Self::with_accounts(shards_count, pinned, &Self::accounts(shards_count))
    }

    /// Users and mailboxes.
    pub(super) fn accounts(shards_count: u32) -> GenesisAccounts {
        let mut accounts: GenesisAccounts = (1..=6)
            .map(|seed| {
                (user(seed).address(), GenesisAccount { balance: ETHER * U256::from(100), ..Default::default() })
            })
            .collect();
        for shard in 0..shards_count {
            let mailbox = GenesisAccount { nonce: 1, code: mailbox_code().into(), ..Default::default() };
            accounts.insert(evm::mailbox_address(ShardId(shard)), mailbox);
        }
        accounts
    }

    pub(super) fn with_accounts(
        shards_count: u32,
        pinned: impl IntoIterator<Item = (Address, ShardId)>,
        accounts: &GenesisAccounts,
    ) -> Self {
        Self::with_params(params(), shards_count, pinned, accounts)
    }

    pub(super) fn with_params(
        params: NetworkParams,
        shards_count: u32,
        pinned: impl IntoIterator<Item = (Address, ShardId)>,
        accounts: &GenesisAccounts,
    ) -> Self {
        let placement = Placement::new(1, shards_count, pinned.into_iter().collect()).unwrap();
        let node = |shard| {
            let mut store = Memory::default();
            store.commit(&Shard::genesis(&config(shard, &params, &placement), accounts).unwrap());
            let machine = Shard::open(config(shard, &params, &placement), &store).unwrap();
            (shard, Node { store, machine })
        };
        Self {
            nodes: placement.shards().map(node).collect(),
            verifier: ReceiptVerifier::with(NETWORK, sets(shards_count)),
            replayer: Replayer::new(params.clone(), placement.clone(), Arc::new(CodeCache::default())),
            now: START,
            crash: Crash::Never,
            batches: 0,
            crashes: 0,
            sends: Vec::new(),
            recorded: Vec::new(),
            tickets: 0,
            routes: Vec::new(),
            shards_count,
            params,
            placement,
        }
    }

    /// Restarts a shard from its store.
    pub(super) fn restart(&mut self, shard: ShardId) {
        let config = ShardConfig { routes: self.routes.clone(), ..config(shard, &self.params, &self.placement) };
        let node = self.nodes.get_mut(&shard).unwrap();
        node.machine = Shard::open(config, &node.store).unwrap();
    }

    /// The same network, whose shards know these foreign chains.
    pub(super) fn with_routes(mut self, routes: Vec<Route>) -> Self {
        self.routes = routes;
        for shard in self.placement.shards() {
            self.restart(shard);
        }
        self
    }

    /// Makes time pass.
    pub(super) fn wait(&mut self, millis: u64) {
        self.now = self.now.after(Millis(millis));
    }

    /// One step of a shard with these inputs; `None` if it crashed on the way: nobody hears an answer.
    pub(super) fn step(&mut self, shard: ShardId, inputs: Vec<Input>) -> Option<Vec<Answer>> {
        let node = self.nodes.get_mut(&shard).unwrap();
        let output = node.machine.step(self.now, inputs, &node.store);
        if output.writes.is_empty() {
            self.sends.extend(output.sends);
            return Some(output.replies.into_iter().map(|reply| reply.answer).collect());
        }
        self.batches += 1;
        let loses_batch = self.crash == (Crash::Before { batch: self.batches });
        if !loses_batch {
            node.store.commit(&output.writes);
        }
        if loses_batch || self.crash == (Crash::After { batch: self.batches }) {
            self.crashes += 1;
            self.restart(shard);
            return None;
        }
        self.sends.extend(output.sends);
        Some(output.replies.into_iter().map(|reply| reply.answer).collect())
    }

    /// Gives one input until it is answered.
    pub(super) fn ask(&mut self, shard: ShardId, input: impl Fn(Ticket) -> Input) -> Answer {
        for _ in 0..3 {
            self.tickets += 1;
            if let Some(mut answers) = self.step(shard, vec![input(Ticket(self.tickets))]) {
                assert_eq!(answers.len(), 1, "one reply for one ticket");
                let answer = answers.remove(0);
                if !is_refusal(&answer) {
                    self.recorded.push((shard, input(Ticket(self.tickets))));
                }
                return answer;
            }
        }
        panic!("shard {shard} never answers");
    }

    /// A signed transaction, with `nonce` as the sender's state has it unless it is given.
    pub(super) fn sign(&self, from: &PrivateKeySigner, to: TxKind, value: U256, input: Vec<u8>) -> Vec<u8> {
        let nonce = self.account(from.address()).map_or(0, |account| account.nonce);
        Self::sign_at(from, to, value, input, nonce)
    }

    pub(super) fn sign_at(from: &PrivateKeySigner, to: TxKind, value: U256, input: Vec<u8>, nonce: u64) -> Vec<u8> {
        let transaction = TxEip1559 {
            chain_id: NETWORK.0,
            nonce,
            gas_limit: 2_000_000,
            max_fee_per_gas: 10,
            max_priority_fee_per_gas: 10,
            to,
            value,
            input: Bytes::from(input),
            ..TxEip1559::default()
        };
        let signature = from.sign_hash_sync(&transaction.signature_hash()).unwrap();
        TxEnvelope::Eip1559(transaction.into_signed(signature)).encoded_2718()
    }

    /// A payload of these signed transactions in the current slot.
    pub(super) fn payload(&self, transactions: &[Vec<u8>]) -> Verified<RecoveredPayload> {
        let environment = Environment::Slot(self.params.slot_at(self.now));
        let kinds =
            transactions.iter().map(|bytes| evm::TransactionKind::Signed(evm::SignedTransaction(bytes.clone().into())));
        let payload = Payload::bundle(environment, kinds.collect());
        Verified::by(&PayloadVerifier::new(self.params.clone()), payload).unwrap()
    }

    /// The same with a transfer of nothing by `also` to itself beside it: so the shard of `also` is a home too, and votes with the
    /// others instead of committing with its vote, as the last.
    pub(super) fn beside_home_of(&self, also: &PrivateKeySigner, transaction: Vec<u8>) -> Verified<RecoveredPayload> {
        let beside = self.sign(also, TxKind::Call(also.address()), U256::ZERO, Vec::new());
        let bundle = self.payload(&[transaction, beside]).payload().clone();
        let batch = Payload { grouping: Grouping::Batch, ..bundle };
        Verified::by(&PayloadVerifier::new(self.params.clone()), batch).unwrap()
    }

    /// A transfer as a payload, with the shard of `also` as a second home.
    pub(super) fn transfer_beside(
        &self,
        also: &PrivateKeySigner,
        from: &PrivateKeySigner,
        to: Address,
        value: U256,
    ) -> Verified<RecoveredPayload> {
        self.beside_home_of(also, self.sign(from, TxKind::Call(to), value, Vec::new()))
    }

    /// A transfer as a payload.
    pub(super) fn transfer(&self, from: &PrivateKeySigner, to: Address, value: U256) -> Verified<RecoveredPayload> {
        self.payload(&[self.sign(from, TxKind::Call(to), value, Vec::new())])
    }

    /// What a coordinator would prepare: the payload executed over the whole network as it is now.
    pub(super) fn attempt(&self, payload: &Verified<RecoveredPayload>, number: u32) -> Prepare {
        let executed = evm::execute(&self.params, &self.placement, payload, &Everything(self)).unwrap();
        let replay = Replay { payload: (**payload).clone(), witness: executed.witness };
        let executed = Verified::by(&self.replayer, replay).unwrap();
        self.prepare_of(payload.clone(), executed, number)
    }

    pub(super) fn prepare_of(
        &self,
        payload: Verified<RecoveredPayload>,
        executed: Verified<Executed>,
        number: u32,
    ) -> Prepare {
        let descriptor = Descriptor {
            network: NETWORK,
            participants: executed.participants.iter().map(|shard| (*shard, Epoch(1))).collect(),
            homes: executed.homes.clone(),
            payload: executed.digest(),
            number,
            deadline: self.now.after(Millis(10_000)),
        };
        Prepare { descriptor, payload, executed, homes: Vec::new() }
    }

    /// Asks one shard to vote.
    pub(super) fn prepare(&mut self, shard: ShardId, prepare: &Prepare) -> Answer {
        self.ask(shard, |ticket| Input::Prepare { ticket, prepare: Box::new(prepare.clone()) })
    }

    /// The vote in an answer, verified.
    pub(super) fn vote(&self, answer: &Answer) -> Verified<VoteProof> {
        let Answer::Voted { receipt, .. } = answer else { panic!("no vote: {answer:?}") };
        Verified::by(&VoteVerifier::new(&self.verifier), receipt.to_bytes()).unwrap()
    }

    /// Asks all participants, homes first, and gives their votes.
    pub(super) fn prepare_all(&mut self, prepare: &mut Prepare) -> Vec<Verified<VoteProof>> {
        let homes = prepare.descriptor.homes.clone();
        let others: BTreeSet<ShardId> = prepare.descriptor.participants.keys().copied().collect();
        let mut votes = Vec::new();
        for shard in homes.iter().chain(others.difference(&homes)) {
            let answer = self.prepare(*shard, prepare);
            votes.push(self.vote(&answer));
            prepare.homes = votes.iter().take(homes.len()).cloned().collect();
        }
        votes
    }

    /// Tells a shard the decision that `votes` make.
    pub(super) fn decide(&mut self, shard: ShardId, descriptor: &Descriptor, votes: &[Verified<VoteProof>]) -> Answer {
        let proof = DecisionProof::new(descriptor.clone(), votes.to_vec()).unwrap();
        self.ask(shard, |ticket| Input::Decision { ticket, proof: Box::new(proof.clone()) })
    }

    /// The whole way of an attempt: prepare, vote, decide, on every participant.
    pub(super) fn commit(&mut self, payload: &Verified<RecoveredPayload>) -> Prepare {
        let mut prepare = self.attempt(payload, 1);
        let votes = self.prepare_all(&mut prepare);
        for shard in prepare.descriptor.participants.keys() {
            let answer = self.decide(*shard, &prepare.descriptor, &votes);
            assert!(matches!(answer, Answer::Decided { .. }), "{answer:?}");
        }
        prepare
    }

    /// Executes a payload on the one shard it touches.
    pub(super) fn local(&mut self, shard: ShardId, payload: &Verified<RecoveredPayload>) -> Vec<OutcomeRecord> {
        match self.ask(shard, |ticket| Input::Local { ticket, payload: Box::new(payload.clone()) }) {
            Answer::Executed { outcomes } => outcomes,
            other => panic!("not executed: {other:?}"),
        }
    }

    /// Every leaf of a kind in a shard's outboxes, as far as it keeps them, as verified facts.
    pub(super) fn facts(&self, shard: ShardId, kind: LeafKind) -> Vec<Verified<Fact>> {
        let from = LeafPlace { height: Kept::read(self.store(shard)).first, index: 0 };
        let page = queries::outbox_page(&self.nodes[&shard].store, from, 1000, &[kind].into()).unwrap();
        page.leaves.into_iter().map(|(_, receipt)| self.fact(receipt)).collect()
    }

    pub(super) fn fact(&self, receipt: Receipt) -> Verified<Fact> {
        Verified::by(&self.verifier, receipt).unwrap()
    }

    pub(super) fn deliver(&mut self, shard: ShardId, fact: &Verified<Fact>) -> Answer {
        self.ask(shard, |ticket| Input::Deliver { ticket, fact: Box::new(fact.clone()) })
    }

    pub(super) fn acknowledge(&mut self, shard: ShardId, fact: &Verified<Fact>) -> Answer {
        self.ask(shard, |ticket| Input::Acknowledge { ticket, fact: Box::new(fact.clone()) })
    }

    /// Delivers a delivery's receipt as a relay would.
    pub(super) fn delivery_fact(&self, answer: &Answer) -> Verified<Fact> {
        let Answer::Delivered { receipt, .. } = answer else { panic!("not delivered: {answer:?}") };
        self.fact((**receipt).clone())
    }

    /// Advances a shard's state tree to its tip.
    pub(super) fn advance(&mut self, shard: ShardId) {
        while let Some(advance) = advance(&self.nodes[&shard].store, 16, SLOTS_KEPT).unwrap() {
            self.step(shard, vec![Input::StateRoots(advance)]);
        }
    }

    /// What the questions in `sends` lead to: peers answer, the asker takes the votes.
    pub(super) fn answer_questions(&mut self, asker: ShardId) {
        for send in std::mem::take(&mut self.sends) {
            let Send::AskVotes { to, descriptor, waits } = send else { continue };
            let waits = Verified::by(&VoteVerifier::new(&self.verifier), waits.to_bytes()).unwrap();
            let answer = self.ask(to, |ticket| Input::AbortRequest {
                ticket,
                descriptor: Box::new(descriptor.clone()),
                waits: Some(Box::new(waits.clone())),
            });
            let vote = self.vote(&answer);
            self.step(asker, vec![Input::Votes(vec![vote])]);
        }
    }

    /// The newest thing that a shard applied.
    pub(super) fn last_applied(&self, shard: ShardId) -> Applied {
        queries::applied(self.store(shard), 0, usize::MAX).unwrap().pop().unwrap()
    }

    pub(super) fn store(&self, shard: ShardId) -> &Memory {
        &self.nodes[&shard].store
    }

    pub(super) fn account(&self, address: Address) -> Option<AccountState> {
        ledger::account(self.store(self.placement.shard_of(address)), address)
    }

    /// An account's wei without fees credited to it.
    pub(super) fn balance(&self, address: Address) -> U256 {
        self.account(address).map_or(U256::ZERO, |account| account.balance)
    }

    pub(super) fn slot(&self, address: Address, slot: u64) -> U256 {
        ledger::slot(self.store(self.placement.shard_of(address)), address, U256::from(slot))
    }

    /// Everything all shards hold, as one state.
    pub(super) fn union(&self) -> State {
        let states: Vec<State> = self.nodes.values().map(|node| state_of(&node.store, &node.machine)).collect();
        State::union(&states).unwrap()
    }

    /// All wei there is, fees included.
    pub(super) fn supply(&self) -> U256 {
        let union = self.union();
        let accounts = union.accounts.values().map(|account| account.balance);
        accounts.chain(union.fees.values().copied()).fold(U256::ZERO, |sum, wei| sum + wei)
    }

    /// What one plain EVM makes of everything committed, in an order that all logs agree with (I9).
    pub(super) fn oracle(&self, genesis: &State) -> State {
        let log = |node: &Node| queries::applied(&node.store, 0, usize::MAX).unwrap();
        let logs = self.nodes.iter().map(|(shard, node)| (*shard, log(node))).collect();
        let one_shard = Placement::new(1, 1, BTreeMap::new()).unwrap();
        let mut plain = genesis.clone();
        for committed in crate::order(self.params.environments, &logs).unwrap() {
            let payload = self.recover(committed.payload);
            let run = evm::execute(&self.params, &one_shard, &payload, &plain).unwrap();
            plain.apply(&run.effects.changes).unwrap();
        }
        plain.settled()
    }

    /// A payload of users, or one of a shard's own making.
    fn recover(&self, payload: Payload) -> RecoveredPayload {
        match &payload.transactions[..] {
            [evm::TransactionKind::System(system)] => RecoveredPayload::system(payload.environment, system.clone()),
            _ => Verified::by(&PayloadVerifier::new(self.params.clone()), payload).unwrap().into_inner(),
        }
    }

    /// No shard holds a lock or waits for a decision.
    pub(super) fn assert_quiet(&self) {
        for (shard, node) in &self.nodes {
            assert_eq!((node.machine.live_count(), node.machine.locks_count()), (0, 0), "shard {shard}");
        }
        assert_eq!(self.nodes.len(), self.shards_count as usize);
    }
}

/// Whether the same input may do something later that it did not do now.
fn is_refusal(answer: &Answer) -> bool {
    !matches!(
        answer,
        Answer::Executed { .. }
            | Answer::Voted { .. }
            | Answer::Decided { .. }
            | Answer::Delivered { .. }
            | Answer::Acknowledged { .. }
    )
}

/// What one shard's store holds.
fn state_of(store: &Memory, machine: &Shard) -> State {
    let mut state = State::default();
    for (key, value) in store.scan(crate::spaces::ACCOUNTS, &[], &[], usize::MAX) {
        state.accounts.insert(Address::from_slice(&key), primitives::decode(&value, 1024).unwrap());
    }
    for (key, value) in store.scan(crate::spaces::SLOTS, &[], &[], usize::MAX) {
        let slot = (Address::from_slice(&key[..20]), U256::from_be_slice(&key[20..]));
        state.slots.insert(slot, U256::from_be_slice(&value));
    }
    for (key, value) in store.scan(crate::spaces::FEES, &[], &[], usize::MAX) {
        let key = FeesKey { shard: machine.id(), beneficiary: Address::from_slice(&key) };
        state.fees.insert(key, U256::from_be_slice(&value));
    }
    for (key, value) in store.scan(crate::spaces::CODES, &[], &[], usize::MAX) {
        state.add_code(B256::from_slice(&key), &value.into()).unwrap();
    }
    state
}

/// A view of all shards' stores.
pub(super) struct Everything<'a>(pub(super) &'a World);

impl View for Everything<'_> {
    fn account(&self, address: Address) -> Lookup<Option<AccountState>> {
        Lookup::Known(self.0.account(address))
    }

    fn slot(&self, address: Address, slot: U256) -> Lookup<U256> {
        Lookup::Known(ledger::slot(self.0.store(self.0.placement.shard_of(address)), address, slot))
    }

    fn fees(&self, key: FeesKey) -> Lookup<U256> {
        Lookup::Known(ledger::fees(self.0.store(key.shard), key.beneficiary))
    }

    fn code(&self, hash: B256) -> Lookup<Bytecode> {
        let code = self.0.nodes.values().find_map(|node| ledger::code(&node.store, hash));
        code.map_or(Lookup::Unknown, |code| Lookup::Known(Bytecode::new_raw(code.into())))
    }
}
