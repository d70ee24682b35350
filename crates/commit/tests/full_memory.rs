//! A coordinator that remembers as many decisions as it may goes on: it forgets the oldest, and nothing else changes.

mod world;

use dovetail_commit::Decision;
use dovetail_commit::coordinator::{Coordinator, DECISIONS, DECISIONS_COUNT_MAX, Input, Settings};
use primitives::{AttemptId, Digest, Machine, Time, Write, encode};
use world::{Memory, PAYLOAD, attempt, yes};

/// A store with as many decisions as are remembered.
fn full() -> Memory {
    let decision = |number: u64| {
        let mut id = [0xaa; 32];
        id[..8].copy_from_slice(&number.to_be_bytes());
        let entry = (AttemptId(Digest::new(id)), Decision::Commit);
        Write::put(DECISIONS, number.to_be_bytes(), encode(&entry))
    };
    let mut store = Memory::default();
    store.write(&(0..DECISIONS_COUNT_MAX as u64).map(decision).collect::<Vec<_>>());
    store
}

#[test]
fn an_attempt_begins_and_ends_when_the_memory_of_decisions_is_full() {
    let mut store = full();
    let mut coordinator = Coordinator::open(Settings::default(), &store).expect("its own log");
    let descriptor = attempt(3);
    let begin = Input::Begin { descriptor: descriptor.clone(), payload: PAYLOAD.into() };
    let output = coordinator.step(Time(1), vec![begin], &store);
    store.write(&output.writes);
    let votes = Input::Votes((0..3).map(|shard| yes(&descriptor, shard)).collect());
    let output = coordinator.step(Time(2), vec![votes], &store);
    store.write(&output.writes);
    assert_eq!(coordinator.decision(descriptor.id()), Some(Decision::Commit));
    assert_eq!(store.count(DECISIONS), DECISIONS_COUNT_MAX, "the oldest is forgotten");
}
