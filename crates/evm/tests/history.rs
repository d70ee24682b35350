//! The contract that tells old blocks' hashes (EIP-2935): its storage is computed, at the gas of a storage that is there.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod fixture;

use alloy_eips::eip2935::HISTORY_STORAGE_CODE;
use alloy_primitives::{TxKind, address, hex};
use dovetail_evm as evm;
use evm::trace::{Trace, Tracer, trace_call};
use evm::{
    AccountOverride, Address, B256, BlockOverrides, BlockPlan, CallRequest, Checks, Data, Ground, HISTORY_ADDRESS,
    Lookup, Overrides, Replay, Status, StorageOverride, Transfers, U256, WithProofs, execute, simulate_blocks,
    storage_at,
};
use fixture::{World, wei};
use primitives::{Slot, Verified};
use std::collections::BTreeMap;

const CONTRACT: Address = Address::repeat_byte(0xc0);
/// Has the contract's code and a storage of its own.
const COPY: Address = Address::repeat_byte(0xc1);
/// Who alone may write there, by the contract's code.
const SYSTEM: Address = address!("fffffffffffffffffffffffffffffffffffffffe");

/// Keeps what the contract and BLOCKHASH say of the block before, in slots 0 and 1.
fn asks() -> String {
    let history = hex::encode(HISTORY_ADDRESS);
    format!("43600190035f5260205f60205f73{history}5afa505f515f55436001900340600155")
}

/// A network with the contract; what runs, runs in block 1000.
fn world() -> World {
    let mut world = World::new(16);
    for address in [HISTORY_ADDRESS, COPY] {
        world.deploy(address, &hex::encode(&*HISTORY_STORAGE_CODE));
    }
    world.deploy(CONTRACT, &asks());
    world
}

fn hash(world: &World, number: u64) -> U256 {
    U256::from_be_bytes(world.params.block_hash(number).0)
}

/// A call of the contract that asks for the hash of a block.
fn get(number: u64) -> CallRequest {
    let input = B256::from(U256::from(number)).to_vec().into();
    CallRequest { to: Some(HISTORY_ADDRESS), input, ..CallRequest::default() }
}

fn ground(world: &World) -> Ground<'_> {
    Ground::of_slot(&world.params, &world.placement, Slot(1000))
}

/// What a call of the contract returns; none if it reverts.
fn told(world: &World, call: &CallRequest) -> Option<U256> {
    let outcome = evm::answer(&ground(world), call, &world.state).unwrap().outcome;
    (outcome.status == Status::Success).then(|| U256::from_be_slice(&outcome.output))
}

#[test]
fn what_a_transaction_is_told_is_what_blockhash_says_and_is_nobodys_read() {
    let mut world = world();
    let executed = world.commit(world.call(0, CONTRACT));
    assert_eq!((world.slot(CONTRACT, 0), world.slot(CONTRACT, 1)), (hash(&world, 999), hash(&world, 999)));
    assert!(executed.witness.slots.keys().all(|(address, _)| *address == CONTRACT), "{:?}", executed.witness.slots);
    assert!(executed.witness.accounts.contains_key(&HISTORY_ADDRESS), "that its code is there is a read");
}

#[test]
fn its_owner_lends_the_code_and_takes_no_part() {
    let world = world();
    let owner = world.placement.shard_of(HISTORY_ADDRESS);
    assert!(![CONTRACT, world.sender(0)].map(|address| world.placement.shard_of(address)).contains(&owner));
    let payload = world.recover(world.call(0, CONTRACT));
    let code_at = |address| world.state.accounts.get(&address).map(|account| account.code_hash);
    let proven = WithProofs { view: &world.state, proofs: |address| Lookup::Known(code_at(address)) };
    let executed = execute(&world.params, &world.placement, &payload, &proven).unwrap();
    assert!(executed.witness.fixed.contains_key(&HISTORY_ADDRESS) && !executed.participants.contains(&owner));
    let replay = Replay { payload, witness: executed.witness.clone() };
    assert_eq!(*Verified::by(&world.replayer(), replay).unwrap(), executed);
}

#[test]
fn it_costs_the_gas_of_a_storage_that_is_there() {
    let mut world = world();
    world.state.set_slot(COPY, U256::from(999), hash(&world, 999));
    for number in [999, 1000, 12] {
        if number == 12 {
            world.state.set_slot(COPY, U256::from(12), hash(&world, 12));
        }
        let input = hex::encode(B256::from(U256::from(number)));
        let run = |address| {
            let payload = world.sign(0, world.tx(0, TxKind::Call(address), U256::ZERO, &input));
            world.execute(payload).unwrap().effects.outcomes.remove(0)
        };
        assert_eq!(run(HISTORY_ADDRESS), evm::Outcome { transaction: run(HISTORY_ADDRESS).transaction, ..run(COPY) });
        let expected = if number == 1000 { Status::Reverted } else { Status::Success };
        assert_eq!(run(HISTORY_ADDRESS).status, expected, "a block knows those before it");
    }
}

#[test]
fn its_code_run_by_another_account_reads_that_accounts_storage() {
    let mut world = world();
    // DELEGATECALL with the block's number before, and the answer to slot 1.
    let history = hex::encode(HISTORY_ADDRESS);
    world.deploy(CONTRACT, &format!("43600190035f5260205f60205f73{history}5af4505f51600155"));
    world.state.set_slot(CONTRACT, U256::from(999), U256::from(77));
    let executed = world.commit(world.call(0, CONTRACT));
    assert_eq!(world.slot(CONTRACT, 1), U256::from(77));
    assert_eq!(executed.witness.slots[&(CONTRACT, U256::from(999))], U256::from(77));
}

#[test]
fn a_call_finds_what_it_overrides_and_all_else_as_the_block_that_it_sees_has_it() {
    let world = world();
    let with =
        |wanted: AccountOverride| Overrides { accounts: [(HISTORY_ADDRESS, wanted)].into(), ..Overrides::default() };
    let storage = |storage| with(AccountOverride { storage, ..AccountOverride::default() });
    let five: BTreeMap<_, _> = [(U256::from(999), U256::from(5))].into();
    let both = |overrides: &Overrides| {
        [998, 999].map(|number| told(&world, &CallRequest { overrides: overrides.clone(), ..get(number) }))
    };
    assert_eq!(both(&Overrides::default()), [998, 999].map(|number| Some(hash(&world, number))));
    assert_eq!(both(&storage(StorageOverride::Parts(five.clone()))), [Some(hash(&world, 998)), Some(U256::from(5))]);
    assert_eq!(both(&storage(StorageOverride::Whole(five))), [Some(U256::ZERO), Some(U256::from(5))]);
    // SLOAD(999), returned: another code has a storage of its own, which is empty.
    let code = Some(Data::from(hex::decode("6103e7545f5260205ff3").unwrap()));
    assert_eq!(both(&with(AccountOverride { code, ..AccountOverride::default() })), [Some(U256::ZERO); 2]);
    let block = BlockOverrides { number: Some(50_000), ..BlockOverrides::default() };
    let later = Overrides { block, ..Overrides::default() };
    assert_eq!(both(&later), [None, None], "too old for a block so late");
    let asked = CallRequest { overrides: later, ..get(49_999) };
    assert_eq!(told(&world, &asked), Some(hash(&world, 49_999)));
}

#[test]
fn a_slot_that_is_asked_for_holds_what_a_transaction_of_that_block_would_find() {
    let mut world = world();
    let at = |world: &World, address, slot: u64| {
        storage_at(&ground(world), (address, U256::from(slot)), &world.state).unwrap()
    };
    assert_eq!(
        [999, 1000, 8191].map(|slot| at(&world, HISTORY_ADDRESS, slot)),
        [hash(&world, 999), U256::ZERO, U256::ZERO]
    );
    world.state.set_slot(COPY, U256::from(3), U256::from(4));
    assert_eq!(at(&world, COPY, 3), U256::from(4));
    world.deploy(HISTORY_ADDRESS, "00");
    assert_eq!(at(&world, HISTORY_ADDRESS, 999), U256::ZERO, "another code has its own storage");
}

#[test]
fn each_block_that_never_was_knows_the_one_before_it_and_nobody_writes_another_hash_there() {
    let world = world();
    let plan = |slot, calls: Vec<CallRequest>| BlockPlan {
        slot: Slot(slot),
        block: BlockOverrides::default(),
        accounts: BTreeMap::new(),
        calls,
    };
    let write = CallRequest { from: SYSTEM, input: vec![0xee; 32].into(), ..get(0) };
    let blocks = [plan(1001, vec![write, get(1000)]), plan(1002, vec![get(1000), get(1001), get(1002)])];
    let asked = (Checks::AsCalls, Transfers::Silent);
    let simulated = simulate_blocks(&ground(&world), &blocks, asked, &world.state).unwrap();
    let output = |block: usize, call: usize| U256::from_be_slice(&simulated[block][call].answered.outcome.output);
    assert_eq!(simulated[0][0].answered.outcome.status, Status::Success, "it may, and what it wrote is gone");
    assert_eq!([output(0, 1), output(1, 0)], [hash(&world, 1000); 2]);
    assert_eq!(output(1, 1), hash(&world, 1001));
    assert_eq!(simulated[1][2].answered.outcome.status, Status::Reverted);
}

#[test]
fn a_trace_shows_the_slot_as_it_was_read() {
    let mut world = world();
    world.set_balance(world.sender(0), wei(1));
    let options = serde_json::from_value(serde_json::json!({"tracer": "prestateTracer"})).unwrap();
    let call = CallRequest { from: world.sender(0), ..get(999) };
    let (_, trace) = trace_call(&ground(&world), &call, &Tracer::Geth(Box::new(options)), &world.state).unwrap();
    let Trace::Geth(trace) = trace else { panic!("not geth's") };
    let told = serde_json::to_value(trace).unwrap();
    let storage = &told[HISTORY_ADDRESS.to_string().to_lowercase()]["storage"];
    assert_eq!(storage[B256::from(U256::from(999)).to_string()], world.params.block_hash(999).to_string(), "{told}");
}
