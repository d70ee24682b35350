//! Calls that nobody signed: prices, overrides, estimates and access lists, with the numbers that geth comes to.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod fixture;

use alloy_eips::eip2930::AccessListItem;
use alloy_primitives::hex;
use dovetail_evm as evm;
use evm::{
    AccountOverride, Address, Answered, B256, BlockOverrides, CALL_GAS_MAX, CallPrice, CallRequest, Data, Estimate,
    ExecuteError, Ground, Invalid, Listed, Overrides, Status, StorageOverride, U256,
};
use fixture::{World, wei};
use primitives::Slot;

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
