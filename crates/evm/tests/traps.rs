//! The traps of sharding an EVM, one test each, with contracts assembled by hand.

mod fixture;

use dovetail_evm as evm;
use evm::{Address, ExecuteError, Grouping, LockMode, Payload, StateKey, Status, U256};
use fixture::{World, create_address, key, wei};
use primitives::ShardId;
use std::collections::BTreeSet;

const CONTRACT: Address = Address::repeat_byte(0xc0);
const OTHER: Address = Address::repeat_byte(0xc1);

/// `PUSH20 address`.
fn push(address: Address) -> String {
    format!("73{}", alloy_primitives::hex::encode(address))
}

/// `CALL(gas, address, 0, no data)`, result dropped.
fn call(address: Address) -> String {
    format!("60006000600060006000{}5af150", push(address))
}

#[test]
fn a_written_slot_is_also_read() {
    let mut world = World::new(4);
    world.deploy(CONTRACT, "6001600055");
    let executed = world.execute(world.call(0, CONTRACT)).expect("runs");
    assert_eq!(executed.witness.slots[&(CONTRACT, U256::ZERO)], U256::ZERO);
    assert_eq!(executed.effects.changes.slots[&(CONTRACT, U256::ZERO)], U256::from(1));
    let slice = executed.slice(world.placement.shard_of(CONTRACT), &world.placement);
    assert_eq!(slice.locks[&StateKey::Slot(CONTRACT, U256::ZERO)], LockMode::Exclusive);
    assert_eq!(slice.locks[&StateKey::Account(CONTRACT)], LockMode::Shared);
}

#[test]
fn a_slot_that_keeps_its_value_is_no_change() {
    let mut world = World::new(4);
    world.deploy(CONTRACT, "60016000556000600055");
    let executed = world.execute(world.call(0, CONTRACT)).expect("runs");
    assert!(executed.effects.changes.slots.is_empty());
    let slice = executed.slice(world.placement.shard_of(CONTRACT), &world.placement);
    assert_eq!(slice.locks[&StateKey::Slot(CONTRACT, U256::ZERO)], LockMode::Shared);
}

#[test]
fn a_created_address_is_read_and_its_shard_takes_part() {
    let mut world = World::new(4);
    world.deploy(CONTRACT, "600060006000f060005500");
    world.set_nonce(CONTRACT, 1);
    let created = create_address(CONTRACT, 1);
    let executed = world.commit(world.call(0, CONTRACT));
    assert_eq!(executed.witness.accounts[&created], None);
    assert!(executed.participants.contains(&world.placement.shard_of(created)));
    assert_eq!(world.state.accounts[&created].nonce, 1);
    assert_eq!(world.slot(CONTRACT, 0), U256::from_be_slice(created.as_slice()));
}

#[test]
fn a_creation_over_an_account_with_code_fails_and_reads_it() {
    let mut world = World::new(4);
    world.deploy(CONTRACT, "600060006000f060005500");
    world.set_nonce(CONTRACT, 1);
    let taken = create_address(CONTRACT, 1);
    world.deploy(taken, "00");
    let executed = world.commit(world.call(0, CONTRACT));
    assert_eq!(executed.witness.accounts[&taken], Some(world.state.accounts[&taken]));
    assert_eq!(world.slot(CONTRACT, 0), U256::ZERO);
}

#[test]
fn the_target_of_a_delegation_is_read() {
    let mut world = World::new(4);
    world.deploy(OTHER, "6007600055");
    world.deploy(CONTRACT, &format!("ef0100{}", alloy_primitives::hex::encode(OTHER)));
    let executed = world.commit(world.call(0, CONTRACT));
    assert!(executed.witness.accounts.contains_key(&OTHER));
    assert!(executed.participants.contains(&world.placement.shard_of(OTHER)));
    assert_eq!((world.slot(CONTRACT, 0), world.slot(OTHER, 0)), (U256::from(7), U256::ZERO));
}

#[test]
fn an_authorization_writes_its_authority_on_its_own_shard() {
    let mut world = World::new(4);
    world.deploy(OTHER, "6007600055");
    let (authority, transaction) = world.delegating(0, 1, OTHER);
    let executed = world.commit(transaction);
    assert!(executed.participants.contains(&world.placement.shard_of(authority)));
    let account = world.state.accounts[&authority];
    assert_eq!((account.nonce, account.has_code()), (1, true));
    assert_eq!(executed.effects.changes.codes.len(), 1);
    assert_eq!(world.slot(authority, 0), U256::from(7), "the call after the delegation runs the target's code");
}

#[test]
fn before_cancun_a_selfdestruct_takes_account_and_storage() {
    let mut world = World::of_fork(4, "shanghai");
    world.deploy(CONTRACT, &format!("{}ff", push(OTHER)));
    world.state.set_slot(CONTRACT, U256::from(3), U256::from(9));
    world.set_balance(CONTRACT, wei(5));
    let executed = world.commit(world.call(0, CONTRACT));
    assert_eq!(executed.effects.changes.wiped, BTreeSet::from([CONTRACT]));
    assert_eq!(executed.effects.changes.accounts[&CONTRACT], None);
    assert!(!world.state.accounts.contains_key(&CONTRACT));
    assert_eq!((world.slot(CONTRACT, 3), world.balance(OTHER)), (U256::ZERO, wei(5)));
}

#[test]
fn from_cancun_on_a_selfdestruct_only_moves_the_balance() {
    let mut world = World::new(4);
    world.deploy(CONTRACT, &format!("{}ff", push(OTHER)));
    world.state.set_slot(CONTRACT, U256::from(3), U256::from(9));
    world.set_balance(CONTRACT, wei(5));
    let executed = world.commit(world.call(0, CONTRACT));
    assert!(executed.effects.changes.wiped.is_empty());
    assert!(world.state.accounts[&CONTRACT].has_code());
    assert_eq!((world.slot(CONTRACT, 3), world.balance(OTHER)), (U256::from(9), wei(5)));
}

#[test]
fn a_contract_created_and_destroyed_in_one_transaction_leaves_nothing() {
    let mut world = World::new(4);
    // The init code is SELFDESTRUCT(CALLER).
    let executed = world.commit(world.create(0, "33ff"));
    let created = create_address(world.sender(0), 0);
    assert_eq!(executed.witness.accounts[&created], None);
    assert!(!executed.effects.changes.accounts.contains_key(&created));
    assert!(!world.state.accounts.contains_key(&created));
}

#[test]
fn a_bundle_reads_no_storage_of_an_account_it_destroyed() {
    let mut world = World::of_fork(4, "shanghai");
    // With call data it destroys itself, without it returns slot 3.
    world.deploy(CONTRACT, "36600f5760035460005260206000f35b33ff");
    world.state.set_slot(CONTRACT, U256::from(3), U256::from(9));
    let bundle = World::bundle([world.call_with(0, 0, CONTRACT, "01"), world.call_with(0, 1, CONTRACT, "")]);
    let executed = world.execute(bundle).expect("runs");
    assert!(executed.effects.outcomes[1].output.is_empty(), "there is no code left that could return a slot");
    assert!(executed.witness.slots.is_empty());
}

#[test]
fn an_account_destroyed_and_created_again_in_one_bundle_keeps_no_old_slot() {
    let mut world = World::of_fork(1, "shanghai");
    // A factory: CREATE2 with the init code in its call data, salt 0.
    world.deploy(OTHER, "36600060003760003660006000f500");
    // Init code that deploys SELFDESTRUCT(CALLER).
    let init = "6002600c60003960026000f333ff";
    let child =
        OTHER.create2_from_code(alloy_primitives::B256::ZERO, alloy_primitives::hex::decode(init).expect("hex"));
    world.commit(world.call_with(0, 0, OTHER, init));
    assert!(world.state.accounts[&child].has_code());
    world.state.set_slot(child, U256::from(3), U256::from(9));
    let bundle = World::bundle([world.call_with(0, 1, child, ""), world.call_with(0, 2, OTHER, init)]);
    let executed = world.commit(bundle);
    assert_eq!(executed.effects.changes.wiped, BTreeSet::from([child]));
    assert!(world.state.accounts[&child].has_code());
    assert_eq!(world.slot(child, 3), U256::ZERO);
}

#[test]
fn a_plain_transfer_does_not_make_the_beneficiary_a_participant() {
    let mut world = World::new(4);
    let executed = world.commit(world.transfer(0, OTHER, wei(1)));
    let beneficiary = world.params.beneficiary;
    assert!(!executed.witness.accounts.contains_key(&beneficiary));
    let home = world.placement.shard_of(world.sender(0));
    assert_eq!(executed.participants, BTreeSet::from([home, world.placement.shard_of(OTHER)]));
    assert_eq!(executed.homes, BTreeSet::from([home]));
    let fees = evm::FeesKey { shard: home, beneficiary };
    assert_eq!(executed.effects.changes.credits[&fees], U256::from(21_000 * 2));
    assert_eq!(executed.slice(home, &world.placement).locks[&StateKey::Fees(fees)], LockMode::Credit);
    assert_eq!(world.state.clone().settled().accounts[&beneficiary].balance, U256::from(21_000 * 2));
}

#[test]
fn a_read_of_the_beneficiarys_balance_reads_and_drains_every_fragment() {
    let mut world = World::new(4);
    let beneficiary = world.params.beneficiary;
    for shard in 0..3 {
        world.state.fees.insert(evm::FeesKey { shard: ShardId(shard), beneficiary }, U256::from(100));
    }
    world.set_balance(beneficiary, U256::from(1000));
    // SSTORE(0, BALANCE(COINBASE))
    world.deploy(CONTRACT, "4131600055");
    let executed = world.commit(world.call(0, CONTRACT));
    assert_eq!(executed.witness.fees.len(), 4);
    assert_eq!(executed.participants.len(), 4);
    assert_eq!(world.slot(CONTRACT, 0), U256::from(1300));
    // The reward went to the account that was loaded anyway, so the fragments went there too: only those that held wei.
    assert_eq!(executed.effects.changes.drained.len(), 3);
    assert!(executed.effects.changes.credits.is_empty());
    assert!(world.state.fees.is_empty());
    let reward = U256::from(executed.effects.outcomes[0].gas_used * 2);
    assert_eq!(world.balance(beneficiary), U256::from(1300) + reward);
}

#[test]
fn a_beneficiary_that_sends_spends_its_fragments() {
    let mut world = World::new(4);
    let beneficiary = world.sender(0);
    world.params.beneficiary = beneficiary;
    world.state.fees.insert(evm::FeesKey { shard: ShardId(2), beneficiary }, wei(7));
    world.set_balance(beneficiary, wei(1));
    let executed = world.commit(world.transfer(0, OTHER, wei(6)));
    assert_eq!(world.balance(OTHER), wei(6));
    assert!(world.state.fees.is_empty());
    let burnt = U256::from(executed.effects.outcomes[0].gas_used * world.params.base_fee);
    assert_eq!(world.balance(beneficiary), wei(2) - burnt);
}

#[test]
fn a_bundle_that_reads_the_beneficiary_sees_the_fees_of_its_own_first_transaction() {
    let mut world = World::new(4);
    world.deploy(CONTRACT, "4131600055");
    let bundle = World::bundle([world.transfer(0, OTHER, wei(1)), world.call(1, CONTRACT)]);
    let executed = world.commit(bundle);
    assert_eq!(world.slot(CONTRACT, 0), U256::from(21_000 * 2));
    let fees: u64 = executed.effects.outcomes.iter().map(|outcome| outcome.gas_used * 2).sum();
    assert_eq!(world.balance(world.params.beneficiary), U256::from(fees));
    assert!(executed.effects.changes.credits.is_empty() && world.state.fees.is_empty());
}

#[test]
fn settling_moves_every_fragment_into_the_account() {
    let mut world = World::new(4);
    world.commit(world.transfer(0, OTHER, wei(1)));
    world.commit(world.transfer(1, OTHER, wei(1)));
    let before = world.state.clone().settled();
    world.commit_system(evm::SystemTransaction::Settle);
    assert!(world.state.fees.is_empty());
    assert_eq!(world.state, before);
}

#[test]
fn contracts_on_two_shards_call_each_other_back() {
    let mut world = World::new(4);
    let (here, there) = world.on_different_shards();
    // here: SSTORE(0, SLOAD(0) + 1), and while that is under 3 it calls there; there calls its caller.
    let head = "6001600054018060005560031115";
    let body = call(there);
    let end = format!("{head}{body}").len() / 2 + 3;
    world.deploy(here, &format!("{head}60{end:02x}57{body}5b00"));
    world.deploy(there, "60006000600060006000335af100");
    let executed = world.commit(world.call(0, here));
    assert_eq!(world.slot(here, 0), U256::from(3));
    assert_eq!(executed.effects.outcomes[0].status, Status::Success);
    let both = BTreeSet::from([world.placement.shard_of(here), world.placement.shard_of(there)]);
    assert!(both.is_subset(&executed.participants));
}

#[test]
fn a_revert_is_a_commit_that_spends_nonce_and_gas() {
    let mut world = World::new(4);
    // SSTORE(0, 1), then REVERT with 32 bytes.
    world.deploy(CONTRACT, "600160005560206000fd");
    let before = world.balance(world.sender(0));
    let executed = world.commit(world.call(0, CONTRACT));
    let outcome = &executed.effects.outcomes[0];
    assert_eq!((outcome.status, outcome.output.len()), (Status::Reverted, 32));
    assert_eq!(world.state.accounts[&world.sender(0)].nonce, 1);
    assert_eq!(before - world.balance(world.sender(0)), U256::from(outcome.gas_used * 9));
    assert!(executed.effects.changes.slots.is_empty());
    assert!(
        executed.participants.contains(&world.placement.shard_of(CONTRACT)),
        "what it read decided that it reverts"
    );
}

#[test]
fn a_bundle_with_a_failing_transaction_leaves_nothing() {
    let mut world = World::new(4);
    world.deploy(CONTRACT, "60006000fd");
    let bundle = World::bundle([world.transfer(0, OTHER, wei(1)), world.call(1, CONTRACT)]);
    match world.execute(bundle) {
        Err(ExecuteError::BundleReverted { index, outcome }) => {
            assert_eq!((index, outcome.status), (1, Status::Reverted));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_that_reverts_in_a_batch_reverts_alone_and_the_next_runs_on_what_the_others_left() {
    let mut world = World::new(4);
    // With call data it reverts; without, slot 0 += 1.
    world.deploy(CONTRACT, "36600e57600160005401600055005b60006000fd");
    let calls = [world.call(0, CONTRACT), world.call_with(1, 0, CONTRACT, "01"), world.call(2, CONTRACT)];
    let batch = Payload { grouping: Grouping::Batch, ..World::bundle(calls) };
    let executed = world.commit(batch);
    let statuses: Vec<_> = executed.effects.outcomes.iter().map(|outcome| outcome.status).collect();
    assert_eq!(statuses, [Status::Success, Status::Reverted, Status::Success]);
    assert_eq!(world.slot(CONTRACT, 0), U256::from(2));
    assert_eq!(world.state.accounts[&world.sender(1)].nonce, 1, "what reverts is paid for");
}

#[test]
fn a_later_transaction_of_a_bundle_runs_what_an_earlier_one_deployed() {
    let mut world = World::new(4);
    let created = create_address(world.sender(0), 0);
    // Deploys SSTORE(0, 7).
    let deploy = world.create(0, "6005600c60003960056000f36007600055");
    let bundle = World::bundle([deploy, world.call(1, created)]);
    let executed = world.commit(bundle);
    assert_eq!(executed.effects.outcomes[0].created, Some(created));
    assert_eq!(world.slot(created, 0), U256::from(7));
    assert!(executed.witness.codes.is_empty(), "the code came from the bundle itself");
}

#[test]
fn two_homes_are_named_when_two_senders_sign() {
    let world = World::new(4);
    let bundle = World::bundle([world.transfer(0, OTHER, wei(1)), world.transfer(1, OTHER, wei(1))]);
    let executed = world.execute(bundle).expect("runs");
    let homes: BTreeSet<ShardId> = [0, 1].map(|n| world.placement.shard_of(world.sender(n))).into();
    assert_eq!(executed.homes, homes);
}

#[test]
fn logs_and_codes_go_where_they_belong() {
    let mut world = World::new(4);
    // LOG1(topic 5, no data)
    world.deploy(CONTRACT, "600560006000a1");
    let executed = world.execute(world.call(0, CONTRACT)).expect("runs");
    let log = &executed.effects.outcomes[0].logs[0];
    assert_eq!((log.address, log.topics.len()), (CONTRACT, 1));
    let created = create_address(world.sender(0), 0);
    let executed = world.execute(world.create(0, "6005600c60003960056000f36007600055")).expect("runs");
    for shard in world.placement.shards() {
        let codes = executed.slice(shard, &world.placement).changes.codes;
        assert_eq!(codes.len(), usize::from(shard == world.placement.shard_of(created)));
    }
}

#[test]
fn slices_are_disjoint_and_together_are_the_whole() {
    let mut world = World::new(4);
    world.deploy(CONTRACT, "4131600055");
    let executed = world.execute(world.call(0, CONTRACT)).expect("runs");
    let slices: Vec<_> = world.placement.shards().map(|shard| executed.slice(shard, &world.placement)).collect();
    let keys: Vec<StateKey> = slices.iter().flat_map(|slice| slice.locks.keys().copied()).collect();
    let distinct: BTreeSet<StateKey> = keys.iter().copied().collect();
    assert_eq!(keys.len(), distinct.len());
    let whole: BTreeSet<StateKey> =
        executed.witness.keys().chain(executed.effects.changes.keys().map(|(key, _)| key)).collect();
    assert_eq!(distinct, whole);
    assert!(keys.contains(&key(CONTRACT)));
}
