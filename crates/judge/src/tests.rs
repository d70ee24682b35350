//! The oracle over real shard machines in memory: it agrees with them, and with none of their broken twins.

use super::*;
use alloy_consensus::{SignableTransaction, TxEnvelope, TxLegacy};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::Address;
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::{SolCall, SolValue, sol};
use commit::{DecisionProof, Descriptor, VoteProof};
use evm::{
    AccountState, Bytecode, CodeCache, Environment, Environments, FeesKey, HISTORY_ADDRESS, Lookup, Payload, Replay,
    Replayer, SignedTransaction, Spec, StateKey, View, mailbox_address,
};
use fixtures::contracts::{Artifact, Mailbox, Ping};
use fixtures::genesis::development;
use fixtures::wallet::{Call, Wallet};
use primitives::{Epoch, Machine, Memory, Millis, NetworkId, Time, Write, encode};
use proof::{
    Attestation, DeliveryStatus, ForeignBlock, ForeignReceipt, ForeignVerifier, LeafKind, Message, MessageId,
    ReceiptVerifier, Route, RouteTerms, SecretKey, Signer, ValidatorSet, domain_of,
};
use shard::spaces::{ACCOUNTS, APPLIED, OUTCOMES};
use shard::{
    Answer, Applied, GenesisAccounts, Input, LeafPlace, OutcomeRecord, Prepare, SentRecord, Shard, ShardConfig, Ticket,
    VoteVerifier, queries,
};
use std::sync::Arc;

sol! {
    interface Counter {
        function increment(uint256 amount) external returns (uint256);
        function fail(uint256 amount) external;
    }
}

const NETWORK: u64 = 31_337;
const S0: ShardId = ShardId(0);
const S1: ShardId = ShardId(1);
const START: Time = Time(1_700_000_000_000);

/// Two shards in memory and whoever drives them.
struct World {
    nodes: BTreeMap<ShardId, (Memory, Shard)>,
    params: NetworkParams,
    placement: Placement,
    genesis: Genesis,
    verifier: ReceiptVerifier,
    now: Time,
}

fn secret(shard: ShardId) -> SecretKey {
    SecretKey::from_bytes(&[shard.0 as u8 + 1; 32]).unwrap()
}

fn wallet(number: u32) -> Wallet {
    Wallet::development(NETWORK, number).unwrap()
}

fn params() -> NetworkParams {
    NetworkParams {
        network: NetworkId(NETWORK),
        genesis: Time(0),
        slot_length: Millis(500),
        base_fee: 1_000_000_000,
        gas_limit: 30_000_000,
        beneficiary: Address::repeat_byte(0xfe),
        spec: Spec::default(),
        environments: Environments::Slots,
        takes_unprotected: false,
    }
}

impl World {
    /// Wallets 0 and 1 live on shards 0 and 1, and so do the contracts that each creates first.
    fn new() -> Self {
        Self::with(params(), &[])
    }

    /// The same by these parameters, with these accounts besides.
    fn with(params: NetworkParams, more: &[(Address, host::network::GenesisAccount)]) -> Self {
        let home = |number: u32| {
            let mut wallet = wallet(number);
            let shard = ShardId(number);
            let contracts = (0..4).map(move |nonce| {
                wallet.set_nonce(nonce);
                (wallet.next_contract(), shard)
            });
            contracts.chain([(self::wallet(number).address(), shard)])
        };
        let pinned: BTreeMap<Address, ShardId> = home(0).chain(home(1)).collect();
        let placement = Placement::new(1, 2, pinned).unwrap();
        let set = |shard| ValidatorSet::new(Epoch(1), vec![secret(shard).public()]).unwrap();
        let validators: BTreeMap<ShardId, ValidatorSet> = placement.shards().map(|shard| (shard, set(shard))).collect();
        let mut genesis = development(NETWORK, 2).unwrap();
        genesis.accounts.extend(more.iter().cloned());
        let accounts: GenesisAccounts = genesis
            .accounts
            .iter()
            .map(|(address, given)| {
                let (balance, nonce, code) = (given.balance, given.nonce, Data(given.code.clone()));
                (*address, shard::GenesisAccount { nonce, balance, code, ..Default::default() })
            })
            .collect();
        let node = |me: ShardId| {
            let config = || {
                let signer = Signer::new(secret(me), &validators[&me]).unwrap();
                ShardConfig::new(params.clone(), me, placement.clone(), validators.clone(), signer)
            };
            let mut store = Memory::new();
            store.commit(&Shard::genesis(&config(), &accounts).unwrap());
            let machine = Shard::open(config(), &store).unwrap();
            (me, (store, machine))
        };
        let nodes = placement.shards().map(node).collect();
        let verifier = ReceiptVerifier::with(NetworkId(NETWORK), validators.clone());
        Self { nodes, params, placement, genesis, verifier, now: START }
    }

    fn ask(&mut self, shard: ShardId, input: Input) -> Answer {
        self.now = self.now.after(Millis(10));
        let (store, machine) = self.nodes.get_mut(&shard).unwrap();
        let output = machine.step(self.now, vec![input], store);
        store.commit(&output.writes);
        output.replies.into_iter().next().unwrap().answer
    }

    fn payload(&self, transactions: Vec<alloy_primitives::Bytes>) -> Verified<RecoveredPayload> {
        let environment = Environment::Slot(self.params.slot_at(self.now));
        let kinds = transactions.into_iter().map(|bytes| TransactionKind::Signed(SignedTransaction(bytes.into())));
        let payload = Payload::bundle(environment, kinds.collect());
        Verified::by(&PayloadVerifier::new(self.params.clone()), payload).unwrap()
    }

    /// Executes and commits as a coordinator would: on one shard alone, or by prepare, vote and decide.
    fn commit(&mut self, transactions: Vec<alloy_primitives::Bytes>) -> BTreeSet<ShardId> {
        let payload = self.payload(transactions);
        let executed = evm::execute(&self.params, &self.placement, &payload, &Everything(self)).unwrap();
        let participants = executed.participants.clone();
        let ticket = Ticket(1);
        if let (1, Some(shard)) = (participants.len(), participants.first()) {
            let answer = self.ask(*shard, Input::Local { ticket, payload: Box::new(payload) });
            assert!(matches!(answer, Answer::Executed { .. }), "{answer:?}");
            return participants;
        }
        let replayer = Replayer::new(self.params.clone(), self.placement.clone(), Arc::new(CodeCache::default()));
        let replay = Replay { payload: (*payload).clone(), witness: executed.witness };
        let executed = Verified::by(&replayer, replay).unwrap();
        let descriptor = Descriptor {
            network: NetworkId(NETWORK),
            participants: participants.iter().map(|shard| (*shard, Epoch(1))).collect(),
            homes: executed.homes.clone(),
            payload: executed.digest(),
            number: 1,
            deadline: self.now.after(evm::FEES_READ_DEADLINE_AHEAD_MAX),
        };
        let mut prepare = Prepare { descriptor, payload, executed, homes: Vec::new() };
        let homes = prepare.descriptor.homes.clone();
        let mut votes: Vec<Verified<VoteProof>> = Vec::new();
        for shard in homes.iter().chain(participants.difference(&homes)) {
            let answer = self.ask(*shard, Input::Prepare { ticket, prepare: Box::new(prepare.clone()) });
            let Answer::Voted { receipt, .. } = answer else { panic!("no vote: {answer:?}") };
            votes.push(Verified::by(&VoteVerifier::new(&self.verifier), receipt.to_bytes()).unwrap());
            prepare.homes = votes.iter().take(homes.len()).cloned().collect();
        }
        for shard in &participants {
            let proof = DecisionProof::new(prepare.descriptor.clone(), votes.clone()).unwrap();
            let answer = self.ask(*shard, Input::Decision { ticket, proof: Box::new(proof) });
            assert!(matches!(answer, Answer::Decided { .. }), "{answer:?}");
        }
        // Some read the beneficiary's balance, which has to rest in between.
        self.now = self.now.after(Millis(1_000));
        participants
    }

    /// Carries every message to the other shard and its delivery back.
    fn relay(&mut self, source: ShardId, destination: ShardId) -> usize {
        let from = LeafPlace { height: primitives::Height(0), index: 0 };
        let page = queries::outbox_page(&self.nodes[&source].0, from, 1000, &[LeafKind::Message].into()).unwrap();
        let ticket = Ticket(1);
        for (_, receipt) in &page.leaves {
            let fact = Box::new(Verified::by(&self.verifier, receipt.clone()).unwrap());
            let answer = self.ask(destination, Input::Deliver { ticket, fact });
            let Answer::Delivered { receipt, .. } = answer else { panic!("not delivered: {answer:?}") };
            let fact = Box::new(Verified::by(&self.verifier, *receipt).unwrap());
            let answer = self.ask(source, Input::Acknowledge { ticket, fact });
            assert!(matches!(answer, Answer::Acknowledged { .. }), "{answer:?}");
        }
        page.leaves.len()
    }

    fn contents(&self) -> BTreeMap<ShardId, Contents> {
        self.nodes.iter().map(|(shard, (store, _))| (*shard, Contents::read(store).unwrap())).collect()
    }

    fn judge(&self) -> Result<Report, OracleError> {
        self.judge_with(&[].into())
    }

    /// The same where routes lead to these domains.
    fn judge_with(&self, foreign: &BTreeSet<u32>) -> Result<Report, OracleError> {
        judge(&self.params, &self.placement, foreign, genesis(&self.genesis).unwrap(), &self.contents())
    }

    /// Has shard 1 consume a message of a foreign chain to the contract that it knows.
    fn consume_foreign(&mut self) -> proof::MessageId {
        let keys = [31, 32].map(|seed| SecretKey::from_bytes(&[seed; 32]).unwrap());
        let terms = RouteTerms {
            domain: FOREIGN,
            chain_id: 1,
            mailbox: Address::repeat_byte(0x11),
            gas_limit: 300_000,
            window: Millis(60_000),
            attestors: keys.iter().map(SecretKey::public).collect(),
            threshold: 2,
        };
        let route = Route::new(terms).unwrap();
        let recipient = self.recipient().into_word();
        let message = Message {
            nonce: 0,
            origin: FOREIGN,
            sender: B256::repeat_byte(0xaa),
            destination: domain_of(NetworkId(NETWORK), S1),
            recipient,
            body: b"from afar".to_vec(),
            gas_limit: 0,
            deadline: Time(0),
            value: U256::ZERO,
        };
        let head = (9, B256::repeat_byte(9), self.now);
        let packed = message.packed();
        let digest = route.digest(NetworkId(NETWORK), None);
        let (block, tree) = ForeignBlock::new(digest, FOREIGN, head, std::slice::from_ref(&packed));
        let sign = |key: &SecretKey| {
            let word = Attestation::sign(block.clone(), key);
            (route.place_of(&word.attestor).unwrap() as u16, word.signature)
        };
        let mut signatures: Vec<_> = keys.iter().map(sign).collect();
        signatures.sort_by_key(|(place, _)| *place);
        let receipt = ForeignReceipt { leaf: packed, index: 0, path: tree.prove(0).unwrap(), block, signatures };
        let verifier = ForeignVerifier::new(NetworkId(NETWORK), None, &[route]);
        let admission = Box::new(Verified::by(&verifier, receipt).unwrap());
        let answer = self.ask(S1, Input::Admit { ticket: Ticket(1), admission });
        assert!(matches!(answer, Answer::Delivered { .. }), "{answer:?}");
        proof::MessageId(message.v3_id())
    }

    /// Who took a message on shard 1 before.
    fn recipient(&self) -> Address {
        let consumed = self.contents()[&S1].consumed.clone();
        Address::from_word(
            consumed
                .values()
                .find(|record| record.delivery.status == DeliveryStatus::Delivered)
                .unwrap()
                .message
                .recipient,
        )
    }

    /// Overwrites what a shard has written down.
    fn tamper(&mut self, shard: ShardId, write: Write) {
        self.nodes.get_mut(&shard).unwrap().0.commit(&[write]);
    }

    fn rewrite(&mut self, shard: ShardId, place: u64, change: impl FnOnce(&mut Applied)) {
        let mut record = self.nodes[&shard].0.applied(place);
        change(&mut record);
        self.tamper(shard, Write::put(APPLIED, place.to_be_bytes(), encode(&record)));
    }
}

trait Log {
    fn applied(&self, place: u64) -> Applied;
}

impl Log for Memory {
    fn applied(&self, place: u64) -> Applied {
        queries::applied(self, place, 1).unwrap().remove(0)
    }
}

/// All shards' states as a coordinator that has fetched everything sees them.
struct Everything<'a>(&'a World);

impl Everything<'_> {
    fn store(&self, key: StateKey) -> &Memory {
        &self.0.nodes[&self.0.placement.owner(key)].0
    }
}

impl View for Everything<'_> {
    fn account(&self, address: Address) -> Lookup<Option<AccountState>> {
        Lookup::Known(queries::account(self.store(StateKey::Account(address)), address))
    }

    fn slot(&self, address: Address, slot: U256) -> Lookup<U256> {
        Lookup::Known(queries::slot(self.store(StateKey::Slot(address, slot)), address, slot))
    }

    fn fees(&self, key: FeesKey) -> Lookup<U256> {
        Lookup::Known(queries::fees(&self.0.nodes[&key.shard].0, key.beneficiary))
    }

    fn code(&self, hash: B256) -> Lookup<Bytecode> {
        let code = self.0.nodes.values().find_map(|(store, _)| queries::code(store, hash));
        code.map_or(Lookup::Unknown, |code| Lookup::Known(Bytecode::new_raw(code.into())))
    }
}

fn pay(from: &mut Wallet, to: Address, wei: u64) -> alloy_primitives::Bytes {
    from.sign(&Call::to(to, Vec::new()).with_value(U256::from(wei))).unwrap()
}

/// Transfers within a shard and across, a contract called from the other shard, a revert, a bundle, and a message with
/// value that is delivered and one that is refused.
fn busy_world() -> World {
    let mut world = World::new();
    let (mut alice, mut bob) = (wallet(0), wallet(1));
    let counter = alice.next_contract();
    let create = alice.sign(&Call::create(Artifact::COUNTER.init_code(&[]).unwrap())).unwrap();
    assert_eq!(world.commit(vec![create]), [S0].into());
    let increment = Call::to(counter, Counter::incrementCall { amount: U256::from(3) }.abi_encode());
    let across = bob.sign(&increment).unwrap();
    assert_eq!(world.commit(vec![across]), [S0, S1].into());
    let fail = Call::to(counter, Counter::failCall { amount: U256::from(1) }.abi_encode());
    let failing = bob.sign(&fail).unwrap();
    assert_eq!(world.commit(vec![failing]), [S0, S1].into());
    let to_bob = pay(&mut alice, bob.address(), 500);
    let to_alice = pay(&mut bob, alice.address(), 700);
    assert_eq!(world.commit(vec![to_bob, to_alice]), [S0, S1].into());
    // The beneficiary's fragments are read, and its account is drained into.
    let to_beneficiary = pay(&mut alice, params().beneficiary, 11);
    world.commit(vec![to_beneficiary]);
    let again = alice.sign(&increment).unwrap();
    assert_eq!(world.commit(vec![again]), [S0].into());

    let sender = alice.next_contract();
    let mailbox = mailbox_address(S0).abi_encode();
    let create = alice.sign(&Call::create(Artifact::PING.init_code(&mailbox).unwrap())).unwrap();
    world.commit(vec![create]);
    let taker = bob.next_contract();
    let create = bob.sign(&Call::create(Artifact::PONG.init_code(&mailbox_address(S1).abi_encode()).unwrap())).unwrap();
    world.commit(vec![create]);
    for recipient in [taker, counter_of_nobody()] {
        let send = Ping::sendCall {
            destination: proof::domain_of(NetworkId(NETWORK), S1),
            recipient: recipient.into_word(),
            body: vec![1, 2, 3].into(),
            gasLimit: 500_000,
            deadlineMs: START.0 + 3_600_000,
        };
        let call = Call::to(sender, send.abi_encode()).with_value(U256::from(1_000));
        let sending = alice.sign(&call).unwrap();
        world.commit(vec![sending]);
    }
    world
}

/// An account of shard 1 that reverts whatever it is told: the mailbox, for what is no call of its own.
fn counter_of_nobody() -> Address {
    mailbox_address(S1)
}

#[test]
fn shards_that_did_as_one_evm_agree_with_it() {
    let mut world = busy_world();
    let before = world.judge().unwrap();
    assert_eq!((before.attempts, before.messages, before.messages_under_way, before.deliveries), (4, 2, 2, 0));
    assert_eq!(world.relay(S0, S1), 2);
    let report = world.judge().unwrap();
    assert_eq!((report.messages, report.messages_under_way, report.deliveries), (2, 0, 1));
    assert!(report.transactions >= 12 && report.fees_burnt > U256::ZERO, "{report:?}");
    assert!(report.to_string().contains("every outcome equal"));
    let blocks = report.blocks;
    assert!(blocks.count > 0 && blocks.first <= blocks.last, "{blocks:?}");
    let slot = params().slot_at(world.now);
    assert_eq!(blocks.last, Moment { number: slot.0, timestamp: params().start_of(slot).seconds() });
    assert!(report.to_string().contains("never backwards"), "{report}");
}

#[test]
fn block_hashes_that_no_shard_stores_are_those_that_one_evm_has_written() {
    let history = fixtures::usual::ALL.iter().find(|contract| contract.address == HISTORY_ADDRESS).unwrap();
    let code = history.code().unwrap();
    let account = host::network::GenesisAccount { nonce: 1, code, ..Default::default() };
    let mut world = World::with(params(), &[(HISTORY_ADDRESS, account)]);
    let (mut alice, mut bob) = (wallet(0), wallet(1));
    // Keeps what the contract and BLOCKHASH say of the block before, in slots 0 and 1; before it the code that deploys it.
    let asks = "600b380380600b5f395ff343600190035f5260205f60205f730000f90827f1c53a10cb7a02335b1753200029355afa505f515f55436001900340600155";
    let asker = alice.next_contract();
    let create = alice.sign(&Call::create(alloy_primitives::hex::decode(asks).unwrap())).unwrap();
    world.commit(vec![create]);
    let ask = bob.sign(&Call::to(asker, Vec::new())).unwrap();
    let number = params().slot_at(world.now).0;
    world.commit(vec![ask]);
    let kept = |slot: u64| queries::slot(&world.nodes[&S0].0, asker, U256::from(slot));
    let expected = U256::from_be_bytes(params().block_hash(number - 1).0);
    assert_eq!([kept(0), kept(1)], [expected; 2]);
    let report = world.judge().unwrap();
    assert!(report.to_string().contains("every outcome equal"), "{report}");
}

#[test]
fn a_transaction_of_no_chain_is_one_on_one_evm_too() {
    let unprotected = NetworkParams { takes_unprotected: true, ..params() };
    let mut world = World::with(unprotected, &[]);
    let transaction = TxLegacy {
        gas_price: 2_000_000_000,
        gas_limit: 21_000,
        to: wallet(1).address().into(),
        value: U256::from(5),
        ..TxLegacy::default()
    };
    let signer: PrivateKeySigner = wallet(0).secret_key().parse().unwrap();
    let signature = signer.sign_hash_sync(&transaction.signature_hash()).unwrap();
    let bytes = TxEnvelope::from(transaction.into_signed(signature)).encoded_2718();
    assert_eq!(world.commit(vec![bytes.into()]), [S0, S1].into());
    assert_eq!(world.judge().unwrap().transactions, 1);
}

/// Turns a record of a shard's own into one that ran some slots later, and gives its new name.
fn run_later(world: &mut World, shard: ShardId, place: u64, slots: u64) -> Cause {
    world.rewrite(shard, place, |record| {
        let payload = record.payload.as_mut().unwrap();
        let Environment::Slot(slot) = payload.environment else { panic!("no slot") };
        payload.environment = Environment::Slot(primitives::Slot(slot.0 + slots));
        record.cause = Cause::Local(payload.digest());
    });
    world.nodes[&shard].0.applied(place).cause
}

#[test]
fn a_log_with_a_later_slot_before_an_earlier_one_is_refused_by_name() {
    let mut world = World::new();
    let mut alice = wallet(0);
    for _ in 0..2 {
        let to_herself = pay(&mut alice, wallet(0).address(), 5);
        world.commit(vec![to_herself]);
    }
    assert_eq!(world.judge().unwrap().blocks.count, 1);
    let earlier = run_later(&mut world, S0, 0, 2);
    let later = world.nodes[&S0].0.applied(1).cause;
    let error = world.judge().unwrap_err();
    let OracleError::Backwards(backwards) = &error else { panic!("{error}") };
    assert_eq!((backwards.earlier, backwards.later), (earlier, later));
    assert_eq!(backwards.ran.number, backwards.behind.number + 2);
    assert!(error.to_string().contains("time runs backwards"), "{error}");
}

#[test]
fn a_shard_that_applied_a_later_slot_first_is_put_behind_the_others() {
    let mut world = World::new();
    let (mut alice, mut bob) = (wallet(0), wallet(1));
    let of_alice = pay(&mut alice, wallet(0).address(), 5);
    let of_bob = pay(&mut bob, wallet(1).address(), 5);
    world.commit(vec![of_alice]);
    world.commit(vec![of_bob]);
    let (early, late) = (world.nodes[&S1].0.applied(0).cause, run_later(&mut world, S0, 0, 3));
    let order = order::merge(&params(), &world.contents()).unwrap();
    assert_eq!(order.iter().map(|unit| unit.cause).collect::<Vec<_>>(), [early, late]);
    let blocks = world.judge().unwrap().blocks;
    assert_eq!((blocks.count, blocks.last.number - blocks.first.number), (2, 3));
}

/// A record that holds one key exclusively, in some environment.
fn record(name: u8, key: u8, environment: Environment) -> Applied {
    Applied {
        cause: Cause::Attempt(primitives::AttemptId(primitives::Digest::new([name; 32]))),
        height: primitives::Height(1),
        time: Time(u64::from(name)),
        locks: [(StateKey::Account(Address::repeat_byte(key)), evm::LockMode::Exclusive)].into(),
        deployed: BTreeSet::new(),
        lent: BTreeSet::new(),
        payload: Some(Payload::bundle(environment, Vec::new())),
    }
}

fn order_of(params: &NetworkParams, logs: &[&[Applied]]) -> Result<Vec<Cause>, OracleError> {
    let contents = |log: &[Applied]| Contents { applied: log.to_vec(), ..Contents::default() };
    let contents = (0..).map(ShardId).zip(logs.iter().map(|log| contents(log))).collect();
    Ok(order::merge(params, &contents)?.into_iter().map(|unit| unit.cause).collect())
}

#[test]
fn time_that_runs_backwards_over_other_shards_is_found() {
    let at = |name, key, slot| record(name, key, Environment::Slot(primitives::Slot(slot)));
    // 1 before 2 on one shard, 2 before 3 on another; 1 and 3 share nothing, and 3 is of an earlier slot than both.
    let refused = order_of(&params(), &[&[at(1, 1, 7), at(2, 1, 7)], &[at(2, 2, 7), at(3, 2, 6)]]);
    let Err(OracleError::Backwards(backwards)) = &refused else { panic!("{refused:?}") };
    assert_eq!((backwards.ran.number, backwards.behind.number), (7, 6));
    let agreed = order_of(&params(), &[&[at(1, 1, 7), at(2, 1, 7)], &[at(2, 2, 7), at(3, 2, 7)], &[at(4, 9, 6)]]);
    assert_eq!(agreed.unwrap(), [4, 1, 2, 3].map(|name| at(name, 0, 0).cause));
}

#[test]
fn replayed_blocks_are_ordered_by_number_and_second_and_slots_among_them_are_not() {
    let replay = NetworkParams { environments: Environments::Replay, ..params() };
    let block = |number, timestamp| {
        Environment::Block(evm::BlockEnvironment { number, timestamp, ..params().block_of(primitives::Slot(0)) })
    };
    let backwards = |first: Environment, second: Environment| {
        matches!(order_of(&replay, &[&[record(1, 1, first), record(2, 1, second)]]), Err(OracleError::Backwards(_)))
    };
    assert!(backwards(block(8, 96), block(7, 84)));
    assert!(backwards(block(8, 96), block(8, 95)));
    assert!(!backwards(block(7, 84), block(8, 96)) && !backwards(block(8, 96), block(8, 96)));
    // A message of the network's own, whose slot is of another time.
    let slot = || Environment::Slot(primitives::Slot(3));
    assert!(!backwards(block(8, 96), slot()) && !backwards(slot(), block(8, 96)));
    // It hides nothing of the blocks around it.
    let around = [record(1, 1, block(8, 96)), record(2, 1, slot()), record(3, 1, block(7, 84))];
    assert!(matches!(order_of(&replay, &[&around]), Err(OracleError::Backwards(_))));
}

#[test]
fn whoever_goes_by_a_code_without_a_lock_comes_after_its_deployment() {
    let at = |name, key, slot| record(name, key, Environment::Slot(primitives::Slot(slot)));
    let code: BTreeSet<Address> = [Address::repeat_byte(7)].into();
    let user = |slot| Applied { lent: code.clone(), ..at(1, 1, slot) };
    let deployment = |slot| Applied { deployed: code.clone(), ..at(2, 7, slot) };
    let order = order_of(&params(), &[&[user(5)], &[deployment(5)]]);
    assert_eq!(order.unwrap(), [deployment(5).cause, user(5).cause]);
    assert!(matches!(order_of(&params(), &[&[user(4)], &[deployment(5)]]), Err(OracleError::Backwards(_))));
}

#[test]
fn the_order_keeps_every_shards_conflicts() {
    let world = busy_world();
    let contents = world.contents();
    let order: Vec<Cause> = order::merge(&params(), &contents).unwrap().into_iter().map(|unit| unit.cause).collect();
    let place = |record: &Applied| order.iter().position(|cause| *cause == record.cause).unwrap();
    let mut conflicts = 0;
    for contents in contents.values() {
        let pairs = contents.applied.iter().enumerate();
        for (earlier, later) in pairs.flat_map(|(at, one)| contents.applied[at + 1..].iter().map(move |two| (one, two)))
        {
            if conflict(earlier, later) {
                conflicts += 1;
                assert!(place(earlier) < place(later), "{:?} {:?}", earlier.cause, later.cause);
            }
        }
    }
    assert!(conflicts > 10, "only {conflicts} conflicts to order");
    let again: Vec<Cause> = order::merge(&params(), &contents).unwrap().into_iter().map(|unit| unit.cause).collect();
    assert_eq!(order, again);
}

fn conflict(one: &Applied, two: &Applied) -> bool {
    one.locks.iter().any(|(key, mode)| two.locks.get(key).is_some_and(|other| !mode.is_compatible(*other)))
}

#[test]
fn a_changed_balance_is_found_and_named() {
    let mut world = busy_world();
    let account = queries::account(&world.nodes[&S1].0, wallet(1).address()).unwrap();
    let richer = AccountState { balance: account.balance + U256::from(1), ..account };
    world.tamper(S1, Write::put(ACCOUNTS, wallet(1).address().as_slice(), encode(&richer)));
    let error = world.judge().unwrap_err();
    let OracleError::State { count: 1, first } = &error else { panic!("{error}") };
    assert_eq!(first[0].key, StateKey::Account(wallet(1).address()));
}

#[test]
fn a_lost_slot_is_found() {
    let mut world = busy_world();
    let counter = wallet(0).next_contract();
    let key = [counter.as_slice(), &[0; 32]].concat();
    world.tamper(S0, Write::delete(shard::spaces::SLOTS, key));
    assert!(matches!(world.judge(), Err(OracleError::State { count: 1, .. })));
}

#[test]
fn logs_that_contradict_each_other_are_a_cycle_that_names_its_attempts() {
    let mut world = busy_world();
    // The two attempts of bob's stand next to each other on his shard; on the other one they are turned round.
    let attempts = |world: &World, shard| -> Vec<(u64, Cause)> {
        let applied = Contents::read(&world.nodes[&shard].0).unwrap().applied;
        let all = (0..).zip(applied.into_iter().map(|record| record.cause));
        all.filter(|(_, cause)| matches!(cause, Cause::Attempt(_))).collect()
    };
    let (first, second) = match attempts(&world, S0)[..] {
        [first, second, ..] => (first, second),
        ref other => panic!("{other:?}"),
    };
    let (one, other) = (world.nodes[&S0].0.applied(first.0), world.nodes[&S0].0.applied(second.0));
    world.rewrite(S0, first.0, |record| *record = other);
    world.rewrite(S0, second.0, |record| *record = one);
    let error = world.judge().unwrap_err();
    let OracleError::Cycle(causes) = &error else { panic!("{error}") };
    assert!(causes.contains(&first.1) && causes.contains(&second.1), "{causes:?}");
}

#[test]
fn two_local_payloads_in_the_wrong_order_do_not_run() {
    let mut world = World::new();
    let mut alice = wallet(0);
    for _ in 0..2 {
        let to_herself = pay(&mut alice, wallet(0).address(), 5);
        world.commit(vec![to_herself]);
    }
    let (one, other) = (world.nodes[&S0].0.applied(0), world.nodes[&S0].0.applied(1));
    world.rewrite(S0, 0, |record| *record = other);
    world.rewrite(S0, 1, |record| *record = one);
    assert!(matches!(world.judge(), Err(OracleError::Plain { .. })));
}

#[test]
fn an_attempt_that_is_missing_on_a_participant_is_found() {
    let mut world = busy_world();
    let last = Contents::read(&world.nodes[&S1].0).unwrap().applied;
    let (place, _) = (0..).zip(&last).find(|(_, record)| record.payload.is_none()).unwrap_or((0, &last[0]));
    world.rewrite(S1, place, |record| {
        record.cause = Cause::Attempt(primitives::AttemptId(primitives::Digest::new([7; 32])));
    });
    assert!(matches!(world.judge(), Err(OracleError::Partial { .. } | OracleError::NoPayload { .. })));
}

#[test]
fn an_outcome_with_other_gas_is_found() {
    let mut world = busy_world();
    let (hash, record) = Contents::read(&world.nodes[&S0].0).unwrap().outcomes.pop_first().unwrap();
    let mut changed: OutcomeRecord = record;
    changed.outcome.gas_used += 1;
    world.tamper(S0, Write::put(OUTCOMES, hash.as_slice(), encode(&changed)));
    let error = world.judge().unwrap_err();
    assert!(matches!(&error, OracleError::Outcome { transaction, .. } if *transaction == hash), "{error}");
    assert!(error.to_string().contains("gas used"), "{error}");
}

#[test]
fn an_outcome_that_no_log_has_is_found() {
    let mut world = busy_world();
    let (_, record) = Contents::read(&world.nodes[&S0].0).unwrap().outcomes.pop_first().unwrap();
    world.tamper(S0, Write::put(OUTCOMES, [9; 32], encode(&record)));
    assert!(matches!(world.judge(), Err(OracleError::Outcomes { .. })));
}

#[test]
fn a_message_that_ran_without_being_sent_is_found() {
    let mut world = busy_world();
    world.relay(S0, S1);
    let (id, _) = world.contents()[&S0].sent.first_key_value().map(|(id, sent)| (*id, sent.clone())).unwrap();
    world.tamper(S0, Write::delete(shard::spaces::SENT, id.0.as_slice()));
    assert!(matches!(world.judge(), Err(OracleError::Messages(MessageFault::Dispatched { logged: true, .. }))));
}

#[test]
fn a_record_on_the_wrong_shard_is_found() {
    let mut world = busy_world();
    let account = queries::account(&world.nodes[&S1].0, wallet(1).address()).unwrap();
    world.tamper(S0, Write::put(ACCOUNTS, wallet(1).address().as_slice(), encode(&account)));
    assert!(matches!(world.judge(), Err(OracleError::Misplaced { shard: S0, owner: S1, .. })));
}

/// A foreign chain's domain.
const FOREIGN: u32 = 31_337;

#[test]
fn a_message_of_a_foreign_chain_is_replayed_from_what_its_shard_recorded() {
    let mut world = busy_world();
    world.relay(S0, S1);
    let before = world.judge().unwrap();
    world.consume_foreign();
    let report = world.judge_with(&[FOREIGN].into()).unwrap();
    assert_eq!((report.foreign_messages, report.deliveries), (1, before.deliveries + 1));
}

#[test]
fn a_message_of_a_chain_that_no_route_leads_to_is_found() {
    let mut world = busy_world();
    world.relay(S0, S1);
    let message = world.consume_foreign();
    let error = world.judge().unwrap_err();
    let OracleError::Messages(MessageFault::Unsent { message: found, shard: S1 }) = error else { panic!("{error}") };
    assert_eq!(found, message);
}

#[test]
fn a_delivery_that_ran_another_call_than_its_message_asks_for_is_found() {
    let mut world = busy_world();
    world.relay(S0, S1);
    let message = world.consume_foreign();
    let mut record = world.contents()[&S1].consumed[&message].clone();
    record.message.gas_limit += 1;
    world.tamper(S1, Write::put(shard::spaces::CONSUMED, message.0.as_slice(), encode(&record)));
    let error = world.judge_with(&[FOREIGN].into()).unwrap_err();
    assert!(matches!(error, OracleError::Messages(MessageFault::Call { .. })), "{error}");
}

/// A user of shard 1 sent value through shard 0's mailbox to a contract of shard 1 that reverts; its refund has left shard 0.
fn refunding_world() -> (World, MessageId, SentRecord) {
    let mut world = World::new();
    let mut bob = wallet(1);
    let dispatch = Mailbox::dispatchCall {
        destination: domain_of(NetworkId(NETWORK), S1),
        recipient: counter_of_nobody().into_word(),
        body: vec![7].into(),
        gasLimit: 500_000,
        deadlineMs: START.0 + 3_600_000,
    };
    let call = Call::to(mailbox_address(S0), dispatch.abi_encode()).with_value(U256::from(1_000));
    let sending = bob.sign(&call).unwrap();
    assert_eq!(world.commit(vec![sending]), [S0, S1].into());
    assert_eq!(world.judge().unwrap().messages_under_way, 1);
    assert_eq!(world.relay(S0, S1), 1);
    let sent = world.contents()[&S0].sent.clone();
    let (id, back) = sent.into_iter().find(|(_, record)| record.end.is_none()).unwrap();
    (world, id, back)
}

#[test]
fn a_refund_to_another_shard_agrees_with_one_evm_on_its_way_and_at_home() {
    let (mut world, _, back) = refunding_world();
    assert_eq!(back.message.sender, mailbox_address(S0).into_word());
    assert_eq!(back.message.recipient, wallet(1).address().into_word());
    assert_eq!(world.judge().unwrap().messages_under_way, 1);
    assert_eq!(world.relay(S0, S1), 2);
    assert_eq!(world.judge().unwrap().messages_under_way, 0);
}

#[test]
fn a_refund_that_goes_to_another_or_for_nothing_is_found() {
    let (world, id, back) = refunding_world();
    let judged = |change: &dyn Fn(&mut Message)| {
        let (mut world, _, _) = refunding_world();
        let mut other = back.clone();
        change(&mut other.message);
        world.tamper(S0, Write::put(shard::spaces::SENT, id.0.as_slice(), encode(&other)));
        world.judge().unwrap_err()
    };
    assert!(world.judge().is_ok());
    let stolen = judged(&|message| message.recipient = wallet(0).address().into_word());
    assert!(matches!(stolen, OracleError::Messages(MessageFault::Returned { owed: true, .. })), "{stolen}");
    let astray = judged(&|message| message.destination = domain_of(NetworkId(NETWORK), S0));
    assert!(matches!(astray, OracleError::Messages(MessageFault::Returned { owed: true, .. })), "{astray}");
    let invented = judged(&|message| message.body[0] ^= 1);
    assert!(matches!(invented, OracleError::Messages(MessageFault::Returned { owed: false, .. })), "{invented}");
    let kept = judged(&|message| message.sender = wallet(0).address().into_word());
    assert!(matches!(kept, OracleError::Messages(MessageFault::Returned { owed: true, .. })), "{kept}");
}
