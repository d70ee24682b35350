//! Nobody waits for ever, and nobody stands in others' way for what is silent or locked elsewhere.

mod world;

use alloy_primitives::{Address, TxKind};
use dovetail_coordinator::{Event, Ticket};
use primitives::{Millis, ShardId};
use world::contracts::{COUNTERS, contract, deploy_all, increment, spread};
use world::{World, call, sign_for, user};

/// What is paid to.
const PAYEE: Address = Address::repeat_byte(0x99);
/// What is paid to on another shard.
const FAR: Address = Address::repeat_byte(0x98);

/// A payment of `user(seed)` that asks for so much gas.
fn pay(gas: u64, seed: u16, nonce: u64, to: Address) -> Vec<u8> {
    sign_for(gas, &user(seed), nonce, (TxKind::Call(to), 1, Vec::new()))
}

#[test]
fn of_the_runs_beside_the_step_the_one_that_came_first_is_made() {
    let users = 2..=80_u16;
    let pinned = users.clone().map(|seed| (user(seed).address(), ShardId(0))).chain([(PAYEE, ShardId(0))]).collect();
    let mut world = World::new(2, 1, 80, pinned);
    let mut under_way: Vec<(u16, u64, Option<Ticket>)> = users.skip(1).map(|seed| (seed, 0, None)).collect();
    // Each of the others always has one on its way, for which less gas is asked.
    let mut others_go_on = |world: &mut World| {
        for (seed, nonce, last) in &mut under_way {
            if last.is_none_or(|ticket| world.ends.contains_key(&ticket)) {
                *last = Some(world.submit(0, vec![pay(5_000_000, *seed, *nonce, PAYEE)]));
                *nonce += 1;
            }
        }
    };
    others_go_on(&mut world);
    world.wait(20);
    let dear = world.submit(0, vec![pay(16_000_000, 2, 0, PAYEE)]);
    let begun = world.now;
    while !world.ends.contains_key(&dear) {
        assert!(world.now.since(begun) < Millis(2_000), "others pass it for ever");
        others_go_on(&mut world);
        world.moment();
    }
    world.committed(dear);
}

#[test]
fn two_that_wait_for_a_dead_shard_leave_live_keys_to_their_users() {
    let mut pinned = spread(4);
    pinned.extend([(2, 0), (3, 1), (4, 1), (5, 1)].map(|(seed, shard)| (user(seed).address(), ShardId(shard))));
    let mut world = World::new(4, 1, 5, pinned);
    deploy_all(&mut world);
    let counter = |is_dead: bool| {
        let mut counters = COUNTERS.into_iter().map(contract);
        counters.find(|counter| (world.placement.shard_of(*counter) == ShardId(0)) == is_dead).expect("one")
    };
    let (dead, live) = (counter(true), counter(false));
    let both = |seed: u16, nonce| {
        vec![call(&user(seed), nonce, dead, increment(1)), call(&user(seed), nonce + 1, live, increment(1))]
    };
    // So that everything is known.
    for seed in 3..=4 {
        let ticket = world.submit(0, both(seed, 0));
        world.run();
        world.committed(ticket);
    }
    for seed in [2, 5] {
        world.commit(call(&user(seed), 0, live, increment(1)));
    }
    world.cut_off = vec![ShardId(0)];
    world.submit(0, vec![call(&user(2), 1, live, increment(1))]);
    world.wait(5);
    for seed in 3..=4 {
        world.submit(0, both(seed, 2));
        world.wait(5);
    }
    let of_the_living = world.submit(0, vec![call(&user(5), 1, live, increment(1))]);
    let took = world.run_for(of_the_living, Millis(60_000));
    assert!(took <= Millis(2_000), "{took:?}");
}

#[test]
fn many_that_meet_one_lock_do_not_all_run_against_it() {
    let users = 2..=201_u16;
    let here = users.clone().chain([1]).map(|seed| (user(seed).address(), ShardId(0)));
    let pinned = here.chain([(PAYEE, ShardId(0)), (FAR, ShardId(1))]).collect();
    let mut world = World::new(2, 2, 201, pinned);
    let both = |nonce| vec![pay(100_000, 1, nonce, PAYEE), pay(100_000, 1, nonce + 1, FAR)];
    world.submit(1, both(0));
    world.run();
    // Another coordinator's attempt holds the payee, and its other shard is gone.
    world.cut_off = vec![ShardId(1)];
    world.submit(1, both(2));
    world.wait(50);
    assert_eq!(world.shards[0].prepared().len(), 1);
    let tickets: Vec<_> = users.map(|seed| world.submit(0, vec![pay(100_000, seed, 0, PAYEE)])).collect();
    world.wait(10_000);
    let is_tried = |event: &&Event| matches!(event, Event::SentLocally { .. });
    let tries: usize = tickets.iter().map(|ticket| world.events[ticket].iter().filter(is_tried).count()).sum();
    assert!(tries < 2_500, "{tries} runs of 200 payments against one lock");
    world.cut_off.clear();
    while !world.shards[0].prepared().is_empty() {
        world.moment();
    }
    let begun = world.now;
    while !tickets.iter().all(|ticket| world.ends.contains_key(ticket)) {
        assert!(world.now.since(begun) < Millis(15_000), "the lock has gone, and they wait");
        world.moment();
    }
    for ticket in tickets {
        world.committed(ticket);
    }
}
