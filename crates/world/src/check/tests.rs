//! Each check that no broken twin of a rule makes speak is made to speak here: by writes and stores that no shard would make.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use crate::scenario::script::{Play, SCRIPTS};
use crate::world::World;
use commit::Decision;
use commit::participant::Record;
use primitives::{ShardId, Space, Write};
use shard::AttemptRecord;
use shard::spaces::{ACCOUNTS, ATTEMPTS, CONSUMED, HOLDERS, SENT};

fn played(name: &str) -> World {
    let script = SCRIPTS.iter().find(|script| script.name == name).unwrap();
    let Play { world, .. } = script.play(None).unwrap();
    assert_eq!(world.violations(), []);
    world
}

/// Some shard that has something in `space`, with the first of it.
fn first_in(world: &World, space: Space) -> (ShardId, Vec<u8>, Vec<u8>) {
    let shards = (0..world.shards.len() as u32).map(ShardId);
    let found = shards.filter_map(|shard| {
        let (key, value) = world.shard(shard).store().entries(space).next()?;
        Some((shard, key.to_vec(), value.to_vec()))
    });
    found.into_iter().next().unwrap()
}

fn put(world: &mut World, shard: ShardId, space: Space, key: &[u8], value: &[u8]) {
    let write = Write::Put { space, key: key.to_vec(), value: value.to_vec() };
    world.shards[shard.0 as usize].node.store.apply(write);
}

fn take(world: &mut World, shard: ShardId, space: Space, key: &[u8]) {
    world.shards[shard.0 as usize].node.store.apply(Write::Delete { space, key: key.to_vec() });
}

fn rules(world: &World) -> Vec<&'static str> {
    world.violations().iter().map(|violation| violation.rule).collect()
}

#[test]
fn an_abort_after_a_commit_is_seen() {
    let mut world = played("a transfer over two shards");
    let (shard, key, value) = first_in(&world, ATTEMPTS);
    let mut record: AttemptRecord = primitives::decode(&value, 1 << 20).unwrap();
    let Record::Decided { decision, .. } = &mut record.record else { panic!("it was decided") };
    assert_eq!(std::mem::replace(decision, Decision::Abort), Decision::Commit);
    let write = Write::Put { space: ATTEMPTS, key, value: primitives::encode(&record) };
    world.watch_batch(shard, &[write]);
    assert_eq!(rules(&world), ["I1"]);
}

#[test]
fn a_participant_that_lost_its_commit_is_seen() {
    let mut world = played("a transfer over two shards");
    let (shard, key, _) = first_in(&world, ATTEMPTS);
    take(&mut world, shard, ATTEMPTS, &key);
    world.check_end();
    assert!(rules(&world).contains(&"R7") && rules(&world).contains(&"I1"), "{:?}", world.violations());
}

#[test]
fn a_message_that_is_consumed_or_settled_twice_is_seen() {
    let mut world = played("a message that is delivered");
    for space in [CONSUMED, SENT] {
        let (shard, key, value) = first_in(&world, space);
        world.watch_batch(shard, &[Write::Put { space, key, value }]);
    }
    assert_eq!(rules(&world), ["I14", "I14"]);
}

#[test]
fn a_message_that_nobody_sent_is_seen() {
    let mut world = played("a message that is delivered");
    let (shard, key, _) = first_in(&world, SENT);
    take(&mut world, shard, SENT, &key);
    world.check_end();
    assert!(rules(&world).contains(&"I14"), "{:?}", world.violations());
}

#[test]
fn a_key_that_stays_held_is_seen() {
    let mut world = played("a transfer over two shards");
    put(&mut world, ShardId(0), HOLDERS, b"a key", b"an attempt");
    world.check_end();
    assert!(rules(&world).contains(&"I6, I7"), "{:?}", world.violations());
}

#[test]
fn wei_from_nowhere_are_seen() {
    let mut world = played("a transfer over two shards");
    let user = world.plan().genesis.iter().find(|(_, account)| account.code.is_empty()).map(|(address, _)| *address);
    let (user, shards) = (user.unwrap(), world.shards.len() as u32);
    let owner = (0..shards).map(ShardId).find(|shard| world.plan().placement.shard_of(user) == *shard).unwrap();
    let mut account = shard::queries::account(world.shard(owner).store(), user).unwrap();
    account.balance += alloy_primitives::U256::ONE;
    put(&mut world, owner, ACCOUNTS, user.as_slice(), &primitives::encode(&account));
    world.check_end();
    assert!(rules(&world).contains(&"I8") && rules(&world).contains(&"I9"), "{:?}", world.violations());
}

#[test]
fn a_mailbox_that_keeps_what_is_no_longer_in_flight_is_seen() {
    let mut world = played("a refund that follows its sender home");
    let (shard, mailbox) = (ShardId(1), evm::mailbox_address(ShardId(1)));
    let mut account = shard::queries::account(world.shard(shard).store(), mailbox).unwrap();
    account.balance += alloy_primitives::U256::ONE;
    put(&mut world, shard, ACCOUNTS, mailbox.as_slice(), &primitives::encode(&account));
    world.watch_batch(shard, &[]);
    assert_eq!(rules(&world), ["I8"]);
}

#[test]
fn an_outcome_that_is_gone_is_seen() {
    let mut world = played("a transfer over two shards");
    let (shard, key, _) = first_in(&world, shard::spaces::OUTCOMES);
    take(&mut world, shard, shard::spaces::OUTCOMES, &key);
    world.check_end();
    assert!(rules(&world).contains(&"I16") && rules(&world).contains(&"I12"), "{:?}", world.violations());
}

#[test]
fn a_run_that_does_not_come_to_rest_is_told() {
    let mut world = played("a transfer over two shards");
    world.check_stuck();
    assert_eq!(rules(&world), ["I6"]);
}
