//! Where outcomes are shown, and what a shard says is closed (I20).

use super::world::{ETHER, S0, S1, World, user};
use crate::limits::{SLOT_BEHIND_MAX, SLOT_CLOSED_MAX};
use crate::queries::{self, OutcomeCursor};
use crate::{Answer, Input, OutcomeRecord};
use evm::RecoveredPayload;
use primitives::{ShardId, Slot, Verified};

/// User 1 on shard 0, user 3 on shard 1.
fn world() -> World {
    World::new(2, [(user(1).address(), S0), (user(2).address(), S0), (user(3).address(), S1)])
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
fn a_slot_is_open_while_something_of_it_is_undecided_at_its_home() {
    let mut world = world();
    let slot = world.params.slot_at(world.now);
    let mut prepare = world.attempt(&world.transfer(&user(1), user(3).address(), ETHER), 1);
    let votes = world.prepare_all(&mut prepare);
    world.wait(world.params.slot_length.0 + SLOT_BEHIND_MAX.0);
    assert_eq!(open(&mut world, S0), slot, "undecided, and its home will show it");
    assert!(open(&mut world, S1) > slot, "whoever is no home has nothing to show");
    world.restart(S0);
    assert_eq!(open(&mut world, S0), slot, "a restart forgets nothing of it");
    world.decide(S0, &prepare.descriptor, &votes);
    assert!(open(&mut world, S0) > slot);
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
    let told = queries::outcomes(world.store(S0), OutcomeCursor::at(Slot(0)), open, 100);
    assert_eq!(told.outcomes, []);
    world.decide(S0, &prepare.descriptor, &votes);
    let record = recorded(&world, &payload);
    assert_eq!(record.number, slot.0);
    assert!(record.shown >= open, "shown in {}, before {open} all was told", record.shown);
    let later = queries::outcomes(world.store(S0), OutcomeCursor::at(open), Slot(u64::MAX), 100);
    assert_eq!((later.outcomes, later.next), (vec![record], None));
}
