//! What sharing an attempt may not cost anybody: others that keep their shards busy, that wait for other keys, that spoil a batch
//! though each of them is right alone.

mod world;

use alloy_primitives::Address;
use alloy_signer_local::PrivateKeySigner;
use dovetail_coordinator::{Refusal, Ticket};
use evm::{Data, Payload, SignedTransaction, Status, TransactionKind};
use primitives::{Millis, ShardId};
use std::collections::BTreeMap;
use world::contracts::{CALLER, COUNTERS, contract, deploy_all, increment_all, spread};
use world::{World, call, create, transfer, transfer_for, user};

const USERS: u16 = 90;

/// The users of a world of so many shards, by their shards; the first of all is left to deploy.
fn people(world: &World) -> Vec<Vec<PrivateKeySigner>> {
    let mut people: Vec<Vec<PrivateKeySigner>> = world.placement.shards().map(|_| Vec::new()).collect();
    for seed in 2..=USERS {
        people[world.placement.shard_of(user(seed).address()).0 as usize].push(user(seed));
    }
    people
}

fn deployed(shards: u32) -> World {
    let mut world = World::new(shards, 1, USERS, spread(shards));
    deploy_all(&mut world);
    world
}

/// The place in the history of whatever `sender` first committed.
fn place(world: &World, sender: &PrivateKeySigner) -> usize {
    let is_its = |kind: &TransactionKind| {
        let TransactionKind::Signed(SignedTransaction(Data(bytes))) = kind else { return false };
        let verifier = evm::TransactionVerifier::new(&world.params, world.params.spec);
        let recovered = primitives::Verified::by(&verifier, SignedTransaction(Data(bytes.clone())));
        recovered.is_ok_and(|transaction| transaction.sender() == sender.address())
    };
    let has = |(payload, _): &(Payload, _)| payload.transactions.iter().any(is_its);
    world.history.iter().position(has).expect("it was committed")
}

/// How many attempts have committed.
fn attempts(world: &World) -> usize {
    world.history.len()
}

#[test]
fn a_batch_begins_though_others_keep_its_shards_busy_for_ever() {
    let mut world = World::new(2, 1, USERS, BTreeMap::new());
    let people = people(&world);
    let mut busy: Vec<(usize, u64, Ticket)> = Vec::new();
    let bundle = |world: &mut World, place: usize, nonce: u64| {
        let (from, to) = (&people[0][place], people[1][place].address());
        (place, nonce + 2, world.submit(0, vec![transfer(from, nonce, to, 1), transfer(from, nonce + 1, to, 1)]))
    };
    let mut victim = None;
    for moment in 0..1_000 {
        // Bundles of twenty users, one after the other of each: there are always some on their way.
        if moment < 20 {
            let next = bundle(&mut world, moment, 0);
            busy.push(next);
        }
        for one in &mut busy {
            if world.ends.contains_key(&one.2) {
                *one = bundle(&mut world, one.0, one.1);
            }
        }
        if moment == 100 {
            victim = Some(world.submit(0, vec![transfer(&people[0][25], 0, people[1][25].address(), 1)]));
        }
        world.moment();
    }
    let victim = victim.expect("it was submitted");
    assert!(world.ends.contains_key(&victim), "1.8 s later it has not ended: {:?}", world.events[&victim]);
    world.committed(victim);
}

/// Somebody's account on shard 0 that an attempt holds until shard 2 is back.
fn with_a_stuck_account(world: &mut World, people: &[Vec<PrivateKeySigner>]) -> Address {
    let stuck = &people[0][0];
    world.commit(transfer(stuck, 0, people[2][0].address(), 1));
    world.cut_off = vec![ShardId(2)];
    world.submit(0, vec![transfer(stuck, 1, people[2][0].address(), 1)]);
    world.wait(2_000);
    stuck.address()
}

/// Has three of the second shard pay an account of the first, so that what they want is known here.
fn with_a_known_account(world: &mut World, people: &[Vec<PrivateKeySigner>]) -> Address {
    let free = people[0][1].address();
    for sender in &people[1][..3] {
        let ticket = world.submit(0, vec![transfer(sender, 0, free, 1)]);
        world.run_for(ticket, Millis(1_000));
    }
    free
}

#[test]
fn nobody_waits_with_its_company_for_keys_that_it_does_not_want() {
    let mut world = World::new(3, 1, USERS, BTreeMap::new());
    let people = people(&world);
    let stuck = with_a_stuck_account(&mut world, &people);
    let free = with_a_known_account(&mut world, &people);
    // All that follows is known here: what it wants is free but for what others hold.
    let first = world.submit(0, vec![transfer(&people[1][0], 1, free, 1)]);
    let second = world.submit(0, vec![transfer(&people[1][1], 1, free, 1)]);
    let third = world.submit(0, vec![transfer(&people[1][2], 1, stuck, 1)]);
    for ticket in [first, second] {
        world.run_for(ticket, Millis(1_000));
        assert!(
            world.ends.contains_key(&ticket),
            "it waits for a shard it does not touch: {:?}",
            world.events[&ticket]
        );
        world.committed(ticket);
    }
    world.cut_off.clear();
    world.run();
    world.committed(third);
    world.assert_one_evm();
}

#[test]
fn whoever_has_waited_for_a_key_is_not_overtaken_for_the_sake_of_company() {
    let mut world = World::new(3, 1, USERS, BTreeMap::new());
    let people = people(&world);
    let key = people[0][0].address();
    for (shard, place) in [(1, 0), (2, 0), (2, 1), (2, 2)] {
        world.commit(transfer(&people[shard][place], 0, key, 1));
    }
    world.history.clear();
    // Over other shards than the one that holds the key; those that come later are not.
    world.submit(0, vec![transfer(&people[2][0], 1, key, 1)]);
    let first = world.submit(0, vec![transfer(&people[1][0], 1, key, 1)]);
    let second = world.submit(0, vec![transfer(&people[2][1], 1, key, 1)]);
    let mut beside = 0;
    while !world.ends.contains_key(&first) || !world.ends.contains_key(&second) {
        // Something else over its shards is always under way.
        let (from, to) = (&people[0][1 + beside % 20], people[1][1 + beside % 20].address());
        world.submit(0, vec![transfer(from, (beside / 20) as u64, to, 1)]);
        beside += 1;
        world.moment();
    }
    assert!(place(&world, &people[1][0]) < place(&world, &people[2][1]), "first come, first served");
}

/// What so many users that all want one key, and one more that does `spoil`, cost in attempts.
fn spoilt(users: u16, spoil: impl FnOnce(&mut World) -> Vec<Ticket>) -> (World, Vec<Ticket>, usize) {
    let mut world = deployed(2);
    let increment = |world: &mut World, seed: u16| {
        world.submit(0, vec![call(&user(seed), 0, contract(CALLER), increment_all(&COUNTERS))])
    };
    // The first is under way while the others come.
    let mut tickets = vec![increment(&mut world, 2)];
    world.run();
    // The spoiler's account is known: it does not have to be fetched.
    world.commit(transfer(&user(2), 1, user(80).address(), 1));
    let before = attempts(&world);
    tickets.push(increment(&mut world, 3));
    tickets.extend((4..4 + users / 2).map(|seed| increment(&mut world, seed)));
    let spoilers = spoil(&mut world);
    tickets.extend((4 + users / 2..4 + users).map(|seed| increment(&mut world, seed)));
    world.run();
    for ticket in &tickets {
        assert_eq!(world.committed(*ticket).outcomes[0].status, Status::Success);
    }
    let cost = attempts(&world) - before;
    println!("{users} users: {cost} attempts");
    (world, spoilers, cost)
}

#[test]
fn two_with_one_nonce_in_a_batch_cost_the_others_nothing() {
    let (world, spoilers, cost) = spoilt(30, |world| {
        let spoiler = user(80);
        let first = world.submit(0, vec![call(&spoiler, 0, contract(CALLER), increment_all(&COUNTERS))]);
        let dear = world::sign_at((20, 4), &spoiler, 0, contract(CALLER), increment_all(&COUNTERS));
        let second = world.submit(0, vec![dear]);
        vec![first, second]
    });
    assert!(cost <= 6, "{cost} attempts");
    let ends = spoilers.iter().filter(|ticket| world.ends[ticket].is_ok()).count();
    assert_eq!(ends, 1, "one of them has the nonce");
    world.assert_one_evm();
}

#[test]
fn one_that_a_shard_says_no_to_costs_the_others_a_few_attempts() {
    let (world, spoilers, cost) = spoilt(30, |world| {
        let spoiler = user(80);
        world.shards.iter_mut().for_each(|shard| shard.shuns = Some(spoiler.address()));
        vec![world.submit(0, vec![call(&spoiler, 0, contract(CALLER), increment_all(&COUNTERS))])]
    });
    assert!(cost <= 10, "{cost} attempts");
    assert!(matches!(world.refused(spoilers[0]), Refusal::Voted { .. }));
    world.assert_one_evm();
}

/// Code that stops at once as long as nobody has called it, and after that burns all it is given.
fn fuse() -> Vec<u8> {
    // sload(0) ? loop : sstore(0, 1)
    let runtime = [0x5f, 0x54, 0x60, 0x0a, 0x57, 0x60, 0x01, 0x5f, 0x55, 0x00, 0x5b, 0x60, 0x0a, 0x56];
    let copies = [0x60, runtime.len() as u8, 0x80, 0x60, 0x0a, 0x5f, 0x39, 0x5f, 0xf3, 0x00];
    [&copies[..], &runtime].concat()
}

#[test]
fn a_batch_burns_no_more_than_its_bound_whatever_its_members_become_in_it() {
    let mut world = deployed(2);
    let deployer = user(1);
    let nonce = world.account(deployer.address()).nonce;
    let committed = world.commit(create(&deployer, nonce, fuse()));
    let fuse = committed.outcomes[0].created.expect("a contract");
    let home = world.placement.shard_of(fuse);
    let far: Vec<u16> = (2..80).filter(|seed| world.placement.shard_of(user(*seed).address()) != home).collect();
    world.prepared_gas.clear();
    // Another is under way over the same shards, so what follows gathers.
    let elsewhere = user((2..80).find(|seed| !far.contains(seed)).expect("somebody")).address();
    world.submit(0, vec![transfer(&user(far[0]), 0, elsewhere, 1)]);
    let tickets: Vec<_> =
        far[1..25].iter().map(|seed| world.submit(0, vec![call(&user(*seed), 0, fuse, Vec::new())])).collect();
    world.run();
    let most = world.prepared_gas.iter().copied().max().unwrap_or_default();
    assert!(most <= 4_000_000, "one prepare burns {most} gas");
    for ticket in tickets {
        world.committed(ticket);
    }
    world.assert_one_evm();
}

#[test]
fn a_member_of_a_batch_that_has_not_begun_is_replaced_at_once() {
    let mut world = World::new(3, 1, USERS, BTreeMap::new());
    let people = people(&world);
    let stuck = with_a_stuck_account(&mut world, &people);
    let free = with_a_known_account(&mut world, &people);
    world.submit(0, vec![transfer(&people[1][1], 1, free, 1)]);
    let old = world.submit(0, vec![transfer_for((10, 2), &people[1][0], 1, stuck, 1)]);
    let beside = world.submit(0, vec![transfer(&people[1][2], 1, stuck, 1)]);
    world.wait(20);
    assert!(!world.ends.contains_key(&old));
    let new = world.submit(0, vec![transfer_for((20, 4), &people[1][0], 1, free, 2)]);
    assert!(matches!(world.refused(old), Refusal::Replaced { .. }), "it waits, so it gives way");
    world.run_for(new, Millis(5_000));
    world.committed(new);
    world.cut_off.clear();
    world.run();
    world.committed(beside);
    world.assert_one_evm();
}
