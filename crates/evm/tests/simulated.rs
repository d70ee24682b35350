//! Calls that nobody signed: prices, overrides, estimates and access lists, with the numbers that geth comes to.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod fixture;

use alloy_eips::eip2930::AccessListItem;
use alloy_primitives::hex;
use dovetail_evm as evm;
use evm::{
    AccountOverride, Address, Answered, B256, BlockOverrides, BlockPlan, CALL_GAS_MAX, CallPrice, CallRequest, Checks,
    Data, Estimate, ExecuteError, Ground, Invalid, Listed, Overrides, SimulatedCall, Status, StorageOverride,
    Transfers, U256,
};
use fixture::{World, wei};
use primitives::Slot;
use std::collections::BTreeMap;

const CONTRACT: Address = Address::repeat_byte(0xc0);
const OTHER: Address = Address::repeat_byte(0x0d);

/// Returns what `opcodes` leave on the stack.
fn returning(opcodes: &str) -> String {
    format!("{opcodes}5f5260205ff3")
}

fn world(code: &str) -> World {
    let mut world = World::new(4);
    world.deploy(CONTRACT, code);
    world
}

fn over<T>(world: &World, run: impl FnOnce(&Ground<'_>, &evm::State) -> T) -> T {
    run(&Ground::of_slot(&world.params, &world.placement, Slot(1000)), &world.state)
}

fn call() -> CallRequest {
    CallRequest { to: Some(CONTRACT), ..CallRequest::default() }
}

fn answer(world: &World, call: &CallRequest) -> Result<Answered, ExecuteError> {
    over(world, |ground, state| evm::answer(ground, call, state))
}

fn word(world: &World, call: &CallRequest) -> U256 {
    let answered = answer(world, call).unwrap();
    assert_eq!(answered.outcome.status, Status::Success, "{answered:?}");
    U256::from_be_slice(&answered.outcome.output)
}

fn invalid(world: &World, call: &CallRequest) -> Invalid {
    match answer(world, call) {
        Err(ExecuteError::Invalid { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_free_call_sees_no_price_and_a_priced_one_its_own() {
    let (gas_price, base_fee) = (world(&returning("3a")), world(&returning("48")));
    assert_eq!((word(&gas_price, &call()), word(&base_fee, &call())), (U256::ZERO, U256::ZERO));
    let legacy = CallRequest { from: gas_price.sender(0), price: CallPrice::Legacy(11), ..call() };
    assert_eq!((word(&gas_price, &legacy), word(&base_fee, &legacy)), (U256::from(11), U256::from(7)));
    let dynamic = CallRequest { price: CallPrice::Dynamic { max: 20, priority: 2 }, ..legacy };
    assert_eq!(word(&gas_price, &dynamic), U256::from(9));
}

#[test]
fn a_priced_call_has_paid_for_its_gas_while_it_runs() {
    let world = world(&returning("3231")); // ORIGIN BALANCE
    let priced =
        CallRequest { from: world.sender(0), price: CallPrice::Legacy(10), gas_limit: Some(100_000), ..call() };
    assert_eq!(word(&world, &priced), wei(1000) - U256::from(1_000_000));
    let poor = CallRequest { from: OTHER, ..priced.clone() };
    let needed = Invalid::Funds { required: U256::from(1_000_000), balance: U256::ZERO };
    assert_eq!(invalid(&world, &poor), needed);
    let cheap = CallRequest { price: CallPrice::Legacy(6), ..priced };
    assert_eq!(invalid(&world, &cheap), Invalid::PriceBelowBaseFee { price: 6, base_fee: 7 });
}

#[test]
fn a_call_may_use_more_gas_than_a_transaction_or_a_block_and_no_more_than_the_nodes_cap() {
    let world = world(&returning("5a")); // GAS
    let spent = CALL_GAS_MAX - word(&world, &call()).to::<u64>();
    assert_eq!(spent, 21_000 + 2);
    let greedy = CallRequest { gas_limit: Some(u64::MAX), ..call() };
    assert_eq!(word(&world, &greedy), word(&world, &call()));
    assert!(CALL_GAS_MAX > world.params.gas_limit && CALL_GAS_MAX > world.params.transaction_gas_max());
}

#[test]
fn an_account_is_found_as_it_is_overridden() {
    let mut world = world(&returning("5f54")); // SLOAD(0)
    world.state.set_slot(CONTRACT, U256::ZERO, U256::from(5));
    world.state.set_slot(CONTRACT, U256::from(1), U256::from(6));
    let with = |wanted: AccountOverride| CallRequest {
        overrides: Overrides { accounts: [(CONTRACT, wanted)].into(), ..Overrides::default() },
        ..call()
    };
    let slots =
        |slots: &[(u64, u64)]| slots.iter().map(|(slot, value)| (U256::from(*slot), U256::from(*value))).collect();
    let storage = |storage| with(AccountOverride { storage, ..AccountOverride::default() });
    assert_eq!(word(&world, &call()), U256::from(5));
    assert_eq!(word(&world, &storage(StorageOverride::Parts(slots(&[(0, 9)])))), U256::from(9));
    assert_eq!(word(&world, &storage(StorageOverride::Parts(slots(&[(1, 9)])))), U256::from(5));
    assert_eq!(word(&world, &storage(StorageOverride::Whole(slots(&[(1, 9)])))), U256::ZERO);
    let code = |opcodes: &str| Some(Data::from(hex::decode(returning(opcodes)).unwrap()));
    let balance = AccountOverride { code: code("47"), balance: Some(U256::from(3)), ..AccountOverride::default() };
    assert_eq!(word(&world, &with(balance)), U256::from(3));
    // CREATE of nothing gives the address of the account's nonce.
    let creates = AccountOverride { code: code("5f5f5ff0"), nonce: Some(77), ..AccountOverride::default() };
    assert_eq!(word(&world, &with(creates)), U256::from_be_bytes(CONTRACT.create(77).into_word().0));
    let sends = CallRequest { value: wei(1), ..with(AccountOverride::default()) };
    assert!(matches!(invalid(&world, &sends), Invalid::Funds { .. }));
    let rich = AccountOverride { balance: Some(wei(1)), ..AccountOverride::default() };
    let overrides = Overrides { accounts: [(Address::ZERO, rich)].into(), ..Overrides::default() };
    assert_eq!(word(&world, &CallRequest { overrides, ..sends }), U256::from(5));
}

#[test]
fn the_beneficiary_is_found_with_its_fragments_or_as_it_is_overridden() {
    let mut world = world(&returning("4131")); // COINBASE BALANCE
    let beneficiary = world.params.beneficiary;
    world.set_balance(beneficiary, U256::from(5));
    for shard in world.placement.shards() {
        world.state.fees.insert(evm::FeesKey { shard, beneficiary }, U256::from(100));
    }
    assert_eq!(word(&world, &call()), U256::from(405));
    let poor = AccountOverride { balance: Some(U256::from(1)), ..AccountOverride::default() };
    let overrides = Overrides { accounts: [(beneficiary, poor)].into(), ..Overrides::default() };
    assert_eq!(word(&world, &CallRequest { overrides, ..call() }), U256::from(1));
    let block = BlockOverrides { beneficiary: Some(OTHER), ..BlockOverrides::default() };
    let overrides = Overrides { block, ..Overrides::default() };
    assert_eq!(word(&world, &CallRequest { overrides, ..call() }), U256::ZERO);
}

#[test]
fn a_block_is_seen_as_it_is_overridden() {
    let block = BlockOverrides {
        number: Some(1),
        timestamp: Some(2),
        gas_limit: Some(3),
        beneficiary: Some(Address::with_last_byte(4)),
        base_fee: Some(5),
        randomness: Some(B256::with_last_byte(6)),
        blob_base_fee: Some(7),
        difficulty: None,
    };
    let opcodes = ["43", "42", "45", "41", "48", "44", "4a"];
    for (opcode, seen) in opcodes.iter().zip(1_u64..) {
        let overrides = Overrides { block: block.clone(), ..Overrides::default() };
        assert_eq!(
            word(&world(&returning(opcode)), &CallRequest { overrides, ..call() }),
            U256::from(seen),
            "{opcode}"
        );
    }
}

#[test]
fn a_halt_is_told_in_geths_words() {
    for (code, words) in [
        ("fe", "invalid opcode: INVALID"),
        ("5b5f56", "out of gas"),
        ("01", "stack underflow"),
        ("600956", "invalid jump destination"),
        ("60016000fd", ""),
    ] {
        let answered = answer(&world(code), &call()).unwrap();
        assert_eq!(answered.halt.unwrap_or_default(), words, "{code}");
    }
}

fn estimate(world: &World, call: &CallRequest) -> Estimate {
    over(world, |ground, state| evm::estimate(ground, call, world.params.transaction_gas_max(), state)).unwrap()
}

#[test]
fn an_estimate_is_enough_and_not_much_more() {
    // Keeps on only with 100000 gas left at its start.
    let world = world("620186a05a11600a57fe5b00");
    let Estimate::Enough(gas) = estimate(&world, &call()) else { panic!("succeeds with enough") };
    assert!((121_000..=122_300).contains(&gas), "{gas}");
    let enough = CallRequest { gas_limit: Some(gas), ..call() };
    assert_eq!(answer(&world, &enough).unwrap().outcome.status, Status::Success);
}

#[test]
fn an_estimate_is_bounded_by_what_the_sender_can_pay() {
    let mut world = world("5b5f56");
    world.set_balance(OTHER, U256::from(500_000 + 1));
    let call = CallRequest { from: OTHER, price: CallPrice::Legacy(10), value: U256::from(1), ..call() };
    assert_eq!(estimate(&world, &call), Estimate::Exceeds { allowance: 50_000 });
    let free = CallRequest { price: CallPrice::Free, ..call };
    assert_eq!(estimate(&world, &free), Estimate::Exceeds { allowance: world.params.transaction_gas_max() });
}

fn list(world: &World, call: &CallRequest) -> Listed {
    over(world, |ground, state| evm::access_list(ground, call, state)).unwrap()
}

#[test]
fn an_access_list_has_what_is_touched_but_for_what_is_warm_anyway() {
    // SLOAD(1), BALANCE of another, of the caller, of a precompile and of itself.
    let code = format!("6001545073{}315033315030315060013150", hex::encode(OTHER));
    let world = world(&code);
    let listed = list(&world, &CallRequest { from: world.sender(0), ..call() });
    let item = |address, storage_keys| AccessListItem { address, storage_keys };
    let expected = vec![item(OTHER, vec![]), item(CONTRACT, vec![B256::with_last_byte(1)])];
    assert_eq!((listed.access_list.0.clone(), listed.error), (expected, None));
    let plain = answer(&world, &CallRequest { from: world.sender(0), ..call() }).unwrap().outcome.gas_used;
    // Two addresses and a slot are paid for, and each is warm when it is used (EIP-2930, EIP-2929).
    assert_eq!(listed.gas_used, plain + 2 * 2_400 + 1_900 - 2_500 - 2_000);
    let again = list(&world, &CallRequest { access_list: listed.access_list.clone(), from: world.sender(0), ..call() });
    assert_eq!(again.access_list, listed.access_list);
}

#[test]
fn an_access_list_of_a_call_that_fails_says_why() {
    let listed = list(&world("60015450fe"), &call());
    assert_eq!(listed.error.as_deref(), Some("invalid opcode: INVALID"));
    assert_eq!(listed.access_list.0[0].address, CONTRACT);
    assert_eq!(list(&world("5f5ffd"), &call()).error.as_deref(), Some("execution reverted"));
}

/// The calls of one block that never was.
fn plan(slot: u64, calls: &[CallRequest]) -> BlockPlan {
    BlockPlan { slot: Slot(slot), block: BlockOverrides::default(), accounts: BTreeMap::new(), calls: calls.to_vec() }
}

fn simulated(world: &World, plans: &[BlockPlan]) -> Vec<Vec<SimulatedCall>> {
    let asked = (Checks::AsCalls, Transfers::Logged);
    over(world, |ground, state| evm::simulate_blocks(ground, plans, asked, state)).unwrap()
}

/// What a call's logs of moved wei say: from whom, to whom, how much.
fn moved(call: &SimulatedCall) -> Vec<(Address, Address, u64)> {
    let of = |log: &evm::Log| {
        assert_eq!(log.address, evm::TRANSFERS_ADDRESS);
        let address = |topic: usize| Address::from_word(log.topics[topic]);
        (address(1), address(2), U256::from_be_slice(&log.data).to())
    };
    call.answered.outcome.logs.iter().map(of).collect()
}

/// CALL, or CALLCODE, of an address with so much wei.
fn sending(opcode: &str, to: Address, wei: u8) -> String {
    format!("5f5f5f5f60{wei:02x}73{}5a{opcode}50", hex::encode(to))
}

#[test]
fn wei_that_moves_is_logged_where_nothing_takes_it_back() {
    let (friend, heir) = (Address::repeat_byte(0x77), Address::repeat_byte(0x88));
    let creates = "5f5f6002f050"; // With two wei, of nothing.
    let fails_to_create = "60fd5f5360015f6002f050"; // REVERT with nothing on the stack.
    let code = [
        &sending("f1", OTHER, 3),
        &sending("f1", friend, 4),
        &sending("f2", friend, 1),
        creates,
        fails_to_create,
        &format!("73{}ff", hex::encode(heir)),
    ];
    let mut world = world(&code.concat());
    world.deploy(OTHER, "5f5ffd");
    let own = Address::repeat_byte(0x0e);
    world.deploy(own, "30ff"); // Destroys itself for itself.
    let from = world.sender(0);
    let call = |to, value: u64| CallRequest { from, to: Some(to), value: U256::from(value), ..CallRequest::default() };
    let calls = &simulated(&world, &[plan(1001, &[call(CONTRACT, 20), call(OTHER, 5), call(own, 6)])])[0];
    let child = CONTRACT.create(0);
    let expected = [(from, CONTRACT, 20), (CONTRACT, friend, 4), (CONTRACT, child, 2), (CONTRACT, heir, 20 - 4 - 2)];
    assert_eq!(moved(&calls[0]), expected);
    assert_eq!((calls[1].answered.outcome.status, moved(&calls[1])), (Status::Reverted, Vec::new()));
    assert_eq!(moved(&calls[2]), [(from, own, 6), (own, own, 6)]);
}

#[test]
fn what_a_frame_that_failed_logged_goes_with_it_and_nothing_else() {
    let (inner, friend) = (Address::repeat_byte(0x1e), Address::repeat_byte(0x77));
    // Logs, lets the inner one send wei and fail, logs again.
    let mut world = world(&format!("5f5fa0{}5f5fa0", sending("f1", inner, 9)));
    world.deploy(inner, &format!("5f5fa0{}5f5ffd", sending("f1", friend, 4)));
    let call = CallRequest { from: world.sender(0), value: U256::from(10), ..call() };
    let calls = &simulated(&world, &[plan(1001, &[call])])[0];
    let emitters: Vec<Address> = calls[0].answered.outcome.logs.iter().map(|log| log.address).collect();
    assert_eq!(emitters, [evm::TRANSFERS_ADDRESS, CONTRACT, CONTRACT]);
}

#[test]
fn a_precompile_is_back_in_its_place_in_the_block_after_the_one_that_moved_it() {
    let world = world("");
    let (identity, elsewhere) = (Address::with_last_byte(4), Address::repeat_byte(0x44));
    let says = |to| CallRequest { to: Some(to), input: Data::from(vec![1, 2]), ..CallRequest::default() };
    let calls = [says(identity), says(elsewhere)];
    let away = AccountOverride { precompile_to: Some(elsewhere), ..AccountOverride::default() };
    let moves = BlockPlan { accounts: [(identity, away)].into(), ..plan(1001, &calls) };
    let blocks = simulated(&world, &[moves.clone(), plan(1002, &calls), BlockPlan { slot: Slot(1003), ..moves }]);
    let outputs = |block: &[SimulatedCall]| -> Vec<usize> {
        block.iter().map(|call| call.answered.outcome.output.len()).collect()
    };
    assert_eq!(blocks.iter().map(|block| outputs(block)).collect::<Vec<_>>(), [[0, 2], [2, 0], [0, 2]]);
}
