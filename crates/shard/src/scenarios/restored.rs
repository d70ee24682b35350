//! A shard that starts on an old copy of its store votes on nothing (R14), and shards that are believed no more.

use super::world::{ETHER, S0, S1, World, config, user};
use crate::{
    Answer, AttemptRefusal, Behind, Busy, Input, LocalRefusal, SIGHTINGS_WAIT, Send, Shard, ShardConfig, Start, queries,
};
use commit::DecisionProof;
use primitives::{Height, Memory, Verified};
use proof::Certified;
use std::collections::BTreeSet;

/// User 1 on shard 0, user 3 on shard 1.
fn world() -> World {
    World::new(2, [(1, S0), (3, S1), (4, S1)].map(|(seed, shard)| (user(seed).address(), shard)))
}

fn pay(world: &mut World) {
    let payload = world.transfer(&user(1), user(3).address(), ETHER);
    world.commit(&payload);
}

/// Opens shard 0 again, on this store.
fn open(world: &mut World, store: Memory, start: Start, settled: BTreeSet<primitives::Digest>) {
    let config = config(S0, &world.params, &world.placement);
    let machine = Shard::open(ShardConfig { start, settled, ..config }, &store).unwrap();
    world.nodes.insert(S0, super::world::Node { store, machine });
}

fn store(world: &World) -> Memory {
    world.nodes[&S0].store.clone()
}

/// What shard 1 has seen of shard 0, as the answer to a question.
fn answer(world: &mut World) -> Input {
    let Answer::Sighting { newest } = world.ask(S1, |ticket| Input::Recall { ticket, shard: S0 }) else {
        panic!("it says what it has seen")
    };
    let checked = newest.map(|newest| Box::new(Verified::by(&world.verifier, *newest).unwrap()));
    Input::Sighting { from: Some(S1), newest: checked }
}

fn local(world: &mut World) -> Answer {
    let payload = world.transfer(&user(1), user(1).address(), ETHER);
    world.ask(S0, |ticket| Input::Local { ticket, payload: Box::new(payload.clone()) })
}

/// A payment, a copy, another payment, and the copy in the place of the store.
fn restored(start: Start) -> (World, Memory) {
    let mut world = world();
    pay(&mut world);
    let copy = store(&world);
    pay(&mut world);
    let newest = store(&world);
    open(&mut world, copy, start, BTreeSet::new());
    (world, newest)
}

#[test]
fn a_shard_on_an_old_copy_is_told_by_the_others_and_votes_on_nothing() {
    let (mut world, newest) = restored(Start::Unmarked);
    assert_eq!(local(&mut world), Answer::LocalRefused(LocalRefusal::Busy(Busy::Asking)));
    assert_eq!(world.sends, [Send::AskSighting { to: S1 }]);
    let tip = world.nodes[&S0].machine.tip().height;
    let answer = answer(&mut world);
    world.step(S0, vec![answer]);
    let seen = queries::sighting(world.store(S1), S0).unwrap().header.height;
    let behind = Behind::Older { tip, seen };
    assert!(seen > tip && world.sends.last() == Some(&Send::Behind(behind)), "{:?}", world.sends);
    assert!(behind.to_string().contains(&format!("ends at block {tip}, but its block {seen} was certified")));
    assert_eq!(local(&mut world), Answer::LocalRefused(LocalRefusal::Busy(Busy::Behind(behind))));
    open(&mut world, newest, Start::Unmarked, BTreeSet::new());
    let answer = self::answer(&mut world);
    world.step(S0, vec![answer]);
    assert_eq!(world.sends.last(), Some(&Send::Shown));
    pay(&mut world);
    world.assert_quiet();
}

#[test]
fn a_silent_peer_stops_a_marked_shard_for_a_while_and_its_late_answer_for_good() {
    let (mut world, _) = restored(Start::Marked);
    world.step(S0, vec![Input::Tick]);
    assert!(matches!(local(&mut world), Answer::LocalRefused(LocalRefusal::Busy(Busy::Asking))));
    world.wait(SIGHTINGS_WAIT.0);
    world.step(S0, vec![Input::Tick]);
    assert!(matches!(local(&mut world), Answer::Executed { .. }));
    let late = answer(&mut world);
    world.step(S0, vec![late]);
    assert!(matches!(local(&mut world), Answer::LocalRefused(LocalRefusal::Busy(Busy::Behind(_)))));
}

#[test]
fn a_vote_of_its_own_that_a_shard_does_not_have_stops_it_before_the_step_acts_on_anything() {
    let mut world = world();
    let copy = store(&world);
    let mut prepare = world.attempt(&world.transfer(&user(1), user(3).address(), ETHER), 1);
    let votes = world.prepare_all(&mut prepare);
    open(&mut world, copy, Start::Vouched, BTreeSet::new());
    let payload = world.transfer(&user(1), user(1).address(), ETHER);
    let proof = Box::new(DecisionProof::new(prepare.descriptor.clone(), votes).unwrap());
    let batches = world.batches;
    let answers = world.step(
        S0,
        vec![
            Input::Local { ticket: crate::Ticket(1), payload: Box::new(payload) },
            Input::Decision { ticket: crate::Ticket(2), proof },
        ],
    );
    let behind = Busy::Behind(Behind::Older { tip: Height(0), seen: Height(1) });
    assert_eq!(
        answers.unwrap(),
        [Answer::LocalRefused(behind.into()), Answer::AttemptRefused(AttemptRefusal::Busy(behind))]
    );
    assert_eq!(world.batches, batches, "nothing is written");
}

#[test]
fn what_a_block_rests_on_is_remembered_in_its_batch() {
    let mut world = world();
    let mut prepare = world.attempt(&world.transfer_beside(&user(4), &user(1), user(3).address(), ETHER), 1);
    let votes = world.prepare_all(&mut prepare);
    let newest = queries::status(world.store(S0)).unwrap().newest.unwrap();
    let (batches, proof) = (world.batches, DecisionProof::new(prepare.descriptor, votes).unwrap());
    world.ask(S1, |ticket| Input::Decision { ticket, proof: Box::new(proof.clone()) });
    assert_eq!(world.batches, batches + 1, "one batch for both");
    assert_eq!(queries::sighting(world.store(S1), S0), Some(newest.into()));
}

#[test]
fn a_header_that_nothing_rests_on_costs_no_batch() {
    let mut world = world();
    pay(&mut world);
    pay(&mut world);
    let newest: Certified = queries::status(world.store(S0)).unwrap().newest.unwrap().into();
    let batches = world.batches;
    let seen = Verified::by(&world.verifier, newest.clone()).unwrap();
    world.step(S1, vec![Input::Sighting { from: None, newest: Some(Box::new(seen)) }]);
    assert_eq!(world.batches, batches);
    let recalled = world.ask(S1, |ticket| Input::Recall { ticket, shard: S0 });
    assert_eq!(recalled, Answer::Sighting { newest: Some(Box::new(newest)) });
}

/// Shard 1 has seen a block of shard 0 that shard 0 then made otherwise, on an old copy of its store.
fn contradicted() -> (World, Verified<Certified>) {
    let mut world = world();
    let copy = store(&world);
    pay(&mut world);
    open(&mut world, copy, Start::Vouched, BTreeSet::new());
    world.wait(1);
    let payload = world.transfer(&user(1), user(1).address(), ETHER);
    world.local(S0, &payload);
    let other: Certified = queries::header(world.store(S0), Height(1)).unwrap().into();
    let other = Verified::by(&world.verifier, other).unwrap();
    (world, other)
}

#[test]
fn two_blocks_of_one_height_are_kept_as_evidence_and_that_shard_is_believed_no_more() {
    let (mut world, other) = contradicted();
    world.sends.clear();
    world.step(S1, vec![Input::Sighting { from: None, newest: Some(Box::new(other)) }]);
    let [evidence] = &queries::evidence(world.store(S1))[..] else { panic!("one piece of evidence") };
    assert_eq!(world.sends, [Send::Evidence(Box::new(evidence.clone()))]);
    assert!(Verified::by(&world.verifier, evidence.clone()).is_ok());
    world.restart(S1);
    let prepare = world.attempt(&world.transfer(&user(3), user(1).address(), ETHER), 1);
    let refused = world.prepare(S1, &prepare);
    assert_eq!(refused, Answer::AttemptRefused(AttemptRefusal::Busy(Busy::Disbelieved { shard: S0 })));
}

#[test]
fn a_shard_is_believed_again_when_an_operator_has_named_the_evidence() {
    let (mut world, other) = contradicted();
    world.step(S1, vec![Input::Sighting { from: None, newest: Some(Box::new(other)) }]);
    let settled = queries::evidence(world.store(S1)).iter().map(proof::Equivocation::id).collect();
    let config = ShardConfig { settled, ..config(S1, &world.params, &world.placement) };
    let node = world.nodes.get_mut(&S1).unwrap();
    node.machine = Shard::open(config, &node.store).unwrap();
    let prepare = world.attempt(&world.transfer(&user(3), user(1).address(), ETHER), 1);
    assert!(matches!(world.prepare(S1, &prepare), Answer::Voted { .. }));
}

#[test]
fn a_shard_that_is_shown_another_block_than_its_own_stops_and_keeps_both() {
    let (mut world, _) = contradicted();
    let first = queries::sighting(world.store(S1), S0).unwrap();
    let first = Verified::by(&world.verifier, first).unwrap();
    assert_eq!(first.header.height, Height(1));
    world.step(S0, vec![Input::Sighting { from: None, newest: Some(Box::new(first)) }]);
    let said = world.sends.last().cloned();
    assert_eq!(said, Some(Send::Behind(Behind::Other { height: Height(1) })));
    assert_eq!(queries::evidence(world.store(S0)).len(), 1);
}
