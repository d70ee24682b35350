//! A forked network: what its shards have not read of the other chain is named, and what they have read was always there.

use super::messages::post_in;
use super::world::{ETHER, Node, S0, S1, World, config, mailbox_code, params, user};
use crate::{
    AccountParts, Answer, BASE_VALUES_COUNT_MAX, BaseRefusal, BaseValue, Busy, Cheat, DeliverRefusal, Entry,
    GenesisAccount, GenesisAccounts, Input, LocalRefusal, OpenError, Shard, ShardConfig, advance, queries, state_tree,
};
use alloy_primitives::{Address, TxKind, U256};
use evm::{AccountState, Environments, NetworkParams, StateKey};
use primitives::{Height, Memory, ShardId, Slot, Time};
use proof::DeliveryStatus;
use std::slice::from_ref;

/// One whom genesis knows nothing of.
const STRANGER: Address = Address::repeat_byte(0x51);

/// A contract of the other chain that gives back what is in its slot 7.
const TELLER: Address = Address::repeat_byte(0x7e);

/// PUSH1 7 SLOAD PUSH0 MSTORE PUSH1 32 PUSH0 RETURN
const TELLS: [u8; 9] = [0x60, 0x07, 0x54, 0x5f, 0x52, 0x60, 0x20, 0x5f, 0xf3];

fn genesis() -> GenesisAccounts {
    let rich = GenesisAccount { balance: ETHER * U256::from(100), ..Default::default() };
    let mailbox = GenesisAccount { nonce: 1, code: mailbox_code().into(), ..Default::default() };
    let users = (1..=6).map(|seed| (user(seed).address(), rich.clone()));
    users.chain([S0, S1].map(|shard| (evm::mailbox_address(shard), mailbox.clone()))).collect()
}

fn forked_config(world: &World, shard: ShardId) -> ShardConfig {
    ShardConfig { forked: true, ..config(shard, &world.params, &world.placement) }
}

/// The same network, forked from another chain.
fn forked(mut world: World) -> World {
    for shard in [S0, S1] {
        let mut store = Memory::default();
        store.commit(&Shard::genesis(&forked_config(&world, shard), &genesis()).unwrap());
        let machine = Shard::open(forked_config(&world, shard), &store).unwrap();
        world.nodes.insert(shard, Node { store, machine });
    }
    world
}

fn world() -> World {
    let on = |seed, shard| (user(seed).address(), shard);
    forked(World::new(2, [on(1, S0), on(2, S0), on(3, S1), (STRANGER, S0), (TELLER, S0)]))
}

fn account(address: Address, nonce: u64, balance: u64, code: &[u8]) -> BaseValue {
    BaseValue::Account { address, nonce, balance: U256::from(balance), code: code.to_vec().into() }
}

fn slot(address: Address, slot: u64, value: u64) -> BaseValue {
    BaseValue::Slot { address, slot: U256::from(slot), value: U256::from(value) }
}

fn take(world: &mut World, shard: ShardId, values: &[BaseValue]) -> Answer {
    world.ask(shard, |ticket| Input::Base { ticket, values: values.to_vec() })
}

fn local(world: &mut World, from: u8, to: Address) -> Answer {
    let payload = world.payload(&[world.sign(&user(from), TxKind::Call(to), U256::from(1), Vec::new())]);
    world.ask(S0, |ticket| Input::Local { ticket, payload: Box::new(payload.clone()) })
}

/// What `to` gives back to user 1.
fn told(world: &mut World, to: Address) -> Result<U256, StateKey> {
    let payload = world.payload(&[world.sign(&user(1), TxKind::Call(to), U256::ZERO, Vec::new())]);
    let answer = world.ask(S0, |ticket| Input::Local { ticket, payload: Box::new(payload.clone()) });
    match (&answer, answer.not_read()) {
        (_, Some(key)) => Err(key),
        (Answer::Executed { outcomes }, None) => Ok(U256::from_be_slice(&outcomes[0].outcome.output)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_run_that_needs_what_is_not_read_is_told_what_and_changes_nothing() {
    let mut world = world();
    let answer = local(&mut world, 1, STRANGER);
    let key = StateKey::Account(STRANGER);
    assert_eq!(answer, Answer::LocalRefused(LocalRefusal::Busy(Busy::NotRead { key })));
    assert_eq!((answer.not_read(), world.nodes[&S0].machine.tip().height), (Some(key), Height(0)));
    assert_eq!(take(&mut world, S0, &[account(STRANGER, 0, 41, &[])]), Answer::BaseTaken);
    assert!(matches!(local(&mut world, 1, STRANGER), Answer::Executed { .. }));
    assert_eq!(world.balance(STRANGER), U256::from(42));
}

#[test]
fn a_contract_of_the_other_chain_runs_on_its_code_and_its_slots() {
    let mut world = world();
    assert_eq!(told(&mut world, TELLER), Err(StateKey::Account(TELLER)));
    take(&mut world, S0, &[account(TELLER, 1, 0, &TELLS)]);
    assert_eq!(told(&mut world, TELLER), Err(StateKey::Slot(TELLER, U256::from(7))));
    take(&mut world, S0, &[slot(TELLER, 7, 99)]);
    assert_eq!(told(&mut world, TELLER), Ok(U256::from(99)));
}

#[test]
fn a_storage_in_which_nothing_can_be_is_read_with_its_account() {
    let mut world = world();
    let slots = [STRANGER, user(1).address()].map(|address| StateKey::Slot(address, U256::from(3)));
    let missing = queries::unread(world.store(S0), slots);
    assert_eq!(missing, [StateKey::Account(STRANGER), slots[0]].into(), "that of an account at genesis is read");
    take(&mut world, S0, &[account(STRANGER, 0, 5, &[])]);
    assert_eq!(queries::unread(world.store(S0), slots), [].into());
    // Whoever has sent a transaction may have delegated, and so written.
    take(&mut world, S0, &[account(TELLER, 1, 0, &[])]);
    assert_eq!(queries::unread(world.store(S0), [StateKey::Slot(TELLER, U256::ZERO)]).len(), 1);
}

#[test]
fn a_value_is_taken_once_and_never_over_what_was_written() {
    let mut world = world();
    take(&mut world, S0, &[account(STRANGER, 0, 41, &[])]);
    local(&mut world, 1, STRANGER);
    let height = world.nodes[&S0].machine.tip().height;
    assert_eq!(take(&mut world, S0, &[account(STRANGER, 0, 7, &[])]), Answer::BaseTaken);
    assert_eq!(world.balance(STRANGER), U256::from(42));
    assert_eq!(world.nodes[&S0].machine.tip().height, height, "what is read already makes no block");
}

#[test]
fn what_was_read_late_was_there_after_every_slot() {
    let mut world = world();
    take(&mut world, S0, &[account(TELLER, 1, 7, &TELLS), slot(TELLER, 7, 0)]);
    local(&mut world, 1, TELLER);
    let first = world.params.slot_at(world.now);
    world.wait(60_000);
    take(&mut world, S0, &[account(STRANGER, 0, 41, &[])]);
    local(&mut world, 1, STRANGER);
    let last = world.params.slot_at(world.now);
    for is_advanced in [false, true] {
        if is_advanced {
            world.advance(S0);
        }
        let balance = |address, slot| {
            let values = queries::values_after(world.store(S0), &[StateKey::Account(address)], slot).unwrap();
            values[0].as_deref().map(|bytes| queries::account_of(bytes).balance)
        };
        let before = Slot(first.0 - 1);
        for (slot, stranger, teller) in [(before, 41, 7), (first, 41, 8), (Slot(last.0 - 1), 41, 8), (last, 42, 8)] {
            let expected = (Some(U256::from(stranger)), Some(U256::from(teller)));
            assert_eq!((balance(STRANGER, slot), balance(TELLER, slot)), expected, "after slot {slot}");
        }
    }
}

#[test]
fn a_value_that_was_read_is_in_the_state_root_and_in_the_log_of_its_block() {
    let mut world = world();
    let taken = [account(STRANGER, 0, 41, &[]), account(TELLER, 1, 0, &TELLS), slot(TELLER, 7, 99)];
    take(&mut world, S0, &taken);
    let blocks = queries::blocks(world.store(S0), Height(1), 8).unwrap();
    assert!(matches!(&blocks[..], [block] if matches!(block.entries[..], [Entry::Based { .. }])), "{blocks:?}");
    let next = advance(world.store(S0), 8, 100).unwrap().unwrap();
    world.step(S0, vec![Input::StateRoots(next)]);
    let (value, proof) = state_tree::prove(world.store(S0), &StateKey::Account(STRANGER), Height(1)).unwrap();
    let root = state_tree::root_at(world.store(S0), Height(1)).unwrap();
    state_tree::verify(root, &StateKey::Account(STRANGER), value.as_deref(), &proof).unwrap();
    assert_eq!(value, Some(primitives::encode(&AccountState::with_balance(U256::from(41)))));
    let keys = taken.map(|value| value.key());
    assert!(keys.iter().all(|key| queries::read_at(world.store(S0), *key) == Some(Height(1))));
}

#[test]
fn a_vote_waits_for_what_is_not_read() {
    let far = Address::repeat_byte(0x52);
    let on = |seed, shard| (user(seed).address(), shard);
    let mut world = forked(World::new(2, [on(1, S0), (far, S1)]));
    // A coordinator that made the value up.
    let payload = world.payload(&[world.sign(&user(1), TxKind::Call(far), ETHER, Vec::new())]);
    let mut prepare = world.attempt(&payload, 1);
    let home = world.prepare(S0, &prepare);
    prepare.homes = vec![world.vote(&home)];
    assert_eq!(world.prepare(S1, &prepare).not_read(), Some(StateKey::Account(far)));
    take(&mut world, S1, &[account(far, 0, 5, &[])]);
    let vote = world.prepare(S1, &prepare);
    assert!(!world.vote(&vote).vote.verdict.is_yes(), "it was not nothing: {vote:?}");
}

#[test]
fn a_message_to_somebody_who_is_not_read_is_neither_lost_nor_failed() {
    let (sender, receiver) = (user(1).address().create(0), user(2).address().create(0));
    let on = |seed, shard| (user(seed).address(), shard);
    let mut world = forked(World::new(2, [on(1, S0), on(2, S1), (sender, S0), (receiver, S1), (TELLER, S1)]));
    take(&mut world, S0, &[account(sender, 0, 0, &[])]);
    take(&mut world, S1, &[account(receiver, 0, 0, &[])]);
    let mut post = post_in(world);
    let fact = post.send(TELLER, ETHER, Time(u64::MAX));
    let refused = post.world.deliver(S1, &fact);
    let key = StateKey::Account(TELLER);
    assert_eq!(refused, Answer::DeliverRefused(DeliverRefusal::Busy(Busy::NotRead { key })));
    take(&mut post.world, S1, &[account(TELLER, 1, 0, &[0x00])]);
    let Answer::Delivered { delivery, .. } = post.world.deliver(S1, &fact) else { panic!("not delivered") };
    assert_eq!((delivery.status, post.world.balance(TELLER)), (DeliveryStatus::Delivered, ETHER));
}

#[test]
fn values_that_are_not_to_be_taken_are_refused_with_a_reason() {
    let mut plain = World::new(2, [(STRANGER, S0)]);
    let value = account(STRANGER, 0, 1, &[]);
    assert_eq!(take(&mut plain, S0, from_ref(&value)), Answer::BaseRefused(BaseRefusal::NotForked));
    let mut world = world();
    let refused = |world: &mut World, shard, values: &[BaseValue]| match take(world, shard, values) {
        Answer::BaseRefused(refusal) => refusal,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(&mut world, S1, from_ref(&value)), BaseRefusal::Foreign { key: StateKey::Account(STRANGER) });
    let orphan = [slot(STRANGER, 1, 1)];
    assert_eq!(refused(&mut world, S0, &orphan), BaseRefusal::NoAccount { address: STRANGER });
    let actual = BASE_VALUES_COUNT_MAX + 1;
    assert_eq!(refused(&mut world, S0, &vec![value; actual]), BaseRefusal::TooMany { actual });
    assert_eq!(world.nodes[&S0].machine.tip().height, Height(0));
}

#[test]
fn a_store_is_opened_as_it_was_begun() {
    let world = world();
    let opened = Shard::open(config(S0, &world.params, &world.placement), world.store(S0));
    assert!(matches!(opened, Err(OpenError::Forked { store: true, network: false })));
    let plain = World::new(2, []);
    let opened = Shard::open(forked_config(&plain, S0), plain.store(S0));
    assert!(matches!(opened, Err(OpenError::Forked { store: false, network: true })));
}

#[test]
fn what_was_read_is_read_after_a_restart() {
    let mut world = world();
    take(&mut world, S0, &[account(TELLER, 1, 0, &TELLS), slot(TELLER, 7, 99)]);
    let config = forked_config(&world, S0);
    let node = world.nodes.get_mut(&S0).unwrap();
    node.machine = Shard::open(config, &node.store).unwrap();
    assert_eq!(told(&mut world, TELLER), Ok(U256::from(99)));
}

/// A forked network with cheats.
fn cheating() -> World {
    let params = NetworkParams { environments: Environments::Cheats, ..params() };
    let on = |seed, shard| (user(seed).address(), shard);
    forked(World::with_params(params, 2, [on(1, S0), on(2, S0), on(3, S1), (STRANGER, S0), (TELLER, S0)], &genesis()))
}

fn set(world: &mut World, address: Address, parts: AccountParts) -> Answer {
    let cheat = Cheat::Set { address, parts };
    world.ask(S0, |ticket| Input::Cheat { ticket, cheat: Box::new(cheat.clone()) })
}

#[test]
fn what_is_set_is_set_over_what_the_other_chain_has() {
    let mut world = cheating();
    let parts = AccountParts {
        balance: Some(U256::from(5)),
        slots: [(U256::from(7), U256::from(8))].into(),
        ..Default::default()
    };
    let answer = set(&mut world, TELLER, parts.clone());
    assert_eq!(answer.not_read(), Some(StateKey::Account(TELLER)), "its code and nonce stay, and are not known yet");
    take(&mut world, S0, &[account(TELLER, 3, 40, &TELLS)]);
    let answer = set(&mut world, TELLER, parts.clone());
    assert_eq!(answer.not_read(), Some(StateKey::Slot(TELLER, U256::from(7))));
    take(&mut world, S0, &[slot(TELLER, 7, 99)]);
    assert!(matches!(set(&mut world, TELLER, parts), Answer::Cheated { .. }));
    let teller = world.account(TELLER).unwrap();
    assert_eq!((teller.nonce, teller.balance), (3, U256::from(5)));
    assert_eq!(told(&mut world, TELLER), Ok(U256::from(8)));
}

#[test]
fn going_back_ends_in_what_the_other_chain_has_also_where_nobody_had_read_it_then() {
    let mut world = cheating();
    let before = world.params.slot_at(world.now);
    world.wait(10_000);
    take(&mut world, S0, &[account(STRANGER, 0, 41, &[])]);
    assert!(matches!(local(&mut world, 1, STRANGER), Answer::Executed { .. }));
    assert_eq!(world.balance(STRANGER), U256::from(42));
    world.wait(10_000);
    let revert = Cheat::Revert { to: before };
    let answer = world.ask(S0, |ticket| Input::Cheat { ticket, cheat: Box::new(revert.clone()) });
    assert!(matches!(answer, Answer::Cheated { .. }), "{answer:?}");
    assert_eq!(world.balance(STRANGER), U256::from(41));
}
