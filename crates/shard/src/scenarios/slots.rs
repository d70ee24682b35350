//! One chain (I20): what a shard takes comes after all that it conflicts with, slot by slot.

use super::world::{ETHER, S0, S1, World, artifact, user};
use crate::limits::{SLOT_AHEAD_MAX, SLOT_BEHIND_MAX};
use crate::shard::Work;
use crate::{Answer, Input, LocalRefusal, SlotRefused};
use alloy_primitives::{TxKind, U256};
use commit::{Refusal, Verdict};
use evm::{Environment, Payload, PayloadVerifier, RecoveredPayload};
use primitives::{Slot, Time, Verified};

/// Users 1 and 2 on shard 0, users 3 and 4 on shard 1, at the begin of a slot.
fn world() -> World {
    let on = |seed, shard| (user(seed).address(), shard);
    World::new(2, [on(1, S0), on(2, S0), on(3, S1), on(4, S1), on(5, S0), on(6, S0)])
}

fn now(world: &World) -> Slot {
    world.params.slot_at(world.now)
}

/// A payload of these transactions at `slot`.
fn at(world: &World, slot: Slot, transactions: &[Vec<u8>]) -> Verified<RecoveredPayload> {
    let payload = world.payload(transactions).payload().clone();
    let payload = Payload { environment: Environment::Slot(slot), ..payload };
    Verified::by(&PayloadVerifier::new(world.params.clone()), payload).unwrap()
}

/// A transfer of one ether at `slot`.
fn transfer(world: &World, slot: Slot, from: u8, to: u8) -> Verified<RecoveredPayload> {
    at(world, slot, &[world.sign(&user(from), TxKind::Call(user(to).address()), ETHER, Vec::new())])
}

fn local(world: &mut World, payload: &Verified<RecoveredPayload>) -> Answer {
    world.ask(S0, |ticket| Input::Local { ticket, payload: Box::new(payload.clone()) })
}

fn refused(slot: Slot, taken: Slot) -> Answer {
    Answer::LocalRefused(LocalRefusal::Slot(SlotRefused { slot, taken }))
}

#[test]
fn a_payload_before_one_that_wrote_the_same_key_is_refused_and_told_a_slot() {
    let mut world = world();
    let (earlier, later) = (now(&world), now(&world).next());
    world.wait(1_000);
    let first = transfer(&world, later, 1, 2);
    assert!(matches!(local(&mut world, &first), Answer::Executed { .. }));
    let behind = transfer(&world, earlier, 2, 5);
    assert_eq!(local(&mut world, &behind), refused(earlier, later), "the first wrote account 2");
    let again = transfer(&world, later, 2, 5);
    assert!(matches!(local(&mut world, &again), Answer::Executed { .. }));
}

#[test]
fn a_payload_that_shares_no_key_may_be_of_an_earlier_slot() {
    let mut world = world();
    let (earlier, later) = (now(&world), now(&world).next());
    world.wait(1_000);
    let first = transfer(&world, later, 1, 2);
    assert!(matches!(local(&mut world, &first), Answer::Executed { .. }));
    let other = transfer(&world, earlier, 5, 6);
    assert!(matches!(local(&mut world, &other), Answer::Executed { .. }));
}

#[test]
fn a_prepare_before_one_that_wrote_the_same_key_gets_a_no_that_names_a_slot() {
    let mut world = world();
    let (earlier, later) = (now(&world), now(&world).next());
    world.wait(1_000);
    let first = transfer(&world, later, 1, 2);
    assert!(matches!(local(&mut world, &first), Answer::Executed { .. }));
    let behind = world.attempt(&transfer(&world, earlier, 2, 3), 1);
    let Answer::Voted { vote, .. } = world.prepare(S0, &behind) else { panic!("no vote") };
    assert_eq!(vote.verdict, Verdict::No(Refusal::Slot { taken: later }));
    let again = transfer(&world, later, 2, 3);
    world.commit(&again);
}

#[test]
fn a_shard_that_opens_still_takes_nothing_before_its_newest_commit() {
    let mut world = world();
    let (earlier, later) = (now(&world), now(&world).next());
    world.wait(1_000);
    let first = transfer(&world, later, 1, 2);
    assert!(matches!(local(&mut world, &first), Answer::Executed { .. }));
    world.restart(S0);
    let behind = transfer(&world, earlier, 2, 5);
    assert_eq!(local(&mut world, &behind), refused(earlier, later));
}

#[test]
fn a_slot_is_taken_for_a_bounded_time_after_its_end_and_before_its_begin() {
    let mut world = world();
    let slot = now(&world);
    let payload = transfer(&world, slot, 1, 2);
    let end = world.params.end_of(slot);
    world.now = Time(end.0 + SLOT_BEHIND_MAX.0);
    assert_eq!(local(&mut world, &payload), refused(slot, now(&world)));
    let mut early = self::world();
    let next = now(&early).next();
    let start = early.params.start_of(next);
    let payload = transfer(&early, next, 1, 2);
    early.now = Time(start.0 - SLOT_AHEAD_MAX.0 - 1);
    assert_eq!(local(&mut early, &payload), refused(next, now(&early)));
    early.wait(1);
    assert!(matches!(local(&mut early, &payload), Answer::Executed { .. }));
}

#[test]
fn a_deployment_waits_for_its_slot_to_begin() {
    let on = |address| (address, S0);
    let mut world = World::new(2, [on(user(1).address()), on(user(1).address().create(0))]);
    let next = now(&world).next();
    world.now = Time(world.params.start_of(next).0 - 1);
    let code = artifact("Counter", "bytecode");
    let deploy = at(&world, next, &[world.sign(&user(1), TxKind::Create, U256::ZERO, code)]);
    let early = now(&world);
    assert_eq!(local(&mut world, &deploy), refused(next, early));
    world.wait(1);
    assert!(matches!(local(&mut world, &deploy), Answer::Executed { .. }));
}

#[test]
fn what_a_shard_runs_by_itself_never_lies_before_what_it_was_asked_for() {
    let mut world = world();
    let next = now(&world).next();
    world.now = Time(world.params.start_of(next).0 - SLOT_AHEAD_MAX.0);
    let ahead = transfer(&world, next, 1, 2);
    assert!(matches!(local(&mut world, &ahead), Answer::Executed { .. }));
    let node = world.nodes.get_mut(&S0).unwrap();
    assert_eq!(Work::new(&mut node.machine, &node.store).own_environment(), Environment::Slot(next));
}
