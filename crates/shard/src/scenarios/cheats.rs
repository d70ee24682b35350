//! State that is set, on a network with cheats, and refused on every other.

use super::world::{ETHER, NETWORK, S0, S1, World, params, user};
use crate::state_tree;
use crate::{
    AccountParts, Answer, Busy, Cheat, CheatRefusal, Entry, GenesisAccount, GenesisAccounts, Input, LocalRefusal,
    queries,
};
use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, TxKind, U256};
use evm::{
    Data, Environment, Environments, NetworkParams, Payload, PayloadVerifier, SignedTransaction, StateKey, Status,
    TransactionKind,
};
use primitives::{Height, Slot, Verified};

/// Returns TIMESTAMP.
const CLOCK: [u8; 8] = [0x42, 0x5f, 0x52, 0x60, 0x20, 0x5f, 0xf3, 0x00];

fn cheating() -> NetworkParams {
    NetworkParams { environments: Environments::Cheats, ..params() }
}

/// Users 1 and 2 on shard 0, users 3 and 4 on shard 1.
fn world(params: NetworkParams) -> World {
    let on = |seed, shard| (user(seed).address(), shard);
    let funded =
        |seed| (user(seed).address(), GenesisAccount { balance: ETHER * U256::from(100), ..Default::default() });
    let accounts: GenesisAccounts = (1..=4).map(funded).collect();
    World::with_params(params, 2, [on(1, S0), on(2, S0), on(3, S1), on(4, S1)], &accounts)
}

fn cheat(world: &mut World, cheat: &Cheat) -> Answer {
    let shard = match cheat {
        Cheat::Set { address, .. } => world.placement.shard_of(*address),
        Cheat::Revert { .. } | Cheat::Look { .. } => S0,
    };
    world.ask(shard, |ticket| Input::Cheat { ticket, cheat: Box::new(cheat.clone()) })
}

fn set(world: &mut World, address: Address, parts: AccountParts) -> Slot {
    match cheat(world, &Cheat::Set { address, parts }) {
        Answer::Cheated { slot, .. } => slot,
        other => panic!("not set: {other:?}"),
    }
}

fn refusal(answer: Answer) -> CheatRefusal {
    match answer {
        Answer::CheatRefused(refusal) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

fn everything() -> AccountParts {
    AccountParts {
        nonce: Some(7),
        balance: Some(U256::from(5)),
        code: Some(CLOCK.to_vec().into()),
        slots: [(U256::from(1), U256::from(9))].into(),
    }
}

fn pay(world: &mut World, from: u8, to: u8) -> B256 {
    let payload = world.transfer(&user(from), user(to).address(), ETHER);
    world.local(S0, &payload)[0].transaction
}

/// A closed slot, and a time after it.
fn close(world: &mut World) -> Slot {
    let slot = world.params.slot_at(world.now);
    world.wait(10_000);
    slot
}

#[test]
fn a_network_without_cheats_refuses_every_one() {
    let mut world = world(params());
    let address = user(1).address();
    for asked in
        [Cheat::Set { address, parts: everything() }, Cheat::Revert { to: Slot(0) }, Cheat::Look { to: Slot(0) }]
    {
        assert_eq!(refusal(cheat(&mut world, &asked)), CheatRefusal::NoCheats);
    }
    assert_eq!(world.nodes[&S0].machine.tip().height, Height(0), "and no block is made");
}

#[test]
fn what_is_set_is_in_a_block_in_the_state_tree_and_over_a_restart() {
    let mut world = world(cheating());
    let address = Address::repeat_byte(0x77);
    let shard = world.placement.shard_of(address);
    let slot = set(&mut world, address, everything());
    world.restart(shard);
    let account = world.account(address).unwrap();
    assert_eq!((account.nonce, account.balance, world.slot(address, 1)), (7, U256::from(5), U256::from(9)));
    assert_eq!(queries::code(world.store(shard), account.code_hash), Some(CLOCK.to_vec()));
    let block = &queries::blocks(world.store(shard), Height(1), 1).unwrap()[0];
    assert!(matches!(block.entries[..], [Entry::Cheated { .. }]), "{:?}", block.entries);
    world.advance(shard);
    assert_eq!(state_tree::newest_root(world.store(shard)).unwrap().0, Height(1));
    let after = |slot| queries::values_after(world.store(shard), &[StateKey::Account(address)], slot).unwrap();
    assert_eq!(after(Slot(slot.0 - 1)), [None]);
    assert_eq!(after(slot), [Some(primitives::encode(&account))]);
}

#[test]
fn parts_that_are_not_named_stay_and_an_account_with_nothing_in_it_is_none() {
    let mut world = world(cheating());
    let address = user(1).address();
    set(&mut world, address, AccountParts { nonce: Some(3), ..AccountParts::default() });
    let account = world.account(address).unwrap();
    assert_eq!((account.nonce, account.balance), (3, ETHER * U256::from(100)));
    let nothing = AccountParts { nonce: Some(0), balance: Some(U256::ZERO), ..AccountParts::default() };
    set(&mut world, address, nothing);
    assert_eq!(world.account(address), None);
}

#[test]
fn storage_that_is_computed_is_not_set_unless_the_account_has_another_code() {
    let mut world = world(cheating());
    let address = evm::HISTORY_ADDRESS;
    let published = alloy_eips::eip2935::HISTORY_STORAGE_CODE.to_vec();
    set(&mut world, address, AccountParts { code: Some(published.into()), ..AccountParts::default() });
    let slots = AccountParts { slots: everything().slots, ..AccountParts::default() };
    let asked = Cheat::Set { address, parts: slots.clone() };
    assert_eq!(refusal(cheat(&mut world, &asked)), CheatRefusal::Computed { address });
    set(&mut world, address, AccountParts { code: everything().code, ..slots });
    assert_eq!(world.slot(address, 1), U256::from(9));
}

#[test]
fn an_account_of_another_shard_is_not_set_here() {
    let mut world = world(cheating());
    let address = user(3).address();
    let asked = Cheat::Set { address, parts: everything() };
    let answer = world.ask(S0, |ticket| Input::Cheat { ticket, cheat: Box::new(asked.clone()) });
    assert_eq!(refusal(answer), CheatRefusal::NotOwn { address, owner: S1, me: S0 });
}

#[test]
fn what_an_undecided_attempt_holds_is_neither_set_nor_reverted() {
    let mut world = world(cheating());
    let before = close(&mut world);
    let payload = world.transfer(&user(1), user(3).address(), ETHER);
    let mut attempt = world.attempt(&payload, 1);
    let votes = world.prepare_all(&mut attempt);
    let asked = Cheat::Set { address: user(1).address(), parts: everything() };
    assert!(matches!(refusal(cheat(&mut world, &asked)), CheatRefusal::Busy(Busy::Locked { .. })));
    let reverted = cheat(&mut world, &Cheat::Revert { to: before });
    assert_eq!(refusal(reverted), CheatRefusal::Busy(Busy::Attempts { live: 1 }));
    for shard in [S0, S1] {
        world.decide(shard, &attempt.descriptor, &votes);
    }
    set(&mut world, user(1).address(), everything());
}

/// What becomes of a payment of the slot before, after `cheats` of the present one.
fn paid_late(cheats: impl Fn(&mut World)) -> Answer {
    let mut world = world(cheating());
    let payment = world.transfer(&user(1), user(2).address(), ETHER);
    world.wait(1_200);
    cheats(&mut world);
    world.ask(S0, |ticket| Input::Local { ticket, payload: Box::new(payment.clone()) })
}

#[test]
fn what_is_set_moves_the_order_of_slots_on() {
    let touch = |world: &mut World| {
        set(world, user(2).address(), AccountParts { balance: Some(ETHER), ..AccountParts::default() });
    };
    assert!(matches!(paid_late(|_| ()), Answer::Executed { .. }));
    assert!(matches!(paid_late(touch), Answer::LocalRefused(LocalRefusal::Slot(_))), "R13");
}

#[test]
fn a_revert_sets_every_key_back_and_what_was_done_may_be_done_again() {
    for advances in [false, true] {
        let mut world = world(cheating());
        let first = pay(&mut world, 1, 2);
        let (to, before) = (close(&mut world), world.union());
        let second = pay(&mut world, 2, 1);
        set(&mut world, user(1).address(), everything());
        if advances {
            world.advance(S0);
        }
        let third = pay(&mut world, 2, 1);
        assert!(matches!(cheat(&mut world, &Cheat::Revert { to }), Answer::Cheated { .. }));
        let after = world.union();
        assert_eq!((&after.accounts, &after.slots, &after.fees), (&before.accounts, &before.slots, &before.fees));
        let is_known = |world: &World, hash| queries::outcome(world.store(S0), hash).is_some();
        assert_eq!([first, second, third].map(|hash| is_known(&world, hash)), [true, false, false]);
        world.wait(2_000);
        assert_eq!(pay(&mut world, 2, 1), second, "the same transaction runs again");
        world.restart(S0);
        assert_eq!(world.account(user(2).address()).unwrap().nonce, 1);
        let past = queries::values_after(world.store(S0), &[StateKey::Account(user(1).address())], to).unwrap();
        let then = primitives::encode(&before.accounts[&user(1).address()]);
        assert_eq!(past, [Some(then)], "the past stays what it was");
    }
}

#[test]
fn a_revert_beside_other_work_of_its_step_waits() {
    let mut world = world(cheating());
    let to = close(&mut world);
    let payload = world.transfer(&user(1), user(2).address(), ETHER);
    let local = Input::Local { ticket: crate::Ticket(901), payload: Box::new(payload) };
    let revert = Input::Cheat { ticket: crate::Ticket(902), cheat: Box::new(Cheat::Revert { to }) };
    let answers = world.step(S0, vec![local, revert]).unwrap();
    assert!(matches!(answers[1], Answer::CheatRefused(CheatRefusal::Busy(Busy::Inputs))), "{answers:?}");
}

/// A transaction whose sender is named.
fn named(from: Address, to: Address, nonce: u64) -> Data {
    let transaction = TxEip1559 {
        chain_id: NETWORK.0,
        nonce,
        gas_limit: 100_000,
        max_fee_per_gas: 10,
        to: TxKind::Call(to),
        ..TxEip1559::default()
    };
    TxEnvelope::Eip1559(transaction.into_signed(evm::impersonation(from))).encoded_2718().into()
}

fn at(environment: Environment, bytes: Data) -> Payload {
    Payload::bundle(environment, vec![TransactionKind::Signed(SignedTransaction(bytes))])
}

#[test]
fn a_named_sender_is_taken_with_cheats_and_recovers_to_nobody_without() {
    let mut world = world(cheating());
    let contract = user(1).address();
    set(&mut world, contract, AccountParts { code: Some(CLOCK.to_vec().into()), ..AccountParts::default() });
    let environment = Environment::Slot(world.params.slot_at(world.now));
    let payload = at(environment, named(contract, user(2).address(), 0));
    assert!(Verified::by(&PayloadVerifier::new(params()), payload.clone()).is_err());
    let payload = Verified::by(&PayloadVerifier::new(cheating()), payload).unwrap();
    let outcome = &world.local(S0, &payload)[0];
    assert_eq!((outcome.sender, outcome.outcome.status), (contract, Status::Success), "though it has code (EIP-3607)");
    assert_eq!(world.account(contract).unwrap().nonce, 1);
}

#[test]
fn a_payload_names_its_time_with_cheats_alone() {
    let mut world = world(cheating());
    let contract = user(2).address();
    set(&mut world, contract, AccountParts { code: Some(CLOCK.to_vec().into()), ..AccountParts::default() });
    let slot = world.params.slot_at(world.now);
    let travelled = Environment::Travelled { slot, timestamp: 4_000_000_000 };
    let payload = at(travelled, named(user(1).address(), contract, 0));
    assert!(Verified::by(&PayloadVerifier::new(params()), payload.clone()).is_err());
    let payload = Verified::by(&PayloadVerifier::new(cheating()), payload).unwrap();
    let outcome = &world.local(S0, &payload)[0];
    assert_eq!(U256::from_be_slice(&outcome.outcome.output), U256::from(4_000_000_000_u64));
    assert_eq!((outcome.number, outcome.shown), (slot.0, slot), "and is in its slot");
}

#[test]
fn an_attempt_over_two_shards_takes_a_named_sender_at_a_time_of_its_own() {
    let mut world = world(cheating());
    let slot = world.params.slot_at(world.now);
    let travelled = Environment::Travelled { slot, timestamp: 4_000_000_000 };
    let payload = at(travelled, named(user(1).address(), user(3).address(), 0));
    let payload = Verified::by(&PayloadVerifier::new(cheating()), payload).unwrap();
    world.commit(&payload);
    world.assert_quiet();
    assert_eq!(world.account(user(1).address()).unwrap().nonce, 1);
}
