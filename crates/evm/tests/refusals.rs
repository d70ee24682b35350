//! Bad input, each with its own typed refusal: transactions, payloads, views that lack values, witnesses that lie.

mod fixture;

use alloy_consensus::TxLegacy;
use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_primitives::{TxKind, hex};
use dovetail_evm as evm;
use evm::{
    AccountState, Address, B256, Bytecode, CallRequest, Data, ExecuteError, Executed, FeesKey, Funding, Invalid,
    Lookup, Missing, Payload, PayloadError, PayloadVerifier, Replay, SignedTransaction, State, StateKey, Status,
    SystemTransaction, TRANSACTION_BYTES_MAX, TransactionError, TransactionKind, U256, View, Witness, WitnessError,
    execute, simulate,
};
use fixture::{EncodeSigned, World, signed, wei};
use primitives::{NetworkId, Verified, Verifier};

const CONTRACT: Address = Address::repeat_byte(0xc0);
const OTHER: Address = Address::repeat_byte(0xc1);

fn refused(world: &World, payload: Payload) -> PayloadError {
    PayloadVerifier::new(world.params.clone()).verify(payload).expect_err("refused")
}

fn bytes(world: &World, bytes: Vec<u8>) -> TransactionError {
    match refused(world, Payload::signed(World::environment(), bytes)) {
        PayloadError::Transaction { index: 0, error } => error,
        other => panic!("{other}"),
    }
}

fn invalid(world: &World, payload: Payload) -> Invalid {
    match world.execute(payload) {
        Err(ExecuteError::Invalid { index: 0, reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_transaction_for_another_chain_is_refused() {
    let world = World::new(2);
    let mut tx = world.tx(0, TxKind::Call(OTHER), U256::ZERO, "");
    tx.chain_id = 1;
    let error = bytes(&world, signed(&world.sign(0, tx)).0.to_vec());
    assert_eq!(error, TransactionError::ChainId { expected: NetworkId(1337), actual: 1 });
}

#[test]
fn a_transaction_that_is_bound_to_no_chain_is_refused() {
    let world = World::new(2);
    let tx = TxLegacy { to: TxKind::Call(OTHER), gas_limit: 21_000, gas_price: 9, ..TxLegacy::default() };
    assert_eq!(bytes(&world, signed(&world.sign(0, tx)).0.to_vec()), TransactionError::Unprotected);
}

#[test]
fn a_network_that_takes_transactions_of_no_chain_takes_them_and_still_none_of_another() {
    let mut world = World::new(2);
    world.params.takes_unprotected = true;
    let tx =
        TxLegacy { to: TxKind::Call(OTHER), gas_limit: 21_000, gas_price: 9, value: wei(1), ..TxLegacy::default() };
    let payload = world.sign(0, tx.clone());
    let recovered = world.recover(payload.clone());
    let transaction = recovered.signed().next().expect("one");
    assert_eq!((transaction.sender(), transaction.env().chain_id), (world.sender(0), None));
    let executed = world.commit(payload.clone());
    assert_eq!(executed.effects.outcomes[0].transaction, Some(signed(&payload).hash()));
    assert_eq!((executed.effects.outcomes[0].status, world.balance(OTHER)), (Status::Success, wei(1)));
    assert!(matches!(invalid(&world, payload), Invalid::NonceTooLow { .. }), "once");
    let foreign = world.sign(0, TxLegacy { chain_id: Some(1), ..tx });
    let error = bytes(&world, signed(&foreign).0.to_vec());
    assert_eq!(error, TransactionError::ChainId { expected: NetworkId(1337), actual: 1 });
}

#[test]
fn an_oversized_transaction_is_refused_before_it_is_decoded() {
    let world = World::new(2);
    let actual = TRANSACTION_BYTES_MAX + 1;
    assert_eq!(bytes(&world, vec![2; actual]), TransactionError::TooLong { actual });
}

#[test]
fn a_transaction_with_any_byte_cut_or_added_is_refused() {
    let world = World::new(2);
    let whole = signed(&world.transfer(0, OTHER, wei(1))).0.to_vec();
    let longer = [&whole[..], &[0]].concat();
    for wrong in [&whole[..whole.len() - 1], &longer, &[], &[0x7f]] {
        assert!(matches!(bytes(&world, wrong.to_vec()), TransactionError::Malformed { .. }));
    }
}

#[test]
fn a_signature_that_recovers_to_nobody_is_refused() {
    let world = World::new(2);
    let tx = world.tx(0, TxKind::Call(OTHER), U256::ZERO, "");
    // r = 0 is on no curve; s above half the order is the malleable twin (EIP-2).
    let half = U256::from_be_slice(&hex!("7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a1"));
    for (r, s) in [(U256::ZERO, U256::from(1)), (U256::from(1), half)] {
        let signature = alloy_primitives::Signature::new(r, s, false);
        let encoded = EncodeSigned::encoded(tx.clone(), signature);
        assert_eq!(bytes(&world, encoded), TransactionError::Signature);
    }
}

#[test]
fn a_system_transaction_from_outside_is_refused() {
    let world = World::new(2);
    let transactions = vec![TransactionKind::System(SystemTransaction::Increase { balances: vec![(OTHER, wei(1))] })];
    let payload = Payload::bundle(World::environment(), transactions);
    assert_eq!(refused(&world, payload), PayloadError::SystemRefused { index: 0 });
}

#[test]
fn an_empty_payload_and_an_overfull_bundle_are_refused() {
    let world = World::new(2);
    let one = world.transfer(0, OTHER, wei(1)).transactions.remove(0);
    for actual in [0, evm::BUNDLE_COUNT_MAX + 1] {
        let payload = Payload::bundle(World::environment(), vec![one.clone(); actual]);
        assert_eq!(refused(&world, payload), PayloadError::Count { actual, max: evm::BUNDLE_COUNT_MAX });
    }
}

#[test]
fn a_nonce_too_low_or_too_high_is_refused_with_both_numbers() {
    let mut world = World::new(2);
    world.set_nonce(world.sender(0), 5);
    let reason = invalid(&world, world.call_with(0, 4, OTHER, ""));
    assert_eq!(reason, Invalid::NonceTooLow { transaction: 4, state: 5 });
    let reason = invalid(&world, world.call_with(0, 6, OTHER, ""));
    assert_eq!(reason, Invalid::NonceTooHigh { transaction: 6, state: 5 });
}

#[test]
fn a_sender_without_funds_is_refused_with_what_it_would_need() {
    let mut world = World::new(2);
    world.set_balance(world.sender(0), U256::from(10));
    let reason = invalid(&world, world.transfer(0, OTHER, U256::from(3)));
    assert_eq!(reason, Invalid::Funds { required: U256::from(9_000_003), balance: U256::from(10) });
}

#[test]
fn too_much_and_too_little_gas_are_refused() {
    let world = World::new(2);
    let mut tx = world.tx(0, TxKind::Call(OTHER), U256::ZERO, "");
    tx.gas_limit = 16_777_217;
    let reason = invalid(&world, world.sign(0, tx.clone()));
    assert_eq!(reason, Invalid::GasLimit { limit: 16_777_217, max: 16_777_216 });
    tx.gas_limit = 20_999;
    assert_eq!(invalid(&world, world.sign(0, tx)), Invalid::IntrinsicGas { limit: 20_999, required: 21_000 });
}

#[test]
fn a_price_under_the_base_fee_is_refused() {
    let world = World::new(2);
    let mut tx = world.tx(0, TxKind::Call(OTHER), U256::ZERO, "");
    (tx.max_fee_per_gas, tx.max_priority_fee_per_gas) = (6, 1);
    assert_eq!(invalid(&world, world.sign(0, tx)), Invalid::PriceBelowBaseFee { price: 6, base_fee: 7 });
}

#[test]
fn a_sender_with_code_is_refused() {
    let mut world = World::new(2);
    world.deploy(world.sender(0), "00");
    assert_eq!(invalid(&world, world.call(0, OTHER)), Invalid::SenderHasCode);
}

/// A cache that starts empty.
#[derive(Default)]
struct Cache {
    known: State,
    accounts: std::collections::BTreeSet<Address>,
    slots: std::collections::BTreeSet<(Address, U256)>,
    fees: std::collections::BTreeSet<FeesKey>,
}

impl Cache {
    fn fetch(&mut self, from: &State, missing: &Missing) {
        match missing {
            Missing::Key(StateKey::Account(address)) => {
                self.accounts.insert(*address);
                self.known.accounts.extend(from.accounts.get(address).map(|account| (*address, *account)));
            }
            Missing::Key(StateKey::Slot(address, slot)) => {
                self.slots.insert((*address, *slot));
                let value = from.slots.get(&(*address, *slot)).copied().unwrap_or_default();
                self.known.set_slot(*address, *slot, value);
            }
            Missing::Key(StateKey::Fees(key)) => {
                self.fees.insert(*key);
                self.known.fees.extend(from.fees.get(key).map(|wei| (*key, *wei)));
            }
            Missing::CodeProof(account) => panic!("nobody here asks for a proof of {account}"),
            Missing::Code { account, hash } => {
                assert_eq!(from.accounts[account].code_hash, *hash, "the owner of the account has the code");
                self.known.codes.insert(*hash, from.codes[hash].clone());
            }
        }
    }
}

impl View for Cache {
    fn account(&self, address: Address) -> Lookup<Option<AccountState>> {
        if self.accounts.contains(&address) { self.known.account(address) } else { Lookup::Unknown }
    }

    fn slot(&self, address: Address, slot: U256) -> Lookup<U256> {
        if self.slots.contains(&(address, slot)) { self.known.slot(address, slot) } else { Lookup::Unknown }
    }

    fn fees(&self, key: FeesKey) -> Lookup<U256> {
        if self.fees.contains(&key) { self.known.fees(key) } else { Lookup::Unknown }
    }

    fn code(&self, hash: B256) -> Lookup<Bytecode> {
        self.known.code(hash)
    }
}

#[test]
fn a_run_over_an_empty_cache_names_what_it_lacks_until_it_has_all() {
    let mut world = World::new(4);
    // SSTORE(SLOAD(0), BALANCE(COINBASE)) reads an account, its code, two slots, the beneficiary and four fragments.
    world.deploy(CONTRACT, "413160005455");
    world.state.set_slot(CONTRACT, U256::ZERO, U256::from(8));
    let payload = world.recover(world.call(0, CONTRACT));
    let (mut cache, mut asked) = (Cache::default(), Vec::new());
    let executed = loop {
        match execute(&world.params, &world.placement, &payload, &cache) {
            Ok(executed) => break executed,
            Err(ExecuteError::Missing(missing)) => {
                for missing in &missing {
                    cache.fetch(&world.state, missing);
                }
                asked.push(missing.len());
            }
            Err(error) => panic!("{error}"),
        }
        assert!(asked.len() < 10, "{asked:?}");
    };
    assert_eq!(asked[0], 2, "sender and target at once");
    assert!(asked.iter().any(|count| *count >= 5), "the beneficiary and all its fragments at once: {asked:?}");
    let whole = execute(&world.params, &world.placement, &payload, &world.state).expect("runs");
    assert_eq!(executed, whole);
}

#[test]
fn a_run_that_asks_hundreds_of_accounts_names_them_at_once() {
    let mut world = World::new(4);
    // For i from 200 down to 1: BALANCE(i + 0x10000). The attacks of 2016 asked for thousands of accounts like this.
    world.deploy(CONTRACT, "60c85b80620100000131506001900380600257");
    let payload = world.recover(world.call(0, CONTRACT));
    let (mut cache, mut rounds) = (Cache::default(), 0);
    while let Err(ExecuteError::Missing(missing)) = execute(&world.params, &world.placement, &payload, &cache) {
        for missing in &missing {
            cache.fetch(&world.state, missing);
        }
        rounds += 1;
        assert!(rounds < 10, "one round for each account");
    }
    let executed = execute(&world.params, &world.placement, &payload, &cache).expect("runs");
    assert!(executed.witness.accounts.len() > 200);
}

fn claim() -> (World, Replay, Executed) {
    let mut world = World::new(4);
    world.deploy(CONTRACT, "600160005401600055");
    let payload = world.recover(world.call(0, CONTRACT));
    let executed = execute(&world.params, &world.placement, &payload, &world.state).expect("runs");
    let replay = Replay { payload, witness: executed.witness.clone() };
    (world, replay, executed)
}

fn witness_error(world: &World, replay: Replay) -> WitnessError {
    Verified::by(&world.replayer(), replay).expect_err("refused")
}

#[test]
fn a_replay_refuses_a_witness_that_lacks_any_entry() {
    let (world, replay, executed) = claim();
    for key in executed.witness.keys() {
        let without = executed.witness.part(|other| other != key);
        let witness = Witness { codes: executed.witness.codes.clone(), ..without };
        let error = witness_error(&world, Replay { witness, ..replay.clone() });
        assert_eq!(error, WitnessError::Incomplete(Missing::Key(key)));
    }
    let hash = *executed.witness.codes.keys().next().expect("a code ran");
    let witness = Witness { codes: std::collections::BTreeMap::new(), ..executed.witness };
    let error = witness_error(&world, Replay { witness, ..replay });
    assert_eq!(error, WitnessError::Incomplete(Missing::Code { account: CONTRACT, hash }));
}

#[test]
fn a_replay_refuses_a_witness_with_an_entry_too_many() {
    let (world, replay, executed) = claim();
    let mut account = replay.clone();
    account.witness.accounts.insert(OTHER, None);
    assert_eq!(witness_error(&world, account), WitnessError::Excess(StateKey::Account(OTHER)));
    let mut slot = replay.clone();
    slot.witness.slots.insert((CONTRACT, U256::from(9)), U256::ZERO);
    assert_eq!(witness_error(&world, slot), WitnessError::Excess(StateKey::Slot(CONTRACT, U256::from(9))));
    let mut fees = replay.clone();
    let key = FeesKey { shard: primitives::ShardId(1), beneficiary: world.params.beneficiary };
    fees.witness.fees.insert(key, U256::ZERO);
    assert_eq!(witness_error(&world, fees), WitnessError::Excess(StateKey::Fees(key)));
    let mut code = replay;
    let (bytes, hash) = (Data::from(vec![1]), alloy_primitives::keccak256([1]));
    code.witness.codes.insert(hash, bytes);
    assert_eq!(witness_error(&world, code), WitnessError::ExcessCode { hash });
    assert_eq!(executed.witness.codes.len(), 1);
}

#[test]
fn a_replay_under_a_changed_value_gives_other_effects() {
    let (world, replay, executed) = claim();
    let mut slot = replay.clone();
    slot.witness.slots.insert((CONTRACT, U256::ZERO), U256::from(5));
    let replayed = Verified::by(&world.replayer(), slot).expect("it is a possible state");
    assert_ne!(replayed.effects.digest(), executed.effects.digest());
    assert_ne!(replayed.witness.digest(), executed.witness.digest());
    let mut nonce = replay;
    nonce
        .witness
        .accounts
        .insert(world.sender(0), Some(AccountState { nonce: 1, ..AccountState::with_balance(wei(1)) }));
    let error = witness_error(&world, nonce);
    assert!(matches!(error, WitnessError::Execute(ExecuteError::Invalid { .. })), "{error}");
}

#[test]
fn a_replay_refuses_a_code_that_is_not_its_hash() {
    let (world, mut replay, executed) = claim();
    let hash = *executed.witness.codes.keys().next().expect("a code ran");
    replay.witness.codes.insert(hash, vec![0].into());
    assert!(matches!(witness_error(&world, replay), WitnessError::Code(error) if error.hash == hash));
}

#[test]
fn a_cached_code_does_not_make_false_bytes_true() {
    let (world, replay, executed) = claim();
    let replayer = world.replayer();
    Verified::by(&replayer, replay.clone()).expect("honest");
    let hash = *executed.witness.codes.keys().next().expect("a code ran");
    let mut forged = replay;
    forged.witness.codes.insert(hash, vec![0].into());
    assert!(matches!(Verified::by(&replayer, forged), Err(WitnessError::Code(_))));
}

#[test]
fn a_payload_moved_in_time_is_the_one_that_was_signed_for_then() {
    let world = World::new(2);
    let verifier = PayloadVerifier::new(world.params.clone());
    let payload = world.call(0, CONTRACT);
    let later = Payload { environment: evm::Environment::Slot(primitives::Slot(77)), ..payload.clone() };
    let known = Verified::by(&verifier, payload).expect("signed");
    let moved = Verified::by(&verifier, (&known, later.environment.clone())).expect("the same fork");
    assert_ne!(moved.digest(), known.digest());
    assert_eq!(Ok(moved), Verified::by(&verifier, later));
}

#[test]
fn the_bound_digest_moves_with_payload_witness_and_effects() {
    let (world, replay, executed) = claim();
    assert_eq!(executed.digest(), replay.payload.payload().bind(executed.witness.digest(), executed.effects.digest()));
    let mut witness = executed.clone();
    witness.witness.slots.insert((OTHER, U256::ZERO), U256::ZERO);
    let mut effects = executed.clone();
    effects.effects.outcomes[0].gas_used += 1;
    let other = world.execute(world.call(1, CONTRACT)).expect("runs");
    for changed in [witness, effects, other] {
        assert_ne!(changed.digest(), executed.digest());
    }
}

#[test]
fn every_type_survives_its_canonical_bytes() {
    let (world, replay, executed) = claim();
    let bytes_max = 1 << 20;
    let witness = primitives::encode(&executed.witness);
    assert_eq!(primitives::decode::<Witness>(&witness, bytes_max), Ok(executed.witness.clone()));
    let effects = primitives::encode(&executed.effects);
    assert_eq!(primitives::decode::<evm::Effects>(&effects, bytes_max), Ok(executed.effects));
    let payload = primitives::encode(replay.payload.payload());
    assert_eq!(primitives::decode::<Payload>(&payload, bytes_max), Ok(replay.payload.payload().clone()));
    let params = primitives::encode(&world.params);
    assert_eq!(primitives::decode::<evm::NetworkParams>(&params, bytes_max), Ok(world.params));
    assert!(executed.witness.bytes_count().abs_diff(witness.len()) < 256);
}

#[test]
fn a_map_out_of_order_is_not_a_witness() {
    let accounts = vec![(OTHER, None::<AccountState>), (CONTRACT, None)];
    let bytes = primitives::encode(&(accounts, 0_u32, 0_u32, 0_u32));
    assert!(primitives::decode::<Witness>(&bytes, 1024).is_err());
}

fn delivery(value: U256) -> SystemTransaction {
    SystemTransaction::Call {
        caller: evm::mailbox_address(primitives::ShardId(0)),
        target: CONTRACT,
        input: vec![1].into(),
        gas_limit: 100_000,
        value,
        funding: Funding::Minted,
    }
}

#[test]
fn a_delivered_value_comes_into_being_only_if_the_call_succeeds() {
    let mut world = World::new(4);
    // SSTORE(0, CALLVALUE)
    world.deploy(CONTRACT, "34600055");
    let executed = world.commit_system(delivery(wei(2)));
    assert_eq!(executed.effects.outcomes[0].status, Status::Success);
    assert_eq!((world.balance(CONTRACT), world.slot(CONTRACT, 0)), (wei(2), wei(2)));
    world.deploy(CONTRACT, "60006000fd");
    let before = world.state.clone();
    let executed = world.commit_system(delivery(wei(2)));
    assert_eq!(executed.effects.outcomes[0].status, Status::Reverted);
    assert!(executed.effects.changes.is_empty());
    assert_eq!(world.state, before);
}

#[test]
fn a_call_without_the_callers_funds_changes_nothing() {
    let mut world = World::new(4);
    world.deploy(CONTRACT, "34600055");
    let SystemTransaction::Call { caller, target, input, gas_limit, value, .. } = delivery(wei(2)) else {
        panic!("a call")
    };
    let call = SystemTransaction::Call { caller, target, input, gas_limit, value, funding: Funding::Caller };
    let executed = world.commit_system(call.clone());
    assert_ne!(executed.effects.outcomes[0].status, Status::Success);
    assert!(executed.effects.changes.is_empty());
    world.set_balance(caller, wei(3));
    world.commit_system(call);
    assert_eq!((world.balance(CONTRACT), world.balance(caller)), (wei(2), wei(1)));
}

#[test]
fn a_burn_takes_what_is_there_and_never_more() {
    let mut world = World::new(4);
    world.set_balance(OTHER, wei(2));
    let burn = |value| SystemTransaction::Burn { account: OTHER, value };
    assert_eq!(world.commit_system(burn(wei(3))).effects.outcomes[0].status, Status::Reverted);
    assert_eq!(world.balance(OTHER), wei(2));
    assert_eq!(world.commit_system(burn(wei(2))).effects.outcomes[0].status, Status::Success);
    assert!(!world.state.accounts.contains_key(&OTHER), "an empty account does not stay");
}

fn request(to: Address, input: &str) -> CallRequest {
    let input = hex::decode(input).expect("hex").into();
    CallRequest { to: Some(to), input, ..CallRequest::default() }
}

#[test]
fn a_simulated_call_returns_and_changes_nothing() {
    let mut world = World::new(4);
    // Returns SLOAD(0) + 1, having stored it.
    world.deploy(CONTRACT, "6001600054018060005560005260206000f3");
    let before = world.state.clone();
    let environment = World::environment();
    let outcome = simulate(&world.params, &world.placement, &environment, &request(CONTRACT, ""), &world.state);
    let outcome = outcome.expect("runs");
    assert_eq!((outcome.status, U256::from_be_slice(&outcome.output)), (Status::Success, U256::from(1)));
    assert_eq!(world.state, before);
    let from_contract = CallRequest { from: CONTRACT, ..request(CONTRACT, "") };
    assert!(simulate(&world.params, &world.placement, &environment, &from_contract, &world.state).is_ok());
    let rich = CallRequest { value: wei(1), ..request(CONTRACT, "") };
    let error = simulate(&world.params, &world.placement, &environment, &rich, &world.state).expect_err("no funds");
    assert!(matches!(error, ExecuteError::Invalid { reason: Invalid::Funds { .. }, .. }), "{error}");
}

#[test]
fn a_simulated_call_borrows_code_by_an_authorization_and_pays_for_its_access_list() {
    let mut world = World::new(4);
    world.deploy(CONTRACT, "602a60005260206000f3"); // returns 42
    let (environment, authority) = (World::environment(), world.sender(1));
    let authorization = world.authorize(1, CONTRACT, 0);
    let run = |call| simulate(&world.params, &world.placement, &environment, &call, &world.state).expect("runs");
    let plain = run(request(authority, ""));
    assert!(plain.output.is_empty());
    let borrowed = run(CallRequest { authorizations: vec![authorization], ..request(authority, "") });
    assert_eq!(U256::from_be_slice(&borrowed.output), U256::from(42));
    let item = AccessListItem { address: OTHER, storage_keys: vec![B256::ZERO] };
    let listed = run(CallRequest { access_list: AccessList(vec![item]), ..request(authority, "") });
    assert_eq!(listed.gas_used, plain.gas_used + 2_400 + 1_900);
}

#[test]
fn the_hash_of_a_transaction_is_that_of_its_bytes() {
    let world = World::new(1);
    let payload = world.transfer(0, OTHER, wei(1));
    let SignedTransaction(data) = signed(&payload).clone();
    let recovered = world.recover(payload);
    let transaction = recovered.signed().next().expect("one");
    assert_eq!((transaction.hash(), transaction.sender()), (alloy_primitives::keccak256(&data.0), world.sender(0)));
}
