//! Where outcomes are shown, and what a shard says is closed (I20).

use super::world::{ETHER, S0, S1, World, user};
use crate::limits::{SLOT_AHEAD_MAX, SLOT_BEHIND_MAX, SLOT_CLOSED_MAX};
use crate::queries::{self, OutcomeCursor};
use crate::{Answer, Input, OutcomeRecord, PastError};
use alloy_primitives::U256;
use evm::{RecoveredPayload, StateKey};
use primitives::{ShardId, Slot, Verified};

/// User 1 on shard 0, user 3 on shard 1.
fn world() -> World {
    World::new(2, [(1, S0), (2, S0), (3, S1), (4, S1)].map(|(seed, shard)| (user(seed).address(), shard)))
}

fn open(world: &mut World, shard: ShardId) -> Slot {
    match world.ask(shard, |ticket| Input::Attest { ticket }) {
        Answer::Attested { open, .. } => open,
        other => panic!("{other:?}"),
    }
}

fn recorded(world: &World, payload: &Verified<RecoveredPayload>) -> OutcomeRecord {
    queries::outcome(world.store(S0), payload.signed().next().unwrap().hash()).unwrap()
}

#[test]
fn an_outcome_is_shown_in_the_slot_that_it_ran_at() {
    let mut world = world();
    let slot = world.params.slot_at(world.now);
    let (local, across) =
        (world.transfer(&user(1), user(2).address(), ETHER), world.transfer(&user(2), user(3).address(), ETHER));
    let record = world.local(S0, &local).remove(0);
    assert_eq!((record.number, record.shown), (slot.0, slot));
    // Decided slots later, and still in time.
    let mut prepare = world.attempt(&across, 1);
    let votes = world.prepare_all(&mut prepare);
    world.wait(SLOT_CLOSED_MAX.0 - world.params.slot_length.0);
    world.decide(S0, &prepare.descriptor, &votes);
    let record = recorded(&world, &across);
    assert!(world.params.slot_at(record.time) > slot);
    assert_eq!((record.number, record.shown), (slot.0, slot));
}

#[test]
fn a_slot_is_open_while_something_of_it_is_undecided() {
    let mut world = world();
    let slot = world.params.slot_at(world.now);
    let mut prepare = world.attempt(&world.transfer_beside(&user(4), &user(1), user(3).address(), ETHER), 1);
    let votes = world.prepare_all(&mut prepare);
    world.wait(world.params.slot_length.0 + SLOT_BEHIND_MAX.0);
    assert_eq!(open(&mut world, S0), slot, "undecided, and its home will show it");
    assert_eq!(open(&mut world, S1), slot, "whoever is no home will change its state after it");
    world.restart(S0);
    assert_eq!(open(&mut world, S0), slot, "a restart forgets nothing of it");
    for shard in [S0, S1] {
        world.decide(shard, &prepare.descriptor, &votes);
        assert!(open(&mut world, shard) > slot);
    }
}

/// The balance of `user` after `slot`, on the shard that has it.
fn balance(world: &World, shard: ShardId, user: u8, slot: Slot) -> Result<U256, PastError> {
    let account = StateKey::Account(super::world::user(user).address());
    let values = queries::values_after(world.store(shard), &[account], slot)?;
    Ok(values[0].as_deref().map_or(U256::ZERO, |bytes| queries::account_of(bytes).balance))
}

#[test]
fn the_state_after_a_slot_has_all_that_ran_at_it_and_nothing_later_on_every_shard() {
    let mut world = world();
    let (before, start) = (world.params.slot_at(world.now), ETHER * U256::from(100));
    for turn in 0..4_u64 {
        world.wait(2 * world.params.slot_length.0);
        let mut prepare = world.attempt(&world.transfer(&user(1), user(3).address(), ETHER), turn as u32 + 1);
        let votes = world.prepare_all(&mut prepare);
        // The home applies it in time, the other one slots later.
        world.decide(S0, &prepare.descriptor, &votes);
        world.wait(world.params.slot_length.0);
        world.decide(S1, &prepare.descriptor, &votes);
        if turn == 1 {
            world.advance(S0);
            world.advance(S1);
        }
    }
    for turn in 0..4_u64 {
        let ran = Slot(before.0 + 3 * turn + 2);
        let paid = ETHER * U256::from(turn);
        assert_eq!(balance(&world, S1, 3, Slot(ran.0 - 1)), Ok(start + paid), "before turn {turn}");
        assert_eq!(balance(&world, S1, 3, ran), Ok(start + paid + ETHER), "after turn {turn}");
        let fees = |slot| start - paid - balance(&world, S0, 1, slot).unwrap();
        assert!(fees(Slot(ran.0 - 1)) < ETHER && fees(ran) > ETHER, "turn {turn}");
    }
    let from = world.params.slot_at(world.now);
    world.restart(S1);
    assert_eq!(balance(&world, S1, 3, from), Ok(start + ETHER * U256::from(4)));
}

#[test]
fn what_an_undecided_attempt_may_still_change_is_refused_by_its_name() {
    let mut world = world();
    let slot = world.params.slot_at(world.now);
    let mut prepare = world.attempt(&world.transfer_beside(&user(4), &user(1), user(3).address(), ETHER), 1);
    let votes = world.prepare_all(&mut prepare);
    world.wait(SLOT_CLOSED_MAX.0 + 5 * world.params.slot_length.0);
    assert!(open(&mut world, S1) > slot, "closed in any case");
    let attempt = prepare.descriptor.id();
    for (shard, user) in [(S0, 1), (S1, 3)] {
        let told = balance(&world, shard, user, slot);
        assert!(matches!(&told, Err(PastError::Undecided { attempt: named, .. }) if *named == attempt), "{told:?}");
        assert!(balance(&world, shard, user, Slot(slot.0 - 1)).is_ok(), "before it nothing is in doubt");
    }
    assert_eq!(balance(&world, S0, 2, slot), Ok(ETHER * U256::from(100)), "nor is what it does not change");
    for shard in [S0, S1] {
        world.decide(shard, &prepare.descriptor, &votes);
    }
    assert_eq!(balance(&world, S1, 3, slot), Ok(ETHER * U256::from(101)), "it counts at the slot that it ran at");
}

#[test]
fn what_stays_undecided_for_too_long_is_shown_in_a_later_block_and_says_so() {
    let mut world = world();
    let slot = world.params.slot_at(world.now);
    let payload = world.transfer(&user(1), user(3).address(), ETHER);
    let mut prepare = world.attempt(&payload, 1);
    let votes = world.prepare_all(&mut prepare);
    world.wait(SLOT_CLOSED_MAX.0 + 5 * world.params.slot_length.0);
    let open = open(&mut world, S0);
    assert!(open > slot, "nothing holds a slot for ever");
    let told = queries::outcomes(world.store(S0), OutcomeCursor::at(Slot(0)), open, 100).unwrap();
    assert_eq!(told.outcomes, []);
    world.decide(S0, &prepare.descriptor, &votes);
    let record = recorded(&world, &payload);
    assert_eq!(record.number, slot.0);
    assert!(record.shown >= open, "shown in {}, before {open} all was told", record.shown);
    let later = queries::outcomes(world.store(S0), OutcomeCursor::at(open), Slot(u64::MAX), 100).unwrap();
    assert_eq!((later.outcomes, later.next), (vec![record], None));
}

#[test]
fn what_follows_on_a_last_agents_commit_is_shown_no_earlier_than_it() {
    let mut world = world();
    let payload = world.transfer(&user(1), user(3).address(), ETHER);
    let mut prepare = world.attempt(&payload, 1);
    world.prepare_all(&mut prepare);
    // The coordinator dies. Shard 1 has committed, so user 3 spends what it got, slots later.
    world.wait(2 * world.params.slot_length.0);
    let spending = world.transfer(&user(3), user(4).address(), ETHER * U256::from(100) + ETHER / U256::from(2));
    let spent = world.local(S1, &spending).remove(0);
    assert_eq!(spent.outcome.status, evm::Status::Success);
    world.wait(SLOT_BEHIND_MAX.0 + SLOT_AHEAD_MAX.0);
    world.step(S0, vec![Input::Tick]);
    world.answer_questions(S0);
    let paid = recorded(&world, &payload);
    assert!(paid.shown <= spent.shown, "paid in block {}, spent in block {}", paid.shown, spent.shown);
}
