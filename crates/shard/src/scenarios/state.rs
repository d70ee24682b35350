//! The state tree beside the log.

use super::world::{ETHER, S0, S1, SLOTS_KEPT, World, user};
use crate::spaces::{TREE_NODES, TREE_STALE, TREE_VALUES};
use crate::state_tree::{self, STATE_ROOT_LAG_BLOCKS_MAX, STATE_VERSIONS_KEPT_COUNT, StateTreeError};
use crate::{Answer, Busy, GenesisAccount, Input, LocalRefusal, Ticket, advance, queries};
use alloy_primitives::{Address, U256};
use evm::StateKey;
use primitives::Height;

fn world() -> World {
    let on = |seed, shard| (user(seed).address(), shard);
    World::new(2, [on(1, S0), on(2, S0), on(3, S1), on(4, S1)])
}

fn pay(world: &mut World, from: u8, to: u8) {
    let payload = world.transfer(&user(from), user(to).address(), ETHER);
    world.local(S0, &payload);
}

#[test]
fn the_state_root_does_not_depend_on_the_order_of_transactions() {
    let (mut first, mut second) = (world(), world());
    for (from, to) in [(1, 2), (2, 1)] {
        pay(&mut first, from, to);
    }
    for (from, to) in [(2, 1), (1, 2)] {
        pay(&mut second, from, to);
    }
    first.advance(S0);
    second.advance(S0);
    let root = |world: &World| state_tree::newest_root(world.store(S0)).unwrap();
    assert_eq!(root(&first), root(&second));
    assert_ne!(Some(root(&first).1), state_tree::root_at(first.store(S0), Height(0)));
}

#[test]
fn an_account_may_start_with_the_hash_of_a_code_that_nobody_has() {
    let (account, hash) = (Address::repeat_byte(9), alloy_primitives::B256::repeat_byte(7));
    let given = GenesisAccount { code_hash: Some(hash), balance: ETHER, ..GenesisAccount::default() };
    let world = World::with_accounts(1, [], &[(account, given)].into());
    let stored = queries::account(world.store(S0), account).unwrap();
    assert_eq!((stored.code_hash, stored.balance), (hash, ETHER));
    assert_eq!(queries::code(world.store(S0), hash), None);
}

#[test]
fn a_root_does_not_depend_on_when_the_ones_before_it_were_computed() {
    let (mut often, mut once) = (world(), world());
    for _ in 0..5 {
        pay(&mut often, 1, 2);
        often.advance(S0);
        pay(&mut once, 1, 2);
    }
    once.advance(S0);
    let root = |world: &World| state_tree::newest_root(world.store(S0));
    assert_eq!(root(&often), root(&once));
    assert_eq!(root(&once).map(|(height, _)| height), Some(Height(5)));
}

#[test]
fn a_certified_header_proves_an_account_and_an_absence() {
    let mut world = world();
    pay(&mut world, 1, 2);
    world.advance(S0);
    pay(&mut world, 1, 2);
    let (present, absent) = (StateKey::Account(user(2).address()), StateKey::Slot(Address::repeat_byte(9), U256::ONE));
    let proven = queries::prove_state(world.store(S0), &[present, absent]).unwrap().unwrap();
    primitives::Verified::by(&world.verifier, (proven.header.clone(), proven.certificate)).unwrap();
    assert_eq!(proven.header.state_height, Height(1));
    let root = proven.header.state_root;
    let account: evm::AccountState = primitives::decode(proven.values[0].value.as_ref().unwrap(), 1024).unwrap();
    assert_eq!(account.balance, ETHER * U256::from(101), "as of the block that the root is of");
    for (key, value) in [present, absent].iter().zip(&proven.values) {
        assert_eq!(state_tree::verify(root, key, value.value.as_deref(), &value.proof), Ok(()));
    }
    let [shown, missing] = &proven.values[..] else { panic!() };
    let wrong = [
        state_tree::verify(root, &present, None, &shown.proof),
        state_tree::verify(root, &present, Some(b"other"), &shown.proof),
        state_tree::verify(root, &absent, Some(b"other"), &missing.proof),
        state_tree::verify(root, &absent, shown.value.as_deref(), &shown.proof),
        state_tree::verify(proven.header.parent, &present, shown.value.as_deref(), &shown.proof),
    ];
    for refused in wrong {
        assert!(matches!(refused, Err(StateTreeError::Proof { .. })), "{refused:?}");
    }
}

#[test]
fn an_advance_computed_twice_is_taken_once() {
    let mut world = world();
    pay(&mut world, 1, 2);
    let advance = advance(world.store(S0), 16, SLOTS_KEPT).unwrap().unwrap();
    world.step(S0, vec![Input::StateRoots(advance.clone())]);
    let batches = world.batches;
    world.step(S0, vec![Input::StateRoots(advance)]);
    assert_eq!(world.batches, batches);
    assert_eq!(world.nodes[&S0].machine.state_lag(), 0);
}

#[test]
fn new_work_waits_for_a_state_root_that_lags_too_far() {
    let mut world = world();
    // Each tombstone is a block; what is never refused for lag makes the lag.
    (0..8).for_each(|turn| pay(&mut world, turn % 2 + 1, 2 - turn % 2));
    let mut descriptor = world.attempt(&world.transfer(&user(1), user(3).address(), ETHER), 1).descriptor;
    for number in 8..=STATE_ROOT_LAG_BLOCKS_MAX as u32 {
        descriptor.number = number;
        world.step(
            S0,
            vec![Input::AbortRequest { ticket: Ticket(0), descriptor: Box::new(descriptor.clone()), waits: None }],
        );
    }
    let payload = world.transfer(&user(1), user(2).address(), ETHER);
    let answer = world.ask(S0, |ticket| Input::Local { ticket, payload: Box::new(payload.clone()) });
    assert!(matches!(answer, Answer::LocalRefused(LocalRefusal::Busy(Busy::Lagging { .. }))), "{answer:?}");
    world.advance(S0);
    world.local(S0, &payload);
}

#[test]
fn old_versions_of_the_tree_are_pruned_and_the_rest_still_proves() {
    let mut world = world();
    let sizes = |world: &World| [TREE_NODES, TREE_STALE, TREE_VALUES].map(|space| world.store(S0).count(space));
    let blocks = STATE_VERSIONS_KEPT_COUNT + 300;
    let mut at_bound = None;
    for block in 0..blocks {
        let next = u8::try_from(block % 2).unwrap() + 1;
        pay(&mut world, next, 3 - next);
        world.advance(S0);
        if block == STATE_VERSIONS_KEPT_COUNT + 10 {
            at_bound = Some(sizes(&world));
        }
    }
    let grown = sizes(&world).iter().zip(at_bound.unwrap()).any(|(now, then)| *now > then + 16);
    assert!(!grown, "{:?} after {:?}", sizes(&world), at_bound);
    let key = StateKey::Account(user(2).address());
    for height in [Height(blocks), Height(blocks - STATE_VERSIONS_KEPT_COUNT + 1)] {
        let (value, proof) = state_tree::prove(world.store(S0), &key, height).unwrap();
        let root = state_tree::root_at(world.store(S0), height).unwrap();
        assert_eq!(state_tree::verify(root, &key, value.as_deref(), &proof), Ok(()));
    }
    let gone = state_tree::prove(world.store(S0), &key, Height(1));
    assert_eq!(gone, Err(StateTreeError::NoVersion { height: Height(1) }));
}
